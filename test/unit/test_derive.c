/*
 * test_derive.c
 *	  Pseudonyms are those that HMAC-SHA-256 over the frames gives, and rules do what they say: to each value, or not at all.
 */
#include <stdlib.h>

#include "deid/dates.h"
#include "deid/derive.h"
#include "deid/rule.h"
#include "unit.h"

static struct deid_text
text(const char *string)
{
	return (struct deid_text){string, string ? strlen(string) : 0};
}

/* 00 01 .. 1f, or 20 .. 3f. */
static struct deid_key
make_key(int first)
{
	unsigned char bytes[DEID_KEY_BYTES];
	struct deid_key key;
	int i;

	for (i = 0; i < DEID_KEY_BYTES; i++)
		bytes[i] = first + i;
	deid_key_set(&key, bytes);
	return key;
}

UNIT_TEST(derive_names_keys)
{
	struct deid_key first = make_key(0);
	struct deid_key second = make_key(32);

	CHECK_STRING(first.id, "1ddd3d72f5f12466");
	CHECK_STRING(second.id, "50eef0717925a5df");
	deid_key_wipe(&first);
	CHECK(first.inner[0] == 0 && first.outer[7] == 0 && first.id[0] == '\0');
}

UNIT_TEST(derive_hashes)
{
	struct deid_key key = make_key(0);
	char hex[DEID_HASH_LENGTH + 1];
	char id[DEID_SHORT_LENGTH + 1];

	deid_full_hash(&key, text("patient_id"), text("PAT-0042"), hex);
	CHECK_STRING(hex, "a5a68292aedc0166856acf8e5b615415235792be896ce41ed16e37f8033a9048");
	deid_full_hash(&key, text("patient_id"), text(""), hex);
	CHECK_STRING(hex, "624da8e5ea051147088f739b42ef675d9990ded2aff70f3deece6d4cee338493");
	deid_short_id(&key, text("patient_id"), text("PAT-0042"), id);
	CHECK_STRING(id, "DEID-UWTIFEVO3QAWNBLK");
}

UNIT_TEST(derive_tells_parts_and_absent_values_apart)
{
	struct deid_key key = make_key(0);
	struct deid_text parts[][2] = {{text("a-b"), text("c")},
								   {text("a"), text("b-c")},
								   {text(NULL), text("x")},
								   {text(""), text("x")},
								   {text(NULL), text(NULL)}};
	static const char *const expected[] = {
		"d354d5e65815b644850b93a8961253684f31a2b3350c59343d8934af0120daf1",
		"22fdea0d2d400a4049aa5b75b2a5efbbe06a47343b4b8455af827426832529e8",
		"89bd0c45a30a248ed62ee418c9c14dcf72b2a36877cd8ffccdc2d7c3ffa19bf4",
		"b9b063bf246e0378cf6ce67569c9bda37d71f808fa9fe8a93c80ac7cddd48ecf",
		"0fd7bd9c99cbd6528f9d08de7af4430a188a20d34faab7aeb7e83b883418a7a1"};
	char hex[DEID_HASH_LENGTH + 1];
	size_t i;

	for (i = 0; i < 5; i++)
	{
		deid_surrogate_key(&key, text("demo"), parts[i], 2, hex);
		CHECK_STRING(hex, expected[i]);
	}
}

UNIT_TEST(derive_long_values_are_hashed_whole)
{
	struct deid_key key = make_key(0);
	char *value = malloc(1 << 20);
	char one[DEID_HASH_LENGTH + 1];
	char other[DEID_HASH_LENGTH + 1];

	memset(value, 'x', 1 << 20);
	deid_full_hash(&key, text("d"), (struct deid_text){value, 1 << 20}, one);
	value[(1 << 20) - 1] = 'y';
	deid_full_hash(&key, text("d"), (struct deid_text){value, 1 << 20}, other);
	CHECK(strcmp(one, other) != 0);
	free(value);
}

UNIT_TEST(derive_uids)
{
	struct deid_key key = make_key(32);
	char uid[DEID_UID_LENGTH + 1];

	deid_uid(&key, text("1.2.3"), uid);
	CHECK_STRING(uid, "2.25.96858976693753586257179218000721763084");
	CHECK(deid_uid_is_standard(text("1.2.840.10008.1.2.1")));
	CHECK(!deid_uid_is_standard(text("1.2.840.10008")));
	CHECK(!deid_uid_is_standard(text("1.2.840.10008.")));
	CHECK(!deid_uid_is_standard(text("1.2.840.10008.DOE^JOHN")));
	CHECK(!deid_uid_is_standard(text("1.2.840.113619.2")));
	CHECK(!deid_uid_is_standard(
		text("1.2.840.10008.1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24")));
}

