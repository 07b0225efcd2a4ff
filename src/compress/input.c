/*
 * input.c
 *	  Sources, one by one: arguments, then a file's lines, then those of standard input; each may be a prefix with many below it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf() */
#endif

#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINE     ((size_t) 64 * 1024)
#define STATE_PREFIX ".dicompress/"

/* A list of lines that is being read. */
struct lines
{
	int descriptor; /* -1: none */
	bool may_block;
	bool ended;
	bool skips; /* to the end of a line that is too long */
	char *bytes;
	size_t length;
	size_t position;
};

/* A prefix that is being listed. */
struct listing
{
	struct store_list *list; /* NULL: none */
	char *name;              /* as it was named, with its last slash */
	char *template;
	char *frames;
	int place;
	size_t prefix_length; /* of the key */
};

struct input
{
	const struct options *options;
	struct places *places;
	struct stores *stores;
	int next_argument;
	bool wants_stdin;
	bool waits_for_lines;
	struct lines file;
	struct lines stdin;
	struct listing listing;
};

void
source_free(struct source *source)
{
	free(source->name);
	free(source->url);
	free(source->key);
	free(source->etag);
	free(source->template);
	free(source->frames);
	memset(source, 0, sizeof(*source));
}

/* --- opening and closing --- */

static bool
names_stdin(const char *text)
{
	return strcmp(text, "-") == 0;
}

enum dicom_status
input_open(const struct options *options, struct places *places, struct stores *stores, struct input **result,
		   struct dicom_error *error)
{
	struct input *input = calloc(1, sizeof(*input));
	int i;

