/*
 * jpeg_ls.c
 *	  JPEG-LS through CharLS.
 */
#include <stdlib.h>
#include <string.h>

#include <charls/charls.h>

#include "codec.h"

static enum dicom_status
check(charls_jpegls_errc result, struct dicom_error *error)
{
	if (result == CHARLS_JPEGLS_ERRC_SUCCESS)
		return DICOM_OK;
	if (result == CHARLS_JPEGLS_ERRC_NOT_ENOUGH_MEMORY)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG-LS: %s", charls_get_error_message(result));
}

/* Bytes of a sample as CharLS writes it. */
static uint32_t
decoded_bytes(const charls_frame_info *info)
{
	return info->bits_per_sample <= 8 ? 1 : 2;
}

/* Components that were coded one after another come as planes. */
static enum dicom_status
read_samples(charls_jpegls_decoder *decoder, const charls_frame_info *info, struct image_frame *frame,
			 struct dicom_error *error)
{
	size_t size = (size_t) info->width * info->height * info->component_count * decoded_bytes(info);
	charls_interleave_mode mode = CHARLS_INTERLEAVE_MODE_NONE;
	enum dicom_status status = check(charls_jpegls_decoder_get_interleave_mode(decoder, &mode), error);
	uint8_t *interleaved;

	if (status == DICOM_OK)
		status = check(charls_jpegls_decoder_decode_to_buffer(decoder, frame->samples, size, 0), error);
	if (status != DICOM_OK || mode != CHARLS_INTERLEAVE_MODE_NONE || info->component_count == 1)
		return status;
	interleaved = native_interleave(frame->samples, (uint64_t) info->width * info->height,
									(uint32_t) info->component_count, decoded_bytes(info), frame->length);
	if (!interleaved)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	free(frame->samples);
	frame->samples = interleaved;
	return DICOM_OK;
}

static enum dicom_status
decode(charls_jpegls_decoder *decoder, const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
	   struct image_frame *frame, struct dicom_error *error)
{
	charls_frame_info info = {0};
	enum dicom_status status;

	status = check(charls_jpegls_decoder_set_source_buffer(decoder, bytes, length), error);
	if (status == DICOM_OK)
		status = check(charls_jpegls_decoder_read_header(decoder), error);
	if (status == DICOM_OK)
		status = check(charls_jpegls_decoder_get_frame_info(decoder, &info), error);
	if (status == DICOM_OK)
	{
		struct codec_size size = {info.width, info.height, (uint32_t) info.component_count,
								  (uint32_t) info.bits_per_sample};

		status = codec_begin(pixels, &size, length, CODEC_ANY_RATIO, frame, error);
	}
	if (status == DICOM_OK)
		status = read_samples(decoder, &info, frame, error);
	if (status == DICOM_OK)
		codec_widen(frame, decoded_bytes(&info));
	return status;
}

/*
 * CharLS stops at a marker; at the end of the bytes it may go on for seconds, counting bits that are not there. A stream without end of
 * image gets one, in a copy that the caller frees; NULL for one that needs none, or where memory is short.
 */
static uint8_t *
with_end(const uint8_t *bytes, size_t length)
{
	static const uint8_t end[] = {0xFF, 0xD9};
	size_t last = length;
	uint8_t *copy;

	while (last > 0 && bytes[last - 1] == 0)
		last--;
	if (last >= sizeof(end) && memcmp(bytes + last - sizeof(end), end, sizeof(end)) == 0)
		return NULL;
	copy = malloc(length + sizeof(end));
	if (copy)
	{
		memcpy(copy, bytes, length);
		memcpy(copy + length, end, sizeof(end));
	}
	return copy;
}

enum dicom_status
jpeg_ls_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length,
			   struct image_frame *frame, struct dicom_error *error)
{
	charls_jpegls_decoder *decoder = charls_jpegls_decoder_create();
	uint8_t *ended = with_end(bytes, length);
	enum dicom_status status;

	if (decoder)
		status = decode(decoder, pixels, ended ? ended : bytes, ended ? length + 2 : length, frame, error);
	else
		status = dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	charls_jpegls_decoder_destroy(decoder);
	free(ended);
	return status;
}
