# Promise: a store that is silent, stalls, breaks off, throttles, lies or rewrites costs time, never a wrong row, a lost row or the
# session. A cancel and a statement timeout end a scan at once, whatever the store does.
use strict;
use warnings;

use DicomTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $s3 = s3_server() or plan skip_all => 'no radosgw here';
my $dir = work_dir();
make_files('--count', 40, '--size', 64, '--layout', 'flat', $dir);
put_directory($s3, 'faults', $dir);

my $proxy   = fault_proxy($s3);
my $cluster = cluster();
$cluster->make_server('scans', $proxy->server, 's3://faults/', request_timeout => '500ms', max_retries => 5);
$cluster->make_server('patient', $proxy->server, 's3://faults/', request_timeout => '60s', max_retries => 100);
my $rows = 'count(*), count(DISTINCT sop_instance_uid), md5(string_agg(filename || sop_instance_uid || rows, \',\' ORDER BY filename))';
my $right = $cluster->query("SELECT $rows FROM scans.images");
like($right, qr/^40\|40\|/, 'without faults there are 40 images');

# With these faults the same rows come, after retries; EXPLAIN counts those.
sub survives
{
	my ($promise, @rules) = @_;

	$proxy->set(@rules);
	$proxy->forget;
	my ($out, $err, $code) = $cluster->psql("SELECT $rows FROM scans.images; SELECT count(*) FROM scans.files WHERE error IS NULL AND sop_class_uid IS NOT NULL");
	is($out, "$right\n40", "$promise: every row is right");
	is($err, '', "$promise: nothing is blamed on a file");
	ok((grep { $_->{fault} ne '-' } $proxy->requests), "$promise: it did happen");
	$proxy->set('');
	return;
}

# With these faults, for good, there is an error, not fewer rows; the session works on.
sub fails
{
	my ($promise, $message, @rules) = @_;

	$proxy->set(@rules);
	my ($out, $err, $code) = $cluster->psql("SELECT count(*) FROM scans.images", go_on => 1);
	is($out, '', "$promise: no rows");
	like($err, qr/ERROR:  (?!XX)\w{5}: /, "$promise: an error with its SQLSTATE");
	like($err, $message, "$promise: which says what happened");
	unlike($err, qr/could not be read/, "$promise: and blames no file");
	$proxy->set('');
	return;
}

my $list = 'list-type';
my ($first, $middle) = ('/000000.dcm', '/00002');

# --- What a retry helps

survives('a listing that throttles twice', "status $list 503 2 SlowDown");
survives('headers that throttle twice', "status $middle 503 2 SlowDown");
survives('an internal error', "status $first 500 1 InternalError");
survives('a bad gateway', "status $middle 502 2");
survives('too many requests', "status $middle 429 2 TooManyRequests");
survives('a request that timed out over there', "status $first 400 1 RequestTimeout");
survives('a reset before the answer', "reset $first -1 1");
survives('a reset of the listing', "reset $list 200 1");
survives('a reset in the middle of a header', "reset $middle 1000 3");
survives('a header cut short', "truncate $first 1000 1");
survives('a listing cut short', "truncate $list 500 1");
survives('a length that is too great', "length $first 100 1");
survives('silence', "silent $first 1");
survives('a silent listing', "silent $list 1");
survives('a stall in the middle of a header', "stall $first 1000 1");
survives('a stall in the middle of the listing', "stall $list 700 1");
survives('several at once', "reset /000003.dcm 10 1", "silent /000011.dcm 1", "truncate /000017.dcm 2 1", "status /000023.dcm 503 2 SlowDown");

# --- Objects that change while they are read: read anew from the start, never mixed

{
	# A first range that does not hold the whole header makes for a second, conditional one.
	my $big = work_dir();
	make_files('--count', 4, '--size', 64, '--layout', 'flat', $big);
	for my $file (glob "$big/*.dcm")
	{
		# A long element in front of what is asked for: 300 kB of (0009,1099) OB.
		my $bytes = read_text($file);
		my $at = index $bytes, "\x10\x00\x10\x00PN";
		substr $bytes, $at, 0, "\x09\x00\x99\x10OB\0\0" . pack('V', 300_000) . 'x' x 300_000;
		write_text($file, $bytes);
	}
	put_directory($s3, 'changing', $big);
	$cluster->make_server('changing', $proxy->server, 's3://changing/', request_timeout => '500ms', max_retries => 3);
	my $query = "SELECT count(*), md5(string_agg(sop_instance_uid || rows || columns, ',' ORDER BY filename)) FROM changing.images";
	my $unchanged = $cluster->query($query);
	$proxy->forget;
	is($cluster->query($query), $unchanged, 'headers of several ranges');
	cmp_ok(scalar(grep { $_->{is_read} } $proxy->requests), '>', 4, 'take more than one request');
	$proxy->set('swap /000001.dcm 2');
	is($cluster->query($query), $unchanged, 'an object rewritten between two ranges is read from its start');
	$proxy->set('swap /000001.dcm 2 always');
	my ($out, $err) = $cluster->psql($query, go_on => 1);
	like($err, qr/chang|rewritten/i, 'one that never stays the same is said to be so');
	unlike($out . $err, qr/ERROR:  XX/, 'in an orderly way');
	$proxy->set('');
	is($cluster->query($query), $unchanged, 'and is read when it stays');
}

