/*
 * lookup.h
 *	  What a scan asks the catalog: the rows of a server in key order, and how fresh they are.
 *
 * Reads with the query's snapshot and never writes, so it works on a standby and in a read-only transaction. It looks past the
 * privileges on dicom.object: who may select from a foreign table may see what the catalog knows of its files, as if they
 * were read again.
 */
#ifndef CATALOG_LOOKUP_H
#define CATALOG_LOOKUP_H

#include "postgres.h"

#include "foreign/foreign.h"
#include "utils/timestamp.h"

#include "../store/store.h"
#include "values.h"

/* One row; everything in it is valid until the next call on its lookup. */
struct catalog_entry
{
	struct store_object object;
	bool is_whole; /* without an error */
	bool is_read;  /* the values and the header are those of the object's content; else it could not be had */
	DateADT study_date;
	bool values_cut; /* one of `texts` is NULL because it is too long */
	Datum texts[VALUE_COUNT];
	bool text_nulls[VALUE_COUNT];
};

struct catalog_lookup;

/*
 * Opens the catalog of a server in the current context; NULL where it was never synchronised, or was while the server named
 * another place. To be closed: an index scan is open.
 */
extern struct catalog_lookup *catalog_lookup_open(ForeignServer *server);
extern void catalog_lookup_close(struct catalog_lookup *lookup);

/*
 * When the last complete sync began that covered all keys with this prefix; DT_NOBEGIN for none: the catalog is at least so fresh.
 */
extern TimestampTz catalog_lookup_synced_at(struct catalog_lookup *lookup, const char *prefix);

/* How many objects the catalog has, by the last sync that came to its end; -1: unknown. */
extern double catalog_object_count(ForeignServer *server);

/* The next row is the first one at or behind `key`; of one day only where day is not NULL. */
extern void catalog_lookup_seek(struct catalog_lookup *lookup, const char *key, const DateADT *day);

/* False at the end. */
extern bool catalog_lookup_next(struct catalog_lookup *lookup, struct catalog_entry *entry);

/* The row of this key. Cheap for keys that ascend from call to call. */
extern bool catalog_lookup_find(struct catalog_lookup *lookup, const char *key, struct catalog_entry *entry);

/* Fills an empty window, whose size is set, with the header of the entry that was returned last. False: there is none. */
extern bool catalog_lookup_header(struct catalog_lookup *lookup, struct dicom_window *window);

#endif
