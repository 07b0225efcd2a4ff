/*
 * settings.c
 *	  The module's settings, in alphabetical order.
 */
#include "postgres.h"

#include "compat.h"
#include "utils/varlena.h"

#include "settings.h"

char *setting_allowed_endpoints;
char *setting_ambient_roles;

/* Refuses what is not a list of identifiers, so that a typing error does not surface in the middle of a scan. */
static bool
check_role_list(char **value, void **extra, GucSource source)
{
	char *copy = pstrdup(*value);
	List *names;
	bool valid = SplitIdentifierString(copy, ',', &names);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	pfree(copy);
	return valid;
}

void
settings_define(void)
{
	DefineCustomStringVariable(
		"dicom_fdw.allowed_endpoints", "Endpoints that servers of ordinary users may name.",
		"Comma-separated host[:port] patterns; a leading \"*.\" stands for one or more labels. Servers owned by a superuser "
		"may name any endpoint but link-local and metadata addresses.",
		&setting_allowed_endpoints, "*.amazonaws.com,*.amazonaws.com.cn", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"dicom_fdw.ambient_roles", "Roles that may use the credentials of the machine.",
		"Comma-separated role names whose members may use credentials from the environment, a shared profile or the "
		"instance, beside superusers.",
		&setting_ambient_roles, "", PGC_SUSET, GUC_LIST_INPUT, check_role_list, NULL, NULL);
	MarkGUCPrefixReserved("dicom_fdw");
}
