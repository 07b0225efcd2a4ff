/*
 * compress_line.h
 *	  What dicompress says of its work: a line of JSON for each picture, and for each object or frame that gave none.
 */
#ifndef PIPELINE_COMPRESS_LINE_H
#define PIPELINE_COMPRESS_LINE_H

#include "postgres.h"

#include "../dicom/error.h"

/* UTF-8, palloc'd. */
struct compress_line
{
	char *source; /* as it was named */
	int frame;    /* from 1; 0: the object as a whole */
	bool failed;

	/* of a picture */
	char *key;
	int64 bytes;
	int width;
	int height;
	char *sha256;
	double milliseconds; /* -1: it was there already */

	/* of a failure */
	char *error;
	char *error_code; /* dicompress's word for it */
	char *hint;       /* NULL: none */
};

/* False for what makes no sense. */
extern bool compress_line_parse(const char *text, size_t length, struct compress_line *line);

/* The SQLSTATE of one of dicompress's words. */
extern int compress_line_sqlstate(const char *error_code);

#endif
