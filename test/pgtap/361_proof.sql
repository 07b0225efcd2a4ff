-- Promise: what a derived table still tells is counted, never shown; who applied which rules is noted and stays.
BEGIN;
SET client_min_messages = error;
SET search_path = public, tap;
SELECT no_plan();

-- k-anonymity and l-diversity
CREATE TABLE people (age text, sex text, disease text, weight double precision);
INSERT INTO people
SELECT '050Y', 'F', CASE WHEN i <= 3 THEN 'a' ELSE 'b' END, 60 FROM generate_series(1, 12) i
UNION ALL SELECT '060Y', 'M', 'a', 70 FROM generate_series(1, 4) i
UNION ALL SELECT '090Y', 'M', NULL, 80
UNION ALL SELECT NULL, 'M', 'c', 80;
SELECT is(x::text, '(1,4,18,2,2,3,6,3,6)', 'rows that share age and sex with few others are counted, NULL being an age of its own')
FROM dicom.k_anonymity('people', '{age,sex}') x;
SELECT is(x::text, '(6,2,18,0,0,0,0,1,6)', 'of one column') FROM dicom.k_anonymity('people', '{sex}') x;
CREATE TABLE nobody (LIKE people);
SELECT is(x::text, '(,0,0,0,0,0,0,0,0)', 'nobody has no k') FROM dicom.k_anonymity('nobody', '{sex}') x;
SELECT throws_ok($$SELECT dicom.k_anonymity('people', '{agee}')$$, '42703', 'column "agee" of table "public.people" does not exist', 'an unknown column is refused');
SELECT throws_ok($$SELECT dicom.k_anonymity('people')$$, '22023', NULL, 'so is no column at all');
SELECT is(x.l || ' ' || x.classes || ' ' || x.rows || ' ' || x.classes_below_2 || ' ' || x.rows_below_2 || ' ' || x.classes_below_3, '1 4 18 3 6 4', 'values of a sensitive column among them')
FROM dicom.l_diversity('people', '{age,sex}', 'disease') x;
CREATE TABLE women AS SELECT * FROM people WHERE sex = 'F';
SELECT is(round(x.entropy_l::numeric, 3), round(exp(-(0.25 * ln(0.25) + 0.75 * ln(0.75)))::numeric, 3), 'and how even they are')
FROM dicom.l_diversity('women', '{sex}', 'disease') x;

-- what a raw table hides, and a derived one must not have
CREATE SCHEMA dicom_raw;
CREATE TABLE dicom_raw.patients OF dicom.patients_row;
INSERT INTO dicom_raw.patients (patient_id, patient_name, patient_birth_date, patient_sex, patient_age, patient_telephone_numbers, other_patient_ids, filename) VALUES
	('PAT-0042', 'DOE^JANE', '1970-01-01', 'F', '052Y', '{"+43 1 5551234","(555) 987 6543"}', '{MRN-998877,X1}', 'inbox/jane.dcm'),
	('PAT-0043', 'Yamada^Tarou=山田^太郎', '1961-03-17', 'M', '061Y', NULL, NULL, 'a.dcm'),
	('7', 'Li^Bo', '1990-12-31', 'M', '030Y', NULL, NULL, 'b.dcm');
