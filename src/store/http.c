/*
 * http.c
 *	  HTTP exchanges on a curl_multi whose sockets and timer live behind one epoll descriptor.
 *
 * Easy handles are kept with everything that never changes set once; a request sets only what differs. curl may start
 * resolver threads inside any of its calls, so every signal is blocked around them: a thread inherits the mask, and the host's
 * signals can only ever reach the host's own thread.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "endpoint.h"
#include "http_internal.h"

#define RECEIVE_BUFFER_SIZE (64 * 1024L)
#define MAX_HEADER_BYTES    (64 * 1024)
#define EVENTS_AT_ONCE      64
#define NEVER               INT64_MAX

struct http_transfer
{
	struct http *http;
	struct http_transfer *next; /* of those in flight, or of the idle ones */
	struct http_transfer **place;
	CURL *easy;
	struct curl_slist *headers;
	struct http_request request;
	struct dicom_buffer header_block;
	int status;
	size_t sent;
	int times_sent;
	int64_t last_progress; /* 0: not connected yet */
	int64_t deadline;      /* NEVER, or when the whole must be over */
	bool refused;          /* an address was link-local */
	bool stopped;
	bool headers_too_long;
	char curl_message[CURL_ERROR_SIZE];
};

struct http
{
	struct http_options options;
	char *tls_ca;
	CURLM *multi;
	CURLSH *share; /* TLS sessions: without it each easy handle has its own */
	int epoll;
	int64_t timer_at;    /* when curl wants to be called, or NEVER */
	int64_t stall_check; /* before this moment no exchange can have stalled */
	struct http_transfer *active;
	struct http_transfer *idle;
	struct http_answer answer;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void
initialize_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

static void
restore_signals(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* --- curl's callbacks --- */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct http *http = arg;
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(http->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
		epoll_ctl(http->epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
	curl_multi_assign(http->multi, fd, http);
	return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *http = arg;

	http->timer_at = timeout_ms < 0 ? NEVER : now_ms() + timeout_ms;
	return 0;
}

/* Opens a socket, unless its address is one that the request has no business with. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_transfer *transfer = arg;

	if (!transfer->request.metadata && endpoint_address_is_forbidden(&address->addr))
	{
		transfer->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* The connection stands, the request is about to go: from now on silence counts. */
static int
on_before_request(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct http_transfer *transfer = arg;

	transfer->last_progress = now_ms();
	transfer->times_sent++;
	return CURL_PREREQFUNC_OK;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	struct http_transfer *transfer = arg;
	size_t length = size * count;

	transfer->last_progress = now_ms();
	if (length > 5 && strncmp(line, "HTTP/", 5) == 0)
	{
		const char *blank = memchr(line, ' ', length);

		dicom_buffer_reset(&transfer->header_block);
		transfer->status = blank ? atoi(blank) : 0;
		return length;
	}
	if (transfer->header_block.length + length > MAX_HEADER_BYTES || memchr(line, '\0', length))
	{
		transfer->headers_too_long = true;
		return 0;
	}
	dicom_buffer_append(&transfer->header_block, line, length);
	return length;
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_transfer *transfer = arg;
	size_t length = size * count;

	transfer->last_progress = now_ms();
	if (!transfer->request.receive || length == 0 ||
		transfer->request.receive(transfer->request.arg, transfer->status, bytes, length))
		return length;
	transfer->stopped = true;
	return length + 1; /* anything but length ends the transfer */
}

static size_t
on_send(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_transfer *transfer = arg;
	size_t left = transfer->request.body_length - transfer->sent;
	size_t length = size * count < left ? size * count : left;

	transfer->last_progress = now_ms();
	memcpy(bytes, (const char *) transfer->request.body + transfer->sent, length);
	transfer->sent += length;
	return length;
}

/* curl sends again from the start where a kept-alive connection turned out to be dead. */
static int
on_seek(void *arg, curl_off_t offset, int origin)
{
	struct http_transfer *transfer = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t) offset > transfer->request.body_length)
		return CURL_SEEKFUNC_FAIL;
	transfer->sent = (size_t) offset;
	return CURL_SEEKFUNC_OK;
}

/* --- handles --- */

static void
set_fixed_options(struct http_transfer *transfer)
{
	struct http *http = transfer->http;
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT,
					 1L); /* dropping a request must not wait for its resolver thread */
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_message);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "dicom_fdw");
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_SIZE);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, RECEIVE_BUFFER_SIZE);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) http->options.connect_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_SHARE, http->share);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (http->tls_ca)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, http->tls_ca);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* this file's certificates, and no others */
	}
}

