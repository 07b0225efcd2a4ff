# Promise: a day is refreshed when the pipeline's options say so: after enough changes (min_batch), when nothing of it has changed for a while
# (quiet_period), but no later than a certain age (max_age), or at once where asked (force, backfill, restate, retry_failed); what is asked for
# is done for the days asked for and for no other.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());
mkdir "$dir/raw" or die;

# Study and series are of the day; the name of a file has it too.
sub put
{
	my ($day, $image, %change) = @_;

	return write_image("$dir/raw/$day.$image", study => $day, series => $day, image => $image, day => "202001" . sprintf('%02d', $day), patient => "P$day", %change);
}

sub shown { return $cluster->query("SELECT coalesce(string_agg(n::text, ' ' ORDER BY day), '') FROM (SELECT source_day AS day, count(*) AS n FROM dicom_stage_private.images GROUP BY 1) x") }

sub stale { return $cluster->query("SELECT coalesce(string_agg(to_char(day, 'DD'), ' ' ORDER BY day), '') FROM dicom.days WHERE layer = 'dicom_stage' AND state = 'stale'") }

sub run { run_pipeline($cluster, 'hospital'); return shown() }

sub options
{
	my ($options) = @_;

	$cluster->query("SELECT dicom.alter_pipeline('hospital', '$options')");
	return;
}

# What became stale an hour ago, instead of waiting for an hour.
sub earlier
{
	my ($hours, $days) = @_;

	$cluster->query("UPDATE dicom.layer_day SET stale_since = stale_since - interval '$hours h', touched_at = touched_at - interval '$hours h' WHERE state = 'stale' AND day IN ($days)");
	return;
}

sub due { return $cluster->query('SELECT reason FROM dicom.due()') }

sub last_step
{
	my ($step, $columns) = @_;

	return $cluster->query("SELECT $columns FROM dicom.run_steps WHERE step = '$step' AND run = (SELECT max(run) FROM dicom.runs)");
}

put(1, $_) for 1, 2;
put(2, 3);
put(3, 4);
$cluster->query(<<"SQL");
CREATE EXTENSION dicom_fdw;
SELECT dicom.create_pipeline('hospital', raw => '$dir/raw', stage => '$dir/stage', poll_interval => '1 day');
SQL
is(run(), '2 1 1', 'without options a run refreshes all that there is');
is(due(), '', 'and nothing is due any more');

# --- min_batch: enough changes

options('{"min_batch": 3}');
put(1, 5);
is(run(), '2 1 1', 'min_batch: one new file waits');
is(stale(), '01', 'the day is shown as stale');
is(due(), '', 'and is not due');
put(2, 3, '00080060' => [ 'CS', 'MR' ]);
is(run(), '2 1 1', 'min_batch: a changed file more waits too');
unlink "$dir/raw/3.4";
$cluster->query("SELECT dicom.sync((SELECT raw FROM dicom.pipeline))");
is(due(), '', 'a file that went is in the catalog, and not known to the pipeline before the next run');
is(run(), '3 1', 'min_batch: with that there are three changes, and all days are refreshed');
is(stale(), '', 'none is stale');
put(1, 6);
run();
$cluster->query("CALL dicom.run('hospital', force => true)");
is(shown(), '4 1', 'force: days wait for no batch');

# --- max_age: not too long

options('{"min_batch": 100, "max_age": "3 hours"}');
put(1, 7);
is(run(), '4 1', 'max_age: what is new waits');
earlier(2, "'2020-01-01'");
is(run(), '4 1', 'max_age: while it is younger than that');
earlier(1, "'2020-01-01'");
is(due(), 'stale days', 'when it is older it is due');
is(run(), '5 1', 'and is refreshed');

# --- quiet_period: nothing has changed for a while

options('{"min_batch": 1, "max_age": null, "quiet_period": "3 hours"}');
put(1, 8);
put(2, 9);
is(run(), '5 1', 'quiet_period: days that have just changed wait');
is(stale(), '01 02', 'and are stale');
earlier(4, "'2020-01-01'");
is(due(), 'stale days', 'a day that has not changed for so long is due');
is(run(), '6 1', 'and is refreshed, no other');
earlier(2, "'2020-01-02'");
put(2, 10);
run();
earlier(2, "'2020-01-02'");
is(run(), '6 1', 'each change makes the day wait anew');
options('{"max_age": "4 hours"}');
is(run(), '6 3', 'but not longer than max_age');
put(2, 11);
run();
$cluster->query("UPDATE dicom.layer_day SET touched_at = touched_at + interval '1 year', stale_since = stale_since + interval '1 year' WHERE state = 'stale'");
is(run(), '6 4', 'a moment that lies ahead, of a clock that was wrong, makes no day wait');

# --- poll_interval: when to look

