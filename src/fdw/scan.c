/*
 * scan.c
 *	  Rows of an entity from the objects of a server.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "../pg/handle.h"
#include "../pg/report.h"
#include "../server/options.h"
#include "../server/server.h"
#include "distinct.h"
#include "known.h"
#include "row.h"
#include "scan.h"
#include "selection.h"

struct scan
{
	struct scan_request request;
	/* Holds the store, and the scan's own context: a parent goes after its children. */
	MemoryContext store_context;
	MemoryContext context;
	MemoryContext run_context;    /* of one start */
	MemoryContext filter_context; /* of one object on its way through request.keep */
	MemoryContext row_context;    /* of one row */
	bool of_listing;              /* no object is opened */
	bool of_values;               /* a fresh catalog has all columns, so that no header is looked at */
	int *catalog_columns;         /* of_values: where, for each of request.columns */
	bool raise_errors;
	bool be_silent;
	bool raise_bad_values;
	int reject_limit; /* 0: none */
	struct dicom_selection selection;

	struct known *known; /* what the catalog knows; NULL: nothing */
	bool known_asked;
	const struct store_object *odd_object; /* of_values: to be read by itself */
	struct dicom_window *filling;          /* of the object whose known bytes are asked for */
	struct store *store;
	struct listing *listing; /* or, where it is shared, the part in it: */
	struct participant *participant;
	struct scan_share share; /* nothing in it where the scan is alone */
	struct reader *reader;
	struct reader_source source;
	struct distinct *distinct;
	bool may_wait;
	bool draining; /* all files are read; rows come from the temporary files */
	bool warnings_given;

	struct reader_item *item; /* elements: the file that rows come from now */
	uint32_t next_element;

	Datum *filter_values; /* a row of listing columns, for request.keep */
	bool *filter_nulls;
	ErrorData *filter_error; /* thrown by request.keep, to be thrown on */

	struct column_scratch scratch;
	struct scan_counters counters;
	uint64 merged_catalog_rows;         /* of other participants */
	struct store_statistics merged;     /* of other participants */
	struct store_statistics statistics; /* of all */
	bool has_merged;
	bool was_shared; /* then the objects listed are merged too */
};

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

/* True where an object is worth reading. */
static bool
step_examine(struct scan *scan, struct store_object *object)
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
		if (run_guarded(scan, step_examine, object, error))
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
		known_start(scan->known, plan, scan->share.next_block);
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

/* --- bad files --- */

static void
remember_first(struct scan *scan, char **place, const char *text)
{
	if (*place == NULL)
		*place = MemoryContextStrdup(scan->context, text);
}

static char *
key_of(const struct reader_item *item)
{
	int length = strlen(item->object.key);

	return text_to_server(item->object.key, &length, NULL);
}

/* How many bad files there are, this one included, whoever read them. */
static uint64
count_bad_file(struct scan *scan)
{
	if (scan->share.bad_files)
		return pg_atomic_add_fetch_u64(scan->share.bad_files, 1);
	return scan->counters.skipped + scan->counters.damaged;
}

static void
check_reject_limit(struct scan *scan, const struct reader_item *item)
{
	uint64 bad = count_bad_file(scan);

	if (scan->reject_limit == 0 || bad < (uint64) scan->reject_limit)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
		 errmsg("reject_limit of \"%s\" is reached: " UINT64_FORMAT " bad files", scan->request.name, bad),
		 errdetail("The last one is \"%s\": %s.", key_of(item), report_line(&item->error)),
		 errhint("SELECT key, error FROM a table of entity 'files' shows what is wrong with each of them.")));
}

/* False where the object gives no row. Throws for what is not the file's fault. */
static bool
accept_failure(struct scan *scan, const struct reader_item *item)
{
	bool readable = item->dataset && row_has_data(item->dataset);

	if (item->error.code == DICOM_ERROR_NOT_FOUND)
	{
		/* A key that a query named and that does not exist is no row; one that was listed has vanished since. */
		scan->counters.vanished++;
		return false;
	}
	if (!dicom_error_is_of_file(item->error.code) || scan->raise_errors)
		report_error(&item->error);
	remember_first(scan, &scan->counters.first_bad_file, key_of(item));
	if (readable || scan->request.entity == ENTITY_FILES)
		scan->counters.damaged++;
	else
		scan->counters.skipped++;
	check_reject_limit(scan, item);
	return readable || scan->request.entity == ENTITY_FILES;
}

