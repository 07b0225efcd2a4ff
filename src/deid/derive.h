/*
 * derive.h
 *	  How a pseudonym is made of a value and a key. Plain C; OpenSSL stays behind derive.c.
 *
 *		frame(absent) = 'N'
 *		frame(v)      = 'V' || octets of v, 32 bits big-endian || v, which is UTF-8 as it stands
 *		mac(p1, ...)  = HMAC-SHA-256(key, frame('dicom_fdw.deid.v1') || frame(p1) || ...)
 *
 * The frames are what tells 'a-b','c' from 'a','b-c', and an absent value from an empty one. Nothing here allocates or fails,
 * and no buffer of a caller is kept.
 */
#ifndef DEID_DERIVE_H
#define DEID_DERIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEID_KEY_BYTES     32
#define DEID_KEY_ID_LENGTH 16
#define DEID_HASH_LENGTH   64
#define DEID_SHORT_LENGTH  21
#define DEID_UID_LENGTH    44 /* at most */

/* UTF-8, not terminated; text NULL: absent. */
struct deid_text
{
	const char *text;
	size_t length;
};

/*
 * What a key has been made into: the states of SHA-256 behind the inner and the outer pad of HMAC (RFC 2104), so that a value costs
 * two blocks less. They are as secret as the key: to be kept where keys are kept, and wiped.
 */
struct deid_key
{
	uint32_t inner[8];
	uint32_t outer[8];
	char id[DEID_KEY_ID_LENGTH + 1]; /* the first hex digits of mac('key_id'): no secret */
};

extern void deid_key_set(struct deid_key *key, const unsigned char bytes[DEID_KEY_BYTES]);
extern void deid_key_wipe(struct deid_key *key);

/* Zeroes memory in a way that no compiler leaves out. */
extern void deid_wipe(void *memory, size_t size);

/* The small letter of a capital of Latin 1, Latin Extended-A, Greek or Cyrillic; other code points stay. ASCII is not asked for. */
extern unsigned deid_small_letter(unsigned code_point);

/* The value without the padding behind it: blanks and NULs. */
extern struct deid_text deid_unpadded(struct deid_text value);

/* mac('full_hash', domain, value) as hex digits and a NUL. */
extern void deid_full_hash(const struct deid_key *key, struct deid_text domain, struct deid_text value,
						   char hex[DEID_HASH_LENGTH + 1]);

/* DEID- and base32 (RFC 4648) of the first ten bytes of the full hash. */
extern void deid_short_id(const struct deid_key *key, struct deid_text domain, struct deid_text value,
						  char id[DEID_SHORT_LENGTH + 1]);

/* mac('surrogate_key', domain, part 1, ...) as hex digits. */
extern void deid_surrogate_key(const struct deid_key *key, struct deid_text domain,
							   const struct deid_text *parts, size_t count, char hex[DEID_HASH_LENGTH + 1]);

/* True for a UID below 1.2.840.10008, which DICOM itself gave out: it names no one, and stays. */
extern bool deid_uid_is_standard(struct deid_text uid);

/* 2.25. and the decimal of a version 8 UUID (RFC 9562) made of mac('uid', uid), whatever text `uid` is. */
extern void deid_uid(const struct deid_key *key, struct deid_text uid, char result[DEID_UID_LENGTH + 1]);

/*
 * The days by which all dates of a patient are shifted: -7 * (53 + t mod 469), t being the first eight bytes of
 * mac('date_shift', issuer, patient_id); so -3647 to -371, in whole weeks. In general the range is given in weeks.
 */
#define DEID_MIN_WEEKS 53
#define DEID_MAX_WEEKS 521

extern int deid_shift_days(const struct deid_key *key, struct deid_text issuer, struct deid_text patient_id,
						   int min_weeks, int max_weeks);

/*
 * The system that came before, for comparison only: the salt is public. SHA-256 of the value in lower case, without asterisks around
 * it, and the salt; of an absent value the salt alone.
 */
extern void deid_legacy_full_hash(struct deid_text salt, struct deid_text value,
								  char hex[DEID_HASH_LENGTH + 1]);

/* SHA-256 of the MD5, in hex, of the parts joined by '-', and the salt. */
extern void deid_legacy_surrogate_key(struct deid_text salt, const struct deid_text *parts, size_t count,
									  char hex[DEID_HASH_LENGTH + 1]);

#endif
