/*
 * sandbox.c
 *	  Limits, and the filter of system calls.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_CPU_SECONDS 7200 /* a parent ends a child long before; this is for one that lost its parent */

static enum dicom_status
fail(struct dicom_error *error, const char *what, int reason)
{
	return dicom_fail(error, DICOM_ERROR_IO, "cannot confine the decoder: %s: %s", what, strerror(reason));
}

/* When memory is short, this process goes first. What cannot be had here is no loss. */
static void
volunteer_for_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "800", 3) < 0)
		errno = 0;
	close(fd);
}

static bool
set_limit(int resource, rlim_t value)
{
	struct rlimit limit;

	/* Limits can be lowered only. */
	if (getrlimit((__rlimit_resource_t) resource, &limit) == 0 && limit.rlim_max < value)
		value = limit.rlim_max;
	limit.rlim_cur = limit.rlim_max = value;
	return setrlimit((__rlimit_resource_t) resource, &limit) == 0;
}

static enum dicom_status
set_limits(uint64_t memory, uint64_t file, struct dicom_error *error)
{
	if (set_limit(RLIMIT_AS, (rlim_t) memory) && set_limit(RLIMIT_CPU, MAX_CPU_SECONDS) &&
		set_limit(RLIMIT_CORE, 0) && set_limit(RLIMIT_FSIZE, (rlim_t) file) &&
		set_limit(RLIMIT_NOFILE, SANDBOX_DESCRIPTORS) && set_limit(RLIMIT_NPROC, 0) &&
		set_limit(RLIMIT_MEMLOCK, 0))
		return DICOM_OK;
	return fail(error, "setrlimit", errno);
}

static const int allowed_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(lseek),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getrusage),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(sched_yield),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* What libraries ask in passing, and can do without. */
static const int refused_calls[] = {
	SCMP_SYS(open),       SCMP_SYS(openat), SCMP_SYS(stat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx),  SCMP_SYS(access),
	SCMP_SYS(readlink),   SCMP_SYS(ioctl),  SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sysinfo),    SCMP_SYS(uname),  SCMP_SYS(prlimit64),
	SCMP_SYS(getcwd),     SCMP_SYS(fcntl),
};

/* Those that depend on their arguments: memory that cannot be run, and signals to nobody else (abort(3)). */
static int
allow_some(scmp_filter_ctx filter)
{
	int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
								  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
								  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
								  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t) getpid()));
	return result;
}

static int
add_rules(scmp_filter_ctx filter)
{
	int result = allow_some(filter);
	size_t i;

	for (i = 0; result == 0 && i < sizeof(allowed_calls) / sizeof(*allowed_calls); i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	for (i = 0; result == 0 && i < sizeof(refused_calls) / sizeof(*refused_calls); i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), refused_calls[i], 0);
	return result;
}

static enum dicom_status
filter_calls(struct dicom_error *error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int result;

	if (filter == NULL)
		return fail(error, "seccomp", ENOMEM);
	/* The commonest calls are found by bisection, not one after another. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	result = add_rules(filter);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result == 0 ? DICOM_OK : fail(error, "seccomp", -result);
}

enum dicom_status
sandbox_enter(uint64_t memory, uint64_t file, struct dicom_error *error)
{
	volunteer_for_oom();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return fail(error, "prctl", errno);
	if (set_limits(memory, file, error) != DICOM_OK)
		return DICOM_FAILED;
	return filter_calls(error);
}
