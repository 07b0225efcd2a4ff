/*
 * s3_multipart.c
 *	  The requests that an upload in parts consists of: create, part, complete, abort.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"
#include "xml.h"

#define MAX_PARTS 10000

/* How long giving up may take: as a rule, and once the host has interrupted. */
#define ABORT_MS             3000
#define ABORT_INTERRUPTED_MS 150

static enum dicom_status
out_of_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

/* --- create --- */

static enum dicom_status
finish_create(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct s3_multipart *multipart = request->owner;
	char id[2048];
	struct xml_wanted wanted = {"InitiateMultipartUploadResult/UploadId", id, sizeof(id)};

	if (!xml_extract(request->reply.data, request->reply.length, &wanted, 1) || !id[0])
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store began an upload without naming it");
	free(multipart->id);
	multipart->id = strdup(id);
	return multipart->id ? DICOM_OK : out_of_memory(error);
}

enum dicom_status
s3_multipart_prepare(struct s3_multipart *multipart, struct s3_store *s3, const char *key,
					 struct s3_request *create, struct dicom_error *error)
{
	memset(multipart, 0, sizeof(*multipart));
	memset(create, 0, sizeof(*create));
	multipart->s3 = s3;
	multipart->key = strdup(key);
	if (!multipart->key)
		return out_of_memory(error);
	if (s3_request_prepare(create, s3, HTTP_POST, key, error) != DICOM_OK)
		return DICOM_FAILED;
	create->owner = multipart;
	create->finish = finish_create;
	s3_query_add(&create->query, "uploads", "");
	return DICOM_OK;
}

enum dicom_status
s3_multipart_begin(struct s3_multipart *multipart, struct s3_request *create, struct dicom_error *error)
{
	return s3_request_run(create, error);
}

/* --- parts --- */

static bool
make_room(struct s3_multipart *multipart)
{
	int capacity = multipart->capacity ? multipart->capacity * 2 : 16;
	char **etags;

	if (multipart->part_count < multipart->capacity)
		return true;
	etags = realloc(multipart->etags, capacity * sizeof(*etags));
	if (!etags)
		return false;
	multipart->etags = etags;
	multipart->capacity = capacity;
	return true;
}

enum dicom_status
s3_multipart_part(struct s3_multipart *multipart, struct s3_request *request, size_t *number,
				  struct dicom_error *error)
{
	char text[16];

	if (multipart->part_count == MAX_PARTS)
	{
		dicom_fail(error, DICOM_ERROR_LIMIT, "the object needs more than %d parts", MAX_PARTS);
		return store_name_object(error, &multipart->s3->store, multipart->key);
	}
	if (!make_room(multipart))
		return out_of_memory(error);
	if (s3_request_prepare(request, multipart->s3, HTTP_PUT, multipart->key, error) != DICOM_OK)
		return DICOM_FAILED;
	multipart->etags[multipart->part_count++] = NULL;
	*number = multipart->part_count;
	snprintf(text, sizeof(text), "%zu", *number);
	s3_query_add(&request->query, "partNumber", text);
	s3_query_add(&request->query, "uploadId", multipart->id);
	request->counter = &multipart->s3->store.statistics.put_requests;
	return DICOM_OK;
}

enum dicom_status
s3_multipart_keep_etag(struct s3_multipart *multipart, size_t number, const char *etag,
					   struct dicom_error *error)
{
	if (!*etag || strpbrk(etag, "<>&"))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store took a part without giving its etag");
	free(multipart->etags[number - 1]);
	multipart->etags[number - 1] = strdup(etag);
	return multipart->etags[number - 1] ? DICOM_OK : out_of_memory(error);
}

/* --- complete --- */

static enum dicom_status
finish_complete(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	char *etag = request->owner;
	struct xml_wanted wanted = {"CompleteMultipartUploadResult/ETag", etag, STORE_ETAG_SIZE};

	if (s3_judge_hidden_error(request, answer, error))
		return DICOM_FAILED;
	if (!xml_extract(request->reply.data, request->reply.length, &wanted, 1))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store completed an upload without saying so");
	s3_strip_etag(etag);
	return DICOM_OK;
}

