/*
 * test_file_store.c
 *	  A directory behaves like a bucket: order, prefixes, conditional reads and writes; and nothing leads out of it.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/file.h"
#include "store/store.h"

/* A directory of its own, and a store over the part of it named 'in'. */
struct place
{
	char root[64];
	char location[96];
	struct store *store;
};

static void
run(const char *format, const char *argument)
{
	char command[512];

	snprintf(command, sizeof(command), format, argument);
	CHECK(system(command) == 0);
}

static void
open_place(struct place *place)
{
	struct store_options options = {0};
	struct dicom_error error;

	strcpy(place->root, "/tmp/test_file_store.XXXXXX");
	CHECK(mkdtemp(place->root) != NULL);
	run("mkdir %s/in", place->root);
	snprintf(place->location, sizeof(place->location), "file://%s/in", place->root);
	options.location = place->location;
	CHECK(store_open(&options, NULL, &place->store, &error) == DICOM_OK);
}

static void
close_place(struct place *place)
{
	store_close(place->store);
	run("chmod -R u+rwx %s", place->root);
	run("rm -rf %s", place->root);
}

static const char *
path_of(const struct place *place, const char *name)
{
	static char path[5000];

	snprintf(path, sizeof(path), "%s/in/%s", place->root, name);
	return path;
}

static void
put(const struct place *place, const char *key, const char *content)
{
	struct store_put_request request = {.key = key};
	struct dicom_error error = {0};

	CHECK(store_put(place->store, &request, content, strlen(content), NULL, &error) == DICOM_OK);
	if (error.code)
		printf("# %s: %s\n", key, error.message);
}

/* The keys of a listing, each followed by a blank; then whether it was refused, or failed otherwise. */
static void
list_keys(const struct place *place, const struct store_list_request *request, struct dicom_buffer *keys)
{
	struct store_object object;
	struct store_list *list;
	struct dicom_error error;
	enum dicom_status status;

	dicom_buffer_append_string(keys, "");
	CHECK(store_list_open(place->store, request, &list, &error) == DICOM_OK);
	while ((status = store_list_next(list, &object, &error)) == DICOM_OK)
		dicom_buffer_printf(keys, "%s ", object.key);
	if (status == DICOM_FAILED)
		dicom_buffer_append_string(keys, error.code == DICOM_ERROR_ACCESS_DENIED ? "refused" : "failed");
	store_list_close(list);
}

static void
check_listing(const struct place *place, const char *prefix, const char *start_after, const char *end_before,
			  const char *want)
{
	struct store_list_request request = {
		.prefix = prefix, .start_after = start_after, .end_before = end_before};
	struct dicom_buffer keys = {0};

	list_keys(place, &request, &keys);
	CHECK_TEXT(keys.data, keys.length, want);
	dicom_buffer_free(&keys);
}

static enum dicom_error_code
read_code(const struct place *place, const char *key, const char *if_match)
{
	char buffer[64];
	struct store_read_request request = {
		.key = key, .length = sizeof(buffer), .if_match = if_match, .buffer = buffer};
	struct dicom_error error = {0};
	size_t length;

	if (store_read(place->store, &request, &length, NULL, &error) == DICOM_OK)
		return DICOM_ERROR_NONE;
	CHECK(strstr(error.object, place->location) != NULL);
	return error.code;
}

static void
check_content(const struct place *place, const char *key, uint64_t offset, size_t length, const char *want)
{
	char buffer[64];
	struct store_read_request request = {.key = key, .offset = offset, .length = length, .buffer = buffer};
	struct store_object object;
	struct dicom_error error = {0};
	size_t got = 0;

	CHECK(store_read(place->store, &request, &got, &object, &error) == DICOM_OK);
	if (error.code)
		printf("# %s: %s\n", key, error.message);
	CHECK_TEXT(buffer, got, want);
	CHECK_STRING(object.key, key);
}

