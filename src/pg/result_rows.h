/*
 * result_rows.h
 *	  The rows of a set-returning function, gathered before they are handed out.
 */
#ifndef PG_RESULT_ROWS_H
#define PG_RESULT_ROWS_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "utils/tuplestore.h"

/* A tuplestore for the rows of the function that is being called, and their descriptor. Throws. */
extern Tuplestorestate *result_rows_begin(FunctionCallInfo fcinfo, TupleDesc *descriptor);

#endif
