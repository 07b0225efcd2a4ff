/*
 * s3.c
 *	  Opens and closes an S3 store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3.h"

#define DEFAULT_MAX_REQUESTS       64
#define DEFAULT_REQUEST_TIMEOUT_MS 30000
#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define DEFAULT_MAX_RETRIES        5

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
	};

	if (http_options.tls_ca && access(http_options.tls_ca, R_OK) != 0)
	{
		dicom_fail(error, DICOM_ERROR_TLS, "cannot read the file of certificates: %m");
		return dicom_hint(error, "option tls_ca must name a file in PEM form that the server can read");
	}
	return http_open(&http_options, &s3->http, error);
}

static enum dicom_status
open_parts(struct s3_store *s3, const struct store_options *options, const struct store_host *host,
		   struct dicom_error *error)
{
	struct credentials_transport transport;

	if (s3_address_parse(options, &s3->address, error) != DICOM_OK ||
		open_http(s3, options, host, error) != DICOM_OK)
		return DICOM_FAILED;
	transport = s3_credentials_transport(s3);
	return credentials_open(options, &transport, &s3->credentials, error);
}

static enum dicom_status
s3_open(const struct store_options *options, const struct store_host *host, struct store **store,
		struct dicom_error *error)
{
	struct s3_store *s3 = calloc(1, sizeof(*s3));

	if (!s3)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	s3->max_requests = or_default(options->max_requests, DEFAULT_MAX_REQUESTS);
	s3->max_retries = options->max_retries < 0 ? DEFAULT_MAX_RETRIES : options->max_retries;
	retry_initialize(&s3->budget,
					 (uint64_t) s3_now_ms() << 20 ^ (uint64_t) (uintptr_t) s3 ^ (uint64_t) getpid());
	if (open_parts(s3, options, host, error) != DICOM_OK)
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
	.can_copy = s3_can_copy,
	.copy_open = s3_copy_open,
	.put_open = s3_put_open,
	.delete_open = s3_delete_open,
	.change_result = s3_change_result,
	.change_close = s3_change_close,
	.set_storage_class = s3_set_storage_class,
	.restore = s3_restore,
	.sweep = s3_sweep,
};
