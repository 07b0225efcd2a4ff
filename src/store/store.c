/*
 * store.c
 *	  Dispatches to the kind of store that a location names, and keeps track of open handles.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

static const struct store_kind *const kinds[] = {&store_kind_s3, &store_kind_file};

/* --- what kinds share --- */

bool
store_poll(void *arg, int fd, int timeout_ms)
{
	struct pollfd wanted = {.fd = fd, .events = POLLIN};

	poll(&wanted, 1, timeout_ms); /* poll(2) passes over a descriptor of -1 */
	return true;
}

enum dicom_status
store_name_object(struct dicom_error *error, const struct store *store, const char *key)
{
	if (error)
		snprintf(error->object, sizeof(error->object), "%s%s", store->location ? store->location : "",
				 key ? key : "");
	return DICOM_FAILED;
}

void
store_link_handle(struct store_link **list, struct store_link *link)
{
	link->next = *list;
	if (link->next)
		link->next->place = &link->next;
	link->place = list;
	*list = link;
}

void
store_unlink_handle(struct store_link *link)
{
	*link->place = link->next;
	if (link->next)
		link->next->place = link->place;
}

/* --- opening --- */

static const struct store_kind *
find_kind(const char *location)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		size_t length = strlen(kinds[i]->scheme);

		if (strncmp(location, kinds[i]->scheme, length) == 0 && strncmp(location + length, "://", 3) == 0)
			return kinds[i];
	}
	return NULL;
}

static char *
with_last_slash(const char *location)
{
	size_t length = strlen(location);
	char *copy = malloc(length + 2);

	if (!copy)
		return NULL;
	memcpy(copy, location, length + 1);
	if (length == 0 || copy[length - 1] != '/')
		strcpy(copy + length, "/");
	return copy;
}

static enum dicom_status
check_options(const struct store_options *options, struct dicom_error *error)
{
	if (!options->location || !*options->location)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "option location is missing");
	if (!find_kind(options->location))
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "option location names no kind of store that is known");
		return dicom_hint(error, "write s3://bucket/prefix/ or file:///directory/");
	}
	if (options->max_requests < 0 || options->max_requests > 4096)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
						  "option max_requests must lie between 1 and 4096");
	if (options->request_timeout_ms < 0 || options->connect_timeout_ms < 0 || options->max_retries < -1)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "timeouts and retries cannot be negative");
	return DICOM_OK;
}

enum dicom_status
store_open(const struct store_options *options, const struct store_host *host, struct store **result,
		   struct dicom_error *error)
{
	struct store_host own_host = host && host->wait ? *host : (struct store_host){store_poll, NULL};
	struct store_options own = *options;
	const struct store_kind *kind;
	struct store *store;
	char *location;

	if (check_options(options, error) != DICOM_OK)
		return DICOM_FAILED;
	kind = find_kind(options->location);
	location = with_last_slash(options->location);
	if (!location)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	own.location = location;
	if (kind->open(&own, &own_host, &store, error) != DICOM_OK)
	{
		if (error)
			snprintf(error->object, sizeof(error->object), "%s", location);
		free(location);
		return DICOM_FAILED;
	}
	store->kind = kind;
	store->host = own_host;
	store->location = location;
	*result = store;
	return DICOM_OK;
}

static void
close_upload(struct store_upload *upload, bool may_wait)
{
	struct store *store = upload->store;

	store_unlink_handle(&upload->link);
	store->kind->upload_close(upload, may_wait);
}

void
store_close(struct store *store)
{
	char *location;

	if (!store)
		return;
	while (store->lists)
		store_list_close((struct store_list *) store->lists);
	while (store->reads)
		store_read_close((struct store_read *) store->reads);
	while (store->uploads)
		close_upload((struct store_upload *) store->uploads, false);
	while (store->changes)
		store_change_close((struct store_change *) store->changes);
	location = store->location;
	store->kind->close(store);
	free(location);
}

/* --- about the store --- */

const struct store_statistics *
store_statistics(const struct store *store)
{
	return &store->statistics;
}

void
store_statistics_add(struct store_statistics *sum, const struct store_statistics *more)
{
	sum->list_requests += more->list_requests;
	sum->get_requests += more->get_requests;
	sum->head_requests += more->head_requests;
	sum->put_requests += more->put_requests;
	sum->other_requests += more->other_requests;
	sum->retries += more->retries;
	sum->objects_listed += more->objects_listed;
	sum->bytes_received += more->bytes_received;
	sum->bytes_sent += more->bytes_sent;
}

