/*
 * archive.c
 *	  Objects that move to another storage class, and the catalog with them; objects that are asked back.
 *
 * A copy in place may give an object another etag, and gives it another time. The copy is made of the version that the catalog knows, or not
 * at all, and what it became is written where the old version stood: so no sync takes it for a changed object.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "../lake/epoch.h"
#include "../pg/own_tables.h"
#include "../pg/report.h"
#include "../pg/result_rows.h"
#include "../server/server.h"

#define ETAG_ROOM     128
#define MOVES_AT_ONCE 64

SQL_FUNCTION(dicom_archivable);
SQL_FUNCTION(dicom_restore_objects);
SQL_FUNCTION(dicom_set_storage_class);

/* The next objects that may move: of these days, read without a fault, not changed since, in one of these classes. */
static const char archivable_statement[] =
	"SELECT o.study_date, o.key FROM dicom.object o"
	" WHERE o.server = $1 AND o.study_date = ANY ($2) AND o.last_modified < $3 AND o.storage_class = ANY ($4)"
	" AND o.key > $5 AND o.state = 'ok' AND o.etag <> '' ORDER BY o.key LIMIT $6";

static const char known_statement[] =
	"SELECT coalesce(o.etag, ''), o.study_date FROM unnest($2) WITH ORDINALITY k (key, place)"
	" LEFT JOIN dicom.object o ON o.server = $1 AND o.key = k.key ORDER BY k.place";

static const char moved_statement[] =
	"UPDATE dicom.object o SET etag = $4, storage_class = $5, last_modified = $6"
	" WHERE o.server = $1 AND o.key = $2 AND o.etag = $3";

/* An object on its way. */
struct moved
{
	char *key;
	char *known_etag; /* of the catalog; empty: it knows none */
	Datum day;
	bool no_day;
	struct store_change *change; /* under way */
	bool failed;
	struct dicom_error error;
	char etag[ETAG_ROOM];
	int64 last_modified;
};

static char *
server_text(const char *text)
{
	int length = strlen(text);

	return text_to_server(text, &length, NULL);
}

static struct moved *
objects_of(ArrayType *array, int *count)
{
	struct moved *objects;
	Datum *texts;
	bool *nulls;
	int i;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, count);
	objects = MemoryContextAllocHuge(CurrentMemoryContext, (*count + 1) * sizeof(*objects));
	memset(objects, 0, (*count + 1) * sizeof(*objects));
	for (i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("keys must not be NULL")));
		objects[i].key = TextDatumGetCString(texts[i]);
	}
	return objects;
}

/* --- the catalog --- */

static void
ask_catalog(Oid server, Datum keys, struct moved *objects, int count)
{
	Oid types[] = {OIDOID, TEXTARRAYOID};
	Datum values[] = {ObjectIdGetDatum(server), keys};
	MemoryContext caller = CurrentMemoryContext;
	struct own_tables access = own_tables_begin("object");
	int i;

	own_tables_execute(known_statement, 2, types, values, NULL);
	for (i = 0; i < count && i < (int) SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];

		objects[i].known_etag = MemoryContextStrdup(caller, SPI_getvalue(row, SPI_tuptable->tupdesc, 1));
		objects[i].day = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &objects[i].no_day);
	}
	own_tables_end(access);
}

static void
tell_catalog(Oid server, const struct moved *objects, int count, const char *storage_class)
{
	Oid types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	struct own_tables access = own_tables_begin("object");
	int i;

	for (i = 0; i < count; i++)
	{
		Datum values[] = {ObjectIdGetDatum(server),
						  CStringGetTextDatum(objects[i].key),
						  CStringGetTextDatum(objects[i].known_etag),
						  CStringGetTextDatum(server_text(objects[i].etag)),
						  CStringGetTextDatum(storage_class),
						  TimestampTzGetDatum(objects[i].last_modified - EPOCH_MICROSECONDS)};

		if (!objects[i].failed)
			own_tables_execute(moved_statement, lengthof(types), types, values, NULL);
	}
	own_tables_end(access);
}

/* --- moving --- */

/* Where the store does not copy in one request, or does not say when it did. Whatever was put there meanwhile has another etag. */
static enum dicom_status
move_long(struct store *store, struct moved *object, const char *storage_class)
{
	const char *key = text_to_utf8(object->key);
	struct store_object now;

	if (store_copy(store, key, text_to_utf8(object->known_etag), store, key, storage_class, object->etag,
				   &object->error) != DICOM_OK ||
		store_head(store, key, &now, &object->error) != DICOM_OK)
		return DICOM_FAILED;
	object->last_modified = now.last_modified;
	if (now.etag && strcmp(now.etag, object->etag) != 0)
		return dicom_fail(&object->error, DICOM_ERROR_CHANGED, "the object was replaced meanwhile");
	return DICOM_OK;
}

static void
begin_move(struct store *store, struct moved *object, const char *storage_class)
{
	const char *key = text_to_utf8(object->key);

	CHECK_FOR_INTERRUPTS();
	if (*object->known_etag)
		object->failed = store_copy_open(store, key, text_to_utf8(object->known_etag), store, key,
										 storage_class, &object->change, &object->error) != DICOM_OK;
	else
	{
		object->failed = true;
		dicom_fail(&object->error, DICOM_ERROR_NOT_FOUND, "the catalog does not know this object");
	}
}

