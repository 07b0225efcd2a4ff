/*
 * notify_send.c
 *	  Takes notifications from the queue, has them delivered, and notes what came of it.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "../pg/own_tables.h"
#include "notify.h"

#define TARGETS_AT_ONCE 32
#define ROUNDS          1000

struct queued
{
	int64 id;
	int64 target;
	bool is_allowed;
	struct delivery delivery;
};

/* Nothing waits for longer than an hour, or than the target has asked for; what does was noted before the clock was set back. */
#define IS_DUE \
	"n.next_attempt NOT BETWEEN pg_catalog.clock_timestamp() AND pg_catalog.clock_timestamp() + interval '1 day'"

/* Of those that have failed once, a start that something else has followed is of no interest; nor is what is long over. */
static const char tidy_statement[] =
	"WITH old AS (DELETE FROM dicom.notification n WHERE n.queued_at < pg_catalog.clock_timestamp() - interval '30 days')"
	" UPDATE dicom.notification n SET abandoned_at = pg_catalog.clock_timestamp()"
	" WHERE n.sent_at IS NULL AND n.abandoned_at IS NULL AND n.event = 'start' AND n.attempts > 0"
	" AND EXISTS (SELECT FROM dicom.notification l WHERE l.target = n.target AND l.id > n.id)";

/* Whoever else sends passes over these targets until this transaction ends, so that each is told things in their order. */
static const char lock_statement[] =
	"SELECT t.id FROM dicom.notification_target t WHERE (SELECT " IS_DUE " FROM dicom.notification n"
	" WHERE n.target = t.id AND n.sent_at IS NULL AND n.abandoned_at IS NULL ORDER BY n.id LIMIT 1)"
	" ORDER BY t.id LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED";

/* Another statement, with a snapshot that is younger than the locks. */
static const char read_statement[] =
	"SELECT n.id, t.id, t.kind, t.owner::pg_catalog.oid, t.url, t.token, r.address, r.body"
	" FROM dicom.notification_target t"
	" CROSS JOIN LATERAL (SELECT * FROM dicom.notification n WHERE n.target = t.id AND n.sent_at IS NULL"
	" AND n.abandoned_at IS NULL ORDER BY n.id LIMIT 1) n"
	" CROSS JOIN LATERAL dicom.notification_request(t.kind, t.url, t.channel, n.event, n.run, n.payload) r"
	" WHERE t.id = ANY ($1) AND " IS_DUE;

static const char sent_statement[] =
	"UPDATE dicom.notification SET sent_at = pg_catalog.clock_timestamp(), attempts = attempts + 1, error = NULL WHERE id = $1";

/* Half a minute after the first failure, then twice as long each time, up to an hour; given up after some hours, or soon where refused. */
static const char failed_statement[] =
	"UPDATE dicom.notification SET attempts = attempts + 1, error = $2, next_attempt = pg_catalog.clock_timestamp()"
	" + greatest(least(interval '30 s' * 2 ^ least(attempts, 20), interval '1 hour'), interval '1 s' * $3),"
	" abandoned_at = CASE WHEN attempts + 1 >= CASE WHEN $4 THEN 5 ELSE 20 END THEN pg_catalog.clock_timestamp() END"
	" WHERE id = $1";

/* --- the queue --- */

