/*
 * message.c
 *	  Messages put into bytes, and taken out of them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MSG_CMSG_CLOEXEC */
#endif

#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEADER_SIZE 16 /* type, length of the body, length of the bulk bytes */
#define IN_SIZE     ((size_t) HEADER_SIZE + MESSAGE_MAX_BODY)

union control
{
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_MAX_DESCRIPTORS)];
};

/* Lets go of those to be sent, but for the first `kept`. */
static void
drop_going(struct message_channel *channel, int kept)
{
	while (channel->going_count > kept)
		close(channel->going[--channel->going_count]);
}

static void
close_descriptors(struct message_channel *channel)
{
	while (channel->came_count > 0)
		close(channel->came[--channel->came_count]);
	drop_going(channel, 0);
}

void
message_close(struct message_channel *channel)
{
	close_descriptors(channel);
	if (channel->socket >= 0)
		close(channel->socket);
	free(channel->in);
	dicom_buffer_free(&channel->out);
	memset(channel, 0, sizeof(*channel));
	channel->socket = -1;
}

/* --- receiving --- */

/* Takes over the descriptors that came with some bytes. False where these are more than anybody may have sent. */
static bool
keep_descriptors(struct message_channel *channel, struct msghdr *header)
{
	bool fits = (header->msg_flags & MSG_CTRUNC) == 0;
	struct cmsghdr *control;

	for (control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control))
	{
		size_t i;

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; i < (control->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
		{
			int descriptor;

			memcpy(&descriptor, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
			if (channel->came_count < MESSAGE_MAX_DESCRIPTORS)
				channel->came[channel->came_count++] = descriptor;
			else
			{
				close(descriptor);
				fits = false;
			}
		}
	}
	return fits;
}

static enum dicom_status
receive(struct message_channel *channel, void *bytes, size_t length, size_t *got, struct dicom_error *error)
{
	struct iovec piece = {.iov_base = bytes, .iov_len = length};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
	union control control;
	ssize_t received;

	if (channel->accepts_descriptors)
	{
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
	}
	do
		received = recvmsg(channel->socket, &header, MSG_CMSG_CLOEXEC | (channel->waits ? 0 : MSG_DONTWAIT));
	while (received < 0 && errno == EINTR);
	if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return DICOM_PENDING;
	if (received == 0 || (received < 0 && errno == ECONNRESET))
		return DICOM_END;
	if (received < 0)
		return dicom_fail(error, DICOM_ERROR_IO, "cannot receive a message: %s", strerror(errno));
	if (channel->accepts_descriptors && !keep_descriptors(channel, &header))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "too many descriptors came with a message");
	*got = (size_t) received;
	return DICOM_OK;
}

/* Receives until `length` bytes are there to be looked at. */
static enum dicom_status
gather(struct message_channel *channel, size_t length, struct dicom_error *error)
{
	if (channel->in == NULL)
		channel->in = malloc(IN_SIZE);
	if (channel->in == NULL)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (channel->in_position == channel->in_length)
		channel->in_position = channel->in_length = 0;
	if (IN_SIZE - channel->in_position < length)
	{
		channel->in_length -= channel->in_position;
		memmove(channel->in, channel->in + channel->in_position, channel->in_length);
		channel->in_position = 0;
	}
	while (channel->in_length - channel->in_position < length)
	{
		size_t got = 0;
		enum dicom_status status =
			receive(channel, channel->in + channel->in_length, IN_SIZE - channel->in_length, &got, error);

		if (status != DICOM_OK)
			return status;
		channel->in_length += got;
	}
	return DICOM_OK;
}

/* Which kinds of message have bulk bytes, and how many at most. */
static uint64_t
most_bulk(uint32_t type)
{
	return type == MESSAGE_DATA ? MESSAGE_MAX_DATA : type == MESSAGE_PICTURE ? MESSAGE_MAX_PICTURE : 0;
}

enum dicom_status
message_receive(struct message_channel *channel, struct message *message, struct dicom_error *error)
{
	enum dicom_status status = gather(channel, HEADER_SIZE, error);
	uint32_t type;

	if (status != DICOM_OK)
		return status;
	memcpy(&type, channel->in + channel->in_position, 4);
	memcpy(&message->length, channel->in + channel->in_position + 4, 4);
	memcpy(&message->bulk, channel->in + channel->in_position + 8, 8);
	if (type < MESSAGE_HELLO || type > MESSAGE_DONE || message->length > MESSAGE_MAX_BODY ||
		message->bulk > most_bulk(type))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "a message makes no sense");
	status = gather(channel, HEADER_SIZE + message->length, error);
	if (status != DICOM_OK)
		return status;
	message->type = (enum message_type) type;
	message->body = channel->in + channel->in_position + HEADER_SIZE;
	channel->in_position += HEADER_SIZE + message->length;
	channel->bulk_left = message->bulk;
	return DICOM_OK;
}

enum dicom_status
message_take_bulk(struct message_channel *channel, void *bytes, size_t length, size_t *got,
				  struct dicom_error *error)
{
	size_t here = channel->in_length - channel->in_position;
	enum dicom_status status;

