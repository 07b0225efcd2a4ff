/*
 * own_tables.c
 *	  SQL on the extension's own tables, by their owner.
 */
#include "postgres.h"

#include "compat.h"
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "own_tables.h"

static Oid
owner_of(const char *table)
{
	Oid relation = get_relname_relid(table, get_namespace_oid("dicom", false));
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"dicom.%s\" does not exist", table),
						errhint("ALTER EXTENSION dicom_fdw UPDATE.")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

struct own_tables
own_tables_begin(const char *table)
{
	struct own_tables access;
	Oid owner = owner_of(table);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	GetUserIdAndSecContext(&access.user, &access.context);
	SetUserIdAndSecContext(owner,
						   access.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	access.settings = NewGUCNestLevel();
	set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
					  0, false);
	return access;
}

void
own_tables_execute(const char *statement, int argument_count, Oid *types, Datum *values, const char *nulls)
{
	int result = SPI_execute_with_args(statement, argument_count, types, values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "could not execute a statement on the extension's tables: %s",
			 SPI_result_code_string(result));
}

void
own_tables_end(struct own_tables access)
{
	AtEOXact_GUC(false, access.settings);
	SetUserIdAndSecContext(access.user, access.context);
	SPI_finish();
}