/* What the copy became is what the catalog has from now on: an object put there since has another etag, which the next sync finds. */
static void
finish_move(struct store *store, struct moved *object, const char *storage_class)
{
	enum dicom_status status;

	if (object->failed)
		return;
	while ((status = store_change_result(object->change, object->etag, &object->error)) == DICOM_PENDING)
	{
		if (store_wait(store, -1, &object->error) != DICOM_OK)
			report_error(&object->error);
	}
	object->last_modified = store_change_last_modified(object->change);
	store_change_close(object->change);
	if (status == DICOM_FAILED ? object->error.code == DICOM_ERROR_INVALID_OPTION
							   : object->last_modified == 0)
		status = move_long(store, object, storage_class);
	object->failed = status != DICOM_OK;
	if (object->failed && object->error.code == DICOM_ERROR_INTERRUPTED)
		report_error(&object->error);
}

/* Many at a time, in order. */
static void
move_objects(struct store *store, struct moved *objects, int count, const char *storage_class)
{
	int i;

	for (i = 0; i < count + MOVES_AT_ONCE; i++)
	{
		if (i >= MOVES_AT_ONCE)
			finish_move(store, &objects[i - MOVES_AT_ONCE], storage_class);
		if (i < count)
			begin_move(store, &objects[i], storage_class);
	}
}

static void
put_failure(const struct dicom_error *error, Datum *values, bool *nulls)
{
	values[0] = CStringGetTextDatum(unpack_sql_state(report_sqlstate(error)));
	values[1] = CStringGetTextDatum(report_line(error));
	nulls[0] = nulls[1] = false;
}

/* dicom.set_storage_class(server text, keys text[], storage_class text) */
Datum
dicom_set_storage_class(PG_FUNCTION_ARGS)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char *storage_class = text_to_cstring(PG_GETARG_TEXT_PP(2));
	int count;
	struct moved *objects = objects_of(PG_GETARG_ARRAYTYPE_P(1), &count);
	Tuplestorestate *rows;
	TupleDesc descriptor;
	struct store *store;
	int i;

	PreventCommandIfReadOnly("dicom.set_storage_class()");
	rows = result_rows_begin(fcinfo, &descriptor);
	store = server_open_writable_store(server, GetUserId(), CurrentMemoryContext);
	if (!store_is_remote(store))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE), errmsg("a directory has no storage classes"),
				 errdetail("Server: %s", server->servername),
				 errhint("Only the objects of a server over S3 can be moved.")));
	ask_catalog(server->serverid, PG_GETARG_DATUM(1), objects, count);
	move_objects(store, objects, count, storage_class);
	tell_catalog(server->serverid, objects, count, storage_class);
	for (i = 0; i < count; i++)
	{
		Datum values[6] = {CStringGetTextDatum(objects[i].key), objects[i].day,
						   CStringGetTextDatum(objects[i].known_etag)};
		bool nulls[6] = {false, objects[i].no_day, false, objects[i].failed, true, true};

		if (objects[i].failed)
			put_failure(&objects[i].error, &values[4], &nulls[4]);
		else
			values[3] = CStringGetTextDatum(server_text(objects[i].etag));
		tuplestore_putvalues(rows, descriptor, values, nulls);
	}
	return (Datum) 0;
}

/* dicom.archivable(server text, days date[], before timestamptz, classes text[], after text, most integer) */
Datum
dicom_archivable(PG_FUNCTION_ARGS)
{
	Oid types[] = {OIDOID, DATEARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID, TEXTOID, INT4OID};
	Datum values[lengthof(types)];
	TupleDesc descriptor;
	Tuplestorestate *rows = result_rows_begin(fcinfo, &descriptor);
	struct own_tables access;
	uint64 row;
	int i;

	values[0] = ObjectIdGetDatum(server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)))->serverid);
	for (i = 1; i < (int) lengthof(types); i++)
		values[i] = PG_GETARG_DATUM(i);
	access = own_tables_begin("object");
	own_tables_execute(archivable_statement, lengthof(types), types, values, NULL);
	for (row = 0; row < SPI_processed; row++)
		tuplestore_puttuple(rows, SPI_tuptable->vals[row]);
	own_tables_end(access);
	return (Datum) 0;
}

/* --- back --- */

/* dicom.restore_objects(server text, keys text[], days integer, tier text) */
Datum
dicom_restore_objects(PG_FUNCTION_ARGS)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	int days = PG_GETARG_INT32(2);
	char *tier = text_to_cstring(PG_GETARG_TEXT_PP(3));
	int count;
	struct moved *objects = objects_of(PG_GETARG_ARRAYTYPE_P(1), &count);
	Tuplestorestate *rows;
	TupleDesc descriptor;
	struct store *store;
	int i;

	if (days < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("days must be at least 1")));
	if (strcmp(tier, "Standard") != 0 && strcmp(tier, "Bulk") != 0 && strcmp(tier, "Expedited") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid tier \"%s\"", tier),
						errhint("Valid are: Standard, Bulk, Expedited.")));
	PreventCommandIfReadOnly("dicom.restore_objects()");
	rows = result_rows_begin(fcinfo, &descriptor);
	store = server_open_writable_store(server, GetUserId(), CurrentMemoryContext);
	for (i = 0; i < count; i++)
	{
		Datum values[3] = {CStringGetTextDatum(objects[i].key)};
		bool nulls[3] = {false, true, true};
		struct dicom_error error;

		CHECK_FOR_INTERRUPTS();
		if (store_restore(store, text_to_utf8(objects[i].key), days, tier, &error) != DICOM_OK)
		{
			if (error.code == DICOM_ERROR_INTERRUPTED)
				report_error(&error);
			put_failure(&error, &values[1], &nulls[1]);
		}
		tuplestore_putvalues(rows, descriptor, values, nulls);
	}
	return (Datum) 0;
}
