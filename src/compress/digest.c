/*
 * digest.c
 *	  SHA-256, by OpenSSL.
 */
#include "digest.h"

#include <openssl/evp.h>
#include <pthread.h>

/* Made once, for each thread: EVP_sha256() is looked up anew at every use, and a context needs memory. */
static const EVP_MD *algorithm;
static pthread_key_t context_key;
static pthread_once_t is_fetched = PTHREAD_ONCE_INIT;

static void
free_context(void *context)
{
	EVP_MD_CTX_free(context);
}

static void
fetch(void)
{
	if (pthread_key_create(&context_key, free_context) == 0)
		algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static EVP_MD_CTX *
own_context(void)
{
	EVP_MD_CTX *context = pthread_getspecific(context_key);

	if (context)
		return context;
	context = EVP_MD_CTX_new();
	if (context && pthread_setspecific(context_key, context) == 0)
		return context;
	EVP_MD_CTX_free(context);
	return NULL;
}

bool
digest_bytes(const void *bytes, size_t length, unsigned char digest[DIGEST_SIZE])
{
	EVP_MD_CTX *context;

	pthread_once(&is_fetched, fetch);
	context = algorithm ? own_context() : NULL;
	return context && EVP_DigestInit_ex2(context, algorithm, NULL) == 1 &&
		   EVP_DigestUpdate(context, bytes, length) == 1 && EVP_DigestFinal_ex(context, digest, NULL) == 1;
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
