/*
 * message.h
 *	  Follows one direction of an HTTP/1.1 connection: heads, and where the bodies behind them end.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_SIZE   (32 * 1024)
#define UNTIL_CLOSE UINT64_MAX

enum message_state
{
	IN_HEAD,
	IN_BODY
};

enum chunk_state
{
	CHUNK_NONE, /* the body is not chunked */
	CHUNK_SIZE,
	CHUNK_DATA,
	CHUNK_END, /* the line end behind the data */
	CHUNK_TRAILER
};

/* One direction: a head, then a body. */
struct message
{
	enum message_state state;
	char head[HEAD_SIZE];
	size_t head_length;
	uint64_t left; /* of the body, or of the chunk */
	enum chunk_state chunk;
	size_t line_length; /* of the line of a chunked body that is being read */
};

/* Where the value of a header begins, and how long it is; NULL: there is none. */
extern char *message_header(char *head, const char *name, size_t *length);

/* Puts another value in place of a header's. */
extern void message_replace(struct message *message, char *old, size_t old_length, const char *value);

/* A head has ended: how long is the body that follows? */
extern void message_begin_body(struct message *message, uint64_t without_length);

/* Takes bytes up to the end of a head; returns how many. *complete: the end is there. */
extern size_t message_take_head(struct message *message, const char *bytes, size_t length, bool *complete);

/* How many of these bytes are of this body; *ended: it ends with them. */
extern size_t message_take_body(struct message *message, const char *bytes, size_t length, bool *ended);

#endif
