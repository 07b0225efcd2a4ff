/*
 * worker_session.h
 *	  The session of a background worker.
 */
#ifndef PG_WORKER_SESSION_H
#define PG_WORKER_SESSION_H

#include "postgres.h"

struct worker_setting
{
	const char *name;
	const char *value;
};

/*
 * Connects to a database as a role, be it one that may log in or not (before PostgreSQL 17: only one that may). Settings of the role and of
 * the database that would be in the way of long work are overridden: timeouts, kinds of transactions, search_path.
 */
extern void worker_session_start(Oid database, Oid role);

/* Overrides more of them. A setting that this PostgreSQL does not know is passed over. */
extern void worker_session_set(const struct worker_setting *settings, int count);

#endif
