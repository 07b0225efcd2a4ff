/*
 * file_source.h
 *	  A file that is open as a source of an image's bytes, and its data set.
 */
#ifndef FILE_SOURCE_H
#define FILE_SOURCE_H

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"

#define PIECE 65536 /* read at once */

/* The function of an image_source whose argument is a file's descriptor. */
static inline enum dicom_status
read_at(void *arg, uint64_t offset, size_t length, uint8_t *bytes, struct dicom_error *error)
{
	int file = *(int *) arg;

	while (length > 0)
	{
		ssize_t got = pread(file, bytes, length, (off_t) offset);

		if (got <= 0)
			return dicom_fail(error, DICOM_ERROR_IO, "cannot read: %s", strerror(errno));
		bytes += got;
		offset += (uint64_t) got;
		length -= (size_t) got;
	}
	return DICOM_OK;
}

/* Reads the elements that are needed for pictures. */
static inline enum dicom_status
read_dataset(const struct image_source *source, struct dicom_window *window, struct dicom_dataset *dataset,
			 struct dicom_error *error)
{
	enum dicom_status status = dicom_dataset_open(dataset, window, &image_selection, error);

	while (status == DICOM_OK && (status = dicom_dataset_read(dataset, error)) == DICOM_NEED)
	{
		uint64_t offset = dataset->need_offset;
		size_t length = dataset->need_length < PIECE ? PIECE : dataset->need_length;
		uint8_t *room;

		if (length > source->size - offset)
			length = (size_t) (source->size - offset);
		room = dicom_window_reserve(window, offset, length);
		status = room ? source->read(source->arg, offset, length, room, error) : DICOM_FAILED;
		if (status == DICOM_OK)
			dicom_window_commit(window, offset, length);
	}
	return status;
}

#endif
