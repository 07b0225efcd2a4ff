/*
 * dataset_model.h
 *	  The DICOM JSON model (PS3.18 Annex F) as jsonb has it: elements read from it, and values made for it.
 *
 * What is not as the model wants it is no element, or no value. Texts are UTF-8; memory is the current context's.
 */
#ifndef DEID_DATASET_MODEL_H
#define DEID_DATASET_MODEL_H

#include "postgres.h"

#include "derive.h"
#include "utils/jsonb.h"

#define NO_TAG 0 /* a command's group length: no element of a data set */

/* {"vr": "LO", "Value": [...]} */
struct element
{
	uint32 tag;
	uint16_t vr;
	JsonbContainer *values; /* the array, or NULL */
	bool has_bytes;
	JsonbValue bytes; /* InlineBinary */
};

/* The tag that a key names, in capitals; NO_TAG where it names none. */
extern uint32 model_tag(const JsonbValue *key);

/* Fills *element; false where the value of the key is no element, or one without a VR. */
extern bool model_read_element(uint32 tag, const JsonbValue *value, struct element *element);

/* One value as a file has it, of a person name all groups; absent where it is null, or no value of an element. */
extern struct deid_text model_item_text(const JsonbValue *item, uint16_t vr);

/* The first value of the element with this key in a data set. */
extern struct deid_text model_first_value(JsonbContainer *dataset, const char *name);

extern JsonbValue model_string(const char *string);

/* A text as a value of its VR: a name is an object, a number a number if it reads as one. */
extern JsonbValue model_result(const text *result, uint16_t vr);

/* A person name with the groups that there can be, and nothing else. */
extern JsonbValue model_kept_person(JsonbContainer *object);

/* True for VRs whose values are words of any kind. */
extern bool model_is_free_text(uint16_t vr);

/* True where a text is longer than its VR allows; for those that are cleaned anyway nothing is. */
extern bool model_is_too_long(struct deid_text text, uint16_t vr);

/* True where a text has the form that its VR wants: a date, a time, a number, a UID; of other VRs always. */
extern bool model_has_form(struct deid_text text, uint16_t vr);

extern bool model_is_base64(const JsonbValue *string);

#endif
