/*
 * transfer.c
 *	  Objects from one store to another, many on their way at a time.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "../pg/report.h"
#include "../pg/store_pair.h"
#include "transfer.h"

#define PIECE         ((size_t) 8 * 1024 * 1024)
#define MEMORY        ((size_t) 32 * 1024 * 1024) /* for bytes on their way */
#define REMOTE_WINDOW 128
#define MAX_ATTEMPTS  4 /* with an object that changes */

enum job_state
{
	JOB_COPYING,   /* the store copies it */
	JOB_QUEUED,    /* waits for room in memory; a long one until nothing else is on its way */
	JOB_READING,   /* its bytes are on their way here */
	JOB_WRITING,   /* and on their way out */
	JOB_VERIFYING, /* how long is it over there? */
	JOB_DONE
};

struct job
{
	dlist_node node;
	enum job_state state;
	struct transfer_result result;
	int attempts;
	size_t memory;
	char *bytes;
	char verified; /* room for the byte that tells the length */
	struct store_read *read;
	struct store_change *change;
};

struct transfer
{
	struct store *source;
	struct store *target;
	MemoryContext context;
	bool copies; /* the store does it */
	struct store_pair *pair;
	int window;
	int count;
	size_t memory;
	dlist_head jobs;
	struct job *given; /* whose result was handed out */
};

/* --- opening --- */

struct transfer *
transfer_open(struct store *source, struct store *target, MemoryContext context)
{
	struct transfer *transfer = MemoryContextAllocZero(context, sizeof(*transfer));

	transfer->source = source;
	transfer->target = target;
	transfer->context = context;
	transfer->copies = store_can_copy(source, target);
	transfer->window = store_is_remote(source) || store_is_remote(target) ? REMOTE_WINDOW : 1;
	dlist_init(&transfer->jobs);
	transfer->pair = store_pair_open(source, target, context);
	return transfer;
}

static bool
is_long(const struct job *job)
{
	return job->result.size > PIECE;
}

bool
transfer_has_room(struct transfer *transfer)
{
	const struct job *last;

	if (dlist_is_empty(&transfer->jobs))
		return true;
	last = dlist_tail_element(struct job, node, &transfer->jobs);
	return transfer->count < transfer->window && last->state != JOB_QUEUED;
}

/* --- one object --- */

static void
release(struct transfer *transfer, struct job *job)
{
	store_read_close(job->read);
	store_change_close(job->change);
	job->read = NULL;
	job->change = NULL;
	if (job->bytes)
		pfree(job->bytes);
	job->bytes = NULL;
	transfer->memory -= job->memory;
	job->memory = 0;
}

static void
finish(struct transfer *transfer, struct job *job, enum dicom_status status)
{
	release(transfer, job);
	job->state = JOB_DONE;
	job->result.status = status;
}

static void
fail(struct transfer *transfer, struct job *job, bool target_failed)
{
	job->result.target_failed = target_failed;
	finish(transfer, job, DICOM_FAILED);
}

static const char *
condition(const struct job *job)
{
	return job->result.source_etag[0] ? job->result.source_etag : NULL;
}

static void
start_copy(struct transfer *transfer, struct job *job)
{
	job->state = JOB_COPYING;
	if (store_copy_open(transfer->source, job->result.key, condition(job), transfer->target,
						job->result.target_key, NULL, &job->change, &job->result.error) != DICOM_OK)
		fail(transfer, job, true);
}

static bool
has_memory(const struct transfer *transfer, const struct job *job)
{
	return transfer->memory == 0 || transfer->memory + job->result.size < MEMORY;
}

/* The bytes of an object of no more than a piece. One more is asked for, so that a longer one shows. */
static void
start_read(struct transfer *transfer, struct job *job)
{
	struct store_read_request request = {
		.key = job->result.key, .length = (size_t) job->result.size + 1, .if_match = condition(job)};

	job->state = JOB_READING;
	job->memory = request.length;
	transfer->memory += job->memory;
	job->bytes = MemoryContextAlloc(transfer->context, request.length);
	request.buffer = job->bytes;
	if (store_read_open(transfer->source, &request, &job->read, &job->result.error) != DICOM_OK)
		fail(transfer, job, false);
}

