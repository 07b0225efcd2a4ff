/*
 * wait.c
 *	  How a store waits inside a backend.
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"

#include "wait.h"

static bool
stop_requested(void)
{
	return QueryCancelPending || ProcDiePending;
}

static bool
backend_wait(void *arg, int fd, int timeout_ms)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	if (stop_requested())
		return false;
	if (fd >= 0)
		events |= WL_SOCKET_READABLE;
	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	if (WaitLatchOrSocket(MyLatch, events, fd >= 0 ? fd : PGINVALID_SOCKET, timeout_ms, PG_WAIT_EXTENSION) &
		WL_LATCH_SET)
		ResetLatch(MyLatch);
	if (stop_requested())
		return false;
	/* The store is between two requests here, and its memory context closes it: an error may pass through. */
	CHECK_FOR_INTERRUPTS();
	return true;
}

const struct store_host backend_host = {backend_wait, NULL};