	if (input == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	input->options = options;
	input->places = places;
	input->stores = stores;
	input->file.descriptor = -1;
	input->stdin.descriptor = STDIN_FILENO;
	input->stdin.may_block = true;
	for (i = 0; i < options->source_count; i++)
		input->wants_stdin |= names_stdin(options->sources[i]);
	input->wants_stdin |= options->files_from && names_stdin(options->files_from);
	if (options->files_from && !names_stdin(options->files_from))
	{
		input->file.descriptor = open(options->files_from, O_RDONLY | O_CLOEXEC);
		if (input->file.descriptor < 0)
		{
			dicom_fail(error, DICOM_ERROR_IO, "cannot open the list of files: %s", strerror(errno));
			input_close(input);
			return DICOM_FAILED;
		}
	}
	*result = input;
	return DICOM_OK;
}

static void
close_listing(struct listing *listing)
{
	store_list_close(listing->list);
	free(listing->name);
	free(listing->template);
	free(listing->frames);
	memset(listing, 0, sizeof(*listing));
}

void
input_close(struct input *input)
{
	if (input == NULL)
		return;
	close_listing(&input->listing);
	if (input->file.descriptor >= 0)
		close(input->file.descriptor);
	free(input->file.bytes);
	free(input->stdin.bytes);
	free(input);
}

int
input_descriptor(const struct input *input)
{
	return input->waits_for_lines ? STDIN_FILENO : -1;
}

/* --- sources --- */

static char *
copy_string(const char *text)
{
	return text ? strdup(text) : NULL;
}

/* A source that cannot be had. */
static enum dicom_status
give_bad(const char *name, const struct dicom_error *error, struct source *source)
{
	struct dicom_error reason = *error;

	source_free(source);
	source->name = strdup(name);
	source->is_bad = true;
	source->error = reason;
	return DICOM_OK;
}

static enum dicom_status
begin_listing(struct input *input, const char *text, struct place_name *name, struct source *source)
{
	struct store_list_request request = {.prefix = name->key};
	struct listing *listing = &input->listing;
	struct dicom_error error;
	struct store *store;

	listing->template = source->template;
	listing->frames = source->frames;
	source->template = source->frames = NULL;
	listing->place = name->place;
	listing->prefix_length = strlen(name->key);
	if (asprintf(&listing->name, "%s%s", text, text[strlen(text) - 1] == '/' ? "" : "/") < 0)
		listing->name = NULL;
	if (stores_get(input->stores, name->place, &store, &error) == DICOM_OK &&
		store_list_open(store, &request, &listing->list, &error) == DICOM_OK)
		return DICOM_PENDING;
	listing->list = NULL;
	close_listing(listing);
	return give_bad(text, &error, source);
}

/* What a URL or path names: a source, or a prefix whose sources come next (DICOM_PENDING). */
static enum dicom_status
give_named(struct input *input, const char *text, struct source *source)
{
	struct place_name name;
	struct dicom_error error;
	enum dicom_status status = DICOM_OK;

	if (places_find(input->places, text, &name, &error) != DICOM_OK)
		return give_bad(text, &error, source);
	if (name.is_prefix)
		status = begin_listing(input, text, &name, source);
	else
	{
		source->name = strdup(text);
		source->place = name.place;
		source->url = name.url;
		source->key = name.key;
		name.url = name.key = NULL;
		if (source->name == NULL)
			status = DICOM_PENDING;
	}
	place_name_free(&name);
	return status;
}

/* --- listings --- */

static enum dicom_status
give_listed(struct input *input, const struct store_object *object, struct source *source)
{
	const struct listing *listing = &input->listing;
	const char *location = places_options(input->places, listing->place)->location;

	source->key = strdup(object->key);
	source->etag = copy_string(object->etag);
	source->size = object->size;
	source->place = listing->place;
	source->template = copy_string(listing->template);
	source->frames = copy_string(listing->frames);
	if (asprintf(&source->url, "%s%s", location, object->key) < 0)
		source->url = NULL;
	if (asprintf(&source->name, "%s%s", listing->name ? listing->name : location,
				 object->key + listing->prefix_length) < 0)
		source->name = NULL;
	if (source->key && source->url && source->name)
		return DICOM_OK;
	dicom_fail(&source->error, DICOM_ERROR_MEMORY, "out of memory");
	return give_bad(object->key, &source->error, source);
}

/* DICOM_END where the listing is over. */
static enum dicom_status
next_listed(struct input *input, struct source *source)
{
	struct listing *listing = &input->listing;
	struct store_object object;
	struct dicom_error error;
	enum dicom_status status;

	if (listing->list == NULL)
		return DICOM_END;
	do
		status = store_list_next(listing->list, &object, &error);
	while (status == DICOM_OK &&
		   strncmp(object.key + listing->prefix_length, STATE_PREFIX, strlen(STATE_PREFIX)) == 0);
	if (status == DICOM_OK)
		return give_listed(input, &object, source);
	if (status == DICOM_FAILED)
		give_bad(listing->name ? listing->name : "", &error, source);
	if (status != DICOM_PENDING)
		close_listing(listing);
	return status == DICOM_FAILED ? DICOM_OK : status;
}

/* --- lines --- */

/* Reads more. DICOM_PENDING where nothing is here yet; DICOM_END at the end, with what came before it. */
static enum dicom_status
read_more(struct lines *lines)
{
	struct pollfd readable = {.fd = lines->descriptor, .events = POLLIN};
	ssize_t got;

	if (lines->bytes == NULL)
		lines->bytes = malloc(MAX_LINE + 1);
	if (lines->bytes == NULL || lines->ended)
		return DICOM_END;
	memmove(lines->bytes, lines->bytes + lines->position, lines->length - lines->position);
	lines->length -= lines->position;
	lines->position = 0;
	if (lines->length == MAX_LINE)
	{
		lines->skips = true;
		lines->length = 0;
	}
	if (lines->may_block && poll(&readable, 1, 0) == 0)
		return DICOM_PENDING;
	got = read(lines->descriptor, lines->bytes + lines->length, MAX_LINE - lines->length);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return DICOM_PENDING;
	if (got <= 0)
	{
		lines->ended = true;
		return DICOM_END;
	}
	lines->length += (size_t) got;
	return DICOM_OK;
}

/* The next line, terminated, without its end; *too_long where it was cut. */
static enum dicom_status
next_line(struct lines *lines, char **line, bool *too_long)
{
	for (;;)
	{
		char *begin = lines->bytes + lines->position;
		char *end = lines->bytes ? memchr(begin, '\n', lines->length - lines->position) : NULL;
		enum dicom_status status;

		if (end == NULL && lines->ended && lines->position < lines->length)
			end = lines->bytes + lines->length;
		if (end)
		{
			lines->position = (size_t) (end - lines->bytes) + (end < lines->bytes + lines->length);
			if (end > begin && end[-1] == '\r')
				end--;
			*end = '\0';
			*line = begin;
			*too_long = lines->skips;
			lines->skips = false;
			return DICOM_OK;
		}
		if (lines->ended)
			return DICOM_END;
		status = read_more(lines);
		if (status == DICOM_PENDING)
			return status;
	}
}

/* A member that is a string, copied; false where it is something else. */
static bool
copy_member(const json_t *object, const char *name, char **copy)
{
	const json_t *value = json_object_get(object, name);

	*copy = copy_string(json_string_value(value));
	return value == NULL || json_is_null(value) || json_is_string(value);
}

/* {"source": URL, "key": TEMPLATE, "etag": ETAG, "frames": LIST} */
static enum dicom_status
give_object(struct input *input, const char *line, struct source *source)
{
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *url = json_string_value(json_object_get(object, "source"));
	struct dicom_error error;
	enum dicom_status status;

	dicom_fail(&error, DICOM_ERROR_INVALID_OPTION, "a line of input is no JSON object with a source");
	if (url == NULL)
		status = give_bad("", &error, source);
	else if (!copy_member(object, "key", &source->template) ||
			 !copy_member(object, "frames", &source->frames) || !copy_member(object, "etag", &source->etag))
	{
		dicom_fail(&error, DICOM_ERROR_INVALID_OPTION, "key, frames and etag are strings");
		status = give_bad(url, &error, source);
	}
	else
		status = give_named(input, url, source);
	json_decref(object);
	return status;
}

static enum dicom_status
give_line(struct input *input, struct lines *lines, struct source *source)
{
	struct dicom_error error;
	char *line;
	bool too_long;
	enum dicom_status status;

	do
		status = next_line(lines, &line, &too_long);
	while (status == DICOM_OK && *line == '\0' && !too_long);
	if (status != DICOM_OK)
		return status;
	if (too_long)
	{
		dicom_fail(&error, DICOM_ERROR_LIMIT, "a line of input is too long");
		return give_bad("", &error, source);
	}
	return *line == '{' ? give_object(input, line, source) : give_named(input, line, source);
}

/* --- all of them --- */

/* DICOM_PENDING where a listing has begun, or lines are waited for. */
static enum dicom_status
begin_next(struct input *input, struct source *source)
{
	enum dicom_status status = DICOM_END;

	while (input->next_argument < input->options->source_count)
	{
		const char *text = input->options->sources[input->next_argument++];

		if (!names_stdin(text))
			return give_named(input, text, source);
	}
	if (input->file.descriptor >= 0)
		status = give_line(input, &input->file, source);
	if (status == DICOM_END && input->wants_stdin)
	{
		status = give_line(input, &input->stdin, source);
		input->waits_for_lines = status == DICOM_PENDING && input->listing.list == NULL;
	}
	return status;
}

enum dicom_status
input_next(struct input *input, struct source *source)
{
	enum dicom_status status;

	for (;;)
	{
		memset(source, 0, sizeof(*source));
		source->size = STORE_SIZE_UNKNOWN;
		input->waits_for_lines = false;
		status = next_listed(input, source);
		if (status != DICOM_END)
			return status;
		status = begin_next(input, source);
		if (status != DICOM_PENDING || input->listing.list == NULL)
			return status;
	}
}
