/*
 * value_format.c
 *	  Binary floating-point numbers as the shortest decimals. Independent of the locale: see value_parse.c.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

/* The fewest digits that read back as the same number, without point or sign, and the exponent of the first. */
static int
shortest_digits(double real, bool single_precision, char *digits, int *exponent)
{
	bool subnormal = real < (single_precision ? FLT_MIN : DBL_MIN);
	int precision;

	for (precision = subnormal ? 1 : single_precision ? FLT_DIG : DBL_DIG; precision < 18; precision++)
	{
		char text[40];
		char plain[40];
		int count = 0;
		char *p;

		snprintf(text, sizeof text, "%.*e", precision - 1, real);
		for (p = text; *p && *p != 'e'; p++)
			if (*p >= '0' && *p <= '9') /* and not the point, which is the locale's */
				digits[count++] = *p;
		digits[count] = '\0';
		*exponent = (int) strtol(p + 1, NULL, 10);
		snprintf(plain, sizeof plain, "%se%d", digits, *exponent - (count - 1));
		if (single_precision ? strtof(plain, NULL) == (float) real : strtod(plain, NULL) == real)
			break;
	}
	while (strlen(digits) > 1 && digits[strlen(digits) - 1] == '0')
		digits[strlen(digits) - 1] = '\0';
	return (int) strlen(digits);
}

/* Written out between 0.0001 and a million or 10^15, with an exponent beyond, as PostgreSQL writes its float types. */
static void
append_digits(struct dicom_buffer *out, const char *digits, int count, int exponent, int limit)
{
	if (exponent < -4 || exponent >= limit)
	{
		dicom_buffer_append_char(out, digits[0]);
		if (count > 1)
			dicom_buffer_printf(out, ".%s", digits + 1);
		dicom_buffer_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
	}
	else if (exponent < 0)
		dicom_buffer_printf(out, "0.%.*s%s", -exponent - 1, "000", digits);
	else if (count <= exponent + 1)
		dicom_buffer_printf(out, "%s%.*s", digits, exponent + 1 - count, "000000000000000");
	else
		dicom_buffer_printf(out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
}

void
dicom_append_real(struct dicom_buffer *out, double real, bool single_precision)
{
	char digits[24];
	int exponent;
	int count;

	if (isnan(real))
	{
		dicom_buffer_append_string(out, "NaN");
		return;
	}
	if (signbit(real))
		dicom_buffer_append_char(out, '-');
	if (isinf(real))
		dicom_buffer_append_string(out, "Infinity");
	else if (real == 0)
		dicom_buffer_append_char(out, '0');
	else
	{
		count = shortest_digits(fabs(real), single_precision, digits, &exponent);
		append_digits(out, digits, count, exponent, single_precision ? 6 : 15);
	}
}
