/*
 * charset_sets.h
 *	  The coded character sets of PS3.3 C.12.1.1.2 and how a text is cut into their characters; private to charset*.c.
 *
 * Bytes below 0x80 belong to the set designated to G0, those above to the one in G1 (PS3.5 §6.1.2.5). UTF-8, GB18030
 * and GBK are treated as sets of G1 whose characters may go on with bytes below 0x80: so one machine reads all.
 */
#ifndef DICOM_CHARSET_SETS_H
#define DICOM_CHARSET_SETS_H

#include <stdbool.h>
#include <stdint.h>

#include "charset.h"

enum charset_set
{
	SET_NONE, /* in G1: the default repertoire has nothing there; such bytes are read as Latin-1 and counted */
	SET_ASCII, /* ISO_IR 6 and 14; the yen sign and overline of the latter are read as what they delimit */
	SET_LATIN1,
	SET_LATIN2,
	SET_LATIN3,
	SET_LATIN4,
	SET_LATIN5,
	SET_LATIN9,
	SET_CYRILLIC,
	SET_ARABIC,
	SET_GREEK,
	SET_HEBREW,
	SET_THAI,
	SET_KATAKANA, /* ISO_IR 13; with the two-byte characters of Shift_JIS, which files under that name have */
	SET_JIS_X0208,
	SET_JIS_X0212,
	SET_KS_X1001,
	SET_GB2312,
	SET_GBK,
	SET_GB18030,
	SET_UTF8,
	SET_COUNT
};

struct charset_state
{
	uint8_t g0;
	uint8_t g1;
};

/* The state at the beginning of every text, from the value of (0008,0005); *unknown counts terms nobody knows. */
extern struct charset_state charset_initial_state(const uint8_t *terms, uint32_t length, int *unknown);

/* What stands at the beginning of a piece of text. */
enum charset_unit_kind
{
	UNIT_PLAIN,     /* one ASCII character */
	UNIT_SEPARATOR, /* the backslash between two values */
	UNIT_CHARACTER, /* one character of `set` */
	UNIT_BROKEN,    /* bytes that are no character */
	UNIT_ESCAPE,    /* an escape sequence, obeyed */
	UNIT_STRAY      /* one that means nothing here, or a lone ESC */
};

struct charset_unit
{
	enum charset_unit_kind kind;
	enum charset_set set;
	uint32_t length;
};

/* Reads one unit of a text that is not empty, and moves the state on: escapes, and the delimiters that reset it. */
extern struct charset_unit charset_next_unit(struct charset_state *state, struct charset_state initial,
											 enum dicom_text_kind kind, const uint8_t *bytes,
											 uint32_t length);

#endif
