# Promise: whoever reads exported days meanwhile sees each of them whole and once, old or new, whatever happens to the backend that writes them:
# it is killed twenty times in the middle. The next run ends with the files that the tables say, and with nothing else in the store.
use strict;
use warnings;

use DicomTest;
use JSON::PP;
use PipelineTest;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{DICOM_TEST_SEED} // 20240901;
srand $seed;
note("DICOM_TEST_SEED=$seed");
my $kills = $ENV{DICOM_TEST_KILLS} // 20;

my $engines = DicomTest::work() . '/engines';
my ($engine_out, $engine_err, $no_engine) = run_command('bash', top() . '/test/parquet/engines.sh', $engines);
diag("DuckDB cannot be had: $engine_err") if $no_engine;

# The reader of S3 is a database of its own: a kill ends every session of the other one.
my $cluster = cluster(conf => key_conf());
my $reader  = cluster();
my $rows    = 10000;

sub make_pipeline
{
	my ($name, $stage, $like) = @_;
	my $dir = work_dir();

	write_image("$dir/f$_", study => $_, series => $_, image => $_, day => "2020010$_", patient => 'P1') for 1 .. 4;
	$cluster->query(<<"END");
CREATE EXTENSION IF NOT EXISTS dicom_fdw;
CREATE SERVER ${name}_files FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/');
SELECT dicom.create_pipeline('$name', raw => '${name}_files', stage => '$stage', raw_schema => '${name}_raw', stage_schema => '${name}_stage', processed_schema => '${name}_done',
	options => '{"export": "processed"}');
CREATE TABLE public.${name}_round (n integer);
INSERT INTO public.${name}_round VALUES (0);
SELECT dicom.create_layer('${name}_done.noise', 'SELECT i.sop_instance_uid, i.study_date, g AS number, r.n AS round, md5(g::text || r.n) AS noise
	FROM ${name}_stage.images i, generate_series(1, $rows) g, public.${name}_round r', ARRAY['sop_instance_uid', 'number']);
END
	run_pipeline($cluster, $name);
	return;
}

# The server as it is after a kill: psql gets in again.
sub wait_for_restart
{
	my ($starts) = @_;

	wait_until(sub { my $now = () = $cluster->server_log =~ /ready to accept connections/g; $now > $starts && ($cluster->psql('SELECT 1'))[2] == 0 }, 120)
		or die "the server does not come back: " . substr($cluster->server_log, -2000) . "\n";
	return;
}

# Makes every day of the layer anew, and kills the run in the middle of the export, which cannot end before: what it has to note of one of
# its files, whichever, is locked. It is killed there, or anywhere on its way.
sub killed_run
{
	my ($name) = @_;
	my $files  = "SELECT FROM dicom.export_file WHERE table_name = '${name}_done.noise'";

	$cluster->query("UPDATE public.${name}_round SET n = n + 1; SELECT dicom.mark_days('$name', '${name}_done.noise', p.epoch, dicom.days_of_layer('$name', '${name}_done.noise', p.epoch)) FROM dicom.pipeline p WHERE name = '$name'");
	my $holder = $cluster->start_psql("BEGIN; SET application_name = 'holder'; $files ORDER BY key OFFSET ${\ int rand 4} LIMIT 1 FOR UPDATE; SELECT pg_sleep(600);", go_on => 1);
	wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event = 'PgSleep'") }, 60) or die "nothing is locked\n";
	my $session = $cluster->start_psql("CALL dicom.run('$name')", go_on => 1);
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM dicom.runs WHERE pipeline = '$name' AND status = 'running' AND step = 'export'") }, 60)
		or die "the run does not come to its export\n";
	if (rand 2 < 1)
	{
		sleep rand 0.1;
	}
	else
	{
		wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'") }, 60) or die "the export does not come to what is locked\n";
	}
	my $starts = () = $cluster->server_log =~ /ready to accept connections/g;
	kill 'KILL', $pid;
	$cluster->finish_psql($_) for $session, $holder;
	wait_for_restart($starts);
	return $cluster->query("SELECT count(*) FROM dicom.runs WHERE pipeline = '$name' AND status = 'interrupted' AND step = 'export'");
}

# Each answer: per day how many rows, how many different rounds, how many different numbers.
sub judge
{
	my ($promise, @answers) = @_;
	my $whole  = "$rows,1,$rows;" x 4;
	my @errors = grep { /^ERROR/ } @answers;
	my @bad    = grep { !/^ERROR/ && $_ ne $whole } @answers;

	cmp_ok(scalar(@answers) - @errors, '>', 5, "$promise: it was read meanwhile (" . (scalar(@answers) - @errors) . " times)");
	is(scalar @bad, 0, "$promise: every day whole, and once") or diag($bad[0]);
	note("$promise: " . scalar(@errors) . " reads found a file replaced: " . ($errors[0] // ''));
	return;
}

# --- a directory, read by DuckDB that lists it

my $stage = work_dir();
my $watch = work_dir();
make_pipeline('disk', $stage);
my $folder = "$stage/processed/noise";
is((run_command('find', $folder, '-name', 'data.parquet'))[0] =~ tr/\n//, 4, 'four days');
my $sql = "SELECT string_agg(n || ',' || r || ',' || d || ';', '' ORDER BY study_date) AS a FROM (SELECT study_date, count(*) AS n, count(DISTINCT round) AS r, count(DISTINCT number) AS d
	FROM read_parquet('$folder/**/*.parquet', hive_partitioning = true) GROUP BY study_date)";
my $watcher = $no_engine ? undef : spawn_command("$watch/out", "$watch/err", 'node', "$engines/watch.mjs", "$watch/stop", $sql);
my $interrupted = 0;
$interrupted = killed_run('disk') for 1 .. $kills;
is($interrupted, $kills, 'every kill came in the middle of an export');
write_text("$watch/stop", '');
if ($watcher)
{
	is(DicomTest::wait_command($watcher), 0, 'DuckDB has read to the end') or diag(read_text("$watch/err"));
	judge('DuckDB', map { /^ERROR/ ? $_ : decode_json($_)->[0] } split /\n/, read_text("$watch/out"));
}
run_pipeline($cluster, 'disk');
is((run_command('find', $stage, '-path', '*/noise/*', '-type', 'f', '!', '-name', 'data.parquet', '!', '-name', '_manifest.json'))[0], '', 'the next run leaves nothing else behind');
is((run_command('find', $stage, '-type', 'f', '-name', '.*'))[0], '', 'nor anything hidden');
sub same_rounds
{
	my ($name, $at, $server) = @_;
	my $files = $at->query("SELECT 1") && $cluster->query("SELECT string_agg(key, ',') FROM dicom.export_file WHERE table_name = '${name}_done.noise'");
	my @found = map { $at->query("SELECT count(*), min(round), max(round) FROM dicom.read_parquet('$server', '$_') AS r (round integer)") } split /,/, $files;
	my $round = $cluster->query("SELECT n FROM public.${name}_round");
	is(join(' ', @found), join(' ', ("$rows|$round|$round") x 4), 'and every day as the tables have it');
	return;
}
same_rounds('disk', $cluster, 'disk_stage');

# --- S3, read through another database

SKIP:
{
	my $s3 = s3_server();
	skip 'no radosgw here', 4 if !$s3;
	$s3->bucket('lake');
	$_->make_server('bucket', $s3, 's3://lake/') for $cluster, $reader;
	make_pipeline('net', 'bucket');
	my @keys = split /,/, $cluster->query("SELECT string_agg(key, ',' ORDER BY key) FROM dicom.export_file WHERE table_name = 'net_done.noise'");
	my $query = "SELECT string_agg(n || ',' || r || ',' || d || ';', '') FROM (" . join(' UNION ALL ', map {
		"SELECT count(*) AS n, count(DISTINCT round) AS r, count(DISTINCT number) AS d FROM dicom.read_parquet('bucket', '$_') AS r (round integer, number integer)" } @keys) . ') x';
	my $loop = $reader->start_psql(join("\n", ("$query;") x 1000), go_on => 1);
	$interrupted = killed_run('net') for 1 .. 5;
	is($interrupted, 5, 'S3: every kill came in the middle of an export');
	kill 'TERM', $loop->{pid};
	my ($out, $err) = $reader->finish_psql($loop);
	judge('read_parquet', grep { /;/ } split /\n/, $out);
	is(scalar(grep { !/40001|XX001|58P01/ } $err =~ /^ERROR:  (\w+)/mg), 0, 'and no error but that a file has changed') or diag($err);
	run_pipeline($cluster, 'net');
	is($cluster->query("SELECT dicom.sweep_uploads('bucket', '', '-1 minute')"), 0, 'the next run leaves no upload behind');
	same_rounds('net', $reader, 'bucket');
}
done_testing();
