# Promise: what identifies somebody does not get past the rules. Names, numbers, addresses, dates and telephone numbers are planted
# in files made here and in real ones: at top level, in sequences, in private elements, in free text, in other character sets, in the names
# of the files. After basic and research none of it is in a derived table, in JSON, in statistics, plans or the server's log;
# what referred to each other still does; intervals stay; a new epoch changes every pseudonym and breaks no join; who may read
# derived tables only cannot work out the pseudonym of a value.
use strict;
use warnings;
use utf8;

use DicomFile;
use DicomTest;
use Encode qw(encode);
use Test::More;

my $dir = work_dir();
my $keys = "$dir/keys";
my $raw = "$dir/raw";
my $uid = '1.2.826.0.1.3680043.9.7';

# Who they are; each word here is of nobody else, and in no vocabulary.
my @people = (
	{ charset => 'ISO_IR 192', encoding => 'UTF-8', name => 'Zyxwvutova^Quirina', id => 'QX-77190-042', birth => '19310217', sex => 'F', age => '093Y',
		address => 'Hollergasse 1719', phone => '+43 664 9081726', doctor => 'Wunderlichst^Egbertus', mrn => 'MRN880011223', issuer => 'HospitalAlpha' },
	{ charset => 'ISO_IR 100', encoding => 'ISO-8859-1', name => 'Mükkelström^Jörgenus', id => 'QX-77190-043', birth => '19320318', sex => 'M', age => '061Y',
		address => 'Räksmörgåsvej 2281', phone => '(0555) 7761-9043', doctor => 'Bløggensen^Ødegar', mrn => 'MRN880011224', issuer => 'HospitalAlpha' },
	{ charset => '\\ISO 2022 IR 87', encoding => 'ISO-2022-JP', name => 'Yamadaxu^Tarouqo=山田^太郎', id => 'QX-77190-044', birth => '19330419', sex => 'M', age => '047Y',
		address => 'Sakuramichixo 3391', phone => '03-7761-9044', doctor => 'Suzukiwa^Hanakoxi', mrn => 'MRN880011225', issuer => 'HospitalBeta' },
	{ charset => 'GB18030', encoding => 'cp936', name => 'Wangxiu^Xiaodongqi=王^小东', id => 'QX-77190-042', birth => '19340520', sex => 'F', age => '033Y',
		address => 'Chaoyangluxi 4471', phone => '010-77619045', doctor => 'Zhaoxin^Lilianqu', mrn => 'MRN880011226', issuer => 'HospitalBeta' },
	# of the real files
	{ name => 'Corpusowsky^Realinda', id => 'QX-77190-046', birth => '19350621', address => 'Rathausplatzl 5591', phone => '+49 89 77619046', doctor => 'Medicuslein^Ottobert',
		mrn => 'MRN880011227', issuer => 'HospitalGamma' });

# A sentence with everything in it.
sub gossip
{
	my ($person) = @_;
	my ($family, $given) = $person->{name} =~ /^([^^]+)\^([^^=]+)/;
	my ($y, $m, $d) = $person->{birth} =~ /(....)(..)(..)/;

	return "CT of $given $family, $person->{name}, born $d.$m.$y ($person->{birth}, $y-$m-$d), ID $person->{id}, $person->{mrn}, lives at $person->{address}, "
		. "call $person->{phone}, seen by Dr $person->{doctor}, mail $family\@example.org";
}

