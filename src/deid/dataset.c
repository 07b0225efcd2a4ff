/*
 * dataset.c
 *	  dicom.anonymize_dataset(): rules over the DICOM JSON model (PS3.18 Annex F).
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "../dicom/dictionary.h"
#include "../dicom/value.h"
#include "dataset.h"
#include "dataset_model.h"
#include "keyring.h"
#include "rule_call.h"

SQL_FUNCTION(dicom_anonymize_dataset);
SQL_FUNCTION(dicom_anonymize_sequence);

#define MAX_DEPTH 64   /* sequences in sequences; what is below goes */
#define MAX_KNOWN 1000 /* names and numbers that free texts are searched for */

/* What the function adds, and so what it does not take from the data set. */
#define TAG_IDENTITY_REMOVED     0x00120062
#define TAG_METHOD               0x00120063
#define TAG_METHOD_CODES         0x00120064
#define TAG_LONGITUDINAL         0x00280303
#define TAG_STUDY_DATE           0x00080020
#define TAG_STUDY_INSTANCE_UID   "0020000D"
#define TAG_PATIENT_ID           "00100020"
#define TAG_ISSUER_OF_PATIENT_ID "00100021"

struct known_texts
{
	struct deid_text *texts;
	int count;
};

struct walk
{
	const char *profile;
	const struct profile_rules *rules;
	struct deid_context context;
	struct known_texts names;
	struct known_texts places;
	JsonbParseState *state;
	int depth;
};

/* --- what is known of persons and places --- */

static void
add_known(struct known_texts *known, struct deid_text text)
{
	if (!text.text || known->count >= MAX_KNOWN)
		return;
	if (!known->texts)
		known->texts = palloc(MAX_KNOWN * sizeof(*known->texts));
	known->texts[known->count++] = text;
}

static void
add_values(struct walk *walk, const struct element *element, bool is_place)
{
	uint32 count = JsonContainerSize(element->values);
	uint32 i;

	for (i = 0; i < count && i < MAX_KNOWN; i++)
		add_known(is_place ? &walk->places : &walk->names,
				  model_item_text(getIthJsonbValueFromContainer(element->values, i), element->vr));
}

/* Calls visit() with each element of a data set that is one. */
typedef void (*visit_element)(struct walk *walk, JsonbContainer *dataset, const struct element *element);

static void
visit_dataset(struct walk *walk, JsonbContainer *dataset, visit_element visit)
{
	JsonbIterator *iterator = JsonbIteratorInit(dataset);
	JsonbIteratorToken token;
	JsonbValue value;
	uint32 tag = NO_TAG;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		struct element element;

		if (token == WJB_KEY)
			tag = model_tag(&value);
		else if (token == WJB_VALUE && tag != NO_TAG && model_read_element(tag, &value, &element))
			visit(walk, dataset, &element);
	}
}

/* Calls visit() with each element of each item of a sequence. */
static void
visit_items(struct walk *walk, const struct element *sequence,
			void (*visit)(struct walk *walk, JsonbContainer *item))
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;

	if (!sequence->values || walk->depth == MAX_DEPTH)
		return;
	check_stack_depth();
	walk->depth++;
	iterator = JsonbIteratorInit(sequence->values);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM && item.type == jbvBinary && JsonContainerIsObject(item.val.binary.data))
			visit(walk, item.val.binary.data);
	}
	walk->depth--;
}

static void gather_known(struct walk *walk, JsonbContainer *dataset);

/* What the profile keeps is no secret, and would be taken out of texts for nothing. */
static void
gather_from_element(struct walk *walk, JsonbContainer *dataset, const struct element *element)
{
	const struct attribute_rule *named;
	bool is_place;

	if (element->vr == DICOM_VR('S', 'Q'))
		visit_items(walk, element, gather_known);
	else if (element->values && is_identifying(element->tag, element->vr, &is_place))
	{
		named = profile_rules_find(walk->rules, element->tag, (struct deid_text){0});
		if (!named || named->rule.kind != DEID_KEEP)
			add_values(walk, element, is_place);
	}
}