static void
start(struct transfer *transfer, struct job *job)
{
	job->attempts++;
	if (transfer->copies)
		start_copy(transfer, job);
	else if (job->result.size == STORE_SIZE_UNKNOWN)
	{
		dicom_fail(&job->result.error, DICOM_ERROR_PROTOCOL, "the store does not tell the length");
		fail(transfer, job, false);
	}
	else if (!is_long(job) && has_memory(transfer, job))
		start_read(transfer, job);
	else
		job->state = JOB_QUEUED;
}

static void
describe_source(struct job *job, const struct store_object *object)
{
	job->result.size = object->size;
	strlcpy(job->result.source_etag, object->etag ? object->etag : "", TRANSFER_ETAG);
}

void
transfer_add(struct transfer *transfer, const struct store_object *object, const char *target_key)
{
	MemoryContext old = MemoryContextSwitchTo(transfer->context);
	struct job *job = palloc0(sizeof(*job));

	job->result.key = pstrdup(object->key);
	job->result.target_key = pstrdup(target_key);
	describe_source(job, object);
	dlist_push_tail(&transfer->jobs, &job->node);
	transfer->count++;
	start(transfer, job);
	MemoryContextSwitchTo(old);
}

/* It has changed: what is it now? */
static void
begin_anew(struct transfer *transfer, struct job *job)
{
	struct store_object object;
	struct dicom_error changed = job->result.error;

	release(transfer, job);
	if (store_head(transfer->source, job->result.key, &object, &job->result.error) != DICOM_OK)
	{
		fail(transfer, job, false);
		return;
	}
	if (job->attempts >= MAX_ATTEMPTS)
	{
		job->result.error = changed;
		fail(transfer, job, false);
		return;
	}
	describe_source(job, &object);
	start(transfer, job);
}

/* --- a copy by the store --- */

/* A copy of more than one request. */
static void
copy_long(struct transfer *transfer, struct job *job)
{
	struct transfer_result *result = &job->result;

	if (store_copy(transfer->source, result->key, condition(job), transfer->target, result->target_key, NULL,
				   result->target_etag, &result->error) == DICOM_OK)
		finish(transfer, job, DICOM_OK);
	else if (result->error.code == DICOM_ERROR_CHANGED)
		begin_anew(transfer, job);
	else
		fail(transfer, job, true);
}

/* Its length over there is asked for by reading a byte, because that can be done side by side. */
static void
start_verifying(struct transfer *transfer, struct job *job)
{
	struct store_read_request request = {
		.key = job->result.target_key, .length = 1, .buffer = &job->verified};

	release(transfer, job);
	job->state = JOB_VERIFYING;
	if (store_read_open(transfer->target, &request, &job->read, &job->result.error) != DICOM_OK)
		fail(transfer, job, true);
}

/* An equal etag says that the bytes are equal. Another one says nothing: it depends on how they were stored. */
static void
judge_copied(struct transfer *transfer, struct job *job)
{
	if (job->result.size == STORE_SIZE_UNKNOWN ||
		strcmp(job->result.source_etag, job->result.target_etag) == 0)
		finish(transfer, job, DICOM_OK);
	else
		start_verifying(transfer, job);
}

static bool
is_about(const struct job *job, const struct store *store)
{
	const char *location = store_location(store);

	return strncmp(job->result.error.object, location, strlen(location)) == 0;
}

