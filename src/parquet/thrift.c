/*
 * thrift.c
 *	  The compact protocol of Apache Thrift.
 */
#include <string.h>

#include "thrift.h"

/* --- writing --- */

static void
put_varint(struct dicom_buffer *out, uint64_t value)
{
	while (value >= 0x80)
	{
		dicom_buffer_append_char(out, (char) (value | 0x80));
		value >>= 7;
	}
	dicom_buffer_append_char(out, (char) value);
}

static uint64_t
zigzag(int64_t value)
{
	return ((uint64_t) value << 1) ^ (uint64_t) (value >> 63);
}

static void
put_field(struct thrift_writer *writer, int field, enum thrift_type type)
{
	int delta = field - writer->last[writer->depth];

	if (delta >= 1 && delta <= 15)
		dicom_buffer_append_char(writer->out, (char) (delta << 4 | (int) type));
	else
	{
		dicom_buffer_append_char(writer->out, (char) type);
		put_varint(writer->out, zigzag(field));
	}
	writer->last[writer->depth] = (int16_t) field;
}

void
thrift_put_bool(struct thrift_writer *writer, int field, bool value)
{
	put_field(writer, field, value ? THRIFT_TRUE : THRIFT_FALSE);
}

void
thrift_put_byte(struct thrift_writer *writer, int field, int8_t value)
{
	put_field(writer, field, THRIFT_BYTE);
	dicom_buffer_append_char(writer->out, (char) value);
}

void
thrift_put_i16(struct thrift_writer *writer, int field, int16_t value)
{
	put_field(writer, field, THRIFT_I16);
	put_varint(writer->out, zigzag(value));
}

void
thrift_put_i32(struct thrift_writer *writer, int field, int32_t value)
{
	put_field(writer, field, THRIFT_I32);
	put_varint(writer->out, zigzag(value));
}

void
thrift_put_i64(struct thrift_writer *writer, int field, int64_t value)
{
	put_field(writer, field, THRIFT_I64);
	put_varint(writer->out, zigzag(value));
}

void
thrift_put_binary(struct thrift_writer *writer, int field, const void *bytes, size_t length)
{
	put_field(writer, field, THRIFT_BINARY);
	thrift_element_binary(writer, bytes, length);
}

void
thrift_put_string(struct thrift_writer *writer, int field, const char *string)
{
	thrift_put_binary(writer, field, string, strlen(string));
}

void
thrift_begin_struct(struct thrift_writer *writer, int field)
{
	put_field(writer, field, THRIFT_STRUCT);
	thrift_begin_element(writer);
}

/* What is written nests no deeper than the metadata of Parquet do; a mistake must not write behind the array. */
void
thrift_begin_element(struct thrift_writer *writer)
{
	if (writer->depth + 1 >= THRIFT_MAX_DEPTH)
	{
		writer->out->failed = true;
		return;
	}
	writer->last[++writer->depth] = 0;
}

void
thrift_end_struct(struct thrift_writer *writer)
{
	dicom_buffer_append_char(writer->out, THRIFT_STOP);
	if (writer->depth > 0)
		writer->depth--;
}

void
thrift_begin_list(struct thrift_writer *writer, int field, enum thrift_type type, uint32_t count)
{
	put_field(writer, field, THRIFT_LIST);
	if (count < 15)
		dicom_buffer_append_char(writer->out, (char) (count << 4 | type));
	else
	{
		dicom_buffer_append_char(writer->out, (char) (0xF0 | type));
		put_varint(writer->out, count);
	}
}

void
thrift_element_bool(struct thrift_writer *writer, bool value)
{
	dicom_buffer_append_char(writer->out, value ? THRIFT_TRUE : THRIFT_FALSE);
}

void
thrift_element_i32(struct thrift_writer *writer, int32_t value)
{
	put_varint(writer->out, zigzag(value));
}

void
thrift_element_i64(struct thrift_writer *writer, int64_t value)
{
	put_varint(writer->out, zigzag(value));
}

void
thrift_element_binary(struct thrift_writer *writer, const void *bytes, size_t length)
{
	put_varint(writer->out, length);
	dicom_buffer_append(writer->out, bytes, length);
}

/* --- reading --- */

void
thrift_reader_init(struct thrift_reader *reader, const uint8_t *bytes, size_t length)
{
	memset(reader, 0, sizeof(*reader));
	reader->next = bytes;
	reader->end = bytes + length;
}

static uint8_t
get_byte(struct thrift_reader *reader)
{
	if (reader->failed || reader->next == reader->end)
	{
		reader->failed = true;
		return 0;
	}
	return *reader->next++;
}

static uint64_t
get_varint(struct thrift_reader *reader)
{
	uint64_t value = 0;
	int shift;

	for (shift = 0; shift < 64; shift += 7)
	{
		uint8_t byte = get_byte(reader);

		value |= (uint64_t) (byte & 0x7F) << shift;
		if (!(byte & 0x80))
			return reader->failed ? 0 : value;
	}
	reader->failed = true;
	return 0;
}

static int64_t
get_zigzag(struct thrift_reader *reader)
{
	uint64_t value = get_varint(reader);

	return (int64_t) (value >> 1) ^ -(int64_t) (value & 1);
}

