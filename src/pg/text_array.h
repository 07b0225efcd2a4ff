/*
 * text_array.h
 *	  The elements of a text[] that a function was given.
 */
#ifndef PG_TEXT_ARRAY_H
#define PG_TEXT_ARRAY_H

#include "postgres.h"

#include "utils/array.h"

/* Copies, in the database's encoding; returns how many. `what` they are says the error for one that is NULL. */
extern int text_array_elements(ArrayType *array, const char *what, char ***elements);

#endif
