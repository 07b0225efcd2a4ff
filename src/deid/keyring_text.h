/*
 * keyring_text.h
 *	  The text form of the keys, and the memory they live in.
 */
#ifndef DEID_KEYRING_TEXT_H
#define DEID_KEYRING_TEXT_H

#include "derive.h"

#define KEYRING_TEXT_MAX   16384
#define KEYRING_EPOCHS_MAX 128

struct keyring_entry
{
	int32_t epoch;
	int line;
	struct deid_key key;
	bool checked; /* against dicom.epoch, for the snapshot at hand */
};

/* One mapping of pages: made by keyring_memory(), never freed, wiped instead. */
struct keyring_memory
{
	char text[KEYRING_TEXT_MAX]; /* while it is read */
	int count;
	struct keyring_entry entries[KEYRING_EPOCHS_MAX];
};

/* NULL where there is no memory. */
extern struct keyring_memory *keyring_memory_create(void);
extern void keyring_memory_wipe(struct keyring_memory *memory);

/*
 * Makes entries of the first `length` bytes of text, and wipes those. Returns NULL, or what is wrong in which line; no entry
 * is left then.
 */
extern const char *keyring_parse(struct keyring_memory *memory, size_t length, int *line);

#endif
