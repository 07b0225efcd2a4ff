/*
 * merge.h
 *	  A listing and the catalog side by side, in key order: which objects are to be read, which rows are out of date.
 *
 * A merge is a reader_source that gives the objects to be read. It only compares; rows of the catalog are brought to it, and
 * what it found out about them is taken away, by whoever runs it: merge_next() answers DICOM_PENDING while merge_wants_rows().
 * Catalog rows are held one page at a time.
 */
#ifndef CATALOG_MERGE_H
#define CATALOG_MERGE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "../store/store.h"

#define MERGE_PAGE    4096
#define STORAGE_CLASS 64

/* What the catalog has of an object, and what the listing made of it. */
struct merge_row
{
	char *key;
	char *etag;
	int64 size;
	int64 last_modified; /* microseconds since 1970, 0: NULL */
	char *storage_class;
	bool failed;    /* could not be had ... */
	bool too_early; /* ... and is not to be tried yet */
	bool vanished;  /* found out: the listing does not have it */
	bool renewed;   /* found out: same content, but these two are new */
	int64 new_last_modified;
	char new_storage_class[STORAGE_CLASS];
};

/* An object that was given out to be read, in the order of merge_next(). */
struct merge_given
{
	bool known;          /* the catalog has a version of it */
	bool listed_before;  /* the catalog has a row */
	int64 last_modified; /* as listed */
	char etag[128];
};

struct merge;

/* In the current context. The listing is closed by the store that it belongs to. */
extern struct merge *merge_create(struct store_list *list);

/* A reader_source's next(); arg is the merge. */
extern enum dicom_status merge_next(void *arg, struct store_object *object, struct dicom_error *error);

/* True where nothing goes on before merge_set_rows(). */
extern bool merge_wants_rows(const struct merge *merge);

/* The page of rows that was set last; to be looked at when all of them were compared. */
extern struct merge_row *merge_get_rows(struct merge *merge, int *count);

/* The next page; fewer than MERGE_PAGE rows are the last. The rows must live until the next call. */
extern void merge_set_rows(struct merge *merge, struct merge_row *rows, int count);

/* What was known of the next object that the reader delivers; called once for each. */
extern struct merge_given merge_take_given(struct merge *merge);

extern uint64 merge_listed(const struct merge *merge);

/* Objects whose keys the catalog cannot hold. */
extern uint64 merge_refused(const struct merge *merge);

#endif
