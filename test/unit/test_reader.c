/*
 * test_reader.c
 *	  Headers come in order, of one version of each object, with few requests and bounded memory, whatever the store does.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "dicom/buffer.h"
#include "reader/guess.h"
#include "reader/reader.h"
#include "store/store_internal.h"

/* --- a remote store in memory, whose reads end in an odd order, and go wrong as told --- */

#define MAX_OBJECTS 300

struct fake_object
{
	char key[16];
	struct dicom_buffer bytes;
	int version;
	int rewrites;      /* how many more answers are followed by a rewrite */
	bool is_gone;      /* deleted after it was listed */
	bool hides_size;   /* the answer does not tell it */
	int failing_range; /* this range of it fails, from 1 on; 0: none */
	int ranges;
};

struct fake_store
{
	struct store store;
	struct fake_object objects[MAX_OBJECTS];
	int count;
	int next;       /* of the source */
	int fail_after; /* the source fails there; 0: it does not */
	bool interrupt;
	int in_flight;
	int most_in_flight;
	int requests;
	uint64_t bytes;
	unsigned seed;
};

struct fake_read
{
	struct store_read read;
	struct fake_store *fake;
	struct fake_object *object;
	struct store_read_request request;
	char if_match[32];
	char etag[32];
	size_t length;
	enum dicom_status status;
	enum dicom_error_code code;
};

static void
complete_read(struct fake_read *read)
{
	struct fake_object *object = read->object;
	uint64_t size = object->bytes.length;
	uint64_t left = read->request.offset < size ? size - read->request.offset : 0;

	read->fake->in_flight--;
	read->status = DICOM_FAILED;
	snprintf(read->etag, sizeof(read->etag), "v%d", object->version);
	object->ranges++;
	if (object->is_gone)
		read->code = DICOM_ERROR_NOT_FOUND;
	else if (object->failing_range == object->ranges)
		read->code = DICOM_ERROR_NETWORK;
	else if (read->if_match[0] && strcmp(read->if_match, read->etag) != 0)
		read->code = DICOM_ERROR_CHANGED;
	else
	{
		read->length = read->request.length < left ? read->request.length : (size_t) left;
		memcpy(read->request.buffer, object->bytes.data + read->request.offset, read->length);
		read->fake->bytes += read->length;
		read->status = DICOM_OK;
	}
	if (object->rewrites > 0)
	{
		object->rewrites--;
		object->version++;
	}
}

static enum dicom_status
fake_wait(struct store *store, int timeout_ms, struct dicom_error *error)
{
	struct fake_store *fake = (struct fake_store *) store;
	struct store_link *link;
	bool any = false;

	if (fake->interrupt)
		return dicom_fail(error, DICOM_ERROR_INTERRUPTED, "interrupted");
	while (!any && store->reads && fake->in_flight > 0)
		for (link = store->reads; link; link = link->next)
		{
			struct fake_read *read = (struct fake_read *) link;

			if (read->status == DICOM_PENDING && rand_r(&fake->seed) % 4 == 0)
			{
				complete_read(read);
				any = true;
			}
		}
	return DICOM_OK;
}

static struct fake_object *
find_object(struct fake_store *fake, const char *key)
{
	int i;

	for (i = 0; i < fake->count; i++)
		if (strcmp(fake->objects[i].key, key) == 0)
			return &fake->objects[i];
	return NULL;
}

static enum dicom_status
fake_read_open(struct store *store, const struct store_read_request *request, struct store_read **result,
			   struct dicom_error *error)
{
	struct fake_store *fake = (struct fake_store *) store;
	struct fake_read *read = calloc(1, sizeof(*read));

	read->fake = fake;
	read->object = find_object(fake, request->key);
	read->request = *request;
	snprintf(read->if_match, sizeof(read->if_match), "%s", request->if_match ? request->if_match : "");
	read->status = DICOM_PENDING;
	fake->requests++;
	if (++fake->in_flight > fake->most_in_flight)
		fake->most_in_flight = fake->in_flight;
	*result = &read->read;
	return DICOM_OK;
}

static enum dicom_status
fake_read_result(struct store_read *result, size_t *length, struct store_object *object,
				 struct dicom_error *error)
{
	struct fake_read *read = (struct fake_read *) result;

	if (read->status == DICOM_FAILED)
		return dicom_fail(error, read->code, "told to fail");
	*length = read->length;
	object->key = read->object->key;
	object->etag = read->etag;
	object->size = read->object->hides_size ? STORE_SIZE_UNKNOWN : read->object->bytes.length;
	object->last_modified = 1;
	object->storage_class = NULL;
	return read->status;
}

