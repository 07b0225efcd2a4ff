/*
 * error.c
 *	  Filling in struct dicom_error.
 */
#include <stddef.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

enum dicom_status
dicom_fail(struct dicom_error *error, enum dicom_error_code code, const char *format, ...)
{
	char message[sizeof(((struct dicom_error *) NULL)->message)]; /* the arguments may point into *error */
	va_list arguments;

	if (!error)
		return DICOM_FAILED;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	memset(error, 0, sizeof(*error));
	error->code = code;
	error->offset = -1;
	memcpy(error->message, message, sizeof(message));
	return DICOM_FAILED;
}

enum dicom_status
dicom_hint(struct dicom_error *error, const char *format, ...)
{
	va_list arguments;

	if (!error)
		return DICOM_FAILED;
	va_start(arguments, format);
	vsnprintf(error->hint, sizeof(error->hint), format, arguments);
	va_end(arguments);
	return DICOM_FAILED;
}

bool
dicom_error_is_of_file(enum dicom_error_code code)
{
	switch (code)
	{
		case DICOM_ERROR_NOT_DICOM:
		case DICOM_ERROR_MALFORMED:
		case DICOM_ERROR_LIMIT:
		case DICOM_ERROR_DECODER:
		case DICOM_ERROR_ARCHIVED:
			return true;
		default:
			return false;
	}
}

bool
dicom_error_is_of_store(enum dicom_error_code code)
{
	switch (code)
	{
		case DICOM_ERROR_NO_BUCKET:
		case DICOM_ERROR_CREDENTIALS:
		case DICOM_ERROR_REGION:
		case DICOM_ERROR_ENDPOINT_REFUSED:
		case DICOM_ERROR_TLS:
		case DICOM_ERROR_INTERRUPTED:
		case DICOM_ERROR_MEMORY:
			return true;
		default:
			return false;
	}
}
