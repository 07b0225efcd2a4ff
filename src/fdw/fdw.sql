
/* --- foreign tables: src/fdw --- */

CREATE FUNCTION dicom.dicom_fdw_handler()
RETURNS fdw_handler
AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION dicom.dicom_fdw_handler() IS 'callbacks of the foreign-data wrapper dicom_fdw';

CREATE FUNCTION dicom.dicom_fdw_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION dicom.dicom_fdw_validator(text[], oid) IS
	'checks options of servers, user mappings, foreign tables and columns of dicom_fdw';

CREATE FOREIGN DATA WRAPPER dicom_fdw
	HANDLER dicom.dicom_fdw_handler
	VALIDATOR dicom.dicom_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER dicom_fdw IS 'DICOM files below an S3 prefix or in a directory, as tables; read only';

