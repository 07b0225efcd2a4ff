/*
 * s3_text.c
 *	  Values that S3 puts into headers and XML.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../dicom/hex.h"
#include "s3.h"

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t
days_since_epoch(int year, int month, int day)
{
	int shifted = year - (month <= 2);
	int era = shifted / 400;
	int year_of_era = shifted - era * 400;
	int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return (int64_t) era * 146097 + day_of_era - 719468;
}

static int64_t
microseconds(int year, int month, int day, int hour, int minute, int second, int64_t fraction)
{
	if (year < 1900 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
		hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return 0;
	return (((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000000 +
		   fraction;
}

static int64_t
parse_fraction(const char *text)
{
	int64_t fraction = 0;
	int64_t unit = 100000;

	if (*text++ != '.')
		return 0;
	for (; *text >= '0' && *text <= '9' && unit > 0; text++, unit /= 10)
		fraction += (*text - '0') * unit;
	return fraction;
}

static int
month_of(const char *name)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *found = strlen(name) == 3 ? strstr(months, name) : NULL;

	return found && (found - months) % 3 == 0 ? (int) (found - months) / 3 + 1 : 0;
}

int64_t
s3_parse_time(const char *text)
{
	int year, month, day, hour, minute, second;
	char month_name[4];
	int end = 0;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &end) == 6 &&
		end)
		return microseconds(year, month, day, hour, minute, second, parse_fraction(text + end));
	if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d", &day, month_name, &year, &hour, &minute,
			   &second) == 6)
		return microseconds(year, month_of(month_name), day, hour, minute, second, 0);
	return 0;
}

bool
s3_parse_number(const char *text, uint64_t *number)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++)
	{
		if (*text < '0' || *text > '9' || value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (*text - '0');
	}
	*number = value;
	return true;
}

void
s3_strip_etag(char *etag)
{
	size_t length = strlen(etag);
	size_t start = strncmp(etag, "W/", 2) == 0 ? 2 : 0;

	if (length > start + 1 && etag[start] == '"' && etag[length - 1] == '"')
	{
		start++;
		length--;
	}
	memmove(etag, etag + start, length - start);
	etag[length - start] = '\0';
}

bool
s3_decode_url(char *text, size_t *length)
{
	size_t from;
	size_t to = 0;

	for (from = 0; from < *length; from++)
	{
		int high, low;

		if (text[from] != '%')
		{
			text[to++] = text[from] == '+' ? ' ' : text[from];
			continue;
		}
		high = from + 2 < *length ? hex_digit(text[from + 1]) : -1;
		low = from + 2 < *length ? hex_digit(text[from + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0)
			return false;
		text[to++] = (char) (high << 4 | low);
		from += 2;
	}
	text[to] = '\0';
	*length = to;
	return true;
}

/* Digits up to `end`; moves *text behind end. */
static bool
take_number(const char **text, char end, uint64_t *number)
{
	char digits[24];
	size_t length = strspn(*text, "0123456789");

	if (length >= sizeof(digits) || (*text)[length] != end)
		return false;
	memcpy(digits, *text, length);
	digits[length] = '\0';
	*text += length + (end ? 1 : 0);
	return s3_parse_number(digits, number);
}

bool
s3_parse_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *size)
{
	if (strncasecmp(text, "bytes ", 6) != 0)
		return false;
	text += 6;
	if (strncmp(text, "*/", 2) == 0)
	{
		*first = 1;
		*last = 0;
		text += 2;
	}
	else if (!take_number(&text, '-', first) || !take_number(&text, '/', last) || *first > *last)
		return false;
	if (strcmp(text, "*") == 0)
	{
		*size = STORE_SIZE_UNKNOWN;
		return true;
	}
	return take_number(&text, '\0', size);
}

void
s3_describe(const struct http_answer *answer, struct s3_description *description)
{
	char text[64];

	memset(description, 0, sizeof(*description));
	if (!http_header_copy(answer, "etag", description->etag, sizeof(description->etag)))
		description->etag[0] = '\0';
	s3_strip_etag(description->etag);
	if (!http_header_copy(answer, "x-amz-storage-class", description->storage_class,
						  sizeof(description->storage_class)))
		strcpy(description->storage_class, "STANDARD");
	if (http_header_copy(answer, "last-modified", text, sizeof(text)))
		description->last_modified = s3_parse_time(text);
	if (!http_header_copy(answer, "content-length", text, sizeof(text)) ||
		!s3_parse_number(text, &description->size))
		description->size = STORE_SIZE_UNKNOWN;
}
