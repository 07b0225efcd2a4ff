/*
 * store_pair.c
 *	  Waits for two stores at once: their descriptors are in an epoll set, which is itself pollable.
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "handle.h"
#include "report.h"
#include "store_pair.h"
#include "wait.h"

struct store_pair
{
	struct store *left;
	struct store *right;
	int epoll; /* -1: only one of them ever waits */
};

static void
close_epoll(void *handle)
{
	close(((struct store_pair *) handle)->epoll);
}

static bool
watch(int epoll, struct store *store)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, store_wait_descriptor(store), &event) == 0;
}

static void
open_epoll(struct store_pair *pair, MemoryContext context)
{
	pair->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (pair->epoll >= 0)
		handle_tie(context, close_epoll, pair);
	if (pair->epoll < 0 || !watch(pair->epoll, pair->left) || !watch(pair->epoll, pair->right))
		ereport(ERROR, (errcode_for_file_access(), errmsg("cannot create a descriptor to wait for: %m")));
}

struct store_pair *
store_pair_open(struct store *left, struct store *right, MemoryContext context)
{
	struct store_pair *pair = MemoryContextAlloc(context, sizeof(*pair));

	pair->left = left;
	pair->right = right;
	pair->epoll = -1;
	if (left != right && store_is_remote(left) && store_is_remote(right))
		open_epoll(pair, context);
	return pair;
}

static void
drive(struct store *store, int timeout_ms)
{
	struct dicom_error error;

	if (store_wait(store, timeout_ms, &error) != DICOM_OK)
		report_error(&error);
}

/* Milliseconds, of which -1 has no end. */
static int
sooner(int left, int right)
{
	if (left < 0 || right < 0)
		return Max(left, right);
	return Min(left, right);
}

static void
wait_for_both(struct store_pair *pair)
{
	int timeout_ms = sooner(store_wait_timeout(pair->left), store_wait_timeout(pair->right));
	struct dicom_error error;

	if (!backend_host.wait(backend_host.arg, pair->epoll, timeout_ms))
	{
		dicom_fail(&error, DICOM_ERROR_INTERRUPTED, "interrupted while waiting for a store");
		report_error(&error);
	}
	drive(pair->left, 0);
	drive(pair->right, 0);
}

void
store_pair_wait(struct store_pair *pair)
{
	if (pair->epoll >= 0)
		wait_for_both(pair);
	else
		drive(store_is_remote(pair->left) ? pair->left : pair->right, -1);
}
