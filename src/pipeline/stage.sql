
/* --- from the files of days to rows of stage: src/pipeline --- */

CREATE FUNCTION dicom.catalog_days(server text)
RETURNS TABLE (day date, seen_at timestamptz)
AS 'MODULE_PATHNAME', 'dicom_catalog_days' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION dicom.catalog_days(text) IS 'the days of the objects that the catalog of a server has; needs USAGE on the server';

CREATE FUNCTION dicom.day_sizes(server text, days date[], since timestamptz[])
RETURNS TABLE (day date, objects bigint, changed bigint)
AS 'MODULE_PATHNAME', 'dicom_day_sizes' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION dicom.day_sizes(text, date[], timestamptz[]) IS
	'how many objects of these days the catalog has, and how many of them were read since a moment; needs USAGE on the server';

CREATE FUNCTION dicom.objects_of_days(server text, days date[])
RETURNS TABLE (day date, key text, etag text, size bigint, state text, error_code text, error text)
AS 'MODULE_PATHNAME', 'dicom_objects_of_days' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION dicom.objects_of_days(text, date[]) IS 'the objects of these days, as the catalog has them; needs USAGE on the server';

CREATE FUNCTION dicom.failed_objects(server text)
RETURNS TABLE (day date, key text, error_code text, error text, next_attempt timestamptz)
AS 'MODULE_PATHNAME', 'dicom_failed_objects' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION dicom.failed_objects(text) IS 'the objects that the last syncs could not have, though they are there; needs USAGE on the server';