static void
set_callbacks(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
}

static struct http_transfer *
create_transfer(struct http *http)
{
	struct http_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->http = http;
	transfer->easy = curl_easy_init();
	if (!transfer->easy)
	{
		free(transfer);
		return NULL;
	}
	set_fixed_options(transfer);
	set_callbacks(transfer);
	return transfer;
}

static struct http_transfer *
take_transfer(struct http *http)
{
	struct http_transfer *transfer = http->idle;

	if (!transfer)
		return create_transfer(http);
	http->idle = transfer->next;
	return transfer;
}

/* Headers hold session tokens: nothing of them stays behind in memory. */
static void
wipe_headers(struct http_transfer *transfer)
{
	struct curl_slist *header;

	for (header = transfer->headers; header; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;
}

/* Forgets the request, and keeps the handle for the next one. */
static void
give_back(struct http_transfer *transfer)
{
	struct http *http = transfer->http;

	wipe_headers(transfer);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
	memset(&transfer->request, 0, sizeof(transfer->request));
	transfer->next = http->idle;
	http->idle = transfer;
}

static void
destroy_transfer(struct http_transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	wipe_headers(transfer);
	dicom_buffer_free(&transfer->header_block);
	free(transfer);
}

static void
link_active(struct http_transfer *transfer)
{
	struct http *http = transfer->http;

	transfer->next = http->active;
	if (transfer->next)
		transfer->next->place = &transfer->next;
	transfer->place = &http->active;
	http->active = transfer;
}

static void
unlink_active(struct http_transfer *transfer)
{
	*transfer->place = transfer->next;
	if (transfer->next)
		transfer->next->place = transfer->place;
	curl_multi_remove_handle(transfer->http->multi, transfer->easy);
}

/* --- requests --- */

/* True for a URL whose host is this machine, which no proxy can reach for us. */
static bool
is_loopback(const char *url)
{
	const char *host = strstr(url, "://");
	size_t length;

	if (!host)
		return false;
	host += 3;
	length = strcspn(host, "/?#");
	if (length >= 5 && strncmp(host, "[::1]", 5) == 0)
		return true;
	length = strcspn(host, ":/?#");
	if (length > 4 && strncmp(host, "127.", 4) == 0)
		return strspn(host, "0123456789.") == length;
	return length >= 9 && strncasecmp(host + length - 9, "localhost", 9) == 0 &&
		   (length == 9 || host[length - 10] == '.');
}

/* Each of curl's methods takes back what another one set, so the order matters. */
static void
set_method(CURL *easy, const struct http_request *request)
{
	const char *custom = NULL;

	switch (request->method)
	{
		case HTTP_GET:
			curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
			break;
		case HTTP_HEAD:
			curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
			curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
			break;
		case HTTP_DELETE:
			curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
			custom = "DELETE";
			break;
		case HTTP_POST:
			custom = "POST";
			/* fall through */
		case HTTP_PUT:
			curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
			curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) request->body_length);
			break;
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, custom);
}

static bool
add_header(struct http_transfer *transfer, const char *line)
{
	struct curl_slist *list = curl_slist_append(transfer->headers, line);

	if (list)
		transfer->headers = list;
	return list != NULL;
}

static bool
set_headers(struct http_transfer *transfer, const char *const *headers)
{
	while (headers && *headers)
		if (!add_header(transfer, *headers++))
			return false;
	/* Waiting for "100 Continue" would cost a round trip, and a second where a server does not know it. */
	if (!add_header(transfer, "Expect:"))
		return false;
	return curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK;
}

static bool
set_request(struct http_transfer *transfer, const struct http_request *request)
{
	CURL *easy = transfer->easy;
	int64_t now = now_ms();
	bool direct = request->metadata || is_loopback(request->url);

	transfer->request = *request;
	dicom_buffer_reset(&transfer->header_block);
	transfer->status = 0;
	transfer->sent = 0;
	transfer->times_sent = 0;
	transfer->last_progress = 0;
	transfer->deadline = request->timeout_ms > 0 ? now + request->timeout_ms : NEVER;
	transfer->refused = transfer->stopped = transfer->headers_too_long = false;
	transfer->curl_message[0] = '\0';
	set_method(easy, request);
	curl_easy_setopt(easy, CURLOPT_PROXY, direct ? "" : NULL);
	return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
		   set_headers(transfer, request->headers);
}

