/*
 * test_picture_output.c
 *	  Promise: JPEGs are right; what passes through is what a reader would show anyway.
 */
#define _GNU_SOURCE /* memmem */

#include "make_picture.h"
#include "memory_source.h"

/* ---- JPEG ---- */

static void
fill_smooth(uint8_t *samples, uint32_t columns, uint32_t rows, int channels)
{
	uint32_t x;
	uint32_t y;
	int c;

	for (y = 0; y < rows; y++)
		for (x = 0; x < columns; x++)
			for (c = 0; c < channels; c++)
				*samples++ = (uint8_t) (128 + 60 * sin(x / 9.0 + c) + 50 * cos(y / 7.0));
}

/* The worst distance between a frame and what comes out of its JPEG. */
static int
distance_of_jpeg(const struct made_picture *made, const struct dicom_buffer *jpeg)
{
	struct image_pixels pixels = made->pixels;
	struct image_frame decoded = {0};
	struct dicom_error error;
	uint8_t *bytes = malloc(jpeg->length);
	int worst = 255;
	size_t i;

	memcpy(bytes, jpeg->data, jpeg->length);
	pixels.codec = IMAGE_CODEC_JPEG;
	pixels.is_encapsulated = true;
	if (image_decode(&pixels, &bytes, jpeg->length, &decoded, &error) == DICOM_OK &&
		decoded.length == made->frame.length)
	{
		if (decoded.samples_per_pixel == 3)
		{
			struct colour colour;

			CHECK(decoded.photometric == IMAGE_YBR_FULL);
			CHECK(colour_open(made->rules, &decoded, &colour, &error) == DICOM_OK);
			colour_convert(&colour, decoded.samples, (size_t) decoded.columns * decoded.rows,
						   decoded.samples);
		}
		worst = 0;
		for (i = 0; i < decoded.length; i++)
			if (abs(decoded.samples[i] - made->frame.samples[i]) > worst)
				worst = abs(decoded.samples[i] - made->frame.samples[i]);
	}
	image_frame_free(&decoded);
	free(bytes);
	return worst;
}

static bool
has_marker(const struct dicom_buffer *jpeg, uint8_t marker)
{
	size_t place = 2;

	while (place + 4 <= jpeg->length)
	{
		const uint8_t *bytes = (const uint8_t *) jpeg->data + place;

		if (bytes[1] == marker)
			return true;
		if (bytes[0] != 0xFF || bytes[1] == 0xDA)
			return false;
		place += 2 + ((size_t) bytes[2] << 8 | bytes[3]);
	}
	return false;
}

static void
make_smooth(struct made_picture *made, uint32_t columns, uint32_t rows, int channels)
{
	uint8_t *samples = malloc((size_t) columns * rows * (size_t) channels);

	fill_smooth(samples, columns, rows, channels);
	made->photometric = channels == 3 ? IMAGE_RGB : IMAGE_MONOCHROME2;
	make_picture(made, samples, columns, rows, make_form((uint32_t) channels, 1, 8, false));
	free(samples);
}

static void
to_jpeg(struct made_picture *made, struct dicom_buffer *jpeg)
{
	struct picture *picture;

	CHECK(picture_open(made->rules, &made->frame, 0, &made->options, &picture, &made->error) == DICOM_OK);
	CHECK(picture_to_jpeg(picture, &made->options, jpeg, &made->error) == DICOM_OK);
	picture_close(picture);
}

/* Whole blocks and others, rows that go in as they are and rows that are made. */
static void
check_jpeg(uint32_t columns, uint32_t rows, int channels, bool is_made)
{
	struct made_picture made = {0};
	struct dicom_buffer jpeg = {0};
	size_t i;

	make_smooth(&made, columns, rows, channels);
	made.options.quality = 100;
	made.options.subsampling = PICTURE_SUBSAMPLING_444;
	made.rules->is_inverted = is_made;
	to_jpeg(&made, &jpeg);
	for (i = 0; is_made && i < made.frame.length; i++)
		made.frame.samples[i] = 255 - made.frame.samples[i];
	CHECK(distance_of_jpeg(&made, &jpeg) <= 2 * channels);
	CHECK(has_marker(&jpeg, 0xE0) && !has_marker(&jpeg, 0xFE) && !has_marker(&jpeg, 0xE1) &&
		  !has_marker(&jpeg, 0xEE));
	dicom_buffer_free(&jpeg);
	make_picture_free(&made);
}

