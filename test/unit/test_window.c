/*
 * test_window.c
 *	  Promise: whatever was put in neighbouring ranges, in any order, can be looked at in one piece.
 */
#include "dicom/window.h"
#include "unit.h"

/* Fills a range with the low byte of each offset, so that every byte says where it belongs. */
static void
put(struct dicom_window *window, uint64_t offset, size_t length)
{
	uint8_t *room = dicom_window_reserve(window, offset, length);
	size_t i;

	CHECK(room != NULL);
	for (i = 0; room && i < length; i++)
		room[i] = (uint8_t) (offset + i);
	dicom_window_commit(window, offset, length);
}

static int
holds(const struct dicom_window *window, uint64_t offset, size_t length)
{
	const uint8_t *bytes = dicom_window_at(window, offset, length);
	size_t i;

	for (i = 0; bytes && i < length; i++)
		if (bytes[i] != (uint8_t) (offset + i))
			return 0;
	return bytes != NULL;
}

UNIT_TEST(window_joins_neighbours)
{
	struct dicom_window window;

	dicom_window_init(&window, 1000);
	put(&window, 100, 50);
	put(&window, 300, 50);
	CHECK(window.run_count == 2);
	CHECK(!holds(&window, 140, 20));
	put(&window, 150, 150);
	CHECK(window.run_count == 1);
	CHECK(holds(&window, 100, 250));
	CHECK(dicom_window_available(&window, 100) == 250);
	CHECK(dicom_window_available(&window, 349) == 1);
	CHECK(dicom_window_available(&window, 350) == 0);
	CHECK(dicom_window_available(&window, 99) == 0);
	dicom_window_free(&window);
	CHECK(window.run_count == 0 && window.bytes_held == 0);
}

UNIT_TEST(window_joins_overlaps)
{
	struct dicom_window window;

	dicom_window_init(&window, DICOM_SIZE_UNKNOWN);
	put(&window, 200, 100);
	put(&window, 400, 100);
	put(&window, 150, 300);
	CHECK(window.run_count == 1);
	CHECK(holds(&window, 150, 350));
	put(&window, 160, 10);
	CHECK(holds(&window, 150, 350));
	put(&window, 0, 1000);
	CHECK(window.run_count == 1 && holds(&window, 0, 1000));
	dicom_window_free(&window);
}

UNIT_TEST(window_grows_downwards_and_upwards)
{
	struct dicom_window window;
	uint64_t i;

	dicom_window_init(&window, 3000);
	for (i = 0; i < 1000; i++)
	{
		put(&window, 1000 + i, 1);
		put(&window, 999 - i, 1);
	}
	CHECK(window.run_count == 1);
	CHECK(holds(&window, 0, 2000));
	CHECK(window.bytes_held >= 2000 && window.bytes_held < 20000);
	dicom_window_free(&window);
}

UNIT_TEST(window_keeps_what_came)
{
	struct dicom_window window;
	uint8_t *room;

	dicom_window_init(&window, 1000);
	room = dicom_window_reserve(&window, 10, 100);
	memset(room, 7, 100);
	dicom_window_commit(&window, 10, 40);
	CHECK(dicom_window_available(&window, 10) == 40);
	CHECK(dicom_window_at(&window, 10, 41) == NULL);
	room = dicom_window_reserve(&window, 500, 10);
	CHECK(room != NULL);
	dicom_window_commit(&window, 500, 0);
	CHECK(dicom_window_available(&window, 500) == 0);
	CHECK(window.run_count == 1);
	dicom_window_free(&window);
}

UNIT_TEST(window_ends_with_the_file)
{
	struct dicom_window window;

	dicom_window_init(&window, 1000);
	CHECK(dicom_window_reserve(&window, 990, 11) == NULL);
	CHECK(dicom_window_reserve(&window, 1001, 0) == NULL);
	CHECK(dicom_window_reserve(&window, UINT64_MAX, 10) == NULL);
	put(&window, 990, 10);
	CHECK(holds(&window, 990, 10));
	dicom_window_free(&window);
}
