/*
 * dataset.h
 *	  What is done to an attribute of a data set that its profile does not name, and how a text of each VR is kept.
 *
 * PS3.15 keeps what Table E.1-1 does not list. That holds for attributes of the dictionary whose VR says what they can hold; others fail
 * closed:
 *
 *	unknown to the dictionary, or of another VR than there, UN, OB	removed
 *	private															removed, unless the profile names it with its creator
 *	PN, AE, UR														removed
 *	UI																another UID, but for those of DICOM itself
 *	DA, DT, TM														as the profile has StudyDate and StudyTime; else removed
 *	AS																generalized
 *	ST, LT, UT, UC													cleaned
 *	LO, SH, CS														kept, unless they reveal something; cleaned where too long for their VR
 *	numbers, AT, OW and other arrays of numbers						kept
 *	SQ																its items are gone through
 *
 * Pixel data, and references to bulk data, which name the file, are removed.
 */
#ifndef DEID_DATASET_H
#define DEID_DATASET_H

#include "postgres.h"

#include "profile_rules.h"

/* What becomes of an element. */
enum treatment
{
	TREATMENT_REMOVE,
	TREATMENT_EMPTY,   /* stays without a value */
	TREATMENT_RULE,    /* each value goes through a rule */
	TREATMENT_VALUES,  /* values are kept if they are what their VR says, and reveal nothing */
	TREATMENT_BYTES,   /* InlineBinary is kept */
	TREATMENT_SEQUENCE /* items are gone through */
};

struct decision
{
	enum treatment treatment;
	const struct deid_rule *rule; /* TREATMENT_RULE */
	bool stays_empty;             /* where nothing is left of the value the element stays */
};

/* Decides on an element by its tag and the VR it has in the data set; of a private one the creator is given. */
extern struct decision decide_on_element(const struct profile_rules *rules, uint32 tag, uint16_t vr,
										 struct deid_text private_creator);

/* True for what names or numbers the patient and others, so that free texts may repeat it; *is_place: names of places, not of people. */
extern bool is_identifying(uint32 tag, uint16_t vr, bool *is_place);

#endif
