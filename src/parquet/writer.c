/*
 * writer.c
 *	  Rows become row groups, row groups a file.
 */
#include <stdlib.h>
#include <string.h>

#include "bloom.h"
#include "chunk.h"

#define DEFAULT_ROWS  122880
#define DEFAULT_BYTES ((uint64_t) 64 << 20)
#define DEFAULT_LEVEL 3
#define MOST_GROUPS   INT16_MAX /* ordinals are 16 bits */

struct parquet_writer
{
	struct parquet_column *columns;
	struct chunk *chunks;
	int count;
	struct parquet_options options;
	struct parquet_sink sink;
	struct codec codec;

	uint64_t rows;
	uint64_t group_rows;
	uint64_t offset; /* bytes given to the sink */
	bool failed;

	struct dicom_buffer groups; /* the structs RowGroup */
	uint32_t group_count;
	struct dicom_buffer metadata; /* the structs KeyValue */
	uint32_t metadata_count;
	struct dicom_buffer scratch;
	struct chunk_place *places;
};

static enum dicom_status
out_of_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

static enum dicom_status
give(struct parquet_writer *writer, const void *bytes, size_t length, struct dicom_error *error)
{
	enum dicom_status status = length ? writer->sink.write(writer->sink.arg, bytes, length, error) : DICOM_OK;

	writer->offset += length;
	writer->failed |= status != DICOM_OK;
	return status;
}

static enum dicom_status
check_columns(const struct parquet_column *columns, int count, struct dicom_error *error)
{
	int i;

	if (count < 1 || count > PARQUET_MAX_COLUMNS)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a Parquet file has 1 to %d columns",
						  PARQUET_MAX_COLUMNS);
	for (i = 0; i < count; i++)
	{
		if (columns[i].type == PARQUET_DECIMAL &&
			(columns[i].precision < 1 || columns[i].precision > 38 || columns[i].scale < 0 ||
			 columns[i].scale > columns[i].precision))
			return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
							  "column %d: a decimal has a precision of 1 to 38 and a scale of up to it",
							  i + 1);
	}
	return DICOM_OK;
}

static void
set_options(struct parquet_options *options)
{
	if (options->level == 0)
		options->level = DEFAULT_LEVEL;
	if (options->row_group_rows == 0)
		options->row_group_rows = DEFAULT_ROWS;
	if (options->row_group_bytes == 0)
		options->row_group_bytes = DEFAULT_BYTES;
	options->created_by = options->created_by ? strdup(options->created_by) : NULL;
}

static bool
copy_columns(struct parquet_writer *writer, const struct parquet_column *columns, int count)
{
	int i;

	writer->columns = calloc((size_t) count, sizeof(*writer->columns));
	writer->chunks = calloc((size_t) count, sizeof(*writer->chunks));
	writer->places = calloc((size_t) count, sizeof(*writer->places));
	if (!writer->columns || !writer->chunks || !writer->places)
		return false;
	writer->count = count;
	for (i = 0; i < count; i++)
	{
		writer->columns[i] = columns[i];
		writer->columns[i].name = strdup(columns[i].name);
		if (columns[i].is_list || columns[i].type == PARQUET_BOOLEAN)
			writer->columns[i].bloom_filter = false;
		writer->chunks[i].column = &writer->columns[i];
		writer->chunks[i].options = &writer->options;
		writer->chunks[i].codec = &writer->codec;
		chunk_begin(&writer->chunks[i]);
		if (!writer->columns[i].name)
			return false;
	}
	return true;
}

enum dicom_status
parquet_writer_open(const struct parquet_column *columns, int count, const struct parquet_options *options,
					const struct parquet_sink *sink, struct parquet_writer **writer,
					struct dicom_error *error)
{
	struct parquet_writer *new;

	*writer = NULL;
	if (check_columns(columns, count, error) != DICOM_OK)
		return DICOM_FAILED;
	new = calloc(1, sizeof(*new));
	if (!new)
		return out_of_memory(error);
	if (options)
		new->options = *options;
	set_options(&new->options);
	new->sink = *sink;
	if (!copy_columns(new, columns, count))
	{
		parquet_writer_close(new);
		return out_of_memory(error);
	}
	if (give(new, PARQUET_MAGIC, 4, error) != DICOM_OK)
	{
		parquet_writer_close(new);
		return DICOM_FAILED;
	}
	*writer = new;
	return DICOM_OK;
}

enum dicom_status
parquet_writer_metadata(struct parquet_writer *writer, const char *key, const char *value,
						struct dicom_error *error)
{
	struct thrift_writer thrift = {.out = &writer->metadata};

	thrift_put_string(&thrift, 1, key);
	thrift_put_string(&thrift, 2, value);
	thrift_end_struct(&thrift);
	writer->metadata_count++;
	return writer->metadata.failed ? out_of_memory(error) : DICOM_OK;
}

/* Either memory is out or the value is one that no page may hold. */
static enum dicom_status
fail_value(struct parquet_writer *writer, int column, const struct parquet_value *value,
		   struct dicom_error *error)
{
	enum physical_type type = physical_type_of(&writer->columns[column]);

