/*
 * compress.c
 *	  dicom.compress_objects(): pictures of objects of one server in another, made by the program dicompress.
 */
#include "postgres.h"

#include <sys/wait.h>

#include "../pg/compat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "../pg/program.h"
#include "../pg/report.h"
#include "../pg/result_rows.h"
#include "../pg/text_array.h"
#include "../server/server.h"
#include "compress_arguments.h"
#include "compress_line.h"
#include "process.h"

#define PICTURES_AT_ONCE 32 /* read back side by side */
#define WAITING_BYTES    (32 * 1024 * 1024)

SQL_FUNCTION(dicom_compress_objects);

enum result_column
{
	COLUMN_SOURCE_KEY,
	COLUMN_FRAME,
	COLUMN_KEY,
	COLUMN_BYTES,
	COLUMN_WIDTH,
	COLUMN_HEIGHT,
	COLUMN_SHA256,
	COLUMN_MILLISECONDS,
	COLUMN_ERROR,
	COLUMN_ERROR_CODE,
	COLUMN_JPEG,
	COLUMN_COUNT
};

/* An object that is to be compressed. */
struct compressed_object
{
	char *url;      /* what dicompress calls it */
	char *key;      /* in the database's encoding */
	char *template; /* likewise */
	bool reported;
};

/* A picture whose bytes are wanted. */
struct picture
{
	Datum values[COLUMN_COUNT];
	bool nulls[COLUMN_COUNT];
	const char *key; /* UTF-8 */
	size_t length;
	bytea *jpeg;
	struct store_read *read;
};

struct compression
{
	ForeignServer *source_server;
	ForeignServer *target_server;
	struct store_options source;
	struct store_options target;
	Tuplestorestate *rows;
	TupleDesc descriptor;
	struct compressed_object *objects; /* by their URLs */
	int count;
	uint64 lines;
	uint64 pictures; /* made */

	int64 inline_limit;   /* of bytes; 0: none are wanted */
	struct store *reader; /* of the pictures; NULL: not opened */
	struct picture waiting[PICTURES_AT_ONCE];
	int waiting_count;
	int64 waiting_bytes;
	MemoryContext picture_context;
	MemoryContext line_context;
};

/* --- objects, as it is told of them --- */

static int
compare_objects(const void *left, const void *right)
{
	return strcmp(((const struct compressed_object *) left)->url,
				  ((const struct compressed_object *) right)->url);
}

static struct compressed_object *
find_object(struct compression *compression, char *url)
{
	struct compressed_object wanted = {.url = url};

	return bsearch(&wanted, compression->objects, compression->count, sizeof(wanted), compare_objects);
}

static void
take_objects(struct compression *compression, ArrayType *keys, ArrayType *templates)
{
	char *location = compress_location(&compression->source);
	char **key;
	char **template;
	int count = text_array_elements(keys, "keys", &key);
	int i;

	if (text_array_elements(templates, "key templates", &template) != count)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("keys and key_templates must have the same number of elements")));
	compression->count = count;
	compression->objects = palloc0((count + 1) * sizeof(*compression->objects));
	for (i = 0; i < count; i++)
	{
		compression->objects[i].key = key[i];
		compression->objects[i].template = template[i];
		compression->objects[i].url = psprintf("%s%s", location, text_to_utf8(key[i]));
	}
	qsort(compression->objects, count, sizeof(*compression->objects), compare_objects);
	for (i = 1; i < count; i++)
		if (compare_objects(&compression->objects[i - 1], &compression->objects[i]) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a key is given twice")));
}

/* To dicompress, what ends in a slash is all that lies below. */
static bool
is_no_object(const struct compressed_object *object)
{
	size_t length = strlen(object->key);

	return length == 0 || object->key[length - 1] == '/';
}

static void
describe_objects(const struct compression *compression, StringInfo input)
{
	int i;

	initStringInfo(input);
	for (i = 0; i < compression->count; i++)
	{
		if (is_no_object(&compression->objects[i]))
			continue;
		appendStringInfoString(input, "{\"source\": ");
		escape_json(input, compression->objects[i].url);
		compress_add_member(input, "key", text_to_utf8(compression->objects[i].template));
		appendStringInfoString(input, "}\n");
	}
}

/* --- rows --- */

static Datum
utf8_datum(const char *text)
{
	int length = strlen(text);

	return CStringGetTextDatum(text_to_server(text, &length, NULL));
}

static void
put_failure(struct compression *compression, const char *key, int frame, int sqlstate, const char *message)
{
	Datum values[COLUMN_COUNT] = {0};
	bool nulls[COLUMN_COUNT];

	memset(nulls, true, sizeof(nulls));
	values[COLUMN_SOURCE_KEY] = CStringGetTextDatum(key);
	values[COLUMN_FRAME] = Int32GetDatum(frame);
	values[COLUMN_ERROR] = CStringGetTextDatum(message);
	values[COLUMN_ERROR_CODE] = CStringGetTextDatum(unpack_sql_state(sqlstate));
	nulls[COLUMN_SOURCE_KEY] = nulls[COLUMN_ERROR] = nulls[COLUMN_ERROR_CODE] = false;
	nulls[COLUMN_FRAME] = frame == 0;
	tuplestore_putvalues(compression->rows, compression->descriptor, values, nulls);
}

