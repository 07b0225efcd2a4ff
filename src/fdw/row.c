/*
 * row.c
 *	  One object, or one element of it, as the Datums of a row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "../dicom/dictionary.h"
#include "../pg/report.h"
#include "row.h"

bool
row_has_data(const struct dicom_dataset *dataset)
{
	uint32_t i;

	for (i = 0; i < dataset->count; i++)
		if (!(dataset->elements[i].flags & DICOM_ELEMENT_META))
			return true;
	return false;
}

static Datum
text_or_null(const struct column *column, const char *text, int length, uint64 *replaced, bool *isnull)
{
	bool bad = false;
	Datum datum;

	*isnull = text == NULL;
	if (*isnull)
		return (Datum) 0;
	datum = column_text_datum(column, text, length, replaced, &bad);
	*isnull = bad;
	return datum;
}

static Datum
string_or_null(const struct column *column, const char *string, uint64 *replaced, bool *isnull)
{
	return text_or_null(column, string, string ? strlen(string) : 0, replaced, isnull);
}

Datum
row_listing_datum(const struct column *column, const struct store_object *object, uint64 *replaced,
				  bool *isnull)
{
	static const int64 epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	*isnull = false;
	switch (column->kind)
	{
		case COLUMN_KEY:
			return string_or_null(column, object->key, replaced, isnull);
		case COLUMN_ETAG:
			return string_or_null(column, object->etag, replaced, isnull);
		case COLUMN_STORAGE_CLASS:
			return string_or_null(column, object->storage_class, replaced, isnull);
		case COLUMN_SIZE:
			*isnull = object->size == STORE_SIZE_UNKNOWN;
			return Int64GetDatum((int64) object->size);
		default:
			*isnull = object->last_modified == 0;
			return TimestampTzGetDatum(object->last_modified - epoch);
	}
}

static Datum
path_datum(const struct column *column, struct column_scratch *scratch, const struct dicom_dataset *dataset,
		   const struct dicom_element *element, bool *isnull)
{
	dicom_buffer_reset(&scratch->buffer);
	dicom_path_write(dataset, element, &scratch->buffer);
	return text_or_null(column, scratch->buffer.data, scratch->buffer.length, &scratch->replaced, isnull);
}

static Datum
value_text_datum(const struct column *column, struct column_scratch *scratch,
				 const struct dicom_dataset *dataset, const struct dicom_element *element, bool *isnull)
{
	dicom_buffer_reset(&scratch->buffer);
	if (!dicom_value_text(&scratch->values, dataset, element, &scratch->buffer))
	{
		*isnull = true;
		return (Datum) 0;
	}
	return text_or_null(column, scratch->buffer.data ? scratch->buffer.data : "", scratch->buffer.length,
						&scratch->replaced, isnull);
}

static Datum
vr_datum(const struct column *column, uint16 vr, uint64 *replaced, bool *isnull)
{
	char letters[3] = {(char) (vr >> 8), (char) vr, '\0'};

	return string_or_null(column, letters, replaced, isnull);
}

static Datum
creator_datum(const struct column *column, struct column_scratch *scratch,
			  const struct dicom_dataset *dataset, const struct dicom_element *element, bool *isnull)
{
	uint32_t length = 0;
	const char *creator = dicom_dataset_private_creator(dataset, element, &length);
	struct dicom_charset *charset;

	*isnull = creator == NULL;
	if (*isnull)
		return (Datum) 0;
	/* A creator is LO; what is not ASCII in it is read as Latin-1, the same for every file. */
	charset = dicom_charset_open(&scratch->values.charsets, NULL, 0);
	dicom_buffer_reset(&scratch->buffer);
	if (charset)
		dicom_charset_to_utf8(charset, DICOM_TEXT_SINGLE, (const uint8_t *) creator, length,
							  &scratch->buffer);
	return text_or_null(column, scratch->buffer.data, scratch->buffer.length, &scratch->replaced, isnull);
}

/* A column of an elements table that tells of the current element. */
static Datum
each_datum(const struct column *column, struct column_scratch *scratch, const struct dicom_dataset *dataset,
		   const struct dicom_element *element, bool *isnull)
{
	const struct dicom_dictionary_entry *entry;
	char tag[9];

	*isnull = false;
	switch (column->kind)
	{
		case COLUMN_EACH_PATH:
			return path_datum(column, scratch, dataset, element, isnull);
		case COLUMN_EACH_TAG:
			snprintf(tag, sizeof(tag), "%08X", element->tag);
			return string_or_null(column, tag, &scratch->replaced, isnull);
		case COLUMN_EACH_KEYWORD:
			entry = dicom_dictionary_by_tag(element->tag);
			return string_or_null(column, entry ? entry->keyword : NULL, &scratch->replaced, isnull);
		case COLUMN_EACH_VR:
			return vr_datum(column, element->vr, &scratch->replaced, isnull);
		case COLUMN_EACH_VM:
			return Int32GetDatum((int32) dicom_value_count(dataset, element));
		case COLUMN_EACH_LENGTH:
			*isnull = element->length == DICOM_UNDEFINED_LENGTH;
			return Int64GetDatum((int64) element->length);
		case COLUMN_EACH_VALUE:
			return value_text_datum(column, scratch, dataset, element, isnull);
		default:
			return creator_datum(column, scratch, dataset, element, isnull);
	}
}

static Datum
element_datum(const struct column *column, struct column_scratch *scratch,
			  const struct dicom_dataset *dataset, struct row_complaints *complaints, bool *isnull)
{
	bool bad;
	Datum datum =
		column_element_datum(column, scratch, dataset, dicom_path_find(dataset, &column->path), isnull, &bad);

	if (bad && complaints->count++ == 0)
		complaints->first_column = column->name;
	return datum;
}

Datum
row_datum(const struct column *column, struct column_scratch *scratch, const struct reader_item *item,
		  const struct dicom_element *element, struct row_complaints *complaints, bool *isnull)
{
	if (column_is_of_listing(column->kind))
		return row_listing_datum(column, &item->object, &scratch->replaced, isnull);
	*isnull = true;
	if (column->kind == COLUMN_ERROR)
	{
		*isnull = item->status == DICOM_OK;
		return *isnull ? (Datum) 0 : CStringGetTextDatum(report_line(&item->error));
	}
	if (item->dataset == NULL)
		return (Datum) 0;
	if (column->kind == COLUMN_ELEMENT)
		return element_datum(column, scratch, item->dataset, complaints, isnull);
	if (column->kind == COLUMN_WARNINGS)
		return row_warnings(scratch, item->dataset, isnull);
	if (column->kind == COLUMN_HEADER_BYTES)
	{
		*isnull = item->dataset->count == 0;
		return Int64GetDatum((int64) item->dataset->header_end);
	}
	return element ? each_datum(column, scratch, item->dataset, element, isnull) : (Datum) 0;
}
