/*
 * test_parquet.c
 *	  Parquet written and read again; broken files.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "parquet/levels.h"
#include "parquet/parquet.h"
#include "parquet/statistics.h"
#include "unit.h"

struct memory
{
	struct dicom_buffer bytes;
	size_t fail_after; /* 0: never */
};

static enum dicom_status
memory_write(void *arg, const void *bytes, size_t length, struct dicom_error *error)
{
	struct memory *memory = arg;

	if (memory->fail_after && memory->bytes.length + length > memory->fail_after)
		return dicom_fail(error, DICOM_ERROR_IO, "no room");
	dicom_buffer_append(&memory->bytes, bytes, length);
	return DICOM_OK;
}

static enum dicom_status
memory_read(void *arg, uint64_t offset, size_t length, uint8_t *bytes, struct dicom_error *error)
{
	struct memory *memory = arg;

	if (offset > memory->bytes.length || length > memory->bytes.length - offset)
		return dicom_fail(error, DICOM_ERROR_IO, "behind the end");
	memcpy(bytes, memory->bytes.data + offset, length);
	return DICOM_OK;
}

static const struct parquet_column columns[] = {
	{"flag", PARQUET_BOOLEAN},
	{"small", PARQUET_INT32},
	{"large", PARQUET_INT64, .bloom_filter = true},
	{"single", PARQUET_FLOAT},
	{"real", PARQUET_DOUBLE},
	{"money", PARQUET_DECIMAL, .precision = 12, .scale = 2},
	{"huge", PARQUET_DECIMAL, .precision = 38, .scale = 10},
	{"day", PARQUET_DATE},
	{"clock", PARQUET_TIME},
	{"moment", PARQUET_TIMESTAMP},
	{"instant", PARQUET_TIMESTAMP_UTC},
	{"name", PARQUET_STRING, .bloom_filter = true},
	{"raw", PARQUET_BINARY},
	{"doc", PARQUET_JSON},
	{"id", PARQUET_UUID, .bloom_filter = true},
	{"names", PARQUET_STRING, .is_list = true},
	{"numbers", PARQUET_DOUBLE, .is_list = true},
};

#define COLUMNS ((int) (sizeof(columns) / sizeof(columns[0])))

static bool
is_bytes(int column)
{
	enum parquet_type type = columns[column].type;

	return type == PARQUET_STRING || type == PARQUET_BINARY || type == PARQUET_JSON || type == PARQUET_UUID ||
		   (type == PARQUET_DECIMAL && columns[column].precision > 18);
}

static bool
is_fixed(int column)
{
	return columns[column].type == PARQUET_UUID || columns[column].type == PARQUET_DECIMAL;
}

/* A number that depends on all three, and is the same again. */
static uint64_t
noise(uint64_t row, int column, uint32_t element)
{
	uint64_t x = row * 0x9E3779B97F4A7C15u + (uint64_t) column * 1000003 + element * 77;

	x ^= x >> 31;
	x *= 0xBF58476D1CE4E5B9u;
	return x ^ x >> 29;
}

/* The value of a column: every seventh is NULL; some columns have few distinct values, some only distinct ones. */
static struct parquet_value
value_of(uint64_t row, int column, uint32_t element, uint8_t *room)
{
	uint64_t x = noise(row, column, element);
	struct parquet_value value = {.is_null = x % 7 == 0};

	if (value.is_null)
		return value;
	if (is_bytes(column))
	{
		value.bytes = room;
		value.length = is_fixed(column) ? 16 : (uint32_t) (x >> 8) % 40;
		memset(room, column % 2 ? (int) (x >> 20 & 3) + 'a' : (int) (x >> 20 & 63) + '0', 40);
		if (column == 11)
			memcpy(room, &row, value.length < 8 ? value.length : 8);
	}
	else if (columns[column].type == PARQUET_FLOAT || columns[column].type == PARQUET_DOUBLE)
		value.real = (double) (float) ((double) (x % 100000) / 7 - 5000);
	else if (columns[column].type == PARQUET_BOOLEAN)
		value.integer = (int64_t) (x >> 13 & 1);
	else if (columns[column].type == PARQUET_INT32 || columns[column].type == PARQUET_DATE)
		value.integer = (int32_t) (x >> 40);
	else
		value.integer = column == 5 ? (int64_t) (x >> 50) : (int64_t) x;
	return value;
}

