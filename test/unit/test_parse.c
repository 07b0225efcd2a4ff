/*
 * test_parse.c
 *	  Dates, times, numbers and ages: what is read, and above all what is not.
 */
#include <locale.h>
#include <math.h>

#include "dicom/value.h"
#include "unit.h"

static int
date_is(const char *text, int year, int month, int day)
{
	struct dicom_date date;

	return dicom_parse_date(text, strlen(text), &date) && date.year == year && date.month == month &&
		   date.day == day;
}

static int
no_date(const char *text)
{
	struct dicom_date date = {1, 2, 3};

	return !dicom_parse_date(text, strlen(text), &date) && date.year == 1 && date.month == 2 && date.day == 3;
}

/* Microseconds since midnight, -1 where the text is no time. */
static long long
time_of(const char *text)
{
	int64_t microseconds = -1;

	return dicom_parse_time(text, strlen(text), &microseconds) ? microseconds : -1;
}

static long long
at(int hour, int minute, int second, int microsecond)
{
	return ((hour * 60LL + minute) * 60 + second) * 1000000 + microsecond;
}

static int
datetime_is(const char *text, struct dicom_datetime want)
{
	struct dicom_datetime got;

	return dicom_parse_datetime(text, strlen(text), &got) && got.date.year == want.date.year &&
		   got.date.month == want.date.month && got.date.day == want.date.day &&
		   got.microseconds == want.microseconds && got.has_offset == want.has_offset &&
		   got.offset_minutes == want.offset_minutes && got.precision == want.precision;
}

static int
no_datetime(const char *text)
{
	struct dicom_datetime datetime;

	return !dicom_parse_datetime(text, strlen(text), &datetime);
}

static int
decimal_is(const char *text, double want)
{
	double got;

	return dicom_parse_decimal(text, strlen(text), &got) && got == want && signbit(got) == signbit(want);
}

static int
no_decimal(const char *text)
{
	double got;

	return !dicom_parse_decimal(text, strlen(text), &got);
}

static int
integer_is(const char *text, int64_t want)
{
	int64_t got;

	return dicom_parse_integer(text, strlen(text), &got) && got == want;
}

static int
no_integer(const char *text)
{
	int64_t got;

	return !dicom_parse_integer(text, strlen(text), &got);
}

static int
age_is(const char *text, int want_count, char want_unit)
{
	int count;
	char unit;

	return dicom_parse_age(text, strlen(text), &count, &unit) && count == want_count && unit == want_unit;
}

static int
no_age(const char *text)
{
	int count;
	char unit;

	return !dicom_parse_age(text, strlen(text), &count, &unit);
}

UNIT_TEST(parse_date_forms)
{
	CHECK(date_is("20040826", 2004, 8, 26));
	CHECK(date_is("1996.08.12", 1996, 8, 12));
	CHECK(date_is("1996-08-12", 1996, 8, 12));
	CHECK(date_is("  20040826 ", 2004, 8, 26));
	CHECK(date_is("00010101", 1, 1, 1));
	CHECK(date_is("99991231", 9999, 12, 31));
	CHECK(no_date("") && no_date("    ") && no_date("2004") && no_date("200408") && no_date("2004082"));
	CHECK(no_date("200408266") && no_date("20040826x") && no_date("2004 826") && no_date("2004082+"));
	CHECK(no_date("1996.08-12") && no_date("1996.0812") && no_date("199608.12") && no_date("1996/08/12"));
	CHECK(no_date("96.08.12") && no_date("1996.8.12") && no_date("19960812-19960813") &&
		  no_date("1996.08.12."));
	CHECK(no_date("2004\\0826") && no_date("20040826120000"));
}

