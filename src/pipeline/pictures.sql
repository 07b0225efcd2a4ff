
/* --- pictures of images: src/pipeline --- */

/*
 * The name of a picture is known only when its image is: so days are refreshed in stage first. What is made of each object is noted before,
 * as planned, and after, in transactions of their own; a refresh of the day then takes the frames over into compressed_images. After
 * a crash nothing is made twice but what was being made. Pictures that nothing refers to go last, after what referred to them is committed.
 */

CREATE FUNCTION dicom.picture_settings(options jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT concat_ws(',', 'quality ' || dicom.pipeline_option(options, 'quality'), 'size ' || dicom.pipeline_option(options, 'max_size'),
	'window ' || dicom.pipeline_option(options, 'window'), 'inline ' || nullif(dicom.pipeline_option(options, 'inline_jpeg_limit'), '0'))
$$;
COMMENT ON FUNCTION dicom.picture_settings(jsonb) IS 'the options of a pipeline that make another picture of the same image';

CREATE FUNCTION dicom.picture_folder(day date, series text, sop text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'compressed_images/' || CASE WHEN day = '-infinity' THEN 'year=unknown'
	ELSE format('year=%s/month=%s/day=%s', lpad(extract(year FROM day)::text, 4, '0'), lpad(extract(month FROM day)::text, 2, '0'),
		lpad(extract(day FROM day)::text, 2, '0')) END
	|| '/' || coalesce(nullif(series, ''), 'unknown') || '/' || sop || '/'
$$;
COMMENT ON FUNCTION dicom.picture_folder(date, text, text) IS 'where the pictures of an image are';

/* In the transaction in which images go, their pictures do. */
CREATE FUNCTION dicom.forget_pictures(pipeline dicom.pipeline, epoch integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	days date[];
BEGIN
	EXECUTE format($f$
		WITH gone AS (
			DELETE FROM %I.compressed_images c USING pg_temp.dicom_changes g
			WHERE g.entity = 'images' AND g.action = 'deleted' AND c.deid_epoch = $1 AND c.sop_instance_uid = g.row_key
			RETURNING c.deid_day AS day
		)
		SELECT array_agg(DISTINCT day) FROM gone$f$, pipeline.stage_schema || '_private')
	INTO days
	USING epoch;
	IF days IS NOT NULL THEN
		PERFORM dicom.mark_children(pipeline.name, format('%I.compressed_images', pipeline.stage_schema), epoch, days);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.forget_pictures(dicom.pipeline, integer) IS 'removes the pictures of images that a merge has removed';

/*
 * The next objects of these days to make pictures of; they are noted as planned. How: make, or copy where the same pictures are there under
 * another name, for the day or the epoch has changed.
 */
CREATE FUNCTION dicom.plan_pictures(pipeline dicom.pipeline, epoch integer, days date[], batch integer, run bigint)
RETURNS TABLE (how text, source_key text, folder text, from_epoch integer, from_folder text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY EXECUTE format($f$
		WITH wanted AS MATERIALIZED (
			SELECT i.source_day, i.source_key, i.source_etag, dicom.picture_folder(i.deid_day, i.series_instance_uid, i.sop_instance_uid) AS folder
			FROM %1$I.images i
			WHERE i.source_day = ANY ($2) AND i.deid_epoch = $1 AND i.burned_in IS NULL
		),
		todo AS MATERIALIZED (
			SELECT w.*, o.state, o.folder AS before, o.source_etag AS etag_before, o.frames, o.run, coalesce(o.failures, 0) AS failures
			FROM wanted w
			LEFT JOIN %1$I.picture_objects o ON o.deid_epoch = $1 AND o.source_key = w.source_key
			WHERE CASE
				WHEN o.source_key IS NULL OR o.source_etag <> w.source_etag OR o.settings <> $3 THEN true
				WHEN o.state = 'failed' THEN o.next_attempt <= clock_timestamp()
				WHEN o.state = 'none' THEN false
				ELSE o.folder <> w.folder OR o.state = 'planned' OR o.next_attempt <= clock_timestamp() END
			ORDER BY w.source_key
			LIMIT $4
		),
		same AS (
			SELECT DISTINCT ON (t.source_key) t.source_key, o.deid_epoch, o.folder
			FROM todo t
			CROSS JOIN LATERAL (
				SELECT x.deid_epoch, x.folder
				FROM %1$I.picture_objects x
				WHERE x.deid_epoch = ANY ($6) AND x.source_key = t.source_key AND x.source_etag = t.source_etag AND x.settings = $3 AND x.state = 'done'
					AND x.next_attempt IS NULL
				OFFSET 0) o
			WHERE t.failures = 0
			ORDER BY t.source_key, o.deid_epoch = $1 DESC
		),
		left_behind AS (
			INSERT INTO %1$I.picture_garbage AS g (folder, frames)
			SELECT t.before, CASE WHEN bool_and(t.state = 'done') THEN max(t.frames) END
			FROM todo t
			WHERE (t.state IN ('planned', 'failed') AND t.run <> $5) OR (t.state = 'done' AND NOT EXISTS (SELECT FROM same s WHERE s.source_key = t.source_key))
			GROUP BY t.before
			ON CONFLICT (folder) DO UPDATE SET frames = CASE WHEN g.frames IS NULL OR excluded.frames IS NULL THEN NULL ELSE greatest(g.frames, excluded.frames) END
		),
		planned AS (
			INSERT INTO %1$I.picture_objects AS o (deid_epoch, source_day, source_key, source_etag, folder, settings, state, run)
			SELECT $1, t.source_day, t.source_key, t.source_etag, t.folder, $3, 'planned', $5
			FROM todo t
			WHERE NOT EXISTS (SELECT FROM same s WHERE s.source_key = t.source_key AND s.deid_epoch = $1)
			ON CONFLICT (deid_epoch, source_key) DO UPDATE
			SET source_day = excluded.source_day, source_etag = excluded.source_etag, folder = excluded.folder, settings = excluded.settings, state = 'planned', run = excluded.run,
				failures = CASE WHEN o.source_etag = excluded.source_etag THEN o.failures ELSE 0 END, next_attempt = NULL
		)
		SELECT CASE WHEN s.source_key IS NULL THEN 'make' ELSE 'copy' END, t.source_key, t.folder, s.deid_epoch, s.folder
		FROM todo t
		LEFT JOIN same s ON s.source_key = t.source_key$f$, pipeline.stage_schema || '_private')
	USING epoch, days, dicom.picture_settings(pipeline.options), batch, run, dicom.epochs_of(pipeline) || pipeline.old_epochs;
END
$$;
COMMENT ON FUNCTION dicom.plan_pictures(dicom.pipeline, integer, date[], integer, bigint) IS 'chooses and notes the next objects of days to make pictures of, or to give other names to';

/*
 * What dicompress said of the objects it was given. An object that it said nothing of has failed too; so has one of whose frames some could not
 * be made or written for a reason that is not its own: those that could are shown, and it is tried again.
 */
CREATE FUNCTION dicom.make_pictures
(
	pipeline dicom.pipeline,
	epoch integer,
	keys text[],
	folders text[],
	OUT pictures bigint,
	OUT bytes bigint,
	OUT failed bigint,
	OUT error_code text,
	OUT error text
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	failures jsonb;
	wanted jsonb := jsonb_strip_nulls(jsonb_build_object(
		'jobs', dicom.pipeline_option(pipeline.options, 'jobs')::integer,
		'quality', dicom.pipeline_option(pipeline.options, 'quality')::integer,
		'max_size', dicom.pipeline_option(pipeline.options, 'max_size')::integer,
		'window', dicom.pipeline_option(pipeline.options, 'window'),
		'inline_limit', nullif(dicom.pipeline_option(pipeline.options, 'inline_jpeg_limit')::bigint, 0)));
BEGIN
	EXECUTE format($f$
		WITH made AS MATERIALIZED (
			SELECT * FROM dicom.compress_objects($2, $3, $4, $5, $6)
		),
		cleared AS (
			DELETE FROM %1$I.picture_frames f WHERE f.deid_epoch = $1 AND f.source_key = ANY ($4)
				AND NOT EXISTS (SELECT FROM made m WHERE m.source_key = f.source_key AND m.frame = f.frame AND m.error IS NULL)
		),
		kept AS (
			INSERT INTO %1$I.picture_frames AS f (deid_epoch, source_key, frame, key, bytes, width, height, sha256, jpeg)
			SELECT $1, m.source_key, m.frame, m.key, m.bytes, m.width, m.height, m.sha256, m.jpeg
			FROM made m
			WHERE m.error IS NULL
			ON CONFLICT (deid_epoch, source_key, frame) DO UPDATE
			SET key = excluded.key, bytes = excluded.bytes, width = excluded.width, height = excluded.height, sha256 = excluded.sha256, jpeg = excluded.jpeg
		),
		result AS MATERIALIZED (
			SELECT k.source_key, count(m.frame) FILTER (WHERE m.error IS NULL) AS frames, coalesce(max(m.frame) FILTER (WHERE m.error IS NULL), 0) AS last,
				coalesce(sum(m.bytes) FILTER (WHERE m.error IS NULL), 0) AS bytes,
				CASE WHEN count(m.source_key) = 0 THEN '38000' ELSE (array_agg(m.error_code ORDER BY m.error_code LIKE '22%%', m.frame NULLS FIRST)
					FILTER (WHERE m.error IS NOT NULL))[1] END AS error_code,
				CASE WHEN count(m.source_key) = 0 THEN 'dicompress said nothing of it'
					ELSE (array_agg(CASE WHEN m.frame IS NULL THEN m.error ELSE format('frame %%s: %%s', m.frame, m.error) END ORDER BY m.error_code LIKE '22%%', m.frame NULLS FIRST)
						FILTER (WHERE m.error IS NOT NULL))[1] END AS error,
				count(m.frame) FILTER (WHERE m.error IS NOT NULL) > 0 AS at_frame
			FROM unnest($4) k (source_key)
			LEFT JOIN made m ON m.source_key = k.source_key
			GROUP BY k.source_key
		),
		noted AS MATERIALIZED (
			SELECT r.*, CASE WHEN r.error IS NULL OR r.frames > 0 THEN 'done' WHEN r.error_code = '02000' THEN 'none' ELSE 'failed' END AS state,
				coalesce(r.error_code <> '02000' AND r.error_code NOT LIKE '22%%', false) AS again,
				coalesce(r.error_code ~ '^(08...|28...|42501|53[01]00|58030|58P..)$', false) AS is_of_store
			FROM result r
		),
		written AS (
			UPDATE %1$I.picture_objects o
			SET state = n.state, frames = n.last,
				failures = CASE WHEN n.state = 'failed' OR n.again THEN o.failures + 1 ELSE 0 END,
				next_attempt = CASE WHEN n.again THEN clock_timestamp() + least(interval '1 minute' * 2 ^ least(o.failures, 20), interval '1 day') END
			FROM noted n
			WHERE o.deid_epoch = $1 AND o.source_key = n.source_key
			RETURNING o.source_key, o.source_day, o.next_attempt, n.error, n.error_code, n.state
		),
		/* dicompress was killed, a disk is full, or a store has taken nothing at all; a single object that cannot be read is none of these. */
		at_fault AS (
			SELECT n.error_code, n.error
			FROM noted n
			WHERE n.error_code IN ('53100', '58000')
				OR (n.is_of_store AND (SELECT bool_and(x.is_of_store AND x.frames = 0) AND (bool_or(x.at_frame) OR count(*) >= 16) FROM noted x))
			ORDER BY n.error_code IN ('53100', '58000') DESC, n.source_key
			LIMIT 1
		)
		SELECT (SELECT sum(n.frames) FROM noted n), (SELECT sum(n.bytes) FROM noted n), (SELECT count(*) FROM noted n WHERE n.state = 'failed'),
			(SELECT f.error_code FROM at_fault f), (SELECT f.error FROM at_fault f),
			(SELECT jsonb_agg(jsonb_build_object('object_key', w.source_key, 'day', w.source_day, 'error_code', w.error_code, 'message', w.error,
					'next_attempt', w.next_attempt,
					'reason', CASE WHEN w.next_attempt IS NULL OR w.error_code IN ('38000', '53200', '54000') THEN 'undecodable' ELSE 'unreachable' END))
				FROM written w WHERE w.error IS NOT NULL AND w.state <> 'none')$f$, pipeline.stage_schema || '_private')
	INTO pictures, bytes, failed, error_code, error, failures
	USING epoch, pipeline.raw, pipeline.stage, keys,
		(SELECT array_agg(f.folder || '{frame}.jpg' ORDER BY f.place) FROM unnest(folders) WITH ORDINALITY f (folder, place)), wanted;
	IF failures IS NOT NULL THEN
		PERFORM dicom.note_failures(pipeline.name, 'compress', failures);
	END IF;
	UPDATE dicom.failure f
	SET resolved_at = clock_timestamp(), next_attempt = NULL
	WHERE f.pipeline = pipeline.name AND f.step = 'compress' AND f.object_key = ANY (keys) AND f.resolved_at IS NULL
		AND NOT coalesce(failures @> jsonb_build_array(jsonb_build_object('object_key', f.object_key)), false);
END
$$;
COMMENT ON FUNCTION dicom.make_pictures(dicom.pipeline, integer, text[], text[]) IS
	'makes the pictures of objects, and notes what came of each; error: of a store or of dicompress, not of an object';

CREATE FUNCTION dicom.copy_pictures(pipeline dicom.pipeline, epoch integer, plan jsonb, OUT pictures bigint, OUT bytes bigint, OUT failed bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	failures jsonb;
BEGIN
	EXECUTE format($f$
		WITH wanted AS MATERIALIZED (
			SELECT p.*, i.source_day, i.source_etag
			FROM jsonb_to_recordset($2) p (source_key text, folder text, from_epoch integer, from_folder text)
			CROSS JOIN LATERAL (
				SELECT o.source_day, o.source_etag FROM %1$I.picture_objects o WHERE o.deid_epoch = p.from_epoch AND o.source_key = p.source_key OFFSET 0) i
		),
		frame AS MATERIALIZED (
			SELECT w.source_key, w.folder, f.frame, f.key, f.bytes, f.width, f.height, f.sha256, f.jpeg
			FROM wanted w
			JOIN %1$I.picture_frames f ON f.deid_epoch = w.from_epoch AND f.source_key = w.source_key
			UNION ALL
			SELECT w.source_key, w.folder, c.frame, c.key, c.bytes, c.width, c.height, c.sha256, c.jpeg
			FROM wanted w
			JOIN %1$I.compressed_images c ON c.source_day = w.source_day AND c.deid_epoch = w.from_epoch AND c.source_key = w.source_key
				AND c.source_etag = w.source_etag
			WHERE NOT EXISTS (SELECT FROM %1$I.picture_frames f WHERE f.deid_epoch = w.from_epoch AND f.source_key = w.source_key)
		),
		copied AS MATERIALIZED (
			SELECT c.* FROM dicom.copy_objects($3, (SELECT array_agg(f.key ORDER BY f.key) FROM frame f),
				(SELECT array_agg(f.folder || f.frame || '.jpg' ORDER BY f.key) FROM frame f)) c
			WHERE EXISTS (SELECT FROM frame)
		),
		result AS MATERIALIZED (
			SELECT w.source_key, w.folder, w.from_epoch, w.from_folder, count(f.frame) AS frames, coalesce(max(f.frame), 0) AS last, coalesce(sum(f.bytes), 0) AS bytes,
				CASE WHEN count(f.frame) = 0 THEN '02000' ELSE min(c.error_code) END AS error_code,
				CASE WHEN count(f.frame) = 0 THEN 'its pictures are not known' ELSE min(c.error) END AS error
			FROM wanted w
			LEFT JOIN frame f ON f.source_key = w.source_key
			LEFT JOIN copied c ON c.from_key = f.key
			GROUP BY w.source_key, w.folder, w.from_epoch, w.from_folder
		),
		kept AS (
			INSERT INTO %1$I.picture_frames AS p (deid_epoch, source_key, frame, key, bytes, width, height, sha256, jpeg)
			SELECT $1, f.source_key, f.frame, f.folder || f.frame || '.jpg', f.bytes, f.width, f.height, f.sha256, f.jpeg
			FROM frame f
			JOIN result r ON r.source_key = f.source_key AND r.error IS NULL
			ON CONFLICT (deid_epoch, source_key, frame) DO UPDATE
			SET key = excluded.key, bytes = excluded.bytes, width = excluded.width, height = excluded.height, sha256 = excluded.sha256, jpeg = excluded.jpeg
		),
		left_behind AS (
			INSERT INTO %1$I.picture_garbage AS g (folder, frames)
			SELECT r.from_folder, max(r.last) FROM result r WHERE r.error IS NULL AND r.from_epoch = $1 GROUP BY r.from_folder
			ON CONFLICT (folder) DO UPDATE SET frames = CASE WHEN g.frames IS NULL THEN NULL ELSE greatest(g.frames, excluded.frames) END
		),
		/* What cannot be copied is made anew: a failed object is not copied. */
		written AS (
			UPDATE %1$I.picture_objects o
			SET folder = CASE WHEN r.error IS NULL THEN r.folder ELSE o.folder END, frames = CASE WHEN r.error IS NULL THEN r.last ELSE o.frames END,
				state = CASE WHEN r.error IS NULL THEN 'done' ELSE 'failed' END,
				failures = CASE WHEN r.error IS NULL THEN 0 ELSE o.failures + 1 END,
				next_attempt = CASE WHEN r.error IS NOT NULL THEN clock_timestamp() END
			FROM result r
			WHERE o.deid_epoch = $1 AND o.source_key = r.source_key
			RETURNING o.source_key, o.source_day, o.next_attempt, r.error, r.error_code
		)
		SELECT coalesce((SELECT sum(r.frames) FROM result r WHERE r.error IS NULL), 0), coalesce((SELECT sum(r.bytes) FROM result r WHERE r.error IS NULL), 0),
			(SELECT count(*) FROM result r WHERE r.error IS NOT NULL),
			(SELECT jsonb_agg(jsonb_build_object('object_key', w.source_key, 'day', w.source_day, 'error_code', w.error_code, 'message', w.error,
				'next_attempt', w.next_attempt, 'reason', 'unreachable')) FROM written w WHERE w.error IS NOT NULL)$f$, pipeline.stage_schema || '_private')
	INTO pictures, bytes, failed, failures
	USING epoch, plan, pipeline.stage;
	IF failures IS NOT NULL THEN
		PERFORM dicom.note_failures(pipeline.name, 'compress', failures);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.copy_pictures(dicom.pipeline, integer, jsonb) IS 'gives pictures other names in the store, as planned, and notes what came of each';

/* What makes compressed_images those frames of the images of days that pictures were made of. */
CREATE FUNCTION dicom.diff_pictures(p dicom.pipeline, epoch integer, days date[], diff text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_nestloop = off
AS $$
DECLARE
	private text := p.stage_schema || '_private';
	m record;
BEGIN
	SELECT * INTO m FROM dicom.merge_pieces(format('%I.compressed_images', private)::regclass, format('%I.compressed_images', p.stage_schema)::regclass);
	EXECUTE format($f$
		WITH image AS MATERIALIZED (
			SELECT i.*, o.state
			FROM %1$I.images i
			LEFT JOIN %1$I.picture_objects o ON o.source_day = ANY ($2) AND o.deid_epoch = $1 AND o.source_key = i.source_key AND o.source_etag = i.source_etag
			WHERE i.source_day = ANY ($2) AND i.deid_epoch = $1 AND i.burned_in IS NULL
		),
		old AS MATERIALIZED (
			SELECT c.* FROM %1$I.compressed_images c WHERE c.source_day = ANY ($2) AND c.deid_epoch = $1
			UNION ALL
			SELECT c.* FROM image i
			CROSS JOIN LATERAL (SELECT * FROM %1$I.compressed_images c WHERE c.deid_epoch = $1 AND c.sop_instance_uid = i.sop_instance_uid
				AND c.source_day <> ALL ($2) OFFSET 0) c
		),
		made AS MATERIALIZED (
			SELECT f.* FROM image i
			CROSS JOIN LATERAL (SELECT * FROM %1$I.picture_frames f WHERE f.deid_epoch = $1 AND f.source_key = i.source_key OFFSET 0) f
			WHERE i.state = 'done'
		),
		winner AS MATERIALIZED (
			SELECT $1 AS deid_epoch, i.source_day, i.source_key, i.source_etag, i.deid_day, i.sop_instance_uid, i.series_instance_uid, i.study_instance_uid, i.study_date,
				f.frame, f.key, f.bytes, f.width, f.height, f.sha256, f.jpeg
			FROM image i
			JOIN made f ON f.source_key = i.source_key
			UNION ALL
			SELECT $1, i.source_day, i.source_key, i.source_etag, i.deid_day, i.sop_instance_uid, i.series_instance_uid, i.study_instance_uid, i.study_date,
				c.frame, c.key, c.bytes, c.width, c.height, c.sha256, c.jpeg
			FROM image i
			JOIN old c ON c.sop_instance_uid = i.sop_instance_uid AND c.source_key = i.source_key AND c.source_etag = i.source_etag
			WHERE i.state = 'done' AND NOT EXISTS (SELECT FROM made f WHERE f.source_key = i.source_key)
		),
		taken AS (
			DELETE FROM %1$I.picture_frames f
			USING (SELECT DISTINCT m.source_key FROM made m) m
			WHERE f.deid_epoch = $1 AND f.source_key = m.source_key
		),
		/* Objects of these days that give no image any more. */
		forgotten AS (
			DELETE FROM %1$I.picture_objects o
			WHERE o.source_day = ANY ($2) AND o.deid_epoch = $1 AND NOT EXISTS (SELECT FROM image i WHERE i.source_key = o.source_key)
			RETURNING o.source_key, o.folder, CASE WHEN o.state = 'done' THEN o.frames END AS frames
		),
		forgotten_frames AS (
			DELETE FROM %1$I.picture_frames f USING forgotten o WHERE f.deid_epoch = $1 AND f.source_key = o.source_key
		),
		left_behind AS (
			INSERT INTO %1$I.picture_garbage AS g (folder, frames)
			SELECT o.folder, CASE WHEN bool_and(o.frames IS NOT NULL) THEN max(o.frames) END FROM forgotten o GROUP BY o.folder
			ON CONFLICT (folder) DO UPDATE SET frames = CASE WHEN g.frames IS NULL OR excluded.frames IS NULL THEN NULL ELSE greatest(g.frames, excluded.frames) END
		)
		INSERT INTO pg_temp.%2$I (%3$s, change_action, change_day, change_visible)
		SELECT %4$s, CASE WHEN o.deid_epoch IS NULL THEN 'inserted' ELSE 'updated' END, o.deid_day,
			o.deid_epoch IS NULL OR ROW(%5$s)::record *<> ROW(%6$s)::record
		FROM winner n
		LEFT JOIN old o ON o.sop_instance_uid = n.sop_instance_uid AND o.frame = n.frame
		WHERE o.deid_epoch IS NULL OR ROW(%7$s)::record *<> ROW(%4$s)::record
		UNION ALL
		SELECT %7$s, 'deleted', o.deid_day, true
		FROM old o
		WHERE NOT EXISTS (SELECT FROM winner n WHERE n.sop_instance_uid = o.sop_instance_uid AND n.frame = o.frame)$f$,
		private, diff, m.columns, m.new_row, m.old_shown, m.new_shown, m.old_row)
	USING epoch, days;
END
$$;
COMMENT ON FUNCTION dicom.diff_pictures(dicom.pipeline, integer, date[], text) IS
	'finds out what compressed_images has otherwise than what was made of the images of days, into a temporary table; what is done with is removed from where it waited';

/* Takes what was made of the images of days over into compressed_images, in one transaction. */
CREATE FUNCTION dicom.merge_pictures
(
	pipeline text,
	epoch integer,
	days date[],
	OUT missing jsonb,
	OUT inserted bigint,
	OUT updated bigint,
	OUT deleted bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
SET jit = off
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	private text := p.stage_schema || '_private';
	this_layer text := format('%I.compressed_images', p.stage_schema);
	partition_by text := dicom.pipeline_option(p.options, 'partition_by');
	began timestamptz := clock_timestamp();
	before jsonb;
	diff text := 'dicom_diff_' || p.id || '_pictures';
	counts jsonb;
	needed date[];
	touched date[];
	quarantined jsonb;
	keys text[];
	failing text[];
BEGIN
	SELECT coalesce(jsonb_object_agg(d.day, d.touched_at), '{}') INTO before
	FROM dicom.layer_day d
	WHERE d.pipeline = p.name AND d.layer = this_layer AND d.epoch = merge_pictures.epoch AND d.day = ANY (days);
	IF partition_by <> 'none' THEN
		EXECUTE format('SELECT dicom.missing_partitions($1, $2, $3, array_agg(DISTINCT deid_day)) FROM %I.images WHERE source_day = ANY ($4) AND deid_epoch = $5', private)
		INTO needed USING private, 'compressed_images', partition_by, days, epoch;
		IF needed IS NOT NULL THEN
			missing := jsonb_build_object('compressed_images', needed);
			RETURN;
		END IF;
	END IF;
	IF to_regclass('pg_temp.' || diff) IS NULL THEN
		EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE %I.compressed_images, change_action text, change_day date, change_visible boolean) ON COMMIT DELETE ROWS', diff, private);
	ELSE
		EXECUTE format('DELETE FROM pg_temp.%I', diff);
	END IF;
	PERFORM dicom.diff_pictures(p, epoch, days, diff);
	PERFORM dicom.apply_diff(format('%I.compressed_images', private)::regclass, diff, ARRAY['sop_instance_uid', 'frame'], partition_by <> 'none');
	SELECT c.* INTO inserted, updated, deleted, touched, counts FROM dicom.count_diff(diff, 'source_day', 'n.change_visible') c;
	IF touched IS NOT NULL THEN
		PERFORM dicom.mark_children(p.name, this_layer, epoch, touched);
	END IF;
	EXECUTE format($f$
		SELECT jsonb_agg(jsonb_build_object('object_key', i.source_key, 'day', i.source_day, 'reason', 'quarantined', 'message', i.burned_in)),
			coalesce(array_agg(i.source_key), '{}')
		FROM %1$I.images i WHERE i.source_day = ANY ($2) AND i.deid_epoch = $1 AND i.burned_in IS NOT NULL$f$, private)
	INTO quarantined, keys
	USING epoch, days;
	IF quarantined IS NOT NULL THEN
		PERFORM dicom.note_failures(p.name, 'compress', quarantined);
	END IF;
	/* What fails of other reasons was noted when it did. */
	EXECUTE format($f$
		SELECT coalesce(array_agg(o.source_key), '{}')
		FROM %1$I.images i
		JOIN %1$I.picture_objects o ON o.deid_epoch = $1 AND o.source_key = i.source_key AND o.source_etag = i.source_etag
		WHERE i.source_day = ANY ($2) AND i.deid_epoch = $1 AND i.burned_in IS NULL AND o.state IN ('done', 'failed')
			AND EXISTS (SELECT FROM dicom.failure f WHERE f.pipeline = $3 AND f.step = 'compress' AND f.object_key = i.source_key AND f.reason <> 'quarantined')$f$, private)
	INTO failing
	USING epoch, days, p.name;
	PERFORM dicom.resolve_failures(p.name, 'compress', days, keys || failing);
	UPDATE dicom.layer_day d
	SET state = 'fresh', forced = false, stale_since = NULL, refreshed_at = clock_timestamp(),
		inserted = coalesce((counts -> d.day::text ->> 0)::bigint, 0), updated = coalesce((counts -> d.day::text ->> 1)::bigint, 0),
		deleted = coalesce((counts -> d.day::text ->> 2)::bigint, 0), seconds = extract(epoch FROM clock_timestamp() - began) / cardinality(days),
		failures = 0, next_attempt = NULL, error_code = NULL, error = NULL
	WHERE d.pipeline = p.name AND d.layer = this_layer AND d.epoch = merge_pictures.epoch AND d.day = ANY (days)
		AND d.touched_at IS NOT DISTINCT FROM (before ->> d.day::text)::timestamptz;
END
$$;
COMMENT ON FUNCTION dicom.merge_pictures(text, integer, date[]) IS 'refreshes days of compressed_images from what was made of their images, in this transaction';

/* After the commit of what referred to them: pictures in folders that were left, unless something refers to them again. */
CREATE FUNCTION dicom.clean_pictures(pipeline dicom.pipeline, batch integer, OUT folders bigint, OUT deleted bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
SET jit = off
AS $$
DECLARE
	private text := pipeline.stage_schema || '_private';
	left_behind record;
	keys text[];
	gone text[] := ARRAY[]::text[];
	done text[] := ARRAY[]::text[];
BEGIN
	FOR left_behind IN EXECUTE format($f$
		SELECT g.folder, g.frames, split_part(g.folder, '/', array_length(string_to_array(g.folder, '/'), 1) - 1) AS sop,
			(SELECT max(o.frames) FROM %1$I.picture_objects o WHERE o.folder = g.folder AND o.state = 'done') AS kept,
			EXISTS (SELECT FROM %1$I.picture_objects o WHERE o.folder = g.folder AND o.state = 'planned') AS pending
		FROM %1$I.picture_garbage g
		ORDER BY g.folder
		LIMIT $1$f$, private) USING batch
	LOOP
		done := done || left_behind.folder;
		/* Who plans a picture again puts its folder here again. */
		CONTINUE WHEN left_behind.pending;
		IF left_behind.frames IS NOT NULL THEN
			SELECT array_agg(format('%s%s.jpg', left_behind.folder, n)) INTO keys
			FROM generate_series(coalesce(left_behind.kept, 0) + 1, left_behind.frames) n;
		ELSE
			EXECUTE format('SELECT array_agg(s.key) FROM %I.stage_objects s WHERE s.key ^@ $1 AND NOT s.key = ANY (SELECT $1 || n || ''.jpg'' FROM generate_series(1, $2) n)', private)
			INTO keys
			USING left_behind.folder, coalesce(left_behind.kept, 0);
		END IF;
		CONTINUE WHEN keys IS NULL;
		EXECUTE format('SELECT array_agg(k.key) FROM unnest($1) k (key) WHERE NOT EXISTS (SELECT FROM %I.compressed_images c '
			'WHERE c.deid_epoch IN ($2, $3) AND c.sop_instance_uid = $4 AND c.key = k.key)', private)
		INTO keys
		USING keys, pipeline.epoch, pipeline.next_epoch, left_behind.sop;
		gone := gone || coalesce(keys, '{}');
	END LOOP;
	folders := cardinality(done);
	deleted := 0;
	IF cardinality(gone) > 0 THEN
		deleted := dicom.delete_objects(pipeline.stage, gone);
	END IF;
	EXECUTE format('DELETE FROM %I.picture_garbage g WHERE g.folder = ANY ($1)', private) USING done;
END
$$;
COMMENT ON FUNCTION dicom.clean_pictures(dicom.pipeline, integer) IS 'deletes pictures that nothing refers to any more from the stage store; how many folders were looked at, and how many pictures deleted';
