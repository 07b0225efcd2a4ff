-- Promise: of a data set in the DICOM JSON model nothing is left that a profile does not allow, at whatever depth; what is left is still a data
-- set, refers to the same things as before, and equals what the columns of the same file become.
\set keys `mktemp -d /tmp/dicom_fdw-keys.XXXXXX`
\setenv KEYS :keys
\! (umask 077; printf '1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n' >"$KEYS/keys")
\set key_file :keys '/keys'
BEGIN;
SET client_min_messages = error;
SET search_path = public, tap;
SET dicom_fdw.key_file = :'key_file';
SELECT no_plan();

CREATE TEMPORARY TABLE source AS SELECT $${
	"00020003": {"vr": "UI", "Value": ["1.2.3.4"]},
	"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
	"00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", null]},
	"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
	"00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
	"00080020": {"vr": "DA", "Value": ["20200229"]},
	"00080021": {"vr": "DA", "Value": ["no date"]},
	"00080030": {"vr": "TM", "Value": ["143015.5"]},
	"00080050": {"vr": "SH", "Value": ["ACC-777"]},
	"00080060": {"vr": "CS", "Value": ["CT"]},
	"00080070": {"vr": "LO", "Value": ["ACME"]},
	"00080080": {"vr": "LO", "Value": ["Appleseed Chest Clinic"]},
	"00080090": {"vr": "PN", "Value": [{"Alphabetic": "Referrer^Rita"}]},
	"00081030": {"vr": "LO", "Value": ["CT thorax of Jane, tel. 555-1234"]},
	"00081090": {"vr": "LO", "Value": ["Scanner of Doe"]},
	"00081140": {"vr": "SQ", "Value": [
		{"00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}, "00081155": {"vr": "UI", "Value": ["1.2.3.5"]},
		 "00400260": {"vr": "SQ", "Value": [{"00080104": {"vr": "LO", "Value": ["see JANE"]}, "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Deep^Down"}]}}]}},
		{"00081155": {"vr": "UI", "Value": ["1.2.3.4"]}}]},
	"00090010": {"vr": "LO", "Value": ["ACME 1.0"]},
	"00091001": {"vr": "LO", "Value": ["private DOE"]},
	"00091002": {"vr": "DS", "Value": [0.5]},
	"00100010": {"vr": "PN", "Value": [{"Alphabetic": "DOE^JANE", "Ideographic": "山田^太郎"}]},
	"00100020": {"vr": "LO", "Value": ["PAT-0042 "]},
	"00100030": {"vr": "DA", "Value": ["19700101"]},
	"00100040": {"vr": "CS", "Value": ["F"]},
	"00101010": {"vr": "AS", "Value": ["091Y"]},
	"00104000": {"vr": "LT", "Value": ["Her name is Jane"]},
	"00180015": {"vr": "CS", "Value": ["CHEST"]},
	"00189074": {"vr": "DT", "Value": ["20200229143015.5+0100"]},
	"00189999": {"vr": "LO", "Value": ["unknown DOE"]},
	"0020000D": {"vr": "UI", "Value": ["1.2.3"]},
	"00200032": {"vr": "DS", "Value": [1.5, -2, "x DOE"]},
	"00204000": {"vr": "LT", "Value": ["Doe, left lung 3mm"]},
	"00280010": {"vr": "US", "Value": [512]},
	"00280106": {"vr": "SS", "Value": [-5]},
	"00281201": {"vr": "OW", "InlineBinary": "AAECAw=="},
	"00282000": {"vr": "OB", "InlineBinary": "RE9F"},
	"00321060": {"vr": "UN", "InlineBinary": "RE9F"},
	"00180026": {"vr": "SQ", "Value": []},
	"0040A13A": {"vr": "DT", "Value": ["20200301"]},
	"50000010": {"vr": "US", "Value": [1]},
	"60003000": {"vr": "OW", "InlineBinary": "RE9F"},
	"60000010": {"vr": "US", "Value": [512]},
	"7FE00010": {"vr": "OW", "BulkDataURI": "s3://bucket/DOE^JANE.dcm?offset=132"},
	"x": {"vr": "LO", "Value": ["DOE"]},
	"0010001": {"vr": "LO", "Value": ["DOE"]},
	"00100022": "DOE",
	"00100024": {"Value": ["DOE"]},
	"00200011": {"vr": "IS", "Value": [3, {"Alphabetic": "DOE"}, ["DOE"], true]}
}$$::jsonb AS ds;
CREATE TEMPORARY TABLE result AS
SELECT p AS profile, dicom.anonymize_dataset(ds, p) AS ds FROM source, unnest(ARRAY['basic', 'research', 'safe_harbor']) p;
CREATE FUNCTION pg_temp.value(profile text, VARIADIC path text[]) RETURNS text LANGUAGE sql AS $$
	SELECT ds #>> path FROM result r WHERE r.profile = $1
