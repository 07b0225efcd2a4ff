/*
 * shared_listing.h
 *	  One listing for all participants of a parallel scan.
 *
 * In shared memory stand two pages of objects, of which participants take a few at a time. Whoever finds them running low
 * lists the next page, one participant at a time, beginning behind the last key; so every object is given out once. A
 * participant lists only while it waits for objects itself and never holds on to that across a row: one whose row nobody takes
 * would else stop all others.
 *
 * The listing's own part lives in shared memory and must outlive every participant's part, its closing excepted.
 */
#ifndef FDW_SHARED_LISTING_H
#define FDW_SHARED_LISTING_H

#include "postgres.h"

#include "listing.h"

struct shared_listing;

extern Size shared_listing_size(void);
extern void shared_listing_initialize(struct shared_listing *shared);

/* Begins anew, while nobody takes part. */
extern void shared_listing_restart(struct shared_listing *shared);

/* Ends it early: nobody gets another object. */
extern void shared_listing_stop(struct shared_listing *shared);
extern bool shared_listing_is_stopped(struct shared_listing *shared);

/* How many objects were listed since it was initialized. */
extern uint64 shared_listing_count(struct shared_listing *shared);

/* One participant's part in it. */
struct participant;

/*
 * Takes part, with the plan that all participants have. Of an exact plan's keys the reading tells whether they exist.
 * Allocated in the current context; close before the store.
 */
extern struct participant *participant_open(struct shared_listing *shared, struct store *store,
											const struct key_plan *plan);

/* A reader_source's next(): DICOM_PENDING where another page must be listed first. */
extern enum dicom_status participant_next(void *arg, struct store_object *object, struct dicom_error *error);

/* Lists the next page, if the objects are running low and nobody else is listing. Waits for the store; throws. */
extern void participant_list_ahead(struct participant *participant);

/* Waits until there are objects, or no more will come; lists if nobody else does. Throws. */
extern void participant_wait(struct participant *participant);
extern void participant_close(struct participant *participant);

#endif
