/*
 * render.c
 *	  dicom.render() and dicom.frames(): pictures of a file in a bytea, or of an object of a server.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include <math.h>

#include "../pg/report.h"
#include "../pg/result_rows.h"
#include "../server/server.h"
#include "pictures.h"

/* What a function keeps from row to row of a query. */
struct rendering
{
	MemoryContext context;
	struct pictures *pictures;
	char *server_name; /* whose store is open; NULL: none */
	struct store *store;
};

static struct rendering *
rendering_of(FunctionCallInfo fcinfo)
{
	struct rendering *rendering = fcinfo->flinfo->fn_extra;
	MemoryContext old;

	if (rendering)
		return rendering;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	rendering = palloc0(sizeof(*rendering));
	rendering->context = fcinfo->flinfo->fn_mcxt;
	rendering->pictures = pictures_open();
	fcinfo->flinfo->fn_extra = rendering;
	MemoryContextSwitchTo(old);
	return rendering;
}

/* USAGE is looked at for every row; the store stays open from row to row of one server. */
static struct store *
store_of(struct rendering *rendering, const char *server_name)
{
	ForeignServer *server = server_by_name(server_name);
	MemoryContext old;

	if (rendering->server_name && strcmp(rendering->server_name, server_name) == 0)
		return rendering->store;
	old = MemoryContextSwitchTo(rendering->context);
	rendering->server_name = NULL;
	rendering->store = server_open_store(server, GetUserId(), rendering->context);
	rendering->server_name = pstrdup(server_name);
	MemoryContextSwitchTo(old);
	return rendering->store;
}

/* --- arguments --- */

static void
refuse(const char *name, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("parameter \"%s\" must be %s", name, what)));
}

/* 'file', 'file:N', 'pixels' or 'CENTER,WIDTH', as dicompress has it. */
static void
read_window(const char *text, struct picture_options *options)
{
	static const char expected[] = "'file', 'file:N', 'pixels' or 'CENTER,WIDTH'";
	char *end;
	long number;

	if (strcmp(text, "file") == 0)
		return;
	if (strcmp(text, "pixels") == 0)
	{
		options->window = PICTURE_WINDOW_PIXELS;
		return;
	}
	if (strncmp(text, "file:", 5) == 0)
	{
		number = strtol(text + 5, &end, 10);
		if (end == text + 5 || *end != '\0' || number < 1 || number > INT32_MAX)
			refuse("window_level", expected);
		options->window_number = (uint32_t) number;
		return;
	}
	options->window = PICTURE_WINDOW_GIVEN;
	options->window_center = strtod(text, &end);
	if (end == text || *end != ',')
		refuse("window_level", expected);
	text = end + 1;
	options->window_width = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(options->window_center) ||
		!isfinite(options->window_width) || options->window_width <= 0)
		refuse("window_level", expected);
}

/* max_size, quality and window_level from argument `first` on. NULL is the default. */
static void
read_options(FunctionCallInfo fcinfo, int first, struct picture_request *request)
{
	struct picture_options *options = &request->options;

	if (!PG_ARGISNULL(first))
	{
		int32 max_size = PG_GETARG_INT32(first);

		if (max_size < 1 || max_size > 65500)
			refuse("max_size", "from 1 to 65500");
		options->max_size = (uint32_t) max_size;
	}
	if (!PG_ARGISNULL(first + 1))
	{
		options->quality = PG_GETARG_INT32(first + 1);
		if (options->quality < 1 || options->quality > 100)
			refuse("quality", "from 1 to 100");
	}
	if (!PG_ARGISNULL(first + 2))
		read_window(text_to_cstring(PG_GETARG_TEXT_PP(first + 2)), options);
}

