/*
 * write_value.c
 *	  Values of PostgreSQL as Parquet's.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "../pg/report.h"
#include "convert.h"
#include "decimal.h"
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

static void
refuse(const struct lake_column *column, const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column \"%s\" has %s, which its type in Parquet cannot hold", column->name, what),
					errhint("%s", hint)));
}

/* --- a value of each type; the array's elements go through the same functions --- */

static void
set_boolean(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->integer = DatumGetBool(datum);
}

static void
set_int16(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->integer = DatumGetInt16(datum);
}

static void
set_int32(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->integer = DatumGetInt32(datum);
}

static void
set_int64(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->integer = DatumGetInt64(datum);
}

static void
set_oid(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->integer = DatumGetObjectId(datum);
}

static void
set_float(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->real = DatumGetFloat4(datum);
}

static void
set_double(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->real = DatumGetFloat8(datum);
}

static void
set_date(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	DateADT date = DatumGetDateADT(datum);

	value->integer = DATE_IS_NOEND(date)     ? EPOCH_LATEST_DAY
					 : DATE_IS_NOBEGIN(date) ? -EPOCH_LATEST_DAY
											 : (int64) date + EPOCH_DAYS;
}

static void
set_timestamp(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	Timestamp timestamp = DatumGetTimestamp(datum);

	if (TIMESTAMP_IS_NOEND(timestamp))
		value->integer = EPOCH_LATEST_MICROSECOND;
	else if (TIMESTAMP_IS_NOBEGIN(timestamp))
		value->integer = -EPOCH_LATEST_MICROSECOND;
	else if (timestamp > PG_INT64_MAX - 1 - EPOCH_MICROSECONDS)
		refuse(column, "a time after the year 294246", "Cast the column to text.");
	else
		value->integer = timestamp + EPOCH_MICROSECONDS;
}

static void
set_uuid(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	value->bytes = DatumGetUUIDP(datum)->data;
	value->length = UUID_LEN;
}

static void
set_bytes(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(datum);

	value->bytes = (const uint8_t *) VARDATA_ANY(bytes);
	value->length = VARSIZE_ANY_EXHDR(bytes);
}

/* Text of the database's encoding becomes UTF-8. */
static void
convert_text(struct parquet_value *value)
{
	const char *text = (const char *) value->bytes;
	const char *utf8 = pg_server_to_any(text, (int) value->length, PG_UTF8);

	if (utf8 == text)
		return;
	value->bytes = (const uint8_t *) utf8;
	value->length = (uint32_t) strlen(utf8);
}

static void
set_text(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	set_bytes(value, column, datum);
	if (GetDatabaseEncoding() != PG_UTF8)
		convert_text(value);
}

static void
set_output(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	const char *text = OutputFunctionCall((FmgrInfo *) &column->output, datum);

	value->bytes = (const uint8_t *) text;
	value->length = (uint32_t) strlen(text);
	if (GetDatabaseEncoding() != PG_UTF8)
		convert_text(value);
}

static void
set_decimal(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	__int128 number;
	enum decimal_result result = decimal_of_numeric(PG_DETOAST_DATUM_PACKED(datum), column->parquet.precision,
													column->parquet.scale, &number);
	uint8_t *bytes;
	int i;

	if (result == DECIMAL_SPECIAL)
		refuse(column, "NaN or infinity", "Cast the column to double precision or to text.");
	if (result == DECIMAL_TOO_LONG)
		refuse(column, "a number of more digits than it declares", "Cast the column to text.");
	value->integer = (int64_t) number;
	if (column->parquet.precision <= 18)
		return;
	bytes = palloc(16);
	for (i = 0; i < 16; i++)
		bytes[15 - i] = (uint8_t) ((unsigned __int128) number >> 8 * i);
	value->bytes = bytes;
	value->length = 16;
}

static lake_setter
setter_of(const struct lake_column *column)
{
	switch (column->type)
	{
		case BOOLOID:
			return set_boolean;
		case INT2OID:
			return set_int16;
		case INT4OID:
			return set_int32;
		case INT8OID:
		case TIMEOID:
			return set_int64;
		case OIDOID:
			return set_oid;
		case FLOAT4OID:
			return set_float;
		case FLOAT8OID:
			return set_double;
		case DATEOID:
			return set_date;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return set_timestamp;
		case UUIDOID:
			return set_uuid;
		case BYTEAOID:
			return set_bytes;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
			return set_text;
	}
	return column->parquet.type == PARQUET_DECIMAL ? set_decimal : set_output;
}

static void
set_list(struct parquet_value *value, const struct lake_column *column, Datum datum)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	uint32_t count = (uint32_t) ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)), i;
	struct parquet_value *elements;
	array_iter iterator;

	if (ARR_NDIM(array) > 1)
		refuse(column, "an array of several dimensions", "Cast the column to jsonb or to text.");
	value->length = count;
	if (count == 0)
		return;
	elements = palloc(count * sizeof(*elements));
	array_iter_setup(&iterator, (AnyArrayType *) array);
	for (i = 0; i < count; i++)
	{
		Datum element = array_iter_next(&iterator, &elements[i].is_null, (int) i, column->length,
										column->by_value, column->align);

		if (!elements[i].is_null)
			column->set(&elements[i], column, element);
	}
	value->elements = elements;
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
	column->attribute = attribute->attnum - 1;
	column->parquet.name = text_to_utf8(NameStr(attribute->attname));
	column->parquet.is_list = OidIsValid(element);
	column->type = OidIsValid(element) ? getBaseTypeAndTypmod(element, &typmod) : type;
	column->parquet.type = parquet_type_of(column->type, typmod, &column->parquet, &column->as_text);
	get_typlenbyvalalign(column->type, &column->length, &column->by_value, &column->align);
	getTypeOutputInfo(column->type, &output, &is_varlena);
	fmgr_info(output, &column->output);
	column->set = setter_of(column);
}

void
lake_put_row(struct parquet_writer *writer, const struct lake_column *columns, int count,
			 const TupleTableSlot *slot, struct parquet_value *row)
{
	struct dicom_error error;
	int i;

	for (i = 0; i < count; i++)
	{
		const struct lake_column *column = &columns[i];
		Datum datum = slot->tts_values[column->attribute];

		row[i].is_null = slot->tts_isnull[column->attribute];
		if (row[i].is_null)
			continue;
		if (column->parquet.is_list)
			set_list(&row[i], column, datum);
		else
			column->set(&row[i], column, datum);
	}
	if (parquet_writer_put_row(writer, row, &error) != DICOM_OK)
		report_error(&error);
}
