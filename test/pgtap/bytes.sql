-- Functions over a file in a bytea: users rely on what they give for good, odd and broken files.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS dicom_fdw;
SET client_min_messages = error;
SET search_path = public, tap;

-- One element in explicit VR little endian (PS3.5 7.1.2); value padded to even length with a blank.
CREATE FUNCTION pg_temp.element(tag text, vr text, value bytea) RETURNS bytea LANGUAGE sql AS $$
	SELECT decode(substr(tag, 3, 2) || substr(tag, 1, 2) || substr(tag, 7, 2) || substr(tag, 5, 2), 'hex')
		|| convert_to(vr, 'UTF8')
		|| CASE WHEN vr IN ('OB', 'OW', 'SQ', 'UN', 'UT')
				THEN '\x0000'::bytea || decode(lpad(to_hex(l & 255), 2, '0') || lpad(to_hex((l >> 8) & 255), 2, '0') || '0000', 'hex')
				ELSE decode(lpad(to_hex(l & 255), 2, '0') || lpad(to_hex(l >> 8), 2, '0'), 'hex') END
		|| v
	FROM (SELECT CASE WHEN length(value) % 2 = 1 THEN value || '\x20'::bytea ELSE value END AS v) p,
		LATERAL (SELECT length(v) AS l) q
$$;
CREATE FUNCTION pg_temp.element(tag text, vr text, value text) RETURNS bytea LANGUAGE sql AS $$
	SELECT pg_temp.element(tag, vr, convert_to(value, 'UTF8'))
$$;
-- A Part 10 file around elements (PS3.10 7.1).
CREATE FUNCTION pg_temp.file(VARIADIC elements bytea[]) RETURNS bytea LANGUAGE sql AS $$
	SELECT decode(repeat('00', 128), 'hex') || 'DICM'::bytea
		|| pg_temp.element('00020000', 'UL', decode(lpad(to_hex(length(meta)), 2, '0') || '000000', 'hex')) || meta
		|| string_agg(e, ''::bytea ORDER BY i)
	FROM unnest(elements) WITH ORDINALITY u(e, i),
		(SELECT pg_temp.element('00020010', 'UI', '1.2.840.10008.1.2.1'::bytea || '\x00'::bytea) AS meta) m
	GROUP BY meta
