/*
 * chunk_encode.c
 *	  One column of a row group: the values that were gathered become pages, a dictionary, a bloom filter.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bloom.h"
#include "chunk.h"
#include "levels.h"

#define PAGE_VALUES      20000
#define PAGE_BYTES       ((size_t) 1 << 20)
#define DICTIONARY_TRIAL 2048               /* values after which it is seen whether they repeat */
#define ASK_BYTES        ((size_t) 1 << 20) /* between two looks whether to stop */

/* A page's share of what was gathered. */
struct share
{
	const uint8_t *levels;
	uint32_t level_count;
	const uint8_t *plain;
	size_t plain_length;
	const uint32_t *indices; /* NULL: no dictionary */
	uint32_t value_count;
	uint64_t first_row;
	uint64_t rows;
};

static bool
must_stop(struct chunk_encoder *encoder, size_t length)
{
	encoder->unasked += length;
	if (encoder->unasked < ASK_BYTES)
		return false;
	encoder->unasked = 0;
	return encoder->stopped && encoder->stopped(encoder->arg);
}

static bool
make_room(void **array, size_t *capacity, size_t count, size_t size)
{
	void *grown;

	if (count <= *capacity)
		return true;
	grown = realloc(*array, count * size);
	if (!grown)
		return false;
	*array = grown;
	*capacity = count;
	return true;
}

static inline size_t
value_length(enum physical_type type, const uint8_t *value)
{
	uint32_t length;

	switch (type)
	{
		case PHYSICAL_BOOLEAN:
			return 1;
		case PHYSICAL_INT32:
		case PHYSICAL_FLOAT:
			return 4;
		case PHYSICAL_BYTES:
			memcpy(&length, value, sizeof(length));
			return sizeof(length) + le32toh(length);
		case PHYSICAL_FIXED:
			return FIXED_LENGTH;
		default:
			return 8;
	}
}

/* --- the dictionary --- */

/* Values that are nearly all distinct are better off without. */
static bool
dictionary_pays(const struct dictionary *dictionary, size_t values)
{
	return dictionary->count < values - values / 3;
}

/* The index of every value. False where the column is to do without: that is seen early, or the values are too many. */
static bool
index_values(const struct chunk *chunk, struct chunk_encoder *encoder)
{
	struct dictionary *dictionary = &encoder->dictionary;
	const uint8_t *value = chunk->plain, *end;
	enum physical_type type = chunk->physical;
	size_t count = 0;

	dictionary_reset(dictionary);
	if (type == PHYSICAL_BOOLEAN || chunk->plain_length == 0 ||
		!make_room((void **) &encoder->indices, &encoder->index_capacity, chunk->level_count,
				   sizeof(*encoder->indices)))
		return false;
	end = value + chunk->plain_length;
	while (value < end)
	{
		size_t length = value_length(type, value);
		uint32_t index = dictionary_find(dictionary, value, length);

		if (index == UINT32_MAX || must_stop(encoder, length))
			return false;
		encoder->indices[count++] = index;
		value += length;
		if (count == DICTIONARY_TRIAL && !dictionary_pays(dictionary, count))
			return false;
	}
	return dictionary_pays(dictionary, count);
}

/* --- pages --- */

static void
put_length(struct dicom_buffer *out, size_t at, size_t length)
{
	uint32_t little = htole32((uint32_t) length);

	memcpy(out->data + at, &little, sizeof(little));
}

/* Levels of a data page of version 1: four bytes of length, then the hybrid. */
static void
put_levels(struct dicom_buffer *out, const uint32_t *levels, uint32_t count, uint32_t largest)
{
	size_t at = out->length;

	dicom_buffer_append(out, "\0\0\0", 4);
	levels_encode(out, levels, count, bits_for(largest));
	if (!out->failed)
		put_length(out, at, out->length - at - 4);
}

static void
put_repetitions(struct chunk_encoder *encoder, const struct share *share)
{
	uint32_t i;

	for (i = 0; i < share->level_count; i++)
		encoder->levels[i] = (share->levels[i] & LEVEL_REPEATED) != 0;
	put_levels(&encoder->body, encoder->levels, share->level_count, 1);
}