static void
note_complaints(struct scan *scan, const struct reader_item *item, const struct row_complaints *complaints)
{
	if (complaints->count == 0)
		return;
	if (scan->raise_bad_values)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("value does not fit column \"%s\" of \"%s\"", complaints->first_column,
					scan->request.name),
			 errdetail("Object: %s%s", store_location(scan->store), key_of(item)),
			 errhint("Set on_bad_value 'null', or declare the column as text to see what the file holds.")));
	scan->counters.bad_values += complaints->count;
	remember_first(scan, &scan->counters.first_bad_value,
				   psprintf("column \"%s\" in \"%s\"", complaints->first_column, key_of(item)));
}

/* --- rows --- */

static void
throw_failure(struct scan *scan, const struct dicom_error *error)
{
	if (scan->filter_error)
		ReThrowError(scan->filter_error);
	report_error(error);
}

/*
 * The reader's next object. A participant of a shared listing waits for its reader only while that has something in flight:
 * else the others, and who lists next, decide when there is more.
 */
static enum dicom_status
read_shared(struct scan *scan, struct reader_item **item, struct dicom_error *error)
{
	enum dicom_status status;

	for (;;)
	{
		if (shared_listing_is_stopped(scan->share.listing))
			return DICOM_END;
		participant_list_ahead(scan->participant);
		status = reader_next(scan->reader, reader_in_flight(scan->reader) > 0, item, error);
		if (status != DICOM_PENDING)
			return status;
		CHECK_FOR_INTERRUPTS();
		if (reader_in_flight(scan->reader) == 0)
			participant_wait(scan->participant);
	}
}

/* The next object, whatever became of it: DICOM_OK, DICOM_END, or DICOM_PENDING where it may not wait. */
static enum dicom_status
take_item(struct scan *scan, bool wait, struct reader_item **item)
{
	struct dicom_error error;
	enum dicom_status status =
		scan->participant ? read_shared(scan, item, &error) : reader_next(scan->reader, wait, item, &error);

	if (status == DICOM_FAILED)
		throw_failure(scan, &error);
	return status;
}

/* Counts an object; false where it gives no row. */
static bool
accept_item(struct scan *scan, const struct reader_item *item)
{
	bool listed_only = scan->of_listing && scan_is_fresh(scan);

	scan->counters.opened += item->opened;
	scan->counters.from_catalog += !item->opened && (item->dataset || listed_only);
	return item->status == DICOM_OK || accept_failure(scan, item);
}

/* The next object that gives rows: DICOM_OK, DICOM_END, or DICOM_PENDING where the scan may not wait. */
static enum dicom_status
next_item(struct scan *scan, struct reader_item **item)
{
	enum dicom_status status;

	do
	{
		CHECK_FOR_INTERRUPTS();
		status = take_item(scan, scan->may_wait, item);
	} while (status == DICOM_OK && !accept_item(scan, *item));
	return status;
}

/* Appends the text of one part of the key, its length in front, so that 'a','bc' is not 'ab','c'. */
static bool
append_key_part(struct scan *scan, const struct dicom_dataset *dataset, uint32_t tag, StringInfo key)
{
	const struct dicom_element *element = dicom_dataset_find(dataset, tag);
	uint32 length;

	dicom_buffer_reset(&scan->scratch.buffer);
	if (element)
		dicom_value_text(&scan->scratch.values, dataset, element, &scan->scratch.buffer);
	length = scan->scratch.buffer.length;
	appendBinaryStringInfo(key, (char *) &length, sizeof(length));
	if (length)
		appendBinaryStringInfo(key, scan->scratch.buffer.data, length);
	return length > 0;
}

