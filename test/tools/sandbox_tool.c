/*
 * sandbox_tool.c
 *	  Enters the sandbox of a decoding child, then does one thing that a decoder has no business doing.
 *
 * usage: sandbox_tool THING
 *
 * The exit status says what came of it: 10 done, 11 refused, 12 no memory, 13 failed. What is forbidden ends it by SIGSYS. write_file writes
 * to standard input.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compress/sandbox.h"

#define MEMORY ((uint64_t) 512 << 20)

static void
say(int succeeded)
{
	_exit(succeeded ? 10 : errno == EACCES ? 11 : errno == ENOMEM ? 12 : 13);
}

static void
do_open(void)
{
	say(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0);
}

static void
do_create(void)
{
	say(syscall(SYS_openat, AT_FDCWD, "/tmp/sandbox_tool.made", O_WRONLY | O_CREAT, 0600) >= 0);
}

static void
do_socket(void)
{
	say(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0) >= 0);
}

static void
do_connect(void)
{
	say(syscall(SYS_connect, 0, NULL, 0) == 0);
}

static void
do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	say(pid > 0);
}

static void
do_exec(void)
{
	say(execl("/bin/true", "true", NULL) == 0);
}

static void
do_kill(void)
{
	say(kill(getppid(), 0) == 0);
}

static void
do_signal_parent(void)
{
	say(syscall(SYS_tgkill, 1, 1, 0) == 0);
}

static void
do_ptrace(void)
{
	say(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
}

static void
do_unlink(void)
{
	say(unlink("/tmp/sandbox_tool.made") == 0);
}

static void
do_executable(void)
{
	say(syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != -1);
}

static void
do_make_executable(void)
{
	long memory = syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	say(syscall(SYS_mprotect, memory, 4096, PROT_READ | PROT_EXEC) == 0);
}

static int
map(uint64_t size)
{
	return syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != -1;
}

static void
do_memory(void)
{
	say(map(MEMORY));
}

static void
do_some_memory(void)
{
	say(map(MEMORY / 4));
}

static void
do_limits(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	say(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void
do_write_file(void)
{
	say(write(0, "x", 1) == 1);
}

static void
do_clone_thread(void)
{
	say(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) >= 0);
}

static void
do_abort(void)
{
	abort();
}

static void
do_nothing(void)
{
	say(1);
}

static const struct
{
	const char *name;
	void (*run)(void);
} things[] = {
	{"open", do_open},
	{"create", do_create},
	{"socket", do_socket},
	{"connect", do_connect},
	{"fork", do_fork},
	{"exec", do_exec},
	{"kill", do_kill},
	{"signal_parent", do_signal_parent},
	{"ptrace", do_ptrace},
	{"unlink", do_unlink},
	{"executable", do_executable},
	{"make_executable", do_make_executable},
	{"memory", do_memory},
	{"some_memory", do_some_memory},
	{"limits", do_limits},
	{"write_file", do_write_file},
	{"clone", do_clone_thread},
	{"abort", do_abort},
	{"nothing", do_nothing},
};

int
main(int argc, char **argv)
{
	struct dicom_error error;
	size_t i;

	for (i = 0; i < sizeof(things) / sizeof(*things); i++)
		if (argc == 2 && strcmp(argv[1], things[i].name) == 0)
		{
			if (sandbox_enter(MEMORY, 0, &error) != DICOM_OK)
			{
				fprintf(stderr, "%s\n", error.message);
				return 1;
			}
			things[i].run();
			_exit(0);
		}
	return 2;
}
