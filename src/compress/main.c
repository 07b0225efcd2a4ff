/*
 * main.c
 *	  dicompress: JPEG pictures of DICOM files.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "run.h"

#ifndef DICOMPRESS_VERSION
#define DICOMPRESS_VERSION "unknown"
#endif

#define NOTHING_BEGUN  2
#define DECODER_SUFFIX "-decoder" /* of the program beside this one that children are */

static int
complain(const struct dicom_error *error)
{
	fprintf(stderr, "dicompress: %s\n", error->message);
	if (error->object[0])
		fprintf(stderr, "dicompress: object: %s\n", error->object);
	if (error->hint[0])
		fprintf(stderr, "dicompress: hint: %s\n", error->hint);
	return NOTHING_BEGUN;
}

/* The path of this program, which may have been installed anew meanwhile; without /proc, the name that it was called by. */
static void
find_own_path(const char *name, char *path, size_t size)
{
	static const char deleted[] = " (deleted)";
	ssize_t length = readlink("/proc/self/exe", path, size - 1);

	if (length < 0)
	{
		snprintf(path, size, "%s", name);
		return;
	}
	path[length] = '\0';
	if ((size_t) length >= sizeof(deleted) && strcmp(path + length + 1 - sizeof(deleted), deleted) == 0)
		path[(size_t) length + 1 - sizeof(deleted)] = '\0';
}

static int
compress(struct options *options, const char *name)
{
	char decoder[PATH_MAX + sizeof(DECODER_SUFFIX)];
	struct report report;
	struct dicom_error error;
	enum dicom_status status = DICOM_OK;
	int code;

	report_open(&report);
	report.collects = options->is_event;
	if (options->is_event)
		status = event_read(options, &error);
	else
		report.shows_progress = options->shows_progress;
	if (status == DICOM_OK)
	{
		find_own_path(name, decoder, PATH_MAX);
		strcat(decoder, DECODER_SUFFIX);
		status = run_options(options, decoder, &report, &error);
	}
	if (status != DICOM_OK)
	{
		report_end(&report);
		code = complain(&error);
	}
	else if (options->is_event)
	{
		report_event(&report);
		code = 0;
	}
	else
	{
		report_end(&report);
		code = report_status(&report);
	}
	if (report.is_broken)
		code = NOTHING_BEGUN;
	report_close(&report);
	return code;
}

int
main(int argc, char **argv)
{
	struct options options;
	struct dicom_error error;

	signal(SIGPIPE, SIG_IGN);
	if (options_parse(argc, argv, &options, &error) != DICOM_OK)
		return complain(&error);
	if (options.is_help)
		options_print_help(stdout);
	else if (options.is_version)
		printf("dicompress %s\n", DICOMPRESS_VERSION);
	else
		return compress(&options, argv[0]);
	return 0;
}
