/*
 * compat.c
 *	  What differs between PostgreSQL 14 and 18 and needs more than a macro.
 */
#include "postgres.h"

#include "compat.h"

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type next_hook;
static void (*request_own)(void);

static void
request_in_turn(void)
{
	if (next_hook)
		next_hook();
	request_own();
}
#endif

void
request_shared_memory(void (*request)(void))
{
#if PG_VERSION_NUM >= 150000
	next_hook = shmem_request_hook;
	request_own = request;
	shmem_request_hook = request_in_turn;
#else
	request();
#endif
}
