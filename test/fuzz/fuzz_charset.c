/*
 * fuzz_charset.c
 *	  Any text in any character set becomes valid UTF-8 without NULs; cut into values it has the number that counting says.
 *
 *	  Input: kind of text, length of the terms, the terms, the text. Terms that begin with a digit choose a defined one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/charset.h"
#include "utf8_check.h"

static const char *const defined_terms[] = {"ISO_IR 13",
											"ISO_IR 166",
											"ISO_IR 192",
											"GB18030",
											"GBK",
											"\\ISO 2022 IR 87",
											"\\ISO 2022 IR 149",
											"\\ISO 2022 IR 58",
											"ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
											"ISO 2022 IR 100\\ISO 2022 IR 144"};

static void
require(int holds)
{
	if (!holds)
		abort();
}

static uint32_t
convert_by_value(struct dicom_charset *charset, enum dicom_text_kind kind, const uint8_t *text,
				 uint32_t length, struct dicom_buffer *out)
{
	uint32_t replaced = 0;
	uint32_t count = 1;
	uint32_t used = dicom_charset_value_to_utf8(charset, kind, text, length, out, &replaced);

	while (used < length)
	{
		require(text[used] == '\\');
		dicom_buffer_append_char(out, '\\');
		used++;
		used += dicom_charset_value_to_utf8(charset, kind, text + used, length - used, out, &replaced);
		count++;
	}
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dicom_charset_cache cache;
	struct dicom_buffer whole = {0};
	struct dicom_buffer pieces = {0};
	enum dicom_text_kind kind;
	struct dicom_charset *charset;
	const uint8_t *terms;
	uint32_t terms_length;

	if (size < 3)
		return 0;
	kind = (enum dicom_text_kind)(data[0] % 3);
	terms_length = data[1] % (size - 1);
	terms = data + 2;
	data += 2 + terms_length;
	size -= 2 + terms_length;
	if (terms_length > 0 && terms[0] >= '0' && terms[0] <= '9')
	{
		const char *term = defined_terms[terms[0] - '0'];

		terms = (const uint8_t *) term;
		terms_length = (uint32_t) strlen(term);
	}
	charset = dicom_charset_open(&cache, terms, terms_length);
	dicom_charset_to_utf8(charset, kind, data, (uint32_t) size, &whole);
	require(utf8_is_valid(whole.data, whole.length));
	if (kind != DICOM_TEXT_SINGLE && size > 0)
	{
		uint32_t count = convert_by_value(charset, kind, data, (uint32_t) size, &pieces);

		require(count == dicom_charset_count_values(terms, terms_length, kind, data, (uint32_t) size));
		require(whole.length == pieces.length && memcmp(whole.data, pieces.data, whole.length) == 0);
	}
	dicom_buffer_free(&whole);
	dicom_buffer_free(&pieces);
	return 0;
}
