/*
 * object.c
 *	  Whole objects, and pieces of large ones.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create() */
#endif

#include "object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ETAG_SIZE    128
#define UNKNOWN_READ ((uint64_t) 1 << 20) /* at first, of an object of unknown size */
#define HEADER_READ  ((uint64_t) 256 << 10)
#define LEAST_PIECE  ((uint64_t) 64 << 10)
#define MOST_PIECE   ((uint64_t) 4 << 20)
#define PIECES       4 /* times MOST_PIECE are OBJECT_MEMORY */

/* Some bytes of a large object, here or on their way. */
struct piece
{
	uint64_t offset;
	size_t length; /* 0: none */
	uint8_t *bytes;
	size_t capacity;
	struct store_read *read; /* NULL: they are here */
	uint64_t used;           /* when it was last of use */
};

struct object
{
	struct store *store;
	const char *key;
	uint64_t size;
	char etag[ETAG_SIZE];
	bool begun;

	int descriptor;
	uint8_t *whole; /* the mapping of a descriptor without file */
	uint64_t whole_length;
	uint64_t whole_got;
	struct store_read *read;

	struct piece pieces[PIECES];
	uint64_t uses;
	uint64_t want_offset, want_length;
	uint64_t read_end; /* where the last range ended: one that goes on there is read in larger pieces */
	uint64_t piece_length;
};

/* --- opening and closing --- */

/* Makes the memory that a whole object goes into. */
static enum dicom_status
make_whole(struct object *object, uint64_t length, struct dicom_error *error)
{
	void *mapping;

	object->descriptor = memfd_create("object", MFD_CLOEXEC);
	if (object->descriptor < 0 || ftruncate(object->descriptor, (off_t) length) < 0)
		return dicom_fail(error, DICOM_ERROR_IO, "cannot make memory for an object: %s", strerror(errno));
	mapping = mmap(NULL, (size_t) length, PROT_READ | PROT_WRITE, MAP_SHARED, object->descriptor, 0);
	if (mapping == MAP_FAILED)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "cannot make memory for an object: %s", strerror(errno));
	object->whole = mapping;
	object->whole_length = length;
	return DICOM_OK;
}

static enum dicom_status
ask(struct object *object, uint64_t offset, uint64_t length, void *buffer, struct store_read **read,
	struct dicom_error *error)
{
	struct store_read_request request = {
		.key = object->key, .offset = offset, .length = (size_t) length, .buffer = buffer};

	request.if_match = object->etag[0] ? object->etag : NULL;
	return store_read_open(object->store, &request, read, error);
}

static enum dicom_status
ask_whole(struct object *object, struct dicom_error *error)
{
	return ask(object, object->whole_got, object->whole_length - object->whole_got,
			   object->whole + object->whole_got, &object->read, error);
}

