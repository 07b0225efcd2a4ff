/*
 * buffer.h
 *	  A growing string of bytes, the lower half's only container.
 *
 * Zero-initialise it, append, free it. Running out of memory (or passing 1 GiB, the most that a datum can hold)
 * sets `failed` and makes every later append a no-op, so that a writer checks once, at the end. The bytes are
 * followed by a NUL that `length` does not count; `data` is NULL until the first append.
 */
#ifndef DICOM_BUFFER_H
#define DICOM_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct dicom_buffer
{
	char *data;
	size_t length;
	size_t capacity;
	bool failed;
};

extern void dicom_buffer_append(struct dicom_buffer *buffer, const void *bytes, size_t length);
extern void dicom_buffer_append_string(struct dicom_buffer *buffer, const char *string);
extern void dicom_buffer_append_char(struct dicom_buffer *buffer, char c);
extern void dicom_buffer_printf(struct dicom_buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Makes room for `more` bytes behind the end and returns where they go, or NULL; the caller adds to length. */
extern char *dicom_buffer_reserve(struct dicom_buffer *buffer, size_t more);

/* Empties the buffer and keeps its memory. */
extern void dicom_buffer_reset(struct dicom_buffer *buffer);
extern void dicom_buffer_free(struct dicom_buffer *buffer);

#endif
