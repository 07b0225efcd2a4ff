/*
 * schema.h
 *	  The schema of a file: plain columns, and lists in the three-level form.
 */
#ifndef PARQUET_SCHEMA_H
#define PARQUET_SCHEMA_H

#include "footer.h"

/* Reads the list of schema elements into columns and details. MALFORMED, LIMIT, MEMORY. */
extern enum dicom_status schema_read(struct thrift_reader *reader, enum thrift_type type,
									 struct footer *footer, struct dicom_error *error);

/* A copy with a NUL behind it; NULL: out of memory. */
extern char *copy_text(const uint8_t *bytes, uint32_t length);

#endif
