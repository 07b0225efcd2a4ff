/*
 * test_picture_colour.c
 *	  Promise: colours are those of PS3.3 C.7.6.3.1.2, and a scaled picture is the mean of what it covers.
 */
#include "make_picture.h"

/* ---- colour ---- */

static void
check_colour(enum image_photometric photometric, const uint8_t pixel[3], int red, int green, int blue)
{
	struct made_picture made = {.photometric = photometric};

	make_picture(&made, pixel, 1, 1, make_form(3, 1, 8, false));
	CHECK_ROW(&made, red, green, blue);
	make_picture_free(&made);
}

#define PIXEL(a, b, c) ((const uint8_t[]){a, b, c})

UNIT_TEST(picture_colours)
{
	check_colour(IMAGE_RGB, PIXEL(1, 2, 3), 1, 2, 3);
	check_colour(IMAGE_MONOCHROME2, PIXEL(1, 2, 3), 1, 2, 3);
	check_colour(IMAGE_YBR_FULL, PIXEL(255, 128, 128), 255, 255, 255);
	check_colour(IMAGE_YBR_FULL, PIXEL(76, 85, 255), 254, 0, 0);
	check_colour(IMAGE_YBR_FULL_422, PIXEL(150, 44, 21), 0, 255, 1);
	check_colour(IMAGE_YBR_ICT, PIXEL(29, 255, 107), 0, 0, 254);
	check_colour(IMAGE_YBR_PARTIAL_422, PIXEL(16, 128, 128), 0, 0, 0);
	check_colour(IMAGE_YBR_PARTIAL_420, PIXEL(235, 128, 128), 255, 255, 255);
	check_colour(IMAGE_YBR_PARTIAL_422, PIXEL(81, 90, 240), 254, 0, 0);
	check_colour(IMAGE_YBR_RCT, PIXEL(63, 128, 255), 159, 32, 32);
}

UNIT_TEST(picture_deep_colours)
{
	static const uint16_t deep[] = {0, 0x8000, 0xFFFF};
	static const uint16_t twelve[] = {4095, 2048, 0xF000};
	static const uint32_t deepest[] = {0, 0x80000000U, 0xFFFFFFFFU};
	static const uint8_t shallow[] = {0, 7, 15};
	struct made_picture made = {.photometric = IMAGE_RGB};

	make_picture(&made, deep, 1, 1, make_form(3, 2, 16, false));
	CHECK_ROW(&made, 0, 128, 255);
	make_picture_free(&made);
	made = (struct made_picture){.photometric = IMAGE_RGB};
	make_picture(&made, twelve, 1, 1, make_form(3, 2, 12, true));
	CHECK_ROW(&made, 255, 128, 0);
	make_picture_free(&made);
	made = (struct made_picture){.photometric = IMAGE_RGB};
	make_picture(&made, deepest, 1, 1, make_form(3, 4, 32, false));
	CHECK_ROW(&made, 0, 128, 255);
	make_picture_free(&made);
	made = (struct made_picture){.photometric = IMAGE_RGB};
	make_picture(&made, shallow, 1, 1, make_form(3, 1, 4, false));
	CHECK_ROW(&made, 0, 119, 255);
	make_picture_free(&made);
}

UNIT_TEST(picture_colours_that_make_no_sense)
{
	static const float real[] = {1, 2, 3};
	struct made_picture made = {.photometric = IMAGE_RGB};
	struct image_frame form = make_form(3, 4, 32, false);

	form.sample = IMAGE_SAMPLE_FLOAT;
	make_picture(&made, real, 1, 1, form);
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	make_picture_free(&made);

	made = (struct made_picture){.photometric = IMAGE_XYB};
	make_picture(&made, PIXEL(1, 2, 3), 1, 1, make_form(3, 1, 8, false));
	check_no_picture(&made, DICOM_ERROR_MALFORMED);
	make_picture_free(&made);
}

/* ---- scaling ---- */

UNIT_TEST(picture_scaled_sizes)
{
	uint32_t columns;
	uint32_t rows;

	scaled_size(100, 50, 0, &columns, &rows);
	CHECK(columns == 100 && rows == 50);
	scaled_size(100, 50, 100, &columns, &rows);
	CHECK(columns == 100 && rows == 50);
	scaled_size(100, 50, 99, &columns, &rows);
	CHECK(columns == 99 && rows == 50);
	scaled_size(50, 100, 10, &columns, &rows);
	CHECK(columns == 5 && rows == 10);
	scaled_size(65535, 1, 10, &columns, &rows);
	CHECK(columns == 10 && rows == 1);
	scaled_size(UINT32_MAX, UINT32_MAX, 65500, &columns, &rows);
	CHECK(columns == 65500 && rows == 65500);
}

/* The mean of what a pixel of the result covers, computed the slow way. */
static double
mean_of(const uint8_t *samples, const struct made_picture *made, uint32_t columns, uint32_t rows, uint32_t x,
		uint32_t y, int channels, int channel)
{
	double width = (double) made->frame.columns / columns;
	double height = (double) made->frame.rows / rows;
	double sum = 0;
	uint32_t i;
	uint32_t k;

	for (k = 0; k < made->frame.rows; k++)
		for (i = 0; i < made->frame.columns; i++)
		{
			double across = fmin(i + 1, (x + 1) * width) - fmax(i, x * width);
			double down = fmin(k + 1, (y + 1) * height) - fmax(k, y * height);

			if (across > 0 && down > 0)
				sum += across * down *
					   samples[((size_t) k * made->frame.columns + i) * (size_t) channels + (size_t) channel];
		}
	return sum / width / height;
}

static void
check_scaling(uint32_t frame_columns, uint32_t frame_rows, uint32_t max_size, int channels)
{
	size_t length = (size_t) frame_columns * frame_rows * (size_t) channels;
	struct made_picture made = {.photometric = channels == 3 ? IMAGE_RGB : IMAGE_MONOCHROME2};
	uint8_t *samples = malloc(length);
	struct picture *picture;
	const uint8_t *row;
	uint32_t y = 0;
	double worst = 0;
	size_t i;

	for (i = 0; i < length; i++)
		samples[i] = (uint8_t) (i * i * 31 >> 3);
	make_picture(&made, samples, frame_columns, frame_rows, make_form((uint32_t) channels, 1, 8, false));
	made.options.max_size = max_size;
	CHECK(picture_open(made.rules, &made.frame, 0, &made.options, &picture, &made.error) == DICOM_OK);
	for (; (row = picture_next_row(picture)) != NULL; y++)
		for (i = 0; i < (size_t) picture_columns(picture) * (size_t) channels; i++)
			worst =
				fmax(worst, fabs(row[i] - mean_of(samples, &made, picture_columns(picture),
												  picture_rows(picture), (uint32_t) i / (uint32_t) channels,
												  y, channels, (int) (i % (size_t) channels))));
	CHECK(worst <= 0.5000001);
	CHECK(y == picture_rows(picture));
	picture_close(picture);
	make_picture_free(&made);
	free(samples);
}

UNIT_TEST(picture_scaling)
{
	check_scaling(16, 16, 8, 1);
	check_scaling(17, 13, 7, 1);
	check_scaling(17, 13, 16, 1);
	check_scaling(13, 17, 5, 3);
	check_scaling(31, 3, 1, 1);
	check_scaling(1, 29, 11, 3);
	check_scaling(10, 10, 9, 3);
}
