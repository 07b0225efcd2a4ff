/*
 * fuzz_image.c
 *	  Any description, any bytes: finding frames and decoding them ends, and what comes out holds together.
 *
 * An input that begins with 0, as a preamble does, is a DICOM file. Any other describes the pixels itself: what `struct recipe` has,
 * then the file.
 *
 * The decoders of other projects are left out (here they fail): what they do with bytes that were made to break them is theirs to find,
 * and they run where a crash costs no more than the file. What is read of a stream before one of them gets it is looked at here.
 */
#include <stdlib.h>
#include <string.h>

#include "image/codec.h"
#include "image/jpeg_header.h"
#include "../image/memory_source.h"
#include "require.h"

/* Frames of one file that are read. */
#define MOST_FRAMES 6

/* Makes the compiler really read every byte of a frame. */
static volatile uint8_t touched;

struct recipe
{
	uint8_t begin; /* not 0 */
	uint8_t rows, columns;
	uint8_t many; /* bits 0 and 1: rows and columns are 256 times as many */
	uint8_t samples;
	uint8_t bits;
	uint8_t codec, photometric, flags;
	uint8_t frames[4];
	uint8_t value_offset, value_length;
	uint8_t table, table_length;
};

/* ---- decoders that are left out ---- */

static enum dicom_status
decode_nothing(struct dicom_error *error)
{
	return codec_fail(error, DICOM_TAG_PIXEL_DATA, "not here");
}

enum dicom_status
jpeg_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length, struct image_frame *frame,
			struct dicom_error *error)
{
	struct jpeg_header header;
	struct codec_size size;

	if (!jpeg_header_read(bytes, length, &header))
		return decode_nothing(error);
	REQUIRE(header.offset < length && header.components >= 1 && header.components <= 4);
	size = (struct codec_size){header.columns, header.rows, header.components, header.precision};
	if (codec_begin(pixels, &size, length, 64, frame, error) != DICOM_OK)
		return DICOM_FAILED;
	REQUIRE(frame->length > 0);
	if (header.precision <= 8)
		codec_widen(frame, 1);
	return DICOM_OK;
}

enum dicom_status
jpeg_ls_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
			   struct image_frame *frame, struct dicom_error *error)
{
	return decode_nothing(error);
}

enum dicom_status
jpeg_2000_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
				 struct image_frame *frame, struct dicom_error *error)
{
	return decode_nothing(error);
}

enum dicom_status
jpeg_xl_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
			   struct image_frame *frame, struct dicom_error *error)
{
	return decode_nothing(error);
}

/* ---- descriptions ---- */

/* What image_pixels_read() would let pass. */
static void
follow(const struct recipe *recipe, struct image_pixels *pixels)
{
	static const uint32_t samples[] = {1, 3, 4, 1};

	memset(pixels, 0, sizeof(*pixels));
	pixels->rows = (recipe->rows + 1U) << (recipe->many & 1 ? 8 : 0);
	pixels->columns = (recipe->columns + 1U) << (recipe->many & 2 ? 8 : 0);
	pixels->samples_per_pixel = samples[recipe->samples & 3];
	pixels->sample = recipe->samples & 4 ? IMAGE_SAMPLE_FLOAT : IMAGE_SAMPLE_INTEGER;
	pixels->bits_allocated = pixels->sample == IMAGE_SAMPLE_FLOAT ? 32 : recipe->bits % 32 + 1U;
	pixels->bits_stored = pixels->bits_allocated;
	pixels->high_bit = pixels->bits_stored - 1;
	pixels->codec = recipe->codec % (IMAGE_CODEC_UNSUPPORTED + 1);
	pixels->photometric = recipe->photometric % IMAGE_PHOTOMETRIC_COUNT;
	pixels->is_signed = recipe->flags & 1;
	pixels->is_planar = (recipe->flags & 2) && pixels->samples_per_pixel > 1;
	pixels->big_endian = recipe->flags & 4;
	pixels->is_words = recipe->flags & 8;
	pixels->is_encapsulated = recipe->flags & 16;
	pixels->is_deflated = recipe->flags & 32;
	memcpy(&pixels->frame_count, recipe->frames, 4);
	pixels->frame_count = pixels->frame_count & INT32_MAX ? pixels->frame_count & INT32_MAX : 1;
	pixels->value_offset = recipe->value_offset;
	pixels->value_length = pixels->is_encapsulated ? UINT64_MAX : (uint64_t) recipe->value_length << 4;
	pixels->table = (struct image_place){recipe->table, recipe->table_length};
}

