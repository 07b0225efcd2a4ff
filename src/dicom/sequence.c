/*
 * sequence.c
 *	  Sequences, items and fragments: PS3.5 §7.5, A.4.
 */
#include "parser.h"

/* ---- lengths that contradict each other ---- */

/* True where the innermost frame's end can be right: at the end of the source, or in front of something sensible. */
static enum dicom_status
end_is_sensible(struct dicom_reading *reading, bool *sensible)
{
	uint64_t end = current(reading)->end;
	const struct frame *outer = current(reading) - 1;
	const uint8_t *bytes;
	enum dicom_status status;
	uint32_t tag;

	while (outer->kind != FRAME_DATASET && outer->end == end && !outer->undefined)
		outer--;
	*sensible = end == source_size(reading);
	if (*sensible)
		return DICOM_OK;
	status = source_bytes(reading, end, 8, &bytes);
	if (status != DICOM_OK)
		return status == DICOM_END ? DICOM_OK : status;
	tag = read_tag(bytes, outer->syntax);
	if (outer->kind == FRAME_SEQUENCE)
		*sensible = tag == DICOM_TAG_ITEM || tag == TAG_SEQUENCE_DELIMITER;
	else if (outer->kind == FRAME_ITEM && tag == TAG_ITEM_DELIMITER)
		*sensible = true;
	else
		*sensible = tag > outer->last_tag && (tag >> 16 & 1 || dicom_dictionary_by_tag(tag));
	return DICOM_OK;
}

/* Something ends behind the end of what holds it: either it is cut there, or that end moves. */
enum dicom_status
settle_end(struct dicom_reading *reading, struct header *header, uint64_t *end)
{
	bool sensible;
	enum dicom_status status;
	int i;

	if (*end <= current(reading)->end)
		return DICOM_OK;
	status = end_is_sensible(reading, &sensible);
	if (status != DICOM_OK)
		return status;
	header->warnings |= 1U << DICOM_WARNING_SEQUENCE;
	if (sensible)
		*end = current(reading)->end;
	for (i = reading->depth; i > 0; i--)
		if (reading->frames[i].end < *end)
			reading->frames[i].end = *end;
	return DICOM_OK;
}

/* ---- sequences ---- */

/* The first tag behind a sequence's header, in the order of bytes that makes it an item; 0 where it is none. */
static enum dicom_status
peek_item(struct dicom_reading *reading, const struct header *header, uint8_t *syntax, bool *is_item)
{
	const uint8_t *bytes;
	enum dicom_status status;
	int i;

	*is_item = false;
	status = source_bytes(reading, header->value, 4, &bytes);
	if (status != DICOM_OK)
		return status == DICOM_END ? DICOM_OK : status;
	for (i = 0; i < 2 && !*is_item; i++)
	{
		uint8_t tried = i == 0 ? *syntax : *syntax ^ SYNTAX_BIG_ENDIAN;
		uint32_t tag = read_tag(bytes, tried);

		*is_item = tag == DICOM_TAG_ITEM || tag == TAG_SEQUENCE_DELIMITER;
		if (*is_item)
			*syntax = tried;
	}
	return DICOM_OK;
}

/* How the items of a sequence are encoded: like its header, but those of UN in implicit VR little endian (§6.2.2). */
static uint8_t
syntax_of_items(const struct header *header)
{
	return header->vr == VR_UN ? SYNTAX_IMPLICIT : header->syntax;
}

static enum dicom_status
enter_sequence(struct dicom_reading *reading, struct header *header, bool keep, uint8_t syntax, uint64_t end,
			   uint8_t flags)
{
	enum dicom_status status = check_limit(reading, header, header->value - header->offset);

	if (status == DICOM_OK && keep)
		status = keep_element(reading, header, VR_SQ, header->length, flags);
	if (status != DICOM_OK)
		return status;
	note_order(reading, header);
	move_on(reading, header, 0, header->value);
	return open_frame(reading, FRAME_SEQUENCE, header, end, keep, syntax);
}

