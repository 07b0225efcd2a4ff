/*
 * store_internal.h
 *	  What a kind of store (s3, file) supplies, and what store.c keeps for it.
 *
 * store.c checks arguments, dispatches, and keeps every open handle in its store so that store_close() finds them.
 * A kind embeds struct store (store_list, ...) as the first member of its own structure, and allocates and frees the whole
 * with calloc(), free(); store.c fills in the rest. Names end in what they do: a kind's close functions free.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include "store.h"

struct store_kind
{
	const char *scheme; /* of the location, without "://" */
	bool remote;

	/*
	 * Allocates the store. On DICOM_OK store.c sets kind, host and location afterwards; a kind that needs them earlier
	 * takes them from the arguments. `host` has its wait filled in always, location its last slash.
	 */
	enum dicom_status (*open)(const struct store_options *options, const struct store_host *host,
							  struct store **store, struct dicom_error *error);
	void (*close)(struct store *store); /* every handle has been closed before */

	/* NULL where the kind never waits: -1, -1, and done at once. */
	int (*wait_descriptor)(struct store *store);
	int (*wait_timeout)(struct store *store);
	enum dicom_status (*wait)(struct store *store, int timeout_ms, struct dicom_error *error);

	enum dicom_status (*list_open)(struct store *store, const struct store_list_request *request,
								   struct store_list **list, struct dicom_error *error);
	enum dicom_status (*list_next)(struct store_list *list, struct store_object *object,
								   struct dicom_error *error);
	void (*list_close)(struct store_list *list);

	enum dicom_status (*read_open)(struct store *store, const struct store_read_request *request,
								   struct store_read **read, struct dicom_error *error);
	enum dicom_status (*read_result)(struct store_read *read, size_t *length, struct store_object *object,
									 struct dicom_error *error);
	void (*read_close)(struct store_read *read);

	/* NULL: DICOM_END. */
	enum dicom_status (*open_descriptor)(struct store *store, const char *key, int *descriptor,
										 struct store_object *object, struct dicom_error *error);

	/* In requests of these, part_size is set; etag always points to STORE_ETAG_SIZE bytes, empty. */
	enum dicom_status (*put)(struct store *store, const struct store_put_request *request, const void *bytes,
							 size_t length, char *etag, struct dicom_error *error);
	enum dicom_status (*upload_open)(struct store *store, const struct store_put_request *request,
									 struct store_upload **upload, struct dicom_error *error);
	enum dicom_status (*upload_write)(struct store_upload *upload, const void *bytes, size_t length,
									  struct dicom_error *error);
	enum dicom_status (*upload_finish)(struct store_upload *upload, char *etag, struct dicom_error *error);
	void (*upload_close)(struct store_upload *upload,
						 bool may_wait); /* may_wait is false within store_close() */

	/* NULL, all of them: DICOM_END. */
	enum dicom_status (*draft_open)(struct store *store, struct store_upload **draft,
									struct dicom_error *error);
	int (*draft_descriptor)(const struct store_upload *draft);
	enum dicom_status (*draft_finish)(struct store_upload *draft, const struct store_put_request *request,
									  uint64_t length, struct dicom_error *error);

	enum dicom_status (*head)(struct store *store, const char *key, struct store_object *object,
							  struct dicom_error *error);
	enum dicom_status (*copy)(struct store *source, const char *source_key, const char *if_match,
							  struct store *target, const char *target_key, const char *storage_class,
							  char *etag, struct dicom_error *error); /* both are of this kind */
	enum dicom_status (*delete)(struct store *store, const char *key, struct dicom_error *error);

	/* Between two stores of this kind; NULL: always. */
	bool (*can_copy)(const struct store *source, const struct store *target);

	/* NULL, all of them, where the kind never waits: store.c makes them of the calls above. Requests have no condition. */
	enum dicom_status (*copy_open)(struct store *source, const char *source_key, const char *if_match,
								   struct store *target, const char *target_key, const char *storage_class,
								   struct store_change **change, struct dicom_error *error);
	enum dicom_status (*put_open)(struct store *store, const struct store_put_request *request,
								  const void *bytes, size_t length, struct store_change **change,
								  struct dicom_error *error);
	enum dicom_status (*delete_open)(struct store *store, const char *key, struct store_change **change,
									 struct dicom_error *error);
	enum dicom_status (*change_result)(struct store_change *change, char *etag, struct dicom_error *error);
	void (*change_close)(struct store_change *change);

	/* NULL: INVALID_OPTION. */
	enum dicom_status (*set_storage_class)(struct store *store, const char *key, const char *storage_class,
										   struct dicom_error *error);

	/* NULL: INVALID_OPTION. */
	enum dicom_status (*restore)(struct store *store, const char *key, int days, const char *tier,
								 struct dicom_error *error);

	/* Of what was deferred (store->defers_sync); NULL: nothing ever is. */
	enum dicom_status (*flush)(struct store *store, struct dicom_error *error);

	/* NULL: there is nothing to sweep. */
	enum dicom_status (*sweep)(struct store *store, const char *prefix, int64_t before, uint64_t *removed,
							   struct dicom_error *error);
};

#define STORE_ETAG_SIZE         128
#define STORE_DEFAULT_PART_SIZE ((size_t) 8 * 1024 * 1024)

/* Links of a handle in its store; kept by store.c. */
struct store_link
{
	struct store_link *next;
	struct store_link **place; /* what points here; NULL: not linked */
};

struct store
{
	const struct store_kind *kind;
	struct store_host host;
	char *location; /* with its last slash */
	struct store_statistics statistics;
	struct store_link *lists;
	struct store_link *reads;
	struct store_link *uploads;
	struct store_link *changes;
	struct store_read *last_read; /* of store_read(): owns the strings that it handed out */
	bool defers_sync;             /* store_defer_sync() */
};

struct store_list
{
	struct store_link link; /* first */
	struct store *store;    /* set by store.c after list_open; likewise below */
};

struct store_read
{
	struct store_link link;
	struct store *store;
};

struct store_upload
{
	struct store_link link;
	struct store *store;
};

struct store_change
{
	struct store_link link;
	struct store *store;
	int64_t last_modified; /* of a copy that has ended well; 0: not known */
};

/* Links of open handles. */
extern void store_link_handle(struct store_link **list, struct store_link *link);
extern void store_unlink_handle(struct store_link *link);

extern const struct store_kind store_kind_s3;
extern const struct store_kind store_kind_file;

/* Names the object that an error is about: location and key. Returns DICOM_FAILED. error may be NULL. */
extern enum dicom_status store_name_object(struct dicom_error *error, const struct store *store,
										   const char *key);

/* The wait of a host that has none: poll(2); a signal ends it early, without interrupting. */
extern bool store_poll(void *arg, int fd, int timeout_ms);

#endif