static void
fill_picture(struct picture *picture, const char *key, const struct compress_line *line)
{
	Datum *values = picture->values;

	memset(picture, 0, sizeof(*picture));
	memset(picture->nulls, false, sizeof(picture->nulls));
	values[COLUMN_SOURCE_KEY] = CStringGetTextDatum(key);
	values[COLUMN_FRAME] = Int32GetDatum(line->frame);
	values[COLUMN_KEY] = utf8_datum(line->key);
	values[COLUMN_BYTES] = Int64GetDatum(line->bytes);
	values[COLUMN_WIDTH] = Int32GetDatum(line->width);
	values[COLUMN_HEIGHT] = Int32GetDatum(line->height);
	values[COLUMN_SHA256] = CStringGetTextDatum(line->sha256);
	values[COLUMN_MILLISECONDS] = Float8GetDatum(line->milliseconds);
	picture->nulls[COLUMN_MILLISECONDS] = line->milliseconds < 0;
	picture->nulls[COLUMN_ERROR] = picture->nulls[COLUMN_ERROR_CODE] = true;
	picture->nulls[COLUMN_JPEG] = true;
	picture->key = line->key;
	picture->length = (size_t) line->bytes;
}

/* --- bytes of pictures, read back --- */

static void
start_reading(struct compression *compression, struct picture *picture)
{
	struct store_read_request request = {.key = picture->key, .length = picture->length + 1};

	picture->jpeg = palloc(VARHDRSZ + request.length);
	request.buffer = VARDATA(picture->jpeg);
	if (store_read_open(compression->reader, &request, &picture->read, NULL) != DICOM_OK)
		picture->read = NULL;
}

/* One that cannot be had, or is another one by now, is none: its key says where to look. */
static void
finish_reading(struct compression *compression, struct picture *picture)
{
	struct dicom_error error;
	size_t length = 0;
	enum dicom_status status = DICOM_FAILED;

	while (picture->read &&
		   (status = store_read_result(picture->read, &length, NULL, &error)) == DICOM_PENDING)
		if (store_wait(compression->reader, -1, &error) != DICOM_OK)
			report_error(&error);
	store_read_close(picture->read);
	if (status != DICOM_OK || length != picture->length)
		return;
	SET_VARSIZE(picture->jpeg, VARHDRSZ + length);
	picture->values[COLUMN_JPEG] = PointerGetDatum(picture->jpeg);
	picture->nulls[COLUMN_JPEG] = false;
}

static void
put_waiting(struct compression *compression)
{
	MemoryContext old = MemoryContextSwitchTo(compression->picture_context);
	int i;

	for (i = 0; i < compression->waiting_count; i++)
		start_reading(compression, &compression->waiting[i]);
	for (i = 0; i < compression->waiting_count; i++)
		finish_reading(compression, &compression->waiting[i]);
	for (i = 0; i < compression->waiting_count; i++)
		tuplestore_putvalues(compression->rows, compression->descriptor, compression->waiting[i].values,
							 compression->waiting[i].nulls);
	compression->waiting_count = 0;
	compression->waiting_bytes = 0;
	MemoryContextSwitchTo(old);
	MemoryContextReset(compression->picture_context);
}

/* --- what dicompress says --- */

static void
put_picture(struct compression *compression, const char *key, const struct compress_line *line)
{
	struct picture picture;

	compression->pictures++;
	if (compression->reader == NULL || line->bytes > compression->inline_limit)
	{
		fill_picture(&picture, key, line);
		tuplestore_putvalues(compression->rows, compression->descriptor, picture.values, picture.nulls);
		return;
	}
	if (compression->waiting_count == PICTURES_AT_ONCE ||
		compression->waiting_bytes + line->bytes > WAITING_BYTES)
		put_waiting(compression);
	compression->waiting_bytes += line->bytes;
	MemoryContextSwitchTo(compression->picture_context);
	fill_picture(&compression->waiting[compression->waiting_count], key, line);
	compression->waiting[compression->waiting_count++].key = pstrdup(line->key);
	MemoryContextSwitchTo(compression->line_context);
}

static void
take_line(struct compression *compression, const char *text, size_t length)
{
	struct compressed_object *object;
	struct compress_line line;

	if (!compress_line_parse(text, length, &line) || (object = find_object(compression, line.source)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("dicompress says what makes no sense"),
				 errhint("Setting dicom_fdw.dicompress_path names the program; its version must be that "
						 "of the extension.")));
	object->reported = true;
	compression->lines++;
	if (line.failed)
	{
		char *error = line.hint ? psprintf("%s (%s)", line.error, line.hint) : line.error;
		int error_length = strlen(error);

		put_failure(compression, object->key, line.frame, compress_line_sqlstate(line.error_code),
					text_to_server(error, &error_length, NULL));
	}
	else
		put_picture(compression, object->key, &line);
}