/* The object of the first argument, or of the first two: a bytea, or server and key. Returns the number of arguments. */
static int
read_object(FunctionCallInfo fcinfo, bool is_file, struct rendering *rendering, struct picture_object *object)
{
	memset(object, 0, sizeof(*object));
	if (is_file)
	{
		bytea *file = PG_GETARG_BYTEA_PP(0);

		object->bytes = (const uint8_t *) VARDATA_ANY(file);
		object->length = VARSIZE_ANY_EXHDR(file);
		return 1;
	}
	object->store = store_of(rendering, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	object->key = text_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	return 2;
}

static bool
has_null(FunctionCallInfo fcinfo, int count)
{
	int i;

	for (i = 0; i < count; i++)
	{
		if (PG_ARGISNULL(i))
			return true;
	}
	return false;
}

static bytea *
bytea_of(const struct dicom_buffer *buffer)
{
	bytea *bytes = palloc(VARHDRSZ + buffer->length);

	SET_VARSIZE(bytes, VARHDRSZ + buffer->length);
	memcpy(VARDATA(bytes), buffer->data, buffer->length);
	return bytes;
}

/* --- dicom.render() --- */

struct one_picture
{
	bytea *jpeg;
	bool failed;
	struct dicom_error error;
};

static void
keep_one(void *arg, struct child_event *event)
{
	struct one_picture *one = arg;

	if (event->kind == CHILD_PICTURE)
		one->jpeg = bytea_of(event->picture);
	else
	{
		one->failed = true;
		one->error = event->error;
	}
}

static Datum
render(FunctionCallInfo fcinfo, bool is_file)
{
	struct rendering *rendering;
	struct picture_object object;
	struct picture_request request = {.format = CHILD_JPEG};
	struct one_picture one = {0};
	int next;

	if (has_null(fcinfo, is_file ? 2 : 3))
		PG_RETURN_NULL();
	rendering = rendering_of(fcinfo);
	next = read_object(fcinfo, is_file, rendering, &object);
	if (PG_GETARG_INT32(next) < 1)
		refuse("frame", "1 or more");
	request.frame = (uint32_t) PG_GETARG_INT32(next);
	read_options(fcinfo, next + 1, &request);
	if (pictures_make(rendering->pictures, &object, &request, keep_one, &one, &one.error) != DICOM_OK ||
		one.failed)
		report_error(&one.error);
	if (one.jpeg == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(one.jpeg);
}

SQL_FUNCTION(dicom_render_file);
Datum
dicom_render_file(PG_FUNCTION_ARGS)
{
	return render(fcinfo, true);
}

SQL_FUNCTION(dicom_render_object);
Datum
dicom_render_object(PG_FUNCTION_ARGS)
{
	return render(fcinfo, false);
}

/* --- dicom.frames() --- */

struct frame_rows
{
	Tuplestorestate *rows;
	TupleDesc descriptor;
	MemoryContext row;
};

static void
keep_row(void *arg, struct child_event *event)
{
	struct frame_rows *frames = arg;
	MemoryContext old = MemoryContextSwitchTo(frames->row);
	bool is_picture = event->kind == CHILD_PICTURE;
	bool nulls[5] = {false, !is_picture, !is_picture, !is_picture, is_picture};
	Datum values[5] = {Int32GetDatum((int32) event->frame)};

	if (is_picture)
	{
		values[1] = Int32GetDatum((int32) event->columns);
		values[2] = Int32GetDatum((int32) event->rows);
		values[3] = PointerGetDatum(bytea_of(event->picture));
	}
	else
		values[4] = CStringGetTextDatum(report_line(&event->error));
	MemoryContextSwitchTo(old);
	tuplestore_putvalues(frames->rows, frames->descriptor, values, nulls);
	MemoryContextReset(frames->row);
}

static Datum
frames(FunctionCallInfo fcinfo, bool is_file)
{
	struct frame_rows rows;
	struct rendering *rendering;
	struct picture_object object;
	struct picture_request request = {.format = CHILD_JPEG};
	struct dicom_error error;

	rows.rows = result_rows_begin(fcinfo, &rows.descriptor);
	if (has_null(fcinfo, is_file ? 1 : 2))
		return (Datum) 0;
	rows.row = AllocSetContextCreate(CurrentMemoryContext, "dicom frame", ALLOCSET_DEFAULT_SIZES);
	rendering = rendering_of(fcinfo);
	read_options(fcinfo, read_object(fcinfo, is_file, rendering, &object), &request);
	if (pictures_make(rendering->pictures, &object, &request, keep_row, &rows, &error) != DICOM_OK)
		report_error(&error);
	return (Datum) 0;
}

SQL_FUNCTION(dicom_frames_of_file);
Datum
dicom_frames_of_file(PG_FUNCTION_ARGS)
{
	return frames(fcinfo, true);
}

SQL_FUNCTION(dicom_frames_of_object);
Datum
dicom_frames_of_object(PG_FUNCTION_ARGS)
{
	return frames(fcinfo, false);
}
