/*
 * endpoint.c
 *	  Which hosts a store may talk to.
 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An address block that serves metadata, or cannot be anything but a neighbour on the link. */
struct block4
{
	uint32_t address;
	int bits;
};

struct block6
{
	unsigned char prefix[8];
	int bits;
};

static const struct block4 forbidden4[] = {
	{0xA9FE0000, 16}, /* 169.254.0.0/16: link-local; EC2, ECS, Azure, Google */
	{0x646464C8, 32}, /* 100.100.100.200: Alibaba */
	{0xC00000C0, 32}, /* 192.0.0.192: Oracle */
	{0xA83F8110, 32}, /* 168.63.129.16: Azure's wire server */
};

static const struct block6 forbidden6[] = {
	{{0xFE, 0x80}, 10},             /* link-local */
	{{0xFD, 0x00, 0x0E, 0xC2}, 32}, /* fd00:ec2::254 and its like: EC2 */
	{{0xFD, 0x20, 0x00, 0xCE}, 32}, /* fd20:ce::254: Google */
};

/* IPv6 prefixes in front of an IPv4 address, and where that stands. */
static const struct
{
	unsigned char prefix[12];
	int length;
	int at;
} carriers[] = {
	{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 12, 12}, /* ::ffff:a.b.c.d, mapped */
	{{0}, 12, 12},                                        /* ::a.b.c.d, compatible */
	{{0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0}, 12, 12}, /* ::ffff:0:a.b.c.d, translated */
	{{0x00, 0x64, 0xFF, 0x9B}, 12, 12},                   /* 64:ff9b::a.b.c.d, NAT64 */
	{{0x00, 0x64, 0xFF, 0x9B, 0x00, 0x01}, 6, 12},        /* 64:ff9b:1::/48, NAT64 of a site */
	{{0x20, 0x02}, 2, 2},                                 /* 2002:abcd::, 6to4 */
};

static const char *const forbidden_names[] = {
	"metadata",      "metadata.google.internal",   "metadata.goog",
	"instance-data", "instance-data.ec2.internal", "metadata.azure.internal",
};

static bool
is_forbidden4(uint32_t address)
{
	size_t i;

	for (i = 0; i < sizeof(forbidden4) / sizeof(forbidden4[0]); i++)
	{
		uint32_t mask = ~UINT32_C(0) << (32 - forbidden4[i].bits);

		if ((address & mask) == forbidden4[i].address)
			return true;
	}
	return false;
}

