/*
 * walk.c
 *	  From fragment to fragment: PS3.5 A.4.
 */
#include <stdlib.h>
#include <string.h>

#include "frames_internal.h"

static bool
begins_with(const uint8_t *bytes, size_t length, const char *start, size_t start_length)
{
	return length >= start_length && memcmp(bytes, start, start_length) == 0;
}

/* RLE: the number of segments, and where the first one begins (PS3.5 G.5). */
static bool
starts_rle(const uint8_t *bytes, size_t length)
{
	return length >= 8 && bytes[0] >= 1 && bytes[0] <= 15 && begins_with(bytes + 1, 7, "\0\0\0\x40\0\0\0", 7);
}

bool
starts_codestream(enum image_codec codec, const uint8_t *bytes, size_t length)
{
	if (codec == IMAGE_CODEC_RLE && starts_rle(bytes, length))
		return true;
	if (codec == IMAGE_CODEC_JPEG_XL && begins_with(bytes, length, "\xFF\x0A", 2))
		return true;
	return begins_with(bytes, length, "\xFF\xD8\xFF", 3) ||
		   begins_with(bytes, length, "\xFF\x4F\xFF\x51", 4) ||
		   begins_with(bytes, length, "\0\0\0\x0CjP  \r\n\x87\n", 12) ||
		   begins_with(bytes, length, "\0\0\0\x0CJXL \r\n\x87\n", 12);
}

static uint32_t
read_32(const uint8_t *bytes)
{
	return (uint32_t) bytes[3] << 24 | (uint32_t) bytes[2] << 16 | (uint32_t) bytes[1] << 8 | bytes[0];
}

/* Points at what stands at a position, as many bytes as an item's header and its codestream's beginning take, or are left. */
static enum dicom_status
look_ahead(struct image_frames *frames, uint64_t position, const uint8_t **bytes, size_t *length,
		   struct dicom_error *error)
{
	uint64_t left = frames->end - position;
	size_t wanted = left < READ_AHEAD ? (size_t) left : READ_AHEAD;
	uint64_t from = position - frames->ahead_offset;
	enum dicom_status status;

	*length = left < ITEM_HEADER + START_LENGTH ? (size_t) left : ITEM_HEADER + START_LENGTH;
	if (position < frames->ahead_offset || from > frames->ahead_length ||
		frames->ahead_length - from < *length)
	{
		frames->ahead_length = 0;
		status = frames_source_read(frames, position, wanted, frames->ahead, error);
		if (status != DICOM_OK)
			return status;
		frames->ahead_offset = position;
		frames->ahead_length = wanted;
		from = 0;
	}
	*bytes = frames->ahead + from;
	return DICOM_OK;
}

enum dicom_status
walk_item(struct image_frames *frames, uint64_t *position, struct fragment *fragment,
		  struct dicom_error *error)
{
	const uint8_t *bytes;
	size_t length;
	enum dicom_status status;

	if (*position > frames->end || frames->end - *position < ITEM_HEADER)
		return DICOM_END;
	status = look_ahead(frames, *position, &bytes, &length, error);
	if (status != DICOM_OK)
		return status;
	if (memcmp(bytes, "\xFE\xFF\x00\xE0", 4) != 0)
		return DICOM_END;
	fragment->offset = *position + ITEM_HEADER;
	fragment->length = read_32(bytes + 4);
	length -= ITEM_HEADER;
	if (length > fragment->length)
		length = fragment->length;
	fragment->starts = starts_codestream(frames->pixels.codec, bytes + ITEM_HEADER, length);
	*position = fragment->offset + fragment->length;
	return DICOM_OK;
}

static enum dicom_status
add_fragment(struct image_frames *frames, const struct fragment *fragment, struct dicom_error *error)
{
	if (frames->fragment_count == frames->fragment_capacity)
	{
		uint32_t capacity = frames->fragment_capacity ? frames->fragment_capacity * 2 : 16;
		struct fragment *fragments;

		if (frames->fragment_count >= MAX_FRAGMENTS)
			return frames_fail(error, DICOM_ERROR_LIMIT, "the pixel data have more than %d fragments",
							   MAX_FRAGMENTS);
		fragments = realloc(frames->fragments, capacity * sizeof(*fragments));
		if (!fragments)
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		frames->fragments = fragments;
		frames->fragment_capacity = capacity;
	}
	frames->fragments[frames->fragment_count++] = *fragment;
	return DICOM_OK;
}

enum dicom_status
walk_fragments(struct image_frames *frames, uint64_t position, uint64_t end, struct dicom_error *error)
{
	struct fragment fragment;
	enum dicom_status status = DICOM_OK;

	frames->fragment_count = 0;
	while (position < end && (status = walk_item(frames, &position, &fragment, error)) == DICOM_OK)
	{
		status = add_fragment(frames, &fragment, error);
		if (status != DICOM_OK)
			return status;
	}
	return status == DICOM_FAILED ? DICOM_FAILED : DICOM_OK;
}
