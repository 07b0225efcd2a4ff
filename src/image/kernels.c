/*
 * kernels.c
 *	  The inner loops over samples, written so that a compiler makes vector instructions of them: no branches, no calls,
 *	  samples of 16 bits in lanes of 16 bits where that is possible.
 *
 * What is not libjpeg's time is spent here. At -O2 gcc 12 leaves loops alone whose count it does not know, and comparisons of real
 * numbers, which might trap; nobody here asks whether they did.
 */
#include <math.h>

#include "picture_internal.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-trapping-math")
#endif

/* Where lanes of 16 bits are all that is done: again for processors that have two and four times as many, chosen when the program starts. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define WIDE
#endif

/* ---- the range of 16 bits ---- */

/*
 * Samples are compared in signed integers, their highest bit on top and what is not stored cut away, unsigned ones moved down by
 * half: that keeps their order.
 */
static inline int16_t
to_lane(const struct sample_lane *lane, uint32_t sample)
{
	return (int16_t) (((uint16_t) (sample * lane->up) & lane->mask) ^ lane->flip);
}

static double
from_lane(const struct sample_lane *lane, int16_t value)
{
	return (double) stored_value(lane->bits, (uint32_t) (uint16_t) (value ^ lane->flip) / lane->up);
}

/* A stored value, cut to what the bits can hold. */
static int16_t
value_to_lane(const struct sample_lane *lane, double value)
{
	double least = (double) stored_least(lane->bits);
	double greatest = (double) stored_greatest(lane->bits);
	int32_t held = (int32_t) (value < least ? least : value > greatest ? greatest : value);

	return to_lane(lane, (uint32_t) held << (lane->bits.high + 1 - lane->bits.stored));
}

static struct sample_lane
lane_of(struct sample_bits bits, struct padding padding)
{
	struct sample_lane lane = {.bits = bits, .pad_low = INT16_MAX, .pad_high = INT16_MIN};

	lane.up = (uint16_t) (1U << (15 - bits.high));
	lane.mask = (uint16_t) (0xFFFFU << (16 - bits.stored));
	lane.flip = bits.is_signed ? 0 : 0x8000;
	if (padding.exists && padding.low <= (double) stored_greatest(bits) &&
		padding.high >= (double) stored_least(bits))
	{
		lane.pad_low = value_to_lane(&lane, padding.low);
		lane.pad_high = value_to_lane(&lane, padding.high);
	}
	return lane;
}

struct lane_range
{
	int16_t low, high;
};

WIDE static struct lane_range
range_of_all(const uint16_t *samples, size_t count, struct sample_lane lane)
{
	int16_t low = INT16_MAX;
	int16_t high = INT16_MIN;
	size_t i;

	for (i = 0; i < count; i++)
	{
		int16_t value = to_lane(&lane, samples[i]);

		low = value < low ? value : low;
		high = value > high ? value : high;
	}
	return (struct lane_range){low, high};
}

/* What is padding is replaced by what no minimum or maximum takes notice of. */
WIDE static struct lane_range
range_of_unpadded(const uint16_t *samples, size_t count, struct sample_lane lane)
{
	int16_t low = INT16_MAX;
	int16_t high = INT16_MIN;
	size_t i;

	for (i = 0; i < count; i++)
	{
		int16_t value = to_lane(&lane, samples[i]);
		int16_t padded = (int16_t) - ((value >= lane.pad_low) & (value <= lane.pad_high));
		int16_t for_low = (int16_t) ((value & ~padded) | (INT16_MAX & padded));
		int16_t for_high = (int16_t) ((value & ~padded) | (INT16_MIN & padded));

		low = for_low < low ? for_low : low;
		high = for_high > high ? for_high : high;
	}
	return (struct lane_range){low, high};
}

struct value_range
range_of_16(const uint16_t *samples, size_t count, struct sample_bits bits, struct padding padding)
{
	struct sample_lane lane = lane_of(bits, padding);
	struct lane_range range;

	if (lane.pad_low > lane.pad_high)
		range = range_of_all(samples, count, lane);
	else
		range = range_of_unpadded(samples, count, lane);
	if (range.low > range.high)
		return (struct value_range){1, 0};
	return (struct value_range){from_lane(&lane, range.low), from_lane(&lane, range.high)};
}

/* ---- the range of others ---- */

static inline void
widen(struct value_range *range, double value, struct padding padding)
{
	if (!isfinite(value) || (padding.exists && value >= padding.low && value <= padding.high))
		return;
	if (range->low > range->high)
		range->low = range->high = value;
	else if (value < range->low)
		range->low = value;
	else if (value > range->high)
		range->high = value;
}

struct value_range
range_of_8(const uint8_t *samples, size_t count, struct sample_bits bits, struct padding padding)
{
	struct value_range range = {1, 0};
	bool seen[256] = {false};
	uint32_t sample;
	size_t i;

	for (i = 0; i < count; i++)
		seen[samples[i]] = true;
	for (sample = 0; sample < 256; sample++)
		if (seen[sample])
			widen(&range, (double) stored_value(bits, sample), padding);
	return range;
}

