
/* --- the catalog: src/catalog --- */

/* Scans look at the columns in front more often than at those behind, and read them faster. */
CREATE TABLE dicom.object
(
	server oid NOT NULL,
	study_date date NOT NULL,
	failures integer NOT NULL,
	values_cut boolean NOT NULL,
	first_seen timestamptz NOT NULL,
	synced_at timestamptz NOT NULL,
	size bigint,
	last_modified timestamptz,
	header_end bigint,
	key text COLLATE "C" NOT NULL,
	state text COLLATE "C" NOT NULL,
	modality text COLLATE "C",
	study_instance_uid text COLLATE "C",
	series_instance_uid text COLLATE "C",
	sop_instance_uid text COLLATE "C",
	patient_id text COLLATE "C",
	issuer_of_patient_id text COLLATE "C",
	sop_class_uid text COLLATE "C",
	transfer_syntax_uid text COLLATE "C",
	etag text COLLATE "C" NOT NULL,
	storage_class text COLLATE "C",
	next_attempt timestamptz,
	error_code text COLLATE "C",
	error text,
	header bytea,
	PRIMARY KEY (server, key)
);
ALTER TABLE dicom.object ALTER COLUMN header SET STORAGE EXTERNAL;
CREATE INDEX object_day ON dicom.object (server, study_date, key);
CREATE INDEX object_study ON dicom.object (server, study_instance_uid);
CREATE INDEX object_series ON dicom.object (server, series_instance_uid);
CREATE INDEX object_sop_instance ON dicom.object (server, sop_instance_uid);
CREATE INDEX object_patient ON dicom.object (server, patient_id);
CREATE INDEX object_modality ON dicom.object (server, modality);
CREATE INDEX object_failed ON dicom.object (server, next_attempt) WHERE state <> 'ok';
CREATE INDEX object_unproven ON dicom.object (server, key) WHERE state = 'failed' OR values_cut;
REVOKE ALL ON dicom.object FROM PUBLIC;
COMMENT ON TABLE dicom.object IS
	'what dicom.sync() knows of each object of a server; holds values of patients, so nobody but its owner may read it unless granted; not dumped, a sync makes it anew';
COMMENT ON COLUMN dicom.object.server IS 'pg_foreign_server.oid';
COMMENT ON COLUMN dicom.object.key IS 'key of the object below the location of the server';
COMMENT ON COLUMN dicom.object.size IS 'bytes';
COMMENT ON COLUMN dicom.object.last_modified IS 'as the last listing had it';
COMMENT ON COLUMN dicom.object.first_seen IS 'when a sync first found the key';
COMMENT ON COLUMN dicom.object.synced_at IS 'when the object was last read, or tried to be';
COMMENT ON COLUMN dicom.object.next_attempt IS 'of a failed object: no sync tries it before';
COMMENT ON COLUMN dicom.object.header_end IS 'where the pixel data begin, in bytes of the file (of the inflated data set of a deflated one)';
COMMENT ON COLUMN dicom.object.study_date IS 'the day; -infinity where StudyDate is missing or no date';
COMMENT ON COLUMN dicom.object.failures IS 'how often it could not be read, since it last could';
COMMENT ON COLUMN dicom.object.state IS
	'ok; damaged: it was read, and is not what it should be (see error); failed: it could not be had, the other columns are of an earlier version or empty';
COMMENT ON COLUMN dicom.object.values_cut IS 'one of the values of attributes is longer than 512 bytes, and NULL here';
COMMENT ON COLUMN dicom.object.etag IS 'of the version that was read; empty: none was';
COMMENT ON COLUMN dicom.object.storage_class IS 'as the last listing had it';
COMMENT ON COLUMN dicom.object.study_instance_uid IS 'StudyInstanceUID';
COMMENT ON COLUMN dicom.object.series_instance_uid IS 'SeriesInstanceUID';
COMMENT ON COLUMN dicom.object.sop_instance_uid IS 'SOPInstanceUID';
COMMENT ON COLUMN dicom.object.sop_class_uid IS 'SOPClassUID';
COMMENT ON COLUMN dicom.object.transfer_syntax_uid IS 'TransferSyntaxUID';
COMMENT ON COLUMN dicom.object.modality IS 'Modality';
COMMENT ON COLUMN dicom.object.patient_id IS 'PatientID';
COMMENT ON COLUMN dicom.object.issuer_of_patient_id IS 'IssuerOfPatientID';
COMMENT ON COLUMN dicom.object.error_code IS 'SQLSTATE of the last failure';
COMMENT ON COLUMN dicom.object.error IS 'why it could not be read, or not to its end';
COMMENT ON COLUMN dicom.object.header IS 'the bytes up to the pixel data without long values, in runs: src/catalog/header.h';
COMMENT ON INDEX dicom.object_day IS 'objects of a day, in key order';
COMMENT ON INDEX dicom.object_study IS 'objects of a study';
COMMENT ON INDEX dicom.object_series IS 'objects of a series';
COMMENT ON INDEX dicom.object_sop_instance IS 'objects that hold an instance';
COMMENT ON INDEX dicom.object_patient IS 'objects of a patient';
COMMENT ON INDEX dicom.object_modality IS 'objects of a modality';
COMMENT ON INDEX dicom.object_failed IS 'objects that could not be read, or not to their end';
COMMENT ON INDEX dicom.object_unproven IS 'objects of which the values here do not say whether they satisfy a condition';

