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
#include "../pg/result_rows.h"
#include "../server/options.h"
#include "../server/server.h"
#include "rows.h"

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
	rows = result_rows_begin(fcinfo, &request.descriptor);
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
