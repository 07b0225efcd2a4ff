/*
 * picture.c
 *	  A picture in the making: rows of samples are converted, scaled, and handed on, some at a time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture_internal.h"

struct picture
{
	const struct image_frame *frame;
	uint32_t columns, rows; /* after scaling */
	int channels;
	bool is_copy; /* the frame's samples are the picture's bytes */
	struct grey grey;
	struct colour colour;
	size_t frame_row; /* bytes of a row of the frame */
	uint32_t next;    /* row of the frame */
	uint32_t given;   /* rows of the picture that were handed on */

	/* Rows of a frame that is left in the file, and why there are no more. */
	uint8_t *piece;
	uint32_t piece_rows;
	bool has_failed;
	struct dicom_error error;

	struct scaler *scaler; /* NULL: not scaled */
	uint8_t *line;         /* a row in front of it */

	uint8_t *rendered; /* so many rows, each with its padding */
	size_t stride;
};

/* ---- checks ---- */

static enum dicom_status
check_samples(const struct image_frame *frame, struct dicom_error *error)
{
	bool is_integer = frame->sample == IMAGE_SAMPLE_INTEGER;
	uint32_t sample_bytes = frame->sample == IMAGE_SAMPLE_DOUBLE ? 8 : 4;
	uint64_t samples = (uint64_t) frame->columns * frame->rows;

	if (frame->samples_per_pixel != 1 && frame->samples_per_pixel != 3)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "no picture can be made of %u samples per pixel",
						  frame->samples_per_pixel);
	if (is_integer ? frame->sample_bytes != 1 && frame->sample_bytes != 2 && frame->sample_bytes != 4
				   : frame->sample_bytes != sample_bytes)
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "samples of %u bytes", frame->sample_bytes);
	if (is_integer && (frame->bits_stored < 1 || frame->high_bit + 1 < frame->bits_stored ||
					   frame->high_bit >= 8 * frame->sample_bytes))
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "%u bits with high bit %u in samples of %u bytes",
						  frame->bits_stored, frame->high_bit, frame->sample_bytes);
	if (samples == 0 || samples > frame->length / (frame->samples_per_pixel * frame->sample_bytes))
		return dicom_fail(error, DICOM_ERROR_MALFORMED, "a frame of %u x %u pixels in %zu bytes",
						  frame->columns, frame->rows, frame->length);
	return DICOM_OK;
}

static enum dicom_status
check_options(const struct picture_options *options, struct dicom_error *error)
{
	if (options->window == PICTURE_WINDOW_GIVEN &&
		!(isfinite(options->window_center) && isfinite(options->window_width) && options->window_width > 0))
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "the width of a window must be above 0");
	return DICOM_OK;
}

/* ---- opening ---- */

/* Rows that are handed on together come out of one piece. */
static bool
make_piece(struct picture *picture)
{
	size_t rows = image_frame_piece(picture->frame) / picture->frame_row / PICTURE_ROWS_AT_ONCE;

	rows = rows < 1 ? PICTURE_ROWS_AT_ONCE : rows * PICTURE_ROWS_AT_ONCE;
	picture->piece_rows = rows < picture->frame->rows ? (uint32_t) rows : picture->frame->rows;
	picture->piece = malloc(picture->piece_rows * picture->frame_row);
	return picture->piece != NULL;
}

static bool
make_room(struct picture *picture)
{
	const struct image_frame *frame = picture->frame;
	size_t channels = (size_t) picture->channels;

	if (!frame->samples && !make_piece(picture))
		return false;
	if (picture->columns != frame->columns || picture->rows != frame->rows)
	{
		picture->scaler =
			scaler_open(frame->columns, frame->rows, picture->columns, picture->rows, picture->channels);
		picture->line = malloc(frame->columns * channels);
		if (!picture->scaler || !picture->line)
			return false;
	}
	picture->stride = ((picture->columns + (size_t) 7) & ~(size_t) 7) * channels;
	picture->rendered = malloc(picture->stride * PICTURE_ROWS_AT_ONCE);
	return picture->rendered != NULL;
}

static enum dicom_status
open_conversion(struct picture *picture, const struct picture_rules *rules, struct image_frame *frame,
				uint32_t frame_number, const struct picture_options *options, struct dicom_error *error)
{
	enum dicom_status status;

	if (frame->samples_per_pixel == 3 || frame->photometric == IMAGE_PALETTE_COLOR)
	{
		picture->channels = 3;
		status = colour_open(rules, frame, &picture->colour, error);
		picture->is_copy = picture->colour.is_copy;
	}
	else
	{
		picture->channels = 1;
		status = grey_open(rules, frame, frame_number, options, &picture->grey, error);
		picture->is_copy = picture->grey.way == GREY_COPY;
	}
	return status;
}

