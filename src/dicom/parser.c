/*
 * parser.c
 *	  The steps from one element to the next: PS3.5 §7.
 *
 * Lengths come from the file and are believed until they contradict each other. A value that passes the end of the
 * item that holds it is cut where something sensible stands behind that end; else it is the item's length that is
 * wrong. Every step moves on or closes a frame, so that no file is read forever.
 */
#include "parser.h"

/* ---- the end ---- */

/* The file turned out to end inside a value that was passed over while its size was not known. */
static void
cut_last_element(struct dicom_reading *reading, uint64_t size)
{
	struct dicom_dataset *dataset = reading->dataset;
	struct dicom_element *element = dataset->count > 0 ? &dataset->elements[dataset->count - 1] : NULL;

	count_warning(reading, DICOM_WARNING_TRUNCATED);
	if (!element || !(element->flags & DICOM_ELEMENT_BULK) || element->flags & DICOM_ELEMENT_ENCAPSULATED ||
		element->offset + element->length != reading->position)
		return;
	element->flags |= DICOM_ELEMENT_TRUNCATED;
	element->length = element->offset < size ? (uint32_t) (size - element->offset) : 0;
}

/* Bytes are left that are too few for a header, or none. */
enum dicom_status
step_end(struct dicom_reading *reading)
{
	struct frame *frame = current(reading);
	uint64_t size = source_size(reading);
	uint32_t tag = reading->depth > 0 ? reading->frames[1].tag : 0;

	if (frame->end <= size)
	{
		count_warning(reading, DICOM_WARNING_SEQUENCE);
		reading->position = frame->end;
		return DICOM_OK;
	}
	if (reading->inflate_broken && !reading->tail)
		return fail_at(reading, DICOM_ERROR_MALFORMED, reading->deflated_position, tag,
					   "the deflated data set is damaged or cut off");
	if (reading->position > size)
	{
		cut_last_element(reading, size);
		return malformed(reading, size, frame->last_tag, "the file ends inside a value");
	}
	if (reading->depth > 0)
		return malformed(reading, size, tag, "the file ends inside a sequence");
	if (reading->position < size && !reading->tail)
		return malformed(reading, reading->position, 0, "the file ends inside the header of an element");
	if (reading->position < size)
		count_warning(reading, DICOM_WARNING_TRAILING_BYTES);
	finish(reading, PHASE_DONE);
	return DICOM_OK;
}

/* ---- values ---- */

/* Whether a value's bytes are wanted now. */
static bool
is_read(const struct dicom_reading *reading, bool named, uint32_t length)
{
	return named || length <= reading->max_value;
}

/* Remembers an element's tag, and sees whether tags ascend. */
void
note_order(struct dicom_reading *reading, struct header *header)
{
	struct frame *frame = current(reading);

	if (header->tag < frame->last_tag)
	{
		header->warnings |= 1U << DICOM_WARNING_ORDER;
		if (reading->depth == 0)
			reading->disordered = true;
	}
	else if (header->tag == frame->last_tag && header->tag != 0)
		header->warnings |= 1U << DICOM_WARNING_DUPLICATE;
	frame->last_tag = header->tag;
}

/* The part of a value that the source holds; *cut where that is not all. */
static enum dicom_status
settle_length(struct dicom_reading *reading, struct header *header, bool *cut)
{
	uint64_t end = header->value + header->length;
	enum dicom_status status = settle_end(reading, header, &end);
	uint64_t size;

	if (status == DICOM_OK && reading->inflating)
		status = inflate_until(reading, end);
	if (status != DICOM_OK)
		return status;
	size = source_size(reading);
	*cut = end > size;
	if (*cut)
		end = size > header->value ? size : header->value;
	header->length = (uint32_t) (end - header->value);
	return DICOM_OK;
}

