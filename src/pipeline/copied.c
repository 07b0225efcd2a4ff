/*
 * copied.c
 *	  The table dicom.copied.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "../pg/own_tables.h"
#include "../pg/report.h"
#include "copied.h"

enum column
{
	COLUMN_KEY,
	COLUMN_SOURCE_ETAG,
	COLUMN_SIZE,
	COLUMN_TARGET_ETAG,
	COLUMN_ERROR_CODE,
	COLUMN_ERROR,
	COLUMN_COUNT
};

static const Oid column_types[COLUMN_COUNT] = {TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID};
static const Oid array_types[COLUMN_COUNT] = {TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID,
											  TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};

/* Rows to be written, column by column. */
struct rows
{
	int count;
	int room;
	Datum *values[COLUMN_COUNT];
};

struct copied
{
	Oid source;
	Oid target;
	MemoryContext context;
	struct rows done;
	struct rows failed;
};

/* An attempt that is more than a day ahead was noted before the clock was set back. */
static const char read_statement[] =
	"SELECT c.key, c.source_etag, coalesce(c.next_attempt > pg_catalog.clock_timestamp()"
	" AND c.next_attempt < pg_catalog.clock_timestamp() + interval '25 hours', false)"
	" FROM dicom.copied c WHERE c.source = $1 AND c.target = $2 AND c.key = ANY ($3) ORDER BY c.key";

static const char write_statement[] =
	"INSERT INTO dicom.copied AS c (source, target, key, source_etag, size, target_etag, copied_at, failures)"
	" SELECT $1, $2, i.key, i.source_etag, i.size, i.target_etag, pg_catalog.clock_timestamp(), 0"
	" FROM unnest($3, $4, $5, $6) AS i (key, source_etag, size, target_etag)"
	" ON CONFLICT (source, target, key) DO UPDATE SET source_etag = excluded.source_etag, size = excluded.size,"
	" target_etag = excluded.target_etag, copied_at = excluded.copied_at, failures = 0, error_code = NULL, error = NULL,"
	" next_attempt = NULL";

/* A minute after the first failure, then twice as long each time, up to a day. */
static const char write_failures_statement[] =
	"INSERT INTO dicom.copied AS c (source, target, key, source_etag, size, failures, error_code, error, next_attempt)"
	" SELECT $1, $2, i.key, '', i.size, 1, i.error_code, i.error, pg_catalog.clock_timestamp() + interval '1 minute'"
	" FROM unnest($3, $4, $5, $6) AS i (key, size, error_code, error)"
	" ON CONFLICT (source, target, key) DO UPDATE SET failures = c.failures + 1, error_code = excluded.error_code,"
	" error = excluded.error, next_attempt = pg_catalog.clock_timestamp()"
	" + least(interval '1 minute' * 2 ^ least(c.failures, 20), interval '1 day')";

static const char forget_statement[] =
	"DELETE FROM dicom.copied c WHERE c.source = $1 AND c.target = $2 AND pg_catalog.starts_with(c.key, $3)";

struct copied *
copied_open(Oid source, Oid target)
{
	struct copied *copied = palloc0(sizeof(*copied));

	copied->source = source;
	copied->target = target;
	copied->context = AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw copied", ALLOCSET_DEFAULT_SIZES);
	return copied;
}

static Datum
array_of(Datum *values, int count, Oid type)
{
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, count, type, length, by_value, align));
}

/* --- reading --- */

static void
fill_row(struct copied_row *row, HeapTuple tuple, TupleDesc descriptor)
{
	bool isnull;

	row->key = TextDatumGetCString(SPI_getbinval(tuple, descriptor, 1, &isnull));
	row->source_etag = TextDatumGetCString(SPI_getbinval(tuple, descriptor, 2, &isnull));
	row->too_early = DatumGetBool(SPI_getbinval(tuple, descriptor, 3, &isnull));
}

