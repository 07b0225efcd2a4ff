/*
 * test_picture_rules.c
 *	  Promise: look-up tables and functional groups are found where data sets hold them, and read as real files write them.
 */
#include "make_picture.h"

/* ---- tables in sequences ---- */

static void
begin_lut(struct made_picture *made, uint32_t sequence)
{
	make_sequence(&made->made, sequence);
	make_item(&made->made);
}

static void
end_lut(struct made_picture *made)
{
	make_end_of_item(&made->made);
	make_end_of_sequence(&made->made);
}

static void
make_lut(struct made_picture *made, uint32_t sequence, const char *vr, const uint16_t descriptor[3],
		 const uint16_t *data, uint32_t count)
{
	begin_lut(made, sequence);
	make_words(made, 0x00283002, vr, descriptor, 3);
	make_words(made, 0x00283006, "OW", data, count);
	end_lut(made);
}

#define MODALITY 0x00283000
#define VOI      0x00283010

UNIT_TEST(picture_voi_lut)
{
	static const uint16_t descriptor[] = {4, 100, 12};
	static const uint16_t data[] = {0, 4095, 1000, 2048};
	static const uint16_t samples[] = {0, 100, 101, 102, 103, 104, 65535};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "50.5\\102.5");
	make_decimal(&made, 0x00281051, "101\\3");
	make_lut(&made, VOI, "US", descriptor, data, 4);
	make_picture_16(&made, samples, 7, 1, 16, false);
	CHECK_ROW(&made, 0, 0, 255, 62, 128, 128, 128);
	made.options.window_number = 2; /* asked for, it goes before the LUT */
	CHECK_ROW(&made, 0, 0, 0, 128, 255, 255, 255);
	made.options.window_number = 3;
	CHECK_ROW(&made, 0, 0, 255, 62, 128, 128, 128);
	made.options.window = PICTURE_WINDOW_PIXELS;
	CHECK_ROW(&made, 0, 0, 0, 0, 0, 0, 255);
	make_picture_free(&made);
}

/* Without data it is not there; the next item is. */
UNIT_TEST(picture_voi_lut_without_data)
{
	static const uint16_t descriptor[] = {2, 1, 8};
	static const uint16_t data[] = {255, 0};
	static const uint16_t samples[] = {0, 1, 2, 3};
	struct made_picture made = MADE_GREY;

	begin_lut(&made, VOI);
	make_words(&made, 0x00283002, "US", descriptor, 3);
	make_end_of_item(&made.made);
	make_item(&made.made);
	make_words(&made, 0x00283002, "US", descriptor, 2);
	make_words(&made, 0x00283006, "US", data, 2);
	make_end_of_item(&made.made);
	make_item(&made.made);
	make_words(&made, 0x00283002, "US", descriptor, 3);
	make_words(&made, 0x00283006, "US", data, 2);
	end_lut(&made);
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 255, 255, 0, 0);
	make_picture_free(&made);
}

/* First values: signed by VR, by the pixels, and by there being no values as large as the unsigned one. */
UNIT_TEST(picture_lut_with_signed_first_value)
{
	static const uint16_t descriptor[] = {3, (uint16_t) -1, 8};
	static const uint16_t data[] = {10, 20, 30};
	static const int16_t samples[] = {-2, -1, 0, 1, 2};
	struct made_picture made = MADE_GREY;

	make_lut(&made, VOI, "SS", descriptor, data, 3);
	make_picture_16(&made, samples, 5, 1, 16, true);
	CHECK_ROW(&made, 10, 10, 20, 30, 30);
	make_picture_free(&made);

	made = MADE_GREY;
	make_lut(&made, VOI, "US", descriptor, data, 3);
	make_picture_16(&made, samples, 5, 1, 16, true);
	CHECK_ROW(&made, 10, 10, 20, 30, 30);
	make_picture_free(&made);

	made = MADE_GREY;
	make_lut(&made, MODALITY, "US", descriptor, data, 3);
	make_picture_16(&made, samples, 5, 1, 16, true);
	CHECK_ROW(&made, 0, 0, 128, 255, 255);
	make_picture_free(&made);
}

/* What is after 65535 and above stays unsigned where values reach it. */
UNIT_TEST(picture_lut_with_large_first_value)
{
	static const uint16_t descriptor[] = {2, 65000, 8};
	static const uint16_t data[] = {1, 200};
	static const uint16_t samples[] = {0, 65000, 65001};
	struct made_picture made = MADE_GREY;

	make_lut(&made, VOI, "US", descriptor, data, 2);
	make_picture_16(&made, samples, 3, 1, 16, false);
	CHECK_ROW(&made, 1, 1, 200);
	make_picture_free(&made);
}

