-- What scripts/demo.sh shows. Variable `files`: the directory of python3-pydicom's sample data.
\pset linestyle unicode
\pset border 1
\pset null '·'
\pset footer off

\echo
\echo '== A directory of DICOM files becomes a database =='
\echo
\set ECHO queries
CREATE EXTENSION dicom_fdw;
\set scans 'file://' :files '/test_files/'
CREATE SERVER scans
	FOREIGN DATA WRAPPER dicom_fdw
	OPTIONS (location :'scans');
CREATE SCHEMA dicom_raw;
IMPORT FOREIGN SCHEMA dicom FROM SERVER scans INTO dicom_raw;
\set ECHO none

\echo
\echo '== Patients: one row each, from all files =='
\echo
\set ECHO queries
SELECT patient_id, patient_name, patient_birth_date, patient_sex, patient_weight
FROM dicom_raw.patients
ORDER BY patient_id;

-- A WARNING has told of files that are no DICOM. The queries below would say the same again.
SET client_min_messages = error;
\set ECHO none

\echo
\echo '== Devices: whose machines these pictures come from =='
\echo
\set ECHO queries
SELECT manufacturer, manufacturer_model_name, device_serial_number, station_name
FROM dicom_raw.devices
ORDER BY manufacturer, manufacturer_model_name, device_serial_number;
\set ECHO none

\echo
\echo '== Studies: the key of the patient is in each =='
\echo
\set ECHO queries
SELECT study_date, study_time, patient_id, study_description, right(study_instance_uid, 24) AS "…study_instance_uid"
FROM dicom_raw.studies
ORDER BY study_date, study_time, study_instance_uid;
\set ECHO none

\echo
\echo '== Series, by modality =='
\echo
\set ECHO queries
SELECT modality, count(*) AS series, count(DISTINCT study_instance_uid) AS studies, min(series_date), max(series_date)
FROM dicom_raw.series
GROUP BY modality
ORDER BY series DESC, modality;
\set ECHO none

\echo
\echo '== Images, joined with their series and patients =='
\echo
\set ECHO queries
SELECT i.filename, p.patient_name, s.modality, i.rows, i.columns, i.bits_stored, i.photometric_interpretation, i.pixel_spacing
FROM dicom_raw.images i
JOIN dicom_raw.series s USING (series_instance_uid, study_instance_uid)
JOIN dicom_raw.studies t USING (study_instance_uid)
JOIN dicom_raw.patients p ON p.patient_id = t.patient_id
WHERE i.rows > 0
ORDER BY i.filename
LIMIT 12;
\set ECHO none

\echo
\echo '== Files that could not be read stop nothing; each says why =='
\echo
\set ECHO queries
SELECT key, size, error
FROM dicom_raw.files
WHERE error IS NOT NULL
ORDER BY key;

SELECT key, warnings
FROM dicom_raw.files
WHERE error IS NULL AND warnings <> '{}'
ORDER BY key
LIMIT 8;
\set ECHO none

\echo
\echo '== Every element of one file, sequences and private ones too =='
\echo
\set ECHO queries
SELECT path, keyword, vr, length, left(value, 40) AS value, private_creator
FROM dicom.elements('scans', 'nested_priv_SQ.dcm');
\set ECHO none

\echo
\echo '== A table of your own: columns are found by their names, or by a path into sequences and private blocks =='
\echo
\set ECHO queries
CREATE FOREIGN TABLE plans (
	filename text,
	patient_name text,
	plan_label text OPTIONS (tag 'RTPlanLabel'),
	machine text OPTIONS (tag 'BeamSequence[1].TreatmentMachineName'),
	gantry_angle double precision OPTIONS (tag 'BeamSequence[1].ControlPointSequence[1].GantryAngle'),
	dose double precision OPTIONS (tag 'FractionGroupSequence[1].ReferencedBeamSequence[1].BeamDose')
) SERVER scans OPTIONS (entity 'images');

SELECT *
FROM plans
WHERE plan_label IS NOT NULL;

CREATE FOREIGN TABLE ge_headers (
	filename text,
	modality text,
	suite text OPTIONS (tag '(0009,"GEMS_IDEN_01",02)'),
	product text OPTIONS (tag '(0009,"GEMS_IDEN_01",04)')
) SERVER scans OPTIONS (entity 'images');

SELECT *
FROM ge_headers
WHERE suite IS NOT NULL;
\set ECHO none

\echo
\echo '== Names in Arabic, Russian, Japanese, ...: another server, asked by a function =='
\echo
\set charsets 'file://' :files '/charset_files/'
\set ECHO queries
CREATE SERVER charsets
	FOREIGN DATA WRAPPER dicom_fdw
	OPTIONS (location :'charsets');

SELECT filename, patient_name
FROM dicom.patients('charsets', '')
ORDER BY filename;
\set ECHO none

\echo
\echo '== A whole data set as JSON (the DICOM JSON Model), queried with SQL/JSON =='
\echo
\set plan :files '/test_files/rtplan.dcm'
\set ECHO queries
SELECT data #>> '{300A0002,Value,0}' AS plan_label,
	beam #>> '{300A00C2,Value,0}' AS beam,
	jsonb_path_query_array(beam, '$."300A0111".Value[*]."300A0134".Value[0]') AS cumulative_meterset_weights,
	dicom.value(bytes, 'PatientName') AS patient_name
FROM pg_read_binary_file(:'plan') AS bytes, dicom.dataset(bytes) AS data, jsonb_path_query(data, '$."300A00B0".Value[*]') AS beam;
\set ECHO none

\echo
\echo '== What a query costs: a count of files opens none; a prefix in WHERE lists only what is below it =='
\echo
\set ECHO queries
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off)
SELECT count(*)
FROM dicom_raw.files;

EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off)
SELECT sop_instance_uid, rows, columns
FROM dicom_raw.images
WHERE filename LIKE 'dicomdirtests/98892003/%';
\set ECHO none

\echo
\echo '== A pipeline: de-identified tables and pictures, day by day =='
\echo
\set location 'file://' :stage '/'
\set ECHO queries
SELECT dicom.create_pipeline('hospital', raw => 'scans', stage => :'location');
CALL dicom.run('hospital');

SELECT step, status, done, failed, inserted, round(seconds::numeric, 2) AS seconds
FROM dicom.run_steps
WHERE done > 0
ORDER BY run, started;

SELECT i.study_date, i.patient_key IS NOT NULL AS has_patient, s.modality, i.photometric_interpretation, i.rows, i.columns, i.pictures, i.picture_bytes
FROM dicom_processed.images i
JOIN dicom_processed.series s USING (series_instance_uid)
WHERE i.pictures > 0
ORDER BY i.study_date, i.rows, i.picture_bytes
LIMIT 8;

-- What gave no row or no picture, and why.
SELECT step, reason, count(*) FROM dicom.failures GROUP BY step, reason ORDER BY step, reason;
SELECT count(*) AS runs, min(status) AS status FROM dicom.runs;
\set ECHO none

\echo
\echo '== One picture of all =='
\echo
\setenv SHEET :sheet
\set ECHO queries
SELECT encode(dicom.contact_sheet('scans', '', columns => 12, size => 96), 'base64') AS jpeg
\g (format=unaligned tuples_only=on) | base64 -d >"$SHEET"
\set ECHO none
