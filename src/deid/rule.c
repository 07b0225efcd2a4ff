/*
 * rule.c
 *	  The rule engine.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../dicom/value.h"
#include "dates.h"
#include "rule.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define ANON_TEXT "ANON_TEXT"

#define MAX_SHIFT_DAYS 36525 /* a hundred years */
#define OLDEST_YEARS   89    /* ages above are one */
#define MAX_KNOWN      10000

static const struct deid_rule_entry entries[DEID_RULE_COUNT] = {
	[DEID_KEEP] = {"keep", false, "", "the value as it is"},
	[DEID_REMOVE] = {"remove", false, "", "nothing"},
	[DEID_ANON_TEXT] = {"anon_text", false, "", "the text ANON_TEXT"},
	[DEID_FULL_HASH] = {"full_hash", true, "domain null_policy",
						"64 hex digits, equal for equal values of a domain"},
	[DEID_SHORT_ID] = {"short_id", true, "domain", "21 characters, equal for equal values of a domain"},
	[DEID_SURROGATE_KEY] = {"surrogate_key", true, "domain null_policy",
							"64 hex digits of several values together"},
	[DEID_UID_REMAP] = {"uid_remap", true, "", "another valid UID, equal for equal ones"},
	[DEID_DATE_SHIFT] = {"date_shift", true, "min_days max_days",
						 "a date some whole weeks earlier, so many for all dates of a patient"},
	[DEID_DATE_TRUNCATE] = {"date_truncate", false, "unit", "the first day of the year or month"},
	[DEID_GENERALIZE_AGE] = {"generalize_age", false, "", "an age, above 89 years 090Y"},
	[DEID_GENERALIZE_NUMBER] = {"generalize_number", false, "step",
								"the largest multiple of step not above the number"},
	[DEID_GENERALIZE_ZIP3] = {"generalize_zip3", false, "",
							  "three digits of a ZIP code, 000 where few people live"},
	[DEID_CLEAN_TEXT] = {"clean_text", false, "known words", "free text without what may identify somebody"},
	[DEID_DUMMY] = {"dummy", false, "vr", "a value that says nothing"},
	[DEID_LEGACY_FULL_HASH] = {"legacy_full_hash", false, "salt",
							   "SHA-256 of value and salt: for comparison only"},
	[DEID_LEGACY_SURROGATE_KEY] = {"legacy_surrogate_key", false, "salt",
								   "SHA-256 of joined values and salt: for comparison only"},
};

const struct deid_rule_entry *
deid_rule_entry(size_t i)
{
	return i < COUNT_OF(entries) ? &entries[i] : NULL;
}

static struct deid_text
text_of(const char *string)
{
	return (struct deid_text){string, strlen(string)};
}

/* --- parsing --- */

