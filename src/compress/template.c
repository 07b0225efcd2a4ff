/*
 * template.c
 *	  Keys of pictures, from a template and what a file says.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strchrnul(), timegm() */
#endif

#include "template.h"

#include "../dicom/path.h"
#include "../dicom/utf8.h"
#include "../dicom/value.h"
#include "json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_PARTS    64
#define MAX_VALUE    200 /* bytes of a value in a key */
#define MAX_WIDTH    9
#define FRAME_MARK   '\001' /* in a filled template: a frame's number goes here, its width in the next byte */
#define MISSING      "unknown"
#define STATE_PREFIX ".dicompress/"

enum part_kind
{
	PART_TEXT,
	PART_FRAME,
	PART_NAME,
	PART_VALUE
};

struct part
{
	enum part_kind kind;
	char *text; /* or the format of a date; NULL: none */
	int width;
	int attribute;
};

struct template
{
	struct part parts[MAX_PARTS];
	int part_count;
	char *attributes[MESSAGE_MAX_VALUES];
	int attribute_count;
};

/* --- parsing --- */

static enum dicom_status
fail(struct dicom_error *error, const char *reason)
{
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "%s", reason);
	return dicom_hint(
		error,
		"write for example {series_instance_uid}/{sop_instance_uid}/{frame}.jpg, or {study_date:%%Y/%%m/%%d}");
}

static struct part *
add_part(struct template *parsed, enum part_kind kind)
{
	struct part *part;

	if (parsed->part_count == MAX_PARTS)
		return NULL;
	part = &parsed->parts[parsed->part_count++];
	memset(part, 0, sizeof(*part));
	part->kind = kind;
	return part;
}