$$;

-- nothing identifying is left
SELECT ok(ds::text !~* 'doe|jane|山|太|pat-0042|acc-777|555-|rita|referrer|deep|down|appleseed|19700101|RE9F|s3:|20200229|private', profile || ': nothing of the patient is left')
FROM result;
SELECT ok(ds::text !~ '"1\.2\.3', profile || ': no UID of before is left') FROM result;
SELECT is(ds #>> '{00120062,Value,0}', 'YES', profile || ': it says that the identity is removed') FROM result;
SELECT is(ds #>> '{00120063,Value,0}', 'dicom_fdw: ' || profile, profile || ': and by what') FROM result;
SELECT results_eq('SELECT profile, ds #>> ''{00280303,Value,0}'' FROM result ORDER BY 1', $$VALUES ('basic', 'REMOVED'), ('research', 'MODIFIED'), ('safe_harbor', 'MODIFIED')$$, 'what became of dates is said');

-- what is left still refers to what it did
SELECT is(pg_temp.value('research', '00080018', 'Value', '0'), dicom.uid_remap('1.2.3.4'), 'a UID is the one that a column becomes');
SELECT is(pg_temp.value('research', '00081140', 'Value', '1', '00081155', 'Value', '0'), dicom.uid_remap('1.2.3.4'), 'inside of a sequence too');
SELECT is(pg_temp.value('research', '00020003', 'Value', '0'), dicom.uid_remap('1.2.3.4'), 'and in the meta information');
SELECT is(pg_temp.value('basic', '0020000D', 'Value', '0'), dicom.uid_remap('1.2.3'), 'in any profile');
SELECT is(pg_temp.value(p, '00080016', 'Value', '0'), '1.2.840.10008.5.1.4.1.1.2', 'a UID of DICOM stays: ' || p) FROM unnest(ARRAY['basic', 'research']) p;
SELECT is(pg_temp.value('research', '00100020', 'Value', '0'), dicom.full_hash('PAT-0042', 'patient_id'), 'the patient id is the one that a column becomes');
SELECT is(dicom.anonymize_dataset(ds, 'research', 2) #>> '{00100020,Value,0}', dicom.full_hash('PAT-0042', 'patient_id', 2), 'under another epoch') FROM source;

-- dates
SELECT is(pg_temp.value('research', '00080020', 'Value', '0'), '20101106', 'a date is shifted by its patient');
SELECT is(pg_temp.value('research', '00189074', 'Value', '0'), '20101106143015.5+0100', 'a date-time too');
SELECT is(pg_temp.value('research', '0040A13A', 'Value', '0'), '20101107', 'wherever it stands');
SELECT is(pg_temp.value('research', '00080021'), '{"vr": "DA"}', 'a date that is none is not there any more');
SELECT is(pg_temp.value('research', '00080030', 'Value', '0'), '143015.5', 'a time stays');
SELECT is(pg_temp.value('basic', '00080020'), '{"vr": "DA"}', 'basic leaves no date');
SELECT is(pg_temp.value('basic', '00080030'), '{"vr": "TM"}', 'and no time');
SELECT is(pg_temp.value('safe_harbor', '00080020', 'Value', '0'), '20200101', 'safe_harbor leaves the year');
SELECT is(dicom.anonymize_dataset(ds - '00100020' || '{"0020000D": {"vr": "UI", "Value": ["PAT-0042"]}}') #>> '{00080020,Value,0}', '20101106', 'the study stands in for a patient') FROM source;
SELECT is(dicom.anonymize_dataset(ds - '00100020' - '0020000D') ->> '00080020', '{"vr": "DA"}', 'nobody''s date goes') FROM source;

-- what says nothing of a person stays as it was
SELECT is(pg_temp.value('basic', k), (SELECT ds ->> k FROM source), 'stays: ' || k)
FROM unnest(ARRAY['00080005', '00080008', '00080060', '00080070', '00180015', '00280010', '00280106', '00281201', '60000010', '00180026']) k;
SELECT is(pg_temp.value('research', '00101010', 'Value', '0'), '090Y', 'an age above 89 is one');
SELECT is(pg_temp.value('research', '00100040', 'Value', '0'), 'F', 'the sex stays for research');
SELECT is(pg_temp.value('basic', '00100040'), '{"vr": "CS"}', 'but not in basic');
SELECT is(pg_temp.value('research', '00081030', 'Value', '0'), 'CT thorax of ***', 'a description is cleaned');
SELECT is(pg_temp.value('research', '00204000', 'Value', '0'), '***, left lung 3mm', 'a comment too');
SELECT is(pg_temp.value('research', '00081090'), '{"vr": "LO"}', 'a text that is kept goes if it has the patient''s name');
SELECT is(pg_temp.value('basic', '00200032', 'Value'), '[1.5, -2, null]', 'numbers stay, and nothing else among them');
SELECT is(pg_temp.value('basic', '00200011', 'Value'), '[3, null, null, null]', 'a value that is no value goes');

-- what is unknown goes
SELECT is(pg_temp.value(p, k), NULL, p || ' removes ' || k)
FROM unnest(ARRAY['basic', 'research', 'safe_harbor']) p,
	unnest(ARRAY['00090010', '00091001', '00091002', '00189999', '00282000', '50000010', '60003000', '7FE00010', 'x', '0010001', '00100022', '00100024']) k;
SELECT is(dicom.anonymize_dataset(jsonb_build_object('00080070', jsonb_build_object('vr', vr, 'Value', jsonb_build_array('ACME'))), 'basic') -> '00080070', NULL,
	'another VR than the dictionary''s: ' || vr)
FROM unnest(ARRAY['PN', 'UN', 'UI', 'SQ', 'OB', 'XX', 'SH']) vr;
SELECT is(dicom.anonymize_dataset('{"00100010": {"vr": "LO", "Value": ["DOE"]}}', p) ->> '00100010', '{"vr": "LO"}', 'a name of another VR is no less a name: ' || p)
FROM unnest(ARRAY['basic', 'research']) p;
SELECT is(dicom.anonymize_dataset('{"0020000D": {"vr": "UI", "Value": ["1.2.840.10008.DOE"]}}') #>> '{0020000D,Value,0}' ~ '^2\.25\.[0-9]+$', true, 'a UID that is none becomes one');
SELECT is(dicom.anonymize_dataset(jsonb_build_object('00080070', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array(v))), 'basic') ->> '00080070', '{"vr": "LO"}', 'a kept text that reveals something: ' || v)
FROM unnest(ARRAY['call 555-123-4567', 'a@b.example', 'http://x.example', 'DOE^JANE', 'of 2020-02-29', '20200229']) v;
SELECT is(dicom.anonymize_dataset(jsonb_build_object('00080070', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array('chest ' || repeat('x ', 40)))), 'basic') #>> '{00080070,Value,0}' ~ '^chest', true, 'a text too long for its VR is cleaned');

-- private attributes that a profile names
INSERT INTO dicom.profile_attribute (profile, tag, keyword, action, rule, params)
VALUES ('basic', '0009xx02', NULL, 'K', 'keep', '{"private_creator": "ACME 1.0"}');
SELECT is(dicom.anonymize_dataset(ds, 'basic') #>> '{00091002,Value,0}', '0.5', 'one with the right creator stays') FROM source;
SELECT is(dicom.anonymize_dataset(ds, 'basic') #>> '{00090010,Value,0}', 'ACME 1.0', 'with its creator') FROM source;
SELECT is(dicom.anonymize_dataset(ds, 'basic') -> '00091001', NULL, 'its neighbour goes') FROM source;
SELECT is(dicom.anonymize_dataset(ds || '{"00090010": {"vr": "LO", "Value": ["OTHER"]}}', 'basic') ?| ARRAY['00091002', '00090010'], false, 'of another creator nothing stays') FROM source;
DELETE FROM dicom.profile_attribute WHERE profile = 'basic' AND tag = '0009xx02';
SELECT is(dicom.anonymize_dataset(ds, 'basic') -> '00091002', NULL, 'rules that change count at once') FROM source;
UPDATE dicom.profile_attribute SET rule = 'keep' WHERE profile = 'research' AND tag = '00080080';
SELECT is(dicom.anonymize_dataset(ds) #>> '{00080080,Value,0}', 'Appleseed Chest Clinic', 'what a profile keeps is not taken out of itself') FROM source;
SAVEPOINT before;
UPDATE dicom.profile_attribute SET rule = 'keep' WHERE profile = 'research' AND tag = '00080050';
SELECT is(dicom.anonymize_dataset(ds) #>> '{00080050,Value,0}', 'ACC-777', 'in the transaction that changes them') FROM source;
ROLLBACK TO before;
SELECT isnt(dicom.anonymize_dataset(ds) #>> '{00080050,Value,0}', 'ACC-777', 'and not when they are undone') FROM source;

-- depth
CREATE FUNCTION pg_temp.nested(depth integer) RETURNS jsonb LANGUAGE sql AS $$
	SELECT (repeat('{"00400260": {"vr": "SQ", "Value": [', depth) || '{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "DOE"}]}, "00080060": {"vr": "CS", "Value": ["CT"]}}' || repeat(']}}', depth))::jsonb
$$;
SELECT is(dicom.anonymize_dataset(pg_temp.nested(d), 'basic')::text ~ 'CT', kept, d || ' sequences in each other') FROM (VALUES (1, true), (60, true), (64, true), (65, false), (1000, false)) t(d, kept);
SELECT ok(dicom.anonymize_dataset(pg_temp.nested(d), 'basic')::text !~ 'DOE', 'nothing shows at depth ' || d) FROM unnest(ARRAY[1, 64, 65, 1000]) d;

-- what is no data set
SELECT is(dicom.anonymize_dataset(NULL), NULL, 'NULL');
SELECT is(dicom.anonymize_dataset('{}') - '00120062' - '00120063' - '00280303', '{}', 'an empty one');
SELECT throws_ok(format('SELECT dicom.anonymize_dataset(%L)', v), '22023', 'a data set must be a JSON object', 'no data set: ' || v) FROM unnest(ARRAY['[]', '"DOE"', '1', 'null', '[{}]']) v;
SELECT throws_ok($$SELECT dicom.anonymize_dataset('{}', 'no_such_profile')$$, '42704', NULL, 'no profile');
SELECT throws_ok($$SELECT dicom.anonymize_dataset('{}', NULL)$$, '22004', NULL, 'no profile at all');

-- a row becomes what the query of its table makes of it
CREATE TABLE studies OF dicom.studies_row;
INSERT INTO studies (study_instance_uid, study_date, patient_id, accession_number, study_description, referring_physician_name, study_time, medical_alerts, filename)
VALUES ('1.2.3', '2020-02-29', 'PAT-0042', 'ACC-777', 'CT thorax of Jane', 'Referrer^Rita', '14:30:15.5', ARRAY['allergic'], 'a/DOE.dcm'),
	('1.2.4', NULL, NULL, '', NULL, NULL, NULL, NULL, 'b'), ('1.2.5', '-infinity', 'X', NULL, 'chest', NULL, NULL, '{}', 'c');
CREATE FUNCTION pg_temp.by_query(profile text) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'SELECT to_jsonb(q) FROM (' || dicom.anonymized_query('studies', profile) || ') q';
END
$$;
SELECT results_eq(format('SELECT dicom.anonymize_row(''studies'', s, %L) FROM studies s', p), format('SELECT pg_temp.by_query(%L)', p), p || ': row by row as by the query')
FROM unnest(ARRAY['basic', 'research', 'safe_harbor', 'seed_compat']) p;
SELECT results_eq('SELECT dicom.anonymize_row(''studies'', s) ->> ''study_instance_uid'' FROM studies s', 'SELECT dicom.uid_remap(study_instance_uid) FROM studies', 'research is the default');
SELECT is(dicom.anonymize_row('studies', s, epoch => 2) ->> 'study_instance_uid', dicom.uid_remap(study_instance_uid, 2), 'under another epoch') FROM studies s;
SELECT ok(NOT dicom.anonymize_row('studies', s, 'basic') ? 'medical_alerts', 'a column that is removed is not in it') FROM studies s;
UPDATE dicom.anonymization_mapping SET target_function = 'keep' WHERE profile = 'research' AND table_name = 'studies' AND column_name = 'study_instance_uid';
SELECT is(dicom.anonymize_row('studies', s) ->> 'study_instance_uid', study_instance_uid, 'rules that change count at once') FROM studies s;
SELECT is(dicom.anonymize_row('studies', NULL::studies), NULL, 'no row');
SELECT throws_ok($$SELECT dicom.anonymize_row('source', s) FROM studies s$$, '42804', NULL, 'a row of another table');
SELECT throws_ok($$SELECT dicom.anonymize_row('studies', ROW('1.2.3'))$$, '42804', NULL, 'a row of none');
SELECT throws_ok($$SELECT dicom.anonymize_row('source', s) FROM source s$$, '42704', NULL, 'a table without rules');

-- somebody who may call the functions need not read the rules
CREATE ROLE worker;
GRANT USAGE ON SCHEMA dicom, public, tap TO worker;
GRANT SELECT ON studies TO worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dicom TO worker;
SELECT lives_ok($$SET LOCAL ROLE worker; SELECT dicom.anonymize_row('public.studies', s) FROM public.studies s$$, 'anonymize_row reads the rules itself');
SELECT lives_ok($$SET LOCAL ROLE worker; SELECT dicom.anonymize_dataset('{}')$$, 'so does anonymize_dataset');
RESET ROLE;
CREATE SCHEMA trap;
GRANT USAGE, CREATE ON SCHEMA trap TO worker;
SET LOCAL ROLE worker;
CREATE TABLE trap.who (name text);
CREATE FUNCTION trap.spy(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO trap.who VALUES (current_user); RETURN pg_catalog.concat($1, $2); END$$;
CREATE OPERATOR trap.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.spy);
RESET ROLE;
UPDATE dicom.anonymization_mapping SET quasi_identifier = NOT quasi_identifier WHERE profile = 'research' AND table_name = 'studies';
SET LOCAL ROLE worker;
SET LOCAL search_path = trap, pg_catalog, public;
SELECT dicom.anonymize_row('public.studies', s) FROM public.studies s \g /dev/null
RESET ROLE;
SET LOCAL search_path = public, tap;
SELECT is((SELECT count(*) FROM trap.who WHERE name <> 'worker'), 0::bigint, 'no operator of the caller is called as somebody else');
SELECT * FROM finish();
ROLLBACK;
\! rm -r "$KEYS"
