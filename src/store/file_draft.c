/*
 * file_draft.c
 *	  Objects that are written before it is known where they will lie.
 *
 * A draft is a file without a name, of which nothing is left when whoever has it open is killed. It gets its name when it is finished. Many
 * go into one directory, one after another, which is kept open for the next.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE */
#endif

#include "file_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t) now.tv_sec;
}

enum dicom_status
file_draft_open(struct store *store, struct store_upload **result, struct dicom_error *error)
{
	struct file_store *file = (struct file_store *) store;
	struct file_upload *upload;
	int fd = openat(file->root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);

	/* The last two are what kernels and file systems say that do not know of it. */
	if (fd < 0)
		return errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL
				   ? DICOM_END
				   : file_fail(error, file, "", "write");
	upload = file_upload_new(store, error);
	if (upload == NULL)
	{
		close(fd);
		return DICOM_FAILED;
	}
	upload->fd = fd;
	*result = &upload->upload;
	return DICOM_OK;
}

int
file_draft_descriptor(const struct store_upload *draft)
{
	return ((const struct file_upload *) draft)->fd;
}

/*
 * Takes the directory that the last draft has gone into, where this one goes too. It is looked for anew every second: somebody may have given
 * it another name.
 */
static bool
take_last_place(struct file_upload *upload)
{
	struct file_store *file = upload->file;
	const char *slash = strrchr(upload->path, '/');
	size_t length = slash ? (size_t) (slash - upload->path) : 0;

	if (file->place < 0 || length != file->place_length ||
		memcmp(upload->path, file->place_path, length) != 0 || now_seconds() > file->place_opened + 1)
		return false;
	upload->directory = file->place;
	upload->name = slash ? slash + 1 : upload->path;
	upload->defers_sync = true;
	file->place = -1;
	return true;
}

static void
keep_place(struct file_upload *upload, bool is_new)
{
	struct file_store *file = upload->file;

	if (!upload->defers_sync)
		return;
	file_forget_place(file);
	file->place = upload->directory;
	upload->directory = -1;
	if (!is_new)
		return;
	file->place_opened = now_seconds();
	file->place_length = upload->name > upload->path ? (size_t) (upload->name - upload->path) - 1 : 0;
	memcpy(file->place_path, upload->path, file->place_length);
}

void
file_forget_place(struct file_store *file)
{
	if (file->place >= 0)
		close(file->place);
	file->place = -1;
}

enum dicom_status
file_draft_finish(struct store_upload *draft, const struct store_put_request *request, uint64_t length,
				  struct dicom_error *error)
{
	struct file_upload *upload = (struct file_upload *) draft;
	char etag[FILE_ETAG_LENGTH];
	bool is_new;

	if (file_upload_take_request(upload, request, error) != DICOM_OK)
		return DICOM_FAILED;
	upload->has_length = true;
	upload->length = length;
	is_new = !take_last_place(upload);
	if (!is_new && file_upload_finish(draft, etag, error) != DICOM_OK)
	{
		file_upload_leave_place(upload);
		is_new = true;
	}
	if (is_new && (file_upload_find_place(upload, error) != DICOM_OK ||
				   file_upload_finish(draft, etag, error) != DICOM_OK))
		return DICOM_FAILED;
	keep_place(upload, is_new);
	return DICOM_OK;
}
