/*
 * plan.c
 *	  Planning of scans of foreign tables: what is needed, what can be pruned, what it may cost.
 *
 * What a plan carries to its execution (fdw_private): the columns needed, and for each pruning clause its column and
 * operator; their expressions stand in fdw_exprs, followed by the clauses that a listing alone can decide.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "../catalog/lookup.h"
#include "fdw.h"
#include "selection.h"

/* Without ANALYZE nothing is known of a bucket. */
#define DEFAULT_OBJECTS 10000

/*
 * In units of cpu_tuple_cost: what an object costs to list, to be read out of the catalog, and to open. High enough for
 * workers to be worth their start, low enough for a scan of 100,000 files not to be compiled (jit_above_cost), which costs
 * memory and gains nothing.
 */
#define LISTED_OBJECT_COST  1.0
#define CATALOG_HEADER_COST 40.0
#define LOCAL_HEADER_COST   60.0
#define REMOTE_HEADER_COST  1000.0
#define REMOTE_STARTUP_COST 1000.0

/*
 * What makes a worker worth its start: objects for each of min_parallel_table_scan_size's pages (1024 by default). A
 * remote header costs more, not only in waiting, of which one process does much at a time, but in requests to be signed.
 */
#define LOCAL_OBJECTS_PER_PAGE  2.0
#define REMOTE_OBJECTS_PER_PAGE 1.0

struct relation_plan
{
	struct table table;
	struct prune_column *prune_columns;
	int prune_count;
	bool remote;
	bool of_listing;
	bool of_values; /* no more is asked for than the catalog has in columns of its own */
	bool fresh;     /* by its option, scans may trust the catalog */
	double objects; /* by the catalog; -1: it does not know */
};

/* Resolves the columns that are used; returns how many, or -1 for a whole row. */
static int
resolve_used(const struct relation_plan *plan, Relation relation, Bitmapset *used, struct column *columns)
{
	int count = 0;
	int attnum = -1;

	while ((attnum = bms_next_member(used, attnum)) >= 0)
	{
		AttrNumber number = attnum + FirstLowInvalidHeapAttributeNumber;

		if (number == 0)
			return -1;
		if (number > 0)
			column_resolve(&columns[count++], plan->table.entity,
						   TupleDescAttr(RelationGetDescr(relation), number - 1),
						   GetForeignColumnOptions(RelationGetRelid(relation), number));
	}
	return count;
}

/* How far the objects must be looked into. */
static void
find_depth(struct relation_plan *plan, Relation relation, Bitmapset *used)
{
	struct column *columns = palloc0((RelationGetDescr(relation)->natts + 1) * sizeof(*columns));
	int count = resolve_used(plan, relation, used, columns);

	plan->of_listing = count >= 0 && selection_is_of_listing(plan->table.entity, columns, count);
	plan->of_values = count >= 0 && selection_is_of_values(plan->table.entity, columns, count);
}

static Bitmapset *
used_attributes(RelOptInfo *rel)
{
	Bitmapset *used = NULL;
	ListCell *cell;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	foreach (cell, rel->baserestrictinfo)
		pull_varattnos((Node *) ((RestrictInfo *) lfirst(cell))->clause, rel->relid, &used);
	return used;
}

/* Before any ANALYZE. */
static double
guess_rows(const struct relation_plan *plan)
{
	double objects = plan->objects >= 0 ? Max(plan->objects, 1) : DEFAULT_OBJECTS;

	if (entity_is_distinct(plan->table.entity))
		return Max(objects / 100.0, 1);
	return plan->table.entity == ENTITY_ELEMENTS ? objects * 100.0 : objects;
}

void
plan_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	struct relation_plan *plan = palloc0(sizeof(*plan));
	Relation relation = table_open(relid, NoLock);

	table_load(relid, &plan->table);
	plan->prune_columns = palloc0(RelationGetDescr(relation)->natts * sizeof(*plan->prune_columns));
	plan->prune_count =
		table_prune_columns(&plan->table, relid, RelationGetDescr(relation), plan->prune_columns);
	plan->remote = strncmp(server_location(plan->table.server), "s3:", 3) == 0;
	plan->fresh = table_freshness(&plan->table) > 0;
	plan->objects = catalog_object_count(plan->table.server);
	find_depth(plan, relation, used_attributes(rel));
	table_close(relation, NoLock);
	rel->fdw_private = plan;
	if (rel->tuples <= 0)
		rel->tuples = guess_rows(plan);
	set_baserel_size_estimates(root, rel);
}

