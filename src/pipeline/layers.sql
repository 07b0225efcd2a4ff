
/* --- tables that queries make, refreshed day by day: src/pipeline --- */

CREATE FUNCTION dicom.layer_of(relation regclass)
RETURNS dicom.layer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT l
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN dicom.layer l ON l.schema_name = n.nspname AND l.table_name = c.relname
WHERE c.oid = relation
$$;
COMMENT ON FUNCTION dicom.layer_of(regclass) IS 'the layer that a relation is; NULL: none';

/* Layers that a view reads, through views that are none, and which of their columns. */
CREATE FUNCTION dicom.layers_read(relation regclass)
RETURNS TABLE (pipeline text, layer text, columns text[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH RECURSIVE reads (view, source, col) AS (
	SELECT r.ev_class, d.refobjid, d.refobjsubid
	FROM pg_rewrite r
	JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
	WHERE r.ev_class = relation
	UNION
	SELECT r.ev_class, d.refobjid, d.refobjsubid
	FROM reads s
	JOIN pg_rewrite r ON r.ev_class = s.source
	JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
	WHERE (dicom.layer_of(s.source::regclass)).name IS NULL
)
SELECT (l.layer).pipeline, (l.layer).name, coalesce(array_agg(DISTINCT a.attname::text ORDER BY a.attname::text) FILTER (WHERE a.attnum > 0), '{}')
FROM reads s
CROSS JOIN LATERAL (SELECT dicom.layer_of(s.source::regclass) AS layer OFFSET 0) l
LEFT JOIN pg_attribute a ON a.attrelid = s.source AND a.attnum = s.col
WHERE (l.layer).name IS NOT NULL
GROUP BY 1, 2
$$;
COMMENT ON FUNCTION dicom.layers_read(regclass) IS 'the layers that a view or materialized view reads, also through other views, and the columns that are read';

/* The layer whose day a column of a view is, through views that are no layers; NULL where it is none's. */
CREATE FUNCTION dicom.day_given_by(relation regclass, col text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at regclass := relation;
	name text := col;
	origin record;
	found dicom.layer;
BEGIN
	LOOP
		IF (SELECT c.relkind FROM pg_class c WHERE c.oid = at) <> 'v' THEN
			RETURN NULL;
		END IF;
		SELECT * INTO origin FROM dicom.column_origins(at) o WHERE o.column_name = name;
		IF origin.origin IS NULL THEN
			RETURN NULL;
		END IF;
		found := dicom.layer_of(origin.origin);
		IF found.name IS NOT NULL THEN
			RETURN CASE WHEN found.day_column = origin.origin_column THEN found.name END;
		END IF;
		at := origin.origin;
		name := origin.origin_column;
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.day_given_by(regclass, text) IS 'the layer whose day column a column of a view is; NULL: none''s';

CREATE FUNCTION dicom.check_layer_columns(relation regclass, key text[], day_column text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing text;
	names text := (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
	IF coalesce(cardinality(key), 0) = 0 THEN
		RAISE EXCEPTION 'a layer needs a key'
			USING ERRCODE = 'null_value_not_allowed', HINT = 'key => ARRAY[…]: columns of which no two rows have the same values.';
	END IF;
	SELECT string_agg(k, ', ') INTO missing
	FROM unnest(key || day_column) k
	WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = k AND a.attnum > 0);
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'the query gives no column of this name'
			USING ERRCODE = 'undefined_column', DETAIL = format('Missing: %s', missing), HINT = format('It gives: %s.', names);
	END IF;
	IF (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = day_column) <> 'date'::regtype THEN
		RAISE EXCEPTION 'day column "%" is no date', day_column
			USING ERRCODE = 'datatype_mismatch', HINT = 'The day of a row must be that of the rows it is made from.';
	END IF;
	SELECT string_agg(a.attname, ', ') INTO missing
	FROM pg_attribute a
	WHERE a.attrelid = relation AND a.attname IN ('deid_epoch', 'deid_day');
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'columns deid_epoch and deid_day are the layer''s own'
			USING ERRCODE = 'reserved_name', HINT = 'Give them other names in the query.';
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.check_layer_columns(regclass, text[], text) IS 'an error where a query does not give the key and the day of a layer';

/* Finds out anew what each layer is made from, and puts parents before children. */
CREATE FUNCTION dicom.refresh_lineage(pipeline text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l dicom.layer;
	relation regclass;
	gives text;
	changed boolean := true;
	rounds integer := 0;
BEGIN
	FOR l IN SELECT * FROM dicom.layer x WHERE x.pipeline = refresh_lineage.pipeline AND x.kind IN ('table', 'view', 'matview')
	LOOP
		relation := to_regclass(CASE WHEN l.kind = 'table' THEN format('%I.%I', l.storage_schema, l.query_view) ELSE l.name END);
		IF relation IS NULL THEN
			RAISE EXCEPTION 'layer % is gone', l.name
				USING ERRCODE = 'undefined_table', HINT = format('SELECT dicom.drop_layer(%L) makes the pipeline forget it.', l.name);
		END IF;
		gives := CASE WHEN l.day_column IS NOT NULL AND l.kind <> 'matview' THEN dicom.day_given_by(relation, l.day_column) END;
		DELETE FROM dicom.layer_parent p
		WHERE p.pipeline = l.pipeline AND p.layer = l.name AND NOT EXISTS (SELECT FROM dicom.layers_read(relation) r WHERE r.layer = p.parent AND r.pipeline = p.pipeline);
		INSERT INTO dicom.layer_parent AS p (pipeline, layer, parent, gives_day, columns)
		SELECT l.pipeline, l.name, r.layer, r.layer IS NOT DISTINCT FROM gives, r.columns
		FROM dicom.layers_read(relation) r
		WHERE r.pipeline = l.pipeline
		ON CONFLICT ON CONSTRAINT layer_parent_pkey DO UPDATE SET gives_day = excluded.gives_day, columns = excluded.columns
		WHERE p.gives_day <> excluded.gives_day OR p.columns <> excluded.columns;
	END LOOP;
	WHILE changed LOOP
		UPDATE dicom.layer c
		SET place = p.place + 1
		FROM (
			SELECT x.layer, max(y.place) AS place
			FROM dicom.layer_parent x
			JOIN dicom.layer y ON y.pipeline = x.pipeline AND y.name = x.parent
			WHERE x.pipeline = refresh_lineage.pipeline
			GROUP BY x.layer
		) p
		WHERE c.pipeline = refresh_lineage.pipeline AND c.name = p.layer AND c.kind IN ('table', 'view', 'matview') AND c.place <= p.place;
		changed := FOUND;
		rounds := rounds + 1;
		IF rounds > 1000 THEN
			RAISE EXCEPTION 'layers of pipeline "%" read each other in a circle', pipeline
				USING ERRCODE = 'invalid_recursion', DETAIL = format('Layers: %s', (
					WITH RECURSIVE reach (layer, parent) AS (
						SELECT p.layer, p.parent FROM dicom.layer_parent p WHERE p.pipeline = refresh_lineage.pipeline
						UNION
						SELECT r.layer, p.parent FROM reach r JOIN dicom.layer_parent p ON p.pipeline = refresh_lineage.pipeline AND p.layer = r.parent
					)
					SELECT string_agg(r.layer, ', ' ORDER BY r.layer) FROM reach r WHERE r.layer = r.parent)),
					HINT = 'A layer can be made from layers that do not read it.';
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.refresh_lineage(text) IS 'finds out what each layer of a pipeline is made from, by pg_depend; an error where that goes in a circle';

/* All days that a layer has rows of. */
CREATE FUNCTION dicom.days_of_layer(pipeline text, layer text, epoch integer)
RETURNS date[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l dicom.layer;
	days date[];
BEGIN
	SELECT * INTO l FROM dicom.layer x WHERE x.pipeline = days_of_layer.pipeline AND x.name = days_of_layer.layer;
	IF l.kind IN ('stage', 'table') THEN
		EXECUTE format('SELECT array_agg(DISTINCT deid_day) FROM %I.%I WHERE deid_epoch = $1', l.storage_schema, l.storage_table) INTO days USING epoch;
	ELSIF l.kind = 'view' THEN
		SELECT dicom.days_of_layer(l.pipeline, p.parent, epoch) INTO days
		FROM dicom.layer_parent p
		WHERE p.pipeline = l.pipeline AND p.layer = l.name AND p.gives_day;
	END IF;
	RETURN coalesce(days, '{}');
END
$$;
COMMENT ON FUNCTION dicom.days_of_layer(text, text, integer) IS 'the days of the rows of a layer';

/* A member of the owner may make layers too. */
CREATE FUNCTION dicom.give_to_owner(pipeline dicom.pipeline, layer dicom.layer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation regclass;
BEGIN
	FOR relation IN
		SELECT c.oid
		FROM pg_class c
		WHERE c.relowner <> pipeline.owner AND c.oid IN (
			SELECT t.relid FROM pg_partition_tree(format('%I.%I', layer.storage_schema, layer.storage_table)::regclass) t
			UNION ALL
			VALUES (format('%I.%I', layer.storage_schema, layer.storage_table)::regclass), (format('%I.%I', layer.storage_schema, layer.query_view)::regclass),
				(layer.name::regclass))
	LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO %s', relation, pipeline.owner);
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.give_to_owner(dicom.pipeline, dicom.layer) IS 'makes the tables and views of a layer those of the owner of its pipeline, with whose rights it is refreshed';

CREATE FUNCTION dicom.make_layer(name text, query text, key text[], day_column text, comment text, path text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
	parts text[] := parse_ident(name);
	schema text;
	tab text;
	private text;
	view text;
	relation regclass;
	sources text[];
	p dicom.pipeline;
	kind text;
	gives text;
	wanted record;
	is_new boolean := false;
BEGIN
	IF cardinality(parts) <> 2 THEN
		RAISE EXCEPTION 'a layer needs a schema and a name' USING ERRCODE = 'invalid_name', HINT = 'For instance dicom_processed.daily_counts.';
	END IF;
	schema := parts[1];
	tab := parts[2];
	name := format('%I.%I', schema, tab);
	IF EXISTS (SELECT FROM dicom.layer l WHERE l.schema_name = schema AND l.table_name = tab) THEN
		RAISE EXCEPTION 'layer % exists already', name USING ERRCODE = 'duplicate_table', HINT = 'dicom.drop_layer() removes it.';
	END IF;
	IF query IS NULL THEN
		relation := to_regclass(name);
		kind := CASE (SELECT c.relkind FROM pg_class c WHERE c.oid = relation) WHEN 'v' THEN 'view' WHEN 'm' THEN 'matview' END;
		IF kind IS NULL THEN
			RAISE EXCEPTION 'there is no view or materialized view %', name
				USING ERRCODE = 'undefined_table', HINT = 'Give a query for a table that the pipeline keeps, or the name of an existing view.';
		END IF;
		IF kind = 'matview' AND NOT EXISTS (
			SELECT FROM pg_index i WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL)
		THEN
			RAISE EXCEPTION 'materialized view % has no unique index', name
				USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Create one over columns: REFRESH MATERIALIZED VIEW CONCURRENTLY needs it.';
		END IF;
	ELSE
		kind := 'table';
		private := schema || '_private';
		view := left(tab, 57) || '_query';
		IF to_regclass(name) IS NOT NULL THEN
			RAISE EXCEPTION 'relation % exists already', name USING ERRCODE = 'duplicate_table', HINT = 'Choose another name.';
		END IF;
		IF to_regnamespace(quote_ident(private)) IS NULL THEN
			EXECUTE format('CREATE SCHEMA %I', private);
			is_new := true;
		END IF;
		/* Names in the query mean what they mean to whoever gave it. */
		PERFORM set_config('search_path', path, true);
		EXECUTE format('CREATE VIEW %I.%I AS %s', private, view, rtrim(query, E'; \n\r\t'));
		PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
		relation := format('%I.%I', private, view)::regclass;
		day_column := coalesce(day_column, 'study_date');
		PERFORM dicom.check_layer_columns(relation, key, day_column);
	END IF;
	SELECT array_agg(DISTINCT r.pipeline) INTO sources FROM dicom.layers_read(relation) r;
	IF sources IS NULL THEN
		RAISE EXCEPTION 'the query of % reads no layer of a pipeline', name
			USING ERRCODE = 'invalid_object_definition', HINT = 'Read tables such as dicom_stage.images.';
	ELSIF cardinality(sources) > 1 THEN
		RAISE EXCEPTION 'the query of % reads layers of several pipelines', name
			USING ERRCODE = 'invalid_object_definition', DETAIL = format('Pipelines: %s', array_to_string(sources, ', ')),
				HINT = 'Make a view over a layer of each.';
	END IF;
	p := dicom.own_pipeline(sources[1]);
	IF kind = 'view' THEN
		day_column := coalesce(day_column, (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'study_date'));
	END IF;
	IF kind <> 'matview' AND day_column IS NOT NULL THEN
		gives := dicom.day_given_by(relation, day_column);
		IF gives IS NULL THEN
			RAISE EXCEPTION 'day column "%" is not the day of any layer that the query reads', day_column
				USING ERRCODE = 'invalid_column_reference',
					DETAIL = format('Days are: %s.', (SELECT string_agg(format('%s.%s', r.layer, l.day_column), ', ' ORDER BY r.layer)
						FROM dicom.layers_read(relation) r JOIN dicom.layer l ON l.pipeline = r.pipeline AND l.name = r.layer)),
					HINT = 'Select the day column of one of them as it is.';
		END IF;
	END IF;
	IF kind = 'table' THEN
		SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attname = ANY (key) AND a.attname <> day_column THEN ' NOT NULL' ELSE '' END),
				', ' ORDER BY a.attnum) AS definitions, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns
		INTO wanted
		FROM pg_attribute a
		WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
		PERFORM dicom.create_storage(private, tab, 'deid_epoch integer NOT NULL, deid_day date NOT NULL, ' || wanted.definitions,
			(SELECT array_agg(CASE WHEN k.k = day_column THEN 'deid_day' ELSE k.k END ORDER BY k.place) FROM unnest(key) WITH ORDINALITY k (k, place)),
			dicom.pipeline_option(p.options, 'partition_by'));
		EXECUTE format('CREATE INDEX ON %I.%I (%I, deid_epoch)', private, tab, day_column);
		PERFORM dicom.create_layer_view(p, CASE WHEN schema = p.processed_schema THEN tab ELSE '' END, schema, tab, private, tab, wanted.columns,
			coalesce(comment, 'made from ' || (SELECT string_agg(r.layer, ', ' ORDER BY r.layer) FROM dicom.layers_read(relation) r) || '; kept by pipeline ' || p.name));
	END IF;
	INSERT INTO dicom.layer (pipeline, name, kind, schema_name, table_name, storage_schema, storage_table, query_view, key, day_column, query)
	VALUES (p.name, name, kind, schema, tab, CASE WHEN kind = 'table' THEN private END, CASE WHEN kind = 'table' THEN tab END,
		CASE WHEN kind = 'table' THEN view END, key, day_column, query);
	PERFORM dicom.refresh_lineage(p.name);
	IF kind = 'table' THEN
		IF is_new THEN
			EXECUTE format('ALTER SCHEMA %I OWNER TO %s', private, p.owner);
		END IF;
		PERFORM dicom.give_to_owner(p, l) FROM dicom.layer l WHERE l.pipeline = p.name AND l.name = name;
		PERFORM dicom.mark_days(p.name, name, e.epoch, dicom.days_of_layer(p.name, gives, e.epoch))
		FROM unnest(ARRAY[p.epoch, p.next_epoch]) e (epoch)
		WHERE e.epoch IS NOT NULL;
	ELSIF kind = 'matview' THEN
		PERFORM dicom.mark_days(p.name, name, p.epoch, ARRAY['infinity'::date]);
	END IF;
	RETURN name;
END
$$;
COMMENT ON FUNCTION dicom.make_layer(text, text, text[], text, text, text) IS 'does the work of dicom.create_layer(); path: the search_path that names in the query are looked up with';

CREATE FUNCTION dicom.create_layer(name text, query text DEFAULT NULL, key text[] DEFAULT NULL, day_column text DEFAULT NULL, comment text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
SELECT dicom.make_layer(name, query, key, day_column, comment, pg_catalog.current_setting('search_path'))
$$;
COMMENT ON FUNCTION dicom.create_layer(text, text, text[], text, text) IS
	'makes a table of a query over layers, such as dicom_stage.images, that is refreshed for a day (study_date by default) as soon as what it is made from is; without a query, an existing view or materialized view becomes a layer';

CREATE FUNCTION dicom.drop_layer_relations(schema text, tab text, kind text, storage_schema text, storage_table text, query_view text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
	IF kind IN ('stage', 'table') THEN
		IF tab = 'images' AND kind = 'stage' THEN
			EXECUTE format('DROP VIEW IF EXISTS %I.patient_ids', schema);
		END IF;
		EXECUTE format('DROP VIEW IF EXISTS %I.%I', schema, tab);
		IF query_view IS NOT NULL THEN
			EXECUTE format('DROP VIEW IF EXISTS %I.%I', storage_schema, query_view);
			EXECUTE format('DROP TABLE IF EXISTS %I.%I', storage_schema, storage_table);
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.drop_layer_relations(text, text, text, text, text, text) IS 'drops the view and the table of a layer; what the user made stays';

CREATE FUNCTION dicom.drop_layer(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	parts text[] := parse_ident(name);
	l dicom.layer;
	children text;
BEGIN
	SELECT * INTO l FROM dicom.layer x WHERE x.schema_name = parts[1] AND x.table_name = parts[2];
	IF l.name IS NULL OR l.kind IN ('day', 'stage', 'export') THEN
		RAISE EXCEPTION 'there is no layer % to drop', name
			USING ERRCODE = 'undefined_table', HINT = 'Tables of the stage schema go with dicom.drop_pipeline().';
	END IF;
	PERFORM dicom.own_pipeline(l.pipeline);
	SELECT string_agg(p.layer, ', ' ORDER BY p.layer) INTO children
	FROM dicom.layer_parent p
	JOIN dicom.layer c ON c.pipeline = p.pipeline AND c.name = p.layer AND c.kind <> 'export'
	WHERE p.pipeline = l.pipeline AND p.parent = l.name;
	IF children IS NOT NULL THEN
		RAISE EXCEPTION 'other layers are made from %', l.name
			USING ERRCODE = 'dependent_objects_still_exist', DETAIL = format('Layers: %s', children), HINT = 'Drop these first.';
	END IF;
	PERFORM dicom.drop_layer_relations(l.schema_name, l.table_name, l.kind, l.storage_schema, l.storage_table, l.query_view);
	DELETE FROM dicom.failure f WHERE f.pipeline = l.pipeline AND f.layer = l.name;
	DELETE FROM dicom.layer x WHERE x.pipeline = l.pipeline AND x.name = l.name;
END
$$;
COMMENT ON FUNCTION dicom.drop_layer(text) IS 'drops a layer and its table; a view or materialized view stays, and is no layer any more';

CREATE FUNCTION dicom.create_processed_layers(pipeline dicom.pipeline)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stage text := quote_ident(pipeline.stage_schema);
	e record;
BEGIN
	FOR e IN SELECT * FROM dicom.stage_entities() s WHERE s.entity <> 'images' ORDER BY s.place
	LOOP
		PERFORM dicom.make_layer(format('%I.%I', pipeline.processed_schema, e.entity), format('SELECT * FROM %s.%I', stage, e.entity), ARRAY[e.row_key],
			CASE WHEN e.has_files THEN 'study_date' ELSE 'last_seen' END, format('%s, ready for use; kept by pipeline %s', e.entity, pipeline.name), 'pg_catalog, pg_temp');
	END LOOP;
	PERFORM dicom.make_layer(format('%I.images', pipeline.processed_schema), format($f$
		SELECT i.*, c.pictures, c.picture_keys, c.picture_bytes, c.picture_width, c.picture_height
		FROM %1$s.images i
		CROSS JOIN LATERAL (
			SELECT count(*)::integer AS pictures, array_agg(p.key ORDER BY p.frame) AS picture_keys, sum(p.bytes)::bigint AS picture_bytes,
				max(p.width) AS picture_width, max(p.height) AS picture_height
			FROM %1$s.compressed_images p
			WHERE p.sop_instance_uid = i.sop_instance_uid
		) c$f$, stage), ARRAY['sop_instance_uid'], 'study_date',
		format('images with their pictures, and with the keys of patient and device, ready for use; kept by pipeline %s', pipeline.name), 'pg_catalog, pg_temp');
	EXECUTE format($f$
		COMMENT ON COLUMN %1$I.images.pictures IS 'how many frames have a picture';
		COMMENT ON COLUMN %1$I.images.picture_keys IS 'keys of the JPEGs below the location of server %2$s, in the order of frames';
		COMMENT ON COLUMN %1$I.images.picture_bytes IS 'bytes of all of them';
		COMMENT ON COLUMN %1$I.images.picture_width IS 'pixels';
		COMMENT ON COLUMN %1$I.images.picture_height IS 'pixels'$f$, pipeline.processed_schema, quote_ident(pipeline.stage));
END
$$;
COMMENT ON FUNCTION dicom.create_processed_layers(dicom.pipeline) IS 'the tables of the processed schema';

/* --- checks --- */

CREATE FUNCTION dicom.add_check(layer text, name text, query text, severity text DEFAULT 'stop')
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	parts text[] := parse_ident(layer);
	l dicom.layer;
BEGIN
	SELECT * INTO l FROM dicom.layer x WHERE x.schema_name = parts[1] AND x.table_name = parts[2] AND x.kind IN ('stage', 'table');
	IF l.name IS NULL THEN
		RAISE EXCEPTION 'there is no layer % with rows of its own', layer
			USING ERRCODE = 'undefined_table', HINT = 'See dicom.layer; a view is checked where its rows are from.';
	END IF;
	PERFORM dicom.own_pipeline(l.pipeline);
	IF severity NOT IN ('warn', 'stop') THEN
		RAISE EXCEPTION 'invalid severity "%"', severity USING ERRCODE = 'invalid_parameter_value', HINT = 'Valid are: warn, stop.';
	END IF;
	PERFORM dicom.count_violations(l, query, NULL);
	INSERT INTO dicom.layer_check AS c (pipeline, layer, name, severity, query)
	VALUES (l.pipeline, l.name, name, severity, query)
	ON CONFLICT ON CONSTRAINT layer_check_pkey DO UPDATE SET severity = excluded.severity, query = excluded.query;
EXCEPTION
	WHEN undefined_table OR undefined_function OR undefined_object THEN
		IF l.name IS NULL THEN
			RAISE;
		END IF;
		RAISE EXCEPTION '%', SQLERRM USING ERRCODE = SQLSTATE, HINT = 'Write schemas out in the query of a check.';
END
$$;
COMMENT ON FUNCTION dicom.add_check(text, text, text, text) IS
	'a query whose rows are violations, asked for each day that was refreshed; $1 in it is the day (NULL: unknown), and of rows with the layer''s day column only those of the day count; severity warn: it is said, stop: the day keeps its old rows';

CREATE FUNCTION dicom.drop_check(layer text, name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	parts text[] := parse_ident(layer);
BEGIN
	DELETE FROM dicom.layer_check c
	USING dicom.layer l
	WHERE l.schema_name = parts[1] AND l.table_name = parts[2] AND c.pipeline = l.pipeline AND c.layer = l.name AND c.name = name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'layer % has no check "%"', layer, name USING ERRCODE = 'undefined_object', HINT = 'See dicom.layer_check.';
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.drop_check(text, text) IS 'drops a check; days that it stopped are tried again with the next run that they are due in';

CREATE FUNCTION dicom.count_violations(l dicom.layer, query text, day date)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	text_of text := rtrim(query, E'; \n\r\t');
	found bigint;
BEGIN
	/* A query that gives the layer's day column is about that day. */
	BEGIN
		EXECUTE format('SELECT count(*) FROM (%s) v WHERE v.%I IS NOT DISTINCT FROM $1::date', text_of, l.day_column) INTO found USING nullif(day, '-infinity');
	EXCEPTION WHEN undefined_column THEN
		EXECUTE format('SELECT count(*) FROM (%s) v WHERE coalesce($1, $1) IS NOT DISTINCT FROM $1::date', text_of) INTO found USING nullif(day, '-infinity');
	END;
	RETURN found;
END
$$;
COMMENT ON FUNCTION dicom.count_violations(dicom.layer, text, date) IS 'how many rows the query of a check gives for a day';

/* Throws where a check stops a day; returns what others found. */
CREATE FUNCTION dicom.run_checks(pipeline text, layer text, days date[])
RETURNS text[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l dicom.layer;
	c dicom.layer_check;
	d date;
	found bigint;
	warnings text[] := ARRAY[]::text[];
BEGIN
	SELECT * INTO l FROM dicom.layer x WHERE x.pipeline = run_checks.pipeline AND x.name = run_checks.layer;
	FOR c IN SELECT * FROM dicom.layer_check x WHERE x.pipeline = run_checks.pipeline AND x.layer = run_checks.layer ORDER BY x.name
	LOOP
		FOREACH d IN ARRAY days
		LOOP
			found := dicom.count_violations(l, c.query, d);
			CONTINUE WHEN found = 0;
			IF c.severity = 'stop' THEN
				RAISE EXCEPTION 'check "%" of % found % rows', c.name, c.layer, found USING ERRCODE = 'DC001';
			END IF;
			warnings := warnings || format('check "%s" found %s rows', c.name, found);
		END LOOP;
	END LOOP;
	RETURN warnings;
END
$$;
COMMENT ON FUNCTION dicom.run_checks(text, text, date[]) IS 'asks the checks of a layer about days; an error (DC001) where one stops a day';

/* --- refreshing --- */

/* Parents of a layer, a view's own in its place. */
CREATE FUNCTION dicom.inputs_of(pipeline text, layer text)
RETURNS SETOF dicom.layer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH RECURSIVE input (name) AS (
	SELECT p.parent FROM dicom.layer_parent p WHERE p.pipeline = inputs_of.pipeline AND p.layer = inputs_of.layer
	UNION
	SELECT p.parent
	FROM input i
	JOIN dicom.layer l ON l.pipeline = inputs_of.pipeline AND l.name = i.name AND l.kind = 'view'
	JOIN dicom.layer_parent p ON p.pipeline = l.pipeline AND p.layer = l.name
)
SELECT l.*
FROM input i
JOIN dicom.layer l ON l.pipeline = inputs_of.pipeline AND l.name = i.name
WHERE l.kind <> 'view'
$$;
COMMENT ON FUNCTION dicom.inputs_of(text, text) IS 'the layers with rows of their own that a layer is made from';

/*
 * Days that a layer cannot be refreshed for, because something that it is made from is not fresh for them. What stage has of a raw day that is not
 * fresh is on the days of its rows. NULL: no day at all can be.
 */
CREATE FUNCTION dicom.blocked_days(pipeline text, layer text, epoch integer)
RETURNS date[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	l dicom.layer;
	raw_days date[];
	days date[];
	blocked date[] := ARRAY[]::date[];
BEGIN
	FOR l IN SELECT * FROM dicom.inputs_of(pipeline, layer)
	LOOP
		IF l.kind = 'stage' THEN
			SELECT array_agg(d.day) INTO raw_days
			FROM dicom.layer_day d
			WHERE d.pipeline = p.name AND d.epoch = blocked_days.epoch AND d.state <> 'fresh'
				AND d.layer IN (quote_ident(p.stage_schema), CASE WHEN l.table_name = 'compressed_images' THEN l.name END);
			CONTINUE WHEN raw_days IS NULL;
			EXECUTE format('SELECT array_agg(DISTINCT deid_day) FROM %I.%I WHERE source_day = ANY ($1) AND deid_epoch = $2',
				l.storage_schema, CASE WHEN l.table_name = 'compressed_images' THEN 'images' ELSE l.table_name END)
			INTO days USING raw_days, epoch;
		ELSE
			SELECT array_agg(d.day) INTO days
			FROM dicom.layer_day d
			WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = blocked_days.epoch AND d.state <> 'fresh';
			IF l.kind = 'matview' AND days IS NOT NULL THEN
				RETURN NULL;
			END IF;
		END IF;
		blocked := blocked || coalesce(days, '{}');
	END LOOP;
	RETURN blocked;
END
$$;
COMMENT ON FUNCTION dicom.blocked_days(text, text, integer) IS 'days that a layer cannot be refreshed for, because a parent is not fresh for them; NULL: all';

/* What makes the rows of a layer those of its query; how many of these have a key that a day has which is not refreshed now. */
CREATE FUNCTION dicom.diff_layer(l dicom.layer, epoch integer, days date[], stale date[], fresh text, diff text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_nestloop = off
SET enable_mergejoin = off
AS $$
DECLARE
	tab text := format('%I.%I', l.storage_schema, l.storage_table);
	m record;
	keys_equal text := (SELECT string_agg(format('o.%1$I = n.%1$I', CASE WHEN k = l.day_column THEN 'deid_day' ELSE k END), ' AND ') FROM unnest(l.key) k);
	ambiguous bigint;
BEGIN
	SELECT * INTO m FROM dicom.merge_pieces(tab::regclass, NULL);
	EXECUTE format($f$
		WITH here AS MATERIALIZED (
			SELECT * FROM %1$s o WHERE o.deid_day = ANY ($2) AND o.deid_epoch = $1 AND %2$s
		),
		%3$s
		written AS (
			INSERT INTO pg_temp.%4$I (%5$s, change_action, change_day)
			SELECT %6$s, CASE WHEN o.deid_epoch IS NULL THEN 'inserted' ELSE 'updated' END, o.deid_day
			FROM pg_temp.%7$I n
			LEFT JOIN old o ON %8$s
			WHERE o.deid_epoch IS NULL OR ROW(%9$s)::record *<> ROW(%6$s)::record
			UNION ALL
			SELECT %9$s, 'deleted', o.deid_day
			FROM old o
			WHERE o.deid_day = ANY ($2) AND NOT EXISTS (SELECT FROM pg_temp.%7$I n WHERE %8$s)
		)
		SELECT count(*) FROM old o WHERE o.deid_day <> ALL ($2) AND o.deid_day <> ALL ($3)$f$,
		tab, CASE WHEN days = ARRAY['-infinity'::date] THEN format('o.%I IS NULL', l.day_column) ELSE format('o.%I = ANY ($2)', l.day_column) END,
		/* Of rows that are new here, the same keys on other days; a key that holds the day has none. */
		CASE WHEN l.day_column = ANY (l.key) THEN 'old AS (SELECT * FROM here),'
			ELSE format('newcomer AS MATERIALIZED (SELECT %s FROM pg_temp.%I n WHERE NOT EXISTS (SELECT FROM here o WHERE %s)), '
				'old AS MATERIALIZED (SELECT * FROM here UNION ALL SELECT x.* FROM newcomer n CROSS JOIN LATERAL (SELECT o.* FROM %s o '
				'WHERE o.deid_epoch = $1 AND %s AND o.deid_day <> ALL ($2) OFFSET 0) x),',
				(SELECT string_agg(format('n.%I', k), ', ') FROM unnest(l.key) k), fresh, keys_equal, tab, keys_equal) END,
		diff, m.columns, m.new_row, fresh, keys_equal, m.old_row)
	INTO ambiguous
	USING epoch, days, stale;
	RETURN ambiguous;
END
$$;
COMMENT ON FUNCTION dicom.diff_layer(dicom.layer, integer, date[], date[], text, text) IS
	'finds out what a layer''s query has otherwise than its table for days, into a temporary table; how many rows have the key of a row of another day that is not stale';

/* Refreshes days of a layer that a query makes, in the transaction of the caller. Day -infinity comes alone. */
CREATE FUNCTION dicom.refresh_layer_days
(
	pipeline text,
	layer text,
	epoch integer,
	days date[],
	OUT missing jsonb,
	OUT inserted bigint,
	OUT updated bigint,
	OUT deleted bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	p dicom.pipeline := dicom.own_pipeline(pipeline);
	l dicom.layer;
	began timestamptz := clock_timestamp();
	before jsonb;
	columns text;
	fresh text;
	diff text;
	stale date[];
	needed date[];
	touched date[];
	ambiguous bigint;
	counts jsonb;
	sizes jsonb;
	found text[];
BEGIN
	SELECT * INTO STRICT l FROM dicom.layer x WHERE x.pipeline = p.name AND x.name = refresh_layer_days.layer;
	IF l.kind = 'matview' THEN
		SELECT d.touched_at INTO began FROM dicom.layer_day d WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = refresh_layer_days.epoch AND d.day = 'infinity';
		EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY %s', l.name);
		UPDATE dicom.layer_day d
		SET state = 'fresh', forced = false, stale_since = NULL, refreshed_at = clock_timestamp(), failures = 0, next_attempt = NULL, error_code = NULL, error = NULL
		WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = refresh_layer_days.epoch AND d.day = 'infinity' AND d.touched_at IS NOT DISTINCT FROM began;
		PERFORM dicom.mark_days(p.name, c.layer, epoch, dicom.days_of_layer(p.name, c.layer, epoch))
		FROM dicom.layer_parent c
		JOIN dicom.layer k ON k.pipeline = c.pipeline AND k.name = c.layer AND k.kind = 'table'
		WHERE c.pipeline = p.name AND c.parent = l.name;
		RETURN;
	END IF;
	SELECT coalesce(jsonb_object_agg(d.day, d.touched_at), '{}') INTO before
	FROM dicom.layer_day d
	WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = refresh_layer_days.epoch AND d.day = ANY (days);
	needed := dicom.missing_partitions(l.storage_schema, l.storage_table, dicom.pipeline_option(p.options, 'partition_by'), days);
	IF needed IS NOT NULL THEN
		missing := jsonb_build_object(l.storage_table, needed);
		RETURN;
	END IF;
	/* Nobody else sees it: the views of the parents show this transaction another epoch. */
	IF epoch <> p.epoch THEN
		UPDATE dicom.pipeline x SET epoch = refresh_layer_days.epoch WHERE x.name = p.name;
	END IF;
	SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns
	FROM pg_attribute a
	WHERE a.attrelid = l.name::regclass AND a.attnum > 0;
	/* A row that has moved here from a day that is stale as well is taken from there; from another it is one key on two days. */
	SELECT coalesce(array_agg(d.day), '{}') INTO stale
	FROM dicom.layer_day d
	WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = refresh_layer_days.epoch AND d.state <> 'fresh';
	/* From a temporary table the planner sees how many rows there are. */
	fresh := 'dicom_fresh_' || left(md5(format('%I.%I', l.storage_schema, l.storage_table)), 16);
	diff := replace(fresh, 'fresh', 'diff');
	IF to_regclass('pg_temp.' || fresh) IS NULL THEN
		EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE %I.%I) ON COMMIT DELETE ROWS', fresh, l.storage_schema, l.storage_table);
		EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE %I.%I, change_action text, change_day date) ON COMMIT DELETE ROWS', diff, l.storage_schema, l.storage_table);
	ELSE
		EXECUTE format('DELETE FROM pg_temp.%I', fresh);
		EXECUTE format('DELETE FROM pg_temp.%I', diff);
	END IF;
	EXECUTE format('INSERT INTO pg_temp.%I (deid_epoch, deid_day, %s) SELECT $1, coalesce(q.%I, ''-infinity''), %s FROM %I.%I q WHERE %s',
		fresh, columns, l.day_column, (SELECT string_agg(format('q.%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = l.name::regclass AND a.attnum > 0),
		l.storage_schema, l.query_view,
		CASE WHEN days = ARRAY['-infinity'::date] THEN format('q.%I IS NULL', l.day_column) ELSE format('q.%I = ANY ($2)', l.day_column) END)
	USING epoch, days;
	ambiguous := dicom.diff_layer(l, epoch, days, stale, fresh, diff);
	IF ambiguous > 0 THEN
		RAISE EXCEPTION 'rows of % have the key of rows of other days', l.name
			USING ERRCODE = 'unique_violation', DETAIL = format('Key: %s; rows: %s', array_to_string(l.key, ', '), ambiguous),
				HINT = 'A key must belong to one day; add the day column to the key otherwise.';
	END IF;
	PERFORM dicom.apply_diff(format('%I.%I', l.storage_schema, l.storage_table)::regclass, diff,
		(SELECT array_agg(CASE WHEN k = l.day_column THEN 'deid_day' ELSE k END) FROM unnest(l.key) k),
		dicom.pipeline_option(p.options, 'partition_by') <> 'none' AND NOT l.day_column = ANY (l.key));
	SELECT c.* INTO inserted, updated, deleted, touched, counts FROM dicom.count_diff(diff, 'deid_day', 'true') c;
	EXECUTE format('SELECT jsonb_object_agg(c.day, c.rows) FROM (SELECT n.deid_day AS day, count(*) AS rows FROM pg_temp.%I n GROUP BY 1) c', fresh) INTO sizes;
	found := dicom.run_checks(p.name, l.name, days);
	IF epoch <> p.epoch THEN
		UPDATE dicom.pipeline x SET epoch = p.epoch WHERE x.name = p.name;
	END IF;
	IF touched IS NOT NULL THEN
		PERFORM dicom.mark_children(p.name, l.name, epoch, touched);
	END IF;
	UPDATE dicom.layer_day d
	SET state = 'fresh', forced = false, stale_since = NULL, refreshed_at = clock_timestamp(),
		inserted = coalesce((counts -> d.day::text ->> 0)::bigint, 0), updated = coalesce((counts -> d.day::text ->> 1)::bigint, 0),
		deleted = coalesce((counts -> d.day::text ->> 2)::bigint, 0), row_count = coalesce((sizes ->> d.day::text)::bigint, 0), seconds = extract(epoch FROM clock_timestamp() - began) / cardinality(days),
		failures = 0, next_attempt = NULL, error_code = NULL, error = NULL, warnings = nullif(found, '{}')
	WHERE d.pipeline = p.name AND d.layer = l.name AND d.epoch = refresh_layer_days.epoch AND d.day = ANY (days)
		AND d.touched_at IS NOT DISTINCT FROM (before ->> d.day::text)::timestamptz;
END
$$;
COMMENT ON FUNCTION dicom.refresh_layer_days(text, text, integer, date[]) IS
	'refreshes days of a layer under an epoch, in this transaction; missing: nothing was done, for these partitions do not exist yet';
