-- Promise: each rule gives the value that its definition gives, NULL and empty values are treated as it says, no call is ambiguous, and
-- nobody may use a rule who was not allowed to.
\set keys `mktemp -d /tmp/dicom_fdw-keys.XXXXXX`
\setenv KEYS :keys
\! (umask 077; printf '# two\n1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n' >"$KEYS/keys")
\set key_file :keys '/keys'
\set vectors :top '/test/deid/vectors.tsv'
BEGIN;
SET client_min_messages = error;
SET search_path = public, tap;
SET dicom_fdw.key_file = :'key_file';
SELECT no_plan();

-- the vectors
CREATE TEMPORARY TABLE vector (number integer GENERATED ALWAYS AS IDENTITY, function text, input text, key text, message text, expected text, sql text);
INSERT INTO vector (function, input, key, message, expected, sql)
SELECT f[1], f[2], f[3], f[4], f[5], f[6]
FROM regexp_split_to_table(pg_read_file(:'vectors'), '\n') WITH ORDINALITY l(line, i), string_to_array(line, E'\t') f
WHERE line !~ '^#|^function\t|^$' ORDER BY i;
CREATE FUNCTION pg_temp.result(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT (' || sql || ')::text' INTO result;
	RETURN result;
END
$$;
SELECT is(count(*), 52::bigint, 'every vector is there') FROM vector;
SELECT is(pg_temp.result(sql), nullif(expected, 'NULL'), function || ' of ' || input || ', ' || key) FROM vector ORDER BY number;

-- the active epoch, and others
SELECT is(dicom.active_epoch(), 1, 'the first epoch of the file is active from the start');
SELECT is(dicom.full_hash('PAT-0042', 'patient_id'), dicom.full_hash('PAT-0042', 'patient_id', 1), 'it is the default');
SELECT isnt(dicom.full_hash('PAT-0042', 'patient_id'), dicom.full_hash('PAT-0042', 'patient_id', epoch => 2), 'another epoch gives another pseudonym');
SELECT isnt(dicom.full_hash('PAT-0042', 'patient_id'), dicom.full_hash('PAT-0042', 'accession_number'), 'another domain too');
SELECT throws_ok($$SELECT dicom.full_hash('x', 'd', 3)$$, '55000', 'the key of epoch 3 is not there', 'an epoch without a key is an error');
SELECT throws_ok($$SELECT dicom.full_hash('x', 'd', -1)$$, '22023', NULL, 'no epoch is negative');

-- NULL, empty values, padding
SELECT is(dicom.full_hash(NULL, 'd'), NULL, 'full_hash of NULL');
SELECT is(dicom.full_hash('', 'd'), NULL, 'full_hash of an empty value');
SELECT is(dicom.full_hash('   ', 'd'), NULL, 'full_hash of padding');
SELECT is(dicom.full_hash('PAT-0042  ', 'patient_id'), dicom.full_hash('PAT-0042', 'patient_id'), 'padding does not count');
SELECT isnt(dicom.full_hash(' PAT-0042', 'patient_id'), dicom.full_hash('PAT-0042', 'patient_id'), 'blanks in front do');
SELECT is(dicom.full_hash('a\b', 'd'), dicom.anonymize('a\b', 'full_hash', '{"domain": "d"}'), 'several values are hashed as one');
SELECT throws_ok($$SELECT dicom.full_hash('x', NULL)$$, '22004', NULL, 'a domain must be given');
SELECT throws_ok($$SELECT dicom.full_hash('x', '')$$, '22023', NULL, 'and not be empty');
SELECT is(dicom.short_id(NULL, 'd'), NULL, 'short_id of NULL');
SELECT is(dicom.short_id('', 'd'), NULL, 'short_id of an empty value');
SELECT is(dicom.surrogate_key('d', NULL, NULL), NULL, 'surrogate_key of nothing but NULL');
SELECT is(dicom.surrogate_key('d', VARIADIC ARRAY[]::text[]), NULL, 'surrogate_key of nothing');
SELECT isnt(dicom.surrogate_key('d', 'a', NULL), dicom.surrogate_key('d', 'a'), 'a NULL is a part');
SELECT is(dicom.surrogate_key('d', 'a ', 'b'), dicom.surrogate_key('d', 'a', 'b'), 'padding of parts does not count');
SELECT is(dicom.surrogate_key('d', ARRAY['a', 'b'], NULL), dicom.surrogate_key('d', 'a', 'b'), 'both forms are one');
SELECT is(dicom.surrogate_key('d', VARIADIC ARRAY['a', 'b']), dicom.surrogate_key('d', 'a', 'b'), 'variadic or not');
SELECT throws_ok($$SELECT dicom.surrogate_key('d', ARRAY['a'], 1, 'x')$$, '22023', NULL, 'null_policy is null or marker');

-- UIDs
SELECT is(dicom.uid_remap('1.2.840.10008.1.2.1'), '1.2.840.10008.1.2.1', 'a UID of DICOM stays');
SELECT isnt(dicom.uid_remap('1.2.840.10008.DOE'), '1.2.840.10008.DOE', 'but not what only begins like one');
SELECT is(dicom.uid_remap(''), NULL, 'no UID');
SELECT is(dicom.uid_remap('1.2.3\1.2.840.10008.1.2\1.2.4'), concat_ws('\', dicom.uid_remap('1.2.3'), '1.2.840.10008.1.2', dicom.uid_remap('1.2.4')), 'several UIDs, one by one');
SELECT matches(dicom.uid_remap(u::text), '^2\.25\.[1-9][0-9]{0,38}$', 'a new UID is valid') FROM generate_series(1, 20) u;

-- dates
SELECT is(dicom.date_shift(d, 'PAT-0042') - d, -3402, 'as a date: ' || d) FROM unnest(ARRAY[date '2020-02-29', date '1999-12-31', date '0100-01-01']) d;
SELECT is(dicom.date_shift(timestamp '2020-02-29 14:30:15.123', 'PAT-0042'), timestamp '2010-11-06 14:30:15.123', 'as a timestamp');
SELECT is(dicom.date_shift(timestamptz '2020-02-29 14:30:15+10', 'PAT-0042'), timestamptz '2010-11-06 14:30:15+10', 'as an instant');
SELECT is(dicom.date_shift('20200229\20200301', 'PAT-0042'), '20101106\20101107', 'several dates, one by one');
SELECT is(dicom.date_shift('2020-02-29', 'PAT-0042'), '2010-11-06', 'a date in the form of PostgreSQL');
SELECT is(dicom.date_shift(date 'infinity', 'PAT-0042'), 'infinity', 'infinity stays');
SELECT is(dicom.date_shift(date '-infinity', 'PAT-0042'), '-infinity', 'the day that stands for unknown stays');
SELECT is(dicom.date_shift(timestamp '-infinity', 'PAT-0042'), '-infinity', 'as a timestamp too');
SELECT is(dicom.date_shift(date '4713-01-01 BC', 'PAT-0042'), NULL, 'a date that would be before all dates is NULL');
SELECT is(dicom.date_shift(NULL::date, 'PAT-0042'), NULL, 'NULL');
SELECT isnt(dicom.date_shift('20200229', 'PAT-0042', 'HOSP'), dicom.date_shift('20200229', 'PAT-0042'), 'the issuer counts');
SELECT is(dicom.date_shift('20200229', 'PAT-0042', ''), dicom.date_shift('20200229', 'PAT-0042'), 'an empty issuer is none');
SELECT is(dicom.date_shift('20200229', NULL), NULL, 'nobody''s date is NULL');
SELECT is(dicom.date_shift('20200229', ' '), NULL, 'an empty patient id is none');
SELECT is(dicom.date_shift('20200229', '', study_instance_uid => 'PAT-0042'), '20101106', 'the study stands in');
SELECT is(dicom.date_shift('20200229', 'PAT-0042', study_instance_uid => '1.2.3'), '20101106', 'only where there is no patient id');
SELECT is(dicom.date_shift(v, 'PAT-0042'), NULL, 'no date: ' || v) FROM unnest(ARRAY['', 'x', '20200230', '20200229JOHN', '20200101-20200131']) v;
SELECT is(dicom.date_shift(date '2020-01-01', p::text, min_days => 7, max_days => 7), '2019-12-25', 'a range of a week') FROM generate_series(1, 3) p;
SELECT throws_ok($$SELECT dicom.date_shift('20200229', 'x', min_days => 1, max_days => 6)$$, '22023', NULL, 'a range without a week');
SELECT throws_ok($$SELECT dicom.date_shift('20200229', 'x', min_days => -7)$$, '22023', NULL, 'a negative range');
SELECT throws_ok($$SELECT dicom.date_shift('20200229', 'x', max_days => 2147483647)$$, '22023', NULL, 'a range too large');
SELECT is((SELECT array_agg(DISTINCT extract(isodow FROM dicom.date_shift(date '2020-02-29', p::text))) FROM generate_series(1, 200) p), ARRAY[6::numeric], 'the weekday stays');
SELECT cmp_ok((SELECT count(DISTINCT dicom.date_shift(date '2020-02-29', p::text)) FROM generate_series(1, 200) p), '>', 120::bigint, 'patients have shifts of their own');
SELECT results_eq('SELECT unreadable > 0, study_shifted, unshifted FROM dicom.deid_counts(reset => true)', $$VALUES (true, 1::bigint, 2::bigint)$$, 'what happened is counted');
SELECT results_eq('SELECT unreadable, study_shifted, unshifted FROM dicom.deid_counts()', $$VALUES (0::bigint, 0::bigint, 0::bigint)$$, 'from where one likes');

-- rules that need no key
SELECT is(dicom.date_truncate('20200229', 'year'), '20200101', 'date_truncate to the year');
SELECT is(dicom.date_truncate('20200229143015.1+0100\2020', 'month'), '20200201\2020', 'to the month, one by one');
SELECT is(dicom.date_truncate(date '2020-02-29', 'month'), '2020-02-01', 'of a date');
SELECT is(dicom.date_truncate(date 'infinity', 'month'), 'infinity', 'of infinity');
SELECT is(dicom.date_truncate(timestamp '2020-02-29 12:00', 'year'), '2020-01-01 00:00', 'of a timestamp');
SELECT is(dicom.date_truncate('x', 'year'), NULL, 'of what is no date');
SELECT throws_ok($$SELECT dicom.date_truncate('20200229', 'day')$$, '22023', NULL, 'by what is no unit');
SELECT is(dicom.generalize_age(v), r, 'generalize_age of ' || v) FROM (VALUES ('090Y', '090Y'), ('1068M', '1068M'), ('1069M', '090Y'), ('32508D', '090Y'), ('4644W', '090Y'), ('x', NULL), ('91', NULL)) t(v, r);
SELECT is(dicom.generalize_number(17, 5), 15::double precision, 'generalize_number of integers');
SELECT is(dicom.generalize_number(-17.5, 5), -20.0, 'of numerics');
SELECT is(dicom.generalize_number(72.4::double precision, 10), 70::double precision, 'of doubles');
SELECT is(dicom.generalize_number('NaN'::double precision, 10), 'NaN'::double precision, 'of no number');
SELECT is(dicom.generalize_number(NULL::numeric, 10), NULL, 'of NULL');
SELECT throws_ok($$SELECT dicom.generalize_number(1.0, 0)$$, '22023', NULL, 'by nothing');
SELECT throws_ok($$SELECT dicom.generalize_number(1::double precision, 'NaN')$$, '22023', NULL, 'by no number');
SELECT is(dicom.generalize_zip3('12345-6789'), '123', 'generalize_zip3');
SELECT is(dicom.generalize_zip3(z || '01'), '000', 'a small area: ' || z)
FROM unnest(ARRAY['036', '059', '063', '102', '203', '556', '692', '790', '821', '823', '830', '831', '878', '879', '884', '890', '893']) z;
SELECT is(dicom.generalize_zip3('SW1A 1AA'), NULL, 'what is no ZIP code');
SELECT is(dicom.anon_text('x'), 'ANON_TEXT', 'anon_text');
SELECT is(dicom.anon_text(NULL), NULL, 'anon_text of NULL');
SELECT is(dicom.anon_text(' '), NULL, 'anon_text of an empty value');
SELECT is(dicom.keep('x '), 'x ', 'keep');
SELECT is(dicom.remove('x'), NULL, 'remove');
SELECT is(dicom.dummy('DA'), '19000101', 'dummy');
SELECT throws_ok($$SELECT dicom.dummy('XX')$$, '22023', NULL, 'dummy of no VR');
SELECT is(dicom.legacy_full_hash('MÜLLER', 's'), encode(sha256(convert_to('müllers', 'UTF8')), 'hex'), 'the old hash folds case');
SELECT is(dicom.legacy_surrogate_key('s', 'a-b', 'c'), dicom.legacy_surrogate_key('s', 'a', 'b-c'), 'the old key mixes up what it joins');
SELECT is(dicom.clean_text('CT thorax of Jane Doe, born 3 March 1970, tel. 555-1234', ARRAY['DOE^JANE'], 'any'), 'CT thorax of ***, born *** tel. ***', 'clean_text');
SELECT is(dicom.clean_text('CT thorax of Appleseed'), 'CT thorax of ***', 'only clinical words stay, unless all are wanted');
SELECT is(dicom.clean_text('Appleseed'), NULL, 'nothing is left');
SELECT throws_ok($$SELECT dicom.clean_text('x', NULL, 'all')$$, '22023', NULL, 'words are clinical or any');

-- any rule by its name
SELECT is(dicom.anonymize('PAT-0042', 'full_hash', '{"domain": "patient_id"}'), dicom.full_hash('PAT-0042', 'patient_id'), 'full_hash by its name');
SELECT is(dicom.anonymize(NULL, 'full_hash', '{"domain": "patient_id", "null_policy": "marker"}') ~ '^[0-9a-f]{64}$', true, 'NULL is hashed where it is to be');
SELECT isnt(dicom.anonymize(NULL, 'full_hash', '{"domain": "d", "null_policy": "marker"}'), dicom.anonymize('', 'full_hash', '{"domain": "d", "null_policy": "marker"}'), 'and is not the empty value');
SELECT is(dicom.anonymize('20200229', 'date_shift', '{"patient_id": "PAT-0042"}'), '20101106', 'date_shift by its name');
SELECT is(dicom.anonymize('20200229', 'date_shift', '{"patient_id": "PAT-0042", "epoch": 2}'), '20161015', 'under another epoch');
SELECT is(dicom.anonymize('20200229', 'date_shift', '{"study_instance_uid": "PAT-0042"}'), '20101106', 'by its study');
SELECT is(dicom.anonymize('17.9', 'generalize_number', '{"step": 0.5}'), '17.5', 'a number as a parameter');
SELECT is(dicom.anonymize('Jane has a cyst', 'clean_text', '{"known": ["Jane"], "words": "any"}'), '*** has a cyst', 'an array as a parameter');
SELECT is(dicom.anonymize('x', ''), 'x', 'no rule keeps');
SELECT is(dicom.anonymize('x', 'remove'), NULL, 'remove by its name');
SELECT throws_ok(format('SELECT dicom.anonymize(%L, %L, %L)', 'Secret^Name', r, p), '22023', NULL, 'refused: ' || r || ' ' || p)
FROM (VALUES ('full_hash', '{}'), ('full_hsh', '{}'), ('keep', '{"x": 1}'), ('full_hash', '{"domain": {}}'), ('keep', '[]'), ('full_hash', '{"domain": "d", "epoch": "x"}')) t(r, p);
SELECT is((SELECT array_agg(dicom.anonymize(r.v, r.rule, r.p) ORDER BY r.i) FROM (VALUES (1, 'x', 'keep', '{}'::jsonb), (2, 'x', 'anon_text', '{}'), (3, '091Y', 'generalize_age', '{}'), (4, 'x', 'keep', '{}')) r(i, v, rule, p)),
	ARRAY['x', 'ANON_TEXT', '090Y', 'x'], 'a rule of its own for each row');
SELECT matches(dicom.rule_error('full_hsh'), 'perhaps you meant full_hash', 'a rule that is misspelt is told');
SELECT is(dicom.rule_error('full_hash', '{"domain": "d"}'), NULL, 'a good rule has no error');
SELECT is((SELECT count(*) FROM dicom.anonymization_rules()), 16::bigint, 'rules are listed');

-- a column by the mapping
SELECT is(dicom.anonymize('PAT-0042', 'raw', 'patients', 'patient_id'), dicom.full_hash('PAT-0042', 'patient_id'), 'as the mapping says');
SELECT is(dicom.anonymize('PAT-0042', 'elsewhere', 'patients', 'patient_id'), dicom.full_hash('PAT-0042', 'patient_id'), 'schema raw stands for others');
SELECT is(dicom.anonymize('PAT-0042', 'raw', 'patients', 'patient_id', epoch => 2), dicom.full_hash('PAT-0042', 'patient_id', 2), 'under another epoch');
SELECT is(dicom.anonymize('x', 'raw', 'patients', 'no_such_column'), NULL, 'a column without a rule is removed');

-- names of one identifier join wherever they stand
SELECT is(dicom.full_hash('x', 'patient_id'), dicom.anonymize('x', 'full_hash', '{"domain": "patient_id"}'), 'a function and its rule agree');

-- who may
CREATE ROLE reader;
SELECT is((SELECT count(*) FROM pg_proc p
		WHERE p.oid IN (SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'dicom_fdw'
				WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
			AND p.prosrc IN ('dicom_anonymize', 'dicom_anonymize_row', 'dicom_anonymize_dataset', 'dicom_full_hash', 'dicom_short_id', 'dicom_surrogate_key',
				'dicom_surrogate_key_of_epoch', 'dicom_uid_remap', 'dicom_date_shift_text', 'dicom_date_shift_date', 'dicom_date_shift_timestamp',
				'dicom_legacy_full_hash', 'dicom_legacy_surrogate_key', 'dicom_active_epoch', 'dicom_keyring')
			AND NOT has_function_privilege('reader', p.oid, 'EXECUTE')),
	16::bigint, 'no function that makes pseudonyms is for everybody');
SELECT is((SELECT count(*) FROM pg_proc p
		WHERE p.pronamespace = 'dicom'::regnamespace AND has_function_privilege('reader', p.oid, 'EXECUTE')
			AND p.proname ~ '^(anon|full_hash|short_id|surrogate|uid_|date_|generalize|clean_text|dummy|keep$|remove$|legacy|key|new_epoch|active|record_epoch|rule_error|deid)'),
	0::bigint, 'nor is any other of the family');
SELECT throws_ok($$SET LOCAL ROLE reader; SELECT dicom.full_hash('PAT-0042', 'patient_id')$$, '42501', NULL, 'who reads cannot hash a guess');
SELECT throws_ok($$SET LOCAL ROLE reader; SELECT * FROM dicom.key_status()$$, '42501', NULL, 'nor look at the keys');
SELECT throws_ok($$SET LOCAL ROLE reader; SELECT * FROM dicom.epoch$$, '42501', NULL, 'nor at the epochs');
SELECT throws_ok($$SET LOCAL ROLE reader; SHOW dicom_fdw.key_file$$, '42501', NULL, 'nor at where the keys are');
SELECT is((SELECT string_agg(p.proname || ' ' || p.provolatile::text, ', ' ORDER BY p.proname) FROM pg_proc p
		WHERE p.pronamespace = 'dicom'::regnamespace AND p.proname IN ('full_hash', 'short_id', 'uid_remap', 'generalize_age', 'anon_text', 'legacy_full_hash')),
	'anon_text i, full_hash s, generalize_age i, legacy_full_hash i, short_id s, uid_remap s', 'what needs a key is stable, the rest immutable');

-- rotation
SELECT is(dicom.new_epoch(), 2, 'new_epoch brings the next key into use');
SELECT is(dicom.full_hash('PAT-0042', 'patient_id'), 'e13f33fa2655a393812ce58605edca0627ba93f3a567aad0bd3da1989b8fcfa3', 'at once');
SELECT is(dicom.full_hash('PAT-0042', 'patient_id', 1), 'a5a68292aedc0166856acf8e5b615415235792be896ce41ed16e37f8033a9048', 'the old one can still be asked for');
SELECT results_eq('SELECT epoch, key_id, active, present, unchanged FROM dicom.key_status()',
	$$VALUES (1, '1ddd3d72f5f12466', false, true, true), (2, '50eef0717925a5df', true, true, true)$$, 'key_status shows both');
SELECT throws_ok('SELECT dicom.new_epoch()', '55000', 'there is no key of an epoch after 2', 'a further one needs a key');
SAVEPOINT before;
UPDATE dicom.epoch SET retired_at = now() WHERE epoch = 2;
UPDATE dicom.epoch SET retired_at = NULL WHERE epoch = 1;
SELECT is(dicom.active_epoch(), 1, 'another row can be made the active one');
ROLLBACK TO before;
SELECT is(dicom.active_epoch(), 2, 'what is undone does not count');
SELECT * FROM finish();
ROLLBACK;
\! rm -r "$KEYS"
