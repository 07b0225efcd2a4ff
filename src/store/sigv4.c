/*
 * sigv4.c
 *	  AWS Signature Version 4. The only file of the stores that knows OpenSSL.
 */
#include "sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * The plain SHA-256 functions cannot fail and look nothing up, unlike EVP's, which fetch their algorithm on every call; several
 * thousand requests a second are signed.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#define DIGEST_LENGTH  SHA256_DIGEST_LENGTH
#define DATE_LENGTH    16 /* of 20130524T000000Z */
#define DAY_LENGTH     8
#define MAX_PARAMETERS 64

/* Headers that the signer adds itself: host, date, payload hash, token. */
#define OWN_HEADERS 4

struct signing
{
	const struct sigv4_request *request;
	struct sigv4_header headers[SIGV4_MAX_HEADERS + OWN_HEADERS]; /* sorted by name */
	int header_count;
	const char *payload_hash;
	char date[DATE_LENGTH + 1];
	struct dicom_buffer canonical; /* request to be hashed */
	struct dicom_buffer text;      /* string to sign */
};

static const char lower_hex[] = "0123456789abcdef";
static const char upper_hex[] = "0123456789ABCDEF";

static void
digest(const void *bytes, size_t length, unsigned char result[DIGEST_LENGTH])
{
	SHA256_CTX state;

	SHA256_Init(&state);
	SHA256_Update(&state, bytes, length);
	SHA256_Final(result, &state);
}

/* One half of HMAC (RFC 2104): the hash of the padded key and what follows it. */
static void
digest_padded(const unsigned char block[SHA256_CBLOCK], unsigned char pad, const void *bytes, size_t length,
			  unsigned char result[DIGEST_LENGTH])
{
	unsigned char padded[SHA256_CBLOCK];
	SHA256_CTX state;
	int i;

	for (i = 0; i < SHA256_CBLOCK; i++)
		padded[i] = block[i] ^ pad;
	SHA256_Init(&state);
	SHA256_Update(&state, padded, sizeof(padded));
	SHA256_Update(&state, bytes, length);
	SHA256_Final(result, &state);
	explicit_bzero(padded, sizeof(padded));
}

static void
hmac(const void *key, size_t key_length, const void *bytes, size_t length,
	 unsigned char result[DIGEST_LENGTH])
{
	unsigned char block[SHA256_CBLOCK] = {0};
	unsigned char inner[DIGEST_LENGTH];

	if (key_length > sizeof(block))
		digest(key, key_length, block);
	else
		memcpy(block, key, key_length);
	digest_padded(block, 0x36, bytes, length, inner);
	digest_padded(block, 0x5c, inner, sizeof(inner), result);
	explicit_bzero(block, sizeof(block));
}

static void
hmac_string(const unsigned char key[DIGEST_LENGTH], const char *text, unsigned char result[DIGEST_LENGTH])
{
	hmac(key, DIGEST_LENGTH, text, strlen(text), result);
}

static void
to_hex(const unsigned char bytes[DIGEST_LENGTH], char hex[SIGV4_HEX_LENGTH + 1])
{
	int i;

	for (i = 0; i < DIGEST_LENGTH; i++)
	{
		hex[2 * i] = lower_hex[bytes[i] >> 4];
		hex[2 * i + 1] = lower_hex[bytes[i] & 15];
	}
	hex[SIGV4_HEX_LENGTH] = '\0';
}

void
sigv4_hash(const void *bytes, size_t length, char hex[SIGV4_HEX_LENGTH + 1])
{
	unsigned char result[DIGEST_LENGTH];

	digest(bytes, length, result);
	to_hex(result, hex);
}

static bool
is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		   c == '.' || c == '_' || c == '~';
}

void
sigv4_encode(struct dicom_buffer *buffer, const char *text, size_t length, bool keep_slash)
{
	char *out = dicom_buffer_reserve(buffer, 3 * length + 1);
	char *start = out;
	size_t i;

	if (out == NULL)
		return;
	for (i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (is_unreserved(c) || (c == '/' && keep_slash))
			*out++ = (char) c;
		else
		{
			*out++ = '%';
			*out++ = upper_hex[c >> 4];
			*out++ = upper_hex[c & 15];
		}
	}
	*out = '\0';
	buffer->length += (size_t) (out - start);
}

/* A parameter of a query: name and value as they stand there, encoded. */
struct parameter
{
	const char *name;
	size_t name_length;
	const char *value;
	size_t value_length;
};

static int
compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
	int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

	if (order == 0)
		order = (a_length > b_length) - (a_length < b_length);
	return order;
}

static int
compare_parameters(const void *a, const void *b)
{
	const struct parameter *first = a;
	const struct parameter *second = b;
	int order = compare_text(first->name, first->name_length, second->name, second->name_length);

	if (order == 0)
		order = compare_text(first->value, first->value_length, second->value, second->value_length);
	return order;
}

