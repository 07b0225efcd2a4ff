/*
 * decoder_main.c
 *	  dicompress-decoder: the process that decodes, started by dicompress and by backends, with a socket as descriptor 0.
 *
 *		dicompress-decoder MEMORY [writes]
 *
 * MEMORY is how many bytes of address space it may have; with `writes`, jobs may have outputs. All decoders are in here, and neither
 * network nor keys.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decoder.h"

#define WRONG_USE 2

static bool
has_parent(void)
{
	struct stat status;

	return fstat(STDIN_FILENO, &status) == 0 && S_ISSOCK(status.st_mode);
}

static bool
read_memory(const char *text, uint64_t *memory)
{
	char *end;

	errno = 0;
	*memory = strtoumax(text, &end, 10);
	return errno == 0 && end > text && *end == '\0';
}

int
main(int argc, char **argv)
{
	bool writes = argc == 3 && strcmp(argv[2], "writes") == 0;
	uint64_t memory;

	if (!has_parent() || argc != (writes ? 3 : 2) || !read_memory(argv[1], &memory))
	{
		fprintf(stderr, "dicompress-decoder is started by dicompress and by PostgreSQL\n");
		return WRONG_USE;
	}
	return decoder_serve(memory, writes);
}
