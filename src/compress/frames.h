/*
 * frames.h
 *	  Which frames of an object: "1-3,7,12-", counted from 1.
 */
#ifndef COMPRESS_FRAMES_H
#define COMPRESS_FRAMES_H

#include "child.h"

struct frame_set
{
	struct child_range *ranges; /* ascending, apart; none: all frames */
	int count;
};

/* INVALID_OPTION for what is no such list, or has more than MESSAGE_MAX_RANGES ranges. NULL and '' are all frames. */
extern enum dicom_status frame_set_parse(const char *text, struct frame_set *set, struct dicom_error *error);
extern void frame_set_free(struct frame_set *set);

/* What of a set lies behind a frame; `rest` has room for count + 1 ranges. Returns how many ranges these are. */
extern int frame_set_behind(const struct frame_set *set, uint32_t frame, struct child_range *rest);

#endif