static void
leave_struct(struct thrift_reader *reader)
{
	if (reader->depth > 0)
		reader->depth--;
}

bool
thrift_next_field(struct thrift_reader *reader, int *field, enum thrift_type *type)
{
	uint8_t byte = get_byte(reader);
	int64_t id;

	if (reader->failed || (byte & 0x0F) == THRIFT_STOP)
	{
		leave_struct(reader);
		return false;
	}
	id = byte >> 4 ? reader->last[reader->depth] + (byte >> 4) : get_zigzag(reader);
	if ((byte & 0x0F) > THRIFT_STRUCT || id < 0 || id > INT16_MAX)
	{
		reader->failed = true;
		return false;
	}
	reader->last[reader->depth] = (int16_t) id;
	*field = (int) id;
	*type = (enum thrift_type)(byte & 0x0F);
	return !reader->failed;
}

bool
thrift_get_bool(struct thrift_reader *reader, enum thrift_type type)
{
	if (type != THRIFT_TRUE && type != THRIFT_FALSE)
		reader->failed = true;
	return type == THRIFT_TRUE;
}

int64_t
thrift_get_integer(struct thrift_reader *reader, enum thrift_type type)
{
	if (type == THRIFT_BYTE)
		return (int8_t) get_byte(reader);
	if (type >= THRIFT_I16 && type <= THRIFT_I64)
		return get_zigzag(reader);
	reader->failed = true;
	return 0;
}

const uint8_t *
thrift_get_binary(struct thrift_reader *reader, enum thrift_type type, uint32_t *length)
{
	const uint8_t *bytes;
	uint64_t count = type == THRIFT_BINARY ? get_varint(reader) : UINT64_MAX;

	*length = 0;
	if (reader->failed || count > (uint64_t) (reader->end - reader->next) || count > UINT32_MAX)
	{
		reader->failed = true;
		return (const uint8_t *) "";
	}
	bytes = reader->next;
	reader->next += count;
	*length = (uint32_t) count;
	return bytes;
}

void
thrift_enter_struct(struct thrift_reader *reader, enum thrift_type type)
{
	if (type != THRIFT_STRUCT || reader->depth + 1 >= THRIFT_MAX_DEPTH)
	{
		reader->failed = true;
		return;
	}
	reader->last[++reader->depth] = 0;
}

uint32_t
thrift_enter_list(struct thrift_reader *reader, enum thrift_type type, enum thrift_type *element)
{
	uint8_t byte = type == THRIFT_LIST || type == THRIFT_SET ? get_byte(reader) : 0;
	uint64_t count = byte >> 4 == 15 ? get_varint(reader) : byte >> 4;

	*element = (enum thrift_type)(byte & 0x0F);
	/* Every element takes a byte at least. */
	if (reader->failed || (type != THRIFT_LIST && type != THRIFT_SET) || *element > THRIFT_STRUCT ||
		*element == THRIFT_STOP || count > (uint64_t) (reader->end - reader->next))
	{
		reader->failed = true;
		return 0;
	}
	return (uint32_t) count;
}

static void
skip_bytes(struct thrift_reader *reader, size_t length)
{
	if (length > (size_t) (reader->end - reader->next))
		reader->failed = true;
	else
		reader->next += length;
}

/* A bool in a list is a byte; as a field it stands in its header. */
static void
skip_elements(struct thrift_reader *reader, enum thrift_type type, uint32_t count)
{
	while (count-- > 0 && !reader->failed)
	{
		if (type == THRIFT_TRUE || type == THRIFT_FALSE)
			skip_bytes(reader, 1);
		else
			thrift_skip(reader, type);
	}
}

static void
skip_struct(struct thrift_reader *reader)
{
	enum thrift_type type;
	int field;

	thrift_enter_struct(reader, THRIFT_STRUCT);
	while (!reader->failed && thrift_next_field(reader, &field, &type))
		thrift_skip(reader, type);
}

/* Lists of lists nest without structs: they count as depth too. */
static void
skip_list(struct thrift_reader *reader, enum thrift_type type)
{
	enum thrift_type element;
	uint32_t count = thrift_enter_list(reader, type, &element);

	thrift_enter_struct(reader, THRIFT_STRUCT);
	if (reader->failed)
		return;
	skip_elements(reader, element, count);
	leave_struct(reader);
}

void
thrift_skip(struct thrift_reader *reader, enum thrift_type type)
{
	uint32_t length;

	switch (type)
	{
		case THRIFT_TRUE:
		case THRIFT_FALSE:
			break;
		case THRIFT_BYTE:
			skip_bytes(reader, 1);
			break;
		case THRIFT_I16:
		case THRIFT_I32:
		case THRIFT_I64:
			(void) get_varint(reader);
			break;
		case THRIFT_DOUBLE:
			skip_bytes(reader, 8);
			break;
		case THRIFT_BINARY:
			(void) thrift_get_binary(reader, type, &length);
			break;
		case THRIFT_LIST:
		case THRIFT_SET:
			skip_list(reader, type);
			break;
		case THRIFT_STRUCT:
			skip_struct(reader);
			break;
		default: /* maps: nothing of Parquet's has one */
			reader->failed = true;
	}
}
