/*
 * file_copy.c
 *	  Objects copied from one directory to another, by the kernel where it does that.
 *
 * What is copied is one version: the file must be the same, and the copy as long as it, when the last byte is written.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* copy_file_range() */
#endif

#include "file_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t) 64 * 1024 * 1024) /* between two looks at the host */
#define BLOCK ((size_t) 256 * 1024)       /* where the kernel does not copy */

static bool
cannot_copy_in_kernel(int reason)
{
	return reason == EXDEV || reason == EINVAL || reason == ENOSYS || reason == EOPNOTSUPP || reason == EPERM;
}

/* Copies the next `left` bytes of the file `from`, or as many as it has. */
static enum dicom_status
copy_through_memory(struct file_store *file, const char *key, int from, struct file_upload *upload,
					uint64_t left, struct dicom_error *error)
{
	char *block = malloc(BLOCK);
	enum dicom_status status = block ? DICOM_OK : dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");

	while (status == DICOM_OK && left > 0)
	{
		ssize_t got = read(from, block, left < BLOCK ? (size_t) left : BLOCK);

		if (got == 0)
			break;
		if (got > 0)
		{
			status = file_upload_write(&upload->upload, block, (size_t) got, error);
			left -= (uint64_t) got;
		}
		else if (errno != EINTR)
			status = file_fail(error, file, key, "copy");
		if (status == DICOM_OK)
			status = file_check_interrupt(file, error);
	}
	free(block);
	return status;
}

/* No more than the length that it had: somebody may go on writing. */
static enum dicom_status
copy_bytes(struct file_store *file, const char *key, int from, struct file_upload *upload,
		   struct dicom_error *error)
{
	uint64_t left = upload->length;

	while (left > 0)
	{
		ssize_t copied =
			copy_file_range(from, NULL, upload->fd, NULL, left < PIECE ? (size_t) left : PIECE, 0);

		if (copied == 0)
			break;
		if (copied < 0 && cannot_copy_in_kernel(errno))
			return copy_through_memory(file, key, from, upload, left, error);
		if (copied < 0 && errno != EINTR)
			return file_fail(error, file, key, "copy");
		if (copied > 0)
			left -= (uint64_t) copied;
		if (file_check_interrupt(file, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	return DICOM_OK;
}

/* Opens the object to be copied, and remembers what it is. -1: *error says why. */
static int
open_source(struct file_store *file, const char *key, const char *if_match, struct stat *status,
			struct dicom_error *error)
{
	char path[FILE_MAX_PATH];
	int fd;

	if (!file_key_to_path(key, path))
		file_fail_missing(error, file, key);
	else if ((fd = file_open_path(file, path, O_RDONLY | O_NONBLOCK | O_NOCTTY)) < 0)
		file_fail(error, file, key, "open");
	else
	{
		if (fstat(fd, status) < 0 || !S_ISREG(status->st_mode))
			file_fail_missing(error, file, key);
		else if (if_match == NULL || file_is_version(status, if_match))
			return fd;
		else
			file_fail_changed(error, file, key);
		close(fd);
	}
	return -1;
}

static enum dicom_status
check_source(struct file_store *file, const char *key, int fd, const struct stat *opened,
			 struct dicom_error *error)
{
	char etag[FILE_ETAG_LENGTH];
	struct stat status;

	file_format_etag(opened, etag);
	return fstat(fd, &status) == 0 && file_is_version(&status, etag) ? DICOM_OK
																	 : file_fail_changed(error, file, key);
}

enum dicom_status
file_copy(struct store *source, const char *source_key, const char *if_match, struct store *target,
		  const char *target_key, const char *storage_class, char *etag, struct dicom_error *error)
{
	struct store_put_request request = {.key = target_key, .storage_class = storage_class};
	struct file_store *file = (struct file_store *) source;
	struct store_upload *base;
	enum dicom_status status;
	struct stat opened;
	int fd = open_source(file, source_key, if_match, &opened, error);

	if (fd < 0)
		return DICOM_FAILED;
	status = file_upload_open(target, &request, &base, error);
	if (status == DICOM_OK)
	{
		struct file_upload *upload = (struct file_upload *) base;

		upload->has_length = true;
		upload->length = (uint64_t) opened.st_size;
		status = copy_bytes(file, source_key, fd, upload, error);
		if (status == DICOM_OK)
			status = check_source(file, source_key, fd, &opened, error);
		if (status == DICOM_OK)
			status = file_upload_finish(base, etag, error);
		file_upload_close(base, true);
	}
	close(fd);
	return status;
}
