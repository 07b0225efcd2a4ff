/*
 * output.c
 *	  A queue of things to write, and the threads that do.
 */
#include "output.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define JPEG_TYPE "image/jpeg"
#define NOTE_TYPE "application/json"

/* What a thread writes with. */
struct writer
{
	const struct output_options *options;
	struct store *pictures;
	struct store *notes;
	struct dicom_buffer key;
	struct dicom_buffer text;
};

struct output
{
	struct output_options options;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t wake;
	struct output_task *first, **last; /* to be done */
	struct output_task *done;
	int done_event;
	int queued;
	int waiting; /* threads without a task */
	bool ends;
	pthread_t *threads;
	int thread_count;

	/* the caller's thread only */
	struct writer own;
	bool has_no_drafts;
	struct output_task *done_at_once;
	uint64_t bytes;
};

void
output_task_free(struct output_task *task)
{
	if (task == NULL)
		return;
	dicom_buffer_free(&task->bytes);
	store_upload_close(task->draft);
	free(task->picture.key);
	free(task);
}

/* --- writing --- */

static enum dicom_status
put(struct writer *writer, struct store *store, const char *type, const void *bytes, size_t length,
	struct dicom_error *error)
{
	struct store_put_request request = {.key = writer->key.data, .content_type = type};

	if (writer->key.failed)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return store_put(store, &request, bytes, length, NULL, error);
}

static void
make_key(struct writer *writer, const struct output_task *task)
{
	dicom_buffer_reset(&writer->key);
	dicom_buffer_append_string(&writer->key, writer->options->pictures.prefix);
	dicom_buffer_append_string(&writer->key, task->picture.key);
}

static enum dicom_status
write_picture(struct writer *writer, struct output_task *task)
{
	task->picture.bytes = task->bytes.length;
	if (!digest_text(task->bytes.data, task->bytes.length, task->picture.sha256))
		return dicom_fail(&task->error, DICOM_ERROR_MEMORY, "cannot compute a digest");
	make_key(writer, task);
	if (put(writer, writer->pictures, JPEG_TYPE, task->bytes.data, task->bytes.length, &task->error) !=
		DICOM_OK)
		return DICOM_FAILED;
	task->wrote_picture = true;
	return DICOM_OK;
}

static enum dicom_status
write_note(struct writer *writer, struct output_task *task)
{
	struct picture_note picture = task->picture;

	if (task->picture.key)
	{
		picture.key = strdup(task->picture.key);
		if (picture.key == NULL || !state_add(task->note, &picture))
			return dicom_fail(&task->error, DICOM_ERROR_MEMORY, "out of memory");
	}
	dicom_buffer_reset(&writer->text);
	state_write(task->note, &writer->text);
	if (writer->text.failed)
		return dicom_fail(&task->error, DICOM_ERROR_MEMORY, "out of memory");
	if (writer->options->ledger)
		return ledger_append(writer->options->ledger, writer->text.data, writer->text.length, &task->error);
	dicom_buffer_reset(&writer->key);
	dicom_buffer_append_string(&writer->key, writer->options->notes.prefix);
	state_append_name(&writer->key, task->note->source);
	return put(writer, writer->options->shares_store ? writer->pictures : writer->notes, NOTE_TYPE,
			   writer->text.data, writer->text.length, &task->error);
}

/* Whoever relies on what was written flushes it. */
static enum dicom_status
open_store(const struct place_target *target, struct store **store, struct dicom_error *error)
{
	if (*store)
		return DICOM_OK;
	if (store_open(&target->options, NULL, store, error) != DICOM_OK)
		return DICOM_FAILED;
	store_defer_sync(*store);
	return DICOM_OK;
}

static enum dicom_status
open_writer(struct writer *writer, struct dicom_error *error)
{
	const struct output_options *options = writer->options;

	if (open_store(&options->pictures, &writer->pictures, error) != DICOM_OK)
		return DICOM_FAILED;
	if (options->has_notes && !options->shares_store && !options->ledger)
		return open_store(&options->notes, &writer->notes, error);
	return DICOM_OK;
}