static void
list_parts(const struct s3_multipart *multipart, struct dicom_buffer *document)
{
	int i;

	dicom_buffer_append_string(document,
							   "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (i = 0; i < multipart->part_count; i++)
		dicom_buffer_printf(document, "<Part><PartNumber>%d</PartNumber><ETag>\"%s\"</ETag></Part>", i + 1,
							multipart->etags[i]);
	dicom_buffer_append_string(document, "</CompleteMultipartUpload>");
}

/* Is the object there, as long as ours, and made of as many parts? */
static bool
looks_completed(struct s3_multipart *multipart, char *etag)
{
	struct s3_description description;
	struct s3_request request = {0};
	char suffix[16];
	const char *dash;
	bool same = false;

	snprintf(suffix, sizeof(suffix), "-%d", multipart->part_count);
	if (s3_ask_head(&request, multipart->s3, multipart->key, NULL, &description, NULL) == DICOM_OK)
	{
		dash = strrchr(description.etag, '-');
		same = description.size == multipart->length && dash && strcmp(dash, suffix) == 0;
		strcpy(etag, description.etag);
	}
	s3_request_close(&request);
	return same;
}

/* Not every store looks at If-None-Match when it completes an upload: what can be seen beforehand, is seen. */
static enum dicom_status
check_absence(struct s3_multipart *multipart, struct dicom_error *error)
{
	struct dicom_error own;
	struct s3_description description;
	struct s3_request request = {0};
	enum dicom_status status = s3_ask_head(&request, multipart->s3, multipart->key, NULL, &description, &own);

	s3_request_close(&request);
	if (status == DICOM_OK)
	{
		dicom_fail(&own, DICOM_ERROR_EXISTS, "an object with this key exists already");
		store_name_object(&own, &multipart->s3->store, multipart->key);
		own.attempts = 1;
	}
	else if (own.code == DICOM_ERROR_NOT_FOUND)
		return DICOM_OK;
	if (error)
		*error = own;
	return DICOM_FAILED;
}

static enum dicom_status
check_etag(struct s3_multipart *multipart, const struct store_put_request *put, struct dicom_error *error)
{
	struct s3_description description;
	struct s3_request request = {0};
	enum dicom_status status =
		s3_ask_head(&request, multipart->s3, multipart->key, put->if_match, &description, error);

	s3_request_close(&request);
	return status;
}

static enum dicom_status
check_condition(struct s3_multipart *multipart, const struct store_put_request *put,
				struct dicom_error *error)
{
	if (put->if_none_match)
		return check_absence(multipart, error);
	return put->if_match ? check_etag(multipart, put, error) : DICOM_OK;
}

static enum dicom_status
run_complete(struct s3_multipart *multipart, const struct store_put_request *put, struct s3_request *request,
			 char *etag, struct dicom_error *error)
{
	struct dicom_buffer document = {0};
	enum dicom_status status;

	list_parts(multipart, &document);
	if (document.failed)
	{
		dicom_buffer_free(&document);
		return out_of_memory(error);
	}
	s3_query_add(&request->query, "uploadId", multipart->id);
	request->owner = etag;
	request->finish = finish_complete;
	request->body = document.data;
	request->body_length = document.length;
	s3_request_header(request, "Content-Type", "application/xml");
	s3_add_condition(request, put);
	status = s3_request_run(request, error);
	if (status == DICOM_FAILED)
		s3_request_drop(request); /* the document goes */
	dicom_buffer_free(&document);
	return status;
}

/* The parts are an object now. Some stores do not tell its etag. */
static void
end_multipart(struct s3_multipart *multipart, char *etag)
{
	free(multipart->id);
	multipart->id = NULL;
	if (!etag[0])
		looks_completed(multipart, etag);
}

enum dicom_status
s3_multipart_complete(struct s3_multipart *multipart, const struct store_put_request *put, char *etag,
					  struct dicom_error *error)
{
	struct dicom_error own;
	struct s3_request request = {0};
	enum dicom_status status = check_condition(multipart, put, &own);

	if (status == DICOM_OK)
		status = s3_request_prepare(&request, multipart->s3, HTTP_POST, multipart->key, &own);
	if (status == DICOM_OK)
		status = run_complete(multipart, put, &request, etag, &own);
	/* Completed before, by a request whose answer was lost? */
	if (status == DICOM_FAILED && request.times_sent > 1 && own.code != DICOM_ERROR_INTERRUPTED &&
		looks_completed(multipart, etag))
		status = DICOM_OK;
	s3_request_close(&request);
	if (status == DICOM_OK)
		end_multipart(multipart, etag);
	else if (error)
		*error = own;
	return status;
}

/* --- abort --- */

/* Waits for the request a while longer than the host would have it. */
static void
wait_bounded(struct s3_request *request, int timeout_ms)
{
	struct s3_store *s3 = request->s3;
	struct store_host host = s3->store.host;
	int64_t until = s3_now_ms() + timeout_ms;
	int64_t now;

	while (s3_request_result(request, NULL) == DICOM_PENDING && (now = s3_now_ms()) < until)
	{
		if (s3_wait(&s3->store, (int) (until - now), NULL) == DICOM_OK)
			continue;
		if (s3->store.host.wait == store_poll)
			break;
		s3->store.host = (struct store_host){store_poll, NULL};
		if (until > s3_now_ms() + ABORT_INTERRUPTED_MS)
			until = s3_now_ms() + ABORT_INTERRUPTED_MS;
	}
	s3->store.host = host;
}

void
s3_multipart_abort(struct s3_multipart *multipart)
{
	struct s3_request request = {0};

	if (!multipart->id)
		return;
	if (s3_request_prepare(&request, multipart->s3, HTTP_DELETE, multipart->key, NULL) == DICOM_OK)
	{
		s3_query_add(&request.query, "uploadId", multipart->id);
		if (s3_request_submit(&request, NULL) == DICOM_OK)
			wait_bounded(&request, ABORT_MS);
	}
	s3_request_close(&request);
	free(multipart->id);
	multipart->id = NULL;
}

void
s3_multipart_free(struct s3_multipart *multipart)
{
	int i;

	for (i = 0; i < multipart->part_count; i++)
		free(multipart->etags[i]);
	free(multipart->etags);
	free(multipart->key);
	free(multipart->id);
	memset(multipart, 0, sizeof(*multipart));
}
