/*
 * directory.c
 *	  Makes the directory that a server's location names.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "catalog/pg_authid.h"
#include "common/file_perm.h"
#include "utils/acl.h"
#include "utils/builtins.h"

SQL_FUNCTION(dicom_make_directory);

/* make_directory(path): with those above it; one that is there stays as it is. */
Datum
dicom_make_directory(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to make a directory"),
				 errhint("Only roles with the privileges of role \"pg_write_server_files\" may.")));
	if (!is_absolute_path(path))
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("path of a directory is not absolute"),
						errdetail("Path: %s", path)));
	if (pg_mkdir_p(path, pg_dir_create_mode) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not make directory \"%s\": %m", path)));
	PG_RETURN_VOID();
}
