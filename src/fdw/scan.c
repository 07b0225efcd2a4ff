/*
 * scan.c
 *	  Rows of an entity from the objects of a server: beginning and ending, and which objects are looked at.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "../pg/handle.h"
#include "../pg/report.h"
#include "../server/options.h"
#include "../server/server.h"
#include "distinct.h"
#include "row.h"
#include "scan_internal.h"
#include "selection.h"

static void
close_run(struct scan *scan)
{
	reader_close(scan->reader);
	scan->reader = NULL;
	listing_close(scan->listing);
	scan->listing = NULL;
	participant_close(scan->participant);
	scan->participant = NULL;
	scan->item = NULL;
}

static void
release_run(void *arg)
{
	close_run(arg);
}

static void
release_scan(void *arg)
{
	struct scan *scan = arg;

	column_scratch_release(&scan->scratch);
}

static void
read_options(struct scan *scan)
{
	List *options = scan->request.options;
	int on_error = option_word(options, "on_error", option_on_error_words, 0);

	scan->raise_errors = on_error == 1;
	scan->be_silent = on_error == 2;
	scan->raise_bad_values = option_word(options, "on_bad_value", option_on_bad_value_words, 0) == 1;
	scan->reject_limit = option_integer(options, "reject_limit", 0);
}

struct scan *
scan_open(const struct scan_request *request, MemoryContext parent)
{
	MemoryContext store_context = AllocSetContextCreate(parent, "dicom_fdw store", ALLOCSET_SMALL_SIZES);
	MemoryContext context = AllocSetContextCreate(store_context, "dicom_fdw scan", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	struct scan *scan = palloc0(sizeof(*scan));
	int i;

	scan->request = *request;
	scan->store_context = store_context;
	scan->context = context;
	scan->run_context = AllocSetContextCreate(context, "dicom_fdw keys", ALLOCSET_DEFAULT_SIZES);
	scan->filter_context = AllocSetContextCreate(context, "dicom_fdw filter", ALLOCSET_SMALL_SIZES);
	scan->row_context = AllocSetContextCreate(context, "dicom_fdw row", ALLOCSET_DEFAULT_SIZES);
	scan->of_listing = selection_is_of_listing(request->entity, request->columns, request->column_count);
	scan->of_values = selection_is_of_values(request->entity, request->columns, request->column_count);
	scan->catalog_columns = palloc(request->column_count * sizeof(int));
	for (i = 0; i < request->column_count; i++)
		scan->catalog_columns[i] = selection_catalog_column(&request->columns[i]);
	read_options(scan);
	selection_build(&scan->selection, request->entity, request->columns, request->column_count,
					option_bytes(request->server->options, "header_limit", 0));
	scan->filter_values = palloc0(request->descriptor->natts * sizeof(Datum));
	scan->filter_nulls = palloc(request->descriptor->natts * sizeof(bool));
	memset(scan->filter_nulls, true, request->descriptor->natts * sizeof(bool));
	handle_tie(context, release_scan, scan);
	MemoryContextSwitchTo(old);
	return scan;
}

static bool
object_is_kept(struct scan *scan, const struct store_object *object)
{
	int i;

	for (i = 0; i < scan->request.column_count; i++)
	{
		const struct column *column = &scan->request.columns[i];
		int place = column->attnum - 1;

		if (column_is_of_listing(column->kind))
			scan->filter_values[place] =
				row_listing_datum(column, object, &scan->scratch.replaced, &scan->filter_nulls[place]);
	}
	return scan->request.keep(scan->request.keep_arg, scan->filter_values, scan->filter_nulls);
}

/* One step of what follows; false ends it. */
typedef bool (*guarded_step)(struct scan *scan, struct store_object *object);

/*
 * Filter and catalog are PostgreSQL's code and may throw; the reader that called is not, and must not be jumped over. The
 * error is thrown on when the reader has returned.
 */
