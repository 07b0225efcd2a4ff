/*
 * utf8.h
 *	  Where one character of UTF-8 ends: nothing overlong, no surrogates, nothing above U+10FFFF (RFC 3629).
 */
#ifndef DICOM_UTF8_H
#define DICOM_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes the character at `text` has, of which `left` > 0 are there; *broken where it is none, then the length is what to step over. */
extern size_t utf8_step(const uint8_t *text, size_t left, bool *broken);

/* How many bytes the character at `text` has; 0 where it is none. */
static inline size_t
utf8_length(const uint8_t *text, size_t left)
{
	bool broken;
	size_t length = utf8_step(text, left, &broken);

	return broken ? 0 : length;
}

#endif