UNIT_TEST(file_store_order)
{
	struct place place;

	open_place(&place);
	put(&place, "a/b", "1");
	put(&place, "a/b.c/d", "1");
	put(&place, "a.b", "1");
	put(&place, "a0", "1");
	put(&place, "a/\xC3\xBC", "1");
	put(&place, "B", "1");
	put(&place, ".hidden", "1");
	run("mkdir -p %s/in/empty/deep", place.root);
	check_listing(&place, NULL, NULL, NULL, ".hidden B a.b a/b a/b.c/d a/\xC3\xBC a0 ");
	check_listing(&place, "a", NULL, NULL, "a.b a/b a/b.c/d a/\xC3\xBC a0 ");
	check_listing(&place, "a/", NULL, NULL, "a/b a/b.c/d a/\xC3\xBC ");
	check_listing(&place, "a/b", NULL, NULL, "a/b a/b.c/d ");
	check_listing(&place, "a/b.c/", NULL, NULL, "a/b.c/d ");
	check_listing(&place, "a/b.c/d", NULL, NULL, "a/b.c/d ");
	check_listing(&place, "a/b.c/d/", NULL, NULL, "");
	check_listing(&place, "a/b/", NULL, NULL, "");
	check_listing(&place, "x/y/z", NULL, NULL, "");
	check_listing(&place, "../", NULL, NULL, "");
	check_listing(&place, "/", NULL, NULL, "");
	check_listing(&place, "a//", NULL, NULL, "");
	check_listing(&place, "./a/", NULL, NULL, "");
	check_listing(&place, NULL, "a/b", NULL, "a/b.c/d a/\xC3\xBC a0 ");
	check_listing(&place, NULL, "a/", "a/c", "a/b a/b.c/d ");
	check_listing(&place, NULL, NULL, "a/", ".hidden B a.b ");
	check_listing(&place, "a/", "a0", NULL, "");
	close_place(&place);
}

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Random trees and bounds against a sort of all keys. */
UNIT_TEST(file_store_order_random)
{
	static const char letters[] = "ab/./0-~ab/";
	char *keys[300];
	struct place place;
	unsigned seed = 7;
	int count = 0;
	int round;
	int i;

	open_place(&place);
	for (i = 0; i < 300; i++)
	{
		char key[16] = "";
		char path[FILE_MAX_PATH];
		struct stat status;
		size_t length = 1 + (size_t) rand_r(&seed) % 8;
		size_t j;

		for (j = 0; j < length; j++)
			key[j] = letters[(size_t) rand_r(&seed) % (sizeof(letters) - 1)];
		if (file_key_to_path(key, path) && stat(path_of(&place, key), &status) < 0)
		{
			struct store_put_request request = {.key = key};

			if (store_put(place.store, &request, "x", 1, NULL, NULL) == DICOM_OK)
				keys[count++] = strdup(key);
		}
	}
	CHECK(count > 50);
	qsort(keys, (size_t) count, sizeof(keys[0]), compare_strings);
	for (round = 0; round < 400; round++)
	{
		char prefix[8] = "";
		struct store_list_request request = {.prefix = prefix};
		struct dicom_buffer got = {0};
		struct dicom_buffer want = {0};

		snprintf(prefix, 1 + (size_t) rand_r(&seed) % 5, "%s", keys[rand_r(&seed) % count]);
		request.start_after = rand_r(&seed) % 2 ? keys[rand_r(&seed) % count] : NULL;
		request.end_before = rand_r(&seed) % 2 ? keys[rand_r(&seed) % count] : NULL;
		dicom_buffer_append_string(&want, "");
		for (i = 0; i < count; i++)
			if (strncmp(keys[i], prefix, strlen(prefix)) == 0 &&
				(!request.start_after || strcmp(keys[i], request.start_after) > 0) &&
				(!request.end_before || strcmp(keys[i], request.end_before) < 0))
				dicom_buffer_printf(&want, "%s ", keys[i]);
		list_keys(&place, &request, &got);
		CHECK_TEXT(got.data, got.length, want.data);
		dicom_buffer_free(&got);
		dicom_buffer_free(&want);
	}
	for (i = 0; i < count; i++)
		free(keys[i]);
	close_place(&place);
}

