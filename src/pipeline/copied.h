/*
 * copied.h
 *	  The table dicom.copied: which version of each object of a server was copied to which other server, or why it was not.
 */
#ifndef PIPELINE_COPIED_H
#define PIPELINE_COPIED_H

#include "postgres.h"

#include "transfer.h"

struct copied;

/* What is known of one object. */
struct copied_row
{
	const char *key;
	const char *source_etag; /* of the version that was copied; empty: none was */
	bool too_early;          /* it failed, and is not to be tried again yet */
};

/* One pair of servers. */
extern struct copied *copied_open(Oid source, Oid target);

/* The rows of these keys, in their order; *row_count of them, in the current context. */
extern struct copied_row *copied_read(struct copied *copied, const char **keys, int key_count,
									  int *row_count);

/* Notes a result, which is written with the next copied_write(). */
extern void copied_add(struct copied *copied, const struct transfer_result *result);

/* Notes so far; and back to an earlier number of failures: those noted since are forgotten. */
extern int copied_failure_count(const struct copied *copied);
extern void copied_forget_failures(struct copied *copied, int count);

/* Writes what was noted. */
extern void copied_write(struct copied *copied);

/* Takes out the rows whose keys begin so: they will be copied again. How many. */
extern uint64 copied_forget(Oid source, Oid target, const char *prefix);

#endif
