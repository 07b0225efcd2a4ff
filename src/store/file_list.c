/*
 * file_list.c
 *	  Lists a directory in the order in which S3 lists keys, one level at a time.
 *
 * S3 orders by the bytes of whole keys: 'a.b' < 'a/b' < 'a0'. So a directory sorts as its name with a slash, and a walk that reads a
 * directory, sorts it, and goes into subdirectories as they come yields that order. Held are the entries of the directories on the
 * way to the current one. Names that the request excludes are dropped as they are read, directories that it excludes never opened.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* getdents64() */
#endif

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCAN_BUFFER (64 * 1024)
#define MAX_DESCRIPTORS \
	32 /* directories kept open; entries of those further up are looked at by their path */

struct entry
{
	union
	{
		size_t at;        /* in the level's names, which move while they grow */
		const char *name; /* once they are all there */
	};                    /* as it stands in the key, with a slash behind a directory's */
	bool directory;
	bool link;
};

/* A directory on the way to the current one. */
struct level
{
	size_t key_length; /* of the directory's own key, its slash included */
	int fd;            /* -1: not open */
	dev_t device;
	ino_t inode;
	struct dicom_buffer names;
	struct entry *entries;
	size_t count;
	size_t capacity;
	size_t next; /* entry to be looked at */
};

struct file_list
{
	struct store_list list;
	struct file_store *file;
	char *prefix;
	char *start_after; /* '': none */
	char *end_before;  /* NULL: none */
	int limit;         /* objects left; -1: no limit */
	bool ended;
	bool started;
	struct level *levels;
	int depth; /* levels in use */
	int capacity;
	struct dicom_buffer key; /* of the current directory, then of the current object */
	char etag[FILE_ETAG_LENGTH];
	char *scan; /* SCAN_BUFFER bytes for the kernel's entries */
};

static enum dicom_status
fail_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

static void
truncate_key(struct dicom_buffer *key, size_t length)
{
	key->length = length;
	if (key->data)
		key->data[length] = '\0';
}

/* --- what the request wants --- */

static bool
starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* Can a key below this directory (whose key ends in a slash) be wanted? */
static bool
may_hold_wanted(const struct file_list *list, const char *directory)
{
	if (!starts_with(directory, list->prefix) && !starts_with(list->prefix, directory))
		return false;
	if (list->end_before && strcmp(directory, list->end_before) >= 0)
		return false;
	return strcmp(directory, list->start_after) > 0 || starts_with(list->start_after, directory);
}

static bool
is_wanted(const struct file_list *list, const char *key)
{
	return starts_with(key, list->prefix) && strcmp(key, list->start_after) > 0 &&
		   (list->end_before == NULL || strcmp(key, list->end_before) < 0);
}

/* --- opening directories --- */

/* The path of a directory's key, which ends in a slash or is empty. */
static void
directory_path(const char *key, size_t length, char path[FILE_MAX_PATH])
{
	if (length > 0)
		length--;
	file_decode_name(key, length, path);
}

static enum dicom_status
fail_directory(const struct file_list *list, struct dicom_error *error)
{
	int reason = errno;

	dicom_fail(error, reason == EACCES || reason == EPERM ? DICOM_ERROR_ACCESS_DENIED : DICOM_ERROR_IO,
			   "cannot list directory: %s", strerror(reason));
	return store_name_object(error, &list->file->store, list->key.data);
}

/* DICOM_END where the directory is not there (any more), or leads outside. */
static enum dicom_status
open_level(struct file_list *list, struct level *level, int flags, struct dicom_error *error)
{
	char path[FILE_MAX_PATH];

	errno = ENAMETOOLONG;
	if (level->key_length >= FILE_MAX_PATH)
		return fail_directory(list, error);
	directory_path(list->key.data, level->key_length, path);
	level->fd = file_open_path(list->file, path, flags | O_DIRECTORY);
	if (level->fd >= 0)
		return DICOM_OK;
	if (errno == ENOENT || errno == ENOTDIR || errno == EXDEV || errno == ELOOP)
		return DICOM_END;
	return fail_directory(list, error);
}

static void
close_level(struct level *level)
{
	if (level->fd >= 0)
		close(level->fd);
	level->fd = -1;
}