UNIT_TEST(file_store_limit)
{
	struct store_list_request request = {.limit = 2};
	struct dicom_buffer keys = {0};
	struct place place;

	open_place(&place);
	put(&place, "d/1", "x");
	put(&place, "d/2", "x");
	put(&place, "d/3", "x");
	list_keys(&place, &request, &keys);
	CHECK_TEXT(keys.data, keys.length, "d/1 d/2 ");
	CHECK(store_statistics(place.store)->objects_listed == 2);
	dicom_buffer_free(&keys);
	close_place(&place);
}

/* Names that are not UTF-8 have keys that are, and that find them again. */
UNIT_TEST(file_store_odd_names)
{
	struct place place;
	int fd;

	open_place(&place);
	fd = open(path_of(&place, "x\xFFy\x80"), O_WRONLY | O_CREAT, 0600);
	CHECK(write(fd, "odd", 3) == 3);
	close(fd);
	fd = open(path_of(&place, "\xEE\xBE\x80"), O_WRONLY | O_CREAT, 0600);
	CHECK(write(fd, "odder", 5) == 5);
	close(fd);
	CHECK(mkdir(path_of(&place, "d\xC3"), 0700) == 0);
	fd = open(path_of(&place, "d\xC3/new\nline \"%41"), O_WRONLY | O_CREAT, 0600);
	CHECK(write(fd, "deep", 4) == 4);
	close(fd);
	check_listing(
		&place, NULL, NULL, NULL,
		"d\xEE\xBF\x83/new\nline \"%41 x\xEE\xBF\xBFy\xEE\xBE\x80 \xEE\xBF\xAE\xEE\xBE\xBE\xEE\xBE\x80 ");
	check_content(&place, "x\xEE\xBF\xBFy\xEE\xBE\x80", 0, 64, "odd");
	check_content(&place, "\xEE\xBF\xAE\xEE\xBE\xBE\xEE\xBE\x80", 0, 64, "odder");
	check_content(&place, "d\xEE\xBF\x83/new\nline \"%41", 0, 64, "deep");
	CHECK(read_code(&place, "x\xFFy\x80", NULL) == DICOM_ERROR_NOT_FOUND);
	/* the same bytes, escaped though they need not be, are no second key */
	put(&place, "\xC3\xBC", "u");
	CHECK(read_code(&place, "\xEE\xBF\x83\xEE\xBE\xBC", NULL) == DICOM_ERROR_NOT_FOUND);
	close_place(&place);
}

UNIT_TEST(file_store_bad_keys)
{
	static const char *const keys[] = {
		"",    "/a",  "a/", "a//b",  "..",    "../out/secret", "a/../../out/secret",
		"./a", "a/.", ".",  "a/./b", "x\xFF", "none/none",     ".dicom_fdw-0"};
	struct place place;
	struct dicom_error error;
	struct store_object object;
	char *long_key = calloc(1, 10000);
	size_t i;

	open_place(&place);
	run("mkdir %s/out", place.root);
	run("echo secret >%s/out/secret", place.root);
	put(&place, "a/b", "x");
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		struct store_put_request request = {.key = keys[i]};

		CHECK(read_code(&place, keys[i], NULL) == DICOM_ERROR_NOT_FOUND);
		CHECK(store_head(place.store, keys[i], &object, &error) == DICOM_FAILED);
		CHECK(error.code == DICOM_ERROR_NOT_FOUND);
		CHECK(store_delete(place.store, keys[i], &error) == DICOM_OK);
		if (strcmp(keys[i], "none/none") == 0)
			continue;
		CHECK(store_put(place.store, &request, "x", 1, NULL, &error) == DICOM_FAILED);
		CHECK(error.code == DICOM_ERROR_INVALID_OPTION);
	}
	memset(long_key, 'k', 9999);
	CHECK(read_code(&place, long_key, NULL) == DICOM_ERROR_NOT_FOUND);
	long_key[300] = '\0';
	CHECK(read_code(&place, long_key, NULL) == DICOM_ERROR_NOT_FOUND);
	run("test -f %s/out/secret", place.root);
	free(long_key);
	check_listing(&place, NULL, NULL, NULL, "a/b ");
	close_place(&place);
}

