/*
 * whole.c
 *	  write(2), again and again.
 */
#include "whole.h"

#include <errno.h>
#include <unistd.h>

bool
whole_write(int file, const void *bytes, size_t length)
{
	const char *next = bytes;

	while (length > 0)
	{
		ssize_t written = write(file, next, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		next += written;
		length -= (size_t) written;
	}
	return true;
}