CREATE FUNCTION pg_temp.residue(planted jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	CREATE TEMPORARY TABLE derived (t text, a text[], j jsonb, d date, s timestamp, n bigint) ON COMMIT DROP;
	INSERT INTO derived SELECT (jsonb_populate_record(NULL::derived, planted)).*;
	SELECT string_agg(format('%s %s %s/%s', derived_column, source_column, whole, inside), ', ' ORDER BY derived_column, source_column) INTO found
	FROM dicom.scan_residual('derived', 'dicom_raw.patients');
	DROP TABLE derived;
	RETURN found;
END
$$;
SELECT is(pg_temp.residue(planted), wanted, promise)
FROM (VALUES
	(jsonb_build_object('t', 'nothing of them', 'a', '{x,y}', 'j', '{"a": 1}'), NULL, 'a clean table has no row'),
	(jsonb_build_object('t', 'PAT-0042'), 't patient_id 1/0', 'a whole value is found'),
	(jsonb_build_object('t', 'pat 0042'), 't patient_id 1/0', 'however it is written'),
	(jsonb_build_object('t', 'see PAT-0042/3'), 't patient_id 0/1', 'inside another'),
	(jsonb_build_object('t', 'seen: Jane'), 't patient_name 0/1', 'a part of a name'),
	(jsonb_build_object('t', 'janet'), NULL, 'but not a part of a word'),
	(jsonb_build_object('t', '診断 山田太郎 殿'), 't patient_name 0/2', 'in other scripts'),
	(jsonb_build_object('t', 'born 1.1.1970, or 1970/01/01'), 't patient_birth_date 0/1', 'a date in its parts'),
	(jsonb_build_object('d', '1961-03-17'), 'd patient_birth_date 1/0', 'a date'),
	(jsonb_build_object('s', '1961-03-17T10:00:00'), 's patient_birth_date 0/1', 'a date in a timestamp'),
	(jsonb_build_object('a', '{"call 5559876543 now"}'), 'a patient_telephone_numbers 0/1', 'in an array'),
	(jsonb_build_object('j', '{"0010": {"Value": [{"x": ["mrn998877"]}]}}'::jsonb), 'j other_patient_ids 1/0', 'deep in JSON'),
	(jsonb_build_object('n', 15551234), NULL, 'not what merely looks alike'),
	(jsonb_build_object('t', 'F 052Y Li 7'), NULL, 'nor what is kept, or too short to mean anything')) v(planted, wanted, promise);
SELECT is((SELECT bool_and(NOT coalesce(s::text, '') ~* 'jane|0042|yamada') FROM dicom.scan_residual('dicom_raw.patients', 'dicom_raw.patients') s), true, 'no value is shown');

-- what rules did
SELECT is(dicom.load_mapping(E'schema_name,table_name,column_name,target_function,quasi_identifier\nraw,patients,patient_id,anon_text,\nraw,patients,patient_sex,keep,true\nraw,patients,patient_age,generalize_age,true\n', 'plain'), 3,
	'three rules without a key');
SELECT is(format('%s %s %s %s %s %s', c.rule, c.distinct_raw, c.distinct_values, c.null_fraction_raw, c.null_fraction, c.changed_fraction), v.wanted, 'coverage of ' || v.col)
FROM (VALUES
	('patient_id', 'anon_text 3 1 0 0 1'), ('patient_sex', 'keep 2 2 0 0 0'), ('patient_name', 'remove 3 0 0 1 1'), ('allergies', 'remove 0 0 1 1 0')) v(col, wanted)
	JOIN dicom.coverage('dicom_raw.patients', 'plain') c ON c.column_name = v.col;
SELECT is((SELECT count(*) FROM dicom.coverage('dicom_raw.patients', 'plain')), 27::bigint, 'of each column');
SELECT is(dicom.quasi_identifiers('dicom_raw.patients', 'plain'), '{patient_age,patient_sex}', 'the mapping says what quasi-identifiers are');

-- the audit
SELECT ok(dicom.record_application('dicom_raw.patients', 'plain', rows => 3, purpose => 'a test') > 0, 'an application is noted');
SELECT is(format('%s %s %s %s %s %s %s %s', a.applied_by = session_user, a.relation, a.profile, a.mapping_version, a.content_hash = v.content_hash, a.epoch, a.rows, a.purpose),
	't dicom_raw.patients plain 1 t  3 a test', 'with who, what, which rules, how many rows')
FROM dicom.deid_audit a JOIN dicom.anonymization_mapping_version v ON (v.profile, v.version) = (a.profile, a.mapping_version);
SELECT throws_ok('DELETE FROM dicom.deid_audit', '55000', NULL, 'a note is not deleted');
SELECT throws_ok('UPDATE dicom.deid_audit SET rows = 0', '55000', NULL, 'nor changed');
SELECT throws_ok('TRUNCATE dicom.deid_audit', '55000', NULL, 'nor emptied out');
SELECT throws_ok($$SELECT dicom.record_application('dicom_raw.patients', 'nobody')$$, '42704', NULL, 'rules that there are not were not applied');

SELECT * FROM finish();
ROLLBACK;
