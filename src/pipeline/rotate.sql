
/* --- another key: src/pipeline --- */

/*
 * Every day is built under the next epoch beside the present one, by the same steps; pictures are copied to their new names inside the store.
 * When the new epoch has all that the old one has, one row is updated, and every view shows it from the next statement on. What the
 * old one leaves is removed bit by bit.
 */

CREATE FUNCTION dicom.rotate_epoch(pipeline text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	active integer;
BEGIN
	IF p.next_epoch IS NOT NULL THEN
		RAISE EXCEPTION 'pipeline "%" is on its way to epoch %', p.name, p.next_epoch
			USING ERRCODE = 'object_in_use', HINT = 'CALL dicom.run() goes on with it; dicom.days shows what is missing.';
	END IF;
	IF cardinality(p.old_epochs) > 0 THEN
		RAISE EXCEPTION 'pipeline "%" still removes epoch %', p.name, p.old_epochs[1] USING ERRCODE = 'object_in_use', HINT = 'CALL dicom.run() does so.';
	END IF;
	active := dicom.active_epoch();
	IF active <= p.epoch THEN
		active := dicom.new_epoch();
	END IF;
	UPDATE dicom.pipeline x SET next_epoch = active, requested_at = clock_timestamp() WHERE x.name = p.name RETURNING * INTO p;
	PERFORM dicom.refresh_stage_columns(p);
	INSERT INTO dicom.layer_day AS d (pipeline, layer, epoch, day, state, stale_since, touched_at, forced)
	SELECT o.pipeline, o.layer, active, o.day, 'stale', clock_timestamp(), clock_timestamp(), true
	FROM dicom.layer_day o
	WHERE o.pipeline = p.name AND o.layer = quote_ident(p.stage_schema) AND o.epoch = p.epoch
	ON CONFLICT ON CONSTRAINT layer_day_pkey DO UPDATE SET state = 'stale', touched_at = excluded.touched_at, forced = true;
	RETURN active;
END
$$;
COMMENT ON FUNCTION dicom.rotate_epoch(text) IS
	'begins the change to the next key of the key file: the next runs build every day under it; then all pseudonyms change at once, and what was made under the old key is removed; returns the new epoch';

CREATE FUNCTION dicom.is_rotated(p dicom.pipeline)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l dicom.layer;
	blocked date[];
BEGIN
	/* What waits, or fails, under the present key may do so under the next one. */
	IF EXISTS (
		SELECT FROM dicom.layer_day n
		WHERE n.pipeline = p.name AND n.layer = quote_ident(p.stage_schema) AND n.epoch = p.next_epoch AND n.state <> 'fresh'
			AND NOT EXISTS (SELECT FROM dicom.layer_day o WHERE o.pipeline = n.pipeline AND o.layer = n.layer AND o.epoch = p.epoch AND o.day = n.day AND o.state <> 'fresh'))
	THEN
		RETURN false;
	END IF;
	IF EXISTS (
		SELECT FROM dicom.layer_day n
		JOIN dicom.layer_day s ON s.pipeline = n.pipeline AND s.layer = quote_ident(p.stage_schema) AND s.epoch = n.epoch AND s.day = n.day AND s.state = 'fresh'
		WHERE n.pipeline = p.name AND n.layer = format('%I.compressed_images', p.stage_schema) AND n.epoch = p.next_epoch AND n.state <> 'fresh'
			AND NOT EXISTS (SELECT FROM dicom.layer_day o WHERE o.pipeline = n.pipeline AND o.layer = n.layer AND o.epoch = p.epoch AND o.day = n.day AND o.state <> 'fresh'))
	THEN
		RETURN false;
	END IF;
	FOR l IN SELECT * FROM dicom.layer x WHERE x.pipeline = p.name AND x.kind = 'table'
	LOOP
		blocked := dicom.blocked_days(p.name, l.name, p.next_epoch);
		CONTINUE WHEN blocked IS NULL;
		IF EXISTS (SELECT FROM dicom.layer_day n WHERE n.pipeline = p.name AND n.layer = l.name AND n.epoch = p.next_epoch AND n.state = 'stale' AND n.day <> ALL (blocked))
			OR (EXISTS (SELECT FROM dicom.layer_day n WHERE n.pipeline = p.name AND n.layer = l.name AND n.epoch = p.next_epoch AND n.state IN ('failed', 'stopped'))
				AND NOT EXISTS (SELECT FROM dicom.layer_day o WHERE o.pipeline = p.name AND o.layer = l.name AND o.epoch = p.epoch AND o.state IN ('failed', 'stopped')))
		THEN
			RETURN false;
		END IF;
	END LOOP;
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.is_rotated(dicom.pipeline) IS 'true where the next epoch has all that the present one has';

CREATE FUNCTION dicom.step_switch(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := (dicom.run_of(run)).p;
	l dicom.layer;
BEGIN
	IF p.next_epoch IS NULL OR NOT dicom.is_rotated(p) THEN
		RETURN false;
	END IF;
	UPDATE dicom.pipeline x
	SET epoch = x.next_epoch, next_epoch = NULL, old_epochs = x.old_epochs || x.epoch
	WHERE x.name = p.name
	RETURNING * INTO p;
	UPDATE dicom.pipeline x SET rules = dicom.refresh_stage_columns(p) WHERE x.name = p.name;
	/* Materialized views keep what their query gave them: they change with the rest. */
	FOR l IN SELECT * FROM dicom.layer x WHERE x.pipeline = p.name AND x.kind = 'matview' ORDER BY x.place, x.name
	LOOP
		PERFORM dicom.mark_days(p.name, l.name, p.epoch, ARRAY['infinity'::date]);
		PERFORM dicom.refresh_layer_days(p.name, l.name, p.epoch, ARRAY['infinity'::date]);
	END LOOP;
	PERFORM dicom.note_progress(run, done => 1);
	RETURN false;
END
$$;
COMMENT ON FUNCTION dicom.step_switch(bigint) IS 'lets readers see the next epoch, when all of it is there';

/* Some of the rows of an epoch that is over; children go before their parents. */
CREATE FUNCTION dicom.drop_old_epoch(p dicom.pipeline, old_epoch integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	private text := p.stage_schema || '_private';
	leaf regclass;
	gone bigint;
BEGIN
	FOR leaf IN
		SELECT t.relid
		FROM (
			SELECT format('%I.%I', l.storage_schema, l.storage_table)::regclass AS tab, 1000 + l.place AS place
			FROM dicom.layer l WHERE l.pipeline = p.name AND l.kind = 'table'
			UNION ALL
			SELECT format('%I.%I', private, x.name)::regclass, x.place
			FROM (VALUES ('compressed_images', 99), ('picture_frames', 98), ('images', 90), ('images_other', 89), ('series', 80), ('series_other', 79),
				('studies', 70), ('studies_other', 69), ('patients', 60), ('patients_of_day', 59), ('devices', 50), ('devices_of_day', 49)) x (name, place)
		) o,
		LATERAL (SELECT f.relid FROM pg_partition_tree(o.tab) f WHERE f.isleaf UNION SELECT o.tab WHERE NOT EXISTS (SELECT FROM pg_partition_tree(o.tab))) t
		ORDER BY o.place DESC
	LOOP
		EXECUTE format('DELETE FROM %s t WHERE t.ctid = ANY (ARRAY(SELECT x.ctid FROM %s x WHERE x.deid_epoch = $1 LIMIT 10000))', leaf, leaf) USING old_epoch;
		GET DIAGNOSTICS gone = ROW_COUNT;
		IF gone > 0 THEN
			RETURN gone;
		END IF;
	END LOOP;
	EXECUTE format($f$
		WITH gone AS (
			DELETE FROM %1$I.picture_objects o
			WHERE o.ctid = ANY (ARRAY(SELECT x.ctid FROM %1$I.picture_objects x WHERE x.deid_epoch = $1 LIMIT 10000))
			RETURNING o.folder, CASE WHEN o.state = 'done' THEN o.frames END AS frames
		),
		left_behind AS (
			INSERT INTO %1$I.picture_garbage AS g (folder, frames)
			SELECT o.folder, CASE WHEN bool_and(o.frames IS NOT NULL) THEN max(o.frames) END FROM gone o GROUP BY o.folder
			ON CONFLICT (folder) DO UPDATE SET frames = CASE WHEN g.frames IS NULL OR excluded.frames IS NULL THEN NULL ELSE greatest(g.frames, excluded.frames) END
		)
		SELECT count(*) FROM gone$f$, private)
	INTO gone
	USING old_epoch;
	IF gone = 0 THEN
		DELETE FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.epoch = old_epoch;
		UPDATE dicom.pipeline x SET old_epochs = array_remove(x.old_epochs, old_epoch) WHERE x.name = p.name;
	END IF;
	RETURN gone;
END
$$;
COMMENT ON FUNCTION dicom.drop_old_epoch(dicom.pipeline, integer) IS 'removes some of the rows of an epoch that nobody sees any more; how many; the epoch is forgotten when there are none';
