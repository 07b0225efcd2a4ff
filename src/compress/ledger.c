/*
 * ledger.c
 *	  One file of notes, and an index of it in memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH */
#endif

#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../store/file.h"
#include "whole.h"

#define NAME           "notes.jsonl"
#define NEW_NAME       "notes.jsonl.new"
#define LOCK_NAME      "lock"
#define LINE_START     "{\"source\": \""
#define START_LENGTH   (sizeof(LINE_START) - 1)
#define HEAD_LENGTH    (START_LENGTH + SHA256_TEXT - 1)
#define BLOCK          ((size_t) 1 << 20)
#define MOST_LINE      ((uint32_t) 64 << 20)
#define FIRST_CAPACITY 1024
#define COMPACT_AT     ((uint64_t) 1 << 20) /* bytes, half of which do not count */

struct entry
{
	uint64_t digest; /* its first 16 digits; length 0: no entry */
	uint64_t offset;
	uint32_t length;
};

struct ledger
{
	int directory;
	int lock;
	int file;
	struct entry *entries;
	size_t count;
	size_t capacity;
	uint64_t live_bytes; /* of lines that count */
	uint64_t all_bytes;
};

/* --- the index --- */

static struct entry *
entry_of(struct entry *entries, size_t capacity, uint64_t digest)
{
	size_t i = (size_t) digest & (capacity - 1);

	while (entries[i].length > 0 && entries[i].digest != digest)
		i = (i + 1) & (capacity - 1);
	return &entries[i];
}

static bool
grow(struct ledger *ledger)
{
	size_t capacity = ledger->capacity ? ledger->capacity * 2 : FIRST_CAPACITY;
	struct entry *entries = calloc(capacity, sizeof(*entries));
	size_t i;

	if (entries == NULL)
		return false;
	for (i = 0; i < ledger->capacity; i++)
		if (ledger->entries[i].length > 0)
			*entry_of(entries, capacity, ledger->entries[i].digest) = ledger->entries[i];
	free(ledger->entries);
	ledger->entries = entries;
	ledger->capacity = capacity;
	return true;
}

/* The first 16 digits as a number; false where they are none. */
static bool
read_digest(const char *text, uint64_t *digest)
{
	int i;

	*digest = 0;
	for (i = 0; i < 16; i++)
	{
		char c = text[i];
		int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (value < 0)
			return false;
		*digest = *digest << 4 | (uint64_t) value;
	}
	return true;
}

/* Takes notice of a line. False: out of memory. */
static bool
index_line(struct ledger *ledger, const char *line, size_t known, uint64_t offset, uint64_t length)
{
	struct entry *entry;
	uint64_t digest;

	if (known < HEAD_LENGTH || length > MOST_LINE || memcmp(line, LINE_START, START_LENGTH) != 0 ||
		!read_digest(line + START_LENGTH, &digest))
		return true;
	if (ledger->count * 3 >= ledger->capacity * 2 && !grow(ledger))
		return false;
	entry = entry_of(ledger->entries, ledger->capacity, digest);
	if (entry->length > 0)
		ledger->live_bytes -= entry->length;
	else
		ledger->count++;
	ledger->live_bytes += length;
	*entry = (struct entry){digest, offset, (uint32_t) length};
	return true;
}

static ssize_t
read_at(int file, void *bytes, size_t length, uint64_t offset)
{
	ssize_t got;

	do
		got = pread(file, bytes, length, (off_t) offset);
	while (got < 0 && errno == EINTR);
	return got;
}

/* Reads the whole file. Of a line that is longer than a block only its head is looked at. */
static bool
build_index(struct ledger *ledger)
{
	char *block = malloc(BLOCK);
	char head[HEAD_LENGTH];
	size_t head_length = 0;
	uint64_t line = 0; /* where it begins */
	uint64_t offset = 0;
	bool good = block != NULL;
	ssize_t got;

	while (good && (got = read_at(ledger->file, block, BLOCK, offset)) > 0)
	{
		const char *next = block;
		const char *end = block + got;

		while (good && next < end)
		{
			const char *newline = memchr(next, '\n', (size_t) (end - next));
			size_t length = (size_t) ((newline ? newline : end) - next);
			size_t more = HEAD_LENGTH - head_length < length ? HEAD_LENGTH - head_length : length;

			memcpy(head + head_length, next, more);
			head_length += more;
			next += length;
			if (newline)
			{
				uint64_t place = offset + (uint64_t) (next - block);

				good = index_line(ledger, head, head_length, line, place - line);
				next++;
				line = place + 1;
				head_length = 0;
			}
		}
		offset += (uint64_t) got;
	}
	free(block);
	ledger->all_bytes = offset;
	return good;
}

/* --- throwing out --- */

/* Copies a line that counts, and says where it is now. */
static bool
copy_line(struct ledger *ledger, int to, struct entry *entry, uint64_t *end)
{
	char *line = malloc((size_t) entry->length + 1);
	bool good = line && read_at(ledger->file, line, entry->length, entry->offset) == (ssize_t) entry->length;

	if (good)
	{
		line[entry->length] = '\n';
		good = whole_write(to, line, (size_t) entry->length + 1);
		entry->offset = *end;
		*end += (uint64_t) entry->length + 1;
	}
	free(line);
	return good;
}

