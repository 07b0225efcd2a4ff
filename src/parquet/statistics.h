/*
 * statistics.h
 *	  The least and the greatest value of a page or a column, and how many NULLs.
 *
 * Long byte strings are cut: the least one to a prefix, the greatest one to a prefix that is raised, so that both still bound all values.
 * With a NaN among them, floating-point values have no bounds.
 */
#ifndef PARQUET_STATISTICS_H
#define PARQUET_STATISTICS_H

#include "format.h"

#define STATISTICS_LONGEST 64

struct bound
{
	uint8_t bytes[STATISTICS_LONGEST];
	uint8_t length;
	bool is_cut; /* of a longer value */
	int64_t integer;
	double real;
};

struct statistics
{
	uint64_t values; /* not NULL */
	uint64_t nulls;
	bool has_bounds;
	bool has_nan;
	struct bound least;
	struct bound greatest;
};

/* Adds so many values that are not NULL, given in their plain encoding; booleans a byte each. */
extern void statistics_add(struct statistics *statistics, const struct parquet_column *column,
						   const uint8_t *plain, uint32_t count);
extern void statistics_merge(struct statistics *statistics, const struct parquet_column *column,
							 const struct statistics *more);

/*
 * The plain encoding of the least or the greatest value into `bytes` (STATISTICS_LONGEST): its length, or -1 where none can be given.
 * *is_exact: a value is just that.
 */
extern int statistics_bound(const struct statistics *statistics, const struct parquet_column *column,
							bool greatest, uint8_t *bytes, bool *is_exact);

/* Writes the struct Statistics as a field. */
extern void statistics_put(struct thrift_writer *writer, int field, const struct statistics *statistics,
						   const struct parquet_column *column);

#endif
