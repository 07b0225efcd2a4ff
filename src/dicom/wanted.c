/*
 * wanted.c
 *	  Which top-level elements a selection keeps.
 */
#include <stdlib.h>

#include "parser.h"

/*
 * Brings up to date which blocks the creators of the wanted private tags reserve, so that a block is not looked for anew
 * for each of its elements. False where memory is short: then nothing is known to be wanted.
 */
static bool
note_reserved(struct dicom_reading *reading)
{
	const struct dicom_selection *selection = reading->selection;
	const struct dicom_dataset *dataset = reading->dataset;
	int i;

	if (!reading->reserved &&
		!(reading->reserved = calloc(selection->private_count, sizeof(*reading->reserved))))
		return false;
	for (; reading->reserved_upto < dataset->count; reading->reserved_upto++)
	{
		const struct dicom_element *element = &dataset->elements[reading->reserved_upto];

		if (element->depth > 0 || !is_private_creator(element->tag))
			continue;
		for (i = 0; i < selection->private_count; i++)
			if (selection->private_tags[i] >> 16 == element->tag >> 16)
				note_creator(dataset, element, selection->private_creators[i], reading->reserved[i]);
	}
	return true;
}

void
wanted_close(struct dicom_reading *reading)
{
	free(reading->reserved);
	reading->reserved = NULL;
}

/* A private attribute is wanted by the name of its block's creator, and so are the creators of its group. */
static bool
is_wanted_private(struct dicom_reading *reading, uint32_t tag, bool *named)
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
		if ((wanted & 0xFF) == (tag & 0xFF) && note_reserved(reading) && is_noted(reading->reserved[i], tag))
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
bool
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
