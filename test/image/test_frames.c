/*
 * test_frames.c
 *	  Where frames lie: arithmetic, tables, fragments; and sources that fail.
 */
#include <stdlib.h>

#include "unit.h"
#include "memory_source.h"
#include "dicom/buffer.h"

static struct image_pixels
native(uint32_t rows, uint32_t columns, uint32_t bits, uint32_t frames, uint64_t length)
{
	struct image_pixels pixels = {.rows = rows,
								  .columns = columns,
								  .samples_per_pixel = 1,
								  .bits_allocated = bits,
								  .bits_stored = bits,
								  .high_bit = bits - 1,
								  .photometric = IMAGE_MONOCHROME2,
								  .frame_count = frames,
								  .value_length = length};

	return pixels;
}

static struct image_pixels
encapsulated(enum image_codec codec, uint32_t frames)
{
	struct image_pixels pixels = native(2, 2, 8, frames, UINT64_MAX);

	pixels.codec = codec;
	pixels.is_encapsulated = true;
	return pixels;
}

static void
add_item(struct dicom_buffer *file, const void *bytes, uint32_t length)
{
	char head[8] = {(char) 0xFE, (char) 0xFF, 0, (char) 0xE0};
	int i;

	for (i = 0; i < 4; i++)
		head[4 + i] = (char) (length >> 8 * i);
	dicom_buffer_append(file, head, 8);
	if (length > 0)
		dicom_buffer_append(file, bytes, length);
}

/* The bytes of a frame; length 0 where it cannot be read. */
static void
check_frame(struct image_frames *frames, uint32_t number, const char *want, size_t want_length)
{
	struct dicom_error error = {0};
	uint8_t *bytes;
	size_t length;
	enum dicom_status status = image_frames_read(frames, number, &bytes, &length, &error);

	CHECK((status == DICOM_OK) == (want != NULL));
	if (want && status == DICOM_OK)
		CHECK(length == want_length && memcmp(bytes, want, length) == 0);
	else
		CHECK(!bytes && length == 0 && error.message[0]);
	free(bytes);
}

UNIT_TEST(frames_native_read_no_more_than_the_frame)
{
	static const uint8_t value[1000] = {[300] = 'a', 'b', 'c'};
	struct image_pixels pixels = native(10, 10, 8, 9, sizeof(value));
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error;
	uint8_t *bytes;
	size_t length;

	memory_source_init(&memory, value, sizeof(value));
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_OK);
	CHECK(image_frames_count(frames) == 9);
	CHECK(memory.reads == 0);
	CHECK(image_frames_read(frames, 3, &bytes, &length, &error) == DICOM_OK);
	CHECK(length == 100 && bytes[0] == 'a' && bytes[2] == 'c' && memory.reads == 1 && memory.longest == 100);
	free(bytes);
	check_frame(frames, 9, NULL, 0);
	image_frames_close(frames);
}

UNIT_TEST(frames_of_bits_are_aligned)
{
	/* Three frames of five bits: 10110 01101 11100, from the lowest bit on. */
	static const uint8_t value[2] = {0xCD, 0x1E};
	struct image_pixels pixels = native(1, 5, 1, 3, sizeof(value));
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error;
	uint8_t *bytes;
	size_t length;
	uint32_t i;
	static const uint8_t want[] = {0x0D, 0x16, 0x07};

	memory_source_init(&memory, value, sizeof(value));
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_OK);
	for (i = 0; i < 3; i++)
	{
		CHECK(image_frames_read(frames, i, &bytes, &length, &error) == DICOM_OK);
		CHECK(length == 1 && (bytes[0] & 0x1F) == want[i]);
		free(bytes);
	}
	image_frames_close(frames);
}

UNIT_TEST(frames_native_that_the_file_cuts)
{
	static const uint8_t value[250];
	struct image_pixels pixels = native(10, 10, 8, 1000000, sizeof(value));
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error;

	memory_source_init(&memory, value, sizeof(value));
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_OK);
	CHECK(image_frames_count(frames) == 3);
	check_frame(frames, 1, (const char *) value, 100);
	check_frame(frames, 2, NULL, 0);
	image_frames_close(frames);

	/* A value that claims more than the file has. */
	pixels.value_length = 4000000000U;
	pixels.rows = pixels.columns = 30000;
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_OK);
	CHECK(image_frames_count(frames) == 1);
	check_frame(frames, 0, NULL, 0);
	image_frames_close(frames);

	/* A value behind the end of the file. */
	pixels.value_offset = 1000;
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_MALFORMED && !frames);
}

