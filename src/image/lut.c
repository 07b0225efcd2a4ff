/*
 * lut.c
 *	  Look-up tables as data sets hold them: a descriptor of three numbers and data in words or bytes, or in segments.
 */
#include <stdlib.h>
#include <string.h>

#include "../dicom/dictionary.h"
#include "picture_internal.h"

#define MOST_ENTRIES 65536

/* Data of a table: numbers of 8 or 16 bits. */
struct words
{
	const uint8_t *bytes;
	uint32_t length; /* in bytes */
	uint32_t width;  /* 1 or 2 */
	bool swapped;    /* bytes of big endian words, which stand the other way round */
	bool big_endian;
};

static uint32_t
words_count(const struct words *words)
{
	return words->length / words->width;
}

static uint16_t
word_at(const struct words *words, uint32_t i)
{
	const uint8_t *bytes = words->bytes + (size_t) i * 2;

	if (words->width == 1)
		return words->bytes[words->swapped && (i ^ 1) < words->length ? i ^ 1 : i];
	return (uint16_t) (words->big_endian ? bytes[0] << 8 | bytes[1] : bytes[1] << 8 | bytes[0]);
}

static bool
words_of(const struct dicom_dataset *dataset, const struct dicom_element *element, struct words *words)
{
	memset(words, 0, sizeof(*words));
	if (!element)
		return false;
	words->bytes = dicom_dataset_value(dataset, element, &words->length);
	words->width = 2;
	words->big_endian = (element->flags & DICOM_ELEMENT_BIG_ENDIAN) != 0;
	words->swapped = words->big_endian && element->vr == DICOM_VR('O', 'W');
	return words->bytes != NULL && words->length >= 2;
}

/* Number of entries, first value, bits of an entry. */
static bool
read_descriptor(const struct dicom_dataset *dataset, const struct dicom_element *element, bool is_signed,
				struct picture_lut *lut)
{
	struct words words;
	uint16_t first;

	if (!words_of(dataset, element, &words) || words_count(&words) < 3)
		return false;
	lut->count = word_at(&words, 0);
	if (lut->count == 0)
		lut->count = MOST_ENTRIES;
	first = word_at(&words, 1);
	lut->first = is_signed || element->vr == DICOM_VR('S', 'S') ? (int16_t) first : first;
	lut->bits = word_at(&words, 2);
	if (lut->bits < 1 || lut->bits > 16)
		lut->bits = 16;
	return true;
}

/* More bits than the descriptor says are believed, as many as there are. */
static void
widen_bits(struct picture_lut *lut)
{
	uint32_t all = 0;
	uint32_t i;

	for (i = 0; i < lut->count; i++)
		all |= lut->entries[i];
	while (lut->bits < 16 && all >> lut->bits)
		lut->bits++;
}

static bool
take_entries(struct picture_lut *lut, uint16_t *entries, uint32_t count)
{
	if (!entries || count == 0)
	{
		free(entries);
		memset(lut, 0, sizeof(*lut));
		return false;
	}
	lut->entries = entries;
	lut->count = count;
	widen_bits(lut);
	return true;
}

bool
lut_read(const struct dicom_dataset *dataset, const struct dicom_element *descriptor,
		 const struct dicom_element *data, bool is_signed, struct picture_lut *lut)
{
	struct words words;
	uint16_t *entries;
	uint32_t i;

	memset(lut, 0, sizeof(*lut));
	if (!read_descriptor(dataset, descriptor, is_signed, lut) || !words_of(dataset, data, &words))
		return false;
	if (words.length / 2 < lut->count && (lut->bits <= 8 || words.length - lut->count <= 1))
		words.width = 1;
	if (words.width == 1 && lut->bits > 8)
		lut->bits = 8;
	if (words_count(&words) < lut->count)
		lut->count = words_count(&words);
	entries = malloc(lut->count * sizeof(*entries));
	for (i = 0; entries && i < lut->count; i++)
		entries[i] = word_at(&words, i);
	return take_entries(lut, entries, lut->count);
}

/* ---- segments ---- */

