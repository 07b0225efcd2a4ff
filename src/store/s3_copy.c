/*
 * s3_copy.c
 *	  Copies within one endpoint, and changes of the storage class, which are copies onto the same key.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "s3.h"
#include "xml.h"

#define COPY_LIMIT     ((uint64_t) 5 * 1024 * 1024 * 1024) /* of one request */
#define COPY_PART_SIZE ((uint64_t) 512 * 1024 * 1024)
#define MAX_PARTS      10000

bool
s3_can_copy(const struct store *source, const struct store *target)
{
	const struct endpoint *a = &((const struct s3_store *) source)->address.endpoint;
	const struct endpoint *b = &((const struct s3_store *) target)->address.endpoint;

	return a->tls == b->tls && a->port == b->port && strcmp(a->host, b->host) == 0 &&
		   strcmp(a->path, b->path) == 0;
}

/* Names the source in a request to the target. */
static void
add_source(struct s3_request *request, const struct s3_store *source, const char *key, const char *if_match)
{
	const char *prefix = source->address.prefix;
	struct dicom_buffer path = {0};

	sigv4_encode(&path, prefix, strlen(prefix), true);
	sigv4_encode(&path, key, strlen(key), true);
	if (path.failed || !path.data)
		request->failed_header = true;
	else
		s3_request_header(request, "x-amz-copy-source", "/%s/%s", source->address.bucket, path.data);
	dicom_buffer_free(&path);
	if (if_match)
	{
		request->condition = S3_CONDITION_MATCH;
		s3_request_header(request, "x-amz-copy-source-if-match", "\"%s\"", if_match);
		s3_request_header(request, "x-amz-copy-if-match", "\"%s\"", if_match); /* where Ceph looks for it */
	}
}

/* --- in one request --- */

static enum dicom_status
finish_copy(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct s3_description *made = request->owner;
	char time[64];
	struct xml_wanted wanted[] = {{"CopyObjectResult/ETag", made->etag, sizeof(made->etag)},
								  {"CopyObjectResult/LastModified", time, sizeof(time)}};

	if (s3_judge_hidden_error(request, answer, error))
		return DICOM_FAILED;
	if (!xml_extract(request->reply.data, request->reply.length, wanted, 2))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store copied an object without saying so");
	s3_strip_etag(made->etag);
	made->last_modified = s3_parse_time(time);
	return DICOM_OK;
}

enum dicom_status
s3_copy_prepare(struct s3_request *request, struct s3_store *source, const char *source_key,
				const char *if_match, struct s3_store *target, const char *target_key,
				const char *storage_class, struct s3_description *made, struct dicom_error *error)
{
	if (s3_request_prepare(request, target, HTTP_PUT, target_key, error) != DICOM_OK)
		return DICOM_FAILED;
	request->owner = made;
	request->finish = finish_copy;
	add_source(request, source, source_key, if_match);
	s3_request_header(request, "x-amz-metadata-directive", "COPY");
	if (storage_class)
		s3_request_header(request, "x-amz-storage-class", "%s", storage_class);
	return DICOM_OK;
}

static enum dicom_status
copy_whole(struct s3_store *source, const char *source_key, const char *if_match, struct s3_store *target,
		   const char *target_key, const char *storage_class, char *etag, struct dicom_error *error)
{
	struct s3_request request = {0};
	struct s3_description made = {.etag = ""};
	enum dicom_status status = s3_copy_prepare(&request, source, source_key, if_match, target, target_key,
											   storage_class, &made, error);

	if (status == DICOM_OK)
		status = s3_request_run(&request, error);
	if (status == DICOM_OK)
		memcpy(etag, made.etag, STORE_ETAG_SIZE);
	s3_request_close(&request);
	return status;
}

/* --- in parts --- */

