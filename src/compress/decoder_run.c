/*
 * decoder_run.c
 *	  One job: from an object to its pictures.
 */
#include "decoder.h"

#include "../dicom/dictionary.h"
#include "digest.h"
#include "whole.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_READ    ((size_t) 8 * 1024) /* of a header */
#define NEXT_READ     ((size_t) 64 * 1024)
#define FAR_PIECE     ((size_t) 1 << 20)    /* of pixels that the parent is asked for */
#define LARGE_FRAME   ((uint64_t) 16 << 20) /* whose pixels may take more time than a frame is given */
#define KEPT_PICTURE  ((size_t) 4 << 20)
#define KEPT_ELEMENTS 65536
#define TAG_CHARSET   DICOM_TAG(0x0008, 0x0005)

/* What is known of the object while its job is done. */
struct run
{
	struct decoder *decoder;
	struct decoder_job *job;
	struct image_source source;
	struct dicom_window window;
	struct dicom_selection selection;
	uint32_t *tags;
	uint32_t *private_tags;
	const char **creators;
	struct image_pixels pixels;
	struct picture_rules *rules;
	struct image_frames *frames;
};

/* --- the header --- */

static enum dicom_status
read_source(void *arg, uint64_t offset, size_t length, uint8_t *bytes, struct dicom_error *error)
{
	struct run *run = arg;

	return decoder_read(run->decoder, run->job, offset, length, bytes, error);
}

/* Puts a tag where it belongs among others in ascending order, if it is not there. Returns how many there are then. */
static int
insert_tag(uint32_t *tags, int count, uint32_t tag)
{
	int place = count;

	while (place > 0 && tags[place - 1] > tag)
		place--;
	if (place > 0 && tags[place - 1] == tag)
		return count;
	memmove(tags + place + 1, tags + place, sizeof(*tags) * (size_t) (count - place));
	tags[place] = tag;
	return count + 1;
}

/* All that pictures need, and what the attributes of the job begin with. */
static enum dicom_status
select_tags(struct run *run, struct dicom_error *error)
{
	const struct decoder_job *job = run->job;
	int count = image_selection.tag_count;
	int privates = 0;
	uint32_t j;

	run->selection = image_selection;
	if (job->attribute_count == 0)
		return DICOM_OK;
	run->tags = malloc(sizeof(uint32_t) * ((size_t) count + job->attribute_count));
	run->private_tags = malloc(sizeof(uint32_t) * job->attribute_count);
	run->creators = malloc(sizeof(char *) * job->attribute_count);
	if (!run->tags || !run->private_tags || !run->creators)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	memcpy(run->tags, image_selection.tags, sizeof(uint32_t) * (size_t) count);
	for (j = 0; j < job->attribute_count; j++)
	{
		const struct dicom_path_step *step = &job->attributes[j].steps[0];

		if (step->creator[0] == '\0')
			count = insert_tag(run->tags, count, step->tag);
		else
		{
			run->private_tags[privates] = step->tag;
			run->creators[privates++] = step->creator;
		}
	}
	run->selection.tags = run->tags;
	run->selection.tag_count = count;
	run->selection.private_tags = run->private_tags;
	run->selection.private_creators = run->creators;
	run->selection.private_count = privates;
	return DICOM_OK;
}

static enum dicom_status
fill_window(struct run *run, uint64_t offset, size_t least, size_t wanted, struct dicom_error *error)
{
	uint64_t left = offset < run->job->size ? run->job->size - offset : 0;
	size_t length = wanted > least ? wanted : least;
	uint8_t *place;

	if (length > left)
		length = (size_t) left;
	if (length == 0)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "the object ends too early");
	place = dicom_window_reserve(&run->window, offset, length);
	if (place == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (decoder_read(run->decoder, run->job, offset, length, place, error) != DICOM_OK)
		return DICOM_FAILED;
	dicom_window_commit(&run->window, offset, length);
	return DICOM_OK;
}

static enum dicom_status
read_header(struct run *run, struct dicom_error *error)
{
	struct dicom_dataset *dataset = &run->decoder->dataset;
	enum dicom_status status;

	dicom_window_init(&run->window, run->job->size);
	if (run->job->size == 0)
		return dicom_fail(error, DICOM_ERROR_NOT_DICOM, "the object is empty");
	if (select_tags(run, error) != DICOM_OK || fill_window(run, 0, 1, FIRST_READ, error) != DICOM_OK ||
		dicom_dataset_open(dataset, &run->window, &run->selection, error) != DICOM_OK)
		return DICOM_FAILED;
	while ((status = dicom_dataset_read(dataset, error)) == DICOM_NEED)
		if (fill_window(run, dataset->need_offset, dataset->need_length, NEXT_READ, error) != DICOM_OK)
			return DICOM_FAILED;
	return status;
}

