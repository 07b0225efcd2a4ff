/*
 * rule_call.h
 *	  The rule engine, as functions of SQL call it: datums in and out, parameters from jsonb, errors thrown.
 */
#ifndef DEID_RULE_CALL_H
#define DEID_RULE_CALL_H

#include "postgres.h"

#include "../pg/compat.h"
#include "utils/jsonb.h"

#include "rule.h"

/* What the session has counted so far. */
extern struct deid_counts deid_counts;

/* A text as UTF-8 without a copy where the database's encoding allows; NULL gives what is absent. */
extern struct deid_text utf8_of_text(const text *value);
extern struct deid_text utf8_of_string(const char *value);

/* UTF-8 as a text. */
extern text *text_of_utf8(const char *bytes, size_t length);

/* The argument of a function as UTF-8; NULL gives what is absent. */
#define TEXT_ARGUMENT(n) (PG_ARGISNULL(n) ? (struct deid_text){0} : utf8_of_text(PG_GETARG_TEXT_PP(n)))

/* Throws what the rule engine says is wrong. Does not return. */
pg_noreturn extern void report_rule_error(const struct dicom_error *error);

/* The result of a rule; NULL: there is none. Throws. */
extern text *apply_rule(const struct deid_rule *rule, struct deid_context *context, struct deid_text value);

/* A rule with whatever else its parameters say. */
struct rule_call
{
	struct deid_rule rule;
	struct deid_context context; /* patient and study, as far as they are given */
	int32 epoch;                 /* ACTIVE_EPOCH where none is given */
};

/*
 * Parses a rule and its parameters; `params` may be NULL. epoch, patient_id, issuer and study_instance_uid are no parameters of the rule
 * but go into the call. Everything lives as long as `context`. False, and *error filled, where something makes no sense.
 */
extern bool rule_call_parse(struct rule_call *call, const char *rule, Jsonb *params, MemoryContext context,
							struct dicom_error *error);

#endif
