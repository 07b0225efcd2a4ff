/*
 * s3_restore.c
 *	  Asks for a copy, for some days, of an object in a storage class that cannot be read.
 */
#include <stdio.h>
#include <string.h>

#include "s3.h"

enum dicom_status
s3_restore(struct store *store, const char *key, int days, const char *tier, struct dicom_error *error)
{
	struct s3_store *s3 = (struct s3_store *) store;
	struct s3_request request = {0};
	struct dicom_error own;
	char body[256];
	enum dicom_status status = s3_request_prepare(&request, s3, HTTP_POST, key, &own);

	if (status == DICOM_OK)
	{
		request.body_length = (size_t) snprintf(
			body, sizeof(body),
			"<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Days>%d</Days>"
			"<GlacierJobParameters><Tier>%s</Tier></GlacierJobParameters></RestoreRequest>",
			days, tier);
		request.body = body;
		s3_query_add(&request.query, "restore", "");
		status = s3_request_run(&request, &own);
	}
	/* It has been asked for before, and is under way. */
	if (status == DICOM_FAILED && own.code == DICOM_ERROR_EXISTS)
		status = DICOM_OK;
	if (status == DICOM_FAILED && error)
		*error = own;
	s3_request_close(&request);
	return status;
}
