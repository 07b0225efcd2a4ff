/*
 * copy.c
 *	  dicom.copy_batch(): a stretch of the keys of one server, of which what is new or changed is copied to another.
 *
 * The listing is compared with dicom.copied, not with the target: the provider says what has arrived, and what is done with the
 * copies is the business of whoever owns them. A stretch ends after so many objects, bytes or keys, so that what was done can be
 * committed.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/htup_details.h"
#include "catalog/pg_foreign_server.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "../pg/report.h"
#include "../server/server.h"
#include "copied.h"

#define PAGE        1000
#define LONGEST_KEY 2048
#define MAX_LISTED  50000
#define MAX_BYTES   ((uint64) 1024 * 1024 * 1024)

/* So many objects one after another that cannot be had or put for a reason that may not be theirs: it is the store's. */
#define SUSPECTS_IN_A_ROW 16

SQL_FUNCTION(dicom_copy_batch);
SQL_FUNCTION(dicom_recopy);

struct counters
{
	uint64 listed;
	uint64 copied;
	uint64 skipped;
	uint64 failed;
	uint64 bytes;
};

struct copy
{
	ForeignServer *source_server;
	ForeignServer *target_server;
	struct store *source;
	struct store *target;
	struct store_list *list;
	struct transfer *transfer;
	struct copied *copied;
	MemoryContext context;
	MemoryContext page_context;
	struct counters counters;
	uint64 refused; /* keys that cannot be kept in a table */
	int objects_left;
	uint64 bytes_left;
	bool list_ended;
	bool used_up;     /* the stretch is long enough */
	bool gave_up;     /* the store is to blame */
	char *considered; /* the last key that was dealt with */
	char *settled;    /* the last one of those that were copied, or could not be */

	/* Suspects in a row: if it gets too long they are forgotten, up to what was there before. */
	int suspects;
	int failures_before;
	char *settled_before;
};

/* --- opening --- */

static void
check_places(struct copy *copy)
{
	const char *source = store_location(copy->source);
	const char *target = store_location(copy->target);

	if (!store_can_copy(copy->source, copy->target) ||
		strncmp(source, target, Min(strlen(source), strlen(target))) != 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("servers \"%s\" and \"%s\" lie within each other", copy->source_server->servername,
						   copy->target_server->servername),
					errhint("Copies would be copied again. Choose locations of which none begins with the "
							"other.")));
}

/* One at a time for each pair; until the end of the transaction. */
static void
lock_pair(struct copy *copy)
{
	LOCKTAG lock;

	/* Nothing else locks a column of the foreign server. */
	SET_LOCKTAG_OBJECT(lock, MyDatabaseId, ForeignServerRelationId, copy->target_server->serverid,
					   2 + copy->source_server->serverid % 32000);
	if (LockAcquire(&lock, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("objects of server \"%s\" are being copied to \"%s\" already",
							   copy->source_server->servername, copy->target_server->servername)));
}

static void
open_list(struct copy *copy, const char *start_after)
{
	struct store_list_request request = {.start_after = start_after, .page_size = PAGE, .limit = MAX_LISTED};
	struct dicom_error error;

	if (store_list_open(copy->source, &request, &copy->list, &error) != DICOM_OK)
		report_error(&error);
}

static struct copy *
open_copy(const char *source, const char *target)
{
	struct copy *copy = palloc0(sizeof(*copy));
	MemoryContext context = CurrentMemoryContext;

	copy->context = context;
	copy->source_server = server_by_name(source);
	copy->target_server = server_by_name(target);
	lock_pair(copy);
	copy->source = server_open_store(copy->source_server, GetUserId(), context);
	copy->target = server_open_writable_store(copy->target_server, GetUserId(), context);
	store_defer_sync(copy->target);
	check_places(copy);
	copy->transfer = transfer_open(copy->source, copy->target, context);
	copy->copied = copied_open(copy->source_server->serverid, copy->target_server->serverid);
	copy->page_context = AllocSetContextCreate(context, "dicom_fdw page", ALLOCSET_DEFAULT_SIZES);
	return copy;
}

static void
remember(struct copy *copy, char **place, const char *key)
{
	char *old = *place;

	*place = key ? MemoryContextStrdup(copy->context, key) : NULL;
	if (old)
		pfree(old);
}

/* --- results --- */

/* What was done before the store went away is kept; the next stretch meets it, too, and then has nothing to keep. */
static void
give_up(struct copy *copy, const struct transfer_result *result)
{
	if (copy->settled_before == NULL)
		report_error(&result->error);
	copied_forget_failures(copy->copied, copy->failures_before);
	copy->counters.failed -= copy->suspects;
	remember(copy, &copy->considered, copy->settled_before);
	copy->gave_up = true;
}

