/*
 * options.h
 *	  What dicompress is asked to do.
 */
#ifndef COMPRESS_OPTIONS_H
#define COMPRESS_OPTIONS_H

#include <stdio.h>

#include "../store/store.h"
#include "frames.h"
#include "template.h"

#define DEFAULT_KEY     "{series_instance_uid}/{sop_instance_uid}/{frame}.jpg"
#define DEFAULT_QUALITY 90

struct options
{
	/* what to do instead */
	bool is_event;
	bool is_help;
	bool is_version;

	const char *output;
	const char *state; /* where it is kept what is done already; NULL: below the output. 'none': nowhere */
	const char *key;
	int jobs;
	uint64_t memory; /* of a child; 0: an even share of the machine's */
	int timeout_ms;
	bool overwrite;
	bool shows_progress;
	struct picture_options picture;
	const char *window;         /* as given */
	const char *frames;         /* as given; NULL: all */
	struct store_options store; /* for URLs that `stores` does not name */
	const char *stores;         /* FILE or fd:N; NULL: none */

	const char **sources; /* URLs and paths, '-' for standard input; points into argv */
	int source_count;
	const char *files_from;
};

/* Reads the command line. INVALID_OPTION with what is wrong. What is allocated lives as long as the process. */
extern enum dicom_status options_parse(int argc, char **argv, struct options *options,
									   struct dicom_error *error);

/* What is the same for the command line and an event. */
extern void options_default(struct options *options);
extern enum dicom_status options_set_window(struct options *options, const char *text,
											struct dicom_error *error);
extern enum dicom_status options_set_subsampling(struct options *options, const char *text,
												 struct dicom_error *error);
extern enum dicom_status options_set_quality(struct options *options, int64_t quality,
											 struct dicom_error *error);
extern enum dicom_status options_check(const struct options *options, struct dicom_error *error);

/* Appends whatever decides how pictures look and what they are called: pictures of another fingerprint are made anew. */
extern void options_fingerprint(const struct options *options, const char *key, const char *frames,
								struct dicom_buffer *out);

extern void options_print_help(FILE *out);

#endif
