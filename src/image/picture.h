/*
 * picture.h
 *	  From samples to an 8-bit picture, row by row: the grey pipeline of PS3.3 C.11 and PS3.4 N.2, colour, scaling, JPEG.
 *
 *	stored value -> Modality LUT or rescale (C.11.1) -> VOI LUT or window (C.11.2: LINEAR, LINEAR_EXACT, SIGMOID), or a range
 *	where the file names none -> MONOCHROME1 inverted -> 8 bits, rounded to the nearest
 *	PALETTE COLOR (C.7.9, segmented too) and YBR_* (C.7.6.3.1.2) -> RGB
 *
 * Of a sample only the bits stored count (PS3.5 §8.1.1); so overlays in the others are left out, as are those in group 60xx,
 * and supplemental palettes: what is MONOCHROME2 is shown grey. Pixels are taken to be square.
 *
 * Where each rule is looked for: the frame's functional group, then the shared one (C.7.6.16: Pixel Value Transformation, Frame
 * VOI LUT), then the data set itself. What makes no sense (a LUT without data, a width of 0) is as if it were not there.
 *	- A Modality LUT goes before rescale. Rescale and windows have no meaning for colour.
 *	- A VOI LUT goes before windows, its first item before the others, unless a window is asked for by its number.
 *	- LINEAR of a width under 1, which C.11.2.1.2 forbids, is read as LINEAR_EXACT.
 *	- The range, where there is neither: with up to 8 bits stored all values that these bits can hold, so that such a picture
 *	  is shown as it is; else from the least to the greatest of the frame's pixels. Pixel padding (C.7.5.1.1.2), NaN and
 *	  infinities have no part in that. Where all pixels are equal they become 0, before any inversion.
 *	- Padding is shown as the other values are: the standard's padding values come out black. NaN is black.
 *	- Presentation LUT Shape (C.11.6) decides where it says IDENTITY or INVERSE, as it says the same as the photometric
 *	  interpretation then; without it MONOCHROME1 is inverted.
 *	- LUT data longer or shorter than the descriptor says, of 8 bits in words, or of more bits than said, are read as they are.
 *
 * Memory: the frame, or a piece of it where it need not be whole, a few rows, tables of 64 Ki entries, what libjpeg holds for some rows, and the output.
 */
#ifndef IMAGE_PICTURE_H
#define IMAGE_PICTURE_H

#include "../dicom/buffer.h"
#include "image.h"

#define PICTURE_LONGEST_SIDE 65500 /* of a JPEG that libjpeg writes */

enum picture_window
{
	PICTURE_WINDOW_FILE,  /* VOI LUT, else the window `window_number`, else the range */
	PICTURE_WINDOW_GIVEN, /* LINEAR with the centre and width below */
	PICTURE_WINDOW_PIXELS /* from the least to the greatest of the frame's pixels, however many bits they have */
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
	uint32_t
		window_number; /* counted from 1; its window goes before VOI LUTs. 0, or more than there are: as above */
	double window_center, window_width;
	int quality; /* 1 to 100; 0: 90 */
	enum picture_subsampling subsampling;
	uint32_t max_size;    /* longer side at most, in pixels, scaled down by area; 0: as it is */
	bool no_pass_through; /* encode anew even what could be passed through */
};

/* What the data set says of how samples become a picture; frame-dependent where functional groups say so (C.7.6.16). */
struct picture_rules;

/* Reads the rules. `dataset`, and its window, must live as long. The only error is DICOM_ERROR_MEMORY. */
extern enum dicom_status picture_rules_open(const struct dicom_dataset *dataset,
											const struct image_pixels *pixels, struct picture_rules **rules,
											struct dicom_error *error);
extern void picture_rules_close(struct picture_rules *rules);

/*
 * A picture of one frame that is being made; `frame` and `rules` must live as long. Grey has one channel, colour three (RGB). Samples that
 * image_frame_describe() has left in the file are read as rows are taken, or here and now where all of them must be looked at.
 * Errors: MALFORMED where the frame contradicts itself, where palette colour comes without a palette, and for forms that no
 * picture can be made of (four samples, XYB); INVALID_OPTION for a window or a quality that makes no sense.
 */
struct picture;
extern enum dicom_status picture_open(const struct picture_rules *rules, struct image_frame *frame,
									  uint32_t frame_number, const struct picture_options *options,
									  struct picture **picture, struct dicom_error *error);
extern void picture_close(struct picture *picture);
extern uint32_t picture_columns(const struct picture *picture); /* after scaling */
extern uint32_t picture_rows(const struct picture *picture);
extern int picture_channels(const struct picture *picture);

/* The next row of columns x channels bytes, valid until the next call; NULL behind the last. */
extern const uint8_t *picture_next_row(struct picture *picture);

/* DICOM_FAILED where samples of rows that were taken could not be read: these are black. */
extern enum dicom_status picture_status(const struct picture *picture, struct dicom_error *error);

/*
 * Appends the picture, of which no row was taken before, as baseline JPEG with a JFIF header and neither comment nor other application data.
 * Grey pictures become grey JPEG. Where it fails `out` is as it was. LIMIT, with a hint at --max-size, where a side is longer than
 * PICTURE_LONGEST_SIDE; LIMIT beyond the 1 GiB that a buffer holds.
 */
extern enum dicom_status picture_to_jpeg(struct picture *picture, const struct picture_options *options,
										 struct dicom_buffer *out, struct dicom_error *error);

/*
 * Appends an encapsulated frame to `out` where its bytes are the picture already: baseline JPEG of 8 bits, whole, of the size
 * that the data set says, grey or in the colours that a reader of JPEG files takes it for, with no rescale, window, inversion
 * or scaling that would change a value. The bytes stay as they are, but for comments and application data other than
 * JFIF's and Adobe's, which may say anything about anybody, and what follows the end of the image other than zeros.
 * False, with `out` as it was, where the frame must be decoded and encoded anew.
 */
extern bool picture_pass_through(const struct picture_rules *rules, const struct image_pixels *pixels,
								 uint32_t frame_number, const uint8_t *bytes, size_t length,
								 const struct picture_options *options, struct dicom_buffer *out);

#endif
