/*
 * json.c
 *	  Writes data sets in the DICOM JSON Model.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dictionary.h"
#include "json.h"

#define DEFAULT_INLINE_LIMIT 1024
#define EXACT_IN_DOUBLE      (INT64_C(1) << 53) /* integers beyond are not safe as JSON numbers */
#define SEQUENCE             DICOM_VR('S', 'Q')

struct writer
{
	struct dicom_values *values;
	const struct dicom_dataset *dataset;
	const char *bulk_uri;
	uint32_t inline_limit;
	bool with_meta;
	struct dicom_buffer *out;
};

static void write_object(struct writer *writer, uint32_t first, uint32_t end);

/* Appends the inside of a JSON string. */
static void
write_escaped(struct dicom_buffer *out, const char *text, size_t length)
{
	const char *end = text + length;

	while (text < end)
	{
		const char *run = text;

		while (text < end && (unsigned char) *text >= 0x20 && *text != '"' && *text != '\\')
			text++;
		dicom_buffer_append(out, run, text - run);
		if (text == end)
			break;
		if (*text == '"' || *text == '\\')
			dicom_buffer_printf(out, "\\%c", *text);
		else if (*text == '\n')
			dicom_buffer_append_string(out, "\\n");
		else
			dicom_buffer_printf(out, "\\u%04x", *text);
		text++;
	}
}

static void
write_string(struct dicom_buffer *out, const char *text, size_t length)
{
	dicom_buffer_append_char(out, '"');
	write_escaped(out, text, length);
	dicom_buffer_append_char(out, '"');
}

/* Appends up to three component groups of a person name: "a=b=c". What lies behind a third = stays with the third. */
static void
write_person(struct dicom_buffer *out, const char *text, size_t length)
{
	static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
	const char *end = text + length;
	bool comma = false;
	int i;

	dicom_buffer_append_char(out, '{');
	for (i = 0; i < 3 && text < end; i++)
	{
		const char *stop = i < 2 ? memchr(text, '=', end - text) : NULL;

		if (!stop)
			stop = end;
		if (stop > text)
		{
			dicom_buffer_printf(out, "%s\"%s\":", comma ? "," : "", groups[i]);
			write_string(out, text, stop - text);
			comma = true;
		}
		text = stop < end ? stop + 1 : end;
	}
	dicom_buffer_append_char(out, '}');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t
digits_at(const char *text, const char *end)
{
	size_t count = 0;

	while (text + count < end && is_digit(text[count]))
		count++;
	return count;
}

/*
 * Writes a DS that dicom_parse_decimal() can read as a JSON number, digit by digit, so that nothing is rounded: JSON
 * wants no plus sign, no leading zeros, and digits on both sides of the point.
 */
static void
write_decimal(struct dicom_buffer *out, const char *text, size_t length)
{
	const char *end = text + length;
	size_t count;

	if (*text == '-')
		dicom_buffer_append_char(out, '-');
	if (*text == '-' || *text == '+')
		text++;
	while (end - text > 1 && text[0] == '0' && is_digit(text[1]))
		text++;
	count = digits_at(text, end);
	if (count == 0)
		dicom_buffer_append_char(out, '0');
	dicom_buffer_append(out, text, count);
	text += count;
	if (text < end && *text == '.')
	{
		count = digits_at(++text, end);
		if (count > 0)
			dicom_buffer_append_char(out, '.');
		dicom_buffer_append(out, text, count);
		text += count;
	}
	dicom_buffer_append(out, text, end - text); /* the exponent */
}

/* Texts of numbers become numbers where they are; others stay strings, so that nothing is lost. */
static void
write_text(struct dicom_buffer *out, uint16_t vr, const char *text, uint32_t length)
{
	int64_t integer;
	double real;

	if (length == 0)
		dicom_buffer_append_string(out, "null");
	else if (vr == DICOM_VR('P', 'N'))
		write_person(out, text, length);
	else if (vr == DICOM_VR('I', 'S') && dicom_parse_integer(text, length, &integer))
		dicom_buffer_printf(out, "%lld", (long long) integer);
	else if (vr == DICOM_VR('D', 'S') && dicom_parse_decimal(text, length, &real) && real == 0)
		dicom_buffer_append_char(out, '0'); /* whatever exponent it had */
	else if (vr == DICOM_VR('D', 'S') && dicom_parse_decimal(text, length, &real))
		write_decimal(out, text, length);
	else
		write_string(out, text, length);
}

static void
write_real(struct dicom_buffer *out, const struct dicom_value *value)
{
	double real = value->number.real;

	if (isnan(real))
		dicom_buffer_append_string(out, "\"NaN\"");
	else if (isinf(real))
		dicom_buffer_append_string(out, real < 0 ? "\"-inf\"" : "\"inf\"");
	else
		dicom_append_real(out, real, value->single_precision);
}

static void
write_value(struct dicom_buffer *out, uint16_t vr, const struct dicom_value *value)
{
	int64_t as_signed = value->number.as_signed;
	uint64_t as_unsigned = value->number.as_unsigned;
	const char *quote;

	switch (value->kind)
	{
		case DICOM_VALUE_TEXT:
			write_text(out, vr, value->text, value->length);
			break;
		case DICOM_VALUE_SIGNED:
			quote = as_signed > EXACT_IN_DOUBLE || as_signed < -EXACT_IN_DOUBLE ? "\"" : "";
			dicom_buffer_printf(out, "%s%lld%s", quote, (long long) as_signed, quote);
			break;
		case DICOM_VALUE_UNSIGNED:
			quote = as_unsigned > (uint64_t) EXACT_IN_DOUBLE ? "\"" : "";
			dicom_buffer_printf(out, "%s%llu%s", quote, (unsigned long long) as_unsigned, quote);
			break;
		case DICOM_VALUE_REAL:
			write_real(out, value);
			break;
	}
}

/* Appends ,"Value":[...] unless there is no value, or a single empty one. */
static void
write_values(struct writer *writer, const struct dicom_element *element, uint16_t vr)
{
	struct dicom_buffer *out = writer->out;
	struct dicom_value_cursor cursor = {0};
	struct dicom_value value;
	bool any = false;

	while (!out->failed && dicom_value_next(writer->values, writer->dataset, element, &cursor, &value))
	{
		if (!any && cursor.done && value.kind == DICOM_VALUE_TEXT && value.length == 0)
			break;
		dicom_buffer_append_string(out, any ? "," : ",\"Value\":[");
		write_value(out, vr, &value);
		any = true;
	}
	if (any)
		dicom_buffer_append_char(out, ']');
}

/* Bytes of the words that a big endian file has the other way round: JSON has little endian ones. */
static uint32_t
word_size(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('O', 'W'):
			return 2;
		case DICOM_VR('O', 'F'):
		case DICOM_VR('O', 'L'):
			return 4;
		case DICOM_VR('O', 'D'):
		case DICOM_VR('O', 'V'):
			return 8;
		default:
			return 1;
	}
}

