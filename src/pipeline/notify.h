/*
 * notify.h
 *	  Tells Healthchecks and Slack what became of runs.
 *
 * What is to be said is queued in dicom.notification, within the transaction that it is about; it is sent after that has been committed, by
 * a process of its own, so that no run ever waits for a server that hangs. A target is told one thing after the other, in the order in
 * which they happened; several targets side by side. What could not be sent is tried again, with growing delays: by the
 * worker's next check, or with the next thing that is queued. What was sent when a process died may be sent twice.
 *
 * Addresses are secrets, and so are tokens: errors name the host at most. Nothing is sent to link-local addresses, nor, but for targets
 * of superusers, to hosts that dicom_fdw.allowed_notification_hosts does not list.
 */
#ifndef PIPELINE_NOTIFY_H
#define PIPELINE_NOTIFY_H

#include "postgres.h"

/* One request; all of them are made side by side. */
struct delivery
{
	const char *url;
	const char *content_type;
	const char *token; /* NULL: none */
	const char *body;
	bool wants_ok; /* the answer is JSON, in which "ok" must be true */

	bool delivered;
	bool refused;    /* asking again will hardly help */
	int after_s;     /* not before, says the server */
	char error[300]; /* of one that was not delivered */
};

/* Makes the requests, within seconds. Throws when interrupted. */
extern void deliver(struct delivery *deliveries, int count);

/* May notifications of this role go to this address? If not, why, in `error`. */
extern bool notify_url_is_allowed(const char *url, Oid owner, char *error, size_t size);

/* Sends what is due, a notification to each target; how many were sent and were not. In a transaction. */
extern void notify_send_round(uint64 *sent, uint64 *failed);

/* The same until nothing is due, in transactions of its own. For a process outside of any, that may do everything. */
extern void notify_send_waiting(void);

#endif
