/*
 * chunk.c
 *	  One column of a row group: the values as they come.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"

#define FIRST_ROOM 1024

void
chunk_begin(struct chunk *chunk)
{
	chunk->physical = physical_type_of(chunk->column);
	chunk->level_count = chunk->plain_length = 0;
	dicom_buffer_reset(&chunk->dictionary_page);
	dicom_buffer_reset(&chunk->pages);
	dicom_buffer_reset(&chunk->bloom);
	chunk->page_count = 0;
	chunk->value_count = chunk->uncompressed = 0;
	memset(&chunk->total, 0, sizeof(chunk->total));
}

static bool
make_room(uint8_t **bytes, size_t used, size_t *capacity, size_t more)
{
	size_t room = *capacity ? *capacity : FIRST_ROOM;
	uint8_t *grown;

	while (room - used < more)
		room *= 2;
	grown = realloc(*bytes, room);
	if (!grown)
		return false;
	*bytes = grown;
	*capacity = room;
	return true;
}

static inline bool
put_level(struct chunk *chunk, uint8_t level)
{
	if (chunk->level_count == chunk->level_capacity &&
		!make_room(&chunk->levels, chunk->level_count, &chunk->level_capacity, 1))
		return false;
	chunk->levels[chunk->level_count++] = level;
	return true;
}

bool
chunk_put_null(struct chunk *chunk, uint8_t level)
{
	return put_level(chunk, level);
}

/* Where so many bytes go; NULL: out of memory. */
static inline uint8_t *
reserve(struct chunk *chunk, size_t length)
{
	if (chunk->plain_capacity - chunk->plain_length < length &&
		!make_room(&chunk->plain, chunk->plain_length, &chunk->plain_capacity, length))
		return NULL;
	chunk->plain_length += length;
	return chunk->plain + chunk->plain_length - length;
}

static inline bool
put32(struct chunk *chunk, uint32_t value)
{
	uint8_t *to = reserve(chunk, sizeof(value));

	value = htole32(value);
	if (to)
		memcpy(to, &value, sizeof(value));
	return to != NULL;
}

static inline bool
put64(struct chunk *chunk, uint64_t value)
{
	uint8_t *to = reserve(chunk, sizeof(value));

	value = htole64(value);
	if (to)
		memcpy(to, &value, sizeof(value));
	return to != NULL;
}

static bool
put_real(struct chunk *chunk, double real)
{
	float single = (float) real;
	uint32_t half;
	uint64_t bits;

	memcpy(&bits, &real, sizeof(bits));
	memcpy(&half, &single, sizeof(half));
	return chunk->physical == PHYSICAL_DOUBLE ? put64(chunk, bits) : put32(chunk, half);
}

static bool
put_bytes(struct chunk *chunk, const uint8_t *bytes, uint32_t length)
{
	uint32_t prefix = htole32(length);
	uint8_t *to;

	if (length > PARQUET_MAX_PAGE / 2)
		return false;
	to = reserve(chunk, sizeof(prefix) + length);
	if (!to)
		return false;
	memcpy(to, &prefix, sizeof(prefix));
	if (length > 0)
		memcpy(to + sizeof(prefix), bytes, length);
	return true;
}

static bool
put_fixed(struct chunk *chunk, const uint8_t *bytes)
{
	uint8_t *to = reserve(chunk, FIXED_LENGTH);

	if (to)
		memcpy(to, bytes, FIXED_LENGTH);
	return to != NULL;
}

static bool
put_boolean(struct chunk *chunk, bool value)
{
	uint8_t *to = reserve(chunk, 1);

	if (to)
		*to = value;
	return to != NULL;
}

bool
chunk_put(struct chunk *chunk, uint8_t level, const struct parquet_value *value)
{
	if (!put_level(chunk, level))
		return false;
	switch (chunk->physical)
	{
		case PHYSICAL_BOOLEAN:
			return put_boolean(chunk, value->integer != 0);
		case PHYSICAL_INT32:
			return put32(chunk, (uint32_t) value->integer);
		case PHYSICAL_FLOAT:
		case PHYSICAL_DOUBLE:
			return put_real(chunk, value->real);
		case PHYSICAL_BYTES:
			return put_bytes(chunk, value->bytes, value->length);
		case PHYSICAL_FIXED:
			return put_fixed(chunk, value->bytes);
		default:
			return put64(chunk, (uint64_t) value->integer);
	}
}

uint64_t
chunk_bytes(const struct chunk *chunk)
{
	return chunk->plain_length + chunk->level_count;
}

void
chunk_free(struct chunk *chunk)
{
	free(chunk->levels);
	free(chunk->plain);
	free(chunk->page_list);
	dicom_buffer_free(&chunk->dictionary_page);
	dicom_buffer_free(&chunk->pages);
	dicom_buffer_free(&chunk->bloom);
}
