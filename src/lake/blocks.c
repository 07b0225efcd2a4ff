/*
 * blocks.c
 *	  An object of a store as a source of bytes.
 */
#include "postgres.h"

#include "../pg/report.h"
#include "blocks.h"

#define BLOCK_BYTES ((uint64_t) 4 << 20)
#define BLOCK_COUNT 16

struct block
{
	uint64_t number;
	uint64_t used; /* when; 0: never */
	size_t length;
	uint8_t *bytes;
};

struct blocks
{
	struct store *store;
	MemoryContext context;
	char *key;
	char *etag;
	uint64_t size;
	uint64_t clock;
	struct block blocks[BLOCK_COUNT];
};

static struct block *
oldest(struct blocks *blocks)
{
	struct block *oldest = &blocks->blocks[0];
	int i;

	for (i = 1; i < BLOCK_COUNT; i++)
	{
		if (blocks->blocks[i].used < oldest->used)
			oldest = &blocks->blocks[i];
	}
	return oldest;
}

static enum dicom_status
load(struct blocks *blocks, uint64_t number, struct block *block, struct dicom_error *error)
{
	uint64_t offset = number * BLOCK_BYTES;
	uint64_t length = Min(BLOCK_BYTES, blocks->size - offset);
	struct store_read_request request = {
		.key = blocks->key, .offset = offset, .length = length, .if_match = blocks->etag};
	size_t got;

	if (block->bytes == NULL)
		block->bytes = MemoryContextAlloc(blocks->context, Min(BLOCK_BYTES, blocks->size));
	request.buffer = block->bytes;
	block->used = 0;
	if (store_read(blocks->store, &request, &got, NULL, error) != DICOM_OK)
		return DICOM_FAILED;
	if (got != length)
		return dicom_fail(error, DICOM_ERROR_CHANGED, "the object became shorter while it was read");
	block->number = number;
	block->length = got;
	return DICOM_OK;
}

static enum dicom_status
find(struct blocks *blocks, uint64_t number, struct block **found, struct dicom_error *error)
{
	int i;

	for (i = 0; i < BLOCK_COUNT; i++)
	{
		*found = &blocks->blocks[i];
		if ((*found)->used > 0 && (*found)->number == number)
			break;
	}
	if (i == BLOCK_COUNT)
	{
		*found = oldest(blocks);
		if (load(blocks, number, *found, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	(*found)->used = ++blocks->clock;
	return DICOM_OK;
}

static enum dicom_status
read_bytes(void *arg, uint64_t offset, size_t length, uint8_t *bytes, struct dicom_error *error)
{
	struct blocks *blocks = arg;

	if (offset > blocks->size || length > blocks->size - offset)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "the file ends before what it promises");
	while (length > 0)
	{
		struct block *block;
		size_t start = (size_t) (offset % BLOCK_BYTES), piece;

		if (find(blocks, offset / BLOCK_BYTES, &block, error) != DICOM_OK)
			return DICOM_FAILED;
		piece = Min(length, block->length - start);
		memcpy(bytes, block->bytes + start, piece);
		bytes += piece;
		offset += piece;
		length -= piece;
	}
	return DICOM_OK;
}

void
blocks_open(struct store *store, const char *key, struct parquet_source *source)
{
	struct blocks *blocks = palloc0(sizeof(*blocks));
	struct store_object object;
	struct dicom_error error;

	blocks->store = store;
	blocks->context = CurrentMemoryContext;
	blocks->key = pstrdup(key);
	if (store_head(store, key, &object, &error) != DICOM_OK)
		report_error(&error);
	blocks->etag = pstrdup(object.etag);
	blocks->size = object.size;
	source->size = object.size;
	source->read = read_bytes;
	source->arg = blocks;
}
