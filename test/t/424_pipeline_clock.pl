# Promise: a clock that jumps, ten years ahead and back, or to and fro in the middle of a run, makes nothing wait for it: what failed is tried again, what
# was interrupted goes on, the worker looks after its pipelines, and in the end everything is as if the clock had been right.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my $ten_years = 10 * 365 * 86400;
my $dir       = work_dir();
my $clock     = "$dir/clock";
my $cluster   = cluster(conf => key_conf() . <<'END', env => moved_clock($clock));
shared_preload_libraries = 'dicom_fdw'
dicom_fdw.worker_naptime = 1
END
mkdir "$dir/$_" or die for qw(provider moved moved/raw moved/stage calm calm/raw calm/stage);

my $files = 0;
sub arrive
{
	my ($count, $where) = @_;

	for (1 .. $count)
	{
		my $number = $files++;
		write_image(sprintf('%s/%s/%02d.dcm', $dir, $where // 'provider', $number), study => int($number / 6), series => int($number / 3), image => $number,
			day => sprintf('202001%02d', 1 + $number / 6), patient => 'P' . int($number / 12), pixels => pack 'C4', $number, 1, 2, 3);
	}
	return;
}

sub count_of { my ($table) = @_; return $cluster->query("SELECT count(*) FROM $table") }

# Copies of one file are different versions of it.
sub state_of
{
	my ($name) = @_;

	return pipeline_state($cluster, $name, stage => "${name}_stage", processed => "${name}_processed") =~ s/\b${name}_(stage|processed)\b/$1/gr
		=~ s/,[0-9a-f]+-[0-9a-f]+-[0-9a-f]{14,},/,etag,/gr;
}

sub make_pipeline
{
	my ($name, $more) = @_;

	$cluster->query(sprintf "SELECT dicom.create_pipeline('%1\$s', %2\$s raw => 'file://$dir/%1\$s/raw', stage => 'file://$dir/%1\$s/stage', raw_schema => '%1\$s_raw',
		stage_schema => '%1\$s_stage', processed_schema => '%1\$s_processed', options => '{\"batch_objects\": 10}')", $name, $more);
	return;
}

# A pipeline that has seen nothing of it all.
sub same_as_calm
{
	my ($what) = @_;

	system('cp', '-a', "$dir/moved/raw/.", "$dir/calm/raw/") == 0 or die;
	$cluster->query("SELECT dicom.resume('calm')");
	run_pipeline($cluster, 'calm');
	$cluster->query("SELECT dicom.pause('calm')");
	is(difference(state_of('calm'), state_of('moved')), '', "$what: every row is as if the clock had been right");
	is(difference(stage_files("$dir/calm/stage"), stage_files("$dir/moved/stage")), '', "$what: and every picture");
	return;
}

# --- Ten years ahead everything fails that can; then the clock is set right

$cluster->query('CREATE EXTENSION dicom_fdw');
is($cluster->query('SELECT clock_timestamp() BETWEEN now() AND now() + interval $$1 min$$'), 't', 'a server');
set_clock($clock, $ten_years);
is($cluster->query("SELECT clock_timestamp() - '1970-01-01' > interval '@{[time + $ten_years - 60]} s'"), 't', 'whose clock can be set while it runs');
arrive(11);
arrive(1, 'moved/raw');
make_pipeline('moved', "provider => 'file://$dir/provider', poll_interval => '1 s',");
make_pipeline('calm', "poll_interval => '1 day',");
$cluster->query("SELECT dicom.pause('calm')");
chmod 0, "$dir/provider/05.dcm", "$dir/moved/raw/11.dcm" or die;
chmod 0555, "$dir/moved/stage" or die;
$cluster->query("SELECT dicom.add_check('moved_processed.studies', 'none at all', 'SELECT 1 WHERE \$1 IS NOT NULL')");
run_pipeline($cluster, 'moved', may_fail => 1);
is($cluster->query(<<'END'), 't|t|t|t|t', 'a copy, an object, days and pictures have failed, and the run');
SELECT (SELECT count(*) = 1 FROM dicom.copied WHERE next_attempt > now()), (SELECT count(*) = 1 FROM dicom.object WHERE next_attempt > now()),
	(SELECT count(*) > 0 FROM dicom.layer_day WHERE next_attempt > now()), (SELECT count(*) > 0 FROM moved_stage_private.picture_objects WHERE next_attempt > now()),
	(SELECT next_attempt > now() FROM dicom.pipeline WHERE name = 'moved')
END
for my $time (1 .. 3)
{
	my $waiting = sub { my ($name, $for) = @_; return wait_until(sub { count_of("pg_stat_activity WHERE application_name = '$name' AND '$for' IN (wait_event_type, wait_event)") }) };

	$cluster->query("SELECT dicom.backfill('moved', '2020-01-01', '2020-01-31')");
	my $blocker = $cluster->start_psql("SET application_name = 'in the way'; BEGIN; LOCK moved_stage_private.images; SELECT pg_sleep(600)", go_on => 1);
	$waiting->('in the way', 'PgSleep') or die;
	my $run = $cluster->start_psql("SET application_name = 'to be ended'; CALL dicom.run('moved')", go_on => 1);
	ok($waiting->('to be ended', 'Lock'), "run $time is under way");
	$cluster->query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$_'") for 'to be ended', 'in the way';
	$cluster->finish_psql($_) for $run, $blocker;
}
$cluster->query('UPDATE dicom.pipeline SET requested_at = NULL');
is($cluster->query("SELECT count(*) FROM dicom.runs WHERE pipeline = 'moved' AND status = 'interrupted'"), 3, 'and was interrupted, again and again');

set_clock($clock, 0);
chmod 0644, "$dir/provider/05.dcm", "$dir/moved/raw/11.dcm" or die;
chmod 0755, "$dir/moved/stage" or die;
$cluster->query("SELECT dicom.drop_check('moved_processed.studies', 'none at all')");
is($cluster->query("SELECT count(*) FROM dicom.runs WHERE status = 'running'"), 0, 'no run is taken for one that goes on');
is($cluster->query("SELECT pipeline FROM dicom.worker_due()"), 'moved', 'with the clock right the pipeline is due');
$cluster->query("ALTER SYSTEM SET dicom_fdw.databases = 'postgres'; SELECT pg_reload_conf()");
my $seen = sub { my ($images) = @_; return wait_until(sub { count_of('moved_processed.images WHERE pictures = 1') == $images }, 60) };
ok($seen->(12), 'the worker runs it, and everything is tried again')
	or diag($cluster->query("SELECT * FROM dicom.runs ORDER BY run DESC LIMIT 3") . "\n" . $cluster->query('SELECT * FROM dicom.failures WHERE resolved IS NULL'));
same_as_calm('ten years ahead and back');

# --- A worker that lives through a jump

sub polls { return $cluster->query("SELECT max(run) FROM dicom.runs WHERE pipeline = 'moved'") }
for my $jump (86400, -86400)
{
	my $before = polls();
	set_clock($clock, $jump);
	ok(wait_until(sub { polls() > $before + 2 }, 60), 'with the clock a day off the worker goes on: ' . $jump);
	set_clock($clock, 0);
	arrive(3);
	ok($seen->($files), 'and with the clock right again: ' . -$jump);
}

# --- Days that wait for quiet, files of the future

$cluster->query("SELECT dicom.alter_pipeline('moved', options => '{\"quiet_period\": \"1 hour\"}')");
set_clock($clock, $ten_years);
arrive(3);
utime time + 2 * $ten_years, time + 2 * $ten_years, map { sprintf "$dir/provider/%02d.dcm", $files - $_ } 1 .. 3;
my $before = polls();
ok(wait_until(sub { polls() > $before + 2 }, 60), 'the worker has looked');
is(count_of('moved_processed.images'), $files - 3, 'a day waits while its objects come');
set_clock($clock, 0);
ok($seen->($files), 'but no longer when the clock is set right');
$cluster->query("SELECT dicom.alter_pipeline('moved', options => '{\"quiet_period\": \"0\"}')");

# --- To and fro in the middle of runs

my $jumper = fork() // die "fork: $!\n";
while ($jumper == 0)
{
	set_clock($clock, (0, 3600, -3600, $ten_years, -$ten_years, 86400 * 2)[ rand 6 ]);
	sleep 0.03;
}
$cluster->query("SELECT dicom.pause('moved')");
wait_until(sub { count_of("dicom.runs WHERE status = 'running'") == 0 });
$cluster->query("SELECT dicom.resume('moved'); SELECT dicom.restate('moved', daterange('2020-01-01', '2020-01-31'))");
arrive(6);
$before = polls();
my ($out, $err, $code) = $cluster->psql("CALL dicom.run('moved', wait => true, force => true)");
is("$out$err$code", '0', 'a run whose clock jumps ends');
is($cluster->query("SELECT string_agg(DISTINCT status, ',') FROM dicom.runs WHERE run > $before AND status <> 'running'"), 'done', 'and is done');
kill 'KILL', $jumper;
waitpid $jumper, 0;
set_clock($clock, 0);
ok($seen->($files), 'with everything that there is to do');
$cluster->query("SELECT dicom.pause('moved')");
wait_until(sub { count_of("dicom.runs WHERE status = 'running'") == 0 });
same_as_calm('to and fro');
is(count_of("dicom.failures WHERE resolved IS NULL"), 0, 'nothing fails any more');
unlike($cluster->server_log, qr/terminated by signal|PANIC|TRAP/, 'no process died by itself');

done_testing();
