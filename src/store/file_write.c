/*
 * file_write.c
 *	  Objects are written beside their place, and put there when they are whole and, unless that is deferred, on disk.
 *
 * A file being written has a name that listings pass over and no key reaches. rename(2) or link(2) gives it its own: whoever looks sees
 * the old object or the new one. After kill -9 the temporary file stays; it is no object, and a later write into the same directory
 * removes it (file_sweep.c). A draft, whose place is not known yet, has no name at all before it gets its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "file_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define ATTEMPTS 8 /* at a name that nobody has */

static enum dicom_status
fail_key(struct dicom_error *error, const struct file_store *file, const char *key)
{
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a file cannot have this key");
	dicom_hint(error, "Keys are relative paths in UTF-8 without empty, '.' and '..' components.");
	return store_name_object(error, &file->store, key);
}

static enum dicom_status
fail_upload(const struct file_upload *upload, const char *what, struct dicom_error *error)
{
	if (errno == ENOENT || errno == ENOTDIR || errno == EISDIR || errno == ENOTEMPTY)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
				   "cannot %s object: a directory is in the way, or a file is where one should be", what);
		return store_name_object(error, &upload->file->store, upload->key);
	}
	return file_fail(error, upload->file, upload->key, what);
}

/* Chooses the name of a temporary file. They begin anywhere, so that those of two stores do not meet; again: that one is taken. */
static bool
choose_temporary(struct file_store *file, bool again, char name[FILE_TEMPORARY_SIZE])
{
	if ((file->temporaries == 0 || again) &&
		getrandom(&file->temporaries, sizeof(file->temporaries), 0) != sizeof(file->temporaries))
		return false;
	snprintf(name, FILE_TEMPORARY_SIZE, "%s%0*llx", FILE_TEMPORARY, FILE_TEMPORARY_DIGITS,
			 (unsigned long long) file->temporaries++);
	return true;
}

static bool
create_temporary(struct file_upload *upload)
{
	char name[FILE_TEMPORARY_SIZE];
	int attempt;

	for (attempt = 0; attempt < ATTEMPTS && choose_temporary(upload->file, attempt > 0, name); attempt++)
	{
		upload->fd =
			openat(upload->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (upload->fd >= 0 || errno != EEXIST)
			break;
	}
	if (upload->fd < 0)
		return false;
	strcpy(upload->temporary, name);
	flock(upload->fd, LOCK_EX | LOCK_NB); /* it is not left over: file_sweep() */
	return true;
}

static bool
copy_request(struct file_upload *upload, const struct store_put_request *request)
{
	upload->key = strdup(request->key);
	upload->if_match = request->if_match ? strdup(request->if_match) : NULL;
	upload->if_none_match = request->if_none_match;
	return upload->key && (upload->if_match || !request->if_match);
}

struct file_upload *
file_upload_new(struct store *store, struct dicom_error *error)
{
	struct file_upload *upload = calloc(1, sizeof(*upload));

	if (upload == NULL)
	{
		dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		return NULL;
	}
	upload->file = (struct file_store *) store;
	upload->directory = -1;
	upload->fd = -1;
	return upload;
}

enum dicom_status
file_upload_take_request(struct file_upload *upload, const struct store_put_request *request,
						 struct dicom_error *error)
{
	struct file_store *file = upload->file;

	if (request->storage_class && strcmp(request->storage_class, "STANDARD") != 0)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a directory has no storage classes");
		return store_name_object(error, &file->store, request->key);
	}
	if (!copy_request(upload, request))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (!file_key_to_path(upload->key, upload->path))
		return fail_key(error, file, upload->key);
	file->store.statistics.put_requests++;
	return DICOM_OK;
}

enum dicom_status
file_upload_find_place(struct file_upload *upload, struct dicom_error *error)
{
	struct file_store *file = upload->file;
	enum file_missing missing =
		file->store.defers_sync ? FILE_MISSING_IS_MADE_UNSYNCED : FILE_MISSING_IS_MADE;
	struct stat status;

	upload->directory = file_open_parent(file, upload->path, missing, &upload->name);
	if (upload->directory < 0 || fstat(upload->directory, &status) < 0)
		return fail_upload(upload, "write", error);
	upload->defers_sync = file_may_defer(file, &status);
	file_sweep(file, upload->directory, &status);
	return DICOM_OK;
}

enum dicom_status
file_upload_open(struct store *store, const struct store_put_request *request, struct store_upload **result,
				 struct dicom_error *error)
{
	struct file_upload *upload = file_upload_new(store, error);

	if (upload == NULL)
		return DICOM_FAILED;
	*result = &upload->upload;
	if (file_upload_take_request(upload, request, error) == DICOM_OK &&
		file_upload_find_place(upload, error) == DICOM_OK)
	{
		if (create_temporary(upload))
			return DICOM_OK;
		fail_upload(upload, "write", error);
	}
	file_upload_close(&upload->upload, false);
	return DICOM_FAILED;
}

