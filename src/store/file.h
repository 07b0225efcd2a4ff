/*
 * file.h
 *	  A directory as a store: each regular file below it is an object, its path its key.
 *
 * Keys and names. A key is the path below the location. Bytes of a name that are not UTF-8 cannot stand in a key: each such byte
 * 0x80 to 0xFF becomes the private character U+EF80 to U+EFFF, and the same key finds the file again. (A name that holds one of
 * these characters itself has its three bytes written that way.) A location is taken literally; %XX means nothing in it.
 *
 * What is listed. Regular files, and symbolic links that lead to one without leaving the location; links that lead nowhere or outside,
 * pipes, sockets and devices are no objects. A link to a directory is walked like a directory, unless it leads to one of those
 * it lies in: that would list the same files for ever. Files being written have names of their own and are not listed. A directory
 * that cannot be read is an error.
 *
 * Nothing here reaches outside: every path is resolved by openat2(RESOLVE_BENEATH), or component by component where the kernel has none.
 */
#ifndef FILE_H
#define FILE_H

#include <sys/stat.h>

#include "../dicom/buffer.h"
#include "store_internal.h"

#define FILE_MAX_PATH         4096
#define FILE_MAX_KEY          4096
#define FILE_ETAG_LENGTH      52            /* three numbers of 16 digits, two dashes, NUL */
#define FILE_TEMPORARY        ".dicom_fdw-" /* what the name of a file being written begins with ... */
#define FILE_TEMPORARY_DIGITS 16            /* ... and how many hexadecimal digits follow */
#define FILE_SWEPT            64

struct file_read;

struct file_store
{
	struct store store;
	char *directory; /* as resolved when the store was opened, without last slash unless it is the root */
	int root;        /* its descriptor */
	dev_t device;    /* that it lies on */
	bool no_openat2; /* the kernel, or a filter, does not have it */
	struct file_read *spare; /* a closed read, for the next one */
	int last;                /* descriptor of the file read last, -1: none */
	char last_key[FILE_MAX_KEY + 1];
	struct
	{
		dev_t device;
		ino_t inode;
	} swept[FILE_SWEPT]; /* directories that were swept last, a ring */
	int next_swept;
	uint64_t temporaries; /* what the names of files being written count from; 0: not chosen yet */
	bool links_by_path;   /* a draft is named by its path below /proc: by its descriptor may not be */
	int place;            /* descriptor of the directory that a draft has gone into; -1: none */
	int64_t place_opened; /* when, in seconds of a monotonic clock */
	size_t place_length;
	char place_path[FILE_MAX_PATH];  /* not terminated */
	char head_key[FILE_MAX_KEY + 1]; /* strings of the last store_head() */
	char head_etag[FILE_ETAG_LENGTH];
};

/* --- file_path.c: keys, names, and opening them --- */

/* The path of a key; false where no file can have this key: empty, too long, '.', '..' or empty components, not UTF-8. */
extern bool file_key_to_path(const char *key, char path[FILE_MAX_PATH]);

/* Appends a name as it stands in a key. */
extern void file_append_name(struct dicom_buffer *key, const char *name, size_t length);

/* Turns a part of a key, as file_append_name() wrote it, back into a name; the same length or less. */
extern void file_decode_name(const char *key, size_t length, char *name);

/* Opens a path below the store's directory without ever leaving it; -1 and errno (EXDEV: it would have). '' is the directory itself. */
extern int file_open_path(struct file_store *file, const char *path, int flags);

/* Fills an error from errno for a key; `what` is what could not be done. */
extern enum dicom_status file_fail(struct dicom_error *error, const struct file_store *file, const char *key,
								   const char *what);

/* Fails with NOT_FOUND for a key. */
extern enum dicom_status file_fail_missing(struct dicom_error *error, const struct file_store *file,
										   const char *key);

/* Fails with CHANGED for a key. */
extern enum dicom_status file_fail_changed(struct dicom_error *error, const struct file_store *file,
										   const char *key);

/* --- file.c --- */

extern void file_format_etag(const struct stat *status, char etag[FILE_ETAG_LENGTH]);

/* Is it the version of which that is the etag? */
extern bool file_is_version(const struct stat *status, const char *etag);

/* What a status says; key and etag are the caller's. */
extern void file_describe(const struct stat *status, const char *key, const char *etag,
						  struct store_object *object);

/* Asks the host whether to go on. */
extern enum dicom_status file_check_interrupt(const struct file_store *file, struct dicom_error *error);

/*
 * Removes what killed writers have left in a directory, whose status is that, the first time that it is asked to in a store. Called in
 * front of a write there, never by reading.
 */
extern void file_sweep(struct file_store *file, int directory, const struct stat *status);

/* --- the calls of store.h --- */

extern enum dicom_status file_sweep_store(struct store *store, const char *prefix, int64_t before,
										  uint64_t *removed, struct dicom_error *error);

extern enum dicom_status file_list_open(struct store *store, const struct store_list_request *request,
										struct store_list **list, struct dicom_error *error);
extern enum dicom_status file_list_next(struct store_list *list, struct store_object *object,
										struct dicom_error *error);
extern void file_list_close(struct store_list *list);

extern enum dicom_status file_read_open(struct store *store, const struct store_read_request *request,
										struct store_read **read, struct dicom_error *error);
extern enum dicom_status file_read_result(struct store_read *read, size_t *length,
										  struct store_object *object, struct dicom_error *error);
extern void file_read_close(struct store_read *read);
extern enum dicom_status file_open_descriptor(struct store *store, const char *key, int *descriptor,
											  struct store_object *object, struct dicom_error *error);
extern void file_read_forget(struct file_store *file); /* frees what is kept between reads */

extern enum dicom_status file_put(struct store *store, const struct store_put_request *request,
								  const void *bytes, size_t length, char *etag, struct dicom_error *error);
extern enum dicom_status file_upload_open(struct store *store, const struct store_put_request *request,
										  struct store_upload **upload, struct dicom_error *error);
extern enum dicom_status file_upload_write(struct store_upload *upload, const void *bytes, size_t length,
										   struct dicom_error *error);
extern enum dicom_status file_upload_finish(struct store_upload *upload, char *etag,
											struct dicom_error *error);
extern void file_upload_close(struct store_upload *upload, bool may_wait);
extern enum dicom_status file_draft_open(struct store *store, struct store_upload **draft,
										 struct dicom_error *error);
extern int file_draft_descriptor(const struct store_upload *draft);
extern enum dicom_status file_draft_finish(struct store_upload *draft,
										   const struct store_put_request *request, uint64_t length,
										   struct dicom_error *error);
extern void file_forget_place(struct file_store *file); /* frees what is kept between drafts */
extern enum dicom_status file_copy(struct store *source, const char *source_key, const char *if_match,
								   struct store *target, const char *target_key, const char *storage_class,
								   char *etag, struct dicom_error *error);
extern enum dicom_status file_delete(struct store *store, const char *key, struct dicom_error *error);
extern enum dicom_status file_flush(struct store *store, struct dicom_error *error);

#endif
