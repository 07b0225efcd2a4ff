/*
 * json_text.c
 *	  Strings as JSON.
 */
#include "json_text.h"

#include <stdio.h>
#include <string.h>

#include "../dicom/utf8.h"

static void
append_escaped(struct dicom_buffer *out, unsigned char c)
{
	switch (c)
	{
		case '"':
			dicom_buffer_append(out, "\\\"", 2);
			break;
		case '\\':
			dicom_buffer_append(out, "\\\\", 2);
			break;
		case '\n':
			dicom_buffer_append(out, "\\n", 2);
			break;
		case '\t':
			dicom_buffer_append(out, "\\t", 2);
			break;
		default:
			dicom_buffer_printf(out, "\\u%04x", c);
	}
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

void
json_append_string(struct dicom_buffer *out, const char *text)
{
	const unsigned char *next = (const unsigned char *) text;
	const unsigned char *end = next + strlen(text);
	const unsigned char *plain = next; /* not appended yet */

	dicom_buffer_append_char(out, '"');
	while (next < end)
	{
		size_t length = is_plain(*next) ? 1 : utf8_length(next, (size_t) (end - next));

		if (length == 0 || (length == 1 && !is_plain(*next)))
		{
			dicom_buffer_append(out, plain, (size_t) (next - plain));
			if (length == 1)
				append_escaped(out, *next);
			else
				dicom_buffer_append(out, "\xEF\xBF\xBD", 3);
			plain = next + 1;
		}
		next += length > 0 ? length : 1;
	}
	dicom_buffer_append(out, plain, (size_t) (next - plain));
	dicom_buffer_append_char(out, '"');
}

void
json_append_member(struct dicom_buffer *out, const char *name, const char *text)
{
	char last = out->length > 0 ? out->data[out->length - 1] : '{';

	if (last != '{')
		dicom_buffer_append(out, ", ", 2);
	json_append_string(out, name);
	dicom_buffer_append(out, ": ", 2);
	json_append_string(out, text);
}
