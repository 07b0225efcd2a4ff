/*
 * jxl.c
 *	  JPEG XL through libjxl, recompressed JPEG among it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jxl/decode.h>

#include "codec.h"

/* A float holds whole numbers of so many bits. */
#define MAX_BITS 24

/* What libjxl writes into, whose whole numbers always span their type's range; longer than 16 bits come as floats. */
struct output
{
	JxlPixelFormat format;
	uint32_t bits;  /* of the samples as they were encoded */
	size_t samples; /* of the frame */
};

static enum dicom_status
fail(struct dicom_error *error, const char *message)
{
	return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG XL: %s", message);
}

static uint32_t
decoded_bytes(uint32_t bits)
{
	return bits <= 8 ? 1 : bits <= 16 ? 2 : 4;
}

/* The header is there: compares it with the description, and chooses what to have samples written as. */
static enum dicom_status
begin(JxlDecoder *decoder, const struct image_pixels *pixels, size_t length, struct image_frame *frame,
	  struct output *output, struct dicom_error *error)
{
	JxlBasicInfo info;
	struct codec_size size;
	enum dicom_status status;

	if (JxlDecoderGetBasicInfo(decoder, &info) != JXL_DEC_SUCCESS)
		return fail(error, "no header");
	if (info.exponent_bits_per_sample > 0 || info.bits_per_sample > MAX_BITS)
		return fail(error, "floating point samples, or of more than 24 bits, are not supported");
	size = (struct codec_size){info.xsize, info.ysize, info.num_color_channels, info.bits_per_sample};
	status = codec_begin(pixels, &size, length, CODEC_ANY_RATIO, frame, error);
	if (status != DICOM_OK)
		return status;
	if (frame->samples_per_pixel == 3)
		frame->photometric = IMAGE_RGB;
	output->bits = size.bits;
	output->samples = frame->length / frame->sample_bytes;
	output->format.num_channels = size.samples;
	output->format.data_type = size.bits <= 8    ? JXL_TYPE_UINT8
							   : size.bits <= 16 ? JXL_TYPE_UINT16
												 : JXL_TYPE_FLOAT;
	output->format.endianness = JXL_NATIVE_ENDIAN;
	return DICOM_OK;
}

static enum dicom_status
give_buffer(JxlDecoder *decoder, struct image_frame *frame, struct output *output, struct dicom_error *error)
{
	size_t size = output->samples * decoded_bytes(output->bits);
	size_t wanted;

	if (JxlDecoderImageOutBufferSize(decoder, &output->format, &wanted) != JXL_DEC_SUCCESS || wanted != size)
		return fail(error, "the size changes inside the stream");
	if (JxlDecoderSetImageOutBuffer(decoder, &output->format, frame->samples, size) != JXL_DEC_SUCCESS)
		return fail(error, "the decoder failed");
	return DICOM_OK;
}

/* From the range of the type to that of the bits: exact for what was encoded without loss. */
static void
unscale(struct image_frame *frame, const struct output *output)
{
	uint32_t most = (uint32_t) (((uint64_t) 1 << output->bits) - 1);
	size_t i;

	if (output->bits == 8 || output->bits == 16)
		return;
	for (i = 0; i < output->samples; i++)
	{
		if (output->bits < 8)
			frame->samples[i] = (uint8_t) ((frame->samples[i] * most + UINT8_MAX / 2) / UINT8_MAX);
		else if (output->bits < 16)
		{
			uint16_t *sample = (uint16_t *) (void *) frame->samples + i;

			*sample = (uint16_t) ((*sample * most + UINT16_MAX / 2) / UINT16_MAX);
		}
		else
		{
			float real;
			uint32_t sample;

			memcpy(&real, frame->samples + i * sizeof(real), sizeof(real));
			sample = real > 0 ? real < 1 ? (uint32_t) lrint((double) real * most) : most : 0;
			memcpy(frame->samples + i * sizeof(sample), &sample, sizeof(sample));
		}
	}
}

static enum dicom_status
decode(JxlDecoder *decoder, const struct image_pixels *pixels, size_t length, struct image_frame *frame,
	   struct dicom_error *error)
{
	struct output output = {0};

	for (;;)
	{
		enum dicom_status status = DICOM_OK;

		switch (JxlDecoderProcessInput(decoder))
		{
			case JXL_DEC_BASIC_INFO:
				status = begin(decoder, pixels, length, frame, &output, error);
				break;
			case JXL_DEC_NEED_IMAGE_OUT_BUFFER:
				status = give_buffer(decoder, frame, &output, error);
				break;
			case JXL_DEC_FULL_IMAGE:
				unscale(frame, &output);
				codec_widen(frame, decoded_bytes(output.bits));
				return DICOM_OK;
			case JXL_DEC_NEED_MORE_INPUT:
				return fail(error, "the stream ends too early");
			case JXL_DEC_SUCCESS:
				return fail(error, "there is no image");
			default:
				return fail(error, "the stream is broken");
		}
		if (status != DICOM_OK)
			return status;
	}
}

enum dicom_status
jpeg_xl_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
			   struct image_frame *frame, struct dicom_error *error)
{
	JxlDecoder *decoder = JxlDecoderCreate(NULL);
	enum dicom_status status;

	if (!decoder)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (JxlDecoderSubscribeEvents(decoder, JXL_DEC_BASIC_INFO | JXL_DEC_FULL_IMAGE) != JXL_DEC_SUCCESS ||
		JxlDecoderSetKeepOrientation(decoder, JXL_TRUE) != JXL_DEC_SUCCESS ||
		JxlDecoderSetInput(decoder, bytes, length) != JXL_DEC_SUCCESS)
		status = fail(error, "the decoder failed");
	else
	{
		JxlDecoderCloseInput(decoder);
		status = decode(decoder, pixels, length, frame, error);
	}
	JxlDecoderDestroy(decoder);
	return status;
}