UNIT_TEST(derive_legacy)
{
	static const char salt[] = "123456789";
	char hex[DEID_HASH_LENGTH + 1];
	struct deid_text parts[] = {text(NULL), text("052Y"), text("19700101"), text("PAT-0042"),
								text("DOE^JANE")};
	struct deid_text joined[] = {text("a-b"), text("c")};

	deid_legacy_full_hash(text(salt), text("*PAT-0042*"), hex);
	CHECK_STRING(hex, "7eb2cf9b9d6cc448d68c0c96c94b5a4286542068de2d95e6da2898d1d1e029dd");
	deid_legacy_full_hash(text(salt), text(NULL), hex);
	CHECK_STRING(hex, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
	deid_legacy_surrogate_key(text(salt), parts, 5, hex);
	CHECK_STRING(hex, "178558d79a9fd9a2bde4fa7297e37c655e42e325d0b70ccdd56aaf9d95d17c5b");
	deid_legacy_surrogate_key(text(salt), joined, 2, hex);
	CHECK_STRING(hex, "427c132787ffc278786371112a6e03c803fd951e25d38a6006caf3fd2425c062");
}

/* SHA-256 of "müller" is the same for every case of it. */
UNIT_TEST(derive_legacy_folds_case)
{
	static const char *const pairs[][2] = {{"MÜLLER", "müller"}, {"ŁÓDŹ", "łódź"}, {"ΑΘΗΝΑ", "αθηνα"},
										   {"МОСКВА", "москва"}, {"ЁЖ", "ёж"},     {"×÷", "×÷"}};
	size_t i;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		char capital[DEID_HASH_LENGTH + 1];
		char small[DEID_HASH_LENGTH + 1];

		deid_legacy_full_hash(text("s"), text(pairs[i][0]), capital);
		deid_legacy_full_hash(text("s"), text(pairs[i][1]), small);
		CHECK_STRING(capital, small);
	}
}

/* --- dates --- */

static void
check_shift(const char *value, int days, const char *expected)
{
	struct dicom_buffer out = {0};
	bool shifted = deid_shift_date(text(value), days, &out);

	CHECK(shifted == (expected != NULL));
	if (shifted && expected)
		CHECK_TEXT(out.data, out.length, expected);
	dicom_buffer_free(&out);
}

UNIT_TEST(dates_keep_their_form)
{
	check_shift("20200229", -3402, "20101106");
	check_shift("20200229143015.123+1000", -3402, "20101106143015.123+1000");
	check_shift("20200229", 1, "20200301");
	check_shift("20210228", 1, "20210301");
	check_shift("20000301", -1, "20000229");
	check_shift("19000301", -1, "19000228");
	check_shift("20200101", -1, "20191231");
	check_shift("2020.02.29", -3402, "2010.11.06");
	check_shift("2020-02-29", -3402, "2010-11-06");
	check_shift("2020-02-29 14:30:15.5+02", -3402, "2010-11-06 14:30:15.5+02");
	check_shift("2020-02-29T14:30:15Z", -3402, "2010-11-06T14:30:15Z");
	check_shift(" 20200229 ", -3402, "20101106");
	check_shift("2020", -366, "2018");
	check_shift("202003", -1, "202002");
	check_shift("2020-0500", 0, "2020-0500");
	check_shift("20200229+1000", -3402, "20101106+1000");
	check_shift("2020022914", -3402, "2010110614");
}

UNIT_TEST(dates_that_are_none)
{
	static const char *const none[] = {"",
									   "x",
									   "20200230",
									   "20210229",
									   "20201301",
									   "20200001",
									   "00000101",
									   "202002291",
									   "2020022924",
									   "2020022914x",
									   "20200229JOHN",
									   "2020-02-29 JOHN",
									   "2020-02-29 14",
									   "2020.02.29 14:30",
									   "2020022914301",
									   "20200229143015.",
									   "20200229143015.1+2500",
									   "20200101-20200131",
									   "2020-2-2",
									   "infinity",
									   "2020-02/29"};
	size_t i;

	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		check_shift(none[i], -7, NULL);
	check_shift("00010107", -7, NULL);
	check_shift("99991231", 1, NULL);
}

UNIT_TEST(dates_go_there_and_back)
{
	int days;

	for (days = -100000; days < 100000; days += 7 * 53)
	{
		struct dicom_buffer there = {0};
		struct dicom_buffer back = {0};

		CHECK(deid_shift_date(text("20000229"), days, &there));
		CHECK(deid_shift_date((struct deid_text){there.data, there.length}, -days, &back));
		CHECK_TEXT(back.data, back.length, "20000229");
		dicom_buffer_free(&there);
		dicom_buffer_free(&back);
	}
}

