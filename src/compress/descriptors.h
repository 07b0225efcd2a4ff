/*
 * descriptors.h
 *	  How many files may be open at a time, and how many jobs that allows.
 *
 * A child has a socket; its jobs have their objects open, and files for their pictures; as many again are ready. Many processors need more
 * than a process is given at first.
 */
#ifndef COMPRESS_DESCRIPTORS_H
#define COMPRESS_DESCRIPTORS_H

#include <stdint.h>

#include "child.h"

#define DESCRIPTORS_BESIDES ((uint64_t) 64)
#define DESCRIPTORS_LEAST   ((uint64_t) 12)                                  /* that a job needs */
#define DESCRIPTORS_WANTED  (DESCRIPTORS_LEAST + (uint64_t) 5 * CHILD_QUEUE) /* that it makes good use of */

/* Raises the limit as far as it goes, and returns it. */
extern uint64_t descriptors_allowed(void);

#endif
