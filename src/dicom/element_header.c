/*
 * element_header.c
 *	  Tag, value representation and length of an element: PS3.5 §7.1.
 *
 * Where what is written cannot be right, the other readings are tried that real writers have produced: an element in
 * implicit VR among explicit ones, a length of 16 bits where 32 were due, letters that mean nothing. One that
 * fits in what is left wins over one that does not.
 */
#include "parser.h"

const uint8_t length_forms[26 * 26] = {
	[LETTER_INDEX('A', 'E')] = FORM_SHORT, [LETTER_INDEX('A', 'S')] = FORM_SHORT,
	[LETTER_INDEX('A', 'T')] = FORM_SHORT, [LETTER_INDEX('C', 'S')] = FORM_SHORT,
	[LETTER_INDEX('D', 'A')] = FORM_SHORT, [LETTER_INDEX('D', 'S')] = FORM_SHORT,
	[LETTER_INDEX('D', 'T')] = FORM_SHORT, [LETTER_INDEX('F', 'D')] = FORM_SHORT,
	[LETTER_INDEX('F', 'L')] = FORM_SHORT, [LETTER_INDEX('I', 'S')] = FORM_SHORT,
	[LETTER_INDEX('L', 'O')] = FORM_SHORT, [LETTER_INDEX('L', 'T')] = FORM_SHORT,
	[LETTER_INDEX('P', 'N')] = FORM_SHORT, [LETTER_INDEX('S', 'H')] = FORM_SHORT,
	[LETTER_INDEX('S', 'L')] = FORM_SHORT, [LETTER_INDEX('S', 'S')] = FORM_SHORT,
	[LETTER_INDEX('S', 'T')] = FORM_SHORT, [LETTER_INDEX('T', 'M')] = FORM_SHORT,
	[LETTER_INDEX('U', 'I')] = FORM_SHORT, [LETTER_INDEX('U', 'L')] = FORM_SHORT,
	[LETTER_INDEX('U', 'S')] = FORM_SHORT, [LETTER_INDEX('O', 'B')] = FORM_LONG,
	[LETTER_INDEX('O', 'D')] = FORM_LONG,  [LETTER_INDEX('O', 'F')] = FORM_LONG,
	[LETTER_INDEX('O', 'L')] = FORM_LONG,  [LETTER_INDEX('O', 'V')] = FORM_LONG,
	[LETTER_INDEX('O', 'W')] = FORM_LONG,  [LETTER_INDEX('S', 'Q')] = FORM_LONG,
	[LETTER_INDEX('S', 'V')] = FORM_LONG,  [LETTER_INDEX('U', 'C')] = FORM_LONG,
	[LETTER_INDEX('U', 'N')] = FORM_LONG,  [LETTER_INDEX('U', 'R')] = FORM_LONG,
	[LETTER_INDEX('U', 'T')] = FORM_LONG,  [LETTER_INDEX('U', 'V')] = FORM_LONG,
};

bool
vr_is_known(uint16_t vr)
{
	return length_form((uint8_t) (vr >> 8), (uint8_t) vr) != FORM_UNKNOWN;
}

/* True where the letters are those of the dictionary, or the dictionary does not know the tag or leaves a choice. */
static bool
letters_agree(uint32_t tag, uint16_t vr)
{
	const struct dicom_dictionary_entry *entry = dicom_dictionary_by_tag(tag);

	return !entry || entry->vr == vr || !vr_is_known(entry->vr) || vr == VR_UN;
}

bool
is_explicit_beyond_doubt(const uint8_t *bytes, uint8_t syntax)
{
	return length_form(bytes[4], bytes[5]) != FORM_UNKNOWN &&
		   letters_agree(read_tag(bytes, syntax), DICOM_VR(bytes[4], bytes[5]));
}

/* How many bytes lie between an offset and the nearer of the end of the source and of what holds the element. */
static uint64_t
bytes_left(const struct dicom_reading *reading, uint64_t offset, uint64_t end)
{
	uint64_t size = source_size(reading);

	if (end > size)
		end = size;
	return end > offset ? end - offset : 0;
}

static bool
fits(const struct dicom_reading *reading, const struct header *header, uint32_t header_length,
	 uint32_t length, uint64_t end)
{
	return length == DICOM_UNDEFINED_LENGTH ||
		   length <= bytes_left(reading, header->offset + header_length, end);
}

static void
set_form(struct header *header, uint32_t header_length, uint32_t length, uint16_t vr, uint8_t syntax)
{
	header->value = header->offset + header_length;
	header->length = length;
	header->vr = vr;
	header->syntax = syntax;
}

static void
warn(struct header *header, enum dicom_warning warning)
{
	header->warnings |= 1U << warning;
}

/* A 32-bit length behind the letters; a 16-bit one where the reserved bytes hold something that fits better. */
static enum dicom_status
read_long_form(struct dicom_reading *reading, const uint8_t *bytes, uint64_t end, uint16_t vr,
			   struct header *header)
{
	uint8_t syntax = header->syntax;
	uint16_t short_length = read_16(bytes + 6, syntax);
	enum dicom_status status = DICOM_END;
	bool short_fits = fits(reading, header, 8, short_length, end) && (short_length > 0 || !vr_is_known(vr));
	uint32_t length;

	if (bytes_left(reading, header->offset, end) >= 12)
		status = source_bytes(reading, header->offset, 12, &bytes);
	if (status != DICOM_OK && (status != DICOM_END || !short_fits))
		return status;
	length = status == DICOM_OK ? read_32(bytes + 8, syntax) : 0;
	if (status == DICOM_END || (short_length != 0 && short_fits && !fits(reading, header, 12, length, end)))
	{
		warn(header, DICOM_WARNING_UNKNOWN_VR);
		set_form(header, 8, short_length, vr, syntax);
	}
	else
		set_form(header, 12, length, vr, syntax);
	return DICOM_OK;
}