UNIT_TEST(dates_are_truncated)
{
	static const struct
	{
		const char *value;
		bool by_year;
		const char *expected;
	} cases[] = {{"20200229", true, "20200101"},
				 {"20200229", false, "20200201"},
				 {"20200229143015.1+0100", false, "20200201"},
				 {"2020-02-29 14:30:15", true, "2020-01-01"},
				 {"2020", false, "2020"},
				 {"202007", true, "202001"}};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct dicom_buffer out = {0};

		CHECK(deid_truncate_date(text(cases[i].value), cases[i].by_year, &out));
		CHECK_TEXT(out.data, out.length, cases[i].expected);
		dicom_buffer_free(&out);
	}
}

/* --- rules --- */

/* Applies a rule given as name, parameter, value, parameter, value, NULL. */
static void
check_rule(struct deid_context *context, const char *value, const char *expected, const char *name,
		   const char *first, const char *first_value, const char *second, const char *second_value)
{
	struct deid_parameter parameters[] = {{first, first_value}, {second, second_value}};
	struct dicom_buffer out = {0};
	struct dicom_error error;
	struct deid_rule rule;
	bool absent = false;

	dicom_buffer_append_string(&out, "before ");
	CHECK(deid_rule_parse(&rule, name, parameters, second ? 2 : first ? 1 : 0, &error) == DICOM_OK);
	CHECK(deid_rule_apply(&rule, context, text(value), &out, &absent, &error) == DICOM_OK);
	CHECK(absent == (expected == NULL));
	CHECK(strncmp(out.data, "before ", 7) == 0);
	CHECK_TEXT(out.data + 7, out.length - 7, expected ? expected : "");
	deid_rule_free(&rule);
	dicom_buffer_free(&out);
}

UNIT_TEST(rules_without_a_key)
{
	struct deid_context context = {0};

	check_rule(&context, "x ", "x", "keep", NULL, NULL, NULL, NULL);
	check_rule(&context, "x", "x", "", NULL, NULL, NULL, NULL);
	check_rule(&context, "", "", "keep", NULL, NULL, NULL, NULL);
	check_rule(&context, NULL, NULL, "keep", NULL, NULL, NULL, NULL);
	check_rule(&context, "x", NULL, "remove", NULL, NULL, NULL, NULL);
	check_rule(&context, "x", "ANON_TEXT", "anon_text", NULL, NULL, NULL, NULL);
	check_rule(&context, "  ", NULL, "anon_text", NULL, NULL, NULL, NULL);
	check_rule(&context, "x", "19000101", "dummy", "vr", "DA", NULL, NULL);
	check_rule(&context, "20200229\\bad\\20210101", "20200101\\\\20210101", "date_truncate", "unit", "year",
			   NULL, NULL);
	check_rule(&context, "bad\\worse", NULL, "date_truncate", "unit", "year", NULL, NULL);
	check_rule(&context, "17.9\\-3", "15\\-5", "generalize_number", "step", "5", NULL, NULL);
	check_rule(&context, "1.27", "1.2", "generalize_number", "step", "0.1", NULL, NULL);
	check_rule(&context, "nan", NULL, "generalize_number", "step", "5", NULL, NULL);
}

UNIT_TEST(rules_generalize_ages)
{
	static const char *const cases[][2] = {
		{"091Y", "090Y"},   {"089Y", "089Y"},     {"090Y", "090Y"},
		{"1100M", "090Y"},  {"1068M", "1068M"},   {"1069M", "090Y"},
		{"003D", "003D"},   {"32507D", "32507D"}, {"32508D", "090Y"},
		{"4643W", "4643W"}, {"4644W", "090Y"},    {"7Y", "007Y"},
		{" 052Y", "052Y"},  {"", NULL},           {NULL, NULL},
		{"Y", NULL},        {"91", NULL},         {"091y", NULL},
		{"0x1Y", NULL},     {"091YX", NULL},      {"9999999999999999999Y", NULL}};
	struct deid_context context = {0};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_rule(&context, cases[i][0], cases[i][1], "generalize_age", NULL, NULL, NULL, NULL);
}

UNIT_TEST(rules_generalize_zip_codes)
{
	static const char *const cases[][2] = {
		{"12345", "123"}, {"03601", "000"}, {"89301-1234", "000"}, {"123456789", "123"}, {"692", "000"},
		{"1234", NULL},   {"12345-", NULL}, {"1234A", NULL},       {"12-345", NULL},     {"SW1A 1AA", NULL}};
	struct deid_context context = {0};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_rule(&context, cases[i][0], cases[i][1], "generalize_zip3", NULL, NULL, NULL, NULL);
}

