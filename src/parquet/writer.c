/*
 * writer.c
 *	  Rows become row groups, row groups a file.
 *
 * There are two row groups: one is filled while the other is encoded, column by column, by threads if there are some.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunk.h"
#include "team.h"

#define DEFAULT_ROWS  122880
#define DEFAULT_BYTES ((uint64_t) 64 << 20)
#define DEFAULT_LEVEL 1
#define MOST_GROUPS   INT16_MAX /* ordinals are 16 bits */

#define THREADS     2
#define SMALL_BYTES ((uint64_t) 1 << 20) /* encoded before threads are there */

struct group
{
	struct parquet_writer *writer;
	struct chunk *chunks;
	uint64_t rows;
	uint64_t bytes; /* of values */
	bool *failed;   /* of each chunk, when it was encoded */
};

/* What a member of the team has of its own. */
struct member
{
	struct parquet_writer *writer;
	int number;
	struct chunk_encoder encoder;
};

struct parquet_writer
{
	struct parquet_column *columns;
	int count;
	struct parquet_options options;
	struct parquet_sink sink;

	struct group groups[2];
	struct group *filling;
	struct group *encoding; /* NULL: none */
	struct team *team;      /* NULL: not yet */
	struct member *members;
	int member_count;

	uint64_t rows;
	uint64_t offset; /* bytes given to the sink */
	bool failed;

	struct dicom_buffer noted; /* the structs RowGroup */
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
	if (options->threads == 0)
		options->threads = sysconf(_SC_NPROCESSORS_ONLN) < THREADS ? 1 : THREADS;
	options->created_by = options->created_by ? strdup(options->created_by) : NULL;
}

static bool
make_group(struct parquet_writer *writer, struct group *group, int count)
{
	int i;

	group->writer = writer;
	group->chunks = calloc((size_t) count, sizeof(*group->chunks));
	group->failed = calloc((size_t) count, sizeof(*group->failed));
	if (!group->chunks || !group->failed)
		return false;
	for (i = 0; i < count; i++)
	{
		group->chunks[i].column = &writer->columns[i];
		group->chunks[i].options = &writer->options;
		chunk_begin(&group->chunks[i]);
	}
	return true;
}

