/*
 * run.c
 *	  One sync: lists, compares, reads, writes, removes.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "executor/tuptable.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "foreign/foreign.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "../pg/report.h"
#include "../server/options.h"
#include "../server/server.h"
#include "header.h"
#include "merge.h"
#include "tables.h"

#define READ_MEMORY     (24 * 1024 * 1024) /* for headers in flight */
#define REMOVED_AT_ONCE 1000

/*
 * Objects come in key order. So that those behind a slow one do not keep requests from being made, there are more objects on
 * their way than requests in flight, of which the server's max_requests is the limit.
 */
#define REMOTE_WINDOW 256
#define TELL_EVERY_MS 1000

/* So many objects one after another that cannot be had: it is not their fault. */
#define FAILURES_IN_A_ROW 64

struct sync
{
	struct sync_shared *shared;
	ForeignServer *server;
	LOCKTAG lock;
	MemoryContext context;
	MemoryContext page_context; /* of the page of rows that is compared */
	struct catalog *catalog;
	struct store *store;
	struct store_list *list;
	struct merge *merge;
	struct reader *reader;
	struct reader_source source;
	struct reader_options options;
	struct dicom_selection selection;
	struct dicom_values scratch;
	struct dicom_buffer header;
	Tuplestorestate *vanished; /* keys */
	TupleTableSlot *vanished_slot;
	uint64 vanished_count;
	int failures_in_a_row;
	TimestampTz told_at;
};

/* --- before and after --- */

char *
sync_place(ForeignServer *server)
{
	const char *endpoint = option_find(server->options, "endpoint");

	return endpoint ? psprintf("%s at %s", server_location(server), endpoint)
					: pstrdup(server_location(server));
}

static ForeignServer *
find_server(const struct sync_shared *shared)
{
	ForeignServer *server = GetForeignServerExtended(shared->server, FSV_MISSING_OK);

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the server is not there for other sessions"),
				 errhint("Commit the transaction that created it before it is synced.")));
	if (server_aclcheck(server->serverid, shared->user, ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, server->servername);
	return server;
}

/* One sync of a server at a time. The lock outlives transactions, but not one that is aborted. */
static void
lock_server(struct sync *sync)
{
	SET_LOCKTAG_OBJECT(sync->lock, MyDatabaseId, ForeignServerRelationId, sync->shared->server, 1);
	if (LockAcquire(&sync->lock, ExclusiveLock, true, !sync->shared->wait) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("server \"%s\" is being synced already", sync->server->servername),
						errhint("dicom.sync_progress shows how far it is; wait => true waits for its end.")));
}

static void
open_vanished(struct sync *sync)
{
	TupleDesc descriptor = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(descriptor, 1, "key", TEXTOID, -1, 0);
	sync->vanished = tuplestore_begin_heap(false, true, work_mem);
	sync->vanished_slot = MakeSingleTupleTableSlot(descriptor, &TTSOpsMinimalTuple);
}

static void
open_store(struct sync *sync)
{
	struct store_list_request request = {.prefix = sync->shared->prefix};
	struct dicom_error error;

	sync->store = server_open_store(sync->server, sync->shared->user, sync->context);
	if (store_list_open(sync->store, &request, &sync->list, &error) != DICOM_OK)
		report_error(&error);
	sync->merge = merge_create(sync->list);
	sync->selection = header_selection;
	sync->selection.header_limit = option_bytes(sync->server->options, "header_limit", 0);
	sync->options.selection = &sync->selection;
	sync->options.memory_limit = READ_MEMORY;
	sync->options.window = store_is_remote(sync->store) ? REMOTE_WINDOW : 0;
	sync->source.next = merge_next;
	sync->source.arg = sync->merge;
	if (reader_open(sync->store, &sync->source, &sync->options, &sync->reader, &error) != DICOM_OK)
		report_error(&error);
}

/* --- telling --- */

static struct sync_counters *
count(struct sync *sync)
{
	struct sync_counters *counters = &sync->shared->counters;
	const struct store_statistics *statistics = store_statistics(sync->store);

	counters->listed = merge_listed(sync->merge);
	counters->refused = merge_refused(sync->merge);
	counters->bytes = statistics->bytes_received;
	counters->requests = statistics->list_requests + statistics->get_requests + statistics->head_requests +
						 statistics->put_requests + statistics->other_requests;
	return counters;
}

