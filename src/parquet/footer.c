/*
 * footer.c
 *	  Row groups and metadata of the footer; the schema is in schema.c.
 */
#include <stdlib.h>
#include <string.h>

#include "footer.h"
#include "schema.h"

static enum dicom_status
malformed(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MALFORMED, "the footer of the Parquet file makes no sense");
}

static enum dicom_status
out_of_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

/* A copy with a NUL behind it; NULL: out of memory. */
char *
copy_text(const uint8_t *bytes, uint32_t length)
{
	char *text = malloc((size_t) length + 1);

	if (!text)
		return NULL;
	memcpy(text, bytes, length);
	text[length] = '\0';
	return text;
}

static bool
read_codec(int64_t number, enum parquet_compression *compression)
{
	switch (number)
	{
		case 0:
			*compression = PARQUET_UNCOMPRESSED;
			return true;
		case 1:
			*compression = PARQUET_SNAPPY;
			return true;
		case 6:
			*compression = PARQUET_ZSTD;
			return true;
		default:
			return false;
	}
}

static enum dicom_status
read_column_metadata(struct thrift_reader *reader, struct footer_chunk *chunk, struct dicom_error *error)
{
	int64_t codec = -1, values = -1, length = -1, data = -1, dictionary = 0;
	enum thrift_type type;
	int field;

	while (thrift_next_field(reader, &field, &type))
	{
		if (field == 4)
			codec = thrift_get_integer(reader, type);
		else if (field == 5)
			values = thrift_get_integer(reader, type);
		else if (field == 7)
			length = thrift_get_integer(reader, type);
		else if (field == 9)
			data = thrift_get_integer(reader, type);
		else if (field == 11)
			dictionary = thrift_get_integer(reader, type);
		else
			thrift_skip(reader, type);
	}
	if (reader->failed || values < 0 || length < 0 || data < 4)
		return malformed(error);
	if (!read_codec(codec, &chunk->compression))
		return dicom_fail(error, DICOM_ERROR_LIMIT,
						  "the compression of the Parquet file is not zstd, snappy or none");
	chunk->offset = (uint64_t) (dictionary >= 4 && dictionary < data ? dictionary : data);
	chunk->length = (uint64_t) length;
	chunk->values = (uint64_t) values;
	return DICOM_OK;
}

static enum dicom_status
read_chunk(struct thrift_reader *reader, struct footer_chunk *chunk, uint64_t file_size,
		   struct dicom_error *error)
{
	enum thrift_type type;
	bool found = false;
	int field;

	while (thrift_next_field(reader, &field, &type))
	{
		if (field == 3 && type == THRIFT_STRUCT)
		{
			thrift_enter_struct(reader, type);
			if (read_column_metadata(reader, chunk, error) != DICOM_OK)
				return DICOM_FAILED;
			found = true;
		}
		else if (field == 1) /* another file */
			return dicom_fail(error, DICOM_ERROR_LIMIT, "the Parquet file keeps its columns in other files");
		else
			thrift_skip(reader, type);
	}
	if (reader->failed || !found || chunk->offset > file_size || chunk->length > file_size - chunk->offset)
		return malformed(error);
	return DICOM_OK;
}

