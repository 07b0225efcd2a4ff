/*
 * frames.c
 *	  Frames by number: native ones by arithmetic, the others by their fragments.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "frames_internal.h"
#include "native.h"

#define DEFAULT_PIECE ((size_t) 128 << 10)

enum dicom_status
frames_fail(struct dicom_error *error, enum dicom_error_code code, const char *format, ...)
{
	char message[sizeof(((struct dicom_error *) NULL)->message)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	dicom_fail(error, code, "%s", message);
	if (error)
		error->tag = DICOM_TAG_PIXEL_DATA;
	return DICOM_FAILED;
}

enum dicom_status
frames_source_read(const struct image_frames *frames, uint64_t offset, size_t length, uint8_t *bytes,
				   struct dicom_error *error)
{
	const struct image_source *source = frames->source;

	if (offset > source->size || length > source->size - offset)
	{
		frames_fail(error, DICOM_ERROR_MALFORMED, "the file ends inside the pixel data");
		if (error)
			error->offset = (int64_t) offset;
		return DICOM_FAILED;
	}
	return length == 0 ? DICOM_OK : source->read(source->arg, offset, length, bytes, error);
}

/* ---- native ---- */

/* As many frames as begin before the end of the value; one at least, which then says that it is cut. */
static void
count_native(struct image_frames *frames)
{
	uint64_t bytes = frames->end - frames->pixels.value_offset;
	uint64_t frames_begun;

	frames->frame_bits = native_frame_bits(&frames->pixels);
	frames_begun =
		bytes > UINT64_MAX / 8 ? UINT64_MAX : (bytes * 8 + frames->frame_bits - 1) / frames->frame_bits;
	if (frames_begun < 1)
		frames_begun = 1;
	frames->count =
		frames_begun < frames->pixels.frame_count ? (uint32_t) frames_begun : frames->pixels.frame_count;
}

/* Moves a frame that does not begin with a byte to the beginning of one. */
static void
align_bits(uint8_t *bytes, size_t length, unsigned shift)
{
	size_t i;

	for (i = 0; shift > 0 && i < length; i++)
		bytes[i] = (uint8_t) (bytes[i] >> shift | (i + 1 < length ? bytes[i + 1] << (8 - shift) : 0));
}

/*
 * Where 16-bit words are in big endian and samples do not fill one, a byte's place is that of its neighbour in the word, so whole
 * words are read.
 */
static bool
is_word_swapped(const struct image_pixels *pixels)
{
	return pixels->big_endian && pixels->is_words && pixels->bits_allocated % 16 != 0;
}

static enum dicom_status
read_native(struct image_frames *frames, uint32_t frame, uint8_t **bytes, size_t *length,
			struct dicom_error *error)
{
	const struct image_pixels *pixels = &frames->pixels;
	uint64_t first_bit = frame * frames->frame_bits;
	uint64_t first = first_bit / 8;
	uint64_t size = (first_bit + frames->frame_bits + 7) / 8 - first;
	unsigned skip = is_word_swapped(pixels) ? first & 1 : 0;
	uint64_t padding = is_word_swapped(pixels) ? (skip + size) & 1 : 0;
	enum dicom_status status;

	if (pixels->value_offset + first + size > frames->end)
		return frames_fail(error, DICOM_ERROR_MALFORMED, "the pixel data end inside frame %u", frame + 1);
	if (padding && pixels->value_offset + first + size + padding > frames->end)
		padding = 0; /* a lone byte at the end has no neighbour */
	if (size > SIZE_MAX - 2 || !(*bytes = malloc((size_t) size + 2)))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	*length = (size_t) size;
	status = frames_source_read(frames, pixels->value_offset + first - skip, (size_t) (skip + size + padding),
								*bytes, error);
	if (status != DICOM_OK)
		return status;
	if (is_word_swapped(pixels))
	{
		native_swap_words(*bytes, (size_t) (skip + size + padding));
		memmove(*bytes, *bytes + skip, (size_t) size);
	}
	else if (pixels->big_endian)
		native_swap(pixels, *bytes, (size_t) size);
	align_bits(*bytes, (size_t) size, first_bit % 8);
	*length = (size_t) ((frames->frame_bits + 7) / 8);
	return DICOM_OK;
}

/* ---- both ---- */

/* What is known of the end: the value's, or the file's. */
static uint64_t
end_of_value(const struct image_frames *frames)
{
	const struct image_pixels *pixels = &frames->pixels;
	uint64_t size = frames->source->size;

	if (pixels->value_offset > size)
		return pixels->value_offset;
	return pixels->value_length < size - pixels->value_offset ? pixels->value_offset + pixels->value_length
															  : size;
}

/*
 * Compressed frames in a value of known length are not allowed, but met: as items, or one frame as it is. *found where this is
 * one of them.
 */
