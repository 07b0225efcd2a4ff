# Promise: an export is seen whole or not at all, whatever happens to the backend that makes it; what it left behind is removed when asked;
# a broken Parquet file is an error that says so; who may not write, does not.
use strict;
use warnings;

use DicomTest;
use Test::More;
use Time::HiRes qw(sleep);

my $cluster = cluster(conf => "timezone = 'UTC'\n");
my $dir     = work_dir();
mkdir "$dir/lake" or die;
chmod 0777, "$dir/lake";
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
CREATE SERVER disk FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/lake/');
CREATE TABLE t AS SELECT i, md5(i::text) || md5((i + 1)::text) AS noise FROM generate_series(1, 300000) i;
END

sub check_whole
{
	my ($server, $key, $promise) = @_;

	is($cluster->query("SELECT count(*), sum(i) FROM dicom.read_parquet('$server', '$key') AS r(i int, noise text)"), '300000|45000150000', $promise);
	return;
}

# Starts an export, kills its backend after a while, and says whether the object is there.
sub killed_export
{
	my ($server, $key, $after) = @_;
	my $session = $cluster->start_psql(<<"END", go_on => 1);
SET application_name = 'exporter';
SELECT dicom.export_parquet('SELECT * FROM t', '$server', '$key', '{"overwrite": true, "row_group_rows": 50000, "compression": "none"}');
END
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'exporter' AND query LIKE 'SELECT dicom.export%' AND state = 'active'") }, 10);
	sleep $after;
	kill 'KILL', $pid if $pid;
	$cluster->finish_psql($session);
	wait_until(sub { ($cluster->psql('SELECT 1'))[2] == 0 }, 60);
	return;
}

# --- a directory

ok(($cluster->psql("SELECT dicom.export_parquet('SELECT * FROM t', 'disk', 'whole.parquet')"))[2] == 0, 'an export into a directory');
check_whole('disk', 'whole.parquet', 'holds all rows');
like(($cluster->psql("SELECT dicom.export_parquet('SELECT 1 AS i', 'disk', 'whole.parquet')"))[1], qr/^ERROR:  42P58|ERROR:  58P02/, 'is not replaced unasked');
like(($cluster->psql("SELECT dicom.export_parquet('SELECT 1/(i-1000) AS i FROM t', 'disk', 'broken.parquet')"))[1], qr/22012/, 'a query that fails');
ok(!-e "$dir/lake/broken.parquet", 'leaves nothing');
is(join(' ', sort map { s{.*/}{}r } glob "$dir/lake/* $dir/lake/.dicom*"), 'whole.parquet', 'under no name');

killed_export('disk', 'killed.parquet', rand 0.15) for 1 .. 5;
SKIP:
{
	skip 'none was quick enough', 1 unless -e "$dir/lake/killed.parquet";
	check_whole('disk', 'killed.parquet', 'what is there after kill -9 is whole');
}

# --- threads

my $threads_seen = "SELECT i, CASE WHEN i % 1000 = 0 THEN (SELECT count(*) FROM pg_ls_dir(''/proc/self/task'' || left(t.i::text, 0))) END AS threads FROM t";
for my $threads (1, 2, 4)
{
	$cluster->query("SELECT dicom.export_parquet('$threads_seen', 'disk', 'threads.parquet', '{\"overwrite\": true, \"row_group_rows\": 20000, \"threads\": $threads}')");
	is($cluster->query("SELECT max(threads) FROM dicom.read_parquet('disk', 'threads.parquet') AS r(threads bigint)"), $threads, "as many threads as asked for: $threads");
	$cluster->query("SELECT dicom.export_parquet('SELECT * FROM t', 'disk', 'by$threads.parquet', '{\"row_group_rows\": 20000, \"threads\": $threads}')");
}
ok(read_text("$dir/lake/by1.parquet") eq read_text("$dir/lake/by$_.parquet"), "the same bytes by $_ threads as by one") for 2, 4;
like(($cluster->psql("SELECT dicom.export_parquet('SELECT 1 AS i', 'disk', 'r.parquet', '{\"threads\": 17}')"))[1], qr/22023: option "threads" must be a number from 1 to 16/, 'no more than that');

