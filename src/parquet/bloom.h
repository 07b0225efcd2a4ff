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

/*
 * Appends header and filter of so many hashes, which may have duplicates; about one in a hundred values that are not there will seem to be.
 * False: out of memory.
 */
extern bool bloom_append(struct dicom_buffer *out, const uint64_t *hashes, size_t count);

#endif
