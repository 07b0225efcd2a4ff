/*
 * fuzz_rule.c
 *	  Whatever a value is, a rule gives one that is as it says: pseudonyms of their form, dates that are dates, and of the value itself
 *	  nothing but what the rule leaves; valid UTF-8 stays valid.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deid/dates.h"
#include "deid/keyring_text.h"
#include "deid/rule.h"
#include "dicom/value.h"
#include "utf8_check.h"

static void
require(int holds)
{
	if (!holds)
		abort();
}

static struct deid_text
text(const void *bytes, size_t length)
{
	return (struct deid_text){bytes, length};
}

static void
apply(const char *name, const char *parameter, const char *value, struct deid_context *context,
	  struct deid_text input, struct dicom_buffer *out, bool *absent)
{
	struct deid_parameter parameters[] = {{parameter, value}};
	struct dicom_error error;
	struct deid_rule rule;

	dicom_buffer_reset(out);
	require(deid_rule_parse(&rule, name, parameters, parameter ? 1 : 0, &error) == DICOM_OK);
	require(deid_rule_apply(&rule, context, input, out, absent, &error) == DICOM_OK);
	require(!*absent || out->length == 0);
	if (utf8_is_valid(input.text, input.length))
		require(utf8_is_valid(out->data, out->length));
	deid_rule_free(&rule);
}

static bool
consists_of(const struct dicom_buffer *out, const char *letters)
{
	return strspn(out->data, letters) == out->length;
}

/* A date that was shifted can be shifted back. */
static void
check_shift(struct deid_text input)
{
	struct dicom_buffer there = {0};
	struct dicom_buffer back = {0};

	if (deid_shift_date(input, -3402, &there) && there.length != 4 && there.length != 6 &&
		!memchr(there.data, '+', there.length))
		require(deid_shift_date(text(there.data, there.length), 3402, &back) || there.length < 8);
	require(there.length == 0 || consists_of(&there, "0123456789.:+- TZ"));
	dicom_buffer_free(&there);
	dicom_buffer_free(&back);
}

static void
check_rules(struct deid_context *context, struct deid_text input, struct dicom_buffer *out)
{
	bool absent;

	apply("full_hash", "domain", "d", context, input, out, &absent);
	require(absent || (out->length == 64 && consists_of(out, "0123456789abcdef")));
	apply("short_id", "domain", "d", context, input, out, &absent);
	require(absent || (out->length == 21 && consists_of(out, "DEI-ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")));
	apply("uid_remap", NULL, NULL, context, input, out, &absent);
	require(absent || consists_of(out, "0123456789.\\"));
	apply("date_shift", NULL, NULL, context, input, out, &absent);
	require(absent || consists_of(out, "0123456789.:+- TZ\\"));
	apply("date_truncate", "unit", "month", context, input, out, &absent);
	require(absent || consists_of(out, "0123456789.-\\"));
	apply("generalize_age", NULL, NULL, context, input, out, &absent);
	require(absent || consists_of(out, "0123456789DWMY\\"));
	apply("generalize_number", "step", "0.5", context, input, out, &absent);
	require(absent || consists_of(out, "0123456789.e+-\\"));
	apply("generalize_zip3", NULL, NULL, context, input, out, &absent);
	require(absent || (out->length == 3 && consists_of(out, "0123456789")));
	apply("legacy_full_hash", "salt", "s", context, input, out, &absent);
	require(!absent && out->length == 64);
	apply("clean_text", "words", "any", context, input, out, &absent);
	apply("clean_text", NULL, NULL, context, input, out, &absent);
	require(absent || (!memchr(out->data, '@', out->length) && !memchr(out->data, '^', out->length)));
	apply("keep", NULL, NULL, context, input, out, &absent);
}

static bool
contains(const struct dicom_buffer *out, const void *bytes, size_t length)
{
	size_t i;

	for (i = 0; i + length <= out->length; i++)
		if (memcmp(out->data + i, bytes, length) == 0)
			return true;
	return false;
}

/* What is known is not in a text that was cleaned of it: its first half, as a word of letters, is known here. */
static void
check_known(const uint8_t *data, size_t size)
{
	struct deid_text known_texts[] = {text(data, size / 2)};
	struct deid_known known = {known_texts, 1, false};
	struct dicom_buffer out = {0};
	size_t i;

	for (i = 0; i < size / 2; i++)
		if (data[i] < 'a' || data[i] > 'z')
			return;
	if (size / 2 < 4)
		return;
	if (deid_clean_text(text(data, size), &known, 1, true, &out))
		require(!contains(&out, data, size / 2));
	dicom_buffer_free(&out);
}

static void
check_keyring(const uint8_t *data, size_t size)
{
	static struct keyring_memory memory;
	int line;

	if (size > sizeof(memory.text))
		return;
	memcpy(memory.text, data, size);
	require(keyring_parse(&memory, size, &line) == NULL || memory.count == 0);
	require(line >= 0 && (size_t) line <= size + 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct deid_key key;
	struct deid_context context = {.key = &key};
	struct deid_text known_text = text(data, size / 3);
	struct dicom_buffer out = {0};

	if (!key.id[0])
		deid_key_set(&key, (const unsigned char *) "0123456789abcdef0123456789abcdef");
	context.patient_id = text("p", 1);
	context.known[0] = (struct deid_known){&known_text, 1, size % 2 == 0};
	check_rules(&context, text(data, size), &out);
	check_shift(text(data, size));
	check_known(data, size);
	check_keyring(data, size);
	deid_is_revealing(text(data, size), context.known, 1);
	dicom_buffer_free(&out);
	return 0;
}
