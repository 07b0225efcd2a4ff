/*
 * test_decode.c
 *	  From bytes to samples, without the decoders of others: memory that is taken over, RLE, headers of JPEG.
 */
#include <stdlib.h>

#include "unit.h"
#include "image/image.h"
#include "image/jpeg_header.h"

static struct image_pixels
describe(uint32_t rows, uint32_t columns, uint32_t samples, uint32_t bits)
{
	struct image_pixels pixels = {.rows = rows,
								  .columns = columns,
								  .samples_per_pixel = samples,
								  .bits_allocated = bits,
								  .bits_stored = bits,
								  .high_bit = bits - 1,
								  .photometric = samples == 1 ? IMAGE_MONOCHROME2 : IMAGE_RGB,
								  .frame_count = 1,
								  .value_length = UINT64_MAX};

	return pixels;
}

/* Bytes as image_frames_read() gives them: just so long. */
static uint8_t *
copy(const void *bytes, size_t length)
{
	uint8_t *copied = malloc(length ? length : 1);

	memcpy(copied, bytes, length);
	return copied;
}

static void
check_decoded(const struct image_pixels *pixels, const void *bytes, size_t length, const void *want,
			  size_t want_length)
{
	uint8_t *given = copy(bytes, length);
	struct image_frame frame;
	struct dicom_error error = {0};
	enum dicom_status status = image_decode(pixels, &given, length, &frame, &error);

	CHECK((status == DICOM_OK) == (want != NULL));
	if (status != DICOM_OK)
		CHECK(error.code == DICOM_ERROR_MALFORMED && error.tag != 0 && error.message[0] && !frame.samples);
	else if (want)
		CHECK(frame.length == want_length && memcmp(frame.samples, want, want_length) == 0);
	free(given);
	image_frame_free(&frame);
}

UNIT_TEST(decode_native_takes_over)
{
	struct image_pixels pixels = describe(2, 2, 1, 16);
	uint8_t *bytes = copy("\1\0\2\0\3\0\4\0", 8);
	uint8_t *given = bytes;
	struct image_frame frame;
	struct dicom_error error;

	CHECK(image_decode(&pixels, &bytes, 8, &frame, &error) == DICOM_OK);
	CHECK(frame.samples == given && !bytes);
	CHECK(frame.sample_bytes == 2 && frame.length == 8 && frame.bits_stored == 16);
	image_frame_free(&frame);
	CHECK(!frame.samples);
}

UNIT_TEST(decode_native_forms)
{
	struct image_pixels pixels = describe(1, 4, 1, 12);

	check_decoded(&pixels, "\x21\x43\x65\x87\xA9\xCB", 6, "\x21\x03\x54\x06\x87\x09\xBA\x0C", 8);
	check_decoded(&pixels, "\x21\x43\x65\x87\xA9", 5, NULL, 0);
	pixels = describe(1, 3, 1, 1);
	check_decoded(&pixels, "\x05", 1, "\1\0\1", 3);
	pixels = describe(3, 7, 1, 1);
	check_decoded(&pixels, "\x55\xAA\x0F", 3, "\1\0\1\0\1\0\1\0\0\1\0\1\0\1\0\1\1\1\1\1\0", 21);
	pixels = describe(1, 2, 3, 8);
	pixels.is_planar = true;
	check_decoded(&pixels, "RrGgBb", 6, "RGBrgb", 6);
	pixels = describe(1, 3, 3, 8);
	pixels.photometric = IMAGE_YBR_FULL_422;
	check_decoded(&pixels, "YybrZ-cs", 8, "YbrybrZcs", 9);
	pixels = describe(1, 2, 3, 16);
	pixels.photometric = IMAGE_YBR_FULL_422;
	check_decoded(&pixels, "Y-y-b-r-", 8, "Y-b-r-y-b-r-", 12);
	pixels = describe(2, 2, 1, 8);
	check_decoded(&pixels, "abcd--", 6, "abcd", 4);
	check_decoded(&pixels, "abc", 3, NULL, 0);
	check_decoded(&pixels, "", 0, NULL, 0);
}

/* A header of RLE, and what follows it. */
static size_t
rle(uint8_t *bytes, int segments, const uint32_t *offsets, const char *data, size_t length)
{
	int i;

	memset(bytes, 0, 64);
	bytes[0] = (uint8_t) segments;
	for (i = 0; i < segments; i++)
	{
		bytes[4 + 4 * i] = (uint8_t) offsets[i];
		bytes[5 + 4 * i] = (uint8_t) (offsets[i] >> 8);
		bytes[7 + 4 * i] = (uint8_t) (offsets[i] >> 24);
	}
	memcpy(bytes + 64, data, length);
	return 64 + length;
}

