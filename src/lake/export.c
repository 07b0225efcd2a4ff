/*
 * export.c
 *	  dicom.export_parquet(): the rows of a query, streamed into Parquet objects of a server.
 *
 * With partition_by the query is sorted by these columns, so that one file at a time is open, however many there are. A file is seen
 * under its name when it is whole, never before.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "../pg/handle.h"
#include "../pg/report.h"
#include "../pg/wait.h"
#include "../server/server.h"
#include "convert.h"
#include "epoch.h"
#include "export_options.h"

#define PART_SIZE ((size_t) 8 << 20)

struct export
{
	DestReceiver receiver; /* first: what the executor knows */
	const struct export_options *options;
	struct store *store;
	const char *key; /* of the file, or the folder of partitions */
	MemoryContext context;
	MemoryContext row; /* reset with each row */

	TupleDesc descriptor;
	struct lake_column *columns;
	int column_count;
	struct parquet_value *values; /* of a row: room for them */
	int *partitions;              /* attributes that go into its name */
	FmgrInfo *partition_output;
	Oid *partition_types;
	char *types; /* JSON of names and types, for readers */

	MemoryContext file; /* what is of the file that is open */
	char *partition;    /* its folder; NULL: none is open */
	char *file_key;
	struct store_upload *upload;
	struct pg_handle *upload_handle;
	struct parquet_writer *writer;
	struct pg_handle *writer_handle;

	uint64 rows;
	uint64 bytes;
	ArrayBuildState *keys;
	uint64 files;
};

static void
close_upload(void *upload)
{
	store_upload_close(upload);
}

static void
close_writer(void *writer)
{
	parquet_writer_close(writer);
}

static enum dicom_status
write_upload(void *arg, const void *bytes, size_t length, struct dicom_error *error)
{
	struct export *export = arg;

	return store_upload_write(export->upload, bytes, length, error);
}

/* --- columns --- */

static bool
is_partition(const struct export *export, const char *name)
{
	ListCell *cell;

	foreach (cell, export->options->partition_by)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

static bool
has_bloom_filter(const struct export *export, const char *name)
{
	ListCell *cell;

	if (!export->options->bloom_given)
		return strlen(name) > 4 && strcmp(name + strlen(name) - 4, "_uid") == 0;
	foreach (cell, export->options->bloom_filters)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/* The types that the columns have here, told to readers who can make use of it. */
static char *
describe(const struct export *export)
{
	StringInfoData text;
	int i;

	initStringInfo(&text);
	for (i = 0; i < export->column_count; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(export->descriptor, export->columns[i].attribute);

		appendStringInfoString(&text, i == 0 ? "[{\"name\": " : ", {\"name\": ");
		escape_json(&text, NameStr(attribute->attname));
		appendStringInfoString(&text, ", \"type\": ");
		escape_json(&text, format_type_with_typemod(attribute->atttypid, attribute->atttypmod));
		appendStringInfoChar(&text, '}');
	}
	appendStringInfoChar(&text, ']');
	return text_to_utf8(text.data);
}

static void
find_partitions(struct export *export)
{
	int count = list_length(export->options->partition_by), i = 0;
	ListCell *cell;

	export->partitions = palloc0(Max(count, 1) * sizeof(int));
	export->partition_output = palloc0(Max(count, 1) * sizeof(FmgrInfo));
	foreach (cell, export->options->partition_by)
	{
		const char *name = lfirst(cell);
		Oid output;
		bool is_varlena;
		int attribute = 0;

		while (attribute < export->descriptor->natts &&
			   strcmp(NameStr(TupleDescAttr(export->descriptor, attribute)->attname), name) != 0)
			attribute++;
		if (attribute == export->descriptor->natts)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("the query has no column \"%s\" to partition by", name)));
		getTypeOutputInfo(TupleDescAttr(export->descriptor, attribute)->atttypid, &output, &is_varlena);
		fmgr_info(output, &export->partition_output[i]);
		export->partitions[i++] = attribute;
	}
}

