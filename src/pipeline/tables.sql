
/* --- the tables of the stage schema: src/pipeline --- */

/*
 * Rows are in a schema of their own, with the day and the key of the file that they are from, and with the epoch of their
 * pseudonyms; what users see is a view of the active epoch. A table T_other has the rows that lost T to an object with
 * a smaller key: where that one goes, the next one takes its place.
 */

CREATE FUNCTION dicom.stage_entities()
RETURNS TABLE (entity text, row_key text, place integer, has_files boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
	('patients', 'patient_key', 1, false),
	('devices', 'device_key', 2, false),
	('studies', 'study_instance_uid', 3, true),
	('series', 'series_key', 4, true),
	('images', 'sop_instance_uid', 5, true)
$$;
COMMENT ON FUNCTION dicom.stage_entities() IS
	'the entities of stage, the one column that identifies a row of each, parents first; has_files: a row is of one file, else of all days that a patient or a device was seen on';

CREATE FUNCTION dicom.raw_key(entity text, epoch integer)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE entity
	WHEN 'patients' THEN format($f$CASE
		WHEN r.patient_id <> '' THEN dicom.surrogate_key('patient', ARRAY[nullif(r.issuer_of_patient_id, ''), r.patient_id], %1$s)
		WHEN concat(r.key_other_patient_ids, r.key_patient_age, r.key_patient_birth_date, r.patient_name) <> ''
			THEN dicom.surrogate_key('patient', ARRAY[nullif(r.issuer_of_patient_id, ''), NULL, nullif(r.key_other_patient_ids, ''),
				nullif(r.key_patient_age, ''), nullif(r.key_patient_birth_date, ''), nullif(r.patient_name, '')], %1$s)
		END$f$, epoch)
	WHEN 'devices' THEN format($f$CASE
		WHEN concat(r.device_serial_number, r.manufacturer, r.manufacturer_model_name) <> ''
			THEN dicom.surrogate_key('device', ARRAY[nullif(r.device_serial_number, ''), nullif(r.manufacturer, ''),
				nullif(r.manufacturer_model_name, '')], %1$s)
		END$f$, epoch)
	WHEN 'series' THEN format($f$CASE
		WHEN r.series_instance_uid <> ''
			THEN dicom.surrogate_key('series', ARRAY[r.series_instance_uid, nullif(r.study_instance_uid, '')], %1$s)
		END$f$, epoch)
END
$$;
COMMENT ON FUNCTION dicom.raw_key(text, integer) IS
	'what identifies a patient, a device or a series of a study, under the key of an epoch: an expression over r, a row of a file';

/* What may show text about a patient: classes and modalities that write into the picture, and pictures of screens and paper. */
CREATE FUNCTION dicom.raw_burned_in()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT $f$CASE
	WHEN upper(btrim(r.burned_in_annotation)) = 'NO' THEN NULL
	WHEN upper(btrim(r.burned_in_annotation)) = 'YES' THEN 'BurnedInAnnotation is YES'
	WHEN upper(btrim(r.modality)) IN ('US', 'IVUS', 'BDUS', 'ECHO', 'SC', 'OT', 'XC', 'ES', 'GM', 'SM', 'DOC', 'SR', 'PR', 'HC', 'FID', 'PX', 'OP', 'OPM', 'OPT')
		THEN 'BurnedInAnnotation is not NO in a modality that writes into pictures'
	WHEN r.sop_class_uid ~ '^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(7|77|3|6|30|104)(\.|$)'
		THEN 'BurnedInAnnotation is not NO in a class of captured, photographed or ultrasound pictures'
	WHEN array_to_string(r.image_type, '\') ~* 'screen|capture|snapshot|report|dose.?(info|report|summary)|protocol'
		THEN 'BurnedInAnnotation is not NO in a picture of a screen or a report'
	WHEN upper(btrim(r.conversion_type)) IN ('WSD', 'DV', 'DI', 'DF', 'SD', 'SI', 'DRW')
		THEN 'BurnedInAnnotation is not NO in a converted picture'
	END$f$
$$;
COMMENT ON FUNCTION dicom.raw_burned_in() IS 'why an image may show text about a patient: an expression over r, a row of a file; NULL where it does not';

/* Working the rules out takes longer than a small day: a run does it once. */
CREATE FUNCTION dicom.refresh_stage_columns(pipeline dicom.pipeline)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	WITH fresh AS MATERIALIZED (
		SELECT k.epoch, e.entity, c.column_name::text, c.ordinal, format('(%s)::%s', c.expression, c.target_type) AS expression, c.target_type AS type
		FROM dicom.stage_entities() e, unnest(array_remove(ARRAY[pipeline.epoch, pipeline.next_epoch], NULL)) k (epoch),
			dicom.anonymized_columns(format('%I.%I', pipeline.raw_schema, e.entity)::regclass, dicom.pipeline_option(pipeline.options, 'profile'), k.epoch) c
	),
	gone AS (
		DELETE FROM dicom.stage_column c
		WHERE c.pipeline = pipeline.name
			AND NOT EXISTS (SELECT FROM fresh f WHERE f.epoch = c.epoch AND f.entity = c.entity AND f.column_name = c.column_name)
	)
	INSERT INTO dicom.stage_column AS c (pipeline, epoch, entity, column_name, ordinal, expression, type)
	SELECT pipeline.name, f.epoch, f.entity, f.column_name, f.ordinal, f.expression, f.type
	FROM fresh f
	ON CONFLICT ON CONSTRAINT stage_column_pkey DO UPDATE SET ordinal = excluded.ordinal, expression = excluded.expression, type = excluded.type
	WHERE (c.ordinal, c.expression, c.type) <> (excluded.ordinal, excluded.expression, excluded.type);
	RETURN md5((SELECT string_agg(concat_ws(' ', c.entity, c.column_name, c.expression), ',' ORDER BY c.entity, c.ordinal)
		FROM dicom.stage_column c WHERE c.pipeline = pipeline.name AND c.epoch = pipeline.epoch)
		|| dicom.pipeline_option(pipeline.options, 'burned_in') || dicom.raw_burned_in());
END
$$;
COMMENT ON FUNCTION dicom.refresh_stage_columns(dicom.pipeline) IS 'looks up what the rules make of each column; returns a fingerprint of that';

CREATE FUNCTION dicom.stage_columns(p dicom.pipeline, entity text, epoch integer)
RETURNS TABLE (ordinal integer, column_name text, expression text, type text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.ordinal, c.column_name, c.expression, c.type
FROM dicom.stage_column c
WHERE c.pipeline = p.name AND c.entity = stage_columns.entity AND c.epoch = stage_columns.epoch
ORDER BY c.ordinal
$$;
COMMENT ON FUNCTION dicom.stage_columns(dicom.pipeline, text, integer) IS
	'columns of an entity that survive the rules, the expression of each over r, a row of a file, and its type';

CREATE FUNCTION dicom.create_raw_tables(pipeline dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing text;
	columns text;
	differing text;
BEGIN
	SELECT string_agg(e.entity, ', ') INTO missing
	FROM unnest(ARRAY['patients', 'devices', 'studies', 'series', 'images', 'files', 'elements']) e (entity)
	WHERE to_regclass(format('%I.%I', pipeline.raw_schema, e.entity)) IS NULL;
	IF missing IS NOT NULL THEN
		EXECUTE format('IMPORT FOREIGN SCHEMA dicom LIMIT TO (%s) FROM SERVER %I INTO %I', missing, pipeline.raw, pipeline.raw_schema);
		PERFORM dicom.describe(quote_ident(pipeline.raw_schema)::regnamespace);
	END IF;
	SELECT string_agg(e.entity, ', ') INTO differing
	FROM dicom.stage_entities() e
	LEFT JOIN pg_foreign_table f ON f.ftrelid = to_regclass(format('%I.%I', pipeline.raw_schema, e.entity))
	LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
	WHERE s.srvname IS DISTINCT FROM pipeline.raw;
	IF differing IS NOT NULL THEN
		RAISE EXCEPTION 'tables of schema "%" are not those of server "%"', pipeline.raw_schema, pipeline.raw
			USING ERRCODE = 'wrong_object_type', DETAIL = format('Tables: %s', differing), HINT = 'Choose another schema with raw_schema.';
	END IF;
	SELECT string_agg(c.column_name, ', ') INTO differing
	FROM (
		SELECT a.attname AS column_name
		FROM dicom.stage_entities() e
		JOIN pg_attribute a ON a.attrelid = to_regclass(format('%I.%I', pipeline.raw_schema, e.entity)) AND a.attnum > 0 AND NOT a.attisdropped
		GROUP BY a.attname
		HAVING count(DISTINCT (a.atttypid, a.atttypmod, a.attfdwoptions)) > 1
	) c;
	IF differing IS NOT NULL THEN
		RAISE EXCEPTION 'columns of one name differ between tables of schema "%"', pipeline.raw_schema
			USING ERRCODE = 'datatype_mismatch', DETAIL = format('Columns: %s', differing), HINT = 'Give them one type and one tag.';
	END IF;
	/* One row per file with the columns of all entities: a header is looked at once. */
	SELECT string_agg(format('%I %s%s%s', c.attname, format_type(c.atttypid, c.atttypmod),
		CASE WHEN c.attname = 'filename' THEN ' COLLATE "C"' ELSE '' END,
		coalesce((SELECT ' OPTIONS (' || string_agg(format('%I %L', o.option_name, o.option_value), ', ') || ')'
			FROM pg_options_to_table(c.attfdwoptions) o), '')), ', ' ORDER BY c.place) INTO columns
	FROM (
		SELECT DISTINCT ON (a.attname) a.*, e.place * 10000 + a.attnum AS place
		FROM dicom.stage_entities() e
		JOIN pg_attribute a ON a.attrelid = to_regclass(format('%I.%I', pipeline.raw_schema, e.entity)) AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attname, e.place DESC
	) c;
	EXECUTE format($f$
		CREATE FOREIGN TABLE %I.raw_files (
			%s, etag text COLLATE "C", size bigint, conversion_type text,
			key_other_patient_ids text OPTIONS (tag 'OtherPatientIDs'),
			key_patient_age text OPTIONS (tag 'PatientAge'),
			key_patient_birth_date text OPTIONS (tag 'PatientBirthDate')
		) SERVER %I OPTIONS (entity 'images', freshness '24d', on_error 'ignore')$f$,
		pipeline.stage_schema || '_private', columns, pipeline.raw);
	EXECUTE format('COMMENT ON FOREIGN TABLE %I.raw_files IS %L', pipeline.stage_schema || '_private',
		'one row per file of pipeline ' || pipeline.name || ', with the columns of all entities, from the catalog');
END
$$;
COMMENT ON FUNCTION dicom.create_raw_tables(dicom.pipeline) IS 'the foreign tables of a pipeline: those of the raw schema, where they are missing, and one of its own';

/* A view is read with the rights of its owner, but a policy of dicom.pipeline asks who reads: this function answers to everybody. */
CREATE FUNCTION dicom.visible_epoch(pipeline text)
RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.epoch FROM dicom.pipeline p WHERE p.name = visible_epoch.pipeline
$$;
COMMENT ON FUNCTION dicom.visible_epoch(text) IS 'the epoch of the rows that readers of a pipeline see';

CREATE FUNCTION dicom.create_storage(schema text, tab text, columns text, row_key text[], partition_by text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	keys text := (SELECT string_agg(quote_ident(k), ', ') FROM unnest(row_key) k);
BEGIN
	EXECUTE format('CREATE TABLE %I.%I (%s, PRIMARY KEY (deid_epoch, %s%s))%s', schema, tab, columns, keys,
		CASE WHEN partition_by <> 'none' AND NOT row_key @> ARRAY['deid_day'] THEN ', deid_day' ELSE '' END,
		CASE WHEN partition_by <> 'none' THEN ' PARTITION BY RANGE (deid_day)' ELSE '' END);
	IF partition_by <> 'none' THEN
		PERFORM dicom.add_partitions(schema, tab, partition_by, ARRAY['-infinity'::date]);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.create_storage(text, text, text, text[], text) IS 'a table for rows of several epochs, partitioned or not';

/*
 * A partition is made beside the table, with a check that says what it holds, and attached: that takes a lock on the table that no reader
 * and no writer minds, for there is no default partition. Readers of the view compare the visible day, which is NULL where it is
 * unknown: the check lets the planner leave out partitions for it too.
 */
CREATE FUNCTION dicom.add_partitions(schema text, tab text, partition_by text, days date[])
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parent regclass := format('%I.%I', schema, tab)::regclass;
	first date;
	behind date;
	part text;
	made integer := 0;
BEGIN
	FOR first IN
		SELECT DISTINCT CASE WHEN d = '-infinity' THEN d WHEN partition_by = 'month' THEN date_trunc('month', d)::date ELSE d END
		FROM unnest(days) d
		ORDER BY 1
	LOOP
		part := left(tab, 50) || CASE WHEN first = '-infinity' THEN '_unknown'
			WHEN partition_by = 'month' THEN to_char(first, '_YYYY_MM') ELSE to_char(first, '_YYYY_MM_DD') END;
		CONTINUE WHEN to_regclass(format('%I.%I', schema, part)) IS NOT NULL;
		behind := CASE WHEN first = '-infinity' THEN '4713-02-01 BC'::date WHEN partition_by = 'month' THEN (first + interval '1 month')::date ELSE first + 1 END;
		EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE, CHECK (deid_day >= %L AND deid_day < %L))',
			schema, part, parent, first, behind);
		/* Whoever runs the pipeline, its tables are its owner's. */
		EXECUTE format('ALTER TABLE %I.%I OWNER TO %s', schema, part, (SELECT c.relowner::regrole FROM pg_class c WHERE c.oid = parent));
		IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = parent AND a.attname = 'study_date' AND a.atttypid = 'date'::regtype) THEN
			EXECUTE CASE WHEN first = '-infinity' THEN format('ALTER TABLE %I.%I ADD CHECK (study_date IS NULL)', schema, part)
				ELSE format('ALTER TABLE %I.%I ADD CHECK (study_date >= %L AND study_date < %L)', schema, part, first, behind) END;
		END IF;
		EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%L)', parent, schema, part,
			CASE WHEN first = '-infinity' THEN 'MINVALUE' ELSE quote_literal(first) END, behind);
		made := made + 1;
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION dicom.add_partitions(text, text, text, date[]) IS 'adds the partitions that days need, where they are missing; how many; nobody who reads or writes the table waits';

