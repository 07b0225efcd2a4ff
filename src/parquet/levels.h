/*
 * levels.h
 *	  The hybrid of run lengths and bit packing that Parquet uses for levels and for indices into a dictionary.
 */
#ifndef PARQUET_LEVELS_H
#define PARQUET_LEVELS_H

#include "../dicom/buffer.h"

#include <stdint.h>

/* How many bits the values 0 to `largest` take. */
extern int bits_for(uint32_t largest);

/* Appends `count` values of `width` bits, 0 to 32. */
extern void levels_encode(struct dicom_buffer *out, const uint32_t *values, uint32_t count, int width);

struct levels_decoder
{
	const uint8_t *next;
	const uint8_t *end;
	int width;
	uint32_t repeats;  /* left of a run */
	uint32_t repeated; /* its value */
	uint64_t packed;   /* values left in a bit-packed stretch */
	uint64_t bits;     /* read and not used yet */
	int bit_count;
};

extern void levels_decoder_init(struct levels_decoder *decoder, const uint8_t *bytes, size_t length,
								int width);

/* False where the bytes end or make no sense. */
extern bool levels_decode(struct levels_decoder *decoder, uint32_t *value);

#endif