static enum dicom_status
find_unframed(struct image_frames *frames, bool *found, struct dicom_error *error)
{
	struct image_pixels *pixels = &frames->pixels;
	uint64_t there = frames->end - pixels->value_offset;
	size_t length = there < START_LENGTH ? (size_t) there : START_LENGTH;
	uint8_t head[START_LENGTH];
	enum dicom_status status;

	*found = false;
	if (pixels->codec == IMAGE_CODEC_NATIVE && there >= native_frame_bits(pixels) / 8)
		return DICOM_OK;
	status = frames_source_read(frames, pixels->value_offset, length, head, error);
	if (status != DICOM_OK)
		return status;
	if (length >= 8 && memcmp(head, "\xFE\xFF\x00\xE0", 4) == 0)
	{
		*found = true;
		pixels->is_encapsulated = true;
		return fragments_find(frames, error);
	}
	if (starts_codestream(pixels->codec, head, length))
	{
		*found = true;
		frames->count = 1;
		frames->frame_bits = there * 8;
	}
	return DICOM_OK;
}

static enum dicom_status
find_frames(struct image_frames *frames, struct dicom_error *error)
{
	enum dicom_status status;
	bool found;

	frames->end = end_of_value(frames);
	if (frames->pixels.is_encapsulated)
		return fragments_find(frames, error);
	status = find_unframed(frames, &found, error);
	if (status == DICOM_OK && !found)
		count_native(frames);
	return status;
}

enum dicom_status
image_frames_open(const struct image_pixels *pixels, const struct image_source *source,
				  struct image_frames **opened, struct dicom_error *error)
{
	struct image_frames *frames = calloc(1, sizeof(*frames));
	enum dicom_status status;

	*opened = NULL;
	if (!frames)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	frames->pixels = *pixels;
	frames->source = source;
	if (pixels->is_deflated)
	{
		frames->inflating = inflating_open(source, pixels->deflated_offset);
		if (!frames->inflating)
		{
			image_frames_close(frames);
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		}
		frames->source = inflating_source(frames->inflating);
	}
	status = find_frames(frames, error);
	if (status != DICOM_OK)
	{
		image_frames_close(frames);
		return status;
	}
	*opened = frames;
	return DICOM_OK;
}

void
image_frames_close(struct image_frames *frames)
{
	if (!frames)
		return;
	inflating_close(frames->inflating);
	free(frames->starts);
	free(frames->fragments);
	free(frames->first);
	free(frames);
}

uint32_t
image_frames_count(const struct image_frames *frames)
{
	return frames->count;
}

enum dicom_status
image_frames_read(struct image_frames *frames, uint32_t frame, uint8_t **bytes, size_t *length,
				  struct dicom_error *error)
{
	enum dicom_status status;

	*bytes = NULL;
	*length = 0;
	if (frame >= frames->count)
		return frames_fail(error, DICOM_ERROR_NOT_FOUND, "there is no frame %u", frame + 1);
	if (frames->pixels.is_encapsulated)
		status = fragments_read(frames, frame, bytes, length, error);
	else
		status = read_native(frames, frame, bytes, length, error);
	if (status != DICOM_OK)
	{
		free(*bytes);
		*bytes = NULL;
		*length = 0;
	}
	return status;
}

/* ---- frames that stand in the file as they are ---- */

bool
image_frame_describe(struct image_frames *frames, uint32_t number, struct image_frame *frame)
{
	const struct image_pixels *pixels = &frames->pixels;
	uint64_t samples = (uint64_t) pixels->rows * pixels->columns * pixels->samples_per_pixel;
	uint64_t size = frames->frame_bits / 8;

	if (pixels->codec != IMAGE_CODEC_NATIVE || pixels->is_encapsulated || pixels->big_endian ||
		__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || pixels->sample != IMAGE_SAMPLE_INTEGER ||
		(pixels->bits_allocated != 8 && pixels->bits_allocated != 16) ||
		frames->frame_bits != samples * pixels->bits_allocated ||
		(pixels->is_planar && pixels->samples_per_pixel > 1))
		return false;
	if (number >= frames->count || pixels->value_offset + (number + (uint64_t) 1) * size > frames->end)
		return false; /* whoever reads it is told */
	codec_describe(pixels, frame);
	frame->length = (size_t) size;
	frame->frames = frames;
	frame->number = number;
	return true;
}

enum dicom_status
image_frame_read(const struct image_frame *frame, size_t offset, size_t length, uint8_t *bytes,
				 struct dicom_error *error)
{
	uint64_t first = frame->frames->pixels.value_offset + (uint64_t) frame->number * frame->length;

	return frames_source_read(frame->frames, first + offset, length, bytes, error);
}

enum dicom_status
image_frame_load(struct image_frame *frame, struct dicom_error *error)
{
	uint8_t *samples;

	if (frame->samples)
		return DICOM_OK;
	samples = malloc(frame->length);
	if (!samples)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (image_frame_read(frame, 0, frame->length, samples, error) != DICOM_OK)
	{
		free(samples);
		return DICOM_FAILED;
	}
	frame->samples = samples;
	return DICOM_OK;
}

size_t
image_frame_piece(const struct image_frame *frame)
{
	size_t piece = frame->frames->source->piece;

	return piece ? piece : DEFAULT_PIECE;
}
