# Promise: after dicom.sync() the catalog is equal to what is in the store; nothing is opened that has not changed; every day that
# anything touched is stale; an empty or broken listing removes nothing; what cannot be read is kept with its reason.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = cluster(conf => "max_worker_processes = 8\n");
my $dir = work_dir();
my $files = "$dir/files";
make_files('--count', 200, '--size', 8, '--days', 4, '--layout', 'flat', $files);
$cluster->make_server('disk', undef, "file://$files/");

sub sync
{
	my ($arguments, %options) = @_;

	return $cluster->query("SELECT listed, new, changed, vanished, failed FROM dicom.sync($arguments)", %options);
}

sub stale
{
	return $cluster->query('WITH gone AS (DELETE FROM dicom.stale_day RETURNING day) SELECT string_agg(day::text, \',\' ORDER BY day) FROM gone');
}

# The catalog against what the files themselves say.
sub equals
{
	my ($server, $promise) = @_;
	my $columns = 'key, size, etag, storage_class, study_date, study_instance_uid, series_instance_uid, sop_instance_uid,'
		. ' sop_class_uid, transfer_syntax_uid, modality, patient_id, issuer_of_patient_id';

	$cluster->query(<<"END");
DROP FOREIGN TABLE IF EXISTS whole_$server;
CREATE FOREIGN TABLE whole_$server (key text COLLATE "C", size bigint, etag text, last_modified timestamptz, storage_class text,
	study_date date, study_instance_uid text, series_instance_uid text, sop_instance_uid text, sop_class_uid text,
	transfer_syntax_uid text, modality text, patient_id text, issuer_of_patient_id text, error text)
	SERVER $server OPTIONS (entity 'files');
CREATE TEMP TABLE live AS SELECT $columns, date_trunc('second', last_modified) AS last_modified, error FROM whole_$server;
CREATE TEMP TABLE kept AS SELECT $columns, date_trunc('second', last_modified) AS last_modified, error FROM dicom.object
	WHERE server = (SELECT oid FROM pg_foreign_server WHERE srvname = '$server');
UPDATE live SET study_date = '-infinity' WHERE study_date IS NULL;
CREATE TABLE IF NOT EXISTS difference (side text, key text);
TRUNCATE difference;
INSERT INTO difference SELECT 'live', key FROM (TABLE live EXCEPT ALL TABLE kept) l;
INSERT INTO difference SELECT 'kept', key FROM (TABLE kept EXCEPT ALL TABLE live) k;
END
	is($cluster->query("SELECT coalesce(string_agg(side || ' ' || key, ',' ORDER BY key), '') FROM (TABLE difference LIMIT 10) d"), '', $promise);
	return;
}

# --- A directory

is(sync("'disk'"), '200|200|0|0|0', 'the first sync finds all files new');
equals('disk', 'and the catalog says what they hold');
is(stale(), '2021-08-04,2021-08-05,2021-08-06,2021-08-07', 'their days are stale');
is($cluster->query("SELECT count(*), bool_and(state = 'ok' AND failures = 0 AND header IS NOT NULL AND NOT values_cut AND first_seen = synced_at) FROM dicom.object"),
	'200|t', 'every row is complete');
