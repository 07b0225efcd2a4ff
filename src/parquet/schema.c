/*
 * schema.c
 *	  The schema of a file that is read.
 */
#include <stdlib.h>
#include <string.h>

#include "schema.h"

/* One schema element as it stands in the file. */
struct element
{
	int physical; /* -1: a group */
	int64_t length;
	int64_t repetition;
	int64_t children;
	int64_t converted; /* -1: none */
	int64_t scale;
	int64_t precision;
	int logical; /* field of the union, 0: none */
	bool is_utc;
	bool is_micros;
	bool is_signed;
	int64_t bits;
	const uint8_t *name;
	uint32_t name_length;
};

static enum dicom_status
malformed(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MALFORMED, "the schema of the Parquet file makes no sense");
}

static enum dicom_status
not_read(struct dicom_error *error, int column)
{
	return dicom_fail(error, DICOM_ERROR_LIMIT,
					  "column %d of the Parquet file is of a type or nesting that is not read here",
					  column + 1);
}

/* The unit of a TIME or TIMESTAMP: a union of MILLIS, MICROS, NANOS. */
static void
read_unit(struct thrift_reader *reader, enum thrift_type type, struct element *element)
{
	int field;

	thrift_enter_struct(reader, type);
	while (thrift_next_field(reader, &field, &type))
	{
		element->is_micros = field == 2;
		thrift_skip(reader, type);
	}
}

static void
read_clock(struct thrift_reader *reader, enum thrift_type type, struct element *element)
{
	int field;

	thrift_enter_struct(reader, type);
	while (thrift_next_field(reader, &field, &type))
	{
		if (field == 1)
			element->is_utc = thrift_get_bool(reader, type);
		else if (field == 2 && type == THRIFT_STRUCT)
			read_unit(reader, type, element);
		else
			thrift_skip(reader, type);
	}
}

static void
read_integer_type(struct thrift_reader *reader, enum thrift_type type, struct element *element)
{
	int field;

	thrift_enter_struct(reader, type);
	while (thrift_next_field(reader, &field, &type))
	{
		if (field == 1)
			element->bits = thrift_get_integer(reader, type);
		else if (field == 2)
			element->is_signed = thrift_get_bool(reader, type);
		else
			thrift_skip(reader, type);
	}
}

static void
read_logical(struct thrift_reader *reader, enum thrift_type type, struct element *element)
{
	int field;

	thrift_enter_struct(reader, type);
	while (thrift_next_field(reader, &field, &type))
	{
		element->logical = field;
		if (type == THRIFT_STRUCT && (field == LOGICAL_TIME || field == LOGICAL_TIMESTAMP))
			read_clock(reader, type, element);
		else if (type == THRIFT_STRUCT && field == LOGICAL_INTEGER)
			read_integer_type(reader, type, element);
		else
			thrift_skip(reader, type);
	}
}

static bool
read_element(struct thrift_reader *reader, struct element *element)
{
	enum thrift_type type;
	int field;

	*element = (struct element){.physical = -1, .converted = -1};
	while (thrift_next_field(reader, &field, &type))
	{
		if (field == 1)
			element->physical = (int) thrift_get_integer(reader, type);
		else if (field == 2)
			element->length = thrift_get_integer(reader, type);
		else if (field == 3)
			element->repetition = thrift_get_integer(reader, type);
		else if (field == 4)
			element->name = thrift_get_binary(reader, type, &element->name_length);
		else if (field == 5)
			element->children = thrift_get_integer(reader, type);
		else if (field == 6)
			element->converted = thrift_get_integer(reader, type);
		else if (field == 7)
			element->scale = thrift_get_integer(reader, type);
		else if (field == 8)
			element->precision = thrift_get_integer(reader, type);
		else if (field == 10 && type == THRIFT_STRUCT)
			read_logical(reader, type, element);
		else
			thrift_skip(reader, type);
	}
	return !reader->failed && element->name && element->children >= 0;
}

static bool
type_of_int64(const struct element *element, struct parquet_column *column)
{
	switch (element->logical)
	{
		case LOGICAL_TIME:
			column->type = PARQUET_TIME;
			return element->is_micros && !element->is_utc;
		case LOGICAL_TIMESTAMP:
			column->type = element->is_utc ? PARQUET_TIMESTAMP_UTC : PARQUET_TIMESTAMP;
			return element->is_micros;
		case LOGICAL_DECIMAL:
			column->type = PARQUET_DECIMAL;
			return column->precision <= 18;
		case LOGICAL_INTEGER:
			column->type = PARQUET_INT64;
			return element->is_signed && element->bits == 64;
		default:
			column->type =
				element->converted == CONVERTED_TIMESTAMP_MICROS ? PARQUET_TIMESTAMP_UTC : PARQUET_INT64;
			return element->logical == 0;
	}
}

static bool
type_of_bytes(const struct element *element, struct parquet_column *column)
{
	if (element->logical == LOGICAL_JSON || element->converted == CONVERTED_JSON)
		column->type = PARQUET_JSON;
	else if (element->logical == LOGICAL_STRING || element->converted == CONVERTED_UTF8)
		column->type = PARQUET_STRING;
	else
		column->type = PARQUET_BINARY;
	return element->logical != LOGICAL_DECIMAL;
}

