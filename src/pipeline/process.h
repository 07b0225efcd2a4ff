/*
 * process.h
 *	  A program as a child of the backend: fed, listened to, and gone when whoever started it is.
 *
 * It is started without a shell, with standard input, output and error as pipes, what is to stay secret in descriptor 3, and no other
 * descriptor or signal of the backend's. It leads a process group, which is killed when the memory context goes, be it by
 * an error, a cancel or the end of the session; the kernel kills it should the backend die without a word. Nothing waits
 * without listening to interrupts.
 */
#ifndef PIPELINE_PROCESS_H
#define PIPELINE_PROCESS_H

#include "postgres.h"

#define PROCESS_SECRET 3 /* the descriptor */

struct process;

struct process_start
{
	const char *path;
	const char *const *arguments; /* the first is its name; NULL-terminated */
	bool wants_cloud_keys;        /* may it see AWS_... of the environment? */
	const char *secret;           /* what can be read from descriptor 3 */
	const char *input;            /* standard input; both stay the caller's until the process is closed */
	size_t input_length;
};

/* Throws where it cannot be started. */
extern struct process *process_open(const struct process_start *start, MemoryContext context);

/* The next line of standard output, without its end, until the next call; NULL at the end. Throws for one beyond 64 KiB. */
extern char *process_next_line(struct process *process, int *length);

/* After the last line: waits for the end. The status of waitpid(2); a process that does not end is killed after a while. */
extern int process_wait(struct process *process);

/* The first lines of standard error, bounded, with those left out that name objects. Never NULL. */
extern const char *process_complaint(struct process *process);

/* "was killed by signal 9", "ended with status 2" */
extern const char *process_end(int status);

extern void process_close(struct process *process);

#endif
