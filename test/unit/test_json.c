/*
 * test_json.c
 *	  The DICOM JSON Model: PS3.18 Annex F.
 */
#include "dicom/json.h"
#include "make_dataset.h"

#define PRIVATE_TAG 0x00091001

static struct dicom_buffer json;

static const char *
json_with(struct made *made, const struct dicom_json_options *options)
{
	struct dicom_values values = {0};

	dicom_buffer_reset(&json);
	CHECK(dicom_json_dataset(&values, &made->dataset, options, &json));
	dicom_values_close(&values);
	return json.data;
}

static const char *
json_of(struct made *made)
{
	return json_with(made, NULL);
}

/* Checks the object of one element with the given bytes, without its braces and key. */
static void
check_element(const char *vr, const char *bytes, size_t length, const char *want, int line)
{
	struct made made = {0};
	char whole[512];
	const char *got;

	make_bytes(&made, PRIVATE_TAG, vr, bytes, length);
	make_done(&made);
	got = json_of(&made);
	snprintf(whole, sizeof whole, "{\"00091001\":{\"vr\":\"%s\"%s}}", vr, want);
	unit_check_string(got, strlen(got), whole, __FILE__, line);
	make_free(&made);
}

#define CHECK_ELEMENT(vr, bytes, want) check_element(vr, bytes, sizeof(bytes) - 1, want, __LINE__)

UNIT_TEST(json_texts)
{
	CHECK_ELEMENT("LO", "abc ", ",\"Value\":[\"abc\"]");
	CHECK_ELEMENT("LO", "a\\\\b", ",\"Value\":[\"a\",null,\"b\"]");
	CHECK_ELEMENT("LO", "", "");
	CHECK_ELEMENT("LO", "  ", "");
	CHECK_ELEMENT("LT", "\"q\" \\ \r\n\t\x01\x7F",
				  ",\"Value\":[\"\\\"q\\\" \\\\ \\u000d\\n\\u0009\\u0001\x7F\"]");
	CHECK_ELEMENT("UI", "1.2.3\0", ",\"Value\":[\"1.2.3\"]");
	CHECK_ELEMENT("LO", "a\0b\xE4", ",\"Value\":[\"a�bä\"]");
}

UNIT_TEST(json_person_names)
{
	CHECK_ELEMENT("PN", "A^B", ",\"Value\":[{\"Alphabetic\":\"A^B\"}]");
	CHECK_ELEMENT("PN", "A=B=C",
				  ",\"Value\":[{\"Alphabetic\":\"A\",\"Ideographic\":\"B\",\"Phonetic\":\"C\"}]");
	CHECK_ELEMENT("PN", "==C", ",\"Value\":[{\"Phonetic\":\"C\"}]");
	CHECK_ELEMENT("PN", "A\\\\=B", ",\"Value\":[{\"Alphabetic\":\"A\"},null,{\"Ideographic\":\"B\"}]");
	CHECK_ELEMENT("PN", "A=B=C=D",
				  ",\"Value\":[{\"Alphabetic\":\"A\",\"Ideographic\":\"B\",\"Phonetic\":\"C=D\"}]");
	CHECK_ELEMENT("PN", "=", "");
}

UNIT_TEST(json_decimal_strings)
{
	CHECK_ELEMENT("DS", "1.50\\+1\\.5\\-.5\\01\\5.", ",\"Value\":[1.50,1,0.5,-0.5,1,5]");
	CHECK_ELEMENT("DS", "-007.1E+05\\1.e5\\00\\-0.0\\0e99999", ",\"Value\":[-7.1E+05,1e5,0,0,0]");
	CHECK_ELEMENT("DS", "1e999\\abc\\1 2\\nan", ",\"Value\":[\"1e999\",\"abc\",\"1 2\",\"nan\"]");
	CHECK_ELEMENT("DS", "1\\\\2", ",\"Value\":[1,null,2]");
	CHECK_ELEMENT("IS", "1\\-02\\3.0\\x\\99999999999999999999",
				  ",\"Value\":[1,-2,3,\"x\",\"99999999999999999999\"]");
}

UNIT_TEST(json_numbers)
{
	CHECK_ELEMENT("US", "\1\0\xFF\xFF", ",\"Value\":[1,65535]");
	CHECK_ELEMENT("SS", "\xFF\xFF", ",\"Value\":[-1]");
	CHECK_ELEMENT("US", "", "");
	CHECK_ELEMENT("AT", "\x10\x00\x20\x00", ",\"Value\":[\"00100020\"]");
	CHECK_ELEMENT("FL", "\xCD\xCC\xCC\x3D\0\0\xC0\x7F\0\0\x80\x7F\0\0\x80\xFF",
				  ",\"Value\":[0.1,\"NaN\",\"inf\",\"-inf\"]");
	CHECK_ELEMENT("FD", "\x9C\x75\0\x88\x3C\xE4\x37\x7E", ",\"Value\":[1e+300]");
	CHECK_ELEMENT("UV", "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\x20\0", ",\"Value\":[1,\"9007199254740993\"]");
	CHECK_ELEMENT("SV", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1\0\0\0\0\0\0\x80",
				  ",\"Value\":[-1,\"-9223372036854775807\"]");
}

