
/* --- what is made from what, and how it goes: src/pipeline --- */

CREATE VIEW dicom.lineage WITH (security_barrier) AS
WITH own AS (
	SELECT p.* FROM dicom.pipeline p WHERE pg_catalog.pg_has_role(p.owner::pg_catalog.oid, 'USAGE')
),
edge (pipeline, source, target, kind) AS (
	SELECT p.name, 'server ' || p.provider, 'server ' || p.raw, 'copy' FROM own p WHERE p.provider IS NOT NULL
	UNION ALL
	SELECT p.name, 'server ' || p.raw, format('%I.%I', p.raw_schema, e.entity), 'sync' FROM own p, dicom.stage_entities() e
	UNION ALL
	SELECT p.name, format('%I.%I', p.raw_schema, e.entity), format('%I.%I', p.stage_schema, e.entity), 'stage' FROM own p, dicom.stage_entities() e
	UNION ALL
	SELECT p.name, format('%I.images', p.stage_schema), format('%I.compressed_images', p.stage_schema), 'compress' FROM own p
	UNION ALL
	SELECT p.name, 'server ' || p.raw, format('%I.compressed_images', p.stage_schema), 'compress' FROM own p
	UNION ALL
	SELECT p.name, format('%I.compressed_images', p.stage_schema), 'server ' || p.stage, 'compress' FROM own p
	UNION ALL
	SELECT p.name, format('%I.patients', p.stage_schema), format('%I.patient_ids', p.stage_schema), 'view' FROM own p
	UNION ALL
	SELECT p.name, c.parent, c.layer, CASE l.kind WHEN 'table' THEN 'processed' ELSE l.kind END
	FROM own p
	JOIN dicom.layer_parent c ON c.pipeline = p.name
	JOIN dicom.layer l ON l.pipeline = c.pipeline AND l.name = c.layer
	WHERE l.kind IN ('table', 'view', 'matview')
	UNION ALL
	SELECT p.name, substr(l.name, 9), l.schema_name, 'export'
	FROM own p
	JOIN dicom.layer l ON l.pipeline = p.name AND l.kind = 'export'
)
SELECT e.pipeline, e.source, e.target, e.kind FROM edge e;
GRANT SELECT ON dicom.lineage TO PUBLIC;
COMMENT ON VIEW dicom.lineage IS 'what is made from what, in the pipelines that one owns';
COMMENT ON COLUMN dicom.lineage.pipeline IS 'pipeline';
COMMENT ON COLUMN dicom.lineage.source IS 'a table, or a server';
COMMENT ON COLUMN dicom.lineage.target IS 'what is made from it';
COMMENT ON COLUMN dicom.lineage.kind IS 'step that does it, or what the target is: copy, sync, stage, compress, processed, view, matview, export';

CREATE FUNCTION dicom.lineage_mermaid(pipeline text DEFAULT NULL)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH edge AS (
	SELECT * FROM dicom.lineage l WHERE lineage_mermaid.pipeline IS NULL OR l.pipeline = lineage_mermaid.pipeline
),
node AS (
	SELECT n.name, row_number() OVER (ORDER BY n.name) AS id
	FROM (SELECT e.source FROM edge e UNION SELECT e.target FROM edge e) n (name)
)
SELECT concat_ws(E'\n', 'flowchart LR',
	(SELECT string_agg(format('    n%s%s%s%s', n.id, CASE WHEN n.name LIKE 'server %' THEN '[("' ELSE '["' END,
		replace(regexp_replace(n.name, '^server ', ''), '"', '#quot;'), CASE WHEN n.name LIKE 'server %' THEN '")]' ELSE '"]' END), E'\n' ORDER BY n.id) FROM node n),
	(SELECT string_agg(format('    n%s -->|%s| n%s', s.id, e.kind, t.id), E'\n' ORDER BY s.id, t.id, e.kind)
		FROM edge e JOIN node s ON s.name = e.source JOIN node t ON t.name = e.target))
$$;
COMMENT ON FUNCTION dicom.lineage_mermaid(text) IS 'dicom.lineage as a flowchart of Mermaid, of one pipeline or of all';

CREATE FUNCTION dicom.lineage_dot(pipeline text DEFAULT NULL)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH edge AS (
	SELECT l.kind, '"' || replace(l.source, '"', '\"') || '"' AS source, '"' || replace(l.target, '"', '\"') || '"' AS target
	FROM dicom.lineage l
	WHERE lineage_dot.pipeline IS NULL OR l.pipeline = lineage_dot.pipeline
)
SELECT concat_ws(E'\n', 'digraph lineage {', '    rankdir = LR;', '    node [shape = box];',
	(SELECT string_agg(format('    %s [shape = cylinder];', n.name), E'\n' ORDER BY n.name)
		FROM (SELECT e.source FROM edge e UNION SELECT e.target FROM edge e) n (name) WHERE n.name LIKE '"server %'),
	(SELECT string_agg(format('    %s -> %s [label = "%s"];', e.source, e.target, e.kind), E'\n' ORDER BY e.source, e.target, e.kind) FROM edge e), '}')
$$;
COMMENT ON FUNCTION dicom.lineage_dot(text) IS 'dicom.lineage as a graph of DOT, of one pipeline or of all';

