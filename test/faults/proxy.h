/*
 * proxy.h
 *	  What the files of the proxy share.
 */
#ifndef PROXY_H
#define PROXY_H

#include <stdio.h>

#include "message.h"
#include "rules.h"

#define SCRATCH_SIZE (256 * 1024)

struct connection;

struct side
{
	struct connection *connection;
	int fd; /* -1: not connected */
	uint32_t watched;
	char *pending; /* to be written */
	size_t pending_length;
	size_t pending_size;
};

struct connection
{
	struct side client;
	struct side server;
	struct message request;
	struct message answer;

	/* The request under way. */
	char method[16];
	char target[4096];
	char range[128];
	int status;
	uint64_t sent; /* bytes of the answer's body */
	enum fault fault;
	long fault_number;
	uint64_t fault_left; /* bytes of the body until it strikes */
	int own_status;      /* answered here */
	char own_code[64];
	char etag[64];           /* that the answer gets; '': its own */
	bool body_dropped;       /* the request's */
	bool close_after_answer; /* the length was a lie */

	bool dead;          /* silent or stalled: only its end is waited for */
	bool server_closed; /* close as soon as everything is written */
	bool closed;        /* to be freed when the events in hand are done */
	int64_t due;        /* the request goes on then; 0: at once */
	struct connection *next_due;
	struct connection *next_closed;
};

struct proxy
{
	struct rules rules;
	int upstream_port;
	int epoll;
	int listener;
	FILE *log;
	struct connection *due; /* waiting, the earliest first */
	struct connection *closed;
	char scratch[SCRATCH_SIZE];
};

/* --- connection.c --- */

/* Has epoll watch both sides as the connection's state asks for. */
extern void update_watches(struct proxy *proxy, struct connection *connection);
extern void close_side(struct side *side);
extern void close_connection(struct proxy *proxy, struct connection *connection);
extern void reset_connection(struct proxy *proxy, struct connection *connection);

/* Sends, or keeps what cannot be sent now; the latter only. */
extern void send_bytes(struct side *side, const char *bytes, size_t length);
extern void keep_pending(struct side *side, const char *bytes, size_t length);
extern void flush_pending(struct proxy *proxy, struct side *side);
extern bool connect_upstream(struct proxy *proxy, struct connection *connection);

/* --- exchange.c --- */

extern void take_request_bytes(struct proxy *proxy, struct connection *connection, char *bytes,
							   size_t length);
extern void take_answer_bytes(struct proxy *proxy, struct connection *connection, char *bytes, size_t length);
extern void write_log(struct proxy *proxy, const struct connection *connection);

/* --- proxy.c --- */

extern int64_t now_ms(void);
extern void fail(const char *what) __attribute__((noreturn));

#endif
