/*
 * jpeg_header.h
 *	  What the markers of a JPEG or JPEG-LS stream say (ISO 10918-1 Annex B, ISO 14495-1 Annex C), without decoding it.
 */
#ifndef IMAGE_JPEG_HEADER_H
#define IMAGE_JPEG_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jpeg_header
{
	uint8_t
		process; /* of the frame header: 0xC0 baseline, C1 extended, C2 progressive, C3 lossless, ..., F7 JPEG-LS */
	uint8_t precision;
	uint16_t columns, rows; /* rows may be 0: said behind the first scan */
	uint8_t components;
	uint8_t ids[4];
	uint8_t horizontal[4], vertical[4]; /* sampling factors */
	bool has_jfif;
	bool has_adobe;
	uint8_t adobe_transform; /* 0: as it is, 1: YCbCr, 2: YCCK */
	size_t offset;           /* of the start of image: bytes in front of it are passed over */
};

/* False where no frame header with one to four components is found in front of the first scan. */
extern bool jpeg_header_read(const uint8_t *bytes, size_t length, struct jpeg_header *header);

/* True where the components of a lossy frame of three are YCbCr, as far as the markers tell; `otherwise` where they do not. */
extern bool jpeg_header_is_ybr(const struct jpeg_header *header, bool otherwise);

#endif
