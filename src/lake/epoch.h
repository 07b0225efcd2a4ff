/*
 * epoch.h
 *	  PostgreSQL counts from 2000-01-01, Parquet from 1970-01-01; infinities are the outermost numbers, as in DuckDB.
 */
#ifndef LAKE_EPOCH_H
#define LAKE_EPOCH_H

#include "utils/timestamp.h"

#define EPOCH_DAYS               (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define EPOCH_MICROSECONDS       ((int64) EPOCH_DAYS * USECS_PER_DAY)
#define EPOCH_LATEST_DAY         PG_INT32_MAX
#define EPOCH_LATEST_MICROSECOND PG_INT64_MAX

#endif
