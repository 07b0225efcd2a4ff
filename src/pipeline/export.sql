
/* --- tables as Parquet files: src/pipeline --- */

/*
 * An exported table is a layer of its own, whose days follow those of the table; refreshing one writes a file. A folder has one file, of one
 * name, and it is replaced as a whole: whoever lists folders at any moment finds each day once, old or new. Files named by their
 * content would stand side by side for a while, or leave a gap. What a file holds is known by a hash of its rows: rows that are the same are
 * not written again. The manifest comes last; what has no rows any more goes after the manifest has ceased to name it.
 */

CREATE TABLE dicom.export_table
(
	pipeline text COLLATE "C" NOT NULL REFERENCES dicom.pipeline ON UPDATE CASCADE ON DELETE CASCADE,
	table_name text COLLATE "C" NOT NULL,
	server text NOT NULL,
	folder text COLLATE "C" NOT NULL,
	partition_by text NOT NULL,
	changed boolean NOT NULL DEFAULT false,
	manifest_at timestamptz,
	PRIMARY KEY (pipeline, table_name),
	UNIQUE (server, folder)
);
COMMENT ON TABLE dicom.export_table IS 'tables that are, or were, exported as Parquet';
COMMENT ON COLUMN dicom.export_table.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.export_table.table_name IS 'schema and name, as SQL writes them';
COMMENT ON COLUMN dicom.export_table.server IS 'server that the files are on';
COMMENT ON COLUMN dicom.export_table.folder IS 'where, below its location';
COMMENT ON COLUMN dicom.export_table.partition_by IS 'template of the folders of days';
COMMENT ON COLUMN dicom.export_table.changed IS 'the manifest is to be written again';
COMMENT ON COLUMN dicom.export_table.manifest_at IS 'when it was last written';

CREATE TABLE dicom.export_file
(
	pipeline text COLLATE "C" NOT NULL,
	table_name text COLLATE "C" NOT NULL,
	partition text COLLATE "C" NOT NULL,
	first_day date NOT NULL,
	epoch integer NOT NULL,
	key text COLLATE "C" NOT NULL,
	rows bigint NOT NULL,
	bytes bigint NOT NULL,
	hash text COLLATE "C" NOT NULL,
	schema_version integer NOT NULL,
	exported_at timestamptz NOT NULL,
	gone boolean NOT NULL DEFAULT false,
	PRIMARY KEY (pipeline, table_name, partition),
	FOREIGN KEY (pipeline, table_name) REFERENCES dicom.export_table ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE dicom.export_file IS 'the Parquet files of exported tables';
COMMENT ON COLUMN dicom.export_file.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.export_file.table_name IS 'table';
COMMENT ON COLUMN dicom.export_file.partition IS 'folder of its days below that of the table';
COMMENT ON COLUMN dicom.export_file.first_day IS 'first of its days; -infinity: unknown';
COMMENT ON COLUMN dicom.export_file.epoch IS 'epoch of the key that its rows were compared under';
COMMENT ON COLUMN dicom.export_file.key IS 'key below the location of the server';
COMMENT ON COLUMN dicom.export_file.rows IS 'rows';
COMMENT ON COLUMN dicom.export_file.bytes IS 'bytes';
COMMENT ON COLUMN dicom.export_file.hash IS 'SHA-256 of rows and columns';
COMMENT ON COLUMN dicom.export_file.schema_version IS 'version in dicom.schemas';
COMMENT ON COLUMN dicom.export_file.exported_at IS 'when it was written';
COMMENT ON COLUMN dicom.export_file.gone IS 'there are no such rows any more: it is deleted as soon as the manifest does not name it';

CREATE TABLE dicom.schemas
(
	pipeline text COLLATE "C" NOT NULL REFERENCES dicom.pipeline ON UPDATE CASCADE ON DELETE CASCADE,
	table_name text COLLATE "C" NOT NULL,
	version integer NOT NULL,
	since timestamptz NOT NULL,
	hash text COLLATE "C" NOT NULL,
	columns jsonb NOT NULL,
	PRIMARY KEY (pipeline, table_name, version)
);
COMMENT ON TABLE dicom.schemas IS 'the columns of exported tables, as they were one after another';
COMMENT ON COLUMN dicom.schemas.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.schemas.table_name IS 'table';
COMMENT ON COLUMN dicom.schemas.version IS 'number, from 1';
COMMENT ON COLUMN dicom.schemas.since IS 'when it was first exported so';
COMMENT ON COLUMN dicom.schemas.hash IS 'SHA-256 of the columns';
COMMENT ON COLUMN dicom.schemas.columns IS 'names and types, in order';

DO $$
DECLARE
	tab text;
BEGIN
	FOREACH tab IN ARRAY ARRAY['export_table', 'export_file', 'schemas']
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE dicom.%I ENABLE ROW LEVEL SECURITY', tab);
		EXECUTE pg_catalog.format($f$
			CREATE POLICY of_owner ON dicom.%1$I
				USING (EXISTS (SELECT FROM dicom.pipeline p WHERE p.name = %1$I.pipeline))
				WITH CHECK (EXISTS (SELECT FROM dicom.pipeline p WHERE p.name = %1$I.pipeline))$f$, tab);
		EXECUTE pg_catalog.format('REVOKE ALL ON dicom.%I FROM PUBLIC', tab);
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON dicom.%I TO PUBLIC', tab);
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('dicom.%I', tab)::pg_catalog.regclass, '');
	END LOOP;