/* How many objects a scan must look at: ANALYZE left their number in relpages. */
static double
objects_of(RelOptInfo *rel, struct relation_plan *plan)
{
	if (plan->objects >= 0)
		return Max(plan->objects, 1);
	if (rel->pages > 0)
		return rel->pages;
	return plan->table.entity == ENTITY_FILES || plan->table.entity == ENTITY_IMAGES ? rel->tuples
																					 : DEFAULT_OBJECTS;
}

static void
estimate_cost(RelOptInfo *rel, double objects, double rows, Cost *startup, Cost *total)
{
	struct relation_plan *plan = rel->fdw_private;
	bool waits = plan->remote && !plan->fresh;
	double header = plan->remote ? REMOTE_HEADER_COST : LOCAL_HEADER_COST;

	if (plan->objects >= 0)
		header = CATALOG_HEADER_COST; /* of what has not changed since */
	if (plan->of_listing || (plan->fresh && plan->of_values))
		header = 0;
	*startup = rel->baserestrictcost.startup + (waits ? REMOTE_STARTUP_COST * cpu_tuple_cost : 0);
	*total = *startup + objects * (LISTED_OBJECT_COST + header) * cpu_tuple_cost +
			 rows * (cpu_tuple_cost + rel->baserestrictcost.per_tuple);
}

/* Does a clause on this column leave fewer objects to be looked at? Without a fresh catalog all that it spares is parsing. */
static bool
column_bounds_objects(const struct relation_plan *plan, int column)
{
	return plan->fresh || plan->prune_columns[column].is_key || plan->prune_columns[column].in_format;
}

/* The share of all objects that clauses on keys leave to be looked at. */
static double
pruned_objects(PlannerInfo *root, RelOptInfo *rel, List *clauses)
{
	struct relation_plan *plan = rel->fdw_private;
	List *pruning = NIL;
	ListCell *cell;

	foreach (cell, clauses)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, cell);
		int column;
		enum prune_operator comparison;
		Expr *value;

		if (prune_clause_match(info->clause, rel->relid, plan->prune_columns, plan->prune_count, &column,
							   &comparison, &value) &&
			column_bounds_objects(plan, column))
			pruning = lappend(pruning, info);
	}
	return clamp_row_est(objects_of(rel, plan) *
						 clauselist_selectivity(root, pruning, rel->relid, JOIN_INNER, NULL));
}

/* ORDER BY key costs nothing where one row is one object, or part of one: that is the order of the scan. */
static List *
key_pathkeys(PlannerInfo *root, RelOptInfo *rel)
{
	struct relation_plan *plan = rel->fdw_private;
	PathKey *wanted = root->query_pathkeys ? linitial_node(PathKey, root->query_pathkeys) : NULL;
	ListCell *cell;

	if (wanted == NULL || entity_is_distinct(plan->table.entity) || !pathkey_is_ascending(wanted) ||
		wanted->pk_eclass->ec_has_volatile)
		return NIL;
	foreach (cell, wanted->pk_eclass->ec_members)
	{
		EquivalenceMember *member = lfirst(cell);
		int i;

		if (!IsA(member->em_expr, Var) || ((Var *) member->em_expr)->varno != rel->relid ||
			!prune_is_byte_order(wanted->pk_eclass->ec_collation))
			continue;
		for (i = 0; i < plan->prune_count; i++)
			if (plan->prune_columns[i].is_key &&
				plan->prune_columns[i].attnum == ((Var *) member->em_expr)->varattno)
				return list_make1(wanted);
	}
	return NIL;
}

/*
 * An Append whose members may all run in parallel workers does not run them asynchronously. A remote member that is not
 * split among workers is better off so, and many are then waited for at the same time.
 */
static bool
prefers_async(RelOptInfo *rel)
{
	struct relation_plan *plan = rel->fdw_private;

	return plan->remote && !plan->fresh && enable_async_append && rel->reloptkind == RELOPT_OTHER_MEMBER_REL;
}

