/*
 * options.h
 *	  Options of servers, user mappings, foreign tables and columns: what there is, what is valid, and their values.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* The options of a list of DefElem, or NULL where the option is not in it. */
extern const char *option_find(List *options, const char *name);

/* Typed values; validated when they were set, so these do not fail on what the validator let pass. */
extern int option_integer(List *options, const char *name, int fallback);
extern int option_milliseconds(List *options, const char *name, int fallback);
extern uint64 option_bytes(List *options, const char *name, uint64 fallback);

/* The position of an option's value in a NULL-terminated list of words, or fallback. */
extern int option_word(List *options, const char *name, const char *const *words, int fallback);

extern const char *const option_on_error_words[];     /* skip, error, ignore: skip without a word */
extern const char *const option_on_bad_value_words[]; /* null, error */
extern const char *const option_credentials_words[];  /* in the order of enum store_credentials_source */
extern const char *const option_url_style_words[];    /* in the order of enum store_url_style */
extern const char *const option_entity_words[];       /* in the order of enum entity_kind */

/*
 * The word of a NULL-terminated list, or of names, that is closest to what somebody wrote; NULL where none is near.
 * For hints.
 */
struct closest_match
{
	const char *wanted;
	const char *best;
	int distance;
};
extern void closest_match_offer(struct closest_match *match, const char *candidate);

#endif
