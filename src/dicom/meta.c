/*
 * meta.c
 *	  What stands in front of the data set: preamble and file meta information (PS3.10 §7.1), a command set
 *	  (PS3.7 §6.3); and how the data set behind it is encoded.
 */
#include <string.h>

#include "parser.h"

#define PREAMBLE 128
#define PREFIX   4

/* A file without preamble must begin with so many sane elements to be taken for a data set. */
#define ELEMENTS_TO_TRUST 3

/* ---- is it DICOM at all ---- */

static bool
is_sane_tag(uint32_t tag)
{
	if (tag >> 16 & 1)
		return tag >> 16 >= 9 && (tag & 0xFFFF) >= 0x10;
	return (tag & 0xFFFF) == 0 ? tag >> 16 <= 0xFF : dicom_dictionary_by_tag(tag) != NULL;
}

/* True for a header that a writer could have meant, in just the encoding that is tried. */
static bool
is_sane_header(const struct header *header, uint64_t end, uint8_t syntax)
{
	uint16_t vr = header_vr(header, false);

	if (!is_sane_tag(header->tag) || header->syntax != syntax)
		return false;
	if (!(syntax & SYNTAX_IMPLICIT) && header->vr == DICOM_VR_NONE)
		return false;
	if (header->length == DICOM_UNDEFINED_LENGTH)
		return vr == VR_SQ || vr == VR_UN;
	if ((header->tag & 0xFFFF) == 0 && header->length != 4)
		return false;
	return header->length <= end - header->value;
}

enum dicom_status
try_elements(struct dicom_reading *reading, uint64_t position, uint64_t end, uint8_t syntax, bool *sane)
{
	uint32_t last_tag = 0;
	int i;

	*sane = false;
	if (end > source_size(reading))
		end = source_size(reading);
	for (i = 0; i < ELEMENTS_TO_TRUST; i++)
	{
		struct header header;
		enum dicom_status status = DICOM_END;

		if (position <= end)
			status = header_read(reading, position, end, syntax, &header);
		if (status == DICOM_END && i > 0 && position == end)
			break;
		if (status != DICOM_OK)
			return status == DICOM_END ? DICOM_OK : status;
		if (i > 0 && (header.tag == TAG_ITEM_DELIMITER || header.tag == DICOM_TAG_ITEM))
			break;
		if (!is_sane_header(&header, end, syntax) || (i > 0 && header.tag <= last_tag))
			return DICOM_OK;
		if (header.length == DICOM_UNDEFINED_LENGTH)
			break;
		last_tag = header.tag;
		position = header.value + header.length;
	}
	*sane = true;
	return DICOM_OK;
}

/* Looks for a data set without the prefix: from the first byte, behind a prefix there, or behind a preamble. */
static enum dicom_status
search_start(struct dicom_reading *reading)
{
	static const uint64_t positions[] = {0, PREFIX, PREAMBLE, PREAMBLE + PREFIX};
	size_t i;
	uint8_t syntax;

	for (i = 0; i < sizeof(positions) / sizeof(positions[0]); i++)
		for (syntax = 0; syntax <= (SYNTAX_IMPLICIT | SYNTAX_BIG_ENDIAN); syntax++)
		{
			bool sane;
			enum dicom_status status = try_elements(reading, positions[i], UNBOUNDED, syntax, &sane);

			if (status != DICOM_OK)
				return status;
			if (sane)
			{
				reading->position = positions[i];
				return DICOM_OK;
			}
		}
	return fail_at(reading, DICOM_ERROR_NOT_DICOM, 0, 0,
				   "not a DICOM file: neither prefix nor data set found");
}

enum dicom_status
read_start(struct dicom_reading *reading)
{
	const uint8_t *bytes;
	enum dicom_status status = source_bytes(reading, 0, PREAMBLE + PREFIX, &bytes);

	if (status == DICOM_OK && memcmp(bytes + PREAMBLE, "DICM", PREFIX) == 0)
	{
		reading->position = PREAMBLE + PREFIX;
		reading->phase = PHASE_META;
		return DICOM_OK;
	}
	if (status == DICOM_OK || status == DICOM_END)
		status = search_start(reading);
	if (status != DICOM_OK)
		return status;
	count_warning(reading, DICOM_WARNING_NO_PREAMBLE);
	reading->phase = PHASE_META;
	return DICOM_OK;
}

