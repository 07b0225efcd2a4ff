/*
 * file_upload.h
 *	  What the ways share in which an object gets into a directory: written, drafted, copied.
 */
#ifndef FILE_UPLOAD_H
#define FILE_UPLOAD_H

#include "file.h"

#define FILE_TEMPORARY_SIZE (sizeof(FILE_TEMPORARY) + FILE_TEMPORARY_DIGITS)

struct file_upload
{
	struct store_upload upload;
	struct file_store *file;
	char *key;
	char *if_match; /* NULL: do not look */
	bool if_none_match;
	bool defers_sync;
	bool has_length;
	uint64_t length;                     /* that the object must have then */
	int directory;                       /* that the object goes into; -1: not known yet */
	int fd;                              /* of the temporary file, or of one without name; -1: not open */
	char temporary[FILE_TEMPORARY_SIZE]; /* empty: it has no name, or its own */
	const char *name;                    /* of the object in its directory, end of path */
	char path[FILE_MAX_PATH];
};

/* --- file_write.c --- */

/* NULL: *error says why. */
extern struct file_upload *file_upload_new(struct store *store, struct dicom_error *error);

/* Takes over what is asked for; from here on it has a key and a path. */
extern enum dicom_status file_upload_take_request(struct file_upload *upload,
												  const struct store_put_request *request,
												  struct dicom_error *error);

/* Opens the directory that the object goes into, which is made where it is not there. */
extern enum dicom_status file_upload_find_place(struct file_upload *upload, struct dicom_error *error);

/* Closes that directory, without the temporary file. */
extern void file_upload_leave_place(struct file_upload *upload);

/* --- file_directory.c --- */

/* What becomes of an object's directory that is not there. */
enum file_missing
{
	FILE_MISSING_STAYS,
	FILE_MISSING_IS_MADE,
	FILE_MISSING_IS_MADE_UNSYNCED
};

/* Opens the directory that path lies in, *name being the rest. -1 and errno where there is none. */
extern int file_open_parent(struct file_store *file, char *path, enum file_missing missing,
							const char **name);

/* Is what lies in a directory of this status flushed with the store, if that is what the store does? */
extern bool file_may_defer(const struct file_store *file, const struct stat *directory);

#endif