options('{"quiet_period": null, "max_age": null, "poll_interval": "2 hours"}');
run();
is(due(), '', 'poll_interval: a pipeline that was looked at is not due');
$cluster->query("UPDATE dicom.pipeline SET polled_at = polled_at - interval '3 hours'");
is(due(), 'poll', 'after a while it is');
run();
is(due(), '', 'until it was looked at');
$cluster->query("SELECT dicom.wake('hospital')");
is(due(), 'asked for', 'or somebody asks for it');
run();
my ($out, $err) = $cluster->psql(q{SELECT dicom.alter_pipeline('hospital', '{"min_batch": 0}')});
like($err, qr/ERROR:  22023.*HINT:  integer, how many/s, 'a value that an option cannot have is refused, with what it can');
($out, $err) = $cluster->psql(q{SELECT dicom.alter_pipeline('hospital', '{"quiet_time": "1 h"}')});
like($err, qr/ERROR:  22023.*HINT:  Valid options are: .*quiet_period/s, 'and so is an option that is none');

# --- backfill: computed anew

# What somebody has changed in the tables themselves.
sub damage
{
	$cluster->query("SET session_replication_role = replica; UPDATE dicom_stage_private.images SET rows = 99; DELETE FROM dicom_processed_private.images; UPDATE dicom_stage_private.patients SET patient_sex = 'X'");
	return;
}

my $right = pipeline_state($cluster, 'hospital');
damage();
isnt(difference($right, pipeline_state($cluster, 'hospital')), '', 'tables are changed by hand');
run();
isnt(difference($right, pipeline_state($cluster, 'hospital')), '', 'which a run does not see');
options('{"min_batch": 100, "quiet_period": "1 day"}');
is($cluster->query("SELECT dicom.backfill('hospital', '2020-01-02', '2020-01-31')"), '1', 'backfill: one day');
is(due(), 'asked for', 'it is due');
run();
is($cluster->query('SELECT source_day, min(rows), max(rows) FROM dicom_stage_private.images GROUP BY 1 ORDER BY 1'), "2020-01-01|99|99\n2020-01-02|2|2", 'is computed anew, and no other, whatever it would wait for');
is($cluster->query("SELECT dicom.backfill('hospital', '-infinity', 'infinity')"), '2', 'backfill: all');
run();
is(difference($right, pipeline_state($cluster, 'hospital')), '', 'then everything is as it was');
is(last_step('sync', 'inserted, updated, deleted'), '0|0|0', 'no file was read for it');

# --- restate: read anew

my @pictures = map { s/ .*//r } split /\n/, stage_files("$dir/stage");
my $files = stage_files("$dir/stage");
write_text("$dir/stage/$_", 'no picture') for @pictures;
damage();
is($cluster->query("SELECT dicom.restate('hospital', ARRAY['2020-01-02', '2020-07-07']::date[])"), '1', 'restate: of two days there is one');
run();
is(last_step('sync', 'inserted + updated'), '4', 'its files are read');
is($cluster->query("SELECT count(*) FROM dicom_stage_private.images WHERE rows = 2"), '4', 'its rows are computed');
my %right = map { $_ => 1 } split /\n/, $files;
is(scalar(grep { $right{$_} } split /\n/, stage_files("$dir/stage")), 4, 'its pictures are made');
is($cluster->query("SELECT dicom.restate('hospital', daterange('2020-01-01', '2020-02-01'))"), '2', 'restate: a range');
run();
is(difference("$right$files", pipeline_state($cluster, 'hospital') . stage_files("$dir/stage")), '', 'then everything is as it was');

# --- retry_failed: tried again

options('{"min_batch": null, "quiet_period": null}');
put(1, 12);
chmod 0, "$dir/raw/1.12";
run();
is($cluster->query("SELECT step, reason, count, next_attempt > now() FROM dicom.failures WHERE resolved IS NULL"), 'sync|unreachable|1|t', 'a file that cannot be read is tried again later');
chmod 0644, "$dir/raw/1.12";
run();
is(shown(), '6 4', 'not with the next run');
is($cluster->query("SELECT dicom.retry_failed('hospital')"), '1', 'retry_failed: one');
is(due(), 'asked for', 'it is due');
is(run(), '7 4', 'and is read');
is($cluster->query("SELECT count(*) FROM dicom.failures WHERE resolved IS NULL"), '0', 'nothing fails any more');
$cluster->query("SELECT dicom.add_check('dicom_stage.images', 'never', 'SELECT 1')");
put(2, 13);
is(run_pipeline($cluster, 'hospital', may_fail => 1), 'failed stage: check "never" of dicom_stage.images found 1 rows', 'a check stops a day');
$cluster->query("SELECT dicom.drop_check('dicom_stage.images', 'never')");
is(run(), '7 4', 'which is not tried again at once');
is($cluster->query("SELECT dicom.retry_failed('hospital')"), '1', 'retry_failed: one day');
is(run(), '7 5', 'it is refreshed');
is($cluster->query("SELECT dicom.retry_failed('hospital')"), '0', 'where nothing fails, nothing is to be tried again');

# --- Who asks for what is not there

for my $call ("backfill('nobody', '2020-01-01', '2020-01-02')", "restate('nobody', ARRAY['2020-01-01'::date])", "retry_failed('nobody')", "rotate_epoch('nobody')", "pause('nobody')", "alter_pipeline('nobody', '{}')")
{
	($out, $err) = $cluster->psql("SELECT dicom.$call");
	like($err, qr/ERROR:  42704: there is no pipeline "nobody"\nHINT:  You have: hospital\./, "$call says which pipelines there are");
}

done_testing();