static void
write_base64(struct dicom_buffer *out, const uint8_t *bytes, uint32_t length, uint32_t swap)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t swapped = length - length % swap; /* a word that is cut off stays as it is */
	uint32_t i;

	for (i = 0; i < length; i += 3)
	{
		uint32_t left = length - i < 3 ? length - i : 3;
		uint32_t bits = 0;
		uint32_t k;
		char code[4];

		for (k = 0; k < left; k++)
			bits |= (uint32_t) bytes[i + k < swapped ? (i + k) ^ (swap - 1) : i + k] << (16 - 8 * k);
		for (k = 0; k < 4; k++)
			code[k] = k <= left ? letters[bits >> (18 - 6 * k) & 0x3F] : '=';
		dicom_buffer_append(out, code, 4);
	}
}

static void
write_bulk(struct writer *writer, const struct dicom_element *element)
{
	struct dicom_buffer *out = writer->out;

	if (!writer->bulk_uri)
		return;
	dicom_buffer_append_string(out, ",\"BulkDataURI\":\"");
	write_escaped(out, writer->bulk_uri, strlen(writer->bulk_uri));
	dicom_buffer_printf(out, "?offset=%llu", (unsigned long long) element->offset);
	if (element->length != DICOM_UNDEFINED_LENGTH)
		dicom_buffer_printf(out, "&length=%lu", (unsigned long) element->length);
	if (element->flags & DICOM_ELEMENT_INFLATED)
		dicom_buffer_append_string(out, "&inflated=1");
	dicom_buffer_append_char(out, '"');
}

static void
write_bytes(struct writer *writer, const struct dicom_element *element, uint16_t vr, const uint8_t *bytes,
			uint32_t length)
{
	if (length > writer->inline_limit)
	{
		write_bulk(writer, element);
		return;
	}
	dicom_buffer_append_string(writer->out, ",\"InlineBinary\":\"");
	write_base64(writer->out, bytes, length, element->flags & DICOM_ELEMENT_BIG_ENDIAN ? word_size(vr) : 1);
	dicom_buffer_append_char(writer->out, '"');
}

static uint32_t
index_of(const struct dicom_dataset *dataset, const struct dicom_element *element)
{
	return (uint32_t) (element - dataset->elements);
}

/* Appends the items of a sequence; returns whether there was one. */
static bool
write_items(struct writer *writer, const struct dicom_element *sequence, const char *opening)
{
	const struct dicom_element *elements = writer->dataset->elements;
	bool any = false;
	uint32_t i;

	for (i = index_of(writer->dataset, sequence) + 1; i < sequence->next && !writer->out->failed;
		 i = elements[i].next)
	{
		if (elements[i].tag != DICOM_TAG_ITEM)
			continue;
		dicom_buffer_append_string(writer->out, any ? "," : opening);
		write_object(writer, i + 1, elements[i].next);
		any = true;
	}
	return any;
}