enum dicom_status
http_start(struct http *http, const struct http_request *request, struct http_transfer **result,
		   struct dicom_error *error)
{
	struct http_transfer *transfer;
	sigset_t signals;
	bool started;
	int64_t check =
		now_ms() + (request->timeout_ms > 0 && request->timeout_ms < http->options.request_timeout_ms
						? request->timeout_ms
						: http->options.request_timeout_ms);

	transfer = take_transfer(http);
	if (!transfer)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (!set_request(transfer, request))
	{
		give_back(transfer);
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	}
	block_signals(&signals);
	started = curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK;
	restore_signals(&signals);
	if (!started)
	{
		give_back(transfer);
		return dicom_fail(error, DICOM_ERROR_MEMORY, "cannot start a request");
	}
	link_active(transfer);
	if (http->stall_check > check)
		http->stall_check = check;
	*result = transfer;
	return DICOM_OK;
}

void
http_drop(struct http_transfer *transfer)
{
	sigset_t signals;

	block_signals(&signals);
	unlink_active(transfer);
	restore_signals(&signals);
	give_back(transfer);
}

/* --- how an exchange ended --- */

static enum http_ending
ending_of(const struct http_transfer *transfer, CURLcode code)
{
	switch (code)
	{
		case CURLE_OPERATION_TIMEDOUT:
			return transfer->last_progress ? HTTP_SILENT : HTTP_CONNECT_TIMED_OUT;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return HTTP_NOT_RESOLVED;
		case CURLE_COULDNT_CONNECT:
			return transfer->refused ? HTTP_REFUSED : HTTP_NOT_CONNECTED;
		case CURLE_SSL_CONNECT_ERROR:
			return HTTP_TLS_BROKEN;
		case CURLE_SSL_CACERT_BADFILE:
			return HTTP_TLS_BAD_FILE;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return HTTP_TLS_DISTRUSTED;
		case CURLE_PARTIAL_FILE:
			return HTTP_CUT_SHORT;
		case CURLE_GOT_NOTHING:
			return HTTP_NO_ANSWER;
		case CURLE_RECV_ERROR:
		case CURLE_SEND_ERROR:
		case CURLE_SEND_FAIL_REWIND:
			return HTTP_BROKEN;
		case CURLE_OUT_OF_MEMORY:
			return HTTP_NO_MEMORY;
		case CURLE_URL_MALFORMAT:
			return HTTP_BAD_URL;
		default:
			return HTTP_NONSENSE;
	}
}

/* curl's own words name host and port at most. */
static void
explain(struct http_answer *answer, const struct http_transfer *transfer, CURLcode code)
{
	const struct http_options *options = &transfer->http->options;
	enum http_ending ending = ending_of(transfer, code);
	int timeout_ms = ending == HTTP_SILENT ? options->request_timeout_ms : options->connect_timeout_ms;

	if (transfer->request.timeout_ms > 0 && transfer->request.timeout_ms < timeout_ms)
		timeout_ms = transfer->request.timeout_ms;
	http_explain(answer, ending,
				 transfer->curl_message[0] ? transfer->curl_message : curl_easy_strerror(code), timeout_ms);
}

/* Tells the owner, and keeps the handle. The transfer has been unlinked. */
static void
finish(struct http_transfer *transfer, CURLcode code)
{
	struct http_answer *answer = &transfer->http->answer;

	memset(answer, 0, offsetof(struct http_answer, message));
	answer->message[0] = answer->hint[0] = '\0';
	answer->status = transfer->status;
	answer->headers = transfer->header_block.data ? transfer->header_block.data : "";
	answer->bytes_sent = transfer->sent;
	answer->times_sent = transfer->times_sent;
	answer->stopped = transfer->stopped;
	if (transfer->header_block.failed)
		http_explain(answer, HTTP_NO_MEMORY, "", 0);
	else if (transfer->headers_too_long)
		http_explain(answer, HTTP_BAD_HEADERS, "", 0);
	else if (code != CURLE_OK && !transfer->stopped)
		explain(answer, transfer, code);
	transfer->request.done(transfer->request.arg, answer);
	give_back(transfer);
}

/* --- driving --- */

