/*
 * exchange.c
 *	  Requests and their answers on their way through the proxy, and what rules do to them.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

/* --- requests --- */

void
write_log(struct proxy *proxy, const struct connection *connection)
{
	if (proxy->log == NULL)
		return;
	fprintf(proxy->log, "%s\t%s\t%s\t%d\t%llu\t%s\n", connection->method, connection->target,
			connection->range[0] ? connection->range : "-", connection->status,
			(unsigned long long) connection->sent, fault_name(connection->fault));
	fflush(proxy->log);
}

static void
copy_value(char *head, const char *name, char *copy, size_t size)
{
	size_t length;
	const char *value = message_header(head, name, &length);

	snprintf(copy, size, "%.*s", value ? (int) length : 0, value ? value : "");
}

/* The ETag that a swapped object shows; its own If-Match must not reach the server, which knows another. */
static void
swap_version(struct connection *connection, const struct rule *rule)
{
	struct message *request = &connection->request;
	size_t length;
	char *wanted = message_header(request->head, "If-Match", &length);
	bool always = strcmp(rule->code, "always") == 0;

	if (rule->matched < rule->number)
		return;
	snprintf(connection->etag, sizeof(connection->etag), "\"swapped-%ld\"", always ? rule->matched : 1);
	if (wanted == NULL)
		return;
	if (always || length != strlen(connection->etag) || memcmp(wanted, connection->etag, length) != 0)
	{
		connection->own_status = 412;
		strcpy(connection->own_code, "PreconditionFailed");
	}
	else
	{
		while (wanted[-1] != '\n')
			wanted--;
		memcpy(wanted, "X-Unused", strlen("X-Unused"));
	}
}

static void
apply_rule(struct connection *connection, const struct rule *rule)
{
	connection->fault = rule->fault;
	connection->fault_number = rule->number;
	switch (rule->fault)
	{
		case FAULT_STALL:
		case FAULT_RESET:
		case FAULT_TRUNCATE:
			connection->fault_left = rule->number > 0 ? (uint64_t) rule->number : 0;
			break;
		case FAULT_STATUS:
			connection->own_status = (int) rule->number;
			snprintf(connection->own_code, sizeof(connection->own_code), "%s", rule->code);
			break;
		case FAULT_SWAP:
			swap_version(connection, rule);
			break;
		default:
			break;
	}
}

static void
begin_request(struct proxy *proxy, struct connection *connection)
{
	struct rule *rule;

	connection->status = 0;
	connection->sent = 0;
	connection->fault = FAULT_NONE;
	connection->own_status = 0;
	connection->etag[0] = '\0';
	connection->target[0] = '\0';
	sscanf(connection->request.head, "%15s %4095s", connection->method, connection->target);
	copy_value(connection->request.head, "Range", connection->range, sizeof(connection->range));
	rules_refresh(&proxy->rules);
	rule = rules_match(&proxy->rules, connection->target);
	if (rule)
		apply_rule(connection, rule);
}

/* Gives the answer of a rule. */
static void
send_own_answer(struct proxy *proxy, struct connection *connection)
{
	char body[512];
	char head[512];
	bool has_body = strcmp(connection->method, "HEAD") != 0;
	int length = snprintf(
		body, sizeof(body),
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>%s</Code><Message>told to</Message></Error>",
		connection->own_code);
	int head_length =
		snprintf(head, sizeof(head),
				 "HTTP/1.1 %d Told To\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n",
				 connection->own_status, length);

	send_bytes(&connection->client, head, (size_t) head_length);
	if (has_body)
		send_bytes(&connection->client, body, (size_t) length);
	connection->status = connection->own_status;
	connection->sent = has_body ? (uint64_t) length : 0;
	write_log(proxy, connection);
}

static void
end_request(struct proxy *proxy, struct connection *connection)
{
	connection->request.state = IN_HEAD;
	connection->request.head_length = 0;
	if (connection->own_status)
		send_own_answer(proxy, connection);
}

static void
wait_until_due(struct proxy *proxy, struct connection *connection)
{
	struct connection **place = &proxy->due;

	connection->due = now_ms() + proxy->rules.latency_ms;
	while (*place && (*place)->due <= connection->due)
		place = &(*place)->next_due;
	connection->next_due = *place;
	*place = connection;
}

/* The head of a request is whole: what becomes of it? */
static void
forward_request(struct proxy *proxy, struct connection *connection)
{
	begin_request(proxy, connection);
	message_begin_body(&connection->request, 0);
	if (connection->fault == FAULT_SILENT)
	{
		connection->dead = true;
		close_side(&connection->server);
		write_log(proxy, connection);
	}
	else if (connection->fault == FAULT_RESET && connection->fault_number < 0)
	{
		write_log(proxy, connection);
		reset_connection(proxy, connection);
	}
	else if (connection->own_status == 0)
	{
		if (!connect_upstream(proxy, connection))
			close_connection(proxy, connection);
		else if (proxy->rules.latency_ms > 0)
		{
			/* It lies in the pending bytes of the server's side, which is not written to before its time. */
			wait_until_due(proxy, connection);
			keep_pending(&connection->server, connection->request.head, connection->request.head_length);
		}
		else
			send_bytes(&connection->server, connection->request.head, connection->request.head_length);
	}
}