static void
add_plain_path(PlannerInfo *root, RelOptInfo *rel)
{
	Cost startup, total;

	ForeignPath *path;

	estimate_cost(rel, pruned_objects(root, rel, rel->baserestrictinfo), rel->rows, &startup, &total);
	path = create_foreign_path(root, rel, rel->rows, startup, total, key_pathkeys(root, rel),
							   rel->lateral_relids, NIL);
	if (prefers_async(rel))
		path->path.parallel_safe = false;
	add_path(rel, (Path *) path);
}

/* One worker above the limit of a small table, and another one each time there is three times as much, as for a heap. */
static int
choose_workers(double objects, bool remote)
{
	double limit =
		Max(min_parallel_table_scan_size * (remote ? REMOTE_OBJECTS_PER_PAGE : LOCAL_OBJECTS_PER_PAGE), 1);
	int workers = 0;

	for (; objects >= limit && workers < max_parallel_workers_per_gather; limit *= 3)
		workers++;
	return workers;
}

/* How many processes share the work: the leader is busy with the rows of the others, as get_parallel_divisor() has it. */
static double
participants(int workers)
{
	double leader = 1.0 - 0.3 * workers;

	return workers + (parallel_leader_participation && leader > 0 ? leader : 0);
}

/*
 * All participants share one listing, or go through the catalog side by side, and share its objects. Where these are not looked
 * into, that would be slower.
 */
static void
add_shared_path(PlannerInfo *root, RelOptInfo *rel)
{
	struct relation_plan *plan = rel->fdw_private;
	double objects = pruned_objects(root, rel, rel->baserestrictinfo);
	int workers = choose_workers(objects, plan->remote && !plan->fresh);
	double divisor = participants(workers);
	double rows = clamp_row_est(rel->rows / divisor);
	Cost startup, total, listing;
	ForeignPath *path;

	if (workers == 0 || plan->of_listing || (plan->fresh && plan->of_values) ||
		entity_is_distinct(plan->table.entity))
		return;
	estimate_cost(rel, objects, rel->rows, &startup, &total);
	listing = objects * LISTED_OBJECT_COST * cpu_tuple_cost;
	total = startup + listing + (total - startup - listing) / divisor;
	path = create_foreign_path(root, rel, rows, startup, total, NIL, NULL, NIL);
	path->path.parallel_aware = true;
	path->path.parallel_workers = workers;
	add_partial_path(rel, (Path *) path);
}

static void
add_parameterized_path(PlannerInfo *root, RelOptInfo *rel, Relids outer)
{
	ParamPathInfo *info = get_baserel_parampathinfo(root, rel, outer);
	List *clauses = list_concat(list_copy(info->ppi_clauses), rel->baserestrictinfo);
	Cost startup, total;

	estimate_cost(rel, pruned_objects(root, rel, clauses), info->ppi_rows, &startup, &total);
	add_path(rel, (Path *) create_foreign_path(root, rel, info->ppi_rows, startup, total, NIL, outer, NIL));
}

struct member_search
{
	RelOptInfo *rel;
	AttrNumber attnum;
};

static bool
member_is_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em, void *arg)
{
	struct member_search *search = arg;
	Expr *expr = em->em_expr;

	while (IsA(expr, RelabelType))
		expr = ((RelabelType *) expr)->arg;
	return IsA(expr, Var) && ((Var *) expr)->varno == rel->relid &&
		   ((Var *) expr)->varattno == search->attnum;
}

static List *
join_clauses(PlannerInfo *root, RelOptInfo *rel)
{
	struct relation_plan *plan = rel->fdw_private;
	List *clauses = list_copy(rel->joininfo);
	int i;

	for (i = 0; rel->has_eclass_joins && i < plan->prune_count; i++)
	{
		struct member_search search = {rel, plan->prune_columns[i].attnum};

		clauses = list_concat(clauses, generate_implied_equalities_for_column(
										   root, rel, member_is_column, &search, rel->lateral_referencers));
	}
	return clauses;
}

