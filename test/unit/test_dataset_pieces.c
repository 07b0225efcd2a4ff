/*
 * test_dataset_pieces.c
 *	  Promise: in what pieces the bytes of a file come makes no difference to what is read from it.
 *
 * Nor does it whether they come from the file, or from its header as the catalog keeps it.
 *
 * The files are those that fuzz/make_seeds.py writes, and a corpus of real ones where that is at hand.
 */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "catalog/header.h"
#include "unit.h"

struct result
{
	enum dicom_status status;
	struct dicom_error error;
	struct dicom_dataset dataset;
	struct dicom_window window;
};

static const uint32_t tags[] = {0x00080018, 0x00081140, 0x00100020, 0x00280106};
static const struct dicom_selection selections[] = {
	{.everything = true},
	{.tags = tags, .tag_count = 4},
	{.tags = tags, .tag_count = 4, .whole_header = true, .max_value = 100},
};

/* Reads a file whose bytes come `piece` at a time as they are asked for; 0: all at once. */
static void
read_in_pieces(struct result *result, const uint8_t *file, size_t size,
			   const struct dicom_selection *selection, size_t piece)
{
	memset(result, 0, sizeof(*result));
	dicom_window_init(&result->window, size);
	if (piece == 0)
	{
		uint8_t *room = dicom_window_reserve(&result->window, 0, size);

		if (size > 0)
			memcpy(room, file, size);
		dicom_window_commit(&result->window, 0, size);
	}
	dicom_dataset_open(&result->dataset, &result->window, selection, &result->error);
	while ((result->status = dicom_dataset_read(&result->dataset, &result->error)) == DICOM_NEED)
	{
		uint64_t offset = result->dataset.need_offset;
		size_t length = result->dataset.need_length < piece ? result->dataset.need_length : piece;

		if (length > size - offset || length == 0)
		{
			CHECK(!"asks for bytes behind the end");
			return;
		}
		memcpy(dicom_window_reserve(&result->window, offset, length), file + offset, length);
		dicom_window_commit(&result->window, offset, length);
	}
}

static void
end_result(struct result *result)
{
	dicom_dataset_close(&result->dataset, false);
	dicom_window_free(&result->window);
}

static int
same_element(const struct result *a, const struct result *b, uint32_t i)
{
	const struct dicom_element *x = &a->dataset.elements[i];
	const struct dicom_element *y = &b->dataset.elements[i];
	uint32_t x_length, y_length;
	const uint8_t *x_value = dicom_dataset_value(&a->dataset, x, &x_length);
	const uint8_t *y_value = dicom_dataset_value(&b->dataset, y, &y_length);

	return x->tag == y->tag && x->vr == y->vr && x->length == y->length && x->offset == y->offset &&
		   x->flags == y->flags && x->next == y->next && x->parent == y->parent && x->depth == y->depth &&
		   (x_value != NULL) == (y_value != NULL) && (!x_value || memcmp(x_value, y_value, x_length) == 0);
}

static int
same_result(const struct result *a, const struct result *b)
{
	uint32_t i;

	if (a->status != b->status || a->dataset.count != b->dataset.count ||
		a->dataset.header_end != b->dataset.header_end ||
		strcmp(a->dataset.transfer_syntax_uid, b->dataset.transfer_syntax_uid) != 0 ||
		memcmp(a->dataset.warnings, b->dataset.warnings, sizeof(a->dataset.warnings)) != 0)
		return 0;
	if (a->status == DICOM_FAILED && (a->error.code != b->error.code || a->error.tag != b->error.tag ||
									  strcmp(a->error.message, b->error.message) != 0))
		return 0;
	for (i = 0; i < a->dataset.count; i++)
		if (!same_element(a, b, i))
			return 0;
	return 1;
}

