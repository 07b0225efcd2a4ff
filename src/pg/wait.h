/*
 * wait.h
 *	  How a store waits inside a backend: for its descriptor, the process latch and the end of the postmaster.
 *
 * A cancel, a statement timeout or a termination ends the wait at once with DICOM_ERROR_INTERRUPTED; report_error() then
 * throws what PostgreSQL makes of it. Other interrupts are served within the wait.
 */
#ifndef PG_WAIT_H
#define PG_WAIT_H

#include "../store/store.h"

extern const struct store_host backend_host;

#endif
