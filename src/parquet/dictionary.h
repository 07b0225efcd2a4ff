/*
 * dictionary.h
 *	  The distinct values of a column in one row group, as they are written.
 *
 * Values are known by their plain encoding. Zero-initialise; dictionary_reset() empties and keeps the memory.
 */
#ifndef PARQUET_DICTIONARY_H
#define PARQUET_DICTIONARY_H

#include "../dicom/buffer.h"

#include <stdint.h>

#define DICTIONARY_MOST_BYTES ((size_t) 1 << 20)

struct dictionary
{
	struct dicom_buffer bytes; /* plain encodings, one after another: the dictionary page */
	size_t *ends;              /* of each value in bytes */
	uint32_t count;
	uint32_t capacity;
	uint64_t *slots; /* of the hash table: half of the hash above, index + 1 below; 0: free */
	uint32_t slot_count;
	uint32_t slot_room; /* there is memory for so many */
	uint32_t last;      /* the index that was found last: values often repeat */
};

/* The index of a value, added if need be; UINT32_MAX where the dictionary would become too large, or memory is out. */
extern uint32_t dictionary_find(struct dictionary *dictionary, const void *bytes, size_t length);

/* The plain encoding of a value. */
extern const char *dictionary_value(const struct dictionary *dictionary, uint32_t index, size_t *length);
extern void dictionary_reset(struct dictionary *dictionary);
extern void dictionary_free(struct dictionary *dictionary);

#endif
