# A real server behind a proxy that stalls, resets, throttles, lies and rewrites: each fault ends in the right bytes, or in an error that
# says what it is and names bucket and key; never in half an object.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use S3Server;
use Test::More;
use Time::HiRes qw(sleep time);

my $server = S3Server->start('radosgw');
plan skip_all => $server->skipped if $server->skipped;
$server->bucket('raw');

my $top = "$FindBin::Bin/../..";
my $tools = $ENV{STORE_TOOL} ? $ENV{STORE_TOOL} =~ s{/[^/]*$}{}r : "$top/build/tools";
my $control = "$server->{directory}/faults";
my $log = "$server->{directory}/log";
my $port = S3Server::free_ports();

sub write_file
{
	my ($file, $text) = @_;
	open my $handle, '>:raw', "$file.new" or die "$file: $!";
	print $handle $text;
	close $handle or die "$file: $!";
	rename "$file.new", $file or die "$file: $!";
}

write_file($control, '');
my $proxy = fork() // die;
if ($proxy == 0)
{
	exec "$tools/fault_proxy", $port, $server->port, $control, $log or die;
}
END { kill 'KILL', $proxy if $proxy }
for (1 .. 100)
{
	last if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
	sleep 0.05;
}

my @proxied = ('location=s3://raw/in', "endpoint=http://127.0.0.1:$port", 'request_timeout_ms=500');
my $bytes = join '', map { chr int rand 256 } 1 .. 300_000;
$server->store_with_input($bytes, ['location=s3://raw/in'], 'put', 'data');
$server->store(['location=s3://raw/list'], 'fill', 'k', 1500, 3);

# Runs the tool under these faults; the log begins anew.
sub under
{
	my ($faults, $options, @command) = @_;
	my $start = time;

	write_file($control, $faults);
	truncate $log, 0;
	my @result = $server->store([@proxied, @$options], @command);
	return (@result, time - $start);
}

sub requests
{
	open my $handle, '<', $log or return;
	return map { chomp; [ split /\t/ ] } <$handle>;
}

sub recovers
{
	my ($faults, $retries, $name) = @_;
	my ($status, $out, $err) = under($faults, [], 'get', 'data');

	ok($status == 0 && $out eq $bytes, "$name: the right bytes") or diag $err;
	like($err, qr/\bretries=$retries\b/, "$name: repetitions are counted");
}

sub gives_up
{
	my ($faults, $codes, $name, @options) = @_;
	my ($status, $out, $err) = under($faults, [ 'max_retries=1', @options ], 'get', 'data');

	is($status, 1, "$name: fails");
	is($out, '', "$name: hands out nothing");
	like($err, qr/^(?:$codes) \|.*s3:\/\/raw\/in\/data/m, "$name: an error that names the object");
	unlike($err, qr/\Q$server->{secret_access_key}\E|Signature/, "$name: and no secret");
}

# --- no fault ---

recovers('', 0, 'no fault');
{
	my @seen = requests();
	is_deeply([ map { [ @$_[ 0, 1, 3, 4, 5 ] ] } @seen ], [ [ 'GET', '/raw/in/data', 206, 300_000, '-' ] ], 'one request, in the log');
	like($seen[0][2], qr/^bytes=0-\d+$/, 'with its range');
}
{
	my ($status, $out, undef, $seconds) = under('latency 300', [], 'get', 'data');
	ok($out eq $bytes && $seconds >= 0.3, 'latency is waited for');
}

# --- faults that pass ---

recovers('silent data 1', 1, 'a request that is never answered');
recovers('stall data 1000 1', 1, 'an answer that stops in the middle');
recovers('stall data 0 1', 1, 'an answer that stops behind its head');
recovers('reset data 1000 1', 1, 'a reset in the middle');
recovers('truncate data 1000 1', 1, 'an answer that ends early');
recovers("status data 503 2 SlowDown", 2, 'throttling');
recovers('status data 429 1 TooManyRequests', 1, 'too many requests');
recovers('status data 500 1 InternalError', 1, 'an internal error');
recovers('status data 400 1 RequestTimeout', 1, 'a request timeout');
recovers('length data -10 1', '[12]', 'a length that is too short');	# its rest may spoil the next answer too
recovers('length data 10 1', 1, 'a length that is too long');

{
	# A connection that breaks before the answer may be the server's way to end keep-alive: it is not always counted.
	my ($status, $out, $err) = under('reset data -1 1', [], 'get', 'data');
	ok($status == 0 && $out eq $bytes, 'a reset before the answer: the right bytes') or diag $err;
}