static void
fake_read_close(struct store_read *result)
{
	struct fake_read *read = (struct fake_read *) result;

	if (read->status == DICOM_PENDING)
		read->fake->in_flight--;
	free(read);
}

static void
fake_close(struct store *store)
{
	struct fake_store *fake = (struct fake_store *) store;
	int i;

	for (i = 0; i < fake->count; i++)
		dicom_buffer_free(&fake->objects[i].bytes);
	free(fake);
}

static const struct store_kind fake_kind = {.scheme = "fake",
											.remote = true,
											.close = fake_close,
											.wait = fake_wait,
											.read_open = fake_read_open,
											.read_result = fake_read_result,
											.read_close = fake_read_close};

static struct fake_store *
open_fake(void)
{
	struct fake_store *fake = calloc(1, sizeof(*fake));

	fake->store.kind = &fake_kind;
	fake->store.location = strdup("fake://bucket/");
	fake->seed = 1;
	return fake;
}

static enum dicom_status
next_object(void *arg, struct store_object *object, struct dicom_error *error)
{
	struct fake_store *fake = arg;
	const struct fake_object *found = &fake->objects[fake->next];

	if (fake->fail_after && fake->next == fake->fail_after)
		return dicom_fail(error, DICOM_ERROR_ACCESS_DENIED, "no more keys");
	if (fake->next == fake->count)
		return DICOM_END;
	fake->next++;
	object->key = found->key;
	object->etag = "listed";
	object->size = found->hides_size ? STORE_SIZE_UNKNOWN : found->bytes.length;
	object->storage_class = "STANDARD";
	return DICOM_OK;
}

/* --- objects --- */

static void
append_number(struct dicom_buffer *bytes, uint32_t number, int size)
{
	for (; size > 0; size--, number >>= 8)
		dicom_buffer_append_char(bytes, (char) number);
}

/* The header of an element in explicit VR little endian with a 32-bit length. */
static void
append_long(struct dicom_buffer *bytes, uint16_t group, uint16_t element, const char *vr, uint32_t length)
{
	append_number(bytes, group, 2);
	append_number(bytes, element, 2);
	dicom_buffer_append(bytes, vr, 2);
	append_number(bytes, 0, 2);
	append_number(bytes, length, 4);
}

static void
append_text(struct dicom_buffer *bytes, uint16_t group, uint16_t element, const char *vr, const char *text)
{
	append_number(bytes, group, 2);
	append_number(bytes, element, 2);
	dicom_buffer_append(bytes, vr, 2);
	append_number(bytes, (uint32_t) strlen(text), 2);
	dicom_buffer_append_string(bytes, text);
}

static void
append_zeros(struct dicom_buffer *bytes, size_t length)
{
	char *room = dicom_buffer_reserve(bytes, length);

	memset(room, 0, length);
	bytes->length += length;
}

/*
 * An object whose patient ID is its number, behind a filler of so many bytes before it and with pixel data of so many behind it.
 */
static struct fake_object *
add_object(struct fake_store *fake, size_t filler, size_t pixels)
{
	struct fake_object *object = &fake->objects[fake->count];
	struct dicom_buffer *bytes = &object->bytes;
	char patient[16];

	snprintf(object->key, sizeof(object->key), "key%04d", fake->count);
	snprintf(patient, sizeof(patient), "P%05d", fake->count);
	append_zeros(bytes, 128);
	dicom_buffer_append_string(bytes, "DICM");
	append_text(bytes, 2, 0x10, "UI", "1.2.840.10008.1.2.1");
	bytes->data[bytes->length++] = '\0'; /* to an even length */
	bytes->data[128 + 4 + 6]++;
	append_text(bytes, 8, 0x60, "CS", "CT");
	append_long(bytes, 9, 0x1001, "UN", (uint32_t) filler);
	append_zeros(bytes, filler);
	append_text(bytes, 0x10, 0x20, "LO", patient);
	append_long(bytes, 0x7FE0, 0x10, "OW", (uint32_t) pixels);
	append_zeros(bytes, pixels);
	fake->count++;
	return object;
}

static const uint32_t wanted_tags[] = {0x00080060, 0x00100020};
static const struct dicom_selection selection = {
	.tags = wanted_tags, .tag_count = 2, .max_value = UINT32_MAX, .whole_header = true};

