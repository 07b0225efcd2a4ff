/*
 * pixels.c
 *	  The image pixel module (PS3.3 C.7.6.3) as a data set describes it, checked.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../dicom/dictionary.h"
#include "../dicom/value.h"
#include "image.h"
#include "tags.h"

/* Ascending. Beside what describes the pixels and how they are shown: what names of pictures are made of. */
static const uint32_t image_tags[] = {
	DICOM_TAG(0x0008, 0x0008), /* ImageType */
	DICOM_TAG(0x0008, 0x0016), /* SOPClassUID */
	DICOM_TAG(0x0008, 0x0018), /* SOPInstanceUID */
	DICOM_TAG(0x0008, 0x0020), /* StudyDate */
	DICOM_TAG(0x0008, 0x0021), /* SeriesDate */
	DICOM_TAG(0x0008, 0x0022), /* AcquisitionDate */
	DICOM_TAG(0x0008, 0x0023), /* ContentDate */
	DICOM_TAG(0x0008, 0x0060), /* Modality */
	DICOM_TAG(0x0020, 0x000D), /* StudyInstanceUID */
	DICOM_TAG(0x0020, 0x000E), /* SeriesInstanceUID */
	DICOM_TAG(0x0020, 0x0011), /* SeriesNumber */
	DICOM_TAG(0x0020, 0x0013), /* InstanceNumber */
	TAG_SAMPLES_PER_PIXEL,
	TAG_PHOTOMETRIC,
	TAG_PLANAR_CONFIGURATION,
	TAG_NUMBER_OF_FRAMES,
	TAG_ROWS,
	TAG_COLUMNS,
	TAG_BITS_ALLOCATED,
	TAG_BITS_STORED,
	TAG_HIGH_BIT,
	TAG_PIXEL_REPRESENTATION,
	DICOM_TAG(0x0028, 0x0106), /* SmallestImagePixelValue */
	DICOM_TAG(0x0028, 0x0107), /* LargestImagePixelValue */
	DICOM_TAG(0x0028, 0x0120), /* PixelPaddingValue */
	DICOM_TAG(0x0028, 0x0121), /* PixelPaddingRangeLimit */
	DICOM_TAG(0x0028, 0x0122), /* FloatPixelPaddingValue */
	DICOM_TAG(0x0028, 0x0123), /* DoubleFloatPixelPaddingValue */
	DICOM_TAG(0x0028, 0x0124), /* FloatPixelPaddingRangeLimit */
	DICOM_TAG(0x0028, 0x0125), /* DoubleFloatPixelPaddingRangeLimit */
	DICOM_TAG(0x0028, 0x0301), /* BurnedInAnnotation */
	DICOM_TAG(0x0028, 0x1040), /* PixelIntensityRelationship */
	DICOM_TAG(0x0028, 0x1041), /* PixelIntensityRelationshipSign */
	DICOM_TAG(0x0028, 0x1050), /* WindowCenter */
	DICOM_TAG(0x0028, 0x1051), /* WindowWidth */
	DICOM_TAG(0x0028, 0x1052), /* RescaleIntercept */
	DICOM_TAG(0x0028, 0x1053), /* RescaleSlope */
	DICOM_TAG(0x0028, 0x1054), /* RescaleType */
	DICOM_TAG(0x0028, 0x1055), /* WindowCenterWidthExplanation */
	DICOM_TAG(0x0028, 0x1056), /* VOILUTFunction */
	DICOM_TAG(0x0028, 0x1101), /* RedPaletteColorLookupTableDescriptor */
	DICOM_TAG(0x0028, 0x1102), /* Green... */
	DICOM_TAG(0x0028, 0x1103), /* Blue... */
	DICOM_TAG(0x0028, 0x1199), /* PaletteColorLookupTableUID */
	DICOM_TAG(0x0028, 0x1201), /* RedPaletteColorLookupTableData */
	DICOM_TAG(0x0028, 0x1202), /* Green... */
	DICOM_TAG(0x0028, 0x1203), /* Blue... */
	DICOM_TAG(0x0028, 0x1221), /* SegmentedRedPaletteColorLookupTableData */
	DICOM_TAG(0x0028, 0x1222), /* ...Green... */
	DICOM_TAG(0x0028, 0x1223), /* ...Blue... */
	DICOM_TAG(0x0028, 0x3000), /* ModalityLUTSequence */
	DICOM_TAG(0x0028, 0x3010), /* VOILUTSequence */
	DICOM_TAG(0x2050, 0x0010), /* PresentationLUTSequence */
	DICOM_TAG(0x2050, 0x0020), /* PresentationLUTShape */
	DICOM_TAG(0x5200, 0x9229), /* SharedFunctionalGroupsSequence */
	DICOM_TAG(0x5200, 0x9230), /* PerFrameFunctionalGroupsSequence */
	TAG_EXTENDED_OFFSET_TABLE,
	TAG_EXTENDED_OFFSET_TABLE_LENGTHS,
	TAG_FLOAT_PIXEL_DATA,
	TAG_DOUBLE_PIXEL_DATA,
	DICOM_TAG_PIXEL_DATA,
};

