/*
 * compress_arguments.h
 *	  What dicompress is told: options, as arguments, and stores, as JSON.
 */
#ifndef PIPELINE_COMPRESS_ARGUMENTS_H
#define PIPELINE_COMPRESS_ARGUMENTS_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "../store/store.h"

#define COMPRESS_MAX_OPTIONS 8

/*
 * Adds options, of which there are at most COMPRESS_MAX_OPTIONS, to the arguments; returns how many those are then. One is not for dicompress:
 * *inline_limit stays as it is where it is not given. Throws for what is no option.
 */
extern int compress_add_options(Jsonb *options, const char **arguments, int count, int64 *inline_limit);

/* Its location, UTF-8, with its last slash. */
extern char *compress_location(const struct store_options *options);

/* The JSON that --stores reads. It holds secrets. */
extern char *compress_describe_stores(const struct store_options *source, const struct store_options *target);

/* Appends a comma and a member that is a string, in UTF-8; NULL: nothing. */
extern void compress_add_member(StringInfo json, const char *name, const char *value);

#endif