UNIT_TEST(frames_encapsulated_without_table)
{
	struct image_pixels pixels = encapsulated(IMAGE_CODEC_JPEG, 2);
	struct dicom_buffer file = {0};
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error;

	add_item(&file, NULL, 0);
	add_item(&file,
			 "\xFF\xD8\xFF"
			 "1",
			 4);
	add_item(&file, "2222", 4);
	add_item(&file,
			 "\xFF\xD8\xFF"
			 "3",
			 4);
	memory_source_init(&memory, file.data, file.length);
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_OK);
	CHECK(image_frames_count(frames) == 2);
	check_frame(frames, 0,
				"\xFF\xD8\xFF"
				"12222",
				8);
	check_frame(frames, 1,
				"\xFF\xD8\xFF"
				"3",
				4);
	image_frames_close(frames);
	dicom_buffer_free(&file);
}

/* Every read of the file fails once, at opening or later; nothing is leaked, and the error is the source's. */
UNIT_TEST(frames_of_a_source_that_fails)
{
	struct image_pixels pixels = encapsulated(IMAGE_CODEC_JPEG, 2);
	struct dicom_buffer file = {0};
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error = {0};
	int fail_at = 0;
	int failures = 0;
	bool again = true;

	add_item(&file, "\0\0\0\0\x0C\0\0\0", 8);
	add_item(&file,
			 "\xFF\xD8\xFF"
			 "1",
			 4);
	add_item(&file,
			 "\xFF\xD8\xFF"
			 "3",
			 4);
	while (again)
	{
		enum dicom_status status;
		uint8_t *bytes = NULL;
		size_t length;

		memory_source_init(&memory, file.data, file.length);
		memory.fail_at = ++fail_at;
		status = image_frames_open(&pixels, &memory.source, &frames, &error);
		if (status == DICOM_OK)
			status = image_frames_read(frames, 1, &bytes, &length, &error);
		CHECK(status == DICOM_OK || (error.code == DICOM_ERROR_IO && !bytes));
		again = status != DICOM_OK;
		failures += again;
		free(bytes);
		memory.fail_at = 0;
		if (frames)
		{
			check_frame(frames, 0,
						"\xFF\xD8\xFF"
						"1",
						4);
			image_frames_close(frames);
		}
	}
	CHECK(failures >= 2);
	dicom_buffer_free(&file);
}

UNIT_TEST(frames_by_a_table_cost_no_walk)
{
	struct image_pixels pixels = encapsulated(IMAGE_CODEC_JPEG, 1000);
	struct dicom_buffer file = {0};
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error;
	uint32_t table[1000];
	uint32_t i;

	for (i = 0; i < 1000; i++)
		table[i] = i * 12;
	add_item(&file, table, sizeof(table));
	for (i = 0; i < 1000; i++)
		add_item(&file,
				 "\xFF\xD8\xFF"
				 "1",
				 4);
	memory_source_init(&memory, file.data, file.length);
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_OK);
	CHECK(memory.reads == 2);
	check_frame(frames, 500,
				"\xFF\xD8\xFF"
				"1",
				4);
	CHECK(memory.reads <= 4);
	image_frames_close(frames);
	dicom_buffer_free(&file);
}

UNIT_TEST(frames_of_countless_fragments)
{
	size_t count = ((size_t) 1 << 22) + 1;
	struct image_pixels pixels = encapsulated(IMAGE_CODEC_JPEG, 1);
	struct dicom_buffer file = {0};
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error = {0};
	size_t i;

	for (i = 0; i <= count; i++)
		add_item(&file, NULL, 0);
	memory_source_init(&memory, file.data, file.length);
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_LIMIT && !frames);
	dicom_buffer_free(&file);
}

UNIT_TEST(frames_with_hostile_lengths)
{
	struct image_pixels pixels = encapsulated(IMAGE_CODEC_JPEG, 1);
	struct dicom_buffer file = {0};
	struct memory_source memory;
	struct image_frames *frames;
	struct dicom_error error = {0};

	/* A table longer than the file. */
	dicom_buffer_append(&file, "\xFE\xFF\x00\xE0\xF0\xFF\xFF\xFF----", 12);
	memory_source_init(&memory, file.data, file.length);
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_MALFORMED && error.tag == DICOM_TAG_PIXEL_DATA);
	dicom_buffer_free(&file);

	/* A fragment longer than the file; an extended offset table far outside. */
	add_item(&file, NULL, 0);
	dicom_buffer_append(&file, "\xFE\xFF\x00\xE0\xF0\xFF\xFF\xFF----", 12);
	memory_source_init(&memory, file.data, file.length);
	pixels.table = (struct image_place){UINT64_MAX - 4, 8};
	CHECK(image_frames_open(&pixels, &memory.source, &frames, &error) == DICOM_OK);
	check_frame(frames, 0, NULL, 0);
	image_frames_close(frames);
	dicom_buffer_free(&file);
}
