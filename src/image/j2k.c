/*
 * j2k.c
 *	  JPEG 2000 and HTJ2K through OpenJPEG, as a codestream alone or in a JP2 file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openjpeg-2.5/openjpeg.h>

#include "codec.h"

#define SIZ_LENGTH 40 /* of SOC and SIZ up to the number of components */
#define TILE_BYTES 12 /* no tile takes less: its tile-part header alone is so long */

/* The bytes of a frame as OpenJPEG reads them, and what it said last. */
struct memory
{
	const uint8_t *bytes;
	size_t length, position;
	char message[120];
};

/* ---- what OpenJPEG calls ---- */

static OPJ_SIZE_T
read_memory(void *buffer, OPJ_SIZE_T length, void *arg)
{
	struct memory *memory = arg;
	size_t left = memory->length - memory->position;

	if (left == 0)
		return (OPJ_SIZE_T) -1;
	if (length > left)
		length = left;
	memcpy(buffer, memory->bytes + memory->position, length);
	memory->position += length;
	return length;
}

static OPJ_OFF_T
skip_memory(OPJ_OFF_T count, void *arg)
{
	struct memory *memory = arg;
	size_t left = memory->length - memory->position;

	if (count < 0)
		return -1;
	if ((uint64_t) count > left)
		count = (OPJ_OFF_T) left;
	memory->position += (size_t) count;
	return count;
}

static OPJ_BOOL
seek_memory(OPJ_OFF_T position, void *arg)
{
	struct memory *memory = arg;

	if (position < 0 || (uint64_t) position > memory->length)
		return OPJ_FALSE;
	memory->position = (size_t) position;
	return OPJ_TRUE;
}

static void
note_error(const char *message, void *arg)
{
	struct memory *memory = arg;

	if (memory->message[0] == '\0') /* the first one is the cause */
		snprintf(memory->message, sizeof(memory->message), "%.*s", (int) strcspn(message, "\n"), message);
}

static void
note_nothing(const char *message, void *arg)
{
}

/* ---- the size, before OpenJPEG allocates for it ---- */

static uint64_t
read_32(const uint8_t *bytes)
{
	return (uint64_t) bytes[0] << 24 | (uint64_t) bytes[1] << 16 | (uint64_t) bytes[2] << 8 | bytes[3];
}

static bool
is_codestream(const uint8_t *bytes, size_t length)
{
	return length >= 4 && memcmp(bytes, "\xFF\x4F\xFF\x51", 4) == 0;
}

/* Each tile takes memory as soon as the header is read: there cannot be more of them than fit into the bytes. */
static enum dicom_status
check_tiles(const uint8_t *bytes, size_t length, struct dicom_error *error)
{
	uint64_t width, height, across, down, tiles;

	while (length > 0 && !is_codestream(bytes, length)) /* behind the boxes of a JP2 file */
	{
		bytes++;
		length--;
	}
	if (length < SIZ_LENGTH)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG 2000: there is no codestream");
	width = read_32(bytes + 24);
	height = read_32(bytes + 28);
	if (width == 0 || height == 0)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG 2000: tiles of no size");
	across = (read_32(bytes + 8) + width - 1) / width;
	down = (read_32(bytes + 12) + height - 1) / height;
	tiles = across * down;
	if (tiles > 1 && tiles > length / TILE_BYTES)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG 2000: %zu bytes cannot hold %llu tiles", length,
						  (unsigned long long) tiles);
	return DICOM_OK;
}

/* ---- samples ---- */

static uint32_t
most_bits(const opj_image_t *image)
{
	uint32_t bits = 0;
	uint32_t i;

	for (i = 0; i < image->numcomps; i++)
		if (image->comps[i].prec > bits)
			bits = image->comps[i].prec;
	return bits;
}

static void
store_row(const opj_image_comp_t *component, const OPJ_INT32 *row, uint8_t *to, uint32_t columns, size_t step,
		  uint32_t sample_bytes)
{
	uint32_t x;

	for (x = 0; x < columns; x++, to += step)
	{
		/* Of a component with fewer samples, each stands for several pixels. */
		OPJ_INT32 value = row[component->w == columns ? x : (uint64_t) x * component->w / columns];
		uint16_t low = (uint16_t) value;

		if (sample_bytes == 1)
			*to = (uint8_t) value;
		else if (sample_bytes == 2)
			memcpy(to, &low, sizeof(low));
		else
			memcpy(to, &value, sizeof(value));
	}
}

