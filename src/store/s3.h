/*
 * s3.h
 *	  What the files of the S3 store share: the store itself, and a request that is signed, sent, judged and repeated.
 *
 * A request is part of its owner's structure. Its owner fills it in, submits it, and sees how it ended in its state; whatever
 * happens in between (queueing, signing, back-off, refreshed credentials) is the business of s3_request.c.
 */
#ifndef STORE_S3_H
#define STORE_S3_H

#include "credentials.h"
#include "http.h"
#include "retry.h"
#include "s3_address.h"
#include "store_internal.h"

#define S3_MAX_REQUEST_HEADERS 24
#define S3_MAX_REQUEST_HEADER  4096 /* bytes of a value: a key of 1024 bytes, percent-encoded */
#define S3_MAX_ERROR_BODY      (64 * 1024)
#define S3_MAX_REPLY           (1024 * 1024)

struct s3_request;

/* The requests of a store that have not ended, in one of three lists. */
struct s3_queue
{
	struct s3_request *first;
	struct s3_request *last;
};

/* What is known of an object besides its key. */
struct s3_description
{
	char etag[STORE_ETAG_SIZE]; /* empty: not known */
	char storage_class[64];
	int64_t last_modified;
	uint64_t size;
};

struct s3_store
{
	struct store store;
	struct s3_address address;
	struct http *http;
	struct credentials *credentials;
	struct sigv4_credentials signing; /* what credentials_get() said last */
	time_t signing_as_of;
	int credentials_generation; /* grows whenever the server makes us ask for new ones */
	struct sigv4_key signing_key;
	struct sigv4_signature signature;
	struct dicom_buffer path; /* scratch of an attempt */
	struct dicom_buffer url;
	struct dicom_buffer lines;
	struct retry_budget budget;
	int max_requests;
	int max_retries;
	int request_timeout_ms;
	struct s3_queue queued;
	struct s3_queue sleeping; /* until their not_before */
	struct s3_queue running;
	int running_count;
	bool progressed;            /* a request has ended since the last store_wait() */
	int64_t last_asked;         /* when the host was last asked whether to go on */
	struct s3_description head; /* of the last store_head() */
	char *head_key;
};

enum s3_state
{
	S3_IDLE,
	S3_QUEUED,
	S3_SLEEPING,
	S3_RUNNING,
	S3_SUCCEEDED,
	S3_FAILED
};

/* What 412 (and 409) means. */
enum s3_condition
{
	S3_CONDITION_NONE,
	S3_CONDITION_MATCH,
	S3_CONDITION_NONE_MATCH
};

struct s3_request
{
	/* Filled in by the owner between s3_request_prepare() and s3_request_submit(). */
	struct s3_store *s3;
	enum http_method method;
	char *key;                 /* below the store's prefix; NULL: the bucket. Freed by s3_request_close() */
	struct dicom_buffer query; /* s3_query_add() */
	struct
	{
		char *name;
		char *value;
	} headers[S3_MAX_REQUEST_HEADERS]; /* s3_request_header() */
	int header_count;
	const void *body; /* the owner's, until the request has ended */
	size_t body_length;
	enum s3_condition condition;
	int also_good;     /* a status besides 2xx that is an answer; 0: none */
	uint64_t *counter; /* of store_statistics */
	void *owner;

	/* An attempt begins: what the one before has left is void. May be NULL. */
	void (*restart)(struct s3_request *request);

	/* The body of a good answer; NULL: it is kept in `reply`, up to S3_MAX_REPLY. */
	bool (*receive)(struct s3_request *request, int status, const void *bytes, size_t length);

	/*
	 * A good answer has come as a whole: is it right? DICOM_FAILED with an error that a repetition may cure (PROTOCOL, NETWORK, SERVER, ...)
	 * makes one. May be NULL.
	 */
	enum dicom_status (*finish)(struct s3_request *request, const struct http_answer *answer,
								struct dicom_error *error);

	/* How it went. */
	enum s3_state state;
	int attempts;
	int times_sent;            /* all attempts together, those included that curl made on its own */
	struct dicom_buffer reply; /* body of a failure, or of a success without receive */
	struct dicom_error error;  /* of S3_FAILED, and of the last attempt before */

	/* s3_request.c's own. */
	char payload_hash[SIGV4_HEX_LENGTH + 1]; /* empty: no body */
	bool failed_header;                      /* a header could not be taken */
	int64_t not_before;
	int generation; /* of the credentials that signed the last attempt */
	int refreshes;  /* attempts repeated because of new credentials */
	bool refreshed; /* new credentials have been asked for on behalf of this request */
	struct http_transfer *transfer;
	struct s3_queue *queue;
	struct s3_request *next;
	struct s3_request *previous;
};