static void
gather_known(struct walk *walk, JsonbContainer *dataset)
{
	visit_dataset(walk, dataset, gather_from_element);
}

/* --- writing the model --- */

static void
push_string(struct walk *walk, JsonbIteratorToken token, const char *string)
{
	JsonbValue value = model_string(string);

	pushJsonbValue(&walk->state, token, &value);
}

/* {"vr": "LO" */
static void
open_element(struct walk *walk, uint32 tag, uint16_t vr)
{
	char letters[3] = {(char) (vr >> 8), (char) vr, '\0'};

	push_string(walk, WJB_KEY, psprintf("%08X", tag));
	pushJsonbValue(&walk->state, WJB_BEGIN_OBJECT, NULL);
	push_string(walk, WJB_KEY, "vr");
	push_string(walk, WJB_VALUE, pstrdup(letters));
}

static void
close_element(struct walk *walk)
{
	pushJsonbValue(&walk->state, WJB_END_OBJECT, NULL);
}

static void
write_empty(struct walk *walk, const struct element *element)
{
	open_element(walk, element->tag, element->vr);
	close_element(walk);
}

/* Values that are ready, null among them; an element of nulls alone is an empty one. */
static void
write_values(struct walk *walk, const struct element *element, JsonbValue *values, uint32 count,
			 bool stays_empty)
{
	bool any = false;
	uint32 i;

	for (i = 0; i < count; i++)
		any = any || values[i].type != jbvNull;
	if (!any && !stays_empty)
		return;
	open_element(walk, element->tag, element->vr);
	if (any)
	{
		push_string(walk, WJB_KEY, "Value");
		pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
		for (i = 0; i < count; i++)
			pushJsonbValue(&walk->state, WJB_ELEM, &values[i]);
		pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	}
	close_element(walk);
}

/* --- one element --- */

/* A dummy has the form that its VR wants. */
static struct deid_rule
rule_for_vr(const struct deid_rule *rule, uint16_t vr)
{
	struct deid_rule fitting = *rule;

	if (rule->kind == DEID_DUMMY)
	{
		fitting.vr[0] = (char) (vr >> 8);
		fitting.vr[1] = (char) vr;
		if (!deid_dummy(fitting.vr))
			fitting.kind = DEID_REMOVE;
	}
	return fitting;
}

static void
write_by_rule(struct walk *walk, const struct element *element, const struct decision *decision)
{
	struct deid_rule rule = rule_for_vr(decision->rule, element->vr);
	uint32 count = element->values ? JsonContainerSize(element->values) : 0;
	JsonbValue *values = palloc0(Max(count, 1) * sizeof(*values));
	uint32 i;

	for (i = 0; i < count; i++)
	{
		const JsonbValue *item = getIthJsonbValueFromContainer(element->values, i);
		text *result = apply_rule(&rule, &walk->context, model_item_text(item, element->vr));

		values[i] = result ? model_result(result, element->vr) : (JsonbValue){.type = jbvNull};
	}
	write_values(walk, element, values, count, decision->stays_empty);
}

static JsonbValue
cleaned(struct walk *walk, struct deid_text text, uint16_t vr)
{
	struct deid_rule rule = {.kind = DEID_CLEAN_TEXT};
	struct varlena *result = apply_rule(&rule, &walk->context, text);

	return result ? model_result(result, vr) : (JsonbValue){.type = jbvNull};
}

static JsonbValue
kept_value(struct walk *walk, JsonbValue *item, uint16_t vr)
{
	static const JsonbValue nothing = {.type = jbvNull};
	struct deid_text text;

	if (item->type == jbvBinary && vr == DICOM_VR('P', 'N') && JsonContainerIsObject(item->val.binary.data))
		return model_kept_person(item->val.binary.data);
	text = model_item_text(item, vr);
	if (!text.text)
		return nothing;
	text = deid_unpadded(text);
	if (!model_has_form(text, vr))
		return nothing;
	if (model_is_free_text(vr) && model_is_too_long(text, vr))
		return cleaned(walk, text, vr);
	if (model_is_free_text(vr) && deid_is_revealing(text, walk->context.known, lengthof(walk->context.known)))
		return nothing;
	return *item;
}

