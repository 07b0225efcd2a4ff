/*
 * selection.c
 *	  Which elements a scan's headers must yield.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "../catalog/lookup.h"
#include "selection.h"

/* In the order in which their texts make up the key. */
static const uint32_t patient_key[] = {
	DICOM_TAG(0x0010, 0x0021), /* IssuerOfPatientID */
	DICOM_TAG(0x0010, 0x0020), /* PatientID */
	DICOM_TAG(0x0010, 0x1000), /* OtherPatientIDs */
	DICOM_TAG(0x0010, 0x1010), /* PatientAge */
	DICOM_TAG(0x0010, 0x0030), /* PatientBirthDate */
	DICOM_TAG(0x0010, 0x0010), /* PatientName */
};
static const uint32_t device_key[] = {
	DICOM_TAG(0x0018, 0x1000), /* DeviceSerialNumber */
	DICOM_TAG(0x0008, 0x0070), /* Manufacturer */
	DICOM_TAG(0x0008, 0x1090), /* ManufacturerModelName */
};
static const uint32_t study_key[] = {DICOM_TAG(0x0020, 0x000D)};
static const uint32_t series_key[] = {DICOM_TAG(0x0020, 0x000E), DICOM_TAG(0x0020, 0x000D)};

const uint32_t *
entity_key_tags(enum entity_kind entity, int *count)
{
	switch (entity)
	{
		case ENTITY_PATIENTS:
			*count = lengthof(patient_key);
			return patient_key;
		case ENTITY_DEVICES:
			*count = lengthof(device_key);
			return device_key;
		case ENTITY_STUDIES:
			*count = lengthof(study_key);
			return study_key;
		case ENTITY_SERIES:
			*count = lengthof(series_key);
			return series_key;
		default:
			*count = 0;
			return NULL;
	}
}

bool
entity_is_distinct(enum entity_kind entity)
{
	return entity <= ENTITY_SERIES;
}

bool
selection_is_of_listing(enum entity_kind entity, const struct column *columns, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (!column_is_of_listing(columns[i].kind))
			return false;
	return entity == ENTITY_FILES;
}

static int
listing_column(enum column_kind kind)
{
	switch (kind)
	{
		case COLUMN_KEY:
			return CATALOG_KEY;
		case COLUMN_SIZE:
			return CATALOG_SIZE;
		case COLUMN_ETAG:
			return CATALOG_ETAG;
		case COLUMN_LAST_MODIFIED:
			return CATALOG_LAST_MODIFIED;
		default:
			return CATALOG_STORAGE_CLASS;
	}
}

/* Values are handed on as they are, so the column must be of the very type. */
int
selection_catalog_column(const struct column *column)
{
	int value;

	if (column_is_of_listing(column->kind))
		return column->type == VARCHAROID ? -1 : listing_column(column->kind);
	if (column->kind != COLUMN_ELEMENT || column->path.count != 1 || column->path.steps[0].creator[0])
		return -1;
	value = object_value_of_tag(column->path.steps[0].tag);
	if (value < 0 || column->type != (value == CATALOG_STUDY_DATE ? DATEOID : TEXTOID))
		return -1;
	return value;
}

bool
selection_is_of_values(enum entity_kind entity, const struct column *columns, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (selection_catalog_column(&columns[i]) < 0)
			return false;
	return entity == ENTITY_IMAGES || entity == ENTITY_FILES;
}

static int
compare_tags(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *) a;
	uint32_t right = *(const uint32_t *) b;

	return left < right ? -1 : left > right;
}

static int
sort_distinct(uint32_t *tags, int count)
{
	int kept = 0;
	int i;

	qsort(tags, count, sizeof(*tags), compare_tags);
	for (i = 0; i < count; i++)
		if (kept == 0 || tags[kept - 1] != tags[i])
			tags[kept++] = tags[i];
	return kept;
}

static void
add_columns(struct dicom_selection *selection, const struct column *columns, int count, uint32_t *tags,
			uint32_t *privates, const char **creators)
{
	int i;

	for (i = 0; i < count; i++)
	{
		const struct dicom_path_step *first = &columns[i].path.steps[0];

		if (columns[i].kind == COLUMN_HEADER_BYTES || columns[i].kind == COLUMN_ERROR ||
			columns[i].kind == COLUMN_WARNINGS)
			selection->whole_header = true;
		if (columns[i].kind == COLUMN_WARNINGS)
			selection->everything = true;
		if (columns[i].kind != COLUMN_ELEMENT)
			continue;
		if (first->creator[0])
		{
			privates[selection->private_count] = first->tag;
			creators[selection->private_count++] = first->creator;
		}
		else
			tags[selection->tag_count++] = first->tag;
	}
}

void
selection_build(struct dicom_selection *selection, enum entity_kind entity, const struct column *columns,
				int count, uint64 header_limit)
{
	int key_count;
	const uint32_t *key = entity_key_tags(entity, &key_count);
	uint32_t *tags = palloc((count + key_count + 1) * sizeof(*tags));
	uint32_t *privates = palloc((count + 1) * sizeof(*privates));
	const char **creators = palloc((count + 1) * sizeof(*creators));

	memset(selection, 0, sizeof(*selection));
	selection->header_limit = header_limit;
	add_columns(selection, columns, count, tags, privates, creators);
	/* An elements table tells what stands behind the pixel data too, at the price of a request where there is something. */
	if (entity == ENTITY_ELEMENTS)
	{
		selection->everything = true;
		selection->whole_header = false;
	}
	if (key_count)
		memcpy(tags + selection->tag_count, key, key_count * sizeof(*tags));
	selection->tag_count = sort_distinct(tags, selection->tag_count + key_count);
	selection->tags = tags;
	selection->private_tags = privates;
	selection->private_creators = creators;
}
