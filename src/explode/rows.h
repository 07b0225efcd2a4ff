/*
 * rows.h
 *	  What the columns of set-returning functions stand for.
 */
#ifndef EXPLODE_ROWS_H
#define EXPLODE_ROWS_H

#include "postgres.h"

#include "access/tupdesc.h"

#include "../fdw/column.h"

/* One column per attribute of the descriptor, by its name. */
extern struct column *rows_columns(TupleDesc descriptor, enum entity_kind entity);

#endif