# Two row groups, one of them compressed besides, the upload's part, and what a backend takes anyway.
my ($many, $most) = $cluster->watch_memory(q{SELECT rows, bytes > 300000000 FROM dicom.export_parquet('SELECT i, noise || n FROM t, generate_series(1, 20) n', 'disk', 'large.parquet', '{"row_group_bytes": 8388608, "compression": "none"}')});
is($many, '6000000|t', 'an export much larger than its row groups');
cmp_ok($most, '<', 200 * 1024, 'does not take more memory for that');
diag("measured: at most $most KiB");
unlink "$dir/lake/large.parquet";

# Whatever ends an export ends its threads, and the session goes on.
my @before = glob "$dir/lake/* $dir/lake/.dicom*";
my $endless = q{SELECT dicom.export_parquet('SELECT t.* FROM t, generate_series(1, 100000)', 'disk', 'endless.parquet', '{"row_group_rows": 20000, "threads": 4, "level": 12}')};
for my $end ([ 'a statement timeout', "SET statement_timeout = '700ms'; $endless; RESET statement_timeout", '57014' ], [ 'a query that fails', $endless =~ s/t\.\*/1 \/ (t.i - 250000) AS i/r, '22012' ])
{
	my ($out, $err) = $cluster->psql("$end->[1]; SELECT 'threads: ' || count(*) FROM pg_ls_dir('/proc/self/task')", go_on => 1);
	like($err, qr/ERROR:  $end->[2]/, "$end->[0] ends an export");
	like($out, qr/^threads: 1$/m, 'and its threads');
}
for (1 .. 5)
{
	my $session = $cluster->start_psql("SET application_name = 'endless';\n$endless", go_on => 1);
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'endless' AND query LIKE 'SELECT dicom.export%' AND state = 'active'") }, 30);
	ok(wait_until(sub { my @threads = glob "/proc/$pid/task/*"; @threads == 4 }, 30), 'an export is under way, in threads');
	$cluster->query("SELECT pg_terminate_backend($pid, 10000)");
	$cluster->finish_psql($session);
	ok(!-e "/proc/$pid", 'a terminated backend ends with them');
}
unlike($cluster->server_log, qr/was terminated by signal (?!9)/, 'and none crashed');
is_deeply([ glob "$dir/lake/* $dir/lake/.dicom*" ], \@before, 'nothing is left of them');

# --- broken files

my $bytes = read_text("$dir/lake/whole.parquet");
for my $cut (3, 11, 1000, int(length($bytes) / 2), length($bytes) - 1)
{
	write_text("$dir/lake/cut.parquet", substr $bytes, 0, $cut);
	chmod 0644, "$dir/lake/cut.parquet";
	like(($cluster->psql("SELECT count(*) FROM dicom.read_parquet('disk', 'cut.parquet') AS r(i int)"))[1], qr/ERROR:  22P03: it is no Parquet file.*DETAIL:  Object: \S+cut\.parquet/s, "cut to $cut bytes: an error that names the object");
}
for my $place (map { int(length($bytes) * $_ / 40) } 1 .. 39)
{
	my $changed = $bytes;
	substr $changed, $place, 16, "\xFF" x 16;
	write_text("$dir/lake/cut.parquet", $changed);
	my ($out, $err) = $cluster->psql("SELECT count(*), sum(length(noise)), sum(i) FROM dicom.read_parquet('disk', 'cut.parquet') AS r(i int, noise text)");
	ok($out eq '300000|19200000|45000150000' || $err =~ /ERROR:  (22P03|54000)/, "changed at $place: the rows or an error") or diag($out, $err);
}
like(($cluster->psql("SELECT * FROM dicom.read_parquet('disk', 'none.parquet') AS r(i int)"))[1], qr/58P01/, 'no such object');
like(($cluster->psql("SELECT * FROM dicom.read_parquet('disk', 'whole.parquet') AS r(j int)"))[1], qr/42703.*HINT:  dicom.parquet_columns/s, 'no such column');
is($cluster->query("SELECT sum(i), max(noise) = (SELECT max(noise) FROM t) FROM dicom.read_parquet('disk', 'whole.parquet') AS r(noise varchar(64), i numeric)"), '45000150000|t', 'columns of other types and in another order');

