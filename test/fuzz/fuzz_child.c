/*
 * fuzz_child.c
 *	  A parent that is told anything by its child neither crashes nor believes it: frames are those asked for, ranges lie within the object, texts
 *	  are printable.
 *
 * The first byte chooses the job; what follows is written to the socket as the child's, in pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../compress/fake_child.h"

#define OBJECT_SIZE 5000
#define PIECE       1000

static const struct child_range ranges[] = {{2, 4}, {6, 6}};
static const char *const attributes[] = {"patient_name", "modality", "study_date"};

static void
check_text(const char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7E)
			abort();
}

static void
check_event(struct child *child, const struct child_event *event, bool has_ranges, uint32_t *last)
{
	static const char zeros[OBJECT_SIZE];

	if (event->kind == CHILD_READ)
	{
		if (event->length == 0 || event->length > OBJECT_SIZE || event->offset > OBJECT_SIZE - event->length)
			abort();
		child_supply(child, zeros, event->length);
	}
	if (event->kind == CHILD_PICTURE || event->kind == CHILD_FRAME_FAILED)
	{
		if (event->frame <= *last ||
			(has_ranges && (event->frame < 2 || event->frame == 5 || event->frame > 6)))
			abort();
		*last = event->frame;
	}
	if (event->kind == CHILD_PICTURE &&
		(event->picture->length == 0 || event->columns == 0 || event->rows == 0))
		abort();
	if (event->kind == CHILD_FAILED || event->kind == CHILD_FRAME_FAILED)
	{
		check_text(event->error.message);
		check_text(event->error.hint);
	}
}

/* Takes all events that are there; false where the child is dead. */
static bool
listen_to(struct child *child, bool has_ranges, uint32_t *last)
{
	struct child_event event;
	struct dicom_error error;
	enum dicom_status status;

	while ((status = child_next(child, &event, &error)) == DICOM_OK)
		check_event(child, &event, has_ranges, last);
	if (status == DICOM_FAILED)
		check_text(error.message);
	return status == DICOM_PENDING;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct child_job job = {.id = 1, .size = OBJECT_SIZE, .descriptor = -1, .output = -1, .frames = ranges};
	struct message_channel other;
	struct child *child;
	uint32_t last = 0;
	bool alive = true;
	size_t i;

	if (size < 1)
		return 0;
	child = fake_child(&other);
	job.frame_count = data[0] & 1 ? 2 : 0;
	job.format = data[0] & 2 ? CHILD_PIXELS : CHILD_JPEG;
	job.attributes = attributes;
	job.attribute_count = data[0] >> 2 & 3;
	if (child_submit(child, &job, NULL) != DICOM_OK)
		abort();
	for (i = 1; alive && i < size; i += PIECE)
	{
		ssize_t written = write(other.socket, data + i, size - i < PIECE ? size - i : PIECE);

		alive = written > 0 && listen_to(child, job.frame_count > 0, &last);
	}
	message_close(&other);
	while (alive)
		alive = listen_to(child, job.frame_count > 0, &last);
	child_close(child);
	return 0;
}
