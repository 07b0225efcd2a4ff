/*
 * charset_terms.c
 *	  Defined terms, escape sequences, and where one character ends and the next begins: all that can be said about a
 *	  text without converting it.
 */
#include <string.h>

#include "charset_sets.h"
#include "utf8.h"

#define ESC 0x1B

/* The sets by their ISO-IR registration numbers: ISO_IR 100, ISO 2022 IR 100. */
static const struct
{
	uint16_t number;
	uint8_t g1;
} registered_sets[] = {
	{6, SET_NONE},     {13, SET_KATAKANA}, {14, SET_NONE},      {58, SET_GB2312},  {87, SET_NONE},
	{100, SET_LATIN1}, {101, SET_LATIN2},  {109, SET_LATIN3},   {110, SET_LATIN4}, {126, SET_GREEK},
	{127, SET_ARABIC}, {138, SET_HEBREW},  {144, SET_CYRILLIC}, {148, SET_LATIN5}, {149, SET_KS_X1001},
	{159, SET_NONE},   {166, SET_THAI},    {192, SET_UTF8},     {203, SET_LATIN9},
};

/* Other terms, defined (GB18030, GBK) and not (names of other standards that files were seen to have). */
static const struct
{
	const char *name;
	uint8_t g1;
} named_sets[] = {
	{"GB18030", SET_GB18030},   {"GBK", SET_GBK},         {"GB2312", SET_GB2312},    {"UTF8", SET_UTF8},
	{"ASCII", SET_NONE},        {"USASCII", SET_NONE},    {"ISO646", SET_NONE},      {"LATIN1", SET_LATIN1},
	{"ISO88591", SET_LATIN1},   {"ISO88592", SET_LATIN2}, {"ISO88593", SET_LATIN3},  {"ISO88594", SET_LATIN4},
	{"ISO88595", SET_CYRILLIC}, {"ISO88596", SET_ARABIC}, {"ISO88597", SET_GREEK},   {"ISO88598", SET_HEBREW},
	{"ISO88599", SET_LATIN5},   {"ISO885911", SET_THAI},  {"ISO885915", SET_LATIN9}, {"TIS620", SET_THAI},
	{"SHIFTJIS", SET_KATAKANA}, {"SJIS", SET_KATAKANA},   {"EUCKR", SET_KS_X1001},
};

