/*
 * export_options.h
 *	  What the options of dicom.export_parquet() may be.
 *
 *	compression		'zstd' (default), 'snappy', 'none'
 *	level			of zstd, 1 to 19 (1)
 *	row_group_rows	(122880)
 *	row_group_bytes	of values, before compression (67108864)
 *	threads			that encode and compress, the backend's own among them, 1 to 16 (2, or 1 on one core)
 *	partition_by	array of column names: they go into folders name=value/ and not into the files
 *	file_name		of the file in each folder ('data.parquet')
 *	bloom_filters	array of column names (all whose names end in _uid)
 *	overwrite		whether an object of that key may be replaced (false)
 */
#ifndef LAKE_EXPORT_OPTIONS_H
#define LAKE_EXPORT_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "../parquet/parquet.h"

struct export_options
{
	struct parquet_options parquet;
	List *partition_by; /* of char * */
	List *bloom_filters;
	bool bloom_given;
	const char *file_name;
	bool overwrite;
};

/* Throws INVALID_PARAMETER_VALUE for what is not known or makes no sense. */
extern struct export_options *export_options_read(Jsonb *json);

#endif
