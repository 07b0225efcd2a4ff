/*
 * long_values.h
 *	  Values that PostgreSQL keeps out of line (TOAST), of rows that come in about the order in which they were written.
 *
 * Fetched by themselves each costs the opening of their table and a descent of its index. Of such rows they stand one behind the
 * other, so this keeps one scan open and goes on from value to value.
 */
#ifndef CATALOG_LONG_VALUES_H
#define CATALOG_LONG_VALUES_H

#include "postgres.h"

#include "utils/rel.h"
#include "utils/snapshot.h"

struct long_values;

/* Of a table, in the current context. To be closed: an index scan is open. */
extern struct long_values *long_values_open(Relation relation, Snapshot snapshot);
extern void long_values_close(struct long_values *values);

/* The bytes of a bytea that was read from the table, valid until the next call; in the current context where it is not out of line. */
extern const uint8 *long_values_fetch(struct long_values *values, Datum value, size_t *length);

#endif
