/*
 * file_write.c
 *	  Objects are written beside their place, and put there when they are whole and, unless that is deferred, on disk.
 *
 * A file being written has a name that listings pass over and no key reaches. rename(2) or link(2) gives it its own: whoever looks sees
 * the old object or the new one. After kill -9 the temporary file stays; it is no object, and a later write into the same directory
 * removes it (file_sweep.c). A draft, whose place is not known yet, has no name at all before it gets its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* copy_file_range(), syncfs() */
#endif

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS       8 /* at a name that nobody has */
#define TEMPORARY_SIZE (sizeof(FILE_TEMPORARY) + FILE_TEMPORARY_DIGITS)
#define COPY_PIECE     ((size_t) 64 * 1024 * 1024) /* between two looks at the host */
#define COPY_BLOCK     ((size_t) 256 * 1024)       /* where the kernel does not copy */

struct file_upload
{
	struct store_upload upload;
	struct file_store *file;
	char *key;
	char *if_match; /* NULL: do not look */
	bool if_none_match;
	bool defers_sync;
	bool has_length;
	uint64_t length;                /* that the object must have then */
	int directory;                  /* that the object goes into; -1: not known yet */
	int fd;                         /* of the temporary file, or of one without name; -1: not open */
	char temporary[TEMPORARY_SIZE]; /* empty: it has no name, or its own */
	const char *name;               /* of the object in its directory, end of path */
	char path[FILE_MAX_PATH];
};

static enum dicom_status
fail_key(struct dicom_error *error, const struct file_store *file, const char *key)
{
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a file cannot have this key");
	dicom_hint(error, "Keys are relative paths in UTF-8 without empty, '.' and '..' components.");
	return store_name_object(error, &file->store, key);
}

/* --- the directory of an object --- */

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

/* What becomes of an object's directory that is not there. */
enum missing
{
	MISSING_STAYS,
	MISSING_IS_MADE,
	MISSING_IS_MADE_UNSYNCED
};

/* Opens the directory that path lies in, *name being the rest. -1 and errno where there is none. */
static int
open_parent(struct file_store *file, char *path, enum missing missing, const char **name)
{
	char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t) (slash - path) : 0;
	int fd;

	*name = slash ? slash + 1 : path;
	if (slash == NULL)
		return file_open_path(file, "", O_RDONLY | O_DIRECTORY);
	*slash = '\0';
	fd = file_open_path(file, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 && errno == ENOENT && missing != MISSING_STAYS &&
		make_directories(file, path, length, missing == MISSING_IS_MADE))
		fd = file_open_path(file, path, O_RDONLY | O_DIRECTORY);
	*slash = '/';
	return fd;
}

/* --- flushing --- */

/* What lies in another file system than the location, which may be mounted anywhere below it, is not reached by file_flush(). */
static bool
may_defer(const struct file_store *file, const struct stat *directory)
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

/* --- writing --- */

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
choose_temporary(struct file_store *file, bool again, char name[TEMPORARY_SIZE])
{
	if ((file->temporaries == 0 || again) &&
		getrandom(&file->temporaries, sizeof(file->temporaries), 0) != sizeof(file->temporaries))
		return false;
	snprintf(name, TEMPORARY_SIZE, "%s%0*llx", FILE_TEMPORARY, FILE_TEMPORARY_DIGITS,
			 (unsigned long long) file->temporaries++);
	return true;
}

static bool
create_temporary(struct file_upload *upload)
{
	char name[TEMPORARY_SIZE];
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

static struct file_upload *
new_upload(struct store *store, struct dicom_error *error)
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

static enum dicom_status
take_request(struct file_upload *upload, const struct store_put_request *request, struct dicom_error *error)
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

/* Opens the directory that the object goes into. */
static enum dicom_status
find_place(struct file_upload *upload, struct dicom_error *error)
{
	struct file_store *file = upload->file;
	enum missing missing = file->store.defers_sync ? MISSING_IS_MADE_UNSYNCED : MISSING_IS_MADE;
	struct stat status;

	upload->directory = open_parent(file, upload->path, missing, &upload->name);
	if (upload->directory < 0 || fstat(upload->directory, &status) < 0)
		return fail_upload(upload, "write", error);
	upload->defers_sync = may_defer(file, &status);
	file_sweep(file, upload->directory, &status);
	return DICOM_OK;
}

enum dicom_status
file_upload_open(struct store *store, const struct store_put_request *request, struct store_upload **result,
				 struct dicom_error *error)
{
	struct file_upload *upload = new_upload(store, error);

	if (upload == NULL)
		return DICOM_FAILED;
	*result = &upload->upload;
	if (take_request(upload, request, error) == DICOM_OK && find_place(upload, error) == DICOM_OK)
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
	char etag[FILE_ETAG_LENGTH];
	struct stat status;

	if (fstatat(upload->directory, upload->name, &status, 0) < 0 || !S_ISREG(status.st_mode))
		return file_fail_changed(error, upload->file, upload->key);
	file_format_etag(&status, etag);
	if (strcmp(etag, upload->if_match) != 0)
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
	char name[TEMPORARY_SIZE];
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
static void
leave_place(struct file_upload *upload)
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
	leave_place(upload);
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

/* --- drafts: files without a name, of which nothing is left when whoever has them open is killed --- */

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
	upload = new_upload(store, error);
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

	if (take_request(upload, request, error) != DICOM_OK)
		return DICOM_FAILED;
	upload->has_length = true;
	upload->length = length;
	is_new = !take_last_place(upload);
	if (!is_new && file_upload_finish(draft, etag, error) != DICOM_OK)
	{
		leave_place(upload);
		is_new = true;
	}
	if (is_new &&
		(find_place(upload, error) != DICOM_OK || file_upload_finish(draft, etag, error) != DICOM_OK))
		return DICOM_FAILED;
	keep_place(upload, is_new);
	return DICOM_OK;
}

/* --- copying --- */

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
			return file_fail(error, file, NULL, "copy");
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

enum dicom_status
file_copy(struct store *source, const char *source_key, const char *if_match, struct store *target,
		  const char *target_key, const char *storage_class, char *etag, struct dicom_error *error)
{
	struct store_put_request request = {.key = target_key, .storage_class = storage_class};
	struct file_store *file = (struct file_store *) source;
	char source_etag[FILE_ETAG_LENGTH];
	struct store_upload *upload;
	enum dicom_status status;
	int fd = open_source(file, source_key, if_match, source_etag, error);

	if (fd < 0)
		return DICOM_FAILED;
	status = file_upload_open(target, &request, &upload, error);
	if (status == DICOM_OK)
	{
		status = copy_bytes(file, fd, ((struct file_upload *) upload)->fd, error);
		if (status != DICOM_OK)
			store_name_object(error, source, source_key);
		else
			status = check_source(file, source_key, fd, source_etag, error);
		if (status == DICOM_OK)
			status = file_upload_finish(upload, etag, error);
		file_upload_close(upload, true);
	}
	close(fd);
	return status;
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
	directory = open_parent(file, path, MISSING_STAYS, &name);
	if (directory < 0)
		return errno == ENOENT || errno == ENOTDIR ? DICOM_OK : file_fail(error, file, key, "delete");
	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		(S_ISREG(status.st_mode) || S_ISLNK(status.st_mode)))
		done = unlinkat(directory, name, 0);
	if (done == 0 && (fstat(directory, &status) < 0 || !may_defer(file, &status)))
		done = fsync(directory);
	reason = errno;
	close(directory);
	errno = reason;
	return done == 0 || reason == ENOENT ? DICOM_OK : file_fail(error, file, key, "delete");
}
