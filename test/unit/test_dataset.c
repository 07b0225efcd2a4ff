/*
 * test_dataset.c
 *	  Promise: a selection is kept and nothing else is looked at; a broken file gives what it has.
 */
#include "make_dataset.h"

/* A file at hand as a whole, read with a selection. */
struct reading
{
	struct dicom_window window;
	struct dicom_dataset dataset;
	struct dicom_error error;
	enum dicom_status status;
};

static void
read_bytes(struct reading *reading, const void *bytes, size_t length, const struct dicom_selection *selection)
{
	uint8_t *room;

	memset(reading, 0, sizeof(*reading));
	dicom_window_init(&reading->window, length);
	room = dicom_window_reserve(&reading->window, 0, length);
	if (length > 0)
		memcpy(room, bytes, length);
	dicom_window_commit(&reading->window, 0, length);
	CHECK(dicom_dataset_open(&reading->dataset, &reading->window, selection, &reading->error) == DICOM_OK);
	reading->status = dicom_dataset_read(&reading->dataset, &reading->error);
}

/* The same for what was put together, cut `cut` bytes before its end. */
static void
read_made(struct reading *reading, struct made *made, const struct dicom_selection *selection, size_t cut)
{
	struct dicom_buffer file = {0};

	make_file(made, &file);
	read_bytes(reading, file.data, file.length - cut, selection);
	dicom_buffer_free(&file);
	dicom_buffer_free(&made->bytes);
}

static void
end_reading(struct reading *reading)
{
	dicom_dataset_close(&reading->dataset, false);
	dicom_window_free(&reading->window);
}

static int
has(const struct reading *reading, uint32_t tag, const char *want)
{
	const struct dicom_element *element = dicom_dataset_find(&reading->dataset, tag);
	uint32_t length;
	const uint8_t *value = element ? dicom_dataset_value(&reading->dataset, element, &length) : NULL;

	return value && length == strlen(want) && memcmp(value, want, length) == 0;
}

static const struct dicom_selection everything = {.everything = true};

static void
make_study(struct made *made)
{
	MAKE_TEXT(made, 0x00080005, "CS", "ISO_IR 100");
	MAKE_TEXT(made, 0x00080020, "DA", "20040826");
	MAKE_TEXT(made, 0x00100010, "PN", "A^B");
	MAKE_TEXT(made, 0x00100020, "LO", "4711");
	make_number_element(made, 0x00280010, "US", 512, 2);
	make_number_element(made, 0x00280103, "US", 1, 2);
}

UNIT_TEST(dataset_keeps_the_selection)
{
	static const uint32_t tags[] = {0x00080020, 0x00100020};
	struct dicom_selection selection = {.tags = tags, .tag_count = 2};
	struct made made = {.big_endian = false};
	struct reading reading;

	make_study(&made);
	read_made(&reading, &made, &selection, 0);
	CHECK(reading.status == DICOM_OK);
	CHECK(has(&reading, 0x00080005, "ISO_IR 100"));
	CHECK(has(&reading, 0x00080020, "20040826"));
	CHECK(has(&reading, 0x00100020, "4711"));
	CHECK(dicom_dataset_find(&reading.dataset, 0x00100010) == NULL);
	CHECK(dicom_dataset_find(&reading.dataset, 0x00280103) == NULL);
	CHECK_STRING(reading.dataset.transfer_syntax_uid, "1.2.840.10008.1.2.1");
	CHECK(reading.dataset.header_end < reading.window.size);
	end_reading(&reading);
}

UNIT_TEST(dataset_whole_header_goes_on_to_the_pixels)
{
	static const uint32_t tags[] = {0x00080020};
	struct dicom_selection selection = {.tags = tags, .tag_count = 1, .whole_header = true};
	struct made made = {.big_endian = false};
	struct reading reading;

	make_study(&made);
	make_bytes(&made, 0x7FE00010, "OW", "12345678", 8);
	read_made(&reading, &made, &selection, 0);
	CHECK(reading.status == DICOM_OK);
	CHECK(reading.dataset.header_end == reading.window.size - 20);
	CHECK(dicom_dataset_find(&reading.dataset, 0x00280103) != NULL);
	CHECK(dicom_dataset_find(&reading.dataset, 0x7FE00010) == NULL);
	end_reading(&reading);
}

