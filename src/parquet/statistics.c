/*
 * statistics.c
 *	  The least and the greatest value of a page or a column.
 */
#include <endian.h>
#include <math.h>
#include <string.h>

#include "statistics.h"

enum order
{
	ORDER_INTEGER,
	ORDER_REAL,
	ORDER_BYTES,
	ORDER_SIGNED_BYTES /* a decimal in two's complement, big endian */
};

static enum order
order_of(const struct parquet_column *column)
{
	switch (physical_type_of(column))
	{
		case PHYSICAL_FLOAT:
		case PHYSICAL_DOUBLE:
			return ORDER_REAL;
		case PHYSICAL_BYTES:
			return ORDER_BYTES;
		case PHYSICAL_FIXED:
			return column->type == PARQUET_DECIMAL ? ORDER_SIGNED_BYTES : ORDER_BYTES;
		default:
			return ORDER_INTEGER;
	}
}

static int
compare_bytes(const struct bound *a, const struct bound *b)
{
	size_t common = a->length < b->length ? a->length : b->length;
	int difference = memcmp(a->bytes, b->bytes, common);

	if (difference != 0)
		return difference;
	if (a->length != b->length)
		return (int) a->length - (int) b->length;
	return (int) a->is_cut - (int) b->is_cut;
}

static int
compare(const struct bound *a, const struct bound *b, enum order order)
{
	switch (order)
	{
		case ORDER_INTEGER:
			return (a->integer > b->integer) - (a->integer < b->integer);
		case ORDER_REAL:
			return (a->real > b->real) - (a->real < b->real);
		case ORDER_SIGNED_BYTES:
			if ((a->bytes[0] ^ b->bytes[0]) & 0x80)
				return a->bytes[0] & 0x80 ? -1 : 1;
			return compare_bytes(a, b);
		default:
			return compare_bytes(a, b);
	}
}

static uint32_t
load32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static uint64_t
load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

/* The first eight bytes as a number that sorts as they do; zeros behind a shorter value. */
static uint64_t
prefix_of(const uint8_t *bytes, uint32_t length)
{
	uint64_t prefix = 0;

	if (length >= sizeof(prefix))
		memcpy(&prefix, bytes, sizeof(prefix));
	else if (length > 0)
		memcpy(&prefix, bytes, length);
	return be64toh(prefix);
}

static void
widen(struct statistics *statistics, const struct bound *least, const struct bound *greatest,
	  enum order order)
{
	if (!statistics->has_bounds)
	{
		statistics->least = *least;
		statistics->greatest = *greatest;
		statistics->has_bounds = true;
		return;
	}
	if (compare(least, &statistics->least, order) < 0)
		statistics->least = *least;
	if (compare(greatest, &statistics->greatest, order) > 0)
		statistics->greatest = *greatest;
}

/* --- many values at once, in their plain encoding --- */

static void
add_integers(struct statistics *statistics, enum physical_type type, const uint8_t *plain, uint32_t count)
{
	struct bound least = {.integer = INT64_MAX}, greatest = {.integer = INT64_MIN};
	uint32_t i;

	for (i = 0; i < count; i++)
	{
		int64_t value = type == PHYSICAL_BOOLEAN ? plain[i]
						: type == PHYSICAL_INT32 ? (int32_t) load32(plain + (size_t) i * 4)
												 : (int64_t) load64(plain + (size_t) i * 8);

		if (value < least.integer)
			least.integer = value;
		if (value > greatest.integer)
			greatest.integer = value;
	}
	widen(statistics, &least, &greatest, ORDER_INTEGER);
}

static double
load_real(enum physical_type type, const uint8_t *bytes)
{
	uint64_t bits;
	uint32_t half;
	double real;
	float single;

	if (type == PHYSICAL_DOUBLE)
	{
		bits = load64(bytes);
		memcpy(&real, &bits, sizeof(real));
		return real;
	}
	half = load32(bytes);
	memcpy(&single, &half, sizeof(single));
	return single;
}

