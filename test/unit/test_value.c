/*
 * test_value.c
 *	  Values of elements: padding, characters sets and their inheritance, numbers, one by one and as text.
 */
#include "dicom/value.h"
#include "make_dataset.h"

#define PRIVATE_TAG 0x00091001 /* in a block whose creator nobody knows: read by the VR that is written */

static struct dicom_buffer text;

/* The whole text of an element, "(none)" where it has none. */
static const char *
text_of(const struct made *made, const struct dicom_element *element)
{
	struct dicom_values values = {0};
	bool has_text;

	dicom_buffer_reset(&text);
	dicom_buffer_append_string(&text, "");
	has_text = element && dicom_value_text(&values, &made->dataset, element, &text);
	dicom_values_close(&values);
	return has_text ? text.data ? text.data : "" : "(none)";
}

/* The values one by one, each in brackets. */
static const char *
list_of(const struct made *made, const struct dicom_element *element)
{
	struct dicom_values values = {0};
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;

	dicom_buffer_reset(&text);
	dicom_buffer_append_string(&text, "");
	while (dicom_value_next(&values, &made->dataset, element, &cursor, &value))
	{
		dicom_buffer_append_char(&text, '[');
		if (value.kind == DICOM_VALUE_TEXT)
			dicom_buffer_append(&text, value.text, value.length);
		else if (value.kind == DICOM_VALUE_SIGNED)
			dicom_buffer_printf(&text, "%lld", (long long) value.number.as_signed);
		else if (value.kind == DICOM_VALUE_UNSIGNED)
			dicom_buffer_printf(&text, "%llu", (unsigned long long) value.number.as_unsigned);
		else
			dicom_append_real(&text, value.number.real, value.single_precision);
		dicom_buffer_append_char(&text, ']');
	}
	CHECK(!dicom_value_next(&values, &made->dataset, element, &cursor, &value));
	CHECK(cursor.index == dicom_value_count(&made->dataset, element));
	dicom_values_close(&values);
	return text.data;
}

/* Checks text and values of one element with the given bytes. */
static void
check_bytes(const char *vr, const char *bytes, size_t length, const char *want_text, const char *want_list,
			int line)
{
	struct made made = {0};
	const struct dicom_element *element;
	const char *got;

	make_bytes(&made, PRIVATE_TAG, vr, bytes, length);
	make_done(&made);
	element = dicom_dataset_find(&made.dataset, PRIVATE_TAG);
	got = text_of(&made, element);
	unit_check_string(got, strlen(got), want_text, __FILE__, line);
	got = element ? list_of(&made, element) : "";
	unit_check_string(got, strlen(got), want_list, __FILE__, line);
	make_free(&made);
}

#define CHECK_BYTES(vr, bytes, text, list) check_bytes(vr, bytes, sizeof(bytes) - 1, text, list, __LINE__)

UNIT_TEST(value_padding)
{
	CHECK_BYTES("LO", "abc ", "abc", "[abc]");
	CHECK_BYTES("LO", " abc\0", " abc", "[ abc]");
	CHECK_BYTES("LO", "a \\ b \\c\0", "a\\ b\\c", "[a][ b][c]");
	CHECK_BYTES("SH", "a\0\\b\0", "a\\b", "[a][b]");
	CHECK_BYTES("CS", "A \\B ", "A\\B", "[A][B]");
	CHECK_BYTES("DS", " 1.50\\ -2 \\+3 ", "1.50\\-2\\+3", "[1.50][-2][+3]");
	CHECK_BYTES("IS", " 7", "7", "[7]");
	CHECK_BYTES("UI", "1.2.3\0", "1.2.3", "[1.2.3]");
	CHECK_BYTES("UI", "1.2\0\\1.3 ", "1.2\\1.3", "[1.2][1.3]");
	CHECK_BYTES("AE", " STATION ", "STATION", "[STATION]");
	CHECK_BYTES("PN", "a^b=c= ", "a^b=c", "[a^b=c]");
	CHECK_BYTES("PN", "a==\\^^=b=", "a\\^^=b", "[a][^^=b]");
	CHECK_BYTES("PN", "^^^^", "^^^^", "[^^^^]");
}

