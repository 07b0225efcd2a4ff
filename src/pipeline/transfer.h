/*
 * transfer.h
 *	  Objects from one store to another, many on their way at a time.
 *
 * Where the two can, the store copies. Where it may not (the keys of the target cannot read the source), and between different
 * kinds, the bytes pass through memory: an object of up to 8 MiB at once, a longer one in pieces and on its own. An object is read with its
 * etag as a condition; one that changes meanwhile is begun anew, a few times. It is visible in the target whole or not at all, and
 * its length is compared where the etag does not say the same. Memory is bounded whatever the sizes.
 */
#ifndef PIPELINE_TRANSFER_H
#define PIPELINE_TRANSFER_H

#include "postgres.h"

#include "../store/store.h"

#define TRANSFER_ETAG 128

struct transfer;

/* How it went with one object. */
struct transfer_result
{
	const char *key; /* in the source */
	const char *target_key;
	uint64 size;                     /* of the version that was copied */
	char source_etag[TRANSFER_ETAG]; /* likewise; empty: none is known */
	char target_etag[TRANSFER_ETAG];
	enum dicom_status status; /* OK or FAILED */
	struct dicom_error error;
	bool target_failed; /* it was the target that refused */
};

/* Both stores live at least as long as `context`, in which everything is allocated. */
extern struct transfer *transfer_open(struct store *source, struct store *target, MemoryContext context);

/* May another object be added? If not, take a result first. */
extern bool transfer_has_room(struct transfer *transfer);

/* Starts an object, of which size (or UNKNOWN) and etag (or NULL) are as listed. */
extern void transfer_add(struct transfer *transfer, const struct store_object *object,
						 const char *target_key);

/*
 * Waits for the oldest object that was added. Valid until the next call; NULL where none is on its way. Throws when
 * interrupted.
 */
extern const struct transfer_result *transfer_next(struct transfer *transfer);

/* May it be that nothing else can be had either, if many fail so one after another? */
extern bool transfer_failure_is_suspect(const struct transfer_result *result);

#endif