UNIT_TEST(picture_jpeg)
{
	check_jpeg(64, 64, 1, false);
	check_jpeg(64, 64, 1, true);
	check_jpeg(61, 59, 1, false);
	check_jpeg(61, 59, 1, true);
	check_jpeg(1, 1, 1, false);
	check_jpeg(1, 1, 1, true);
	check_jpeg(9, 100, 1, true);
	check_jpeg(61, 59, 3, false);
	check_jpeg(1, 1, 3, false);
}

UNIT_TEST(picture_jpeg_quality_and_subsampling)
{
	struct made_picture made = {0};
	size_t lengths[4];
	int i;

	make_smooth(&made, 200, 200, 3);
	for (i = 0; i < 4; i++)
	{
		struct dicom_buffer jpeg = {0};

		made.options.quality = i == 3 ? 30 : 0;
		made.options.subsampling = i == 0   ? PICTURE_SUBSAMPLING_444
								   : i == 1 ? PICTURE_SUBSAMPLING_422
											: PICTURE_SUBSAMPLING_420;
		to_jpeg(&made, &jpeg);
		lengths[i] = jpeg.length;
		dicom_buffer_free(&jpeg);
	}
	CHECK(lengths[0] > lengths[1] && lengths[1] > lengths[2] && lengths[2] > lengths[3]);
	make_picture_free(&made);
}

/* The picture of the same samples, left in a file that is read in such pieces; the read of that number fails. */
static enum dicom_status
described_to_jpeg(struct made_picture *made, size_t piece, int fail_at, int *reads, struct dicom_buffer *jpeg)
{
	struct image_pixels pixels = made->pixels;
	struct memory_source memory;
	struct image_frames *frames;
	struct image_frame frame;
	struct picture *picture;
	enum dicom_status status;

	pixels.value_length = made->frame.length;
	memory_source_init(&memory, made->frame.samples, made->frame.length);
	memory.source.piece = piece;
	memory.fail_at = fail_at;
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &made->error) == DICOM_OK);
	CHECK(image_frame_describe(frames, 0, &frame) && !frame.samples);
	status = picture_open(made->rules, &frame, 0, &made->options, &picture, &made->error);
	if (status == DICOM_OK)
		status = picture_to_jpeg(picture, &made->options, jpeg, &made->error);
	picture_close(picture);
	image_frame_free(&frame);
	image_frames_close(frames);
	*reads = memory.reads;
	return status;
}

