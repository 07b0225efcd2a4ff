/*
 * json.h
 *	  The DICOM JSON Model: PS3.18 Annex F, as UTF-8 text in a buffer.
 *
 * Tags are keys of eight upper-case hex digits, in ascending order; group lengths and the file meta information are left
 * out unless asked for. Numbers are JSON numbers where they can be (IS, DS that parse; SV and UV beyond 2^53 as strings),
 * else strings; NaN and infinities of FL and FD as strings, as the standard says. Person names have their component groups.
 * Empty values among others are null. SpecificCharacterSet stands as in the file, though the JSON is UTF-8. Of an
 * attribute that is there twice the last one is written; words of big endian files are turned round.
 *
 * Bulk values, and bytes longer than `inline_limit`, become
 *
 *		"BulkDataURI": "<bulk_uri>?offset=132&length=524288"		(offset=... alone for undefined length)
 *
 * and stand without a value where bulk_uri is NULL. Offsets count bytes in the file; for a deflated file in its
 * inflated stream, marked "&inflated=1".
 */
#ifndef DICOM_JSON_H
#define DICOM_JSON_H

#include "value.h"

struct dicom_json_options
{
	const char *bulk_uri;
	uint32_t inline_limit; /* bytes that become InlineBinary at most; 0: 1024 */
	bool with_meta;        /* the file meta information too */
};

/* Appends a whole data set; options may be NULL. False where the buffer failed. */
extern bool dicom_json_dataset(struct dicom_values *values, const struct dicom_dataset *dataset,
							   const struct dicom_json_options *options, struct dicom_buffer *out);

/* Appends one sequence as an array of items, [] where it has none. */
extern bool dicom_json_sequence(struct dicom_values *values, const struct dicom_dataset *dataset,
								const struct dicom_element *sequence,
								const struct dicom_json_options *options, struct dicom_buffer *out);

#endif
