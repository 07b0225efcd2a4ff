/*
 * analyze.c
 *	  ANALYZE of a foreign table: a sample of its objects, read side by side.
 *
 * All keys are listed, a sample of them is drawn (Vitter's reservoir), and only those are opened. The number of
 * objects becomes the relation's pages, so that the planner knows what a scan has to look at.
 */
#include "postgres.h"

#include <math.h>

#include "../pg/compat.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/vacuum.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sampling.h"

#include "../pg/report.h"
#include "fdw.h"
#include "scan.h"

struct key_sample
{
	List *keys;
	double objects; /* listed in all */
};

static struct scan_request
make_request(struct table *table, Relation relation)
{
	struct scan_request request = {0};

	request.server = table->server;
	request.user = GetUserId();
	request.entity = table->entity;
	request.name = RelationGetRelationName(relation);
	request.options = table->options;
	request.freshness_ms = table_freshness(table);
	request.descriptor = RelationGetDescr(relation);
	return request;
}

/* The key column that a listing is asked for. */
static struct column
key_column(void)
{
	struct column column = {0};

	column.attnum = 1;
	column.name = "key";
	column.kind = COLUMN_KEY;
	column.type = column.value_type = TEXTOID;
	column.typmod = -1;
	column.value_length = -1;
	return column;
}

static TupleDesc
key_descriptor(void)
{
	TupleDesc descriptor = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(descriptor, 1, "key", TEXTOID, -1, 0);
	return descriptor;
}

static struct key_plan *
plan_of_prefix(const struct table *table)
{
	return prune_build(table->prefix ? table->prefix : "", NULL, NULL, 0);
}

/* Lists everything, keeping a random sample of at most `target` keys in key order. */
static struct key_sample
sample_keys(struct table *table, Relation relation, int target)
{
	struct scan_request request = make_request(table, relation);
	struct column column = key_column();
	struct key_sample sample = {0};
	char **reservoir = palloc(target * sizeof(char *));
	ReservoirStateData state;
	double skip = -1;
	struct scan *scan;
	Datum value;
	bool isnull;
	int kept = 0;
	int i;

	request.entity = ENTITY_FILES;
	request.options = NIL;
	request.descriptor = key_descriptor();
	request.columns = &column;
	request.column_count = 1;
	scan = scan_open(&request, CurrentMemoryContext);
	scan_start(scan, plan_of_prefix(table), NULL);
	reservoir_init_selection_state(&state, target);
	while (scan_next(scan, &value, &isnull))
	{
		sample.objects++;
		if (kept < target)
			reservoir[kept++] = text_to_utf8(TextDatumGetCString(value));
		else
		{
			if (skip < 0)
				skip = reservoir_get_next_S(&state, sample.objects - 1, target);
			if (skip <= 0)
			{
				i = (int) (target * sampler_fraction(&state));
				pfree(reservoir[i]);
				reservoir[i] = text_to_utf8(TextDatumGetCString(value));
			}
			skip -= 1;
		}
	}
	scan_close(scan);
	for (i = 0; i < kept; i++)
		sample.keys = lappend(sample.keys, reservoir[i]);
	return sample;
}

static int
compare_keys(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static void
resolve_all_columns(struct scan_request *request, struct table *table, Relation relation)
{
	int i;

	request->columns = palloc0(request->descriptor->natts * sizeof(struct column));
	for (i = 0; i < request->descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(request->descriptor, i);

		if (!attribute->attisdropped)
			column_resolve(&request->columns[request->column_count++], table->entity, attribute,
						   GetForeignColumnOptions(RelationGetRelid(relation), attribute->attnum));
	}
}

/* From rows in a sample of the objects to rows in all of them. */
static double
estimate_rows(enum entity_kind entity, const struct key_sample *sample, double read, double rows,
			  double duplicates)
{
	double once;

	if (read <= 0 || read >= sample->objects)
		return rows;
	if (entity > ENTITY_SERIES)
		return rows * sample->objects / read;
	/* Haas and Stokes' estimator of distinct values, as ANALYZE has it; keys without a duplicate are seen once. */
	once = Max(rows - duplicates, 0);
	return read * rows / (read - once + once * read / sample->objects);
}

static int
acquire_rows(Relation relation, int level, HeapTuple *tuples, int target, double *live, double *dead)
{
	struct table table;
	struct scan_request request;
	struct key_sample sample;
	struct key_plan plan = {0};
	ReservoirStateData state;
	struct scan *scan;
	Datum *values = palloc(RelationGetDescr(relation)->natts * sizeof(Datum));
	bool *nulls = palloc(RelationGetDescr(relation)->natts * sizeof(bool));
	double rows = 0;
	int kept = 0;

	table_load(RelationGetRelid(relation), &table);
	sample = sample_keys(&table, relation, target);
	request = make_request(&table, relation);
	resolve_all_columns(&request, &table, relation);
	list_sort(sample.keys, compare_keys);
	plan.exact = true;
	plan.keys = sample.keys;
	scan = scan_open(&request, CurrentMemoryContext);
	scan_start(scan, &plan, NULL);
	reservoir_init_selection_state(&state, target);
	while (scan_next(scan, values, nulls))
	{
		int place = kept < target ? kept++ : (int) ((rows + 1) * sampler_fraction(&state));

		analyze_delay_point();
		rows++;
		if (place >= target)
			continue;
		if (rows > target)
			heap_freetuple(tuples[place]);
		tuples[place] = heap_form_tuple(request.descriptor, values, nulls);
	}
	*live = estimate_rows(table.entity, &sample, list_length(sample.keys), rows,
						  scan_get_counters(scan)->duplicates);
	*dead = 0;
	ereport(
		level,
		(errmsg(
			"\"%s\": read %d of %.0f objects, containing %.0f rows; %d rows in sample, %.0f estimated total rows",
			RelationGetRelationName(relation), list_length(sample.keys), sample.objects, rows, kept, *live)));
	scan_report(scan);
	scan_close(scan);
	return kept;
}

bool
analyze_table(Relation relation, AcquireSampleRowsFunc *function, BlockNumber *pages)
{
	struct table table;
	struct key_sample sample;

	table_load(RelationGetRelid(relation), &table);
	sample = sample_keys(&table, relation, 1);
	*pages = Max(1, Min(sample.objects, MaxBlockNumber));
	*function = acquire_rows;
	return true;
}
