/*
 * write_value.c
 *	  Values of PostgreSQL as Parquet's.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "../pg/report.h"
#include "convert.h"
#include "epoch.h"

/* The precision and scale of numeric(p, s); false where Parquet has no decimal for it. */
static bool
decimal_of(int32 typmod, struct parquet_column *column)
{
	int scale;

	if (typmod < (int32) VARHDRSZ)
		return false;
	column->precision = (typmod - VARHDRSZ) >> 16 & 0xFFFF;
	scale = (typmod - VARHDRSZ) & 0x7FF;
	column->scale = (scale ^ 1024) - 1024;
	return column->precision <= 38 && column->scale >= 0 && column->scale <= column->precision;
}

/* The Parquet type of a base type; *as_text where it has none. */
static enum parquet_type
parquet_type_of(Oid type, int32 typmod, struct parquet_column *column, bool *as_text)
{
	*as_text = false;
	switch (type)
	{
		case BOOLOID:
			return PARQUET_BOOLEAN;
		case INT2OID:
		case INT4OID:
			return PARQUET_INT32;
		case INT8OID:
		case OIDOID:
			return PARQUET_INT64;
		case FLOAT4OID:
			return PARQUET_FLOAT;
		case FLOAT8OID:
			return PARQUET_DOUBLE;
		case DATEOID:
			return PARQUET_DATE;
		case TIMEOID:
			return PARQUET_TIME;
		case TIMESTAMPOID:
			return PARQUET_TIMESTAMP;
		case TIMESTAMPTZOID:
			return PARQUET_TIMESTAMP_UTC;
		case BYTEAOID:
			return PARQUET_BINARY;
		case JSONOID:
		case JSONBOID:
			return PARQUET_JSON;
		case UUIDOID:
			return PARQUET_UUID;
		case NUMERICOID:
			if (decimal_of(typmod, column))
				return PARQUET_DECIMAL;
			break;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case CHAROID:
			return PARQUET_STRING;
	}
	*as_text = !type_is_enum(type);
	return PARQUET_STRING;
}

void
lake_column_of(struct lake_column *column, Form_pg_attribute attribute)
{
	int32 typmod = attribute->atttypmod;
	Oid type = getBaseTypeAndTypmod(attribute->atttypid, &typmod);
	Oid element = get_element_type(type);
	Oid output;
	bool is_varlena;

	memset(column, 0, sizeof(*column));
	column->name = NameStr(attribute->attname);
	column->parquet.name = text_to_utf8(NameStr(attribute->attname));
	column->parquet.is_list = OidIsValid(element);
	column->type = OidIsValid(element) ? getBaseTypeAndTypmod(element, &typmod) : type;
	column->parquet.type = parquet_type_of(column->type, typmod, &column->parquet, &column->as_text);
	get_typlenbyvalalign(column->type, &column->length, &column->by_value, &column->align);
	getTypeOutputInfo(column->type, &output, &is_varlena);
	fmgr_info(output, &column->output);
}

static void
refuse(const struct lake_column *column, const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column \"%s\" has %s, which its type in Parquet cannot hold", column->name, what),
					errhint("%s", hint)));
}

/* Bytes of the database's encoding as UTF-8. */
static void
set_text(struct parquet_value *value, const char *text, size_t length)
{
	const char *utf8 = text;

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		utf8 = pg_server_to_any(text, (int) length, PG_UTF8);
		if (utf8 != text)
			length = strlen(utf8);
	}
	value->bytes = (const uint8_t *) utf8;
	value->length = (uint32_t) length;
}

static void
set_varlena(struct parquet_value *value, Datum datum, bool is_text)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(datum);

	if (is_text)
		set_text(value, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	else
	{
		value->bytes = (const uint8_t *) VARDATA_ANY(bytes);
		value->length = VARSIZE_ANY_EXHDR(bytes);
	}
}

