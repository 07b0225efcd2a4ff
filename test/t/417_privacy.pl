# Promise: what identifies somebody stays in the raw tables. Names, numbers, addresses, telephone numbers, days, UIDs and names of files are in no
# row that a pipeline makes or that its readers can see, in no statistics, no name and no byte of a picture or of a Parquet file, in no line of
# the server's log at any level, and in nothing that is sent: of files made here, where all of it is planted, and of real ones.
use strict;
use warnings;
use utf8;

use DicomFile;
use DicomTest;
use Encode qw(decode encode);
use File::Find qw(find);
use HttpRecorder;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf() . "log_statement = none\nlog_min_messages = debug5\nlog_error_verbosity = verbose\nlog_autovacuum_min_duration = 0\nlog_temp_files = 0\n");
my $server  = HttpRecorder->start(work_dir());

# --- Where it is looked for

# Everything that the stage store holds: [name, bytes].
sub stage_store
{
	my ($stage) = @_;
	my @files;

	find({ wanted => sub { push @files, [ substr($_, 1 + length $stage), read_text($_) ] if -f }, no_chdir => 1 }, $stage);
	return sort { $a->[0] cmp $b->[0] } @files;
}

# The markers of a JPEG up to the first scan, and what follows its end.
sub jpeg_parts
{
	my ($jpeg) = @_;
	my ($place, @markers) = (2);

	while (substr($jpeg, $place, 2) ne "\xFF\xDA")
	{
		push @markers, sprintf '%02X', ord substr $jpeg, $place + 1, 1;
		$place += 2 + unpack 'n', substr $jpeg, $place + 2, 2;
	}
	return (join(' ', sort @markers), substr $jpeg, 2 + rindex $jpeg, "\xFF\xD9");
}

# Of raw tables; what such a query says of bad files is meant for those who may read them.
sub raw_rows { my ($query) = @_; return $cluster->query("SET log_min_messages = panic; SET client_min_messages = error; $query") }

# Rows of a schema's tables and views. Of the private ones all but what says which file a row is from.
sub rows_of
{
	my @schemas = @_;
	my $list = join ', ', map { "'$_'" } @schemas;
	my $queries = $cluster->query(<<"SQL");
SELECT format('SELECT row_to_json(ROW(%s)) FROM %s t;', string_agg(format('t.%I', a.attname), ', '), c.oid::regclass)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname !~ '^(source_key|source_day|source_etag)\$'
WHERE c.relnamespace::regnamespace::text IN ($list) AND c.relkind IN ('r', 'v', 'm')
GROUP BY c.oid
SQL

	return $cluster->query($queries);
}

# All that a role can read of tables, and of what the server says of itself.
sub seen_by
{
	my ($role) = @_;
	my $queries = $cluster->query(<<"SQL");
SELECT format('SELECT row_to_json(t) FROM %s t;', c.oid::regclass)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE has_schema_privilege('$role', n.oid, 'USAGE') AND has_table_privilege('$role', c.oid, 'SELECT') AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
	AND (n.nspname !~ '^(pg_|information_schema)' OR c.relname ~ '^pg_(stat|description|class|foreign|prepared|cursors|locks)')
SQL
	my ($out, $err) = $cluster->psql($queries, user => $role, go_on => 1);

	return "$out\n$err";
}

