/*
 * reader.c
 *	  Headers of many objects, fetched side by side, delivered in key order.
 *
 * A ring of slots, one for each object in flight. The oldest is delivered, and stays until the next call; the others are
 * fetched meanwhile. A slot keeps its memory from one object to the next.
 */
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guess.h"

#define REMOTE_WINDOW 64
#define LOCAL_WINDOW  1
#define MAX_WINDOW    4096
#define FIRST_WINDOW \
	16 /* in flight before the first object is delivered, lest LIMIT 1 costs a whole window */
#define DEFAULT_MEMORY_LIMIT ((size_t) 64 * 1024 * 1024)
#define KEPT_BYTES           ((size_t) 512 * 1024) /* at most, in a slot without an object */
#define MAX_RESTARTS         4                     /* of one object that is being rewritten */

enum slot_state
{
	SLOT_READING, /* a range is on its way */
	SLOT_WAITING, /* for memory, to ask for its next range */
	SLOT_DONE
};

struct slot
{
	enum slot_state state;
	struct reader_item item;
	struct dicom_buffer strings; /* that item.object points to: key, etag, storage class */
	struct dicom_window window;
	struct dicom_dataset dataset;
	bool dataset_open;
	struct store_read *read; /* NULL: none */
	uint64_t offset;         /* of the range that is read, or waited for */
	size_t length;
	int ranges; /* asked for behind the first */
	int restarts;
};

struct reader
{
	struct store *store;
	struct reader_source source;
	const struct dicom_selection *selection;
	size_t memory_limit;
	struct guess guess;
	struct slot *slots;
	int window;  /* how many */
	int allowed; /* how many may be used: grows to window */
	int first;   /* the oldest */
	int used;
	bool delivered; /* the oldest is in the caller's hands */
	bool source_ended;
	bool source_failed;
	bool store_failed;        /* an interrupt, or no memory: nothing goes on */
	struct dicom_error error; /* of the latter two */
};

static struct slot *
slot_at(struct reader *reader, int i)
{
	int place = reader->first + i;

	return &reader->slots[place < reader->window ? place : place - reader->window];
}

/* --- memory --- */

/* Empties a window but keeps the memory of its first run, which the next object will need. */
static void
reuse_window(struct dicom_window *window)
{
	struct dicom_run kept;

	if (window->run_count == 0 || window->runs[0].capacity > KEPT_BYTES)
	{
		dicom_window_free(window);
		return;
	}
	kept = window->runs[0];
	while (window->run_count > 1)
		free(window->runs[--window->run_count].bytes);
	kept.offset = 0;
	kept.length = 0;
	window->runs[0] = kept;
	window->bytes_held = kept.capacity;
}

static size_t
bytes_held(const struct reader *reader)
{
	size_t held = 0;
	int i;

	for (i = 0; i < reader->window; i++)
		held += reader->slots[i].window.bytes_held;
	return held;
}

/* May a slot take so many bytes more? The oldest always may, so that something goes on. */
static bool
has_memory(struct reader *reader, const struct slot *slot, size_t more)
{
	size_t held;

	if (slot == slot_at(reader, 0))
		return true;
	held = bytes_held(reader);
	return held < reader->memory_limit && more <= reader->memory_limit - held;
}

/* --- the object of a slot --- */

static enum dicom_status
fail_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

/* Copies what is said of an object; a part that is missing is left as it was. May be of the slot's own strings. */
static enum dicom_status
set_object(struct slot *slot, const struct store_object *object, struct dicom_error *error)
{
	const char *key = object->key;
	const char *etag = object->etag ? object->etag : "";
	const char *storage_class = object->storage_class ? object->storage_class : "STANDARD";
	size_t key_size = strlen(key) + 1;
	size_t etag_size = strlen(etag) + 1;
	char *strings;

	dicom_buffer_reset(&slot->strings);
	strings = dicom_buffer_reserve(&slot->strings, key_size + etag_size + strlen(storage_class) + 1);
	if (strings == NULL)
		return fail_memory(error);
	memcpy(strings, key, key_size);
	memcpy(strings + key_size, etag, etag_size);
	strcpy(strings + key_size + etag_size, storage_class);
	slot->item.object = *object;
	slot->item.object.key = strings;
	slot->item.object.etag = strings + key_size;
	slot->item.object.storage_class = strings + key_size + etag_size;
	return DICOM_OK;
}

