/*
 * lookup.h
 *	  What a scan asks the catalog: the rows of a server in key order, and how fresh they are.
 *
 * Reads with the query's snapshot and never writes, so it works on a standby and in a read-only transaction. It looks past the
 * privileges on dicom.object: who may select from a foreign table may see what the catalog knows of its files, as if they
 * were read again.
 *
 * A lookup stands on one row at a time; the catalog_row functions are about that one, and what they return is valid until the
 * lookup moves on.
 */
#ifndef CATALOG_LOOKUP_H
#define CATALOG_LOOKUP_H

#include "postgres.h"

#include "access/stratnum.h"
#include "foreign/foreign.h"
#include "utils/timestamp.h"

#include "../store/store.h"
#include "values.h"

/* A column of dicom.object: an enum object_value, or one of these. Their types are those of the table. */
enum catalog_column
{
	CATALOG_STUDY_DATE = VALUE_COUNT, /* -infinity where the file has none */
	CATALOG_KEY,
	CATALOG_SIZE,
	CATALOG_LAST_MODIFIED,
	CATALOG_ETAG,
	CATALOG_STORAGE_CLASS,
	CATALOG_COLUMNS
};

/* What a row must satisfy: enum object_value or CATALOG_STUDY_DATE, compared with a text or a date; a NULL satisfies nobody. */
struct catalog_condition
{
	int column;
	StrategyNumber strategy; /* of a B-tree; for a text BTEqualStrategyNumber */
	bool any;                /* the argument is an array of such values, one of which is equal */
	Datum argument;
	bool isnull; /* of the argument */
};

struct catalog_lookup;

/*
 * Opens the catalog of a server in the current context; NULL where it was never synchronised, or was while the server named
 * another place. To be closed: index scans are open.
 */
extern struct catalog_lookup *catalog_lookup_open(ForeignServer *server);
extern void catalog_lookup_close(struct catalog_lookup *lookup);

/*
 * When the last complete sync began that covered all keys with this prefix; DT_NOBEGIN for none: the catalog is at least so fresh.
 */
extern TimestampTz catalog_lookup_synced_at(struct catalog_lookup *lookup, const char *prefix);

/* How many objects the catalog has, by the last sync that came to its end; -1: unknown. */
extern double catalog_object_count(ForeignServer *server);

/*
 * Which rows catalog_lookup_seek() and catalog_lookup_next() go through: at the least all that may satisfy every one of the
 * conditions, what is not known of them included. An index leaves others out where it leaves few. many: as many processes
 * do the same and must come to the same rows; then only the day's index is used. The arguments must live until the next call.
 */
extern void catalog_lookup_restrict(struct catalog_lookup *lookup, const struct catalog_condition *conditions,
									int count, bool many);

/* The next row is the first one at or behind `key`. */
extern void catalog_lookup_seek(struct catalog_lookup *lookup, const char *key);

/* Moves to the next row; false at the end. */
extern bool catalog_lookup_next(struct catalog_lookup *lookup);

/* Moves to the row of this key. Cheap for keys that ascend from call to call. Not while rows are left out. */
extern bool catalog_lookup_find(struct catalog_lookup *lookup, const char *key);

/* Rows that were read from the table so far, and the index that led to them last. */
extern uint64 catalog_lookup_rows_read(const struct catalog_lookup *lookup);
extern const char *catalog_lookup_index(const struct catalog_lookup *lookup);

/* --- the row on which the lookup stands --- */

extern Datum catalog_row_value(struct catalog_lookup *lookup, int column, bool *isnull);

/* Its key: not terminated, never NULL. */
extern const char *catalog_row_key(struct catalog_lookup *lookup, int *length);

/* Without an error. */
extern bool catalog_row_is_whole(struct catalog_lookup *lookup);

/* The values and the header are those of the object's content; else it could not be had. */
extern bool catalog_row_is_read(struct catalog_lookup *lookup);

/* One of its texts is NULL because it is too long. */
extern bool catalog_row_values_cut(struct catalog_lookup *lookup);

extern void catalog_row_object(struct catalog_lookup *lookup, struct store_object *object);

/* Fills an empty window, whose size is set, with the row's header. False: there is none. */
extern bool catalog_row_header(struct catalog_lookup *lookup, struct dicom_window *window);

#endif
