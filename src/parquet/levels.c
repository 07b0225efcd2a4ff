/*
 * levels.c
 *	  The hybrid of run lengths and bit packing.
 */
#include "levels.h"

#define GROUP        8 /* bit-packed values come in groups of so many */
#define SHORTEST_RUN 8
#define MAX_GROUPS \
	63 /* of one stretch: its header stays one byte, and a stretch is written only once it is full */

int
bits_for(uint32_t largest)
{
	return largest ? 32 - __builtin_clz(largest) : 0;
}

static void
put_varint(struct dicom_buffer *out, uint32_t value)
{
	while (value >= 0x80)
	{
		dicom_buffer_append_char(out, (char) (value | 0x80));
		value >>= 7;
	}
	dicom_buffer_append_char(out, (char) value);
}

static void
put_run(struct dicom_buffer *out, uint32_t value, uint32_t count, int width)
{
	int shift;

	put_varint(out, count << 1);
	for (shift = 0; shift < width; shift += 8)
		dicom_buffer_append_char(out, (char) (value >> shift));
}

/* Packs values, zeros behind the last up to a whole group. */
static void
put_packed(struct dicom_buffer *out, const uint32_t *values, uint32_t count, int width)
{
	uint32_t groups = (count + GROUP - 1) / GROUP;
	size_t length = (size_t) groups * (size_t) width;
	uint64_t bits = 0;
	int bit_count = 0;
	uint32_t i;
	uint8_t *to;

	put_varint(out, groups << 1 | 1);
	to = (uint8_t *) dicom_buffer_reserve(out, length);
	if (!to)
		return;
	for (i = 0; i < groups * GROUP; i++)
	{
		bits |= (uint64_t) (i < count ? values[i] : 0) << bit_count;
		for (bit_count += width; bit_count >= 8; bit_count -= 8)
		{
			*to++ = (uint8_t) bits;
			bits >>= 8;
		}
	}
	out->length += length;
}

static uint32_t
run_length(const uint32_t *values, uint32_t count)
{
	uint32_t length = 1;

	while (length < count && values[length] == values[0])
		length++;
	return length;
}

void
levels_encode(struct dicom_buffer *out, const uint32_t *values, uint32_t count, int width)
{
	uint32_t start = 0; /* of what is waiting to be packed */
	uint32_t i = 0;

	while (i < count)
	{
		uint32_t run = run_length(values + i, count - i);
		uint32_t waiting = i - start;
		uint32_t fill = (GROUP - waiting % GROUP) % GROUP;

		/* What waits must become whole groups: a run gives of its own to that. */
		if (run >= fill + SHORTEST_RUN)
		{
			i += fill;
			if (i > start)
				put_packed(out, values + start, i - start, width);
			put_run(out, values[i], run - fill, width);
			i += run - fill;
			start = i;
			continue;
		}
		i += run;
		while (i - start >= MAX_GROUPS * GROUP)
		{
			put_packed(out, values + start, MAX_GROUPS * GROUP, width);
			start += MAX_GROUPS * GROUP;
		}
	}
	if (i > start)
		put_packed(out, values + start, i - start, width);
}

void
levels_decoder_init(struct levels_decoder *decoder, const uint8_t *bytes, size_t length, int width)
{
	*decoder = (struct levels_decoder){.next = bytes, .end = bytes + length, .width = width};
}

static bool
get_varint(struct levels_decoder *decoder, uint32_t *value)
{
	int shift;

	*value = 0;
	for (shift = 0; shift < 32 && decoder->next < decoder->end; shift += 7)
	{
		uint8_t byte = *decoder->next++;

		*value |= (uint32_t) (byte & 0x7F) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static bool
next_stretch(struct levels_decoder *decoder)
{
	uint32_t header;
	int shift;

	if (!get_varint(decoder, &header))
		return false;
	if (header & 1)
	{
		decoder->packed = (uint64_t) (header >> 1) * GROUP;
		decoder->bits = 0;
		decoder->bit_count = 0;
		return decoder->packed > 0;
	}
	decoder->repeats = header >> 1;
	decoder->repeated = 0;
	for (shift = 0; shift < decoder->width; shift += 8)
	{
		if (decoder->next == decoder->end)
			return false;
		decoder->repeated |= (uint32_t) *decoder->next++ << shift;
	}
	return decoder->repeats > 0;
}

bool
levels_decode(struct levels_decoder *decoder, uint32_t *value)
{
	if (decoder->repeats == 0 && decoder->packed == 0 && !next_stretch(decoder))
		return false;
	if (decoder->repeats > 0)
	{
		decoder->repeats--;
		*value = decoder->repeated;
		return true;
	}
	while (decoder->bit_count < decoder->width)
	{
		if (decoder->next == decoder->end)
			return false;
		decoder->bits |= (uint64_t) *decoder->next++ << decoder->bit_count;
		decoder->bit_count += 8;
	}
	*value = (uint32_t) (decoder->bits & (((uint64_t) 1 << decoder->width) - 1));
	decoder->bits >>= decoder->width;
	decoder->bit_count -= decoder->width;
	decoder->packed--;
	return true;
}
