/*
 * dataset_decide.c
 *	  What is done to which attribute of a data set.
 */
#include "postgres.h"

#include "../dicom/dictionary.h"
#include "../dicom/value.h"
#include "dataset.h"

#define TAG_STUDY_DATE 0x00080020
#define TAG_STUDY_TIME 0x00080030

static const struct deid_rule remap_uids = {.kind = DEID_UID_REMAP};
static const struct deid_rule generalize_ages = {.kind = DEID_GENERALIZE_AGE};
static const struct deid_rule clean_texts = {.kind = DEID_CLEAN_TEXT};

static const struct decision removed = {TREATMENT_REMOVE, NULL, false};
static const struct decision emptied = {TREATMENT_EMPTY, NULL, true};

static struct decision
by_rule(const struct deid_rule *rule)
{
	return (struct decision){TREATMENT_RULE, rule, true};
}

static struct decision
by_treatment(enum treatment treatment)
{
	return (struct decision){treatment, NULL, true};
}

/* Numbers, and bytes that are arrays of them. */
static bool
is_numeric(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('D', 'S'):
		case DICOM_VR('I', 'S'):
		case DICOM_VR('F', 'L'):
		case DICOM_VR('F', 'D'):
		case DICOM_VR('S', 'L'):
		case DICOM_VR('S', 'S'):
		case DICOM_VR('S', 'V'):
		case DICOM_VR('U', 'L'):
		case DICOM_VR('U', 'S'):
		case DICOM_VR('U', 'V'):
		case DICOM_VR('A', 'T'):
			return true;
		default:
			return false;
	}
}

static bool
is_array_of_numbers(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('O', 'W'):
		case DICOM_VR('O', 'F'):
		case DICOM_VR('O', 'D'):
		case DICOM_VR('O', 'L'):
		case DICOM_VR('O', 'V'):
			return true;
		default:
			return false;
	}
}

/* The VR of the data set is one that the dictionary allows. */
static bool
is_allowed(uint16_t vr, const struct dicom_dictionary_entry *entry)
{
	switch (entry->vr)
	{
		case DICOM_VR_US_OR_SS:
			return vr == DICOM_VR('U', 'S') || vr == DICOM_VR('S', 'S');
		case DICOM_VR_OB_OR_OW:
			return vr == DICOM_VR('O', 'B') || vr == DICOM_VR('O', 'W');
		case DICOM_VR_US_OR_OW:
			return vr == DICOM_VR('U', 'S') || vr == DICOM_VR('S', 'S') || vr == DICOM_VR('O', 'W');
		default:
			return vr == entry->vr;
	}
}

/* A time says when, but not on which day: where dates move, times stay. */
static struct decision
decide_on_time(const struct profile_rules *rules, uint16_t vr)
{
	const struct attribute_rule *named = profile_rules_find(
		rules, vr == DICOM_VR('T', 'M') ? TAG_STUDY_TIME : TAG_STUDY_DATE, (struct deid_text){0});

	if (!named)
		return removed;
	switch (named->rule.kind)
	{
		case DEID_KEEP:
			return by_treatment(TREATMENT_VALUES);
		case DEID_DATE_SHIFT:
			return vr == DICOM_VR('T', 'M') ? by_treatment(TREATMENT_VALUES) : by_rule(&named->rule);
		case DEID_DATE_TRUNCATE:
			return vr == DICOM_VR('T', 'M') ? removed : by_rule(&named->rule);
		default:
			return removed;
	}
}

static struct decision
decide_by_vr(const struct profile_rules *rules, uint16_t vr)
{
	if (is_numeric(vr))
		return by_treatment(TREATMENT_VALUES);
	if (is_array_of_numbers(vr))
		return by_treatment(TREATMENT_BYTES);
	switch (vr)
	{
		case DICOM_VR('S', 'Q'):
			return by_treatment(TREATMENT_SEQUENCE);
		case DICOM_VR('U', 'I'):
			return by_rule(&remap_uids);
		case DICOM_VR('D', 'A'):
		case DICOM_VR('D', 'T'):
		case DICOM_VR('T', 'M'):
			return decide_on_time(rules, vr);
		case DICOM_VR('A', 'S'):
			return by_rule(&generalize_ages);
		case DICOM_VR('S', 'T'):
		case DICOM_VR('L', 'T'):
		case DICOM_VR('U', 'T'):
		case DICOM_VR('U', 'C'):
			return by_rule(&clean_texts);
		case DICOM_VR('L', 'O'):
		case DICOM_VR('S', 'H'):
		case DICOM_VR('C', 'S'):
			return by_treatment(TREATMENT_VALUES);
		default:
			return removed;
	}
}