static struct parameter
parse_parameter(const char *text, size_t length)
{
	struct parameter parameter = {text, length, "", 0};
	const char *equals = memchr(text, '=', length);

	if (equals)
	{
		parameter.name_length = (size_t) (equals - text);
		parameter.value = equals + 1;
		parameter.value_length = length - parameter.name_length - 1;
	}
	return parameter;
}

/* Splits a query; returns how many parameters it has, or -1 for too many. */
static int
parse_query(const char *query, struct parameter parameters[MAX_PARAMETERS])
{
	int count = 0;

	while (*query)
	{
		size_t length = strcspn(query, "&");

		if (length > 0)
		{
			if (count == MAX_PARAMETERS)
				return -1;
			parameters[count++] = parse_parameter(query, length);
		}
		query += length;
		query += *query == '&';
	}
	return count;
}

/* Appends the canonical query: parameters in byte order of their encoded names, each with its equals sign. */
static bool
append_query(struct dicom_buffer *buffer, const char *query)
{
	struct parameter parameters[MAX_PARAMETERS];
	int count = query ? parse_query(query, parameters) : 0;
	int i;

	if (count < 0)
		return false;
	qsort(parameters, (size_t) count, sizeof(parameters[0]), compare_parameters);
	for (i = 0; i < count; i++)
	{
		if (i > 0)
			dicom_buffer_append_char(buffer, '&');
		dicom_buffer_append(buffer, parameters[i].name, parameters[i].name_length);
		dicom_buffer_append_char(buffer, '=');
		dicom_buffer_append(buffer, parameters[i].value, parameters[i].value_length);
	}
	return true;
}

static int
compare_headers(const void *a, const void *b)
{
	return strcasecmp(((const struct sigv4_header *) a)->name, ((const struct sigv4_header *) b)->name);
}

static void
add_header(struct signing *signing, const char *name, const char *value)
{
	struct sigv4_header *header = &signing->headers[signing->header_count++];

	header->name = name;
	header->value = value;
}

static void
collect_headers(struct signing *signing, const char *session_token)
{
	const struct sigv4_request *request = signing->request;
	int i;

	add_header(signing, "host", request->host);
	add_header(signing, "x-amz-date", signing->date);
	if (request->send_payload_hash)
		add_header(signing, "x-amz-content-sha256", signing->payload_hash);
	if (session_token && *session_token)
		add_header(signing, "x-amz-security-token", session_token);
	for (i = 0; i < request->header_count; i++)
		add_header(signing, request->headers[i].name, request->headers[i].value);
	qsort(signing->headers, (size_t) signing->header_count, sizeof(signing->headers[0]), compare_headers);
}

