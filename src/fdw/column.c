/*
 * column.c
 *	  What a column of an entity table stands for.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "../dicom/dictionary.h"
#include "../pg/report.h"
#include "../server/options.h"
#include "column.h"

#include "fdw/entity_columns.h"

struct attribute_name
{
	const char *name;
	enum column_kind kind;
};

static const struct attribute_name file_attributes[] = {
	{"key", COLUMN_KEY},
	{"filename", COLUMN_KEY},
	{"size", COLUMN_SIZE},
	{"etag", COLUMN_ETAG},
	{"last_modified", COLUMN_LAST_MODIFIED},
	{"storage_class", COLUMN_STORAGE_CLASS},
	{"header_bytes", COLUMN_HEADER_BYTES},
	{"error", COLUMN_ERROR},
	{"warnings", COLUMN_WARNINGS},
};

static const struct attribute_name element_attributes[] = {
	{"path", COLUMN_EACH_PATH},       {"tag", COLUMN_EACH_TAG},
	{"keyword", COLUMN_EACH_KEYWORD}, {"vr", COLUMN_EACH_VR},
	{"vm", COLUMN_EACH_VM},           {"length", COLUMN_EACH_LENGTH},
	{"value", COLUMN_EACH_VALUE},     {"private_creator", COLUMN_EACH_PRIVATE_CREATOR},
};

/* Types that a value of a data set can become; arrays of them too. */
static const Oid value_types[] = {TEXTOID,      VARCHAROID,     BPCHAROID,  DATEOID,  TIMEOID,
								  TIMESTAMPOID, TIMESTAMPTZOID, INT2OID,    INT4OID,  INT8OID,
								  FLOAT4OID,    FLOAT8OID,      NUMERICOID, BYTEAOID, JSONBOID};

const struct entity_column *
entity_column_at(int i)
{
	return i < (int) lengthof(entity_columns) ? &entity_columns[i] : NULL;
}

static bool
find_attribute(const struct attribute_name *names, int count, const char *name, enum column_kind *kind)
{
	int i;

	for (i = 0; i < count; i++)
	{
		if (pg_strcasecmp(names[i].name, name) == 0)
		{
			*kind = names[i].kind;
			return true;
		}
	}
	return false;
}

static void
resolve_path(struct column *column, const char *text)
{
	struct dicom_error error;
	const char *utf8 = text_to_utf8(text);
	const struct dicom_dictionary_entry *entry;
	const struct dicom_path_step *last;

	if (dicom_path_parse(utf8, strlen(utf8), &column->path, &error) != DICOM_OK)
	{
		strlcpy(error.object, column->name, sizeof(error.object));
		report_error(&error);
	}
	last = &column->path.steps[column->path.count - 1];
	entry = last->creator[0] ? NULL : dicom_dictionary_by_tag(last->tag);
	column->vr = entry ? entry->vr : DICOM_VR('U', 'N');
	column->kind = COLUMN_ELEMENT;
}

static void
refuse_type(const struct column *column, Oid type, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
					errmsg("column \"%s\" cannot have type %s", column->name, format_type_be(type)),
					errhint("%s", hint)));
}

static bool
is_value_type(Oid type)
{
	int i;

	for (i = 0; i < (int) lengthof(value_types); i++)
		if (value_types[i] == type)
			return true;
	return false;
}

/* The type that a file's own attribute must have; text also as varchar. */
static Oid
attribute_type(enum column_kind kind)
{
	switch (kind)
	{
		case COLUMN_SIZE:
		case COLUMN_HEADER_BYTES:
		case COLUMN_EACH_LENGTH:
			return INT8OID;
		case COLUMN_LAST_MODIFIED:
			return TIMESTAMPTZOID;
		case COLUMN_WARNINGS:
			return TEXTARRAYOID;
		case COLUMN_EACH_VM:
			return INT4OID;
		default:
			return TEXTOID;
	}
}

static void
check_attribute_type(const struct column *column)
{
	Oid wanted = attribute_type(column->kind);

	if (column->type != wanted && !(wanted == TEXTOID && column->type == VARCHAROID))
		refuse_type(column, column->type, psprintf("It must be %s.", format_type_be(wanted)));
}

static void
check_element_type(const struct column *column)
{
	if (!is_value_type(column->value_type))
		refuse_type(
			column, column->type,
			"Use text, varchar, date, time, timestamp, timestamptz, smallint, integer, bigint, real, double precision, "
			"numeric, bytea or jsonb, or an array of one of them.");
	if (OidIsValid(column->element_type) &&
		(column->value_type == JSONBOID || column->value_type == BYTEAOID))
		refuse_type(column, column->type, "A sequence or a value of bytes is one value: use jsonb or bytea.");
}

static void
resolve_type(struct column *column, Form_pg_attribute attribute)
{
	column->typmod = attribute->atttypmod;
	column->type = getBaseTypeAndTypmod(attribute->atttypid, &column->typmod);
	column->element_type = get_element_type(column->type);
	column->value_type = OidIsValid(column->element_type) ? column->element_type : column->type;
	get_typlenbyvalalign(column->value_type, &column->value_length, &column->value_by_value,
						 &column->value_align);
}

void
column_resolve(struct column *column, enum entity_kind entity, Form_pg_attribute attribute, List *options)
{
	const char *tag = option_find(options, "tag");

	column->attnum = attribute->attnum;
	column->name = pstrdup(NameStr(attribute->attname));
	resolve_type(column, attribute);
	if (tag)
		resolve_path(column, tag);
	else if (!find_attribute(file_attributes, lengthof(file_attributes), column->name, &column->kind) &&
			 !(entity == ENTITY_ELEMENTS &&
			   find_attribute(element_attributes, lengthof(element_attributes), column->name, &column->kind)))
		resolve_path(column, column->name);
	if (column->kind == COLUMN_ELEMENT)
		check_element_type(column);
	else
		check_attribute_type(column);
}