static void
put_definitions(struct chunk_encoder *encoder, const struct share *share, uint32_t largest)
{
	uint32_t i;

	for (i = 0; i < share->level_count; i++)
		encoder->levels[i] = share->levels[i] & LEVEL_DEFINITION;
	put_levels(&encoder->body, encoder->levels, share->level_count, largest);
}

static void
put_booleans(struct dicom_buffer *out, const uint8_t *values, size_t count)
{
	size_t i;

	for (i = 0; i < count; i += 8)
	{
		size_t bit;
		char packed = 0;

		for (bit = 0; bit < 8 && i + bit < count; bit++)
			packed |= (char) (values[i + bit] << bit);
		dicom_buffer_append_char(out, packed);
	}
}

static void
put_indices(struct chunk_encoder *encoder, const struct share *share)
{
	int width = bits_for(encoder->dictionary.count - 1);

	dicom_buffer_append_char(&encoder->body, (char) width);
	levels_encode(&encoder->body, share->indices, share->value_count, width);
}

static uint32_t
largest_definition(const struct chunk *chunk)
{
	return chunk->column->is_list ? LIST_ELEMENT : 1;
}

static bool
fill_body(const struct chunk *chunk, struct chunk_encoder *encoder, const struct share *share)
{
	if (!make_room((void **) &encoder->levels, &encoder->level_capacity, share->level_count,
				   sizeof(*encoder->levels)))
		return false;
	dicom_buffer_reset(&encoder->body);
	if (chunk->column->is_list)
		put_repetitions(encoder, share);
	put_definitions(encoder, share, largest_definition(chunk));
	if (share->indices)
		put_indices(encoder, share);
	else if (chunk->physical == PHYSICAL_BOOLEAN)
		put_booleans(&encoder->body, share->plain, share->plain_length);
	else
		dicom_buffer_append(&encoder->body, share->plain, share->plain_length);
	return true;
}

/* Appends a page: header and compressed body. `statistics` is of a data page, NULL makes one of the dictionary. */
static bool
put_page(struct chunk *chunk, struct chunk_encoder *encoder, struct dicom_buffer *out,
		 const struct dicom_buffer *body, uint32_t count, enum page_encoding encoding,
		 const struct statistics *statistics)
{
	struct thrift_writer writer = {.out = out};
	struct dicom_buffer *compressed = &encoder->compressed;
	size_t start = out->length;

	dicom_buffer_reset(compressed);
	if (body->failed || body->length > PARQUET_MAX_PAGE || must_stop(encoder, body->length) ||
		!codec_compress(&encoder->codec, chunk->options->compression, chunk->options->level, body->data,
						body->length, compressed))
		return false;
	thrift_put_i32(&writer, 1, statistics ? PAGE_DATA : PAGE_DICTIONARY);
	thrift_put_i32(&writer, 2, (int32_t) body->length);
	thrift_put_i32(&writer, 3, (int32_t) compressed->length);
	thrift_put_i32(&writer, 4,
				   (int32_t) crc32(0, (const Bytef *) compressed->data, (uInt) compressed->length));
	thrift_begin_struct(&writer, statistics ? 5 : 7);
	thrift_put_i32(&writer, 1, (int32_t) count);
	thrift_put_i32(&writer, 2, encoding);
	if (statistics)
	{
		thrift_put_i32(&writer, 3, ENCODING_RLE);
		thrift_put_i32(&writer, 4, ENCODING_RLE);
		statistics_put(&writer, 5, statistics, chunk->column);
	}
	thrift_end_struct(&writer);
	thrift_end_struct(&writer);
	chunk->uncompressed += out->length - start + body->length;
	dicom_buffer_append(out, compressed->data, compressed->length);
	return !out->failed;
}

static struct chunk_page *
new_page(struct chunk *chunk)
{
	size_t capacity = chunk->page_capacity;

	if (chunk->page_count == chunk->page_capacity &&
		!make_room((void **) &chunk->page_list, &capacity, capacity ? capacity * 2 : 8,
				   sizeof(*chunk->page_list)))
		return NULL;
	chunk->page_capacity = (uint32_t) capacity;
	memset(&chunk->page_list[chunk->page_count], 0, sizeof(*chunk->page_list));
	return &chunk->page_list[chunk->page_count++];
}

