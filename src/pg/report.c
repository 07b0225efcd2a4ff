/*
 * report.c
 *	  The lower half's errors as PostgreSQL's, and its UTF-8 as the database's encoding.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "report.h"

int
report_sqlstate(const struct dicom_error *error)
{
	switch (error->code)
	{
		case DICOM_ERROR_NOT_DICOM:
		case DICOM_ERROR_MALFORMED:
			return ERRCODE_INVALID_BINARY_REPRESENTATION;
		case DICOM_ERROR_LIMIT:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case DICOM_ERROR_DECODER:
			return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
		case DICOM_ERROR_NOT_FOUND:
		case DICOM_ERROR_NO_BUCKET:
			return ERRCODE_UNDEFINED_FILE;
		case DICOM_ERROR_ARCHIVED:
			return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		case DICOM_ERROR_CHANGED:
			return ERRCODE_T_R_SERIALIZATION_FAILURE;
		case DICOM_ERROR_EXISTS:
			return ERRCODE_DUPLICATE_FILE;
		case DICOM_ERROR_INVALID_OPTION:
		case DICOM_ERROR_REGION:
			return ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE;
		case DICOM_ERROR_CREDENTIALS:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case DICOM_ERROR_ACCESS_DENIED:
		case DICOM_ERROR_ENDPOINT_REFUSED:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case DICOM_ERROR_TLS:
		case DICOM_ERROR_NETWORK:
		case DICOM_ERROR_TIMEOUT:
			return ERRCODE_CONNECTION_FAILURE;
		case DICOM_ERROR_THROTTLED:
			return ERRCODE_INSUFFICIENT_RESOURCES;
		case DICOM_ERROR_PROTOCOL:
			return ERRCODE_PROTOCOL_VIOLATION;
		case DICOM_ERROR_FULL:
			return ERRCODE_DISK_FULL;
		case DICOM_ERROR_SERVER:
		case DICOM_ERROR_IO:
			return ERRCODE_IO_ERROR;
		case DICOM_ERROR_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case DICOM_ERROR_NONE:
		case DICOM_ERROR_INTERRUPTED:
			break;
	}
	return ERRCODE_FDW_ERROR;
}

/* "offset 132, tag (0010,0010), 3 attempts", or empty. */
static char *
place_of(const struct dicom_error *error)
{
	char *place = "";

	if (error->offset >= 0)
		place = psprintf("offset " INT64_FORMAT, (int64) error->offset);
	if (error->tag)
		place =
			psprintf("%s%stag (%04X,%04X)", place, *place ? ", " : "", error->tag >> 16, error->tag & 0xFFFF);
	if (error->attempts > 1)
		place = psprintf("%s%s%d attempts", place, *place ? ", " : "", error->attempts);
	return place;
}

static char *
to_server(const char *text)
{
	int length = strlen(text);

	return text_to_server(text, &length, NULL);
}

/* The lower half's hints are phrases; PostgreSQL's are sentences. */
static char *
sentence(const char *phrase)
{
	char *text = pstrdup(to_server(phrase));
	int length = strlen(text);

	text[0] = pg_toupper((unsigned char) text[0]);
	return length > 0 && strchr(".?!", text[length - 1]) ? text : psprintf("%s.", text);
}

void
report_error(const struct dicom_error *error)
{
	char *place = place_of(error);

	if (error->code == DICOM_ERROR_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	ereport(ERROR, (errcode(report_sqlstate(error)), errmsg("%s", to_server(error->message)),
					error->object[0]
						? (errdetail("Object: %s%s%s", to_server(error->object), *place ? ", " : "", place),
						   errdetail_not_logged())
					: *place ? errdetail("At %s.", place)
							 : 0,
					error->hint[0] ? errhint("%s", sentence(error->hint)) : 0));
}

char *
report_line(const struct dicom_error *error)
{
	char *place = place_of(error);

	return *place ? psprintf("%s (%s)", to_server(error->message), place)
				  : pstrdup(to_server(error->message));
}

/* Converts character by character past those that the database's encoding lacks. */
static char *
convert_lossy(const char *text, int *length, uint64 *replaced)
{
	int encoding = GetDatabaseEncoding();
	Oid proc = FindDefaultConversionProc(PG_UTF8, encoding);
	size_t room = (size_t) *length * MAX_CONVERSION_GROWTH + 1;
	unsigned char *out = palloc(room);
	size_t used = 0;
	int done = 0;

	while (done < *length)
	{
		int converted =
			OidIsValid(proc)
				? pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding, (unsigned char *) text + done,
												*length - done, out + used, room - used, true)
				: 0;

		used += strlen((char *) out + used);
		done += converted;
		if (done < *length)
		{
			done = Min(*length, done + pg_utf_mblen((const unsigned char *) text + done));
			out[used++] = '?';
			out[used] = '\0';
			if (replaced)
				(*replaced)++;
		}
	}
	out[used] = '\0';
	*length = used;
	return (char *) out;
}

char *
text_to_server(const char *text, int *length, uint64 *replaced)
{
	int encoding = GetDatabaseEncoding();
	int i = 0;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return (char *) text;
	while (i < *length && !IS_HIGHBIT_SET(text[i]))
		i++;
	return i == *length ? (char *) text : convert_lossy(text, length, replaced);
}

char *
text_to_utf8(const char *text)
{
	return (char *) pg_server_to_any(text, strlen(text), PG_UTF8);
}
