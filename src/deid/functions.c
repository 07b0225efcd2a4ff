/*
 * functions.c
 *	  The rules as functions of SQL.
 *
 * Those that need a key look for it before they look at the value: without one even NULL is an error, so that a missing key is found
 * with the first row and not with the first that has a value.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include <math.h>

#include "keyring.h"
#include "rule_call.h"

SQL_FUNCTION(dicom_anon_text);
SQL_FUNCTION(dicom_anonymization_rules);
SQL_FUNCTION(dicom_anonymize);
SQL_FUNCTION(dicom_clean_text);
SQL_FUNCTION(dicom_date_shift_date);
SQL_FUNCTION(dicom_date_shift_text);
SQL_FUNCTION(dicom_date_shift_timestamp);
SQL_FUNCTION(dicom_date_truncate_date);
SQL_FUNCTION(dicom_date_truncate_text);
SQL_FUNCTION(dicom_date_truncate_timestamp);
SQL_FUNCTION(dicom_deid_counts);
SQL_FUNCTION(dicom_dummy);
SQL_FUNCTION(dicom_full_hash);
SQL_FUNCTION(dicom_generalize_age);
SQL_FUNCTION(dicom_generalize_double);
SQL_FUNCTION(dicom_generalize_numeric);
SQL_FUNCTION(dicom_generalize_zip3);
SQL_FUNCTION(dicom_keep);
SQL_FUNCTION(dicom_legacy_full_hash);
SQL_FUNCTION(dicom_legacy_surrogate_key);
SQL_FUNCTION(dicom_remove);
SQL_FUNCTION(dicom_rule_error);
SQL_FUNCTION(dicom_short_id);
SQL_FUNCTION(dicom_surrogate_key);
SQL_FUNCTION(dicom_surrogate_key_of_epoch);
SQL_FUNCTION(dicom_uid_remap);

/* Arguments of all forms of dicom.date_shift(). */
enum shift_argument
{
	SHIFT_VALUE,
	SHIFT_PATIENT,
	SHIFT_ISSUER,
	SHIFT_EPOCH,
	SHIFT_STUDY,
	SHIFT_MIN_DAYS,
	SHIFT_MAX_DAYS
};

#define RETURN_TEXT_OR_NULL(expression) \
	do                                  \
	{                                   \
		text *result_ = (expression);   \
                                        \
		if (result_)                    \
			PG_RETURN_TEXT_P(result_);  \
		PG_RETURN_NULL();               \
	} while (0)

static void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("\"%s\" must not be NULL", name)));
}

/* The kind of identifier, checked like the parameter of a rule. */
static struct deid_text
domain_argument(FunctionCallInfo fcinfo, int n)
{
	struct deid_text domain;

	require_argument(fcinfo, n, "domain");
	domain = utf8_of_text(PG_GETARG_TEXT_PP(n));
	if (domain.length == 0 || domain.length > DEID_DOMAIN_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"domain\" must be a text of 1 to %d bytes", DEID_DOMAIN_MAX)));
	return domain;
}

/* --- pseudonyms --- */

Datum
dicom_full_hash(PG_FUNCTION_ARGS)
{
	struct deid_text domain = domain_argument(fcinfo, 1);
	const struct deid_key *key = KEYRING_ARGUMENT(2);
	struct deid_text value;
	char hex[DEID_HASH_LENGTH + 1];

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = deid_unpadded(utf8_of_text(PG_GETARG_TEXT_PP(0)));
	if (value.length == 0)
		PG_RETURN_NULL();
	deid_full_hash(key, domain, value, hex);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex, DEID_HASH_LENGTH));
}

Datum
dicom_short_id(PG_FUNCTION_ARGS)
{
	struct deid_text domain = domain_argument(fcinfo, 1);
	const struct deid_key *key = KEYRING_ARGUMENT(2);
	struct deid_text value;
	char id[DEID_SHORT_LENGTH + 1];

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = deid_unpadded(utf8_of_text(PG_GETARG_TEXT_PP(0)));
	if (value.length == 0)
		PG_RETURN_NULL();
	deid_short_id(key, domain, value, id);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(id, DEID_SHORT_LENGTH));
}