/* A look-up table of 65,536 entries of 16 bits stands inside a sequence; functional groups of many frames are long. */
const struct dicom_selection image_selection = {
	.tags = image_tags,
	.tag_count = sizeof(image_tags) / sizeof(image_tags[0]),
	.max_value = 1 << 18,
	.header_limit = 64 << 20,
};

/* ---- transfer syntaxes ---- */

struct syntax
{
	const char *uid; /* behind "1.2.840.10008.1.2" */
	enum image_codec codec;
};

/* PS3.6 Table A-1. What is not here, video among it, is not supported; but private syntaxes without fragments are native. */
static const struct syntax syntaxes[] = {
	{"", IMAGE_CODEC_NATIVE},          {".1", IMAGE_CODEC_NATIVE},
	{".1.98", IMAGE_CODEC_NATIVE}, /* encapsulated uncompressed */
	{".1.99", IMAGE_CODEC_NATIVE},     {".2", IMAGE_CODEC_NATIVE},
	{".4.50", IMAGE_CODEC_JPEG},       {".4.51", IMAGE_CODEC_JPEG},
	{".4.52", IMAGE_CODEC_JPEG},       {".4.53", IMAGE_CODEC_JPEG},
	{".4.54", IMAGE_CODEC_JPEG},       {".4.55", IMAGE_CODEC_JPEG},
	{".4.56", IMAGE_CODEC_JPEG},       {".4.57", IMAGE_CODEC_JPEG},
	{".4.58", IMAGE_CODEC_JPEG},       {".4.59", IMAGE_CODEC_JPEG},
	{".4.60", IMAGE_CODEC_JPEG},       {".4.61", IMAGE_CODEC_JPEG},
	{".4.62", IMAGE_CODEC_JPEG},       {".4.63", IMAGE_CODEC_JPEG},
	{".4.64", IMAGE_CODEC_JPEG},       {".4.65", IMAGE_CODEC_JPEG},
	{".4.66", IMAGE_CODEC_JPEG},       {".4.70", IMAGE_CODEC_JPEG},
	{".4.80", IMAGE_CODEC_JPEG_LS},    {".4.81", IMAGE_CODEC_JPEG_LS},
	{".4.90", IMAGE_CODEC_JPEG_2000},  {".4.91", IMAGE_CODEC_JPEG_2000},
	{".4.92", IMAGE_CODEC_JPEG_2000},  {".4.93", IMAGE_CODEC_JPEG_2000},
	{".4.110", IMAGE_CODEC_JPEG_XL},   {".4.111", IMAGE_CODEC_JPEG_XL},
	{".4.112", IMAGE_CODEC_JPEG_XL},   {".4.201", IMAGE_CODEC_JPEG_2000},
	{".4.202", IMAGE_CODEC_JPEG_2000}, {".4.203", IMAGE_CODEC_JPEG_2000},
	{".5", IMAGE_CODEC_RLE},           {".8.1", IMAGE_CODEC_DEFLATE},
};

static enum image_codec
codec_of(const char *uid)
{
	static const char root[] = "1.2.840.10008.1.2";
	size_t i;

	if (strncmp(uid, root, sizeof(root) - 1) != 0)
		return IMAGE_CODEC_NATIVE;
	for (i = 0; i < sizeof(syntaxes) / sizeof(syntaxes[0]); i++)
		if (strcmp(uid + sizeof(root) - 1, syntaxes[i].uid) == 0)
			return syntaxes[i].codec;
	return IMAGE_CODEC_UNSUPPORTED;
}

/* ---- values ---- */

/* The description of one image while it is read: what is wrong with it is said with the tag. */
struct reading
{
	const struct dicom_dataset *dataset;
	struct dicom_values values;
	struct dicom_error *error;
};

static enum dicom_status
fail_tag(struct dicom_error *error, enum dicom_error_code code, uint32_t tag, const char *message)
{
	dicom_fail(error, code, "%s", message);
	if (error)
		error->tag = tag;
	return DICOM_FAILED;
}

