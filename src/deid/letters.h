/*
 * letters.h
 *	  A text of UTF-8 as letters: small, without accents, in ASCII where they have a form there, each with its place in the text; and
 *	  the runs of letters that words and the like are.
 */
#ifndef DEID_LETTERS_H
#define DEID_LETTERS_H

#include "derive.h"

/* One code point, or several of which the rest are accents that go with the first. */
struct letter
{
	uint32_t folded; /* small, without its accent; of digits of other scripts the ASCII one */
	uint32_t offset; /* in the text */
	bool capital;
	bool gone;
};

struct letters
{
	struct letter *at;
	size_t count;
};

/* [first, end) of some letters. */
struct span
{
	size_t first;
	size_t end;
};

extern bool letter_is_digit(uint32_t c);

/* Every sign beyond ASCII is taken for a letter, but for some punctuation: a name may be written in it. */
extern bool letter_is_alphabetic(uint32_t c);

/* A digit or a letter. */
extern bool letter_is_of_word(uint32_t c);

/* Reads a text; the letters are followed by a blank that `count` does not count. The caller frees letters->at. False: no memory. */
extern bool letters_read(struct deid_text value, struct letters *letters);

/* Marks letters as gone. */
extern void letters_remove(struct letters *letters, struct span span);

/* The next run of letters for which holds() in [from, end); false where there is none. */
extern bool letters_next_run(const struct letters *letters, size_t from, size_t end, bool (*holds)(uint32_t),
							 struct span *run);

/* The next run without blanks; the next run of letters and digits. */
extern bool letters_next_chunk(const struct letters *letters, size_t from, struct span *chunk);
extern bool letters_next_word(const struct letters *letters, size_t from, struct span *word);

/* How many letters of a span are of a kind. */
extern size_t letters_count(const struct letters *letters, struct span span, bool (*holds)(uint32_t));

/* True where a span is one of some words of ASCII. */
extern bool letters_are_one_of(const struct letters *letters, struct span span, const char *const *words,
							   size_t count);

/* True for a word of the clinical vocabulary. */
extern bool letters_are_clinical(const struct letters *letters, struct span word);

/* The number that a word begins with, of three digits at most; what is behind it is *rest. */
extern int letters_leading_number(const struct letters *letters, struct span word, struct span *rest);

#endif