static void
end_row_of_suspects(struct copy *copy)
{
	copy->suspects = 0;
	copy->failures_before = copied_failure_count(copy->copied);
	remember(copy, &copy->settled_before, copy->settled);
}

static void
settle_failure(struct copy *copy, const struct transfer_result *result)
{
	if (dicom_error_is_of_store(result->error.code))
	{
		give_up(copy, result);
		return;
	}
	copied_add(copy->copied, result);
	copy->counters.failed++;
	remember(copy, &copy->settled, result->key);
	if (!transfer_failure_is_suspect(result))
		end_row_of_suspects(copy);
	else if (++copy->suspects >= SUSPECTS_IN_A_ROW)
		give_up(copy, result);
}

static void
settle_success(struct copy *copy, const struct transfer_result *result)
{
	copied_add(copy->copied, result);
	copy->counters.copied++;
	copy->counters.bytes += result->size;
	remember(copy, &copy->settled, result->key);
	end_row_of_suspects(copy);
}

static bool
is_gone(const struct transfer_result *result)
{
	return result->status == DICOM_FAILED && result->error.code == DICOM_ERROR_NOT_FOUND &&
		   !result->target_failed;
}

static void
settle(struct copy *copy, const struct transfer_result *result)
{
	if (result->status == DICOM_OK)
		settle_success(copy, result);
	else if (is_gone(result))
		copy->counters.skipped++;
	else
		settle_failure(copy, result);
}

static void
drain(struct copy *copy)
{
	const struct transfer_result *result;

	while (!copy->gave_up && (result = transfer_next(copy->transfer)) != NULL)
		settle(copy, result);
}

/* --- a page of the listing --- */

struct listed
{
	struct store_object object;
	bool refused;
};

struct page
{
	struct listed objects[PAGE];
	int count;
	struct copied_row *rows; /* what is known of them */
	int row_count;
	int row; /* the next one to be compared */
};

static bool
can_be_kept(const char *key)
{
	int length = strlen(key);

	return length <= LONGEST_KEY && pg_verify_mbstr(PG_UTF8, key, length, true);
}

static void
take_object(struct page *page, const struct store_object *object)
{
	struct listed *listed = &page->objects[page->count++];

	listed->object = *object;
	listed->object.key = pstrdup(object->key);
	listed->object.etag = object->etag ? pstrdup(object->etag) : "";
	listed->refused = !can_be_kept(object->key);
}

static struct page *
next_page(struct copy *copy)
{
	struct page *page = palloc0(sizeof(*page));

	while (page->count < PAGE && !copy->list_ended)
	{
		struct store_object object;
		struct dicom_error error;
		enum dicom_status status = store_list_next(copy->list, &object, &error);

		if (status == DICOM_OK)
			take_object(page, &object);
		else if (status == DICOM_END)
			copy->list_ended = true;
		else if (status == DICOM_FAILED || store_wait(copy->source, -1, &error) != DICOM_OK)
			report_error(&error);
	}
	return page;
}

static void
look_up(struct copy *copy, struct page *page)
{
	const char *keys[PAGE];
	int key_count = 0;
	int i;

	for (i = 0; i < page->count; i++)
		if (!page->objects[i].refused)
			keys[key_count++] = page->objects[i].object.key;
	page->rows = copied_read(copy->copied, keys, key_count, &page->row_count);
}

static const struct copied_row *
row_of_object(struct page *page, const struct store_object *object)
{
	if (page->row == page->row_count || strcmp(page->rows[page->row].key, object->key) != 0)
		return NULL;
	return &page->rows[page->row++];
}

/* A version that failed is not the one in the row: that is of the last copy. */
static bool
is_due(const struct store_object *object, const struct copied_row *row)
{
	if (row == NULL)
		return true;
	return !row->too_early && (strcmp(row->source_etag, object->etag) != 0 || !*object->etag);
}

/* Makes room for it first, which may end the stretch. */
static void
start_object(struct copy *copy, const struct store_object *object)
{
	copy->used_up = copy->objects_left == 0 || copy->bytes_left == 0;
	while (!copy->used_up && !copy->gave_up && !transfer_has_room(copy->transfer))
		settle(copy, transfer_next(copy->transfer));
	if (copy->used_up || copy->gave_up)
		return;
	copy->objects_left--;
	copy->bytes_left -= Min(copy->bytes_left, object->size);
	remember(copy, &copy->considered, object->key);
	transfer_add(copy->transfer, object, object->key);
}