static void
close_writer(struct writer *writer)
{
	store_close(writer->pictures);
	store_close(writer->notes);
	writer->pictures = writer->notes = NULL;
	dicom_buffer_free(&writer->key);
	dicom_buffer_free(&writer->text);
}

static void
do_task(struct writer *writer, struct output_task *task)
{
	struct timespec start;
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &start);
	task->status = open_writer(writer, &task->error);
	if (task->status == DICOM_OK && task->picture.key && !task->wrote_picture)
		task->status = write_picture(writer, task);
	clock_gettime(CLOCK_MONOTONIC, &end);
	task->microseconds +=
		(uint32_t) ((end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000);
	if (task->status == DICOM_OK && task->note)
		task->status = write_note(writer, task);
}

/* --- drafts --- */

/* What the draft holds must be what the child has said; a child that still writes into it does so at its own expense. */
static enum dicom_status
name_draft(struct writer *writer, struct output_task *task)
{
	struct store_put_request request = {.content_type = JPEG_TYPE};

	make_key(writer, task);
	request.key = writer->key.data;
	if (writer->key.failed ||
		store_draft_finish(task->draft, &request, task->picture.bytes, &task->error) != DICOM_OK)
		return DICOM_FAILED;
	task->wrote_picture = true;
	return DICOM_OK;
}

/* Where it cannot have its name, its bytes may: whoever writes them then sees why not. */
static enum dicom_status
take_bytes(struct output_task *task)
{
	size_t length = (size_t) task->picture.bytes;
	char *room = dicom_buffer_reserve(&task->bytes, length);
	size_t got = 0;
	ssize_t more = 1;

	if (room == NULL)
		return dicom_fail(&task->error, DICOM_ERROR_MEMORY, "out of memory");
	while (got < length && more > 0)
	{
		more = pread(store_draft_descriptor(task->draft), room + got, length - got, (off_t) got);
		got += more > 0 ? (size_t) more : 0;
	}
	task->bytes.length = got;
	return got == length
			   ? DICOM_OK
			   : dicom_fail(&task->error, DICOM_ERROR_IO, "a picture was lost while it was written");
}

/* True where the task is over. What is left of it is for a thread to do. */
static bool
do_at_once(struct output *output, struct output_task *task)
{
	if (name_draft(&output->own, task) == DICOM_OK)
	{
		if (task->note && output->options.ledger)
		{
			task->status = write_note(&output->own, task);
			return true;
		}
		return task->note == NULL;
	}
	task->status = take_bytes(task);
	return task->status != DICOM_OK;
}

struct store_upload *
output_draft(struct output *output)
{
	struct store_upload *draft = NULL;
	struct dicom_error error;
	enum dicom_status status;

	if (output->has_no_drafts || open_writer(&output->own, &error) != DICOM_OK)
		return NULL;
	status = store_draft_open(output->own.pictures, &draft, &error);
	if (status == DICOM_END)
	{
		output->has_no_drafts = true;
		close_writer(&output->own);
	}
	return status == DICOM_OK ? draft : NULL;
}

/* --- threads --- */

static struct output_task *
next_task(struct output *output)
{
	struct output_task *task;

	pthread_mutex_lock(&output->lock);
	output->waiting++;
	while (output->first == NULL && !output->ends)
		pthread_cond_wait(&output->wake, &output->lock);
	output->waiting--;
	task = output->ends ? NULL : output->first;
	if (task)
	{
		output->queued--;
		output->first = task->next;
		if (output->first == NULL)
			output->last = &output->first;
	}
	pthread_mutex_unlock(&output->lock);
	return task;
}

static void
give_back(struct output *output, struct output_task *task)
{
	const uint64_t one = 1;
	bool is_first;

	pthread_mutex_lock(&output->lock);
	is_first = output->done == NULL;
	task->next = output->done;
	output->done = task;
	pthread_mutex_unlock(&output->lock);
	if (is_first && write(output->done_event, &one, sizeof(one)) < 0)
		errno = 0; /* the counter is full: it can be read */
}