bool
store_is_remote(const struct store *store)
{
	return store->kind->remote;
}

const char *
store_location(const struct store *store)
{
	return store->location;
}

int
store_wait_descriptor(struct store *store)
{
	return store->kind->wait_descriptor ? store->kind->wait_descriptor(store) : -1;
}

int
store_wait_timeout(struct store *store)
{
	return store->kind->wait_timeout ? store->kind->wait_timeout(store) : -1;
}

enum dicom_status
store_wait(struct store *store, int timeout_ms, struct dicom_error *error)
{
	return store->kind->wait ? store->kind->wait(store, timeout_ms, error) : DICOM_OK;
}

/* --- listing and reading --- */

enum dicom_status
store_list_open(struct store *store, const struct store_list_request *request, struct store_list **list,
				struct dicom_error *error)
{
	if (store->kind->list_open(store, request, list, error) != DICOM_OK)
		return DICOM_FAILED;
	(*list)->store = store;
	store_link_handle(&store->lists, &(*list)->link);
	return DICOM_OK;
}

enum dicom_status
store_list_next(struct store_list *list, struct store_object *object, struct dicom_error *error)
{
	return list->store->kind->list_next(list, object, error);
}

void
store_list_close(struct store_list *list)
{
	if (!list)
		return;
	store_unlink_handle(&list->link);
	list->store->kind->list_close(list);
}

enum dicom_status
store_read_open(struct store *store, const struct store_read_request *request, struct store_read **read,
				struct dicom_error *error)
{
	if (store->kind->read_open(store, request, read, error) != DICOM_OK)
		return DICOM_FAILED;
	(*read)->store = store;
	store_link_handle(&store->reads, &(*read)->link);
	return DICOM_OK;
}

enum dicom_status
store_read_result(struct store_read *read, size_t *length, struct store_object *object,
				  struct dicom_error *error)
{
	return read->store->kind->read_result(read, length, object, error);
}

void
store_read_close(struct store_read *read)
{
	if (!read)
		return;
	store_unlink_handle(&read->link);
	read->store->kind->read_close(read);
}

/* Waits until a read has ended, and tells how. */
static enum dicom_status
finish_reading(struct store_read *read, size_t *length, struct store_object *object,
			   struct dicom_error *error)
{
	enum dicom_status status;

	while ((status = store_read_result(read, length, object, error)) == DICOM_PENDING)
		if (store_wait(read->store, -1, error) != DICOM_OK)
			return DICOM_FAILED;
	return status;
}

enum dicom_status
store_read(struct store *store, const struct store_read_request *request, size_t *length,
		   struct store_object *object, struct dicom_error *error)
{
	struct store_read *read;
	enum dicom_status status;

	/* The strings of *object belong to the read, which therefore lives until the next one. */
	store_read_close(store->last_read);
	store->last_read = NULL;
	if (store_read_open(store, request, &read, error) != DICOM_OK)
		return DICOM_FAILED;
	status = finish_reading(read, length, object, error);
	if (status == DICOM_OK)
		store->last_read = read;
	else
		store_read_close(read);
	return status;
}

enum dicom_status
store_open_descriptor(struct store *store, const char *key, int *descriptor, struct store_object *object,
					  struct dicom_error *error)
{
	if (!store->kind->open_descriptor)
		return DICOM_END;
	return store->kind->open_descriptor(store, key, descriptor, object, error);
}

/* --- writing --- */

void
store_defer_sync(struct store *store)
{
	store->defers_sync = true;
}

enum dicom_status
store_flush(struct store *store, struct dicom_error *error)
{
	return store->defers_sync && store->kind->flush ? store->kind->flush(store, error) : DICOM_OK;
}

static struct store_put_request
with_part_size(const struct store_put_request *request)
{
	struct store_put_request own = *request;

	if (own.part_size == 0)
		own.part_size = STORE_DEFAULT_PART_SIZE;
	return own;
}

static enum dicom_status
check_put(const struct store_put_request *request, struct dicom_error *error)
{
	if (!request->key || !*request->key)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "an object needs a key");
	if (request->if_none_match && request->if_match)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "if_none_match and if_match exclude each other");
	return DICOM_OK;
}