/* The elements of a text array; returns how many, and in *any whether one is not NULL. */
static int
read_parts(FunctionCallInfo fcinfo, int n, struct deid_text **parts, bool *any)
{
	Datum *values;
	bool *nulls;
	int count;
	int i;

	*any = false;
	*parts = NULL;
	if (PG_ARGISNULL(n))
		return 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	*parts = palloc0(Max(count, 1) * sizeof(**parts));
	for (i = 0; i < count; i++)
	{
		if (nulls[i])
			continue;
		(*parts)[i] = utf8_of_text(DatumGetTextPP(values[i]));
		*any = true;
	}
	return count;
}

static Datum
surrogate_key(FunctionCallInfo fcinfo, const struct deid_key *key, bool hash_null)
{
	struct deid_text domain = domain_argument(fcinfo, 0);
	struct deid_text *parts;
	char hex[DEID_HASH_LENGTH + 1];
	bool any;
	int count = read_parts(fcinfo, 1, &parts, &any);
	int i;

	if (!any && !hash_null)
		PG_RETURN_NULL();
	for (i = 0; i < count; i++)
		if (parts[i].text)
			parts[i] = deid_unpadded(parts[i]);
	deid_surrogate_key(key, domain, parts, count, hex);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex, DEID_HASH_LENGTH));
}

Datum
dicom_surrogate_key(PG_FUNCTION_ARGS)
{
	return surrogate_key(fcinfo, keyring_key(ACTIVE_EPOCH), false);
}

Datum
dicom_surrogate_key_of_epoch(PG_FUNCTION_ARGS)
{
	const char *policy = PG_ARGISNULL(3) ? "null" : text_to_cstring(PG_GETARG_TEXT_PP(3));

	if (strcmp(policy, "null") != 0 && strcmp(policy, "marker") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"null_policy\" must be null or marker")));
	return surrogate_key(fcinfo, KEYRING_ARGUMENT(2), strcmp(policy, "marker") == 0);
}

Datum
dicom_uid_remap(PG_FUNCTION_ARGS)
{
	struct deid_rule rule = {.kind = DEID_UID_REMAP};
	struct deid_context context = {.key = KEYRING_ARGUMENT(1)};

	RETURN_TEXT_OR_NULL(apply_rule(&rule, &context, TEXT_ARGUMENT(0)));
}

/* --- dates --- */

static struct deid_context
shift_context(FunctionCallInfo fcinfo)
{
	struct deid_context context = {.key = KEYRING_ARGUMENT(SHIFT_EPOCH)};

	context.patient_id = TEXT_ARGUMENT(SHIFT_PATIENT);
	context.issuer = TEXT_ARGUMENT(SHIFT_ISSUER);
	context.study_instance_uid = TEXT_ARGUMENT(SHIFT_STUDY);
	return context;
}

static struct deid_rule
shift_rule(FunctionCallInfo fcinfo)
{
	struct deid_rule rule = {.kind = DEID_DATE_SHIFT};
	struct dicom_error error;

	if (deid_rule_set_range(
			&rule, PG_ARGISNULL(SHIFT_MIN_DAYS) ? 7 * DEID_MIN_WEEKS : PG_GETARG_INT32(SHIFT_MIN_DAYS),
			PG_ARGISNULL(SHIFT_MAX_DAYS) ? 7 * DEID_MAX_WEEKS : PG_GETARG_INT32(SHIFT_MAX_DAYS),
			&error) != DICOM_OK)
		report_rule_error(&error);
	return rule;
}

Datum
dicom_date_shift_text(PG_FUNCTION_ARGS)
{
	struct deid_rule rule = shift_rule(fcinfo);
	struct deid_context context = shift_context(fcinfo);

	RETURN_TEXT_OR_NULL(apply_rule(&rule, &context, TEXT_ARGUMENT(SHIFT_VALUE)));
}

