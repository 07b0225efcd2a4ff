/*
 * item.c
 *	  One source, from its name to the note that its pictures are there.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_SIZE ((uint64_t) 2 << 20) /* reserved for an object of unknown size */

/* --- lists --- */

static void
unlink_item(struct item *item)
{
	struct item_list *list = item->list;

	if (list == NULL)
		return;
	if (item->previous)
		item->previous->next = item->next;
	else
		list->first = item->next;
	if (item->next)
		item->next->previous = item->previous;
	else
		list->last = item->previous;
	list->count--;
	item->previous = item->next = NULL;
	item->list = NULL;
}

void
item_move(struct item *item, struct item_list *list)
{
	unlink_item(item);
	item->list = list;
	item->previous = list->last;
	if (list->last)
		list->last->next = item;
	else
		list->first = item;
	list->last = item;
	list->count++;
}

/* --- beginning and end --- */

void
item_free(struct run *run, struct item *item)
{
	unlink_item(item);
	run->reserved -= item->reserved;
	check_free(item->check);
	object_close(item->object);
	store_upload_close(item->draft);
	template_free(item->own_template);
	frame_set_free(&item->frames);
	state_free(&item->note);
	output_task_free(item->held);
	source_free(&item->source);
	free(item->filled);
	free(item);
}

static enum dicom_status
prepare(struct run *run, struct item *item, struct dicom_error *error)
{
	const char *frames = item->source.frames ? item->source.frames : run->options->frames;

	if (item->source.is_bad)
	{
		*error = item->source.error;
		return DICOM_FAILED;
	}
	if (!digest_text(item->source.url, strlen(item->source.url), item->note.source))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "cannot compute a digest");
	item->template = run->template;
	if (item->source.template)
	{
		if (template_parse(item->source.template, &item->own_template, error) != DICOM_OK)
			return DICOM_FAILED;
		item->template = item->own_template;
	}
	return frame_set_parse(frames, &item->frames, error);
}

void
item_begin(struct run *run, struct source *source)
{
	struct item *item = calloc(1, sizeof(*item));
	struct dicom_error error;

	if (item == NULL)
	{
		dicom_fail(&error, DICOM_ERROR_MEMORY, "out of memory");
		run_break(run, &error);
		source_free(source);
		return;
	}
	item->id = ++run->next_id;
	item->source = *source;
	item_move(item, &run->pending);
	if (prepare(run, item, &error) != DICOM_OK)
		item_fail(run, item, &error, false);
	else
		item_work(run, item);
}

/* The item is over where nothing of it is under way. */
static void
settle(struct run *run, struct item *item)
{
	if (item->step != ITEM_IS_WRITTEN || item->outstanding > 0)
		return;
	if (item->has_failed)
		run->report->sources_failed++;
	else
		run->report->sources_good++;
	item_free(run, item);
}

void
item_fail(struct run *run, struct item *item, const struct dicom_error *error, bool from_file)
{
	item_send_held(run, item);
	report_failure(run->report, item->source.name ? item->source.name : "", 0, error, from_file);
	item->has_failed = true;
	item->step = ITEM_IS_WRITTEN;
	item_move(item, &run->busy);
	settle(run, item);
}

void
item_skip(struct run *run, struct item *item, const struct state_note *note)
{
	struct dicom_error error;
	uint32_t i;

	for (i = 0; i < note->count; i++)
		if (taken_add(&run->taken, note->pictures[i].key, &error) == DICOM_OK)
			report_picture(run->report, item->source.name, &note->pictures[i], 0, true);
		else
		{
			item->has_failed = true;
			report_failure(run->report, item->source.name, note->pictures[i].frame, &error, false);
		}
	run->report->sources_skipped += !item->has_failed;
	item->step = ITEM_IS_WRITTEN;
	settle(run, item);
}

/* --- on the way to a child --- */

static void
reserve(struct run *run, struct item *item)
{
	uint64_t size = item->source.size;

	item->reserved = size == STORE_SIZE_UNKNOWN ? UNKNOWN_SIZE : size <= OBJECT_WHOLE ? size : OBJECT_MEMORY;
	run->reserved += item->reserved;
}

