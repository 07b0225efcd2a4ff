/*
 * jpeg_grey.h
 *	  Grey pictures as baseline JPEG, without libjpeg's way through every block.
 *
 * libjpeg computes its tables; what is made of them here is the file that it would write, byte for byte, in less time.
 */
#ifndef IMAGE_JPEG_GREY_H
#define IMAGE_JPEG_GREY_H

#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

#include "picture_internal.h"

/*
 * Writes the picture by the tables and the size that `compress` has been given. False, with nothing done, where this processor or these
 * parameters are not for that: grey, whole blocks, numbers of 8 bits in the quantisation table, and none of JPEG's rarer ways. Else
 * *status says what came of it: MEMORY, and what the sink fails with.
 */
extern bool jpeg_grey_write(const struct jpeg_compress_struct *compress, struct picture *picture,
							const struct picture_sink *sink, enum dicom_status *status,
							struct dicom_error *error);

#endif
