# Promise: whoever reads a day while it is refreshed a hundred times never waits 50 ms for a lock and never sees a mixed day; a refresh takes no
# lock on a layer that is stronger than that of a writer; while the key is rotated readers see all rows under the old pseudonyms or all under
# the new ones; two runs at once do the work once; a run that is cancelled keeps nobody from running; one that is paused ends.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());
my $images  = 24;
my $number  = 0;
mkdir "$dir/raw" or die;

# All images of one day have the same number: whoever sees two of them sees a mixed day.
sub renumber
{
	$number++;
	write_image("$dir/raw/$_", study => 1, series => 1 + $_ % 3, image => $_, day => '20200101', patient => 'P1', '00200012' => [ 'IS', $number ]) for 1 .. $images;
	return;
}

sub shown { return $cluster->query('SELECT string_agg(DISTINCT acquisition_number::text, \',\') FROM dicom_processed.images') }

# A session that looks again and again, until there is a table `stop`, at what a query gives; each of its statements ends its transaction. Gives
# how often it looked, and what it saw, each once.
sub start_reader
{
	my ($query) = @_;

	return $cluster->start_psql(<<"SQL");
SET lock_timeout = '50ms';
CREATE TEMPORARY TABLE seen (what text PRIMARY KEY);
DO \$\$
DECLARE
	now text;
	last text;
	looks bigint := 0;
BEGIN
	WHILE to_regclass('public.stop') IS NULL LOOP
		EXECUTE \$query\$ $query \$query\$ INTO now;
		now := coalesce(now, 'nothing');
		looks := looks + 1;
		IF now IS DISTINCT FROM last THEN
			INSERT INTO seen VALUES (now) ON CONFLICT DO NOTHING;
			last := now;
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.003);
	END LOOP;
	INSERT INTO seen VALUES ('looks ' || looks);
END
\$\$;
SELECT what FROM seen;
SQL
}

sub stop_readers
{
	my @readers = @_;

	$cluster->query('CREATE TABLE stop ()');
	my @seen = map { [ $cluster->finish_psql($_) ] } @readers;
	$cluster->query('DROP TABLE stop');
	for my $reader (@seen)
	{
		is($reader->[2], 0, 'a reader waits for no lock') or diag($reader->[1]);
	}
	return map { [ split /\n/, $_->[0] ] } @seen;
}

renumber();
$cluster->query(<<"SQL");
CREATE EXTENSION dicom_fdw;
SELECT dicom.create_pipeline('hospital', raw => '$dir/raw', stage => '$dir/stage');
CREATE SCHEMA mine;
SELECT dicom.create_layer('mine.daily', 'SELECT study_date, count(*) AS images, min(acquisition_number) AS least, max(acquisition_number) AS most FROM dicom_processed.images GROUP BY 1', ARRAY['study_date']);
SQL
run_pipeline($cluster, 'hospital');
is(shown(), '1', 'all images of a day have one number');

# --- A day that is refreshed again and again

my $rounds  = $ENV{DICOM_TEST_ROUNDS} // 100;
my $the_day = '(SELECT s.study_date FROM dicom_stage.studies s)';
my @readers = map { start_reader($_) }
	(map { "SELECT concat_ws(' ', count(*), min(acquisition_number), max(acquisition_number), sum(acquisition_number) - $images * min(acquisition_number)) FROM $_ WHERE study_date = $the_day" }
		qw(dicom_stage.images dicom_processed.images)),
	"SELECT concat_ws(' ', images, least, most, 0) FROM mine.daily WHERE study_date = $the_day";
my $refreshed = 0;
for (1 .. $rounds)
{
	renumber();
	run_pipeline($cluster, 'hospital');
	$refreshed++ if shown() eq $number;
}
is($refreshed, $rounds, 'each of many runs refreshes the day');
for my $seen (stop_readers(@readers))
{
	my ($looks) = map { /^looks (\d+)/ } @$seen;
	my @days = grep { !/^looks/ } @$seen;

	is(join(', ', grep { !/^$images (\d+) \1 0$/ } @days), '', 'and never sees a part of a day');
	cmp_ok(scalar @days, '>', $rounds / 4, "but does see the day change (looked $looks times)");
}

# --- What a refresh locks

