/*
 * values.c
 *	  The attributes of a file by which the catalog finds it.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/datetime.h"

#include "values.h"

#define TAG_STUDY_DATE DICOM_TAG(0x0008, 0x0020)

static const uint32_t value_tags[VALUE_COUNT] = {
	[VALUE_STUDY_INSTANCE_UID] = DICOM_TAG(0x0020, 0x000D),
	[VALUE_SERIES_INSTANCE_UID] = DICOM_TAG(0x0020, 0x000E),
	[VALUE_SOP_INSTANCE_UID] = DICOM_TAG(0x0008, 0x0018),
	[VALUE_SOP_CLASS_UID] = DICOM_TAG(0x0008, 0x0016),
	[VALUE_TRANSFER_SYNTAX_UID] = DICOM_TAG(0x0002, 0x0010),
	[VALUE_MODALITY] = DICOM_TAG(0x0008, 0x0060),
	[VALUE_PATIENT_ID] = DICOM_TAG(0x0010, 0x0020),
	[VALUE_ISSUER_OF_PATIENT_ID] = DICOM_TAG(0x0010, 0x0021),
};

int
object_value_of_tag(uint32_t tag)
{
	int i;

	for (i = 0; i < VALUE_COUNT; i++)
		if (value_tags[i] == tag)
			return i;
	return tag == TAG_STUDY_DATE ? VALUE_COUNT : -1;
}

/* The one date of an element; false for none, several, and what is no date. */
static bool
read_date(struct dicom_values *scratch, const struct dicom_dataset *dataset,
		  const struct dicom_element *element, DateADT *result)
{
	struct dicom_value_cursor cursor = {0};
	struct dicom_datetime datetime;
	struct dicom_value value;
	struct dicom_date date;

	if (dicom_value_count(dataset, element) != 1 ||
		!dicom_value_next(scratch, dataset, element, &cursor, &value) || value.kind != DICOM_VALUE_TEXT)
		return false;
	if (!dicom_parse_date(value.text, value.length, &date))
	{
		if (!dicom_parse_datetime(value.text, value.length, &datetime) || datetime.precision < 3)
			return false;
		date = datetime.date;
	}
	if (!IS_VALID_JULIAN(date.year, date.month, date.day))
		return false;
	*result = date2j(date.year, date.month, date.day) - POSTGRES_EPOCH_JDATE;
	return IS_VALID_DATE(*result);
}

static text *
read_text(struct dicom_values *scratch, const struct dicom_dataset *dataset,
		  const struct dicom_element *element, bool *cut)
{
	struct dicom_buffer buffer = {0};
	text *result = NULL;

	if (!dicom_value_text(scratch, dataset, element, &buffer) || buffer.failed)
		*cut |= element->length > 0;
	else if (buffer.length > VALUE_LONGEST)
		*cut = true;
	else
		result = cstring_to_text_with_len(buffer.data ? buffer.data : "", (int) buffer.length);
	dicom_buffer_free(&buffer);
	return result;
}

void
object_values_read(struct object_values *values, struct dicom_values *scratch,
				   const struct dicom_dataset *dataset)
{
	const struct dicom_element *element;
	int i;

	memset(values, 0, sizeof(*values));
	DATE_NOBEGIN(values->study_date);
	if (dataset == NULL)
		return;
	element = dicom_dataset_find(dataset, TAG_STUDY_DATE);
	if (element && !read_date(scratch, dataset, element, &values->study_date))
		DATE_NOBEGIN(values->study_date);
	for (i = 0; i < VALUE_COUNT; i++)
	{
		element = dicom_dataset_find(dataset, value_tags[i]);
		if (element)
			values->texts[i] = read_text(scratch, dataset, element, &values->cut);
	}
}
