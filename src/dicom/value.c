/*
 * value.c
 *	  The values of an element as text, numbers, and one by one.
 */
#include <string.h>

#include "dictionary.h"
#include "value.h"

#define TAG_SPECIFIC_CHARACTER_SET DICOM_TAG(0x0008, 0x0005)
#define TAG_PIXEL_REPRESENTATION   DICOM_TAG(0x0028, 0x0103)

/* The bytes of a text without the padding behind them, and how they are cut. */
struct text
{
	const uint8_t *bytes;
	uint32_t length;
	enum dicom_text_kind kind;
	bool trim_front;
	bool plain; /* needs no conversion */
};

void
dicom_values_close(struct dicom_values *values)
{
	dicom_charset_cache_close(&values->charsets);
	dicom_buffer_free(&values->text);
}

bool
dicom_vr_is_text(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('A', 'E'):
		case DICOM_VR('A', 'S'):
		case DICOM_VR('C', 'S'):
		case DICOM_VR('D', 'A'):
		case DICOM_VR('D', 'S'):
		case DICOM_VR('D', 'T'):
		case DICOM_VR('I', 'S'):
		case DICOM_VR('L', 'O'):
		case DICOM_VR('L', 'T'):
		case DICOM_VR('P', 'N'):
		case DICOM_VR('S', 'H'):
		case DICOM_VR('S', 'T'):
		case DICOM_VR('T', 'M'):
		case DICOM_VR('U', 'C'):
		case DICOM_VR('U', 'I'):
		case DICOM_VR('U', 'R'):
		case DICOM_VR('U', 'T'):
			return true;
		default:
			return false;
	}
}

bool
dicom_vr_is_bytes(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('O', 'B'):
		case DICOM_VR('O', 'W'):
		case DICOM_VR('O', 'F'):
		case DICOM_VR('O', 'D'):
		case DICOM_VR('O', 'L'):
		case DICOM_VR('O', 'V'):
		case DICOM_VR('U', 'N'):
			return true;
		default:
			return false;
	}
}

/* Bytes of one number, 0 where the VR has none. */
static uint32_t
number_size(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('U', 'S'):
		case DICOM_VR('S', 'S'):
			return 2;
		case DICOM_VR('U', 'L'):
		case DICOM_VR('S', 'L'):
		case DICOM_VR('F', 'L'):
		case DICOM_VR('A', 'T'):
			return 4;
		case DICOM_VR('U', 'V'):
		case DICOM_VR('S', 'V'):
		case DICOM_VR('F', 'D'):
			return 8;
		default:
			return 0;
	}
}

static enum dicom_text_kind
text_kind(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('L', 'T'):
		case DICOM_VR('S', 'T'):
		case DICOM_VR('U', 'R'):
		case DICOM_VR('U', 'T'):
			return DICOM_TEXT_SINGLE;
		case DICOM_VR('P', 'N'):
			return DICOM_TEXT_PERSON;
		default:
			return DICOM_TEXT_MULTI;
	}
}

/* The nearest element with this tag: in the element's own item, in those around it, at top level (PS3.5 §7.5.3). */
static const struct dicom_element *
find_inherited(const struct dicom_dataset *dataset, const struct dicom_element *element, uint32_t tag)
{
	uint32_t i;

	for (i = element->parent; i < dataset->count; i = dataset->elements[i].parent)
	{
		const struct dicom_element *holder = &dataset->elements[i];
		const struct dicom_element *found = NULL;

		if (holder->tag == DICOM_TAG_ITEM)
			found = dicom_dataset_find_in(dataset, holder, tag, NULL);
		if (found)
			return found;
	}
	return dicom_dataset_find(dataset, tag);
}

static uint64_t
read_unsigned(const uint8_t *bytes, uint32_t size, bool big_endian)
{
	uint64_t number = 0;
	uint32_t i;

	for (i = 0; i < size; i++)
		number = number << 8 | bytes[big_endian ? i : size - 1 - i];
	return number;
}

static bool
is_big_endian(const struct dicom_element *element)
{
	return (element->flags & DICOM_ELEMENT_BIG_ENDIAN) != 0;
}

static bool
pixels_are_signed(const struct dicom_dataset *dataset, const struct dicom_element *element)
{
	const struct dicom_element *representation = find_inherited(dataset, element, TAG_PIXEL_REPRESENTATION);
	uint32_t length = 0;
	const uint8_t *bytes = representation ? dicom_dataset_value(dataset, representation, &length) : NULL;

	return bytes && length >= 2 && read_unsigned(bytes, 2, is_big_endian(representation)) == 1;
}

