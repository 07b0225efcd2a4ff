/*
 * prune.h
 *	  From conditions on keys, and on columns that key_format builds keys from, to the keys worth listing.
 *
 * Planning finds the clauses that can tell (`column operator expression`, the expression free of this table's columns);
 * execution evaluates their expressions and builds a key_plan. Every clause stays in the scan's filter as well, so this may
 * only ever read too much.
 */
#ifndef FDW_PRUNE_H
#define FDW_PRUNE_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "../server/key_format.h"
#include "listing.h"

enum prune_operator
{
	PRUNE_EQUAL,
	PRUNE_ANY, /* = ANY (array) */
	PRUNE_LESS,
	PRUNE_LESS_EQUAL,
	PRUNE_GREATER,
	PRUNE_GREATER_EQUAL,
	PRUNE_LIKE,
	PRUNE_STARTS_WITH
};

/* One column that says something about keys, or that the catalog knows. */
struct prune_column
{
	AttrNumber attnum;
	Oid type; /* text, varchar or date */
	bool is_key;
	bool in_format; /* key_format names it */
	int value; /* enum object_value of its attribute, VALUE_COUNT for StudyDate; -1: the catalog does not know it */
	const char *name;
};

/* Recognises a clause; *column, *comparison and *value are set where it is one. */
extern bool prune_clause_match(Expr *clause, Index relid, const struct prune_column *columns, int count,
							   int *column, enum prune_operator *comparison, Expr **value);

/* True where a collation orders texts as keys are ordered: by bytes. */
extern bool prune_is_byte_order(Oid collation);

/* A clause at execution: which column, which comparison, and the value it was compared with. */
struct prune_value
{
	const struct prune_column *column;
	enum prune_operator comparison;
	Datum value;
	bool isnull;
	Oid value_type;
};

/*
 * What to list, in the current context: keys below table_prefix that may satisfy all clauses. Empty (no range, no key)
 * where none can.
 */
extern struct key_plan *prune_build(const char *table_prefix, const struct key_format *format,
									const struct prune_value *values, int count);

#endif