/* True where `name` is one of the names, separated by blanks. */
static bool
is_listed(const char *names, const char *name)
{
	size_t length = strlen(name);
	const char *at = names;

	while (length > 0 && (at = strstr(at, name)) != NULL)
	{
		if ((at == names || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
			return true;
		at += length;
	}
	return false;
}

bool
deid_rule_takes(enum deid_rule_kind kind, const char *parameter)
{
	return is_listed(entries[kind].parameters, parameter);
}

static bool
is_hash(enum deid_rule_kind kind)
{
	return kind == DEID_FULL_HASH || kind == DEID_SHORT_ID || kind == DEID_SURROGATE_KEY;
}

static bool
is_legacy(enum deid_rule_kind kind)
{
	return kind == DEID_LEGACY_FULL_HASH || kind == DEID_LEGACY_SURROGATE_KEY;
}

static enum dicom_status
bad_parameter(const struct deid_parameter *parameter, const char *what, struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "parameter \"%s\" must be %s", parameter->name,
					  what);
}

static enum dicom_status
out_of_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

/* One of two words. */
static enum dicom_status
parse_choice(const struct deid_parameter *parameter, const char *no, const char *yes, bool *choice,
			 struct dicom_error *error)
{
	char what[64];

	*choice = strcmp(parameter->value, yes) == 0;
	if (*choice || strcmp(parameter->value, no) == 0)
		return DICOM_OK;
	snprintf(what, sizeof(what), "%s or %s", no, yes);
	return bad_parameter(parameter, what, error);
}

static enum dicom_status
parse_days(const struct deid_parameter *parameter, int *days, struct dicom_error *error)
{
	int64_t number;

	if (!dicom_parse_integer(parameter->value, strlen(parameter->value), &number) || number < 1 ||
		number > MAX_SHIFT_DAYS)
		return bad_parameter(parameter, "a number of days from 1 to 36525", error);
	*days = (int) number;
	return DICOM_OK;
}

static enum dicom_status
parse_step(const struct deid_parameter *parameter, double *step, struct dicom_error *error)
{
	if (!dicom_parse_decimal(parameter->value, strlen(parameter->value), step) || !(*step > 0))
		return bad_parameter(parameter, "a number above 0", error);
	return DICOM_OK;
}

static enum dicom_status
parse_domain(const struct deid_parameter *parameter, char *domain, struct dicom_error *error)
{
	if (!*parameter->value || strlen(parameter->value) > DEID_DOMAIN_MAX)
		return bad_parameter(parameter, "a text of 1 to 63 bytes", error);
	memcpy(domain, parameter->value, strlen(parameter->value) + 1);
	return DICOM_OK;
}

static enum dicom_status
parse_vr(const struct deid_parameter *parameter, char vr[3], struct dicom_error *error)
{
	if (!deid_dummy(parameter->value))
		return bad_parameter(parameter, "a VR whose values are text or numbers", error);
	memcpy(vr, parameter->value, 3);
	return DICOM_OK;
}

static enum dicom_status
add_known(const struct deid_parameter *parameter, struct deid_known *known, struct dicom_error *error)
{
	struct deid_text *texts;
	char *copy;

	if (known->count >= MAX_KNOWN)
		return bad_parameter(parameter, "given 10000 times at most", error);
	texts = realloc((void *) known->texts, (known->count + 1) * sizeof(*texts));
	if (!texts)
		return out_of_memory(error);
	known->texts = texts;
	copy = strdup(parameter->value);
	if (!copy)
		return out_of_memory(error);
	texts[known->count++] = text_of(copy);
	return DICOM_OK;
}

static enum dicom_status
parse_parameter(struct deid_rule *rule, const struct deid_parameter *parameter, int *min_days, int *max_days,
				struct dicom_error *error)
{
	const char *name = parameter->name;

	if (!deid_rule_takes(rule->kind, name))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "rule %s has no parameter \"%.64s\"",
				   entries[rule->kind].name, name);
		return *entries[rule->kind].parameters
				   ? dicom_hint(error, "it takes: %s", entries[rule->kind].parameters)
				   : dicom_hint(error, "it takes none");
	}
	if (strcmp(name, "domain") == 0)
		return parse_domain(parameter, rule->domain, error);
	if (strcmp(name, "null_policy") == 0)
		return parse_choice(parameter, "null", "marker", &rule->hash_null, error);
	if (strcmp(name, "words") == 0)
		return parse_choice(parameter, "clinical", "any", &rule->clean_any, error);
	if (strcmp(name, "unit") == 0)
		return parse_choice(parameter, "month", "year", &rule->by_year, error);
	if (strcmp(name, "min_days") == 0)
		return parse_days(parameter, min_days, error);
	if (strcmp(name, "max_days") == 0)
		return parse_days(parameter, max_days, error);
	if (strcmp(name, "step") == 0)
		return parse_step(parameter, &rule->step, error);
	if (strcmp(name, "vr") == 0)
		return parse_vr(parameter, rule->vr, error);
	if (strcmp(name, "known") == 0)
		return add_known(parameter, &rule->known, error);
	free(rule->salt);
	rule->salt = strdup(parameter->value);
	return rule->salt ? DICOM_OK : out_of_memory(error);
}

static bool
has_parameter(const struct deid_parameter *parameters, size_t count, const char *name)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(parameters[i].name, name) == 0)
			return true;
	return false;
}

