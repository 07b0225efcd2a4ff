/*
 * test_path.c
 *	  Promise: what users write names the element they mean, and what is written can be read back.
 */
#include "dicom/path.h"
#include "make_dataset.h"

static int
parses(const char *text, struct dicom_path *path)
{
	struct dicom_error error;

	return dicom_path_parse(text, strlen(text), path, &error) == DICOM_OK;
}

static uint32_t
tag_of(const char *text)
{
	struct dicom_path path;

	return parses(text, &path) && path.count == 1 && path.steps[0].item == 0 ? path.steps[0].tag : 0;
}

UNIT_TEST(path_names_of_one_element)
{
	CHECK(tag_of("00100020") == 0x00100020);
	CHECK(tag_of("(0010,0020)") == 0x00100020);
	CHECK(tag_of("0010,0020") == 0x00100020);
	CHECK(tag_of(" ( 0010 , 0020 ) ") == 0x00100020);
	CHECK(tag_of("7fe00010") == 0x7FE00010);
	CHECK(tag_of("PatientID") == 0x00100020);
	CHECK(tag_of("patient_id") == 0x00100020);
}

UNIT_TEST(path_private)
{
	struct dicom_path path;

	CHECK(parses("(0029,\"SIEMENS CSA HEADER\",10)", &path));
	CHECK(path.count == 1 && path.steps[0].tag == 0x00290010);
	CHECK_STRING(path.steps[0].creator, "SIEMENS CSA HEADER");
	CHECK(parses("(0029,\"A \"\"B\"\", [1].c\",fF)", &path));
	CHECK_STRING(path.steps[0].creator, "A \"B\", [1].c");
	CHECK(path.steps[0].tag == 0x002900FF);
	CHECK(!parses("(0028,\"EVEN\",10)", &path));
	CHECK(!parses("(0029,\"\",10)", &path));
	CHECK(!parses("(0029,\"OPEN", &path));
	CHECK(!parses("(0029,\"OPEN\"", &path));
	CHECK(!parses("(0029,\"LONG\",1000)", &path));
	CHECK(!parses("(0029,\"01234567890123456789012345678901234567890123456789012345678901234567890\",10)",
				  &path));
}

UNIT_TEST(path_nested)
{
	struct dicom_path path;

	CHECK(parses("SharedFunctionalGroupsSequence[1].PixelMeasuresSequence[12].PixelSpacing", &path));
	CHECK(path.count == 3);
	CHECK(path.steps[0].tag == 0x52009229 && path.steps[0].item == 1);
	CHECK(path.steps[1].item == 12);
	CHECK(path.steps[2].tag == 0x00280030 && path.steps[2].item == 0);
	CHECK(parses("00081140.(0008,1155)", &path));
	CHECK(path.count == 2 && path.steps[0].item == 1);
}

UNIT_TEST(path_nonsense)
{
	static const char *const wrong[] = {
		"",           "[1]",         "PatientID[0]",       "PatientID[",  "PatientID[*]",
		"PatientID.", ".PatientID",  "0010,002",           "(0010,0020",  "0010002",
		"1234567G",   "PatientID x", "PatientID[-1].Rows", "00100020,10", "Nonsense10",
		"(10,20)",
	};
	struct dicom_path path;
	char long_path[1000] = "00081140";
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK(!parses(wrong[i], &path));
	for (i = 1; i < DICOM_PATH_MAX_STEPS; i++)
		strcat(long_path, ".00081140");
	CHECK(parses(long_path, &path));
	strcat(long_path, ".00081140");
	CHECK(!parses(long_path, &path));
}

UNIT_TEST(path_hint)
{
	struct dicom_path path;
	struct dicom_error error;

	CHECK(dicom_path_parse("PatinetName", 11, &path, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);
	CHECK(strstr(error.hint, "\"PatientName\"") != NULL);
	CHECK(dicom_path_parse("xyzzyxyzzyxyzzy", 15, &path, &error) == DICOM_FAILED);
	CHECK(strstr(error.hint, "PatientID") != NULL);
}

/* Two items, each with a private block and an overlay of a higher group. */
static void
make_nested(struct made *made)
{
	int i;

	make_sequence(made, 0x00081140);
	for (i = 0; i < 2; i++)
	{
		make_item(made);
		MAKE_TEXT(made, 0x00290010, "LO", "ACME \"1\"");
		MAKE_TEXT(made, 0x00290011, "LO", "OTHER");
		make_bytes(made, 0x00291012, "LO", i ? "b" : "a", 1);
		MAKE_TEXT(made, 0x00291112, "LO", "c");
		MAKE_TEXT(made, 0x60020022, "LO", "overlay");
		make_end_of_item(made);
	}
	make_end_of_sequence(made);
	MAKE_TEXT(made, 0x00100020, "LO", "4711");
	make_done(made);
}

static const struct dicom_element *
find(const struct made *made, const char *text)
{
	struct dicom_path path;

	CHECK(parses(text, &path));
	return dicom_path_find(&made->dataset, &path);
}

UNIT_TEST(path_find)
{
	struct made made = {.big_endian = false};
	const struct dicom_element *element;
	uint32_t length;

	make_nested(&made);
	CHECK(find(&made, "PatientID") == dicom_dataset_find(&made.dataset, 0x00100020));
	element = find(&made, "ReferencedImageSequence[2].(0029,\"ACME \"\"1\"\"\",12)");
	CHECK(element && memcmp(dicom_dataset_value(&made.dataset, element, &length), "b ", 2) == 0);
	element = find(&made, "ReferencedImageSequence.(0029,\"OTHER\",12)");
	CHECK(element && element->tag == 0x00291112);
	element = find(&made, "ReferencedImageSequence[2]");
	CHECK(element && element->tag == DICOM_TAG_ITEM);
	CHECK(find(&made, "ReferencedImageSequence[3]") == NULL);
	CHECK(find(&made, "ReferencedImageSequence[1].PatientID") == NULL);
	CHECK(find(&made, "PatientID[1].PatientID") == NULL);
	make_free(&made);
}

UNIT_TEST(path_write_reads_back)
{
	struct made made = {.big_endian = false};
	struct dicom_buffer text = {0};
	uint32_t i;

	make_nested(&made);
	for (i = 0; i < made.dataset.count; i++)
	{
		dicom_buffer_reset(&text);
		dicom_path_write(&made.dataset, &made.dataset.elements[i], &text);
		CHECK(find(&made, text.data) == &made.dataset.elements[i]);
	}
	dicom_buffer_reset(&text);
	dicom_path_write(&made.dataset, find(&made, "ReferencedImageSequence[2].00291012"), &text);
	CHECK_STRING(text.data, "ReferencedImageSequence[2].(0029,\"ACME \"\"1\"\"\",12)");
	dicom_buffer_reset(&text);
	dicom_path_write(&made.dataset, find(&made, "ReferencedImageSequence[1].60020022"), &text);
	CHECK_STRING(text.data, "ReferencedImageSequence[1].60020022");
	dicom_buffer_free(&text);
	make_free(&made);
}
