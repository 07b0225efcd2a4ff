
/* --- raw files of finished days in colder storage: src/pipeline --- */

CREATE FUNCTION dicom.set_storage_class
(
	server text,
	keys text[],
	storage_class text,
	OUT key text,
	OUT day date,
	OUT old_etag text,
	OUT etag text,
	OUT error_code text,
	OUT error text
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dicom_set_storage_class' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.set_storage_class(text, text[], text) IS
	'moves objects to another storage class, in place, and the catalog with them: for a sync they have not changed; one that is not as the catalog knows it is left alone; a row for each, with its new etag or why it failed; needs USAGE on the server';

CREATE FUNCTION dicom.archivable(server text, days date[], before timestamptz, classes text[], after text, most integer, OUT day date, OUT key text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dicom_archivable' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1000;
COMMENT ON FUNCTION dicom.archivable(text, date[], timestamptz, text[], text, integer) IS
	'objects of these days behind a key that have not changed since a moment and are in one of these storage classes; needs USAGE on the server';

CREATE FUNCTION dicom.restore_objects(server text, keys text[], days integer, tier text DEFAULT 'Standard', OUT key text, OUT error_code text, OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dicom_restore_objects' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.restore_objects(text, text[], integer, text) IS
	'asks the store to make archived objects readable for so many days, which takes it hours (tier: Standard, Bulk, Expedited); a row for each, with why it failed; needs USAGE on the server';

/* Those that a move into this one makes colder. A class that nobody knows is colder than STANDARD alone. */
CREATE FUNCTION dicom.warmer_classes(storage_class text)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(array_agg(c.name), '{}')
FROM (VALUES ('STANDARD', 0), ('REDUCED_REDUNDANCY', 0), ('STANDARD_IA', 1), ('ONEZONE_IA', 1), ('GLACIER_IR', 2), ('GLACIER', 3), ('DEEP_ARCHIVE', 4)) c (name, cold)
WHERE c.cold < (VALUES (CASE warmer_classes.storage_class WHEN 'STANDARD' THEN 0 WHEN 'GLACIER_IR' THEN 2 WHEN 'GLACIER' THEN 3 WHEN 'DEEP_ARCHIVE' THEN 4 ELSE 1 END))
	AND c.name <> warmer_classes.storage_class
$$;
COMMENT ON FUNCTION dicom.warmer_classes(text) IS 'the storage classes that objects leave for another';

/* Days of files with which every step is done, under every epoch. */
CREATE FUNCTION dicom.finished_days(p dicom.pipeline)
RETURNS date[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	days date[];
	waiting date[];
	raw_days date[];
BEGIN
	SELECT array_agg(d.day) INTO days
	FROM dicom.layer_day d
	WHERE d.pipeline = p.name AND d.layer = quote_ident(p.stage_schema) AND d.epoch = p.epoch AND d.state = 'fresh'
		AND NOT EXISTS (
			SELECT FROM dicom.layer_day o
			WHERE o.pipeline = p.name AND o.day = d.day AND o.epoch = ANY (dicom.epochs_of(p)) AND o.state <> 'fresh'
				AND o.layer IN (quote_ident(p.stage_schema), format('%I.compressed_images', p.stage_schema), format('parquet %I.studies', p.raw_schema),
					format('parquet %I.series', p.raw_schema), format('parquet %I.images', p.raw_schema)));
	/* What is made of them is waiting by the days of its rows. */
	SELECT array_agg(DISTINCT d.day) INTO waiting
	FROM dicom.layer_day d
	JOIN dicom.layer l ON l.pipeline = d.pipeline AND l.name = d.layer AND (l.kind = 'table' OR l.kind = 'export' AND l.table_name NOT LIKE 'raw/%')
	WHERE d.pipeline = p.name AND d.epoch = ANY (dicom.epochs_of(p)) AND d.state <> 'fresh';
	IF waiting IS NOT NULL AND days IS NOT NULL THEN
		EXECUTE format('SELECT array_agg(DISTINCT i.source_day) FROM %I.images i WHERE i.deid_day = ANY ($1)', p.stage_schema || '_private') INTO raw_days USING waiting;
		days := ARRAY(SELECT u.day FROM unnest(days) u (day) WHERE u.day <> ALL (coalesce(raw_days, '{}')));
	END IF;
	RETURN coalesce(days, '{}');
END
$$;
COMMENT ON FUNCTION dicom.finished_days(dicom.pipeline) IS 'days of files of which everything is made that is to be made';

/* Rows and pictures are made of a version of a file: it has another etag now, and is the same. */
CREATE FUNCTION dicom.rename_versions(p dicom.pipeline, moved jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tab text;
BEGIN
	FOR tab IN
		SELECT format('%I.%I', n.nspname, c.relname)
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = p.stage_schema || '_private'
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
			AND 3 = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('source_key', 'source_etag', 'source_day'))
	LOOP
		EXECUTE format($f$
			UPDATE %s t SET source_etag = m.etag
			FROM jsonb_to_recordset($1) m (key text, day date, old_etag text, etag text)
			WHERE t.source_day = m.day AND t.source_key = m.key AND t.source_etag = m.old_etag$f$, tab)
		USING moved;
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.rename_versions(dicom.pipeline, jsonb) IS 'notes the new etags of files that have moved, wherever the old ones are: key, day, old_etag, etag';

CREATE FUNCTION dicom.step_archive(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record := dicom.run_of(run);
	p dicom.pipeline := found.p;
	r dicom.run_log := found.r;
	age interval := dicom.pipeline_option(p.options, 'archive_after')::interval;
	class text := dicom.pipeline_option(p.options, 'archive_class');
	keys text[];
	moved bigint;
	renamed jsonb;
	failed jsonb;
BEGIN
	IF age IS NULL THEN
		RETURN false;
	END IF;
	keys := ARRAY(SELECT a.key FROM dicom.archivable(p.raw, dicom.finished_days(p), clock_timestamp() - age, dicom.warmer_classes(class), coalesce(r.cursor, ''), 100) a);
	IF cardinality(keys) = 0 THEN
		RETURN false;
	END IF;
	SELECT count(*) FILTER (WHERE m.error IS NULL),
		jsonb_agg(to_jsonb(m)) FILTER (WHERE m.error IS NULL AND m.etag <> m.old_etag),
		jsonb_agg(jsonb_build_object('object_key', m.key, 'day', m.day, 'reason', 'failed', 'error_code', m.error_code, 'message', m.error)) FILTER (WHERE m.error IS NOT NULL)
	INTO moved, renamed, failed
	FROM dicom.set_storage_class(p.raw, keys, class) m;
	IF renamed IS NOT NULL THEN
		PERFORM dicom.rename_versions(p, renamed);
	END IF;
	UPDATE dicom.failure f
	SET resolved_at = clock_timestamp(), next_attempt = NULL
	WHERE f.pipeline = p.name AND f.step = 'archive' AND f.object_key = ANY (keys) AND f.resolved_at IS NULL;
	IF failed IS NOT NULL THEN
		PERFORM dicom.note_failures(p.name, 'archive', failed);
	END IF;
	PERFORM dicom.note_progress(run, done => cardinality(keys), updated => moved, failed => cardinality(keys) - moved);
	PERFORM dicom.set_cursor(run, keys[cardinality(keys)]);
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.step_archive(bigint) IS 'moves some raw files of finished days to another storage class';