/* A sequence of defined length that is kept; bytes that are no items are kept as such. */
enum dicom_status
step_sequence_of_length(struct dicom_reading *reading, struct header *header, uint8_t flags)
{
	uint8_t syntax = syntax_of_items(header);
	uint64_t end = header->value + header->length;
	bool is_item = header->length == 0;
	enum dicom_status status = DICOM_OK;

	if (header->length >= 8)
		status = peek_item(reading, header, &syntax, &is_item);
	if (status != DICOM_OK)
		return status;
	if (!is_item)
	{
		header->warnings |= 1U << DICOM_WARNING_SEQUENCE;
		return step_value(reading, header, VR_UN, true, false, flags);
	}
	status = settle_end(reading, header, &end);
	if (status != DICOM_OK)
		return status;
	return enter_sequence(reading, header, true, syntax, end, flags);
}

/* Where the elements of the first item begin that is not empty; *found is false where there is none. */
static enum dicom_status
first_elements(struct dicom_reading *reading, const struct header *sequence, uint8_t order,
			   uint64_t *position, bool *found)
{
	uint64_t end = sequence->value + sequence->length;

	*found = false;
	for (*position = sequence->value; !*found && end - *position >= 16; *position += 8)
	{
		const uint8_t *bytes;
		enum dicom_status status = source_bytes(reading, *position, 8, &bytes);

		if (status != DICOM_OK)
			return status == DICOM_END ? DICOM_OK : status;
		if (read_tag(bytes, order) != DICOM_TAG_ITEM)
			return DICOM_OK;
		*found = read_32(bytes + 4, order) != 0;
	}
	return DICOM_OK;
}

/* Whether a value is a sequence: in an item of it stand elements that make sense, explicit or implicit. */
static enum dicom_status
holds_items(struct dicom_reading *reading, const struct header *header, uint8_t *syntax, bool *holds)
{
	uint64_t end = header->value + header->length;
	uint8_t order;
	uint64_t position = 0;
	enum dicom_status status = peek_item(reading, header, syntax, holds);

	order = *syntax & SYNTAX_BIG_ENDIAN;
	if (status == DICOM_OK && *holds)
		status = first_elements(reading, header, order, &position, holds);
	if (status != DICOM_OK || !*holds)
		return status;
	*syntax = order;
	status = try_elements(reading, position, end, *syntax, holds);
	if (status != DICOM_OK || *holds)
		return status;
	*syntax |= SYNTAX_IMPLICIT;
	return try_elements(reading, position, end, *syntax, holds);
}

enum dicom_status
step_unknown(struct dicom_reading *reading, struct header *header, bool named, uint8_t flags)
{
	uint8_t syntax = syntax_of_items(header);
	uint64_t end = header->value + header->length;
	bool is_sequence = false;
	enum dicom_status status = DICOM_OK;

	if (header->length >= 16 && end <= current(reading)->end && end <= source_size(reading))
		status = holds_items(reading, header, &syntax, &is_sequence);
	if (status != DICOM_OK)
		return status;
	if (is_sequence)
		return enter_sequence(reading, header, true, syntax, end, flags);
	return step_value(reading, header, VR_UN, true, named, flags);
}

static bool
is_fragmented(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('O', 'B'):
		case DICOM_VR('O', 'D'):
		case DICOM_VR('O', 'F'):
		case DICOM_VR('O', 'L'):
		case DICOM_VR('O', 'V'):
		case DICOM_VR('O', 'W'):
			return true;
		default:
			return false;
	}
}

enum dicom_status
enter_fragments(struct dicom_reading *reading, struct header *header, uint16_t vr, bool keep, uint8_t flags)
{
	enum dicom_status status = check_limit(reading, header, header->value - header->offset);

	flags |= DICOM_ELEMENT_BULK | DICOM_ELEMENT_ENCAPSULATED;
	if (status == DICOM_OK && keep)
		status = keep_element(reading, header, vr, header->length, flags);
	if (status != DICOM_OK)
		return status;
	note_order(reading, header);
	move_on(reading, header, 0, header->value);
	reading->fragments = 0;
	return open_frame(reading, FRAME_FRAGMENTS, header, UNBOUNDED, keep, header->syntax);
}

