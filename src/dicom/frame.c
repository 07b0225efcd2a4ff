/*
 * frame.c
 *	  The stack of what is being read, the elements that are kept, and how a reading ends.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "parser.h"

void
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

enum dicom_status
fail_at(struct dicom_reading *reading, enum dicom_error_code code, uint64_t offset, uint32_t tag,
		const char *format, ...)
{
	struct dicom_error *failure = &reading->failure;
	char message[sizeof(failure->message)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	dicom_fail(failure, code, "%s", message);
	failure->offset = offset > INT64_MAX ? -1 : (int64_t) offset;
	failure->tag = tag;
	if (code == DICOM_ERROR_LIMIT)
		dicom_hint(failure, "a larger header_limit may help if the file is what it should be");
	return DICOM_FAILED;
}

/* What does not parse is an error in front of the pixel data; behind them nobody misses it. */
enum dicom_status
malformed(struct dicom_reading *reading, uint64_t offset, uint32_t tag, const char *message)
{
	if (!reading->tail)
		return fail_at(reading, DICOM_ERROR_MALFORMED, offset, tag, "%s", message);
	count_warning(reading, DICOM_WARNING_TRAILING_BYTES);
	finish(reading, PHASE_DONE);
	return DICOM_OK;
}

enum dicom_status
check_limit(struct dicom_reading *reading, const struct header *header, uint64_t bytes)
{
	if (bytes <= reading->header_limit - reading->looked)
		return DICOM_OK;
	return fail_at(reading, DICOM_ERROR_LIMIT, header->offset, header->tag,
				   "the header is longer than the limit of %llu bytes",
				   (unsigned long long) reading->header_limit);
}

/* A step is done: it looked at some bytes behind the header, and the next one begins at `position`. */
void
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

enum dicom_status
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
	element->number = header->tag == DICOM_TAG_ITEM ? ++current(reading)->items : 0;
	element->flags = flags;

	/* A value that was written as UN is little endian whatever is around it (§6.2.2 note 2). */
	if (header->syntax & SYNTAX_BIG_ENDIAN && (header->vr != VR_UN || vr == VR_UN))
		element->flags |= DICOM_ELEMENT_BIG_ENDIAN;
	if (reading->inflating)
		element->flags |= DICOM_ELEMENT_INFLATED;
	return DICOM_OK;
}

/* Opens a sequence, an item or a fragmented value, whose element has just been kept if `keep`. */
enum dicom_status
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
	frame->items = 0;
	frame->kind = (uint8_t) kind;
	frame->syntax = syntax;
	frame->keep = keep;
	frame->signed_pixels = outer->signed_pixels;
	return DICOM_OK;
}
