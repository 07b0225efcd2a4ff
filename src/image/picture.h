/*
 * picture.h
 *	  From samples to an 8-bit picture, row by row: the grey pipeline of PS3.3 C.11 and PS3.4 N.2, colour, scaling, JPEG.
 *
 *	stored value -> Modality LUT or rescale (C.11.1) -> VOI LUT or window (C.11.2: LINEAR, LINEAR_EXACT, SIGMOID), or the range of
 *	the pixels where the file names none (padding left out, C.7.5.1.1.2) -> MONOCHROME1 inverted -> 8 bits
 *	PALETTE COLOR (C.7.9, segmented too) and YBR_* (C.7.6.3.1.2) -> RGB
 *
 * Overlays are left out. Memory: the frame, a few rows, and what libjpeg holds of the output.
 */
#ifndef IMAGE_PICTURE_H
#define IMAGE_PICTURE_H

#include "../dicom/buffer.h"
#include "image.h"

enum picture_window
{
	PICTURE_WINDOW_FILE, /* VOI LUT sequence, else the window number `window_number`, else the range of the pixels */
	PICTURE_WINDOW_GIVEN, /* centre and width below */
	PICTURE_WINDOW_PIXELS /* the range of the pixels */
};

enum picture_subsampling
{
	PICTURE_SUBSAMPLING_420,
	PICTURE_SUBSAMPLING_422,
	PICTURE_SUBSAMPLING_444
};

struct picture_options
{
	enum picture_window window;
	uint32_t window_number; /* counted from 1 */
	double window_center, window_width;
	int quality; /* 1 to 100; 0: 90 */
	enum picture_subsampling subsampling;
	uint32_t max_size;    /* longer side at most, in pixels, scaled down by area; 0: as it is */
	bool no_pass_through; /* encode anew even what could be passed through */
};

/* What the data set says of how samples become a picture; frame-dependent where functional groups say so (C.7.6.16). */
struct picture_rules;

/* Reads the rules. What makes no sense (a LUT that is not there, a width of 0) is left out, as if absent, not an error. */
extern enum dicom_status picture_rules_open(const struct dicom_dataset *dataset,
											const struct image_pixels *pixels, struct picture_rules **rules,
											struct dicom_error *error);
extern void picture_rules_close(struct picture_rules *rules);

/* A picture of one frame that is being made; `frame` and `rules` must live as long. Grey has one channel, colour three (RGB). */
struct picture;
extern enum dicom_status picture_open(const struct picture_rules *rules, const struct image_frame *frame,
									  uint32_t frame_number, const struct picture_options *options,
									  struct picture **picture, struct dicom_error *error);
extern void picture_close(struct picture *picture);
extern uint32_t picture_columns(const struct picture *picture); /* after scaling */
extern uint32_t picture_rows(const struct picture *picture);
extern int picture_channels(const struct picture *picture);

/* The next row of columns x channels bytes, valid until the next call; NULL behind the last. */
extern const uint8_t *picture_next_row(struct picture *picture);

/* Appends the whole picture as JPEG. LIMIT, with a hint at max_size, where a side is longer than 65,500 pixels. */
extern enum dicom_status picture_to_jpeg(struct picture *picture, const struct picture_options *options,
										 struct dicom_buffer *out, struct dicom_error *error);

/*
 * True where the bytes of an encapsulated frame are the picture already: 8-bit baseline JPEG, grey or the colour space that JFIF or
 * Adobe markers say, no rescale, window, inversion, palette or scaling to be done. They are then passed through byte for byte.
 */
extern bool picture_passes_through(const struct picture_rules *rules, const struct image_pixels *pixels,
								   uint32_t frame_number, const uint8_t *bytes, size_t length,
								   const struct picture_options *options);

#endif
