/*
 * grey.c
 *	  From stored values to 8 bits of grey: Modality LUT or rescale, VOI LUT or window, inversion.
 *
 * Rescale and a linear window together are one ramp, computed in vector instructions. Other rules become a table of what the
 * bits stored can say, where they are no more than 16. Only what is left is computed value by value.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture_internal.h"

#define WHITE 255.0

/* ---- PS3.3 C.11.1 and C.11.2, one value at a time ---- */

static double
modality_value(const struct grey_rules *rules, double stored)
{
	if (rules->modality.entries)
		return lut_value(&rules->modality, stored);
	return rules->slope * stored + rules->intercept;
}

/* Between two values from black to white. Where there is nothing between them all is black. Halves do not overflow. */
static double
ramp_value(double value, double low, double high)
{
	if (value <= low || !(high > low))
		return 0;
	return value >= high ? WHITE : (value / 2 - low / 2) / (high / 2 - low / 2) * WHITE;
}

/* C.11.2.1.2.1; with a width of 1 nothing lies between black and white. */
static double
linear_value(const struct grey_rules *rules, double value)
{
	double low = rules->center - 0.5 - (rules->width - 1) / 2;
	double high = rules->center - 0.5 + (rules->width - 1) / 2;

	return value > high ? WHITE : ramp_value(value, low, high);
}

static double
voi_value(const struct grey *grey, double value)
{
	const struct grey_rules *rules = &grey->rules;

	switch (rules->voi_function)
	{
		case VOI_LUT:
			return lut_value(&rules->voi, value) * WHITE / (ldexp(1, (int) rules->voi.bits) - 1);
		case VOI_LINEAR:
			return linear_value(rules, value);
		case VOI_LINEAR_EXACT: /* C.11.2.1.3.2 */
			return ramp_value(value, rules->center - rules->width / 2, rules->center + rules->width / 2);
		case VOI_SIGMOID: /* C.11.2.1.3.1 */
			return WHITE / (1 + exp(-4 * (value - rules->center) / rules->width));
		default:
			return ramp_value(value, grey->low, grey->high);
	}
}

static uint8_t
grey_value(const struct grey *grey, double stored)
{
	double level;

	if (isnan(stored))
		return 0;
	level = voi_value(grey, modality_value(&grey->rules, stored));
	if (isnan(level))
		return 0;
	return (uint8_t) ((grey->rules.is_inverted ? WHITE - level : level) + 0.5);
}

/* ---- the range, where there is neither VOI LUT nor window ---- */

static double
sample_value(const struct grey *grey, const uint8_t *samples, size_t i)
{
	switch (grey->sample_bytes)
	{
		case 1:
			return (double) stored_value(grey->bits, samples[i]);
		case 2:
			return (double) stored_value(grey->bits, ((const uint16_t *) samples)[i]);
		case 4:
			if (grey->sample == IMAGE_SAMPLE_FLOAT)
				return ((const float *) samples)[i];
			return (double) stored_value(grey->bits, ((const uint32_t *) samples)[i]);
		default:
			return ((const double *) samples)[i];
	}
}

static struct value_range
range_of_samples(const struct grey *grey, const uint8_t *samples, size_t count, struct padding padding)
{
	switch (grey->sample_bytes)
	{
		case 1:
			return range_of_8(samples, count, grey->bits, padding);
		case 2:
			return range_of_16((const uint16_t *) samples, count, grey->bits, padding);
		case 4:
			if (grey->sample == IMAGE_SAMPLE_FLOAT)
				return range_of_float((const float *) samples, count, padding);
			return range_of_32((const uint32_t *) samples, count, grey->bits, padding);
		default:
			return range_of_double((const double *) samples, count, padding);
	}
}

static bool
is_padding(struct padding padding, double value)
{
	return padding.exists && value >= padding.low && value <= padding.high;
}

