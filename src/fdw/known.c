/*
 * known.c
 *	  What the catalog knows of the objects of a scan.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"

#include "../pg/report.h"
#include "known.h"

struct known
{
	struct catalog_lookup *lookup;
	int freshness_ms;
	bool fresh;
	const struct key_plan *plan;
	const struct prune_value *conditions;
	int condition_count;
	DateADT day; /* the only one that is asked for */
	bool has_day;
	int place;     /* in the plan's keys or ranges */
	bool in_range; /* the lookup stands in the range at `place` */
	struct catalog_entry entry;
	bool has_entry; /* and it is of the version that the store has */
};

struct known *
known_open(ForeignServer *server, int freshness_ms)
{
	struct catalog_lookup *lookup = catalog_lookup_open(server);
	struct known *known;

	if (lookup == NULL)
		return NULL;
	known = palloc0(sizeof(*known));
	known->lookup = lookup;
	known->freshness_ms = freshness_ms;
	return known;
}

void
known_close(struct known *known)
{
	if (known)
		catalog_lookup_close(known->lookup);
}

static bool
is_fresh_for(struct known *known, const char *prefix)
{
	return catalog_lookup_synced_at(known->lookup, prefix) >=
		   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -(int64) known->freshness_ms);
}

static bool
is_fresh_for_plan(struct known *known)
{
	ListCell *cell;

	if (known->freshness_ms == 0)
		return false;
	/* What holds for all keys need not be asked for each. */
	if (is_fresh_for(known, ""))
		return true;
	foreach (cell, known->plan->exact ? known->plan->keys : known->plan->ranges)
		if (!is_fresh_for(known,
						  known->plan->exact ? lfirst(cell) : ((struct key_range *) lfirst(cell))->prefix))
			return false;
	return true;
}

/* The day, where a condition allows a single one. */
static void
find_day(struct known *known)
{
	int i;

	known->has_day = false;
	for (i = 0; i < known->condition_count; i++)
	{
		const struct prune_value *condition = &known->conditions[i];

		if (condition->column->value != VALUE_COUNT || condition->comparison != PRUNE_EQUAL ||
			condition->isnull)
			continue;
		known->day = DatumGetDateADT(condition->value);
		known->has_day = true;
	}
}

void
known_start(struct known *known, const struct key_plan *plan, bool may_trust)
{
	known->plan = plan;
	known->conditions = plan->conditions;
	known->condition_count = plan->condition_count;
	known->place = 0;
	known->in_range = false;
	known->has_entry = false;
	known->fresh = may_trust && is_fresh_for_plan(known);
	find_day(known);
}

bool
known_is_fresh(const struct known *known)
{
	return known->fresh;
}

/* --- which objects there are --- */

static bool
next_key(struct known *known, struct store_object *object)
{
	while (known->place < list_length(known->plan->keys))
	{
		if (catalog_lookup_find(known->lookup, list_nth(known->plan->keys, known->place++), &known->entry))
		{
			*object = known->entry.object;
			return true;
		}
	}
	return false;
}

static bool
is_in_range(const struct key_range *range, const char *key)
{
	return strncmp(key, range->prefix, strlen(range->prefix)) == 0 &&
		   (range->end_before == NULL || strcmp(key, range->end_before) < 0);
}

static void
enter_range(struct known *known, const struct key_range *range)
{
	bool behind = range->start_after && strcmp(range->start_after, range->prefix) > 0;

	catalog_lookup_seek(known->lookup, behind ? range->start_after : range->prefix,
						known->has_day ? &known->day : NULL);
	known->in_range = true;
}

