/*
 * dataset_model.c
 *	  The DICOM JSON model (PS3.18 Annex F) as jsonb has it.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "../dicom/dictionary.h"
#include "../dicom/value.h"
#include "dataset_model.h"
#include "rule_call.h"

#define NAME_LENGTH 8 /* of a tag */

JsonbValue
model_string(const char *string)
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
uint32
model_tag(const JsonbValue *key)
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
bool
model_read_element(uint32 tag, const JsonbValue *value, struct element *element)
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
struct deid_text
model_item_text(const JsonbValue *item, uint16_t vr)
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
struct deid_text
model_first_value(JsonbContainer *dataset, const char *name)
{
	JsonbValue value;
	struct element element;

	if (!get_member(dataset, name, &value) || !model_read_element(NO_TAG, &value, &element) ||
		!element.values || JsonContainerSize(element.values) == 0)
		return (struct deid_text){0};
	return model_item_text(getIthJsonbValueFromContainer(element.values, 0), element.vr);
}

/* --- values --- */

/* A name that is to be kept has the groups that a name can have. */
JsonbValue
model_kept_person(JsonbContainer *object)
{
	static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
	JsonbParseState *state = NULL;
	int i;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (i = 0; i < lengthof(groups); i++)
	{
		JsonbValue key = model_string(groups[i]);
		JsonbValue group;

		if (!get_member(object, groups[i], &group) || group.type != jbvString)
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &group);
	}
	return *pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}

/* An object of one member, as a value. */
static JsonbValue
person_value(const char *alphabetic)
{
	JsonbParseState *state = NULL;
	JsonbValue string = model_string(alphabetic);
	JsonbValue key = model_string("Alphabetic");

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
JsonbValue
model_result(const text *result, uint16_t vr)
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
	return model_string(string);
}

/* --- what a value of a VR looks like --- */

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
bool
model_has_form(struct deid_text text, uint16_t vr)
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

bool
model_is_free_text(uint16_t vr)
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

bool
model_is_base64(const JsonbValue *string)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

	return strspn(pnstrdup(string->val.string.val, string->val.string.len), letters) ==
		   string->val.string.len;
}

bool
model_is_too_long(struct deid_text text, uint16_t vr)
{
	return characters(text) > longest_text(vr);
}
