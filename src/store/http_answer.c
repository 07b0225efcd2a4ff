/*
 * http_answer.c
 *	  What an answer says, what its absence means, and how to wait for one.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http_internal.h"

/* --- failures --- */

static const struct
{
	enum dicom_error_code code;
	bool transient;
	const char *message; /* ending in a colon: curl's words follow; with a %d: the timeout */
	const char *hint;
} endings[] = {
	[HTTP_NOT_RESOLVED] = {DICOM_ERROR_NETWORK, true, "cannot resolve the host:",
						   "check options endpoint, region and url_style, and name resolution"},
	[HTTP_NOT_CONNECTED] = {DICOM_ERROR_NETWORK, true, "cannot connect:",
							"check option endpoint, and that the server is up and can be reached"},
	[HTTP_CONNECT_TIMED_OUT] = {DICOM_ERROR_NETWORK, true, "no connection within %d ms",
								"check option endpoint, and that the server is up and can be reached"},
	[HTTP_REFUSED] = {DICOM_ERROR_ENDPOINT_REFUSED, false,
					  "the endpoint's name resolves to a link-local address",
					  "name an endpoint outside 169.254.0.0/16 and fe80::/10"},
	[HTTP_TLS_BROKEN] = {DICOM_ERROR_TLS, true, "the TLS connection cannot be made:",
						 "check that the endpoint speaks https on this port"},
	[HTTP_TLS_DISTRUSTED] =
		{DICOM_ERROR_TLS, false, "the TLS connection cannot be trusted:",
		 "option tls_ca names a file of the certificate authorities to trust; the server's "
		 "certificate must name the host"},
	[HTTP_TLS_BAD_FILE] =
		{DICOM_ERROR_TLS, false, "the TLS connection cannot be checked:",
		 "option tls_ca must name a file of certificates in PEM form that the server can read"},
	[HTTP_SILENT] = {DICOM_ERROR_TIMEOUT, true, "the server was silent for %d ms",
					 "option request_timeout says how long silence may last"},
	[HTTP_NO_ANSWER] = {DICOM_ERROR_NETWORK, true, "the connection broke:",
						"option endpoint must begin with what is spoken on this port, http:// or https://"},
	[HTTP_CUT_SHORT] = {DICOM_ERROR_NETWORK, true, "the answer was cut short:", ""},
	[HTTP_BROKEN] = {DICOM_ERROR_NETWORK, true, "the connection broke:", ""},
	[HTTP_BAD_HEADERS] = {DICOM_ERROR_PROTOCOL, true, "the headers of the answer are too long, or no text",
						  ""},
	[HTTP_NONSENSE] = {DICOM_ERROR_PROTOCOL, true, "no sensible answer:", ""},
	[HTTP_BAD_URL] = {DICOM_ERROR_INVALID_OPTION, false, "endpoint, bucket and key make no valid URL", ""},
	[HTTP_NO_MEMORY] = {DICOM_ERROR_MEMORY, false, "out of memory", ""},
};

void
http_explain(struct http_answer *answer, enum http_ending ending, const char *detail, int timeout_ms)
{
	const char *message = endings[ending].message;
	size_t size = sizeof(answer->message);

	answer->failure = endings[ending].code;
	answer->transient = endings[ending].transient;
	snprintf(answer->hint, sizeof(answer->hint), "%s", endings[ending].hint);
	if (message[strlen(message) - 1] == ':')
		snprintf(answer->message, size, "%s %.180s", message, detail);
	else if (strstr(message, "%d"))
		snprintf(answer->message, size, "%.*s%d ms", (int) strcspn(message, "%"), message, timeout_ms);
	else
		snprintf(answer->message, size, "%s", message);
}

/* --- one exchange from start to end --- */

struct performance
{
	struct dicom_buffer *body;
	size_t limit;
	struct http_answer *answer;
	bool overflow;
	bool over;
};

static bool
perform_receive(void *arg, int status, const void *bytes, size_t length)
{
	struct performance *performance = arg;

	if (length > performance->limit - performance->body->length)
	{
		performance->overflow = true;
		return false;
	}
	dicom_buffer_append(performance->body, bytes, length);
	return true;
}

static void
perform_done(void *arg, const struct http_answer *answer)
{
	struct performance *performance = arg;

	*performance->answer = *answer;
	performance->over = true;
}

static enum dicom_status
judge_performance(const struct performance *performance, struct dicom_error *error)
{
	const struct http_answer *answer = performance->answer;

	if (answer->failure != DICOM_ERROR_NONE)
	{
		dicom_fail(error, answer->failure, "%s", answer->message);
		return answer->hint[0] ? dicom_hint(error, "%s", answer->hint) : DICOM_FAILED;
	}
	if (performance->body->failed)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (performance->overflow)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the answer is longer than %zu bytes",
						  performance->limit);
	return DICOM_OK;
}

enum dicom_status
http_perform(struct http *http, const struct http_request *request, struct dicom_buffer *body, size_t limit,
			 struct http_answer *answer, struct dicom_error *error)
{
	struct performance performance = {.body = body, .limit = body->length + limit, .answer = answer};
	struct http_request own = *request;
	struct http_transfer *transfer;

	memset(answer, 0, sizeof(*answer));
	own.receive = perform_receive;
	own.done = perform_done;
	own.arg = &performance;
	if (http_start(http, &own, &transfer, error) != DICOM_OK)
		return DICOM_FAILED;
	while (!performance.over)
	{
		if (http_wait(http, -1, error) != DICOM_OK)
		{
			if (!performance.over)
				http_drop(transfer);
			return DICOM_FAILED;
		}
	}
	return judge_performance(&performance, error);
}

/* --- headers --- */

const char *
http_header(const struct http_answer *answer, const char *name, size_t *length)
{
	size_t name_length = strlen(name);
	const char *line = answer->headers;

	while (line && *line)
	{
		const char *end = line + strcspn(line, "\r\n");

		if ((size_t) (end - line) > name_length && line[name_length] == ':' &&
			strncasecmp(line, name, name_length) == 0)
		{
			line += name_length + 1;
			while (line < end && (*line == ' ' || *line == '\t'))
				line++;
			while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
				end--;
			*length = end - line;
			return line;
		}
		line = end + strspn(end, "\r\n");
	}
	return NULL;
}

bool
http_header_copy(const struct http_answer *answer, const char *name, char *value, size_t size)
{
	size_t length;
	const char *found = http_header(answer, name, &length);

	if (!found || length >= size)
		return false;
	memcpy(value, found, length);
	value[length] = '\0';
	return true;
}
