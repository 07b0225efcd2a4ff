/*
 * fake_child.h
 *	  A child that is no process: what it says is written by the test.
 */
#ifndef FAKE_CHILD_H
#define FAKE_CHILD_H

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "compress/child_internal.h"

/* The parent's side; *other is the end that the child would have. */
static struct child *
fake_child(struct message_channel *other)
{
	struct child *child = calloc(1, sizeof(*child));
	struct epoll_event event = {.events = EPOLLIN};
	int sockets[2];

	if (child == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		abort();
	child->timeout_ms = 10000;
	child->channel.socket = sockets[0];
	child->descriptor = epoll_create1(EPOLL_CLOEXEC);
	if (child->descriptor < 0 || epoll_ctl(child->descriptor, EPOLL_CTL_ADD, sockets[0], &event) < 0)
		abort();
	child_resume(child);
	*other = (struct message_channel){.socket = sockets[1], .accepts_descriptors = true};
	return child;
}

#endif