enum dicom_status
file_upload_write(struct store_upload *base, const void *bytes, size_t length, struct dicom_error *error)
{
	struct file_upload *upload = (struct file_upload *) base;
	const char *next = bytes;

	while (length > 0)
	{
		ssize_t written = write(upload->fd, next, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail_upload(upload, "write", error);
		next += written;
		length -= (size_t) written;
		upload->file->store.statistics.bytes_sent += (uint64_t) written;
	}
	return DICOM_OK;
}

/* Is the object in place the one that is to be replaced? */
static enum dicom_status
check_replaced(const struct file_upload *upload, struct dicom_error *error)
{
	struct stat status;

	if (fstatat(upload->directory, upload->name, &status, 0) < 0 || !S_ISREG(status.st_mode) ||
		!file_is_version(&status, upload->if_match))
		return file_fail_changed(error, upload->file, upload->key);
	return DICOM_OK;
}

/*
 * Names a file that has none. By its descriptor alone only the privileged may, and since Linux 6.10 who has opened it; others need /proc, and
 * two walks through it.
 */
static bool
link_nameless(const struct file_upload *upload, const char *name)
{
	struct file_store *file = upload->file;
	char path[sizeof("/proc/self/fd/") + 11];

	if (!file->links_by_path)
	{
		if (linkat(upload->fd, "", upload->directory, name, AT_EMPTY_PATH) == 0)
			return true;
		if (errno != ENOENT)
			return false;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", upload->fd);
	if (linkat(AT_FDCWD, path, upload->directory, name, AT_SYMLINK_FOLLOW) < 0)
		return false;
	file->links_by_path = true;
	return true;
}

/* Gives the file a name besides, which nothing must have. False and errno where that fails. */
static bool
link_file(const struct file_upload *upload, const char *name)
{
	if (upload->temporary[0])
		return linkat(upload->directory, upload->temporary, upload->directory, name, 0) == 0;
	return link_nameless(upload, name);
}

/* Gives the file its name where nothing has it. */
static enum dicom_status
place_new(struct file_upload *upload, struct dicom_error *error)
{
	if (!link_file(upload, upload->name))
	{
		if (errno != EEXIST)
			return fail_upload(upload, "write", error);
		dicom_fail(error, DICOM_ERROR_EXISTS, "object exists");
		return store_name_object(error, &upload->file->store, upload->key);
	}
	if (upload->temporary[0])
		unlinkat(upload->directory, upload->temporary, 0);
	upload->temporary[0] = '\0';
	return DICOM_OK;
}

/* Only what has a name can take another's place. */
static bool
link_temporary(struct file_upload *upload)
{
	char name[FILE_TEMPORARY_SIZE];
	int attempt;

	for (attempt = 0; attempt < ATTEMPTS && choose_temporary(upload->file, attempt > 0, name); attempt++)
	{
		if (link_file(upload, name))
		{
			strcpy(upload->temporary, name);
			return true;
		}
		if (errno != EEXIST)
			break;
	}
	return false;
}

/* Gives the file its name, whatever had it before, or only a certain version of it. */
static enum dicom_status
place_over(struct file_upload *upload, struct dicom_error *error)
{
	enum dicom_status status = DICOM_OK;

	if (!upload->temporary[0])
	{
		if (!upload->if_match && link_file(upload, upload->name))
			return DICOM_OK;
		if ((!upload->if_match && errno != EEXIST) || !link_temporary(upload))
			return fail_upload(upload, "write", error);
	}
	/* Two of us that replace one version take turns: between the look and the rename nobody else renames. */
	if (upload->if_match)
		while (flock(upload->directory, LOCK_EX) < 0 && errno == EINTR)
			;
	if (upload->if_match)
		status = check_replaced(upload, error);
	if (status == DICOM_OK)
	{
		if (renameat(upload->directory, upload->temporary, upload->directory, upload->name) < 0)
			status = fail_upload(upload, "write", error);
		else
			upload->temporary[0] = '\0';
	}
	if (upload->if_match)
		flock(upload->directory, LOCK_UN);
	return status;
}

enum dicom_status
file_upload_finish(struct store_upload *base, char *etag, struct dicom_error *error)
{
	struct file_upload *upload = (struct file_upload *) base;
	enum dicom_status status;
	struct stat written;

	if ((!upload->defers_sync && fsync(upload->fd) < 0) || fstat(upload->fd, &written) < 0)
		return fail_upload(upload, "write", error);
	if (upload->has_length && (uint64_t) written.st_size != upload->length)
		return file_fail_changed(error, upload->file, upload->key);
	status = upload->if_none_match ? place_new(upload, error) : place_over(upload, error);
	if (status != DICOM_OK)
		return status;
	if (!upload->defers_sync && fsync(upload->directory) < 0)
		return fail_upload(upload, "write", error);
	file_format_etag(&written, etag);
	return DICOM_OK;
}

/* The directory, and what is left in it. */
void
file_upload_leave_place(struct file_upload *upload)
{
	if (upload->temporary[0])
		unlinkat(upload->directory, upload->temporary, 0);
	if (upload->directory >= 0)
		close(upload->directory);
	upload->temporary[0] = '\0';
	upload->directory = -1;
}

void
file_upload_close(struct store_upload *base, bool may_wait)
{
	struct file_upload *upload = (struct file_upload *) base;

	if (upload->fd >= 0)
		close(upload->fd);
	file_upload_leave_place(upload);
	free(upload->key);
	free(upload->if_match);
	free(upload);
}

enum dicom_status
file_put(struct store *store, const struct store_put_request *request, const void *bytes, size_t length,
		 char *etag, struct dicom_error *error)
{
	struct store_upload *upload;
	enum dicom_status status = file_upload_open(store, request, &upload, error);

	if (status != DICOM_OK)
		return status;
	status = file_upload_write(upload, bytes, length, error);
	if (status == DICOM_OK)
		status = file_upload_finish(upload, etag, error);
	file_upload_close(upload, true);
	return status;
}
