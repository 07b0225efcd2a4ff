/*
 * sandbox.h
 *	  What a decoding child gives up before it looks at a file: PR_SET_NO_NEW_PRIVS, limits, and all but a few system calls.
 *
 * Afterwards a process can read and write descriptors that it has or is sent, and allocate memory. To open a file is refused (libraries
 * look for some that they can do without); sockets, processes, signals to others, executable memory, and all else end it by SIGSYS.
 */
#ifndef COMPRESS_SANDBOX_H
#define COMPRESS_SANDBOX_H

#include "../dicom/error.h"

#define SANDBOX_DESCRIPTORS 64 /* that may be open: three of its own, and those that jobs come with */

/*
 * Enters it, for good, with so many bytes of address space, and of files that it is sent to write. IO where the kernel does not have what it
 * takes.
 */
extern enum dicom_status sandbox_enter(uint64_t memory, uint64_t file, struct dicom_error *error);

#endif