/* The key of the item's entity; false where it is empty. A patient with an id is known by issuer and id alone. */
static bool
build_key(struct scan *scan, const struct dicom_dataset *dataset, StringInfo key)
{
	int count;
	const uint32_t *tags = entity_key_tags(scan->request.entity, &count);
	bool has_identity = false;
	bool filled[8] = {false};
	int i;

	for (i = 0; i < count; i++)
	{
		filled[i] = append_key_part(scan, dataset, tags[i], key);
		if (scan->request.entity == ENTITY_PATIENTS && i == 1 && filled[1])
			return true;
		/* An issuer alone names nobody. */
		has_identity |= filled[i] && !(scan->request.entity == ENTITY_PATIENTS && i == 0);
	}
	if (scan->request.entity == ENTITY_SERIES || scan->request.entity == ENTITY_STUDIES)
		return filled[0];
	return has_identity;
}

static void
fill_row(struct scan *scan, const struct reader_item *item, const struct dicom_element *element,
		 Datum *values, bool *nulls)
{
	struct row_complaints complaints = {0};
	int i;

	memset(nulls, true, scan->request.descriptor->natts * sizeof(bool));
	for (i = 0; i < scan->request.column_count; i++)
	{
		const struct column *column = &scan->request.columns[i];

		values[column->attnum - 1] =
			row_datum(column, &scan->scratch, item, element, &complaints, &nulls[column->attnum - 1]);
	}
	note_complaints(scan, item, &complaints);
}

/* A row of a de-duplicated entity; false where the item gives none, or its row went to a temporary file. */
static bool
fill_distinct_row(struct scan *scan, const struct reader_item *item, Datum *values, bool *nulls)
{
	StringInfoData key;

	initStringInfo(&key);
	if (item->dataset == NULL || !build_key(scan, item->dataset, &key))
	{
		scan->counters.without_key++;
		return false;
	}
	switch (distinct_offer(scan->distinct, key.data, key.len))
	{
		case DISTINCT_NEW:
			fill_row(scan, item, NULL, values, nulls);
			return true;
		case DISTINCT_UNKNOWN:
			fill_row(scan, item, NULL, values, nulls);
			distinct_spill(scan->distinct, values, nulls);
			break;
		case DISTINCT_SEEN:
			scan->counters.duplicates++;
			break;
	}
	return false;
}

static enum scan_result
next_distinct_row(struct scan *scan, Datum *values, bool *nulls)
{
	struct reader_item *item;

	while (!scan->draining)
	{
		enum dicom_status status;

		MemoryContextReset(scan->row_context);
		status = next_item(scan, &item);
		if (status == DICOM_PENDING)
			return SCAN_PENDING;
		if (status == DICOM_END)
			scan->draining = true;
		else if (fill_distinct_row(scan, item, values, nulls))
			return SCAN_ROW;
	}
	return distinct_next_spilled(scan->distinct, values, nulls) ? SCAN_ROW : SCAN_END;
}

static enum scan_result
next_element_row(struct scan *scan, Datum *values, bool *nulls)
{
	for (;;)
	{
		const struct dicom_dataset *dataset = scan->item ? scan->item->dataset : NULL;
		enum dicom_status status;

		CHECK_FOR_INTERRUPTS();
		while (dataset && scan->next_element < dataset->count &&
			   dataset->elements[scan->next_element].tag == DICOM_TAG_ITEM)
			scan->next_element++;
		if (dataset && scan->next_element < dataset->count)
		{
			fill_row(scan, scan->item, &dataset->elements[scan->next_element++], values, nulls);
			return SCAN_ROW;
		}
		scan->item = NULL;
		status = next_item(scan, &scan->item);
		if (status != DICOM_OK)
		{
			scan->item = NULL;
			return status == DICOM_END ? SCAN_END : SCAN_PENDING;
		}
		scan->next_element = 0;
	}
}

