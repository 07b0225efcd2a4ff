/*
 * places.h
 *	  From URLs and paths to stores and keys.
 *
 * A place is a location and how to reach it. With --stores there are those that it lists, and a URL belongs to the longest location that
 * it begins with; what begins with none is refused. Without, every bucket that is named is a place, and so is the file system.
 */
#ifndef COMPRESS_PLACES_H
#define COMPRESS_PLACES_H

#include "options.h"

struct places;

/* Errors: INVALID_OPTION for a list of stores that makes no sense. */
extern enum dicom_status places_open(const struct options *options, struct places **places,
									 struct dicom_error *error);
extern void places_close(struct places *places);

/* What a URL or a path names. Strings are freed by place_name_free(). */
struct place_name
{
	int place;
	char *url; /* absolute, with links resolved where it is a path */
	char *key; /* in the place's location; a prefix, '' or ending in a slash, where is_prefix */
	bool is_prefix;
};

extern enum dicom_status places_find(struct places *places, const char *text, struct place_name *name,
									 struct dicom_error *error);
extern void place_name_free(struct place_name *name);

/* The options that open the store of a place; valid until places_close(). */
extern const struct store_options *places_options(const struct places *places, int place);

/* Where things are written: a store, and what all keys begin with. A directory that is named by its path is made. */
struct place_target
{
	struct store_options options; /* strings are the places' */
	const char *prefix;           /* '' or ending in a slash */
};

extern enum dicom_status places_target(struct places *places, const char *text, struct place_target *target,
									   struct dicom_error *error);

#endif