/* Reads text up to the next brace that stands for no text. */
static enum dicom_status
parse_text(struct template *parsed, const char **next, struct dicom_error *error)
{
	struct part *part = add_part(parsed, PART_TEXT);
	size_t length = 0;

	if (part == NULL)
		return fail(error, "the key has too many parts");
	part->text = malloc(strlen(*next) + 1);
	if (part->text == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	while (**next)
	{
		char c = **next;

		if (c == '}' && (*next)[1] != '}')
			return fail(error, "a closing brace in the key has no opening one");
		if (c == '{' && (*next)[1] != '{')
			break;
		*next += c == '{' || c == '}' ? 2 : 1;
		if ((unsigned char) c < 0x20 || c == 0x7F)
			return fail(error, "a control character in the key");
		part->text[length++] = c;
	}
	part->text[length] = '\0';
	return DICOM_OK;
}

static enum dicom_status
parse_width(struct part *part, const char *format, struct dicom_error *error)
{
	if (format == NULL)
		return DICOM_OK;
	if (*format == '0')
		format++;
	if (*format < '1' || *format > '0' + MAX_WIDTH || format[1] != '\0')
		return fail(error, "the width of {frame} is a number from 1 to 9");
	part->width = *format - '0';
	return DICOM_OK;
}

static bool
is_date_format(const char *format)
{
	for (; *format; format++)
		if (*format == '%' && (*++format == '\0' || !strchr("Ymdyj%", *format)))
			return false;
	return true;
}

/* The place of an attribute among those of the template; -1: there are too many, or no memory. */
static int
find_attribute(struct template *parsed, const char *name)
{
	int i;

	for (i = 0; i < parsed->attribute_count; i++)
		if (strcmp(parsed->attributes[i], name) == 0)
			return i;
	if (i == MESSAGE_MAX_VALUES)
		return -1;
	parsed->attributes[i] = strdup(name);
	if (parsed->attributes[i] == NULL)
		return -1;
	parsed->attribute_count++;
	return i;
}

static enum dicom_status
parse_attribute(struct template *parsed, struct part *part, const char *name, const char *format,
				struct dicom_error *error)
{
	struct dicom_path path;

	if (strlen(name) >= MESSAGE_MAX_PATH)
		return fail(error, "the name of an attribute in the key is too long");
	if (dicom_path_parse(name, strlen(name), &path, error) != DICOM_OK)
		return DICOM_FAILED;
	part->attribute = find_attribute(parsed, name);
	if (part->attribute < 0)
		return fail(error, "the key has too many attributes");
	if (format && !is_date_format(format))
		return fail(error, "the format of a date in the key is made of %Y %m %d %y %j and %%");
	part->text = format ? strdup(format) : NULL;
	return format && part->text == NULL ? dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory") : DICOM_OK;
}

/* Reads what stands in braces: a name, and what follows its colon. A name in quotes may hold anything. */
static enum dicom_status
parse_braces(struct template *parsed, const char **next, struct dicom_error *error)
{
	char name[MESSAGE_MAX_PATH + 64];
	const char *end = *next + 1;
	bool quoted = false;
	char *format;
	struct part *part;

	for (; *end && (quoted || *end != '}'); end++)
		quoted ^= *end == '"';
	if (*end == '\0' || end == *next + 1)
		return fail(error, "an opening brace in the key has no name and closing brace");
	if ((size_t) (end - *next) > sizeof(name))
		return fail(error, "the name of an attribute in the key is too long");
	memcpy(name, *next + 1, (size_t) (end - *next - 1));
	name[end - *next - 1] = '\0';
	*next = end + 1;
	format = strrchr(name, '"') ? strchr(strrchr(name, '"'), ':') : strchr(name, ':');
	if (format)
		*format++ = '\0';
	part = add_part(parsed, PART_VALUE);
	if (part == NULL)
		return fail(error, "the key has too many parts");
	if (strcmp(name, "frame") == 0)
	{
		part->kind = PART_FRAME;
		return parse_width(part, format, error);
	}
	if (strcmp(name, "name") == 0 && format == NULL)
	{
		part->kind = PART_NAME;
		return DICOM_OK;
	}
	return parse_attribute(parsed, part, name, format, error);
}

enum dicom_status
template_parse(const char *text, struct template **result, struct dicom_error *error)
{
	struct template *parsed = calloc(1, sizeof(*parsed));
	enum dicom_status status = DICOM_OK;
	const char *next = text;

	if (parsed == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (*text == '\0' || *text == '/' || strncmp(text, STATE_PREFIX, strlen(STATE_PREFIX)) == 0)
		status = fail(error, "the key is empty, or begins with what no key may begin with");
	while (status == DICOM_OK && *next)
		status = next[0] == '{' && next[1] != '{' ? parse_braces(parsed, &next, error)
												  : parse_text(parsed, &next, error);
	if (status == DICOM_OK)
		*result = parsed;
	else
		template_free(parsed);
	return status;
}

void
template_free(struct template *parsed)
{
	int i;

	if (parsed == NULL)
		return;
	for (i = 0; i < parsed->part_count; i++)
		free(parsed->parts[i].text);
	for (i = 0; i < parsed->attribute_count; i++)
		free(parsed->attributes[i]);
	free(parsed);
}

const char *const *
template_attributes(const struct template *parsed, int *count)
{
	*count = parsed->attribute_count;
	return (const char *const *) parsed->attributes;
}

/* --- filling in --- */

/* Appends a value so that it is one part of a key, and no other. */
static void
append_safe(struct dicom_buffer *out, const char *value, size_t length)
{
	const unsigned char *text = (const unsigned char *) value;
	size_t begin = out->length;
	size_t i = 0;

	while (i < length && !out->failed)
	{
		size_t size = utf8_length(text + i, length - i);

		if (out->length - begin + (size > 0 ? size : 1) > MAX_VALUE)
			break;
		if (size == 0 || text[i] < 0x20 || text[i] == 0x7F || text[i] == '/' || text[i] == '\\' ||
			(size == 2 && text[i] == 0xC2 && text[i + 1] < 0xA0) || (text[i] == '.' && out->length == begin))
			dicom_buffer_append_char(out, '_');
		else
			dicom_buffer_append(out, text + i, size);
		i += size > 0 ? size : 1;
	}
	if (out->length == begin)
		dicom_buffer_append_string(out, MISSING);
}

/* Appends a date in a format. The slashes of the format are part of the key. */
static void
append_date(struct dicom_buffer *out, const struct child_value *value, const char *format)
{
	struct dicom_date date;
	struct dicom_datetime moment;
	const char *text = (const char *) value->bytes;
	struct tm broken = {0};
	char formatted[256];

	if (value->kind != CHILD_VALUE_ASCII)
	{
		dicom_buffer_append_string(out, MISSING);
		return;
	}
	if (!dicom_parse_date(text, value->length, &date))
	{
		if (!dicom_parse_datetime(text, value->length, &moment) || moment.precision < 3)
		{
			dicom_buffer_append_string(out, MISSING);
			return;
		}
		date = moment.date;
	}
	broken.tm_year = date.year - 1900;
	broken.tm_mon = date.month - 1;
	broken.tm_mday = date.day;
	broken.tm_hour = 12;
	timegm(&broken); /* the day of the year */
	formatted[strftime(formatted, sizeof(formatted), format, &broken)] = '\0';
	dicom_buffer_append_string(out, formatted);
}

static void
append_value(struct dicom_buffer *out, const struct child_event *header, const struct child_value *value,
			 struct dicom_charset_cache *charsets)
{
	struct dicom_charset *charset = NULL;
	struct dicom_buffer text = {0};

	if (value->kind == CHILD_VALUE_ABSENT)
	{
		dicom_buffer_append_string(out, MISSING);
		return;
	}
	if (value->kind != CHILD_VALUE_ASCII)
		charset = dicom_charset_open(charsets, header->charset, header->charset_length);
	if (charset == NULL)
	{
		append_safe(out, (const char *) value->bytes, value->length);
		return;
	}
	dicom_charset_to_utf8(charset, (enum dicom_text_kind)(value->kind - CHILD_VALUE_MULTI), value->bytes,
						  value->length, &text);
	append_safe(out, text.failed || text.data == NULL ? "" : text.data, text.failed ? 0 : text.length);
	dicom_buffer_free(&text);
}

static void
append_name(struct dicom_buffer *out, const char *source_key)
{
	const char *slash = strrchr(source_key, '/');
	const char *name = slash ? slash + 1 : source_key;
	const char *dot = strrchr(name, '.');

	append_safe(out, name, dot && dot > name ? (size_t) (dot - name) : strlen(name));
}

char *
template_fill(const struct template *parsed, const struct child_event *header, const char *source_key,
			  struct dicom_charset_cache *charsets)
{
	struct dicom_buffer out = {0};
	int i;

	for (i = 0; i < parsed->part_count; i++)
	{
		const struct part *part = &parsed->parts[i];

		if (part->kind == PART_TEXT)
			dicom_buffer_append_string(&out, part->text);
		else if (part->kind == PART_NAME)
			append_name(&out, source_key);
		else if (part->kind == PART_FRAME)
		{
			dicom_buffer_append_char(&out, FRAME_MARK);
			dicom_buffer_append_char(&out, (char) ('0' + part->width));
		}
		else if (part->text)
			append_date(&out, &header->values[part->attribute], part->text);
		else
			append_value(&out, header, &header->values[part->attribute], charsets);
	}
	if (out.failed)
		dicom_buffer_free(&out);
	return out.data;
}

static enum dicom_status
check_key(const char *key, struct dicom_error *error)
{
	const char *part = key;

	if (strlen(key) > TEMPLATE_MAX_KEY)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "the key would have more than %d bytes",
						  TEMPLATE_MAX_KEY);
	for (;;)
	{
		size_t length = strcspn(part, "/");

		if (length == 0 || (part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.'))))
			return dicom_fail(error, DICOM_ERROR_LIMIT, "the key would have an empty or dotted part");
		if (part[length] == '\0')
			break;
		part += length + 1;
	}
	if (strncmp(key, STATE_PREFIX, strlen(STATE_PREFIX)) == 0)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "the key would lie among those of the program itself");
	return DICOM_OK;
}

enum dicom_status
template_key(const char *filled, uint32_t frame, struct dicom_buffer *key, struct dicom_error *error)
{
	size_t begin = key->length;

	for (;;)
	{
		const char *mark = strchrnul(filled, FRAME_MARK);

		dicom_buffer_append(key, filled, (size_t) (mark - filled));
		if (*mark == '\0')
			break;
		dicom_buffer_printf(key, "%0*u", mark[1] - '0', frame);
		filled = mark + 2;
	}
	if (key->failed || key->data == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return check_key(key->data + begin, error);
}
