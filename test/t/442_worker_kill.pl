# Promise: kill -9 of whatever process, at whatever moment, thirty times over the runs of a worker: in the end the tables, the pictures and
# the copies are those of a pipeline that nobody has disturbed.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{DICOM_TEST_SEED} // 20041126;
srand $seed;
note("DICOM_TEST_SEED=$seed");

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf() . <<'END');
shared_preload_libraries = 'dicom_fdw'
dicom_fdw.databases = 'postgres'
dicom_fdw.worker_naptime = 1
restart_after_crash = on
fsync = on
END
mkdir "$dir/$_" for qw(provider raw stage raw2 stage2);

my $files = 0;
sub arrive
{
	my ($count) = @_;

	for (1 .. $count)
	{
		my $number = $files++;
		# Every tenth has no pixels worth the name; every ninth takes the place of an earlier one.
		my $name = $number % 9 == 8 ? int rand $number : $number;
		write_image("$dir/provider/$name.dcm", study => int($number / 6), series => int($number / 3), image => $number, day => sprintf('202001%02d', 1 + $number / 6 % 28),
			patient => 'P' . int($number / 12), pixels => $number % 10 == 3 ? '' : pack 'C4', map { int rand 256 } 1 .. 4);
	}
	return;
}

arrive(60);
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
SELECT dicom.create_pipeline('storm', provider => 'file://$dir/provider/', raw => 'file://$dir/raw/', stage => 'file://$dir/stage/', poll_interval => '1 s', options => '{"batch_objects": 10}');
END

# Processes of the cluster, by what they are: those of the worker, the sync, and the program, which is no PostgreSQL.
sub postmaster { return (split /\n/, read_text("$cluster->{dir}/data/postmaster.pid"))[0] }
sub parent_of  { my $stat = read_text("/proc/$_[0]/stat"); return $stat =~ /^.*\) \S (\d+)/s ? $1 : 0 }
sub title_of   { return read_text("/proc/$_[0]/cmdline") =~ tr/\0/ /r }
sub victims
{
	my ($kind) = @_;
	my $postmaster = postmaster() or return;
	my @all = map { m{(\d+)$} } glob '/proc/[0-9]*';

	return $postmaster if $kind eq 'postmaster';
	my @backends = grep { parent_of($_) == $postmaster } @all;
	return grep { title_of($_) =~ /^postgres: $kind/ } @backends if $kind ne 'dicompress';
	my %is_backend = map { $_ => 1 } @backends;
	return grep { $is_backend{ parent_of($_) } } @all;
}

my %killed;
my @kinds = ('dicom_fdw run', 'dicom_fdw run', 'dicom sync', 'dicompress', 'dicompress', 'dicom_fdw check', 'dicom_fdw launcher', 'postmaster');
my $end = time + 240;
my $rounds = 0;
while ($rounds < 30 && time < $end)
{
	my $kind = $kinds[ rand @kinds ];

	arrive(1 + rand 4);
	$cluster->psql("SELECT dicom.wake('storm')");
	my $victim = wait_until(sub { (victims($kind))[0] }, 3);
	sleep rand($kind eq 'postmaster' ? 0.6 : $kind eq 'dicom_fdw run' ? 0.4 : 0.03);
	my ($still) = grep { $_ == ($victim || 0) } victims($kind);
	next if !$still;
	kill 'KILL', $still;
	$killed{$kind}++;
	$rounds++;
	if ($kind eq 'postmaster')
	{
		waitpid $still, 0;
		@DicomTest::Cluster::running = grep { $_ != $cluster } @DicomTest::Cluster::running;
		wait_until(sub { eval { $cluster->start; 1 } }, 30) or die 'the server does not start: ' . $cluster->server_log;
	}
	wait_until(sub { ($cluster->psql('SELECT 1'))[0] eq '1' }, 60) or die 'the server does not come back: ' . $cluster->server_log;
}
is($rounds, 30, 'kill -9 of ' . join ', ', map { "$_ ($killed{$_})" } sort keys %killed);

# What failed meanwhile is tried again; then nothing is left to do.
for my $last (1 .. 3)
{
	my $since = $cluster->query("SELECT dicom.retry_failed('storm'); SELECT clock_timestamp(); SELECT dicom.wake('storm')") =~ s/^\d+\n//r =~ s/\n.*//sr;

	ok(wait_until(sub { $cluster->query("SELECT count(*) FROM dicom.runs WHERE started > '$since' AND status = 'done'") > 0 }, 60), 'the worker goes on')
		or diag($cluster->query('SELECT run, status, step, reason, error FROM dicom.runs ORDER BY run DESC LIMIT 10'));
}
is($cluster->query("SELECT count(*) FROM dicom.days WHERE state <> 'fresh'"), 0, 'and comes to an end of it');
is($cluster->query("SELECT count(*) FROM dicom.failures WHERE resolved IS NULL AND reason <> 'no_pixels'"), 0, 'with nothing that fails')
	or diag($cluster->query('SELECT step, reason, error_code, message, count(*) FROM dicom.failures WHERE resolved IS NULL GROUP BY 1, 2, 3, 4'));
$cluster->query("SELECT dicom.pause('storm')");
$cluster->query(<<"END");
SELECT dicom.create_pipeline('calm', raw => (SELECT raw FROM dicom.pipeline WHERE name = 'storm'), stage => 'file://$dir/stage2/',
	raw_schema => 'calm_raw', stage_schema => 'calm_stage', processed_schema => 'calm_processed', poll_interval => '1 day', options => '{"batch_objects": 10}');
SELECT dicom.pause('calm');
SELECT dicom.resume('calm');
END
wait_until(sub { $cluster->query("SELECT count(*) FROM dicom.runs WHERE status = 'running'") == 0 });
$cluster->psql("CALL dicom.run('calm', wait => true)");
my $expected = pipeline_state($cluster, 'calm', stage => 'calm_stage', processed => 'calm_processed');
my $state    = pipeline_state($cluster, 'storm');
s/calm_(stage|processed|raw)/dicom_$1/g for $expected;
ok($state eq $expected, 'every row is the same') or diag(difference($expected, $state));
cmp_ok(() = $state =~ /^processed\.images /mg, '>=', 60, 'and there are many');
is(system('diff', '-r', '-x', '.dicom_fdw-*', "$dir/provider", "$dir/raw"), 0, 'every file is copied, whole');
# What was being written when its writer was killed may stay, under a name that nothing reads.
my ($pictures, $right) = map { stage_files("$dir/$_") =~ s/^\S*\/\.dicom_fdw-.*\n//mgr } qw(stage stage2);
ok($pictures eq $right, 'every picture is the same, and there is none besides') or diag(difference($right, $pictures));
is($cluster->query('SELECT count(*) FROM (SELECT key FROM dicom.copied GROUP BY source, target, key HAVING count(*) > 1) d'), 0, 'nothing is noted twice');
unlike($cluster->server_log, qr/terminated by signal (?!9\b)|PANIC|TRAP/, 'no process died by itself');

done_testing();
