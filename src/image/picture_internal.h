/*
 * picture_internal.h
 *	  What the files that make pictures share; private to src/image.
 *
 *	rules.c, lut.c	what the data set says
 *	grey.c, colour.c	rows of samples -> rows of 8 bits
 *	kernels.c		their inner loops
 *	scale.c			rows -> fewer and shorter rows
 *	picture.c		puts them together
 *	jpeg_encode.c, pass_through.c	what comes of it
 */
#ifndef IMAGE_PICTURE_INTERNAL_H
#define IMAGE_PICTURE_INTERNAL_H

#include "picture.h"

/* ---- lut.c ---- */

/* A look-up table: PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5. */
struct picture_lut
{
	uint16_t *entries; /* NULL: none */
	uint32_t count;
	int32_t
		first; /* the value that the first entry is for; what is below has that entry too, what is behind the last one's */
	uint32_t bits; /* of the entries: 1 to 16 */
};

/*
 * Reads the table of a descriptor and its data. False where it makes no sense; *lut is empty then. MEMORY is reported as that, too.
 * With is_signed the first value is signed, whatever the descriptor's VR.
 */
extern bool lut_read(const struct dicom_dataset *dataset, const struct dicom_element *descriptor,
					 const struct dicom_element *data, bool is_signed, struct picture_lut *lut);

/* The same of segmented data: C.7.9.2. */
extern bool lut_read_segmented(const struct dicom_dataset *dataset, const struct dicom_element *descriptor,
							   const struct dicom_element *data, bool is_signed, struct picture_lut *lut);
extern void lut_free(struct picture_lut *lut);

static inline uint16_t
lut_value(const struct picture_lut *lut, double value)
{
	double index = value - lut->first + 0.5;

	if (!(index >= 1))
		return lut->entries[0];
	return lut->entries[index < lut->count ? (uint32_t) index : lut->count - 1];
}

/* ---- kernels.c ---- */

/* Where a stored value lies in a sample of 1, 2 or 4 bytes: PS3.5 §8.1.1. */
struct sample_bits
{
	uint32_t stored; /* 1 to 32 */
	uint32_t high;   /* stored - 1 at least */
	bool is_signed;
};

static inline int64_t
stored_value(struct sample_bits bits, uint32_t sample)
{
	uint32_t top = sample << (31 - bits.high);

	return bits.is_signed ? (int64_t) ((int32_t) top >> (32 - bits.stored))
						  : (int64_t) (top >> (32 - bits.stored));
}

static inline int64_t
stored_least(struct sample_bits bits)
{
	return bits.is_signed ? -((int64_t) 1 << (bits.stored - 1)) : 0;
}

static inline int64_t
stored_greatest(struct sample_bits bits)
{
	return ((int64_t) 1 << (bits.stored - (bits.is_signed ? 1 : 0))) - 1;
}

/* The least and the greatest of stored values, without those from padding_low to padding_high; *low > *high where there is none. */
struct value_range
{
	double low, high;
};

/* Pixel padding: stored values from low to high, C.7.5.1.1.2. */
struct padding
{
	bool exists;
	double low, high;
};

extern struct value_range range_of_16(const uint16_t *samples, size_t count, struct sample_bits bits,
									  struct padding padding);
extern struct value_range range_of_8(const uint8_t *samples, size_t count, struct sample_bits bits,
									 struct padding padding);
extern struct value_range range_of_32(const uint32_t *samples, size_t count, struct sample_bits bits,
									  struct padding padding);
extern struct value_range range_of_float(const float *samples, size_t count, struct padding padding);
extern struct value_range range_of_double(const double *samples, size_t count, struct padding padding);

/* 8 bits = (value - base) x slope + offset, rounded, between 0 and 255; NaN: 0. */
struct ramp
{
	double base, slope, offset;
};

/* How samples of 16 bits are compared: see to_lane(). */
struct sample_lane
{
	struct sample_bits bits;
	uint16_t up; /* a power of two: to multiply keeps to 16 bits what to shift would not */
	uint16_t mask;
	uint16_t flip;
	int16_t pad_low; /* above pad_high where there is no padding */
	int16_t pad_high;
};

/*
 * A ramp in numbers of 16 bits: (value - low) x scale x factor >> 16, with `offset` added, is 8 bits and some binary digits.
 * `low` lies where the ramp begins, or is the least value; `high`, where it has reached 255, or is the greatest. So the
 * difference fits 16 bits without a sign, and is scaled up until its greatest fills them: no more than 2 of the last digits are
 * lost. Values stay with their highest bit on top, which is a part of that scale.
 */
struct ramp_16
{
	struct sample_lane lane;
	int16_t low, high;
	uint16_t scale;
	uint16_t factor;
	int16_t offset;
	uint8_t flip;
};