static bool
next_in_ranges(struct known *known, struct store_object *object)
{
	while (known->place < list_length(known->plan->ranges))
	{
		const struct key_range *range = list_nth(known->plan->ranges, known->place);

		if (!known->in_range)
			enter_range(known, range);
		if (!catalog_lookup_next(known->lookup, &known->entry) ||
			!is_in_range(range, known->entry.object.key))
		{
			known->place++;
			known->in_range = false;
			continue;
		}
		if (range->start_after && strcmp(known->entry.object.key, range->start_after) <= 0)
			continue;
		*object = known->entry.object;
		if (known->plan->prefix_or_key && strcmp(object->key, range->prefix) == 0)
			known->place++;
		return true;
	}
	return false;
}

bool
known_next(struct known *known, struct store_object *object)
{
	known->has_entry = known->plan->exact ? next_key(known, object) : next_in_ranges(known, object);
	return known->has_entry;
}

void
known_find(struct known *known, const struct store_object *object)
{
	known->has_entry = catalog_lookup_find(known->lookup, object->key, &known->entry) && object->etag &&
					   known->entry.object.etag && strcmp(known->entry.object.etag, object->etag) == 0 &&
					   known->entry.object.size == object->size;
}

/* --- conditions --- */

static bool
text_is(Datum value, Datum wanted)
{
	text *a = DatumGetTextPP(value);
	text *b = DatumGetTextPP(wanted);
	bool same = VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
				memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;

	if ((Pointer) a != DatumGetPointer(value))
		pfree(a);
	if ((Pointer) b != DatumGetPointer(wanted))
		pfree(b);
	return same;
}

static bool
date_compares(DateADT date, enum prune_operator comparison, DateADT wanted)
{
	switch (comparison)
	{
		case PRUNE_EQUAL:
			return date == wanted;
		case PRUNE_LESS:
			return date < wanted;
		case PRUNE_LESS_EQUAL:
			return date <= wanted;
		case PRUNE_GREATER:
			return date > wanted;
		case PRUNE_GREATER_EQUAL:
			return date >= wanted;
		default:
			return true;
	}
}

static bool
any_matches(const struct known *known, const struct prune_value *condition, Datum value, bool is_date)
{
	Oid type = get_element_type(condition->value_type);
	ArrayType *array = DatumGetArrayTypeP(condition->value);
	int16 length;
	bool by_value;
	char align;
	Datum *wanted;
	bool *nulls;
	int count;
	int i;
	bool found = false;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &wanted, &nulls, &count);
	for (i = 0; i < count && !found; i++)
		found = !nulls[i] &&
				(is_date ? DatumGetDateADT(wanted[i]) == known->entry.study_date : text_is(value, wanted[i]));
	pfree(wanted);
	pfree(nulls);
	return found;
}

static bool
satisfies(const struct known *known, const struct prune_value *condition)
{
	int value = condition->column->value;
	const struct catalog_entry *entry = &known->entry;

	if (value < 0)
		return true;
	if (condition->isnull)
		return false;
	if (value == VALUE_COUNT)
	{
		if (entry->study_date == DATEVAL_NOBEGIN)
			return false; /* the column is NULL there */
		return condition->comparison == PRUNE_ANY ? any_matches(known, condition, (Datum) 0, true)
												  : date_compares(entry->study_date, condition->comparison,
																  DatumGetDateADT(condition->value));
	}
	if (entry->text_nulls[value])
		return entry->values_cut;
	if (condition->comparison == PRUNE_ANY)
		return any_matches(known, condition, entry->texts[value], false);
	return condition->comparison != PRUNE_EQUAL || text_is(entry->texts[value], condition->value);
}

bool
known_is_excluded(const struct known *known)
{
	int i;

	if (!known->has_entry || !known->entry.is_read)
		return false;
	for (i = 0; i < known->condition_count; i++)
		if (!satisfies(known, &known->conditions[i]))
			return true;
	return false;
}

const struct catalog_entry *
known_values(const struct known *known)
{
	return known->has_entry && known->entry.is_read && !known->entry.values_cut ? &known->entry : NULL;
}

bool
known_fill(struct known *known, struct dicom_window *window)
{
	return known->has_entry && known->entry.is_read && catalog_lookup_header(known->lookup, window);
}