is($cluster->query("SELECT listed, requests FROM dicom.sync('disk')") =~ s/\|.*//r, 200, 'a second one');
is($cluster->query("SELECT opened, written FROM dicom.sync_state"), '0|0', 'opens and writes nothing');
is(stale(), '', 'and no day is stale');
equals('disk', 'and changes nothing');

write_text("$files/000007.dcm", read_text("$files/000007.dcm"));
utime time - 100, time - 100, "$files/000007.dcm";
is(sync("'disk'"), '200|0|1|0|0', 'a file that was touched is found');
is($cluster->query('SELECT opened, written FROM dicom.sync_state'), '1|1', 'and is the only one to be opened');
is(stale(), '2021-08-04', 'its day is stale');

# Files of one study, and a day of their own.
sub write_study
{
	my ($name, $uid, $day, @more) = @_;

	return write_dicom("$files/$name", element('00080018', 'UI', "1.2.3.$name" =~ s/\D+/./gr . '1'), element('00080020', 'DA', $day),
		element('00080060', 'CS', 'MR'), element('00100020', 'LO', 'P1'), element('0020000D', 'UI', $uid), @more);
}
write_study('x1.dcm', '1.2.99', '20220101');
write_study('x2.dcm', '1.2.99', '20220101');
is(sync("'disk'"), '202|2|0|0|0', 'new files are found');
is(stale(), '2022-01-01', 'their day is stale');
write_study('x2.dcm', '1.2.99', '20220202', element('00204000', 'LT', 'moved'));
is(sync("'disk'"), '202|0|1|0|0', 'a file with another study date is changed');
is(stale(), '2022-01-01,2022-02-02', 'the day before and the day after are stale');
rename "$files/x1.dcm", "$files/y1.dcm";
is(sync("'disk'"), '202|1|0|1|0', 'a file that was moved is a new one and one that vanished');
is(stale(), '2022-01-01', 'its day is stale');
unlink "$files/y1.dcm", "$files/x2.dcm";
is(sync("'disk'"), '200|0|0|2|0', 'files that were removed have vanished');
is(stale(), '2022-01-01,2022-02-02', 'their days are stale');
write_study('odd.dcm', '1.2.98', '20220231');
is(sync("'disk'"), '201|1|0|0|0', 'a file with an impossible date is kept');
is(stale(), '-infinity', 'as one of the unknown day');
unlink "$files/odd.dcm";
sync("'disk'");
stale();

# Prefixes
write_study('x3.dcm', '1.2.97', '20220103');
is(sync("'disk', '0000'"), '100|0|0|0|0', 'a prefix bounds what is compared');
is(sync("'disk', 'x'"), '1|1|0|0|0', 'so a new file is found by its own prefix');
unlink "$files/x3.dcm";
is(sync("'disk', '0001'"), '100|0|0|0|0', 'and one that vanished is not by another');
is(sync("'disk', 'x', true"), '0|0|0|1|0', 'but by its own');
stale();

# Bad files
write_text("$files/bad1.dcm", 'this is no DICOM file at all, whatever its name says');
my $whole = read_text("$files/000003.dcm");
write_text("$files/bad2.dcm", substr $whole, 0, 900);
is(sync("'disk'"), '202|2|0|0|2', 'files that cannot be read are counted');
is($cluster->query("SELECT string_agg(concat_ws(' ', key, state, failures, error_code, error <> '', header IS NOT NULL, next_attempt), ',' ORDER BY key) FROM dicom.object WHERE key LIKE 'bad%'"),
	'bad1.dcm damaged 1 22P03 t f,bad2.dcm damaged 1 22P03 t t', 'and kept with their reason');
is(sync("'disk'"), '202|0|0|0|0', 'they are not read again while they stay the same');
write_text("$files/bad2.dcm", substr $whole, 0, 950);
is(sync("'disk'"), '202|0|1|0|1', 'but when they change');
is($cluster->query("SELECT failures FROM dicom.object WHERE key = 'bad2.dcm'"), 2, 'failures are counted');
write_text("$files/bad2.dcm", $whole);
is(sync("'disk'"), '202|0|1|0|0', 'one that was repaired');
is($cluster->query("SELECT state, failures, error IS NULL FROM dicom.object WHERE key = 'bad2.dcm'"), 'ok|0|t', 'is in order again');
write_study('long.dcm', '1.2.96', '20220104', element('0020000E', 'UI', '1' x 600));
sync("'disk'");
is($cluster->query("SELECT values_cut, series_instance_uid IS NULL, study_date FROM dicom.object WHERE key = 'long.dcm'"), 't|t|2022-01-04',
	'a value too long for an index is left out, and that is said');
unlink "$files/long.dcm", "$files/bad1.dcm", "$files/bad2.dcm";
sync("'disk'");
equals('disk', 'after all of this the catalog is equal to the directory');
stale();

# --- An empty listing

rename $files, "$files.away";
my ($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('disk')");
like($err, qr/ERROR:  (?!XX)\w{5}/, 'a directory that is gone is an error');
mkdir $files;
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('disk')");
like($err, qr/55000.*nothing is listed.*200.*HINT:.*allow_empty/s, 'an empty one too, with a hint');
is($cluster->query('SELECT count(*) FROM dicom.object'), 200, 'nothing is removed');
is($cluster->query("SELECT phase, error LIKE 'nothing is listed%' FROM dicom.sync_progress"), 'failed|t', 'and dicom.sync_progress says why');
is(sync("'disk', allow_empty => true"), '0|0|0|200|0', 'unless that is confirmed');
is(stale(), '2021-08-04,2021-08-05,2021-08-06,2021-08-07', 'then all days are stale');
is(sync("'disk'"), '0|0|0|0|0', 'an empty directory and an empty catalog are equal');
rmdir $files;
rename "$files.away", $files;
sync("'disk'");
stale();

# --- Who may

$cluster->query('CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carol LOGIN; CREATE ROLE nobody NOLOGIN; GRANT nobody TO carol; GRANT USAGE ON FOREIGN SERVER disk TO alice, nobody; GRANT USAGE ON SCHEMA dicom TO PUBLIC');
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('disk')", user => 'bob');
like($err, qr/42501.*disk/, 'a role without USAGE may not sync');
is(sync("'disk'", user => 'alice'), '200|0|0|0|0', 'a role with it may');
is($cluster->query("SET ROLE nobody; SELECT listed FROM dicom.sync('disk')", user => 'carol'), 200, 'also one that cannot log in');
for my $table (qw(object stale_day sync_state))
{
	($out, $err) = $cluster->psql("SELECT * FROM dicom.$table", user => 'alice');
	like($err, qr/42501/, "but nobody reads dicom.$table unless it is granted");
}
is($cluster->query('SELECT count(*) FROM dicom.sync_progress', user => 'alice'), 1, 'progress is for those who may use the server');
is($cluster->query('SELECT count(*) FROM dicom.sync_progress', user => 'bob'), 0, 'and nobody else');
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('nowhere')");
like($err, qr/42704/, 'a server that is not there');
($out, $err) = $cluster->psql("BEGIN READ ONLY; SELECT * FROM dicom.sync('disk')");
like($err, qr/25006/, 'not in a read-only transaction');
($out, $err) = $cluster->psql("BEGIN; CREATE SERVER fresh FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$files/'); SELECT * FROM dicom.sync('fresh')");
like($err, qr/42704.*HINT:.*[Cc]ommit/s, 'nor of a server that is not committed');

# --- A server that is dropped

$cluster->query("CREATE SERVER other FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$files/')");
sync("'other'");
is($cluster->query('SELECT count(DISTINCT server), count(*) FROM dicom.object'), '2|400', 'two servers have rows of their own');
$cluster->query('DROP SERVER other');
is($cluster->query('SELECT (SELECT count(*) FROM dicom.object), (SELECT count(DISTINCT server) FROM dicom.stale_day), (SELECT count(*) FROM dicom.sync_state)'),
	'200|0|1', 'a dropped server leaves nothing');

# --- S3

my $s3 = s3_server();
if (!$s3)
{
	diag('skip: no radosgw here');
	done_testing();
	exit;
}
my $many = "$dir/many";
make_files('--count', 1500, '--size', 8, '--days', 5, '--layout', 'days', $many);
put_directory($s3, 'sync', $many);
my $proxy = fault_proxy($s3);
$cluster->make_server('scans', $proxy->server, 's3://sync/', request_timeout => '2s', max_retries => 2);

# A listing that fails half-way
$proxy->set('status continuation-token 500 0 InternalError');
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('scans')");
like($err, qr/ERROR:  (?!XX)\w{5}/, 'a listing that fails half-way is an error');
my $kept = $cluster->query("SELECT count(*) FROM dicom.object WHERE key LIKE 'inbox/%'");
cmp_ok($kept, '>', 0, 'what was read before is kept');
$proxy->set('');
is(sync("'scans'"), '1500|' . (1500 - $kept) . '|0|0|0', 'and the next sync goes on from there');
equals('scans', 'until the catalog is equal to the bucket');
stale();
$proxy->forget;
is(sync("'scans'"), '1500|0|0|0|0', 'a second sync');
is(scalar(grep { $_->{is_read} } $proxy->requests), 0, 'reads nothing');
$proxy->set('status continuation-token 500 0 InternalError');
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('scans')");
is($cluster->query("SELECT count(*) FROM dicom.object WHERE key LIKE 'inbox/%'"), 1500, 'a listing that fails half-way removes nothing');
is(stale(), '', 'and makes no day stale');
$proxy->set('garble list-type');
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('scans')");
like($err, qr/ERROR:  (?!XX)\w{5}/, 'nor does one that is garbled');
$proxy->set('truncate continuation-token 3000');
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('scans')");
is($cluster->query("SELECT count(*) FROM dicom.object WHERE key LIKE 'inbox/%'"), 1500, 'or cut short');
$proxy->set('');

# Unreachable is not corrupt
my ($one, $two) = split /\n/, $cluster->query("SELECT key FROM dicom.object WHERE key LIKE 'inbox/%' ORDER BY key LIMIT 2 OFFSET 700");
$s3->request('PUT', "/sync/$one", body => read_text("$many/$two"));
$s3->request('PUT', "/sync/inbox/zzz.dcm", body => read_text("$many/$two"));
$proxy->set("status $one 500 0 InternalError", "status zzz.dcm 500 0 InternalError");
is(sync("'scans'"), '1501|0|0|0|2', 'objects that cannot be had are counted as failed');
is($cluster->query("SELECT state, failures, error_code, next_attempt > now() + interval '50 s', header IS NOT NULL, etag <> '' FROM dicom.object WHERE key IN ('$one', 'inbox/zzz.dcm') ORDER BY key"),
	"failed|1|58030|t|t|t\nfailed|1|58030|t|f|f", 'with their reason, and what is known of an earlier version');
$proxy->set('');
is(sync("'scans'"), '1501|0|0|0|0', 'they are left in peace for a while');
$cluster->query("UPDATE dicom.object SET next_attempt = now() WHERE state = 'failed'");
is(sync("'scans'"), '1501|1|1|0|0', 'and tried again then');
equals('scans', 'with success');
is($cluster->query("SELECT count(*) FROM dicom.object WHERE state <> 'ok' OR failures > 0 OR next_attempt IS NOT NULL"), 0, 'which clears what was noted');
stale();
$proxy->set('status .dcm 500 0 InternalError');
$cluster->query("UPDATE dicom.object SET etag = 'x' WHERE key LIKE 'inbox/%'");
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('scans')");
like($err, qr/58030/, 'a store that gives nothing at all is an error');
cmp_ok($cluster->query("SELECT count(*) FROM dicom.object WHERE state = 'failed'"), '<', 200, 'and not that of each object');
$proxy->set('');
$cluster->query("UPDATE dicom.object SET next_attempt = now() WHERE state = 'failed'");
is(sync("'scans'"), '1501|0|1501|0|0', 'it is read when it can be');
stale();

# --- One at a time; progress; cancel

sub start_slow_sync
{
	my ($more, $latency) = @_;

	$proxy->set('latency ' . ($latency // 20));
	$cluster->query("DELETE FROM dicom.object WHERE key LIKE 'inbox/%'");
	my $session = $cluster->start_psql("SELECT listed, failed FROM dicom.sync('scans'" . ($more // '') . ")", go_on => 1);
	wait_until(sub { $cluster->query("SELECT opened FROM dicom.sync_progress WHERE server = 'scans' AND phase = 'comparing'") > 0 });
	return $session;
}

my $session = start_slow_sync();
my ($phase, $opened, $pid) = split /\|/, $cluster->query("SELECT phase, opened, pid FROM dicom.sync_progress WHERE server = 'scans'");
is($phase, 'comparing', 'progress is visible while it runs');
cmp_ok($opened, '<', 1501, 'as it grows');
is($cluster->query("SELECT backend_type, query LIKE '%dicom.sync(''scans'')%' FROM pg_stat_activity WHERE pid = $pid"), 'dicom sync|t', 'also in pg_stat_activity');
($out, $err) = $cluster->psql("SELECT * FROM dicom.sync('scans')");
like($err, qr/55P03.*being synced already.*HINT:.*sync_progress/s, 'a second sync of the server is refused');
is(sync("'disk'"), '200|0|0|0|0', 'one of another server is not');
my $waiting = $cluster->start_psql("SELECT listed, new FROM dicom.sync('scans', wait => true)");
is(($cluster->finish_psql($session))[0], '1501|0', 'the first one ends well');
is(($cluster->finish_psql($waiting))[0], '1501|0', 'and then one that was told to wait');
is($cluster->query("SELECT phase FROM dicom.sync_progress WHERE server = 'scans'"), 'done', 'it is done');

$session = start_slow_sync('', 1000);
my $caller = $cluster->query("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT listed, failed FROM dicom.sync%' AND backend_type = 'client backend' AND pid <> pg_backend_pid()");
my $begin = time;
$cluster->query("SELECT pg_cancel_backend($caller)");
($out, $err) = $cluster->finish_psql($session);
cmp_ok(time - $begin, '<', 10, 'a cancel ends the session');
like($err, qr/57014/, 'and says so');
ok(wait_until(sub { !$cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom sync'") }, 10), 'its worker too');
is($cluster->query("SELECT phase FROM dicom.sync_progress WHERE server = 'scans'"), 'interrupted', 'which progress tells');
$proxy->set('');
sync("'scans'");
equals('scans', 'the next sync goes on');

$session = start_slow_sync('', 1000);
$caller = $cluster->query("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT listed, failed FROM dicom.sync%' AND backend_type = 'client backend' AND pid <> pg_backend_pid()");
$cluster->query("SELECT pg_terminate_backend($caller)");
($out, $err) = $cluster->finish_psql($session);
ok(wait_until(sub { !$cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom sync'") }, 10), 'a session that is terminated takes its worker with it');

$session = start_slow_sync();
$pid = $cluster->query("SELECT pid FROM dicom.sync_progress WHERE server = 'scans'");
$cluster->query("SELECT pg_terminate_backend($pid)");
($out, $err) = $cluster->finish_psql($session);
like($err, qr/57000.*HINT/s, 'a worker that is terminated is an error of the session');

# --- kill -9: ten times of the worker, ten times of the session that waits for it, at any point

my $log_before = length $cluster->server_log;
my %killed = (worker => 0, session => 0);
for my $round (1 .. 20)
{
	my $who = $round % 2 ? 'worker' : 'session';

	$session = start_slow_sync('', 60);
	sleep rand 0.8;
	$pid = $who eq 'worker' ? $cluster->sync_worker
		: eval { $cluster->query("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT listed, failed FROM dicom.sync%' AND backend_type = 'client backend' AND pid <> pg_backend_pid()") };
	$killed{$who} += kill 'KILL', $pid if $pid;
	$cluster->finish_psql($session);
	wait_until(sub { ($cluster->psql('SELECT 1'))[0] eq '1' }) or die "the server does not come back\n";
	my $doubled = $cluster->query('SELECT count(*) FROM (SELECT server, key FROM dicom.object GROUP BY 1, 2 HAVING count(*) > 1) d');
	die "round $round: $doubled keys are doubled\n" if $doubled;
}
cmp_ok($killed{$_}, '>=', 8, "kill -9 met the $_ in the middle, mostly") for sort keys %killed;
$proxy->set('');
is((split /\|/, sync("'scans'"))[0], 1501, 'after kill -9 of workers and sessions a sync goes on');
equals('scans', 'and the catalog is equal to the bucket, nothing doubled');
my $log = substr $cluster->server_log, $log_before;
my $crashes = () = $log =~ /terminated by signal 9/g;
my $restarts = () = $log =~ /all server processes terminated; reinitializing/g;
is($crashes, $killed{worker} + $killed{session}, 'no process died but those');
cmp_ok($restarts, '<=', $crashes, 'the server restarted once for each at most');
unlike($log, qr/terminated by signal (?!9\b)|PANIC|TRAP/, 'and nothing died by itself');
is($cluster->query("SELECT count(*) FROM (SELECT key FROM dicom.object GROUP BY server, key HAVING count(*) > 1) d"), 0, 'the primary key holds');

# --- Nothing of a patient is logged

unlike($cluster->server_log =~ s/^.*statement: .*$//mgr, qr/P000001|Abel\^|Baker\^/, 'the log holds no value of a patient');

# --- Without a worker to be had

my $small = cluster(conf => "max_worker_processes = 0\n");
$small->make_server('disk', undef, "file://$files/");
($out, $err) = $small->psql("SELECT * FROM dicom.sync('disk')");
like($err, qr/53400.*HINT:.*max_worker_processes/s, 'where no worker is free, the hint says what to do');

done_testing();
