/*
 * compress_arguments.c
 *	  What dicompress is told: options, as arguments, and stores, as JSON.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "../pg/report.h"
#include "../server/options.h"
#include "compress_arguments.h"

#define MAX_INLINE (256 * 1024 * 1024)

/* --- options --- */

/* Options of dicompress that may be given, by the name they have in SQL. Its own checks say what values are valid. */
static const struct
{
	const char *name;
	const char *option;
} known_options[] = {
	{"frames", "--frames"},   {"jobs", "--jobs"},       {"max_size", "--max-size"},
	{"memory", "--memory"},   {"quality", "--quality"}, {"subsampling", "--subsampling"},
	{"timeout", "--timeout"}, {"window", "--window"},
};

static void
refuse_option(const char *name)
{
	struct closest_match match = {.wanted = name};
	int i;

	for (i = 0; i < (int) lengthof(known_options); i++)
		closest_match_offer(&match, known_options[i].name);
	closest_match_offer(&match, "inline_limit");
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no option \"%s\" of pictures", name),
			 match.best ? errhint("Perhaps you meant the option \"%s\".", match.best)
						: errhint("Valid options are frames, inline_limit, jobs, max_size, memory, "
								  "quality, subsampling, timeout, window.")));
}

static char *
value_text(const char *name, const JsonbValue *value)
{
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" of pictures must be a text or a number", name)));
	return NULL;
}

static int64
inline_limit_of(const char *text)
{
	char *end;
	long long limit = strtoll(text, &end, 10);

	if (end == text || *end || limit < 0 || limit > MAX_INLINE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"inline_limit\" of pictures must be a number from 0 to %d", MAX_INLINE)));
	return limit;
}

int
compress_add_options(Jsonb *options, const char **arguments, int count, int64 *inline_limit)
{
	JsonbIterator *iterator = JsonbIteratorInit(&options->root);
	JsonbIteratorToken token;
	JsonbValue item;
	char *name = NULL;
	int i;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options of pictures must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(item.val.string.val, item.val.string.len);
		if (token != WJB_VALUE || item.type == jbvNull)
			continue;
		for (i = 0; i < (int) lengthof(known_options); i++)
			if (strcmp(known_options[i].name, name) == 0)
				break;
		if (strcmp(name, "inline_limit") == 0)
			*inline_limit = inline_limit_of(value_text(name, &item));
		else if (i == lengthof(known_options))
			refuse_option(name);
		else
			arguments[count++] = psprintf("%s=%s", known_options[i].option, value_text(name, &item));
	}
	return count;
}

/* --- stores, as dicompress is told of them --- */

void
compress_add_member(StringInfo json, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(json, ", \"%s\": ", name);
	escape_json(json, value);
}

char *
compress_location(const struct store_options *options)
{
	size_t length = strlen(options->location);

	return text_to_utf8(length > 0 && options->location[length - 1] == '/'
							? options->location
							: psprintf("%s/", options->location));
}

static void
add_store(StringInfo json, const struct store_options *options)
{
	appendStringInfo(json, "{\"allow_ambient\": %s, \"restrict_endpoints\": %s",
					 options->allow_ambient ? "true" : "false",
					 options->restrict_endpoints ? "true" : "false");
	compress_add_member(json, "location", compress_location(options));
	compress_add_member(json, "endpoint", options->endpoint);
	compress_add_member(json, "region", options->region);
	compress_add_member(json, "url_style", option_url_style_words[options->url_style]);
	compress_add_member(json, "tls_ca", options->tls_ca);
	compress_add_member(json, "credentials", option_credentials_words[options->credentials]);
	compress_add_member(json, "profile", options->profile);
	compress_add_member(json, "access_key_id", options->access_key_id);
	compress_add_member(json, "secret_access_key", options->secret_access_key);
	compress_add_member(json, "session_token", options->session_token);
	compress_add_member(json, "allowed_endpoints", options->allowed_endpoints);
	if (options->max_requests > 0)
		appendStringInfo(json, ", \"max_requests\": %d", options->max_requests);
	if (options->max_retries >= 0)
		appendStringInfo(json, ", \"max_retries\": %d", options->max_retries);
	if (options->request_timeout_ms > 0)
		appendStringInfo(json, ", \"request_timeout_ms\": %d", options->request_timeout_ms);
	appendStringInfoChar(json, '}');
}

char *
compress_describe_stores(const struct store_options *source, const struct store_options *target)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	add_store(&json, source);
	appendStringInfoChar(&json, ',');
	add_store(&json, target);
	appendStringInfoChar(&json, ']');
	return json.data;
}
