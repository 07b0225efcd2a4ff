/*
 * test_picture_grey.c
 *	  Promise: grey levels are those of PS3.3 C.11, for every form of samples and every rule of a data set.
 */
#include <math.h>

#include "make_picture.h"

/* ---- windows ---- */

UNIT_TEST(picture_linear_window)
{
	static const uint16_t samples[] = {0, 99, 100, 101, 200, 300, 301, 65535};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "200.5");
	make_decimal(&made, 0x00281051, "201");
	make_picture_16(&made, samples, 8, 1, 16, false);
	CHECK_ROW(&made, 0, 0, 0, 1, 128, 255, 255, 255);
	make_picture_free(&made);
}

/* C.11.2.1.2.1: of width 1, all up to centre - 0.5 is black, all above white. */
UNIT_TEST(picture_linear_window_of_width_1)
{
	static const uint16_t samples[] = {0, 99, 100, 101};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "100.5");
	make_decimal(&made, 0x00281051, "1");
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 0, 0, 255);
	make_picture_free(&made);
}

UNIT_TEST(picture_linear_exact_window)
{
	static const uint16_t samples[] = {100, 110, 120, 130, 140};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "120");
	make_decimal(&made, 0x00281051, "20");
	MAKE_TEXT(&made.made, 0x00281056, "CS", "LINEAR_EXACT");
	make_picture_16(&made, samples, 5, 1, 16, false);
	CHECK_ROW(&made, 0, 0, 128, 255, 255);
	make_picture_free(&made);
}

UNIT_TEST(picture_sigmoid_window)
{
	static const uint16_t samples[] = {0, 1000, 1100, 4095};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "1000");
	make_decimal(&made, 0x00281051, "400");
	MAKE_TEXT(&made.made, 0x00281056, "CS", "SIGMOID");
	make_picture_16(&made, samples, 4, 1, 12, false);
	CHECK_ROW(&made, 0, 128, 186, 255);
	make_picture_free(&made);
}

/* Forbidden widths: under 1 is exact, 0 is none. */
UNIT_TEST(picture_narrow_windows)
{
	static const uint16_t samples[] = {0, 1, 2, 3};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "1");
	make_decimal(&made, 0x00281051, "0.5");
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 128, 255, 255);
	make_picture_free(&made);

	made = MADE_GREY;
	make_decimal(&made, 0x00281050, "1");
	make_decimal(&made, 0x00281051, "0");
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 85, 170, 255);
	make_picture_free(&made);
}

UNIT_TEST(picture_window_by_number)
{
	static const uint16_t samples[] = {0, 50, 100, 200, 300};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "50.5\\200.5");
	make_decimal(&made, 0x00281051, "101\\201");
	make_picture_16(&made, samples, 5, 1, 16, false);
	CHECK_ROW(&made, 0, 128, 255, 255, 255);
	made.options.window_number = 2;
	CHECK_ROW(&made, 0, 0, 0, 128, 255);
	made.options.window_number = 7;
	CHECK_ROW(&made, 0, 128, 255, 255, 255);
	made.options.window = PICTURE_WINDOW_GIVEN;
	made.options.window_center = 150.5;
	made.options.window_width = 301;
	CHECK_ROW(&made, 0, 43, 85, 170, 255);
	made.options.window = PICTURE_WINDOW_PIXELS;
	CHECK_ROW(&made, 0, 43, 85, 170, 255);
	make_picture_free(&made);
}

UNIT_TEST(picture_options_that_make_no_sense)
{
	static const uint16_t samples[] = {0, 50};
	struct made_picture made = MADE_GREY;

	make_picture_16(&made, samples, 2, 1, 16, false);
	made.options.window = PICTURE_WINDOW_GIVEN;
	check_no_picture(&made, DICOM_ERROR_INVALID_OPTION);
	made.options.window_width = INFINITY;
	check_no_picture(&made, DICOM_ERROR_INVALID_OPTION);
	make_picture_free(&made);
}

/* ---- rescale, polarity ---- */

UNIT_TEST(picture_rescale_then_window)
{
	static const int16_t samples[] = {-1000, 924, 1024, 1124, 3000};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281050, "0.5");
	make_decimal(&made, 0x00281051, "401");
	make_decimal(&made, 0x00281052, "-2048");
	make_decimal(&made, 0x00281053, "2");
	make_picture_16(&made, samples, 5, 1, 16, true);
	CHECK_ROW(&made, 0, 0, 128, 255, 255);
	make_picture_free(&made);
}

