/*
 * inflate.c
 *	  The deflated transfer syntaxes: PS3.5 A.5. A raw deflate stream follows the file meta information.
 *
 * Some writers put a zlib or gzip header in front; those are read too. Bytes are inflated only as far as the parser
 * looks, and never more than header_limit of them.
 */
#include <stdlib.h>
#include <string.h>

#include "inflate.h"
#include "parser.h"

#define CHUNK         16384
#define RAW_DEFLATE   (-MAX_WBITS)
#define ZLIB_OR_GZIP  (MAX_WBITS + 32)
#define LEAST_REQUEST 4096

/* A zlib header could also begin a stored block of raw deflate; its length and complement then tell. */
int
dicom_inflate_window_bits(const uint8_t *bytes)
{
	bool stored = (bytes[0] & 7) == 0 && (bytes[1] ^ bytes[3]) == 0xFF && (bytes[2] ^ bytes[4]) == 0xFF;

	if (bytes[0] == 0x1F && bytes[1] == 0x8B)
		return ZLIB_OR_GZIP;
	if ((bytes[0] & 0x0F) == Z_DEFLATED && (bytes[0] << 8 | bytes[1]) % 31 == 0 && !stored)
		return ZLIB_OR_GZIP;
	return RAW_DEFLATE;
}

/* Begins to inflate at a position of the file. DICOM_END where nothing is there. */
enum dicom_status
inflate_begin(struct dicom_reading *reading, uint64_t position)
{
	const uint8_t *bytes;
	enum dicom_status status = source_bytes(reading, position, 5, &bytes);

	if (status != DICOM_OK)
		return status;
	memset(&reading->stream, 0, sizeof(reading->stream));
	if (inflateInit2(&reading->stream, dicom_inflate_window_bits(bytes)) != Z_OK)
		return fail_at(reading, DICOM_ERROR_MEMORY, position, 0, "out of memory");
	reading->inflating = true;
	reading->deflated_position = position;
	reading->view_offset = 0;
	reading->view_length = 0;
	return DICOM_OK;
}

static enum dicom_status
make_room(struct dicom_reading *reading)
{
	size_t capacity = reading->inflated_capacity ? reading->inflated_capacity * 2 : CHUNK;
	uint8_t *inflated;

	if (reading->inflated_length < reading->inflated_capacity)
		return DICOM_OK;
	if (reading->inflated_length >= reading->header_limit)
		return fail_at(reading, DICOM_ERROR_LIMIT, reading->deflated_position, 0,
					   "the inflated header is longer than the limit of %llu bytes",
					   (unsigned long long) reading->header_limit);
	if (capacity > reading->header_limit)
		capacity = (size_t) reading->header_limit;
	inflated = realloc(reading->inflated, capacity);
	if (!inflated)
		return fail_at(reading, DICOM_ERROR_MEMORY, reading->deflated_position, 0, "out of memory");
	reading->inflated = inflated;
	reading->inflated_capacity = capacity;
	reading->view = inflated;
	return DICOM_OK;
}

/* Inflates what is at hand at the position, until the memory made for it is full. */
static enum dicom_status
inflate_some(struct dicom_reading *reading)
{
	size_t available = dicom_window_available(reading->window, reading->deflated_position);
	int result;

	if (available == 0)
	{
		if (reading->deflated_position < reading->window->size)
			return source_need(reading, reading->deflated_position, LEAST_REQUEST);
		reading->inflated_end = true;
		reading->inflate_broken = true;
		return DICOM_OK;
	}
	if (available > CHUNK)
		available = CHUNK;
	reading->stream.next_in =
		(Bytef *) dicom_window_at(reading->window, reading->deflated_position, available);
	reading->stream.avail_in = (uInt) available;
	reading->stream.next_out = reading->inflated + reading->inflated_length;
	reading->stream.avail_out = (uInt) (reading->inflated_capacity - reading->inflated_length);
	result = inflate(&reading->stream, Z_NO_FLUSH);
	reading->deflated_position += available - reading->stream.avail_in;
	reading->inflated_length = reading->inflated_capacity - reading->stream.avail_out;
	reading->view_length = reading->inflated_length;
	if (reading->deflated_position > reading->dataset->bytes_used)
		reading->dataset->bytes_used = reading->deflated_position;
	if (result != Z_OK && result != Z_BUF_ERROR)
	{
		reading->inflated_end = true;
		reading->inflate_broken = result != Z_STREAM_END;
	}
	return DICOM_OK;
}

/* Inflates until so many bytes are there, or the stream is at its end. */
enum dicom_status
inflate_until(struct dicom_reading *reading, uint64_t end)
{
	while (!reading->inflated_end && reading->inflated_length < end)
	{
		enum dicom_status status = make_room(reading);

		if (status == DICOM_OK)
			status = inflate_some(reading);
		if (status != DICOM_OK)
			return status;
	}
	return DICOM_OK;
}

void
inflate_close(struct dicom_reading *reading)
{
	if (reading->inflating)
		inflateEnd(&reading->stream);
	free(reading->inflated);
	reading->inflated = NULL;
	reading->inflated_length = 0;
	reading->inflated_capacity = 0;
	reading->inflating = false;
}
