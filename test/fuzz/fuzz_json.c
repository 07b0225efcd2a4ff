/*
 * fuzz_json.c
 *	  Whatever the bytes of a file, its JSON is valid UTF-8 and valid JSON, without NULs and without a key twice; and the
 *	  text of every element is valid UTF-8.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/json.h"
#include "utf8_check.h"

static void
require(int holds)
{
	if (!holds)
		abort();
}

static void
check_json(const struct dicom_buffer *json)
{
	json_error_t error;
	json_t *root;

	require(!json->failed && utf8_is_valid(json->data, json->length));
	/* jansson refuses \u0000 unless told otherwise; it has no integers as large as JSON allows */
	root = json_loadb(json->data, json->length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
	if (!root)
		fprintf(stderr, "%s at %d: %.*s\n", error.text, error.position, (int) json->length, json->data);
	require(root != NULL);
	json_decref(root);
}

static void
check_texts(struct dicom_values *values, const struct dicom_dataset *dataset)
{
	struct dicom_buffer text = {0};
	uint32_t i;

	for (i = 0; i < dataset->count; i++)
	{
		struct dicom_value_cursor cursor = {0};
		struct dicom_value value;

		dicom_buffer_reset(&text);
		if (dicom_value_text(values, dataset, &dataset->elements[i], &text))
			require(utf8_is_valid(text.data, text.length));
		else
			require(text.length == 0);
		while (dicom_value_next(values, dataset, &dataset->elements[i], &cursor, &value))
			require(value.kind != DICOM_VALUE_TEXT || utf8_is_valid(value.text, value.length));
		if (cursor.index > 0)
			require(cursor.index == dicom_value_count(dataset, &dataset->elements[i]));
	}
	dicom_buffer_free(&text);
}

/* Reads the data set, answering what it asks for with all there is; false where it does not even open. */
static bool
read_everything(struct dicom_dataset *dataset, const struct dicom_window *window)
{
	static const struct dicom_selection everything = {.everything = true};
	struct dicom_error error;

	if (dicom_dataset_open(dataset, window, &everything, &error) != DICOM_OK)
		return false;
	dicom_dataset_read(dataset, &error); /* a broken file gives what it has */
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dicom_json_options options = {"file:///x", 16, size % 2 == 0};
	struct dicom_values values = {0};
	struct dicom_buffer json = {0};
	struct dicom_window window;
	struct dicom_dataset dataset = {0};
	uint8_t *room;

	dicom_window_init(&window, size);
	room = size > 0 ? dicom_window_reserve(&window, 0, size) : NULL;
	if (room)
	{
		memcpy(room, data, size);
		dicom_window_commit(&window, 0, size);
	}
	if (read_everything(&dataset, &window))
	{
		require(dicom_json_dataset(&values, &dataset, &options, &json));
		check_json(&json);
		check_texts(&values, &dataset);
		dicom_dataset_close(&dataset, false);
	}
	dicom_values_close(&values);
	dicom_buffer_free(&json);
	dicom_window_free(&window);
	return 0;
}
