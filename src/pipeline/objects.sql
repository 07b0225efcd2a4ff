/* --- objects of servers: copied, compressed, deleted: src/pipeline --- */

CREATE TABLE dicom.copied
(
	source oid NOT NULL,
	target oid NOT NULL,
	size bigint,
	copied_at timestamptz,
	next_attempt timestamptz,
	failures integer NOT NULL,
	key text COLLATE "C" NOT NULL,
	source_etag text COLLATE "C" NOT NULL,
	target_etag text COLLATE "C",
	error_code text COLLATE "C",
	error text,
	PRIMARY KEY (source, target, key)
);
CREATE INDEX copied_failed ON dicom.copied (source, target, next_attempt) WHERE failures > 0;
REVOKE ALL ON dicom.copied FROM PUBLIC;
COMMENT ON TABLE dicom.copied IS
	'which version of each object of a server was copied to which other server; what is in here with its present etag is not copied again, whatever became of the copy; not dumped, copies are then made anew';
COMMENT ON COLUMN dicom.copied.source IS 'pg_foreign_server.oid';
COMMENT ON COLUMN dicom.copied.target IS 'pg_foreign_server.oid';
COMMENT ON COLUMN dicom.copied.size IS 'bytes';
COMMENT ON COLUMN dicom.copied.copied_at IS 'when it was copied; NULL: it never was';
COMMENT ON COLUMN dicom.copied.next_attempt IS 'of an object that failed: it is not tried before';
COMMENT ON COLUMN dicom.copied.failures IS 'how often it could not be copied, since it last could';
COMMENT ON COLUMN dicom.copied.key IS 'key of the object below the locations of both servers';
COMMENT ON COLUMN dicom.copied.source_etag IS 'of the version that was copied; empty: none was';
COMMENT ON COLUMN dicom.copied.target_etag IS 'of the copy';
COMMENT ON COLUMN dicom.copied.error_code IS 'SQLSTATE of the last failure';
COMMENT ON COLUMN dicom.copied.error IS 'why it could not be copied';
COMMENT ON INDEX dicom.copied_failed IS 'objects that could not be copied';

CREATE VIEW dicom.copies WITH (security_barrier) AS
SELECT
	s.srvname AS source,
	t.srvname AS target,
	c.key,
	c.size,
	c.copied_at,
	c.failures,
	c.next_attempt,
	c.error_code,
	c.error
FROM dicom.copied c
JOIN pg_catalog.pg_foreign_server s ON s.oid = c.source
JOIN pg_catalog.pg_foreign_server t ON t.oid = c.target
WHERE pg_catalog.has_server_privilege(s.oid, 'USAGE') AND pg_catalog.has_server_privilege(t.oid, 'USAGE');
GRANT SELECT ON dicom.copies TO PUBLIC;
COMMENT ON VIEW dicom.copies IS 'objects that were copied from server to server, or could not be; of servers that one may use';
COMMENT ON COLUMN dicom.copies.source IS 'name of the server it came from';
COMMENT ON COLUMN dicom.copies.target IS 'name of the server it went to';
COMMENT ON COLUMN dicom.copies.key IS 'key of the object below the locations of both servers';
COMMENT ON COLUMN dicom.copies.size IS 'bytes';
COMMENT ON COLUMN dicom.copies.copied_at IS 'when it was last copied; NULL: it never was';
COMMENT ON COLUMN dicom.copies.failures IS 'how often it could not be copied, since it last could';
COMMENT ON COLUMN dicom.copies.next_attempt IS 'of an object that failed: it is not tried before';
COMMENT ON COLUMN dicom.copies.error_code IS 'SQLSTATE of the last failure';
COMMENT ON COLUMN dicom.copies.error IS 'why it could not be copied';

CREATE FUNCTION dicom.copy_batch
(
	source text,
	target text,
	start_after text DEFAULT NULL,
	max_objects integer DEFAULT 1000,
	OUT next_after text,
	OUT listed bigint,
	OUT copied bigint,
	OUT skipped bigint,
	OUT failed bigint,
	OUT bytes bigint,
	OUT requests bigint
)
AS 'MODULE_PATHNAME', 'dicom_copy_batch' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION dicom.copy_batch(text, text, text, integer) IS
	'copies new and changed objects of a server to the same keys of another, behind a key, until so many were copied, or 1 GiB, or 50,000 keys were looked at; next_after: where to go on, NULL at the end; failed objects are noted in dicom.copies and tried again later; needs USAGE on both servers';

