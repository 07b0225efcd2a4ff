/*
 * program.c
 *	  Where the programs are that work beside a backend.
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"

#include <unistd.h>

#include "program.h"
#include "settings.h"

static char *
path_of_dicompress(void)
{
	char directory[MAXPGPATH];

	if (setting_dicompress_path[0] != '\0')
		return pstrdup(setting_dicompress_path);
	strlcpy(directory, my_exec_path, sizeof(directory));
	get_parent_directory(directory);
	return psprintf("%s/dicompress", directory);
}

static void
check_path(const char *name, const char *path)
{
	if (access(path, X_OK) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE), errmsg("the program %s cannot be executed: %m", name),
			 errdetail("Path: %s", path),
			 errhint(
				 "It is installed with the extension; where it is elsewhere, set dicom_fdw.dicompress_path.")));
}

char *
program_path(void)
{
	char *path = path_of_dicompress();

	check_path("dicompress", path);
	return path;
}

char *
program_decoder_path(void)
{
	char *path = psprintf("%s-decoder", path_of_dicompress());

	check_path("dicompress-decoder", path);
	return path;
}
