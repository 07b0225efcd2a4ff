/*
 * s3.c
 *	  Opens and closes an S3 store, and lends its HTTP to the credentials.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3.h"

#define DEFAULT_MAX_REQUESTS	   64
#define DEFAULT_REQUEST_TIMEOUT_MS 30000
#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define DEFAULT_MAX_RETRIES		   5
#define MAX_CREDENTIALS_REPLY	   (256 * 1024)

/* The store and what only it hands to others. */
struct s3_opened
{
	struct s3_store s3;
	struct credentials_transport transport;
};

/* --- requests of the credentials --- */

static enum http_method
method_of(const char *name)
{
	if (strcmp(name, "PUT") == 0)
		return HTTP_PUT;
	return strcmp(name, "POST") == 0 ? HTTP_POST : HTTP_GET;
}

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
perform_with_retries(struct s3_store *s3, const struct http_request *request, bool retry, int *http_status,
					 struct dicom_buffer *body, struct dicom_error *error)
{
	size_t before = body->length;
	int attempts = 0;

	for (;;)
	{
		struct http_answer answer;
		enum dicom_status status = http_perform(s3->http, request, body, MAX_CREDENTIALS_REPLY, &answer, error);
		bool again = status == DICOM_OK ? answer.status == 429 || answer.status >= 500
										: answer.failure != DICOM_ERROR_NONE && answer.transient;

		attempts++;
		*http_status = answer.status;
		if (!again || !retry || attempts > s3->max_retries || !retry_take(&s3->budget))
		{
			if (status != DICOM_OK && error)
				error->attempts = attempts;
			return status;
		}
		s3->store.statistics.retries++;
		body->length = before;
		if (sleep_before_retry(s3, attempts, error) != DICOM_OK)
			return DICOM_FAILED;
	}
}

static enum dicom_status
send_for_credentials(void *arg, const struct credentials_request *request, int *http_status,
					 struct dicom_buffer *body, struct dicom_error *error)
{
	struct s3_store *s3 = arg;
	struct dicom_buffer text[SIGV4_MAX_HEADERS];
	const char *lines[SIGV4_MAX_HEADERS + 2];
	int count = request->header_count < SIGV4_MAX_HEADERS ? request->header_count : SIGV4_MAX_HEADERS;
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
	int lines_count = 0;
	int i;

	memset(text, 0, sizeof(text));
	for (i = 0; i < count; i++)
	{
		dicom_buffer_printf(&text[i], "%s: %s", request->headers[i].name, request->headers[i].value);
		lines[lines_count++] = text[i].data ? text[i].data : "";
	}
	if (request->body)
		lines[lines_count++] = "Content-Type: application/x-www-form-urlencoded";
	lines[lines_count] = NULL;
	status = perform_with_retries(s3, &http_request, request->retry, http_status, body, error);
	for (i = 0; i < count; i++)
	{
		if (text[i].data)
			explicit_bzero(text[i].data, text[i].length);
		dicom_buffer_free(&text[i]);
	}
	return status;
}

/* --- opening and closing --- */

static void
s3_close(struct store *store)
{
	struct s3_store *s3 = (struct s3_store *) store;

	http_close(s3->http);
	if (s3->credentials)
		credentials_close(s3->credentials);
	sigv4_key_wipe(&s3->signing_key);
	dicom_buffer_free(&s3->signature.authorization);
	dicom_buffer_free(&s3->path);
	dicom_buffer_free(&s3->url);
	if (s3->lines.data)
		explicit_bzero(s3->lines.data, s3->lines.capacity);
	dicom_buffer_free(&s3->lines);
	s3_address_free(&s3->address);
	free(s3->head_key);
	free(s3);
}

static int
or_default(int value, int standard)
{
	return value > 0 ? value : standard;
}

static enum dicom_status
open_http(struct s3_store *s3, const struct store_options *options, const struct store_host *host,
		  struct dicom_error *error)
{
	struct http_options http_options = {
		.host = *host,
		.max_connections = s3->max_requests,
		.request_timeout_ms = or_default(options->request_timeout_ms, DEFAULT_REQUEST_TIMEOUT_MS),
		.connect_timeout_ms = or_default(options->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS),
		.tls_ca = options->tls_ca && *options->tls_ca ? options->tls_ca : NULL,
		.performed = &s3->store.statistics.other_requests,
	};

	if (http_options.tls_ca && access(http_options.tls_ca, R_OK) != 0)
	{
		dicom_fail(error, DICOM_ERROR_TLS, "cannot read the file of certificates: %m");
		return dicom_hint(error, "option tls_ca must name a file in PEM form that the server can read");
	}
	return http_open(&http_options, &s3->http, error);
}

static enum dicom_status
open_parts(struct s3_opened *opened, const struct store_options *options, const struct store_host *host,
		   struct dicom_error *error)
{
	struct s3_store *s3 = &opened->s3;

	if (s3_address_parse(options, &s3->address, error) != DICOM_OK || open_http(s3, options, host, error) != DICOM_OK)
		return DICOM_FAILED;
	opened->transport.send = send_for_credentials;
	opened->transport.arg = s3;
	return credentials_open(options, &opened->transport, &s3->credentials, error);
}

static enum dicom_status
s3_open(const struct store_options *options, const struct store_host *host, struct store **store,
		struct dicom_error *error)
{
	struct s3_opened *opened = calloc(1, sizeof(*opened));
	struct s3_store *s3;

	if (!opened)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	s3 = &opened->s3;
	s3->max_requests = or_default(options->max_requests, DEFAULT_MAX_REQUESTS);
	s3->max_retries = options->max_retries < 0 ? DEFAULT_MAX_RETRIES : options->max_retries;
	retry_initialize(&s3->budget, (uint64_t) s3_now_ms() << 20 ^ (uint64_t) (uintptr_t) s3 ^ (uint64_t) getpid());
	if (open_parts(opened, options, host, error) != DICOM_OK)
	{
		s3_close(&s3->store);
		return DICOM_FAILED;
	}
	*store = &s3->store;
	return DICOM_OK;
}

static int
s3_wait_descriptor(struct store *store)
{
	return http_descriptor(((struct s3_store *) store)->http);
}

const struct store_kind store_kind_s3 = {
	.scheme = "s3",
	.remote = true,
	.open = s3_open,
	.close = s3_close,
	.wait_descriptor = s3_wait_descriptor,
	.wait_timeout = s3_wait_timeout,
	.wait = s3_wait,
	.list_open = s3_list_open,
	.list_next = s3_list_next,
	.list_close = s3_list_close,
	.read_open = s3_read_open,
	.read_result = s3_read_result,
	.read_close = s3_read_close,
	.put = s3_put,
	.upload_open = s3_upload_open,
	.upload_write = s3_upload_write,
	.upload_finish = s3_upload_finish,
	.upload_close = s3_upload_close,
	.head = s3_head,
	.copy = s3_copy,
	.delete = s3_delete,
	.set_storage_class = s3_set_storage_class,
};