static void
fill_row_of_values(struct scan *scan, Datum *values, bool *nulls)
{
	int i;

	memset(nulls, true, scan->request.descriptor->natts * sizeof(bool));
	for (i = 0; i < scan->request.column_count; i++)
	{
		int place = scan->request.columns[i].attnum - 1;
		int column = scan->catalog_columns[i];

		values[place] = known_value(scan->known, column, &nulls[place]);
		if (column == CATALOG_STUDY_DATE)
			nulls[place] |= DATE_IS_NOBEGIN(DatumGetDateADT(values[place]));
	}
}

/* An object that the catalog cannot answer for is read by itself; false where it gives no row. */
static bool
read_odd_object(struct scan *scan, Datum *values, bool *nulls)
{
	struct store_object object;
	struct reader_item *item;

	known_object(scan->known, &object);
	if (!step_examine(scan, &object))
	{
		scan->counters.pruned++;
		return false;
	}
	scan->odd_object = &object;
	if (take_item(scan, true, &item) != DICOM_OK || !accept_item(scan, item))
		return false;
	fill_row(scan, item, NULL, values, nulls);
	return true;
}

/* Rows whose every column is in the catalog itself. The scan's filter on them is left to PostgreSQL. */
static bool
next_row_of_values(struct scan *scan, Datum *values, bool *nulls)
{
	while (known_next(scan->known))
	{
		CHECK_FOR_INTERRUPTS();
		if (known_is_excluded(scan->known))
			scan->counters.pruned++;
		else if (scan->of_listing || known_has_values(scan->known))
		{
			scan->counters.from_catalog++;
			fill_row_of_values(scan, values, nulls);
			return true;
		}
		else if (read_odd_object(scan, values, nulls))
			return true;
	}
	return false;
}

static enum scan_result
next_row(struct scan *scan, Datum *values, bool *nulls)
{
	struct reader_item *item;
	enum dicom_status status;

	if (scan->of_values && scan_is_fresh(scan))
		return next_row_of_values(scan, values, nulls) ? SCAN_ROW : SCAN_END;
	if (scan->distinct)
		return next_distinct_row(scan, values, nulls);
	if (scan->request.entity == ENTITY_ELEMENTS)
		return next_element_row(scan, values, nulls);
	status = next_item(scan, &item);
	if (status != DICOM_OK)
		return status == DICOM_END ? SCAN_END : SCAN_PENDING;
	fill_row(scan, item, NULL, values, nulls);
	return SCAN_ROW;
}

static enum scan_result
fetch_row(struct scan *scan, bool may_wait, Datum *values, bool *nulls)
{
	MemoryContext old;
	enum scan_result result;

	MemoryContextReset(scan->row_context);
	old = MemoryContextSwitchTo(scan->row_context);
	scan->may_wait = may_wait;
	result = next_row(scan, values, nulls);
	MemoryContextSwitchTo(old);
	return result;
}

bool
scan_next(struct scan *scan, Datum *values, bool *nulls)
{
	return fetch_row(scan, true, values, nulls) == SCAN_ROW;
}

enum scan_result
scan_poll(struct scan *scan, Datum *values, bool *nulls)
{
	return fetch_row(scan, false, values, nulls);
}

struct store *
scan_get_store(struct scan *scan)
{
	return scan->store;
}

/* --- what is told of a scan --- */

const struct scan_counters *
scan_get_counters(struct scan *scan)
{
	scan->counters.replaced = scan->scratch.replaced + scan->scratch.values.replaced;
	if (scan->known && known_index(scan->known))
		scan->counters.catalog_rows = scan->merged_catalog_rows + known_rows_read(scan->known);
	if (scan->distinct)
		scan->counters.spilled = distinct_spilled(scan->distinct);
	return &scan->counters;
}

const struct store_statistics *
scan_get_statistics(struct scan *scan)
{
	if (scan->store == NULL && !scan->has_merged)
		return NULL;
	scan->statistics = scan->merged;
	if (scan->store)
		store_statistics_add(&scan->statistics, store_statistics(scan->store));
	if (scan->was_shared)
		scan->statistics.objects_listed = scan->merged.objects_listed;
	return &scan->statistics;
}

