/*
 * connection.c
 *	  Sockets of the proxy: a client's, and the one to the server that belongs to it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy.h"

#define MAX_PENDING (1024 * 1024) /* bytes waiting for a slow reader before its sender has to wait */

static void
watch(struct proxy *proxy, struct side *side, bool readable)
{
	uint32_t wanted = EPOLLRDHUP;
	struct epoll_event event = {.data.ptr = side};

	if (side->fd < 0)
		return;
	if (readable)
		wanted |= EPOLLIN;
	if (side->pending_length > 0 && side->connection->due == 0)
		wanted |= EPOLLOUT;
	if (wanted == side->watched)
		return;
	event.events = wanted;
	epoll_ctl(proxy->epoll, side->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, side->fd, &event);
	side->watched = wanted;
}

void
update_watches(struct proxy *proxy, struct connection *connection)
{
	bool idle = connection->dead || connection->server_closed || connection->due > 0;

	if (connection->closed)
		return;
	watch(proxy, &connection->client, !idle && connection->server.pending_length < MAX_PENDING);
	watch(proxy, &connection->server, !connection->dead && connection->client.pending_length < MAX_PENDING);
}

void
close_side(struct side *side)
{
	if (side->fd >= 0)
		close(side->fd);
	side->fd = -1;
	side->watched = 0;
	free(side->pending);
	side->pending = NULL;
	side->pending_length = 0;
	side->pending_size = 0;
}

static void
forget_due(struct proxy *proxy, struct connection *connection)
{
	struct connection **place = &proxy->due;

	while (*place && *place != connection)
		place = &(*place)->next_due;
	if (*place)
		*place = connection->next_due;
	connection->due = 0;
}

void
close_connection(struct proxy *proxy, struct connection *connection)
{
	if (connection->closed)
		return;
	forget_due(proxy, connection);
	close_side(&connection->client);
	close_side(&connection->server);
	connection->closed = true;
	connection->next_closed = proxy->closed;
	proxy->closed = connection;
}

void
reset_connection(struct proxy *proxy, struct connection *connection)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(connection->client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close_connection(proxy, connection);
}

void
keep_pending(struct side *side, const char *bytes, size_t length)
{
	if (side->pending_length + length > side->pending_size)
	{
		side->pending_size = (side->pending_length + length) * 2;
		side->pending = realloc(side->pending, side->pending_size);
		if (side->pending == NULL)
			fail("realloc");
	}
	memcpy(side->pending + side->pending_length, bytes, length);
	side->pending_length += length;
}

void
send_bytes(struct side *side, const char *bytes, size_t length)
{
	ssize_t sent = 0;

	if (length == 0)
		return;
	if (side->pending_length == 0 && side->fd >= 0)
		sent = send(side->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		sent = 0; /* a broken connection shows when it is read */
	if ((size_t) sent < length)
		keep_pending(side, bytes + sent, length - (size_t) sent);
}

void
flush_pending(struct proxy *proxy, struct side *side)
{
	ssize_t sent = send(side->fd, side->pending, side->pending_length, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && errno != EAGAIN && errno != EINTR)
	{
		close_connection(proxy, side->connection);
		return;
	}
	if (sent > 0)
	{
		side->pending_length -= (size_t) sent;
		memmove(side->pending, side->pending + sent, side->pending_length);
	}
	if (side->pending_length == 0 && side->connection->server_closed)
		close_connection(proxy, side->connection);
}

bool
connect_upstream(struct proxy *proxy, struct connection *connection)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) proxy->upstream_port)};
	int on = 1;
	int fd;

	if (connection->server.fd >= 0)
		return true;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
	{
		if (fd >= 0)
			close(fd);
		return false;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	connection->server.fd = fd;
	return true;
}
