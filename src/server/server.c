/*
 * server.c
 *	  From a foreign server and a user to an open store.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/reloptions.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_user_mapping.h"
#include "miscadmin.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"
#include "utils/varlena.h"

#include "../pg/handle.h"
#include "../pg/report.h"
#include "../pg/settings.h"
#include "../pg/wait.h"
#include "options.h"
#include "server.h"

/* The options of one mapping; *found says whether there is one. */
static List *
mapping_of(Oid user, Oid server, bool *found)
{
	HeapTuple tuple =
		SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user), ObjectIdGetDatum(server));
	List *options = NIL;
	Datum datum;
	bool isnull;

	*found = HeapTupleIsValid(tuple);
	if (!*found)
		return NIL;
	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return options;
}

/* GetUserMapping() throws where there is none; here a server without keys is a normal thing. */
static List *
mapping_options(Oid user, Oid server)
{
	bool found;
	List *options = mapping_of(user, server, &found);

	return found ? options : mapping_of(InvalidOid, server, &found);
}

static bool
may_use_ambient_credentials(Oid user)
{
	List *names;
	ListCell *cell;

	if (superuser_arg(user))
		return true;
	if (!SplitIdentifierString(pstrdup(setting_ambient_roles), ',', &names))
		return false;
	foreach (cell, names)
	{
		Oid role = get_role_oid(lfirst(cell), true);

		if (OidIsValid(role) && has_privs_of_role(user, role))
			return true;
	}
	return false;
}

const char *
server_location(ForeignServer *server)
{
	const char *location = option_find(server->options, "location");

	if (location == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
						errmsg("server \"%s\" has no option \"location\"", server->servername),
						errhint("ALTER SERVER %s OPTIONS (ADD location 's3://bucket/prefix/').",
								server->servername)));
	return location;
}

static void
require_owner_reads_files(ForeignServer *server)
{
	if (!has_privs_of_role(server->owner, ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to read files through server \"%s\"", server->servername),
						errhint("Its owner must have the privileges of role \"pg_read_server_files\".")));
}

static void
require_user_writes_files(ForeignServer *server, Oid user)
{
	if (!has_privs_of_role(server->owner, ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to write files through server \"%s\"", server->servername),
						errhint("Its owner must have the privileges of role \"pg_write_server_files\".")));
	if (!has_privs_of_role(user, server->owner) && !has_privs_of_role(user, ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to write files through server \"%s\"", server->servername),
						errhint("Be a member of its owner, or of role \"pg_write_server_files\".")));
}

static void
fill_options(ForeignServer *server, Oid user, struct store_options *options)
{
	List *mapping = mapping_options(user, server->serverid);
	List *list = server->options;

	options->location = server_location(server);
	options->endpoint = option_find(list, "endpoint");
	options->region = option_find(list, "region");
	options->url_style = option_word(list, "url_style", option_url_style_words, STORE_URL_AUTO);
	options->tls_ca = option_find(list, "tls_ca");
	options->credentials = option_word(list, "credentials", option_credentials_words, STORE_CREDENTIALS_AUTO);
	options->profile = option_find(list, "profile");
	options->access_key_id = option_find(mapping, "access_key_id");
	options->secret_access_key = option_find(mapping, "secret_access_key");
	options->session_token = option_find(mapping, "session_token");
	options->allow_ambient = may_use_ambient_credentials(user) && may_use_ambient_credentials(server->owner);
	options->restrict_endpoints = !superuser_arg(server->owner);
	options->allowed_endpoints = setting_allowed_endpoints;
	options->max_requests = option_integer(list, "max_requests", 0);
	options->request_timeout_ms = option_milliseconds(list, "request_timeout", 0);
	options->max_retries = option_integer(list, "max_retries", -1);
}

static void
close_store(void *store)
{
	store_close(store);
}

static bool
is_directory(ForeignServer *server)
{
	return strncmp(server_location(server), "file:", 5) == 0;
}

void
server_store_options(ForeignServer *server, Oid user, bool to_write, struct store_options *options)
{
	memset(options, 0, sizeof(*options));
	fill_options(server, user, options);
	if (!is_directory(server))
		return;
	require_owner_reads_files(server);
	if (to_write)
		require_user_writes_files(server, user);
}

static struct store *
open_store(ForeignServer *server, Oid user, bool to_write, MemoryContext context)
{
	struct store_options options;
	struct dicom_error error;
	struct store *store;

	server_store_options(server, user, to_write, &options);
	if (store_open(&options, &backend_host, &store, &error) != DICOM_OK)
		report_error(&error);
	handle_tie(context, close_store, store);
	return store;
}

struct store *
server_open_store(ForeignServer *server, Oid user, MemoryContext context)
{
	return open_store(server, user, false, context);
}

struct store *
server_open_writable_store(ForeignServer *server, Oid user, MemoryContext context)
{
	return open_store(server, user, true, context);
}

void
server_flush_store(struct store *store)
{
	struct dicom_error error;
	enum dicom_status status;

	if (!enableFsync)
		return;
	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	status = store_flush(store, &error);
	pgstat_report_wait_end();
	if (status != DICOM_OK)
		report_error(&error);
}

ForeignServer *
server_by_name(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, false);
	ForeignDataWrapper *wrapper = GetForeignDataWrapper(server->fdwid);
	AclResult allowed = server_aclcheck(server->serverid, GetUserId(), ACL_USAGE);

	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_FOREIGN_SERVER, server->servername);
	if (strcmp(wrapper->fdwname, "dicom_fdw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" belongs to foreign-data wrapper \"%s\"", name, wrapper->fdwname),
				 errhint("Name a server made with FOREIGN DATA WRAPPER dicom_fdw.")));
	return server;
}
