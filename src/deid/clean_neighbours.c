/*
 * clean_neighbours.c
 *	  Words that say what their neighbours are: months, titles, labels, units of age.
 */
#include "clean_neighbours.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define NAMES_OF_TITLE  3
#define OLDEST          90 /* ages from here on go */
#define OLDEST_POSSIBLE 130

static bool
begins_with_digit(const struct letters *letters, struct span word)
{
	return letter_is_digit(letters->at[word.first].folded);
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

	return letters_are_one_of(letters, word, months, COUNT_OF(months));
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
		letters_remove(letters, before);
		any = true;
	}
	for (i = 0; i < 2 && letters_next_word(letters, word.end, &word) && begins_with_digit(letters, word); i++)
	{
		letters_remove(letters, word);
		any = true;
	}
	if (any)
		letters_remove(letters, month);
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

	return letters_are_one_of(letters, word, titles, COUNT_OF(titles));
}

/* Words with a capital behind a title, and what links them. */
static void
remove_behind_title(struct letters *letters, struct span title)
{
	struct span word = title;
	int i;

	for (i = 0; i < NAMES_OF_TITLE && letters_next_word(letters, word.end, &word); i++)
	{
		bool is_link = is_title(letters, word);

		if (!letters->at[word.first].capital && !is_link)
			return;
		if (letters->at[word.first].capital)
			letters_remove(letters, word);
	}
}

static bool
is_label(const struct letters *letters, struct span word)
{
	static const char *const labels[] = {"mrn",  "id",     "no",        "nr",    "number",    "room", "bed",
										 "ward", "acc",    "accession", "case",  "chart",     "ssn",  "dob",
										 "tel",  "phone",  "fax",       "pager", "pin",       "zip",  "plz",
										 "fall", "zimmer", "station",   "ext",   "extension", "born", "geb"};

	return letters_are_one_of(letters, word, labels, COUNT_OF(labels));
}

/* A number behind a word that says it is one. */
static void
remove_behind_label(struct letters *letters, struct span label)
{
	struct span word;

	if (letters_next_word(letters, label.end, &word) && letters_count(letters, word, letter_is_digit) > 0)
		letters_remove(letters, word);
}

static bool
is_unit_of_age(const struct letters *letters, struct span word)
{
	static const char *const units[] = {"y",        "yo",      "yr",  "yrs",  "year", "years", "jahre",
										"jahriger", "jahrige", "ans", "anos", "anni", "jaar",  "j"};

	return letters_are_one_of(letters, word, units, COUNT_OF(units));
}

static void
remove_great_age(struct letters *letters, struct span word)
{
	struct span unit;
	int age = letters_leading_number(letters, word, &unit);

	if (age < OLDEST || age > OLDEST_POSSIBLE)
		return;
	if (unit.first == unit.end && !letters_next_word(letters, word.end, &unit))
		return;
	if (is_unit_of_age(letters, unit))
		letters_remove(letters, word);
}

void
clean_neighbours(struct letters *letters)
{
	struct span before = {0};
	struct span word = {0};

	for (; letters_next_word(letters, word.end, &word); before = word)
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