/* The days of the other forms, counted like those of texts; false where the result is NULL. */
static bool
shift_days(FunctionCallInfo fcinfo, int *days)
{
	struct deid_rule rule = shift_rule(fcinfo);
	struct deid_context context = shift_context(fcinfo);

	if (PG_ARGISNULL(SHIFT_VALUE))
		return false;
	if (!deid_context_shift(&context, rule.min_weeks, rule.max_weeks, days))
	{
		deid_counts.unshifted++;
		return false;
	}
	deid_counts.study_shifted += context.shift_of_study;
	return true;
}

Datum
dicom_date_shift_date(PG_FUNCTION_ARGS)
{
	DateADT date;
	int days;

	if (!shift_days(fcinfo, &days))
		PG_RETURN_NULL();
	date = PG_GETARG_DATEADT(SHIFT_VALUE);
	if (!DATE_NOT_FINITE(date) && !IS_VALID_DATE(date + days))
	{
		deid_counts.unreadable++;
		PG_RETURN_NULL();
	}
	PG_RETURN_DATEADT(DATE_NOT_FINITE(date) ? date : date + days);
}

Datum
dicom_date_shift_timestamp(PG_FUNCTION_ARGS)
{
	Timestamp timestamp;
	int days;

	if (!shift_days(fcinfo, &days))
		PG_RETURN_NULL();
	timestamp = PG_GETARG_TIMESTAMP(SHIFT_VALUE);
	if (TIMESTAMP_NOT_FINITE(timestamp))
		PG_RETURN_TIMESTAMP(timestamp);
	timestamp += days * USECS_PER_DAY; /* far from where it could overflow: 0 is the year 2000 */
	if (!IS_VALID_TIMESTAMP(timestamp))
	{
		deid_counts.unreadable++;
		PG_RETURN_NULL();
	}
	PG_RETURN_TIMESTAMP(timestamp);
}

/* True for year, false for month. */
static bool
is_year(FunctionCallInfo fcinfo)
{
	char *unit;

	require_argument(fcinfo, 1, "unit");
	unit = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(unit, "year") != 0 && strcmp(unit, "month") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"unit\" must be year or month")));
	return strcmp(unit, "year") == 0;
}

Datum
dicom_date_truncate_text(PG_FUNCTION_ARGS)
{
	struct deid_rule rule = {.kind = DEID_DATE_TRUNCATE, .by_year = is_year(fcinfo)};
	struct deid_context context = {0};

	RETURN_TEXT_OR_NULL(apply_rule(&rule, &context, TEXT_ARGUMENT(0)));
}

static DateADT
truncated(DateADT date, bool by_year)
{
	int year;
	int month;
	int day;

	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return date2j(year, by_year ? 1 : month, 1) - POSTGRES_EPOCH_JDATE;
}

Datum
dicom_date_truncate_date(PG_FUNCTION_ARGS)
{
	bool by_year = is_year(fcinfo);
	DateADT date;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	date = PG_GETARG_DATEADT(0);
	if (DATE_NOT_FINITE(date))
		PG_RETURN_DATEADT(date);
	date = truncated(date, by_year);
	if (!IS_VALID_DATE(date))
		PG_RETURN_NULL();
	PG_RETURN_DATEADT(date);
}

Datum
dicom_date_truncate_timestamp(PG_FUNCTION_ARGS)
{
	Datum unit = CStringGetTextDatum(is_year(fcinfo) ? "year" : "month");

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return DirectFunctionCall2(timestamp_trunc, unit, PG_GETARG_DATUM(0));
}

/* --- others that need no key --- */

static Datum
apply_plain(FunctionCallInfo fcinfo, enum deid_rule_kind kind)
{
	struct deid_rule rule = {.kind = kind};
	struct deid_context context = {0};

	RETURN_TEXT_OR_NULL(apply_rule(&rule, &context, TEXT_ARGUMENT(0)));
}

