/*
 * header.h
 *	  The header of a file as the catalog keeps it: dicom.object.header.
 *
 * It is the file itself with holes: runs of the file's own bytes, each at its own offset. Left out are the values of more than
 * HEADER_LONGEST_VALUE bytes but for their first HEADER_VALUE_START (by which the parser tells whether they hold items), everything behind the header of the pixel data, and what is beyond HEADER_LIMIT bytes in all. Of
 * a deflated file the runs hold the deflated bytes.
 *
 *		byte 0		format: 1
 *		then, up to the end, for each run in ascending order
 *		8 bytes		offset in the file, little endian
 *		4 bytes		length, little endian
 *		...			the bytes
 *
 * To read it, unpack it into a window of the object's size and give that to dicom_dataset_open(). All offsets, lengths, warnings
 * and errors are then those of the file. Where dicom_dataset_read() answers DICOM_NEED, something is wanted that is in a hole:
 * a long value asked for by its tag, or what stands behind the pixel data; the object itself has to be read.
 */
#ifndef CATALOG_HEADER_H
#define CATALOG_HEADER_H

#include "../dicom/buffer.h"
#include "../dicom/dataset.h"

#define HEADER_LONGEST_VALUE 4096
#define HEADER_VALUE_START   32
#define HEADER_LIMIT         (256 * 1024)

/* What a sync reads of each file: all elements in front of the pixel data, without long values. */
extern const struct dicom_selection header_selection;

/* Appends the packed header of a data set read with header_selection. False: out of memory. */
extern bool header_pack(const struct dicom_dataset *dataset, struct dicom_buffer *out);

/* Fills an empty window, whose size is set, with a packed header. False: it is no such thing, or out of memory. */
extern bool header_unpack(const uint8_t *bytes, size_t length, struct dicom_window *window);

#endif
