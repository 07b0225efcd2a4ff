/*
 * s3_read.c
 *	  Ranged reads, written straight into the caller's buffer.
 *
 * A server is not believed: what it says it sends is compared with what was asked, and what arrives with what it said.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"

struct s3_read
{
	struct store_read read;
	struct s3_request request;
	uint64_t offset;
	size_t length;
	char *buffer;
	uint64_t arrived; /* bytes of this attempt's answer, wanted or not */
	size_t received;  /* bytes in the buffer */
	bool surplus;     /* a range was answered with more than was asked */
	struct s3_description description;
};

static void
restart_read(struct s3_request *request)
{
	struct s3_read *read = request->owner;

	read->arrived = 0;
	read->received = 0;
	read->surplus = false;
}

static bool
receive_range(struct s3_read *read, const char *bytes, size_t length)
{
	size_t room = read->length - read->received;

	read->surplus = read->surplus || length > room;
	if (length > room)
		length = room;
	memcpy(read->buffer + read->received, bytes, length);
	read->received += length;
	return !read->surplus;
}

/* The server does not know ranges and sends the whole: pass over what comes before, and stop behind. */
static bool
receive_whole(struct s3_read *read, const char *bytes, size_t length)
{
	uint64_t start = read->arrived - length;
	size_t skip = start >= read->offset           ? 0
				  : read->offset - start < length ? (size_t) (read->offset - start)
												  : length;
	size_t room = read->length - read->received;

	bytes += skip;
	length -= skip;
	if (length > room)
		length = room;
	memcpy(read->buffer + read->received, bytes, length);
	read->received += length;
	return read->received < read->length;
}

static bool
receive_read(struct s3_request *request, int status, const void *bytes, size_t length)
{
	struct s3_read *read = request->owner;

	request->s3->store.statistics.bytes_received += length;
	read->arrived += length;
	if (status == 206)
		return receive_range(read, bytes, length);
	if (status == 200)
		return receive_whole(read, bytes, length);
	return read->arrived < S3_MAX_ERROR_BODY; /* 416 comes with a document */
}

static enum dicom_status
finish_range(struct s3_read *read, const struct http_answer *answer, struct dicom_error *error)
{
	char text[96];
	uint64_t first, last, size;
	uint64_t wanted_last = read->offset + read->length - 1;

	if (!http_header_copy(answer, "content-range", text, sizeof(text)) ||
		!s3_parse_content_range(text, &first, &last, &size) || first > last)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store sent a range without saying which");
	if (size != STORE_SIZE_UNKNOWN && last >= size)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store sent a range behind the end of the object");
	if (size != STORE_SIZE_UNKNOWN && wanted_last >= size)
		wanted_last = size - 1;
	if (first != read->offset || last > wanted_last || (size != STORE_SIZE_UNKNOWN && last < wanted_last))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL,
						  "the store sent bytes %" PRIu64 "-%" PRIu64 " where %" PRIu64 "-%" PRIu64
						  " were asked for",
						  first, last, read->offset, wanted_last);
	if (read->surplus || read->received != last - first + 1)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL,
						  "the store sent %s bytes than it announced: %" PRIu64 " of %" PRIu64,
						  read->surplus ? "more" : "fewer", read->arrived, last - first + 1);
	read->description.size = size;
	return DICOM_OK;
}

static enum dicom_status
finish_whole(struct s3_read *read, const struct http_answer *answer, struct dicom_error *error)
{
	uint64_t size = read->description.size; /* Content-Length */

	if (!answer->stopped && size != STORE_SIZE_UNKNOWN && size != read->arrived)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store sent %" PRIu64 " of %" PRIu64 " bytes",
						  read->arrived, size);
	if (!answer->stopped)
		read->description.size = read->arrived;
	return DICOM_OK;
}