CREATE FUNCTION dicom.forget_objects(server text, days date[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_forget_objects' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.forget_objects(text, date[]) IS 'makes the next sync read the objects of these days again, but for archived ones, which cannot be read; how many; needs USAGE on the server';

CREATE FUNCTION dicom.retry_objects(server text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_retry_objects' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.retry_objects(text) IS 'makes the next sync try objects that failed, however lately; how many; needs USAGE on the server';

CREATE FUNCTION dicom.retry_copies(source text, target text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_retry_copies' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.retry_copies(text, text) IS
	'makes the next copying try objects that failed, however lately; how many; needs USAGE on both servers';

CREATE FUNCTION dicom.take_stale_days(server text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_take_stale_days' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.take_stale_days(text) IS
	'takes the days that syncs of a server found changed, and makes them stale in every pipeline over it; needs USAGE on the server';

/* --- what is stale --- */

CREATE FUNCTION dicom.mark_days(pipeline text, layer text, epoch integer, days date[])
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO dicom.layer_day AS d (pipeline, layer, epoch, day, state, stale_since, touched_at)
SELECT mark_days.pipeline, mark_days.layer, mark_days.epoch, u.day, 'stale', clock_timestamp(), clock_timestamp()
FROM (SELECT DISTINCT d.day FROM unnest(days) d (day)) u
WHERE u.day IS NOT NULL
ON CONFLICT ON CONSTRAINT layer_day_pkey DO UPDATE
SET state = 'stale',
	stale_since = CASE WHEN d.state = 'fresh' THEN excluded.stale_since ELSE coalesce(d.stale_since, excluded.stale_since) END,
	touched_at = excluded.touched_at,
	next_attempt = NULL
$$;
COMMENT ON FUNCTION dicom.mark_days(text, text, integer, date[]) IS 'makes days of a layer stale';

/*
 * What becomes stale below a layer whose rows of these days have changed. A table that takes its day from there has the same days. One
 * that reads patients or devices beside something with a day has changed on every day of a patient that has: `known` are those
 * where more than the first and the last day of a patient or a device has changed, `seen` all. A materialized view is
 * refreshed as a whole, which is day infinity; a plain view passes on what it gets.
 */
CREATE FUNCTION dicom.mark_children(pipeline text, parent text, epoch integer, days date[], known date[] DEFAULT NULL, seen date[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	child record;
	touched date[];
BEGIN
	FOR child IN
		SELECT l.name, l.kind, p.gives_day, p.columns && ARRAY['first_seen', 'last_seen'] AS reads_seen
		FROM dicom.layer_parent p
		JOIN dicom.layer l ON l.pipeline = p.pipeline AND l.name = p.layer
		WHERE p.pipeline = mark_children.pipeline AND p.parent = mark_children.parent AND l.kind IN ('table', 'view', 'matview', 'export')
	LOOP
		touched := CASE WHEN child.gives_day OR known IS NULL THEN days WHEN child.reads_seen THEN seen ELSE known END;
		CONTINUE WHEN coalesce(cardinality(touched), 0) = 0;
		IF child.kind = 'matview' THEN
			PERFORM dicom.mark_days(pipeline, child.name, epoch, ARRAY['infinity'::date]);
		ELSIF child.kind = 'view' THEN
			PERFORM dicom.mark_children(pipeline, child.name, epoch, touched);
		ELSE
			PERFORM dicom.mark_days(pipeline, child.name, epoch, touched);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.mark_children(text, text, integer, date[], date[], date[]) IS 'makes days stale in what is made from a layer whose days have changed';

/* --- temporary tables of a run: emptied by each commit --- */

CREATE FUNCTION dicom.create_stage_work(pipeline dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
AS $$
DECLARE
	private text := quote_ident(pipeline.stage_schema || '_private');
	made text := 'dicom_files_' || pipeline.id;
	e record;
BEGIN
	IF to_regclass('pg_temp.' || made) IS NOT NULL THEN
		RETURN;
	END IF;
	EXECUTE format('CREATE TEMPORARY TABLE %I ON COMMIT DELETE ROWS AS SELECT NULL::date AS source_day, f.* FROM %s.raw_files f WITH NO DATA', made, private);
	FOR e IN SELECT * FROM dicom.stage_entities()
	LOOP
		EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE %s.%I) ON COMMIT DELETE ROWS', format('dicom_new_%s_%s', pipeline.id, e.entity), private,
			e.entity || CASE WHEN e.has_files THEN '' ELSE '_of_day' END);
		EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE %s.%I, change_action text, change_day date, change_source_day date, change_visible boolean, change_known boolean) '
			'ON COMMIT DELETE ROWS', format('dicom_diff_%s_%s', pipeline.id, e.entity), private, e.entity);
	END LOOP;
	CREATE TEMPORARY TABLE IF NOT EXISTS dicom_objects
		(day date, key text COLLATE "C", etag text COLLATE "C", size bigint, state text, error_code text, error text) ON COMMIT DELETE ROWS;
	CREATE TEMPORARY TABLE IF NOT EXISTS dicom_changes
		(entity text, action text, row_key text, old_day date, new_day date, old_source_day date, new_source_day date, visible boolean, known boolean)
		ON COMMIT DELETE ROWS;
END
$$;
COMMENT ON FUNCTION dicom.create_stage_work(dicom.pipeline) IS 'the temporary tables that days are computed in';

CREATE FUNCTION dicom.drop_stage_work(pipeline dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
AS $$
DECLARE
	e record;
BEGIN
	EXECUTE format('DROP TABLE IF EXISTS pg_temp.%I, pg_temp.%I', 'dicom_files_' || pipeline.id, format('dicom_diff_%s_pictures', pipeline.id));
	FOR e IN SELECT * FROM dicom.stage_entities()
	LOOP
		EXECUTE format('DROP TABLE IF EXISTS pg_temp.%I, pg_temp.%I', format('dicom_new_%s_%s', pipeline.id, e.entity), format('dicom_diff_%s_%s', pipeline.id, e.entity));
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.drop_stage_work(dicom.pipeline) IS 'drops the temporary tables that days are computed in';

/* Which objects there are, and what the catalog has of those that can be read: no request is made. */
CREATE FUNCTION dicom.load_files(pipeline dicom.pipeline, days date[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
SET jit = off
AS $$
DECLARE
	keys text[];
	last text := '';
	columns text;
	files text := format('pg_temp.dicom_files_%s', pipeline.id);
	loaded bigint;
BEGIN
	DELETE FROM pg_temp.dicom_objects;
	DELETE FROM pg_temp.dicom_changes;
	EXECUTE format('DELETE FROM %s', files);
	INSERT INTO pg_temp.dicom_objects SELECT * FROM dicom.objects_of_days(pipeline.raw, days);
	GET DIAGNOSTICS loaded = ROW_COUNT;
	SELECT string_agg(format('f.%I', a.attname), ', ' ORDER BY a.attnum) INTO columns
	FROM pg_attribute a
	WHERE a.attrelid = files::regclass AND a.attnum > 1;
	LOOP
		SELECT array_agg(k.key ORDER BY k.key), max(k.key) INTO keys, last
		FROM (SELECT o.key FROM pg_temp.dicom_objects o WHERE o.state <> 'failed' AND o.key > last ORDER BY o.key LIMIT 10000) k;
		EXIT WHEN keys IS NULL;
		EXECUTE format('INSERT INTO %s SELECT coalesce(f.study_date, ''-infinity''), %s FROM %I.raw_files f '
			'WHERE f.filename = ANY ($1) AND coalesce(f.study_date, ''-infinity'') = ANY ($2)', files, columns, pipeline.stage_schema || '_private')
		USING keys, days;
	END LOOP;
	RETURN loaded;
END
$$;
COMMENT ON FUNCTION dicom.load_files(dicom.pipeline, date[]) IS 'fills temporary tables with what the catalog knows of the objects of days; how many there are';

/* The rows that the files of the days give an entity: of studies and series one for each day, of images one for each file. */
CREATE FUNCTION dicom.load_rows(pipeline dicom.pipeline, epoch integer, entity text, row_key text, has_files boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	target text := format('pg_temp.dicom_new_%s_%s', pipeline.id, entity);
	files text := format('pg_temp.dicom_files_%s r', pipeline.id);
	names text;
	expressions text;
	source text;
BEGIN
	SELECT string_agg(quote_ident(c.name), ', ' ORDER BY c.place), string_agg(format('%s AS %I', c.expression, c.name), ', ' ORDER BY c.place)
	INTO names, expressions
	FROM (
		SELECT s.column_name AS name, s.expression, s.ordinal AS place FROM dicom.stage_columns(pipeline, entity, epoch) s
		UNION ALL
		SELECT m.name, m.expression, 10000
		FROM (VALUES
			('patient_key', dicom.raw_key('patients', epoch)),
			('device_key', dicom.raw_key('devices', epoch)),
			('series_key', dicom.raw_key('series', epoch)),
			('burned_in', CASE dicom.pipeline_option(pipeline.options, 'burned_in') WHEN 'quarantine' THEN dicom.raw_burned_in() ELSE 'NULL::text' END),
			('study_date', 'NULL::date'),
			('own_id', format('dicom.full_hash(r.patient_id, ''patient_id'', %s)', epoch)),
			('other_ids', format('(SELECT array_agg(DISTINCT dicom.full_hash(o.id, ''patient_id'', %s)) FROM unnest(string_to_array(r.key_other_patient_ids, ''\'')) o (id) WHERE o.id <> '''')', epoch))
		) m (name, expression)
		WHERE NOT EXISTS (SELECT FROM dicom.stage_columns(pipeline, entity, epoch) s WHERE s.column_name = m.name)
	) c
	JOIN pg_attribute a ON a.attrelid = target::regclass AND a.attname = c.name AND NOT a.attisdropped;
	source := CASE entity
		WHEN 'studies' THEN format('(SELECT DISTINCT ON (r.source_day, r.study_instance_uid COLLATE "C") r.* FROM %s WHERE r.study_instance_uid <> '''' '
			'ORDER BY r.source_day, r.study_instance_uid COLLATE "C", r.filename) r', files)
		WHEN 'series' THEN format('(SELECT DISTINCT ON (r.source_day, r.series_instance_uid COLLATE "C", r.study_instance_uid COLLATE "C") r.* FROM %s '
			'WHERE r.series_instance_uid <> '''' ORDER BY r.source_day, r.series_instance_uid COLLATE "C", r.study_instance_uid COLLATE "C", r.filename) r', files)
		WHEN 'images' THEN files
		ELSE format('(SELECT DISTINCT ON (r.source_day, r.row_key) r.* FROM (SELECT r.*, %s AS row_key FROM %s) r '
			'WHERE r.row_key IS NOT NULL ORDER BY r.source_day, r.row_key, r.filename) r', dicom.raw_key(entity, epoch), files)
	END;
	/* The day of a patient's or a device's row is that of the study, which is no column of theirs. */
	IF NOT has_files THEN
		expressions := expressions || format(', (%s) AS "day of study"',
			coalesce((SELECT s.expression FROM dicom.stage_columns(pipeline, 'studies', epoch) s WHERE s.column_name = 'study_date'), 'NULL::date'));
	END IF;
	EXECUTE format('DELETE FROM %s', target);
	EXECUTE format('INSERT INTO %s (deid_epoch, source_day, source_key, source_etag, source_size, deid_day, %s) '
		'SELECT $1, x."day of file", x."key of file", x."etag of file", x."size of file", coalesce(x.%I, ''-infinity''), %s '
		'FROM (SELECT r.source_day AS "day of file", r.filename AS "key of file", r.etag AS "etag of file", r.size AS "size of file", %s FROM %s) x '
		'WHERE x.%I IS NOT NULL',
		target, names, CASE WHEN has_files THEN 'study_date' ELSE 'day of study' END, names, expressions, source, row_key)
	USING epoch;
END
$$;
COMMENT ON FUNCTION dicom.load_rows(dicom.pipeline, integer, text, text, boolean) IS 'fills a temporary table with the rows that the loaded files give an entity';

/* --- merging --- */

/* The pieces of SQL that merging two tables of the same columns is made of. */
CREATE FUNCTION dicom.merge_pieces(tab regclass, shown regclass, OUT columns text, OUT new_columns text, OUT assignments text, OUT old_row text, OUT new_row text, OUT old_shown text, OUT new_shown text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT
	string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
	string_agg(format('n.%I', a.attname), ', ' ORDER BY a.attnum),
	string_agg(format('%I = n.%I', a.attname, a.attname), ', ' ORDER BY a.attnum),
	string_agg(format('o.%I', a.attname), ', ' ORDER BY a.attnum),
	string_agg(format('n.%I', a.attname), ', ' ORDER BY a.attnum),
	string_agg(format('o.%I', a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE v.attname IS NOT NULL),
	string_agg(format('n.%I', a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE v.attname IS NOT NULL)
FROM pg_attribute a
LEFT JOIN pg_attribute v ON v.attrelid = shown AND v.attname = a.attname
WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION dicom.merge_pieces(regclass, regclass) IS 'lists of the columns of a table, and of those that its view shows, as SQL for merging';

/*
 * A merge first finds out what differs, into a temporary table, and then applies that. Finding out compares two sets of the same size, of which
 * the planner may think that they are small: it must not compare each row with each (enable_nestloop). Looking a key up is left to the
 * index all the same (LATERAL, OFFSET 0). Applying goes by the primary key.
 */
CREATE FUNCTION dicom.apply_diff(tab regclass, diff text, row_key text[], by_day boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	m record;
	actions text[];
	same text := (SELECT string_agg(format('t.%1$I = n.%1$I', k), ' AND ') FROM unnest('deid_epoch'::text || row_key) k)
		|| CASE WHEN by_day THEN ' AND t.deid_day = n.change_day' ELSE '' END;
BEGIN
	SELECT * INTO m FROM dicom.merge_pieces(tab, NULL);
	EXECUTE format('SELECT array_agg(DISTINCT n.change_action) FROM pg_temp.%I n', diff) INTO actions;
	IF 'deleted' = ANY (actions) THEN
		EXECUTE format('DELETE FROM %s t USING pg_temp.%I n WHERE n.change_action = ''deleted'' AND %s', tab, diff, same);
	END IF;
	IF 'updated' = ANY (actions) THEN
		EXECUTE format('UPDATE %s t SET %s FROM pg_temp.%I n WHERE n.change_action = ''updated'' AND %s', tab, m.assignments, diff, same);
	END IF;
	IF 'inserted' = ANY (actions) THEN
		EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM pg_temp.%I n WHERE n.change_action = ''inserted''', tab, m.columns, m.new_columns, diff);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.apply_diff(regclass, text, text[], boolean) IS 'deletes, updates and inserts what a temporary table says; by_day: rows are looked for in the partition of their day';

CREATE FUNCTION dicom.count_diff
(
	diff text,
	day_column text,
	visible text,
	OUT inserted bigint,
	OUT updated bigint,
	OUT deleted bigint,
	OUT touched date[],
	OUT counts jsonb
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format($f$
		SELECT count(*) FILTER (WHERE n.change_action = 'inserted'), count(*) FILTER (WHERE n.change_action = 'updated'),
			count(*) FILTER (WHERE n.change_action = 'deleted'),
			(SELECT array_agg(DISTINCT d.day) FROM pg_temp.%1$I n, unnest(ARRAY[n.change_day, CASE WHEN n.change_action <> 'deleted' THEN n.deid_day END]) d (day)
				WHERE d.day IS NOT NULL AND %3$s),
			(SELECT jsonb_object_agg(c.day, jsonb_build_array(c.inserted, c.updated, c.deleted)) FROM (
				SELECT n.%2$I AS day, count(*) FILTER (WHERE n.change_action = 'inserted') AS inserted,
					count(*) FILTER (WHERE n.change_action = 'updated') AS updated, count(*) FILTER (WHERE n.change_action = 'deleted') AS deleted
				FROM pg_temp.%1$I n GROUP BY 1) c)
		FROM pg_temp.%1$I n$f$, diff, day_column, visible)
	INTO inserted, updated, deleted, touched, counts;
END
$$;
COMMENT ON FUNCTION dicom.count_diff(text, text, text) IS
	'counts what a temporary table says: of all, and by a day column (inserted, updated, deleted); touched are the days, before and after, of rows n of which a condition holds';

/*
 * What makes the rows of a table of files those that its days now have. Of all files that give a row of one key, whatever their days, the first
 * one has it; the rows of others wait in T_other.
 */
CREATE FUNCTION dicom.diff_rows(pipeline dicom.pipeline, epoch integer, days date[], entity text, row_key text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_nestloop = off
AS $$
DECLARE
	p record;
BEGIN
	SELECT * INTO p FROM dicom.merge_pieces(format('%I.%I', pipeline.stage_schema || '_private', entity)::regclass,
		format('%I.%I', pipeline.stage_schema, entity)::regclass);
	EXECUTE format($f$
		WITH touched AS MATERIALIZED (
			SELECT n.%2$I AS k FROM pg_temp.%3$I n
			UNION
			SELECT t.%2$I FROM %1$s t WHERE t.source_day = ANY ($2) AND t.deid_epoch = $1
			UNION
			SELECT w.%2$I FROM %4$s w WHERE w.source_day = ANY ($2) AND w.deid_epoch = $1
		),
		old AS MATERIALIZED (
			SELECT o.* FROM touched k CROSS JOIN LATERAL (SELECT * FROM %1$s t WHERE t.deid_epoch = $1 AND t.%2$I = k.k OFFSET 0) o
		),
		lost AS MATERIALIZED (
			SELECT o.* FROM touched k CROSS JOIN LATERAL (SELECT * FROM %4$s w WHERE w.deid_epoch = $1 AND w.%2$I = k.k OFFSET 0) o
		),
		candidate AS MATERIALIZED (
			SELECT %5$s FROM pg_temp.%3$I
			UNION ALL
			SELECT %5$s FROM old o WHERE o.source_day <> ALL ($2) AND NOT EXISTS (SELECT FROM pg_temp.%6$I f WHERE f.filename = o.source_key)
			UNION ALL
			SELECT %5$s FROM lost o WHERE o.source_day <> ALL ($2) AND NOT EXISTS (SELECT FROM pg_temp.%6$I f WHERE f.filename = o.source_key)
		),
		winner AS MATERIALIZED (
			SELECT DISTINCT ON (c.%2$I) c.* FROM candidate c ORDER BY c.%2$I, c.source_key, c.source_day DESC
		),
		loser AS MATERIALIZED (
			SELECT DISTINCT ON (c.%2$I, c.source_key) c.*
			FROM candidate c
			JOIN winner n ON n.%2$I = c.%2$I
			WHERE c.source_key <> n.source_key
			ORDER BY c.%2$I, c.source_key, c.source_day DESC
		),
		unlost AS (
			DELETE FROM %4$s w USING lost l
			WHERE w.deid_epoch = $1 AND w.%2$I = l.%2$I AND w.source_key = l.source_key
				AND NOT EXISTS (SELECT FROM loser n WHERE n.%2$I = l.%2$I AND n.source_key = l.source_key)
		),
		lost_now AS (
			INSERT INTO %4$s AS o (%5$s)
			SELECT %5$s FROM loser
			ON CONFLICT (deid_epoch, %2$I, source_key) DO UPDATE SET %7$s WHERE ROW(%8$s)::record *<> ROW(%9$s)::record
		)
		INSERT INTO pg_temp.%10$I (%5$s, change_action, change_day, change_source_day, change_visible)
		SELECT %11$s, CASE WHEN o.deid_epoch IS NULL THEN 'inserted' ELSE 'updated' END, o.deid_day, o.source_day,
			o.deid_epoch IS NULL OR ROW(%12$s)::record *<> ROW(%13$s)::record
		FROM winner n
		LEFT JOIN old o ON o.%2$I = n.%2$I
		WHERE o.deid_epoch IS NULL OR ROW(%8$s)::record *<> ROW(%11$s)::record
		UNION ALL
		SELECT %8$s, 'deleted', o.deid_day, o.source_day, true
		FROM old o
		WHERE NOT EXISTS (SELECT FROM winner n WHERE n.%2$I = o.%2$I)$f$,
		format('%I.%I', pipeline.stage_schema || '_private', entity), row_key, format('dicom_new_%s_%s', pipeline.id, entity),
		format('%I.%I', pipeline.stage_schema || '_private', entity || '_other'), p.columns, 'dicom_files_' || pipeline.id,
		replace(p.assignments, ' = n.', ' = excluded.'), p.old_row, replace(p.new_row, 'n.', 'excluded.'),
		format('dicom_diff_%s_%s', pipeline.id, entity), p.new_row, p.old_shown, p.new_shown)
	USING epoch, days;
END
$$;
COMMENT ON FUNCTION dicom.diff_rows(dicom.pipeline, integer, date[], text, text) IS
	'finds out what the loaded rows change in the table of studies, series or images, into a temporary table; losers are merged at once';

CREATE FUNCTION dicom.merge_rows(pipeline dicom.pipeline, epoch integer, days date[], entity text, row_key text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	diff text := format('dicom_diff_%s_%s', pipeline.id, entity);
BEGIN
	EXECUTE format('DELETE FROM pg_temp.%I', diff);
	PERFORM dicom.diff_rows(pipeline, epoch, days, entity, row_key);
	PERFORM dicom.apply_diff(format('%I.%I', pipeline.stage_schema || '_private', entity)::regclass, diff, ARRAY[row_key],
		dicom.pipeline_option(pipeline.options, 'partition_by') <> 'none');
	EXECUTE format($f$
		INSERT INTO pg_temp.dicom_changes (entity, action, row_key, old_day, new_day, old_source_day, new_source_day, visible)
		SELECT $1, n.change_action, n.%I, n.change_day, CASE WHEN n.change_action <> 'deleted' THEN n.deid_day END,
			n.change_source_day, CASE WHEN n.change_action <> 'deleted' THEN n.source_day END, n.change_visible
		FROM pg_temp.%I n$f$, row_key, diff)
	USING entity;
END
$$;
COMMENT ON FUNCTION dicom.merge_rows(dicom.pipeline, integer, date[], text, text) IS 'merges the loaded rows of studies, series or images into their table; what it changed is in a temporary table';

/*
 * Patients and devices: each day says what it knows of them in T_of_day. The row of T is as the last of these days has it, with the first and
 * the last day of all.
 */
CREATE FUNCTION dicom.diff_days_seen(pipeline dicom.pipeline, epoch integer, days date[], entity text, row_key text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_nestloop = off
AS $$
DECLARE
	p record;
BEGIN
	SELECT * INTO p FROM dicom.merge_pieces(format('%I.%I', pipeline.stage_schema || '_private', entity || '_of_day')::regclass, NULL);
	EXECUTE format($f$
		WITH old AS MATERIALIZED (
			SELECT * FROM %1$I.%2$I t WHERE t.source_day = ANY ($2) AND t.deid_epoch = $1
		)
		INSERT INTO pg_temp.%3$I (%4$s, change_action, change_day)
		SELECT %5$s, CASE WHEN o.deid_epoch IS NULL THEN 'inserted' ELSE 'updated' END, o.deid_day
		FROM pg_temp.%6$I n
		LEFT JOIN old o ON o.%7$I = n.%7$I AND o.source_day = n.source_day
		WHERE o.deid_epoch IS NULL OR ROW(%8$s)::record *<> ROW(%5$s)::record
		UNION ALL
		SELECT %8$s, 'deleted', o.deid_day
		FROM old o
		WHERE NOT EXISTS (SELECT FROM pg_temp.%6$I n WHERE n.%7$I = o.%7$I AND n.source_day = o.source_day)$f$,
		pipeline.stage_schema || '_private', entity || '_of_day', format('dicom_diff_%s_%s', pipeline.id, entity), p.columns, p.new_row,
		format('dicom_new_%s_%s', pipeline.id, entity), row_key, p.old_row)
	USING epoch, days;
END
$$;
COMMENT ON FUNCTION dicom.diff_days_seen(dicom.pipeline, integer, date[], text, text) IS 'finds out what the loaded days say otherwise of patients or devices, into a temporary table';

CREATE FUNCTION dicom.diff_seen(pipeline dicom.pipeline, epoch integer, entity text, row_key text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_nestloop = off
AS $$
DECLARE
	tab text := format('%I.%I', pipeline.stage_schema || '_private', entity);
	p record;
	known text;
BEGIN
	SELECT * INTO p FROM dicom.merge_pieces(tab::regclass, format('%I.%I', pipeline.stage_schema, entity)::regclass);
	/* Without what first_seen and last_seen say, has anything changed that is shown? */
	SELECT string_agg(format('o.%I', a.attname), ', ' ORDER BY a.attnum) INTO known
	FROM pg_attribute a
	WHERE a.attrelid = format('%I.%I', pipeline.stage_schema, entity)::regclass AND a.attnum > 0 AND a.attname NOT IN ('first_seen', 'last_seen');
	EXECUTE format($f$
		WITH touched AS MATERIALIZED (
			SELECT DISTINCT c.row_key AS k FROM pg_temp.dicom_changes c WHERE c.entity = $2 AND c.action = 'day'
		),
		old AS MATERIALIZED (
			SELECT o.* FROM touched k CROSS JOIN LATERAL (SELECT * FROM %1$s t WHERE t.deid_epoch = $1 AND t.%2$I = k.k OFFSET 0) o
		),
		seen AS MATERIALIZED (
			SELECT o.* FROM touched k CROSS JOIN LATERAL (SELECT * FROM %3$s t WHERE t.deid_epoch = $1 AND t.%2$I = k.k OFFSET 0) o
		),
		span AS (
			SELECT s.%2$I, min(nullif(s.deid_day, '-infinity')) AS first_seen, max(nullif(s.deid_day, '-infinity')) AS last_seen FROM seen s GROUP BY s.%2$I
		),
		last AS (
			SELECT DISTINCT ON (s.%2$I) s.* FROM seen s ORDER BY s.%2$I, s.source_day DESC, s.source_key
		),
		winner AS MATERIALIZED (
			SELECT %4$s FROM last l JOIN span s ON s.%2$I = l.%2$I
		)
		INSERT INTO pg_temp.%5$I (%6$s, change_action, change_day, change_visible, change_known)
		SELECT %7$s, CASE WHEN o.deid_epoch IS NULL THEN 'inserted' ELSE 'updated' END, o.deid_day,
			o.deid_epoch IS NULL OR ROW(%8$s)::record *<> ROW(%9$s)::record, o.deid_epoch IS NULL OR ROW(%10$s)::record *<> ROW(%11$s)::record
		FROM winner n
		LEFT JOIN old o ON o.%2$I = n.%2$I
		WHERE o.deid_epoch IS NULL OR ROW(%12$s)::record *<> ROW(%7$s)::record
		UNION ALL
		SELECT %12$s, 'deleted', o.deid_day, true, true
		FROM old o
		WHERE NOT EXISTS (SELECT FROM winner n WHERE n.%2$I = o.%2$I)$f$,
		tab, row_key, format('%I.%I', pipeline.stage_schema || '_private', entity || '_of_day'),
		(SELECT string_agg(CASE WHEN a.attname IN ('first_seen', 'last_seen') THEN format('s.%I', a.attname)
			WHEN a.attname = 'deid_day' THEN 'coalesce(s.last_seen, ''-infinity'') AS deid_day' ELSE format('l.%I', a.attname) END, ', ' ORDER BY a.attnum)
			FROM pg_attribute a WHERE a.attrelid = tab::regclass AND a.attnum > 0 AND NOT a.attisdropped),
		format('dicom_diff_%s_%s', pipeline.id, entity), p.columns, p.new_row, p.old_shown, p.new_shown, known, replace(known, 'o.', 'n.'), p.old_row)
	USING epoch, entity;
END
$$;
COMMENT ON FUNCTION dicom.diff_seen(dicom.pipeline, integer, text, text) IS 'finds out what all days together say otherwise of patients or devices, into a temporary table';

CREATE FUNCTION dicom.merge_seen(pipeline dicom.pipeline, epoch integer, days date[], entity text, row_key text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	diff text := format('dicom_diff_%s_%s', pipeline.id, entity);
BEGIN
	EXECUTE format('DELETE FROM pg_temp.%I', diff);
	PERFORM dicom.diff_days_seen(pipeline, epoch, days, entity, row_key);
	PERFORM dicom.apply_diff(format('%I.%I', pipeline.stage_schema || '_private', entity || '_of_day')::regclass, diff, ARRAY[row_key, 'source_day'], false);
	EXECUTE format($f$
		WITH taken AS (DELETE FROM pg_temp.%I n RETURNING n.*)
		INSERT INTO pg_temp.dicom_changes (entity, action, row_key, old_day, new_day)
		SELECT $1, 'day', n.%I, n.change_day, CASE WHEN n.change_action <> 'deleted' THEN n.deid_day END FROM taken n$f$, diff, row_key)
	USING entity;
	/* A day that was asked for is computed anew, also what its files say no otherwise than before. */
	EXECUTE format($f$
		INSERT INTO pg_temp.dicom_changes (entity, action, row_key)
		SELECT DISTINCT $1, 'day', t.%1$I
		FROM dicom.layer_day d
		JOIN %2$I.%3$I t ON t.source_day = d.day AND t.deid_epoch = d.epoch
		WHERE d.pipeline = $2 AND d.layer = $3 AND d.epoch = $4 AND d.day = ANY ($5) AND d.forced$f$, row_key, pipeline.stage_schema || '_private', entity || '_of_day')
	USING entity, pipeline.name, quote_ident(pipeline.stage_schema), epoch, days;
	PERFORM dicom.diff_seen(pipeline, epoch, entity, row_key);
	PERFORM dicom.apply_diff(format('%I.%I', pipeline.stage_schema || '_private', entity)::regclass, diff, ARRAY[row_key], false);
	EXECUTE format($f$
		INSERT INTO pg_temp.dicom_changes (entity, action, row_key, old_day, new_day, visible, known)
		SELECT $1, n.change_action, n.%I, n.change_day, CASE WHEN n.change_action <> 'deleted' THEN n.deid_day END, n.change_visible, n.change_known
		FROM pg_temp.%I n$f$, row_key, diff)
	USING entity;
END
$$;
COMMENT ON FUNCTION dicom.merge_seen(dicom.pipeline, integer, date[], text, text) IS 'merges what the loaded days say of patients or devices; what it changed is in a temporary table';

/* --- what came of each object --- */

CREATE FUNCTION dicom.note_failures(pipeline text, step text, objects jsonb)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO dicom.failure AS f (pipeline, step, object_key, day, reason, error_code, message, first_at, last_at, next_attempt)
SELECT DISTINCT ON (o.object_key) note_failures.pipeline, note_failures.step, o.object_key, o.day, o.reason, o.error_code, o.message,
	clock_timestamp(), clock_timestamp(), o.next_attempt
FROM jsonb_to_recordset(objects) o (object_key text, day date, reason text, error_code text, message text, next_attempt timestamptz)
ORDER BY o.object_key
ON CONFLICT (pipeline, step, object_key) WHERE object_key IS NOT NULL DO UPDATE
SET day = excluded.day,
	reason = excluded.reason,
	error_code = excluded.error_code,
	message = excluded.message,
	count = CASE WHEN f.resolved_at IS NULL THEN f.count ELSE 0 END + 1,
	first_at = CASE WHEN f.resolved_at IS NULL THEN f.first_at ELSE excluded.first_at END,
	last_at = excluded.last_at,
	next_attempt = excluded.next_attempt,
	resolved_at = NULL
$$;
COMMENT ON FUNCTION dicom.note_failures(text, text, jsonb) IS 'writes objects that failed into dicom.failure: object_key, day, reason, error_code, message, next_attempt';

CREATE FUNCTION dicom.resolve_failures(pipeline text, step text, days date[], but_keys text[])
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE dicom.failure f
SET resolved_at = clock_timestamp(), next_attempt = NULL
WHERE f.pipeline = resolve_failures.pipeline AND f.step = resolve_failures.step AND f.object_key IS NOT NULL AND f.day = ANY (days)
	AND f.resolved_at IS NULL AND f.object_key <> ALL (but_keys)
$$;
COMMENT ON FUNCTION dicom.resolve_failures(text, text, date[], text[]) IS 'says of the objects of days that they fail no longer, but for some';

/* Each object of the days has given an image, or is among these, or among those that the sync could not have. */
CREATE FUNCTION dicom.account_for_objects(pipeline dicom.pipeline, epoch integer, days date[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	private text := pipeline.stage_schema || '_private';
	p record;
	failed jsonb;
	keys text[];
BEGIN
	SELECT * INTO p FROM dicom.merge_pieces(format('%I.images', private)::regclass, format('%I.images', pipeline.stage_schema)::regclass);
	EXECUTE format($f$
		WITH bad AS (
			SELECT o.key AS object_key, o.day,
				CASE WHEN f.filename IS NOT NULL THEN 'incomplete' ELSE 'unreadable' END AS reason,
				CASE WHEN f.filename IS NOT NULL THEN '22004' ELSE coalesce(o.error_code, '22P03') END AS error_code,
				CASE WHEN f.filename IS NOT NULL THEN 'there is no SOPInstanceUID' ELSE coalesce(o.error, 'there is no data set') END AS message
			FROM pg_temp.dicom_objects o
			LEFT JOIN pg_temp.%1$I f ON f.filename = o.key
			LEFT JOIN pg_temp.%2$I n ON n.source_key = o.key
			WHERE n.source_key IS NULL AND o.state <> 'failed'
			UNION ALL
			SELECT o.source_key, o.source_day,
				CASE WHEN ROW(%3$s)::record *<> ROW(%4$s)::record OR o.source_size <> n.source_size
						OR (o.source_etag <> n.source_etag AND o.source_etag ~ '^[0-9a-f]{32}$' AND n.source_etag ~ '^[0-9a-f]{32}$')
					THEN 'conflict' ELSE 'duplicate' END,
				'23505', 'another object with a smaller key holds the same SOPInstanceUID'
			FROM (
				SELECT x.sop_instance_uid FROM pg_temp.%2$I x
				UNION
				SELECT c.row_key FROM pg_temp.dicom_changes c WHERE c.entity = 'images'
			) k
			CROSS JOIN LATERAL (SELECT * FROM %5$I.images_other w WHERE w.deid_epoch = $1 AND w.sop_instance_uid = k.sop_instance_uid OFFSET 0) o
			CROSS JOIN LATERAL (SELECT * FROM %5$I.images t WHERE t.deid_epoch = $1 AND t.sop_instance_uid = k.sop_instance_uid OFFSET 0) n
		)
		SELECT coalesce(jsonb_agg(to_jsonb(b)), '[]'), coalesce(array_agg(b.object_key), '{}') FROM bad b$f$,
		'dicom_files_' || pipeline.id, format('dicom_new_%s_images', pipeline.id),
		(SELECT string_agg('o.' || quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
			WHERE a.attrelid = format('%I.images', pipeline.stage_schema)::regclass AND a.attnum > 0 AND a.attname <> 'filename'),
		(SELECT string_agg('n.' || quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
			WHERE a.attrelid = format('%I.images', pipeline.stage_schema)::regclass AND a.attnum > 0 AND a.attname <> 'filename'),
		private)
	INTO failed, keys
	USING epoch;
	IF cardinality(keys) > 0 THEN
		PERFORM dicom.note_failures(pipeline.name, 'stage', failed);
	END IF;
	PERFORM dicom.resolve_failures(pipeline.name, 'stage', days, keys);
	/* A file of another day may have come into its own. */
	EXECUTE format($f$
		UPDATE dicom.failure f
		SET resolved_at = clock_timestamp()
		FROM pg_temp.dicom_changes c
		JOIN %I.images t ON t.deid_epoch = $1 AND t.sop_instance_uid = c.row_key
		WHERE c.entity = 'images' AND c.action = 'updated' AND c.new_source_day <> ALL ($3)
			AND f.pipeline = $2 AND f.step = 'stage' AND f.object_key = t.source_key AND f.resolved_at IS NULL$f$, private)
	USING epoch, pipeline.name, days;
	RETURN cardinality(keys);
END
$$;
COMMENT ON FUNCTION dicom.account_for_objects(dicom.pipeline, integer, date[]) IS 'notes the objects of the loaded days that gave no image, and why; how many';

/* --- the whole of it --- */

CREATE FUNCTION dicom.touched_days(of_entity text)
RETURNS date[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT array_agg(DISTINCT d.day)
		FROM pg_temp.dicom_changes c, unnest(ARRAY[c.old_day, c.new_day]) d (day)
		WHERE c.entity = of_entity AND c.action <> 'day' AND c.visible AND d.day IS NOT NULL
	);
END
$$;
COMMENT ON FUNCTION dicom.touched_days(text) IS 'days of rows that a merge has changed visibly, before or after';

/* The days on which patients or devices were seen, or were seen before the merge, that have changed. */
CREATE FUNCTION dicom.days_seen(pipeline dicom.pipeline, epoch integer, of_entity text, row_key text, only_known boolean)
RETURNS date[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	days date[];
BEGIN
	EXECUTE format($f$
		WITH changed AS (
			SELECT DISTINCT c.row_key AS k FROM pg_temp.dicom_changes c
			WHERE c.entity = $2 AND c.action <> 'day' AND CASE WHEN $3 THEN c.known ELSE c.visible END
		)
		SELECT array_agg(DISTINCT d.day)
		FROM (
			SELECT o.deid_day AS day FROM changed k CROSS JOIN LATERAL (SELECT t.deid_day FROM %I.%I t WHERE t.deid_epoch = $1 AND t.%I = k.k OFFSET 0) o
			UNION ALL
			SELECT u.day FROM changed k JOIN pg_temp.dicom_changes c ON c.entity = $2 AND c.row_key = k.k, unnest(ARRAY[c.old_day, c.new_day]) u (day)
			WHERE u.day IS NOT NULL
		) d$f$, pipeline.stage_schema || '_private', of_entity || '_of_day', row_key)
	INTO days
	USING epoch, of_entity, only_known;
	RETURN days;
END
$$;
COMMENT ON FUNCTION dicom.days_seen(dicom.pipeline, integer, text, text, boolean) IS 'days of patients or devices that a merge has changed';

CREATE FUNCTION dicom.propagate_stage(pipeline dicom.pipeline, epoch integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e record;
	days date[];
BEGIN
	FOR e IN SELECT * FROM dicom.stage_entities()
	LOOP
		days := dicom.touched_days(e.entity);
		CONTINUE WHEN days IS NULL;
		IF e.has_files THEN
			PERFORM dicom.mark_children(pipeline.name, format('%I.%I', pipeline.stage_schema, e.entity), epoch, days);
		ELSE
			PERFORM dicom.mark_children(pipeline.name, format('%I.%I', pipeline.stage_schema, e.entity), epoch, days,
				coalesce(dicom.days_seen(pipeline, epoch, e.entity, e.row_key, true), '{}'), dicom.days_seen(pipeline, epoch, e.entity, e.row_key, false));
		END IF;
	END LOOP;
	PERFORM dicom.mark_days(pipeline.name, format('%I.compressed_images', pipeline.stage_schema), epoch, array_agg(DISTINCT d.day))
	FROM pg_temp.dicom_changes c, unnest(ARRAY[c.old_source_day, c.new_source_day]) d (day)
	WHERE c.entity = 'images' AND d.day IS NOT NULL
	HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION dicom.propagate_stage(dicom.pipeline, integer) IS 'makes stale what is made from the rows that a merge has changed';

/*
 * A merge may take away the study of a series whose own day is stale too, and not merged yet, because a file has changed both. Such days belong
 * into one transaction: those of rows that still refer to what has gone.
 */
CREATE FUNCTION dicom.related_days(pipeline dicom.pipeline, epoch integer, days date[])
RETURNS date[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	related date[];
BEGIN
	IF NOT EXISTS (SELECT FROM pg_temp.dicom_changes c WHERE c.action = 'deleted' AND c.entity <> 'images') THEN
		RETURN NULL;
	END IF;
	EXECUTE format($f$
		SELECT array_agg(DISTINCT r.source_day)
		FROM pg_temp.dicom_changes g
		CROSS JOIN LATERAL (
			SELECT c.source_day FROM %1$I.studies c WHERE g.entity = 'patients' AND c.deid_epoch = $1 AND c.patient_key = g.row_key
			UNION ALL
			SELECT c.source_day FROM %1$I.series c WHERE g.entity = 'studies' AND c.deid_epoch = $1 AND c.study_instance_uid = g.row_key
			UNION ALL
			SELECT c.source_day FROM %1$I.series c WHERE g.entity = 'devices' AND c.deid_epoch = $1 AND c.device_key = g.row_key
			UNION ALL
			SELECT c.source_day FROM %1$I.images c WHERE g.entity = 'series' AND c.deid_epoch = $1 AND c.series_key = g.row_key
			OFFSET 0
		) r
		WHERE g.action = 'deleted' AND r.source_day <> ALL ($2)$f$, pipeline.stage_schema || '_private')
	INTO related
	USING epoch, days;
	RETURN related;
END
$$;
COMMENT ON FUNCTION dicom.related_days(dicom.pipeline, integer, date[]) IS 'days that must be merged together with these, for their rows refer to what a merge has removed; NULL: none';

/*
 * Refreshes days of stage, in the transaction of the caller. Where a partition is missing nothing is done but to say so: making one is
 * not for a transaction that merges. Where other days must come along, the caller is to roll back and to give them all.
 */
CREATE FUNCTION dicom.stage_days
(
	pipeline text,
	epoch integer,
	days date[],
	OUT missing jsonb,
	OUT related date[],
	OUT objects bigint,
	OUT inserted bigint,
	OUT updated bigint,
	OUT deleted bigint,
	OUT failed bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
SET jit = off
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	private text := p.stage_schema || '_private';
	partition_by text := dicom.pipeline_option(p.options, 'partition_by');
	began timestamptz := clock_timestamp();
	before jsonb;
	e record;
	needed date[];
BEGIN
	SELECT coalesce(jsonb_object_agg(d.day, d.touched_at), '{}') INTO before
	FROM dicom.layer_day d
	WHERE d.pipeline = p.name AND d.layer = quote_ident(p.stage_schema) AND d.epoch = stage_days.epoch AND d.day = ANY (days);
	PERFORM dicom.create_stage_work(p);
	objects := dicom.load_files(p, days);
	FOR e IN SELECT * FROM dicom.stage_entities() s ORDER BY s.place
	LOOP
		PERFORM dicom.load_rows(p, epoch, e.entity, e.row_key, e.has_files);
		IF e.has_files AND partition_by <> 'none' THEN
			EXECUTE format('SELECT dicom.missing_partitions($1, $2, $3, array_agg(DISTINCT deid_day)) FROM pg_temp.%I', format('dicom_new_%s_%s', p.id, e.entity))
			INTO needed USING private, e.entity, partition_by;
			IF needed IS NOT NULL THEN
				missing := coalesce(missing, '{}') || jsonb_build_object(e.entity, needed);
			END IF;
		END IF;
	END LOOP;
	IF missing IS NOT NULL THEN
		RETURN;
	END IF;
	FOR e IN SELECT * FROM dicom.stage_entities() s ORDER BY s.place
	LOOP
		IF e.has_files THEN
			PERFORM dicom.merge_rows(p, epoch, days, e.entity, e.row_key);
		ELSE
			PERFORM dicom.merge_seen(p, epoch, days, e.entity, e.row_key);
		END IF;
	END LOOP;
	related := dicom.related_days(p, epoch, days);
	IF related IS NOT NULL THEN
		RETURN;
	END IF;
	failed := dicom.account_for_objects(p, epoch, days);
	PERFORM dicom.forget_pictures(p, epoch);
	PERFORM dicom.propagate_stage(p, epoch);
	PERFORM dicom.mark_children(p.name, quote_ident(p.stage_schema), epoch, days);
	SELECT count(*) FILTER (WHERE c.action = 'inserted'), count(*) FILTER (WHERE c.action = 'updated'), count(*) FILTER (WHERE c.action = 'deleted')
	INTO inserted, updated, deleted
	FROM pg_temp.dicom_changes c;
	/* Whatever became stale again meanwhile stays so. */
	UPDATE dicom.layer_day d
	SET state = 'fresh', forced = false, stale_since = NULL, refreshed_at = clock_timestamp(),
		row_count = (SELECT count(*) FROM pg_temp.dicom_objects o WHERE o.day = d.day),
		inserted = s.inserted, updated = s.updated, deleted = s.deleted,
		seconds = extract(epoch FROM clock_timestamp() - began) / cardinality(days),
		failures = 0, next_attempt = NULL, error_code = NULL, error = NULL
	FROM (
		SELECT u.day, count(*) FILTER (WHERE c.action = 'inserted') AS inserted, count(*) FILTER (WHERE c.action = 'updated') AS updated,
			count(*) FILTER (WHERE c.action = 'deleted') AS deleted
		FROM unnest(days) u (day)
		LEFT JOIN pg_temp.dicom_changes c ON coalesce(c.new_source_day, c.old_source_day) = u.day
		GROUP BY u.day
	) s
	WHERE d.pipeline = p.name AND d.layer = quote_ident(p.stage_schema) AND d.epoch = stage_days.epoch AND d.day = s.day
		AND d.touched_at IS NOT DISTINCT FROM (before ->> d.day::text)::timestamptz;
	UPDATE dicom.failure f
	SET resolved_at = clock_timestamp(), next_attempt = NULL
	WHERE f.pipeline = p.name AND f.step = 'stage' AND f.object_key IS NULL AND f.layer = quote_ident(p.stage_schema) AND f.day = ANY (days)
		AND f.resolved_at IS NULL;
END
$$;
COMMENT ON FUNCTION dicom.stage_days(text, integer, date[]) IS
	'refreshes days of the stage schema under an epoch, in this transaction; missing: nothing was done, for these partitions do not exist yet; related: to be rolled back, and done together with these days';
