
/* --- functions over files: src/explode --- */

CREATE FUNCTION dicom.patients(server text, prefix text DEFAULT '')
RETURNS SETOF dicom.patients_row
AS 'MODULE_PATHNAME', 'dicom_explode_patients' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.patients(text, text) IS
	'one row per patient, of the files of a server whose keys begin with the prefix, or of the one file with that key; needs USAGE on the server';

CREATE FUNCTION dicom.devices(server text, prefix text DEFAULT '')
RETURNS SETOF dicom.devices_row
AS 'MODULE_PATHNAME', 'dicom_explode_devices' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.devices(text, text) IS
	'one row per device, of the files of a server whose keys begin with the prefix, or of the one file with that key; needs USAGE on the server';

CREATE FUNCTION dicom.studies(server text, prefix text DEFAULT '')
RETURNS SETOF dicom.studies_row
AS 'MODULE_PATHNAME', 'dicom_explode_studies' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.studies(text, text) IS
	'one row per study, of the files of a server whose keys begin with the prefix, or of the one file with that key; needs USAGE on the server';

CREATE FUNCTION dicom.series(server text, prefix text DEFAULT '')
RETURNS SETOF dicom.series_row
AS 'MODULE_PATHNAME', 'dicom_explode_series' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.series(text, text) IS
	'one row per series, of the files of a server whose keys begin with the prefix, or of the one file with that key; needs USAGE on the server';

CREATE FUNCTION dicom.images(server text, prefix text DEFAULT '')
RETURNS SETOF dicom.images_row
AS 'MODULE_PATHNAME', 'dicom_explode_images' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.images(text, text) IS
	'one row per DICOM file, of the files of a server whose keys begin with the prefix, or of the one file with that key; needs USAGE on the server';

CREATE FUNCTION dicom.files(server text, prefix text DEFAULT '')
RETURNS SETOF dicom.files_row
AS 'MODULE_PATHNAME', 'dicom_explode_files' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.files(text, text) IS
	'one row per object, with the reason where it cannot be read, of the files of a server whose keys begin with the prefix, or of the one file with that key; needs USAGE on the server';

CREATE FUNCTION dicom.elements(server text, prefix text DEFAULT '')
RETURNS SETOF dicom.elements_row
AS 'MODULE_PATHNAME', 'dicom_explode_elements' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION dicom.elements(text, text) IS
	'one row per element, nested ones included, of the files of a server whose keys begin with the prefix, or of the one file with that key; needs USAGE on the server';

CREATE FUNCTION dicom.elements(file bytea, on_error text DEFAULT 'skip')
RETURNS SETOF dicom.elements_row
AS 'MODULE_PATHNAME', 'dicom_elements_of_file' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION dicom.elements(bytea, text) IS
	'one row per element of a DICOM file, nested ones included; of a damaged file what can be read, with a WARNING, or an error with on_error ''error''; key is NULL';

CREATE FUNCTION dicom.dataset(file bytea, on_error text DEFAULT 'skip')
RETURNS jsonb
AS 'MODULE_PATHNAME', 'dicom_dataset_of_file' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION dicom.dataset(bytea, text) IS
	'a DICOM file as the DICOM JSON model of PS3.18 F, pixel data as BulkDataURI with offset and length in the file; NULL with a WARNING where it is none, or an error with on_error ''error''';

CREATE FUNCTION dicom.value(file bytea, path text, on_error text DEFAULT 'skip')
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_value_of_file' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION dicom.value(bytea, text, text) IS
	'one element of a DICOM file as text: a keyword, a tag or a path such as SharedFunctionalGroupsSequence[1].PixelMeasuresSequence[1].PixelSpacing; NULL where it is absent, '''' where it is empty, JSON for a sequence';

CREATE FUNCTION dicom.file_error(file bytea)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_error_of_file' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION dicom.file_error(bytea) IS
	'why a DICOM file cannot be read, or not up to its pixel data; NULL where it can';
