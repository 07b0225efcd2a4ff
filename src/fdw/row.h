/*
 * row.h
 *	  One object, or one element of it, as the Datums of a row.
 */
#ifndef FDW_ROW_H
#define FDW_ROW_H

#include "column.h"
#include "../reader/reader.h"

/* What became NULL because it did not fit. */
struct row_complaints
{
	uint64 count;
	const char *first_column; /* of the first one since this was set to NULL */
};

/*
 * The value of any column for an item. element is the current one of an elements table, else NULL; an item without data set
 * has NULL elements.
 */
extern Datum row_datum(const struct column *column, struct column_scratch *scratch,
					   const struct reader_item *item, const struct dicom_element *element,
					   struct row_complaints *complaints, bool *isnull);

/* True where elements of the data set proper were read, not only file meta information. */
extern bool row_has_data(const struct dicom_dataset *dataset);

/* The same for the columns that a listing tells. */
extern Datum row_listing_datum(const struct column *column, const struct store_object *object,
							   uint64 *replaced, bool *isnull);

/* A NULL-safe text of the file: what is wrong in it, one entry a kind; for the column `warnings`. */
extern Datum row_warnings(struct column_scratch *scratch, const struct dicom_dataset *dataset, bool *isnull);

#endif
