/*
 * codec.c
 *	  What decoders have in common: the description of a frame, and checks before anything is allocated for it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "tags.h"

#define FEW_SAMPLES ((uint64_t) 1 << 26)

enum dicom_status
codec_fail(struct dicom_error *error, uint32_t tag, const char *format, ...)
{
	char message[sizeof(((struct dicom_error *) NULL)->message)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	dicom_fail(error, DICOM_ERROR_MALFORMED, "%s", message);
	if (error)
		error->tag = tag;
	return DICOM_FAILED;
}

uint32_t
codec_sample_bytes(uint32_t bits)
{
	return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
}

void
codec_describe(const struct image_pixels *pixels, struct image_frame *frame)
{
	memset(frame, 0, sizeof(*frame));
	frame->columns = pixels->columns;
	frame->rows = pixels->rows;
	frame->samples_per_pixel = pixels->samples_per_pixel;
	frame->sample_bytes = codec_sample_bytes(pixels->bits_allocated);
	frame->bits_stored = pixels->bits_stored;
	frame->high_bit = pixels->high_bit;
	frame->is_signed = pixels->is_signed;
	frame->sample = pixels->sample;
	frame->photometric = pixels->photometric;
}

/* Where a codestream has another number of samples than the description, it is the one that is decoded. */
static void
describe_codestream(const struct codec_size *size, struct image_frame *frame)
{
	if (size->samples != frame->samples_per_pixel)
	{
		frame->samples_per_pixel = size->samples;
		frame->photometric = size->samples == 1 ? IMAGE_MONOCHROME2 : IMAGE_RGB;
	}
	if (size->bits > 8 * frame->sample_bytes)
	{
		frame->sample_bytes = codec_sample_bytes(size->bits);
		frame->bits_stored = size->bits;
		frame->high_bit = size->bits - 1;
	}
}

enum dicom_status
codec_begin(const struct image_pixels *pixels, const struct codec_size *size, size_t length, uint64_t most,
			struct image_frame *frame, struct dicom_error *error)
{
	uint64_t samples;

	codec_describe(pixels, frame);
	if (size->rows != pixels->rows || size->columns != pixels->columns)
		return codec_fail(error, size->rows != pixels->rows ? TAG_ROWS : TAG_COLUMNS,
						  "the compressed frame is %llu x %llu pixels, the data set says %u x %u",
						  (unsigned long long) size->columns, (unsigned long long) size->rows,
						  pixels->columns, pixels->rows);
	if (size->samples != 1 && size->samples != 3 && size->samples != 4)
		return codec_fail(error, TAG_SAMPLES_PER_PIXEL, "the compressed frame has %u samples per pixel",
						  size->samples);
	if (size->bits < 1 || size->bits > 32)
		return codec_fail(error, TAG_BITS_STORED, "the compressed frame has samples of %u bits", size->bits);
	samples = size->columns * size->rows * size->samples;
	if (samples > FEW_SAMPLES && samples / most > length)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "%zu bytes cannot be a frame of %llu x %llu pixels",
						  length, (unsigned long long) size->columns, (unsigned long long) size->rows);
	describe_codestream(size, frame);
	frame->length = (size_t) samples * frame->sample_bytes;
	frame->samples = calloc(frame->length, 1);
	return frame->samples ? DICOM_OK : dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

void
codec_widen(struct image_frame *frame, uint32_t decoded_bytes)
{
	size_t i = frame->length / frame->sample_bytes;

	if (decoded_bytes == frame->sample_bytes)
		return;
	while (i-- > 0)
	{
		uint32_t sample = decoded_bytes == 1 ? frame->samples[i] : ((uint16_t *) (void *) frame->samples)[i];

		if (frame->sample_bytes == 2)
			((uint16_t *) (void *) frame->samples)[i] = (uint16_t) sample;
		else
			((uint32_t *) (void *) frame->samples)[i] = sample;
	}
}
