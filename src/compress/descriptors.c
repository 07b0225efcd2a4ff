/*
 * descriptors.c
 *	  The limit of open files.
 */
#include "descriptors.h"

#include <sys/resource.h>

uint64_t
descriptors_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}
