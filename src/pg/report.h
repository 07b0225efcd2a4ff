/*
 * report.h
 *	  The lower half's errors as PostgreSQL's, and its UTF-8 as the database's encoding.
 */
#ifndef PG_REPORT_H
#define PG_REPORT_H

#include "postgres.h"

#include "../dicom/error.h"
#include "compat.h"

/* Beside errdetail(), where that names an object: keys may name people, so that the server's log is told less than the client. */
#define errdetail_not_logged() errdetail_log("The client was told which object.")

/* Throws an error of the lower half; an interrupt becomes whatever CHECK_FOR_INTERRUPTS() makes of it. Does not return. */
pg_noreturn extern void report_error(const struct dicom_error *error);

/* The SQLSTATE that report_error() gives it. */
extern int report_sqlstate(const struct dicom_error *error);

/* One line "message (where)" for a column or a WARNING, in the database's encoding, palloc'd. */
extern char *report_line(const struct dicom_error *error);

/*
 * UTF-8 text in the database's encoding, NUL-terminated. What it cannot hold becomes '?' and is counted in *replaced (may be
 * NULL). Returns `text` itself where nothing is to be done and it is terminated, else palloc'd memory. *length is updated.
 */
extern char *text_to_server(const char *text, int *length, uint64 *replaced);

/* The other way, for keys that go out; palloc'd or `text` itself. */
extern char *text_to_utf8(const char *text);

#endif