UNIT_TEST(dataset_never_asks_for_pixels)
{
	struct made made = {.big_endian = false};
	struct dicom_buffer file = {0};
	struct reading reading = {.status = DICOM_OK};
	struct dicom_window *window = &reading.window;
	enum dicom_status status;
	size_t header;
	int requests = 0;

	make_study(&made);
	make_header(&made, 0x7FE00010, "OW", 1000000);
	make_file(&made, &file);
	header = file.length;
	dicom_window_init(window, header + 1000000);
	dicom_dataset_open(&reading.dataset, window, &everything, &reading.error);
	while ((status = dicom_dataset_read(&reading.dataset, &reading.error)) == DICOM_NEED)
	{
		uint64_t offset = reading.dataset.need_offset;
		size_t length = header - (size_t) offset;

		requests++;
		CHECK(offset < header);
		memcpy(dicom_window_reserve(window, offset, length), file.data + offset, length);
		dicom_window_commit(window, offset, length);
	}
	CHECK(status == DICOM_OK);
	CHECK(requests == 1);
	CHECK(reading.dataset.bytes_used <= header);
	dicom_buffer_free(&file);
	dicom_buffer_free(&made.bytes);
	end_reading(&reading);
}

UNIT_TEST(dataset_steps_over_long_values)
{
	static const char big[70000];
	static const uint32_t tags[] = {0x00420011, 0x00420012};
	struct dicom_selection selection = {.tags = tags + 1, .tag_count = 1};
	struct made made = {.big_endian = false};
	struct reading reading;
	const struct dicom_element *element;
	uint32_t length;
	int i;

	for (i = 0; i < 3; i++)
	{
		made.bytes = (struct dicom_buffer){0};
		make_bytes(&made, 0x00420011, "OB", big, sizeof(big));
		MAKE_TEXT(&made, 0x00420012, "LO", "application/pdf");
		read_made(&reading, &made, i == 2 ? &everything : &selection, 0);
		element = dicom_dataset_find(&reading.dataset, 0x00420011);
		CHECK(reading.status == DICOM_OK);
		CHECK(has(&reading, 0x00420012, "application/pdf "));
		CHECK((element != NULL) == (i > 0));
		if (i == 1)
			CHECK(dicom_dataset_value(&reading.dataset, element, &length) && length == sizeof(big));
		if (i == 2)
			CHECK(element->flags & DICOM_ELEMENT_BULK &&
				  !dicom_dataset_value(&reading.dataset, element, &length));
		end_reading(&reading);
		selection.tags = tags;
		selection.tag_count = 2;
	}
}

/* In little endian it is passed over by the run, in big endian step by step. */
UNIT_TEST(dataset_passes_over_what_is_unwanted)
{
	static const uint32_t tags[] = {0x00080060, 0x00100020, 0x00280010};
	struct dicom_selection selection = {.tags = tags, .tag_count = 3};
	int i;

	for (i = 0; i < 4; i++)
	{
		struct made made = {.big_endian = i & 1};
		struct reading reading;

		selection.whole_header = i & 2;
		MAKE_TEXT(&made, 0x00080008, "CS", "");
		MAKE_TEXT(&made, 0x00080020, "DA", "20040826");
		make_header(&made, 0x00080050, "SH", 3);
		dicom_buffer_append(&made.bytes, "odd", 3);
		MAKE_TEXT(&made, 0x00080060, "CS", "MR");
		MAKE_TEXT(&made, 0x00081030, "LO", "study ");
		make_bytes(&made, 0x00081140, "SQ", "\xFE\xFF\x00\xE0\x00\x00\x00\x00", 8);
		MAKE_TEXT(&made, 0x00080090, "PN", "out of order");
		MAKE_TEXT(&made, 0x00100010, "PN", "A^B ");
		MAKE_TEXT(&made, 0x00100020, "LO", "4711");
		MAKE_TEXT(&made, 0x00100020, "LO", "4712");
		make_bytes(&made, 0x00290010, "LO", "ACME", 4);
		make_bytes(&made, 0x00291010, "UN", "12345678", 8);
		make_number_element(&made, 0x00280010, "US", 512, 2);
		make_number_element(&made, 0x00280103, "US", 1, 2);
		read_made(&reading, &made, &selection, 0);
		CHECK(reading.status == DICOM_OK);
		CHECK(has(&reading, 0x00080060, "MR"));
		CHECK(has(&reading, 0x00100020, "4712"));
		CHECK(dicom_dataset_find(&reading.dataset, 0x00280010) != NULL);
		CHECK(dicom_dataset_find(&reading.dataset, 0x00081140) == NULL);
		CHECK(reading.dataset.warnings[DICOM_WARNING_ORDER] == 2);
		CHECK(reading.dataset.warnings[DICOM_WARNING_DUPLICATE] == 1);
		CHECK(reading.dataset.warnings[DICOM_WARNING_ODD_LENGTH] == 1);
		CHECK(reading.dataset.header_end == reading.window.size);
		end_reading(&reading);
	}
}

