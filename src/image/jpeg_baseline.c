/*
 * jpeg_baseline.c
 *	  libjpeg-turbo, told to leave colours as they are.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "codec.h"
#include "jpeg_baseline.h"

/* More scans than this nobody needs, and each costs the whole frame's time. */
#define MAX_SCANS 500

#define ROWS_AT_ONCE 16

struct decoding
{
	struct jpeg_decompress_struct decompress;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
	jmp_buf stop;
	char message[JMSG_LENGTH_MAX];
	bool is_cut; /* bits were missing in front of the last rows */
};

/* ---- what libjpeg calls ---- */

static void
stop_decoding(j_common_ptr common)
{
	struct decoding *decoding = common->client_data;

	common->err->format_message(common, decoding->message);
	longjmp(decoding->stop, 1);
}

/* A stream that ends inside its last rows is let pass. */
static void
note_warning(j_common_ptr common, int level)
{
	struct decoding *decoding = common->client_data;
	const struct jpeg_decompress_struct *decompress = &decoding->decompress;

	if (level < 0 && common->err->msg_code == JWRN_HIT_MARKER &&
		decompress->output_scanline + 2 * DCTSIZE * (JDIMENSION) decompress->max_v_samp_factor <
			decompress->output_height)
		decoding->is_cut = true;
}

static void
print_nothing(j_common_ptr common)
{
}

static void
begin_source(j_decompress_ptr decompress)
{
}

/* All bytes were given at the beginning: behind them is the end of the image. */
static boolean
end_source(j_decompress_ptr decompress)
{
	static const JOCTET end[] = {0xFF, JPEG_EOI};

	decompress->src->next_input_byte = end;
	decompress->src->bytes_in_buffer = sizeof(end);
	return TRUE;
}

static void
skip_source(j_decompress_ptr decompress, long count)
{
	struct jpeg_source_mgr *source = decompress->src;

	if (count <= 0)
		return;
	if ((size_t) count >= source->bytes_in_buffer)
	{
		end_source(decompress);
		return;
	}
	source->next_input_byte += count;
	source->bytes_in_buffer -= (size_t) count;
}

static void
close_source(j_decompress_ptr decompress)
{
}

static void
limit_scans(j_common_ptr common)
{
	struct decoding *decoding = common->client_data;

	if (decoding->decompress.input_scan_number <= MAX_SCANS)
		return;
	snprintf(decoding->message, sizeof(decoding->message), "more than %d scans", MAX_SCANS);
	longjmp(decoding->stop, 1);
}

/* ---- decoding ---- */

static void
prepare(struct decoding *decoding, const uint8_t *bytes, size_t length)
{
	decoding->decompress.err = jpeg_std_error(&decoding->errors);
	decoding->errors.error_exit = stop_decoding;
	decoding->errors.emit_message = note_warning;
	decoding->errors.output_message = print_nothing;
	decoding->decompress.client_data = decoding;
	jpeg_create_decompress(&decoding->decompress);
	decoding->source.init_source = begin_source;
	decoding->source.fill_input_buffer = end_source;
	decoding->source.skip_input_data = skip_source;
	decoding->source.resync_to_restart = jpeg_resync_to_restart;
	decoding->source.term_source = close_source;
	decoding->source.next_input_byte = bytes;
	decoding->source.bytes_in_buffer = length;
	decoding->decompress.src = &decoding->source;
	decoding->progress.progress_monitor = limit_scans;
	decoding->decompress.progress = &decoding->progress;
}

static bool
begin(struct decoding *decoding, const struct image_frame *frame)
{
	struct jpeg_decompress_struct *decompress = &decoding->decompress;

	jpeg_read_header(decompress, TRUE);
	decompress->out_color_space = decompress->jpeg_color_space;
	decompress->dct_method = JDCT_ISLOW;
	jpeg_start_decompress(decompress);
	return decompress->output_width == frame->columns && decompress->output_height == frame->rows &&
		   decompress->output_components == (int) frame->samples_per_pixel;
}

static void
read_rows(struct decoding *decoding, struct image_frame *frame)
{
	struct jpeg_decompress_struct *decompress = &decoding->decompress;
	size_t row_bytes = (size_t) frame->columns * frame->samples_per_pixel;

	while (decompress->output_scanline < decompress->output_height)
	{
		uint8_t *place = frame->samples + decompress->output_scanline * row_bytes;
		JSAMPROW rows[ROWS_AT_ONCE];
		JDIMENSION left = decompress->output_height - decompress->output_scanline;
		JDIMENSION i;

		for (i = 0; i < ROWS_AT_ONCE && i < left; i++)
			rows[i] = place + i * row_bytes;
		jpeg_read_scanlines(decompress, rows, i);
	}
}

static enum dicom_status
decode(struct decoding *decoding, const uint8_t *bytes, size_t length, struct image_frame *frame,
	   struct dicom_error *error)
{
	if (setjmp(decoding->stop))
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG: %s", decoding->message);
	prepare(decoding, bytes, length);
	if (!begin(decoding, frame))
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG: the size changes inside the stream");
	read_rows(decoding, frame);
	if (decoding->is_cut)
		return codec_fail(error, DICOM_TAG_PIXEL_DATA, "JPEG: the stream ends too early");
	codec_widen(frame, 1);
	return DICOM_OK;
}

enum dicom_status
jpeg_baseline_decode(const uint8_t *bytes, size_t length, struct image_frame *frame,
					 struct dicom_error *error)
{
	struct decoding *decoding = calloc(1, sizeof(*decoding));
	enum dicom_status status;

	if (!decoding)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	status = decode(decoding, bytes, length, frame, error);
	jpeg_destroy_decompress(&decoding->decompress);
	free(decoding);
	return status;
}
