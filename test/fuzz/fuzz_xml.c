/*
 * fuzz_xml.c
 *	  What an S3 server answers: pages of a listing, error documents, and short replies. Nothing is sent: the answers are put
 *	  where the network would have put them.
 *
 * The first byte chooses the kind of answer and the pieces in which it comes.
 */
#include <stdlib.h>
#include <string.h>

#include "store/s3.h"
#include "store/xml.h"

static struct s3_store *s3;

static void
require(int holds)
{
	if (!holds)
		abort();
}

static void
open_store(void)
{
	struct store_options options = {.location = "s3://bucket/in/",
									.endpoint = "http://127.0.0.1:1",
									.credentials = STORE_CREDENTIALS_ANONYMOUS};
	struct store *store;

	if (s3)
		return;
	require(store_open(&options, NULL, &store, NULL) == DICOM_OK);
	s3 = (struct s3_store *) store;
}

/* What is handed out ascends, and is no folder marker. */
static void
take_page(struct store_list *list)
{
	struct store_object object;
	struct dicom_error error;
	char *before = NULL;

	while (store_list_next(list, &object, &error) == DICOM_OK)
	{
		size_t length = strlen(object.key);

		require(!before || strcmp(before, object.key) < 0);
		require(object.size > 0 || length == 0 || object.key[length - 1] != '/');
		require(object.storage_class != NULL && object.size != STORE_SIZE_UNKNOWN);
		free(before);
		before = strdup(object.key);
	}
	free(before);
}

/* The request that waits to be sent is answered instead. */
static void
answer_list(const uint8_t *data, size_t size, size_t piece)
{
	struct store_list_request wanted = {
		.prefix = piece & 1 ? "a" : NULL, .end_before = piece & 2 ? "m" : NULL, .limit = piece & 4 ? 3 : 0};
	struct http_answer answer = {.status = 200, .headers = ""};
	struct dicom_error error;
	struct store_list *list;
	struct s3_request *request;
	bool good = true;
	size_t at;

	require(store_list_open(&s3->store, &wanted, &list, &error) == DICOM_OK);
	request = s3->queued.first;
	require(request != NULL);
	request->restart(request);
	for (at = 0; at < size && good; at += piece)
		good = request->receive(request, 200, data + at, size - at < piece ? size - at : piece);
	if (request->finish(request, &answer, &error) == DICOM_OK)
	{
		require(good);
		request->state = S3_SUCCEEDED;
		take_page(list);
	}
	store_list_close(list);
}

static void
answer_error(const uint8_t *data, size_t size, int status)
{
	struct http_answer answer = {.status = status, .headers = "x-amz-bucket-region: eu-west-1\r\n"};
	struct s3_request request;
	struct dicom_error error = {0};
	bool transient = false;
	bool expired = false;

	require(s3_request_prepare(&request, s3, status & 1 ? HTTP_HEAD : HTTP_GET, "key", NULL) == DICOM_OK);
	dicom_buffer_append(&request.reply, data, size);
	s3_judge_error(&request, &answer, &error, &transient, &expired);
	require(error.code != DICOM_ERROR_NONE && error.message[0]);
	memset(&error, 0, sizeof(error));
	require(s3_judge_hidden_error(&request, &answer, &error) == (error.code != DICOM_ERROR_NONE));
	s3_request_close(&request);
}

static void
answer_values(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	uint64_t first, last, total;
	size_t length = size;

	memcpy(text, data, size);
	text[size] = '\0';
	if (s3_parse_content_range(text, &first, &last, &total) && first <= last)
		require(last != UINT64_MAX);
	s3_parse_time(text);
	s3_strip_etag(text);
	length = strlen(text);
	if (s3_decode_url(text, &length))
		require(strlen(text) == length);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 301, 400, 403, 404, 409, 412, 503};

	if (size < 1)
		return 0;
	open_store();
	switch (data[0] & 3)
	{
		case 0:
		case 1:
			answer_list(data + 1, size - 1, 1 + (data[0] >> 2));
			break;
		case 2:
			answer_error(data + 1, size - 1, statuses[data[0] >> 2 & 7]);
			break;
		case 3:
			answer_values(data + 1, size - 1);
			break;
	}
	return 0;
}
