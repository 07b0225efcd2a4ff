/*
 * keyring_text.c
 *	  The text form of the keys, and the memory they live in.
 */
#include <string.h>
#include <sys/mman.h>

#include "../dicom/hex.h"
#include "keyring_text.h"

/* Best effort: where memory cannot be locked or marked, the keys can still be used. */
struct keyring_memory *
keyring_memory_create(void)
{
	void *pages =
		mmap(NULL, sizeof(struct keyring_memory), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	(void) mlock(pages, sizeof(struct keyring_memory));
#ifdef MADV_DONTDUMP
	(void) madvise(pages, sizeof(struct keyring_memory), MADV_DONTDUMP);
#endif
#ifdef MADV_DONTFORK
	(void) madvise(pages, sizeof(struct keyring_memory), MADV_DONTFORK);
#endif
	return pages;
}

void
keyring_memory_wipe(struct keyring_memory *memory)
{
	deid_wipe(memory, sizeof(*memory));
}

struct reader
{
	const char *at;
	const char *end;
};

static void
skip_blanks(struct reader *reader)
{
	while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t'))
		reader->at++;
}

static bool
at_end(const struct reader *reader)
{
	return reader->at == reader->end || *reader->at == '#' || *reader->at == '\r';
}

static bool
read_epoch(struct reader *reader, int32_t *epoch)
{
	int64_t number = 0;
	int digits = 0;

	for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++, digits++)
		if (digits < 11)
			number = number * 10 + (*reader->at - '0');
	*epoch = (int32_t) number;
	return digits > 0 && digits < 11 && number <= INT32_MAX;
}

/* 64 hex digits, no more. */
static bool
read_key(struct reader *reader, unsigned char bytes[DEID_KEY_BYTES])
{
	int i;

	if (reader->end - reader->at < 2 * DEID_KEY_BYTES)
		return false;
	for (i = 0; i < 2 * DEID_KEY_BYTES; i++)
	{
		int value = hex_digit(*reader->at++);

		if (value < 0)
			return false;
		bytes[i / 2] = (unsigned char) (bytes[i / 2] << 4 | value);
	}
	return true;
}

static const char *
add_entry(struct keyring_memory *memory, int32_t epoch, const unsigned char bytes[DEID_KEY_BYTES], int line)
{
	struct keyring_entry *entry = &memory->entries[memory->count];
	int i;

	if (memory->count == KEYRING_EPOCHS_MAX)
		return "there are more than 128 epochs";
	deid_key_set(&entry->key, bytes);
	entry->epoch = epoch;
	entry->line = line;
	for (i = 0; i < memory->count; i++)
	{
		if (memory->entries[i].epoch == epoch)
			return "the epoch stands in an earlier line too";
		if (strcmp(memory->entries[i].key.id, entry->key.id) == 0)
			return "the key stands in an earlier line too";
	}
	memory->count++;
	return NULL;
}

static const char *
parse_line(struct keyring_memory *memory, struct reader reader, int line)
{
	unsigned char bytes[DEID_KEY_BYTES] = {0};
	const char *problem;
	const char *begin;
	int32_t epoch;

	skip_blanks(&reader);
	if (at_end(&reader))
		return NULL;
	if (!read_epoch(&reader, &epoch))
		return "it does not begin with the number of an epoch";
	begin = reader.at;
	skip_blanks(&reader);
	if (reader.at == begin)
		return "there is no blank behind the number of the epoch";
	problem = read_key(&reader, bytes) ? NULL : "the key is not 64 hex digits";
	skip_blanks(&reader);
	if (!problem && !at_end(&reader))
		problem = "something stands behind the 64 hex digits of the key";
	if (!problem)
		problem = add_entry(memory, epoch, bytes, line);
	deid_wipe(bytes, sizeof(bytes));
	return problem;
}

const char *
keyring_parse(struct keyring_memory *memory, size_t length, int *line)
{
	const char *at = memory->text;
	const char *end = at + length;
	const char *problem = NULL;

	memory->count = 0;
	for (*line = 1; at < end && !problem; ++*line)
	{
		const char *stop = memchr(at, '\n', end - at);

		problem = parse_line(memory, (struct reader){at, stop ? stop : end}, *line);
		at = stop ? stop + 1 : end;
	}
	--*line;
	deid_wipe(memory->text, sizeof(memory->text));
	if (problem)
		keyring_memory_wipe(memory);
	return problem;
}
