/*
 * child.c
 *	  What is said to a child, how long its answers may take, and its end.
 */
#include "child_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

_Static_assert(MESSAGE_MAX_DESCRIPTORS >= 2 * CHILD_QUEUE, "all jobs of a child may wait to be sent");

#define DEFAULT_TIMEOUT_MS 10000
#define BYTES_PER_MS \
	4096 /* of decoded samples: what a large frame is allowed on top, a tenth of what decoders do */

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- opening and closing --- */

enum dicom_status
child_open(const struct child_options *options, struct child **result, struct dicom_error *error)
{
	struct child *child = calloc(1, sizeof(*child));

	if (child == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	child->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
	child->channel.socket = -1;
	child->descriptor = -1;
	if (child_spawn(child, options, error) != DICOM_OK)
	{
		child_close(child);
		return DICOM_FAILED;
	}
	child_resume(child);
	*result = child;
	return DICOM_OK;
}

void
child_close(struct child *child)
{
	int i;

	if (child == NULL)
		return;
	child_kill(child);
	message_close(&child->channel);
	if (child->descriptor >= 0)
		close(child->descriptor);
	for (i = 0; i < child->job_count; i++)
		free(child->jobs[i].ranges);
	dicom_buffer_free(&child->picture);
	free(child);
}

int
child_descriptor(const struct child *child)
{
	return child->descriptor;
}

int
child_jobs(const struct child *child)
{
	return child->job_count;
}

enum child_end
child_end(const struct child *child)
{
	return child->end;
}

bool
child_job_at_fault(const struct child *child, uint64_t *id)
{
	if (child->end == CHILD_ALIVE || child->job_count == 0)
		return false;
	*id = child->jobs[0].id;
	return true;
}

int
child_pid(const struct child *child)
{
	return child->pid;
}

/* --- time --- */

void
child_resume(struct child *child)
{
	child->deadline = now_ms() + child->timeout_ms + (int64_t) (child->allowance_bytes / BYTES_PER_MS);
}

/* Is it the child's turn? Not where nothing is asked of it, nor while it waits for bytes of the object. */
static bool
is_due(const struct child *child)
{
	return (child->job_count > 0 || !child->has_greeted) &&
		   (child->read_left == 0 || message_is_sending(&child->channel));
}

int
child_timeout(const struct child *child)
{
	int64_t left;

	if (child->end != CHILD_ALIVE)
		return 0;
	if (!is_due(child))
		return -1;
	left = child->deadline - now_ms();
	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int) left;
}

/* --- the end --- */

static enum dicom_status
say_end(const struct child *child, struct dicom_error *error)
{
	if (error)
		*error = child->error;
	return DICOM_FAILED;
}

enum dicom_status
child_stop(struct child *child, enum child_end end, const char *reason)
{
	child_kill(child);
	child->end = end;
	return dicom_fail(&child->error, DICOM_ERROR_DECODER, "%s", reason);
}

enum dicom_status
child_stop_liar(struct child *child)
{
	return child_stop(child, CHILD_BROKE_PROTOCOL, "decoder sent what makes no sense");
}

/* What is left of a connection that ended, or an error of this side: *child->error is filled where status is DICOM_FAILED. */
static enum dicom_status
stop_after(struct child *child, enum dicom_status status)
{
	if (status == DICOM_FAILED && child->error.code == DICOM_ERROR_PROTOCOL)
		return child_stop_liar(child);
	if (status == DICOM_FAILED)
	{
		child_kill(child);
		child->end = CHILD_BROKE_PROTOCOL;
		return DICOM_FAILED;
	}
	child_see_end(child);
	if (!child->has_greeted && child->end == CHILD_EXITED)
		child->end = CHILD_NOT_STARTED;
	return DICOM_FAILED;
}

/* --- sending --- */

/* The descriptor is readable when there is something to read, or room for what waits to be sent. */
static void
set_polling(struct child *child)
{
	struct epoll_event event = {.events = EPOLLIN};
	bool polls_out = message_is_sending(&child->channel) || child->wants_room;

	if (polls_out == child->polls_out)
		return;
	if (polls_out)
		event.events |= EPOLLOUT;
	epoll_ctl(child->descriptor, EPOLL_CTL_MOD, child->channel.socket, &event);
	child->polls_out = polls_out;
}

/* Sends what fits. That the child is gone is seen when something is to be received: what it said last is there. */
static enum dicom_status
flush(struct child *child)
{
	bool was_sending = message_is_sending(&child->channel);
	size_t sent = child->channel.sent;
	enum dicom_status status = message_flush(&child->channel, &child->error);

	if (status == DICOM_FAILED)
		return stop_after(child, status);
	if (status == DICOM_END)
		return DICOM_OK;
	if (was_sending && (status == DICOM_OK || child->channel.sent != sent))
		child_resume(child);
	set_polling(child);
	return DICOM_OK;
}

static enum dicom_status
check_job(const struct child *child, const struct child_job *job, struct dicom_error *error)
{
	uint32_t last = 0;
	int i;

	if (child->job_count >= CHILD_QUEUE)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "the child has enough to do");
	if (job->frame_count > MESSAGE_MAX_RANGES)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "more than %d ranges of frames", MESSAGE_MAX_RANGES);
	for (i = 0; i < job->frame_count; last = job->frames[i++].last)
		if (job->frames[i].first <= last || job->frames[i].last < job->frames[i].first)
			return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "frames are not in order");
	if (job->attribute_count > MESSAGE_MAX_VALUES)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "more than %d attributes", MESSAGE_MAX_VALUES);
	for (i = 0; i < job->attribute_count; i++)
		if (strlen(job->attributes[i]) >= MESSAGE_MAX_PATH)
			return dicom_fail(error, DICOM_ERROR_LIMIT, "the name of an attribute is too long");
	return DICOM_OK;
}

