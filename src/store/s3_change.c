/*
 * s3_change.c
 *	  Copies, puts and deletes that are started and looked after later: one request each.
 */
#include <stdlib.h>
#include <string.h>

#include "s3.h"

struct s3_change
{
	struct store_change change;
	struct s3_request request;
	struct s3_description made; /* etag, and of a copy when */
	bool is_delete;
};

static struct s3_change *
new_change(struct dicom_error *error)
{
	struct s3_change *change = calloc(1, sizeof(*change));

	if (!change)
		dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return change;
}

/* Starts a request that was prepared with this status. */
static enum dicom_status
start(struct s3_change *change, enum dicom_status prepared, struct store_change **result,
	  struct dicom_error *error)
{
	if (prepared == DICOM_OK)
		prepared = s3_request_submit(&change->request, error);
	if (prepared == DICOM_OK)
		*result = &change->change;
	else
		s3_change_close(&change->change);
	return prepared;
}

enum dicom_status
s3_copy_open(struct store *source, const char *source_key, const char *if_match, struct store *target,
			 const char *target_key, const char *storage_class, struct store_change **result,
			 struct dicom_error *error)
{
	struct s3_change *change = new_change(error);

	if (!change)
		return DICOM_FAILED;
	return start(change,
				 s3_copy_prepare(&change->request, (struct s3_store *) source, source_key, if_match,
								 (struct s3_store *) target, target_key, storage_class, &change->made, error),
				 result, error);
}

enum dicom_status
s3_put_open(struct store *store, const struct store_put_request *put, const void *bytes, size_t length,
			struct store_change **result, struct dicom_error *error)
{
	struct s3_change *change = new_change(error);

	if (!change)
		return DICOM_FAILED;
	return start(change,
				 s3_put_prepare(&change->request, (struct s3_store *) store, put, bytes, length,
								change->made.etag, error),
				 result, error);
}

enum dicom_status
s3_delete_open(struct store *store, const char *key, struct store_change **result, struct dicom_error *error)
{
	struct s3_change *change = new_change(error);

	if (!change)
		return DICOM_FAILED;
	change->is_delete = true;
	return start(change,
				 s3_request_prepare(&change->request, (struct s3_store *) store, HTTP_DELETE, key, error),
				 result, error);
}

enum dicom_status
s3_change_result(struct store_change *handle, char *etag, struct dicom_error *error)
{
	struct s3_change *change = (struct s3_change *) handle;
	struct dicom_error own;
	enum dicom_status status = s3_request_result(&change->request, &own);

	if (status == DICOM_FAILED && change->is_delete && own.code == DICOM_ERROR_NOT_FOUND)
		status = DICOM_OK;
	if (status == DICOM_FAILED && error)
		*error = own;
	if (status == DICOM_OK)
	{
		memcpy(etag, change->made.etag, STORE_ETAG_SIZE);
		handle->last_modified = change->made.last_modified;
	}
	return status;
}

void
s3_change_close(struct store_change *handle)
{
	struct s3_change *change = (struct s3_change *) handle;

	s3_request_close(&change->request);
	free(change);
}
