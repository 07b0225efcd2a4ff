/*
 * make_dataset.h
 *	  Data sets for tests, put together in memory in explicit VR and read by the real reader.
 */
#ifndef MAKE_DATASET_H
#define MAKE_DATASET_H

#include <stdlib.h>

#include "dicom/dataset.h"
#include "dicom/dictionary.h"
#include "unit.h"

struct made
{
	struct dicom_buffer bytes; /* the data set alone */
	bool big_endian;
	struct dicom_window window;
	struct dicom_dataset dataset;
};

static inline void
make_number(struct made *made, uint32_t number, int size)
{
	int i;

	for (i = 0; i < size; i++)
		dicom_buffer_append_char(&made->bytes, (char) (number >> 8 * (made->big_endian ? size - 1 - i : i)));
}

static inline void
make_tag(struct made *made, uint32_t tag)
{
	make_number(made, tag >> 16, 2);
	make_number(made, tag & 0xFFFF, 2);
}

/* The header of an element; the value is appended by the caller. */
static inline void
make_header(struct made *made, uint32_t tag, const char *vr, uint32_t length)
{
	make_tag(made, tag);
	dicom_buffer_append(&made->bytes, vr, 2);
	if (strstr("OB OW OF OD OL OV SQ UC UN UR UT SV UV", vr))
	{
		make_number(made, 0, 2);
		make_number(made, length, 4);
	}
	else
		make_number(made, length, 2);
}

static inline void
make_bytes(struct made *made, uint32_t tag, const char *vr, const void *value, size_t length)
{
	make_header(made, tag, vr, (uint32_t) (length + length % 2));
	dicom_buffer_append(&made->bytes, value, length);
	if (length % 2)
		dicom_buffer_append_char(&made->bytes, strcmp(vr, "UI") == 0 ? '\0' : ' ');
}

#define MAKE_TEXT(made, tag, vr, text) make_bytes(made, tag, vr, text, sizeof(text) - 1)

static inline void
make_number_element(struct made *made, uint32_t tag, const char *vr, uint32_t number, int size)
{
	make_header(made, tag, vr, (uint32_t) size);
	make_number(made, number, size);
}

static inline void
make_sequence(struct made *made, uint32_t tag)
{
	make_header(made, tag, "SQ", DICOM_UNDEFINED_LENGTH);
}

static inline void
make_item(struct made *made)
{
	make_tag(made, DICOM_TAG_ITEM);
	make_number(made, DICOM_UNDEFINED_LENGTH, 4);
}

static inline void
make_end_of_item(struct made *made)
{
	make_tag(made, DICOM_TAG(0xFFFE, 0xE00D));
	make_number(made, 0, 4);
}

static inline void
make_end_of_sequence(struct made *made)
{
	make_tag(made, DICOM_TAG(0xFFFE, 0xE0DD));
	make_number(made, 0, 4);
}

static inline void
make_file(struct made *made, struct dicom_buffer *file)
{
	const char *uid = made->big_endian ? "1.2.840.10008.1.2.2" : "1.2.840.10008.1.2.1";
	struct made meta = {.big_endian = false};
	char preamble[132] = "";

	memcpy(preamble + 128, "DICM", 4);
	make_bytes(&meta, 0x00020010, "UI", uid, strlen(uid));
	dicom_buffer_append(file, preamble, sizeof preamble);
	dicom_buffer_append(file, "\2\0\0\0UL\4\0", 8);
	dicom_buffer_append_char(file, (char) meta.bytes.length);
	dicom_buffer_append(file, "\0\0\0", 3);
	dicom_buffer_append(file, meta.bytes.data, meta.bytes.length);
	if (made->bytes.length > 0)
		dicom_buffer_append(file, made->bytes.data, made->bytes.length);
	dicom_buffer_free(&meta.bytes);
}

/* Reads what was put together. */
static inline void
make_read(struct made *made, const struct dicom_selection *selection)
{
	struct dicom_buffer file = {0};
	struct dicom_error error;
	uint8_t *room;

	make_file(made, &file);
	dicom_window_init(&made->window, file.length);
	room = dicom_window_reserve(&made->window, 0, file.length);
	memcpy(room, file.data, file.length);
	dicom_window_commit(&made->window, 0, file.length);
	CHECK(dicom_dataset_open(&made->dataset, &made->window, selection, &error) == DICOM_OK);
	CHECK(dicom_dataset_read(&made->dataset, &error) == DICOM_OK);
	dicom_buffer_free(&file);
}

/* The same; everything is kept. */
static inline void
make_done(struct made *made)
{
	static const struct dicom_selection everything = {.everything = true};

	make_read(made, &everything);
}

static inline void
make_free(struct made *made)
{
	dicom_dataset_close(&made->dataset, false);
	dicom_window_free(&made->window);
	dicom_buffer_free(&made->bytes);
}

#endif