/* A frame that stays in the file makes the picture that it makes in memory. All of it is read at once only where all is looked at. */
static void
check_described(struct made_picture *made, bool at_once)
{
	static const size_t pieces[] = {0, 1, 5000, 1 << 20};
	struct dicom_buffer want = {0};
	size_t i;

	to_jpeg(made, &want);
	for (i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
	{
		struct dicom_buffer jpeg = {0};
		int reads;

		CHECK(described_to_jpeg(made, pieces[i], 0, &reads, &jpeg) == DICOM_OK);
		CHECK(jpeg.length == want.length && memcmp(jpeg.data, want.data, want.length) == 0);
		CHECK(pieces[i] != 1 || reads == (at_once ? 1 : (int) (made->frame.rows + 15) / 16));
		CHECK(pieces[i] != 1 << 20 || reads == 1);
		CHECK(described_to_jpeg(made, pieces[i], reads, &reads, &jpeg) == DICOM_FAILED);
		CHECK(made->error.code == DICOM_ERROR_IO && jpeg.length == want.length);
		dicom_buffer_free(&jpeg);
	}
	dicom_buffer_free(&want);
	make_picture_free(made);
}

UNIT_TEST(picture_of_a_frame_in_the_file)
{
	struct made_picture made = {0};
	uint16_t words[70 * 61];
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		words[i] = (uint16_t) (i * 7);
	make_smooth(&made, 70, 61, 1);
	check_described(&made, false);
	made = (struct made_picture){0};
	make_smooth(&made, 70, 61, 3);
	check_described(&made, false);
	made = (struct made_picture){.options.max_size = 33};
	make_smooth(&made, 70, 61, 1);
	made.rules->is_inverted = true;
	check_described(&made, false);
	made = MADE_GREY;
	made.options =
		(struct picture_options){.window = PICTURE_WINDOW_GIVEN, .window_center = 9000, .window_width = 9000};
	make_picture_16(&made, words, 70, 61, 16, false);
	check_described(&made, false);
	made = MADE_GREY;
	make_picture_16(&made, words, 70, 61, 16, false);
	check_described(&made, true);
}

/* A buffer that can hold no more stays as it was. */
UNIT_TEST(picture_jpeg_that_cannot_be_written)
{
	struct made_picture made = {0};
	struct dicom_buffer jpeg = {.failed = true};
	struct picture *picture;

	make_smooth(&made, 800, 800, 1);
	made.options.quality = 101;
	CHECK(picture_open(made.rules, &made.frame, 0, &made.options, &picture, &made.error) == DICOM_OK);
	CHECK(picture_to_jpeg(picture, &made.options, &jpeg, &made.error) == DICOM_FAILED);
	CHECK(made.error.code == DICOM_ERROR_INVALID_OPTION);
	made.options.quality = 95;
	CHECK(picture_to_jpeg(picture, &made.options, &jpeg, &made.error) == DICOM_FAILED);
	CHECK(made.error.code == DICOM_ERROR_LIMIT && jpeg.length == 0);
	picture_close(picture);
	make_picture_free(&made);
}

/* 65,500 a side and no more, but scaled. */
UNIT_TEST(picture_too_large_for_jpeg)
{
	uint8_t *samples = calloc(65501, 1);
	struct made_picture made = MADE_GREY;
	struct dicom_buffer jpeg = {0};
	struct picture *picture;

	make_picture_8(&made, samples, 65501, 1, 8);
	CHECK(picture_open(made.rules, &made.frame, 0, &made.options, &picture, &made.error) == DICOM_OK);
	CHECK(picture_to_jpeg(picture, &made.options, &jpeg, &made.error) == DICOM_FAILED);
	CHECK(made.error.code == DICOM_ERROR_LIMIT);
	CHECK(strstr(made.error.hint, "--max-size") != NULL);
	CHECK(jpeg.length == 0);
	picture_close(picture);
	made.options.max_size = 65500;
	to_jpeg(&made, &jpeg);
	CHECK(jpeg.length > 0);
	dicom_buffer_free(&jpeg);
	make_picture_free(&made);
	free(samples);
}

/* ---- passing through ---- */

struct passing
{
	struct made_picture made;
	struct dicom_buffer jpeg; /* the frame's bytes */
	struct dicom_buffer out;
};

static void
begin_passing(struct passing *passing, int channels)
{
	memset(passing, 0, sizeof(*passing));
	make_smooth(&passing->made, 40, 24, channels);
	to_jpeg(&passing->made, &passing->jpeg);
	passing->made.pixels.codec = IMAGE_CODEC_JPEG;
	passing->made.pixels.is_encapsulated = true;
	if (channels == 3)
		passing->made.pixels.photometric = IMAGE_YBR_FULL_422;
	dicom_buffer_append_string(&passing->out, "before");
}

static bool
passes(struct passing *passing)
{
	bool does;

	passing->out.length = 6;
	does = picture_pass_through(passing->made.rules, &passing->made.pixels, 0,
								(const uint8_t *) passing->jpeg.data, passing->jpeg.length,
								&passing->made.options, &passing->out);
	CHECK(memcmp(passing->out.data, "before", 6) == 0);
	CHECK(does || passing->out.length == 6);
	return does;
}

static bool
passes_as_it_is(struct passing *passing)
{
	return passes(passing) && passing->out.length == 6 + passing->jpeg.length &&
		   memcmp(passing->out.data + 6, passing->jpeg.data, passing->jpeg.length) == 0;
}

static void
end_passing(struct passing *passing)
{
	dicom_buffer_free(&passing->jpeg);
	dicom_buffer_free(&passing->out);
	make_picture_free(&passing->made);
}

/* Puts a segment behind the first `place` bytes. */
static void
insert_segment(struct passing *passing, size_t place, uint8_t marker, const char *text, size_t length)
{
	struct dicom_buffer longer = {0};

	dicom_buffer_append(&longer, passing->jpeg.data, place);
	dicom_buffer_append_char(&longer, (char) 0xFF);
	dicom_buffer_append_char(&longer, (char) marker);
	dicom_buffer_append_char(&longer, (char) ((length + 2) >> 8));
	dicom_buffer_append_char(&longer, (char) (length + 2));
	dicom_buffer_append(&longer, text, length);
	dicom_buffer_append(&longer, passing->jpeg.data + place, passing->jpeg.length - place);
	dicom_buffer_free(&passing->jpeg);
	passing->jpeg = longer;
}

#define JFIF_END 20 /* of SOI and JFIF's segment */

static void
remove_jfif(struct passing *passing)
{
	memmove(passing->jpeg.data + 2, passing->jpeg.data + JFIF_END, passing->jpeg.length - JFIF_END);
	passing->jpeg.length -= JFIF_END - 2;
}

UNIT_TEST(picture_passes_through)
{
	struct passing passing;

	begin_passing(&passing, 1);
	CHECK(passes_as_it_is(&passing));
	dicom_buffer_append_char(&passing.jpeg, '\0');
	CHECK(passes_as_it_is(&passing));
	dicom_buffer_append_char(&passing.jpeg, '\0');
	CHECK(passes_as_it_is(&passing));
	dicom_buffer_append_string(&passing.jpeg, "more");
	CHECK(passes(&passing) && passing.out.length == 6 + passing.jpeg.length - 6);
	end_passing(&passing);

	begin_passing(&passing, 3);
	CHECK(passes_as_it_is(&passing));
	end_passing(&passing);
}

/* What may say anything about anybody does not. */
UNIT_TEST(picture_passes_without_comments)
{
	struct passing passing;
	size_t length;

	begin_passing(&passing, 3);
	length = passing.jpeg.length;
	insert_segment(&passing, JFIF_END, 0xE1, "Exif\0\0DOE^JANE", 14);
	insert_segment(&passing, JFIF_END, 0xFE, "DOE^JANE", 8);
	insert_segment(&passing, JFIF_END, 0xEE, "Adobe and more than that", 24);
	insert_segment(&passing, 2, 0xE0, "JFXX\0\x10", 6);
	CHECK(passes(&passing) && passing.out.length == 6 + length);
	CHECK(memmem(passing.out.data, passing.out.length, "DOE", 3) == NULL);
	end_passing(&passing);
}

static bool
passes_with(struct passing *passing, const char *adobe)
{
	remove_jfif(passing);
	if (adobe)
		insert_segment(passing, 2, 0xEE, adobe, 12);
	return passes_as_it_is(passing);
}

#define ADOBE(transform) "Adobe\0\x64\0\0\0\0" transform

/* Colours as a reader sees them, which must be those that we would decode. */
UNIT_TEST(picture_passes_only_with_colours_that_are_clear)
{
	static const struct
	{
		enum image_photometric photometric;
		const char *adobe;
		bool passes;
	} cases[] = {{IMAGE_YBR_FULL, NULL, true},         {IMAGE_YBR_FULL, ADOBE("\1"), true},
				 {IMAGE_YBR_FULL, ADOBE("\0"), true},  {IMAGE_RGB, ADOBE("\0"), true},
				 {IMAGE_RGB, ADOBE("\1"), true},       {IMAGE_RGB, NULL, false},
				 {IMAGE_YBR_PARTIAL_422, NULL, false}, {IMAGE_PALETTE_COLOR, NULL, false}};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct passing passing;

		begin_passing(&passing, 3);
		passing.made.options.subsampling = PICTURE_SUBSAMPLING_444;
		dicom_buffer_reset(&passing.jpeg);
		to_jpeg(&passing.made, &passing.jpeg);
		passing.made.pixels.photometric = cases[i].photometric;
		CHECK(passes_with(&passing, cases[i].adobe) == cases[i].passes);
		end_passing(&passing);
	}
}

