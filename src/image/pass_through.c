/*
 * pass_through.c
 *	  Frames that are the picture already: baseline JPEG (ISO 10918-1), looked through marker by marker without decoding it.
 *
 * What a reader needs must be there, and nothing beyond baseline: one frame header, tables in front of the scans that use them,
 * scans for all components, the end. Segments that anybody may fill with anything are left out on the way.
 */
#include <string.h>

#include "jpeg_header.h"
#include "picture_internal.h"

#define SOF0  0xC0
#define DHT   0xC4
#define RST0  0xD0
#define RST7  0xD7
#define SOI   0xD8
#define EOI   0xD9
#define SOS   0xDA
#define DQT   0xDB
#define DRI   0xDD
#define APP0  0xE0
#define APP14 0xEE
#define APP15 0xEF
#define COM   0xFE

#define JFIF_LENGTH  14 /* without a thumbnail */
#define ADOBE_LENGTH 12

struct stream
{
	const uint8_t *bytes;
	size_t length;
	size_t place;
	struct dicom_buffer *out;

	uint8_t components;
	uint8_t ids[3];
	uint8_t quantization[3]; /* tables of the components */
	unsigned tables;         /* quantization tables defined, as bits */
	unsigned dc, ac;         /* Huffman tables defined, as bits */
	unsigned scanned;        /* components that a scan holds, as bits */
	bool has_ended;
};

/* ---- segments: what stands between the length and the next marker ---- */

/* Tables of 8 bits, numbered from 0 to 3. */
static bool
read_quantization(struct stream *stream, const uint8_t *bytes, size_t length)
{
	for (; length >= 65; bytes += 65, length -= 65)
	{
		if (bytes[0] > 3)
			return false;
		stream->tables |= 1U << bytes[0];
	}
	return length == 0;
}

/* Tables of class 0 or 1, numbered 0 and 1 in baseline. */
static bool
read_huffman(struct stream *stream, const uint8_t *bytes, size_t length)
{
	while (length >= 17)
	{
		size_t codes = 0;
		int i;

		for (i = 1; i <= 16; i++)
			codes += bytes[i];
		if ((bytes[0] & ~0x11U) || codes < 1 || codes > 256 || codes > length - 17)
			return false;
		*(bytes[0] & 0x10 ? &stream->ac : &stream->dc) |= 1U << (bytes[0] & 1);
		bytes += 17 + codes;
		length -= 17 + codes;
	}
	return length == 0;
}

static bool
read_frame(struct stream *stream, const uint8_t *bytes, size_t length)
{
	unsigned blocks = 0;
	int i;

	if (stream->components > 0 || length < 6 || bytes[0] != 8 || (bytes[5] != 1 && bytes[5] != 3) ||
		length != 6 + 3 * (size_t) bytes[5])
		return false;
	stream->components = bytes[5];
	for (i = 0; i < stream->components; i++)
	{
		unsigned horizontal = bytes[7 + 3 * i] >> 4;
		unsigned vertical = bytes[7 + 3 * i] & 15;

		stream->ids[i] = bytes[6 + 3 * i];
		stream->quantization[i] = bytes[8 + 3 * i];
		if (horizontal < 1 || horizontal > 4 || vertical < 1 || vertical > 4 || stream->quantization[i] > 3)
			return false;
		blocks += horizontal * vertical;
	}
	return blocks <= 10;
}

/* The component that a scan names, with the tables it names; -1 where something is missing. */
static int
scanned_component(const struct stream *stream, const uint8_t *bytes)
{
	int i;

	for (i = 0; i < stream->components; i++)
		if (stream->ids[i] == bytes[0] && !(stream->scanned >> i & 1) && !(bytes[1] & ~0x11U) &&
			stream->tables >> stream->quantization[i] & 1 && stream->dc >> (bytes[1] >> 4) & 1 &&
			stream->ac >> (bytes[1] & 1) & 1)
			return i;
	return -1;
}