/* The existing days of every month in years of every kind, and none beside. */
UNIT_TEST(parse_date_calendar)
{
	static const struct
	{
		int year;
		int february;
	} years[] = {{2004, 29}, {2003, 28}, {1900, 28}, {2000, 29}, {2100, 28}, {1600, 29}};
	static const int days[] = {31, 0, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	size_t y;
	int month;
	int day;

	for (y = 0; y < sizeof years / sizeof years[0]; y++)
		for (month = 0; month <= 13; month++)
			for (day = 0; day <= 32; day++)
			{
				int last = month < 1 || month > 12 ? 0 : month == 2 ? years[y].february : days[month - 1];
				char text[32];

				snprintf(text, sizeof text, "%04d%02d%02d", years[y].year, month, day);
				if (day >= 1 && day <= last)
					CHECK(date_is(text, years[y].year, month, day));
				else
					CHECK(no_date(text));
			}
	CHECK(no_date("00000101"));
}

UNIT_TEST(parse_time_forms)
{
	CHECK(time_of("10") == at(10, 0, 0, 0));
	CHECK(time_of("1011") == at(10, 11, 0, 0));
	CHECK(time_of("101112") == at(10, 11, 12, 0));
	CHECK(time_of("101112.5") == at(10, 11, 12, 500000));
	CHECK(time_of("101112.51") == at(10, 11, 12, 510000));
	CHECK(time_of("101112.512") == at(10, 11, 12, 512000));
	CHECK(time_of("101112.5123") == at(10, 11, 12, 512300));
	CHECK(time_of("101112.51234") == at(10, 11, 12, 512340));
	CHECK(time_of("101112.512345") == at(10, 11, 12, 512345));
	CHECK(time_of("101112.000001") == at(10, 11, 12, 1));
	CHECK(time_of("101112.512345000") == at(10, 11, 12, 512345));
	CHECK(time_of("10:11") == at(10, 11, 0, 0));
	CHECK(time_of("10:11:12") == at(10, 11, 12, 0));
	CHECK(time_of("10:11:12.25") == at(10, 11, 12, 250000));
	CHECK(time_of(" 101112 ") == at(10, 11, 12, 0));
	CHECK(time_of("00") == 0 && time_of("235959.999999") == at(23, 59, 59, 999999));
}

UNIT_TEST(parse_time_refused)
{
	CHECK(time_of("") == -1 && time_of("1") == -1 && time_of("101") == -1 && time_of("10111") == -1);
	CHECK(time_of("24") == -1 && time_of("1060") == -1 && time_of("101061") == -1);
	CHECK(time_of("101112.") == -1 && time_of("101112.5123451") == -1 && time_of("1011.5") == -1);
	CHECK(time_of("10:1112") == -1 && time_of("1011:12") == -1 && time_of("10:") == -1 &&
		  time_of("10:11:") == -1);
	CHECK(time_of("101112Z") == -1 && time_of("1000-1200") == -1 && time_of("-10") == -1 &&
		  time_of("1 11") == -1);
	CHECK(time_of("10.5") == -1 && time_of("1011121") == -1 && time_of("101112+0100") == -1);
}

UNIT_TEST(parse_time_end_of_day)
{
	CHECK(time_of("101060") == at(10, 11, 0, 0));
	CHECK(time_of("105960.25") == at(11, 0, 0, 250000));
	CHECK(time_of("235960") == -1);
	CHECK(time_of("24:00:00") == -1);
	CHECK(time_of("240000") == -1);
}

UNIT_TEST(parse_datetime_precision)
{
	CHECK(datetime_is("2004", (struct dicom_datetime){{2004, 1, 1}, 0, false, 0, 1}));
	CHECK(datetime_is("200408", (struct dicom_datetime){{2004, 8, 1}, 0, false, 0, 2}));
	CHECK(datetime_is("20040826", (struct dicom_datetime){{2004, 8, 26}, 0, false, 0, 3}));
	CHECK(datetime_is("2004082610", (struct dicom_datetime){{2004, 8, 26}, at(10, 0, 0, 0), false, 0, 4}));
	CHECK(datetime_is("200408261011", (struct dicom_datetime){{2004, 8, 26}, at(10, 11, 0, 0), false, 0, 5}));
	CHECK(datetime_is("20040826101112",
					  (struct dicom_datetime){{2004, 8, 26}, at(10, 11, 12, 0), false, 0, 6}));
	CHECK(datetime_is(" 20040826101112.000001 ",
					  (struct dicom_datetime){{2004, 8, 26}, at(10, 11, 12, 1), false, 0, 6}));
	CHECK(no_datetime("") && no_datetime("200") && no_datetime("20040") && no_datetime("2004082"));
	CHECK(no_datetime("200408261") && no_datetime("0000") && no_datetime("200413") &&
		  no_datetime("20040230"));
	CHECK(no_datetime("2004082624") && no_datetime("20040826235960") && no_datetime("2004-08-26"));
	CHECK(no_datetime("20040826101112.") && no_datetime("200408261011.5") && no_datetime("20040826x"));
}

UNIT_TEST(parse_datetime_offset)
{
	CHECK(datetime_is("20040826101112.5+0200",
					  (struct dicom_datetime){{2004, 8, 26}, at(10, 11, 12, 500000), true, 120, 6}));
	CHECK(datetime_is("20040826-1200", (struct dicom_datetime){{2004, 8, 26}, 0, true, -720, 3}));
	CHECK(datetime_is("2004+1400", (struct dicom_datetime){{2004, 1, 1}, 0, true, 840, 1}));
	CHECK(datetime_is("2004-0330", (struct dicom_datetime){{2004, 1, 1}, 0, true, -210, 1}));
	CHECK(datetime_is("2004082610+0545",
					  (struct dicom_datetime){{2004, 8, 26}, at(10, 0, 0, 0), true, 345, 4}));
	CHECK(datetime_is("2004+0000", (struct dicom_datetime){{2004, 1, 1}, 0, true, 0, 1}));
	CHECK(no_datetime("2004+1401") && no_datetime("2004-1201") && no_datetime("2004+0160"));
	CHECK(no_datetime("2004+01") && no_datetime("2004+01000") && no_datetime("2004+") &&
		  no_datetime("2004+01:00"));
	CHECK(no_datetime("2004Z") && no_datetime("+0100"));
}

UNIT_TEST(parse_decimal)
{
	CHECK(decimal_is("1", 1) && decimal_is("+1", 1) && decimal_is("-1", -1) && decimal_is(" 1.5 ", 1.5));
	CHECK(decimal_is(".5", .5) && decimal_is("5.", 5) && decimal_is("-.5", -.5) &&
		  decimal_is("007.250", 7.25));
	CHECK(decimal_is("1e3", 1000) && decimal_is("1.25E-2", 0.0125) && decimal_is("1E+05", 100000));
	CHECK(decimal_is("0", 0) && decimal_is("-0.0", -0.0) && decimal_is("0e999999999999", 0));
	CHECK(decimal_is("0.1", 0.1) && decimal_is("0.675781", 0.675781) && decimal_is("-1024", -1024));
	CHECK(decimal_is("1.7976931348623157e308", 1.7976931348623157e308));
	CHECK(decimal_is("9007199254740993", 9007199254740992.0));
	CHECK(decimal_is("0.3000000000000000166533453693773481063544750213623046875",
					 0.3000000000000000166533453693773481063544750213623046875));
	CHECK(no_decimal("") && no_decimal(" ") && no_decimal(".") && no_decimal("+") && no_decimal("-.e1"));
	CHECK(no_decimal("e5") && no_decimal("1e") && no_decimal("1e+") && no_decimal("1.2.3") &&
		  no_decimal("1,5"));
	CHECK(no_decimal("0x10") && no_decimal("nan") && no_decimal("inf") && no_decimal("Infinity"));
	CHECK(no_decimal("1 2") && no_decimal("+-1") && no_decimal("1d5") && no_decimal("1.5mm") &&
		  no_decimal("1\\2"));
	CHECK(no_decimal("1e309") && no_decimal("1e999999999999") && no_decimal("1e-400"));
}

/* A program that took over the user's locale reads and writes the same numbers. */
UNIT_TEST(parse_decimal_any_locale)
{
	static const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8",
										 "ru_RU.UTF-8"};
	struct dicom_buffer out = {0};
	size_t i;

	for (i = 0; i < sizeof commas / sizeof commas[0]; i++)
		if (setlocale(LC_NUMERIC, commas[i]))
			break;
	if (i == sizeof commas / sizeof commas[0])
		unit_skip("no locale with a decimal comma is installed");
	CHECK(decimal_is("1.5", 1.5));
	CHECK(no_decimal("1,5"));
	dicom_append_real(&out, 0.1, false);
	CHECK_TEXT(out.data, out.length, "0.1");
	dicom_buffer_free(&out);
	setlocale(LC_NUMERIC, "C");
}

