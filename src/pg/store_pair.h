/*
 * store_pair.h
 *	  Waits for two stores at once, of which each may be local, or both be the same.
 */
#ifndef PG_STORE_PAIR_H
#define PG_STORE_PAIR_H

#include "postgres.h"

#include "../store/store.h"

struct store_pair;

/* Both live at least as long as the context. */
extern struct store_pair *store_pair_open(struct store *left, struct store *right, MemoryContext context);

/* Drives both, and waits until there may be something to see at one of them. Throws when interrupted. */
extern void store_pair_wait(struct store_pair *pair);

#endif
