/*
 * profile_rules.h
 *	  What a profile does to the attributes of a data set: dicom.profile_attribute, parsed and kept for the session.
 *
 * A profile is read again when the hash of its rules (dicom.anonymization_profile) is another than when it was read. Whoever may
 * anonymize need not be allowed to read the tables.
 */
#ifndef DEID_PROFILE_RULES_H
#define DEID_PROFILE_RULES_H

#include "postgres.h"

#include "rule.h"
#include "utils/snapshot.h"

struct attribute_rule
{
	uint32 tag;
	uint32 mask;                 /* bits of the tag that count: 50xxxxxx is every curve group */
	const char *private_creator; /* of a private attribute; NULL: it is none */
	bool stays_empty;            /* where nothing is left of the value the attribute stays, without one */
	struct deid_rule rule;
};

struct profile_rules;

/* The rules of a profile, by its name in the database's encoding; throws where it has none. Valid until the next call. */
extern const struct profile_rules *profile_rules_get(const char *profile);

/* The rule of an attribute; NULL: the profile does not name it. Private ones are named with their creator. */
extern const struct attribute_rule *profile_rules_find(const struct profile_rules *rules, uint32 tag,
													   struct deid_text private_creator);

/* What was recorded of the rules of a profile: equal hashes are of equal rules. palloc'd; NULL: nothing is. Throws where there is no such profile. */
enum profile_part
{
	PROFILE_ATTRIBUTES,
	PROFILE_MAPPING
};

extern char *profile_rules_hash(const char *profile, enum profile_part part, Snapshot snapshot);

/* True where the profile names a private attribute of this creator. */
extern bool profile_rules_has_creator(const struct profile_rules *rules, struct deid_text private_creator);

#endif