static uint32_t
list_length(uint64_t row, int column)
{
	return (uint32_t) (noise(row, column, 99) >> 9) % 6;
}

static bool
list_is_null(uint64_t row, int column)
{
	return noise(row, column, 98) % 5 == 0;
}

static enum dicom_status
put_row(struct parquet_writer *writer, uint64_t row, struct dicom_error *error)
{
	static struct parquet_value elements[COLUMNS][6];
	static uint8_t room[COLUMNS][6][48];
	struct parquet_value values[COLUMNS] = {{0}};
	int column;

	for (column = 0; column < COLUMNS; column++)
	{
		struct parquet_value *value = &values[column];
		uint32_t i;

		if (!columns[column].is_list)
		{
			*value = value_of(row, column, 0, room[column][0]);
			continue;
		}
		value->is_null = list_is_null(row, column);
		value->length = list_length(row, column);
		value->elements = elements[column];
		for (i = 0; i < value->length; i++)
			elements[column][i] = value_of(row, column, i, room[column][i]);
	}
	return parquet_writer_put_row(writer, values, error);
}

static enum dicom_status
write_with(struct memory *memory, uint64_t rows, const struct parquet_options *options,
		   struct dicom_error *error)
{
	struct parquet_sink sink = {memory_write, memory};
	struct parquet_writer *writer;
	enum dicom_status status = parquet_writer_open(columns, COLUMNS, options, &sink, &writer, error);
	uint64_t row;

	for (row = 0; row < rows && status == DICOM_OK; row++)
		status = put_row(writer, row, error);
	if (status == DICOM_OK)
		status = parquet_writer_metadata(writer, "what", "a test", error);
	if (status == DICOM_OK)
		status = parquet_writer_finish(writer, error);
	parquet_writer_close(writer);
	return status;
}

static enum dicom_status
write_file(struct memory *memory, uint64_t rows, enum parquet_compression compression, uint32_t group,
		   struct dicom_error *error)
{
	struct parquet_options options = {.compression = compression, .row_group_rows = group};

	return write_with(memory, rows, &options, error);
}

static bool
same(int column, const struct parquet_value *a, const struct parquet_value *b)
{
	if (a->is_null || b->is_null)
		return a->is_null == b->is_null;
	if (is_bytes(column))
		return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
	if (columns[column].type == PARQUET_FLOAT || columns[column].type == PARQUET_DOUBLE)
		return a->real == b->real;
	return a->integer == b->integer;
}

static bool
same_column(const struct parquet_reader *reader, uint64_t row, int column)
{
	uint32_t count, i;
	bool is_null;
	const struct parquet_value *values = parquet_reader_values(reader, column, &count, &is_null);
	uint8_t room[48];
	struct parquet_value value;

	if (!columns[column].is_list)
	{
		value = value_of(row, column, 0, room);
		return is_null ? value.is_null : count == 1 && same(column, &values[0], &value);
	}
	if (is_null || list_is_null(row, column))
		return is_null == list_is_null(row, column);
	if (count != list_length(row, column))
		return false;
	for (i = 0; i < count; i++)
	{
		value = value_of(row, column, i, room);
		if (!same(column, &values[i], &value))
			return false;
	}
	return true;
}

