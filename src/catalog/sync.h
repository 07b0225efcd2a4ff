/*
 * sync.h
 *	  dicom.sync(): a session and the worker that it starts, and what they tell each other in a shared segment.
 *
 * A function cannot commit, so a background worker does the work, batch by batch, each in a transaction of its own. The session
 * waits, throws the worker's error on, and stops the worker when it is itself stopped. After a crash at any point the next sync
 * goes on: whatever was written is compared like the rest.
 */
#ifndef CATALOG_SYNC_H
#define CATALOG_SYNC_H

#include "postgres.h"

#include "utils/elog.h"

#define SYNC_PREFIX 1025

struct sync_counters
{
	uint64 listed;
	uint64 opened;
	uint64 written;
	uint64 added; /* new */
	uint64 changed;
	uint64 vanished;
	uint64 failed;
	uint64 refused; /* keys that the catalog cannot hold; counted in failed, too */
	uint64 bytes;
	uint64 requests;
};

enum sync_outcome
{
	SYNC_UNFINISHED,
	SYNC_DONE,
	SYNC_FAILED
};

struct sync_shared
{
	/* What is to be done. */
	Oid database;
	Oid login; /* whom the worker connects as */
	Oid user;  /* whose rights to the server, and whose mapping, it uses */
	Oid server;
	bool allow_empty;
	bool wait;
	char prefix[SYNC_PREFIX]; /* UTF-8 */

	/* What came of it. */
	enum sync_outcome outcome;
	struct sync_counters counters;
	int sqlstate;
	char message[1024];
	char detail[2048];
	char hint[1024];
};

/* Does it, in the worker. Throws. */
extern void sync_run(struct sync_shared *shared);

/* Tells dicom.sync_state why it failed, as far as it came to that. */
extern void sync_note_failure(const struct sync_shared *shared);

/* The location and endpoint of a server: the catalog of one place says nothing about another. */
struct ForeignServer;
extern char *sync_place(struct ForeignServer *server);

#endif