UNIT_TEST(json_bytes)
{
	struct dicom_json_options options = {"s3://b/k\"", 4, false};
	struct made made = {0};
	char want[256];

	CHECK_ELEMENT("OB", "\1\2\3\xFF", ",\"InlineBinary\":\"AQID/w==\"");
	CHECK_ELEMENT("UN", "abcdef", ",\"InlineBinary\":\"YWJjZGVm\"");
	CHECK_ELEMENT("OW", "", "");
	MAKE_TEXT(&made, PRIVATE_TAG, "OB", "abcdef");
	make_done(&made);
	snprintf(want, sizeof want,
			 "{\"00091001\":{\"vr\":\"OB\",\"BulkDataURI\":\"s3://b/k\\\"?offset=%llu&length=6\"}}",
			 (unsigned long long) dicom_dataset_find(&made.dataset, PRIVATE_TAG)->offset);
	CHECK_STRING(json_with(&made, &options), want);
	options.bulk_uri = NULL;
	CHECK_STRING(json_with(&made, &options), "{\"00091001\":{\"vr\":\"OB\"}}");
	make_free(&made);
}

/* Words stand in little endian whatever the file has; a byte too many stays where it is. */
UNIT_TEST(json_bytes_of_big_endian_files)
{
	struct made made = {.big_endian = true};

	MAKE_TEXT(&made, 0x00091001, "OB", "\1\2\3\4");
	MAKE_TEXT(&made, 0x00091002, "OW", "\1\2\3\4");
	MAKE_TEXT(&made, 0x00091003, "OF", "\1\2\3\4\5\6");
	MAKE_TEXT(&made, 0x00091004, "OD", "\1\2\3\4\5\6\7\x8");
	make_done(&made);
	CHECK_STRING(json_of(&made), "{\"00091001\":{\"vr\":\"OB\",\"InlineBinary\":\"AQIDBA==\"},"
								 "\"00091002\":{\"vr\":\"OW\",\"InlineBinary\":\"AgEEAw==\"},"
								 "\"00091003\":{\"vr\":\"OF\",\"InlineBinary\":\"BAMCAQUG\"},"
								 "\"00091004\":{\"vr\":\"OD\",\"InlineBinary\":\"CAcGBQQDAgE=\"}}");
	make_free(&made);
}

UNIT_TEST(json_sequences)
{
	struct dicom_values values = {0};
	struct made made = {0};

	make_sequence(&made, 0x00081110);
	make_end_of_sequence(&made);
	make_sequence(&made, 0x00081140);
	make_item(&made);
	MAKE_TEXT(&made, 0x00081150, "UI", "1.2");
	make_end_of_item(&made);
	make_item(&made);
	make_end_of_item(&made);
	make_end_of_sequence(&made);
	make_done(&made);
	CHECK_STRING(json_of(&made), "{\"00081110\":{\"vr\":\"SQ\"},\"00081140\":{\"vr\":\"SQ\",\"Value\":"
								 "[{\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}},{}]}}");
	dicom_buffer_reset(&json);
	CHECK(dicom_json_sequence(&values, &made.dataset, dicom_dataset_find(&made.dataset, 0x00081140), NULL,
							  &json));
	CHECK_STRING(json.data, "[{\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}},{}]");
	dicom_buffer_reset(&json);
	CHECK(dicom_json_sequence(&values, &made.dataset, dicom_dataset_find(&made.dataset, 0x00081110), NULL,
							  &json));
	CHECK_STRING(json.data, "[]");
	dicom_values_close(&values);
	make_free(&made);
}

UNIT_TEST(json_order_and_duplicates)
{
	struct made made = {0};

	MAKE_TEXT(&made, 0x00100020, "LO", "ID");
	MAKE_TEXT(&made, 0x00100010, "PN", "first");
	MAKE_TEXT(&made, 0x00100010, "PN", "last");
	make_done(&made);
	CHECK_STRING(json_of(&made), "{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"last\"}]},"
								 "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"ID\"]}}");
	make_free(&made);
}

UNIT_TEST(json_meta_information)
{
	struct dicom_json_options options = {.with_meta = true};
	struct made made = {0};

	make_number_element(&made, 0x00080000, "UL", 12, 4);
	MAKE_TEXT(&made, 0x00080060, "CS", "CT");
	make_done(&made);
	CHECK_STRING(json_of(&made), "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}}");
	CHECK_STRING(json_with(&made, &options),
				 "{\"00020010\":{\"vr\":\"UI\",\"Value\":[\"1.2.840.10008.1.2.1\"]},"
				 "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}}");
	make_free(&made);
}
