/*
 * shared_listing.c
 *	  One listing for all participants of a parallel scan.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#include "../pg/report.h"
#include "shared_listing.h"

#define PAGE_OBJECTS  1000 /* what one LIST gives */
#define PAGE_BYTES    (256 * 1024)
#define MAX_KEY       4096
#define TAKEN_AT_ONCE 8  /* few, so that all participants end at about the same time */
#define MAX_AHEAD     16 /* ranges listed side by side */
#define NO_TEXT       UINT32_MAX

/* A store_object; its texts are offsets into the page. */
struct shared_object
{
	uint64 size;
	int64 last_modified;
	uint32 key;
	uint32 etag;
	uint32 storage_class;
};

struct page
{
	int count;   /* objects that can be taken */
	int taken;   /* of them, from the start */
	int copying; /* participants that still read what they have taken */
	int filled;  /* objects so far, while it is being filled */
	uint32 used; /* of bytes */
	struct shared_object objects[PAGE_OBJECTS];
	char bytes[PAGE_BYTES];
};

/* Guarded by mutex; but whoever lists has the page that is filled, and the place in the plan, to itself. */
struct shared_listing
{
	slock_t mutex;
	ConditionVariable changed; /* a page came, or room for one, or the end */
	bool listing;              /* by somebody */
	bool ended;                /* the last page is there */
	bool stopped;
	uint64 count;
	int next_key; /* exact plans: the first that nobody has taken */
	int range;    /* where the next page begins: in which range, */
	bool has_last_key;
	char last_key[MAX_KEY + 1]; /* behind which key */
	int ahead;                  /* how many ranges are worth listing side by side */
	int current;                /* the page that objects are taken from first */
	struct page pages[2];
};

struct participant
{
	struct shared_listing *shared;
	struct store *store;
	const struct key_plan *plan;
	struct listing *listing; /* of a local store, kept from turn to turn; else of this turn */
	struct key_plan turn;    /* what `listing` lists */
	MemoryContext turn_context;
	bool running_low;
	int next; /* of those taken */
	int count;
	uint32 used;
	int first_key; /* exact plans: number of the first key taken */
	struct shared_object objects[TAKEN_AT_ONCE];
	char bytes[TAKEN_AT_ONCE * 2 * (MAX_KEY + 1)];
};

Size
shared_listing_size(void)
{
	return sizeof(struct shared_listing);
}

static void
empty_page(struct page *page)
{
	page->count = page->taken = page->copying = page->filled = 0;
	page->used = 0;
}

void
shared_listing_restart(struct shared_listing *shared)
{
	shared->listing = shared->ended = shared->stopped = shared->has_last_key = false;
	shared->next_key = shared->range = shared->current = 0;
	shared->ahead = 1;
	empty_page(&shared->pages[0]);
	empty_page(&shared->pages[1]);
}

void
shared_listing_initialize(struct shared_listing *shared)
{
	SpinLockInit(&shared->mutex);
	ConditionVariableInit(&shared->changed);
	shared->count = 0;
	shared_listing_restart(shared);
}

void
shared_listing_stop(struct shared_listing *shared)
{
	SpinLockAcquire(&shared->mutex);
	shared->stopped = true;
	SpinLockRelease(&shared->mutex);
	ConditionVariableBroadcast(&shared->changed);
}

bool
shared_listing_is_stopped(struct shared_listing *shared)
{
	return ((volatile struct shared_listing *) shared)->stopped;
}

uint64
shared_listing_count(struct shared_listing *shared)
{
	uint64 count;

	SpinLockAcquire(&shared->mutex);
	count = shared->count;
	SpinLockRelease(&shared->mutex);
	return count;
}

/* --- taking objects --- */

struct participant *
participant_open(struct shared_listing *shared, struct store *store, const struct key_plan *plan)
{
	struct participant *participant = palloc0(sizeof(*participant));

	participant->shared = shared;
	participant->store = store;
	participant->plan = plan;
	participant->running_low = !plan->exact;
	participant->turn_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw listing", ALLOCSET_SMALL_SIZES);
	return participant;
}