/* --- saying what the object is --- */

static enum child_value_kind
kind_of(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('P', 'N'):
			return CHILD_VALUE_PERSON;
		case DICOM_VR('L', 'O'):
		case DICOM_VR('S', 'H'):
		case DICOM_VR('U', 'C'):
			return CHILD_VALUE_MULTI;
		case DICOM_VR('S', 'T'):
		case DICOM_VR('L', 'T'):
		case DICOM_VR('U', 'T'):
			return CHILD_VALUE_SINGLE;
		default:
			return CHILD_VALUE_ASCII;
	}
}

static void
put_absent(struct message_channel *channel)
{
	message_put_8(channel, CHILD_VALUE_ABSENT);
	message_put_bytes(channel, NULL, 0);
}

static void
put_value(struct message_channel *channel, enum child_value_kind kind, const void *bytes, size_t length)
{
	const uint8_t *value = bytes;

	if (length > MESSAGE_MAX_VALUE)
		length = MESSAGE_MAX_VALUE;
	while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\0'))
		length--;
	message_put_8(channel, length > 0 ? (uint8_t) kind : CHILD_VALUE_ABSENT);
	message_put_bytes(channel, value, (uint32_t) length);
}

/*
 * Texts go out as they stand in the file, and are converted over there: the C library loads its tables of character sets from
 * files.
 */
static void
put_attribute(struct run *run, const struct dicom_path *path)
{
	struct message_channel *channel = &run->decoder->channel;
	const struct dicom_dataset *dataset = &run->decoder->dataset;
	const struct dicom_element *element = dicom_path_find(dataset, path);
	struct dicom_buffer *text = &run->decoder->text;
	uint16_t vr = element ? dicom_value_vr(dataset, element) : DICOM_VR_NONE;
	enum child_value_kind kind = kind_of(vr);
	uint32_t length = 0;
	const uint8_t *bytes = element ? dicom_dataset_value(dataset, element, &length) : NULL;

	dicom_buffer_reset(text);
	if (bytes == NULL || (!dicom_vr_is_text(vr) && dicom_vr_is_bytes(vr)))
		put_absent(channel);
	else if (kind != CHILD_VALUE_ASCII)
		put_value(channel, kind, bytes, length);
	else if (dicom_value_text(&run->decoder->values, dataset, element, text) && !text->failed)
		put_value(channel, kind, text->data, text->length);
	else
		put_absent(channel);
}

static void
put_charset(struct run *run)
{
	const struct dicom_dataset *dataset = &run->decoder->dataset;
	const struct dicom_element *element = dicom_dataset_find(dataset, TAG_CHARSET);
	uint32_t length = 0;
	const uint8_t *bytes = element ? dicom_dataset_value(dataset, element, &length) : NULL;

	if (bytes == NULL || length > MESSAGE_MAX_VALUE)
		length = 0;
	message_put_bytes(&run->decoder->channel, bytes, length);
}

/* Begins a message about the job. */
static struct message_channel *
begin(struct run *run, enum message_type type)
{
	message_begin(&run->decoder->channel, type);
	message_put_64(&run->decoder->channel, run->job->id);
	return &run->decoder->channel;
}

/* A message that cannot be sent ends the child: its parent is gone, or there is no memory at all. */
static void
end(struct run *run, const struct dicom_buffer *bulk)
{
	struct message_channel *channel = &run->decoder->channel;

	if (message_end(channel, bulk ? bulk->data : NULL, bulk ? bulk->length : 0, NULL) != DICOM_OK)
		run->decoder->parent_gone = true;
}

static void
flush(struct run *run)
{
	if (!run->decoder->parent_gone && message_flush(&run->decoder->channel, NULL) != DICOM_OK)
		run->decoder->parent_gone = true;
}

static void
say_header(struct run *run)
{
	struct message_channel *channel = begin(run, MESSAGE_HEADER);
	uint32_t i;

	message_put_32(channel, image_frames_count(run->frames));
	message_put_32(channel, run->pixels.columns);
	message_put_32(channel, run->pixels.rows);
	message_put_string(channel, run->pixels.transfer_syntax_uid);
	put_charset(run);
	for (i = 0; i < run->job->attribute_count; i++)
		put_attribute(run, &run->job->attributes[i]);
	end(run, NULL);
}

