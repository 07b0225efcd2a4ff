/*
 * import.c
 *	  IMPORT FOREIGN SCHEMA dicom: the seven entities as foreign tables.
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

#include "../server/options.h"
#include "fdw.h"

/* Options of IMPORT that every table gets. */
static const char *const passed_options[] = {"freshness", "key_format", "on_bad_value",
											 "on_error",  "prefix",     "reject_limit"};

struct import
{
	bool as_text; /* types 'text': every element as text, as it stands in the file */
	StringInfoData options;
};

static bool
is_passed(const char *name)
{
	int i;

	for (i = 0; i < (int) lengthof(passed_options); i++)
		if (strcmp(passed_options[i], name) == 0)
			return true;
	return false;
}

static void
refuse_import_option(const char *name)
{
	struct closest_match match = {name};
	int i;

	closest_match_offer(&match, "types");
	for (i = 0; i < (int) lengthof(passed_options); i++)
		closest_match_offer(&match, passed_options[i]);
	ereport(
		ERROR,
		(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
		 errmsg("invalid option \"%s\" for IMPORT FOREIGN SCHEMA", name),
		 match.best
			 ? errhint("Perhaps you meant the option \"%s\".", match.best)
			 : errhint(
				   "Valid options are: types, freshness, key_format, on_bad_value, on_error, prefix, reject_limit.")));
}

static void
read_import_options(struct import *import, List *options)
{
	static const char *const types[] = {"typed", "text", NULL};
	ListCell *cell;

	initStringInfo(&import->options);
	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);
		const char *value = defGetString(option);

		if (strcmp(option->defname, "types") == 0)
		{
			int word = option_word(options, "types", types, -1);

			if (word < 0)
				ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
								errmsg("invalid value for option \"types\": \"%s\"", value),
								errhint("Valid values are: \"typed\", \"text\".")));
			import->as_text = word == 1;
		}
		else if (is_passed(option->defname))
			appendStringInfo(&import->options, ", %s %s", option->defname, quote_literal_cstr(value));
		else
			refuse_import_option(option->defname);
	}
}

/* With types 'text' an element's column is text; what a listing tells keeps its type. */
static const char *
type_of(const struct import *import, const struct entity_column *column)
{
	bool is_element = column->entity < ENTITY_FILES && strcmp(column->name, "filename") != 0;

	return import->as_text && is_element ? "text" : column->type;
}

static char *
create_command(const struct import *import, const char *schema, const char *server, enum entity_kind entity)
{
	StringInfoData command;
	const struct entity_column *column;
	const char *separator = "";
	int i;

	initStringInfo(&command);
	appendStringInfo(&command, "CREATE FOREIGN TABLE %s (", quote_identifier(option_entity_words[entity]));
	for (i = 0; (column = entity_column_at(i)) != NULL; i++)
	{
		if (column->entity != entity)
			continue;
		appendStringInfo(&command, "%s\n\t%s %s", separator, quote_identifier(column->name),
						 type_of(import, column));
		separator = ",";
	}
	appendStringInfo(&command, "\n) SERVER %s OPTIONS (entity %s%s)", quote_identifier(server),
					 quote_literal_cstr(option_entity_words[entity]), import->options.data);
	return command.data;
}

static bool
is_listed(List *tables, const char *name)
{
	ListCell *cell;

	foreach (cell, tables)
		if (strcmp(((RangeVar *) lfirst(cell))->relname, name) == 0)
			return true;
	return false;
}

static bool
is_imported(ImportForeignSchemaStmt *statement, const char *name)
{
	switch (statement->list_type)
	{
		case FDW_IMPORT_SCHEMA_LIMIT_TO:
			return is_listed(statement->table_list, name);
		case FDW_IMPORT_SCHEMA_EXCEPT:
			return !is_listed(statement->table_list, name);
		default:
			return true;
	}
}

/* A name in LIMIT TO or EXCEPT that is no entity is a typing error. */
static void
check_names(ImportForeignSchemaStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->table_list)
	{
		const char *name = ((RangeVar *) lfirst(cell))->relname;
		struct closest_match match = {name};
		const char *const *word;

		for (word = option_entity_words; *word && strcmp(*word, name) != 0; word++)
			closest_match_offer(&match, *word);
		if (*word == NULL)
			ereport(
				ERROR,
				(errcode(ERRCODE_FDW_TABLE_NOT_FOUND), errmsg("there is no table \"%s\" to import", name),
				 match.best
					 ? errhint("Perhaps you meant \"%s\".", match.best)
					 : errhint("There are patients, devices, studies, series, images, files, elements.")));
	}
}

List *
import_schema(ImportForeignSchemaStmt *statement, Oid server)
{
	struct import import = {0};
	List *commands = NIL;
	int entity;

	if (strcmp(statement->remote_schema, "dicom") != 0)
		ereport(ERROR, (errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
						errmsg("there is no foreign schema \"%s\"", statement->remote_schema),
						errhint("IMPORT FOREIGN SCHEMA dicom FROM SERVER %s INTO %s.",
								quote_identifier(statement->server_name),
								quote_identifier(statement->local_schema))));
	check_names(statement);
	read_import_options(&import, statement->options);
	for (entity = ENTITY_PATIENTS; entity <= ENTITY_ELEMENTS; entity++)
		if (is_imported(statement, option_entity_words[entity]))
			commands = lappend(
				commands, create_command(&import, statement->local_schema, statement->server_name, entity));
	return commands;
}