static uint64_t
wrong_values(struct memory *memory, uint64_t rows)
{
	struct parquet_source source = {memory->bytes.length, memory_read, memory};
	struct parquet_reader *reader;
	struct dicom_error error;
	const struct parquet_column *found;
	uint64_t row, wrong = 0;
	int column;

	CHECK(parquet_reader_open(&source, &reader, &error) == DICOM_OK);
	if (!reader)
		return 1;
	CHECK(parquet_reader_columns(reader, &found) == COLUMNS);
	CHECK(parquet_reader_rows(reader) == rows);
	CHECK_STRING(parquet_reader_metadata(reader, "what"), "a test");
	CHECK(parquet_reader_metadata(reader, "other") == NULL);
	for (column = 0; column < COLUMNS; column++)
		CHECK(strcmp(found[column].name, columns[column].name) == 0 &&
			  found[column].type == columns[column].type &&
			  found[column].is_list == columns[column].is_list &&
			  found[column].scale == columns[column].scale);
	for (row = 0; parquet_reader_next(reader, &error) == DICOM_OK; row++)
	{
		for (column = 0; column < COLUMNS; column++)
			wrong += !same_column(reader, row, column);
	}
	CHECK(row == rows);
	parquet_reader_close(reader);
	return wrong;
}

UNIT_TEST(parquet_comes_back)
{
	static const struct
	{
		uint64_t rows;
		enum parquet_compression compression;
		uint32_t group;
	} cases[] = {{0, PARQUET_ZSTD, 0},     {1, PARQUET_ZSTD, 0},
				 {7, PARQUET_SNAPPY, 3},   {1000, PARQUET_SNAPPY, 17},
				 {50000, PARQUET_ZSTD, 0}, {30000, PARQUET_UNCOMPRESSED, 29999},
				 {1, PARQUET_SNAPPY, 1},   {64, PARQUET_UNCOMPRESSED, 8}};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct memory memory = {0};
		struct dicom_error error;

		CHECK(write_file(&memory, cases[i].rows, cases[i].compression, cases[i].group, &error) == DICOM_OK);
		CHECK(wrong_values(&memory, cases[i].rows) == 0);
		dicom_buffer_free(&memory.bytes);
	}
}

UNIT_TEST(parquet_groups_are_bounded_by_bytes)
{
	struct memory memory = {0};
	struct parquet_options options = {.row_group_bytes = 100000};
	struct parquet_sink sink = {memory_write, &memory};
	struct parquet_writer *writer;
	struct dicom_error error;
	uint64_t row;

	CHECK(parquet_writer_open(columns, COLUMNS, &options, &sink, &writer, &error) == DICOM_OK);
	for (row = 0; row < 5000; row++)
		CHECK(put_row(writer, row, &error) == DICOM_OK);
	CHECK(parquet_writer_bytes(writer) > 100000);
	CHECK(parquet_writer_metadata(writer, "what", "a test", &error) == DICOM_OK);
	CHECK(parquet_writer_finish(writer, &error) == DICOM_OK);
	parquet_writer_close(writer);
	CHECK(wrong_values(&memory, 5000) == 0);
	dicom_buffer_free(&memory.bytes);
}

UNIT_TEST(parquet_is_the_same_whatever_the_threads)
{
	static const int threads[] = {2, 5};
	struct memory one = {0};
	struct parquet_options options = {.row_group_rows = 4000, .threads = 1};
	struct dicom_error error;
	size_t i;

	CHECK(write_with(&one, 30000, &options, &error) == DICOM_OK);
	for (i = 0; i < sizeof(threads) / sizeof(threads[0]); i++)
	{
		struct memory many = {0};

		options.threads = threads[i];
		CHECK(write_with(&many, 30000, &options, &error) == DICOM_OK);
		CHECK(many.bytes.length == one.bytes.length &&
			  memcmp(many.bytes.data, one.bytes.data, one.bytes.length) == 0);
		dicom_buffer_free(&many.bytes);
	}
	dicom_buffer_free(&one.bytes);
}

/* Lets the writer wait so many times. */
static bool
wait_until_interrupted(void *arg, int fd, int timeout_ms)
{
	int *left = arg;

	return (*left)-- > 0;
}

