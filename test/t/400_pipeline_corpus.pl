# Promise: from a provider's files, in a directory or a bucket, one call and one run make tables and pictures in which every file is accounted
# for; numbers of patients, studies, series and images are those of the files; a second run with nothing new lists each bucket once, reads
# nothing and writes no row; nothing in the tables, in the names and bytes of pictures, or in the log says who anybody is.
use strict;
use warnings;
use utf8;

use DicomTest;
use File::Find qw(find);
use JSON::PP;
use PipelineTest;
use Test::More;

plan skip_all => 'no corpus' unless corpus();

# --- What the files say

my (%truth, %words, %other_words);
for my $line (split /\n/, read_text(corpus() . '/TRUTH.jsonl'))
{
	my $tags = JSON::PP->new->utf8->decode($line)->{tags};
	my %value = map { $_ => ($tags->{$_} // '') =~ s/[ \0]+$//r } keys %$tags;

	$truth{images}{ $value{SOPInstanceUID} } = 1 if $value{SOPInstanceUID} ne '';
	$truth{studies}{ $value{StudyInstanceUID} } = 1 if $value{StudyInstanceUID} ne '';
	$truth{series}{"$value{SeriesInstanceUID} $value{StudyInstanceUID}"} = 1 if $value{SeriesInstanceUID} ne '';
	my $rest = join '|', map { $value{$_} } qw(OtherPatientIDs PatientAge PatientBirthDate PatientName);
	$truth{patients}{ $value{PatientID} ne '' ? "id $value{PatientID}" : $rest } = 1 if $value{PatientID} ne '' || $rest ne '|||';
	my $device = join '|', map { $value{$_} } qw(DeviceSerialNumber Manufacturer ManufacturerModelName);
	$truth{devices}{$device} = 1 if $device ne '||';

	$other_words{$_} = 1 for map { split /[\^=\\ ]+/, $value{$_} } qw(StudyDescription SeriesDescription Manufacturer ManufacturerModelName SoftwareVersions);
	# Words that name somebody or something: long enough not to occur by chance.
	$words{$_} = 1 for grep { length > 6 && !/^anon|^unknown|^patient|^test/i } map { split /[\^=\\ ]+/, $value{$_} } qw(PatientName ReferringPhysicianName);
	$words{$_} = 1 for grep { length > 7 } map { $value{$_} } qw(PatientID AccessionNumber OtherPatientIDs SOPInstanceUID StudyInstanceUID SeriesInstanceUID);
}
# What DICOM itself defines may be anywhere, and so may a word that descriptions use as well: some of these patients are called 'Overlay'.
delete @words{ keys %other_words };
# The program that anonymised some of the files wrote its name into PatientID and SequenceName alike.
delete $words{dicom2nifti};
delete @words{ grep { /^1\.2\.840\.10008\./ } keys %words };
cmp_ok(scalar keys %words, '>', 300, 'there is something to look for');
my $words = join '|', map { quotemeta } sort { length $b <=> length $a } keys %words;

sub found_words
{
	my ($text) = @_;
	my %found;

	utf8::decode($text);
	$found{$1} = 1 while $text =~ /(?<![\w.])($words)(?![\w.])/g;
	return join ' ', sort keys %found;
}

sub tables
{
	my ($schema) = @_;

	return map { "$schema.$_" } qw(patients devices studies series images);
}

sub check_run
{
	my ($cluster, $what, $objects) = @_;

	for my $table (qw(patients devices studies series images))
	{
		my $wanted = keys %{ $truth{$table} };
		is($cluster->query("SELECT count(*) FROM dicom_stage.$table"), $wanted, "$what: $table of stage");
		is($cluster->query("SELECT count(*) FROM dicom_processed.$table"), $wanted, "$what: $table of processed");
	}
	is($cluster->query(<<'END'), "$objects|0", "$what: every object has given an image, or is among the failures with a reason");
WITH accounted AS (
	SELECT source_key AS key FROM dicom_stage_private.images
	UNION ALL
	SELECT object_key FROM dicom.failures WHERE step = 'stage' AND resolved IS NULL AND reason IS NOT NULL AND message IS NOT NULL
)
SELECT count(*), count(*) - count(DISTINCT key) FROM accounted
END
	is($cluster->query(<<'END'), '0', "$what: every image has its pictures, or a reason, or no pixel data");
SELECT count(*)
FROM dicom_stage_private.images i
LEFT JOIN dicom_stage_private.picture_objects o ON o.deid_epoch = i.deid_epoch AND o.source_key = i.source_key
WHERE NOT CASE o.state
	WHEN 'done' THEN (SELECT count(*) FROM dicom_stage.compressed_images c WHERE c.sop_instance_uid = i.sop_instance_uid) = coalesce(i.number_of_frames, 1)
		OR EXISTS (SELECT FROM dicom.failures f WHERE f.step = 'compress' AND f.object_key = i.source_key)
	WHEN 'none' THEN i.rows IS NULL OR i.columns IS NULL OR NOT EXISTS (SELECT FROM dicom_stage.compressed_images c WHERE c.sop_instance_uid = i.sop_instance_uid)
	ELSE EXISTS (SELECT FROM dicom.failures f WHERE f.step = 'compress' AND f.object_key = i.source_key AND f.reason IN ('quarantined', 'undecodable')) END
END
	cmp_ok($cluster->query('SELECT count(*) FROM dicom_stage.compressed_images'), '>', 250, "$what: there are pictures");
	is($cluster->query('SELECT count(*) FROM dicom_processed.images p WHERE p.pictures <> (SELECT count(*) FROM dicom_stage.compressed_images c WHERE c.sop_instance_uid = p.sop_instance_uid)'),
		'0', "$what: processed images know their pictures");
	is($cluster->query("SELECT count(*) FROM dicom.days WHERE state <> 'fresh'"), '0', "$what: every day is fresh");
	is($cluster->query(<<'END'), '0|0|0|0|0', "$what: keys of parents lead to parents");
SELECT (SELECT count(*) FROM dicom_stage.studies s WHERE s.patient_key IS NOT NULL AND NOT EXISTS (SELECT FROM dicom_stage.patients p WHERE p.patient_key = s.patient_key)),
	(SELECT count(*) FROM dicom_stage.series s WHERE s.study_instance_uid IS NOT NULL AND NOT EXISTS (SELECT FROM dicom_stage.studies p WHERE p.study_instance_uid = s.study_instance_uid)),
	(SELECT count(*) FROM dicom_stage.series s WHERE s.device_key IS NOT NULL AND NOT EXISTS (SELECT FROM dicom_stage.devices p WHERE p.device_key = s.device_key)),
	(SELECT count(*) FROM dicom_stage.images s WHERE s.series_key IS NOT NULL AND NOT EXISTS (SELECT FROM dicom_stage.series p WHERE p.series_key = s.series_key)),
	(SELECT count(*) FROM dicom_processed.images s WHERE s.patient_key IS NOT NULL AND NOT EXISTS (SELECT FROM dicom_processed.patients p WHERE p.patient_key = s.patient_key))
END
	my $rows = join "\n", map { $cluster->query("SELECT t::text FROM $_ t") } map { tables($_) } qw(dicom_stage dicom_processed);
	is(found_words($rows . $cluster->query('SELECT t::text FROM dicom_stage.compressed_images t UNION ALL SELECT t::text FROM dicom_stage.patient_ids t')), '',
		"$what: no row says who anybody is");
	is(found_words($cluster->server_log), '', "$what: nor does the log");
	return;
}

# What was ever written into any table of a layer.
sub writes
{
	my ($cluster) = @_;

	wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") eq '1' });
	return $cluster->query(<<'END');
SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del)
FROM pg_stat_user_tables
WHERE schemaname IN ('dicom_stage_private', 'dicom_processed_private')
END
}

my @objects;
find({ wanted => sub { push @objects, $_ if -f }, no_chdir => 1 }, corpus());

# --- Directories

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
SELECT dicom.create_pipeline('hospital', provider => '@{[corpus()]}', raw => '$dir/raw', stage => '$dir/stage');
END
run_pipeline($cluster, 'hospital');
check_run($cluster, 'directories', scalar @objects);
is($cluster->query("SELECT step || ' ' || inserted FROM dicom.run_steps WHERE step IN ('copy', 'sync') ORDER BY started"),
	'copy ' . @objects . "\nsync " . @objects, 'directories: the steps say how much came');
my $names = join "\n", map { s/ .*//r } split /\n/, stage_files("$dir/stage");
like($names, qr{^compressed_images/year=\d{4}/month=\d\d/day=\d\d/[^/]+/[^/]+/1\.jpg$}m, 'directories: pictures lie by day, series and image');
like($names, qr{^compressed_images/year=unknown/}m, 'directories: or under year=unknown');
is(found_words($names), '', 'directories: no name of a picture says who anybody is');
my $bytes = '';
find({ wanted => sub { $bytes .= read_text($_) if /\.jpg$/ }, no_chdir => 1 }, "$dir/stage");
is(found_words($bytes), '', 'directories: nor do its bytes');
is($cluster->query('SELECT count(*) FROM dicom_stage.compressed_images'), () = $names =~ /\.jpg$/mg, 'directories: rows and pictures are as many');
my $before = writes($cluster);
run_pipeline($cluster, 'hospital');
is(writes($cluster), $before, 'directories: a second run writes nothing');
$cluster->stop;

# --- Buckets

SKIP:
{
	my $s3 = s3_server() or skip('no S3 server', 1);
	my $proxy = fault_proxy($s3);
	my $server = $proxy->server;

	put_directory($s3, 'provider', corpus());
	$s3->bucket($_) for qw(raw stage);
	$cluster = cluster(conf => key_conf());
	$cluster->query('CREATE EXTENSION dicom_fdw');
	for my $bucket (qw(provider raw stage))
	{
		$cluster->query(<<"END");
CREATE SERVER $bucket FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://$bucket/', endpoint '$server->{endpoint}');
CREATE USER MAPPING FOR PUBLIC SERVER $bucket OPTIONS (access_key_id '$server->{access_key_id}', secret_access_key '$server->{secret_access_key}');
END
	}
	$cluster->query("SELECT dicom.create_pipeline('hospital', provider => 'provider', raw => 'raw', stage => 'stage', partition_by => 'month')");
	run_pipeline($cluster, 'hospital');
	check_run($cluster, 'buckets', scalar @objects);
	my $before = writes($cluster);
	$proxy->forget;
	run_pipeline($cluster, 'hospital');
	my %requests;
	for my $request ($proxy->requests)
	{
		my ($bucket) = $request->{target} =~ m{^/([^/?]+)};
		$requests{ ($request->{is_list} ? 'LIST' : $request->{method}) . " $bucket" }++;
	}
	is_deeply(\%requests, { 'LIST provider' => 1, 'LIST raw' => 1 }, 'buckets: a second run lists each bucket that files come to once, and asks nothing else');
	is(writes($cluster), $before, 'buckets: and writes nothing');
	my $requests = $cluster->query("SELECT sum(requests) FROM dicom.run_steps WHERE run = (SELECT max(run) FROM dicom.runs)");
	is($requests, '2', 'buckets: which the steps say too');
}

done_testing();