static void
find_columns(struct export *export)
{
	int i;

	export->columns = palloc0(export->descriptor->natts * sizeof(*export->columns));
	export->values = palloc0(export->descriptor->natts * sizeof(*export->values));
	for (i = 0; i < export->descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(export->descriptor, i);
		struct lake_column *column = &export->columns[export->column_count];

		if (is_partition(export, NameStr(attribute->attname)))
			continue;
		lake_column_of(column, attribute);
		column->parquet.bloom_filter = has_bloom_filter(export, column->name);
		export->column_count++;
	}
	if (export->column_count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the query has no column to write")));
}

/* --- files --- */

static void
open_file(struct export *export)
{
	struct store_put_request put = {.key = export->file_key,
									.content_type = "application/vnd.apache.parquet",
									.if_none_match = !export->options->overwrite,
									.part_size = PART_SIZE};
	struct parquet_options options = export->options->parquet;
	struct parquet_sink sink = {write_upload, export};
	struct parquet_column *columns = palloc(export->column_count * sizeof(*columns));
	struct dicom_error error;
	int i;

	for (i = 0; i < export->column_count; i++)
		columns[i] = export->columns[i].parquet;
	if (store_upload_open(export->store, &put, &export->upload, &error) != DICOM_OK)
		report_error(&error);
	export->upload_handle = handle_tie(export->file, close_upload, export->upload);
	options.host = backend_host;
	if (parquet_writer_open(columns, export->column_count, &options, &sink, &export->writer, &error) !=
		DICOM_OK)
		report_error(&error);
	export->writer_handle = handle_tie(export->file, close_writer, export->writer);
	if (parquet_writer_metadata(export->writer, "dicom_fdw.columns", export->types, &error) != DICOM_OK)
		report_error(&error);
}

static void
finish_file(struct export *export)
{
	MemoryContext old = MemoryContextSwitchTo(export->file);
	struct dicom_error error;
	Datum key;

	if (parquet_writer_finish(export->writer, &error) != DICOM_OK ||
		store_upload_finish(export->upload, NULL, &error) != DICOM_OK)
		report_error(&error);
	export->bytes += parquet_writer_bytes(export->writer);
	export->files++;
	handle_close(export->writer_handle);
	handle_close(export->upload_handle);
	MemoryContextSwitchTo(export->context);
	key = CStringGetTextDatum(export->file_key);
	export->keys = accumArrayResult(export->keys, key, false, TEXTOID, export->context);
	MemoryContextSwitchTo(old);
	MemoryContextReset(export->file);
	export->partition = NULL;
}

static void
begin_file(struct export *export, const char *partition)
{
	MemoryContext old = MemoryContextSwitchTo(export->file);
	const char *name = export->options->file_name;

	export->partition = pstrdup(partition);
	export->file_key = list_length(export->options->partition_by) == 0
						   ? pstrdup(export->key)
						   : psprintf("%s%s%s", export->key, partition, name);
	export->file_key = text_to_utf8(export->file_key);
	open_file(export);
	MemoryContextSwitchTo(old);
}

/* A value in the name of a folder, escaped as Hive does. */
static void
append_escaped(StringInfo path, const char *value)
{
	for (; *value; value++)
	{
		unsigned char c = (unsigned char) *value;

		if (c < 0x20 || c == 0x7F || strchr("\"#%'*/:=?\\{}[]^", c))
			appendStringInfo(path, "%%%02X", c);
		else
			appendStringInfoChar(path, (char) c);
	}
}

/* "year=2021/month=09/" of a row, in the current context. */
static char *
partition_of(struct export *export, TupleTableSlot *slot)
{
	StringInfoData path;
	ListCell *cell;
	int i = 0;

	initStringInfo(&path);
	foreach (cell, export->options->partition_by)
	{
		int attribute = export->partitions[i];

		append_escaped(&path, lfirst(cell));
		appendStringInfoChar(&path, '=');
		if (slot->tts_isnull[attribute])
			appendStringInfoString(&path, "__HIVE_DEFAULT_PARTITION__");
		else
			append_escaped(&path,
						   OutputFunctionCall(&export->partition_output[i], slot->tts_values[attribute]));
		appendStringInfoChar(&path, '/');
		i++;
	}
	return path.data;
}

static void
choose_file(struct export *export, TupleTableSlot *slot)
{
	char *partition = partition_of(export, slot);

	if (export->partition && strcmp(export->partition, partition) == 0)
		return;
	if (export->partition)
		finish_file(export);
	begin_file(export, partition);
}

/* --- what the executor calls --- */

static void
receive_start(DestReceiver *self, int operation, TupleDesc descriptor)
{
	struct export *export = (struct export *) self;
	MemoryContext old = MemoryContextSwitchTo(export->context);

	export->descriptor = CreateTupleDescCopy(descriptor);
	find_partitions(export);
	find_columns(export);
	export->types = describe(export);
	MemoryContextSwitchTo(old);
	if (export->options->partition_by == NIL)
		begin_file(export, "");
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	struct export *export = (struct export *) self;
	MemoryContext old = MemoryContextSwitchTo(export->row);

	slot_getallattrs(slot);
	if (export->options->partition_by != NIL)
		choose_file(export, slot);
	lake_put_row(export->writer, export->columns, export->column_count, slot, export->values);
	export->rows++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(export->row);
	return true;
}

static void
receive_end(DestReceiver *self)
{
	struct export *export = (struct export *) self;

	if (export->partition)
		finish_file(export);
}

static void
receive_destroy(DestReceiver *self)
{
}

/* --- the function --- */

/* One statement that returns rows and writes nothing. */
static void
run_query(struct export *export, const char *query)
{
	SPIPlanPtr plan;
	SPIExecuteOptions options = {.read_only = true, .dest = &export->receiver, .must_return_tuples = true};

	SPI_connect();
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the query is not one statement that returns rows"),
						errhint("Give one SELECT, without a semicolon in the middle.")));
	if (SPI_execute_plan_extended(plan, &options) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the query cannot be run")));
	SPI_finish();
}

