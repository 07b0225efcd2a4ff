/*
 * page.c
 *	  The pages of one column of one row group.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "page.h"

#define HEADER_MOST (64 * 1024)

struct page_header
{
	int64_t type;
	int64_t uncompressed;
	int64_t compressed;
	bool has_crc;
	uint32_t crc;
	int64_t values;
	int64_t encoding;
};

static enum dicom_status
malformed(const struct page_reader *reader, struct dicom_error *error)
{
	dicom_fail(error, DICOM_ERROR_MALFORMED, "a page of the Parquet file makes no sense");
	if (error)
		error->offset = (int64_t) reader->next;
	return DICOM_FAILED;
}

void
page_reader_begin(struct page_reader *reader, const struct parquet_source *source,
				  const struct parquet_column *column, const struct footer_column *detail,
				  struct codec *codec, const struct footer_chunk *chunk)
{
	reader->source = source;
	reader->column = column;
	reader->detail = detail;
	reader->codec = codec;
	reader->compression = chunk->compression;
	reader->next = chunk->offset;
	reader->end = chunk->offset + chunk->length;
	reader->values_left = chunk->values;
	reader->levels_left = 0;
	reader->has_level = false;
	reader->dictionary_count = 0;
}

void
page_reader_free(struct page_reader *reader)
{
	dicom_buffer_free(&reader->raw);
	dicom_buffer_free(&reader->body);
	dicom_buffer_free(&reader->dictionary_bytes);
	free(reader->dictionary);
	reader->dictionary = NULL;
}

static void
read_kind(struct thrift_reader *thrift, enum thrift_type type, struct page_header *header)
{
	int field;

	thrift_enter_struct(thrift, type);
	while (thrift_next_field(thrift, &field, &type))
	{
		if (field == 1)
			header->values = thrift_get_integer(thrift, type);
		else if (field == 2)
			header->encoding = thrift_get_integer(thrift, type);
		else
			thrift_skip(thrift, type);
	}
}

/* Fills the header and says how long it is; 0: it makes no sense, or goes on behind these bytes. */
static size_t
parse_header(const uint8_t *bytes, size_t length, struct page_header *header)
{
	struct thrift_reader thrift;
	enum thrift_type type;
	int field;

	*header =
		(struct page_header){.type = -1, .uncompressed = -1, .compressed = -1, .values = -1, .encoding = -1};
	thrift_reader_init(&thrift, bytes, length);
	while (thrift_next_field(&thrift, &field, &type))
	{
		if (field == 1)
			header->type = thrift_get_integer(&thrift, type);
		else if (field == 2)
			header->uncompressed = thrift_get_integer(&thrift, type);
		else if (field == 3)
			header->compressed = thrift_get_integer(&thrift, type);
		else if (field == 4)
		{
			header->crc = (uint32_t) thrift_get_integer(&thrift, type);
			header->has_crc = true;
		}
		else if ((field == 5 || field == 7) && type == THRIFT_STRUCT)
			read_kind(&thrift, type, header);
		else
			thrift_skip(&thrift, type);
	}
	return thrift.failed ? 0 : (size_t) (thrift.next - bytes);
}

/* Reads `length` bytes at the next page into the raw buffer. */
static enum dicom_status
fetch(struct page_reader *reader, uint64_t offset, size_t length, struct dicom_error *error)
{
	dicom_buffer_reset(&reader->raw);
	if (!dicom_buffer_reserve(&reader->raw, length))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	reader->raw.length = length;
	return reader->source->read(reader->source->arg, offset, length, (uint8_t *) reader->raw.data, error);
}

/* A header is some tens of bytes, or more with long bounds: a longer piece is looked at only where the first did not do. */
static enum dicom_status
read_header(struct page_reader *reader, struct page_header *header, struct dicom_error *error)
{
	uint64_t there = reader->end - reader->next;
	size_t length = there < 512 ? (size_t) there : 512;
	size_t used = 0;

	while (used == 0)
	{
		if (fetch(reader, reader->next, length, error) != DICOM_OK)
			return DICOM_FAILED;
		used = parse_header((const uint8_t *) reader->raw.data, length, header);
		if (used == 0 && (length == there || length >= HEADER_MOST))
			return malformed(reader, error);
		if (used == 0)
			length = there < HEADER_MOST ? (size_t) there : HEADER_MOST;
	}
	if (header->compressed < 0 || header->uncompressed < 0 || header->values < 0 ||
		header->values > INT32_MAX || header->uncompressed > PARQUET_MAX_PAGE ||
		(uint64_t) header->compressed > there - used)
		return malformed(reader, error);
	reader->next += used;
	return DICOM_OK;
}