	writer->failed = true;
	if (value && !value->is_null && type == PHYSICAL_BYTES && value->length > PARQUET_MAX_PAGE / 2)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "a value of column %d has more than %u bytes", column + 1,
						  PARQUET_MAX_PAGE / 2);
	return out_of_memory(error);
}

enum dicom_status
parquet_writer_put(struct parquet_writer *writer, int column, const struct parquet_value *value,
				   struct dicom_error *error)
{
	if (!chunk_add(&writer->chunks[column], 0, value->is_null ? 0 : 1, value->is_null ? NULL : value))
		return fail_value(writer, column, value, error);
	return DICOM_OK;
}

/* Definition levels of a list: 0 it is NULL, 1 it is empty, 2 the element is NULL, 3 there is a value. */
enum dicom_status
parquet_writer_put_list(struct parquet_writer *writer, int column, const struct parquet_value *elements,
						uint32_t count, struct dicom_error *error)
{
	uint32_t i;

	if (count == 0 && !chunk_add(&writer->chunks[column], 0, 1, NULL))
		return fail_value(writer, column, NULL, error);
	for (i = 0; i < count; i++)
	{
		if (!chunk_add(&writer->chunks[column], i > 0, elements[i].is_null ? 2 : 3, &elements[i]))
			return fail_value(writer, column, &elements[i], error);
	}
	return DICOM_OK;
}

/* --- row groups --- */

/* Gives the scratch buffer and says where it came to lie. */
static enum dicom_status
give_scratch(struct parquet_writer *writer, uint64_t *offset, uint64_t *length, struct dicom_error *error)
{
	if (writer->scratch.failed)
		return out_of_memory(error);
	*offset = writer->offset;
	*length = writer->scratch.length;
	return give(writer, writer->scratch.data, writer->scratch.length, error);
}

static enum dicom_status
write_pages(struct parquet_writer *writer, struct chunk *chunk, struct chunk_place *place,
			struct dicom_error *error)
{
	uint64_t start = writer->offset, length;

	memset(place, 0, sizeof(*place));
	dicom_buffer_reset(&writer->scratch);
	if (!chunk_finish(chunk, &writer->scratch))
		return out_of_memory(error);
	if (writer->scratch.length > 0 &&
		give_scratch(writer, &place->dictionary_offset, &length, error) != DICOM_OK)
		return DICOM_FAILED;
	place->data_offset = writer->offset;
	if (give(writer, chunk->pages.data, chunk->pages.length, error) != DICOM_OK)
		return DICOM_FAILED;
	place->length = writer->offset - start;
	place->uncompressed = chunk->uncompressed;
	return DICOM_OK;
}

