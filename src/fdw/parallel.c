/*
 * parallel.c
 *	  A scan that the leader and its workers share.
 *
 * What they share stands in a segment of shared memory of the scan's own, since the one of the parallel query goes before
 * the leader can have looked at what the last worker has counted.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "mb/pg_wchar.h"
#include "storage/dsm.h"
#include "storage/shm_toc.h"
#include "utils/timestamp.h"

#include "execution.h"

#define MAX_NAME 1024 /* of what went wrong first, for a WARNING */

/* What one worker, and those that came before in its place, have counted. The leader reads it when the worker has ended. */
struct worker_totals
{
	struct scan_counters counters; /* whose texts stand in: */
	char first_bad_file[MAX_NAME];
	char first_bad_value[MAX_NAME];
	struct store_statistics statistics;
};

struct parallel_state
{
	pg_atomic_uint64 bad_files;
	pg_atomic_uint64 next_block;
	TimestampTz now; /* when the leader began it */
	uint64 listed;   /* objects that the leader has merged already */
	int worker_count;
	struct worker_totals workers[FLEXIBLE_ARRAY_MEMBER];
};

/* A participant's way to it. */
struct parallel
{
	dsm_segment *segment;
	struct parallel_state *state;
	struct scan_share share;
};

static Size
state_size(int workers)
{
	return MAXALIGN(offsetof(struct parallel_state, workers) + workers * sizeof(struct worker_totals));
}

static struct parallel *
open_segment(dsm_segment *segment, int workers)
{
	struct parallel *parallel = palloc0(sizeof(*parallel));
	char *address = dsm_segment_address(segment);

	parallel->segment = segment;
	parallel->state = (struct parallel_state *) address;
	if (workers < 0)
		workers = parallel->state->worker_count;
	parallel->share.listing = (struct shared_listing *) (address + state_size(workers));
	parallel->share.bad_files = &parallel->state->bad_files;
	parallel->share.next_block = &parallel->state->next_block;
	parallel->share.now = parallel->state->now;
	return parallel;
}

static struct parallel *
create_segment(int workers)
{
	struct parallel *parallel =
		open_segment(dsm_create(state_size(workers) + shared_listing_size(), 0), workers);

	memset(parallel->state, 0, state_size(workers));
	pg_atomic_init_u64(&parallel->state->bad_files, 0);
	pg_atomic_init_u64(&parallel->state->next_block, 0);
	parallel->share.now = parallel->state->now = GetCurrentTimestamp();
	parallel->state->worker_count = workers;
	shared_listing_initialize(parallel->share.listing);
	return parallel;
}

static void
detach(struct execution *execution)
{
	dsm_detach(execution->parallel->segment);
	pfree(execution->parallel);
	execution->parallel = NULL;
}

const struct scan_share *
parallel_share(struct execution *execution)
{
	return execution->parallel ? &execution->parallel->share : NULL;
}

/* --- what workers have counted --- */

static void
keep_name(char name[MAX_NAME], const char *text)
{
	if (text && name[0] == '\0')
		strlcpy(name, text, pg_mbcliplen(text, strlen(text), MAX_NAME - 1) + 1);
}

/* Leaves what this worker has counted to the leader, once. */
static void
publish(struct execution *execution)
{
	struct worker_totals *totals = &execution->parallel->state->workers[ParallelWorkerNumber];
	const struct store_statistics *statistics = scan_get_statistics(execution->scan);
	const struct scan_counters *counters = scan_get_counters(execution->scan);

	if (execution->published)
		return;
	execution->published = true;
	keep_name(totals->first_bad_file, counters->first_bad_file);
	keep_name(totals->first_bad_value, counters->first_bad_value);
	scan_counters_add(&totals->counters, counters);
	if (statistics)
		store_statistics_add(&totals->statistics, statistics);
}

static void
collect_worker(struct execution *execution, struct worker_totals *totals)
{
	struct scan_counters counters = totals->counters;

	counters.first_bad_file = totals->first_bad_file[0] ? totals->first_bad_file : NULL;
	counters.first_bad_value = totals->first_bad_value[0] ? totals->first_bad_value : NULL;
	scan_merge(execution->scan, &counters, &totals->statistics);
	memset(totals, 0, sizeof(*totals));
}

void
parallel_collect(struct execution *execution)
{
	struct parallel *parallel = execution->parallel;
	struct scan_counters nothing = {0};
	struct store_statistics listed = {0};
	int i;

	if (parallel == NULL || IsParallelWorker())
		return;
	for (i = 0; i < parallel->state->worker_count; i++)
		collect_worker(execution, &parallel->state->workers[i]);
	listed.objects_listed = shared_listing_count(parallel->share.listing) - parallel->state->listed;
	parallel->state->listed += listed.objects_listed;
	scan_merge(execution->scan, &nothing, &listed);
}

bool
parallel_end(struct execution *execution)
{
	bool is_worker = execution->parallel && IsParallelWorker();

	if (execution->parallel == NULL)
		return true;
	if (is_worker)
		publish(execution);
	else
	{
		shared_listing_stop(execution->parallel->share.listing);
		parallel_collect(execution);
	}
	scan_stop(execution->scan);
	detach(execution);
	return !is_worker;
}

/* --- callbacks --- */

/* The parallel query's own memory holds no more than the name of the segment. */
Size
parallel_estimate(ForeignScanState *node, ParallelContext *context)
{
	return sizeof(dsm_handle);
}

/* Also called again, after all workers have gone for good, when a rescan begins anew. */
void
parallel_initialize(ForeignScanState *node, ParallelContext *context, void *coordinate)
{
	struct execution *execution = node->fdw_state;
	MemoryContext old;
	uint64 bad_files = 0;

	if (execution->parallel)
	{
		bad_files = pg_atomic_read_u64(&execution->parallel->state->bad_files);
		parallel_collect(execution);
		scan_stop(execution->scan);
		detach(execution);
	}
	execution->started = false;
	if (context->seg == NULL)
		return; /* there is no shared memory left, and will be no worker */
	old = MemoryContextSwitchTo(execution->context);
	execution->parallel = create_segment(context->nworkers);
	MemoryContextSwitchTo(old);
	pg_atomic_write_u64(&execution->parallel->state->bad_files, bad_files);
	*(dsm_handle *) coordinate = dsm_segment_handle(execution->parallel->segment);
}

void
parallel_reinitialize(ForeignScanState *node, ParallelContext *context, void *coordinate)
{
	struct execution *execution = node->fdw_state;

	execution->started = false;
	if (execution->parallel == NULL)
		return;
	shared_listing_restart(execution->parallel->share.listing);
	pg_atomic_write_u64(&execution->parallel->state->next_block, 0);
	execution->parallel->share.now = execution->parallel->state->now = GetCurrentTimestamp();
}

void
parallel_initialize_worker(ForeignScanState *node, shm_toc *toc, void *coordinate)
{
	struct execution *execution = node->fdw_state;
	dsm_segment *segment = dsm_attach(*(dsm_handle *) coordinate);
	MemoryContext old;

	if (segment == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("could not map the shared memory of a parallel scan")));
	old = MemoryContextSwitchTo(execution->context);
	execution->parallel = open_segment(segment, -1);
	MemoryContextSwitchTo(old);
}

/* No more rows are wanted. Workers need not read on for rows that nobody takes. */
void
parallel_shutdown(ForeignScanState *node)
{
	struct execution *execution = node->fdw_state;

	if (execution == NULL || execution->parallel == NULL)
		return;
	if (IsParallelWorker())
		publish(execution);
	else
		shared_listing_stop(execution->parallel->share.listing);
}