static void
tell_activity(struct sync *sync)
{
	const struct sync_counters *counters = &sync->shared->counters;
	char text[256];

	snprintf(text, sizeof(text),
			 "dicom.sync('%s'): " UINT64_FORMAT " listed, " UINT64_FORMAT " read, " UINT64_FORMAT " failed",
			 sync->server->servername, counters->listed, counters->opened, counters->failed);
	pgstat_report_activity(STATE_RUNNING, text);
}

static void
flush(struct sync *sync)
{
	count(sync);
	catalog_flush(sync->catalog, &sync->shared->counters);
	tell_activity(sync);
	sync->told_at = GetCurrentTimestamp();
}

/* What was gathered is also written when it took a while. */
static void
flush_if_due(struct sync *sync)
{
	if (catalog_is_full(sync->catalog) ||
		TimestampDifferenceExceeds(sync->told_at, GetCurrentTimestamp(), TELL_EVERY_MS))
		flush(sync);
}

/* --- rows of the catalog --- */

static void
remember_vanished(struct sync *sync, const char *key)
{
	Datum value = CStringGetTextDatum(key);
	bool isnull = false;

	tuplestore_putvalues(sync->vanished, sync->vanished_slot->tts_tupleDescriptor, &value, &isnull);
	sync->vanished_count++;
}

/* Takes over what the comparison found out about the rows at hand. */
static void
settle_rows(struct sync *sync)
{
	int row_count;
	struct merge_row *rows = merge_get_rows(sync->merge, &row_count);
	MemoryContext old = MemoryContextSwitchTo(sync->page_context);
	bool renewed = false;
	int i;

	for (i = 0; i < row_count; i++)
	{
		renewed |= rows[i].renewed;
		if (rows[i].vanished)
			remember_vanished(sync, rows[i].key);
	}
	if (renewed)
		catalog_renew(sync->catalog, rows, row_count);
	MemoryContextSwitchTo(old);
}

static void
bring_rows(struct sync *sync)
{
	int row_count;
	struct merge_row *rows = merge_get_rows(sync->merge, &row_count);
	char *last_key = row_count > 0 ? MemoryContextStrdup(sync->context, rows[row_count - 1].key) : NULL;
	MemoryContext old;

	settle_rows(sync);
	MemoryContextReset(sync->page_context);
	old = MemoryContextSwitchTo(sync->page_context);
	rows = catalog_read_page(sync->catalog, last_key, &row_count);
	MemoryContextSwitchTo(old);
	merge_set_rows(sync->merge, rows, row_count);
	if (last_key)
		pfree(last_key);
}

/* --- objects --- */

static bytea *
pack_header(struct sync *sync, const struct dicom_dataset *dataset)
{
	bytea *result;

	dicom_buffer_reset(&sync->header);
	if (!header_pack(dataset, &sync->header))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	result = palloc(VARHDRSZ + sync->header.length);
	SET_VARSIZE(result, VARHDRSZ + sync->header.length);
	memcpy(VARDATA(result), sync->header.data, sync->header.length);
	return result;
}

/* What was read of it is worth keeping: of what is no DICOM at all nothing is. */
static bool
has_header(const struct reader_item *item)
{
	return item->dataset && item->dataset->count > 0 &&
		   (item->status == DICOM_OK || item->error.code != DICOM_ERROR_NOT_DICOM);
}

static void
add_object(struct sync *sync, const struct reader_item *item, const struct merge_given *given)
{
	struct sync_counters *counters = &sync->shared->counters;
	MemoryContext old = MemoryContextSwitchTo(catalog_batch_context(sync->catalog));
	bool is_as_listed = strcmp(item->object.etag, given->etag) == 0 && given->last_modified != 0;
	struct object_values values;
	bytea *header = NULL;

	object_values_read(&values, &sync->scratch, has_header(item) ? item->dataset : NULL);
	if (has_header(item))
		header = pack_header(sync, item->dataset);
	catalog_add_object(sync->catalog, item, is_as_listed ? given->last_modified : item->object.last_modified,
					   &values, header);
	MemoryContextSwitchTo(old);
	sync->failures_in_a_row = 0;
	counters->failed += item->status == DICOM_FAILED;
	counters->added += !given->known;
	counters->changed += given->known;
	counters->written++;
}

static void
add_failure(struct sync *sync, const struct reader_item *item)
{
	if (item->error.code == DICOM_ERROR_INVALID_OPTION || dicom_error_is_of_store(item->error.code) ||
		++sync->failures_in_a_row >= FAILURES_IN_A_ROW)
	{
		flush(sync);
		report_error(&item->error);
	}
	catalog_add_failure(sync->catalog, item);
	sync->shared->counters.failed++;
	sync->shared->counters.written++;
}