/* A falling rescale turns light into dark; a slope of 0 is none. */
UNIT_TEST(picture_rescale_falls)
{
	static const uint16_t samples[] = {0, 1, 2, 3};
	struct made_picture made = MADE_GREY;

	make_decimal(&made, 0x00281052, "10");
	make_decimal(&made, 0x00281053, "-3");
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 255, 170, 85, 0);
	make_picture_free(&made);

	made = MADE_GREY;
	make_decimal(&made, 0x00281053, "0");
	make_picture_16(&made, samples, 4, 1, 16, false);
	CHECK_ROW(&made, 0, 85, 170, 255);
	make_picture_free(&made);
}

static void
check_polarity(enum image_photometric photometric, const char *shape, bool is_inverted)
{
	static const uint16_t samples[] = {1000, 2000, 3000, 4000};
	struct made_picture made = {.photometric = photometric};

	if (shape)
		make_bytes(&made.made, 0x20500020, "CS", shape, strlen(shape));
	make_picture_16(&made, samples, 4, 1, 16, false);
	if (is_inverted)
		CHECK_ROW(&made, 255, 170, 85, 0);
	else
		CHECK_ROW(&made, 0, 85, 170, 255);
	make_picture_free(&made);
}

UNIT_TEST(picture_polarity)
{
	check_polarity(IMAGE_MONOCHROME2, NULL, false);
	check_polarity(IMAGE_MONOCHROME2, "IDENTITY", false);
	check_polarity(IMAGE_MONOCHROME2, "INVERSE", true);
	check_polarity(IMAGE_MONOCHROME1, NULL, true);
	check_polarity(IMAGE_MONOCHROME1, "INVERSE", true);
	check_polarity(IMAGE_MONOCHROME1, "IDENTITY", false);
	check_polarity(IMAGE_MONOCHROME1, "LIN OD", true);
}

/* ---- ranges ---- */

/* Up to 8 bits stored all values count, else those that are there; where they are equal all is 0. */
UNIT_TEST(picture_range)
{
	static const uint8_t bytes[] = {10, 20, 30, 255};
	static const uint8_t bits[] = {0, 1, 1, 0};
	static const uint16_t equal[] = {500, 500, 500};
	struct made_picture made = MADE_GREY;

	make_picture_8(&made, bytes, 4, 1, 8);
	CHECK_ROW(&made, 10, 20, 30, 255);
	made.options.window = PICTURE_WINDOW_PIXELS;
	CHECK_ROW(&made, 0, 10, 21, 255);
	make_picture_free(&made);

	made = MADE_GREY;
	make_picture_8(&made, bits, 4, 1, 1);
	CHECK_ROW(&made, 0, 255, 255, 0);
	make_picture_free(&made);

	made = MADE_GREY;
	make_picture_16(&made, equal, 3, 1, 16, false);
	CHECK_ROW(&made, 0, 0, 0);
	made.rules->is_inverted = true;
	CHECK_ROW(&made, 255, 255, 255);
	make_picture_free(&made);
}

/* Overlays, or anything else, in bits that are not stored do not count; nor does what is below the lowest. */
UNIT_TEST(picture_bits_not_stored)
{
	static const uint16_t samples[] = {0xF000, 0x0800, 0x8FFF, 0x1400};
	static const uint16_t shifted[] = {0x000F, 0x8005, 0xFFF7, 0x0000};
	struct made_picture made = MADE_GREY;

	make_picture_16(&made, samples, 4, 1, 12, false);
	CHECK_ROW(&made, 0, 128, 255, 64);
	made.frame.is_signed = true;
	CHECK_ROW(&made, 170, 0, 170, 255);
	make_picture_free(&made);

	made = MADE_GREY;
	make_picture_16(&made, shifted, 4, 1, 12, false);
	made.frame.high_bit = 15;
	CHECK_ROW(&made, 0, 128, 255, 0);
	make_picture_free(&made);
}

UNIT_TEST(picture_padding)
{
	static const int16_t samples[] = {-2000, 0, 100, 200, -1990, -1999};
	struct made_picture made = MADE_GREY;

	make_number_element(&made.made, 0x00280120, "SS", (uint16_t) -2000, 2);
	make_number_element(&made.made, 0x00280121, "SS", (uint16_t) -1990, 2);
	make_picture_16(&made, samples, 6, 1, 16, true);
	CHECK_ROW(&made, 0, 0, 128, 255, 0, 0);
	make_picture_free(&made);
}

