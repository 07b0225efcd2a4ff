/*
 * inflate.h
 *	  What tells how a deflated data set is wrapped (PS3.5 A.5), for whoever inflates more of it than the parser does.
 */
#ifndef DICOM_INFLATE_H
#define DICOM_INFLATE_H

#include <stdint.h>

/* zlib's windowBits for a stream whose first five bytes are these: raw, as it should be, or with a zlib or gzip header. */
extern int dicom_inflate_window_bits(const uint8_t *bytes);

#endif
