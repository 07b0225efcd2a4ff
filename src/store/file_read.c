/*
 * file_read.c
 *	  Reads of a file, done at once.
 *
 * Thousands of small files are read one after another: a read is open, fstat, pread, fstat, and the handle of the last read is used
 * again. The descriptor stays open until the next file's turn, for the ranges that are asked of the same object.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ATTEMPTS 5 /* to read a file that is being written, before it counts as changing */

struct file_read
{
	struct store_read read;
	struct file_store *file;
	size_t length;
	struct stat status;
	char etag[FILE_ETAG_LENGTH];
	bool failed;
	struct dicom_error error;
	char key[FILE_MAX_KEY + 1];
};

static void
forget_descriptor(struct file_store *file)
{
	if (file->last >= 0)
		close(file->last);
	file->last = -1;
}

void
file_read_forget(struct file_store *file)
{
	forget_descriptor(file);
	free(file->spare);
	file->spare = NULL;
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		   a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Opens the file of a key, or takes the descriptor in hand where a certain version is wanted: that is the one it was opened for. */
static enum dicom_status
open_file(struct file_read *read, const char *key, bool same_version)
{
	struct file_store *file = read->file;
	char path[FILE_MAX_PATH];

	if (same_version && file->last >= 0 && strcmp(file->last_key, key) == 0)
		return DICOM_OK;
	forget_descriptor(file);
	if (!file_key_to_path(key, path))
		return file_fail_missing(&read->error, file, key);
	file->last = file_open_path(file, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (file->last < 0)
		return file_fail(&read->error, file, key, "open");
	strcpy(file->last_key, key); /* file_key_to_path() has checked the length */
	return DICOM_OK;
}

static enum dicom_status
look_at_file(struct file_read *read, const char *key, const char *if_match)
{
	if (fstat(read->file->last, &read->status) < 0)
		return file_fail(&read->error, read->file, key, "look at");
	if (!S_ISREG(read->status.st_mode))
	{
		dicom_fail(&read->error, DICOM_ERROR_NOT_FOUND, "object is not a regular file");
		return store_name_object(&read->error, &read->file->store, key);
	}
	file_format_etag(&read->status, read->etag);
	if (if_match && strcmp(if_match, read->etag) != 0)
		return file_fail_changed(&read->error, read->file, key);
	return DICOM_OK;
}

static enum dicom_status
read_range(struct file_read *read, const struct store_read_request *request)
{
	uint64_t size = (uint64_t) read->status.st_size;
	uint64_t left = request->offset < size ? size - request->offset : 0;
	size_t wanted = request->length < left ? request->length : (size_t) left;

	read->length = 0;
	while (read->length < wanted)
	{
		ssize_t got = pread(read->file->last, (char *) request->buffer + read->length, wanted - read->length,
							(off_t) (request->offset + read->length));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return file_fail(&read->error, read->file, request->key, "read");
		if (got == 0)
			break;
		read->length += (size_t) got;
	}
	return DICOM_OK;
}

/* Was the file still the same when the last byte had come? */
static bool
is_unchanged(const struct file_read *read)
{
	struct stat now;

	return fstat(read->file->last, &now) == 0 && is_same(&read->status, &now);
}

static enum dicom_status
read_file(struct file_read *read, const struct store_read_request *request)
{
	int attempt;

	for (attempt = 0; attempt < MAX_ATTEMPTS; attempt++)
	{
		if (open_file(read, request->key, request->if_match != NULL) != DICOM_OK ||
			look_at_file(read, request->key, request->if_match) != DICOM_OK ||
			read_range(read, request) != DICOM_OK)
			return DICOM_FAILED;
		if (is_unchanged(read))
			return DICOM_OK;
		if (request->if_match)
			break;
	}
	return file_fail_changed(&read->error, read->file, request->key);
}

enum dicom_status
file_read_open(struct store *store, const struct store_read_request *request, struct store_read **result,
			   struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) store;
	struct file_read *read = file->spare ? file->spare : malloc(sizeof(*read));

	if (read == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	file->spare = NULL;
	read->file = file;
	store->statistics.get_requests++;
	read->failed = read_file(read, request) != DICOM_OK;
	if (read->failed)
		forget_descriptor(file);
	else
	{
		store->statistics.bytes_received += read->length;
		strcpy(read->key, request->key);
	}
	*result = &read->read;
	return DICOM_OK;
}

enum dicom_status
file_read_result(struct store_read *result, size_t *length, struct store_object *object,
				 struct dicom_error *error)
{
	struct file_read *read = (struct file_read *) result;

	if (read->failed)
	{
		if (error)
			*error = read->error;
		return DICOM_FAILED;
	}
	*length = read->length;
	if (object)
		file_describe(&read->status, read->key, read->etag, object);
	return DICOM_OK;
}

void
file_read_close(struct store_read *result)
{
	struct file_read *read = (struct file_read *) result;

	if (read->file->spare)
		free(read);
	else
		read->file->spare = read;
}

enum dicom_status
file_open_descriptor(struct store *store, const char *key, int *descriptor, struct store_object *object,
					 struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) store;
	char path[FILE_MAX_PATH];
	struct stat status;
	int fd;

	store->statistics.get_requests++;
	if (!file_key_to_path(key, path))
		return file_fail_missing(error, file, key);
	fd = file_open_path(file, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return file_fail(error, file, key, "open");
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
	{
		close(fd);
		dicom_fail(error, DICOM_ERROR_NOT_FOUND, "object is not a regular file");
		return store_name_object(error, store, key);
	}
	strcpy(file->head_key, key); /* file_key_to_path() has checked the length */
	file_format_etag(&status, file->head_etag);
	file_describe(&status, file->head_key, file->head_etag, object);
	*descriptor = fd;
	return DICOM_OK;
}
