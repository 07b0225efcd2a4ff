/*
 * letters.c
 *	  Text as letters, and runs of them.
 */
#include <stdlib.h>
#include <string.h>

#include "clinical_words.h"
#include "letters.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define LONGEST_WORD 24 /* of the vocabulary, and to spare */

bool
letter_is_digit(uint32_t c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(uint32_t c)
{
	return c <= ' ' || c == 0x7F || c == 0xA0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200B) || c == 0x2028 ||
		   c == 0x2029;
}

/* Every sign beyond ASCII is taken for a letter, but for some punctuation: a name may be written in it. */
bool
letter_is_alphabetic(uint32_t c)
{
	if (c < 0x80)
		return c >= 'a' && c <= 'z';
	return c >= 0xC0 && c != 0xD7 && c != 0xF7 && !(c >= 0x2000 && c <= 0x206F) &&
		   !(c >= 0x3000 && c <= 0x303F);
}

bool
letter_is_of_word(uint32_t c)
{
	return letter_is_digit(c) || letter_is_alphabetic(c);
}

/* Digits and letters that have an ASCII form elsewhere: full width, Arabic, Persian, Devanagari. */
static uint32_t
plain_form(uint32_t c)
{
	static const uint32_t zeros[] = {0x660, 0x6F0, 0x966, 0xFF10};
	size_t i;

	for (i = 0; i < COUNT_OF(zeros); i++)
		if (c >= zeros[i] && c <= zeros[i] + 9)
			return c - zeros[i] + '0';
	return c >= 0xFF01 && c <= 0xFF5E ? c - 0xFF01 + '!' : c;
}

/* Latin letters of 00C0 to 017F without their accents. */
static uint32_t
without_accent(uint32_t c)
{
	static const char latin_1[] = "aaaaaaaceeeeiiiidnooooo*ouuuuypsaaaaaaaceeeeiiiidnooooo/ouuuuypy";
	static const char extended[] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllll"
								   "nnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

	if (c == 0xD7 || c == 0xF7)
		return c;
	if (c >= 0xC0 && c <= 0xFF)
		return (unsigned char) latin_1[c - 0xC0];
	if (c >= 0x100 && c <= 0x17F)
		return (unsigned char) extended[c - 0x100];
	return deid_small_letter(c);
}

static void
fold(struct letter *letter, uint32_t c)
{
	c = plain_form(c);
	if (c >= 'A' && c <= 'Z')
	{
		letter->capital = true;
		letter->folded = c + ('a' - 'A');
		return;
	}
	letter->capital = c >= 0xC0 && deid_small_letter(c) != c;
	letter->folded = c < 0x80 ? c : without_accent(c);
}

/* One code point of UTF-8; of bytes that are none, one byte. */
static uint32_t
next_code_point(const char *text, size_t length, size_t *at)
{
	unsigned char first = text[(*at)++];
	int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
	uint32_t c = more == 0 ? first : first & (0x3F >> more);

	for (; more > 0 && *at < length && (text[*at] & 0xC0) == 0x80; more--)
		c = c << 6 | (text[(*at)++] & 0x3F);
	return c;
}

bool
letters_read(struct deid_text value, struct letters *letters)
{
	size_t at = 0;

	letters->count = 0;
	letters->at = malloc((value.length + 1) * sizeof(*letters->at));
	if (!letters->at)
		return false;
	while (at < value.length)
	{
		struct letter letter = {.offset = at};
		uint32_t c = next_code_point(value.text, value.length, &at);

		if (c >= 0x300 && c <= 0x36F && letters->count > 0)
			continue; /* an accent */
		fold(&letter, c);
		letters->at[letters->count++] = letter;
	}
	letters->at[letters->count] = (struct letter){.folded = ' ', .offset = value.length};
	return true;
}

void
letters_remove(struct letters *letters, struct span span)
{
	size_t i;

	for (i = span.first; i < span.end; i++)
		letters->at[i].gone = true;
}

/* The next run of letters for which holds() from `from` on; false at the end. */
bool
letters_next_run(const struct letters *letters, size_t from, size_t end, bool (*holds)(uint32_t),
				 struct span *run)
{
	while (from < end && !holds(letters->at[from].folded))
		from++;
	run->first = from;
	while (from < end && holds(letters->at[from].folded))
		from++;
	run->end = from;
	return run->first < run->end;
}

static bool
is_no_blank(uint32_t c)
{
	return !is_blank(c);
}

bool
letters_next_chunk(const struct letters *letters, size_t from, struct span *chunk)
{
	return letters_next_run(letters, from, letters->count, is_no_blank, chunk);
}

size_t
letters_count(const struct letters *letters, struct span span, bool (*holds)(uint32_t))
{
	size_t count = 0;
	size_t i;

	for (i = span.first; i < span.end; i++)
		count += holds(letters->at[i].folded);
	return count;
}

/* Compares a span with a word of ASCII. */
static bool
is_word(const struct letters *letters, struct span span, const char *word)
{
	size_t i;

	for (i = span.first; i < span.end && *word; i++, word++)
		if (letters->at[i].folded != (unsigned char) *word)
			return false;
	return i == span.end && !*word;
}

bool
letters_are_one_of(const struct letters *letters, struct span span, const char *const *words, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (is_word(letters, span, words[i]))
			return true;
	return false;
}

/* The first word of the next chunk; false where there is none. */
bool
letters_next_word(const struct letters *letters, size_t from, struct span *word)
{
	return letters_next_run(letters, from, letters->count, letter_is_of_word, word);
}

/* The number that a word begins with, up to three digits; its letters in *rest. */
int
letters_leading_number(const struct letters *letters, struct span word, struct span *rest)
{
	size_t at = word.first;
	int number = 0;

	for (; at < word.end && at < word.first + 3 && letter_is_digit(letters->at[at].folded); at++)
		number = number * 10 + (int) (letters->at[at].folded - '0');
	*rest = (struct span){at, word.end};
	return number;
}

static int
compare_words(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *) b);
}

bool
letters_are_clinical(const struct letters *letters, struct span word)
{
	char key[LONGEST_WORD + 1];
	size_t length = word.end - word.first;
	size_t i;

	if (length > LONGEST_WORD)
		return false;
	for (i = 0; i < length; i++)
	{
		if (letters->at[word.first + i].folded >= 0x80)
			return false;
		key[i] = (char) letters->at[word.first + i].folded;
	}
	key[length] = '\0';
	return bsearch(key, clinical_words, COUNT_OF(clinical_words), sizeof(clinical_words[0]), compare_words) !=
		   NULL;
}
