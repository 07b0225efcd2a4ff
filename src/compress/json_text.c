/*
 * json_text.c
 *	  Strings as JSON.
 */
#include "json_text.h"

#include <stdio.h>
#include <string.h>

size_t
utf8_length(const unsigned char *text, size_t left)
{
	unsigned char c = text[0];
	size_t length = c < 0x80                ? 1
					: c >= 0xC2 && c < 0xE0 ? 2
					: c >= 0xE0 && c < 0xF0 ? 3
					: c >= 0xF0 && c < 0xF5 ? 4
											: 0;
	size_t i;

	if (length == 0 || length > left)
		return 0;
	for (i = 1; i < length; i++)
		if ((text[i] & 0xC0) != 0x80)
			return 0;
	if ((c == 0xE0 && text[1] < 0xA0) || (c == 0xED && text[1] >= 0xA0) || (c == 0xF0 && text[1] < 0x90) ||
		(c == 0xF4 && text[1] >= 0x90))
		return 0;
	return length;
}

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

void
json_append_string(struct dicom_buffer *out, const char *text)
{
	const unsigned char *next = (const unsigned char *) text;
	const unsigned char *end = next + strlen(text);
	const unsigned char *plain = next; /* not appended yet */

	dicom_buffer_append_char(out, '"');
	while (next < end)
	{
		size_t length = utf8_length(next, (size_t) (end - next));
		bool is_plain = length > 1 || (length == 1 && *next >= 0x20 && *next != '"' && *next != '\\');

		if (!is_plain)
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
