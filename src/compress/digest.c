/*
 * digest.c
 *	  SHA-256, by OpenSSL.
 */
#include "digest.h"

#include <openssl/evp.h>
#include <pthread.h>

/* Fetched once: EVP_sha256() is looked up anew at every use. */
static const EVP_MD *algorithm;
static pthread_once_t is_fetched = PTHREAD_ONCE_INIT;

static void
fetch(void)
{
	algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

bool
digest_bytes(const void *bytes, size_t length, unsigned char digest[DIGEST_SIZE])
{
	pthread_once(&is_fetched, fetch);
	return algorithm && EVP_Digest(bytes, length, digest, NULL, algorithm, NULL) == 1;
}

bool
digest_text(const void *bytes, size_t length, char text[SHA256_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[DIGEST_SIZE];
	int i;

	if (!digest_bytes(bytes, length, digest))
		return false;
	for (i = 0; i < DIGEST_SIZE; i++)
	{
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
	text[2 * DIGEST_SIZE] = '\0';
	return true;
}
