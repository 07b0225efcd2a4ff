/*
 * buffer.c
 *	  A growing string of bytes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

#define SMALLEST_CAPACITY 64
#define LARGEST_LENGTH    ((size_t) 1 << 30)
#define USUAL_LENGTH      64 /* of what is formatted; more takes a second turn */

/* Makes room for `more` bytes and the NUL behind them. */
static bool
make_room(struct dicom_buffer *buffer, size_t more)
{
	size_t capacity = buffer->capacity ? buffer->capacity : SMALLEST_CAPACITY;
	char *data;

	if (buffer->failed || more > LARGEST_LENGTH - buffer->length)
	{
		buffer->failed = true;
		return false;
	}
	if (buffer->data && buffer->capacity - buffer->length > more)
		return true;
	while (capacity - buffer->length <= more)
		capacity *= 2;
	data = realloc(buffer->data, capacity);
	if (!data)
	{
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	data[buffer->length] = '\0';
	return true;
}

void
dicom_buffer_append(struct dicom_buffer *buffer, const void *bytes, size_t length)
{
	if (!make_room(buffer, length))
		return;
	if (length > 0)
		memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void
dicom_buffer_append_string(struct dicom_buffer *buffer, const char *string)
{
	dicom_buffer_append(buffer, string, strlen(string));
}

void
dicom_buffer_append_char(struct dicom_buffer *buffer, char c)
{
	dicom_buffer_append(buffer, &c, 1);
}

void
dicom_buffer_printf(struct dicom_buffer *buffer, const char *format, ...)
{
	va_list arguments;
	size_t room;
	int length;

	if (!make_room(buffer, USUAL_LENGTH))
		return;
	room = buffer->capacity - buffer->length;
	va_start(arguments, format);
	length = vsnprintf(buffer->data + buffer->length, room, format, arguments);
	va_end(arguments);
	if (length < 0)
	{
		buffer->data[buffer->length] = '\0';
		buffer->failed = true;
		return;
	}
	if ((size_t) length >= room)
	{
		buffer->data[buffer->length] = '\0';
		if (!make_room(buffer, (size_t) length))
			return;
		va_start(arguments, format);
		vsnprintf(buffer->data + buffer->length, (size_t) length + 1, format, arguments);
		va_end(arguments);
	}
	buffer->length += (size_t) length;
}

char *
dicom_buffer_reserve(struct dicom_buffer *buffer, size_t more)
{
	return make_room(buffer, more) ? buffer->data + buffer->length : NULL;
}

void
dicom_buffer_reset(struct dicom_buffer *buffer)
{
	buffer->length = 0;
	buffer->failed = false;
	if (buffer->data)
		buffer->data[0] = '\0';
}

void
dicom_buffer_free(struct dicom_buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}
