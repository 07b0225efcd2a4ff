/*
 * dictionary.c
 *	  Searching the tables that make_dictionary.py makes.
 */
#include <string.h>

#include "dictionary.h"

/* An entry that holds for every even group and every element between two tags: (6000-60FF,3000). */
struct range
{
	uint16_t place; /* in entries[] */
	uint32_t first;
	uint32_t last;
};

#include "dicom/dictionary_data.h"

#define ENTRY_COUNT   (sizeof(entries) / sizeof(entries[0]))
#define KEYWORD_COUNT (sizeof(keywords) / sizeof(keywords[0]))
#define RANGE_COUNT   (sizeof(ranges) / sizeof(ranges[0]))

/* ASCII only: what a letter is must not depend on the locale of a database. */
static bool
is_capital(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_small(char c)
{
	return c >= 'a' && c <= 'z';
}

static char
to_small(char c)
{
	return is_capital(c) ? (char) (c - 'A' + 'a') : c;
}

static bool
range_holds(const struct range *range, uint32_t tag)
{
	uint32_t group = tag >> 16;
	uint32_t element = tag & 0xFFFF;

	return group % 2 == 0 && group >= range->first >> 16 && group <= range->last >> 16 &&
		   element >= (range->first & 0xFFFF) && element <= (range->last & 0xFFFF);
}

static const struct dicom_dictionary_entry *
find_in_ranges(uint32_t tag)
{
	size_t i;

	for (i = 0; i < RANGE_COUNT; i++)
		if (range_holds(&ranges[i], tag))
			return &entries[ranges[i].place];
	return NULL;
}

const struct dicom_dictionary_entry *
dicom_dictionary_by_tag(uint32_t tag)
{
	size_t low = 0;
	size_t count = ENTRY_COUNT;

	/* Halving without a branch that depends on the data: the place of a tag is not to be guessed. */
	while (count > 1)
	{
		size_t half = count / 2;

		low = tags[low + half] <= tag ? low + half : low;
		count -= half;
	}
	if (tags[low] == tag)
		return &entries[low];
	return tag >> 16 & 1 ? NULL : find_in_ranges(tag);
}

/* Compares a name that users write with a keyword: case and underscores do not count. */
static int
compare_name(const char *name, size_t length, const char *keyword)
{
	const char *end = name + length;

	for (;;)
	{
		char a, b;

		while (name < end && *name == '_')
			name++;
		a = name < end ? to_small(*name) : 0;
		b = to_small(*keyword);
		if (a != b)
			return a - b;
		if (b == 0)
			return name < end; /* a NUL inside the name is no match */
		name++;
		keyword++;
	}
}

const struct dicom_dictionary_entry *
dicom_dictionary_by_keyword(const char *keyword, size_t length)
{
	size_t low = 0;
	size_t high = KEYWORD_COUNT;

	while (low < high)
	{
		size_t middle = (low + high) / 2;
		const struct dicom_dictionary_entry *entry = &entries[keywords[middle]];
		int order = compare_name(keyword, length, entry->keyword);

		if (order == 0)
			return entry;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct dicom_dictionary_entry *
dicom_dictionary_entry_at(size_t i)
{
	return i < ENTRY_COUNT ? &entries[i] : NULL;
}

/* An upper-case letter followed by the s of a plural: the D in OtherPatientIDsSequence. */
static bool
is_plural(const char *letter)
{
	return letter[1] == 's' && !is_small(letter[2]);
}

/* True where a word begins at keyword[i]: a capital behind a small letter or digit, or the last of several capitals. */
static bool
begins_word(const char *keyword, size_t i)
{
	const char *c = keyword + i;

	if (i == 0 || !is_capital(c[0]))
		return false;
	if (!is_capital(c[-1]))
		return true;
	return is_small(c[1]) && !is_plural(c);
}

void
dicom_keyword_to_column(const char *keyword, char *column, size_t size)
{
	size_t used = 0;
	size_t i;

	if (size == 0)
		return;
	for (i = 0; keyword[i] && used + 2 < size; i++)
	{
		if (begins_word(keyword, i))
			column[used++] = '_';
		column[used++] = to_small(keyword[i]);
	}
	column[used] = '\0';
}
