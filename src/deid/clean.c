/*
 * clean.c
 *	  Cleans free text.
 */
#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "clinical_words.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define LONGEST_WORD      24 /* of the vocabulary, and to spare */
#define MANY_DIGITS       4  /* a word with so many digits goes */
#define MANY_GROUPED      6  /* groups of digits with so many together go */
#define MANY_OF_TELEPHONE 7
#define LONG_PART         4 /* letters of a known part that is found within words too */
#define NAMES_OF_TITLE    3
#define OLDEST            90 /* ages from here on go */
#define OLDEST_POSSIBLE   130

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

/* --- letters --- */

static bool
is_digit(uint32_t c)
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
static bool
is_letter(uint32_t c)
{
	if (c < 0x80)
		return c >= 'a' && c <= 'z';
	return c >= 0xC0 && c != 0xD7 && c != 0xF7 && !(c >= 0x2000 && c <= 0x206F) &&
		   !(c >= 0x3000 && c <= 0x303F);
}

static bool
is_word_letter(uint32_t c)
{
	return is_digit(c) || is_letter(c);
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

static bool
read_letters(struct deid_text value, struct letters *letters)
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

static void
remove_span(struct letters *letters, struct span span)
{
	size_t i;

	for (i = span.first; i < span.end; i++)
		letters->at[i].gone = true;
}

/* The next run of letters for which holds() from `from` on; false at the end. */
static bool
next_run(const struct letters *letters, size_t from, size_t end, bool (*holds)(uint32_t), struct span *run)
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

static bool
next_chunk(const struct letters *letters, size_t from, struct span *chunk)
{
	return next_run(letters, from, letters->count, is_no_blank, chunk);
}

static size_t
count_of(const struct letters *letters, struct span span, bool (*holds)(uint32_t))
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

static bool
is_one_of(const struct letters *letters, struct span span, const char *const *words, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (is_word(letters, span, words[i]))
			return true;
	return false;
}

/* --- the vocabulary --- */

static int
compare_words(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *) b);
}

static bool
is_clinical(const struct letters *letters, struct span word)
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
	return (first == 0 || !is_word_letter(letters->at[first - 1].folded)) &&
		   !is_word_letter(letters->at[end].folded);
}

static struct span
widened(const struct letters *letters, size_t first, size_t end)
{
	while (first > 0 && is_word_letter(letters->at[first - 1].folded))
		first--;
	while (end < letters->count && is_word_letter(letters->at[end].folded))
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
		remove_span(letters, widened(letters, i, i + length));
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
	return !is_clinical(known, part) &&
		   (part.end - part.first >= MANY_DIGITS || count_of(known, part, is_digit) < part.end - part.first);
}

static bool
remove_known_text(struct letters *letters, struct deid_text text, bool spare_clinical)
{
	struct letters known;
	struct span part = {0};
	bool found = false;

	if (!text.text || text.length > DEID_CLEAN_MAX)
		return false;
	if (!read_letters(text, &known))
		return true;
	while (next_run(&known, part.end, known.count, is_word_letter, &part))
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
	for (; at < chunk.end && is_digit(letters->at[at].folded); at++)
		digits++;
	if (digits == 0 || digits >= MANY_DIGITS || at == chunk.end || letters->at[at].folded != '.')
		return false;
	for (at++, digits = 0; at < chunk.end && is_digit(letters->at[at].folded); at++)
		digits++;
	if (digits == 0 || digits > 6)
		return false;
	while (at < chunk.end && is_letter(letters->at[at].folded))
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

	while (next_run(letters, digits.end, chunk.end, is_digit, &digits))
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
		if (letters->at[i].folded == ':' && is_digit(letters->at[i - 1].folded) &&
			is_digit(letters->at[i + 1].folded) && is_digit(letters->at[i + 2].folded))
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
	return count_of(letters, chunk, is_digit) >= MANY_DIGITS && !is_decimal(letters, chunk);
}

/* Digits and what stands between the groups of a telephone number. */
static bool
is_of_number(const struct letters *letters, struct span chunk)
{
	size_t i;

	for (i = chunk.first; i < chunk.end; i++)
		if (!is_digit(letters->at[i].folded) &&
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
		more = next_chunk(letters, chunk.end, &chunk);
		if (more && is_of_number(letters, chunk) && !is_decimal(letters, chunk))
		{
			struct span group = {chunk.first, chunk.first};

			run.first = run.end == 0 ? chunk.first : run.first;
			run.end = chunk.end;
			for (; next_run(letters, group.end, chunk.end, is_digit, &group); groups++)
				digits += group.end - group.first;
			continue;
		}
		if (digits >= many_digits && groups >= many_groups)
			remove_span(letters, run);
		run = (struct span){0};
		digits = 0;
		groups = 0;
	}
}

