/*
 * worker_session.c
 *	  The session of a background worker.
 */
#include "worker_session.h"

#include "compat.h"
#include "postmaster/bgworker.h"
#include "utils/guc.h"

void
worker_session_set(const struct worker_setting *settings, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (GetConfigOption(settings[i].name, true, false) != NULL)
			SetConfigOption(settings[i].name, settings[i].value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
worker_session_start(Oid database, Oid role)
{
	static const struct worker_setting settings[] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"lock_timeout", "0"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"},
	};

	BackgroundWorkerInitializeConnectionByOid(database, role, WORKER_OF_ANY_ROLE);
	worker_session_set(settings, lengthof(settings));
}
