/*
 * clean.c
 *	  Cleans free text.
 */
#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "clean_neighbours.h"
#include "letters.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define MANY_DIGITS       4 /* a word with so many digits goes */
#define MANY_GROUPED      6 /* groups of digits with so many together go */
#define MANY_OF_TELEPHONE 7
#define LONG_PART         4 /* letters of a known part that is found within words too */

/* --- what is known --- */

static bool
stands_at(const struct letters *letters, size_t at, const struct letters *known, struct span part)
{
	size_t length = part.end - part.first;
	size_t i;

	if (at + length > letters->count)
		return false;
	for (i = 0; i < length; i++)
		if (letters->at[at + i].folded != known->at[part.first + i].folded)
			return false;
	return true;
}

/* True where [first, end) is not part of a longer word. */
static bool
is_whole_word(const struct letters *letters, size_t first, size_t end)
{
	return (first == 0 || !letter_is_of_word(letters->at[first - 1].folded)) &&
		   !letter_is_of_word(letters->at[end].folded);
}

static struct span
widened(const struct letters *letters, size_t first, size_t end)
{
	while (first > 0 && letter_is_of_word(letters->at[first - 1].folded))
		first--;
	while (end < letters->count && letter_is_of_word(letters->at[end].folded))
		end++;
	return (struct span){first, end};
}

static bool
remove_part(struct letters *letters, const struct letters *known, struct span part)
{
	size_t length = part.end - part.first;
	bool found = false;
	size_t i;

	for (i = 0; i + length <= letters->count; i++)
	{
		if (!stands_at(letters, i, known, part) ||
			(length < LONG_PART && known->at[part.first].folded < 0x2E80 &&
			 !is_whole_word(letters, i, i + length)))
			continue;
		letters_remove(letters, widened(letters, i, i + length));
		found = true;
	}
	return found;
}

/* A part of one letter says nothing, but for a Chinese or Korean one, which is a syllable. */
static bool
is_worth_looking(const struct letters *known, struct span part, bool spare_clinical)
{
	if (part.end - part.first == 1)
		return known->at[part.first].folded >= 0x2E80;
	if (!spare_clinical)
		return true;
	return !letters_are_clinical(known, part) &&
		   (part.end - part.first >= MANY_DIGITS ||
			letters_count(known, part, letter_is_digit) < part.end - part.first);
}

static bool
remove_known_text(struct letters *letters, struct deid_text text, bool spare_clinical)
{
	struct letters known;
	struct span part = {0};
	bool found = false;

	if (!text.text || text.length > DEID_CLEAN_MAX)
		return false;
	if (!letters_read(text, &known))
		return true;
	while (letters_next_run(&known, part.end, known.count, letter_is_of_word, &part))
		if (is_worth_looking(&known, part, spare_clinical) && remove_part(letters, &known, part))
			found = true;
	free(known.at);
	return found;
}

static bool
remove_known(struct letters *letters, const struct deid_known *known, size_t count, bool spare_clinical)
{
	bool found = false;
	size_t i;
	size_t k;

	for (i = 0; i < count; i++)
		for (k = 0; k < known[i].count; k++)
			if (remove_known_text(letters, known[i].texts[k], spare_clinical || known[i].spare_clinical))
				found = true;
	return found;
}

/* --- chunks: what stands between blanks --- */

static bool
has(const struct letters *letters, struct span chunk, const char *signs)
{
	size_t length = strlen(signs);
	size_t i;
	size_t k;

	for (i = chunk.first; i + length <= chunk.end; i++)
	{
		for (k = 0; k < length && letters->at[i + k].folded == (unsigned char) signs[k]; k++)
			;
		if (k == length)
			return true;
	}
	return false;
}

