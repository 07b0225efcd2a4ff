/*
 * dictionary.c
 *	  The distinct values of a column in one row group: an open hash table over their bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "bloom.h"
#include "dictionary.h"

#define FIRST_SLOTS 1024

const char *
dictionary_value(const struct dictionary *dictionary, uint32_t index, size_t *length)
{
	size_t start = index > 0 ? dictionary->ends[index - 1] : 0;

	*length = dictionary->ends[index] - start;
	return dictionary->bytes.data + start;
}

static uint32_t *
slot_of(const struct dictionary *dictionary, const void *bytes, size_t length)
{
	uint32_t at = (uint32_t) bloom_hash(bytes, length) & (dictionary->slot_count - 1);

	while (dictionary->slots[at] != 0)
	{
		size_t other_length;
		const char *other = dictionary_value(dictionary, dictionary->slots[at] - 1, &other_length);

		if (other_length == length && memcmp(other, bytes, length) == 0)
			break;
		at = (at + 1) & (dictionary->slot_count - 1);
	}
	return &dictionary->slots[at];
}

static bool
grow_slots(struct dictionary *dictionary)
{
	uint32_t count = dictionary->slot_count ? dictionary->slot_count * 2 : FIRST_SLOTS;
	uint32_t *slots = calloc(count, sizeof(*slots));
	uint32_t i;

	if (!slots)
		return false;
	free(dictionary->slots);
	dictionary->slots = slots;
	dictionary->slot_count = count;
	for (i = 0; i < dictionary->count; i++)
	{
		size_t length;
		const char *value = dictionary_value(dictionary, i, &length);

		*slot_of(dictionary, value, length) = i + 1;
	}
	return true;
}

static bool
grow_ends(struct dictionary *dictionary)
{
	uint32_t capacity = dictionary->capacity ? dictionary->capacity * 2 : FIRST_SLOTS / 2;
	size_t *ends = realloc(dictionary->ends, capacity * sizeof(*ends));

	if (!ends)
		return false;
	dictionary->ends = ends;
	dictionary->capacity = capacity;
	return true;
}

static bool
add(struct dictionary *dictionary, const void *bytes, size_t length)
{
	if (length > DICTIONARY_MOST_BYTES || dictionary->bytes.length + length > DICTIONARY_MOST_BYTES ||
		(dictionary->count == dictionary->capacity && !grow_ends(dictionary)))
		return false;
	dicom_buffer_append(&dictionary->bytes, bytes, length);
	if (dictionary->bytes.failed)
		return false;
	dictionary->ends[dictionary->count++] = dictionary->bytes.length;
	return true;
}

uint32_t
dictionary_find(struct dictionary *dictionary, const void *bytes, size_t length)
{
	uint32_t *slot;

	if (dictionary->count * 2 >= dictionary->slot_count && !grow_slots(dictionary))
		return UINT32_MAX;
	slot = slot_of(dictionary, bytes, length);
	if (*slot == 0)
	{
		if (!add(dictionary, bytes, length))
			return UINT32_MAX;
		*slot = dictionary->count;
	}
	return *slot - 1;
}

void
dictionary_reset(struct dictionary *dictionary)
{
	dicom_buffer_reset(&dictionary->bytes);
	dictionary->count = 0;
	if (dictionary->slots)
		memset(dictionary->slots, 0, dictionary->slot_count * sizeof(*dictionary->slots));
}

void
dictionary_free(struct dictionary *dictionary)
{
	dicom_buffer_free(&dictionary->bytes);
	free(dictionary->ends);
	free(dictionary->slots);
	memset(dictionary, 0, sizeof(*dictionary));
}
