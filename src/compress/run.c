/*
 * run.c
 *	  The loop: takes sources in, lets everything go on that can, waits for whatever happens next.
 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "descriptors.h"

#define REMOTE_WRITERS 32 /* threads, and as many for each job */
#define WRITERS_MOST   256
#define PENDING_MOST   64                    /* sources on their way, and as many for each job */
#define BUSY_MOST      1024                  /* whose pictures are being written */
#define FETCH_MEMORY   ((uint64_t) 64 << 20) /* of all objects on their way */
#define FETCH_PER_JOB  OBJECT_MEMORY
#define WRITE_MEMORY   ((uint64_t) 32 << 20) /* of pictures on their way, before children are held up */
#define WRITE_PER_JOB  ((uint64_t) 16 << 20)
#define MEMORY_LEAST   ((uint64_t) 512 << 20)
#define PROGRESS_MS    500
#define POLLED_STORES  1024 /* buckets read from at a time */
#define POLLED_BESIDES (POLLED_STORES + 4)

int64_t
run_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
run_break(struct run *run, const struct dicom_error *error)
{
	if (!run->is_broken)
		run->error = *error;
	run->is_broken = true;
}

/* --- opening --- */

/* What a control group allows; UINT64_MAX where there is none. */
static uint64_t
group_memory(void)
{
	FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
	unsigned long long limit = 0;

	if (file == NULL)
		return UINT64_MAX;
	if (fscanf(file, "%llu", &limit) != 1)
		limit = 0;
	fclose(file);
	return limit > 0 ? (uint64_t) limit : UINT64_MAX;
}

/* Three quarters of the machine, in even shares. */
static uint64_t
share_of_memory(int jobs)
{
	uint64_t machine = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGE_SIZE);
	uint64_t group = group_memory();
	uint64_t share = (machine < group ? machine : group) / 4 * 3 / (uint64_t) jobs;

	return share > MEMORY_LEAST ? share : MEMORY_LEAST;
}

/* Where there are too few, children get the least that keeps them busy, and send their pictures. */
static enum dicom_status
settle_descriptors(struct run *run, struct dicom_error *error)
{
	uint64_t jobs = (uint64_t) run->options->jobs;
	uint64_t least = DESCRIPTORS_BESIDES + jobs * DESCRIPTORS_LEAST;
	uint64_t allowed = descriptors_allowed();

	if (allowed < least)
	{
		dicom_fail(error, DICOM_ERROR_LIMIT, "%d jobs need %llu open files, and %llu are allowed",
				   run->options->jobs, (unsigned long long) least, (unsigned long long) allowed);
		return dicom_hint(error, "ask for fewer --jobs, or raise the limit (ulimit -n)");
	}
	run->has_drafts = allowed >= DESCRIPTORS_BESIDES + jobs * DESCRIPTORS_WANTED;
	run->queue = run->has_drafts ? CHILD_QUEUE : 2;
	return DICOM_OK;
}

static bool
is_none(const char *text)
{
	return text && strcmp(text, "none") == 0;
}

/* Notes lie below the pictures, where nothing else is said. */
static enum dicom_status
find_targets(struct run *run, struct output_options *output, struct dicom_error *error)
{
	const struct options *options = run->options;

	if (places_target(run->places, options->output, &output->pictures, error) != DICOM_OK)
		return DICOM_FAILED;
	output->has_notes = !is_none(options->state);
	output->notes = output->pictures;
	output->shares_store = options->state == NULL;
	if (output->has_notes && options->state &&
		places_target(run->places, options->state, &output->notes, error) != DICOM_OK)
		return DICOM_FAILED;
	if (output->has_notes && options->state == NULL)
	{
		dicom_buffer_append_string(&run->notes_below, output->pictures.prefix);
		dicom_buffer_append_string(&run->notes_below, STATE_PREFIX);
		output->notes.prefix = run->notes_below.data;
	}
	return run->notes_below.failed ? dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory") : DICOM_OK;
}

static enum dicom_status
open_output(struct run *run, struct dicom_error *error)
{
	struct output_options output = {0};
	int jobs = run->options->jobs;

	if (find_targets(run, &output, error) != DICOM_OK ||
		check_open(run, &output.pictures, output.has_notes ? &output.notes : NULL, error) != DICOM_OK)
		return DICOM_FAILED;
	output.ledger = run->ledger;
	output.threads = store_is_remote(run->picture_store) ? REMOTE_WRITERS + 16 * jobs : jobs;
	if (output.threads > WRITERS_MOST)
		output.threads = WRITERS_MOST;
	return output_open(&output, &run->output, error);
}

