/*
 * object.h
 *	  The bytes of one source, on their way to a child.
 *
 * A file is handed over as a descriptor. So is a small object of a remote store, which is fetched whole into memory that has a
 * descriptor. Of a larger one the child asks for ranges; these are fetched in pieces, a few ahead of where it reads. At most
 * OBJECT_MEMORY bytes of an object are held at a time.
 */
#ifndef COMPRESS_OBJECT_H
#define COMPRESS_OBJECT_H

#include "../store/store.h"
#include "child.h"

#define OBJECT_WHOLE  ((uint64_t) 8 << 20) /* fetched whole up to this size */
#define OBJECT_MEMORY ((uint64_t) 16 << 20)

struct object;

/* Begins with an object whose size may be known. The key must live as long. */
extern enum dicom_status object_open(struct store *store, const char *key, uint64_t size,
									 struct object **object, struct dicom_error *error);
extern void object_close(struct object *object);

/* DICOM_OK once size and etag are known and the child can be given something; DICOM_PENDING; DICOM_FAILED. */
extern enum dicom_status object_begin(struct object *object, struct dicom_error *error);

extern uint64_t object_size(const struct object *object);
extern const char *object_etag(const struct object *object);

/* The descriptor to hand over, which is the caller's from now on; -1: the child is to ask for ranges. */
extern int object_take_descriptor(struct object *object);

/* The child asks for a range. */
extern void object_want(struct object *object, uint64_t offset, uint64_t length);

/* Gives the child what is here of the range. DICOM_OK: all of it; DICOM_PENDING; DICOM_FAILED, and the child was told so. */
extern enum dicom_status object_serve(struct object *object, struct child *child, struct dicom_error *error);

#endif