static void
say_failure(struct run *run, const struct dicom_error *error)
{
	message_put_error(begin(run, MESSAGE_FAILED), error);
	end(run, NULL);
}

static void
say_frame_failure(struct run *run, uint32_t frame, const struct dicom_error *error)
{
	struct message_channel *channel = begin(run, MESSAGE_FRAME_FAILED);

	message_put_32(channel, frame + 1);
	message_put_error(channel, error);
	end(run, NULL);
}

/* --- frames --- */

struct result
{
	uint32_t columns, rows;
	int channels;
	bool passed_through;
	struct dicom_buffer bytes;
	bool is_written; /* into the job's output */
	char sha256[SHA256_TEXT];
};

static enum dicom_status
copy_pixels(struct picture *picture, struct dicom_buffer *out, struct dicom_error *error)
{
	size_t length = (size_t) picture_columns(picture) * (size_t) picture_channels(picture);
	const uint8_t *row;

	while ((row = picture_next_row(picture)) != NULL)
		dicom_buffer_append(out, row, length);
	return out->failed ? dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory")
					   : picture_status(picture, error);
}

static enum dicom_status
make_picture(struct run *run, struct image_frame *frame, uint32_t number, struct result *result,
			 struct dicom_error *error)
{
	const struct picture_options *options = &run->job->picture;
	struct picture *picture;
	enum dicom_status status;

	if (picture_open(run->rules, frame, number, options, &picture, error) != DICOM_OK)
		return DICOM_FAILED;
	result->columns = picture_columns(picture);
	result->rows = picture_rows(picture);
	result->channels = picture_channels(picture);
	if (run->job->format == CHILD_PIXELS)
		status = copy_pixels(picture, &result->bytes, error);
	else
		status = picture_to_jpeg(picture, options, &result->bytes, error);
	picture_close(picture);
	return status;
}

static enum dicom_status
decode_frame(struct run *run, uint32_t number, struct result *result, struct dicom_error *error)
{
	struct image_frame frame;
	uint8_t *bytes = NULL;
	size_t length;
	enum dicom_status status;

	if (image_frame_describe(run->frames, number, &frame))
	{
		status = make_picture(run, &frame, number, result, error);
		image_frame_free(&frame);
		return status;
	}
	if (image_frames_read(run->frames, number, &bytes, &length, error) != DICOM_OK)
		return DICOM_FAILED;
	if (run->job->format == CHILD_JPEG && picture_pass_through(run->rules, &run->pixels, number, bytes,
															   length, &run->job->picture, &result->bytes))
	{
		free(bytes);
		result->columns = run->pixels.columns;
		result->rows = run->pixels.rows;
		result->channels = (int) run->pixels.samples_per_pixel;
		result->passed_through = true;
		return DICOM_OK;
	}
	status = image_decode(&run->pixels, &bytes, length, &frame, error);
	free(bytes);
	if (status != DICOM_OK)
		return status;
	status = make_picture(run, &frame, number, result, error);
	image_frame_free(&frame);
	return status;
}

/*
 * Writes the first JPEG where its bytes need not pass through the parent. Where that fails the parent gets them, and sees the reason for
 * itself when it writes them.
 */
static void
write_output(struct decoder_job *job, struct result *result)
{
	bool is_whole;

	if (job->output < 0 || job->format != CHILD_JPEG)
		return;
	is_whole = whole_write(job->output, result->bytes.data, result->bytes.length);
	close(job->output);
	job->output = -1;
	result->is_written = is_whole && digest_text(result->bytes.data, result->bytes.length, result->sha256);
}

static uint32_t
microseconds_since(const struct timespec *start)
{
	struct timespec now;
	int64_t elapsed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	elapsed = (int64_t) (now.tv_sec - start->tv_sec) * 1000000 + (now.tv_nsec - start->tv_nsec) / 1000;
	return elapsed > UINT32_MAX ? UINT32_MAX : (uint32_t) elapsed;
}

/* A frame of many pixels is announced: it may take more than the usual time. */
static void
announce(struct run *run, uint32_t number)
{
	const struct image_pixels *pixels = &run->pixels;
	uint64_t bytes = (uint64_t) pixels->columns * pixels->rows * pixels->samples_per_pixel *
					 ((pixels->bits_allocated + 7) / 8);
	struct message_channel *channel;

	if (bytes < LARGE_FRAME)
		return;
	channel = begin(run, MESSAGE_WORKING);
	message_put_32(channel, number + 1);
	message_put_64(channel, bytes);
	end(run, NULL);
	flush(run);
}

