/*
 * input.h
 *	  What is to be made into pictures: sources that were named, listed, or are still being named on standard input.
 */
#ifndef COMPRESS_INPUT_H
#define COMPRESS_INPUT_H

#include "stores.h"

/* One object. Freed by source_free(). */
struct source
{
	char *name; /* as it was named, or the name of its prefix and what follows: what reports call it */
	char *url;  /* absolute: what it is known by */
	int place;
	char *key;      /* in the place */
	char *etag;     /* as listed or given; NULL: not known */
	uint64_t size;  /* STORE_SIZE_UNKNOWN where not listed */
	char *template; /* NULL: that of the options */
	char *frames;   /* NULL: those of the options */
	bool is_bad;    /* it cannot be had: `error` says why; only `name` is set besides */
	struct dicom_error error;
};

extern void source_free(struct source *source);

struct input;

extern enum dicom_status input_open(const struct options *options, struct places *places,
									struct stores *stores, struct input **input, struct dicom_error *error);
extern void input_close(struct input *input);

/* DICOM_OK and a source, which becomes the caller's; DICOM_PENDING; DICOM_END. */
extern enum dicom_status input_next(struct input *input, struct source *source);

/* The descriptor of standard input where that is what is waited for; -1 where a listing is. */
extern int input_descriptor(const struct input *input);

#endif
