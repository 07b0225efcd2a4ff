/*
 * chunk.c
 *	  One column of the row group that is being written: values become pages.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bloom.h"
#include "chunk.h"
#include "levels.h"

#define PAGE_VALUES      20000
#define PAGE_BYTES       ((size_t) 1 << 20)
#define DICTIONARY_TRIAL 2048 /* values after which it is seen whether they repeat */

/* Doubles an array when it is full. */
static bool
make_room(void **array, size_t used, size_t *capacity, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : 1024;
	void *grown;

	if (used < *capacity)
		return true;
	grown = realloc(*array, more * size);
	if (!grown)
		return false;
	*array = grown;
	*capacity = more;
	return true;
}

void
chunk_begin(struct chunk *chunk)
{
	chunk->physical = physical_type_of(chunk->column);
	dictionary_reset(&chunk->dictionary);
	dicom_buffer_reset(&chunk->pages);
	dicom_buffer_reset(&chunk->plain);
	chunk->uses_dictionary = chunk->physical != PHYSICAL_BOOLEAN;
	chunk->levels = chunk->index_count = chunk->page_count = 0;
	chunk->hash_count = 0;
	chunk->value_count = chunk->uncompressed = chunk->first_row = 0;
	memset(&chunk->statistics, 0, sizeof(chunk->statistics));
	memset(&chunk->total, 0, sizeof(chunk->total));
}

static void
put_little_endian(struct dicom_buffer *out, uint64_t value, int length)
{
	char *to = dicom_buffer_reserve(out, (size_t) length);
	int i;

	if (!to)
		return;
	for (i = 0; i < length; i++)
		to[i] = (char) (value >> 8 * i);
	out->length += (size_t) length;
}

static void
put_real(struct dicom_buffer *out, double real, bool is_double)
{
	uint64_t bits = 0;
	float single = (float) real;

	if (is_double)
		memcpy(&bits, &real, sizeof(real));
	else
		memcpy(&bits, &single, sizeof(single));
	put_little_endian(out, bits, is_double ? 8 : 4);
}

/* Appends the plain encoding of a value; of a boolean one byte, to be packed with the page. */
static void
encode_value(struct dicom_buffer *out, enum physical_type type, const struct parquet_value *value)
{
	switch (type)
	{
		case PHYSICAL_BOOLEAN:
			dicom_buffer_append_char(out, value->integer != 0);
			break;
		case PHYSICAL_INT32:
			put_little_endian(out, (uint64_t) value->integer, 4);
			break;
		case PHYSICAL_FLOAT:
		case PHYSICAL_DOUBLE:
			put_real(out, value->real, type == PHYSICAL_DOUBLE);
			break;
		case PHYSICAL_BYTES:
			put_little_endian(out, value->length, 4);
			dicom_buffer_append(out, value->bytes, value->length);
			break;
		case PHYSICAL_FIXED:
			dicom_buffer_append(out, value->bytes, FIXED_LENGTH);
			break;
		default:
			put_little_endian(out, (uint64_t) value->integer, 8);
	}
}

/* Bytes in front of a byte string's value that its hash does not see. */
static bool
add_hash(struct chunk *chunk, enum physical_type type)
{
	size_t skip = type == PHYSICAL_BYTES ? 4 : 0;

	if (!make_room((void **) &chunk->hashes, chunk->hash_count, &chunk->hash_capacity,
				   sizeof(*chunk->hashes)))
		return false;
	chunk->hashes[chunk->hash_count++] = bloom_hash(chunk->scratch.data + skip, chunk->scratch.length - skip);
	return true;
}

static bool
add_index(struct chunk *chunk, uint32_t index)
{
	size_t capacity = chunk->index_capacity;

	if (!make_room((void **) &chunk->indices, chunk->index_count, &capacity, sizeof(*chunk->indices)))
		return false;
	chunk->index_capacity = (uint32_t) capacity;
	chunk->indices[chunk->index_count++] = index;
	return true;
}

/* The page's values out of the dictionary again, which the chunk then does without. */
static void
leave_dictionary(struct chunk *chunk)
{
	uint32_t i;

	for (i = 0; i < chunk->index_count; i++)
	{
		size_t length;
		const char *value = dictionary_value(&chunk->dictionary, chunk->indices[i], &length);

		dicom_buffer_append(&chunk->plain, value, length);
	}
	chunk->index_count = 0;
	chunk->uses_dictionary = false;
	if (chunk->page_count == 0)
		dictionary_reset(&chunk->dictionary);
}

