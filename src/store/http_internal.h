/*
 * http_internal.h
 *	  How an exchange can fail, in words that are not curl's.
 */
#ifndef STORE_HTTP_INTERNAL_H
#define STORE_HTTP_INTERNAL_H

#include "http.h"

enum http_ending
{
	HTTP_NOT_RESOLVED,
	HTTP_NOT_CONNECTED,
	HTTP_CONNECT_TIMED_OUT,
	HTTP_REFUSED, /* the address is link-local */
	HTTP_TLS_BROKEN,
	HTTP_TLS_DISTRUSTED,
	HTTP_TLS_BAD_FILE, /* tls_ca holds no certificates */
	HTTP_SILENT,
	HTTP_NO_ANSWER,
	HTTP_CUT_SHORT,
	HTTP_BROKEN,
	HTTP_BAD_HEADERS,
	HTTP_NONSENSE,
	HTTP_BAD_URL,
	HTTP_NO_MEMORY
};

/* Fills in failure, transient, message and hint. timeout_ms: of what timed out. */
extern void http_explain(struct http_answer *answer, enum http_ending ending, const char *detail,
						 int timeout_ms);

#endif
