/*
 * template.h
 *	  How the keys of pictures are made.
 *
 *		{series_instance_uid}/{sop_instance_uid}/{frame:04}.jpg
 *
 * Text in braces names an attribute: a column, a keyword, a tag or a path, as dicom_path_parse() takes them; {frame} is the number of
 * the frame, counted from 1, with zeros in front up to a width; {name} is the last part of the source's own key, without a file
 * name's extension. After a colon, an attribute that holds a date takes a strftime(3) format of %Y %m %d %y %j and %%. Braces that
 * stand for themselves are doubled.
 *
 * Values come from files that anybody may have written: in a key they are at most 200 bytes of UTF-8 without slashes, backslashes
 * and control characters, and do not begin with a dot. One that is not there is 'unknown'.
 */
#ifndef COMPRESS_TEMPLATE_H
#define COMPRESS_TEMPLATE_H

#include "child.h"

#define TEMPLATE_MAX_KEY 1024 /* bytes, as in S3 */

struct template;

/* INVALID_OPTION, with a hint, for what is no template. */
extern enum dicom_status template_parse(const char *text, struct template **result,
										struct dicom_error *error);
extern void template_free(struct template *parsed);

/* The attributes whose values it takes, for struct child_job. */
extern const char *const *template_attributes(const struct template *parsed, int *count);

/* Fills in all but frames: what a header says, and the key of the source. NULL: out of memory. Freed with free(). */
extern char *template_fill(const struct template *parsed, const struct child_event *header,
						   const char *source_key, struct dicom_charset_cache *charsets);

/* Appends the key of a frame to what template_fill() made. LIMIT where it would be too long, or has an empty or dotted part. */
extern enum dicom_status template_key(const char *filled, uint32_t frame, struct dicom_buffer *key,
									  struct dicom_error *error);

#endif