static enum dicom_status
store_samples(const opj_image_t *image, struct image_frame *frame, struct dicom_error *error)
{
	size_t step = (size_t) frame->samples_per_pixel * frame->sample_bytes;
	uint32_t i, y;

	for (i = 0; i < frame->samples_per_pixel; i++)
	{
		const opj_image_comp_t *component = &image->comps[i];

		if (!component->data || component->w == 0 || component->h == 0)
			return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG 2000: a component has no samples");
		for (y = 0; y < frame->rows; y++)
			store_row(component, component->data + (uint64_t) y * component->h / frame->rows * component->w,
					  frame->samples + (size_t) y * frame->columns * step + (size_t) i * frame->sample_bytes,
					  frame->columns, step, frame->sample_bytes);
	}
	return DICOM_OK;
}

/* The multiple component transform is undone: what was YBR_RCT or YBR_ICT is RGB. */
static void
settle_photometric(struct image_frame *frame)
{
	if (frame->photometric == IMAGE_YBR_RCT || frame->photometric == IMAGE_YBR_ICT)
		frame->photometric = IMAGE_RGB;
}

/* ---- decoding ---- */

static enum dicom_status
fail(const struct memory *memory, struct dicom_error *error)
{
	return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG 2000: %s",
					  memory->message[0] ? memory->message : "the decoder failed");
}

static enum dicom_status
decode(opj_codec_t *codec, opj_stream_t *stream, opj_image_t **image, const struct memory *memory,
	   const struct image_pixels *pixels, struct image_frame *frame, struct dicom_error *error)
{
	struct codec_size size;
	enum dicom_status status;

	if (!opj_read_header(stream, codec, image) || !*image || (*image)->numcomps == 0)
		return fail(memory, error);
	size = (struct codec_size){(*image)->comps[0].w, (*image)->comps[0].h, (*image)->numcomps,
							   most_bits(*image)};
	status = codec_begin(pixels, &size, memory->length, CODEC_ANY_RATIO, frame, error);
	if (status != DICOM_OK)
		return status;
	if (!opj_decode(codec, stream, *image))
		return fail(memory, error);
	if ((*image)->comps[0].w != frame->columns || (*image)->comps[0].h != frame->rows ||
		(*image)->numcomps != frame->samples_per_pixel)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG 2000: the size changes inside the stream");
	settle_photometric(frame);
	return store_samples(*image, frame, error);
}

static opj_codec_t *
open_codec(struct memory *memory)
{
	bool bare = is_codestream(memory->bytes, memory->length);
	opj_codec_t *codec = opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
	opj_dparameters_t parameters;

	if (!codec)
		return NULL;
	opj_set_default_decoder_parameters(&parameters);
	opj_set_error_handler(codec, note_error, memory);
	opj_set_warning_handler(codec, note_nothing, NULL);
	opj_set_info_handler(codec, note_nothing, NULL);
	if (opj_setup_decoder(codec, &parameters))
		return codec;
	opj_destroy_codec(codec);
	return NULL;
}

static opj_stream_t *
open_stream(struct memory *memory)
{
	opj_stream_t *stream = opj_stream_default_create(OPJ_TRUE);

	if (!stream)
		return NULL;
	opj_stream_set_read_function(stream, read_memory);
	opj_stream_set_skip_function(stream, skip_memory);
	opj_stream_set_seek_function(stream, seek_memory);
	opj_stream_set_user_data(stream, memory, NULL);
	opj_stream_set_user_data_length(stream, memory->length);
	return stream;
}

enum dicom_status
jpeg_2000_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
				 struct image_frame *frame, struct dicom_error *error)
{
	struct memory memory = {.bytes = bytes, .length = length};
	opj_codec_t *codec = NULL;
	opj_stream_t *stream = NULL;
	opj_image_t *image = NULL;
	enum dicom_status status = check_tiles(bytes, length, error);

	if (status != DICOM_OK)
		return status;
	codec = open_codec(&memory);
	stream = open_stream(&memory);
	if (codec && stream)
		status = decode(codec, stream, &image, &memory, pixels, frame, error);
	else
		status = dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (image)
		opj_image_destroy(image);
	if (stream)
		opj_stream_destroy(stream);
	if (codec)
		opj_destroy_codec(codec);
	return status;
}
