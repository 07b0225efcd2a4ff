/*
 * own_tables.h
 *	  SQL on the extension's own tables, by their owner: their users have no rights on them, or fewer.
 *
 * Nothing of the user's runs meanwhile: statements name tables and functions in full, and operators are looked up in pg_catalog, whatever the
 * search_path. An error ends the access with its transaction.
 */
#ifndef PG_OWN_TABLES_H
#define PG_OWN_TABLES_H

#include "postgres.h"

struct own_tables
{
	Oid user;
	int context;
	int settings;
};

/* Connects to SPI as the owner of this table of schema dicom. Throws where it is not there. */
extern struct own_tables own_tables_begin(const char *table);

/* Executes a statement; SPI_processed and SPI_tuptable say what came of it. `nulls` as SPI_execute_with_args() has it. */
extern void own_tables_execute(const char *statement, int argument_count, Oid *types, Datum *values,
							   const char *nulls);

extern void own_tables_end(struct own_tables access);

#endif
