/*
 * memory_source.h
 *	  A source of bytes in memory, that can be told to fail, and counts what was read.
 */
#ifndef MEMORY_SOURCE_H
#define MEMORY_SOURCE_H

#include <string.h>

#include "image/image.h"

struct memory_source
{
	struct image_source source;
	const uint8_t *bytes;
	int reads;
	int fail_at; /* the number of the read that fails, counted from 1; 0: none */
	size_t longest;
};

static enum dicom_status
memory_read(void *arg, uint64_t offset, size_t length, uint8_t *bytes, struct dicom_error *error)
{
	struct memory_source *memory = arg;

	if (offset > memory->source.size || length > memory->source.size - offset || length == 0)
		__builtin_trap(); /* nobody asks for what is not there */
	memory->reads++;
	if (length > memory->longest)
		memory->longest = length;
	if (memory->reads == memory->fail_at)
		return dicom_fail(error, DICOM_ERROR_IO, "told to fail");
	memcpy(bytes, memory->bytes + offset, length);
	return DICOM_OK;
}

static inline void
memory_source_init(struct memory_source *memory, const void *bytes, size_t length)
{
	memset(memory, 0, sizeof(*memory));
	memory->bytes = bytes;
	memory->source.size = length;
	memory->source.read = memory_read;
	memory->source.arg = memory;
}

#endif