struct copied_row *
copied_read(struct copied *copied, const char **keys, int key_count, int *row_count)
{
	MemoryContext context = CurrentMemoryContext;
	Oid types[] = {OIDOID, OIDOID, TEXTARRAYOID};
	Datum values[] = {ObjectIdGetDatum(copied->source), ObjectIdGetDatum(copied->target), (Datum) 0};
	Datum *texts = palloc(key_count * sizeof(Datum));
	struct own_tables access;
	struct copied_row *rows;
	uint64 i;

	for (i = 0; i < (uint64) key_count; i++)
		texts[i] = CStringGetTextDatum(keys[i]);
	values[2] = array_of(texts, key_count, TEXTOID);
	access = own_tables_begin("copied");
	own_tables_execute(read_statement, lengthof(types), types, values, NULL);
	MemoryContextSwitchTo(context);
	rows = palloc0((SPI_processed + 1) * sizeof(*rows));
	for (i = 0; i < SPI_processed; i++)
		fill_row(&rows[i], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	*row_count = (int) SPI_processed;
	own_tables_end(access);
	return rows;
}

/* --- noting --- */

static void
make_room(struct rows *rows)
{
	int i;

	if (rows->count < rows->room)
		return;
	rows->room = Max(rows->room * 2, 64);
	for (i = 0; i < COLUMN_COUNT; i++)
		rows->values[i] = rows->values[i] ? repalloc(rows->values[i], rows->room * sizeof(Datum))
										  : palloc(rows->room * sizeof(Datum));
}

void
copied_add(struct copied *copied, const struct transfer_result *result)
{
	MemoryContext old = MemoryContextSwitchTo(copied->context);
	struct rows *rows = result->status == DICOM_OK ? &copied->done : &copied->failed;
	bool failed = result->status != DICOM_OK;

	make_room(rows);
	rows->values[COLUMN_KEY][rows->count] = CStringGetTextDatum(result->key);
	rows->values[COLUMN_SOURCE_ETAG][rows->count] = CStringGetTextDatum(result->source_etag);
	rows->values[COLUMN_SIZE][rows->count] = Int64GetDatum((int64) result->size);
	rows->values[COLUMN_TARGET_ETAG][rows->count] = CStringGetTextDatum(result->target_etag);
	rows->values[COLUMN_ERROR_CODE][rows->count] =
		failed ? CStringGetTextDatum(unpack_sql_state(report_sqlstate(&result->error))) : (Datum) 0;
	rows->values[COLUMN_ERROR][rows->count] =
		failed ? CStringGetTextDatum(report_line(&result->error)) : (Datum) 0;
	rows->count++;
	MemoryContextSwitchTo(old);
}

int
copied_failure_count(const struct copied *copied)
{
	return copied->failed.count;
}

void
copied_forget_failures(struct copied *copied, int count)
{
	copied->failed.count = count;
}

/* --- writing --- */

static void
write_rows(struct copied *copied, struct rows *rows, const char *statement, const enum column *columns,
		   int column_count)
{
	Oid types[2 + COLUMN_COUNT] = {OIDOID, OIDOID};
	Datum values[2 + COLUMN_COUNT] = {ObjectIdGetDatum(copied->source), ObjectIdGetDatum(copied->target)};
	int i;

	if (rows->count == 0)
		return;
	for (i = 0; i < column_count; i++)
	{
		types[2 + i] = array_types[columns[i]];
		values[2 + i] = array_of(rows->values[columns[i]], rows->count, column_types[columns[i]]);
	}
	own_tables_execute(statement, 2 + column_count, types, values, NULL);
}

void
copied_write(struct copied *copied)
{
	static const enum column done_columns[] = {COLUMN_KEY, COLUMN_SOURCE_ETAG, COLUMN_SIZE,
											   COLUMN_TARGET_ETAG};
	static const enum column failed_columns[] = {COLUMN_KEY, COLUMN_SIZE, COLUMN_ERROR_CODE, COLUMN_ERROR};
	struct own_tables access;

	if (copied->done.count == 0 && copied->failed.count == 0)
		return;
	access = own_tables_begin("copied");
	write_rows(copied, &copied->done, write_statement, done_columns, lengthof(done_columns));
	write_rows(copied, &copied->failed, write_failures_statement, failed_columns, lengthof(failed_columns));
	own_tables_end(access);
	MemoryContextReset(copied->context);
	memset(&copied->done, 0, sizeof(copied->done));
	memset(&copied->failed, 0, sizeof(copied->failed));
}

uint64
copied_forget(Oid source, Oid target, const char *prefix)
{
	Oid types[] = {OIDOID, OIDOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(source), ObjectIdGetDatum(target), CStringGetTextDatum(prefix)};
	struct own_tables access = own_tables_begin("copied");
	uint64 count;

	own_tables_execute(forget_statement, lengthof(types), types, values, NULL);
	count = SPI_processed;
	own_tables_end(access);
	return count;
}
