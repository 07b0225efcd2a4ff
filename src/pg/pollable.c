/*
 * pollable.c
 *	  A descriptor and a timeout as one descriptor: both in an epoll set, which is itself pollable.
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "handle.h"
#include "pollable.h"

struct pollable
{
	int epoll;
	int timer;
};

static void
close_pollable(void *handle)
{
	struct pollable *pollable = handle;

	if (pollable->timer >= 0)
		close(pollable->timer);
	if (pollable->epoll >= 0)
		close(pollable->epoll);
}

static bool
watch(struct pollable *pollable, int descriptor)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(pollable->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

struct pollable *
pollable_open(int descriptor, MemoryContext context)
{
	struct pollable *pollable = MemoryContextAlloc(context, sizeof(*pollable));

	pollable->epoll = epoll_create1(EPOLL_CLOEXEC);
	pollable->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	handle_tie(context, close_pollable, pollable);
	if (pollable->epoll < 0 || pollable->timer < 0 || !watch(pollable, descriptor) ||
		!watch(pollable, pollable->timer))
		ereport(ERROR, (errcode_for_file_access(), errmsg("cannot create a descriptor to wait for: %m")));
	return pollable;
}

int
pollable_arm(struct pollable *pollable, int timeout_ms)
{
	/* A timer of zero would be none. Setting it takes back an expiry that nobody has looked at. */
	struct itimerspec timer = {.it_value = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L + 1}};

	if (timerfd_settime(pollable->timer, 0, &timer, NULL) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("cannot set a timer: %m")));
	return pollable->epoll;
}
