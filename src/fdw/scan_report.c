/*
 * scan_report.c
 *	  Rows of an entity from the objects of a server: what is told of a scan, in EXPLAIN and in messages.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "../pg/report.h"
#include "distinct.h"
#include "scan_internal.h"

const struct scan_counters *
scan_get_counters(struct scan *scan)
{
	scan->counters.replaced = scan->scratch.replaced + scan->scratch.values.replaced;
	if (scan->known && known_index(scan->known))
		scan->counters.catalog_rows = scan->merged_catalog_rows + known_rows_read(scan->known);
	if (scan->distinct)
		scan->counters.spilled = distinct_spilled(scan->distinct);
	return &scan->counters;
}

const struct store_statistics *
scan_get_statistics(struct scan *scan)
{
	if (scan->store == NULL && !scan->has_merged)
		return NULL;
	scan->statistics = scan->merged;
	if (scan->store)
		store_statistics_add(&scan->statistics, store_statistics(scan->store));
	if (scan->was_shared)
		scan->statistics.objects_listed = scan->merged.objects_listed;
	return &scan->statistics;
}

/* Of the first ones that the participants met, the one with the least name: always the same. */
static void
merge_first(struct scan *scan, char **place, const char *text)
{
	if (text && (*place == NULL || strcmp(text, *place) < 0))
		*place = MemoryContextStrdup(scan->context, text);
}

void
scan_counters_add(struct scan_counters *sum, const struct scan_counters *more)
{
	sum->from_catalog += more->from_catalog;
	sum->catalog_rows += more->catalog_rows;
	sum->pruned += more->pruned;
	sum->opened += more->opened;
	sum->skipped += more->skipped;
	sum->damaged += more->damaged;
	sum->vanished += more->vanished;
	sum->without_key += more->without_key;
	sum->duplicates += more->duplicates;
	sum->spilled += more->spilled;
	sum->bad_values += more->bad_values;
	sum->replaced += more->replaced;
}

void
scan_merge(struct scan *scan, const struct scan_counters *more, const struct store_statistics *statistics)
{
	scan_counters_add(&scan->counters, more);
	scan->merged_catalog_rows += more->catalog_rows;
	scan->scratch.replaced += more->replaced;
	merge_first(scan, &scan->counters.first_bad_file, more->first_bad_file);
	merge_first(scan, &scan->counters.first_bad_value, more->first_bad_value);
	store_statistics_add(&scan->merged, statistics);
	scan->has_merged = true;
}

const char *
scan_catalog_index(const struct scan *scan)
{
	return scan->known ? known_index(scan->known) : NULL;
}

bool
scan_opens_files(const struct scan *scan)
{
	return !scan->of_listing;
}

uint32_t
scan_last_tag(const struct scan *scan)
{
	const struct dicom_selection *selection = &scan->selection;
	uint32_t last = selection->tag_count ? selection->tags[selection->tag_count - 1] : 0;
	int i;

	if (scan->of_listing)
		return 0;
	if (selection->everything || selection->whole_header)
		return UINT32_MAX;
	for (i = 0; i < selection->private_count; i++)
		last = Max(last, selection->private_tags[i] | 0xFFFF);
	return last;
}

/* "2 files could not be read, 1 only in part", of which one half may be missing. */
static char *
describe_bad_files(const struct scan_counters *c)
{
	if (c->damaged == 0)
		return psprintf(UINT64_FORMAT " %s could not be read", c->skipped,
						c->skipped == 1 ? "file" : "files");
	if (c->skipped == 0)
		return psprintf(UINT64_FORMAT " %s could be read only in part", c->damaged,
						c->damaged == 1 ? "file" : "files");
	return psprintf(UINT64_FORMAT " %s could not be read, " UINT64_FORMAT " only in part", c->skipped,
					c->skipped == 1 ? "file" : "files", c->damaged);
}

static void
report_files(struct scan *scan)
{
	ereport(
		WARNING,
		(errcode(ERRCODE_WARNING),
		 errmsg("\"%s\": %s", scan->request.name, describe_bad_files(&scan->counters)),
		 errdetail("The first is \"%s\".", scan->counters.first_bad_file), errdetail_not_logged(),
		 errhint(
			 "SELECT key, error FROM a table of entity 'files' WHERE error IS NOT NULL, or dicom.files(), tells why.")));
}

static void
report_values(struct scan *scan)
{
	const struct scan_counters *c = &scan->counters;

	ereport(NOTICE, (errmsg("\"%s\": " UINT64_FORMAT " values did not fit their columns and are NULL",
							scan->request.name, c->bad_values),
					 errdetail("The first is %s.", c->first_bad_value), errdetail_not_logged(),
					 errhint("dicom.elements() and the column \"warnings\" of files show the texts.")));
}

void
scan_report(struct scan *scan)
{
	if (scan->warnings_given || scan->be_silent)
		return;
	scan->warnings_given = true;
	if (scan->counters.skipped + scan->counters.damaged > 0 && scan->request.entity != ENTITY_FILES)
		report_files(scan);
	if (scan->counters.bad_values > 0)
		report_values(scan);
}
