/*
 * s3_upload.c
 *	  Objects of any length: in one request while they are short, else in parts, a few of them side by side.
 */
#include <stdlib.h>
#include <string.h>

#include "s3.h"

#define PARTS_AT_ONCE  4
#define MIN_PART_SIZE  ((size_t) 5 * 1024 * 1024) /* S3 accepts no smaller one, but for the last */
#define MAX_PART_SIZE  ((size_t) 1000 * 1024 * 1024)
#define MAX_PARTS      10000
#define PARTS_PER_SIZE 1000 /* of an object of unknown length; then parts double */

/* A part under way. */
struct s3_part
{
	struct s3_upload *upload;
	struct s3_request request;
	struct dicom_buffer bytes; /* its body, where it does not lie in the caller's memory */
	size_t number;
	bool busy;
};

struct s3_upload
{
	struct store_upload upload;
	struct s3_store *s3;
	struct store_put_request put; /* strings are ours */
	struct s3_multipart multipart;
	struct s3_part parts[PARTS_AT_ONCE];
	struct dicom_buffer pending; /* bytes of the next part */
	size_t part_size;
	bool begun;
	bool failed; /* what has failed once stays so */
	bool finished;
};

/* --- opening --- */

static char *
copy_text(const char *text, bool *failed)
{
	char *copy = text ? strdup(text) : NULL;

	*failed = *failed || (text && !copy);
	return copy;
}

static bool
copy_put(struct store_put_request *own, const struct store_put_request *put)
{
	bool failed = false;

	*own = *put;
	own->key = copy_text(put->key, &failed);
	own->content_type = copy_text(put->content_type, &failed);
	own->storage_class = copy_text(put->storage_class, &failed);
	own->if_match = copy_text(put->if_match, &failed);
	return !failed;
}

static size_t
allowed_part_size(uint64_t size)
{
	if (size < MIN_PART_SIZE)
		return MIN_PART_SIZE;
	return size > MAX_PART_SIZE ? MAX_PART_SIZE : (size_t) size;
}

enum dicom_status
s3_upload_open(struct store *store, const struct store_put_request *put, struct store_upload **result,
			   struct dicom_error *error)
{
	struct s3_upload *upload = calloc(1, sizeof(*upload));

	if (!upload)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	upload->s3 = (struct s3_store *) store;
	upload->part_size = allowed_part_size(put->part_size);
	if (!copy_put(&upload->put, put))
	{
		s3_upload_close(&upload->upload, false);
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	}
	*result = &upload->upload;
	return DICOM_OK;
}

/* --- parts --- */

static enum dicom_status
begin(struct s3_upload *upload, struct dicom_error *error)
{
	struct s3_request create;
	enum dicom_status status;

	if (upload->begun)
		return DICOM_OK;
	status = s3_multipart_prepare(&upload->multipart, upload->s3, upload->put.key, &create, error);
	if (status == DICOM_OK)
	{
		s3_add_put_headers(&create, &upload->put);
		status = s3_multipart_begin(&upload->multipart, &create, error);
		upload->begun = true;
	}
	s3_request_close(&create);
	return status;
}

static enum dicom_status
finish_part(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct s3_part *part = request->owner;
	struct s3_description description;

	s3_describe(answer, &description);
	return s3_multipart_keep_etag(&part->upload->multipart, part->number, description.etag, error);
}

/* Frees the slot of a part that has ended. DICOM_PENDING where it has not. */
static enum dicom_status
settle_part(struct s3_part *part, struct dicom_error *error)
{
	enum dicom_status status = part->busy ? s3_request_result(&part->request, error) : DICOM_OK;

	if (status == DICOM_PENDING || !part->busy)
		return status;
	s3_request_close(&part->request);
	dicom_buffer_reset(&part->bytes);
	part->busy = false;
	return status;
}

/* Waits until at least one slot is free (all: until all are). */
static enum dicom_status
wait_for_slot(struct s3_upload *upload, bool all, struct s3_part **slot, struct dicom_error *error)
{
	for (;;)
	{
		int busy = 0;
		int i;

		for (i = 0; i < PARTS_AT_ONCE; i++)
		{
			enum dicom_status status = settle_part(&upload->parts[i], error);

			if (status == DICOM_FAILED)
				return DICOM_FAILED;
			if (status == DICOM_PENDING)
				busy++;
			else
				*slot = &upload->parts[i];
		}
		if (busy == 0 || (!all && busy < PARTS_AT_ONCE))
			return DICOM_OK;
		if (s3_wait(&upload->s3->store, -1, error) != DICOM_OK)
			return DICOM_FAILED;
	}
}

static enum dicom_status
send_part(struct s3_upload *upload, struct s3_part *part, const void *bytes, size_t length,
		  struct dicom_error *error)
{
	if (s3_multipart_part(&upload->multipart, &part->request, &part->number, error) != DICOM_OK)
		return DICOM_FAILED;
	part->upload = upload;
	part->busy = true;
	part->request.owner = part;
	part->request.finish = finish_part;
	part->request.body = bytes;
	part->request.body_length = length;
	upload->multipart.length += length;
	if (upload->multipart.part_count % PARTS_PER_SIZE == 0)
		upload->part_size = allowed_part_size((uint64_t) upload->part_size * 2);
	return s3_request_submit(&part->request, error);
}

