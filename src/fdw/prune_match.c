/*
 * prune_match.c
 *	  Clauses that say something about keys.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "prune.h"

#define OID_TEXT_STARTS_WITH_OP 3877

static int
column_of(Node *node, Index relid, const struct prune_column *columns, int count)
{
	int i;

	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (node == NULL || !IsA(node, Var) || ((Var *) node)->varno != relid || ((Var *) node)->varlevelsup != 0)
		return -1;
	for (i = 0; i < count; i++)
		if (columns[i].attnum == ((Var *) node)->varattno)
			return i;
	return -1;
}

static bool
is_free_value(Node *node, Index relid)
{
	return !bms_is_member(relid, pull_varnos(NULL, node)) && !contain_volatile_functions(node);
}

/* The B-tree strategy of an operator among those of a type's default class, its right argument of type `right`; 0: none. */
static int
strategy_of(Oid opno, Oid type, Oid right)
{
	TypeCacheEntry *cache = lookup_type_cache(type == VARCHAROID ? TEXTOID : type, TYPECACHE_BTREE_OPFAMILY);
	Oid left_type, right_type;
	int strategy;

	if (!OidIsValid(cache->btree_opf) || !op_in_opfamily(opno, cache->btree_opf))
		return 0;
	get_op_opfamily_properties(opno, cache->btree_opf, false, &strategy, &left_type, &right_type);
	return right_type == right ? strategy : 0;
}

/* Key order is byte order: only a collation with the same order can bound it. */
bool
prune_is_byte_order(Oid collation)
{
	return OidIsValid(collation) && collation_is_c(collation) && GetDatabaseEncoding() == PG_UTF8;
}

static bool
is_deterministic(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

static bool
operator_of_strategy(int strategy, enum prune_operator *comparison)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			*comparison = PRUNE_LESS;
			return true;
		case BTLessEqualStrategyNumber:
			*comparison = PRUNE_LESS_EQUAL;
			return true;
		case BTEqualStrategyNumber:
			*comparison = PRUNE_EQUAL;
			return true;
		case BTGreaterEqualStrategyNumber:
			*comparison = PRUNE_GREATER_EQUAL;
			return true;
		case BTGreaterStrategyNumber:
			*comparison = PRUNE_GREATER;
			return true;
	}
	return false;
}

static bool
match_operator(Oid opno, Oid collation, const struct prune_column *column, enum prune_operator *comparison)
{
	bool is_date = column->type == DATEOID;

	if (!is_date && is_deterministic(collation))
	{
		*comparison = opno == OID_TEXT_LIKE_OP ? PRUNE_LIKE : PRUNE_STARTS_WITH;
		if (opno == OID_TEXT_LIKE_OP || opno == OID_TEXT_STARTS_WITH_OP)
			return true;
	}
	if (!operator_of_strategy(strategy_of(opno, column->type, is_date ? DATEOID : TEXTOID), comparison))
		return false;
	if (is_date)
		return true;
	return *comparison == PRUNE_EQUAL ? is_deterministic(collation) : prune_is_byte_order(collation);
}

/* column op value, or value op column turned round. */
static bool
match_comparison(OpExpr *clause, Index relid, const struct prune_column *columns, int count, int *column,
				 enum prune_operator *comparison, Expr **value)
{
	Node *left, *right;
	Oid opno = clause->opno;

	if (list_length(clause->args) != 2)
		return false;
	left = linitial(clause->args);
	right = lsecond(clause->args);
	*column = column_of(left, relid, columns, count);
	if (*column < 0)
	{
		Node *swap = left;

		left = right;
		right = swap;
		*column = column_of(left, relid, columns, count);
		opno = get_commutator(opno);
	}
	if (*column < 0 || !OidIsValid(opno) || !is_free_value(right, relid))
		return false;
	*value = (Expr *) right;
	return match_operator(opno, clause->inputcollid, &columns[*column], comparison);
}

/* column = ANY (array) */
static bool
match_array(ScalarArrayOpExpr *clause, Index relid, const struct prune_column *columns, int count,
			int *column, enum prune_operator *comparison, Expr **value)
{
	*column = column_of(linitial(clause->args), relid, columns, count);
	if (*column < 0 || !clause->useOr || !is_free_value(lsecond(clause->args), relid))
		return false;
	if (!match_operator(clause->opno, clause->inputcollid, &columns[*column], comparison) ||
		*comparison != PRUNE_EQUAL)
		return false;
	*comparison = PRUNE_ANY;
	*value = lsecond(clause->args);
	return true;
}

/* starts_with(column, value), which is ^@ */
static bool
match_function(FuncExpr *clause, Index relid, const struct prune_column *columns, int count, int *column,
			   enum prune_operator *comparison, Expr **value)
{
	if (clause->funcid != F_STARTS_WITH || !is_deterministic(clause->inputcollid))
		return false;
	*column = column_of(linitial(clause->args), relid, columns, count);
	if (*column < 0 || columns[*column].type == DATEOID || !is_free_value(lsecond(clause->args), relid))
		return false;
	*comparison = PRUNE_STARTS_WITH;
	*value = lsecond(clause->args);
	return true;
}

bool
prune_clause_match(Expr *clause, Index relid, const struct prune_column *columns, int count, int *column,
				   enum prune_operator *comparison, Expr **value)
{
	if (count == 0)
		return false;
	if (IsA(clause, OpExpr))
		return match_comparison((OpExpr *) clause, relid, columns, count, column, comparison, value);
	if (IsA(clause, FuncExpr))
		return match_function((FuncExpr *) clause, relid, columns, count, column, comparison, value);
	if (IsA(clause, ScalarArrayOpExpr))
		return match_array((ScalarArrayOpExpr *) clause, relid, columns, count, column, comparison, value);
	return false;
}