UNIT_TEST(dataset_private_by_creator)
{
	static const uint32_t tags[] = {0x00290001};
	static const char *const creators[] = {"ACME"};
	struct dicom_selection selection = {
		.private_tags = tags, .private_creators = creators, .private_count = 1};
	struct made made = {.big_endian = false};
	struct reading reading;
	const struct dicom_element *element;

	MAKE_TEXT(&made, 0x00290010, "LO", "OTHER ");
	MAKE_TEXT(&made, 0x00290011, "LO", "ACME");
	MAKE_TEXT(&made, 0x00291001, "LO", "no");
	MAKE_TEXT(&made, 0x00291101, "LO", "yes!");
	MAKE_TEXT(&made, 0x00291102, "LO", "no");
	read_made(&reading, &made, &selection, 0);
	element = dicom_dataset_find_in(&reading.dataset, NULL, 0x00290001, "ACME");
	CHECK(element && element->tag == 0x00291101 && has(&reading, 0x00291101, "yes!"));
	CHECK(dicom_dataset_find(&reading.dataset, 0x00291001) == NULL);
	CHECK(dicom_dataset_find(&reading.dataset, 0x00291102) == NULL);
	end_reading(&reading);
}

static void
make_private(struct made *made, uint32_t group, uint32_t element, const char *text)
{
	make_bytes(made, group << 16 | element, element < 0x1000 ? "LO" : "SH", text, strlen(text));
}

/* Where the element with this text stands that a creator's name leads to; -1: nowhere, or to another one. */
static int
place_of_private(const struct reading *reading, uint32_t name, const char *creator)
{
	const struct dicom_element *element = dicom_dataset_find_in(&reading->dataset, NULL, name, creator);

	return element ? (int) (element - reading->dataset.elements) : -1;
}

/* Large data sets are looked through in another way than small ones, and give the same. */
UNIT_TEST(dataset_private_in_few_and_many_elements)
{
	static const char *const names[] = {"ACME", "OTHER", "LATE", "NOBODY"};
	static const uint32_t wanted[] = {0x00110001, 0x00110002, 0x00110003, 0x00130001};
	int places[2][4][4];
	int many, i, k;

	for (many = 0; many < 2; many++)
	{
		struct made made = {.big_endian = false};
		struct reading reading;
		uint32_t length;

		make_private(&made, 0x0011, 0x0010, "ACME");
		make_private(&made, 0x0011, 0x0011, "OTHER ");
		make_private(&made, 0x0011, 0x0012, " ACME ");
		make_private(&made, 0x0011, 0x0013, "ACME");
		make_private(&made, 0x0011, 0x0014, "  ");
		make_private(&made, 0x0011, 0x1001, "a ");
		make_private(&made, 0x0011, 0x1102, "b ");
		make_private(&made, 0x0011, 0x1201, "c ");
		make_private(&made, 0x0011, 0x1201, "d ");
		make_private(&made, 0x0011, 0x1302, "e ");
		make_private(&made, 0x0011, 0x1403, "f ");
		make_private(&made, 0x0011, 0x0013, "LATE");
		make_private(&made, 0x0011, 0x1002, "g ");
		make_private(&made, 0x0013, 0x1001, "h ");
		for (i = 0; many && i < 400; i++)
			make_private(&made, 0x0015, 0x1000 + i, "more");
		read_made(&reading, &made, &everything, 0);
		CHECK(reading.status == DICOM_OK);
		for (i = 0; i < 4; i++)
			for (k = 0; k < 4; k++)
				places[many][i][k] = place_of_private(&reading, wanted[i], names[k]);
		CHECK(dicom_dataset_private_creator(&reading.dataset,
											dicom_dataset_find(&reading.dataset, 0x00111302), &length) &&
			  length == 4);
		CHECK(!dicom_dataset_private_creator(&reading.dataset,
											 dicom_dataset_find(&reading.dataset, 0x00111403), &length));
		end_reading(&reading);
	}
	CHECK(memcmp(places[0], places[1], sizeof(places[0])) == 0);
	CHECK(places[1][0][0] >= 0 && places[1][1][2] >= 0 && places[1][1][0] > places[1][0][0]);
	CHECK(places[1][2][0] == -1 && places[1][3][0] == -1 && places[1][0][3] == -1);
}