CREATE VIEW dicom.metrics WITH (security_barrier) AS
WITH own AS (
	SELECT p.*
	FROM dicom.pipeline p
	WHERE pg_catalog.pg_has_role(p.owner::pg_catalog.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE')
),
last AS (
	SELECT DISTINCT ON (r.pipeline) r.* FROM dicom.runs r WHERE r.status <> 'running' ORDER BY r.pipeline, r.run DESC
),
metric (name, labels, value, type, help) AS (
	SELECT 'dicom_pipeline_paused', jsonb_build_object('pipeline', p.name), p.paused::integer::double precision, 'gauge', '1 while no run begins' FROM own p
	UNION ALL
	SELECT 'dicom_pipeline_consecutive_failures', jsonb_build_object('pipeline', p.name), p.failures, 'gauge', 'runs with a failed step since the last one without' FROM own p
	UNION ALL
	SELECT 'dicom_run_in_progress', jsonb_build_object('pipeline', p.name),
		(SELECT count(*) FROM dicom.runs r WHERE r.pipeline = p.name AND r.status = 'running'), 'gauge', '1 while a run is in progress' FROM own p
	UNION ALL
	SELECT 'dicom_runs', jsonb_build_object('pipeline', p.name, 'status', s.status),
		(SELECT count(*) FROM dicom.run_log r WHERE r.pipeline = p.name AND r.status = s.status), 'gauge', 'runs that are kept, by how they ended'
	FROM own p, (VALUES ('done'), ('failed'), ('interrupted')) s (status)
	UNION ALL
	SELECT 'dicom_last_run_seconds', jsonb_build_object('pipeline', l.pipeline), l.seconds, 'gauge', 'how long the last run took' FROM own p JOIN last l ON l.pipeline = p.name
	UNION ALL
	SELECT 'dicom_last_run_timestamp_seconds', jsonb_build_object('pipeline', l.pipeline), extract(epoch FROM l.ended), 'gauge', 'when the last run ended'
	FROM own p JOIN last l ON l.pipeline = p.name WHERE l.ended IS NOT NULL
	UNION ALL
	SELECT 'dicom_last_run_success', jsonb_build_object('pipeline', l.pipeline), (l.status = 'done')::integer, 'gauge', '1 where no step of the last run failed'
	FROM own p JOIN last l ON l.pipeline = p.name
	UNION ALL
	SELECT 'dicom_step_' || m.what, jsonb_build_object('pipeline', l.pipeline, 'step', s.step), m.value, 'gauge', 'of the steps of the last run: ' || m.what
	FROM own p
	JOIN last l ON l.pipeline = p.name
	JOIN dicom.step_log s ON s.run = l.run
	CROSS JOIN LATERAL (VALUES ('seconds', s.seconds), ('done', s.done), ('failed', s.failed), ('inserted', s.inserted), ('updated', s.updated),
		('deleted', s.deleted), ('bytes', s.bytes), ('requests', s.requests)) m (what, value)
	UNION ALL
	SELECT 'dicom_days', jsonb_build_object('pipeline', p.name, 'layer', d.layer, 'state', d.state), count(*), 'gauge', 'days of each layer, by state'
	FROM own p
	JOIN dicom.layer_day d ON d.pipeline = p.name AND d.epoch = p.epoch
	GROUP BY p.name, d.layer, d.state
	UNION ALL
	SELECT 'dicom_oldest_stale_seconds', jsonb_build_object('pipeline', p.name, 'layer', d.layer),
		greatest(extract(epoch FROM clock_timestamp() - min(d.stale_since)), 0), 'gauge', 'for how long the day that waits longest has been stale'
	FROM own p
	JOIN dicom.layer_day d ON d.pipeline = p.name AND d.epoch = p.epoch AND d.state <> 'fresh'
	GROUP BY p.name, d.layer
	UNION ALL
	SELECT 'dicom_failures', jsonb_build_object('pipeline', p.name, 'step', f.step, 'reason', f.reason), count(*), 'gauge', 'what fails at present, by step and reason'
	FROM own p
	JOIN dicom.failure f ON f.pipeline = p.name AND f.resolved_at IS NULL
	GROUP BY p.name, f.step, f.reason
)
SELECT m.name, m.labels, m.value::double precision AS value, m.type, m.help FROM metric m;
GRANT SELECT ON dicom.metrics TO PUBLIC;
COMMENT ON VIEW dicom.metrics IS 'numbers for monitoring, of the pipelines that one owns (members of pg_monitor: of all); nothing in them identifies';
COMMENT ON COLUMN dicom.metrics.name IS 'name of the metric';
COMMENT ON COLUMN dicom.metrics.labels IS 'labels: pipeline, step, layer, state, status, reason';
COMMENT ON COLUMN dicom.metrics.value IS 'its value now';
COMMENT ON COLUMN dicom.metrics.type IS 'type as Prometheus has it';
COMMENT ON COLUMN dicom.metrics.help IS 'what it says';

CREATE FUNCTION dicom.metrics_text()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH line AS (
	SELECT m.name, m.type, m.help, format('%s{%s} %s', m.name,
		(SELECT string_agg(format('%s="%s"', l.key, replace(replace(replace(l.value, '\', '\\'), '"', '\"'), E'\n', '\n')), ',' ORDER BY l.key) FROM jsonb_each_text(m.labels) l),
		m.value) AS text
	FROM dicom.metrics m
)
SELECT string_agg(g.text, E'\n' ORDER BY g.name) || E'\n'
FROM (
	SELECT l.name, format(E'# HELP %s %s\n# TYPE %s %s\n%s', l.name, min(l.help), l.name, min(l.type), string_agg(l.text, E'\n' ORDER BY l.text)) AS text
	FROM line l
	GROUP BY l.name
) g
$$;
COMMENT ON FUNCTION dicom.metrics_text() IS 'dicom.metrics in the text format of Prometheus';