/* Writes the ledger anew. Where that fails the index no longer fits, and is built again. */
static bool
compact(struct ledger *ledger)
{
	int file = openat(ledger->directory, NEW_NAME,
					  O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
	uint64_t end = 0;
	bool good = file >= 0;
	size_t i;

	for (i = 0; good && i < ledger->capacity; i++)
		if (ledger->entries[i].length > 0)
			good = copy_line(ledger, file, &ledger->entries[i], &end);
	good = good && fsync(file) == 0 && renameat(ledger->directory, NEW_NAME, ledger->directory, NAME) == 0;
	if (good)
	{
		close(ledger->file);
		ledger->file = file;
		return true;
	}
	if (file >= 0)
		close(file);
	free(ledger->entries);
	ledger->entries = NULL;
	ledger->count = ledger->capacity = 0;
	ledger->live_bytes = 0;
	return build_index(ledger);
}

/* Only who is alone may put another file in the place of this one; everybody else holds the lock too. */
static bool
compact_if_worth(struct ledger *ledger)
{
	bool good = true;

	if (ledger->all_bytes < COMPACT_AT || ledger->live_bytes > ledger->all_bytes / 2)
		return true;
	if (flock(ledger->lock, LOCK_EX | LOCK_NB) == 0)
		good = compact(ledger);
	flock(ledger->lock, LOCK_SH);
	return good;
}

/* --- opening and closing --- */

static enum dicom_status
fail(const char *what, struct dicom_error *error)
{
	return dicom_fail(error, errno == ENOSPC ? DICOM_ERROR_FULL : DICOM_ERROR_IO,
					  "cannot %s the notes of what is done: %s", what, strerror(errno));
}

/* Opens the file, and again where somebody has put another one in its place meanwhile. */
static bool
open_file(struct ledger *ledger)
{
	ledger->lock = openat(ledger->directory, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (ledger->lock < 0 || flock(ledger->lock, LOCK_SH) < 0)
		return false;
	ledger->file =
		openat(ledger->directory, NAME, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
	return ledger->file >= 0;
}

/* Opens the directory without leaving that of the store. -1 and errno where it is not there. */
static int
open_directory(struct store *store, const char *prefix)
{
	char path[FILE_MAX_PATH];
	char key[FILE_MAX_KEY + 1];
	size_t length = strlen(prefix);

	if (length == 0 || length > FILE_MAX_KEY)
		return file_open_path((struct file_store *) store, "", O_PATH | O_DIRECTORY);
	memcpy(key, prefix, length - 1); /* without its slash */
	key[length - 1] = '\0';
	errno = EINVAL;
	return file_key_to_path(key, path)
			   ? file_open_path((struct file_store *) store, path, O_PATH | O_DIRECTORY)
			   : -1;
}

/* The store makes directories for what is put into them. */
static enum dicom_status
make_directory(struct store *store, const char *prefix, struct dicom_error *error)
{
	struct store_put_request request = {.if_none_match = true};
	struct dicom_buffer key = {0};
	enum dicom_status status;

	dicom_buffer_append_string(&key, prefix);
	dicom_buffer_append_string(&key, LOCK_NAME);
	request.key = key.data;
	status = key.failed ? dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory")
						: store_put(store, &request, "", 0, NULL, error);
	dicom_buffer_free(&key);
	return status == DICOM_FAILED && error->code == DICOM_ERROR_EXISTS ? DICOM_OK : status;
}

enum dicom_status
ledger_open(struct store *store, const char *prefix, struct ledger **result, struct dicom_error *error)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	enum dicom_status status = DICOM_OK;

	if (ledger == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	ledger->lock = ledger->file = -1;
	ledger->directory = open_directory(store, prefix);
	if (ledger->directory < 0 && errno == ENOENT)
	{
		status = make_directory(store, prefix, error);
		if (status == DICOM_OK)
			ledger->directory = open_directory(store, prefix);
	}
	if (status == DICOM_OK && (ledger->directory < 0 || !open_file(ledger)))
		status = fail("open", error);
	else if (status == DICOM_OK && (!build_index(ledger) || !compact_if_worth(ledger)))
		status = dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (status == DICOM_OK)
		*result = ledger;
	else
		ledger_close(ledger);
	return status;
}

void
ledger_close(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	if (ledger->file >= 0)
		close(ledger->file);
	if (ledger->lock >= 0)
		close(ledger->lock);
	if (ledger->directory >= 0)
		close(ledger->directory);
	free(ledger->entries);
	free(ledger);
}

bool
ledger_find(struct ledger *ledger, const char digest[SHA256_TEXT], struct state_note *note)
{
	const struct entry *entry = NULL;
	uint64_t number;
	char *line;
	bool found = false;

	if (ledger->count > 0 && read_digest(digest, &number))
		entry = entry_of(ledger->entries, ledger->capacity, number);
	if (entry == NULL || entry->length == 0)
		return false;
	line = malloc(entry->length);
	if (line && read_at(ledger->file, line, entry->length, entry->offset) == (ssize_t) entry->length)
		found = memcmp(line + START_LENGTH, digest, SHA256_TEXT - 1) == 0 &&
				state_read(line, entry->length, note);
	free(line);
	return found;
}

enum dicom_status
ledger_append(struct ledger *ledger, const char *line, size_t length, struct dicom_error *error)
{
	ssize_t written;

	do
		written = write(ledger->file, line, length);
	while (written < 0 && errno == EINTR);
	if (written == (ssize_t) length)
		return DICOM_OK;
	if (written >= 0)
		errno = ENOSPC;
	return fail("write", error);
}
