/*
 * footer.h
 *	  What the footer of a file says, checked: columns of the shapes that are read here, and where their chunks lie.
 */
#ifndef PARQUET_FOOTER_H
#define PARQUET_FOOTER_H

#include "format.h"

#define FOOTER_MOST_BYTES ((uint32_t) 64 << 20)

struct footer_chunk
{
	uint64_t offset; /* of the first page, dictionary or data */
	uint64_t length;
	uint64_t values;
	enum parquet_compression compression;
};

struct footer_column
{
	enum physical_type physical;
	int largest_definition; /* level at which there is a value: 0 required, 1 optional, 2 or 3 lists */
	int list_definition;    /* of a list: the level from which on there is an element */
};

struct footer
{
	struct parquet_column *columns;
	struct footer_column *details;
	int column_count;
	uint64_t rows;
	uint64_t *group_rows;
	struct footer_chunk *chunks; /* group by group, column by column */
	uint32_t group_count;
	char **metadata; /* key, value, key, value, ... */
	uint32_t metadata_count;
};

/* MALFORMED, LIMIT (a shape or codec that is not read here), MEMORY. The footer is then freed by footer_free() all the same. */
extern enum dicom_status footer_read(struct footer *footer, const uint8_t *bytes, size_t length,
									 uint64_t file_size, struct dicom_error *error);
extern void footer_free(struct footer *footer);

#endif
