-- IMPORT FOREIGN SCHEMA makes the seven entities, typed by VR and VM.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dicom_fdw;
RESET client_min_messages;
CREATE SERVER import FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/');
CREATE SCHEMA imported;
IMPORT FOREIGN SCHEMA dicom FROM SERVER import INTO imported;
SELECT c.relname, count(*) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'imported'::regnamespace
GROUP BY 1 ORDER BY 1;
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attcollation::regcollation AS collation
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'imported'::regnamespace AND c.relname IN ('patients', 'files', 'elements')
ORDER BY c.relname, a.attnum;
SELECT c.relname, o.option_name, o.option_value
FROM pg_foreign_table t JOIN pg_class c ON c.oid = t.ftrelid, pg_options_to_table(t.ftoptions) o
WHERE c.relnamespace = 'imported'::regnamespace
ORDER BY 1, 2;
-- comments for BI tools
SELECT dicom.describe('imported');
SELECT attname, col_description(attrelid, attnum)
FROM pg_attribute WHERE attrelid = 'imported.patients'::regclass AND attnum IN (1, 3, 27) ORDER BY attnum;
DROP SCHEMA imported CASCADE;

CREATE SCHEMA imported;
IMPORT FOREIGN SCHEMA dicom LIMIT TO (files, series) FROM SERVER import INTO imported
	OPTIONS (types 'text', prefix '2004/', key_format '{study_date:%Y}/', on_error 'error', reject_limit '3');
\d imported.files
SELECT DISTINCT format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a
WHERE a.attrelid = 'imported.series'::regclass AND a.attnum > 0;
DROP SCHEMA imported CASCADE;

CREATE SCHEMA imported;
IMPORT FOREIGN SCHEMA dicom EXCEPT (images, elements, files, patients) FROM SERVER import INTO imported;
SELECT relname FROM pg_class WHERE relnamespace = 'imported'::regnamespace ORDER BY 1;

-- what cannot be meant
IMPORT FOREIGN SCHEMA public FROM SERVER import INTO imported;
IMPORT FOREIGN SCHEMA dicom LIMIT TO (image) FROM SERVER import INTO imported;
IMPORT FOREIGN SCHEMA dicom FROM SERVER import INTO imported OPTIONS (prefx 'a');
IMPORT FOREIGN SCHEMA dicom FROM SERVER import INTO imported OPTIONS (types 'txt');
SET client_min_messages = warning;
DROP SCHEMA imported CASCADE;
DROP SERVER import;
