/*
 * parser.c
 *	  The steps from one element to the next: PS3.5 §7.
 *
 * Lengths come from the file and are believed until they contradict each other. A value that passes the end of the
 * item that holds it is cut where something sensible stands behind that end; else it is the item's length that is
 * wrong. Every step moves on or closes a frame, so that no file is read forever.
 */
#include <stdlib.h>

#include "parser.h"

static struct frame *
current(struct dicom_reading *reading)
{
	return &reading->frames[reading->depth];
}

/* ---- finishing ---- */

static void
close_frame(struct dicom_reading *reading)
{
	struct frame *frame = current(reading);

	if (frame->element != NO_ELEMENT)
		reading->dataset->elements[frame->element].next = reading->dataset->count;
	reading->depth--;
}

void
finish(struct dicom_reading *reading, enum reading_phase phase)
{
	while (reading->depth > 0)
		close_frame(reading);
	if (!reading->tail)
		reading->dataset->header_end = reading->position;
	reading->phase = phase;
}

/* What does not parse is an error in front of the pixel data; behind them nobody misses it. */
static enum dicom_status
malformed(struct dicom_reading *reading, uint64_t offset, uint32_t tag, const char *message)
{
	if (!reading->tail)
		return fail_at(reading, DICOM_ERROR_MALFORMED, offset, tag, "%s", message);
	count_warning(reading, DICOM_WARNING_TRAILING_BYTES);
	finish(reading, PHASE_DONE);
	return DICOM_OK;
}

static enum dicom_status
check_limit(struct dicom_reading *reading, const struct header *header, uint64_t bytes)
{
	if (bytes <= reading->header_limit - reading->looked)
		return DICOM_OK;
	return fail_at(reading, DICOM_ERROR_LIMIT, header->offset, header->tag,
				   "the header is longer than the limit of %llu bytes",
				   (unsigned long long) reading->header_limit);
}

/* A step is done: it looked at some bytes behind the header, and the next one begins at `position`. */
static void
move_on(struct dicom_reading *reading, const struct header *header, uint64_t value_bytes, uint64_t position)
{
	uint64_t end = header->value + value_bytes;
	int warning;

	reading->looked += end - header->offset;
	if (!reading->inflating && end > reading->dataset->bytes_used)
		reading->dataset->bytes_used = end;
	for (warning = 0; header->warnings >> warning; warning++)
		if (header->warnings >> warning & 1)
			count_warning(reading, (enum dicom_warning) warning);
	reading->position = position;
}

/* ---- keeping ---- */

static enum dicom_status
make_room(struct dicom_reading *reading, const struct header *header)
{
	struct dicom_dataset *dataset = reading->dataset;
	uint32_t capacity = dataset->capacity ? dataset->capacity * 2 : 128;
	struct dicom_element *elements;

	if (dataset->count < dataset->capacity)
		return DICOM_OK;
	if (dataset->count >= DICOM_MAX_ELEMENTS)
		return fail_at(reading, DICOM_ERROR_LIMIT, header->offset, header->tag, "more than %d elements",
					   DICOM_MAX_ELEMENTS);
	elements = realloc(dataset->elements, capacity * sizeof(*elements));
	if (!elements)
		return fail_at(reading, DICOM_ERROR_MEMORY, header->offset, header->tag, "out of memory");
	dataset->elements = elements;
	dataset->capacity = capacity;
	return DICOM_OK;
}

static enum dicom_status
keep_element(struct dicom_reading *reading, const struct header *header, uint16_t vr, uint32_t length,
			 uint8_t flags)
{
	struct dicom_dataset *dataset = reading->dataset;
	struct dicom_element *element;
	enum dicom_status status = make_room(reading, header);

	if (status != DICOM_OK)
		return status;
	element = &dataset->elements[dataset->count++];
	element->offset = header->value;
	element->length = length;
	element->tag = header->tag;
	element->next = dataset->count;
	element->parent = current(reading)->element;
	element->vr = vr;
	element->depth = (uint8_t) reading->depth;
	element->flags = flags;

	/* A value that was written as UN is little endian whatever is around it (§6.2.2 note 2). */
	if (header->syntax & SYNTAX_BIG_ENDIAN && (header->vr != VR_UN || vr == VR_UN))
		element->flags |= DICOM_ELEMENT_BIG_ENDIAN;
	if (reading->inflating)
		element->flags |= DICOM_ELEMENT_INFLATED;
	return DICOM_OK;
}

