/*
 * test_charset.c
 *	  Character sets: every defined term, the escapes of ISO 2022, and what is left of broken texts.
 */
#include <stdlib.h>

#include "dicom/charset.h"
#include "unit.h"

/* Converts a literal that may hold NULs; the result is valid until the next call. */
#define CONVERT(terms, kind, text) convert(terms, sizeof(terms) - 1, kind, text, sizeof(text) - 1)

static uint32_t replaced;

static const char *
convert(const char *terms, uint32_t terms_length, enum dicom_text_kind kind, const char *text,
		uint32_t length)
{
	static struct dicom_buffer out;
	struct dicom_charset_cache cache = {0};
	struct dicom_charset *charset = dicom_charset_open(&cache, (const uint8_t *) terms, terms_length);
	uint8_t *copy = malloc(length + 1); /* so that reading too far is seen */

	memcpy(copy, text, length);
	dicom_buffer_reset(&out);
	dicom_buffer_append_string(&out, "");
	copy = realloc(copy, length ? length : 1);
	replaced = dicom_charset_to_utf8(charset, kind, copy, length, &out);
	dicom_charset_cache_close(&cache);
	free(copy);
	return out.data ? out.data : "";
}

static int
unknown_terms(const char *terms)
{
	struct dicom_charset_cache cache = {0};
	struct dicom_charset *charset = dicom_charset_open(&cache, (const uint8_t *) terms, strlen(terms));
	int count = dicom_charset_unknown_terms(charset);

	dicom_charset_cache_close(&cache);
	return count;
}

/* The character that 0xE4 (or 0xB1 in Hebrew, Thai, Katakana) is, tells which set a term chose. */
UNIT_TEST(charset_single_byte_terms)
{
	CHECK_STRING(CONVERT("ISO_IR 100", DICOM_TEXT_MULTI, "\xE4"), "ä");
	CHECK_STRING(CONVERT("ISO_IR 101", DICOM_TEXT_MULTI, "\xB1"), "ą");
	CHECK_STRING(CONVERT("ISO_IR 109", DICOM_TEXT_MULTI, "\xB1"), "ħ");
	CHECK_STRING(CONVERT("ISO_IR 110", DICOM_TEXT_MULTI, "\xB3"), "ŗ");
	CHECK_STRING(CONVERT("ISO_IR 144", DICOM_TEXT_MULTI, "\xE4"), "ф");
	CHECK_STRING(CONVERT("ISO_IR 127", DICOM_TEXT_MULTI, "\xE4"), "ل");
	CHECK_STRING(CONVERT("ISO_IR 126", DICOM_TEXT_MULTI, "\xE4"), "δ");
	CHECK_STRING(CONVERT("ISO_IR 138", DICOM_TEXT_MULTI, "\xE4"), "ה");
	CHECK_STRING(CONVERT("ISO_IR 148", DICOM_TEXT_MULTI, "\xF0"), "ğ");
	CHECK_STRING(CONVERT("ISO_IR 166", DICOM_TEXT_MULTI, "\xE4"), "ไ");
	CHECK_STRING(CONVERT("ISO_IR 203", DICOM_TEXT_MULTI, "\xA4"), "€");
	CHECK_STRING(CONVERT("ISO_IR 13", DICOM_TEXT_MULTI, "\xD4\xCF\xC0\xDE"), "ﾔﾏﾀﾞ");
	CHECK_STRING(CONVERT("ISO 2022 IR 13", DICOM_TEXT_MULTI, "\xB1"), "ｱ");
	CHECK(replaced == 0);
}

