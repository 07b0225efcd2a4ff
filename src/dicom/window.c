/*
 * window.c
 *	  The bytes of one file that are at hand, as a sorted list of runs.
 *
 * A file seldom has more than a handful of runs, so they are searched one after another.
 */
#include <stdlib.h>
#include <string.h>

#include "window.h"

void
dicom_window_init(struct dicom_window *window, uint64_t size)
{
	memset(window, 0, sizeof(*window));
	window->size = size;
}

void
dicom_window_free(struct dicom_window *window)
{
	int i;

	for (i = 0; i < window->run_count; i++)
		free(window->runs[i].bytes);
	free(window->runs);
	window->runs = NULL;
	window->run_count = 0;
	window->run_capacity = 0;
	window->bytes_held = 0;
}

/* The first run that ends at or behind an offset; run_count where there is none. */
static int
find_run(const struct dicom_window *window, uint64_t offset)
{
	int i = 0;

	while (i < window->run_count && window->runs[i].offset + window->runs[i].length < offset)
		i++;
	return i;
}

/* The run whose bytes contain an offset. */
static const struct dicom_run *
run_holding(const struct dicom_window *window, uint64_t offset)
{
	int i;

	for (i = 0; i < window->run_count; i++)
	{
		const struct dicom_run *run = &window->runs[i];

		if (offset >= run->offset && offset - run->offset < run->length)
			return run;
	}
	return NULL;
}

/* Puts an empty run at place i. */
static struct dicom_run *
insert_run(struct dicom_window *window, int i, uint64_t offset)
{
	struct dicom_run *run;

	if (window->run_count == window->run_capacity)
	{
		int capacity = window->run_capacity ? window->run_capacity * 2 : 4;
		struct dicom_run *runs = realloc(window->runs, (size_t) capacity * sizeof(*runs));

		if (!runs)
			return NULL;
		window->runs = runs;
		window->run_capacity = capacity;
	}
	run = &window->runs[i];
	memmove(run + 1, run, (size_t) (window->run_count - i) * sizeof(*run));
	memset(run, 0, sizeof(*run));
	run->offset = offset;
	window->run_count++;
	return run;
}

static void
remove_run(struct dicom_window *window, int i)
{
	window->bytes_held -= window->runs[i].capacity;
	free(window->runs[i].bytes);
	window->run_count--;
	memmove(&window->runs[i], &window->runs[i + 1],
			(size_t) (window->run_count - i) * sizeof(window->runs[0]));
}

/* Gives a run at least `needed` bytes of memory; one that grows again and again does so by halves. */
static int
grow_run(struct dicom_window *window, struct dicom_run *run, size_t needed)
{
	size_t capacity = run->capacity + run->capacity / 2;
	uint8_t *bytes;

	if (needed <= run->capacity)
		return 1;
	if (capacity < needed)
		capacity = needed;
	bytes = realloc(run->bytes, capacity);
	if (!bytes)
		return 0;
	window->bytes_held += capacity - run->capacity;
	run->bytes = bytes;
	run->capacity = capacity;
	return 1;
}

uint8_t *
dicom_window_reserve(struct dicom_window *window, uint64_t offset, size_t length)
{
	int i = find_run(window, offset);
	struct dicom_run *run;

	if (offset > window->size || length > window->size - offset || length > SIZE_MAX / 4)
		return NULL;
	if (i < window->run_count && window->runs[i].offset <= offset)
		run = &window->runs[i];
	else if (!(run = insert_run(window, i, offset)))
		return NULL;
	if (!grow_run(window, run, (size_t) (offset - run->offset) + (length > 0 ? length : 1)))
	{
		if (run->capacity == 0)
			remove_run(window, i);
		return NULL;
	}
	return run->bytes + (offset - run->offset);
}

/* Joins run i with those behind it that it touches or overlaps; its own bytes are the newer ones. */
static void
join_runs(struct dicom_window *window, int i)
{
	while (i + 1 < window->run_count)
	{
		struct dicom_run *run = &window->runs[i];
		struct dicom_run *behind = run + 1;
		uint64_t end = run->offset + run->length;

		if (behind->offset > end)
			return;
		if (behind->offset + behind->length > end)
		{
			size_t known = (size_t) (end - behind->offset);
			size_t more = behind->length - known;

			/* Without memory the runs stay apart and overlap: what lies in both is not seen as one piece. */
			if (!grow_run(window, run, run->length + more))
				return;
			memcpy(run->bytes + run->length, behind->bytes + known, more);
			run->length += more;
		}
		remove_run(window, i + 1);
	}
}

void
dicom_window_commit(struct dicom_window *window, uint64_t offset, size_t length)
{
	int i = find_run(window, offset);
	struct dicom_run *run;
	size_t end;

	if (i == window->run_count || window->runs[i].offset > offset)
		return;
	run = &window->runs[i];
	end = (size_t) (offset - run->offset) + length;
	if (length == 0 && run->length == 0)
		remove_run(window, i);
	else
	{
		if (end > run->length)
			run->length = end;
		join_runs(window, i);
	}
}

const uint8_t *
dicom_window_at(const struct dicom_window *window, uint64_t offset, size_t length)
{
	const struct dicom_run *run = run_holding(window, offset);

	if (!run || run->length - (size_t) (offset - run->offset) < length)
		return NULL;
	return run->bytes + (offset - run->offset);
}

size_t
dicom_window_available(const struct dicom_window *window, uint64_t offset)
{
	const struct dicom_run *run = run_holding(window, offset);

	return run ? run->length - (size_t) (offset - run->offset) : 0;
}
