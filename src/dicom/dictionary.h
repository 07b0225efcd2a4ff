/*
 * dictionary.h
 *	  The data dictionary of PS3.6, generated at build time from DCMTK's dicom.dic into constant tables: nothing is
 *	  read or allocated at start-up. Repeating groups (50xx, 60xx, ...) match their pattern.
 */
#ifndef DICOM_DICTIONARY_H
#define DICOM_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value representation is its two letters in one integer, so that it can stand in a case label. */
#define DICOM_VR(a, b)    ((uint16_t) ((a) << 8 | (b)))
#define DICOM_VR_NONE     0                  /* items, delimiters */
#define DICOM_VR_US_OR_SS DICOM_VR('x', 's') /* dictionary only: PixelRepresentation decides */
#define DICOM_VR_OB_OR_OW DICOM_VR('o', 'x') /* dictionary only: PS3.5 A decides */
#define DICOM_VR_US_OR_OW DICOM_VR('l', 't') /* dictionary only: US, SS or OW (lookup table data) */

#define DICOM_VM_UNBOUNDED 0xFFFF

struct dicom_dictionary_entry
{
	uint32_t tag; /* group << 16 | element; of a repeating group the lowest one */
	uint16_t vr;
	uint16_t vm_min;
	uint16_t vm_max; /* DICOM_VM_UNBOUNDED for n */
	bool retired;
	const char *keyword; /* PatientName */
};

/* NULL where the dictionary does not know the tag (private attributes, group lengths but 0002,0000). */
extern const struct dicom_dictionary_entry *dicom_dictionary_by_tag(uint32_t tag);

/*
 * By keyword; case and underscores do not count, so patient_name, PatientName and PATIENTNAME all find (0010,0010).
 * Of a retired and a current attribute that fall together the current one wins. NULL where there is none.
 */
extern const struct dicom_dictionary_entry *dicom_dictionary_by_keyword(const char *keyword, size_t length);

/* Entry number i in order of tags, NULL past the last: for completion, hints and listings. */
extern const struct dicom_dictionary_entry *dicom_dictionary_entry_at(size_t i);

/* snake_case of a keyword as a column would be called: PatientBirthDate -> patient_birth_date, SOPInstanceUID -> sop_instance_uid. */
extern void dicom_keyword_to_column(const char *keyword, char *column, size_t size);

#endif
