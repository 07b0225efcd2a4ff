
/* --- comments on imported tables --- */

CREATE FUNCTION dicom.describe(schema regnamespace)
RETURNS integer
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	described record;
	done integer := 0;
BEGIN
	FOR described IN
		SELECT c.oid::pg_catalog.regclass AS tab, a.attname, pg_catalog.col_description(r.typrelid, ra.attnum) AS text
		FROM pg_catalog.pg_class c
			JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = c.oid
			JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver
			JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'dicom_fdw'
			JOIN pg_catalog.pg_options_to_table(f.ftoptions) o ON o.option_name = 'entity'
			JOIN pg_catalog.pg_type r ON r.typname = o.option_value || '_row' AND r.typnamespace = 'dicom'::pg_catalog.regnamespace
			JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			JOIN pg_catalog.pg_attribute ra ON ra.attrelid = r.typrelid AND ra.attname = a.attname
		WHERE c.relnamespace = schema
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_options_to_table(a.attfdwoptions) x WHERE x.option_name = 'tag')
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', described.tab, described.attname, described.text);
		done := done + 1;
	END LOOP;
	RETURN done;
END
$$;
COMMENT ON FUNCTION dicom.describe(regnamespace) IS
	'comments the columns of a schema''s foreign tables with their DICOM attribute, tag and VR, for \d+ and BI tools; returns how many';
