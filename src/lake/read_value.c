/*
 * read_value.c
 *	  Values of Parquet as PostgreSQL's.
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
#include "utils/uuid.h"

#include "convert.h"
#include "epoch.h"

static Oid
type_of(const struct parquet_column *column)
{
	static const Oid types[PARQUET_TYPE_COUNT] = {
		[PARQUET_BOOLEAN] = BOOLOID,        [PARQUET_INT32] = INT4OID,
		[PARQUET_INT64] = INT8OID,          [PARQUET_FLOAT] = FLOAT4OID,
		[PARQUET_DOUBLE] = FLOAT8OID,       [PARQUET_DECIMAL] = NUMERICOID,
		[PARQUET_DATE] = DATEOID,           [PARQUET_TIME] = TIMEOID,
		[PARQUET_TIMESTAMP] = TIMESTAMPOID, [PARQUET_TIMESTAMP_UTC] = TIMESTAMPTZOID,
		[PARQUET_STRING] = TEXTOID,         [PARQUET_BINARY] = BYTEAOID,
		[PARQUET_JSON] = JSONBOID,          [PARQUET_UUID] = UUIDOID};

	return types[column->type];
}

Oid
lake_type_of(const struct parquet_column *column, Oid *element, int32 *typmod)
{
	Oid type = type_of(column);

	*typmod =
		column->type == PARQUET_DECIMAL ? (column->precision << 16 | column->scale) + (int32) VARHDRSZ : -1;
	*element = column->is_list ? type : InvalidOid;
	return column->is_list ? get_array_type(type) : type;
}

static void
refuse(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s of a Parquet file is out of range", what)));
}

static Datum
text_datum(const struct parquet_value *value)
{
	char *text = pg_any_to_server((const char *) value->bytes, (int) value->length, PG_UTF8);
	int length = text == (const char *) value->bytes ? (int) value->length : (int) strlen(text);

	return PointerGetDatum(cstring_to_text_with_len(text, length));
}

static Datum
decimal_datum(const struct parquet_column *column, const struct parquet_value *value)
{
	char digits[64];
	char *at = digits + sizeof(digits) - 1;
	unsigned __int128 number = 0;
	bool negative;
	int i;

	if (column->precision > 18)
	{
		for (i = 0; i < 16; i++)
			number = number << 8 | value->bytes[i];
	}
	else
		number = (unsigned __int128) (__int128) value->integer;
	negative = (__int128) number < 0;
	if (negative)
		number = -number;
	*at = '\0';
	for (i = 0; number > 0 || i <= column->scale; i++)
	{
		if (i == column->scale && i > 0)
			*--at = '.';
		*--at = (char) ('0' + (int) (number % 10));
		number /= 10;
	}
	if (negative)
		*--at = '-';
	return DirectFunctionCall3(numeric_in, CStringGetDatum(at), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

static Datum
date_datum(int64 days)
{
	DateADT date;

	if (days == EPOCH_LATEST_DAY)
		DATE_NOEND(date);
	else if (days == -EPOCH_LATEST_DAY)
		DATE_NOBEGIN(date);
	else
	{
		if (!IS_VALID_DATE(days - EPOCH_DAYS))
			refuse("a date");
		date = (DateADT) (days - EPOCH_DAYS);
	}
	return DateADTGetDatum(date);
}

static Datum
timestamp_datum(int64 microseconds)
{
	Timestamp timestamp;

	if (microseconds == EPOCH_LATEST_MICROSECOND)
		TIMESTAMP_NOEND(timestamp);
	else if (microseconds == -EPOCH_LATEST_MICROSECOND)
		TIMESTAMP_NOBEGIN(timestamp);
	else
	{
		if (microseconds < PG_INT64_MIN + EPOCH_MICROSECONDS ||
			!IS_VALID_TIMESTAMP(microseconds - EPOCH_MICROSECONDS))
			refuse("a timestamp");
		timestamp = microseconds - EPOCH_MICROSECONDS;
	}
	return TimestampGetDatum(timestamp);
}

static Datum
uuid_datum(const struct parquet_value *value)
{
	pg_uuid_t *uuid = palloc(sizeof(*uuid));

	memcpy(uuid->data, value->bytes, UUID_LEN);
	return UUIDPGetDatum(uuid);
}

static Datum
value_datum(const struct parquet_column *column, const struct parquet_value *value)
{
	switch (column->type)
	{
		case PARQUET_BOOLEAN:
			return BoolGetDatum(value->integer != 0);
		case PARQUET_INT32:
			return Int32GetDatum((int32) value->integer);
		case PARQUET_FLOAT:
			return Float4GetDatum((float4) value->real);
		case PARQUET_DOUBLE:
			return Float8GetDatum(value->real);
		case PARQUET_DECIMAL:
			return decimal_datum(column, value);
		case PARQUET_DATE:
			return date_datum(value->integer);
		case PARQUET_TIME:
			if (value->integer < 0 || value->integer > USECS_PER_DAY)
				refuse("a time");
			return TimeADTGetDatum(value->integer);
		case PARQUET_TIMESTAMP:
		case PARQUET_TIMESTAMP_UTC:
			return timestamp_datum(value->integer);
		case PARQUET_STRING:
			return text_datum(value);
		case PARQUET_BINARY:
			return PointerGetDatum(
				cstring_to_text_with_len((const char *) value->bytes, (int) value->length));
		case PARQUET_JSON:
			return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(text_datum(value))));
		case PARQUET_UUID:
			return uuid_datum(value);
		default:
			return Int64GetDatum(value->integer);
	}
}

static Datum
array_datum(const struct parquet_column *column, const struct parquet_value *values, uint32_t count)
{
	Oid type = type_of(column);
	Datum *elements = palloc(Max(count, 1) * sizeof(*elements));
	bool *nulls = palloc(Max(count, 1) * sizeof(*nulls));
	int dimensions[1] = {(int) count}, bounds[1] = {1};
	int16 length;
	bool by_value;
	char align;
	uint32_t i;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	if (count == 0)
		return PointerGetDatum(construct_empty_array(type));
	for (i = 0; i < count; i++)
	{
		nulls[i] = values[i].is_null;
		elements[i] = nulls[i] ? (Datum) 0 : value_datum(column, &values[i]);
	}
	return PointerGetDatum(
		construct_md_array(elements, nulls, 1, dimensions, bounds, type, length, by_value, align));
}

Datum
lake_datum(const struct parquet_column *column, const struct parquet_value *values, uint32_t count)
{
	return column->is_list ? array_datum(column, values, count) : value_datum(column, &values[0]);
}