/* Both say something else. */
UNIT_TEST(picture_does_not_pass_with_two_colour_spaces)
{
	struct passing passing;

	begin_passing(&passing, 3);
	insert_segment(&passing, JFIF_END, 0xEE, ADOBE("\0"), 12);
	CHECK(!passes(&passing));
	end_passing(&passing);
}

UNIT_TEST(picture_does_not_pass_what_must_change)
{
	struct passing passing;
	struct image_pixels good;
	struct picture_options options = {0};

	begin_passing(&passing, 1);
	good = passing.made.pixels;
	passing.made.options.no_pass_through = true;
	CHECK(!passes(&passing));
	passing.made.options = (struct picture_options){.window = PICTURE_WINDOW_PIXELS};
	CHECK(!passes(&passing));
	passing.made.options = (struct picture_options){.max_size = 39};
	CHECK(!passes(&passing));
	passing.made.options = (struct picture_options){.max_size = 40};
	CHECK(passes(&passing));
	passing.made.options =
		(struct picture_options){PICTURE_WINDOW_GIVEN, .window_center = 100, .window_width = 50};
	CHECK(!passes(&passing));
	passing.made.options.window_center = 128;
	passing.made.options.window_width = 256;
	CHECK(passes(&passing));
	passing.made.options = options;
	passing.made.rules->is_inverted = true;
	CHECK(!passes(&passing));
	passing.made.rules->is_inverted = false;
	passing.made.pixels.is_signed = true;
	CHECK(!passes(&passing));
	passing.made.pixels = good;
	passing.made.pixels.bits_stored = 7;
	CHECK(!passes(&passing));
	passing.made.pixels = good;
	passing.made.pixels.columns = 41;
	CHECK(!passes(&passing));
	passing.made.pixels = good;
	passing.made.pixels.codec = IMAGE_CODEC_RLE;
	CHECK(!passes(&passing));
	passing.made.pixels = good;
	passing.made.pixels.samples_per_pixel = 3;
	passing.made.pixels.photometric = IMAGE_YBR_FULL;
	CHECK(!passes(&passing));
	passing.made.pixels = good;
	CHECK(passes(&passing));
	end_passing(&passing);
}