/* --- the end --- */

static bool
is_everything_reported(const struct compression *compression)
{
	int i;

	for (i = 0; i < compression->count; i++)
		if (!compression->objects[i].reported && !is_no_object(&compression->objects[i]))
			return false;
	return true;
}

/* 0: all sources gave pictures; 1: some; 2: none, or it could not go on. */
static bool
has_ended_well(const struct compression *compression, int status)
{
	return WIFEXITED(status) && is_everything_reported(compression) &&
		   (WEXITSTATUS(status) < 2 || (WEXITSTATUS(status) == 2 && compression->pictures == 0));
}

/* Of none of them it is known whether all of its frames were reported: none counts, and they are tried again. */
static void
fail_all(struct compression *compression, int status)
{
	int i;

	compression->waiting_count = 0;
	tuplestore_clear(compression->rows);
	for (i = 0; i < compression->count; i++)
		put_failure(compression, compression->objects[i].key, 0, ERRCODE_SYSTEM_ERROR,
					psprintf("dicompress %s before it was done", process_end(status)));
}

/* dicompress does not wait for the disk; a row that says that there is a picture does. */
static void
flush_pictures(struct compression *compression)
{
	struct store *store =
		server_open_writable_store(compression->target_server, GetUserId(), CurrentMemoryContext);

	store_defer_sync(store);
	server_flush_store(store);
}

static void
settle(struct compression *compression, struct process *process)
{
	int status = process_wait(process);
	const char *complaint = process_complaint(process);
	int i;

	if (!has_ended_well(compression, status))
	{
		if (WIFEXITED(status) && compression->lines == 0)
			ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
							errmsg("dicompress %s, and made no picture", process_end(status)),
							*complaint ? errdetail("%s", complaint) : 0));
		fail_all(compression, status);
		return;
	}
	put_waiting(compression);
	if (compression->pictures > 0)
		flush_pictures(compression);
	for (i = 0; i < compression->count; i++)
		if (is_no_object(&compression->objects[i]))
			put_failure(compression, compression->objects[i].key, 0, ERRCODE_INVALID_PARAMETER_VALUE,
						"no object of which pictures could be made has such a key");
}

/* --- the whole --- */

static struct process *
start_program(struct compression *compression, const char **arguments, const StringInfo input)
{
	struct process_start start = {.path = program_path(), .arguments = arguments};

	start.wants_cloud_keys = compression->source.allow_ambient || compression->target.allow_ambient;
	start.secret = compress_describe_stores(&compression->source, &compression->target);
	start.input = input->data;
	start.input_length = input->len;
	return process_open(&start, CurrentMemoryContext);
}

static void
take_lines(struct compression *compression, struct process *process)
{
	MemoryContext old = MemoryContextSwitchTo(compression->line_context);
	char *line;
	int length;

	while ((line = process_next_line(process, &length)) != NULL)
	{
		take_line(compression, line, length);
		MemoryContextReset(compression->line_context);
	}
	MemoryContextSwitchTo(old);
}

static void
compress(struct compression *compression, Jsonb *options)
{
	const char *arguments[COMPRESS_MAX_OPTIONS + 7] = {"dicompress", "--stores=fd:3", "--state=none",
													   "--progress=never"};
	int count = 4;
	StringInfoData input;
	struct process *process;

	arguments[count++] = psprintf("--output=%s", compress_location(&compression->target));
	count = compress_add_options(options, arguments, count, &compression->inline_limit);
	arguments[count] = "-";
	describe_objects(compression, &input);
	if (compression->inline_limit > 0)
		compression->reader =
			server_open_store(compression->target_server, GetUserId(), CurrentMemoryContext);
	process = start_program(compression, arguments, &input);
	take_lines(compression, process);
	settle(compression, process);
}

/* dicom.compress_objects(source text, target text, keys text[], key_templates text[], options jsonb) */
Datum
dicom_compress_objects(PG_FUNCTION_ARGS)
{
	struct compression *compression = palloc0(sizeof(*compression));

	PreventCommandIfReadOnly("dicom.compress_objects()");
	compression->source_server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	compression->target_server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	compression->rows = result_rows_begin(fcinfo, &compression->descriptor);
	server_store_options(compression->source_server, GetUserId(), false, &compression->source);
	server_store_options(compression->target_server, GetUserId(), true, &compression->target);
	compression->picture_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw pictures", ALLOCSET_DEFAULT_SIZES);
	compression->line_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw line", ALLOCSET_SMALL_SIZES);
	take_objects(compression, PG_GETARG_ARRAYTYPE_P(2), PG_GETARG_ARRAYTYPE_P(3));
	if (compression->count > 0)
		compress(compression, PG_GETARG_JSONB_P(4));
	return (Datum) 0;
}