/* The first value of an attribute as a whole number; false where there is none, or none that makes sense. */
static bool
read_number(struct reading *reading, uint32_t tag, int64_t *number)
{
	const struct dicom_element *element = dicom_dataset_find(reading->dataset, tag);
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;

	if (!element || !dicom_value_next(&reading->values, reading->dataset, element, &cursor, &value))
		return false;
	switch (value.kind)
	{
		case DICOM_VALUE_SIGNED:
			*number = value.number.as_signed;
			return true;
		case DICOM_VALUE_UNSIGNED:
			*number = (int64_t) value.number.as_unsigned;
			return value.number.as_unsigned <= INT64_MAX;
		case DICOM_VALUE_TEXT:
			return dicom_parse_integer(value.text, value.length, number);
		default:
			return false;
	}
}

/* A number that must be there, between 1 and `most`. */
static enum dicom_status
require_number(struct reading *reading, uint32_t tag, const char *name, uint32_t most, uint32_t *number)
{
	int64_t found;

	if (!read_number(reading, tag, &found) || found < 1 || found > most)
	{
		dicom_fail(reading->error, DICOM_ERROR_MALFORMED, "%s is missing, or makes no sense", name);
		if (reading->error)
			reading->error->tag = tag;
		return DICOM_FAILED;
	}
	*number = (uint32_t) found;
	return DICOM_OK;
}

static uint32_t
number_or(struct reading *reading, uint32_t tag, uint32_t least, uint32_t most, uint32_t otherwise)
{
	int64_t found;

	return read_number(reading, tag, &found) && found >= least && found <= most ? (uint32_t) found
																				: otherwise;
}

/* ---- the pixel data element ---- */

