/*
 * options.c
 *	  Options of servers, user mappings, foreign tables and columns.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "../dicom/path.h"
#include "../pg/report.h"
#include "../pg/settings.h"
#include "../store/endpoint.h"
#include "key_format.h"
#include "options.h"

const char *const option_on_error_words[] = {"skip", "error", "ignore", NULL};
const char *const option_on_bad_value_words[] = {"null", "error", NULL};
const char *const option_credentials_words[] = {"auto",     "mapping",   "environment", "profile",
												"instance", "anonymous", NULL};
const char *const option_url_style_words[] = {"auto", "path", "virtual", NULL};
const char *const option_entity_words[] = {"patients", "devices", "studies",  "series",
										   "images",   "files",   "elements", NULL};

static const char *const option_boolean_words[] = {"true", "false", NULL};

struct option_kind;
typedef void (*option_check)(const struct option_kind *kind, const char *value);

struct option_kind
{
	const char *name;
	Oid catalog; /* of the object that carries it */
	option_check check;
	const char *const *words; /* for check_word */
	int min;                  /* for the checks of numbers */
	int max;
};

static void check_location(const struct option_kind *kind, const char *value);
static void check_endpoint(const struct option_kind *kind, const char *value);
static void check_not_empty(const struct option_kind *kind, const char *value);
static void check_file(const struct option_kind *kind, const char *value);
static void check_word(const struct option_kind *kind, const char *value);
static void check_integer(const struct option_kind *kind, const char *value);
static void check_milliseconds(const struct option_kind *kind, const char *value);
static void check_bytes(const struct option_kind *kind, const char *value);
static void check_key_format(const struct option_kind *kind, const char *value);
static void check_tag(const struct option_kind *kind, const char *value);

static const struct option_kind option_kinds[] = {
	{"access_key_id", UserMappingRelationId, check_not_empty},
	{"credentials", ForeignServerRelationId, check_word, option_credentials_words},
	{"endpoint", ForeignServerRelationId, check_endpoint},
	{"entity", ForeignTableRelationId, check_word, option_entity_words},
	{"freshness", ForeignServerRelationId, check_milliseconds, NULL, 0, INT_MAX},
	{"freshness", ForeignTableRelationId, check_milliseconds, NULL, 0, INT_MAX},
	{"header_limit", ForeignServerRelationId, check_bytes, NULL, 4096, 1 << 30},
	{"identified", ForeignServerRelationId, check_word, option_boolean_words},
	{"key_format", ForeignTableRelationId, check_key_format},
	{"location", ForeignServerRelationId, check_location},
	{"max_requests", ForeignServerRelationId, check_integer, NULL, 1, 1024},
	{"max_retries", ForeignServerRelationId, check_integer, NULL, 0, 100},
	{"on_bad_value", ForeignTableRelationId, check_word, option_on_bad_value_words},
	{"on_error", ForeignTableRelationId, check_word, option_on_error_words},
	{"prefix", ForeignTableRelationId, NULL},
	{"profile", ForeignServerRelationId, check_not_empty},
	{"region", ForeignServerRelationId, check_not_empty},
	{"reject_limit", ForeignTableRelationId, check_integer, NULL, 1, INT_MAX},
	{"request_timeout", ForeignServerRelationId, check_milliseconds, NULL, 1, 24 * 60 * 60 * 1000},
	{"secret_access_key", UserMappingRelationId, check_not_empty},
	{"session_token", UserMappingRelationId, check_not_empty},
	{"tag", AttributeRelationId, check_tag},
	{"tls_ca", ForeignServerRelationId, check_file},
	{"url_style", ForeignServerRelationId, check_word, option_url_style_words},
};

SQL_FUNCTION(dicom_fdw_validator);

