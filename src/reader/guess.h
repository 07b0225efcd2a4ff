/*
 * guess.h
 *	  How long the first range of a header should be, learnt from the headers before it.
 *
 * Kept is a histogram of the bytes that headers needed, in steps of an eighth of a power of two; old headers fade as new ones come. The guess
 * is what nearly all of them would have been content with.
 */
#ifndef GUESS_H
#define GUESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUESS_STEPS 112 /* 1 KiB << 14 = 16 MiB, in eighths of a power of two */

struct guess
{
	bool remote;
	size_t fixed; /* 0: learn */
	uint32_t counts[GUESS_STEPS];
	uint32_t total;
	size_t current; /* 0: to be worked out anew */
};

extern void guess_initialize(struct guess *guess, bool remote, size_t fixed);

/* A header was read to its end, and needed this many bytes from the start of its object. */
extern void guess_learn(struct guess *guess, uint64_t bytes);

/* How much to ask for first, of an object of this size (STORE_SIZE_UNKNOWN: of any size). */
extern size_t guess_first(struct guess *guess, uint64_t size);

/*
 * How much to ask for where a parser needs `needed` bytes at `offset`, so that it need not ask again soon; it has asked
 * `asked` times for more of this object already.
 */
extern size_t guess_more(const struct guess *guess, uint64_t size, uint64_t offset, size_t needed, int asked);

#endif
