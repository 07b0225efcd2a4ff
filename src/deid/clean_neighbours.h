/*
 * clean_neighbours.h
 *	  Words that say what their neighbours are.
 */
#ifndef DEID_CLEAN_NEIGHBOURS_H
#define DEID_CLEAN_NEIGHBOURS_H

#include "letters.h"

/*
 * Removes the numbers around the name of a month, and the name; words with a capital behind a title; a number behind a label; an age of
 * 90 years and more.
 */
extern void clean_neighbours(struct letters *letters);

#endif
