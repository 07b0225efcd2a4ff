/*
 * inflating.c
 *	  Ranges of the inflated stream of a deflated file (PS3.5 A.5), through a buffer of fixed size.
 *
 * A stream can only be read forward: a range behind the last one costs the inflating of what is between, one in front of it starts
 * anew from the beginning of the file.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../dicom/inflate.h"
#include "frames_internal.h"

#define CHUNK 65536

/* No deflated stream gets longer than so many times itself. */
#define MOST_RATIO 1032

struct inflating
{
	struct image_source source; /* what is read by others */
	const struct image_source *file;
	uint64_t begin;    /* of the stream in the file */
	uint64_t consumed; /* read of the file, from its beginning */
	uint64_t position; /* in the inflated stream */
	bool is_open;
	bool is_over;
	z_stream stream;
	uint8_t input[CHUNK];
	uint8_t skipped[CHUNK];
};

static void
stop(struct inflating *inflating)
{
	if (inflating->is_open)
		inflateEnd(&inflating->stream);
	inflating->is_open = false;
}

static enum dicom_status
fill(struct inflating *inflating, struct dicom_error *error)
{
	uint64_t left = inflating->file->size - inflating->consumed;
	size_t length = left < CHUNK ? (size_t) left : CHUNK;
	enum dicom_status status;

	if (length == 0)
		return frames_fail(error, DICOM_ERROR_MALFORMED, "the file ends inside the deflated stream");
	status =
		inflating->file->read(inflating->file->arg, inflating->consumed, length, inflating->input, error);
	if (status != DICOM_OK)
		return status;
	inflating->consumed += length;
	inflating->stream.next_in = inflating->input;
	inflating->stream.avail_in = (uInt) length;
	return DICOM_OK;
}

static enum dicom_status
start(struct inflating *inflating, struct dicom_error *error)
{
	enum dicom_status status;
	int window_bits;

	stop(inflating);
	memset(&inflating->stream, 0, sizeof(inflating->stream));
	inflating->consumed = inflating->begin;
	inflating->position = 0;
	inflating->is_over = false;
	if (inflating->begin > inflating->file->size)
		return frames_fail(error, DICOM_ERROR_MALFORMED, "the file ends in front of the deflated stream");
	status = fill(inflating, error);
	if (status != DICOM_OK)
		return status;
	window_bits = inflating->stream.avail_in >= 5 ? dicom_inflate_window_bits(inflating->input) : -MAX_WBITS;
	if (inflateInit2(&inflating->stream, window_bits) != Z_OK)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	inflating->is_open = true;
	return DICOM_OK;
}

/* Inflates the next `length` bytes. */
static enum dicom_status
inflate_next(struct inflating *inflating, uint8_t *bytes, size_t length, struct dicom_error *error)
{
	inflating->stream.next_out = bytes;
	inflating->stream.avail_out = (uInt) length;
	while (inflating->stream.avail_out > 0)
	{
		enum dicom_status status = DICOM_OK;
		int result;

		if (inflating->is_over)
			return frames_fail(error, DICOM_ERROR_MALFORMED,
							   "the deflated stream ends inside the pixel data");
		if (inflating->stream.avail_in == 0)
			status = fill(inflating, error);
		if (status != DICOM_OK)
			return status;
		result = inflate(&inflating->stream, Z_NO_FLUSH);
		inflating->is_over = result == Z_STREAM_END;
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return frames_fail(error, DICOM_ERROR_MALFORMED, "the deflated stream is broken");
	}
	inflating->position += length;
	return DICOM_OK;
}

static enum dicom_status
read_inflated(void *arg, uint64_t offset, size_t length, uint8_t *bytes, struct dicom_error *error)
{
	struct inflating *inflating = arg;
	enum dicom_status status = DICOM_OK;

	if (!inflating->is_open || offset < inflating->position)
		status = start(inflating, error);
	while (status == DICOM_OK && inflating->position < offset)
	{
		uint64_t between = offset - inflating->position;

		status =
			inflate_next(inflating, inflating->skipped, between < CHUNK ? (size_t) between : CHUNK, error);
	}
	while (status == DICOM_OK && length > 0)
	{
		size_t piece = length < ((size_t) 1 << 30) ? length : (size_t) 1 << 30;

		status = inflate_next(inflating, bytes, piece, error);
		bytes += piece;
		length -= piece;
	}
	if (status != DICOM_OK)
		stop(inflating); /* where it stands is not known any more */
	return status;
}

struct inflating *
inflating_open(const struct image_source *file, uint64_t offset)
{
	struct inflating *inflating = calloc(1, sizeof(*inflating));

	if (!inflating)
		return NULL;
	inflating->file = file;
	inflating->begin = offset;
	inflating->source.size = offset < file->size ? (file->size - offset) * MOST_RATIO : 0;
	inflating->source.read = read_inflated;
	inflating->source.arg = inflating;
	return inflating;
}

const struct image_source *
inflating_source(struct inflating *inflating)
{
	return &inflating->source;
}

void
inflating_close(struct inflating *inflating)
{
	if (!inflating)
		return;
	stop(inflating);
	free(inflating);
}
