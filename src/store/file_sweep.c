/*
 * file_sweep.c
 *	  Temporary files whose writers were killed.
 *
 * A writer holds a lock on its temporary file, which the kernel takes back when the process ends, however it ends. A file of such a
 * name that nobody holds, and that was not written to for an hour, is a leftover. (The lock alone would do, but not every
 * file system across a network has one.)
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LEFTOVER_SECONDS 3600

/* True where this directory was not swept through this store yet; it counts as swept from now on. */
static bool
is_due(struct file_store *file, int directory)
{
	struct stat status;
	int i;

	if (fstat(directory, &status) < 0)
		return false;
	for (i = 0; i < FILE_SWEPT; i++)
		if (file->swept[i].inode == status.st_ino && file->swept[i].device == status.st_dev)
			return false;
	file->swept[file->next_swept].inode = status.st_ino;
	file->swept[file->next_swept].device = status.st_dev;
	file->next_swept = (file->next_swept + 1) % FILE_SWEPT;
	return true;
}

static bool
is_temporary_name(const char *name)
{
	size_t prefix = strlen(FILE_TEMPORARY);

	return strncmp(name, FILE_TEMPORARY, prefix) == 0 &&
		   strspn(name + prefix, "0123456789abcdef") == FILE_TEMPORARY_DIGITS &&
		   name[prefix + FILE_TEMPORARY_DIGITS] == '\0';
}

static bool
is_leftover(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
		   status.st_mtime + LEFTOVER_SECONDS < time(NULL) && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void
sweep_name(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (is_leftover(fd))
		unlinkat(directory, name, 0);
	close(fd);
}

void
file_sweep(struct file_store *file, int directory)
{
	struct dirent *entry;
	DIR *stream;
	int fd;

	if (!is_due(file, directory))
		return;
	fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (stream == NULL)
	{
		if (fd >= 0)
			close(fd);
		return;
	}
	/* cppcheck-suppress readdirCalled ; the stream is this call's own */
	while ((entry = readdir(stream)) != NULL)
		if (is_temporary_name(entry->d_name))
			sweep_name(directory, entry->d_name);
	closedir(stream);
}