/* An element of undefined length: a sequence, but fragments where its values are bytes (A.4). */
enum dicom_status
step_undefined(struct dicom_reading *reading, struct header *header, uint16_t vr, bool keep, uint8_t flags)
{
	uint8_t syntax = syntax_of_items(header);
	bool is_item;
	enum dicom_status status;

	if (is_fragmented(vr))
		return enter_fragments(reading, header, vr, keep, flags);
	status = peek_item(reading, header, &syntax, &is_item);
	if (status != DICOM_OK)
		return status;
	return enter_sequence(reading, header, keep, syntax, UNBOUNDED, flags);
}

/* ---- fragments ---- */

/* Passes over one fragment, or leaves the fragmented value. */
enum dicom_status
step_fragment(struct dicom_reading *reading)
{
	struct header header;
	enum dicom_status status =
		header_read(reading, reading->position, UNBOUNDED, current(reading)->syntax, &header);
	uint64_t end;

	if (status == DICOM_END)
		return step_end(reading);
	if (status == DICOM_OK)
		status = check_limit(reading, &header, 8);
	if (status != DICOM_OK)
		return status;
	if (header.tag == DICOM_TAG_ITEM && header.length != DICOM_UNDEFINED_LENGTH)
	{
		end = header.value + header.length;
		if (++reading->fragments > MAX_FRAGMENTS && reading->tail)
			finish(reading, PHASE_DONE);
		else if (end > source_size(reading))
		{
			count_warning(reading, DICOM_WARNING_TRUNCATED);
			return malformed(reading, header.offset, current(reading)->tag,
							 "the file ends inside a fragment");
		}
		else
			move_on(reading, &header, 0, end);
		return DICOM_OK;
	}
	if (header.tag != TAG_SEQUENCE_DELIMITER)
		return malformed(reading, header.offset, current(reading)->tag,
						 "something that is no fragment among fragments");
	close_frame(reading);
	move_on(reading, &header, 0, header.value);
	return DICOM_OK;
}

/* ---- items and delimiters ---- */

/*
 * The encoding of an item's elements. Writers that nest a foreign item leave it in its own: implicit in explicit VR
 * or, within UN, explicit where implicit VR was due. Its first element tells.
 */
static enum dicom_status
settle_syntax(struct dicom_reading *reading, const struct header *item, uint64_t end, uint8_t *syntax)
{
	const uint8_t *bytes;
	struct header first;
	enum dicom_status status;

	if (item->length < 8)
		return DICOM_OK;
	status = source_bytes(reading, item->value, 8, &bytes);
	if (status == DICOM_OK && *syntax & SYNTAX_IMPLICIT)
	{
		if (is_explicit_beyond_doubt(bytes, *syntax))
			*syntax &= (uint8_t) ~SYNTAX_IMPLICIT;
	}
	else if (status == DICOM_OK)
	{
		status = header_read(reading, item->value, end, *syntax, &first);
		if (status == DICOM_OK)
			*syntax = first.syntax;
	}
	return status == DICOM_END ? DICOM_OK : status;
}

/* Passes over an item that is not kept, by its length. */
static enum dicom_status
skip_item(struct dicom_reading *reading, struct header *header, uint64_t end)
{
	if (end > source_size(reading))
		return malformed(reading, header->offset, header->tag, "the file ends inside an item");
	move_on(reading, header, 0, end);
	return DICOM_OK;
}

