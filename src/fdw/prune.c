/*
 * prune.c
 *	  From the values of clauses to the keys worth listing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"

#include "../pg/report.h"
#include "prune.h"

/* More alternatives than this are listed as one range instead. */
#define MAX_ALTERNATIVES 1000

/* What the clauses say of one text column or of keys: alternatives, or bounds, or both. */
struct text_bounds
{
	bool has_values;
	List *values; /* of char *, UTF-8: the column is one of these */
	char *prefix; /* begins with, or NULL */
	char *lower;  /* at or behind, or NULL */
	bool lower_open;
	char *upper; /* at or before, or NULL */
	bool upper_open;
};

struct date_bounds
{
	bool has_values;
	List *values; /* of DateADT, as integers */
	DateADT lower;
	DateADT upper;
};

static char *
datum_to_utf8(Datum value)
{
	return text_to_utf8(TextDatumGetCString(value));
}

static int
compare_strings(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void
array_values(Datum array, Oid element_type, Datum **values, bool **nulls, int *count)
{
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(element_type, &length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(array), element_type, length, by_value, align, values, nulls, count);
}

/* --- text columns and keys --- */

static void
restrict_to_values(struct text_bounds *bounds, List *values)
{
	List *both = NIL;
	ListCell *a, *b;

	if (!bounds->has_values)
		both = values;
	else
		foreach (a, bounds->values)
			foreach (b, values)
				if (strcmp(lfirst(a), lfirst(b)) == 0)
					both = lappend(both, lfirst(a));
	bounds->has_values = true;
	bounds->values = both;
}

static void
restrict_to_prefix(struct text_bounds *bounds, char *prefix)
{
	if (bounds->prefix == NULL || starts_with(prefix, bounds->prefix))
		bounds->prefix = prefix;
	else if (!starts_with(bounds->prefix, prefix))
		restrict_to_values(bounds, NIL);
}

/* The part of a LIKE pattern before its first wildcard; *whole where there is none. */
static char *
like_prefix(const char *pattern, bool *whole)
{
	char *prefix = palloc(strlen(pattern) + 1);
	int length = 0;

	*whole = true;
	for (; *pattern; pattern++)
	{
		if (*pattern == '%' || *pattern == '_')
		{
			*whole = false;
			break;
		}
		if (*pattern == '\\' && pattern[1])
			pattern++;
		prefix[length++] = *pattern;
	}
	prefix[length] = '\0';
	return prefix;
}

static void
apply_like(struct text_bounds *bounds, const char *pattern)
{
	bool whole;
	char *prefix = like_prefix(pattern, &whole);

	if (whole)
		restrict_to_values(bounds, list_make1(prefix));
	else
		restrict_to_prefix(bounds, prefix);
}

static void
apply_any(struct text_bounds *bounds, const struct prune_value *value)
{
	Datum *values;
	bool *nulls;
	int count;
	List *list = NIL;
	int i;

	array_values(value->value, get_element_type(value->value_type), &values, &nulls, &count);
	for (i = 0; i < count; i++)
		if (!nulls[i])
			list = lappend(list, datum_to_utf8(values[i]));
	restrict_to_values(bounds, list);
}

static void
apply_lower(struct text_bounds *bounds, char *lower, bool open)
{
	int order = bounds->lower ? strcmp(lower, bounds->lower) : 1;

	if (order > 0)
		bounds->lower_open = open;
	else if (order == 0)
		bounds->lower_open |= open;
	if (order > 0)
		bounds->lower = lower;
}

static void
apply_upper(struct text_bounds *bounds, char *upper, bool open)
{
	int order = bounds->upper ? strcmp(upper, bounds->upper) : -1;

	if (order < 0)
		bounds->upper_open = open;
	else if (order == 0)
		bounds->upper_open |= open;
	if (order < 0)
		bounds->upper = upper;
}

static void
apply_text(struct text_bounds *bounds, const struct prune_value *value)
{
	if (value->isnull)
	{
		restrict_to_values(bounds, NIL);
		return;
	}
	switch (value->comparison)
	{
		case PRUNE_EQUAL:
			restrict_to_values(bounds, list_make1(datum_to_utf8(value->value)));
			break;
		case PRUNE_ANY:
			apply_any(bounds, value);
			break;
		case PRUNE_LIKE:
			apply_like(bounds, datum_to_utf8(value->value));
			break;
		case PRUNE_STARTS_WITH:
			restrict_to_prefix(bounds, datum_to_utf8(value->value));
			break;
		case PRUNE_LESS:
		case PRUNE_LESS_EQUAL:
			apply_upper(bounds, datum_to_utf8(value->value), value->comparison == PRUNE_LESS);
			break;
		case PRUNE_GREATER:
		case PRUNE_GREATER_EQUAL:
			apply_lower(bounds, datum_to_utf8(value->value), value->comparison == PRUNE_GREATER);
			break;
	}
}

static struct text_bounds
bounds_of_text(const char *name, bool is_key, const struct prune_value *values, int count)
{
	struct text_bounds bounds = {0};
	int i;

	for (i = 0; i < count; i++)
		if (is_key ? values[i].column->is_key
				   : !values[i].column->is_key && strcmp(values[i].column->name, name) == 0)
			apply_text(&bounds, &values[i]);
	return bounds;
}

/* --- dates --- */

static void
restrict_to_dates(struct date_bounds *bounds, List *values)
{
	bounds->values = bounds->has_values ? list_intersection_int(bounds->values, values) : values;
	bounds->has_values = true;
}

static void
apply_any_date(struct date_bounds *bounds, const struct prune_value *value)
{
	Datum *values;
	bool *nulls;
	int count;
	List *list = NIL;
	int i;

	array_values(value->value, DATEOID, &values, &nulls, &count);
	for (i = 0; i < count; i++)
		if (!nulls[i])
			list = lappend_int(list, DatumGetDateADT(values[i]));
	restrict_to_dates(bounds, list);
}

static void
apply_date(struct date_bounds *bounds, const struct prune_value *value)
{
	DateADT date;

	if (value->isnull)
	{
		restrict_to_dates(bounds, NIL);
		return;
	}
	if (value->comparison == PRUNE_ANY)
	{
		apply_any_date(bounds, value);
		return;
	}
	date = DatumGetDateADT(value->value);
	switch (value->comparison)
	{
		case PRUNE_EQUAL:
			restrict_to_dates(bounds, list_make1_int(date));
			break;
		case PRUNE_LESS:
			bounds->upper = Min(bounds->upper, date == DATEVAL_NOBEGIN ? date : date - 1);
			break;
		case PRUNE_LESS_EQUAL:
			bounds->upper = Min(bounds->upper, date);
			break;
		case PRUNE_GREATER:
			bounds->lower = Max(bounds->lower, date == DATEVAL_NOEND ? date : date + 1);
			break;
		case PRUNE_GREATER_EQUAL:
			bounds->lower = Max(bounds->lower, date);
			break;
		default:
			break;
	}
}

static struct date_bounds
bounds_of_date(const char *name, const struct prune_value *values, int count)
{
	struct date_bounds bounds = {false, NIL, DATEVAL_NOBEGIN, DATEVAL_NOEND};
	int i;

	for (i = 0; i < count; i++)
		if (!values[i].column->is_key && strcmp(values[i].column->name, name) == 0)
			apply_date(&bounds, &values[i]);
	return bounds;
}

/* --- ranges --- */

static struct key_range *
make_range(char *prefix, char *start_after, char *end_before)
{
	struct key_range *range = palloc(sizeof(*range));

	range->prefix = prefix;
	range->start_after = start_after;
	range->end_before = end_before;
	return range;
}

/* Each of the texts in `left` followed by each in `right`, unless these are too many: NIL then. */
static List *
concatenate(List *left, List *right)
{
	List *result = NIL;
	ListCell *a, *b;

	if ((int64) list_length(left) * list_length(right) > MAX_ALTERNATIVES)
		return NIL;
	foreach (a, left)
		foreach (b, right)
			result = lappend(result, psprintf("%s%s", (char *) lfirst(a), (char *) lfirst(b)));
	return result;
}

static List *
dates_as_text(const char *format, const struct date_bounds *bounds)
{
	List *result = NIL;
	ListCell *cell;
	DateADT date;

	foreach (cell, bounds->values)
	{
		char *text;

		date = lfirst_int(cell);
		text = date >= bounds->lower && date <= bounds->upper ? key_format_date(format, date) : NULL;
		if (text)
			result = lappend(result, text);
	}
	if (bounds->has_values)
		return result;
	for (date = bounds->lower; date <= bounds->upper; date++)
	{
		char *text = key_format_date(format, date);

		if (text)
			result = lappend(result, text);
	}
	return result;
}

static bool
is_enumerable(const struct date_bounds *bounds)
{
	return bounds->has_values || bounds->lower > bounds->upper ||
		   (bounds->lower != DATEVAL_NOBEGIN && bounds->upper != DATEVAL_NOEND &&
			(int64) bounds->upper - bounds->lower < MAX_ALTERNATIVES);
}

/* A stretch of time too long, or open, to name its days: bounds on the text, where later days have greater ones. */
static List *
range_of_dates(const char *format, const struct date_bounds *bounds, char *before)
{
	char *lower = NULL;
	char *upper = NULL;

	if (key_format_date_ascends(format))
	{
		lower = bounds->lower == DATEVAL_NOBEGIN ? NULL : key_format_date(format, bounds->lower);
		upper = bounds->upper == DATEVAL_NOEND ? NULL : key_format_date(format, bounds->upper + 1);
	}
	return list_make1(make_range(before, lower ? psprintf("%s%s", before, lower) : NULL,
								 upper ? psprintf("%s%s", before, upper) : NULL));
}

static List *
ranges_of_prefixes(List *prefixes)
{
	List *ranges = NIL;
	ListCell *cell;

	foreach (cell, prefixes)
		ranges = lappend(ranges, make_range(lfirst(cell), NULL, NULL));
	return ranges;
}

/* Walks the format as long as the clauses determine it; *next are the alternatives of one part, false: not determined. */
static bool
alternatives_of_part(const struct key_format_part *part, const struct prune_value *values, int count,
					 List **next, struct date_bounds *dates)
{
	struct text_bounds bounds;

	if (part->literal)
	{
		*next = list_make1(part->literal);
		return true;
	}
	if (part->date)
	{
		*dates = bounds_of_date(part->column, values, count);
		if (!is_enumerable(dates))
			return false;
		*next = dates_as_text(part->date, dates);
		return true;
	}
	bounds = bounds_of_text(part->column, false, values, count);
	*next = bounds.values;
	return bounds.has_values;
}

/* The ranges that a key format leaves under the clauses on its columns. */
static List *
ranges_of_format(const struct key_format *format, const struct prune_value *values, int count)
{
	List *prefixes = list_make1("");
	int i;

	for (i = 0; format && i < format->count; i++)
	{
		const struct key_format_part *part = &format->parts[i];
		struct date_bounds dates = {0};
		List *next;
		List *longer;

		if (!alternatives_of_part(part, values, count, &next, &dates))
		{
			if (part->date && list_length(prefixes) == 1)
				return range_of_dates(part->date, &dates, linitial(prefixes));
			break;
		}
		if (next == NIL)
			return NIL;
		longer = concatenate(prefixes, next);
		if (longer == NIL)
			break;
		prefixes = longer;
	}
	return ranges_of_prefixes(prefixes);
}

/* A string before `key` with as little as possible between them: listing behind it finds the key itself too. */
static char *
just_before(const char *key)
{
	int length = strlen(key);
	unsigned char last = length > 0 ? key[length - 1] : 0;

	if (last <= '!' || last > '~')
	{
		/* Drop the last character, however many bytes it has. */
		while (length > 0 && ((unsigned char) key[--length] & 0xC0) == 0x80)
			;
		return pnstrdup(key, length);
	}
	return psprintf("%.*s%c~", length - 1, key, last - 1);
}

static char *
greater_of(char *a, char *b)
{
	return a == NULL || (b && strcmp(b, a) > 0) ? b : a;
}

static char *
lesser_of(char *a, char *b)
{
	return a == NULL || (b && strcmp(b, a) < 0) ? b : a;
}

/* A range made narrower by a prefix and by bounds of the key; NULL where nothing is left. */
static struct key_range *
narrow(struct key_range *range, char *prefix, const struct text_bounds *bounds)
{
	char *after = bounds->lower ? (bounds->lower_open ? bounds->lower : just_before(bounds->lower)) : NULL;

	if (starts_with(prefix, range->prefix))
		range->prefix = prefix;
	else if (!starts_with(range->prefix, prefix))
		return NULL;
	/* An empty start is no bound, and the upper bound itself is left to the filter: one key more does no harm. */
	range->start_after = greater_of(range->start_after, after && *after ? after : NULL);
	range->end_before =
		lesser_of(range->end_before, bounds->upper ? psprintf("%s\x01", bounds->upper) : NULL);
	return range;
}

static int
compare_ranges(const ListCell *a, const ListCell *b)
{
	return strcmp(((struct key_range *) lfirst(a))->prefix, ((struct key_range *) lfirst(b))->prefix);
}

/* In order, each once, and none that another one holds already. */
static List *
disjoint(List *ranges)
{
	List *result = NIL;
	struct key_range *last = NULL;
	ListCell *cell;

	list_sort(ranges, compare_ranges);
	foreach (cell, ranges)
	{
		struct key_range *range = lfirst(cell);

		if (last && starts_with(range->prefix, last->prefix))
			continue;
		result = lappend(result, range);
		last = range;
	}
	return result;
}

static List *
distinct_keys(List *keys, const char *prefix)
{
	List *result = NIL;
	ListCell *cell;

	list_sort(keys, compare_strings);
	foreach (cell, keys)
		if (*(char *) lfirst(cell) && starts_with(lfirst(cell), prefix) &&
			(result == NIL || strcmp(llast(result), lfirst(cell)) != 0))
			result = lappend(result, lfirst(cell));
	return result;
}

struct key_plan *
prune_build(const char *table_prefix, const struct key_format *format, const struct prune_value *values,
			int count)
{
	struct key_plan *plan = palloc0(sizeof(*plan));
	struct text_bounds key = bounds_of_text(NULL, true, values, count);
	ListCell *cell;

	plan->conditions = values;
	plan->condition_count = count;

	if (key.has_values)
	{
		plan->exact = true;
		plan->keys = distinct_keys(list_copy(key.values), table_prefix);
		return plan;
	}
	foreach (cell, ranges_of_format(format, values, count))
	{
		struct key_range *range = narrow(lfirst(cell), pstrdup(table_prefix), &key);

		if (range && key.prefix)
			range = narrow(range, key.prefix, &key);
		if (range)
			plan->ranges = lappend(plan->ranges, range);
	}
	plan->ranges = disjoint(plan->ranges);
	return plan;
}