static bool
read_scan(struct stream *stream, const uint8_t *bytes, size_t length)
{
	int i;

	if (length < 1 || bytes[0] < 1 || bytes[0] > stream->components || length != 4 + 2 * (size_t) bytes[0])
		return false;
	for (i = 0; i < bytes[0]; i++)
	{
		int component = scanned_component(stream, bytes + 1 + (ptrdiff_t) 2 * i);

		if (component < 0)
			return false;
		stream->scanned |= 1U << component;
	}
	bytes += length - 3;
	return bytes[0] == 0 && bytes[1] == 63 && bytes[2] == 0;
}

/* JFIF without a picture in it, and Adobe's, which tells the colour space; nothing else. */
static bool
is_kept(uint8_t marker, const uint8_t *bytes, size_t length)
{
	if (marker == APP0)
		return length == JFIF_LENGTH && memcmp(bytes, "JFIF", 5) == 0 && bytes[12] == 0 && bytes[13] == 0;
	if (marker == APP14)
		return length == ADOBE_LENGTH && memcmp(bytes, "Adobe", 5) == 0;
	return marker != COM && (marker < APP0 || marker > APP15);
}

static bool
read_segment(struct stream *stream, uint8_t marker, const uint8_t *bytes, size_t length)
{
	switch (marker)
	{
		case SOF0:
			return read_frame(stream, bytes, length);
		case DHT:
			return read_huffman(stream, bytes, length);
		case DQT:
			return read_quantization(stream, bytes, length);
		case DRI:
			return length == 2;
		case SOS:
			return read_scan(stream, bytes, length);
		default:
			return marker == COM || (marker >= APP0 && marker <= APP15);
	}
}

/* ---- the stream ---- */

/* Copies up to `end`. */
static void
copy_to(struct stream *stream, size_t end)
{
	dicom_buffer_append(stream->out, stream->bytes + stream->place, end - stream->place);
	stream->place = end;
}

/* Where the entropy-coded bytes end: at a marker that is no restart. */
static size_t
end_of_scan(const struct stream *stream)
{
	size_t place = stream->place;

	while (place + 1 < stream->length)
	{
		const uint8_t *found = memchr(stream->bytes + place, 0xFF, stream->length - 1 - place);
		uint8_t next;

		if (!found)
			break;
		next = found[1];
		place = (size_t) (found - stream->bytes);
		if (next != 0 && next != 0xFF && (next < RST0 || next > RST7))
			return place;
		place += next == 0xFF ? 1 : 2;
	}
	return stream->length;
}

/* One marker and what belongs to it; false where this is no stream to pass through. */
static bool
step(struct stream *stream)
{
	const uint8_t *bytes = stream->bytes + stream->place;
	size_t left = stream->length - stream->place;
	uint8_t marker;
	size_t length;

	if (left < 2 || bytes[0] != 0xFF)
		return false;
	marker = bytes[1];
	if (marker == EOI)
	{
		copy_to(stream, stream->place + 2);
		stream->has_ended = true;
		return stream->components > 0 && stream->scanned == (1U << stream->components) - 1;
	}
	if (left < 4 || (length = (size_t) bytes[2] << 8 | bytes[3]) < 2 || length + 2 > left ||
		!read_segment(stream, marker, bytes + 4, length - 2))
		return false;
	if (is_kept(marker, bytes + 4, length - 2))
		copy_to(stream, stream->place + 2 + length);
	else
		stream->place += 2 + length;
	if (marker == SOS)
		copy_to(stream, end_of_scan(stream));
	return true;
}

/* Zeros behind the end stay, as DICOM pads with them; other bytes go, with the zeros among them. */
static bool
copy_stream(struct stream *stream)
{
	size_t end;

	if (stream->length < 2 || stream->bytes[0] != 0xFF || stream->bytes[1] != SOI)
		return false;
	copy_to(stream, 2);
	while (!stream->has_ended)
		if (!step(stream))
			return false;
	end = stream->length;
	while (end > stream->place && stream->bytes[end - 1] == 0)
		end--;
	if (end == stream->place)
		copy_to(stream, stream->length);
	return !stream->out->failed;
}

