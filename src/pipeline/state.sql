
/* --- what a pipeline is and what became of it: src/pipeline --- */

CREATE TABLE dicom.pipeline
(
	name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z_][a-z0-9_]{0,39}$'),
	id integer GENERATED ALWAYS AS IDENTITY UNIQUE,
	owner regrole NOT NULL,
	provider text,
	raw text NOT NULL,
	stage text NOT NULL,
	raw_schema text NOT NULL,
	stage_schema text NOT NULL,
	processed_schema text NOT NULL,
	epoch integer NOT NULL,
	next_epoch integer,
	old_epochs integer[] NOT NULL DEFAULT '{}',
	paused boolean NOT NULL DEFAULT false,
	options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	rules text,
	created_at timestamptz NOT NULL DEFAULT now(),
	requested_at timestamptz,
	polled_at timestamptz,
	failures integer NOT NULL DEFAULT 0,
	next_attempt timestamptz,
	UNIQUE (stage_schema)
);
COMMENT ON TABLE dicom.pipeline IS 'pipelines: from the files of a server to de-identified tables and pictures; each is its owner''s';
COMMENT ON COLUMN dicom.pipeline.name IS 'name';
COMMENT ON COLUMN dicom.pipeline.id IS 'number, for locks and names of temporary tables';
COMMENT ON COLUMN dicom.pipeline.owner IS 'role with whose rights it runs';
COMMENT ON COLUMN dicom.pipeline.provider IS 'server that new files are copied from; NULL: they arrive in raw';
COMMENT ON COLUMN dicom.pipeline.raw IS 'server that holds the files';
COMMENT ON COLUMN dicom.pipeline.stage IS 'server that pictures and exports are written to';
COMMENT ON COLUMN dicom.pipeline.raw_schema IS 'schema of the foreign tables over raw';
COMMENT ON COLUMN dicom.pipeline.stage_schema IS 'schema of the de-identified tables; their rows are in the schema of that name with _private';
COMMENT ON COLUMN dicom.pipeline.processed_schema IS 'schema of the tables that are made from those';
COMMENT ON COLUMN dicom.pipeline.epoch IS 'epoch of the key whose pseudonyms readers see';
COMMENT ON COLUMN dicom.pipeline.next_epoch IS 'epoch that is being built beside it; NULL: none';
COMMENT ON COLUMN dicom.pipeline.old_epochs IS 'epochs that nobody sees any more, and whose rows and pictures are being removed';
COMMENT ON COLUMN dicom.pipeline.paused IS 'no run begins';
COMMENT ON COLUMN dicom.pipeline.options IS 'what dicom.pipeline_options() lists, where it is not the default';
COMMENT ON COLUMN dicom.pipeline.rules IS 'fingerprint of the rules that de-identified the tables; another one makes every day stale';
COMMENT ON COLUMN dicom.pipeline.created_at IS 'when it was created';
COMMENT ON COLUMN dicom.pipeline.requested_at IS 'when dicom.wake() asked for a run that has not begun';
COMMENT ON COLUMN dicom.pipeline.polled_at IS 'when provider and raw were last looked at';
COMMENT ON COLUMN dicom.pipeline.failures IS 'runs with a failed step since the last one without';
COMMENT ON COLUMN dicom.pipeline.next_attempt IS 'after a failed step: no run begins by itself before';

CREATE TABLE dicom.layer
(
	pipeline text COLLATE "C" NOT NULL REFERENCES dicom.pipeline ON UPDATE CASCADE ON DELETE CASCADE,
	name text COLLATE "C" NOT NULL,
	kind text NOT NULL CHECK (kind IN ('day', 'stage', 'table', 'view', 'matview', 'export')),
	schema_name text NOT NULL,
	table_name text NOT NULL,
	storage_schema text,
	storage_table text,
	query_view text,
	key text[],
	day_column text,
	query text,
	place integer NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (pipeline, name),
	UNIQUE (schema_name, table_name)
);
COMMENT ON TABLE dicom.layer IS 'tables that a pipeline keeps fresh, day by day';
COMMENT ON COLUMN dicom.layer.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.layer.name IS 'schema and name, as SQL writes them; of the raw days that stage is made from, the stage schema alone';
COMMENT ON COLUMN dicom.layer.kind IS
	'day: the raw days that stage is made from; stage: a table of the stage schema; table: kept by its query; view, matview: a view or materialized view of the user''s; export: Parquet files of one of these, schema and name are server and folder';
