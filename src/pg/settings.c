/*
 * settings.c
 *	  The module's settings, in alphabetical order.
 */
#include "postgres.h"

#include "compat.h"
#include "utils/varlena.h"

#include "settings.h"

char *setting_allowed_endpoints;
char *setting_allowed_notification_hosts;
char *setting_ambient_roles;
char *setting_databases;
char *setting_dicompress_path;
char *setting_key_command;
char *setting_key_file;
int setting_max_runs;
int setting_worker_naptime;

/* Refuses what is not a list of identifiers, so that a typing error does not surface in the middle of a scan. */
static bool
check_name_list(char **value, void **extra, GucSource source)
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
		"dicom_fdw.allowed_notification_hosts", "Hosts that notifications of ordinary users may be sent to.",
		"Comma-separated host[:port] patterns, as in dicom_fdw.allowed_endpoints, for https; one that begins with \"http://\" is "
		"for plain http. Superusers may name any host but link-local and metadata addresses.",
		&setting_allowed_notification_hosts, "hc-ping.com,hooks.slack.com,slack.com", PGC_SUSET, 0, NULL,
		NULL, NULL);
	DefineCustomStringVariable(
		"dicom_fdw.ambient_roles", "Roles that may use the credentials of the machine.",
		"Comma-separated role names whose members may use credentials from the environment, a shared profile or the "
		"instance, beside superusers.",
		&setting_ambient_roles, "", PGC_SUSET, GUC_LIST_INPUT, check_name_list, NULL, NULL);
	DefineCustomStringVariable(
		"dicom_fdw.databases", "Databases whose pipelines the worker runs.",
		"Comma-separated names; one that is not all lower case needs double quotes. The library must be in "
		"shared_preload_libraries.",
		&setting_databases, "", PGC_SIGHUP, GUC_LIST_INPUT, check_name_list, NULL, NULL);
	DefineCustomStringVariable(
		"dicom_fdw.dicompress_path", "The program that makes pictures.",
		"Empty: dicompress in the directory of the server's programs. dicompress-decoder lies beside it.",
		&setting_dicompress_path, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"dicom_fdw.key_command", "Shell command that prints the keys for de-identification.",
		"One line per epoch: its number, a blank, 64 hex digits. It runs once in each process that needs a key, and again after "
		"a reload. Its text is no place for a secret.",
		&setting_key_command, "", PGC_SUSET, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"dicom_fdw.key_file", "File with the keys for de-identification.",
		"One line per epoch: its number, a blank, 64 hex digits. An absolute path outside of the data directory; the file belongs to "
		"the server's user or root, and nobody else may read it.",
		&setting_key_file, "", PGC_SUSET, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("dicom_fdw.max_runs",
							"Pipelines that the worker runs at a time, in all databases.", NULL,
							&setting_max_runs, 2, 1, 32, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dicom_fdw.worker_naptime",
							"How often the worker looks for pipelines that are due.",
							"dicom.wake() does not wait for it.", &setting_worker_naptime, 30, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	MarkGUCPrefixReserved("dicom_fdw");
}