/* Takes over what the answer to the first range says: the listing may be older. */
static enum dicom_status
update_object(struct slot *slot, const struct store_object *answer, struct dicom_error *error)
{
	struct store_object *object = &slot->item.object;
	struct dicom_buffer old;
	enum dicom_status status;
	struct store_object merged;

	if (answer->size != STORE_SIZE_UNKNOWN)
		object->size = answer->size;
	if (answer->last_modified != 0)
		object->last_modified = answer->last_modified;
	if ((!answer->etag || strcmp(answer->etag, object->etag) == 0) &&
		(!answer->storage_class || strcmp(answer->storage_class, object->storage_class) == 0))
		return DICOM_OK;
	merged = *object;
	if (answer->etag && answer->etag[0])
		merged.etag = answer->etag;
	if (answer->storage_class)
		merged.storage_class = answer->storage_class;
	old = slot->strings;
	memset(&slot->strings, 0, sizeof(slot->strings));
	status = set_object(slot, &merged, error);
	dicom_buffer_free(&old);
	return status;
}

static void
close_read(struct slot *slot)
{
	store_read_close(slot->read);
	slot->read = NULL;
}

static void
close_dataset(struct slot *slot)
{
	if (slot->dataset_open)
		dicom_dataset_close(&slot->dataset, true);
	slot->dataset_open = false;
}

static void
finish_slot(struct slot *slot, enum dicom_status status)
{
	slot->state = SLOT_DONE;
	slot->item.status = status;
	slot->item.dataset = slot->dataset_open ? &slot->dataset : NULL;
	if (status == DICOM_OK)
		slot->item.error.code = DICOM_ERROR_NONE; /* of a range that was repeated */
}

/* An object failed: that is for the item to say, unless nothing can go on at all. */
static enum dicom_status
fail_slot(struct reader *reader, struct slot *slot)
{
	struct dicom_error *error = &slot->item.error;

	finish_slot(slot, DICOM_FAILED);
	if (error->object[0] == '\0')
		snprintf(error->object, sizeof(error->object), "%s%s", store_location(reader->store),
				 slot->item.object.key);
	if (error->code != DICOM_ERROR_INTERRUPTED && error->code != DICOM_ERROR_MEMORY)
		return DICOM_OK;
	reader->store_failed = true;
	reader->error = *error;
	return DICOM_FAILED;
}

/* --- ranges --- */

/* Asks for the slot's next range. DICOM_FAILED: the item's error says why. */
static enum dicom_status
start_range(struct reader *reader, struct slot *slot)
{
	struct dicom_error *error = &slot->item.error;
	struct store_read_request request = {
		.key = slot->item.object.key, .offset = slot->offset, .length = slot->length};

	if (!has_memory(reader, slot, slot->length))
	{
		slot->state = SLOT_WAITING;
		return DICOM_OK;
	}
	if (slot->item.opened && slot->item.object.etag[0])
		request.if_match = slot->item.object.etag;
	request.buffer = dicom_window_reserve(&slot->window, slot->offset, slot->length);
	if (request.buffer == NULL)
		return fail_memory(error);
	slot->state = SLOT_READING;
	return store_read_open(reader->store, &request, &slot->read, error);
}

/* Asks for the start of the object. */
static enum dicom_status
start_object(struct reader *reader, struct slot *slot)
{
	uint64_t size = slot->item.object.size;

	close_dataset(slot);
	reuse_window(&slot->window);
	slot->window.size = DICOM_SIZE_UNKNOWN; /* until the object itself has said it */
	slot->item.opened = false;
	slot->ranges = 0;
	slot->offset = 0;
	slot->length = guess_first(&reader->guess, size);
	return start_range(reader, slot);
}

