/*
 * jpeg_encode.c
 *	  A picture through libjpeg-turbo.
 *
 * Grey rows go in as raw data, which spares libjpeg a copy byte by byte that takes a third of the time; they must be
 * whole blocks of 8 x 8 then. Colour rows go in as RGB, for whose conversion it has vector instructions.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "picture_internal.h"

#define ROOM            65536 /* bytes that are asked for at least */
#define DEFAULT_QUALITY 90

struct encoding
{
	struct jpeg_compress_struct compress;
	struct jpeg_error_mgr errors;
	struct jpeg_destination_mgr destination;
	jmp_buf stop;
	struct dicom_buffer *out;
	size_t given;              /* bytes of room behind its end, that libjpeg has */
	struct dicom_error *error; /* filled before stop */
	struct picture *picture;
	const struct picture_options *options;
};

/* ---- what libjpeg calls ---- */

static void
stop_encoding(j_common_ptr common)
{
	struct encoding *encoding = common->client_data;
	char message[JMSG_LENGTH_MAX];

	common->err->format_message(common, message);
	dicom_fail(encoding->error, DICOM_ERROR_MEMORY, "cannot write a JPEG: %s", message);
	longjmp(encoding->stop, 1);
}

static void
say_nothing(j_common_ptr common)
{
}

static void
ignore_warning(j_common_ptr common, int level)
{
}

/* libjpeg writes straight into the buffer. */
static void
give_room(j_compress_ptr compress)
{
	struct encoding *encoding = compress->client_data;
	char *room = dicom_buffer_reserve(encoding->out, ROOM);

	if (room == NULL)
	{
		dicom_fail(encoding->error, DICOM_ERROR_LIMIT, "a JPEG needs more memory than there is for it");
		longjmp(encoding->stop, 1);
	}
	encoding->given = encoding->out->capacity - encoding->out->length - 1;
	encoding->destination.next_output_byte = (JOCTET *) room;
	encoding->destination.free_in_buffer = encoding->given;
}

static boolean
take_room(j_compress_ptr compress)
{
	struct encoding *encoding = compress->client_data;

	encoding->out->length += encoding->given;
	give_room(compress);
	return TRUE;
}

static void
take_rest(j_compress_ptr compress)
{
	struct encoding *encoding = compress->client_data;

	encoding->out->length += encoding->given - encoding->destination.free_in_buffer;
	encoding->out->data[encoding->out->length] = '\0';
}

/* ---- encoding ---- */

static void
prepare(struct encoding *encoding)
{
	struct jpeg_compress_struct *compress = &encoding->compress;

	compress->err = jpeg_std_error(&encoding->errors);
	encoding->errors.error_exit = stop_encoding;
	encoding->errors.emit_message = ignore_warning;
	encoding->errors.output_message = say_nothing;
	compress->client_data = encoding;
	jpeg_create_compress(compress);
	encoding->destination.init_destination = give_room;
	encoding->destination.empty_output_buffer = take_room;
	encoding->destination.term_destination = take_rest;
	compress->dest = &encoding->destination;
}

static void
set_subsampling(struct jpeg_compress_struct *compress, enum picture_subsampling subsampling)
{
	compress->comp_info[0].h_samp_factor = subsampling == PICTURE_SUBSAMPLING_444 ? 1 : 2;
	compress->comp_info[0].v_samp_factor = subsampling == PICTURE_SUBSAMPLING_420 ? 2 : 1;
}

static void
set_parameters(struct encoding *encoding)
{
	struct jpeg_compress_struct *compress = &encoding->compress;
	bool is_grey = picture_channels(encoding->picture) == 1;

	compress->image_width = picture_columns(encoding->picture);
	compress->image_height = picture_rows(encoding->picture);
	compress->input_components = is_grey ? 1 : 3;
	compress->in_color_space = is_grey ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(compress);
	jpeg_set_quality(compress, encoding->options->quality ? encoding->options->quality : DEFAULT_QUALITY,
					 TRUE);
	if (!is_grey)
		set_subsampling(compress, encoding->options->subsampling);
	compress->raw_data_in = is_grey && picture_rows_are_padded(encoding->picture);
}

/* The last rows are filled up with the last one. */
static void
write_blocks(struct encoding *encoding)
{
	const uint8_t *rows[DCTSIZE];
	JSAMPARRAY component = (JSAMPARRAY) rows;
	uint32_t count;

	while ((count = picture_next_rows(encoding->picture, rows, DCTSIZE)) > 0)
	{
		for (; count < DCTSIZE; count++)
			rows[count] = rows[count - 1];
		jpeg_write_raw_data(&encoding->compress, &component, DCTSIZE);
	}
}

static void
write_rows(struct encoding *encoding)
{
	const uint8_t *rows[PICTURE_ROWS_AT_ONCE];
	uint32_t count;

	while ((count = picture_next_rows(encoding->picture, rows, PICTURE_ROWS_AT_ONCE)) > 0)
		jpeg_write_scanlines(&encoding->compress, (JSAMPARRAY) rows, count);
}

static enum dicom_status
encode(struct encoding *encoding)
{
	if (setjmp(encoding->stop))
		return DICOM_FAILED;
	prepare(encoding);
	set_parameters(encoding);
	jpeg_start_compress(&encoding->compress, TRUE);
	if (encoding->compress.raw_data_in)
		write_blocks(encoding);
	else
		write_rows(encoding);
	jpeg_finish_compress(&encoding->compress);
	return DICOM_OK;
}

static enum dicom_status
check(const struct picture *picture, const struct picture_options *options, struct dicom_error *error)
{
	uint32_t columns = picture_columns(picture);
	uint32_t rows = picture_rows(picture);

	if (options->quality < 0 || options->quality > 100)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "quality must be between 1 and 100");
	if (columns <= PICTURE_LONGEST_SIDE && rows <= PICTURE_LONGEST_SIDE)
		return DICOM_OK;
	dicom_fail(error, DICOM_ERROR_LIMIT, "a picture of %u x %u pixels is too large for JPEG", columns, rows);
	return dicom_hint(error, "JPEG holds %d pixels a side; --max-size makes the picture smaller",
					  PICTURE_LONGEST_SIDE);
}

enum dicom_status
picture_to_jpeg(struct picture *picture, const struct picture_options *options, struct dicom_buffer *out,
				struct dicom_error *error)
{
	struct encoding encoding = {.out = out, .error = error, .picture = picture, .options = options};
	size_t before = out->length;
	enum dicom_status status = check(picture, options, error);

	if (status != DICOM_OK)
		return status;
	status = encode(&encoding);
	if (status == DICOM_OK)
		status = picture_status(picture, error);
	if (status != DICOM_OK)
		out->length = before;
	jpeg_destroy_compress(&encoding.compress);
	return status;
}