# --- faults that stay ---

gives_up('silent data', 'TIMEOUT', 'silence');
gives_up('stall data 1000', 'TIMEOUT', 'stalls');
gives_up('reset data -1', 'NETWORK', 'resets before the answer');
gives_up('reset data 1000', 'NETWORK', 'resets in the middle');
gives_up('truncate data 1000', 'NETWORK|PROTOCOL', 'answers that end early');
gives_up('length data -10', 'NETWORK|PROTOCOL', 'lengths that are too short');
gives_up('length data 10', 'NETWORK|PROTOCOL', 'lengths that are too long');
gives_up('status data 503 0 SlowDown', 'THROTTLED', 'throttling without end');
gives_up('status data 500 0 InternalError', 'SERVER', 'internal errors');
gives_up('status data 412 0 PreconditionFailed', 'CHANGED|PROTOCOL|SERVER', 'a condition that nobody made');

for (['403', 'AccessDenied', 'ACCESS_DENIED'], ['404', 'NoSuchKey', 'NOT_FOUND'], ['404', 'NoSuchBucket', 'NO_BUCKET'],
	['403', 'InvalidObjectState', 'ARCHIVED'], ['403', 'SignatureDoesNotMatch', 'CREDENTIALS'])
{
	my ($status, $code, $error) = @$_;
	gives_up("status data $status 0 $code", $error, $code);
	is(scalar(requests()), 1, "$code: is not asked again");
}

{
	my ($status, $err, $seconds) = interrupted('silent data');
	is($status, 1, 'an interrupt ends a request that is never answered');
	like($err, qr/^INTERRUPTED/m, 'as what it is');
	cmp_ok($seconds, '<', 10, 'at once');
}

# The interrupt is an option in front of the command, which store() does not pass.
sub interrupted
{
	my ($faults) = @_;
	my $start = time;
	write_file($control, $faults);
	my $options = join ' ', map { "-o $_" } @proxied, 'request_timeout_ms=30000', "access_key_id=$server->{access_key_id}",
		"secret_access_key=$server->{secret_access_key}";
	my $err = `$tools/store_tool -i 300 $options get data 2>&1 >/dev/null`;
	return ($? >> 8, $err, time - $start);
}

# --- versions ---

{
	my ($status, $out, $err) = under('', [], 'head', 'data');
	my ($etag) = $out =~ /\t([0-9a-f]{32})\t/;
	($status, $out, $err) = under('swap data 1', ["if_match=$etag"], 'get', 'data');
	is($status, 1, 'another version than the one wanted');
	like($err, qr/^CHANGED \|.*s3:\/\/raw\/in\/data/m, 'is an error that says so');
	is(scalar(requests()), 1, 'at the first answer');
}

# --- listings ---

my @all = map { sprintf 'k%05d', $_ } 0 .. 1499;

sub listing
{
	my ($faults, @options) = @_;
	my ($status, $out, $err) = under($faults, [ 'location=s3://raw/list', @options ], 'list');
	return ($status, [ map { (split /\t/)[0] } split /\n/, $out ], $err);
}

