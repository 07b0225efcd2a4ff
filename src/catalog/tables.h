/*
 * tables.h
 *	  The catalog's tables, as a sync reads and writes them: rows of a page, batches of objects, days, and how far it is.
 *
 * Everything runs with the rights of the tables' owner. A process is always within a transaction here; each of the calls that
 * write ends it and begins the next, so whatever they wrote stays. They throw.
 */
#ifndef CATALOG_TABLES_H
#define CATALOG_TABLES_H

#include "postgres.h"

#include "foreign/foreign.h"

#include "../reader/reader.h"
#include "merge.h"
#include "sync.h"
#include "values.h"

struct catalog;

/* For one server and prefix, in the current context; which must live as long as the process. */
extern struct catalog *catalog_open(Oid server, const char *prefix);

/* Rows behind a key (NULL: from the first), at most MERGE_PAGE, in the current context. */
extern struct merge_row *catalog_read_page(struct catalog *catalog, const char *after, int *count);

/* --- objects: gathered, and written when the batch is full or catalog_flush() is called --- */

/* Where to make the values and header of the next object; emptied when the batch was written. */
extern MemoryContext catalog_batch_context(struct catalog *catalog);

/* An object that was read; item->error says what is wrong with it if item->status is DICOM_FAILED. */
extern void catalog_add_object(struct catalog *catalog, const struct reader_item *item, int64 last_modified,
							   const struct object_values *values, const bytea *header);

/* An object that could not be had. */
extern void catalog_add_failure(struct catalog *catalog, const struct reader_item *item);

extern bool catalog_is_full(const struct catalog *catalog);
extern void catalog_flush(struct catalog *catalog, const struct sync_counters *counters);

/* Rows whose objects have other times or storage classes now. */
extern void catalog_renew(struct catalog *catalog, const struct merge_row *rows, int count);

/* Removes rows; returns how many there were. */
extern uint64 catalog_remove(struct catalog *catalog, char **keys, int count);

/* --- how far it is: dicom.sync_state --- */

extern void catalog_begin(struct catalog *catalog, const char *place);
extern void catalog_tell(struct catalog *catalog, const char *phase, const struct sync_counters *counters);
extern void catalog_end(struct catalog *catalog, const struct sync_counters *counters);
extern void catalog_fail(struct catalog *catalog, const char *error, const struct sync_counters *counters);

#endif
