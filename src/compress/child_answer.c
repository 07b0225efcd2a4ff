/*
 * child_answer.c
 *	  What a child says, and what of it is believed.
 */
#include "child_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_INFLATION       32 /* times the object's size, of a frame that is allowed more time */
#define MAX_SIDE            65500
#define JPEG_OVERHEAD       ((uint64_t) 1 << 20)
#define PICTURE_STEP        ((size_t) 1 << 20) /* room is made for what has come, not for what is said to come */
#define READS_AT_LEAST      1000000
#define BYTES_READ_AT_LEAST ((uint64_t) 64 << 20)

static bool
is_asked_for(const struct child_work *work, uint32_t frame)
{
	int low = 0;
	int high = work->range_count;

	if (work->range_count == 0)
		return true;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (work->ranges[middle].last < frame)
			low = middle + 1;
		else
			high = middle;
	}
	return low < work->range_count && work->ranges[low].first <= frame;
}

/* Believes a frame's number: one of the object, asked for, behind the last one. */
static bool
believe_frame(struct child_work *work, uint32_t frame, bool is_last_word)
{
	if (!work->has_header || frame == 0 || frame > work->frames || frame <= work->last_frame ||
		!is_asked_for(work, frame))
		return false;
	if (is_last_word)
		work->last_frame = frame;
	return true;
}

static enum dicom_status
take_hello(struct child *child, struct message_reader *reader)
{
	uint32_t version = message_get_32(reader);

	if (child->has_greeted || reader->failed)
		return child_stop_liar(child);
	if (version != MESSAGE_VERSION)
	{
		child_stop(child, CHILD_NOT_STARTED, "the program that decodes pixels is of another version");
		return dicom_hint(&child->error, "install both from one release");
	}
	child->has_greeted = true;
	return DICOM_PENDING;
}

static enum dicom_status
take_refusal(struct child *child, struct message_reader *reader)
{
	struct dicom_error reason;

	message_get_error(reader, &reason);
	if (child->has_greeted || !message_read_all(reader))
		return child_stop_liar(child);
	child_kill(child);
	child->end = CHILD_NOT_STARTED;
	child->error = reason;
	return DICOM_FAILED;
}

static enum dicom_status
take_read(struct child *child, struct child_work *work, struct message_reader *reader,
		  struct child_event *event)
{
	uint64_t most = (work->frames + (uint64_t) 8) * work->size + BYTES_READ_AT_LEAST;

	event->kind = CHILD_READ;
	event->offset = message_get_64(reader);
	event->length = message_get_64(reader);
	if (!message_read_all(reader) || child->read_left > 0 || message_is_sending(&child->channel) ||
		event->length == 0 || event->length > work->size || event->offset > work->size - event->length)
		return child_stop_liar(child);
	work->reads++;
	work->bytes_read += event->length;
	if (work->reads > READS_AT_LEAST + work->size / 8 || work->bytes_read > most)
		return child_stop(child, CHILD_BROKE_PROTOCOL, "decoder reads the object again and again");
	child->read_left = event->length;
	return DICOM_OK;
}

static enum dicom_status
take_header(struct child *child, struct child_work *work, struct message_reader *reader,
			struct child_event *event)
{
	int i;

	event->kind = CHILD_HEADER;
	event->frames = message_get_32(reader);
	event->columns = message_get_32(reader);
	event->rows = message_get_32(reader);
	message_get_string(reader, event->transfer_syntax_uid, sizeof(event->transfer_syntax_uid));
	event->charset = message_get_bytes(reader, MESSAGE_MAX_VALUE, &event->charset_length);
	for (i = 0; i < work->attribute_count; i++)
	{
		uint8_t kind = message_get_8(reader);

		child->values[i].bytes = message_get_bytes(reader, MESSAGE_MAX_VALUE, &child->values[i].length);
		child->values[i].kind = (enum child_value_kind) kind;
		if (kind > CHILD_VALUE_SINGLE)
			return child_stop_liar(child);
	}
	if (!message_read_all(reader) || work->has_header || event->frames == 0)
		return child_stop_liar(child);
	event->values = child->values;
	event->value_count = work->attribute_count;
	work->has_header = true;
	work->frames = event->frames;
	return DICOM_OK;
}

/* Nothing for the caller to see: a large frame takes its time. */
static enum dicom_status
take_working(struct child *child, struct child_work *work, struct message_reader *reader)
{
	uint32_t frame = message_get_32(reader);
	uint64_t bytes = message_get_64(reader);
	uint64_t most = work->size > UINT64_MAX / MAX_INFLATION ? UINT64_MAX : work->size * MAX_INFLATION;

	if (!message_read_all(reader) || !believe_frame(work, frame, false))
		return child_stop_liar(child);
	child->allowance_bytes = bytes < most ? bytes : most;
	return DICOM_PENDING;
}

/* A digest in hex, of a picture that was written into the job's output, if it has one; only the first was. */
static bool
believe_output(struct child_work *work, uint64_t bulk, const struct child_event *event)
{
	if (event->written == 0)
		return event->sha256[0] == '\0';
	if (!work->has_output || bulk > 0 || strspn(event->sha256, "0123456789abcdef") != 64)
		return false;
	work->has_output = false;
	return true;
}

