/*
 * charset.c
 *	  Text of a SpecificCharacterSet to UTF-8. Cutting a text into characters is charset_terms.c's; here they are
 *	  converted.
 */
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "charset_sets.h"

#define NOT_OPEN ((iconv_t) -2)
#define FAILED   ((iconv_t) -1)

struct dicom_charset
{
	struct charset_state initial;
	int unknown;
	iconv_t handles[SET_COUNT]; /* opened when a character of the set is met; NOT_OPEN, FAILED */
	uint32_t length;
	uint8_t terms[]; /* the value that it was opened for */
};

/* Encodings of iconv without state; NULL where no conversion is needed. JIS X 0208 and 0212 share one. */
static const char *const iconv_names[SET_COUNT] = {
	[SET_LATIN2] = "ISO-8859-2", [SET_LATIN3] = "ISO-8859-3",  [SET_LATIN4] = "ISO-8859-4",
	[SET_LATIN5] = "ISO-8859-9", [SET_LATIN9] = "ISO-8859-15", [SET_CYRILLIC] = "ISO-8859-5",
	[SET_ARABIC] = "ISO-8859-6", [SET_GREEK] = "ISO-8859-7",   [SET_HEBREW] = "ISO-8859-8",
	[SET_THAI] = "TIS-620",      [SET_JIS_X0208] = "EUC-JP",   [SET_JIS_X0212] = "EUC-JP",
	[SET_KS_X1001] = "EUC-KR",   [SET_GB2312] = "EUC-CN",      [SET_GBK] = "GBK",
	[SET_GB18030] = "GB18030",
};

static void
charset_close(struct dicom_charset *charset)
{
	int i;

	if (!charset)
		return;
	for (i = 0; i < SET_COUNT; i++)
		if (charset->handles[i] != NOT_OPEN && charset->handles[i] != FAILED)
			iconv_close(charset->handles[i]);
	free(charset);
}

static struct dicom_charset *
charset_create(const uint8_t *terms, uint32_t length)
{
	struct dicom_charset *charset = malloc(sizeof *charset + length);
	int i;

	if (!charset)
		return NULL;
	charset->initial = charset_initial_state(terms, length, &charset->unknown);
	for (i = 0; i < SET_COUNT; i++)
		charset->handles[i] = NOT_OPEN;
	charset->length = length;
	if (length > 0)
		memcpy(charset->terms, terms, length);
	return charset;
}

static bool
is_open_for(const struct dicom_charset *charset, const uint8_t *terms, uint32_t length)
{
	return charset && charset->length == length &&
		   (length == 0 || memcmp(charset->terms, terms, length) == 0);
}

struct dicom_charset *
dicom_charset_open(struct dicom_charset_cache *cache, const uint8_t *term, uint32_t length)
{
	const int count = sizeof cache->sets / sizeof cache->sets[0];
	struct dicom_charset *charset;
	int i;

	for (i = 0; i < count; i++)
		if (is_open_for(cache->sets[i], term, length))
			return cache->sets[i];
	charset = charset_create(term, length);
	if (!charset)
		return NULL;
	charset_close(cache->sets[cache->next]);
	cache->sets[cache->next] = charset;
	cache->next = (cache->next + 1) % count;
	return charset;
}

void
dicom_charset_cache_close(struct dicom_charset_cache *cache)
{
	size_t i;

	for (i = 0; i < sizeof cache->sets / sizeof cache->sets[0]; i++)
		charset_close(cache->sets[i]);
	memset(cache, 0, sizeof *cache);
}

int
dicom_charset_unknown_terms(const struct dicom_charset *charset)
{
	return charset->unknown;
}

/* Appends a code point below U+10000. */
static void
append_code_point(struct dicom_buffer *out, uint32_t c)
{
	char bytes[3];
	size_t length = 0;

	if (c < 0x80)
		bytes[length++] = (char) c;
	else if (c < 0x800)
		bytes[length++] = (char) (0xC0 | c >> 6);
	else
	{
		bytes[length++] = (char) (0xE0 | c >> 12);
		bytes[length++] = (char) (0x80 | (c >> 6 & 0x3F));
	}
	if (c >= 0x80)
		bytes[length++] = (char) (0x80 | (c & 0x3F));
	dicom_buffer_append(out, bytes, length);
}

