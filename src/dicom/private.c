/*
 * private.c
 *	  Private elements: whose they are, and finding them by that: PS3.5 §7.8.1.
 *
 * A creator, an element (gggg,00bb), reserves the block of elements (gggg,bb00) to (gggg,bbFF) of its item. The last one of a tag
 * counts. In a large data set the private elements are listed in order first, so that to look for each of them is not to look at
 * all of them each time.
 */
#include <stdlib.h>
#include <string.h>

#include "parser.h"

/* With fewer elements than this a look at each of them is soon done. */
#define FEW_ELEMENTS 256

/* In the order of its fields. A creator is one of block 0. */
struct private_element
{
	uint32_t item;
	uint32_t name; /* group << 16 | low byte */
	uint32_t block;
	uint32_t element;
};

/* ---- creators ---- */

/* The name that a private creator holds, without the blanks around it; NULL where it holds none. */
static const char *
creator_name(const struct dicom_dataset *dataset, const struct dicom_element *element, uint32_t *length)
{
	const char *name = (const char *) dicom_dataset_value(dataset, element, length);

	if (!name)
		*length = 0;
	while (*length > 0 && (name[*length - 1] == ' ' || name[*length - 1] == '\0'))
		--*length;
	while (*length > 0 && *name == ' ')
	{
		name++;
		--*length;
	}
	return *length > 0 ? name : NULL;
}

/* True where an element holds the name of a creator. */
static bool
is_named(const struct dicom_dataset *dataset, const struct dicom_element *element, const char *creator)
{
	uint32_t length;
	const char *name = element ? creator_name(dataset, element, &length) : NULL;

	return name && length == strlen(creator) && memcmp(name, creator, length) == 0;
}

void
note_creator(const struct dicom_dataset *dataset, const struct dicom_element *element, const char *creator,
			 uint8_t *blocks)
{
	uint8_t bit = 1 << (element->tag & 7);

	if (is_named(dataset, element, creator))
		blocks[element->tag >> 3 & 31] |= bit;
	else
		blocks[element->tag >> 3 & 31] &= ~bit;
}

/* ---- the list of a large data set ---- */

static int
compare_privates(const void *a, const void *b)
{
	const uint32_t *left = &((const struct private_element *) a)->item;
	const uint32_t *right = &((const struct private_element *) b)->item;
	int i;

	for (i = 0; i < 3 && left[i] == right[i]; i++)
		;
	return left[i] < right[i] ? -1 : left[i] > right[i];
}

void
privates_close(struct dicom_reading *reading)
{
	free(reading->privates);
	reading->privates = NULL;
	reading->private_count = reading->privates_upto = 0;
}

static inline bool
is_private(uint32_t tag)
{
	return tag >> 16 & 1;
}

/* Brings the list up to date. False where the data set is small, or memory short. */
static bool
list_privates(const struct dicom_dataset *dataset)
{
	struct dicom_reading *reading = dataset->reading;
	uint32_t count = 0;
	uint32_t i;

	if (dataset->count < FEW_ELEMENTS)
		return false;
	if (reading->privates && reading->privates_upto == dataset->count)
		return true;
	for (i = 0; i < dataset->count; i++)
		count += is_private(dataset->elements[i].tag);
	privates_close(reading);
	reading->privates = malloc(((size_t) count + 1) * sizeof(*reading->privates));
	if (reading->privates == NULL)
		return false;
	for (i = 0; i < dataset->count; i++)
	{
		uint32_t tag = dataset->elements[i].tag;

		if (is_private(tag))
			reading->privates[reading->private_count++] =
				(struct private_element){dataset->elements[i].parent, tag & 0xFFFF00FF, tag >> 8 & 0xFF, i};
	}
	qsort(reading->privates, reading->private_count, sizeof(*reading->privates), compare_privates);
	reading->privates_upto = dataset->count;
	return true;
}

/* How many entries of the list are not behind this one. */
static uint32_t
count_upto(const struct dicom_reading *reading, uint32_t item, uint32_t name, uint32_t block)
{
	struct private_element last = {item, name, block, UINT32_MAX};
	uint32_t low = 0;
	uint32_t high = reading->private_count;

	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (compare_privates(&reading->privates[middle], &last) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The last element of a tag in an item, of a list that is up to date. */
static const struct dicom_element *
find_listed(const struct dicom_dataset *dataset, uint32_t item, uint32_t name, uint32_t block)
{
	const struct dicom_reading *reading = dataset->reading;
	uint32_t upto = count_upto(reading, item, name, block);
	const struct private_element *last = upto > 0 ? &reading->privates[upto - 1] : NULL;

	return last && last->item == item && last->name == name && last->block == block
			   ? &dataset->elements[last->element]
			   : NULL;
}

/* The creator of a block of a group in an item. */
static const struct dicom_element *
find_creator(const struct dicom_dataset *dataset, uint32_t item, uint32_t group, uint32_t block)
{
	if (list_privates(dataset))
		return find_listed(dataset, item, group << 16 | block, 0);
	return find_among(dataset, item, group << 16 | block);
}

/* The last element of a name in any block of this creator: for each block that has the name, its last element is a candidate. */
static const struct dicom_element *
find_in_list(const struct dicom_dataset *dataset, uint32_t item, uint32_t name, const char *creator)
{
	const struct dicom_reading *reading = dataset->reading;
	const struct dicom_element *found = NULL;
	uint32_t end = count_upto(reading, item, name, 0xFF);

	while (end > 0 && reading->privates[end - 1].item == item && reading->privates[end - 1].name == name)
	{
		const struct private_element *last = &reading->privates[end - 1];
		const struct dicom_element *candidate = &dataset->elements[last->element];

		if (last->block < 0x10)
			break;
		if ((!found || candidate > found) &&
			is_named(dataset, find_creator(dataset, item, name >> 16, last->block), creator))
			found = candidate;
		end = count_upto(reading, item, name, last->block - 1);
	}
	return found;
}

/* ---- what others ask for ---- */

const char *
dicom_dataset_private_creator(const struct dicom_dataset *dataset, const struct dicom_element *element,
							  uint32_t *length)
{
	const struct dicom_element *creator;

	*length = 0;
	if (!is_private(element->tag) || (element->tag & 0xFFFF) < 0x1000)
		return NULL;
	creator = find_creator(dataset, element->parent, element->tag >> 16, element->tag >> 8 & 0xFF);
	return creator ? creator_name(dataset, creator, length) : NULL;
}

const struct dicom_element *
find_private(const struct dicom_dataset *dataset, uint32_t item, uint32_t first, uint32_t end, uint32_t name,
			 const char *creator)
{
	const struct dicom_element *found = NULL;
	uint8_t blocks[32] = {0};
	uint32_t i;

	if (list_privates(dataset))
		return find_in_list(dataset, item, name, creator);
	for (i = first; i < end; i = dataset->elements[i].next)
		if (dataset->elements[i].tag >> 16 == name >> 16 && is_private_creator(dataset->elements[i].tag))
			note_creator(dataset, &dataset->elements[i], creator, blocks);
	for (i = first; i < end; i = dataset->elements[i].next)
		if ((dataset->elements[i].tag & 0xFFFF00FF) == name && is_noted(blocks, dataset->elements[i].tag))
			found = &dataset->elements[i];
	return found;
}
