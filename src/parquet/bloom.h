/*
 * bloom.h
 *	  Split-block bloom filters (Parquet's BloomFilter.md) of the values of one column in one row group.
 */
#ifndef PARQUET_BLOOM_H
#define PARQUET_BLOOM_H

#include "../dicom/buffer.h"

#include <stdint.h>

/* The hash of a value's plain encoding, without the length of a byte string. */
extern uint64_t bloom_hash(const void *bytes, size_t length);

struct bloom
{
	uint32_t *words;
	size_t bytes;
};

/* For so many values; about one in a hundred that are not there will seem to be. False: out of memory. */
extern bool bloom_open(struct bloom *bloom, size_t count);

/* Adds a value, given as it is hashed. */
extern void bloom_add(struct bloom *bloom, const void *bytes, size_t length);

/* Appends header and filter, and frees it. */
extern void bloom_close(struct bloom *bloom, struct dicom_buffer *out);

#endif
