/*
 * s3_request.c
 *	  The life of a request to S3: queued, signed, sent, judged, and repeated where that may help.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "s3.h"

/* How long keys may be used without asking credentials.c, where asking might wait. */
#define SIGNING_FRESH_SECONDS 30

/* How long a busy store may go on without asking the host whether it should. */
#define ASK_HOST_MS 100

int64_t
s3_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- lists of requests --- */

static void
enqueue(struct s3_queue *queue, struct s3_request *request)
{
	request->queue = queue;
	request->next = NULL;
	request->previous = queue->last;
	if (queue->last)
		queue->last->next = request;
	else
		queue->first = request;
	queue->last = request;
}

static void
dequeue(struct s3_request *request)
{
	struct s3_queue *queue = request->queue;

	if (!queue)
		return;
	if (request->previous)
		request->previous->next = request->next;
	else
		queue->first = request->next;
	if (request->next)
		request->next->previous = request->previous;
	else
		queue->last = request->previous;
	request->queue = NULL;
}

static void
put_to_queue(struct s3_request *request)
{
	dequeue(request);
	request->state = S3_QUEUED;
	enqueue(&request->s3->queued, request);
}

static void
put_to_sleep(struct s3_request *request, int delay_ms)
{
	dequeue(request);
	request->state = S3_SLEEPING;
	request->not_before = s3_now_ms() + delay_ms;
	enqueue(&request->s3->sleeping, request);
}

static void
end(struct s3_request *request, enum s3_state state)
{
	dequeue(request);
	request->state = state;
	request->s3->progressed = true;
	if (state == S3_FAILED)
	{
		store_name_object(&request->error, &request->s3->store, request->key);
		request->error.attempts = request->attempts;
	}
}

/* --- filling in --- */

enum dicom_status
s3_request_prepare(struct s3_request *request, struct s3_store *s3, enum http_method method, const char *key,
				   struct dicom_error *error)
{
	memset(request, 0, sizeof(*request));
	request->s3 = s3;
	request->method = method;
	request->counter = &s3->store.statistics.other_requests;
	if (!key)
		return DICOM_OK;
	if (strlen(s3->address.prefix) + strlen(key) > S3_MAX_KEY)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "prefix and key are longer than %d bytes", S3_MAX_KEY);
		return store_name_object(error, &s3->store, key);
	}
	request->key = strdup(key);
	return request->key ? DICOM_OK : dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

void
s3_request_header(struct s3_request *request, const char *name, const char *format, ...)
{
	char value[S3_MAX_REQUEST_HEADER];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(value, sizeof(value), format, arguments);
	va_end(arguments);
	if (length < 0 || length >= (int) sizeof(value) || request->header_count == S3_MAX_REQUEST_HEADERS)
	{
		request->failed_header = true;
		return;
	}
	request->headers[request->header_count].name = strdup(name);
	request->headers[request->header_count].value = strdup(value);
	if (!request->headers[request->header_count].name || !request->headers[request->header_count].value)
		request->failed_header = true;
	request->header_count++;
}

/* A header's value must not begin another header. */
static bool
headers_are_clean(const struct s3_request *request)
{
	int i;

	for (i = 0; i < request->header_count; i++)
		if (strpbrk(request->headers[i].value, "\r\n"))
			return false;
	return true;
}

/* --- one attempt --- */

static const char *
method_name(enum http_method method)
{
	static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};

	return names[method];
}

/* What must be signed where it is sent. The others a proxy may change. */
static bool
is_signed(const char *header)
{
	return strncmp(header, "x-amz-", 6) == 0 || strcasecmp(header, "Content-Type") == 0;
}

static enum dicom_status
sign(struct s3_request *request, struct dicom_error *error)
{
	struct s3_store *s3 = request->s3;
	struct sigv4_header headers[S3_MAX_REQUEST_HEADERS];
	struct sigv4_request signed_request = {
		.method = method_name(request->method),
		.host = s3->address.host,
		.path = s3->path.data,
		.query = request->query.data,
		.headers = headers,
		.payload_hash = request->payload_hash[0] ? request->payload_hash : NULL,
		.send_payload_hash = true,
		.region = s3->address.region,
		.service = "s3",
	};
	int i;

	for (i = 0; i < request->header_count; i++)
	{
		if (!is_signed(request->headers[i].name))
			continue;
		headers[signed_request.header_count].name = request->headers[i].name;
		headers[signed_request.header_count++].value = request->headers[i].value;
	}
	dicom_buffer_reset(&s3->signature.authorization);
	return sigv4_sign(&signed_request, &s3->signing, time(NULL), &s3->signing_key, &s3->signature, error);
}