/* Of the first ones that the participants met, the one with the least name: always the same. */
static void
merge_first(struct scan *scan, char **place, const char *text)
{
	if (text && (*place == NULL || strcmp(text, *place) < 0))
		*place = MemoryContextStrdup(scan->context, text);
}

void
scan_counters_add(struct scan_counters *sum, const struct scan_counters *more)
{
	sum->from_catalog += more->from_catalog;
	sum->catalog_rows += more->catalog_rows;
	sum->pruned += more->pruned;
	sum->opened += more->opened;
	sum->skipped += more->skipped;
	sum->damaged += more->damaged;
	sum->vanished += more->vanished;
	sum->without_key += more->without_key;
	sum->duplicates += more->duplicates;
	sum->spilled += more->spilled;
	sum->bad_values += more->bad_values;
	sum->replaced += more->replaced;
}

void
scan_merge(struct scan *scan, const struct scan_counters *more, const struct store_statistics *statistics)
{
	scan_counters_add(&scan->counters, more);
	scan->merged_catalog_rows += more->catalog_rows;
	scan->scratch.replaced += more->replaced;
	merge_first(scan, &scan->counters.first_bad_file, more->first_bad_file);
	merge_first(scan, &scan->counters.first_bad_value, more->first_bad_value);
	store_statistics_add(&scan->merged, statistics);
	scan->has_merged = true;
}

bool
scan_is_fresh(const struct scan *scan)
{
	return scan->known && known_is_fresh(scan->known);
}

const char *
scan_catalog_index(const struct scan *scan)
{
	return scan->known ? known_index(scan->known) : NULL;
}

bool
scan_opens_files(const struct scan *scan)
{
	return !scan->of_listing;
}

uint32_t
scan_last_tag(const struct scan *scan)
{
	const struct dicom_selection *selection = &scan->selection;
	uint32_t last = selection->tag_count ? selection->tags[selection->tag_count - 1] : 0;
	int i;

	if (scan->of_listing)
		return 0;
	if (selection->everything || selection->whole_header)
		return UINT32_MAX;
	for (i = 0; i < selection->private_count; i++)
		last = Max(last, selection->private_tags[i] | 0xFFFF);
	return last;
}

/* "2 files could not be read, 1 only in part", of which one half may be missing. */
static char *
describe_bad_files(const struct scan_counters *c)
{
	if (c->damaged == 0)
		return psprintf(UINT64_FORMAT " %s could not be read", c->skipped,
						c->skipped == 1 ? "file" : "files");
	if (c->skipped == 0)
		return psprintf(UINT64_FORMAT " %s could be read only in part", c->damaged,
						c->damaged == 1 ? "file" : "files");
	return psprintf(UINT64_FORMAT " %s could not be read, " UINT64_FORMAT " only in part", c->skipped,
					c->skipped == 1 ? "file" : "files", c->damaged);
}

static void
report_files(struct scan *scan)
{
	ereport(
		WARNING,
		(errcode(ERRCODE_WARNING),
		 errmsg("\"%s\": %s", scan->request.name, describe_bad_files(&scan->counters)),
		 errdetail("The first is \"%s\".", scan->counters.first_bad_file),
		 errhint(
			 "SELECT key, error FROM a table of entity 'files' WHERE error IS NOT NULL, or dicom.files(), tells why.")));
}

static void
report_values(struct scan *scan)
{
	const struct scan_counters *c = &scan->counters;

	ereport(NOTICE, (errmsg("\"%s\": " UINT64_FORMAT
							" values did not fit their columns and are NULL; the first is %s",
							scan->request.name, c->bad_values, c->first_bad_value),
					 errhint("dicom.elements() and the column \"warnings\" of files show the texts.")));
}

void
scan_report(struct scan *scan)
{
	if (scan->warnings_given || scan->be_silent)
		return;
	scan->warnings_given = true;
	if (scan->counters.skipped + scan->counters.damaged > 0 && scan->request.entity != ENTITY_FILES)
		report_files(scan);
	if (scan->counters.bad_values > 0)
		report_values(scan);
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
