/*
 * credentials_http.c
 *	  Carries the requests of the credentials chain over the store's own HTTP.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "credentials_internal.h"
#include "http.h"

#define MAX_REPLY   (64 * 1024)
#define MAX_HEADERS 4
#define ATTEMPTS    3
#define PAUSE_MS    200 /* before the first repetition, doubled with each */

static enum http_method
parse_method(const char *method)
{
	if (strcmp(method, "PUT") == 0)
		return HTTP_PUT;
	return strcmp(method, "POST") == 0 ? HTTP_POST : HTTP_GET;
}

/* The request's headers as lines in one block; false where memory runs out. */
static bool
build_headers(const struct credentials_request *request, struct dicom_buffer lines[MAX_HEADERS],
			  const char *headers[MAX_HEADERS + 1])
{
	int count = 0;
	int i;

	for (i = 0; i < request->header_count && count < MAX_HEADERS; i++)
	{
		size_t length = strlen(request->headers[i].name) + strlen(request->headers[i].value);

		dicom_buffer_reserve(&lines[count], length + 8);
		dicom_buffer_printf(&lines[count++], "%s: %s", request->headers[i].name, request->headers[i].value);
	}
	if (request->body && count < MAX_HEADERS)
		dicom_buffer_append_string(&lines[count++], "Content-Type: application/x-www-form-urlencoded");
	for (i = 0; i < count; i++)
	{
		if (lines[i].failed)
			return false;
		headers[i] = lines[i].data;
	}
	headers[count] = NULL;
	return true;
}

static bool
is_worth_repeating(enum dicom_status status, const struct http_answer *answer,
				   const struct dicom_error *error)
{
	if (status != DICOM_OK)
		return error->code == DICOM_ERROR_NETWORK || error->code == DICOM_ERROR_TIMEOUT;
	return answer->status == 429 || answer->status >= 500;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits before the next attempt; what else is in flight goes on meanwhile. */
static enum dicom_status
pause_after(struct http *http, int attempt, struct dicom_error *error)
{
	int64_t until = now_ms() + (PAUSE_MS << attempt);
	int64_t left;

	while ((left = until - now_ms()) > 0)
		if (http_wait(http, (int) left, error) != DICOM_OK)
			return DICOM_FAILED;
	return DICOM_OK;
}

static enum dicom_status
perform(struct http *http, const struct http_request *request, int attempts, int *http_status,
		struct dicom_buffer *body, struct dicom_error *error)
{
	int attempt;

	for (attempt = 0;; attempt++)
	{
		struct http_answer answer = {0};
		enum dicom_status status = http_perform(http, request, body, MAX_REPLY, &answer, error);

		*http_status = answer.status;
		if (attempt + 1 >= attempts || !is_worth_repeating(status, &answer, error))
			return status;
		dicom_buffer_reset(body);
		if (pause_after(http, attempt, error) != DICOM_OK)
			return DICOM_FAILED;
	}
}

static enum dicom_status
send_over_http(void *arg, const struct credentials_request *request, int *http_status,
			   struct dicom_buffer *body, struct dicom_error *error)
{
	struct dicom_buffer lines[MAX_HEADERS] = {{0}};
	const char *headers[MAX_HEADERS + 1];
	struct http_request over = {.method = parse_method(request->method),
								.url = request->url,
								.headers = headers,
								.body = request->body,
								.body_length = request->body ? strlen(request->body) : 0,
								.metadata = request->local,
								.timeout_ms = request->timeout_ms};
	struct dicom_error failure;
	enum dicom_status status;
	int i;

	if (build_headers(request, lines, headers))
		status = perform(arg, &over, request->retry ? ATTEMPTS : 1, http_status, body, &failure);
	else
		status = dicom_fail(&failure, DICOM_ERROR_MEMORY, "out of memory");
	for (i = 0; i < MAX_HEADERS; i++)
		credentials_wipe_buffer(&lines[i]);
	if (status != DICOM_OK && error)
		*error = failure;
	return status;
}

struct credentials_transport
credentials_over_http(struct http *http)
{
	struct credentials_transport transport = {send_over_http, http};

	return transport;
}