for ('truncate list-type 2000 1', 'reset list-type 2000 1', 'stall list-type 2000 1', 'status list-type 503 1 SlowDown',
	'status continuation 500 1 InternalError', 'truncate continuation 100 1')
{
	my ($status, $keys, $err) = listing($_);
	ok($status == 0 && "@$keys" eq "@all", "every key once, after '$_'") or diag $err;
}
for ('truncate list-type 2000', 'garble list-type', 'status continuation 500 0 InternalError', 'silent continuation')
{
	my ($status, $keys, $err) = listing($_, 'max_retries=1');
	is($status, 1, "'$_': fails");
	like($err, qr/^[A-Z_]+ \|.*s3:\/\/raw\/list\//m, 'and names the location');
}

# --- writing ---

{
	my ($status, undef, $err);

	for ('reset written -1 1', 'status written 503 2 SlowDown', 'silent written 1')
	{
		write_file($control, $_);
		($status, undef, $err) = $server->store_with_input($bytes, \@proxied, 'put', 'written');
		my (undef, $out) = $server->store(['location=s3://raw/in'], 'get', 'written');
		ok($status == 0 && $out eq $bytes, "written whole, after '$_'") or diag $err;
	}
	my $long = $bytes x 40;
	write_file($control, 'status partNumber=2 500 1 InternalError');
	($status, undef, $err) = $server->store_with_input($long, [ @proxied, 'part_size=5242880' ], 'put', 'long');
	my (undef, $out) = $server->store(['location=s3://raw/in'], 'get', 'long');
	ok($status == 0 && $out eq $long, 'parts are repeated') or diag $err;

	write_file($control, 'status partNumber=2 500 0 InternalError');
	truncate $log, 0;
	($status, undef, $err) = $server->store_with_input($long, [ @proxied, 'part_size=5242880', 'max_retries=1' ], 'put', 'given-up');
	is($status, 1, 'a part that cannot be written fails the whole');
	like($err, qr/^SERVER \|.*s3:\/\/raw\/in\/given-up/m, 'and names the object');
	ok((grep { $_->[0] eq 'DELETE' && $_->[1] =~ /given-up\?uploadId=/ } requests()), 'what was written is removed');
	($status) = $server->store(['location=s3://raw/in'], 'head', 'given-up');
	is($status, 1, 'there is no object');
}

# --- headers, in several ranges ---

# A data set with a patient ID behind so many bytes.
sub dataset
{
	my ($patient, $filler) = @_;
	my $text = sub { my ($tag, $vr, $value) = @_; $value .= $vr eq 'UI' ? "\0" : ' ' if length($value) % 2; pack('v2a2v', @$tag, $vr, length $value) . $value };

	return "\0" x 128 . 'DICM' . $text->([ 2, 0x10 ], 'UI', '1.2.840.10008.1.2.1') . $text->([ 8, 0x18 ], 'UI', "1.2.$patient")
		. pack('v2a2vV', 9, 0x1001, 'UN', 0, $filler) . "\0" x $filler . $text->([ 0x10, 0x20 ], 'LO', "P$patient")
		. pack('v2a2vV', 0x7FE0, 0x10, 'OW', 0, 400_000) . "\0" x 400_000;
}

sub headers
{
	my ($faults, @options) = @_;
	my @all = ('location=s3://raw/dicom', "endpoint=http://127.0.0.1:$port", 'request_timeout_ms=500', 'max_retries=2',
		"access_key_id=$server->{access_key_id}", "secret_access_key=$server->{secret_access_key}", @options);

	write_file($control, $faults);
	truncate $log, 0;
	my $out = `$tools/reader_tool @{[ map { "-o $_" } @all ]} 2>$server->{directory}/err`;
	return ($? >> 8, map { [ split /\t/ ] } split /\n/, $out);
}

$server->store_with_input(dataset($_, 50_000), ['location=s3://raw/dicom'], 'put', "f$_") for 1 .. 8;
my @good = map { [ "f$_", "1.2.$_" ] } 1 .. 8;

sub heads { return [ map { [ @$_[ 0, 1 ] ] } @_ ] }

{
	my ($status, @rows) = headers('', 'first_read=10000');
	is_deeply(heads(@rows), \@good, 'every header, in order');
	is(scalar(grep { $_->[1] =~ m{/dicom/f} } requests()), 16, 'in two ranges each');

	($status, @rows) = headers("swap f3 2\nstatus f5 503 1 SlowDown\nreset f6 3000 1\nlatency 20", 'first_read=10000');
	is_deeply(heads(@rows), \@good, 'one that was rewritten between its ranges is read again; transient faults are overcome');
	cmp_ok(scalar(grep { $_->[1] =~ m{/dicom/f3} } requests()), '>=', 4, 'from its start');

	($status, @rows) = headers('swap f3 1 always', 'first_read=10000');
	is_deeply([ map { $_->[0] } grep { $_->[1] =~ /^error/ } @rows ], ['f3'], 'one that is rewritten again and again is an error of its own');
	like(join('', map { $_->[3] // '' } @rows), qr{s3://raw/dicom/f3}, 'which names it');
	is(scalar @rows, 8, 'the others are read');

	($status, @rows) = headers("status f2 404 0 NoSuchKey\nstatus f4 403 0 AccessDenied\nstatus f7 500 0 InternalError");
	is_deeply([ map { $_->[0] } grep { $_->[1] =~ /^error/ } @rows ], [qw(f2 f4 f7)], 'what cannot be had is told of each object');
	is(scalar @rows, 8, 'and the others are read');

	($status, @rows) = headers("garble f2");
	is(scalar @rows, 8, 'bytes that make no sense stop nobody');
}

done_testing();
