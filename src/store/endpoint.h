/*
 * endpoint.h
 *	  Which hosts a store may talk to.
 *
 * Two walls. The allow-list is for servers of roles that may not name any endpoint they like: patterns host[:port],
 * separated by commas, where a leading '*.' stands for one or more labels. Link-local and metadata addresses are refused
 * to everybody, in whatever spelling: as a name, as any literal that inet_aton() understands (decimal, octal, hex, fewer than
 * four parts), as an IPv6 address that carries an IPv4 one, and once more as the address that a name resolved to.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <sys/socket.h>

#include "../dicom/error.h"

#define ENDPOINT_DEFAULT_PATTERNS "*.amazonaws.com,*.amazonaws.com.cn"

struct endpoint
{
	bool tls;        /* https */
	char host[256];  /* lower case, no brackets around an IPv6 address, no trailing dot */
	bool is_address; /* host is an IPv4 or IPv6 literal */
	int port;        /* the scheme's own where the URL names none */
	bool default_port;
	char path
		[256]; /* what stands before the bucket: '' or '/path' without last slash, percent-encoded as given */
};

/*
 * Splits http[s]://host[:port][/path]. Errors: INVALID_OPTION for other schemes, user names, queries, fragments and
 * hosts with bytes that no host name has. Forbidden hosts are ENDPOINT_REFUSED.
 */
extern enum dicom_status endpoint_parse(const char *url, struct endpoint *endpoint,
										struct dicom_error *error);

/* Does host:port match one of the patterns? patterns NULL: ENDPOINT_DEFAULT_PATTERNS. A pattern without port allows any. */
extern bool endpoint_matches(const char *patterns, const char *host, int port);

/* Is this host name or literal (no brackets) one of a metadata service, or link-local? */
extern bool endpoint_host_is_forbidden(const char *host);

/* The same for an address about to be connected to: call it after name resolution, for every attempt. */
extern bool endpoint_address_is_forbidden(const struct sockaddr *address);

/* The value of the Host header, at most 300 bytes: brackets for IPv6, port where it is not the scheme's own. */
extern void endpoint_host_header(const struct endpoint *endpoint, char *header, size_t size);

#endif