static void
append_lower(struct dicom_buffer *buffer, const char *name)
{
	for (; *name; name++)
		dicom_buffer_append_char(buffer, *name >= 'A' && *name <= 'Z' ? (char) (*name | 0x20) : *name);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Appends a header's value without blanks at its ends, and with one where several stand inside. */
static void
append_trimmed(struct dicom_buffer *buffer, const char *value)
{
	bool blank = false;

	while (is_blank(*value))
		value++;
	for (; *value; value++)
	{
		if (is_blank(*value))
		{
			blank = true;
			continue;
		}
		if (blank)
			dicom_buffer_append_char(buffer, ' ');
		blank = false;
		dicom_buffer_append_char(buffer, *value);
	}
}

static void
append_signed_names(struct dicom_buffer *buffer, const struct signing *signing)
{
	int i;

	for (i = 0; i < signing->header_count; i++)
	{
		if (i > 0)
			dicom_buffer_append_char(buffer, ';');
		append_lower(buffer, signing->headers[i].name);
	}
}

static bool
build_canonical_request(struct signing *signing)
{
	struct dicom_buffer *buffer = &signing->canonical;
	const struct sigv4_request *request = signing->request;
	int i;

	dicom_buffer_printf(buffer, "%s\n%s\n", request->method, request->path);
	if (!append_query(buffer, request->query))
		return false;
	dicom_buffer_append_char(buffer, '\n');
	for (i = 0; i < signing->header_count; i++)
	{
		append_lower(buffer, signing->headers[i].name);
		dicom_buffer_append_char(buffer, ':');
		append_trimmed(buffer, signing->headers[i].value);
		dicom_buffer_append_char(buffer, '\n');
	}
	dicom_buffer_append_char(buffer, '\n');
	append_signed_names(buffer, signing);
	dicom_buffer_printf(buffer, "\n%s", signing->payload_hash);
	return true;
}

static void
append_scope(struct dicom_buffer *buffer, const struct signing *signing)
{
	dicom_buffer_printf(buffer, "%.*s/%s/%s/aws4_request", DAY_LENGTH, signing->date,
						signing->request->region, signing->request->service);
}

static void
build_string_to_sign(struct signing *signing)
{
	char hash[SIGV4_HEX_LENGTH + 1];

	sigv4_hash(signing->canonical.data, signing->canonical.length, hash);
	dicom_buffer_printf(&signing->text, "AWS4-HMAC-SHA256\n%s\n", signing->date);
	append_scope(&signing->text, signing);
	dicom_buffer_printf(&signing->text, "\n%s", hash);
}

/* AWS4 + secret keys the chain day, region, service, 'aws4_request'. */
static void
derive_key(const struct signing *signing, const char *start, size_t start_length, struct sigv4_key *key)
{
	unsigned char step[DIGEST_LENGTH];

	hmac(start, start_length, signing->date, DAY_LENGTH, step);
	hmac_string(step, signing->request->region, key->key);
	hmac_string(key->key, signing->request->service, step);
	hmac_string(step, "aws4_request", key->key);
	explicit_bzero(step, sizeof(step));
}

/* Makes *key the one for this secret and scope; derives nothing where it is that already. */
static bool
prepare_key(const struct signing *signing, const char *secret, struct sigv4_key *key)
{
	struct dicom_buffer identity = {0}; /* AWS4<secret><NUL><scope> */
	size_t start_length = 4 + strlen(secret);
	unsigned char hash[DIGEST_LENGTH];
	bool built;

	/* Room for all of it at once: growing would leave a copy of the secret behind. */
	dicom_buffer_reserve(&identity, start_length + strlen(signing->request->region) +
										strlen(signing->request->service) + 64);
	dicom_buffer_printf(&identity, "AWS4%s", secret);
	dicom_buffer_append_char(&identity, '\0');
	append_scope(&identity, signing);
	built = !identity.failed;
	if (built)
	{
		digest(identity.data, identity.length, hash);
		if (!key->valid || memcmp(hash, key->scope_hash, DIGEST_LENGTH) != 0)
			derive_key(signing, identity.data, start_length, key);
		memcpy(key->scope_hash, hash, DIGEST_LENGTH);
		key->valid = true;
	}
	if (identity.data)
		explicit_bzero(identity.data, identity.length);
	dicom_buffer_free(&identity);
	return built;
}

static void
append_authorization(struct dicom_buffer *buffer, const struct signing *signing, const char *access_key_id,
					 const struct sigv4_key *key)
{
	unsigned char result[DIGEST_LENGTH];
	char hex[SIGV4_HEX_LENGTH + 1];

	hmac(key->key, DIGEST_LENGTH, signing->text.data, signing->text.length, result);
	to_hex(result, hex);
	dicom_buffer_printf(buffer, "AWS4-HMAC-SHA256 Credential=%s/", access_key_id);
	append_scope(buffer, signing);
	dicom_buffer_append_string(buffer, ", SignedHeaders=");
	append_signed_names(buffer, signing);
	dicom_buffer_printf(buffer, ", Signature=%s", hex);
}

static void
format_date(time_t now, char date[DATE_LENGTH + 1])
{
	struct tm utc;

	gmtime_r(&now, &utc);
	strftime(date, DATE_LENGTH + 1, "%Y%m%dT%H%M%SZ", &utc);
}

static enum dicom_status
sign(struct signing *signing, const struct sigv4_credentials *credentials, struct sigv4_key *key,
	 struct sigv4_signature *signature, struct dicom_error *error)
{
	if (!build_canonical_request(signing))
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "too many parameters in a request to be signed");
	if (signing->canonical.failed)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	build_string_to_sign(signing);
	if (signing->text.failed || !prepare_key(signing, credentials->secret_access_key, key))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	append_authorization(&signature->authorization, signing, credentials->access_key_id, key);
	if (signature->authorization.failed)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	memcpy(signature->date, signing->date, sizeof(signing->date));
	return DICOM_OK;
}

enum dicom_status
sigv4_sign(const struct sigv4_request *request, const struct sigv4_credentials *credentials, time_t now,
		   struct sigv4_key *key, struct sigv4_signature *signature, struct dicom_error *error)
{
	struct signing signing = {.request = request};
	struct sigv4_key own_key = {.valid = false};
	enum dicom_status status;

	if (request->header_count > SIGV4_MAX_HEADERS)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "too many headers in a request to be signed");
	signing.payload_hash = request->payload_hash ? request->payload_hash : SIGV4_EMPTY_PAYLOAD;
	format_date(now, signing.date);
	collect_headers(&signing, credentials->session_token);
	status = sign(&signing, credentials, key ? key : &own_key, signature, error);

	if (signing.canonical.data) /* it may hold the session token */
		explicit_bzero(signing.canonical.data, signing.canonical.length);
	dicom_buffer_free(&signing.canonical);
	dicom_buffer_free(&signing.text);
	sigv4_key_wipe(&own_key);
	return status;
}

void
sigv4_key_wipe(struct sigv4_key *key)
{
	explicit_bzero(key, sizeof(*key));
}
