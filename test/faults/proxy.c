/*
 * proxy.c
 *	  Stands between a client and an S3 server, keeps a log of what is asked, and does to the answers what rules.h says.
 *
 *	  fault_proxy LISTEN_PORT UPSTREAM_PORT CONTROL_FILE [LOG_FILE]
 *
 * Listens on 127.0.0.1, forwards to the same address, over HTTP/1.1 and kept-alive connections. Requests and answers pass through as
 * they are (the Host header is signed), but for what a rule changes. The log has a line for each request when its answer has ended: method, target, Range
 * header, status, bytes of body sent to the client, fault; separated by tabs, '-' for none.
 *
 * One thread, one epoll: a request without a rule costs two reads, two writes and a look at the control file.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proxy.h"

int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
fail(const char *what)
{
	perror(what);
	exit(1);
}

/* --- events --- */

static void
end_of_stream(struct proxy *proxy, struct side *side)
{
	struct connection *connection = side->connection;

	if (side == &connection->client || connection->client.pending_length == 0)
	{
		if (side == &connection->server && connection->answer.state == IN_BODY)
			write_log(proxy, connection);
		close_connection(proxy, connection);
		return;
	}
	connection->server_closed = true;
	close_side(side);
}

static void
read_side(struct proxy *proxy, struct side *side)
{
	ssize_t length = recv(side->fd, proxy->scratch, SCRATCH_SIZE, MSG_DONTWAIT);

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0)
		end_of_stream(proxy, side);
	else if (side == &side->connection->client)
		take_request_bytes(proxy, side->connection, proxy->scratch, (size_t) length);
	else
		take_answer_bytes(proxy, side->connection, proxy->scratch, (size_t) length);
}

static void
handle_side(struct proxy *proxy, struct side *side, uint32_t events)
{
	struct connection *connection = side->connection;

	if (connection->closed)
		return;
	if (events & EPOLLOUT && side->pending_length > 0 && connection->due == 0)
		flush_pending(proxy, side);
	if (!connection->closed && events & EPOLLIN)
		read_side(proxy, side);
	else if (!connection->closed && events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
	{
		if (connection->dead || side == &connection->client)
			close_connection(proxy, connection);
		else
			read_side(proxy, side);
	}
	update_watches(proxy, connection);
}

static void
accept_client(struct proxy *proxy)
{
	int fd = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *connection;
	int on = 1;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		fail("calloc");
	connection->client.connection = connection;
	connection->server.connection = connection;
	connection->client.fd = fd;
	connection->server.fd = -1;
	update_watches(proxy, connection);
}

/* Sends on the requests that have waited long enough. */
static void
release_due(struct proxy *proxy)
{
	int64_t now = proxy->due ? now_ms() : 0;

	while (proxy->due && proxy->due->due <= now)
	{
		struct connection *connection = proxy->due;

		proxy->due = connection->next_due;
		connection->due = 0;
		if (connection->server.pending_length > 0)
			flush_pending(proxy, &connection->server);
		update_watches(proxy, connection);
	}
}

static int
time_to_due(const struct proxy *proxy)
{
	int64_t left;

	if (proxy->due == NULL)
		return -1;
	left = proxy->due->due - now_ms();
	return left > 0 ? (int) left : 0;
}

static void
free_closed(struct proxy *proxy)
{
	while (proxy->closed)
	{
		struct connection *connection = proxy->closed;

		proxy->closed = connection->next_closed;
		free(connection);
	}
}

static void
serve(struct proxy *proxy)
{
	struct epoll_event events[256];

	for (;;)
	{
		int count = epoll_wait(proxy->epoll, events, 256, time_to_due(proxy));
		int i;

		for (i = 0; i < count; i++)
			if (events[i].data.ptr)
				handle_side(proxy, events[i].data.ptr, events[i].events);
			else
				accept_client(proxy);
		release_due(proxy);
		free_closed(proxy);
	}
}

/* --- starting --- */

static int
listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 1024) < 0)
		fail("listen");
	return fd;
}

static void
allow_many_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
main(int argc, char **argv)
{
	static struct proxy proxy;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	if (argc < 4)
	{
		fprintf(stderr, "usage: fault_proxy LISTEN_PORT UPSTREAM_PORT CONTROL_FILE [LOG_FILE]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	allow_many_descriptors();
	proxy.upstream_port = atoi(argv[2]);
	proxy.rules.file = argv[3];
	if (argc > 4 && (proxy.log = fopen(argv[4], "a")) == NULL)
		fail(argv[4]);
	proxy.listener = listen_on(atoi(argv[1]));
	proxy.epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(proxy.epoll, EPOLL_CTL_ADD, proxy.listener, &event);
	serve(&proxy);
	return 0;
}
