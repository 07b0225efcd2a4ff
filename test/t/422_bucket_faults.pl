# Promise: buckets that are gone, refuse, throttle, break off or are silent: a run ends, the rest is done, it is said what failed and what to do,
# and the next run goes on; in the end everything is as if nothing had been.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;
use Time::HiRes qw(time);

my $s3 = s3_server() or plan skip_all => 'no S3 server';
my $proxy   = fault_proxy($s3);
my $dir     = work_dir();
my $cluster = cluster(conf => key_conf(), env => moved_clock("$dir/clock"));

mkdir "$dir/files" or die;
for my $number (1 .. 20)
{
	write_image(sprintf('%s/files/%02d.dcm', $dir, $number), study => int($number / 6), series => int($number / 3), image => $number,
		day => sprintf('202001%02d', 1 + $number / 6), patient => 'MRN-4711-' . int($number / 12), '00100010' => [ 'PN', 'SMITH^Ann^of' ],
		pixels => pack 'C4', $number, 1, 2, 3);
}
put_directory($s3, 'provider', "$dir/files");
$s3->bucket($_) for qw(raw stage sealed);
$cluster->query('CREATE EXTENSION dicom_fdw');

sub make_server
{
	my ($name, $location, %mapping) = @_;

	$mapping{$_} //= $s3->{$_} for qw(access_key_id secret_access_key);
	$cluster->query(<<"END");
CREATE SERVER $name FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location '$location', endpoint '@{[$proxy->server->{endpoint}]}', request_timeout '1s', max_retries '2');
CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (access_key_id '$mapping{access_key_id}', secret_access_key '$mapping{secret_access_key}');
END
	return;
}

