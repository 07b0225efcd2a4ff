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
#define MAX_DEPTH        64

/* True where this directory was not swept through this store yet; it counts as swept from now on. */
static bool
is_due(struct file_store *file, const struct stat *status)
{
	int i;

	for (i = 0; i < FILE_SWEPT; i++)
		if (file->swept[i].inode == status->st_ino && file->swept[i].device == status->st_dev)
			return false;
	file->swept[file->next_swept].inode = status->st_ino;
	file->swept[file->next_swept].device = status->st_dev;
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

/* Not written to since `before`, in microseconds, and nobody's. */
static bool
is_leftover(int fd, int64_t before)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
		   (int64_t) status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000 < before &&
		   flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Says whether it was removed. */
static bool
sweep_name(int directory, const char *name, int64_t before)
{
	int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool removed;

	if (fd < 0)
		return false;
	removed = is_leftover(fd, before) && unlinkat(directory, name, 0) == 0;
	close(fd);
	return removed;
}

void
file_sweep(struct file_store *file, int directory, const struct stat *status)
{
	struct dirent *entry;
	DIR *stream;
	int fd;

	if (!is_due(file, status))
		return;
	fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (stream == NULL)
	{
		if (fd >= 0)
			close(fd);
		return;
	}
	/* cppcheck-suppress readdirCalled ; nobody else has this stream */
	while ((entry = readdir(stream)) != NULL)
		if (is_temporary_name(entry->d_name))
			sweep_name(directory, entry->d_name, ((int64_t) time(NULL) - LEFTOVER_SECONDS) * 1000000);
	closedir(stream);
}

/* --- on demand --- */

struct walk
{
	struct file_store *file;
	int64_t before;
	uint64_t removed;
	struct dicom_error *error;
};

static enum dicom_status sweep_tree(struct walk *walk, int fd, int depth);

/* What is no directory, or cannot be entered, has nothing that this store has written. Links are not followed. */
static enum dicom_status
sweep_entry(struct walk *walk, int directory, const struct dirent *entry, int depth)
{
	int fd;

	if (is_temporary_name(entry->d_name))
	{
		walk->removed += sweep_name(directory, entry->d_name, walk->before);
		return DICOM_OK;
	}
	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		(entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
		return DICOM_OK;
	fd = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? DICOM_OK : sweep_tree(walk, fd, depth + 1);
}

/* Closes fd. */
static enum dicom_status
sweep_tree(struct walk *walk, int fd, int depth)
{
	DIR *stream = depth > MAX_DEPTH ? NULL : fdopendir(fd);
	enum dicom_status status = DICOM_OK;
	struct dirent *entry;

	if (stream == NULL)
	{
		close(fd);
		return DICOM_OK;
	}
	status = file_check_interrupt(walk->file, walk->error);
	/* cppcheck-suppress readdirCalled ; nobody else has this stream */
	while (status == DICOM_OK && (entry = readdir(stream)) != NULL)
		status = sweep_entry(walk, dirfd(stream), entry, depth);
	closedir(stream);
	return status;
}

/* A temporary file has no key yet: those in directories whose path begins with the folders of the prefix are swept. */
enum dicom_status
file_sweep_store(struct store *store, const char *prefix, int64_t before, uint64_t *removed,
				 struct dicom_error *error)
{
	struct walk walk = {(struct file_store *) store, before, 0, error};
	const char *slash = strrchr(prefix, '/');
	char path[FILE_MAX_PATH] = "";
	char folder[FILE_MAX_KEY + 1] = "";
	enum dicom_status status = DICOM_OK;
	int fd;

	if (slash && (size_t) (slash - prefix) <= FILE_MAX_KEY)
		memcpy(folder, prefix, (size_t) (slash - prefix));
	if (folder[0] && !file_key_to_path(folder, path))
		return DICOM_OK;
	fd = file_open_path(walk.file, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		status = sweep_tree(&walk, fd, 0);
	*removed = walk.removed;
	return status;
}