/* A count of 0 means 65,536. */
UNIT_TEST(picture_lut_of_65536_entries)
{
	static const uint16_t descriptor[] = {0, 0, 16};
	static const uint16_t samples[] = {0, 1, 32768, 65535};
	uint16_t *data = calloc(65536, sizeof(*data));
	struct made_picture made = MADE_GREY;

	data[1] = 65535;
	data[32768] = 0x8000;
	data[65535] = 0x4000;
	make_lut(&made, VOI, "US", descriptor, data, 65536);
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 255, 128, 64);
	make_picture_free(&made);
	free(data);
}

/* Bytes instead of words, under both claims of bits; more bits than claimed; less data than claimed. */
UNIT_TEST(picture_luts_that_are_not_as_described)
{
	static const uint16_t samples[] = {0, 1, 2, 3, 4};
	static const uint16_t descriptors[][3] = {{5, 0, 8}, {5, 0, 16}, {5, 0, 8}, {5, 0, 8}};
	static const uint16_t packed[] = {0x0A00, 0x1E14, 0x0028}; /* 0, 10, 20, 30, 40 */
	static const uint16_t wide[] = {0, 1023, 512, 256, 128};
	static const uint16_t few[] = {0, 255};
	struct made_picture made = MADE_GREY;
	int i;

	for (i = 0; i < 2; i++)
	{
		made = MADE_GREY;
		make_lut(&made, VOI, "US", descriptors[i], packed, 3);
		make_picture_16(&made, samples, 5, 1, 16, false);
		CHECK_ROW(&made, 0, 10, 20, 30, 40);
		make_picture_free(&made);
	}
	made = MADE_GREY;
	make_lut(&made, VOI, "US", descriptors[2], wide, 5);
	make_picture_16(&made, samples, 5, 1, 16, false);
	CHECK_ROW(&made, 0, 255, 128, 64, 32);
	make_picture_free(&made);

	made = MADE_GREY;
	make_lut(&made, VOI, "US", (const uint16_t[]){5, 0, 16}, few, 2);
	make_picture_16(&made, samples, 5, 1, 16, false);
	CHECK_ROW(&made, 0, 1, 1, 1, 1);
	make_picture_free(&made);
}

UNIT_TEST(picture_lut_in_big_endian)
{
	static const uint16_t descriptor[] = {4, 1, 8};
	static const uint16_t words[] = {0, 100, 200, 255};
	static const uint16_t packed[] = {0x6400, 0xFFC8}; /* 0, 100, 200, 255, as 16-bit words */
	static const uint16_t samples[] = {1, 2, 3, 4};
	struct made_picture made = MADE_GREY;

	made.made.big_endian = true;
	make_lut(&made, VOI, "US", descriptor, words, 4);
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 100, 200, 255);
	make_picture_free(&made);

	made = MADE_GREY;
	made.made.big_endian = true;
	make_lut(&made, VOI, "US", descriptor, packed, 2);
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 100, 200, 255);
	make_picture_free(&made);
}

/* The Modality LUT goes before rescale and in front of the window; without one its range is taken, padding left out. */
UNIT_TEST(picture_modality_lut)
{
	static const uint16_t descriptor[] = {4, 0, 16};
	static const uint16_t data[] = {1000, 3000, 2000, 60000};
	static const uint16_t samples[] = {0, 1, 2, 3};
	struct made_picture made = MADE_GREY;

	make_number_element(&made.made, 0x00280120, "US", 3, 2);
	make_decimal(&made, 0x00281052, "77");
	make_lut(&made, MODALITY, "US", descriptor, data, 4);
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 255, 128, 255);
	made.options.window = PICTURE_WINDOW_GIVEN;
	made.options.window_center = 2500.5;
	made.options.window_width = 1001;
	CHECK_ROW(&made, 0, 255, 0, 255);
	make_picture_free(&made);
}

/* With few bits its range is that of all that they can say. */
UNIT_TEST(picture_modality_lut_of_8_bits)
{
	static const uint16_t descriptor[] = {256, 0, 16};
	static const uint8_t samples[] = {0, 128, 255};
	struct made_picture made = MADE_GREY;
	uint16_t data[256];
	int i;

	for (i = 0; i < 256; i++)
		data[i] = (uint16_t) (10 * (255 - i));
	make_lut(&made, MODALITY, "US", descriptor, data, 256);
	make_picture_8(&made, samples, 3, 1, 8);
	CHECK_ROW(&made, 255, 127, 0);
	make_picture_free(&made);
}

