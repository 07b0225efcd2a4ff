/*
 * scan.h
 *	  Rows of an entity from the objects of a server: what foreign tables and set-returning functions share.
 *
 * A scan belongs to a memory context and closes with it. Rows come in key order (those that did not fit into work_mem of a
 * de-duplicated entity behind the others). Which rows an entity has:
 *
 *	files		one per object, whatever is in it
 *	images		one per object that is DICOM, as far as it can be read
 *	elements	one per element of such an object, nested ones behind their sequence
 *	patients, devices, studies, series
 *				one per key, from the first object that has it; an object in which the whole key is empty gives none
 */
#ifndef FDW_SCAN_H
#define FDW_SCAN_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "foreign/foreign.h"
#include "port/atomics.h"

#include "column.h"
#include "listing.h"
#include "shared_listing.h"

struct scan_request
{
	ForeignServer *server;
	Oid user;
	enum entity_kind entity;
	const char *name; /* of the table or function, for messages */
	List *options;    /* of the foreign table, or NIL */
	TupleDesc descriptor;
	struct column *columns; /* those that are wanted; the others of a row are NULL */
	int column_count;
	int freshness_ms; /* how old the catalog may be to be trusted without a listing; 0: never */
	/* Called with the columns that a listing tells before an object is opened; false: it is passed over. NULL: all are kept. */
	bool (*keep)(void *arg, Datum *values, bool *nulls);
	void *keep_arg;
};

struct scan_counters
{
	uint64 from_catalog;  /* objects that the catalog answered for */
	uint64 catalog_rows;  /* rows of the catalog that were read to find them, where it says which there are */
	uint64 pruned;        /* objects that the filter on the listing passed over */
	uint64 opened;        /* objects that were read */
	uint64 skipped;       /* objects that gave no row, because they could not be read */
	uint64 damaged;       /* objects that were read up to an error */
	uint64 vanished;      /* objects that were gone between listing and reading */
	uint64 without_key;   /* objects in which the entity's key is empty */
	uint64 duplicates;    /* objects whose entity was seen before */
	uint64 spilled;       /* rows that went through a temporary file */
	uint64 bad_values;    /* values that did not fit their columns */
	uint64 replaced;      /* characters that could not be converted */
	char *first_bad_file; /* key */
	char *first_bad_value; /* column and key */
};

/* What the participants of a parallel scan have in common, in shared memory. */
struct scan_share
{
	struct shared_listing *listing;
	pg_atomic_uint64 *bad_files;  /* skipped or damaged */
	pg_atomic_uint64 *next_block; /* of objects, where the catalog alone says which there are; see known.h */
	TimestampTz now;              /* by which the catalog is fresh or not */
};

enum scan_result
{
	SCAN_ROW,
	SCAN_END,
	SCAN_PENDING /* nothing yet: wait for the store */
};

struct scan;

/* Begins a scan in `context`, without a request. */
extern struct scan *scan_open(const struct scan_request *request, MemoryContext context);

/*
 * Starts (again) with these objects. The plan must live as long as the scan, or until the next start. share: other participants
 * read the objects that this scan does not get (of an entity that is not de-duplicated, and whose objects are opened);
 * NULL for none.
 */
extern void scan_start(struct scan *scan, const struct key_plan *plan, const struct scan_share *share);

/* The next row, in memory that lives until the next call. False at the end. */
extern bool scan_next(struct scan *scan, Datum *values, bool *nulls);

/* The same without waiting, for a scan without share. */
extern enum scan_result scan_poll(struct scan *scan, Datum *values, bool *nulls);

/* What to wait for after SCAN_PENDING: the store, which lives as long as the scan. */
extern struct store *scan_get_store(struct scan *scan);

/* Says what went wrong, once: a WARNING about bad files, a NOTICE about values. */
extern void scan_report(struct scan *scan);
extern void scan_close(struct scan *scan);

/* Ends a start without another one: nothing of what it shares is touched any more. */
extern void scan_stop(struct scan *scan);

/* Adds numbers, not texts. */
extern void scan_counters_add(struct scan_counters *sum, const struct scan_counters *more);

/* Adds what another participant counted to what this scan tells. Objects listed together are added only so. */
extern void scan_merge(struct scan *scan, const struct scan_counters *counters,
					   const struct store_statistics *statistics);

extern const struct scan_counters *scan_get_counters(struct scan *scan);
extern const struct store_statistics *
scan_get_statistics(struct scan *scan); /* NULL before the first request */

/* True where the catalog alone says which objects there are. */
extern bool scan_is_fresh(const struct scan *scan);

/* The index of the catalog that led to them last; NULL: none. */
extern const char *scan_catalog_index(const struct scan *scan);
extern bool scan_opens_files(const struct scan *scan);

/* The highest top-level tag that headers are read for; 0: no header, UINT32_MAX: the whole header. */
extern uint32_t scan_last_tag(const struct scan *scan);

#endif
