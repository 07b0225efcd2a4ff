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
#include "utils/memutils.h"

#include "../pg/report.h"
#include "known.h"

/* Objects that a participant takes at once: few, so that all end at about the same time. */
#define BLOCK 32

/* One condition, ready to be looked at row by row. */
struct test
{
	int column; /* enum object_value, or CATALOG_STUDY_DATE */
	enum prune_operator comparison;
	bool isnull;
	bool is_equality; /* of texts or dates with one of `values`; else a date is compared with values[0] */
	int count;
	Datum *values; /* dates, or texts; ascending */
};

struct known
{
	struct catalog_lookup *lookup;
	int freshness_ms;
	bool fresh;
	bool was_fresh; /* at any start */
	const struct key_plan *plan;
	MemoryContext start_context; /* of one start */
	struct test *tests;
	int test_count;
	int place;     /* in the plan's keys or ranges */
	bool in_range; /* the lookup stands in the range at `place` */
	pg_atomic_uint64 *next_block;
	uint64 ordinal;   /* of the next object among all */
	uint64 block_end; /* the first one behind the participant's block */
	bool has_row;     /* of the object, and of the version that the store has */
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
	known->start_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw conditions", ALLOCSET_SMALL_SIZES);
	return known;
}

void
known_close(struct known *known)
{
	if (known)
		catalog_lookup_close(known->lookup);
}

/* A catalog that was synced in the future was so before the clock was set back. */
static bool
is_fresh(const struct known *known, const char *prefix, TimestampTz now)
{
	TimestampTz synced = catalog_lookup_synced_at(known->lookup, prefix);

	return synced >= TimestampTzPlusMilliseconds(now, -(int64) known->freshness_ms) &&
		   synced <= TimestampTzPlusMilliseconds(now, (int64) known->freshness_ms);
}

static bool
is_fresh_for_plan(struct known *known, TimestampTz now)
{
	ListCell *cell;

	if (known->freshness_ms == 0)
		return false;
	/* What holds for all keys need not be asked for each. */
	if (is_fresh(known, "", now))
		return true;
	foreach (cell, known->plan->exact ? known->plan->keys : known->plan->ranges)
	{
		const char *prefix = known->plan->exact ? lfirst(cell) : ((struct key_range *) lfirst(cell))->prefix;

		if (!is_fresh(known, prefix, now))
			return false;
	}
	return true;
}

/* --- conditions --- */

static int
compare_dates(const void *a, const void *b)
{
	DateADT left = DatumGetDateADT(*(const Datum *) a);
	DateADT right = DatumGetDateADT(*(const Datum *) b);

	return left < right ? -1 : left > right;
}

/* Any order will do that takes only equal ones for equal. */
static int
compare_texts(const void *a, const void *b)
{
	const struct varlena *left = (struct varlena *) DatumGetPointer(*(const Datum *) a);
	const struct varlena *right = (struct varlena *) DatumGetPointer(*(const Datum *) b);

	if (VARSIZE_ANY_EXHDR(left) != VARSIZE_ANY_EXHDR(right))
		return VARSIZE_ANY_EXHDR(left) < VARSIZE_ANY_EXHDR(right) ? -1 : 1;
	return memcmp(VARDATA_ANY(left), VARDATA_ANY(right), VARSIZE_ANY_EXHDR(left));
}

static int
compare_values(const struct test *test, Datum a, Datum b)
{
	return test->column == CATALOG_STUDY_DATE ? compare_dates(&a, &b) : compare_texts(&a, &b);
}

static void
take_array(struct test *test, const struct prune_value *condition)
{
	Oid type = get_element_type(condition->value_type);
	bool *nulls;
	Datum *values;
	int16 length;
	bool by_value;
	char align;
	int count;
	int i;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(condition->value), type, length, by_value, align, &values, &nulls,
					  &count);
	for (i = 0; i < count; i++)
		if (!nulls[i])
			values[test->count++] = values[i];
	test->values = values;
	qsort(values, test->count, sizeof(Datum),
		  test->column == CATALOG_STUDY_DATE ? compare_dates : compare_texts);
}

static void
take_value(struct test *test, const struct prune_value *condition)
{
	test->values = palloc(sizeof(Datum));
	test->values[0] = test->column == CATALOG_STUDY_DATE ? condition->value
														 : PointerGetDatum(DatumGetTextPP(condition->value));
	test->count = 1;
}

