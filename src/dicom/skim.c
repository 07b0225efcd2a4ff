/*
 * skim.c
 *	  Runs of top-level elements that nobody wants.
 *
 * Most of a header is passed over. Where it is what the standard asks for, in explicit VR little endian, one comparison after
 * another settles that, and the state is left as that many steps would have left it. At the first element that is wanted, or in any
 * way odd, the steps go on.
 */
#include "parser.h"

/* The place in the selection of the first wanted tag behind one that was read. */
static int
first_wanted_behind(const struct dicom_reading *reading, uint32_t tag)
{
	const struct dicom_selection *selection = reading->selection;
	int i = reading->next_tag;

	if (i > 0 && selection->tags[i - 1] > tag)
		i = 0;
	while (i < selection->tag_count && selection->tags[i] <= tag)
		i++;
	return i;
}

static inline bool
is_looked_at(const struct dicom_reading *reading, uint32_t tag)
{
	return tag == TAG_CHARACTER_SET || tag == TAG_PIXEL_SIGN || tag == TAG_TIMEZONE || tag >> 16 >= 0x7FE0 ||
		   (tag >> 16 & 1 && reading->selection->private_count > 0);
}

/* The bytes of a plain header, whose value has an even length; 0 for any other one. */
static inline uint32_t
plain_header(const uint8_t *bytes, uint32_t *length)
{
	switch (length_form(bytes[4], bytes[5]))
	{
		case FORM_SHORT:
			*length = read_16(bytes + 6, SYNTAX_EXPLICIT);
			return *length & 1 ? 0 : 8;
		case FORM_LONG:
			*length = read_32(bytes + 8, SYNTAX_EXPLICIT);
			return *length & 1 || read_16(bytes + 6, SYNTAX_EXPLICIT) != 0 ? 0 : 12;
		default:
			return 0;
	}
}

/* One element; false where it takes a step. */
static inline bool
skim_one(struct dicom_reading *reading, uint64_t size, uint32_t last_wanted, uint32_t *last_tag, int *next)
{
	const struct dicom_selection *selection = reading->selection;
	uint64_t place = reading->position - reading->view_offset;
	const uint8_t *bytes;
	uint32_t tag, header, length;

	if (reading->position < reading->view_offset || place + 12 > reading->view_length)
		return false;
	bytes = reading->view + place;
	tag = read_tag(bytes, SYNTAX_EXPLICIT);
	while (*next < selection->tag_count && selection->tags[*next] < tag)
		++*next;
	if (tag <= *last_tag || tag > last_wanted || is_looked_at(reading, tag) ||
		(*next < selection->tag_count && selection->tags[*next] == tag))
		return false;
	header = plain_header(bytes, &length);
	if (header == 0 || length > size - reading->position - header ||
		header > reading->header_limit - reading->looked)
		return false;
	reading->looked += header;
	reading->dataset->bytes_used = reading->position + header;
	reading->position += header + length;
	*last_tag = tag;
	return true;
}

void
skim(struct dicom_reading *reading)
{
	const struct dicom_selection *selection = reading->selection;
	struct frame *frame = &reading->frames[0];
	uint64_t size = source_size(reading);
	uint64_t used = reading->dataset->bytes_used;
	uint32_t last_wanted = selection->whole_header ? UINT32_MAX : reading->last_wanted;

	if (reading->depth > 0 || reading->inflating || reading->disordered || reading->tail ||
		selection->everything || frame->syntax != SYNTAX_EXPLICIT)
		return;
	reading->next_tag = first_wanted_behind(reading, frame->last_tag);
	while (skim_one(reading, size, last_wanted, &frame->last_tag, &reading->next_tag))
		;
	if (reading->dataset->bytes_used < used)
		reading->dataset->bytes_used = used;
}