static void
write_content(struct writer *writer, const struct dicom_element *element, uint16_t vr)
{
	uint32_t length;
	const uint8_t *bytes;

	if (vr == SEQUENCE)
	{
		if (write_items(writer, element, ",\"Value\":["))
			dicom_buffer_append_char(writer->out, ']');
		return;
	}
	bytes = dicom_dataset_value(writer->dataset, element, &length);
	if (length == 0)
		return;
	if (!bytes || element->flags & DICOM_ELEMENT_BULK)
		write_bulk(writer, element);
	else if (dicom_vr_is_bytes(vr))
		write_bytes(writer, element, vr, bytes, length);
	else
		write_values(writer, element, vr);
}

/* The VR to write: items below an element make it a sequence, whatever it is called in the file. */
static uint16_t
vr_of(const struct dicom_dataset *dataset, const struct dicom_element *element)
{
	uint32_t below = index_of(dataset, element) + 1;

	if (element->vr != SEQUENCE && below < element->next && dataset->elements[below].tag == DICOM_TAG_ITEM)
		return SEQUENCE;
	return dicom_value_vr(dataset, element);
}

static void
write_element(struct writer *writer, const struct dicom_element *element)
{
	uint16_t vr = vr_of(writer->dataset, element);

	dicom_buffer_printf(writer->out, "\"%08lX\":{\"vr\":\"%c%c\"", (unsigned long) element->tag, vr >> 8,
						vr & 0xFF);
	write_content(writer, element, vr);
	dicom_buffer_append_char(writer->out, '}');
}

/* Item and delimiter tags, group lengths, and the file meta information where nobody asked for it, are left out. */
static bool
is_written(const struct writer *writer, const struct dicom_element *element)
{
	return element->tag >> 16 != 0xFFFE && (element->tag & 0xFFFF) != 0 && element->vr != DICOM_VR_NONE &&
		   (writer->with_meta || !(element->flags & DICOM_ELEMENT_META));
}

static int
compare_places(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *) a;
	uint64_t right = *(const uint64_t *) b;

	return left < right ? -1 : left > right;
}

/* Lists what is to be written of elements [first, end) as tag << 32 | index, in this order. */
static uint64_t *
list_places(const struct writer *writer, uint32_t first, uint32_t end, uint32_t *count)
{
	const struct dicom_element *elements = writer->dataset->elements;
	bool sorted = true;
	uint64_t *places;
	uint32_t i;

	*count = 0;
	for (i = first; i < end; i = elements[i].next)
		++*count;
	places = malloc((*count + 1) * sizeof *places);
	if (!places)
		return NULL;
	*count = 0;
	for (i = first; i < end; i = elements[i].next)
	{
		if (!is_written(writer, &elements[i]))
			continue;
		places[*count] = (uint64_t) elements[i].tag << 32 | i;
		sorted = sorted && (*count == 0 || places[*count - 1] < places[*count]);
		++*count;
	}
	if (!sorted)
		qsort(places, *count, sizeof *places, compare_places);
	return places;
}

/* Appends elements [first, end) of one level as an object; of elements with one tag the last one counts. */
static void
write_object(struct writer *writer, uint32_t first, uint32_t end)
{
	uint32_t count;
	uint64_t *places = list_places(writer, first, end, &count);
	bool comma = false;
	uint32_t i;

	if (!places)
	{
		writer->out->failed = true;
		return;
	}
	dicom_buffer_append_char(writer->out, '{');
	for (i = 0; i < count && !writer->out->failed; i++)
	{
		if (i + 1 < count && places[i] >> 32 == places[i + 1] >> 32)
			continue;
		if (comma)
			dicom_buffer_append_char(writer->out, ',');
		write_element(writer, &writer->dataset->elements[(uint32_t) places[i]]);
		comma = true;
	}
	dicom_buffer_append_char(writer->out, '}');
	free(places);
}

static struct writer
make_writer(struct dicom_values *values, const struct dicom_dataset *dataset,
			const struct dicom_json_options *options, struct dicom_buffer *out)
{
	struct writer writer = {values, dataset, NULL, DEFAULT_INLINE_LIMIT, false, out};

	if (options)
	{
		writer.bulk_uri = options->bulk_uri;
		writer.with_meta = options->with_meta;
		if (options->inline_limit > 0)
			writer.inline_limit = options->inline_limit;
	}
	return writer;
}

bool
dicom_json_dataset(struct dicom_values *values, const struct dicom_dataset *dataset,
				   const struct dicom_json_options *options, struct dicom_buffer *out)
{
	struct writer writer = make_writer(values, dataset, options, out);

	write_object(&writer, 0, dataset->count);
	return !out->failed;
}

bool
dicom_json_sequence(struct dicom_values *values, const struct dicom_dataset *dataset,
					const struct dicom_element *sequence, const struct dicom_json_options *options,
					struct dicom_buffer *out)
{
	struct writer writer = make_writer(values, dataset, options, out);

	if (!write_items(&writer, sequence, "["))
		dicom_buffer_append_char(out, '[');
	dicom_buffer_append_char(out, ']');
	return !out->failed;
}
