/*
 * datum.c
 *	  Values of elements as Datums of their columns' types.
 *
 * A value that does not fit its column is NULL and reported as bad: a text that is no number or date, a number out of
 * range, several values in a column that is no array, a text that is too long. Nothing is rounded, cut or guessed.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "../dicom/dictionary.h"
#include "../dicom/json.h"
#include "../pg/report.h"
#include "column.h"

struct conversion
{
	const struct column *column;
	struct column_scratch *scratch;
	const struct dicom_dataset *dataset;
	const struct dicom_element *element;
};

void
column_scratch_release(struct column_scratch *scratch)
{
	dicom_values_close(&scratch->values);
	dicom_buffer_free(&scratch->buffer);
}

/* char(n) is padded, char(n) and varchar(n) hold n characters. */
Datum
column_text_datum(const struct column *column, const char *text, int length, uint64 *replaced, bool *bad)
{
	char *server_text = text_to_server(text, &length, replaced);

	if (column->value_type != TEXTOID && column->typmod >= (int32) VARHDRSZ)
	{
		int limit = column->typmod - VARHDRSZ;

		if (length > limit && pg_mbstrlen_with_len(server_text, length) > limit)
		{
			*bad = true;
			return (Datum) 0;
		}
		if (column->value_type == BPCHAROID)
			return DirectFunctionCall3(bpchar, PointerGetDatum(cstring_to_text_with_len(server_text, length)),
									   Int32GetDatum(column->typmod), BoolGetDatum(false));
	}
	return PointerGetDatum(cstring_to_text_with_len(server_text, length));
}

static bool
date_of(const struct dicom_date *date, DateADT *result)
{
	if (!IS_VALID_JULIAN(date->year, date->month, date->day))
		return false;
	*result = date2j(date->year, date->month, date->day) - POSTGRES_EPOCH_JDATE;
	return IS_VALID_DATE(*result);
}

/* A DA, or the date of a DT that has one whole. */
static bool
parse_date_like(const struct dicom_value *value, DateADT *result)
{
	struct dicom_date date;
	struct dicom_datetime datetime;

	if (dicom_parse_date(value->text, value->length, &date))
		return date_of(&date, result);
	if (!dicom_parse_datetime(value->text, value->length, &datetime) || datetime.precision < 3)
		return false;
	return date_of(&datetime.date, result);
}

/* A TM, or the time of a DT. */
static bool
parse_time_like(const struct dicom_value *value, uint16 vr, int64 *result)
{
	struct dicom_datetime datetime;

	if (vr != DICOM_VR('D', 'T'))
		return dicom_parse_time(value->text, value->length, result);
	if (!dicom_parse_datetime(value->text, value->length, &datetime) || datetime.precision < 4)
		return false;
	*result = datetime.microseconds;
	return true;
}

/* A DT, or a DA at midnight. */
static bool
parse_timestamp_like(const struct dicom_value *value, struct dicom_datetime *datetime)
{
	if (dicom_parse_datetime(value->text, value->length, datetime))
		return true;
	memset(datetime, 0, sizeof(*datetime));
	return dicom_parse_date(value->text, value->length, &datetime->date);
}

/* TimezoneOffsetFromUTC (0008,0201) of the data set, &ZZXX as in DT; false where there is none. */
static bool
dataset_offset(const struct conversion *c, int *minutes)
{
	const struct dicom_element *element = dicom_dataset_find(c->dataset, DICOM_TAG(0x0008, 0x0201));
	uint32_t length;
	const uint8_t *bytes = element ? dicom_dataset_value(c->dataset, element, &length) : NULL;

	if (bytes == NULL || length < 5 || (bytes[0] != '+' && bytes[0] != '-') ||
		strspn((const char *) bytes + 1, "0123456789") < 4)
		return false;
	*minutes = ((bytes[1] - '0') * 10 + bytes[2] - '0') * 60 + (bytes[3] - '0') * 10 + bytes[4] - '0';
	if (bytes[0] == '-')
		*minutes = -*minutes;
	return true;
}