UNIT_TEST(decode_rle)
{
	struct image_pixels pixels = describe(2, 3, 1, 8);
	uint8_t bytes[128];
	size_t length;

	pixels.codec = IMAGE_CODEC_RLE;
	length = rle(bytes, 1, (uint32_t[]){64}, "\2abc\xFEz", 6);
	check_decoded(&pixels, bytes, length, "abczzz", 6);
	check_decoded(&pixels, bytes, length - 1, NULL, 0);
	check_decoded(&pixels, bytes, length - 3, NULL, 0);
	check_decoded(&pixels, bytes, 30, NULL, 0);

	/* Runs that go beyond the frame are cut; the code for nothing is passed over. */
	length = rle(bytes, 1, (uint32_t[]){64}, "\x80\x81z", 3);
	check_decoded(&pixels, bytes, length, "zzzzzz", 6);

	/* The most significant bytes come first. */
	pixels.bits_allocated = 16;
	length = rle(bytes, 2, (uint32_t[]){64, 66}, "\xFBH\xFBl", 4);
	check_decoded(&pixels, bytes, length, "lHlHlHlHlHlH", 12);
	length = rle(bytes, 2, (uint32_t[]){64, 0xFF000000}, "\xFBH\xFBl", 4);
	check_decoded(&pixels, bytes, length, NULL, 0);
	length = rle(bytes, 3, (uint32_t[]){64, 66, 68}, "\xFBH\xFBl\xFBl", 6);
	check_decoded(&pixels, bytes, length, NULL, 0);
	bytes[3] = 0xFF;
	check_decoded(&pixels, bytes, length, NULL, 0);

	/* A bit of each pixel. */
	pixels = describe(2, 5, 1, 1);
	pixels.codec = IMAGE_CODEC_RLE;
	length = rle(bytes, 1, (uint32_t[]){64}, "\1\x55\x02", 3);
	check_decoded(&pixels, bytes, length, "\1\0\1\0\1\0\1\0\0\1", 10);
}

UNIT_TEST(decode_refuses_what_it_does_not_know)
{
	struct image_pixels pixels = describe(2, 2, 1, 8);

	pixels.codec = IMAGE_CODEC_UNSUPPORTED;
	check_decoded(&pixels, "\0\0\1\xB3..", 6, NULL, 0);
	pixels.codec = IMAGE_CODEC_JPEG;
	pixels.sample = IMAGE_SAMPLE_FLOAT;
	check_decoded(&pixels, "\xFF\xD8\xFF....", 7, NULL, 0);
}

#define SOF(process, components) "\xFF" process "\0\x0B\x08\0\x10\0\x20" components "\1\x11\0"
#define SOS                      "\xFF\xDA\0\x08\1\1\0\0\x3F\0"

static bool
read_header(const char *bytes, size_t length, struct jpeg_header *header)
{
	return jpeg_header_read((const uint8_t *) bytes, length, header);
}

#define READ(bytes, header) read_header(bytes, sizeof(bytes) - 1, header)

UNIT_TEST(jpeg_headers)
{
	struct jpeg_header header;
	static const char whole[] = "\xFF\xD8" SOF("\xC0", "\1") SOS;
	size_t length;

	CHECK(READ(whole, &header));
	CHECK(header.process == 0xC0 && header.rows == 16 && header.columns == 32 && header.precision == 8);
	CHECK(header.components == 1 && header.horizontal[0] == 1 && !header.has_jfif && header.offset == 0);
	for (length = 0; length < sizeof(whole) - 1; length++)
	{
		char *cut = (char *) copy(whole, length);

		CHECK(!read_header(cut, length, &header));
		free(cut);
	}
	CHECK(READ("xyz\xFF\xD8\xFF\xFF\xE0\0\x07JFIF\0" SOF("\xC3", "\1") SOS, &header));
	CHECK(header.process == 0xC3 && header.has_jfif && header.offset == 3);
	CHECK(!READ("\xFF\xD8" SOS, &header));
	CHECK(!READ("\xFF\xD8" SOF("\xC0", "\3") SOS, &header));
	CHECK(!READ("\xFF\xD8" SOF("\xC0", "\0") SOS, &header));
	CHECK(!READ("\xFF\xD8" SOF("\xC0", "\1") SOF("\xC0", "\1") SOS, &header));
	CHECK(!READ("\xFF\xD8\xFF\xE0\0\1", &header));
}

UNIT_TEST(jpeg_colours)
{
	struct jpeg_header header = {
		.components = 3, .ids = {1, 2, 3}, .horizontal = {1, 1, 1}, .vertical = {1, 1, 1}};

	CHECK(jpeg_header_is_ybr(&header, true) && !jpeg_header_is_ybr(&header, false));
	header.horizontal[0] = 2;
	CHECK(jpeg_header_is_ybr(&header, false));
	header.has_adobe = true;
	CHECK(!jpeg_header_is_ybr(&header, true));
	header.adobe_transform = 1;
	CHECK(jpeg_header_is_ybr(&header, false));
	header.has_adobe = false;
	memcpy(header.ids, "RGB", 3);
	CHECK(!jpeg_header_is_ybr(&header, true));
}
