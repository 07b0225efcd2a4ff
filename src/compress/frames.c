/*
 * frames.c
 *	  Lists of frames.
 */
#include "frames.h"

#include <stdlib.h>
#include <string.h>

static enum dicom_status
fail(struct dicom_error *error)
{
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "not a list of frames");
	return dicom_hint(error, "write numbers and ranges, counted from 1, such as 1-3,7,12-");
}

/* Reads a frame's number; 0 where there is none. */
static uint32_t
read_number(const char **text)
{
	uint64_t number = 0;

	while (**text >= '0' && **text <= '9' && number <= UINT32_MAX)
		number = number * 10 + (uint64_t) (*(*text)++ - '0');
	return number <= UINT32_MAX - 1 ? (uint32_t) number : 0;
}

/* Reads "7", "1-3" or "12-". */
static bool
read_range(const char **text, struct child_range *range)
{
	range->first = range->last = read_number(text);
	if (**text == '-')
	{
		(*text)++;
		range->last = **text >= '0' && **text <= '9' ? read_number(text) : UINT32_MAX;
	}
	return range->first > 0 && range->last >= range->first;
}

static int
compare(const void *a, const void *b)
{
	const struct child_range *first = a;
	const struct child_range *second = b;

	return (first->first > second->first) - (first->first < second->first);
}

/* Sorts the ranges, and joins those that overlap or touch. */
static void
settle(struct frame_set *set)
{
	int kept = 0;
	int i;

	qsort(set->ranges, (size_t) set->count, sizeof(*set->ranges), compare);
	for (i = 1; i < set->count; i++)
	{
		struct child_range *last = &set->ranges[kept];

		if (last->last == UINT32_MAX || set->ranges[i].first <= last->last + 1)
			last->last = set->ranges[i].last > last->last ? set->ranges[i].last : last->last;
		else
			set->ranges[++kept] = set->ranges[i];
	}
	set->count = kept + 1;
}

enum dicom_status
frame_set_parse(const char *text, struct frame_set *set, struct dicom_error *error)
{
	memset(set, 0, sizeof(*set));
	if (text == NULL || *text == '\0')
		return DICOM_OK;
	set->ranges = malloc(sizeof(*set->ranges) * MESSAGE_MAX_RANGES);
	if (set->ranges == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	for (;;)
	{
		if (set->count == MESSAGE_MAX_RANGES || !read_range(&text, &set->ranges[set->count]))
			break;
		set->count++;
		if (*text == '\0')
		{
			settle(set);
			return DICOM_OK;
		}
		if (*text++ != ',')
			break;
	}
	frame_set_free(set);
	return fail(error);
}

void
frame_set_free(struct frame_set *set)
{
	free(set->ranges);
	memset(set, 0, sizeof(*set));
}

int
frame_set_behind(const struct frame_set *set, uint32_t frame, struct child_range *rest)
{
	int count = 0;
	int i;

	if (set->count == 0 && frame > 0)
		rest[count++] = (struct child_range){frame + 1, UINT32_MAX};
	for (i = 0; i < set->count; i++)
	{
		struct child_range range = set->ranges[i];

		if (range.first <= frame)
			range.first = frame + 1;
		if (range.first <= range.last)
			rest[count++] = range;
	}
	return count;
}