sub make_pipeline
{
	my ($name, $stage) = @_;

	make_server("${name}_to",   "s3://raw/$name/");
	make_server("${name}_pics", $stage // "s3://stage/$name/");
	$cluster->query(sprintf "SELECT dicom.create_pipeline('%1\$s', provider => 'provider', raw => '%1\$s_to', stage => '%1\$s_pics', raw_schema => '%1\$s_raw',
		stage_schema => '%1\$s_stage', processed_schema => '%1\$s_processed', options => '{\"batch_objects\": 10}')", $name);
	return;
}

# Rows, copies and pictures.
sub state_of
{
	my ($name) = @_;

	return pipeline_state($cluster, $name, stage => "${name}_stage", processed => "${name}_processed") =~ s/\b${name}_(stage|processed)\b/$1/gr
		. $cluster->query("SELECT key, etag FROM ${name}_raw.files UNION ALL SELECT key, sha256 FROM ${name}_stage.compressed_images ORDER BY 1")
		. $cluster->query("SELECT key FROM ${name}_stage_private.stage_objects WHERE key LIKE 'compressed_images/%' ORDER BY 1");
}

sub last_run
{
	my ($name) = @_;

	return $cluster->query("SELECT status, error FROM dicom.runs WHERE pipeline = '$name' ORDER BY run DESC LIMIT 1") . "\n"
		. $cluster->query("SELECT step, error_code, hint FROM dicom.run_steps WHERE run = (SELECT max(run) FROM dicom.runs WHERE pipeline = '$name')
			AND status <> 'done' ORDER BY started");
}

# A run under these faults.
sub fails
{
	my ($name, $faults, $expected, $what) = @_;

	$proxy->set(@$faults);
	$cluster->query("SELECT dicom.retry_failed('$name')");
	my ($out, $err, $code) = $cluster->psql("SET statement_timeout = '120s'; CALL dicom.run('$name')");
	is("$out$err$code", '0', "$what: the run ends");
	like(last_run($name), $expected, "$what: and says what failed");
	$proxy->set('');
	return;
}

sub recovers
{
	my ($name, $what) = @_;

	$proxy->set('');
	$cluster->query("SELECT dicom.retry_failed('$name')");
	run_pipeline($cluster, $name);
	is(difference(state_of('calm'), state_of($name)), '', "$what: after it the next run makes the rest");
	return;
}

sub count_of { my ($table) = @_; return $cluster->query("SELECT count(*) FROM $table") }

make_server('provider', 's3://provider/');
make_pipeline('calm');
run_pipeline($cluster, 'calm');
is(count_of('calm_processed.images') . '|' . count_of('calm_stage.compressed_images'), '20|20', 'a pipeline that nobody disturbs');

# --- The provider

make_pipeline('orphan');
$s3->request('DELETE', '/provider/20.dcm');
run_pipeline($cluster, 'orphan');
$s3->request('PUT', $_, body => read_text("$dir/files/20.dcm")) for '/provider/20.dcm', '/raw/orphan/20.dcm';
fails('orphan', ['status /provider 404 0 NoSuchBucket'], qr/^failed\|copy: the bucket does not exist\ncopy\|58P01\|.*location/, 'no provider');
is(count_of('orphan_processed.images'), 20, 'no provider: what is in raw is worked on');
for my $case (
	[ 'status /provider 403 0 AccessDenied', qr/^failed\|copy: the store denies access\ncopy\|42501\|.*s3:ListBucket/ ],
	[ 'status /provider 403 0 InvalidAccessKeyId', qr/^failed\|copy: the store does not know the access key\ncopy\|28000\|.*access_key_id/ ],
	[ 'status /provider 503 0 SlowDown', qr/^failed\|copy: the store asks to slow down\ncopy\|53000\|.*max_requests/ ],
	[ 'status /provider 500 0 InternalError', qr/^failed\|copy: .*\ncopy\|58030\|/ ],
	[ 'silent /provider', qr/^failed\|copy: the server was silent for 1000 ms\ncopy\|08006\|.*request_timeout/ ],
	[ 'reset /provider -1', qr/^failed\|copy: the connection broke: .*\ncopy\|08006\|/ ],
	[ 'garble /provider', qr/^failed\|copy: .*\ncopy\|(08P01|08006)\|/ ])
{
	fails('orphan', [ $case->[0] ], $case->[1], "provider: $case->[0]");
}
set_clock("$dir/clock", 3600);
fails('orphan', [''], qr/^failed\|copy: the clocks of the store and of this machine differ .*\ncopy\|28000\|Synchronise the clock.*\nsync\|28000\|/, 'a clock that is an hour ahead');
set_clock("$dir/clock", 0);
recovers('orphan', 'provider');

# --- Raw: some of it, and its listing

make_pipeline('broken');
$proxy->set('status /raw/broken/1 503 0 SlowDown');
run_pipeline($cluster, 'broken');
is(count_of("dicom.failures WHERE pipeline = 'broken' AND step = 'copy' AND error_code = '53000' AND resolved IS NULL"), 10, 'raw: objects that it does not take are named');
is(count_of('broken_processed.images') . '|' . count_of('broken_stage.compressed_images'), '10|10', 'raw: the others are worked on');
for my $case ([ 'status prefix=broken 503 0 SlowDown', qr/^failed\|sync: the store asks to slow down\nsync\|53000\|.*max_requests/ ],
	[ 'truncate prefix=broken 300', qr/^failed\|sync: the answer was cut short.*\nsync\|08006\|/ ])
{
	fails('broken', [ $case->[0] ], $case->[1], "raw: $case->[0]");
	is(count_of('broken_processed.images'), 10, "raw: $case->[0]: a listing that fails is not taken for what is there");
}
recovers('broken', 'raw');

# --- Stage

make_pipeline('silent');
for my $case (
	[ 'status /stage/ 403 0 AccessDenied', qr/^failed\|compress: frame 1: the store denies access .*s3:PutObject.*\ncompress\|42501\|/ ],
	[ 'status /stage/ 404 0 NoSuchBucket', qr/^failed\|compress: frame 1: the bucket does not exist .*location.*\ncompress\|58P01\|/ ],
	[ 'status /stage/ 503 0 SlowDown', qr/^failed\|compress: frame 1: the store asks to slow down .*\ncompress\|53000\|/ ],
	[ 'silent /stage/', qr/^failed\|compress: frame 1: the server was silent for 1000 ms .*\ncompress\|08006\|/ ],
	[ 'reset /stage/ -1', qr/^failed\|compress: frame 1: the connection broke.*\ncompress\|08006\|/ ])
{
	fails('silent', [ $case->[0] ], $case->[1], "stage: $case->[0]");
	is(count_of('silent_stage.images') . '|' . count_of('silent_processed.studies') . '|' . count_of('silent_stage.compressed_images'), '20|4|0',
		"stage: $case->[0]: rows that need no picture are there");
}
recovers('silent', 'stage');
make_pipeline('wrong');
$cluster->query("ALTER USER MAPPING FOR PUBLIC SERVER wrong_pics OPTIONS (SET secret_access_key 'not-the-secret')");
fails('wrong', [''], qr/^failed\|compress: frame 1: the secret access key is wrong .*user mapping.*\ncompress\|28000\|/, 'stage: a wrong secret');
$cluster->query("ALTER USER MAPPING FOR PUBLIC SERVER wrong_pics OPTIONS (SET secret_access_key '$s3->{secret_access_key}')");
recovers('wrong', 'stage: a wrong secret');

# A bucket that may be read only, by its own policy.
make_pipeline('sealed', 's3://sealed/p/');
$s3->request('PUT', '/sealed', query => { policy => '' }, body =>
	'{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": "arn:aws:s3:::sealed/*"}]}');
fails('sealed', [''], qr/^failed\|compress: frame 1: the store denies access .*s3:PutObject.*\ncompress\|42501\|/, 'stage: a bucket that may not be written');
is(count_of("sealed_stage_private.stage_objects"), 0, 'stage: in which nothing is');
$s3->request('DELETE', '/sealed', query => { policy => '' });
recovers('sealed', 'stage: a bucket that may not be written');

# Exported tables: a day is enough to know.
make_pipeline('lake');
$cluster->query("SELECT dicom.alter_pipeline('lake', options => '{\"export\": \"processed\"}')");
fails('lake', ['status /stage/lake/processed 503 0 SlowDown'], qr/^failed\|export: the store asks to slow down\nexport\|53000\|.*max_requests/, 'stage: takes no tables');
is(count_of("dicom.failures WHERE pipeline = 'lake' AND resolved IS NULL") . '|' . count_of('lake_processed.images WHERE pictures = 1'), '1|20', 'stage: which is tried once, and everything else is done');
recovers('lake', 'stage: takes no tables');
cmp_ok(count_of("dicom.export_file WHERE pipeline = 'lake' AND NOT gone"), '>', 4, 'stage: in which days are then');

# --- Faults that pass, everywhere and at once

make_pipeline('stormy');
$proxy->set('latency 20', 'status /raw/stormy/0 503 5 SlowDown', 'reset /raw/stormy/1 -1 3', 'status /stage/stormy/ 500 7 InternalError', 'reset /stage/stormy/ -1 5',
	'status list-type 503 2 SlowDown', 'truncate /raw/stormy/ 100 4');
my $begin = time;
run_pipeline($cluster, 'stormy');
note(sprintf 'a slow store that throttles and breaks off now and then: %.1f s', time - $begin);
recovers('stormy', 'a storm that passes');

# --- In the end

my $said = $cluster->query("SELECT concat_ws(' ', error, detail, hint) FROM dicom.run_steps UNION ALL SELECT message FROM dicom.failures UNION ALL SELECT error FROM dicom.runs
	UNION ALL SELECT error FROM dicom.copies");
my $log = join "\n", grep { !/statement:|^\t/ } split /\n/, $cluster->server_log;
is(join(' ', grep { index($said, $_) >= 0 || index($log, $_) >= 0 } 'SMITH', 'Ann^of', 'MRN-4711', $s3->{secret_access_key}, $s3->{access_key_id}, 'not-the-secret', 'Signature', 'X-Amz'), '',
	'no message and no line of the log has a secret, or a value of a patient');
unlike($log, qr/terminated by signal|PANIC|TRAP/, 'no process died by itself');

done_testing();
