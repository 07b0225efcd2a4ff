# Promise: what is new or changed in one server comes to another, whole and verified, whatever kinds of store they are; a second run
# with nothing new lists and does nothing else; what fails is noted and tried again, and stops nothing else; a dead store does.
use strict;
use warnings;

use DicomTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = cluster();
my $dir     = work_dir();

sub copy
{
	my ($source, $target, $more, %options) = @_;

	return $cluster->query("SELECT next_after, listed, copied, skipped, failed FROM dicom.copy_batch('$source', '$target'" . ($more // '') . ')', %options);
}

# A file with bytes of its own.
sub put_file
{
	my ($file, $bytes) = @_;

	system('mkdir', '-p', $file =~ s{/[^/]*$}{}r) == 0 or die;
	return write_text($file, $bytes);
}

sub same_trees
{
	my ($left, $right) = @_;

	return system('diff', '-r', $left, $right) == 0;
}

# --- Directory to directory

my ($inbox, $raw) = ("$dir/inbox", "$dir/raw");
put_file("$inbox/a/1.dcm", 'one' x 1000);
put_file("$inbox/a/2.dcm", 'two' x 1000);
put_file("$inbox/b/3 with \x{c3}\x{bc}mlaut.dcm", 'three');
put_file("$inbox/empty", '');
open my $large, '>', "$inbox/large" or die;
seek $large, 20 * 1024 * 1024, 0;
print $large 'end';
close $large;
system('mkdir', $raw);
$cluster->make_server('inbox', undef, "file://$inbox/");
$cluster->make_server('raw', undef, "file://$raw/");

is(copy('inbox', 'raw'), '|5|5|0|0', 'every file of a directory is copied');
ok(same_trees($inbox, $raw), 'byte for byte');
is(copy('inbox', 'raw'), '|5|0|5|0', 'a second time none is');
is($cluster->query("SELECT count(*), sum(size), bool_and(copied_at IS NOT NULL AND failures = 0) FROM dicom.copies WHERE source = 'inbox' AND target = 'raw'"),
	'5|' . (3000 + 3000 + 5 + 20 * 1024 * 1024 + 3) . '|t', 'dicom.copies says so');

put_file("$inbox/a/2.dcm", 'TWO' x 2000);
put_file("$inbox/c/4.dcm", 'four');
is(copy('inbox', 'raw'), '|6|2|4|0', 'what is new or changed is copied');
ok(same_trees($inbox, $raw), 'and replaces what was there');
unlink "$raw/a/1.dcm";
is(copy('inbox', 'raw'), '|6|0|6|0', 'a copy that was deleted stays so');
is($cluster->query("SELECT dicom.recopy('inbox', 'raw', 'a/')"), 2, 'until somebody asks for it');
is(copy('inbox', 'raw'), '|6|2|4|0', 'then it is copied again');
ok(same_trees($inbox, $raw), 'and is there');
unlink "$inbox/c/4.dcm";
is(copy('inbox', 'raw'), '|5|0|5|0', 'what vanishes at the source');
ok(-f "$raw/c/4.dcm", 'is kept');

# Stretches
my ($after, $rounds, $listed) = ('', 0, 0);
$cluster->query("SELECT dicom.recopy('inbox', 'raw')");
do
{
	my ($next, $some) = split /\|/, copy('inbox', 'raw', ($after ? ", '$after'" : ', NULL') . ', 2');
	($after, $listed, $rounds) = ($next, $listed + $some, $rounds + 1);
} while ($after ne '' && $rounds < 20);
is("$rounds $listed", '3 5', 'stretches of two objects each come to the end, and look at each key once');
is(copy('inbox', 'raw'), '|5|0|5|0', 'with everything copied');

# Failures
chmod 0, "$inbox/a/1.dcm";
put_file("$inbox/a/5.dcm", 'five');
put_file("$raw/d/6.dcm/in the way", 'x');
put_file("$inbox/d/6.dcm", 'six');
$cluster->query("SELECT dicom.recopy('inbox', 'raw', 'a/1')");
is(copy('inbox', 'raw'), '|7|1|4|2', 'objects that cannot be had, or put, are counted as failed, the others are copied');
is($cluster->query("SELECT key, failures, error_code, copied_at IS NULL, next_attempt > now() + interval '50 s' FROM dicom.copies WHERE failures > 0 ORDER BY key"),
	"a/1.dcm|1|42501|t|t\nd/6.dcm|1|HV024|t|t", 'with their reason');
is(copy('inbox', 'raw'), '|7|0|7|0', 'and left in peace for a while');
$cluster->query("UPDATE dicom.copied SET next_attempt = now() WHERE failures > 0");
is(copy('inbox', 'raw'), '|7|0|5|2', 'then they are tried again');
is($cluster->query("SELECT DISTINCT failures, next_attempt > now() + interval '100 s' FROM dicom.copies WHERE failures > 0"), '2|t', 'with growing patience');
chmod 0644, "$inbox/a/1.dcm";
system('rm', '-r', "$raw/d/6.dcm");
$cluster->query("UPDATE dicom.copied SET next_attempt = now() WHERE failures > 0");
is(copy('inbox', 'raw'), '|7|2|5|0', 'until they can be copied');
is($cluster->query('SELECT count(*) FROM dicom.copies WHERE failures > 0 OR error IS NOT NULL'), 0, 'which clears what was noted');

# Unreadable ones in any number stop nothing.
for my $i (100 .. 140) { put_file("$inbox/many/$i", $i); chmod 0, "$inbox/many/$i" }
put_file("$inbox/z", 'z');
is(copy('inbox', 'raw'), '|49|1|7|41', 'many unreadable objects in a row do not hide what follows');
system("chmod 644 $inbox/many/*");

# --- Rights, and arguments

my ($out, $err);
$cluster->query("CREATE ROLE bob LOGIN; GRANT USAGE ON SCHEMA dicom TO bob");
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('inbox', 'raw')", user => 'bob');
like($err, qr/42501.*inbox/, 'who has no USAGE on the source copies nothing');
$cluster->query("GRANT USAGE ON FOREIGN SERVER inbox TO bob");
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('inbox', 'raw')", user => 'bob');
like($err, qr/42501.*raw/, 'nor who has none on the target');
$cluster->query("GRANT USAGE ON FOREIGN SERVER raw TO bob");
for my $statement ("dicom.copy_batch('inbox', 'raw')", "dicom.delete_objects('raw', '{z}')", "dicom.copy_objects('raw', '{z}', '{y}')")
{
	($out, $err) = $cluster->psql("SELECT * FROM $statement", user => 'bob');
	like($err, qr/42501.*write files.*HINT:.*pg_write_server_files/s, "USAGE alone does not write files of the machine: $statement");
}
ok(-f "$raw/z", 'none is gone');
$cluster->query('GRANT pg_write_server_files TO bob');
is($cluster->query("SELECT copied, failed FROM dicom.copy_batch('inbox', 'raw')", user => 'bob'), '0|0', 'who may write files can');
is($cluster->query("SELECT count(*) FROM dicom.copies", user => 'bob'), 49, 'and sees what was copied');
is($cluster->query('SELECT count(*) FROM dicom.copies; SELECT 1', user => 'bob', go_on => 1), "49\n1", 'through the view');
($out, $err) = $cluster->psql('SELECT count(*) FROM dicom.copied', user => 'bob');
like($err, qr/42501/, 'but not the table');
$cluster->query('REVOKE USAGE ON FOREIGN SERVER raw FROM bob');
is($cluster->query("SELECT count(*) FROM dicom.copies", user => 'bob'), 0, 'and nothing of servers that are not his to use');
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('inbox', NULL)");
like($err, qr/22004.*target/, 'a target is needed');
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('inbox', 'raw', max_objects => 0)");
like($err, qr/22023.*max_objects/, 'and a positive number');
$cluster->query("CREATE SERVER within FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$inbox/a/')");
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('inbox', 'within')");
like($err, qr/22023.*within each other/, 'servers that lie within each other are refused');
($out, $err) = $cluster->psql("BEGIN READ ONLY; SELECT dicom.copy_batch('inbox', 'raw')");
like($err, qr/25006/, 'a read-only transaction copies nothing');
my $holder = $cluster->start_psql("BEGIN; SELECT copied FROM dicom.copy_batch('inbox', 'raw'); SELECT pg_sleep(2)");
wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)%' AND wait_event = 'PgSleep'") });
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('inbox', 'raw')");
like($err, qr/55P03.*being copied/, 'one at a time copies between two servers');
$cluster->finish_psql($holder);

# --- Objects by name

is($cluster->query("SELECT from_key, to_key, etag IS NOT NULL, error_code FROM dicom.copy_objects('raw', '{a/1.dcm,nowhere,z}', '{new/1.dcm,new/2,new/z}')"),
	"a/1.dcm|new/1.dcm|t|\nnowhere|new/2|f|58P01\nz|new/z|t|", 'objects are copied to other keys, each with its outcome');
is(read_text("$raw/new/1.dcm"), 'one' x 1000, 'with their bytes');
is($cluster->query("SELECT dicom.delete_objects('raw', '{new/1.dcm,new/z,nowhere}')"), 3, 'objects are deleted, those that are not there too');
ok(!-e "$raw/new/1.dcm", 'they are gone');
($out, $err) = $cluster->psql("SELECT * FROM dicom.copy_objects('raw', '{a,b}', '{c}')");
like($err, qr/2202E/, 'as many keys must come as go');

$cluster->query('DROP SERVER inbox CASCADE');
is($cluster->query('SELECT count(*) FROM dicom.copied'), 0, 'a dropped server leaves nothing');

# --- S3

my $s3 = s3_server();
if (!$s3)
{
	diag('skip: no radosgw here');
	done_testing();
	exit;
}
my $many = "$dir/many";
make_files('--count', 300, '--size', 8, '--layout', 'flat', $many);
put_file("$many/large", join '', map { pack 'N', $_ } 1 .. 5_000_000);
put_file("$many/empty", '');
put_directory($s3, 'provider', $many);
$s3->bucket($_) for qw(own other);
my $proxy = fault_proxy($s3);
$cluster->make_server('provider', $proxy->server, 's3://provider/', request_timeout => '1s', max_retries => 1);
$cluster->make_server('own', $proxy->server, 's3://own/raw/', request_timeout => '1s', max_retries => 1);

sub objects_of
{
	my ($server) = @_;

	return $cluster->query("SELECT count(*), sum(size), md5(string_agg(key || size || CASE WHEN key LIKE '%large' THEN '' ELSE etag END, ',' ORDER BY key)) FROM $server.files");
}
my $count = 302;
my $all   = objects_of('provider');

is(copy('provider', 'own'), "|$count|$count|0|0", 'every object of a bucket is copied to another');
is(objects_of('own'), $all, 'as it was');
is(scalar(grep { $_->{is_read} && $_->{target} =~ m{/provider/} } $proxy->requests), 0, 'by the store: no byte comes through here');
$proxy->forget;
is(copy('provider', 'own'), "|$count|0|$count|0", 'a second run with nothing new');
is(join(',', map { $_->{is_list} ? 'LIST' : $_->{method} } $proxy->requests), 'LIST', 'makes one LIST, and no other request');
is($cluster->query("SELECT requests FROM dicom.copy_batch('provider', 'own')"), 1, 'and says so');

$s3->request('PUT', '/provider/000007.dcm', body => 'changed');
$s3->request('PUT', '/provider/new.dcm', body => 'new');
$proxy->forget;
is(copy('provider', 'own'), '|303|2|301|0', 'what is new or changed is copied');
is(scalar(grep { $_->{method} eq 'PUT' } $proxy->requests), 2, 'and nothing else');
is($s3->request('GET', '/own/raw/000007.dcm'), 'changed', 'with its new bytes');

# Between kinds
my $disk = "$dir/disk";
system('mkdir', $disk);
$cluster->make_server('disk', undef, "file://$disk/");
is(copy('provider', 'disk'), '|303|303|0|0', 'from a bucket to a directory');
$cluster->query("CREATE TABLE sizes AS SELECT key, size FROM provider.files");
is($cluster->query("SELECT count(*) FROM (SELECT key, size FROM disk.files EXCEPT SELECT * FROM sizes) x"), 0, 'everything with its length');
is(read_text("$disk/large"), read_text("$many/large"), 'and its bytes, a long one too');
is(copy('provider', 'disk'), '|303|0|303|0', 'once');
$s3->bucket('back');
$cluster->make_server('back', $proxy->server, 's3://back/', request_timeout => '1s', max_retries => 1);
is(copy('disk', 'back'), '|303|303|0|0', 'and from a directory to a bucket');
is(objects_of('back'), objects_of('provider'), 'the same');
is(copy('disk', 'back'), '|303|0|303|0', 'once');

# --- Faults

sub forget { $cluster->query("SELECT dicom.recopy('provider', '$_[0]')"); return }

# An object is changed under the copy: condition fails; copied anew as it is now.
forget('disk');
$proxy->set('swap /000003.dcm 1');
is(copy('provider', 'disk'), '|303|303|0|0', 'an object that changes between listing and reading is read as it is now');
forget('disk');
$proxy->set('swap /000003.dcm 1 always');
is(copy('provider', 'disk'), '|303|302|0|1', 'one that never stays the same is noted, the others are copied');
is($cluster->query("SELECT key, error_code FROM dicom.copies WHERE target = 'disk' AND failures > 0"), '000003.dcm|40001', 'with that reason');
$proxy->set('');

forget('own');
$proxy->set('status /own/raw/000004.dcm 500 0 InternalError', 'reset /own/raw/000005.dcm -1');
is(copy('provider', 'own'), '|303|301|0|2', 'objects that the target does not take are noted');
is($cluster->query("SELECT string_agg(key || ' ' || error_code, ',' ORDER BY key) FROM dicom.copies WHERE target = 'own' AND failures > 0"),
	'000004.dcm 58030,000005.dcm 08006', 'with their reasons') or diag($cluster->query("TABLE dicom.copied"));
$proxy->set('');
$cluster->query("UPDATE dicom.copied SET next_attempt = now() WHERE failures > 0");
is(copy('provider', 'own'), '|303|2|301|0', 'and copied when it does');
is(objects_of('own'), objects_of('provider'), 'so that all is there');

# A copy that the store may not make is made through memory.
forget('own');
$proxy->forget;
$proxy->set('status /own/raw/000001.dcm 403 1 AccessDenied');
is(copy('provider', 'own'), '|303|303|0|0', 'where the keys of the target cannot read the source');
cmp_ok(scalar(grep { $_->{is_read} && $_->{target} =~ m{/provider/} } $proxy->requests), '>=', 1, 'the bytes pass through here');
is(objects_of('own'), objects_of('provider'), 'and are right');
$proxy->set('');

# A vanished one
forget('disk');
$proxy->set('status /000009.dcm 404 0 NoSuchKey');
is(copy('provider', 'disk'), '|303|302|1|0', 'an object that vanishes after the listing is no failure');
$proxy->set('');
is(copy('provider', 'disk'), '|303|1|302|0', 'and is copied if it comes back');

# A dead store
forget('own');
$proxy->set('status /own/ 503 0 SlowDown');
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('provider', 'own')");
like($err, qr/ERROR:  53000/, 'a target that takes nothing at all is an error');
is($cluster->query("SELECT count(*) FROM dicom.copies WHERE target = 'own' AND failures > 0"), 0, 'not one of each object');
$proxy->set('status list-type 500 0 InternalError');
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('provider', 'own')");
like($err, qr/ERROR:  58030/, 'so is a source that cannot be listed');
$proxy->set('status /own/raw/0001 503 0 SlowDown', 'status /own/raw/0002 503 0 SlowDown');
my ($next, $seen, $copied, $skipped, $failed) = split /\|/, copy('provider', 'own');
is("$next|$copied|$failed", '000099.dcm|100|0', 'where the target dies half-way, what was copied before is kept');
($out, $err) = $cluster->psql("SELECT dicom.copy_batch('provider', 'own', '$next')");
like($err, qr/ERROR:  53000/, 'and the next stretch is an error');
$proxy->set('');
is(copy('provider', 'own'), '|303|203|100|0', 'it goes on from there');

# --- Cancel

forget('disk');
$cluster->query("ALTER SERVER provider OPTIONS (SET request_timeout '60s')");
$proxy->set('silent /000150.dcm');
my $session = $cluster->start_psql("SET application_name = 'cancel me'; SELECT dicom.copy_batch('provider', 'disk')", go_on => 1);
my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'cancel me' AND query LIKE '%copy_batch%' AND state = 'active'") });
sleep 0.3;
my $begin = time;
$cluster->query("SELECT pg_cancel_backend($pid)");
($out, $err) = $cluster->finish_psql($session);
like($err, qr/57014/, 'a copy can be cancelled');
cmp_ok(time - $begin, '<', 15, 'soon');
$cluster->query("ALTER SERVER provider OPTIONS (SET request_timeout '1s')");
$proxy->set('');
is(`find $disk -name '.*' -type f | wc -l` + 0, 0, 'which leaves no half-written file');

# --- kill -9

forget('disk');
$proxy->set('latency 5');
$session = $cluster->start_psql("SET application_name = 'kill me'; SELECT dicom.copy_batch('provider', 'disk')", go_on => 1);
$pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'kill me' AND query LIKE '%copy_batch%' AND state = 'active'") });
sleep 0.2;
kill 'KILL', $pid;
$cluster->finish_psql($session);
wait_until(sub { ($cluster->psql('SELECT 1'))[0] eq '1' });
$proxy->set('');
is((split /\|/, copy('provider', 'disk'))[1], 303, 'after kill -9');
is($cluster->query("SELECT count(*) FROM (SELECT key, size FROM disk.files EXCEPT SELECT key, size FROM provider.files) x"), 0, 'everything is there, whole');
unlike($cluster->server_log, qr/terminated by signal (?!9\b)|PANIC|TRAP/, 'no process died by itself');

done_testing();