static void
note_pixel_sign(struct dicom_reading *reading, const struct header *header, const uint8_t *value)
{
	if (header->tag == TAG_PIXEL_SIGN && header->length >= 2 && value)
		current(reading)->signed_pixels = read_16(value, header->syntax) == 1;
}

/* Keeps, or passes over, an element that is no sequence. */
enum dicom_status
step_value(struct dicom_reading *reading, struct header *header, uint16_t vr, bool keep, bool named,
		   uint8_t flags)
{
	uint32_t claimed = header->length;
	const uint8_t *value = NULL;
	bool cut;
	bool read;
	enum dicom_status status = settle_length(reading, header, &cut);

	if (status != DICOM_OK)
		return status;
	read = keep && is_read(reading, named, claimed);
	status = check_limit(reading, header, header->value - header->offset + (read ? header->length : 0));
	if (status == DICOM_OK && read && header->length > 0)
		status = source_bytes(reading, header->value, header->length, &value);
	if (status != DICOM_OK)
		return status;
	if (claimed & 1)
		header->warnings |= 1U << DICOM_WARNING_ODD_LENGTH;
	if (cut)
		header->warnings |= 1U << DICOM_WARNING_TRUNCATED;
	flags |= (read ? 0 : DICOM_ELEMENT_BULK) | (header->length < claimed ? DICOM_ELEMENT_TRUNCATED : 0);
	if (keep && !(cut && reading->tail))
		status = keep_element(reading, header, vr, header->length, flags);
	if (status != DICOM_OK)
		return status;
	note_pixel_sign(reading, header, value);
	note_order(reading, header);
	move_on(reading, header, read ? header->length : 0, header->value + header->length);
	return cut ? malformed(reading, header->offset, header->tag, "the file ends inside a value") : DICOM_OK;
}

/* ---- pixel data ---- */

static bool
is_pixel_data(uint32_t tag)
{
	return tag == DICOM_TAG_PIXEL_DATA || tag == DICOM_TAG(0x7FE0, 0x0008) ||
		   tag == DICOM_TAG(0x7FE0, 0x0009);
}

static enum dicom_status
keep_pixel_data(struct dicom_reading *reading, struct header *header, bool keep)
{
	uint64_t size = source_size(reading);
	uint32_t length = header->length;
	uint8_t flags = DICOM_ELEMENT_BULK;

	if (header->value > size || length > size - header->value)
	{
		header->warnings |= 1U << DICOM_WARNING_TRUNCATED;
		flags |= DICOM_ELEMENT_TRUNCATED;
		length = header->value > size ? 0 : (uint32_t) (size - header->value);
	}
	return keep ? keep_element(reading, header, header_vr(header, false), length, flags) : DICOM_OK;
}

/* The header ends where top-level pixel data begin; what comes behind them is seldom wanted. */
static enum dicom_status
step_pixel_data(struct dicom_reading *reading, struct header *header, bool keep)
{
	const struct dicom_selection *selection = reading->selection;
	bool go_on = (selection->everything && !selection->whole_header) || reading->last_wanted > header->tag;
	enum dicom_status status;

	if (header->length == DICOM_UNDEFINED_LENGTH)
		status = enter_fragments(reading, header, header_vr(header, false), keep, 0);
	else
	{
		status = check_limit(reading, header, header->value - header->offset);
		if (status == DICOM_OK)
			status = keep_pixel_data(reading, header, keep);
	}
	if (status != DICOM_OK)
		return status;
	if (!reading->tail)
		reading->dataset->header_end = header->offset;
	reading->tail = true;
	if (header->length != DICOM_UNDEFINED_LENGTH)
	{
		note_order(reading, header);
		move_on(reading, header, 0, header->value + header->length);
	}
	if (!go_on || reading->inflating || reading->position >= source_size(reading))
		finish(reading, PHASE_DONE);
	return DICOM_OK;
}

/* ---- elements ---- */