/* A distance of more than half of what was written is no likeness. */
void
closest_match_offer(struct closest_match *match, const char *candidate)
{
	int wanted_length = strlen(match->wanted);
	int candidate_length = strlen(candidate);
	int limit = Max(wanted_length, candidate_length) / 2;
	int distance;

	if (wanted_length > 255 || candidate_length > 255)
		return;
	distance = varstr_levenshtein_less_equal(match->wanted, wanted_length, candidate, candidate_length, 1, 1,
											 1, limit, true);
	if (distance <= limit && (match->best == NULL || distance < match->distance))
	{
		match->best = candidate;
		match->distance = distance;
	}
}

static const char *
join_words(const char *const *words)
{
	char *joined = "";

	for (; *words; words++)
		joined = psprintf("%s%s\"%s\"", joined, *joined ? ", " : "", *words);
	return joined;
}

static void
refuse_value(const struct option_kind *kind, const char *value, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"%s\": \"%s\"", kind->name, value),
					hint ? errhint("%s", hint) : 0));
}

static void
check_not_empty(const struct option_kind *kind, const char *value)
{
	/* Secrets are among these: the value is not repeated. */
	if (*value == '\0')
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("option \"%s\" must not be empty", kind->name)));
}

/* Reading the server's files takes the same right as for file_fdw and COPY. */
static void
require_file_right(const struct option_kind *kind)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to name a file of the server in option \"%s\"", kind->name),
			 errhint(
				 "Only roles with the privileges of role \"pg_read_server_files\" may set it to a file.")));
}

static void
check_file(const struct option_kind *kind, const char *value)
{
	check_not_empty(kind, value);
	require_file_right(kind);
}

static void
check_location(const struct option_kind *kind, const char *value)
{
	if (strncmp(value, "file:///", 8) == 0)
		require_file_right(kind);
	else if (strncmp(value, "s3://", 5) != 0 || value[5] == '\0' || value[5] == '/')
		refuse_value(kind, value, "Write \"s3://bucket/prefix/\" or \"file:///directory/\".");
}

static void
check_endpoint(const struct option_kind *kind, const char *value)
{
	struct endpoint endpoint;
	struct dicom_error error;

	if (endpoint_parse(value, &endpoint, &error) != DICOM_OK)
		report_error(&error);
	if (!superuser() && !endpoint_matches(setting_allowed_endpoints, endpoint.host, endpoint.port))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("endpoint \"%s\" is not allowed", endpoint.host),
				 errhint("A superuser can add it to dicom_fdw.allowed_endpoints, or own the server.")));
}

static void
check_word(const struct option_kind *kind, const char *value)
{
	struct closest_match match = {value};
	const char *const *word;

	for (word = kind->words; *word; word++)
	{
		if (strcmp(*word, value) == 0)
			return;
		closest_match_offer(&match, *word);
	}
	refuse_value(kind, value,
				 match.best ? psprintf("Perhaps you meant \"%s\". Valid values are: %s.", match.best,
									   join_words(kind->words))
							: psprintf("Valid values are: %s.", join_words(kind->words)));
}

static void
check_number(const struct option_kind *kind, const char *value, int flags, const char *range)
{
	const char *hint = NULL;
	int number;

	if (!parse_int(value, &number, flags, &hint))
		refuse_value(kind, value, hint ? hint : range);
	if (number < kind->min || number > kind->max)
		refuse_value(kind, value, range);
}

static void
check_integer(const struct option_kind *kind, const char *value)
{
	check_number(kind, value, 0, psprintf("It is a number between %d and %d.", kind->min, kind->max));
}

static void
check_milliseconds(const struct option_kind *kind, const char *value)
{
	check_number(kind, value, GUC_UNIT_MS,
				 psprintf("It is a time between %d and %d ms; a unit may follow: ms, s, min, h, d.",
						  kind->min, kind->max));
}

static void
check_bytes(const struct option_kind *kind, const char *value)
{
	check_number(kind, value, GUC_UNIT_BYTE,
				 psprintf("It is a size between %d and %d bytes; a unit may follow: B, kB, MB, GB.",
						  kind->min, kind->max));
}

static void
check_key_format(const struct option_kind *kind, const char *value)
{
	key_format_parse(value);
}

