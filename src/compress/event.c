/*
 * event.c
 *	  Events.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf() */
#endif

#include "event.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum dicom_status
fail(struct dicom_error *error, const char *member)
{
	return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
					  "the event has no such member, or not of this kind: %.40s", member);
}

/* The URL of a source or target; NULL where the event names none. */
static char *
location(const json_t *event, const char *side)
{
	char name[32];
	const char *bucket;
	const char *prefix;
	const char *url = json_string_value(json_object_get(event, side));
	char *made = NULL;

	if (url)
		return asprintf(&made, "%s%s", url, url[0] && url[strlen(url) - 1] == '/' ? "" : "/") < 0 ? NULL
																								  : made;
	snprintf(name, sizeof(name), "%s_bucket", side);
	bucket = json_string_value(json_object_get(event, name));
	snprintf(name, sizeof(name), "%s_prefix", side);
	prefix = json_string_value(json_object_get(event, name));
	if (bucket == NULL)
		return NULL;
	if (prefix == NULL)
		prefix = "";
	while (*prefix == '/')
		prefix++;
	return asprintf(&made, "s3://%s/%s%s", bucket, prefix,
					*prefix && prefix[strlen(prefix) - 1] != '/' ? "/" : "") < 0
			   ? NULL
			   : made;
}

static enum dicom_status
set_string(struct options *options, const char *name, json_t *value, bool *known, struct dicom_error *error)
{
	const struct
	{
		const char *name;
		const char **place;
	} strings[] = {
		{"key", &options->key},
		{"frames", &options->frames},
		{"state", &options->state},
		{"endpoint", &options->store.endpoint},
		{"region", &options->store.region},
	};
	const char *text = json_string_value(value);
	size_t i;

	*known = true;
	for (i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		if (strcmp(name, strings[i].name) == 0)
		{
			*strings[i].place = text;
			return text ? DICOM_OK : fail(error, name);
		}
	if (strcmp(name, "window") == 0)
		return text ? options_set_window(options, text, error) : fail(error, name);
	if (strcmp(name, "subsampling") == 0)
		return text ? options_set_subsampling(options, text, error) : fail(error, name);
	*known = false;
	return DICOM_OK;
}

static enum dicom_status
set_member(struct options *options, const char *name, json_t *value, struct dicom_error *error)
{
	static const char *const elsewhere[] = {
		"source", "target", "source_bucket", "source_prefix", "target_bucket", "target_prefix", "files"};
	json_int_t number = json_integer_value(value);
	bool known;
	size_t i;

	if (json_is_null(value))
		return DICOM_OK;
	for (i = 0; i < sizeof(elsewhere) / sizeof(*elsewhere); i++)
		if (strcmp(name, elsewhere[i]) == 0)
			return DICOM_OK;
	if (set_string(options, name, value, &known, error) != DICOM_OK)
		return DICOM_FAILED;
	if (known)
		return DICOM_OK;
	if (strcmp(name, "quality") == 0)
		return options_set_quality(options, number, error);
	if (strcmp(name, "max_size") == 0 && number > 0 && number <= UINT32_MAX)
		options->picture.max_size = (uint32_t) number;
	else if (strcmp(name, "jobs") == 0 && number > 0 && number <= 1024)
		options->jobs = (int) number;
	else if (strcmp(name, "overwrite") == 0 && json_is_boolean(value))
		options->overwrite = json_is_true(value);
	else
		return fail(error, name);
	return DICOM_OK;
}

static enum dicom_status
set_sources(struct options *options, const json_t *event, struct dicom_error *error)
{
	char *source = location(event, "source");
	json_t *files = json_object_get(event, "files");
	size_t count = json_array_size(files);
	const char **sources = calloc(count + 1, sizeof(*sources));
	size_t i;

	if (source == NULL || sources == NULL || (files && !json_is_null(files) && !json_is_array(files)))
	{
		free(source);
		free(sources);
		return fail(error, source == NULL ? "source" : "files");
	}
	options->sources = sources;
	if (!json_is_array(files))
	{
		sources[options->source_count++] = source;
		return DICOM_OK;
	}
	for (i = 0; i < count; i++)
	{
		const char *file = json_string_value(json_array_get(files, i));
		char *url = NULL;

		if (file == NULL || asprintf(&url, "%s%s", source, file) < 0)
		{
			free(source);
			return fail(error, "files");
		}
		sources[options->source_count++] = url;
	}
	free(source);
	return DICOM_OK;
}

enum dicom_status
event_read(struct options *options, struct dicom_error *error)
{
	json_error_t problem;
	json_t *event = json_loadf(stdin, JSON_REJECT_DUPLICATES, &problem);
	const char *name;
	json_t *value;

	if (!json_is_object(event))
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "the event is no JSON object");
	json_object_foreach(event, name, value)
	{
		if (set_member(options, name, value, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	options->output = location(event, "target");
	if (set_sources(options, event, error) != DICOM_OK)
		return DICOM_FAILED;
	return options_check(options, error);
}
