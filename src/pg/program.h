/*
 * program.h
 *	  Where the programs are that work beside a backend.
 */
#ifndef PG_PROGRAM_H
#define PG_PROGRAM_H

#include "postgres.h"

/* Setting dicom_fdw.dicompress_path, or dicompress beside the server's own programs; palloc'd. Throws where there is none. */
extern char *program_path(void);

/* dicompress-decoder, which lies beside it; palloc'd. Throws where there is none. */
extern char *program_decoder_path(void);

#endif