/* What links may do, with and without openat2. */
static void
check_links(bool no_openat2)
{
	struct place place;

	open_place(&place);
	((struct file_store *) place.store)->no_openat2 = no_openat2;
	run("mkdir -p %s/out", place.root);
	run("echo secret >%s/out/secret", place.root);
	put(&place, "d/e/f", "inside");
	run("cd %s/in && ln -s d/e/f good && ln -s ../d d/up && ln -s e d/alias && ln -s ../out/secret bad "
		"&& ln -s /etc/passwd absolute && ln -s ../out outdir && ln -s nowhere dangling && ln -s self self "
		"&& ln -s ../../out/secret d/bad2 && ln -s d/../../out/secret bad3 && ln -s ../in/d/e/f around",
		place.root);
	run("ln -s %1$s/in/d/e/f %1$s/in/full", place.root);
	check_listing(&place, NULL, NULL, NULL, "d/alias/f d/e/f full good ");
	check_listing(&place, "d/up/", NULL, NULL, "");
	check_listing(&place, "d/alias/", NULL, NULL, "d/alias/f ");
	check_content(&place, "good", 0, 64, "inside");
	check_content(&place, "full", 0, 64, "inside");
	check_content(&place, "d/alias/f", 0, 64, "inside");
	check_content(&place, "d/up/e/f", 0, 64, "inside");
	CHECK(read_code(&place, "bad", NULL) == DICOM_ERROR_ACCESS_DENIED);
	CHECK(read_code(&place, "bad3", NULL) == DICOM_ERROR_ACCESS_DENIED);
	CHECK(read_code(&place, "around", NULL) == DICOM_ERROR_ACCESS_DENIED);
	CHECK(read_code(&place, "d/bad2", NULL) == DICOM_ERROR_ACCESS_DENIED);
	CHECK(read_code(&place, "absolute", NULL) == DICOM_ERROR_ACCESS_DENIED);
	CHECK(read_code(&place, "outdir/secret", NULL) == DICOM_ERROR_ACCESS_DENIED);
	CHECK(read_code(&place, "dangling", NULL) == DICOM_ERROR_NOT_FOUND);
	CHECK(read_code(&place, "self", NULL) != DICOM_ERROR_NONE);
	CHECK(read_code(&place, "d/e/f/g", NULL) == DICOM_ERROR_NOT_FOUND);
	CHECK(read_code(&place, "d/e", NULL) == DICOM_ERROR_NOT_FOUND);
	{
		struct store_put_request request = {.key = "outdir/written"};
		struct dicom_error error;

		CHECK(store_put(place.store, &request, "x", 1, NULL, &error) == DICOM_FAILED);
		request.key = "outdir/new/written";
		CHECK(store_put(place.store, &request, "x", 1, NULL, &error) == DICOM_FAILED);
	}
	CHECK(store_delete(place.store, "outdir/secret", NULL) == DICOM_FAILED);
	run("test -f %s/out/secret", place.root);
	run("test $(ls %s/out | wc -l) = 1", place.root);
	close_place(&place);
}

UNIT_TEST(file_store_links)
{
	check_links(false);
}

UNIT_TEST(file_store_links_stepwise)
{
	check_links(true);
}

