/*
 * chunk.h
 *	  One column of the row group that is being written: pages, dictionary, statistics, indexes.
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
	struct codec *codec;

	/* The page that is being filled. */
	uint32_t *definitions;
	uint32_t *repetitions; /* of lists */
	uint32_t levels;
	uint32_t level_capacity;
	struct dicom_buffer plain; /* values, where they are not in the dictionary; booleans a byte each */
	uint32_t *indices;         /* values, where they are */
	uint32_t index_count;
	uint32_t index_capacity;
	struct statistics statistics;
	uint64_t first_row;

	/* The row group. */
	struct dictionary dictionary;
	bool uses_dictionary;      /* the page's values go there */
	struct dicom_buffer pages; /* finished ones, header and compressed body each */
	struct chunk_page *page_list;
	uint32_t page_count;
	uint32_t page_capacity;
	struct statistics total;
	uint64_t value_count; /* levels of all pages */
	uint64_t uncompressed;
	uint64_t *hashes; /* for the bloom filter */
	size_t hash_count;
	size_t hash_capacity;

	struct dicom_buffer scratch; /* one encoded value, one page body */
	struct dicom_buffer body;
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

/* A value with its levels; for a list without elements, or NULL, `value` is NULL. False: out of memory, or a value too long. */
extern bool chunk_add(struct chunk *chunk, uint32_t repetition, uint32_t definition,
					  const struct parquet_value *value);

/* Ends a row: the page is closed where it is full. `row` is the number of the next row in the group. */
extern bool chunk_end_row(struct chunk *chunk, uint64_t row);

/* What the chunk holds in memory, about. */
extern uint64_t chunk_bytes(const struct chunk *chunk);

/* Closes the last page. The dictionary page, if any, is then appended to `out`, the data pages are in chunk->pages. */
extern bool chunk_finish(struct chunk *chunk, struct dicom_buffer *out);

/* Append the column index and the offset index. False for a chunk without: a page has no bounds. */
extern bool chunk_column_index(const struct chunk *chunk, struct dicom_buffer *out);
extern void chunk_offset_index(const struct chunk *chunk, uint64_t data_offset, struct dicom_buffer *out);

/* Writes the struct ColumnChunk as an element. */
extern void chunk_put_metadata(struct thrift_writer *writer, const struct chunk *chunk,
							   const struct chunk_place *place);
extern void chunk_free(struct chunk *chunk);

#endif
