/*
 * distinct.h
 *	  Which keys were seen: patients, devices, studies and series appear in many files, and in a scan once.
 *
 * Keys are remembered as 128-bit hashes with a random seed, in work_mem. Where that is full, rows of keys that are not
 * remembered go to temporary files, by hash, and come back behind the others; the first row of a key still wins.
 */
#ifndef FDW_DISTINCT_H
#define FDW_DISTINCT_H

#include "postgres.h"

#include "access/tupdesc.h"

struct distinct;

enum distinct_verdict
{
	DISTINCT_SEEN,   /* the key came before */
	DISTINCT_NEW,    /* it did not, and is remembered */
	DISTINCT_UNKNOWN /* no room: hand the row to distinct_spill() */
};

extern struct distinct *distinct_create(TupleDesc descriptor, MemoryContext parent);
extern enum distinct_verdict distinct_offer(struct distinct *distinct, const void *key, size_t length);

/* Keeps the row of the key last offered for later. */
extern void distinct_spill(struct distinct *distinct, Datum *values, bool *nulls);

/* After all files: the next row that was kept, once per key. The Datums live until the next call. */
extern bool distinct_next_spilled(struct distinct *distinct, Datum *values, bool *nulls);

/* Rows that were kept in temporary files. */
extern uint64 distinct_spilled(const struct distinct *distinct);
extern void distinct_destroy(struct distinct *distinct);

#endif
