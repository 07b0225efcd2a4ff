/*
 * pollable.h
 *	  A descriptor and a timeout as one descriptor, for those who wait for descriptors only.
 */
#ifndef PG_POLLABLE_H
#define PG_POLLABLE_H

#include "postgres.h"

struct pollable;

/* Around a descriptor that lives as long; closed with the memory context. Throws. */
extern struct pollable *pollable_open(int descriptor, MemoryContext context);

/* The descriptor that becomes readable when the other one does, or after timeout_ms have passed. */
extern int pollable_arm(struct pollable *pollable, int timeout_ms);

#endif
