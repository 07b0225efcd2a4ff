/*
 * decode.c
 *	  From the bytes of a frame to its samples: which decoder, and what all of them check.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "codec.h"
#include "native.h"
#include "tags.h"

#define FEW_SAMPLES   ((uint64_t) 1 << 26)
#define DEFLATE_RATIO 1040

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

/* ---- deflated frames: PS3.5 A.4.13 ---- */

static enum dicom_status
inflate_frame(const uint8_t *bytes, size_t length, uint8_t *inflated, size_t size, struct dicom_error *error)
{
	z_stream stream = {.next_in = (Bytef *) bytes, .next_out = inflated};
	int result = inflateInit2(&stream, -MAX_WBITS);
	size_t read = 0;
	size_t written = 0;

	if (result != Z_OK)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	while (result == Z_OK && written < size)
	{
		stream.avail_in = length - read > UINT32_MAX ? UINT32_MAX : (uInt) (length - read);
		stream.avail_out = size - written > UINT32_MAX ? UINT32_MAX : (uInt) (size - written);
		result = inflate(&stream, Z_NO_FLUSH);
		read = (size_t) (stream.next_in - (Bytef *) bytes);
		written = (size_t) (stream.next_out - inflated);
	}
	inflateEnd(&stream);
	if (written < size)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "a deflated frame %s",
						  result == Z_STREAM_END || result == Z_BUF_ERROR ? "ends too early" : "is broken");
	return DICOM_OK;
}

static enum dicom_status
deflate_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
			   struct image_frame *frame, struct dicom_error *error)
{
	uint64_t size = (native_frame_bits(pixels) + 7) / 8;
	uint8_t *inflated;
	enum dicom_status status;

	if (size / DEFLATE_RATIO > length)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "%zu bytes cannot be a frame of %u x %u pixels",
						  length, pixels->columns, pixels->rows);
	inflated = malloc((size_t) size);
	if (!inflated)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	status = inflate_frame(bytes, length, inflated, (size_t) size, error);
	if (status == DICOM_OK)
		status = native_decode(pixels, &inflated, (size_t) size, frame, error);
	free(inflated);
	return status;
}

/* ---- which ---- */

static bool
begins_with(const uint8_t *bytes, size_t length, const char *start, size_t start_length)
{
	return length >= start_length && memcmp(bytes, start, start_length) == 0;
}

/*
 * What the bytes are counts more than what the transfer syntax says, but for uncompressed frames, which can look like anything: so
 * a frame that begins like no codestream, and has just the bytes that its samples take, is not compressed at all.
 */
static enum image_codec
settle_codec(const struct image_pixels *pixels, const uint8_t *bytes, size_t length)
{
	uint64_t bare = (native_frame_bits(pixels) + 7) / 8;

	if (pixels->codec == IMAGE_CODEC_NATIVE && length >= bare)
		return IMAGE_CODEC_NATIVE;
	if (pixels->codec == IMAGE_CODEC_DEFLATE)
		return IMAGE_CODEC_DEFLATE;
	if (begins_with(bytes, length, "\xFF\xD8\xFF", 3))
		return IMAGE_CODEC_JPEG;
	if (begins_with(bytes, length, "\xFF\x4F\xFF\x51", 4) ||
		begins_with(bytes, length, "\0\0\0\x0CjP  \r\n\x87\n", 12))
		return IMAGE_CODEC_JPEG_2000;
	if (begins_with(bytes, length, "\0\0\0\x0CJXL \r\n\x87\n", 12) ||
		begins_with(bytes, length, "\xFF\x0A", 2))
		return IMAGE_CODEC_JPEG_XL;
	if (pixels->codec != IMAGE_CODEC_RLE && length >= bare && length - bare <= 1)
		return IMAGE_CODEC_NATIVE;
	return pixels->codec;
}

enum dicom_status
image_decode(const struct image_pixels *pixels, uint8_t **bytes, size_t length, struct image_frame *frame,
			 struct dicom_error *error)
{
	static codec_decode *const decoders[] = {
		[IMAGE_CODEC_RLE] = rle_decode,         [IMAGE_CODEC_JPEG] = jpeg_decode,
		[IMAGE_CODEC_JPEG_LS] = jpeg_ls_decode, [IMAGE_CODEC_JPEG_2000] = jpeg_2000_decode,
		[IMAGE_CODEC_JPEG_XL] = jpeg_xl_decode, [IMAGE_CODEC_DEFLATE] = deflate_decode,
	};
	enum image_codec codec = settle_codec(pixels, *bytes, length);
	enum dicom_status status;

	memset(frame, 0, sizeof(*frame));
	if (codec == IMAGE_CODEC_UNSUPPORTED)
		return codec_fail(error, DICOM_TAG(0x0002, 0x0010),
						  "pixel data in this transfer syntax are not supported");
	if (codec == IMAGE_CODEC_NATIVE)
		status = native_decode(pixels, bytes, length, frame, error);
	else if (pixels->sample != IMAGE_SAMPLE_INTEGER && codec != IMAGE_CODEC_DEFLATE)
		status = codec_fail(error, DICOM_TAG_PIXEL_DATA,
							"floating point pixel data are compressed in a way that has none");
	else
		status = decoders[codec](pixels, *bytes, length, frame, error);
	if (status != DICOM_OK)
		image_frame_free(frame);
	return status;
}

void
image_frame_free(struct image_frame *frame)
{
	free(frame->samples);
	memset(frame, 0, sizeof(*frame));
}