void
take_request_bytes(struct proxy *proxy, struct connection *connection, char *bytes, size_t length)
{
	struct message *request = &connection->request;

	while (length > 0 && !connection->dead && !connection->closed)
	{
		bool ended = false;
		size_t taken;

		if (request->state == IN_HEAD)
		{
			taken = message_take_head(request, bytes, length, &ended);
			if (ended)
			{
				forward_request(proxy, connection);
				ended = request->chunk == CHUNK_NONE && request->left == 0;
			}
			else if (taken == 0)
				close_connection(proxy, connection); /* an endless head */
		}
		else
		{
			taken = message_take_body(request, bytes, length, &ended);
			if (connection->own_status == 0)
				send_bytes(&connection->server, bytes, taken);
		}
		bytes += taken;
		length -= taken;
		if (ended && !connection->closed && !connection->dead)
			end_request(proxy, connection);
	}
}

/* --- answers --- */

static void
change_answer(struct connection *connection)
{
	struct message *answer = &connection->answer;
	size_t length;
	char *value;

	if (connection->etag[0] && (value = message_header(answer->head, "ETag", &length)) != NULL)
		message_replace(answer, value, length, connection->etag);
	if (connection->fault == FAULT_LENGTH &&
		(value = message_header(answer->head, "Content-Length", &length)) != NULL)
	{
		char lie[32];

		snprintf(lie, sizeof(lie), "%lld", strtoll(value, NULL, 10) + connection->fault_number);
		message_replace(answer, value, length, lie);
		connection->close_after_answer = true;
	}
}

static void
end_answer(struct proxy *proxy, struct connection *connection)
{
	write_log(proxy, connection);
	connection->answer.state = IN_HEAD;
	connection->answer.head_length = 0;
	if (connection->close_after_answer)
	{
		connection->server_closed = true;
		if (connection->client.pending_length == 0)
			close_connection(proxy, connection);
	}
}

static bool
has_no_body(const struct connection *connection)
{
	return strcmp(connection->method, "HEAD") == 0 || connection->status == 204 || connection->status == 304;
}

/* The fault strikes. */
static void
strike(struct proxy *proxy, struct connection *connection)
{
	write_log(proxy, connection);
	close_side(&connection->server);
	if (connection->fault == FAULT_RESET)
		reset_connection(proxy, connection);
	else if (connection->fault == FAULT_STALL)
		connection->dead = true;
	else
	{
		connection->server_closed = true;
		if (connection->client.pending_length == 0)
			close_connection(proxy, connection);
	}
}

static bool
is_cut_short(const struct connection *connection)
{
	return connection->fault == FAULT_STALL || connection->fault == FAULT_RESET ||
		   connection->fault == FAULT_TRUNCATE;
}

/* The head of an answer is whole. */
static void
forward_answer(struct proxy *proxy, struct connection *connection)
{
	struct message *answer = &connection->answer;

	if (sscanf(answer->head, "HTTP/1.%*d %d", &connection->status) != 1)
	{
		close_connection(proxy, connection);
		return;
	}
	if (connection->status >= 100 && connection->status < 200)
	{
		send_bytes(&connection->client, answer->head, answer->head_length);
		answer->head_length = 0;
		return;
	}
	message_begin_body(answer, UNTIL_CLOSE);
	if (has_no_body(connection))
	{
		answer->left = 0;
		answer->chunk = CHUNK_NONE;
	}
	change_answer(connection);
	send_bytes(&connection->client, answer->head, answer->head_length);
	if (is_cut_short(connection) && connection->fault_left == 0)
		strike(proxy, connection);
	else if (answer->left == 0 && answer->chunk == CHUNK_NONE)
		end_answer(proxy, connection);
}

static void
forward_body(struct proxy *proxy, struct connection *connection, char *bytes, size_t length, bool ended)
{
	size_t i;

	if (connection->fault == FAULT_GARBLE)
		for (i = 0; i < length; i += 7)
			bytes[i] ^= 0x15;
	if (is_cut_short(connection) && length >= connection->fault_left)
	{
		send_bytes(&connection->client, bytes, (size_t) connection->fault_left);
		connection->sent += connection->fault_left;
		strike(proxy, connection);
		return;
	}
	send_bytes(&connection->client, bytes, length);
	connection->sent += length;
	connection->fault_left -= length;
	if (ended)
		end_answer(proxy, connection);
}

void
take_answer_bytes(struct proxy *proxy, struct connection *connection, char *bytes, size_t length)
{
	struct message *answer = &connection->answer;

	while (length > 0 && !connection->dead && !connection->closed && !connection->server_closed)
	{
		bool ended = false;
		size_t taken;

		if (answer->state == IN_HEAD)
		{
			taken = message_take_head(answer, bytes, length, &ended);
			if (ended)
				forward_answer(proxy, connection);
			else if (taken == 0)
				close_connection(proxy, connection);
		}
		else
		{
			taken = message_take_body(answer, bytes, length, &ended);
			forward_body(proxy, connection, bytes, taken, ended);
		}
		bytes += taken;
		length -= taken;
	}
}