	if (length > channel->bulk_left)
		length = (size_t) channel->bulk_left;
	*got = here < length ? here : length;
	if (*got > 0)
	{
		memcpy(bytes, channel->in + channel->in_position, *got);
		channel->in_position += *got;
	}
	else if (length > 0)
	{
		status = receive(channel, bytes, length, got, error);
		if (status != DICOM_OK)
			return status;
	}
	channel->bulk_left -= *got;
	return DICOM_OK;
}

int
message_take_descriptor(struct message_channel *channel)
{
	int descriptor = channel->came_count > 0 ? channel->came[0] : -1;

	if (channel->came_count > 0)
		memmove(channel->came, channel->came + 1, sizeof(int) * (size_t) --channel->came_count);
	return descriptor;
}

/* --- sending --- */

void
message_begin(struct message_channel *channel, enum message_type type)
{
	uint8_t header[HEADER_SIZE] = {0};
	uint32_t number = (uint32_t) type;

	channel->begun = channel->out.length;
	channel->going_begun = channel->going_count;
	channel->going_failed = false;
	memcpy(header, &number, 4);
	dicom_buffer_append(&channel->out, header, HEADER_SIZE);
}

void
message_put_8(struct message_channel *channel, uint8_t value)
{
	dicom_buffer_append(&channel->out, &value, 1);
}

void
message_put_32(struct message_channel *channel, uint32_t value)
{
	dicom_buffer_append(&channel->out, &value, 4);
}

void
message_put_64(struct message_channel *channel, uint64_t value)
{
	dicom_buffer_append(&channel->out, &value, 8);
}

void
message_put_double(struct message_channel *channel, double value)
{
	dicom_buffer_append(&channel->out, &value, 8);
}

void
message_put_bytes(struct message_channel *channel, const void *bytes, uint32_t length)
{
	message_put_32(channel, length);
	if (length > 0)
		dicom_buffer_append(&channel->out, bytes, length);
}

void
message_put_string(struct message_channel *channel, const char *string)
{
	message_put_bytes(channel, string ? string : "", string ? (uint32_t) strlen(string) : 0);
}

void
message_put_error(struct message_channel *channel, const struct dicom_error *error)
{
	message_put_32(channel, (uint32_t) error->code);
	message_put_string(channel, error->message);
	message_put_string(channel, error->hint);
	message_put_64(channel, (uint64_t) error->offset);
	message_put_32(channel, error->tag);
}

void
message_put_descriptor(struct message_channel *channel, int descriptor)
{
	if (channel->going_count < MESSAGE_MAX_DESCRIPTORS)
		channel->going[channel->going_count++] = descriptor;
	else
	{
		channel->going_failed = true;
		close(descriptor);
	}
}

static enum dicom_status
drop_message(struct message_channel *channel, struct dicom_error *error, enum dicom_error_code code,
			 const char *reason)
{
	drop_going(channel, channel->going_begun);
	if (!channel->out.failed)
		channel->out.length = channel->begun;
	return dicom_fail(error, code, "%s", reason);
}

enum dicom_status
message_end(struct message_channel *channel, const void *bulk, size_t bulk_length, struct dicom_error *error)
{
	uint64_t bulk_size = bulk_length;
	uint32_t length;

	if (channel->out.failed)
		return drop_message(channel, error, DICOM_ERROR_MEMORY, "out of memory");
	if (channel->out.length - channel->begun > IN_SIZE)
		return drop_message(channel, error, DICOM_ERROR_LIMIT, "a message is too long");
	if (channel->going_failed || (bulk_length > 0 && channel->bulk_length > 0))
		return drop_message(channel, error, DICOM_ERROR_PROTOCOL, "too many messages wait to be sent");
	length = (uint32_t) (channel->out.length - channel->begun - HEADER_SIZE);
	memcpy(channel->out.data + channel->begun + 4, &length, 4);
	memcpy(channel->out.data + channel->begun + 8, &bulk_size, 8);
	if (bulk_length > 0)
	{
		channel->bulk = bulk;
		channel->bulk_length = bulk_length;
		channel->bulk_place = channel->out.length;
	}
	return DICOM_OK;
}

bool
message_keep_bulk(struct message_channel *channel)
{
	size_t behind = channel->out.length - channel->bulk_place;
	char *room;

	if (channel->bulk_length == 0)
		return true;
	room = dicom_buffer_reserve(&channel->out, channel->bulk_length);
	if (room == NULL)
		return false;
	room = channel->out.data + channel->bulk_place;
	memmove(room + channel->bulk_length, room, behind);
	memcpy(room, channel->bulk, channel->bulk_length);
	channel->out.length += channel->bulk_length;
	channel->bulk_length = 0;
	channel->bulk_place = 0;
	return true;
}

bool
message_is_sending(const struct message_channel *channel)
{
	return channel->sent < channel->out.length + channel->bulk_length;
}

