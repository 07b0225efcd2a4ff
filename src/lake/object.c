/*
 * object.c
 *	  dicom.put_object() and dicom.head_object(): one small object of a server.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "../pg/report.h"
#include "../server/server.h"
#include "epoch.h"

#define ETAG_ROOM 128

SQL_FUNCTION(dicom_put_object);
SQL_FUNCTION(dicom_head_object);

static Datum
utf8_datum(const char *text)
{
	int length = strlen(text);

	return CStringGetTextDatum(text_to_server(text, &length, NULL));
}

/* dicom.put_object(server text, key text, content bytea, if_match text) */
Datum
dicom_put_object(PG_FUNCTION_ARGS)
{
	struct store_put_request put = {.content_type = "application/json"};
	struct dicom_error error;
	ForeignServer *server;
	struct store *store;
	bytea *content;
	char etag[ETAG_ROOM];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("server, key and content must not be NULL")));
	server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	content = PG_GETARG_BYTEA_PP(2);
	put.key = text_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	put.if_none_match = PG_ARGISNULL(3);
	put.if_match = PG_ARGISNULL(3) ? NULL : text_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	PreventCommandIfReadOnly("dicom.put_object()");
	store = server_open_writable_store(server, GetUserId(), CurrentMemoryContext);
	if (store_put(store, &put, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content), etag, &error) != DICOM_OK)
		report_error(&error);
	PG_RETURN_DATUM(utf8_datum(etag));
}

/* dicom.head_object(server text, key text) */
Datum
dicom_head_object(PG_FUNCTION_ARGS)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char *key = text_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	struct store *store = server_open_store(server, GetUserId(), CurrentMemoryContext);
	Datum values[4] = {0};
	bool nulls[4] = {true, true, true, true};
	struct store_object object;
	struct dicom_error error;
	TupleDesc descriptor;
	enum dicom_status status = store_head(store, key, &object, &error);

	if (status == DICOM_FAILED && error.code != DICOM_ERROR_NOT_FOUND)
		report_error(&error);
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("return type must be a row type")));
	if (status == DICOM_OK)
	{
		values[0] = utf8_datum(object.etag ? object.etag : "");
		values[1] = Int64GetDatum((int64) object.size);
		values[2] = TimestampTzGetDatum(object.last_modified - EPOCH_MICROSECONDS);
		values[3] = utf8_datum(object.storage_class ? object.storage_class : "STANDARD");
		nulls[0] = nulls[3] = false;
		nulls[1] = object.size == STORE_SIZE_UNKNOWN;
		nulls[2] = object.last_modified == 0;
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}
