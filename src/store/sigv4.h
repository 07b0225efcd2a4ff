/*
 * sigv4.h
 *	  Signs HTTP requests with AWS Signature Version 4, and hashes what goes into them.
 *
 * The caller builds the request exactly as it will be sent (path and query percent-encoded with sigv4_encode()), asks
 * for the Authorization header and sends it together with the headers that the signature covers:
 *
 *		host				as given in `host`
 *		x-amz-date			signature->date
 *		x-amz-content-sha256	`payload_hash`, where `send_payload_hash`
 *		x-amz-security-token	credentials->session_token, where there is one
 *		and every header of `headers`
 *
 * Nothing reads a clock here: the time is passed in. A struct sigv4_key that the caller keeps (zero-initialised) saves
 * deriving the signing key for each request; sigv4_key_wipe() it in the end.
 */
#ifndef SIGV4_H
#define SIGV4_H

#include <stddef.h>
#include <time.h>

#include "../dicom/buffer.h"
#include "../dicom/error.h"

/* Hash of an empty body, and what stands for the hash of a body that is not signed. */
#define SIGV4_EMPTY_PAYLOAD    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

#define SIGV4_HEX_LENGTH  64
#define SIGV4_MAX_HEADERS 32

struct sigv4_credentials
{
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token; /* NULL or '': none */
};

struct sigv4_header
{
	const char *name; /* in any case */
	const char *value;
};

struct sigv4_request
{
	const char *method;
	const char *host;                   /* the Host header: with the port where it is not the scheme's own */
	const char *path;                   /* as sent: encoded once, beginning with a slash */
	const char *query;                  /* as sent: encoded, without '?', in any order; NULL or '': none */
	const struct sigv4_header *headers; /* to be signed besides those named above; none of them twice */
	int header_count;
	const char *payload_hash; /* 64 hex digits, SIGV4_UNSIGNED_PAYLOAD, or NULL for an empty body */
	bool send_payload_hash;   /* S3 wants x-amz-content-sha256; other services don't */
	const char *region;
	const char *service; /* 's3', 'sts' */
};

/* A signing key derived from a secret for a day, a region and a service. Owned by the caller; begins as zeros. */
struct sigv4_key
{
	unsigned char scope_hash[32]; /* of secret, day, region and service: what the key was derived from */
	unsigned char key[32];
	bool valid;
};

struct sigv4_signature
{
	char date[17];                     /* 20130524T000000Z */
	struct dicom_buffer authorization; /* value of the header; appended to, the caller resets and frees it */
};

/*
 * Signs a request as of `now`. key may be NULL. Errors: MEMORY, INVALID_OPTION (too many headers).
 */
extern enum dicom_status sigv4_sign(const struct sigv4_request *request,
									const struct sigv4_credentials *credentials, time_t now,
									struct sigv4_key *key, struct sigv4_signature *signature,
									struct dicom_error *error);

extern void sigv4_key_wipe(struct sigv4_key *key);

/* SHA-256 of some bytes as 64 lower-case hex digits and a NUL. */
extern void sigv4_hash(const void *bytes, size_t length, char hex[SIGV4_HEX_LENGTH + 1]);

/*
 * Appends text percent-encoded as S3 expects it: everything but A-Z a-z 0-9 - . _ ~ becomes %XX, byte by byte; a slash is kept
 * where keep_slash (a key in a path), and encoded otherwise (a name or value in a query).
 */
extern void sigv4_encode(struct dicom_buffer *buffer, const char *text, size_t length, bool keep_slash);

#endif