/* What an element that a relay wrote as UN was before, as far as its tag says. */
static uint16_t
known_vr(uint32_t tag)
{
	const struct dicom_dictionary_entry *entry = dicom_dictionary_by_tag(tag);

	if (entry && entry->vr != DICOM_VR('S', 'Q') && entry->vr != DICOM_VR_NONE)
		return entry->vr;
	if ((tag & 0x00010000) && (tag & 0xFFFF) >= 0x10 && (tag & 0xFFFF) <= 0xFF)
		return DICOM_VR('L', 'O'); /* a private creator: PS3.5 §7.8.1 */
	return DICOM_VR('U', 'N');
}

uint16_t
dicom_value_vr(const struct dicom_dataset *dataset, const struct dicom_element *element)
{
	uint16_t vr = element->vr;

	if (vr == DICOM_VR('U', 'N') && element->length != DICOM_UNDEFINED_LENGTH)
		vr = known_vr(element->tag);
	switch (vr)
	{
		case DICOM_VR_US_OR_SS:
			return pixels_are_signed(dataset, element) ? DICOM_VR('S', 'S') : DICOM_VR('U', 'S');
		case DICOM_VR_OB_OR_OW:
		case DICOM_VR_US_OR_OW:
			return DICOM_VR('O', 'W');
		default:
			return vr;
	}
}

/* The bytes of (0008,0005) as it holds for an element; the file meta information has the default repertoire. */
static const uint8_t *
character_set(const struct dicom_dataset *dataset, const struct dicom_element *element, uint32_t *length)
{
	const struct dicom_element *found = NULL;
	const uint8_t *bytes;

	*length = 0;
	if (!(element->flags & DICOM_ELEMENT_META))
		found = find_inherited(dataset, element, TAG_SPECIFIC_CHARACTER_SET);
	bytes = found ? dicom_dataset_value(dataset, found, length) : NULL;
	if (!bytes)
		*length = 0;
	return bytes;
}

static void
set_kind(struct text *text, uint16_t vr)
{
	text->kind = text_kind(vr);
	text->trim_front = vr == DICOM_VR('D', 'S') || vr == DICOM_VR('I', 'S') || vr == DICOM_VR('U', 'I') ||
					   vr == DICOM_VR('A', 'E');
}

/* False where the text is not at hand. */
static bool
get_text(const struct dicom_dataset *dataset, const struct dicom_element *element, uint16_t vr,
		 struct text *text)
{
	text->bytes = dicom_dataset_value(dataset, element, &text->length);
	if (!text->bytes && text->length > 0)
		return false;
	while (text->length > 0 &&
		   (text->bytes[text->length - 1] == ' ' || text->bytes[text->length - 1] == '\0'))
		text->length--;
	set_kind(text, vr);
	text->plain = dicom_charset_is_plain(text->bytes, text->length);
	return true;
}

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes the padding off a value that was appended from `start` on. */
static void
trim_appended(struct dicom_buffer *out, size_t start, const struct text *text)
{
	size_t end = out->length;
	size_t begin = start;

	if (out->failed || end == start)
		return;
	while (end > start && (out->data[end - 1] == ' ' || (text->trim_front && is_white(out->data[end - 1])) ||
						   (text->kind == DICOM_TEXT_PERSON && out->data[end - 1] == '=')))
		end--;
	while (text->trim_front && begin < end && is_white(out->data[begin]))
		begin++;
	if (begin > start)
		memmove(out->data + start, out->data + begin, end - begin);
	out->length = start + (end - begin);
	out->data[out->length] = '\0';
}

/* Opens the character set for a text, NULL where it needs none or there is no memory. */
static struct dicom_charset *
open_charset(struct dicom_values *values, const struct dicom_dataset *dataset,
			 const struct dicom_element *element, const struct text *text)
{
	uint32_t length;
	const uint8_t *term;

	if (text->plain)
		return NULL;
	term = character_set(dataset, element, &length);
	return dicom_charset_open(&values->charsets, term, length);
}

