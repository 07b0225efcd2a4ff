/*
 * tables.c
 *	  The catalog's tables, as a sync reads and writes them.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "../dicom/error.h"
#include "../pg/report.h"
#include "tables.h"

/* Requests in flight are not looked at while a batch is written, so it is short enough for the server not to run dry. */
#define BATCH_OBJECTS 256
#define BATCH_BYTES   (4 * 1024 * 1024)

/* Behind a prefix, it sorts behind whatever else may follow: the last code point, which is no character, several times. */
#define BEHIND_ALL "\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF"

enum batch_column
{
	BATCH_KEY,
	BATCH_ETAG,
	BATCH_SIZE,
	BATCH_LAST_MODIFIED,
	BATCH_STORAGE_CLASS,
	BATCH_STATE,
	BATCH_STUDY_DATE,
	BATCH_VALUES,
	BATCH_VALUES_CUT = BATCH_VALUES + VALUE_COUNT,
	BATCH_HEADER,
	BATCH_HEADER_END,
	BATCH_ERROR_CODE,
	BATCH_ERROR,
	BATCH_COLUMNS
};

struct batch
{
	MemoryContext context;
	int count;
	size_t bytes;
	Datum values[BATCH_COLUMNS][BATCH_OBJECTS];
	bool nulls[BATCH_COLUMNS][BATCH_OBJECTS];
};

struct catalog
{
	Oid server;
	Oid owner;
	char *prefix;
	struct batch read;   /* objects that were read */
	struct batch failed; /* and that were not */
};

/* --- statements --- */

struct statement
{
	const char *text;
	int argument_count;
	Oid arguments[BATCH_COLUMNS + 1];
	SPIPlanPtr plan;
};

#define OBJECT_TYPES TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID
#define VALUE_TYPES                                                                                   \
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
		TEXTARRAYOID

/* An attempt that is more than a day ahead was noted before the clock was set back. */
static struct statement read_page_statement = {
	"SELECT o.key, o.etag, o.size, o.last_modified, o.storage_class, o.state = 'failed',"
	" o.next_attempt > pg_catalog.clock_timestamp() AND o.next_attempt < pg_catalog.clock_timestamp() + interval '25 hours'"
	" FROM dicom.object o"
	" WHERE o.server = $1 AND o.key > $2 AND o.key >= $3 AND o.key < $4 AND pg_catalog.starts_with(o.key, $3)"
	" ORDER BY o.server, o.key LIMIT $5",
	5,
	{OIDOID, TEXTOID, TEXTOID, TEXTOID, INT8OID}};

/*
 * To be executed in front of the next one. The days before are looked up one by one, so that no plan can be made that goes
 * through the whole catalog for a batch.
 */
static struct statement touch_days_statement = {
	"INSERT INTO dicom.stale_day AS s (server, day, since, touched_at)"
	" SELECT $1, d.day, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp()"
	" FROM (SELECT (SELECT o.study_date FROM dicom.object o WHERE o.server = $1 AND o.key = i.key AND o.etag <> '')"
	" FROM unnest($2) AS i (key) UNION SELECT * FROM unnest($3) ORDER BY 1) d (day)"
	" WHERE d.day IS NOT NULL"
	" ON CONFLICT (server, day) DO UPDATE SET touched_at = excluded.touched_at",
	3,
	{OIDOID, TEXTARRAYOID, DATEARRAYOID}};