static void *
run_thread(void *arg)
{
	struct output *output = arg;
	struct writer writer = {.options = &output->options};
	struct output_task *task;

	while ((task = next_task(output)) != NULL)
	{
		do_task(&writer, task);
		give_back(output, task);
	}
	close_writer(&writer);
	return NULL;
}

/* --- the caller's side --- */

enum dicom_status
output_open(const struct output_options *options, struct output **result, struct dicom_error *error)
{
	struct output *output = calloc(1, sizeof(*output));

	if (output)
		output->threads = calloc((size_t) options->threads, sizeof(*output->threads));
	if (output == NULL || output->threads == NULL)
	{
		free(output);
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	}
	output->options = *options;
	output->own.options = &output->options;
	output->last = &output->first;
	output->done_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&output->lock, NULL);
	pthread_cond_init(&output->wake, NULL);
	*result = output;
	if (output->done_event >= 0)
		return DICOM_OK;
	output_close(output);
	return dicom_fail(error, DICOM_ERROR_IO, "cannot make an event: %s", strerror(errno));
}

static void
free_tasks(struct output_task *task)
{
	while (task)
	{
		struct output_task *next = task->next;

		output_task_free(task);
		task = next;
	}
}

void
output_close(struct output *output)
{
	int i;

	if (output == NULL)
		return;
	pthread_mutex_lock(&output->lock);
	output->ends = true;
	pthread_cond_broadcast(&output->wake);
	pthread_mutex_unlock(&output->lock);
	for (i = 0; i < output->thread_count; i++)
		pthread_join(output->threads[i], NULL);
	free_tasks(output->first);
	free_tasks(output->done);
	free_tasks(output->done_at_once);
	close_writer(&output->own);
	if (output->done_event >= 0)
		close(output->done_event);
	pthread_mutex_destroy(&output->lock);
	pthread_cond_destroy(&output->wake);
	free(output->threads);
	free(output);
}

/* One thread more, unless there are enough, or enough have nothing to do. Called with the lock. */
static void
start_thread(struct output *output)
{
	if (output->waiting > output->queued || output->thread_count == output->options.threads)
		return;
	if (pthread_create(&output->threads[output->thread_count], NULL, run_thread, output) == 0)
		output->thread_count++;
}

void
output_submit(struct output *output, struct output_task *task)
{
	bool can_run;

	if (task->draft && do_at_once(output, task))
	{
		task->next = output->done_at_once;
		output->done_at_once = task;
		return;
	}
	output->bytes += task->bytes.length;
	task->next = NULL;
	pthread_mutex_lock(&output->lock);
	start_thread(output);
	can_run = output->thread_count > 0;
	if (can_run)
	{
		output->queued++;
		*output->last = task;
		output->last = &task->next;
		pthread_cond_signal(&output->wake);
	}
	pthread_mutex_unlock(&output->lock);
	if (can_run)
		return;
	task->status = dicom_fail(&task->error, DICOM_ERROR_MEMORY, "cannot start a thread");
	give_back(output, task);
}

struct output_task *
output_take(struct output *output)
{
	struct output_task *tasks = output->done_at_once;
	struct output_task *task;
	uint64_t count;

	output->done_at_once = NULL;
	if (tasks || read(output->done_event, &count, sizeof(count)) < 0)
		return tasks;
	pthread_mutex_lock(&output->lock);
	tasks = output->done;
	output->done = NULL;
	pthread_mutex_unlock(&output->lock);
	for (task = tasks; task; task = task->next)
		output->bytes -= task->bytes.length;
	return tasks;
}

bool
output_is_done(const struct output *output)
{
	return output->done_at_once != NULL;
}

int
output_descriptor(const struct output *output)
{
	return output->done_event;
}

uint64_t
output_bytes(const struct output *output)
{
	return output->bytes;
}
