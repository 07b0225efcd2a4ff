/*
 * retry.c
 *	  Back-off with full jitter, and a token bucket.
 */
#include "retry.h"

#define TENTHS_OF_A_RETRY   10
#define TENTHS_OF_A_SUCCESS 5

void
retry_initialize(struct retry_budget *budget, uint64_t seed)
{
	budget->tenths = RETRY_BUDGET * TENTHS_OF_A_RETRY;
	budget->random = seed ? seed : 1; /* xorshift stays at zero for ever */
}

bool
retry_take(struct retry_budget *budget)
{
	if (budget->tenths < TENTHS_OF_A_RETRY)
		return false;
	budget->tenths -= TENTHS_OF_A_RETRY;
	return true;
}

void
retry_refund(struct retry_budget *budget)
{
	budget->tenths += TENTHS_OF_A_SUCCESS;
	if (budget->tenths > RETRY_BUDGET * TENTHS_OF_A_RETRY)
		budget->tenths = RETRY_BUDGET * TENTHS_OF_A_RETRY;
}

static uint64_t
next_random(struct retry_budget *budget)
{
	budget->random ^= budget->random << 13;
	budget->random ^= budget->random >> 7;
	budget->random ^= budget->random << 17;
	return budget->random;
}

int
retry_delay(struct retry_budget *budget, int repetition, int after_ms)
{
	int bound = RETRY_BASE_MS;
	int delay;

	while (--repetition > 0 && bound < RETRY_MAX_MS)
		bound *= 2;
	if (bound > RETRY_MAX_MS)
		bound = RETRY_MAX_MS;
	delay = (int) (next_random(budget) % (bound + 1));
	if (after_ms > RETRY_MAX_AFTER_MS)
		after_ms = RETRY_MAX_AFTER_MS;
	return delay > after_ms ? delay : after_ms;
}
