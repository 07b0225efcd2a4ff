/*
 * jpeg_decode.c
 *	  JPEG: which library, and what the colours are.
 *
 * Whatever has 8 bits and is not lossless goes to libjpeg-turbo; 12 bits and lossless to DCMTK.
 */
#include <string.h>

#include "codec.h"
#include "dcmtk.h"
#include "jpeg_baseline.h"
#include "jpeg_header.h"

#define LOSSLESS 0xC3
#define JPEG_LS  0xF7

/* A lossy block of 64 samples takes two bits at least; in a lossless frame a sample takes one. */
#define HUFFMAN_RATIO  512
#define LOSSLESS_RATIO 16

static bool
is_lossy(const struct jpeg_header *header)
{
	return header->process <= 0xC2 || header->process == 0xC9 || header->process == 0xCA;
}

static uint64_t
most_samples(const struct jpeg_header *header)
{
	if (header->process <= 0xC2)
		return HUFFMAN_RATIO;
	return header->process == LOSSLESS ? LOSSLESS_RATIO : CODEC_ANY_RATIO;
}

/* No library here converts colours, so they are what the markers say, or else the data set. */
static void
settle_photometric(const struct jpeg_header *header, struct image_frame *frame)
{
	bool said_ybr = frame->photometric >= IMAGE_YBR_FULL && frame->photometric <= IMAGE_YBR_RCT;
	bool is_ybr = is_lossy(header) ? jpeg_header_is_ybr(header, said_ybr) : said_ybr;

	if (frame->samples_per_pixel == 3)
		frame->photometric = is_ybr ? IMAGE_YBR_FULL : IMAGE_RGB;
}

static enum dicom_status
decode_with_dcmtk(const uint8_t *bytes, size_t length, const struct jpeg_header *header,
				  struct image_frame *frame, struct dicom_error *error)
{
	uint32_t sample_bytes = header->precision <= 8 ? 1 : 2;
	struct dcmtk_jpeg jpeg = {header->precision, header->process == LOSSLESS, header->rows,
							  (size_t) header->columns * header->components * sample_bytes};
	char message[160];
	const char *fault = dcmtk_decode_jpeg(bytes, length, &jpeg, frame->samples, message, sizeof(message));

	if (fault)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG: %s", fault);
	codec_widen(frame, sample_bytes);
	return DICOM_OK;
}

enum dicom_status
jpeg_decode(const struct image_pixels *pixels, const uint8_t *bytes, size_t length, struct image_frame *frame,
			struct dicom_error *error)
{
	struct jpeg_header header;
	struct codec_size size;
	enum dicom_status status;

	if (!jpeg_header_read(bytes, length, &header))
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "a frame has no JPEG header");
	if (header.process == JPEG_LS)
		return jpeg_ls_decode(pixels, bytes, length, frame, error);
	size = (struct codec_size){header.columns, header.rows, header.components, header.precision};
	status = codec_begin(pixels, &size, length, most_samples(&header), frame, error);
	if (status != DICOM_OK)
		return status;
	bytes += header.offset;
	length -= header.offset;
	if (is_lossy(&header) && header.precision == 8)
		status = jpeg_baseline_decode(bytes, length, frame, error);
	else if (header.process == LOSSLESS || (is_lossy(&header) && header.precision == 12))
		status = decode_with_dcmtk(bytes, length, &header, frame, error);
	else
		status = codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG process SOF%u with %u bits is not supported",
							header.process & 15U, header.precision);
	settle_photometric(&header, frame);
	return status;
}
