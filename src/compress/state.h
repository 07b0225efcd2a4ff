/*
 * state.h
 *	  What is noted of a source whose pictures are all written, so that the next run passes over it.
 *
 * A note is a small JSON object: the SHA-256 of the source's URL, its etag, the fingerprint of the options, and of every picture its key,
 * length and digest; nothing of the source's name. In a bucket each note is an object of its own, named by that digest; those of a
 * directory are the lines of a ledger. A note is written when the last picture is, so a run that ends half-way leaves none.
 */
#ifndef COMPRESS_STATE_H
#define COMPRESS_STATE_H

#include <stdint.h>

#include "../dicom/buffer.h"
#include "digest.h"

#define STATE_PREFIX ".dicompress/"

struct picture_note
{
	uint32_t frame, columns, rows;
	uint64_t bytes;
	char sha256[SHA256_TEXT];
	char *key;
};

struct state_note
{
	char source[SHA256_TEXT]; /* the digest of its URL */
	char *etag;
	char fingerprint[SHA256_TEXT];
	struct picture_note *pictures; /* in the order of frames */
	uint32_t count;
	uint32_t capacity;
};

/* Appends the name of the note about the source of this digest: ab/<digest>.json. */
extern void state_append_name(struct dicom_buffer *out, const char digest[SHA256_TEXT]);

/* A picture more, whose key is taken over. False: out of memory, and the key is freed. */
extern bool state_add(struct state_note *note, const struct picture_note *picture);
extern void state_free(struct state_note *note);

/* Appends an empty line, and one with the note. */
extern void state_write(const struct state_note *note, struct dicom_buffer *out);

/* False for what is no note, as one that was cut short. */
extern bool state_read(const char *bytes, size_t length, struct state_note *note);

#endif