Datum
dicom_keep(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

Datum
dicom_remove(PG_FUNCTION_ARGS)
{
	PG_RETURN_NULL();
}

Datum
dicom_anon_text(PG_FUNCTION_ARGS)
{
	return apply_plain(fcinfo, DEID_ANON_TEXT);
}

Datum
dicom_generalize_age(PG_FUNCTION_ARGS)
{
	return apply_plain(fcinfo, DEID_GENERALIZE_AGE);
}

Datum
dicom_generalize_zip3(PG_FUNCTION_ARGS)
{
	return apply_plain(fcinfo, DEID_GENERALIZE_ZIP3);
}

static void
refuse_step(void)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"step\" must be a number above 0")));
}

Datum
dicom_generalize_double(PG_FUNCTION_ARGS)
{
	double value;
	double step;

	require_argument(fcinfo, 1, "step");
	step = PG_GETARG_FLOAT8(1);
	if (!(step > 0) || isinf(step))
		refuse_step();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = PG_GETARG_FLOAT8(0);
	PG_RETURN_FLOAT8(isfinite(value) ? floor(value / step) * step : value);
}

Datum
dicom_generalize_numeric(PG_FUNCTION_ARGS)
{
	Datum zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));
	Datum step;
	Datum count;

	require_argument(fcinfo, 1, "step");
	step = PG_GETARG_DATUM(1);
	if (numeric_is_nan(DatumGetNumeric(step)) || numeric_is_inf(DatumGetNumeric(step)) ||
		!DatumGetBool(DirectFunctionCall2(numeric_gt, step, zero)))
		refuse_step();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	count = DirectFunctionCall1(numeric_floor, DirectFunctionCall2(numeric_div, PG_GETARG_DATUM(0), step));
	return DirectFunctionCall2(numeric_mul, count, step);
}

Datum
dicom_clean_text(PG_FUNCTION_ARGS)
{
	struct deid_rule rule = {.kind = DEID_CLEAN_TEXT};
	struct deid_context context = {0};
	const char *words = PG_ARGISNULL(2) ? "clinical" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	struct deid_text *known;
	bool any;

	if (strcmp(words, "clinical") != 0 && strcmp(words, "any") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"words\" must be clinical or any")));
	rule.clean_any = strcmp(words, "any") == 0;
	context.known[0].count = read_parts(fcinfo, 1, &known, &any);
	context.known[0].texts = known;
	RETURN_TEXT_OR_NULL(apply_rule(&rule, &context, TEXT_ARGUMENT(0)));
}

Datum
dicom_dummy(PG_FUNCTION_ARGS)
{
	const char *dummy;

	require_argument(fcinfo, 0, "vr");
	dummy = deid_dummy(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (!dummy)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"vr\" must be a VR whose values are text or numbers")));
	PG_RETURN_TEXT_P(cstring_to_text(dummy));
}

Datum
dicom_legacy_full_hash(PG_FUNCTION_ARGS)
{
	char hex[DEID_HASH_LENGTH + 1];

	require_argument(fcinfo, 1, "salt");
	deid_legacy_full_hash(TEXT_ARGUMENT(1), TEXT_ARGUMENT(0), hex);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex, DEID_HASH_LENGTH));
}

Datum
dicom_legacy_surrogate_key(PG_FUNCTION_ARGS)
{
	char hex[DEID_HASH_LENGTH + 1];
	struct deid_text *parts;
	bool any;
	int count = read_parts(fcinfo, 1, &parts, &any);

	require_argument(fcinfo, 0, "salt");
	deid_legacy_surrogate_key(TEXT_ARGUMENT(0), parts, count, hex);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex, DEID_HASH_LENGTH));
}

/* --- any rule --- */

/* A rule that was parsed for the row before: most calls have the same one. */
struct cached_call
{
	MemoryContext context;
	char *rule;
	Jsonb *params;
	struct rule_call call;
};

