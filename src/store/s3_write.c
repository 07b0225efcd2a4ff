/*
 * s3_write.c
 *	  Whole objects: put in one request, head, delete.
 */
#include <stdlib.h>
#include <string.h>

#include "s3.h"

/* --- head --- */

/* Keeps the headers: the copy of a large object needs them again. */
static enum dicom_status
finish_head(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	s3_describe(answer, request->owner);
	dicom_buffer_reset(&request->reply);
	dicom_buffer_append_string(&request->reply, answer->headers);
	return request->reply.failed ? dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory") : DICOM_OK;
}

enum dicom_status
s3_ask_head(struct s3_request *request, struct s3_store *s3, const char *key, const char *if_match,
			struct s3_description *description, struct dicom_error *error)
{
	if (s3_request_prepare(request, s3, HTTP_HEAD, key, error) != DICOM_OK)
		return DICOM_FAILED;
	request->counter = &s3->store.statistics.head_requests;
	request->finish = finish_head;
	request->owner = description;
	if (if_match)
	{
		request->condition = S3_CONDITION_MATCH;
		s3_request_header(request, "If-Match", "\"%s\"", if_match);
	}
	return s3_request_run(request, error);
}

enum dicom_status
s3_head(struct store *store, const char *key, struct store_object *object, struct dicom_error *error)
{
	struct s3_store *s3 = (struct s3_store *) store;
	struct s3_request request = {0};
	enum dicom_status status = s3_ask_head(&request, s3, key, NULL, &s3->head, error);

	if (status == DICOM_OK)
	{
		free(s3->head_key);
		s3->head_key = request.key;
		request.key = NULL;
		object->key = s3->head_key;
		object->size = s3->head.size;
		object->etag = s3->head.etag[0] ? s3->head.etag : NULL;
		object->last_modified = s3->head.last_modified;
		object->storage_class = s3->head.storage_class;
	}
	s3_request_close(&request);
	return status;
}

/* --- delete --- */

enum dicom_status
s3_delete(struct store *store, const char *key, struct dicom_error *error)
{
	struct dicom_error own;
	struct s3_request request = {0};
	enum dicom_status status =
		s3_request_prepare(&request, (struct s3_store *) store, HTTP_DELETE, key, &own);

	if (status == DICOM_OK)
		status = s3_request_run(&request, &own);
	s3_request_close(&request);
	if (status == DICOM_FAILED && own.code == DICOM_ERROR_NOT_FOUND)
		return DICOM_OK;
	if (status == DICOM_FAILED && error)
		*error = own;
	return status;
}

/* --- put --- */

void
s3_add_put_headers(struct s3_request *request, const struct store_put_request *put)
{
	s3_request_header(request, "Content-Type", "%s",
					  put->content_type ? put->content_type : "application/octet-stream");
	if (put->storage_class)
		s3_request_header(request, "x-amz-storage-class", "%s", put->storage_class);
}

void
s3_add_condition(struct s3_request *request, const struct store_put_request *put)
{
	if (put->if_none_match)
	{
		request->condition = S3_CONDITION_NONE_MATCH;
		s3_request_header(request, "If-None-Match", "*");
	}
	else if (put->if_match)
	{
		/* Without quotes: some versions of Ceph compare the header of a write as it stands, and AWS takes both. */
		request->condition = S3_CONDITION_MATCH;
		s3_request_header(request, "If-Match", "%s", put->if_match);
	}
}

static enum dicom_status
finish_put(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct s3_description description;

	s3_describe(answer, &description);
	strcpy(request->owner, description.etag);
	return DICOM_OK;
}

/* --- is the object that is there the one we wanted to put? --- */

struct comparison
{
	const char *bytes;
	size_t length;
	size_t compared;
	bool differs;
	char *etag;
};

static void
restart_comparison(struct s3_request *request)
{
	struct comparison *comparison = request->owner;

	comparison->compared = 0;
	comparison->differs = false;
}

static bool
receive_comparison(struct s3_request *request, int status, const void *bytes, size_t length)
{
	struct comparison *comparison = request->owner;

	request->s3->store.statistics.bytes_received += length;
	if (length > comparison->length - comparison->compared ||
		memcmp(comparison->bytes + comparison->compared, bytes, length) != 0)
		comparison->differs = true;
	else
		comparison->compared += length;
	return !comparison->differs;
}

static enum dicom_status
finish_comparison(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct comparison *comparison = request->owner;
	struct s3_description description;

	s3_describe(answer, &description);
	strcpy(comparison->etag, description.etag);
	return DICOM_OK;
}

/*
 * A condition failed although the request may have been carried out before, its answer lost: then it is our own object that stands in
 * the way. Its bytes decide, not its etag, which is no MD5 where a store encrypts.
 */
static bool
is_our_own(struct s3_store *s3, const char *key, const void *bytes, size_t length, char *etag)
{
	struct comparison comparison = {.bytes = bytes, .length = length, .etag = etag};
	struct s3_request request = {0};
	bool same = false;

	if (s3_request_prepare(&request, s3, HTTP_GET, key, NULL) == DICOM_OK)
	{
		request.owner = &comparison;
		request.counter = &s3->store.statistics.get_requests;
		request.restart = restart_comparison;
		request.receive = receive_comparison;
		request.finish = finish_comparison;
		same = s3_request_run(&request, NULL) == DICOM_OK && !comparison.differs &&
			   comparison.compared == length;
	}
	s3_request_close(&request);
	return same;
}

enum dicom_status
s3_put_prepare(struct s3_request *request, struct s3_store *s3, const struct store_put_request *put,
			   const void *bytes, size_t length, char *etag, struct dicom_error *error)
{
	if (s3_request_prepare(request, s3, HTTP_PUT, put->key, error) != DICOM_OK)
		return DICOM_FAILED;
	request->owner = etag;
	request->counter = &s3->store.statistics.put_requests;
	request->finish = finish_put;
	request->body = bytes;
	request->body_length = length;
	s3_add_put_headers(request, put);
	s3_add_condition(request, put);
	return DICOM_OK;
}

enum dicom_status
s3_put_whole(struct s3_store *s3, const struct store_put_request *put, const void *bytes, size_t length,
			 char *etag, struct dicom_error *error)
{
	struct dicom_error own;
	struct s3_request request = {0};
	enum dicom_status status = s3_put_prepare(&request, s3, put, bytes, length, etag, &own);

	if (status == DICOM_OK)
		status = s3_request_run(&request, &own);
	if (status == DICOM_FAILED && (own.code == DICOM_ERROR_EXISTS || own.code == DICOM_ERROR_CHANGED) &&
		request.times_sent > 1 && is_our_own(s3, put->key, bytes, length, etag))
		status = DICOM_OK;
	s3_request_close(&request);
	if (status == DICOM_FAILED && error)
		*error = own;
	return status;
}