static bool
copy_columns(struct parquet_writer *writer, const struct parquet_column *columns, int count)
{
	int i;

	writer->columns = calloc((size_t) count, sizeof(*writer->columns));
	writer->places = calloc((size_t) count, sizeof(*writer->places));
	if (!writer->columns || !writer->places)
		return false;
	writer->count = count;
	for (i = 0; i < count; i++)
	{
		writer->columns[i] = columns[i];
		writer->columns[i].name = strdup(columns[i].name);
		if (columns[i].is_list || columns[i].type == PARQUET_BOOLEAN)
			writer->columns[i].bloom_filter = false;
		if (!writer->columns[i].name)
			return false;
	}
	writer->filling = &writer->groups[0];
	return make_group(writer, &writer->groups[0], count) && make_group(writer, &writer->groups[1], count);
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
write_pages(struct parquet_writer *writer, const struct chunk *chunk, struct chunk_place *place,
			struct dicom_error *error)
{
	uint64_t start = writer->offset;

	memset(place, 0, sizeof(*place));
	if (chunk->dictionary_page.length > 0)
	{
		place->dictionary_offset = writer->offset;
		if (give(writer, chunk->dictionary_page.data, chunk->dictionary_page.length, error) != DICOM_OK)
			return DICOM_FAILED;
	}
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
	if (chunk->bloom.length > 0)
	{
		place->bloom_offset = writer->offset;
		place->bloom_length = chunk->bloom.length;
		if (give(writer, chunk->bloom.data, chunk->bloom.length, error) != DICOM_OK)
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
note_group(struct parquet_writer *writer, const struct group *group, uint64_t start)
{
	struct thrift_writer thrift = {.out = &writer->noted};
	uint64_t uncompressed = 0, compressed = 0;
	int i;

	thrift_begin_list(&thrift, 1, THRIFT_STRUCT, (uint32_t) writer->count);
	for (i = 0; i < writer->count; i++)
	{
		chunk_put_metadata(&thrift, &group->chunks[i], &writer->places[i]);
		uncompressed += writer->places[i].uncompressed;
		compressed += writer->places[i].length;
	}
	thrift_put_i64(&thrift, 2, (int64_t) uncompressed);
	thrift_put_i64(&thrift, 3, (int64_t) group->rows);
	thrift_put_i64(&thrift, 5, (int64_t) start);
	thrift_put_i64(&thrift, 6, (int64_t) compressed);
	thrift_put_i16(&thrift, 7, (int16_t) writer->group_count);
	thrift_end_struct(&thrift);
	writer->group_count++;
}

/* Gives an encoded group to the sink, and empties it. */
static enum dicom_status
write_group(struct parquet_writer *writer, struct group *group, struct dicom_error *error)
{
	uint64_t start = writer->offset;
	int i;

	if (writer->group_count == MOST_GROUPS)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "a Parquet file holds no more than %d row groups",
						  MOST_GROUPS);
	for (i = 0; i < writer->count; i++)
	{
		if (write_pages(writer, &group->chunks[i], &writer->places[i], error) != DICOM_OK)
			return DICOM_FAILED;
	}
	for (i = 0; i < writer->count; i++)
	{
		if (write_indexes(writer, &group->chunks[i], &writer->places[i], error) != DICOM_OK)
			return DICOM_FAILED;
	}
	note_group(writer, group, start);
	for (i = 0; i < writer->count; i++)
		chunk_begin(&group->chunks[i]);
	group->rows = group->bytes = 0;
	return writer->noted.failed ? out_of_memory(error) : DICOM_OK;
}

/* --- encoding, in which threads take part --- */

static void
encode_chunk(void *arg, uint32_t piece, int member)
{
	struct group *group = arg;

	group->failed[piece] = !chunk_encode(&group->chunks[piece], &group->writer->members[member].encoder);
}

static bool
member_stopped(void *arg)
{
	struct member *member = arg;

	return team_stopped(member->writer->team, member->number);
}

static bool
make_team(struct parquet_writer *writer, int count)
{
	int i;

	writer->members = calloc((size_t) count, sizeof(*writer->members));
	if (!writer->members)
		return false;
	writer->member_count = count;
	for (i = 0; i < count; i++)
	{
		writer->members[i].writer = writer;
		writer->members[i].number = i;
		writer->members[i].encoder.stopped = member_stopped;
		writer->members[i].encoder.arg = &writer->members[i];
	}
	writer->team = team_open(count, &writer->options.host);
	return writer->team != NULL;
}

/* Waits until the group that is being encoded is done. */
static enum dicom_status
finish_encoding(struct parquet_writer *writer, struct dicom_error *error)
{
	int i;

	if (!team_finish(writer->team))
		return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted while rows were encoded");
	for (i = 0; i < writer->count; i++)
	{
		if (writer->encoding->failed[i])
			return out_of_memory(error);
	}
	return DICOM_OK;
}

/* Begins to encode the group that was filled; the one before is written, and filled next. */
static enum dicom_status
turn_groups(struct parquet_writer *writer, bool is_last, struct dicom_error *error)
{
	struct group *done = writer->encoding;
	struct team_work work = {encode_chunk, writer->filling, (uint32_t) writer->count};

	if (!writer->team &&
		!make_team(writer, is_last && writer->filling->bytes < SMALL_BYTES ? 1 : writer->options.threads))
		return out_of_memory(error);
	if (done && finish_encoding(writer, error) != DICOM_OK)
		return DICOM_FAILED;
	writer->encoding = writer->filling;
	writer->filling = writer->encoding == &writer->groups[0] ? &writer->groups[1] : &writer->groups[0];
	team_begin(writer->team, &work);
	return done ? write_group(writer, done, error) : DICOM_OK;
}

static bool
is_too_long(const struct parquet_column *column, const struct parquet_value *value)
{
	bool has_bytes = physical_type_of(column) == PHYSICAL_BYTES;
	uint64_t bytes = 0;
	uint32_t i;

	if (value->is_null)
		return false;
	if (!column->is_list)
		return has_bytes && value->length > PARQUET_MAX_PAGE / 2;
	for (i = 0; i < value->length; i++)
		bytes += !has_bytes                   ? FIXED_LENGTH
				 : value->elements[i].is_null ? 1
											  : 4 + (uint64_t) value->elements[i].length;
	return bytes > PARQUET_MAX_PAGE / 2;
}

enum dicom_status
parquet_writer_put_row(struct parquet_writer *writer, const struct parquet_value *values,
					   struct dicom_error *error)
{
	struct group *group = writer->filling;
	enum dicom_status status = DICOM_OK;
	int refused;
	uint64_t bytes = chunk_put_row(group->chunks, writer->count, values, &refused);

	writer->rows++;
	group->rows++;
	group->bytes += bytes;
	if (bytes == 0 && is_too_long(&writer->columns[refused], &values[refused]))
		status = dicom_fail(error, DICOM_ERROR_LIMIT, "a value of column %d has more than %u bytes",
							refused + 1, PARQUET_MAX_PAGE / 2);
	else if (bytes == 0)
		status = out_of_memory(error);
	else if (group->rows >= writer->options.row_group_rows || group->bytes >= writer->options.row_group_bytes)
		status = turn_groups(writer, false, error);
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
	dicom_buffer_append(out, writer->noted.data, writer->noted.length);
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
	if (writer->filling->rows > 0 && turn_groups(writer, true, error) != DICOM_OK)
		return DICOM_FAILED;
	if (writer->encoding && (finish_encoding(writer, error) != DICOM_OK ||
							 write_group(writer, writer->encoding, error) != DICOM_OK))
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

static void
free_group(struct group *group, int count)
{
	int i;

	for (i = 0; group->chunks && i < count; i++)
		chunk_free(&group->chunks[i]);
	free(group->chunks);
	free(group->failed);
}

void
parquet_writer_close(struct parquet_writer *writer)
{
	int i;

	if (!writer)
		return;
	team_close(writer->team);
	for (i = 0; i < writer->member_count; i++)
		chunk_encoder_free(&writer->members[i].encoder);
	free(writer->members);
	free_group(&writer->groups[0], writer->count);
	free_group(&writer->groups[1], writer->count);
	for (i = 0; i < writer->count; i++)
		free((char *) writer->columns[i].name);
	free(writer->columns);
	free(writer->places);
	free((char *) writer->options.created_by);
	dicom_buffer_free(&writer->noted);
	dicom_buffer_free(&writer->metadata);
	dicom_buffer_free(&writer->scratch);
	free(writer);
}
