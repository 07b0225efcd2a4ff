/*
 * jpeg_blocks.h
 *	  What baseline JPEG makes of blocks of 8 x 8 grey pixels before bits are made of that: cosine transform and quantisation.
 *
 * In vector instructions, two blocks at a time; the numbers are those of libjpeg's accurate integer method ("islow"). It is there for
 * x86-64 only; jpeg_blocks_can() says whether the processor has the instructions, without which nothing else here may be called.
 */
#ifndef IMAGE_JPEG_BLOCKS_H
#define IMAGE_JPEG_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define JPEG_BLOCK 64 /* coefficients */

#ifdef __x86_64__

#include <immintrin.h>

#define JPEG_BLOCKS_TARGET __attribute__((target("avx2,bmi2,lzcnt")))

/* Where in a block, row by row, each coefficient of the order of frequencies stands: T.81, figure A.6. */
extern const uint8_t jpeg_zigzag[JPEG_BLOCK];

/* What is computed once for a picture; each row twice, for two blocks. */
struct jpeg_quantiser
{
	uint16_t correction[8][16];
	uint16_t reciprocal[8][16];
	uint16_t scale[8][16];
	uint8_t order[4][4][32]; /* of 16 coefficients of that order, those among 16 that stand in a row */
};

/* Coefficients row by row: as they are written, negative ones less 1; and without their signs, nothing taken away. */
struct jpeg_blocks
{
	uint16_t values[2][JPEG_BLOCK];
	uint16_t amounts[2][JPEG_BLOCK];
	uint64_t present[2]; /* those that are not 0: bit 0 for the first in the order of frequencies */
};

/* How many of the highest bits of a number are 0; 32 where all are. */
JPEG_BLOCKS_TARGET static inline uint32_t
jpeg_leading_zeros(uint32_t number)
{
	return _lzcnt_u32(number);
}

extern bool jpeg_blocks_can(void);

/* `table` is the quantisation table, row by row, of numbers from 1 to 255. */
extern void jpeg_quantiser_fill(struct jpeg_quantiser *quantiser, const uint16_t table[JPEG_BLOCK]);

/* Two blocks side by side: 16 pixels of each of the rows, from column on. */
extern void jpeg_blocks_make(const struct jpeg_quantiser *quantiser, const uint8_t *const rows[8],
							 uint32_t column, struct jpeg_blocks *blocks);

#endif /* __x86_64__ */

#endif
