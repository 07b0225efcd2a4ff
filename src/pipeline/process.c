/*
 * process.c
 *	  A program as a child of the backend.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../pg/compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "../dicom/error.h"
#include "../pg/handle.h"
#include "../pg/report.h"
#include "../pg/wait.h"
#include "process.h"

#define LONGEST_LINE    65536
#define COMPLAINT_BYTES 2048
#define READ_BYTES      65536
#define END_MS          10000 /* for a process that has closed its output to end */
#define MAX_DESCRIPTORS 4096  /* closed one by one where the kernel cannot do it at once */
#define HIGH_DESCRIPTOR 10    /* above those that the program gets */

extern char **environ;

enum stream
{
	STREAM_INPUT,
	STREAM_OUTPUT,
	STREAM_ERROR,
	STREAM_SECRET,
	STREAM_STARTED, /* says why the program could not be executed; closed where it was */
	STREAM_COUNT
};

struct process
{
	struct process_start start;
	pid_t pid;              /* 0: it is gone */
	int ours[STREAM_COUNT]; /* our ends of the pipes; -1: closed */
	int theirs[STREAM_COUNT];
	int epoll;
	size_t written;
	StringInfoData output; /* read, from `line` on not handed out yet */
	int line;
	StringInfoData complaint;
	struct pg_handle *tied;
};

/* --- closing --- */

static void
close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}

static void
close_process(void *handle)
{
	struct process *process = handle;
	int i;

	if (process->pid > 0)
	{
		int status;

		kill(-process->pid, SIGKILL);
		kill(process->pid, SIGKILL);
		while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
			;
		process->pid = 0;
	}
	for (i = 0; i < STREAM_COUNT; i++)
	{
		close_descriptor(&process->ours[i]);
		close_descriptor(&process->theirs[i]);
	}
	close_descriptor(&process->epoll);
}

void
process_close(struct process *process)
{
	handle_close(process->tied);
}

/* --- in the child, between fork and exec: nothing here may take a lock or allocate --- */

static void
keep_descriptors(const int *theirs)
{
	int high[STREAM_COUNT];
	int i;

	for (i = 0; i < STREAM_COUNT; i++)
		high[i] = fcntl(theirs[i], F_DUPFD, HIGH_DESCRIPTOR);
	for (i = 0; i < STREAM_STARTED; i++)
		dup2(high[i], i);
	dup2(high[STREAM_STARTED], STREAM_STARTED);
	fcntl(STREAM_STARTED, F_SETFD, FD_CLOEXEC);
#ifdef SYS_close_range
	if (syscall(SYS_close_range, STREAM_COUNT, ~0U, 0) == 0)
		return;
#endif
	for (i = STREAM_COUNT; i < MAX_DESCRIPTORS; i++)
		close(i);
}

static void
forget_signals(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* If memory runs out, better this process than one whose end restarts the server. */
static void
offer_itself(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY);

	if (file >= 0)
	{
		if (write(file, "500", 3) < 0)
			(void) 0; /* then not */
		close(file);
	}
}

static void
become_program(const struct process *process, pid_t parent, char **environment)
{
	const struct rlimit none = {0, 0};
	int reason;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	offer_itself();
	setrlimit(RLIMIT_CORE, &none);
	keep_descriptors(process->theirs);
	forget_signals();
	execve(process->start.path, (char **) process->start.arguments, environment);
	reason = errno;
	if (write(STREAM_STARTED, &reason, sizeof(reason)) < 0)
		_exit(126);
	_exit(127);
}

/* --- starting --- */

/* What a program needs to speak with stores, and nothing of the server's. */
static char **
choose_environment(bool cloud_keys)
{
	static const char *const kept[] = {"PATH=",        "HOME=",        "LANG=",           "LC_",
									   "TZ=",          "TMPDIR=",      "SSL_CERT_",       "CURL_CA_BUNDLE=",
									   "http_proxy=",  "https_proxy=", "no_proxy=",       "all_proxy=",
									   "HTTPS_PROXY=", "NO_PROXY=",    "LD_LIBRARY_PATH="};
	char **chosen;
	int count = 0;
	int used = 0;
	int i, k;

	while (environ[count])
		count++;
	chosen = palloc((count + 1) * sizeof(*chosen));
	for (i = 0; i < count; i++)
	{
		bool keep = cloud_keys && strncmp(environ[i], "AWS_", 4) == 0;

		for (k = 0; k < (int) lengthof(kept); k++)
			keep |= strncmp(environ[i], kept[k], strlen(kept[k])) == 0;
		if (keep)
			chosen[used++] = environ[i];
	}
	chosen[used] = NULL;
	return chosen;
}

