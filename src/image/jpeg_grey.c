/*
 * jpeg_grey.c
 *	  The file around the blocks, and Huffman's code: T.81, annexes B and F.1.2.
 */
#include "jpeg_grey.h"

#include <stdlib.h>
#include <string.h>

#include "jpeg_blocks.h"

#define LONGEST_BLOCK \
	224 /* bytes: 64 codes of 16 bits with 11 of a value, and those that are written in advance */
#define CODES        273 /* see code_place() */
#define END_OF_BLOCK 0x00
#define ZEROS_16     0xF0

#ifdef __x86_64__

static bool
can_write(const struct jpeg_compress_struct *compress)
{
	int i;

	for (i = 0; i < JPEG_BLOCK; i++)
		if (compress->quant_tbl_ptrs[0]->quantval[i] < 1 || compress->quant_tbl_ptrs[0]->quantval[i] > 255)
			return false;
	return compress->raw_data_in && compress->num_components == 1 && compress->restart_interval == 0 &&
		   compress->restart_in_rows == 0 && !compress->optimize_coding && !compress->arith_code &&
		   compress->scan_info == NULL && jpeg_blocks_can();
}

/* ---- markers ---- */

struct header
{
	uint8_t bytes[1024];
	size_t length;
};

static void
put_byte(struct header *header, unsigned value)
{
	header->bytes[header->length++] = (uint8_t) value;
}

static void
put_word(struct header *header, unsigned value)
{
	put_byte(header, value >> 8);
	put_byte(header, value & 0xFF);
}

static void
begin_segment(struct header *header, unsigned marker, unsigned length)
{
	put_word(header, 0xFF00 | marker);
	put_word(header, length + 2);
}