/* Local time as written; for timestamptz at the value's own offset, the data set's, or the session's time zone. */
static bool
timestamp_of(const struct conversion *c, const struct dicom_datetime *datetime, Timestamp *result)
{
	DateADT date;
	int minutes = datetime->offset_minutes;

	if (!date_of(&datetime->date, &date))
		return false;
	*result = (int64) date * USECS_PER_DAY + datetime->microseconds;
	if (c->column->value_type != TIMESTAMPTZOID)
		return true;
	if (datetime->has_offset || dataset_offset(c, &minutes))
		*result -= (int64) minutes * USECS_PER_MINUTE;
	else
		*result = DatumGetTimestampTz(DirectFunctionCall1(timestamp_timestamptz, TimestampGetDatum(*result)));
	return true;
}

static bool
integer_of(const struct dicom_value *value, int64 *result)
{
	switch (value->kind)
	{
		case DICOM_VALUE_TEXT:
			return dicom_parse_integer(value->text, value->length, result);
		case DICOM_VALUE_SIGNED:
			*result = value->number.as_signed;
			return true;
		case DICOM_VALUE_UNSIGNED:
			*result = (int64) value->number.as_unsigned;
			return value->number.as_unsigned <= PG_INT64_MAX;
		case DICOM_VALUE_REAL:
			if (!(fabs(value->number.real) < 9007199254740992.0) ||
				value->number.real != rint(value->number.real))
				return false;
			*result = (int64) value->number.real;
			return true;
	}
	return false;
}

static bool
real_of(const struct dicom_value *value, double *result)
{
	switch (value->kind)
	{
		case DICOM_VALUE_TEXT:
			return dicom_parse_decimal(value->text, value->length, result);
		case DICOM_VALUE_SIGNED:
			*result = (double) value->number.as_signed;
			return true;
		case DICOM_VALUE_UNSIGNED:
			*result = (double) value->number.as_unsigned;
			return true;
		case DICOM_VALUE_REAL:
			*result = value->number.real;
			return true;
	}
	return false;
}

/* Does a number fit numeric(p,s)? Checked before, because the type's own check throws. */
static bool
fits_numeric(int32 typmod, double number)
{
	int precision, scale;

	if (isnan(number) || isinf(number))
		return false;
	if (typmod < (int32) VARHDRSZ)
		return true;
	precision = ((typmod - VARHDRSZ) >> 16) & 0xFFFF;
	scale = (((typmod - VARHDRSZ) & 0x7FF) ^ 1024) - 1024;
	return fabs(number) < pow(10, precision - scale) - 0.5 * pow(10, -scale);
}

static Datum
numeric_datum(const struct conversion *c, const struct dicom_value *value, bool *bad)
{
	double number;
	char *text;

	if (!real_of(value, &number) || !fits_numeric(c->column->typmod, number))
	{
		*bad = true;
		return (Datum) 0;
	}
	if (value->kind == DICOM_VALUE_TEXT)
		text = pnstrdup(value->text, value->length);
	else if (value->kind == DICOM_VALUE_SIGNED)
		text = psprintf(INT64_FORMAT, (int64) value->number.as_signed);
	else if (value->kind == DICOM_VALUE_UNSIGNED)
		text = psprintf(UINT64_FORMAT, (uint64) value->number.as_unsigned);
	else
		text = psprintf("%.*g", value->single_precision ? 9 : 17, number);
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(c->column->typmod));
}

static Datum
integer_datum(Oid type, const struct dicom_value *value, bool *bad)
{
	int64 number;

	if (integer_of(value, &number))
	{
		if (type == INT8OID)
			return Int64GetDatum(number);
		if (type == INT4OID && number >= PG_INT32_MIN && number <= PG_INT32_MAX)
			return Int32GetDatum((int32) number);
		if (type == INT2OID && number >= PG_INT16_MIN && number <= PG_INT16_MAX)
			return Int16GetDatum((int16) number);
	}
	*bad = true;
	return (Datum) 0;
}

static Datum
float_datum(Oid type, const struct dicom_value *value, bool *bad)
{
	double number;

	if (!real_of(value, &number) || (type == FLOAT4OID && !isinf(number) && isinf((float) number)))
	{
		*bad = true;
		return (Datum) 0;
	}
	return type == FLOAT4OID ? Float4GetDatum((float) number) : Float8GetDatum(number);
}

