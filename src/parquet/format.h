/*
 * format.h
 *	  Numbers of the Parquet format, and how a column's type is stored.
 */
#ifndef PARQUET_FORMAT_H
#define PARQUET_FORMAT_H

#include "parquet.h"
#include "thrift.h"

#define PARQUET_MAGIC    "PAR1"
#define PARQUET_MAX_PAGE ((uint32_t) 256 << 20) /* bytes; a single value must fit in */

enum physical_type
{
	PHYSICAL_BOOLEAN = 0,
	PHYSICAL_INT32 = 1,
	PHYSICAL_INT64 = 2,
	PHYSICAL_INT96 = 3,
	PHYSICAL_FLOAT = 4,
	PHYSICAL_DOUBLE = 5,
	PHYSICAL_BYTES = 6,
	PHYSICAL_FIXED = 7 /* always 16 bytes here */
};

#define FIXED_LENGTH 16

enum page_type
{
	PAGE_DATA = 0,
	PAGE_DICTIONARY = 2
};

enum page_encoding
{
	ENCODING_PLAIN = 0,
	ENCODING_PLAIN_DICTIONARY = 2,
	ENCODING_RLE = 3,
	ENCODING_RLE_DICTIONARY = 8
};

enum repetition
{
	REPETITION_REQUIRED = 0,
	REPETITION_OPTIONAL = 1,
	REPETITION_REPEATED = 2
};

enum converted_type
{
	CONVERTED_UTF8 = 0,
	CONVERTED_LIST = 3,
	CONVERTED_DECIMAL = 5,
	CONVERTED_DATE = 6,
	CONVERTED_TIMESTAMP_MICROS = 10,
	CONVERTED_JSON = 19
};

/* Fields of the union LogicalType. */
enum logical_type
{
	LOGICAL_STRING = 1,
	LOGICAL_LIST = 3,
	LOGICAL_DECIMAL = 5,
	LOGICAL_DATE = 6,
	LOGICAL_TIME = 7,
	LOGICAL_TIMESTAMP = 8,
	LOGICAL_INTEGER = 10,
	LOGICAL_JSON = 12,
	LOGICAL_UUID = 14
};

extern enum physical_type physical_type_of(const struct parquet_column *column);

/* The number of the codec in the format. */
extern int codec_number(enum parquet_compression compression);

/* Writes the elements of a column into the list `schema`, of which schema_elements() says how many they are. */
extern void schema_put_column(struct thrift_writer *writer, const struct parquet_column *column);
extern uint32_t schema_elements(const struct parquet_column *column);

#endif