static void
write_kept_values(struct walk *walk, const struct element *element, bool stays_empty)
{
	uint32 count = element->values ? JsonContainerSize(element->values) : 0;
	JsonbValue *values = palloc0(Max(count, 1) * sizeof(*values));
	uint32 i;

	for (i = 0; i < count; i++)
		values[i] = kept_value(walk, getIthJsonbValueFromContainer(element->values, i), element->vr);
	write_values(walk, element, values, count, stays_empty);
}

static void
write_bytes(struct walk *walk, const struct element *element)
{
	JsonbValue bytes = element->bytes;

	open_element(walk, element->tag, element->vr);
	if (element->has_bytes && model_is_base64(&bytes))
	{
		push_string(walk, WJB_KEY, "InlineBinary");
		pushJsonbValue(&walk->state, WJB_VALUE, &bytes);
	}
	close_element(walk);
}

static void write_dataset(struct walk *walk, JsonbContainer *dataset);

static void
write_item(struct walk *walk, JsonbContainer *item)
{
	pushJsonbValue(&walk->state, WJB_BEGIN_OBJECT, NULL);
	write_dataset(walk, item);
	pushJsonbValue(&walk->state, WJB_END_OBJECT, NULL);
}

static void
write_sequence(struct walk *walk, const struct element *element)
{
	open_element(walk, element->tag, element->vr);
	push_string(walk, WJB_KEY, "Value");
	pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
	visit_items(walk, element, write_item);
	pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	close_element(walk);
}

/* Who reserved the block of a private element: of the element that says so, its own value. */
static struct deid_text
private_creator(JsonbContainer *dataset, uint32 tag)
{
	uint32 block = (tag & 0xFFFF) < 0x100 ? tag & 0xFF : tag >> 8 & 0xFF;
	struct deid_text creator = model_first_value(dataset, psprintf("%04X00%02X", tag >> 16, block));

	return creator.text ? deid_unpadded(creator) : creator;
}

static bool
is_added(uint32 tag)
{
	return tag == TAG_IDENTITY_REMOVED || tag == TAG_METHOD || tag == TAG_METHOD_CODES ||
		   tag == TAG_LONGITUDINAL;
}

static void
write_element(struct walk *walk, JsonbContainer *dataset, const struct element *element)
{
	struct deid_text creator = {0};
	struct decision decision;

	if (is_added(element->tag))
		return;
	if (element->tag >> 16 & 1)
		creator = private_creator(dataset, element->tag);
	decision = decide_on_element(walk->rules, element->tag, element->vr, creator);
	switch (decision.treatment)
	{
		case TREATMENT_REMOVE:
			break;
		case TREATMENT_EMPTY:
			write_empty(walk, element);
			break;
		case TREATMENT_RULE:
			write_by_rule(walk, element, &decision);
			break;
		case TREATMENT_VALUES:
			write_kept_values(walk, element, decision.stays_empty);
			break;
		case TREATMENT_BYTES:
			write_bytes(walk, element);
			break;
		case TREATMENT_SEQUENCE:
			write_sequence(walk, element);
			break;
	}
}

static void
write_dataset(struct walk *walk, JsonbContainer *dataset)
{
	visit_dataset(walk, dataset, write_element);
}

/* --- the whole --- */

static void
write_text(struct walk *walk, uint32 tag, uint16_t vr, const char *string)
{
	struct element element = {.tag = tag, .vr = vr};
	JsonbValue value = model_string(string);

	write_values(walk, &element, &value, 1, true);
}