static int
left_in(const struct page *page)
{
	return page->count - page->taken;
}

/* The page to take objects from; NULL where both are used up. With the mutex held. */
static struct page *
current_page(struct shared_listing *shared)
{
	if (left_in(&shared->pages[shared->current]) == 0 && left_in(&shared->pages[1 - shared->current]) > 0)
		shared->current = 1 - shared->current;
	return left_in(&shared->pages[shared->current]) > 0 ? &shared->pages[shared->current] : NULL;
}

/* Is it time to list another page? With the mutex held. */
static bool
is_running_low(const struct shared_listing *shared)
{
	return !shared->listing && !shared->ended && !shared->stopped &&
		   left_in(&shared->pages[0]) + left_in(&shared->pages[1]) < PAGE_OBJECTS / 2;
}

/* A page that can be filled, or NULL. With the mutex held. */
static struct page *
free_page(struct shared_listing *shared)
{
	int i;

	for (i = 0; i < 2; i++)
		if (left_in(&shared->pages[i]) == 0 && shared->pages[i].copying == 0)
			return &shared->pages[i];
	return NULL;
}

static uint32
copy_text(struct participant *participant, const struct page *page, uint32 text)
{
	uint32 start = participant->used;
	size_t size;

	if (text == NO_TEXT)
		return NO_TEXT;
	size = strlen(page->bytes + text) + 1;
	memcpy(participant->bytes + start, page->bytes + text, size);
	participant->used += size;
	return start;
}

static void
copy_objects(struct participant *participant, const struct page *page, int first)
{
	int i;

	participant->used = 0;
	for (i = 0; i < participant->count; i++)
	{
		struct shared_object *object = &participant->objects[i];

		*object = page->objects[first + i];
		object->key = copy_text(participant, page, object->key);
		object->etag = copy_text(participant, page, object->etag);
		object->storage_class = copy_text(participant, page, object->storage_class);
	}
}

/* Takes the next few objects; false where there are none now. */
static bool
take_objects(struct participant *participant)
{
	struct shared_listing *shared = participant->shared;
	struct page *page;
	bool emptied;
	int first = 0;

	participant->next = participant->count = 0;
	SpinLockAcquire(&shared->mutex);
	page = shared->stopped ? NULL : current_page(shared);
	if (page)
	{
		first = page->taken;
		participant->count = Min(TAKEN_AT_ONCE, left_in(page));
		page->taken += participant->count;
		page->copying++;
	}
	participant->running_low = is_running_low(shared);
	SpinLockRelease(&shared->mutex);
	if (page == NULL)
		return false;
	copy_objects(participant, page, first);
	SpinLockAcquire(&shared->mutex);
	emptied = --page->copying == 0 && left_in(page) == 0;
	SpinLockRelease(&shared->mutex);
	if (emptied)
		ConditionVariableBroadcast(&shared->changed);
	return true;
}

static bool
all_is_taken(struct shared_listing *shared)
{
	bool all;

	SpinLockAcquire(&shared->mutex);
	all = shared->stopped || (shared->ended && current_page(shared) == NULL);
	SpinLockRelease(&shared->mutex);
	return all;
}

/* Keys of an exact plan need no listing: the reading tells whether they exist. */
static enum dicom_status
next_key(struct participant *participant, struct store_object *object)
{
	struct shared_listing *shared = participant->shared;
	int keys = list_length(participant->plan->keys);

	if (participant->next == participant->count)
	{
		SpinLockAcquire(&shared->mutex);
		participant->first_key = shared->next_key;
		participant->count = shared->stopped ? 0 : Min(TAKEN_AT_ONCE, keys - shared->next_key);
		shared->next_key += participant->count;
		SpinLockRelease(&shared->mutex);
		participant->next = 0;
	}
	if (participant->count == 0)
		return DICOM_END;
	memset(object, 0, sizeof(*object));
	object->key = list_nth(participant->plan->keys, participant->first_key + participant->next++);
	object->size = STORE_SIZE_UNKNOWN;
	return DICOM_OK;
}

static const char *
text_at(const struct participant *participant, uint32 text)
{
	return text == NO_TEXT ? NULL : participant->bytes + text;
}

