/*
 * rule_call.c
 *	  The rule engine, as functions of SQL call it.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "../pg/handle.h"
#include "../pg/report.h"
#include "keyring.h"
#include "rule_call.h"

struct deid_counts deid_counts;

/* --- texts --- */

struct deid_text
utf8_of_text(const text *value)
{
	struct deid_text result = {0};

	if (!value)
		return result;
	result.length = VARSIZE_ANY_EXHDR(value);
	result.text = pg_server_to_any(VARDATA_ANY(value), result.length, PG_UTF8);
	if (result.text != VARDATA_ANY(value))
		result.length = strlen(result.text);
	return result;
}

struct deid_text
utf8_of_string(const char *value)
{
	struct deid_text result = {0};

	if (value)
	{
		result.text = text_to_utf8(value);
		result.length = strlen(result.text);
	}
	return result;
}

text *
text_of_utf8(const char *bytes, size_t length)
{
	int server_length = (int) length;
	const char *server = text_to_server(bytes, &server_length, NULL);

	return cstring_to_text_with_len(server, server_length);
}

/* --- rules --- */

void
report_rule_error(const struct dicom_error *error)
{
	int code = error->code == DICOM_ERROR_INVALID_OPTION ? ERRCODE_INVALID_PARAMETER_VALUE
			   : error->code == DICOM_ERROR_CREDENTIALS  ? ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
														 : ERRCODE_OUT_OF_MEMORY;
	char *hint = error->hint[0] ? pstrdup(error->hint) : NULL;

	if (hint)
		hint[0] = pg_toupper((unsigned char) hint[0]);
	ereport(ERROR, (errcode(code), errmsg("%s", error->message), hint ? errhint("%s.", hint) : 0));
}

/* Moves what the engine has made into palloc'd memory, so that an error later on does not lose it. */
static char *
take_buffer(struct dicom_buffer *out)
{
	char *copy = MemoryContextAllocExtended(CurrentMemoryContext, out->length + 1,
											MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);

	if (copy)
		memcpy(copy, out->data ? out->data : "", out->length + 1);
	dicom_buffer_free(out);
	if (!copy)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return copy;
}

text *
apply_rule(const struct deid_rule *rule, struct deid_context *context, struct deid_text value)
{
	struct dicom_buffer out = {0};
	struct dicom_error error;
	size_t length;
	char *bytes;
	bool absent;

	context->counts = &deid_counts;
	if (deid_rule_apply(rule, context, value, &out, &absent, &error) != DICOM_OK)
	{
		dicom_buffer_free(&out);
		report_rule_error(&error);
	}
	length = out.length;
	bytes = take_buffer(&out);
	return absent ? NULL : text_of_utf8(bytes, length);
}

/* --- parameters --- */

struct parameters
{
	struct deid_parameter *list;
	int count;
	int room;
};

static void
add_parameter(struct parameters *parameters, const char *name, const char *value)
{
	if (parameters->count == parameters->room)
	{
		parameters->room = parameters->room * 2 + 8;
		parameters->list = parameters->list
							   ? repalloc(parameters->list, parameters->room * sizeof(*parameters->list))
							   : palloc(parameters->room * sizeof(*parameters->list));
	}
	parameters->list[parameters->count++] = (struct deid_parameter){name, value};
}

/* A scalar as UTF-8; NULL for null. */
static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pstrdup(text_to_utf8(pnstrdup(value->val.string.val, value->val.string.len)));
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		default:
			return NULL;
	}
}

/* Sets what is not for the rule; false where the name is another. */
static bool
set_context(struct rule_call *call, const char *name, const char *value, struct dicom_error *error,
			bool *failed)
{
	struct deid_text text = {value, value ? strlen(value) : 0};

	if (strcmp(name, "patient_id") == 0)
		call->context.patient_id = text;
	else if (strcmp(name, "issuer") == 0)
		call->context.issuer = text;
	else if (strcmp(name, "study_instance_uid") == 0)
		call->context.study_instance_uid = text;
	else if (strcmp(name, "epoch") == 0 && value)
	{
		char *end;
		long epoch = strtol(value, &end, 10);

		if (end == value || *end || epoch < 0 || epoch > INT32_MAX)
		{
			dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
					   "parameter \"epoch\" must be the number of an epoch");
			*failed = true;
		}
		call->epoch = (int32) epoch;
	}
	else
		return strcmp(name, "epoch") == 0;
	return true;
}

/* The items of an array each; true unless one is no scalar. */
static bool
add_array(struct parameters *parameters, const char *name, JsonbContainer *array)
{
	uint32 count = JsonContainerSize(array);
	uint32 i;

	for (i = 0; i < count; i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(array, i);

		if (item->type == jbvBinary)
			return false;
		if (item->type != jbvNull)
			add_parameter(parameters, name, scalar_text(item));
	}
	return true;
}

static bool
add_value(struct rule_call *call, struct parameters *parameters, const char *name, JsonbValue *value,
		  struct dicom_error *error)
{
	bool failed = false;

	if (value->type == jbvBinary)
	{
		if (JsonContainerIsArray(value->val.binary.data) && strcmp(name, "known") == 0 &&
			add_array(parameters, name, value->val.binary.data))
			return true;
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "parameter \"%.64s\" must be a text or a number", name);
		return false;
	}
	if (!set_context(call, name, scalar_text(value), error, &failed) && value->type != jbvNull)
		add_parameter(parameters, name, scalar_text(value));
	return !failed;
}

static bool
read_parameters(struct rule_call *call, Jsonb *params, struct parameters *parameters,
				struct dicom_error *error)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	if (!params)
		return true;
	if (!JB_ROOT_IS_OBJECT(params))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "parameters must be a JSON object");
		return false;
	}
	iterator = JsonbIteratorInit(&params->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = scalar_text(&value);
		else if (token == WJB_VALUE && !add_value(call, parameters, name, &value, error))
			return false;
	}
	return true;
}

static void
free_rule(void *rule)
{
	deid_rule_free(rule);
}

bool
rule_call_parse(struct rule_call *call, const char *rule, Jsonb *params, MemoryContext context,
				struct dicom_error *error)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	struct parameters parameters = {0};
	bool parsed;

	*call = (struct rule_call){.epoch = ACTIVE_EPOCH};
	parsed = read_parameters(call, params, &parameters, error);
	if (parsed)
	{
		parsed = deid_rule_parse(&call->rule, text_to_utf8(rule), parameters.list, parameters.count, error) ==
				 DICOM_OK;
		handle_tie(context, free_rule, &call->rule);
	}
	MemoryContextSwitchTo(old);
	return parsed;
}
