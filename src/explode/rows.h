/*
 * rows.h
 *	  What set-returning functions share: where their rows go, and what their columns stand for.
 */
#ifndef EXPLODE_ROWS_H
#define EXPLODE_ROWS_H

#include "postgres.h"

#include "funcapi.h"
#include "utils/tuplestore.h"

#include "../fdw/column.h"

/* A tuplestore for the rows of the function that is being called, and their descriptor. */
extern Tuplestorestate *rows_begin(FunctionCallInfo fcinfo, TupleDesc *descriptor);

/* One column per attribute of the descriptor, by its name. */
extern struct column *rows_columns(TupleDesc descriptor, enum entity_kind entity);

#endif