static struct level *
add_level(struct file_list *list)
{
	struct level *level;

	if (list->depth == list->capacity)
	{
		int capacity = list->capacity ? 2 * list->capacity : 8;
		struct level *levels = realloc(list->levels, (size_t) capacity * sizeof(*levels));

		if (levels == NULL)
			return NULL;
		memset(levels + list->capacity, 0, (size_t) (capacity - list->capacity) * sizeof(*levels));
		list->levels = levels;
		list->capacity = capacity;
	}
	if (list->depth >= MAX_DESCRIPTORS)
		close_level(&list->levels[list->depth - MAX_DESCRIPTORS]);
	level = &list->levels[list->depth++];
	level->fd = -1;
	level->key_length = list->key.length;
	level->count = 0;
	level->next = 0;
	dicom_buffer_reset(&level->names);
	return level;
}

/* The memory of a level is kept for the next directory at its depth. */
static void
remove_level(struct file_list *list)
{
	close_level(&list->levels[--list->depth]);
}

/* Is the newest level one of those it lies in? Then a link has led back up. */
static bool
is_loop(const struct file_list *list)
{
	const struct level *newest = &list->levels[list->depth - 1];
	int i;

	for (i = 0; i < list->depth - 1; i++)
		if (list->levels[i].inode == newest->inode && list->levels[i].device == newest->device)
			return true;
	return false;
}

/* --- reading a directory --- */

/* What a name stands for when the kernel does not say, or says a link: DT_REG, DT_DIR, or DT_UNKNOWN for anything else. */
static int
find_type(struct file_list *list, const struct level *level, const char *name, int type)
{
	struct stat status;
	char path[FILE_MAX_PATH];
	int found;
	int fd;

	if (type == DT_UNKNOWN)
	{
		if (fstatat(level->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return DT_UNKNOWN;
		type = S_ISREG(status.st_mode)   ? DT_REG
			   : S_ISDIR(status.st_mode) ? DT_DIR
			   : S_ISLNK(status.st_mode) ? DT_LNK
										 : DT_SOCK;
	}
	if (type != DT_LNK)
		return type;
	directory_path(list->key.data, level->key_length, path);
	if (strlen(path) + 1 + strlen(name) >= FILE_MAX_PATH)
		return DT_UNKNOWN;
	if (path[0])
		strcat(path, "/");
	strcat(path, name);
	fd = file_open_path(list->file, path, O_PATH);
	if (fd < 0)
		return DT_UNKNOWN;
	found = fstat(fd, &status);
	close(fd);
	return found < 0                 ? DT_UNKNOWN
		   : S_ISREG(status.st_mode) ? DT_REG
		   : S_ISDIR(status.st_mode) ? DT_DIR
									 : DT_SOCK;
}

static bool
grow_entries(struct level *level)
{
	size_t capacity = level->capacity ? 2 * level->capacity : 64;
	struct entry *entries = realloc(level->entries, capacity * sizeof(*entries));

	if (entries == NULL)
		return false;
	level->entries = entries;
	level->capacity = capacity;
	return true;
}

/* Appends an entry whose name begins at `at` in list->key. False where memory runs out. */
static bool
append_entry(struct file_list *list, struct level *level, size_t at, bool directory, bool link)
{
	struct entry *entry;

	if (level->count == level->capacity && !grow_entries(level))
		return false;
	entry = &level->entries[level->count++];
	entry->at = level->names.length;
	entry->directory = directory;
	entry->link = link;
	dicom_buffer_append(&level->names, list->key.data + at, list->key.length - at + 1); /* with its NUL */
	return !level->names.failed;
}

/* Appends an entry to the level, unless the request excludes it. False where memory runs out. */
static bool
add_entry(struct file_list *list, struct level *level, const char *name, bool directory, bool link)
{
	size_t before = list->key.length;
	bool done = true;

	file_append_name(&list->key, name, strlen(name));
	if (directory)
		dicom_buffer_append_char(&list->key, '/');
	if (list->key.failed)
		return false;
	if (directory ? may_hold_wanted(list, list->key.data) : is_wanted(list, list->key.data))
		done = append_entry(list, level, before, directory, link);
	truncate_key(&list->key, before);
	return done;
}

static bool
is_own_or_parent(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static enum dicom_status
take_entries(struct file_list *list, struct level *level, size_t length, struct dicom_error *error)
{
	size_t at = 0;

	while (at < length)
	{
		const struct dirent64 *found = (const struct dirent64 *) (list->scan + at);
		int type;

		at += found->d_reclen;
		if (is_own_or_parent(found->d_name) || starts_with(found->d_name, FILE_TEMPORARY))
			continue;
		type = found->d_type;
		if (type == DT_UNKNOWN || type == DT_LNK)
			type = find_type(list, level, found->d_name, type);
		if (type != DT_REG && type != DT_DIR)
			continue;
		if (!add_entry(list, level, found->d_name, type == DT_DIR, found->d_type != type))
			return fail_memory(error);
	}
	return DICOM_OK;
}

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *) a)->name, ((const struct entry *) b)->name);
}

