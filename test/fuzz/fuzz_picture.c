/*
 * fuzz_picture.c
 *	  Any data set, a frame of any form, any options: there is a picture of the size that was said, or a reason; and any bytes pass
 *	  through only as a stream that begins and ends as one.
 *
 * Twelve bytes choose the frame and the options, two say how long the samples are (which may be fewer than the frame needs: they are
 * repeated), and the rest is a data set without preamble; the samples are the bytes that may pass through, too.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/picture_internal.h"
#include "require.h"

#define CHOICES 14
#define MOST    40 /* columns and rows of a frame */

/* As image_selection, which stands beside the decoders: all of it. */
static const struct dicom_selection selection = {.everything = true, .max_value = 1 << 18};

struct trial
{
	struct dicom_window window;
	struct dicom_dataset dataset;
	struct image_pixels pixels;
	struct image_frame frame;
	struct picture_options options;
	uint32_t frame_number;
};

static void
choose_frame(const uint8_t *choice, struct image_frame *frame)
{
	static const uint32_t sizes[] = {1, 2, 4, 4, 8, 2, 1, 2};

	frame->columns = 1 + choice[0] % MOST;
	frame->rows = 1 + choice[1] % MOST;
	frame->samples_per_pixel = choice[2] & 1 ? 3 : 1;
	frame->photometric = (enum image_photometric)((choice[2] >> 1) % IMAGE_PHOTOMETRIC_COUNT);
	frame->sample_bytes = sizes[choice[3] & 7];
	frame->sample = (choice[3] & 7) == 3   ? IMAGE_SAMPLE_FLOAT
					: (choice[3] & 7) == 4 ? IMAGE_SAMPLE_DOUBLE
										   : IMAGE_SAMPLE_INTEGER;
	frame->is_signed = choice[3] >> 3 & 1;
	frame->bits_stored = 1 + choice[4] % (8 * frame->sample_bytes);
	frame->high_bit = frame->bits_stored - 1 + choice[5] % (8 * frame->sample_bytes + 1 - frame->bits_stored);
}

static void
choose_options(const uint8_t *choice, struct picture_options *options)
{
	options->window = (enum picture_window)(choice[6] % 3);
	options->window_number = choice[6] >> 2 & 3;
	options->window_center = ldexp((int8_t) choice[7], choice[8] & 31);
	options->window_width = ldexp(choice[9], (int) (choice[8] >> 5) - 2);
	options->max_size = choice[10] & 1 ? choice[10] >> 1 : 0;
	options->quality = choice[11] % 101;
	options->subsampling = (enum picture_subsampling)((choice[11] >> 1) % 3);
}

static void
describe(const struct image_frame *frame, const uint8_t *choice, struct image_pixels *pixels)
{
	pixels->columns = frame->columns;
	pixels->rows = frame->rows;
	pixels->samples_per_pixel = frame->samples_per_pixel;
	pixels->bits_allocated = 8 * frame->sample_bytes;
	pixels->bits_stored = frame->bits_stored;
	pixels->high_bit = frame->high_bit;
	pixels->is_signed = frame->is_signed;
	pixels->sample = frame->sample;
	pixels->photometric = frame->photometric;
	pixels->codec = choice[5] & 0x80 ? IMAGE_CODEC_JPEG : IMAGE_CODEC_NATIVE;
	pixels->frame_count = 1;
}

static void
fill(struct image_frame *frame, const uint8_t *bytes, size_t length)
{
	size_t i;

	frame->length = (size_t) frame->columns * frame->rows * frame->samples_per_pixel * frame->sample_bytes;
	frame->samples = malloc(frame->length);
	for (i = 0; i < frame->length; i++)
		frame->samples[i] = length > 0 ? bytes[i % length] : (uint8_t) i;
}

static bool
read_dataset(struct trial *trial, const uint8_t *bytes, size_t length)
{
	struct dicom_error error;
	uint8_t *room;

	dicom_window_init(&trial->window, length);
	room = dicom_window_reserve(&trial->window, 0, length);
	if (!room)
		return false;
	memcpy(room, bytes, length);
	dicom_window_commit(&trial->window, 0, length);
	if (dicom_dataset_open(&trial->dataset, &trial->window, &selection, &error) != DICOM_OK)
		return false;
	dicom_dataset_read(&trial->dataset, &error); /* what was read before an error counts */
	return true;
}

/* Makes the compiler really read the rows. */
static volatile uint8_t touched;

/* Rows are counted and touched; then the same picture becomes a JPEG. */
static void
make_picture(struct trial *trial, const struct picture_rules *rules)
{
	struct picture *picture;
	struct dicom_buffer jpeg = {0};
	struct dicom_error error = {0};
	const uint8_t *row;
	uint32_t rows = 0;

	if (picture_open(rules, &trial->frame, trial->frame_number, &trial->options, &picture, &error) !=
		DICOM_OK)
	{
		REQUIRE(error.message[0]);
		return;
	}
	for (; (row = picture_next_row(picture)) != NULL; rows++)
		touched ^= row[picture_columns(picture) * (size_t) picture_channels(picture) - 1];
	REQUIRE(rows == picture_rows(picture));
	picture_close(picture);
	REQUIRE(picture_open(rules, &trial->frame, trial->frame_number, &trial->options, &picture, &error) ==
			DICOM_OK);
	REQUIRE(picture_to_jpeg(picture, &trial->options, &jpeg, &error) == DICOM_OK);
	REQUIRE(jpeg.length > 100);
	picture_close(picture);
	dicom_buffer_free(&jpeg);
}

static void
pass_through(const struct trial *trial, const struct picture_rules *rules, const uint8_t *bytes,
			 size_t length)
{
	struct dicom_buffer out = {0};

	if (!picture_pass_through(rules, &trial->pixels, trial->frame_number, bytes, length, &trial->options,
							  &out))
		REQUIRE(out.length == 0);
	else
	{
		REQUIRE(out.length > 100 && out.length <= length);
		REQUIRE(memcmp(out.data, "\xFF\xD8\xFF", 3) == 0);
		while (out.data[out.length - 1] == 0)
			out.length--;
		REQUIRE(memcmp(out.data + out.length - 2, "\xFF\xD9", 2) == 0);
	}
	dicom_buffer_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trial trial = {0};
	struct picture_rules *rules;
	struct dicom_error error;
	size_t sample_length;

	if (size < CHOICES)
		return 0;
	sample_length = (size_t) data[12] | (size_t) data[13] << 8;
	sample_length = sample_length < size - CHOICES ? sample_length : size - CHOICES;
	choose_frame(data, &trial.frame);
	choose_options(data, &trial.options);
	trial.frame_number = data[10] >> 6;
	describe(&trial.frame, data, &trial.pixels);
	fill(&trial.frame, data + CHOICES, sample_length);
	if (read_dataset(&trial, data + CHOICES + sample_length, size - CHOICES - sample_length) &&
		picture_rules_open(&trial.dataset, &trial.pixels, &rules, &error) == DICOM_OK)
	{
		make_picture(&trial, rules);
		pass_through(&trial, rules, data + CHOICES, sample_length);
		picture_rules_close(rules);
	}
	free(trial.frame.samples);
	dicom_dataset_close(&trial.dataset, false);
	dicom_window_free(&trial.window);
	return 0;
}