UNIT_TEST(charset_multi_byte_terms)
{
	CHECK_STRING(
		CONVERT("ISO_IR 192", DICOM_TEXT_PERSON, "Wang^XiaoDong=\xE7\x8E\x8B^\xE5\xB0\x8F\xE6\x9D\xB1="),
		"Wang^XiaoDong=王^小東=");
	CHECK_STRING(CONVERT("GB18030", DICOM_TEXT_PERSON, "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB="),
				 "Wang^XiaoDong=王^小东=");
	CHECK_STRING(CONVERT("GB18030", DICOM_TEXT_MULTI, "\x81\x30\x81\x30\x95\x32\x82\x36"),
				 "\xC2\x80\xF0\xA0\x80\x80");
	CHECK_STRING(CONVERT("GBK", DICOM_TEXT_MULTI, "\xCD\xF5\x96\x7C"), "王東");
	CHECK_STRING(CONVERT("ISO 2022 IR 149", DICOM_TEXT_MULTI, "\xB1\xE8"), "김");
	CHECK_STRING(CONVERT("ISO 2022 IR 58", DICOM_TEXT_MULTI, "\xD5\xC5"), "张");
	CHECK(replaced == 0);
}

/* PS3.5 annexes H, I, K: the names that the standard itself spells out in bytes. */
UNIT_TEST(charset_names_of_the_standard)
{
	CHECK_STRING(
		CONVERT("\\ISO 2022 IR 87", DICOM_TEXT_PERSON,
				"Yamada^Tarou=\033$B;3ED\033(B^\033$BB@O:\033(B=\033$B$d$^$@\033(B^\033$B$?$m$&\033(B"),
		"Yamada^Tarou=山田^太郎=やまだ^たろう");
	CHECK_STRING(CONVERT("ISO 2022 IR 13\\ISO 2022 IR 87", DICOM_TEXT_PERSON,
						 "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\033$B;3ED\033(J^\033$BB@O:\033(J="
						 "\033$B$d$^$@\033(J^\033$B$?$m$&\033(J"),
				 "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう");
	CHECK_STRING(
		CONVERT(
			"\\ISO 2022 IR 149", DICOM_TEXT_PERSON,
			"Hong^Gildong=\033$)C\xFB\xF3^\033$)C\xD1\xCE\xD4\xD7=\033$)C\xC8\xAB^\033$)C\xB1\xE6\xB5\xBF"),
		"Hong^Gildong=洪^吉洞=홍^길동");
	CHECK_STRING(CONVERT("\\ISO 2022 IR 58", DICOM_TEXT_PERSON,
						 "Zhang^XiaoDong=\033$)A\xD5\xC5^\033$)A\xD0\xA1\xB6\xAB="),
				 "Zhang^XiaoDong=张^小东=");
	CHECK(replaced == 0);
}

UNIT_TEST(charset_escapes)
{
	CHECK_STRING(CONVERT("ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126", DICOM_TEXT_PERSON,
						 "Dionysios^J\xE9r\xF4me=\033-L\xBB\xEE\xDA^\033-F\xC4\xE9\xEF\xED"),
				 "Dionysios^Jérôme=Люк^Διον");
	CHECK_STRING(CONVERT("\\ISO 2022 IR 87\\ISO 2022 IR 159", DICOM_TEXT_MULTI, "\033$(D0!\033$B0!\033(Ba"),
				 "丂亜a");
	CHECK_STRING(CONVERT("\\ISO 2022 IR 13", DICOM_TEXT_MULTI, "\033)I\xB1\033(J~\\"), "ｱ~\\");
	CHECK_STRING(CONVERT("ISO 2022 IR 100\\ISO 2022 IR 87", DICOM_TEXT_MULTI, "\033$B;3\033-Aab"), "山ab");
	CHECK_STRING(CONVERT("ISO 2022 IR 6\\ISO 2022 IR 203", DICOM_TEXT_MULTI, "\033-b\xA4"), "€");
	CHECK_STRING(CONVERT("", DICOM_TEXT_MULTI, "\033$B;3ED\033(B"),
				 "山田"); /* declared nowhere, and plain all the same */
	CHECK(replaced == 0);
	CHECK_STRING(CONVERT("ISO_IR 100", DICOM_TEXT_MULTI, "a\033b\033(Zc\033"), "abc");
	CHECK(replaced == 3);
}

