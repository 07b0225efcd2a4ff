/*
 * file_copy.c
 *	  Copies of files: one at once, or many that wait for the disk together.
 *
 * A copy costs little, to have it on disk costs a lot, and hardly more for many than for one. So a copy that was started is written, and the
 * kernel told to begin with it; store_wait() then makes all of them durable, gives them their names, and makes these durable. Nothing has its
 * name before its bytes are on disk.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* copy_file_range() */
#endif

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_PIECE ((size_t) 64 * 1024 * 1024) /* between two looks at the host */
#define COPY_BLOCK ((size_t) 256 * 1024)       /* where the kernel does not copy */

struct file_copy
{
	struct store_change change;
	struct store_upload *upload; /* NULL: it has ended */
	enum dicom_status status;
	struct dicom_error error;
	char etag[STORE_ETAG_SIZE];
};

/* --- the bytes --- */

static bool
cannot_copy_in_kernel(int reason)
{
	return reason == EXDEV || reason == EINVAL || reason == ENOSYS || reason == EOPNOTSUPP || reason == EPERM;
}

/* Copies the next bytes of a file through memory; how many, or -1. */
static ssize_t
copy_block(int from, int to)
{
	char *block = malloc(COPY_BLOCK);
	ssize_t got = -1;
	ssize_t done = 0;

	if (block)
		got = read(from, block, COPY_BLOCK);
	while (got > 0 && done < got)
	{
		ssize_t written = write(to, block + done, (size_t) (got - done));

		if (written < 0 && errno != EINTR)
			break;
		done += written > 0 ? written : 0;
	}
	free(block);
	return got >= 0 && done < got ? -1 : got;
}

static enum dicom_status
copy_bytes(struct file_store *file, int from, int to, struct dicom_error *error)
{
	bool in_kernel = true;

	for (;;)
	{
		ssize_t copied =
			in_kernel ? copy_file_range(from, NULL, to, NULL, COPY_PIECE, 0) : copy_block(from, to);

		if (copied == 0)
			return DICOM_OK;
		if (copied < 0 && in_kernel && cannot_copy_in_kernel(errno))
			in_kernel = false;
		else if (copied < 0 && errno != EINTR)
			return dicom_fail(error, DICOM_ERROR_IO, "cannot copy object: %s", strerror(errno));
		if (file_check_interrupt(file, error) != DICOM_OK)
			return DICOM_FAILED;
	}
}

/* Opens the object to be copied, and remembers what it is. -1: *error says why. */
static int
open_source(struct file_store *file, const char *key, const char *if_match, char etag[FILE_ETAG_LENGTH],
			struct dicom_error *error)
{
	char path[FILE_MAX_PATH];
	struct stat status;
	int fd;

	if (!file_key_to_path(key, path))
		file_fail_missing(error, file, key);
	else if ((fd = file_open_path(file, path, O_RDONLY | O_NONBLOCK | O_NOCTTY)) < 0)
		file_fail(error, file, key, "open");
	else
	{
		if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
			file_fail_missing(error, file, key);
		else
		{
			file_format_etag(&status, etag);
			if (if_match == NULL || strcmp(if_match, etag) == 0)
				return fd;
			file_fail_changed(error, file, key);
		}
		close(fd);
	}
	return -1;
}

static enum dicom_status
check_source(struct file_store *file, const char *key, int fd, const char *etag, struct dicom_error *error)
{
	char now[FILE_ETAG_LENGTH];
	struct stat status;

	if (fstat(fd, &status) == 0)
	{
		file_format_etag(&status, now);
		if (strcmp(now, etag) == 0)
			return DICOM_OK;
	}
	return file_fail_changed(error, file, key);
}

/* Copies the bytes of the version that was opened. */
static enum dicom_status
copy_version(struct file_store *file, const char *key, int fd, const char *etag, struct store_upload *upload,
			 struct dicom_error *error)
{
	if (copy_bytes(file, fd, file_upload_descriptor(upload), error) != DICOM_OK)
		return store_name_object(error, &file->store, key);
	return check_source(file, key, fd, etag, error);
}

/* Writes a copy under the name of a file being written. */
static enum dicom_status
write_copy(struct store *source, const char *source_key, const char *if_match, struct store *target,
		   const struct store_put_request *request, struct store_upload **upload, struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) source;
	char etag[FILE_ETAG_LENGTH];
	enum dicom_status status;
	int fd = open_source(file, source_key, if_match, etag, error);

	if (fd < 0)
		return DICOM_FAILED;
	status = file_upload_open(target, request, upload, error);
	if (status == DICOM_OK)
	{
		status = copy_version(file, source_key, fd, etag, *upload, error);
		if (status != DICOM_OK)
			file_upload_close(*upload, false);
	}
	close(fd);
	return status;
}

/* --- one --- */

enum dicom_status
file_copy(struct store *source, const char *source_key, const char *if_match, struct store *target,
		  const char *target_key, const char *storage_class, char *etag, struct dicom_error *error)
{
	struct store_put_request request = {.key = target_key, .storage_class = storage_class};
	struct store_upload *upload;
	enum dicom_status status = write_copy(source, source_key, if_match, target, &request, &upload, error);

	if (status != DICOM_OK)
		return status;
	status = file_upload_finish(upload, etag, error);
	file_upload_close(upload, true);
	return status;
}

