/*
 * known.h
 *	  What the catalog knows of the objects of a scan: their headers, their attributes, and, where it is fresh enough, which there are.
 */
#ifndef FDW_KNOWN_H
#define FDW_KNOWN_H

#include "postgres.h"

#include "foreign/foreign.h"
#include "port/atomics.h"

#include "../catalog/lookup.h"
#include "listing.h"
#include "prune.h"

struct known;

/*
 * Opens the catalog for a scan; NULL where there is none of this server. freshness_ms: how old a sync may be to be
 * trusted without a listing; 0: never.
 */
extern struct known *known_open(ForeignServer *server, int freshness_ms);
extern void known_close(struct known *known);

/*
 * Starts (again): which keys, and under which conditions (of the plan, which must live until the next start). now: the time by which
 * it is fresh or not. next_block: where the catalog alone says which objects there are, they are dealt out in blocks, of
 * which this counter gives the next one; NULL for a scan that is alone. Both are the same for all participants.
 */
extern void known_start(struct known *known, const struct key_plan *plan, TimestampTz now,
						pg_atomic_uint64 *next_block);

/* True where the catalog alone says which objects there are: in all participants, or in none. */
extern bool known_is_fresh(const struct known *known);

/* Moves to the next object, where known_is_fresh(). False at the end. */
extern bool known_next(struct known *known);

/* Moves to an object that was listed; it may not be known. */
extern void known_find(struct known *known, const struct store_object *object);

/* --- of the object that it moved to --- */

/* As the catalog has it, after known_next(). */
extern void known_object(const struct known *known, struct store_object *object);

/* Can it be passed over, because it fails a condition? */
extern bool known_is_excluded(const struct known *known);

/* Are all attributes that the catalog keeps those of the object, which is without an error? */
extern bool known_has_values(const struct known *known);

/* One of them, by enum object_value or enum catalog_column. */
extern Datum known_value(const struct known *known, int column, bool *isnull);

/* Its header into an empty window. False: it is not known, or of another version. */
extern bool known_fill(struct known *known, struct dicom_window *window);

/* --- for EXPLAIN --- */

/* Rows of the catalog that were read, and the index that led to them; NULL where the catalog did not say which objects there are. */
extern uint64 known_rows_read(const struct known *known);
extern const char *known_index(const struct known *known);

#endif
