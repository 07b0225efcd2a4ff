/*
 * make_picture.h
 *	  Frames and data sets put together in memory, and the pictures made of them.
 */
#ifndef MAKE_PICTURE_H
#define MAKE_PICTURE_H

#include <math.h>

#include "image/picture_internal.h"
#include "make_dataset.h"

struct made_picture
{
	struct made made;
	enum image_photometric photometric;
	bool is_big_endian;
	struct image_pixels pixels;
	struct image_frame frame;
	struct picture_options options;
	struct picture_rules *rules;
	struct dicom_error error;
};

#define MADE_GREY                        \
	(struct made_picture)                \
	{                                    \
		.photometric = IMAGE_MONOCHROME2 \
	}

static inline void
make_decimal(struct made_picture *made, uint32_t tag, const char *text)
{
	make_bytes(&made->made, tag, "DS", text, strlen(text));
}

/* An element of 16-bit numbers: a descriptor, the data of a table. */
static inline void
make_words(struct made_picture *made, uint32_t tag, const char *vr, const uint16_t *words, uint32_t count)
{
	uint32_t i;

	make_header(&made->made, tag, vr, 2 * count);
	for (i = 0; i < count; i++)
		make_number(&made->made, words[i], 2);
}

/* The data set is read, and so are its rules; the samples are copied. */
static inline void
make_picture(struct made_picture *made, const void *samples, uint32_t columns, uint32_t rows,
			 struct image_frame form)
{
	made->frame = form;
	made->frame.columns = columns;
	made->frame.rows = rows;
	made->frame.photometric = made->photometric;
	made->frame.length = (size_t) columns * rows * form.samples_per_pixel * form.sample_bytes;
	made->frame.samples = malloc(made->frame.length);
	memcpy(made->frame.samples, samples, made->frame.length);
	made->pixels.columns = columns;
	made->pixels.rows = rows;
	made->pixels.samples_per_pixel = form.samples_per_pixel;
	made->pixels.bits_allocated = 8 * form.sample_bytes;
	made->pixels.bits_stored = form.bits_stored;
	made->pixels.high_bit = form.high_bit;
	made->pixels.is_signed = form.is_signed;
	made->pixels.sample = form.sample;
	made->pixels.photometric = made->photometric;
	made->pixels.frame_count = 1;
	if (made->made.bytes.length == 0)
		MAKE_TEXT(&made->made, 0x00280004, "CS", "MADE");
	make_read(&made->made, &image_selection);
	CHECK(picture_rules_open(&made->made.dataset, &made->pixels, &made->rules, &made->error) == DICOM_OK);
}

static inline struct image_frame
make_form(uint32_t samples_per_pixel, uint32_t sample_bytes, uint32_t bits_stored, bool is_signed)
{
	struct image_frame form = {0};

	form.samples_per_pixel = samples_per_pixel;
	form.sample_bytes = sample_bytes;
	form.bits_stored = bits_stored;
	form.high_bit = bits_stored - 1;
	form.is_signed = is_signed;
	return form;
}

static inline void
make_picture_8(struct made_picture *made, const void *samples, uint32_t columns, uint32_t rows,
			   uint32_t bits_stored)
{
	make_picture(made, samples, columns, rows, make_form(1, 1, bits_stored, false));
}

static inline void
make_picture_16(struct made_picture *made, const void *samples, uint32_t columns, uint32_t rows,
				uint32_t bits_stored, bool is_signed)
{
	make_picture(made, samples, columns, rows, make_form(1, 2, bits_stored, is_signed));
}

static inline void
make_picture_free(struct made_picture *made)
{
	picture_rules_close(made->rules);
	free(made->frame.samples);
	make_free(&made->made);
}

/* The first row of the picture of a frame: levels in between within 1, black and white as they are. */
static inline void
check_row(struct made_picture *made, uint32_t frame_number, const int *want, size_t count, const char *file,
		  int line)
{
	struct picture *picture;
	const uint8_t *row;
	size_t i;

	if (picture_open(made->rules, &made->frame, frame_number, &made->options, &picture, &made->error) !=
		DICOM_OK)
	{
		unit_check(0, made->error.message, file, line);
		return;
	}
	row = picture_next_row(picture);
	unit_check(row && picture_columns(picture) * (size_t) picture_channels(picture) == count, "as long", file,
			   line);
	for (i = 0; row && i < count; i++)
		if (abs(row[i] - want[i]) > (want[i] != 0 && want[i] != 255))
		{
			printf("# value %zu: got %d, want %d\n", i, row[i], want[i]);
			unit_check(0, "the row", file, line);
		}
	picture_close(picture);
}

#define CHECK_ROW_OF(made, frame_number, ...)                                                             \
	check_row(made, frame_number, (const int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}) / sizeof(int), \
			  __FILE__, __LINE__)
#define CHECK_ROW(made, ...) CHECK_ROW_OF(made, 0, __VA_ARGS__)

static inline void
check_no_picture(struct made_picture *made, enum dicom_error_code code)
{
	struct picture *picture;

	CHECK(picture_open(made->rules, &made->frame, 0, &made->options, &picture, &made->error) == DICOM_FAILED);
	CHECK(picture == NULL);
	CHECK(made->error.code == code);
	CHECK(made->error.message[0] != '\0');
}

#endif
