/*
 * places.c
 *	  Which store a URL belongs to.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf() */
#endif

#include "places.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../store/file.h"

#define FILE_SCHEME "file://"
#define S3_SCHEME   "s3://"
#define MAX_TARGETS 2 /* of pictures, and of what is noted of them */

struct place
{
	char *location; /* with its last slash */
	struct store_options options;
};

struct places
{
	const struct options *options;
	json_t *listed;      /* --stores: owns the strings of its places; NULL: none */
	struct place **list; /* one by one, so that they stay where they are */
	int count;
	char *target_keys[MAX_TARGETS];
	int target_count;
};

static enum dicom_status
fail_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

/* Adds a place; the string is taken over. Its number, or -1. */
static int
add_place(struct places *places, char *location, const struct store_options *options)
{
	struct place *place = location ? calloc(1, sizeof(*place)) : NULL;
	struct place **list = place ? realloc(places->list, sizeof(*list) * ((size_t) places->count + 1)) : NULL;

	if (list == NULL)
	{
		free(place);
		free(location);
		return -1;
	}
	place->location = location;
	place->options = *options;
	place->options.location = location;
	places->list = list;
	list[places->count] = place;
	return places->count++;
}

/* --- the list of stores --- */

/* Reads all of a file, or of a descriptor that was handed down: fd:3. Such a descriptor is closed, so that no child has it. */
static json_t *
read_list(const char *name, json_error_t *error)
{
	char *end;
	long number;
	json_t *list;

	if (strncmp(name, "fd:", 3) != 0)
		return json_load_file(name, JSON_REJECT_DUPLICATES, error);
	number = strtol(name + 3, &end, 10);
	if (*end != '\0' || end == name + 3 || number < 0 || number > INT_MAX)
		return NULL;
	list = json_loadfd((int) number, JSON_REJECT_DUPLICATES, error);
	close((int) number);
	return list;
}

static bool
set_string(const char *name, json_t *value, struct store_options *options)
{
	const struct
	{
		const char *name;
		const char **place;
	} strings[] = {
		{"endpoint", &options->endpoint},
		{"region", &options->region},
		{"tls_ca", &options->tls_ca},
		{"profile", &options->profile},
		{"access_key_id", &options->access_key_id},
		{"secret_access_key", &options->secret_access_key},
		{"session_token", &options->session_token},
		{"allowed_endpoints", &options->allowed_endpoints},
	};
	size_t i;

	for (i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		if (strcmp(name, strings[i].name) == 0)
		{
			*strings[i].place = json_string_value(value);
			return json_is_string(value);
		}
	return false;
}

static bool
set_word(const char *name, json_t *value, struct store_options *options)
{
	static const char *const sources[] = {"auto",    "mapping",  "environment",
										  "profile", "instance", "anonymous"};
	static const char *const styles[] = {"auto", "path", "virtual"};
	const char *word = json_string_value(value);
	int i;

	if (word == NULL)
		return false;
	for (i = 0; strcmp(name, "credentials") == 0 && i < 6; i++)
		if (strcmp(word, sources[i]) == 0)
		{
			options->credentials = (enum store_credentials_source) i;
			return true;
		}
	for (i = 0; strcmp(name, "url_style") == 0 && i < 3; i++)
		if (strcmp(word, styles[i]) == 0)
		{
			options->url_style = (enum store_url_style) i;
			return true;
		}
	return false;
}

static bool
set_number(const char *name, json_t *value, struct store_options *options)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 0 || number > INT_MAX)
		return false;
	if (strcmp(name, "max_requests") == 0)
		options->max_requests = (int) number;
	else if (strcmp(name, "max_retries") == 0)
		options->max_retries = (int) number;
	else if (strcmp(name, "request_timeout_ms") == 0)
		options->request_timeout_ms = (int) number;
	else if (strcmp(name, "connect_timeout_ms") == 0)
		options->connect_timeout_ms = (int) number;
	else
		return false;
	return true;
}

static bool
set_store_option(const char *name, json_t *value, struct store_options *options)
{
	if (json_is_null(value) || strcmp(name, "location") == 0)
		return true;
	if (strcmp(name, "allow_ambient") == 0)
		options->allow_ambient = json_is_true(value);
	else if (strcmp(name, "restrict_endpoints") == 0)
		options->restrict_endpoints = json_is_true(value);
	else
		return set_string(name, value, options) || set_word(name, value, options) ||
			   set_number(name, value, options);
	return json_is_boolean(value);
}

