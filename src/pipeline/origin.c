/*
 * origin.c
 *	  Which columns of which relations the columns of a view are.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "nodes/parsenodes.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "../pg/result_rows.h"

SQL_FUNCTION(dicom_column_origins);

static void
put_origin(Tuplestorestate *rows, TupleDesc descriptor, const TargetEntry *entry)
{
	Datum values[3] = {0};
	bool nulls[3] = {false, true, true};
	NameData name;
	NameData origin;

	namestrcpy(&name, entry->resname);
	values[0] = NameGetDatum(&name);
	if (OidIsValid(entry->resorigtbl) && entry->resorigcol > 0)
	{
		namestrcpy(&origin, get_attname(entry->resorigtbl, entry->resorigcol, false));
		values[1] = ObjectIdGetDatum(entry->resorigtbl);
		values[2] = NameGetDatum(&origin);
		nulls[1] = nulls[2] = false;
	}
	tuplestore_putvalues(rows, descriptor, values, nulls);
}

/* column_origins(view): a row per column; relation and column are NULL for what is computed. */
Datum
dicom_column_origins(PG_FUNCTION_ARGS)
{
	TupleDesc descriptor;
	Tuplestorestate *rows = result_rows_begin(fcinfo, &descriptor);
	Relation view = table_open(PG_GETARG_OID(0), AccessShareLock);
	ListCell *cell;

	if (view->rd_rel->relkind != RELKIND_VIEW)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a view", RelationGetRelationName(view))));
	foreach (cell, get_view_query(view)->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk)
			put_origin(rows, descriptor, entry);
	}
	table_close(view, AccessShareLock);
	return (Datum) 0;
}
