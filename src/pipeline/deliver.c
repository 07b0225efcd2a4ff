/*
 * deliver.c
 *	  Requests of notifications, and where they may go.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "../pg/handle.h"
#include "../pg/report.h"
#include "../pg/settings.h"
#include "../pg/wait.h"
#include "../store/endpoint.h"
#include "../store/http.h"
#include "notify.h"

#define CONNECT_MS   5000
#define EXCHANGE_MS  10000
#define CONNECTIONS  32
#define ANSWER_BYTES 2048
#define LONGEST_URL  2048

/* --- where to --- */

/* Those of the allowed hosts that begin with http://, or those that do not; without it, as endpoint_matches() takes them. */
static char *
allowed_hosts(bool tls)
{
	StringInfoData list;
	char *copy = pstrdup(setting_allowed_notification_hosts);
	char *rest = copy;
	char *pattern;

	initStringInfo(&list);
	while ((pattern = strsep(&rest, ",")) != NULL)
	{
		bool is_plain;

		pattern += strspn(pattern, " \t");
		is_plain = strncmp(pattern, "http://", 7) == 0;
		if (is_plain == tls || *pattern == '\0')
			continue;
		appendStringInfo(&list, "%s%s", list.len ? "," : "", pattern + (is_plain ? 7 : 0));
	}
	return list.data;
}

/* Only what a URL is made of: nothing that ends a line or a header. */
static bool
is_clean(const char *url)
{
	const char *c;

	for (c = url; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return c - url <= LONGEST_URL;
}

static bool
split_url(const char *url, struct endpoint *endpoint, struct dicom_error *error)
{
	const char *authority = strstr(url, "://");
	size_t length;

	if (authority == NULL || !is_clean(url))
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "the address is no URL"), false;
	length = authority + 3 - url + strcspn(authority + 3, "/?#");
	return endpoint_parse(pnstrdup(url, length), endpoint, error) == DICOM_OK;
}

bool
notify_url_is_allowed(const char *url, Oid owner, char *message, size_t size)
{
	struct endpoint endpoint;
	struct dicom_error error;

	if (!split_url(url, &endpoint, &error))
	{
		snprintf(message, size, "%s",
				 error.code == DICOM_ERROR_ENDPOINT_REFUSED ? error.message : "the address is no valid URL");
		return false;
	}
	if (superuser_arg(owner) || (*allowed_hosts(endpoint.tls) &&
								 endpoint_matches(allowed_hosts(endpoint.tls), endpoint.host, endpoint.port)))
		return true;
	snprintf(message, size, "notifications may not be sent to %s://%s", endpoint.tls ? "https" : "http",
			 endpoint.host);
	return false;
}

/* --- one request --- */

struct exchange
{
	struct delivery *delivery;
	const char *headers[3];
	char answer[ANSWER_BYTES];
	size_t length;
	int *open; /* exchanges that are not over */
};

static bool
receive(void *arg, int status, const void *bytes, size_t length)
{
	struct exchange *exchange = arg;
	size_t room = sizeof(exchange->answer) - 1 - exchange->length;

	memcpy(exchange->answer + exchange->length, bytes, Min(length, room));
	exchange->length += Min(length, room);
	return true;
}

/* The value of a member of a JSON object, as far as it is a word; that of "error" says what is wrong. */
static bool
find_word(const char *json, const char *member, char *word, size_t size)
{
	const char *place = strstr(json, member);
	size_t length;

	if (place == NULL)
		return false;
	place += strlen(member);
	place += strspn(place, " \t\r\n:\"");
	length = strspn(place, "abcdefghijklmnopqrstuvwxyz_");
	snprintf(word, size, "%.*s", (int) length, place);
	return length > 0;
}

static void
judge_answer(struct exchange *exchange)
{
	struct delivery *delivery = exchange->delivery;
	char word[64];

	exchange->answer[exchange->length] = '\0';
	delivery->delivered = !delivery->wants_ok || (find_word(exchange->answer, "\"ok\"", word, sizeof(word)) &&
												  strcmp(word, "true") == 0);
	if (delivery->delivered)
		return;
	if (!find_word(exchange->answer, "\"error\"", word, sizeof(word)))
		strcpy(word, "no reason given");
	delivery->refused = strcmp(word, "ratelimited") != 0 && strcmp(word, "internal_error") != 0;
	snprintf(delivery->error, sizeof(delivery->error), "the server did not take it: %s", word);
}

static int
seconds_to_wait(const struct http_answer *answer)
{
	char text[16];

	if (!http_header_copy(answer, "retry-after", text, sizeof(text)))
		return 0;
	return Min(Max(atoi(text), 0), 3600);
}

static void
done(void *arg, const struct http_answer *answer)
{
	struct exchange *exchange = arg;
	struct delivery *delivery = exchange->delivery;

	(*exchange->open)--;
	if (answer->failure != DICOM_ERROR_NONE)
	{
		delivery->refused = !answer->transient;
		strlcpy(delivery->error, answer->message, sizeof(delivery->error));
	}
	else if (answer->status >= 200 && answer->status < 300)
		judge_answer(exchange);
	else
	{
		delivery->refused = answer->status < 500 && answer->status != 408 && answer->status != 429;
		delivery->after_s = seconds_to_wait(answer);
		snprintf(delivery->error, sizeof(delivery->error), "the server answers with HTTP status %d",
				 answer->status);
	}
}

static void
start(struct http *http, struct exchange *exchange)
{
	struct delivery *delivery = exchange->delivery;
	struct http_request request = {.method = HTTP_POST,
								   .url = delivery->url,
								   .headers = exchange->headers,
								   .body = delivery->body,
								   .body_length = strlen(delivery->body),
								   .timeout_ms = EXCHANGE_MS,
								   .receive = receive,
								   .done = done,
								   .arg = exchange};
	struct http_transfer *transfer;
	struct dicom_error error;

	exchange->headers[0] = psprintf("Content-Type: %s", delivery->content_type);
	exchange->headers[1] = delivery->token ? psprintf("Authorization: Bearer %s", delivery->token) : NULL;
	if (http_start(http, &request, &transfer, &error) == DICOM_OK)
		(*exchange->open)++;
	else
		strlcpy(delivery->error, error.message, sizeof(delivery->error));
}

static void
close_http(void *http)
{
	http_close(http);
}

void
deliver(struct delivery *deliveries, int count)
{
	struct http_options options = {.host = backend_host,
								   .max_connections = CONNECTIONS,
								   .request_timeout_ms = EXCHANGE_MS,
								   .connect_timeout_ms = CONNECT_MS};
	struct exchange *exchanges = palloc0(count * sizeof(*exchanges));
	struct pg_handle *tied;
	struct dicom_error error;
	struct http *http;
	int open = 0;
	int i;

	if (http_open(&options, &http, &error) != DICOM_OK)
		report_error(&error);
	tied = handle_tie(CurrentMemoryContext, close_http, http);
	for (i = 0; i < count; i++)
	{
		exchanges[i].delivery = &deliveries[i];
		exchanges[i].open = &open;
		start(http, &exchanges[i]);
	}
	while (open > 0)
		if (http_wait(http, -1, &error) != DICOM_OK)
			report_error(&error);
	handle_close(tied);
}
