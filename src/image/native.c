/*
 * native.c
 *	  Samples that are not compressed, unpacked where they stand.
 */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "native.h"

/* ---- how much there is ---- */

static uint64_t
count_samples(const struct image_pixels *pixels)
{
	return (uint64_t) pixels->rows * pixels->columns * pixels->samples_per_pixel;
}

static bool
is_422(const struct image_pixels *pixels)
{
	return pixels->samples_per_pixel == 3 &&
		   (pixels->photometric == IMAGE_YBR_FULL_422 || pixels->photometric == IMAGE_YBR_PARTIAL_422);
}

/* Two pixels stand in four samples: Y Y Cb Cr. */
static uint64_t
count_422_samples(const struct image_pixels *pixels)
{
	return ((uint64_t) pixels->rows * pixels->columns + 1) / 2 * 4;
}

uint64_t
native_frame_bits(const struct image_pixels *pixels)
{
	uint64_t bits = count_samples(pixels) * pixels->bits_allocated;

	if (is_422(pixels) && pixels->value_length / pixels->frame_count < bits / 8)
		return count_422_samples(pixels) * pixels->bits_allocated;
	return bits;
}

/* ---- byte order ---- */

void
native_swap_words(uint8_t *bytes, size_t length)
{
	size_t i;

	for (i = 0; i + 1 < length; i += 2)
	{
		uint8_t first = bytes[i];

		bytes[i] = bytes[i + 1];
		bytes[i + 1] = first;
	}
}

static void
swap(uint8_t *bytes, size_t length, uint32_t size)
{
	size_t i;
	uint32_t k;

	if (size == 2)
	{
		native_swap_words(bytes, length);
		return;
	}
	for (i = 0; i + size <= length; i += size)
		for (k = 0; k < size / 2; k++)
		{
			uint8_t first = bytes[i + k];

			bytes[i + k] = bytes[i + size - 1 - k];
			bytes[i + size - 1 - k] = first;
		}
}

void
native_swap(const struct image_pixels *pixels, uint8_t *bytes, size_t length)
{
	if (pixels->bits_allocated % 16 == 0)
		swap(bytes, length, pixels->bits_allocated / 8);
}

void
native_to_host(uint8_t *bytes, size_t length, uint32_t sample_bytes)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	if (sample_bytes > 1)
		swap(bytes, length, sample_bytes);
#endif
}

/* ---- unpacking ---- */

/* From the last sample to the first, so that none is written over before it was read. */
void
native_unpack_bits(uint8_t *bytes, uint64_t samples)
{
	while (samples % 8 != 0)
	{
		samples--;
		bytes[samples] = bytes[samples / 8] >> samples % 8 & 1;
	}
	while (samples > 0)
	{
		uint8_t packed = bytes[samples / 8 - 1];
		int i;

		samples -= 8;
		for (i = 0; i < 8; i++)
			bytes[samples + i] = packed >> i & 1;
	}
}

static void
unpack(uint8_t *bytes, uint64_t samples, uint32_t bits, uint32_t sample_bytes)
{
	while (samples-- > 0)
	{
		uint64_t from = samples * bits;
		uint64_t packed = 0;
		uint32_t i;

		for (i = 0; i <= (from % 8 + bits - 1) / 8; i++)
			packed |= (uint64_t) bytes[from / 8 + i] << 8 * i;
		packed = packed >> from % 8 & (((uint64_t) 1 << bits) - 1);
		for (i = 0; i < sample_bytes; i++)
			bytes[samples * sample_bytes + i] = (uint8_t) (packed >> 8 * i);
	}
}

/* Gives both pixels of a pair the pair's chroma; back to front. */
static void
upsample_422(uint8_t *bytes, uint64_t pixels, uint32_t size)
{
	uint64_t pairs = (pixels + 1) / 2;

	while (pairs-- > 0)
	{
		uint8_t pair[4 * sizeof(uint32_t)]; /* Y Y Cb Cr */
		int second;

		memcpy(pair, bytes + pairs * 4 * size, (size_t) 4 * size);
		for (second = pairs * 2 + 1 < pixels; second >= 0; second--)
		{
			uint8_t *pixel = bytes + (pairs * 2 + second) * 3 * size;

			memcpy(pixel, pair + second * size, size);
			memcpy(pixel + size, pair + (size_t) 2 * size, (size_t) 2 * size);
		}
	}
}

uint8_t *
native_interleave(const uint8_t *planes, uint64_t pixels, uint32_t samples, uint32_t size, size_t room)
{
	uint8_t *bytes = malloc(room);
	uint32_t sample;
	uint64_t i;

	if (!bytes)
		return NULL;
	for (sample = 0; sample < samples; sample++)
	{
		const uint8_t *from = planes + (size_t) sample * pixels * size;
		uint8_t *to = bytes + (size_t) sample * size;

		for (i = 0; i < pixels; i++, from += size, to += (size_t) samples * size)
			memcpy(to, from, size);
	}
	return bytes;
}

/* The bytes of a frame in memory of the size that its samples will take. */
static enum dicom_status
make_room(uint8_t **bytes, uint64_t stored, size_t length, uint64_t size, struct dicom_error *error)
{
	uint8_t *room;

	if (length < stored)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "a frame of %llu bytes has only %zu",
						  (unsigned long long) stored, length);
	if (size <= length)
		return DICOM_OK;
	if (size > SIZE_MAX || !(room = realloc(*bytes, (size_t) size)))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	*bytes = room;
	return DICOM_OK;
}

enum dicom_status
native_decode(const struct image_pixels *pixels, uint8_t **bytes, size_t length, struct image_frame *frame,
			  struct dicom_error *error)
{
	uint32_t bits = pixels->bits_allocated;
	uint32_t sample_bytes = codec_sample_bytes(bits);
	uint64_t samples = count_samples(pixels);
	bool subsampled = is_422(pixels) && length < (samples * bits + 7) / 8;
	uint64_t stored = subsampled ? count_422_samples(pixels) : samples;
	uint64_t room = stored > samples ? stored : samples;
	enum dicom_status status = make_room(bytes, (stored * bits + 7) / 8, length, room * sample_bytes, error);

	if (status != DICOM_OK)
		return status;
	if (bits == 1)
		native_unpack_bits(*bytes, stored);
	else if (bits != 8 * sample_bytes)
		unpack(*bytes, stored, bits, sample_bytes);
	if (subsampled)
		upsample_422(*bytes, (uint64_t) pixels->rows * pixels->columns, sample_bytes);
	else if (pixels->is_planar)
	{
		uint8_t *interleaved =
			native_interleave(*bytes, (uint64_t) pixels->rows * pixels->columns, pixels->samples_per_pixel,
							  sample_bytes, (size_t) samples * sample_bytes);

		if (!interleaved)
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		free(*bytes);
		*bytes = interleaved;
	}
	native_to_host(*bytes, (size_t) (samples * sample_bytes), sample_bytes);
	codec_describe(pixels, frame);
	frame->sample_bytes = sample_bytes;
	frame->length = (size_t) (samples * sample_bytes);
	frame->samples = *bytes;
	*bytes = NULL;
	return DICOM_OK;
}
