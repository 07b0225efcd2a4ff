/*
 * program.c
 *	  Where the program dicompress is.
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"

#include <unistd.h>

#include "program.h"
#include "settings.h"

char *
program_path(void)
{
	char directory[MAXPGPATH];
	char *path;

	if (setting_dicompress_path[0] != '\0')
		path = pstrdup(setting_dicompress_path);
	else
	{
		strlcpy(directory, my_exec_path, sizeof(directory));
		get_parent_directory(directory);
		path = psprintf("%s/dicompress", directory);
	}
	if (access(path, X_OK) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE), errmsg("the program dicompress cannot be executed: %m"),
			 errdetail("Path: %s", path),
			 errhint(
				 "It is installed with the extension; where it is elsewhere, set dicom_fdw.dicompress_path.")));
	return path;
}
