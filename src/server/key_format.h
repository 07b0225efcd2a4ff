/*
 * key_format.h
 *	  The option key_format: how keys are built from attributes, so that a WHERE on those attributes says which prefix to list.
 *
 *		inbox/{study_date:%Y/%m/%d}/{modality}/
 *
 * Text in braces names a column of the table; after a colon follows a strftime(3) format for dates, of %Y %m %d %y %j
 * and %%. Braces themselves are doubled. The option is a promise: a key that does not follow it is not found by a query that
 * restricts its columns.
 */
#ifndef SERVER_KEY_FORMAT_H
#define SERVER_KEY_FORMAT_H

#include "postgres.h"

#include "utils/date.h"

struct key_format_part
{
	char *literal; /* text, or NULL */
	char *column;  /* name of the column, or NULL */
	char *date;    /* its strftime format, or NULL */
};

struct key_format
{
	int count;
	struct key_format_part *parts;
};

/* Throws an error with a hint for what is not a key format. palloc'd in the current context. */
extern struct key_format *key_format_parse(const char *text);

/* A date in one of the formats above, palloc'd; NULL for the infinities and years beyond 1 to 9999. */
extern char *key_format_date(const char *format, DateADT date);

/* True where later dates give greater strings: begins with %Y, then %m and %d, or %j, in this order. */
extern bool key_format_date_ascends(const char *format);

#endif
