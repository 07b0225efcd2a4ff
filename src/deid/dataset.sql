
/* --- data sets: src/deid --- */

CREATE FUNCTION dicom.anonymize_dataset(dataset jsonb, profile text DEFAULT 'research', epoch integer DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'dicom_anonymize_dataset' LANGUAGE C STABLE PARALLEL SAFE COST 10000;
REVOKE ALL ON FUNCTION dicom.anonymize_dataset(jsonb, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymize_dataset(jsonb, text, integer) IS
	'a data set in the DICOM JSON model with the rules of dicom.profile_attribute applied, in nested sequences too; private and unknown attributes are removed unless the profile names them; NULL for NULL';

CREATE FUNCTION dicom.anonymize_sequence(items jsonb, patient_id text, issuer text, study_instance_uid text, profile text DEFAULT 'research',
	epoch integer DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'dicom_anonymize_sequence' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
REVOKE ALL ON FUNCTION dicom.anonymize_sequence(jsonb, text, text, text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymize_sequence(jsonb, text, text, text, text, integer) IS
	'the items of a sequence, as a jsonb column has them, with the rules of dicom.profile_attribute applied; the patient, for dates are shifted by it';