/* Opens a sequence, an item or a fragmented value, whose element has just been kept if `keep`. */
static enum dicom_status
open_frame(struct dicom_reading *reading, enum frame_kind kind, const struct header *header, uint64_t end,
		   bool keep, uint8_t syntax)
{
	struct frame *outer = current(reading);
	struct frame *frame = outer + 1;

	if (reading->depth >= 2 * DICOM_MAX_DEPTH)
		return fail_at(reading, DICOM_ERROR_LIMIT, header->offset, header->tag,
					   "sequences are nested more than %d levels deep", DICOM_MAX_DEPTH);
	reading->depth++;
	frame->undefined = header->length == DICOM_UNDEFINED_LENGTH;
	frame->end = frame->undefined ? outer->end : end;
	frame->element = keep ? reading->dataset->count - 1 : NO_ELEMENT;
	frame->tag = header->tag;
	frame->last_tag = 0;
	frame->kind = (uint8_t) kind;
	frame->syntax = syntax;
	frame->keep = keep;
	frame->signed_pixels = outer->signed_pixels;
	return DICOM_OK;
}

/* ---- what is wanted ---- */

static bool
is_private_creator(uint32_t tag)
{
	return (tag >> 16 & 1) && (tag & 0xFFFF) >= 0x10 && (tag & 0xFFFF) <= 0xFF;
}

/* A private attribute is wanted by the name of its block's creator, and so are the creators of its group. */
static bool
is_wanted_private(const struct dicom_reading *reading, uint32_t tag, bool *named)
{
	const struct dicom_selection *selection = reading->selection;
	int i;

	for (i = 0; i < selection->private_count; i++)
	{
		uint32_t wanted = selection->private_tags[i];

		if (wanted >> 16 != tag >> 16)
			continue;
		if (is_private_creator(tag))
			return true;
		if ((wanted & 0xFF) == (tag & 0xFF) &&
			creator_is(reading->dataset, tag, NO_ELEMENT, selection->private_creators[i]))
		{
			*named = true;
			return true;
		}
	}
	return false;
}

/* Tags mostly ascend, and so does the place in the list of those that are wanted. */
static bool
is_wanted_tag(struct dicom_reading *reading, uint32_t tag)
{
	const struct dicom_selection *selection = reading->selection;

	if (reading->next_tag > 0 && selection->tags[reading->next_tag - 1] >= tag)
		reading->next_tag = 0;
	while (reading->next_tag < selection->tag_count && selection->tags[reading->next_tag] < tag)
		reading->next_tag++;
	return reading->next_tag < selection->tag_count && selection->tags[reading->next_tag] == tag;
}

/* Whether a top-level element is kept; *named where it is asked for by its tag, so that its length does not matter. */
static bool
is_wanted(struct dicom_reading *reading, uint32_t tag, uint8_t flags, bool *named)
{
	*named = false;
	if (flags & DICOM_ELEMENT_META)
		return (tag & 0xFFFF) != 0 || tag == DICOM_TAG(0x0002, 0x0000);
	if (reading->selection->everything)
		return (tag & 0xFFFF) != 0;
	if (is_wanted_tag(reading, tag))
	{
		*named = true;
		return true;
	}
	if (tag == TAG_CHARACTER_SET || tag == TAG_PIXEL_SIGN || tag == TAG_TIMEZONE)
		return true;
	return tag >> 16 & 1 && is_wanted_private(reading, tag, named);
}

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
static enum dicom_status
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
static enum dicom_status
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

/* ---- plain values ---- */

/* Whether a value's bytes are wanted now. */
static bool
is_read(const struct dicom_reading *reading, bool named, uint32_t length)
{
	return named || length <= reading->max_value;
}

/* Remembers an element's tag, and sees whether tags ascend. */
static void
note_order(struct dicom_reading *reading, struct header *header)
{
	struct frame *frame = current(reading);

	if (header->tag < frame->last_tag)
	{
		header->warnings |= 1U << DICOM_WARNING_ORDER;
		if (reading->depth == 0)
			reading->disordered = true;
	}
	else if (header->tag == frame->last_tag)
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
static enum dicom_status
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
static enum dicom_status
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

static enum dicom_status
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
static enum dicom_status
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
	bool go_on = reading->selection->everything || reading->last_wanted > header->tag;
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

/* Passes over one fragment, or leaves the fragmented value. */
static enum dicom_status
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
static enum dicom_status
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
static enum dicom_status
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
		enum dicom_status status = step(reading, 0);

		if (status != DICOM_OK)
			return status;
	}
	return DICOM_OK;
}