CREATE FUNCTION dicom.missing_partitions(schema text, tab text, partition_by text, days date[])
RETURNS date[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_agg(DISTINCT d)
FROM unnest(days) d
WHERE partition_by <> 'none' AND d <> '-infinity'
	AND to_regclass(format('%I.%I', schema, left(tab, 50)
		|| CASE WHEN partition_by = 'month' THEN to_char(d, '_YYYY_MM') ELSE to_char(d, '_YYYY_MM_DD') END)) IS NULL
$$;
COMMENT ON FUNCTION dicom.missing_partitions(text, text, text, date[]) IS 'which of these days have no partition; NULL: none';

CREATE FUNCTION dicom.create_stage_table(pipeline dicom.pipeline, entity text, row_key text, place integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	private text := pipeline.stage_schema || '_private';
	partition_by text := CASE WHEN entity IN ('patients', 'devices') THEN 'none' ELSE dicom.pipeline_option(pipeline.options, 'partition_by') END;
	shown text;
	kept text;
	wanted text[] := CASE entity
		WHEN 'studies' THEN ARRAY['study_instance_uid']
		WHEN 'series' THEN ARRAY['series_instance_uid', 'study_instance_uid']
		WHEN 'images' THEN ARRAY['sop_instance_uid', 'series_instance_uid', 'study_instance_uid']
		ELSE ARRAY[]::text[] END;
	lost text;
	/* Keys of parents, which may have none of their own; and what is known of a patient or a device over all its days. */
	more text := CASE entity
		WHEN 'patients' THEN 'patient_key text NOT NULL, first_seen date, last_seen date'
		WHEN 'devices' THEN 'device_key text NOT NULL, first_seen date, last_seen date'
		WHEN 'studies' THEN 'patient_key text'
		WHEN 'series' THEN 'series_key text NOT NULL, device_key text'
		ELSE 'patient_key text, device_key text, series_key text' END;
	hidden text := CASE entity
		WHEN 'patients' THEN ', own_id text, other_ids text[]'
		WHEN 'images' THEN ', burned_in text'
		ELSE '' END;
	of_file text := 'deid_epoch integer NOT NULL, source_day date NOT NULL, source_key text COLLATE "C" NOT NULL, '
		'source_etag text COLLATE "C" NOT NULL, source_size bigint, deid_day date NOT NULL';
BEGIN
	SELECT string_agg(w, ', ') INTO lost
	FROM unnest(wanted) w
	WHERE NOT EXISTS (SELECT FROM dicom.stage_columns(pipeline, entity, pipeline.epoch) c WHERE c.column_name = w);
	IF lost IS NOT NULL THEN
		RAISE EXCEPTION 'the rules of profile "%" remove the key of table "%"', coalesce(dicom.pipeline_option(pipeline.options, 'profile'), 'default'), entity
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('Columns: %s', lost),
				HINT = 'Give them the rule uid_remap or full_hash in dicom.anonymization_mapping.';
	END IF;
	SELECT string_agg(quote_ident(c.column_name), ', ' ORDER BY c.ordinal),
		string_agg(format('%I %s%s', c.column_name, c.type, CASE WHEN c.column_name = create_stage_table.row_key THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY c.ordinal)
	INTO shown, kept
	FROM dicom.stage_columns(pipeline, entity, pipeline.epoch) c;
	IF entity NOT IN ('patients', 'devices') AND NOT EXISTS (SELECT FROM dicom.stage_columns(pipeline, entity, pipeline.epoch) c WHERE c.column_name = 'study_date') THEN
		more := more || ', study_date date';
	END IF;
	shown := concat_ws(', ', (SELECT string_agg(split_part(m, ' ', 1), ', ') FROM unnest(string_to_array(more, ', ')) m), shown);
	PERFORM dicom.create_storage(private, entity, concat_ws(', ', of_file, more, kept) || hidden, ARRAY[row_key], partition_by);
	EXECUTE format('CREATE INDEX ON %I.%I (source_day, deid_epoch)', private, entity);
	EXECUTE format('CREATE INDEX ON %I.%I (%s, deid_epoch)', private, entity, CASE WHEN entity IN ('patients', 'devices') THEN 'last_seen' ELSE 'study_date' END);
	EXECUTE CASE entity
		WHEN 'studies' THEN format('CREATE INDEX ON %I.studies (patient_key, deid_epoch)', private)
		WHEN 'series' THEN format('CREATE INDEX ON %1$I.series (study_instance_uid, deid_epoch); CREATE INDEX ON %1$I.series (device_key, deid_epoch)', private)
		WHEN 'images' THEN format('CREATE INDEX ON %I.images (series_key, deid_epoch)', private)
		ELSE 'SELECT' END;
	/* What each day says of a patient or a device; and what lost to another file. */
	IF entity IN ('patients', 'devices') THEN
		EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I, PRIMARY KEY (deid_epoch, %I, source_day))', private, entity || '_of_day', private, entity, row_key);
		EXECUTE format('CREATE INDEX ON %I.%I (source_day, deid_epoch)', private, entity || '_of_day');
	ELSE
		EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I, PRIMARY KEY (deid_epoch, %I, source_key))', private, entity || '_other', private, entity, row_key);
		EXECUTE format('CREATE INDEX ON %I.%I (source_day, deid_epoch)', private, entity || '_other');
	END IF;
	PERFORM dicom.create_layer_view(pipeline, entity, pipeline.stage_schema, entity, private, entity, shown,
		format('%s, de-identified; kept by pipeline %s', CASE entity
			WHEN 'patients' THEN 'one row per patient, as on the last day of all'
			WHEN 'devices' THEN 'one row per device, as on the last day of all'
			WHEN 'studies' THEN 'one row per study'
			WHEN 'series' THEN 'one row per series'
			ELSE 'one row per image' END, pipeline.name));
	INSERT INTO dicom.layer (pipeline, name, kind, schema_name, table_name, storage_schema, storage_table, key, day_column, place)
	VALUES (pipeline.name, format('%I.%I', pipeline.stage_schema, entity), 'stage', pipeline.stage_schema, entity, private, entity,
		ARRAY[row_key],
		CASE WHEN entity IN ('patients', 'devices') THEN 'last_seen' ELSE 'study_date' END, place);
END
$$;
COMMENT ON FUNCTION dicom.create_stage_table(dicom.pipeline, text, text, integer) IS 'the tables of one entity of stage, and the view that users see';

CREATE FUNCTION dicom.create_layer_view(pipeline dicom.pipeline, entity text, schema text, name text, storage_schema text, storage_table text, columns text, comment text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	described record;
BEGIN
	IF to_regclass(format('%I.%I', schema, name)) IS NOT NULL THEN
		RAISE EXCEPTION 'relation %.% exists already', quote_ident(schema), quote_ident(name)
			USING ERRCODE = 'duplicate_table', HINT = 'Choose another name, or other schemas with stage_schema and processed_schema.';
	END IF;
	EXECUTE format('CREATE VIEW %I.%I AS SELECT %s FROM %I.%I WHERE deid_epoch = (SELECT dicom.visible_epoch(%L))',
		schema, name, columns, storage_schema, storage_table, pipeline.name);
	EXECUTE format('COMMENT ON VIEW %I.%I IS %L', schema, name, comment);
	FOR described IN
		SELECT a.attname, coalesce(col_description(ra.attrelid, ra.attnum), o.text) AS text
		FROM pg_attribute a
		LEFT JOIN pg_attribute ra ON ra.attrelid = to_regclass(format('dicom.%I', entity || '_row')) AND ra.attname = a.attname
		LEFT JOIN (VALUES
			('patient_key', 'pseudonym of issuer and id of the patient, or of what else is known where there is no id'),
			('series_key', 'pseudonym of series and study: one series_instance_uid in two studies is two series'),
			('device_key', 'pseudonym of serial number, manufacturer and model'),
			('first_seen', 'first day that it was seen on'),
			('last_seen', 'last day that it was seen on'),
			('study_date', 'the day; NULL: unknown')) o (column_name, text) ON o.column_name = a.attname
		WHERE a.attrelid = format('%I.%I', schema, name)::regclass AND a.attnum > 0
	LOOP
		IF described.text IS NOT NULL THEN
			EXECUTE format('COMMENT ON COLUMN %I.%I.%I IS %L', schema, name, described.attname, described.text);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.create_layer_view(dicom.pipeline, text, text, text, text, text, text, text) IS 'the view of a layer''s rows of the active epoch';

CREATE FUNCTION dicom.create_picture_tables(pipeline dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	private text := pipeline.stage_schema || '_private';
	types record;
	columns text;
BEGIN
	SELECT max(c.type) FILTER (WHERE c.column_name = 'sop_instance_uid') AS sop, max(c.type) FILTER (WHERE c.column_name = 'series_instance_uid') AS series,
		max(c.type) FILTER (WHERE c.column_name = 'study_instance_uid') AS study INTO types
	FROM dicom.stage_columns(pipeline, 'images', pipeline.epoch) c;
	columns := format('deid_epoch integer NOT NULL, source_day date NOT NULL, source_key text COLLATE "C" NOT NULL, source_etag text COLLATE "C" NOT NULL, '
		'deid_day date NOT NULL, sop_instance_uid %s NOT NULL, series_instance_uid %s, study_instance_uid %s, study_date date, frame integer NOT NULL, '
		'key text COLLATE "C" NOT NULL, bytes bigint NOT NULL, width integer NOT NULL, height integer NOT NULL, sha256 text, jpeg bytea',
		types.sop, types.series, types.study);
	PERFORM dicom.create_storage(private, 'compressed_images', columns, ARRAY['sop_instance_uid', 'frame'], dicom.pipeline_option(pipeline.options, 'partition_by'));
	EXECUTE format('ALTER TABLE %I.compressed_images ALTER COLUMN jpeg SET STORAGE EXTERNAL', private);
	EXECUTE format('CREATE INDEX ON %I.compressed_images (source_day, deid_epoch)', private);
	EXECUTE format('CREATE INDEX ON %I.compressed_images (study_date, deid_epoch)', private);
	PERFORM dicom.create_layer_view(pipeline, 'images', pipeline.stage_schema, 'compressed_images', private, 'compressed_images',
		'sop_instance_uid, frame, series_instance_uid, study_instance_uid, study_date, key, bytes, width, height, sha256, jpeg',
		'one row per frame of an image that has a picture; kept by pipeline ' || pipeline.name);
	EXECUTE format($f$
		COMMENT ON COLUMN %1$I.compressed_images.frame IS 'number of the frame, from 1';
		COMMENT ON COLUMN %1$I.compressed_images.key IS 'key of the JPEG below the location of server %2$s';
		COMMENT ON COLUMN %1$I.compressed_images.bytes IS 'bytes of the JPEG';
		COMMENT ON COLUMN %1$I.compressed_images.width IS 'pixels';
		COMMENT ON COLUMN %1$I.compressed_images.height IS 'pixels';
		COMMENT ON COLUMN %1$I.compressed_images.sha256 IS 'SHA-256 of the JPEG, in hex';
		COMMENT ON COLUMN %1$I.compressed_images.jpeg IS 'the JPEG itself, where it is not larger than the option inline_jpeg_limit'$f$,
		pipeline.stage_schema, quote_ident(pipeline.stage));
	INSERT INTO dicom.layer (pipeline, name, kind, schema_name, table_name, storage_schema, storage_table, key, day_column, place)
	VALUES (pipeline.name, format('%I.compressed_images', pipeline.stage_schema), 'stage', pipeline.stage_schema, 'compressed_images', private,
		'compressed_images', ARRAY['sop_instance_uid', 'frame'], 'study_date', 6);
	/*
	 * What was made of each object, and where its pictures are; frames that no refreshed day has yet; folders in which pictures are that nothing
	 * refers to any more (frames NULL: nobody knows how many).
	 */
	EXECUTE format($f$
		CREATE TABLE %1$I.picture_objects (
			deid_epoch integer NOT NULL, source_day date NOT NULL, source_key text COLLATE "C" NOT NULL, source_etag text COLLATE "C" NOT NULL,
			folder text COLLATE "C" NOT NULL, settings text NOT NULL,
			state text NOT NULL CHECK (state IN ('planned', 'done', 'none', 'failed')),
			frames integer NOT NULL DEFAULT 0, run bigint NOT NULL, failures integer NOT NULL DEFAULT 0, next_attempt timestamptz,
			PRIMARY KEY (deid_epoch, source_key));
		CREATE INDEX ON %1$I.picture_objects (source_day, deid_epoch);
		CREATE INDEX ON %1$I.picture_objects (folder);
		CREATE INDEX ON %1$I.picture_objects (next_attempt) WHERE next_attempt IS NOT NULL;
		CREATE TABLE %1$I.picture_frames (
			deid_epoch integer NOT NULL, source_key text COLLATE "C" NOT NULL, frame integer NOT NULL,
			key text COLLATE "C" NOT NULL, bytes bigint NOT NULL, width integer NOT NULL, height integer NOT NULL, sha256 text, jpeg bytea,
			PRIMARY KEY (deid_epoch, source_key, frame));
		ALTER TABLE %1$I.picture_frames ALTER COLUMN jpeg SET STORAGE EXTERNAL;
		CREATE TABLE %1$I.picture_garbage (folder text COLLATE "C" PRIMARY KEY, frames integer);
		CREATE FOREIGN TABLE %1$I.stage_objects (key text COLLATE "C") SERVER %2$I OPTIONS (entity 'files', on_error 'ignore')$f$,
		private, pipeline.stage);
END
$$;
COMMENT ON FUNCTION dicom.create_picture_tables(dicom.pipeline) IS 'the tables of pictures';

CREATE FUNCTION dicom.create_stage_tables(pipeline dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	private text := quote_ident(pipeline.stage_schema || '_private');
	e record;
BEGIN
	INSERT INTO dicom.layer (pipeline, name, kind, schema_name, table_name)
	VALUES (pipeline.name, quote_ident(pipeline.stage_schema), 'day', pipeline.stage_schema, '');
	FOR e IN SELECT * FROM dicom.stage_entities() ORDER BY place
	LOOP
		PERFORM dicom.create_stage_table(pipeline, e.entity, e.row_key, e.place);
	END LOOP;
	PERFORM dicom.create_picture_tables(pipeline);
	PERFORM dicom.create_patient_ids(pipeline);
	INSERT INTO dicom.layer_parent (pipeline, layer, parent, gives_day)
	SELECT l.pipeline, l.name, CASE WHEN l.table_name = 'compressed_images' THEN format('%I.images', pipeline.stage_schema) ELSE quote_ident(pipeline.stage_schema) END,
		l.table_name = 'compressed_images'
	FROM dicom.layer l
	WHERE l.pipeline = pipeline.name AND l.kind = 'stage';
	/* Keys of parents hold at the end of each transaction. A partitioned table has no key without its day, which may differ. */
	IF dicom.pipeline_option(pipeline.options, 'partition_by') = 'none' THEN
		EXECUTE format($f$
			ALTER TABLE %1$s.studies ADD FOREIGN KEY (deid_epoch, patient_key) REFERENCES %1$s.patients DEFERRABLE INITIALLY DEFERRED;
			ALTER TABLE %1$s.series ADD FOREIGN KEY (deid_epoch, study_instance_uid) REFERENCES %1$s.studies DEFERRABLE INITIALLY DEFERRED;
			ALTER TABLE %1$s.series ADD FOREIGN KEY (deid_epoch, device_key) REFERENCES %1$s.devices DEFERRABLE INITIALLY DEFERRED;
			ALTER TABLE %1$s.images ADD FOREIGN KEY (deid_epoch, series_key) REFERENCES %1$s.series DEFERRABLE INITIALLY DEFERRED;
			ALTER TABLE %1$s.compressed_images ADD FOREIGN KEY (deid_epoch, sop_instance_uid) REFERENCES %1$s.images DEFERRABLE INITIALLY DEFERRED$f$,
			private);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.create_stage_tables(dicom.pipeline) IS 'the tables and views of the stage schema';

CREATE FUNCTION dicom.create_patient_ids(pipeline dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format($f$
		CREATE VIEW %1$I.patient_ids AS
		WITH RECURSIVE patient AS MATERIALIZED (
			SELECT patient_key, own_id, other_ids, first_seen, last_seen
			FROM %2$I.patients
			WHERE deid_epoch = (SELECT dicom.visible_epoch(%3$L))
		),
		known AS MATERIALIZED (
			SELECT p.patient_key, p.own_id AS id, false AS is_other FROM patient p WHERE p.own_id IS NOT NULL
			UNION
			SELECT p.patient_key, i.id, true FROM patient p, unnest(p.other_ids) i (id) WHERE i.id IS DISTINCT FROM p.own_id
		),
		link AS MATERIALIZED (
			SELECT a.patient_key AS one, b.patient_key AS other
			FROM known a
			JOIN known b ON b.id = a.id AND b.patient_key <> a.patient_key
			WHERE a.is_other
			UNION
			SELECT b.patient_key, a.patient_key
			FROM known a
			JOIN known b ON b.id = a.id AND b.patient_key <> a.patient_key
			WHERE a.is_other
		),
		person AS (
			SELECT l.one AS patient_key, l.one AS member FROM link l
			UNION
			SELECT p.patient_key, l.other FROM person p JOIN link l ON l.one = p.member
		),
		leader AS (
			SELECT p.patient_key, min(p.member) AS person_key FROM person p GROUP BY p.patient_key
		)
		SELECT coalesce(l.person_key, p.patient_key) AS person_key, p.patient_key, k.id AS patient_id, p.first_seen, p.last_seen
		FROM patient p
		LEFT JOIN leader l ON l.patient_key = p.patient_key
		LEFT JOIN known k ON k.patient_key = p.patient_key;
		COMMENT ON VIEW %1$I.patient_ids IS 'the ids that each person is known by: a patient whose OtherPatientIDs name another one, or the same as another one''s, is the same person, over all studies and institutions. Equal PatientIDs of two issuers alone are two persons';
		COMMENT ON COLUMN %1$I.patient_ids.person_key IS 'the smallest patient_key of those that are one person';
		COMMENT ON COLUMN %1$I.patient_ids.patient_key IS 'key of the patient';
		COMMENT ON COLUMN %1$I.patient_ids.patient_id IS 'pseudonym of an id, as in patients.patient_id where that is hashed; NULL: none is known';
		COMMENT ON COLUMN %1$I.patient_ids.first_seen IS 'first day that the patient was seen on';
		COMMENT ON COLUMN %1$I.patient_ids.last_seen IS 'last day that the patient was seen on'$f$,
		pipeline.stage_schema, pipeline.stage_schema || '_private', pipeline.name);
END
$$;
COMMENT ON FUNCTION dicom.create_patient_ids(dicom.pipeline) IS 'the view of who is known by which ids';