/* --- s3_request.c --- */

/* Begins a request from nothing; key is copied. Errors: MEMORY, INVALID_OPTION (a key that is too long). */
extern enum dicom_status s3_request_prepare(struct s3_request *request, struct s3_store *s3,
											enum http_method method, const char *key,
											struct dicom_error *error);

/* Adds a header; those that begin with x-amz- are signed. A failure shows at submit. */
extern void s3_request_header(struct s3_request *request, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Queues the request, and starts it if that is possible without waiting. */
extern enum dicom_status s3_request_submit(struct s3_request *request, struct dicom_error *error);

/* DICOM_PENDING, DICOM_OK, or DICOM_FAILED with a copy of the request's error. */
extern enum dicom_status s3_request_result(const struct s3_request *request, struct dicom_error *error);

/* Submits, and waits for the end. */
extern enum dicom_status s3_request_run(struct s3_request *request, struct dicom_error *error);

/* Drops the request if it is under way: its body may go. What is known of it stays. */
extern void s3_request_drop(struct s3_request *request);

/* The same, and frees what it holds. All zeros is fine. */
extern void s3_request_close(struct s3_request *request);

/* Drives all requests of a store; see store_wait(). */
extern enum dicom_status s3_wait(struct store *store, int timeout_ms, struct dicom_error *error);
extern int s3_wait_timeout(struct store *store);
extern int64_t s3_now_ms(void);

/* --- s3_credentials.c --- */

extern struct credentials_transport s3_credentials_transport(struct s3_store *s3);

/* --- s3_error.c --- */

/* May asking again help after this error? */
extern bool s3_error_is_transient(enum dicom_error_code code);

/* What a bad answer (status and body in request->reply) means. *transient: a repetition may help. *expired: new credentials may. */
extern void s3_judge_error(const struct s3_request *request, const struct http_answer *answer,
						   struct dicom_error *error, bool *transient, bool *expired);

/* The same for an error document that came with a good status; false where the reply is none. */
extern bool s3_judge_hidden_error(const struct s3_request *request, const struct http_answer *answer,
								  struct dicom_error *error);

/* --- s3_text.c: values of headers and XML --- */

extern int64_t
s3_parse_time(const char *text); /* ISO 8601 or RFC 1123; microseconds since 1970, 0 where it is neither */
extern bool s3_parse_number(const char *text, uint64_t *number); /* all of it, decimal */
extern void s3_strip_etag(char *etag);                           /* takes W/ and quotes off */
extern bool s3_decode_url(char *text, size_t *length); /* in place; false for a broken %XX or a NUL */

/* Content-Range: "bytes 0-9/10", a size of "*" (UNKNOWN), or "bytes" and a star for the range (*first > *last). */
extern bool s3_parse_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *size);

/* Fills it from the headers of an answer about a whole object. */
extern void s3_describe(const struct http_answer *answer, struct s3_description *description);

/* --- the calls of store.h --- */

extern enum dicom_status s3_list_open(struct store *store, const struct store_list_request *request,
									  struct store_list **list, struct dicom_error *error);
extern enum dicom_status s3_list_next(struct store_list *list, struct store_object *object,
									  struct dicom_error *error);
extern void s3_list_close(struct store_list *list);

extern enum dicom_status s3_read_open(struct store *store, const struct store_read_request *request,
									  struct store_read **read, struct dicom_error *error);
extern enum dicom_status s3_read_result(struct store_read *read, size_t *length, struct store_object *object,
										struct dicom_error *error);
extern void s3_read_close(struct store_read *read);

extern enum dicom_status s3_put(struct store *store, const struct store_put_request *request,
								const void *bytes, size_t length, char *etag, struct dicom_error *error);
extern enum dicom_status s3_head(struct store *store, const char *key, struct store_object *object,
								 struct dicom_error *error);
extern enum dicom_status s3_delete(struct store *store, const char *key, struct dicom_error *error);

/*
 * Asks for an object's headers. request is prepared here, and the caller's to close; its answer's headers stay in request->reply.
 */
extern enum dicom_status s3_ask_head(struct s3_request *request, struct s3_store *s3, const char *key,
									 const char *if_match, struct s3_description *description,
									 struct dicom_error *error);

/* One PUT, whatever its length. */
extern enum dicom_status s3_put_whole(struct s3_store *s3, const struct store_put_request *put,
									  const void *bytes, size_t length, char *etag,
									  struct dicom_error *error);