static Datum
lock_targets(void)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(TARGETS_AT_ONCE)};
	Datum *targets;
	bool isnull;
	uint64 i;

	own_tables_execute(tidy_statement, 0, NULL, NULL, NULL);
	own_tables_execute(lock_statement, lengthof(types), types, values, NULL);
	targets = palloc((SPI_processed + 1) * sizeof(*targets));
	for (i = 0; i < SPI_processed; i++)
		targets[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
	return PointerGetDatum(
		construct_array(targets, (int) SPI_processed, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
fill_queued(struct queued *queued, HeapTuple tuple, TupleDesc descriptor)
{
	bool isnull;
	const char *kind = SPI_getvalue(tuple, descriptor, 3);
	Oid owner = DatumGetObjectId(SPI_getbinval(tuple, descriptor, 4, &isnull));
	struct delivery *delivery = &queued->delivery;

	queued->id = DatumGetInt64(SPI_getbinval(tuple, descriptor, 1, &isnull));
	queued->target = DatumGetInt64(SPI_getbinval(tuple, descriptor, 2, &isnull));
	delivery->token = SPI_getvalue(tuple, descriptor, 6);
	delivery->url = SPI_getvalue(tuple, descriptor, 7);
	delivery->body = SPI_getvalue(tuple, descriptor, 8);
	delivery->wants_ok = strcmp(kind, "slack_api") == 0;
	delivery->content_type =
		strcmp(kind, "healthchecks") == 0 ? "text/plain; charset=utf-8" : "application/json; charset=utf-8";
	queued->is_allowed = notify_url_is_allowed(SPI_getvalue(tuple, descriptor, 5), owner, delivery->error,
											   sizeof(delivery->error));
	delivery->refused = !queued->is_allowed;
}

/* The notifications whose turn it is, in the current context. */
static struct queued *
take_queued(int *count)
{
	MemoryContext context = CurrentMemoryContext;
	struct own_tables access = own_tables_begin("notification");
	Oid types[] = {INT8ARRAYOID};
	Datum values[] = {lock_targets()};
	struct queued *queued;
	uint64 i;

	own_tables_execute(read_statement, lengthof(types), types, values, NULL);
	MemoryContextSwitchTo(context);
	queued = palloc0((SPI_processed + 1) * sizeof(*queued));
	for (i = 0; i < SPI_processed; i++)
		fill_queued(&queued[i], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	*count = (int) SPI_processed;
	own_tables_end(access);
	return queued;
}

static void
note(const struct queued *queued)
{
	const struct delivery *delivery = &queued->delivery;
	Oid types[] = {INT8OID, TEXTOID, INT4OID, BOOLOID};
	Datum values[] = {Int64GetDatum(queued->id), CStringGetTextDatum(delivery->error),
					  Int32GetDatum(delivery->after_s), BoolGetDatum(delivery->refused)};

	if (delivery->delivered)
		own_tables_execute(sent_statement, 1, types, values, NULL);
	else
		own_tables_execute(failed_statement, lengthof(types), types, values, NULL);
}

/* --- a round --- */

static void
deliver_allowed(struct queued *queued, int count)
{
	struct delivery *deliveries = palloc((count + 1) * sizeof(*deliveries));
	int allowed = 0;
	int i;

	for (i = 0; i < count; i++)
		if (queued[i].is_allowed)
			deliveries[allowed++] = queued[i].delivery;
	deliver(deliveries, allowed);
	for (allowed = i = 0; i < count; i++)
		if (queued[i].is_allowed)
			queued[i].delivery = deliveries[allowed++];
}

void
notify_send_round(uint64 *sent, uint64 *failed)
{
	int count;
	struct queued *queued = take_queued(&count);
	struct own_tables access;
	int i;

	if (count == 0)
		return;
	deliver_allowed(queued, count);
	access = own_tables_begin("notification");
	for (i = 0; i < count; i++)
	{
		note(&queued[i]);
		if (queued[i].delivery.delivered)
			(*sent)++;
		else
			(*failed)++;
	}
	own_tables_end(access);
}

/* --- a process that does nothing else --- */

static bool
is_installed(void)
{
	Oid namespace = get_namespace_oid("dicom", true);

	return OidIsValid(get_extension_oid("dicom_fdw", true)) && OidIsValid(namespace) &&
		   OidIsValid(get_relname_relid("notification", namespace));
}

/* False: nothing more is due. */
static bool
send_in_transaction(MemoryContext context)
{
	uint64 sent = 0;
	uint64 failed = 0;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	if (is_installed())
		notify_send_round(&sent, &failed);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextReset(context);
	return sent + failed > 0;
}

void
notify_send_waiting(void)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "dicom_fdw notifications", ALLOCSET_DEFAULT_SIZES);
	int round;

	pgstat_report_activity(STATE_RUNNING, "sending notifications");
	for (round = 0; round < ROUNDS; round++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!send_in_transaction(context))
			break;
	}
	pgstat_report_activity(STATE_IDLE, NULL);
}
