/*
 * source.c
 *	  The bytes that a reading looks at: the window's, or those inflated from it.
 */
#include "parser.h"

/* Enough for any header; not asked for where it might be behind the end. */
#define LEAST_REQUEST 16

uint64_t
source_size(const struct dicom_reading *reading)
{
	if (!reading->inflating)
		return reading->window->size;
	return reading->inflated_end ? reading->inflated_length : UNBOUNDED;
}

enum dicom_status
source_need(struct dicom_reading *reading, uint64_t offset, uint64_t length)
{
	uint64_t size = reading->window->size;

	if (length < LEAST_REQUEST && size != DICOM_SIZE_UNKNOWN)
		length = LEAST_REQUEST;
	if (length > SIZE_MAX / 4)
		length = SIZE_MAX / 4;
	if (size != DICOM_SIZE_UNKNOWN && length > size - offset)
		length = size - offset;
	reading->dataset->need_offset = offset;
	reading->dataset->need_length = (size_t) length;
	return DICOM_NEED;
}

/* Makes the run of the window that holds an offset the view. */
static void
look_through_window(struct dicom_reading *reading, uint64_t offset)
{
	reading->view_offset = offset;
	reading->view_length = dicom_window_available(reading->window, offset);
	reading->view =
		reading->view_length > 0 ? dicom_window_at(reading->window, offset, reading->view_length) : NULL;
}

static enum dicom_status
fetch_from_window(struct dicom_reading *reading, uint64_t offset, size_t length)
{
	uint64_t size = reading->window->size;

	if (offset > size || length > size - offset)
		return DICOM_END;
	if (offset < reading->view_offset || offset - reading->view_offset >= reading->view_length)
		look_through_window(reading, offset);
	if (reading->view_length - (size_t) (offset - reading->view_offset) < length)
	{
		size_t known = reading->view_length - (size_t) (offset - reading->view_offset);

		return source_need(reading, offset + known, length - known);
	}
	return DICOM_OK;
}

static enum dicom_status
fetch_from_inflated(struct dicom_reading *reading, uint64_t offset, size_t length)
{
	enum dicom_status status;

	if (length > UNBOUNDED - offset)
		return DICOM_END;
	status = inflate_until(reading, offset + length);
	if (status != DICOM_OK)
		return status;
	return offset + length <= reading->inflated_length ? DICOM_OK : DICOM_END;
}

enum dicom_status
source_fetch(struct dicom_reading *reading, uint64_t offset, size_t length, const uint8_t **bytes)
{
	enum dicom_status status;

	*bytes = NULL;
	if (reading->inflating)
		status = fetch_from_inflated(reading, offset, length);
	else
		status = fetch_from_window(reading, offset, length);
	if (status == DICOM_OK && reading->view)
		*bytes = reading->view + (offset - reading->view_offset);
	return status;
}