static const char *
name_of(enum dicom_error_code code)
{
	switch (code)
	{
		case DICOM_ERROR_NOT_DICOM:
			return "not DICOM";
		case DICOM_ERROR_MALFORMED:
			return "malformed";
		case DICOM_ERROR_NOT_FOUND:
			return "gone";
		case DICOM_ERROR_CHANGED:
			return "changed";
		case DICOM_ERROR_ACCESS_DENIED:
			return "denied";
		case DICOM_ERROR_NETWORK:
			return "network";
		case DICOM_ERROR_INTERRUPTED:
			return "interrupted";
		default:
			return "other";
	}
}

/* Everything that a reader hands out: "number ", or "number:failure ". */
static void
read_all(struct fake_store *fake, const struct reader_options *options, struct dicom_buffer *seen,
		 struct dicom_error *error)
{
	struct reader_source source = {next_object, fake};
	struct reader_item *item;
	struct reader *reader;
	enum dicom_status status;

	dicom_buffer_append_string(seen, "");
	CHECK(reader_open(&fake->store, &source, options, &reader, error) == DICOM_OK);
	while ((status = reader_next(reader, true, &item, error)) == DICOM_OK)
	{
		const struct dicom_element *element =
			item->dataset ? dicom_dataset_find(item->dataset, 0x00100020) : NULL;
		uint32_t length = 0;
		const uint8_t *value = element ? dicom_dataset_value(item->dataset, element, &length) : NULL;

		if (value)
			dicom_buffer_printf(seen, "%.*s", (int) length, (const char *) value);
		else
			dicom_buffer_append_string(seen, item->object.key);
		if (item->status != DICOM_OK)
			dicom_buffer_printf(seen, ":%s", name_of(item->error.code));
		dicom_buffer_append_char(seen, ' ');
		CHECK((item->status == DICOM_OK) == (item->error.code == DICOM_ERROR_NONE));
		if (item->status == DICOM_FAILED)
			CHECK(strstr(item->error.object, item->object.key) != NULL);
	}
	if (status == DICOM_FAILED)
		dicom_buffer_printf(seen, "failed: %s", name_of(error->code));
	reader_close(reader);
	CHECK(fake->in_flight == 0);
}

static void
check_reading(struct fake_store *fake, const struct reader_options *more, const char *want)
{
	struct reader_options options = more ? *more : (struct reader_options){0};
	struct dicom_buffer seen = {0};
	struct dicom_error error;

	if (options.selection == NULL)
		options.selection = &selection;
	read_all(fake, &options, &seen, &error);
	CHECK_TEXT(seen.data, seen.length, want);
	dicom_buffer_free(&seen);
}

static enum dicom_status
next_of_listing(void *arg, struct store_object *object, struct dicom_error *error)
{
	return store_list_next(arg, object, error);
}

static void
check_order(struct fake_store *fake, const struct reader_options *options)
{
	struct dicom_buffer want = {0};
	int i;

	for (i = 0; i < fake->count; i++)
		dicom_buffer_printf(&want, "P%05d ", i);
	check_reading(fake, options, want.data);
	dicom_buffer_free(&want);
}

UNIT_TEST(reader_order)
{
	struct fake_store *fake = open_fake();
	int i;

	for (i = 0; i < MAX_OBJECTS; i++)
		add_object(fake, 100 + (size_t) i * 10, 300 * 1024);
	check_order(fake, NULL);
	CHECK(fake->requests == MAX_OBJECTS);
	CHECK(fake->most_in_flight > 32 && fake->most_in_flight <= 64);
	store_close(&fake->store);
}

/* Each range that the header needs is asked for once, and all of them of one version. */
UNIT_TEST(reader_more_ranges)
{
	struct fake_store *fake = open_fake();
	struct reader_options small = {.first_read = 200, .window = 3};
	int i;

	for (i = 0; i < 20; i++)
		add_object(fake, (size_t) i * 20000, 300 * 1024);
	check_order(fake, &small);
	CHECK(fake->most_in_flight == 3);
	store_close(&fake->store);
}

/* A header of megabytes takes a handful of requests, not one for each 64 KiB. */
UNIT_TEST(reader_long_header)
{
	struct fake_store *fake = open_fake();

	add_object(fake, 6 * 1024 * 1024, 0);
	check_order(fake, NULL);
	CHECK(fake->requests <= 8);
	store_close(&fake->store);
}

UNIT_TEST(reader_learns)
{
	struct fake_store *fake = open_fake();
	int i;

	for (i = 0; i < MAX_OBJECTS; i++)
		add_object(fake, 200 * 1024, 1024 * 1024);
	check_order(fake, NULL);
	CHECK(fake->requests < MAX_OBJECTS + 100);
	store_close(&fake->store);
}

