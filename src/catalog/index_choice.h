/*
 * index_choice.h
 *	  Which index of dicom.object leads to the rows that may satisfy a scan's conditions.
 *
 * The indexes race: all that a condition bounds are gone through side by side, some entries of each at a time, and the first
 * that comes to its end is the one that leaves the fewest rows. That needs no statistics, and costs but a multiple of those few.
 * Where every one is long, the rows are better gone through in key order.
 *
 * Rows of which the catalog does not know whether they satisfy the conditions are always among those that are found.
 */
#ifndef CATALOG_INDEX_CHOICE_H
#define CATALOG_INDEX_CHOICE_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "lookup.h"

struct index_choice;

enum index_verdict
{
	INDEX_OF_KEYS, /* all rows, by primary key */
	INDEX_OF_DAY,  /* all rows of one day, by object_day, which has them in key order */
	INDEX_OF_ROWS  /* these rows */
};

/* Where a row is, and its key. */
struct chosen_row
{
	ItemPointerData tid;
	int key_length;
	char *key;
};

/* For the rows of one server, in the current context. */
extern struct index_choice *index_choice_open(Relation objects, Oid server);
extern void index_choice_close(struct index_choice *choice);

/*
 * Decides. total: how many rows the server has, about. many: the same must come out in other processes. *day is set for INDEX_OF_DAY.
 */
extern enum index_verdict index_choice_make(struct index_choice *choice,
											const struct catalog_condition *conditions, int count,
											double total, bool many, DateADT *day);

/* After INDEX_OF_ROWS: the rows in key order, until the next choice. */
extern const struct chosen_row *index_choice_rows(const struct index_choice *choice, int *count);

/* Brings one of them into a slot. False: it is not there. */
extern bool index_choice_fetch(struct index_choice *choice, const struct chosen_row *row,
							   TupleTableSlot *slot);

/* The index that was chosen last. */
extern const char *index_choice_name(const struct index_choice *choice);

/* Rows that were read from the table to make choices. */
extern uint64 index_choice_rows_read(const struct index_choice *choice);

#endif
