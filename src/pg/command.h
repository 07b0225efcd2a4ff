/*
 * command.h
 *	  Runs a command that a setting names, for what it prints.
 */
#ifndef PG_COMMAND_H
#define PG_COMMAND_H

#include "postgres.h"

/*
 * Runs `command` with /bin/sh and puts what it prints into `buffer`; returns how many bytes. What it prints as errors, and what it is
 * given to read, is nowhere. A cancel, a statement timeout and COMMAND_SECONDS end it, with all it has started. Throws where it does
 * not end with 0 or prints `size` bytes and more; `setting` is what messages call it. The buffer may then hold something.
 */
#define COMMAND_SECONDS 60

extern size_t command_output(const char *setting, const char *command, char *buffer, size_t size);

#endif