/* --- words and their neighbours --- */

/* The first word of the next chunk; false where there is none. */
static bool
next_word(const struct letters *letters, size_t from, struct span *word)
{
	return next_run(letters, from, letters->count, is_word_letter, word);
}

static bool
begins_with_digit(const struct letters *letters, struct span word)
{
	return is_digit(letters->at[word.first].folded);
}

static bool
is_month(const struct letters *letters, struct span word)
{
	static const char *const months[] = {
		"jan",      "january",   "januar",  "janvier",   "enero",     "gennaio",    "januari",   "feb",
		"february", "februar",   "fevrier", "febrero",   "febbraio",  "februari",   "mar",       "march",
		"marz",     "maerz",     "mars",    "marzo",     "maart",     "mrz",        "apr",       "april",
		"avril",    "abril",     "aprile",  "may",       "mai",       "mayo",       "maggio",    "mei",
		"jun",      "june",      "juni",    "juin",      "junio",     "giugno",     "jul",       "july",
		"juli",     "juillet",   "julio",   "luglio",    "aug",       "august",     "aout",      "agosto",
		"augustus", "sep",       "sept",    "september", "septembre", "septiembre", "settembre", "oct",
		"october",  "oktober",   "octobre", "octubre",   "ottobre",   "okt",        "nov",       "november",
		"novembre", "noviembre", "dec",     "december",  "dezember",  "decembre",   "diciembre", "dicembre",
		"dez"};

	return is_one_of(letters, word, months, COUNT_OF(months));
}

/* Numbers in front of the name of a month and behind it, up to two, go with it. */
static void
remove_around_month(struct letters *letters, struct span before, struct span month)
{
	struct span word = month;
	bool any = false;
	int i;

	if (before.end > before.first && begins_with_digit(letters, before))
	{
		remove_span(letters, before);
		any = true;
	}
	for (i = 0; i < 2 && next_word(letters, word.end, &word) && begins_with_digit(letters, word); i++)
	{
		remove_span(letters, word);
		any = true;
	}
	if (any)
		remove_span(letters, month);
}

static bool
is_title(const struct letters *letters, struct span word)
{
	static const char *const titles[] = {
		"mr",     "mrs",       "ms",          "miss",    "dr",       "prof", "professor",
		"doctor", "herr",      "herrn",       "frau",    "hr",       "fr",   "mme",
		"mlle",   "monsieur",  "madame",      "senor",   "senora",   "sra",  "dott",
		"signor", "signora",   "dhr",         "mevr",    "mw",       "by",   "name",
		"nurse",  "physician", "radiologist", "surgeon", "operator", "tech", "technologist",
		"von",    "van",       "patient",     "dear",    "durch",    "par",  "door"};

	return is_one_of(letters, word, titles, COUNT_OF(titles));
}

/* Words with a capital behind a title, and what links them. */
static void
remove_behind_title(struct letters *letters, struct span title)
{
	struct span word = title;
	int i;

	for (i = 0; i < NAMES_OF_TITLE && next_word(letters, word.end, &word); i++)
	{
		bool is_link = is_title(letters, word);

		if (!letters->at[word.first].capital && !is_link)
			return;
		if (letters->at[word.first].capital)
			remove_span(letters, word);
	}
}

static bool
is_label(const struct letters *letters, struct span word)
{
	static const char *const labels[] = {"mrn",  "id",     "no",        "nr",    "number",    "room", "bed",
										 "ward", "acc",    "accession", "case",  "chart",     "ssn",  "dob",
										 "tel",  "phone",  "fax",       "pager", "pin",       "zip",  "plz",
										 "fall", "zimmer", "station",   "ext",   "extension", "born", "geb"};

	return is_one_of(letters, word, labels, COUNT_OF(labels));
}

/* A number behind a word that says it is one. */
static void
remove_behind_label(struct letters *letters, struct span label)
{
	struct span word;

	if (next_word(letters, label.end, &word) && count_of(letters, word, is_digit) > 0)
		remove_span(letters, word);
}

static bool
is_unit_of_age(const struct letters *letters, struct span word)
{
	static const char *const units[] = {"y",        "yo",      "yr",  "yrs",  "year", "years", "jahre",
										"jahriger", "jahrige", "ans", "anos", "anni", "jaar",  "j"};

	return is_one_of(letters, word, units, COUNT_OF(units));
}

