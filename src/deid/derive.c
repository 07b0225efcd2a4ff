/*
 * derive.c
 *	  Pseudonyms of values. The only file of this module that knows OpenSSL.
 */
#include <string.h>

/*
 * The plain SHA-256 functions cannot fail, look nothing up and allocate nothing, unlike EVP's: a pseudonym costs a few hundred
 * nanoseconds, of which a lookup would be the larger part. They also let the state behind a pad be kept.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include "derive.h"

#define VERSION     "dicom_fdw.deid.v1"
#define MAC_LENGTH  SHA256_DIGEST_LENGTH
#define UID_BYTES   16
#define SHORT_BYTES 10
#define UID_MAX     64

#define TEXT(literal) ((struct deid_text){literal, sizeof(literal) - 1})

struct mac
{
	SHA256_CTX state;
	const struct deid_key *key;
};

void
deid_wipe(void *memory, size_t size)
{
	OPENSSL_cleanse(memory, size);
}

/* SHA-256 as it stands behind one block. */
static void
resume(SHA256_CTX *state, const uint32_t chain[8])
{
	SHA256_Init(state);
	memcpy(state->h, chain, sizeof(state->h));
	state->Nl = SHA256_CBLOCK * 8;
}

static void
hash_pad(const unsigned char bytes[DEID_KEY_BYTES], unsigned char pad, uint32_t chain[8])
{
	unsigned char block[SHA256_CBLOCK] = {0};
	SHA256_CTX state;
	size_t i;

	memcpy(block, bytes, DEID_KEY_BYTES);
	for (i = 0; i < sizeof(block); i++)
		block[i] ^= pad;
	SHA256_Init(&state);
	SHA256_Update(&state, block, sizeof(block));
	memcpy(chain, state.h, sizeof(state.h));
	deid_wipe(block, sizeof(block));
	deid_wipe(&state, sizeof(state));
}

static void
mac_part(struct mac *mac, struct deid_text part)
{
	unsigned char head[5] = {'V', part.length >> 24, part.length >> 16, part.length >> 8, part.length};

	if (!part.text)
	{
		SHA256_Update(&mac->state, "N", 1);
		return;
	}
	SHA256_Update(&mac->state, head, sizeof(head));
	SHA256_Update(&mac->state, part.text, part.length);
}

static void
mac_begin(struct mac *mac, const struct deid_key *key, struct deid_text purpose)
{
	mac->key = key;
	resume(&mac->state, key->inner);
	mac_part(mac, TEXT(VERSION));
	mac_part(mac, purpose);
}

/* SHA256_Final() leaves nothing of the message in the state, and the state is no longer the key's. */
static void
mac_end(struct mac *mac, unsigned char result[MAC_LENGTH])
{
	unsigned char inner[MAC_LENGTH];

	SHA256_Final(inner, &mac->state);
	resume(&mac->state, mac->key->outer);
	SHA256_Update(&mac->state, inner, sizeof(inner));
	SHA256_Final(result, &mac->state);
}

static void
to_hex(const unsigned char *bytes, size_t count, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < count; i++)
	{
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * count] = '\0';
}

void
deid_key_set(struct deid_key *key, const unsigned char bytes[DEID_KEY_BYTES])
{
	unsigned char result[MAC_LENGTH];
	struct mac mac;

	hash_pad(bytes, 0x36, key->inner);
	hash_pad(bytes, 0x5c, key->outer);
	mac_begin(&mac, key, TEXT("key_id"));
	mac_end(&mac, result);
	to_hex(result, DEID_KEY_ID_LENGTH / 2, key->id);
}

void
deid_key_wipe(struct deid_key *key)
{
	deid_wipe(key, sizeof(*key));
}

struct deid_text
deid_unpadded(struct deid_text value)
{
	while (value.length > 0 && (value.text[value.length - 1] == ' ' || value.text[value.length - 1] == '\0'))
		value.length--;
	return value;
}

static void
full_mac(const struct deid_key *key, struct deid_text domain, struct deid_text value,
		 unsigned char result[MAC_LENGTH])
{
	struct mac mac;

	mac_begin(&mac, key, TEXT("full_hash"));
	mac_part(&mac, domain);
	mac_part(&mac, value);
	mac_end(&mac, result);
}

void
deid_full_hash(const struct deid_key *key, struct deid_text domain, struct deid_text value,
			   char hex[DEID_HASH_LENGTH + 1])
{
	unsigned char result[MAC_LENGTH];

	full_mac(key, domain, value, result);
	to_hex(result, sizeof(result), hex);
}

void
deid_short_id(const struct deid_key *key, struct deid_text domain, struct deid_text value,
			  char id[DEID_SHORT_LENGTH + 1])
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	unsigned char result[MAC_LENGTH];
	uint32_t bits = 0;
	int held = 0;
	char *out = id + 5;
	size_t i;

	full_mac(key, domain, value, result);
	strcpy(id, "DEID-");
	for (i = 0; i < SHORT_BYTES; i++)
	{
		bits = bits << 8 | result[i];
		for (held += 8; held >= 5; held -= 5)
			*out++ = letters[bits >> (held - 5) & 31];
	}
	*out = '\0';
}

void
deid_surrogate_key(const struct deid_key *key, struct deid_text domain, const struct deid_text *parts,
				   size_t count, char hex[DEID_HASH_LENGTH + 1])
{
	unsigned char result[MAC_LENGTH];
	struct mac mac;
	size_t i;

	mac_begin(&mac, key, TEXT("surrogate_key"));
	mac_part(&mac, domain);
	for (i = 0; i < count; i++)
		mac_part(&mac, parts[i]);
	mac_end(&mac, result);
	to_hex(result, sizeof(result), hex);
}