static void
open_pipes(struct process *process)
{
	int i;

	for (i = 0; i < STREAM_COUNT; i++)
	{
		bool we_read = i == STREAM_OUTPUT || i == STREAM_ERROR || i == STREAM_STARTED;
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not create pipe: %m")));
		process->ours[i] = ends[we_read ? 0 : 1];
		process->theirs[i] = ends[we_read ? 1 : 0];
		if (i != STREAM_STARTED && fcntl(process->ours[i], F_SETFL, O_NONBLOCK) < 0)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not set up pipe: %m")));
	}
}

static void
start_child(struct process *process)
{
	char **environment = choose_environment(process->start.wants_cloud_keys);
	pid_t parent = getpid();
	sigset_t all;
	sigset_t before;
	int i;

	/* A signal that comes before exec must not run the backend's handlers in there. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	process->pid = fork();
	if (process->pid == 0)
		become_program(process, parent, environment);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (process->pid < 0)
	{
		process->pid = 0;
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("could not fork a process: %m")));
	}
	setpgid(process->pid, process->pid); /* whoever of the two comes first */
	for (i = 0; i < STREAM_COUNT; i++)
		close_descriptor(&process->theirs[i]);
}

/* Until exec, a child is nothing that could take long. */
static void
check_started(struct process *process)
{
	int reason = 0;
	ssize_t got;

	do
		got = read(process->ours[STREAM_STARTED], &reason, sizeof(reason));
	while (got < 0 && errno == EINTR);
	close_descriptor(&process->ours[STREAM_STARTED]);
	if (got != sizeof(reason))
		return;
	errno = reason;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE), errmsg("could not execute \"%s\": %m", process->start.path),
			 errhint("Setting dicom_fdw.dicompress_path names the program.")));
}

/* Before there is anybody to read it: a pipe takes 64 KiB, which is far more than this can be. */
static void
lay_down_secret(struct process *process)
{
	const char *secret = process->start.secret;
	size_t length = strlen(secret);

	if (write(process->ours[STREAM_SECRET], secret, length) != (ssize_t) length)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("what \"%s\" needs to know is too long", process->start.path)));
	close_descriptor(&process->ours[STREAM_SECRET]);
}

