/*
 * decimal.h
 *	  A numeric as a whole number of so many digits, read from its form on disk without going through text.
 *
 * The form (digits of base 10000 behind a header of two or four bytes, src/backend/utils/adt/numeric.c) has been the same since
 * PostgreSQL 9.1, and stays as long as pg_upgrade leaves tables as they are.
 */
#ifndef LAKE_DECIMAL_H
#define LAKE_DECIMAL_H

#include "postgres.h"

enum decimal_result
{
	DECIMAL_OK,
	DECIMAL_SPECIAL, /* NaN or infinite */
	DECIMAL_TOO_LONG /* more digits than `precision`, or than `scale` behind the point */
};

/* The number times 10^scale. `numeric` is not toasted, but may have a short header; precision is 38 at most. */
extern enum decimal_result decimal_of_numeric(const struct varlena *numeric, int precision, int scale,
											  __int128 *number);

#endif