# What must not be found of a person, in any way it may be written.
sub traces
{
	my ($person) = @_;
	my ($y, $m, $d) = $person->{birth} =~ /(....)(..)(..)/;
	my @words = grep { length > 4 || /[^\x00-\x7F]/ } map { split /[\^= ]+/ } @$person{qw(name address doctor issuer)};

	return (@words, @$person{qw(id mrn phone birth)}, "$y-$m-$d", "$d.$m.$y", $person->{id} =~ s/-//gr, $person->{phone} =~ s/\D//gr);
}

sub text_element
{
	my ($person, $tag, $vr, $value) = @_;

	$value = encode($person->{encoding}, $value);
	return element($tag, $vr, $value);
}

my @instances;    # of the files made here
for my $i (0 .. 3)
{
	my $person = $people[$i];
	my $gossip = gossip($person);
	my $short = substr $gossip, 0, 60;
	my ($family) = $person->{name} =~ /^([^^]+)/;

	for my $study (1, 2)
	{
		for my $series (1, 2)
		{
			for my $image (1, 2)
			{
				my $e = sub { return text_element($person, @_) };
				my $date = sprintf '20%02d%02d%02d', 10 + $study, $i + 1, 3 + $study;
				my $sop = "$uid.$i.$study.$series.$image";
				my $file = sprintf '%s_%s/%d%d%d.dcm', lc($family =~ s/[^\x00-\x7F]//gr), $person->{birth}, $study, $series, $image;
				my $other = $e->('00100010', 'PN', $person->{name}) . $e->('00100020', 'LO', $person->{id}) . $e->('00101040', 'LO', $person->{address});

				push @instances, $sop;
				write_dicom("$raw/$file",
					$e->('00080005', 'CS', $person->{charset}), $e->('00080012', 'DA', $date), $e->('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.2'), $e->('00080018', 'UI', $sop),
					$e->('00080020', 'DA', $date), $e->('00080021', 'DA', $date), $e->('00080022', 'DA', $date), $e->('00080023', 'DA', $date), $e->('0008002A', 'DT', "${date}101500.25"),
					$e->('00080030', 'TM', '101500'), $e->('00080050', 'SH', "A$person->{mrn}"), $e->('00080060', 'CS', 'CT'), $e->('00080070', 'LO', 'ACME'),
					$e->('00080080', 'LO', $person->{issuer}), $e->('00080081', 'ST', $person->{address}), $e->('00080090', 'PN', $person->{doctor}),
					$e->('00081010', 'SH', 'STATIONQX'), $e->('00081030', 'LO', "CHEST $short"), $e->('0008103E', 'LO', "AXIAL $short"), $e->('00081048', 'PN', $person->{doctor}),
					$e->('00081080', 'LO', "PNEUMONIA $short"),
					sequence('00081140', $e->('00081150', 'UI', '1.2.840.10008.5.1.4.1.1.2') . $e->('00081155', 'UI', "$uid.$i.$study.$series.1") . $other),
					$e->('00090010', 'LO', 'PLANTED'), $e->('00091001', 'LO', $person->{name}), $e->('00091002', 'LT', $gossip),
					$e->('00100010', 'PN', $person->{name}), $e->('00100020', 'LO', $person->{id}), $e->('00100021', 'LO', $person->{issuer}), $e->('00100030', 'DA', $person->{birth}),
					$e->('00100040', 'CS', $person->{sex}), $e->('00101000', 'LO', "$person->{mrn}\\$person->{id}"), $e->('00101001', 'PN', $person->{name}), $e->('00101010', 'AS', $person->{age}),
					$e->('00101030', 'DS', '67.3'), $e->('00101040', 'LO', $person->{address}), $e->('00102110', 'LO', "penicillin $short"), $e->('00102154', 'SH', $person->{phone}),
					$e->('001021B0', 'LT', $gossip), $e->('00104000', 'LT', $gossip),
					$e->('00181000', 'LO', "SERIAL$person->{issuer}"), $e->('00181030', 'LO', "THORAX $short"),
					$e->('0020000D', 'UI', "$uid.$i.$study"), $e->('0020000E', 'UI', "$uid.$i.$study.$series"), $e->('00200010', 'SH', "S$person->{mrn}"),
					$e->('00200013', 'IS', $image), $e->('00200052', 'UI', "$uid.$i.$study.9"), $e->('00204000', 'LT', $gossip),
					$e->('00321032', 'PN', $person->{doctor}), $e->('00321060', 'LO', "HEAD $short"), $e->('00324000', 'LT', $gossip),
					sequence('00400275', $e->('00081030', 'LO', $short) . sequence('00081110', $other) . $e->('00400007', 'LO', $short) . $e->('00401001', 'SH', $person->{mrn})),
					sequence('0040A730', $e->('0040A160', 'UT', $gossip)),
					sequence('52009229', sequence('00289110', $e->('00189004', 'CS', 'PRODUCT') . $other
						. $e->('00290010', 'LO', 'PLANTED') . $e->('00291001', 'LO', $gossip) . sequence('00081140', $e->('00081155', 'UI', "$uid.$i.$study.$series.2") . $e->('00081090', 'LO', 'M') . $other))));
			}
		}
	}
}
is(scalar @instances, 32, 'files are made');

# Real files: what they say of the patient is replaced by what can be looked for.
my $planted = 0;
if (corpus())
{
	my @small = sort grep { -f && -s _ > 1000 && -s _ < 120_000 } glob corpus() . '/*.dcm';

	mkdir "$raw/corpus";
	for my $n (0 .. $#small)
	{
		next if $n % 4;
		my $person = $people[4];
		my $copy = "$raw/corpus/$n.dcm";
		my $short = "CHEST $person->{name} $person->{birth} $person->{mrn}";

		write_text($copy, read_text($small[$n]));
		my (undef, undef, $code) = run_command('dcmodify', '-nb', (map { ('-i', $_) }
			"(0010,0010)=$person->{name}", "(0010,0020)=$person->{id}", "(0010,0021)=$person->{issuer}", "(0010,0030)=$person->{birth}", "(0010,1000)=$person->{mrn}", "(0010,1040)=$person->{address}", "(0010,2154)=$person->{phone}",
			"(0008,0080)=$person->{issuer}", "(0008,0090)=$person->{doctor}", "(0008,1030)=$short", "(0008,103e)=$short", "(0020,4000)=" . gossip($person), "(0010,4000)=" . gossip($person), "(0018,1030)=$short",
			"(0008,1140)[0].(0010,0010)=$person->{name}", "(0008,1140)[0].(0010,1040)=$person->{address}", "(0040,0275)[0].(0008,1080)=$short", "(0008,1140)[0].(0008,2112)[0].(0010,0020)=$person->{id}"), $copy);
		unlink $copy if $code;
		$planted++ unless $code;
	}
	cmp_ok($planted, '>', 20, 'real files are planted too');
}

write_text($keys, "# first\n1 " . '0123456789abcdef' x 4 . "\n");
chmod 0600, $keys;
my $cluster = cluster(conf => "log_statement = none\nlog_min_error_statement = panic\ndicom_fdw.key_file = '$keys'\n");
$cluster->query('ALTER SYSTEM SET log_min_messages = debug5');
$cluster->query('SELECT pg_reload_conf()');
$cluster->make_server('raw', undef, "file://$raw/");

my @tables = qw(patients devices studies series images);
my $quiet = 'SET client_min_messages = error;';
my $log_before = length $cluster->server_log;

# The derived tables of a profile, and the data sets in JSON beside them.
sub derive
{
	my ($schema, $profile) = @_;

	$cluster->query("DROP SCHEMA IF EXISTS $schema CASCADE; CREATE SCHEMA $schema");
	for my $table (@tables)
	{
		my $query = $cluster->query("SELECT dicom.anonymized_query('raw.$table', '$profile')");

		$cluster->query("$quiet CREATE TABLE $schema.$table AS $query; ANALYZE $schema.$table; SELECT dicom.record_application('raw.$table', '$profile', purpose => 'test')");
	}
	$cluster->query("$quiet CREATE TABLE $schema.json AS SELECT dicom.anonymize_dataset(dicom.dataset(pg_read_binary_file('$raw/' || f.key)), '$profile') AS data
		FROM raw.files f WHERE f.error IS NULL; ANALYZE $schema.json");
	return;
}

sub everything
{
	my ($schema) = @_;

	return join "\n", map { $cluster->query("SET client_encoding = 'UTF8'; SELECT row_to_json(t) FROM $schema.$_ t") } @tables, 'json';
}

# Which traces of anybody a text has.
sub found
{
	my ($text) = @_;
	my $all = utf8::is_utf8($text) ? $text : Encode::decode('UTF-8', $text);
	my %seen;

	$all =~ s/\\u([0-9a-f]{4})/chr hex $1/ige;
	return join ' ', grep { !$seen{$_}++ && $all =~ /\Q$_\E/i } map { traces($_) } @people;
}

like(found(join "\n", map { $cluster->query("$quiet SELECT row_to_json(t) FROM raw.$_ t") } @tables), qr/Zyxwvutova.*19310217.*山田.*Zhaoxin/s, 'the raw tables are full of it');

for my $profile (qw(basic research))
{
	my $schema = "stage_$profile";

	derive($schema, $profile);
	is(found(everything($schema)), '', "$profile: nothing planted in tables and JSON");
	is(found($cluster->query("SELECT row_to_json(s) FROM pg_stats s WHERE schemaname = '$schema'")), '', "$profile: nor in statistics");
	is(found(join "\n", map { $cluster->query("$quiet EXPLAIN (VERBOSE, ANALYZE, COSTS OFF) " . $cluster->query("SELECT dicom.anonymized_query('raw.$_', '$profile')")) } @tables),
		'', "$profile: nor in plans");
	is($cluster->query("$quiet " . join ' UNION ALL ', map { my $derived = $_; map { "SELECT '$derived', '$_', derived_column, source_column, whole, inside FROM dicom.scan_residual('$schema.$derived', 'raw.$_', '$profile')
		WHERE source_column ~ '^(patient|other_patient|institution|accession|medical_record|image_comments|.*physician)'" } @tables } @tables, 'json'), '', "$profile: nor does a scan for raw values find any");
}
is(found(substr $cluster->server_log, $log_before), '', 'nothing planted in the server\'s log');

# --- What belongs together stays so

sub joins
{
	my ($promise, $schema) = @_;

	for my $join (
		[ 'studies', 'patients', 'patient_id', 'issuer_of_patient_id' ],
		[ 'series', 'studies', 'study_instance_uid', 'study_date' ],
		[ 'images', 'series', 'series_instance_uid', 'study_instance_uid', 'study_date' ],
		[ 'series', 'devices', 'device_serial_number', 'manufacturer', 'manufacturer_model_name' ])
	{
		my ($child, $parent, @columns) = @$join;
		my $condition = join ' AND ', map { "c.$_ IS NOT DISTINCT FROM p.$_" } @columns;
		my $count = sub { $cluster->query("$quiet SELECT count(*), count(DISTINCT c.*::text) FROM $_[0].$child c JOIN $_[0].$parent p ON $condition") };

		is($count->($schema), $count->('raw'), "$promise: $child join $parent as they did");
	}
	is($cluster->query("SELECT count(*) FROM $schema.json j WHERE NOT EXISTS (SELECT FROM $schema.images i
			WHERE i.sop_instance_uid = j.data #>> '{00080018,Value,0}' AND i.study_instance_uid IS NOT DISTINCT FROM j.data #>> '{0020000D,Value,0}')
		AND j.data ? '00080018'"), '0', "$promise: JSON joins images");
	is($cluster->query("SELECT count(*) FROM $schema.json j WHERE j.data #>> '{00100020,Value,0}' IS NOT NULL
		AND NOT EXISTS (SELECT FROM $schema.patients p WHERE p.patient_id = j.data #>> '{00100020,Value,0}')"), '0', "$promise: and patients");
	is($cluster->query("SELECT count(*) FROM $schema.images, jsonb_path_query(referenced_image_sequence, '\$[*].\"00081155\".Value[*]') u(uid)
		WHERE u.uid #>> '{}' ~ '^2\\.25\\.' AND sop_instance_uid ~ '^2\\.25\\.' AND NOT EXISTS (SELECT FROM $schema.images o WHERE o.sop_instance_uid = u.uid #>> '{}')
			AND filename IN (SELECT dicom.full_hash(r.filename, 'filename') FROM raw.images r WHERE r.sop_instance_uid ^@ '$uid.')"), '0', "$promise: a sequence refers to images that there are");
	return;
}

sub intervals
{
	my ($promise, $schema) = @_;
	my $between = sub { $cluster->query("$quiet SELECT string_agg(days, ',' ORDER BY days) FROM (
		SELECT string_agg((study_date - (SELECT min(o.study_date) FROM $_[0].studies o WHERE (o.patient_id, o.issuer_of_patient_id) = (s.patient_id, s.issuer_of_patient_id) AND isfinite(o.study_date)))::text, '/' ORDER BY study_date) AS days
		FROM $_[0].studies s WHERE isfinite(s.study_date) GROUP BY s.patient_id, s.issuer_of_patient_id) x") };
	my $within = sub { $cluster->query("$quiet SELECT md5(string_agg(d, ',' ORDER BY d)) FROM (SELECT concat_ws('/', acquisition_date - study_date, content_date - study_date, instance_creation_date - study_date, acquisition_time) AS d
		FROM $_[0].images WHERE isfinite(study_date)) x") };

	is($between->($schema), $between->('raw'), "$promise: days between a patient's studies stay");
	is($within->($schema), $within->('raw'), "$promise: and those within a study");
	is($cluster->query("SELECT count(*) FROM $schema.json j JOIN $schema.images i ON i.sop_instance_uid = j.data #>> '{00080018,Value,0}'
		WHERE to_char(i.study_date, 'YYYYMMDD') <> replace(j.data #>> '{00080020,Value,0}', '.', '')"), '0', "$promise: JSON has the same days");
	is($cluster->query("$quiet SELECT count(*) FROM $schema.images s JOIN raw.images r ON s.filename = dicom.full_hash(r.filename, 'filename') WHERE isfinite(r.study_date) AND s.study_date >= r.study_date - 364"),
		'0', "$promise: every day is another, by a year at least");
	return;
}

sub uids
{
	my ($promise, $schema) = @_;

	is($cluster->query("SELECT count(*) FROM (SELECT unnest(ARRAY[sop_instance_uid, series_instance_uid, study_instance_uid]) AS uid FROM $schema.images) u
		WHERE uid !~ '^2\\.25\\.(0|[1-9][0-9]{0,38})\$' AND uid !~ '^1\\.2\\.840\\.10008\\.'"), '0', "$promise: UIDs are valid");
	for my $column (qw(sop_instance_uid series_instance_uid study_instance_uid))
	{
		is($cluster->query("SELECT count(DISTINCT $column) FROM $schema.images"), $cluster->query("$quiet SELECT count(DISTINCT $column) FROM raw.images"), "$promise: as many of $column as before");
	}
	is($cluster->query("SELECT count(*) FROM $schema.images WHERE sop_class_uid !~ '^1\\.2\\.840\\.10008\\.'"),
		$cluster->query("$quiet SELECT count(*) FROM raw.images WHERE sop_class_uid !~ '^1\\.2\\.840\\.10008\\.'"), "$promise: classes are what they were");
	return;
}

joins('research', 'stage_research');
intervals('research', 'stage_research');
uids('research', 'stage_research');
is($cluster->query("SELECT count(DISTINCT (patient_id, issuer_of_patient_id)) FROM stage_research.patients WHERE patient_id = dicom.full_hash('QX-77190-042', 'patient_id')"), '2',
	'equal numbers of two issuers are two patients');
is($cluster->query("SELECT string_agg(DISTINCT patient_age, ',' ORDER BY patient_age), min(patient_weight), max(patient_weight) FROM stage_research.patients
	WHERE patient_id IN (SELECT dicom.full_hash('QX-77190-04' || i, 'patient_id') FROM generate_series(2, 4) i) AND patient_weight IS NOT NULL"), '033Y,047Y,061Y,090Y|65|65', 'ages and weights are general');
like($cluster->query("SELECT string_agg(DISTINCT study_description, ' ') FROM stage_research.studies"), qr/CHEST/, 'a description says what was examined');

# --- A new epoch

write_text($keys, read_text($keys) . '2 ' . 'fedcba9876543210' x 4 . "\n");
is($cluster->query('SELECT dicom.new_epoch()'), '2', 'a new epoch begins');
derive('stage_second', 'research');
is(found(everything('stage_second')), '', 'second epoch: nothing planted');
for my $column ('patients.patient_id', 'patients.issuer_of_patient_id', 'devices.device_serial_number', 'studies.accession_number', 'studies.study_id', 'studies.study_instance_uid', 'series.series_instance_uid', 'series.frame_of_reference_uid',
	'images.sop_instance_uid', 'images.filename')
{
	my ($table, $name) = split /\./, $column;

	is($cluster->query("SELECT count(*) FROM stage_second.$table WHERE $name IN (SELECT $name FROM stage_research.$table) AND $name !~ '^1\\.2\\.840\\.10008\\.'"), '0', "second epoch: every $column is another");
}
joins('second epoch', 'stage_second');
intervals('second epoch', 'stage_second');
uids('second epoch', 'stage_second');
is($cluster->query("SELECT string_agg(DISTINCT profile || epoch, ',' ORDER BY profile || epoch) FROM dicom.deid_audit"), 'basic1,research1,research2', 'it is noted what was made under which epoch');

# --- Who may read derived tables only

$cluster->query('CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA dicom, stage_second, raw TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA stage_second TO reader; GRANT USAGE ON FOREIGN SERVER raw TO reader');
my @pseudonyms = split /\n/, $cluster->query("SELECT v FROM (VALUES (dicom.full_hash('QX-77190-042', 'patient_id')), (dicom.short_id('QX-77190-042', 'patient_id')), (dicom.uid_remap('$uid.0.1')),
	(dicom.date_shift('20110104', 'QX-77190-042', 'HospitalAlpha')), (dicom.surrogate_key('patient_id', 'QX-77190-042'))) x(v)");
is(scalar @pseudonyms, 5, 'pseudonyms of guessed values');
is($cluster->query('SELECT count(*) > 0 FROM stage_second.patients', user => 'reader'), 't', 'a reader reads derived tables');

my @functions = map { [ split /\|/ ] } split /\n/, $cluster->query(<<'END');
SELECT p.oid::regprocedure, p.proname,
	(SELECT string_agg(format('%s::%s', CASE
			WHEN t = 'text'::regtype THEN quote_literal(CASE WHEN i = 1 THEN 'QX-77190-042' WHEN p.proargnames[i] ~ 'rule' THEN 'full_hash' WHEN p.proargnames[i] ~ 'profile' THEN 'research'
				WHEN p.proargnames[i] ~ 'table' THEN 'patients' WHEN p.proargnames[i] ~ 'schema' THEN 'raw' ELSE 'patient_id' END)
			WHEN t = 'text[]'::regtype THEN quote_literal('{QX-77190-042}')
			WHEN t = 'jsonb'::regtype THEN quote_literal('{"00100020": {"vr": "LO", "Value": ["QX-77190-042"]}, "domain": "patient_id"}')
			WHEN t = 'regclass'::regtype THEN quote_literal('stage_second.patients')
			WHEN t = 'date'::regtype THEN quote_literal('2011-01-04')
			WHEN t = 'bytea'::regtype THEN quote_literal('\x00')
			WHEN t = 'boolean'::regtype THEN 'true'
			WHEN t IN ('integer'::regtype, 'bigint'::regtype, 'double precision'::regtype, 'numeric'::regtype) THEN '2'
			ELSE 'NULL' END, CASE WHEN format_type(t, NULL) ~ '^any' THEN 'text' ELSE format_type(t, NULL) END), ', ' ORDER BY i)
		FROM unnest(p.proargtypes) WITH ORDINALITY u(t, i))
FROM pg_proc p
WHERE p.pronamespace = 'dicom'::regnamespace AND p.prorettype <> 'trigger'::regtype AND p.prokind = 'f'
	AND has_function_privilege('reader', p.oid, 'EXECUTE') AND p.proname !~ '^dicom_fdw'
ORDER BY 1
END
my $answers = '';
for my $function (@functions)
{
	my ($out, $err) = $cluster->psql("SET statement_timeout = '20s'; SELECT to_json(x) FROM dicom.$function->[1](" . ($function->[2] // '') . ') x', user => 'reader');

	$answers .= "$function->[0]: $out $err\n";
}
note(join "\n", map { $_->[0] } @functions);
is(join(' ', grep { my $pseudonym = $_; index($answers, $pseudonym) >= 0 } @pseudonyms), '', 'no function of those that a reader may call gives one of them');
my @refused = split /\n/, $cluster->query("SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'dicom'::regnamespace AND has_function_privilege('reader', p.oid, 'EXECUTE')
	AND p.proname ~ '^(anonym|full_hash|surrogate|short_id|uid_remap|date_shift|legacy|keyring|key_status|new_epoch|record_|active_epoch|scan_|coverage|load_mapping|export_mapping|validate_mapping|compare_profile|copy_profile|anon_text|clean_text|deid_counts|anonymized_)'");
is("@refused", '', 'none that applies rules, handles keys or shows raw values is among them');
for my $call ("dicom.full_hash('QX-77190-042', 'patient_id')", "dicom.anonymize('QX-77190-042', 'full_hash', '{\"domain\": \"patient_id\"}')", "dicom.key_status()", "dicom.anonymized_query('raw.patients')")
{
	my ($out, $err) = $cluster->psql("SELECT $call", user => 'reader');

	like($err, qr/ERROR:  42501/, "$call is refused");
	is($out, '', 'and gives nothing');
}
my @relations = split /\n/, $cluster->query("SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'dicom'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND has_table_privilege('reader', c.oid, 'SELECT')");
my $shown = join "\n", map { ($cluster->psql("SELECT row_to_json(t) FROM $_ t", user => 'reader'))[0] } @relations;
is(found($shown), '', 'no table or view of the extension shows a reader what was planted');
is(join(' ', grep { my $pseudonym = $_; index($shown, $pseudonym) >= 0 } @pseudonyms), '', 'nor a pseudonym');

done_testing();
