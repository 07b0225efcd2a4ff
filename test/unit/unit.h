/*
 * unit.h
 *	  A test is UNIT_TEST(name) { ... CHECK(condition); ... }: it registers itself, and main.c runs them all.
 *
 *	  CHECK goes on after a failure, so one run shows everything that is wrong.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdio.h>
#include <string.h>

struct unit_test
{
	const char *name;
	void (*run)(void);
	struct unit_test *next;
};

extern void unit_register(struct unit_test *test);
extern void unit_check(int holds, const char *what, const char *file, int line);
extern void unit_check_string(const char *got, size_t got_length, const char *want, const char *file,
							  int line);

/* Says that the running test cannot be done here, and why. */
extern void unit_skip(const char *why);

#define UNIT_TEST(test_name)                                                \
	static void run_##test_name(void);                                      \
	__attribute__((constructor)) static void register_##test_name(void)     \
	{                                                                       \
		static struct unit_test test = {#test_name, run_##test_name, NULL}; \
		unit_register(&test);                                               \
	}                                                                       \
	static void run_##test_name(void)

#define CHECK(condition)              unit_check((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define CHECK_STRING(got, want)       unit_check_string(got, strlen(got), want, __FILE__, __LINE__)
#define CHECK_TEXT(got, length, want) unit_check_string(got, length, want, __FILE__, __LINE__)

#endif
