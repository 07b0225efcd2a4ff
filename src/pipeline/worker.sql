/* --- the worker: src/pipeline/worker.h --- */

CREATE FUNCTION dicom.wake_worker()
RETURNS boolean
AS 'MODULE_PATHNAME', 'dicom_wake_worker' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.wake_worker() IS
	'lets the worker look for pipelines that are due as soon as this transaction is committed; false: no worker looks after this database';

CREATE FUNCTION dicom.wake(pipeline text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE dicom.pipeline p SET requested_at = pg_catalog.clock_timestamp(), next_attempt = NULL WHERE p.name = wake.pipeline;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'pipeline "%" does not exist', wake.pipeline
			USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM dicom.pipeline lists yours.';
	END IF;
	IF NOT dicom.wake_worker() THEN
		RAISE NOTICE 'no worker looks after this database'
			USING HINT = pg_catalog.format('CALL dicom.run(%L) runs it now. For a worker, add dicom_fdw to shared_preload_libraries and %s to dicom_fdw.databases.',
				wake.pipeline, pg_catalog.quote_ident(pg_catalog.current_database()));
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.wake(text) IS
	'asks for a run of a pipeline now, which a worker begins at once; without one, whoever calls dicom.run() next does it';

/* What is run without anybody looking must not bring the server down again and again. */
CREATE FUNCTION dicom.worker_due()
RETURNS TABLE (pipeline text, owner oid, reason text)
LANGUAGE sql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
SELECT d.pipeline, d.owner, d.reason
FROM dicom.due() d
CROSS JOIN LATERAL (
	SELECT count(*) AS runs, max(r.started_at) AS started
	FROM dicom.run_log r
	WHERE r.pipeline = d.pipeline AND r.status IN ('running', 'interrupted')
		AND r.id > coalesce((SELECT max(e.id) FROM dicom.run_log e WHERE e.pipeline = d.pipeline AND e.status IN ('done', 'failed')), 0)
) interrupted
WHERE d.reason = 'asked for' OR interrupted.runs < 2
	OR clock_timestamp() NOT BETWEEN interrupted.started AND interrupted.started
		+ least(interval '30 s' * (2 ^ least(interrupted.runs - 1, 10) - 1), interval '1 hour')
$$;
COMMENT ON FUNCTION dicom.worker_due() IS
	'the pipelines that the worker runs now: those of dicom.due(), but for those of which several runs in a row were interrupted, lately';
