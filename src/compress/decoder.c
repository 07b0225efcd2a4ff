/*
 * decoder.c
 *	  The child's life: receives jobs, does them one after another, and reads the objects they are about.
 */
#include "decoder.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "sandbox.h"

/* Frames of usual size come from the heap, which keeps their pages; larger ones are given back. */
#define MMAP_THRESHOLD (8 << 20)
#define TRIM_THRESHOLD (16 << 20)

#define HELD_MOST \
	(CHILD_QUEUE / 2) /* results that wait for each other: as many jobs are still at hand then */

_Static_assert(SANDBOX_DESCRIPTORS >= 3 + 2 * CHILD_QUEUE, "all jobs of a child may be on their way");

static void
free_job(struct decoder_job *job)
{
	if (job == NULL)
		return;
	if (job->descriptor >= 0)
		close(job->descriptor);
	if (job->output >= 0)
		close(job->output);
	free(job->ranges);
	free(job->attributes);
	free(job);
}

/* --- receiving jobs --- */

static void
read_picture_options(struct message_reader *reader, struct picture_options *options)
{
	options->window = (enum picture_window) message_get_32(reader);
	options->window_number = message_get_32(reader);
	options->window_center = message_get_double(reader);
	options->window_width = message_get_double(reader);
	options->quality = (int) message_get_32(reader);
	options->subsampling = (enum picture_subsampling) message_get_32(reader);
	options->max_size = message_get_32(reader);
	options->no_pass_through = message_get_8(reader) != 0;
	if (options->window > PICTURE_WINDOW_PIXELS || options->subsampling > PICTURE_SUBSAMPLING_444 ||
		options->quality < 0 || options->quality > 100)
		reader->failed = true;
}

static bool
read_ranges(struct message_reader *reader, struct decoder_job *job)
{
	uint32_t i;

	job->range_count = message_get_32(reader);
	if (reader->failed || job->range_count > MESSAGE_MAX_RANGES)
		return false;
	if (job->range_count > 0)
		job->ranges = calloc(job->range_count, sizeof(*job->ranges));
	for (i = 0; job->ranges && i < job->range_count; i++)
	{
		job->ranges[i].first = message_get_32(reader);
		job->ranges[i].last = message_get_32(reader);
	}
	return job->ranges || job->range_count == 0;
}

/* What the parent asks for parses: it was checked there. */
static bool
read_attributes(struct message_reader *reader, struct decoder_job *job)
{
	uint32_t i;

	job->attribute_count = message_get_32(reader);
	if (reader->failed || job->attribute_count > MESSAGE_MAX_VALUES)
		return false;
	if (job->attribute_count > 0)
		job->attributes = calloc(job->attribute_count, sizeof(*job->attributes));
	for (i = 0; job->attributes && i < job->attribute_count; i++)
	{
		char path[MESSAGE_MAX_PATH];

		message_get_string(reader, path, sizeof(path));
		if (dicom_path_parse(path, strlen(path), &job->attributes[i], NULL) != DICOM_OK)
			return false;
	}
	return job->attributes || job->attribute_count == 0;
}

static struct decoder_job *
read_job(struct decoder *decoder, const struct message *message)
{
	struct decoder_job *job = calloc(1, sizeof(*job));
	struct message_reader reader;
	bool has_descriptor;
	bool has_output;

	if (job == NULL)
		return NULL;
	message_read(&reader, message);
	job->descriptor = job->output = -1;
	job->id = message_get_64(&reader);
	job->size = message_get_64(&reader);
	has_descriptor = message_get_8(&reader) != 0;
	has_output = message_get_8(&reader) != 0;
	if (has_descriptor)
		job->descriptor = message_take_descriptor(&decoder->channel);
	if (has_output)
		job->output = message_take_descriptor(&decoder->channel);
	job->format = message_get_8(&reader) ? CHILD_PIXELS : CHILD_JPEG;
	read_picture_options(&reader, &job->picture);
	if (read_ranges(&reader, job) && read_attributes(&reader, job) && message_read_all(&reader) &&
		has_descriptor == (job->descriptor >= 0) && has_output == (job->output >= 0))
		return job;
	free_job(job);
	return NULL;
}

/* Takes the next message. False: the parent is gone, or not to be understood. */
static bool
receive(struct decoder *decoder, struct message *message)
{
	struct dicom_error error;

	if (!decoder->parent_gone)
		decoder->parent_gone = message_flush(&decoder->channel, &error) != DICOM_OK ||
							   message_receive(&decoder->channel, message, &error) != DICOM_OK;
	return !decoder->parent_gone;
}

/* Takes the next message if it is here. DICOM_PENDING: it is not. */
static enum dicom_status
receive_at_once(struct decoder *decoder, struct message *message)
{
	enum dicom_status status;

	decoder->channel.waits = false;
	status = message_receive(&decoder->channel, message, NULL);
	decoder->channel.waits = true;
	return status;
}

/*
 * Waits for a job; NULL where there is none to come. While the next one is here the parent is not woken for each result, but for some at a
 * time.
 */
