/*
 * jpeg_baseline.h
 *	  8-bit lossy JPEG through libjpeg-turbo.
 */
#ifndef IMAGE_JPEG_BASELINE_H
#define IMAGE_JPEG_BASELINE_H

#include "image.h"

/* Fills the samples of a frame whose size is known to be the codestream's. Colours stay as they are stored. */
extern enum dicom_status jpeg_baseline_decode(const uint8_t *bytes, size_t length, struct image_frame *frame,
											  struct dicom_error *error);

#endif
