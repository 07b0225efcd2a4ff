/*
 * dataset.c
 *	  Opening, reading and closing a data set, and finding elements in it.
 */
#include <stdlib.h>
#include <string.h>

#include "parser.h"

static const char *const warning_names[DICOM_WARNING_COUNT] = {
	[DICOM_WARNING_NO_PREAMBLE] = "no preamble",
	[DICOM_WARNING_NO_META] = "no transfer syntax",
	[DICOM_WARNING_WRONG_META_LENGTH] = "wrong meta length",
	[DICOM_WARNING_WRONG_TRANSFER_SYNTAX] = "wrong transfer syntax",
	[DICOM_WARNING_ODD_LENGTH] = "odd length",
	[DICOM_WARNING_UNKNOWN_VR] = "unknown value representation",
	[DICOM_WARNING_TRUNCATED] = "truncated",
	[DICOM_WARNING_ORDER] = "tags out of order",
	[DICOM_WARNING_DUPLICATE] = "duplicate element",
	[DICOM_WARNING_STRAY_DELIMITER] = "stray delimiter",
	[DICOM_WARNING_TRAILING_BYTES] = "trailing bytes",
	[DICOM_WARNING_SEQUENCE] = "wrong sequence length",
};

const char *
dicom_warning_name(enum dicom_warning warning)
{
	return (unsigned int) warning < DICOM_WARNING_COUNT ? warning_names[warning] : "";
}

/* ---- opening, reading, closing ---- */

/* The greatest top-level tag that a selection can want. */
static uint32_t
last_wanted(const struct dicom_selection *selection)
{
	uint32_t last = selection->tag_count > 0 ? selection->tags[selection->tag_count - 1] : 0;
	int i;

	for (i = 0; i < selection->private_count; i++)
		if ((selection->private_tags[i] | 0xFFFF) > last)
			last = selection->private_tags[i] | 0xFFFF;
	return last;
}

/* Everything but the stack of frames, of which only the used part is ever looked at. */
static void
reset_reading(struct dicom_reading *reading)
{
	memset(reading, 0, offsetof(struct dicom_reading, frames));
	memset(&reading->frames[0], 0, sizeof(reading->frames[0]));
	reading->frames[0].end = UNBOUNDED;
	reading->frames[0].element = NO_ELEMENT;
	reading->frames[0].kind = FRAME_DATASET;
}

enum dicom_status
dicom_dataset_open(struct dicom_dataset *dataset, const struct dicom_window *window,
				   const struct dicom_selection *selection, struct dicom_error *error)
{
	struct dicom_element *elements = dataset->elements;
	uint32_t capacity = dataset->capacity;
	struct dicom_reading *reading = dataset->reading;

	if (!reading && !(reading = malloc(sizeof(*reading))))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	memset(dataset, 0, sizeof(*dataset));
	dataset->elements = elements;
	dataset->capacity = capacity;
	dataset->window = window;
	dataset->reading = reading;
	reset_reading(reading);
	reading->dataset = dataset;
	reading->window = window;
	reading->selection = selection;
	reading->last_wanted = last_wanted(selection);
	reading->max_value = selection->max_value ? selection->max_value : DEFAULT_MAX_VALUE;
	reading->header_limit = selection->header_limit ? selection->header_limit : DEFAULT_HEADER_LIMIT;
	return DICOM_OK;
}

static enum dicom_status
read_phases(struct dicom_reading *reading)
{
	enum dicom_status status = DICOM_OK;

	while (status == DICOM_OK)
		switch (reading->phase)
		{
			case PHASE_START:
				status = read_start(reading);
				break;
			case PHASE_META:
				status = read_meta(reading);
				break;
			case PHASE_SYNTAX:
				status = read_syntax(reading);
				break;
			case PHASE_DATA:
				status = read_data(reading);
				break;
			case PHASE_DONE:
				return DICOM_OK;
			case PHASE_FAILED:
				return DICOM_FAILED;
		}
	return status;
}

enum dicom_status
dicom_dataset_read(struct dicom_dataset *dataset, struct dicom_error *error)
{
	struct dicom_reading *reading = dataset->reading;
	enum dicom_status status;

	/* The window may have moved its bytes since the last call. */
	if (!reading->inflating)
		reading->view_length = 0;
	dataset->need_offset = 0;
	dataset->need_length = 0;
	status = read_phases(reading);
	if (status == DICOM_FAILED)
	{
		if (reading->phase != PHASE_FAILED)
			finish(reading, PHASE_FAILED);
		if (error)
			*error = reading->failure;
	}
	return status;
}

void
dicom_dataset_close(struct dicom_dataset *dataset, bool keep)
{
	struct dicom_element *elements = dataset->elements;
	uint32_t capacity = dataset->capacity;
	struct dicom_reading *reading = dataset->reading;

	if (reading)
	{
		inflate_close(reading);
		wanted_close(reading);
		privates_close(reading);
	}
	memset(dataset, 0, sizeof(*dataset));
	if (keep)
	{
		dataset->elements = elements;
		dataset->capacity = capacity;
		dataset->reading = reading;
		return;
	}
	free(elements);
	free(reading);
}

/* ---- values ---- */

const uint8_t *
dicom_dataset_value(const struct dicom_dataset *dataset, const struct dicom_element *element,
					uint32_t *length)
{
	*length = element->length;
	if (element->vr == VR_SQ || element->tag == DICOM_TAG_ITEM || element->flags & DICOM_ELEMENT_BULK ||
		element->length == DICOM_UNDEFINED_LENGTH || element->length == 0)
		return NULL;
	if (!(element->flags & DICOM_ELEMENT_INFLATED))
		return dicom_window_at(dataset->window, element->offset, element->length);
	if (element->offset + element->length > dataset->reading->inflated_length)
		return NULL;
	return dataset->reading->inflated + element->offset;
}

/* ---- finding ---- */

/* The places [*first, *end) of the elements of one item, NO_ELEMENT for the top level. */
static void
bounds_of(const struct dicom_dataset *dataset, uint32_t item, uint32_t *first, uint32_t *end)
{
	*first = item == NO_ELEMENT ? 0 : item + 1;
	*end = item == NO_ELEMENT ? dataset->count : dataset->elements[item].next;
	if (*end > dataset->count)
		*end = dataset->count;
}

const struct dicom_element *
find_among(const struct dicom_dataset *dataset, uint32_t item, uint32_t tag)
{
	const struct dicom_element *found = NULL;
	uint32_t i, end;

	bounds_of(dataset, item, &i, &end);
	for (; i < end; i = dataset->elements[i].next)
		if (dataset->elements[i].tag == tag)
			found = &dataset->elements[i];
	return found;
}

const struct dicom_element *
dicom_dataset_find(const struct dicom_dataset *dataset, uint32_t tag)
{
	return find_among(dataset, NO_ELEMENT, tag);
}

const struct dicom_element *
dicom_dataset_find_in(const struct dicom_dataset *dataset, const struct dicom_element *item, uint32_t tag,
					  const char *creator)
{
	uint32_t place = item ? (uint32_t) (item - dataset->elements) : NO_ELEMENT;
	uint32_t first, end;

	if (!creator)
		return find_among(dataset, place, tag);
	bounds_of(dataset, place, &first, &end);
	return find_private(dataset, place, first, end, tag & 0xFFFF00FF, creator);
}
