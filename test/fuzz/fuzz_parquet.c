/*
 * fuzz_parquet.c
 *	  A Parquet file of anybody's. Where the first byte is odd, what follows are the pages of one column below a sound footer.
 *
 * It begins with files that our writer makes: whatever is too short to be one is replaced by such.
 */
#include <stdlib.h>
#include <string.h>

#include "parquet/page.h"
#include "parquet/parquet.h"

struct bytes
{
	const uint8_t *data;
	size_t size;
};

/* What was looked at must not be optimised away. */
static volatile unsigned seen;

static enum dicom_status
read_bytes(void *arg, uint64_t offset, size_t length, uint8_t *to, struct dicom_error *error)
{
	struct bytes *bytes = arg;

	if (offset > bytes->size || length > bytes->size - offset)
		return dicom_fail(error, DICOM_ERROR_IO, "behind the end");
	if (length > 0)
		memcpy(to, bytes->data + offset, length);
	return DICOM_OK;
}

/* Every byte that a row points to is looked at, so that a sanitizer sees it. */
static unsigned
look(const struct parquet_reader *reader, const struct parquet_column *columns, int count)
{
	unsigned sum = 0;
	int column;

	for (column = 0; column < count; column++)
	{
		uint32_t values, i, j;
		bool is_null;
		const struct parquet_value *value = parquet_reader_values(reader, column, &values, &is_null);

		for (i = 0; i < values; i++)
		{
			bool has_bytes = columns[column].type >= PARQUET_STRING ||
							 (columns[column].type == PARQUET_DECIMAL && columns[column].precision > 18);

			for (j = 0; has_bytes && !value[i].is_null && j < value[i].length; j++)
				sum += value[i].bytes[j];
		}
	}
	return sum;
}

static void
read_file(struct bytes *bytes)
{
	struct parquet_source source = {bytes->size, read_bytes, bytes};
	struct parquet_reader *reader;
	struct dicom_error error;
	const struct parquet_column *columns;
	int count, rows = 0;

	if (parquet_reader_open(&source, &reader, &error) != DICOM_OK)
		return;
	count = parquet_reader_columns(reader, &columns);
	while (rows++ < 1000 && parquet_reader_next(reader, &error) == DICOM_OK)
		seen += look(reader, columns, count);
	parquet_reader_close(reader);
}

static void
read_pages(struct bytes *bytes, uint8_t kind)
{
	struct parquet_source source = {bytes->size, read_bytes, bytes};
	struct parquet_column column = {"c", (enum parquet_type)(kind % PARQUET_TYPE_COUNT),
									.is_list = kind & 0x40, .precision = kind & 0x80 ? 38 : 10};
	struct footer_column detail = {physical_type_of(&column), column.is_list ? 3 : 1, column.is_list ? 2 : 0};
	struct footer_chunk chunk = {0, bytes->size, 1000, PARQUET_UNCOMPRESSED};
	struct page_reader reader = {0};
	struct codec codec = {0};
	struct parquet_value value;
	struct dicom_error error;
	int i;

	page_reader_begin(&reader, &source, &column, &detail, &codec, &chunk);
	for (i = 0; i < 1000 && page_reader_peek(&reader, false, &error) == DICOM_OK &&
				page_reader_take(&reader, &value, &error) == DICOM_OK;
		 i++)
		;
	page_reader_free(&reader);
	codec_close(&codec);
}

extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
extern size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

static enum dicom_status
append(void *arg, const void *bytes, size_t length, struct dicom_error *error)
{
	dicom_buffer_append(arg, bytes, length);
	return DICOM_OK;
}

/* A small file of one or two columns, of a type that the seed says. */
static void
write_sample(struct dicom_buffer *out, unsigned int seed)
{
	struct parquet_column columns[2] = {
		{"a", (enum parquet_type)(seed % PARQUET_TYPE_COUNT), .precision = seed & 64 ? 30 : 9},
		{"b", PARQUET_STRING, .is_list = true}};
	struct parquet_options options = {.compression = (enum parquet_compression)(seed / 16 % 3),
									  .row_group_rows = 3};
	struct parquet_sink sink = {append, out};
	struct parquet_writer *writer;
	int row;

	if (parquet_writer_open(columns, 2, &options, &sink, &writer, NULL) != DICOM_OK)
		abort();
	for (row = 0; row < 5; row++)
	{
		bool is_bytes = columns[0].type >= PARQUET_STRING ||
						(columns[0].type == PARQUET_DECIMAL && columns[0].precision > 18);
		struct parquet_value texts[2] = {{.length = 3}, {.is_null = true}};
		struct parquet_value values[2] = {{.is_null = row == 2},
										  {.length = (uint32_t) row % 3, .elements = texts}};

		texts[0].bytes = (const uint8_t *) "abc";
		if (is_bytes)
		{
			values[0].bytes = (const uint8_t *) "0123456789abcdef";
			values[0].length = 16;
		}
		else
			values[0].integer = row & 1;
		if (parquet_writer_put_row(writer, values, NULL) != DICOM_OK)
			abort();
	}
	if (parquet_writer_finish(writer, NULL) != DICOM_OK)
		abort();
	parquet_writer_close(writer);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
	struct dicom_buffer sample = {0};

	if (size >= 16 || (seed & 1))
		return LLVMFuzzerMutate(data, size, most);
	write_sample(&sample, seed >> 1);
	if (sample.length + 2 > most)
		size = LLVMFuzzerMutate(data, size, most);
	else
	{
		data[0] = 0;
		data[1] = 0;
		memcpy(data + 2, sample.data, sample.length);
		size = sample.length + 2;
	}
	dicom_buffer_free(&sample);
	return size;
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = {data + 2, size > 2 ? size - 2 : 0};

	if (size < 2)
		return 0;
	if (data[0] & 1)
		read_pages(&bytes, data[1]);
	else
		read_file(&bytes);
	return 0;
}