/* PS3.5 §6.1.2.5.3 */
UNIT_TEST(charset_resets_at_delimiters)
{
	static const char terms[] = "ISO 2022 IR 100\\ISO 2022 IR 144";

	CHECK_STRING(CONVERT(terms, DICOM_TEXT_MULTI, "\033-L\xE4\\\xE4"), "ф\\ä");
	CHECK_STRING(CONVERT(terms, DICOM_TEXT_SINGLE, "\033-L\xE4\\\xE4"), "ф\\ф");
	CHECK_STRING(CONVERT(terms, DICOM_TEXT_MULTI, "\033-L\xE4^\xE4=\xE4"), "ф^ф=ф");
	CHECK_STRING(CONVERT(terms, DICOM_TEXT_PERSON, "\033-L\xE4^\xE4"), "ф^ä");
	CHECK_STRING(CONVERT(terms, DICOM_TEXT_PERSON, "\033-L\xE4=\xE4"), "ф=ä");
	CHECK_STRING(CONVERT(terms, DICOM_TEXT_SINGLE, "\033-L\xE4\r\n\xE4"), "ф\r\nä");
	CHECK_STRING(CONVERT(terms, DICOM_TEXT_SINGLE, "\033-L\xE4\f\xE4"), "ф\fä");
	CHECK_STRING(CONVERT(terms, DICOM_TEXT_SINGLE, "\033-L\xE4\t\xE4"), "ф\tä");
	CHECK_STRING(CONVERT("\\ISO 2022 IR 87", DICOM_TEXT_PERSON, "\033$B;3ED^\033$B;3"), "山田^山");
	CHECK(replaced == 0);
}

/* 0x5C, 0x5E and 0x3D are bytes of two-byte characters too. */
UNIT_TEST(charset_delimiters_inside_characters)
{
	struct dicom_charset_cache cache = {0};
	struct dicom_charset *charset = dicom_charset_open(&cache, (const uint8_t *) "GBK", 3);
	static const uint8_t text[] = "\x81\x5C\x81\x5E\\b";
	struct dicom_buffer out = {0};
	uint32_t count = 0;

	CHECK(dicom_charset_value_to_utf8(charset, DICOM_TEXT_MULTI, text, 6, &out, &count) == 4);
	CHECK_TEXT(out.data, out.length, "乗乛");
	CHECK(dicom_charset_count_values((const uint8_t *) "GBK", 3, DICOM_TEXT_MULTI, text, 6) == 2);
	CHECK(dicom_charset_count_values(NULL, 0, DICOM_TEXT_MULTI, text, 6) == 3);
	CHECK_STRING(CONVERT("\\ISO 2022 IR 87", DICOM_TEXT_PERSON, "\033$B\x5C\x5E=\x5C\033(B"), "權旬");
	CHECK(count == 0);
	dicom_buffer_free(&out);
	dicom_charset_cache_close(&cache);
}

UNIT_TEST(charset_misspelt_terms)
{
	static const char *const latin[] = {"ISO_IR 100",      "ISO IR 100",   "ISO-IR 100", "ISO_IR_100",
										"ISO 2022 IR 100", "ISO2022IR100", "iso_ir 100", " ISO_IR 100 ",
										"ISO_2022_IR_100", "ISO 2022 100", "ISO 8859-1", "latin1"};
	size_t i;

	for (i = 0; i < sizeof latin / sizeof latin[0]; i++)
	{
		CHECK(unknown_terms(latin[i]) == 0);
		CHECK_STRING(convert(latin[i], strlen(latin[i]), DICOM_TEXT_MULTI, "\xE4", 1), "ä");
		CHECK(replaced == 0);
	}
	CHECK(unknown_terms("") == 0);
	CHECK(unknown_terms("\\ISO 2022 IR 87\\ISO 2022 IR 159") == 0);
	CHECK(unknown_terms("ISO_IR 6") == 0 && unknown_terms("ISO 2022 GBK") == 0 &&
		  unknown_terms("ISO 2022 58") == 0);
	CHECK(unknown_terms("ISO_IR 999\\KLINGON\\ISO_IR") == 3);
}

