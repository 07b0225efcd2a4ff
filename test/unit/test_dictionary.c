/*
 * test_dictionary.c
 *	  Promise: an attribute is found by its tag, by its keyword, and by the name its column would have.
 */
#include "dicom/dictionary.h"
#include "unit.h"

static const struct dicom_dictionary_entry *
named(const char *keyword)
{
	return dicom_dictionary_by_keyword(keyword, strlen(keyword));
}

static void
check_column(const char *keyword, const char *want)
{
	char column[100];

	dicom_keyword_to_column(keyword, column, sizeof(column));
	CHECK_STRING(column, want);
	CHECK(named(want) && strcmp(named(want)->keyword, keyword) == 0);
}

UNIT_TEST(dictionary_by_tag)
{
	const struct dicom_dictionary_entry *entry = dicom_dictionary_by_tag(0x00100010);

	CHECK(entry && strcmp(entry->keyword, "PatientName") == 0);
	CHECK(entry && entry->vr == DICOM_VR('P', 'N') && entry->vm_min == 1 && entry->vm_max == 1 &&
		  !entry->retired);
	entry = dicom_dictionary_by_tag(0x00080008);
	CHECK(entry && entry->vm_min == 2 && entry->vm_max == DICOM_VM_UNBOUNDED);
	CHECK(dicom_dictionary_by_tag(0x00020000) != NULL);
	CHECK(dicom_dictionary_by_tag(0) != NULL);
	CHECK(dicom_dictionary_by_tag(0x00080000) == NULL);
	CHECK(dicom_dictionary_by_tag(0x00090010) == NULL);
	CHECK(dicom_dictionary_by_tag(0xFFFFFFFF) == NULL);
}

UNIT_TEST(dictionary_repeating_groups)
{
	const struct dicom_dictionary_entry *entry = dicom_dictionary_by_tag(0x60123000);

	CHECK(entry && strcmp(entry->keyword, "OverlayData") == 0 && entry->tag == 0x60003000);
	CHECK(dicom_dictionary_by_tag(0x60133000) == NULL);
	CHECK(dicom_dictionary_by_tag(0x61003000) == NULL);
	entry = dicom_dictionary_by_tag(0x00203142);
	CHECK(entry && strcmp(entry->keyword, "SourceImageIDs") == 0 && entry->retired);
	entry = dicom_dictionary_by_tag(0x7FE00010);
	CHECK(entry && strcmp(entry->keyword, "PixelData") == 0);
}

UNIT_TEST(dictionary_alternative_representations)
{
	CHECK(dicom_dictionary_by_tag(0x00280106)->vr == DICOM_VR_US_OR_SS);
	CHECK(dicom_dictionary_by_tag(0x7FE00010)->vr == DICOM_VR_OB_OR_OW);
	CHECK(dicom_dictionary_by_tag(0x00283006)->vr == DICOM_VR_US_OR_OW);
	CHECK(dicom_dictionary_by_tag(0x00041400)->vr == DICOM_VR('U', 'L'));
	CHECK(dicom_dictionary_by_tag(0xFFFEE000)->vr == DICOM_VR_NONE);
}

UNIT_TEST(dictionary_by_keyword)
{
	CHECK(named("PatientName")->tag == 0x00100010);
	CHECK(named("patient_name")->tag == 0x00100010);
	CHECK(named("PATIENTNAME")->tag == 0x00100010);
	CHECK(named("_p_a_tientName__")->tag == 0x00100010);
	CHECK(named("OtherPatientIDs")->retired);
	CHECK(named("PatientNam") == NULL);
	CHECK(named("PatientNames") == NULL);
	CHECK(named("") == NULL);
	CHECK(dicom_dictionary_by_keyword("PatientName\0x", 13) == NULL);
	CHECK(named("RETIRED_OtherPatientIDs") == NULL);
}

UNIT_TEST(dictionary_columns)
{
	check_column("PatientBirthDate", "patient_birth_date");
	check_column("SOPInstanceUID", "sop_instance_uid");
	check_column("OtherPatientIDs", "other_patient_ids");
	check_column("OtherPatientIDsSequence", "other_patient_ids_sequence");
	check_column("GeometryOfKSpaceTraversal", "geometry_of_k_space_traversal");
	check_column("HighRRValue", "high_rr_value");
	check_column("MRAcquisitionType", "mr_acquisition_type");
	check_column("InPlanePhaseEncodingDirection", "in_plane_phase_encoding_direction");
	check_column("dBdt", "d_bdt");
	check_column("SAR", "sar");
	check_column("StackID", "stack_id");
	check_column("Rows", "rows");
}

UNIT_TEST(dictionary_column_is_cut_to_size)
{
	char column[8] = "xxxxxxx";

	dicom_keyword_to_column("PatientName", column, sizeof(column));
	CHECK(strlen(column) < sizeof(column));
	CHECK(strncmp(column, "patient", 6) == 0);
}

/* Every entry is found again by its tag, and by its name as a column unless a current attribute has the same. */
UNIT_TEST(dictionary_is_whole)
{
	const struct dicom_dictionary_entry *entry;
	uint32_t last = 0;
	size_t lost = 0;
	size_t i;

	for (i = 0; (entry = dicom_dictionary_entry_at(i)); i++)
	{
		const struct dicom_dictionary_entry *other;
		char column[200];

		lost += dicom_dictionary_by_tag(entry->tag) != entry;
		dicom_keyword_to_column(entry->keyword, column, sizeof(column));
		other = named(column);
		lost += !other ||
				(other != entry && (!entry->retired || strcasecmp(other->keyword, entry->keyword) != 0));
		lost += i > 0 && entry->tag <= last;
		last = entry->tag;
	}
	CHECK(i > 4000);
	CHECK(lost == 0);
}