/* 12.3, 0.9375, 5mm, 1.25mm: one number of three digits before its point, and letters that the caller looks at. */
static bool
is_decimal(const struct letters *letters, struct span chunk)
{
	size_t at = chunk.first;
	size_t digits = 0;

	if (at < chunk.end && (letters->at[at].folded == '-' || letters->at[at].folded == '+'))
		at++;
	for (; at < chunk.end && letter_is_digit(letters->at[at].folded); at++)
		digits++;
	if (digits == 0 || digits >= MANY_DIGITS || at == chunk.end || letters->at[at].folded != '.')
		return false;
	for (at++, digits = 0; at < chunk.end && letter_is_digit(letters->at[at].folded); at++)
		digits++;
	if (digits == 0 || digits > 6)
		return false;
	while (at < chunk.end && letter_is_alphabetic(letters->at[at].folded))
		at++;
	return at == chunk.end;
}

/* Two groups of one or two digits, a separator each behind the first and the second: 24.12., 1/2/3, 03-04-05. */
static bool
has_date(const struct letters *letters, struct span chunk)
{
	struct span digits = {chunk.first, chunk.first};
	int groups = 0;
	uint32_t separator = 0;

	while (letters_next_run(letters, digits.end, chunk.end, letter_is_digit, &digits))
	{
		uint32_t behind = digits.end < chunk.end ? letters->at[digits.end].folded : 0;

		if (digits.end - digits.first > 2)
			return false;
		if (groups > 0 && behind == separator)
			return true;
		groups = behind == '.' || behind == '/' || behind == '-' ? 1 : 0;
		separator = groups ? behind : 0;
	}
	return false;
}

/* 8:30, 12:05h */
static bool
has_time(const struct letters *letters, struct span chunk)
{
	size_t i;

	for (i = chunk.first + 1; i + 2 < chunk.end; i++)
		if (letters->at[i].folded == ':' && letter_is_digit(letters->at[i - 1].folded) &&
			letter_is_digit(letters->at[i + 1].folded) && letter_is_digit(letters->at[i + 2].folded))
			return true;
	return false;
}

static bool
is_suspicious(const struct letters *letters, struct span chunk)
{
	if (has(letters, chunk, "@") || has(letters, chunk, "://") || has(letters, chunk, "www.") ||
		has(letters, chunk, "^"))
		return true;
	if (has_date(letters, chunk) || has_time(letters, chunk))
		return true;
	return letters_count(letters, chunk, letter_is_digit) >= MANY_DIGITS && !is_decimal(letters, chunk);
}

/* Digits and what stands between the groups of a telephone number. */
static bool
is_of_number(const struct letters *letters, struct span chunk)
{
	size_t i;

	for (i = chunk.first; i < chunk.end; i++)
		if (!letter_is_digit(letters->at[i].folded) &&
			(letters->at[i].folded >= 0x80 || !strchr("+()-/.", (int) letters->at[i].folded)))
			return false;
	return true;
}

/* Groups of digits side by side: of decimals (spacings, positions) none is taken for part of a number. */
static void
remove_numbers(struct letters *letters, size_t many_digits, int many_groups)
{
	struct span chunk = {0};
	struct span run = {0};
	size_t digits = 0;
	int groups = 0;
	bool more = true;

	while (more)
	{
		more = letters_next_chunk(letters, chunk.end, &chunk);
		if (more && is_of_number(letters, chunk) && !is_decimal(letters, chunk))
		{
			struct span group = {chunk.first, chunk.first};

			run.first = run.end == 0 ? chunk.first : run.first;
			run.end = chunk.end;
			for (; letters_next_run(letters, group.end, chunk.end, letter_is_digit, &group); groups++)
				digits += group.end - group.first;
			continue;
		}
		if (digits >= many_digits && groups >= many_groups)
			letters_remove(letters, run);
		run = (struct span){0};
		digits = 0;
		groups = 0;
	}
}

/* --- words that say nothing of a person --- */

