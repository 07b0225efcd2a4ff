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
#include "utils/numeric.h"

#include "../dicom/dictionary.h"
#include "../dicom/value.h"
#include "dataset.h"
#include "keyring.h"
#include "rule_call.h"

SQL_FUNCTION(dicom_anonymize_dataset);

#define MAX_DEPTH 64   /* sequences in sequences; what is below goes */
#define MAX_KNOWN 1000 /* names and numbers that free texts are searched for */
#define NO_TAG    0    /* a command's group length: never kept */

/* What the function adds, and so what it does not take from the data set. */
#define TAG_IDENTITY_REMOVED     0x00120062
#define TAG_METHOD               0x00120063
#define TAG_METHOD_CODES         0x00120064
#define TAG_LONGITUDINAL         0x00280303
#define TAG_STUDY_DATE           0x00080020
#define TAG_STUDY_INSTANCE_UID   "0020000D"
#define TAG_PATIENT_ID           "00100020"
#define TAG_ISSUER_OF_PATIENT_ID "00100021"

#define NAME_LENGTH 8 /* of a tag */

struct known_texts
{
	struct deid_text *texts;
	int count;
};

struct walk
{
	const struct profile_rules *rules;
	struct deid_context context;
	struct known_texts names;
	struct known_texts places;
	JsonbParseState *state;
	int depth;
};

/* An element of a data set: {"vr": ..., "Value": [...]}. */
struct element
{
	uint32 tag;
	uint16_t vr;
	JsonbContainer *values; /* the array, or NULL */
	bool has_bytes;
	JsonbValue bytes; /* InlineBinary */
};

/* --- reading the model --- */

static JsonbValue
string_value(const char *string)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, string);
	value.val.string.len = strlen(string);
	return value;
}

static uint32
hex_digits(const char *text, int count, bool *valid)
{
	uint32 number = 0;
	int i;

	*valid = true;
	for (i = 0; i < count; i++)
	{
		char c = text[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (digit < 0)
			*valid = false;
		number = number << 4 | (uint32) (digit & 15);
	}
	return number;
}

/* The tag that a key names; NO_TAG where it names none. */
static uint32
tag_of_key(const JsonbValue *key)
{
	bool valid;
	uint32 tag;

	if (key->val.string.len != NAME_LENGTH)
		return NO_TAG;
	tag = hex_digits(key->val.string.val, NAME_LENGTH, &valid);
	return valid ? tag : NO_TAG;
}

static bool
get_member(JsonbContainer *object, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, name, strlen(name), value) != NULL;
}

/* Fills *element; false where the value of the key is no element, or one without a VR. */
static bool
read_element(uint32 tag, const JsonbValue *value, struct element *element)
{
	JsonbContainer *object;
	JsonbValue member;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return false;
	object = value->val.binary.data;
	*element = (struct element){.tag = tag};
	if (!get_member(object, "vr", &member) || member.type != jbvString || member.val.string.len != 2)
		return false;
	element->vr = DICOM_VR(member.val.string.val[0], member.val.string.val[1]);
	if (get_member(object, "Value", &member) && member.type == jbvBinary &&
		JsonContainerIsArray(member.val.binary.data) && !JsonContainerIsScalar(member.val.binary.data))
		element->values = member.val.binary.data;
	element->has_bytes =
		get_member(object, "InlineBinary", &element->bytes) && element->bytes.type == jbvString;
	return true;
}

static struct deid_text
utf8_of_value(const JsonbValue *value)
{
	return utf8_of_string(pnstrdup(value->val.string.val, value->val.string.len));
}

/* A person name as it stands in a file: groups joined by =. */
static struct deid_text
person_text(JsonbContainer *object)
{
	static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
	StringInfoData text;
	JsonbValue group;
	int i;

	initStringInfo(&text);
	for (i = 0; i < lengthof(groups); i++)
	{
		if (i > 0)
			appendStringInfoChar(&text, '=');
		if (get_member(object, groups[i], &group) && group.type == jbvString)
			appendBinaryStringInfo(&text, group.val.string.val, group.val.string.len);
	}
	while (text.len > 0 && text.data[text.len - 1] == '=')
		text.data[--text.len] = '\0';
	return utf8_of_string(text.data);
}