/* One path for each set of outer relations that a pruning clause can be evaluated with: the inside of a nested loop. */
static void
add_parameterized_paths(PlannerInfo *root, RelOptInfo *rel)
{
	struct relation_plan *plan = rel->fdw_private;
	List *outers = NIL;
	ListCell *cell;

	foreach (cell, join_clauses(root, rel))
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, cell);
		Relids outer;
		int column;
		enum prune_operator comparison;
		Expr *value;

		if (!join_clause_is_movable_to(info, rel) ||
			!prune_clause_match(info->clause, rel->relid, plan->prune_columns, plan->prune_count, &column,
								&comparison, &value) ||
			!column_bounds_objects(plan, column))
			continue;
		outer = bms_union(info->clause_relids, rel->lateral_relids);
		outer = bms_del_member(outer, rel->relid);
		if (!bms_is_empty(outer))
			outers = list_append_unique(outers, outer);
	}
	foreach (cell, outers)
		add_parameterized_path(root, rel, lfirst(cell));
}

void
plan_rel_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	add_plain_path(root, rel);
	if (rel->consider_parallel && bms_is_empty(rel->lateral_relids))
		add_shared_path(root, rel);
	add_parameterized_paths(root, rel);
}

/* Every participant opens the store for itself, with the rights of the same user. */
bool
plan_is_parallel_safe(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	return true;
}

/* A directory is never waited for. */
bool
plan_is_async_capable(ForeignPath *path)
{
	struct relation_plan *plan = path->path.parent->fdw_private;

	return plan->remote && !plan->fresh && !path->path.parallel_aware;
}

/* Can a clause be decided by the columns that a listing tells, without side effects? */
static bool
clause_is_of_listing(Expr *clause, RelOptInfo *rel, struct relation_plan *plan, Relation relation)
{
	Bitmapset *used = NULL;
	int attnum = -1;

	if (contain_volatile_functions((Node *) clause) || contain_subplans((Node *) clause))
		return false;
	pull_varattnos((Node *) clause, rel->relid, &used);
	if (bms_is_empty(used))
		return false;
	while ((attnum = bms_next_member(used, attnum)) >= 0)
	{
		AttrNumber number = attnum + FirstLowInvalidHeapAttributeNumber;
		struct column column;

		if (number <= 0)
			return false;
		column_resolve(&column, plan->table.entity, TupleDescAttr(RelationGetDescr(relation), number - 1),
					   GetForeignColumnOptions(RelationGetRelid(relation), number));
		if (!column_is_of_listing(column.kind))
			return false;
	}
	return !entity_is_distinct(plan->table.entity);
}

/* Every column that the target list or a clause mentions; all of them for a whole row. */
static List *
needed_columns(RelOptInfo *rel, List *clauses, TupleDesc descriptor)
{
	Bitmapset *used = NULL;
	List *needed = NIL;
	bool whole;
	int i;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	pull_varattnos((Node *) clauses, rel->relid, &used);
	whole = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
	for (i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);

		if (!attribute->attisdropped &&
			(whole || bms_is_member(attribute->attnum - FirstLowInvalidHeapAttributeNumber, used)))
			needed = lappend_int(needed, attribute->attnum);
	}
	return needed;
}

ForeignScan *
plan_foreign_scan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *targets,
				  List *clauses, Plan *outer)
{
	struct relation_plan *plan = rel->fdw_private;
	Relation relation = table_open(relid, NoLock);
	List *expressions = NIL;
	List *columns = NIL;
	List *operators = NIL;
	List *of_listing = NIL;
	List *needed;
	ListCell *cell;

	clauses = extract_actual_clauses(clauses, false);
	foreach (cell, clauses)
	{
		Expr *clause = lfirst(cell);
		int column;
		enum prune_operator comparison;
		Expr *value;

		if (prune_clause_match(clause, rel->relid, plan->prune_columns, plan->prune_count, &column,
							   &comparison, &value))
		{
			expressions = lappend(expressions, value);
			columns = lappend_int(columns, column);
			operators = lappend_int(operators, comparison);
		}
		if (clause_is_of_listing(clause, rel, plan, relation))
			of_listing = lappend(of_listing, clause);
	}
	needed = needed_columns(rel, clauses, RelationGetDescr(relation));
	table_close(relation, NoLock);
	return make_foreignscan(targets, clauses, rel->relid, list_concat(expressions, of_listing),
							list_make3(needed, columns, operators), NIL, NIL, outer);
}