/* A rule that is named is for values; what a sequence or bytes have is gone through, or goes. */
static struct decision
decide_by_name(const struct attribute_rule *named, uint16_t vr)
{
	enum deid_rule_kind kind = named->rule.kind;
	struct decision decision = {TREATMENT_RULE, &named->rule, named->stays_empty};

	if (kind == DEID_REMOVE || (kind == DEID_DUMMY && vr == DICOM_VR('S', 'Q')))
		decision.treatment = named->stays_empty ? TREATMENT_EMPTY : TREATMENT_REMOVE;
	else if (vr == DICOM_VR('S', 'Q'))
		decision.treatment = TREATMENT_SEQUENCE;
	else if (dicom_vr_is_bytes(vr))
		decision.treatment = kind == DEID_KEEP    ? TREATMENT_BYTES
							 : named->stays_empty ? TREATMENT_EMPTY
												  : TREATMENT_REMOVE;
	else if (kind == DEID_KEEP)
		decision.treatment = TREATMENT_VALUES;
	else if (kind == DEID_DUMMY && vr == DICOM_VR('U', 'I'))
		decision.rule = &remap_uids;
	else if (kind == DEID_DATE_SHIFT && vr == DICOM_VR('T', 'M'))
		decision.treatment = TREATMENT_VALUES;
	return decision;
}

static bool
is_private(uint32 tag)
{
	return tag >> 16 & 1;
}

/* Group lengths, commands, directories, groups that cannot be, pixel data. */
static bool
is_never_kept(uint32 tag)
{
	uint32 group = tag >> 16;

	return (tag & 0xFFFF) == 0 || group == 0 || group == 4 || group == 6 || group == 0xFFFE ||
		   group == 0x7FE0 || (is_private(tag) && (group < 9 || group == 0xFFFF));
}

static struct decision
decide_on_private(const struct profile_rules *rules, uint32 tag, uint16_t vr, struct deid_text creator)
{
	const struct attribute_rule *named;

	/* Who reserved a block stands in an element of its own. */
	if ((tag & 0xFFFF) < 0x100)
		return profile_rules_has_creator(rules, creator) ? by_treatment(TREATMENT_VALUES) : removed;
	named = creator.text ? profile_rules_find(rules, tag, creator) : NULL;
	return named && named->private_creator ? decide_by_name(named, vr) : removed;
}

struct decision
decide_on_element(const struct profile_rules *rules, uint32 tag, uint16_t vr,
				  struct deid_text private_creator)
{
	const struct dicom_dictionary_entry *entry;
	const struct attribute_rule *named;

	if (is_never_kept(tag))
		return removed;
	if (is_private(tag))
		return decide_on_private(rules, tag, vr, private_creator);
	entry = dicom_dictionary_by_tag(tag);
	named = profile_rules_find(rules, tag, (struct deid_text){0});
	/* What is kept must be what it is said to be; what a rule makes of a value is safe whatever it was. */
	if (named && entry && !is_allowed(vr, entry) && named->rule.kind == DEID_KEEP)
		return named->stays_empty ? emptied : removed;
	if (named)
		return decide_by_name(named, vr);
	return entry && is_allowed(vr, entry) ? decide_by_vr(rules, vr) : removed;
}

bool
is_identifying(uint32 tag, uint16_t vr, bool *is_place)
{
	*is_place = false;
	if (vr == DICOM_VR('P', 'N'))
		return true;
	switch (tag)
	{
		case 0x00080050:      /* AccessionNumber */
		case 0x00100020:      /* PatientID */
		case 0x00100030:      /* PatientBirthDate */
		case 0x00101000:      /* OtherPatientIDs */
		case 0x00101090:      /* MedicalRecordLocator */
		case 0x00102154:      /* PatientTelephoneNumbers */
		case 0x00102155:      /* PatientTelecomInformation */
		case 0x00380010:      /* AdmissionID */
			*is_place = true; /* their clinical words say nothing */
			return true;
		case 0x00080080: /* InstitutionName */
		case 0x00080081: /* InstitutionAddress */
		case 0x00101040: /* PatientAddress */
		case 0x00181000: /* DeviceSerialNumber */
			*is_place = true;
			return true;
		default:
			return false;
	}
}
