/*
 * format.c
 *	  How a column's type is stored, and told in the schema.
 */
#include "format.h"

enum physical_type
physical_type_of(const struct parquet_column *column)
{
	switch (column->type)
	{
		case PARQUET_BOOLEAN:
			return PHYSICAL_BOOLEAN;
		case PARQUET_INT32:
		case PARQUET_DATE:
			return PHYSICAL_INT32;
		case PARQUET_FLOAT:
			return PHYSICAL_FLOAT;
		case PARQUET_DOUBLE:
			return PHYSICAL_DOUBLE;
		case PARQUET_STRING:
		case PARQUET_BINARY:
		case PARQUET_JSON:
			return PHYSICAL_BYTES;
		case PARQUET_UUID:
			return PHYSICAL_FIXED;
		case PARQUET_DECIMAL:
			return column->precision > 18 ? PHYSICAL_FIXED : PHYSICAL_INT64;
		default:
			return PHYSICAL_INT64;
	}
}

int
codec_number(enum parquet_compression compression)
{
	return compression == PARQUET_ZSTD ? 6 : compression == PARQUET_SNAPPY ? 1 : 0;
}

/* A member of the union LogicalType that has no fields. */
static void
put_logical(struct thrift_writer *writer, enum logical_type type)
{
	thrift_begin_struct(writer, 10);
	thrift_begin_struct(writer, type);
	thrift_end_struct(writer);
	thrift_end_struct(writer);
}

static void
put_decimal(struct thrift_writer *writer, const struct parquet_column *column)
{
	thrift_put_i32(writer, 6, CONVERTED_DECIMAL);
	thrift_put_i32(writer, 7, column->scale);
	thrift_put_i32(writer, 8, column->precision);
	thrift_begin_struct(writer, 10);
	thrift_begin_struct(writer, LOGICAL_DECIMAL);
	thrift_put_i32(writer, 1, column->scale);
	thrift_put_i32(writer, 2, column->precision);
	thrift_end_struct(writer);
	thrift_end_struct(writer);
}

/* TIME and TIMESTAMP in microseconds. */
static void
put_clock(struct thrift_writer *writer, enum logical_type type, bool is_utc)
{
	thrift_begin_struct(writer, 10);
	thrift_begin_struct(writer, type);
	thrift_put_bool(writer, 1, is_utc);
	thrift_begin_struct(writer, 2);
	thrift_begin_struct(writer, 2); /* MICROS */
	thrift_end_struct(writer);
	thrift_end_struct(writer);
	thrift_end_struct(writer);
	thrift_end_struct(writer);
}

/* The older converted type stands beside the logical one where both say the same. */
static void
put_annotation(struct thrift_writer *writer, const struct parquet_column *column)
{
	switch (column->type)
	{
		case PARQUET_STRING:
			thrift_put_i32(writer, 6, CONVERTED_UTF8);
			put_logical(writer, LOGICAL_STRING);
			break;
		case PARQUET_JSON:
			thrift_put_i32(writer, 6, CONVERTED_JSON);
			put_logical(writer, LOGICAL_JSON);
			break;
		case PARQUET_UUID:
			put_logical(writer, LOGICAL_UUID);
			break;
		case PARQUET_DATE:
			thrift_put_i32(writer, 6, CONVERTED_DATE);
			put_logical(writer, LOGICAL_DATE);
			break;
		case PARQUET_TIME:
			put_clock(writer, LOGICAL_TIME, false);
			break;
		case PARQUET_TIMESTAMP:
			put_clock(writer, LOGICAL_TIMESTAMP, false);
			break;
		case PARQUET_TIMESTAMP_UTC:
			thrift_put_i32(writer, 6, CONVERTED_TIMESTAMP_MICROS);
			put_clock(writer, LOGICAL_TIMESTAMP, true);
			break;
		case PARQUET_DECIMAL:
			put_decimal(writer, column);
			break;
		default:
			break;
	}
}

static void
put_leaf(struct thrift_writer *writer, const struct parquet_column *column, const char *name)
{
	enum physical_type physical = physical_type_of(column);

	thrift_begin_element(writer);
	thrift_put_i32(writer, 1, physical);
	if (physical == PHYSICAL_FIXED)
		thrift_put_i32(writer, 2, FIXED_LENGTH);
	thrift_put_i32(writer, 3, REPETITION_OPTIONAL);
	thrift_put_string(writer, 4, name);
	put_annotation(writer, column);
	thrift_end_struct(writer);
}

void
schema_put_column(struct thrift_writer *writer, const struct parquet_column *column)
{
	if (!column->is_list)
	{
		put_leaf(writer, column, column->name);
		return;
	}
	thrift_begin_element(writer);
	thrift_put_i32(writer, 3, REPETITION_OPTIONAL);
	thrift_put_string(writer, 4, column->name);
	thrift_put_i32(writer, 5, 1);
	thrift_put_i32(writer, 6, CONVERTED_LIST);
	put_logical(writer, LOGICAL_LIST);
	thrift_end_struct(writer);

	thrift_begin_element(writer);
	thrift_put_i32(writer, 3, REPETITION_REPEATED);
	thrift_put_string(writer, 4, "list");
	thrift_put_i32(writer, 5, 1);
	thrift_end_struct(writer);

	put_leaf(writer, column, "element");
}

uint32_t
schema_elements(const struct parquet_column *column)
{
	return column->is_list ? 3 : 1;
}
