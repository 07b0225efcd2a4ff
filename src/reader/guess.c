/*
 * guess.c
 *	  How long the first range of a header should be.
 */
#include "guess.h"

#include <string.h>

#include "../store/store.h"

#define KIB ((size_t) 1024)
#define MIB (1024 * KIB)

/*
 * A round trip costs as much as a few hundred KiB, so a remote guess is generous, and a small file comes whole. Of a large file less than
 * 2 % shall be read, which is what it takes for headers alone; one more request does not matter there.
 */
#define REMOTE_START   (128 * KIB)
#define REMOTE_LEAST   (64 * KIB)
#define REMOTE_MOST    MIB
#define REMOTE_WHOLE   (256 * KIB)
#define REMOTE_MORE    (64 * KIB)
#define REMOTE_LARGE   (8 * MIB)
#define LARGE_SHARE    64 /* of a large file, at most one part in so many at first */
#define REMOTE_CONTENT 97 /* per cent of headers that the guess suffices for */

/* A local read costs as much as copying some 10 KiB. */
#define LOCAL_START   (32 * KIB)
#define LOCAL_LEAST   (4 * KIB)
#define LOCAL_MOST    (256 * KIB)
#define LOCAL_MORE    (16 * KIB)
#define LOCAL_CONTENT 98

#define MOST_DOUBLINGS 6   /* of further ranges: a header of megabytes comes in a handful of them */
#define LEAST_KNOWN    16  /* headers before anything is concluded */
#define FADE_AT        512 /* headers counted until all counts are halved */
#define LEARN_EVERY    16  /* headers between two conclusions */

void
guess_initialize(struct guess *guess, bool remote, size_t fixed)
{
	memset(guess, 0, sizeof(*guess));
	guess->remote = remote;
	guess->fixed = fixed;
	guess->current = remote ? REMOTE_START : LOCAL_START;
}

/* The step that a number of bytes falls into, and the most bytes that fall into a step. */
static int
step_of(uint64_t bytes)
{
	int power;

	if (bytes <= KIB)
		return 0;
	power = 63 - __builtin_clzll(bytes - 1);
	return (power - 10) * 8 + (int) ((bytes - 1) >> (power - 3) & 7);
}

static size_t
most_of(int step)
{
	return (KIB << (step / 8)) / 8 * (size_t) (9 + step % 8);
}

static void
fade(struct guess *guess)
{
	int i;

	guess->total = 0;
	for (i = 0; i < GUESS_STEPS; i++)
	{
		guess->counts[i] /= 2;
		guess->total += guess->counts[i];
	}
}

/* The least number of bytes that enough headers are content with; those that no guess would serve do not count. */
static size_t
conclude(const struct guess *guess)
{
	size_t least = guess->remote ? REMOTE_LEAST : LOCAL_LEAST;
	size_t most = guess->remote ? REMOTE_MOST : LOCAL_MOST;
	uint64_t served = 0;
	uint64_t content = 0;
	int last = step_of(most);
	int i;

	for (i = 0; i <= last; i++)
		served += guess->counts[i];
	served = served * (guess->remote ? REMOTE_CONTENT : LOCAL_CONTENT);
	for (i = 0; i < last && (content + guess->counts[i]) * 100 < served; i++)
		content += guess->counts[i];
	if (most_of(i) < least)
		return least;
	return most_of(i) < most ? most_of(i) : most;
}

void
guess_learn(struct guess *guess, uint64_t bytes)
{
	int step = step_of(bytes);

	if (guess->fixed)
		return;
	guess->counts[step < GUESS_STEPS ? step : GUESS_STEPS - 1]++;
	if (++guess->total >= FADE_AT)
		fade(guess);
	if (guess->total >= LEAST_KNOWN && guess->total % LEARN_EVERY == 0)
		guess->current = conclude(guess);
}

size_t
guess_first(struct guess *guess, uint64_t size)
{
	size_t first = guess->fixed ? guess->fixed : guess->current;

	if (guess->remote && !guess->fixed && size != STORE_SIZE_UNKNOWN)
	{
		if (size >= REMOTE_LARGE && first > size / LARGE_SHARE)
			first = (size_t) (size / LARGE_SHARE);
		if (size <= REMOTE_WHOLE && first < size)
			first = (size_t) size;
	}
	/* A small rest is cheaper now than in a request of its own. */
	if (size != STORE_SIZE_UNKNOWN && size <= first + first / 4)
		first = (size_t) size;
	return first > 0 ? first : 1;
}

size_t
guess_more(const struct guess *guess, uint64_t size, uint64_t offset, size_t needed, int asked)
{
	size_t more = (guess->remote ? REMOTE_MORE : LOCAL_MORE)
				  << (asked < MOST_DOUBLINGS ? asked : MOST_DOUBLINGS);

	if (more < needed)
		more = needed;
	if (size != STORE_SIZE_UNKNOWN && offset < size && more > size - offset)
		more = (size_t) (size - offset);
	return more;
}
