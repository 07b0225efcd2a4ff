/*
 * dicom_truth.c
 *	  Prints, for each file, one line of JSON with the texts of some top-level elements:
 *
 *		{"file": "a.dcm", "status": "ok", "tags": {"PatientID": "1", "Rows": null, ...}}
 *
 * usage: dicom_truth [-k keyword,keyword,...] file ...
 *
 * status is 'ok' or the message of the error; what was read before it is printed all the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/dictionary.h"
#include "dicom/value.h"

#define MAX_KEYWORDS 128

static const char *const default_keywords =
	"PatientID,PatientName,PatientBirthDate,PatientSex,PatientAge,OtherPatientIDs,StudyInstanceUID,StudyDate,"
	"StudyTime,StudyID,AccessionNumber,StudyDescription,ReferringPhysicianName,SeriesInstanceUID,SeriesNumber,"
	"SeriesDate,SeriesDescription,Modality,BodyPartExamined,SOPInstanceUID,SOPClassUID,InstanceNumber,Rows,Columns,"
	"NumberOfFrames,BitsAllocated,BitsStored,HighBit,PixelRepresentation,PhotometricInterpretation,SamplesPerPixel,"
	"PixelSpacing,SliceThickness,ImagePositionPatient,ImageOrientationPatient,WindowCenter,WindowWidth,RescaleSlope,"
	"RescaleIntercept,Manufacturer,ManufacturerModelName,DeviceSerialNumber,StationName,InstitutionName,"
	"SoftwareVersions";

struct wish
{
	const struct dicom_dictionary_entry *entries[MAX_KEYWORDS];
	uint32_t tags[MAX_KEYWORDS];
	int count;
};

static int
compare_tags(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a;
	uint32_t y = *(const uint32_t *) b;

	return (x > y) - (x < y);
}

static void
parse_keywords(const char *list, struct wish *wish)
{
	while (*list && wish->count < MAX_KEYWORDS)
	{
		size_t length = strcspn(list, ",");
		const struct dicom_dictionary_entry *entry = dicom_dictionary_by_keyword(list, length);

		if (!entry)
		{
			fprintf(stderr, "no such keyword: %.*s\n", (int) length, list);
			exit(2);
		}
		wish->entries[wish->count] = entry;
		wish->tags[wish->count++] = entry->tag;
		list += length + (list[length] == ',');
	}
	qsort(wish->tags, (size_t) wish->count, sizeof(wish->tags[0]), compare_tags);
}

static bool
load(const char *path, struct dicom_window *window)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	long size;

	if (!file)
		return false;
	if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0)
	{
		dicom_window_init(window, (uint64_t) size);
		bytes = dicom_window_reserve(window, 0, (size_t) size);
		if (bytes)
			dicom_window_commit(window, 0, fread(bytes, 1, (size_t) size, file));
	}
	fclose(file);
	return bytes != NULL;
}

static void
print_string(const char *text, size_t length)
{
	size_t i;

	putchar('"');
	for (i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void
print_tags(struct dicom_values *values, const struct dicom_dataset *dataset, const struct wish *wish)
{
	struct dicom_buffer text = {0};
	int i;

	for (i = 0; i < wish->count; i++)
	{
		const struct dicom_element *element = dicom_dataset_find(dataset, wish->entries[i]->tag);

		dicom_buffer_reset(&text);
		printf("%s\"%s\": ", i ? ", " : "", wish->entries[i]->keyword);
		if (element && dicom_value_text(values, dataset, element, &text))
			print_string(text.data, text.length);
		else
			printf("null");
	}
	dicom_buffer_free(&text);
}

static void
print_file(const char *path, const struct wish *wish)
{
	struct dicom_selection selection = {.tags = wish->tags, .tag_count = wish->count};
	struct dicom_dataset dataset = {0};
	struct dicom_values values = {0};
	struct dicom_window window;
	struct dicom_error error;
	const char *name = strrchr(path, '/');
	const char *status = "ok";

	if (!load(path, &window))
	{
		perror(path);
		exit(2);
	}
	if (dicom_dataset_open(&dataset, &window, &selection, &error) != DICOM_OK ||
		dicom_dataset_read(&dataset, &error) != DICOM_OK)
		status = error.message;
	printf("{\"file\": ");
	print_string(name ? name + 1 : path, strlen(name ? name + 1 : path));
	printf(", \"status\": \"%s\", \"tags\": {", status);
	print_tags(&values, &dataset, wish);
	printf("}}\n");
	dicom_dataset_close(&dataset, false);
	dicom_values_close(&values);
	dicom_window_free(&window);
}

int
main(int argc, char **argv)
{
	struct wish wish = {.count = 0};
	int i = 1;

	if (argc > 2 && strcmp(argv[1], "-k") == 0)
	{
		parse_keywords(argv[2], &wish);
		i = 3;
	}
	else
		parse_keywords(default_keywords, &wish);
	for (; i < argc; i++)
		print_file(argv[i], &wish);
	return 0;
}