static enum dicom_status
open_run(struct run *run, struct dicom_error *error)
{
	run->memory = run->options->memory ? run->options->memory : share_of_memory(run->options->jobs);
	run->polled = calloc((size_t) run->options->jobs + POLLED_BESIDES, sizeof(*run->polled));
	if (run->polled == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (settle_descriptors(run, error) != DICOM_OK ||
		template_parse(run->options->key, &run->template, error) != DICOM_OK ||
		places_open(run->options, &run->places, error) != DICOM_OK || slots_open(run, error) != DICOM_OK)
		return DICOM_FAILED;
	run->stores = stores_open(run->places);
	if (run->stores == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (open_output(run, error) != DICOM_OK)
		return DICOM_FAILED;
	return input_open(run->options, run->places, run->stores, &run->input, error);
}

static void
free_items(struct run *run, struct item_list *list)
{
	while (list->first)
		item_free(run, list->first);
}

static void
close_run(struct run *run)
{
	slots_close(run);
	output_close(run->output); /* before the items that its tasks belong to */
	free_items(run, &run->pending);
	free_items(run, &run->ready);
	free_items(run, &run->again);
	free_items(run, &run->busy);
	free(run->polled);
	input_close(run->input);
	check_close(run);
	stores_close(run->stores);
	places_close(run->places);
	template_free(run->template);
	dicom_charset_cache_close(&run->charsets);
	dicom_buffer_free(&run->notes_below);
	taken_free(&run->taken);
}

/* --- the loop --- */

/* Is there room for another source? One may always be on its way. */
static bool
wants_more(const struct run *run)
{
	uint64_t memory = FETCH_MEMORY + FETCH_PER_JOB * (uint64_t) run->options->jobs;

	if (run->input_ended || run->is_broken || run->busy.count >= BUSY_MOST)
		return false;
	return run->ready.count + run->again.count < run->options->jobs * run->queue &&
		   run->pending.count < PENDING_MOST * (run->options->jobs + 1) &&
		   (run->reserved < memory || run->pending.count + run->ready.count == 0);
}

static void
take_sources(struct run *run)
{
	run->input_waits = false;
	while (wants_more(run))
	{
		struct source source;
		enum dicom_status status = input_next(run->input, &source);

		if (status == DICOM_OK)
			item_begin(run, &source);
		else
		{
			run->input_ended = status == DICOM_END;
			run->input_waits = status == DICOM_PENDING;
			return;
		}
		slots_assign(run);
	}
}

static void
work_on_pending(struct run *run)
{
	struct item *item = run->pending.first;

	while (item)
	{
		struct item *next = item->next;

		item_work(run, item);
		item = next;
	}
}

static void
take_written(struct run *run)
{
	struct output_task *task = output_take(run->output);

	while (task)
	{
		struct output_task *next = task->next;

		item_take_written(run, task);
		task = next;
	}
}

/* Pictures come faster than they can be written. */
static bool
is_held_up(const struct run *run)
{
	return output_bytes(run->output) > WRITE_MEMORY + WRITE_PER_JOB * (uint64_t) run->options->jobs;
}

static void
work_on_children(struct run *run)
{
	int i;

	for (i = 0; i < run->options->jobs && !run->is_broken; i++)
	{
		struct slot *slot = &run->slots[i];

		if (slot->child == NULL)
			continue;
		if (is_held_up(run))
			slot->was_held = true;
		else
		{
			if (slot->was_held)
				child_resume(slot->child);
			slot->was_held = false;
			slot_work(run, slot);
		}
	}
}

static bool
is_over(const struct run *run)
{
	return run->is_broken ||
		   (run->input_ended &&
			run->pending.count + run->ready.count + run->again.count + run->busy.count == 0);
}

static void
add_polled(struct run *run, int descriptor, int *count)
{
	if (descriptor >= 0)
		run->polled[(*count)++] = (struct pollfd){.fd = descriptor, .events = POLLIN};
}

static void
lower(int *timeout_ms, int other)
{
	if (other >= 0 && (*timeout_ms < 0 || other < *timeout_ms))
		*timeout_ms = other;
}

static void
wait_for_something(struct run *run)
{
	int timeout_ms = run->report->shows_progress ? PROGRESS_MS : -1;
	int count = 0;
	int i;

	add_polled(run, output_descriptor(run->output), &count);
	if (run->input_waits)
		add_polled(run, input_descriptor(run->input), &count);
	for (i = 0; i < run->options->jobs; i++)
		if (run->slots[i].child && !run->slots[i].was_held)
		{
			child_flush(run->slots[i].child);
			add_polled(run, child_descriptor(run->slots[i].child), &count);
			lower(&timeout_ms, child_timeout(run->slots[i].child));
		}
	count += stores_poll(run->stores, run->polled + count, POLLED_STORES, &timeout_ms);
	count += stores_poll_one(run->note_store, run->polled + count, &timeout_ms);
	count += stores_poll_one(run->picture_store, run->polled + count, &timeout_ms);
	poll(run->polled, (nfds_t) count, timeout_ms);
	stores_work(run->stores);
	stores_work_one(run->note_store);
	stores_work_one(run->picture_store);
}

static void
loop(struct run *run)
{
	for (;;)
	{
		take_written(run);
		work_on_children(run);
		work_on_pending(run);
		take_sources(run);
		slots_assign(run);
		if (output_is_done(run->output))
			continue;
		if (is_over(run))
			break;
		report_flush(run->report);
		if (run->report->is_broken)
		{
			dicom_fail(&run->error, DICOM_ERROR_IO, "nobody reads standard output");
			run->is_broken = true;
			break;
		}
		wait_for_something(run);
	}
}

enum dicom_status
run_options(const struct options *options, const char *program, struct report *report,
			struct dicom_error *error)
{
	struct run run = {.options = options, .program = program, .report = report};
	enum dicom_status status = open_run(&run, error);

	if (status == DICOM_OK)
	{
		loop(&run);
		if (run.is_broken)
		{
			*error = run.error;
			status = DICOM_FAILED;
		}
	}
	close_run(&run);
	return status;
}
