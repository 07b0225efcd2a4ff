/*
 * rules.h
 *	  What the proxy does to which request, as a control file says.
 *
 * One rule a line; the first that matches a request's target (path and query as sent) counts, '*' matches all. TIMES limits a rule
 * to so many requests, after which it is passed over; rules and their counts begin anew when the file changes.
 *
 *		latency MS					every request waits before it goes on
 *		silent PART [TIMES]			taken, never answered
 *		stall PART BYTES [TIMES]	the answer stops after so many bytes of its body, the connection stays
 *		reset PART BYTES [TIMES]	the same, and the connection is reset; BYTES -1: before any answer
 *		truncate PART BYTES [TIMES]	the same, and the connection is closed in order
 *		status PART STATUS TIMES [CODE]	answered here, with an S3 error document; TIMES 0: always
 *		length PART DELTA [TIMES]	Content-Length is wrong by so much
 *		swap PART N [always]		from the N-th answer on, the object has another ETag, and its old one does not match (412) any more;
 *									'always': another one with every answer
 *		garble PART [TIMES]			bytes of the body are changed
 */
#ifndef RULES_H
#define RULES_H

#include <stdbool.h>
#include <sys/stat.h>

#define MAX_RULES 64

enum fault
{
	FAULT_NONE,
	FAULT_SILENT,
	FAULT_STALL,
	FAULT_RESET,
	FAULT_TRUNCATE,
	FAULT_STATUS,
	FAULT_LENGTH,
	FAULT_SWAP,
	FAULT_GARBLE
};

struct rule
{
	enum fault fault;
	char part[512];
	long number;   /* bytes, status, delta or N */
	long times;    /* 0: without end */
	char code[64]; /* of the error document; 'always' of swap */
	long matched;  /* requests so far */
};

struct rules
{
	const char *file;
	struct stat read_as; /* the file when it was read */
	int latency_ms;
	struct rule rules[MAX_RULES];
	int count;
};

/* Reads the control file if it has changed. */
extern void rules_refresh(struct rules *rules);

/* The rule for a request, which is counted; NULL: none. */
extern struct rule *rules_match(struct rules *rules, const char *target);

extern const char *fault_name(enum fault fault);

#endif