/* True where the slope is not too steep for that: a table is for those. */
extern bool ramp_16_can(struct ramp ramp);
extern struct ramp_16 ramp_16_of(struct sample_bits bits, struct ramp ramp);
extern void ramp_16(const uint16_t *restrict samples, size_t count, struct ramp_16 ramp,
					uint8_t *restrict out);
extern void ramp_32(const uint32_t *samples, size_t count, struct sample_bits bits, struct ramp ramp,
					uint8_t *out);
extern void ramp_float(const float *samples, size_t count, struct ramp ramp, uint8_t *out);
extern void ramp_double(const double *samples, size_t count, struct ramp ramp, uint8_t *out);

/* ---- rules.c ---- */

enum voi_function
{
	VOI_NONE, /* neither LUT nor window: a range */
	VOI_LUT,
	VOI_LINEAR,
	VOI_LINEAR_EXACT,
	VOI_SIGMOID
};

/* What holds for one frame. */
struct grey_rules
{
	struct picture_lut modality; /* instead of slope and intercept, where there is one */
	double slope, intercept;
	enum voi_function voi_function;
	struct picture_lut voi;
	double center, width;
	bool is_inverted;
};

struct picture_rules
{
	const struct dicom_dataset *dataset;
	struct image_pixels pixels;
	bool is_inverted;

	/* Functional groups: items of the shared one (NULL: none) and of each frame. */
	const struct dicom_element *shared;
	const struct dicom_element **frames;
	uint32_t frame_count;

	struct padding padding;

	/* Palette: 8 bits of red, green and blue for stored values from palette_first on; NULL: none. */
	uint8_t (*palette)[3];
	int32_t palette_first;
	uint32_t palette_count;
};

/* The rules of one frame, freed by grey_rules_free(). PICTURE_WINDOW_PIXELS leaves VOI_NONE. */
extern void grey_rules_read(const struct picture_rules *rules, uint32_t frame_number,
							const struct picture_options *options, struct grey_rules *grey);
extern void grey_rules_free(struct grey_rules *grey);

/* ---- grey.c ---- */

enum grey_way
{
	GREY_COPY, /* samples are the picture's bytes */
	GREY_TABLE,
	GREY_RAMP,
	GREY_VALUES /* computed one by one */
};

struct grey
{
	enum grey_way way;
	struct grey_rules rules;
	struct sample_bits bits;
	enum image_sample sample;
	uint32_t sample_bytes;
	double low, high; /* VOI_NONE: the range, behind the Modality LUT or rescale */
	struct ramp ramp;
	struct ramp_16 ramp_16; /* the same for samples of 16 bits */
	uint8_t *table;         /* by the bits stored */
};

/* `frame` may lack samples where pass_through.c only asks whether 8 bits would stay as they are. */
extern enum dicom_status grey_open(const struct picture_rules *rules, struct image_frame *frame,
								   uint32_t frame_number, const struct picture_options *options,
								   struct grey *grey, struct dicom_error *error);
extern void grey_close(struct grey *grey);
extern void grey_convert(const struct grey *grey, const uint8_t *samples, size_t count, uint8_t *out);

/* ---- colour.c ---- */

struct colour
{
	bool is_copy; /* samples are the picture's bytes */
	struct sample_bits bits;
	uint32_t sample_bytes;
	enum image_photometric photometric;
	const struct picture_rules *rules; /* its palette */
	struct ramp ramp;                  /* deeper samples -> 8 bits */
	struct ramp_16 ramp_16;
	uint8_t table[256]; /* shallower ones */
};

extern enum dicom_status colour_open(const struct picture_rules *rules, const struct image_frame *frame,
									 struct colour *colour, struct dicom_error *error);
extern void colour_convert(const struct colour *colour, const uint8_t *samples, size_t count, uint8_t *out);

/* ---- scale.c ---- */

/* Averages by area, exactly: so many columns and rows to fewer, with one row of sums. */
struct scaler;
extern struct scaler *scaler_open(uint32_t columns, uint32_t rows, uint32_t out_columns, uint32_t out_rows,
								  int channels);
extern void scaler_close(struct scaler *scaler);

/* Takes the next row. True where that completed one, which is at *out until the next call. */
extern bool scaler_take(struct scaler *scaler, const uint8_t *row, const uint8_t **out);

/* The size that fits into max_size, 0: any; no side becomes 0. */
extern void scaled_size(uint32_t columns, uint32_t rows, uint32_t max_size, uint32_t *out_columns,
						uint32_t *out_rows);

/* ---- picture.c ---- */

#define PICTURE_ROWS_AT_ONCE 16

/* True where grey rows may be read up to a multiple of 8 bytes: what is behind the last pixel then repeats it. */
extern bool picture_rows_are_padded(const struct picture *picture);

/*
 * The next rows, at most `count` and PICTURE_ROWS_AT_ONCE, valid until the next call; 0 behind the last. `count` is a power of 2, and the same
 * at every call.
 */
extern uint32_t picture_next_rows(struct picture *picture, const uint8_t **rows, uint32_t count);

#endif