static void
add_reals(struct statistics *statistics, enum physical_type type, const uint8_t *plain, uint32_t count)
{
	struct bound least = {.real = INFINITY}, greatest = {.real = -INFINITY};
	size_t size = type == PHYSICAL_DOUBLE ? 8 : 4;
	uint32_t i;

	for (i = 0; i < count; i++)
	{
		double value = load_real(type, plain + i * size);

		if (isnan(value))
			statistics->has_nan = true;
		if (value < least.real)
			least.real = value;
		if (value > greatest.real)
			greatest.real = value;
	}
	widen(statistics, &least, &greatest, ORDER_REAL);
}

struct bytes
{
	const uint8_t *bytes;
	uint32_t length;
	uint64_t prefix;
};

static int
compare_whole(const struct bytes *a, const struct bytes *b)
{
	uint32_t common = a->length < b->length ? a->length : b->length;
	int difference;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	difference = memcmp(a->bytes, b->bytes, common);
	return difference ? difference : (a->length > b->length) - (a->length < b->length);
}

static void
bound_of_bytes(struct bound *bound, const struct bytes *value)
{
	bound->is_cut = value->length > STATISTICS_LONGEST;
	bound->length = (uint8_t) (bound->is_cut ? STATISTICS_LONGEST : value->length);
	memcpy(bound->bytes, value->bytes, bound->length);
}

/* A number's sign is the highest bit, and it sorts the other way round: it is turned in the prefix, which decides then. */
static struct bytes
bytes_at(const struct parquet_column *column, enum physical_type type, const uint8_t *plain)
{
	struct bytes value = {.bytes = plain, .length = FIXED_LENGTH};

	if (type == PHYSICAL_BYTES)
	{
		value.length = load32(plain);
		value.bytes = plain + 4;
	}
	value.prefix = prefix_of(value.bytes, value.length);
	if (column->type == PARQUET_DECIMAL)
		value.prefix ^= (uint64_t) 1 << 63;
	return value;
}

static void
add_bytes(struct statistics *statistics, const struct parquet_column *column, enum physical_type type,
		  const uint8_t *plain, uint32_t count)
{
	struct bytes least = bytes_at(column, type, plain), greatest = least;
	struct bound least_bound = {.length = 0}, greatest_bound = {.length = 0};

	while (--count > 0)
	{
		struct bytes value;

		plain += type == PHYSICAL_BYTES ? 4 + (size_t) load32(plain) : FIXED_LENGTH;
		value = bytes_at(column, type, plain);
		if (value.prefix > least.prefix && value.prefix < greatest.prefix)
			continue;
		if (compare_whole(&value, &least) < 0)
			least = value;
		else if (compare_whole(&value, &greatest) > 0)
			greatest = value;
	}
	bound_of_bytes(&least_bound, &least);
	bound_of_bytes(&greatest_bound, &greatest);
	widen(statistics, &least_bound, &greatest_bound, order_of(column));
}

void
statistics_add(struct statistics *statistics, const struct parquet_column *column, const uint8_t *plain,
			   uint32_t count)
{
	enum physical_type type = physical_type_of(column);

	statistics->values += count;
	if (count == 0)
		return;
	switch (order_of(column))
	{
		case ORDER_INTEGER:
			add_integers(statistics, type, plain, count);
			break;
		case ORDER_REAL:
			add_reals(statistics, type, plain, count);
			break;
		default:
			add_bytes(statistics, column, type, plain, count);
	}
}

void
statistics_merge(struct statistics *statistics, const struct parquet_column *column,
				 const struct statistics *more)
{
	statistics->values += more->values;
	statistics->nulls += more->nulls;
	statistics->has_nan |= more->has_nan;
	if (more->has_bounds)
		widen(statistics, &more->least, &more->greatest, order_of(column));
}

