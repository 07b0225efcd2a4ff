/*
 * values.h
 *	  The attributes of a file by which the catalog finds it: the day, and texts.
 *
 * A text is what a text column of that attribute holds: NULL where the element is absent, empty where it is present and empty,
 * several values joined by a backslash. One longer than VALUE_LONGEST bytes is NULL, and `cut` is set. The day is what a date
 * column holds, and -infinity where that is NULL.
 */
#ifndef CATALOG_VALUES_H
#define CATALOG_VALUES_H

#include "postgres.h"

#include "utils/date.h"

#include "../dicom/value.h"

#define VALUE_LONGEST 512

enum object_value
{
	VALUE_STUDY_INSTANCE_UID,
	VALUE_SERIES_INSTANCE_UID,
	VALUE_SOP_INSTANCE_UID,
	VALUE_SOP_CLASS_UID,
	VALUE_TRANSFER_SYNTAX_UID,
	VALUE_MODALITY,
	VALUE_PATIENT_ID,
	VALUE_ISSUER_OF_PATIENT_ID,
	VALUE_COUNT
};

struct object_values
{
	DateADT study_date;
	text *texts[VALUE_COUNT];
	bool cut;
};

/* Which of them an element is: VALUE_COUNT for StudyDate, -1 for none. */
extern int object_value_of_tag(uint32_t tag);

/* Fills *values from a data set, or with nothing for NULL; texts in the current context. */
extern void object_values_read(struct object_values *values, struct dicom_values *scratch,
							   const struct dicom_dataset *dataset);

#endif