static char *
with_last_slash(const char *text)
{
	size_t length = strlen(text);
	char *copy = NULL;

	return asprintf(&copy, "%s%s", text, length > 0 && text[length - 1] == '/' ? "" : "/") < 0 ? NULL : copy;
}

/* A mistake in the list is told by the name of a member, never by its value. */
static enum dicom_status
add_listed(struct places *places, json_t *entry, struct dicom_error *error)
{
	struct store_options options = {.max_retries = -1};
	const char *location = json_string_value(json_object_get(entry, "location"));
	const char *name;
	json_t *value;

	if (location == NULL)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a store without location");
	json_object_foreach(entry, name, value)
	{
		if (!set_store_option(name, value, &options))
			return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
							  "the stores have no such option, or not of this kind: %.40s", name);
	}
	return add_place(places, with_last_slash(location), &options) < 0 ? fail_memory(error) : DICOM_OK;
}

static enum dicom_status
read_listed(struct places *places, struct dicom_error *error)
{
	json_error_t problem;
	size_t i;

	places->listed = read_list(places->options->stores, &problem);
	if (!json_is_array(places->listed))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "cannot read the list of stores");
		return dicom_hint(error, "it is a JSON array of objects, in a file or in a descriptor given as fd:N");
	}
	for (i = 0; i < json_array_size(places->listed); i++)
		if (add_listed(places, json_array_get(places->listed, i), error) != DICOM_OK)
			return DICOM_FAILED;
	return DICOM_OK;
}

enum dicom_status
places_open(const struct options *options, struct places **result, struct dicom_error *error)
{
	struct places *places = calloc(1, sizeof(*places));

	if (places == NULL)
		return fail_memory(error);
	places->options = options;
	if (options->stores && read_listed(places, error) != DICOM_OK)
	{
		places_close(places);
		return DICOM_FAILED;
	}
	*result = places;
	return DICOM_OK;
}

void
places_close(struct places *places)
{
	int i;

	if (places == NULL)
		return;
	for (i = 0; i < places->count; i++)
	{
		free(places->list[i]->location);
		free(places->list[i]);
	}
	for (i = 0; i < places->target_count; i++)
		free(places->target_keys[i]);
	free(places->list);
	json_decref(places->listed);
	free(places);
}

const struct store_options *
places_options(const struct places *places, int place)
{
	return &places->list[place]->options;
}

/* --- URLs --- */

static bool
begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* The listed place with the longest location that a URL begins with; -1: none. */
static int
find_listed(const struct places *places, const char *url)
{
	int best = -1;
	int i;

	for (i = 0; i < places->count; i++)
		if (begins_with(url, places->list[i]->location) &&
			(best < 0 || strlen(places->list[i]->location) > strlen(places->list[best]->location)))
			best = i;
	return best;
}

/* The place whose location is just this; it is added if need be. The string is taken over. -1: out of memory. */
static int
find_or_add(struct places *places, char *location)
{
	int i;

	for (i = 0; location && i < places->count; i++)
		if (strcmp(places->list[i]->location, location) == 0)
		{
			free(location);
			return i;
		}
	return add_place(places, location, &places->options->store);
}

static enum dicom_status
find_place(struct places *places, const char *url, int *place, struct dicom_error *error)
{
	size_t bucket;

	if (places->options->stores)
	{
		*place = find_listed(places, url);
		if (*place < 0)
			return dicom_fail(error, DICOM_ERROR_ACCESS_DENIED, "no store is given for this location");
		return DICOM_OK;
	}
	if (begins_with(url, FILE_SCHEME))
		*place = find_or_add(places, strdup(FILE_SCHEME "/"));
	else
	{
		bucket = strlen(S3_SCHEME) + strcspn(url + strlen(S3_SCHEME), "/");
		*place = find_or_add(places, strndup(url, url[bucket] ? bucket + 1 : bucket));
	}
	return *place < 0 ? fail_memory(error) : DICOM_OK;
}

/* The absolute path without links where there is such a file; else as it is. */
static char *
absolute_path(const char *path, bool *is_directory)
{
	struct stat status;
	char *resolved = realpath(path, NULL);
	char *joined = NULL;
	char *here;

	*is_directory = resolved && stat(resolved, &status) == 0 && S_ISDIR(status.st_mode);
	if (resolved || *path == '/')
		return resolved ? resolved : strdup(path);
	here = getcwd(NULL, 0);
	if (here == NULL || asprintf(&joined, "%s/%s", here, path) < 0)
		joined = NULL;
	free(here);
	return joined;
}

