/*
 * rule.h
 *	  The rule engine: what is done to one value. Columns, JSON data sets and whole files all go through it.
 *
 * A rule is parsed once, with its parameters, and applied to many values as UTF-8 text, in a context that says whose they are.
 * What a rule cannot do to a value gives NULL, never the value: a date that is none, an age that is none. Only `keep` gives
 * back what it was given.
 *
 *	rule				parameters								value by value where several are joined by a backslash
 *	keep
 *	remove
 *	anon_text
 *	full_hash			domain, null_policy
 *	short_id			domain
 *	surrogate_key		domain, null_policy
 *	uid_remap													yes
 *	date_shift			min_days, max_days						yes
 *	date_truncate		unit: year or month						yes
 *	generalize_age												yes
 *	generalize_number	step									yes
 *	generalize_zip3
 *	clean_text			known (many), words: clinical or any
 *	dummy				vr
 *	legacy_full_hash, legacy_surrogate_key: salt
 *
 * Padding is taken off the end first, but for the legacy rules. Errors: INVALID_OPTION for a rule or parameter that makes no sense, CREDENTIALS for a keyed
 * rule without a key, MEMORY; none holds a value.
 */
#ifndef DEID_RULE_H
#define DEID_RULE_H

#include "../dicom/buffer.h"
#include "../dicom/error.h"
#include "clean.h"
#include "derive.h"

enum deid_rule_kind
{
	DEID_KEEP,
	DEID_REMOVE,
	DEID_ANON_TEXT,
	DEID_FULL_HASH,
	DEID_SHORT_ID,
	DEID_SURROGATE_KEY,
	DEID_UID_REMAP,
	DEID_DATE_SHIFT,
	DEID_DATE_TRUNCATE,
	DEID_GENERALIZE_AGE,
	DEID_GENERALIZE_NUMBER,
	DEID_GENERALIZE_ZIP3,
	DEID_CLEAN_TEXT,
	DEID_DUMMY,
	DEID_LEGACY_FULL_HASH,
	DEID_LEGACY_SURROGATE_KEY,
	DEID_RULE_COUNT
};

#define DEID_DOMAIN_MAX 63

/* A parameter as it stands in a table: `known` may come many times, others once. */
struct deid_parameter
{
	const char *name;
	const char *value;
};

struct deid_rule
{
	enum deid_rule_kind kind;
	char domain[DEID_DOMAIN_MAX + 1];
	bool hash_null; /* null_policy marker: NULL and empty values are hashed like any other */
	bool clean_any; /* clean_text: words need not be clinical ones */
	bool by_year;   /* date_truncate */
	int min_weeks;  /* date_shift */
	int max_weeks;
	double step;             /* generalize_number */
	char vr[3];              /* dummy */
	char *salt;              /* legacy rules */
	struct deid_known known; /* clean_text: to be removed wherever they stand; owned */
};

/* What a rule did that somebody may want to know of. */
struct deid_counts
{
	uint64_t unreadable;    /* dates, ages, numbers that could not be read: NULL now */
	uint64_t study_shifted; /* dates shifted by their study, there being no patient id */
	uint64_t unshifted;     /* dates with neither: NULL now */
};

/* Whose value it is. Zero-initialise; one per row or data set, for the shift is worked out once. */
struct deid_context
{
	const struct deid_key *key; /* NULL: keyed rules fail */
	struct deid_text patient_id;
	struct deid_text issuer;
	struct deid_text study_instance_uid; /* stands in where there is no patient id */
	struct deid_known known[2]; /* what clean_text removes too: names and ids of the same row or data set */
	struct deid_counts *counts; /* may be NULL */

	/* private: the shift that holds for patient, issuer and range */
	bool shift_known;
	bool shift_of_study;
	int shift_min_weeks, shift_max_weeks;
	int shift_days;
};

/* Fills *rule, which deid_rule_free() empties, even after a failure. Rules that hash must be given a domain. An empty name is keep. */
extern enum dicom_status deid_rule_parse(struct deid_rule *rule, const char *name,
										 const struct deid_parameter *parameters, size_t count,
										 struct dicom_error *error);
extern void deid_rule_free(struct deid_rule *rule);

/* Sets by how much date_shift shifts: whole weeks from min_days to max_days, 1 to 36525. INVALID_OPTION where there is none. */
extern enum dicom_status deid_rule_set_range(struct deid_rule *rule, int min_days, int max_days,
											 struct dicom_error *error);

/*
 * Applies a rule. The result is appended to `out` unless *absent. `out` of a kept value is the value itself, without padding.
 */
extern enum dicom_status deid_rule_apply(const struct deid_rule *rule, struct deid_context *context,
										 struct deid_text value, struct dicom_buffer *out, bool *absent,
										 struct dicom_error *error);

/* The same of surrogate keys of several parts, whose padding is taken off in place; other rules take the first part. */
extern enum dicom_status deid_rule_apply_parts(const struct deid_rule *rule, struct deid_context *context,
											   struct deid_text *parts, size_t count,
											   struct dicom_buffer *out, bool *absent,
											   struct dicom_error *error);

/* The days that dates of this context are shifted by; false where nothing says whose they are. */
extern bool deid_context_shift(struct deid_context *context, int min_weeks, int max_weeks, int *days);

/* To be called when a context goes on to somebody else. */
extern void deid_context_change(struct deid_context *context);

/* What there is: rule number i, for listings, hints and checks; NULL past the last. */
struct deid_rule_entry
{
	const char *name;
	bool keyed;
	const char *parameters; /* names, separated by blanks */
	const char *description;
};

extern const struct deid_rule_entry *deid_rule_entry(size_t i);

/* True where `parameter` is one that this rule takes. */
extern bool deid_rule_takes(enum deid_rule_kind kind, const char *parameter);

/* The value that a dummy of this VR has; NULL for one that has no text, or does not exist. */
extern const char *deid_dummy(const char *vr);

#endif