static void
judge_failed_copy(struct transfer *transfer, struct job *job)
{
	switch (job->result.error.code)
	{
		case DICOM_ERROR_CHANGED:
			begin_anew(transfer, job);
			break;
		case DICOM_ERROR_INVALID_OPTION:
			release(transfer, job);
			copy_long(transfer, job);
			break;
		case DICOM_ERROR_ACCESS_DENIED:
			/* Whose access? Reading and writing for ourselves tells, and may be allowed. */
			if (store_is_remote(transfer->source) && transfer->source != transfer->target)
			{
				transfer->copies = false;
				release(transfer, job);
				start(transfer, job);
				break;
			}
			fail(transfer, job, !is_about(job, transfer->source));
			break;
		default:
			fail(transfer, job, !is_about(job, transfer->source));
	}
}

static bool
advance_copy(struct transfer *transfer, struct job *job)
{
	enum dicom_status status = store_change_result(job->change, job->result.target_etag, &job->result.error);

	if (status == DICOM_PENDING)
		return false;
	if (status == DICOM_OK)
		judge_copied(transfer, job);
	else
		judge_failed_copy(transfer, job);
	return true;
}

static void
judge_length(struct transfer *transfer, struct job *job, uint64 size)
{
	if (size == job->result.size)
	{
		finish(transfer, job, DICOM_OK);
		return;
	}
	dicom_fail(&job->result.error, DICOM_ERROR_PROTOCOL,
			   "the copy is " UINT64_FORMAT " bytes long, the object " UINT64_FORMAT, size, job->result.size);
	fail(transfer, job, true);
}

static bool
advance_verification(struct transfer *transfer, struct job *job)
{
	struct store_object object;
	size_t length;
	enum dicom_status status = store_read_result(job->read, &length, &object, &job->result.error);

	if (status == DICOM_PENDING)
		return false;
	if (status == DICOM_OK)
		judge_length(transfer, job, object.size);
	else
		fail(transfer, job, true);
	return true;
}

/* --- a copy through memory --- */

static void
start_write(struct transfer *transfer, struct job *job)
{
	struct store_put_request request = {.key = job->result.target_key};

	job->state = JOB_WRITING;
	if (store_put_open(transfer->target, &request, job->bytes, (size_t) job->result.size, &job->change,
					   &job->result.error) != DICOM_OK)
		fail(transfer, job, true);
}

static bool
advance_read(struct transfer *transfer, struct job *job)
{
	struct store_object object;
	size_t length;
	enum dicom_status status = store_read_result(job->read, &length, &object, &job->result.error);

	if (status == DICOM_PENDING)
		return false;
	if (status == DICOM_OK && length == job->result.size)
		start_write(transfer, job);
	else if (status == DICOM_OK)
	{
		dicom_fail(&job->result.error, DICOM_ERROR_CHANGED, "the object has another length than listed");
		begin_anew(transfer, job);
	}
	else if (job->result.error.code == DICOM_ERROR_CHANGED)
		begin_anew(transfer, job);
	else
		fail(transfer, job, false);
	return true;
}

static bool
advance_write(struct transfer *transfer, struct job *job)
{
	enum dicom_status status = store_change_result(job->change, job->result.target_etag, &job->result.error);

	if (status == DICOM_PENDING)
		return false;
	if (status == DICOM_OK)
		finish(transfer, job, DICOM_OK);
	else
		fail(transfer, job, true);
	return true;
}

/* --- an object in pieces, alone --- */

static enum dicom_status
pass_pieces(struct transfer *transfer, struct job *job, struct store_upload *upload)
{
	struct transfer_result *result = &job->result;
	uint64 offset = 0;

	while (offset < result->size)
	{
		struct store_read_request request = {.key = result->key,
											 .offset = offset,
											 .length = (size_t) Min(PIECE, result->size - offset),
											 .if_match = condition(job),
											 .buffer = job->bytes};
		size_t length;

		if (store_read(transfer->source, &request, &length, NULL, &result->error) != DICOM_OK)
			return DICOM_FAILED;
		if (length < request.length)
			return dicom_fail(&result->error, DICOM_ERROR_CHANGED, "the object is shorter than listed");
		result->target_failed = true;
		if (store_upload_write(upload, job->bytes, length, &result->error) != DICOM_OK)
			return DICOM_FAILED;
		result->target_failed = false;
		offset += length;
	}
	result->target_failed = true;
	return store_upload_finish(upload, result->target_etag, &result->error);
}

