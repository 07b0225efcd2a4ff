/*
 * file_path.c
 *	  Keys and file names, and opening a path without leaving the directory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH */
#endif

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../dicom/utf8.h"

#define MAX_LINKS    40  /* followed while one path is resolved, as in the kernel */
#define MAX_DEPTH    512 /* of directories in one path */
#define MAX_ATTEMPTS 32  /* while somebody renames directories under us */

/* --- keys and names --- */

/* Is this one of U+EF80 to U+EFFF, which stand for a byte? */
static bool
is_escape(const unsigned char *text, size_t left)
{
	return left >= 3 && text[0] == 0xEE && (text[1] == 0xBE || text[1] == 0xBF) && (text[2] & 0xC0) == 0x80;
}

static bool
is_ascii(const char *text, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		if ((unsigned char) text[i] >= 0x80)
			return false;
	return true;
}

void
file_append_name(struct dicom_buffer *key, const char *name, size_t length)
{
	const unsigned char *text = (const unsigned char *) name;
	size_t i = 0;

	if (is_ascii(name, length))
	{
		dicom_buffer_append(key, name, length);
		return;
	}
	while (i < length)
	{
		size_t valid = is_escape(text + i, length - i) ? 0 : utf8_length(text + i, length - i);

		if (valid > 0)
			dicom_buffer_append(key, name + i, valid);
		else
		{
			char escape[3] = {(char) 0xEE, (char) (0xBC | text[i] >> 6), (char) (0x80 | (text[i] & 0x3F))};

			dicom_buffer_append(key, escape, 3);
		}
		i += valid > 0 ? valid : 1;
	}
}

void
file_decode_name(const char *key, size_t length, char *name)
{
	const unsigned char *text = (const unsigned char *) key;
	size_t i = 0;

	while (i < length)
	{
		if (is_escape(text + i, length - i))
		{
			*name++ = (char) (text[i + 1] << 6 | (text[i + 2] & 0x3F));
			i += 3;
		}
		else
			*name++ = key[i++];
	}
	*name = '\0';
}

/* Would a file of this name be listed under this very key? Otherwise one file had several. */
static bool
is_key_of(const char *key, size_t length, const char *path)
{
	struct dicom_buffer again = {0};
	bool same;

	file_append_name(&again, path, strlen(path));
	same = !again.failed && again.length == length && memcmp(again.data, key, length) == 0;
	dicom_buffer_free(&again);
	return same;
}

static bool
is_good_component(const char *text, size_t length)
{
	if (length == 0 || length > NAME_MAX || (length == 1 && text[0] == '.') ||
		(length == 2 && text[0] == '.' && text[1] == '.'))
		return false;
	return length < strlen(FILE_TEMPORARY) || memcmp(text, FILE_TEMPORARY, strlen(FILE_TEMPORARY)) != 0;
}

static bool
has_good_components(const char *path)
{
	const char *end = strchrnul(path, '/');

	while (is_good_component(path, (size_t) (end - path)) && *end == '/')
	{
		path = end + 1;
		end = strchrnul(path, '/');
	}
	return is_good_component(path, (size_t) (end - path));
}

bool
file_key_to_path(const char *key, char path[FILE_MAX_PATH])
{
	size_t length = strnlen(key, FILE_MAX_PATH);

	if (length == FILE_MAX_PATH)
		return false;
	if (is_ascii(key, length))
	{
		memcpy(path, key, length + 1);
		return has_good_components(path);
	}
	file_decode_name(key, length, path);
	return has_good_components(path) && is_key_of(key, length, path);
}

/* --- resolving without openat2 --- */

/* Directories entered so far, from the store's own on, and what is left to be resolved. */
struct resolution
{
	const struct file_store *file;
	int directories[MAX_DEPTH];
	int depth;
	int links;
	char rest[2 * FILE_MAX_PATH];
};

static void
leave_to(struct resolution *resolution, int depth)
{
	for (; resolution->depth > depth; resolution->depth--)
		close(resolution->directories[resolution->depth]);
}