/* Pipes and devices are no objects, and nobody waits for them. */
UNIT_TEST(file_store_special_files)
{
	struct place place;

	open_place(&place);
	CHECK(mkfifo(path_of(&place, "pipe"), 0600) == 0);
	run("ln -s pipe %s/in/link", place.root);
	check_listing(&place, NULL, NULL, NULL, "");
	CHECK(read_code(&place, "pipe", NULL) == DICOM_ERROR_NOT_FOUND);
	CHECK(read_code(&place, "link", NULL) == DICOM_ERROR_NOT_FOUND);
	close_place(&place);
}

UNIT_TEST(file_store_unreadable)
{
	struct place place;

	open_place(&place);
	put(&place, "a", "x");
	put(&place, "d/b", "x");
	put(&place, "z", "x");
	if (geteuid() == 0)
		unit_skip("root reads everything");
	else
	{
		CHECK(chmod(path_of(&place, "d"), 0) == 0);
		check_listing(&place, NULL, NULL, NULL, "a refused");
		CHECK(read_code(&place, "d/b", NULL) == DICOM_ERROR_ACCESS_DENIED);
	}
	close_place(&place);
}

UNIT_TEST(file_store_ranges)
{
	struct place place;

	open_place(&place);
	put(&place, "k", "0123456789");
	put(&place, "empty", "");
	check_content(&place, "k", 0, 4, "0123");
	check_content(&place, "k", 8, 64, "89");
	check_content(&place, "k", 10, 64, "");
	check_content(&place, "k", UINT64_MAX, 64, "");
	check_content(&place, "empty", 0, 64, "");
	CHECK(store_statistics(place.store)->get_requests == 5);
	CHECK(store_statistics(place.store)->bytes_received == 6);
	close_place(&place);
}

/* A range of a version that is no more is refused, also where the file is still open from the range before. */
UNIT_TEST(file_store_if_match)
{
	struct store_object object;
	struct dicom_error error;
	struct place place;
	char etag[128];
	int fd;

	open_place(&place);
	put(&place, "k", "first");
	CHECK(store_head(place.store, "k", &object, &error) == DICOM_OK);
	CHECK(object.size == 5 && object.last_modified > 0);
	strcpy(etag, object.etag);
	CHECK(read_code(&place, "k", etag) == DICOM_ERROR_NONE);
	usleep(20000);
	fd = open(path_of(&place, "k"), O_WRONLY);
	CHECK(write(fd, "FIRST", 5) == 5);
	close(fd);
	CHECK(read_code(&place, "k", etag) == DICOM_ERROR_CHANGED);
	check_content(&place, "k", 0, 64, "FIRST");
	CHECK(unlink(path_of(&place, "k")) == 0);
	CHECK(read_code(&place, "k", NULL) == DICOM_ERROR_NOT_FOUND);
	CHECK(read_code(&place, "k", etag) == DICOM_ERROR_NOT_FOUND);
	close_place(&place);
}

