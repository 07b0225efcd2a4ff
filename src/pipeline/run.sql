
/* --- runs: src/pipeline --- */

/*
 * A run is a small machine: each call of continue_run() does one piece of work, which the procedure commits. What step it is at, and where in
 * it, is in dicom.run_log; what there is to do is in the tables. So a run that was killed needs no repair: the next one finds what is left.
 */

CREATE FUNCTION dicom.pipeline_steps()
RETURNS TABLE (step text, place integer, work text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
	('prepare', 1, 'dicom.step_prepare'),
	('copy', 2, 'dicom.step_copy'),
	('sync', 3, 'dicom.step_sync'),
	('stage', 4, 'dicom.step_stage'),
	('compress', 5, 'dicom.step_compress'),
	('processed', 6, 'dicom.step_processed'),
	('switch', 7, 'dicom.step_switch'),
	('export', 8, 'dicom.step_export'),
	('archive', 9, 'dicom.step_archive'),
	('clean', 10, 'dicom.step_clean')
$$;
COMMENT ON FUNCTION dicom.pipeline_steps() IS
	'steps of a run, in order, and the function of each, where there is one: it takes a run, does a piece of work and says whether there is more';

CREATE FUNCTION dicom.note_progress
(
	run bigint,
	total bigint DEFAULT NULL,
	done bigint DEFAULT 0,
	failed bigint DEFAULT 0,
	inserted bigint DEFAULT 0,
	updated bigint DEFAULT 0,
	deleted bigint DEFAULT 0,
	bytes bigint DEFAULT 0,
	requests bigint DEFAULT 0
)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE dicom.step_log s
SET total = coalesce(note_progress.total, s.total),
	done = s.done + coalesce(note_progress.done, 0),
	failed = s.failed + coalesce(note_progress.failed, 0),
	inserted = s.inserted + coalesce(note_progress.inserted, 0),
	updated = s.updated + coalesce(note_progress.updated, 0),
	deleted = s.deleted + coalesce(note_progress.deleted, 0),
	bytes = s.bytes + coalesce(note_progress.bytes, 0),
	requests = s.requests + coalesce(note_progress.requests, 0)
FROM dicom.run_log r
WHERE r.id = note_progress.run AND s.run = r.id AND s.step = r.step
$$;
COMMENT ON FUNCTION dicom.note_progress(bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint) IS
	'adds what was done to the step that a run is at; total: how much there is to do';

/* A message that may hold a value of a file is not kept. */
CREATE FUNCTION dicom.safe_message(code text, message text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN code LIKE '22%' THEN 'a value is not as it should be' ELSE message END
$$;
COMMENT ON FUNCTION dicom.safe_message(text, text) IS 'the message of an error, unless errors of its kind repeat values';

CREATE FUNCTION dicom.run_of(run bigint, OUT r dicom.run_log, OUT p dicom.pipeline)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT * INTO STRICT r FROM dicom.run_log x WHERE x.id = run;
	p := dicom.own_pipeline(r.pipeline);
END
$$;
COMMENT ON FUNCTION dicom.run_of(bigint) IS 'a run and its pipeline';

CREATE FUNCTION dicom.set_cursor(run bigint, place text)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE dicom.run_log r SET cursor = place WHERE r.id = run
$$;
COMMENT ON FUNCTION dicom.set_cursor(bigint, text) IS 'notes where in its step a run is';

CREATE FUNCTION dicom.add_missing_partitions(p dicom.pipeline, schema text, missing jsonb)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT dicom.add_partitions(schema, m.key, dicom.pipeline_option((p).options, 'partition_by'), (SELECT array_agg(d.day::date) FROM jsonb_array_elements_text(m.value) d (day)))
FROM jsonb_each(missing) m
$$;
COMMENT ON FUNCTION dicom.add_missing_partitions(dicom.pipeline, text, jsonb) IS 'makes the partitions that a merge has asked for';

/* A day, or several, could not be refreshed. */
CREATE FUNCTION dicom.note_failed_days(pipeline text, step text, layer text, epoch integer, days date[], code text, message text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	stopped boolean := code = 'DC001';
BEGIN
	UPDATE dicom.layer_day d
	SET state = CASE WHEN stopped THEN 'stopped' ELSE 'failed' END, failures = d.failures + 1, error_code = code, error = message,
		next_attempt = clock_timestamp() + least(interval '1 minute' * 2 ^ least(d.failures, 20), interval '1 day')
	WHERE d.pipeline = note_failed_days.pipeline AND d.layer = note_failed_days.layer AND d.epoch = note_failed_days.epoch AND d.day = ANY (days);
	INSERT INTO dicom.failure AS f (pipeline, step, layer, day, reason, error_code, message, first_at, last_at, next_attempt)
	SELECT d.pipeline, note_failed_days.step, d.layer, d.day, d.state, code, note_failed_days.message, clock_timestamp(), clock_timestamp(), d.next_attempt
	FROM dicom.layer_day d
	WHERE d.pipeline = note_failed_days.pipeline AND d.layer = note_failed_days.layer AND d.epoch = note_failed_days.epoch AND d.day = ANY (days)
	ON CONFLICT (pipeline, step, layer, day) WHERE object_key IS NULL DO UPDATE
	SET reason = excluded.reason, error_code = excluded.error_code, message = excluded.message,
		count = CASE WHEN f.resolved_at IS NULL THEN f.count ELSE 0 END + 1,
		first_at = CASE WHEN f.resolved_at IS NULL THEN f.first_at ELSE excluded.first_at END,
		last_at = excluded.last_at, next_attempt = excluded.next_attempt, resolved_at = NULL;
	IF stopped THEN
		PERFORM dicom.tell(pipeline, 'stopped_day', (SELECT max(r.id) FROM dicom.run_log r WHERE r.pipeline = note_failed_days.pipeline));
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.note_failed_days(text, text, text, integer, date[], text, text) IS 'notes that days could not be refreshed, or were stopped by a check (DC001)';

CREATE FUNCTION dicom.resolve_failed_days(pipeline text, step text, layer text, days date[])
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE dicom.failure f
SET resolved_at = clock_timestamp(), next_attempt = NULL
WHERE f.pipeline = resolve_failed_days.pipeline AND f.step = resolve_failed_days.step AND f.object_key IS NULL AND f.layer = resolve_failed_days.layer
	AND f.day = ANY (days) AND f.resolved_at IS NULL
$$;
COMMENT ON FUNCTION dicom.resolve_failed_days(text, text, text, date[]) IS 'says of days that they fail no longer';

/* Notifications are sent by whoever sends them, later; a run does not wait, and does not fail for them. */
CREATE FUNCTION dicom.tell(pipeline text, event text, run bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM dicom.notify(pipeline, event, run);
EXCEPTION WHEN OTHERS THEN
	RAISE LOG 'a notification of pipeline "%" could not be queued: SQLSTATE %', pipeline, SQLSTATE;
END
$$;
COMMENT ON FUNCTION dicom.tell(text, text, bigint) IS 'queues a notification: start, success, failure, stopped_day';

/* --- which days are to be refreshed now --- */

/*
 * Stale days of the stage schema, the newest first. A day waits while its objects still come (quiet_period), all wait until there are enough
 * (min_batch), none longer than max_age. A moment that lies ahead was written by a clock that was wrong: it makes nobody wait.
 */
CREATE FUNCTION dicom.ready_days(pipeline dicom.pipeline, for_epoch integer, forced boolean)
RETURNS date[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	min_batch bigint := dicom.pipeline_option(pipeline.options, 'min_batch')::bigint;
	max_age interval := dicom.pipeline_option(pipeline.options, 'max_age')::interval;
	quiet interval := dicom.pipeline_option(pipeline.options, 'quiet_period')::interval;
	days date[];
	since timestamptz[];
	old boolean;
	pending bigint;
BEGIN
	SELECT array_agg(d.day), array_agg(coalesce(d.stale_since, '-infinity')),
		bool_or(d.forced OR d.stale_since > clock_timestamp() OR (max_age IS NOT NULL AND d.stale_since <= clock_timestamp() - max_age))
	INTO days, since, old
	FROM dicom.layer_day d
	WHERE d.pipeline = pipeline.name AND d.layer = quote_ident(pipeline.stage_schema) AND d.epoch = for_epoch AND d.state = 'stale';
	IF days IS NULL THEN
		RETURN ARRAY[]::date[];
	END IF;
	IF NOT forced AND min_batch > 1 AND NOT old THEN
		SELECT sum(greatest(s.changed, 1)) INTO pending FROM dicom.day_sizes(pipeline.raw, days, since) s;
		IF pending < min_batch THEN
			RETURN ARRAY[]::date[];
		END IF;
	END IF;
	RETURN coalesce((
		SELECT array_agg(d.day ORDER BY d.day DESC)
		FROM dicom.layer_day d
		WHERE d.pipeline = pipeline.name AND d.layer = quote_ident(pipeline.stage_schema) AND d.epoch = for_epoch AND d.state = 'stale'
			AND (ready_days.forced OR d.forced OR d.touched_at IS NULL OR d.touched_at > clock_timestamp() OR d.touched_at <= clock_timestamp() - quiet
				OR (max_age IS NOT NULL AND d.stale_since <= clock_timestamp() - max_age))), '{}');
END
$$;
COMMENT ON FUNCTION dicom.ready_days(dicom.pipeline, integer, boolean) IS 'the stale days of the stage schema that wait for nothing more, the newest first';

/* As many of these days, from the first, as make a batch of objects; at least one. They are counted some at a time: mostly it is few that fit. */
CREATE FUNCTION dicom.first_days(p dicom.pipeline, days date[], most integer)
RETURNS date[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at_once constant integer := 64;
	batch bigint := dicom.pipeline_option(p.options, 'batch_objects')::bigint;
	fit integer := 0;
	head date[];
	counted record;
BEGIN
	days := days[1:least(most, 1000)];
	LOOP
		head := days[fit + 1:fit + at_once];
		EXIT WHEN cardinality(head) = 0;
		SELECT count(*) FILTER (WHERE t.objects <= batch) AS days, max(t.objects) AS objects
		INTO counted
		FROM (
			SELECT sum(s.objects) OVER (ORDER BY u.place) AS objects
			FROM unnest(head) WITH ORDINALITY u (day, place)
			JOIN dicom.day_sizes(p.raw, head, array_fill('-infinity'::timestamptz, ARRAY[cardinality(head)])) s ON s.day = u.day
		) t;
		fit := fit + counted.days;
		batch := batch - counted.objects;
		EXIT WHEN counted.days < cardinality(head);
	END LOOP;
	RETURN days[1:greatest(fit, 1)];
END
$$;
COMMENT ON FUNCTION dicom.first_days(dicom.pipeline, date[], integer) IS 'the days that are refreshed in one transaction';

/* --- steps --- */

CREATE FUNCTION dicom.step_prepare(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := (dicom.run_of(run)).p;
	new_rules text;
BEGIN
	PERFORM dicom.drop_stage_work(p);
	PERFORM dicom.refresh_lineage(p.name);
	new_rules := dicom.refresh_stage_columns(p);
	IF new_rules IS DISTINCT FROM p.rules THEN
		PERFORM dicom.mark_days(p.name, quote_ident(p.stage_schema), d.epoch, array_agg(d.day))
		FROM dicom.layer_day d
		WHERE d.pipeline = p.name AND d.layer = quote_ident(p.stage_schema)
		GROUP BY d.epoch;
		UPDATE dicom.layer_day d SET forced = true WHERE d.pipeline = p.name AND d.layer = quote_ident(p.stage_schema) AND d.state = 'stale';
		UPDATE dicom.pipeline x SET rules = new_rules WHERE x.name = p.name;
	END IF;
	/* What failed is due again. A moment more than a day ahead is none that was meant. */
	UPDATE dicom.layer_day d
	SET state = 'stale', next_attempt = NULL
	WHERE d.pipeline = p.name AND d.state IN ('failed', 'stopped')
		AND (d.next_attempt IS NULL OR d.next_attempt <= clock_timestamp() OR d.next_attempt > clock_timestamp() + interval '25 hours');
	EXECUTE format('UPDATE %I.picture_objects o SET next_attempt = clock_timestamp() WHERE o.state = ''failed'' AND o.next_attempt > clock_timestamp() + interval ''25 hours''', p.stage_schema || '_private');
	EXECUTE format($f$
		SELECT dicom.mark_days($1, $2, o.deid_epoch, array_agg(DISTINCT o.source_day))
		FROM %I.picture_objects o
		WHERE o.state IN ('failed', 'done') AND o.next_attempt <= clock_timestamp()
		GROUP BY o.deid_epoch$f$, p.stage_schema || '_private')
	USING p.name, format('%I.compressed_images', p.stage_schema);
	RETURN false;
END
$$;
COMMENT ON FUNCTION dicom.step_prepare(bigint) IS 'looks at what the pipeline is made of, and at what is to be tried again';

CREATE FUNCTION dicom.step_copy(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record := dicom.run_of(run);
	p dicom.pipeline := found.p;
	r dicom.run_log := found.r;
	done record;
	failures jsonb;
BEGIN
	IF p.provider IS NULL THEN
		RETURN false;
	END IF;
	SELECT * INTO done FROM dicom.copy_batch(p.provider, p.raw, nullif(r.cursor, ''), 1000);
	PERFORM dicom.note_progress(run, done => done.listed, failed => done.failed, inserted => done.copied, bytes => done.bytes, requests => done.requests);
	PERFORM dicom.set_cursor(run, done.next_after);
	IF done.next_after IS NULL THEN
		/* Those that have failed since they were last noted. */
		SELECT jsonb_agg(jsonb_build_object('object_key', c.key, 'reason', 'unreachable', 'error_code', c.error_code, 'message', c.error,
			'next_attempt', c.next_attempt))
		INTO failures
		FROM dicom.copies c
		WHERE c.source = p.provider AND c.target = p.raw AND c.failures > 0
			AND NOT EXISTS (SELECT FROM dicom.failure f WHERE f.pipeline = p.name AND f.step = 'copy' AND f.object_key = c.key AND f.resolved_at IS NULL
				AND f.next_attempt = c.next_attempt);
		IF failures IS NOT NULL THEN
			PERFORM dicom.note_failures(p.name, 'copy', failures);
			/* A full disk is no fault of the objects, whatever else was copied. */
			PERFORM dicom.note_step_error(run, '53100', f.message, NULL, 'Make room in the raw store, or raise its quota.')
			FROM jsonb_to_recordset(failures) f (error_code text, message text)
			WHERE f.error_code = '53100'
			LIMIT 1;
		END IF;
		UPDATE dicom.failure f
		SET resolved_at = clock_timestamp(), next_attempt = NULL
		WHERE f.pipeline = p.name AND f.step = 'copy' AND f.resolved_at IS NULL
			AND NOT EXISTS (SELECT FROM dicom.copies c WHERE c.source = p.provider AND c.target = p.raw AND c.failures > 0 AND c.key = f.object_key);
	END IF;
	RETURN done.next_after IS NOT NULL;
END
$$;
COMMENT ON FUNCTION dicom.step_copy(bigint) IS 'copies a batch of new and changed objects of the provider';

CREATE FUNCTION dicom.step_sync(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
AS $$
DECLARE
	p dicom.pipeline := (dicom.run_of(run)).p;
	done record;
	failures jsonb;
	keys text[];
BEGIN
	SELECT * INTO done FROM dicom.sync(p.raw, wait => true);
	PERFORM dicom.note_progress(run, total => done.listed, done => done.listed, failed => done.failed, inserted => done.new, updated => done.changed,
		deleted => done.vanished, bytes => done.bytes, requests => done.requests);
	/* What cannot be had makes no day stale. It is noted where it has failed since it was last noted. */
	SELECT jsonb_agg(jsonb_build_object('object_key', o.key, 'day', o.day, 'reason', 'unreachable', 'error_code', o.error_code, 'message', o.error, 'next_attempt', o.next_attempt))
		FILTER (WHERE NOT EXISTS (SELECT FROM dicom.failure f WHERE f.pipeline = p.name AND f.step = 'sync' AND f.object_key = o.key AND f.resolved_at IS NULL
			AND f.next_attempt = o.next_attempt)),
		coalesce(array_agg(o.key), '{}')
	INTO failures, keys
	FROM dicom.failed_objects(p.raw) o;
	IF failures IS NOT NULL THEN
		PERFORM dicom.note_failures(p.name, 'sync', failures);
	END IF;
	UPDATE dicom.failure f
	SET resolved_at = clock_timestamp(), next_attempt = NULL
	WHERE f.pipeline = p.name AND f.step = 'sync' AND f.resolved_at IS NULL AND f.object_key <> ALL (keys);
	RETURN false;
END
$$;
COMMENT ON FUNCTION dicom.step_sync(bigint) IS 'makes the catalog equal to raw';

/* Epochs that days are kept under: the active one first. */
CREATE FUNCTION dicom.epochs_of(p dicom.pipeline)
RETURNS integer[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_remove(ARRAY[(p).epoch, (p).next_epoch], NULL)
$$;
COMMENT ON FUNCTION dicom.epochs_of(dicom.pipeline) IS 'the epochs that a pipeline keeps tables under';

CREATE FUNCTION dicom.step_stage(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record := dicom.run_of(run);
	p dicom.pipeline := found.p;
	r dicom.run_log := found.r;
	layer text := quote_ident(p.stage_schema);
	e integer;
	days date[];
	batch date[];
	done record;
	code text;
	message text;
BEGIN
	PERFORM dicom.take_stale_days(p.raw);
	FOREACH e IN ARRAY dicom.epochs_of(p)
	LOOP
		days := dicom.ready_days(p, e, r.forced);
		EXIT WHEN cardinality(days) > 0;
	END LOOP;
	IF cardinality(days) = 0 THEN
		RETURN false;
	END IF;
	/* After a failure days go one by one, so that others do not fail with it. */
	batch := dicom.first_days(p, days, CASE WHEN r.cursor = 'single' THEN 1 ELSE 1000 END);
	LOOP
		code := NULL;
		BEGIN
			SELECT * INTO done FROM dicom.stage_days(p.name, e, batch);
			IF done.missing IS NOT NULL THEN
				PERFORM dicom.add_missing_partitions(p, p.stage_schema || '_private', done.missing);
				RETURN true;
			ELSIF done.related IS NOT NULL THEN
				RAISE EXCEPTION USING ERRCODE = 'DC002', MESSAGE = 'days belong together';
			END IF;
			PERFORM dicom.check_stage(p, e);
			SET CONSTRAINTS ALL IMMEDIATE;
			SET CONSTRAINTS ALL DEFERRED;
			PERFORM dicom.note_progress(run, done => cardinality(batch), inserted => done.inserted, updated => done.updated, deleted => done.deleted);
			PERFORM dicom.resolve_failed_days(p.name, 'stage', layer, batch);
			/* Who owns the pipeline may not be allowed to write the audit: the privacy officer grants it. */
			IF done.inserted + done.updated > 0 AND has_function_privilege('dicom.record_application(regclass, text, integer, bigint, text, jsonb)', 'EXECUTE') THEN
				PERFORM dicom.record_application(format('%I.images', p.raw_schema)::regclass, dicom.pipeline_option(p.options, 'profile'), e,
					done.inserted + done.updated, 'pipeline ' || p.name, jsonb_build_object('run', step_stage.run, 'days', cardinality(batch)));
			END IF;
			EXIT;
		EXCEPTION
			WHEN SQLSTATE 'DC002' THEN
				batch := batch || done.related;
			WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
				IF cardinality(batch) > 1 AND r.cursor IS DISTINCT FROM 'single' THEN
					PERFORM dicom.set_cursor(run, 'single');
				ELSE
					PERFORM dicom.note_failed_days(p.name, 'stage', layer, e, batch, code, dicom.safe_message(code, message));
					PERFORM dicom.note_progress(run, done => cardinality(batch), failed => cardinality(batch));
					PERFORM dicom.note_step_error(run, code, message);
				END IF;
				EXIT;
		END;
	END LOOP;
	PERFORM dicom.note_progress(step_stage.run, total => s.done + greatest(cardinality(days) - CASE WHEN code IS NULL THEN cardinality(batch) ELSE 0 END, 0))
	FROM dicom.step_log s
	WHERE s.run = step_stage.run AND s.step = 'stage';
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.step_stage(bigint) IS 'refreshes some days of stage';

/* Checks on tables of stage look at the days that the merge has touched. */
CREATE FUNCTION dicom.check_stage(pipeline dicom.pipeline, epoch integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l dicom.layer;
BEGIN
	IF NOT EXISTS (SELECT FROM dicom.layer_check c JOIN dicom.layer x ON x.pipeline = c.pipeline AND x.name = c.layer AND x.kind = 'stage' WHERE c.pipeline = pipeline.name) THEN
		RETURN;
	END IF;
	IF epoch <> pipeline.epoch THEN
		UPDATE dicom.pipeline x SET epoch = check_stage.epoch WHERE x.name = pipeline.name;
	END IF;
	FOR l IN SELECT DISTINCT x.* FROM dicom.layer_check c JOIN dicom.layer x ON x.pipeline = c.pipeline AND x.name = c.layer AND x.kind = 'stage' WHERE c.pipeline = pipeline.name
	LOOP
		PERFORM dicom.run_checks(pipeline.name, l.name, coalesce(dicom.touched_days(l.table_name), '{}'));
	END LOOP;
	IF epoch <> pipeline.epoch THEN
		UPDATE dicom.pipeline x SET epoch = pipeline.epoch WHERE x.name = pipeline.name;
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.check_stage(dicom.pipeline, integer) IS 'asks the checks of stage tables about the days that a merge has touched';

CREATE FUNCTION dicom.note_step_error(run bigint, code text, message text, detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE dicom.step_log s
	SET error_code = code, error = dicom.safe_message(code, message), detail = CASE WHEN code NOT LIKE '22%' THEN nullif(note_step_error.detail, '') END,
		hint = nullif(note_step_error.hint, '')
	FROM dicom.run_log r
	WHERE r.id = note_step_error.run AND s.run = r.id AND s.step = r.step AND s.error IS NULL;
	UPDATE dicom.run_log r
	SET error = coalesce(r.error, r.step || ': ' || dicom.safe_message(code, message))
	WHERE r.id = note_step_error.run;
END
$$;
COMMENT ON FUNCTION dicom.note_step_error(bigint, text, text, text, text) IS 'notes the first error of a step, and of its run';

CREATE FUNCTION dicom.step_compress(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record := dicom.run_of(run);
	p dicom.pipeline := found.p;
	r dicom.run_log := found.r;
	this_layer text := format('%I.compressed_images', p.stage_schema);
	e integer;
	days date[];
	plan record;
	made record;
	more boolean := true;
	code text;
	message text;
BEGIN
	FOREACH e IN ARRAY dicom.epochs_of(p)
	LOOP
		/* A day whose rows are about to change waits for them. */
		SELECT array_agg(d.day ORDER BY d.day DESC) INTO days
		FROM dicom.layer_day d
		WHERE d.pipeline = p.name AND d.layer = this_layer AND d.epoch = e AND d.state = 'stale'
			AND NOT EXISTS (SELECT FROM dicom.layer_day s WHERE s.pipeline = p.name AND s.layer = quote_ident(p.stage_schema) AND s.epoch = e AND s.day = d.day AND s.state = 'stale');
		EXIT WHEN days IS NOT NULL;
	END LOOP;
	IF days IS NULL THEN
		RETURN false;
	END IF;
	IF r.cursor = 'single' THEN
		days := days[1:1];
	ELSE
		days := dicom.first_days(p, days, 1000);
	END IF;
	SELECT count(*) AS objects, array_agg(x.source_key ORDER BY x.source_key) FILTER (WHERE x.how = 'make') AS keys,
		array_agg(x.folder ORDER BY x.source_key) FILTER (WHERE x.how = 'make') AS folders,
		jsonb_agg(to_jsonb(x)) FILTER (WHERE x.how = 'copy') AS copies
	INTO plan
	FROM dicom.plan_pictures(p, e, days, dicom.pipeline_option(p.options, 'batch_objects')::integer, run) x;
	IF plan.objects > 0 AND r.cursor IS DISTINCT FROM 'planned' THEN
		/* The plan is committed before anything is written. */
		PERFORM dicom.set_cursor(run, 'planned');
		RETURN true;
	END IF;
	IF plan.objects > 0 THEN
		IF plan.copies IS NOT NULL THEN
			SELECT * INTO made FROM dicom.copy_pictures(p, e, plan.copies);
			PERFORM dicom.note_progress(run, done => jsonb_array_length(plan.copies), failed => made.failed, updated => made.pictures);
		END IF;
		IF plan.keys IS NOT NULL THEN
			SELECT * INTO made FROM dicom.make_pictures(p, e, plan.keys, plan.folders);
			PERFORM dicom.note_progress(run, done => cardinality(plan.keys), failed => made.failed, inserted => made.pictures, bytes => made.bytes);
			IF made.error_code IS NOT NULL THEN
				PERFORM dicom.note_step_error(run, made.error_code, made.error, NULL, 'See dicom.failures for the objects that have no picture.');
			END IF;
			/* Where a store takes nothing the next batch would fare no better: it is tried with the next run. */
			more := made.error_code IS NULL OR made.error_code = '58000' OR made.pictures > 0;
		END IF;
		PERFORM dicom.set_cursor(run, NULL);
		RETURN more;
	END IF;
	BEGIN
		SELECT * INTO made FROM dicom.merge_pictures(p.name, e, days);
		IF made.missing IS NOT NULL THEN
			PERFORM dicom.add_missing_partitions(p, p.stage_schema || '_private', made.missing);
			RETURN true;
		END IF;
		SET CONSTRAINTS ALL IMMEDIATE;
		SET CONSTRAINTS ALL DEFERRED;
		PERFORM dicom.resolve_failed_days(p.name, 'compress', this_layer, days);
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
		IF cardinality(days) > 1 THEN
			PERFORM dicom.set_cursor(run, 'single');
		ELSE
			PERFORM dicom.note_failed_days(p.name, 'compress', this_layer, e, days, code, dicom.safe_message(code, message));
			PERFORM dicom.note_step_error(run, code, message);
		END IF;
	END;
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.step_compress(bigint) IS 'makes pictures of some images, or refreshes days whose pictures are all made';

/* So many days as have some ten thousand rows, going by the size of the tables that they are made from. */
CREATE FUNCTION dicom.days_at_once(p dicom.pipeline, l dicom.layer, days bigint)
RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bytes bigint;
	all_days bigint;
BEGIN
	IF days <= 1 THEN
		RETURN 1;
	END IF;
	SELECT coalesce(max(t.bytes), 0) INTO bytes
	FROM dicom.inputs_of(p.name, l.name) i
	LEFT JOIN LATERAL (
		SELECT sum(pg_relation_size(c.oid)) AS bytes
		FROM pg_class c
		WHERE c.oid = to_regclass(format('%I.%I', i.storage_schema, i.storage_table))
			OR c.oid IN (SELECT f.relid FROM pg_partition_tree(to_regclass(format('%I.%I', i.storage_schema, i.storage_table))) f)
	) t ON true;
	SELECT count(*) INTO all_days FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = p.epoch;
	RETURN greatest(least(20 * 400 * 1024 / greatest(bytes / greatest(all_days, days), 1024), 1000), 1);
END
$$;
COMMENT ON FUNCTION dicom.days_at_once(dicom.pipeline, dicom.layer, bigint) IS 'how many days of a layer are refreshed in one transaction';

CREATE FUNCTION dicom.step_processed(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record := dicom.run_of(run);
	p dicom.pipeline := found.p;
	r dicom.run_log := found.r;
	e integer;
	l dicom.layer;
	days date[];
	blocked date[];
	total bigint;
	done record;
	code text;
	message text;
BEGIN
	<<search>>
	FOREACH e IN ARRAY dicom.epochs_of(p)
	LOOP
		FOR l IN
			SELECT x.*
			FROM dicom.layer x
			WHERE x.pipeline = p.name AND x.kind IN ('table', 'matview') AND (x.kind = 'table' OR e = p.epoch)
				AND EXISTS (SELECT FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.layer = x.name AND d.epoch = e AND d.state = 'stale')
			ORDER BY x.place, x.name
		LOOP
			blocked := dicom.blocked_days(p.name, l.name, e);
			CONTINUE WHEN blocked IS NULL OR (l.kind = 'matview' AND cardinality(blocked) > 0);
			/* The unknown day is asked for in another way: alone. */
			SELECT array_agg(d.day ORDER BY d.day DESC) INTO days
			FROM dicom.layer_day d
			WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = e AND d.state = 'stale' AND d.day <> ALL (blocked);
			EXIT search WHEN days IS NOT NULL;
		END LOOP;
	END LOOP;
	IF days IS NULL THEN
		RETURN false;
	END IF;
	total := cardinality(days);
	IF cardinality(days) > 1 THEN
		days := array_remove(days, '-infinity');
	END IF;
	days := days[1:CASE WHEN r.cursor = 'single' THEN 1 ELSE dicom.days_at_once(p, l, total) END];
	BEGIN
		SELECT * INTO done FROM dicom.refresh_layer_days(p.name, l.name, e, days);
		IF done.missing IS NOT NULL THEN
			PERFORM dicom.add_missing_partitions(p, l.storage_schema, done.missing);
			RETURN true;
		END IF;
		PERFORM dicom.note_progress(run, done => cardinality(days), inserted => done.inserted, updated => done.updated, deleted => done.deleted);
		PERFORM dicom.resolve_failed_days(p.name, 'processed', l.name, days);
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
		IF cardinality(days) > 1 THEN
			PERFORM dicom.set_cursor(run, 'single');
		ELSE
			PERFORM dicom.note_failed_days(p.name, 'processed', l.name, e, days, code, message);
			PERFORM dicom.note_progress(run, done => 1, failed => 1);
			PERFORM dicom.note_step_error(run, code, message);
		END IF;
	END;
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.step_processed(bigint) IS 'refreshes some days of a table whose parents are fresh for them';

/* After much has changed the next merge is planned with what is there now, not with what autovacuum will have found some time later. */
CREATE FUNCTION dicom.analyze_tables(pipeline dicom.pipeline, run bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tab regclass;
BEGIN
	FOR tab IN
		SELECT c.oid
		FROM dicom.step_log s
		JOIN pg_class c ON c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relowner = pipeline.owner::oid
			AND c.relnamespace = CASE s.step WHEN 'processed' THEN to_regnamespace(quote_ident(pipeline.processed_schema || '_private'))
				ELSE to_regnamespace(quote_ident(pipeline.stage_schema || '_private')) END
		WHERE s.run = analyze_tables.run AND s.step IN ('stage', 'compress', 'processed')
			AND (s.step <> 'compress' OR c.relname ~ '^(compressed_images|picture_objects)$')
			AND s.inserted + s.updated + s.deleted > greatest(500, c.reltuples / 5)
	LOOP
		EXECUTE format('ANALYZE %s', tab);
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.analyze_tables(dicom.pipeline, bigint) IS 'gathers statistics of tables that a run has changed much';

CREATE FUNCTION dicom.step_clean(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := (dicom.run_of(run)).p;
	done record;
	keep interval := dicom.pipeline_option(p.options, 'keep_runs')::interval;
BEGIN
	IF cardinality(p.old_epochs) > 0 THEN
		PERFORM dicom.note_progress(run, deleted => dicom.drop_old_epoch(p, p.old_epochs[1]));
		RETURN true;
	END IF;
	SELECT * INTO done FROM dicom.clean_pictures(p, 1000);
	IF done.folders > 0 THEN
		PERFORM dicom.note_progress(run, done => done.folders, deleted => done.deleted);
		RETURN true;
	END IF;
	PERFORM dicom.analyze_tables(p, run);
	DELETE FROM dicom.run_log r
	WHERE r.pipeline = p.name AND r.ended_at < clock_timestamp() - keep AND r.id < (SELECT max(x.id) FROM dicom.run_log x WHERE x.pipeline = p.name);
	DELETE FROM dicom.failure f WHERE f.pipeline = p.name AND f.resolved_at < clock_timestamp() - keep;
	RETURN false;
END
$$;
COMMENT ON FUNCTION dicom.step_clean(bigint) IS 'deletes pictures that nothing refers to, and what is old of runs and failures';

/* --- the run --- */

CREATE FUNCTION dicom.start_run(pipeline text, wait boolean, forced boolean, reason text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	other record;
	made bigint;
BEGIN
	IF p.paused THEN
		RAISE NOTICE 'pipeline "%" is paused', p.name USING HINT = format('SELECT dicom.resume(%L) lets it run.', p.name);
		RETURN NULL;
	END IF;
	IF NOT dicom.lock_run('dicom.pipeline'::regclass, p.id, wait) THEN
		SELECT r.run, r.pid INTO other FROM dicom.runs r WHERE r.pipeline = p.name AND r.status = 'running' ORDER BY r.run DESC LIMIT 1;
		RAISE NOTICE 'a run of pipeline "%" is in progress', p.name
			USING DETAIL = coalesce(format('Run %s of process %s.', other.run, other.pid), ''), HINT = 'See dicom.runs.';
		RETURN NULL;
	END IF;
	UPDATE dicom.step_log s
	SET status = 'interrupted', ended_at = r.updated_at
	FROM dicom.run_log r
	WHERE r.pipeline = p.name AND r.status = 'running' AND s.run = r.id AND s.status = 'running';
	UPDATE dicom.run_log r SET status = 'interrupted', ended_at = r.updated_at WHERE r.pipeline = p.name AND r.status = 'running';
	UPDATE dicom.pipeline x SET requested_at = NULL, polled_at = clock_timestamp() WHERE x.name = p.name;
	INSERT INTO dicom.run_log (pipeline, status, step, reason, forced, pid, started_at, updated_at)
	VALUES (p.name, 'running', 'prepare', coalesce(reason, 'called'), forced, pg_backend_pid(), clock_timestamp(), clock_timestamp())
	RETURNING id INTO made;
	PERFORM dicom.tell(p.name, 'start', made);
	RETURN made;
END
$$;
COMMENT ON FUNCTION dicom.start_run(text, boolean, boolean, text) IS 'begins a run; NULL where the pipeline is paused, or another run is in progress';

CREATE FUNCTION dicom.end_run(run bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record := dicom.run_of(run);
	p dicom.pipeline := found.p;
	r dicom.run_log := found.r;
	failed boolean := r.error IS NOT NULL;
BEGIN
	UPDATE dicom.run_log x
	SET status = CASE WHEN failed THEN 'failed' ELSE 'done' END, ended_at = clock_timestamp(), updated_at = clock_timestamp(), cursor = NULL
	WHERE x.id = run;
	UPDATE dicom.pipeline x
	SET failures = CASE WHEN failed THEN x.failures + 1 ELSE 0 END,
		next_attempt = CASE WHEN failed THEN clock_timestamp() + least(interval '1 minute' * 2 ^ least(x.failures, 20), interval '1 hour') END
	WHERE x.name = p.name;
	PERFORM dicom.tell(p.name, CASE WHEN failed THEN 'failure' ELSE 'success' END, run);
	PERFORM dicom.unlock_run();
END
$$;
COMMENT ON FUNCTION dicom.end_run(bigint) IS 'ends a run';

/* One piece of work. What a step throws ends the step; the others are done all the same. */
CREATE FUNCTION dicom.continue_run(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	found record := dicom.run_of(run);
	r dicom.run_log := found.r;
	p dicom.pipeline := found.p;
	work text := (SELECT s.work FROM dicom.pipeline_steps() s WHERE s.step = r.step);
	next text;
	more boolean := false;
	began timestamptz := clock_timestamp();
	code text;
	message text;
	detail text;
	hint text;
BEGIN
	INSERT INTO dicom.step_log (run, step, status, started_at) VALUES (run, r.step, 'running', began) ON CONFLICT DO NOTHING;
	IF to_regprocedure(work || '(bigint)') IS NOT NULL THEN
		BEGIN
			EXECUTE format('SELECT %s($1)', work) INTO more USING run;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			more := false;
			PERFORM dicom.note_step_error(run, code, message, detail, hint);
		END;
	END IF;
	UPDATE dicom.step_log s
	SET seconds = s.seconds + extract(epoch FROM clock_timestamp() - began),
		status = CASE WHEN more THEN s.status WHEN s.error IS NOT NULL THEN 'failed' ELSE 'done' END,
		ended_at = CASE WHEN more THEN NULL ELSE clock_timestamp() END
	WHERE s.run = continue_run.run AND s.step = r.step;
	IF more AND NOT p.paused THEN
		UPDATE dicom.run_log x SET updated_at = clock_timestamp() WHERE x.id = run;
		RETURN true;
	END IF;
	SELECT s.step INTO next
	FROM dicom.pipeline_steps() s
	WHERE s.place > (SELECT t.place FROM dicom.pipeline_steps() t WHERE t.step = r.step) AND to_regprocedure(s.work || '(bigint)') IS NOT NULL
		AND (s.step <> 'copy' OR p.provider IS NOT NULL) AND (s.step <> 'switch' OR p.next_epoch IS NOT NULL)
	ORDER BY s.place
	LIMIT 1;
	IF next IS NULL OR p.paused THEN
		PERFORM dicom.end_run(run);
		RETURN false;
	END IF;
	UPDATE dicom.run_log x SET step = next, cursor = NULL, updated_at = clock_timestamp() WHERE x.id = run;
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.continue_run(bigint) IS 'does the next piece of work of a run; false: it has ended';

/* No SET here, and nothing that a search_path could change: a procedure that commits may have neither. */
CREATE PROCEDURE dicom.run(pipeline text, wait boolean DEFAULT false, force boolean DEFAULT false, reason text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	this_run bigint;
	going boolean := true;
BEGIN
	this_run := dicom.start_run(pipeline, wait, force, reason);
	COMMIT;
	going := this_run IS NOT NULL;
	WHILE going LOOP
		going := dicom.continue_run(this_run);
		COMMIT;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE dicom.run(text, boolean, boolean, text) IS
	'does what is due of a pipeline, in many transactions; dicom.runs and dicom.run_steps tell how it goes. Where another run is in progress it says so and returns, or waits for its end; force: days wait for no batch and no quiet period';

/* --- asking for work --- */

CREATE FUNCTION dicom.days_between(pipeline text, first date, last date)
RETURNS date[]
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(array_agg(d.day), '{}')
FROM dicom.catalog_days((dicom.own_pipeline(pipeline)).raw) d
WHERE d.day BETWEEN first AND last
$$;
COMMENT ON FUNCTION dicom.days_between(text, date, date) IS 'days of a range that a pipeline has files of';

CREATE FUNCTION dicom.force_days(pipeline dicom.pipeline, days date[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM dicom.mark_days(pipeline.name, l.name, e.epoch, days)
	FROM unnest(dicom.epochs_of(pipeline)) e (epoch), dicom.layer l
	WHERE l.pipeline = pipeline.name AND (l.kind = 'day' OR l.table_name = 'compressed_images' AND l.kind = 'stage');
	UPDATE dicom.layer_day d SET forced = true
	WHERE d.pipeline = pipeline.name AND d.layer = quote_ident(pipeline.stage_schema) AND d.day = ANY (days);
	UPDATE dicom.pipeline p SET requested_at = clock_timestamp() WHERE p.name = pipeline.name;
END
$$;
COMMENT ON FUNCTION dicom.force_days(dicom.pipeline, date[]) IS 'makes days of files stale, to be refreshed with the next run';

CREATE FUNCTION dicom.backfill(pipeline text, first date, last date)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	days date[] := dicom.days_between(pipeline, first, last);
	l dicom.layer;
	e integer;
BEGIN
	PERFORM dicom.force_days(p, days);
	/* What is made from them follows where they change; the tables themselves are computed again too. */
	FOREACH e IN ARRAY dicom.epochs_of(p)
	LOOP
		FOR l IN SELECT x.* FROM dicom.layer x WHERE x.pipeline = p.name AND x.kind = 'stage'
		LOOP
			EXECUTE format('SELECT dicom.mark_children($1, $2, $3, coalesce(array_agg(DISTINCT deid_day), ''{}'')) FROM %I.%I WHERE source_day = ANY ($4) AND deid_epoch = $3',
				l.storage_schema, l.storage_table)
			USING p.name, l.name, e, days;
		END LOOP;
	END LOOP;
	RETURN cardinality(days);
END
$$;
COMMENT ON FUNCTION dicom.backfill(text, date, date) IS
	'the next run computes all tables anew for the files of these days (study dates as the files have them; -infinity: unknown), whatever their state; returns how many days there are';

CREATE FUNCTION dicom.restate(pipeline text, days date[])
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
BEGIN
	SELECT coalesce(array_agg(d.day), '{}') INTO days FROM dicom.catalog_days(p.raw) d WHERE d.day = ANY (days);
	PERFORM dicom.forget_objects(p.raw, days);
	PERFORM dicom.force_days(p, days);
	EXECUTE format('UPDATE %I.picture_objects o SET source_etag = '''' WHERE o.source_day = ANY ($1)', p.stage_schema || '_private') USING days;
	RETURN cardinality(days);
END
$$;
COMMENT ON FUNCTION dicom.restate(text, date[]) IS
	'the next run makes everything of these days anew from the files: they are read again, rows computed and pictures made; returns how many days there are';

CREATE FUNCTION dicom.restate(pipeline text, days daterange)
RETURNS integer
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT dicom.restate(pipeline, (SELECT coalesce(array_agg(d.day), '{}') FROM dicom.catalog_days((dicom.own_pipeline(pipeline)).raw) d WHERE days @> d.day))
$$;
COMMENT ON FUNCTION dicom.restate(text, daterange) IS 'the same for a range of days';

CREATE FUNCTION dicom.retry_failed(pipeline text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	retried integer;
BEGIN
	PERFORM dicom.retry_objects(p.raw);
	IF p.provider IS NOT NULL THEN
		PERFORM dicom.retry_copies(p.provider, p.raw);
	END IF;
	UPDATE dicom.layer_day d SET next_attempt = clock_timestamp() WHERE d.pipeline = p.name AND d.state IN ('failed', 'stopped');
	EXECUTE format('UPDATE %I.picture_objects o SET next_attempt = clock_timestamp() WHERE o.state = ''failed'' OR (o.state = ''done'' AND o.next_attempt IS NOT NULL)',
		p.stage_schema || '_private');
	UPDATE dicom.failure f
	SET next_attempt = clock_timestamp()
	WHERE f.pipeline = p.name AND f.resolved_at IS NULL AND f.reason IN ('unreachable', 'undecodable', 'failed', 'stopped');
	GET DIAGNOSTICS retried = ROW_COUNT;
	UPDATE dicom.pipeline x SET requested_at = clock_timestamp(), next_attempt = NULL WHERE x.name = p.name;
	RETURN retried;
END
$$;
COMMENT ON FUNCTION dicom.retry_failed(text) IS 'the next run tries again what has failed or was stopped, however lately; returns how many failures that are';

/* --- when to run --- */

CREATE FUNCTION dicom.due()
RETURNS TABLE (pipeline text, owner oid, reason text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	p dicom.pipeline;
	moment timestamptz := clock_timestamp();
	why text;
BEGIN
	FOR p IN
		SELECT * FROM dicom.pipeline x
		WHERE NOT x.paused AND NOT EXISTS (SELECT FROM dicom.runs r WHERE r.pipeline = x.name AND r.status = 'running')
		ORDER BY x.requested_at NULLS LAST, x.polled_at NULLS FIRST
	LOOP
		why := CASE
			WHEN p.requested_at IS NOT NULL THEN 'asked for'
			WHEN p.next_attempt > moment AND p.next_attempt <= moment + interval '2 hours' THEN NULL
			WHEN p.next_attempt IS NOT NULL THEN 'failed before'
			WHEN p.polled_at IS NULL OR p.polled_at > moment OR p.polled_at <= moment - dicom.pipeline_option(p.options, 'poll_interval')::interval THEN 'poll'
			WHEN cardinality(dicom.ready_days(p, p.epoch, false)) > 0 THEN 'stale days'
			WHEN p.next_epoch IS NOT NULL THEN 'rotation'
			WHEN EXISTS (SELECT FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.state IN ('failed', 'stopped') AND d.next_attempt <= moment) THEN 'retry'
			WHEN EXISTS (SELECT FROM dicom.failure f WHERE f.pipeline = p.name AND f.resolved_at IS NULL AND f.next_attempt <= moment) THEN 'retry'
			END;
		IF why IS NOT NULL THEN
			RETURN QUERY SELECT p.name, p.owner::oid, why;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.due() IS 'the pipelines that are to run now, and why, of those that one owns: what the worker asks';