static const struct dicom_element *
find_pixel_data(struct reading *reading, struct image_pixels *pixels)
{
	static const uint32_t tags[] = {DICOM_TAG_PIXEL_DATA, TAG_FLOAT_PIXEL_DATA, TAG_DOUBLE_PIXEL_DATA};
	size_t i;

	for (i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
	{
		const struct dicom_element *element = dicom_dataset_find(reading->dataset, tags[i]);

		if (element && element->length > 0)
		{
			pixels->sample = (enum image_sample) i;
			return element;
		}
	}
	return NULL;
}

/* A deflated stream follows the file meta information. */
static uint64_t
end_of_meta(const struct dicom_dataset *dataset)
{
	uint64_t end = 0;
	uint32_t i;

	for (i = 0; i < dataset->count; i = dataset->elements[i].next)
	{
		const struct dicom_element *element = &dataset->elements[i];

		if (element->flags & DICOM_ELEMENT_META && element->offset + element->length > end)
			end = element->offset + element->length;
	}
	return end;
}

static void
read_place(struct reading *reading, uint32_t tag, struct image_place *place)
{
	const struct dicom_element *element = dicom_dataset_find(reading->dataset, tag);

	if (!element || element->length == DICOM_UNDEFINED_LENGTH || element->flags & DICOM_ELEMENT_TRUNCATED)
		return;
	place->offset = element->offset;
	place->length = element->length;
}

static enum dicom_status
read_place_of_pixels(struct reading *reading, struct image_pixels *pixels)
{
	const struct dicom_element *element = find_pixel_data(reading, pixels);

	if (!element)
		return dicom_fail(reading->error, DICOM_ERROR_NOT_FOUND, "no pixel data");
	memcpy(pixels->transfer_syntax_uid, reading->dataset->transfer_syntax_uid,
		   sizeof(pixels->transfer_syntax_uid));
	pixels->codec = codec_of(pixels->transfer_syntax_uid);
	pixels->is_encapsulated =
		(element->flags & DICOM_ELEMENT_ENCAPSULATED) || element->length == DICOM_UNDEFINED_LENGTH;
	pixels->is_words = element->vr == DICOM_VR('O', 'W');
	pixels->big_endian =
		element->flags & DICOM_ELEMENT_BIG_ENDIAN ||
		strcmp(pixels->transfer_syntax_uid, "1.2.840.113619.5.2") == 0; /* GE: pixels alone */
	pixels->value_offset = element->offset;
	pixels->value_length = pixels->is_encapsulated ? UINT64_MAX : element->length;
	pixels->is_deflated = (element->flags & DICOM_ELEMENT_INFLATED) != 0;
	if (pixels->is_deflated)
		pixels->deflated_offset = end_of_meta(reading->dataset);
	read_place(reading, TAG_EXTENDED_OFFSET_TABLE, &pixels->table);
	read_place(reading, TAG_EXTENDED_OFFSET_TABLE_LENGTHS, &pixels->table_lengths);
	return DICOM_OK;
}

/* ---- the samples ---- */

static enum dicom_status
read_photometric(struct reading *reading, struct image_pixels *pixels)
{
	static const char *const names[IMAGE_PHOTOMETRIC_COUNT] = {
		"MONOCHROME1",     "MONOCHROME2",     "PALETTE COLOR", "RGB",     "YBR_FULL", "YBR_FULL_422",
		"YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT",       "YBR_RCT", "XYB"};
	static const char *const retired[] = {"HSV", "ARGB", "CMYK"};
	const struct dicom_element *element = dicom_dataset_find(reading->dataset, TAG_PHOTOMETRIC);
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;
	size_t i;

	/* What the number of samples lets guess, where the name is missing or unknown. */
	pixels->photometric = pixels->samples_per_pixel == 1 ? IMAGE_MONOCHROME2 : IMAGE_RGB;
	if (!element || !dicom_value_next(&reading->values, reading->dataset, element, &cursor, &value))
		return DICOM_OK;
	for (i = 0; i < IMAGE_PHOTOMETRIC_COUNT; i++)
		if (strlen(names[i]) == value.length && strncasecmp(names[i], value.text, value.length) == 0)
			pixels->photometric = (enum image_photometric) i;
	for (i = 0; i < sizeof(retired) / sizeof(retired[0]); i++)
		if (strlen(retired[i]) == value.length && strncasecmp(retired[i], value.text, value.length) == 0)
			return fail_tag(reading->error, DICOM_ERROR_MALFORMED, TAG_PHOTOMETRIC,
							"PhotometricInterpretation is a retired one that is not supported");
	if (pixels->photometric <= IMAGE_PALETTE_COLOR && pixels->samples_per_pixel != 1)
		pixels->photometric = IMAGE_RGB;
	else if (pixels->photometric > IMAGE_PALETTE_COLOR && pixels->samples_per_pixel == 1)
		pixels->photometric = IMAGE_MONOCHROME2;
	return DICOM_OK;
}

static enum dicom_status
read_bits(struct reading *reading, struct image_pixels *pixels)
{
	static const uint32_t real_bits[] = {0, 32, 64};
	enum dicom_status status =
		require_number(reading, TAG_BITS_ALLOCATED, "BitsAllocated", 64, &pixels->bits_allocated);

	if (pixels->sample != IMAGE_SAMPLE_INTEGER)
	{
		pixels->bits_allocated = real_bits[pixels->sample];
		pixels->bits_stored = pixels->bits_allocated;
		pixels->high_bit = pixels->bits_stored - 1;
		return DICOM_OK;
	}
	if (status == DICOM_OK && pixels->bits_allocated > 32)
		return fail_tag(reading->error, DICOM_ERROR_MALFORMED, TAG_BITS_ALLOCATED,
						"BitsAllocated of whole numbers is greater than 32");
	if (status != DICOM_OK)
		return status;
	pixels->bits_stored =
		number_or(reading, TAG_BITS_STORED, 1, pixels->bits_allocated, pixels->bits_allocated);
	pixels->high_bit = number_or(reading, TAG_HIGH_BIT, pixels->bits_stored - 1, pixels->bits_allocated - 1,
								 pixels->bits_stored - 1);
	pixels->is_signed = number_or(reading, TAG_PIXEL_REPRESENTATION, 0, 1, 0) == 1;
	return DICOM_OK;
}

static enum dicom_status
read_shape(struct reading *reading, struct image_pixels *pixels)
{
	enum dicom_status status;

	status = require_number(reading, TAG_ROWS, "Rows", UINT16_MAX, &pixels->rows);
	if (status == DICOM_OK)
		status = require_number(reading, TAG_COLUMNS, "Columns", UINT16_MAX, &pixels->columns);
	if (status != DICOM_OK)
		return status;
	pixels->samples_per_pixel = number_or(reading, TAG_SAMPLES_PER_PIXEL, 0, UINT16_MAX, 1);
	if (pixels->samples_per_pixel != 1 && pixels->samples_per_pixel != 3 && pixels->samples_per_pixel != 4)
		return fail_tag(reading->error, DICOM_ERROR_MALFORMED, TAG_SAMPLES_PER_PIXEL,
						"SamplesPerPixel is not 1, 3 or 4");
	pixels->is_planar =
		pixels->samples_per_pixel > 1 && number_or(reading, TAG_PLANAR_CONFIGURATION, 0, 1, 0) == 1;
	pixels->frame_count = number_or(reading, TAG_NUMBER_OF_FRAMES, 1, INT32_MAX, 1);
	return DICOM_OK;
}

enum dicom_status
image_pixels_read(const struct dicom_dataset *dataset, struct image_pixels *pixels, struct dicom_error *error)
{
	struct reading reading = {.dataset = dataset, .error = error};
	enum dicom_status status;

	memset(pixels, 0, sizeof(*pixels));
	status = read_place_of_pixels(&reading, pixels);
	if (status == DICOM_OK)
		status = read_shape(&reading, pixels);
	if (status == DICOM_OK)
		status = read_bits(&reading, pixels);
	if (status == DICOM_OK)
		status = read_photometric(&reading, pixels);
	dicom_values_close(&reading.values);
	return status;
}