static enum dicom_status
step_item(struct dicom_reading *reading, struct header *header)
{
	struct frame *sequence = current(reading);
	bool undefined = header->length == DICOM_UNDEFINED_LENGTH;
	uint64_t end = undefined ? UNBOUNDED : header->value + header->length;
	uint8_t syntax = sequence->syntax;
	enum dicom_status status = DICOM_OK;

	if (!undefined)
		status = settle_end(reading, header, &end);
	if (status == DICOM_OK && reading->inflating && !undefined)
		status = inflate_until(reading, end);
	if (status == DICOM_OK && !undefined && !sequence->keep)
		return skip_item(reading, header, end);
	if (status == DICOM_OK)
		status = settle_syntax(reading, header, end, &syntax);
	if (status == DICOM_OK && sequence->keep)
		status = keep_element(reading, header, DICOM_VR_NONE, header->length, 0);
	if (status != DICOM_OK)
		return status;
	move_on(reading, header, 0, header->value);
	return open_frame(reading, FRAME_ITEM, header, end, sequence->keep, syntax);
}

/* A sequence expects items, and its delimiter. */
enum dicom_status
step_sequence(struct dicom_reading *reading)
{
	struct frame *frame = current(reading);
	struct header header;
	enum dicom_status status = header_read(reading, reading->position, frame->end, frame->syntax, &header);

	if (status == DICOM_END)
		return step_end(reading);
	if (status == DICOM_OK)
		status = check_limit(reading, &header, 8);
	if (status != DICOM_OK)
		return status;
	if (header.tag == DICOM_TAG_ITEM)
		return step_item(reading, &header);
	if (header.tag == TAG_SEQUENCE_DELIMITER)
	{
		if (!frame->undefined)
			header.warnings |= 1U << DICOM_WARNING_STRAY_DELIMITER;
		close_frame(reading);
		move_on(reading, &header, 0, header.value);
	}
	else if (header.tag == TAG_ITEM_DELIMITER)
	{
		header.warnings |= 1U << DICOM_WARNING_STRAY_DELIMITER;
		move_on(reading, &header, 0, header.value);
	}
	else
	{
		/* Not an item: a length that is known says where to go on; else the sequence has no delimiter. */
		count_warning(reading, DICOM_WARNING_SEQUENCE);
		if (!frame->undefined)
			reading->position = frame->end;
		close_frame(reading);
	}
	return DICOM_OK;
}

/* An item whose sequence is not there: passed over as a whole. */
static enum dicom_status
step_stray_item(struct dicom_reading *reading, struct header *header)
{
	uint64_t end = header->value + header->length;
	enum dicom_status status;

	header->warnings |= 1U << DICOM_WARNING_STRAY_DELIMITER;
	if (header->length == DICOM_UNDEFINED_LENGTH)
	{
		move_on(reading, header, 0, header->value);
		return open_frame(reading, FRAME_ITEM, header, UNBOUNDED, false, current(reading)->syntax);
	}
	status = settle_end(reading, header, &end);
	if (status == DICOM_OK && reading->inflating)
		status = inflate_until(reading, end);
	return status == DICOM_OK ? skip_item(reading, header, end) : status;
}

/* An item or a delimiter where an element is due. */
enum dicom_status
step_delimiter(struct dicom_reading *reading, struct header *header)
{
	struct frame *frame = current(reading);
	bool in_item = frame->kind == FRAME_ITEM;

	if (in_item && header->tag == TAG_ITEM_DELIMITER)
	{
		if (!frame->undefined)
			header->warnings |= 1U << DICOM_WARNING_STRAY_DELIMITER;
		close_frame(reading);
	}
	else if (in_item && frame->undefined)
	{
		/* The item's delimiter is missing: what stands here is its sequence's. */
		count_warning(reading, DICOM_WARNING_SEQUENCE);
		close_frame(reading);
		return DICOM_OK;
	}
	else if (header->tag == DICOM_TAG_ITEM)
		return step_stray_item(reading, header);
	else
		header->warnings |= 1U << DICOM_WARNING_STRAY_DELIMITER;
	move_on(reading, header, 0, header->value);
	return DICOM_OK;
}