static bool
has_prefix(const unsigned char address[16], const unsigned char *prefix, int bits)
{
	int whole = bits / 8;
	int rest = bits % 8;

	if (memcmp(address, prefix, (size_t) whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

static uint32_t
read_address4(const unsigned char *bytes)
{
	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

static bool
is_forbidden6(const unsigned char address[16])
{
	size_t i;

	for (i = 0; i < sizeof(forbidden6) / sizeof(forbidden6[0]); i++)
		if (has_prefix(address, forbidden6[i].prefix, forbidden6[i].bits))
			return true;
	for (i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++)
		if (memcmp(address, carriers[i].prefix, (size_t) carriers[i].length) == 0 &&
			is_forbidden4(read_address4(address + carriers[i].at)))
			return true;
	return false;
}

bool
endpoint_address_is_forbidden(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_forbidden4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return is_forbidden6(((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr);
	return true; /* nothing else is ever connected to */
}

/* Copies a host in lower case without trailing dots; false where it does not fit. */
static bool
normalize_host(const char *host, size_t length, char *normal, size_t size)
{
	size_t i;

	while (length > 0 && host[length - 1] == '.')
		length--;
	if (length == 0 || length >= size)
		return false;
	for (i = 0; i < length; i++)
		normal[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char) (host[i] | 0x20) : host[i];
	normal[length] = '\0';
	return true;
}

static bool
parse_address6(const char *host, struct in6_addr *address)
{
	char plain[64];
	size_t length = strcspn(host, "%"); /* a zone index names a link: the address itself decides */

	if (length >= sizeof(plain))
		return false;
	memcpy(plain, host, length);
	plain[length] = '\0';
	return inet_pton(AF_INET6, plain, address) == 1;
}

bool
endpoint_host_is_forbidden(const char *host)
{
	char normal[256];
	struct in_addr address4;
	struct in6_addr address6;
	size_t i;

	if (!normalize_host(host, strlen(host), normal, sizeof(normal)))
		return true;
	if (parse_address6(normal, &address6))
		return is_forbidden6(address6.s6_addr);
	/* inet_aton() takes what getaddrinfo() takes: 0xA9FEA9FE, 0251.0376.0251.0376, 169.254.43518, 2852039166 */
	if (inet_aton(normal, &address4))
		return is_forbidden4(ntohl(address4.s_addr));
	for (i = 0; i < sizeof(forbidden_names) / sizeof(forbidden_names[0]); i++)
		if (strcmp(normal, forbidden_names[i]) == 0)
			return true;
	return false;
}

/* Is c a byte of a host name? An underscore is not by the rules, but there are such. */
static bool
is_host_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		   c == '.' || c == '_';
}

static bool
set_name(struct endpoint *endpoint, const char *host, size_t length)
{
	struct in_addr address;
	size_t i;

	for (i = 0; i < length; i++)
		if (!is_host_character(host[i]))
			return false;
	if (!normalize_host(host, length, endpoint->host, sizeof(endpoint->host)))
		return false;
	endpoint->is_address = inet_aton(endpoint->host, &address) != 0;
	return true;
}

static bool
set_address6(struct endpoint *endpoint, const char *host, size_t length)
{
	struct in6_addr address;

	if (!normalize_host(host, length, endpoint->host, sizeof(endpoint->host)))
		return false;
	endpoint->is_address = true;
	return strchr(endpoint->host, '%') == NULL && inet_pton(AF_INET6, endpoint->host, &address) == 1;
}

/* Reads host or [address]; returns what follows it, or NULL. */
static const char *
parse_host(const char *text, struct endpoint *endpoint)
{
	size_t length;

	if (*text == '[')
	{
		length = strcspn(text, "]");
		if (text[length] != ']' || !set_address6(endpoint, text + 1, length - 1))
			return NULL;
		return text + length + 1;
	}
	length = strcspn(text, ":/");
	return set_name(endpoint, text, length) ? text + length : NULL;
}

/* Reads :port, which may be absent; returns what follows it, or NULL. */
static const char *
parse_port(const char *text, struct endpoint *endpoint)
{
	int standard = endpoint->tls ? 443 : 80;
	int digits = 0;

	endpoint->port = standard;
	if (*text == ':')
	{
		endpoint->port = 0;
		for (text++; *text >= '0' && *text <= '9' && digits < 5; text++, digits++)
			endpoint->port = endpoint->port * 10 + (*text - '0');
		if (digits == 0 || endpoint->port < 1 || endpoint->port > 65535)
			return NULL;
	}
	endpoint->default_port = endpoint->port == standard;
	return text;
}

static bool
parse_path(const char *text, struct endpoint *endpoint)
{
	size_t length = strlen(text);
	size_t i;

	while (length > 0 && text[length - 1] == '/')
		length--;
	if (length >= sizeof(endpoint->path) || (length > 0 && text[0] != '/'))
		return false;
	for (i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] >= 0x7F || strchr("?#\"<>\\^`{|}", text[i]))
			return false;
	memcpy(endpoint->path, text, length);
	endpoint->path[length] = '\0';
	return true;
}

enum dicom_status
endpoint_parse(const char *url, struct endpoint *endpoint, struct dicom_error *error)
{
	const char *rest = NULL;

	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->tls = strncasecmp(url, "https://", 8) == 0;
	if (endpoint->tls)
		rest = url + 8;
	else if (strncasecmp(url, "http://", 7) == 0)
		rest = url + 7;
	/* The URL itself is not repeated: somebody may have written a password into it. */
	if (rest == NULL || (rest = parse_host(rest, endpoint)) == NULL ||
		(rest = parse_port(rest, endpoint)) == NULL || !parse_path(rest, endpoint))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "endpoint is not a valid URL");
		return dicom_hint(error, "Write http[s]://host[:port][/path], without user name, query or fragment.");
	}
	if (endpoint_host_is_forbidden(endpoint->host))
		return dicom_fail(error, DICOM_ERROR_ENDPOINT_REFUSED,
						  "endpoint \"%s\" is a link-local or metadata address", endpoint->host);
	return DICOM_OK;
}

/* Compares a host with a pattern's host part; '*.' in front stands for one or more labels. */
static bool
matches_host(const char *pattern, size_t length, const char *host)
{
	size_t host_length = strlen(host);
	struct in_addr address4;
	struct in6_addr address6;

	if (length >= 2 && pattern[0] == '[' && pattern[length - 1] == ']')
	{
		pattern++;
		length -= 2;
	}
	if (length > 2 && pattern[0] == '*' && pattern[1] == '.')
	{
		/* Addresses have no labels: *.1 must not match 10.0.0.1. */
		if (inet_aton(host, &address4) || parse_address6(host, &address6))
			return false;
		return host_length > length - 1 &&
			   strncasecmp(host + host_length - (length - 1), pattern + 1, length - 1) == 0;
	}
	return host_length == length && strncasecmp(host, pattern, length) == 0;
}

/* How long the host part of a pattern is: up to the colon of a port. */
static size_t
pattern_host_length(const char *pattern, size_t length)
{
	const char *colon;

	if (length > 0 && pattern[0] == '[')
	{
		const char *end = memchr(pattern, ']', length);

		return end ? (size_t) (end - pattern) + 1 : length;
	}
	colon = memchr(pattern, ':', length);
	/* several colons: an IPv6 address without brackets, which cannot have a port */
	if (colon == NULL || memchr(colon + 1, ':', length - (size_t) (colon - pattern) - 1))
		return length;
	return (size_t) (colon - pattern);
}

static bool
matches_pattern(const char *pattern, size_t length, const char *host, int port)
{
	size_t host_length = pattern_host_length(pattern, length);

	if (!matches_host(pattern, host_length, host))
		return false;
	if (host_length == length)
		return true;
	return pattern[host_length] == ':' && length - host_length <= 6 &&
		   atoi(pattern + host_length + 1) == port;
}

bool
endpoint_matches(const char *patterns, const char *host, int port)
{
	char normal[256];

	if (!normalize_host(host, strlen(host), normal, sizeof(normal)))
		return false;
	if (patterns == NULL)
		patterns = ENDPOINT_DEFAULT_PATTERNS;
	while (*patterns)
	{
		size_t length;

		patterns += strspn(patterns, " \t,");
		length = strcspn(patterns, " \t,");
		if (length > 0 && matches_pattern(patterns, length, normal, port))
			return true;
		patterns += length;
	}
	return false;
}

void
endpoint_host_header(const struct endpoint *endpoint, char *header, size_t size)
{
	bool bracketed = strchr(endpoint->host, ':') != NULL;
	char port[8] = "";

	if (!endpoint->default_port)
		snprintf(port, sizeof(port), ":%d", endpoint->port);
	snprintf(header, size, "%s%s%s%s", bracketed ? "[" : "", endpoint->host, bracketed ? "]" : "", port);
}
