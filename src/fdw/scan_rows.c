/*
 * scan_rows.c
 *	  Rows of an entity from the objects of a server: what becomes of each object.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "../pg/report.h"
#include "distinct.h"
#include "row.h"
#include "scan_internal.h"
#include "selection.h"

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
		 errdetail_not_logged(),
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
			 errdetail("Object: %s%s", store_location(scan->store), key_of(item)), errdetail_not_logged(),
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
	if (!scan_examine(scan, &object))
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