/* Appends the value that begins at `offset`; returns the offset behind it, where its separator or the end is. */
static uint32_t
append_text_value(struct dicom_values *values, struct dicom_charset *charset, const struct text *text,
				  uint32_t offset, struct dicom_buffer *out)
{
	const uint8_t *bytes = text->bytes + offset;
	uint32_t length = text->length - offset;
	size_t start = out->length;
	uint32_t replaced = 0;

	if (text->plain)
	{
		const uint8_t *stop = text->kind == DICOM_TEXT_SINGLE ? NULL : memchr(bytes, '\\', length);

		if (stop)
			length = stop - bytes;
		dicom_buffer_append(out, bytes, length);
	}
	else if (charset)
		length = dicom_charset_value_to_utf8(charset, text->kind, bytes, length, out, &replaced);
	else
		out->failed = true;
	values->replaced += replaced;
	trim_appended(out, start, text);
	return offset + length;
}

static bool
append_text(struct dicom_values *values, const struct dicom_dataset *dataset,
			const struct dicom_element *element, uint16_t vr, struct dicom_buffer *out)
{
	struct dicom_charset *charset;
	struct text text;
	uint32_t offset = 0;

	if (!get_text(dataset, element, vr, &text))
		return false;
	if (text.length == 0)
		return true;
	charset = open_charset(values, dataset, element, &text);
	for (;;)
	{
		offset = append_text_value(values, charset, &text, offset, out);
		if (offset == text.length)
			return true;
		dicom_buffer_append_char(out, '\\');
		if (++offset == text.length)
			return true; /* the last value is empty */
	}
}

static void
set_number(struct dicom_value *value, uint16_t vr, uint64_t bits)
{
	uint32_t low = (uint32_t) bits;
	float single;

	switch (vr)
	{
		case DICOM_VR('S', 'S'):
			value->number.as_signed = (int16_t) bits;
			break;
		case DICOM_VR('S', 'L'):
			value->number.as_signed = (int32_t) bits;
			break;
		case DICOM_VR('F', 'L'):
			memcpy(&single, &low, sizeof single);
			value->number.real = single;
			break;
		default: /* SV and FD have the same 64 bits; the unsigned ones begin with zeros */
			memcpy(&value->number, &bits, sizeof bits);
			break;
	}
}

static enum dicom_value_kind
number_kind(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('S', 'S'):
		case DICOM_VR('S', 'L'):
		case DICOM_VR('S', 'V'):
			return DICOM_VALUE_SIGNED;
		case DICOM_VR('F', 'L'):
		case DICOM_VR('F', 'D'):
			return DICOM_VALUE_REAL;
		default:
			return DICOM_VALUE_UNSIGNED;
	}
}

static void
append_number(struct dicom_buffer *out, const struct dicom_value *value)
{
	switch (value->kind)
	{
		case DICOM_VALUE_SIGNED:
			dicom_buffer_printf(out, "%lld", (long long) value->number.as_signed);
			break;
		case DICOM_VALUE_UNSIGNED:
			dicom_buffer_printf(out, "%llu", (unsigned long long) value->number.as_unsigned);
			break;
		case DICOM_VALUE_REAL:
			dicom_append_real(out, value->number.real, value->single_precision);
			break;
		case DICOM_VALUE_TEXT:
			dicom_buffer_append(out, value->text, value->length);
			break;
	}
}

static bool
append_numbers(struct dicom_values *values, const struct dicom_dataset *dataset,
			   const struct dicom_element *element, struct dicom_buffer *out)
{
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;
	uint32_t length;

	if (!dicom_dataset_value(dataset, element, &length) && length > 0)
		return false;
	while (dicom_value_next(values, dataset, element, &cursor, &value))
	{
		if (cursor.index > 1)
			dicom_buffer_append_char(out, '\\');
		append_number(out, &value);
	}
	return true;
}

bool
dicom_value_text(struct dicom_values *values, const struct dicom_dataset *dataset,
				 const struct dicom_element *element, struct dicom_buffer *out)
{
	uint16_t vr = dicom_value_vr(dataset, element);

	if (element->flags & DICOM_ELEMENT_BULK)
		return false;
	if (dicom_vr_is_text(vr))
		return append_text(values, dataset, element, vr, out);
	return number_size(vr) > 0 && append_numbers(values, dataset, element, out);
}

static uint32_t
count_items(const struct dicom_dataset *dataset, const struct dicom_element *sequence)
{
	uint32_t count = 0;
	uint32_t i;

	for (i = (uint32_t) (sequence - dataset->elements) + 1; i < sequence->next; i = dataset->elements[i].next)
		count += dataset->elements[i].tag == DICOM_TAG_ITEM;
	return count;
}