/* What a rule cannot do without. */
static enum dicom_status
check_required(const struct deid_rule *rule, const struct deid_parameter *parameters, size_t count,
			   struct dicom_error *error)
{
	const char *required = is_hash(rule->kind)                    ? "domain"
						   : is_legacy(rule->kind)                ? "salt"
						   : rule->kind == DEID_DATE_TRUNCATE     ? "unit"
						   : rule->kind == DEID_GENERALIZE_NUMBER ? "step"
																  : NULL;

	if (!required || has_parameter(parameters, count, required))
		return DICOM_OK;
	return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "rule %s needs the parameter \"%s\"",
					  entries[rule->kind].name, required);
}

enum dicom_status
deid_rule_set_range(struct deid_rule *rule, int min_days, int max_days, struct dicom_error *error)
{
	if (min_days < 1 || min_days > MAX_SHIFT_DAYS || max_days < 1 || max_days > MAX_SHIFT_DAYS)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
						  "\"min_days\" and \"max_days\" must be from 1 to %d", MAX_SHIFT_DAYS);
	rule->min_weeks = (min_days + 6) / 7;
	rule->max_weeks = max_days / 7;
	if (rule->min_weeks > rule->max_weeks)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
						  "there is no whole week between \"min_days\" and \"max_days\"");
	return DICOM_OK;
}

/* Letters that one has and the other has not, in place: enough to tell a typing error. */
static int
difference(const char *a, const char *b)
{
	int count = abs((int) strlen(a) - (int) strlen(b));

	for (; *a && *b; a++, b++)
	{
		if (*a == *b)
			continue;
		count++;
		if (a[1] == *b)
			a++;
		else if (*a == b[1])
			b++;
	}
	return count;
}

static enum dicom_status
find_rule(struct deid_rule *rule, const char *name, struct dicom_error *error)
{
	size_t closest = 0;
	size_t i;

	for (i = 0; i < COUNT_OF(entries); i++)
	{
		if (strcmp(entries[i].name, *name ? name : "keep") == 0)
		{
			rule->kind = (enum deid_rule_kind) i;
			return DICOM_OK;
		}
		if (difference(entries[i].name, name) < difference(entries[closest].name, name))
			closest = i;
	}
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "there is no rule \"%.64s\"", name);
	if (difference(entries[closest].name, name) <= 4)
		return dicom_hint(error, "perhaps you meant %s", entries[closest].name);
	return dicom_hint(error, "dicom.anonymization_rules() lists them");
}

enum dicom_status
deid_rule_parse(struct deid_rule *rule, const char *name, const struct deid_parameter *parameters,
				size_t count, struct dicom_error *error)
{
	int min_days = 7 * DEID_MIN_WEEKS;
	int max_days = 7 * DEID_MAX_WEEKS;
	size_t i;

	*rule = (struct deid_rule){.vr = "LO"};
	if (find_rule(rule, name, error) != DICOM_OK)
		return DICOM_FAILED;
	for (i = 0; i < count; i++)
		if (parse_parameter(rule, &parameters[i], &min_days, &max_days, error) != DICOM_OK)
			return DICOM_FAILED;
	if (check_required(rule, parameters, count, error) != DICOM_OK)
		return DICOM_FAILED;
	return deid_rule_set_range(rule, min_days, max_days, error);
}

void
deid_rule_free(struct deid_rule *rule)
{
	size_t i;

	for (i = 0; i < rule->known.count; i++)
		free((void *) rule->known.texts[i].text);
	free((void *) rule->known.texts);
	free(rule->salt);
	*rule = (struct deid_rule){0};
}

/* --- applying --- */

struct application
{
	const struct deid_rule *rule;
	struct deid_context *context;
	struct dicom_buffer *out;
};

/* Appends what becomes of one value; false where nothing does. */
typedef bool (*transform)(const struct application *, struct deid_text value);

static bool
append_text(struct dicom_buffer *out, const char *text)
{
	dicom_buffer_append_string(out, text);
	return true;
}