/* Written under the wrong VR, and outside of what the bits can hold; and nothing but padding. */
UNIT_TEST(picture_odd_padding)
{
	static const int16_t samples[] = {-2000, 0, 100, 200};
	static const uint16_t all[] = {7, 7, 7};
	struct made_picture made = MADE_GREY;

	make_number_element(&made.made, 0x00280120, "US", 63536, 2);
	make_picture_16(&made, samples, 4, 1, 16, true);
	CHECK_ROW(&made, 0, 0, 128, 255);
	made.frame.bits_stored = 9;
	made.frame.high_bit = 8;
	CHECK_ROW(&made, 61, 0, 128, 255);
	make_picture_free(&made);

	made = MADE_GREY;
	make_number_element(&made.made, 0x00280120, "US", 7, 2);
	make_picture_16(&made, all, 3, 1, 16, false);
	CHECK_ROW(&made, 0, 0, 0);
	make_picture_free(&made);
}

/* ---- other samples ---- */

UNIT_TEST(picture_32_bits)
{
	static const int32_t samples[] = {-2000000000, 0, 2000000000, 1000000000};
	static const uint32_t large[] = {4000000000U, 4294967295U, 4100000000U};
	struct made_picture made = MADE_GREY;

	make_picture(&made, samples, 4, 1, make_form(1, 4, 32, true));
	CHECK_ROW(&made, 0, 128, 255, 191);
	make_picture_free(&made);

	made = MADE_GREY;
	make_decimal(&made, 0x00281050, "4100000000");
	make_decimal(&made, 0x00281051, "1000");
	MAKE_TEXT(&made.made, 0x00281056, "CS", "SIGMOID");
	make_picture(&made, large, 3, 1, make_form(1, 4, 32, false));
	CHECK_ROW(&made, 0, 255, 128);
	make_picture_free(&made);
}

static struct image_frame
real_form(enum image_sample sample)
{
	struct image_frame form = make_form(1, sample == IMAGE_SAMPLE_FLOAT ? 4 : 8, 32, false);

	form.sample = sample;
	return form;
}

/* NaN is black, and like infinities and padding it has no part in the range. */
UNIT_TEST(picture_float)
{
	static const float samples[] = {0.5F, 1.5F, 1.0F, NAN, INFINITY, -INFINITY, -1e30F};
	static const uint8_t padding[] = {0xCA, 0xF2, 0x49, 0xF1}; /* -1e30 */
	struct made_picture made = MADE_GREY;

	make_bytes(&made.made, 0x00280122, "FL", padding, 4);
	make_picture(&made, samples, 7, 1, real_form(IMAGE_SAMPLE_FLOAT));
	CHECK_ROW(&made, 0, 255, 128, 0, 255, 0, 0);
	made.rules->is_inverted = true;
	CHECK_ROW(&made, 255, 0, 127, 0, 0, 255, 255);
	made.options.window = PICTURE_WINDOW_GIVEN;
	made.options.window_center = 1.5;
	made.options.window_width = 2;
	CHECK_ROW(&made, 255, 0, 127, 0, 0, 255, 255);
	make_picture_free(&made);
}

UNIT_TEST(picture_double)
{
	static const double samples[] = {1e300, 2e300, 1.5e300};
	static const double nothing[] = {NAN, NAN};
	static const double widest[] = {-1.7e308, 1.7e308, 0};
	struct made_picture made = MADE_GREY;

	make_picture(&made, samples, 3, 1, real_form(IMAGE_SAMPLE_DOUBLE));
	CHECK_ROW(&made, 0, 255, 128);
	make_picture_free(&made);

	made = MADE_GREY;
	make_picture(&made, nothing, 2, 1, real_form(IMAGE_SAMPLE_DOUBLE));
	CHECK_ROW(&made, 0, 0);
	make_picture_free(&made);

	made = MADE_GREY;
	make_picture(&made, widest, 3, 1, real_form(IMAGE_SAMPLE_DOUBLE));
	CHECK_ROW(&made, 0, 255, 128);
	make_picture_free(&made);
}