/* Appends a line, and notes where it begins: the buffer may still move. */
static void
add_line(struct dicom_buffer *lines, size_t *starts, int *count, const char *name, const char *value)
{
	starts[(*count)++] = lines->length;
	dicom_buffer_append_string(lines, name);
	dicom_buffer_append(lines, ": ", 2);
	dicom_buffer_append(lines, value, strlen(value) + 1);
}

static bool
make_lines(struct s3_request *request, const char **lines)
{
	struct s3_store *s3 = request->s3;
	struct dicom_buffer *text = &s3->lines;
	size_t starts[S3_MAX_REQUEST_HEADERS + 5];
	int count = 0;
	int i;

	dicom_buffer_reset(text);
	for (i = 0; i < request->header_count; i++)
		add_line(text, starts, &count, request->headers[i].name, request->headers[i].value);
	if (s3->signing.access_key_id)
	{
		add_line(text, starts, &count, "x-amz-date", s3->signature.date);
		add_line(text, starts, &count, "x-amz-content-sha256",
				 request->payload_hash[0] ? request->payload_hash : SIGV4_EMPTY_PAYLOAD);
		if (s3->signing.session_token && *s3->signing.session_token)
			add_line(text, starts, &count, "x-amz-security-token", s3->signing.session_token);
		add_line(text, starts, &count, "Authorization", s3->signature.authorization.data);
	}
	for (i = 0; i < count && !text->failed; i++)
		lines[i] = text->data + starts[i];
	lines[count] = NULL;
	return !text->failed;
}

static bool
status_is_good(const struct s3_request *request, int status)
{
	return (status >= 200 && status < 300) || (status != 0 && status == request->also_good);
}

static bool
on_receive(void *arg, int status, const void *bytes, size_t length)
{
	struct s3_request *request = arg;
	size_t limit = status_is_good(request, status) ? S3_MAX_REPLY : S3_MAX_ERROR_BODY;

	if (request->receive && status_is_good(request, status))
		return request->receive(request, status, bytes, length);
	if (length > limit - request->reply.length)
		length = limit - request->reply.length;
	dicom_buffer_append(&request->reply, bytes, length);
	return request->reply.length < limit;
}

static void on_done(void *arg, const struct http_answer *answer);

static enum dicom_status
send_attempt(struct s3_request *request, struct dicom_error *error)
{
	struct s3_store *s3 = request->s3;
	const char *lines[S3_MAX_REQUEST_HEADERS + 6];
	struct http_request http_request = {
		.method = request->method,
		.headers = lines,
		.body = request->body,
		.body_length = request->body_length,
		.receive = on_receive,
		.done = on_done,
		.arg = request,
	};

	dicom_buffer_reset(&s3->path);
	dicom_buffer_reset(&s3->url);
	s3_address_path(&s3->address, request->key, &s3->path);
	if (s3->path.failed)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (s3->signing.access_key_id && sign(request, error) != DICOM_OK)
		return DICOM_FAILED;
	s3_address_url(&s3->address, s3->path.data, request->query.data, &s3->url);
	if (s3->url.failed || !make_lines(request, lines))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	http_request.url = s3->url.data;
	return http_start(s3->http, &http_request, &request->transfer, error);
}

static void
start_attempt(struct s3_request *request)
{
	struct s3_store *s3 = request->s3;

	dequeue(request);
	dicom_buffer_reset(&request->reply);
	if (request->restart)
		request->restart(request);
	if (send_attempt(request, &request->error) != DICOM_OK)
	{
		end(request, S3_FAILED);
		return;
	}
	if (request->attempts++ > 0)
		s3->store.statistics.retries++;
	++*request->counter;
	request->generation = s3->credentials_generation;
	request->state = S3_RUNNING;
	enqueue(&s3->running, request);
	s3->running_count++;
}

/* --- judging --- */

/*
 * The keys have expired: are there, or may there be, better ones? Of many requests signed with the same keys only the first asks.
 */
static bool
can_renew_credentials(struct s3_request *request)
{
	struct s3_store *s3 = request->s3;

	if (request->generation == s3->credentials_generation)
	{
		if (request->refreshed || !credentials_expire(s3->credentials, time(NULL)))
			return false;
		request->refreshed = true;
		s3->credentials_generation++;
		s3->signing_as_of = 0;
	}
	request->refreshes++;
	return request->refreshes <= 2;
}