static bool
append_bytes(struct dicom_buffer *out, struct deid_text text)
{
	dicom_buffer_append(out, text.text, text.length);
	return true;
}

static bool
unreadable(const struct application *application)
{
	if (application->context->counts)
		application->context->counts->unreadable++;
	return false;
}

static bool
is_absent(struct deid_text value)
{
	return !value.text || deid_unpadded(value).length == 0;
}

bool
deid_context_shift(struct deid_context *context, int min_weeks, int max_weeks, int *days)
{
	bool of_study = is_absent(context->patient_id);
	struct deid_text whose = of_study ? context->study_instance_uid : context->patient_id;
	struct deid_text issuer = context->issuer;

	if (!context->key || is_absent(whose))
		return false;
	if (!context->shift_known || context->shift_min_weeks != min_weeks ||
		context->shift_max_weeks != max_weeks)
	{
		/* An issuer that is there and empty is none: files of one patient differ in that. */
		issuer = is_absent(issuer) ? (struct deid_text){0} : deid_unpadded(issuer);
		context->shift_days =
			deid_shift_days(context->key, issuer, deid_unpadded(whose), min_weeks, max_weeks);
		context->shift_of_study = of_study;
		context->shift_min_weeks = min_weeks;
		context->shift_max_weeks = max_weeks;
		context->shift_known = true;
	}
	*days = context->shift_days;
	return true;
}

void
deid_context_change(struct deid_context *context)
{
	context->shift_known = false;
}

static bool
shift_date(const struct application *application, struct deid_text value)
{
	struct deid_context *context = application->context;
	int days;

	if (!deid_context_shift(context, application->rule->min_weeks, application->rule->max_weeks, &days))
	{
		if (context->counts)
			context->counts->unshifted++;
		return false;
	}
	if (!deid_shift_date(value, days, application->out))
		return unreadable(application);
	if (context->counts && context->shift_of_study)
		context->counts->study_shifted++;
	return true;
}

static bool
truncate_date(const struct application *application, struct deid_text value)
{
	return deid_truncate_date(value, application->rule->by_year, application->out) || unreadable(application);
}

static bool
remap_uid(const struct application *application, struct deid_text value)
{
	char uid[DEID_UID_LENGTH + 1];

	if (deid_uid_is_standard(value))
		return append_bytes(application->out, value);
	deid_uid(application->context->key, value, uid);
	return append_text(application->out, uid);
}

/* Most units that 89 years have; a year has 365.25 days. */
static int64_t
most_of_unit(char unit)
{
	switch (unit)
	{
		case 'Y':
			return OLDEST_YEARS;
		case 'M':
			return OLDEST_YEARS * 12;
		case 'W':
			return (int64_t) (OLDEST_YEARS * 365.25 / 7);
		case 'D':
			return (int64_t) (OLDEST_YEARS * 365.25);
		default:
			return -1;
	}
}

/* nnnD, nnnW, nnnM, nnnY; more digits are read too. */
static bool
generalize_age(const struct application *application, struct deid_text value)
{
	int64_t number = 0;
	int64_t most;
	size_t i;

	for (i = 0; i < value.length && value.text[i] == ' '; i++)
		;
	value.text += i;
	value.length -= i;
	for (i = 0; i < value.length && i < 9 && value.text[i] >= '0' && value.text[i] <= '9'; i++)
		number = number * 10 + (value.text[i] - '0');
	most = i > 0 && i + 1 == value.length ? most_of_unit(value.text[i]) : -1;
	if (most < 0)
		return unreadable(application);
	if (number > most)
		return append_text(application->out, "090Y");
	dicom_buffer_printf(application->out, "%03lld%c", (long long) number, value.text[i]);
	return true;
}

static bool
generalize_number(const struct application *application, struct deid_text value)
{
	double step = application->rule->step;
	double number;

	if (!dicom_parse_decimal(value.text, value.length, &number))
		return unreadable(application);
	number = floor(number / step) * step;
	if (!isfinite(number))
		return unreadable(application);
	dicom_buffer_printf(application->out, "%.12g", number == 0 ? 0.0 : number);
	return true;
}

