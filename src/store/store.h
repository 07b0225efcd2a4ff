/*
 * store.h
 *	  Where objects live: an S3 bucket below a prefix, or a directory. Everything above is unaware which.
 *
 * Keys are relative to the store's location, UTF-8, in byte order. A store belongs to one thread. Requests are
 * asynchronous: started, then driven by store_wait(); the synchronous calls do both. Whoever opens a store supplies a
 * host: the only way the store ever waits. A waiting call ends with DICOM_ERROR_INTERRUPTED as soon as the host says so.
 *
 * Retries happen inside: 429, 500, 502, 503, 504, SlowDown, RequestTimeout, resets, short bodies and silence
 * are repeated with exponential back-off and full jitter, at most max_retries times a request and within a
 * budget of the whole store (a token bucket, so that a dead server is not asked 64 x 5 times). What comes out as
 * DICOM_FAILED has been through that; error.attempts says how often. Requests that are not idempotent by nature are made so
 * (conditional headers) or not repeated.
 */
#ifndef STORE_H
#define STORE_H

#include <stddef.h>

#include "../dicom/error.h"

/* How a store waits and what it may use. */
struct store_host
{
	/*
	 * Waits until fd can be read or timeout_ms have passed (-1: no limit); fd is -1 for a plain sleep.
	 * Returns false to interrupt. NULL: poll(2).
	 */
	bool (*wait)(void *arg, int fd, int timeout_ms);
	void *arg;
};

enum store_credentials_source
{
	STORE_CREDENTIALS_AUTO, /* given keys, then the ambient chain where it is allowed, then anonymous */
	STORE_CREDENTIALS_MAPPING,
	STORE_CREDENTIALS_ENVIRONMENT,
	STORE_CREDENTIALS_PROFILE,
	STORE_CREDENTIALS_INSTANCE, /* web identity, ECS, IMDSv2 */
	STORE_CREDENTIALS_ANONYMOUS
};

enum store_url_style
{
	STORE_URL_AUTO, /* virtual for AWS's endpoints and names that allow it, else path */
	STORE_URL_PATH,
	STORE_URL_VIRTUAL
};

/* All strings may be NULL where a default is named; they are copied. */
struct store_options
{
	const char *location; /* s3://bucket/prefix/ or file:///directory/; a missing last slash is added */
	const char *endpoint; /* https://s3.<region>.amazonaws.com */
	const char *region;   /* us-east-1 */
	enum store_url_style url_style;
	const char *tls_ca; /* file of certificates; the system's. Verification cannot be turned off */
	enum store_credentials_source credentials;
	const char *profile; /* of the shared files; 'default' or AWS_PROFILE */
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token;
	bool allow_ambient;      /* may anything but the given keys and anonymous access be used? */
	bool restrict_endpoints; /* must the endpoint match allowed_endpoints? */
	const char *
		allowed_endpoints; /* comma-separated host[:port] patterns, a leading '*.' stands for one or more labels;
									* NULL: *.amazonaws.com,*.amazonaws.com.cn */
	int max_requests;      /* in flight; 0: 64 */
	int request_timeout_ms; /* without a byte received or sent; 0: 30000 */
	int connect_timeout_ms; /* 0: 10000 */
	int max_retries;        /* of one request; -1: 5 */
};

/* What a listing, or the answer to a read, says of an object. Strings are owned by whoever hands it out. */
struct store_object
{
	const char *key;
	uint64_t size;             /* STORE_SIZE_UNKNOWN where not known yet */
	const char *etag;          /* without quotes; for files: inode, size and mtime in hex */
	int64_t last_modified;     /* microseconds since 1970-01-01 UTC; 0: unknown */
	const char *storage_class; /* 'STANDARD' where the store names none */
};

#define STORE_SIZE_UNKNOWN UINT64_MAX

/* Counted since store_open(), for EXPLAIN and metrics. */
struct store_statistics
{
	uint64_t list_requests;
	uint64_t get_requests; /* reads of files count too */
	uint64_t head_requests;
	uint64_t put_requests;   /* each part is one */
	uint64_t other_requests; /* copy, delete, credentials */
	uint64_t retries;
	uint64_t objects_listed;
	uint64_t bytes_received; /* bodies of reads */
	uint64_t bytes_sent;
};

struct store;
struct store_list;
struct store_read;

/* Opens a store; no request is made. Errors: INVALID_OPTION, ENDPOINT_REFUSED, NO_BUCKET (a directory that is not there), IO. */
extern enum dicom_status store_open(const struct store_options *options, const struct store_host *host,
									struct store **store, struct dicom_error *error);

/* Closes a store and whatever is open in it; requests in flight are dropped. NULL is ignored. Never waits. */
extern void store_close(struct store *store);

