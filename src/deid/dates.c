/*
 * dates.c
 *	  Dates in texts.
 */
#include "dates.h"

struct date
{
	int year;
	int month; /* 0: not given */
	int day;   /* 0: not given */
	char separator;
	struct deid_text rest; /* time and zone, checked */
};

struct reader
{
	const char *at;
	const char *end;
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
skip(struct reader *reader, char c)
{
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* Reads exactly so many digits as a number from least to most. */
static bool
read_number(struct reader *reader, int digits, int least, int most, int *number)
{
	const char *at = reader->at;
	int result = 0;
	int i;

	if (reader->end - at < digits)
		return false;
	for (i = 0; i < digits; i++, at++)
	{
		if (!is_digit(*at))
			return false;
		result = result * 10 + (*at - '0');
	}
	if (result < least || result > most)
		return false;
	reader->at = at;
	*number = result;
	return true;
}

static bool
at_digit(const struct reader *reader)
{
	return reader->at < reader->end && is_digit(*reader->at);
}

/* Hours, minutes and seconds with a separator or without, and a fraction; so many of them as there are, but `least`. */
static bool
read_time(struct reader *reader, char separator, int least)
{
	static const int most[] = {23, 59, 60};
	int part;
	int number;

	for (part = 0; part < 3; part++)
	{
		if (part > 0 && separator && !skip(reader, separator))
			break;
		if (!separator && !at_digit(reader))
			break;
		if (!read_number(reader, 2, 0, most[part], &number))
			return false;
	}
	if (part < least)
		return false;
	if (part == 3 && skip(reader, '.'))
	{
		if (!at_digit(reader))
			return false;
		while (at_digit(reader))
			reader->at++;
	}
	return true;
}

/* +HHMM, +HH:MM, +HH, or Z. */
static bool
read_zone(struct reader *reader, bool dicom)
{
	int number;

	if (!dicom && skip(reader, 'Z'))
		return true;
	if (!skip(reader, '+') && !skip(reader, '-'))
		return false;
	if (!read_number(reader, 2, 0, 14, &number))
		return false;
	if (!dicom && !skip(reader, ':') && !at_digit(reader))
		return true;
	return read_number(reader, 2, 0, 59, &number);
}

/* YYYY[MM[DD[time]]][zone] */
static bool
read_dicom(struct reader *reader, struct date *date)
{
	if (!at_digit(reader))
		date->month = 0;
	else if (!read_number(reader, 2, 1, 12, &date->month))
		return false;
	if (date->month > 0 && at_digit(reader) && !read_number(reader, 2, 1, 31, &date->day))
		return false;
	date->rest.text = reader->at;
	if (date->day > 0 && at_digit(reader) && !read_time(reader, '\0', 1))
		return false;
	return reader->at == reader->end || read_zone(reader, true);
}

/* YYYY-MM-DD[ HH:MM[:SS[.F]][zone]], YYYY.MM.DD */
static bool
read_separated(struct reader *reader, struct date *date)
{
	date->separator = *reader->at++;
	if (!read_number(reader, 2, 1, 12, &date->month) || !skip(reader, date->separator) ||
		!read_number(reader, 2, 1, 31, &date->day))
		return false;
	date->rest.text = reader->at;
	if (reader->at == reader->end)
		return true;
	if (date->separator == '.' || (!skip(reader, ' ') && !skip(reader, 'T')) || !read_time(reader, ':', 2))
		return false;
	return reader->at == reader->end || read_zone(reader, false);
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

/* A separated date is told from a year with a zone (2020-0500) by its second separator. */
static bool
is_separated(const struct reader *reader)
{
	return reader->end - reader->at >= 6 && (reader->at[0] == '-' || reader->at[0] == '.') &&
		   reader->at[3] == reader->at[0];
}

static bool
read_date(struct deid_text value, struct date *date)
{
	struct reader reader;

	value = deid_unpadded(value);
	while (value.length > 0 && value.text[0] == ' ')
		value.text++, value.length--;
	reader = (struct reader){value.text, value.text + value.length};
	*date = (struct date){0};
	if (!read_number(&reader, 4, 1, 9999, &date->year) ||
		!(is_separated(&reader) ? read_separated(&reader, date) : read_dicom(&reader, date)))
		return false;
	date->rest.length = reader.at - date->rest.text;
	return reader.at == reader.end && (date->day == 0 || date->day <= days_of_month(date->year, date->month));
}

/* Days since 1 March of the year 0, in the Gregorian calendar: a year that ends with February has its leap day last. */
static int
day_number(int year, int month, int day)
{
	int y = month > 2 ? year : year - 1;
	int m = month > 2 ? month - 3 : month + 9;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
}

static void
set_day_number(struct date *date, int number)
{
	int era = number / 146097; /* of 400 years */
	int day = number % 146097;
	int y = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int m;

	day -= 365 * y + y / 4 - y / 100;
	m = (5 * day + 2) / 153;
	date->day = day - (153 * m + 2) / 5 + 1;
	date->month = m < 10 ? m + 3 : m - 9;
	date->year = 400 * era + y + (m < 10 ? 0 : 1);
}

static void
append_date(const struct date *date, bool has_month, bool has_day, struct dicom_buffer *out)
{
	dicom_buffer_printf(out, "%04d", date->year);
	if (has_month && date->separator)
		dicom_buffer_append_char(out, date->separator);
	if (has_month)
		dicom_buffer_printf(out, "%02d", date->month);
	if (has_day && date->separator)
		dicom_buffer_append_char(out, date->separator);
	if (has_day)
		dicom_buffer_printf(out, "%02d", date->day);
}

bool
deid_shift_date(struct deid_text value, int days, struct dicom_buffer *out)
{
	struct date date;
	bool has_month;
	bool has_day;
	int64_t number;

	if (!read_date(value, &date))
		return false;
	has_month = date.month > 0;
	has_day = date.day > 0;
	number = (int64_t) day_number(date.year, has_month ? date.month : 1, has_day ? date.day : 1) + days;
	if (number < day_number(1, 1, 1) || number > day_number(9999, 12, 31))
		return false;
	set_day_number(&date, (int) number);
	append_date(&date, has_month, has_day, out);
	dicom_buffer_append(out, date.rest.text, date.rest.length);
	return true;
}

bool
deid_truncate_date(struct deid_text value, bool by_year, struct dicom_buffer *out)
{
	struct date date;
	bool has_month;
	bool has_day;

	if (!read_date(value, &date))
		return false;
	has_month = date.month > 0;
	has_day = date.day > 0;
	if (by_year)
		date.month = 1;
	date.day = 1;
	append_date(&date, has_month, has_day, out);
	return true;
}
