/*
 * child_internal.h
 *	  What child.c and child_process.c share: a child process, and what it has been given to do.
 */
#ifndef COMPRESS_CHILD_INTERNAL_H
#define COMPRESS_CHILD_INTERNAL_H

#include <sys/types.h>

#include "child.h"

/* A job that is not over, as far as the child's answers are checked against it. */
struct child_work
{
	uint64_t id;
	uint64_t size;
	enum child_format format;
	struct child_range *ranges; /* none: all */
	int range_count;
	int attribute_count;
	bool has_output; /* into which nothing was written */
	bool has_header;
	uint32_t frames;     /* of the object, as the child says */
	uint32_t last_frame; /* that was told of; 0: none */
	uint64_t reads;      /* ranges that were asked for */
	uint64_t bytes_read; /* in them */
};

struct child
{
	int timeout_ms;
	pid_t pid;      /* 0: none, or gone */
	int descriptor; /* an epoll: of the socket */
	bool polls_out;
	bool wants_room; /* child_supply() could not take all */
	struct message_channel channel;
	bool has_greeted;

	struct child_work jobs[CHILD_QUEUE];
	int job_count;

	uint64_t read_left;       /* of the range that the child asked for */
	uint64_t allowance_bytes; /* of the frame it works on, if that is large */
	int64_t deadline;         /* in ms of the monotonic clock */

	struct child_event event; /* being received */
	bool has_picture;         /* the event's picture is on its way */
	struct dicom_buffer picture;
	struct child_value values[MESSAGE_MAX_VALUES];

	enum child_end end;
	struct dicom_error error; /* with the end */
};

/* --- child_process.c --- */

/* Starts the program on one end of a new socket pair; the other end is the channel's. */
extern enum dicom_status child_spawn(struct child *child, const struct child_options *options,
									 struct dicom_error *error);

/* The child has closed its socket: sees how it ended, at once or very soon. */
extern void child_see_end(struct child *child);

/* Kills the child, if it is there, and waits for it to be gone. */
extern void child_kill(struct child *child);

/* --- child.c --- */

/* Kills the child for a reason, which is the error from now on. Returns DICOM_FAILED. */
extern enum dicom_status child_stop(struct child *child, enum child_end end, const char *reason);

/* The same, for what no child of ours says. */
extern enum dicom_status child_stop_liar(struct child *child);

/* --- child_answer.c --- */

/* Receives what is here. DICOM_OK where that makes an event; DICOM_PENDING; DICOM_END; DICOM_FAILED with child->error. */
extern enum dicom_status child_receive(struct child *child, struct child_event *event);

#endif
