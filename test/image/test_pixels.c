/*
 * test_pixels.c
 *	  The image pixel module as data sets describe it, and misdescribe it.
 */
#include "make_dataset.h"
#include "image/image.h"
#include "image/tags.h"

/* What a description has, and how it differs from the usual. 0xFFFF leaves an attribute out. */
struct usual
{
	uint32_t rows, columns, samples, allocated, stored, high, sign, planar;
	const char *photometric, *frames;
};

static const struct usual usual = {4, 5, 1, 16, 12, 11, 0, 0xFFFF, "MONOCHROME2", NULL};

static void
put(struct made *made, uint32_t tag, uint32_t number)
{
	if (number != 0xFFFF)
		make_number_element(made, tag, "US", number, 2);
}

static void
describe(struct made *made, struct usual what)
{
	put(made, TAG_SAMPLES_PER_PIXEL, what.samples);
	if (what.photometric)
		make_bytes(made, TAG_PHOTOMETRIC, "CS", what.photometric, strlen(what.photometric));
	put(made, TAG_PLANAR_CONFIGURATION, what.planar);
	if (what.frames)
		make_bytes(made, TAG_NUMBER_OF_FRAMES, "IS", what.frames, strlen(what.frames));
	put(made, TAG_ROWS, what.rows);
	put(made, TAG_COLUMNS, what.columns);
	put(made, TAG_BITS_ALLOCATED, what.allocated);
	put(made, TAG_BITS_STORED, what.stored);
	put(made, TAG_HIGH_BIT, what.high);
	put(made, TAG_PIXEL_REPRESENTATION, what.sign);
}

static enum dicom_status
read_pixels(struct usual what, struct image_pixels *pixels, struct dicom_error *error)
{
	static const uint8_t value[40];
	struct made made = {0};
	enum dicom_status status;

	describe(&made, what);
	make_bytes(&made, DICOM_TAG_PIXEL_DATA, "OW", value, sizeof(value));
	make_done(&made);
	status = image_pixels_read(&made.dataset, pixels, error);
	make_free(&made);
	return status;
}

UNIT_TEST(pixels_are_described)
{
	struct image_pixels pixels;
	struct dicom_error error;

	CHECK(read_pixels(usual, &pixels, &error) == DICOM_OK);
	CHECK(pixels.rows == 4 && pixels.columns == 5 && pixels.samples_per_pixel == 1);
	CHECK(pixels.bits_allocated == 16 && pixels.bits_stored == 12 && pixels.high_bit == 11);
	CHECK(!pixels.is_signed && !pixels.is_planar && !pixels.big_endian && !pixels.is_encapsulated);
	CHECK(pixels.frame_count == 1 && pixels.value_length == 40 && pixels.is_words);
	CHECK(pixels.photometric == IMAGE_MONOCHROME2 && pixels.codec == IMAGE_CODEC_NATIVE);
	CHECK(pixels.sample == IMAGE_SAMPLE_INTEGER);
	CHECK_STRING(pixels.transfer_syntax_uid, "1.2.840.10008.1.2.1");
}

UNIT_TEST(pixels_what_is_missing_is_guessed)
{
	struct usual what = usual;
	struct image_pixels pixels;
	struct dicom_error error;

	what.samples = what.stored = what.high = what.sign = 0xFFFF;
	what.photometric = NULL;
	CHECK(read_pixels(what, &pixels, &error) == DICOM_OK);
	CHECK(pixels.samples_per_pixel == 1 && pixels.bits_stored == 16 && pixels.high_bit == 15);
	CHECK(pixels.photometric == IMAGE_MONOCHROME2 && !pixels.is_signed);
	what.samples = 3;
	what.photometric = "no such thing";
	CHECK(read_pixels(what, &pixels, &error) == DICOM_OK && pixels.photometric == IMAGE_RGB);
}

UNIT_TEST(pixels_nonsense_is_repaired)
{
	struct usual what = usual;
	struct image_pixels pixels;
	struct dicom_error error;

	what.stored = 20;
	what.high = 99;
	what.frames = "-7";
	what.sign = 5;
	what.planar = 1;
	CHECK(read_pixels(what, &pixels, &error) == DICOM_OK);
	CHECK(pixels.bits_stored == 16 && pixels.high_bit == 15 && pixels.frame_count == 1);
	CHECK(!pixels.is_signed && !pixels.is_planar);
	what.photometric = "rgb";
	CHECK(read_pixels(what, &pixels, &error) == DICOM_OK && pixels.photometric == IMAGE_MONOCHROME2);
	what.photometric = "monochrome1";
	CHECK(read_pixels(what, &pixels, &error) == DICOM_OK && pixels.photometric == IMAGE_MONOCHROME1);
	what.frames = "99999999999";
	CHECK(read_pixels(what, &pixels, &error) == DICOM_OK && pixels.frame_count == 1);
}

static void
check_refused(struct usual what, uint32_t tag)
{
	struct image_pixels pixels;
	struct dicom_error error = {0};

	CHECK(read_pixels(what, &pixels, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_MALFORMED && error.tag == tag && error.message[0]);
}

UNIT_TEST(pixels_without_size_are_refused)
{
	struct usual what = usual;

	what.rows = 0;
	check_refused(what, TAG_ROWS);
	what.rows = 0xFFFF;
	check_refused(what, TAG_ROWS);
	what = usual;
	what.columns = 0;
	check_refused(what, TAG_COLUMNS);
	what = usual;
	what.allocated = 0;
	check_refused(what, TAG_BITS_ALLOCATED);
	what.allocated = 33;
	check_refused(what, TAG_BITS_ALLOCATED);
	what = usual;
	what.samples = 2;
	check_refused(what, TAG_SAMPLES_PER_PIXEL);
	what.samples = 4;
	what.photometric = "ARGB";
	check_refused(what, TAG_PHOTOMETRIC);
}

UNIT_TEST(pixels_none)
{
	struct made made = {0};
	struct image_pixels pixels;
	struct dicom_error error = {0};

	describe(&made, usual);
	make_done(&made);
	CHECK(image_pixels_read(&made.dataset, &pixels, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_NOT_FOUND);
	CHECK_STRING(error.message, "no pixel data");
	make_free(&made);
}

UNIT_TEST(pixels_real)
{
	static const uint8_t value[80];
	struct made made = {0};
	struct image_pixels pixels;
	struct dicom_error error;

	made.big_endian = true;
	describe(&made, usual);
	make_bytes(&made, TAG_FLOAT_PIXEL_DATA, "OF", value, sizeof(value));
	make_done(&made);
	CHECK(image_pixels_read(&made.dataset, &pixels, &error) == DICOM_OK);
	CHECK(pixels.sample == IMAGE_SAMPLE_FLOAT && pixels.bits_allocated == 32 && pixels.big_endian);
	make_free(&made);
}

UNIT_TEST(pixels_selection_ascends)
{
	int i;

	for (i = 1; i < image_selection.tag_count; i++)
		CHECK(image_selection.tags[i - 1] < image_selection.tags[i]);
}
