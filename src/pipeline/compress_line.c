/*
 * compress_line.c
 *	  Lines of dicompress.
 */
#include "postgres.h"

#include <jansson.h>
#include <math.h>

#include "../pg/compat.h"
#include "utils/memutils.h"

#include "../pg/report.h"
#include "compress_line.h"

int
compress_line_sqlstate(const char *error_code)
{
	static const struct
	{
		const char *word;
		enum dicom_error_code code;
	} words[] = {
		{"access_denied", DICOM_ERROR_ACCESS_DENIED},
		{"archived", DICOM_ERROR_ARCHIVED},
		{"changed", DICOM_ERROR_CHANGED},
		{"credentials", DICOM_ERROR_CREDENTIALS},
		{"decoder", DICOM_ERROR_DECODER},
		{"duplicate", DICOM_ERROR_EXISTS},
		{"endpoint_refused", DICOM_ERROR_ENDPOINT_REFUSED},
		{"invalid_option", DICOM_ERROR_INVALID_OPTION},
		{"io", DICOM_ERROR_IO},
		{"limit", DICOM_ERROR_LIMIT},
		{"malformed", DICOM_ERROR_MALFORMED},
		{"memory", DICOM_ERROR_MEMORY},
		{"network", DICOM_ERROR_NETWORK},
		{"no_bucket", DICOM_ERROR_NO_BUCKET},
		{"no_space", DICOM_ERROR_FULL},
		{"not_dicom", DICOM_ERROR_NOT_DICOM},
		{"not_found", DICOM_ERROR_NOT_FOUND},
		{"protocol", DICOM_ERROR_PROTOCOL},
		{"region", DICOM_ERROR_REGION},
		{"server", DICOM_ERROR_SERVER},
		{"throttled", DICOM_ERROR_THROTTLED},
		{"timeout", DICOM_ERROR_TIMEOUT},
		{"tls", DICOM_ERROR_TLS},
	};
	struct dicom_error error = {DICOM_ERROR_NONE};
	int i;

	if (strcmp(error_code, "no_pixel_data") == 0)
		return ERRCODE_NO_DATA;
	for (i = 0; i < (int) lengthof(words); i++)
		if (strcmp(words[i].word, error_code) == 0)
		{
			error.code = words[i].code;
			return report_sqlstate(&error);
		}
	return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
}

/* A copy; NULL where it is no string, or memory is short: an error would leave the JSON behind. */
static char *
copy_string(json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	size_t size = value ? strlen(value) + 1 : 0;
	char *copy = value ? MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_NO_OOM) : NULL;

	return copy ? memcpy(copy, value, size) : NULL;
}

static bool
get_integer(json_t *object, const char *name, int64 least, int64 most, int64 *value)
{
	json_t *number = json_object_get(object, name);

	*value = json_integer_value(number);
	return json_is_integer(number) && *value >= least && *value <= most;
}

static bool
is_digest(const char *text)
{
	return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static bool
read_picture(json_t *object, struct compress_line *line)
{
	json_t *milliseconds = json_object_get(object, "milliseconds");
	int64 width;
	int64 height;

	line->key = copy_string(object, "key");
	line->sha256 = copy_string(object, "sha256");
	line->milliseconds = json_is_number(milliseconds) ? json_number_value(milliseconds) : -1;
	if (!line->key || !is_digest(line->sha256) || !isfinite(line->milliseconds) ||
		!get_integer(object, "bytes", 0, PG_INT64_MAX, &line->bytes) ||
		!get_integer(object, "width", 1, PG_INT32_MAX, &width) ||
		!get_integer(object, "height", 1, PG_INT32_MAX, &height))
		return false;
	line->width = (int) width;
	line->height = (int) height;
	return line->frame > 0;
}

static bool
read_failure(json_t *object, struct compress_line *line)
{
	line->failed = true;
	line->error = copy_string(object, "error");
	line->hint = copy_string(object, "hint");
	line->error_code = copy_string(object, "error_code");
	return line->error && line->error_code;
}

static bool
read_line(json_t *object, struct compress_line *line)
{
	int64 frame = 0;

	line->source = copy_string(object, "source");
	if (!line->source ||
		(json_object_get(object, "frame") && !get_integer(object, "frame", 1, PG_INT32_MAX, &frame)))
		return false;
	line->frame = (int) frame;
	return json_object_get(object, "error") ? read_failure(object, line) : read_picture(object, line);
}

bool
compress_line_parse(const char *text, size_t length, struct compress_line *line)
{
	json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	bool valid;

	memset(line, 0, sizeof(*line));
	valid = json_is_object(object) && read_line(object, line);
	json_decref(object);
	return valid;
}
