/*
 * server_rows.c
 *	  Set-returning functions over the files of a server: dicom.patients('scans', '2004/') and its kin.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "../fdw/scan.h"
#include "../pg/report.h"
#include "../server/options.h"
#include "../server/server.h"
#include "rows.h"

/* A tuplestore for the rows of the function that is being called, and their descriptor. */
Tuplestorestate *
rows_begin(FunctionCallInfo fcinfo, TupleDesc *descriptor)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	Tuplestorestate *rows;

	if (result == NULL || !IsA(result, ReturnSetInfo) || !(result->allowedModes & SFRM_Materialize))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set"),
						errhint("Write SELECT ... FROM dicom.function(...).")));
	if (get_call_result_type(fcinfo, NULL, descriptor) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("return type must be a row type")));
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	*descriptor = CreateTupleDescCopy(*descriptor);
	rows = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(old);
	result->returnMode = SFRM_Materialize;
	result->setResult = rows;
	result->setDesc = *descriptor;
	return rows;
}

struct column *
rows_columns(TupleDesc descriptor, enum entity_kind entity)
{
	struct column *columns = palloc0(descriptor->natts * sizeof(struct column));
	int i;

	for (i = 0; i < descriptor->natts; i++)
		column_resolve(&columns[i], entity, TupleDescAttr(descriptor, i), NIL);
	return columns;
}

/* All keys that begin with the prefix, or the one object whose key it is. */
static struct key_plan *
plan_of_prefix(const char *prefix)
{
	struct key_plan *plan = palloc0(sizeof(*plan));
	struct key_range *range = palloc0(sizeof(*range));

	range->prefix = text_to_utf8(prefix);
	plan->ranges = list_make1(range);
	plan->prefix_or_key = prefix[0] != '\0';
	return plan;
}

static Datum
explode(FunctionCallInfo fcinfo, enum entity_kind entity)
{
	struct scan_request request = {0};
	struct scan *scan;
	Tuplestorestate *rows;
	Datum *values;
	bool *nulls;

	request.server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	request.user = GetUserId();
	request.entity = entity;
	request.freshness_ms = option_milliseconds(request.server->options, "freshness", 0);
	request.name = psprintf("dicom.%s()", option_entity_words[entity]);
	rows = rows_begin(fcinfo, &request.descriptor);
	request.columns = rows_columns(request.descriptor, entity);
	request.column_count = request.descriptor->natts;
	values = palloc0(request.descriptor->natts * sizeof(Datum));
	nulls = palloc0(request.descriptor->natts * sizeof(bool));
	scan = scan_open(&request, CurrentMemoryContext);
	scan_start(scan, plan_of_prefix(text_to_cstring(PG_GETARG_TEXT_PP(1))), NULL);
	while (scan_next(scan, values, nulls))
		tuplestore_putvalues(rows, request.descriptor, values, nulls);
	scan_report(scan);
	scan_close(scan);
	return (Datum) 0;
}

#define EXPLODE_FUNCTION(name, entity)  \
	SQL_FUNCTION(name);                 \
	Datum name(PG_FUNCTION_ARGS)        \
	{                                   \
		return explode(fcinfo, entity); \
	}

EXPLODE_FUNCTION(dicom_explode_patients, ENTITY_PATIENTS)
EXPLODE_FUNCTION(dicom_explode_devices, ENTITY_DEVICES)
EXPLODE_FUNCTION(dicom_explode_studies, ENTITY_STUDIES)
EXPLODE_FUNCTION(dicom_explode_series, ENTITY_SERIES)
EXPLODE_FUNCTION(dicom_explode_images, ENTITY_IMAGES)
EXPLODE_FUNCTION(dicom_explode_files, ENTITY_FILES)
EXPLODE_FUNCTION(dicom_explode_elements, ENTITY_ELEMENTS)