/* ---- meta information and command set ---- */

static bool
is_uid(const struct dicom_dataset *dataset, const char *uid)
{
	return strcmp(dataset->transfer_syntax_uid, uid) == 0;
}

static bool
is_deflated(const struct dicom_dataset *dataset)
{
	return is_uid(dataset, "1.2.840.10008.1.2.1.99") || is_uid(dataset, "1.2.840.10008.1.2.4.95") ||
		   is_uid(dataset, "1.2.840.10008.1.2.4.205");
}

static void
take_transfer_syntax(struct dicom_dataset *dataset)
{
	const struct dicom_element *element = dicom_dataset_find(dataset, TAG_TRANSFER_SYNTAX);
	const uint8_t *value;
	uint32_t length = 0;

	value = element ? dicom_dataset_value(dataset, element, &length) : NULL;
	while (value && length > 0 && (value[length - 1] == 0 || value[length - 1] == ' '))
		length--;
	if (value && length < sizeof(dataset->transfer_syntax_uid))
		memcpy(dataset->transfer_syntax_uid, value, length);
	if (dataset->transfer_syntax_uid[0] == '\0')
		dataset->warnings[DICOM_WARNING_NO_META]++;
}

/* The group length (0002,0000) counts from behind its own element to the end of the group. */
static void
check_meta_length(struct dicom_reading *reading)
{
	struct dicom_dataset *dataset = reading->dataset;
	const struct dicom_element *element = dicom_dataset_find(dataset, DICOM_TAG(0x0002, 0x0000));
	const uint8_t *value;
	uint32_t length = 0;
	uint64_t end = 0;

	value = element ? dicom_dataset_value(dataset, element, &length) : NULL;
	if (value && length == 4)
		end = element->offset + 4 +
			  read_32(value, element->flags & DICOM_ELEMENT_BIG_ENDIAN ? SYNTAX_BIG_ENDIAN : SYNTAX_EXPLICIT);
	if (reading->meta_end > 0 && reading->meta_end != end)
		dataset->warnings[DICOM_WARNING_WRONG_META_LENGTH]++;
}

/* True where another element of the meta information or a command set begins; *syntax is its encoding. */
static bool
is_meta_element(const struct dicom_reading *reading, const uint8_t *bytes, uint8_t *syntax)
{
	*syntax = SYNTAX_EXPLICIT;
	if (read_16(bytes, 0) == 2)
		return true;
	*syntax = SYNTAX_BIG_ENDIAN;
	if (read_16(bytes, SYNTAX_BIG_ENDIAN) == 2 && read_16(bytes + 2, SYNTAX_BIG_ENDIAN) <= 0x102)
		return true;
	*syntax = SYNTAX_IMPLICIT;
	return read_16(bytes, 0) == 0 && dicom_dictionary_by_tag(read_tag(bytes, 0)) &&
		   (read_16(bytes + 2, 0) != 0 || read_32(bytes + 4, 0) == 4) &&
		   read_32(bytes + 4, 0) <= source_size(reading) - reading->position;
}

/* Reads one element of the meta information or a command set; *found is false where there is none any more. */
static enum dicom_status
step_meta(struct dicom_reading *reading, bool *found)
{
	const uint8_t *bytes;
	enum dicom_status status;
	uint8_t syntax;

	*found = reading->depth > 0;
	if (!*found)
	{
		status = source_bytes(reading, reading->position, 8, &bytes);
		if (status != DICOM_OK)
			return status == DICOM_END ? DICOM_OK : status;
		*found = is_meta_element(reading, bytes, &syntax);
		if (!*found)
			return DICOM_OK;
		reading->frames[0].syntax = syntax;
		if (read_16(bytes, syntax) == 0 && reading->frames[0].last_tag >> 16 == 2)
			reading->frames[0].last_tag = 0; /* the command set counts anew */
	}
	status = step(reading, DICOM_ELEMENT_META);
	if (status == DICOM_OK && !(reading->frames[0].syntax & SYNTAX_IMPLICIT))
		reading->meta_end = reading->position;
	return status;
}