/* The requests of a put and a copy; etag, and made, which has the time too, are filled in when they have ended well. */
extern enum dicom_status s3_put_prepare(struct s3_request *request, struct s3_store *s3,
										const struct store_put_request *put, const void *bytes, size_t length,
										char *etag, struct dicom_error *error);
extern enum dicom_status s3_copy_prepare(struct s3_request *request, struct s3_store *source,
										 const char *source_key, const char *if_match,
										 struct s3_store *target, const char *target_key,
										 const char *storage_class, struct s3_description *made,
										 struct dicom_error *error);

/* The headers that a request which creates an object takes from the options of a put. */
extern void s3_add_put_headers(struct s3_request *request, const struct store_put_request *put);
extern void s3_add_condition(struct s3_request *request, const struct store_put_request *put);

/* --- s3_multipart.c: the four requests of an upload in parts --- */

struct s3_multipart
{
	struct s3_store *s3;
	char *key;
	char *id;       /* NULL: not begun, or over */
	char **etags;   /* of the parts, from part 1 on */
	int part_count; /* numbers given out */
	int capacity;
	uint64_t length; /* of all parts */
};

/* Headers of the object go into *create, which the caller has prepared with s3_multipart_prepare(), and closes. */
extern enum dicom_status s3_multipart_prepare(struct s3_multipart *multipart, struct s3_store *s3,
											  const char *key, struct s3_request *create,
											  struct dicom_error *error);
extern enum dicom_status s3_multipart_begin(struct s3_multipart *multipart, struct s3_request *create,
											struct dicom_error *error);

/* Gives out the next number and prepares its request; the caller adds body or copy source, and submits it. */
extern enum dicom_status s3_multipart_part(struct s3_multipart *multipart, struct s3_request *request,
										   size_t *number, struct dicom_error *error);
extern enum dicom_status s3_multipart_keep_etag(struct s3_multipart *multipart, size_t number,
												const char *etag, struct dicom_error *error);
extern enum dicom_status s3_multipart_complete(struct s3_multipart *multipart,
											   const struct store_put_request *put, char *etag,
											   struct dicom_error *error);

/* Removes the parts, if there are any; best effort, and bounded in time even where the host interrupts. */
extern void s3_multipart_abort(struct s3_multipart *multipart);
extern void s3_multipart_free(struct s3_multipart *multipart);

/* --- s3_restore.c: see store_restore() --- */

extern enum dicom_status s3_restore(struct store *store, const char *key, int days, const char *tier,
									struct dicom_error *error);

/* --- s3_sweep.c: see store_sweep() --- */

extern enum dicom_status s3_sweep(struct store *store, const char *prefix, int64_t before, uint64_t *removed,
								  struct dicom_error *error);

extern enum dicom_status s3_upload_open(struct store *store, const struct store_put_request *request,
										struct store_upload **upload, struct dicom_error *error);
extern enum dicom_status s3_upload_write(struct store_upload *upload, const void *bytes, size_t length,
										 struct dicom_error *error);
extern enum dicom_status s3_upload_finish(struct store_upload *upload, char *etag, struct dicom_error *error);
extern void s3_upload_close(struct store_upload *upload, bool may_wait);

/* Copies in parts of part_size bytes, whatever the length of the source. */
extern enum dicom_status s3_copy_in_parts(struct s3_store *source, const char *source_key,
										  const char *if_match, struct s3_store *target,
										  const char *target_key, const char *storage_class,
										  uint64_t part_size, char *etag, struct dicom_error *error);
extern enum dicom_status s3_copy(struct store *source, const char *source_key, const char *if_match,
								 struct store *target, const char *target_key, const char *storage_class,
								 char *etag, struct dicom_error *error);
extern bool s3_can_copy(const struct store *source, const struct store *target);
extern enum dicom_status s3_copy_open(struct store *source, const char *source_key, const char *if_match,
									  struct store *target, const char *target_key, const char *storage_class,
									  struct store_change **change, struct dicom_error *error);
extern enum dicom_status s3_put_open(struct store *store, const struct store_put_request *put,
									 const void *bytes, size_t length, struct store_change **change,
									 struct dicom_error *error);
extern enum dicom_status s3_delete_open(struct store *store, const char *key, struct store_change **change,
										struct dicom_error *error);
extern enum dicom_status s3_change_result(struct store_change *change, char *etag, struct dicom_error *error);
extern void s3_change_close(struct store_change *change);
extern enum dicom_status s3_set_storage_class(struct store *store, const char *key, const char *storage_class,
											  struct dicom_error *error);

#endif
