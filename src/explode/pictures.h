/*
 * pictures.h
 *	  Pictures of objects, made by a dicompress child that this session talks to; no decoder runs in the backend.
 *
 * A child serves one call of a function in a query, row after row, and dies with the memory context that it was opened in. One that
 * crashes or hangs costs an error or a row without a picture, and is replaced.
 */
#ifndef EXPLODE_PICTURES_H
#define EXPLODE_PICTURES_H

#include "postgres.h"

#include "../compress/child.h"
#include "../store/store.h"

struct pictures;

/* In the current memory context; the child is started when it is first needed. */
extern struct pictures *pictures_open(void);

/* The object: bytes at hand, or a key of a store. */
struct picture_object
{
	const uint8_t *bytes; /* NULL: the key of the store */
	size_t length;
	struct store *store;
	const char *key;
};

/* What is to be made of it. */
struct picture_request
{
	enum child_format format;
	struct picture_options options;
	uint32_t frame; /* counted from 1; 0: all */
};

/* Called for each picture, or each frame that there is none of (event->kind says which), in the order of frames. */
typedef void (*picture_receiver)(void *arg, struct child_event *event);

/*
 * Makes the pictures. DICOM_FAILED where the object gives none: its error, its object named; an interrupt, or a store that cannot be used,
 * is an error of the same kind: report_error() throws.
 */
extern enum dicom_status pictures_make(struct pictures *pictures, const struct picture_object *object,
									   const struct picture_request *request, picture_receiver receiver,
									   void *arg, struct dicom_error *error);

#endif
