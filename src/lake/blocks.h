/*
 * blocks.h
 *	  An object of a store as a source of bytes: read in large blocks, of which the last few are kept.
 *
 * The columns of a row group are read side by side, so that each of many small reads would be a request.
 */
#ifndef LAKE_BLOCKS_H
#define LAKE_BLOCKS_H

#include "postgres.h"

#include "../parquet/parquet.h"
#include "../store/store.h"

/* Fills *source for an object; all is in the current context. A later change of the object is an error. Throws. */
extern void blocks_open(struct store *store, const char *key, struct parquet_source *source);

#endif