static struct statement write_statement = {
	"INSERT INTO dicom.object AS o (server, key, etag, size, last_modified, storage_class, state, study_date,"
	" study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, modality, patient_id,"
	" issuer_of_patient_id, values_cut, header, header_end, error_code, error, failures, next_attempt, first_seen, synced_at)"
	" SELECT $1, i.key, i.etag, i.size, i.last_modified, i.storage_class, i.state, i.study_date,"
	" i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.modality, i.patient_id,"
	" i.issuer_of_patient_id, i.values_cut, i.header, i.header_end, i.error_code, i.error, (i.state <> 'ok')::integer, NULL,"
	" pg_catalog.now(), pg_catalog.now()"
	" FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"
	" AS i (key, etag, size, last_modified, storage_class, state, study_date, study_instance_uid, series_instance_uid,"
	" sop_instance_uid, sop_class_uid, transfer_syntax_uid, modality, patient_id, issuer_of_patient_id, values_cut, header,"
	" header_end, error_code, error)"
	" ON CONFLICT (server, key) DO UPDATE SET"
	" etag = excluded.etag, size = excluded.size, last_modified = excluded.last_modified, storage_class = excluded.storage_class,"
	" state = excluded.state, study_date = excluded.study_date, study_instance_uid = excluded.study_instance_uid,"
	" series_instance_uid = excluded.series_instance_uid, sop_instance_uid = excluded.sop_instance_uid,"
	" sop_class_uid = excluded.sop_class_uid, transfer_syntax_uid = excluded.transfer_syntax_uid,"
	" modality = excluded.modality, patient_id = excluded.patient_id, issuer_of_patient_id = excluded.issuer_of_patient_id,"
	" values_cut = excluded.values_cut, header = excluded.header, header_end = excluded.header_end,"
	" error_code = excluded.error_code, error = excluded.error,"
	" failures = CASE WHEN excluded.state = 'ok' THEN 0 ELSE o.failures + 1 END,"
	" next_attempt = NULL, synced_at = excluded.synced_at",
	21,
	{OIDOID, OBJECT_TYPES, DATEARRAYOID, VALUE_TYPES, BOOLARRAYOID, BYTEAARRAYOID, INT8ARRAYOID, TEXTARRAYOID,
	 TEXTARRAYOID}};

