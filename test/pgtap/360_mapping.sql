-- Promise: the rules of a table say what happens to it: what they do not name is removed, what cannot be applied is refused,
-- every state they had is kept.
BEGIN;
SET client_min_messages = error;
SET search_path = public, tap;
SELECT no_plan();

CREATE SCHEMA dicom_raw;
CREATE TABLE dicom_raw.patients OF dicom.patients_row;
CREATE TABLE dicom_raw.studies OF dicom.studies_row;
CREATE TABLE dicom_raw.series OF dicom.series_row;
CREATE TABLE dicom_raw.images OF dicom.images_row;
CREATE TABLE dicom_raw.devices OF dicom.devices_row;

-- types of neighbouring systems
SELECT is(dicom.target_type(given), wanted, given || ' is ' || wanted)
FROM (VALUES
	('varchar(64)', 'character varying(64)'), ('VARCHAR ( 16 )', 'character varying(16)'), ('string', 'text'), ('text', 'text'),
	('number', 'numeric'), ('number(38, 0)', 'numeric(38,0)'), ('NUMBER(10,2)', 'numeric(10,2)'), ('decimal(5,1)', 'numeric(5,1)'),
	('float', 'double precision'), ('float[]', 'double precision[]'), ('double', 'double precision'), ('real', 'real'),
	('tinyint', 'smallint'), ('usmallint', 'integer'), ('uinteger', 'bigint'), ('ubigint', 'numeric'), ('hugeint', 'numeric'), ('bigint', 'bigint'),
	('uint8[]', 'integer[]'), ('json[]', 'jsonb'), ('variant', 'jsonb'), ('object', 'jsonb'), ('array', 'jsonb'),
	('timestamp_ntz', 'timestamp without time zone'), ('timestamp_ntz(9)', 'timestamp without time zone'), ('timestamp_tz', 'timestamp with time zone'),
	('timestamp_ltz', 'timestamp with time zone'), ('datetime', 'timestamp without time zone'), ('date', 'date'), ('time', 'time without time zone'),
	('boolean', 'boolean'), ('binary', 'bytea')) v(given, wanted);
SELECT throws_ok($$SELECT dicom.target_type('varchr(10)')$$, '42704', NULL, 'what is no type is refused');
SELECT throws_ok($$SELECT dicom.target_type('text; DROP TABLE x')$$, '42704', NULL, 'SQL is no type');
SELECT throws_ok($$SELECT dicom.target_type('pg_class')$$, '42704', NULL, 'a row is no type of a column');

-- what the extension brings
SELECT is((SELECT count(*) FROM dicom.anonymization_mapping WHERE profile = 'seed_compat'), 173::bigint, 'the compatible mapping has its 173 rows');
SELECT is((SELECT count(*) FROM dicom.validate_mapping(p)), 0::bigint, p || ' has nothing to be looked at')
FROM unnest(ARRAY['basic', 'research', 'safe_harbor']) p;
SELECT is((SELECT count(*) FROM dicom.validate_mapping('seed_compat') WHERE problem ~ '^it is kept'), 50::bigint, 'of the compatible mapping, 50 columns that identify');
SELECT is((SELECT string_agg(DISTINCT t.tab, ' ') FROM unnest(ARRAY['patients', 'devices', 'studies', 'series', 'images']) t(tab),
		LATERAL dicom.compare_profile(('dicom_raw.' || t.tab)::regclass, p, p) c WHERE c.verdict = 'weaker'), NULL, p || ' is nowhere weaker than it says')
FROM unnest(ARRAY['basic', 'research', 'safe_harbor']) p;
SELECT is((SELECT count(*) FROM dicom.profile_attribute WHERE profile = p), 620::bigint, p || ' has the attributes of PS3.15')
FROM unnest(ARRAY['basic', 'research', 'safe_harbor']) p;
SELECT is((SELECT count(*) FROM dicom.profile_attribute a WHERE dicom.rule_error(a.rule, a.params) IS NOT NULL), 0::bigint, 'rules of profiles are ones that there are');
SELECT is((SELECT count(*) FROM dicom.profile_attribute WHERE profile IN ('basic', 'research', 'safe_harbor') AND rule = 'keep' AND action ~ '^[XZDU](/[XZD])*$'),
	0::bigint, 'no profile keeps what PS3.15 acts on');