static bool
is_plausible_length(const struct child_work *work, const struct child_event *event, uint64_t length)
{
	uint64_t samples = (uint64_t) event->columns * event->rows * (uint64_t) event->channels;

	if (work->format == CHILD_PIXELS)
		return length == samples;
	return length > 0 && (length <= 2 * samples + JPEG_OVERHEAD || length <= work->size) &&
		   event->columns <= MAX_SIDE && event->rows <= MAX_SIDE;
}

static enum dicom_status
take_picture(struct child *child, struct child_work *work, struct message_reader *reader, uint64_t bulk,
			 struct child_event *event)
{
	event->kind = CHILD_PICTURE;
	event->frame = message_get_32(reader);
	event->columns = message_get_32(reader);
	event->rows = message_get_32(reader);
	event->channels = message_get_8(reader);
	event->passed_through = message_get_8(reader) != 0;
	event->microseconds = message_get_32(reader);
	event->written = message_get_64(reader);
	message_get_string(reader, event->sha256, sizeof(event->sha256));
	if (!message_read_all(reader) || event->columns == 0 || event->rows == 0 ||
		(event->channels != 1 && event->channels != 3) || !believe_output(work, bulk, event) ||
		!is_plausible_length(work, event, event->written > 0 ? event->written : bulk) ||
		!believe_frame(work, event->frame, true))
		return child_stop_liar(child);
	child->event = *event;
	child->has_picture = true;
	dicom_buffer_reset(&child->picture);
	return DICOM_PENDING;
}

static enum dicom_status
take_failure(struct child *child, struct child_work *work, struct message_reader *reader, bool of_frame,
			 struct child_event *event)
{
	event->kind = of_frame ? CHILD_FRAME_FAILED : CHILD_FAILED;
	if (of_frame)
		event->frame = message_get_32(reader);
	message_get_error(reader, &event->error);
	if (!message_read_all(reader) || (of_frame && !believe_frame(work, event->frame, true)))
		return child_stop_liar(child);
	return DICOM_OK;
}

static void
end_job(struct child *child)
{
	free(child->jobs[0].ranges);
	memmove(child->jobs, child->jobs + 1, sizeof(child->jobs[0]) * (size_t) --child->job_count);
	child->read_left = 0;
}

/* DICOM_OK where the message is an event, DICOM_PENDING where it is none, or not whole. */
static enum dicom_status
take_message(struct child *child, const struct message *message, struct child_event *event)
{
	struct child_work *work = &child->jobs[0];
	struct message_reader reader;
	enum dicom_status status;

	message_read(&reader, message);
	if (message->type == MESSAGE_HELLO)
		return take_hello(child, &reader);
	if (message->type == MESSAGE_REFUSED)
		return take_refusal(child, &reader);
	event->job = message_get_64(&reader);
	if (!child->has_greeted || child->job_count == 0 || event->job != work->id || reader.failed)
		return child_stop_liar(child);
	switch (message->type)
	{
		case MESSAGE_READ:
			return take_read(child, work, &reader, event);
		case MESSAGE_HEADER:
			return take_header(child, work, &reader, event);
		case MESSAGE_WORKING:
			return take_working(child, work, &reader);
		case MESSAGE_PICTURE:
			return take_picture(child, work, &reader, message->bulk, event);
		case MESSAGE_FRAME_FAILED:
			return take_failure(child, work, &reader, true, event);
		case MESSAGE_FAILED:
			status = take_failure(child, work, &reader, false, event);
			if (status == DICOM_OK)
				end_job(child);
			return status;
		case MESSAGE_DONE:
			event->kind = CHILD_DONE;
			if (!message_read_all(&reader))
				return child_stop_liar(child);
			end_job(child);
			return DICOM_OK;
		default:
			return child_stop_liar(child);
	}
}

/* Receives what is here of a picture. DICOM_OK where that is all of it. */
static enum dicom_status
receive_picture(struct child *child, struct child_event *event)
{
	while (child->channel.bulk_left > 0)
	{
		uint64_t left = child->channel.bulk_left;
		size_t step = left < PICTURE_STEP ? (size_t) left : PICTURE_STEP;
		char *place = dicom_buffer_reserve(&child->picture, step);
		size_t got;
		enum dicom_status status;

		if (place == NULL)
		{
			child_stop(child, CHILD_BROKE_PROTOCOL, "out of memory");
			child->error.code = DICOM_ERROR_MEMORY;
			return DICOM_FAILED;
		}
		status = message_take_bulk(&child->channel, place, step, &got, &child->error);
		if (status != DICOM_OK)
			return status;
		child->picture.length += got;
		child_resume(child);
	}
	child->has_picture = false;
	*event = child->event;
	event->picture = &child->picture;
	return DICOM_OK;
}

enum dicom_status
child_receive(struct child *child, struct child_event *event)
{
	for (;;)
	{
		struct message message;
		enum dicom_status status;

		if (child->has_picture)
			return receive_picture(child, event);
		status = message_receive(&child->channel, &message, &child->error);
		if (status != DICOM_OK)
			return status;
		memset(event, 0, sizeof(*event));
		child->allowance_bytes = 0;
		status = take_message(child, &message, event);
		if (child->end != CHILD_ALIVE)
			return DICOM_FAILED;
		child_resume(child);
		if (status == DICOM_OK)
			return DICOM_OK;
	}
}
