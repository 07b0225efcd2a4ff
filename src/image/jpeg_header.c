/*
 * jpeg_header.c
 *	  The markers in front of the first scan.
 */
#include <string.h>

#include "jpeg_header.h"

#define SOI   0xD8
#define EOI   0xD9
#define SOS   0xDA
#define APP0  0xE0
#define APP14 0xEE

static bool
is_frame_header(uint8_t marker)
{
	return (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) ||
		   marker == 0xF7;
}

/* Markers that stand alone: no length follows. */
static bool
is_bare(uint8_t marker)
{
	return marker == 0x01 || (marker >= 0xD0 && marker <= SOI);
}

static unsigned
read_16(const uint8_t *bytes)
{
	return (unsigned) bytes[0] << 8 | bytes[1];
}

static bool
read_frame_header(const uint8_t *bytes, size_t length, struct jpeg_header *header)
{
	int i;

	if (length < 6)
		return false;
	header->precision = bytes[0];
	header->rows = (uint16_t) read_16(bytes + 1);
	header->columns = (uint16_t) read_16(bytes + 3);
	header->components = bytes[5];
	if (header->components < 1 || header->components > 4 || length < 6 + 3 * (size_t) header->components)
		return false;
	for (i = 0; i < header->components; i++)
	{
		header->ids[i] = bytes[6 + 3 * i];
		header->horizontal[i] = bytes[7 + 3 * i] >> 4;
		header->vertical[i] = bytes[7 + 3 * i] & 15;
	}
	return true;
}

static void
read_application(uint8_t marker, const uint8_t *bytes, size_t length, struct jpeg_header *header)
{
	if (marker == APP0 && length >= 5 && memcmp(bytes, "JFIF", 5) == 0)
		header->has_jfif = true;
	if (marker == APP14 && length >= 12 && memcmp(bytes, "Adobe", 5) == 0)
	{
		header->has_adobe = true;
		header->adobe_transform = bytes[11];
	}
}

/* Moves to the byte behind the next marker; false at the end. */
static bool
next_marker(const uint8_t *bytes, size_t length, size_t *position, uint8_t *marker)
{
	while (*position < length && bytes[*position] != 0xFF)
		(*position)++;
	while (*position < length && bytes[*position] == 0xFF)
		(*position)++;
	if (*position >= length)
		return false;
	*marker = bytes[(*position)++];
	return true;
}

bool
jpeg_header_read(const uint8_t *bytes, size_t length, struct jpeg_header *header)
{
	size_t position = 0;
	uint8_t marker;

	memset(header, 0, sizeof(*header));
	while (position + 2 <= length && !(bytes[position] == 0xFF && bytes[position + 1] == SOI))
		position++;
	header->offset = position;
	position += 2;
	while (next_marker(bytes, length, &position, &marker) && marker != EOI)
	{
		size_t segment;

		if (is_bare(marker) || marker == 0)
			continue;
		if (length - position < 2 || (segment = read_16(bytes + position)) < 2 || segment > length - position)
			return false;
		if (marker == SOS)
			return header->process != 0;
		if (is_frame_header(marker))
		{
			if (header->process != 0 || !read_frame_header(bytes + position + 2, segment - 2, header))
				return false;
			header->process = marker;
		}
		else
			read_application(marker, bytes + position + 2, segment - 2, header);
		position += segment;
	}
	return false;
}

static bool
is_subsampled(const struct jpeg_header *header)
{
	return header->horizontal[0] != header->horizontal[1] || header->vertical[0] != header->vertical[1];
}

bool
jpeg_header_is_ybr(const struct jpeg_header *header, bool otherwise)
{
	if (header->has_adobe)
		return header->adobe_transform != 0;
	if (memcmp(header->ids, "RGB", 3) == 0)
		return false;
	if (header->has_jfif || is_subsampled(header))
		return true;
	return otherwise;
}