/* The number that a word begins with, up to three digits; its letters in *rest. */
static int
leading_number(const struct letters *letters, struct span word, struct span *rest)
{
	size_t at = word.first;
	int number = 0;

	for (; at < word.end && at < word.first + 3 && is_digit(letters->at[at].folded); at++)
		number = number * 10 + (int) (letters->at[at].folded - '0');
	*rest = (struct span){at, word.end};
	return number;
}

static void
remove_great_age(struct letters *letters, struct span word)
{
	struct span unit;
	int age = leading_number(letters, word, &unit);

	if (age < OLDEST || age > OLDEST_POSSIBLE)
		return;
	if (unit.first == unit.end && !next_word(letters, word.end, &unit))
		return;
	if (is_unit_of_age(letters, unit))
		remove_span(letters, word);
}

static void
remove_neighbours(struct letters *letters)
{
	struct span before = {0};
	struct span word = {0};

	for (; next_word(letters, word.end, &word); before = word)
	{
		if (begins_with_digit(letters, word))
			remove_great_age(letters, word);
		else if (is_month(letters, word))
			remove_around_month(letters, before, word);
		else if (is_title(letters, word))
			remove_behind_title(letters, word);
		else if (is_label(letters, word))
			remove_behind_label(letters, word);
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

	return is_one_of(letters, word, units, COUNT_OF(units));
}

/* One letter, one or two digits, perhaps one letter more: T2, L5, B31f. */
static bool
is_code(const struct letters *letters, struct span word)
{
	size_t length = word.end - word.first;
	size_t digits = count_of(letters, word, is_digit);

	return length <= 4 && is_letter(letters->at[word.first].folded) &&
		   is_digit(letters->at[word.first + 1].folded) && digits <= 2 && length - digits <= 2;
}

/* A word that says nothing of a person, of letters and digits or of digits. */
static bool
is_harmless(const struct letters *letters, struct span word)
{
	size_t length = word.end - word.first;
	size_t digits = count_of(letters, word, is_digit);
	struct span rest;

	if (digits == length)
		return digits < MANY_DIGITS;
	if (is_clinical(letters, word))
		return true;
	if (digits == 0)
		return length == 1 && letters->at[word.first].folded < 0x80;
	leading_number(letters, word, &rest);
	return (rest.first > word.first && is_unit(letters, rest)) || is_code(letters, word);
}

/* Words, and where small letters are followed by a capital (ThoraxRoutine) their parts. */
static bool
next_piece(const struct letters *letters, size_t from, size_t end, struct span *piece)
{
	size_t at;

	if (!next_run(letters, from, end, is_word_letter, piece))
		return false;
	for (at = piece->first + 1; at < piece->end; at++)
	{
		if (letters->at[at].capital && is_letter(letters->at[at - 1].folded) && !letters->at[at - 1].capital)
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
			remove_span(letters, piece);
}

/* An id may be spread over letters and digits of a chunk: PAT-42. */
static bool
has_strange_mixture(const struct letters *letters, struct span chunk)
{
	struct span piece = {chunk.first, chunk.first};

	if (count_of(letters, chunk, is_digit) == 0 || count_of(letters, chunk, is_letter) == 0)
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

	while (next_chunk(letters, chunk.end, &chunk))
		if (is_suspicious(letters, chunk) || has_strange_mixture(letters, chunk))
			remove_span(letters, chunk);
}

/* --- what is left --- */

static bool
has_words(const struct letters *letters)
{
	size_t i;

	for (i = 0; i < letters->count; i++)
		if (!letters->at[i].gone && is_word_letter(letters->at[i].folded))
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
			any_word = any_word || is_word_letter(letters->at[run.end].folded);
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
	if (!read_letters(value, &letters))
	{
		out->failed = true;
		return false;
	}
	remove_known(&letters, known, known_count, false);
	remove_suspicious(&letters);
	remove_numbers(&letters, MANY_GROUPED, 1);
	remove_neighbours(&letters);
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

	while (next_run(letters, run.end, chunk.end, is_digit, &run))
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

	while (next_run(letters, run.end, chunk.end, is_digit, &run))
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
	if (value.length > DEID_CLEAN_MAX || !read_letters(value, &letters))
		return true;
	found = remove_known(&letters, known, known_count, true);
	while (!found && next_chunk(&letters, chunk.end, &chunk))
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