/* True where a header with known letters and a greater tag stands at an offset. */
static enum dicom_status
next_is_explicit(struct dicom_reading *reading, const struct header *header, uint64_t offset, uint64_t end,
				 bool *is)
{
	const uint8_t *bytes;
	enum dicom_status status = DICOM_END;

	*is = false;
	if (bytes_left(reading, offset, end) >= 8)
		status = source_bytes(reading, offset, 8, &bytes);
	if (status == DICOM_OK)
		*is =
			length_form(bytes[4], bytes[5]) != FORM_UNKNOWN && read_tag(bytes, header->syntax) > header->tag;
	return status == DICOM_END ? DICOM_OK : status;
}

/*
 * Letters that are none. Mostly an element in implicit VR among explicit ones; some writers leave blanks, zeros or
 * question marks where the letters should be, and a 16-bit length behind them.
 */
static enum dicom_status
read_without_letters(struct dicom_reading *reading, const uint8_t *bytes, uint64_t end, struct header *header)
{
	uint8_t syntax = header->syntax;
	uint16_t short_length = read_16(bytes + 6, syntax);
	uint32_t long_length = read_32(bytes + 4, syntax);
	bool short_fits = fits(reading, header, 8, short_length, end);
	bool is_short = false;

	warn(header, DICOM_WARNING_UNKNOWN_VR);
	if (short_fits)
	{
		enum dicom_status status =
			next_is_explicit(reading, header, header->offset + 8 + short_length, end, &is_short);

		if (status != DICOM_OK)
			return status;
	}
	if (is_short || (short_fits && !fits(reading, header, 8, long_length, end)))
		set_form(header, 8, short_length, DICOM_VR_NONE, syntax);
	else
		set_form(header, 8, long_length, DICOM_VR_NONE, syntax | SYNTAX_IMPLICIT);
	return DICOM_OK;
}

static enum dicom_status
read_explicit(struct dicom_reading *reading, const uint8_t *bytes, uint64_t end, struct header *header)
{
	uint16_t vr = DICOM_VR(bytes[4], bytes[5]);

	switch (length_form(bytes[4], bytes[5]))
	{
		case FORM_SHORT:
			set_form(header, 8, read_16(bytes + 6, header->syntax), vr, header->syntax);
			return DICOM_OK;
		case FORM_LONG:
			return read_long_form(reading, bytes, end, vr, header);
		default:
			break;
	}
	if (!is_capital(bytes[4]) || !is_capital(bytes[5]))
		return read_without_letters(reading, bytes, end, header);

	/* Representations of days to come have 32 bits (§7.1.2), those somebody made up mostly 16. */
	warn(header, DICOM_WARNING_UNKNOWN_VR);
	if (read_16(bytes + 6, header->syntax) == 0)
		return read_long_form(reading, bytes, end, DICOM_VR_NONE, header);
	set_form(header, 8, read_16(bytes + 6, header->syntax), DICOM_VR_NONE, header->syntax);
	return DICOM_OK;
}

static enum dicom_status
read_implicit(struct dicom_reading *reading, const uint8_t *bytes, uint64_t end, struct header *header)
{
	uint32_t length = read_32(bytes + 4, header->syntax);

	set_form(header, 8, length, DICOM_VR_NONE, header->syntax);
	if (!fits(reading, header, 8, length, end) && is_explicit_beyond_doubt(bytes, header->syntax))
	{
		warn(header, DICOM_WARNING_WRONG_TRANSFER_SYNTAX);
		header->syntax &= (uint8_t) ~SYNTAX_IMPLICIT;
		return read_explicit(reading, bytes, end, header);
	}
	return DICOM_OK;
}

enum dicom_status
header_read(struct dicom_reading *reading, uint64_t position, uint64_t end, uint8_t syntax,
			struct header *header)
{
	const uint8_t *bytes;
	enum dicom_status status;

	if (end - position < 8)
		return DICOM_END;
	status = source_bytes(reading, position, 8, &bytes);
	if (status != DICOM_OK)
		return status;
	header->offset = position;
	header->tag = read_tag(bytes, syntax);
	header->syntax = syntax;
	header->warnings = 0;
	if (header->tag >> 16 == 0xFFFE)
		set_form(header, 8, read_32(bytes + 4, syntax), DICOM_VR_NONE, syntax);
	else if (syntax & SYNTAX_IMPLICIT)
		return read_implicit(reading, bytes, end, header);
	else
		return read_explicit(reading, bytes, end, header);
	return DICOM_OK;
}

static uint16_t
vr_from_dictionary(uint32_t tag)
{
	const struct dicom_dictionary_entry *entry = dicom_dictionary_by_tag(tag);
	uint32_t element = tag & 0xFFFF;

	if (entry)
		return entry->vr;
	if (element == 0)
		return DICOM_VR('U', 'L');
	if (tag >> 16 & 1 && element >= 0x10 && element <= 0xFF)
		return DICOM_VR('L', 'O'); /* a private creator */
	return VR_UN;
}

uint16_t
header_vr(const struct header *header, bool signed_pixels)
{
	uint16_t vr = header->vr;

	if (vr != DICOM_VR_NONE && vr != VR_UN)
		return vr;
	vr = vr_from_dictionary(header->tag);
	switch (vr)
	{
		case DICOM_VR_US_OR_SS:
			return signed_pixels ? DICOM_VR('S', 'S') : DICOM_VR('U', 'S');
		case DICOM_VR_OB_OR_OW:
		case DICOM_VR_US_OR_OW:
			return DICOM_VR('O', 'W');
		default:
			return vr;
	}
}