/* Escape sequences without their ESC: PS3.3 tables C.12-3 and C.12-4, and those of ISO 2022 for the same sets. */
static const struct
{
	const char *sequence;
	uint8_t set;
	bool in_g1;
} escapes[] = {
	{"(B", SET_ASCII, false},      {"(J", SET_ASCII, false},     {")I", SET_KATAKANA, true},
	{"(I", SET_KATAKANA, false},   {"-A", SET_LATIN1, true},     {"-B", SET_LATIN2, true},
	{"-C", SET_LATIN3, true},      {"-D", SET_LATIN4, true},     {"-F", SET_GREEK, true},
	{"-G", SET_ARABIC, true},      {"-H", SET_HEBREW, true},     {"-L", SET_CYRILLIC, true},
	{"-M", SET_LATIN5, true},      {"-T", SET_THAI, true},       {"-b", SET_LATIN9, true},
	{"$B", SET_JIS_X0208, false},  {"$@", SET_JIS_X0208, false}, {"$(B", SET_JIS_X0208, false},
	{"$(D", SET_JIS_X0212, false}, {"$)C", SET_KS_X1001, true},  {"$(C", SET_KS_X1001, false},
	{"$)A", SET_GB2312, true},     {"$A", SET_GB2312, false},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Upper case without blanks, underscores, hyphens and dots, in which misspellings of a term fall together. */
static void
normalize_term(const uint8_t *bytes, uint32_t length, char *name, size_t size)
{
	size_t used = 0;
	uint32_t i;

	for (i = 0; i < length && used < size - 1; i++)
	{
		uint8_t c = bytes[i];

		if (c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			name[used++] = (char) c;
	}
	name[used] = '\0';
}

static const char *
skip_prefix(const char *name, const char *prefix)
{
	size_t length = strlen(prefix);

	return strlen(name) > length && memcmp(name, prefix, length) == 0 ? name + length : name;
}

/* The number of a registration, 0 where the text is something else. */
static int
registration_number(const char *digits)
{
	int number = 0;

	if (strlen(digits) > 3)
		return 0;
	for (; *digits; digits++)
	{
		if (*digits < '0' || *digits > '9')
			return 0;
		number = number * 10 + (*digits - '0');
	}
	return number;
}

static bool
find_named(const char *name, uint8_t *g1)
{
	size_t i;

	for (i = 0; i < COUNT_OF(named_sets); i++)
		if (strcmp(named_sets[i].name, name) == 0)
		{
			*g1 = named_sets[i].g1;
			return true;
		}
	return false;
}

static bool
find_registered(int number, uint8_t *g1)
{
	size_t i;

	for (i = 0; i < COUNT_OF(registered_sets); i++)
		if (registered_sets[i].number == number)
		{
			*g1 = registered_sets[i].g1;
			return true;
		}
	return false;
}

/* The set that a term puts into G1 at the beginning; false for a term nobody knows. An empty term is ISO_IR 6. */
static bool
find_term(const uint8_t *bytes, uint32_t length, uint8_t *g1)
{
	char name[32];
	const char *rest;

	*g1 = SET_NONE;
	normalize_term(bytes, length, name, sizeof name);
	if (name[0] == '\0' || find_named(name, g1))
		return true;
	rest = skip_prefix(skip_prefix(name, "ISO"), "2022");
	return find_named(rest, g1) || find_registered(registration_number(skip_prefix(rest, "IR")), g1);
}

/*
 * Value 1 says what a text begins with. Where that leaves G1 empty, the first other term that fills it does so: in
 * valid files nothing is read in G1 before an escape, and files that forgot their escapes mean just that.
 */
struct charset_state
charset_initial_state(const uint8_t *terms, uint32_t length, int *unknown)
{
	struct charset_state state = {SET_ASCII, SET_NONE};
	const uint8_t *end;

	*unknown = 0;
	if (length == 0)
		return state;
	for (end = terms + length;;)
	{
		const uint8_t *stop = memchr(terms, '\\', end - terms);
		uint8_t g1;

		if (!stop)
			stop = end;
		if (!find_term(terms, stop - terms, &g1))
			(*unknown)++;
		if (state.g1 == SET_NONE)
			state.g1 = g1;
		if (stop == end)
			return state;
		terms = stop + 1;
	}
}

/* Length of what looks like an escape sequence: ESC, intermediate bytes, a final byte. A lone ESC has length 1. */
static uint32_t
escape_shape(const uint8_t *bytes, uint32_t length)
{
	uint32_t i = 1;

	while (i < length && i < 4 && bytes[i] >= 0x20 && bytes[i] <= 0x2F)
		i++;
	return i > 1 && i < length && bytes[i] >= 0x30 && bytes[i] <= 0x7E ? i + 1 : 1;
}

static struct charset_unit
read_escape(struct charset_state *state, const uint8_t *bytes, uint32_t length)
{
	struct charset_unit unit = {UNIT_STRAY, SET_NONE, escape_shape(bytes, length)};
	size_t i;

	for (i = 0; i < COUNT_OF(escapes); i++)
	{
		size_t size = strlen(escapes[i].sequence);

		if (unit.length != size + 1 || memcmp(bytes + 1, escapes[i].sequence, size) != 0)
			continue;
		unit.kind = UNIT_ESCAPE;
		/* By the letter of ISO 2022 G0 would stay as it is; writers leave a two-byte set in it by such an escape. */
		state->g0 = escapes[i].in_g1 ? SET_ASCII : escapes[i].set;
		if (escapes[i].in_g1)
			state->g1 = escapes[i].set;
		break;
	}
	return unit;
}

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* The same for GBK, and GB18030 with its characters of four bytes. */
static uint32_t
gb_length(enum charset_set set, const uint8_t *bytes, uint32_t length, bool *broken)
{
	*broken = true;
	if (bytes[0] < 0x81 || bytes[0] == 0xFF || length < 2)
		return 1;
	if (bytes[1] >= 0x40 && bytes[1] <= 0xFE && bytes[1] != 0x7F)
	{
		*broken = false;
		return 2;
	}
	if (set == SET_GB18030 && length >= 4 && is_digit(bytes[1]) && bytes[2] >= 0x81 && bytes[2] <= 0xFE &&
		is_digit(bytes[3]))
	{
		*broken = false;
		return 4;
	}
	return 1;
}

/* Katakana are one byte; a lead byte of Shift_JIS takes the next one with it. */
static uint32_t
katakana_length(const uint8_t *bytes, uint32_t length, bool *broken)
{
	bool lead = (bytes[0] >= 0x81 && bytes[0] <= 0x9F) || (bytes[0] >= 0xE0 && bytes[0] <= 0xEF);

	*broken = !(bytes[0] >= 0xA1 && bytes[0] <= 0xDF);
	if (!lead || length < 2 || bytes[1] < 0x40 || bytes[1] == 0x7F || bytes[1] > 0xFC)
		return 1;
	*broken = false;
	return 2;
}

/* A set of 94 x 94 characters, in G0 or G1. */
static uint32_t
double_length(const uint8_t *bytes, uint32_t length, bool *broken)
{
	uint8_t high = bytes[0] & 0x80;

	*broken = (bytes[0] & 0x7F) < 0x21 || (bytes[0] & 0x7F) == 0x7F || length < 2 ||
			  (bytes[1] & 0x80) != high || (bytes[1] & 0x7F) < 0x21 || (bytes[1] & 0x7F) == 0x7F;
	return *broken ? 1 : 2;
}

static struct charset_unit
read_character(enum charset_set set, const uint8_t *bytes, uint32_t length)
{
	struct charset_unit unit = {UNIT_CHARACTER, set, 1};
	bool broken = false;

	if (set == SET_UTF8)
		unit.length = (uint32_t) utf8_step(bytes, length, &broken);
	else if (set == SET_GBK || set == SET_GB18030)
		unit.length = gb_length(set, bytes, length, &broken);
	else if (set >= SET_JIS_X0208)
		unit.length = double_length(bytes, length, &broken);
	else if (set == SET_KATAKANA && bytes[0] >= 0x80)
		unit.length = katakana_length(bytes, length, &broken);
	if (broken)
		unit.kind = UNIT_BROKEN;
	return unit;
}

/* True for what ends the reach of an escape: PS3.5 §6.1.2.5.3. */
static bool
is_delimiter(enum dicom_text_kind kind, uint8_t c)
{
	switch (c)
	{
		case '\t':
		case '\n':
		case '\f':
		case '\r':
			return true;
		case '\\':
			return kind != DICOM_TEXT_SINGLE;
		case '^':
		case '=':
			return kind == DICOM_TEXT_PERSON;
		default:
			return false;
	}
}

struct charset_unit
charset_next_unit(struct charset_state *state, struct charset_state initial, enum dicom_text_kind kind,
				  const uint8_t *bytes, uint32_t length)
{
	struct charset_unit unit = {UNIT_PLAIN, SET_ASCII, 1};
	uint8_t c = bytes[0];

	if (c == ESC)
		return read_escape(state, bytes, length);
	if (c >= 0x80)
		return read_character((enum charset_set) state->g1, bytes, length);
	if (c > 0x20 && c < 0x7F && state->g0 != SET_ASCII)
	{
		unit = read_character((enum charset_set) state->g0, bytes, length);
		if (unit.kind == UNIT_CHARACTER || !is_delimiter(kind, c))
			return unit;
		unit.kind =
			UNIT_PLAIN; /* half a character that is a delimiter: the escape back to ASCII was forgotten */
	}
	if (is_delimiter(kind, c))
	{
		*state = initial;
		if (c == '\\')
			unit.kind = UNIT_SEPARATOR;
	}
	return unit;
}