/* The first range has come: now the size is known, and the object is the one that all later ranges must be of. */
static enum dicom_status
begin_dataset(struct reader *reader, struct slot *slot, const struct store_object *answer)
{
	struct dicom_error *error = &slot->item.error;

	if (update_object(slot, answer, error) != DICOM_OK)
		return DICOM_FAILED;
	if (answer->size == STORE_SIZE_UNKNOWN)
		slot->item.object.size = STORE_SIZE_UNKNOWN; /* and not what a listing said */
	slot->window.size = slot->item.object.size;
	slot->item.opened = true;
	if (dicom_dataset_open(&slot->dataset, &slot->window, reader->selection, error) != DICOM_OK)
		return DICOM_FAILED;
	slot->dataset_open = true;
	return DICOM_OK;
}

/* Parses on; asks for another range where that is needed. */
static enum dicom_status
continue_dataset(struct reader *reader, struct slot *slot)
{
	struct dicom_dataset *dataset = &slot->dataset;
	enum dicom_status status = dicom_dataset_read(dataset, &slot->item.error);

	if (status == DICOM_FAILED)
		return DICOM_FAILED;
	if (status != DICOM_NEED)
	{
		guess_learn(&reader->guess, dataset->bytes_used);
		finish_slot(slot, DICOM_OK);
		return DICOM_OK;
	}
	slot->offset = dataset->need_offset;
	slot->length =
		guess_more(&reader->guess, slot->window.size, slot->offset, dataset->need_length, slot->ranges++);
	if (dicom_window_available(&slot->window, slot->offset) >= dataset->need_length ||
		slot->offset >= slot->window.size)
		return dicom_fail(&slot->item.error, DICOM_ERROR_MALFORMED, "header does not end within the object");
	return start_range(reader, slot);
}

/* A range came to its end with an error. One of an object that was rewritten begins anew, a few times. */
static enum dicom_status
recover_range(struct reader *reader, struct slot *slot)
{
	close_read(slot);
	if (slot->item.error.code != DICOM_ERROR_CHANGED || ++slot->restarts > MAX_RESTARTS)
		return DICOM_FAILED;
	slot->item.object.size = STORE_SIZE_UNKNOWN;
	return start_object(reader, slot);
}

static enum dicom_status
take_range(struct reader *reader, struct slot *slot, const struct store_object *answer, size_t length)
{
	enum dicom_status status = DICOM_OK;

	dicom_window_commit(&slot->window, slot->offset, length);
	if (!slot->item.opened)
		status = begin_dataset(reader, slot, answer);
	else if (length == 0 && slot->window.size != DICOM_SIZE_UNKNOWN)
		status = dicom_fail(&slot->item.error, DICOM_ERROR_PROTOCOL, "object ends before its size");
	if (slot->window.size == DICOM_SIZE_UNKNOWN && length < slot->length)
		slot->item.object.size = slot->window.size = slot->offset + length;
	close_read(slot);
	return status == DICOM_OK ? continue_dataset(reader, slot) : DICOM_FAILED;
}

/* Does what can be done for a slot without waiting. */
static enum dicom_status
advance_slot(struct reader *reader, struct slot *slot)
{
	while (slot->state == SLOT_READING)
	{
		struct store_object answer = {.size = STORE_SIZE_UNKNOWN};
		size_t length = 0;
		enum dicom_status status = store_read_result(slot->read, &length, &answer, &slot->item.error);

		if (status == DICOM_PENDING)
			return DICOM_OK;
		if (status == DICOM_OK)
			status = take_range(reader, slot, &answer, length);
		else
			status = recover_range(reader, slot);
		if (status == DICOM_FAILED)
			return fail_slot(reader, slot);
	}
	return DICOM_OK;
}

