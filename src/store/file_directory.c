/*
 * file_directory.c
 *	  The directories that objects lie in: made and opened, flushed, and what is taken out of them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memrchr(), syncfs() */
#endif

#include "file_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Makes the directory path[0, length) in the one above it, which is there. False and errno where that fails. */
static bool
make_directory(struct file_store *file, char *path, size_t length, bool sync)
{
	char *slash = memrchr(path, '/', length);
	char kept = path[length];
	int parent;
	int made;
	int reason;

	if (slash)
		*slash = '\0';
	parent = file_open_path(file, slash ? path : "", O_RDONLY | O_DIRECTORY);
	if (slash)
		*slash = '/';
	if (parent < 0)
		return false;
	path[length] = '\0';
	made = mkdirat(parent, slash ? slash + 1 : path, 0777);
	if (made == 0 && sync)
		made = fsync(parent);
	reason = errno;
	path[length] = kept;
	close(parent);
	errno = reason;
	return made == 0 || reason == EEXIST;
}

static bool
make_directories(struct file_store *file, char *path, size_t length, bool sync)
{
	size_t i;

	for (i = 1; i <= length; i++)
		if ((i == length || path[i] == '/') && !make_directory(file, path, i, sync))
			return false;
	return true;
}

int
file_open_parent(struct file_store *file, char *path, enum file_missing missing, const char **name)
{
	char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t) (slash - path) : 0;
	int fd;

	*name = slash ? slash + 1 : path;
	if (slash == NULL)
		return file_open_path(file, "", O_RDONLY | O_DIRECTORY);
	*slash = '\0';
	fd = file_open_path(file, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 && errno == ENOENT && missing != FILE_MISSING_STAYS &&
		make_directories(file, path, length, missing == FILE_MISSING_IS_MADE))
		fd = file_open_path(file, path, O_RDONLY | O_DIRECTORY);
	*slash = '/';
	return fd;
}

/* --- flushing --- */

/* What lies in another file system than the location, which may be mounted anywhere below it, is not reached by file_flush(). */
bool
file_may_defer(const struct file_store *file, const struct stat *directory)
{
	return file->store.defers_sync && directory->st_dev == file->device;
}

enum dicom_status
file_flush(struct store *store, struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) store;
	int root = file_open_path(file, "", O_RDONLY | O_DIRECTORY);
	int done;

	/* A directory that may be written but not read cannot be opened so: then everything is flushed. */
	if (root < 0)
	{
		sync();
		return DICOM_OK;
	}
	done = syncfs(root);
	if (done < 0)
		file_fail(error, file, "", "flush");
	close(root);
	return done < 0 ? DICOM_FAILED : DICOM_OK;
}

/* --- deleting --- */

enum dicom_status
file_delete(struct store *store, const char *key, struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) store;
	char path[FILE_MAX_PATH];
	const char *name;
	struct stat status;
	int directory;
	int done = 0;
	int reason;

	store->statistics.other_requests++;
	if (!file_key_to_path(key, path))
		return DICOM_OK; /* no object has this key */
	directory = file_open_parent(file, path, FILE_MISSING_STAYS, &name);
	if (directory < 0)
		return errno == ENOENT || errno == ENOTDIR ? DICOM_OK : file_fail(error, file, key, "delete");
	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		(S_ISREG(status.st_mode) || S_ISLNK(status.st_mode)))
		done = unlinkat(directory, name, 0);
	if (done == 0 && (fstat(directory, &status) < 0 || !file_may_defer(file, &status)))
		done = fsync(directory);
	reason = errno;
	close(directory);
	errno = reason;
	return done == 0 || reason == ENOENT ? DICOM_OK : file_fail(error, file, key, "delete");
}
