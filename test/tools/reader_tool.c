/*
 * reader_tool.c
 *	  Reads the headers of all objects of a store, for the integration tests and for measurements.
 *
 *	  reader_tool [-o option=value]...
 *
 * Prints a line for each object: key, SOP instance UID and number of elements, or the error: code, message, object. Ends with a line of
 * totals on standard error. Options: location, endpoint, region, access_key_id, secret_access_key, prefix, window, first_read,
 * memory_limit, request_timeout_ms, max_retries; everything=1 reads all elements, list=1 opens nothing, quiet=1 prints totals only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reader/reader.h"

#define SOP_INSTANCE_UID 0x00080018

static const uint32_t usual_tags[] = {0x00080016, SOP_INSTANCE_UID, 0x00080020, 0x00080060, 0x00100010,
									  0x00100020, 0x0020000D,       0x0020000E, 0x00280010};

struct task
{
	struct store_options store;
	struct store_list_request list;
	struct reader_options reader;
	struct dicom_selection selection;
	bool list_only;
	bool quiet;
};

struct totals
{
	uint64_t objects;
	uint64_t failed;
	uint64_t bytes; /* sizes of the objects */
};

static void
set_option(struct task *task, const char *name, const char *value)
{
	if (strcmp(name, "location") == 0)
		task->store.location = value;
	else if (strcmp(name, "endpoint") == 0)
		task->store.endpoint = value;
	else if (strcmp(name, "region") == 0)
		task->store.region = value;
	else if (strcmp(name, "access_key_id") == 0)
		task->store.access_key_id = value;
	else if (strcmp(name, "secret_access_key") == 0)
		task->store.secret_access_key = value;
	else if (strcmp(name, "request_timeout_ms") == 0)
		task->store.request_timeout_ms = atoi(value);
	else if (strcmp(name, "max_retries") == 0)
		task->store.max_retries = atoi(value);
	else if (strcmp(name, "prefix") == 0)
		task->list.prefix = value;
	else if (strcmp(name, "window") == 0)
		task->reader.window = atoi(value);
	else if (strcmp(name, "first_read") == 0)
		task->reader.first_read = strtoul(value, NULL, 10);
	else if (strcmp(name, "memory_limit") == 0)
		task->reader.memory_limit = strtoul(value, NULL, 10);
	else if (strcmp(name, "everything") == 0)
		task->selection.everything = true;
	else if (strcmp(name, "list") == 0)
		task->list_only = true;
	else if (strcmp(name, "quiet") == 0)
		task->quiet = true;
	else
	{
		fprintf(stderr, "no such option: %s\n", name);
		exit(2);
	}
}

static void
parse_options(struct task *task, int argc, char **argv)
{
	int i;

	for (i = 1; i + 1 < argc && strcmp(argv[i], "-o") == 0; i += 2)
	{
		char *value = strchr(argv[i + 1], '=');

		if (value)
			*value++ = '\0';
		set_option(task, argv[i + 1], value ? value : "");
	}
}

static void
print_item(const struct reader_item *item)
{
	const struct dicom_element *element =
		item->dataset ? dicom_dataset_find(item->dataset, SOP_INSTANCE_UID) : NULL;
	uint32_t length = 0;
	const uint8_t *value = element ? dicom_dataset_value(item->dataset, element, &length) : NULL;

	if (item->status != DICOM_OK)
		printf("%s\terror %d\t%s\t%s\n", item->object.key, item->error.code, item->error.message,
			   item->error.object);
	else
		printf("%s\t%.*s\t%u\n", item->object.key, value ? (int) strnlen((const char *) value, length) : 0,
			   value ? (const char *) value : "", item->dataset ? item->dataset->count : 0);
}

static enum dicom_status
next_listed(void *arg, struct store_object *object, struct dicom_error *error)
{
	return store_list_next(arg, object, error);
}

static enum dicom_status
read_objects(struct store *store, const struct task *task, struct totals *totals, struct dicom_error *error)
{
	struct reader_source source = {next_listed, NULL};
	struct store_list *list;
	struct reader *reader;
	struct reader_item *item;
	enum dicom_status status;

	if (store_list_open(store, &task->list, &list, error) != DICOM_OK)
		return DICOM_FAILED;
	source.arg = list;
	status = reader_open(store, &source, &task->reader, &reader, error);
	if (status == DICOM_OK)
	{
		while ((status = reader_next(reader, true, &item, error)) == DICOM_OK)
		{
			totals->objects++;
			totals->failed += item->status != DICOM_OK;
			totals->bytes += item->object.size;
			if (!task->quiet)
				print_item(item);
		}
		reader_close(reader);
	}
	store_list_close(list);
	return status;
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	struct task task = {.store.max_retries = -1, .selection = {.tags = usual_tags, .tag_count = 9}};
	struct totals totals = {0};
	struct dicom_error error = {0};
	struct store *store;
	double start = now();
	enum dicom_status status;

	parse_options(&task, argc, argv);
	if (!task.list_only)
		task.reader.selection = &task.selection;
	if (store_open(&task.store, NULL, &store, &error) != DICOM_OK)
	{
		fprintf(stderr, "%d | %s | %s\n", error.code, error.message, error.object);
		return 1;
	}
	status = read_objects(store, &task, &totals, &error);
	if (status == DICOM_FAILED)
		fprintf(stderr, "%d | %s | %s\n", error.code, error.message, error.object);
	fprintf(stderr,
			"objects=%" PRIu64 " failed=%" PRIu64 " bytes=%" PRIu64 " get=%" PRIu64 " received=%" PRIu64
			" retries=%" PRIu64 " seconds=%.4f\n",
			totals.objects, totals.failed, totals.bytes, store_statistics(store)->get_requests,
			store_statistics(store)->bytes_received, store_statistics(store)->retries, now() - start);
	store_close(store);
	return status == DICOM_FAILED;
}