static enum dicom_status
fetch(struct run *run, struct item *item, struct dicom_error *error)
{
	struct store *store;

	if (item->object == NULL)
	{
		if (stores_get(run->stores, item->source.place, &store, error) != DICOM_OK)
			return DICOM_FAILED;
		if (item->reserved == 0 && store_is_remote(store))
			reserve(run, item);
		if (object_open(store, item->source.key, item->source.size, &item->object, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	return object_begin(item->object, error);
}

/* What the pictures will be noted as made of. One that was begun with another version of the object is not gone on with. */
static enum dicom_status
note_version(struct run *run, struct item *item, struct dicom_error *error)
{
	const char *etag = object_etag(item->object);

	if (item->note.etag && strcmp(item->note.etag, etag) != 0)
		return dicom_fail(error, DICOM_ERROR_CHANGED, "object changed while it was read");
	if (item->note.etag == NULL)
		item->note.etag = strdup(etag);
	if (item->note.etag == NULL || !check_fingerprint(run, item, item->note.fingerprint))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return DICOM_OK;
}

void
item_work(struct run *run, struct item *item)
{
	const struct state_note *note;
	struct dicom_error error;
	enum dicom_status status;

	if (item->step == ITEM_CHECKS)
	{
		status = check_item(run, item, &note);
		if (status == DICOM_PENDING)
			return;
		if (status == DICOM_OK)
		{
			item_skip(run, item, note);
			return;
		}
		check_free(item->check);
		item->check = NULL;
		item->step = ITEM_FETCHES;
	}
	status = fetch(run, item, &error);
	if (status == DICOM_OK)
		status = note_version(run, item, &error);
	if (status == DICOM_FAILED)
		item_fail(run, item, &error, false);
	else if (status == DICOM_OK)
	{
		item->step = ITEM_IS_READY;
		item_move(item, item->was_tried ? &run->again : &run->ready);
	}
}

/* --- pictures --- */

static void
submit(struct run *run, struct item *item, struct output_task *task)
{
	item->outstanding++;
	output_submit(run->output, task);
}

void
item_send_held(struct run *run, struct item *item)
{
	if (item->held)
		submit(run, item, item->held);
	item->held = NULL;
}

static enum dicom_status
make_key(struct run *run, struct item *item, uint32_t frame, struct dicom_buffer *key,
		 struct dicom_error *error)
{
	if (item->filled == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (template_key(item->filled, frame, key, error) != DICOM_OK)
		return DICOM_FAILED;
	return taken_add(&run->taken, key->data, error);
}

/* The child has written it where it was told to. */
static void
take_draft(struct item *item, const struct child_event *event, struct output_task *task)
{
	task->draft = item->draft;
	task->picture.bytes = event->written;
	memcpy(task->picture.sha256, event->sha256, SHA256_TEXT);
	item->draft = NULL;
}

void
item_take_picture(struct run *run, struct item *item, const struct child_event *event)
{
	struct output_task *task = calloc(1, sizeof(*task));
	struct dicom_buffer key = {0};
	struct dicom_error error;

	item_send_held(run, item);
	item->last_frame = event->frame;
	if (task == NULL)
		dicom_fail(&error, DICOM_ERROR_MEMORY, "out of memory");
	else if (make_key(run, item, event->frame, &key, &error) == DICOM_OK)
	{
		task->owner = item;
		task->picture.frame = event->frame;
		task->picture.columns = event->columns;
		task->picture.rows = event->rows;
		task->picture.key = key.data;
		task->microseconds = event->microseconds;
		if (event->written > 0)
			take_draft(item, event, task);
		else
		{
			task->bytes = *event->picture;
			memset(event->picture, 0, sizeof(*event->picture));
		}
		item->held = task;
		return;
	}
	dicom_buffer_free(&key);
	free(task);
	item->has_failed = true;
	report_failure(run->report, item->source.name, event->frame, &error, true);
}

/* With the last picture, or behind it, goes the note. */
static bool
give_note(struct run *run, struct item *item)
{
	struct output_task *task = item->held;

	if (!run->has_notes || item->note_given || item->has_failed || item->outstanding > 0)
		return false;
	if (task == NULL)
	{
		if (item->note.count == 0)
			return false;
		task = calloc(1, sizeof(*task));
		if (task == NULL)
			return false;
		task->owner = item;
	}
	item->held = NULL;
	item->note_given = true;
	task->note = &item->note;
	submit(run, item, task);
	return true;
}

void
item_finish(struct run *run, struct item *item)
{
	item->step = ITEM_IS_WRITTEN;
	if (!give_note(run, item))
		item_send_held(run, item);
	settle(run, item);
}

void
item_take_written(struct run *run, struct output_task *task)
{
	struct item *item = task->owner;

	item->outstanding--;
	if (task->wrote_picture)
		report_picture(run->report, item->source.name, &task->picture, task->microseconds, false);
	if (task->status != DICOM_OK)
	{
		item->has_failed = true;
		report_failure(run->report, item->source.name, task->wrote_picture ? 0 : task->picture.frame,
					   &task->error, false);
	}
	else if (task->note == NULL && run->has_notes)
	{
		struct picture_note picture = task->picture;

		task->picture.key = NULL;
		item->has_failed |= !state_add(&item->note, &picture);
	}
	output_task_free(task);
	if (item->step != ITEM_IS_WRITTEN || !give_note(run, item))
		settle(run, item);
}