UNIT_TEST(dataset_wanted_sequence_is_whole)
{
	static const uint32_t tags[] = {0x00081140};
	struct dicom_selection selection = {.tags = tags, .tag_count = 1};
	struct made made = {.big_endian = true};
	struct reading reading;
	const struct dicom_element *sequence;

	make_sequence(&made, 0x00081115);
	make_item(&made);
	MAKE_TEXT(&made, 0x00081155, "UI", "not wanted");
	make_end_of_item(&made);
	make_end_of_sequence(&made);
	make_sequence(&made, 0x00081140);
	make_item(&made);
	MAKE_TEXT(&made, 0x00081150, "UI", "1.2");
	make_sequence(&made, 0x00082112);
	make_end_of_sequence(&made);
	make_end_of_item(&made);
	make_item(&made);
	make_end_of_item(&made);
	make_end_of_sequence(&made);
	read_made(&reading, &made, &selection, 0);
	CHECK(reading.status == DICOM_OK && reading.dataset.big_endian);
	CHECK(dicom_dataset_find(&reading.dataset, 0x00081115) == NULL);
	sequence = dicom_dataset_find(&reading.dataset, 0x00081140);
	CHECK(sequence && sequence->next == reading.dataset.count);
	CHECK(sequence && sequence[1].tag == DICOM_TAG_ITEM && sequence[1].depth == 1);
	CHECK(sequence && sequence[2].tag == 0x00081150 && sequence[2].depth == 2);
	CHECK(sequence && sequence[3].tag == 0x00082112 && sequence[4].tag == DICOM_TAG_ITEM);
	CHECK(sequence &&
		  dicom_dataset_find_in(&reading.dataset, sequence + 1, 0x00081150, NULL) == sequence + 2);
	end_reading(&reading);
}

UNIT_TEST(dataset_unordered_tags_are_not_lost)
{
	static const uint32_t tags[] = {0x00080060, 0x00100020};
	struct dicom_selection selection = {.tags = tags, .tag_count = 2};
	struct made made = {.big_endian = false};
	struct reading reading;

	MAKE_TEXT(&made, 0x00100020, "LO", "4711");
	MAKE_TEXT(&made, 0x00080060, "CS", "MR");
	MAKE_TEXT(&made, 0x00280004, "CS", "RGB ");
	MAKE_TEXT(&made, 0x00080060, "CS", "CT");
	read_made(&reading, &made, &selection, 0);
	CHECK(has(&reading, 0x00100020, "4711"));
	CHECK(has(&reading, 0x00080060, "CT"));
	CHECK(reading.dataset.warnings[DICOM_WARNING_ORDER] == 2);
	end_reading(&reading);
}

UNIT_TEST(dataset_cut_files)
{
	struct made made = {.big_endian = false};
	struct reading reading;
	const struct dicom_element *element;

	make_study(&made);
	make_bytes(&made, 0x7FE00010, "OW", "12345678", 8);
	read_made(&reading, &made, &everything, 3);
	element = dicom_dataset_find(&reading.dataset, 0x7FE00010);
	CHECK(reading.status == DICOM_OK);
	CHECK(element && element->flags & DICOM_ELEMENT_TRUNCATED && element->length == 5);
	CHECK(reading.dataset.warnings[DICOM_WARNING_TRUNCATED] == 1);
	end_reading(&reading);

	made.bytes = (struct dicom_buffer){0};
	make_study(&made);
	read_made(&reading, &made, &everything, 21);
	CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_MALFORMED);
	CHECK(reading.error.tag == 0x00100020 && reading.error.offset == (int64_t) reading.window.size - 11);
	CHECK(has(&reading, 0x00100020, "471"));
	CHECK(has(&reading, 0x00080020, "20040826"));
	CHECK(dicom_dataset_read(&reading.dataset, &reading.error) == DICOM_FAILED);
	end_reading(&reading);
}

