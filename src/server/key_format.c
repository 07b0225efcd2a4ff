/*
 * key_format.c
 *	  The option key_format.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/datetime.h"

#include "key_format.h"

static void
refuse(const char *text, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"key_format\": \"%s\"", text), errdetail("%s", why),
					errhint("Example: \"inbox/{study_date:%%Y/%%m/%%d}/{modality}/\".")));
}

static void
check_date_format(const char *text, const char *format)
{
	const char *p;

	for (p = format; *p; p++)
	{
		if (*p != '%')
			continue;
		p++;
		if (*p == '\0' || strchr("Ymdyj%", *p) == NULL)
			refuse(text, "Only %Y, %m, %d, %y, %j and %% can stand in the format of a date.");
	}
}

/* Reads "{column:format}" at *p, past its closing brace. */
static void
parse_field(const char *text, const char **p, struct key_format_part *part)
{
	const char *end = strchr(*p, '}');
	const char *colon;

	if (end == NULL)
		refuse(text, "A brace is not closed.");
	colon = memchr(*p, ':', end - *p);
	part->column = pnstrdup(*p + 1, (colon ? colon : end) - *p - 1);
	if (part->column[0] == '\0' || strchr(part->column, '{'))
		refuse(text, "A column's name is missing in braces.");
	if (colon)
	{
		part->date = pnstrdup(colon + 1, end - colon - 1);
		check_date_format(text, part->date);
	}
	*p = end + 1;
}

static void
parse_literal(const char *text, const char **p, struct key_format_part *part)
{
	StringInfoData literal;

	initStringInfo(&literal);
	while (**p)
	{
		if (**p == '{' && (*p)[1] != '{')
			break;
		if (**p == '}' && (*p)[1] != '}')
			refuse(text, "A closing brace has no opening one; write it twice to mean itself.");
		if (**p == '{' || **p == '}')
			(*p)++;
		appendStringInfoChar(&literal, *(*p)++);
	}
	part->literal = literal.data;
}

struct key_format *
key_format_parse(const char *text)
{
	struct key_format *format = palloc0(sizeof(*format));
	const char *p = text;
	bool has_column = false;

	format->parts = palloc0(sizeof(*format->parts) * (strlen(text) + 1));
	while (*p)
	{
		struct key_format_part *part = &format->parts[format->count++];

		if (*p == '{' && p[1] != '{')
			parse_field(text, &p, part);
		else
			parse_literal(text, &p, part);
		has_column |= part->column != NULL;
	}
	if (!has_column)
		refuse(text, "It names no column.");
	return format;
}

char *
key_format_date(const char *format, DateADT date)
{
	StringInfoData out;
	int year, month, day;

	if (DATE_NOT_FINITE(date))
		return NULL;
	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if (year < 1 || year > 9999)
		return NULL;
	initStringInfo(&out);
	for (; *format; format++)
	{
		if (*format != '%')
		{
			appendStringInfoChar(&out, *format);
			continue;
		}
		switch (*++format)
		{
			case 'Y':
				appendStringInfo(&out, "%04d", year);
				break;
			case 'm':
				appendStringInfo(&out, "%02d", month);
				break;
			case 'd':
				appendStringInfo(&out, "%02d", day);
				break;
			case 'y':
				appendStringInfo(&out, "%02d", year % 100);
				break;
			case 'j':
				appendStringInfo(&out, "%03d", date + POSTGRES_EPOCH_JDATE - date2j(year, 1, 1) + 1);
				break;
			default:
				appendStringInfoChar(&out, '%');
		}
	}
	return out.data;
}

bool
key_format_date_ascends(const char *format)
{
	const char *order = "Ymd";

	for (; *format; format++)
	{
		if (*format != '%')
			continue;
		format++;
		if (*format == '%')
			continue;
		if (*format == 'j' && *order == 'm')
			order = "";
		else if (*order && *format == *order)
			order++;
		else
			return false;
	}
	return *order == '\0';
}