/* What is to be sent next: at most three pieces. */
static int
next_pieces(const struct message_channel *channel, struct iovec pieces[3])
{
	const struct
	{
		const char *bytes;
		size_t length;
	} parts[3] = {{channel->out.data, channel->bulk_length > 0 ? channel->bulk_place : channel->out.length},
				  {channel->bulk, channel->bulk_length},
				  {channel->out.data + channel->bulk_place,
				   channel->bulk_length > 0 ? channel->out.length - channel->bulk_place : 0}};
	size_t place = 0;
	int count = 0;
	int i;

	for (i = 0; i < 3; place += parts[i++].length)
	{
		size_t first = channel->sent > place ? channel->sent - place : 0;

		if (first >= parts[i].length)
			continue;
		pieces[count].iov_base = (void *) (parts[i].bytes + first);
		pieces[count++].iov_len = parts[i].length - first;
	}
	return count;
}

static void
attach_descriptors(const struct message_channel *channel, struct msghdr *header, union control *control)
{
	size_t size = sizeof(int) * (size_t) channel->going_count;

	memset(control, 0, sizeof(*control));
	header->msg_control = control;
	header->msg_controllen = CMSG_SPACE(size);
	control->header.cmsg_level = SOL_SOCKET;
	control->header.cmsg_type = SCM_RIGHTS;
	control->header.cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(&control->header), channel->going, size);
}

static void
note_sent(struct message_channel *channel, size_t length)
{
	channel->sent += length;
	drop_going(channel, 0);
	if (message_is_sending(channel))
		return;
	dicom_buffer_reset(&channel->out);
	channel->sent = 0;
	channel->bulk_length = 0;
	channel->bulk_place = 0;
}

enum dicom_status
message_flush(struct message_channel *channel, struct dicom_error *error)
{
	while (message_is_sending(channel))
	{
		struct iovec pieces[3];
		struct msghdr header = {.msg_iov = pieces};
		union control control;
		ssize_t sent;

		header.msg_iovlen = (size_t) next_pieces(channel, pieces);
		if (channel->going_count > 0)
			attach_descriptors(channel, &header, &control);
		sent = sendmsg(channel->socket, &header, MSG_NOSIGNAL | (channel->waits ? 0 : MSG_DONTWAIT));
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return DICOM_PENDING;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return DICOM_END;
		if (sent < 0)
			return dicom_fail(error, DICOM_ERROR_IO, "cannot send a message: %s", strerror(errno));
		note_sent(channel, (size_t) sent);
	}
	return DICOM_OK;
}

/* --- bodies --- */

void
message_read(struct message_reader *reader, const struct message *message)
{
	reader->bytes = message->body;
	reader->left = message->length;
	reader->failed = false;
}

static void
get(struct message_reader *reader, void *value, size_t length)
{
	memset(value, 0, length);
	if (reader->failed || reader->left < length)
	{
		reader->failed = true;
		return;
	}
	memcpy(value, reader->bytes, length);
	reader->bytes += length;
	reader->left -= length;
}

uint8_t
message_get_8(struct message_reader *reader)
{
	uint8_t value;

	get(reader, &value, sizeof(value));
	return value;
}

uint32_t
message_get_32(struct message_reader *reader)
{
	uint32_t value;

	get(reader, &value, sizeof(value));
	return value;
}

uint64_t
message_get_64(struct message_reader *reader)
{
	uint64_t value;

	get(reader, &value, sizeof(value));
	return value;
}

double
message_get_double(struct message_reader *reader)
{
	double value;

	get(reader, &value, sizeof(value));
	return value;
}

const uint8_t *
message_get_bytes(struct message_reader *reader, uint32_t most, uint32_t *length)
{
	const uint8_t *bytes;

	*length = message_get_32(reader);
	if (reader->failed || *length > most || *length > reader->left)
	{
		reader->failed = true;
		*length = 0;
		return NULL;
	}
	bytes = reader->bytes;
	reader->bytes += *length;
	reader->left -= *length;
	return bytes;
}

void
message_get_string(struct message_reader *reader, char *string, size_t size)
{
	uint32_t length;
	const uint8_t *bytes = message_get_bytes(reader, (uint32_t) size - 1, &length);

	if (length > 0 && memchr(bytes, '\0', length))
	{
		reader->failed = true;
		length = 0;
	}
	if (length > 0)
		memcpy(string, bytes, length);
	string[length] = '\0';
}

/* Messages are ours, in ASCII; whatever else comes out of a child is not shown. */
static void
make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char) *text < 0x20 || (unsigned char) *text >= 0x7F)
			*text = '?';
}

void
message_get_error(struct message_reader *reader, struct dicom_error *error)
{
	uint32_t code = message_get_32(reader);

	memset(error, 0, sizeof(*error));
	message_get_string(reader, error->message, sizeof(error->message));
	message_get_string(reader, error->hint, sizeof(error->hint));
	error->offset = (int64_t) message_get_64(reader);
	error->tag = message_get_32(reader);
	if (code == DICOM_ERROR_NONE || code > DICOM_ERROR_MEMORY || error->offset < -1)
		reader->failed = true;
	error->code = reader->failed ? DICOM_ERROR_PROTOCOL : (enum dicom_error_code) code;
	make_printable(error->message);
	make_printable(error->hint);
}

bool
message_read_all(const struct message_reader *reader)
{
	return !reader->failed && reader->left == 0;
}
