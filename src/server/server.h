/*
 * server.h
 *	  From a foreign server and a user to an open store, with the rights that this user and the server's owner have.
 *
 * - Keys come from the user mapping (the user's own, else PUBLIC's); it may be absent.
 * - Credentials of the machine are used only where the user and the owner of the server are superusers or members of a
 *	 role in dicom_fdw.ambient_roles.
 * - The endpoint is free for a server that a superuser owns, else bound to dicom_fdw.allowed_endpoints.
 * - file:// needs an owner with the privileges of pg_read_server_files, as a file_fdw table does; who may read its tables is
 *	 then a matter of GRANT. Writing there needs an owner with the privileges of pg_write_server_files, and a user who has them
 *	 too or is a member of the owner: a directory has no credentials that would tell who may.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "postgres.h"

#include "foreign/foreign.h"

#include "../store/store.h"

/* Opens the store of a server for a user, tied to `context`. Throws. */
extern struct store *server_open_store(ForeignServer *server, Oid user, MemoryContext context);

/* The same for one that will be written to. Whoever calls has seen that the user has USAGE on the server. */
extern struct store *server_open_writable_store(ForeignServer *server, Oid user, MemoryContext context);

/*
 * store_flush(), in front of what a transaction commits about objects of that store. Throws. With fsync = off nothing is flushed: then the
 * commit is no safer than the files.
 */
extern void server_flush_store(struct store *store);

/*
 * What opens the store of a server for a user, for a program that is to do it; with the same rights. Strings live as long as the
 * current context, and hold secrets.
 */
extern void server_store_options(ForeignServer *server, Oid user, bool to_write,
								 struct store_options *options);

/* The server of this name that belongs to dicom_fdw and that the current user has USAGE on. Throws. */
extern ForeignServer *server_by_name(const char *name);

/* Its location option. */
extern const char *server_location(ForeignServer *server);

#endif