CREATE TABLE dicom.stale_day
(
	server oid NOT NULL,
	day date NOT NULL,
	since timestamptz NOT NULL,
	touched_at timestamptz NOT NULL,
	PRIMARY KEY (server, day)
) WITH (fillfactor = 50);
REVOKE ALL ON dicom.stale_day FROM PUBLIC;
COMMENT ON TABLE dicom.stale_day IS
	'days whose objects have changed: who has dealt with a day deletes its row, if touched_at still is what it was before';
COMMENT ON COLUMN dicom.stale_day.server IS 'pg_foreign_server.oid';
COMMENT ON COLUMN dicom.stale_day.day IS 'study date of objects that came, changed or vanished, before or after; -infinity: unknown';
COMMENT ON COLUMN dicom.stale_day.since IS 'when the first change was seen';
COMMENT ON COLUMN dicom.stale_day.touched_at IS 'when the last change was seen';

CREATE TABLE dicom.sync_state
(
	server oid NOT NULL,
	prefix text COLLATE "C" NOT NULL,
	place text NOT NULL,
	phase text NOT NULL,
	pid integer,
	started_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	synced_at timestamptz,
	listed bigint NOT NULL DEFAULT 0,
	opened bigint NOT NULL DEFAULT 0,
	written bigint NOT NULL DEFAULT 0,
	new bigint NOT NULL DEFAULT 0,
	changed bigint NOT NULL DEFAULT 0,
	vanished bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	bytes bigint NOT NULL DEFAULT 0,
	requests bigint NOT NULL DEFAULT 0,
	error text,
	PRIMARY KEY (server, prefix)
) WITH (fillfactor = 50);
REVOKE ALL ON dicom.sync_state FROM PUBLIC;
COMMENT ON TABLE dicom.sync_state IS 'the last sync of each server and prefix; what a reader needs in order to trust the catalog';
COMMENT ON COLUMN dicom.sync_state.server IS 'pg_foreign_server.oid';
COMMENT ON COLUMN dicom.sync_state.prefix IS 'keys that begin so were compared';
COMMENT ON COLUMN dicom.sync_state.place IS 'location and endpoint of the server then: if they differ now, the catalog is of another place';
COMMENT ON COLUMN dicom.sync_state.phase IS 'starting, comparing, deleting, done or failed';
COMMENT ON COLUMN dicom.sync_state.pid IS 'process that does or did it';
COMMENT ON COLUMN dicom.sync_state.started_at IS 'when the last sync began';
COMMENT ON COLUMN dicom.sync_state.updated_at IS 'when this row was last written';
COMMENT ON COLUMN dicom.sync_state.synced_at IS 'when the last sync that came to its end began: the catalog is at least as fresh; NULL: never, or the place changed since';
COMMENT ON COLUMN dicom.sync_state.listed IS 'objects listed';
COMMENT ON COLUMN dicom.sync_state.opened IS 'objects read';
COMMENT ON COLUMN dicom.sync_state.written IS 'rows written into the catalog';
COMMENT ON COLUMN dicom.sync_state.new IS 'objects that the catalog did not have';
COMMENT ON COLUMN dicom.sync_state.changed IS 'objects with another etag or size';
COMMENT ON COLUMN dicom.sync_state.vanished IS 'objects removed from the catalog';
COMMENT ON COLUMN dicom.sync_state.failed IS 'objects that could not be read, or not to their end';
COMMENT ON COLUMN dicom.sync_state.bytes IS 'bytes received';
COMMENT ON COLUMN dicom.sync_state.requests IS 'requests made';
COMMENT ON COLUMN dicom.sync_state.error IS 'why it failed';

/* A sync holds a lock on its server that nothing else takes: objsubid 1. */
CREATE VIEW dicom.sync_progress WITH (security_barrier) AS
SELECT
	s.srvname AS server,
	p.prefix,
	CASE WHEN p.phase IN ('done', 'failed') OR l.pid IS NOT NULL THEN p.phase ELSE 'interrupted' END AS phase,
	p.listed,
	p.opened,
	p.written,
	p.new,
	p.changed,
	p.vanished,
	p.failed,
	p.bytes,
	p.requests,
	p.started_at AS started,
	p.updated_at AS updated,
	p.synced_at AS complete_as_of,
	round((p.opened / greatest(extract(epoch FROM p.updated_at - p.started_at), 0.001))::numeric, 1) AS rate,
	p.pid,
	p.error
