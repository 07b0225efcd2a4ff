/*
 * value_parse.c
 *	  Dates, times, numbers and ages from their texts: PS3.5 §6.2.
 *
 * Nothing here depends on the locale. The one function of the C library that does, strtod(), is given digits and an
 * exponent without a decimal point, which it rounds correctly whatever the point of the locale is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

#define MICROSECONDS INT64_C(1000000)
#define DAY          (INT64_C(24) * 60 * 60 * MICROSECONDS)

/* What is left of a text to be read. */
struct reader
{
	const char *at;
	const char *end;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\0' || c == '\t' || c == '\r' || c == '\n';
}

static struct reader
trimmed(const char *text, uint32_t length)
{
	struct reader reader = {text, text + length};

	while (reader.at < reader.end && is_blank(*reader.at))
		reader.at++;
	while (reader.end > reader.at && is_blank(reader.end[-1]))
		reader.end--;
	return reader;
}

static bool
at_digit(const struct reader *reader)
{
	return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static bool
skip_char(struct reader *reader, char c)
{
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* Reads exactly `count` digits into a number. */
static bool
read_digits(struct reader *reader, int count, int *number)
{
	*number = 0;
	while (count-- > 0)
	{
		if (!at_digit(reader))
			return false;
		*number = *number * 10 + (*reader->at++ - '0');
	}
	return true;
}

static bool
date_exists(const struct dicom_date *date)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (date->year % 4 == 0 && date->year % 100 != 0) || date->year % 400 == 0;

	if (date->year < 1 || date->month < 1 || date->month > 12 || date->day < 1)
		return false;
	return date->day <= days[date->month - 1] + (date->month == 2 && leap);
}

bool
dicom_parse_date(const char *text, uint32_t length, struct dicom_date *date)
{
	struct reader reader = trimmed(text, length);
	struct dicom_date result;
	char separator = '\0';

	if (!read_digits(&reader, 4, &result.year))
		return false;
	if (reader.at < reader.end && (*reader.at == '.' || *reader.at == '-'))
		separator = *reader.at++;
	if (!read_digits(&reader, 2, &result.month) || (separator && !skip_char(&reader, separator)))
		return false;
	if (!read_digits(&reader, 2, &result.day) || reader.at != reader.end || !date_exists(&result))
		return false;
	*date = result;
	return true;
}

/* Reads the digits behind a decimal point as microseconds; finer ones are accepted where they are zero. */
static bool
read_fraction(struct reader *reader, int *microseconds)
{
	int unit = 100000;

	*microseconds = 0;
	if (!at_digit(reader))
		return false;
	for (; at_digit(reader); unit /= 10)
	{
		int digit = *reader->at++ - '0';

		if (unit == 0 && digit != 0)
			return false;
		*microseconds += digit * unit;
	}
	return true;
}

/*
 * Reads HH[MM[SS[.F]]] up to the end or to what is no part of it; *parts says how many of hour, minute, second there
 * are. With colons where `colons` is set, without otherwise.
 */
static bool
read_time(struct reader *reader, bool colons, int64_t *microseconds, int *parts)
{
	int part[3] = {0, 0, 0};
	int fraction = 0;
	int count;

	for (count = 0; count < 3; count++)
	{
		if (count > 0 && (colons ? !skip_char(reader, ':') : !at_digit(reader)))
			break;
		if (!read_digits(reader, 2, &part[count]))
			return false;
	}
	if (count == 3 && skip_char(reader, '.') && !read_fraction(reader, &fraction))
		return false;
	if (part[0] > 23 || part[1] > 59 || part[2] > 60)
		return false;
	*microseconds = ((part[0] * 60 + part[1]) * 60 + part[2]) * MICROSECONDS + fraction;
	*parts = count;
	return *microseconds < DAY;
}

bool
dicom_parse_time(const char *text, uint32_t length, int64_t *microseconds)
{
	struct reader reader = trimmed(text, length);
	bool colons = reader.end - reader.at > 2 && reader.at[2] == ':';
	int64_t result;
	int parts;

	if (!read_time(&reader, colons, &result, &parts) || reader.at != reader.end)
		return false;
	*microseconds = result;
	return true;
}

/* Reads YYYY[MM[DD]]; what is missing is the first of its kind. */
static bool
read_partial_date(struct reader *reader, struct dicom_date *date, int *parts)
{
	int *part[] = {&date->month, &date->day};

	date->month = date->day = 1;
	if (!read_digits(reader, 4, &date->year))
		return false;
	for (*parts = 1; *parts < 3 && at_digit(reader); (*parts)++)
		if (!read_digits(reader, 2, part[*parts - 1]))
			return false;
	return date_exists(date);
}

/* Reads &ZZXX, -1200 to +1400. */
static bool
read_offset(struct reader *reader, int *minutes)
{
	bool west = *reader->at == '-';
	int hour;
	int minute;

	if (!west && *reader->at != '+')
		return false;
	reader->at++;
	if (!read_digits(reader, 2, &hour) || !read_digits(reader, 2, &minute) || minute > 59)
		return false;
	*minutes = hour * 60 + minute;
	if (*minutes > (west ? 12 * 60 : 14 * 60))
		return false;
	if (west)
		*minutes = -*minutes;
	return true;
}

bool
dicom_parse_datetime(const char *text, uint32_t length, struct dicom_datetime *datetime)
{
	struct reader reader = trimmed(text, length);
	struct dicom_datetime result = {0};
	int parts = 0;

	if (!read_partial_date(&reader, &result.date, &result.precision))
		return false;
	if (at_digit(&reader) && !read_time(&reader, false, &result.microseconds, &parts))
		return false;
	result.precision += parts;
	result.has_offset = reader.at < reader.end;
	if (result.has_offset && !read_offset(&reader, &result.offset_minutes))
		return false;
	if (reader.at != reader.end)
		return false;
	*datetime = result;
	return true;
}

/* The digits of a decimal without its point, and the exponent that makes up for it. */
struct decimal
{
	char digits[800]; /* more are never needed to round a double */
	int count;
	int exponent;
};

static bool
skip_sign(struct reader *reader)
{
	bool negative = reader->at < reader->end && *reader->at == '-';

	if (negative || (reader->at < reader->end && *reader->at == '+'))
		reader->at++;
	return negative;
}

static bool
read_mantissa(struct reader *reader, struct decimal *decimal)
{
	bool point = false;
	int seen = 0;

	for (;; reader->at++)
	{
		if (at_digit(reader))
		{
			seen++;
			decimal->exponent -= point;
			if (decimal->count == 0 && *reader->at == '0')
				continue;
			if (decimal->count == (int) sizeof decimal->digits)
				return false;
			decimal->digits[decimal->count++] = *reader->at;
		}
		else if (!point && reader->at < reader->end && *reader->at == '.')
			point = true;
		else
			return seen > 0;
	}
}

static bool
read_exponent(struct reader *reader, struct decimal *decimal)
{
	bool negative;
	int exponent = 0;

	if (!skip_char(reader, 'E') && !skip_char(reader, 'e'))
		return true;
	negative = skip_sign(reader);
	if (!at_digit(reader))
		return false;
	for (; at_digit(reader); reader->at++)
		if (exponent < 100000)
			exponent = exponent * 10 + (*reader->at - '0');
	decimal->exponent += negative ? -exponent : exponent;
	return true;
}

bool
dicom_parse_decimal(const char *text, uint32_t length, double *value)
{
	struct reader reader = trimmed(text, length);
	bool negative = skip_sign(&reader);
	struct decimal decimal;
	char plain[sizeof decimal.digits + 32];
	double result = 0;

	decimal.count = decimal.exponent = 0;
	if (!read_mantissa(&reader, &decimal) || !read_exponent(&reader, &decimal) || reader.at != reader.end)
		return false;
	if (decimal.count > 0)
	{
		snprintf(plain, sizeof plain, "%.*se%d", decimal.count, decimal.digits, decimal.exponent);
		errno = 0;
		result = strtod(plain, NULL);
		if (errno == ERANGE)
			return false; /* infinite, or so small that digits are lost */
	}
	*value = negative ? -result : result;
	return true;
}

bool
dicom_parse_integer(const char *text, uint32_t length, int64_t *value)
{
	struct reader reader = trimmed(text, length);
	bool negative = skip_sign(&reader);
	int64_t result = 0;

	if (!at_digit(&reader))
		return false;
	for (; at_digit(&reader); reader.at++)
		if (__builtin_mul_overflow(result, 10, &result) ||
			__builtin_sub_overflow(result, *reader.at - '0', &result))
			return false;
	if (skip_char(&reader, '.'))
		while (skip_char(&reader, '0'))
			;
	if (reader.at != reader.end || (!negative && result == INT64_MIN))
		return false;
	*value = negative ? result : -result;
	return true;
}

bool
dicom_parse_age(const char *text, uint32_t length, int *count, char *unit)
{
	struct reader reader = trimmed(text, length);
	int number = 0;
	int digits;

	for (digits = 0; digits < 3 && at_digit(&reader); digits++)
		number = number * 10 + (*reader.at++ - '0');
	if (digits == 0 || reader.end - reader.at != 1 || !strchr("DWMY", *reader.at))
		return false;
	*count = number;
	*unit = *reader.at;
	return true;
}