/* --- UIDs --- */

/* Digits and points only: a name behind the prefix is none. */
bool
deid_uid_is_standard(struct deid_text uid)
{
	static const char prefix[] = "1.2.840.10008.";
	size_t i;

	if (uid.length < sizeof(prefix) || uid.length > UID_MAX ||
		memcmp(uid.text, prefix, sizeof(prefix) - 1) != 0)
		return false;
	for (i = sizeof(prefix) - 1; i < uid.length; i++)
		if ((uid.text[i] < '0' || uid.text[i] > '9') && uid.text[i] != '.')
			return false;
	return true;
}

/* Appends a number of 128 bits in decimal. */
static void
append_decimal(unsigned __int128 number, char *out)
{
	char digits[40];
	int count = 0;

	do
		digits[count++] = (char) ('0' + (int) (number % 10));
	while ((number /= 10) > 0);
	while (count > 0)
		*out++ = digits[--count];
	*out = '\0';
}

void
deid_uid(const struct deid_key *key, struct deid_text uid, char result[DEID_UID_LENGTH + 1])
{
	unsigned char hash[MAC_LENGTH];
	unsigned __int128 number = 0;
	struct mac mac;
	int i;

	mac_begin(&mac, key, TEXT("uid"));
	mac_part(&mac, uid);
	mac_end(&mac, hash);
	hash[6] = (hash[6] & 0x0f) | 0x80; /* version 8 */
	hash[8] = (hash[8] & 0x3f) | 0x80; /* variant 10 */
	for (i = 0; i < UID_BYTES; i++)
		number = number << 8 | hash[i];
	strcpy(result, "2.25.");
	append_decimal(number, result + 5);
}

/* --- dates --- */

int
deid_shift_days(const struct deid_key *key, struct deid_text issuer, struct deid_text patient_id,
				int min_weeks, int max_weeks)
{
	unsigned char hash[MAC_LENGTH];
	uint64_t number = 0;
	struct mac mac;
	int i;

	mac_begin(&mac, key, TEXT("date_shift"));
	mac_part(&mac, issuer);
	mac_part(&mac, patient_id);
	mac_end(&mac, hash);
	for (i = 0; i < 8; i++)
		number = number << 8 | hash[i];
	return -7 * (min_weeks + (int) (number % (uint64_t) (max_weeks - min_weeks + 1)));
}

/* --- the system that came before --- */

unsigned
deid_small_letter(unsigned c)
{
	if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3AB && c != 0x3A2) ||
		(c >= 0x410 && c <= 0x42F))
		return c + 0x20;
	if (c >= 0x400 && c <= 0x40F)
		return c + 0x50;
	if (c == 0x178)
		return 0xFF;
	/* Pairs: the capital is even, but from 0139 and 0179 on odd. */
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E))
		return c + c % 2;
	if (c >= 0x100 && c <= 0x177 && c != 0x130 && c != 0x131 && c != 0x138)
		return c | 1;
	return c;
}

/* The small letter of what takes two bytes takes two bytes as well. */
static void
lower_pair(unsigned char pair[2])
{
	unsigned c = deid_small_letter((pair[0] & 0x1Fu) << 6 | (pair[1] & 0x3Fu));

	pair[0] = (unsigned char) (0xC0 | c >> 6);
	pair[1] = (unsigned char) (0x80 | (c & 0x3F));
}

static void
update_lower(SHA256_CTX *state, struct deid_text value)
{
	const char *end = value.text + value.length;
	const char *at = value.text;

	while (at < end)
	{
		unsigned char piece[2] = {(unsigned char) *at++, 0};
		bool pair = (piece[0] & 0xE0) == 0xC0 && at < end && (*at & 0xC0) == 0x80;

		if (pair)
		{
			piece[1] = (unsigned char) *at++;
			lower_pair(piece);
		}
		else if (piece[0] >= 'A' && piece[0] <= 'Z')
			piece[0] += 'a' - 'A';
		SHA256_Update(state, piece, pair ? 2 : 1);
	}
}

void
deid_legacy_full_hash(struct deid_text salt, struct deid_text value, char hex[DEID_HASH_LENGTH + 1])
{
	unsigned char result[MAC_LENGTH];
	SHA256_CTX state;

	while (value.length > 0 && value.text[0] == '*')
		value.text++, value.length--;
	while (value.length > 0 && value.text[value.length - 1] == '*')
		value.length--;
	SHA256_Init(&state);
	if (value.text)
		update_lower(&state, value);
	SHA256_Update(&state, salt.text, salt.length);
	SHA256_Final(result, &state);
	to_hex(result, sizeof(result), hex);
}

void
deid_legacy_surrogate_key(struct deid_text salt, const struct deid_text *parts, size_t count,
						  char hex[DEID_HASH_LENGTH + 1])
{
	static const struct deid_text absent = {"_dbt_utils_surrogate_key_null_", 30};
	unsigned char result[MAC_LENGTH];
	MD5_CTX joined;
	SHA256_CTX state;
	size_t i;

	MD5_Init(&joined);
	for (i = 0; i < count; i++)
	{
		struct deid_text part = parts[i].text ? parts[i] : absent;

		if (i > 0)
			MD5_Update(&joined, "-", 1);
		MD5_Update(&joined, part.text, part.length);
	}
	MD5_Final(result, &joined);
	to_hex(result, MD5_DIGEST_LENGTH, hex);
	SHA256_Init(&state);
	SHA256_Update(&state, hex, 2 * (size_t) MD5_DIGEST_LENGTH);
	SHA256_Update(&state, salt.text, salt.length);
	SHA256_Final(result, &state);
	to_hex(result, sizeof(result), hex);
}
