/*
 * message.h
 *	  What a parent and the child that decodes for it say to each other, over a stream socket between them.
 *
 * A message is a header of fixed size, a body of at most MESSAGE_MAX_BODY bytes, and, of two kinds of message, bulk bytes behind the
 * body: a part of the object, or a picture. Numbers are in the machine's order: both ends run on one machine, and the
 * first message says whether both are of one version. Neither side trusts the other: every length is bounded before anything
 * is kept for it, and what does not parse is DICOM_ERROR_PROTOCOL, after which a channel is of no more use.
 *
 *		child -> parent		HELLO, or REFUSED and the end
 *		parent -> child		JOB, with or without a descriptor of the object, and of a file for the first picture
 *		child -> parent		READ, answered by DATA until all of it was sent, or by NO_DATA
 *		child -> parent		HEADER, then for every frame WORKING (large ones only) and PICTURE or FRAME_FAILED; then DONE
 *		child -> parent		FAILED, instead of all that, or of what is left of it
 *
 * A second JOB may be sent while the first one is at work; they are done in turn.
 *
 * No decoder, no threads, no globals: a database backend links this.
 */
#ifndef COMPRESS_MESSAGE_H
#define COMPRESS_MESSAGE_H

#include <stddef.h>

#include "../dicom/buffer.h"
#include "../dicom/error.h"

#define MESSAGE_VERSION     2
#define MESSAGE_MAX_BODY    ((uint32_t) 128 * 1024)
#define MESSAGE_MAX_PICTURE ((uint64_t) 1 << 30)
#define MESSAGE_MAX_DATA    ((uint64_t) 256 * 1024) /* of one DATA */
#define MESSAGE_MAX_RANGES  4096                    /* of frames in a JOB */
#define MESSAGE_MAX_VALUES  64                      /* attributes asked for in a JOB */
#define MESSAGE_MAX_PATH    512                     /* bytes of an attribute's path */
#define MESSAGE_MAX_VALUE   1024                    /* bytes of an attribute's value; more is cut */

#define MESSAGE_MAX_DESCRIPTORS 32 /* on their way at a time */

enum message_type
{
	MESSAGE_HELLO = 1,
	MESSAGE_REFUSED,
	MESSAGE_JOB,
	MESSAGE_READ,
	MESSAGE_DATA,
	MESSAGE_NO_DATA,
	MESSAGE_HEADER,
	MESSAGE_WORKING,
	MESSAGE_PICTURE,
	MESSAGE_FRAME_FAILED,
	MESSAGE_FAILED,
	MESSAGE_DONE
};

/* One end of the socket. Zero-initialise, set `socket`; message_close() frees the rest and closes it. */
struct message_channel
{
	int socket;
	bool waits;               /* calls wait for the other side; else they return DICOM_PENDING */
	bool accepts_descriptors; /* else those that are sent here are dropped by the kernel */

	/* received and not looked at yet */
	uint8_t *in;
	size_t in_position;
	size_t in_length;
	uint64_t bulk_left; /* of the message that was received last */
	int came[MESSAGE_MAX_DESCRIPTORS];
	int came_count;

	/* to be sent: the bytes of `out`, those of `bulk` standing in between */
	struct dicom_buffer out;
	size_t begun; /* where the message that is being written begins */
	const void *bulk;
	size_t bulk_length;
	size_t bulk_place; /* in `out` */
	size_t sent;       /* of both */
	int going
		[MESSAGE_MAX_DESCRIPTORS]; /* they go with the next byte: in time for their message, and in order */
	int going_count;
	int going_begun;   /* those of the message that is being written come behind */
	bool going_failed; /* they are too many */
};

/* A message that has come. The body is valid until the next call on the channel. */
struct message
{
	enum message_type type;
	const uint8_t *body;
	uint32_t length;
	uint64_t bulk; /* bytes behind the body, to be taken with message_take_bulk() before the next message */
};

extern void message_close(struct message_channel *channel);

/* DICOM_OK, DICOM_PENDING, DICOM_END where the other side has closed, DICOM_FAILED. */
extern enum dicom_status message_receive(struct message_channel *channel, struct message *message,
										 struct dicom_error *error);

/* Takes at most `length` of the bulk bytes that are left; *got says how many. DICOM_PENDING where none are here. */
extern enum dicom_status message_take_bulk(struct message_channel *channel, void *bytes, size_t length,
										   size_t *got, struct dicom_error *error);

/* Takes the next descriptor that came with messages; -1 where none did. */
extern int message_take_descriptor(struct message_channel *channel);

/* Begins a message; its body is then put piece by piece. Nothing is sent before message_flush(). */
extern void message_begin(struct message_channel *channel, enum message_type type);
extern void message_put_8(struct message_channel *channel, uint8_t value);
extern void message_put_32(struct message_channel *channel, uint32_t value);
extern void message_put_64(struct message_channel *channel, uint64_t value);
extern void message_put_double(struct message_channel *channel, double value);
extern void message_put_bytes(struct message_channel *channel, const void *bytes, uint32_t length);
extern void message_put_string(struct message_channel *channel, const char *string); /* NULL: '' */
extern void message_put_error(struct message_channel *channel, const struct dicom_error *error);

/* A descriptor, which goes with the message, and is closed once it is sent, or cannot be. */
extern void message_put_descriptor(struct message_channel *channel, int descriptor);

/*
 * Ends a message. `bulk` bytes come behind it, which message_flush() will send from where they are; only one such message may be waiting
 * to be sent. Errors: MEMORY.
 */
extern enum dicom_status message_end(struct message_channel *channel, const void *bulk, size_t bulk_length,
									 struct dicom_error *error);

/* Sends what is there: DICOM_OK when all of it is sent, DICOM_PENDING, DICOM_END where the other side has closed, DICOM_FAILED. */
extern enum dicom_status message_flush(struct message_channel *channel, struct dicom_error *error);

/* What of the bulk bytes is not sent yet is copied, so that the caller's may go. False: out of memory. */
extern bool message_keep_bulk(struct message_channel *channel);

/* True where something waits to be sent. */
extern bool message_is_sending(const struct message_channel *channel);

/* Reads a body. What goes beyond its end sets `failed` and gives zeros. */
struct message_reader
{
	const uint8_t *bytes;
	size_t left;
	bool failed;
};

extern void message_read(struct message_reader *reader, const struct message *message);
extern uint8_t message_get_8(struct message_reader *reader);
extern uint32_t message_get_32(struct message_reader *reader);
extern uint64_t message_get_64(struct message_reader *reader);
extern double message_get_double(struct message_reader *reader);

/* Bytes within the body, at most `most`. */
extern const uint8_t *message_get_bytes(struct message_reader *reader, uint32_t most, uint32_t *length);

/* Copies a string of less than `size` bytes, NUL added; one that holds a NUL fails. */
extern void message_get_string(struct message_reader *reader, char *string, size_t size);

/* An error, its texts made printable: what is not printable ASCII becomes question marks. */
extern void message_get_error(struct message_reader *reader, struct dicom_error *error);

/* True where the body was well-formed and read to its end. */
extern bool message_read_all(const struct message_reader *reader);

#endif