enum dicom_status
participant_next(void *arg, struct store_object *object, struct dicom_error *error)
{
	struct participant *participant = arg;
	const struct shared_object *taken;

	if (participant->plan->exact)
		return next_key(participant, object);
	if (participant->next == participant->count && !take_objects(participant))
		return all_is_taken(participant->shared) ? DICOM_END : DICOM_PENDING;
	taken = &participant->objects[participant->next++];
	object->size = taken->size;
	object->last_modified = taken->last_modified;
	object->key = text_at(participant, taken->key);
	object->etag = text_at(participant, taken->etag);
	object->storage_class = text_at(participant, taken->storage_class);
	return DICOM_OK;
}

/* --- listing a page --- */

/* Has a part of the range been listed? */
static bool
is_within(const struct shared_listing *shared, const struct key_range *range)
{
	return shared->has_last_key && strcmp(shared->last_key, range->prefix) >= 0 &&
		   (range->start_after == NULL || strcmp(shared->last_key, range->start_after) > 0);
}

/* The ranges of a turn: those behind the last key, the first one cut off there. */
static void
plan_turn(struct participant *participant)
{
	struct shared_listing *shared = participant->shared;
	MemoryContext old = MemoryContextSwitchTo(participant->turn_context);
	int count = Min(shared->ahead, list_length(participant->plan->ranges) - shared->range);
	int i;

	participant->turn.prefix_or_key = participant->plan->prefix_or_key;
	participant->turn.ranges = NIL;
	participant->turn.limit = PAGE_OBJECTS;
	for (i = 0; i < count; i++)
	{
		struct key_range *range = palloc(sizeof(*range));

		*range = *(struct key_range *) list_nth(participant->plan->ranges, shared->range + i);
		if (i == 0 && is_within(shared, range))
			range->start_after = pstrdup(shared->last_key);
		participant->turn.ranges = lappend(participant->turn.ranges, range);
	}
	participant->listing = listing_open(participant->store, &participant->turn, false);
	MemoryContextSwitchTo(old);
}

/* A request for one page each turn; but a directory, whose listing cannot be begun in its middle for nothing, is walked once. */
static void
begin_turn(struct participant *participant)
{
	MemoryContext old;

	if (store_is_remote(participant->store))
		plan_turn(participant);
	else if (participant->listing == NULL)
	{
		old = MemoryContextSwitchTo(participant->turn_context);
		participant->listing = listing_open(participant->store, participant->plan, false);
		MemoryContextSwitchTo(old);
	}
}

static void
end_turn(struct participant *participant)
{
	if (!store_is_remote(participant->store))
		return;
	listing_close(participant->listing);
	participant->listing = NULL;
	MemoryContextReset(participant->turn_context);
}

static bool
keep_text(struct page *page, const char *text, uint32 *place)
{
	size_t size = text ? strlen(text) + 1 : 0;

	*place = NO_TEXT;
	if (text == NULL)
		return true;
	if (size > PAGE_BYTES - page->used)
		return false;
	*place = page->used;
	memcpy(page->bytes + page->used, text, size);
	page->used += size;
	return true;
}

/* False where the page is full. */
static bool
keep_object(struct page *page, const struct store_object *object)
{
	struct shared_object *kept = &page->objects[page->filled];

	kept->size = object->size;
	kept->last_modified = object->last_modified;
	if (!keep_text(page, object->key, &kept->key) || !keep_text(page, object->etag, &kept->etag) ||
		!keep_text(page, object->storage_class, &kept->storage_class))
		return false;
	page->filled++;
	return true;
}

/* Text that a participant could not copy, as no store has it. */
static void
check_lengths(const struct store_object *object)
{
	if (strlen(object->key) > MAX_KEY || (object->etag ? strlen(object->etag) : 0) +
												 (object->storage_class ? strlen(object->storage_class) : 0) +
												 2 >
											 MAX_KEY)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("key or etag of an object is longer than %d bytes", MAX_KEY)));
}

