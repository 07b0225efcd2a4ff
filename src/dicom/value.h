/*
 * value.h
 *	  The values of an element, one by one: PS3.5 §6.2.
 *
 * Text comes as UTF-8 without padding; numbers, dates and times are parsed into plain structs. A parser returns
 * false for what it cannot read, and never a nearby value.
 */
#ifndef DICOM_VALUE_H
#define DICOM_VALUE_H

#include "charset.h"
#include "dataset.h"

/* What reading texts needs and counts; one per scan, zero-initialised, closed with dicom_values_close(). */
struct dicom_values
{
	struct dicom_charset_cache charsets;
	struct dicom_buffer text; /* scratch of dicom_value_next() */
	uint64_t replaced;        /* characters that could not be converted */
};

extern void dicom_values_close(struct dicom_values *values);

/*
 * The VR by which an element's value is read: its own, or the dictionary's where the file says UN; US or SS by the
 * PixelRepresentation that holds for it, OW for the other two ambiguous ones.
 */
extern uint16_t dicom_value_vr(const struct dicom_dataset *dataset, const struct dicom_element *element);

/* True for the VRs whose value is text: AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT. */
extern bool dicom_vr_is_text(uint16_t vr);

/* True for OB OW OF OD OL OV UN. */
extern bool dicom_vr_is_bytes(uint16_t vr);

/*
 * Appends the whole value as text: texts joined by a backslash as they stand in the file, each without padding
 * (DS and IS in their original text); numbers in decimal, joined by a backslash; AT as 8 hex digits. Appends nothing
 * and returns false for sequences, bytes, bulk and values not at hand. An empty value appends nothing and returns true.
 *
 * Padding is: NULs and blanks behind every value; blanks in front of AE, DS, IS and UI (in front of other texts they
 * are kept, as DCMTK and pydicom do); empty component groups at the end of a person name.
 */
extern bool dicom_value_text(struct dicom_values *values, const struct dicom_dataset *dataset,
							 const struct dicom_element *element, struct dicom_buffer *out);

/* Number of values: VM for texts and numbers, items of a sequence, 1 for bytes, 0 for an empty value. */
extern uint32_t dicom_value_count(const struct dicom_dataset *dataset, const struct dicom_element *element);

enum dicom_value_kind
{
	DICOM_VALUE_TEXT,
	DICOM_VALUE_SIGNED,
	DICOM_VALUE_UNSIGNED,
	DICOM_VALUE_REAL
};

struct dicom_value
{
	enum dicom_value_kind kind;
	const char *
		text; /* UTF-8, not terminated, valid until the next call with the same dicom_values; '' is a value too */
	uint32_t length;
	bool single_precision; /* REAL: FL, so that 0.1 prints as 0.1 */
	union
	{
		int64_t as_signed;
		uint64_t as_unsigned;
		double real;
	} number;
};

/*
 * One after another; zero-initialise the cursor. False at the end, and at once for sequences, bytes and values not at
 * hand. An AT is a text of 8 hex digits. Of a number that the length cuts off nothing is given.
 */
struct dicom_value_cursor
{
	uint32_t index; /* values given so far */
	bool done;

	/* private: found out by the first call */
	bool begun;
	bool plain;
	uint16_t vr;
	uint32_t offset;
	uint32_t length;
};

extern bool dicom_value_next(struct dicom_values *values, const struct dicom_dataset *dataset,
							 const struct dicom_element *element, struct dicom_value_cursor *cursor,
							 struct dicom_value *value);

/* Appends the shortest decimal that reads back as the same number: 0.1, 1e+20, NaN, -Infinity. */
extern void dicom_append_real(struct dicom_buffer *out, double real, bool single_precision);

/*
 * Parsers of texts, blanks around them allowed.
 *	date		YYYYMMDD, the old YYYY.MM.DD, YYYY-MM-DD; whole and existing dates only (§6.2: DA is never partial)
 *	time		HH, HHMM, HHMMSS, HHMMSS.F{1,6} (finer digits only if zero), the old HH:MM[:SS[.F]]; second 60 becomes
 *				the next second only where that does not leave the day, else false; so is 24:00:00
 *	datetime	YYYY[MM[DD[HH[MM[SS[.F]]]]]][&ZZXX]; what is missing is its lowest value and `precision` says so
 *	decimal		DS: at most what a double holds, no hexadecimal, no nan or inf, nor what is too large or too small for one
 *	integer		IS: decimal digits with a sign; '12.0' is accepted where the fraction is zero
 *	age			AS: nnnD, nnnW, nnnM, nnnY; fewer digits are accepted
 */
struct dicom_date
{
	int year, month, day;
};

struct dicom_datetime
{
	struct dicom_date date;
	int64_t microseconds; /* since midnight */
	bool has_offset;
	int offset_minutes; /* east of Greenwich */
	int precision;      /* how many of year, month, day, hour, minute, second were given: 1 to 6 */
};

extern bool dicom_parse_date(const char *text, uint32_t length, struct dicom_date *date);
extern bool dicom_parse_time(const char *text, uint32_t length, int64_t *microseconds);
extern bool dicom_parse_datetime(const char *text, uint32_t length, struct dicom_datetime *datetime);
extern bool dicom_parse_decimal(const char *text, uint32_t length, double *value);
extern bool dicom_parse_integer(const char *text, uint32_t length, int64_t *value);
extern bool dicom_parse_age(const char *text, uint32_t length, int *count, char *unit);

#endif
