/*
 * jpeg_blocks.c
 *	  Two blocks at a time: a register holds a row of both, one in each half.
 *
 * The transform is that of Loeffler, Ligtenberg and Moschytz (ICASSP 1989), first of rows, then of columns, in integers of 13 binary digits
 * behind the point, of which 2 are kept in between; its outcome is 8 times the coefficients. Every sum of two products is
 * written as the pair of factors that the instruction for it takes.
 */
#include "jpeg_blocks.h"

#ifdef __x86_64__

#include <cpuid.h>

/* Loops of fixed length are unrolled, so that registers hold what they work on. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

const uint8_t jpeg_zigzag[JPEG_BLOCK] = {
	0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
	41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
	30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

#define LZCNT_BIT (1U << 5) /* of leaf 0x80000001, ECX */

static bool
has_instructions(void)
{
	unsigned a;
	unsigned b;
	unsigned c = 0;
	unsigned d;

	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
		   __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & LZCNT_BIT);
}

/* Asked once: a virtual machine takes its time to answer. */
bool
jpeg_blocks_can(void)
{
	static enum { UNKNOWN, NO, YES } answer;

	if (answer == UNKNOWN)
		answer = has_instructions() ? YES : NO;
	return answer == YES;
}

/* ---- tables ---- */

/*
 * (n + correction) x reciprocal >> 16, x scale >> 16, is n / divisor, rounded, exactly so for every n of 16 bits (T. Granlund and
 * P. Montgomery, PLDI 1994).
 */
static void
fill_divisor(struct jpeg_quantiser *quantiser, int row, int column, uint32_t divisor)
{
	uint32_t digits = 16 + (31 - (uint32_t) __builtin_clz(divisor));
	uint32_t reciprocal = (uint32_t) (((uint64_t) 1 << digits) / divisor);
	uint32_t rest = (uint32_t) (((uint64_t) 1 << digits) % divisor);
	uint32_t correction = divisor / 2;
	int half;

	if (rest == 0)
	{
		reciprocal /= 2;
		digits--;
	}
	else if (rest <= divisor / 2)
		correction++;
	else
		reciprocal++;
	for (half = 0; half < 16; half += 8)
	{
		quantiser->correction[row][half + column] = (uint16_t) correction;
		quantiser->reciprocal[row][half + column] = (uint16_t) reciprocal;
		quantiser->scale[row][half + column] = (uint16_t) (1U << (32 - digits));
	}
}

void
jpeg_quantiser_fill(struct jpeg_quantiser *quantiser, const uint16_t table[JPEG_BLOCK])
{
	int from;
	int i;

	for (i = 0; i < JPEG_BLOCK; i++)
		fill_divisor(quantiser, i / 8, i % 8, (uint32_t) table[i] * 8);
	for (from = 0; from < 4; from++)
		for (i = 0; i < JPEG_BLOCK; i++)
		{
			uint8_t *order = quantiser->order[i / 16][from];
			uint8_t place = jpeg_zigzag[i] / 16 == from ? jpeg_zigzag[i] % 16 : 0x80;

			order[i % 16] = order[16 + i % 16] = place;
		}
}

/* ---- the transform ---- */

#define DIGITS   13
#define KEPT     2
#define FIXED(x) ((int) ((x) * (1 << DIGITS) + ((x) < 0 ? -0.5 : 0.5)))

/* Rows become columns, in each half. */
JPEG_BLOCKS_TARGET static inline void
transpose(__m256i r[8])
{
	__m256i pairs[8];
	__m256i fours[8];
	int i;

	for (i = 0; i < 8; i += 2)
	{
		pairs[i] = _mm256_unpacklo_epi16(r[i], r[i + 1]);
		pairs[i + 1] = _mm256_unpackhi_epi16(r[i], r[i + 1]);
	}
	for (i = 0; i < 8; i += 4)
	{
		fours[i] = _mm256_unpacklo_epi32(pairs[i], pairs[i + 2]);
		fours[i + 1] = _mm256_unpackhi_epi32(pairs[i], pairs[i + 2]);
		fours[i + 2] = _mm256_unpacklo_epi32(pairs[i + 1], pairs[i + 3]);
		fours[i + 3] = _mm256_unpackhi_epi32(pairs[i + 1], pairs[i + 3]);
	}
	for (i = 0; i < 4; i++)
	{
		r[2 * i] = _mm256_unpacklo_epi64(fours[i], fours[i + 4]);
		r[2 * i + 1] = _mm256_unpackhi_epi64(fours[i], fours[i + 4]);
	}
}