extern const struct store_statistics *store_statistics(const struct store *store);

/* Adds what was counted elsewhere. */
extern void store_statistics_add(struct store_statistics *sum, const struct store_statistics *more);

/* True where reads cost a round trip, so that many should be in flight: s3. */
extern bool store_is_remote(const struct store *store);

/* Its location as given, for messages. Never holds a secret. */
extern const char *store_location(const struct store *store);

/*
 * A descriptor that becomes readable when there is something to do, and after how many milliseconds (-1: none) there
 * is something to do anyway: what an asynchronous foreign scan waits for. -1 for a store that never waits.
 */
extern int store_wait_descriptor(struct store *store);
extern int store_wait_timeout(struct store *store);

/*
 * Drives every request; waits until at least one of them made progress that a caller can see (a page, a finished
 * read), or timeout_ms have passed (-1: no limit, 0: do not wait). DICOM_OK, or DICOM_FAILED for INTERRUPTED and MEMORY only:
 * what becomes of a request is told by its own calls.
 */
extern enum dicom_status store_wait(struct store *store, int timeout_ms, struct dicom_error *error);

/* --- listing --- */

struct store_list_request
{
	const char *prefix;      /* only keys that begin so; '' or NULL: all */
	const char *start_after; /* only keys behind this one; NULL: from the start */
	const char *end_before;  /* only keys before this one; NULL: to the end */
	int page_size;           /* 0: 1000 */
	int limit;               /* stop after so many keys; 0: none */
};

/*
 * Starts a listing in key order. The first page is requested at once, the next one while a page is handed out.
 * Keys that end in a slash and are empty (folder markers) are left out. A file store lists regular files, and symbolic
 * links to such within the location, in the same order that S3 would; what cannot be read is an error, never a silence.
 */
extern enum dicom_status store_list_open(struct store *store, const struct store_list_request *request,
										 struct store_list **list, struct dicom_error *error);

/* DICOM_OK and *object (valid until the next call), DICOM_PENDING, DICOM_END, or DICOM_FAILED. */
extern enum dicom_status store_list_next(struct store_list *list, struct store_object *object,
										 struct dicom_error *error);
extern void store_list_close(struct store_list *list);

/* --- reading --- */

struct store_read_request
{
	const char *key;
	uint64_t offset;
	size_t length;        /* the most that is wanted; less comes where the object ends. 0: nothing is asked */
	const char *if_match; /* etag that the object must have, else CHANGED; NULL: any */
	void *buffer; /* length bytes, filled by the read; the caller keeps them until it is done or closed */
};

/*
 * Starts a ranged read. Where the offset is at or behind the end of the object, zero bytes come (also for an empty object).
 * Errors of an object name it: location and key.
 */
extern enum dicom_status store_read_open(struct store *store, const struct store_read_request *request,
										 struct store_read **read, struct dicom_error *error);

/*
 * DICOM_PENDING, or how it ended. With DICOM_OK *length bytes came, and *object (valid until close, may be NULL) says what the
 * answer told of the whole object, its size included.
 */
extern enum dicom_status store_read_result(struct store_read *read, size_t *length,
										   struct store_object *object, struct dicom_error *error);
extern void store_read_close(struct store_read *read);

/* The three calls in one; the strings of *object are valid until the next store_read() or store_close(). */
extern enum dicom_status store_read(struct store *store, const struct store_read_request *request,
									size_t *length, struct store_object *object, struct dicom_error *error);

/*
 * A descriptor of the object itself, open for reading, which becomes the caller's; *object says what it was when it was opened, with
 * strings valid until the next call on the store. DICOM_END from a store that has no such thing: s3.
 */
extern enum dicom_status store_open_descriptor(struct store *store, const char *key, int *descriptor,
											   struct store_object *object, struct dicom_error *error);

/* --- writing; all of these wait --- */

/*
 * What a call below has written, copied or deleted is there to stay when it returns. In a directory that costs two or three waits for the disk
 * an object. After store_defer_sync() it is there for everybody to see, but a failure of power may undo it, or leave a file short, until
 * store_flush() has returned: to be called before anything is committed that relies on it. Nothing changes for s3, nor where it fails.
 */
extern void store_defer_sync(struct store *store);
extern enum dicom_status store_flush(struct store *store, struct dicom_error *error);

struct store_put_request
{
	const char *key;
	const char *content_type;  /* NULL: application/octet-stream */
	const char *storage_class; /* NULL: the store's default */
	bool if_none_match;        /* fail with EXISTS where the key is taken */
	const char *if_match;      /* fail with CHANGED where the object has another etag; NULL: do not look */
	size_t part_size;          /* 0: 8 MiB; a longer object goes up in parts, on s3 of at least 5 MiB */
};

