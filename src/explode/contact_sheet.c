/*
 * contact_sheet.c
 *	  One JPEG of the first frames of many objects, each scaled into a cell of a grid, in the order given.
 *
 * The sheet's pixels become a DICOM data set in memory, which a child makes into the JPEG: no encoder is in here.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "../pg/report.h"
#include "../server/server.h"
#include "pictures.h"

#define MOST_PIXELS \
	((uint64_t) 256 * 1024 * 1024) /* of a sheet: with three bytes each, within what a datum can hold */
#define GAP 2                      /* black pixels between cells */

struct sheet
{
	uint32_t columns;
	uint32_t size; /* of a cell */
	uint32_t width;
	uint32_t height;
	uint8_t *pixels; /* RGB, width x height; what stands in front of them is the data set's header */
	uint32_t cell;   /* being filled */
	bool filled;
};

static void
put_pixel(uint8_t *to, const uint8_t *from, int channels)
{
	int channel;

	for (channel = 0; channel < 3; channel++)
		to[channel] = from[channels == 3 ? channel : 0];
}

/* Puts a picture into the middle of the cell. What the child says of its size is not believed. */
static void
fill_cell(void *arg, struct child_event *event)
{
	struct sheet *sheet = arg;
	uint32_t left = sheet->cell % sheet->columns * (sheet->size + GAP);
	uint32_t top = sheet->cell / sheet->columns * (sheet->size + GAP);
	uint32_t row, column;

	if (event->kind != CHILD_PICTURE || event->columns > sheet->size || event->rows > sheet->size ||
		(event->channels != 1 && event->channels != 3) ||
		event->picture->length != (size_t) event->columns * event->rows * (size_t) event->channels)
		return;
	left += (sheet->size - event->columns) / 2;
	top += (sheet->size - event->rows) / 2;
	for (row = 0; row < event->rows; row++)
	{
		const uint8_t *from =
			(uint8_t *) event->picture->data + (size_t) row * event->columns * (size_t) event->channels;
		uint8_t *to = sheet->pixels + ((size_t) (top + row) * sheet->width + left) * 3;

		for (column = 0; column < event->columns; column++)
			put_pixel(to + (size_t) column * 3, from + (size_t) column * (size_t) event->channels,
					  event->channels);
	}
	sheet->filled = true;
}

/* --- the data set of the sheet: explicit VR little endian, PS3.5 A.2 --- */

static void
put_bytes(StringInfo out, uint64_t value, int length)
{
	while (length-- > 0)
	{
		appendStringInfoChar(out, (char) value);
		value >>= 8;
	}
}

static void
put_short(StringInfo out, uint16_t group, uint16_t element, uint16_t value)
{
	put_bytes(out, group, 2);
	put_bytes(out, element, 2);
	appendStringInfoString(out, "US");
	put_bytes(out, 2, 2);
	put_bytes(out, value, 2);
}

static void
put_text(StringInfo out, uint16_t group, uint16_t element, const char *vr, const char *text)
{
	size_t length = strlen(text);

	put_bytes(out, group, 2);
	put_bytes(out, element, 2);
	appendStringInfoString(out, vr);
	put_bytes(out, length + length % 2, 2);
	appendStringInfoString(out, text);
	if (length % 2)
		appendStringInfoChar(out, '\0');
}

static void
put_header(StringInfo out, const struct sheet *sheet)
{
	appendStringInfoSpaces(out, 128);
	appendStringInfoString(out, "DICM");
	put_text(out, 0x0002, 0x0010, "UI", "1.2.840.10008.1.2.1");
	put_short(out, 0x0028, 0x0002, 3);
	put_text(out, 0x0028, 0x0004, "CS", "RGB ");
	put_short(out, 0x0028, 0x0006, 0);
	put_short(out, 0x0028, 0x0010, (uint16_t) sheet->height);
	put_short(out, 0x0028, 0x0011, (uint16_t) sheet->width);
	put_short(out, 0x0028, 0x0100, 8);
	put_short(out, 0x0028, 0x0101, 8);
	put_short(out, 0x0028, 0x0102, 7);
	put_short(out, 0x0028, 0x0103, 0);
	put_bytes(out, 0x7FE0, 2);
	put_bytes(out, 0x0010, 2);
	appendStringInfoString(out, "OB");
	put_bytes(out, 0, 2);
	put_bytes(out, (uint64_t) sheet->width * sheet->height * 3, 4);
}

/* --- the function --- */

