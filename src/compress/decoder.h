/*
 * decoder.h
 *	  The child's side: jobs come in by a socket, pictures go out. See message.h.
 */
#ifndef COMPRESS_DECODER_H
#define COMPRESS_DECODER_H

#include "../dicom/path.h"
#include "../dicom/value.h"
#include "child.h"

/* Serves jobs, with or without outputs, on descriptor 0 until it is closed, in the sandbox. Returns what to exit with. */
extern int decoder_serve(uint64_t memory, bool writes);

/* --- private to decoder*.c --- */

struct decoder_job
{
	uint64_t id;
	uint64_t size;
	int descriptor; /* of the object; -1: ask the parent */
	int output;     /* for the first JPEG; -1: none, or no more */
	enum child_format format;
	struct picture_options picture;
	struct child_range *ranges;
	uint32_t range_count;
	struct dicom_path *attributes;
	uint32_t attribute_count;
};

struct decoder
{
	struct message_channel channel;
	bool parent_gone;         /* or not to be understood */
	int held;                 /* jobs that are done, of which the parent was not told yet */
	struct decoder_job *next; /* that came while an answer to something else was awaited */

	/* kept from job to job, for their memory */
	struct dicom_dataset dataset;
	struct dicom_values values;
	struct dicom_buffer text;
	struct dicom_buffer picture;
};

/* Reads a range of the job's object. */
extern enum dicom_status decoder_read(struct decoder *decoder, const struct decoder_job *job, uint64_t offset,
									  size_t length, uint8_t *bytes, struct dicom_error *error);

/* Does a job, and says what came of it. */
extern void decoder_run(struct decoder *decoder, struct decoder_job *job);

#endif
