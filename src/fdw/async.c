/*
 * async.c
 *	  A scan that its Append waits for together with others.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "executor/execAsync.h"
#include "executor/executor.h"

#include "../pg/pollable.h"
#include "execution.h"

/* Not every Append looks for a cancel while it waits; so it is woken that often. */
#define LONGEST_WAIT_MS 200

/* The next row for the Append, its end, or the word that there is none yet. */
static void
answer(AsyncRequest *request)
{
	ForeignScanState *node = castNode(ForeignScanState, request->requestee);
	struct execution *execution = node->fdw_state;
	TupleTableSlot *slot;

	execution->asynchronous = true;
	execution->pending = false;
	/* Filter and projection come with it; instrumentation is the caller's. */
	slot = node->ss.ps.ExecProcNodeReal(&node->ss.ps);
	execution->asynchronous = false;
	if (TupIsNull(slot) && execution->pending)
		ExecAsyncRequestPending(request);
	else
		ExecAsyncRequestDone(request, TupIsNull(slot) ? NULL : slot);
}

void
async_request(AsyncRequest *request)
{
	answer(request);
}

void
async_configure_wait(AsyncRequest *request)
{
	ForeignScanState *node = castNode(ForeignScanState, request->requestee);
	AppendState *append = castNode(AppendState, request->requestor);
	struct execution *execution = node->fdw_state;
	struct store *store = scan_get_store(execution->scan);
	int timeout_ms = store_wait_timeout(store);

	if (execution->pollable == NULL)
		execution->pollable = pollable_open(store_wait_descriptor(store), execution->context);
	if (timeout_ms < 0 || timeout_ms > LONGEST_WAIT_MS)
		timeout_ms = LONGEST_WAIT_MS;
	AddWaitEventToSet(append->as_eventset, WL_SOCKET_READABLE, pollable_arm(execution->pollable, timeout_ms),
					  NULL, request);
}

void
async_notify(AsyncRequest *request)
{
	answer(request);
}