enum dicom_status
picture_open(const struct picture_rules *rules, struct image_frame *frame, uint32_t frame_number,
			 const struct picture_options *options, struct picture **picture, struct dicom_error *error)
{
	struct picture *new;
	enum dicom_status status = check_options(options, error);

	*picture = NULL;
	if (status != DICOM_OK || check_samples(frame, error) != DICOM_OK)
		return DICOM_FAILED;
	new = calloc(1, sizeof(*new));
	if (!new)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	new->frame = frame;
	new->frame_row = (size_t) frame->columns * frame->samples_per_pixel * frame->sample_bytes;
	scaled_size(frame->columns, frame->rows, options->max_size, &new->columns, &new->rows);
	status = open_conversion(new, rules, frame, frame_number, options, error);
	if (status == DICOM_OK && !make_room(new))
		status = dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (status == DICOM_OK)
		*picture = new;
	else
		picture_close(new);
	return status;
}

void
picture_close(struct picture *picture)
{
	if (!picture)
		return;
	grey_close(&picture->grey);
	scaler_close(picture->scaler);
	free(picture->line);
	free(picture->piece);
	free(picture->rendered);
	free(picture);
}

uint32_t
picture_columns(const struct picture *picture)
{
	return picture->columns;
}

uint32_t
picture_rows(const struct picture *picture)
{
	return picture->rows;
}

int
picture_channels(const struct picture *picture)
{
	return picture->channels;
}

/* ---- rows ---- */

/* Rows that lie one behind the other. */
static void
convert(const struct picture *picture, const uint8_t *samples, uint32_t rows, uint8_t *out)
{
	size_t count = (size_t) picture->frame->columns * rows;

	if (picture->channels == 1)
		grey_convert(&picture->grey, samples, count, out);
	else
		colour_convert(&picture->colour, samples, count, out);
}

/* What cannot be read is zero. */
static void
read_piece(struct picture *picture, uint32_t row)
{
	uint32_t left = picture->frame->rows - row;
	size_t length = (left < picture->piece_rows ? left : picture->piece_rows) * picture->frame_row;

	if (!picture->has_failed)
		picture->has_failed = image_frame_read(picture->frame, row * picture->frame_row, length,
											   picture->piece, &picture->error) != DICOM_OK;
	if (picture->has_failed)
		memset(picture->piece, 0, length);
}

/* The next rows of the frame; those of a piece only together. */
static const uint8_t *
next_samples(struct picture *picture, uint32_t count)
{
	uint32_t row = picture->next;

	picture->next += count;
	if (picture->frame->samples)
		return picture->frame->samples + picture->frame_row * row;
	if (row % picture->piece_rows == 0)
		read_piece(picture, row);
	return picture->piece + picture->frame_row * (row % picture->piece_rows);
}

enum dicom_status
picture_status(const struct picture *picture, struct dicom_error *error)
{
	if (picture->has_failed && error)
		*error = picture->error;
	return picture->has_failed ? DICOM_FAILED : DICOM_OK;
}

/* Takes rows of the frame until they make one of the picture. */
static void
render_scaled(struct picture *picture, uint8_t *out)
{
	const uint8_t *scaled;
	bool is_complete;

	do
	{
		const uint8_t *row = next_samples(picture, 1);

		if (!picture->is_copy)
		{
			convert(picture, row, 1, picture->line);
			row = picture->line;
		}
		is_complete = scaler_take(picture->scaler, row, &scaled);
	} while (!is_complete);
	memcpy(out, scaled, picture->columns * (size_t) picture->channels);
}

static void
render_row(struct picture *picture, uint8_t *out)
{
	size_t used = picture->columns * (size_t) picture->channels;

	if (picture->scaler)
		render_scaled(picture, out);
	else
		convert(picture, next_samples(picture, 1), 1, out);
	if (picture->channels == 1)
		memset(out + used, out[used - 1], picture->stride - used);
}

/* All at once where nothing comes between them. */
static void
render(struct picture *picture, uint32_t count)
{
	uint8_t *out = picture->rendered;
	uint32_t i;

	if (!picture->scaler && picture->stride == picture->columns * (size_t) picture->channels)
		convert(picture, next_samples(picture, count), count, out);
	else
		for (i = 0; i < count; i++)
			render_row(picture, out + i * picture->stride);
}

static bool
is_direct(const struct picture *picture)
{
	return picture->is_copy && !picture->scaler;
}

bool
picture_rows_are_padded(const struct picture *picture)
{
	return picture->channels == 1 && (!is_direct(picture) || picture->columns % 8 == 0);
}

uint32_t
picture_next_rows(struct picture *picture, const uint8_t **rows, uint32_t count)
{
	uint32_t left = picture->rows - picture->given;
	const uint8_t *first = picture->rendered;
	size_t stride = picture->stride;
	uint32_t i;

	count = count < left ? count : left;
	count = count < PICTURE_ROWS_AT_ONCE ? count : PICTURE_ROWS_AT_ONCE;
	if (count > 0 && is_direct(picture))
	{
		first = next_samples(picture, count);
		stride = picture->frame_row;
	}
	else if (count > 0)
		render(picture, count);
	for (i = 0; i < count; i++)
		rows[i] = first + i * stride;
	picture->given += count;
	return count;
}

const uint8_t *
picture_next_row(struct picture *picture)
{
	const uint8_t *row;

	return picture_next_rows(picture, &row, 1) == 1 ? row : NULL;
}