$$;
CREATE TEMPORARY TABLE sample AS SELECT pg_temp.file(
	pg_temp.element('00080005', 'CS', 'ISO_IR 192'),
	pg_temp.element('00080008', 'CS', 'ORIGINAL\PRIMARY\'),
	pg_temp.element('00080020', 'DA', '20040826'),
	pg_temp.element('00080060', 'CS', 'CT'),
	pg_temp.element('00081140', 'SQ',
		'\xfeff00e0'::bytea || '\x1a000000'::bytea || pg_temp.element('00081155', 'UI', '1.2.3.4.5.6.7.8.9')
		|| '\xfeff00e0'::bytea || '\x00000000'::bytea),
	pg_temp.element('00100010', 'PN', 'Yamada^Tarou=山田^太郎'),
	pg_temp.element('00100020', 'LO', ''),
	pg_temp.element('00280010', 'US', '\x0002'::bytea),
	pg_temp.element('00280030', 'DS', '0.5\0.25'),
	pg_temp.element('00290010', 'LO', 'ACME 1.0'),
	pg_temp.element('00291005', 'SH', 'private'),
	pg_temp.element('7fe00010', 'OW', '\x01020304'::bytea)) AS file;

SELECT plan(27);

-- dicom.value
SELECT is(dicom.value(file, 'PatientName'), 'Yamada^Tarou=山田^太郎', 'a person name is converted to the database encoding') FROM sample;
SELECT is(dicom.value(file, 'patient_name'), dicom.value(file, '(0010,0010)'), 'keyword and tag name the same element') FROM sample;
SELECT is(dicom.value(file, 'PatientID'), '', 'a present and empty element is an empty text') FROM sample;
SELECT is(dicom.value(file, 'StudyTime'), NULL, 'an absent element is NULL') FROM sample;
SELECT is(dicom.value(file, 'ImageType'), 'ORIGINAL\PRIMARY\', 'values are joined by a backslash, empty ones too') FROM sample;
SELECT is(dicom.value(file, 'Rows'), '512', 'a binary number is decimal') FROM sample;
SELECT is(dicom.value(file, 'ReferencedImageSequence[1].ReferencedSOPInstanceUID'), '1.2.3.4.5.6.7.8.9', 'a nested path') FROM sample;
SELECT is(dicom.value(file, 'ReferencedImageSequence[2].ReferencedSOPInstanceUID'), NULL, 'an empty item has nothing') FROM sample;
SELECT is(dicom.value(file, '(0029,"ACME 1.0",05)'), 'private', 'a private element by its creator') FROM sample;
SELECT is(dicom.value(file, '(0029,"OTHER",05)'), NULL, 'another creator''s block is not mistaken for it') FROM sample;
SELECT throws_ok($$SELECT dicom.value(file, 'PatientNmae') FROM sample$$, 'HV024', NULL, 'an unknown keyword is an error');

-- dicom.dataset
SELECT is(dicom.dataset(file) -> '00100010' -> 'Value' -> 0 ->> 'Ideographic', '山田^太郎', 'component groups of a name in JSON') FROM sample;
SELECT is(dicom.dataset(file) -> '00280030' -> 'Value', '[0.5, 0.25]'::jsonb, 'decimal strings are numbers in JSON') FROM sample;
SELECT is(jsonb_array_length(dicom.dataset(file) -> '00081140' -> 'Value'), 2, 'a sequence has its items') FROM sample;
SELECT is(dicom.dataset(file) -> '00100020', '{"vr": "LO"}'::jsonb, 'an empty element has no Value') FROM sample;
SELECT ok(dicom.dataset(file) -> '7FE00010' ? 'BulkDataURI', 'pixel data are a reference, not a value') FROM sample;

-- dicom.elements
SELECT results_eq(
	$$SELECT path, vr, vm, value FROM sample, dicom.elements(file) WHERE tag IN ('00080060', '00081155', '00280030', '00291005') ORDER BY tag$$,
	$$VALUES ('Modality', 'CS', 1, 'CT'), ('ReferencedImageSequence[1].ReferencedSOPInstanceUID', 'UI', 1, '1.2.3.4.5.6.7.8.9'),
		('PixelSpacing', 'DS', 2, '0.5\0.25'), ('(0029,"ACME 1.0",05)', 'SH', 1, 'private')$$,
	'elements, nested and private ones too');
SELECT is((SELECT count(*) FROM sample, dicom.elements(file) e WHERE e.value IS DISTINCT FROM dicom.value(file, e.path)
	AND e.vr NOT IN ('SQ', 'OW')), 0::bigint, 'every path that elements() gives is one that value() takes');
SELECT is((SELECT private_creator FROM sample, dicom.elements(file) WHERE tag = '00291005'), 'ACME 1.0', 'the private creator');

-- broken files
SELECT is(dicom.file_error(file), NULL, 'a good file has no error') FROM sample;
SELECT ok(dicom.file_error('\x00'::bytea) IS NOT NULL, 'a byte is no DICOM file');
SELECT is(dicom.dataset('no DICOM at all'::bytea), NULL, 'what is no DICOM file is NULL, with a WARNING');
SELECT throws_ok($$SELECT dicom.dataset('no DICOM at all'::bytea, 'error')$$, '22P03', NULL, 'or an error, where that is asked for');
SELECT is(dicom.value(substr(file, 1, 260), 'StudyDate'), '20040826', 'a cut file gives what stands before the cut') FROM sample;
SELECT ok((SELECT count(*) FROM sample, dicom.elements(substr(file, 1, 280))) BETWEEN 3 AND 10, 'elements before the cut') FROM sample;
SELECT is((SELECT count(*) FROM sample, generate_series(0, length(file)) n, dicom.elements(substr(file, 1, n)) e WHERE e.path IS NULL),
	0::bigint, 'a file cut anywhere never fails');
SELECT throws_ok($$SELECT dicom.value(file, 'Modality', 'ignore') FROM sample$$, '22023', NULL, 'an unknown on_error is an error');

SELECT * FROM finish();
ROLLBACK;