UNIT_TEST(parse_integer)
{
	CHECK(integer_is("0", 0) && integer_is("+12", 12) && integer_is(" -12 ", -12) && integer_is("0012", 12));
	CHECK(integer_is("12.0", 12) && integer_is("12.", 12) && integer_is("-3.000", -3));
	CHECK(integer_is("9223372036854775807", INT64_MAX) && integer_is("-9223372036854775808", INT64_MIN));
	CHECK(no_integer("9223372036854775808") && no_integer("-9223372036854775809"));
	CHECK(no_integer("99999999999999999999999999"));
	CHECK(no_integer("") && no_integer(" ") && no_integer("-") && no_integer("12.5") && no_integer("1e3"));
	CHECK(no_integer("1 2") && no_integer("0x1F") && no_integer("12a") && no_integer("--1") &&
		  no_integer(".0"));
}

UNIT_TEST(parse_age)
{
	CHECK(age_is("018M", 18, 'M') && age_is("045Y", 45, 'Y') && age_is("003D", 3, 'D') &&
		  age_is(" 010W ", 10, 'W'));
	CHECK(age_is("45Y", 45, 'Y') && age_is("000D", 0, 'D') && age_is("999Y", 999, 'Y'));
	CHECK(no_age("") && no_age("Y") && no_age("045") && no_age("045y") && no_age("0045Y") && no_age("045Y1"));
	CHECK(no_age("-45Y") && no_age("4 5Y") && no_age("045H"));
}