/* Numbers of 32 bits: those of the lower and of the upper four columns of each half. */
struct wide
{
	__m256i low, high;
};

/* a x a_factor + b x b_factor */
JPEG_BLOCKS_TARGET static inline struct wide
combine(__m256i a, int a_factor, __m256i b, int b_factor)
{
	__m256i factors = _mm256_set1_epi32((int) ((uint32_t) b_factor << 16 | ((uint32_t) a_factor & 0xFFFF)));

	return (struct wide){_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), factors),
						 _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), factors)};
}

JPEG_BLOCKS_TARGET static inline struct wide
add(struct wide a, struct wide b)
{
	return (struct wide){_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}

/* Back to 16 bits, with so many digits less; half of the last one's weight has been added. */
JPEG_BLOCKS_TARGET static inline __m256i
narrow(struct wide a, int digits)
{
	return _mm256_packs_epi32(_mm256_srai_epi32(a.low, digits), _mm256_srai_epi32(a.high, digits));
}

/* Frequencies 2 and 6 of the sums, 1, 3, 5 and 7 of the differences. */
JPEG_BLOCKS_TARGET static inline void
transform_sums(__m256i outer, __m256i inner, struct wide half, int digits, __m256i r[8])
{
	r[2] =
		narrow(add(half, combine(outer, FIXED(0.541196100) + FIXED(0.765366865), inner, FIXED(0.541196100))),
			   digits);
	r[6] =
		narrow(add(half, combine(outer, FIXED(0.541196100), inner, FIXED(0.541196100) - FIXED(1.847759065))),
			   digits);
}

JPEG_BLOCKS_TARGET static inline void
transform_differences(const __m256i d[4], struct wide half, int digits, __m256i r[8])
{
	__m256i even = _mm256_add_epi16(d[3], d[1]);
	__m256i odd = _mm256_add_epi16(d[2], d[0]);
	struct wide z3 =
		add(half, combine(even, FIXED(1.175875602) - FIXED(1.961570560), odd, FIXED(1.175875602)));
	struct wide z4 =
		add(half, combine(even, FIXED(1.175875602), odd, FIXED(1.175875602) - FIXED(0.390180644)));

	r[7] = narrow(add(z3, combine(d[3], FIXED(0.298631336) - FIXED(0.899976223), d[0], -FIXED(0.899976223))),
				  digits);
	r[5] = narrow(add(z4, combine(d[2], FIXED(2.053119869) - FIXED(2.562915447), d[1], -FIXED(2.562915447))),
				  digits);
	r[3] = narrow(add(z3, combine(d[2], -FIXED(2.562915447), d[1], FIXED(3.072711026) - FIXED(2.562915447))),
				  digits);
	r[1] = narrow(add(z4, combine(d[3], -FIXED(0.899976223), d[0], FIXED(1.501321110) - FIXED(0.899976223))),
				  digits);
}

/* From register to register; the first pass keeps some digits, the second drops them. */
JPEG_BLOCKS_TARGET static inline void
transform(__m256i r[8], bool is_first)
{
	int digits = is_first ? DIGITS - KEPT : DIGITS + KEPT;
	__m256i rounding = _mm256_set1_epi32(1 << (digits - 1));
	struct wide half = {rounding, rounding};
	__m256i sums[4];
	__m256i differences[4];
	__m256i both;
	__m256i apart;
	int i;

	for (i = 0; i < 4; i++)
	{
		sums[i] = _mm256_add_epi16(r[i], r[7 - i]);
		differences[i] = _mm256_sub_epi16(r[i], r[7 - i]);
	}
	both = _mm256_add_epi16(sums[0], sums[3]);
	apart = _mm256_add_epi16(sums[1], sums[2]);
	r[0] = _mm256_add_epi16(both, apart);
	r[4] = _mm256_sub_epi16(both, apart);
	for (i = 0; i < 8; i += 4)
		r[i] = is_first ? _mm256_slli_epi16(r[i], KEPT)
						: _mm256_srai_epi16(_mm256_add_epi16(r[i], _mm256_set1_epi16(1 << (KEPT - 1))), KEPT);
	transform_sums(_mm256_sub_epi16(sums[0], sums[3]), _mm256_sub_epi16(sums[1], sums[2]), half, digits, r);
	transform_differences(differences, half, digits, r);
}

/* ---- quantisation ---- */

JPEG_BLOCKS_TARGET static inline __m256i
load(const void *from)
{
	return _mm256_loadu_si256((const __m256i *) from);
}

/* Stores both halves of a row. */
JPEG_BLOCKS_TARGET static inline void
store(void *first, void *second, __m256i row)
{
	_mm_storeu_si128((__m128i *) first, _mm256_castsi256_si128(row));
	_mm_storeu_si128((__m128i *) second, _mm256_extracti128_si256(row, 1));
}

/* Leaves the amounts in the registers. */
JPEG_BLOCKS_TARGET static inline void
quantise(const struct jpeg_quantiser *quantiser, __m256i r[8], struct jpeg_blocks *blocks)
{
	int i;

	for (i = 0; i < 8; i++)
	{
		__m256i amount = _mm256_add_epi16(_mm256_abs_epi16(r[i]), load(quantiser->correction[i]));
		__m256i value;

		amount = _mm256_mulhi_epu16(amount, load(quantiser->reciprocal[i]));
		amount = _mm256_mulhi_epu16(amount, load(quantiser->scale[i]));
		value = _mm256_sign_epi16(amount, r[i]);
		value = _mm256_add_epi16(value, _mm256_srai_epi16(value, 15));
		store(blocks->amounts[0] + 8 * i, blocks->amounts[1] + 8 * i, amount);
		store(blocks->values[0] + 8 * i, blocks->values[1] + 8 * i, value);
		r[i] = amount;
	}
}

/* What is not 0, put in order as bytes. */
JPEG_BLOCKS_TARGET static inline void
find_present(const struct jpeg_quantiser *quantiser, const __m256i r[8], uint64_t present[2])
{
	__m256i rows[4];
	int from;
	int i;

	for (i = 0; i < 4; i++)
		rows[i] = _mm256_packs_epi16(r[2 * i], r[2 * i + 1]);
	present[0] = present[1] = 0;
	for (i = 0; i < 4; i++)
	{
		__m256i ordered = _mm256_setzero_si256();
		uint32_t bits;

		for (from = 0; from < 4; from++)
			ordered =
				_mm256_or_si256(ordered, _mm256_shuffle_epi8(rows[from], load(quantiser->order[i][from])));
		bits = ~(uint32_t) _mm256_movemask_epi8(_mm256_cmpeq_epi8(ordered, _mm256_setzero_si256()));
		present[0] |= (uint64_t) (bits & 0xFFFF) << 16 * i;
		present[1] |= (uint64_t) (bits >> 16) << 16 * i;
	}
}

JPEG_BLOCKS_TARGET void
jpeg_blocks_make(const struct jpeg_quantiser *quantiser, const uint8_t *const rows[8], uint32_t column,
				 struct jpeg_blocks *blocks)
{
	__m256i r[8];
	int i;

	for (i = 0; i < 8; i++)
	{
		__m128i pixels = _mm_loadu_si128((const __m128i *) (rows[i] + column));

		r[i] = _mm256_sub_epi16(_mm256_cvtepu8_epi16(pixels), _mm256_set1_epi16(128));
	}
	transpose(r);
	transform(r, true);
	transpose(r);
	transform(r, false);
	quantise(quantiser, r, blocks);
	find_present(quantiser, r, blocks->present);
}

#endif