SELECT is((SELECT array_agg(DISTINCT target_function) FROM dicom.anonymization_mapping WHERE profile <> 'seed_compat' AND column_name = 'patient_id' AND table_name IN ('patients', 'studies')),
	ARRAY['full_hash'], 'patients and studies have one rule for the patient''s ID');
SELECT is((SELECT count(*) FROM dicom.anonymization_mapping WHERE profile <> 'seed_compat' AND column_name ~ '_uid$' AND column_name <> 'sop_class_uid' AND target_function <> 'uid_remap'),
	0::bigint, 'UIDs are exchanged');

SELECT is(dicom.load_mapping(pg_read_file(:'top' || '/seeds/' || file), 'again_' || p), 186, file || ' is read')
FROM (VALUES ('anonymization_mapping.csv', 'research'), ('anonymization_mapping_basic.csv', 'basic'), ('anonymization_mapping_safe_harbor.csv', 'safe_harbor')) v(file, p);
SELECT is(dicom.export_mapping('again_' || p), dicom.export_mapping(p), 'and is what ' || p || ' came from')
FROM unnest(ARRAY['basic', 'research', 'safe_harbor']) p;
SELECT is((SELECT count(*) FROM dicom.mapping_of_csv(pg_read_file(:'top' || '/seeds/anonymization_mapping_compat.csv')) c JOIN dicom.anonymization_mapping m
		ON (m.profile, m.table_name, m.column_name, m.target_type) = ('seed_compat', (c.mapping).table_name, (c.mapping).column_name, (c.mapping).target_type)
		WHERE replace(m.target_function, 'legacy_', '') = coalesce((c.mapping).target_function, '')), 173::bigint, 'so is that of the compatible one');

-- five columns, as the original has them
SELECT is(dicom.load_mapping($csv$schema_name, table_name, column_name,               target_function, target_type
raw,         patients,   allergies,                 anon_text,       varchar(10)
raw,         patients,   other_patient_ids,         surrogate_key,   varchar(64)
raw,         patients,   patient_age,               surrogate_key,   varchar(64)
raw,         patients,   patient_id,                surrogate_key,   varchar(64)
raw,         patients,   patient_name,              surrogate_key,   varchar(64)
raw,         patients,   patient_telephone_numbers, full_hash,       varchar(16)
raw,         patients,   patient_weight,                     ,       number(38, 2)
$csv$, 'own'), 7, 'a padded CSV of five columns is read');
SELECT is((SELECT string_agg(column_name || ' ' || target_type || ' ' || rule, E'\n' ORDER BY column_name) FROM dicom.anonymized_columns('dicom_raw.patients', 'own')),
	E'allergies character varying(10) anon_text\n'
	'other_patient_ids character varying(64) surrogate_key\n'
	'patient_age character varying(64) surrogate_key\n'
	'patient_id character varying(64) surrogate_key\n'
	'patient_name character varying(64) surrogate_key\n'
	'patient_telephone_numbers character varying(64) full_hash\n'
	'patient_weight numeric(38,2) keep',
	'an empty rule keeps, a missing one removes, and a type that a hash does not fit is widened');
