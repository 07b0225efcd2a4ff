/*
 * header.c
 *	  The header of a file as the catalog keeps it.
 */
#include <string.h>

#include "header.h"

#define FORMAT      1
#define RUN_HEADER  12
#define LENGTH_SIZE 4

/* The parser may have seen the header of the element at which it stopped. */
#define NEXT_HEADER 16

const struct dicom_selection header_selection = {
	.everything = true, .whole_header = true, .max_value = HEADER_LONGEST_VALUE};

static void
put_number(uint8_t *place, uint64_t number, int bytes)
{
	int i;

	for (i = 0; i < bytes; i++)
		place[i] = (uint8_t) (number >> 8 * i);
}

static uint64_t
get_number(const uint8_t *place, int bytes)
{
	uint64_t number = 0;
	int i;

	for (i = 0; i < bytes; i++)
		number |= (uint64_t) place[i] << 8 * i;
	return number;
}

/* Appends what is at hand of the bytes [from, to) of the file, up to the limit. */
static bool
pack_range(const struct dicom_window *window, uint64_t from, uint64_t to, struct dicom_buffer *out)
{
	int i;

	for (i = 0; i < window->run_count && from < to; i++)
	{
		const struct dicom_run *run = &window->runs[i];
		uint64_t start = from > run->offset ? from : run->offset;
		uint64_t end = to < run->offset + run->length ? to : run->offset + run->length;
		uint8_t *place;

		if (end <= start || out->length >= HEADER_LIMIT)
			continue;
		if (end - start > HEADER_LIMIT - out->length)
			end = start + (HEADER_LIMIT - out->length);
		place = (uint8_t *) dicom_buffer_reserve(out, RUN_HEADER + (size_t) (end - start));
		if (place == NULL)
			return false;
		put_number(place, start, RUN_HEADER - LENGTH_SIZE);
		put_number(place + RUN_HEADER - LENGTH_SIZE, end - start, LENGTH_SIZE);
		memcpy(place + RUN_HEADER, run->bytes + (start - run->offset), (size_t) (end - start));
		out->length += RUN_HEADER + (size_t) (end - start);
		from = end;
	}
	return true;
}

/* True for a value that leaves a hole. */
static bool
is_long(const struct dicom_element *element)
{
	return element->flags & DICOM_ELEMENT_BULK && !(element->flags & DICOM_ELEMENT_INFLATED) &&
		   element->length > HEADER_LONGEST_VALUE;
}

bool
header_pack(const struct dicom_dataset *dataset, struct dicom_buffer *out)
{
	uint64_t from = 0;
	uint8_t *format = (uint8_t *) dicom_buffer_reserve(out, 1);
	uint32_t i;

	if (format == NULL)
		return false;
	*format = FORMAT;
	out->length++;
	for (i = 0; i < dataset->count; i++)
	{
		const struct dicom_element *element = &dataset->elements[i];

		if (!is_long(element) || element->offset < from)
			continue;
		if (!pack_range(dataset->window, from, element->offset + HEADER_VALUE_START, out))
			return false;
		from =
			element->length == DICOM_UNDEFINED_LENGTH ? element->offset : element->offset + element->length;
	}
	return pack_range(dataset->window, from, dataset->bytes_used + NEXT_HEADER, out);
}

bool
header_unpack(const uint8_t *bytes, size_t length, struct dicom_window *window)
{
	size_t at = 1;

	if (length == 0 || bytes[0] != FORMAT)
		return false;
	while (at < length)
	{
		uint64_t offset;
		size_t size;
		uint8_t *place;

		if (length - at < RUN_HEADER)
			return false;
		offset = get_number(bytes + at, RUN_HEADER - LENGTH_SIZE);
		size = (size_t) get_number(bytes + at + RUN_HEADER - LENGTH_SIZE, LENGTH_SIZE);
		at += RUN_HEADER;
		if (size > length - at || (place = dicom_window_reserve(window, offset, size)) == NULL)
			return false;
		memcpy(place, bytes + at, size);
		dicom_window_commit(window, offset, size);
		at += size;
	}
	return true;
}
