/*
 * pictures.c
 *	  Pictures of objects, made by a dicompress child.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "miscadmin.h"

#include <fcntl.h>
#include <unistd.h>

#include "../pg/handle.h"
#include "../pg/program.h"
#include "../pg/report.h"
#include "../pg/wait.h"
#include "pictures.h"

#define PIECE ((size_t) 1 << 20) /* of an object, read at a time for a child that asks for more */

struct pictures
{
	MemoryContext context;
	char *program;
	struct child *child; /* NULL: none is running */
	uint64_t last_job;
	uint8_t *piece;
};

static void
close_pictures(void *arg)
{
	struct pictures *pictures = arg;

	child_close(pictures->child);
	pictures->child = NULL;
}

struct pictures *
pictures_open(void)
{
	struct pictures *pictures = palloc0(sizeof(*pictures));

	pictures->context = CurrentMemoryContext;
	pictures->program = program_decoder_path();
	handle_tie(CurrentMemoryContext, close_pictures, pictures);
	return pictures;
}

/* --- the object --- */

/* A job's view of an object, what is known of it included. */
struct opened
{
	const struct picture_object *object;
	uint64_t size;
	char *etag; /* of a key */
	int descriptor;
};

static enum dicom_status
open_object(const struct picture_object *object, struct opened *opened, struct dicom_error *error)
{
	struct store_object known;

	opened->object = object;
	opened->descriptor = -1;
	opened->etag = NULL;
	if (object->bytes)
	{
		opened->size = object->length;
		return DICOM_OK;
	}
	if (store_is_remote(object->store))
	{
		if (store_head(object->store, object->key, &known, error) != DICOM_OK)
			return DICOM_FAILED;
		opened->etag = pstrdup(known.etag);
	}
	else if (store_open_descriptor(object->store, object->key, &opened->descriptor, &known, error) !=
			 DICOM_OK)
		return DICOM_FAILED;
	opened->size = known.size;
	return DICOM_OK;
}

static enum dicom_status
wait_for_child(struct child *child, struct dicom_error *error)
{
	if (!backend_host.wait(backend_host.arg, child_descriptor(child), child_timeout(child)))
		return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted");
	return DICOM_OK;
}

/* Hands bytes to the child, as fast as it takes them. */
static enum dicom_status
supply(struct child *child, const uint8_t *bytes, size_t length, struct dicom_error *error)
{
	while (length > 0)
	{
		size_t taken = child_supply(child, bytes, length);

		bytes += taken;
		length -= taken;
		if (length > 0 && taken == 0)
		{
			/* Where it is dead, child_next() will say so. */
			if (child_end(child) != CHILD_ALIVE)
				return DICOM_OK;
			if (wait_for_child(child, error) != DICOM_OK)
				return DICOM_FAILED;
		}
	}
	return DICOM_OK;
}

static enum dicom_status
supply_of_store(struct pictures *pictures, const struct opened *opened, uint64_t offset, uint64_t length,
				struct dicom_error *error)
{
	struct store_read_request request = {.key = opened->object->key, .if_match = opened->etag};
	size_t got;

	if (pictures->piece == NULL)
		pictures->piece = MemoryContextAlloc(pictures->context, PIECE);
	while (length > 0 && child_end(pictures->child) == CHILD_ALIVE)
	{
		request.offset = offset;
		request.length = (size_t) Min(length, PIECE);
		request.buffer = pictures->piece;
		if (store_read(opened->object->store, &request, &got, NULL, error) != DICOM_OK ||
			(got < request.length &&
			 dicom_fail(error, DICOM_ERROR_CHANGED, "the object became shorter while it was read")))
		{
			if (error->code == DICOM_ERROR_INTERRUPTED)
				return DICOM_FAILED;
			child_supply_failed(pictures->child, error);
			return DICOM_OK;
		}
		child_resume(pictures->child);
		if (supply(pictures->child, pictures->piece, got, error) != DICOM_OK)
			return DICOM_FAILED;
		offset += got;
		length -= got;
	}
	return DICOM_OK;
}

/* Answers CHILD_READ. The child has checked the range; so do we. */
static enum dicom_status
answer_read(struct pictures *pictures, const struct opened *opened, const struct child_event *event,
			struct dicom_error *error)
{
	struct dicom_error beyond;

	if (event->offset > opened->size || event->length > opened->size - event->offset)
	{
		dicom_fail(&beyond, DICOM_ERROR_PROTOCOL, "the decoder asks for what is not there");
		child_supply_failed(pictures->child, &beyond);
		return DICOM_OK;
	}
	if (opened->object->bytes)
		return supply(pictures->child, opened->object->bytes + event->offset, (size_t) event->length, error);
	return supply_of_store(pictures, opened, event->offset, event->length, error);
}

/* --- a job --- */

static enum dicom_status
submit(struct pictures *pictures, const struct picture_request *request, struct opened *opened,
	   struct dicom_error *error)
{
	struct child_options options = {.program = pictures->program};
	struct child_range range = {request->frame, request->frame};
	struct child_job job = {.id = ++pictures->last_job,
							.size = opened->size,
							.descriptor = opened->descriptor,
							.output = -1,
							.format = request->format,
							.picture = request->options,
							.frames = &range,
							.frame_count = request->frame > 0 ? 1 : 0};

	opened->descriptor = -1;
	if (pictures->child == NULL && child_open(&options, &pictures->child, error) != DICOM_OK)
	{
		if (job.descriptor >= 0)
			close(job.descriptor);
		return DICOM_FAILED;
	}
	child_resume(pictures->child);
	return child_submit(pictures->child, &job, error);
}

/* The job's events, up to its end. */
static enum dicom_status
follow(struct pictures *pictures, const struct opened *opened, picture_receiver receiver, void *arg,
	   struct dicom_error *error)
{
	struct child_event event;

	for (;;)
	{
		enum dicom_status status = child_next(pictures->child, &event, error);

		if (status == DICOM_PENDING)
			status = wait_for_child(pictures->child, error);
		else if (status == DICOM_OK)
		{
			switch (event.kind)
			{
				case CHILD_READ:
					status = answer_read(pictures, opened, &event, error);
					break;
				case CHILD_HEADER:
					break;
				case CHILD_PICTURE:
				case CHILD_FRAME_FAILED:
					receiver(arg, &event);
					child_resume(pictures->child);
					break;
				case CHILD_FAILED:
					*error = event.error;
					return DICOM_FAILED;
				case CHILD_DONE:
					return DICOM_OK;
			}
		}
		if (status == DICOM_FAILED)
			return status;
	}
}

/* Errors of the decoder do not know whose they are. */
static void
name_object(const struct picture_object *object, struct dicom_error *error)
{
	if (error->object[0] == '\0' && object->bytes == NULL)
		snprintf(error->object, sizeof(error->object), "%s%s", store_location(object->store), object->key);
}

enum dicom_status
pictures_make(struct pictures *pictures, const struct picture_object *object,
			  const struct picture_request *request, picture_receiver receiver, void *arg,
			  struct dicom_error *error)
{
	struct opened opened = {0};
	enum dicom_status status = open_object(object, &opened, error);

	if (status == DICOM_OK)
		status = submit(pictures, request, &opened, error);
	if (status == DICOM_OK)
		status = follow(pictures, &opened, receiver, arg, error);
	/* A job that was not followed to its end is not left to the next one. */
	if (status == DICOM_FAILED && pictures->child &&
		(child_end(pictures->child) != CHILD_ALIVE || child_jobs(pictures->child) > 0))
		close_pictures(pictures);
	if (status == DICOM_FAILED)
		name_object(object, error);
	return status;
}