/* True where the scan is over in front of a top-level element. */
static bool
is_last(const struct dicom_reading *reading, const struct header *header)
{
	const struct dicom_selection *selection = reading->selection;

	return !selection->everything && !selection->whole_header && !reading->disordered &&
		   header->tag > reading->last_wanted;
}

/* True for what can only be padding behind the last element: zeros, or tags that do not ascend behind pixel data. */
static bool
is_padding(const struct dicom_reading *reading, const struct header *header)
{
	uint32_t last_tag = reading->frames[0].last_tag;

	if (reading->tail)
		return header->tag <= last_tag;
	return header->tag == 0 && header->length == 0;
}

static enum dicom_status
step_kept(struct dicom_reading *reading, struct header *header, bool named, uint8_t flags)
{
	uint16_t vr = header_vr(header, current(reading)->signed_pixels);

	if (header->length == DICOM_UNDEFINED_LENGTH)
		return step_undefined(reading, header, vr, true, flags);
	if (vr == VR_SQ)
		return step_sequence_of_length(reading, header, flags);
	if (vr == VR_UN)
		return step_unknown(reading, header, named, flags);
	return step_value(reading, header, vr, true, named, flags);
}

static enum dicom_status
step_passed_over(struct dicom_reading *reading, struct header *header, uint8_t flags)
{
	if (header->length == DICOM_UNDEFINED_LENGTH)
		return step_undefined(reading, header, header_vr(header, false), false, flags);
	return step_value(reading, header, header->vr, false, false, flags);
}

static enum dicom_status
step_top_level(struct dicom_reading *reading, struct header *header, uint8_t flags)
{
	bool named = false;
	bool keep;

	if (!(flags & DICOM_ELEMENT_META))
	{
		if (is_last(reading, header))
		{
			finish(reading, PHASE_DONE);
			return DICOM_OK;
		}
		if (is_padding(reading, header))
		{
			count_warning(reading, DICOM_WARNING_TRAILING_BYTES);
			finish(reading, PHASE_DONE);
			return DICOM_OK;
		}
	}
	keep = is_wanted(reading, header->tag, flags, &named);
	if (is_pixel_data(header->tag))
		return step_pixel_data(reading, header, keep);
	if (keep)
		return step_kept(reading, header, named, flags);
	return step_passed_over(reading, header, flags);
}

static enum dicom_status
step_element(struct dicom_reading *reading, uint8_t flags)
{
	struct frame *frame = current(reading);
	struct header header;
	enum dicom_status status = header_read(reading, reading->position, frame->end, frame->syntax, &header);

	if (status == DICOM_END)
		return step_end(reading);
	if (status == DICOM_OK)
		status = check_limit(reading, &header, header.value - header.offset);
	if (status != DICOM_OK)
		return status;
	if (header.tag == DICOM_TAG_ITEM || header.tag == TAG_ITEM_DELIMITER ||
		header.tag == TAG_SEQUENCE_DELIMITER)
		return step_delimiter(reading, &header);
	if (frame->kind == FRAME_DATASET)
		return step_top_level(reading, &header, flags);
	if (frame->keep && (header.tag & 0xFFFF) != 0)
		return step_kept(reading, &header, false, flags);
	return step_passed_over(reading, &header, flags);
}

enum dicom_status
step(struct dicom_reading *reading, uint8_t flags)
{
	while (reading->depth > 0 && reading->position >= current(reading)->end)
		close_frame(reading);
	switch (current(reading)->kind)
	{
		case FRAME_SEQUENCE:
			return step_sequence(reading);
		case FRAME_FRAGMENTS:
			return step_fragment(reading);
		default:
			return step_element(reading, flags);
	}
}

enum dicom_status
read_data(struct dicom_reading *reading)
{
	while (reading->phase == PHASE_DATA)
	{
		enum dicom_status status;

		skim(reading);
		status = step(reading, 0);
		if (status != DICOM_OK)
			return status;
	}
	return DICOM_OK;
}