static bool
run_guarded(struct scan *scan, guarded_step step, struct store_object *object, struct dicom_error *error)
{
	MemoryContext old = MemoryContextSwitchTo(scan->filter_context);
	bool result = false;

	PG_TRY();
	{
		result = step(scan, object);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(scan->context);
		scan->filter_error = CopyErrorData();
		FlushErrorState();
		dicom_fail(error, DICOM_ERROR_INTERRUPTED, "looking at an object failed");
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return result;
}

static bool
step_known_next(struct scan *scan, struct store_object *object)
{
	if ((scan->share.listing && shared_listing_is_stopped(scan->share.listing)) || !known_next(scan->known))
		return false;
	known_object(scan->known, object);
	return true;
}

bool
scan_examine(struct scan *scan, struct store_object *object)
{
	MemoryContextReset(scan->filter_context);
	if (scan->known && !known_is_fresh(scan->known))
		known_find(scan->known, object);
	if (scan->known && known_is_excluded(scan->known))
		return false;
	/* Of a key that was not listed nothing but the key is known: the filter on the rows decides. */
	return scan->request.keep == NULL || object->size == STORE_SIZE_UNKNOWN || object_is_kept(scan, object);
}

static bool
step_fill(struct scan *scan, struct store_object *object)
{
	return known_fill(scan->known, scan->filling);
}

static enum dicom_status
next_candidate(struct scan *scan, struct store_object *object, struct dicom_error *error)
{
	if (scan->participant)
		return participant_next(scan->participant, object, error);
	if (scan->known == NULL || !known_is_fresh(scan->known))
		return listing_next(scan->listing, object, error);
	if (run_guarded(scan, step_known_next, object, error))
		return DICOM_OK;
	return scan->filter_error ? DICOM_FAILED : DICOM_END;
}

/* A reader_source's next(). */
static enum dicom_status
next_object(void *arg, struct store_object *object, struct dicom_error *error)
{
	struct scan *scan = arg;
	enum dicom_status status;

	while ((status = next_candidate(scan, object, error)) == DICOM_OK)
	{
		if (run_guarded(scan, scan_examine, object, error))
			return DICOM_OK;
		if (scan->filter_error)
			return DICOM_FAILED;
		scan->counters.pruned++;
		if (InterruptPending && (QueryCancelPending || ProcDiePending))
			return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted");
	}
	return status;
}

/* A reader_source's next() where the catalog has all values: what it cannot answer for comes one by one. */
static enum dicom_status
next_odd_object(void *arg, struct store_object *object, struct dicom_error *error)
{
	struct scan *scan = arg;

	if (scan->odd_object == NULL)
		return DICOM_PENDING;
	*object = *scan->odd_object;
	scan->odd_object = NULL;
	return DICOM_OK;
}

/* A reader_source's fill(). */
static enum dicom_status
fill_object(void *arg, struct dicom_window *window, struct dicom_error *error)
{
	struct scan *scan = arg;

	scan->filling = window;
	if (run_guarded(scan, step_fill, NULL, error))
		return DICOM_OK;
	return scan->filter_error ? DICOM_FAILED : DICOM_END;
}

/* The catalog is asked once whether it knows the server; what it knows is found anew at each start. */
static void
start_known(struct scan *scan, const struct key_plan *plan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);

	if (!scan->known_asked)
		scan->known = known_open(scan->request.server, scan->request.freshness_ms);
	scan->known_asked = true;
	if (scan->known)
		known_start(scan->known, plan, scan->share.listing ? scan->share.now : GetCurrentTimestamp(),
					scan->share.next_block);
	MemoryContextSwitchTo(old);
}

void
scan_start(struct scan *scan, const struct key_plan *plan, const struct scan_share *share)
{
	struct reader_options options = {0};
	struct dicom_error error;
	MemoryContext old;

	close_run(scan);
	MemoryContextReset(scan->run_context);
	old = MemoryContextSwitchTo(scan->run_context);
	handle_tie(scan->run_context, release_run, scan);
	if (scan->store == NULL)
		scan->store = server_open_store(scan->request.server, scan->request.user, scan->store_context);
	if (scan->distinct)
		distinct_destroy(scan->distinct);
	scan->distinct = entity_is_distinct(scan->request.entity)
						 ? distinct_create(scan->request.descriptor, scan->context)
						 : NULL;
	scan->draining = false;
	memset(&scan->share, 0, sizeof(scan->share));
	if (share)
		scan->share = *share;
	scan->was_shared |= share != NULL;
	start_known(scan, plan);
	if (share && !scan_is_fresh(scan))
		scan->participant = participant_open(share->listing, scan->store, plan);
	else if (!scan_is_fresh(scan))
		scan->listing = listing_open(scan->store, plan, !scan->of_listing);
	scan->source.next = scan->of_values && scan_is_fresh(scan) ? next_odd_object : next_object;
	scan->source.fill = scan->known ? fill_object : NULL;
	scan->source.arg = scan;
	options.selection = scan->of_listing ? NULL : &scan->selection;
	if (reader_open(scan->store, &scan->source, &options, &scan->reader, &error) != DICOM_OK)
		report_error(&error);
	MemoryContextSwitchTo(old);
}

bool
scan_is_fresh(const struct scan *scan)
{
	return scan->known && known_is_fresh(scan->known);
}

struct store *
scan_get_store(struct scan *scan)
{
	return scan->store;
}

void
scan_stop(struct scan *scan)
{
	close_run(scan);
	memset(&scan->share, 0, sizeof(scan->share));
}

void
scan_close(struct scan *scan)
{
	if (scan->distinct)
		distinct_destroy(scan->distinct);
	/* Not by the memory context: after an error the resource owner has closed relations and index scans already. */
	known_close(scan->known);
	MemoryContextDelete(scan->store_context);
}