/* A descriptor is of the object and of nothing outside; what is written unsynced is as whole, and its directories are made. */
UNIT_TEST(file_store_descriptor)
{
	struct store_put_request request = {.key = "a/b/k"};
	struct store_object object;
	struct dicom_error error;
	struct place place;
	char bytes[8] = {0};
	char etag[128];
	int fd = -1;

	open_place(&place);
	store_defer_sync(place.store);
	CHECK(store_put(place.store, &request, "first", 5, etag, &error) == DICOM_OK);
	CHECK(store_flush(place.store, &error) == DICOM_OK);
	CHECK(store_open_descriptor(place.store, "a/b/k", &fd, &object, &error) == DICOM_OK);
	CHECK(object.size == 5 && strcmp(object.etag, etag) == 0 && strcmp(object.key, "a/b/k") == 0);
	CHECK(read(fd, bytes, sizeof(bytes)) == 5 && strcmp(bytes, "first") == 0);
	CHECK(write(fd, "x", 1) < 0);
	close(fd);
	run("ln -s ../../../out %s/in/a/b/link", place.root);
	run("echo secret >%s/out", place.root);
	CHECK(store_open_descriptor(place.store, "a/b/link", &fd, &object, &error) == DICOM_FAILED);
	CHECK(store_open_descriptor(place.store, "a/b", &fd, &object, &error) == DICOM_FAILED);
	CHECK(store_open_descriptor(place.store, "none", &fd, &object, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_NOT_FOUND);
	close_place(&place);
}

UNIT_TEST(file_store_conditional_put)
{
	struct store_put_request request = {.key = "d/k", .if_none_match = true};
	struct dicom_error error;
	struct place place;
	char etag[128];
	char second[128];

	open_place(&place);
	CHECK(store_put(place.store, &request, "one", 3, etag, &error) == DICOM_OK);
	CHECK(store_put(place.store, &request, "two", 3, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_EXISTS);
	request.if_none_match = false;
	request.if_match = etag;
	CHECK(store_put(place.store, &request, "three", 5, second, &error) == DICOM_OK);
	CHECK(store_put(place.store, &request, "four", 4, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_CHANGED);
	check_content(&place, "d/k", 0, 64, "three");
	CHECK(read_code(&place, "d/k", second) == DICOM_ERROR_NONE);
	request.if_match = NULL;
	request.storage_class = "GLACIER";
	CHECK(store_put(place.store, &request, "x", 1, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);
	CHECK(store_set_storage_class(place.store, "d/k", "GLACIER", &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);
	request.storage_class = NULL;
	request.key = "d";
	CHECK(store_put(place.store, &request, "x", 1, NULL, &error) == DICOM_FAILED);
	request.key = "d/k/l";
	CHECK(store_put(place.store, &request, "x", 1, NULL, &error) == DICOM_FAILED);
	run("test $(find %s/in -type f | wc -l) = 1", place.root);
	close_place(&place);
}

UNIT_TEST(file_store_upload_is_invisible)
{
	struct store_put_request request = {.key = "d/k"};
	struct store_upload *upload;
	struct dicom_error error;
	struct place place;
	char etag[128];

	open_place(&place);
	CHECK(store_upload_open(place.store, &request, &upload, &error) == DICOM_OK);
	CHECK(store_upload_write(upload, "ab", 2, &error) == DICOM_OK);
	check_listing(&place, NULL, NULL, NULL, "");
	CHECK(read_code(&place, "d/k", NULL) == DICOM_ERROR_NOT_FOUND);
	CHECK(store_upload_write(upload, "cd", 2, &error) == DICOM_OK);
	CHECK(store_upload_finish(upload, etag, &error) == DICOM_OK);
	store_upload_close(upload);
	check_content(&place, "d/k", 0, 64, "abcd");
	CHECK(read_code(&place, "d/k", etag) == DICOM_ERROR_NONE);

	CHECK(store_upload_open(place.store, &request, &upload, &error) == DICOM_OK);
	CHECK(store_upload_write(upload, "given up", 8, &error) == DICOM_OK);
	store_upload_close(upload);
	check_content(&place, "d/k", 0, 64, "abcd");
	run("test $(find %s/in -type f | wc -l) = 1", place.root);
	close_place(&place);
}

/* A draft is written by whoever has its descriptor, and has no key before it is finished, with the length that it was said to have. */
UNIT_TEST(file_store_drafts)
{
	static const char *const keys[] = {"d/k", "d/l", "e/k", "top"};
	struct store_put_request request = {0};
	struct store_upload *draft;
	struct dicom_error error;
	struct place place;
	size_t i;

	open_place(&place);
	store_defer_sync(place.store);
	for (i = 0; i < 4; i++)
	{
		request.key = keys[i];
		CHECK(store_draft_open(place.store, &draft, &error) == DICOM_OK);
		CHECK(write(store_draft_descriptor(draft), keys[i], 3) == 3);
		run("test -z \"$(find %s/in -name '.dicom*')\"", place.root);
		CHECK(read_code(&place, keys[i], NULL) == DICOM_ERROR_NOT_FOUND);
		CHECK(store_draft_finish(draft, &request, 3, &error) == DICOM_OK);
		store_upload_close(draft);
		check_content(&place, keys[i], 0, 3, keys[i]);
	}
	check_listing(&place, NULL, NULL, NULL, "d/k d/l e/k top ");

	/* The directory that the last one has gone into is no longer there. */
	request.key = "d/m";
	for (i = 0; i < 2; i++)
	{
		CHECK(store_draft_open(place.store, &draft, &error) == DICOM_OK);
		run("rm -r %s/in/d", place.root);
		CHECK(store_draft_finish(draft, &request, 0, &error) == DICOM_OK);
		store_upload_close(draft);
		check_content(&place, "d/m", 0, 64, "");
	}

	/* One that is shorter or longer than it should be, and one that is given up. */
	CHECK(store_draft_open(place.store, &draft, &error) == DICOM_OK);
	CHECK(write(store_draft_descriptor(draft), "four", 4) == 4);
	CHECK(store_draft_finish(draft, &request, 3, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_CHANGED);
	store_upload_close(draft);
	check_content(&place, "d/m", 0, 64, "");
	CHECK(store_draft_open(place.store, &draft, &error) == DICOM_OK);
	store_upload_close(draft);

	/* One that takes the place of another, and one that may not; nothing stands beside them. */
	for (i = 0; i < 2; i++)
	{
		CHECK(store_draft_open(place.store, &draft, &error) == DICOM_OK);
		CHECK(write(store_draft_descriptor(draft), i == 0 ? "four" : "five", 4) == 4);
		request.if_none_match = i == 1;
		CHECK(store_draft_finish(draft, &request, 4, &error) == (i == 0 ? DICOM_OK : DICOM_FAILED));
		CHECK(i == 0 || error.code == DICOM_ERROR_EXISTS);
		CHECK(lseek(store_draft_descriptor(draft), 0, SEEK_END) == 4);
		store_upload_close(draft);
		check_content(&place, "d/m", 0, 64, "four");
	}
	request.if_none_match = false;
	request.key = "d";
	CHECK(store_draft_open(place.store, &draft, &error) == DICOM_OK);
	CHECK(store_draft_finish(draft, &request, 0, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);
	store_upload_close(draft);
	run("test -z \"$(find %s/in -name '.dicom*')\"", place.root);
	close_place(&place);
}

static void
leave(const struct place *place, const char *name, int seconds_ago)
{
	struct timespec times[2];

	run("printf x > '%s'", path_of(place, name));
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= seconds_ago;
	times[1] = times[0];
	CHECK(utimensat(AT_FDCWD, path_of(place, name), times, 0) == 0);
}

static bool
is_there(const struct place *place, const char *name)
{
	return access(path_of(place, name), F_OK) == 0;
}

UNIT_TEST(file_store_sweeps_what_killed_writers_left)
{
	struct store_put_request request = {.key = "a/slow"};
	struct store_upload *upload;
	struct dicom_error error;
	struct place place, other;

	open_place(&place);
	run("mkdir %s/in/a", place.root);
	leave(&place, "a/.dicom_fdw-0123456789abcdef", 3700);
	leave(&place, "a/.dicom_fdw-0123456789abcde0", 3000);
	leave(&place, "a/.dicom_fdw-keep", 3700);
	leave(&place, "a/.dicom_fdw-0123456789abcdef0", 3700);
	leave(&place, ".dicom_fdw-0123456789abcdef", 3700);
	check_listing(&place, "", NULL, NULL, "");
	CHECK(is_there(&place, "a/.dicom_fdw-0123456789abcdef"));
	put(&place, "a/new", "1");
	CHECK(!is_there(&place, "a/.dicom_fdw-0123456789abcdef"));
	CHECK(is_there(&place, "a/.dicom_fdw-0123456789abcde0"));
	CHECK(is_there(&place, "a/.dicom_fdw-keep"));
	CHECK(is_there(&place, "a/.dicom_fdw-0123456789abcdef0"));
	CHECK(is_there(&place, ".dicom_fdw-0123456789abcdef"));
	put(&place, "new", "1");
	CHECK(!is_there(&place, ".dicom_fdw-0123456789abcdef"));

	/* One that is still being written, however long ago the last byte came, is nobody's to remove. */
	CHECK(store_upload_open(place.store, &request, &upload, &error) == DICOM_OK);
	run("touch -d '2 hours ago' %s/in/a/.dicom_fdw-*", place.root);
	other = place;
	CHECK(store_open(&(struct store_options){.location = place.location}, NULL, &other.store, &error) ==
		  DICOM_OK);
	put(&other, "a/new", "2");
	store_close(other.store);
	CHECK(!is_there(&place, "a/.dicom_fdw-0123456789abcde0"));
	CHECK(store_upload_write(upload, "3", 1, &error) == DICOM_OK);
	CHECK(store_upload_finish(upload, NULL, &error) == DICOM_OK);
	store_upload_close(upload);
	CHECK(is_there(&place, "a/slow"));
	close_place(&place);
}

UNIT_TEST(file_store_copy_and_delete)
{
	struct dicom_error error;
	struct store_object object;
	struct place place;
	char etag[128] = "";

	open_place(&place);
	put(&place, "k", "content");
	CHECK(store_copy(place.store, "k", NULL, place.store, "x/y", NULL, etag, &error) == DICOM_OK);
	check_content(&place, "x/y", 0, 64, "content");
	CHECK(store_head(place.store, "x/y", &object, &error) == DICOM_OK);
	CHECK_STRING(object.etag, etag);
	CHECK(store_copy(place.store, "k", etag, place.store, "x/z", NULL, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_CHANGED);
	CHECK(store_copy(place.store, "none", NULL, place.store, "x/z", NULL, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_NOT_FOUND);
	CHECK(store_delete(place.store, "x/y", &error) == DICOM_OK);
	CHECK(store_delete(place.store, "x/y", &error) == DICOM_OK);
	CHECK(store_delete(place.store, "x", &error) == DICOM_OK);
	run("test -d %s/in/x", place.root);
	check_listing(&place, NULL, NULL, NULL, "k ");
	close_place(&place);
}

UNIT_TEST(file_store_locations)
{
	static const struct
	{
		const char *location;
		enum dicom_error_code code;
	} bad[] = {{"file://localhost/tmp", DICOM_ERROR_INVALID_OPTION},
			   {"file://", DICOM_ERROR_INVALID_OPTION},
			   {"file:///nonexistent/directory", DICOM_ERROR_NO_BUCKET},
			   {"file:///etc/passwd", DICOM_ERROR_NO_BUCKET}};
	struct store_options options = {0};
	struct dicom_error error;
	struct store *store;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		options.location = bad[i].location;
		error.code = DICOM_ERROR_NONE;
		if (store_open(&options, NULL, &store, &error) == DICOM_OK)
			store_close(store);
		else
			CHECK(error.code == bad[i].code);
		CHECK(error.code == bad[i].code || strcmp(bad[i].location, "file://") == 0);
	}
}

static bool
refuse(void *arg, int fd, int timeout_ms)
{
	return false;
}

UNIT_TEST(file_store_interrupt)
{
	struct store_list_request request = {.prefix = ""};
	struct store_options options = {0};
	struct store_host host = {refuse, NULL};
	struct store_object object;
	struct store_list *list;
	struct dicom_error error;
	struct place place;

	open_place(&place);
	put(&place, "k", "x");
	store_close(place.store);
	options.location = place.location;
	CHECK(store_open(&options, &host, &place.store, &error) == DICOM_OK);
	CHECK(store_list_open(place.store, &request, &list, &error) == DICOM_OK);
	CHECK(store_list_next(list, &object, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INTERRUPTED);
	store_list_close(list);
	close_place(&place);
}
