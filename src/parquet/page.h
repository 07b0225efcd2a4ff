/*
 * page.h
 *	  The pages of one column of one row group, read one after another, their values one by one.
 */
#ifndef PARQUET_PAGE_H
#define PARQUET_PAGE_H

#include "codec.h"
#include "footer.h"
#include "levels.h"

struct page_reader
{
	const struct parquet_source *source;
	const struct parquet_column *column;
	const struct footer_column *detail;
	struct codec *codec;
	enum parquet_compression compression;

	uint64_t next;        /* page in the file */
	uint64_t end;         /* of the chunk */
	uint64_t values_left; /* levels that the pages to come must have */

	struct dicom_buffer raw;
	struct dicom_buffer body; /* of the data page at hand */
	uint32_t levels_left;     /* in it */
	struct levels_decoder definitions;
	struct levels_decoder repetitions;
	bool uses_dictionary;
	struct levels_decoder indices;
	const uint8_t *plain;
	const uint8_t *plain_end;
	int boolean_bit;

	bool has_level; /* one is read ahead */
	uint32_t definition;
	uint32_t repetition;

	struct dicom_buffer dictionary_bytes;
	struct parquet_value *dictionary;
	uint32_t dictionary_count;
};

/* Zero-initialise before the first use; keeps its memory from chunk to chunk. */
extern void page_reader_begin(struct page_reader *reader, const struct parquet_source *source,
							  const struct parquet_column *column, const struct footer_column *detail,
							  struct codec *codec, const struct footer_chunk *chunk);
extern void page_reader_free(struct page_reader *reader);

/*
 * The levels of the next value, without taking it: DICOM_OK; DICOM_END at the end of the chunk. It may load a page: what values pointed to is
 * then gone, unless `same_page`, with which the end of a page is DICOM_END too.
 */
extern enum dicom_status page_reader_peek(struct page_reader *reader, bool same_page,
										  struct dicom_error *error);

/* Takes the value whose levels were seen. */
extern enum dicom_status page_reader_take(struct page_reader *reader, struct parquet_value *value,
										  struct dicom_error *error);

#endif