enum segment
{
	SEGMENT_DISCRETE,
	SEGMENT_LINEAR,
	SEGMENT_INDIRECT
};

struct expansion
{
	struct words words;
	uint16_t *entries;
	uint32_t count;
	uint32_t most;
};

static void
add_entry(struct expansion *expansion, uint16_t entry)
{
	if (expansion->count < expansion->most)
		expansion->entries[expansion->count++] = entry;
}

/* From the last entry to `end` in so many equal steps. */
static void
add_line(struct expansion *expansion, uint32_t steps, uint16_t end)
{
	int64_t begin = expansion->entries[expansion->count - 1];
	int64_t rise = (int64_t) end - begin;
	uint32_t i;

	for (i = 1; i <= steps; i++)
		add_entry(expansion, (uint16_t) (begin + (2 * rise * i + (rise < 0 ? -(int64_t) steps : steps)) /
													 (2 * (int64_t) steps)));
}

/*
 * A discrete or linear segment at a place, which moves behind it. Empty segments make no sense: without them each adds an entry, so
 * that no data can keep us busy longer than the table is.
 */
static bool
expand_simple(struct expansion *expansion, uint32_t *place)
{
	uint32_t left = words_count(&expansion->words) - *place;
	uint32_t length;
	uint32_t kind;
	uint32_t i;

	if (left < 3)
		return false;
	kind = word_at(&expansion->words, *place);
	length = word_at(&expansion->words, *place + 1);
	*place += 2;
	if (length == 0 || kind > SEGMENT_LINEAR || (kind == SEGMENT_DISCRETE && length > left - 2) ||
		(kind == SEGMENT_LINEAR && expansion->count == 0))
		return false;
	if (kind == SEGMENT_LINEAR)
		add_line(expansion, length, word_at(&expansion->words, (*place)++));
	for (i = 0; kind == SEGMENT_DISCRETE && i < length; i++)
		add_entry(expansion, word_at(&expansion->words, (*place)++));
	return true;
}

/* So many simple segments once more, from an offset in bytes on, whose lower half comes first. */
static bool
expand_indirect(struct expansion *expansion, uint32_t *place)
{
	const struct words *words = &expansion->words;
	uint32_t length_words = words->width == 1 ? 4 : 2;
	uint64_t offset = 0;
	uint32_t copies;
	uint32_t from;
	uint32_t i;

	if (words_count(words) - *place < 2 + length_words)
		return false;
	copies = word_at(words, *place + 1);
	for (i = 0; i < length_words; i++)
		offset |= (uint64_t) word_at(words, *place + 2 + i) << i * 8 * words->width;
	*place += 2 + length_words;
	if (copies == 0 || offset / words->width >= words_count(words))
		return false;
	from = (uint32_t) (offset / words->width);
	for (i = 0; i < copies && expansion->count < expansion->most; i++)
		if (!expand_simple(expansion, &from))
			return false;
	return true;
}

static void
expand(struct expansion *expansion)
{
	uint32_t place = 0;
	bool goes_on = true;

	while (goes_on && place < words_count(&expansion->words) && expansion->count < expansion->most)
	{
		if (word_at(&expansion->words, place) == SEGMENT_INDIRECT)
			goes_on = expand_indirect(expansion, &place);
		else
			goes_on = expand_simple(expansion, &place);
	}
}

bool
lut_read_segmented(const struct dicom_dataset *dataset, const struct dicom_element *descriptor,
				   const struct dicom_element *data, bool is_signed, struct picture_lut *lut)
{
	struct expansion expansion = {0};

	memset(lut, 0, sizeof(*lut));
	if (!read_descriptor(dataset, descriptor, is_signed, lut) || !words_of(dataset, data, &expansion.words))
		return false;
	expansion.words.width = lut->bits <= 8 ? 1 : 2;
	expansion.most = lut->count;
	expansion.entries = malloc(lut->count * sizeof(*expansion.entries));
	if (expansion.entries)
		expand(&expansion);
	return take_entries(lut, expansion.entries, expansion.count);
}

void
lut_free(struct picture_lut *lut)
{
	free(lut->entries);
	memset(lut, 0, sizeof(*lut));
}
