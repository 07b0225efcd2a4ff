
/* --- Parquet: src/lake --- */

CREATE FUNCTION dicom.export_parquet
(
	query text,
	server text,
	key text,
	options jsonb DEFAULT '{}',
	OUT rows bigint,
	OUT bytes bigint,
	OUT files bigint,
	OUT keys text[],
	OUT as_text text[]
)
AS 'MODULE_PATHNAME', 'dicom_export_parquet' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;
REVOKE EXECUTE ON FUNCTION dicom.export_parquet(text, text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dicom.export_parquet(text, text, text, jsonb) IS
	'writes the rows of a query as a Parquet object, or with option partition_by as one object per folder name=value/ below the key; it is seen when it is whole; as_text: columns whose type Parquet has not; needs USAGE on the server';

CREATE FUNCTION dicom.parquet_columns(server text, key text)
RETURNS TABLE (ordinal integer, name text, type text, rows bigint)
AS 'MODULE_PATHNAME', 'dicom_parquet_columns' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 100;
COMMENT ON FUNCTION dicom.parquet_columns(text, text) IS
	'the columns of a Parquet object and the types that dicom.read_parquet() gives them, and how many rows it has; needs USAGE on the server';

CREATE FUNCTION dicom.read_parquet(server text, key text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dicom_read_parquet' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 100000;
COMMENT ON FUNCTION dicom.read_parquet(text, text) IS
	'the rows of a Parquet object, those columns of it that the column definition list names, as the types given there; needs USAGE on the server';

CREATE FUNCTION dicom.import_parquet(server text, key text, target regclass)
RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text;
	definitions text;
	inserted bigint;
BEGIN
	SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.name), ', ' ORDER BY p.ordinal),
		pg_catalog.string_agg(pg_catalog.format('%I %s', p.name, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY p.ordinal)
	INTO names, definitions
	FROM dicom.parquet_columns(server, key) p
	JOIN pg_catalog.pg_attribute a ON a.attrelid = target AND a.attname = p.name
	WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
	IF names IS NULL THEN
		RAISE EXCEPTION 'the file and table % have no column in common', target
			USING ERRCODE = 'undefined_column', HINT = 'Columns are matched by name; dicom.parquet_columns() lists those of the file.';
	END IF;
	EXECUTE pg_catalog.format('INSERT INTO %s (%s) SELECT * FROM dicom.read_parquet(%L, %L) AS r (%s)', target, names, server, key, definitions);
	GET DIAGNOSTICS inserted = ROW_COUNT;
	RETURN inserted;
END
$$;
REVOKE EXECUTE ON FUNCTION dicom.import_parquet(text, text, regclass) FROM PUBLIC;
COMMENT ON FUNCTION dicom.import_parquet(text, text, regclass) IS
	'inserts the rows of a Parquet object into a table, columns matched by name; how many there were';

CREATE FUNCTION dicom.sweep_uploads(server text, prefix text DEFAULT '', older_than interval DEFAULT '1 day')
RETURNS bigint
AS 'MODULE_PATHNAME', 'dicom_sweep_uploads' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;
REVOKE EXECUTE ON FUNCTION dicom.sweep_uploads(text, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION dicom.sweep_uploads(text, text, interval) IS
	'removes what unfinished uploads have left in a store, of keys with this prefix, that began so long ago; how many; needs USAGE on the server';

CREATE FUNCTION dicom.put_object(server text, key text, content bytea, if_match text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_put_object' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
REVOKE EXECUTE ON FUNCTION dicom.put_object(text, text, bytea, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.put_object(text, text, bytea, text) IS
	'writes an object, which is seen when it is whole: in place of the one with this etag, or without an etag where there is none; another one there is an error; the new etag; needs USAGE on the server';

CREATE FUNCTION dicom.head_object(server text, key text, OUT etag text, OUT size bigint, OUT last_modified timestamptz, OUT storage_class text)
AS 'MODULE_PATHNAME', 'dicom_head_object' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION dicom.head_object(text, text) IS 'what the store says of an object; NULL where there is none; needs USAGE on the server';
