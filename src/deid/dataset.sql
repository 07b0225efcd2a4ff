
/* --- data sets: src/deid --- */

CREATE FUNCTION dicom.anonymize_dataset(dataset jsonb, profile text DEFAULT 'research', epoch integer DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'dicom_anonymize_dataset' LANGUAGE C STABLE PARALLEL SAFE COST 10000;
REVOKE ALL ON FUNCTION dicom.anonymize_dataset(jsonb, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymize_dataset(jsonb, text, integer) IS
	'a data set in the DICOM JSON model with the rules of dicom.profile_attribute applied, in nested sequences too; private and unknown attributes are removed unless the profile names them; NULL for NULL';