static bool
is_unit(const struct letters *letters, struct span word)
{
	static const char *const units[] = {"mm",  "cm",  "ml", "cc",  "kv", "kvp", "mas", "ma", "s",  "sec",
										"ms",  "min", "h",  "hz",  "t",  "d",   "mg",  "g",  "kg", "mmol",
										"mbq", "mci", "gy", "cgy", "ph", "sl",  "x",   "rd", "st", "nd",
										"th",  "w",   "m",  "y",   "mo", "wk",  "f",   "b",  "hu", "deg",
										"bpm", "yo",  "yr", "yrs", "um", "mhz"};

	return letters_are_one_of(letters, word, units, COUNT_OF(units));
}

/* One letter, one or two digits, perhaps one letter more: T2, L5, B31f. */
static bool
is_code(const struct letters *letters, struct span word)
{
	size_t length = word.end - word.first;
	size_t digits = letters_count(letters, word, letter_is_digit);

	return length <= 4 && letter_is_alphabetic(letters->at[word.first].folded) &&
		   letter_is_digit(letters->at[word.first + 1].folded) && digits <= 2 && length - digits <= 2;
}

/* A word that says nothing of a person, of letters and digits or of digits. */
static bool
is_harmless(const struct letters *letters, struct span word)
{
	size_t length = word.end - word.first;
	size_t digits = letters_count(letters, word, letter_is_digit);
	struct span rest;

	if (digits == length)
		return digits < MANY_DIGITS;
	if (letters_are_clinical(letters, word))
		return true;
	if (digits == 0)
		return length == 1 && letters->at[word.first].folded < 0x80;
	letters_leading_number(letters, word, &rest);
	return (rest.first > word.first && is_unit(letters, rest)) || is_code(letters, word);
}

/* Words, and where small letters are followed by a capital (ThoraxRoutine) their parts. */
static bool
next_piece(const struct letters *letters, size_t from, size_t end, struct span *piece)
{
	size_t at;

	if (!letters_next_run(letters, from, end, letter_is_of_word, piece))
		return false;
	for (at = piece->first + 1; at < piece->end; at++)
	{
		if (letters->at[at].capital && letter_is_alphabetic(letters->at[at - 1].folded) &&
			!letters->at[at - 1].capital)
		{
			piece->end = at;
			break;
		}
	}
	return true;
}

static void
remove_unclinical(struct letters *letters)
{
	struct span piece = {0};

	while (next_piece(letters, piece.end, letters->count, &piece))
		if (!is_harmless(letters, piece))
			letters_remove(letters, piece);
}

/* An id may be spread over letters and digits of a chunk: PAT-42. */
static bool
has_strange_mixture(const struct letters *letters, struct span chunk)
{
	struct span piece = {chunk.first, chunk.first};

	if (letters_count(letters, chunk, letter_is_digit) == 0 ||
		letters_count(letters, chunk, letter_is_alphabetic) == 0)
		return false;
	while (next_piece(letters, piece.end, chunk.end, &piece))
		if (!is_harmless(letters, piece))
			return true;
	return false;
}

static void
remove_suspicious(struct letters *letters)
{
	struct span chunk = {0};

	while (letters_next_chunk(letters, chunk.end, &chunk))
		if (is_suspicious(letters, chunk) || has_strange_mixture(letters, chunk))
			letters_remove(letters, chunk);
}

/* --- what is left --- */

static bool
has_words(const struct letters *letters)
{
	size_t i;

	for (i = 0; i < letters->count; i++)
		if (!letters->at[i].gone && letter_is_of_word(letters->at[i].folded))
			return true;
	return false;
}

static void
append_span(const struct letters *letters, const char *text, struct span span, struct dicom_buffer *out)
{
	dicom_buffer_append(out, text + letters->at[span.first].offset,
						letters->at[span.end].offset - letters->at[span.first].offset);
}

