/*
 * http.h
 *	  HTTP/1.1 exchanges, many at a time, over one set of kept-alive connections. Only http.c knows curl.
 *
 * Nothing here retries, follows a redirect, or judges a status. Nothing waits but http_wait() and http_perform(), and those
 * only through the host. Certificates are always verified. Link-local addresses (and with them every metadata service) are
 * refused after name resolution, unless the request says that it is meant for one. Proxies are those of the environment
 * (http_proxy, https_proxy, no_proxy), never for a loopback host nor for a metadata request.
 */
#ifndef STORE_HTTP_H
#define STORE_HTTP_H

#include <stddef.h>

#include "../dicom/buffer.h"
#include "../dicom/error.h"
#include "store.h"

struct http;
struct http_transfer;

struct http_options
{
	struct store_host host; /* its wait must be set */
	int max_connections;    /* kept and opened */
	int request_timeout_ms; /* without a byte received or sent, once connected */
	int connect_timeout_ms; /* resolving, connecting and the TLS handshake */
	const char *tls_ca;     /* file of certificates; NULL: the system's */
};

enum http_method
{
	HTTP_GET,
	HTTP_HEAD,
	HTTP_PUT,
	HTTP_POST,
	HTTP_DELETE
};

/* How an exchange ended. Valid during the done callback, or until the next call on the http. */
struct http_answer
{
	enum dicom_error_code
		failure;       /* NONE where an answer came as a whole, whatever its status; else NETWORK, TIMEOUT,
									* TLS, ENDPOINT_REFUSED, PROTOCOL or MEMORY */
	bool transient;    /* of a failure: it may help to ask again */
	char message[240]; /* of a failure */
	char hint[240];
	int status;          /* 0: none was received */
	const char *headers; /* of the final answer, a NUL-terminated block of lines */
	uint64_t bytes_sent; /* of the body */
	int times_sent; /* more than 1 where a kept-alive connection turned out to be dead and another was taken */
	bool stopped;   /* receive() did not want the rest */
};

/* Everything pointed to, the URL and the headers excepted, stays valid until the exchange is over. */
struct http_request
{
	enum http_method method;
	const char *url;            /* percent-encoded; its path is sent as it stands */
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	const void *body;           /* of PUT and POST */
	size_t body_length;
	bool metadata;  /* may go to a link-local address */
	int timeout_ms; /* for the whole exchange; 0: none but those of the options */

	/* A piece of the answer's body. Returns false where no more of it is wanted; the exchange then ends well. NULL: dropped. */
	bool (*receive)(void *arg, int status, const void *bytes, size_t length);

	/* The exchange is over, its transfer gone. May start others; must not call http_perform() or http_wait(). */
	void (*done)(void *arg, const struct http_answer *answer);
	void *arg;
};

/* Errors: TLS (tls_ca cannot be read), MEMORY, IO. */
extern enum dicom_status http_open(const struct http_options *options, struct http **http,
								   struct dicom_error *error);

/* Drops every exchange, without calling back. NULL is ignored. */
extern void http_close(struct http *http);

/* Starts an exchange; done() is called exactly once, out of http_drive(), unless it is dropped before. */
extern enum dicom_status http_start(struct http *http, const struct http_request *request,
									struct http_transfer **transfer, struct dicom_error *error);

/* Drops an exchange in flight, without calling back. */
extern void http_drop(struct http_transfer *transfer);

/* Readable when there is something to do; and after how many milliseconds there is something to do anyway (-1: none). */
extern int http_descriptor(const struct http *http);
extern int http_timeout(struct http *http);

/* Does what can be done without waiting. */
extern void http_drive(struct http *http);

/* Waits for something to do, at most timeout_ms (-1: no limit), and drives. Fails with INTERRUPTED. */
extern enum dicom_status http_wait(struct http *http, int timeout_ms, struct dicom_error *error);

/*
 * One exchange from start to end, others being driven meanwhile. receive, done and arg of the request are not used: the
 * body is appended to *body, at most `limit` bytes of it. DICOM_OK where an answer came as a whole, whatever its status.
 * Fails with the answer's failure, message and hint, with PROTOCOL for a body beyond the limit, or INTERRUPTED.
 */
extern enum dicom_status http_perform(struct http *http, const struct http_request *request,
									  struct dicom_buffer *body, size_t limit, struct http_answer *answer,
									  struct dicom_error *error);

/*
 * The value of a header (name in any case), without surrounding blanks; NULL where it is not there. *length is its
 * length: it is not NUL-terminated.
 */
extern const char *http_header(const struct http_answer *answer, const char *name, size_t *length);

/* The same as a NUL-terminated copy of at most `size` bytes; false where it is not there or too long. */
extern bool http_header_copy(const struct http_answer *answer, const char *name, char *value, size_t size);

#endif