/* When an exchange has been silent for too long, or has taken too long altogether. */
static int64_t
ends_at(const struct http_transfer *transfer, int64_t now)
{
	int64_t silent_since = transfer->last_progress ? transfer->last_progress : now;
	int64_t ends = silent_since + transfer->http->options.request_timeout_ms;

	return transfer->deadline < ends ? transfer->deadline : ends;
}

/* Ends what has stalled, and finds out when to look again. Whoever is told may start and drop others: hence from the start. */
static void
end_stalled(struct http *http, int64_t now)
{
	struct http_transfer *transfer = http->active;

	http->stall_check = NEVER;
	while (transfer)
	{
		int64_t ends = ends_at(transfer, now);

		if (ends <= now)
		{
			unlink_active(transfer);
			finish(transfer, CURLE_OPERATION_TIMEDOUT);
			http->stall_check = NEVER;
			transfer = http->active;
			continue;
		}
		if (ends < http->stall_check)
			http->stall_check = ends;
		transfer = transfer->next;
	}
}

static void
serve_sockets(struct http *http)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int running;
	int count;
	int i;

	count = epoll_wait(http->epoll, events, EVENTS_AT_ONCE, 0);
	for (i = 0; i < count; i++)
	{
		int mask = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
				   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
				   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

		curl_multi_socket_action(http->multi, events[i].data.fd, mask, &running);
	}
}

static void
finish_ended(struct http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		struct http_transfer *transfer;
		CURLcode code = message->data.result;
		char *private;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		transfer = (struct http_transfer *) private;
		unlink_active(transfer);
		finish(transfer, code);
	}
}

void
http_drive(struct http *http)
{
	sigset_t signals;
	int64_t now = now_ms();
	int running;

	block_signals(&signals);
	serve_sockets(http);
	if (http->timer_at <= now)
	{
		http->timer_at = NEVER;
		curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	finish_ended(http);
	if (http->stall_check <= now)
		end_stalled(http, now);
	restore_signals(&signals);
}

int
http_descriptor(const struct http *http)
{
	return http->epoll;
}

int
http_timeout(struct http *http)
{
	int64_t at = http->timer_at < http->stall_check ? http->timer_at : http->stall_check;
	int64_t now;

	if (at == NEVER || !http->active)
		return -1;
	now = now_ms();
	return at <= now ? 0 : (int) (at - now);
}

enum dicom_status
http_wait(struct http *http, int timeout_ms, struct dicom_error *error)
{
	int own = http_timeout(http);

	if (own >= 0 && (timeout_ms < 0 || own < timeout_ms))
		timeout_ms = own;
	if (!http->options.host.wait(http->options.host.arg, http->epoll, timeout_ms))
		return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted while waiting for the store");
	http_drive(http);
	return DICOM_OK;
}

/* --- opening and closing --- */

static void
set_multi_options(struct http *http)
{
	long connections = http->options.max_connections;

	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, connections);
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

enum dicom_status
http_open(const struct http_options *options, struct http **result, struct dicom_error *error)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	pthread_once(&curl_once, initialize_curl);
	http->options = *options;
	http->options.tls_ca = NULL;
	http->timer_at = http->stall_check = NEVER;
	http->epoll = epoll_create1(EPOLL_CLOEXEC);
	http->multi = curl_multi_init();
	http->share = curl_share_init();
	http->tls_ca = options->tls_ca ? strdup(options->tls_ca) : NULL;
	if (http->epoll < 0 || !http->multi || !http->share || (options->tls_ca && !http->tls_ca))
	{
		bool descriptor = http->epoll < 0;

		http_close(http);
		return descriptor ? dicom_fail(error, DICOM_ERROR_IO, "cannot create an epoll descriptor: %m")
						  : dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	}
	set_multi_options(http);
	*result = http;
	return DICOM_OK;
}

void
http_close(struct http *http)
{
	sigset_t signals;

	if (!http)
		return;
	block_signals(&signals);
	while (http->active)
	{
		struct http_transfer *transfer = http->active;

		unlink_active(transfer);
		give_back(transfer);
	}
	while (http->idle)
	{
		struct http_transfer *transfer = http->idle;

		http->idle = transfer->next;
		destroy_transfer(transfer);
	}
	curl_multi_cleanup(http->multi);
	curl_share_cleanup(http->share);
	restore_signals(&signals);
	if (http->epoll >= 0)
		close(http->epoll);
	free(http->tls_ca);
	free(http);
}