/* PS3.15 E.1.1: what was done is said. */
static void
write_statement(struct walk *walk)
{
	const struct attribute_rule *date =
		profile_rules_find(walk->rules, TAG_STUDY_DATE, (struct deid_text){0});
	enum deid_rule_kind kind = date ? date->rule.kind : DEID_REMOVE;

	write_text(walk, TAG_IDENTITY_REMOVED, DICOM_VR('C', 'S'), "YES");
	write_text(walk, TAG_METHOD, DICOM_VR('L', 'O'), psprintf("dicom_fdw: %.50s", walk->profile));
	write_text(walk, TAG_LONGITUDINAL, DICOM_VR('C', 'S'),
			   kind == DEID_KEEP                                       ? "UNMODIFIED"
			   : kind == DEID_DATE_SHIFT || kind == DEID_DATE_TRUNCATE ? "MODIFIED"
																	   : "REMOVED");
}

static void
set_known(struct walk *walk)
{
	walk->context.known[0] = (struct deid_known){walk->names.texts, walk->names.count, false};
	walk->context.known[1] = (struct deid_known){walk->places.texts, walk->places.count, true};
}

static void
open_context(struct walk *walk, JsonbContainer *dataset)
{
	walk->context.patient_id = model_first_value(dataset, TAG_PATIENT_ID);
	walk->context.issuer = model_first_value(dataset, TAG_ISSUER_OF_PATIENT_ID);
	walk->context.study_instance_uid = model_first_value(dataset, TAG_STUDY_INSTANCE_UID);
	gather_known(walk, dataset);
	set_known(walk);
}

static void
open_walk(struct walk *walk, const text *profile)
{
	if (!profile)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("\"profile\" must not be NULL")));
	walk->profile = text_to_cstring(profile);
	walk->rules = profile_rules_get(walk->profile);
}

Datum
dicom_anonymize_dataset(PG_FUNCTION_ARGS)
{
	struct walk walk = {0};
	Jsonb *dataset;

	open_walk(&walk, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1));
	walk.context.key = KEYRING_ARGUMENT(2);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	dataset = PG_GETARG_JSONB_P(0);
	if (!JB_ROOT_IS_OBJECT(dataset))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a data set must be a JSON object")));
	open_context(&walk, &dataset->root);
	pushJsonbValue(&walk.state, WJB_BEGIN_OBJECT, NULL);
	write_dataset(&walk, &dataset->root);
	write_statement(&walk);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&walk.state, WJB_END_OBJECT, NULL)));
}

/* The items of a sequence that a column holds, and whose they are. */
Datum
dicom_anonymize_sequence(PG_FUNCTION_ARGS)
{
	enum
	{
		ITEMS,
		PATIENT_ID,
		ISSUER,
		STUDY,
		PROFILE,
		EPOCH
	};
	struct element sequence = {.vr = DICOM_VR('S', 'Q')};
	struct walk walk = {0};
	Jsonb *items;

	open_walk(&walk, PG_ARGISNULL(PROFILE) ? NULL : PG_GETARG_TEXT_PP(PROFILE));
	walk.context.key = KEYRING_ARGUMENT(EPOCH);
	if (PG_ARGISNULL(ITEMS))
		PG_RETURN_NULL();
	items = PG_GETARG_JSONB_P(ITEMS);
	if (!JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items))
		PG_RETURN_NULL();
	sequence.values = &items->root;
	walk.context.patient_id = TEXT_ARGUMENT(PATIENT_ID);
	walk.context.issuer = TEXT_ARGUMENT(ISSUER);
	walk.context.study_instance_uid = TEXT_ARGUMENT(STUDY);
	add_known(&walk.places, walk.context.patient_id);
	visit_items(&walk, &sequence, gather_known);
	set_known(&walk);
	pushJsonbValue(&walk.state, WJB_BEGIN_ARRAY, NULL);
	visit_items(&walk, &sequence, write_item);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&walk.state, WJB_END_ARRAY, NULL)));
}