static void
sort_entries(struct level *level)
{
	size_t i;

	for (i = 0; i < level->count; i++)
		level->entries[i].name = level->names.data + level->entries[i].at;
	if (level->count > 1)
		qsort(level->entries, level->count, sizeof(level->entries[0]), compare_entries);
}

static enum dicom_status
scan_level(struct file_list *list, struct level *level, struct dicom_error *error)
{
	list->file->store.statistics.list_requests++;
	for (;;)
	{
		ssize_t length = getdents64(level->fd, list->scan, SCAN_BUFFER);

		if (length == 0)
			break;
		if (length < 0 && errno == ENOENT) /* removed meanwhile */
			break;
		if (length < 0)
			return fail_directory(list, error);
		if (take_entries(list, level, (size_t) length, error) != DICOM_OK ||
			file_check_interrupt(list->file, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	sort_entries(level);
	return DICOM_OK;
}

/*
 * Goes into the directory that list->key names. DICOM_END, and no new level, where there is nothing to go into.
 * An ancestor of the place where the listing starts is only noted, not read.
 */
static enum dicom_status
enter_directory(struct file_list *list, bool ancestor, struct dicom_error *error)
{
	struct level *level = add_level(list);
	struct stat status;
	enum dicom_status result;

	if (level == NULL)
		return fail_memory(error);
	result = open_level(list, level, ancestor ? O_PATH : O_RDONLY, error);
	if (result == DICOM_OK && fstat(level->fd, &status) < 0)
		result = fail_directory(list, error);
	if (result == DICOM_OK)
	{
		level->device = status.st_dev;
		level->inode = status.st_ino;
		if (is_loop(list))
			result = DICOM_END;
		else if (ancestor)
			close_level(level);
		else
			result = scan_level(list, level, error);
	}
	if (result != DICOM_OK)
		remove_level(list);
	return result;
}

/* --- walking --- */

/* Could this directory, given as the start of the prefix, be one of a key? */
static bool
is_directory_key(const char *key, size_t length)
{
	char copy[FILE_MAX_KEY + 1];
	char path[FILE_MAX_PATH];

	if (length == 0)
		return true;
	if (length > FILE_MAX_KEY)
		return false;
	memcpy(copy, key, length - 1);
	copy[length - 1] = '\0';
	return file_key_to_path(copy, path);
}

/* Begins in the deepest directory that the prefix names; those above it hold nothing else that is wanted. */
static enum dicom_status
start_walk(struct file_list *list, struct dicom_error *error)
{
	const char *slash = strrchr(list->prefix, '/');
	size_t length = slash ? (size_t) (slash - list->prefix) + 1 : 0;
	enum dicom_status status = DICOM_OK;
	size_t done = 0;

	if (!is_directory_key(list->prefix, length))
		return DICOM_END;
	dicom_buffer_append_string(&list->key, "");
	while (status == DICOM_OK && done < length)
	{
		size_t more = strcspn(list->prefix + done, "/") + 1;

		status = enter_directory(list, true, error);
		dicom_buffer_append(&list->key, list->prefix + done, more);
		done += more;
	}
	if (list->key.failed)
		return fail_memory(error);
	return status == DICOM_OK ? enter_directory(list, false, error) : status;
}

/* Like stat(2) for an entry whose key stands in list->key. */
static int
stat_entry(struct file_list *list, const struct level *level, const struct entry *entry, struct stat *status)
{
	char path[FILE_MAX_PATH];
	int found;
	int fd;

	if (!entry->link && level->fd >= 0)
	{
		file_decode_name(entry->name, strlen(entry->name), path);
		return fstatat(level->fd, path, status, AT_SYMLINK_NOFOLLOW);
	}
	file_decode_name(list->key.data, list->key.length, path);
	fd = file_open_path(list->file, path, O_PATH);
	if (fd < 0)
		return -1;
	found = fstat(fd, status);
	close(fd);
	return found;
}

/* Looks at the object that list->key names. DICOM_END where it is none any more. */
static enum dicom_status
describe_entry(struct file_list *list, const struct level *level, const struct entry *entry,
			   struct store_object *object, struct dicom_error *error)
{
	struct stat status;

	errno = ENAMETOOLONG;
	if (list->key.length >= FILE_MAX_PATH) /* it could not be opened by this key */
		return file_fail(error, list->file, list->key.data, "look at");
	if (stat_entry(list, level, entry, &status) < 0)
		return errno == ENOENT || errno == ENOTDIR ? DICOM_END
												   : file_fail(error, list->file, list->key.data, "look at");
	if (!S_ISREG(status.st_mode))
		return DICOM_END;
	file_format_etag(&status, list->etag);
	file_describe(&status, list->key.data, list->etag, object);
	return DICOM_OK;
}

/* The next entry of the deepest level: an object (DICOM_OK), or something to go on from (DICOM_PENDING). */
static enum dicom_status
take_step(struct file_list *list, struct store_object *object, struct dicom_error *error)
{
	struct level *level = &list->levels[list->depth - 1];
	const struct entry *entry;
	enum dicom_status status;

	truncate_key(&list->key, level->key_length);
	if (level->next == level->count)
	{
		remove_level(list);
		return DICOM_PENDING;
	}
	entry = &level->entries[level->next++];
	dicom_buffer_append_string(&list->key, entry->name);
	if (list->key.failed)
		return fail_memory(error);
	if (entry->directory)
		status = enter_directory(list, false, error);
	else
	{
		status = describe_entry(list, level, entry, object, error);
		if (status == DICOM_OK)
			return DICOM_OK;
	}
	return status == DICOM_FAILED ? DICOM_FAILED : DICOM_PENDING;
}

enum dicom_status
file_list_next(struct store_list *base, struct store_object *object, struct dicom_error *error)
{
	struct file_list *list = (struct file_list *) base;
	enum dicom_status status = DICOM_PENDING;

	if (list->ended || list->limit == 0)
		return DICOM_END;
	if (!list->started)
	{
		list->started = true;
		status = start_walk(list, error);
	}
	if (status == DICOM_END || status == DICOM_FAILED)
	{
		list->ended = true;
		return status;
	}
	do
	{
		if (list->depth == 0)
			return DICOM_END;
		status = take_step(list, object, error);
	} while (status == DICOM_PENDING);
	if (status == DICOM_OK)
	{
		list->file->store.statistics.objects_listed++;
		list->limit -= list->limit > 0;
	}
	return status;
}

/* --- opening and closing --- */

void
file_list_close(struct store_list *base)
{
	struct file_list *list = (struct file_list *) base;
	int i;

	for (i = 0; i < list->capacity; i++)
	{
		if (i < list->depth)
			close_level(&list->levels[i]);
		dicom_buffer_free(&list->levels[i].names);
		free(list->levels[i].entries);
	}
	free(list->levels);
	free(list->prefix);
	free(list->start_after);
	free(list->end_before);
	free(list->scan);
	dicom_buffer_free(&list->key);
	free(list);
}

static bool
copy_request(struct file_list *list, const struct store_list_request *request)
{
	list->prefix = strdup(request->prefix ? request->prefix : "");
	list->start_after = strdup(request->start_after ? request->start_after : "");
	list->end_before = request->end_before ? strdup(request->end_before) : NULL;
	list->limit = request->limit > 0 ? request->limit : -1;
	list->scan = malloc(SCAN_BUFFER);
	return list->prefix && list->start_after && list->scan && (list->end_before || !request->end_before);
}

enum dicom_status
file_list_open(struct store *store, const struct store_list_request *request, struct store_list **result,
			   struct dicom_error *error)
{
	struct file_list *list = calloc(1, sizeof(*list));

	if (list == NULL)
		return fail_memory(error);
	list->file = (struct file_store *) store;
	if (!copy_request(list, request))
	{
		file_list_close(&list->list);
		return fail_memory(error);
	}
	*result = &list->list;
	return DICOM_OK;
}
