/*
 * table.c
 *	  What the options of a foreign table say, and which of its columns say something about keys, or are known to the catalog.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "foreign/foreign.h"

#include "../catalog/values.h"
#include "../pg/report.h"
#include "../server/options.h"
#include "fdw.h"
#include "selection.h"

void
table_load(Oid relid, struct table *table)
{
	ForeignTable *foreign = GetForeignTable(relid);
	const char *format;

	memset(table, 0, sizeof(*table));
	table->options = foreign->options;
	table->server = GetForeignServer(foreign->serverid);
	table->entity = option_word(foreign->options, "entity", option_entity_words, ENTITY_FILES);
	table->prefix = option_find(foreign->options, "prefix");
	format = option_find(foreign->options, "key_format");
	table->key_format = format ? key_format_parse(format) : NULL;
}

int
table_freshness(const struct table *table)
{
	return option_milliseconds(table->options, "freshness",
							   option_milliseconds(table->server->options, "freshness", 0));
}

static bool
format_names(const struct key_format *format, const char *column)
{
	int i;

	for (i = 0; format && i < format->count; i++)
		if (format->parts[i].column && pg_strcasecmp(format->parts[i].column, column) == 0)
			return true;
	return false;
}

/* The attribute of a column among those that the catalog keeps; -1: none of them. Of what nobody understands, too. */
static int
indexed_value(const char *name, List *options)
{
	const char *tag = option_find(options, "tag");
	const char *text = text_to_utf8(tag ? tag : name);
	struct dicom_error error;
	struct dicom_path path;

	if (dicom_path_parse(text, strlen(text), &path, &error) != DICOM_OK || path.count != 1 ||
		path.steps[0].creator[0])
		return -1;
	return object_value_of_tag(path.steps[0].tag);
}

/*
 * Of a de-duplicated entity only what is the same in all files of one thing may choose the files, lest another file than the first
 * gives the row: its key, and the day of a study.
 */
static bool
may_choose_files(enum entity_kind entity, int value)
{
	switch (entity)
	{
		case ENTITY_PATIENTS:
			return value == VALUE_PATIENT_ID || value == VALUE_ISSUER_OF_PATIENT_ID;
		case ENTITY_DEVICES:
			return false;
		case ENTITY_STUDIES:
			return value == VALUE_STUDY_INSTANCE_UID || value == VALUE_COUNT;
		case ENTITY_SERIES:
			return value == VALUE_SERIES_INSTANCE_UID || value == VALUE_STUDY_INSTANCE_UID ||
				   value == VALUE_COUNT;
		default:
			return true;
	}
}

static void
fill_prune_column(struct prune_column *column, const struct table *table, Form_pg_attribute attribute,
				  List *options)
{
	const char *name = NameStr(attribute->attname);

	column->attnum = attribute->attnum;
	column->type = attribute->atttypid;
	column->name = pstrdup(name);
	column->is_key = column->type != DATEOID &&
					 (pg_strcasecmp(name, "key") == 0 || pg_strcasecmp(name, "filename") == 0) &&
					 option_find(options, "tag") == NULL && !entity_is_distinct(table->entity);
	column->in_format = !column->is_key && format_names(table->key_format, name);
	column->value = column->is_key ? -1 : indexed_value(name, options);
	if ((column->value == VALUE_COUNT) != (column->type == DATEOID) ||
		!may_choose_files(table->entity, column->value))
		column->value = -1;
}

/* The columns of a table that say something about keys, or that the catalog knows. */
int
table_prune_columns(const struct table *table, Oid relid, TupleDesc descriptor, struct prune_column *columns)
{
	int count = 0;
	int i;

	for (i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
		struct prune_column *column = &columns[count];

		if (attribute->attisdropped || (attribute->atttypid != TEXTOID && attribute->atttypid != VARCHAROID &&
										attribute->atttypid != DATEOID))
			continue;
		fill_prune_column(column, table, attribute, GetForeignColumnOptions(relid, attribute->attnum));
		if (column->is_key || column->in_format || column->value >= 0)
			count++;
	}
	return count;
}
