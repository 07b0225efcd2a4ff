/*
 * s3_address.h
 *	  Where an S3 store lives: endpoint, bucket, prefix, and how they make a URL.
 */
#ifndef STORE_S3_ADDRESS_H
#define STORE_S3_ADDRESS_H

#include "../dicom/buffer.h"
#include "endpoint.h"
#include "store.h"

#define S3_MAX_BUCKET 255
#define S3_MAX_KEY    1024

struct s3_address
{
	struct endpoint endpoint;
	char bucket[S3_MAX_BUCKET + 1];
	char *prefix; /* '' or ends in a slash; not encoded */
	char region[64];
	bool virtual_style; /* the bucket stands in the host name */
	char host[600];     /* the Host header */
};

/*
 * Works out the address that the options name. Errors: INVALID_OPTION, ENDPOINT_REFUSED, MEMORY. Free it whether that succeeds
 * or not.
 */
extern enum dicom_status s3_address_parse(const struct store_options *options, struct s3_address *address,
										  struct dicom_error *error);
extern void s3_address_free(struct s3_address *address);

/*
 * Appends the path of a key (below the prefix; NULL: the bucket itself) as it is sent and signed: every byte but unreserved ones
 * and slashes percent-encoded, nothing normalised.
 */
extern void s3_address_path(const struct s3_address *address, const char *key, struct dicom_buffer *path);

/* Appends the URL made of such a path and an encoded query ('' or NULL: none). */
extern void s3_address_url(const struct s3_address *address, const char *path, const char *query,
						   struct dicom_buffer *url);

/* Appends name=value to a query, both encoded. */
extern void s3_query_add(struct dicom_buffer *query, const char *name, const char *value);

#endif
