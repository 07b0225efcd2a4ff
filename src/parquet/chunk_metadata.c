/*
 * chunk_metadata.c
 *	  What the footer and the page indexes say of a column of a row group.
 */
#include "chunk.h"

/* Each page's bounds; a page of NULLs only has none. */
static bool
page_bound(const struct chunk *chunk, uint32_t page, bool greatest, uint8_t *bytes, int *length)
{
	const struct statistics *statistics = &chunk->page_list[page].statistics;
	bool is_exact;

	*length =
		statistics->values == 0 ? 0 : statistics_bound(statistics, chunk->column, greatest, bytes, &is_exact);
	return *length >= 0;
}

static void
put_bounds(struct thrift_writer *writer, int field, const struct chunk *chunk, bool greatest)
{
	uint8_t bytes[STATISTICS_LONGEST];
	uint32_t i;

	thrift_begin_list(writer, field, THRIFT_BINARY, chunk->page_count);
	for (i = 0; i < chunk->page_count; i++)
	{
		int length;

		(void) page_bound(chunk, i, greatest, bytes, &length);
		thrift_element_binary(writer, bytes, (size_t) length);
	}
}

static bool
has_all_bounds(const struct chunk *chunk)
{
	uint8_t bytes[STATISTICS_LONGEST];
	int length;
	uint32_t i;

	for (i = 0; i < chunk->page_count; i++)
	{
		if (!page_bound(chunk, i, false, bytes, &length) || !page_bound(chunk, i, true, bytes, &length))
			return false;
	}
	return chunk->page_count > 0;
}

bool
chunk_column_index(const struct chunk *chunk, struct dicom_buffer *out)
{
	struct thrift_writer writer = {.out = out};
	uint32_t i;

	if (!has_all_bounds(chunk))
		return false;
	thrift_begin_list(&writer, 1, THRIFT_TRUE, chunk->page_count);
	for (i = 0; i < chunk->page_count; i++)
		thrift_element_bool(&writer, chunk->page_list[i].statistics.values == 0);
	put_bounds(&writer, 2, chunk, false);
	put_bounds(&writer, 3, chunk, true);
	thrift_put_i32(&writer, 4, 0); /* unordered */
	thrift_begin_list(&writer, 5, THRIFT_I64, chunk->page_count);
	for (i = 0; i < chunk->page_count; i++)
		thrift_element_i64(&writer, (int64_t) chunk->page_list[i].statistics.nulls);
	thrift_end_struct(&writer);
	return true;
}

void
chunk_offset_index(const struct chunk *chunk, uint64_t data_offset, struct dicom_buffer *out)
{
	struct thrift_writer writer = {.out = out};
	uint32_t i;

	thrift_begin_list(&writer, 1, THRIFT_STRUCT, chunk->page_count);
	for (i = 0; i < chunk->page_count; i++)
	{
		const struct chunk_page *page = &chunk->page_list[i];

		thrift_begin_element(&writer);
		thrift_put_i64(&writer, 1, (int64_t) (data_offset + page->offset));
		thrift_put_i32(&writer, 2, (int32_t) page->length);
		thrift_put_i64(&writer, 3, (int64_t) page->first_row);
		thrift_end_struct(&writer);
	}
	thrift_end_struct(&writer);
}

static void
put_encodings(struct thrift_writer *writer, const struct chunk *chunk)
{
	bool has_dictionary = chunk->dictionary_page.length > 0;

	thrift_begin_list(writer, 2, THRIFT_I32, 2 + (has_dictionary ? 1 : 0));
	thrift_element_i32(writer, ENCODING_PLAIN);
	thrift_element_i32(writer, ENCODING_RLE);
	if (has_dictionary)
		thrift_element_i32(writer, ENCODING_RLE_DICTIONARY);
}

static void
put_path(struct thrift_writer *writer, const struct parquet_column *column)
{
	const char *path[] = {column->name, "list", "element"};
	uint32_t count = schema_elements(column), i;

	thrift_begin_list(writer, 3, THRIFT_BINARY, count);
	for (i = 0; i < count; i++)
		thrift_element_binary(writer, path[i], __builtin_strlen(path[i]));
}

static void
put_column_metadata(struct thrift_writer *writer, const struct chunk *chunk, const struct chunk_place *place)
{
	thrift_begin_struct(writer, 3);
	thrift_put_i32(writer, 1, physical_type_of(chunk->column));
	put_encodings(writer, chunk);
	put_path(writer, chunk->column);
	thrift_put_i32(writer, 4, codec_number(chunk->options->compression));
	thrift_put_i64(writer, 5, (int64_t) chunk->value_count);
	thrift_put_i64(writer, 6, (int64_t) place->uncompressed);
	thrift_put_i64(writer, 7, (int64_t) place->length);
	thrift_put_i64(writer, 9, (int64_t) place->data_offset);
	if (place->dictionary_offset > 0)
		thrift_put_i64(writer, 11, (int64_t) place->dictionary_offset);
	statistics_put(writer, 12, &chunk->total, chunk->column);
	if (place->bloom_offset > 0)
	{
		thrift_put_i64(writer, 14, (int64_t) place->bloom_offset);
		thrift_put_i32(writer, 15, (int32_t) place->bloom_length);
	}
	thrift_end_struct(writer);
}

void
chunk_put_metadata(struct thrift_writer *writer, const struct chunk *chunk, const struct chunk_place *place)
{
	thrift_begin_element(writer);
	thrift_put_i64(writer, 2, 0);
	put_column_metadata(writer, chunk, place);
	thrift_put_i64(writer, 4, (int64_t) place->offset_index_offset);
	thrift_put_i32(writer, 5, (int32_t) place->offset_index_length);
	if (place->column_index_offset > 0)
	{
		thrift_put_i64(writer, 6, (int64_t) place->column_index_offset);
		thrift_put_i32(writer, 7, (int32_t) place->column_index_length);
	}
	thrift_end_struct(writer);
}
