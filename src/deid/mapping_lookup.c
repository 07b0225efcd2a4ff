/*
 * mapping_lookup.c
 *	  dicom.anonymize_row(): the query of a mapping, for one row at a time.
 *
 * What dicom.anonymized_columns() says is done to a table is what is done to its row: the expressions become a plan, which is kept for
 * the session as long as the rules of the profile and the columns of the table are the same.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "../pg/snapshot_mark.h"
#include "keyring.h"
#include "profile_rules.h"

SQL_FUNCTION(dicom_anonymize_row);

#define MAX_PLANS 64

struct row_plan
{
	struct row_plan *next;
	MemoryContext context;
	Oid relation;
	int32 epoch;
	char *profile;
	char *hash; /* of the rules it was made of; NULL: it holds for its snapshot only */
	TupleDesc columns;
	struct snapshot_mark mark;
	SPIPlanPtr plan;
};

static struct row_plan *plans;
static int plan_count;

/* --- the query --- */

static Oid
owner_of_function(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* SELECT ... of the columns that survive, of a row $1. In the context of SPI. */
static char *
make_query(const struct row_plan *row)
{
	Oid types[] = {REGCLASSOID, TEXTOID, INT4OID};
	Datum values[] = {ObjectIdGetDatum(row->relation), CStringGetTextDatum(row->profile),
					  Int32GetDatum(row->epoch)};
	char nulls[] = {' ', ' ', row->epoch == ACTIVE_EPOCH ? 'n' : ' '};
	bool isnull;
	Datum query;

	if (SPI_execute_with_args(
			"SELECT pg_catalog.concat('SELECT pg_catalog.to_jsonb(s) FROM (SELECT ',"
			" pg_catalog.string_agg(pg_catalog.format('%s AS %I', c.expression, c.column_name), ', ' ORDER BY c.ordinal),"
			" ' FROM (SELECT ($1).*) AS r) AS s')"
			" FROM dicom.anonymized_columns($1, $2, $3) c HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0",
			lengthof(types), types, values, nulls, true, 1) != SPI_OK_SELECT ||
		SPI_processed > 1)
		elog(ERROR, "dicom.anonymized_columns() cannot be read");
	if (SPI_processed == 0)
		return "SELECT '{}'::pg_catalog.jsonb";
	query = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return TextDatumGetCString(query);
}

/*
 * Whoever may call the function need not be allowed to read the rules: they are read as its owner, and so with no name in the way that the
 * caller could have made.
 */
static char *
make_query_as(const struct row_plan *row, Oid owner)
{
	char *query;
	int nest = NewGUCNestLevel();
	Oid user;
	int context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
					  0, false);
	query = make_query(row);
	AtEOXact_GUC(false, nest);
	SetUserIdAndSecContext(user, context);
	return query;
}

static void
prepare_plan(struct row_plan *row, Oid row_type, Oid owner)
{
	char *query = make_query_as(row, owner);

	row->plan = SPI_prepare(query, 1, &row_type);
	if (!row->plan || SPI_keepplan(row->plan) != 0)
		elog(ERROR, "cannot prepare the query of a mapping: %s", SPI_result_code_string(SPI_result));
}

/* --- plans that are kept --- */

static struct row_plan **
find_plan(Oid relation, const char *profile, int32 epoch)
{
	struct row_plan **place = &plans;

	while (*place && ((*place)->relation != relation || (*place)->epoch != epoch ||
					  strcmp((*place)->profile, profile) != 0))
		place = &(*place)->next;
	return place;
}

static void
forget_plan(struct row_plan **place)
{
	struct row_plan *row = *place;

	*place = row->next;
	plan_count--;
	SPI_freeplan(row->plan);
	MemoryContextDelete(row->context);
}

static TupleDesc
columns_of(Oid relation)
{
	Relation table = table_open(relation, AccessShareLock);
	TupleDesc columns = CreateTupleDescCopy(RelationGetDescr(table));

	table_close(table, AccessShareLock);
	return columns;
}

static struct row_plan *
add_plan(Oid relation, const char *profile, int32 epoch, Oid row_type, Oid owner, Snapshot snapshot)
{
	MemoryContext context =
		AllocSetContextCreate(CurTransactionContext, "dicom_fdw row plan", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	struct row_plan *row = palloc0(sizeof(*row));

	row->context = context;
	row->relation = relation;
	row->epoch = epoch;
	row->profile = pstrdup(profile);
	row->hash = profile_rules_hash(profile, PROFILE_MAPPING, snapshot);
	row->columns = columns_of(relation);
	prepare_plan(row, row_type, owner);
	snapshot_mark_set(&row->mark, snapshot, context);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
	while (plan_count >= MAX_PLANS)
		forget_plan(&plans);
	row->next = plans;
	plans = row;
	plan_count++;
	return row;
}

/* Under another snapshot the rules may be others; that is seen by their hash. */
static bool
is_current(struct row_plan *row, Snapshot snapshot)
{
	char *hash;

	if (snapshot_mark_holds(&row->mark, snapshot))
		return true;
	hash = profile_rules_hash(row->profile, PROFILE_MAPPING, snapshot);
	if (!hash || !row->hash || strcmp(hash, row->hash) != 0 ||
		!equalTupleDescs(columns_of(row->relation), row->columns))
		return false;
	snapshot_mark_set(&row->mark, snapshot, row->context);
	return true;
}

static struct row_plan *
plan_for(Oid relation, const char *profile, int32 epoch, Oid row_type, Oid owner)
{
	bool registered;
	Snapshot snapshot = snapshot_at_hand(&registered);
	struct row_plan **place = find_plan(relation, profile, epoch);

	if (*place && !is_current(*place, snapshot))
	{
		forget_plan(place);
		place = find_plan(relation, profile, epoch);
	}
	if (!*place)
		place = (add_plan(relation, profile, epoch, row_type, owner, snapshot), &plans);
	snapshot_release(snapshot, registered);
	return *place;
}

/* --- the function --- */

/* The row's type must be the table's: else a column could stand in another's place. */
static void
check_row_type(Oid relation, Oid row_type)
{
	if (get_rel_type_id(relation) != row_type)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("the row is not one of table \"%s\"", get_rel_name(relation)),
			 errhint("Write dicom.anonymize_row('schema.table', t) for a row of FROM schema.table AS t.")));
}

Datum
dicom_anonymize_row(PG_FUNCTION_ARGS)
{
	Oid row_type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	const char *profile = PG_ARGISNULL(2) ? "research" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	int32 epoch = PG_ARGISNULL(3) ? ACTIVE_EPOCH : keyring_checked_epoch(PG_GETARG_INT32(3));
	MemoryContext caller = CurrentMemoryContext;
	struct row_plan *row;
	Jsonb *result = NULL;
	Datum value;
	bool isnull = true;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("\"relation\" must not be NULL")));
	check_row_type(PG_GETARG_OID(0), row_type);
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	value = PG_GETARG_DATUM(1);
	SPI_connect();
	row = plan_for(PG_GETARG_OID(0), profile, epoch, row_type, owner_of_function(fcinfo->flinfo->fn_oid));
	if (SPI_execute_plan(row->plan, &value, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "the query of a mapping gives no row");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		result = DatumGetJsonbPCopy(value);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	if (!result)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(result);
}
