/*
 * message.c
 *	  Heads and bodies of HTTP/1.1.
 */
#define _GNU_SOURCE
#include "message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- heads --- */

/* Where the value of a header begins, and how long it is; NULL: there is none. */
char *
message_header(char *head, const char *name, size_t *length)
{
	size_t name_length = strlen(name);
	char *line = strstr(head, "\r\n");

	while (line && strncmp(line, "\r\n\r\n", 4) != 0)
	{
		line += 2;
		if (strncasecmp(line, name, name_length) == 0 && line[name_length] == ':')
		{
			line += name_length + 1;
			line += strspn(line, " \t");
			*length = strcspn(line, "\r\n");
			return line;
		}
		line = strstr(line, "\r\n");
	}
	return NULL;
}

static bool
header_is(char *head, const char *name, const char *value)
{
	size_t length;
	const char *found = message_header(head, name, &length);

	return found && length == strlen(value) && strncasecmp(found, value, length) == 0;
}

/* Puts another value in place of a header's. */
void
message_replace(struct message *message, char *old, size_t old_length, const char *value)
{
	size_t length = strlen(value);

	if (message->head_length + length - old_length >= HEAD_SIZE)
		return;
	memmove(old + length, old + old_length,
			message->head_length - (size_t) (old + old_length - message->head) + 1);
	memcpy(old, value, length);
	message->head_length += length - old_length;
}

/* How long the body is that follows a head. */
void
message_begin_body(struct message *message, uint64_t without_length)
{
	size_t length;
	char *value = message_header(message->head, "Content-Length", &length);

	message->state = IN_BODY;
	message->chunk = header_is(message->head, "Transfer-Encoding", "chunked") ? CHUNK_SIZE : CHUNK_NONE;
	message->line_length = 0;
	message->left = message->chunk ? 0 : value ? strtoull(value, NULL, 10) : without_length;
}

/* Takes bytes up to the end of a head; returns how many. *complete: the end is there. */
size_t
message_take_head(struct message *message, const char *bytes, size_t length, bool *complete)
{
	size_t before = message->head_length;
	size_t room = HEAD_SIZE - 1 - before;
	size_t search_from = before > 3 ? before - 3 : 0;
	char *end;

	if (length > room)
		length = room;
	memcpy(message->head + before, bytes, length);
	message->head_length += length;
	message->head[message->head_length] = '\0';
	end = memmem(message->head + search_from, message->head_length - search_from, "\r\n\r\n", 4);
	*complete = end != NULL;
	if (end == NULL)
		return length;
	message->head_length = (size_t) (end + 4 - message->head);
	message->head[message->head_length] = '\0';
	return message->head_length - before;
}

/* --- bodies --- */

/* One byte of what stands between the chunks. Returns false when it was the last of the body. */
static bool
take_chunk_byte(struct message *message, char c)
{
	if (c != '\n')
	{
		if (message->chunk == CHUNK_SIZE && message->line_length < 16 && strchr("0123456789abcdefABCDEF", c))
			message->left = message->left * 16 + (uint64_t) (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
		message->line_length += c != '\r';
		return true;
	}
	if (message->chunk == CHUNK_TRAILER && message->line_length == 0)
		return false;
	if (message->chunk == CHUNK_SIZE)
		message->chunk = message->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
	else if (message->chunk == CHUNK_END)
		message->chunk = CHUNK_SIZE;
	message->line_length = 0;
	return true;
}

/* How many of these bytes are of this body; *ended: it ends with them. */
size_t
message_take_body(struct message *message, const char *bytes, size_t length, bool *ended)
{
	size_t at = 0;

	*ended = false;
	if (message->chunk == CHUNK_NONE)
	{
		at = length < message->left ? length : (size_t) message->left;
		message->left -= message->left == UNTIL_CLOSE ? 0 : at;
		*ended = message->left == 0;
		return at;
	}
	while (at < length && !*ended)
		if (message->chunk == CHUNK_DATA)
		{
			size_t piece = length - at < message->left ? length - at : (size_t) message->left;

			at += piece;
			message->left -= piece;
			if (message->left == 0)
				message->chunk = CHUNK_END;
		}
		else
			*ended = !take_chunk_byte(message, bytes[at++]);
	return at;
}