/* Writes an object in one call. etag (128 bytes) may be NULL. The object is visible whole or not at all. */
extern enum dicom_status store_put(struct store *store, const struct store_put_request *request,
								   const void *bytes, size_t length, char *etag, struct dicom_error *error);

/* Writes an object of unknown length piece by piece; nothing is visible before store_upload_finish(). */
struct store_upload;
extern enum dicom_status store_upload_open(struct store *store, const struct store_put_request *request,
										   struct store_upload **upload, struct dicom_error *error);
extern enum dicom_status store_upload_write(struct store_upload *upload, const void *bytes, size_t length,
											struct dicom_error *error);
extern enum dicom_status store_upload_finish(struct store_upload *upload, char *etag,
											 struct dicom_error *error);

/* Gives up: the parts are removed (best effort where the store does not answer). Also after finish, to free the handle. */
extern void store_upload_close(struct store_upload *upload);

/*
 * An upload of an object whose key is not known yet, and which others may write: by the descriptor, open for reading and writing, that stays the
 * upload's. Nothing is visible before store_draft_finish() has given it its key: CHANGED where it is not of that length by then.
 * DICOM_END from a store that has no such thing: s3, some file systems. Errors besides those of a put: where only directories below the location
 * may be written to, and where the key lies on another file system than the location; store_put() may do then.
 */
extern enum dicom_status store_draft_open(struct store *store, struct store_upload **draft,
										  struct dicom_error *error);
extern int store_draft_descriptor(const struct store_upload *draft);
extern enum dicom_status store_draft_finish(struct store_upload *draft,
											const struct store_put_request *request, uint64_t length,
											struct dicom_error *error);

/* What is known of one object without reading it; the strings are valid until the next call on the store. */
extern enum dicom_status store_head(struct store *store, const char *key, struct store_object *object,
									struct dicom_error *error);

/*
 * Copies an object within one endpoint without its bytes passing through here, from the store `source` (which may be the
 * same); more than 5 GiB in parts. if_match: the source's etag. Between different kinds of store: INVALID_OPTION.
 */
extern enum dicom_status store_copy(struct store *source, const char *source_key, const char *if_match,
									struct store *target, const char *target_key, const char *storage_class,
									char *etag, struct dicom_error *error);

/* Is store_copy() possible between these two? Whether it is allowed shows when it is tried. */
extern bool store_can_copy(const struct store *source, const struct store *target);

/* Deletes an object; one that is not there counts as deleted. */
extern enum dicom_status store_delete(struct store *store, const char *key, struct dicom_error *error);

/*
 * Copies, puts and deletes of many objects side by side: started, then driven by store_wait() of the target, like reads. Each is
 * one request: a put of at most 5 GB without condition (its bytes stay the caller's until the change is closed), a copy
 * of at most 5 GiB; what is longer has to wait its turn in the calls above. A store that never waits is done at once.
 */
struct store_change;
extern enum dicom_status store_copy_open(struct store *source, const char *source_key, const char *if_match,
										 struct store *target, const char *target_key,
										 const char *storage_class, struct store_change **change,
										 struct dicom_error *error);
extern enum dicom_status store_put_open(struct store *store, const struct store_put_request *request,
										const void *bytes, size_t length, struct store_change **change,
										struct dicom_error *error);
extern enum dicom_status store_delete_open(struct store *store, const char *key, struct store_change **change,
										   struct dicom_error *error);

/* DICOM_PENDING, or how it ended. etag (128 bytes, empty after a delete) may be NULL. */
extern enum dicom_status store_change_result(struct store_change *change, char *etag,
											 struct dicom_error *error);

/* When the copy was made that has ended well, as the store said; 0: it did not. */
extern int64_t store_change_last_modified(const struct store_change *change);
extern void store_change_close(struct store_change *change);

/* Moves an object to another storage class, in place. INVALID_OPTION for a directory. */
extern enum dicom_status store_set_storage_class(struct store *store, const char *key,
												 const char *storage_class, struct dicom_error *error);

/*
 * Asks the store to make an archived object readable for so many days, in the haste that tier names (Standard, Bulk, Expedited). That takes
 * the store hours; asking again meanwhile does no harm. INVALID_OPTION for a directory.
 */
extern enum dicom_status store_restore(struct store *store, const char *key, int days, const char *tier,
									   struct dicom_error *error);

/*
 * Removes what uploads have left that began before this time (microseconds since 1970) and were never finished, of keys that
 * begin so; *removed says how many. A store that keeps nothing of them: 0.
 */
extern enum dicom_status store_sweep(struct store *store, const char *prefix, int64_t before,
									 uint64_t *removed, struct dicom_error *error);

#endif