/* --- many --- */

static void
end_copy(struct file_copy *copy, enum dicom_status status)
{
	if (status == DICOM_OK)
		file_upload_etag(copy->upload, copy->etag);
	file_upload_close(copy->upload, false);
	copy->upload = NULL;
	copy->status = status;
}

enum dicom_status
file_copy_open(struct store *source, const char *source_key, const char *if_match, struct store *target,
			   const char *target_key, struct store_change **change, struct dicom_error *error)
{
	struct store_put_request request = {.key = target_key};
	struct file_copy *copy = calloc(1, sizeof(*copy));

	if (copy == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (write_copy(source, source_key, if_match, target, &request, &copy->upload, &copy->error) == DICOM_OK)
		file_upload_hasten(copy->upload);
	else
	{
		copy->upload = NULL;
		copy->status = DICOM_FAILED;
	}
	*change = &copy->change;
	return DICOM_OK;
}

/* Copies that are made durable together. */
struct group
{
	struct file_copy *copies[FILE_SYNC_MOST];
	int count;
};

/* The next ones that have not ended. */
static void
collect(struct file_store *file, struct group *group)
{
	struct store_link *link;

	group->count = 0;
	for (link = file->store.changes; link && group->count < FILE_SYNC_MOST; link = link->next)
	{
		struct file_copy *copy = (struct file_copy *) link;

		if (!copy->change.is_done && copy->upload)
			group->copies[group->count++] = copy;
	}
}

/* Those that failed are no longer in the group. */
static void
drop_ended(struct group *group)
{
	int kept = 0;
	int i;

	for (i = 0; i < group->count; i++)
		if (group->copies[i]->upload)
			group->copies[kept++] = group->copies[i];
	group->count = kept;
}

static void
sync_bytes(struct file_store *file, struct group *group)
{
	int descriptors[FILE_SYNC_MOST];
	int reasons[FILE_SYNC_MOST];
	int i;

	for (i = 0; i < group->count; i++)
		descriptors[i] = file_upload_descriptor(group->copies[i]->upload);
	file_sync_all(file, descriptors, reasons, group->count);
	for (i = 0; i < group->count; i++)
	{
		struct file_copy *copy = group->copies[i];

		if (file_upload_synced(copy->upload, reasons[i], &copy->error) != DICOM_OK ||
			file_upload_place(copy->upload, &copy->error) != DICOM_OK)
			end_copy(copy, DICOM_FAILED);
	}
	drop_ended(group);
}

/* Which of the copies up to this one is the first in the same directory. */
static int
first_neighbour(const struct stat *directories, int copy)
{
	int i = 0;

	while (directories[i].st_dev != directories[copy].st_dev ||
		   directories[i].st_ino != directories[copy].st_ino)
		i++;
	return i;
}

/* Each directory once. */
static void
sync_names(struct file_store *file, struct group *group)
{
	struct stat directories[FILE_SYNC_MOST];
	int descriptors[FILE_SYNC_MOST];
	int reasons[FILE_SYNC_MOST];
	int place[FILE_SYNC_MOST];
	int count = 0;
	int i;

	memset(directories, 0, sizeof(directories));
	for (i = 0; i < group->count; i++)
	{
		int directory = file_upload_directory(group->copies[i]->upload);
		int first = fstat(directory, &directories[i]) == 0 ? first_neighbour(directories, i) : i;

		place[i] = first < i ? place[first] : count;
		if (first == i)
			descriptors[count++] = directory;
	}
	file_sync_all(file, descriptors, reasons, count);
	for (i = 0; i < group->count; i++)
	{
		struct file_copy *copy = group->copies[i];
		int reason = reasons[place[i]];

		if (reason != 0)
			file_upload_failed(copy->upload, reason, &copy->error);
		end_copy(copy, reason == 0 ? DICOM_OK : DICOM_FAILED);
	}
}

enum dicom_status
file_wait(struct store *store, int timeout_ms, struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) store;
	struct group group;

	for (collect(file, &group); group.count > 0; collect(file, &group))
	{
		if (file_check_interrupt(file, error) != DICOM_OK)
			return DICOM_FAILED;
		sync_bytes(file, &group);
		sync_names(file, &group);
	}
	return DICOM_OK;
}

enum dicom_status
file_change_result(struct store_change *change, char *etag, struct dicom_error *error)
{
	struct file_copy *copy = (struct file_copy *) change;

	if (copy->upload)
		return DICOM_PENDING;
	if (copy->status == DICOM_OK)
		memcpy(etag, copy->etag, STORE_ETAG_SIZE);
	else if (error)
		*error = copy->error;
	return copy->status;
}

void
file_change_close(struct store_change *change)
{
	struct file_copy *copy = (struct file_copy *) change;

	if (copy->upload)
		file_upload_close(copy->upload, false);
	free(copy);
}
