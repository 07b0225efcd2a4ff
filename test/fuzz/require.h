/*
 * require.h
 *	  What a fuzzer takes for a finding.
 */
#ifndef REQUIRE_H
#define REQUIRE_H

#include <stdlib.h>

#define REQUIRE(condition) \
	do                     \
	{                      \
		if (!(condition))  \
			abort();       \
	} while (0)

#endif
