/*
 * reader.c
 *	  Rows out of a Parquet file.
 */
#include <stdlib.h>
#include <string.h>

#include "page.h"

/* Bytes at the end of the file: length of the footer, magic. */
#define TAIL 8

struct parquet_reader
{
	struct parquet_source source;
	struct footer footer;
	struct codec codec;
	struct page_reader *pages; /* of each column */

	uint32_t group;     /* the next one */
	uint64_t rows_left; /* in the one at hand */
	bool failed;

	/* The row at hand. */
	struct parquet_value **values;
	uint32_t *counts;
	uint32_t *capacities;
	bool *nulls;
};

static enum dicom_status
out_of_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

static enum dicom_status
no_parquet(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MALFORMED, "it is no Parquet file, or not whole");
}

static enum dicom_status
read_footer(struct parquet_reader *reader, struct dicom_error *error)
{
	uint8_t tail[TAIL];
	uint8_t *bytes;
	uint32_t length;
	enum dicom_status status;

	if (reader->source.size < TAIL + 4)
		return no_parquet(error);
	if (reader->source.read(reader->source.arg, reader->source.size - TAIL, TAIL, tail, error) != DICOM_OK)
		return DICOM_FAILED;
	length =
		(uint32_t) tail[0] | (uint32_t) tail[1] << 8 | (uint32_t) tail[2] << 16 | (uint32_t) tail[3] << 24;
	if (memcmp(tail + 4, PARQUET_MAGIC, 4) != 0 || length > reader->source.size - TAIL - 4)
		return no_parquet(error);
	if (length > FOOTER_MOST_BYTES)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "the footer of the Parquet file is longer than %u bytes",
						  FOOTER_MOST_BYTES);
	bytes = malloc((size_t) length + 1);
	if (!bytes)
		return out_of_memory(error);
	status =
		reader->source.read(reader->source.arg, reader->source.size - TAIL - length, length, bytes, error);
	if (status == DICOM_OK)
		status = footer_read(&reader->footer, bytes, length, reader->source.size, error);
	free(bytes);
	return status;
}

static bool
allocate(struct parquet_reader *reader)
{
	size_t count = (size_t) reader->footer.column_count;

	reader->pages = calloc(count, sizeof(*reader->pages));
	reader->values = calloc(count, sizeof(*reader->values));
	reader->counts = calloc(count, sizeof(*reader->counts));
	reader->capacities = calloc(count, sizeof(*reader->capacities));
	reader->nulls = calloc(count, sizeof(*reader->nulls));
	return reader->pages && reader->values && reader->counts && reader->capacities && reader->nulls;
}

enum dicom_status
parquet_reader_open(const struct parquet_source *source, struct parquet_reader **reader,
					struct dicom_error *error)
{
	struct parquet_reader *new = calloc(1, sizeof(*new));
	enum dicom_status status;

	*reader = NULL;
	if (!new)
		return out_of_memory(error);
	new->source = *source;
	status = read_footer(new, error);
	if (status == DICOM_OK && !allocate(new))
		status = out_of_memory(error);
	if (status != DICOM_OK)
	{
		parquet_reader_close(new);
		return status;
	}
	*reader = new;
	return DICOM_OK;
}

void
parquet_reader_close(struct parquet_reader *reader)
{
	int i;

	if (!reader)
		return;
	for (i = 0; reader->pages && i < reader->footer.column_count; i++)
		page_reader_free(&reader->pages[i]);
	for (i = 0; reader->values && i < reader->footer.column_count; i++)
		free(reader->values[i]);
	free(reader->pages);
	free(reader->values);
	free(reader->counts);
	free(reader->capacities);
	free(reader->nulls);
	footer_free(&reader->footer);
	codec_close(&reader->codec);
	free(reader);
}

int
parquet_reader_columns(const struct parquet_reader *reader, const struct parquet_column **columns)
{
	*columns = reader->footer.columns;
	return reader->footer.column_count;
}

uint64_t
parquet_reader_rows(const struct parquet_reader *reader)
{
	return reader->footer.rows;
}

