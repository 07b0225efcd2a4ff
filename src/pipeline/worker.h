/*
 * worker.h
 *	  Runs pipelines when they are due, in every database that dicom_fdw.databases lists.
 *
 * A launcher, which belongs to no database, starts a short-lived process per database every dicom_fdw.worker_naptime, or as
 * soon as somebody asks for it: the check. It asks dicom.due() which pipelines are to run, and goes; so nothing stands in the way of DROP
 * DATABASE in between. The launcher starts a process for each of them, at most dicom_fdw.max_runs at a time in all databases together: the
 * run. It connects as the owner of the pipeline, so that no query of a user ever has more rights than its owner, calls
 * dicom.run(), and goes. All of them are told what to do by a slot in shared memory, which the launcher gives out and takes back.
 *
 * What is due and what was done is in tables; nothing here has to survive. A launcher that dies is started again by the
 * postmaster, and so is everything after a crash. A run that dies without having noted it is not started again before a while,
 * which doubles each time.
 */
#ifndef PIPELINE_WORKER_H
#define PIPELINE_WORKER_H

#include "postgres.h"

#include "storage/latch.h"
#include "storage/lwlock.h"

#define WORKER_SLOTS    64
#define WORKER_PIPELINE 64 /* bytes of a pipeline's name, with the one that ends it */
#define WORKER_REASON   32 /* likewise */

enum worker_kind
{
	WORKER_CHECK,
	WORKER_RUN
};

enum slot_state
{
	SLOT_FREE,
	SLOT_WANTED,   /* a check has found a pipeline due */
	SLOT_STARTING, /* its process was asked for */
	SLOT_RUNNING,
	SLOT_ENDED
};

struct worker_slot
{
	enum slot_state state;
	enum worker_kind kind;
	uint32 generation; /* tells a process that comes too late from the one that is awaited */
	pid_t pid;
	bool succeeded;
	Oid database;
	Oid owner; /* of the pipeline */
	char pipeline[WORKER_PIPELINE];
	char reason[WORKER_REASON]; /* why it is due */
};

struct worker_shared
{
	LWLock *lock;           /* of all that follows */
	struct Latch *launcher; /* NULL: there is none */
	bool woken;             /* somebody does not want to wait for the next check */
	bool more_waiting;      /* a check found more due than may run at a time */
	struct worker_slot slots[WORKER_SLOTS];
};

/* NULL where the library was not loaded at the server's start. */
extern struct worker_shared *worker_shared;

/* Asks for the shared memory and the launcher; to be called while shared_preload_libraries are loaded. */
extern void worker_define(void);

/* --- a process that the launcher has started --- */

/* The slot that it was started for, a copy; marks it running, and ended when the process goes. False: nobody waits for it. */
extern bool worker_begin(Datum argument, enum worker_kind kind, struct worker_slot *slot);
extern void worker_succeeded(void);

/* Connects, as the bootstrap superuser where the user is InvalidOid, with settings that no role or database can change. */
extern void worker_connect(Oid database, Oid user);

/* Wants a run, unless it is wanted or running already. False: no more may run. */
extern bool worker_want_run(Oid database, Oid owner, const char *pipeline, const char *reason);

/* Lets the launcher look at its slots. */
extern void worker_wake_launcher(bool check);

/* The names in dicom_fdw.databases; palloc'd. */
extern List *worker_databases(void);

#endif
