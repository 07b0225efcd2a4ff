/*
 * command.c
 *	  Runs a command for what it prints.
 *
 * PostgreSQL's OpenPipeStream() would do but for one thing: closing the pipe waits for the command, so that a cancel could hang.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "command.h"

#define LAST_POLL_MS 10 /* a command that has closed its output is about to end */

extern char **environ;

struct command
{
	const char *setting;
	pid_t pid;
	int output; /* of the pipe */
	TimestampTz deadline;
};

static void
refuse(const struct command *command, int code, const char *what)
{
	ereport(ERROR, (errcode(code), errmsg("the command of %s %s", command->setting, what)));
}

/* Its signals are those of a fresh process, and it leads a group so that nothing it starts is left. */
static int
spawn(pid_t *pid, const char *text, int output)
{
	char *arguments[] = {"sh", "-c", unconstify(char *, text), NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigset_t all;
	int result;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes,
							 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	result = posix_spawn(pid, "/bin/sh", &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return result;
}

static void
start(struct command *command, const char *text)
{
	int ends[2];
	int result;

	if (pipe2(ends, O_CLOEXEC) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create a pipe: %m")));
	result = spawn(&command->pid, text, ends[1]);
	close(ends[1]);
	command->output = ends[0];
	if (result != 0)
	{
		close(ends[0]);
		errno = result;
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not run the command of %s: %m", command->setting)));
	}
}

/* Waits for the output, or so long; throws when it is time to stop. */
static void
pause_for(const struct command *command, int descriptor, int most_ms)
{
	long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), command->deadline);
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

	if (left <= 0)
		refuse(command, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION, "took too long");
	if (descriptor != PGINVALID_SOCKET)
		events |= WL_SOCKET_READABLE;
	if (WaitLatchOrSocket(MyLatch, events, descriptor, Min(left, most_ms), PG_WAIT_EXTENSION) & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static size_t
read_output(const struct command *command, char *buffer, size_t size)
{
	size_t length = 0;

	if (fcntl(command->output, F_SETFL, O_NONBLOCK) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not change a pipe: %m")));
	for (;;)
	{
		ssize_t count = read(command->output, buffer + length, size - length);

		if (count == 0)
			return length;
		if (count > 0)
			length += count;
		else if (errno == EAGAIN)
			pause_for(command, command->output, COMMAND_SECONDS * 1000);
		else if (errno != EINTR)
			ereport(ERROR, (errcode_for_file_access(),
							errmsg("could not read from the command of %s: %m", command->setting)));
		if (length == size)
			refuse(command, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "printed too much");
	}
}

static void
wait_for_end(struct command *command)
{
	int status;
	pid_t ended;

	while ((ended = waitpid(command->pid, &status, WNOHANG)) == 0)
		pause_for(command, PGINVALID_SOCKET, LAST_POLL_MS);
	command->pid = 0;
	if (ended < 0 || status != 0)
		refuse(command, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION, "failed");
}

static void
stop(struct command *command)
{
	if (command->pid > 0)
	{
		kill(-command->pid, SIGKILL);
		while (waitpid(command->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(command->output);
}

size_t
command_output(const char *setting, const char *text, char *buffer, size_t size)
{
	struct command command = {.setting = setting};
	volatile size_t length = 0;

	command.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), COMMAND_SECONDS * 1000);
	start(&command, text);
	PG_TRY();
	{
		length = read_output(&command, buffer, size);
		wait_for_end(&command);
	}
	PG_FINALLY();
	{
		stop(&command);
	}
	PG_END_TRY();
	return length;
}