static int
asked_delay(const struct http_answer *answer)
{
	char text[24];
	uint64_t seconds;

	if (!http_header_copy(answer, "retry-after", text, sizeof(text)) || !s3_parse_number(text, &seconds))
		return 0;
	return seconds > RETRY_MAX_AFTER_MS / 1000 ? RETRY_MAX_AFTER_MS : (int) seconds * 1000;
}

static void
repeat_or_fail(struct s3_request *request, const struct http_answer *answer, bool transient, bool expired)
{
	struct s3_store *s3 = request->s3;
	int repetition = request->attempts - request->refreshes;

	if (expired && can_renew_credentials(request))
		put_to_queue(request);
	else if (transient && repetition <= s3->max_retries && retry_take(&s3->budget))
		put_to_sleep(request, retry_delay(&s3->budget, repetition, asked_delay(answer)));
	else
		end(request, S3_FAILED);
}

static enum dicom_status
accept_answer(struct s3_request *request, const struct http_answer *answer)
{
	if (request->reply.failed)
		return dicom_fail(&request->error, DICOM_ERROR_MEMORY, "out of memory");
	if (!request->receive && request->reply.length >= S3_MAX_REPLY)
		return dicom_fail(&request->error, DICOM_ERROR_PROTOCOL, "the answer is too long");
	return request->finish ? request->finish(request, answer, &request->error) : DICOM_OK;
}

static void
on_done(void *arg, const struct http_answer *answer)
{
	struct s3_request *request = arg;
	struct s3_store *s3 = request->s3;
	bool transient = answer->transient;
	bool expired = false;

	dequeue(request);
	request->transfer = NULL;
	s3->running_count--;
	request->times_sent += answer->times_sent;
	s3->store.statistics.bytes_sent += answer->bytes_sent;
	if (answer->failure != DICOM_ERROR_NONE)
	{
		dicom_fail(&request->error, answer->failure, "%s", answer->message);
		if (answer->hint[0])
			dicom_hint(&request->error, "%s", answer->hint);
	}
	else if (!status_is_good(request, answer->status))
		s3_judge_error(request, answer, &request->error, &transient, &expired);
	else if (accept_answer(request, answer) == DICOM_OK)
	{
		retry_refund(&s3->budget);
		end(request, S3_SUCCEEDED);
		return;
	}
	else
		transient = s3_error_is_transient(request->error.code);
	repeat_or_fail(request, answer, transient, expired);
}

/* --- starting what can be started --- */

static void
wake_sleepers(struct s3_store *s3)
{
	struct s3_request *request = s3->sleeping.first;
	int64_t now = request ? s3_now_ms() : 0;

	while (request)
	{
		struct s3_request *next = request->next;

		if (request->not_before <= now)
			put_to_queue(request);
		request = next;
	}
}

/* Nobody can be asked without keys: what waits for them fails for the same reason. */
static void
fail_queued(struct s3_store *s3, const struct dicom_error *error)
{
	while (s3->queued.first)
	{
		struct s3_request *request = s3->queued.first;

		request->error = *error;
		end(request, S3_FAILED);
	}
}

/* DICOM_PENDING where the keys cannot be had without waiting. */
static enum dicom_status
get_keys(struct s3_store *s3, bool may_wait, struct dicom_error *error)
{
	time_t now = time(NULL);

	if (!may_wait)
		return now - s3->signing_as_of <= SIGNING_FRESH_SECONDS ? DICOM_OK : DICOM_PENDING;
	if (credentials_get(s3->credentials, now, &s3->signing, error) != DICOM_OK)
		return DICOM_FAILED;
	s3->signing_as_of = now;
	return DICOM_OK;
}

/* Starts what is due and has room. Fails with INTERRUPTED only, and then leaves everything as it is. */
static enum dicom_status
pump(struct s3_store *s3, bool may_wait, struct dicom_error *error)
{
	wake_sleepers(s3);
	while (s3->queued.first && s3->running_count < s3->max_requests)
	{
		struct dicom_error own;
		enum dicom_status status = get_keys(s3, may_wait, &own);

		if (status == DICOM_PENDING)
			return DICOM_OK;
		if (status == DICOM_FAILED && own.code == DICOM_ERROR_INTERRUPTED)
		{
			if (error)
				*error = own;
			return DICOM_FAILED;
		}
		if (status == DICOM_FAILED)
			fail_queued(s3, &own);
		else if (s3->queued.first && s3->running_count < s3->max_requests) /* asking may have driven others */
			start_attempt(s3->queued.first);
	}
	return DICOM_OK;
}

