/*
 * decimal.c
 *	  A numeric as a whole number.
 */
#include "postgres.h"

#include "../pg/compat.h"

#include "decimal.h"

#define BASE        10000
#define BASE_DIGITS 4

/* What the header says. The digits begin behind it, unaligned. */
struct parts
{
	bool is_special;
	bool is_negative;
	int weight; /* of the first digit, in powers of the base */
	const char *digits;
	int digit_count;
};

static uint16
load16(const char *bytes)
{
	uint16 value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* The two highest bits: 00 and 01 a long header, positive and negative; 10 a short one; 11 no number. */
static struct parts
read_parts(const struct varlena *numeric)
{
	const char *bytes = VARDATA_ANY(numeric);
	const char *end = bytes + VARSIZE_ANY_EXHDR(numeric);
	uint16 header = load16(bytes);
	struct parts parts = {.is_special = (header & 0xC000) == 0xC000};

	if (header & 0x8000)
	{
		parts.is_negative = (header & 0x2000) != 0;
		parts.weight = (header & 0x3F) - (header & 0x40);
		parts.digits = bytes + 2;
	}
	else
	{
		parts.is_negative = (header & 0x4000) != 0;
		parts.weight = (int16) load16(bytes + 2);
		parts.digits = bytes + 4;
	}
	if (!parts.is_special)
		parts.digit_count = (int) (end - parts.digits) / 2;
	return parts;
}

static int
power_of_ten(int exponent)
{
	static const int powers[] = {1, 10, 100, 1000, BASE};

	return powers[exponent];
}

static int
decimal_digits(int digit)
{
	return digit >= 1000 ? 4 : digit >= 100 ? 3 : digit >= 10 ? 2 : 1;
}

/* There are neither zeros in front of the digits nor behind them, so that their places say how long the number is. */
enum decimal_result
decimal_of_numeric(const struct varlena *numeric, int precision, int scale, __int128 *number)
{
	struct parts parts = read_parts(numeric);
	int behind =
		(parts.digit_count - 1 - parts.weight) * BASE_DIGITS - scale; /* the last digit is too long */
	int i, last;

	*number = 0;
	if (parts.is_special)
		return DECIMAL_SPECIAL;
	if (parts.digit_count == 0)
		return DECIMAL_OK;
	if (decimal_digits(load16(parts.digits)) + parts.weight * BASE_DIGITS + scale > precision ||
		behind >= BASE_DIGITS)
		return DECIMAL_TOO_LONG;
	for (i = 0; i < parts.digit_count - 1; i++)
		*number = *number * BASE + load16(parts.digits + 2 * i);
	last = load16(parts.digits + 2 * i);
	if (behind > 0 && last % power_of_ten(behind) != 0)
		return DECIMAL_TOO_LONG;
	if (behind > 0)
		*number = *number * power_of_ten(BASE_DIGITS - behind) + last / power_of_ten(behind);
	else
		*number = *number * BASE + last;
	for (; behind < 0; behind += Min(-behind, BASE_DIGITS))
		*number *= power_of_ten(Min(-behind, BASE_DIGITS));
	if (parts.is_negative)
		*number = -*number;
	return DECIMAL_OK;
}