/* A kind always gets room for the etag, whether the caller wants it or not. */
static char *
etag_room(char *etag, char *own)
{
	char *room = etag ? etag : own;

	room[0] = '\0';
	return room;
}

enum dicom_status
store_put(struct store *store, const struct store_put_request *request, const void *bytes, size_t length,
		  char *etag, struct dicom_error *error)
{
	struct store_put_request own = with_part_size(request);
	char own_etag[STORE_ETAG_SIZE];

	if (check_put(request, error) != DICOM_OK)
		return DICOM_FAILED;
	return store->kind->put(store, &own, bytes, length, etag_room(etag, own_etag), error);
}

enum dicom_status
store_upload_open(struct store *store, const struct store_put_request *request, struct store_upload **upload,
				  struct dicom_error *error)
{
	struct store_put_request own = with_part_size(request);

	if (check_put(request, error) != DICOM_OK ||
		store->kind->upload_open(store, &own, upload, error) != DICOM_OK)
		return DICOM_FAILED;
	(*upload)->store = store;
	store_link_handle(&store->uploads, &(*upload)->link);
	return DICOM_OK;
}

enum dicom_status
store_upload_write(struct store_upload *upload, const void *bytes, size_t length, struct dicom_error *error)
{
	return upload->store->kind->upload_write(upload, bytes, length, error);
}

enum dicom_status
store_upload_finish(struct store_upload *upload, char *etag, struct dicom_error *error)
{
	char own_etag[STORE_ETAG_SIZE];

	return upload->store->kind->upload_finish(upload, etag_room(etag, own_etag), error);
}

void
store_upload_close(struct store_upload *upload)
{
	if (upload)
		close_upload(upload, true);
}

enum dicom_status
store_draft_open(struct store *store, struct store_upload **draft, struct dicom_error *error)
{
	enum dicom_status status =
		store->kind->draft_open ? store->kind->draft_open(store, draft, error) : DICOM_END;

	if (status != DICOM_OK)
		return status;
	(*draft)->store = store;
	store_link_handle(&store->uploads, &(*draft)->link);
	return DICOM_OK;
}

int
store_draft_descriptor(const struct store_upload *draft)
{
	return draft->store->kind->draft_descriptor(draft);
}

enum dicom_status
store_draft_finish(struct store_upload *draft, const struct store_put_request *request, uint64_t length,
				   struct dicom_error *error)
{
	struct store_put_request own = with_part_size(request);

	if (check_put(request, error) != DICOM_OK)
		return DICOM_FAILED;
	return draft->store->kind->draft_finish(draft, &own, length, error);
}

enum dicom_status
store_head(struct store *store, const char *key, struct store_object *object, struct dicom_error *error)
{
	return store->kind->head(store, key, object, error);
}

enum dicom_status
store_copy(struct store *source, const char *source_key, const char *if_match, struct store *target,
		   const char *target_key, const char *storage_class, char *etag, struct dicom_error *error)
{
	char own_etag[STORE_ETAG_SIZE];

	if (source->kind != target->kind)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "cannot copy between different kinds of store");
		return store_name_object(error, target, target_key);
	}
	return source->kind->copy(source, source_key, if_match, target, target_key, storage_class,
							  etag_room(etag, own_etag), error);
}

enum dicom_status
store_delete(struct store *store, const char *key, struct dicom_error *error)
{
	return store->kind->delete (store, key, error);
}

enum dicom_status
store_set_storage_class(struct store *store, const char *key, const char *storage_class,
						struct dicom_error *error)
{
	if (!store->kind->set_storage_class)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a store of kind %s has no storage classes",
				   store->kind->scheme);
		return store_name_object(error, store, key);
	}
	return store->kind->set_storage_class(store, key, storage_class, error);
}

enum dicom_status
store_restore(struct store *store, const char *key, int days, const char *tier, struct dicom_error *error)
{
	if (!store->kind->restore)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "a store of kind %s has no storage classes",
				   store->kind->scheme);
		return store_name_object(error, store, key);
	}
	return store->kind->restore(store, key, days, tier, error);
}

enum dicom_status
store_sweep(struct store *store, const char *prefix, int64_t before, uint64_t *removed,
			struct dicom_error *error)
{
	*removed = 0;
	return store->kind->sweep ? store->kind->sweep(store, prefix ? prefix : "", before, removed, error)
							  : DICOM_OK;
}
