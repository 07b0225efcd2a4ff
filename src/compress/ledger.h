/*
 * ledger.h
 *	  The notes of a directory: lines of one file, notes.jsonl, that is only ever appended to.
 *
 * A file for each note would cost as much as the picture it is about. A line is written by one write(2), behind an empty one, so that a line
 * that was cut short spoils no other; the last line about a source counts. Lines that do not count any more are thrown out when
 * they have become many and nobody else has the ledger open.
 */
#ifndef COMPRESS_LEDGER_H
#define COMPRESS_LEDGER_H

#include "../store/store.h"
#include "state.h"

struct ledger;

/* Opens the ledger in a directory of a file store, named by what its keys begin with; the directory is made if need be. */
extern enum dicom_status ledger_open(struct store *store, const char *prefix, struct ledger **ledger,
									 struct dicom_error *error);
extern void ledger_close(struct ledger *ledger);

/* The note about a source, by its digest; false where there is none, or none that can be read. Notes appended since are not found. */
extern bool ledger_find(struct ledger *ledger, const char digest[SHA256_TEXT], struct state_note *note);

/* Appends a note as state_write() has written it. Any thread may do so. */
extern enum dicom_status ledger_append(struct ledger *ledger, const char *line, size_t length,
									   struct dicom_error *error);

#endif
