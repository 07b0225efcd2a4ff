/*
 * file.c
 *	  The directory store: opening, closing, and what is common to its calls.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH */
#endif

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Appends a number in hex; returns what follows it. */
static char *
format_hex(char *out, uint64_t number)
{
	static const char digits[] = "0123456789abcdef";
	int shift = number ? 60 - (__builtin_clzll(number) & ~3) : 0;

	for (; shift >= 0; shift -= 4)
		*out++ = digits[number >> shift & 15];
	return out;
}

void
file_format_etag(const struct stat *status, char etag[FILE_ETAG_LENGTH])
{
	uint64_t modified = (uint64_t) status->st_mtim.tv_sec * 1000000000 + (uint64_t) status->st_mtim.tv_nsec;
	char *out = format_hex(etag, (uint64_t) status->st_ino);

	*out++ = '-';
	out = format_hex(out, (uint64_t) status->st_size);
	*out++ = '-';
	out = format_hex(out, modified);
	*out = '\0';
}

bool
file_is_version(const struct stat *status, const char *etag)
{
	char now[FILE_ETAG_LENGTH];

	file_format_etag(status, now);
	return strcmp(now, etag) == 0;
}

void
file_describe(const struct stat *status, const char *key, const char *etag, struct store_object *object)
{
	object->key = key;
	object->size = (uint64_t) status->st_size;
	object->etag = etag;
	object->last_modified = (int64_t) status->st_mtim.tv_sec * 1000000 + status->st_mtim.tv_nsec / 1000;
	object->storage_class = "STANDARD";
}

enum dicom_status
file_check_interrupt(const struct file_store *file, struct dicom_error *error)
{
	if (file->store.host.wait(file->store.host.arg, -1, 0))
		return DICOM_OK;
	return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted");
}

/* --- opening and closing --- */

static enum dicom_status
fail_directory(const char *path, struct dicom_error *error)
{
	int reason = errno;

	if (reason == ENOENT || reason == ENOTDIR)
		return dicom_fail(error, DICOM_ERROR_NO_BUCKET, "directory \"%s\" does not exist", path);
	return dicom_fail(error, reason == EACCES || reason == EPERM ? DICOM_ERROR_ACCESS_DENIED : DICOM_ERROR_IO,
					  "cannot open directory \"%s\": %s", path, strerror(reason));
}

static enum dicom_status
open_directory(struct file_store *file, const char *path, struct dicom_error *error)
{
	struct stat status;

	file->directory = realpath(path, NULL);
	if (file->directory == NULL)
		return fail_directory(path, error);
	file->root = open(file->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (file->root < 0 || fstat(file->root, &status) < 0)
		return fail_directory(path, error);
	file->device = status.st_dev;
	return DICOM_OK;
}

static void
close_store(struct store *store)
{
	struct file_store *file = (struct file_store *) store;

	file_read_forget(file);
	file_forget_place(file);
	if (file->root >= 0)
		close(file->root);
	free(file->directory);
	free(file);
}

static enum dicom_status
open_store(const struct store_options *options, const struct store_host *host, struct store **store,
		   struct dicom_error *error)
{
	const char *path = options->location + strlen("file://");
	struct file_store *file;

	if (*path != '/')
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "location of a directory must be absolute");
		return dicom_hint(error, "Write file:///directory/.");
	}
	file = calloc(1, sizeof(*file));
	if (file == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	file->root = -1;
	file->last = -1;
	file->place = -1;
	if (open_directory(file, path, error) != DICOM_OK)
	{
		close_store(&file->store);
		return DICOM_FAILED;
	}
	*store = &file->store;
	return DICOM_OK;
}

static enum dicom_status
head(struct store *store, const char *key, struct store_object *object, struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) store;
	char path[FILE_MAX_PATH];
	struct stat status;
	int fd;
	int done;

	store->statistics.head_requests++;
	if (!file_key_to_path(key, path))
		return file_fail_missing(error, file, key);
	fd = file_open_path(file, path, O_PATH);
	if (fd < 0)
		return file_fail(error, file, key, "look at");
	done = fstat(fd, &status);
	close(fd);
	if (done < 0)
		return file_fail(error, file, key, "look at");
	if (!S_ISREG(status.st_mode))
		return file_fail_missing(error, file, key);
	strcpy(file->head_key, key); /* file_key_to_path() has checked the length */
	file_format_etag(&status, file->head_etag);
	file_describe(&status, file->head_key, file->head_etag, object);
	return DICOM_OK;
}

const struct store_kind store_kind_file = {
	.scheme = "file",
	.open = open_store,
	.close = close_store,
	.list_open = file_list_open,
	.list_next = file_list_next,
	.list_close = file_list_close,
	.read_open = file_read_open,
	.read_result = file_read_result,
	.read_close = file_read_close,
	.open_descriptor = file_open_descriptor,
	.put = file_put,
	.upload_open = file_upload_open,
	.upload_write = file_upload_write,
	.upload_finish = file_upload_finish,
	.upload_close = file_upload_close,
	.draft_open = file_draft_open,
	.draft_descriptor = file_draft_descriptor,
	.draft_finish = file_draft_finish,
	.head = head,
	.copy = file_copy,
	.delete = file_delete,
	.flush = file_flush,
	.sweep = file_sweep_store,
};