static enum dicom_status
read_chunks(struct thrift_reader *reader, enum thrift_type type, struct footer *footer, uint32_t group,
			uint64_t file_size, struct dicom_error *error)
{
	enum thrift_type element;
	uint32_t count = thrift_enter_list(reader, type, &element);
	uint32_t i;

	if (reader->failed || count != (uint32_t) footer->column_count || element != THRIFT_STRUCT)
		return malformed(error);
	for (i = 0; i < count; i++)
	{
		thrift_enter_struct(reader, element);
		if (read_chunk(reader, &footer->chunks[(size_t) group * count + i], file_size, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	return DICOM_OK;
}

static enum dicom_status
read_group(struct thrift_reader *reader, struct footer *footer, uint32_t group, uint64_t file_size,
		   struct dicom_error *error)
{
	enum thrift_type type;
	int64_t rows = -1;
	bool found = false;
	int field;

	while (thrift_next_field(reader, &field, &type))
	{
		if (field == 1 && !found)
		{
			if (read_chunks(reader, type, footer, group, file_size, error) != DICOM_OK)
				return DICOM_FAILED;
			found = true;
		}
		else if (field == 3)
			rows = thrift_get_integer(reader, type);
		else
			thrift_skip(reader, type);
	}
	if (reader->failed || !found || rows < 0)
		return malformed(error);
	footer->group_rows[group] = (uint64_t) rows;
	return DICOM_OK;
}

/* Each chunk takes some bytes of the footer, so their number is bounded by its length before memory is asked for. */
static enum dicom_status
read_groups(struct thrift_reader *reader, enum thrift_type type, struct footer *footer, uint64_t file_size,
			struct dicom_error *error)
{
	enum thrift_type element;
	uint32_t count = thrift_enter_list(reader, type, &element);
	uint32_t i;

	if (reader->failed || footer->column_count == 0 || footer->chunks ||
		(count > 0 && element != THRIFT_STRUCT) ||
		(uint64_t) count * (uint64_t) footer->column_count > (uint64_t) (reader->end - reader->next))
		return malformed(error);
	footer->chunks = calloc((size_t) count * (size_t) footer->column_count + 1, sizeof(*footer->chunks));
	footer->group_rows = calloc((size_t) count + 1, sizeof(*footer->group_rows));
	if (!footer->chunks || !footer->group_rows)
		return out_of_memory(error);
	footer->group_count = count;
	for (i = 0; i < count; i++)
	{
		thrift_enter_struct(reader, element);
		if (read_group(reader, footer, i, file_size, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	return DICOM_OK;
}

static bool
read_pair(struct thrift_reader *reader, char **pair)
{
	enum thrift_type type;
	int field;

	while (thrift_next_field(reader, &field, &type))
	{
		if ((field == 1 || field == 2) && !pair[field - 1])
		{
			uint32_t length;
			const uint8_t *bytes = thrift_get_binary(reader, type, &length);

			pair[field - 1] = copy_text(bytes, length);
		}
		else
			thrift_skip(reader, type);
	}
	if (!pair[1])
		pair[1] = copy_text((const uint8_t *) "", 0);
	return !reader->failed && pair[0] && pair[1];
}

static enum dicom_status
read_metadata(struct thrift_reader *reader, enum thrift_type type, struct footer *footer,
			  struct dicom_error *error)
{
	enum thrift_type element;
	uint32_t count = thrift_enter_list(reader, type, &element);
	uint32_t i;

	if (reader->failed || footer->metadata || (count > 0 && element != THRIFT_STRUCT))
		return malformed(error);
	footer->metadata = calloc((size_t) count * 2 + 1, sizeof(*footer->metadata));
	if (!footer->metadata)
		return out_of_memory(error);
	footer->metadata_count = count;
	for (i = 0; i < count; i++)
	{
		thrift_enter_struct(reader, element);
		if (!read_pair(reader, &footer->metadata[(size_t) i * 2]))
			return malformed(error);
	}
	return DICOM_OK;
}

static enum dicom_status
check_rows(const struct footer *footer, struct dicom_error *error)
{
	uint64_t rows = 0;
	uint32_t i;

	for (i = 0; i < footer->group_count; i++)
	{
		rows += footer->group_rows[i];
		if (rows < footer->group_rows[i])
			return malformed(error);
	}
	return rows == footer->rows && footer->chunks ? DICOM_OK : malformed(error);
}

enum dicom_status
footer_read(struct footer *footer, const uint8_t *bytes, size_t length, uint64_t file_size,
			struct dicom_error *error)
{
	struct thrift_reader reader;
	enum dicom_status status = DICOM_OK;
	enum thrift_type type;
	int field;

	memset(footer, 0, sizeof(*footer));
	thrift_reader_init(&reader, bytes, length);
	while (status == DICOM_OK && thrift_next_field(&reader, &field, &type))
	{
		if (field == 2)
			status = schema_read(&reader, type, footer, error);
		else if (field == 3)
			footer->rows = (uint64_t) thrift_get_integer(&reader, type);
		else if (field == 4)
			status = read_groups(&reader, type, footer, file_size, error);
		else if (field == 5)
			status = read_metadata(&reader, type, footer, error);
		else
			thrift_skip(&reader, type);
	}
	if (status != DICOM_OK)
		return status;
	return reader.failed ? malformed(error) : check_rows(footer, error);
}

void
footer_free(struct footer *footer)
{
	uint32_t i;
	int column;

	for (column = 0; column < footer->column_count; column++)
		free((char *) footer->columns[column].name);
	for (i = 0; i < footer->metadata_count * 2; i++)
		free(footer->metadata[i]);
	free(footer->columns);
	free(footer->details);
	free(footer->group_rows);
	free(footer->chunks);
	free(footer->metadata);
	memset(footer, 0, sizeof(*footer));
}