/* A path as the URL of a file, in the letters of a key. Directories end in a slash. One that must be there is, or *error says not. */
static char *
path_to_url(const char *path, bool must_be, struct dicom_error *error)
{
	struct dicom_buffer url = {0};
	bool is_directory;
	size_t length = strlen(path);
	char *absolute = absolute_path(path, &is_directory);

	dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (absolute == NULL)
		return NULL;
	if (must_be && !is_directory && length > 0 && path[length - 1] == '/')
	{
		free(absolute);
		dicom_fail(error, DICOM_ERROR_NO_BUCKET, "directory does not exist");
		return NULL;
	}
	dicom_buffer_append_string(&url, FILE_SCHEME);
	file_append_name(&url, absolute, strlen(absolute));
	if ((is_directory || (length > 0 && path[length - 1] == '/')) && absolute[strlen(absolute) - 1] != '/')
		dicom_buffer_append_char(&url, '/');
	free(absolute);
	if (url.failed)
		dicom_buffer_free(&url);
	return url.data;
}

static char *
text_to_url(const struct places *places, const char *text, bool must_be, struct dicom_error *error)
{
	char *url;

	if (begins_with(text, FILE_SCHEME "/") && !places->options->stores)
		return path_to_url(text + strlen(FILE_SCHEME), must_be, error);
	if (strstr(text, "://") == NULL && *text != '\0')
		return path_to_url(text, must_be, error);
	/* Below a listed place links are followed by its store, which keeps within its directory. */
	if (begins_with(text, FILE_SCHEME "/"))
		url = strdup(text);
	else if (begins_with(text, S3_SCHEME) && strspn(text + strlen(S3_SCHEME), "/") == 0 &&
			 text[strlen(S3_SCHEME)])
		url = strchr(text + strlen(S3_SCHEME), '/') ? strdup(text) : with_last_slash(text);
	else
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "not a location");
		dicom_hint(error, "write s3://bucket/key, file:///path or a path");
		return NULL;
	}
	if (url == NULL)
		fail_memory(error);
	return url;
}

enum dicom_status
places_find(struct places *places, const char *text, struct place_name *name, struct dicom_error *error)
{
	size_t length;

	memset(name, 0, sizeof(*name));
	name->url = text_to_url(places, text, true, error);
	if (name->url == NULL || find_place(places, name->url, &name->place, error) != DICOM_OK)
	{
		place_name_free(name);
		return DICOM_FAILED;
	}
	length = strlen(name->url);
	name->is_prefix = name->url[length - 1] == '/';
	name->key = strdup(name->url + strlen(places->list[name->place]->location));
	if (name->key)
		return DICOM_OK;
	place_name_free(name);
	return fail_memory(error);
}

void
place_name_free(struct place_name *name)
{
	free(name->url);
	free(name->key);
	memset(name, 0, sizeof(*name));
}

/* --- targets --- */

static enum dicom_status
make_directories(char *path, struct dicom_error *error)
{
	char *slash;

	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/'))
	{
		*slash = '\0';
		if (mkdir(path, 0777) < 0 && errno != EEXIST)
			return dicom_fail(error, DICOM_ERROR_IO, "cannot make directory: %s", strerror(errno));
		*slash = '/';
	}
	return DICOM_OK;
}

/* A directory is a place of its own, so that no link leads out of it. */
static enum dicom_status
target_directory(struct places *places, char *url, struct place_target *target, struct dicom_error *error)
{
	int place;

	if (make_directories(url + strlen(FILE_SCHEME), error) != DICOM_OK)
	{
		free(url);
		return DICOM_FAILED;
	}
	place = find_or_add(places, url);
	if (place < 0)
		return fail_memory(error);
	target->options = places->list[place]->options;
	target->prefix = "";
	return DICOM_OK;
}

enum dicom_status
places_target(struct places *places, const char *text, struct place_target *target, struct dicom_error *error)
{
	char *below = with_last_slash(text);
	struct place_name name;
	char *url = NULL;

	if (places->target_count < MAX_TARGETS)
		url = below ? text_to_url(places, below, false, error) : NULL;
	if (url && begins_with(url, FILE_SCHEME) && !places->options->stores)
	{
		free(below);
		return target_directory(places, url, target, error);
	}
	if (url == NULL || places_find(places, below, &name, error) != DICOM_OK)
	{
		free(url);
		free(below);
		return DICOM_FAILED;
	}
	free(url);
	free(below);
	target->options = places->list[name.place]->options;
	places->target_keys[places->target_count++] = name.key;
	target->prefix = name.key;
	free(name.url);
	return DICOM_OK;
}