CREATE FUNCTION dicom.recopy(source text, target text, prefix text DEFAULT '')
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_recopy' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION dicom.recopy(text, text, text) IS
	'forgets that objects whose keys begin so were copied, or failed, so that the next copying copies them; how many; needs USAGE on both servers';

CREATE FUNCTION dicom.copy_objects
(
	server text,
	from_keys text[],
	to_keys text[],
	OUT from_key text,
	OUT to_key text,
	OUT etag text,
	OUT error_code text,
	OUT error text
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dicom_copy_objects' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.copy_objects(text, text[], text[]) IS
	'copies objects to other keys of the same server, replacing what is there; a row for each, with its new etag or why it failed; needs USAGE on the server';

CREATE FUNCTION dicom.delete_objects(server text, keys text[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_delete_objects' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION dicom.delete_objects(text, text[]) IS
	'deletes objects, which no rollback brings back; one that is not there counts as deleted; how many; needs USAGE on the server';

CREATE TYPE dicom.compressed_frame AS
(
	source_key text,
	frame integer,
	key text,
	bytes bigint,
	width integer,
	height integer,
	sha256 text,
	milliseconds double precision,
	error text,
	error_code text,
	jpeg bytea
);
COMMENT ON TYPE dicom.compressed_frame IS 'a picture that was made of a frame, or why none was';
COMMENT ON COLUMN dicom.compressed_frame.source_key IS 'key of the object';
COMMENT ON COLUMN dicom.compressed_frame.frame IS 'number of the frame, from 1; NULL: the object as a whole';
COMMENT ON COLUMN dicom.compressed_frame.key IS 'key of the picture';
COMMENT ON COLUMN dicom.compressed_frame.bytes IS 'length of the picture';
COMMENT ON COLUMN dicom.compressed_frame.width IS 'columns of the picture';
COMMENT ON COLUMN dicom.compressed_frame.height IS 'rows of the picture';
COMMENT ON COLUMN dicom.compressed_frame.sha256 IS 'digest of the picture';
COMMENT ON COLUMN dicom.compressed_frame.milliseconds IS 'how long it took to make';
COMMENT ON COLUMN dicom.compressed_frame.error IS 'why there is no picture';
COMMENT ON COLUMN dicom.compressed_frame.error_code IS 'SQLSTATE of that; 02000: the object has no pixel data';
COMMENT ON COLUMN dicom.compressed_frame.jpeg IS 'the picture itself, where it is no longer than the option inline_limit';

CREATE FUNCTION dicom.compress_objects(source text, target text, keys text[], key_templates text[], options jsonb DEFAULT '{}')
RETURNS SETOF dicom.compressed_frame
AS 'MODULE_PATHNAME', 'dicom_compress_objects' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1000;
COMMENT ON FUNCTION dicom.compress_objects(text, text, text[], text[], jsonb) IS
	'makes JPEG pictures of objects of a server in another one, under names that a template for each object makes: text, attributes in braces, and {frame}; a row for each picture, and for each object or frame that gave none; options: frames, inline_limit, jobs, max_size, memory, quality, subsampling, timeout, window; needs USAGE on both servers';

CREATE FUNCTION dicom.forget_copies_of_dropped_servers()
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
		DELETE FROM dicom.copied WHERE source = ANY (gone) OR target = ANY (gone);
	END IF;
END
$$;
COMMENT ON FUNCTION dicom.forget_copies_of_dropped_servers() IS 'removes what is known of copies from and to servers that are dropped';

CREATE EVENT TRIGGER dicom_forget_copies_of_dropped_servers
	ON sql_drop
	WHEN TAG IN ('DROP SERVER', 'DROP FOREIGN DATA WRAPPER', 'DROP OWNED')
	EXECUTE FUNCTION dicom.forget_copies_of_dropped_servers();
COMMENT ON EVENT TRIGGER dicom_forget_copies_of_dropped_servers IS 'removes what is known of copies from and to servers that are dropped';