/* One value as text; absent where it is null, or what no value of an attribute can be. */
static struct deid_text
text_of_item(const JsonbValue *item, uint16_t vr)
{
	switch (item->type)
	{
		case jbvString:
			return utf8_of_value(item);
		case jbvNumeric:
			return utf8_of_string(
				DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(item->val.numeric))));
		case jbvBinary:
			if (vr == DICOM_VR('P', 'N') && JsonContainerIsObject(item->val.binary.data))
				return person_text(item->val.binary.data);
			/* fall through */
		default:
			return (struct deid_text){0};
	}
}

/* The first value of an element of a data set as text. */
static struct deid_text
first_value(JsonbContainer *dataset, const char *name)
{
	JsonbValue value;
	struct element element;

	if (!get_member(dataset, name, &value) || !read_element(NO_TAG, &value, &element) || !element.values ||
		JsonContainerSize(element.values) == 0)
		return (struct deid_text){0};
	return text_of_item(getIthJsonbValueFromContainer(element.values, 0), element.vr);
}

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
				  text_of_item(getIthJsonbValueFromContainer(element->values, i), element->vr));
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
			tag = tag_of_key(&value);
		else if (token == WJB_VALUE && tag != NO_TAG && read_element(tag, &value, &element))
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
	JsonbValue value = string_value(string);

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

/* An object of one member, as a value. */
static JsonbValue
person_value(const char *alphabetic)
{
	JsonbParseState *state = NULL;
	JsonbValue string = string_value(alphabetic);
	JsonbValue key = string_value("Alphabetic");

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &key);
	pushJsonbValue(&state, WJB_VALUE, &string);
	return *pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}

static bool
is_number(uint16_t vr)
{
	return strchr("DFISU", vr >> 8) && strchr("SDLV", vr & 0xFF) && vr != DICOM_VR('D', 'D');
}

/* What a rule has made, as a value of its VR: a name is an object, a number a number if it reads as one. */
static JsonbValue
result_value(const text *result, uint16_t vr)
{
	char *string = text_to_cstring(result);
	double number;

	if (vr == DICOM_VR('P', 'N'))
		return person_value(string);
	if (is_number(vr) && dicom_parse_decimal(string, strlen(string), &number))
	{
		JsonbValue value = {.type = jbvNumeric};

		value.val.numeric = DatumGetNumeric(DirectFunctionCall3(
			numeric_in, CStringGetDatum(string), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		return value;
	}
	return string_value(string);
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
		text *result = apply_rule(&rule, &walk->context, text_of_item(item, element->vr));

		values[i] = result ? result_value(result, element->vr) : (JsonbValue){.type = jbvNull};
	}
	write_values(walk, element, values, count, decision->stays_empty);
}

/* A text is kept if it is one that its VR allows to be so long, and reveals nothing. */
static uint32
longest_text(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('C', 'S'):
		case DICOM_VR('S', 'H'):
			return 16;
		case DICOM_VR('L', 'O'):
		case DICOM_VR('U', 'I'):
		case DICOM_VR('P', 'N'):
			return 64;
		default:
			return UINT32_MAX;
	}
}

static uint32
characters(struct deid_text text)
{
	uint32 count = 0;
	size_t i;

	for (i = 0; i < text.length; i++)
		count += (text.text[i] & 0xC0) != 0x80;
	return count;
}

/* What must be of a form: dates, times, numbers, UIDs. */
static bool
has_form(struct deid_text text, uint16_t vr)
{
	struct dicom_datetime datetime;
	struct dicom_date date;
	int64_t time;
	double number;
	bool valid;
	size_t i;

	switch (vr)
	{
		case DICOM_VR('D', 'A'):
			return dicom_parse_date(text.text, text.length, &date);
		case DICOM_VR('D', 'T'):
			return dicom_parse_datetime(text.text, text.length, &datetime);
		case DICOM_VR('T', 'M'):
			return dicom_parse_time(text.text, text.length, &time);
		case DICOM_VR('A', 'T'):
			hex_digits(text.text, (int) Min(text.length, 8), &valid);
			return valid && text.length == 8;
		case DICOM_VR('U', 'I'):
			for (i = 0; i < text.length; i++)
				if ((text.text[i] < '0' || text.text[i] > '9') && text.text[i] != '.')
					return false;
			return true;
		default:
			return !is_number(vr) || dicom_parse_decimal(text.text, text.length, &number);
	}
}