UNIT_TEST(parquet_is_interrupted)
{
	int left;

	for (left = 0; left < 20; left += 3)
	{
		struct memory memory = {0};
		int again = left;
		struct parquet_options options = {
			.row_group_rows = 30000, .level = 19, .threads = 2, .host = {wait_until_interrupted, &again}};
		struct dicom_error error = {0};
		enum dicom_status status = write_with(&memory, 100000, &options, &error);

		CHECK(status == DICOM_OK ? again >= 0 : again < 0 && error.code == DICOM_ERROR_INTERRUPTED);
		CHECK(left > 0 || status == DICOM_FAILED);
		dicom_buffer_free(&memory.bytes);
	}
}

UNIT_TEST(parquet_is_closed_while_threads_encode)
{
	int rows;

	for (rows = 2000; rows < 20000; rows += 2500)
	{
		struct memory memory = {0};
		struct parquet_options options = {.row_group_rows = 2000, .threads = 3};
		struct parquet_sink sink = {memory_write, &memory};
		struct parquet_writer *writer;
		struct dicom_error error;
		int row;

		CHECK(parquet_writer_open(columns, COLUMNS, &options, &sink, &writer, &error) == DICOM_OK);
		for (row = 0; row < rows; row++)
			CHECK(put_row(writer, (uint64_t) row, &error) == DICOM_OK);
		parquet_writer_close(writer);
		dicom_buffer_free(&memory.bytes);
	}
}

