/*
 * listing.c
 *	  The objects that a scan looks at.
 */
#include "postgres.h"

#include "listing.h"

/* Listings in flight at once; more would take the requests away from the headers. */
#define LISTS_AHEAD 16

struct listing
{
	struct store *store;
	const struct key_plan *plan;
	bool open_only;
	int count;                             /* ranges, or keys to be listed */
	int started;                           /* of them */
	int current;                           /* the one that objects come from */
	struct store_list *lists[LISTS_AHEAD]; /* number i at i % LISTS_AHEAD */
	bool finished;
};

struct listing *
listing_open(struct store *store, const struct key_plan *plan, bool open_only)
{
	struct listing *listing = palloc0(sizeof(*listing));

	listing->store = store;
	listing->plan = plan;
	listing->open_only = open_only && plan->exact;
	listing->count = list_length(plan->exact ? plan->keys : plan->ranges);
	return listing;
}

static enum dicom_status
start_one(struct listing *listing, int i, struct dicom_error *error)
{
	struct store_list_request request = {0};

	if (listing->plan->exact)
	{
		/* A key sorts before all others that begin with it. */
		request.prefix = list_nth(listing->plan->keys, i);
		request.limit = 1;
	}
	else
	{
		const struct key_range *range = list_nth(listing->plan->ranges, i);

		request.prefix = range->prefix;
		request.start_after = range->start_after;
		request.end_before = range->end_before;
		request.limit = listing->plan->limit;
	}
	return store_list_open(listing->store, &request, &listing->lists[i % LISTS_AHEAD], error);
}

static enum dicom_status
start_lists(struct listing *listing, struct dicom_error *error)
{
	int ahead = store_is_remote(listing->store) ? LISTS_AHEAD : 1;

	while (listing->started < listing->count && listing->started < listing->current + ahead)
	{
		if (start_one(listing, listing->started, error) != DICOM_OK)
			return DICOM_FAILED;
		listing->started++;
	}
	return DICOM_OK;
}

static void
close_current(struct listing *listing)
{
	struct store_list **place = &listing->lists[listing->current % LISTS_AHEAD];

	store_list_close(*place);
	*place = NULL;
	listing->current++;
}

/* Single keys that will be read anyway: whether they exist, the read tells. */
static enum dicom_status
next_key(struct listing *listing, struct store_object *object)
{
	if (listing->current >= listing->count)
		return DICOM_END;
	memset(object, 0, sizeof(*object));
	object->key = list_nth(listing->plan->keys, listing->current++);
	object->size = STORE_SIZE_UNKNOWN;
	return DICOM_OK;
}

/* False for the one object that a limit-1 listing of a key found instead of that key. */
static bool
is_wanted(struct listing *listing, const struct store_object *object)
{
	return !listing->plan->exact || strcmp(object->key, list_nth(listing->plan->keys, listing->current)) == 0;
}

enum dicom_status
listing_next(void *arg, struct store_object *object, struct dicom_error *error)
{
	struct listing *listing = arg;
	enum dicom_status status;

	if (listing->open_only)
		return next_key(listing, object);
	while (listing->current < listing->count && !listing->finished)
	{
		if (start_lists(listing, error) != DICOM_OK)
			return DICOM_FAILED;
		status = store_list_next(listing->lists[listing->current % LISTS_AHEAD], object, error);
		if (status == DICOM_END)
		{
			close_current(listing);
			continue;
		}
		if (status == DICOM_OK && !is_wanted(listing, object))
			continue;
		if (status == DICOM_OK && listing->plan->prefix_or_key &&
			strcmp(object->key, ((struct key_range *) linitial(listing->plan->ranges))->prefix) == 0)
			listing->finished = true;
		return status;
	}
	return DICOM_END;
}

int
listing_position(const struct listing *listing)
{
	return listing->current;
}

void
listing_close(struct listing *listing)
{
	int i;

	for (i = 0; listing && i < LISTS_AHEAD; i++)
	{
		store_list_close(listing->lists[i]);
		listing->lists[i] = NULL;
	}
}
