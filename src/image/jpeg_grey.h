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

/* True where this processor and these parameters will do: grey, whole blocks, no more than 8 bits in the quantisation table. */
extern bool jpeg_grey_can(const struct jpeg_compress_struct *compress);

/* Writes the picture by the tables and the size that `compress` has been given. MEMORY, and what the sink fails with. */
extern enum dicom_status jpeg_grey_write(const struct jpeg_compress_struct *compress, struct picture *picture,
										 const struct picture_sink *sink, struct dicom_error *error);

#endif