# Somebody who holds this lock on all tables of layers is in the way of nobody but who wants it too, or a stronger one.
sub while_locked
{
	my ($what, $sql, $mode) = @_;
	my $holder = $cluster->start_psql(<<"SQL");
BEGIN;
DO \$\$
DECLARE
	tab regclass;
BEGIN
	FOR tab IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text IN ('dicom_stage_private', 'dicom_processed_private', 'mine_private') LOOP
		EXECUTE format('LOCK TABLE ONLY %s IN $mode MODE', tab);
	END LOOP;
END
\$\$;
SELECT pg_advisory_lock(7);
DO \$\$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 8) LOOP PERFORM pg_sleep(0.02); END LOOP; END \$\$;
COMMIT;
SQL

	ok(wait_until(sub { $cluster->query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7") eq '1' }), "$what: the tables are locked");
	my ($out, $err) = $cluster->psql("SET lock_timeout = '5s'; $sql");
	my $status = $cluster->query('SELECT concat_ws(\' \', status, error) FROM dicom.runs ORDER BY run DESC LIMIT 1');
	$cluster->query("SELECT pg_advisory_lock(8); DO \$\$ BEGIN WHILE EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7) LOOP PERFORM pg_sleep(0.02); END LOOP; END \$\$");
	$cluster->finish_psql($holder);
	return "$err$status";
}

renumber();
is(while_locked('refresh', "CALL dicom.run('hospital')", 'SHARE UPDATE EXCLUSIVE'), 'done', 'a refresh takes no lock on a layer beyond that of a writer');
is(shown(), $number, 'and has refreshed the day');
like(while_locked('analyze', "CALL dicom.run('hospital'); ANALYZE dicom_stage_private.images", 'SHARE UPDATE EXCLUSIVE'), qr/55P03/, 'one that did would have been found');

# --- A rotation of the key

my $old = $cluster->query('SELECT md5(string_agg(sop_instance_uid, \',\' ORDER BY sop_instance_uid COLLATE "C")) FROM dicom_stage.images');
@readers = map { start_reader($_) }
	(map { "SELECT count(*) || ' ' || md5(string_agg(sop_instance_uid, ',' ORDER BY sop_instance_uid COLLATE \"C\")) FROM $_" } qw(dicom_stage.images dicom_processed.images)),
	# Everything that belongs together, in one look.
	"SELECT concat_ws(' ', count(*), count(DISTINCT p.patient_key), count(DISTINCT c.key)) FROM dicom_processed.images i
		JOIN dicom_processed.series r USING (series_instance_uid) JOIN dicom_processed.studies t ON t.study_instance_uid = r.study_instance_uid
		JOIN dicom_processed.patients p ON p.patient_key = i.patient_key JOIN dicom_stage.patients sp ON sp.patient_key = p.patient_key
		JOIN dicom_stage.images si USING (sop_instance_uid) JOIN dicom_stage.compressed_images c USING (sop_instance_uid)
		JOIN mine.daily d ON d.study_date IS NOT DISTINCT FROM i.study_date";
is($cluster->query("SELECT dicom.rotate_epoch('hospital')"), '2', 'the rotation of the key begins');
is(while_locked('rotation', "CALL dicom.run('hospital')", 'SHARE UPDATE EXCLUSIVE'), 'done', 'it takes no lock beyond that of a writer either');
my $new = $cluster->query('SELECT md5(string_agg(sop_instance_uid, \',\' ORDER BY sop_instance_uid COLLATE "C")) FROM dicom_stage.images');
isnt($new, $old, 'there are other pseudonyms');
is($cluster->query("SELECT count(*) FROM dicom_stage_private.images WHERE deid_epoch = 1"), '0', 'and the old rows are gone');
my ($stage, $processed, $joined) = map { join ', ', sort grep { !/^looks/ } @$_ } stop_readers(@readers);
is($stage, join(', ', sort "$images $old", "$images $new"), 'meanwhile stage has the old rows or the new ones');
is($processed, join(', ', sort "$images $old", "$images $new"), 'so does processed');
is($joined, "$images 1 $images", 'and all that belongs together is there in each look');

# --- Two at once

my $last_run = $cluster->query('SELECT max(run) FROM dicom.runs');
renumber();
my @both = map { $cluster->start_psql("CALL dicom.run('hospital')") } 1 .. 2;
is_deeply([ map { ($cluster->finish_psql($_))[2] } @both ], [ 0, 0 ], 'two runs at once both end well');
is($cluster->query("SELECT count(*) FROM dicom.run_steps WHERE run > $last_run AND step = 'stage' AND done > 0"), '1', 'and one of them did the work');
is(shown(), $number, 'which is done');

# One that holds the lock: another says so and goes, or waits.
my $holder = $cluster->start_psql(<<'SQL');
SELECT dicom.lock_run('dicom.pipeline'::regclass, (SELECT id FROM dicom.pipeline), true);
CREATE TABLE locked ();
DO $$ BEGIN WHILE to_regclass('public.let_go') IS NULL LOOP PERFORM pg_sleep(0.02); COMMIT; END LOOP; END $$;
SELECT dicom.unlock_run();
SQL
wait_until(sub { $cluster->query("SELECT to_regclass('locked') IS NOT NULL") eq 't' });
my ($out, $err, $code) = $cluster->psql("CALL dicom.run('hospital')");
is($code, 0, 'a second run is no error');
like($err, qr/NOTICE:.*a run of pipeline "hospital" is in progress.*HINT:  See dicom\.runs/s, 'but says that there is another');
my $waiter = $cluster->start_psql("CALL dicom.run('hospital', wait => true); SELECT 'ran'");
ok(wait_until(sub { $cluster->query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") eq '1' }), 'one that is told to waits');
$cluster->query('CREATE TABLE let_go ()');
($out, $err, $code) = $cluster->finish_psql($waiter);
is("$out$err", 'ran', 'and runs then');
$cluster->finish_psql($holder);

# --- Cancelled

# Somebody else's lock holds the run up in the middle of a refresh; after the cancel its session lives on.
$cluster->query('DROP TABLE locked, let_go');
renumber();
my $blocker = $cluster->start_psql(<<'SQL');
BEGIN;
LOCK TABLE dicom_stage_private.images IN SHARE MODE;
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'lives on' AND pid <> pg_backend_pid()) LOOP PERFORM pg_stat_clear_snapshot(), pg_sleep(0.02); END LOOP; END $$;
SQL
my $session = $cluster->start_psql(<<'SQL', go_on => 1);
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'dicom_stage_private.images'::regclass AND mode = 'ShareLock') LOOP PERFORM pg_sleep(0.02); END LOOP; END $$;
CALL dicom.run('hospital');
DO $$ BEGIN /* lives on */ WHILE to_regclass('public.let_go') IS NULL LOOP PERFORM pg_sleep(0.02); COMMIT; END LOOP; END $$;
SQL
my $waiting = wait_until(sub { $cluster->query("SELECT pid FROM pg_locks WHERE relation = 'dicom_stage_private.images'::regclass AND NOT granted") });
ok($waiting, 'a run waits for a lock that somebody else holds');
$cluster->query("SELECT pg_cancel_backend($waiting)");
$cluster->finish_psql($blocker);
is($cluster->query('SELECT status FROM dicom.runs ORDER BY run DESC LIMIT 1'), 'interrupted', 'when it is cancelled it is shown as interrupted');
is(shown(), $number - 1, 'and has done nothing by halves');
($out, $err) = $cluster->psql("CALL dicom.run('hospital')");
is($err, '', 'though its session lives on, it keeps nobody from running');
is(shown(), $number, 'and the next run does what was left');
$cluster->query('CREATE TABLE let_go ()');
$cluster->finish_psql($session);

# --- Paused

$cluster->query("SELECT dicom.pause('hospital')");
renumber();
($out, $err) = $cluster->psql("CALL dicom.run('hospital')");
like($err, qr/NOTICE:.*pipeline "hospital" is paused.*HINT:.*resume/s, 'a paused pipeline does not run, and says so');
is($cluster->query('SELECT count(*) FROM dicom.due()'), '0', 'and is not due');
is(shown(), $number - 1, 'nothing changes');
$cluster->query("SELECT dicom.resume('hospital')");
run_pipeline($cluster, 'hospital');
is(shown(), $number, 'until it is resumed');

# In a transaction there is no committing.
($out, $err) = $cluster->psql("BEGIN; CALL dicom.run('hospital'); COMMIT");
like($err, qr/ERROR:  2D000/, 'a run cannot be part of a transaction');
run_pipeline($cluster, 'hospital');
is(shown(), $number, 'and leaves no lock behind where somebody tries');

done_testing();
