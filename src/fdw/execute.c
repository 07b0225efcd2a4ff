/*
 * execute.c
 *	  Execution of a scan of a foreign table, and what EXPLAIN says of it.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "../dicom/dictionary.h"
#include "execution.h"

/* EXPLAIN names so many prefixes or keys at most. */
#define EXPLAINED_KEYS 5

/* The filter on what a listing tells, over a row that has only those columns. */
static bool
keep_object(void *arg, Datum *values, bool *nulls)
{
	struct execution *execution = arg;
	ExprContext *context = execution->expression_context;
	TupleTableSlot *slot = execution->listing_slot;
	int natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	ResetExprContext(context);
	context->ecxt_scantuple = slot;
	return ExecQual(execution->listing_filter, context);
}

static void
resolve_columns(struct execution *execution, Relation relation, List *needed)
{
	ListCell *cell;

	execution->request.columns = palloc0(list_length(needed) * sizeof(struct column));
	foreach (cell, needed)
	{
		AttrNumber attnum = lfirst_int(cell);

		column_resolve(&execution->request.columns[execution->request.column_count++],
					   execution->table.entity, TupleDescAttr(RelationGetDescr(relation), attnum - 1),
					   GetForeignColumnOptions(RelationGetRelid(relation), attnum));
	}
}

/* Pairs the clauses that prune with the states of their expressions. */
static void
prepare_pruning(struct execution *execution, ForeignScanState *node, ForeignScan *plan)
{
	Relation relation = node->ss.ss_currentRelation;
	List *columns = lsecond(plan->fdw_private);
	List *operators = lthird(plan->fdw_private);
	List *filter = list_copy_tail(plan->fdw_exprs, list_length(columns));
	int i;

	execution->prune_count = list_length(columns);
	execution->prune_columns = palloc0(RelationGetDescr(relation)->natts * sizeof(struct prune_column));
	table_prune_columns(&execution->table, RelationGetRelid(relation), RelationGetDescr(relation),
						execution->prune_columns);
	execution->prune_values = palloc0((execution->prune_count + 1) * sizeof(struct prune_value));
	for (i = 0; i < execution->prune_count; i++)
	{
		Expr *expression = list_nth(plan->fdw_exprs, i);

		execution->prune_values[i].column = &execution->prune_columns[list_nth_int(columns, i)];
		execution->prune_values[i].comparison = list_nth_int(operators, i);
		execution->prune_values[i].value_type = exprType((Node *) expression);
		execution->prune_states =
			lappend(execution->prune_states, ExecInitExpr(expression, (PlanState *) node));
	}
	if (filter != NIL)
	{
		execution->listing_filter = ExecInitQual(filter, (PlanState *) node);
		execution->request.keep = keep_object;
		execution->request.keep_arg = execution;
	}
}

/* Evaluates the clauses and builds the keys of one start. */
static void
evaluate_keys(struct execution *execution)
{
	MemoryContext old;
	ListCell *cell;
	int i = 0;

	MemoryContextReset(execution->plan_context);
	old = MemoryContextSwitchTo(execution->plan_context);
	ResetExprContext(execution->expression_context);
	foreach (cell, execution->prune_states)
	{
		struct prune_value *value = &execution->prune_values[i++];

		value->value = ExecEvalExpr(lfirst(cell), execution->expression_context, &value->isnull);
	}
	execution->keys =
		prune_build(execution->table.prefix ? execution->table.prefix : "", execution->table.key_format,
					execution->prune_values, execution->prune_count);
	MemoryContextSwitchTo(old);
}

/* A plain EXPLAIN can say which keys only where nothing outside the query decides them. */
static bool
keys_are_known(ForeignScan *plan)
{
	ListCell *cell;

	foreach (cell, plan->fdw_exprs)
		if (contain_var_clause(lfirst(cell)) == false && !IsA(lfirst(cell), Const) &&
			(contain_mutable_functions(lfirst(cell)) || !bms_is_empty(plan->scan.plan.extParam)))
			return false;
	return true;
}

void
execute_begin(ForeignScanState *node, int flags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	Relation relation = node->ss.ss_currentRelation;
	struct execution *execution = palloc0(sizeof(*execution));

	execution->context = CurrentMemoryContext;
	execution->plan_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw key plan", ALLOCSET_SMALL_SIZES);
	table_load(RelationGetRelid(relation), &execution->table);
	execution->request.server = execution->table.server;
	execution->request.user = scan_check_as_user(node, node->ss.ps.state);
	execution->request.entity = execution->table.entity;
	execution->request.name = RelationGetRelationName(relation);
	execution->request.options = execution->table.options;
	execution->request.freshness_ms = table_freshness(&execution->table);
	execution->request.descriptor = RelationGetDescr(relation);
	execution->expression_context = CreateExprContext(node->ss.ps.state);
	execution->listing_slot =
		ExecInitExtraTupleSlot(node->ss.ps.state, RelationGetDescr(relation), &TTSOpsVirtual);
	resolve_columns(execution, relation, linitial(plan->fdw_private));
	prepare_pruning(execution, node, plan);
	execution->scan = scan_open(&execution->request, CurrentMemoryContext);
	node->fdw_state = execution;
	if ((flags & EXEC_FLAG_EXPLAIN_ONLY) && keys_are_known(plan))
		evaluate_keys(execution);
}

