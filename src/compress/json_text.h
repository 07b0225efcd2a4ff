/*
 * json_text.h
 *	  Strings as JSON, appended to a buffer.
 */
#ifndef COMPRESS_JSON_TEXT_H
#define COMPRESS_JSON_TEXT_H

#include "../dicom/buffer.h"

/* Appends a string in quotes; bytes that are not UTF-8 become U+FFFD. */
extern void json_append_string(struct dicom_buffer *out, const char *text);

/* Appends "name": and a string, behind a comma unless an object has just been opened. */
extern void json_append_member(struct dicom_buffer *out, const char *name, const char *text);

#endif
