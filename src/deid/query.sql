
/* --- the query that applies the rules --- */

CREATE FUNCTION dicom.anonymized_columns(relation regclass, profile text DEFAULT NULL, epoch integer DEFAULT NULL)
RETURNS TABLE (ordinal integer, column_name name, expression text, target_type text, rule text, quasi_identifier boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'not implemented' USING ERRCODE = 'feature_not_supported';
END
$$;
REVOKE ALL ON FUNCTION dicom.anonymized_columns(regclass, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymized_columns(regclass, text, integer) IS
	'columns of a raw table that survive a profile (research by default): the expression of each, over a row called r, under the epoch given or the active one';