/* Sends what is pending as a part; its memory changes places with that of a part that is over. */
static enum dicom_status
flush_pending(struct s3_upload *upload, struct dicom_error *error)
{
	struct s3_part *part;
	struct dicom_buffer free_bytes;

	if (begin(upload, error) != DICOM_OK || wait_for_slot(upload, false, &part, error) != DICOM_OK)
		return DICOM_FAILED;
	free_bytes = part->bytes;
	part->bytes = upload->pending;
	upload->pending = free_bytes;
	return send_part(upload, part, part->bytes.data, part->bytes.length, error);
}

static enum dicom_status
write_pending(struct s3_upload *upload, const char *bytes, size_t length, struct dicom_error *error)
{
	while (length > 0)
	{
		size_t room;
		size_t piece;

		if (upload->pending.length >= upload->part_size && flush_pending(upload, error) != DICOM_OK)
			return DICOM_FAILED;
		room = upload->part_size - upload->pending.length;
		piece = length < room ? length : room;
		dicom_buffer_append(&upload->pending, bytes, piece);
		if (upload->pending.failed)
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		bytes += piece;
		length -= piece;
	}
	return DICOM_OK;
}

static enum dicom_status
check_usable(struct s3_upload *upload, struct dicom_error *error)
{
	if (!upload->failed && !upload->finished)
		return DICOM_OK;
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "the upload has %s already",
			   upload->failed ? "failed" : "been finished");
	return store_name_object(error, &upload->s3->store, upload->put.key);
}

enum dicom_status
s3_upload_write(struct store_upload *handle, const void *bytes, size_t length, struct dicom_error *error)
{
	struct s3_upload *upload = (struct s3_upload *) handle;
	enum dicom_status status = check_usable(upload, error);

	if (status == DICOM_OK)
		status = write_pending(upload, bytes, length, error);
	upload->failed = upload->failed || status != DICOM_OK;
	return status;
}

/* --- the end --- */

static enum dicom_status
finish_parts(struct s3_upload *upload, char *etag, struct dicom_error *error)
{
	struct s3_part *unused;

	if (upload->pending.length > 0 && flush_pending(upload, error) != DICOM_OK)
		return DICOM_FAILED;
	if (wait_for_slot(upload, true, &unused, error) != DICOM_OK)
		return DICOM_FAILED;
	return s3_multipart_complete(&upload->multipart, &upload->put, etag, error);
}

enum dicom_status
s3_upload_finish(struct store_upload *handle, char *etag, struct dicom_error *error)
{
	struct s3_upload *upload = (struct s3_upload *) handle;
	enum dicom_status status = check_usable(upload, error);

	if (status != DICOM_OK)
		return status;
	if (upload->begun)
		status = finish_parts(upload, etag, error);
	else
		status =
			s3_put_whole(upload->s3, &upload->put, upload->pending.data, upload->pending.length, etag, error);
	upload->finished = status == DICOM_OK;
	upload->failed = status != DICOM_OK;
	return status;
}

void
s3_upload_close(struct store_upload *handle, bool may_wait)
{
	struct s3_upload *upload = (struct s3_upload *) handle;
	int i;

	for (i = 0; i < PARTS_AT_ONCE; i++)
	{
		if (upload->parts[i].busy)
			s3_request_close(&upload->parts[i].request);
		dicom_buffer_free(&upload->parts[i].bytes);
	}
	if (may_wait)
		s3_multipart_abort(&upload->multipart);
	s3_multipart_free(&upload->multipart);
	dicom_buffer_free(&upload->pending);
	free((char *) upload->put.key);
	free((char *) upload->put.content_type);
	free((char *) upload->put.storage_class);
	free((char *) upload->put.if_match);
	free(upload);
}

/* --- an object whose bytes are all there --- */

static enum dicom_status
put_parts(struct s3_upload *upload, const char *bytes, size_t length, char *etag, struct dicom_error *error)
{
	size_t part_size =
		upload->part_size > length / MAX_PARTS + 1 ? upload->part_size : length / MAX_PARTS + 1;

	if (begin(upload, error) != DICOM_OK)
		return DICOM_FAILED;
	while (length > 0)
	{
		size_t piece = length < part_size ? length : part_size;
		struct s3_part *part;

		if (wait_for_slot(upload, false, &part, error) != DICOM_OK ||
			send_part(upload, part, bytes, piece, error) != DICOM_OK)
			return DICOM_FAILED;
		bytes += piece;
		length -= piece;
	}
	return finish_parts(upload, etag, error);
}

enum dicom_status
s3_put(struct store *store, const struct store_put_request *put, const void *bytes, size_t length, char *etag,
	   struct dicom_error *error)
{
	struct store_upload *upload;
	enum dicom_status status;

	if (length <= put->part_size || length <= MIN_PART_SIZE)
		return s3_put_whole((struct s3_store *) store, put, bytes, length, etag, error);
	if (s3_upload_open(store, put, &upload, error) != DICOM_OK)
		return DICOM_FAILED;
	status = put_parts((struct s3_upload *) upload, bytes, length, etag, error);
	s3_upload_close(upload, true);
	return status;
}