UNIT_TEST(picture_of_frames_that_make_no_sense)
{
	static const uint16_t samples[] = {1, 2, 3, 4};
	struct made_picture made = MADE_GREY;
	struct image_frame good;

	make_picture_16(&made, samples, 4, 1, 16, false);
	good = made.frame;
	made.frame.rows = 2;
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	made.frame = good;
	made.frame.bits_stored = 17;
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	made.frame = good;
	made.frame.high_bit = 16;
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	made.frame = good;
	made.frame.bits_stored = 0;
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	made.frame = good;
	made.frame.samples_per_pixel = 4;
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	made.frame = good;
	made.frame.sample_bytes = 3;
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	made.frame = good;
	make_picture_free(&made);
}

/* ---- the ramp in 16 bits against real numbers ---- */

/* A number that looks random, the same in every run. */
static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static int
exact_level(struct ramp ramp, int64_t value)
{
	double level = ((double) value - ramp.base) * ramp.slope + ramp.offset;

	return (int) ((level < 0 ? 0 : level > 255 ? 255 : level) + 0.5);
}

/* All values of so many bits. Returns how many levels differ by 1; more is a failure. */
static int
compare_ramp(struct sample_bits bits, struct ramp ramp)
{
	uint32_t count = (uint32_t) 1 << bits.stored;
	uint16_t *samples = malloc(count * sizeof(*samples));
	uint8_t *levels = malloc(count);
	int off_by_one = 0;
	int worst = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		samples[i] = (uint16_t) (i << (bits.high + 1 - bits.stored));
	ramp_16(samples, count, ramp_16_of(bits, ramp), levels);
	for (i = 0; i < count; i++)
	{
		int distance = abs(levels[i] - exact_level(ramp, stored_value(bits, samples[i])));

		off_by_one += distance == 1;
		worst = distance > worst ? distance : worst;
	}
	CHECK(worst <= 1);
	free(samples);
	free(levels);
	return off_by_one;
}

UNIT_TEST(picture_ramp_in_16_bits)
{
	uint32_t state = 1;
	uint64_t off_by_one = 0;
	int i;

	for (i = 0; i < 300; i++)
	{
		struct sample_bits bits = {.stored = 1 + next_random(&state) % 16};
		double width = ldexp(1 + next_random(&state) % 256, (int) (next_random(&state) % 12)) / 16;
		struct ramp ramp = {.slope = 255 / (width < 1 ? 1 : width)};

		bits.high = bits.stored - 1 + next_random(&state) % (17 - bits.stored);
		bits.is_signed = next_random(&state) % 2;
		ramp.base = ((double) (next_random(&state) % 0x30000) - 0x18000) / (1 << next_random(&state) % 4);
		ramp.offset = next_random(&state) % 2 ? 255 : 0;
		ramp.slope = ramp.offset > 0 ? -ramp.slope : ramp.slope;
		CHECK(ramp_16_can(ramp));
		off_by_one += (uint64_t) compare_ramp(bits, ramp);
	}
	CHECK(off_by_one < 300 * 100);
}

/* Padding cut away, in every form of 16 bits: the least and the greatest of the rest. */
UNIT_TEST(picture_range_in_16_bits)
{
	uint32_t state = 2;
	int i;

	for (i = 0; i < 2000; i++)
	{
		struct sample_bits bits = {.stored = 1 + next_random(&state) % 16};
		struct padding padding = {.exists = i % 2};
		struct value_range want = {INFINITY, -INFINITY};
		struct value_range got;
		uint16_t samples[37];
		size_t count = next_random(&state) % 37;
		size_t k;

		bits.high = bits.stored - 1 + next_random(&state) % (17 - bits.stored);
		bits.is_signed = next_random(&state) % 2;
		padding.low = (double) (next_random(&state) % 0x10000) - 0x8000;
		padding.high = padding.low + next_random(&state) % 0x10000;
		for (k = 0; k < count; k++)
		{
			double value;

			samples[k] = (uint16_t) next_random(&state);
			value = (double) stored_value(bits, samples[k]);
			if (padding.exists && value >= padding.low && value <= padding.high)
				continue;
			want.low = fmin(value, want.low);
			want.high = fmax(value, want.high);
		}
		got = range_of_16(samples, count, bits, padding);
		CHECK((want.low > want.high && got.low > got.high) || (want.low == got.low && want.high == got.high));
	}
}