static const char *
real(double number, bool single)
{
	static struct dicom_buffer out;

	dicom_buffer_reset(&out);
	dicom_append_real(&out, number, single);
	return out.data;
}

UNIT_TEST(append_real)
{
	CHECK_STRING(real(0, false), "0");
	CHECK_STRING(real(-0.0, false), "-0");
	CHECK_STRING(real(1, true), "1");
	CHECK_STRING(real(0.1f, true), "0.1");
	CHECK_STRING(real(0.1f, false), "0.10000000149011612");
	CHECK_STRING(real(0.1, false), "0.1");
	CHECK_STRING(real(1.0 / 3, false), "0.3333333333333333");
	CHECK_STRING(real(100, false), "100");
	CHECK_STRING(real(-1234.5, false), "-1234.5");
	CHECK_STRING(real(123456, true), "123456");
	CHECK_STRING(real(1e6, true), "1e+06");
	CHECK_STRING(real(1e14, false), "100000000000000");
	CHECK_STRING(real(1e15, false), "1e+15");
	CHECK_STRING(real(1.25e-5, false), "1.25e-05");
	CHECK_STRING(real(0.0001, false), "0.0001");
	CHECK_STRING(real(1.7976931348623157e308, false), "1.7976931348623157e+308");
	CHECK_STRING(real(5e-324, false), "5e-324");
	CHECK_STRING(real(3.4028234663852886e38, true), "3.4028235e+38");
	CHECK_STRING(real(NAN, false), "NaN");
	CHECK_STRING(real(-INFINITY, true), "-Infinity");
}