/* Values that are nearly all distinct are better off without the dictionary, if that is seen early enough. */
static bool
dictionary_pays(const struct chunk *chunk)
{
	return chunk->page_count > 0 || chunk->dictionary.count < chunk->index_count - chunk->index_count / 3;
}

static bool
add_value(struct chunk *chunk, const struct parquet_value *value)
{
	enum physical_type type = chunk->physical;
	uint32_t index;

	if (type == PHYSICAL_BYTES && value->length > PARQUET_MAX_PAGE / 2)
		return false;
	dicom_buffer_reset(&chunk->scratch);
	encode_value(&chunk->scratch, type, value);
	if (chunk->scratch.failed || (chunk->column->bloom_filter && !add_hash(chunk, type)))
		return false;
	if (chunk->uses_dictionary)
	{
		index = dictionary_find(&chunk->dictionary, chunk->scratch.data, chunk->scratch.length);
		if (index != UINT32_MAX && !add_index(chunk, index))
			return false;
		if (index == UINT32_MAX || (chunk->index_count == DICTIONARY_TRIAL && !dictionary_pays(chunk)))
			leave_dictionary(chunk);
		if (index != UINT32_MAX)
			return !chunk->plain.failed;
	}
	dicom_buffer_append(&chunk->plain, chunk->scratch.data, chunk->scratch.length);
	return !chunk->plain.failed;
}

static bool
grow_levels(struct chunk *chunk)
{
	size_t capacity = chunk->level_capacity, same = chunk->level_capacity;

	if (!make_room((void **) &chunk->definitions, chunk->levels, &capacity, sizeof(*chunk->definitions)) ||
		(chunk->column->is_list &&
		 !make_room((void **) &chunk->repetitions, chunk->levels, &same, sizeof(*chunk->repetitions))))
		return false;
	chunk->level_capacity = (uint32_t) capacity;
	return true;
}

bool
chunk_add(struct chunk *chunk, uint32_t repetition, uint32_t definition, const struct parquet_value *value)
{
	static const struct parquet_value null = {.is_null = true};

	if (chunk->levels == UINT32_MAX / 2 || (chunk->levels == chunk->level_capacity && !grow_levels(chunk)))
		return false;
	chunk->definitions[chunk->levels] = definition;
	if (chunk->column->is_list)
		chunk->repetitions[chunk->levels] = repetition;
	chunk->levels++;
	statistics_add(&chunk->statistics, chunk->column, value ? value : &null);
	return !value || value->is_null || add_value(chunk, value);
}

/* --- pages --- */

/* Levels of a data page of version 1: four bytes of length, then the hybrid. */
static void
put_levels(struct dicom_buffer *out, const uint32_t *levels, uint32_t count, uint32_t largest)
{
	size_t at = out->length, length, i;

	put_little_endian(out, 0, 4);
	levels_encode(out, levels, count, bits_for(largest));
	if (out->failed)
		return;
	length = out->length - at - 4;
	for (i = 0; i < 4; i++)
		out->data[at + i] = (char) (length >> 8 * i);
}

static void
put_booleans(struct dicom_buffer *out, const struct dicom_buffer *bytes)
{
	size_t i;

	for (i = 0; i < bytes->length; i += 8)
	{
		size_t bit;
		char packed = 0;

		for (bit = 0; bit < 8 && i + bit < bytes->length; bit++)
			packed |= (char) (bytes->data[i + bit] << bit);
		dicom_buffer_append_char(out, packed);
	}
}

static void
put_indices(struct dicom_buffer *out, const struct chunk *chunk)
{
	int width = bits_for(chunk->dictionary.count > 0 ? chunk->dictionary.count - 1 : 0);

	dicom_buffer_append_char(out, (char) width);
	levels_encode(out, chunk->indices, chunk->index_count, width);
}

/* A page without values needs no dictionary, and there may be none. */
static bool
page_has_indices(const struct chunk *chunk)
{
	return chunk->uses_dictionary && chunk->dictionary.count > 0;
}

static void
fill_body(struct chunk *chunk)
{
	bool is_list = chunk->column->is_list;

	dicom_buffer_reset(&chunk->body);
	if (is_list)
		put_levels(&chunk->body, chunk->repetitions, chunk->levels, 1);
	put_levels(&chunk->body, chunk->definitions, chunk->levels, is_list ? 3 : 1);
	if (page_has_indices(chunk))
		put_indices(&chunk->body, chunk);
	else if (chunk->physical == PHYSICAL_BOOLEAN)
		put_booleans(&chunk->body, &chunk->plain);
	else
		dicom_buffer_append(&chunk->body, chunk->plain.data, chunk->plain.length);
}

