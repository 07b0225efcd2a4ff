/*
 * rules.c
 *	  What a data set says of how its samples become a picture. picture.h says where it is looked for and what goes before what.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../dicom/dictionary.h"
#include "../dicom/value.h"
#include "picture_internal.h"

#define TAG_PIXEL_PADDING_VALUE        DICOM_TAG(0x0028, 0x0120)
#define TAG_PIXEL_PADDING_RANGE_LIMIT  DICOM_TAG(0x0028, 0x0121)
#define TAG_FLOAT_PADDING_VALUE        DICOM_TAG(0x0028, 0x0122)
#define TAG_DOUBLE_PADDING_VALUE       DICOM_TAG(0x0028, 0x0123)
#define TAG_FLOAT_PADDING_RANGE_LIMIT  DICOM_TAG(0x0028, 0x0124)
#define TAG_DOUBLE_PADDING_RANGE_LIMIT DICOM_TAG(0x0028, 0x0125)
#define TAG_WINDOW_CENTER              DICOM_TAG(0x0028, 0x1050)
#define TAG_WINDOW_WIDTH               DICOM_TAG(0x0028, 0x1051)
#define TAG_RESCALE_INTERCEPT          DICOM_TAG(0x0028, 0x1052)
#define TAG_RESCALE_SLOPE              DICOM_TAG(0x0028, 0x1053)
#define TAG_VOI_LUT_FUNCTION           DICOM_TAG(0x0028, 0x1056)
#define TAG_PALETTE_DESCRIPTOR         DICOM_TAG(0x0028, 0x1101) /* red; green and blue follow, here and below */
#define TAG_PALETTE                    DICOM_TAG(0x0028, 0x1201)
#define TAG_SEGMENTED_PALETTE          DICOM_TAG(0x0028, 0x1221)
#define TAG_MODALITY_LUT_SEQUENCE      DICOM_TAG(0x0028, 0x3000)
#define TAG_LUT_DESCRIPTOR             DICOM_TAG(0x0028, 0x3002)
#define TAG_LUT_DATA                   DICOM_TAG(0x0028, 0x3006)
#define TAG_VOI_LUT_SEQUENCE           DICOM_TAG(0x0028, 0x3010)
#define TAG_FRAME_VOI_LUT              DICOM_TAG(0x0028, 0x9132)
#define TAG_PIXEL_VALUE_TRANSFORMATION DICOM_TAG(0x0028, 0x9145)
#define TAG_PRESENTATION_LUT_SHAPE     DICOM_TAG(0x2050, 0x0020)
#define TAG_SHARED_GROUPS              DICOM_TAG(0x5200, 0x9229)
#define TAG_PER_FRAME_GROUPS           DICOM_TAG(0x5200, 0x9230)

/* ---- single values ---- */

/* Value number `index` of an attribute, counted from 0, as a real number; false where there is none that is finite. */
static bool
read_real(const struct picture_rules *rules, const struct dicom_element *item, uint32_t tag, uint32_t index,
		  double *real)
{
	const struct dicom_element *element = dicom_dataset_find_in(rules->dataset, item, tag, NULL);
	struct dicom_values values = {0};
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;
	bool found = element != NULL;
	uint32_t i;

	for (i = 0; found && i <= index; i++)
		found = dicom_value_next(&values, rules->dataset, element, &cursor, &value);
	if (found && value.kind == DICOM_VALUE_TEXT)
		found = dicom_parse_decimal(value.text, value.length, real);
	else if (found)
		*real = value.kind == DICOM_VALUE_REAL     ? value.number.real
				: value.kind == DICOM_VALUE_SIGNED ? (double) value.number.as_signed
												   : (double) value.number.as_unsigned;
	dicom_values_close(&values);
	return found && isfinite(*real);
}