/* Of large objects, headers alone are read. */
UNIT_TEST(reader_reads_little)
{
	struct fake_store *fake = open_fake();
	uint64_t size = 0;
	int i;

	for (i = 0; i < 30; i++)
		size += add_object(fake, 5000, 9 * 1024 * 1024)->bytes.length;
	check_order(fake, NULL);
	CHECK(fake->requests == 30);
	CHECK(fake->bytes * 50 < size);
	store_close(&fake->store);
}

UNIT_TEST(reader_rewritten)
{
	struct fake_store *fake = open_fake();
	struct reader_options small = {.first_read = 200};
	int i;

	for (i = 0; i < 4; i++)
		add_object(fake, 100000, 300 * 1024);
	fake->objects[1].rewrites = 2;
	fake->objects[2].rewrites = 1000;
	check_reading(fake, &small, "P00000 P00001 key0002:changed P00003 ");
	store_close(&fake->store);
}

UNIT_TEST(reader_failures)
{
	struct fake_store *fake = open_fake();
	struct reader_options small = {.first_read = 200};
	int i;

	for (i = 0; i < 6; i++)
		add_object(fake, 100000, 300 * 1024);
	fake->objects[0].is_gone = true;
	fake->objects[2].failing_range = 2;
	fake->objects[3].bytes.length = 50000;
	fake->objects[4].bytes.length = 0;
	check_reading(fake, &small,
				  "key0000:gone P00001 key0002:network key0003:malformed key0004:not DICOM P00005 ");
	store_close(&fake->store);
}

/* What came before the source failed is delivered first. */
UNIT_TEST(reader_source_fails)
{
	struct fake_store *fake = open_fake();
	int i;

	for (i = 0; i < 5; i++)
		add_object(fake, 100, 1000);
	fake->fail_after = 3;
	check_reading(fake, NULL, "P00000 P00001 P00002 failed: denied");
	store_close(&fake->store);
}

UNIT_TEST(reader_interrupt)
{
	struct fake_store *fake = open_fake();

	add_object(fake, 100, 1000);
	fake->interrupt = true;
	check_reading(fake, NULL, "failed: interrupted");
	store_close(&fake->store);
}

UNIT_TEST(reader_unknown_size)
{
	struct fake_store *fake = open_fake();
	struct reader_options small = {.first_read = 1000};
	int i;

	for (i = 0; i < 4; i++)
		add_object(fake, (size_t) i * 100000, 1000)->hides_size = true;
	check_order(fake, &small);
	store_close(&fake->store);
}

/* The ring narrows to what memory allows, and never below one object. */
UNIT_TEST(reader_memory_limit)
{
	struct fake_store *fake = open_fake();
	struct reader_options tight = {.memory_limit = 600 * 1024, .first_read = 100 * 1024};
	struct reader_options tiny = {.memory_limit = 1};
	int i;

	for (i = 0; i < 60; i++)
		add_object(fake, i % 5 ? 1000 : 900 * 1024, 300 * 1024);
	check_order(fake, &tight);
	CHECK(fake->most_in_flight <= 6);
	fake->next = 0;
	fake->most_in_flight = 0;
	check_order(fake, &tiny);
	CHECK(fake->most_in_flight == 1);
	store_close(&fake->store);
}

UNIT_TEST(reader_without_selection)
{
	struct fake_store *fake = open_fake();
	struct reader_source source = {next_object, fake};
	struct reader_options options = {0};
	struct reader_item *item;
	struct reader *reader;
	struct dicom_error error;

	add_object(fake, 100, 1000);
	CHECK(reader_open(&fake->store, &source, &options, &reader, &error) == DICOM_OK);
	CHECK(reader_next(reader, true, &item, &error) == DICOM_OK);
	CHECK(!item->opened && item->dataset == NULL && item->status == DICOM_OK);
	CHECK_STRING(item->object.key, "key0000");
	CHECK_STRING(item->object.etag, "listed");
	CHECK(reader_next(reader, true, &item, &error) == DICOM_END);
	CHECK(reader_next(reader, true, &item, &error) == DICOM_END);
	CHECK(fake->requests == 0);
	reader_close(reader);
	store_close(&fake->store);
}

