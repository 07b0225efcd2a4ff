/*
 * handle.c
 *	  Ties what the lower half has opened to a memory context.
 */
#include "postgres.h"

#include "handle.h"

struct pg_handle
{
	MemoryContextCallback callback;
	void (*close)(void *handle);
	void *handle;
};

static void
close_once(void *arg)
{
	struct pg_handle *tied = arg;
	void *handle = tied->handle;

	tied->handle = NULL;
	if (handle)
		tied->close(handle);
}

struct pg_handle *
handle_tie(MemoryContext context, void (*close)(void *handle), void *handle)
{
	struct pg_handle *tied = MemoryContextAllocExtended(context, sizeof(*tied), MCXT_ALLOC_NO_OOM);

	if (tied == NULL)
	{
		close(handle);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	tied->close = close;
	tied->handle = handle;
	tied->callback.func = close_once;
	tied->callback.arg = tied;
	MemoryContextRegisterResetCallback(context, &tied->callback);
	return tied;
}

void
handle_close(struct pg_handle *tied)
{
	if (tied)
		close_once(tied);
}