enum dicom_status
read_meta(struct dicom_reading *reading)
{
	bool found = true;

	while (found && reading->phase == PHASE_META)
	{
		enum dicom_status status = step_meta(reading, &found);

		if (status != DICOM_OK)
			return status;
	}
	if (reading->phase == PHASE_META)
	{
		check_meta_length(reading);
		take_transfer_syntax(reading->dataset);
		reading->frames[0].last_tag = 0;
		reading->phase = PHASE_SYNTAX;
	}
	return DICOM_OK;
}

/* ---- encoding of the data set ---- */

static uint8_t
named_syntax(const struct dicom_dataset *dataset)
{
	if (is_uid(dataset, "1.2.840.10008.1.2.2"))
		return SYNTAX_BIG_ENDIAN;
	if (is_uid(dataset, "1.2.840.10008.1.2") || is_uid(dataset, "1.2.840.10008.1.20") ||
		is_uid(dataset, "1.2.840.113619.5.2") || dataset->transfer_syntax_uid[0] == '\0')
		return SYNTAX_IMPLICIT;
	return SYNTAX_EXPLICIT;
}

/* What the first element says, where it says anything; else what the file meta information names. */
static uint8_t
found_syntax(const struct dicom_reading *reading, const uint8_t *bytes, uint8_t named)
{
	uint64_t left = source_size(reading) - reading->position;
	uint8_t syntax = named;

	if (read_16(bytes, named) == 0xFFFE)
		return named;
	if (!is_sane_tag(read_tag(bytes, named)) && is_sane_tag(read_tag(bytes, named ^ SYNTAX_BIG_ENDIAN)))
		syntax ^= SYNTAX_BIG_ENDIAN;
	if (is_explicit_beyond_doubt(bytes, syntax))
		return syntax & SYNTAX_BIG_ENDIAN;
	if (vr_is_known(DICOM_VR(bytes[4], bytes[5])) && read_32(bytes + 4, syntax) > left)
		return syntax & SYNTAX_BIG_ENDIAN;
	if (bytes[4] >= 'A' && bytes[4] <= 'Z' && bytes[5] >= 'A' && bytes[5] <= 'Z')
		return syntax;
	return read_32(bytes + 4, syntax) <= left ? syntax | SYNTAX_IMPLICIT : syntax;
}

/* Begins to inflate, but where the data set is not deflated although its transfer syntax says so. */
static enum dicom_status
begin_inflating(struct dicom_reading *reading)
{
	const uint8_t *bytes;
	enum dicom_status status = source_bytes(reading, reading->position, 8, &bytes);

	if (status == DICOM_OK && is_sane_tag(read_tag(bytes, 0)) && is_explicit_beyond_doubt(bytes, 0))
	{
		count_warning(reading, DICOM_WARNING_WRONG_TRANSFER_SYNTAX);
		return DICOM_OK;
	}
	if (status == DICOM_OK || status == DICOM_END)
		status = inflate_begin(reading, reading->position);
	if (status == DICOM_OK)
		reading->position = 0;
	return status == DICOM_END ? DICOM_OK : status;
}

enum dicom_status
read_syntax(struct dicom_reading *reading)
{
	struct dicom_dataset *dataset = reading->dataset;
	uint8_t named = named_syntax(dataset);
	uint8_t found = named;
	const uint8_t *bytes;
	enum dicom_status status = DICOM_OK;

	if (is_deflated(dataset) && !reading->inflating)
		status = begin_inflating(reading);
	if (status == DICOM_OK)
		status = source_bytes(reading, reading->position, 8, &bytes);
	if (status == DICOM_NEED || status == DICOM_FAILED)
		return status;
	if (status == DICOM_OK)
		found = found_syntax(reading, bytes, named);
	else if (dataset->count == 0)
		return fail_at(reading, DICOM_ERROR_NOT_DICOM, reading->position, 0,
					   "not a DICOM file: nothing behind the prefix");
	if (found != named && dataset->transfer_syntax_uid[0] != '\0')
		count_warning(reading, DICOM_WARNING_WRONG_TRANSFER_SYNTAX);
	dataset->big_endian = (found & SYNTAX_BIG_ENDIAN) != 0;
	dataset->implicit_vr = (found & SYNTAX_IMPLICIT) != 0;
	reading->frames[0].syntax = found;
	reading->phase = PHASE_DATA;
	return DICOM_OK;
}