/* --- the ring --- */

/* Reads what the source knows of an object. DICOM_NEED: that is nothing, or not enough. */
static enum dicom_status
use_known_bytes(struct reader *reader, struct slot *slot)
{
	struct dicom_error *error = &slot->item.error;
	enum dicom_status status;

	if (reader->source.fill == NULL || slot->item.object.size == STORE_SIZE_UNKNOWN)
		return DICOM_NEED;
	slot->window.size = slot->item.object.size;
	status = reader->source.fill(reader->source.arg, &slot->window, error);
	if (status != DICOM_OK)
		return status == DICOM_END ? DICOM_NEED : DICOM_FAILED;
	if (dicom_dataset_open(&slot->dataset, &slot->window, reader->selection, error) != DICOM_OK)
		return DICOM_FAILED;
	slot->dataset_open = true;
	status = dicom_dataset_read(&slot->dataset, error);
	if (status == DICOM_OK)
		finish_slot(slot, DICOM_OK);
	return status;
}

/* Puts an object into the next free slot, and asks for its first range. */
static enum dicom_status
add_object(struct reader *reader, const struct store_object *object)
{
	struct slot *slot = slot_at(reader, reader->used);
	enum dicom_status status;

	slot->item.error.code = DICOM_ERROR_NONE;
	slot->item.error.message[0] = '\0';
	slot->item.error.object[0] = '\0';
	slot->item.dataset = NULL;
	slot->item.opened = false;
	slot->restarts = 0;
	reader->used++;
	if (set_object(slot, object, &slot->item.error) != DICOM_OK)
		return fail_slot(reader, slot);
	if (reader->selection == NULL)
	{
		finish_slot(slot, DICOM_OK);
		return DICOM_OK;
	}
	status = use_known_bytes(reader, slot);
	if (status == DICOM_NEED)
		status = start_object(reader, slot);
	if (status != DICOM_OK)
		return fail_slot(reader, slot);
	return advance_slot(reader, slot);
}

/* Is there a free slot, and memory for another object? */
static bool
may_add(struct reader *reader)
{
	size_t more = guess_first(&reader->guess, STORE_SIZE_UNKNOWN);

	if (reader->source_ended || reader->used >= reader->allowed)
		return false;
	return reader->used == 0 || reader->selection == NULL ||
		   has_memory(reader, slot_at(reader, reader->used), more);
}

static enum dicom_status
fill_ring(struct reader *reader)
{
	while (may_add(reader))
	{
		struct store_object object = {.size = STORE_SIZE_UNKNOWN};
		enum dicom_status status = reader->source.next(reader->source.arg, &object, &reader->error);

		if (status == DICOM_PENDING)
			return DICOM_OK;
		if (status != DICOM_OK)
		{
			reader->source_ended = true;
			reader->source_failed = status == DICOM_FAILED;
			return DICOM_OK;
		}
		if (add_object(reader, &object) != DICOM_OK)
			return DICOM_FAILED;
	}
	return DICOM_OK;
}

/* Moves on whatever can move on. */
static enum dicom_status
advance_ring(struct reader *reader)
{
	int i;

	for (i = 0; i < reader->used; i++)
	{
		struct slot *slot = slot_at(reader, i);

		if (slot->state == SLOT_WAITING && has_memory(reader, slot, slot->length) &&
			start_range(reader, slot) != DICOM_OK && fail_slot(reader, slot) != DICOM_OK)
			return DICOM_FAILED;
		if (advance_slot(reader, slot) != DICOM_OK)
			return DICOM_FAILED;
	}
	return fill_ring(reader);
}

/* The object that was delivered last is no longer looked at. */
static void
release_first(struct reader *reader)
{
	struct slot *slot = slot_at(reader, 0);

	reader->delivered = false;
	close_dataset(slot);
	reuse_window(&slot->window);
	reader->first = reader->first + 1 < reader->window ? reader->first + 1 : 0;
	reader->used--;
	if (reader->allowed < reader->window)
		reader->allowed++;
}