UNIT_TEST(value_empty)
{
	CHECK_BYTES("LO", "", "", "");
	CHECK_BYTES("LO", "  ", "", "");
	CHECK_BYTES("LO", "\0\0", "", "");
	CHECK_BYTES("LO", "\\ ", "\\", "[][]");
	CHECK_BYTES("LO", "a\\\\b", "a\\\\b", "[a][][b]");
	CHECK_BYTES("DS", "1\\ \\", "1\\\\", "[1][][]");
	CHECK_BYTES("PN", "= ", "", "[]");
	CHECK_BYTES("US", "", "", "");
}

UNIT_TEST(value_single_texts)
{
	CHECK_BYTES("ST", " a\\b ", " a\\b", "[ a\\b]");
	CHECK_BYTES("LT", "a\r\nb\\c", "a\r\nb\\c", "[a\r\nb\\c]");
	CHECK_BYTES("UT", "\\", "\\", "[\\]");
	CHECK_BYTES("UR", "http://host/a\\b", "http://host/a\\b", "[http://host/a\\b]");
	CHECK_BYTES("UC", "a\\b ", "a\\b", "[a][b]");
}

UNIT_TEST(value_numbers)
{
	CHECK_BYTES("US", "\1\0\xFF\xFF", "1\\65535", "[1][65535]");
	CHECK_BYTES("SS", "\1\0\xFF\xFF", "1\\-1", "[1][-1]");
	CHECK_BYTES("UL", "\xFF\xFF\xFF\xFF", "4294967295", "[4294967295]");
	CHECK_BYTES("SL", "\xFE\xFF\xFF\xFF", "-2", "[-2]");
	CHECK_BYTES("UV", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "18446744073709551615", "[18446744073709551615]");
	CHECK_BYTES("SV", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "-1", "[-1]");
	CHECK_BYTES("FL", "\xCD\xCC\xCC\x3D", "0.1", "[0.1]");
	CHECK_BYTES("FD", "\x9A\x99\x99\x99\x99\x99\xB9\x3F", "0.1", "[0.1]");
	CHECK_BYTES("AT", "\x10\x00\x20\x00\xE0\x7F\x10\x00", "00100020\\7FE00010", "[00100020][7FE00010]");
	CHECK_BYTES("UL", "\1\0\0\0\2\0", "1", "[1]");
	CHECK_BYTES("US", "\1 ", "8193", "[8193]");
}

UNIT_TEST(value_bytes_have_no_text)
{
	struct made made = {0};
	const struct dicom_element *element;

	make_bytes(&made, PRIVATE_TAG, "OB", "ab", 2);
	make_done(&made);
	element = dicom_dataset_find(&made.dataset, PRIVATE_TAG);
	CHECK_STRING(text_of(&made, element), "(none)");
	CHECK(dicom_value_count(&made.dataset, element) == 1);
	make_free(&made);
}

UNIT_TEST(value_big_endian)
{
	struct made made = {.big_endian = true};

	make_number_element(&made, 0x00280010, "US", 512, 2);
	make_number_element(&made, 0x00280106, "SS", 0xFFFE, 2);
	make_number_element(&made, PRIVATE_TAG + 0x00200000, "FL", 0x3DCCCCCD, 4);
	make_header(&made, 0x00280009, "AT", 4);
	make_tag(&made, 0x00181063);
	make_done(&made);
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00280010)), "512");
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00280106)), "-2");
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, PRIVATE_TAG + 0x00200000)), "0.1");
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00280009)), "00181063");
	make_free(&made);
}

UNIT_TEST(value_of_unknown_vr)
{
	struct made made = {0};

	MAKE_TEXT(&made, 0x00100010, "UN", "A^B ");
	MAKE_TEXT(&made, 0x00280010, "UN", "\0\2");
	MAKE_TEXT(&made, 0x00290010, "UN", "CREATOR ");
	MAKE_TEXT(&made, 0x00291001, "UN", "ab");
	make_done(&made);
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00100010)), "A^B");
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00280010)), "512");
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00290010)), "CREATOR");
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00291001)), "(none)");
	make_free(&made);
}