/* False for what the catalog cannot tell: of texts it knows no more than whether they are equal. */
static bool
make_test(struct test *test, const struct prune_value *condition)
{
	memset(test, 0, sizeof(*test));
	test->column = condition->column->value;
	test->comparison = condition->comparison;
	test->isnull = condition->isnull;
	test->is_equality = condition->comparison == PRUNE_EQUAL || condition->comparison == PRUNE_ANY;
	if (test->column < 0 || (test->column != CATALOG_STUDY_DATE && !test->is_equality))
		return false;
	if (test->isnull)
		return true;
	if (condition->comparison == PRUNE_ANY)
		take_array(test, condition);
	else
		take_value(test, condition);
	return true;
}

static StrategyNumber
strategy_of(enum prune_operator comparison)
{
	switch (comparison)
	{
		case PRUNE_LESS:
			return BTLessStrategyNumber;
		case PRUNE_LESS_EQUAL:
			return BTLessEqualStrategyNumber;
		case PRUNE_GREATER:
			return BTGreaterStrategyNumber;
		case PRUNE_GREATER_EQUAL:
			return BTGreaterEqualStrategyNumber;
		default:
			return BTEqualStrategyNumber;
	}
}

/* The conditions as tests, and for the catalog's own use. */
static struct catalog_condition *
take_conditions(struct known *known)
{
	struct catalog_condition *conditions =
		palloc0((known->plan->condition_count + 1) * sizeof(struct catalog_condition));
	int i;

	known->tests = palloc((known->plan->condition_count + 1) * sizeof(struct test));
	known->test_count = 0;
	for (i = 0; i < known->plan->condition_count; i++)
	{
		const struct prune_value *given = &known->plan->conditions[i];
		struct catalog_condition *condition = &conditions[known->test_count];

		if (!make_test(&known->tests[known->test_count], given))
			continue;
		condition->column = given->column->value;
		condition->strategy = strategy_of(given->comparison);
		condition->any = given->comparison == PRUNE_ANY;
		condition->argument = given->value;
		condition->isnull = given->isnull;
		known->test_count++;
	}
	return conditions;
}

void
known_start(struct known *known, const struct key_plan *plan, TimestampTz now, pg_atomic_uint64 *next_block)
{
	MemoryContext old;
	struct catalog_condition *conditions;

	MemoryContextReset(known->start_context);
	old = MemoryContextSwitchTo(known->start_context);
	known->plan = plan;
	known->place = 0;
	known->in_range = false;
	known->has_row = false;
	known->next_block = next_block;
	known->ordinal = known->block_end = 0;
	known->fresh = is_fresh_for_plan(known, now);
	known->was_fresh |= known->fresh;
	conditions = take_conditions(known);
	catalog_lookup_restrict(known->lookup, conditions, known->fresh && !plan->exact ? known->test_count : 0,
							next_block != NULL);
	MemoryContextSwitchTo(old);
}

bool
known_is_fresh(const struct known *known)
{
	return known->fresh;
}

/* --- which objects there are --- */

static bool
next_key(struct known *known)
{
	while (known->place < list_length(known->plan->keys))
		if (catalog_lookup_find(known->lookup, list_nth(known->plan->keys, known->place++)))
			return true;
	return false;
}

/* The order of the row's key and another one. */
static int
compare_row(const struct known *known, const char *key)
{
	int length;
	const char *own = catalog_row_key(known->lookup, &length);
	int other_length = strlen(key);
	int order = memcmp(own, key, Min(length, other_length));

	return order != 0 ? order : length - other_length;
}

static bool
is_in_range(const struct known *known, const struct key_range *range)
{
	if (range->prefix[0] != '\0')
	{
		int prefix_length = strlen(range->prefix);
		int length;
		const char *key = catalog_row_key(known->lookup, &length);

		if (length < prefix_length || memcmp(key, range->prefix, prefix_length) != 0)
			return false;
	}
	return range->end_before == NULL || compare_row(known, range->end_before) < 0;
}

static void
enter_range(struct known *known, const struct key_range *range)
{
	bool behind = range->start_after && strcmp(range->start_after, range->prefix) > 0;

	catalog_lookup_seek(known->lookup, behind ? range->start_after : range->prefix);
	known->in_range = true;
}

