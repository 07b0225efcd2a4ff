/*
 * fuzz_dataset.c
 *	  Any bytes, any selection, fed in any pieces: the reader ends, and what it returns holds together.
 *
 * The first four bytes choose the selection and the sizes of the pieces, the rest is the file.
 */
#include <stdlib.h>
#include <string.h>

#include "dicom/dictionary.h"
#include "dicom/path.h"
#include "require.h"

/* Makes the compiler really read every byte of a value. */
static volatile uint8_t touched;

static const uint32_t wanted_tags[] = {0x00080005, 0x00080018, 0x00080020, 0x00081140, 0x00100010, 0x00100020,
									   0x0020000D, 0x00280106, 0x0040A730, 0x7FE00010, 0xFFFCFFFC};
static const uint32_t wanted_private[] = {0x00090001, 0x00290010};
static const char *const wanted_creators[] = {"ACME 1.1", "SIEMENS CSA HEADER"};

static struct dicom_selection
choose_selection(const uint8_t *choice)
{
	struct dicom_selection selection = {0};

	selection.everything = choice[0] & 1;
	selection.whole_header = (choice[0] & 2) != 0;
	selection.max_value = choice[0] & 4 ? 16 : 0;
	selection.header_limit = choice[0] & 8 ? 1000 : (uint64_t) 1 << 20;
	selection.tags = wanted_tags;
	selection.tag_count = choice[1] % (int) (sizeof(wanted_tags) / sizeof(wanted_tags[0]) + 1);
	selection.private_tags = wanted_private;
	selection.private_creators = wanted_creators;
	selection.private_count = choice[0] >> 4 & 1 ? 2 : 0;
	return selection;
}

/* Puts some bytes of the range that is missing into the window, `piece` at a time, 0: all of it. */
static void
feed(struct dicom_window *window, const struct dicom_dataset *dataset, const uint8_t *file, size_t size,
	 size_t piece)
{
	uint64_t offset = dataset->need_offset;
	size_t length = dataset->need_length;
	uint8_t *room;

	REQUIRE(length > 0);
	REQUIRE(dicom_window_available(window, offset) == 0);
	if (offset >= size)
	{
		REQUIRE(window->size == DICOM_SIZE_UNKNOWN);
		window->size = size;
		return;
	}
	REQUIRE(window->size == DICOM_SIZE_UNKNOWN || length <= size - offset);
	if (piece > 0 && length > piece)
		length = piece;
	if (length > size - offset)
		length = (size_t) (size - offset);
	room = dicom_window_reserve(window, offset, length);
	REQUIRE(room);
	memcpy(room, file + offset, length);
	dicom_window_commit(window, offset, length);
}

static void
check_element(const struct dicom_dataset *dataset, uint32_t i, size_t size)
{
	const struct dicom_element *element = &dataset->elements[i];
	uint32_t length;
	const uint8_t *value = dicom_dataset_value(dataset, element, &length);
	uint8_t sum = 0;
	uint32_t k;

	REQUIRE(element->next > i && element->next <= dataset->count);
	if (element->parent == UINT32_MAX)
		REQUIRE(element->depth == 0);
	else
	{
		REQUIRE(element->parent < i);
		REQUIRE(dataset->elements[element->parent].next >= element->next);
		REQUIRE(dataset->elements[element->parent].depth + 1 == element->depth);
	}
	if (element->next > i + 1)
		REQUIRE(element->vr == DICOM_VR('S', 'Q') || element->tag == DICOM_TAG_ITEM);
	if (!(element->flags & DICOM_ELEMENT_INFLATED))
		REQUIRE(element->offset <= size);
	if (!(element->flags & DICOM_ELEMENT_BULK) && element->vr != DICOM_VR('S', 'Q') &&
		element->tag != DICOM_TAG_ITEM)
		REQUIRE(length == 0 || value);
	for (k = 0; value && k < length; k++)
		sum ^= value[k];
	touched = sum;
}

/* A path leads back to its element, or to a later one of the same tag. */
static void
check_path(const struct dicom_dataset *dataset, uint32_t i)
{
	struct dicom_buffer text = {0};
	struct dicom_path path;
	struct dicom_error error;

	dicom_path_write(dataset, &dataset->elements[i], &text);
	REQUIRE(text.length > 0);
	if (dicom_path_parse(text.data, text.length, &path, &error) == DICOM_OK)
		dicom_path_find(dataset, &path);
	else
		REQUIRE(dataset->elements[i].depth / 2 >= DICOM_PATH_MAX_STEPS);
	dicom_buffer_free(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dicom_selection selection;
	struct dicom_dataset dataset = {0};
	struct dicom_window window;
	struct dicom_error error;
	enum dicom_status status;
	uint32_t i;

	if (size < 4)
		return 0;
	selection = choose_selection(data);
	dicom_window_init(&window, data[3] & 1 ? DICOM_SIZE_UNKNOWN : size - 4);
	REQUIRE(dicom_dataset_open(&dataset, &window, &selection, &error) == DICOM_OK);
	while ((status = dicom_dataset_read(&dataset, &error)) == DICOM_NEED)
		feed(&window, &dataset, data + 4, size - 4, data[2]);
	REQUIRE(status == DICOM_OK || (status == DICOM_FAILED && error.message[0]));
	for (i = 0; i < dataset.count; i++)
	{
		check_element(&dataset, i, size - 4);
		if (i < 50)
			check_path(&dataset, i);
	}
	dicom_dataset_close(&dataset, false);
	dicom_window_free(&window);
	return 0;
}
