/*
 * main.c
 *	  dicompress: JPEG pictures of DICOM files.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "decoder.h"
#include "event.h"
#include "run.h"

#ifndef DICOMPRESS_VERSION
#define DICOMPRESS_VERSION "unknown"
#endif

#define NOTHING_BEGUN 2

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

#define OWN_PATH "/proc/self/exe"

/* Children are this very program, also where another version has been installed in its place meanwhile. */
static const char *
own_path(void)
{
	return access(OWN_PATH, X_OK) == 0 ? OWN_PATH : "dicompress";
}

static int
compress(struct options *options)
{
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
		status = run_options(options, own_path(), &report, &error);
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
	if (options.is_child)
		return decoder_main(options.memory, options.child_writes);
	if (options.is_help)
		options_print_help(stdout);
	else if (options.is_version)
		printf("dicompress %s\n", DICOMPRESS_VERSION);
	else
		return compress(&options);
	return 0;
}