UNIT_TEST(reader_without_waiting)
{
	struct fake_store *fake = open_fake();
	struct reader_source source = {next_object, fake};
	struct reader_options options = {.selection = &selection};
	struct reader_item *item;
	struct reader *reader;
	struct dicom_error error;
	enum dicom_status status = DICOM_OK;
	int items = 0;
	int i;

	for (i = 0; i < 30; i++)
		add_object(fake, 100, 1000);
	CHECK(reader_open(&fake->store, &source, &options, &reader, &error) == DICOM_OK);
	while (status != DICOM_END)
	{
		status = reader_next(reader, false, &item, &error);
		CHECK(status != DICOM_FAILED);
		items += status == DICOM_OK;
	}
	CHECK(items == 30);
	reader_close(reader);
	store_close(&fake->store);
}

/* A reader that is closed early leaves nothing behind. */
UNIT_TEST(reader_closed_early)
{
	struct fake_store *fake = open_fake();
	struct reader_source source = {next_object, fake};
	struct reader_options options = {.selection = &selection};
	struct reader_item *item;
	struct reader *reader;
	struct dicom_error error;
	int i;

	for (i = 0; i < 100; i++)
		add_object(fake, 100, 1000);
	CHECK(reader_open(&fake->store, &source, &options, &reader, &error) == DICOM_OK);
	CHECK(reader_next(reader, true, &item, &error) == DICOM_OK);
	CHECK(fake->requests <= 17);
	reader_close(reader);
	CHECK(fake->in_flight == 0);
	reader_close(NULL);
	store_close(&fake->store);
}

UNIT_TEST(reader_guess)
{
	struct guess guess;
	int i;

	guess_initialize(&guess, true, 0);
	CHECK(guess_first(&guess, 200 * 1024) == 200 * 1024);
	CHECK(guess_first(&guess, 1024 * 1024) == 128 * 1024);
	CHECK(guess_first(&guess, 150 * 1024) == 150 * 1024);
	CHECK(guess_first(&guess, 0) == 1);
	for (i = 0; i < 1000; i++)
		guess_learn(&guess, 300000);
	CHECK(guess_first(&guess, 1024 * 1024) >= 300000 && guess_first(&guess, 1024 * 1024) < 340000);
	CHECK(guess_first(&guess, 8 * 1024 * 1024) == 128 * 1024);
	for (i = 0; i < 2000; i++)
		guess_learn(&guess, 3000);
	CHECK(guess_first(&guess, 1024 * 1024) == 64 * 1024);
	for (i = 0; i < 2000; i++)
		guess_learn(&guess, UINT64_MAX / 2);
	CHECK(guess_first(&guess, 1 << 22) <= 1024 * 1024);
	guess_initialize(&guess, false, 777);
	CHECK(guess_first(&guess, 1024 * 1024) == 777);
}

/* The same over a directory. */
UNIT_TEST(reader_directory)
{
	struct fake_store *fake = open_fake();
	struct store_put_request request = {0};
	struct store_options options = {0};
	struct store_list_request wanted = {.prefix = "d/"};
	struct reader_options reading = {.selection = &selection};
	char location[64] = "file:///tmp/test_reader.XXXXXX";
	struct reader_source source = {NULL};
	struct reader_item *item;
	struct reader *reader;
	struct store *store;
	struct store_list *list;
	struct dicom_error error;
	int i;

	CHECK(mkdtemp(location + 7) != NULL);
	options.location = location;
	CHECK(store_open(&options, NULL, &store, &error) == DICOM_OK);
	for (i = 0; i < 20; i++)
	{
		struct fake_object *object = add_object(fake, i == 7 ? 100000 : 100, 50000);
		char key[32];

		snprintf(key, sizeof(key), "d/%s", object->key);
		request.key = key;
		CHECK(store_put(store, &request, object->bytes.data, object->bytes.length, NULL, &error) == DICOM_OK);
	}
	CHECK(store_list_open(store, &wanted, &list, &error) == DICOM_OK);
	source.next = next_of_listing;
	source.arg = list;
	CHECK(reader_open(store, &source, &reading, &reader, &error) == DICOM_OK);
	for (i = 0; i < 20; i++)
	{
		CHECK(reader_next(reader, true, &item, &error) == DICOM_OK);
		CHECK(item->status == DICOM_OK && item->opened);
		CHECK(item->object.size == fake->objects[i].bytes.length);
		CHECK_STRING(item->object.key + 2, fake->objects[i].key);
	}
	CHECK(reader_next(reader, true, &item, &error) == DICOM_END);
	reader_close(reader);
	store_list_close(list);
	store_close(store);
	store_close(&fake->store);
	{
		char command[128];

		snprintf(command, sizeof(command), "rm -rf %s", location + 7);
		CHECK(system(command) == 0);
	}
}