static bool
is_metadata(const char *line, size_t length)
{
	static const char *const names[] = {"x-amz-meta-",          "content-type:",     "cache-control:",
										"content-disposition:", "content-encoding:", "content-language:"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (length > strlen(names[i]) && strncasecmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* A new object in parts begins without metadata: it is given what the source's headers say. */
static void
add_metadata(struct s3_request *create, char *headers)
{
	char *line;
	char *rest = headers;

	while (headers && (line = strsep(&rest, "\r\n")) != NULL)
	{
		char *value = strchr(line, ':');
		char *c;

		if (!value || !is_metadata(line, strlen(line)))
			continue;
		for (c = line; c < value; c++)
			*c = *c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c;
		*value++ = '\0';
		s3_request_header(create, line, "%s", value + strspn(value, " \t"));
	}
}

struct part_copy
{
	struct s3_multipart *multipart;
	size_t number;
};

static enum dicom_status
finish_part_copy(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct part_copy *copy = request->owner;
	char etag[STORE_ETAG_SIZE];
	struct xml_wanted wanted = {"CopyPartResult/ETag", etag, sizeof(etag)};

	if (s3_judge_hidden_error(request, answer, error))
		return DICOM_FAILED;
	if (!xml_extract(request->reply.data, request->reply.length, &wanted, 1))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store copied a part without saying so");
	s3_strip_etag(etag);
	return s3_multipart_keep_etag(copy->multipart, copy->number, etag, error);
}

static enum dicom_status
copy_part(struct s3_multipart *multipart, const struct s3_store *source, const char *source_key,
		  const char *if_match, uint64_t offset, uint64_t length, struct dicom_error *error)
{
	struct part_copy copy = {.multipart = multipart};
	struct s3_request request = {0};
	enum dicom_status status = s3_multipart_part(multipart, &request, &copy.number, error);

	if (status == DICOM_OK)
	{
		request.owner = &copy;
		request.finish = finish_part_copy;
		add_source(&request, source, source_key, if_match);
		s3_request_header(&request, "x-amz-copy-source-range", "bytes=%" PRIu64 "-%" PRIu64, offset,
						  offset + length - 1);
		multipart->length += length;
		status = s3_request_run(&request, error);
	}
	s3_request_close(&request);
	return status;
}

static enum dicom_status
copy_parts(struct s3_multipart *multipart, const struct s3_store *source, const char *source_key,
		   const struct s3_description *description, uint64_t part_size, struct dicom_error *error)
{
	uint64_t offset;

	if (part_size < description->size / MAX_PARTS + 1)
		part_size = description->size / MAX_PARTS + 1;
	for (offset = 0; offset < description->size; offset += part_size)
	{
		uint64_t left = description->size - offset;

		if (copy_part(multipart, source, source_key, description->etag[0] ? description->etag : NULL, offset,
					  left < part_size ? left : part_size, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	return DICOM_OK;
}

/* head holds the source's headers. */
static enum dicom_status
copy_described(struct s3_store *source, const char *source_key, struct s3_store *target,
			   const char *target_key, const char *storage_class, uint64_t part_size, struct s3_request *head,
			   const struct s3_description *description, char *etag, struct dicom_error *error)
{
	const struct store_put_request unconditional = {.key = target_key};
	struct s3_multipart multipart;
	struct s3_request create;
	enum dicom_status status = s3_multipart_prepare(&multipart, target, target_key, &create, error);

	if (status == DICOM_OK)
	{
		add_metadata(&create, head->reply.data);
		if (storage_class)
			s3_request_header(&create, "x-amz-storage-class", "%s", storage_class);
		status = s3_multipart_begin(&multipart, &create, error);
	}
	s3_request_close(&create);
	if (status == DICOM_OK)
		status = copy_parts(&multipart, source, source_key, description, part_size, error);
	if (status == DICOM_OK)
		status = s3_multipart_complete(&multipart, &unconditional, etag, error);
	s3_multipart_abort(&multipart);
	s3_multipart_free(&multipart);
	return status;
}

enum dicom_status
s3_copy_in_parts(struct s3_store *source, const char *source_key, const char *if_match,
				 struct s3_store *target, const char *target_key, const char *storage_class,
				 uint64_t part_size, char *etag, struct dicom_error *error)
{
	struct s3_description description;
	struct s3_request head = {0};
	enum dicom_status status = s3_ask_head(&head, source, source_key, if_match, &description, error);

	if (status == DICOM_OK)
		status = copy_described(source, source_key, target, target_key, storage_class, part_size, &head,
								&description, etag, error);
	s3_request_close(&head);
	return status;
}

/* --- the calls of store.h --- */

/* Was the copy refused for the length of its source? There is no code of its own for that. */
static bool
is_too_long(struct s3_store *source, const char *source_key)
{
	struct s3_description description;
	struct s3_request head = {0};
	bool long_one = s3_ask_head(&head, source, source_key, NULL, &description, NULL) == DICOM_OK &&
					description.size != STORE_SIZE_UNKNOWN && description.size > COPY_LIMIT;

	s3_request_close(&head);
	return long_one;
}

enum dicom_status
s3_copy(struct store *source_store, const char *source_key, const char *if_match, struct store *target_store,
		const char *target_key, const char *storage_class, char *etag, struct dicom_error *error)
{
	struct s3_store *source = (struct s3_store *) source_store;
	struct s3_store *target = (struct s3_store *) target_store;
	struct dicom_error own;
	enum dicom_status status;

	if (!s3_can_copy(source_store, target_store))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "cannot copy between different endpoints");
		return store_name_object(error, target_store, target_key);
	}
	status = copy_whole(source, source_key, if_match, target, target_key, storage_class, etag, &own);
	if (status == DICOM_FAILED && own.code == DICOM_ERROR_INVALID_OPTION && is_too_long(source, source_key))
		return s3_copy_in_parts(source, source_key, if_match, target, target_key, storage_class,
								COPY_PART_SIZE, etag, error);
	if (status == DICOM_FAILED && error)
		*error = own;
	return status;
}

enum dicom_status
s3_set_storage_class(struct store *store, const char *key, const char *storage_class,
					 struct dicom_error *error)
{
	struct s3_store *s3 = (struct s3_store *) store;
	struct s3_description description;
	struct s3_request head = {0};
	char etag[STORE_ETAG_SIZE] = "";
	enum dicom_status status = s3_ask_head(&head, s3, key, NULL, &description, error);

	if (status == DICOM_OK && strcmp(description.storage_class, storage_class) != 0)
	{
		const char *known = description.etag[0] ? description.etag : NULL;

		if (description.size != STORE_SIZE_UNKNOWN && description.size > COPY_LIMIT)
			status = copy_described(s3, key, s3, key, storage_class, COPY_PART_SIZE, &head, &description,
									etag, error);
		else
			status = copy_whole(s3, key, known, s3, key, storage_class, etag, error);
	}
	s3_request_close(&head);
	return status;
}