# --- rights

$cluster->query("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA dicom TO reader; GRANT SELECT ON t TO reader");
like(($cluster->psql("SELECT dicom.export_parquet('SELECT 1 AS a', 'disk', 'r.parquet')", user => 'reader'))[1], qr/42501/, 'not everybody may export');
$cluster->query('GRANT EXECUTE ON FUNCTION dicom.export_parquet(text, text, text, jsonb) TO reader');
like(($cluster->psql("SELECT dicom.export_parquet('SELECT 1 AS a', 'disk', 'r.parquet')", user => 'reader'))[1], qr/42501.*server/, 'nor without USAGE on the server');
like(($cluster->psql("SELECT * FROM dicom.read_parquet('disk', 'whole.parquet') AS r(i int)", user => 'reader'))[1], qr/42501.*server/, 'nor read');

# --- S3

my $s3 = s3_server();
SKIP:
{
	skip 'no S3 server', 8 unless $s3;
	$s3->bucket('lake');
	$cluster->query(<<"END");
CREATE SERVER lake FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://lake/in/', endpoint '$s3->{endpoint}');
CREATE USER MAPPING FOR PUBLIC SERVER lake OPTIONS (access_key_id '$s3->{access_key_id}', secret_access_key '$s3->{secret_access_key}');
END
	is($cluster->query("SELECT rows, files FROM dicom.export_parquet('SELECT * FROM t', 'lake', 'whole.parquet', '{\"compression\": \"none\"}')"), '300000|1', 'an export in parts');
	check_whole('lake', 'whole.parquet', 'holds all rows');
	killed_export('lake', 'killed.parquet', 0.05 + rand 0.3) for 1 .. 5;
	my ($out, $err, $code) = $cluster->psql("SELECT count(*), sum(i) FROM dicom.read_parquet('lake', 'killed.parquet') AS r(i int, noise text)");
	ok($out eq '300000|45000150000' || $err =~ /58P01/, 'after kill -9 the object is whole or not there') or diag($out, $err);

	# One that hangs when parts of it are there, and is killed.
	$cluster->query("SELECT dicom.sweep_uploads('lake', '', '-1 minute')");
	my $session = $cluster->start_psql(<<'END', go_on => 1);
SELECT dicom.export_parquet('SELECT i, noise, CASE WHEN i = 290000 THEN (SELECT pg_sleep(60)) IS NULL END FROM (SELECT * FROM t ORDER BY i OFFSET 0) t', 'lake', 'left.parquet',
	'{"row_group_rows": 50000, "compression": "none"}');
END
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'") }, 30);
	ok($pid, 'an upload is under way');
	kill 'KILL', $pid;
	$cluster->finish_psql($session);
	wait_until(sub { ($cluster->psql('SELECT 1'))[2] == 0 }, 60);
	is($cluster->query("SELECT dicom.sweep_uploads('lake', '', '1 hour')"), '0', 'one that has just begun is left alone');
	cmp_ok($cluster->query("SELECT dicom.sweep_uploads('lake', '', '-1 minute')"), '>=', 1, 'what was left is removed');
	is($cluster->query("SELECT dicom.sweep_uploads('lake', '', '-1 minute')"), '0', 'and then there is none');
	like(($cluster->psql("SELECT * FROM dicom.read_parquet('lake', 'left.parquet') AS r(i int)"))[1], qr/58P01/, 'nothing of it was ever seen');
}

done_testing();