static Datum
temporal_datum(const struct conversion *c, const struct dicom_value *value, bool *bad)
{
	struct dicom_datetime datetime;
	DateADT date;
	int64 time;

	*bad = true;
	if (value->kind != DICOM_VALUE_TEXT)
		return (Datum) 0;
	switch (c->column->value_type)
	{
		case DATEOID:
			*bad = !parse_date_like(value, &date);
			return *bad ? (Datum) 0 : DateADTGetDatum(date);
		case TIMEOID:
			*bad = !parse_time_like(value, c->element->vr, &time);
			return *bad ? (Datum) 0 : TimeADTGetDatum(time);
		default:
			*bad = !parse_timestamp_like(value, &datetime) || !timestamp_of(c, &datetime, &time);
			return *bad ? (Datum) 0 : TimestampGetDatum(time);
	}
}

/* A number as the text that dicom_value_text() gives it, for an array of texts. */
static Datum
number_text_datum(const struct conversion *c, const struct dicom_value *value, bool *bad)
{
	char text[64];

	if (value->kind == DICOM_VALUE_SIGNED)
		snprintf(text, sizeof(text), INT64_FORMAT, (int64) value->number.as_signed);
	else if (value->kind == DICOM_VALUE_UNSIGNED)
		snprintf(text, sizeof(text), UINT64_FORMAT, (uint64) value->number.as_unsigned);
	else
		snprintf(text, sizeof(text), "%.*g", value->single_precision ? 9 : 17, value->number.real);
	return column_text_datum(c->column, text, strlen(text), &c->scratch->replaced, bad);
}

/* One value in the column's value type. An empty text is NULL in any type but text. */
static Datum
value_datum(const struct conversion *c, const struct dicom_value *value, bool *isnull, bool *bad)
{
	bool empty = value->kind == DICOM_VALUE_TEXT && value->length == 0;

	switch (c->column->value_type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return value->kind == DICOM_VALUE_TEXT
					   ? column_text_datum(c->column, value->text, value->length, &c->scratch->replaced, bad)
					   : number_text_datum(c, value, bad);
		case INT2OID:
		case INT4OID:
		case INT8OID:
			*isnull = empty;
			return empty ? (Datum) 0 : integer_datum(c->column->value_type, value, bad);
		case FLOAT4OID:
		case FLOAT8OID:
			*isnull = empty;
			return empty ? (Datum) 0 : float_datum(c->column->value_type, value, bad);
		case NUMERICOID:
			*isnull = empty;
			return empty ? (Datum) 0 : numeric_datum(c, value, bad);
		default:
			*isnull = empty;
			return empty ? (Datum) 0 : temporal_datum(c, value, bad);
	}
}

/* All values as a one-dimensional array; NULL where there is none. One bad value is NULL in its place. */
static Datum
array_datum(const struct conversion *c, bool *isnull, bool *bad)
{
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;
	int room = 8;
	int count = 0;
	Datum *datums = palloc(room * sizeof(Datum));
	bool *nulls = palloc(room * sizeof(bool));
	int lower = 1;

	while (dicom_value_next(&c->scratch->values, c->dataset, c->element, &cursor, &value))
	{
		bool value_bad = false;

		if (count == room)
		{
			room *= 2;
			datums = repalloc_huge(datums, room * sizeof(Datum));
			nulls = repalloc_huge(nulls, room * sizeof(bool));
		}
		nulls[count] = false;
		datums[count] = value_datum(c, &value, &nulls[count], &value_bad);
		nulls[count] |= value_bad;
		*bad |= value_bad;
		count++;
	}
	*isnull = count == 0;
	if (count == 0)
		return (Datum) 0;
	return PointerGetDatum(construct_md_array(datums, nulls, 1, &count, &lower, c->column->value_type,
											  c->column->value_length, c->column->value_by_value,
											  c->column->value_align));
}