/* The VR of SmallestImagePixelValue depends on PixelRepresentation, which may stand in an item around. */
UNIT_TEST(value_signed_by_pixel_representation)
{
	struct made made = {0};
	const struct dicom_element *items;

	make_number_element(&made, 0x00280103, "US", 1, 2);
	MAKE_TEXT(&made, 0x00280106, "UN", "\xFF\xFF");
	make_sequence(&made, 0x00409096);
	make_item(&made);
	make_number_element(&made, 0x00280103, "US", 0, 2);
	MAKE_TEXT(&made, 0x00280106, "UN", "\xFF\xFF");
	make_end_of_item(&made);
	make_item(&made);
	MAKE_TEXT(&made, 0x00280106, "UN", "\xFF\xFF");
	make_end_of_item(&made);
	make_end_of_sequence(&made);
	make_done(&made);
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00280106)), "-1");
	items = dicom_dataset_find(&made.dataset, 0x00409096) + 1;
	CHECK_STRING(text_of(&made, dicom_dataset_find_in(&made.dataset, items, 0x00280106, NULL)), "65535");
	items = &made.dataset.elements[items->next];
	CHECK_STRING(text_of(&made, dicom_dataset_find_in(&made.dataset, items, 0x00280106, NULL)), "-1");
	CHECK(dicom_value_count(&made.dataset, dicom_dataset_find(&made.dataset, 0x00409096)) == 2);
	make_free(&made);
}

/* PS3.5 §7.5.3: an item without SpecificCharacterSet has that of the data set around it. */
UNIT_TEST(value_character_set_of_items)
{
	struct made made = {0};
	const struct dicom_element *item;

	MAKE_TEXT(&made, 0x00080005, "CS", "ISO_IR 144");
	MAKE_TEXT(&made, 0x00081030, "LO", "\xE4");
	make_sequence(&made, 0x00081140);
	make_item(&made);
	MAKE_TEXT(&made, 0x00081030, "LO", "\xE4");
	make_end_of_item(&made);
	make_item(&made);
	MAKE_TEXT(&made, 0x00080005, "CS", "ISO_IR 100");
	make_sequence(&made, 0x00081140);
	make_item(&made);
	MAKE_TEXT(&made, 0x00081030, "LO", "\xE4");
	make_end_of_item(&made);
	make_end_of_sequence(&made);
	make_end_of_item(&made);
	make_end_of_sequence(&made);
	make_done(&made);
	CHECK_STRING(text_of(&made, dicom_dataset_find(&made.dataset, 0x00081030)), "ф");
	item = dicom_dataset_find(&made.dataset, 0x00081140) + 1;
	CHECK_STRING(text_of(&made, dicom_dataset_find_in(&made.dataset, item, 0x00081030, NULL)), "ф");
	item = dicom_dataset_find_in(&made.dataset, &made.dataset.elements[item->next], 0x00081140, NULL) + 1;
	CHECK_STRING(text_of(&made, dicom_dataset_find_in(&made.dataset, item, 0x00081030, NULL)), "ä");
	make_free(&made);
}

UNIT_TEST(value_delimiters_inside_characters)
{
	struct made made = {0};
	const struct dicom_element *element;

	MAKE_TEXT(&made, 0x00080005, "CS", "GB18030");
	MAKE_TEXT(&made, 0x00081030, "LO", "\x81\x5C\\b\\\x81\x5C ");
	make_done(&made);
	element = dicom_dataset_find(&made.dataset, 0x00081030);
	CHECK_STRING(text_of(&made, element), "乗\\b\\乗");
	CHECK_STRING(list_of(&made, element), "[乗][b][乗]");
	make_free(&made);
}

UNIT_TEST(value_counts_replacements)
{
	struct made made = {0};
	struct dicom_values values = {0};

	MAKE_TEXT(&made, 0x00080005, "CS", "ISO_IR 192");
	MAKE_TEXT(&made, 0x00081030, "LO", "\xFF\\\xFE ");
	make_done(&made);
	dicom_buffer_reset(&text);
	CHECK(dicom_value_text(&values, &made.dataset, dicom_dataset_find(&made.dataset, 0x00081030), &text));
	CHECK_TEXT(text.data, text.length, "�\\�");
	CHECK(values.replaced == 2);
	dicom_values_close(&values);
	make_free(&made);
}

/* Many values are read in one pass, not in one pass each. */
UNIT_TEST(value_many)
{
	struct made made = {0};
	struct dicom_values values = {0};
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;
	struct dicom_buffer many = {0};
	uint32_t count = 0;

	while (count++ < 15000)
		dicom_buffer_append_string(&many, "1.5\\");
	make_bytes(&made, PRIVATE_TAG, "DS", many.data, many.length - 1);
	make_done(&made);
	for (count = 0; dicom_value_next(&values, &made.dataset, dicom_dataset_find(&made.dataset, PRIVATE_TAG),
									 &cursor, &value);)
		count += value.length == 3;
	CHECK(count == 15000);
	dicom_buffer_free(&many);
	dicom_values_close(&values);
	make_free(&made);
}