static void
say_picture(struct run *run, uint32_t number, const struct result *result, uint32_t microseconds)
{
	struct message_channel *channel = begin(run, MESSAGE_PICTURE);

	message_put_32(channel, number + 1);
	message_put_32(channel, result->columns);
	message_put_32(channel, result->rows);
	message_put_8(channel, (uint8_t) result->channels);
	message_put_8(channel, result->passed_through);
	message_put_32(channel, microseconds);
	message_put_64(channel, result->is_written ? result->bytes.length : 0);
	message_put_string(channel, result->sha256);
	end(run, result->is_written ? NULL : &result->bytes);
}

/* Makes the picture of a frame and says so; with the last one goes the end of the job, so that the parent wakes up once. */
static void
do_frame(struct run *run, uint32_t number, bool is_last)
{
	struct result result = {.bytes = run->decoder->picture};
	struct timespec start;
	struct dicom_error error;

	memset(&run->decoder->picture, 0, sizeof(run->decoder->picture));
	dicom_buffer_reset(&result.bytes);
	clock_gettime(CLOCK_MONOTONIC, &start);
	announce(run, number);
	if (decode_frame(run, number, &result, &error) == DICOM_OK)
	{
		write_output(run->job, &result);
		say_picture(run, number, &result, microseconds_since(&start));
	}
	else
		say_frame_failure(run, number, &error);
	if (is_last)
	{
		begin(run, MESSAGE_DONE);
		end(run, NULL);
	}
	if (is_last && result.is_written)
		run->decoder->held++;
	else
		flush(run);
	if (result.bytes.capacity > KEPT_PICTURE || result.bytes.failed)
		dicom_buffer_free(&result.bytes);
	run->decoder->picture = result.bytes;
}

/* The number of the first frame that is asked for from `from` on; `count` where there is none. Counted from 0. */
static uint32_t
next_frame(const struct decoder_job *job, uint32_t from, uint32_t count)
{
	uint32_t i;

	if (job->range_count == 0)
		return from;
	for (i = 0; i < job->range_count; i++)
		if (job->ranges[i].last > from)
			return job->ranges[i].first - 1 > from ? job->ranges[i].first - 1 : from;
	return count;
}

static enum dicom_status
do_frames(struct run *run, struct dicom_error *error)
{
	uint32_t count = image_frames_count(run->frames);
	uint32_t frame = next_frame(run->job, 0, count);

	if (frame >= count)
		return dicom_fail(error, DICOM_ERROR_NOT_FOUND, "none of the frames is there: the object has %u",
						  count);
	say_header(run);
	while (frame < count && !run->decoder->parent_gone)
	{
		uint32_t next = next_frame(run->job, frame + 1, count);

		do_frame(run, frame, next >= count);
		frame = next;
	}
	return DICOM_OK;
}

/* --- the job --- */

static enum dicom_status
do_job(struct run *run, struct dicom_error *error)
{
	struct dicom_dataset *dataset = &run->decoder->dataset;

	if (read_header(run, error) != DICOM_OK || image_pixels_read(dataset, &run->pixels, error) != DICOM_OK)
		return DICOM_FAILED;
	if (run->pixels.is_encapsulated)
		flush(run); /* if this child dies over it, it is known over what */
	if (picture_rules_open(dataset, &run->pixels, &run->rules, error) != DICOM_OK ||
		image_frames_open(&run->pixels, &run->source, &run->frames, error) != DICOM_OK)
		return DICOM_FAILED;
	return do_frames(run, error);
}

static void
close_run(struct run *run)
{
	if (run->frames)
		image_frames_close(run->frames);
	if (run->rules)
		picture_rules_close(run->rules);
	dicom_dataset_close(&run->decoder->dataset, run->decoder->dataset.capacity < KEPT_ELEMENTS);
	dicom_window_free(&run->window);
	free(run->tags);
	free(run->private_tags);
	free(run->creators);
}

void
decoder_run(struct decoder *decoder, struct decoder_job *job)
{
	struct run run = {.decoder = decoder, .job = job};
	struct dicom_error error;

	run.source.size = job->size;
	run.source.piece = job->descriptor >= 0 ? 0 : FAR_PIECE;
	run.source.read = read_source;
	run.source.arg = &run;
	if (do_job(&run, &error) != DICOM_OK)
	{
		say_failure(&run, &error);
		flush(&run);
	}
	close_run(&run);
}