/*
 * Areas of three digits with at most 20,000 people in the census of 2000: what 45 CFR 164.514(b)(2)(i)(B) has to be 000.
 */
static bool
is_small_area(const char digits[3])
{
	static const char small[][4] = {"036", "059", "063", "102", "203", "556", "692", "790", "821",
									"823", "830", "831", "878", "879", "884", "890", "893"};
	size_t i;

	for (i = 0; i < COUNT_OF(small); i++)
		if (memcmp(small[i], digits, 3) == 0)
			return true;
	return false;
}

/* 12345, 12345-6789, 123456789; 123 has been generalized before. */
static bool
generalize_zip3(const struct application *application, struct deid_text value)
{
	size_t digits = 0;
	size_t i;

	for (i = 0; i < value.length; i++)
	{
		if (value.text[i] >= '0' && value.text[i] <= '9')
			digits++;
		else if (value.text[i] != '-' || i != 5)
			return unreadable(application);
	}
	if ((digits != 3 && digits != 5 && digits != 9) || (digits < 9 && value.length > digits))
		return unreadable(application);
	value.length = 3;
	return is_small_area(value.text) ? append_text(application->out, "000")
									 : append_bytes(application->out, value);
}

static bool
clean_text(const struct application *application, struct deid_text value)
{
	const struct deid_context *context = application->context;
	struct deid_known known[] = {application->rule->known, context->known[0], context->known[1]};

	return deid_clean_text(value, known, COUNT_OF(known), application->rule->clean_any, application->out);
}

const char *
deid_dummy(const char *vr)
{
	static const struct
	{
		const char *vrs;
		const char *value;
	} dummies[] = {
		{"AE CS LO LT PN SH ST UC UT", "ANONYMIZED"},
		{"AS", "000Y"},
		{"DA", "19000101"},
		{"DT", "19000101000000"},
		{"TM", "000000"},
		{"DS IS FL FD SL SS SV UL US UV", "0"},
		{"UI", "2.25.0"},
		{"UR", "about:blank"},
		{"AT", "00000000"},
	};
	size_t i;

	for (i = 0; i < COUNT_OF(dummies); i++)
		if (strlen(vr) == 2 && is_listed(dummies[i].vrs, vr))
			return dummies[i].value;
	return NULL;
}

static bool
replace_with_dummy(const struct application *application, struct deid_text value)
{
	return append_text(application->out, deid_dummy(application->rule->vr));
}

/*
 * Every value of several, with the backslashes between them. A value of which nothing comes is empty; where all are, there is none.
 */
static bool
apply_to_each(const struct application *application, struct deid_text value, transform transform)
{
	const char *end = value.text + value.length;
	bool any = false;

	for (;;)
	{
		const char *stop = memchr(value.text, '\\', end - value.text);
		struct deid_text one =
			deid_unpadded((struct deid_text){value.text, (stop ? stop : end) - value.text});

		if (one.length > 0 && transform(application, one))
			any = true;
		if (!stop)
			return any;
		dicom_buffer_append_char(application->out, '\\');
		value.text = stop + 1;
	}
}

static bool
append_legacy(const struct application *application, const struct deid_text *parts, size_t count)
{
	struct deid_text salt = text_of(application->rule->salt);
	char hex[DEID_HASH_LENGTH + 1];

	if (application->rule->kind == DEID_LEGACY_SURROGATE_KEY)
		deid_legacy_surrogate_key(salt, parts, count, hex);
	else
		deid_legacy_full_hash(salt, parts[0], hex);
	return append_text(application->out, hex);
}

static bool
append_surrogate_key(const struct application *application, const struct deid_text *parts, size_t count)
{
	char hex[DEID_HASH_LENGTH + 1];
	bool any = application->rule->hash_null;
	size_t i;

	for (i = 0; i < count; i++)
		any = any || parts[i].text;
	if (!any)
		return false;
	deid_surrogate_key(application->context->key, text_of(application->rule->domain), parts, count, hex);
	return append_text(application->out, hex);
}

