/*
 * child_process.c
 *	  A child as a process: started with one socket and nothing else, and its end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_spawn_file_actions_addclosefrom_np(), sigabbrev_np() */
#endif

#include "child_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_MEMORY ((uint64_t) 4 << 30)
#define END_WAIT_MS    200 /* for a process that has closed its socket to end by itself */
#define KILL_WAIT_MS \
	5000 /* for one that was killed: what is stuck in the kernel is left to whoever reaps this process */
#define LEAST_SLEEP 50000 /* nanoseconds */
#define MOST_SLEEP  1000000

/* The socket becomes descriptor 0; there is no other. Returns an error number. */
static int
add_actions(posix_spawn_file_actions_t *actions, int socket)
{
	int result = posix_spawn_file_actions_adddup2(actions, socket, 0);

	if (result == 0)
		result = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
	if (result == 0)
		result = posix_spawn_file_actions_adddup2(actions, 1, 2);
	if (result == 0)
		result = posix_spawn_file_actions_addclosefrom_np(actions, 3);
	return result;
}

/* Nothing of the parent's signals, and no part in those of its terminal. */
static int
set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none;
	sigset_t all;
	int result = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
														  POSIX_SPAWN_SETPGROUP);

	sigemptyset(&none);
	sigfillset(&all);
	if (result == 0)
		result = posix_spawnattr_setsigmask(attributes, &none);
	if (result == 0)
		result = posix_spawnattr_setsigdefault(attributes, &all);
	if (result == 0)
		result = posix_spawnattr_setpgroup(attributes, 0);
	return result;
}

/* The environment stays behind: it may hold keys of a store. */
static int
spawn_on_socket(struct child *child, const struct child_options *options, int socket)
{
	char memory[24];
	char *arguments[] = {(char *) "dicompress-decoder", memory,
						 options->has_outputs ? (char *) "writes" : NULL, NULL};
	char *environment[] = {(char *) "LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int result = posix_spawn_file_actions_init(&actions);

	if (result != 0)
		return result;
	result = posix_spawnattr_init(&attributes);
	if (result == 0)
	{
		snprintf(memory, sizeof(memory), "%" PRIu64, options->memory ? options->memory : DEFAULT_MEMORY);
		result = add_actions(&actions, socket);
		if (result == 0)
			result = set_attributes(&attributes);
		if (result == 0)
			result =
				posix_spawn(&child->pid, options->program, &actions, &attributes, arguments, environment);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (result != 0)
		child->pid = 0;
	return result;
}

static bool
watch_socket(struct child *child)
{
	struct epoll_event event = {.events = EPOLLIN};

	child->descriptor = epoll_create1(EPOLL_CLOEXEC);
	return child->descriptor >= 0 &&
		   epoll_ctl(child->descriptor, EPOLL_CTL_ADD, child->channel.socket, &event) == 0;
}

enum dicom_status
child_spawn(struct child *child, const struct child_options *options, struct dicom_error *error)
{
	int sockets[2];
	int result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return dicom_fail(error, DICOM_ERROR_IO, "cannot make a socket: %s", strerror(errno));
	child->channel.socket = sockets[0];
	if (watch_socket(child))
		result = spawn_on_socket(child, options, sockets[1]);
	else
		result = errno;
	close(sockets[1]);
	if (result == 0)
		return DICOM_OK;
	dicom_fail(error, DICOM_ERROR_IO, "cannot start the program that decodes pixels: %s", strerror(result));
	return dicom_hint(error, "is it installed as %s?", options->program);
}

static void
describe_end(struct child *child, int status)
{
	if (WIFSIGNALED(status))
	{
		const char *name = sigabbrev_np(WTERMSIG(status));

		child->end = CHILD_KILLED;
		dicom_fail(&child->error, DICOM_ERROR_DECODER, "decoder killed by %s%s", name ? "SIG" : "signal",
				   name ? name : "");
		if (WTERMSIG(status) == SIGKILL)
			dicom_hint(&child->error, "the machine may have run out of memory");
		return;
	}
	child->end = CHILD_EXITED;
	dicom_fail(&child->error, DICOM_ERROR_DECODER, "decoder exited with status %d", WEXITSTATUS(status));
}

/* Waits a little for the process to end. True where it has, and its status is known (-1: it is not). */
static bool
await_end(struct child *child, int milliseconds, int *status)
{
	struct timespec moment = {.tv_nsec = LEAST_SLEEP};
	int64_t left = (int64_t) milliseconds * 1000000;

	for (; left >= 0; left -= moment.tv_nsec)
	{
		pid_t gone = waitpid(child->pid, status, WNOHANG);

		if (gone == child->pid)
			return true;
		if (gone < 0 && errno != EINTR)
		{
			*status = -1; /* somebody else has waited for it */
			return true;
		}
		if (moment.tv_nsec < MOST_SLEEP)
			moment.tv_nsec *= 2;
		nanosleep(&moment, NULL);
	}
	return false;
}

void
child_see_end(struct child *child)
{
	int status;

	if (child->pid == 0 || !await_end(child, END_WAIT_MS, &status))
	{
		child_kill(child);
		child->end = CHILD_BROKE_PROTOCOL;
		dicom_fail(&child->error, DICOM_ERROR_DECODER, "decoder closed its socket and went on");
		return;
	}
	child->pid = 0;
	if (status != -1)
		describe_end(child, status);
	else
	{
		child->end = CHILD_EXITED;
		dicom_fail(&child->error, DICOM_ERROR_DECODER, "decoder ended");
	}
}

void
child_kill_soon(struct child *child)
{
	if (child && child->pid != 0)
		kill(child->pid, SIGKILL);
}

void
child_kill(struct child *child)
{
	int status;

	child_kill_soon(child);
	if (child->pid != 0)
		await_end(child, KILL_WAIT_MS, &status);
	child->pid = 0;
}