/* ---- functional groups ---- */

static void
make_group(struct made_picture *made, uint32_t group, uint32_t first, const char *first_value,
		   uint32_t second, const char *second_value)
{
	make_sequence(&made->made, group);
	make_item(&made->made);
	make_decimal(made, first, first_value);
	make_decimal(made, second, second_value);
	make_end_of_item(&made->made);
	make_end_of_sequence(&made->made);
}

UNIT_TEST(picture_functional_groups)
{
	static const uint16_t samples[] = {0, 100, 200};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "50.5"); /* only frames without a group use these */
	make_decimal(&made, 0x00281051, "101");
	make_sequence(&made.made, 0x52009229);
	make_item(&made.made);
	make_group(&made, 0x00289145, 0x00281052, "100", 0x00281053, "1");
	make_end_of_item(&made.made);
	make_end_of_sequence(&made.made);
	make_sequence(&made.made, 0x52009230);
	make_item(&made.made);
	make_group(&made, 0x00289132, 0x00281050, "200.5", 0x00281051, "201");
	make_end_of_item(&made.made);
	make_item(&made.made);
	make_group(&made, 0x00289132, 0x00281050, "100.5", 0x00281051, "201");
	make_group(&made, 0x00289145, 0x00281052, "0", 0x00281053, "1");
	make_end_of_item(&made.made);
	make_item(&made.made);
	make_group(&made, 0x00289145, 0x00281052, "0", 0x00281053, "1");
	make_end_of_item(&made.made);
	make_end_of_sequence(&made.made);
	make_picture_16(&made, samples, 3, 1, 16, false);
	CHECK_ROW_OF(&made, 0, 0, 128, 255);
	CHECK_ROW_OF(&made, 1, 0, 128, 255);
	CHECK_ROW_OF(&made, 2, 0, 255, 255);
	CHECK_ROW_OF(&made, 3, 255, 255, 255); /* rescale of the shared group, window of the data set */
	make_picture_free(&made);
}

/* Groups that are no sequences, or empty. */
UNIT_TEST(picture_functional_groups_that_make_no_sense)
{
	static const uint16_t samples[] = {0, 100, 200};
	struct made_picture made = MADE_GREY;

	make_sequence(&made.made, 0x52009229);
	make_end_of_sequence(&made.made);
	MAKE_TEXT(&made.made, 0x52009230, "LO", "no sequence");
	make_picture_16(&made, samples, 3, 1, 16, false);
	CHECK_ROW_OF(&made, 7, 0, 128, 255);
	make_picture_free(&made);
}

/* ---- palettes ---- */

static void
make_palette_8(struct made_picture *made, const void *samples, uint32_t columns)
{
	made->photometric = IMAGE_PALETTE_COLOR;
	make_picture(made, samples, columns, 1, make_form(1, 1, 8, false));
}

UNIT_TEST(picture_palette)
{
	static const uint8_t samples[] = {0, 10, 11, 12, 255};
	static const uint16_t descriptor[] = {3, 10, 16};
	static const uint16_t red[] = {0xFF00, 0x0000, 0x8080};
	static const uint16_t green[] = {0x0000, 0xFFFF, 0x1234};
	static const uint16_t blue[] = {0x1000, 0x2000, 0x3000};
	struct made_picture made = {0};
	int i;

	for (i = 0; i < 3; i++)
		make_words(&made, 0x00281101 + (uint32_t) i, "US", descriptor, 3);
	make_words(&made, 0x00281201, "OW", red, 3);
	make_words(&made, 0x00281202, "OW", green, 3);
	make_words(&made, 0x00281203, "OW", blue, 3);
	make_palette_8(&made, samples, 5);
	CHECK_ROW(&made, 255, 0, 0x10, 255, 0, 0x10, 0, 255, 0x20, 0x80, 0x12, 0x30, 0x80, 0x12, 0x30);
	make_picture_free(&made);
}

/* 8 bits in words, claimed to be 16: they are read as what they are. */
UNIT_TEST(picture_palette_of_8_bits)
{
	static const uint8_t samples[] = {0, 1};
	static const uint16_t data[] = {0, 200};
	struct made_picture made = {0};
	uint32_t i;

	for (i = 0; i < 3; i++)
		make_words(&made, 0x00281101 + i, "US", (const uint16_t[]){2, 0, i == 0 ? 16 : 8}, 3);
	for (i = 0; i < 3; i++)
		make_words(&made, 0x00281201 + i, "OW", data, 2);
	make_palette_8(&made, samples, 2);
	CHECK_ROW(&made, 0, 0, 0, 200, 200, 200);
	make_picture_free(&made);
}

