/*
 * report.h
 *	  What is said of the work: lines of JSON, or one JSON object for an event; progress on a terminal; the exit status.
 */
#ifndef COMPRESS_REPORT_H
#define COMPRESS_REPORT_H

#include "../dicom/error.h"
#include "state.h"

struct report
{
	bool collects;       /* for report_event(), instead of lines */
	bool shows_progress; /* on standard error */
	bool is_broken;      /* nobody reads standard output any more */
	struct dicom_buffer lines;
	struct dicom_buffer pictures; /* where it collects */
	struct dicom_buffer errors;
	uint64_t pictures_made;
	uint64_t pictures_skipped;
	uint64_t sources_good; /* made or skipped */
	uint64_t sources_skipped;
	uint64_t sources_failed; /* wholly or in part */
	int64_t began_ms;
	int64_t shown_ms;
};

extern void report_open(struct report *report);
extern void report_close(struct report *report);

extern void report_picture(struct report *report, const char *source, const struct picture_note *picture,
						   uint32_t microseconds, bool is_skipped);

/* frame 0: the whole source. from_file: a NOT_FOUND is about what is in the file. */
extern void report_failure(struct report *report, const char *source, uint32_t frame,
						   const struct dicom_error *error, bool from_file);

/* Writes what was said; progress if it is time. */
extern void report_flush(struct report *report);

/* The last word on the terminal. */
extern void report_end(struct report *report);

/* The one object that an event is answered with. */
extern void report_event(struct report *report);

/* 0 all, 1 some failed, 2 none succeeded. */
extern int report_status(const struct report *report);

/* The stable short name of an error: 'malformed', 'no_pixel_data', ... */
extern const char *report_error_code(const struct dicom_error *error, bool from_file);

#endif