# Parquet files as they are read.
$cluster->query(<<'SQL');
CREATE EXTENSION dicom_fdw;
CREATE FUNCTION parquet_rows(server text, objects regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	file text;
	columns text;
BEGIN
	FOR file IN EXECUTE format('SELECT key FROM %s WHERE key LIKE ''%%.parquet''', objects) LOOP
		SELECT string_agg(format('%I %s', p.name, p.type), ', ' ORDER BY p.ordinal) INTO columns FROM dicom.parquet_columns(server, file) p;
		RETURN QUERY EXECUTE format('SELECT row_to_json(r)::text FROM dicom.read_parquet(%L, %L) AS r (%s)', server, file, columns);
	END LOOP;
END
$$;
CREATE ROLE reader LOGIN;
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA dicom TO PUBLIC;
SQL

# Looks everywhere for what a pipeline may have let out. found() gives what of it a text has.
sub check_everywhere
{
	my ($what, $pipeline, $stage, $schema, $found, $log_from) = @_;
	my @files = stage_store($stage);
	my @pictures = grep { $_->[0] =~ /\.jpg$/ } @files;
	my @parquet = grep { $_->[0] =~ /\.parquet$/ } @files;
	my (%markers, $behind);

	cmp_ok(scalar @pictures, '>=', 6, "$what: there are pictures");
	cmp_ok(scalar @parquet, '>=', 10, "$what: and Parquet files");
	is($found->(join "\n", map { $_->[0] } @files), '', "$what: no file of the stage store is named after anybody");
	is($found->(join "\n", map { $_->[1] } @files), '', "$what: no byte of one says who anybody is");
	for my $picture (@pictures)
	{
		my ($markers, $rest) = jpeg_parts($picture->[1]);
		$markers{$_} = 1 for split / /, $markers;
		$behind .= $rest;
	}
	is(join(' ', grep { !/^(C0|C4|DB|DD|E0|EE)$/ } sort keys %markers), '', "$what: pictures have no segment for comments and the like");
	is($behind, '', "$what: and nothing behind their end");

	$cluster->query('ANALYZE');
	my $derived = rows_of("${schema}_stage", "${schema}_processed", "${schema}_stage_private", "${schema}_processed_private");
	cmp_ok(scalar(() = $derived =~ /\n/g), '>', 50, "$what: there are rows");
	is($found->($derived), '', "$what: no row of stage and processed says who anybody is");
	is($found->($cluster->query("SELECT row_to_json(s) FROM pg_stats s WHERE schemaname ~ '^${schema}_(stage|processed)' AND attname !~ '^(source_key|source_day|source_etag)\$'")), '', "$what: nor do statistics");
	my $exported = $cluster->query("SELECT parquet_rows('${pipeline}_stage', '${schema}_stage_private.stage_objects')");
	cmp_ok(scalar(() = $exported =~ /\n/g), '>', 30, "$what: there are rows in Parquet files");
	is($found->($exported), '', "$what: nor do they");
	is($found->($cluster->query("SELECT dicom.metrics_text(); SELECT dicom.lineage_mermaid('$pipeline'); SELECT dicom.lineage_dot('$pipeline')")), '', "$what: nor metrics and lineage");

	$cluster->query("GRANT USAGE ON SCHEMA ${schema}_stage, ${schema}_processed TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA ${schema}_stage, ${schema}_processed TO reader");
	my $seen = seen_by('reader');
	like($seen, qr/"patient_key":"\w{64}"/, "$what: a reader sees the tables");
	is($found->($seen), '', "$what: but nobody in all that there is to see");
	for my $relation ("${schema}_stage_private.images", "${schema}_raw.patients", 'dicom.object', 'dicom.copied')
	{
		like(($cluster->psql("SELECT * FROM $relation", user => 'reader'))[1], qr/42501/, "$what: $relation is not for readers");
	}
	is($cluster->query('SELECT count(*) FROM dicom.failures', user => 'reader'), '0', "$what: nor is what failed");
	$seen = seen_by('monitor');
	like($seen, qr/"pipeline":"$pipeline"/, "$what: who monitors the server sees runs");
	is($found->($seen), '', "$what: but nobody");
	is($found->(substr $cluster->server_log, $log_from), '', "$what: the log names nobody");
	is($found->(join "\n", map { "$_->{path} $_->{body}" } $server->requests), '', "$what: nor does what is sent");
	return;
}

# --- Files made here

my @people = (
	{ name => 'Zyxwvutova^Quirina', id => 'QX-77190-042', birth => '19310217', day => '19870513', address => 'Hollergasse 1719', phone => '+43 664 9081726', doctor => 'Wunderlichst^Egbertus',
		accession => 'MRN880011223', institution => 'Hospitalalphaxu' },
	{ name => 'Mükkelström^Jörgenus', id => 'QX-77190-043', birth => '19320318', day => '19880614', address => 'Räksmörgåsvej 2281', phone => '(0555) 7761-9043', doctor => 'Bløggensen^Ødegar',
		accession => 'MRN880011224', institution => 'Hospitalbetaxu' },
	{ name => 'Yamadaxu^Tarouqo=山田^太郎', id => 'QX-77190-044', birth => '19330419', day => '19890715', address => 'Sakuramichixo 3391', phone => '03-7761-9044', doctor => 'Suzukiwa^Hanakoxi',
		accession => 'MRN880011225', institution => 'Hospitalgammaxu' });

# A day in the ways that it is written.
sub day_forms
{
	my ($y, $m, $d) = $_[0] =~ /(....)(..)(..)/;

	return ("$y$m$d", "$y-$m-$d", "$d.$m.$y", "year=$y/month=$m/day=$d");
}

my %planted = map { $_ => 1 } '1.2.826.0.1.3680043.9.7777', map {
	((grep { length > 4 || /[^\x00-\x7F]/ } map { split /[\^= ]+/ } @$_{qw(name address doctor institution)}), @$_{qw(id phone accession)}, map { day_forms($_) } @$_{qw(birth day)})
} @people;
my $planted = join '|', map { quotemeta } sort { length $b <=> length $a } keys %planted;

sub found_planted
{
	my ($text) = @_;
	my %seen;

	$text = decode('UTF-8', $text) unless utf8::is_utf8($text);
	$text =~ s/\\u([0-9a-f]{4})/chr hex $1/ige;
	$seen{ lc $1 } = 1 while $text =~ /($planted)/gi;
	return join ' ', sort keys %seen;
}

sub gossip
{
	my ($person) = @_;

	return "CT of $person->{name}, born $person->{birth}, ID $person->{id}, lives at $person->{address}, call $person->{phone}, seen by $person->{doctor} on $person->{day}";
}

my $images = 0;
sub plant
{
	my ($dir, $person, $name, %change) = @_;
	my $folder = encode('UTF-8', lc(($person->{name} =~ /^([^^]+)/)[0]) . "_$person->{birth}");
	my $short = 'CHEST ' . substr gossip($person), 0, 50;
	my ($place) = grep { $people[$_] == $person } 0 .. $#people;

	return write_image("$dir/$folder/$name.dcm", study => $place, series => $place, image => ++$images, day => $person->{day}, patient => $person->{id},
		'00080005' => [ 'CS', 'ISO_IR 192' ], '00080012' => [ 'DA', $person->{day} ], '00080021' => [ 'DA', $person->{day} ], '00080023' => [ 'DA', $person->{day} ],
		'0008002A' => [ 'DT', "$person->{day}101500" ], '00080050' => [ 'SH', $person->{accession} ], '00080080' => [ 'LO', $person->{institution} ], '00080081' => [ 'ST', $person->{address} ],
		'00080090' => [ 'PN', $person->{doctor} ], '00081030' => [ 'LO', $short ], '0008103E' => [ 'LO', $short ], '00081048' => [ 'PN', $person->{doctor} ], '00081080' => [ 'LO', $short ],
		'00100010' => [ 'PN', $person->{name} ], '00100021' => [ 'LO', $person->{institution} ], '00100030' => [ 'DA', $person->{birth} ], '00100040' => [ 'CS', 'F' ],
		'00101000' => [ 'LO', "$person->{accession}\\$person->{id}" ], '00101001' => [ 'PN', $person->{name} ], '00101040' => [ 'LO', $person->{address} ], '00102154' => [ 'SH', $person->{phone} ],
		'001021B0' => [ 'LT', gossip($person) ], '00104000' => [ 'LT', gossip($person) ], '00181000' => [ 'LO', "S-$person->{id}" ], '00181030' => [ 'LO', $short ],
		'00200010' => [ 'SH', $person->{accession} ], '00204000' => [ 'LT', gossip($person) ], %change);
}

# The same file with this JPEG as its pixels.
sub make_encapsulated
{
	my ($file, $jpeg) = @_;
	my ($native, $baseline) = map { my $meta = element('00020010', 'UI', $_); element('00020000', 'UL', pack 'V', length $meta) . $meta } '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.4.50';
	my $item = sub { pack('vvV', 0xFFFE, $_[0], length $_[1]) . $_[1] };
	my $pixels = pack('vv', 0x7FE0, 0x0010) . 'OB' . pack('vV', 0, 0xFFFFFFFF) . $item->(0xE000, '') . $item->(0xE000, length($jpeg) % 2 ? "$jpeg\0" : $jpeg) . $item->(0xE0DD, '');

	write_text($file, read_text($file) =~ s/\Q$native\E/$baseline/r =~ s/\xE0\x7F\x10\x00OB.*\z/$pixels/sr);
	return;
}

my $provider = "$dir/provider";
for my $person (@people)
{
	plant($provider, $person, "scan $_") for 1 .. 3;
	plant($provider, $person, 'ultrasound', '00080060' => [ 'CS', 'US' ]);
	plant($provider, $person, 'short', pixels => 'X');
	plant($provider, $person, 'nothing', '00080018' => 0);
	# What should be a number or a day is a name.
	plant($provider, $person, 'bad', series => 10 + $images, day => undef, '00200013' => [ 'IS', 'QX-77190-042' ], '00101030' => [ 'DS', $person->{phone} ], '00080022' => [ 'DA', $person->{name} ],
		'00080032' => [ 'TM', $person->{id} ], '00280030' => [ 'DS', $person->{name} ], '00200032' => [ 'DS', $person->{address} ]);
	plant($provider, $person, 'worse', study => 20 + $images, series => 20 + $images, day => "$person->{id}", '00280010' => [ 'US', 'four' ]);
	write_text(plant($provider, $person, 'text'), encode('UTF-8', gossip($person)) x 20);
	plant($provider, $person, 'denied');
}
$images = 0;
plant($provider, $people[0], 'again');    # the same instance once more, with another content
chmod 0, glob "$provider/*/denied.dcm";
$cluster->query(<<"SQL");
SELECT dicom.create_pipeline('hospital', provider => '$provider', raw => '$dir/raw', stage => '$dir/stage', options => '{"export": "stage, processed", "inline_jpeg_limit": 100000}');
SELECT dicom.add_notification('hospital', 'healthchecks', '$server->{url}/ping', events => '{start, success, failure, recovery, stopped_day}');
SELECT dicom.add_notification('hospital', 'slack_webhook', '$server->{url}/hook', events => '{start, success, failure, recovery, stopped_day}');
SELECT dicom.add_check('dicom_processed.images', 'not two', 'SELECT 1 FROM dicom_processed.images WHERE study_date = \$1 HAVING count(*) = 2');
SQL
my $status = run_pipeline($cluster, 'hospital', may_fail => 1);
my $raw = join "\n", map { raw_rows("SELECT row_to_json(t) FROM dicom_raw.$_ t") } qw(elements patients studies images files);
is(found_planted($raw . "year=1987/month=05/day=13 year=1988/month=06/day=14 year=1989/month=07/day=15 " . join ' ', map { (day_forms($_->{birth}))[3], (map { (day_forms($_))[2] } @$_{qw(birth day)}) } @people),
	join(' ', sort keys %{ { map { lc $_ => 1 } keys %planted } }), 'the raw tables are full of it');
cmp_ok($cluster->query("SELECT count(DISTINCT (step, reason)) FROM dicom.failures"), '>=', 5, 'a lot fails')
	or diag($cluster->query('SELECT step, reason, count(*) FROM dicom.failures GROUP BY 1, 2'));
isnt(found_planted($cluster->query('SELECT row_to_json(f) FROM dicom.failures f')), '', 'of which the owner sees the files');

# Pictures that come with words in them; a file that cannot be read any more, one that is another one, one that goes; then another key.
my ($picture) = grep { $_->[0] =~ /\.jpg$/ } stage_store("$dir/stage");
for my $person (@people)
{
	my $words = encode('UTF-8', gossip($person));
	my $segment = sub { "\xFF$_[0]" . pack('n', 2 + length $_[1]) . $_[1] };

	make_encapsulated(plant($provider, $person, 'jpeg', image => 100 + $images),
		substr($picture->[1], 0, 2) . $segment->("\xFE", $words) . $segment->("\xE1", "Exif\0\0$words") . $segment->("\xED", $words) . substr($picture->[1], 2) . $words);
}
unlink glob "$dir/raw/*/scan 1.dcm";
chmod 0, glob "$dir/raw/*/scan 2.dcm";
utime 1, 1, glob "$dir/raw/*/scan 2.dcm";
$status .= "\n" . run_pipeline($cluster, 'hospital', may_fail => 1);
is($cluster->query("SELECT count(*) FROM dicom_stage.compressed_images c JOIN dicom_stage_private.images i USING (sop_instance_uid) WHERE i.source_key LIKE '%/jpeg.dcm'"), '3', 'pictures that are JPEG already come along');
$cluster->query("SELECT dicom.rotate_epoch('hospital')");
$status .= "\n" . run_pipeline($cluster, 'hospital', may_fail => 1);
is(found_planted($status), '', 'errors of runs name nobody');
ok(wait_until(sub { (grep { $_->{path} =~ m{/hook} } $server->requests) >= 6 }), 'somebody is told');
check_everywhere('planted', 'hospital', "$dir/stage", 'dicom', \&found_planted, 0);
note('log: ' . length($cluster->server_log) . ' bytes');

# --- Real files

SKIP:
{
	skip 'no ../shared/corpus', 1 unless corpus();
	my $log_from = length $cluster->server_log;
	$cluster->query("SELECT dicom.create_pipeline('real', raw => '@{[corpus()]}', stage => '$dir/real', raw_schema => 'real_raw', stage_schema => 'real_stage', processed_schema => 'real_processed',
		options => '{\"export\": \"stage, processed\"}')");
	run_pipeline($cluster, 'real');
	# Values of what identifies; not what also stands where it may: some of these patients are called 'Overlay', others have the number 123456.
	my $values = sub { grep { length } map { s/^\s+|[\s\0]+$//gr } split /\n/, raw_rows("SELECT DISTINCT value FROM real_raw.elements WHERE keyword $_[0]") };
	my %kept = map { $_ => 1 } map { $_, split /[\^=\\ ]+/ } $values->("IN ('StudyDescription', 'SeriesDescription', 'ProtocolName', 'Manufacturer', 'ManufacturerModelName', 'SoftwareVersions', 'SequenceName', 'BodyPartExamined', 'ImageType', 'ImageComments')");
	my %words = map { $_ => 1 } grep { length >= 5 && !$kept{$_} && !/^anon|^unknown|^patient|^test|^operator|^\d{1,7}$/i && !/^1\.2\.840\.10008\./ } map { $_, split /\\/ }
		$values->("~ '^(PatientID|OtherPatientIDs|AccessionNumber|PatientBirthDate|InstitutionName|InstitutionAddress|PatientAddress|PatientTelephoneNumbers|RequestedProcedureID|(SOP|Study|Series)InstanceUID|FrameOfReferenceUID)\$'"),
		(map { $_, grep { length > 6 } split /[\^= ]+/ } $values->("~ '(PatientName|PhysicianName|PhysiciansName|OperatorsName|PhysicianOfRecord|PhysiciansOfRecord|OtherPatientNames)'")),
		split /\n/, $cluster->query("SELECT key FROM dicom.object WHERE server = (SELECT oid FROM pg_foreign_server WHERE srvname = 'real_raw')");
	my $words = join '|', map { quotemeta } sort { length $b <=> length $a } keys %words;
	my $found = sub {
		my ($text) = @_;
		my %seen;

		utf8::decode($text);
		$seen{$1} = 1 while $text =~ /(?<![\w.])($words)(?![\w.])/g;
		return join ' ', sort keys %seen;
	};
	cmp_ok(scalar keys %words, '>', 500, 'there is something to look for in real files');
	check_everywhere('real', 'real', "$dir/real", 'real', $found, $log_from);
}

done_testing();