UNIT_TEST(rules_with_a_key)
{
	struct deid_key key = make_key(0);
	struct deid_counts counts = {0};
	struct deid_context context = {.key = &key, .patient_id = text("PAT-0042 "), .counts = &counts};

	check_rule(&context, "PAT-0042 ", "a5a68292aedc0166856acf8e5b615415235792be896ce41ed16e37f8033a9048",
			   "full_hash", "domain", "patient_id", NULL, NULL);
	check_rule(&context, " ", NULL, "full_hash", "domain", "patient_id", NULL, NULL);
	check_rule(&context, " ", "624da8e5ea051147088f739b42ef675d9990ded2aff70f3deece6d4cee338493", "full_hash",
			   "domain", "patient_id", "null_policy", "marker");
	check_rule(&context, NULL, NULL, "surrogate_key", "domain", "demo", NULL, NULL);
	check_rule(&context, "1.2.3\\1.2.840.10008.1.2\\",
			   "2.25.222138951003689080983722101039435553577\\1.2.840.10008.1.2\\", "uid_remap", NULL, NULL,
			   NULL, NULL);
	check_rule(&context, "20200229\\x", "20101106\\", "date_shift", NULL, NULL, NULL, NULL);
	CHECK(counts.unreadable == 1 && counts.study_shifted == 0);

	context.patient_id = text(" ");
	context.study_instance_uid = text("PAT-0042");
	deid_context_change(&context);
	check_rule(&context, "20200229", "20101106", "date_shift", NULL, NULL, NULL, NULL);
	CHECK(counts.study_shifted == 1);

	context.study_instance_uid = text(NULL);
	check_rule(&context, "20200229", NULL, "date_shift", NULL, NULL, NULL, NULL);
	CHECK(counts.unshifted == 1);
}

UNIT_TEST(rules_shift_within_their_range)
{
	struct deid_key key = make_key(0);
	int i;

	for (i = 0; i < 2000; i++)
	{
		char id[16];
		int days;

		snprintf(id, sizeof(id), "%d", i);
		days = deid_shift_days(&key, text(NULL), text(id), DEID_MIN_WEEKS, DEID_MAX_WEEKS);
		CHECK(days <= -371 && days >= -3647 && days % 7 == 0);
		CHECK(deid_shift_days(&key, text(NULL), text(id), 1, 1) == -7);
	}
}

static void
check_refused(const char *name, const char *parameter, const char *value, const char *hint)
{
	struct deid_parameter parameters[] = {{parameter, value}};
	struct dicom_error error = {0};
	struct deid_rule rule;

	CHECK(deid_rule_parse(&rule, name, parameters, parameter ? 1 : 0, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);
	if (hint)
		CHECK_STRING(error.hint, hint);
	deid_rule_free(&rule);
}

UNIT_TEST(rules_that_make_no_sense_are_refused)
{
	check_refused("full_hsh", NULL, NULL, "perhaps you meant full_hash");
	check_refused("nothing of that kind", NULL, NULL, NULL);
	check_refused("full_hash", NULL, NULL, NULL);
	check_refused("full_hash", "domain", "", NULL);
	check_refused("full_hash", "domian", "x", "it takes: domain null_policy");
	check_refused("keep", "domain", "x", "it takes none");
	check_refused("date_truncate", "unit", "day", NULL);
	check_refused("generalize_number", "step", "0", NULL);
	check_refused("generalize_number", "step", "-1", NULL);
	check_refused("date_shift", "min_days", "3649", NULL);
	check_refused("date_shift", "max_days", "0", NULL);
	check_refused("dummy", "vr", "SQ", NULL);
	check_refused("legacy_full_hash", NULL, NULL, NULL);
}

UNIT_TEST(rules_fail_without_their_key)
{
	struct deid_parameter parameters[] = {{"domain", "d"}};
	struct deid_context context = {0};
	struct dicom_buffer out = {0};
	struct dicom_error error;
	struct deid_rule rule;
	bool absent;

	CHECK(deid_rule_parse(&rule, "full_hash", parameters, 1, &error) == DICOM_OK);
	CHECK(deid_rule_apply(&rule, &context, text("x"), &out, &absent, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_CREDENTIALS && out.length == 0);
	CHECK(deid_rule_apply(&rule, &context, text(NULL), &out, &absent, &error) == DICOM_FAILED);
	deid_rule_free(&rule);
	dicom_buffer_free(&out);
}
