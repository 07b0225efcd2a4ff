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
	dicom_buffer_free(&chunk->dictionary_page);
	dicom_buffer_free(&chunk->pages);
	dicom_buffer_free(&chunk->bloom);
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

/* The functions that put something say how many bytes it takes; 0: memory is out. */

static inline size_t
put_level(struct chunk *chunk, uint8_t level)
{
	if (chunk->level_count == chunk->level_capacity &&
		!make_room(&chunk->levels, chunk->level_count, &chunk->level_capacity, 1))
		return 0;
	chunk->levels[chunk->level_count++] = level;
	return 1;
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

static inline size_t
put(struct chunk *chunk, const void *bytes, size_t length)
{
	uint8_t *to = reserve(chunk, length);

	if (to)
		memcpy(to, bytes, length);
	return to ? length : 0;
}

static inline size_t
put32(struct chunk *chunk, uint32_t value)
{
	value = htole32(value);
	return put(chunk, &value, sizeof(value));
}

static inline size_t
put64(struct chunk *chunk, uint64_t value)
{
	value = htole64(value);
	return put(chunk, &value, sizeof(value));
}

static inline size_t
put_real(struct chunk *chunk, double real)
{
	float single = (float) real;
	uint32_t half;
	uint64_t bits;

	memcpy(&bits, &real, sizeof(bits));
	memcpy(&half, &single, sizeof(half));
	return chunk->physical == PHYSICAL_DOUBLE ? put64(chunk, bits) : put32(chunk, half);
}

static inline size_t
put_bytes(struct chunk *chunk, const uint8_t *bytes, uint32_t length)
{
	uint32_t prefix = htole32(length);
	uint8_t *to;

	if (length > PARQUET_MAX_PAGE / 2)
		return 0;
	to = reserve(chunk, sizeof(prefix) + length);
	if (!to)
		return 0;
	memcpy(to, &prefix, sizeof(prefix));
	if (length > 0)
		memcpy(to + sizeof(prefix), bytes, length);
	return sizeof(prefix) + length;
}

static inline size_t
put_boolean(struct chunk *chunk, bool value)
{
	uint8_t byte = value;

	return put(chunk, &byte, 1);
}

static inline size_t
put_value(struct chunk *chunk, const struct parquet_value *value)
{
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
			return put(chunk, value->bytes, FIXED_LENGTH);
		default:
			return put64(chunk, (uint64_t) value->integer);
	}
}

/* A value, or none, with its level. */
static inline size_t
put_leaf(struct chunk *chunk, uint8_t level, const struct parquet_value *value)
{
	size_t bytes = value ? put_value(chunk, value) : 1;

	return bytes > 0 && put_level(chunk, level) > 0 ? bytes : 0;
}

static uint64_t
put_list(struct chunk *chunk, const struct parquet_value *list)
{
	uint64_t sum = 0;
	uint32_t i;

	if (list->is_null || list->length == 0)
		return put_leaf(chunk, list->is_null ? LIST_NULL : LIST_EMPTY, NULL);
	for (i = 0; i < list->length; i++)
	{
		const struct parquet_value *element = &list->elements[i];
		uint8_t repeated = i > 0 ? LEVEL_REPEATED : 0;
		size_t bytes = element->is_null ? put_leaf(chunk, repeated | LIST_ELEMENT_NULL, NULL)
										: put_leaf(chunk, repeated | LIST_ELEMENT, element);

		sum += bytes;
		if (bytes == 0 || sum > PARQUET_MAX_PAGE / 2)
			return 0;
	}
	return sum;
}

uint64_t
chunk_put_row(struct chunk *chunks, int count, const struct parquet_value *values, int *refused)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < count; i++)
	{
		uint64_t bytes = chunks[i].column->is_list ? put_list(&chunks[i], &values[i])
						 : values[i].is_null       ? put_leaf(&chunks[i], 0, NULL)
												   : put_leaf(&chunks[i], 1, &values[i]);

		if (bytes == 0)
		{
			*refused = i;
			return 0;
		}
		sum += bytes;
	}
	return sum;
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