static enum dicom_status
pass_long(struct transfer *transfer, struct job *job)
{
	struct store_put_request request = {.key = job->result.target_key};
	struct store_upload *upload;
	enum dicom_status status;

	job->result.target_failed = true;
	if (store_upload_open(transfer->target, &request, &upload, &job->result.error) != DICOM_OK)
		return DICOM_FAILED;
	job->result.target_failed = false;
	job->bytes = MemoryContextAlloc(transfer->context, PIECE);
	status = pass_pieces(transfer, job, upload);
	store_upload_close(upload);
	return status;
}

static void
do_long(struct transfer *transfer, struct job *job)
{
	if (pass_long(transfer, job) == DICOM_OK)
		start_verifying(transfer, job);
	else if (job->result.error.code == DICOM_ERROR_CHANGED && !job->result.target_failed)
		begin_anew(transfer, job);
	else
		fail(transfer, job, job->result.target_failed);
}

/* --- all of them --- */

static bool
is_busy(const struct job *job)
{
	return job->state != JOB_QUEUED && job->state != JOB_DONE;
}

static bool
is_anything_busy(struct transfer *transfer)
{
	dlist_iter iter;

	dlist_foreach(iter,
				  &transfer->jobs) if (is_busy(dlist_container(struct job, node, iter.cur))) return true;
	return false;
}

static bool
advance_queued(struct transfer *transfer, struct job *job)
{
	if (is_long(job) ? is_anything_busy(transfer) : !has_memory(transfer, job))
		return false;
	if (is_long(job))
		do_long(transfer, job);
	else
		start_read(transfer, job);
	return true;
}

/* Goes on with an object as far as that is possible without waiting. Nothing has happened: false. */
static bool
advance(struct transfer *transfer, struct job *job)
{
	switch (job->state)
	{
		case JOB_COPYING:
			return advance_copy(transfer, job);
		case JOB_READING:
			return advance_read(transfer, job);
		case JOB_WRITING:
			return advance_write(transfer, job);
		case JOB_VERIFYING:
			return advance_verification(transfer, job);
		case JOB_QUEUED:
			return advance_queued(transfer, job);
		case JOB_DONE:
			break;
	}
	return false;
}

static bool
advance_all(struct transfer *transfer)
{
	dlist_iter iter;
	bool moved = false;

	dlist_foreach(iter, &transfer->jobs) moved |=
		advance(transfer, dlist_container(struct job, node, iter.cur));
	return moved;
}

static void
forget_given(struct transfer *transfer)
{
	if (transfer->given == NULL)
		return;
	pfree(unconstify(char *, transfer->given->result.key));
	pfree(unconstify(char *, transfer->given->result.target_key));
	pfree(transfer->given);
	transfer->given = NULL;
}

const struct transfer_result *
transfer_next(struct transfer *transfer)
{
	struct job *first;

	forget_given(transfer);
	if (dlist_is_empty(&transfer->jobs))
		return NULL;
	first = dlist_head_element(struct job, node, &transfer->jobs);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		while (advance_all(transfer))
			;
		if (first->state == JOB_DONE)
			break;
		store_pair_wait(transfer->pair);
	}
	dlist_delete(&first->node);
	transfer->count--;
	transfer->given = first;
	return &first->result;
}

/* --- failures --- */

bool
transfer_failure_is_suspect(const struct transfer_result *result)
{
	switch (result->error.code)
	{
		case DICOM_ERROR_NETWORK:
		case DICOM_ERROR_TIMEOUT:
		case DICOM_ERROR_THROTTLED:
		case DICOM_ERROR_SERVER:
		case DICOM_ERROR_PROTOCOL:
		case DICOM_ERROR_IO:
		case DICOM_ERROR_FULL:
			return true;
		case DICOM_ERROR_ACCESS_DENIED:
			return result->target_failed;
		default:
			return false;
	}
}
