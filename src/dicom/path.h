/*
 * path.h
 *	  Names of elements, as users write them.
 *
 *	00100020   (0010,0020)   0010,0020			a tag
 *	PatientID  patient_id						a keyword; case and underscores do not count
 *	(0029,"SIEMENS CSA HEADER",10)				a private element by its block's creator, in quotes that double inside
 *	SharedFunctionalGroupsSequence[1].PixelMeasuresSequence[1].PixelSpacing		nested; items count from 1
 *	ReferencedImageSequence[*] is not a path: a path names one element.
 *
 * "Sequence.X" means the first item.
 */
#ifndef DICOM_PATH_H
#define DICOM_PATH_H

#include "dataset.h"

#define DICOM_PATH_MAX_STEPS 16

struct dicom_path_step
{
	uint32_t tag;     /* for private elements group << 16 | low byte of the element */
	char creator[68]; /* '' where the step names no creator */
	uint32_t item;    /* counted from 1; 0 in the last step, unless the path names an item */
};

struct dicom_path
{
	struct dicom_path_step steps[DICOM_PATH_MAX_STEPS];
	int count;
};

/* Reads a path. A keyword that the dictionary does not know is DICOM_ERROR_INVALID_OPTION, with the closest one as hint. */
extern enum dicom_status dicom_path_parse(const char *text, size_t length, struct dicom_path *path,
										  struct dicom_error *error);

/* The element that a path names, or NULL. */
extern const struct dicom_element *dicom_path_find(const struct dicom_dataset *dataset,
												   const struct dicom_path *path);

/*
 * Writes the path of an element in a form that dicom_path_parse() reads back: keywords where the dictionary knows
 * them, creators where there are any, else 8 hex digits. An item is written as its sequence with its number.
 */
extern void dicom_path_write(const struct dicom_dataset *dataset, const struct dicom_element *element,
							 struct dicom_buffer *out);

#endif
