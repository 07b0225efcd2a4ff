/*
 * read.c
 *	  dicom.read_parquet() and dicom.parquet_columns(): Parquet objects as rows.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "../pg/handle.h"
#include "../pg/report.h"
#include "../pg/result_rows.h"
#include "../server/server.h"
#include "blocks.h"
#include "convert.h"

/* A column that is asked for. */
struct target
{
	int index; /* of the file's column */
	Oid type;
	int32 typmod;
	bool is_same; /* of the type that comes out of the file */
	FmgrInfo output;
	FmgrInfo input;
	Oid input_argument;
};

static void
close_reader(void *reader)
{
	parquet_reader_close(reader);
}

/* Opens the object of the function's first two arguments in the current context. */
static struct parquet_reader *
open_reader(FunctionCallInfo fcinfo)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char *key = text_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	struct store *store = server_open_store(server, GetUserId(), CurrentMemoryContext);
	struct parquet_source source;
	struct parquet_reader *reader;
	struct dicom_error error;

	blocks_open(store, key, &source);
	if (parquet_reader_open(&source, &reader, &error) != DICOM_OK)
	{
		snprintf(error.object, sizeof(error.object), "%s%s", server_location(server), key);
		report_error(&error);
	}
	handle_tie(CurrentMemoryContext, close_reader, reader);
	return reader;
}

static char *
column_name(const struct parquet_column *column)
{
	int length = strlen(column->name);

	return text_to_server(column->name, &length, NULL);
}

static void
resolve(struct target *target, const struct parquet_reader *reader, Form_pg_attribute attribute)
{
	const struct parquet_column *columns;
	int count = parquet_reader_columns(reader, &columns);
	Oid natural, element, input, output;
	int32 typmod;
	bool is_varlena;

	for (target->index = 0; target->index < count; target->index++)
	{
		if (strcmp(column_name(&columns[target->index]), NameStr(attribute->attname)) == 0)
			break;
	}
	if (target->index == count)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("the file has no column \"%s\"", NameStr(attribute->attname)),
						errhint("dicom.parquet_columns() lists those that it has.")));
	natural = lake_type_of(&columns[target->index], &element, &typmod);
	target->type = attribute->atttypid;
	target->typmod = attribute->atttypmod;
	target->is_same = natural == attribute->atttypid && attribute->atttypmod == -1;
	getTypeOutputInfo(natural, &output, &is_varlena);
	fmgr_info(output, &target->output);
	getTypeInputInfo(attribute->atttypid, &input, &target->input_argument);
	fmgr_info(input, &target->input);
}

static Datum
convert(struct target *target, const struct parquet_column *column, const struct parquet_value *values,
		uint32_t count)
{
	Datum datum = lake_datum(column, values, count);

	if (target->is_same)
		return datum;
	return InputFunctionCall(&target->input, OutputFunctionCall(&target->output, datum),
							 target->input_argument, target->typmod);
}

static void
fill_row(const struct parquet_reader *reader, struct target *targets, int count, Datum *values, bool *nulls)
{
	const struct parquet_column *columns;
	int i;

	(void) parquet_reader_columns(reader, &columns);
	for (i = 0; i < count; i++)
	{
		uint32_t value_count;
		const struct parquet_value *value =
			parquet_reader_values(reader, targets[i].index, &value_count, &nulls[i]);

		if (!nulls[i])
			values[i] = convert(&targets[i], &columns[targets[i].index], value, value_count);
	}
}

SQL_FUNCTION(dicom_read_parquet);
Datum
dicom_read_parquet(PG_FUNCTION_ARGS)
{
	TupleDesc descriptor;
	Tuplestorestate *rows = result_rows_begin(fcinfo, &descriptor);
	struct parquet_reader *reader = open_reader(fcinfo);
	struct target *targets = palloc0(descriptor->natts * sizeof(*targets));
	Datum *values = palloc0(descriptor->natts * sizeof(*values));
	bool *nulls = palloc0(descriptor->natts * sizeof(*nulls));
	MemoryContext row =
		AllocSetContextCreate(CurrentMemoryContext, "dicom parquet row", ALLOCSET_DEFAULT_SIZES);
	enum dicom_status status;
	struct dicom_error error;
	int i;

	for (i = 0; i < descriptor->natts; i++)
		resolve(&targets[i], reader, TupleDescAttr(descriptor, i));
	while ((status = parquet_reader_next(reader, &error)) == DICOM_OK)
	{
		MemoryContext old = MemoryContextSwitchTo(row);

		CHECK_FOR_INTERRUPTS();
		fill_row(reader, targets, descriptor->natts, values, nulls);
		MemoryContextSwitchTo(old);
		tuplestore_putvalues(rows, descriptor, values, nulls);
		MemoryContextReset(row);
	}
	if (status == DICOM_FAILED)
		report_error(&error);
	return (Datum) 0;
}

SQL_FUNCTION(dicom_parquet_columns);
Datum
dicom_parquet_columns(PG_FUNCTION_ARGS)
{
	TupleDesc descriptor;
	Tuplestorestate *rows = result_rows_begin(fcinfo, &descriptor);
	struct parquet_reader *reader = open_reader(fcinfo);
	const struct parquet_column *columns;
	int count = parquet_reader_columns(reader, &columns), i;

	for (i = 0; i < count; i++)
	{
		Oid element;
		int32 typmod;
		Oid type = lake_type_of(&columns[i], &element, &typmod);
		Datum values[4] = {Int32GetDatum(i + 1), CStringGetTextDatum(column_name(&columns[i])),
						   CStringGetTextDatum(format_type_with_typemod(type, typmod)),
						   Int64GetDatum((int64) parquet_reader_rows(reader))};
		bool nulls[4] = {false};

		tuplestore_putvalues(rows, descriptor, values, nulls);
	}
	return (Datum) 0;
}
