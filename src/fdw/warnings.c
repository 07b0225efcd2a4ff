/*
 * warnings.c
 *	  The column `warnings`: what is wrong in a file but could be read.
 *
 * Kinds of defects come with their count; values that are not of their VR are named with their text, because a typed column
 * shows them as NULL.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "../dicom/dictionary.h"
#include "../pg/report.h"
#include "row.h"

/* Beyond this many entries a file is not worth reading out. */
#define MAX_ENTRIES 200

struct warning_list
{
	Datum entries[MAX_ENTRIES];
	int count;
	struct column_scratch *scratch;
	const struct dicom_dataset *dataset;
};

static bool
value_is_valid(uint16 vr, const struct dicom_value *value)
{
	struct dicom_date date;
	struct dicom_datetime datetime;
	int64 integer;
	double real;
	int count;
	char unit;

	if (value->kind != DICOM_VALUE_TEXT || value->length == 0)
		return true;
	switch (vr)
	{
		case DICOM_VR('D', 'A'):
			return dicom_parse_date(value->text, value->length, &date);
		case DICOM_VR('T', 'M'):
			return dicom_parse_time(value->text, value->length, &integer);
		case DICOM_VR('D', 'T'):
			return dicom_parse_datetime(value->text, value->length, &datetime);
		case DICOM_VR('D', 'S'):
			return dicom_parse_decimal(value->text, value->length, &real);
		case DICOM_VR('I', 'S'):
			return dicom_parse_integer(value->text, value->length, &integer);
		case DICOM_VR('A', 'S'):
			return dicom_parse_age(value->text, value->length, &count, &unit);
		default:
			return true;
	}
}

static bool
vr_has_grammar(uint16 vr)
{
	return vr == DICOM_VR('D', 'A') || vr == DICOM_VR('T', 'M') || vr == DICOM_VR('D', 'T') ||
		   vr == DICOM_VR('D', 'S') || vr == DICOM_VR('I', 'S') || vr == DICOM_VR('A', 'S');
}

static void
add_entry(struct warning_list *list, const char *text, int length)
{
	char *server_text = text_to_server(text, &length, NULL);

	list->entries[list->count++] = PointerGetDatum(cstring_to_text_with_len(server_text, length));
}

/* At most `limit` bytes of a UTF-8 text, whole characters only. */
static uint32_t
clipped_length(const struct dicom_value *value, uint32_t limit)
{
	uint32_t length = value->length;

	if (length <= limit)
		return length;
	length = limit;
	while (length > 0 && (value->text[length] & 0xC0) == 0x80)
		length--;
	return length;
}

static void
add_invalid_value(struct warning_list *list, const struct dicom_element *element,
				  const struct dicom_value *value)
{
	struct dicom_buffer *buffer = &list->scratch->buffer;

	dicom_buffer_reset(buffer);
	dicom_path_write(list->dataset, element, buffer);
	dicom_buffer_printf(buffer, " is no %c%c: \"", element->vr >> 8, element->vr & 0xFF);
	dicom_buffer_append(buffer, value->text, clipped_length(value, 64));
	dicom_buffer_append_char(buffer, '"');
	if (!buffer->failed)
		add_entry(list, buffer->data, buffer->length);
}

static void
check_element(struct warning_list *list, const struct dicom_element *element)
{
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;

	if (!vr_has_grammar(element->vr))
		return;
	while (list->count < MAX_ENTRIES &&
		   dicom_value_next(&list->scratch->values, list->dataset, element, &cursor, &value))
		if (!value_is_valid(element->vr, &value))
			add_invalid_value(list, element, &value);
}

static void
add_defects(struct warning_list *list)
{
	int i;

	for (i = 0; i < DICOM_WARNING_COUNT; i++)
	{
		char *text;

		if (list->dataset->warnings[i] == 0)
			continue;
		text = psprintf("%s (%u)", dicom_warning_name(i), list->dataset->warnings[i]);
		add_entry(list, text, strlen(text));
	}
}

Datum
row_warnings(struct column_scratch *scratch, const struct dicom_dataset *dataset, bool *isnull)
{
	struct warning_list *list = palloc(sizeof(*list));
	uint32_t i;

	list->count = 0;
	list->scratch = scratch;
	list->dataset = dataset;
	add_defects(list);
	for (i = 0; i < dataset->count && list->count < MAX_ENTRIES; i++)
		check_element(list, &dataset->elements[i]);
	*isnull = list->count == 0;
	if (*isnull)
		return (Datum) 0;
	return PointerGetDatum(construct_array(list->entries, list->count, TEXTOID, -1, false, TYPALIGN_INT));
}
