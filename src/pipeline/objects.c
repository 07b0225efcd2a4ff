/*
 * objects.c
 *	  dicom.copy_objects() and dicom.delete_objects(): named objects of one server.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "../pg/report.h"
#include "../pg/result_rows.h"
#include "../pg/text_array.h"
#include "../server/server.h"
#include "transfer.h"

#define DELETES_AT_ONCE 64

SQL_FUNCTION(dicom_copy_objects);
SQL_FUNCTION(dicom_delete_objects);

/* As a store has them. */
static int
keys_of(ArrayType *array, char ***keys)
{
	int count = text_array_elements(array, "keys", keys);
	int i;

	for (i = 0; i < count; i++)
		(*keys)[i] = text_to_utf8((*keys)[i]);
	return count;
}

/* --- copying --- */

static Datum
text_datum(const char *text)
{
	int length = strlen(text);

	return CStringGetTextDatum(text_to_server(text, &length, NULL));
}

static void
put_result(Tuplestorestate *rows, TupleDesc descriptor, const struct transfer_result *result)
{
	Datum values[5] = {text_datum(result->key), text_datum(result->target_key)};
	bool failed = result->status != DICOM_OK;
	bool nulls[5] = {false, false, failed, !failed, !failed};

	if (failed && dicom_error_is_of_store(result->error.code))
		report_error(&result->error);
	if (failed)
	{
		values[3] = CStringGetTextDatum(unpack_sql_state(report_sqlstate(&result->error)));
		values[4] = CStringGetTextDatum(report_line(&result->error));
	}
	else
		values[2] = text_datum(result->target_etag);
	tuplestore_putvalues(rows, descriptor, values, nulls);
}

/* dicom.copy_objects(server text, from_keys text[], to_keys text[]) */
Datum
dicom_copy_objects(PG_FUNCTION_ARGS)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	const struct transfer_result *result;
	Tuplestorestate *rows;
	TupleDesc descriptor;
	struct transfer *transfer;
	struct store *store;
	char **from;
	char **to;
	int count = keys_of(PG_GETARG_ARRAYTYPE_P(1), &from);
	int i;

	if (keys_of(PG_GETARG_ARRAYTYPE_P(2), &to) != count)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("from_keys and to_keys must have the same number of elements")));
	PreventCommandIfReadOnly("dicom.copy_objects()");
	rows = result_rows_begin(fcinfo, &descriptor);
	store = server_open_writable_store(server, GetUserId(), CurrentMemoryContext);
	store_defer_sync(store);
	transfer = transfer_open(store, store, CurrentMemoryContext);
	for (i = 0; i < count; i++)
	{
		struct store_object object = {.key = from[i], .size = STORE_SIZE_UNKNOWN};

		while (!transfer_has_room(transfer))
			put_result(rows, descriptor, transfer_next(transfer));
		transfer_add(transfer, &object, to[i]);
	}
	while ((result = transfer_next(transfer)) != NULL)
		put_result(rows, descriptor, result);
	server_flush_store(store);
	return (Datum) 0;
}

/* --- deleting --- */

struct deletion
{
	struct store *store;
	struct store_change *changes[DELETES_AT_ONCE];
	int count;
	uint64 deleted;
	uint64 failed;
	struct dicom_error error; /* the first one */
};

static void
note_deletion(struct deletion *deletion, enum dicom_status status, const struct dicom_error *error)
{
	if (status == DICOM_OK)
		deletion->deleted++;
	else if (deletion->failed++ == 0)
		deletion->error = *error;
}

static void
finish_deletions(struct deletion *deletion)
{
	int i;

	for (i = 0; i < deletion->count; i++)
	{
		struct dicom_error error;
		enum dicom_status status;

		while ((status = store_change_result(deletion->changes[i], NULL, &error)) == DICOM_PENDING)
			if (store_wait(deletion->store, -1, &error) != DICOM_OK)
				report_error(&error);
		store_change_close(deletion->changes[i]);
		note_deletion(deletion, status, &error);
	}
	deletion->count = 0;
}

static void
start_deletion(struct deletion *deletion, const char *key)
{
	struct dicom_error error;

	CHECK_FOR_INTERRUPTS();
	if (deletion->count == DELETES_AT_ONCE)
		finish_deletions(deletion);
	if (store_delete_open(deletion->store, key, &deletion->changes[deletion->count], &error) == DICOM_OK)
		deletion->count++;
	else
		note_deletion(deletion, DICOM_FAILED, &error);
}

/* dicom.delete_objects(server text, keys text[]) */
Datum
dicom_delete_objects(PG_FUNCTION_ARGS)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	struct deletion deletion = {0};
	char **keys;
	int count = keys_of(PG_GETARG_ARRAYTYPE_P(1), &keys);
	int i;

	PreventCommandIfReadOnly("dicom.delete_objects()");
	deletion.store = server_open_writable_store(server, GetUserId(), CurrentMemoryContext);
	store_defer_sync(deletion.store);
	for (i = 0; i < count; i++)
		start_deletion(&deletion, keys[i]);
	finish_deletions(&deletion);
	server_flush_store(deletion.store);
	if (deletion.failed > 0)
		report_error(&deletion.error);
	PG_RETURN_INT64((int64) deletion.deleted);
}