const char *
parquet_reader_metadata(const struct parquet_reader *reader, const char *key)
{
	uint32_t i;

	for (i = 0; i < reader->footer.metadata_count; i++)
	{
		if (strcmp(reader->footer.metadata[(size_t) i * 2], key) == 0)
			return reader->footer.metadata[(size_t) i * 2 + 1];
	}
	return NULL;
}

static void
begin_group(struct parquet_reader *reader)
{
	struct footer *footer = &reader->footer;
	int i;

	for (i = 0; i < footer->column_count; i++)
		page_reader_begin(
			&reader->pages[i], &reader->source, &footer->columns[i], &footer->details[i], &reader->codec,
			&footer->chunks[(size_t) reader->group * (size_t) footer->column_count + (size_t) i]);
	reader->rows_left = footer->group_rows[reader->group++];
}

/* Room for one more value of the row. */
static bool
make_room(struct parquet_reader *reader, int column)
{
	uint32_t capacity = reader->capacities[column];
	struct parquet_value *values;

	if (reader->counts[column] < capacity)
		return true;
	capacity = capacity ? capacity * 2 : 1;
	values = realloc(reader->values[column], capacity * sizeof(*values));
	if (!values)
		return false;
	reader->values[column] = values;
	reader->capacities[column] = capacity;
	return true;
}

static enum dicom_status
take(struct parquet_reader *reader, int column, struct dicom_error *error)
{
	if (!make_room(reader, column))
		return out_of_memory(error);
	return page_reader_take(&reader->pages[column], &reader->values[column][reader->counts[column]++], error);
}

/* The elements of a list stand in one page, so that what they point to stays. */
static enum dicom_status
read_list(struct parquet_reader *reader, int column, struct dicom_error *error)
{
	struct page_reader *page = &reader->pages[column];
	uint32_t list_definition = (uint32_t) reader->footer.details[column].list_definition;
	struct parquet_value nothing;
	enum dicom_status status;

	if (page->definition < list_definition)
	{
		/* Level 0 of an optional list says NULL; else it is empty. */
		reader->nulls[column] = list_definition == 2 && page->definition == 0;
		return page_reader_take(page, &nothing, error);
	}
	do
	{
		if (page->definition < list_definition)
			return dicom_fail(error, DICOM_ERROR_MALFORMED,
							  "the levels of a list of the Parquet file make no sense");
		if (take(reader, column, error) != DICOM_OK)
			return DICOM_FAILED;
		status = page_reader_peek(page, true, error);
	} while (status == DICOM_OK && page->repetition == 1);
	return status == DICOM_FAILED ? status : DICOM_OK;
}

static enum dicom_status
read_column(struct parquet_reader *reader, int column, struct dicom_error *error)
{
	struct page_reader *page = &reader->pages[column];
	enum dicom_status status = page_reader_peek(page, false, error);

	reader->counts[column] = 0;
	reader->nulls[column] = false;
	if (status == DICOM_END || (status == DICOM_OK && page->repetition != 0))
		return dicom_fail(error, DICOM_ERROR_MALFORMED,
						  "column %d of the Parquet file does not fit its count of rows", column + 1);
	if (status != DICOM_OK)
		return status;
	if (reader->footer.columns[column].is_list)
		return read_list(reader, column, error);
	status = take(reader, column, error);
	if (status == DICOM_OK && reader->values[column][0].is_null)
	{
		reader->nulls[column] = true;
		reader->counts[column] = 0;
	}
	return status;
}

enum dicom_status
parquet_reader_next(struct parquet_reader *reader, struct dicom_error *error)
{
	int i;

	if (reader->failed)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "reading the Parquet file has failed before");
	while (reader->rows_left == 0)
	{
		if (reader->group == reader->footer.group_count)
			return DICOM_END;
		begin_group(reader);
	}
	reader->rows_left--;
	for (i = 0; i < reader->footer.column_count; i++)
	{
		if (read_column(reader, i, error) != DICOM_OK)
		{
			reader->failed = true;
			return DICOM_FAILED;
		}
	}
	return DICOM_OK;
}

const struct parquet_value *
parquet_reader_values(const struct parquet_reader *reader, int column, uint32_t *count, bool *is_null)
{
	*count = reader->counts[column];
	*is_null = reader->nulls[column];
	return reader->values[column];
}