struct value_range
range_of_32(const uint32_t *samples, size_t count, struct sample_bits bits, struct padding padding)
{
	struct value_range range = {1, 0};
	size_t i;

	for (i = 0; i < count; i++)
		widen(&range, (double) stored_value(bits, samples[i]), padding);
	return range;
}

struct value_range
range_of_float(const float *samples, size_t count, struct padding padding)
{
	struct value_range range = {1, 0};
	size_t i;

	for (i = 0; i < count; i++)
		widen(&range, samples[i], padding);
	return range;
}

struct value_range
range_of_double(const double *samples, size_t count, struct padding padding)
{
	struct value_range range = {1, 0};
	size_t i;

	for (i = 0; i < count; i++)
		widen(&range, samples[i], padding);
	return range;
}

/* ---- the ramp of 16 bits ---- */

#define RAMP_DIGITS 6 /* binary, behind the point */

bool
ramp_16_can(struct ramp ramp)
{
	return fabs(ramp.slope) <= 255;
}

/* The same ramp, or that upside down, rising from 0 at its base. */
static struct ramp
rising(struct ramp ramp, uint8_t *flip)
{
	*flip = 0;
	if (ramp.slope < 0)
	{
		*flip = 0xFF;
		ramp.slope = -ramp.slope;
		ramp.offset = 255 - ramp.offset;
	}
	if (ramp.slope > 0)
	{
		ramp.base -= ramp.offset / ramp.slope;
		ramp.offset = 0;
	}
	return ramp;
}

static double
between(double low, double value, double high)
{
	return value < low ? low : value > high ? high : value;
}

struct ramp_16
ramp_16_of(struct sample_bits bits, struct ramp ramp)
{
	struct ramp_16 r = {.lane = lane_of(bits, (struct padding){0})};
	double greatest = (double) stored_greatest(bits);
	uint32_t unused = 16 - bits.stored;
	uint32_t up = unused;
	double offset;
	double low;
	double span;

	ramp = rising(ramp, &r.flip);
	low = between((double) stored_least(bits), floor(ramp.base), greatest);
	offset = between(-255, ramp.offset + (low - ramp.base) * ramp.slope, 255);
	span = ramp.slope > 0 ? ceil((255 - offset) / ramp.slope) : 0;
	span = between(0, span, greatest - low);
	while (up < 15 && span * ldexp(1, (int) up + 1) < 65536)
		up++;
	r.low = value_to_lane(&r.lane, low);
	r.high = value_to_lane(&r.lane, low + span);
	r.scale = (uint16_t) (1U << (up - unused));
	r.factor = (uint16_t) (ramp.slope * ldexp(1, 16 + RAMP_DIGITS - (int) up) + 0.5);
	r.offset = (int16_t) floor((offset + 0.5) * (1 << RAMP_DIGITS) + 0.5);
	return r;
}

/* `restrict`, and one step at a time: so it becomes 16-bit instructions, and pmulhuw for the product's upper half. */
WIDE void
ramp_16(const uint16_t *restrict samples, size_t count, struct ramp_16 r, uint8_t *restrict out)
{
	size_t i;

	for (i = 0; i < count; i++)
	{
		int16_t value = to_lane(&r.lane, samples[i]);
		uint16_t above;
		uint16_t product;
		int16_t level;

		value = value > r.low ? value : r.low;
		value = value < r.high ? value : r.high;
		above = (uint16_t) (value - r.low);
		above = (uint16_t) (above * r.scale);
		product = (uint16_t) (((uint32_t) above * (uint32_t) r.factor) >> 16);
		level = (int16_t) (product + r.offset);
		level = level > 0 ? level : 0;
		level = (int16_t) (level >> RAMP_DIGITS);
		level = level < 255 ? level : 255;
		out[i] = (uint8_t) level ^ r.flip;
	}
}

/* ---- other ramps ---- */

/* NaN fails the first comparison. */
static inline uint8_t
to_byte(double value)
{
	value = value > 0 ? value : 0;
	value = value < 255 ? value : 255;
	return (uint8_t) (int) (value + 0.5);
}

void
ramp_32(const uint32_t *samples, size_t count, struct sample_bits bits, struct ramp ramp, uint8_t *out)
{
	size_t i;

	for (i = 0; i < count; i++)
		out[i] = to_byte(((double) stored_value(bits, samples[i]) - ramp.base) * ramp.slope + ramp.offset);
}

void
ramp_float(const float *samples, size_t count, struct ramp ramp, uint8_t *out)
{
	size_t i;

	for (i = 0; i < count; i++)
		out[i] = to_byte((samples[i] - ramp.base) * ramp.slope + ramp.offset);
}

void
ramp_double(const double *samples, size_t count, struct ramp ramp, uint8_t *out)
{
	size_t i;

	for (i = 0; i < count; i++)
		out[i] = to_byte((samples[i] - ramp.base) * ramp.slope + ramp.offset);
}