/* Appends header and compressed body of a page; its kind's own header is written by the caller's two values. */
static bool
put_page(struct chunk *chunk, struct dicom_buffer *out, const struct dicom_buffer *body, enum page_type type,
		 uint32_t count, enum page_encoding encoding)
{
	struct thrift_writer writer = {.out = out};
	struct dicom_buffer *compressed = &chunk->scratch;
	size_t start = out->length;

	dicom_buffer_reset(compressed);
	if (body->failed || body->length > PARQUET_MAX_PAGE ||
		!codec_compress(chunk->codec, chunk->options->compression, chunk->options->level,
						body->data ? body->data : "", body->length, compressed))
		return false;
	thrift_put_i32(&writer, 1, type);
	thrift_put_i32(&writer, 2, (int32_t) body->length);
	thrift_put_i32(&writer, 3, (int32_t) compressed->length);
	thrift_put_i32(&writer, 4,
				   (int32_t) crc32(0, (const Bytef *) (compressed->data ? compressed->data : ""),
								   (uInt) compressed->length));
	thrift_begin_struct(&writer, type == PAGE_DATA ? 5 : 7);
	thrift_put_i32(&writer, 1, (int32_t) count);
	thrift_put_i32(&writer, 2, encoding);
	if (type == PAGE_DATA)
	{
		thrift_put_i32(&writer, 3, ENCODING_RLE);
		thrift_put_i32(&writer, 4, ENCODING_RLE);
		statistics_put(&writer, 5, &chunk->statistics, chunk->column);
	}
	thrift_end_struct(&writer);
	thrift_end_struct(&writer);
	chunk->uncompressed += out->length - start + body->length;
	dicom_buffer_append(out, compressed->data, compressed->length);
	return !out->failed;
}

static bool
note_page(struct chunk *chunk, uint64_t offset)
{
	size_t capacity = chunk->page_capacity;
	struct chunk_page *page;

	if (!make_room((void **) &chunk->page_list, chunk->page_count, &capacity, sizeof(*chunk->page_list)))
		return false;
	chunk->page_capacity = (uint32_t) capacity;
	page = &chunk->page_list[chunk->page_count++];
	page->offset = offset;
	page->length = (uint32_t) (chunk->pages.length - offset);
	page->first_row = chunk->first_row;
	page->statistics = chunk->statistics;
	return true;
}

static bool
close_page(struct chunk *chunk, uint64_t next_row)
{
	uint64_t offset = chunk->pages.length;

	if (chunk->levels == 0)
		return true;
	if (chunk->uses_dictionary && chunk->index_count > 8 && !dictionary_pays(chunk))
		leave_dictionary(chunk);
	fill_body(chunk);
	if (!put_page(chunk, &chunk->pages, &chunk->body, PAGE_DATA, chunk->levels,
				  page_has_indices(chunk) ? ENCODING_RLE_DICTIONARY : ENCODING_PLAIN) ||
		!note_page(chunk, offset))
		return false;
	statistics_merge(&chunk->total, chunk->column, &chunk->statistics);
	chunk->value_count += chunk->levels;
	chunk->first_row = next_row;
	chunk->levels = chunk->index_count = 0;
	dicom_buffer_reset(&chunk->plain);
	memset(&chunk->statistics, 0, sizeof(chunk->statistics));
	return true;
}

bool
chunk_end_row(struct chunk *chunk, uint64_t row)
{
	if (chunk->levels < PAGE_VALUES && chunk->plain.length < PAGE_BYTES)
		return true;
	return close_page(chunk, row);
}

uint64_t
chunk_bytes(const struct chunk *chunk)
{
	return chunk->pages.length + chunk->plain.length + chunk->dictionary.bytes.length + chunk->levels * 8UL +
		   chunk->index_count * 4UL + chunk->hash_count * 8UL;
}

bool
chunk_finish(struct chunk *chunk, struct dicom_buffer *out)
{
	if (!close_page(chunk, 0))
		return false;
	return chunk->dictionary.count == 0 || put_page(chunk, out, &chunk->dictionary.bytes, PAGE_DICTIONARY,
													chunk->dictionary.count, ENCODING_PLAIN);
}

void
chunk_free(struct chunk *chunk)
{
	free(chunk->definitions);
	free(chunk->repetitions);
	free(chunk->indices);
	free(chunk->page_list);
	free(chunk->hashes);
	dictionary_free(&chunk->dictionary);
	dicom_buffer_free(&chunk->plain);
	dicom_buffer_free(&chunk->pages);
	dicom_buffer_free(&chunk->scratch);
	dicom_buffer_free(&chunk->body);
}