UNIT_TEST(picture_without_palette)
{
	static const uint8_t samples[] = {0, 1};
	static const uint16_t data[] = {0, 200};
	struct made_picture made = {0};

	make_words(&made, 0x00281101, "US", (const uint16_t[]){2, 0, 8}, 3);
	make_words(&made, 0x00281201, "OW", data, 2);
	make_palette_8(&made, samples, 2);
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	make_picture_free(&made);
}

/* Reads one segmented table through the real reader; what it expands to, or a failure. */
static void
check_segments(uint32_t bits, uint32_t count, const void *data, uint32_t length, const int *want,
			   uint32_t want_count, int line)
{
	struct made made = {0};
	struct picture_lut lut;
	struct made_picture words = {0};
	const uint16_t descriptor[] = {(uint16_t) count, 0, (uint16_t) bits};
	bool is_read;
	uint32_t i;

	make_words(&words, 0x00281101, "US", descriptor, 3);
	make_bytes(&words.made, 0x00281221, "OW", data, length);
	made = words.made;
	make_read(&made, &image_selection);
	is_read = lut_read_segmented(&made.dataset, dicom_dataset_find(&made.dataset, 0x00281101),
								 dicom_dataset_find(&made.dataset, 0x00281221), false, &lut);
	unit_check(is_read == (want_count > 0) && lut.count == want_count, "the table's length", __FILE__, line);
	for (i = 0; i < want_count && i < lut.count; i++)
		if (lut.entries[i] != want[i])
		{
			printf("# entry %u: got %u, want %d\n", i, lut.entries[i], want[i]);
			unit_check(0, "the table", __FILE__, line);
		}
	lut_free(&lut);
	make_free(&made);
}

#define CHECK_SEGMENTS(bits, count, data, ...)                                     \
	check_segments(bits, count, data, sizeof(data), (const int[]){__VA_ARGS__, 0}, \
				   sizeof((const int[]){__VA_ARGS__}) / sizeof(int), __LINE__)
#define CHECK_NO_SEGMENTS(bits, count, data) \
	check_segments(bits, count, data, sizeof(data), NULL, 0, __LINE__)

UNIT_TEST(picture_segmented_palette)
{
	static const uint16_t discrete[] = {0, 3, 7, 8, 9};
	static const uint16_t linear[] = {0, 1, 100, 1, 4, 200, 1, 2, 0};
	static const uint16_t indirect[] = {0, 2, 1, 2, 1, 2, 6, 2, 2, 0, 0};
	static const uint8_t bytes[] = {0, 2, 10, 20, 1, 2, 0, 2, 1, 0, 0, 0, 0, 0};
	static const uint16_t cut[] = {0, 1, 5, 1, 100, 105};

	CHECK_SEGMENTS(16, 3, discrete, 7, 8, 9);
	CHECK_SEGMENTS(16, 2, discrete, 7, 8);
	CHECK_SEGMENTS(16, 9, discrete, 7, 8, 9);
	CHECK_SEGMENTS(16, 7, linear, 100, 125, 150, 175, 200, 100, 0);
	CHECK_SEGMENTS(16, 8, indirect, 1, 2, 4, 6, 1, 2, 4, 6);
	CHECK_SEGMENTS(8, 6, bytes, 10, 20, 10, 0, 10, 20);
	CHECK_SEGMENTS(16, 4, cut, 5, 6, 7, 8);
}

/* No segment may be empty, refer to where nothing is, to itself or to another reference, or begin a table with a line. */
UNIT_TEST(picture_segmented_palette_that_makes_no_sense)
{
	static const uint16_t line_first[] = {1, 4, 200};
	static const uint16_t empty[] = {0, 0, 0, 0, 0, 0};
	static const uint16_t beyond[] = {0, 1, 5, 2, 1, 1000, 1000};
	static const uint16_t itself[] = {2, 1, 0, 0};
	static const uint16_t again[] = {0, 1, 5, 2, 65535, 6, 0};
	static const uint16_t unknown[] = {0, 1, 5, 3, 1, 1};
	static const uint16_t too_long[] = {0, 1, 5, 0, 9, 1};

	CHECK_NO_SEGMENTS(16, 4, line_first);
	CHECK_NO_SEGMENTS(16, 4, empty);
	CHECK_SEGMENTS(16, 4, beyond, 5);
	CHECK_NO_SEGMENTS(16, 4, itself);
	CHECK_SEGMENTS(16, 0, again, 5);
	CHECK_SEGMENTS(16, 4, unknown, 5);
	CHECK_SEGMENTS(16, 4, too_long, 5);
}