/* What a Modality LUT makes of the frame's values, or of all that the bits can hold. */
static struct value_range
range_of_lut(const struct grey *grey, const struct image_frame *frame, struct padding padding, bool of_bits)
{
	struct value_range range = {1, 0};
	int64_t least = stored_least(grey->bits);
	size_t count = of_bits ? (size_t) 1 << grey->bits.stored : (size_t) frame->columns * frame->rows;
	size_t i;

	for (i = 0; i < count; i++)
	{
		double stored = of_bits ? (double) (least + (int64_t) i) : sample_value(grey, frame->samples, i);
		double value = modality_value(&grey->rules, stored);

		if (!of_bits && is_padding(padding, stored))
			continue;
		range.low = range.low > range.high || value < range.low ? value : range.low;
		range.high = value > range.high ? value : range.high;
	}
	return range;
}

static struct value_range
range_of_frame(const struct grey *grey, const struct image_frame *frame, struct padding padding, bool of_bits)
{
	struct value_range range;
	double low;
	double high;

	if (grey->rules.modality.entries)
		return range_of_lut(grey, frame, padding, of_bits);
	if (of_bits)
		range = (struct value_range){(double) stored_least(grey->bits), (double) stored_greatest(grey->bits)};
	else
		range = range_of_samples(grey, frame->samples, (size_t) frame->columns * frame->rows, padding);
	if (range.low > range.high)
		return range;
	low = modality_value(&grey->rules, range.low);
	high = modality_value(&grey->rules, range.high);
	return (struct value_range){fmin(low, high), fmax(low, high)};
}

/* Samples that were left in the file are read where all of them are to be looked at. */
static enum dicom_status
see_samples(struct image_frame *frame, struct dicom_error *error)
{
	return frame->frames ? image_frame_load(frame, error) : DICOM_OK;
}

/* Where there is nothing but padding, that is what is shown. */
static enum dicom_status
find_range(const struct picture_rules *rules, struct image_frame *frame,
		   const struct picture_options *options, struct grey *grey, struct dicom_error *error)
{
	bool of_bits = grey->sample == IMAGE_SAMPLE_INTEGER && grey->bits.stored <= 8 &&
				   options->window != PICTURE_WINDOW_PIXELS;
	struct value_range range;

	if (!of_bits && see_samples(frame, error) != DICOM_OK)
		return DICOM_FAILED;
	range = range_of_frame(grey, frame, rules->padding, of_bits);
	if (range.low > range.high)
		range = range_of_frame(grey, frame, (struct padding){0}, of_bits);
	if (range.low > range.high)
		range = (struct value_range){0, 0};
	grey->low = range.low;
	grey->high = range.high;
	return DICOM_OK;
}

/* ---- ways to compute ---- */

/* The two ends of a linear window; false for what is not linear. */
static bool
find_ends(const struct grey *grey, double *low, double *high)
{
	const struct grey_rules *rules = &grey->rules;
	double half = rules->width / 2;

	if (rules->voi_function == VOI_LUT || rules->voi_function == VOI_SIGMOID)
		return false;
	*low = grey->low;
	*high = grey->high;
	if (rules->voi_function == VOI_LINEAR)
	{
		*low = rules->center - half;
		*high = rules->center + half - 1;
		return rules->width > 1;
	}
	if (rules->voi_function == VOI_LINEAR_EXACT)
	{
		*low = rules->center - half;
		*high = rules->center + half;
	}
	return true;
}

static bool
find_ramp(struct grey *grey)
{
	const struct grey_rules *rules = &grey->rules;
	struct ramp *ramp = &grey->ramp;
	double low;
	double high;

	if (rules->modality.entries || !find_ends(grey, &low, &high))
		return false;
	if (high > low)
	{
		ramp->base = (low - rules->intercept) / rules->slope;
		ramp->slope = rules->slope * (WHITE / (high - low));
	}
	if (rules->is_inverted)
	{
		ramp->slope = -ramp->slope;
		ramp->offset = WHITE;
	}
	return isfinite(ramp->base) && isfinite(ramp->slope) && isfinite(high - low);
}

/* A table by the bits stored, of the values that the frame has. */
static bool
make_table(const struct image_frame *frame, struct grey *grey)
{
	size_t size = (size_t) 1 << grey->bits.stored;
	struct value_range range = {(double) stored_least(grey->bits), (double) stored_greatest(grey->bits)};
	int64_t value;

	if (grey->sample_bytes == 2 && frame->samples)
		range = range_of_samples(grey, frame->samples, (size_t) frame->columns * frame->rows,
								 (struct padding){0});
	grey->table = calloc(size, 1);
	for (value = (int64_t) range.low; grey->table && value <= (int64_t) range.high; value++)
		grey->table[(size_t) value & (size - 1)] = grey_value(grey, (double) value);
	return grey->table != NULL;
}