static void
put_picture_options(struct message_channel *channel, const struct picture_options *options)
{
	message_put_32(channel, options->window);
	message_put_32(channel, options->window_number);
	message_put_double(channel, options->window_center);
	message_put_double(channel, options->window_width);
	message_put_32(channel, (uint32_t) options->quality);
	message_put_32(channel, options->subsampling);
	message_put_32(channel, options->max_size);
	message_put_8(channel, options->no_pass_through);
}

static enum dicom_status
send_job(struct child *child, const struct child_job *job, struct dicom_error *error)
{
	struct message_channel *channel = &child->channel;
	int i;

	message_begin(channel, MESSAGE_JOB);
	message_put_64(channel, job->id);
	message_put_64(channel, job->size);
	message_put_8(channel, job->descriptor >= 0);
	message_put_8(channel, job->output >= 0);
	message_put_8(channel, (uint8_t) job->format);
	put_picture_options(channel, &job->picture);
	message_put_32(channel, (uint32_t) job->frame_count);
	for (i = 0; i < job->frame_count; i++)
	{
		message_put_32(channel, job->frames[i].first);
		message_put_32(channel, job->frames[i].last);
	}
	message_put_32(channel, (uint32_t) job->attribute_count);
	for (i = 0; i < job->attribute_count; i++)
		message_put_string(channel, job->attributes[i]);
	if (job->descriptor >= 0)
		message_put_descriptor(channel, job->descriptor);
	if (job->output >= 0)
		message_put_descriptor(channel, job->output);
	return message_end(channel, NULL, 0, error);
}

static enum dicom_status
queue_job(struct child *child, const struct child_job *job, struct dicom_error *error)
{
	struct child_work *work = &child->jobs[child->job_count];
	size_t size = sizeof(struct child_range) * (size_t) job->frame_count;

	memset(work, 0, sizeof(*work));
	work->id = job->id;
	work->size = job->size;
	work->format = job->format;
	work->attribute_count = job->attribute_count;
	work->has_output = job->output >= 0;
	if (job->frame_count > 0)
	{
		work->ranges = malloc(size);
		if (work->ranges == NULL)
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		memcpy(work->ranges, job->frames, size);
		work->range_count = job->frame_count;
	}
	if (child->job_count++ == 0)
		child_resume(child);
	return DICOM_OK;
}

enum dicom_status
child_submit(struct child *child, const struct child_job *job, struct dicom_error *error)
{
	if (child->end == CHILD_ALIVE && check_job(child, job, error) == DICOM_OK &&
		queue_job(child, job, error) == DICOM_OK)
	{
		if (send_job(child, job, error) == DICOM_OK)
			return DICOM_OK;
		free(child->jobs[--child->job_count].ranges);
		return DICOM_FAILED;
	}
	if (job->descriptor >= 0)
		close(job->descriptor);
	if (job->output >= 0)
		close(job->output);
	return child->end == CHILD_ALIVE ? DICOM_FAILED : say_end(child, error);
}

/* What comes of it is told by child_next(). */
void
child_flush(struct child *child)
{
	if (child->end == CHILD_ALIVE && message_is_sending(&child->channel))
		flush(child);
}

size_t
child_supply(struct child *child, const void *bytes, size_t length)
{
	const char *next = bytes;

	if (length > child->read_left)
		length = (size_t) child->read_left;
	while (length > 0 && child->end == CHILD_ALIVE)
	{
		size_t piece = length < MESSAGE_MAX_DATA ? length : (size_t) MESSAGE_MAX_DATA;

		if (flush(child) != DICOM_OK || message_is_sending(&child->channel))
			break;
		message_begin(&child->channel, MESSAGE_DATA);
		if (message_end(&child->channel, next, piece, &child->error) != DICOM_OK)
		{
			stop_after(child, DICOM_FAILED);
			break;
		}
		flush(child);
		/* What did not fit is sent from a copy: the caller's bytes may go. */
		if (message_is_sending(&child->channel) && !message_keep_bulk(&child->channel))
			child_stop(child, CHILD_BROKE_PROTOCOL, "out of memory");
		next += piece;
		length -= piece;
		child->read_left -= piece;
	}
	/* Room that others make, as child_next() does, is told all the same. */
	child->wants_room = length > 0 && child->end == CHILD_ALIVE;
	set_polling(child);
	return (size_t) (next - (const char *) bytes);
}

void
child_supply_failed(struct child *child, const struct dicom_error *reason)
{
	if (child->end != CHILD_ALIVE || child->read_left == 0)
		return;
	child->read_left = 0;
	child->wants_room = false;
	message_begin(&child->channel, MESSAGE_NO_DATA);
	message_put_error(&child->channel, reason);
	if (message_end(&child->channel, NULL, 0, &child->error) != DICOM_OK)
		stop_after(child, DICOM_FAILED);
	else
		flush(child);
}

/* --- receiving --- */

enum dicom_status
child_next(struct child *child, struct child_event *event, struct dicom_error *error)
{
	enum dicom_status status;

	child_flush(child);
	if (child->end != CHILD_ALIVE)
		return say_end(child, error);
	status = child_receive(child, event);
	if (status == DICOM_PENDING && is_due(child) && now_ms() >= child->deadline)
	{
		bool started = child->has_greeted;

		child_stop(child, CHILD_TIMED_OUT, started ? "decoder made no progress" : "decoder did not start");
		dicom_hint(&child->error, "it was given %d s", child->timeout_ms / 1000);
	}
	else if ((status == DICOM_FAILED || status == DICOM_END) && child->end == CHILD_ALIVE)
		stop_after(child, status);
	return child->end != CHILD_ALIVE ? say_end(child, error) : status;
}