/* The object ends before the offset: nothing comes, and that is right if the size agrees. */
static enum dicom_status
finish_behind_end(struct s3_read *read, const struct http_answer *answer, struct dicom_error *error)
{
	char text[96];
	uint64_t first, last, size;

	read->description.size = STORE_SIZE_UNKNOWN;
	read->description.etag[0] = '\0'; /* of the error document, if of anything */
	if (!http_header_copy(answer, "content-range", text, sizeof(text)) ||
		!s3_parse_content_range(text, &first, &last, &size))
		return DICOM_OK;
	if (size != STORE_SIZE_UNKNOWN && size > read->offset)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL,
						  "the store refuses a range that lies within the object");
	read->description.size = size;
	return DICOM_OK;
}

static enum dicom_status
finish_read(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct s3_read *read = request->owner;

	s3_describe(answer, &read->description);
	if (answer->status == 206)
		return finish_range(read, answer, error);
	if (answer->status == 200)
		return finish_whole(read, answer, error);
	if (answer->status == 416)
		return finish_behind_end(read, answer, error);
	return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store answers with HTTP status %d", answer->status);
}

static void
fill_request(struct s3_read *read, const struct store_read_request *wanted)
{
	struct s3_request *request = &read->request;

	request->owner = read;
	request->counter = &request->s3->store.statistics.get_requests;
	request->also_good = 416;
	request->restart = restart_read;
	request->receive = receive_read;
	request->finish = finish_read;
	s3_request_header(request, "Range", "bytes=%" PRIu64 "-%" PRIu64, wanted->offset,
					  wanted->offset + wanted->length - 1);
	if (wanted->if_match)
	{
		request->condition = S3_CONDITION_MATCH;
		s3_request_header(request, "If-Match", "\"%s\"", wanted->if_match);
	}
}

static enum dicom_status
start_read(struct s3_read *read, struct s3_store *s3, const struct store_read_request *wanted,
		   struct dicom_error *error)
{
	if (s3_request_prepare(&read->request, s3, HTTP_GET, wanted->key, error) != DICOM_OK)
		return DICOM_FAILED;
	read->offset = wanted->offset;
	read->length = wanted->length;
	read->buffer = wanted->buffer;
	if (wanted->length == 0)
	{
		/* There is no range of no bytes; and nothing was asked. */
		read->description.size = STORE_SIZE_UNKNOWN;
		read->request.state = S3_SUCCEEDED;
		s3->progressed = true;
		return DICOM_OK;
	}
	fill_request(read, wanted);
	return s3_request_submit(&read->request, error);
}

enum dicom_status
s3_read_open(struct store *store, const struct store_read_request *request, struct store_read **result,
			 struct dicom_error *error)
{
	struct s3_read *read;

	if (request->offset > INT64_MAX || request->length > INT64_MAX - request->offset)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
						  "a range passes the end of what can be addressed");
	read = calloc(1, sizeof(*read));
	if (!read)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (start_read(read, (struct s3_store *) store, request, error) != DICOM_OK)
	{
		s3_read_close(&read->read);
		return DICOM_FAILED;
	}
	*result = &read->read;
	return DICOM_OK;
}

enum dicom_status
s3_read_result(struct store_read *handle, size_t *length, struct store_object *object,
			   struct dicom_error *error)
{
	struct s3_read *read = (struct s3_read *) handle;
	enum dicom_status status = s3_request_result(&read->request, error);

	if (status != DICOM_OK)
		return status;
	*length = read->received;
	if (object)
	{
		object->key = read->request.key;
		object->size = read->description.size;
		object->etag = read->description.etag[0] ? read->description.etag : NULL;
		object->last_modified = read->description.last_modified;
		object->storage_class =
			read->description.storage_class[0] ? read->description.storage_class : "STANDARD";
	}
	return DICOM_OK;
}

void
s3_read_close(struct store_read *handle)
{
	struct s3_read *read = (struct s3_read *) handle;

	s3_request_close(&read->request);
	free(read);
}
