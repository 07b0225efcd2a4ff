/*
 * test_retry.c
 *	  Delays grow, are spread, and end; so does the budget.
 */
#include "store/retry.h"
#include "unit.h"

UNIT_TEST(retry_delays_stay_within_their_bound)
{
	struct retry_budget budget;
	int repetition;

	retry_initialize(&budget, 42);
	for (repetition = 1; repetition <= 40; repetition++)
	{
		int bound = repetition > 8 ? RETRY_MAX_MS : RETRY_BASE_MS << (repetition - 1);
		int longest = 0;
		int i;

		if (bound > RETRY_MAX_MS)
			bound = RETRY_MAX_MS;
		for (i = 0; i < 1000; i++)
		{
			int delay = retry_delay(&budget, repetition, 0);

			CHECK(delay >= 0 && delay <= bound);
			if (delay > longest)
				longest = delay;
		}
		CHECK(longest > bound / 2);
	}
}

UNIT_TEST(retry_delays_are_spread_evenly)
{
	struct retry_budget budget;
	int quarters[4] = {0};
	int i;

	retry_initialize(&budget, 7);
	for (i = 0; i < 4000; i++)
	{
		int delay = retry_delay(&budget, 5, 0);

		quarters[delay * 4 / (RETRY_BASE_MS * 16 + 1)]++;
	}
	for (i = 0; i < 4; i++)
		CHECK(quarters[i] > 800 && quarters[i] < 1200);
}

UNIT_TEST(retry_waits_as_long_as_the_server_asks)
{
	struct retry_budget budget;

	retry_initialize(&budget, 0);
	CHECK(retry_delay(&budget, 1, 5000) == 5000);
	CHECK(retry_delay(&budget, 1, 10 * RETRY_MAX_AFTER_MS) == RETRY_MAX_AFTER_MS);
}

UNIT_TEST(retry_budget_ends_and_recovers)
{
	struct retry_budget budget;
	int taken = 0;
	int i;

	retry_initialize(&budget, 1);
	while (retry_take(&budget))
		taken++;
	CHECK(taken == RETRY_BUDGET);
	retry_refund(&budget);
	CHECK(!retry_take(&budget));
	retry_refund(&budget);
	CHECK(retry_take(&budget));
	for (i = 0; i < 10 * RETRY_BUDGET; i++)
		retry_refund(&budget);
	for (taken = 0; retry_take(&budget); taken++)
		;
	CHECK(taken == RETRY_BUDGET);
}