COMMENT ON COLUMN dicom.layer.schema_name IS 'schema of what is read';
COMMENT ON COLUMN dicom.layer.table_name IS 'name of what is read';
COMMENT ON COLUMN dicom.layer.storage_schema IS 'schema of the table that holds the rows';
COMMENT ON COLUMN dicom.layer.storage_table IS 'name of the table that holds the rows';
COMMENT ON COLUMN dicom.layer.query_view IS 'view of its query, in the schema of the table that holds the rows';
COMMENT ON COLUMN dicom.layer.key IS 'columns of which no two rows have the same values';
COMMENT ON COLUMN dicom.layer.day_column IS 'column that says which day a row belongs to; NULL there: the day -infinity';
COMMENT ON COLUMN dicom.layer.query IS 'the query as it was given';
COMMENT ON COLUMN dicom.layer.place IS 'parents come before their children';
COMMENT ON COLUMN dicom.layer.created_at IS 'when it was created';

CREATE TABLE dicom.layer_parent
(
	pipeline text COLLATE "C" NOT NULL,
	layer text COLLATE "C" NOT NULL,
	parent text COLLATE "C" NOT NULL,
	gives_day boolean NOT NULL,
	columns text[] NOT NULL DEFAULT '{}',
	PRIMARY KEY (pipeline, layer, parent),
	FOREIGN KEY (pipeline, layer) REFERENCES dicom.layer ON UPDATE CASCADE ON DELETE CASCADE,
	FOREIGN KEY (pipeline, parent) REFERENCES dicom.layer ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE dicom.layer_parent IS 'which layer is made from which, as pg_depend has it';
COMMENT ON COLUMN dicom.layer_parent.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.layer_parent.layer IS 'the layer';
COMMENT ON COLUMN dicom.layer_parent.parent IS 'a layer that its query reads';
COMMENT ON COLUMN dicom.layer_parent.gives_day IS 'days of the parent are days of the layer';
COMMENT ON COLUMN dicom.layer_parent.columns IS 'columns of the parent that are read';

CREATE TABLE dicom.layer_check
(
	pipeline text COLLATE "C" NOT NULL,
	layer text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	severity text NOT NULL CHECK (severity IN ('warn', 'stop')),
	query text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (pipeline, layer, name),
	FOREIGN KEY (pipeline, layer) REFERENCES dicom.layer ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE dicom.layer_check IS 'queries whose rows are violations';
COMMENT ON COLUMN dicom.layer_check.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.layer_check.layer IS 'layer whose days are checked';
COMMENT ON COLUMN dicom.layer_check.name IS 'name';
COMMENT ON COLUMN dicom.layer_check.severity IS 'warn: it is said; stop: the day keeps its old rows';
COMMENT ON COLUMN dicom.layer_check.query IS 'the query; $1 in it is the day';
COMMENT ON COLUMN dicom.layer_check.created_at IS 'when it was added';

CREATE TABLE dicom.stage_column
(
	pipeline text COLLATE "C" NOT NULL REFERENCES dicom.pipeline ON UPDATE CASCADE ON DELETE CASCADE,
	epoch integer NOT NULL,
	entity text COLLATE "C" NOT NULL,
	column_name text COLLATE "C" NOT NULL,
	ordinal integer NOT NULL,
	expression text NOT NULL,
	type text NOT NULL,
	PRIMARY KEY (pipeline, epoch, entity, column_name)
);
COMMENT ON TABLE dicom.stage_column IS 'what the rules of de-identification make of each column, as they were at the beginning of the last run';
COMMENT ON COLUMN dicom.stage_column.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.stage_column.epoch IS 'epoch of the key';
COMMENT ON COLUMN dicom.stage_column.entity IS 'patients, devices, studies, series, images';
COMMENT ON COLUMN dicom.stage_column.column_name IS 'column';
COMMENT ON COLUMN dicom.stage_column.ordinal IS 'place';
COMMENT ON COLUMN dicom.stage_column.expression IS 'expression over r, a row of a file';
COMMENT ON COLUMN dicom.stage_column.type IS 'type of the result';

CREATE TABLE dicom.layer_day
(
	pipeline text COLLATE "C" NOT NULL,
	layer text COLLATE "C" NOT NULL,
	epoch integer NOT NULL,
	day date NOT NULL,
	state text COLLATE "C" NOT NULL CHECK (state IN ('fresh', 'stale', 'stopped', 'failed')),
	stale_since timestamptz,
	touched_at timestamptz,
	forced boolean NOT NULL DEFAULT false,
	refreshed_at timestamptz,
	row_count bigint,
	inserted bigint,
	updated bigint,
	deleted bigint,
	seconds double precision,
	failures integer NOT NULL DEFAULT 0,
	next_attempt timestamptz,
	error_code text,
	error text,
	warnings text[],
	PRIMARY KEY (pipeline, layer, epoch, day),
	FOREIGN KEY (pipeline, layer) REFERENCES dicom.layer ON UPDATE CASCADE ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX layer_day_waiting ON dicom.layer_day (pipeline, layer, epoch, day) WHERE state <> 'fresh';
COMMENT ON TABLE dicom.layer_day IS 'the state of each day of each layer';
COMMENT ON INDEX dicom.layer_day_waiting IS 'days that are not fresh';
COMMENT ON COLUMN dicom.layer_day.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.layer_day.layer IS 'layer';
COMMENT ON COLUMN dicom.layer_day.epoch IS 'epoch of the key';
COMMENT ON COLUMN dicom.layer_day.day IS 'day; of the stage schema itself and of compressed_images: as the files have it; -infinity: unknown';
COMMENT ON COLUMN dicom.layer_day.state IS 'fresh; stale: to be refreshed; stopped: by a check; failed: refreshing it failed. All but fresh have the rows of the last time';
COMMENT ON COLUMN dicom.layer_day.stale_since IS 'when it became stale';
COMMENT ON COLUMN dicom.layer_day.touched_at IS 'when a change last made it stale';
COMMENT ON COLUMN dicom.layer_day.forced IS 'to be refreshed without waiting for a batch or a quiet period';
COMMENT ON COLUMN dicom.layer_day.refreshed_at IS 'when it was last refreshed';
COMMENT ON COLUMN dicom.layer_day.row_count IS 'rows of the day then';
COMMENT ON COLUMN dicom.layer_day.inserted IS 'rows inserted then';
COMMENT ON COLUMN dicom.layer_day.updated IS 'rows updated then';
COMMENT ON COLUMN dicom.layer_day.deleted IS 'rows deleted then';
COMMENT ON COLUMN dicom.layer_day.seconds IS 'how long that took';
COMMENT ON COLUMN dicom.layer_day.failures IS 'how often it failed or was stopped since';
COMMENT ON COLUMN dicom.layer_day.next_attempt IS 'of a failed or stopped day: not tried again before, unless something changes';
COMMENT ON COLUMN dicom.layer_day.error_code IS 'SQLSTATE of the failure';
COMMENT ON COLUMN dicom.layer_day.error IS 'why it failed or was stopped';
COMMENT ON COLUMN dicom.layer_day.warnings IS 'checks of severity warn that found something';

CREATE TABLE dicom.run_log
(
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	pipeline text COLLATE "C" NOT NULL REFERENCES dicom.pipeline ON UPDATE CASCADE ON DELETE CASCADE,
	status text COLLATE "C" NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
	step text COLLATE "C" NOT NULL,
	cursor text COLLATE "C",
	reason text NOT NULL,
	forced boolean NOT NULL,
	pid integer NOT NULL,
	started_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	ended_at timestamptz,
	error text
) WITH (fillfactor = 70);
CREATE INDEX run_log_of_pipeline ON dicom.run_log (pipeline, id);
COMMENT ON TABLE dicom.run_log IS 'runs; see dicom.runs';
COMMENT ON INDEX dicom.run_log_of_pipeline IS 'runs of a pipeline, in order';
COMMENT ON COLUMN dicom.run_log.id IS 'number';
COMMENT ON COLUMN dicom.run_log.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.run_log.status IS 'running, done, failed (a step did, the others are done), interrupted';
COMMENT ON COLUMN dicom.run_log.step IS 'step that it is at';
COMMENT ON COLUMN dicom.run_log.cursor IS 'where in the step';
COMMENT ON COLUMN dicom.run_log.reason IS 'why it began';
COMMENT ON COLUMN dicom.run_log.forced IS 'days are refreshed without waiting for a batch or a quiet period';
COMMENT ON COLUMN dicom.run_log.pid IS 'process that does or did it';
COMMENT ON COLUMN dicom.run_log.started_at IS 'when it began';
COMMENT ON COLUMN dicom.run_log.updated_at IS 'when it last committed something';
COMMENT ON COLUMN dicom.run_log.ended_at IS 'when it ended';
COMMENT ON COLUMN dicom.run_log.error IS 'the first failure';

CREATE TABLE dicom.step_log
(
	run bigint NOT NULL REFERENCES dicom.run_log ON DELETE CASCADE,
	step text COLLATE "C" NOT NULL,
	status text COLLATE "C" NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
	started_at timestamptz NOT NULL,
	ended_at timestamptz,
	seconds double precision NOT NULL DEFAULT 0,
	total bigint,
	done bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	inserted bigint NOT NULL DEFAULT 0,
	updated bigint NOT NULL DEFAULT 0,
	deleted bigint NOT NULL DEFAULT 0,
	bytes bigint NOT NULL DEFAULT 0,
	requests bigint NOT NULL DEFAULT 0,
	error_code text,
	error text,
	detail text,
	hint text,
	PRIMARY KEY (run, step)
) WITH (fillfactor = 70);
COMMENT ON TABLE dicom.step_log IS 'steps of runs; see dicom.run_steps';
COMMENT ON COLUMN dicom.step_log.run IS 'the run';
COMMENT ON COLUMN dicom.step_log.step IS 'copy, sync, stage, compress, processed, export, archive, clean';
COMMENT ON COLUMN dicom.step_log.status IS 'running, done, failed, interrupted';
COMMENT ON COLUMN dicom.step_log.started_at IS 'when it began';
COMMENT ON COLUMN dicom.step_log.ended_at IS 'when it ended';
COMMENT ON COLUMN dicom.step_log.seconds IS 'time spent in it';
COMMENT ON COLUMN dicom.step_log.total IS 'how much there is to do, as far as known: objects of copy, sync and compress, else days';
COMMENT ON COLUMN dicom.step_log.done IS 'how much of that is done';
COMMENT ON COLUMN dicom.step_log.failed IS 'how much of that failed';
COMMENT ON COLUMN dicom.step_log.inserted IS 'objects or rows that are new';
COMMENT ON COLUMN dicom.step_log.updated IS 'objects or rows that were changed';
COMMENT ON COLUMN dicom.step_log.deleted IS 'objects or rows that are gone';
COMMENT ON COLUMN dicom.step_log.bytes IS 'bytes moved or written';
COMMENT ON COLUMN dicom.step_log.requests IS 'requests made';
COMMENT ON COLUMN dicom.step_log.error_code IS 'SQLSTATE of the failure';
COMMENT ON COLUMN dicom.step_log.error IS 'why it failed';
COMMENT ON COLUMN dicom.step_log.detail IS 'more of that: the object or the place, which may identify, or what a program said';
COMMENT ON COLUMN dicom.step_log.hint IS 'what to do about it';

CREATE TABLE dicom.failure
(
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	pipeline text COLLATE "C" NOT NULL REFERENCES dicom.pipeline ON UPDATE CASCADE ON DELETE CASCADE,
	step text COLLATE "C" NOT NULL,
	object_key text COLLATE "C",
	layer text COLLATE "C",
	day date,
	reason text COLLATE "C" NOT NULL,
	error_code text COLLATE "C",
	message text,
	count integer NOT NULL DEFAULT 1,
	first_at timestamptz NOT NULL,
	last_at timestamptz NOT NULL,
	next_attempt timestamptz,
	resolved_at timestamptz
);
CREATE UNIQUE INDEX failure_of_object ON dicom.failure (pipeline, step, object_key) WHERE object_key IS NOT NULL;
CREATE UNIQUE INDEX failure_of_day ON dicom.failure (pipeline, step, layer, day) WHERE object_key IS NULL;
CREATE INDEX failure_by_day ON dicom.failure (pipeline, day) WHERE object_key IS NOT NULL;
COMMENT ON TABLE dicom.failure IS 'what failed; see dicom.failures. Keys of objects may identify: they are for the owner of the pipeline alone';
COMMENT ON INDEX dicom.failure_of_object IS 'one row per object and step';
COMMENT ON INDEX dicom.failure_of_day IS 'one row per day of a layer';
COMMENT ON INDEX dicom.failure_by_day IS 'objects of a day';
COMMENT ON COLUMN dicom.failure.id IS 'number';
COMMENT ON COLUMN dicom.failure.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.failure.step IS 'copy, sync, stage, compress, processed, export, archive, clean';
COMMENT ON COLUMN dicom.failure.object_key IS 'key of the object; NULL: a day failed';
COMMENT ON COLUMN dicom.failure.layer IS 'layer of the day';
COMMENT ON COLUMN dicom.failure.day IS 'day, as the files have it for objects and the stage schema';
COMMENT ON COLUMN dicom.failure.reason IS
	'unreadable, incomplete (no instance UID), duplicate, conflict (as duplicate, but with another content), no_pixels, quarantined, undecodable, unreachable, failed, stopped';
COMMENT ON COLUMN dicom.failure.error_code IS 'SQLSTATE';
COMMENT ON COLUMN dicom.failure.message IS 'the error';
COMMENT ON COLUMN dicom.failure.count IS 'how often';
COMMENT ON COLUMN dicom.failure.first_at IS 'when it first failed';
COMMENT ON COLUMN dicom.failure.last_at IS 'when it last failed';
COMMENT ON COLUMN dicom.failure.next_attempt IS 'when it is tried again; NULL: when the object changes, or on dicom.retry_failed()';
COMMENT ON COLUMN dicom.failure.resolved_at IS 'when it was found to be well, or gone';

/* Rows belong to whoever may act as the owner of their pipeline. */
DO $$
DECLARE
	tab text;
BEGIN
	ALTER TABLE dicom.pipeline ENABLE ROW LEVEL SECURITY;
	CREATE POLICY of_owner ON dicom.pipeline
		USING (pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE'))
		WITH CHECK (pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE'));
	FOREACH tab IN ARRAY ARRAY['layer', 'layer_parent', 'layer_check', 'stage_column', 'layer_day', 'run_log', 'failure']
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE dicom.%I ENABLE ROW LEVEL SECURITY', tab);
		EXECUTE pg_catalog.format($f$
			CREATE POLICY of_owner ON dicom.%1$I
				USING (EXISTS (SELECT FROM dicom.pipeline p WHERE p.name = %1$I.pipeline))
				WITH CHECK (EXISTS (SELECT FROM dicom.pipeline p WHERE p.name = %1$I.pipeline))$f$, tab);
	END LOOP;
	ALTER TABLE dicom.step_log ENABLE ROW LEVEL SECURITY;
	CREATE POLICY of_owner ON dicom.step_log
		USING (EXISTS (SELECT FROM dicom.run_log r WHERE r.id = step_log.run))
		WITH CHECK (EXISTS (SELECT FROM dicom.run_log r WHERE r.id = step_log.run));
	FOREACH tab IN ARRAY ARRAY['pipeline', 'layer', 'layer_parent', 'layer_check', 'stage_column', 'layer_day', 'run_log', 'step_log', 'failure']
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON dicom.%I FROM PUBLIC', tab);
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON dicom.%I TO PUBLIC', tab);
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('dicom.%I', tab)::pg_catalog.regclass, '');
	END LOOP;
	PERFORM pg_catalog.pg_extension_config_dump('dicom.pipeline_id_seq', '');
	PERFORM pg_catalog.pg_extension_config_dump('dicom.run_log_id_seq', '');
	PERFORM pg_catalog.pg_extension_config_dump('dicom.failure_id_seq', '');
END
$$;

/* --- options --- */

CREATE FUNCTION dicom.pipeline_options()
RETURNS TABLE (name text, type text, default_value text, description text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 30
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
	('profile', 'text', NULL, 'rules of de-identification: a profile of dicom.anonymization_profile; NULL: the default one'),
	('partition_by', 'text', 'none', 'physical partitions of tables with a day: none, month or day'),
	('min_batch', 'integer', '1', 'how many new, changed or vanished objects a run waits for'),
	('max_age', 'interval', NULL, 'a change older than this waits no longer; NULL: it does'),
	('quiet_period', 'interval', '0', 'how long no object of a day may have changed before the day is refreshed'),
	('poll_interval', 'interval', '1 min', 'how often the worker looks for new objects'),
	('batch_objects', 'integer', '1000', 'objects per transaction; a day is never divided between two'),
	('jobs', 'integer', NULL, 'pictures made at the same time; NULL: one per processor'),
	('quality', 'integer', '90', 'of pictures: 1 to 100'),
	('max_size', 'integer', NULL, 'of pictures: pixels of the longer side; NULL: as they are'),
	('window', 'text', NULL, 'of pictures: grey levels, as dicompress --window takes them'),
	('inline_jpeg_limit', 'integer', '0', 'pictures up to so many bytes are columns of compressed_images too'),
	('burned_in', 'text', 'quarantine', 'images that may show text about a patient: quarantine gives no picture; allow does'),
	('export', 'text', 'none', 'what is written as Parquet: none, or a list of stage, processed, raw'),
	('export_partition', 'text', 'day', 'folders of exported tables: day (year=2021/month=09/day=12), month, or a template such as date={year}_{month}'),
	('export_raw_to', 'text', NULL, 'server that raw tables are exported to; it must have the option identified'),
	('export_allow_schema_change', 'boolean', 'false', 'exported tables may lose columns, or change their types'),
	('archive_after', 'interval', NULL, 'age at which raw files of finished days move to another storage class; NULL: none does'),
	('archive_class', 'text', 'STANDARD_IA', 'that storage class'),
	('keep_runs', 'interval', '90 days', 'how long runs, and failures that are resolved, are kept')
$$;
COMMENT ON FUNCTION dicom.pipeline_options() IS 'options of pipelines, their types and defaults';

CREATE FUNCTION dicom.pipeline_option(options jsonb, option text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(options ->> option, (SELECT o.default_value FROM dicom.pipeline_options() o WHERE o.name = option))
$$;
COMMENT ON FUNCTION dicom.pipeline_option(jsonb, text) IS 'an option of dicom.pipeline.options, or its default';

/* --- what a data engineer looks at --- */

/* A run holds this lock from its beginning to its end; what says 'running' without it was interrupted. */
CREATE VIEW dicom.runs WITH (security_barrier) AS
SELECT
	r.id AS run,
	r.pipeline,
	CASE WHEN r.status = 'running' AND l.pid IS NULL THEN 'interrupted' ELSE r.status END AS status,
	r.step,
	r.reason,
	r.started_at AS started,
	r.updated_at AS updated,
	r.ended_at AS ended,
	round(extract(epoch FROM coalesce(r.ended_at, CASE WHEN l.pid IS NOT NULL THEN clock_timestamp() ELSE r.updated_at END) - r.started_at)::numeric, 3)
		AS seconds,
	r.pid,
	r.error
FROM dicom.run_log r
JOIN dicom.pipeline p ON p.name = r.pipeline
LEFT JOIN pg_catalog.pg_locks l
	ON r.status = 'running'
	AND l.locktype = 'advisory'
	AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
	AND l.classid = 'dicom.pipeline'::pg_catalog.regclass
	AND l.objid = p.id::pg_catalog.oid
	AND l.objsubid = 2
	AND l.granted
	AND l.pid = r.pid
WHERE pg_catalog.pg_has_role(p.owner::pg_catalog.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
GRANT SELECT ON dicom.runs TO PUBLIC;
COMMENT ON VIEW dicom.runs IS 'runs of the pipelines that one owns (members of pg_monitor: of all), the running ones included';
COMMENT ON COLUMN dicom.runs.run IS 'number';
COMMENT ON COLUMN dicom.runs.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.runs.status IS 'running, done, failed (a step did, the others are done), interrupted: its process ended in the middle; the next run goes on';
COMMENT ON COLUMN dicom.runs.step IS 'step that it is at';
COMMENT ON COLUMN dicom.runs.reason IS 'why it began';
COMMENT ON COLUMN dicom.runs.started IS 'when it began';
COMMENT ON COLUMN dicom.runs.updated IS 'when it last committed something';
COMMENT ON COLUMN dicom.runs.ended IS 'when it ended';
COMMENT ON COLUMN dicom.runs.seconds IS 'how long it took, or takes until now';
COMMENT ON COLUMN dicom.runs.pid IS 'its process';
COMMENT ON COLUMN dicom.runs.error IS 'the first failure';

CREATE VIEW dicom.run_steps WITH (security_barrier) AS
SELECT
	s.run,
	r.pipeline,
	s.step,
	CASE WHEN s.status = 'running' AND r.status = 'interrupted' THEN 'interrupted' ELSE s.status END AS status,
	s.total,
	s.done,
	s.failed,
	s.inserted,
	s.updated,
	s.deleted,
	s.bytes,
	s.requests,
	round(s.seconds::numeric, 3) AS seconds,
	round((s.done / greatest(s.seconds, 0.001))::numeric, 1) AS rate,
	s.started_at AS started,
	s.ended_at AS ended,
	r.pid,
	s.error_code,
	s.error,
	CASE WHEN pg_catalog.pg_has_role(p.owner::pg_catalog.oid, 'USAGE') THEN s.detail END AS detail,
	s.hint
FROM dicom.step_log s
JOIN dicom.runs r ON r.run = s.run
JOIN dicom.pipeline p ON p.name = r.pipeline;
GRANT SELECT ON dicom.run_steps TO PUBLIC;
COMMENT ON VIEW dicom.run_steps IS 'what each step of a run has done so far';
COMMENT ON COLUMN dicom.run_steps.run IS 'the run';
COMMENT ON COLUMN dicom.run_steps.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.run_steps.step IS 'copy, sync, stage, compress, processed, export, archive, clean';
COMMENT ON COLUMN dicom.run_steps.status IS 'running, done, failed, interrupted';
COMMENT ON COLUMN dicom.run_steps.total IS 'how much there is to do, as far as known: objects of copy, sync and compress, else days';
COMMENT ON COLUMN dicom.run_steps.done IS 'how much of that is done';
COMMENT ON COLUMN dicom.run_steps.failed IS 'how much of that failed';
COMMENT ON COLUMN dicom.run_steps.inserted IS 'objects or rows that are new';
COMMENT ON COLUMN dicom.run_steps.updated IS 'objects or rows that were changed';
COMMENT ON COLUMN dicom.run_steps.deleted IS 'objects or rows that are gone';
COMMENT ON COLUMN dicom.run_steps.bytes IS 'bytes moved or written';
COMMENT ON COLUMN dicom.run_steps.requests IS 'requests made';
COMMENT ON COLUMN dicom.run_steps.seconds IS 'time spent in it';
COMMENT ON COLUMN dicom.run_steps.rate IS 'done per second';
COMMENT ON COLUMN dicom.run_steps.started IS 'when it began';
COMMENT ON COLUMN dicom.run_steps.ended IS 'when it ended';
COMMENT ON COLUMN dicom.run_steps.pid IS 'process';
COMMENT ON COLUMN dicom.run_steps.error_code IS 'SQLSTATE of the failure';
COMMENT ON COLUMN dicom.run_steps.error IS 'why it failed';
COMMENT ON COLUMN dicom.run_steps.detail IS 'more of that, for whoever may act as the owner of the pipeline: the object or the place, or what a program said';
COMMENT ON COLUMN dicom.run_steps.hint IS 'what to do about it';

CREATE VIEW dicom.days WITH (security_barrier) AS
SELECT
	d.pipeline,
	d.layer,
	d.day,
	d.state,
	d.epoch,
	d.stale_since,
	d.refreshed_at AS refreshed,
	d.row_count,
	d.inserted,
	d.updated,
	d.deleted,
	round(d.seconds::numeric, 3) AS seconds,
	d.failures,
	d.next_attempt,
	d.error_code,
	d.error,
	d.warnings
FROM dicom.layer_day d
JOIN dicom.pipeline p ON p.name = d.pipeline
WHERE pg_catalog.pg_has_role(p.owner::pg_catalog.oid, 'USAGE') AND d.epoch IN (p.epoch, p.next_epoch);
GRANT SELECT ON dicom.days TO PUBLIC;
COMMENT ON VIEW dicom.days IS
	'the grid of layers and days, of the pipelines that one owns. Days of the stage schema itself, and of compressed_images, are those of the files: they may identify';
COMMENT ON COLUMN dicom.days.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.days.layer IS 'layer: a table, or the stage schema as a whole';
COMMENT ON COLUMN dicom.days.day IS 'day; -infinity: unknown; infinity: all of a materialized view';
COMMENT ON COLUMN dicom.days.state IS 'fresh, stale, stopped (by a check), failed';
COMMENT ON COLUMN dicom.days.epoch IS 'epoch of the key';
COMMENT ON COLUMN dicom.days.stale_since IS 'when it became stale';
COMMENT ON COLUMN dicom.days.refreshed IS 'when it was last refreshed';
COMMENT ON COLUMN dicom.days.row_count IS 'rows of the day then';
COMMENT ON COLUMN dicom.days.inserted IS 'rows inserted then';
COMMENT ON COLUMN dicom.days.updated IS 'rows updated then';
COMMENT ON COLUMN dicom.days.deleted IS 'rows deleted then';
COMMENT ON COLUMN dicom.days.seconds IS 'how long that took';
COMMENT ON COLUMN dicom.days.failures IS 'how often it failed or was stopped since';
COMMENT ON COLUMN dicom.days.next_attempt IS 'when it is tried again';
COMMENT ON COLUMN dicom.days.error_code IS 'SQLSTATE of the failure';
COMMENT ON COLUMN dicom.days.error IS 'why it failed or was stopped';
COMMENT ON COLUMN dicom.days.warnings IS 'checks of severity warn that found something';

CREATE VIEW dicom.failures WITH (security_barrier) AS
SELECT
	f.pipeline,
	f.step,
	f.object_key,
	f.layer,
	f.day,
	f.reason,
	f.error_code,
	f.message,
	f.count,
	f.first_at AS first,
	f.last_at AS last,
	f.next_attempt,
	f.resolved_at AS resolved
FROM dicom.failure f
JOIN dicom.pipeline p ON p.name = f.pipeline
WHERE pg_catalog.pg_has_role(p.owner::pg_catalog.oid, 'USAGE');
GRANT SELECT ON dicom.failures TO PUBLIC;
COMMENT ON VIEW dicom.failures IS 'every object and every day that failed, of the pipelines that one owns; keys of objects may identify';
COMMENT ON COLUMN dicom.failures.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.failures.step IS 'copy, sync, stage, compress, processed, export, archive, clean';
COMMENT ON COLUMN dicom.failures.object_key IS 'key of the object; NULL: a day failed';
COMMENT ON COLUMN dicom.failures.layer IS 'layer of the day';
COMMENT ON COLUMN dicom.failures.day IS 'day, as the files have it for objects and the stage schema';
COMMENT ON COLUMN dicom.failures.reason IS
	'unreadable, incomplete (no instance UID), duplicate, conflict (as duplicate, but with another content), no_pixels, quarantined, undecodable, unreachable, failed, stopped';
COMMENT ON COLUMN dicom.failures.error_code IS 'SQLSTATE';
COMMENT ON COLUMN dicom.failures.message IS 'the error';
COMMENT ON COLUMN dicom.failures.count IS 'how often';
COMMENT ON COLUMN dicom.failures.first IS 'when it first failed';
COMMENT ON COLUMN dicom.failures.last IS 'when it last failed';
COMMENT ON COLUMN dicom.failures.next_attempt IS 'when it is tried again; NULL: when the object changes, or on dicom.retry_failed()';
COMMENT ON COLUMN dicom.failures.resolved IS 'when it was found to be well, or gone';