static void
check_tag(const struct option_kind *kind, const char *value)
{
	struct dicom_path path;
	struct dicom_error error;
	const char *utf8 = text_to_utf8(value);

	if (dicom_path_parse(utf8, strlen(utf8), &path, &error) != DICOM_OK)
		report_error(&error);
}

static const char *
catalog_noun(Oid catalog)
{
	switch (catalog)
	{
		case ForeignServerRelationId:
			return "a server";
		case UserMappingRelationId:
			return "a user mapping";
		case ForeignTableRelationId:
			return "a foreign table";
		case AttributeRelationId:
			return "a column";
		default:
			return "a foreign-data wrapper";
	}
}

/* What to say of an option that this kind of object does not have. */
static void
refuse_option(const char *name, Oid catalog)
{
	struct closest_match match = {name};
	Oid elsewhere = InvalidOid;
	char *valid = "";
	int i;

	for (i = 0; i < lengthof(option_kinds); i++)
	{
		if (strcmp(option_kinds[i].name, name) == 0)
			elsewhere = option_kinds[i].catalog;
		if (option_kinds[i].catalog != catalog)
			continue;
		closest_match_offer(&match, option_kinds[i].name);
		valid = psprintf("%s%s%s", valid, *valid ? ", " : "", option_kinds[i].name);
	}
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					errmsg("invalid option \"%s\" for %s", name, catalog_noun(catalog)),
					OidIsValid(elsewhere) ? errhint("It is an option of %s.", catalog_noun(elsewhere))
					: match.best ? errhint("Perhaps you meant the option \"%s\". Valid options are: %s.",
										   match.best, valid)
					: *valid     ? errhint("Valid options are: %s.", valid)
								 : errhint("There are no valid options in this context.")));
}

static void
check_option(DefElem *option, Oid catalog)
{
	int i;

	for (i = 0; i < lengthof(option_kinds); i++)
	{
		const struct option_kind *kind = &option_kinds[i];

		if (kind->catalog != catalog || strcmp(kind->name, option->defname) != 0)
			continue;
		if (kind->check)
			kind->check(kind, defGetString(option));
		return;
	}
	refuse_option(option->defname, catalog);
}

static void
require_option(List *options, const char *name, const char *of, const char *hint)
{
	if (option_find(options, name) == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
						errmsg("option \"%s\" is required for %s", name, of), errhint("%s", hint)));
}

/* dicom_fdw_validator(options text[], catalog oid): refuses what dicom_fdw does not understand, when it is set. */
Datum
dicom_fdw_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	ListCell *cell;

	foreach (cell, options)
		check_option(lfirst(cell), catalog);
	if (catalog == ForeignServerRelationId)
		require_option(options, "location", "a server",
					   "Add OPTIONS (location 's3://bucket/prefix/') or 'file:///directory/'.");
	if (catalog == ForeignTableRelationId)
		require_option(options, "entity", "a foreign table",
					   psprintf("Add OPTIONS (entity '...'), one of: %s.", join_words(option_entity_words)));
	if (catalog == UserMappingRelationId && option_find(options, "access_key_id"))
		require_option(options, "secret_access_key", "a user mapping with access_key_id",
					   "Add the secret access key.");
	PG_RETURN_VOID();
}

const char *
option_find(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return defGetString(option);
	}
	return NULL;
}

static int
option_number(List *options, const char *name, int flags, int fallback)
{
	const char *value = option_find(options, name);
	int number;

	return value && parse_int(value, &number, flags, NULL) ? number : fallback;
}

int
option_integer(List *options, const char *name, int fallback)
{
	return option_number(options, name, 0, fallback);
}

int
option_milliseconds(List *options, const char *name, int fallback)
{
	return option_number(options, name, GUC_UNIT_MS, fallback);
}

uint64
option_bytes(List *options, const char *name, uint64 fallback)
{
	int number = option_number(options, name, GUC_UNIT_BYTE, -1);

	return number < 0 ? fallback : (uint64) number;
}

int
option_word(List *options, const char *name, const char *const *words, int fallback)
{
	const char *value = option_find(options, name);
	int i;

	for (i = 0; value && words[i]; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return fallback;
}
