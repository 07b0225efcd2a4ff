/*
 * change.c
 *	  Copies, puts and deletes side by side: handed to a kind of store that can wait, and done at once by one that never does.
 */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

/* A change of a store that never waits. */
struct done_change
{
	struct store_change change;
	enum dicom_status status;
	struct dicom_error error;
	char etag[STORE_ETAG_SIZE];
};

static enum dicom_status
keep(struct store *store, struct store_change *change, struct store_change **result)
{
	change->store = store;
	store_link_handle(&store->changes, &change->link);
	*result = change;
	return DICOM_OK;
}

static struct done_change *
new_done(struct dicom_error *error)
{
	struct done_change *done = calloc(1, sizeof(*done));

	if (!done)
		dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return done;
}

bool
store_can_copy(const struct store *source, const struct store *target)
{
	return source->kind == target->kind &&
		   (!source->kind->can_copy || source->kind->can_copy(source, target));
}

enum dicom_status
store_copy_open(struct store *source, const char *source_key, const char *if_match, struct store *target,
				const char *target_key, const char *storage_class, struct store_change **change,
				struct dicom_error *error)
{
	struct done_change *done;

	if (!store_can_copy(source, target))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "cannot copy between these two stores");
		return store_name_object(error, target, target_key);
	}
	if (target->kind->copy_open)
		return target->kind->copy_open(source, source_key, if_match, target, target_key, storage_class,
									   change, error) == DICOM_OK
				   ? keep(target, *change, change)
				   : DICOM_FAILED;
	done = new_done(error);
	if (!done)
		return DICOM_FAILED;
	done->status =
		store_copy(source, source_key, if_match, target, target_key, storage_class, done->etag, &done->error);
	return keep(target, &done->change, change);
}

enum dicom_status
store_put_open(struct store *store, const struct store_put_request *request, const void *bytes, size_t length,
			   struct store_change **change, struct dicom_error *error)
{
	struct done_change *done;

	if (!request->key || !*request->key || request->if_match || request->if_none_match)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "such a put needs a key, and no condition");
	if (store->kind->put_open)
		return store->kind->put_open(store, request, bytes, length, change, error) == DICOM_OK
				   ? keep(store, *change, change)
				   : DICOM_FAILED;
	done = new_done(error);
	if (!done)
		return DICOM_FAILED;
	done->status = store_put(store, request, bytes, length, done->etag, &done->error);
	return keep(store, &done->change, change);
}

enum dicom_status
store_delete_open(struct store *store, const char *key, struct store_change **change,
				  struct dicom_error *error)
{
	struct done_change *done;

	if (store->kind->delete_open)
		return store->kind->delete_open(store, key, change, error) == DICOM_OK ? keep(store, *change, change)
																			   : DICOM_FAILED;
	done = new_done(error);
	if (!done)
		return DICOM_FAILED;
	done->status = store_delete(store, key, &done->error);
	return keep(store, &done->change, change);
}

enum dicom_status
store_change_result(struct store_change *change, char *etag, struct dicom_error *error)
{
	struct done_change *done = (struct done_change *) change;
	char own[STORE_ETAG_SIZE];
	char *room = etag ? etag : own;

	room[0] = '\0';
	if (change->store->kind->change_result)
		return change->store->kind->change_result(change, room, error);
	if (done->status == DICOM_OK)
		memcpy(room, done->etag, STORE_ETAG_SIZE);
	else if (error)
		*error = done->error;
	return done->status;
}

int64_t
store_change_last_modified(const struct store_change *change)
{
	return change->last_modified;
}

void
store_change_close(struct store_change *change)
{
	if (!change)
		return;
	store_unlink_handle(&change->link);
	if (change->store->kind->change_close)
		change->store->kind->change_close(change);
	else
		free(change);
}