static enum dicom_status
write_indexes(struct parquet_writer *writer, const struct chunk *chunk, struct chunk_place *place,
			  struct dicom_error *error)
{
	dicom_buffer_reset(&writer->scratch);
	if (chunk->column->bloom_filter && chunk->hash_count > 0)
	{
		if (!bloom_append(&writer->scratch, chunk->hashes, chunk->hash_count))
			return out_of_memory(error);
		if (give_scratch(writer, &place->bloom_offset, &place->bloom_length, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	dicom_buffer_reset(&writer->scratch);
	if (chunk_column_index(chunk, &writer->scratch) &&
		give_scratch(writer, &place->column_index_offset, &place->column_index_length, error) != DICOM_OK)
		return DICOM_FAILED;
	dicom_buffer_reset(&writer->scratch);
	chunk_offset_index(chunk, place->data_offset, &writer->scratch);
	return give_scratch(writer, &place->offset_index_offset, &place->offset_index_length, error);
}

/* Adds the struct RowGroup to what the footer will say. */
static void
note_group(struct parquet_writer *writer, uint64_t start)
{
	struct thrift_writer thrift = {.out = &writer->groups};
	uint64_t uncompressed = 0, compressed = 0;
	int i;

	thrift_begin_list(&thrift, 1, THRIFT_STRUCT, (uint32_t) writer->count);
	for (i = 0; i < writer->count; i++)
	{
		chunk_put_metadata(&thrift, &writer->chunks[i], &writer->places[i]);
		uncompressed += writer->places[i].uncompressed;
		compressed += writer->places[i].length;
	}
	thrift_put_i64(&thrift, 2, (int64_t) uncompressed);
	thrift_put_i64(&thrift, 3, (int64_t) writer->group_rows);
	thrift_put_i64(&thrift, 5, (int64_t) start);
	thrift_put_i64(&thrift, 6, (int64_t) compressed);
	thrift_put_i16(&thrift, 7, (int16_t) writer->group_count);
	thrift_end_struct(&thrift);
	writer->group_count++;
}

static enum dicom_status
write_group(struct parquet_writer *writer, struct dicom_error *error)
{
	uint64_t start = writer->offset;
	int i;

	if (writer->group_count == MOST_GROUPS)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "a Parquet file holds no more than %d row groups",
						  MOST_GROUPS);
	for (i = 0; i < writer->count; i++)
	{
		if (write_pages(writer, &writer->chunks[i], &writer->places[i], error) != DICOM_OK)
			return DICOM_FAILED;
	}
	for (i = 0; i < writer->count; i++)
	{
		if (write_indexes(writer, &writer->chunks[i], &writer->places[i], error) != DICOM_OK)
			return DICOM_FAILED;
	}
	note_group(writer, start);
	for (i = 0; i < writer->count; i++)
		chunk_begin(&writer->chunks[i]);
	writer->group_rows = 0;
	return writer->groups.failed ? out_of_memory(error) : DICOM_OK;
}

static uint64_t
group_bytes(const struct parquet_writer *writer)
{
	uint64_t bytes = 0;
	int i;

	for (i = 0; i < writer->count; i++)
		bytes += chunk_bytes(&writer->chunks[i]);
	return bytes;
}

enum dicom_status
parquet_writer_end_row(struct parquet_writer *writer, struct dicom_error *error)
{
	enum dicom_status status = DICOM_OK;
	int i;

	writer->rows++;
	writer->group_rows++;
	for (i = 0; i < writer->count; i++)
	{
		if (!chunk_end_row(&writer->chunks[i], writer->group_rows))
		{
			writer->failed = true;
			return out_of_memory(error);
		}
	}
	/* The sum over many columns is taken now and then only. */
	if (writer->group_rows >= writer->options.row_group_rows ||
		((writer->group_rows & 31) == 0 && group_bytes(writer) >= writer->options.row_group_bytes))
		status = write_group(writer, error);
	writer->failed |= status != DICOM_OK;
	return status;
}

/* --- the footer --- */

static void
put_schema(struct thrift_writer *thrift, const struct parquet_writer *writer)
{
	uint32_t elements = 1;
	int i;

	for (i = 0; i < writer->count; i++)
		elements += schema_elements(&writer->columns[i]);
	thrift_begin_list(thrift, 2, THRIFT_STRUCT, elements);
	thrift_begin_element(thrift);
	thrift_put_string(thrift, 4, "schema");
	thrift_put_i32(thrift, 5, writer->count);
	thrift_end_struct(thrift);
	for (i = 0; i < writer->count; i++)
		schema_put_column(thrift, &writer->columns[i]);
}

/* Every column's order is that of its type: only so may a reader use the bounds. */
static void
put_orders(struct thrift_writer *thrift, int count)
{
	thrift_begin_list(thrift, 7, THRIFT_STRUCT, (uint32_t) count);
	while (count-- > 0)
	{
		thrift_begin_element(thrift);
		thrift_begin_struct(thrift, 1);
		thrift_end_struct(thrift);
		thrift_end_struct(thrift);
	}
}

static enum dicom_status
write_footer(struct parquet_writer *writer, struct dicom_error *error)
{
	struct dicom_buffer *out = &writer->scratch;
	struct thrift_writer thrift = {.out = out};
	uint64_t offset, length;
	int i;

	dicom_buffer_reset(out);
	thrift_put_i32(&thrift, 1, 1);
	put_schema(&thrift, writer);
	thrift_put_i64(&thrift, 3, (int64_t) writer->rows);
	thrift_begin_list(&thrift, 4, THRIFT_STRUCT, writer->group_count);
	dicom_buffer_append(out, writer->groups.data, writer->groups.length);
	if (writer->metadata_count > 0)
	{
		thrift_begin_list(&thrift, 5, THRIFT_STRUCT, writer->metadata_count);
		dicom_buffer_append(out, writer->metadata.data, writer->metadata.length);
	}
	thrift_put_string(&thrift, 6, writer->options.created_by ? writer->options.created_by : "dicom_fdw");
	put_orders(&thrift, writer->count);
	thrift_end_struct(&thrift);
	length = out->length;
	for (i = 0; i < 4; i++)
		dicom_buffer_append_char(out, (char) (length >> 8 * i));
	dicom_buffer_append(out, PARQUET_MAGIC, 4);
	return give_scratch(writer, &offset, &length, error);
}

enum dicom_status
parquet_writer_finish(struct parquet_writer *writer, struct dicom_error *error)
{
	if (writer->failed)
		return dicom_fail(error, DICOM_ERROR_IO, "the Parquet file could not be written");
	if (writer->group_rows > 0 && write_group(writer, error) != DICOM_OK)
		return DICOM_FAILED;
	return write_footer(writer, error);
}

uint64_t
parquet_writer_rows(const struct parquet_writer *writer)
{
	return writer->rows;
}

uint64_t
parquet_writer_bytes(const struct parquet_writer *writer)
{
	return writer->offset;
}

void
parquet_writer_close(struct parquet_writer *writer)
{
	int i;

	if (!writer)
		return;
	for (i = 0; i < writer->count; i++)
	{
		chunk_free(&writer->chunks[i]);
		free((char *) writer->columns[i].name);
	}
	free(writer->columns);
	free(writer->chunks);
	free(writer->places);
	free((char *) writer->options.created_by);
	dicom_buffer_free(&writer->groups);
	dicom_buffer_free(&writer->metadata);
	dicom_buffer_free(&writer->scratch);
	codec_close(&writer->codec);
	free(writer);
}
