/*
 * listing.h
 *	  The objects that a scan looks at: ranges of keys, listed side by side and handed out in key order, or single keys.
 */
#ifndef FDW_LISTING_H
#define FDW_LISTING_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "../reader/reader.h"

/* Keys that begin with `prefix`, behind start_after and before end_before (NULL: no bound); UTF-8. */
struct key_range
{
	char *prefix;
	char *start_after;
	char *end_before;
};

struct prune_value;

/* Ranges in ascending order that do not overlap, or keys, ascending and each once. */
struct key_plan
{
	bool exact;         /* keys count, not ranges */
	bool prefix_or_key; /* one range: where its prefix is the key of an object, that object alone */
	List *ranges;       /* of struct key_range */
	List *keys;         /* of char * */
	int limit;          /* of a range, no more than so many objects; 0: none */

	/* Conditions that rows must satisfy, for the catalog; see prune.h. */
	const struct prune_value *conditions;
	int condition_count;
};

struct listing;

/*
 * open_only: the objects will be read, so that single keys need no listing of their own (a key that does not exist then
 * shows when it is read). Everything is allocated in the current context; close before the store.
 */
extern struct listing *listing_open(struct store *store, const struct key_plan *plan, bool open_only);

/* A reader_source's next(). arg is the listing. */
extern enum dicom_status listing_next(void *arg, struct store_object *object, struct dicom_error *error);

/* The number of the range that the last object came from; as many as there are at the end. */
extern int listing_position(const struct listing *listing);
extern void listing_close(struct listing *listing);

#endif