static bool
append_hash(const struct application *application, struct deid_text value)
{
	const struct deid_rule *rule = application->rule;
	char hash[DEID_HASH_LENGTH + 1];

	if (rule->kind == DEID_SHORT_ID)
		deid_short_id(application->context->key, text_of(rule->domain), value, hash);
	else
		deid_full_hash(application->context->key, text_of(rule->domain), value, hash);
	return append_text(application->out, hash);
}

/* A value that is there. */
static bool
apply_to_value(const struct application *application, struct deid_text value)
{
	switch (application->rule->kind)
	{
		case DEID_KEEP:
			return append_bytes(application->out, value);
		case DEID_ANON_TEXT:
			return append_text(application->out, ANON_TEXT);
		case DEID_FULL_HASH:
		case DEID_SHORT_ID:
			return append_hash(application, value);
		case DEID_UID_REMAP:
			return apply_to_each(application, value, remap_uid);
		case DEID_DATE_SHIFT:
			return apply_to_each(application, value, shift_date);
		case DEID_DATE_TRUNCATE:
			return apply_to_each(application, value, truncate_date);
		case DEID_GENERALIZE_AGE:
			return apply_to_each(application, value, generalize_age);
		case DEID_GENERALIZE_NUMBER:
			return apply_to_each(application, value, generalize_number);
		case DEID_GENERALIZE_ZIP3:
			return generalize_zip3(application, value);
		case DEID_CLEAN_TEXT:
			return clean_text(application, value);
		case DEID_DUMMY:
			return replace_with_dummy(application, value);
		default:
			return false;
	}
}

static bool
apply_to_one(const struct application *application, struct deid_text value)
{
	const struct deid_rule *rule = application->rule;

	if (value.length == 0 && rule->kind == DEID_KEEP)
		return value.text != NULL;
	if (value.length == 0)
		return rule->kind == DEID_FULL_HASH && rule->hash_null && append_hash(application, value);
	return apply_to_value(application, value);
}

static enum dicom_status
no_key(const struct deid_rule *rule, struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "rule %s has no key", entries[rule->kind].name);
}

/* Ends an application: of a failed rule nothing is left. */
static enum dicom_status
finish(struct dicom_buffer *out, size_t before, bool any, bool *absent, struct dicom_error *error)
{
	if (out->failed)
		return out_of_memory(error);
	if (!any && out->data)
	{
		out->length = before;
		out->data[before] = '\0';
	}
	*absent = !any;
	return DICOM_OK;
}

enum dicom_status
deid_rule_apply(const struct deid_rule *rule, struct deid_context *context, struct deid_text value,
				struct dicom_buffer *out, bool *absent, struct dicom_error *error)
{
	struct application application = {rule, context, out};
	size_t before = out->length;
	bool any;

	if (entries[rule->kind].keyed && !context->key)
		return no_key(rule, error);
	if (is_legacy(rule->kind))
		any = append_legacy(&application, &value, 1);
	else
	{
		if (value.text)
			value = deid_unpadded(value);
		any = rule->kind == DEID_SURROGATE_KEY ? append_surrogate_key(&application, &value, 1)
											   : apply_to_one(&application, value);
	}
	return finish(out, before, any, absent, error);
}

enum dicom_status
deid_rule_apply_parts(const struct deid_rule *rule, struct deid_context *context, struct deid_text *parts,
					  size_t count, struct dicom_buffer *out, bool *absent, struct dicom_error *error)
{
	struct application application = {rule, context, out};
	size_t before = out->length;
	size_t i;

	if (rule->kind != DEID_SURROGATE_KEY && rule->kind != DEID_LEGACY_SURROGATE_KEY)
		return deid_rule_apply(rule, context, parts[0], out, absent, error);
	if (rule->kind == DEID_LEGACY_SURROGATE_KEY)
		return finish(out, before, append_legacy(&application, parts, count), absent, error);
	if (!context->key)
		return no_key(rule, error);
	for (i = 0; i < count; i++)
		if (parts[i].text)
			parts[i] = deid_unpadded(parts[i]);
	return finish(out, before, append_surrogate_key(&application, parts, count), absent, error);
}
