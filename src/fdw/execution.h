/*
 * execution.h
 *	  The state of a scan of a foreign table, and what its phases have of each other.
 */
#ifndef FDW_EXECUTION_H
#define FDW_EXECUTION_H

#include "postgres.h"

#include "nodes/execnodes.h"

#include "fdw.h"
#include "scan.h"

struct parallel;
struct pollable;

struct execution
{
	struct table table;
	struct scan_request request;
	struct scan *scan;
	MemoryContext context;      /* of the query */
	MemoryContext plan_context; /* of the keys of one start */
	struct prune_column *prune_columns;
	int prune_count; /* clauses */
	struct prune_value *prune_values;
	List *prune_states; /* of ExprState, one per clause */
	ExprState *listing_filter;
	TupleTableSlot *listing_slot;
	ExprContext *expression_context;
	struct key_plan *keys;
	bool started;
	struct parallel *parallel; /* NULL: the scan is alone */
	bool published;            /* a worker: its counters are the leader's */
	bool asynchronous;         /* a row is fetched without waiting, */
	bool pending;              /* and there is none yet */
	struct pollable *pollable; /* what is waited for then; NULL: nothing so far */
};

/* --- parallel.c --- */

/* What a start of the scan shares with others; NULL where it is alone. */
extern const struct scan_share *parallel_share(struct execution *execution);

/* Takes into the leader's counters what the workers have counted so far. */
extern void parallel_collect(struct execution *execution);

/* Ends the part in a parallel scan; false in a worker, of whom the leader tells. */
extern bool parallel_end(struct execution *execution);

#endif
