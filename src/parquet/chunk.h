/*
 * chunk.h
 *	  One column of a row group: its values as they come, and what is made of them: pages, dictionary, statistics, indexes.
 *
 * Values are gathered first, in their plain encoding; all the rest is done when the row group is full, by chunk_encode(), which
 * touches nothing but the chunk and the encoder, so that several chunks may be encoded at a time.
 */
#ifndef PARQUET_CHUNK_H
#define PARQUET_CHUNK_H

#include "codec.h"
#include "dictionary.h"
#include "statistics.h"

/* A finished page. */
struct chunk_page
{
	uint64_t offset; /* in chunk.pages */
	uint32_t length; /* with its header */
	uint64_t first_row;
	struct statistics statistics;
};

struct chunk
{
	const struct parquet_column *column;
	enum physical_type physical;
	const struct parquet_options *options;

	/* What is gathered. */
	uint8_t *levels; /* of each value: definition level, and the repetition level in the bit above it */
	size_t level_count;
	size_t level_capacity;
	uint8_t *plain; /* those that are not NULL; booleans a byte each */
	size_t plain_length;
	size_t plain_capacity;

	/* What is made of it. */
	struct dicom_buffer dictionary_page; /* empty: none */
	struct dicom_buffer pages;           /* header and compressed body each */
	struct chunk_page *page_list;
	uint32_t page_count;
	uint32_t page_capacity;
	struct statistics total;
	uint64_t value_count; /* levels of all pages */
	uint64_t uncompressed;
	struct dicom_buffer bloom; /* empty: none */
};

#define LEVEL_DEFINITION 0x03
#define LEVEL_REPEATED   0x04

/* Definition levels of a list; of what is none: 0 where it is NULL, 1 where it is not. */
#define LIST_NULL         0
#define LIST_EMPTY        1
#define LIST_ELEMENT_NULL 2
#define LIST_ELEMENT      3

/* What a thread encodes with, kept from chunk to chunk. Zero-initialise, set `stopped`, and free. */
struct chunk_encoder
{
	bool (*stopped)(void *arg); /* asked now and then: ends the encoding, which then fails */
	void *arg;

	struct codec codec;
	struct dictionary dictionary;
	uint32_t *indices; /* into it, of all values of the chunk */
	size_t index_capacity;
	uint32_t *levels; /* of a page */
	size_t level_capacity;
	struct dicom_buffer body; /* of a page */
	struct dicom_buffer compressed;
	size_t unasked; /* bytes since `stopped` was asked */
};

/* Where a chunk came to lie in the file. */
struct chunk_place
{
	uint64_t dictionary_offset; /* 0: none */
	uint64_t data_offset;
	uint64_t length;
	uint64_t uncompressed;
	uint64_t bloom_offset; /* 0: none */
	uint64_t bloom_length;
	uint64_t column_index_offset; /* 0: none */
	uint64_t column_index_length;
	uint64_t offset_index_offset;
	uint64_t offset_index_length;
};

extern void chunk_begin(struct chunk *chunk); /* a new row group */

/* Adds a row to the chunks of all columns: how many bytes it takes. 0: memory is out, or the value of column *refused is too long. */
extern uint64_t chunk_put_row(struct chunk *chunks, int count, const struct parquet_value *values,
							  int *refused);

/* Makes pages of what was gathered. False: out of memory, a page too long, or stopped. */
extern bool chunk_encode(struct chunk *chunk, struct chunk_encoder *encoder);
extern void chunk_encoder_free(struct chunk_encoder *encoder);

/* Append the column index and the offset index. False for a chunk without: a page has no bounds. */
extern bool chunk_column_index(const struct chunk *chunk, struct dicom_buffer *out);
extern void chunk_offset_index(const struct chunk *chunk, uint64_t data_offset, struct dicom_buffer *out);

/* Writes the struct ColumnChunk as an element. */
extern void chunk_put_metadata(struct thrift_writer *writer, const struct chunk *chunk,
							   const struct chunk_place *place);
extern void chunk_free(struct chunk *chunk);

#endif
