/*
 * charset.h
 *	  From the character sets of SpecificCharacterSet (0008,0005) to UTF-8: PS3.3 C.12.1.1.2, PS3.5 §6.1.
 *
 * Every defined term, single-byte and multi-byte, with and without code extensions (ISO 2022 escapes), GB18030, GBK
 * and UTF-8; the wrong spellings that real files have ('ISO IR 100', 'ISO-IR 100', 'ISO_IR_100', 'ISO 2022 IR 6', ...).
 * The active sets fall back to their initial state at the delimiters of §6.1.2.5.3: the control characters CR, LF, FF
 * and TAB, the backslash of a multi-valued element, and ^ and = in a person name. A backslash or caret byte inside a
 * two-byte character is no delimiter. Bytes that do not decode become U+FFFD and are counted; a NUL inside a value too.
 * Escapes are obeyed whether (0008,0005) names their set or not; those that mean nothing are dropped and counted.
 * glibc's iconv converts single characters, the rest is ours. No conversion handle outlives its cache.
 */
#ifndef DICOM_CHARSET_H
#define DICOM_CHARSET_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

struct dicom_charset; /* one SpecificCharacterSet, open for use */

/* How a text is cut into values and where escapes reset: PS3.5 §6.2. */
enum dicom_text_kind
{
	DICOM_TEXT_MULTI,  /* LO, SH, UC: backslash separates */
	DICOM_TEXT_PERSON, /* PN: backslash, ^ and = */
	DICOM_TEXT_SINGLE  /* ST, LT, UT: a backslash is a character */
};

/*
 * Opens the set that the value of (0008,0005) names; length 0 is the default repertoire ISO_IR 6, read as Latin-1
 * where a byte has its high bit (and counted). Terms nobody knows are read as ISO_IR 6. NULL: out of memory.
 * Opening the same value again through one `cache` is free; a cache is zero-initialised and closed with
 * dicom_charset_cache_close(). It keeps eight sets: use what was opened before opening more.
 */
struct dicom_charset_cache
{
	struct dicom_charset *sets[8];
	int next;
};

extern struct dicom_charset *dicom_charset_open(struct dicom_charset_cache *cache, const uint8_t *term,
												uint32_t length);
extern void dicom_charset_cache_close(struct dicom_charset_cache *cache);

/* Appends a text as UTF-8. Returns how many characters were replaced. Plain ASCII is copied without a conversion. */
extern uint32_t dicom_charset_to_utf8(struct dicom_charset *charset, enum dicom_text_kind kind,
									  const uint8_t *bytes, uint32_t length, struct dicom_buffer *out);

/*
 * The same for one value of several: stops before the backslash that ends it and returns how many bytes it read;
 * *replaced grows.
 */
extern uint32_t dicom_charset_value_to_utf8(struct dicom_charset *charset, enum dicom_text_kind kind,
											const uint8_t *bytes, uint32_t length, struct dicom_buffer *out,
											uint32_t *replaced);

/* How many values a text has in the set that `terms` names; backslashes inside characters do not count. */
extern uint32_t dicom_charset_count_values(const uint8_t *terms, uint32_t terms_length,
										   enum dicom_text_kind kind, const uint8_t *bytes, uint32_t length);

/* True for bytes that are themselves in every character set: ASCII without escapes and NULs. */
extern bool dicom_charset_is_plain(const uint8_t *bytes, uint32_t length);

/* How many terms of the value were not known. */
extern int dicom_charset_unknown_terms(const struct dicom_charset *charset);

#endif