/* What the ring has to offer now: DICOM_PENDING for nothing yet. */
static enum dicom_status
deliver(struct reader *reader, struct reader_item **item, struct dicom_error *error)
{
	struct slot *slot = slot_at(reader, 0);

	if (reader->used > 0)
	{
		if (slot->state != SLOT_DONE)
			return DICOM_PENDING;
		reader->delivered = true;
		*item = &slot->item;
		return DICOM_OK;
	}
	if (!reader->source_ended)
		return DICOM_PENDING;
	if (!reader->source_failed)
		return DICOM_END;
	if (error)
		*error = reader->error;
	return DICOM_FAILED;
}

static enum dicom_status
fail_reader(struct reader *reader, struct dicom_error *error)
{
	if (error)
		*error = reader->error;
	return DICOM_FAILED;
}

/* Waits for the store; an interrupt is nothing that a later call could get over. */
static enum dicom_status
wait_for_store(struct reader *reader, int timeout_ms)
{
	if (store_wait(reader->store, timeout_ms, &reader->error) == DICOM_OK)
		return DICOM_OK;
	reader->store_failed = true;
	return DICOM_FAILED;
}

enum dicom_status
reader_next(struct reader *reader, bool wait, struct reader_item **item, struct dicom_error *error)
{
	bool waited = false;

	if (reader->delivered)
		release_first(reader);
	while (!reader->store_failed)
	{
		enum dicom_status status;

		if (advance_ring(reader) != DICOM_OK)
			break;
		status = deliver(reader, item, error);
		if (status != DICOM_PENDING || (waited && !wait))
			return status;
		if (wait_for_store(reader, wait ? -1 : 0) != DICOM_OK)
			break;
		waited = true;
	}
	return fail_reader(reader, error);
}

int
reader_in_flight(const struct reader *reader)
{
	return reader->used - (reader->delivered ? 1 : 0);
}

/* --- opening and closing --- */

static void
set_options(struct reader *reader, const struct reader_options *options)
{
	bool remote = store_is_remote(reader->store);

	reader->selection = options->selection;
	reader->memory_limit = options->memory_limit ? options->memory_limit : DEFAULT_MEMORY_LIMIT;
	reader->window = options->window > 0 ? options->window : remote ? REMOTE_WINDOW : LOCAL_WINDOW;
	if (reader->window > MAX_WINDOW)
		reader->window = MAX_WINDOW;
	if (reader->selection == NULL)
		reader->window = 1; /* there is nothing to wait for but the source, which reads ahead itself */
	reader->allowed = reader->window < FIRST_WINDOW ? reader->window : FIRST_WINDOW;
	guess_initialize(&reader->guess, remote, options->first_read);
}

enum dicom_status
reader_open(struct store *store, const struct reader_source *source, const struct reader_options *options,
			struct reader **result, struct dicom_error *error)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	int i;

	if (reader == NULL)
		return fail_memory(error);
	reader->store = store;
	reader->source = *source;
	set_options(reader, options);
	reader->slots = calloc((size_t) reader->window, sizeof(*reader->slots));
	if (reader->slots == NULL)
	{
		free(reader);
		return fail_memory(error);
	}
	for (i = 0; i < reader->window; i++)
		dicom_window_init(&reader->slots[i].window, DICOM_SIZE_UNKNOWN);
	*result = reader;
	return DICOM_OK;
}

static void
close_slot(struct slot *slot)
{
	if (slot->read)
		close_read(slot);
	dicom_dataset_close(&slot->dataset, false);
	dicom_window_free(&slot->window);
	dicom_buffer_free(&slot->strings);
}

void
reader_close(struct reader *reader)
{
	int i;

	if (reader == NULL)
		return;
	for (i = 0; i < reader->window; i++)
		close_slot(&reader->slots[i]);
	free(reader->slots);
	free(reader);
}
