/*
 * parquet.h
 *	  Writes and reads Apache Parquet: flat columns and lists of one level, all nullable.
 *
 * Written are data pages of version 1, PLAIN and RLE_DICTIONARY encodings, one row group per so many rows or bytes, statistics of
 * columns and pages (column index, offset index), split-block bloom filters, key-value metadata. The writer gives its bytes to a
 * sink in order and never goes back, so that a file can be streamed into an upload. A list is the three-level form of the
 * specification: optional group (LIST), repeated list, optional element.
 *
 * Rows are gathered until a row group is full. It is then encoded by threads of the writer's own and by the caller, while the caller
 * fills the next one: so two row groups are in memory, and one of them, compressed. The threads touch nothing but these: they take no
 * signals, never call the sink or the host, and end with parquet_writer_close(), which waits for them no longer than one page
 * takes. What is written is the same whatever the number of threads.
 *
 * The reader takes any file that keeps to those encodings and shapes. Every size in a file is checked before it is used.
 */
#ifndef PARQUET_PARQUET_H
#define PARQUET_PARQUET_H

#include "../dicom/buffer.h"
#include "../dicom/error.h"
#include "../store/store.h"

#define PARQUET_MAX_COLUMNS 4096

/* Of a column, or of the elements of its lists. */
enum parquet_type
{
	PARQUET_BOOLEAN,
	PARQUET_INT32,
	PARQUET_INT64,
	PARQUET_FLOAT,
	PARQUET_DOUBLE,
	PARQUET_DECIMAL, /* precision of at most 38; unscaled, as sixteen bytes big endian where precision is above 18, else integer */
	PARQUET_DATE,          /* days since 1970-01-01, in `integer` */
	PARQUET_TIME,          /* microseconds since midnight */
	PARQUET_TIMESTAMP,     /* microseconds since 1970-01-01 00:00, of no zone */
	PARQUET_TIMESTAMP_UTC, /* the same, an instant */
	PARQUET_STRING,        /* UTF-8 */
	PARQUET_BINARY,
	PARQUET_JSON, /* UTF-8 */
	PARQUET_UUID, /* 16 bytes */
	PARQUET_TYPE_COUNT
};

struct parquet_column
{
	const char *name; /* UTF-8 */
	enum parquet_type type;
	bool is_list;
	bool bloom_filter; /* not of booleans and lists; ignored by the reader */
	int precision;     /* of PARQUET_DECIMAL */
	int scale;
};

struct parquet_value
{
	bool is_null;
	uint32_t length; /* of bytes, or of a list */
	union
	{
		int64_t integer;      /* BOOLEAN, INT32, INT64, DECIMAL up to 18 digits, DATE, TIME, TIMESTAMP */
		double real;          /* FLOAT, DOUBLE */
		const uint8_t *bytes; /* STRING, BINARY, JSON, UUID, DECIMAL of more digits */
		const struct parquet_value *elements; /* of a list; given to the writer only */
	};
};

enum parquet_compression
{
	PARQUET_ZSTD,
	PARQUET_SNAPPY,
	PARQUET_UNCOMPRESSED
};

struct parquet_options
{
	enum parquet_compression compression;
	int level;                /* of zstd; 0: 1 */
	uint32_t row_group_rows;  /* 0: 122880 */
	uint64_t row_group_bytes; /* of values, before compression; 0: 64 MiB */
	int threads;            /* that encode, the caller's among them; 0: two, or one where there is one core */
	struct store_host host; /* how the caller waits for them, and whether it is interrupted */
	const char *created_by;
};

/* Where the bytes go, in order. DICOM_FAILED ends the writing. */
struct parquet_sink
{
	enum dicom_status (*write)(void *arg, const void *bytes, size_t length, struct dicom_error *error);
	void *arg;
};

struct parquet_writer;

/* Copies what it is given. Errors: INVALID_OPTION, MEMORY, INTERRUPTED, and the sink's. */
extern enum dicom_status parquet_writer_open(const struct parquet_column *columns, int count,
											 const struct parquet_options *options,
											 const struct parquet_sink *sink, struct parquet_writer **writer,
											 struct dicom_error *error);

/* Adds key-value metadata, any time before parquet_writer_finish(). */
extern enum dicom_status parquet_writer_metadata(struct parquet_writer *writer, const char *key,
												 const char *value, struct dicom_error *error);

/* Adds a row: a value of each column. Bytes are copied. */
extern enum dicom_status parquet_writer_put_row(struct parquet_writer *writer,
												const struct parquet_value *values,
												struct dicom_error *error);

/* Writes what is left and the footer. */
extern enum dicom_status parquet_writer_finish(struct parquet_writer *writer, struct dicom_error *error);
extern void parquet_writer_close(struct parquet_writer *writer);
extern uint64_t parquet_writer_rows(const struct parquet_writer *writer);
extern uint64_t parquet_writer_bytes(const struct parquet_writer *writer);

/* Where the bytes come from: exactly `length` of them at `offset`, else DICOM_FAILED. */
struct parquet_source
{
	uint64_t size;
	enum dicom_status (*read)(void *arg, uint64_t offset, size_t length, uint8_t *bytes,
							  struct dicom_error *error);
	void *arg;
};

struct parquet_reader;

/* Reads the footer. Errors: NOT_DICOM is never given; MALFORMED where it is no Parquet or broken, LIMIT where it uses what is not read here. */
extern enum dicom_status parquet_reader_open(const struct parquet_source *source,
											 struct parquet_reader **reader, struct dicom_error *error);
extern void parquet_reader_close(struct parquet_reader *reader);
extern int parquet_reader_columns(const struct parquet_reader *reader, const struct parquet_column **columns);
extern uint64_t parquet_reader_rows(const struct parquet_reader *reader);

/* The value of a key of the metadata, or NULL. */
extern const char *parquet_reader_metadata(const struct parquet_reader *reader, const char *key);

/* Moves to the next row: DICOM_OK, DICOM_END, DICOM_FAILED. */
extern enum dicom_status parquet_reader_next(struct parquet_reader *reader, struct dicom_error *error);

/* A column of the row: its values, valid until the next row; a plain column has one. is_null: the whole is NULL (count is 0). */
extern const struct parquet_value *parquet_reader_values(const struct parquet_reader *reader, int column,
														 uint32_t *count, bool *is_null);

#endif