UNIT_TEST(dataset_limits)
{
	struct dicom_selection selection = {.everything = true, .header_limit = 100};
	struct made made = {.big_endian = false};
	struct reading reading;
	int i;

	for (i = 0; i < 20; i++)
		MAKE_TEXT(&made, 0x00080005 + (uint32_t) i, "LO", "12345678");
	read_made(&reading, &made, &selection, 0);
	CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_LIMIT);
	CHECK(reading.dataset.count > 0);
	end_reading(&reading);

	made.bytes = (struct dicom_buffer){0};
	for (i = 0; i < 100; i++)
	{
		make_sequence(&made, 0x0040A730);
		make_item(&made);
	}
	read_made(&reading, &made, &everything, 0);
	CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_LIMIT);
	CHECK(dicom_dataset_find(&reading.dataset, 0x0040A730)->next == reading.dataset.count);
	end_reading(&reading);
}

UNIT_TEST(dataset_signed_values_in_implicit_vr)
{
	static const char bytes[] = "\x28\0\x03\x01\2\0\0\0\1\0"
								"\x28\0\x06\x01\2\0\0\0\xFB\xFF";
	struct reading reading;

	read_bytes(&reading, bytes, sizeof(bytes) - 1, &everything);
	CHECK(reading.status == DICOM_OK && reading.dataset.implicit_vr);
	CHECK(dicom_dataset_find(&reading.dataset, 0x00280106)->vr == DICOM_VR('S', 'S'));
	CHECK(reading.dataset.warnings[DICOM_WARNING_NO_PREAMBLE] == 1);
	CHECK(reading.dataset.warnings[DICOM_WARNING_NO_META] == 1);
	end_reading(&reading);
}

UNIT_TEST(dataset_rejects_what_is_not_dicom)
{
	static const char text[] =
		"The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy "
		"dog. The quick brown fox jumps over the lazy dog. The quick brown fox jumps.";
	static const char zip[200] = "PK\3\4\x14\0\0\0\x08\0";
	static const char zeros[500];
	uint8_t noise[1000];
	struct reading reading;
	uint32_t state = 1;
	int round, i;

	read_bytes(&reading, text, sizeof(text), &everything);
	CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_NOT_DICOM);
	end_reading(&reading);
	read_bytes(&reading, zip, sizeof(zip), &everything);
	CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_NOT_DICOM);
	end_reading(&reading);
	read_bytes(&reading, zeros, sizeof(zeros), &everything);
	CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_NOT_DICOM);
	end_reading(&reading);
	read_bytes(&reading, "", 0, &everything);
	CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_NOT_DICOM);
	end_reading(&reading);
	for (round = 0; round < 200; round++)
	{
		for (i = 0; i < (int) sizeof(noise); i++)
			noise[i] = (uint8_t) ((state = state * 1664525 + 1013904223) >> 24);
		read_bytes(&reading, noise, sizeof(noise), &everything);
		CHECK(reading.status == DICOM_FAILED && reading.error.code == DICOM_ERROR_NOT_DICOM);
		end_reading(&reading);
	}
}

UNIT_TEST(dataset_memory_is_used_again)
{
	struct made made = {.big_endian = false};
	struct dicom_buffer file = {0};
	struct reading reading;
	struct dicom_element *elements;

	make_study(&made);
	make_file(&made, &file);
	read_bytes(&reading, file.data, file.length, &everything);
	elements = reading.dataset.elements;
	dicom_dataset_close(&reading.dataset, true);
	CHECK(reading.dataset.count == 0);
	CHECK(dicom_dataset_open(&reading.dataset, &reading.window, &everything, &reading.error) == DICOM_OK);
	CHECK(dicom_dataset_read(&reading.dataset, &reading.error) == DICOM_OK);
	CHECK(reading.dataset.elements == elements && has(&reading, 0x00100020, "4711"));
	dicom_buffer_free(&file);
	dicom_buffer_free(&made.bytes);
	end_reading(&reading);
}
