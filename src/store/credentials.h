/*
 * credentials.h
 *	  Where the keys of a store come from, and new ones before the old ones expire.
 *
 * The chain: keys that were given (user mapping); and, where ambient credentials are allowed, web identity
 * (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN), the ECS endpoint (AWS_CONTAINER_CREDENTIALS_*), IMDSv2, the
 * environment (AWS_ACCESS_KEY_ID, ...), and the shared files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE); in the end
 * anonymous access. A link of the chain that is not configured is passed over; one that is configured and fails is an
 * error, so that nobody works under another identity than the one that was meant. IMDS that does not answer counts as not
 * configured, and is tried of itself only on machines that look like EC2's.
 *
 * The environment is read and never written. Secrets are wiped when they are replaced or closed, and never part of an error.
 */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

#include <time.h>

#include "sigv4.h"
#include "store.h"

/* An HTTP request of the chain: small, answered in one piece, to a local service or STS. */
struct credentials_request
{
	const char *method;
	const char *url; /* never holds a secret: those go into headers and body */
	const struct sigv4_header *headers;
	int header_count;
	const char *body; /* NULL: none; else of type application/x-www-form-urlencoded */
	int timeout_ms;
	bool retry; /* repeat what may help to repeat; IMDS is asked once */
	bool local; /* may go to a link-local address, which is forbidden to all other requests */
};

/* Sends a request and waits for the answer. DICOM_OK for any HTTP status; DICOM_FAILED where there was no answer. */
struct credentials_transport
{
	enum dicom_status (*send)(void *arg, const struct credentials_request *request, int *http_status,
							  struct dicom_buffer *body, struct dicom_error *error);
	void *arg;
};

struct credentials;

/*
 * Prepares the chain; no request is made, no file read. What is needed of the options (source, keys, profile,
 * allow_ambient, region) is copied; the transport is copied; its arg must live as long as the credentials.
 * Errors: INVALID_OPTION (half a key; a source that is not allowed is ACCESS_DENIED), MEMORY.
 */
extern enum dicom_status credentials_open(const struct store_options *options,
										  const struct credentials_transport *transport,
										  struct credentials **credentials, struct dicom_error *error);
extern void credentials_close(struct credentials *credentials);

/*
 * What to sign with as of `now`: DICOM_OK and *signing (valid until the next call), whose access_key_id is NULL for
 * anonymous access. Costs nothing while the keys are fresh; otherwise asks the chain, and waits. Keys that are about to
 * expire are replaced in advance; where that fails, they are used until they expire.
 * Errors: CREDENTIALS, and whatever the transport says (INTERRUPTED).
 */
extern enum dicom_status credentials_get(struct credentials *credentials, time_t now,
										 struct sigv4_credentials *signing, struct dicom_error *error);

/*
 * The server said that these keys have expired or are not known: the next credentials_get() asks the chain anew. Returns false where
 * that is pointless (keys that were given, anonymous, or asked less than a few seconds ago), so that the request fails.
 */
extern bool credentials_expire(struct credentials *credentials, time_t now);

/* For messages: 'user mapping', 'environment', 'profile', 'web identity', 'container', 'instance', 'anonymous', or '' before the first get. */
extern const char *credentials_origin(const struct credentials *credentials);

#endif