static enum dicom_status
read_dataset(const struct memory_source *memory, struct image_pixels *pixels, struct dicom_error *error)
{
	struct dicom_dataset dataset = {0};
	struct dicom_window window;
	enum dicom_status status;
	uint8_t *room;

	dicom_window_init(&window, memory->source.size);
	room = dicom_window_reserve(&window, 0, memory->source.size);
	REQUIRE(room);
	memcpy(room, memory->bytes, memory->source.size);
	dicom_window_commit(&window, 0, memory->source.size);
	status = dicom_dataset_open(&dataset, &window, &image_selection, error);
	if (status == DICOM_OK)
		status = dicom_dataset_read(&dataset, error);
	REQUIRE(status != DICOM_NEED);
	status = image_pixels_read(&dataset, pixels, error);
	dicom_dataset_close(&dataset, false);
	dicom_window_free(&window);
	return status;
}

/* ---- frames ---- */

static void
check_frame(const struct image_frame *frame)
{
	uint8_t sum = 0;
	size_t i;

	REQUIRE(frame->samples && frame->columns > 0 && frame->rows > 0);
	REQUIRE(frame->length ==
			(size_t) frame->columns * frame->rows * frame->samples_per_pixel * frame->sample_bytes);
	REQUIRE(frame->high_bit < 8 * frame->sample_bytes && frame->bits_stored <= frame->high_bit + 1);
	for (i = 0; i < frame->length; i++)
		sum ^= frame->samples[i];
	touched = sum;
}

/* A frame that may stay in the file is the one that was read and decoded. */
static void
check_described(struct image_frames *frames, uint32_t number, const struct image_frame *decoded)
{
	struct image_frame frame;
	struct dicom_error error = {0};

	if (!image_frame_describe(frames, number, &frame))
		return;
	REQUIRE(!frame.samples && image_frame_load(&frame, &error) == DICOM_OK);
	REQUIRE(frame.length == decoded->length && memcmp(frame.samples, decoded->samples, frame.length) == 0);
	REQUIRE(frame.sample_bytes == decoded->sample_bytes && frame.photometric == decoded->photometric &&
			frame.bits_stored == decoded->bits_stored && frame.high_bit == decoded->high_bit &&
			frame.is_signed == decoded->is_signed);
	image_frame_free(&frame);
}

static void
read_frame(const struct image_pixels *pixels, struct image_frames *frames, uint32_t number)
{
	struct image_frame frame;
	struct dicom_error error = {0};
	uint8_t *bytes;
	size_t length;

	if (image_frames_read(frames, number, &bytes, &length, &error) == DICOM_OK)
	{
		REQUIRE(bytes && length > 0);
		if (image_decode(pixels, &bytes, length, &frame, &error) == DICOM_OK)
		{
			check_frame(&frame);
			check_described(frames, number, &frame);
		}
		else
			REQUIRE(error.message[0] && !frame.samples);
		image_frame_free(&frame);
	}
	else
		REQUIRE(!bytes && error.message[0]);
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_source memory;
	struct image_pixels pixels;
	struct image_frames *frames;
	struct dicom_error error = {0};
	struct recipe recipe;
	uint32_t i;

	if (size < sizeof(recipe) + 1)
		return 0;
	if (data[0] == 0)
	{
		memory_source_init(&memory, data, size);
		if (read_dataset(&memory, &pixels, &error) != DICOM_OK)
			return 0;
	}
	else
	{
		memcpy(&recipe, data, sizeof(recipe));
		follow(&recipe, &pixels);
		memory_source_init(&memory, data + sizeof(recipe), size - sizeof(recipe));
	}
	if (image_frames_open(&pixels, &memory.source, &frames, &error) != DICOM_OK)
	{
		REQUIRE(error.message[0] && !frames);
		return 0;
	}
	REQUIRE(image_frames_count(frames) > 0);
	for (i = 0; i < MOST_FRAMES && i < image_frames_count(frames); i++)
		read_frame(&pixels, frames, i);
	if (image_frames_count(frames) > 0)
		read_frame(&pixels, frames, image_frames_count(frames) - 1);
	read_frame(&pixels, frames, 0);
	image_frames_close(frames);
	return 0;
}
