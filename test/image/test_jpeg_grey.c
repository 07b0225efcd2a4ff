/*
 * test_jpeg_grey.c
 *	  Promise: a grey JPEG is the file that libjpeg writes of the same rows, byte for byte, whatever their size and the quality.
 */
#include <stdio.h>

#include <jpeglib.h>

#include "make_picture.h"

/* What libjpeg makes of rows. */
static void
encode_by_libjpeg(const uint8_t *samples, uint32_t columns, uint32_t rows, int quality,
				  struct dicom_buffer *out)
{
	struct jpeg_compress_struct compress;
	struct jpeg_error_mgr errors;
	unsigned char *bytes = NULL;
	unsigned long length = 0;
	uint32_t y;

	compress.err = jpeg_std_error(&errors);
	jpeg_create_compress(&compress);
	jpeg_mem_dest(&compress, &bytes, &length);
	compress.image_width = columns;
	compress.image_height = rows;
	compress.input_components = 1;
	compress.in_color_space = JCS_GRAYSCALE;
	jpeg_set_defaults(&compress);
	jpeg_set_quality(&compress, quality, TRUE);
	jpeg_start_compress(&compress, TRUE);
	for (y = 0; y < rows; y++)
	{
		JSAMPROW row = (JSAMPROW) (samples + (size_t) y * columns);

		jpeg_write_scanlines(&compress, &row, 1);
	}
	jpeg_finish_compress(&compress);
	jpeg_destroy_compress(&compress);
	dicom_buffer_append(out, bytes, length);
	free(bytes);
}

/* Rows of 8 bits that are what the picture shows; inverted twice, they are made, and padded, on the way. */
static void
check_same(const uint8_t *samples, uint32_t columns, uint32_t rows, int quality, bool is_made)
{
	struct made_picture made = MADE_GREY;
	struct dicom_buffer want = {0};
	struct dicom_buffer got = {0};
	struct picture *picture;
	size_t i;

	make_picture_8(&made, samples, columns, rows, 8);
	made.options.quality = quality;
	made.rules->is_inverted = is_made;
	for (i = 0; is_made && i < made.frame.length; i++)
		made.frame.samples[i] = 255 - made.frame.samples[i];
	encode_by_libjpeg(samples, columns, rows, quality, &want);
	CHECK(picture_open(made.rules, &made.frame, 0, &made.options, &picture, &made.error) == DICOM_OK);
	CHECK(picture_to_jpeg(picture, &made.options, &got, &made.error) == DICOM_OK);
	picture_close(picture);
	if (got.length != want.length || memcmp(got.data, want.data, want.length) != 0)
	{
		printf("# %u x %u, quality %d: %zu bytes, want %zu\n", columns, rows, quality, got.length,
			   want.length);
		unit_check(0, "the same bytes", __FILE__, __LINE__);
	}
	dicom_buffer_free(&got);
	dicom_buffer_free(&want);
	make_picture_free(&made);
}

enum content
{
	FLAT,
	SMOOTH,
	NOISE,
	EXTREMES, /* black and white, which give the greatest coefficients and bytes of ones */
	DOTS,     /* long runs of zeros */
	CONTENT_COUNT
};

static uint8_t
sample_of(enum content content, uint32_t x, uint32_t y, uint32_t *random)
{
	*random = *random * 1103515245 + 12345;
	switch (content)
	{
		case FLAT:
			return 77;
		case SMOOTH:
			return (uint8_t) (128 + 60 * sin(x / 9.0) + 50 * cos(y / 7.0));
		case NOISE:
			return (uint8_t) (*random >> 16);
		case EXTREMES:
			return *random >> 16 & 1 ? 255 : 0;
		default:
			return (x * 8 + y) % 97 == 0 ? 140 : 128;
	}
}

static void
check_size(uint32_t columns, uint32_t rows, int quality, bool is_made)
{
	uint8_t *samples = malloc((size_t) columns * rows);
	uint32_t random = columns * 131 + rows;
	uint32_t x;
	uint32_t y;
	int content;

	for (content = 0; content < CONTENT_COUNT; content++)
	{
		for (y = 0; y < rows; y++)
			for (x = 0; x < columns; x++)
				samples[(size_t) y * columns + x] = sample_of((enum content) content, x, y, &random);
		check_same(samples, columns, rows, quality, is_made);
	}
	free(samples);
}

UNIT_TEST(jpeg_grey_is_libjpegs)
{
	static const uint32_t sizes[][2] = {{1, 1},   {8, 8},   {16, 8},  {24, 8},   {8, 16},   {7, 9},
										{61, 59}, {72, 64}, {200, 3}, {512, 24}, {1000, 17}};
	static const int qualities[] = {1, 10, 50, 75, 90, 95, 99, 100};
	size_t i;
	size_t j;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (j = 0; j < sizeof(qualities) / sizeof(*qualities); j++)
		{
			check_size(sizes[i][0], sizes[i][1], qualities[j], false);
			check_size(sizes[i][0], sizes[i][1], qualities[j], true);
		}
}
