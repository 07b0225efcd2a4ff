/*
 * digest.h
 *	  SHA-256.
 */
#ifndef COMPRESS_DIGEST_H
#define COMPRESS_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_SIZE 32
#define SHA256_TEXT (2 * DIGEST_SIZE + 1) /* hex digits and NUL */

/* The digest of some bytes. False where the library fails. */
extern bool digest_bytes(const void *bytes, size_t length, unsigned char digest[DIGEST_SIZE]);

/* The same in hex. */
extern bool digest_text(const void *bytes, size_t length, char text[SHA256_TEXT]);

#endif
