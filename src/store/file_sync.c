/*
 * file_sync.c
 *	  Many files get to disk at a time.
 *
 * fsync(2) for one after the other waits for the disk once for each. Handed to the kernel together (io_submit(2), Linux 4.18), they share the
 * commits of the journal and the flushes of the disk. Where the kernel, or a filter, does not have that, it is one after the other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall() */
#endif

#include "file.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool
has_queue(struct file_store *file)
{
	aio_context_t queue = 0;

	if (file->sync_queue == 0 && !file->no_sync_queue)
	{
		file->no_sync_queue = syscall(SYS_io_setup, FILE_SYNC_MOST, &queue) != 0;
		file->sync_queue = file->no_sync_queue ? 0 : queue;
	}
	return file->sync_queue != 0;
}

/* How many of them the kernel has taken. */
static int
submit(struct file_store *file, const int *descriptors, int count)
{
	struct iocb requests[FILE_SYNC_MOST];
	struct iocb *list[FILE_SYNC_MOST];
	long taken;
	int i;

	memset(requests, 0, sizeof(requests));
	for (i = 0; i < count; i++)
	{
		requests[i].aio_fildes = (uint32_t) descriptors[i];
		requests[i].aio_lio_opcode = IOCB_CMD_FSYNC;
		requests[i].aio_data = (uint64_t) i;
		list[i] = &requests[i];
	}
	taken = syscall(SYS_io_submit, (aio_context_t) file->sync_queue, (long) count, list);
	return taken < 0 ? 0 : (int) taken;
}

/* Waits for what was taken: a sync that has begun cannot be called off. */
static void
take_results(struct file_store *file, int *reasons, int taken)
{
	struct io_event events[FILE_SYNC_MOST];

	while (taken > 0)
	{
		long got =
			syscall(SYS_io_getevents, (aio_context_t) file->sync_queue, 1L, (long) taken, events, NULL);
		long i;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return;
		for (i = 0; i < got; i++)
			reasons[events[i].data] = (int) -events[i].res;
		taken -= (int) got;
	}
}

void
file_sync_all(struct file_store *file, const int *descriptors, int *reasons, int count)
{
	int taken = 0;
	int i;

	for (i = 0; i < count; i++)
		reasons[i] = EIO;
	if (count > 1 && has_queue(file))
	{
		taken = submit(file, descriptors, count);
		take_results(file, reasons, taken);
	}
	for (i = taken; i < count; i++)
		reasons[i] = fsync(descriptors[i]) == 0 ? 0 : errno;
}

void
file_sync_end(struct file_store *file)
{
	if (file->sync_queue)
		syscall(SYS_io_destroy, (aio_context_t) file->sync_queue);
	file->sync_queue = 0;
}
