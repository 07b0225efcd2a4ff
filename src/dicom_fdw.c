/*
 * dicom_fdw.c
 *	  The module's face: what PostgreSQL calls when it loads the library.
 */
#include "postgres.h"

#include "pg/compat.h"

#include "pg/settings.h"
#include "pipeline/worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	settings_define();
	worker_define();
}
