/*
 * whole.h
 *	  Writes that are not done with a part.
 */
#ifndef COMPRESS_WHOLE_H
#define COMPRESS_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes all bytes where the file stands. False and errno where that fails; some may have been written then. */
extern bool whole_write(int file, const void *bytes, size_t length);

#endif
