# Promise: the worker runs pipelines that are due, as their owners and in no other role, at most so many at a time; it outlives DROP
# and CREATE EXTENSION, DROP DATABASE, crashes and bad pipelines, follows its settings, and stops at once when the server does.
use strict;
use warnings;

use DicomTest;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = cluster(conf => <<'END');
shared_preload_libraries = 'dicom_fdw'
dicom_fdw.databases = 'one, two, "Not There"'
dicom_fdw.worker_naptime = 1
max_worker_processes = 16
log_line_prefix = '%b: '
END

# Instead of the real ones: what is due stands in a table, and a run does what is written there.
sub fake_pipelines
{
	my ($db) = @_;

	$cluster->query(<<'SQL', db => $db);
CREATE EXTENSION IF NOT EXISTS dicom_fdw;
DO $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'dicom'::regnamespace AND p.proname IN ('due', 'run')
	LOOP
		EXECUTE format('ALTER EXTENSION dicom_fdw DROP ROUTINE %s', f);
		EXECUTE format('DROP ROUTINE %s CASCADE', f);
	END LOOP;
END
$$;
CREATE TABLE IF NOT EXISTS job (name text PRIMARY KEY, owner regrole NOT NULL, due boolean NOT NULL DEFAULT true, action text NOT NULL DEFAULT 'SELECT 1');
CREATE TABLE IF NOT EXISTS note (name text, who name, session name, pid integer, began timestamptz, ended timestamptz);
GRANT ALL ON job, note TO PUBLIC;
CREATE FUNCTION dicom.due() RETURNS TABLE (pipeline text, owner oid, reason text) LANGUAGE sql AS 'SELECT name, owner::oid, ''poll'' FROM public.job WHERE due ORDER BY name';
CREATE PROCEDURE dicom.run(pipeline text, reason text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	it public.job;
BEGIN
	UPDATE public.job SET due = false WHERE name = pipeline RETURNING * INTO it;
	INSERT INTO public.note VALUES (pipeline, current_user, session_user, pg_backend_pid(), clock_timestamp());
	COMMIT;
	EXECUTE it.action;
	COMMIT;
	UPDATE public.note SET ended = clock_timestamp() WHERE pid = pg_backend_pid();
END
$$;
GRANT USAGE ON SCHEMA dicom TO PUBLIC;
SQL
	return;
}

sub job
{
	my ($db, $name, $owner, $action) = @_;

	$action =~ s/'/''/g;
	$cluster->query("INSERT INTO job VALUES ('$name', '$owner', true, '$action') ON CONFLICT (name) DO UPDATE SET due = true, owner = excluded.owner, action = excluded.action", db => $db);
	return;
}

# Waits for a run to be over; how many there were.
sub await
{
	my ($db, $name, $seconds) = @_;

	return wait_until(sub { $cluster->query("SELECT count(*) FROM note WHERE name = '$name' AND ended IS NOT NULL", db => $db) + 0 }, $seconds || 20);
}

sub running
{
	my ($db, $name) = @_;

	return wait_until(sub { $cluster->query("SELECT pid FROM note n WHERE name = '$name' AND ended IS NULL AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = n.pid AND wait_event = 'PgSleep') LIMIT 1", db => $db) });
}

sub launcher { return $cluster->query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'dicom_fdw launcher'") }

ok(wait_until(sub { launcher() }), 'the launcher runs');
unlike($cluster->server_log, qr/background worker "dicom_fdw launcher" .* exited/, 'from the beginning');
is($cluster->query("SELECT datname IS NULL FROM pg_stat_activity WHERE backend_type = 'dicom_fdw launcher'"), 't', 'in no database');

# --- A run: when it is due, as its owner

$cluster->query('CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE staff');
$cluster->query("CREATE DATABASE $_") for qw(one two);
fake_pipelines('one');
job('one', 'first', 'alice', 'SELECT 1');
ok(await('one', 'first'), 'a pipeline that is due is run, in a database that came after the server');
is($cluster->query('SELECT who, session FROM note', db => 'one'), 'alice|alice', 'as its owner and nobody else');
job('one', 'escape', 'bob', 'RESET ROLE; RESET SESSION AUTHORIZATION; INSERT INTO public.note VALUES (\'who\', current_user, session_user)');
ok(await('one', 'escape'), 'a run that would be somebody else');
is($cluster->query("SELECT who, session FROM note WHERE name = 'who'", db => 'one'), 'bob|bob', 'is its owner');
job('one', 'forbidden', 'bob', 'SELECT * FROM pg_authid');
ok(wait_until(sub { $cluster->server_log =~ /run of pipeline "forbidden" failed/ }), 'and has no more rights');
like($cluster->server_log, qr/SQLSTATE 42501: permission denied for table pg_authid/, 'which the log says');

job('one', 'seen', 'alice', 'SELECT pg_sleep(1.5)');
my $pid = running('one', 'seen');
is($cluster->query("SELECT backend_type, datname, usename, query FROM pg_stat_activity WHERE pid = $pid"),
	"dicom_fdw run|one|alice|CALL dicom.run('seen', reason => 'poll')", 'a run is seen in pg_stat_activity');
await('one', 'seen');

# --- Failures

job('one', 'quote', 'alice', q{DO $x$ BEGIN RAISE EXCEPTION 'invalid value "DOE^JOHN"' USING ERRCODE = '22007', DETAIL = 'SMITH^ANN', HINT = 'MEIER^EVA'; END $x$});
ok(wait_until(sub { $cluster->server_log =~ /run of pipeline "quote" failed/ }), 'a run that fails is logged');
like($cluster->server_log, qr/run of pipeline "quote" failed\n.*DETAIL:  SQLSTATE 22007\n/, 'with its SQLSTATE');
unlike($cluster->server_log =~ s/^.*statement: .*?(?=^\w[\w ]*: )//gmsr, qr/DOE\^JOHN|SMITH\^ANN|MEIER\^EVA/, 'and nothing that it held');

# One that never gets as far as to note that it ran is left alone for longer and longer.
$cluster->query("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''42501''; END'; CREATE TRIGGER no BEFORE UPDATE ON job FOR EACH ROW WHEN (OLD.name = 'broken') EXECUTE FUNCTION no()", db => 'one');
job('one', 'broken', 'alice', 'SELECT 1');
sleep 6;
my $tries = () = $cluster->server_log =~ /run of pipeline "broken" failed/g;
cmp_ok($tries, '>=', 1, 'a pipeline that fails before it has begun is tried');
cmp_ok($tries, '<=', 4, 'with growing patience');
job('one', 'beside', 'alice', 'SELECT 1');
ok(await('one', 'beside'), 'and does not keep others from being run');
$cluster->query("ALTER TABLE job DISABLE TRIGGER no; DELETE FROM job WHERE name = 'broken'", db => 'one');

SKIP:
{
	skip 'roles need not be allowed to log in', 1 if $cluster->query('SHOW server_version_num') >= 170000;
	job('one', 'group', 'staff', 'SELECT 1');
	ok(wait_until(sub { $cluster->server_log =~ /role "staff" is not permitted to log in/ }), 'a role that may not log in runs nothing, and the log says so');
	$cluster->query("DELETE FROM job WHERE name = 'group'", db => 'one');
}

# Nobody but a superuser may decide who a run is.
$cluster->query('ALTER FUNCTION dicom.due() OWNER TO bob', db => 'one');
job('one', 'trojan', 'postgres', 'SELECT 1');
ok(wait_until(sub { $cluster->server_log =~ /dicom\.due\(\) does not belong to a superuser/ }), 'functions that somebody may have changed are not believed');
is($cluster->query("SELECT count(*) FROM note WHERE name = 'trojan'", db => 'one'), 0, 'and nothing is run');
$cluster->query("DELETE FROM job WHERE name = 'trojan'; ALTER FUNCTION dicom.due() OWNER TO postgres", db => 'one');

# --- Waking

$cluster->query("ALTER SYSTEM SET dicom_fdw.worker_naptime = '1h'; SELECT pg_reload_conf()");
wait_until(sub { $cluster->query('SHOW dicom_fdw.worker_naptime') eq '1h' });
sleep 2.5;
job('one', 'woken', 'alice', 'SELECT 1');
sleep 2;
is($cluster->query("SELECT count(*) FROM note WHERE name = 'woken'", db => 'one'), 0, 'between two looks nothing happens');
is($cluster->query('SELECT dicom.wake_worker()', db => 'one'), 't', 'unless somebody wakes the worker');
ok(await('one', 'woken', 10), 'which then runs what is due');
$cluster->query("DELETE FROM note WHERE name = 'woken'", db => 'one');
job('one', 'woken', 'alice', 'SELECT 1');
$cluster->query("BEGIN; SELECT dicom.wake_worker(); ROLLBACK", db => 'one');
sleep 1;
is($cluster->query("SELECT count(*) FROM note WHERE name = 'woken'", db => 'one'), 0, 'a transaction that is rolled back wakes nobody');
$cluster->query("SELECT dicom.wake_worker()", db => 'one', user => 'bob');
ok(await('one', 'woken', 10), 'anybody may wake it: it runs what is due');
is($cluster->query("CREATE EXTENSION dicom_fdw; SELECT dicom.wake_worker()"), 'f', 'where no worker looks after the database, it is said so');

# A pipeline whose runs bring the server down
$cluster->query(<<'SQL');
INSERT INTO dicom.pipeline (name, owner, raw, stage, raw_schema, stage_schema, processed_schema, epoch) VALUES ('crasher', 'alice', 'r', 's', 'r', 's', 'p', 1);
INSERT INTO dicom.run_log (pipeline, status, step, reason, forced, pid, started_at, updated_at) VALUES ('crasher', 'interrupted', 'stage', 'poll', false, 1, now(), now());
SQL
my $due = 'SELECT (SELECT count(*) FROM dicom.due()), (SELECT count(*) FROM dicom.worker_due())';
my $interrupted = "INSERT INTO dicom.run_log (pipeline, status, step, reason, forced, pid, started_at, updated_at) VALUES ('crasher', 'running', 'stage', 'poll', false, 1, now() - interval '%s', now());";
is($cluster->query($due), '1|1', 'a run that was interrupted is begun anew');
is($cluster->query(sprintf "$interrupted $due", '1 s'), '1|0', 'after the second one in a row the worker waits');
is($cluster->query("UPDATE dicom.run_log SET started_at = now() - interval '40 s'; $due"), '1|1', 'a while');
is($cluster->query(sprintf("$interrupted $interrupted $due", '40 s', '40 s')), '1|0', 'and longer after more of them');
is($cluster->query("UPDATE dicom.pipeline SET requested_at = now(); $due"), '1|1', 'unless somebody asks for a run');
is($cluster->query("UPDATE dicom.pipeline SET requested_at = NULL; UPDATE dicom.run_log SET status = 'failed' WHERE id = (SELECT max(id) FROM dicom.run_log); $due"), '1|1', 'one that came to its end is none of them');
$cluster->query('DELETE FROM dicom.pipeline');
$cluster->query("ALTER SYSTEM RESET dicom_fdw.worker_naptime; SELECT pg_reload_conf()");
$cluster->query('SELECT dicom.wake_worker()', db => 'one');

# --- Several, but not too many

my $most = 0;
fake_pipelines('two');
job('one', "many$_", 'alice', 'SELECT pg_sleep(1)') for 1 .. 3;
job('two', "many$_", 'bob', 'SELECT pg_sleep(1)') for 1 .. 3;
ok(wait_until(sub {
	my $now = $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom_fdw run'");
	$most = $now if $now > $most;
	return 6 == $cluster->query("SELECT count(*) FROM note WHERE name LIKE 'many%' AND ended IS NOT NULL", db => 'one')
		+ $cluster->query("SELECT count(*) FROM note WHERE name LIKE 'many%' AND ended IS NOT NULL", db => 'two');
}), 'all pipelines of all databases are run');
is($most, 2, 'two at a time, as dicom_fdw.max_runs says');
$cluster->query("ALTER SYSTEM SET dicom_fdw.max_runs = 3; SELECT pg_reload_conf()");
sleep 1.2;
job('one', "more$_", 'alice', 'SELECT pg_sleep(3)') for 1 .. 4;
ok(wait_until(sub { 3 == $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom_fdw run'") }, 10), 'or three, from now on');
wait_until(sub { 4 == $cluster->query("SELECT count(*) FROM note WHERE name LIKE 'more%' AND ended IS NOT NULL", db => 'one') });
job('one', 'once', 'alice', 'SELECT pg_sleep(4)');
running('one', 'once');
$cluster->query("UPDATE job SET due = true, action = 'SELECT 1' WHERE name = 'once'", db => 'one');
sleep 1.5;
is($cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom_fdw run'"), 1, 'a pipeline that runs is not run once more, due or not');
ok(wait_until(sub { 2 == $cluster->query("SELECT count(*) FROM note WHERE name = 'once' AND ended IS NOT NULL", db => 'one') }), 'but afterwards');

# --- DROP EXTENSION, DROP DATABASE

$cluster->query('DROP EXTENSION dicom_fdw CASCADE; DROP SCHEMA IF EXISTS dicom CASCADE; CREATE TABLE kept ()', db => 'two');
sleep 2;
fake_pipelines('two');
job('two', 'again', 'bob', 'SELECT 1');
ok(await('two', 'again'), 'a database whose extension was dropped and created is looked after');
sleep 1.5;
my ($out, $err) = $cluster->psql('DROP DATABASE two');
is($err, '', 'the worker is not in the way of DROP DATABASE');
sleep 2;
$cluster->query('CREATE DATABASE two');
fake_pipelines('two');
job('two', 'anew', 'bob', 'SELECT pg_sleep(600)');
ok(running('two', 'anew'), 'a database that comes back is looked after');
($out, $err) = $cluster->psql('DROP DATABASE two WITH (FORCE)');
is($err, '', 'DROP DATABASE WITH (FORCE) ends a run');
job('one', 'after', 'alice', 'SELECT 1');
ok(await('one', 'after'), 'and others go on');
$cluster->query('CREATE DATABASE two');
fake_pipelines('two');

# --- Settings

$cluster->query("ALTER SYSTEM SET dicom_fdw.databases = 'one'; SELECT pg_reload_conf()");
sleep 1.5;
job('two', 'unlisted', 'bob', 'SELECT 1');
sleep 2.5;
is($cluster->query('SELECT count(*) FROM note', db => 'two'), 0, 'a database that is not listed any more is left alone');
$cluster->query("ALTER SYSTEM SET dicom_fdw.databases = 'two, one'; SELECT pg_reload_conf()");
ok(await('two', 'unlisted'), 'until it is listed');
($out, $err) = $cluster->psql("ALTER SYSTEM SET dicom_fdw.databases = 'one,,'");
like($err, qr/22023/, 'a list that makes no sense is refused');

# --- Ends

$pid = launcher();
$cluster->query("SELECT pg_terminate_backend($pid)");
ok(wait_until(sub { my $now = launcher(); $now && $now != $pid }, 30), 'a launcher that was terminated comes back');
job('one', 'later', 'alice', 'SELECT 1');
ok(await('one', 'later'), 'and goes on');

job('one', 'killed', 'alice', 'SELECT pg_sleep(600)');
my $victim = running('one', 'killed');
$cluster->query("UPDATE job SET action = 'SELECT 1', due = true WHERE name = 'killed'", db => 'one');
kill 'KILL', $victim;
wait_until(sub { ($cluster->psql('SELECT 1'))[0] eq '1' });
ok(await('one', 'killed', 30), 'after kill -9 of a run, and the restart that follows, what is due is run');
ok(launcher(), 'the launcher is back');

job('one', 'terminated', 'alice', 'SELECT pg_sleep(600)');
$victim = running('one', 'terminated');
$cluster->query("SELECT pg_cancel_backend($victim)");
ok(wait_until(sub { $cluster->server_log =~ /run of pipeline "terminated" failed\n.*SQLSTATE 57014/ }), 'a run can be cancelled');

# A server that never answers, in the middle of a run
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die;
my $endpoint = 'http://127.0.0.1:' . $listener->sockport;
$cluster->query(<<"END", db => 'one');
CREATE SERVER silent FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://silent/', endpoint '$endpoint', request_timeout '10min');
CREATE USER MAPPING FOR PUBLIC SERVER silent OPTIONS (access_key_id 'x', secret_access_key 'y');
GRANT USAGE ON FOREIGN SERVER silent TO alice;
END
job('one', 'syncing', 'alice', "SELECT dicom.sync('silent')");
job('one', 'copying', 'alice', "SELECT dicom.copy_batch('silent', 'silent2')" =~ s/silent2/other/r);
$cluster->query(<<"END", db => 'one');
CREATE SERVER other FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://other/', endpoint '$endpoint', request_timeout '10min');
CREATE USER MAPPING FOR PUBLIC SERVER other OPTIONS (access_key_id 'x', secret_access_key 'y');
GRANT USAGE ON FOREIGN SERVER other TO alice;
UPDATE job SET due = true WHERE name = 'copying';
END
ok(wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom_fdw run' AND query ~ 'syncing|copying'") == 2
	&& $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom sync'") == 1 }), 'two runs wait for a store that is silent');
sleep 0.5;
my $begin = time;
$cluster->stop('fast');
my $took = time - $begin;
cmp_ok($took, '<', 60, 'the server stops all the same');
diag(sprintf 'measured: stop with two runs under way: %.1f s', $took);
unlike($cluster->server_log, qr/terminated by signal (?!9\b)|PANIC|TRAP/, 'no process died by itself');

# --- Too few processes

my $small = cluster(conf => "shared_preload_libraries = 'dicom_fdw'\ndicom_fdw.databases = 'postgres'\ndicom_fdw.worker_naptime = 1\nmax_worker_processes = 2\n");
# The launcher and that of logical replication share what there is.
ok(wait_until(sub { $small->server_log =~ /no background worker is free to look after pipelines\n.*HINT:.*max_worker_processes/ }, 15),
	'where no process can be had, the log says what to do');

done_testing();