/* Drops what a cut left of a character. */
static int
whole_characters(const uint8_t *bytes, int length)
{
	int start = length;

	while (start > 0 && (bytes[start - 1] & 0xC0) == 0x80)
		start--;
	return start > 0 && bytes[start - 1] >= 0xC0 ? start - 1 : start > 0 ? length : 0;
}

/* Raises a prefix so that it is above all that begins so; the text stays text. -1: there is no such. */
static int
raise_prefix(uint8_t *bytes, int length, bool is_text)
{
	int highest = is_text ? 0x7E : 0xFE;

	while (length > 0 && bytes[length - 1] > highest)
		length--;
	if (length == 0)
		return -1;
	bytes[length - 1]++;
	return length;
}

static int
bytes_bound(const struct bound *bound, const struct parquet_column *column, bool greatest, uint8_t *bytes)
{
	bool is_text = column->type != PARQUET_BINARY;
	int length = bound->length;

	memcpy(bytes, bound->bytes, (size_t) length);
	if (!bound->is_cut)
		return length;
	if (is_text && !greatest)
		return whole_characters(bytes, length);
	return greatest ? raise_prefix(bytes, length, is_text) : length;
}

/* Zeros are equal and may be of either sign: bounds must hold both (parquet.thrift, ColumnOrder). */
static int
real_bound(double real, const struct parquet_column *column, bool greatest, uint8_t *bytes)
{
	float single;

	if (real == 0)
		real = greatest ? 0.0 : -0.0;
	if (physical_type_of(column) == PHYSICAL_DOUBLE)
	{
		memcpy(bytes, &real, sizeof(real));
		return sizeof(real);
	}
	single = (float) real;
	memcpy(bytes, &single, sizeof(single));
	return sizeof(single);
}

static int
integer_bound(int64_t integer, const struct parquet_column *column, uint8_t *bytes)
{
	enum physical_type physical = physical_type_of(column);
	int length = physical == PHYSICAL_BOOLEAN ? 1 : physical == PHYSICAL_INT32 ? 4 : 8;
	int i;

	for (i = 0; i < length; i++)
		bytes[i] = (uint8_t) ((uint64_t) integer >> 8 * i);
	return length;
}

int
statistics_bound(const struct statistics *statistics, const struct parquet_column *column, bool greatest,
				 uint8_t *bytes, bool *is_exact)
{
	const struct bound *bound = greatest ? &statistics->greatest : &statistics->least;

	*is_exact = true;
	if (!statistics->has_bounds || statistics->has_nan)
		return -1;
	switch (order_of(column))
	{
		case ORDER_INTEGER:
			return integer_bound(bound->integer, column, bytes);
		case ORDER_REAL:
			return real_bound(bound->real, column, greatest, bytes);
		default:
			*is_exact = !bound->is_cut;
			return bytes_bound(bound, column, greatest, bytes);
	}
}

void
statistics_put(struct thrift_writer *writer, int field, const struct statistics *statistics,
			   const struct parquet_column *column)
{
	uint8_t least[STATISTICS_LONGEST], greatest[STATISTICS_LONGEST];
	bool least_exact, greatest_exact;
	int least_length = statistics_bound(statistics, column, false, least, &least_exact);
	int greatest_length = statistics_bound(statistics, column, true, greatest, &greatest_exact);

	thrift_begin_struct(writer, field);
	thrift_put_i64(writer, 3, (int64_t) statistics->nulls);
	if (greatest_length >= 0)
		thrift_put_binary(writer, 5, greatest, (size_t) greatest_length);
	if (least_length >= 0)
		thrift_put_binary(writer, 6, least, (size_t) least_length);
	if (greatest_length >= 0)
		thrift_put_bool(writer, 7, greatest_exact);
	if (least_length >= 0)
		thrift_put_bool(writer, 8, least_exact);
	thrift_end_struct(writer);
}
