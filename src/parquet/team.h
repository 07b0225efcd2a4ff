/*
 * team.h
 *	  Threads that do pieces of work beside their owner, who does of them too.
 *
 * The threads know nothing of the process that they are in: they block all signals, and run nothing but the function they are given.
 * The owner waits for them only where its host lets it, and may leave at any moment: team_close() tells them to stop, and ends them all.
 */
#ifndef PARQUET_TEAM_H
#define PARQUET_TEAM_H

#include "../store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct team;

struct team_work
{
	/* Does one piece. Each member does one at a time: 0 is the owner, above it are the threads. */
	void (*run)(void *arg, uint32_t piece, int member);
	void *arg;
	uint32_t pieces;
};

/* With so many members, the owner among them, or fewer where the system gives no more threads. NULL: out of memory. */
extern struct team *team_open(int members, const struct store_host *host);

/* Gives the team a work, and returns at once. The one before is done. */
extern void team_begin(struct team *team, const struct team_work *work);

/* Does pieces and waits until all are done. False where the host interrupts; then only team_close() makes sense. */
extern bool team_finish(struct team *team);

/* Whether a piece should be given up: asked by its member now and then. */
extern bool team_stopped(struct team *team, int member);

/* Gives up what is not done, and ends the threads; NULL is ignored. */
extern void team_close(struct team *team);

#endif
