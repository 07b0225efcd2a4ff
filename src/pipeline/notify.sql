/* --- notifications: src/pipeline/notify.h --- */

CREATE TABLE dicom.notification_target
(
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	pipeline text COLLATE "C" NOT NULL REFERENCES dicom.pipeline ON UPDATE CASCADE ON DELETE CASCADE,
	kind text NOT NULL CHECK (kind IN ('healthchecks', 'slack_webhook', 'slack_api')),
	owner regrole NOT NULL,
	url text NOT NULL,
	token text,
	channel text,
	events text[] NOT NULL CHECK (events <@ ARRAY['start', 'success', 'failure', 'recovery', 'stopped_day', 'test']),
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notification_target_pipeline ON dicom.notification_target (pipeline);
COMMENT ON TABLE dicom.notification_target IS 'who is told about the runs of a pipeline; url and token are secrets: only whoever may act as the owner sees them';
COMMENT ON INDEX dicom.notification_target_pipeline IS 'targets of a pipeline';
COMMENT ON COLUMN dicom.notification_target.id IS 'number';
COMMENT ON COLUMN dicom.notification_target.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.notification_target.kind IS 'healthchecks, slack_webhook or slack_api';
COMMENT ON COLUMN dicom.notification_target.owner IS 'role that answers for the address: of a superuser, it may be any; else one of dicom_fdw.allowed_notification_hosts';
COMMENT ON COLUMN dicom.notification_target.url IS 'where to send to; for most services whoever knows it may send';
COMMENT ON COLUMN dicom.notification_target.token IS 'of slack_api: sent as a bearer token';
COMMENT ON COLUMN dicom.notification_target.channel IS 'of slack_api: the channel';
COMMENT ON COLUMN dicom.notification_target.events IS 'what it is told about';
COMMENT ON COLUMN dicom.notification_target.created_at IS 'when it was added';

CREATE TABLE dicom.notification
(
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	target bigint NOT NULL REFERENCES dicom.notification_target ON DELETE CASCADE,
	run bigint,
	queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	next_attempt timestamptz NOT NULL DEFAULT clock_timestamp(),
	sent_at timestamptz,
	abandoned_at timestamptz,
	attempts integer NOT NULL DEFAULT 0,
	event text NOT NULL,
	payload jsonb NOT NULL,
	error text
);
CREATE INDEX notification_of_target ON dicom.notification (target, id);
CREATE INDEX notification_waiting ON dicom.notification (target, id) WHERE sent_at IS NULL AND abandoned_at IS NULL;
COMMENT ON TABLE dicom.notification IS 'what targets are told, or were in the last 30 days; see dicom.notifications';
COMMENT ON INDEX dicom.notification_of_target IS 'notifications of a target, in order';
COMMENT ON INDEX dicom.notification_waiting IS 'those that are to be sent';
COMMENT ON COLUMN dicom.notification.id IS 'number';
COMMENT ON COLUMN dicom.notification.target IS 'who is told';
COMMENT ON COLUMN dicom.notification.run IS 'the run it is about';
COMMENT ON COLUMN dicom.notification.queued_at IS 'when it happened';
COMMENT ON COLUMN dicom.notification.next_attempt IS 'not sent before';
COMMENT ON COLUMN dicom.notification.sent_at IS 'when it was sent';
COMMENT ON COLUMN dicom.notification.abandoned_at IS 'when it was given up';
COMMENT ON COLUMN dicom.notification.attempts IS 'how often it was tried';
COMMENT ON COLUMN dicom.notification.event IS 'start, success, failure, recovery, stopped_day, test';
COMMENT ON COLUMN dicom.notification.payload IS 'what is said: names of pipeline, steps and layers, numbers and SQLSTATEs; nothing of a patient';
COMMENT ON COLUMN dicom.notification.error IS 'why it could not be sent the last time';

ALTER TABLE dicom.notification_target ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_owner ON dicom.notification_target
	USING (pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE'))
	WITH CHECK (pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE')
		AND EXISTS (SELECT FROM dicom.pipeline p WHERE p.name = notification_target.pipeline));
REVOKE ALL ON dicom.notification_target, dicom.notification FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON dicom.notification_target TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dicom.notification_target', '');
SELECT pg_catalog.pg_extension_config_dump('dicom.notification_target_id_seq', '');

CREATE VIEW dicom.notifications WITH (security_barrier) AS
SELECT
	n.id,
	t.pipeline,
	t.id AS target,
	t.kind,
	substring(t.url FROM '^[^:]*://[^/?#]*') AS host,
	n.event,
	n.run,
	CASE WHEN n.sent_at IS NOT NULL THEN 'sent' WHEN n.abandoned_at IS NOT NULL THEN 'abandoned' ELSE 'waiting' END AS state,
	n.queued_at AS queued,
	n.sent_at AS sent,
	n.attempts,
	n.next_attempt,
	n.error,
	n.payload
FROM dicom.notification n
JOIN dicom.notification_target t ON t.id = n.target
JOIN dicom.pipeline p ON p.name = t.pipeline
WHERE pg_catalog.pg_has_role(p.owner::pg_catalog.oid, 'USAGE') OR pg_catalog.pg_has_role(t.owner::pg_catalog.oid, 'USAGE');
GRANT SELECT ON dicom.notifications TO PUBLIC;
COMMENT ON VIEW dicom.notifications IS 'what was sent about the pipelines that one owns, or is going to be';
COMMENT ON COLUMN dicom.notifications.id IS 'number';
COMMENT ON COLUMN dicom.notifications.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.notifications.target IS 'number of the target';
COMMENT ON COLUMN dicom.notifications.kind IS 'kind of the target';
COMMENT ON COLUMN dicom.notifications.host IS 'host of the target';
COMMENT ON COLUMN dicom.notifications.event IS 'start, success, failure, recovery, stopped_day, test';
COMMENT ON COLUMN dicom.notifications.run IS 'the run it is about';
COMMENT ON COLUMN dicom.notifications.state IS 'waiting, sent, abandoned';
COMMENT ON COLUMN dicom.notifications.queued IS 'when it happened';
COMMENT ON COLUMN dicom.notifications.sent IS 'when it was sent';
COMMENT ON COLUMN dicom.notifications.attempts IS 'how often it was tried';
COMMENT ON COLUMN dicom.notifications.next_attempt IS 'not sent before';
COMMENT ON COLUMN dicom.notifications.error IS 'why it could not be sent the last time';
COMMENT ON COLUMN dicom.notifications.payload IS 'what is said';

/* --- targets --- */

CREATE FUNCTION dicom.check_notification_url(url text, owner oid)
RETURNS void
AS 'MODULE_PATHNAME', 'dicom_check_notification_url' LANGUAGE C STRICT STABLE PARALLEL SAFE;
COMMENT ON FUNCTION dicom.check_notification_url(text, oid) IS 'throws an error where notifications of this role may not be sent to an address';

CREATE FUNCTION dicom.add_notification
(
	pipeline text,
	kind text,
	url text DEFAULT NULL,
	token text DEFAULT NULL,
	channel text DEFAULT NULL,
	events text[] DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	known CONSTANT text[] := ARRAY['start', 'success', 'failure', 'recovery', 'stopped_day'];
	wanted text[] := coalesce(add_notification.events,
		CASE WHEN add_notification.kind = 'healthchecks' THEN ARRAY['start', 'success', 'failure'] ELSE ARRAY['failure', 'recovery', 'stopped_day'] END);
	place text := coalesce(add_notification.url, CASE WHEN add_notification.kind = 'slack_api' THEN 'https://slack.com/api/chat.postMessage' END);
	result bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM dicom.pipeline p WHERE p.name = add_notification.pipeline) THEN
		RAISE EXCEPTION 'pipeline "%" does not exist', add_notification.pipeline
			USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM dicom.pipeline lists yours.';
	ELSIF add_notification.kind IS NULL OR add_notification.kind NOT IN ('healthchecks', 'slack_webhook', 'slack_api') THEN
		RAISE EXCEPTION 'there are no notifications of kind "%"', add_notification.kind
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Valid kinds are healthchecks, slack_webhook, slack_api.';
	ELSIF NOT wanted <@ known OR cardinality(wanted) = 0 THEN
		RAISE EXCEPTION 'events of a notification make no sense'
			USING ERRCODE = 'invalid_parameter_value', HINT = format('Valid events are %s.', array_to_string(known, ', '));
	ELSIF place IS NULL THEN
		RAISE EXCEPTION 'notifications of kind "%" need a url', add_notification.kind USING ERRCODE = 'invalid_parameter_value';
	ELSIF (add_notification.kind = 'slack_api') <> (add_notification.token IS NOT NULL AND add_notification.channel IS NOT NULL)
		OR (add_notification.kind <> 'slack_api') <> (add_notification.token IS NULL AND add_notification.channel IS NULL) THEN
		RAISE EXCEPTION 'token and channel go with notifications of kind "slack_api", and with no others' USING ERRCODE = 'invalid_parameter_value';
	ELSIF add_notification.token !~ '^[!-~]+$' OR length(add_notification.token) > 1000 THEN
		RAISE EXCEPTION 'the token holds characters that no token has' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM dicom.check_notification_url(place, current_user::regrole);
	INSERT INTO dicom.notification_target (pipeline, kind, owner, url, token, channel, events)
		VALUES (add_notification.pipeline, add_notification.kind, current_user::regrole, place, add_notification.token, add_notification.channel, wanted)
		RETURNING id INTO result;
	RETURN result;
END
$$;
COMMENT ON FUNCTION dicom.add_notification(text, text, text, text, text, text[]) IS
	'from now on somebody is told about the runs of a pipeline: healthchecks (url: the ping address), slack_webhook (url: the incoming webhook) or slack_api (token and channel, for chat.postMessage); returns the number of the target';

CREATE FUNCTION dicom.drop_notification(target bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM dicom.notification_target t WHERE t.id = drop_notification.target;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no target % of notifications', drop_notification.target
			USING ERRCODE = 'undefined_object', HINT = 'SELECT id, pipeline, kind FROM dicom.notification_target lists yours.';
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.drop_notification(bigint) IS 'a target is told nothing any more, what is queued included';

/* --- what is said --- */

CREATE FUNCTION dicom.notification_text(payload jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT concat_ws(E'\n',
	format('Pipeline %s of database %s: %s', payload ->> 'pipeline', payload ->> 'database',
		CASE payload ->> 'event'
			WHEN 'start' THEN 'run ' || (payload ->> 'run') || ' has begun'
			WHEN 'success' THEN 'run ' || (payload ->> 'run') || ' is done'
			WHEN 'failure' THEN 'run ' || (payload ->> 'run') || ' failed'
			WHEN 'recovery' THEN 'run ' || (payload ->> 'run') || ' is done, the one before had failed'
			WHEN 'stopped_day' THEN 'a check has stopped days, which keep their old rows'
			ELSE 'this is a test'
		END),
	(
		SELECT string_agg(format('%s: %s%s%s, %s s', s.step ->> 'step', s.step ->> 'status',
			', ' || (s.step ->> 'done') || ' done' || coalesce(', ' || nullif(s.step ->> 'failed', '0') || ' failed', ''),
			' (SQLSTATE ' || (s.step ->> 'error_code') || ')', s.step ->> 'seconds'), E'\n' ORDER BY s.place)
		FROM jsonb_array_elements(payload -> 'steps') WITH ORDINALITY s (step, place)
	),
	(
		SELECT string_agg(format('%s: %s days stopped', l.key, l.value), E'\n' ORDER BY l.key)
		FROM jsonb_each_text(payload -> 'stopped') l
	),
	CASE WHEN payload ->> 'event' IN ('failure', 'stopped_day') THEN
		'See dicom.runs, dicom.run_steps, dicom.days and dicom.failures there.'
	END)
$$;
COMMENT ON FUNCTION dicom.notification_text(jsonb) IS 'a notification as people read it';

CREATE FUNCTION dicom.notification_payload(pipeline text, event text, run bigint)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_strip_nulls(jsonb_build_object(
	'pipeline', p.name,
	'database', current_database(),
	'event', event,
	'run', run,
	'steps', (
		SELECT jsonb_agg(jsonb_build_object('step', s.step, 'status', s.status, 'done', s.done, 'failed', s.failed,
			'inserted', s.inserted, 'updated', s.updated, 'deleted', s.deleted, 'bytes', s.bytes, 'requests', s.requests,
			'seconds', round(s.seconds::numeric, 1), 'error_code', s.error_code) ORDER BY s.started_at, s.step)
		FROM dicom.step_log s
		WHERE s.run = notification_payload.run AND event <> 'start'
	),
	'stopped', (
		SELECT jsonb_object_agg(d.layer, d.days)
		FROM (
			SELECT d.layer, count(*) AS days FROM dicom.layer_day d
			WHERE d.pipeline = p.name AND d.epoch IN (p.epoch, p.next_epoch) AND d.state = 'stopped'
			GROUP BY d.layer
		) d
	)))
FROM dicom.pipeline p
WHERE p.name = notification_payload.pipeline
$$;
COMMENT ON FUNCTION dicom.notification_payload(text, text, bigint) IS
	'what is said about a run: names, numbers and SQLSTATEs; no message of an error and no day, which may be of a patient';

/* Pings of healthchecks are told apart by the end of the path. */
CREATE FUNCTION dicom.notification_request(kind text, url text, channel text, event text, run bigint, payload jsonb, OUT address text, OUT body text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT
	CASE kind WHEN 'healthchecks' THEN
		concat(
			rtrim(substring(url FROM '^[^?#]*'), '/'),
			CASE event WHEN 'start' THEN '/start' WHEN 'success' THEN '' WHEN 'failure' THEN '/fail' ELSE '/log' END,
			coalesce(substring(url FROM '[?][^#]*'), ''),
			CASE WHEN run IS NOT NULL THEN
				CASE WHEN strpos(url, '?') > 0 THEN '&rid=' ELSE '?rid=' END || md5(concat(current_database(), '/', payload ->> 'pipeline', '/', run))::uuid
			END)
	ELSE url END,
	CASE kind WHEN 'healthchecks' THEN dicom.notification_text(payload)
	ELSE
		jsonb_strip_nulls(jsonb_build_object('channel', channel,
			'text', replace(replace(replace(dicom.notification_text(payload), '&', '&amp;'), '<', '&lt;'), '>', '&gt;')))::text
	END
$$;
COMMENT ON FUNCTION dicom.notification_request(text, text, text, text, bigint, jsonb) IS 'where a notification is sent to, and what';

/* --- queueing and sending --- */

CREATE FUNCTION dicom.queue_notification(pipeline text, event text, run bigint, payload jsonb, target bigint)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_queue_notification' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.queue_notification(text, text, bigint, jsonb, bigint) IS
	'queues a notification for the targets of a pipeline that want the event, or for one of them; they are sent once the transaction is committed; how many; needs the rights of the owner of the pipeline';

CREATE FUNCTION dicom.notify(pipeline text, event text, run bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before text;
	result bigint;
BEGIN
	result := dicom.queue_notification(notify.pipeline, notify.event, notify.run,
		dicom.notification_payload(notify.pipeline, notify.event, notify.run), NULL);
	IF notify.event = 'success' THEN
		SELECT r.status INTO before FROM dicom.run_log r
			WHERE r.pipeline = notify.pipeline AND r.id < notify.run AND r.status <> 'running'
			ORDER BY r.id DESC LIMIT 1;
		IF before = 'failed' THEN
			result := result + dicom.queue_notification(notify.pipeline, 'recovery', notify.run,
				dicom.notification_payload(notify.pipeline, 'recovery', notify.run), NULL);
		END IF;
	END IF;
	RETURN result;
END
$$;
COMMENT ON FUNCTION dicom.notify(text, text, bigint) IS
	'tells the targets of a pipeline that want to know: start, success (and recovery, where the run before had failed), failure, stopped_day; they are sent in the background once the transaction is committed; how many were queued';

CREATE FUNCTION dicom.test_notification(target bigint)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pipeline_name text := (SELECT t.pipeline FROM dicom.notification_target t WHERE t.id = test_notification.target);
BEGIN
	IF pipeline_name IS NULL THEN
		RAISE EXCEPTION 'there is no target % of notifications', test_notification.target
			USING ERRCODE = 'undefined_object', HINT = 'SELECT id, pipeline, kind FROM dicom.notification_target lists yours.';
	END IF;
	RETURN dicom.queue_notification(pipeline_name, 'test', NULL, dicom.notification_payload(pipeline_name, 'test', NULL), test_notification.target);
END
$$;
COMMENT ON FUNCTION dicom.test_notification(bigint) IS 'sends a target a message that says that it is a test; dicom.notifications shows what came of it';

CREATE FUNCTION dicom.send_notifications(OUT sent bigint, OUT failed bigint)
AS 'MODULE_PATHNAME', 'dicom_send_notifications' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION dicom.send_notifications() IS
	'sends the notifications of all pipelines that are due, and waits for it; not needed as a rule: they are sent in the background when they are queued, and tried again by the worker, or with the next one';
