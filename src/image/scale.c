/*
 * scale.c
 *	  Scales down by area: each pixel is the mean of what it covers, parts of pixels counted as such, in whole numbers.
 *
 * A pixel of the source is taken to be out_columns units wide, one of the result `columns` units; so both ends fall
 * on whole units. The same holds for rows. What is held is one row of sums.
 */
#include <stdlib.h>
#include <string.h>

#include "picture_internal.h"

struct scaler
{
	uint32_t columns, rows, out_columns, out_rows;
	int channels;
	uint64_t area;       /* of a pixel of the result, in units both ways */
	uint32_t units_left; /* of the row of the result that is being summed */
	uint64_t *across;    /* sums of one row of the source */
	uint64_t *sums;      /* of a row of the result, so far */
	uint8_t *out;
};

void
scaled_size(uint32_t columns, uint32_t rows, uint32_t max_size, uint32_t *out_columns, uint32_t *out_rows)
{
	uint64_t longer = columns > rows ? columns : rows;

	*out_columns = columns;
	*out_rows = rows;
	if (max_size == 0 || longer <= max_size)
		return;
	*out_columns = (uint32_t) ((2 * (uint64_t) columns * max_size + longer) / (2 * longer));
	*out_rows = (uint32_t) ((2 * (uint64_t) rows * max_size + longer) / (2 * longer));
	*out_columns = *out_columns > 0 ? *out_columns : 1;
	*out_rows = *out_rows > 0 ? *out_rows : 1;
}

struct scaler *
scaler_open(uint32_t columns, uint32_t rows, uint32_t out_columns, uint32_t out_rows, int channels)
{
	struct scaler *scaler = calloc(1, sizeof(*scaler));
	size_t width = (size_t) out_columns * (size_t) channels;

	if (!scaler)
		return NULL;
	scaler->columns = columns;
	scaler->rows = rows;
	scaler->out_columns = out_columns;
	scaler->out_rows = out_rows;
	scaler->channels = channels;
	scaler->area = (uint64_t) columns * rows;
	scaler->units_left = rows;
	scaler->across = calloc(width, sizeof(*scaler->across));
	scaler->sums = calloc(width, sizeof(*scaler->sums));
	scaler->out = malloc(width);
	if (scaler->across && scaler->sums && scaler->out)
		return scaler;
	scaler_close(scaler);
	return NULL;
}

void
scaler_close(struct scaler *scaler)
{
	if (!scaler)
		return;
	free(scaler->across);
	free(scaler->sums);
	free(scaler->out);
	free(scaler);
}

/* Sums one channel of a row, pixel by pixel of the result. */
static void
sum_across(const struct scaler *scaler, const uint8_t *row, uint64_t *sums)
{
	size_t step = (size_t) scaler->channels;
	uint32_t unit = scaler->out_columns;
	uint32_t carried = 0; /* units of the pixel at `row` that the last sum has taken */
	uint32_t x;

	for (x = 0; x < scaler->out_columns; x++, sums += step)
	{
		uint32_t left = scaler->columns;
		uint64_t whole = 0;

		*sums = 0;
		if (carried > 0)
		{
			*sums = (uint64_t) (unit - carried) * *row;
			left -= unit - carried;
			row += step;
		}
		for (; left >= unit; left -= unit, row += step)
			whole += *row;
		*sums += whole * unit;
		carried = left;
		if (left > 0)
			*sums += (uint64_t) left * *row;
	}
}

static void
add_row(struct scaler *scaler, uint32_t units)
{
	size_t width = (size_t) scaler->out_columns * (size_t) scaler->channels;
	size_t i;

	for (i = 0; i < width; i++)
		scaler->sums[i] += scaler->across[i] * units;
	scaler->units_left -= units;
}

static void
finish_row(struct scaler *scaler)
{
	size_t width = (size_t) scaler->out_columns * (size_t) scaler->channels;
	size_t i;

	for (i = 0; i < width; i++)
		scaler->out[i] = (uint8_t) ((scaler->sums[i] + scaler->area / 2) / scaler->area);
	memset(scaler->sums, 0, width * sizeof(*scaler->sums));
	scaler->units_left = scaler->rows;
}

bool
scaler_take(struct scaler *scaler, const uint8_t *row, const uint8_t **out)
{
	uint32_t units = scaler->out_rows;
	uint32_t rest = units > scaler->units_left ? units - scaler->units_left : 0;
	bool is_complete;
	int channel;

	for (channel = 0; channel < scaler->channels; channel++)
		sum_across(scaler, row + channel, scaler->across + channel);
	add_row(scaler, units - rest);
	is_complete = scaler->units_left == 0;
	if (is_complete)
		finish_row(scaler);
	if (rest > 0)
		add_row(scaler, rest);
	*out = scaler->out;
	return is_complete;
}
