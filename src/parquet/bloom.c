/*
 * bloom.c
 *	  Split-block bloom filters: the one place that knows xxHash.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL /* short values are hashed in less time than a call takes */
#include <xxhash.h>

#include "bloom.h"
#include "thrift.h"

#define BLOCK_BYTES    32
#define BLOCK_WORDS    8
#define BITS_PER_VALUE 12
#define MOST_BYTES     ((size_t) 4 << 20)

/* Of the specification: each multiplies the hash for one word of a block. */
static const uint32_t salts[BLOCK_WORDS] = {0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
											0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31};

uint64_t
bloom_hash(const void *bytes, size_t length)
{
	return XXH64(bytes, length, 0);
}

static size_t
filter_bytes(size_t count)
{
	size_t bytes = BLOCK_BYTES;

	while (bytes < MOST_BYTES && bytes * 8 < count * BITS_PER_VALUE)
		bytes *= 2;
	return bytes;
}

static void
insert(uint32_t *words, size_t blocks, uint64_t hash)
{
	uint32_t *block = words + ((hash >> 32) * blocks >> 32) * BLOCK_WORDS;
	int i;

	for (i = 0; i < BLOCK_WORDS; i++)
		block[i] |= htole32((uint32_t) 1 << ((uint32_t) hash * salts[i] >> 27));
}

static void
put_header(struct dicom_buffer *out, size_t bytes)
{
	struct thrift_writer writer = {.out = out};
	int field;

	thrift_put_i32(&writer, 1, (int32_t) bytes);
	/* Three unions, each with its first member: BLOCK, XXHASH, UNCOMPRESSED. */
	for (field = 2; field <= 4; field++)
	{
		thrift_begin_struct(&writer, field);
		thrift_begin_struct(&writer, 1);
		thrift_end_struct(&writer);
		thrift_end_struct(&writer);
	}
	thrift_end_struct(&writer);
}

bool
bloom_open(struct bloom *bloom, size_t count)
{
	bloom->bytes = filter_bytes(count);
	bloom->words = calloc(1, bloom->bytes);
	return bloom->words != NULL;
}

void
bloom_add(struct bloom *bloom, const void *bytes, size_t length)
{
	insert(bloom->words, bloom->bytes / BLOCK_BYTES, bloom_hash(bytes, length));
}

void
bloom_close(struct bloom *bloom, struct dicom_buffer *out)
{
	put_header(out, bloom->bytes);
	dicom_buffer_append(out, bloom->words, bloom->bytes);
	free(bloom->words);
	bloom->words = NULL;
}
