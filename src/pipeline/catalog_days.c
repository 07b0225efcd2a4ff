/*
 * catalog_days.c
 *	  What a pipeline asks the catalog, and tells it: the days that are stale, the objects of days.
 *
 * The catalog's tables are its owner's. Who has USAGE on a server may know what it knows of the server's files, as through a foreign
 * table.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "../pg/own_tables.h"
#include "../pg/result_rows.h"
#include "../server/server.h"

SQL_FUNCTION(dicom_catalog_days);
SQL_FUNCTION(dicom_day_sizes);
SQL_FUNCTION(dicom_failed_objects);
SQL_FUNCTION(dicom_forget_objects);
SQL_FUNCTION(dicom_objects_of_days);
SQL_FUNCTION(dicom_retry_copies);
SQL_FUNCTION(dicom_retry_objects);
SQL_FUNCTION(dicom_take_stale_days);

/* Every pipeline over the server gets every day, under each epoch that it keeps; who takes them does so for all. */
static const char take_statement[] =
	"WITH taken AS (DELETE FROM dicom.stale_day s WHERE s.server = $1 RETURNING s.day, s.since, s.touched_at)"
	" INSERT INTO dicom.layer_day AS d (pipeline, layer, epoch, day, state, stale_since, touched_at)"
	" SELECT p.name, l.name, e.epoch, t.day, 'stale', t.since, t.touched_at"
	" FROM taken t, pg_foreign_server f"
	" JOIN dicom.pipeline p ON p.raw = f.srvname"
	" JOIN dicom.layer l ON l.pipeline = p.name AND l.kind = 'day'"
	" JOIN LATERAL unnest(ARRAY[p.epoch, p.next_epoch]) e (epoch) ON e.epoch IS NOT NULL"
	" WHERE f.oid = $1"
	" ON CONFLICT (pipeline, layer, epoch, day) DO UPDATE SET state = 'stale', touched_at = excluded.touched_at,"
	" stale_since = CASE WHEN d.state = 'fresh' THEN excluded.stale_since ELSE coalesce(d.stale_since, excluded.stale_since) END,"
	" failures = 0, next_attempt = NULL";

/* From day to day by index, however many objects each has. */
static const char days_statement[] =
	"WITH RECURSIVE d (day) AS ("
	" (SELECT o.study_date FROM dicom.object o WHERE o.server = $1 ORDER BY o.study_date LIMIT 1)"
	" UNION ALL"
	" SELECT (SELECT o.study_date FROM dicom.object o WHERE o.server = $1 AND o.study_date > d.day ORDER BY o.study_date LIMIT 1)"
	" FROM d WHERE d.day IS NOT NULL)"
	" SELECT d.day, clock_timestamp() FROM d WHERE d.day IS NOT NULL";

static const char sizes_statement[] =
	"SELECT u.day, s.objects, s.changed FROM unnest($2, $3) u (day, since), LATERAL"
	" (SELECT count(*) AS objects, count(*) FILTER (WHERE o.synced_at >= u.since) AS changed"
	" FROM dicom.object o WHERE o.server = $1 AND o.study_date = u.day) s";

static const char objects_statement[] =
	"SELECT o.study_date, o.key, o.etag, o.size, o.state, o.error_code, o.error"
	" FROM dicom.object o WHERE o.server = $1 AND o.study_date = ANY ($2)";

static const char failed_statement[] = "SELECT o.study_date, o.key, o.error_code, o.error, o.next_attempt"
									   " FROM dicom.object o WHERE o.server = $1 AND o.state = 'failed'";

/* What cannot be read is not forgotten: the catalog is all that is to be had of it. */
static const char forget_statement[] =
	"UPDATE dicom.object o SET etag = '', next_attempt = NULL WHERE o.server = $1 AND o.study_date = ANY ($2) AND o.etag <> ''"
	" AND coalesce(o.storage_class, '') NOT IN ('GLACIER', 'DEEP_ARCHIVE')";

static const char retry_statement[] =
	"UPDATE dicom.object o SET next_attempt = NULL WHERE o.server = $1 AND o.state <> 'ok' AND o.next_attempt IS NOT NULL";

static const char retry_copies_statement[] =
	"UPDATE dicom.copied c SET next_attempt = NULL WHERE c.source = $1 AND c.target = $2 AND c.failures > 0 AND c.next_attempt IS NOT NULL";

/* The first argument is the server's name; a statement has its oid as $1. */
static struct own_tables
execute(FunctionCallInfo fcinfo, const char *statement, int argument_count)
{
	static Oid types[] = {OIDOID, DATEARRAYOID, TIMESTAMPTZARRAYOID};
	Datum values[lengthof(types)];
	struct own_tables access;
	int i;

	values[0] = ObjectIdGetDatum(server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)))->serverid);
	for (i = 1; i < argument_count; i++)
		values[i] = PG_GETARG_DATUM(i);
	access = own_tables_begin("object");
	own_tables_execute(statement, argument_count, types, values, NULL);
	return access;
}

static Datum
execute_command(FunctionCallInfo fcinfo, const char *statement, int argument_count)
{
	struct own_tables access = execute(fcinfo, statement, argument_count);
	uint64 processed = SPI_processed;

	own_tables_end(access);
	PG_RETURN_INT64((int64) processed);
}

static Datum
execute_query(FunctionCallInfo fcinfo, const char *statement, int argument_count)
{
	TupleDesc descriptor;
	Tuplestorestate *rows = result_rows_begin(fcinfo, &descriptor);
	struct own_tables access = execute(fcinfo, statement, argument_count);
	uint64 i;

	for (i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
	own_tables_end(access);
	return (Datum) 0;
}

Datum
dicom_take_stale_days(PG_FUNCTION_ARGS)
{
	return execute_command(fcinfo, take_statement, 1);
}

Datum
dicom_forget_objects(PG_FUNCTION_ARGS)
{
	return execute_command(fcinfo, forget_statement, 2);
}

Datum
dicom_retry_objects(PG_FUNCTION_ARGS)
{
	return execute_command(fcinfo, retry_statement, 1);
}

/* retry_copies(source text, target text) */
Datum
dicom_retry_copies(PG_FUNCTION_ARGS)
{
	Oid types[] = {OIDOID, OIDOID};
	Datum servers[2];
	struct own_tables access;
	uint64 processed;
	int i;

	for (i = 0; i < 2; i++)
		servers[i] = ObjectIdGetDatum(server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(i)))->serverid);
	access = own_tables_begin("copied");
	own_tables_execute(retry_copies_statement, 2, types, servers, NULL);
	processed = SPI_processed;
	own_tables_end(access);
	PG_RETURN_INT64((int64) processed);
}

Datum
dicom_catalog_days(PG_FUNCTION_ARGS)
{
	return execute_query(fcinfo, days_statement, 1);
}

Datum
dicom_day_sizes(PG_FUNCTION_ARGS)
{
	return execute_query(fcinfo, sizes_statement, 3);
}

Datum
dicom_objects_of_days(PG_FUNCTION_ARGS)
{
	return execute_query(fcinfo, objects_statement, 2);
}

Datum
dicom_failed_objects(PG_FUNCTION_ARGS)
{
	return execute_query(fcinfo, failed_statement, 1);
}