/* One value; several of them do not fit a column that holds one. */
static Datum
single_datum(const struct conversion *c, bool *isnull, bool *bad)
{
	struct dicom_value_cursor cursor = {0};
	struct dicom_value first, second;

	if (!dicom_value_next(&c->scratch->values, c->dataset, c->element, &cursor, &first))
	{
		*isnull = true;
		return (Datum) 0;
	}
	if (dicom_value_count(c->dataset, c->element) > 1 &&
		dicom_value_next(&c->scratch->values, c->dataset, c->element, &cursor, &second))
	{
		*bad = true;
		return (Datum) 0;
	}
	return value_datum(c, &first, isnull, bad);
}

/* The scratch buffer, emptied. It belongs to the scan, so that an error while it is in use leaks nothing. */
static struct dicom_buffer *
empty_scratch(const struct conversion *c)
{
	dicom_buffer_reset(&c->scratch->buffer);
	if (c->scratch->buffer.failed)
		dicom_buffer_free(&c->scratch->buffer);
	return &c->scratch->buffer;
}

static void
check_scratch(const struct dicom_buffer *buffer)
{
	if (buffer->failed)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("value of an element is too long")));
}

/* The whole value as text, or a sequence as the text of its JSON form. */
static Datum
whole_text_datum(const struct conversion *c, bool *isnull, bool *bad)
{
	struct dicom_buffer *buffer = empty_scratch(c);
	struct dicom_json_options options = {0};
	bool is_sequence = c->element->vr == DICOM_VR('S', 'Q');
	bool readable = is_sequence
						? dicom_json_sequence(&c->scratch->values, c->dataset, c->element, &options, buffer)
						: dicom_value_text(&c->scratch->values, c->dataset, c->element, buffer);

	check_scratch(buffer);
	*isnull = !readable;
	*bad = !readable && c->element->length > 0;
	if (!readable)
		return (Datum) 0;
	return column_text_datum(c->column, buffer->data ? buffer->data : "", buffer->length,
							 &c->scratch->replaced, bad);
}

static Datum
bytes_datum(const struct conversion *c, bool *isnull, bool *bad)
{
	uint32_t length;
	const uint8_t *bytes = dicom_dataset_value(c->dataset, c->element, &length);
	bytea *result;

	*isnull = bytes == NULL;
	*bad = bytes == NULL && c->element->length > 0;
	if (bytes == NULL)
		return (Datum) 0;
	result = palloc(VARHDRSZ + length);
	SET_VARSIZE(result, VARHDRSZ + length);
	memcpy(VARDATA(result), bytes, length);
	return PointerGetDatum(result);
}

/* jsonb holds 256 MiB in one object and throws where that is not enough; its form is at most twice as long as the text. */
#define JSON_LIMIT ((size_t) 128 * 1024 * 1024)

/* A sequence as its JSON form; what is no sequence, or too long, does not fit jsonb. */
static Datum
json_datum(const struct conversion *c, bool *isnull, bool *bad)
{
	struct dicom_buffer *buffer = empty_scratch(c);
	struct dicom_json_options options = {0};
	int length;

	if (!dicom_json_sequence(&c->scratch->values, c->dataset, c->element, &options, buffer) ||
		buffer->length > JSON_LIMIT)
	{
		*bad = true;
		return (Datum) 0;
	}
	length = buffer->length;
	return DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(text_to_server(buffer->data, &length, &c->scratch->replaced)));
}

static bool
is_text_type(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}

Datum
column_element_datum(const struct column *column, struct column_scratch *scratch,
					 const struct dicom_dataset *dataset, const struct dicom_element *element, bool *isnull,
					 bool *bad)
{
	struct conversion c = {column, scratch, dataset, element};
	Datum datum;

	*bad = false;
	*isnull = element == NULL;
	if (element == NULL)
		return (Datum) 0;
	if (OidIsValid(column->element_type))
		datum = array_datum(&c, isnull, bad);
	else if (is_text_type(column->value_type))
		datum = whole_text_datum(&c, isnull, bad);
	else if (column->value_type == BYTEAOID)
		datum = bytes_datum(&c, isnull, bad);
	else if (column->value_type == JSONBOID)
		datum = json_datum(&c, isnull, bad);
	else
		datum = single_datum(&c, isnull, bad);
	if (*bad && !OidIsValid(column->element_type))
		*isnull = true;
	return datum;
}