/* A numeric of a fixed scale is written with all its digits: they are the unscaled number. */
static void
set_decimal(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	const char *text = OutputFunctionCall((FmgrInfo *) &column->output, datum);
	bool negative = *text == '-';
	__int128 number = 0;
	uint8_t *bytes;
	int i;

	if (numeric_is_nan(DatumGetNumeric(datum)) || strstr(text, "Inf"))
		refuse(column, "NaN or infinity", "Cast the column to double precision or to text.");
	for (text += negative; *text; text++)
	{
		if (*text != '.')
			number = number * 10 + (*text - '0');
	}
	if (negative)
		number = -number;
	value->integer = (int64_t) number;
	if (column->parquet.precision <= 18)
		return;
	bytes = palloc(16);
	for (i = 0; i < 16; i++)
		bytes[15 - i] = (uint8_t) ((unsigned __int128) number >> 8 * i);
	value->bytes = bytes;
	value->length = 16;
}

static int64
date_of(DateADT date)
{
	if (DATE_IS_NOEND(date))
		return EPOCH_LATEST_DAY;
	if (DATE_IS_NOBEGIN(date))
		return -EPOCH_LATEST_DAY;
	return (int64) date + EPOCH_DAYS;
}

static int64
timestamp_of(const struct lake_column *column, Timestamp timestamp)
{
	if (TIMESTAMP_IS_NOEND(timestamp))
		return EPOCH_LATEST_MICROSECOND;
	if (TIMESTAMP_IS_NOBEGIN(timestamp))
		return -EPOCH_LATEST_MICROSECOND;
	if (timestamp > PG_INT64_MAX - 1 - EPOCH_MICROSECONDS)
		refuse(column, "a time after the year 294246", "Cast the column to text.");
	return timestamp + EPOCH_MICROSECONDS;
}

static void
set_value(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	const char *text;

	memset(value, 0, sizeof(*value));
	switch (column->type)
	{
		case BOOLOID:
			value->integer = DatumGetBool(datum);
			return;
		case INT2OID:
			value->integer = DatumGetInt16(datum);
			return;
		case INT4OID:
			value->integer = DatumGetInt32(datum);
			return;
		case INT8OID:
			value->integer = DatumGetInt64(datum);
			return;
		case OIDOID:
			value->integer = DatumGetObjectId(datum);
			return;
		case FLOAT4OID:
			value->real = DatumGetFloat4(datum);
			return;
		case FLOAT8OID:
			value->real = DatumGetFloat8(datum);
			return;
		case DATEOID:
			value->integer = date_of(DatumGetDateADT(datum));
			return;
		case TIMEOID:
			value->integer = DatumGetTimeADT(datum);
			return;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			value->integer = timestamp_of(column, DatumGetTimestamp(datum));
			return;
		case UUIDOID:
			value->bytes = DatumGetUUIDP(datum)->data;
			value->length = UUID_LEN;
			return;
		case BYTEAOID:
			set_varlena(value, datum, false);
			return;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
			set_varlena(value, datum, true);
			return;
	}
	if (column->parquet.type == PARQUET_DECIMAL)
	{
		set_decimal(value, column, datum);
		return;
	}
	text = OutputFunctionCall((FmgrInfo *) &column->output, datum);
	set_text(value, text, strlen(text));
}

static enum dicom_status
put_array(struct parquet_writer *writer, int index, const struct lake_column *column, Datum datum,
		  struct dicom_error *error)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	struct parquet_value *values;
	Datum *elements;
	bool *nulls;
	int count, i;

	if (ARR_NDIM(array) > 1)
		refuse(column, "an array of several dimensions", "Cast the column to jsonb or to text.");
	deconstruct_array(array, column->type, column->length, column->by_value, column->align, &elements, &nulls,
					  &count);
	values = palloc0(Max(count, 1) * sizeof(*values));
	for (i = 0; i < count; i++)
	{
		if (nulls[i])
			values[i].is_null = true;
		else
			set_value(&values[i], column, elements[i]);
	}
	return parquet_writer_put_list(writer, index, values, count, error);
}

void
lake_put(struct parquet_writer *writer, int index, const struct lake_column *column, Datum datum)
{
	struct parquet_value value;
	struct dicom_error error;
	enum dicom_status status;

	if (column->parquet.is_list)
		status = put_array(writer, index, column, datum, &error);
	else
	{
		set_value(&value, column, datum);
		status = parquet_writer_put(writer, index, &value, &error);
	}
	if (status != DICOM_OK)
		report_error(&error);
}