/* Cuts the next component off the rest. *last: nothing but slashes is behind it. False: there is none. */
static bool
next_component(struct resolution *resolution, char name[NAME_MAX + 1], bool *last)
{
	char *start = resolution->rest + strspn(resolution->rest, "/");
	size_t length = strcspn(start, "/");
	char *behind = start + length + strspn(start + length, "/");

	if (length == 0 || length > NAME_MAX)
	{
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(name, start, length);
	name[length] = '\0';
	*last = *behind == '\0';
	memmove(resolution->rest, behind, strlen(behind) + 1);
	return true;
}

/* What is left of an absolute path below the store's directory; NULL: it is not below. */
static const char *
strip_directory(const struct file_store *file, const char *path)
{
	size_t length = strlen(file->directory);

	if (length == 1) /* the root */
		return path;
	if (strncmp(path, file->directory, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	return path + length;
}

/* Puts a link's target in front of the rest. */
static bool
follow_link(struct resolution *resolution, int fd)
{
	char target[2 * FILE_MAX_PATH];
	ssize_t length = readlinkat(fd, "", target, FILE_MAX_PATH);
	const char *path = target;

	if (length < 0)
		return false;
	target[length] = '\0';
	errno = ELOOP;
	if (length == FILE_MAX_PATH || ++resolution->links > MAX_LINKS)
		return false;
	if (target[0] == '/')
	{
		path = strip_directory(resolution->file, target);
		errno = EXDEV;
		if (path == NULL)
			return false;
		leave_to(resolution, 0);
	}
	errno = ENAMETOOLONG;
	if (strlen(path) + 1 + strlen(resolution->rest) >= FILE_MAX_PATH)
		return false;
	memmove(target, path, strlen(path) + 1);
	strcat(target, "/");
	strcat(target, resolution->rest);
	strcpy(resolution->rest, target);
	return true;
}

static bool
enter(struct resolution *resolution, int fd)
{
	if (resolution->depth + 1 >= MAX_DEPTH)
	{
		errno = ENAMETOOLONG;
		return false;
	}
	resolution->directories[++resolution->depth] = fd;
	return true;
}

/* One step down; false and errno where it cannot be made. */
static bool
step_into(struct resolution *resolution, const char *name)
{
	struct stat status;
	int fd = openat(resolution->directories[resolution->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	bool done = false;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) < 0)
		done = false;
	else if (S_ISLNK(status.st_mode))
		done = follow_link(resolution, fd);
	else if (enter(resolution, fd))
		return true;
	close(fd);
	return done;
}

/* Is the name, which is the last of a path, a link that is to be followed? */
static bool
is_link(const struct resolution *resolution, const char *name)
{
	struct stat status;

	return fstatat(resolution->directories[resolution->depth], name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		   S_ISLNK(status.st_mode);
}

static int
resolve(struct resolution *resolution, int flags)
{
	char name[NAME_MAX + 1];
	bool last = false;

	while (resolution->rest[strspn(resolution->rest, "/")] != '\0')
	{
		if (!next_component(resolution, name, &last))
			return -1;
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
		{
			errno = EXDEV;
			if (resolution->depth == 0)
				return -1;
			leave_to(resolution, resolution->depth - 1);
		}
		else if (last && !is_link(resolution, name))
			return openat(resolution->directories[resolution->depth], name, flags | O_NOFOLLOW | O_CLOEXEC);
		else if (!step_into(resolution, name))
			return -1;
	}
	return openat(resolution->directories[resolution->depth], ".", flags | O_CLOEXEC);
}

/* Each step is taken from a descriptor in hand and follows no link by itself, so nobody can move us outside. */
static int
open_stepwise(const struct file_store *file, const char *path, int flags)
{
	struct resolution resolution = {.file = file, .directories = {file->root}};
	int reason;
	int fd;

	if (strlen(path) >= FILE_MAX_PATH)
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(resolution.rest, path);
	fd = resolve(&resolution, flags);
	reason = errno;
	leave_to(&resolution, 0);
	errno = reason;
	return fd;
}

/* --- opening --- */

static int
open_beneath(const struct file_store *file, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t) (flags | O_CLOEXEC),
						   .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int attempts = 0;
	long fd;

	do
		fd = syscall(SYS_openat2, file->root, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++attempts < MAX_ATTEMPTS)));
	return (int) fd;
}

int
file_open_path(struct file_store *file, const char *path, int flags)
{
	if (!file->no_openat2)
	{
		int fd = open_beneath(file, path, flags);

		/* EXDEV is also said of an absolute link that leads back into the directory. */
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EXDEV && errno != EAGAIN))
			return fd;
		file->no_openat2 = errno == ENOSYS;
	}
	return open_stepwise(file, path, flags);
}

/* --- errors --- */

enum dicom_status
file_fail_missing(struct dicom_error *error, const struct file_store *file, const char *key)
{
	dicom_fail(error, DICOM_ERROR_NOT_FOUND, "object does not exist");
	return store_name_object(error, &file->store, key);
}

enum dicom_status
file_fail_changed(struct dicom_error *error, const struct file_store *file, const char *key)
{
	dicom_fail(error, DICOM_ERROR_CHANGED, "object has changed");
	return store_name_object(error, &file->store, key);
}

enum dicom_status
file_fail(struct dicom_error *error, const struct file_store *file, const char *key, const char *what)
{
	switch (errno)
	{
		case ENOENT:
		case ENOTDIR:
			return file_fail_missing(error, file, key);
		case EXDEV:
			dicom_fail(error, DICOM_ERROR_ACCESS_DENIED,
					   "cannot %s object: a symbolic link leads out of the location", what);
			break;
		case EACCES:
		case EPERM:
		case EROFS:
			dicom_fail(error, DICOM_ERROR_ACCESS_DENIED, "cannot %s object: %s", what, strerror(errno));
			break;
		case ENOMEM:
			dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
			break;
		case ENOSPC:
		case EDQUOT:
			dicom_fail(error, DICOM_ERROR_FULL, "cannot %s object: %s", what, strerror(errno));
			dicom_hint(error, "make room where it is written, or raise the quota");
			break;
		default:
			dicom_fail(error, DICOM_ERROR_IO, "cannot %s object: %s", what, strerror(errno));
			break;
	}
	return store_name_object(error, &file->store, key);
}