/* The query sorted by what its rows are parted by. */
static char *
sorted(const char *query, List *partition_by)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	appendStringInfo(&text, "SELECT * FROM (%s\n) AS q ORDER BY ", query);
	foreach (cell, partition_by)
		appendStringInfo(&text, "%s%s", foreach_current_index(cell) ? ", " : "",
						 quote_identifier(lfirst(cell)));
	return text.data;
}

static Datum
text_columns(const struct export *export)
{
	ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	int i;

	for (i = 0; i < export->column_count; i++)
	{
		if (export->columns[i].as_text)
			names = accumArrayResult(names, CStringGetTextDatum(export->columns[i].name), false, TEXTOID,
									 CurrentMemoryContext);
	}
	return makeArrayResult(names, CurrentMemoryContext);
}

static Datum
result_of(struct export *export, FunctionCallInfo fcinfo)
{
	TupleDesc descriptor;
	Datum values[5];
	bool nulls[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("return type must be a row type")));
	values[0] = Int64GetDatum((int64) export->rows);
	values[1] = Int64GetDatum((int64) export->bytes);
	values[2] = Int64GetDatum((int64) export->files);
	values[3] = makeArrayResult(export->keys, CurrentMemoryContext);
	values[4] = text_columns(export);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

SQL_FUNCTION(dicom_export_parquet);
Datum
dicom_export_parquet(PG_FUNCTION_ARGS)
{
	char *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	struct export_options *options = export_options_read(PG_GETARG_JSONB_P(3));
	struct export *export = palloc0(sizeof(*export));

	export->receiver = (DestReceiver){receive_row, receive_start, receive_end, receive_destroy, DestNone};
	export->options = options;
	export->key = text_to_cstring(PG_GETARG_TEXT_PP(2));
	export->context = CurrentMemoryContext;
	export->row = AllocSetContextCreate(CurrentMemoryContext, "dicom export row", ALLOCSET_DEFAULT_SIZES);
	export->keys = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	export->store = server_open_writable_store(server, GetUserId(), CurrentMemoryContext);
	/* Below it, so that an upload that was left is given up before the store is closed. */
	export->file = AllocSetContextCreate(CurrentMemoryContext, "dicom export file", ALLOCSET_DEFAULT_SIZES);
	run_query(export, options->partition_by ? sorted(query, options->partition_by) : query);
	return result_of(export, fcinfo);
}

/* dicom.sweep_uploads(server, prefix, older_than) */
SQL_FUNCTION(dicom_sweep_uploads);
Datum
dicom_sweep_uploads(PG_FUNCTION_ARGS)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char *prefix = text_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	TimestampTz before = DatumGetTimestampTz(DirectFunctionCall2(
		timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp()), PG_GETARG_DATUM(2)));
	struct store *store = server_open_writable_store(server, GetUserId(), CurrentMemoryContext);
	struct dicom_error error;
	uint64_t removed;

	if (store_sweep(store, prefix, before + EPOCH_MICROSECONDS, &removed, &error) != DICOM_OK)
		report_error(&error);
	PG_RETURN_INT64((int64) removed);
}