static bool
is_cached(const struct cached_call *cached, const char *rule, const Jsonb *params)
{
	return strcmp(cached->rule, rule) == 0 && VARSIZE(cached->params) == VARSIZE(params) &&
		   memcmp(cached->params, params, VARSIZE(params)) == 0;
}

static struct cached_call *
parse_call(MemoryContext parent, const char *rule, Jsonb *params)
{
	MemoryContext context = AllocSetContextCreate(parent, "dicom_fdw rule", ALLOCSET_SMALL_SIZES);
	struct cached_call *cached = MemoryContextAllocZero(context, sizeof(*cached));
	struct dicom_error error;

	cached->context = context;
	cached->rule = MemoryContextStrdup(context, rule);
	cached->params = MemoryContextAlloc(context, VARSIZE(params));
	memcpy(cached->params, params, VARSIZE(params));
	if (!rule_call_parse(&cached->call, rule, params, context, &error))
		report_rule_error(&error);
	return cached;
}

/* The call at hand, parsed. */
static struct rule_call *
current_call(FunctionCallInfo fcinfo)
{
	struct cached_call *cached = fcinfo->flinfo->fn_extra;
	char *rule;
	Jsonb *params;

	require_argument(fcinfo, 1, "rule");
	require_argument(fcinfo, 2, "params");
	rule = text_to_cstring(PG_GETARG_TEXT_PP(1));
	params = PG_GETARG_JSONB_P(2);
	if (!cached || !is_cached(cached, rule, params))
	{
		fcinfo->flinfo->fn_extra = NULL;
		if (cached)
			MemoryContextDelete(cached->context);
		cached = parse_call(fcinfo->flinfo->fn_mcxt, rule, params);
		fcinfo->flinfo->fn_extra = cached;
	}
	return &cached->call;
}

Datum
dicom_anonymize(PG_FUNCTION_ARGS)
{
	struct rule_call *call = current_call(fcinfo);
	struct deid_context context = call->context;

	if (deid_rule_entry(call->rule.kind)->keyed)
		context.key = keyring_key(call->epoch);
	RETURN_TEXT_OR_NULL(apply_rule(&call->rule, &context, TEXT_ARGUMENT(0)));
}

Datum
dicom_rule_error(PG_FUNCTION_ARGS)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw rule", ALLOCSET_SMALL_SIZES);
	struct rule_call *call = MemoryContextAllocZero(context, sizeof(*call));
	struct dicom_error error;
	bool parsed;

	parsed = rule_call_parse(call, PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0)),
							 PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), context, &error);
	MemoryContextDelete(context);
	if (parsed)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(
		cstring_to_text(error.hint[0] ? psprintf("%s (%s)", error.message, error.hint) : error.message));
}

/* --- what there is, and what was done --- */

static Datum
words_array(const char *words)
{
	char *copy = pstrdup(words);
	Datum items[8];
	int count = 0;
	char *state;
	char *word;

	for (word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state))
		items[count++] = CStringGetTextDatum(word);
	return PointerGetDatum(construct_array(items, count, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
dicom_anonymization_rules(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const struct deid_rule_entry *entry;
	int i;

	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; (entry = deid_rule_entry(i)) != NULL; i++)
	{
		Datum values[] = {CStringGetTextDatum(entry->name), BoolGetDatum(entry->keyed),
						  words_array(entry->parameters), CStringGetTextDatum(entry->description)};
		bool nulls[lengthof(values)] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
dicom_deid_counts(PG_FUNCTION_ARGS)
{
	Datum values[] = {Int64GetDatum(deid_counts.unreadable), Int64GetDatum(deid_counts.study_shifted),
					  Int64GetDatum(deid_counts.unshifted)};
	bool nulls[lengthof(values)] = {false};
	TupleDesc description;

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!PG_ARGISNULL(0) && PG_GETARG_BOOL(0))
		deid_counts = (struct deid_counts){0};
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}