# --- What no retry helps

fails('silence for good', qr/no answer|silent|timed? ?out|within|no byte/i, "silent $list");
fails('a reset every time', qr/reset|connection|broke/i, "reset $list -1");
fails('headers that are reset every time', qr/reset|connection|broke/i, "reset $first 100");
fails('throttled for good', qr/slow|thrott|too many/i, "status * 503 0 SlowDown");
fails('an internal error for good', qr/internal error/i, "status $middle 500 0 InternalError");
fails('always cut short', qr/short|cut|truncat|closed/i, "truncate $middle 1000");
fails('a listing that is garbled', qr/listing|document|broke/i, "garble $list");

# --- Interrupts: against a server whose own timeout is a minute

# Runs a query in a session that looks at the clock before and after it; returns seconds, the error, and what comes after.
sub timed
{
	my ($setup, $query) = @_;
	my ($out, $err) = $cluster->psql(<<"END", go_on => 1);
$setup
SELECT 'from ' || extract(epoch FROM clock_timestamp());
$query;
RESET statement_timeout;
SELECT 'to ' || extract(epoch FROM clock_timestamp());
\\! cp /dev/null $proxy->{control}
SELECT 'after ' || count(*) FROM patient.images;
END
	my ($from) = $out =~ /^from (\S+)/m;
	my ($to) = $out =~ /^to (\S+)/m;
	my ($after) = $out =~ /^after (\S+)/m;
	return ($to - $from, $err, $after);
}

# Long before the server's own timeout; how long is told, and not judged.
sub in_time
{
	my ($promise, $attempt) = @_;
	my $taken = $attempt->();

	cmp_ok($taken, '<=', 15, "$promise: in time");
	diag(sprintf 'measured: %s: %d ms', $promise, $taken * 1000);
	return;
}

for my $case (
	[ 'a silent listing', "silent $list" ], [ 'silent headers', "silent $middle" ],
	[ 'a stalled listing', "stall $list 700" ], [ 'stalled headers', "stall $middle 1000" ],
	[ 'endless throttling', 'status * 503 0 SlowDown' ])
{
	my ($name, @rules) = @$case;
	my ($err, $after);

	in_time("statement_timeout of 1 s on $name", sub {
		$proxy->set(@rules);
		(my $seconds, $err, $after) = timed("SET statement_timeout = '1s';", 'SELECT count(*) FROM patient.images');
		return $seconds;
	});
	like($err, qr/57014/, "$name: it is the timeout that ended it");
	is($after, 40, "$name: the session works on");
}

# Cancels a running query; returns the seconds until its session goes on.
sub cancel_after
{
	my (@rules) = @_;

	$proxy->set(@rules);
	my $session = $cluster->start_psql(<<'END', go_on => 1);
SELECT count(*) /* to be cancelled */ FROM patient.images;
SELECT 'back ' || extract(epoch FROM clock_timestamp());
END
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE query LIKE '%to be cancelled%' AND state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()") });
	sleep 0.3;
	my ($cancelled) = $cluster->query("SELECT extract(epoch FROM clock_timestamp()), pg_cancel_backend($pid)") =~ /^([^|]+)/;
	my ($out, $err) = $cluster->finish_psql($session);
	my ($back) = $out =~ /back (\S+)/;
	$proxy->set('');
	return wantarray ? ($back - $cancelled, $err) : $back - $cancelled;
}

for my $case ([ 'a silent listing', "silent $list" ], [ 'silent headers', "silent $middle" ], [ 'stalled headers', "stall $middle 1000" ])
{
	my ($name, @rules) = @$case;
	my $err;

	in_time("a cancel on $name", sub { (my $seconds, $err) = cancel_after(@rules); return $seconds; });
	like($err, qr/57014/, "$name: it says that it was cancelled");
}

# --- What ends early asks for no more

$proxy->set('');
$proxy->forget;
is($cluster->query('SELECT count(*) FROM (SELECT * FROM scans.images LIMIT 1) x'), 1, 'LIMIT 1');
cmp_ok(scalar(grep { $_->{is_read} } $proxy->requests), '<=', 40, 'ends what it has begun');
is($cluster->query("SELECT $rows FROM scans.images"), $right, 'after all of this, the same rows');
unlike($cluster->server_log, qr/terminated by signal|PANIC|server process .* was terminated/, 'and no backend has died');

done_testing();
