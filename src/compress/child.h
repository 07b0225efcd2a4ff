/*
 * child.h
 *	  The process that decodes, as its parent sees it: pictures out of objects, and no decoder in here.
 *
 * A child is the program `dicompress-decoder`: without privileges, files or sockets but the one to its parent, under limits of
 * memory and CPU time and a filter of system calls. It is given jobs, one object each. The parent opens all files and gives them their
 * names: a child reads from a descriptor that it is given, or asks for ranges, and writes the first picture into another, if it is
 * given one. A child that crashes, hangs or says what makes no sense is dead afterwards; whoever owns it opens another.
 *
 *		child_open(&options, &child, &error);
 *		child_submit(child, &job, &error);
 *		for (;;)
 *			switch (child_next(child, &event, &error))
 *				DICOM_PENDING: wait until child_descriptor() can be read, or child_timeout() milliseconds have passed
 *				DICOM_OK:      look at the event; CHILD_DONE and CHILD_FAILED are a job's last
 *				DICOM_FAILED:  the child is dead: child_end(), child_job_at_fault(); child_close()
 *
 * Nothing here waits, but child_close() for the end of a process that was killed. What comes from a child is checked: frames are those
 * asked for, in ascending order; lengths are bounded; texts are printable. The bytes of a picture are what the child says.
 *
 * Frames are counted from 1. To make a JPEG of pixels at hand (a contact sheet), hand over a data set of them.
 */
#ifndef COMPRESS_CHILD_H
#define COMPRESS_CHILD_H

#include "../dicom/buffer.h"
#include "../dicom/charset.h"
#include "../image/picture.h"
#include "digest.h"
#include "message.h"

#define CHILD_QUEUE 16 /* jobs that a child may have at a time: the one at work, and the next */

struct child;

struct child_options
{
	const char *program; /* path of dicompress-decoder */
	uint64_t memory;     /* bytes of address space; 0: 4 GiB */
	bool has_outputs;    /* jobs may have one */
	int timeout_ms;      /* without progress, on top of what a large frame is allowed; 0: 10000 */
};

enum child_format
{
	CHILD_JPEG,
	CHILD_PIXELS /* rows x columns x channels bytes: grey, or RGB */
};

/* Frames first to last. */
struct child_range
{
	uint32_t first, last;
};

struct child_job
{
	uint64_t id;   /* the caller's; every event of the job has it */
	uint64_t size; /* of the object */
	int descriptor; /* of the object, for the child to read; taken over, whatever comes of it. -1: the child asks for ranges */
	int output; /* an empty file for the child to write the first JPEG into; taken over. -1: pictures come as bytes */
	enum child_format format;
	struct picture_options picture;
	const struct child_range *frames; /* ascending, apart; none: all */
	int frame_count;
	const char *const *attributes; /* paths as dicom_path_parse() takes them, whose values are wanted */
	int attribute_count;
};

/* How a value is to be read. */
enum child_value_kind
{
	CHILD_VALUE_ABSENT, /* also: empty, a sequence, bytes */
	CHILD_VALUE_ASCII,  /* numbers, dates, codes, UIDs */
	CHILD_VALUE_MULTI,  /* texts in the character set of the file, by enum dicom_text_kind */
	CHILD_VALUE_PERSON,
	CHILD_VALUE_SINGLE
};

struct child_value
{
	enum child_value_kind kind;
	const uint8_t *bytes; /* not terminated */
	uint32_t length;
};

enum child_event_kind
{
	CHILD_READ,         /* offset, length: to be answered with child_supply() before anything else happens */
	CHILD_HEADER,       /* frames, columns, rows, values: once, before the first frame */
	CHILD_PICTURE,      /* frame, columns, rows, channels, picture */
	CHILD_FRAME_FAILED, /* frame, error: the others go on */
	CHILD_FAILED,       /* error: the job is over */
	CHILD_DONE          /* the job is over */
};

/* Valid until the next call on the child. */
struct child_event
{
	enum child_event_kind kind;
	uint64_t job;

	uint64_t offset;
	uint64_t length;

	uint32_t frames; /* of the object */
	uint32_t frame;  /* this one's number */
	uint32_t columns;
	uint32_t rows;
	int channels;
	bool passed_through;   /* the bytes stood in the file as they are */
	uint32_t microseconds; /* that decoding and encoding took */
	struct dicom_buffer *
		picture; /* take the bytes away by copying the structure and zeroing it; free with dicom_buffer_free() */
	uint64_t
		written; /* bytes of the picture that were written into the job's output; `picture` is empty then */
	char sha256[SHA256_TEXT]; /* of these, in hex */

	char transfer_syntax_uid[65];
	const uint8_t *charset; /* the value of SpecificCharacterSet, for dicom_charset_open() */
	uint32_t charset_length;
	const struct child_value *values; /* one for each attribute of the job */
	int value_count;

	struct dicom_error error; /* `object` is empty: the caller knows it */
};

/* Why a child is dead. */
enum child_end
{
	CHILD_ALIVE,
	CHILD_NOT_STARTED, /* no such program, another version, or no confinement to be had: trying again does not help */
	CHILD_KILLED, /* by a signal, whose name is in the error */
	CHILD_EXITED,
	CHILD_TIMED_OUT,
	CHILD_BROKE_PROTOCOL
};

/* Starts a child; it need not be awaited before work is submitted. */
extern enum dicom_status child_open(const struct child_options *options, struct child **child,
									struct dicom_error *error);

/* Kills the child without waiting for its end: of several that are closed, all end meanwhile. NULL is ignored. */
extern void child_kill_soon(struct child *child);

/* Kills the child, whatever it does, and frees. NULL is ignored. */
extern void child_close(struct child *child);

/* A descriptor that can be read when child_next() or child_supply() have something to do; it stays the same. */
extern int child_descriptor(const struct child *child);

/* Milliseconds after which child_next() is to be called anyway; -1: no need. */
extern int child_timeout(const struct child *child);

/*
 * Gives the child something to do, with the next child_flush() or child_next(), which send. The job is copied. INVALID_OPTION where the child
 * has CHILD_QUEUE jobs already.
 */
extern enum dicom_status child_submit(struct child *child, const struct child_job *job,
									  struct dicom_error *error);
extern void child_flush(struct child *child);

/* Jobs submitted and not over. */
extern int child_jobs(const struct child *child);

/* DICOM_OK and an event, DICOM_PENDING, or DICOM_FAILED: the child is dead; error.code is DICOM_ERROR_DECODER unless it never started. */
extern enum dicom_status child_next(struct child *child, struct child_event *event,
									struct dicom_error *error);

/*
 * Sends the bytes that CHILD_READ asks for, in order, in pieces of any length. Returns how many were taken; where not all were, call
 * again with the rest when child_descriptor() can be read. 0 also where the child is dead: child_next() says so.
 */
extern size_t child_supply(struct child *child, const void *bytes, size_t length);

/* The rest of what CHILD_READ asks for cannot be had: the job will fail with this error. */
extern void child_supply_failed(struct child *child, const struct dicom_error *error);

/* The parent has not looked at the child for a while, on purpose: its time begins anew. */
extern void child_resume(struct child *child);

/* Of a child that is dead: why, and the job that it was at (false where it had none). The jobs behind that one were not begun. */
extern enum child_end child_end(const struct child *child);
extern bool child_job_at_fault(const struct child *child, uint64_t *id);

/* Process id, for tests and messages. */
extern int child_pid(const struct child *child);

#endif
