/*
 * rule.c
 *	  The rule engine: what a rule does to a value.
 */
#include <math.h>
#include <string.h>

#include "../dicom/value.h"
#include "dates.h"
#include "rule.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define ANON_TEXT "ANON_TEXT"

#define OLDEST_YEARS 89 /* ages above are one */

static struct deid_text
text_of(const char *string)
{
	return (struct deid_text){string, strlen(string)};
}

static enum dicom_status
out_of_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

static bool
is_legacy(enum deid_rule_kind kind)
{
	return kind == DEID_LEGACY_FULL_HASH || kind == DEID_LEGACY_SURROGATE_KEY;
}

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
	dicom_buffer_printf(application->out, "%.15g", number == 0 ? 0.0 : number);
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
	return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "rule %s has no key",
					  deid_rule_entry(rule->kind)->name);
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

	if (deid_rule_entry(rule->kind)->keyed && !context->key)
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
