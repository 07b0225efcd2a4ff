-- Rules of de-identification as their user sees them: read from a CSV, checked, turned into a query.
\set SHOW_CONTEXT never
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dicom_fdw;
RESET client_min_messages;
CREATE SERVER mapped FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/');
CREATE SCHEMA mapped;
IMPORT FOREIGN SCHEMA dicom FROM SERVER mapped INTO mapped;
SELECT profile, judged_by, origin, version FROM dicom.anonymization_profile ORDER BY 1;
-- what happens to the tables by default
\pset format unaligned
\pset tuples_only on
SELECT dicom.anonymized_query('mapped.patients');
SELECT dicom.anonymized_query('mapped.devices', epoch => 3);
SELECT dicom.anonymized_query('mapped.studies', 'basic');
SELECT dicom.anonymized_query('mapped.series', 'safe_harbor');
SELECT dicom.anonymized_query('mapped.patients', 'seed_compat');
\pset format aligned
\pset tuples_only off
SELECT ordinal, column_name, target_type, rule, quasi_identifier FROM dicom.anonymized_columns('mapped.images') WHERE rule <> 'keep' ORDER BY ordinal;
-- a CSV as systems before had it
SELECT dicom.load_mapping($$
schema_name, table_name, column_name,               target_function, target_type
raw,         patients,   allergies,                 anon_text,       varchar(10)
raw,         patients,   other_patient_ids,         surrogate_key,   varchar(64)
raw,         patients,   patient_age,               surrogate_key,   varchar(64)
raw,         patients,   patient_id,                surrogate_key,   varchar(64)
raw,         patients,   patient_name,              surrogate_key,   varchar(64)
raw,         patients,   patient_telephone_numbers, full_hash,       varchar(16)
raw,         studies,    patient_id,                full_hash,       varchar(64)
raw,         studies,    study_date,                ,                timestamp_ntz
raw,         images,     echo_numbers,              ,                "number(38, 0)"
raw,         images,     window_center,             ,                float
raw,         images,     rows,                      ,                tinyint
raw,         images,     image_type,                ,                varchar(64)
raw,         images,     pixel_spacing,             ,                variant
raw,         images,     patient_position,          ,                date
$$, 'csv');
SELECT severity, table_name, column_name, problem, hint FROM dicom.validate_mapping('csv') WHERE severity <> 'notice';
SELECT severity, table_name, count(*) FROM dicom.validate_mapping('csv') WHERE severity = 'notice' GROUP BY 1, 2 ORDER BY 2;
SELECT column_name, target_type, expression FROM dicom.anonymized_columns('mapped.images', 'csv');
\pset format unaligned
\pset tuples_only on
SELECT dicom.export_mapping('csv');
\pset format aligned
\pset tuples_only off
-- against PS3.15
SELECT column_name, attribute, ps3_15, profile_rule, mapping_rule, verdict FROM dicom.compare_profile('mapped.studies', 'basic') WHERE verdict <> 'equal';
-- what is refused
SELECT dicom.load_mapping(E'schema_name,table_name,column_name,target_function\nraw,patients,patient_id,full_hahs\n', 'csv');
SELECT dicom.load_mapping(E'schema_name,table_name,column_nam,target_function\n', 'csv');
SELECT dicom.load_mapping(E'schema_name,table_name,column_name,target_function,target_type\nraw,patients,patient_id,full_hash,varchr(64)\n', 'csv');
SELECT dicom.load_mapping(E'schema_name,table_name,column_name,target_function\nraw,patients,"patient_id,full_hash\n', 'csv');
SELECT dicom.anonymized_query('mapped.patients', 'reserch');
SELECT dicom.anonymized_query('mapped.files');
SELECT dicom.k_anonymity('mapped.patients', '{patient_agee}');
INSERT INTO dicom.anonymization_mapping (profile, schema_name, table_name, column_name, target_function, params)
VALUES ('csv', 'raw', 'studies', 'study_date', 'date_truncate', '{"unit": "week"}');
-- what is told
INSERT INTO dicom.anonymization_mapping (profile, schema_name, table_name, column_name, target_function) VALUES ('csv', 'raw', 'patient', 'patient_id', 'remove');
UPDATE dicom.anonymization_mapping SET domain = 'patients', target_function = 'short_id' WHERE profile = 'csv' AND table_name = 'studies' AND column_name = 'patient_id';
SELECT version, jsonb_array_length(mapping) AS rules FROM dicom.anonymization_mapping_version WHERE profile = 'csv' ORDER BY 1;
SET client_min_messages = error;
DELETE FROM dicom.anonymization_profile WHERE profile = 'csv';
DROP SCHEMA mapped CASCADE;
DROP SERVER mapped;
