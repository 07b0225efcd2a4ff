/*
 * event.h
 *	  An event of a function as a service, as options.
 *
 *		{"source_bucket": B, "source_prefix": P, "target_bucket": B, "target_prefix": P, "files": [KEY, ...],
 *		 "key": T, "quality": N, "subsampling": "420", "max_size": N, "window": W, "frames": L, "overwrite": false,
 *		 "jobs": N, "state": URL, "endpoint": URL, "region": R}
 *
 * source and target may be URLs instead: "source": "s3://bucket/prefix/". Files are below the source; without files all that lies there is
 * meant.
 */
#ifndef COMPRESS_EVENT_H
#define COMPRESS_EVENT_H

#include "options.h"

/* Reads an event from standard input into options that hold the defaults. What is allocated lives as long as the process. */
extern enum dicom_status event_read(struct options *options, struct dicom_error *error);

#endif
