/*
 * test_names.c
 *	  Lists of frames, keys from templates, strings as JSON, keys that are taken, and the ledger.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "compress/frames.h"
#include "compress/json_text.h"
#include "compress/ledger.h"
#include "compress/taken.h"
#include "compress/template.h"

/* --- frames --- */

static void
check_frames(const char *text, const char *want)
{
	struct frame_set set;
	struct dicom_error error;
	char got[256] = "";
	int i;

	if (frame_set_parse(text, &set, &error) != DICOM_OK)
		strcpy(got, "bad");
	for (i = 0; got[0] != 'b' && i < set.count; i++)
		sprintf(got + strlen(got), "%s%u-%u", i > 0 ? "," : "", set.ranges[i].first, set.ranges[i].last);
	CHECK_STRING(got, want);
	if (got[0] != 'b')
		frame_set_free(&set);
}

UNIT_TEST(frames_parse)
{
	check_frames(NULL, "");
	check_frames("", "");
	check_frames("7", "7-7");
	check_frames("1-3,7", "1-3,7-7");
	check_frames("7,1-3,4", "1-4,7-7");
	check_frames("1-10,2-3", "1-10");
	check_frames("5-,7", "5-4294967295");
	check_frames("0", "bad");
	check_frames("3-1", "bad");
	check_frames("1,", "bad");
	check_frames("-3", "bad");
	check_frames("1 ,2", "bad");
	check_frames("4294967295", "bad");
	check_frames("99999999999999999999", "bad");
}

UNIT_TEST(frames_behind)
{
	struct frame_set all = {0};
	struct frame_set set;
	struct child_range rest[4];

	CHECK(frame_set_behind(&all, 7, rest) == 1 && rest[0].first == 8 && rest[0].last == UINT32_MAX);
	CHECK(frame_set_parse("1-3,7,9-12", &set, NULL) == DICOM_OK);
	CHECK(frame_set_behind(&set, 2, rest) == 3 && rest[0].first == 3 && rest[0].last == 3);
	CHECK(frame_set_behind(&set, 9, rest) == 1 && rest[0].first == 10 && rest[0].last == 12);
	CHECK(frame_set_behind(&set, 12, rest) == 0);
	frame_set_free(&set);
}

/* --- templates --- */

static void
check_key(const char *text, enum child_value_kind kind, const char *value, const char *want)
{
	struct child_value values[4] = {{kind, (const uint8_t *) value, (uint32_t) strlen(value)}};
	struct child_event header = {.values = values, .value_count = 1};
	struct dicom_charset_cache charsets = {0};
	struct dicom_buffer key = {0};
	struct template *parsed;
	struct dicom_error error;
	char *filled;

	values[1] = values[2] = values[3] = values[0];
	if (template_parse(text, &parsed, &error) != DICOM_OK)
	{
		CHECK_STRING("no template", want);
		return;
	}
	filled = template_fill(parsed, &header, "a/b/file.name.dcm", &charsets);
	if (template_key(filled, 12, &key, &error) == DICOM_OK)
		CHECK_STRING(key.data, want);
	else
		CHECK_STRING(error.code == DICOM_ERROR_LIMIT ? "no key" : "?", want);
	free(filled);
	dicom_buffer_free(&key);
	dicom_charset_cache_close(&charsets);
	template_free(parsed);
}