/* JFIF 1.1, of no known resolution. */
static void
put_jfif(struct header *header)
{
	static const uint8_t jfif[] = {'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0};
	size_t i;

	begin_segment(header, 0xE0, sizeof(jfif));
	for (i = 0; i < sizeof(jfif); i++)
		put_byte(header, jfif[i]);
}

static void
put_quantisation(struct header *header, const JQUANT_TBL *table)
{
	int i;

	begin_segment(header, 0xDB, 1 + JPEG_BLOCK);
	put_byte(header, 0);
	for (i = 0; i < JPEG_BLOCK; i++)
		put_byte(header, table->quantval[jpeg_zigzag[i]]);
}

static void
put_codes(struct header *header, unsigned id, const JHUFF_TBL *table)
{
	unsigned count = 0;
	unsigned i;

	for (i = 1; i <= 16; i++)
		count += table->bits[i];
	begin_segment(header, 0xC4, 17 + count);
	put_byte(header, id);
	for (i = 1; i <= 16; i++)
		put_byte(header, table->bits[i]);
	for (i = 0; i < count; i++)
		put_byte(header, table->huffval[i]);
}

/* One component, number 1, by the first table of each kind. */
static void
put_frame_and_scan(struct header *header, const struct jpeg_compress_struct *compress)
{
	begin_segment(header, 0xC0, 9);
	put_byte(header, 8);
	put_word(header, compress->image_height);
	put_word(header, compress->image_width);
	put_byte(header, 1);
	put_byte(header, 1);
	put_byte(header, 0x11);
	put_byte(header, 0);
	put_codes(header, 0x00, compress->dc_huff_tbl_ptrs[0]);
	put_codes(header, 0x10, compress->ac_huff_tbl_ptrs[0]);
	begin_segment(header, 0xDA, 6);
	put_byte(header, 1);
	put_byte(header, 1);
	put_byte(header, 0x00);
	put_byte(header, 0);
	put_byte(header, JPEG_BLOCK - 1);
	put_byte(header, 0);
}

static void
make_header(struct header *header, const struct jpeg_compress_struct *compress)
{
	header->length = 0;
	put_word(header, 0xFFD8);
	put_jfif(header);
	put_quantisation(header, compress->quant_tbl_ptrs[0]);
	put_frame_and_scan(header, compress);
}

/* ---- bits ---- */

#define INLINE static inline __attribute__((always_inline))

/* A code with room for a value behind it, and the length of both together. */
struct code
{
	uint32_t bits;
	uint32_t length;
};

struct scan
{
	struct code first[CODES]; /* of the first coefficient, by the length of its difference */
	struct code other[CODES];
	struct jpeg_quantiser quantiser;
	int last;      /* first coefficient of the block in front */
	uint64_t held; /* bits, fewer than 8 */
	unsigned count;
	uint8_t *room; /* for what a row of blocks becomes */
};

/* Codes are for a run of zeros, and the length of a value in bits: found by how many of its 32 bits lie above that. */
INLINE size_t
code_place(size_t zeros, uint32_t above)
{
	return zeros * 16 + above;
}

/* Codes are counted up within a length, and doubled for the next: T.81, C.2. */
static void
fill_codes(struct code codes[CODES], const JHUFF_TBL *table)
{
	uint32_t code = 0;
	uint32_t length;
	int next = 0;
	int i;

	memset(codes, 0, sizeof(struct code) * CODES);
	for (length = 1; length <= 16; length++, code <<= 1)
		for (i = 0; i < table->bits[length]; i++)
		{
			uint32_t value = table->huffval[next] & 15;

			codes[code_place(table->huffval[next++] >> 4, 32 - value)] =
				(struct code){code++ << value, length + value};
		}
}

/* Bits on their way. What is done with them is not left to be called: so they stay in registers. */
struct bits
{
	uint64_t held;
	unsigned count;
	uint8_t *next;
};

/* Two codes, of up to 27 bits, fit behind what a flush leaves. */
INLINE void
put_bits(struct bits *bits, uint64_t value, unsigned length)
{
	bits->held = bits->held << length | value;
	bits->count += length;
}

/* Writes 8 bytes, of which those count that are full: without a branch that nobody could foretell. Leaves fewer than 8 bits. */
INLINE void
flush_bits(struct bits *bits)
{
	uint64_t bytes = __builtin_bswap64(bits->held << (-bits->count & 63));

	memcpy(bits->next, &bytes, sizeof(bytes));
	bits->next += bits->count / 8;
	bits->count %= 8;
}

INLINE void
put_code(struct bits *bits, const struct code *code)
{
	put_bits(bits, code->bits, code->length);
}

/* The code for a value, and the value without the bits above its length; a negative one less 1. */
JPEG_BLOCKS_TARGET INLINE void
put_value(struct bits *bits, const struct code *codes, size_t zeros, uint32_t amount, uint32_t value)
{
	uint32_t above = jpeg_leading_zeros(amount);
	const struct code *code = codes + code_place(zeros, above);

	put_bits(bits, code->bits | value << (above & 31) >> (above & 31), code->length);
}

/* The next coefficient, and the zeros in front of it. */
JPEG_BLOCKS_TARGET INLINE void
put_next(const struct scan *scan, struct bits *bits, const struct jpeg_blocks *blocks, int number,
		 uint64_t *present, size_t *previous)
{
	size_t place = (unsigned) __builtin_ctzll(*present);
	size_t zeros = place - *previous - 1;
	uint8_t at = jpeg_zigzag[place];

	for (; zeros > 15; zeros -= 16)
	{
		flush_bits(bits);
		put_code(bits, &scan->other[code_place(15, 32)]);
	}
	put_value(bits, scan->other, zeros, blocks->amounts[number][at], blocks->values[number][at]);
	*previous = place;
	*present &= *present - 1;
}

JPEG_BLOCKS_TARGET INLINE void
put_difference(struct scan *scan, struct bits *bits, uint16_t amount, uint16_t value)
{
	int first = (int16_t) value < 0 ? -amount : amount;
	int difference = first - scan->last;

	scan->last = first;
	put_value(bits, scan->first, 0, (uint32_t) abs(difference), (uint32_t) (difference + (difference >> 31)));
}

/* Begins with fewer than 8 bits held, and ends so. */
JPEG_BLOCKS_TARGET INLINE void
put_block(struct scan *scan, struct bits *bits, const struct jpeg_blocks *blocks, int number)
{
	uint64_t present = blocks->present[number] & ~(uint64_t) 1;
	size_t previous = 0;

	put_difference(scan, bits, blocks->amounts[number][0], blocks->values[number][0]);
	while (present)
	{
		put_next(scan, bits, blocks, number, &present, &previous);
		flush_bits(bits);
		if (present == 0)
			break;
		put_next(scan, bits, blocks, number, &present, &previous);
	}
	if (previous < JPEG_BLOCK - 1)
		put_code(bits, &scan->other[code_place(0, 32)]);
	flush_bits(bits);
}

/* ---- the picture ---- */

/* A last block without another beside it is given one. */
static void
make_last(const struct scan *scan, const uint8_t *const rows[8], uint32_t column, struct jpeg_blocks *blocks)
{
	uint8_t pixels[8][16] = {{0}};
	const uint8_t *copied[8];
	int i;

	for (i = 0; i < 8; i++)
	{
		memcpy(pixels[i], rows[i] + column, 8);
		copied[i] = pixels[i];
	}
	jpeg_blocks_make(&scan->quantiser, copied, 0, blocks);
}

/* Returns the end of what the blocks of 8 rows have become. */
JPEG_BLOCKS_TARGET static uint8_t *
write_row(struct scan *scan, const uint8_t *const rows[8], uint32_t count)
{
	struct bits bits = {scan->held, scan->count, scan->room};
	struct jpeg_blocks blocks;
	int number;
	uint32_t i;

	for (i = 0; i < count; i += 2)
	{
		if (i + 1 < count)
			jpeg_blocks_make(&scan->quantiser, rows, i * 8, &blocks);
		else
			make_last(scan, rows, i * 8, &blocks);
		for (number = 0; number < 2 && i + (uint32_t) number < count; number++)
			put_block(scan, &bits, &blocks, number);
	}
	scan->held = bits.held;
	scan->count = bits.count;
	return bits.next;
}

/* A byte of ones is followed by one of zeros. */
static enum dicom_status
write_stuffed(const struct picture_sink *sink, const uint8_t *bytes, const uint8_t *end,
			  struct dicom_error *error)
{
	static const uint8_t zero = 0;

	while (bytes < end)
	{
		const uint8_t *ones = memchr(bytes, 0xFF, (size_t) (end - bytes));
		const uint8_t *stop = ones ? ones + 1 : end;

		if (sink->write(sink->arg, bytes, (size_t) (stop - bytes), error) != DICOM_OK ||
			(ones && sink->write(sink->arg, &zero, 1, error) != DICOM_OK))
			return DICOM_FAILED;
		bytes = stop;
	}
	return DICOM_OK;
}

/* What is held, filled up with ones, and the end of the image. */
static enum dicom_status
write_end(struct scan *scan, const struct picture_sink *sink, struct dicom_error *error)
{
	static const uint8_t end[] = {0xFF, 0xD9};
	struct bits bits = {scan->held, scan->count, scan->room};

	put_bits(&bits, 0x7F, 7);
	flush_bits(&bits);
	if (write_stuffed(sink, scan->room, bits.next, error) != DICOM_OK)
		return DICOM_FAILED;
	return sink->write(sink->arg, end, sizeof(end), error);
}

static enum dicom_status
write_scan(struct scan *scan, struct picture *picture, const struct picture_sink *sink,
		   struct dicom_error *error)
{
	uint32_t blocks = (picture_columns(picture) + 7) / 8;
	const uint8_t *rows[8];
	uint32_t count;

	while ((count = picture_next_rows(picture, rows, 8)) > 0)
	{
		for (; count < 8; count++)
			rows[count] = rows[count - 1];
		if (write_stuffed(sink, scan->room, write_row(scan, rows, blocks), error) != DICOM_OK)
			return DICOM_FAILED;
	}
	return write_end(scan, sink, error);
}

static enum dicom_status
write_picture(const struct jpeg_compress_struct *compress, struct picture *picture,
			  const struct picture_sink *sink, struct dicom_error *error)
{
	struct header header;
	struct scan scan = {.last = 0};
	enum dicom_status status;

	scan.room = malloc((picture_columns(picture) + (size_t) 15) / 8 * LONGEST_BLOCK);
	if (!scan.room)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	fill_codes(scan.first, compress->dc_huff_tbl_ptrs[0]);
	fill_codes(scan.other, compress->ac_huff_tbl_ptrs[0]);
	jpeg_quantiser_fill(&scan.quantiser, compress->quant_tbl_ptrs[0]->quantval);
	make_header(&header, compress);
	status = sink->write(sink->arg, header.bytes, header.length, error);
	if (status == DICOM_OK)
		status = write_scan(&scan, picture, sink, error);
	free(scan.room);
	return status;
}

bool
jpeg_grey_write(const struct jpeg_compress_struct *compress, struct picture *picture,
				const struct picture_sink *sink, enum dicom_status *status, struct dicom_error *error)
{
	if (!can_write(compress))
		return false;
	*status = write_picture(compress, picture, sink, error);
	return true;
}

#else

bool
jpeg_grey_write(const struct jpeg_compress_struct *compress, struct picture *picture,
				const struct picture_sink *sink, enum dicom_status *status, struct dicom_error *error)
{
	return false;
}

#endif
