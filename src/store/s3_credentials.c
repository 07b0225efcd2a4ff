/*
 * s3_credentials.c
 *	  Lends a store's HTTP, retries and budget to the credentials.
 */
#include <stdlib.h>
#include <string.h>

#include "s3.h"

#define MAX_REPLY   (256 * 1024)
#define MAX_HEADERS 8

static enum http_method
method_of(const char *name)
{
	if (strcmp(name, "PUT") == 0)
		return HTTP_PUT;
	return strcmp(name, "POST") == 0 ? HTTP_POST : HTTP_GET;
}

/* Others go on meanwhile. */
static enum dicom_status
sleep_before_retry(struct s3_store *s3, int repetition, struct dicom_error *error)
{
	int64_t until = s3_now_ms() + retry_delay(&s3->budget, repetition, 0);
	int64_t now;

	while ((now = s3_now_ms()) < until)
		if (http_wait(s3->http, (int) (until - now), error) != DICOM_OK)
			return DICOM_FAILED;
	return DICOM_OK;
}

/* Sends one request again and again until something comes back that a repetition would not better. */
static enum dicom_status
perform(struct s3_store *s3, const struct http_request *request, bool retry, int *http_status,
		struct dicom_buffer *body, struct dicom_error *error)
{
	size_t before = body->length;
	int attempts = 0;

	for (;;)
	{
		struct http_answer answer;
		enum dicom_status status = http_perform(s3->http, request, body, MAX_REPLY, &answer, error);
		bool again = status == DICOM_OK ? answer.status == 429 || answer.status >= 500
										: answer.failure != DICOM_ERROR_NONE && answer.transient;

		attempts++;
		s3->store.statistics.other_requests++;
		*http_status = answer.status;
		if (status != DICOM_OK && error)
			error->attempts = attempts;
		if (!again || !retry || attempts > s3->max_retries || !retry_take(&s3->budget))
			return status;
		s3->store.statistics.retries++;
		body->length = before;
		if (sleep_before_retry(s3, attempts, error) != DICOM_OK)
			return DICOM_FAILED;
	}
}

/* "Name: value" for each header; false where memory runs out. */
static bool
make_lines(const struct credentials_request *request, struct dicom_buffer *text, const char **lines)
{
	int count = request->header_count < MAX_HEADERS ? request->header_count : MAX_HEADERS;
	int i;

	for (i = 0; i < count; i++)
	{
		/* At once, so that no piece of a token is left behind where the buffer grew from. */
		dicom_buffer_reserve(&text[i],
							 strlen(request->headers[i].name) + strlen(request->headers[i].value) + 8);
		dicom_buffer_append_string(&text[i], request->headers[i].name);
		dicom_buffer_append_string(&text[i], ": ");
		dicom_buffer_append_string(&text[i], request->headers[i].value);
		if (text[i].failed)
			return false;
		lines[i] = text[i].data;
	}
	if (request->body)
		lines[count++] = "Content-Type: application/x-www-form-urlencoded";
	lines[count] = NULL;
	return true;
}

static void
wipe_lines(struct dicom_buffer *text)
{
	int i;

	for (i = 0; i < MAX_HEADERS; i++)
	{
		if (text[i].data)
			explicit_bzero(text[i].data, text[i].length);
		dicom_buffer_free(&text[i]);
	}
}

static enum dicom_status
send_for_credentials(void *arg, const struct credentials_request *request, int *http_status,
					 struct dicom_buffer *body, struct dicom_error *error)
{
	struct dicom_buffer text[MAX_HEADERS] = {{0}};
	const char *lines[MAX_HEADERS + 2];
	struct http_request http_request = {
		.method = method_of(request->method),
		.url = request->url,
		.headers = lines,
		.body = request->body,
		.body_length = request->body ? strlen(request->body) : 0,
		.metadata = request->local,
		.timeout_ms = request->timeout_ms,
	};
	enum dicom_status status;

	if (make_lines(request, text, lines))
		status = perform(arg, &http_request, request->retry, http_status, body, error);
	else
		status = dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	wipe_lines(text);
	return status;
}

struct credentials_transport
s3_credentials_transport(struct s3_store *s3)
{
	return (struct credentials_transport){send_for_credentials, s3};
}
