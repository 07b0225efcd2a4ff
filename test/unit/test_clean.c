/*
 * test_clean.c
 *	  Free text loses what may identify somebody, and keeps what a reader of descriptions needs.
 */
#include "deid/clean.h"
#include "deid/clinical_words.h"
#include "unit.h"

static struct deid_text
text(const char *string)
{
	return (struct deid_text){string, strlen(string)};
}

static void
check_clean(const char *value, const char *known_text, bool any_word, const char *expected)
{
	struct deid_text texts[] = {text(known_text ? known_text : "")};
	struct deid_known known = {texts, known_text ? 1 : 0, false};
	struct dicom_buffer out = {0};
	bool any = deid_clean_text(text(value), &known, 1, any_word, &out);

	CHECK(any == (expected != NULL));
	CHECK_TEXT(out.data ? out.data : "", out.length, expected ? expected : "");
	dicom_buffer_free(&out);
}

UNIT_TEST(clean_keeps_descriptions)
{
	static const char *const kept[] = {"CT Thorax, w/o contrast", "t2_tse_sag 3mm", "AX T2 FLAIR",
									   "Abdomen venous 5.0 B31f", "L4/5 disc"};
	size_t i;

	for (i = 0; i < 5; i++)
		check_clean(kept[i], NULL, false, kept[i]);
	check_clean("ThoraxRoutine", NULL, false, "ThoraxRoutine");
	check_clean("spacing 0.9375 0.9375 1.5mm", NULL, true, "spacing 0.9375 0.9375 1.5mm");
}

UNIT_TEST(clean_keeps_only_clinical_words)
{
	check_clean("Chest of Jonathan Appleseed", NULL, false, "Chest of ***");
	check_clean("Jonathan", NULL, false, NULL);
	check_clean("CT 山田 thorax", NULL, false, "CT *** thorax");
	check_clean("Chest Ünal, Öz; left", NULL, false, "Chest ***; left");
}

UNIT_TEST(clean_removes_what_is_known)
{
	check_clean("seen with doe's sister", "DOE^JANE", true, "seen with ***'s sister");
	check_clean("JaneDoe1 was here", "Appleseed^Jane", true, "*** was here");
	check_clean("MULLER was here", "Müller^Jürgen", true, "*** was here");
	check_clean("the liver of Li", "Li^Wei", true, "the liver of ***");
	check_clean("検査 山田太郎 CT", "Yamada^Tarou=山田^太郎", true, "検査 *** CT");
	check_clean("an PAT 42 of b", "PAT-42", true, "an *** of b");
	check_clean("a b c", "A", true, "a b c");
}

UNIT_TEST(clean_removes_patterns)
{
	static const char *const gone[] = {"2020-01-31",
									   "31.12.1999",
									   "1/2/03",
									   "24.12.",
									   "20200131",
									   "12 March 2020",
									   "Mar 3, 1999",
									   "3. März",
									   "12:30",
									   "jane@example.org",
									   "https://x.example/y",
									   "www.example.org",
									   "DOE^JANE",
									   "555-1234",
									   "(555) 123-4567",
									   "+49 30 123 456",
									   "123 456 789",
									   "1.2.840.113619.2.55",
									   "A1234567",
									   "PAT-42",
									   "XY12Z9",
									   "１９９９"};
	size_t i;

	for (i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
	{
		char value[128];

		snprintf(value, sizeof(value), "was %s there", gone[i]);
		check_clean(value, NULL, true, "was *** there");
		check_clean(gone[i], NULL, true, NULL);
	}
}

UNIT_TEST(clean_removes_what_words_point_at)
{
	check_clean("sent by Dr. Anders van Dyk today", NULL, true, "sent by *** van *** today");
	check_clean("Herr Maier kam", NULL, true, "Herr *** kam");
	check_clean("room 12 left", NULL, true, "room *** left");
	check_clean("MRN: 123", NULL, true, "MRN: ***");
	check_clean("92yo with 45yo", NULL, true, "*** with 45yo");
	check_clean("a 95 year old", NULL, true, "a *** year old");
	check_clean("a 55 year old", NULL, true, "a 55 year old");
}

UNIT_TEST(clean_gives_nothing_of_what_is_too_long)
{
	static char value[DEID_CLEAN_MAX + 2];

	memset(value, 'x', DEID_CLEAN_MAX + 1);
	check_clean(value, NULL, true, NULL);
}

UNIT_TEST(clean_survives_broken_utf8)
{
	struct dicom_buffer out = {0};
	static const char broken[] = "chest \xff\xe2\x82 \xc3";

	deid_clean_text((struct deid_text){broken, sizeof(broken) - 1}, NULL, 0, true, &out);
	CHECK(out.length <= sizeof(broken) + 6);
	dicom_buffer_free(&out);
}

UNIT_TEST(clean_tells_revealing_texts)
{
	struct deid_text texts[] = {text("DOE^HAND"), text("PAT-0042"), text("General Hospital")};
	struct deid_known known = {texts, 3, false};
	static const char *const revealing[] = {"Coil of doe",  "x/0042",  "of 2020-01-31", "31.12.1999",
											"20200131",     "a@b",     "http://x",      "A^B",
											"555-123-4567", "555 1234"};
	static const char *const harmless[] = {"Coil",   "CT",       "Hand",       "syngo CT VA48A",
										   "1.2.3",  "T-D1213",  "SOMATOM 42", "07.11.01",
										   "113854", "12345678", "*fl3d1_ns"};
	size_t i;

	for (i = 0; i < sizeof(revealing) / sizeof(revealing[0]); i++)
		CHECK(deid_is_revealing(text(revealing[i]), &known, 1));
	for (i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		CHECK(!deid_is_revealing(text(harmless[i]), &known, 1));
}

UNIT_TEST(clean_spares_clinical_words_of_places)
{
	struct deid_text texts[] = {text("Hartford Chest Center")};
	struct deid_known known[] = {{texts, 1, true}};
	struct dicom_buffer out = {0};

	CHECK(deid_clean_text(text("chest, Hartford"), known, 1, true, &out));
	CHECK_TEXT(out.data, out.length, "chest, ***");
	dicom_buffer_free(&out);
}

UNIT_TEST(clean_words_are_in_order)
{
	size_t i;

	for (i = 1; i < sizeof(clinical_words) / sizeof(clinical_words[0]); i++)
		CHECK(strcmp(clinical_words[i - 1], clinical_words[i]) < 0);
}