static bool
is_identity(const struct grey *grey)
{
	int i;

	for (i = 0; i < 256; i++)
		if (grey->table[i] != i)
			return false;
	return true;
}

static enum dicom_status
choose_way(struct image_frame *frame, struct grey *grey, struct dicom_error *error)
{
	bool is_ramp = find_ramp(grey);

	grey->way = is_ramp ? GREY_RAMP : GREY_VALUES;
	if (grey->sample_bytes > 2)
		return DICOM_OK;
	if (grey->sample_bytes == 2 && is_ramp && ramp_16_can(grey->ramp))
	{
		grey->ramp_16 = ramp_16_of(grey->bits, grey->ramp);
		return DICOM_OK;
	}
	grey->way = GREY_TABLE;
	if (grey->sample_bytes == 2 && see_samples(frame, error) != DICOM_OK)
		return DICOM_FAILED;
	if (!make_table(frame, grey))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (grey->sample_bytes == 1 && grey->bits.stored == 8 && is_identity(grey))
		grey->way = GREY_COPY;
	return DICOM_OK;
}

enum dicom_status
grey_open(const struct picture_rules *rules, struct image_frame *frame, uint32_t frame_number,
		  const struct picture_options *options, struct grey *grey, struct dicom_error *error)
{
	enum dicom_status status = DICOM_OK;

	memset(grey, 0, sizeof(*grey));
	grey->bits = (struct sample_bits){frame->bits_stored, frame->high_bit, frame->is_signed};
	grey->sample = frame->sample;
	grey->sample_bytes = frame->sample_bytes;
	grey_rules_read(rules, frame_number, options, &grey->rules);
	if (grey->rules.voi_function == VOI_NONE)
		status = find_range(rules, frame, options, grey, error);
	if (status == DICOM_OK)
		status = choose_way(frame, grey, error);
	if (status != DICOM_OK)
		grey_close(grey);
	return status;
}

void
grey_close(struct grey *grey)
{
	grey_rules_free(&grey->rules);
	free(grey->table);
	grey->table = NULL;
}

/* ---- conversion ---- */

static void
convert_by_table(const struct grey *grey, const uint8_t *samples, size_t count, uint8_t *out)
{
	uint32_t down = grey->bits.high + 1 - grey->bits.stored;
	uint32_t mask = ((uint32_t) 1 << grey->bits.stored) - 1;
	const uint16_t *words = (const uint16_t *) samples;
	size_t i;

	if (grey->sample_bytes == 1)
		for (i = 0; i < count; i++)
			out[i] = grey->table[(uint32_t) samples[i] >> down & mask];
	else
		for (i = 0; i < count; i++)
			out[i] = grey->table[(uint32_t) words[i] >> down & mask];
}

static void
convert_by_ramp(const struct grey *grey, const uint8_t *samples, size_t count, uint8_t *out)
{
	if (grey->sample_bytes == 2)
		ramp_16((const uint16_t *) samples, count, grey->ramp_16, out);
	else if (grey->sample_bytes == 8)
		ramp_double((const double *) samples, count, grey->ramp, out);
	else if (grey->sample == IMAGE_SAMPLE_FLOAT)
		ramp_float((const float *) samples, count, grey->ramp, out);
	else
		ramp_32((const uint32_t *) samples, count, grey->bits, grey->ramp, out);
}

void
grey_convert(const struct grey *grey, const uint8_t *samples, size_t count, uint8_t *out)
{
	size_t i;

	switch (grey->way)
	{
		case GREY_COPY:
			memcpy(out, samples, count);
			break;
		case GREY_TABLE:
			convert_by_table(grey, samples, count, out);
			break;
		case GREY_RAMP:
			convert_by_ramp(grey, samples, count, out);
			break;
		case GREY_VALUES:
			for (i = 0; i < count; i++)
				out[i] = grey_value(grey, sample_value(grey, samples, i));
			break;
	}
}