UNIT_TEST(parquet_sink_that_fails)
{
	struct memory memory = {.fail_after = 20000};
	struct dicom_error error;

	CHECK(write_file(&memory, 10000, PARQUET_ZSTD, 1000, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_IO);
	dicom_buffer_free(&memory.bytes);
}

UNIT_TEST(parquet_refuses_columns)
{
	static const struct parquet_column wrong[] = {{"d", PARQUET_DECIMAL, .precision = 39}};
	struct memory memory = {0};
	struct parquet_sink sink = {memory_write, &memory};
	struct parquet_writer *writer;
	struct dicom_error error;

	CHECK(parquet_writer_open(wrong, 1, NULL, &sink, &writer, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);
	CHECK(parquet_writer_open(wrong, 0, NULL, &sink, &writer, &error) == DICOM_FAILED);
	dicom_buffer_free(&memory.bytes);
}

/* A row goes into one page: what is too long for that is said, be it one text or a list of many. */
UNIT_TEST(parquet_refuses_long_rows)
{
	static const struct parquet_column texts[] = {{"t", PARQUET_STRING},
												  {"l", PARQUET_STRING, .is_list = true}};
	uint32_t length = (uint32_t) 70 << 20;
	uint8_t *bytes = calloc(1, 2 * (size_t) length);
	struct parquet_value elements[2] = {{.length = length, .bytes = bytes},
										{.length = length, .bytes = bytes}};
	struct parquet_value rows[][2] = {{{.length = 2 * length, .bytes = bytes}, {.is_null = true}},
									  {{.is_null = true}, {.length = 2, .elements = elements}}};
	size_t i;

	for (i = 0; i < 2; i++)
	{
		struct memory memory = {0};
		struct parquet_sink sink = {memory_write, &memory};
		struct parquet_writer *writer;
		struct dicom_error error;

		CHECK(parquet_writer_open(texts, 2, NULL, &sink, &writer, &error) == DICOM_OK);
		CHECK(parquet_writer_put_row(writer, rows[i], &error) == DICOM_FAILED);
		CHECK(error.code == DICOM_ERROR_LIMIT);
		parquet_writer_close(writer);
		dicom_buffer_free(&memory.bytes);
	}
	free(bytes);
}

/* Reads all that can be read; how it ended. */
static enum dicom_status
drain(struct memory *memory, struct dicom_error *error)
{
	struct parquet_source source = {memory->bytes.length, memory_read, memory};
	struct parquet_reader *reader;
	enum dicom_status status = parquet_reader_open(&source, &reader, error);

	while (status == DICOM_OK)
		status = parquet_reader_next(reader, error);
	parquet_reader_close(reader);
	return status;
}

UNIT_TEST(parquet_cut_anywhere)
{
	struct memory memory = {0};
	struct dicom_error error;
	size_t whole;

	CHECK(write_file(&memory, 60, PARQUET_ZSTD, 25, &error) == DICOM_OK);
	whole = memory.bytes.length;
	while (memory.bytes.length > 0)
	{
		memory.bytes.length--;
		CHECK(drain(&memory, &error) == DICOM_FAILED);
		CHECK(error.code == DICOM_ERROR_MALFORMED || error.code == DICOM_ERROR_LIMIT);
	}
	memory.bytes.length = whole;
	CHECK(drain(&memory, &error) == DICOM_END);
	dicom_buffer_free(&memory.bytes);
}

/* Whatever one byte does: an end, or an error, and the sanitizers silent. Pages have a checksum, so what they hold never changes. */
UNIT_TEST(parquet_one_byte_wrong)
{
	struct memory memory = {0};
	struct dicom_error error;
	size_t i;

	CHECK(write_file(&memory, 20, PARQUET_SNAPPY, 15, &error) == DICOM_OK);
	for (i = 0; i < memory.bytes.length; i++)
	{
		char before = memory.bytes.data[i];
		enum dicom_status status;

		memory.bytes.data[i] = (char) (before ^ (1 << i % 8));
		status = drain(&memory, &error);
		CHECK(status == DICOM_END || status == DICOM_FAILED);
		memory.bytes.data[i] = before;
	}
	dicom_buffer_free(&memory.bytes);
}

UNIT_TEST(levels_come_back)
{
	uint32_t values[3000], value = 0;
	int width, round;

	for (width = 0; width <= 32; width++)
	{
		for (round = 0; round < 4; round++)
		{
			struct dicom_buffer out = {0};
			struct levels_decoder decoder;
			uint32_t count = (uint32_t) (noise((uint64_t) width, round, 1) % 3000), i;

			for (i = 0; i < count; i++)
			{
				if (noise(i / (round == 3 ? 40 : 1), width, (uint32_t) round) % (uint64_t) (1 + round * 3) ==
						0 ||
					round == 3)
					value = (uint32_t) (noise(i / (round == 3 ? 40 : 1), width, 3) &
										(((uint64_t) 1 << width) - 1));
				values[i] = value & (uint32_t) (((uint64_t) 1 << width) - 1);
			}
			levels_encode(&out, values, count, width);
			levels_decoder_init(&decoder, (const uint8_t *) (out.data ? out.data : ""), out.length, width);
			for (i = 0; i < count; i++)
				CHECK(levels_decode(&decoder, &value) && value == values[i]);
			dicom_buffer_free(&out);
		}
	}
}

UNIT_TEST(levels_that_go_on_forever)
{
	static const uint8_t endless[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
	static const uint8_t none[] = {0x00, 0x01};
	struct levels_decoder decoder;
	uint32_t value;

	levels_decoder_init(&decoder, endless, sizeof(endless), 3);
	CHECK(!levels_decode(&decoder, &value));
	levels_decoder_init(&decoder, none, sizeof(none), 3);
	CHECK(!levels_decode(&decoder, &value));
}

static int
bound(const struct statistics *statistics, enum parquet_type type, bool greatest, uint8_t *bytes,
	  bool *is_exact)
{
	struct parquet_column column = {"c", type};

	return statistics_bound(statistics, &column, greatest, bytes, is_exact);
}

static void
add_text(struct statistics *statistics, const char *text)
{
	struct parquet_column column = {"c", PARQUET_STRING};
	uint8_t plain[300] = {(uint8_t) strlen(text)};

	memcpy(plain + 4, text, plain[0]);
	statistics_add(statistics, &column, plain, 1);
}

UNIT_TEST(statistics_of_long_texts_bound_them)
{
	char text[200];
	struct statistics statistics = {0};
	uint8_t bytes[STATISTICS_LONGEST];
	bool is_exact;

	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	add_text(&statistics, text);
	CHECK(bound(&statistics, PARQUET_STRING, false, bytes, &is_exact) == STATISTICS_LONGEST && !is_exact);
	CHECK(bound(&statistics, PARQUET_STRING, true, bytes, &is_exact) == STATISTICS_LONGEST && !is_exact);
	CHECK(bytes[STATISTICS_LONGEST - 1] == 'z' + 1);

	/* Nothing is above what is all of the highest characters. */
	memset(text, 0xF4, sizeof(text) - 1);
	add_text(&statistics, text);
	CHECK(bound(&statistics, PARQUET_STRING, true, bytes, &is_exact) == -1);

	/* A cut leaves no half of a character. */
	memset(&statistics, 0, sizeof(statistics));
	memset(text, 'a', 63);
	strcpy(text + 63, "\xC3\xA4\xC3\xA4");
	add_text(&statistics, text);
	CHECK(bound(&statistics, PARQUET_STRING, false, bytes, &is_exact) == 63);
}

UNIT_TEST(statistics_of_reals)
{
	struct parquet_column column = {"c", PARQUET_DOUBLE};
	double values[] = {0.0, NAN};
	struct statistics statistics = {0};
	uint8_t bytes[STATISTICS_LONGEST];
	double real;
	bool is_exact;

	statistics_add(&statistics, &column, (const uint8_t *) values, 1);
	CHECK(bound(&statistics, PARQUET_DOUBLE, false, bytes, &is_exact) == 8);
	memcpy(&real, bytes, 8);
	CHECK(real == 0 && signbit(real));
	statistics_add(&statistics, &column, (const uint8_t *) values, 2);
	CHECK(bound(&statistics, PARQUET_DOUBLE, false, bytes, &is_exact) == -1);
}

UNIT_TEST(statistics_of_signed_bytes)
{
	struct parquet_column column = {"c", PARQUET_DECIMAL, .precision = 38};
	uint8_t values[32] = {0}, bytes[STATISTICS_LONGEST];
	struct statistics statistics = {0};
	bool is_exact;

	memset(values, 0xFF, 16);
	values[31] = 5;
	statistics_add(&statistics, &column, values, 2);
	CHECK(statistics_bound(&statistics, &column, false, bytes, &is_exact) == 16 && bytes[0] == 0xFF);
	CHECK(statistics_bound(&statistics, &column, true, bytes, &is_exact) == 16 && bytes[15] == 5);
}

/* Texts in their order: they differ early, late, and in nothing but their length. */
UNIT_TEST(statistics_of_texts_in_any_order)
{
	static const char *const texts[] = {"",          "\x01",      "a",          "ab",        "abcdefgh",
										"abcdefgha", "abcdefghb", "abcdefghba", "abcdefghz", "b"};
	const size_t count = sizeof(texts) / sizeof(texts[0]);
	struct parquet_column column = {"c", PARQUET_STRING};
	size_t from, to, i;

	for (from = 0; from < count; from++)
	{
		for (to = from; to < count; to++)
		{
			struct statistics statistics = {0};
			uint8_t plain[300], bytes[STATISTICS_LONGEST];
			size_t length = 0;
			bool is_exact;

			/* Starting in the middle, and round. */
			for (i = from; i <= to; i++)
			{
				const char *text = texts[from + (i - from + (to - from) / 2) % (to - from + 1)];

				memset(plain + length, 0, 4);
				plain[length] = (uint8_t) strlen(text);
				memcpy(plain + length + 4, text, strlen(text));
				length += 4 + strlen(text);
			}
			statistics_add(&statistics, &column, plain, (uint32_t) (to - from + 1));
			CHECK(statistics_bound(&statistics, &column, false, bytes, &is_exact) ==
					  (int) strlen(texts[from]) &&
				  memcmp(bytes, texts[from], strlen(texts[from])) == 0);
			CHECK(statistics_bound(&statistics, &column, true, bytes, &is_exact) == (int) strlen(texts[to]) &&
				  memcmp(bytes, texts[to], strlen(texts[to])) == 0);
		}
	}
}