/* True where an attribute is this word, blanks around it apart. */
static bool
is_word(const struct picture_rules *rules, const struct dicom_element *item, uint32_t tag, const char *word)
{
	const struct dicom_element *element = dicom_dataset_find_in(rules->dataset, item, tag, NULL);
	uint32_t length = 0;
	const uint8_t *value = element ? dicom_dataset_value(rules->dataset, element, &length) : NULL;

	while (value && length > 0 && (*value == ' ' || *value == '\0'))
	{
		value++;
		length--;
	}
	while (value && length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\0'))
		length--;
	return value && length == strlen(word) && memcmp(value, word, length) == 0;
}

/* ---- items ---- */

/* The element at an index where it is an item of `sequence`, else NULL. */
static const struct dicom_element *
item_at(const struct picture_rules *rules, const struct dicom_element *sequence, uint32_t index)
{
	const struct dicom_element *elements = rules->dataset->elements;

	return sequence && index < sequence->next && elements[index].tag == DICOM_TAG_ITEM ? &elements[index]
																					   : NULL;
}

static const struct dicom_element *
first_item(const struct picture_rules *rules, const struct dicom_element *item, uint32_t tag)
{
	const struct dicom_element *sequence = dicom_dataset_find_in(rules->dataset, item, tag, NULL);

	return sequence ? item_at(rules, sequence, (uint32_t) (sequence - rules->dataset->elements) + 1) : NULL;
}

static const struct dicom_element *
next_item(const struct picture_rules *rules, const struct dicom_element *item, uint32_t tag,
		  const struct dicom_element *previous)
{
	return item_at(rules, dicom_dataset_find_in(rules->dataset, item, tag, NULL), previous->next);
}

/* ---- levels ---- */

enum level
{
	LEVEL_FRAME,
	LEVEL_SHARED,
	LEVEL_DATASET,
	LEVEL_COUNT
};

/* The item of a functional group for a frame, or the data set itself as NULL; false where this level has none. */
static bool
find_level(const struct picture_rules *rules, uint32_t frame_number, enum level level, uint32_t group,
		   const struct dicom_element **item)
{
	const struct dicom_element *parent = NULL;

	*item = NULL;
	if (level == LEVEL_DATASET)
		return true;
	if (level == LEVEL_SHARED)
		parent = rules->shared;
	else if (frame_number < rules->frame_count)
		parent = rules->frames[frame_number];
	*item = parent ? first_item(rules, parent, group) : NULL;
	return *item != NULL;
}

/* ---- Modality LUT, rescale ---- */

static bool
read_modality(const struct picture_rules *rules, const struct dicom_element *item, struct grey_rules *grey)
{
	const struct dicom_element *lut = first_item(rules, item, TAG_MODALITY_LUT_SEQUENCE);
	double slope;
	bool has_slope;

	if (lut && rules->pixels.sample == IMAGE_SAMPLE_INTEGER &&
		lut_read(rules->dataset, dicom_dataset_find_in(rules->dataset, lut, TAG_LUT_DESCRIPTOR, NULL),
				 dicom_dataset_find_in(rules->dataset, lut, TAG_LUT_DATA, NULL), rules->pixels.is_signed,
				 &grey->modality))
		return true;
	has_slope = read_real(rules, item, TAG_RESCALE_SLOPE, 0, &slope) && slope != 0;
	if (has_slope)
		grey->slope = slope;
	return read_real(rules, item, TAG_RESCALE_INTERCEPT, 0, &grey->intercept) || has_slope;
}

/* The greatest value that the VOI stage may be given. */
static double
greatest_input(const struct picture_rules *rules, const struct grey_rules *grey)
{
	struct sample_bits bits = {rules->pixels.bits_stored, rules->pixels.high_bit, rules->pixels.is_signed};

	if (rules->pixels.sample != IMAGE_SAMPLE_INTEGER)
		return INFINITY;
	if (grey->modality.entries)
		return ldexp(1, (int) grey->modality.bits) - 1;
	return fmax(grey->slope * (double) stored_least(bits), grey->slope * (double) stored_greatest(bits)) +
		   grey->intercept;
}

/* ---- VOI LUT, window ---- */

/* A first value that is beyond all values was meant to be signed: implicit VR does not tell. */
static bool
read_voi_lut(const struct picture_rules *rules, const struct dicom_element *item, struct grey_rules *grey)
{
	const struct dicom_element *lut = first_item(rules, item, TAG_VOI_LUT_SEQUENCE);

	while (lut)
	{
		if (lut_read(rules->dataset, dicom_dataset_find_in(rules->dataset, lut, TAG_LUT_DESCRIPTOR, NULL),
					 dicom_dataset_find_in(rules->dataset, lut, TAG_LUT_DATA, NULL), false, &grey->voi))
		{
			grey->voi_function = VOI_LUT;
			if (grey->voi.first > INT16_MAX && grey->voi.first > greatest_input(rules, grey))
				grey->voi.first -= 65536;
			return true;
		}
		lut = next_item(rules, item, TAG_VOI_LUT_SEQUENCE, lut);
	}
	return false;
}

static void
set_window(struct grey_rules *grey, enum voi_function function, double center, double width)
{
	grey->voi_function = function == VOI_LINEAR && width < 1 ? VOI_LINEAR_EXACT : function;
	grey->center = center;
	grey->width = width;
}

static bool
read_window(const struct picture_rules *rules, const struct dicom_element *item, uint32_t number,
			struct grey_rules *grey)
{
	enum voi_function function = VOI_LINEAR;
	double center;
	double width;

	if (number == 0 || !read_real(rules, item, TAG_WINDOW_CENTER, number - 1, &center) ||
		!read_real(rules, item, TAG_WINDOW_WIDTH, number - 1, &width) || width <= 0)
		return false;
	if (is_word(rules, item, TAG_VOI_LUT_FUNCTION, "LINEAR_EXACT"))
		function = VOI_LINEAR_EXACT;
	else if (is_word(rules, item, TAG_VOI_LUT_FUNCTION, "SIGMOID"))
		function = VOI_SIGMOID;
	set_window(grey, function, center, width);
	return true;
}

static bool
read_voi(const struct picture_rules *rules, const struct dicom_element *item, uint32_t number,
		 struct grey_rules *grey)
{
	return read_window(rules, item, number, grey) || read_voi_lut(rules, item, grey) ||
		   read_window(rules, item, 1, grey);
}

void
grey_rules_read(const struct picture_rules *rules, uint32_t frame_number,
				const struct picture_options *options, struct grey_rules *grey)
{
	const struct dicom_element *item;
	bool found = false;
	int level;

	memset(grey, 0, sizeof(*grey));
	grey->slope = 1;
	grey->is_inverted = rules->is_inverted;
	for (level = LEVEL_FRAME; level < LEVEL_COUNT && !found; level++)
		found = find_level(rules, frame_number, (enum level) level, TAG_PIXEL_VALUE_TRANSFORMATION, &item) &&
				read_modality(rules, item, grey);
	if (options->window == PICTURE_WINDOW_GIVEN)
		set_window(grey, VOI_LINEAR, options->window_center, options->window_width);
	found = options->window != PICTURE_WINDOW_FILE;
	for (level = LEVEL_FRAME; level < LEVEL_COUNT && !found; level++)
		found = find_level(rules, frame_number, (enum level) level, TAG_FRAME_VOI_LUT, &item) &&
				read_voi(rules, item, options->window_number, grey);
}

void
grey_rules_free(struct grey_rules *grey)
{
	lut_free(&grey->modality);
	lut_free(&grey->voi);
}

/* ---- padding ---- */

/* A padding value is written as the pixels are, signed or not, whatever its VR. */
static bool
read_stored(const struct picture_rules *rules, uint32_t tag, double *stored)
{
	const struct dicom_element *element = dicom_dataset_find(rules->dataset, tag);
	uint32_t length = 0;
	const uint8_t *bytes = element ? dicom_dataset_value(rules->dataset, element, &length) : NULL;
	uint32_t number = 0;
	uint32_t i;

	if (!bytes || (length != 2 && length != 4))
		return false;
	for (i = 0; i < length; i++)
		number |= (uint32_t) bytes[i] << 8 * (element->flags & DICOM_ELEMENT_BIG_ENDIAN ? length - 1 - i : i);
	if (!rules->pixels.is_signed)
		*stored = number;
	else
		*stored = length == 2 ? (int16_t) number : (int32_t) number;
	return true;
}

static void
read_padding(struct picture_rules *rules)
{
	struct padding *padding = &rules->padding;
	double limit;
	bool is_limited;

	switch (rules->pixels.sample)
	{
		case IMAGE_SAMPLE_INTEGER:
			padding->exists = read_stored(rules, TAG_PIXEL_PADDING_VALUE, &padding->low);
			is_limited = read_stored(rules, TAG_PIXEL_PADDING_RANGE_LIMIT, &limit);
			break;
		case IMAGE_SAMPLE_FLOAT:
			padding->exists = read_real(rules, NULL, TAG_FLOAT_PADDING_VALUE, 0, &padding->low);
			is_limited = read_real(rules, NULL, TAG_FLOAT_PADDING_RANGE_LIMIT, 0, &limit);
			break;
		default:
			padding->exists = read_real(rules, NULL, TAG_DOUBLE_PADDING_VALUE, 0, &padding->low);
			is_limited = read_real(rules, NULL, TAG_DOUBLE_PADDING_RANGE_LIMIT, 0, &limit);
			break;
	}
	if (!is_limited)
		limit = padding->low;
	padding->high = fmax(padding->low, limit);
	padding->low = fmin(padding->low, limit);
}

/* ---- palette ---- */

/* Tables that claim more than 8 bits and fill 8 of them are read as what they are. */
static void
narrow_palette(struct picture_lut luts[3])
{
	uint32_t all = 0;
	uint32_t i;
	int channel;

	for (channel = 0; channel < 3; channel++)
		for (i = 0; i < luts[channel].count; i++)
			all |= luts[channel].entries[i];
	for (channel = 0; channel < 3 && all <= 0xFF; channel++)
		luts[channel].bits = 8;
}

/* Of deeper entries the upper 8 bits count, as in 0xFF00 and 0xFFFF, which both mean full. */
static uint8_t
palette_byte(const struct picture_lut *lut, int32_t value)
{
	uint32_t entry = lut_value(lut, value);

	return (uint8_t) (lut->bits > 8 ? entry >> (lut->bits - 8) : entry);
}

/* One table of three channels, which reaches as far as any of the three. */
static bool
join_palette(struct picture_rules *rules, const struct picture_lut luts[3])
{
	int32_t first = luts[0].first;
	int32_t end = first;
	uint32_t i;
	int channel;

	for (channel = 0; channel < 3; channel++)
	{
		int32_t own_end = luts[channel].first + (int32_t) luts[channel].count;

		first = luts[channel].first < first ? luts[channel].first : first;
		end = own_end > end ? own_end : end;
	}
	if (end == first)
		return true;
	rules->palette_first = first;
	rules->palette_count = (uint32_t) (end - first);
	rules->palette = malloc(rules->palette_count * sizeof(rules->palette[0]));
	for (i = 0; rules->palette && i < rules->palette_count; i++)
		for (channel = 0; channel < 3; channel++)
			rules->palette[i][channel] = palette_byte(&luts[channel], first + (int32_t) i);
	return rules->palette != NULL;
}

/* Without all three tables there is no palette. */
static bool
read_palette(struct picture_rules *rules)
{
	struct picture_lut luts[3] = {{0}};
	bool is_whole = true;
	bool is_joined = true;
	uint32_t i;

	for (i = 0; i < 3; i++)
	{
		const struct dicom_element *descriptor =
			dicom_dataset_find(rules->dataset, TAG_PALETTE_DESCRIPTOR + i);
		bool is_signed = rules->pixels.is_signed;

		is_whole =
			is_whole && (lut_read(rules->dataset, descriptor,
								  dicom_dataset_find(rules->dataset, TAG_PALETTE + i), is_signed, &luts[i]) ||
						 lut_read_segmented(rules->dataset, descriptor,
											dicom_dataset_find(rules->dataset, TAG_SEGMENTED_PALETTE + i),
											is_signed, &luts[i]));
	}
	if (is_whole)
	{
		narrow_palette(luts);
		is_joined = join_palette(rules, luts);
	}
	for (i = 0; i < 3; i++)
		lut_free(&luts[i]);
	return is_joined;
}

/* ---- the rules ---- */

static bool
read_functional_groups(struct picture_rules *rules)
{
	const struct dicom_element *sequence = dicom_dataset_find(rules->dataset, TAG_PER_FRAME_GROUPS);
	const struct dicom_element *first = first_item(rules, NULL, TAG_PER_FRAME_GROUPS);
	const struct dicom_element *item;

	rules->shared = first_item(rules, NULL, TAG_SHARED_GROUPS);
	for (item = first; item; item = item_at(rules, sequence, item->next))
		rules->frame_count++;
	if (rules->frame_count == 0)
		return true;
	rules->frames = malloc(rules->frame_count * sizeof(*rules->frames));
	if (!rules->frames)
		return false;
	rules->frame_count = 0;
	for (item = first; item; item = item_at(rules, sequence, item->next))
		rules->frames[rules->frame_count++] = item;
	return true;
}

static bool
read_inverted(const struct picture_rules *rules)
{
	if (is_word(rules, NULL, TAG_PRESENTATION_LUT_SHAPE, "IDENTITY"))
		return false;
	return rules->pixels.photometric == IMAGE_MONOCHROME1 ||
		   is_word(rules, NULL, TAG_PRESENTATION_LUT_SHAPE, "INVERSE");
}

enum dicom_status
picture_rules_open(const struct dicom_dataset *dataset, const struct image_pixels *pixels,
				   struct picture_rules **rules, struct dicom_error *error)
{
	struct picture_rules *new = calloc(1, sizeof(*new));

	*rules = new;
	if (!new)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	new->dataset = dataset;
	new->pixels = *pixels;
	new->is_inverted = read_inverted(new);
	read_padding(new);
	if (read_functional_groups(new) && (pixels->photometric != IMAGE_PALETTE_COLOR || read_palette(new)))
		return DICOM_OK;
	picture_rules_close(new);
	*rules = NULL;
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

void
picture_rules_close(struct picture_rules *rules)
{
	if (!rules)
		return;
	free(rules->frames);
	free(rules->palette);
	free(rules);
}
