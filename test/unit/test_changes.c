/*
 * test_changes.c
 *	  Copies, puts and deletes that are started and looked after later do what those that wait do.
 */
#include "unit.h"

#include <stdlib.h>

#include "store/store.h"

static void
open_directory(char root[64], struct store **store)
{
	struct store_options options = {0};
	struct dicom_error error;
	char location[96];

	strcpy(root, "/tmp/test_changes.XXXXXX");
	CHECK(mkdtemp(root) != NULL);
	snprintf(location, sizeof(location), "file://%s/", root);
	options.location = location;
	CHECK(store_open(&options, NULL, store, &error) == DICOM_OK);
}

static void
remove_directory(const char *root)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	CHECK(system(command) == 0);
}

/* How a change ended; it is closed. */
static enum dicom_status
end_of(struct store_change *change, char *etag, struct dicom_error *error)
{
	enum dicom_status status = store_change_result(change, etag, error);

	store_change_close(change);
	return status;
}

UNIT_TEST(changes_of_a_directory)
{
	struct store_put_request put = {.key = "a/1"};
	struct store_change *change;
	struct dicom_error error;
	struct store_object object;
	struct store *left;
	struct store *right;
	char roots[2][64];
	char etag[128];

	open_directory(roots[0], &left);
	open_directory(roots[1], &right);
	CHECK(store_put_open(left, &put, "bytes", 5, &change, &error) == DICOM_OK);
	CHECK(end_of(change, etag, &error) == DICOM_OK);
	CHECK(store_head(left, "a/1", &object, &error) == DICOM_OK);
	CHECK(object.size == 5);
	CHECK_STRING(etag, object.etag);

	CHECK(store_can_copy(left, right));
	CHECK(store_copy_open(left, "a/1", etag, right, "b/2", NULL, &change, &error) == DICOM_OK);
	CHECK(end_of(change, NULL, &error) == DICOM_OK);
	CHECK(store_head(right, "b/2", &object, &error) == DICOM_OK);
	CHECK(store_copy_open(left, "a/1", "another version", right, "b/2", NULL, &change, &error) == DICOM_OK);
	CHECK(end_of(change, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_CHANGED);
	CHECK(store_copy_open(left, "nowhere", NULL, right, "b/2", NULL, &change, &error) == DICOM_OK);
	CHECK(end_of(change, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_NOT_FOUND);

	CHECK(store_delete_open(right, "b/2", &change, &error) == DICOM_OK);
	CHECK(end_of(change, etag, &error) == DICOM_OK);
	CHECK_STRING(etag, "");
	CHECK(store_head(right, "b/2", &object, &error) == DICOM_FAILED);
	store_close(left);
	store_close(right);
	remove_directory(roots[0]);
	remove_directory(roots[1]);
}

UNIT_TEST(changes_that_make_no_sense)
{
	struct store_put_request conditional = {.key = "a", .if_none_match = true};
	struct store_put_request nameless = {.key = ""};
	struct store_put_request in_the_way = {.key = "a/b"};
	struct store_options options = {
		.location = "s3://bucket/", .access_key_id = "x", .secret_access_key = "y"};
	struct store_change *change;
	struct dicom_error error;
	struct store *directory;
	struct store *bucket;
	char root[64];

	open_directory(root, &directory);
	CHECK(store_put_open(directory, &conditional, "", 0, &change, &error) == DICOM_FAILED);
	CHECK(store_put_open(directory, &nameless, "", 0, &change, &error) == DICOM_FAILED);
	CHECK(store_open(&options, NULL, &bucket, &error) == DICOM_OK);
	CHECK(!store_can_copy(directory, bucket));
	CHECK(store_copy_open(directory, "a", NULL, bucket, "a", NULL, &change, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);

	/* A file is in the way of a directory: no fault of the store. */
	CHECK(store_put(directory, &(struct store_put_request){.key = "a"}, "x", 1, NULL, &error) == DICOM_OK);
	CHECK(store_put_open(directory, &in_the_way, "x", 1, &change, &error) == DICOM_OK);
	CHECK(end_of(change, NULL, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION);

	/* One that nobody looked after goes with its store. */
	CHECK(store_delete_open(directory, "a", &change, &error) == DICOM_OK);
	store_close(bucket);
	store_close(directory);
	remove_directory(root);
}
