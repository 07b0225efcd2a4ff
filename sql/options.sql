-- Options are checked when they are set, and a typing error is told what was meant.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dicom_fdw;
RESET client_min_messages;
\set VERBOSITY default
-- a server needs a location, and one that can be read
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw;
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location '/srv/dicom');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', regoin 'eu-west-1');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', access_key_id 'AKIA');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', url_style 'paht');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', max_requests '0');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', request_timeout 'soon');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', header_limit '12 parsecs');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', credentials 'magic');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', endpoint 'ftp://example.org');
CREATE SERVER wrong FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', endpoint 'http://169.254.169.254');
CREATE SERVER options FOREIGN DATA WRAPPER dicom_fdw
	OPTIONS (location 's3://bucket/prefix/', region 'eu-west-1', url_style 'virtual', max_requests '16',
			 request_timeout '10s', max_retries '3', header_limit '8MB', freshness '5min', credentials 'mapping');

-- secrets belong to user mappings, and come in pairs
CREATE USER MAPPING FOR CURRENT_USER SERVER options OPTIONS (access_key_id 'AKIA');
CREATE USER MAPPING FOR CURRENT_USER SERVER options OPTIONS (access_key_id '', secret_access_key 's');
CREATE USER MAPPING FOR CURRENT_USER SERVER options OPTIONS (location 's3://bucket/');
CREATE USER MAPPING FOR CURRENT_USER SERVER options OPTIONS (access_key_id 'AKIA', secret_access_key 's', session_token 't');

-- tables and columns
CREATE FOREIGN TABLE wrong (key text) SERVER options;
CREATE FOREIGN TABLE wrong (key text) SERVER options OPTIONS (entity 'image');
CREATE FOREIGN TABLE wrong (key text) SERVER options OPTIONS (entity 'images', on_eror 'skip');
CREATE FOREIGN TABLE wrong (key text) SERVER options OPTIONS (entity 'images', key_format 'inbox/{study_date:%Q}/');
CREATE FOREIGN TABLE wrong (key text) SERVER options OPTIONS (entity 'images', key_format 'inbox/{study_date');
CREATE FOREIGN TABLE wrong (key text) SERVER options OPTIONS (entity 'images', key_format 'inbox/');
CREATE FOREIGN TABLE wrong (a text OPTIONS (tag 'PatientNam')) SERVER options OPTIONS (entity 'images');
CREATE FOREIGN TABLE wrong (a text OPTIONS (tag '(0010,00')) SERVER options OPTIONS (entity 'images');
CREATE FOREIGN TABLE wrong (a text OPTIONS (tga '00100010')) SERVER options OPTIONS (entity 'images');
CREATE FOREIGN TABLE fitting (
	key text,
	name text OPTIONS (tag 'PatientName'),
	csa bytea OPTIONS (tag '(0029,"SIEMENS CSA HEADER",10)'),
	spacing float8[] OPTIONS (tag 'SharedFunctionalGroupsSequence[1].PixelMeasuresSequence[1].PixelSpacing')
) SERVER options
	OPTIONS (entity 'images', prefix '2004/', key_format '{study_date:%Y/%m/%d}/{modality}/', on_error 'error',
			 reject_limit '10', on_bad_value 'error', freshness '1h');

-- a column whose name or type nobody can make sense of is told when the table is used
CREATE FOREIGN TABLE unknown_column (key text, patient_nmae text) SERVER options OPTIONS (entity 'images');
EXPLAIN (COSTS OFF) SELECT * FROM unknown_column;
CREATE FOREIGN TABLE unknown_type (patient_name point) SERVER options OPTIONS (entity 'images');
EXPLAIN (COSTS OFF) SELECT * FROM unknown_type;

-- nothing can be written
INSERT INTO fitting (key) VALUES ('x');
UPDATE fitting SET key = 'x';
DELETE FROM fitting;
COPY fitting FROM '/dev/null';

SET client_min_messages = warning;
DROP SERVER options CASCADE;
