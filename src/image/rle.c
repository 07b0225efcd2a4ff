/*
 * rle.c
 *	  RLE: PS3.5 Annex G. Segments are byte planes, of each sample from the most to the least significant byte.
 */
#include <string.h>

#include "codec.h"

#define HEADER       64
#define MAX_SEGMENTS 15
#define BEST_RATIO   64 /* 128 bytes from two */

static uint32_t
read_32(const uint8_t *bytes)
{
	return (uint32_t) bytes[3] << 24 | (uint32_t) bytes[2] << 16 | (uint32_t) bytes[1] << 8 | bytes[0];
}

/* Unpacks one segment into every `step`th byte from `to` on; returns how many bytes of `count` there were. */
static size_t
unpack_segment(const uint8_t *from, const uint8_t *end, uint8_t *to, size_t count, size_t step)
{
	size_t done = 0;

	while (done < count && from < end)
	{
		uint8_t code = *from++;
		size_t run = code < 128 ? (size_t) code + 1 : (size_t) 257 - code;
		size_t i;

		if (code == 128)
			continue;
		if (run > count - done)
			run = count - done;
		if (code < 128 && run > (size_t) (end - from))
			run = (size_t) (end - from);
		if (code > 128 && from == end)
			break;
		for (i = 0; i < run; i++)
			to[(done + i) * step] = code < 128 ? from[i] : *from;
		from += code < 128 ? run : 1;
		done += run;
	}
	return done;
}

/* One byte plane. The offsets of segments ascend; one ends where the next begins. */
static enum dicom_status
decode_segment(const uint8_t *bytes, size_t length, uint32_t segment, uint32_t segments, uint8_t *to,
			   size_t count, size_t step, struct dicom_error *error)
{
	size_t begin = read_32(bytes + 4 + (size_t) segment * 4);
	size_t end = segment + 1 < segments ? read_32(bytes + 8 + (size_t) segment * 4) : length;

	if (begin < HEADER || begin >= length)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "segment %u of a frame in RLE begins outside of it",
						  segment + 1);
	if (end > length || end <= begin)
		end = length;
	if (unpack_segment(bytes + begin, bytes + end, to, count, step) < count)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "segment %u of a frame in RLE ends too early",
						  segment + 1);
	return DICOM_OK;
}

enum dicom_status
rle_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length, struct image_frame *frame,
		   struct dicom_error *error)
{
	struct codec_size size = {pixels->columns, pixels->rows, pixels->samples_per_pixel,
							  pixels->bits_allocated};
	uint32_t sample_bytes = (pixels->bits_allocated + 7) / 8;
	uint32_t wanted = pixels->samples_per_pixel * sample_bytes;
	size_t count = (size_t) pixels->columns * pixels->rows;
	bool is_packed = pixels->bits_allocated == 1 && pixels->samples_per_pixel == 1;
	uint32_t segments = length >= HEADER ? read_32(bytes) : 0;
	enum dicom_status status;
	uint32_t i;

	if (segments != wanted || segments > MAX_SEGMENTS)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "a frame in RLE has %u segments, not %u", segments,
						  wanted);
	if (codec_sample_bytes(pixels->bits_allocated) != sample_bytes)
		return codec_fail(error, DICOM_TAG(0x0028, 0x0100), "BitsAllocated does not go with RLE");
	status = codec_begin(pixels, &size, length, is_packed ? BEST_RATIO * 8 : BEST_RATIO, frame, error);
	for (i = 0; status == DICOM_OK && i < segments; i++)
	{
		uint32_t sample = i / sample_bytes;
		uint32_t byte = sample_bytes - 1 - i % sample_bytes;

		status =
			decode_segment(bytes, length, i, segments, frame->samples + (size_t) sample * sample_bytes + byte,
						   is_packed ? (count + 7) / 8 : count, wanted, error);
	}
	if (status != DICOM_OK)
		return status;
	if (is_packed)
		native_unpack_bits(frame->samples, count);
	native_to_host(frame->samples, frame->length, sample_bytes);
	return DICOM_OK;
}
