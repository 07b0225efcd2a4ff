/*
 * reader.h
 *	  Headers of many objects, fetched side by side, delivered in key order.
 *
 * A reader draws objects from a source (a listing, a list of keys, later a catalog), keeps up to `window` of them in
 * flight, and hands them out one by one in the order in which they came, each with its data set as far as the selection
 * asks. The first range of a header is a guess that follows what the headers before it needed; further ranges are asked for
 * by the data set, and only of the very same object (If-Match): one that was rewritten meanwhile is read again from its
 * start. Bytes held for objects in flight stay below `memory_limit`: the window narrows instead.
 */
#ifndef READER_H
#define READER_H

#include "../dicom/dataset.h"
#include "../store/store.h"

/* Where a reader gets its objects from. */
struct reader_source
{
	/* DICOM_OK and an object (strings valid until the next call), DICOM_PENDING, DICOM_END, DICOM_FAILED. */
	enum dicom_status (*next)(void *arg, struct store_object *object, struct dicom_error *error);
	void *arg;

	/*
	 * What is known of the object that next() gave last, put into its empty window, so that only what is missing is read.
	 * DICOM_OK; DICOM_END where nothing is known; DICOM_FAILED where the whole reading fails. NULL: never anything.
	 */
	enum dicom_status (*fill)(void *arg, struct dicom_window *window, struct dicom_error *error);
};

struct reader_options
{
	const struct dicom_selection *selection; /* NULL: do not open any object */
	int window;          /* objects in flight; 0: 64 on a remote store, 1 on a local one */
	size_t first_read;   /* bytes of the first range; 0: adapts, from 128 KiB remote and 16 KiB local */
	size_t memory_limit; /* bytes held by all objects in flight; 0: 64 MiB. One object may always be held */
};

/* One object, valid until the next reader_next(). */
struct reader_item
{
	struct store_object object;
	bool opened;                   /* the object was read */
	struct dicom_dataset *dataset; /* NULL where the reader opens nothing, or nothing could be read */
	enum dicom_status status;      /* DICOM_FAILED: `error` says why, the data set has what came before */
	struct dicom_error error;
};

struct reader;

extern enum dicom_status reader_open(struct store *store, const struct reader_source *source,
									 const struct reader_options *options, struct reader **reader,
									 struct dicom_error *error);

/*
 * The next object: DICOM_OK and *item; DICOM_END; DICOM_FAILED where no further object can be had (the source failed,
 * or an interrupt). What is wrong with one object stands in the item. Waits, unless `wait` is false: then DICOM_PENDING.
 */
extern enum dicom_status reader_next(struct reader *reader, bool wait, struct reader_item **item,
									 struct dicom_error *error);

/* How many objects the reader has taken from its source and not handed out yet. */
extern int reader_in_flight(const struct reader *reader);

/* Drops whatever is in flight. NULL is ignored. */
extern void reader_close(struct reader *reader);

#endif