/* ---- whether it is the picture ---- */

/* How readers of JPEG files take three components: as libjpeg does. */
static bool
reader_sees_ybr(const struct jpeg_header *header)
{
	if (header->has_jfif)
		return true;
	if (header->has_adobe)
		return header->adobe_transform != 0;
	return memcmp(header->ids, "RGB", 3) != 0;
}

/* Of `copy`, in which only what readers go by is left, and of the frame as we would decode it. */
static bool
has_same_colours(const struct image_pixels *pixels, const uint8_t *bytes, size_t length, const uint8_t *copy,
				 size_t copy_length)
{
	bool said_ybr = pixels->photometric >= IMAGE_YBR_FULL && pixels->photometric <= IMAGE_YBR_RCT;
	struct jpeg_header decoded;
	struct jpeg_header seen;

	if (!jpeg_header_read(bytes, length, &decoded) || !jpeg_header_read(copy, copy_length, &seen) ||
		seen.columns != pixels->columns || seen.rows != pixels->rows ||
		seen.components != pixels->samples_per_pixel)
		return false;
	return seen.components == 1 || jpeg_header_is_ybr(&decoded, said_ybr) == reader_sees_ybr(&seen);
}

/* True where 8 bits of grey stay what they are. */
static bool
grey_stays(const struct picture_rules *rules, const struct image_pixels *pixels, uint32_t frame_number,
		   const struct picture_options *options)
{
	struct image_frame frame = {.columns = pixels->columns,
								.rows = pixels->rows,
								.samples_per_pixel = 1,
								.sample_bytes = 1,
								.bits_stored = 8,
								.high_bit = 7,
								.is_signed = pixels->is_signed};
	struct grey grey;
	bool stays;

	if (options->window == PICTURE_WINDOW_PIXELS ||
		grey_open(rules, &frame, frame_number, options, &grey, NULL) != DICOM_OK)
		return false;
	stays = grey.way == GREY_COPY;
	grey_close(&grey);
	return stays;
}

static bool
values_stay(const struct picture_rules *rules, const struct image_pixels *pixels, uint32_t frame_number,
			const struct picture_options *options)
{
	uint32_t columns;
	uint32_t rows;

	scaled_size(pixels->columns, pixels->rows, options->max_size, &columns, &rows);
	if (pixels->codec != IMAGE_CODEC_JPEG || pixels->sample != IMAGE_SAMPLE_INTEGER ||
		pixels->bits_allocated != 8 || pixels->bits_stored != 8 || columns != pixels->columns ||
		rows != pixels->rows)
		return false;
	if (pixels->samples_per_pixel == 3)
		return pixels->photometric != IMAGE_YBR_PARTIAL_422 && pixels->photometric != IMAGE_YBR_PARTIAL_420;
	return pixels->samples_per_pixel == 1 && pixels->photometric != IMAGE_PALETTE_COLOR &&
		   grey_stays(rules, pixels, frame_number, options);
}

bool
picture_pass_through(const struct picture_rules *rules, const struct image_pixels *pixels,
					 uint32_t frame_number, const uint8_t *bytes, size_t length,
					 const struct picture_options *options, struct dicom_buffer *out)
{
	struct stream stream = {.bytes = bytes, .length = length, .out = out};
	size_t before = out->length;

	if (options->no_pass_through || !values_stay(rules, pixels, frame_number, options))
		return false;
	if (copy_stream(&stream) &&
		has_same_colours(pixels, bytes, length, (const uint8_t *) out->data + before, out->length - before))
		return true;
	out->length = before;
	if (out->data)
		out->data[before] = '\0';
	return false;
}
