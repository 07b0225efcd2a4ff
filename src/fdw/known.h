/*
 * known.h
 *	  What the catalog knows of the objects of a scan: their headers, their attributes, and, where it is fresh enough, which there are.
 */
#ifndef FDW_KNOWN_H
#define FDW_KNOWN_H

#include "postgres.h"

#include "foreign/foreign.h"

#include "../catalog/lookup.h"
#include "listing.h"
#include "prune.h"

struct known;

/*
 * Opens the catalog for a scan; NULL where there is none of this server. freshness_ms: how old a sync may be to be
 * trusted without a listing; 0: never. conditions: what rows of the table must satisfy, of columns with an indexed attribute.
 */
extern struct known *known_open(ForeignServer *server, int freshness_ms);
extern void known_close(struct known *known);

/*
 * Starts (again): which keys, and under which conditions (of the plan, which must live until the next start). may_trust: the catalog
 * may say which objects there are; not where several share a listing.
 */
extern void known_start(struct known *known, const struct key_plan *plan, bool may_trust);

/* True where the catalog alone says which objects there are. */
extern bool known_is_fresh(const struct known *known);

/* The next object, where known_is_fresh(). False at the end. */
extern bool known_next(struct known *known, struct store_object *object);

/* Finds out what is known of an object that was listed. */
extern void known_find(struct known *known, const struct store_object *object);

/* Of the object of the last of these two: can it be passed over, because it fails a condition? */
extern bool known_is_excluded(const struct known *known);

/* Of the same: the attributes that the catalog keeps; NULL where they are not those of the object, or one is too long to be kept. */
extern const struct catalog_entry *known_values(const struct known *known);

/* Of the same: its header into an empty window. False: it is not known, or of another version. */
extern bool known_fill(struct known *known, struct dicom_window *window);

#endif
