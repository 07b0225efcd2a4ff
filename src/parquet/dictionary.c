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

static bool
is_value(const struct dictionary *dictionary, uint32_t index, const void *bytes, size_t length)
{
	size_t other_length;
	const char *other = dictionary_value(dictionary, index, &other_length);

	/* The last byte of numbers and uids is what differs most often. */
	return other_length == length &&
		   (length == 0 || other[length - 1] == ((const char *) bytes)[length - 1]) &&
		   memcmp(other, bytes, length) == 0;
}

/* The slot of a value, or the free one where it would go. Bytes are looked at only where half of the hash agrees. */
static uint64_t *
slot_of(const struct dictionary *dictionary, const void *bytes, size_t length, uint64_t hash)
{
	uint32_t at = (uint32_t) hash & (dictionary->slot_count - 1);

	while (dictionary->slots[at] != 0)
	{
		uint64_t slot = dictionary->slots[at];

		if (slot >> 32 == hash >> 32 && is_value(dictionary, (uint32_t) slot - 1, bytes, length))
			break;
		at = (at + 1) & (dictionary->slot_count - 1);
	}
	return &dictionary->slots[at];
}

static uint64_t
slot_content(uint64_t hash, uint32_t index)
{
	return hash >> 32 << 32 | (index + 1);
}

/* The table has so many slots from now on; the memory behind them, if any, is kept for when it grows. */
static bool
set_slots(struct dictionary *dictionary, uint32_t count)
{
	uint64_t *slots;
	uint32_t i;

	if (count > dictionary->slot_room)
	{
		slots = malloc(count * sizeof(*slots));
		if (!slots)
			return false;
		free(dictionary->slots);
		dictionary->slots = slots;
		dictionary->slot_room = count;
	}
	memset(dictionary->slots, 0, count * sizeof(*slots));
	dictionary->slot_count = count;
	for (i = 0; i < dictionary->count; i++)
	{
		size_t length;
		const char *value = dictionary_value(dictionary, i, &length);
		uint64_t hash = bloom_hash(value, length);

		*slot_of(dictionary, value, length, hash) = slot_content(hash, i);
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
	uint64_t hash, *slot;

	if (dictionary->last < dictionary->count && is_value(dictionary, dictionary->last, bytes, length))
		return dictionary->last;
	if (dictionary->count * 2 >= dictionary->slot_count &&
		!set_slots(dictionary, dictionary->slot_count ? dictionary->slot_count * 2 : FIRST_SLOTS))
		return UINT32_MAX;
	hash = bloom_hash(bytes, length);
	slot = slot_of(dictionary, bytes, length, hash);
	if (*slot == 0)
	{
		if (!add(dictionary, bytes, length))
			return UINT32_MAX;
		*slot = slot_content(hash, dictionary->count - 1);
	}
	dictionary->last = (uint32_t) *slot - 1;
	return dictionary->last;
}

void
dictionary_reset(struct dictionary *dictionary)
{
	dicom_buffer_reset(&dictionary->bytes);
	dictionary->count = 0;
	dictionary->last = 0;
	dictionary->slot_count = 0;
}

void
dictionary_free(struct dictionary *dictionary)
{
	dicom_buffer_free(&dictionary->bytes);
	free(dictionary->ends);
	free(dictionary->slots);
	memset(dictionary, 0, sizeof(*dictionary));
}
