/*
 * credentials_internal.h
 *	  What the links of the credentials chain share.
 */
#ifndef CREDENTIALS_INTERNAL_H
#define CREDENTIALS_INTERNAL_H

#include "credentials.h"

/* Keys that a link has found; every string is allocated, and wiped by found_keys_free(). */
struct found_keys
{
	char *access_key_id;
	char *secret_access_key;
	char *session_token; /* NULL: none */
	time_t expires_at;   /* 0: never */
};

struct credentials
{
	enum store_credentials_source source;
	bool allow_ambient;
	struct found_keys given;
	char *profile; /* NULL: AWS_PROFILE or 'default' */
	char *region;  /* NULL: AWS_REGION, AWS_DEFAULT_REGION, us-east-1 */
	struct credentials_transport transport;

	bool known;             /* the chain has been asked */
	struct found_keys keys; /* without access_key_id: anonymous */
	const char *origin;
	time_t asked_at;
	bool renew; /* the server does not accept the keys any more */
};

extern void found_keys_free(struct found_keys *keys);

/* A copy of text without blanks around it; NULL for an empty one, and where memory runs out. */
extern char *credentials_copy(const char *text, size_t length);

/* Wipes a buffer that held a secret, and frees it. */
extern void credentials_wipe_buffer(struct dicom_buffer *buffer);
extern void credentials_wipe_string(char *string);

/* An environment variable; NULL where it is not set, or empty. */
extern const char *credentials_environment(const char *name);

/*
 * Reads a small file (1 MiB) into *buffer. DICOM_END where it is not there; CREDENTIALS, naming `what` and the file,
 * where it cannot be read.
 */
extern enum dicom_status credentials_read_file(const char *path, const char *what,
											   struct dicom_buffer *buffer, struct dicom_error *error);

/* The links: DICOM_OK and *keys, DICOM_END where nothing is configured, DICOM_FAILED. */
extern enum dicom_status credentials_find_profile(struct credentials *credentials, struct found_keys *keys,
												  struct dicom_error *error);
extern enum dicom_status credentials_find_web_identity(struct credentials *credentials,
													   struct found_keys *keys, struct dicom_error *error);
extern enum dicom_status credentials_find_container(struct credentials *credentials, struct found_keys *keys,
													struct dicom_error *error);
extern enum dicom_status credentials_find_instance(struct credentials *credentials, struct found_keys *keys,
												   struct dicom_error *error);

#endif
