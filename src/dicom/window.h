/*
 * window.h
 *	  The bytes of one file that are at hand.
 *
 * A window is a sorted list of runs of bytes; runs that touch become one, so that whatever lies in two neighbouring
 * ranges can be looked at in one piece. It knows the size of the file, or learns it. Everything is addressed by its
 * offset in the file; a pointer that dicom_window_at() returned is valid until the next dicom_window_reserve().
 */
#ifndef DICOM_WINDOW_H
#define DICOM_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#define DICOM_SIZE_UNKNOWN UINT64_MAX

struct dicom_run
{
	uint64_t offset;
	uint8_t *bytes;
	size_t length;
	size_t capacity;
};

struct dicom_window
{
	uint64_t size; /* of the file, or DICOM_SIZE_UNKNOWN */
	struct dicom_run *runs;
	int run_count;
	int run_capacity;
	size_t bytes_held; /* allocated for all runs */
};

extern void dicom_window_init(struct dicom_window *window, uint64_t size);

/* Frees every run; the window is empty and may be used again. */
extern void dicom_window_free(struct dicom_window *window);

/*
 * Room for `length` bytes at `offset`, to be filled by the caller before dicom_window_commit() says how many of them
 * came. NULL: out of memory, or beyond the file's size. Bytes already at hand there are overwritten.
 */
extern uint8_t *dicom_window_reserve(struct dicom_window *window, uint64_t offset, size_t length);
extern void dicom_window_commit(struct dicom_window *window, uint64_t offset, size_t length);

/* The bytes [offset, offset + length), or NULL where they are not all at hand. */
extern const uint8_t *dicom_window_at(const struct dicom_window *window, uint64_t offset, size_t length);

/* How many bytes are at hand from offset on, in one run. */
extern size_t dicom_window_available(const struct dicom_window *window, uint64_t offset);

#endif
