/*
 * thrift.h
 *	  The compact protocol of Apache Thrift, as far as Parquet's metadata need it.
 *
 * The reader works on bytes at hand and never goes beyond them: the first thing that makes no sense sets `failed`, and every later
 * call gives zero, an empty string or the end.
 */
#ifndef PARQUET_THRIFT_H
#define PARQUET_THRIFT_H

#include "../dicom/buffer.h"

#include <stdint.h>

#define THRIFT_MAX_DEPTH 16

enum thrift_type
{
	THRIFT_STOP = 0,
	THRIFT_TRUE = 1,
	THRIFT_FALSE = 2,
	THRIFT_BYTE = 3,
	THRIFT_I16 = 4,
	THRIFT_I32 = 5,
	THRIFT_I64 = 6,
	THRIFT_DOUBLE = 7,
	THRIFT_BINARY = 8,
	THRIFT_LIST = 9,
	THRIFT_SET = 10,
	THRIFT_MAP = 11,
	THRIFT_STRUCT = 12
};

/* Writes one struct with what it holds; zero-initialise but for `out`. Fields go in ascending order. */
struct thrift_writer
{
	struct dicom_buffer *out;
	int depth;
	int16_t last[THRIFT_MAX_DEPTH];
};

extern void thrift_put_bool(struct thrift_writer *writer, int field, bool value);
extern void thrift_put_byte(struct thrift_writer *writer, int field, int8_t value);
extern void thrift_put_i16(struct thrift_writer *writer, int field, int16_t value);
extern void thrift_put_i32(struct thrift_writer *writer, int field, int32_t value);
extern void thrift_put_i64(struct thrift_writer *writer, int field, int64_t value);
extern void thrift_put_binary(struct thrift_writer *writer, int field, const void *bytes, size_t length);
extern void thrift_put_string(struct thrift_writer *writer, int field, const char *string);
extern void thrift_begin_struct(struct thrift_writer *writer, int field);
extern void thrift_end_struct(struct thrift_writer *writer); /* and of the outermost one */
extern void thrift_begin_list(struct thrift_writer *writer, int field, enum thrift_type type, uint32_t count);

/* Elements of a list; those that are structs stand between the two calls, the last one thrift_end_struct(). */
extern void thrift_begin_element(struct thrift_writer *writer);
extern void thrift_element_bool(struct thrift_writer *writer, bool value);
extern void thrift_element_i32(struct thrift_writer *writer, int32_t value);
extern void thrift_element_i64(struct thrift_writer *writer, int64_t value);
extern void thrift_element_binary(struct thrift_writer *writer, const void *bytes, size_t length);

struct thrift_reader
{
	const uint8_t *next;
	const uint8_t *end;
	bool failed;
	int depth;
	int16_t last[THRIFT_MAX_DEPTH];
};

extern void thrift_reader_init(struct thrift_reader *reader, const uint8_t *bytes, size_t length);

/* The next field of the struct; false at its end. Its value must then be read, or skipped. */
extern bool thrift_next_field(struct thrift_reader *reader, int *field, enum thrift_type *type);

/* Values of a field or an element. A type that does not fit fails. */
extern bool thrift_get_bool(struct thrift_reader *reader, enum thrift_type type);
extern int64_t thrift_get_integer(struct thrift_reader *reader, enum thrift_type type);
extern const uint8_t *thrift_get_binary(struct thrift_reader *reader, enum thrift_type type,
										uint32_t *length);
extern void thrift_enter_struct(struct thrift_reader *reader, enum thrift_type type);
/* A list: how many elements, of what type; a count that cannot fit into what is left fails. */
extern uint32_t thrift_enter_list(struct thrift_reader *reader, enum thrift_type type,
								  enum thrift_type *element);
extern void thrift_skip(struct thrift_reader *reader, enum thrift_type type);

#endif