static bool
fetch_row(struct execution *execution, TupleTableSlot *slot)
{
	enum scan_result result;

	if (!execution->asynchronous)
		return scan_next(execution->scan, slot->tts_values, slot->tts_isnull);
	result = scan_poll(execution->scan, slot->tts_values, slot->tts_isnull);
	execution->pending = result == SCAN_PENDING;
	return result == SCAN_ROW;
}

TupleTableSlot *
execute_iterate(ForeignScanState *node)
{
	struct execution *execution = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (!execution->started)
	{
		evaluate_keys(execution);
		scan_start(execution->scan, execution->keys, parallel_share(execution));
		execution->started = true;
	}
	ExecClearTuple(slot);
	if (fetch_row(execution, slot))
		ExecStoreVirtualTuple(slot);
	return slot;
}

/* The next row starts anew, with what the parameters are by then. */
void
execute_rescan(ForeignScanState *node)
{
	struct execution *execution = node->fdw_state;

	execution->started = false;
}

void
execute_end(ForeignScanState *node)
{
	struct execution *execution = node->fdw_state;

	if (execution == NULL)
		return;
	if (parallel_end(execution))
		scan_report(execution->scan);
	scan_close(execution->scan);
}

/* --- EXPLAIN --- */

static void
explain_count(ExplainState *es, const char *label, uint64 count)
{
	if (count > 0 || es->format != EXPLAIN_FORMAT_TEXT)
		ExplainPropertyInteger(label, NULL, (int64) count, es);
}

static List *
described_keys(const struct key_plan *keys)
{
	List *texts = NIL;
	ListCell *cell;

	foreach (cell, keys->exact ? keys->keys : keys->ranges)
	{
		const struct key_range *range = lfirst(cell);

		if (list_length(texts) == EXPLAINED_KEYS)
			break;
		if (keys->exact)
			texts = lappend(texts, lfirst(cell));
		else
			texts = lappend(texts, psprintf("%s%s%s%s%s", range->prefix, range->start_after ? " after " : "",
											range->start_after ? range->start_after : "",
											range->end_before ? " before " : "",
											range->end_before ? range->end_before : ""));
	}
	return texts;
}

static void
explain_keys(const struct key_plan *keys, ExplainState *es)
{
	const char *label = keys->exact ? "Keys" : "Prefixes";
	int count = list_length(keys->exact ? keys->keys : keys->ranges);

	if (!keys->exact && count == 1 && ((struct key_range *) linitial(keys->ranges))->prefix[0] == '\0' &&
		((struct key_range *) linitial(keys->ranges))->start_after == NULL &&
		((struct key_range *) linitial(keys->ranges))->end_before == NULL)
		return;
	ExplainPropertyList(label, described_keys(keys), es);
	if (count > EXPLAINED_KEYS || count == 0)
		ExplainPropertyInteger(keys->exact ? "Key Count" : "Prefix Count", NULL, count, es);
}

static const char *
describe_reading(const struct scan *scan)
{
	uint32_t last = scan_last_tag(scan);
	const struct dicom_dictionary_entry *entry;

	if (!scan_opens_files(scan))
		return "listing only";
	if (last == UINT32_MAX)
		return "listing, whole headers";
	entry = dicom_dictionary_by_tag(last);
	return psprintf("listing, headers up to (%04X,%04X)%s%s", last >> 16, last & 0xFFFF, entry ? " " : "",
					entry ? entry->keyword : "");
}

static void
explain_counters(struct scan *scan, ExplainState *es)
{
	const struct scan_counters *counters = scan_get_counters(scan);
	const struct store_statistics *statistics = scan_get_statistics(scan);

	if (statistics == NULL)
		return;
	if (scan_catalog_index(scan))
	{
		ExplainPropertyText("Catalog Index", scan_catalog_index(scan), es);
		ExplainPropertyInteger("Catalog Rows Read", NULL, counters->catalog_rows, es);
	}
	ExplainPropertyInteger("Objects Listed", NULL, statistics->objects_listed, es);
	explain_count(es, "Objects Pruned", counters->pruned);
	explain_count(es, "Objects From Catalog", counters->from_catalog);
	ExplainPropertyInteger("Objects Opened", NULL, counters->opened, es);
	explain_count(es, "Objects Skipped", counters->skipped);
	explain_count(es, "Objects Damaged", counters->damaged);
	explain_count(es, "Objects Not Found", counters->vanished);
	explain_count(es, "Objects Without Key", counters->without_key);
	explain_count(es, "Duplicates Removed", counters->duplicates);
	explain_count(es, "Rows Spilled", counters->spilled);
	explain_count(es, "Bad Values", counters->bad_values);
	explain_count(es, "Characters Replaced", counters->replaced);
	ExplainPropertyInteger("LIST Requests", NULL, statistics->list_requests, es);
	ExplainPropertyInteger("GET Requests", NULL, statistics->get_requests, es);
	explain_count(es, "Other Requests",
				  statistics->head_requests + statistics->put_requests + statistics->other_requests);
	explain_count(es, "Retries", statistics->retries);
	ExplainPropertyInteger("Bytes Read", NULL, statistics->bytes_received, es);
}

void
execute_explain(ForeignScanState *node, ExplainState *es)
{
	struct execution *execution = node->fdw_state;

	if (execution == NULL)
		return;
	ExplainPropertyText("Location", server_location(execution->table.server), es);
	ExplainPropertyText("Reads", describe_reading(execution->scan), es);
	if (execution->keys)
		explain_keys(execution->keys, es);
	if (es->analyze)
	{
		parallel_collect(execution);
		explain_counters(execution->scan, es);
	}
}
