/*
 * slot.c
 *	  The children: who gets what, what they say, and what becomes of those that die.
 *
 * A child has more than one item, so that it need not wait for the next one. The item over which a child dies is tried once more, alone in
 * a child that has done nothing before, and only with the frames that are still to come; the others were not begun.
 */
#include "run.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define EARLY_CHILDREN 2 /* started before it is known whether there is anything to do */
#define SMALL_QUEUE \
	((uint64_t) 8 << 20) /* bytes of the objects that wait for one child, but for the first two */
#define CHILD_LIFE_MS \
	((int64_t) 30 * 60 * 1000) /* a child may have so much CPU time in all; it is replaced long before */

/* --- assigning --- */

static enum dicom_status
open_child(struct run *run, struct slot *slot, struct dicom_error *error)
{
	struct child_options options = {.program = run->program,
									.memory = run->memory,
									.has_outputs = true,
									.timeout_ms = run->options->timeout_ms};

	slot->began_ms = run_now_ms();
	return child_open(&options, &slot->child, error);
}

static void
slot_close(struct slot *slot)
{
	child_close(slot->child);
	slot->child = NULL;
	slot->count = 0;
	slot->is_alone = false;
}

/* To load its decoders takes a child longer than to find sources. */
enum dicom_status
slots_open(struct run *run, struct dicom_error *error)
{
	int i;

	run->slots = calloc((size_t) run->options->jobs, sizeof(*run->slots));
	if (run->slots == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	for (i = 0; i < run->options->jobs && i < EARLY_CHILDREN; i++)
		if (open_child(run, &run->slots[i], error) != DICOM_OK)
			return DICOM_FAILED;
	return DICOM_OK;
}

void
slots_close(struct run *run)
{
	int i;

	for (i = 0; run->slots && i < run->options->jobs; i++)
		child_kill_soon(run->slots[i].child);
	for (i = 0; run->slots && i < run->options->jobs; i++)
		slot_close(&run->slots[i]);
	free(run->slots);
}

/* A child that is at work needs the next item at hand, and more where they are soon done. */
static bool
can_take(const struct run *run, const struct slot *slot, const struct item *item, bool alone)
{
	uint64_t size = object_size(item->object);
	int i;

	if (slot->is_alone || slot->count >= (alone ? 1 : run->queue))
		return false;
	for (i = 0; i < slot->count; i++)
		size += slot->items[i]->size;
	return slot->count < 2 || size <= SMALL_QUEUE;
}

/* The slot with the least to do that can take an item; NULL: none. One that is to be tried alone takes an idle one. */
static struct slot *
find_slot(struct run *run, const struct item *item, bool alone)
{
	struct slot *best = NULL;
	int i;

	for (i = 0; i < run->options->jobs; i++)
	{
		struct slot *slot = &run->slots[i];

		if (!can_take(run, slot, item, alone))
			continue;
		/* While something waits to be tried alone, a slot is kept from getting more. */
		if (!alone && run->again.count > 0 && i == 0)
			continue;
		if (best == NULL || slot->count < best->count)
			best = slot;
	}
	return best;
}

static enum dicom_status
submit(struct run *run, struct slot *slot, struct item *item, struct dicom_error *error)
{
	struct child_range ranges[MESSAGE_MAX_RANGES + 1];
	struct child_job job = {.id = item->id, .size = object_size(item->object)};

	item->size = job.size;
	job.descriptor = object_take_descriptor(item->object);
	/* A copy goes out: the draft may be gone before, where a child says that a job has failed which it has not even got. */
	item->draft = run->has_drafts ? output_draft(run->output) : NULL;
	job.output = item->draft ? fcntl(store_draft_descriptor(item->draft), F_DUPFD_CLOEXEC, 3) : -1;
	job.picture = run->options->picture;
	job.frames = item->last_frame > 0 ? ranges : item->frames.ranges;
	job.frame_count =
		item->last_frame > 0 ? frame_set_behind(&item->frames, item->last_frame, ranges) : item->frames.count;
	job.attributes = template_attributes(item->template, &job.attribute_count);
	if (job.descriptor >= 0)
	{
		object_close(item->object);
		item->object = NULL;
	}
	return child_submit(slot->child, &job, error);
}

static void
assign(struct run *run, struct slot *slot, struct item *item)
{
	struct dicom_error error;
	bool is_old = slot->child && slot->count == 0 && run_now_ms() - slot->began_ms > CHILD_LIFE_MS;

	if (item->was_tried || is_old)
		slot_close(slot);
	if (slot->child == NULL && open_child(run, slot, &error) != DICOM_OK)
	{
		run_break(run, &error);
		return;
	}
	item->step = ITEM_IS_DECODED;
	item->slot = slot;
	item_move(item, &run->busy);
	slot->items[slot->count++] = item;
	slot->is_alone = item->was_tried;
	if (submit(run, slot, item, &error) != DICOM_OK && child_end(slot->child) == CHILD_ALIVE)
	{
		slot->count--;
		slot->is_alone = false;
		item->slot = NULL;
		item_fail(run, item, &error, false);
	}
}

static void
assign_list(struct run *run, struct item_list *list, bool alone)
{
	while (list->first && !run->is_broken)
	{
		struct slot *slot = find_slot(run, list->first, alone);

		if (slot == NULL)
			break;
		assign(run, slot, list->first);
	}
}

void
slots_assign(struct run *run)
{
	assign_list(run, &run->again, true);
	assign_list(run, &run->ready, false);
}

/* --- the end of a child --- */

/* Fetches the object again: what was handed to the child is gone. */
static void
begin_again(struct run *run, struct item *item)
{
	object_close(item->object);
	store_upload_close(item->draft);
	item->object = NULL;
	item->draft = NULL;
	item->slot = NULL;
	item->is_serving = false;
	item->step = ITEM_FETCHES;
	item_move(item, &run->pending);
	item_work(run, item);
}

static void
bury(struct run *run, struct slot *slot, const struct dicom_error *reason)
{
	struct item *items[CHILD_QUEUE];
	int count = slot->count;
	enum child_end end = child_end(slot->child);
	int i;

	memcpy(items, slot->items, sizeof(items));
	slot_close(slot);
	if (end == CHILD_NOT_STARTED)
	{
		run_break(run, reason);
		return;
	}
	for (i = 0; i < count; i++)
	{
		struct item *item = items[i];

		item_send_held(run, item);
		item->slot = NULL;
		if (i == 0 && item->was_tried)
			item_fail(run, item, reason, true);
		else
		{
			item->was_tried |= i == 0;
			begin_again(run, item);
		}
	}
}

/* --- what a child says --- */

static void
take_header(struct run *run, struct item *item, const struct child_event *event)
{
	if (item->filled == NULL)
		item->filled = template_fill(item->template, event, item->source.key, &run->charsets);
}

static struct item *
end_job(struct slot *slot)
{
	struct item *item = slot->items[0];

	memmove(slot->items, slot->items + 1, sizeof(slot->items[0]) * (size_t) --slot->count);
	slot->is_alone = false;
	item->slot = NULL;
	item->is_serving = false;
	object_close(item->object);
	item->object = NULL;
	return item;
}

static void
take_failure(struct run *run, struct slot *slot, const struct child_event *event)
{
	struct item *item = end_job(slot);

	/* An object that was rewritten meanwhile is read once more. */
	if (event->error.code == DICOM_ERROR_CHANGED && !item->was_tried && item->last_frame == 0)
	{
		item->was_tried = true;
		free(item->note.etag);
		item->note.etag = NULL;
		begin_again(run, item);
		return;
	}
	item_fail(run, item, &event->error, true);
}

static void
take_event(struct run *run, struct slot *slot, struct child_event *event)
{
	struct item *item = slot->items[0];

	switch (event->kind)
	{
		case CHILD_READ:
			item->is_serving = item->object != NULL;
			if (item->object)
				object_want(item->object, event->offset, event->length);
			else
				child_supply_failed(slot->child, &(struct dicom_error){.code = DICOM_ERROR_PROTOCOL});
			break;
		case CHILD_HEADER:
			take_header(run, item, event);
			break;
		case CHILD_PICTURE:
			item_take_picture(run, item, event);
			break;
		case CHILD_FRAME_FAILED:
			item->last_frame = event->frame;
			item->has_failed = true;
			report_failure(run->report, item->source.name, event->frame, &event->error, true);
			break;
		case CHILD_FAILED:
			take_failure(run, slot, event);
			break;
		case CHILD_DONE:
			item_finish(run, end_job(slot));
			break;
	}
}

static void
serve(struct run *run, struct slot *slot)
{
	struct item *item = slot->count > 0 ? slot->items[0] : NULL;
	struct dicom_error error;

	if (item && item->is_serving && object_serve(item->object, slot->child, &error) != DICOM_PENDING)
		item->is_serving = false;
}

void
slot_work(struct run *run, struct slot *slot)
{
	struct child_event event;
	struct dicom_error error;
	enum dicom_status status;

	serve(run, slot);
	while ((status = child_next(slot->child, &event, &error)) == DICOM_OK)
	{
		take_event(run, slot, &event);
		serve(run, slot);
	}
	if (status == DICOM_FAILED)
		bury(run, slot, &error);
	else if (slot->count > 0)
		item_send_held(run, slot->items[0]);
}
