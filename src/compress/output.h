/*
 * output.h
 *	  Writes pictures, and notes of them, in threads of its own: a store's writes wait.
 *
 * Each thread has its own stores. Tasks are done in any order; those that are done come back to the thread that gave them.
 *
 * A picture may lie where it will be already: in a draft, which a child has written. It is given its name at once, by the thread that
 * gives the task, as is the line of a ledger.
 */
#ifndef COMPRESS_OUTPUT_H
#define COMPRESS_OUTPUT_H

#include "places.h"
#include "ledger.h"

struct output_options
{
	struct place_target pictures;
	struct place_target notes; /* prefix includes the state's own */
	bool has_notes;
	bool shares_store;     /* notes are objects in the store of the pictures */
	struct ledger *ledger; /* where notes are its lines; NULL: they are objects */
	int threads;           /* at most */
};

/* Something to write: a picture, a note, or a picture and then the note that it completes. */
struct output_task
{
	struct output_task *next;
	void *owner; /* the caller's */

	struct picture_note
		picture; /* key is that below the target; NULL: there is no picture to write. sha256 is filled in */
	struct dicom_buffer bytes;
	struct store_upload
		*draft; /* holds the picture, whose length and sha256 are filled in; NULL: it is in `bytes` */
	struct state_note *
		note; /* to be written, the picture added to it first; NULL: none. Nobody else touches it meanwhile */
	const char *url; /* of the source, whose note it is */

	/* what came of it */
	uint32_t microseconds; /* added to what the caller has put there */
	enum dicom_status status;
	struct dicom_error error;
	bool wrote_picture;
};

struct output;

extern enum dicom_status output_open(const struct output_options *options, struct output **output,
									 struct dicom_error *error);

/* Waits for what is being written; what has not begun is dropped. */
extern void output_close(struct output *output);

/* A file for a picture, in the store that it will be in. NULL: there is no such thing, or it is not to be had; bytes will do. */
extern struct store_upload *output_draft(struct output *output);

/* The task is the output's until it comes back. Threads are started as they are needed. */
extern void output_submit(struct output *output, struct output_task *task);

/* Tasks that are done, linked by next; NULL: none. */
extern struct output_task *output_take(struct output *output);

/* Tasks were done at once, and can be taken. */
extern bool output_is_done(const struct output *output);

/* A descriptor that can be read when there are others. */
extern int output_descriptor(const struct output *output);

/* Bytes of tasks that have not come back. */
extern uint64_t output_bytes(const struct output *output);

extern void output_task_free(struct output_task *task);

#endif