/* A minute after the first failure, then twice as long each time, up to a day. */
static struct statement write_failures_statement = {
	"INSERT INTO dicom.object AS o (server, key, etag, size, last_modified, storage_class, state, study_date, values_cut,"
	" error_code, error, failures, next_attempt, first_seen, synced_at)"
	" SELECT $1, i.key, '', i.size, i.last_modified, i.storage_class, 'failed', '-infinity', false,"
	" i.error_code, i.error, 1, pg_catalog.now() + interval '1 minute', pg_catalog.now(), pg_catalog.now()"
	" FROM unnest($2, $3, $4, $5, $6, $7) AS i (key, size, last_modified, storage_class, error_code, error)"
	" ON CONFLICT (server, key) DO UPDATE SET state = 'failed', error_code = excluded.error_code, error = excluded.error,"
	" failures = o.failures + 1, synced_at = excluded.synced_at,"
	" next_attempt = pg_catalog.now() + least(interval '1 minute' * 2 ^ least(o.failures, 20), interval '1 day')",
	7,
	{OIDOID, TEXTARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};

static struct statement renew_statement = {
	"UPDATE dicom.object SET last_modified = $3, storage_class = $4 WHERE server = $1 AND key = $2",
	4,
	{OIDOID, TEXTOID, TIMESTAMPTZOID, TEXTOID}};

static struct statement remove_statement = {
	"WITH gone AS ("
	" DELETE FROM dicom.object o WHERE o.server = $1 AND o.key = ANY ($2) RETURNING o.study_date, o.etag"
	"), touched AS ("
	" INSERT INTO dicom.stale_day AS s (server, day, since, touched_at)"
	" SELECT $1, d.day, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp()"
	" FROM (SELECT DISTINCT g.study_date FROM gone g WHERE g.etag <> '' ORDER BY 1) d (day)"
	" ON CONFLICT (server, day) DO UPDATE SET touched_at = excluded.touched_at"
	") "
	"SELECT pg_catalog.count(*) FROM gone",
	2,
	{OIDOID, TEXTARRAYOID}};

static struct statement begin_statement = {
	"INSERT INTO dicom.sync_state AS s (server, prefix, place, phase, pid, started_at, updated_at)"
	" VALUES ($1, $2, $3, 'starting', pg_catalog.pg_backend_pid(), pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp())"
	" ON CONFLICT (server, prefix) DO UPDATE SET place = excluded.place, phase = excluded.phase, pid = excluded.pid,"
	" started_at = excluded.started_at, updated_at = excluded.updated_at,"
	" synced_at = CASE WHEN s.place = excluded.place THEN s.synced_at END,"
	" listed = 0, opened = 0, written = 0, new = 0, changed = 0, vanished = 0, failed = 0, bytes = 0, requests = 0, error = NULL",
	3,
	{OIDOID, TEXTOID, TEXTOID}};

static struct statement tell_statement = {
	"UPDATE dicom.sync_state SET phase = $3, updated_at = pg_catalog.clock_timestamp(), listed = $4, opened = $5, written = $6,"
	" new = $7, changed = $8, vanished = $9, failed = $10, bytes = $11, requests = $12, error = $13,"
	" synced_at = CASE WHEN $3 = 'done' THEN started_at ELSE synced_at END"
	" WHERE server = $1 AND prefix = $2",
	13,
	{OIDOID, TEXTOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID,
	 INT8OID, TEXTOID}};

/* What a sync of everything makes superfluous. */
static struct statement forget_prefixes_statement = {
	"DELETE FROM dicom.sync_state WHERE server = $1 AND prefix <> $2 AND pg_catalog.starts_with(prefix, $2)",
	2,
	{OIDOID, TEXTOID}};

/* Servers that were dropped while nobody looked. */
static struct statement forget_objects_statement = {
	"DELETE FROM dicom.object WHERE server IN (SELECT t.server FROM dicom.sync_state t"
	" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server f WHERE f.oid = t.server))",
	0};
static struct statement forget_days_statement = {
	"DELETE FROM dicom.stale_day WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server f WHERE f.oid = server)",
	0};
static struct statement forget_states_statement = {
	"DELETE FROM dicom.sync_state WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server f WHERE f.oid = server)",
	0};

static void
execute(struct statement *statement, Datum *values, const char *nulls)
{
	int result;

	if (statement->plan == NULL)
	{
		statement->plan = SPI_prepare(statement->text, statement->argument_count, statement->arguments);
		if (statement->plan == NULL || SPI_keepplan(statement->plan) != 0)
			elog(ERROR, "could not prepare a statement on the catalog: %s",
				 SPI_result_code_string(SPI_result));
	}
	result = SPI_execute_plan(statement->plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not execute a statement on the catalog: %s", SPI_result_code_string(result));
}

/* --- transactions --- */

struct access
{
	Oid user;
	int context;
};

/* The server must still be there, and cannot be dropped before the transaction ends. */
static void
hold_server(Oid server)
{
	LockDatabaseObject(ForeignServerRelationId, server, 0, AccessShareLock);
	if (!SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(server)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the server was dropped while it was synced")));
}

static struct access
begin_access(struct catalog *catalog)
{
	struct access access;

	hold_server(catalog->server);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	GetUserIdAndSecContext(&access.user, &access.context);
	SetUserIdAndSecContext(catalog->owner,
						   access.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	return access;
}

static void
end_access(struct access access)
{
	SetUserIdAndSecContext(access.user, access.context);
	PopActiveSnapshot();
	SPI_finish();
}

static void
commit(void)
{
	MemoryContext context = CurrentMemoryContext;

	CommitTransactionCommand();
	pgstat_report_stat(false);
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* --- reading --- */

static Oid
owner_of_tables(void)
{
	Oid relation = get_relname_relid("object", get_namespace_oid("dicom", false));
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"dicom.object\" does not exist"),
						errhint("ALTER EXTENSION dicom_fdw UPDATE.")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

struct catalog *
catalog_open(Oid server, const char *prefix)
{
	struct catalog *catalog = palloc0(sizeof(*catalog));

	catalog->server = server;
	catalog->owner = owner_of_tables();
	catalog->prefix = pstrdup(prefix);
	catalog->read.context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw batch", ALLOCSET_DEFAULT_SIZES);
	catalog->failed.context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw failures", ALLOCSET_DEFAULT_SIZES);
	return catalog;
}

/* Microseconds since 1970, 0: unknown. */
static Datum
time_datum(int64 unix_time, bool *isnull)
{
	*isnull = unix_time == 0;
	return TimestampTzGetDatum(unix_time - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
}

static int64
time_of_datum(Datum datum)
{
	return DatumGetTimestampTz(datum) + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static char *
text_of_row(HeapTuple tuple, TupleDesc descriptor, int column)
{
	bool isnull;
	Datum datum = SPI_getbinval(tuple, descriptor, column, &isnull);

	return isnull ? "" : TextDatumGetCString(datum);
}

static void
fill_row(struct merge_row *row, HeapTuple tuple, TupleDesc descriptor)
{
	bool isnull;
	Datum datum;

	row->key = text_of_row(tuple, descriptor, 1);
	row->etag = text_of_row(tuple, descriptor, 2);
	datum = SPI_getbinval(tuple, descriptor, 3, &isnull);
	row->size = isnull ? -1 : DatumGetInt64(datum);
	datum = SPI_getbinval(tuple, descriptor, 4, &isnull);
	row->last_modified = isnull ? 0 : time_of_datum(datum);
	row->storage_class = text_of_row(tuple, descriptor, 5);
	row->failed = DatumGetBool(SPI_getbinval(tuple, descriptor, 6, &isnull));
	datum = SPI_getbinval(tuple, descriptor, 7, &isnull);
	row->too_early = !isnull && DatumGetBool(datum);
}

struct merge_row *
catalog_read_page(struct catalog *catalog, const char *after, int *count)
{
	MemoryContext context = CurrentMemoryContext;
	struct access access = begin_access(catalog);
	Datum values[] = {ObjectIdGetDatum(catalog->server), CStringGetTextDatum(after ? after : ""),
					  CStringGetTextDatum(catalog->prefix),
					  CStringGetTextDatum(psprintf("%s" BEHIND_ALL, catalog->prefix)),
					  Int64GetDatum(MERGE_PAGE)};
	struct merge_row *rows;
	MemoryContext old;
	uint64 i;

	execute(&read_page_statement, values, NULL);
	old = MemoryContextSwitchTo(context);
	rows = palloc0((SPI_processed + 1) * sizeof(*rows));
	for (i = 0; i < SPI_processed; i++)
		fill_row(&rows[i], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	*count = (int) SPI_processed;
	MemoryContextSwitchTo(old);
	end_access(access);
	commit();
	return rows;
}

/* --- batches --- */

static const Oid batch_types[BATCH_COLUMNS] = {
	TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, DATEOID,  TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID, TEXTOID,        TEXTOID, BOOLOID, BYTEAOID, INT8OID, TEXTOID, TEXTOID};

static Datum
array_datum(Datum *values, bool *nulls, int count, Oid type)
{
	int lower = 1;
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(
		construct_md_array(values, nulls, 1, &count, &lower, type, length, by_value, align));
}

static Datum
batch_array(struct batch *batch, enum batch_column column)
{
	return array_datum(batch->values[column], batch->nulls[column], batch->count, batch_types[column]);
}

static void
put(struct batch *batch, enum batch_column column, Datum value, bool isnull)
{
	batch->values[column][batch->count] = value;
	batch->nulls[column][batch->count] = isnull;
}

static void
put_text(struct batch *batch, enum batch_column column, const char *value)
{
	put(batch, column, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

static void
put_listed(struct batch *batch, const struct store_object *object, int64 last_modified)
{
	bool isnull;
	Datum time = time_datum(last_modified, &isnull);

	put_text(batch, BATCH_KEY, object->key);
	put_text(batch, BATCH_ETAG, object->etag ? object->etag : "");
	put(batch, BATCH_SIZE, Int64GetDatum((int64) object->size), object->size == STORE_SIZE_UNKNOWN);
	put(batch, BATCH_LAST_MODIFIED, time, isnull);
	put_text(batch, BATCH_STORAGE_CLASS, object->storage_class ? object->storage_class : "STANDARD");
}

static void
put_error(struct batch *batch, const struct reader_item *item)
{
	bool failed = item->status == DICOM_FAILED;

	put_text(batch, BATCH_ERROR_CODE, failed ? unpack_sql_state(report_sqlstate(&item->error)) : NULL);
	put_text(batch, BATCH_ERROR, failed ? report_line(&item->error) : NULL);
}

void
catalog_add_object(struct catalog *catalog, const struct reader_item *item, int64 last_modified,
				   const struct object_values *values, const bytea *header)
{
	struct batch *batch = &catalog->read;
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	const struct dicom_dataset *dataset = item->dataset;
	int i;

	put_listed(batch, &item->object, last_modified);
	put_text(batch, BATCH_STATE, item->status == DICOM_OK ? "ok" : "damaged");
	put(batch, BATCH_STUDY_DATE, DateADTGetDatum(values->study_date), false);
	for (i = 0; i < VALUE_COUNT; i++)
		put(batch, BATCH_VALUES + i, PointerGetDatum(values->texts[i]), values->texts[i] == NULL);
	put(batch, BATCH_VALUES_CUT, BoolGetDatum(values->cut), false);
	put(batch, BATCH_HEADER, PointerGetDatum(header), header == NULL);
	put(batch, BATCH_HEADER_END, Int64GetDatum(dataset ? (int64) dataset->header_end : 0), dataset == NULL);
	put_error(batch, item);
	batch->count++;
	batch->bytes += header ? VARSIZE(header) : 0;
	MemoryContextSwitchTo(old);
}

void
catalog_add_failure(struct catalog *catalog, const struct reader_item *item)
{
	struct batch *batch = &catalog->failed;
	MemoryContext old = MemoryContextSwitchTo(batch->context);

	put_listed(batch, &item->object, item->object.last_modified);
	put_error(batch, item);
	batch->count++;
	MemoryContextSwitchTo(old);
}

MemoryContext
catalog_batch_context(struct catalog *catalog)
{
	return catalog->read.context;
}

bool
catalog_is_full(const struct catalog *catalog)
{
	return catalog->read.count == BATCH_OBJECTS || catalog->read.bytes >= BATCH_BYTES ||
		   catalog->failed.count == BATCH_OBJECTS;
}

static void
empty_batch(struct batch *batch)
{
	batch->count = 0;
	batch->bytes = 0;
	MemoryContextReset(batch->context);
}

static void
write_objects(struct catalog *catalog)
{
	Datum values[BATCH_COLUMNS + 1] = {ObjectIdGetDatum(catalog->server)};
	Datum days[3] = {values[0]};
	int i;

	for (i = 0; i < BATCH_COLUMNS; i++)
		values[i + 1] = batch_array(&catalog->read, i);
	days[1] = values[1 + BATCH_KEY];
	days[2] = values[1 + BATCH_STUDY_DATE];
	execute(&touch_days_statement, days, NULL);
	execute(&write_statement, values, NULL);
}

static void
write_failures(struct catalog *catalog)
{
	static const enum batch_column columns[] = {BATCH_KEY,           BATCH_SIZE,       BATCH_LAST_MODIFIED,
												BATCH_STORAGE_CLASS, BATCH_ERROR_CODE, BATCH_ERROR};
	Datum values[lengthof(columns) + 1] = {ObjectIdGetDatum(catalog->server)};
	int i;

	for (i = 0; i < (int) lengthof(columns); i++)
		values[i + 1] = batch_array(&catalog->failed, columns[i]);
	execute(&write_failures_statement, values, NULL);
}

/* --- how far it is --- */

static void
write_state(struct catalog *catalog, const char *phase, const char *error,
			const struct sync_counters *counters)
{
	const uint64 numbers[] = {counters->listed, counters->opened,  counters->written,
							  counters->added,  counters->changed, counters->vanished,
							  counters->failed, counters->bytes,   counters->requests};
	Datum values[13] = {ObjectIdGetDatum(catalog->server), CStringGetTextDatum(catalog->prefix),
						CStringGetTextDatum(phase)};
	char nulls[] = "             ";
	int i;

	for (i = 0; i < (int) lengthof(numbers); i++)
		values[3 + i] = Int64GetDatum((int64) numbers[i]);
	if (error)
		values[12] = CStringGetTextDatum(error);
	else
		nulls[12] = 'n';
	execute(&tell_statement, values, nulls);
}

void
catalog_flush(struct catalog *catalog, const struct sync_counters *counters)
{
	struct access access = begin_access(catalog);

	if (catalog->read.count > 0)
		write_objects(catalog);
	if (catalog->failed.count > 0)
		write_failures(catalog);
	write_state(catalog, "comparing", NULL, counters);
	end_access(access);
	commit();
	empty_batch(&catalog->read);
	empty_batch(&catalog->failed);
}

void
catalog_begin(struct catalog *catalog, const char *place)
{
	struct access access = begin_access(catalog);
	Datum values[] = {ObjectIdGetDatum(catalog->server), CStringGetTextDatum(catalog->prefix),
					  CStringGetTextDatum(place)};

	execute(&forget_objects_statement, NULL, NULL);
	execute(&forget_days_statement, NULL, NULL);
	execute(&forget_states_statement, NULL, NULL);
	execute(&begin_statement, values, NULL);
	end_access(access);
	commit();
}

void
catalog_tell(struct catalog *catalog, const char *phase, const struct sync_counters *counters)
{
	struct access access = begin_access(catalog);

	write_state(catalog, phase, NULL, counters);
	end_access(access);
	commit();
}

void
catalog_end(struct catalog *catalog, const struct sync_counters *counters)
{
	struct access access = begin_access(catalog);
	Datum values[] = {ObjectIdGetDatum(catalog->server), CStringGetTextDatum(catalog->prefix)};

	write_state(catalog, "done", NULL, counters);
	execute(&forget_prefixes_statement, values, NULL);
	end_access(access);
	/* So that everything before is on disk, too. */
	ForceSyncCommit();
	commit();
}

void
catalog_fail(struct catalog *catalog, const char *error, const struct sync_counters *counters)
{
	struct access access = begin_access(catalog);

	write_state(catalog, "failed", error, counters);
	end_access(access);
	commit();
}

/* --- rows of objects that were not read --- */

void
catalog_renew(struct catalog *catalog, const struct merge_row *rows, int count)
{
	struct access access = begin_access(catalog);
	int i;

	for (i = 0; i < count; i++)
	{
		Datum values[4] = {ObjectIdGetDatum(catalog->server)};
		char nulls[] = "    ";
		bool isnull;

		if (!rows[i].renewed)
			continue;
		values[1] = CStringGetTextDatum(rows[i].key);
		values[2] = time_datum(rows[i].new_last_modified, &isnull);
		values[3] = CStringGetTextDatum(rows[i].new_storage_class);
		nulls[2] = isnull ? 'n' : ' ';
		execute(&renew_statement, values, nulls);
	}
	end_access(access);
	commit();
}

uint64
catalog_remove(struct catalog *catalog, char **keys, int count)
{
	struct access access = begin_access(catalog);
	Datum *datums = palloc(count * sizeof(Datum));
	Datum values[2] = {ObjectIdGetDatum(catalog->server)};
	bool isnull;
	uint64 removed;
	int i;

	for (i = 0; i < count; i++)
		datums[i] = CStringGetTextDatum(keys[i]);
	values[1] = array_datum(datums, NULL, count, TEXTOID);
	execute(&remove_statement, values, NULL);
	removed = (uint64) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	end_access(access);
	commit();
	return removed;
}