static bool
type_of_fixed(const struct element *element, struct parquet_column *column)
{
	column->type = element->logical == LOGICAL_DECIMAL ? PARQUET_DECIMAL : PARQUET_UUID;
	return element->length == FIXED_LENGTH &&
		   (element->logical == LOGICAL_UUID ||
			(element->logical == LOGICAL_DECIMAL && column->precision > 18));
}

static bool
type_of_int32(const struct element *element, struct parquet_column *column)
{
	bool is_date = element->logical == LOGICAL_DATE || element->converted == CONVERTED_DATE;

	column->type = is_date ? PARQUET_DATE : PARQUET_INT32;
	if (element->logical == LOGICAL_INTEGER)
		return element->is_signed && element->bits == 32;
	return is_date || (element->logical == 0 && element->converted == -1);
}

/* The type of a leaf; false for one that is not read. */
static bool
type_of(const struct element *element, struct parquet_column *column)
{
	if (element->logical == LOGICAL_DECIMAL || element->converted == CONVERTED_DECIMAL)
	{
		if (element->precision < 1 || element->precision > 38 || element->scale < 0 ||
			element->scale > element->precision)
			return false;
		column->precision = (int) element->precision;
		column->scale = (int) element->scale;
	}
	switch (element->physical)
	{
		case PHYSICAL_BOOLEAN:
			column->type = PARQUET_BOOLEAN;
			return true;
		case PHYSICAL_INT32:
			return type_of_int32(element, column);
		case PHYSICAL_INT64:
			return type_of_int64(element, column);
		case PHYSICAL_FLOAT:
			column->type = PARQUET_FLOAT;
			return true;
		case PHYSICAL_DOUBLE:
			column->type = PARQUET_DOUBLE;
			return true;
		case PHYSICAL_BYTES:
			return type_of_bytes(element, column);
		case PHYSICAL_FIXED:
			return type_of_fixed(element, column);
		default:
			return false;
	}
}

/* A list: the outer group was read; two more elements follow. *used is how many there were. */
static enum dicom_status
read_list(struct thrift_reader *reader, const struct element *outer, struct element *leaf,
		  struct footer_column *detail, int column, struct dicom_error *error)
{
	struct element middle;

	if (outer->children != 1 || (outer->logical != LOGICAL_LIST && outer->converted != CONVERTED_LIST))
		return not_read(error, column);
	thrift_enter_struct(reader, THRIFT_STRUCT);
	if (!read_element(reader, &middle))
		return malformed(error);
	if (middle.physical != -1 || middle.children != 1 || middle.repetition != REPETITION_REPEATED)
		return not_read(error, column);
	thrift_enter_struct(reader, THRIFT_STRUCT);
	if (!read_element(reader, leaf))
		return malformed(error);
	if (leaf->physical == -1 || leaf->repetition == REPETITION_REPEATED)
		return not_read(error, column);
	detail->list_definition = (outer->repetition == REPETITION_OPTIONAL) + 1;
	detail->largest_definition = detail->list_definition + (leaf->repetition == REPETITION_OPTIONAL);
	return DICOM_OK;
}

/* One column, of *left elements; takes those it is made of. */
static enum dicom_status
read_column(struct thrift_reader *reader, struct footer *footer, int index, uint32_t *left,
			struct dicom_error *error)
{
	struct parquet_column *column = &footer->columns[index];
	struct footer_column *detail = &footer->details[index];
	struct element outer, leaf;

	thrift_enter_struct(reader, THRIFT_STRUCT);
	if (*left == 0 || !read_element(reader, &outer))
		return malformed(error);
	leaf = outer;
	(*left)--;
	if (outer.repetition == REPETITION_REPEATED)
		return not_read(error, index);
	if (outer.physical == -1)
	{
		if (*left < 2)
			return malformed(error);
		*left -= 2;
		column->is_list = true;
		if (read_list(reader, &outer, &leaf, detail, index, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	else
		detail->largest_definition = outer.repetition == REPETITION_OPTIONAL;
	if (!type_of(&leaf, column))
		return not_read(error, index);
	detail->physical = (enum physical_type) leaf.physical;
	column->name = copy_text(outer.name, outer.name_length);
	return column->name ? DICOM_OK : dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

enum dicom_status
schema_read(struct thrift_reader *reader, enum thrift_type type, struct footer *footer,
			struct dicom_error *error)
{
	enum thrift_type element_type;
	uint32_t left = thrift_enter_list(reader, type, &element_type);
	struct element root;
	int i;

	if (reader->failed || left < 2 || element_type != THRIFT_STRUCT || footer->columns)
		return malformed(error);
	thrift_enter_struct(reader, element_type);
	if (!read_element(reader, &root) || root.physical != -1 || root.children < 1 || root.children >= left)
		return malformed(error);
	if (root.children > PARQUET_MAX_COLUMNS)
		return dicom_fail(error, DICOM_ERROR_LIMIT, "the Parquet file has more than %d columns",
						  PARQUET_MAX_COLUMNS);
	left--;
	footer->columns = calloc((size_t) root.children, sizeof(*footer->columns));
	footer->details = calloc((size_t) root.children, sizeof(*footer->details));
	if (!footer->columns || !footer->details)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	footer->column_count = (int) root.children;
	for (i = 0; i < footer->column_count; i++)
	{
		if (read_column(reader, footer, i, &left, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	return left == 0 ? DICOM_OK : malformed(error);
}
