/*
 * scan_internal.h
 *	  Private to scans: their state. scan.c begins and ends them and chooses objects, scan_rows.c makes rows of these, scan_report.c
 *	  tells of them.
 */
#ifndef FDW_SCAN_INTERNAL_H
#define FDW_SCAN_INTERNAL_H

#include "postgres.h"

#include "known.h"
#include "scan.h"

struct distinct;

struct scan
{
	struct scan_request request;
	/* Holds the store, and the scan's own context: a parent goes after its children. */
	MemoryContext store_context;
	MemoryContext context;
	MemoryContext run_context;    /* of one start */
	MemoryContext filter_context; /* of one object on its way through request.keep */
	MemoryContext row_context;    /* of one row */
	bool of_listing;              /* no object is opened */
	bool of_values;               /* a fresh catalog has all columns, so that no header is looked at */
	int *catalog_columns;         /* of_values: where, for each of request.columns */
	bool raise_errors;
	bool be_silent;
	bool raise_bad_values;
	int reject_limit; /* 0: none */
	struct dicom_selection selection;

	struct known *known; /* what the catalog knows; NULL: nothing */
	bool known_asked;
	const struct store_object *odd_object; /* of_values: to be read by itself */
	struct dicom_window *filling;          /* of the object whose known bytes are asked for */
	struct store *store;
	struct listing *listing; /* or, where it is shared, the part in it: */
	struct participant *participant;
	struct scan_share share; /* nothing in it where the scan is alone */
	struct reader *reader;
	struct reader_source source;
	struct distinct *distinct;
	bool may_wait;
	bool draining; /* all files are read; rows come from the temporary files */
	bool warnings_given;

	struct reader_item *item; /* elements: the file that rows come from now */
	uint32_t next_element;

	Datum *filter_values; /* a row of listing columns, for request.keep */
	bool *filter_nulls;
	ErrorData *filter_error; /* thrown by request.keep, to be thrown on */

	struct column_scratch scratch;
	struct scan_counters counters;
	uint64 merged_catalog_rows;         /* of other participants */
	struct store_statistics merged;     /* of other participants */
	struct store_statistics statistics; /* of all */
	bool has_merged;
	bool was_shared; /* then the objects listed are merged too */
};

/* True where an object is worth reading: no condition on what is known of it says otherwise. */
extern bool scan_examine(struct scan *scan, struct store_object *object);

#endif
