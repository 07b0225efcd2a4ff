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
stores_poll(struct stores *stores, struct pollfd *polled, int room, int *timeout_ms)
{
	int added = 0;
	int i;

	for (i = 0; i < stores->count; i++)
	{
		int descriptor = stores->open[i] ? store_wait_descriptor(stores->open[i]) : -1;
		int timeout = stores->open[i] ? store_wait_timeout(stores->open[i]) : -1;

		if (descriptor >= 0 && added < room)
			polled[added++] = (struct pollfd){.fd = descriptor, .events = POLLIN};
		if (timeout >= 0 && (*timeout_ms < 0 || timeout < *timeout_ms))
			*timeout_ms = timeout;
	}
	return added;
}

void
stores_work(struct stores *stores)
{
	int i;

	/* What becomes of a request is told by its own calls. */
	for (i = 0; i < stores->count; i++)
		if (stores->open[i] && store_is_remote(stores->open[i]))
			store_wait(stores->open[i], 0, NULL);
}
