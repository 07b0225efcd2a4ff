/*
 * keyring.h
 *	  The keys: from dicom_fdw.key_file or dicom_fdw.key_command, and nowhere else.
 *
 * Text of one line per epoch: its number, blanks, 64 hex digits; what follows # is a comment. Anything else is refused, with the
 * number of the line and nothing of what it holds. Of each key the process keeps what HMAC needs, in pages of their own: locked into
 * memory as far as the system allows, left out of core files, wiped when they are read again and when the process ends.
 *
 * The file is looked at once per snapshot, and read again when it has changed; the command runs once per process, and again after
 * a reload of the configuration. Which epoch is active is in dicom.epoch; while that is empty, it is the first of the file. An
 * epoch that is recorded there must still have the key that was recorded.
 *
 * No key is an error, always.
 */
#ifndef DEID_KEYRING_H
#define DEID_KEYRING_H

#include "postgres.h"

#include "derive.h"

/* Epochs are not negative; this one stands for the active one. */
#define ACTIVE_EPOCH (-1)

/*
 * The key of an epoch; throws where there is none, or another than before. It is valid until the next call of this function or of
 * what runs SQL: not to be copied, nor kept.
 */
extern const struct deid_key *keyring_key(int32 epoch);

/* The same, of the epoch that a function's argument names: NULL means the active one. */
#define KEYRING_ARGUMENT(n) \
	keyring_key(PG_ARGISNULL(n) ? ACTIVE_EPOCH : keyring_checked_epoch(PG_GETARG_INT32(n)))

/* Refuses what no epoch can be. */
extern int32 keyring_checked_epoch(int32 epoch);

#endif