/* Runs that are gone become three asterisks; blanks and signs between two of them go too. */
static void
write_rest(const struct letters *letters, const char *text, struct dicom_buffer *out)
{
	bool after_gone = false;
	size_t i = 0;

	while (i < letters->count)
	{
		struct span run = {i, i};
		bool any_word = false;

		for (; run.end < letters->count && !letters->at[run.end].gone; run.end++)
			any_word = any_word || letter_is_of_word(letters->at[run.end].folded);
		if (run.end > run.first && (!after_gone || any_word || run.end == letters->count))
		{
			append_span(letters, text, run, out);
			after_gone = false;
		}
		for (i = run.end; i < letters->count && letters->at[i].gone; i++)
			;
		if (i > run.end && !after_gone)
		{
			dicom_buffer_append_string(out, "***");
			after_gone = true;
		}
	}
}

bool
deid_clean_text(struct deid_text value, const struct deid_known *known, size_t known_count, bool any_word,
				struct dicom_buffer *out)
{
	struct letters letters;
	bool any;

	if (!value.text || value.length > DEID_CLEAN_MAX)
		return false;
	if (!letters_read(value, &letters))
	{
		out->failed = true;
		return false;
	}
	remove_known(&letters, known, known_count, false);
	remove_suspicious(&letters);
	remove_numbers(&letters, MANY_GROUPED, 1);
	clean_neighbours(&letters);
	if (!any_word)
		remove_unclinical(&letters);
	any = has_words(&letters);
	if (any)
		write_rest(&letters, value.text, out);
	free(letters.at);
	return any && !out->failed;
}

/* --- short texts --- */

/* Digits, of which so many with one separator each in between: 2020-01-31, 31.12.1999. */
static bool
has_full_date(const struct letters *letters, struct span chunk)
{
	struct span groups[3] = {{0}};
	struct span run = {chunk.first, chunk.first};

	while (letters_next_run(letters, run.end, chunk.end, letter_is_digit, &run))
	{
		groups[0] = groups[1];
		groups[1] = groups[2];
		groups[2] = run;
		if (groups[0].end > 0 && groups[1].first == groups[0].end + 1 &&
			groups[2].first == groups[1].end + 1 && groups[1].end - groups[1].first <= 2 &&
			((groups[0].end - groups[0].first == 4 && groups[2].end - groups[2].first <= 2) ||
			 (groups[0].end - groups[0].first <= 2 && groups[2].end - groups[2].first == 4)))
			return true;
	}
	return false;
}

/* YYYYMMDD of the last and this century, alone. */
static bool
has_plain_date(const struct letters *letters, struct span chunk)
{
	struct span run = {chunk.first, chunk.first};

	while (letters_next_run(letters, run.end, chunk.end, letter_is_digit, &run))
	{
		const struct letter *at = &letters->at[run.first];

		if (run.end - run.first == 8 &&
			((at[0].folded == '1' && at[1].folded == '9') || (at[0].folded == '2' && at[1].folded == '0')) &&
			(at[4].folded == '0' || (at[4].folded == '1' && at[5].folded <= '2')) && at[6].folded <= '3')
			return true;
	}
	return false;
}

bool
deid_is_revealing(struct deid_text value, const struct deid_known *known, size_t known_count)
{
	struct letters letters;
	struct span chunk = {0};
	bool found;
	size_t i;

	if (!value.text)
		return false;
	if (value.length > DEID_CLEAN_MAX || !letters_read(value, &letters))
		return true;
	found = remove_known(&letters, known, known_count, true);
	while (!found && letters_next_chunk(&letters, chunk.end, &chunk))
		found = has(&letters, chunk, "@") || has(&letters, chunk, "://") || has(&letters, chunk, "www.") ||
				has(&letters, chunk, "^") || has_full_date(&letters, chunk) ||
				has_plain_date(&letters, chunk);
	if (!found)
		remove_numbers(&letters, MANY_OF_TELEPHONE, 2);
	for (i = 0; i < letters.count && !found; i++)
		found = letters.at[i].gone;
	free(letters.at);
	return found;
}