static bool
put_data_page(struct chunk *chunk, struct chunk_encoder *encoder, const struct share *share)
{
	struct chunk_page *page = new_page(chunk);

	if (!page || !fill_body(chunk, encoder, share))
		return false;
	page->offset = chunk->pages.length;
	page->first_row = share->first_row;
	page->statistics.nulls = share->level_count - share->value_count;
	statistics_add(&page->statistics, chunk->column, share->plain, share->value_count);
	if (!put_page(chunk, encoder, &chunk->pages, &encoder->body, share->level_count,
				  share->indices ? ENCODING_RLE_DICTIONARY : ENCODING_PLAIN, &page->statistics))
		return false;
	page->length = (uint32_t) (chunk->pages.length - page->offset);
	statistics_merge(&chunk->total, chunk->column, &page->statistics);
	chunk->value_count += share->level_count;
	return true;
}

/* Takes whole rows until the page is full. `share` is at its first level and value. */
static void
fill_share(const struct chunk *chunk, struct share *share)
{
	const uint8_t *end = chunk->levels + chunk->level_count, *level = share->levels, *plain = share->plain;
	uint8_t is_value = (uint8_t) largest_definition(chunk);
	enum physical_type type = chunk->physical;

	while (level < end)
	{
		if (!(*level & LEVEL_REPEATED))
		{
			if (level - share->levels >= PAGE_VALUES || (size_t) (plain - share->plain) >= PAGE_BYTES)
				break;
			share->rows++;
		}
		if ((*level++ & LEVEL_DEFINITION) == is_value)
		{
			plain += value_length(type, plain);
			share->value_count++;
		}
	}
	share->level_count = (uint32_t) (level - share->levels);
	share->plain_length = (size_t) (plain - share->plain);
}

static bool
put_data_pages(struct chunk *chunk, struct chunk_encoder *encoder, bool uses_dictionary)
{
	struct share share = {.levels = chunk->levels, .plain = chunk->plain};

	if (uses_dictionary)
		share.indices = encoder->indices;
	while (share.levels < chunk->levels + chunk->level_count)
	{
		fill_share(chunk, &share);
		if (!put_data_page(chunk, encoder, &share))
			return false;
		share = (struct share){.levels = share.levels + share.level_count,
							   .plain = share.plain_length ? share.plain + share.plain_length : share.plain,
							   .indices = share.indices ? share.indices + share.value_count : NULL,
							   .first_row = share.first_row + share.rows};
	}
	return true;
}

/* --- the bloom filter --- */

/* Of a dictionary's values where there is one: those are all. */
static bool
put_bloom(struct chunk *chunk, struct chunk_encoder *encoder, bool uses_dictionary)
{
	const uint8_t *value = uses_dictionary ? (const uint8_t *) encoder->dictionary.bytes.data : chunk->plain;
	size_t left = uses_dictionary ? encoder->dictionary.count : chunk->total.values;
	size_t skip = chunk->physical == PHYSICAL_BYTES ? 4 : 0; /* the length is not hashed */
	struct bloom bloom;

	if (left == 0)
		return true;
	if (!bloom_open(&bloom, left))
		return false;
	while (left-- > 0)
	{
		size_t length = value_length(chunk->physical, value);

		bloom_add(&bloom, value + skip, length - skip);
		value += length;
	}
	bloom_close(&bloom, &chunk->bloom);
	return !chunk->bloom.failed;
}

bool
chunk_encode(struct chunk *chunk, struct chunk_encoder *encoder)
{
	bool uses_dictionary = index_values(chunk, encoder);

	if (!put_data_pages(chunk, encoder, uses_dictionary))
		return false;
	if (uses_dictionary && !put_page(chunk, encoder, &chunk->dictionary_page, &encoder->dictionary.bytes,
									 encoder->dictionary.count, ENCODING_PLAIN, NULL))
		return false;
	return !chunk->column->bloom_filter || put_bloom(chunk, encoder, uses_dictionary);
}

void
chunk_encoder_free(struct chunk_encoder *encoder)
{
	codec_close(&encoder->codec);
	dictionary_free(&encoder->dictionary);
	free(encoder->indices);
	free(encoder->levels);
	dicom_buffer_free(&encoder->body);
	dicom_buffer_free(&encoder->compressed);
}