static struct decoder_job *
next_job(struct decoder *decoder)
{
	struct decoder_job *job = decoder->next;
	struct message message;

	decoder->next = NULL;
	if (job)
		return job;
	if (decoder->held == 0 || decoder->held >= HELD_MOST || receive_at_once(decoder, &message) != DICOM_OK)
	{
		decoder->held = 0;
		if (!receive(decoder, &message))
			return NULL;
	}
	return message.type == MESSAGE_JOB ? read_job(decoder, &message) : NULL;
}

/* --- reading objects --- */

static enum dicom_status
read_descriptor(int descriptor, uint64_t offset, size_t length, uint8_t *bytes, struct dicom_error *error)
{
	while (length > 0)
	{
		ssize_t got = pread(descriptor, bytes, length, (off_t) offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return dicom_fail(error, DICOM_ERROR_IO, "cannot read object: %s", strerror(errno));
		if (got == 0)
			return dicom_fail(error, DICOM_ERROR_CHANGED, "object became shorter while it was read");
		bytes += got;
		offset += (uint64_t) got;
		length -= (size_t) got;
	}
	return DICOM_OK;
}

static enum dicom_status
fail_gone(struct decoder *decoder, struct dicom_error *error)
{
	decoder->parent_gone = true;
	return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "nobody waits for this");
}

/* Takes the bytes behind a DATA message. */
static enum dicom_status
take_data(struct decoder *decoder, uint64_t bulk, uint8_t *bytes, struct dicom_error *error)
{
	while (bulk > 0)
	{
		size_t got;

		if (message_take_bulk(&decoder->channel, bytes, (size_t) bulk, &got, error) != DICOM_OK)
			return fail_gone(decoder, error);
		bytes += got;
		bulk -= got;
	}
	return DICOM_OK;
}

/* Takes one answer to a READ; *got bytes of what is left came with it. Another job may have been put in front of it. */
static enum dicom_status
take_answer(struct decoder *decoder, uint8_t *bytes, size_t left, size_t *got, struct dicom_error *error)
{
	struct message message;
	struct message_reader reader;

	*got = 0;
	if (!receive(decoder, &message))
		return fail_gone(decoder, error);
	if (message.type == MESSAGE_JOB && decoder->next == NULL)
	{
		decoder->next = read_job(decoder, &message);
		return decoder->next ? DICOM_OK : fail_gone(decoder, error);
	}
	if (message.type == MESSAGE_NO_DATA)
	{
		message_read(&reader, &message);
		message_get_error(&reader, error);
		return DICOM_FAILED;
	}
	if (message.type != MESSAGE_DATA || message.bulk > left)
		return fail_gone(decoder, error);
	*got = (size_t) message.bulk;
	return take_data(decoder, message.bulk, bytes, error);
}

enum dicom_status
decoder_read(struct decoder *decoder, const struct decoder_job *job, uint64_t offset, size_t length,
			 uint8_t *bytes, struct dicom_error *error)
{
	if (length > job->size || offset > job->size - length)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "the object ends too early");
	if (length == 0)
		return DICOM_OK;
	if (job->descriptor >= 0)
		return read_descriptor(job->descriptor, offset, length, bytes, error);
	message_begin(&decoder->channel, MESSAGE_READ);
	message_put_64(&decoder->channel, job->id);
	message_put_64(&decoder->channel, offset);
	message_put_64(&decoder->channel, length);
	if (message_end(&decoder->channel, NULL, 0, error) != DICOM_OK)
		return DICOM_FAILED;
	while (length > 0)
	{
		size_t got;

		if (take_answer(decoder, bytes, length, &got, error) != DICOM_OK)
			return DICOM_FAILED;
		bytes += got;
		length -= got;
	}
	return DICOM_OK;
}

/* --- */

/* Says that all is ready, or why it is not. */
static bool
greet(struct decoder *decoder, enum dicom_status confined, const struct dicom_error *error)
{
	message_begin(&decoder->channel, confined == DICOM_OK ? MESSAGE_HELLO : MESSAGE_REFUSED);
	if (confined == DICOM_OK)
		message_put_32(&decoder->channel, MESSAGE_VERSION);
	else
		message_put_error(&decoder->channel, error);
	return message_end(&decoder->channel, NULL, 0, NULL) == DICOM_OK &&
		   message_flush(&decoder->channel, NULL) == DICOM_OK && confined == DICOM_OK;
}

static void
close_decoder(struct decoder *decoder)
{
	dicom_dataset_close(&decoder->dataset, false);
	dicom_values_close(&decoder->values);
	dicom_buffer_free(&decoder->text);
	dicom_buffer_free(&decoder->picture);
	message_close(&decoder->channel);
	free_job(decoder->next);
}

int
decoder_serve(uint64_t memory, bool writes)
{
	struct decoder decoder = {.channel = {.waits = true, .accepts_descriptors = true}};
	struct decoder_job *job;
	struct dicom_error error;
	char digest[SHA256_TEXT];

	mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
	digest_text("", 0, digest); /* the library reads its configuration */
	if (!greet(&decoder, sandbox_enter(memory, writes ? MESSAGE_MAX_PICTURE : 0, &error), &error))
		return 1;
	while ((job = next_job(&decoder)) != NULL)
	{
		decoder_run(&decoder, job);
		free_job(job);
	}
	close_decoder(&decoder);
	return 0;
}