static enum dicom_status
begin_remote(struct object *object, struct dicom_error *error)
{
	struct piece *piece = &object->pieces[0];
	uint64_t length = object->size == STORE_SIZE_UNKNOWN ? UNKNOWN_READ : object->size;

	if (object->size == 0)
	{
		object->begun = true;
		return make_whole(object, 1, error);
	}
	if (length <= OBJECT_WHOLE)
		return make_whole(object, length, error) == DICOM_OK ? ask_whole(object, error) : DICOM_FAILED;
	piece->bytes = malloc(HEADER_READ);
	if (piece->bytes == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	piece->capacity = piece->length = HEADER_READ;
	return ask(object, 0, HEADER_READ, piece->bytes, &object->read, error);
}

static void
copy_etag(struct object *object, const char *etag)
{
	if (etag && strlen(etag) < ETAG_SIZE)
		strcpy(object->etag, etag);
}

static enum dicom_status
begin_local(struct object *object, struct dicom_error *error)
{
	struct store_object described;
	enum dicom_status status =
		store_open_descriptor(object->store, object->key, &object->descriptor, &described, error);

	if (status != DICOM_OK)
		return status;
	object->size = described.size;
	copy_etag(object, described.etag);
	object->begun = true;
	return DICOM_OK;
}

enum dicom_status
object_open(struct store *store, const char *key, uint64_t size, struct object **result,
			struct dicom_error *error)
{
	struct object *object = calloc(1, sizeof(*object));
	enum dicom_status status;

	if (object == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	object->store = store;
	object->key = key;
	object->size = size;
	object->descriptor = -1;
	object->piece_length = LEAST_PIECE;
	status = begin_local(object, error);
	if (status == DICOM_END)
		status = begin_remote(object, error);
	if (status == DICOM_OK)
		*result = object;
	else
		object_close(object);
	return status;
}

static void
drop_whole(struct object *object)
{
	if (object->whole)
		munmap(object->whole, object->whole_length);
	object->whole = NULL;
}

void
object_close(struct object *object)
{
	int i;

	if (object == NULL)
		return;
	store_read_close(object->read);
	for (i = 0; i < PIECES; i++)
	{
		store_read_close(object->pieces[i].read);
		free(object->pieces[i].bytes);
	}
	drop_whole(object);
	if (object->descriptor >= 0)
		close(object->descriptor);
	free(object);
}

uint64_t
object_size(const struct object *object)
{
	return object->size;
}

const char *
object_etag(const struct object *object)
{
	return object->etag;
}

int
object_take_descriptor(struct object *object)
{
	int descriptor = object->descriptor;

	drop_whole(object);
	object->descriptor = -1;
	return descriptor;
}

/* --- the first bytes --- */

/* More came to light by the first answer: an object of unknown size may be larger than what was asked for. */
static enum dicom_status
grow_whole(struct object *object, struct dicom_error *error)
{
	void *mapping;

	if (object->size > OBJECT_WHOLE)
	{
		/* What has come is the first piece. */
		object->pieces[0].bytes = malloc(object->whole_got);
		if (object->pieces[0].bytes == NULL)
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		memcpy(object->pieces[0].bytes, object->whole, object->whole_got);
		object->pieces[0].length = object->pieces[0].capacity = object->whole_got;
		close(object_take_descriptor(object));
		object->begun = true;
		return DICOM_OK;
	}
	mapping = mremap(object->whole, object->whole_length, object->size, MREMAP_MAYMOVE);
	if (mapping == MAP_FAILED || ftruncate(object->descriptor, (off_t) object->size) < 0)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	object->whole = mapping;
	object->whole_length = object->size;
	return ask_whole(object, error) == DICOM_OK ? DICOM_PENDING : DICOM_FAILED;
}

static enum dicom_status
take_first(struct object *object, size_t got, struct dicom_error *error)
{
	if (object->whole == NULL)
	{
		object->pieces[0].length = got;
		object->begun = true;
		return DICOM_OK;
	}
	object->whole_got += got;
	if (object->whole_got >= object->size)
	{
		object->begun = true;
		return DICOM_OK;
	}
	if (got == 0)
		return dicom_fail(error, DICOM_ERROR_CHANGED, "object became shorter while it was read");
	return object->whole_length < object->size    ? grow_whole(object, error)
		   : ask_whole(object, error) == DICOM_OK ? DICOM_PENDING
												  : DICOM_FAILED;
}

enum dicom_status
object_begin(struct object *object, struct dicom_error *error)
{
	struct store_object described;
	enum dicom_status status = DICOM_PENDING;
	size_t got;

	while (!object->begun && status == DICOM_PENDING)
	{
		status = store_read_result(object->read, &got, &described, error);
		if (status != DICOM_OK)
			return status;
		object->size = described.size;
		copy_etag(object, described.etag);
		store_read_close(object->read);
		object->read = NULL;
		status = take_first(object, got, error);
	}
	return object->begun ? DICOM_OK : status;
}

/* --- pieces --- */

static struct piece *
piece_at(struct object *object, uint64_t offset)
{
	int i;

	for (i = 0; i < PIECES; i++)
		if (offset >= object->pieces[i].offset &&
			offset - object->pieces[i].offset < object->pieces[i].length)
			return &object->pieces[i];
	return NULL;
}

/* The piece that was of use longest ago, and is not on its way; NULL: all are. */
static struct piece *
oldest_piece(struct object *object)
{
	struct piece *oldest = NULL;
	int i;

	for (i = 0; i < PIECES; i++)
		if (object->pieces[i].read == NULL && (oldest == NULL || object->pieces[i].used < oldest->used))
			oldest = &object->pieces[i];
	return oldest;
}

/* Asks for a piece from an offset on. *piece is NULL where that must wait. */
static enum dicom_status
ask_piece(struct object *object, uint64_t offset, uint64_t length, struct piece **result,
		  struct dicom_error *error)
{
	struct piece *piece = oldest_piece(object);

	*result = piece;
	if (piece == NULL)
		return DICOM_OK;
	if (length > object->size - offset)
		length = object->size - offset;
	if (piece->capacity < length)
	{
		uint8_t *bytes = realloc(piece->bytes, length);

		if (bytes == NULL)
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		piece->bytes = bytes;
		piece->capacity = length;
	}
	piece->offset = offset;
	piece->length = length;
	piece->used = ++object->uses;
	if (ask(object, offset, length, piece->bytes, &piece->read, error) == DICOM_OK)
		return DICOM_OK;
	piece->read = NULL;
	piece->length = 0;
	return DICOM_FAILED;
}

static enum dicom_status
await_piece(struct piece *piece, struct dicom_error *error)
{
	enum dicom_status status = DICOM_OK;
	size_t got;

	if (piece->read == NULL)
		return DICOM_OK;
	status = store_read_result(piece->read, &got, NULL, error);
	if (status == DICOM_PENDING)
		return status;
	store_read_close(piece->read);
	piece->read = NULL;
	if (status == DICOM_OK && got != piece->length)
		status = dicom_fail(error, DICOM_ERROR_CHANGED, "object became shorter while it was read");
	if (status != DICOM_OK)
		piece->length = 0;
	return status;
}

void
object_want(struct object *object, uint64_t offset, uint64_t length)
{
	bool goes_on = offset == object->read_end;

	object->want_offset = offset;
	object->want_length = length;
	object->read_end = offset + length;
	object->piece_length = goes_on ? object->piece_length * 2 : LEAST_PIECE;
	if (object->piece_length < length)
		object->piece_length = length;
	if (object->piece_length > MOST_PIECE)
		object->piece_length = MOST_PIECE;
}

/* Asks for what the range goes on with, as many pieces ahead as there may be. */
static enum dicom_status
ask_ahead(struct object *object, struct dicom_error *error)
{
	uint64_t offset = object->want_offset;
	uint64_t end = object->want_offset + object->want_length;
	struct piece *piece;
	int i;

	for (i = 0; i < PIECES && offset < end; i++)
	{
		piece = piece_at(object, offset);
		if (piece == NULL && ask_piece(object, offset, object->piece_length, &piece, error) != DICOM_OK)
			return DICOM_FAILED;
		if (piece == NULL)
			break;
		piece->used = ++object->uses;
		offset = piece->offset + piece->length;
	}
	return DICOM_OK;
}

static enum dicom_status
serve(struct object *object, struct child *child, struct dicom_error *error)
{
	while (object->want_length > 0)
	{
		struct piece *piece;
		enum dicom_status status;
		uint64_t from;
		uint64_t length;
		size_t taken;

		if (ask_ahead(object, error) != DICOM_OK)
			return DICOM_FAILED;
		piece = piece_at(object, object->want_offset);
		status = piece ? await_piece(piece, error) : DICOM_PENDING;
		if (status != DICOM_OK)
			return status;
		piece->used = ++object->uses;
		from = object->want_offset - piece->offset;
		length = piece->length - from;
		if (length > object->want_length)
			length = object->want_length;
		taken = child_supply(child, piece->bytes + from, (size_t) length);
		object->want_offset += taken;
		object->want_length -= taken;
		if (taken < length)
			return DICOM_PENDING;
	}
	return DICOM_OK;
}

enum dicom_status
object_serve(struct object *object, struct child *child, struct dicom_error *error)
{
	enum dicom_status status = serve(object, child, error);

	if (status == DICOM_FAILED)
	{
		object->want_length = 0;
		child_supply_failed(child, error);
	}
	return status;
}
