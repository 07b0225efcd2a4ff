/*
 * retry.h
 *	  When to ask again, and when to stop asking.
 *
 * Delays grow exponentially and are drawn evenly between zero and that bound (full jitter), so that requests which failed
 * together do not come back together. A budget belongs to a whole store: each repetition takes a token, each success brings
 * part of one back, and an empty budget ends repetitions, so that a dead server is left alone.
 */
#ifndef STORE_RETRY_H
#define STORE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_BUDGET       100   /* repetitions that a store may make without any success */
#define RETRY_BASE_MS      100   /* bound of the first delay */
#define RETRY_MAX_MS       20000 /* bound of every delay */
#define RETRY_MAX_AFTER_MS 60000 /* the longest wait that a server may ask for */

struct retry_budget
{
	int tenths; /* of a token */
	uint64_t random;
};

extern void retry_initialize(struct retry_budget *budget, uint64_t seed);

/* Takes a token; false where there is none. */
extern bool retry_take(struct retry_budget *budget);

/* A request has succeeded: half a token comes back. */
extern void retry_refund(struct retry_budget *budget);

/* Milliseconds to wait before repetition number `repetition` (from 1), and not less than after_ms, if the server asked so. */
extern int retry_delay(struct retry_budget *budget, int repetition, int after_ms);

#endif