UNIT_TEST(charset_default_repertoire)
{
	CHECK_STRING(CONVERT("", DICOM_TEXT_MULTI, "plain"), "plain");
	CHECK(replaced == 0);
	CHECK_STRING(CONVERT("", DICOM_TEXT_MULTI, "J\xE9r\xF4me"), "Jérôme");
	CHECK(replaced == 2);
	CHECK_STRING(CONVERT("\\ISO 2022 IR 149", DICOM_TEXT_MULTI, "\xB1\xE8"),
				 "김"); /* the escape was forgotten */
}

UNIT_TEST(charset_broken_bytes)
{
	CHECK_STRING(
		CONVERT("ISO_IR 192", DICOM_TEXT_MULTI, "a\xC3(\xE7\x8E|\xFF\xED\xA0\x80\xC0\x80\xF4\x90\x80\x80"),
		"a�(�|����������");
	CHECK(replaced == 12);
	CHECK_STRING(CONVERT("GB18030", DICOM_TEXT_MULTI, "\x81"), "�");
	CHECK(replaced == 1);
	CHECK_STRING(CONVERT("ISO 2022 IR 149", DICOM_TEXT_MULTI, "\xB1 x\xB1"), "� x�");
	CHECK(replaced == 2);
	CHECK_STRING(CONVERT("ISO_IR 127", DICOM_TEXT_MULTI, "\xA1"), "�");
	CHECK_STRING(CONVERT("\\ISO 2022 IR 87", DICOM_TEXT_MULTI, "\033$B;"), "�");
	CHECK_STRING(CONVERT("ISO_IR 13", DICOM_TEXT_MULTI, "\xE0\xA0\x88\xB1\xFD"), "燿鯵�");
}

UNIT_TEST(charset_nul_bytes)
{
	CHECK_STRING(CONVERT("ISO_IR 100", DICOM_TEXT_MULTI, "a\0\\b\0 "), "a\\b ");
	CHECK(replaced == 0);
	CHECK_STRING(CONVERT("ISO_IR 100", DICOM_TEXT_MULTI, "a\0b"), "a�b");
	CHECK(replaced == 1);
	CHECK_STRING(CONVERT("ISO_IR 100", DICOM_TEXT_SINGLE, "a\0\\b"), "a�\\b");
}

UNIT_TEST(charset_cache)
{
	struct dicom_charset_cache cache = {0};
	struct dicom_charset *first = dicom_charset_open(&cache, (const uint8_t *) "ISO_IR 100", 10);
	char term[16];
	int i;

	CHECK(dicom_charset_open(&cache, (const uint8_t *) "ISO_IR 100", 10) == first);
	CHECK(dicom_charset_open(&cache, NULL, 0) != first);
	for (i = 0; i < 20; i++)
	{
		snprintf(term, sizeof term, "ISO_IR %d", i);
		CHECK(dicom_charset_open(&cache, (const uint8_t *) term, strlen(term)) != NULL);
	}
	dicom_charset_cache_close(&cache);
	dicom_charset_cache_close(&cache);
}

UNIT_TEST(charset_is_plain)
{
	CHECK(dicom_charset_is_plain(NULL, 0));
	CHECK(dicom_charset_is_plain((const uint8_t *) "PLAIN^TEXT 0123456789", 21));
	CHECK(!dicom_charset_is_plain((const uint8_t *) "0123456\xE4", 8));
	CHECK(!dicom_charset_is_plain((const uint8_t *) "01234567\xE4", 9));
	CHECK(!dicom_charset_is_plain((const uint8_t *) "01\0", 3));
	CHECK(!dicom_charset_is_plain((const uint8_t *) "0123456789\033(B", 13));
}