/* Fetches, checks and decompresses the body of the page whose header was read. */
static enum dicom_status
read_body(struct page_reader *reader, const struct page_header *header, struct dicom_buffer *body,
		  struct dicom_error *error)
{
	size_t compressed = (size_t) header->compressed, length = (size_t) header->uncompressed;

	if (fetch(reader, reader->next, compressed, error) != DICOM_OK)
		return DICOM_FAILED;
	if (header->has_crc &&
		(uint32_t) crc32(0, (const Bytef *) reader->raw.data, (uInt) compressed) != header->crc)
		return malformed(reader, error);
	dicom_buffer_reset(body);
	if (!dicom_buffer_reserve(body, length))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (!codec_decompress(reader->codec, reader->compression, (const uint8_t *) reader->raw.data, compressed,
						  (uint8_t *) body->data, length))
		return malformed(reader, error);
	body->length = length;
	reader->next += compressed;
	return DICOM_OK;
}

static uint64_t
little_endian(const uint8_t *bytes, int length)
{
	uint64_t value = 0;
	int i;

	for (i = 0; i < length; i++)
		value |= (uint64_t) bytes[i] << 8 * i;
	return value;
}

static double
real_of(const uint8_t *bytes, bool is_double)
{
	uint64_t bits = little_endian(bytes, is_double ? 8 : 4);
	uint32_t half = (uint32_t) bits;
	double real;
	float single;

	memcpy(&real, &bits, sizeof(real));
	memcpy(&single, &half, sizeof(single));
	return is_double ? real : (double) single;
}

/* Reads one plain value from *at; false where it goes beyond the end. Booleans are not done here. */
static bool
decode_plain(enum physical_type type, const uint8_t **at, const uint8_t *end, struct parquet_value *value)
{
	size_t there = (size_t) (end - *at);
	size_t length = type == PHYSICAL_INT32 || type == PHYSICAL_FLOAT ? 4
					: type == PHYSICAL_FIXED                         ? FIXED_LENGTH
																	 : 8;

	*value = (struct parquet_value){.is_null = false};
	if (type == PHYSICAL_BYTES)
	{
		length = there < 4 ? SIZE_MAX : (size_t) little_endian(*at, 4);
		if (length > there - 4 || there < 4)
			return false;
		*at += 4;
	}
	else if (length > there)
		return false;
	if (type == PHYSICAL_BYTES || type == PHYSICAL_FIXED)
	{
		value->bytes = *at;
		value->length = (uint32_t) length;
	}
	else if (type == PHYSICAL_INT32)
		value->integer = (int32_t) little_endian(*at, 4);
	else if (type == PHYSICAL_INT64)
		value->integer = (int64_t) little_endian(*at, 8);
	else
		value->real = real_of(*at, type == PHYSICAL_DOUBLE);
	*at += length;
	return true;
}

/* Every entry takes at least a byte, but for empty strings, which take four: so the count is bounded by the bytes. */
static enum dicom_status
read_dictionary(struct page_reader *reader, const struct page_header *header, struct dicom_error *error)
{
	const uint8_t *at, *end;
	struct parquet_value *values;
	uint32_t i, count = (uint32_t) header->values;

	if (reader->dictionary_count > 0 || header->values > header->uncompressed ||
		reader->detail->physical == PHYSICAL_BOOLEAN)
		return malformed(reader, error);
	if (read_body(reader, header, &reader->dictionary_bytes, error) != DICOM_OK)
		return DICOM_FAILED;
	values = realloc(reader->dictionary, ((size_t) count + 1) * sizeof(*values));
	if (!values)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	reader->dictionary = values;
	at = (const uint8_t *) reader->dictionary_bytes.data;
	end = at + reader->dictionary_bytes.length;
	for (i = 0; i < count; i++)
	{
		if (!decode_plain(reader->detail->physical, &at, end, &values[i]))
			return malformed(reader, error);
	}
	reader->dictionary_count = count;
	return DICOM_OK;
}

/* Levels of a page: four bytes of length, then the hybrid. */
static bool
begin_levels(struct levels_decoder *decoder, const uint8_t **at, const uint8_t *end, int largest)
{
	size_t length;

	if (end - *at < 4)
		return false;
	length = (size_t) little_endian(*at, 4);
	*at += 4;
	if (length > (size_t) (end - *at))
		return false;
	levels_decoder_init(decoder, *at, length, bits_for((uint32_t) largest));
	*at += length;
	return true;
}

