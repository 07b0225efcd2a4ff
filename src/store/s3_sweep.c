/*
 * s3_sweep.c
 *	  Uploads in parts that nobody will finish: listed by the store, and given up.
 *
 * One page of the listing is looked at a time, and again from its start while it removed something: what was given up is then no longer there.
 */
#include <stdlib.h>
#include <string.h>

#include "s3.h"
#include "xml.h"

#define PAGE_UPLOADS 200
#define MAX_ROUNDS   1000

struct s3_upload_page
{
	struct s3_multipart uploads[PAGE_UPLOADS]; /* keys with the store's prefix */
	int count;
	int64_t before;
	const char *prefix; /* the store's: a key without it is not ours */
	bool is_listing;
	bool failed;

	/* The Upload that is being read. */
	char *key;
	char *id;
	int64_t initiated;
};

static void
clear_upload(struct s3_upload_page *page)
{
	free(page->key);
	free(page->id);
	page->key = page->id = NULL;
	page->initiated = 0;
}

static void
clear_page(struct s3_upload_page *page)
{
	clear_upload(page);
	while (page->count > 0)
		s3_multipart_free(&page->uploads[--page->count]);
	page->is_listing = page->failed = false;
}

static void
keep(struct s3_upload_page *page, char **place, const char *text)
{
	free(*place);
	*place = strdup(text);
	page->failed |= !*place;
}

/* An upload without a time is as good as new: it is left alone. */
static void
end_upload(struct s3_upload_page *page)
{
	if (page->key && page->id && strncmp(page->key, page->prefix, strlen(page->prefix)) == 0 &&
		page->initiated > 0 && page->initiated < page->before && page->count < PAGE_UPLOADS)
	{
		struct s3_multipart *upload = &page->uploads[page->count++];

		memset(upload, 0, sizeof(*upload));
		upload->key = page->key;
		upload->id = page->id;
		page->key = page->id = NULL;
	}
	clear_upload(page);
}

static bool
take_element(void *arg, const char *path, const char *text, size_t length)
{
	static const char root[] = "ListMultipartUploadsResult";
	struct s3_upload_page *page = arg;
	const char *name = path + sizeof(root) - 1;

	if (strncmp(path, root, sizeof(root) - 1) != 0)
		return false;
	page->is_listing = true;
	if (strcmp(name, "/Upload/Key") == 0)
		keep(page, &page->key, text);
	else if (strcmp(name, "/Upload/UploadId") == 0)
		keep(page, &page->id, text);
	else if (strcmp(name, "/Upload/Initiated") == 0)
		page->initiated = s3_parse_time(text);
	else if (strcmp(name, "/Upload") == 0)
		end_upload(page);
	return !page->failed;
}

static enum dicom_status
finish_page(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct s3_upload_page *page = request->owner;
	struct xml *xml;
	bool whole;

	clear_page(page);
	xml = xml_open(take_element, page);
	whole = xml && xml_feed(xml, request->reply.data, request->reply.length) && xml_end(xml);
	xml_close(xml);
	if (!whole || !page->is_listing)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store's list of uploads cannot be read");
	return DICOM_OK;
}

static enum dicom_status
ask_page(struct s3_store *s3, const char *prefix, struct s3_upload_page *page, struct dicom_error *error)
{
	struct s3_request request = {0};
	struct dicom_buffer whole = {0};
	enum dicom_status status = s3_request_prepare(&request, s3, HTTP_GET, NULL, error);

	if (status != DICOM_OK)
		return status;
	dicom_buffer_append_string(&whole, s3->address.prefix);
	dicom_buffer_append_string(&whole, prefix);
	request.owner = page;
	request.finish = finish_page;
	request.counter = &s3->store.statistics.list_requests;
	s3_query_add(&request.query, "max-uploads", "200");
	if (!whole.failed && whole.length > 0)
		s3_query_add(&request.query, "prefix", whole.data);
	s3_query_add(&request.query, "uploads", "");
	status = whole.failed ? dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory")
						  : s3_request_run(&request, error);
	dicom_buffer_free(&whole);
	s3_request_close(&request);
	return status;
}

/* Gives up one, waiting for the answer; one that is gone meanwhile is fine. */
static enum dicom_status
abort_upload(struct s3_store *s3, const struct s3_multipart *upload, struct dicom_error *error)
{
	struct s3_request request = {0};
	const char *key = upload->key + strlen(s3->address.prefix);
	enum dicom_status status = s3_request_prepare(&request, s3, HTTP_DELETE, key, error);

	if (status != DICOM_OK)
		return status;
	s3_query_add(&request.query, "uploadId", upload->id);
	request.also_good = 404;
	status = s3_request_run(&request, error);
	s3_request_close(&request);
	return status;
}

enum dicom_status
s3_sweep(struct store *store, const char *prefix, int64_t before, uint64_t *removed,
		 struct dicom_error *error)
{
	struct s3_store *s3 = (struct s3_store *) store;
	struct s3_upload_page *page = calloc(1, sizeof(*page));
	enum dicom_status status = page ? DICOM_OK : dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	int rounds, i;

	for (rounds = 0; status == DICOM_OK && rounds < MAX_ROUNDS; rounds++)
	{
		page->before = before;
		page->prefix = s3->address.prefix;
		status = ask_page(s3, prefix, page, error);
		for (i = 0; status == DICOM_OK && i < page->count; i++)
		{
			status = abort_upload(s3, &page->uploads[i], error);
			*removed += status == DICOM_OK;
		}
		if (status != DICOM_OK || page->count == 0)
			break;
	}
	if (page)
		clear_page(page);
	free(page);
	return status;
}