static void
consider(struct copy *copy, struct page *page, const struct listed *listed)
{
	const struct store_object *object = &listed->object;

	if (listed->refused)
	{
		copy->refused++;
		copy->counters.failed++;
	}
	else if (is_due(object, row_of_object(page, object)))
		start_object(copy, object);
	else
	{
		copy->counters.skipped++;
		remember(copy, &copy->considered, object->key);
	}
	if (!copy->used_up && !copy->gave_up)
		copy->counters.listed++;
}

static void
copy_page(struct copy *copy)
{
	struct page *page = next_page(copy);
	int i;

	look_up(copy, page);
	for (i = 0; i < page->count && !copy->used_up && !copy->gave_up; i++)
		consider(copy, page, &page->objects[i]);
}

/* --- the whole --- */

static void
copy_stretch(struct copy *copy)
{
	MemoryContext old = MemoryContextSwitchTo(copy->page_context);

	while (!copy->list_ended && !copy->used_up && !copy->gave_up)
	{
		copy_page(copy);
		MemoryContextReset(copy->page_context);
	}
	MemoryContextSwitchTo(old);
	store_list_close(copy->list);
	drain(copy);
	if (copy->counters.copied > 0)
		server_flush_store(copy->target);
	copied_write(copy->copied);
	if (copy->refused > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg(UINT64_FORMAT " objects are not copied because of their keys", copy->refused),
				 errdetail("Keys must be UTF-8, and not longer than %d bytes.", LONGEST_KEY)));
}

/* Where the next stretch begins, or NULL: this was the last one. */
static const char *
next_after(const struct copy *copy, const char *start_after)
{
	bool is_last = !copy->used_up && !copy->gave_up && copy->counters.listed < MAX_LISTED;

	if (is_last || copy->considered == NULL || (start_after && strcmp(copy->considered, start_after) == 0))
		return NULL;
	return copy->considered;
}

static Datum
row_of(FunctionCallInfo fcinfo, const struct copy *copy, const char *next)
{
	struct store_statistics sum = *store_statistics(copy->source);
	Datum values[7] = {0};
	bool nulls[7] = {false};
	TupleDesc descriptor;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("return type must be a row type")));
	store_statistics_add(&sum, store_statistics(copy->target));
	nulls[0] = next == NULL;
	values[0] = next ? CStringGetTextDatum(next) : (Datum) 0;
	values[1] = Int64GetDatum((int64) copy->counters.listed);
	values[2] = Int64GetDatum((int64) copy->counters.copied);
	values[3] = Int64GetDatum((int64) copy->counters.skipped);
	values[4] = Int64GetDatum((int64) copy->counters.failed);
	values[5] = Int64GetDatum((int64) copy->counters.bytes);
	values[6] = Int64GetDatum((int64) (sum.list_requests + sum.get_requests + sum.head_requests +
									   sum.put_requests + sum.other_requests));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

static char *
text_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/* Keys are compared byte by byte with those of the store. */
static void
require_unicode(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("copying needs a database in UTF8"),
						errdetail("This one is in %s.", GetDatabaseEncodingName()),
						errhint("CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0.")));
}

/* dicom.copy_batch(source text, target text, start_after text, max_objects integer) */
Datum
dicom_copy_batch(PG_FUNCTION_ARGS)
{
	const char *start_after = PG_ARGISNULL(2) ? NULL : text_argument(fcinfo, 2, "start_after");
	struct copy *copy;

	PreventCommandDuringRecovery("dicom.copy_batch()");
	PreventCommandIfReadOnly("dicom.copy_batch()");
	require_unicode();
	copy = open_copy(text_argument(fcinfo, 0, "source"), text_argument(fcinfo, 1, "target"));
	copy->objects_left = PG_ARGISNULL(3) ? PAGE : PG_GETARG_INT32(3);
	copy->bytes_left = MAX_BYTES;
	if (copy->objects_left <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_objects must be positive")));
	open_list(copy, start_after);
	copy_stretch(copy);
	PG_RETURN_DATUM(row_of(fcinfo, copy, next_after(copy, start_after)));
}

/* dicom.recopy(source text, target text, prefix text) */
Datum
dicom_recopy(PG_FUNCTION_ARGS)
{
	ForeignServer *source = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	ForeignServer *target = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	PG_RETURN_INT64(
		(int64) copied_forget(source->serverid, target->serverid, text_to_cstring(PG_GETARG_TEXT_PP(2))));
}