static bool
begin_values(struct page_reader *reader, int64_t encoding, const uint8_t *at, const uint8_t *end)
{
	reader->uses_dictionary = encoding == ENCODING_RLE_DICTIONARY || encoding == ENCODING_PLAIN_DICTIONARY;
	reader->plain = at;
	reader->plain_end = end;
	reader->boolean_bit = 0;
	if (!reader->uses_dictionary)
		return encoding == ENCODING_PLAIN;
	/* A page of NULLs may have no values at all. */
	if (at == end)
	{
		levels_decoder_init(&reader->indices, at, 0, 0);
		return true;
	}
	if (*at > 32)
		return false;
	levels_decoder_init(&reader->indices, at + 1, (size_t) (end - at - 1), *at);
	return true;
}

static enum dicom_status
begin_data(struct page_reader *reader, const struct page_header *header, struct dicom_error *error)
{
	const uint8_t *at, *end;

	if ((uint64_t) header->values > reader->values_left)
		return malformed(reader, error);
	if (read_body(reader, header, &reader->body, error) != DICOM_OK)
		return DICOM_FAILED;
	at = (const uint8_t *) reader->body.data;
	end = at + reader->body.length;
	if ((reader->column->is_list && !begin_levels(&reader->repetitions, &at, end, 1)) ||
		(reader->detail->largest_definition > 0 &&
		 !begin_levels(&reader->definitions, &at, end, reader->detail->largest_definition)) ||
		!begin_values(reader, header->encoding, at, end))
		return malformed(reader, error);
	reader->levels_left = (uint32_t) header->values;
	reader->values_left -= (uint64_t) header->values;
	return DICOM_OK;
}

static enum dicom_status
load_page(struct page_reader *reader, struct dicom_error *error)
{
	struct page_header header;

	while (reader->levels_left == 0)
	{
		enum dicom_status status;

		if (reader->values_left == 0)
			return DICOM_END;
		if (reader->next >= reader->end)
			return malformed(reader, error);
		if (read_header(reader, &header, error) != DICOM_OK)
			return DICOM_FAILED;
		if (header.type == PAGE_DICTIONARY)
			status = read_dictionary(reader, &header, error);
		else if (header.type == PAGE_DATA)
			status = begin_data(reader, &header, error);
		else
			return dicom_fail(error, DICOM_ERROR_LIMIT,
							  "the Parquet file has pages of a version that is not read here");
		if (status != DICOM_OK)
			return status;
	}
	return DICOM_OK;
}

enum dicom_status
page_reader_peek(struct page_reader *reader, bool same_page, struct dicom_error *error)
{
	enum dicom_status status;

	if (reader->has_level)
		return DICOM_OK;
	if (same_page && reader->levels_left == 0)
		return DICOM_END;
	status = load_page(reader, error);
	if (status != DICOM_OK)
		return status;
	reader->repetition = 0;
	reader->definition = 0;
	if ((reader->column->is_list && !levels_decode(&reader->repetitions, &reader->repetition)) ||
		(reader->detail->largest_definition > 0 &&
		 !levels_decode(&reader->definitions, &reader->definition)) ||
		reader->definition > (uint32_t) reader->detail->largest_definition || reader->repetition > 1)
		return malformed(reader, error);
	reader->levels_left--;
	reader->has_level = true;
	return DICOM_OK;
}

static bool
take_boolean(struct page_reader *reader, struct parquet_value *value)
{
	if (reader->plain == reader->plain_end)
		return false;
	*value = (struct parquet_value){.integer = *reader->plain >> reader->boolean_bit & 1};
	if (++reader->boolean_bit == 8)
	{
		reader->boolean_bit = 0;
		reader->plain++;
	}
	return true;
}

enum dicom_status
page_reader_take(struct page_reader *reader, struct parquet_value *value, struct dicom_error *error)
{
	uint32_t index;

	reader->has_level = false;
	*value = (struct parquet_value){.is_null = true};
	if (reader->definition < (uint32_t) reader->detail->largest_definition)
		return DICOM_OK;
	if (reader->uses_dictionary)
	{
		if (!levels_decode(&reader->indices, &index) || index >= reader->dictionary_count)
			return malformed(reader, error);
		*value = reader->dictionary[index];
		return DICOM_OK;
	}
	if (reader->detail->physical == PHYSICAL_BOOLEAN
			? !take_boolean(reader, value)
			: !decode_plain(reader->detail->physical, &reader->plain, reader->plain_end, value))
		return malformed(reader, error);
	return DICOM_OK;
}