SELECT is((SELECT DISTINCT expression FROM dicom.anonymized_columns('dicom_raw.patients', 'own') WHERE rule = 'surrogate_key'),
	$$(dicom.surrogate_key('patients', pg_catalog.array_to_string(r.other_patient_ids, '\'), r.patient_age, r.patient_id, r.patient_name))::character varying(64)$$,
	'the columns of a surrogate key make one, in the order of the file');
SELECT is((SELECT expression FROM dicom.anonymized_columns('dicom_raw.patients', 'own', 3) WHERE column_name = 'patient_id'),
	$$(dicom.surrogate_key('patients', ARRAY[pg_catalog.array_to_string(r.other_patient_ids, '\'), r.patient_age, r.patient_id, r.patient_name], 3, 'null'))::character varying(64)$$,
	'under the epoch that is asked for');
SELECT is((SELECT string_agg(severity || ' ' || column_name || ': ' || problem, E'\n' ORDER BY column_name) FROM dicom.validate_mapping('own') WHERE severity <> 'notice'),
	E'warning patient_telephone_numbers: full_hash gives 64 characters, which character varying(16) is too short for: it is widened, for cut they would not join\n'
	'warning patient_weight: it is kept, and PS3.15 acts on PatientWeight: X', 'a hash in a type too short, and a kept column, are told');
SELECT is((SELECT count(*) FROM dicom.validate_mapping('own') WHERE severity = 'notice' AND problem = 'it has no rule, and so is removed'), 20::bigint, 'so are columns without a rule');

-- CSV in and out
SELECT is(dicom.load_mapping(dicom.export_mapping('research'), 'copied'), 186, 'what was exported is read');
SELECT is(dicom.export_mapping('copied'), dicom.export_mapping('research'), 'and is the same');
SELECT is(dicom.load_mapping(E'\uFEFF# a comment\r\nTable_Name,Schema_Name,column_name,Target_Function,reason\r\n\r\nt,s,"a ""b"", c",KEEP,"two\nlines"\r\n', 'quoted'), 1,
	'a byte order mark, comments, carriage returns, quotes and columns in any order');
SELECT is((SELECT column_name || '|' || target_function || '|' || reason FROM dicom.anonymization_mapping WHERE profile = 'quoted'), E'a "b", c|keep|two\nlines', 'are read right');
SELECT is(dicom.load_mapping(E'schema_name,table_name,column_name,target_function,params,quasi_identifier\nraw,patients,patient_birth_date,date_truncate,"{""unit"": ""year""}",true\n', 'own', false), 1, 'rules may be added');
SELECT is((SELECT count(*) FROM dicom.anonymization_mapping WHERE profile = 'own'), 8::bigint, 'to those that are there');
SELECT is(dicom.load_mapping(E'schema_name,table_name,column_name,target_function\nraw,patients,patient_sex,keep\n', 'own'), 1, 'or take their place');
SELECT is((SELECT string_agg(column_name, ',') FROM dicom.anonymization_mapping WHERE profile = 'own'), 'patient_sex', 'which leaves no other');
SELECT throws_ok(format('SELECT dicom.load_mapping(%L, %L)', csv, 'own'), state, NULL, promise)
FROM (VALUES
	('', '22P02', 'an empty CSV is refused'),
	(E'schema_name,table_name,colum_name,target_function\n', '22P02', 'so is an unknown column'),
	(E'schema_name,table_name,target_function\n', '22P02', 'a missing one'),
	(E'schema_name,table_name,column_name,target_function,target_function\n', '22P02', 'one that is there twice'),
	(E'schema_name,table_name,column_name,target_function\nraw,a,b,"keep\n', '22P02', 'a quote without a partner'),
	(E'schema_name,table_name,column_name,target_function\nraw,a,b,keep,c\n', '22P02', 'a record that is too long'),
	(E'schema_name,table_name,column_name,target_function\nraw,a,b,keep\nraw,a,b,keep\n', '23505', 'two rules for one column'),
	(E'schema_name,table_name,column_name,target_function\nraw,a,b,full_hahs\n', '22023', 'an unknown rule'),
	(E'schema_name,table_name,column_name,target_function,target_type\nraw,a,b,full_hash,varchr\n', '42704', 'an unknown type'),
	(E'schema_name,table_name,column_name,target_function,params\nraw,a,b,date_truncate,"{""unit"": ""week""}"\n', '22023', 'a parameter of no such value'),
	(E'schema_name,table_name,column_name,target_function,params\nraw,a,b,uid_remap,"{""unit"": ""year""}"\n', '22023', 'a parameter of another rule'),
	(E'schema_name,table_name,column_name,target_function,params\nraw,a,b,keep,"{""unit"": ""year""}"\n', '22023', 'a parameter of none'),
	(E'schema_name,table_name,column_name,target_function,null_policy\nraw,a,b,full_hash,maybe\n', '22023', 'an unknown treatment of NULL'),
	(E'schema_name,table_name,column_name,target_function\nraw,,b,full_hash\n', '23514', 'a rule for no table')) v(csv, state, promise);
SELECT is((SELECT string_agg(column_name, ',') FROM dicom.anonymization_mapping WHERE profile = 'own'), 'patient_sex', 'and what was there stays');

-- versions
SELECT is((SELECT array_agg(version ORDER BY version) FROM dicom.anonymization_mapping_version WHERE profile = 'own'), ARRAY[1, 2, 3], 'each load is a version');
SELECT is((SELECT jsonb_array_length(mapping) FROM dicom.anonymization_mapping_version WHERE profile = 'own' AND version = 2), 8, 'with all of its rules');
UPDATE dicom.anonymization_mapping SET reason = reason WHERE profile = 'own';
SELECT is((SELECT version FROM dicom.anonymization_profile WHERE profile = 'own'), 3, 'what changes nothing is none');
UPDATE dicom.anonymization_mapping SET target_function = 'remove' WHERE profile = 'own';
SELECT is((SELECT created_by FROM dicom.anonymization_mapping_version WHERE profile = 'own' AND version = 4), session_user::text, 'it is known who changed them');
UPDATE dicom.anonymization_mapping SET target_function = 'keep' WHERE profile = 'own';
SELECT is((SELECT content_hash FROM dicom.anonymization_mapping_version WHERE profile = 'own' AND version = 5),
	(SELECT content_hash FROM dicom.anonymization_mapping_version WHERE profile = 'own' AND version = 3), 'equal rules have equal hashes');
SELECT is((SELECT array_agg(profile ORDER BY profile) FROM dicom.anonymization_profile WHERE origin = 'shipped'), ARRAY['basic', 'research', 'safe_harbor', 'seed_compat'], 'what nobody touched is as it came');
UPDATE dicom.profile_attribute SET rule = 'remove' WHERE profile = 'safe_harbor' AND keyword = 'PatientSex';
SELECT is((SELECT origin || version FROM dicom.anonymization_profile WHERE profile = 'safe_harbor'), 'user2', 'rules of data sets have versions too');

-- profiles of one's own
SELECT is(dicom.copy_profile('research', 'mine'), 186, 'a profile is copied');
SELECT is((SELECT content_hash || version FROM dicom.anonymization_mapping_version WHERE profile = 'mine'),
	(SELECT content_hash || version FROM dicom.anonymization_mapping_version WHERE profile = 'research' AND version = 1), 'and has the same rules');
DELETE FROM dicom.anonymization_mapping WHERE profile = 'mine' AND table_name = 'studies' AND column_name <> 'study_time';
SELECT is(dicom.anonymized_query('dicom_raw.studies', 'mine'), E'SELECT\n\tr.study_time AS study_time\nFROM dicom_raw.studies AS r', 'and goes its own way');
SELECT isnt(dicom.anonymized_query('dicom_raw.studies'), dicom.anonymized_query('dicom_raw.studies', 'mine'), 'while the other stays');
SELECT is(dicom.anonymized_query('dicom_raw.studies'), dicom.anonymized_query('dicom_raw.studies', 'research'), 'research is the default');
SELECT throws_ok($$SELECT dicom.anonymized_query('dicom_raw.studies', 'reserch')$$, '42704', 'profile "reserch" does not exist', 'an unknown profile is refused');
DELETE FROM dicom.anonymization_mapping WHERE profile = 'mine' AND table_name = 'studies';
SELECT throws_ok($$SELECT dicom.anonymized_query('dicom_raw.studies', 'mine')$$, '42704', NULL, 'a table without any rule too');
INSERT INTO dicom.anonymization_mapping (profile, schema_name, table_name, column_name, target_function) VALUES ('mine', 'raw', 'studies', 'study_time', 'remove');
SELECT throws_ok($$SELECT dicom.anonymized_query('dicom_raw.studies', 'mine')$$, '42703', NULL, 'and one of which nothing is left');

-- whose rules
CREATE SCHEMA other;
CREATE TABLE other.my_images OF dicom.images_row;
CREATE TABLE other.studies (modality text, study_date date, "odd "" name" text);
SELECT is(replace(dicom.anonymized_query('other.my_images'), 'other.my_images', 'dicom_raw.images'), dicom.anonymized_query('dicom_raw.images'), 'a table goes by the rules of its entity');
SELECT is((SELECT array_agg(column_name::text) FROM dicom.anonymized_columns('other.studies')), ARRAY['study_date'], 'or of its name');
INSERT INTO dicom.anonymization_mapping (profile, schema_name, table_name, column_name, target_function) VALUES ('research', 'other', 'studies', 'odd " name', 'full_hash');
SELECT is((SELECT array_agg(column_name || ': ' || expression) FROM dicom.anonymized_columns('other.studies')), ARRAY['odd " name: dicom.full_hash(r."odd "" name", ''odd " name'')'],
	'unless it has its own, which are all then; names are quoted');

-- what comes out
INSERT INTO dicom_raw.patients (patient_id, patient_name, patient_age, patient_birth_date, patient_telephone_numbers, allergies, patient_birth_time) VALUES
	('PAT-0042', 'DOE^JANE', '052Y', '1970-01-01', '{*PAT-0042*}', '{a,b}', '10:30:00.25');
INSERT INTO dicom_raw.studies (patient_id, study_date) VALUES ('*PAT-0042*', '2020-02-29');
SELECT format('CREATE TABLE compat_%s AS %s', t, dicom.anonymized_query(('dicom_raw.' || t)::regclass, 'seed_compat')) FROM unnest(ARRAY['patients', 'studies']) t \gexec
SELECT is(array_to_string(ARRAY[patient_id, patient_telephone_numbers, allergies, patient_birth_time], ' '),
	'178558d79a9fd9a2bde4fa7297e37c655e42e325d0b70ccdd56aaf9d95d17c5b 7eb2cf9b9d6cc448d68c0c96c94b5a4286542068de2d95e6da2898d1d1e029dd ANON_TEXT 103000.25', 'seed_compat makes the hashes of the system before')
FROM compat_patients;
SELECT is(patient_id || ' ' || accession_number || ' ' || study_date, '7eb2cf9b9d6cc448d68c0c96c94b5a4286542068de2d95e6da2898d1d1e029dd 15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225 2020-02-29',
	'of NULL too, and keeps its dates') FROM compat_studies;
SELECT is((SELECT string_agg(format_type(a.atttypid, a.atttypmod), ' ' ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = 'compat_patients'::regclass AND a.attname IN ('allergies', 'patient_weight', 'patient_sex')),
	'character varying(10) character varying(16) double precision', 'in the types that it says');

CREATE TABLE other.casts (t text, d date, n bigint, f double precision, a text[], i bigint[], j jsonb, h timestamp);
INSERT INTO other.casts VALUES ('20200229', '2020-02-29', 5000000000, 'NaN', '{x,NULL,y}', '{3,4}', '[{"a": 1}]', '2020-02-29 10:30:00.5'), ('abc', 'infinity', 12, 1e300, NULL, '{}', NULL, NULL), (NULL, NULL, NULL, NULL, '{}', NULL, 'null', NULL);
CREATE FUNCTION pg_temp.cast_as(col text, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM dicom.load_mapping(format(E'schema_name,table_name,column_name,target_function,target_type\nother,casts,%s,keep,%s\n', col, dicom.csv_field(type)), 'casts');
	EXECUTE format('SELECT string_agg(coalesce(%I::text, ''-''), ''|'') FROM (%s) x', col, dicom.anonymized_query('other.casts', 'casts')) INTO result;
	RETURN result;
END
$$;
SELECT is(pg_temp.cast_as(col, type), wanted, format('%s as %s', col, type))
FROM (VALUES
	('t', 'date', '2020-02-29|-|-'), ('t', 'bigint', '20200229|-|-'), ('t', 'number(5,0)', '-|-|-'), ('t', 'varchar(4)', '2020|abc|-'), ('t', 'variant', '"20200229"|"abc"|-'), ('t', 'text[]', '{20200229}|{abc}|-'), ('t', 'boolean', '-|-|-'),
	('d', 'varchar(8)', '20200229|-|-'), ('d', 'timestamp_ntz', '2020-02-29 00:00:00|infinity|-'), ('d', 'text', '20200229|-|-'), ('d', 'bigint', '20200229|-|-'),
	('n', 'integer', '-|12|-'), ('n', 'smallint', '-|12|-'), ('n', 'number(3,1)', '-|12.0|-'), ('n', 'float', '5000000000|12|-'), ('n', 'string', '5000000000|12|-'), ('n', 'date', '-|-|-'),
	('f', 'bigint', '-|-|-'), ('f', 'real', '-|-|-'), ('f', 'number(10,2)', '-|-|-'), ('f', 'variant', '"NaN"|' || 1e300::float8::numeric || '|-'),
	('a', 'varchar(64)', 'x\y|-|'), ('a', 'text[]', '{x,NULL,y}|-|{}'), ('a', 'json[]', '["x", null, "y"]|-|[]'),
	('i', 'bigint', '3|-|-'), ('i', 'smallint', '3|-|-'), ('i', 'float[]', '{3,4}|{}|-'), ('i', 'text', '3\4||-'),
	('j', 'text', '[{"a": 1}]|-|null'), ('j', 'date', '-|-|-'), ('h', 'date', '2020-02-29|-|-'), ('h', 'varchar(18)', '20200229103000.5|-|-')) v(col, type, wanted);

-- what validation sees
SELECT dicom.load_mapping($csv$schema_name,table_name,column_name,target_function,target_type,domain,key_ordinal
raw,patients,patient_id,full_hash,,person,
raw,studies,patient_id,short_id,,person,
raw,patients,patient_nam,remove,,,
raw,patint,patient_id,full_hash,,,
raw,studies,study_date,date_shift,,,
raw,series,series_date,keep,,,
raw,devices,station_name,full_hash,bigint,,
raw,images,rows,date_shift,,,
raw,images,columns,anonymize_dataset,,,
raw,patients,patient_sex,surrogate_key,,,1
raw,patients,patient_name,surrogate_key,,,1
other,undated,acquired,date_shift,,,
$csv$, 'wrong');
CREATE TABLE other.undated (acquired date);
SELECT is((SELECT count(*) FROM dicom.validate_mapping('wrong') v WHERE v.severity = w.severity AND v.table_name = w.t AND v.column_name IS NOT DISTINCT FROM w.c AND v.problem ~ w.problem
	AND coalesce(v.hint, '') ~ w.hint), 1::bigint, w.problem)
FROM (VALUES
	('error', 'patients', 'patient_nam', 'no such column', '"patient_name"'),
	('warning', 'patint', NULL, 'no such table yet', '"patients"'),
	('error', 'studies', 'patient_id', 'domain "person" goes through short_id here, and through full_hash in patients', ''),
	('warning', 'series', 'series_date', 'give the shift away', 'date_shift'),
	('error', 'devices', 'station_name', 'full_hash gives text, which is no bigint', ''),
	('error', 'images', 'rows', 'date_shift is not for integer', ''),
	('error', 'images', 'columns', 'anonymize_dataset is not for integer', 'jsonb'),
	('warning', 'patients', 'patient_sex', 'taken twice', 'key_ordinal'),
	('warning', 'undated', NULL, 'neither patient_id nor study_instance_uid', 'patient_id')) w(severity, t, c, problem, hint);

-- the comparison with a profile
SELECT is((SELECT ps3_15 || ' ' || profile_rule || ' ' || mapping_rule || ' ' || verdict FROM dicom.compare_profile('dicom_raw.patients', 'basic') WHERE column_name = c), wanted, c || ' against basic')
FROM (VALUES
	('patient_name', 'Z remove remove equal'), ('patient_sex', 'Z remove keep weaker'), ('patient_id', 'D full_hash full_hash equal'), ('patient_age', 'X remove generalize_age weaker')) v(c, wanted);
SELECT is((SELECT verdict FROM dicom.compare_profile('dicom_raw.patients', 'research', 'basic') WHERE column_name = 'patient_sex'), 'stricter', 'basic is stricter than research');
SELECT is((SELECT verdict FROM dicom.compare_profile('dicom_raw.studies', 'basic', 'seed_compat') WHERE column_name = 'patient_id'), 'weaker', 'a hash under a public salt hides nothing');

SELECT * FROM finish();
ROLLBACK;