static void
measure(struct sheet *sheet, int count, int32 columns, int32 size)
{
	uint64_t rows;

	if (columns < 1 || columns > 1000)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("parameter \"columns\" must be from 1 to 1000")));
	if (size < 8 || size > 4096)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("parameter \"size\" must be from 8 to 4096")));
	sheet->columns = (uint32_t) Min(columns, count);
	sheet->size = (uint32_t) size;
	rows = ((uint64_t) count + sheet->columns - 1) / sheet->columns;
	if ((uint64_t) sheet->columns * (sheet->size + GAP) > 65500 || rows * (sheet->size + GAP) > 65500 ||
		(uint64_t) sheet->columns * rows * (sheet->size + GAP) * (sheet->size + GAP) > MOST_PIXELS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a contact sheet of %d pictures would be too large", count),
						errhint("Ask for fewer pictures, or for smaller ones.")));
	sheet->width = sheet->columns * (sheet->size + GAP) - GAP;
	sheet->height = (uint32_t) rows * (sheet->size + GAP) - GAP;
}

/* Fills the cells; returns how many objects gave no picture, and the first one's error. */
static int
fill_sheet(struct pictures *pictures, struct sheet *sheet, struct store *store, Datum *keys, int count,
		   struct dicom_error *first)
{
	struct picture_request request = {
		.format = CHILD_PIXELS, .frame = 1, .options = {.max_size = sheet->size}};
	int failed = 0;

	for (sheet->cell = 0; sheet->cell < (uint32_t) count; sheet->cell++)
	{
		struct picture_object object = {.store = store};
		struct dicom_error error = {0};

		object.key = text_to_utf8(TextDatumGetCString(keys[sheet->cell]));
		sheet->filled = false;
		if (pictures_make(pictures, &object, &request, fill_cell, sheet, &error) != DICOM_OK &&
			!dicom_error_is_of_file(error.code) && error.code != DICOM_ERROR_NOT_FOUND)
			report_error(&error);
		if (!sheet->filled && failed++ == 0)
			*first = error;
	}
	return failed;
}

static void
keep_jpeg(void *arg, struct child_event *event)
{
	bytea **jpeg = arg;

	if (event->kind != CHILD_PICTURE)
		report_error(&event->error);
	*jpeg = palloc(VARHDRSZ + event->picture->length);
	SET_VARSIZE(*jpeg, VARHDRSZ + event->picture->length);
	memcpy(VARDATA(*jpeg), event->picture->data, event->picture->length);
}

SQL_FUNCTION(dicom_contact_sheet);
Datum
dicom_contact_sheet(PG_FUNCTION_ARGS)
{
	ForeignServer *server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	struct store *store = server_open_store(server, GetUserId(), CurrentMemoryContext);
	struct picture_request request = {.format = CHILD_JPEG, .frame = 1};
	struct picture_object object = {0};
	struct pictures *pictures = pictures_open();
	struct sheet sheet = {0};
	struct dicom_error error;
	StringInfoData file;
	bytea *jpeg = NULL;
	Datum *keys;
	int count, failed;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, &count);
	if (count == 0)
		PG_RETURN_NULL();
	measure(&sheet, count, PG_GETARG_INT32(2), PG_GETARG_INT32(3));
	request.options.quality = PG_GETARG_INT32(4);
	if (request.options.quality < 1 || request.options.quality > 100)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("parameter \"quality\" must be from 1 to 100")));
	initStringInfo(&file);
	put_header(&file, &sheet);
	enlargeStringInfo(&file, (int) ((size_t) sheet.width * sheet.height * 3));
	sheet.pixels = (uint8_t *) file.data + file.len;
	memset(sheet.pixels, 0, (size_t) sheet.width * sheet.height * 3);
	failed = fill_sheet(pictures, &sheet, store, keys, count, &error);
	object.bytes = (uint8_t *) file.data;
	object.length = (size_t) file.len + (size_t) sheet.width * sheet.height * 3;
	if (failed > 0)
		ereport(WARNING, (errcode(ERRCODE_WARNING), errmsg("%d of %d objects gave no picture", failed, count),
						  error.code ? errdetail("First reason: %s", report_line(&error)) : 0,
						  errhint("dicom.frames() tells the reason of one.")));
	if (pictures_make(pictures, &object, &request, keep_jpeg, &jpeg, &error) != DICOM_OK)
		report_error(&error);
	PG_RETURN_BYTEA_P(jpeg);
}