static uint32_t
count_texts(const struct dicom_dataset *dataset, const struct dicom_element *element, uint16_t vr)
{
	struct text text;
	uint32_t length = 0;
	const uint8_t *term = NULL;

	if (!get_text(dataset, element, vr, &text) || text.length == 0)
		return 0;
	if (text.kind == DICOM_TEXT_SINGLE)
		return 1;
	if (!text.plain)
		term = character_set(dataset, element, &length);
	return dicom_charset_count_values(term, length, text.kind, text.bytes, text.length);
}

uint32_t
dicom_value_count(const struct dicom_dataset *dataset, const struct dicom_element *element)
{
	uint16_t vr = dicom_value_vr(dataset, element);
	uint32_t length;

	if (vr == DICOM_VR('S', 'Q'))
		return count_items(dataset, element);
	if (dicom_vr_is_text(vr) && !(element->flags & DICOM_ELEMENT_BULK))
		return count_texts(dataset, element, vr);
	dicom_dataset_value(dataset, element, &length);
	if (number_size(vr) > 0 && length != DICOM_UNDEFINED_LENGTH)
		return length / number_size(vr);
	return length > 0;
}

static void
begin(struct dicom_value_cursor *cursor, const struct dicom_dataset *dataset,
	  const struct dicom_element *element)
{
	struct text text = {.length = 0};
	bool readable;

	cursor->begun = true;
	cursor->vr = dicom_value_vr(dataset, element);
	if (dicom_vr_is_text(cursor->vr))
		readable = get_text(dataset, element, cursor->vr, &text) && text.length > 0;
	else
		readable = number_size(cursor->vr) > 0;
	cursor->done = !readable || (element->flags & DICOM_ELEMENT_BULK);
	cursor->plain = text.plain;
	cursor->length = text.length;
}

/* Gives the scratch buffer as the value. */
static void
set_text(struct dicom_values *values, struct dicom_value *value)
{
	value->kind = DICOM_VALUE_TEXT;
	value->text = values->text.length > 0 ? values->text.data : "";
	value->length = (uint32_t) values->text.length;
}

static bool
next_text(struct dicom_values *values, const struct dicom_dataset *dataset,
		  const struct dicom_element *element, struct dicom_value_cursor *cursor, struct dicom_value *value)
{
	struct text text = {.length = cursor->length, .plain = cursor->plain};
	uint32_t length;

	text.bytes = dicom_dataset_value(dataset, element, &length);
	if (!text.bytes || length < text.length)
		return false;
	set_kind(&text, cursor->vr);
	dicom_buffer_reset(&values->text);
	cursor->offset = append_text_value(values, open_charset(values, dataset, element, &text), &text,
									   cursor->offset, &values->text);
	cursor->done = cursor->offset == text.length;
	cursor->offset++; /* over the backslash */
	set_text(values, value);
	return true;
}

static bool
next_number(struct dicom_values *values, const struct dicom_dataset *dataset,
			const struct dicom_element *element, struct dicom_value_cursor *cursor, struct dicom_value *value)
{
	uint32_t size = number_size(cursor->vr);
	bool big_endian = is_big_endian(element);
	uint32_t length;
	const uint8_t *bytes = dicom_dataset_value(dataset, element, &length);

	if (!bytes || length < size || cursor->offset > length - size)
		return false;
	bytes += cursor->offset;
	cursor->offset += size;
	if (cursor->vr == DICOM_VR('A', 'T'))
	{
		dicom_buffer_reset(&values->text);
		dicom_buffer_printf(&values->text, "%04X%04X", (unsigned) read_unsigned(bytes, 2, big_endian),
							(unsigned) read_unsigned(bytes + 2, 2, big_endian));
		set_text(values, value);
		return true;
	}
	value->kind = number_kind(cursor->vr);
	value->single_precision = cursor->vr == DICOM_VR('F', 'L');
	set_number(value, cursor->vr, read_unsigned(bytes, size, big_endian));
	return true;
}

bool
dicom_value_next(struct dicom_values *values, const struct dicom_dataset *dataset,
				 const struct dicom_element *element, struct dicom_value_cursor *cursor,
				 struct dicom_value *value)
{
	bool found;

	memset(value, 0, sizeof *value);
	if (!cursor->begun)
		begin(cursor, dataset, element);
	if (cursor->done)
		return false;
	if (dicom_vr_is_text(cursor->vr))
		found = next_text(values, dataset, element, cursor, value);
	else
		found = next_number(values, dataset, element, cursor, value);
	cursor->index += found;
	cursor->done |= !found;
	return found;
}
