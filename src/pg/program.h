/*
 * program.h
 *	  Where the program dicompress is.
 */
#ifndef PG_PROGRAM_H
#define PG_PROGRAM_H

#include "postgres.h"

/* Setting dicom_fdw.dicompress_path, or dicompress beside the server's own programs; palloc'd. Throws where there is none. */
extern char *program_path(void);

#endif
