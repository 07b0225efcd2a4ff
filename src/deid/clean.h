/*
 * clean.h
 *	  Takes out of free text what may identify somebody. When in doubt it goes: what is left is meant for reading, not for computing.
 *
 * Removed, with the whole word around it:
 *	- what is known: names and ids given. A person name falls into its parts; case and accents do not count. Parts of three letters
 *	  and less must be words of their own, a single letter is none
 *	- mail addresses, URLs, person names with carets
 *	- dates with and without the name of a month, times of day, and any word with four digits or more: ids, years, UIDs
 *	- telephone numbers, and other groups of digits with six or more together
 *	- what follows a title (Dr, Mrs, Herr) or a word such as `by` and begins with a capital; a number behind `room`, `MRN` and their like
 *	- ages of 90 years and more
 *	- words of letters and digits, but for measures (5mm), codes such as T2, L5, B31f, and clinical terms
 * and, unless `any_word`, every word that is not of the clinical vocabulary. A run of what is removed becomes ***.
 */
#ifndef DEID_CLEAN_H
#define DEID_CLEAN_H

#include "../dicom/buffer.h"
#include "derive.h"

/* Longer texts are not looked at: nothing is left of them. */
#define DEID_CLEAN_MAX (256 * 1024)

/* Names, ids, addresses; each may be absent. */
struct deid_known
{
	const struct deid_text *texts;
	size_t count;
	bool spare_clinical; /* their clinical words are left: of the name of a hospital */
};

/*
 * Appends what is left of `value`; false, and nothing appended, where no word is, or memory ran out (then out->failed is set).
 */
extern bool deid_clean_text(struct deid_text value, const struct deid_known *known, size_t known_count,
							bool any_word, struct dicom_buffer *out);

/*
 * For short texts that are to be kept as they are (the name of a device, a code): true where something known stands in one, clinical
 * words and numbers of three digits aside; or a mail address, a URL, a caret, a date with its year, a telephone number; or the question
 * cannot be answered.
 */
extern bool deid_is_revealing(struct deid_text value, const struct deid_known *known, size_t known_count);

#endif