/* An archived object is what it should be; it may be had another time. */
static bool
is_damaged(const struct reader_item *item)
{
	return item->error.code != DICOM_ERROR_ARCHIVED && dicom_error_is_of_file(item->error.code);
}

static void
add_item(struct sync *sync, const struct reader_item *item)
{
	struct merge_given given = merge_take_given(sync->merge);

	sync->shared->counters.opened++;
	if (item->status == DICOM_OK || is_damaged(item))
		add_object(sync, item, &given);
	else if (item->error.code != DICOM_ERROR_NOT_FOUND)
		add_failure(sync, item);
	else if (given.listed_before)
		remember_vanished(sync, item->object.key);
}

/* --- the whole --- */

/* Reads what is to be read, up to the end of the listing. */
static void
compare(struct sync *sync)
{
	struct dicom_error error;

	for (;;)
	{
		struct reader_item *item;
		enum dicom_status status;

		CHECK_FOR_INTERRUPTS();
		status = reader_next(sync->reader, false, &item, &error);
		if (status == DICOM_END)
			break;
		if (status == DICOM_OK)
			add_item(sync, item);
		else if (status == DICOM_PENDING && merge_wants_rows(sync->merge))
			bring_rows(sync);
		else if (status == DICOM_PENDING)
			status = store_wait(sync->store, TELL_EVERY_MS, &error);
		if (status == DICOM_FAILED)
		{
			flush(sync);
			report_error(&error);
		}
		flush_if_due(sync);
	}
	settle_rows(sync);
	flush(sync);
}

/* An empty listing is more often a mistake than the truth. */
static void
check_emptiness(struct sync *sync)
{
	if (merge_listed(sync->merge) > 0 || sync->vanished_count == 0 || sync->shared->allow_empty)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("nothing is listed, but the catalog has " UINT64_FORMAT " objects of server \"%s\"",
					sync->vanished_count, sync->server->servername),
			 errdetail("Nothing was removed."),
			 errhint("If they are gone indeed, call dicom.sync() with allow_empty => true.")));
}

/* The next keys that have vanished, in the current context; 0 at the end. */
static int
next_vanished(struct sync *sync, char **keys)
{
	int key_count = 0;
	bool isnull;

	while (key_count < REMOVED_AT_ONCE &&
		   tuplestore_gettupleslot(sync->vanished, true, false, sync->vanished_slot))
		keys[key_count++] = TextDatumGetCString(slot_getattr(sync->vanished_slot, 1, &isnull));
	return key_count;
}

static void
remove_vanished(struct sync *sync)
{
	struct sync_counters *counters = count(sync);
	MemoryContext old = MemoryContextSwitchTo(sync->page_context);
	char *keys[REMOVED_AT_ONCE];
	int key_count;

	merge_set_rows(sync->merge, NULL, 0);
	MemoryContextReset(sync->page_context);
	while ((key_count = next_vanished(sync, keys)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		counters->vanished += catalog_remove(sync->catalog, keys, key_count);
		catalog_tell(sync->catalog, "deleting", counters);
		MemoryContextReset(sync->page_context);
	}
	MemoryContextSwitchTo(old);
}

void
sync_run(struct sync_shared *shared)
{
	struct sync *sync = palloc0(sizeof(*sync));

	sync->shared = shared;
	sync->context = CurrentMemoryContext;
	sync->page_context = AllocSetContextCreate(sync->context, "dicom_fdw page", ALLOCSET_DEFAULT_SIZES);
	sync->server = find_server(shared);
	lock_server(sync);
	/* The caller may itself hold what this waits for, which no detection of deadlocks would see. */
	SetConfigOption("lock_timeout", "60s", PGC_SUSET, PGC_S_OVERRIDE);
	sync->catalog = catalog_open(shared->server, shared->prefix);
	catalog_begin(sync->catalog, sync_place(sync->server));
	open_vanished(sync);
	open_store(sync);
	flush(sync);
	compare(sync);
	check_emptiness(sync);
	remove_vanished(sync);
	shared->counters.failed += merge_refused(sync->merge);
	catalog_end(sync->catalog, count(sync));
	reader_close(sync->reader);
	LockRelease(&sync->lock, ExclusiveLock, true);
}

void
sync_note_failure(const struct sync_shared *shared)
{
	if (GetForeignServerExtended(shared->server, FSV_MISSING_OK))
		catalog_fail(catalog_open(shared->server, shared->prefix), shared->message, &shared->counters);
}
