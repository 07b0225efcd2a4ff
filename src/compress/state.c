/*
 * state.c
 *	  Notes of what is done.
 */
#include "state.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"

void
state_append_name(struct dicom_buffer *out, const char digest[SHA256_TEXT])
{
	dicom_buffer_printf(out, "%.2s/%s.json", digest, digest);
}

bool
state_add(struct state_note *note, const struct picture_note *picture)
{
	if (note->count == note->capacity)
	{
		uint32_t capacity = note->capacity ? note->capacity * 2 : 1;
		struct picture_note *more = realloc(note->pictures, sizeof(*more) * capacity);

		if (more == NULL)
		{
			free(picture->key);
			return false;
		}
		note->pictures = more;
		note->capacity = capacity;
	}
	note->pictures[note->count++] = *picture;
	return true;
}

void
state_free(struct state_note *note)
{
	uint32_t i;

	for (i = 0; i < note->count; i++)
		free(note->pictures[i].key);
	free(note->pictures);
	free(note->etag);
	memset(note, 0, sizeof(*note));
}

void
state_write(const struct state_note *note, struct dicom_buffer *out)
{
	uint32_t i;

	dicom_buffer_append(out, "\n{", 2);
	json_append_member(out, "source", note->source);
	json_append_member(out, "etag", note->etag);
	json_append_member(out, "fingerprint", note->fingerprint);
	dicom_buffer_append_string(out, ", \"pictures\": [");
	for (i = 0; i < note->count; i++)
	{
		const struct picture_note *picture = &note->pictures[i];

		dicom_buffer_printf(out, "%s{\"frame\": %u, \"width\": %u, \"height\": %u, \"bytes\": %llu",
							i > 0 ? ", " : "", picture->frame, picture->columns, picture->rows,
							(unsigned long long) picture->bytes);
		json_append_member(out, "sha256", picture->sha256);
		json_append_member(out, "key", picture->key);
		dicom_buffer_append_char(out, '}');
	}
	dicom_buffer_append_string(out, "]}\n");
}

/* Copies a digest; false for what cannot be one. */
static bool
read_digest(const json_t *value, char digest[SHA256_TEXT])
{
	const char *text = json_string_value(value);

	if (text == NULL || strlen(text) != SHA256_TEXT - 1)
		return false;
	memcpy(digest, text, SHA256_TEXT);
	return true;
}

static bool
read_picture(const json_t *object, struct state_note *note)
{
	struct picture_note picture = {0};
	const char *key = json_string_value(json_object_get(object, "key"));
	json_int_t frame = json_integer_value(json_object_get(object, "frame"));
	json_int_t columns = json_integer_value(json_object_get(object, "width"));
	json_int_t rows = json_integer_value(json_object_get(object, "height"));
	json_int_t bytes = json_integer_value(json_object_get(object, "bytes"));

	if (key == NULL || frame < 1 || frame > UINT32_MAX || columns < 1 || columns > UINT32_MAX || rows < 1 ||
		rows > UINT32_MAX || bytes < 1 || !read_digest(json_object_get(object, "sha256"), picture.sha256))
		return false;
	picture.frame = (uint32_t) frame;
	picture.columns = (uint32_t) columns;
	picture.rows = (uint32_t) rows;
	picture.bytes = (uint64_t) bytes;
	picture.key = strdup(key);
	return picture.key && state_add(note, &picture);
}

bool
state_read(const char *bytes, size_t length, struct state_note *note)
{
	json_t *object = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
	const char *etag = json_string_value(json_object_get(object, "etag"));
	json_t *pictures = json_object_get(object, "pictures");
	bool good;
	size_t i;

	memset(note, 0, sizeof(*note));
	note->etag = etag ? strdup(etag) : NULL;
	good = note->etag && json_is_array(pictures) && json_array_size(pictures) > 0 &&
		   read_digest(json_object_get(object, "source"), note->source) &&
		   read_digest(json_object_get(object, "fingerprint"), note->fingerprint);
	for (i = 0; good && i < json_array_size(pictures); i++)
		good = read_picture(json_array_get(pictures, i), note);
	json_decref(object);
	if (!good)
		state_free(note);
	return good;
}
