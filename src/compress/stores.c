/*
 * stores.c
 *	  Stores by place.
 */
#include "stores.h"

#include <stdlib.h>
#include <string.h>

struct stores
{
	const struct places *places;
	struct store **open; /* by place; NULL: not opened yet */
	int count;
};

struct stores *
stores_open(const struct places *places)
{
	struct stores *stores = calloc(1, sizeof(*stores));

	if (stores)
		stores->places = places;
	return stores;
}

void
stores_close(struct stores *stores)
{
	int i;

	if (stores == NULL)
		return;
	for (i = 0; i < stores->count; i++)
		store_close(stores->open[i]);
	free(stores->open);
	free(stores);
}

static bool
make_room(struct stores *stores, int place)
{
	struct store **open;

	if (place < stores->count)
		return true;
	open = realloc(stores->open, sizeof(*open) * ((size_t) place + 1));
	if (open == NULL)
		return false;
	while (stores->count <= place)
		open[stores->count++] = NULL;
	stores->open = open;
	return true;
}

enum dicom_status
stores_get(struct stores *stores, int place, struct store **store, struct dicom_error *error)
{
	if (!make_room(stores, place))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (stores->open[place] == NULL &&
		store_open(places_options(stores->places, place), NULL, &stores->open[place], error) != DICOM_OK)
	{
		stores->open[place] = NULL;
		return DICOM_FAILED;
	}
	*store = stores->open[place];
	return DICOM_OK;
}

int
stores_poll_one(struct store *store, struct pollfd *polled, int *timeout_ms)
{
	int descriptor = store ? store_wait_descriptor(store) : -1;
	int timeout = store ? store_wait_timeout(store) : -1;

	if (timeout >= 0 && (*timeout_ms < 0 || timeout < *timeout_ms))
		*timeout_ms = timeout;
	if (descriptor >= 0)
		*polled = (struct pollfd){.fd = descriptor, .events = POLLIN};
	return descriptor >= 0;
}

int
stores_poll(struct stores *stores, struct pollfd *polled, int room, int *timeout_ms)
{
	int added = 0;
	int i;

	for (i = 0; i < stores->count && added < room; i++)
		added += stores_poll_one(stores->open[i], polled + added, timeout_ms);
	return added;
}

void
stores_work_one(struct store *store)
{
	/* What becomes of a request is told by its own calls. */
	if (store && store_is_remote(store))
		store_wait(store, 0, NULL);
}

void
stores_work(struct stores *stores)
{
	int i;

	for (i = 0; i < stores->count; i++)
		stores_work_one(stores->open[i]);
}
