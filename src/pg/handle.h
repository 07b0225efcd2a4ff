/*
 * handle.h
 *	  Ties what the lower half has opened to a memory context: it is closed when the context is reset or deleted, be it
 *	  by the end of a query, an error, a cancel or a LIMIT.
 */
#ifndef PG_HANDLE_H
#define PG_HANDLE_H

#include "postgres.h"

struct pg_handle;

/* Calls close(handle) once, when `context` goes or handle_close() is called. The caller opened `handle` already. */
extern struct pg_handle *handle_tie(MemoryContext context, void (*close)(void *handle), void *handle);

/* Closes now. NULL and a closed one are ignored. */
extern void handle_close(struct pg_handle *tied);

#endif