/* Appends U+FFFD; returns 1, the number of characters replaced. */
static uint32_t
append_replacement(struct dicom_buffer *out)
{
	append_code_point(out, 0xFFFD);
	return 1;
}

/* Writes a character as the encoding of iconv has it; returns its length. */
static size_t
external_form(enum charset_set set, const uint8_t *bytes, uint32_t length, char *form)
{
	size_t used = 0;
	uint32_t i;

	if (set == SET_JIS_X0212)
		form[used++] = (char) 0x8F;
	for (i = 0; i < length; i++)
		form[used++] = (char) (set >= SET_JIS_X0208 && set <= SET_GB2312 ? bytes[i] | 0x80 : bytes[i]);
	return used;
}

static iconv_t
handle_for(struct dicom_charset *charset, enum charset_set set)
{
	if (charset->handles[set] == NOT_OPEN)
		charset->handles[set] = iconv_names[set] ? iconv_open("UTF-8", iconv_names[set]) : FAILED;
	return charset->handles[set];
}

static uint32_t
append_converted(struct dicom_charset *charset, enum charset_set set, const uint8_t *bytes, uint32_t length,
				 struct dicom_buffer *out)
{
	iconv_t handle = handle_for(charset, set);
	char form[8];
	char utf8[16];
	char *from = form;
	char *to = utf8;
	size_t from_left = external_form(set, bytes, length, form);
	size_t to_left = sizeof utf8;

	if (handle == FAILED)
		return append_replacement(out);
	if (iconv(handle, &from, &from_left, &to, &to_left) == (size_t) -1 || from_left > 0)
	{
		iconv(handle, NULL, NULL, NULL, NULL);
		/* The control characters of C1 are in every set; TIS-620 alone is not told so. */
		if (length == 1 && bytes[0] >= 0x80 && bytes[0] < 0xA0)
			append_code_point(out, bytes[0]);
		else
			return append_replacement(out);
	}
	dicom_buffer_append(out, utf8, sizeof utf8 - to_left);
	return 0;
}

/* Halfwidth katakana stand in Unicode as in JIS X 0201; Shift_JIS is JIS X 0208 folded into other bytes. */
static uint32_t
append_katakana(struct dicom_charset *charset, const uint8_t *bytes, uint32_t length,
				struct dicom_buffer *out)
{
	uint8_t row = (bytes[0] < 0xA0 ? bytes[0] - 0x81 : bytes[0] - 0xC1) * 2 + 0x21;
	uint8_t jis[2];

	if (length == 1)
	{
		uint8_t c = bytes[0] & 0x7F;

		if (c < 0x21 || c > 0x5F)
			return append_replacement(out);
		append_code_point(out, 0xFF61 + (c - 0x21));
		return 0;
	}
	jis[0] = bytes[1] >= 0x9F ? row + 1 : row;
	jis[1] = bytes[1] >= 0x9F ? bytes[1] - 0x7E : bytes[1] - (bytes[1] > 0x7F ? 0x20 : 0x1F);
	return append_converted(charset, SET_JIS_X0208, jis, 2, out);
}

static uint32_t
append_character(struct dicom_charset *charset, struct charset_unit unit, const uint8_t *bytes,
				 struct dicom_buffer *out)
{
	switch (unit.set)
	{
		case SET_NONE:
		case SET_LATIN1:
			append_code_point(out, bytes[0]);
			return unit.set == SET_NONE;
		case SET_UTF8:
			dicom_buffer_append(out, bytes, unit.length);
			return 0;
		case SET_KATAKANA:
			return append_katakana(charset, bytes, unit.length, out);
		default:
			return append_converted(charset, unit.set, bytes, unit.length, out);
	}
}

/* NULs and blanks in a row, looked at once however many they are: padding where the value ends with them. */
struct blank_run
{
	const uint8_t *end;
	bool is_padding;
};

static bool
is_padding(struct blank_run *run, enum dicom_text_kind kind, const uint8_t *bytes, const uint8_t *end)
{
	if (bytes >= run->end)
	{
		while (bytes < end && (*bytes == '\0' || *bytes == ' '))
			bytes++;
		run->end = bytes;
		run->is_padding = bytes == end || (*bytes == '\\' && kind != DICOM_TEXT_SINGLE);
	}
	return run->is_padding;
}

