/*
 * stores.h
 *	  The stores that the main thread reads from, one for each place, opened when they are first needed.
 */
#ifndef COMPRESS_STORES_H
#define COMPRESS_STORES_H

#include <poll.h>

#include "places.h"

struct stores;

extern struct stores *stores_open(const struct places *places);
extern void stores_close(struct stores *stores);

/* The store of a place. */
extern enum dicom_status stores_get(struct stores *stores, int place, struct store **store,
									struct dicom_error *error);

/*
 * For poll(2): adds the descriptors that stores wait for, at most `room`, and lowers *timeout_ms (-1: none) to what they wait at most.
 * Returns how many were added.
 */
extern int stores_poll(struct stores *stores, struct pollfd *polled, int room, int *timeout_ms);

/* Lets every store do what it can without waiting. */
extern void stores_work(struct stores *stores);

/* The same two for one store; NULL is ignored. */
extern int stores_poll_one(struct store *store, struct pollfd *polled, int *timeout_ms);
extern void stores_work_one(struct store *store);

#endif
