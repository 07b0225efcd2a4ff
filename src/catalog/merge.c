/*
 * merge.c
 *	  A listing and the catalog side by side, in key order.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "merge.h"

/* No longer key fits into an index. */
#define LONGEST_KEY 2048

/* More than any reader keeps in flight. */
#define GIVEN_ROOM 4100

struct merge
{
	struct store_list *list;
	struct store_object object; /* listed, not compared yet */
	bool has_object;
	bool list_ended;
	char last_key[LONGEST_KEY + 1];
	uint64 listed;
	uint64 refused;

	struct merge_row *rows;
	int row_count;
	int row;         /* the next to be compared */
	bool rows_ended; /* no page follows */

	struct merge_given given[GIVEN_ROOM]; /* a ring */
	int given_first;
	int given_count;
};

struct merge *
merge_create(struct store_list *list)
{
	struct merge *merge = palloc0(sizeof(*merge));

	merge->list = list;
	return merge;
}

bool
merge_wants_rows(const struct merge *merge)
{
	return merge->row == merge->row_count && !merge->rows_ended;
}

struct merge_row *
merge_get_rows(struct merge *merge, int *count)
{
	*count = merge->row_count;
	return merge->rows;
}

void
merge_set_rows(struct merge *merge, struct merge_row *rows, int count)
{
	merge->rows = rows;
	merge->row_count = count;
	merge->row = 0;
	merge->rows_ended = count < MERGE_PAGE;
}

uint64
merge_listed(const struct merge *merge)
{
	return merge->listed;
}

uint64
merge_refused(const struct merge *merge)
{
	return merge->refused;
}

/* --- the listing --- */

static bool
can_be_kept(const char *key)
{
	int length = strlen(key);

	return length <= LONGEST_KEY && pg_verify_mbstr(PG_UTF8, key, length, true);
}

/* Has an object at hand that the catalog can hold, or says why not. */
static enum dicom_status
next_listed(struct merge *merge, struct dicom_error *error)
{
	while (!merge->has_object)
	{
		enum dicom_status status;

		if (merge->list_ended)
			return DICOM_END;
		status = store_list_next(merge->list, &merge->object, error);
		if (status == DICOM_END)
			merge->list_ended = true;
		if (status != DICOM_OK)
			return status;
		merge->listed++;
		if (!can_be_kept(merge->object.key))
		{
			merge->refused++;
			continue;
		}
		if (merge->listed > 1 && strcmp(merge->object.key, merge->last_key) <= 0)
			return dicom_fail(error, DICOM_ERROR_PROTOCOL, "keys of the listing do not ascend");
		strcpy(merge->last_key, merge->object.key);
		merge->has_object = true;
	}
	return DICOM_OK;
}

/* --- what is given out --- */

static void
give(struct merge *merge, const struct merge_row *row)
{
	struct merge_given *given = &merge->given[(merge->given_first + merge->given_count++) % GIVEN_ROOM];
	const char *etag = merge->object.etag ? merge->object.etag : "";

	given->listed_before = row != NULL;
	given->known = row && row->etag[0];
	given->last_modified = merge->object.last_modified;
	strlcpy(given->etag, etag, sizeof(given->etag));
}

struct merge_given
merge_take_given(struct merge *merge)
{
	struct merge_given given = merge->given[merge->given_first];

	merge->given_first = (merge->given_first + 1) % GIVEN_ROOM;
	merge->given_count--;
	return given;
}

/* --- the comparison --- */

static bool
has_content_of(const struct store_object *object, const struct merge_row *row)
{
	const char *etag = object->etag ? object->etag : "";

	return strcmp(etag, row->etag) == 0 && object->size == (uint64) row->size &&
		   (etag[0] || object->last_modified == row->last_modified);
}

/* The same content may have been put again, or moved to another storage class. */
static void
note_renewal(const struct store_object *object, struct merge_row *row)
{
	const char *storage_class = object->storage_class ? object->storage_class : "STANDARD";

	row->renewed =
		object->last_modified != row->last_modified || strcmp(storage_class, row->storage_class) != 0;
	if (!row->renewed)
		return;
	row->new_last_modified = object->last_modified;
	strlcpy(row->new_storage_class, storage_class, sizeof(row->new_storage_class));
}

/* Whether the listed object is to be read, given the row of the same key. */
static bool
is_to_be_read(const struct store_object *object, struct merge_row *row)
{
	if (row->failed)
		return !row->too_early;
	if (!has_content_of(object, row))
		return true;
	note_renewal(object, row);
	return false;
}

/* The first row that is not before a key; rows that are have vanished. Key NULL: all have. False: none is at hand. */
static bool
pass_rows(struct merge *merge, const char *key)
{
	while (merge->row < merge->row_count && (!key || strcmp(merge->rows[merge->row].key, key) < 0))
		merge->rows[merge->row++].vanished = true;
	return merge->row < merge->row_count;
}

enum dicom_status
merge_next(void *arg, struct store_object *object, struct dicom_error *error)
{
	struct merge *merge = arg;

	for (;;)
	{
		enum dicom_status status = next_listed(merge, error);
		struct merge_row *row = NULL;

		if (status == DICOM_PENDING || status == DICOM_FAILED)
			return status;
		if (InterruptPending && (QueryCancelPending || ProcDiePending))
			return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted");
		if (pass_rows(merge, status == DICOM_END ? NULL : merge->object.key))
			row = &merge->rows[merge->row];
		else if (merge_wants_rows(merge))
			return DICOM_PENDING;
		if (status == DICOM_END)
			return DICOM_END;
		if (row && strcmp(row->key, merge->object.key) != 0)
			row = NULL;
		if (row)
			merge->row++;
		merge->has_object = false;
		if (row && !is_to_be_read(&merge->object, row))
			continue;
		give(merge, row);
		*object = merge->object;
		return DICOM_OK;
	}
}
