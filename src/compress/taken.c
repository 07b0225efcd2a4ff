/*
 * taken.c
 *	  A set of digests with open addressing.
 */
#include "taken.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"

#define FIRST_CAPACITY 1024

static size_t
place_of(const uint64_t *digests, size_t capacity, uint64_t digest)
{
	size_t i = (size_t) digest & (capacity - 1);

	while (digests[i] != 0 && digests[i] != digest)
		i = (i + 1) & (capacity - 1);
	return i;
}

static bool
grow(struct taken *taken)
{
	size_t capacity = taken->capacity ? taken->capacity * 2 : FIRST_CAPACITY;
	uint64_t *digests = calloc(capacity, sizeof(*digests));
	size_t i;

	if (digests == NULL)
		return false;
	for (i = 0; i < taken->capacity; i++)
		if (taken->digests[i] != 0)
			digests[place_of(digests, capacity, taken->digests[i])] = taken->digests[i];
	free(taken->digests);
	taken->digests = digests;
	taken->capacity = capacity;
	return true;
}

/* Files choose their keys: a digest that they cannot aim at keeps one from taking another's. */
static bool
digest_key(const char *key, uint64_t *digest)
{
	unsigned char bytes[DIGEST_SIZE];

	if (!digest_bytes(key, strlen(key), bytes))
		return false;
	memcpy(digest, bytes, sizeof(*digest));
	if (*digest == 0)
		*digest = 1;
	return true;
}

enum dicom_status
taken_add(struct taken *taken, const char *key, struct dicom_error *error)
{
	uint64_t digest;
	size_t place;

	if ((taken->count * 3 >= taken->capacity * 2 && !grow(taken)) || !digest_key(key, &digest))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	place = place_of(taken->digests, taken->capacity, digest);
	if (taken->digests[place] == digest)
	{
		dicom_fail(error, DICOM_ERROR_EXISTS, "another picture of this run has the same key");
		return dicom_hint(error, "name in --key what tells sources and frames apart");
	}
	taken->digests[place] = digest;
	taken->count++;
	return DICOM_OK;
}

void
taken_free(struct taken *taken)
{
	free(taken->digests);
	memset(taken, 0, sizeof(*taken));
}