static bool
is_free_text(uint16_t vr)
{
	switch (vr)
	{
		case DICOM_VR('A', 'E'):
		case DICOM_VR('C', 'S'):
		case DICOM_VR('L', 'O'):
		case DICOM_VR('L', 'T'):
		case DICOM_VR('P', 'N'):
		case DICOM_VR('S', 'H'):
		case DICOM_VR('S', 'T'):
		case DICOM_VR('U', 'C'):
		case DICOM_VR('U', 'T'):
			return true;
		default:
			return false;
	}
}

static JsonbValue
cleaned(struct walk *walk, struct deid_text text, uint16_t vr)
{
	struct deid_rule rule = {.kind = DEID_CLEAN_TEXT};
	struct varlena *result = apply_rule(&rule, &walk->context, text);

	return result ? result_value(result, vr) : (JsonbValue){.type = jbvNull};
}

/* A name that is to be kept has the groups that a name can have. */
static JsonbValue
kept_person(JsonbContainer *object)
{
	static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
	JsonbParseState *state = NULL;
	int i;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (i = 0; i < lengthof(groups); i++)
	{
		JsonbValue key = string_value(groups[i]);
		JsonbValue group;

		if (!get_member(object, groups[i], &group) || group.type != jbvString)
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &group);
	}
	return *pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}

static JsonbValue
kept_value(struct walk *walk, JsonbValue *item, uint16_t vr)
{
	static const JsonbValue nothing = {.type = jbvNull};
	struct deid_text text;

	if (item->type == jbvBinary && vr == DICOM_VR('P', 'N') && JsonContainerIsObject(item->val.binary.data))
		return kept_person(item->val.binary.data);
	text = text_of_item(item, vr);
	if (!text.text)
		return nothing;
	text = deid_unpadded(text);
	if (!has_form(text, vr))
		return nothing;
	if (is_free_text(vr) && characters(text) > longest_text(vr))
		return cleaned(walk, text, vr);
	if (is_free_text(vr) && deid_is_revealing(text, walk->context.known, lengthof(walk->context.known)))
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

static bool
is_base64(const JsonbValue *string)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

	return strspn(pnstrdup(string->val.string.val, string->val.string.len), letters) ==
		   string->val.string.len;
}

static void
write_bytes(struct walk *walk, const struct element *element)
{
	JsonbValue bytes = element->bytes;

	open_element(walk, element->tag, element->vr);
	if (element->has_bytes && is_base64(&bytes))
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
	struct deid_text creator = first_value(dataset, psprintf("%04X00%02X", tag >> 16, block));

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
	JsonbValue value = string_value(string);

	write_values(walk, &element, &value, 1, true);
}

/* PS3.15 E.1.1: what was done is said. */
static void
write_statement(struct walk *walk, const char *profile)
{
	const struct attribute_rule *date =
		profile_rules_find(walk->rules, TAG_STUDY_DATE, (struct deid_text){0});
	enum deid_rule_kind kind = date ? date->rule.kind : DEID_REMOVE;

	write_text(walk, TAG_IDENTITY_REMOVED, DICOM_VR('C', 'S'), "YES");
	write_text(walk, TAG_METHOD, DICOM_VR('L', 'O'), psprintf("dicom_fdw: %.50s", profile));
	write_text(walk, TAG_LONGITUDINAL, DICOM_VR('C', 'S'),
			   kind == DEID_KEEP                                       ? "UNMODIFIED"
			   : kind == DEID_DATE_SHIFT || kind == DEID_DATE_TRUNCATE ? "MODIFIED"
																	   : "REMOVED");
}

static void
open_context(struct walk *walk, JsonbContainer *dataset)
{
	walk->context.patient_id = first_value(dataset, TAG_PATIENT_ID);
	walk->context.issuer = first_value(dataset, TAG_ISSUER_OF_PATIENT_ID);
	walk->context.study_instance_uid = first_value(dataset, TAG_STUDY_INSTANCE_UID);
	gather_known(walk, dataset);
	walk->context.known[0] = (struct deid_known){walk->names.texts, walk->names.count, false};
	walk->context.known[1] = (struct deid_known){walk->places.texts, walk->places.count, true};
}

Datum
dicom_anonymize_dataset(PG_FUNCTION_ARGS)
{
	struct walk walk = {0};
	char *profile;
	Jsonb *dataset;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("\"profile\" must not be NULL")));
	profile = text_to_cstring(PG_GETARG_TEXT_PP(1));
	walk.rules = profile_rules_get(profile);
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
	write_statement(&walk, profile);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&walk.state, WJB_END_OBJECT, NULL)));
}