/* What is read from a packed header is what is read from the file, or it is said that the file is needed. */
static void
check_packed(const char *path, const uint8_t *file, size_t size, const struct dicom_selection *selection,
			 const struct dicom_buffer *packed)
{
	struct result whole, unpacked = {0};

	/* Of what is no DICOM no header is kept. */
	read_in_pieces(&whole, file, size, selection, 0);
	dicom_window_init(&unpacked.window, size);
	unit_check(header_unpack((const uint8_t *) packed->data, packed->length, &unpacked.window), path,
			   __FILE__, __LINE__);
	dicom_dataset_open(&unpacked.dataset, &unpacked.window, selection, &unpacked.error);
	unpacked.status = dicom_dataset_read(&unpacked.dataset, &unpacked.error);
	if (unpacked.status != DICOM_NEED)
		unit_check(same_result(&whole, &unpacked), path, __FILE__, __LINE__);
	else if (selection == &header_selection)
		unit_check(packed->length >= HEADER_LIMIT || whole.error.code == DICOM_ERROR_NOT_DICOM, path,
				   __FILE__, __LINE__);
	end_result(&unpacked);
	end_result(&whole);
}

static void
check_header(const char *path, const uint8_t *file, size_t size)
{
	struct dicom_buffer packed = {0};
	struct result read;
	size_t i;

	read_in_pieces(&read, file, size, &header_selection, 0);
	unit_check(header_pack(&read.dataset, &packed), path, __FILE__, __LINE__);
	unit_check(packed.length < HEADER_LIMIT + 100, path, __FILE__, __LINE__);
	check_packed(path, file, size, &header_selection, &packed);
	for (i = 0; i < sizeof(selections) / sizeof(selections[0]); i++)
		check_packed(path, file, size, &selections[i], &packed);
	for (i = 0; i < packed.length && i < 64; i++)
	{
		struct dicom_window window;

		dicom_window_init(&window, size);
		header_unpack((const uint8_t *) packed.data, i, &window);
		dicom_window_free(&window);
	}
	dicom_buffer_free(&packed);
	end_result(&read);
}

static void
check_file(const char *path, const size_t *pieces)
{
	FILE *stream = fopen(path, "rb");
	size_t limit = 4 << 20;
	uint8_t *file = malloc(limit);
	size_t size = stream ? fread(file, 1, limit, stream) : 0;
	size_t i;

	for (i = 0; i < sizeof(selections) / sizeof(selections[0]); i++)
	{
		struct result whole, parts;
		const size_t *piece;

		read_in_pieces(&whole, file, size, &selections[i], 0);
		for (piece = pieces; *piece; piece++)
		{
			read_in_pieces(&parts, file, size, &selections[i], *piece);
			unit_check(same_result(&whole, &parts), path, __FILE__, __LINE__);
			end_result(&parts);
		}
		end_result(&whole);
	}
	check_header(path, file, size);
	if (stream)
		fclose(stream);
	free(file);
}

/* Returns how many files there were. */
static int
check_directory(const char *directory, const size_t *pieces)
{
	DIR *stream = opendir(directory);
	struct dirent *entry;
	int count = 0;

	while (stream && (entry = readdir(stream)))
	{
		char path[1000];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		check_file(path, pieces);
		count++;
	}
	if (stream)
		closedir(stream);
	return count;
}

static const char *
first_existing(const char *const *paths)
{
	while (*paths && access(*paths, R_OK) != 0)
		paths++;
	return *paths;
}

UNIT_TEST(dataset_pieces_of_seeds)
{
	static const char *const scripts[] = {"fuzz/make_seeds.py", "test/fuzz/make_seeds.py",
										  "../test/fuzz/make_seeds.py", NULL};
	static const size_t pieces[] = {1, 7, 100000, 0};
	char directory[] = "/tmp/dicom_seeds_XXXXXX";
	const char *script = first_existing(scripts);
	char command[200];

	if (!script || !mkdtemp(directory))
	{
		unit_skip("make_seeds.py not found");
		return;
	}
	snprintf(command, sizeof(command), "python3 %s %s", script, directory);
	CHECK(system(command) == 0);
	CHECK(check_directory(directory, pieces) > 50);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	CHECK(system(command) == 0);
}

UNIT_TEST(dataset_pieces_of_real_files)
{
	static const char *const corpora[] = {"../../shared/corpus", "../shared/corpus", NULL};
	static const size_t pieces[] = {13, 5000, 0};
	const char *corpus = first_existing(corpora);

	if (corpus)
		CHECK(check_directory(corpus, pieces) > 0);
	else
		unit_skip("no corpus");
}