/* Cut anywhere, or with a byte of a header changed, it is decoded, or passes as a stream with the same headers would. */
UNIT_TEST(picture_does_not_pass_broken_streams)
{
	struct passing passing;
	size_t length;
	size_t i;

	begin_passing(&passing, 3);
	length = passing.jpeg.length;
	for (i = 0; i < length; i++)
	{
		passing.jpeg.length = i;
		CHECK(!passes(&passing));
	}
	passing.jpeg.length = length;
	for (i = 0; i < length; i++)
	{
		char was = passing.jpeg.data[i];

		passing.jpeg.data[i] = (char) (was ^ 0x40);
		passes(&passing);
		passing.jpeg.data[i] = was;
	}
	CHECK(passes(&passing));
	end_passing(&passing);
}

/* A progressive frame header, and one of 12 bits. */
UNIT_TEST(picture_does_not_pass_other_processes)
{
	struct passing passing;
	char *frame;

	begin_passing(&passing, 1);
	frame = memmem(passing.jpeg.data, passing.jpeg.length, "\xFF\xC0", 2);
	CHECK(frame != NULL);
	if (frame)
	{
		frame[1] = (char) 0xC2;
		CHECK(!passes(&passing));
		frame[1] = (char) 0xC1;
		CHECK(!passes(&passing));
		frame[1] = (char) 0xC0;
		frame[4] = 12;
		CHECK(!passes(&passing));
		frame[4] = 8;
		CHECK(passes(&passing));
	}
	end_passing(&passing);
}
