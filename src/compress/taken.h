/*
 * taken.h
 *	  The keys that pictures of this run have, so that no picture takes the place of another one's: 8 bytes of a digest for each.
 */
#ifndef COMPRESS_TAKEN_H
#define COMPRESS_TAKEN_H

#include "../dicom/error.h"

#include <stddef.h>

struct taken
{
	uint64_t *digests; /* 0: empty */
	size_t count;
	size_t capacity;
};

/* DICOM_OK where nobody had the key, which is taken from now on; EXISTS, MEMORY. */
extern enum dicom_status taken_add(struct taken *taken, const char *key, struct dicom_error *error);
extern void taken_free(struct taken *taken);

#endif