static void
watch(struct process *process, enum stream stream, uint32 events)
{
	struct epoll_event event = {.events = events, .data.u32 = stream};

	if (epoll_ctl(process->epoll, EPOLL_CTL_ADD, process->ours[stream], &event) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not wait for a pipe: %m")));
}

struct process *
process_open(const struct process_start *start, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	struct process *process = palloc0(sizeof(*process));

	process->start = *start;
	memset(process->ours, -1, sizeof(process->ours));
	memset(process->theirs, -1, sizeof(process->theirs));
	initStringInfo(&process->output);
	initStringInfo(&process->complaint);
	process->epoll = epoll_create1(EPOLL_CLOEXEC);
	process->tied = handle_tie(context, close_process, process);
	if (process->epoll < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create a descriptor to wait for: %m")));
	open_pipes(process);
	lay_down_secret(process);
	start_child(process);
	check_started(process);
	watch(process, STREAM_INPUT, EPOLLOUT);
	watch(process, STREAM_OUTPUT, EPOLLIN);
	watch(process, STREAM_ERROR, EPOLLIN);
	MemoryContextSwitchTo(old);
	return process;
}

/* --- talking --- */

static void
wait_for_pipe(struct process *process, int descriptor, int timeout_ms)
{
	struct dicom_error error;

	if (backend_host.wait(backend_host.arg, descriptor, timeout_ms))
		return;
	dicom_fail(&error, DICOM_ERROR_INTERRUPTED, "interrupted while waiting for a program");
	report_error(&error);
}

/* Writing to a program that has gone: SIGPIPE is ignored in a backend. What became of it shows at its end. */
static void
feed(struct process *process)
{
	size_t left = process->start.input_length - process->written;
	ssize_t written = left > 0 ? write(process->ours[STREAM_INPUT], process->start.input + process->written,
									   Min(left, READ_BYTES))
							   : 0;

	if (written > 0)
		process->written += written;
	else if (written < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (written < 0 || process->written == process->start.input_length)
		close_descriptor(&process->ours[STREAM_INPUT]);
}

/* Reads what has come; the descriptor is closed at its end. */
static void
listen_to(int *descriptor, StringInfo text, int limit)
{
	char bytes[8192];
	ssize_t got;

	do
	{
		got = read(*descriptor, bytes, sizeof(bytes));
		if (got > 0 && text->len < limit)
			appendBinaryStringInfo(text, bytes, Min((int) got, limit - text->len));
	} while (got == sizeof(bytes) && text->len < limit);
	if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
		close_descriptor(descriptor);
}

static void
talk(struct process *process)
{
	struct epoll_event events[3];
	int count;
	int i;

	wait_for_pipe(process, process->epoll, -1);
	count = epoll_wait(process->epoll, events, lengthof(events), 0);
	for (i = 0; i < count; i++)
		switch ((enum stream) events[i].data.u32)
		{
			case STREAM_INPUT:
				feed(process);
				break;
			case STREAM_OUTPUT:
				listen_to(&process->ours[STREAM_OUTPUT], &process->output, INT_MAX / 2);
				break;
			default:
				/* What is too much is read all the same, so that the program does not wait. */
				listen_to(&process->ours[STREAM_ERROR], &process->complaint, COMPLAINT_BYTES);
		}
}

/* Moves what was not handed out yet to the front. */
static void
drop_old_lines(struct process *process)
{
	StringInfo output = &process->output;

	memmove(output->data, output->data + process->line, output->len - process->line);
	output->len -= process->line;
	output->data[output->len] = '\0';
	process->line = 0;
}

char *
process_next_line(struct process *process, int *length)
{
	StringInfo output = &process->output;

	for (;;)
	{
		char *begin = output->data + process->line;
		char *end = memchr(begin, '\n', output->len - process->line);
		bool is_last = end == NULL && process->ours[STREAM_OUTPUT] < 0;

		CHECK_FOR_INTERRUPTS();
		if (is_last && process->line == output->len)
			return NULL;
		if (end || is_last)
		{
			*length = (end ? end : output->data + output->len) - begin;
			begin[*length] = '\0';
			process->line += *length + (end != NULL);
			return begin;
		}
		if (output->len - process->line > LONGEST_LINE)
			ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
							errmsg("\"%s\" says what makes no sense", process->start.path),
							errdetail("A line is longer than %d bytes.", LONGEST_LINE)));
		drop_old_lines(process);
		talk(process);
	}
}

/* --- the end --- */

int
process_wait(struct process *process)
{
	int waited;
	int status = 0;

	for (waited = 0; waited < END_MS; waited += 10)
	{
		pid_t gone = waitpid(process->pid, &status, WNOHANG);

		if (gone == process->pid || (gone < 0 && errno == ECHILD))
		{
			process->pid = 0;
			break;
		}
		wait_for_pipe(process, -1, 10);
	}
	if (process->ours[STREAM_ERROR] >= 0)
		listen_to(&process->ours[STREAM_ERROR], &process->complaint, COMPLAINT_BYTES);
	if (process->pid > 0)
		status = SIGKILL; /* as waitpid() would have it */
	process_close(process);
	return status;
}

const char *
process_complaint(struct process *process)
{
	StringInfoData text;
	char *rest = pstrdup(process->complaint.data);
	char *line;

	initStringInfo(&text);
	while ((line = strsep(&rest, "\n")) != NULL)
		if (*line && strstr(line, "object:") == NULL)
			appendStringInfo(&text, "%s%s", text.len ? "\n" : "", line);
	return text_to_server(text.data, &text.len, NULL);
}

const char *
process_end(int status)
{
	if (WIFSIGNALED(status))
		return psprintf("was killed by signal %d", WTERMSIG(status));
	return psprintf("ended with status %d", WEXITSTATUS(status));
}
