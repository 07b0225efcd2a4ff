/*
 * main.c
 *	  Runs every registered unit test, or those whose names contain one of the arguments; prints TAP.
 */
#include "unit.h"

static struct unit_test *tests;
static int failures;
static const char *skipped;

void
unit_register(struct unit_test *test)
{
	struct unit_test **place = &tests;

	while (*place && strcmp((*place)->name, test->name) < 0)
		place = &(*place)->next;
	test->next = *place;
	*place = test;
}

void
unit_check(int holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	failures++;
	printf("# %s:%d: %s does not hold\n", file, line, what);
}

void
unit_check_string(const char *got, size_t got_length, const char *want, const char *file, int line)
{
	if (got && got_length == strlen(want) && memcmp(got, want, got_length) == 0)
		return;
	failures++;
	printf("# %s:%d: got '%.*s', want '%s'\n", file, line, got ? (int) got_length : 4, got ? got : "NULL",
		   want);
}

void
unit_skip(const char *why)
{
	skipped = why;
}

static int
is_selected(const struct unit_test *test, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (strstr(test->name, argv[i]))
			return 1;
	return argc < 2;
}

int
main(int argc, char **argv)
{
	struct unit_test *test;
	int count = 0;
	int failed = 0;

	for (test = tests; test; test = test->next)
	{
		if (!is_selected(test, argc, argv))
			continue;
		failures = 0;
		skipped = NULL;
		test->run();
		count++;
		failed += failures > 0;
		printf("%sok %d - %s%s%s\n", failures ? "not " : "", count, test->name, skipped ? " # SKIP " : "",
			   skipped ? skipped : "");
		fflush(stdout);
	}
	printf("1..%d\n", count);
	return failed ? 1 : 0;
}
