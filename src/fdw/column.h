/*
 * column.h
 *	  What a column of an entity table stands for, resolved from its name or its `tag` option, and how its value becomes a Datum.
 *
 * A name is first one of the file's own attributes (key, filename, size, ...), then, in an elements table, one of the
 * element's, then a keyword of PS3.6 in which underscores and case do not count.
 */
#ifndef FDW_COLUMN_H
#define FDW_COLUMN_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "nodes/pg_list.h"

#include "../dicom/path.h"
#include "../dicom/value.h"

enum entity_kind
{
	ENTITY_PATIENTS,
	ENTITY_DEVICES,
	ENTITY_STUDIES,
	ENTITY_SERIES,
	ENTITY_IMAGES,
	ENTITY_FILES,
	ENTITY_ELEMENTS
};

struct entity_column
{
	enum entity_kind entity;
	const char *name;
	const char *type;
};

enum column_kind
{
	/* A listing tells these; no file is opened for them. */
	COLUMN_KEY,
	COLUMN_SIZE,
	COLUMN_ETAG,
	COLUMN_LAST_MODIFIED,
	COLUMN_STORAGE_CLASS,
	/* These need the whole header. */
	COLUMN_HEADER_BYTES,
	COLUMN_ERROR,
	COLUMN_WARNINGS,
	/* One element of the file. */
	COLUMN_ELEMENT,
	/* Of each element of the file: elements tables only. */
	COLUMN_EACH_PATH,
	COLUMN_EACH_TAG,
	COLUMN_EACH_KEYWORD,
	COLUMN_EACH_VR,
	COLUMN_EACH_VM,
	COLUMN_EACH_LENGTH,
	COLUMN_EACH_VALUE,
	COLUMN_EACH_PRIVATE_CREATOR
};

#define column_is_of_listing(kind) ((kind) <= COLUMN_STORAGE_CLASS)

struct column
{
	AttrNumber attnum;
	const char *name;
	enum column_kind kind;
	struct dicom_path path; /* of COLUMN_ELEMENT */
	uint16 vr;              /* of the dictionary; UN for private ones */
	Oid type;               /* of the column, domains looked through */
	int32 typmod;
	Oid element_type; /* of an array column, else InvalidOid */
	Oid value_type;   /* element_type or type */
	int16 value_length;
	bool value_by_value;
	char value_align;
};

/* What turning values into Datums needs; zero-initialised, one per scan, released by whoever owns it. */
struct column_scratch
{
	struct dicom_values values;
	struct dicom_buffer buffer;
	uint64 replaced; /* characters that the database's encoding lacks */
};

extern void column_scratch_release(struct column_scratch *scratch);

/* Resolves one column. options: those of the column. Throws with the closest keyword as hint. */
extern void column_resolve(struct column *column, enum entity_kind entity, Form_pg_attribute attribute,
						   List *options);

/*
 * The value of a COLUMN_ELEMENT, in the current memory context. NULL (*isnull) for an element that is absent, empty (but for text),
 * or does not fit; of the last, *bad is set.
 */
extern Datum column_element_datum(const struct column *column, struct column_scratch *scratch,
								  const struct dicom_dataset *dataset, const struct dicom_element *element,
								  bool *isnull, bool *bad);

/* A text (UTF-8 from the lower half) as a value of a text-like column type; *bad where it is too long for it. */
extern Datum column_text_datum(const struct column *column, const char *text, int length, uint64 *replaced,
							   bool *bad);

/* The columns that IMPORT FOREIGN SCHEMA gives an entity: number i of all, NULL past the last. */
extern const struct entity_column *entity_column_at(int i);

#endif
