/*
 * decode.c
 *	  From the bytes of a frame to its samples: which decoder.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "codec.h"
#include "native.h"

#define DEFLATE_RATIO 1040

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