/* The next object behind the last key; false at the end. */
static bool
list_object(struct participant *participant, struct store_object *object)
{
	struct shared_listing *shared = participant->shared;
	struct dicom_error error;
	enum dicom_status status;

	for (;;)
	{
		status = listing_next(participant->listing, object, &error);
		if (status == DICOM_PENDING)
			status = store_wait(participant->store, -1, &error);
		else if (status == DICOM_END)
			return false;
		else if (status == DICOM_OK)
		{
			CHECK_FOR_INTERRUPTS();
			/* A directory that is walked once: others have listed this part meanwhile. */
			if (!shared->has_last_key || strcmp(object->key, shared->last_key) > 0)
				return true;
		}
		if (status == DICOM_FAILED)
			report_error(&error);
	}
}

/* Where the next turn begins. Ranges that a page holds whole are worth listing several at once, unlike long ones. */
static void
move_on(struct participant *participant, const struct page *page, bool ended)
{
	struct shared_listing *shared = participant->shared;

	if (page->filled > 0)
	{
		strlcpy(shared->last_key, page->bytes + page->objects[page->filled - 1].key,
				sizeof(shared->last_key));
		shared->has_last_key = true;
	}
	if (!store_is_remote(participant->store))
		shared->range = ended ? list_length(participant->plan->ranges) : 0;
	else
		shared->range +=
			ended ? list_length(participant->turn.ranges) : listing_position(participant->listing);
	shared->ahead = ended ? Min(shared->ahead * 2, MAX_AHEAD) : 1;
}

/* Fills a page; true where it is the last. A full page ends the turn before the listing's limit is taken for its end. */
static bool
fill_page(struct participant *participant, struct page *page)
{
	struct store_object object = {.size = STORE_SIZE_UNKNOWN};
	bool more = true;

	begin_turn(participant);
	while (page->filled < PAGE_OBJECTS && (more = list_object(participant, &object)))
	{
		check_lengths(&object);
		if (!keep_object(page, &object))
			break;
	}
	move_on(participant, page, !more);
	end_turn(participant);
	return participant->shared->range >= list_length(participant->plan->ranges);
}

/* The right to list, and a page to fill; NULL where there is nothing to do. */
static struct page *
begin_listing(struct shared_listing *shared)
{
	struct page *page = NULL;

	SpinLockAcquire(&shared->mutex);
	if (is_running_low(shared))
		page = free_page(shared);
	if (page)
	{
		empty_page(page);
		shared->listing = true;
	}
	SpinLockRelease(&shared->mutex);
	return page;
}

static void
end_listing(struct shared_listing *shared, struct page *page, bool ended)
{
	SpinLockAcquire(&shared->mutex);
	page->count = page->filled;
	shared->listing = false;
	shared->ended = ended;
	shared->count += page->count;
	SpinLockRelease(&shared->mutex);
	ConditionVariableBroadcast(&shared->changed);
}

void
participant_list_ahead(struct participant *participant)
{
	struct shared_listing *shared = participant->shared;
	struct page *page = participant->running_low ? begin_listing(shared) : NULL;
	bool ended = false;

	participant->running_low = false;
	if (page == NULL)
		return;
	PG_TRY();
	{
		ended = fill_page(participant, page);
	}
	PG_CATCH();
	{
		/* The others learn of the error from the leader; till then they must not believe that this is the end. */
		page->filled = 0;
		end_listing(shared, page, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	end_listing(shared, page, ended);
}

/* Is there nothing to do but wait for others? */
static bool
must_wait(struct shared_listing *shared)
{
	bool must;

	SpinLockAcquire(&shared->mutex);
	must = !shared->stopped && !shared->ended && current_page(shared) == NULL &&
		   (shared->listing || free_page(shared) == NULL);
	SpinLockRelease(&shared->mutex);
	return must;
}

void
participant_wait(struct participant *participant)
{
	struct shared_listing *shared = participant->shared;

	ConditionVariablePrepareToSleep(&shared->changed);
	while (must_wait(shared))
		ConditionVariableSleep(&shared->changed, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	participant->running_low = true;
	participant_list_ahead(participant);
}

void
participant_close(struct participant *participant)
{
	if (participant)
		listing_close(participant->listing);
}
