/*
 * codec.h
 *	  What the decoders of compressed frames share. Each takes the whole frame in memory.
 *
 * A decoder looks at the size that the codestream itself names, has it compared with the description, and only then allocates.
 */
#ifndef IMAGE_CODEC_H
#define IMAGE_CODEC_H

#include "image.h"

/* MALFORMED, with a tag. */
extern enum dicom_status codec_fail(struct dicom_error *error, uint32_t tag, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* 1, 2, 4 or 8: the least that holds so many bits. */
extern uint32_t codec_sample_bytes(uint32_t bits);

/* Fills in all but the samples, as the data set describes them. */
extern void codec_describe(const struct image_pixels *pixels, struct image_frame *frame);

/* What a codestream says of itself. */
struct codec_size
{
	uint64_t columns, rows;
	uint32_t samples; /* per pixel */
	uint32_t bits;    /* of each sample */
};

/*
 * Compares a codestream with the description, and with `most` samples per byte, which it cannot exceed; then describes the frame and
 * allocates its samples, zeroed. Few samples (2^26) may come from any number of bytes.
 */
extern enum dicom_status codec_begin(const struct image_pixels *pixels, const struct codec_size *size,
									 size_t length, uint64_t most, struct image_frame *frame,
									 struct dicom_error *error);

/* Most samples of a byte for codes that can say 'all the same' in a few bits. */
#define CODEC_ANY_RATIO 65536

/* Gives samples that a decoder wrote with fewer bytes than the frame's their zeros, in place. */
extern void codec_widen(struct image_frame *frame, uint32_t decoded_bytes);

typedef enum dicom_status codec_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
									   struct image_frame *frame, struct dicom_error *error);

extern codec_decode rle_decode;       /* rle.c: PS3.5 Annex G */
extern codec_decode jpeg_decode;      /* jpeg_decode.c: libjpeg-turbo or DCMTK; JPEG-LS too */
extern codec_decode jpeg_ls_decode;   /* jpeg_ls.c: CharLS */
extern codec_decode jpeg_2000_decode; /* j2k.c: OpenJPEG */
extern codec_decode jpeg_xl_decode;   /* jxl.c: libjxl */

/* native.c */

/* Little endian samples become those of the host. */
extern void native_to_host(uint8_t *bytes, size_t length, uint32_t sample_bytes);

/* Gives each of so many packed bits a byte, in place. */
extern void native_unpack_bits(uint8_t *bytes, uint64_t samples);

/* Plane after plane becomes pixel after pixel, in new memory of `room` bytes; NULL where there is none. */
extern uint8_t *native_interleave(const uint8_t *planes, uint64_t pixels, uint32_t samples,
								  uint32_t sample_bytes, size_t room);

#endif
