/*
 * s3_address.c
 *	  From options to URLs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "s3_address.h"
#include "sigv4.h"

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Names that some store accepts; anything else could change the meaning of a URL. */
static bool
bucket_is_valid(const char *bucket, size_t length)
{
	size_t i;

	if (length < 1 || length > S3_MAX_BUCKET || strncmp(bucket, "..", length) == 0)
		return false;
	for (i = 0; i < length; i++)
		if (!is_letter_or_digit(bucket[i]) && !strchr("._-", bucket[i]))
			return false;
	return true;
}

/* May the bucket be a label of a host name? Dots break the certificate's wildcard. */
static bool
bucket_is_label(const char *bucket, bool tls)
{
	size_t length = strlen(bucket);
	size_t i;

	if (length < 3 || length > 63)
		return false;
	for (i = 0; i < length; i++)
	{
		bool inner = i > 0 && i < length - 1;

		if (!(is_letter_or_digit(bucket[i]) && !(bucket[i] >= 'A' && bucket[i] <= 'Z')) &&
			!(inner && (bucket[i] == '-' || (bucket[i] == '.' && !tls))))
			return false;
	}
	return true;
}

static bool
is_aws(const char *host)
{
	size_t length = strlen(host);

	return (length > 14 && strcasecmp(host + length - 14, ".amazonaws.com") == 0) ||
		   (length > 17 && strcasecmp(host + length - 17, ".amazonaws.com.cn") == 0);
}

static enum dicom_status
parse_location(const char *location, struct s3_address *address, struct dicom_error *error)
{
	const char *bucket = location + strlen("s3://");
	size_t length = strcspn(bucket, "/");
	const char *prefix = bucket[length] ? bucket + length + 1 : "";
	size_t prefix_length = strlen(prefix);

	if (!bucket_is_valid(bucket, length))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "option location names no valid bucket");
		return dicom_hint(error, "write s3://bucket/ or s3://bucket/prefix/");
	}
	if (prefix_length > S3_MAX_KEY)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
						  "the prefix of option location is longer than %d bytes", S3_MAX_KEY);
	memcpy(address->bucket, bucket, length);
	address->bucket[length] = '\0';
	address->prefix = calloc(1, prefix_length + 2);
	if (!address->prefix)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	memcpy(address->prefix, prefix, prefix_length);
	if (prefix_length > 0 && prefix[prefix_length - 1] != '/')
		address->prefix[prefix_length] = '/';
	return DICOM_OK;
}

static enum dicom_status
parse_region(const char *region, struct s3_address *address, struct dicom_error *error)
{
	const char *c;

	if (!region || !*region)
		region = "us-east-1";
	for (c = region; *c; c++)
		if (!is_letter_or_digit(*c) && *c != '-' && *c != '_')
			return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "option region is not the name of a region");
	if (strlen(region) >= sizeof(address->region))
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "option region is too long");
	strcpy(address->region, region);
	return DICOM_OK;
}

static enum dicom_status
parse_endpoint(const struct store_options *options, struct s3_address *address, struct dicom_error *error)
{
	char standard[128];
	const char *url = options->endpoint;

	if (!url || !*url)
	{
		snprintf(standard, sizeof(standard), "https://s3.%s.amazonaws.com%s", address->region,
				 strncmp(address->region, "cn-", 3) == 0 ? ".cn" : "");
		url = standard;
	}
	if (endpoint_parse(url, &address->endpoint, error) != DICOM_OK)
		return DICOM_FAILED;
	if (options->restrict_endpoints &&
		!endpoint_matches(options->allowed_endpoints, address->endpoint.host, address->endpoint.port))
	{
		dicom_fail(error, DICOM_ERROR_ENDPOINT_REFUSED, "the endpoint %s is not one of those allowed",
				   address->endpoint.host);
		return dicom_hint(error, "a superuser may add it to the allowed endpoints, or own the server");
	}
	return DICOM_OK;
}

static enum dicom_status
choose_style(enum store_url_style style, struct s3_address *address, struct dicom_error *error)
{
	bool possible = bucket_is_label(address->bucket, address->endpoint.tls) && !address->endpoint.is_address;
	char plain[300];

	if (style == STORE_URL_VIRTUAL && !possible)
		return dicom_fail(
			error, DICOM_ERROR_INVALID_OPTION,
			"url_style virtual needs an endpoint that is a name, and a bucket that can be part of one");
	address->virtual_style =
		style == STORE_URL_VIRTUAL || (style == STORE_URL_AUTO && possible && is_aws(address->endpoint.host));
	endpoint_host_header(&address->endpoint, plain, sizeof(plain));
	if (!address->virtual_style)
	{
		snprintf(address->host, sizeof(address->host), "%s", plain);
		return DICOM_OK;
	}
	/* A bucket called 'metadata' must not complete the name of a metadata service. */
	snprintf(address->host, sizeof(address->host), "%s.%s", address->bucket, address->endpoint.host);
	if (endpoint_host_is_forbidden(address->host))
		return dicom_fail(error, DICOM_ERROR_ENDPOINT_REFUSED,
						  "bucket and endpoint make the name of a metadata service");
	snprintf(address->host, sizeof(address->host), "%s.%s", address->bucket, plain);
	return DICOM_OK;
}

enum dicom_status
s3_address_parse(const struct store_options *options, struct s3_address *address, struct dicom_error *error)
{
	memset(address, 0, sizeof(*address));
	if (parse_location(options->location, address, error) != DICOM_OK ||
		parse_region(options->region, address, error) != DICOM_OK ||
		parse_endpoint(options, address, error) != DICOM_OK)
		return DICOM_FAILED;
	return choose_style(options->url_style, address, error);
}

void
s3_address_free(struct s3_address *address)
{
	free(address->prefix);
	address->prefix = NULL;
}

void
s3_address_path(const struct s3_address *address, const char *key, struct dicom_buffer *path)
{
	dicom_buffer_append_string(path, address->endpoint.path);
	dicom_buffer_append_char(path, '/');
	if (!address->virtual_style)
	{
		dicom_buffer_append_string(path, address->bucket);
		if (key)
			dicom_buffer_append_char(path, '/');
	}
	if (!key)
		return;
	sigv4_encode(path, address->prefix, strlen(address->prefix), true);
	sigv4_encode(path, key, strlen(key), true);
}

void
s3_address_url(const struct s3_address *address, const char *path, const char *query,
			   struct dicom_buffer *url)
{
	dicom_buffer_append_string(url, address->endpoint.tls ? "https://" : "http://");
	dicom_buffer_append_string(url, address->host);
	dicom_buffer_append_string(url, path);
	if (query && *query)
	{
		dicom_buffer_append_char(url, '?');
		dicom_buffer_append_string(url, query);
	}
}

void
s3_query_add(struct dicom_buffer *query, const char *name, const char *value)
{
	if (query->length)
		dicom_buffer_append_char(query, '&');
	sigv4_encode(query, name, strlen(name), false);
	dicom_buffer_append_char(query, '=');
	sigv4_encode(query, value, strlen(value), false);
}
