/*
 * convert.h
 *	  Types and values of PostgreSQL as Parquet's, and back.
 *
 *	boolean						BOOLEAN
 *	smallint, integer			INT32
 *	bigint, oid					INT64
 *	real, double precision		FLOAT, DOUBLE
 *	numeric(p, s)				DECIMAL up to 38 digits; without p, or beyond, as text
 *	date						DATE; infinity is the largest number of days, -infinity its negative, as in DuckDB
 *	time						TIME in microseconds, of no zone
 *	timestamp, timestamptz		TIMESTAMP in microseconds, not adjusted or adjusted to UTC; infinity as with date
 *	text, varchar, char, name, enums	STRING
 *	bytea						BINARY
 *	json, jsonb					JSON
 *	uuid						UUID
 *	arrays of these				LIST, of one dimension
 *	any other					STRING, its text; lake_column.as_text says so
 *
 * What a column's type cannot hold (NaN of a numeric, an instant after the year 294246, an array of two dimensions) is an error that
 * names the column.
 */
#ifndef LAKE_CONVERT_H
#define LAKE_CONVERT_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "fmgr.h"

#include "../parquet/parquet.h"

struct lake_column;

/* Fills all of a value but is_null from a datum that is not NULL. */
typedef void (*lake_setter)(struct parquet_value *value, const struct lake_column *column, Datum datum);

struct lake_column
{
	struct parquet_column parquet;
	int attribute;    /* in the row, from 0 */
	const char *name; /* in the database's encoding */
	Oid type;         /* of a value, or of an array's elements; domains looked through */
	bool as_text;     /* there is no such type in Parquet */
	bool by_value;    /* of elements */
	char align;
	int16 length;
	FmgrInfo output; /* where text is made of it */
	lake_setter set; /* of a value, or of an array's elements */
};

/* How a column of a query is written; its names live as long as the descriptor. */
extern void lake_column_of(struct lake_column *column, Form_pg_attribute attribute);

/*
 * Writes a row, of which the slot has all attributes; `row` is room for a value of each column. What it allocates, it leaves in the
 * current context. Throws.
 */
extern void lake_put_row(struct parquet_writer *writer, const struct lake_column *columns, int count,
						 const TupleTableSlot *slot, struct parquet_value *row);

/* The type that a column of a file has in the database, arrays included; its element type in *element if so, else InvalidOid. */
extern Oid lake_type_of(const struct parquet_column *column, Oid *element, int32 *typmod);

/* A value of a file, of the type above, in the current context. Throws DATA_EXCEPTION where it is none. */
extern Datum lake_datum(const struct parquet_column *column, const struct parquet_value *values,
						uint32_t count);

#endif
