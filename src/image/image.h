/*
 * image.h
 *	  Pixel data of one file: what they are (PS3.3 C.7.6.3), where each frame lies, and how a frame becomes samples.
 *
 * Nothing here holds more than one frame. Bytes of the file come through a source, by range; of a native file of 4 GB only the
 * ranges of the frame asked for are read. Encapsulated frames are found by the extended offset table, the basic offset
 * table, or by walking the fragments (PS3.5 A.4). Everything in the file is hostile: sizes are checked against the
 * bytes that are there before anything is allocated for them.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "../dicom/dataset.h"

/* The bytes of a file. */
struct image_source
{
	uint64_t size;
	size_t piece; /* bytes that are best read at once, where it does not matter; 0: 128 KiB */
	/* Reads exactly length bytes at offset; DICOM_FAILED where it cannot. */
	enum dicom_status (*read)(void *arg, uint64_t offset, size_t length, uint8_t *bytes,
							  struct dicom_error *error);
	void *arg;
};

enum image_photometric
{
	IMAGE_MONOCHROME1,
	IMAGE_MONOCHROME2,
	IMAGE_PALETTE_COLOR,
	IMAGE_RGB,
	IMAGE_YBR_FULL,
	IMAGE_YBR_FULL_422,
	IMAGE_YBR_PARTIAL_422,
	IMAGE_YBR_PARTIAL_420,
	IMAGE_YBR_ICT,
	IMAGE_YBR_RCT,
	IMAGE_XYB,
	IMAGE_PHOTOMETRIC_COUNT
};

enum image_sample
{
	IMAGE_SAMPLE_INTEGER, /* PixelData */
	IMAGE_SAMPLE_FLOAT,   /* FloatPixelData: 32 bits */
	IMAGE_SAMPLE_DOUBLE   /* DoubleFloatPixelData: 64 bits */
};

enum image_codec
{
	IMAGE_CODEC_NATIVE, /* little or big endian, deflated included */
	IMAGE_CODEC_RLE,
	IMAGE_CODEC_JPEG, /* baseline, extended, lossless: 8 to 16 bits */
	IMAGE_CODEC_JPEG_LS,
	IMAGE_CODEC_JPEG_2000, /* HTJ2K included */
	IMAGE_CODEC_JPEG_XL,
	IMAGE_CODEC_DEFLATE, /* each frame a deflated native one */
	IMAGE_CODEC_UNSUPPORTED
};

/* Where a value lies in the file; in the inflated stream, if there is one. */
struct image_place
{
	uint64_t offset, length;
};

/* The image pixel module as the data set describes it. */
struct image_pixels
{
	uint32_t columns, rows;
	uint32_t samples_per_pixel; /* 1, 3 or 4 */
	uint32_t bits_allocated, bits_stored, high_bit;
	bool is_signed;
	bool is_planar; /* PlanarConfiguration 1 */
	bool big_endian;
	enum image_sample sample;
	enum image_photometric photometric;
	enum image_codec codec; /* as the transfer syntax says; image_decode() believes the bytes */
	uint32_t frame_count;   /* at least 1 */
	bool is_encapsulated;
	bool is_words;            /* OW: in big endian its 16-bit words are swapped, whatever the samples */
	uint64_t value_offset;    /* of the pixel data element's value (the inflated stream's, if deflated) */
	uint64_t value_length;    /* what is there of it; UINT64_MAX where its end is not known */
	struct image_place table; /* (7FE0,0001) extended offset table; length 0: none */
	struct image_place table_lengths; /* (7FE0,0002) */
	bool is_deflated;
	uint64_t deflated_offset; /* of the deflated stream in the file */
	char transfer_syntax_uid[65];
};

/*
 * Errors: NOT_FOUND: 'no pixel data' where the file has none; MALFORMED, with the tag, where the description makes no sense; LIMIT.
 * The data set was read with image_selection or with everything.
 */
extern enum dicom_status image_pixels_read(const struct dicom_dataset *dataset, struct image_pixels *pixels,
										   struct dicom_error *error);

/* What a data set must hold for image_pixels_read() and picture_rules_read(). */
extern const struct dicom_selection image_selection;

struct image_frames;

/* Finds the frames. `source` must live as long. A truncated file gives the frames that are whole, and says so for the others. */
extern enum dicom_status image_frames_open(const struct image_pixels *pixels,
										   const struct image_source *source, struct image_frames **frames,
										   struct dicom_error *error);
extern void image_frames_close(struct image_frames *frames);

/*
 * How many there are: NumberOfFrames, but no more than begin before the pixel data end (the last of them may be cut, and then cannot be
 * read), or what the fragments tell where that contradicts it. A frame may show that a table was wrong; the number then changes.
 */
extern uint32_t image_frames_count(const struct image_frames *frames);

/*
 * The bytes of frame number `frame`, counted from 0, in memory that the caller frees with free(). Encapsulated: as they stand in
 * the file, fragments joined. Native: little endian whatever the file's order, beginning with bit 0 of the first byte.
 * To read frames in ascending order is cheapest; in a deflated file to go back means to inflate anew.
 */
extern enum dicom_status image_frames_read(struct image_frames *frames, uint32_t frame, uint8_t **bytes,
										   size_t *length, struct dicom_error *error);

/*
 * A decoded frame: samples interleaved, in host order, each in the least of 1, 2, 4 bytes that holds bits_allocated (float and double as
 * they are); 1-bit samples are one byte each; no colour conversion (YBR stays YBR, 4:2:2 is upsampled), no rescale, no
 * palette. This is what TRUTH's first_frame hashes on a little endian machine.
 */
struct image_frame
{
	uint32_t columns, rows, samples_per_pixel;
	uint32_t sample_bytes; /* 1, 2, 4 or 8 */
	uint32_t bits_stored, high_bit;
	bool is_signed;
	enum image_sample sample;
	enum image_photometric
		photometric;  /* of the samples, after decoding (a codec may have undone RCT or ICT: then RGB) */
	uint8_t *samples; /* freed by image_frame_free(); NULL: not read yet, `frames` has them */
	size_t length;
	struct image_frames *frames;
	uint32_t number;
};

/* Takes over *bytes where that spares a copy (native), and sets it to NULL then. */
extern enum dicom_status image_decode(const struct image_pixels *pixels, uint8_t **bytes, size_t length,
									  struct image_frame *frame, struct dicom_error *error);
extern void image_frame_free(struct image_frame *frame);

/*
 * Describes a frame whose samples stand in the file just as they would come out of image_decode(): native, of whole bytes, in the order of
 * this machine. They need not all be in memory then. `frames` must live as long. False: it is to be read and decoded.
 */
extern bool image_frame_describe(struct image_frames *frames, uint32_t number, struct image_frame *frame);

/* Some bytes of the samples of such a frame; or all of them, into frame->samples, if they are not there. */
extern enum dicom_status image_frame_read(const struct image_frame *frame, size_t offset, size_t length,
										  uint8_t *bytes, struct dicom_error *error);
extern enum dicom_status image_frame_load(struct image_frame *frame, struct dicom_error *error);

/* How many bytes of them are best read at once: a part that stays in a processor's cache. */
extern size_t image_frame_piece(const struct image_frame *frame);

#endif
