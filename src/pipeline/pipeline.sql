
/* --- making, changing and dropping pipelines: src/pipeline --- */

CREATE FUNCTION dicom.lock_run(class oid, pipeline integer, wait boolean)
RETURNS boolean
AS 'MODULE_PATHNAME', 'dicom_lock_run' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.lock_run(oid, integer, boolean) IS
	'takes the lock that a run of a pipeline holds, until dicom.unlock_run(), or until a transaction of the session is aborted; false: another session has it';

CREATE FUNCTION dicom.unlock_run()
RETURNS void
AS 'MODULE_PATHNAME', 'dicom_unlock_run' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.unlock_run() IS 'gives back what dicom.lock_run() took';

CREATE FUNCTION dicom.column_origins(relation regclass)
RETURNS TABLE (column_name name, origin regclass, origin_column name)
AS 'MODULE_PATHNAME', 'dicom_column_origins' LANGUAGE C STRICT STABLE PARALLEL SAFE ROWS 50;
COMMENT ON FUNCTION dicom.column_origins(regclass) IS
	'columns of a view, and the columns of other relations that they are; NULL for what is computed';

CREATE FUNCTION dicom.make_directory(path text)
RETURNS void
AS 'MODULE_PATHNAME', 'dicom_make_directory' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION dicom.make_directory(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.make_directory(text) IS 'makes a directory of the machine, with those above it; needs the privileges of pg_write_server_files';

CREATE FUNCTION dicom.own_pipeline(pipeline text)
RETURNS dicom.pipeline
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found dicom.pipeline;
	near text;
BEGIN
	SELECT * INTO found FROM dicom.pipeline p WHERE p.name = own_pipeline.pipeline AND pg_has_role(p.owner::oid, 'USAGE');
	IF found.name IS NULL THEN
		SELECT string_agg(p.name, ', ' ORDER BY p.name) INTO near FROM dicom.pipeline p WHERE pg_has_role(p.owner::oid, 'USAGE');
		RAISE EXCEPTION 'there is no pipeline "%"', own_pipeline.pipeline
			USING ERRCODE = 'undefined_object',
				HINT = coalesce('You have: ' || near || '.', 'SELECT dicom.create_pipeline(…) makes one.');
	END IF;
	RETURN found;
END
$$;
COMMENT ON FUNCTION dicom.own_pipeline(text) IS 'a pipeline by its name, of those that one owns; an error where there is none';

CREATE FUNCTION dicom.check_pipeline_options(options jsonb)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given record;
	valid boolean;
BEGIN
	FOR given IN
		SELECT e.key, e.value, o.type, o.name IS NOT NULL AS known
		FROM jsonb_each_text(options) e
		LEFT JOIN dicom.pipeline_options() o ON o.name = e.key
	LOOP
		IF NOT given.known THEN
			RAISE EXCEPTION 'invalid option "%"', given.key
				USING ERRCODE = 'invalid_parameter_value',
					HINT = format('Valid options are: %s.', (SELECT string_agg(o.name, ', ') FROM dicom.pipeline_options() o));
		END IF;
		BEGIN
			EXECUTE format('SELECT ($1::%s) IS NOT NULL', given.type) INTO STRICT valid USING given.value;
			valid := CASE given.key
				WHEN 'partition_by' THEN given.value IN ('none', 'month', 'day')
				WHEN 'burned_in' THEN given.value IN ('quarantine', 'allow')
				WHEN 'quality' THEN given.value::integer BETWEEN 1 AND 100
				WHEN 'jobs' THEN given.value::integer BETWEEN 1 AND 1024
				WHEN 'max_size' THEN given.value::integer BETWEEN 1 AND 65500
				WHEN 'batch_objects' THEN given.value::integer BETWEEN 1 AND 1000000
				WHEN 'min_batch' THEN given.value::integer >= 1
				WHEN 'export' THEN given.value ~ '^(none|(stage|processed|raw)(\s*,\s*(stage|processed|raw))*)$'
				WHEN 'export_partition' THEN dicom.is_export_partition(given.value)
				WHEN 'export_raw_to' THEN dicom.check_identified_server(given.value)
				WHEN 'archive_class' THEN given.value ~ '^[A-Z0-9_-]{1,64}$'
				WHEN 'inline_jpeg_limit' THEN given.value::integer >= 0
				ELSE given.type <> 'interval' OR given.value::interval >= interval '0'
			END;
		EXCEPTION WHEN data_exception THEN
			valid := false;
		END;
		IF NOT coalesce(valid, true) THEN
			RAISE EXCEPTION 'invalid value for option "%"', given.key
				USING ERRCODE = 'invalid_parameter_value',
					DETAIL = format('Value: %s', given.value),
					HINT = (SELECT format('%s, %s', o.type, o.description) FROM dicom.pipeline_options() o WHERE o.name = given.key);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION dicom.check_pipeline_options(jsonb) IS 'an error where an option of a pipeline is none, or has a value that it cannot have';

CREATE FUNCTION dicom.pipeline_server(pipeline text, role text, given text, like_server text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	server text := pipeline || '_' || role;
	location text := given;
	copied text;
BEGIN
	IF EXISTS (
		SELECT FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
		WHERE s.srvname = given AND w.fdwname = 'dicom_fdw')
	THEN
		IF NOT has_server_privilege(given, 'USAGE') THEN
			RAISE EXCEPTION 'permission denied for foreign server %', given USING ERRCODE = 'insufficient_privilege';
		END IF;
		RETURN given;
	END IF;
	IF location IS NULL THEN
		location := format('file://%s/dicom_fdw/%s/%s/%s/', current_setting('data_directory'), current_database(), pipeline, role);
	ELSIF location LIKE '/%' THEN
		location := 'file://' || location;
	ELSIF location !~ '^(file|s3)://' THEN
		RAISE EXCEPTION 'there is no server "%" of dicom_fdw', given
			USING ERRCODE = 'undefined_object',
				HINT = 'Name a server, a directory, or a location such as s3://bucket/prefix/ or file:///directory/.';
	END IF;
	IF location LIKE 'file://%' THEN
		PERFORM dicom.make_directory(substr(location, 8));
	END IF;
	SELECT string_agg(format(', %I %L', o.option_name, o.option_value), '') INTO copied
	FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) o
	WHERE s.srvname = like_server AND location LIKE 's3://%'
		AND o.option_name IN ('endpoint', 'region', 'url_style', 'tls_ca', 'credentials', 'profile', 'max_requests', 'request_timeout', 'max_retries');
	EXECUTE format('CREATE SERVER %I FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location %L%s)', server, location, copied);
	RETURN server;
END
$$;
COMMENT ON FUNCTION dicom.pipeline_server(text, text, text, text) IS
	'the server that a pipeline is given by name, or a new one for a directory or a location; without any, for a directory in the data directory';

CREATE FUNCTION dicom.create_pipeline
(
	name text,
	provider text DEFAULT NULL,
	raw text DEFAULT NULL,
	stage text DEFAULT NULL,
	raw_schema text DEFAULT 'dicom_raw',
	stage_schema text DEFAULT 'dicom_stage',
	processed_schema text DEFAULT 'dicom_processed',
	profile text DEFAULT NULL,
	partition_by text DEFAULT NULL,
	min_batch integer DEFAULT NULL,
	max_age interval DEFAULT NULL,
	quiet_period interval DEFAULT NULL,
	poll_interval interval DEFAULT NULL,
	jobs integer DEFAULT NULL,
	quality integer DEFAULT NULL,
	max_size integer DEFAULT NULL,
	inline_jpeg_limit integer DEFAULT NULL,
	burned_in text DEFAULT NULL,
	options jsonb DEFAULT '{}'
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
	given jsonb := options || jsonb_strip_nulls(jsonb_build_object(
		'profile', profile, 'partition_by', partition_by, 'min_batch', min_batch, 'max_age', max_age, 'quiet_period', quiet_period,
		'poll_interval', poll_interval, 'jobs', jobs, 'quality', quality, 'max_size', max_size, 'inline_jpeg_limit', inline_jpeg_limit,
		'burned_in', burned_in));
	target text;
	made dicom.pipeline;
BEGIN
	IF name !~ '^[a-z_][a-z0-9_]{0,39}$' THEN
		RAISE EXCEPTION 'invalid name of a pipeline'
			USING ERRCODE = 'invalid_name', HINT = 'Use up to 40 small letters, digits and underscores, beginning with a letter.';
	END IF;
	IF EXISTS (SELECT FROM dicom.pipeline p WHERE p.name = create_pipeline.name) THEN
		RAISE EXCEPTION 'pipeline "%" exists already', name
			USING ERRCODE = 'duplicate_object', HINT = 'dicom.alter_pipeline() changes its options, dicom.drop_pipeline() removes it.';
	END IF;
	IF provider IS NULL AND raw IS NULL THEN
		RAISE EXCEPTION 'a pipeline needs the server where its files are'
			USING ERRCODE = 'null_value_not_allowed', HINT = 'raw => the server that holds the files, or provider => the server to copy them from.';
	END IF;
	PERFORM dicom.check_pipeline_options(given);
	IF provider IS NOT NULL THEN
		provider := dicom.pipeline_server(name, 'provider', provider);
	END IF;
	raw := dicom.pipeline_server(name, 'raw', raw, provider);
	IF raw = provider THEN
		RAISE EXCEPTION 'provider and raw are the same server'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave out provider where files arrive in raw themselves.';
	END IF;
	stage := dicom.pipeline_server(name, 'stage', stage, raw);
	FOREACH target IN ARRAY ARRAY[raw_schema, stage_schema, processed_schema, stage_schema || '_private', processed_schema || '_private']
	LOOP
		IF to_regnamespace(quote_ident(target)) IS NULL THEN
			EXECUTE format('CREATE SCHEMA %I', target);
		END IF;
	END LOOP;
	INSERT INTO dicom.pipeline (name, owner, provider, raw, stage, raw_schema, stage_schema, processed_schema, epoch, options)
	VALUES (name, current_user::regrole, provider, raw, stage, raw_schema, stage_schema, processed_schema, dicom.record_epoch(), given)
	RETURNING * INTO made;
	PERFORM dicom.create_raw_tables(made);
	UPDATE dicom.pipeline p SET rules = dicom.refresh_stage_columns(made) WHERE p.name = made.name;
	PERFORM dicom.create_stage_tables(made);
	PERFORM dicom.create_processed_layers(made);
	PERFORM dicom.take_stale_days(raw);
	PERFORM dicom.mark_days(name, quote_ident(stage_schema), made.epoch, (SELECT array_agg(d.day) FROM dicom.catalog_days(raw) d));
END
$$;
COMMENT ON FUNCTION dicom.create_pipeline(text, text, text, text, text, text, text, text, text, integer, interval, interval, interval, integer, integer, integer, integer, text, jsonb) IS
	'makes a pipeline: schemas, foreign tables over raw, de-identified tables, pictures, and tables made from these. provider, raw, stage: a server, a directory or a location; without stage a directory in the data directory; further options: dicom.pipeline_options()';

CREATE FUNCTION dicom.alter_pipeline(name text, options jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	found dicom.pipeline := dicom.own_pipeline(name);
BEGIN
	IF options ? 'partition_by' AND options ->> 'partition_by' IS DISTINCT FROM dicom.pipeline_option(found.options, 'partition_by') THEN
		RAISE EXCEPTION 'tables that exist cannot be partitioned otherwise'
			USING ERRCODE = 'feature_not_supported', HINT = 'Make another pipeline over the same server, in schemas of its own.';
	END IF;
	PERFORM dicom.check_pipeline_options(jsonb_strip_nulls(options));
	PERFORM dicom.check_export_change(found, options);
	UPDATE dicom.pipeline p
	SET options = jsonb_strip_nulls(p.options || options)
	WHERE p.name = name;
END
$$;
COMMENT ON FUNCTION dicom.alter_pipeline(text, jsonb) IS
	'changes options, such as {"min_batch": 100}; null: the default again. Another profile de-identifies every day anew with the next run';

CREATE FUNCTION dicom.pause(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	UPDATE dicom.pipeline p SET paused = true WHERE p.name = (dicom.own_pipeline(name)).name;
END
$$;
COMMENT ON FUNCTION dicom.pause(text) IS 'no run of the pipeline begins; one that runs ends after what it is at';

CREATE FUNCTION dicom.resume(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	UPDATE dicom.pipeline p SET paused = false, next_attempt = NULL WHERE p.name = (dicom.own_pipeline(name)).name;
END
$$;
COMMENT ON FUNCTION dicom.resume(text) IS 'runs of the pipeline begin again';

CREATE FUNCTION dicom.drop_pipeline(name text, drop_data boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
	found dicom.pipeline := dicom.own_pipeline(name);
	private text := quote_ident(found.stage_schema || '_private');
	layer record;
	filled boolean := false;
	has_rows boolean;
BEGIN
	IF NOT dicom.lock_run('dicom.pipeline'::regclass, found.id, false) THEN
		RAISE EXCEPTION 'a run of pipeline "%" is in progress', name
			USING ERRCODE = 'object_in_use', HINT = 'See dicom.runs; dicom.pause() ends it.';
	END IF;
	FOR layer IN
		SELECT * FROM dicom.layer l WHERE l.pipeline = name ORDER BY l.place DESC
	LOOP
		CONTINUE WHEN layer.storage_table IS NULL OR to_regclass(format('%I.%I', layer.storage_schema, layer.storage_table)) IS NULL;
		EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I)', layer.storage_schema, layer.storage_table) INTO has_rows;
		filled := filled OR has_rows;
	END LOOP;
	IF filled AND NOT drop_data THEN
		RAISE EXCEPTION 'the tables of pipeline "%" hold rows', name
			USING ERRCODE = 'dependent_objects_still_exist',
				HINT = format('SELECT dicom.drop_pipeline(%L, drop_data => true) drops them; files and pictures stay where they are.', name);
	END IF;
	FOR layer IN
		SELECT * FROM dicom.layer l WHERE l.pipeline = name ORDER BY l.place DESC
	LOOP
		PERFORM dicom.drop_layer_relations(layer.schema_name, layer.table_name, layer.kind, layer.storage_schema, layer.storage_table, layer.query_view);
	END LOOP;
	IF to_regnamespace(private) IS NOT NULL THEN
		EXECUTE format('DROP SCHEMA %s CASCADE', private);
	END IF;
	IF NOT EXISTS (
		SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(found.processed_schema || '_private')))
	THEN
		EXECUTE format('DROP SCHEMA IF EXISTS %I', found.processed_schema || '_private');
	END IF;
	DELETE FROM dicom.pipeline p WHERE p.name = name;
	PERFORM dicom.unlock_run();
END
$$;
COMMENT ON FUNCTION dicom.drop_pipeline(text, boolean) IS
	'drops a pipeline and its tables; where these hold rows, only with drop_data. Raw tables, servers, files and pictures stay';
