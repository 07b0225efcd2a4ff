/*
 * rule_parse.c
 *	  The rule engine: which rules there are, and what their parameters mean.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../dicom/value.h"
#include "rule.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define MAX_SHIFT_DAYS 36525 /* a hundred years */
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

/* --- parameters --- */

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