/* --- calls of the owners --- */

enum dicom_status
s3_request_submit(struct s3_request *request, struct dicom_error *error)
{
	struct s3_store *s3 = request->s3;

	if (request->query.failed)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (request->failed_header || !headers_are_clean(request))
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a value is too long, or holds a line break");
	if (request->body_length > 0)
		sigv4_hash(request->body, request->body_length, request->payload_hash);
	put_to_queue(request);
	pump(s3, false, NULL);
	http_drive(s3->http);
	return DICOM_OK;
}

enum dicom_status
s3_request_result(const struct s3_request *request, struct dicom_error *error)
{
	if (request->state == S3_SUCCEEDED)
		return DICOM_OK;
	if (request->state != S3_FAILED)
		return DICOM_PENDING;
	if (error)
		*error = request->error;
	return DICOM_FAILED;
}

enum dicom_status
s3_request_run(struct s3_request *request, struct dicom_error *error)
{
	enum dicom_status status = s3_request_submit(request, error);

	if (status != DICOM_OK)
		return status;
	while ((status = s3_request_result(request, error)) == DICOM_PENDING)
		if (s3_wait(&request->s3->store, -1, error) != DICOM_OK)
			return DICOM_FAILED;
	return status;
}

void
s3_request_drop(struct s3_request *request)
{
	if (request->transfer)
	{
		http_drop(request->transfer);
		request->transfer = NULL;
		request->s3->running_count--;
		request->times_sent++;
	}
	dequeue(request);
}

void
s3_request_close(struct s3_request *request)
{
	int i;

	s3_request_drop(request);
	for (i = 0; i < request->header_count; i++)
	{
		free(request->headers[i].name);
		free(request->headers[i].value);
	}
	free(request->key);
	dicom_buffer_free(&request->query);
	dicom_buffer_free(&request->reply);
	memset(request, 0, sizeof(*request));
}

/* --- waiting --- */

static int
sooner(int left, int right)
{
	if (left < 0 || right < 0)
		return left < 0 ? right : left;
	return left < right ? left : right;
}

static int
until_next_sleeper(const struct s3_store *s3)
{
	const struct s3_request *request;
	int64_t now = s3->sleeping.first ? s3_now_ms() : 0;
	int soonest = -1;

	for (request = s3->sleeping.first; request; request = request->next)
		soonest = sooner(soonest, request->not_before <= now ? 0 : (int) (request->not_before - now));
	return soonest;
}

int
s3_wait_timeout(struct store *store)
{
	struct s3_store *s3 = (struct s3_store *) store;

	if (s3->progressed || (s3->queued.first && s3->running_count < s3->max_requests))
		return 0;
	return sooner(http_timeout(s3->http), until_next_sleeper(s3));
}

static enum dicom_status
ask_host(struct s3_store *s3, int timeout_ms, struct dicom_error *error)
{
	const struct store_host *host = &s3->store.host;
	bool go_on = host->wait(host->arg, http_descriptor(s3->http), timeout_ms);

	s3->last_asked = s3_now_ms();
	return go_on ? DICOM_OK
				 : dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted while waiting for the store");
}

/* Something can be seen. A store that always has something to do must not go on for ever without asking. */
static enum dicom_status
leave_wait(struct s3_store *s3, int timeout_ms, struct dicom_error *error)
{
	s3->progressed = false;
	if (timeout_ms == 0 || s3_now_ms() - s3->last_asked < ASK_HOST_MS)
		return DICOM_OK;
	return ask_host(s3, 0, error);
}

enum dicom_status
s3_wait(struct store *store, int timeout_ms, struct dicom_error *error)
{
	struct s3_store *s3 = (struct s3_store *) store;
	int64_t until = timeout_ms > 0 ? s3_now_ms() + timeout_ms : 0;

	for (;;)
	{
		int left = timeout_ms;

		if (pump(s3, true, error) != DICOM_OK)
			return DICOM_FAILED;
		http_drive(s3->http);
		if (pump(s3, true, error) != DICOM_OK)
			return DICOM_FAILED;
		if (s3->progressed || (!s3->queued.first && !s3->sleeping.first && !s3->running.first))
			return leave_wait(s3, timeout_ms, error);
		if (timeout_ms > 0)
		{
			int64_t now = s3_now_ms();

			left = now < until ? (int) (until - now) : 0;
		}
		if (left == 0)
			return DICOM_OK;
		if (ask_host(s3, sooner(left, s3_wait_timeout(store)), error) != DICOM_OK)
			return DICOM_FAILED;
	}
}