static uint32_t
append_unit(struct dicom_charset *charset, enum dicom_text_kind kind, struct charset_unit unit,
			struct blank_run *blanks, const uint8_t *bytes, const uint8_t *end, struct dicom_buffer *out)
{
	switch (unit.kind)
	{
		case UNIT_PLAIN:
			if (bytes[0] == '\0')
				return is_padding(blanks, kind, bytes, end) ? 0 : append_replacement(out);
			/* FALLTHROUGH */
		case UNIT_SEPARATOR:
			dicom_buffer_append_char(out, (char) bytes[0]);
			return 0;
		case UNIT_CHARACTER:
			return append_character(charset, unit, bytes, out);
		case UNIT_BROKEN:
			return append_replacement(out);
		case UNIT_ESCAPE:
			return 0;
		default:
			return 1;
	}
}

/* How many bytes of plain ASCII come next; a separator ends them where one is looked for. */
static size_t
plain_run(const uint8_t *bytes, const uint8_t *end, int separator)
{
	const uint8_t *p = bytes;

	while (p < end && *p < 0x80 && *p != '\0' && *p != 0x1B && *p != separator)
		p++;
	return p - bytes;
}

/* Converts to the end, or to the first separator of values if one is given; returns where it stopped. */
static const uint8_t *
convert(struct dicom_charset *charset, enum dicom_text_kind kind, int separator, const uint8_t *bytes,
		const uint8_t *end, struct dicom_buffer *out, uint32_t *replaced)
{
	struct charset_state state = charset->initial;
	struct blank_run blanks = {bytes};

	while (bytes < end)
	{
		struct charset_unit unit;

		/* In the initial state a delimiter changes nothing, so that whole runs can be copied. */
		if (state.g0 == SET_ASCII && state.g1 == charset->initial.g1)
		{
			size_t run = plain_run(bytes, end, separator);

			dicom_buffer_append(out, bytes, run);
			bytes += run;
			if (bytes == end)
				break;
		}
		unit = charset_next_unit(&state, charset->initial, kind, bytes, end - bytes);
		if (unit.kind == UNIT_SEPARATOR && separator >= 0)
			break;
		*replaced += append_unit(charset, kind, unit, &blanks, bytes, end, out);
		bytes += unit.length;
	}
	return bytes;
}

uint32_t
dicom_charset_to_utf8(struct dicom_charset *charset, enum dicom_text_kind kind, const uint8_t *bytes,
					  uint32_t length, struct dicom_buffer *out)
{
	uint32_t replaced = 0;

	if (length > 0)
		convert(charset, kind, -1, bytes, bytes + length, out, &replaced);
	return replaced;
}

uint32_t
dicom_charset_value_to_utf8(struct dicom_charset *charset, enum dicom_text_kind kind, const uint8_t *bytes,
							uint32_t length, struct dicom_buffer *out, uint32_t *replaced)
{
	if (length == 0)
		return 0;
	return convert(charset, kind, kind == DICOM_TEXT_SINGLE ? -1 : '\\', bytes, bytes + length, out,
				   replaced) -
		   bytes;
}

uint32_t
dicom_charset_count_values(const uint8_t *terms, uint32_t terms_length, enum dicom_text_kind kind,
						   const uint8_t *bytes, uint32_t length)
{
	int unknown;
	struct charset_state initial = charset_initial_state(terms, terms_length, &unknown);
	struct charset_state state = initial;
	uint32_t count = length > 0;

	while (length > 0)
	{
		struct charset_unit unit = charset_next_unit(&state, initial, kind, bytes, length);

		count += unit.kind == UNIT_SEPARATOR;
		bytes += unit.length;
		length -= unit.length;
	}
	return count;
}

bool
dicom_charset_is_plain(const uint8_t *bytes, uint32_t length)
{
	uint64_t word;
	uint32_t i = 0;

	for (; length - i >= sizeof word; i += sizeof word)
	{
		memcpy(&word, bytes + i, sizeof word);
		if (word & UINT64_C(0x8080808080808080))
			return false;
	}
	for (; i < length; i++)
		if (bytes[i] & 0x80)
			return false;
	return length == 0 || (!memchr(bytes, 0x1B, length) && !memchr(bytes, '\0', length));
}