static bool
next_in_ranges(struct known *known)
{
	while (known->place < list_length(known->plan->ranges))
	{
		const struct key_range *range = list_nth(known->plan->ranges, known->place);

		if (!known->in_range)
			enter_range(known, range);
		if (!catalog_lookup_next(known->lookup) || !is_in_range(known, range))
		{
			known->place++;
			known->in_range = false;
			continue;
		}
		if (range->start_after && compare_row(known, range->start_after) <= 0)
			continue;
		if (known->plan->prefix_or_key && compare_row(known, range->prefix) == 0)
			known->place++;
		return true;
	}
	return false;
}

static bool
next_of_all(struct known *known)
{
	known->ordinal++;
	return known->plan->exact ? next_key(known) : next_in_ranges(known);
}

/* Passes over the objects in front of the next block that nobody has taken. */
static bool
enter_next_block(struct known *known)
{
	uint64 start = pg_atomic_fetch_add_u64(known->next_block, 1) * BLOCK;

	known->block_end = start + BLOCK;
	while (known->ordinal < start)
		if (!next_of_all(known))
			return false;
	return true;
}

bool
known_next(struct known *known)
{
	known->has_row = false;
	if (known->next_block && known->ordinal == known->block_end && !enter_next_block(known))
		return false;
	known->has_row = next_of_all(known);
	return known->has_row;
}

void
known_object(const struct known *known, struct store_object *object)
{
	catalog_row_object(known->lookup, object);
}

static bool
text_is(const struct known *known, int column, const char *text)
{
	bool isnull;
	Datum value = catalog_row_value(known->lookup, column, &isnull);
	const struct varlena *own = (struct varlena *) DatumGetPointer(value);

	return !isnull && text && VARSIZE_ANY_EXHDR(own) == strlen(text) &&
		   memcmp(VARDATA_ANY(own), text, strlen(text)) == 0;
}

/* A row without a size was never read. */
static bool
size_is(const struct known *known, uint64 size)
{
	bool isnull;
	Datum value = catalog_row_value(known->lookup, CATALOG_SIZE, &isnull);

	return (isnull ? STORE_SIZE_UNKNOWN : (uint64) DatumGetInt64(value)) == size;
}

void
known_find(struct known *known, const struct store_object *object)
{
	known->has_row = catalog_lookup_find(known->lookup, object->key) &&
					 text_is(known, CATALOG_ETAG, object->etag) && size_is(known, object->size);
}

/* --- what is known of it --- */

static bool
date_compares(DateADT date, enum prune_operator comparison, DateADT wanted)
{
	switch (comparison)
	{
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
is_among(const struct test *test, Datum value)
{
	int low = 0;
	int high = test->count - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		int order = compare_values(test, test->values[middle], value);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return false;
}

/* True also where that cannot be known: a text that was too long to be kept. */
static bool
satisfies(const struct known *known, const struct test *test)
{
	bool isnull;
	Datum value;

	if (test->isnull)
		return false;
	value = catalog_row_value(known->lookup, test->column, &isnull);
	if (isnull)
		return catalog_row_values_cut(known->lookup);
	if (test->column == CATALOG_STUDY_DATE && DATE_IS_NOBEGIN(DatumGetDateADT(value)))
		return false; /* the column is NULL there */
	if (test->is_equality)
		return is_among(test, value);
	return date_compares(DatumGetDateADT(value), test->comparison, DatumGetDateADT(test->values[0]));
}

bool
known_is_excluded(const struct known *known)
{
	int i;

	if (known->test_count == 0 || !known->has_row || !catalog_row_is_read(known->lookup))
		return false;
	for (i = 0; i < known->test_count; i++)
		if (!satisfies(known, &known->tests[i]))
			return true;
	return false;
}

bool
known_has_values(const struct known *known)
{
	return known->has_row && catalog_row_is_whole(known->lookup) && !catalog_row_values_cut(known->lookup);
}

Datum
known_value(const struct known *known, int column, bool *isnull)
{
	return catalog_row_value(known->lookup, column, isnull);
}

bool
known_fill(struct known *known, struct dicom_window *window)
{
	return known->has_row && catalog_row_is_read(known->lookup) && catalog_row_header(known->lookup, window);
}

uint64
known_rows_read(const struct known *known)
{
	return catalog_lookup_rows_read(known->lookup);
}

const char *
known_index(const struct known *known)
{
	return known->was_fresh && !known->plan->exact ? catalog_lookup_index(known->lookup) : NULL;
}