FROM dicom.sync_state p
JOIN pg_catalog.pg_foreign_server s ON s.oid = p.server
LEFT JOIN pg_catalog.pg_locks l
	ON l.locktype = 'object'
	AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
	AND l.classid = 'pg_catalog.pg_foreign_server'::pg_catalog.regclass
	AND l.objid = p.server
	AND l.objsubid = 1
	AND l.granted
	AND l.pid = p.pid
WHERE pg_catalog.has_server_privilege(s.oid, 'USAGE');
GRANT SELECT ON dicom.sync_progress TO PUBLIC;
COMMENT ON VIEW dicom.sync_progress IS
	'what running syncs have done so far, and how the last of each server and prefix ended; of servers that one may use';
COMMENT ON COLUMN dicom.sync_progress.server IS 'name of the server';
COMMENT ON COLUMN dicom.sync_progress.prefix IS 'keys that begin so are compared';
COMMENT ON COLUMN dicom.sync_progress.phase IS 'starting, comparing, deleting, done, failed; interrupted: its process ended in the middle';
COMMENT ON COLUMN dicom.sync_progress.listed IS 'objects listed';
COMMENT ON COLUMN dicom.sync_progress.opened IS 'objects read';
COMMENT ON COLUMN dicom.sync_progress.written IS 'rows written into the catalog';
COMMENT ON COLUMN dicom.sync_progress.new IS 'objects that the catalog did not have';
COMMENT ON COLUMN dicom.sync_progress.changed IS 'objects with another etag or size';
COMMENT ON COLUMN dicom.sync_progress.vanished IS 'objects removed from the catalog';
COMMENT ON COLUMN dicom.sync_progress.failed IS 'objects that could not be read, or not to their end';
COMMENT ON COLUMN dicom.sync_progress.bytes IS 'bytes received';
COMMENT ON COLUMN dicom.sync_progress.requests IS 'requests made';
COMMENT ON COLUMN dicom.sync_progress.started IS 'when it began';
COMMENT ON COLUMN dicom.sync_progress.updated IS 'when these numbers were written';
COMMENT ON COLUMN dicom.sync_progress.complete_as_of IS 'when the last sync that came to its end began; NULL: none did';
COMMENT ON COLUMN dicom.sync_progress.rate IS 'objects read a second';
COMMENT ON COLUMN dicom.sync_progress.pid IS 'its process';
COMMENT ON COLUMN dicom.sync_progress.error IS 'why it failed';

CREATE FUNCTION dicom.sync
(
	server text,
	prefix text DEFAULT '',
	allow_empty boolean DEFAULT false,
	wait boolean DEFAULT false,
	OUT listed bigint,
	OUT new bigint,
	OUT changed bigint,
	OUT vanished bigint,
	OUT failed bigint,
	OUT bytes bigint,
	OUT requests bigint,
	OUT seconds double precision
)
AS 'MODULE_PATHNAME', 'dicom_sync' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION dicom.sync(text, text, boolean, boolean) IS
	'makes the catalog of a server equal to what is there, below a prefix of keys; in a worker of its own that commits as it goes, so that what was done stays done; allow_empty: an empty listing empties the catalog; wait: for another sync of the server to end; needs USAGE on the server';

CREATE FUNCTION dicom.forget_dropped_servers()
RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	gone oid[] := ARRAY(
		SELECT o.objid FROM pg_catalog.pg_event_trigger_dropped_objects() o
		WHERE o.classid = 'pg_catalog.pg_foreign_server'::pg_catalog.regclass
	);
BEGIN
	IF pg_catalog.cardinality(gone) > 0 THEN
		DELETE FROM dicom.object WHERE server = ANY (gone);
		DELETE FROM dicom.stale_day WHERE server = ANY (gone);
		DELETE FROM dicom.sync_state WHERE server = ANY (gone);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.forget_dropped_servers() IS 'removes what the catalog knows of servers that are dropped';

CREATE EVENT TRIGGER dicom_forget_dropped_servers
	ON sql_drop
	WHEN TAG IN ('DROP SERVER', 'DROP FOREIGN DATA WRAPPER', 'DROP OWNED')
	EXECUTE FUNCTION dicom.forget_dropped_servers();
COMMENT ON EVENT TRIGGER dicom_forget_dropped_servers IS 'removes what the catalog knows of servers that are dropped';
