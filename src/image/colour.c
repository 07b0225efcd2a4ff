/*
 * colour.c
 *	  Samples of colour -> RGB of 8 bits: PS3.3 C.7.6.3.1.2. Deeper samples are brought to 8 bits first.
 */
#include <string.h>

#include "picture_internal.h"

/* ---- three samples ---- */

static uint8_t
clamp(int32_t value)
{
	return (uint8_t) (value < 0 ? 0 : value > 255 ? 255 : value);
}

/* What makes RGB of luminance and chrominance: numbers with 16 binary digits behind the point. */
struct matrix
{
	int32_t black; /* luminance of black */
	int32_t luminance;
	int32_t red_of_cr, green_of_cb, green_of_cr, blue_of_cb;
};

/* Full range: YBR_FULL, YBR_FULL_422, YBR_ICT. */
static const struct matrix full = {0, 65536, 91881, -22554, -46802, 116130};

/* 16 to 235 and 16 to 240: YBR_PARTIAL_422, YBR_PARTIAL_420. */
static const struct matrix partial = {16, 76309, 104597, -25675, -53279, 132201};

static void
convert_by_matrix(const struct matrix *matrix, size_t count, uint8_t *pixels)
{
	size_t i;

	for (i = 0; i < count; i++, pixels += 3)
	{
		int32_t luminance = (pixels[0] - matrix->black) * matrix->luminance + 32768;
		int32_t cb = pixels[1] - 128;
		int32_t cr = pixels[2] - 128;

		pixels[0] = clamp((luminance + matrix->red_of_cr * cr) >> 16);
		pixels[1] = clamp((luminance + matrix->green_of_cb * cb + matrix->green_of_cr * cr) >> 16);
		pixels[2] = clamp((luminance + matrix->blue_of_cb * cb) >> 16);
	}
}

/* The reversible transformation of JPEG 2000, with chrominance moved up by half as in the other forms. */
static void
convert_reversible(size_t count, uint8_t *pixels)
{
	size_t i;

	for (i = 0; i < count; i++, pixels += 3)
	{
		int32_t cb = pixels[1] - 128;
		int32_t cr = pixels[2] - 128;
		int32_t green = pixels[0] - ((cb + cr) >> 2);

		pixels[0] = clamp(cr + green);
		pixels[1] = clamp(green);
		pixels[2] = clamp(cb + green);
	}
}

static void
to_rgb(enum image_photometric photometric, size_t count, uint8_t *pixels)
{
	switch (photometric)
	{
		case IMAGE_YBR_FULL:
		case IMAGE_YBR_FULL_422:
		case IMAGE_YBR_ICT:
			convert_by_matrix(&full, count, pixels);
			break;
		case IMAGE_YBR_PARTIAL_422:
		case IMAGE_YBR_PARTIAL_420:
			convert_by_matrix(&partial, count, pixels);
			break;
		case IMAGE_YBR_RCT:
			convert_reversible(count, pixels);
			break;
		default:
			break;
	}
}

/* `count` samples to 8 bits each. */
static void
to_8_bits(const struct colour *colour, const uint8_t *samples, size_t count, uint8_t *out)
{
	size_t i;

	if (colour->sample_bytes == 4)
		ramp_32((const uint32_t *) samples, count, colour->bits, colour->ramp, out);
	else if (colour->sample_bytes == 2)
		ramp_16((const uint16_t *) samples, count, colour->ramp_16, out);
	else if (colour->bits.stored == 8)
		memcpy(out, samples, count);
	else
		for (i = 0; i < count; i++)
			out[i] = colour->table[samples[i]];
}

/* ---- palette ---- */

static void
look_up(const struct colour *colour, const uint8_t *samples, size_t count, uint8_t *out)
{
	const struct picture_rules *rules = colour->rules;
	size_t i;

	for (i = 0; i < count; i++, out += 3)
	{
		uint32_t sample = colour->sample_bytes == 1   ? samples[i]
						  : colour->sample_bytes == 2 ? ((const uint16_t *) samples)[i]
													  : ((const uint32_t *) samples)[i];
		int64_t index = stored_value(colour->bits, sample) - rules->palette_first;

		index = index < 0 ? 0 : index < rules->palette_count ? index : (int64_t) rules->palette_count - 1;
		memcpy(out, rules->palette[index], 3);
	}
}

/* ---- either ---- */

/* Three samples under a name for one are taken for RGB. */
static enum image_photometric
photometric_of(const struct image_frame *frame)
{
	if (frame->samples_per_pixel == 1)
		return IMAGE_PALETTE_COLOR;
	return frame->photometric <= IMAGE_PALETTE_COLOR ? IMAGE_RGB : frame->photometric;
}

enum dicom_status
colour_open(const struct picture_rules *rules, const struct image_frame *frame, struct colour *colour,
			struct dicom_error *error)
{
	uint32_t greatest;
	uint32_t i;

	memset(colour, 0, sizeof(*colour));
	colour->photometric = photometric_of(frame);
	colour->rules = rules;
	colour->sample_bytes = frame->sample_bytes;
	colour->bits.stored = frame->bits_stored;
	colour->bits.high = frame->high_bit;
	colour->bits.is_signed = frame->is_signed && colour->photometric == IMAGE_PALETTE_COLOR;
	if (frame->sample != IMAGE_SAMPLE_INTEGER)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "colour of floating point samples");
	if (colour->photometric == IMAGE_XYB)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "XYB colour that was not decoded");
	if (colour->photometric == IMAGE_PALETTE_COLOR && !rules->palette)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "palette colour without a palette");
	greatest = (uint32_t) stored_greatest(colour->bits);
	colour->ramp.slope = 255.0 / greatest;
	if (colour->sample_bytes == 2)
		colour->ramp_16 = ramp_16_of(colour->bits, colour->ramp);
	for (i = 0; i < 256 && greatest <= 255; i++)
		colour->table[i] = (uint8_t) ((2 * 255 * stored_value(colour->bits, i) + greatest) / (2 * greatest));
	colour->is_copy = colour->photometric == IMAGE_RGB && frame->sample_bytes == 1 && frame->bits_stored == 8;
	return DICOM_OK;
}

void
colour_convert(const struct colour *colour, const uint8_t *samples, size_t count, uint8_t *out)
{
	if (colour->photometric == IMAGE_PALETTE_COLOR)
	{
		look_up(colour, samples, count, out);
		return;
	}
	to_8_bits(colour, samples, 3 * count, out);
	to_rgb(colour->photometric, count, out);
}