END
$$;

/* --- folders of days --- */

CREATE FUNCTION dicom.export_template(given text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE given WHEN 'day' THEN 'year={year}/month={month}/day={day}' WHEN 'month' THEN 'year={year}/month={month}' ELSE given END
$$;
COMMENT ON FUNCTION dicom.export_template(text) IS 'the folders that option export_partition means';

CREATE FUNCTION dicom.is_export_partition(given text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT t.template ~ '^[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.{}-]+(/[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.{}-]+)*$'
	AND regexp_replace(t.template, '\{(year|month|day)\}', '', 'g') !~ '[{}]'
	AND t.template LIKE '%{year}%' AND (t.template NOT LIKE '%{day}%' OR t.template LIKE '%{month}%')
FROM (SELECT dicom.export_template(given)) t (template)
$$;
COMMENT ON FUNCTION dicom.is_export_partition(text) IS 'is this a template of folders, name=value/name=value with {year}, {month} and {day}?';

CREATE FUNCTION dicom.export_partition(template text, day date)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN isfinite(day) THEN replace(replace(replace(template,
		'{year}', lpad(extract(year FROM day)::text, 4, '0')),
		'{month}', lpad(extract(month FROM day)::text, 2, '0')),
		'{day}', lpad(extract(day FROM day)::text, 2, '0'))
	ELSE regexp_replace(template, '=[^/]*\{[^/]*', '=__HIVE_DEFAULT_PARTITION__', 'g') END
$$;
COMMENT ON FUNCTION dicom.export_partition(text, date) IS 'the folder of a day; of the unknown day as Hive and its kin write NULL';

CREATE FUNCTION dicom.export_span(template text, day date, OUT first_day date, OUT end_day date)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN isfinite(day) THEN date_trunc(u.unit, day::timestamp)::date ELSE day END,
	CASE WHEN isfinite(day) THEN (date_trunc(u.unit, day::timestamp) + ('1 ' || u.unit)::interval)::date END
FROM (SELECT CASE WHEN template LIKE '%{day}%' THEN 'day' WHEN template LIKE '%{month}%' THEN 'month' ELSE 'year' END) u (unit)
$$;
COMMENT ON FUNCTION dicom.export_span(text, date) IS 'the first day of the folder that a day belongs to, and the one behind its last';

/* --- what is exported, and where to --- */

CREATE FUNCTION dicom.check_identified_server(server text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE s.srvname = server AND w.fdwname = 'dicom_fdw') THEN
		RAISE EXCEPTION 'there is no server "%" of dicom_fdw', server
			USING ERRCODE = 'undefined_object', HINT = 'CREATE SERVER makes one.';
	ELSIF NOT EXISTS (
		SELECT FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) o
		WHERE s.srvname = server AND o.option_name = 'identified' AND o.option_value = 'true')
	THEN
		RAISE EXCEPTION 'server "%" is not marked for identified data', server
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = format('ALTER SERVER %I OPTIONS (ADD identified ''true'') says that what identifies patients may be written there.', server);
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.check_identified_server(text) IS 'an error unless raw tables may be exported to a server';

/* Files that exist do not move; both kinds of folder side by side would double every row. */
CREATE FUNCTION dicom.check_export_change(p dicom.pipeline, given jsonb)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed jsonb := jsonb_strip_nulls(p.options || given);
BEGIN
	IF (dicom.pipeline_option(changed, 'export_partition') <> dicom.pipeline_option(p.options, 'export_partition')
			AND EXISTS (SELECT FROM dicom.export_file f WHERE f.pipeline = p.name))
		OR (dicom.pipeline_option(changed, 'export_raw_to') IS DISTINCT FROM dicom.pipeline_option(p.options, 'export_raw_to')
			AND EXISTS (SELECT FROM dicom.export_file f JOIN dicom.export_table t USING (pipeline, table_name)
				WHERE f.pipeline = p.name AND t.server = dicom.pipeline_option(p.options, 'export_raw_to')))
	THEN
		RAISE EXCEPTION 'files that were exported stay where they are'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = format('SELECT dicom.drop_export(%L) deletes them; the next run writes them anew.', p.name);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.check_export_change(dicom.pipeline, jsonb) IS 'an error where changed options would leave exported files behind';

CREATE FUNCTION dicom.exported_tables(p dicom.pipeline)
RETURNS TABLE (table_name text, parent text, server text, folder text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	wanted text[] := regexp_split_to_array(dicom.pipeline_option(p.options, 'export'), '\s*,\s*');
	raw_to text := dicom.pipeline_option(p.options, 'export_raw_to');
BEGIN
	RETURN QUERY
		SELECT l.name, l.name, p.stage,
			CASE WHEN l.kind = 'stage' THEN 'stage' WHEN l.schema_name = p.processed_schema THEN 'processed' ELSE l.schema_name END || '/' || l.table_name
		FROM dicom.layer l
		WHERE l.pipeline = p.name AND (l.kind = 'stage' AND 'stage' = ANY (wanted) OR l.kind = 'table' AND 'processed' = ANY (wanted));
	IF 'raw' = ANY (wanted) THEN
		IF raw_to IS NULL THEN
			RAISE EXCEPTION 'it is not said where raw tables are to be exported to'
				USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Set the option export_raw_to to a server with the option identified.';
		END IF;
		PERFORM dicom.check_identified_server(raw_to);
		RETURN QUERY
			SELECT format('%I.%I', p.raw_schema, e.entity), quote_ident(p.stage_schema), raw_to, 'raw/' || e.entity
			FROM dicom.stage_entities() e
			WHERE e.has_files;
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.exported_tables(dicom.pipeline) IS 'the tables that a pipeline exports, the layer that each takes its days from, and where to';

CREATE FUNCTION dicom.add_export(p dicom.pipeline, table_name text, parent text, server text, folder text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	name text := 'parquet ' || table_name;
	e integer;
BEGIN
	BEGIN
		INSERT INTO dicom.export_table AS t (pipeline, table_name, server, folder, partition_by)
		VALUES (p.name, table_name, server, folder, dicom.export_template(dicom.pipeline_option(p.options, 'export_partition')))
		ON CONFLICT ON CONSTRAINT export_table_pkey DO UPDATE
		SET server = excluded.server, folder = excluded.folder, partition_by = excluded.partition_by;
		INSERT INTO dicom.layer (pipeline, name, kind, schema_name, table_name)
		VALUES (p.name, name, 'export', 'server ' || server, folder);
	EXCEPTION WHEN unique_violation THEN
		RAISE EXCEPTION 'folder "%" of server "%" holds the tables of another pipeline', folder, server
			USING ERRCODE = 'unique_violation', HINT = 'Give each pipeline a stage server of its own.';
	END;
	INSERT INTO dicom.layer_parent (pipeline, layer, parent, gives_day) VALUES (p.name, name, parent, true);
	FOREACH e IN ARRAY dicom.epochs_of(p)
	LOOP
		PERFORM dicom.mark_days(p.name, name, e, dicom.days_of_layer(p.name, parent, e)
			|| ARRAY(SELECT d.day FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.layer = parent AND d.epoch = e AND parent = quote_ident(p.stage_schema))
			|| ARRAY(SELECT f.first_day FROM dicom.export_file f WHERE f.pipeline = p.name AND f.table_name = table_name));
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.add_export(dicom.pipeline, text, text, text, text) IS 'begins to export a table: all its days';

CREATE FUNCTION dicom.prepare_export(p dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
BEGIN
	/* A table that was dropped and made again has lost its link. */
	DELETE FROM dicom.layer l
	WHERE l.pipeline = p.name AND l.kind = 'export' AND NOT EXISTS (
		SELECT FROM dicom.exported_tables(p) x
		JOIN dicom.layer_parent c ON c.pipeline = p.name AND c.parent = x.parent
		WHERE l.name = 'parquet ' || x.table_name AND c.layer = l.name);
	FOR t IN
		SELECT x.* FROM dicom.exported_tables(p) x
		WHERE NOT EXISTS (SELECT FROM dicom.layer l WHERE l.pipeline = p.name AND l.name = 'parquet ' || x.table_name)
		ORDER BY x.table_name
	LOOP
		PERFORM dicom.add_export(p, t.table_name, t.parent, t.server, t.folder);
	END LOOP;
	/* After a rotation files hold rows of another epoch. */
	PERFORM dicom.mark_days(p.name, l.name, p.epoch, array_agg(f.first_day))
	FROM dicom.export_file f
	JOIN dicom.layer l ON l.pipeline = p.name AND l.kind = 'export' AND l.name = 'parquet ' || f.table_name
	WHERE f.pipeline = p.name AND f.epoch <> p.epoch AND NOT f.gone
	GROUP BY l.name;
	/* Whatever else wrote here has ended: the run has the pipeline's lock. */
	PERFORM dicom.sweep_uploads(x.server, x.folder || '/', interval '0')
	FROM dicom.export_table x
	JOIN dicom.layer l ON l.pipeline = p.name AND l.name = 'parquet ' || x.table_name
	WHERE x.pipeline = p.name AND EXISTS (SELECT FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = p.epoch AND d.state <> 'fresh');
END
$$;
COMMENT ON FUNCTION dicom.prepare_export(dicom.pipeline) IS 'sees which tables are to be exported, and clears what an interrupted run has left in the store';

/* --- schemas --- */

CREATE FUNCTION dicom.columns_of(relation regclass)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
FROM pg_attribute a
WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION dicom.columns_of(regclass) IS 'names and types of the columns of a table';

/* May whoever reads the one type be given the other? */
CREATE FUNCTION dicom.is_wider_type(old text, new text)
RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT old = new
	OR (old, new) IN (('smallint', 'integer'), ('smallint', 'bigint'), ('integer', 'bigint'), ('real', 'double precision'))
	OR (old ~ '^(character varying|character|name|text)(\(\d+\))?$' AND new ~ '^(character varying|text)$')
	OR (old ~ '^character varying\(\d+\)$' AND new ~ '^character varying\(\d+\)$'
		AND substring(old FROM '\d+')::integer <= substring(new FROM '\d+')::integer)
	OR (old ~ '^numeric\(\d+,\d+\)$' AND new ~ '^numeric\(\d+,\d+\)$' AND substring(old FROM ',(\d+)') = substring(new FROM ',(\d+)')
		AND substring(old FROM '\d+')::integer <= substring(new FROM '\d+')::integer)
$$;
COMMENT ON FUNCTION dicom.is_wider_type(text, text) IS 'can each value of a type be one of another?';

/* The version of a table's columns; an error where they have changed as readers cannot expect. */
CREATE FUNCTION dicom.check_schema(p dicom.pipeline, of_table text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	columns jsonb := dicom.columns_of(of_table::regclass);
	last dicom.schemas;
	broken text;
BEGIN
	SELECT * INTO last FROM dicom.schemas s WHERE s.pipeline = p.name AND s.table_name = of_table ORDER BY s.version DESC LIMIT 1;
	IF last.columns = columns THEN
		RETURN last.version;
	END IF;
	SELECT string_agg(CASE WHEN n.name IS NULL THEN format('column "%s" is gone', o.name) ELSE format('column "%s" was %s and is %s', o.name, o.type, n.type) END, ', ')
	INTO broken
	FROM jsonb_to_recordset(last.columns) o (name text, type text)
	LEFT JOIN jsonb_to_recordset(columns) n (name text, type text) ON n.name = o.name
	WHERE n.name IS NULL OR NOT dicom.is_wider_type(o.type, n.type);
	IF broken IS NOT NULL AND NOT dicom.pipeline_option(p.options, 'export_allow_schema_change')::boolean THEN
		RAISE EXCEPTION 'readers of the Parquet files of % would not expect this: %', of_table, broken
			USING ERRCODE = 'datatype_mismatch',
				HINT = format('SELECT dicom.alter_pipeline(%L, ''{"export_allow_schema_change": true}'') allows it.', p.name);
	END IF;
	INSERT INTO dicom.schemas (pipeline, table_name, version, since, hash, columns)
	VALUES (p.name, of_table, coalesce(last.version, 0) + 1, clock_timestamp(), encode(sha256(convert_to(columns::text, 'UTF8')), 'hex'), columns);
	/* All files of a table have the same columns. */
	PERFORM dicom.mark_days(p.name, 'parquet ' || of_table, p.epoch, (
		SELECT array_agg(f.first_day) FROM dicom.export_file f WHERE f.pipeline = p.name AND f.table_name = of_table AND NOT f.gone));
	RETURN coalesce(last.version, 0) + 1;
END
$$;
COMMENT ON FUNCTION dicom.check_schema(dicom.pipeline, text) IS
	'the version of the columns of an exported table; an error where one is gone, or has a type that is no wider, unless that is allowed';

/* --- files --- */

/* The hash and the file come from two looks at the table: where it has changed between them, the change has made the day stale again. */
CREATE FUNCTION dicom.export_days(p dicom.pipeline, of_table text, version integer, day date, OUT action text, OUT row_count bigint, OUT byte_count bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET TimeZone = 'UTC'
SET bytea_output = 'hex'
SET extra_float_digits = 1
SET jit = off
AS $$
DECLARE
	t dicom.export_table;
	l dicom.layer;
	old dicom.export_file;
	span record;
	folder text;
	rows_of text;
	sorted text;
	row_hash text;
	made record;
BEGIN
	SELECT * INTO STRICT t FROM dicom.export_table x WHERE x.pipeline = p.name AND x.table_name = of_table;
	SELECT * INTO l FROM dicom.layer x WHERE x.pipeline = p.name AND x.name = of_table;
	SELECT * INTO span FROM dicom.export_span(t.partition_by, day);
	folder := dicom.export_partition(t.partition_by, span.first_day);
	rows_of := format('FROM %s q WHERE ', of_table::regclass) || CASE
		WHEN span.end_day IS NULL THEN format('q.%I IS NULL', coalesce(l.day_column, 'study_date'))
		WHEN span.end_day = span.first_day + 1 THEN format('q.%I = %L', coalesce(l.day_column, 'study_date'), span.first_day)
		ELSE format('q.%1$I >= %2$L AND q.%1$I < %3$L', coalesce(l.day_column, 'study_date'), span.first_day, span.end_day) END;
	SELECT coalesce(string_agg(format('q.%I%s', k.k, CASE WHEN a.attcollation <> 0 THEN ' COLLATE "C"' ELSE '' END), ', ' ORDER BY k.place), 'q::text COLLATE "C"')
	INTO sorted
	FROM unnest(l.key) WITH ORDINALITY k (k, place)
	JOIN pg_attribute a ON a.attrelid = of_table::regclass AND a.attname = k.k;
	EXECUTE format('SELECT count(*), encode(sha256(coalesce(string_agg(sha256(convert_to(q::text, ''UTF8'')), ''\x''::bytea ORDER BY %s), '''') || convert_to($1, ''UTF8'')), ''hex'') %s',
		sorted, rows_of)
	INTO row_count, row_hash
	USING (SELECT s.hash FROM dicom.schemas s WHERE s.pipeline = p.name AND s.table_name = of_table AND s.version = export_days.version);
	SELECT * INTO old FROM dicom.export_file f WHERE f.pipeline = p.name AND f.table_name = of_table AND f.partition = folder;
	byte_count := 0;
	action := 'none';
	IF row_count = 0 THEN
		IF old.key IS NOT NULL AND NOT old.gone THEN
			UPDATE dicom.export_file f
			SET gone = true, epoch = p.epoch
			WHERE f.pipeline = p.name AND f.table_name = of_table AND f.partition = folder;
			action := 'deleted';
		END IF;
	ELSIF old.hash = row_hash AND NOT old.gone THEN
		UPDATE dicom.export_file f SET epoch = p.epoch WHERE f.pipeline = p.name AND f.table_name = of_table AND f.partition = folder AND f.epoch <> p.epoch;
	ELSE
		SELECT * INTO made
		FROM dicom.export_parquet(format('SELECT * %s ORDER BY %s', rows_of, sorted), t.server, format('%s/%s/data.parquet', t.folder, folder), '{"overwrite": true}');
		INSERT INTO dicom.export_file AS f (pipeline, table_name, partition, first_day, epoch, key, rows, bytes, hash, schema_version, exported_at)
		VALUES (p.name, of_table, folder, span.first_day, p.epoch, made.keys[1], made.rows, made.bytes, row_hash, version, clock_timestamp())
		ON CONFLICT ON CONSTRAINT export_file_pkey DO UPDATE
		SET epoch = excluded.epoch, key = excluded.key, rows = excluded.rows, bytes = excluded.bytes, hash = excluded.hash,
			schema_version = excluded.schema_version, exported_at = excluded.exported_at, gone = false;
		byte_count := made.bytes;
		action := CASE WHEN old.key IS NULL THEN 'inserted' ELSE 'updated' END;
	END IF;
	IF action <> 'none' THEN
		UPDATE dicom.export_table x SET changed = true WHERE x.pipeline = p.name AND x.table_name = of_table;
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.export_days(dicom.pipeline, text, integer, date) IS 'writes the file that a day belongs to, where its rows have changed';

CREATE FUNCTION dicom.export_manifest(p dicom.pipeline, of_table text)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object(
	'table', t.table_name, 'pipeline', (p).name, 'epoch', (p).epoch, 'written_at', clock_timestamp(), 'partition_by', t.partition_by,
	'schema', (SELECT jsonb_build_object('version', s.version, 'hash', s.hash, 'columns', s.columns)
		FROM dicom.schemas s WHERE s.pipeline = t.pipeline AND s.table_name = t.table_name ORDER BY s.version DESC LIMIT 1),
	'partitions', f.partitions, 'rows', f.rows, 'bytes', f.bytes, 'files', f.files)
FROM dicom.export_table t
CROSS JOIN LATERAL (
	SELECT count(*) AS partitions, coalesce(sum(x.rows), 0) AS rows, coalesce(sum(x.bytes), 0) AS bytes,
		coalesce(jsonb_agg(jsonb_build_object('key', x.key, 'partition', x.partition, 'rows', x.rows, 'bytes', x.bytes, 'hash', x.hash,
			'schema_version', x.schema_version, 'epoch', x.epoch, 'exported_at', x.exported_at) ORDER BY x.partition), '[]') AS files
	FROM dicom.export_file x
	WHERE x.pipeline = t.pipeline AND x.table_name = t.table_name AND NOT x.gone
) f
WHERE t.pipeline = (p).name AND t.table_name = of_table
$$;
COMMENT ON FUNCTION dicom.export_manifest(dicom.pipeline, text) IS 'what the manifest of an exported table says';

CREATE FUNCTION dicom.write_manifest(p dicom.pipeline, of_table text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t dicom.export_table;
	key text;
BEGIN
	SELECT * INTO STRICT t FROM dicom.export_table x WHERE x.pipeline = p.name AND x.table_name = of_table;
	key := t.folder || '/_manifest.json';
	PERFORM dicom.put_object(t.server, key, convert_to(dicom.export_manifest(p, of_table)::text, 'UTF8'), (dicom.head_object(t.server, key)).etag);
	UPDATE dicom.export_table x SET changed = false, manifest_at = clock_timestamp() WHERE x.pipeline = p.name AND x.table_name = of_table;
END
$$;
COMMENT ON FUNCTION dicom.write_manifest(dicom.pipeline, text) IS 'writes the manifest of an exported table, in place of the one that was there a moment ago and no other';

/* --- the step --- */

/* Files of one table, for as many stale days as fit into a short while; what fails is noted. False: the store does not answer, or is full. */
CREATE FUNCTION dicom.export_some(run bigint, p dicom.pipeline, of_table text, days date[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	this_layer text := 'parquet ' || of_table;
	template text := (SELECT t.partition_by FROM dicom.export_table t WHERE t.pipeline = p.name AND t.table_name = of_table);
	began timestamptz := clock_timestamp();
	file_began timestamptz;
	version integer;
	file record;
	done record;
	code text;
	message text;
	detail text;
	hint text;
BEGIN
	BEGIN
		version := dicom.check_schema(p, of_table);
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
		PERFORM dicom.note_failed_days(p.name, 'export', this_layer, p.epoch, days, code, dicom.safe_message(code, message));
		PERFORM dicom.note_progress(run, done => cardinality(days), failed => cardinality(days));
		PERFORM dicom.note_step_error(run, code, message);
		RETURN true;
	END;
	FOR file IN
		SELECT s.first_day, array_agg(u.day) AS days, jsonb_object_agg(u.day, d.touched_at) AS touched
		FROM unnest(days) u (day)
		CROSS JOIN LATERAL dicom.export_span(template, u.day) s
		JOIN dicom.layer_day d ON d.pipeline = p.name AND d.layer = this_layer AND d.epoch = p.epoch AND d.day = u.day
		GROUP BY s.first_day
		ORDER BY s.first_day DESC
	LOOP
		EXIT WHEN clock_timestamp() > began + interval '2 s' OR clock_timestamp() < began;
		file_began := clock_timestamp();
		BEGIN
			SELECT * INTO done FROM dicom.export_days(p, of_table, version, file.first_day);
			UPDATE dicom.layer_day d
			SET state = 'fresh', forced = false, stale_since = NULL, refreshed_at = clock_timestamp(), row_count = done.row_count,
				inserted = (done.action = 'inserted')::integer, updated = (done.action = 'updated')::integer, deleted = (done.action = 'deleted')::integer,
				seconds = extract(epoch FROM clock_timestamp() - file_began), failures = 0, next_attempt = NULL, error_code = NULL, error = NULL
			WHERE d.pipeline = p.name AND d.layer = this_layer AND d.epoch = p.epoch AND d.day = ANY (file.days)
				AND d.touched_at IS NOT DISTINCT FROM (file.touched ->> d.day::text)::timestamptz;
			PERFORM dicom.resolve_failed_days(p.name, 'export', this_layer, file.days);
			PERFORM dicom.note_progress(run, done => cardinality(file.days), bytes => done.byte_count, inserted => (done.action = 'inserted')::integer,
				updated => (done.action = 'updated')::integer, deleted => (done.action = 'deleted')::integer);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			PERFORM dicom.note_failed_days(p.name, 'export', this_layer, p.epoch, file.days, code, dicom.safe_message(code, message));
			PERFORM dicom.note_progress(run, done => cardinality(file.days), failed => cardinality(file.days));
			PERFORM dicom.note_step_error(run, code, message, detail, hint);
			IF code ~ '^(08|28|53|58)' THEN
				RETURN false;
			END IF;
		END;
	END LOOP;
	RETURN true;
END
$$;
COMMENT ON FUNCTION dicom.export_some(bigint, dicom.pipeline, text, date[]) IS 'exports days of a table, some of them';

/* Days whose table is not fresh wait, and with them the others of their folder. */
CREATE FUNCTION dicom.days_to_export(p dicom.pipeline, of_table text)
RETURNS date[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	this_layer text := 'parquet ' || of_table;
	template text := (SELECT t.partition_by FROM dicom.export_table t WHERE t.pipeline = p.name AND t.table_name = of_table);
	days date[] := ARRAY(SELECT d.day FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.layer = this_layer AND d.epoch = p.epoch AND d.state = 'stale');
	blocked date[];
BEGIN
	IF cardinality(days) = 0 THEN
		RETURN days;
	END IF;
	SELECT array_agg(DISTINCT (dicom.export_span(template, b.day)).first_day) INTO blocked FROM unnest(dicom.blocked_days(p.name, this_layer, p.epoch)) b (day);
	RETURN ARRAY(SELECT d.day FROM unnest(days) d (day) WHERE (dicom.export_span(template, d.day)).first_day <> ALL (coalesce(blocked, '{}')));
END
$$;
COMMENT ON FUNCTION dicom.days_to_export(dicom.pipeline, text) IS 'stale days of an exported table whose rows are fresh';

CREATE FUNCTION dicom.step_export(run bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record := dicom.run_of(run);
	p dicom.pipeline := found.p;
	r dicom.run_log := found.r;
	t dicom.export_table;
	days date[];
	obsolete text[];
BEGIN
	IF r.cursor IS NULL THEN
		PERFORM dicom.prepare_export(p);
		PERFORM dicom.set_cursor(run, 'write');
		RETURN EXISTS (SELECT FROM dicom.layer l WHERE l.pipeline = p.name AND l.kind = 'export');
	END IF;
	FOR t IN
		SELECT x.* FROM dicom.export_table x
		JOIN dicom.layer l ON l.pipeline = x.pipeline AND l.kind = 'export' AND l.name = 'parquet ' || x.table_name
		WHERE x.pipeline = p.name
		ORDER BY x.table_name
	LOOP
		days := dicom.days_to_export(p, t.table_name);
		IF cardinality(days) > 0 THEN
			/* Where the store does not answer, each day would take as long as the first to fail: the others wait for the next run. */
			RETURN dicom.export_some(run, p, t.table_name, days);
		END IF;
		IF t.changed THEN
			PERFORM dicom.write_manifest(p, t.table_name);
			RETURN true;
		END IF;
		obsolete := ARRAY(SELECT f.key FROM dicom.export_file f WHERE f.pipeline = p.name AND f.table_name = t.table_name AND f.gone ORDER BY f.key LIMIT 1000);
		IF cardinality(obsolete) > 0 THEN
			PERFORM dicom.delete_objects(t.server, obsolete);
			DELETE FROM dicom.export_file f WHERE f.pipeline = p.name AND f.table_name = t.table_name AND f.gone AND f.key = ANY (obsolete);
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;
COMMENT ON FUNCTION dicom.step_export(bigint) IS 'writes days of exported tables as Parquet, then the manifest, then deletes what the manifest names no more';

CREATE FUNCTION dicom.drop_export(pipeline text, only_table text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	t dicom.export_table;
	files bigint := 0;
BEGIN
	IF NOT dicom.lock_run('dicom.pipeline'::regclass, p.id, false) THEN
		RAISE EXCEPTION 'a run of pipeline "%" is in progress', p.name
			USING ERRCODE = 'object_in_use', HINT = 'See dicom.runs; dicom.pause() ends it.';
	END IF;
	FOR t IN SELECT * FROM dicom.export_table x WHERE x.pipeline = p.name AND (only_table IS NULL OR x.table_name = only_table)
	LOOP
		files := files + dicom.delete_objects(t.server, t.folder || '/_manifest.json'
			|| ARRAY(SELECT f.key FROM dicom.export_file f WHERE f.pipeline = p.name AND f.table_name = t.table_name)) - 1;
		DELETE FROM dicom.layer l WHERE l.pipeline = p.name AND l.kind = 'export' AND l.name = 'parquet ' || t.table_name;
		DELETE FROM dicom.export_table x WHERE x.pipeline = p.name AND x.table_name = t.table_name;
		DELETE FROM dicom.schemas s WHERE s.pipeline = p.name AND s.table_name = t.table_name;
	END LOOP;
	PERFORM dicom.unlock_run();
	RETURN files;
END
$$;
COMMENT ON FUNCTION dicom.drop_export(text, text) IS
	'deletes the Parquet files that a pipeline has exported, of one table or of all, and forgets their schemas; how many files there were. The next run exports anew what option export says';
