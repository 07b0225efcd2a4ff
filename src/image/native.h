/*
 * native.h
 *	  Samples that are not compressed: how they are packed (PS3.5 §8.1, Annex D; PS3.3 C.7.6.3.1).
 *
 * Bits stand one behind the other, from the lowest of the first byte on, without gaps between samples, rows or frames.
 */
#ifndef IMAGE_NATIVE_H
#define IMAGE_NATIVE_H

#include "image.h"

/* Bits of one frame as it is stored. Of YBR_*_422 two pixels share their chroma; value_length decides where files say so and do not. */
extern uint64_t native_frame_bits(const struct image_pixels *pixels);

/* Brings the bytes of a whole number of samples from big endian into little endian. */
extern void native_swap(const struct image_pixels *pixels, uint8_t *bytes, size_t length);

/* Swaps the bytes of each 16-bit word. */
extern void native_swap_words(uint8_t *bytes, size_t length);

/*
 * Turns the bytes of a frame (little endian) into samples. Takes over *bytes, which comes from malloc(), and makes it longer where
 * samples take more room than they did; only planar samples need a second copy.
 */
extern enum dicom_status native_decode(const struct image_pixels *pixels, uint8_t **bytes, size_t length,
									   struct image_frame *frame, struct dicom_error *error);

#endif
