/*
 * error.h
 *	  How every function of the lower half says that it failed.
 *
 * A function that can fail returns enum dicom_status. With DICOM_FAILED it has filled a struct dicom_error: what
 * went wrong (code, message), where (object, offset, tag), and what the reader may do about it (hint). Messages
 * are lower case without full stop, and never hold a value of a data set, a credential, a signature or a query
 * string: an attribute's tag, a length, an offset and the name of the object are all that may be said.
 */
#ifndef DICOM_ERROR_H
#define DICOM_ERROR_H

#include <stdbool.h>
#include <stdint.h>

enum dicom_status
{
	DICOM_OK = 0,
	DICOM_END,     /* nothing more: end of the data set, of the list */
	DICOM_NEED,    /* the parser needs bytes that are not at hand; it has said which */
	DICOM_PENDING, /* the answer is under way; store_wait() first */
	DICOM_FAILED   /* struct dicom_error says why */
};

enum dicom_error_code
{
	DICOM_ERROR_NONE = 0,

	/* The file is to blame: the object was read, and is not what it should be. */
	DICOM_ERROR_NOT_DICOM, /* nothing in it looks like a data set */
	DICOM_ERROR_MALFORMED, /* it began as DICOM; the message says what broke, offset and tag say where */
	DICOM_ERROR_LIMIT,   /* header_limit, nesting depth, inflated size or the count of elements is exceeded */
	DICOM_ERROR_DECODER, /* the process that decodes pixels died over it, or took too long */

	/* The object cannot be had, and asking again will not help. */
	DICOM_ERROR_NOT_FOUND, /* no such key */
	DICOM_ERROR_ARCHIVED,  /* in a storage class that must be restored first */
	DICOM_ERROR_CHANGED,   /* rewritten while it was read, again and again (If-Match failed) */
	DICOM_ERROR_EXISTS,    /* a conditional put found an object there (If-None-Match failed) */

	/* The store cannot be used as configured. */
	DICOM_ERROR_INVALID_OPTION,   /* a location, endpoint or option that makes no sense */
	DICOM_ERROR_NO_BUCKET,        /* the bucket or directory does not exist */
	DICOM_ERROR_CREDENTIALS,      /* none found, not known, wrong secret, or expired */
	DICOM_ERROR_ACCESS_DENIED,    /* known to the store, but not allowed */
	DICOM_ERROR_REGION,           /* the bucket lives in another region */
	DICOM_ERROR_ENDPOINT_REFUSED, /* link-local, metadata, or outside the allow-list */
	DICOM_ERROR_TLS,              /* certificate or handshake */

	/* The store did not answer as it should, retries included. */
	DICOM_ERROR_NETWORK,   /* cannot resolve, connect, or the connection broke */
	DICOM_ERROR_TIMEOUT,   /* no byte within request_timeout */
	DICOM_ERROR_THROTTLED, /* 429, 503 SlowDown, to the end of the retry budget */
	DICOM_ERROR_SERVER,    /* other 5xx */
	DICOM_ERROR_PROTOCOL,  /* an answer that cannot be right: lengths, ranges, XML, counts */
	DICOM_ERROR_IO,        /* errno of a file operation */
	DICOM_ERROR_FULL,      /* no space left, or no quota, where it was to be written */

	/* This process. */
	DICOM_ERROR_INTERRUPTED, /* the host's wait callback asked to stop */
	DICOM_ERROR_MEMORY
};

struct dicom_error
{
	enum dicom_error_code code;
	char message[240]; /* one line, lower case */
	char hint[240];    /* what to do next, or empty */
	char object[1200]; /* location and key of the object, or empty */
	int64_t offset;    /* in the object, or -1 */
	uint32_t tag;      /* group << 16 | element of the attribute at fault, or 0 */
	int attempts;      /* requests made, retries included; 0 where none was made */
};

/* Fills *error (object, hint, offset and tag emptied) from a printf format; returns DICOM_FAILED. error may be NULL. */
extern enum dicom_status dicom_fail(struct dicom_error *error, enum dicom_error_code code, const char *format,
									...) __attribute__((format(printf, 3, 4)));

/* Sets the hint of an error that dicom_fail() has filled; returns DICOM_FAILED. */
extern enum dicom_status dicom_hint(struct dicom_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* True where the object itself is at fault (NOT_DICOM, MALFORMED, LIMIT, DECODER, ARCHIVED): on_error = 'skip' may pass over it. */
extern bool dicom_error_is_of_file(enum dicom_error_code code);

/* True where no other object of that store would fare better (NO_BUCKET, CREDENTIALS, REGION, ENDPOINT_REFUSED, TLS), or none at all
 * (INTERRUPTED, MEMORY). INVALID_OPTION may be about a key that cannot be written. */
extern bool dicom_error_is_of_store(enum dicom_error_code code);

#endif
