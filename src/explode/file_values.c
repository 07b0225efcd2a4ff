/*
 * file_values.c
 *	  Functions over a DICOM file in a bytea: its elements, its JSON form, one value, and why it cannot be read.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "../dicom/json.h"
#include "../fdw/row.h"
#include "../pg/handle.h"
#include "../pg/report.h"
#include "../pg/result_rows.h"
#include "../server/options.h"
#include "rows.h"

/* A file at hand as a whole. */
struct file
{
	struct dicom_window window;
	struct dicom_selection selection;
	struct dicom_dataset dataset;
	struct column_scratch scratch;
	struct reader_item item;
	struct pg_handle *tie;
};

SQL_FUNCTION(dicom_elements_of_file);
SQL_FUNCTION(dicom_dataset_of_file);
SQL_FUNCTION(dicom_value_of_file);
SQL_FUNCTION(dicom_error_of_file);

static void
close_file(void *arg)
{
	struct file *file = arg;

	dicom_dataset_close(&file->dataset, false);
	dicom_window_free(&file->window);
	column_scratch_release(&file->scratch);
}

static void
fill_window(struct file *file, const bytea *bytes)
{
	size_t length = VARSIZE_ANY_EXHDR(bytes);
	uint8_t *room;

	dicom_window_init(&file->window, length);
	if (length == 0)
		return;
	room = dicom_window_reserve(&file->window, 0, length);
	if (room == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	memcpy(room, VARDATA_ANY(bytes), length);
	dicom_window_commit(&file->window, 0, length);
}

/* Reads what a selection asks for. The file is released with the current memory context, or by handle_close(). */
static struct file *
read_file(const bytea *bytes, const struct dicom_selection *selection)
{
	struct file *file = palloc0(sizeof(*file));
	struct dicom_error *error = &file->item.error;

	file->selection = *selection;
	file->tie = handle_tie(CurrentMemoryContext, close_file, file);
	fill_window(file, bytes);
	file->item.status = dicom_dataset_open(&file->dataset, &file->window, &file->selection, error);
	if (file->item.status == DICOM_OK)
		file->item.status = dicom_dataset_read(&file->dataset, error);
	/* There is nothing more to be had of a file that is at hand as a whole. */
	if (file->item.status == DICOM_NEED)
		file->item.status = dicom_fail(error, DICOM_ERROR_MALFORMED, "the file ends inside an element");
	file->item.dataset = &file->dataset;
	return file;
}

/* False where nothing can be had of the file. */
static bool
accept_file(struct file *file, const char *on_error)
{
	if (strcmp(on_error, "skip") != 0 && strcmp(on_error, "error") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid on_error: \"%s\"", on_error),
				 errhint("Valid values are: \"skip\", \"error\".")));
	if (file->item.status == DICOM_OK)
		return true;
	if (strcmp(on_error, "error") == 0 || file->item.error.code == DICOM_ERROR_MEMORY)
		report_error(&file->item.error);
	ereport(WARNING, (errcode(ERRCODE_WARNING),
					  errmsg("file cannot be read%s: %s", row_has_data(&file->dataset) ? " to its end" : "",
							 report_line(&file->item.error)),
					  errhint("dicom.file_error() tells the same as a value.")));
	return row_has_data(&file->dataset);
}

/* dicom.elements(file bytea, on_error text) */
Datum
dicom_elements_of_file(PG_FUNCTION_ARGS)
{
	struct dicom_selection everything = {.everything = true};
	struct file *file = read_file(PG_GETARG_BYTEA_PP(0), &everything);
	bool readable = accept_file(file, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	struct row_complaints complaints = {0};
	TupleDesc descriptor;
	Tuplestorestate *rows = result_rows_begin(fcinfo, &descriptor);
	struct column *columns = rows_columns(descriptor, ENTITY_ELEMENTS);
	Datum *values = palloc0(descriptor->natts * sizeof(Datum));
	bool *nulls = palloc0(descriptor->natts * sizeof(bool));
	MemoryContext row_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw row", ALLOCSET_DEFAULT_SIZES);
	uint32_t i;

	for (i = 0; readable && i < file->dataset.count; i++)
	{
		const struct dicom_element *element = &file->dataset.elements[i];
		MemoryContext old;
		int c;

		CHECK_FOR_INTERRUPTS();
		if (element->tag == DICOM_TAG_ITEM)
			continue;
		MemoryContextReset(row_context);
		old = MemoryContextSwitchTo(row_context);
		for (c = 0; c < descriptor->natts; c++)
			values[c] = row_datum(&columns[c], &file->scratch, &file->item, element, &complaints, &nulls[c]);
		tuplestore_putvalues(rows, descriptor, values, nulls);
		MemoryContextSwitchTo(old);
	}
	handle_close(file->tie);
	return (Datum) 0;
}

static Datum
json_of(struct file *file)
{
	struct dicom_json_options options = {.bulk_uri = ""};
	struct dicom_buffer *buffer = &file->scratch.buffer;
	int length;

	if (!dicom_json_dataset(&file->scratch.values, &file->dataset, &options, buffer))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("data set is too long for one value")));
	length = buffer->length;
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_server(buffer->data, &length, NULL)));
}

/* dicom.dataset(file bytea, on_error text) */
Datum
dicom_dataset_of_file(PG_FUNCTION_ARGS)
{
	struct dicom_selection everything = {.everything = true};
	struct file *file = read_file(PG_GETARG_BYTEA_PP(0), &everything);
	Datum result;

	if (!accept_file(file, text_to_cstring(PG_GETARG_TEXT_PP(1))))
	{
		handle_close(file->tie);
		PG_RETURN_NULL();
	}
	result = json_of(file);
	handle_close(file->tie);
	return result;
}

static void
select_path(struct dicom_selection *selection, const struct dicom_path *path, const char **creator)
{
	const struct dicom_path_step *first = &path->steps[0];

	if (first->creator[0])
	{
		*creator = first->creator;
		selection->private_tags = &first->tag;
		selection->private_creators = creator;
		selection->private_count = 1;
		return;
	}
	selection->tags = &first->tag;
	selection->tag_count = 1;
}

/* dicom.value(file bytea, path text, on_error text) */
Datum
dicom_value_of_file(PG_FUNCTION_ARGS)
{
	struct column column = {.name = "value", .type = TEXTOID, .value_type = TEXTOID, .typmod = -1};
	const char *path = text_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	struct dicom_selection selection = {0};
	struct dicom_error error;
	const char *creator;
	struct file *file;
	Datum result = (Datum) 0;
	bool isnull = true;
	bool bad;

	if (dicom_path_parse(path, strlen(path), &column.path, &error) != DICOM_OK)
		report_error(&error);
	select_path(&selection, &column.path, &creator);
	file = read_file(PG_GETARG_BYTEA_PP(0), &selection);
	if (accept_file(file, text_to_cstring(PG_GETARG_TEXT_PP(2))))
		result = column_element_datum(&column, &file->scratch, &file->dataset,
									  dicom_path_find(&file->dataset, &column.path), &isnull, &bad);
	handle_close(file->tie);
	if (isnull)
		PG_RETURN_NULL();
	return result;
}

/* dicom.file_error(file bytea) */
Datum
dicom_error_of_file(PG_FUNCTION_ARGS)
{
	struct dicom_selection header = {.whole_header = true};
	struct file *file = read_file(PG_GETARG_BYTEA_PP(0), &header);
	char *reason = file->item.status == DICOM_OK ? NULL : report_line(&file->item.error);

	handle_close(file->tie);
	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}