UNIT_TEST(template_keys)
{
	char long_value[400];

	check_key("{modality}/{frame}.jpg", CHILD_VALUE_ASCII, "CT", "CT/12.jpg");
	check_key("{frame:5}-{frame:01}-{name}", CHILD_VALUE_ASCII, "CT", "00012-12-file.name");
	check_key("{{{modality}}}", CHILD_VALUE_ASCII, "CT", "{CT}");
	check_key("{(0029,\"A: }B\",10)}", CHILD_VALUE_ASCII, "x", "x");
	check_key("{study_date:%Y/%j}", CHILD_VALUE_ASCII, "20210912", "2021/255");
	check_key("{study_date:%y%%}", CHILD_VALUE_ASCII, "2021.09.12", "21%");
	check_key("{study_date:%Y}", CHILD_VALUE_ASCII, "20211399", "unknown");
	check_key("{study_date:%Y}", CHILD_VALUE_ASCII, "202109121200", "2021");
	check_key("{study_date:%Y}", CHILD_VALUE_MULTI, "20210912", "unknown");
	check_key("{modality}", CHILD_VALUE_ABSENT, "", "unknown");
	check_key("{modality}", CHILD_VALUE_ASCII, "a/b\\c\nd\x7f", "a_b_c_d_");
	check_key("{modality}", CHILD_VALUE_ASCII, "..", "_.");
	check_key("{modality}", CHILD_VALUE_ASCII, ".dicompress", "_dicompress");
	check_key("{modality}", CHILD_VALUE_ASCII, "\xff\xc2\x85x", "__x");
	check_key("x/{modality}", CHILD_VALUE_ASCII, "/", "x/_");
	check_key("x/../{modality}", CHILD_VALUE_ASCII, "a", "no key");
	check_key("x//{modality}", CHILD_VALUE_ASCII, "a", "no key");
	check_key("x/{modality}/", CHILD_VALUE_ASCII, "a", "no key");
	check_key("{patient_name}", CHILD_VALUE_PERSON, "M\xfcller", "M\xc3\xbcller");
	memset(long_value, 'x', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
	check_key("{modality}", CHILD_VALUE_ASCII, long_value, long_value + sizeof(long_value) - 1 - 200);
	check_key("{modality}{modality}{modality}{modality}{modality}{modality}", CHILD_VALUE_ASCII, long_value,
			  "no key");
}

UNIT_TEST(template_mistakes)
{
	static const char *const wrong[] = {"",
										"/a",
										"{",
										"{}",
										"a}",
										"{nothing_known}",
										"{frame:0}",
										"{frame:10}",
										"{frame:x}",
										"{study_date:%s}",
										"{study_date:%",
										"a\x01",
										".dicompress/x",
										"{name:3}"};
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		check_key(wrong[i], CHILD_VALUE_ASCII, "x", "no template");
}

/* --- JSON --- */

UNIT_TEST(json_strings)
{
	struct dicom_buffer out = {0};

	json_append_string(&out, "a\"b\\c\n\t\x01 \xc3\xa4 \xff\xe2\x82 \xf0\x9f\x98\x80");
	CHECK_TEXT(out.data, out.length,
			   "\"a\\\"b\\\\c\\n\\t\\u0001 \xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x98\x80\"");
	dicom_buffer_free(&out);
}

/* --- keys that are taken --- */

UNIT_TEST(taken_keys)
{
	struct taken taken = {0};
	struct dicom_error error;
	char key[32];
	int i;

	for (i = 0; i < 5000; i++)
	{
		snprintf(key, sizeof(key), "key/%d", i);
		CHECK(taken_add(&taken, key, &error) == DICOM_OK);
	}
	CHECK(taken_add(&taken, "key/77", &error) == DICOM_FAILED && error.code == DICOM_ERROR_EXISTS);
	CHECK(taken.count == 5000);
	taken_free(&taken);
}

/* --- the ledger --- */

struct ledger_place
{
	char directory[64];
	struct store *store;
};

static void
open_ledger_place(struct ledger_place *place)
{
	struct store_options options = {0};
	char location[96];

	strcpy(place->directory, "/tmp/test_ledger.XXXXXX");
	CHECK(mkdtemp(place->directory) != NULL);
	snprintf(location, sizeof(location), "file://%s", place->directory);
	options.location = location;
	CHECK(store_open(&options, NULL, &place->store, NULL) == DICOM_OK);
}

static void
close_ledger_place(struct ledger_place *place)
{
	char command[128];

	store_close(place->store);
	snprintf(command, sizeof(command), "rm -rf %s", place->directory);
	CHECK(system(command) == 0);
}

static struct ledger *
open_again(struct ledger_place *place, struct ledger *ledger)
{
	struct dicom_error error;

	ledger_close(ledger);
	ledger = NULL;
	CHECK(ledger_open(place->store, "a/.dicompress/", &ledger, &error) == DICOM_OK);
	return ledger;
}

static void
append(struct ledger *ledger, const char *url, uint32_t frames, const char *etag)
{
	struct state_note note = {.etag = strdup(etag)};
	struct dicom_buffer line = {0};
	uint32_t i;

	CHECK(digest_text(url, strlen(url), note.source));
	CHECK(digest_text("options", 7, note.fingerprint));
	for (i = 1; i <= frames; i++)
	{
		struct picture_note picture = {
			.frame = i, .columns = 2, .rows = 3, .bytes = 4, .key = strdup("some/key \"of\" a picture.jpg")};

		memcpy(picture.sha256, note.source, SHA256_TEXT);
		CHECK(state_add(&note, &picture));
	}
	state_write(&note, &line);
	CHECK(ledger_append(ledger, line.data, line.length, NULL) == DICOM_OK);
	dicom_buffer_free(&line);
	state_free(&note);
}

/* The etag and number of frames of a note, "none" without it. */
static void
check_note(struct ledger *ledger, const char *url, const char *want)
{
	char digest[SHA256_TEXT];
	char got[64] = "none";
	struct state_note note;

	CHECK(digest_text(url, strlen(url), digest));
	if (ledger_find(ledger, digest, &note))
	{
		snprintf(got, sizeof(got), "%s %u", note.etag, note.count);
		CHECK_STRING(note.pictures[0].key, "some/key \"of\" a picture.jpg");
		state_free(&note);
	}
	CHECK_STRING(got, want);
}

UNIT_TEST(ledger_notes)
{
	struct ledger_place place;
	struct ledger *ledger;
	int i;

	open_ledger_place(&place);
	ledger = open_again(&place, NULL);
	check_note(ledger, "s3://a/b", "none");
	append(ledger, "s3://a/b", 1, "one");
	append(ledger, "s3://a/c", 20000, "two"); /* longer than a block */
	append(ledger, "s3://a/d", 1, "three");
	CHECK(ledger_append(ledger, "\n{\"source\": \"abc", 16, NULL) == DICOM_OK);
	append(ledger, "s3://a/b", 3, "four");
	ledger = open_again(&place, ledger);
	check_note(ledger, "s3://a/b", "four 3");
	check_note(ledger, "s3://a/c", "two 20000");
	check_note(ledger, "s3://a/d", "three 1");
	check_note(ledger, "s3://a/e", "none");
	for (i = 0; i < 3000; i++)
		append(ledger, i % 2 ? "s3://a/b" : "s3://a/f", (uint32_t) i % 7 + 1, "many");
	ledger = open_again(&place, ledger);
	check_note(ledger, "s3://a/b", "many 4");
	check_note(ledger, "s3://a/f", "many 3");
	close_ledger_place(&place);
	ledger_close(ledger);
}

/* Lines that do not count are thrown out, unless somebody else has the ledger open. */
UNIT_TEST(ledger_compacts)
{
	struct ledger_place place;
	struct ledger *ledger;
	struct ledger *other = NULL;
	struct store_object object;
	int i;

	open_ledger_place(&place);
	ledger = open_again(&place, NULL);
	for (i = 0; i < 40; i++)
		append(ledger, i % 3 ? "s3://a/b" : "s3://a/c", 1000, "much");
	append(ledger, "s3://a/d", 1, "little");
	CHECK(ledger_open(place.store, "a/.dicompress/", &other, NULL) == DICOM_OK);
	CHECK(store_head(place.store, "a/.dicompress/notes.jsonl", &object, NULL) == DICOM_OK);
	CHECK(object.size > 4000000);
	ledger_close(other);
	ledger = open_again(&place, ledger);
	CHECK(store_head(place.store, "a/.dicompress/notes.jsonl", &object, NULL) == DICOM_OK);
	CHECK(object.size < 1000000);
	check_note(ledger, "s3://a/b", "much 1000");
	check_note(ledger, "s3://a/c", "much 1000");
	check_note(ledger, "s3://a/d", "little 1");
	append(ledger, "s3://a/e", 1, "new");
	ledger = open_again(&place, ledger);
	check_note(ledger, "s3://a/b", "much 1000");
	check_note(ledger, "s3://a/e", "new 1");
	ledger_close(ledger);
	close_ledger_place(&place);
}
