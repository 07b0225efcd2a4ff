# The S3 store against a server that stalls, lies, throttles and breaks off: it repeats what may help, and never takes half an answer
# for a whole one. Each case is a list of raw answers, one a request; the last one is given again and again.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use S3Server;
use Test::More;
use Time::HiRes qw(sleep time);

my $port = S3Server::free_ports();
$SIG{PIPE} = 'IGNORE';

# Never sent: the server waits instead, for good or for a while.
my $silence = "\0silence\0";
my $pause = "\0pause\0";

# What every request says that has to be signed where it is said (newer servers look), and is not.
my $judgements = File::Temp::tempdir(CLEANUP => 1) . '/unsigned';
sub judge_signature
{
	my ($request) = @_;
	my ($head) = $request =~ /^(.*?\r\n)\r\n/s;
	my %signed = map { $_ => 1 } split /;/, $head =~ /^Authorization: .*SignedHeaders=([^,]*)/m ? $1 : '';

	open my $file, '>>', $judgements or die;
	syswrite $file, join '', "$1 $2\n", map { $signed{$_} ? "signed $_\n" : "unsigned $_\n" } grep { /^(?:host|content-type|x-amz-.*)$/ } map { lc } $head =~ /^([\w-]+):/mg
		if $head =~ /^(\w+) (\S+) HTTP/;
	return;
}

sub serve_one
{
	my ($client, $answer) = @_;
	my $request = '';
	while ($request !~ /\r\n\r\n/) { sysread $client, $request, 65536, length $request or return }
	if ($request =~ /content-length: (\d+)/i)
	{
		my $want = $1 + index($request, "\r\n\r\n") + 4;
		while (length $request < $want) { sysread $client, $request, 65536, length $request or return }
	}
	judge_signature($request);
	for my $piece (split /(\Q$silence\E|\Q$pause\E)/, $answer)
	{
		if ($piece eq $silence) { sleep 20; return }
		if ($piece eq $pause) { sleep 11; next }
		syswrite $client, $piece;
	}
}

# Runs the tool against a server that gives these answers; returns status, output, error, seconds, and how many requests came.
sub against
{
	my ($answers, $options, @command) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 50, ReuseAddr => 1) or die;
	my $server = fork;
	if (!$server)
	{
		setpgrp;
		$SIG{CHLD} = 'IGNORE';
		for (my $i = 0;; $i++)
		{
			my $client = $listener->accept or next;
			next if fork;
			close $listener;
			serve_one($client, $answers->[ $i < @$answers ? $i : -1 ]);
			close $client;
			POSIX::_exit(0);
		}
	}
	close $listener;
	my $fake = bless { directory => File::Temp::tempdir(CLEANUP => 1), endpoint => "http://127.0.0.1:$port", owner => 0,
		access_key_id => 'key', secret_access_key => 'topsecret' }, 'S3Server';
	my $before = time;
	my @result = $fake->store([ 'location=s3://bucket/in/', @$options ], @command);
	push @result, time - $before;
	kill '-KILL', $server;
	kill 'KILL', $server;
	waitpid $server, 0;
	return @result;
}

sub answer
{
	my ($status, $body, @headers) = @_;
	return join "\r\n", "HTTP/1.1 $status x", 'Connection: close', @headers,
		(grep { /^Content-Length/ } @headers) ? () : 'Content-Length: ' . length $body, '', $body;
}

sub error_answer { my ($status, $code, @headers) = @_; return answer($status, "<Error><Code>$code</Code></Error>", @headers) }

sub page
{
	my ($more, @keys) = @_;
	return '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' . $more
		. join('', map { "<Contents><Key>in/$_</Key><LastModified>2024-02-29T12:00:00.5Z</LastModified><ETag>&quot;e$_&quot;</ETag><Size>3</Size></Contents>" } @keys)
		. '</ListBucketResult>';
}
my $done = '<IsTruncated>false</IsTruncated>';

sub more { return "<IsTruncated>true</IsTruncated><NextContinuationToken>$_[0]</NextContinuationToken>" }

sub part { my ($range, $body, @more) = @_; return answer(206, $body, "Content-Range: bytes $range", 'ETag: "x"', @more) }

sub lists
{
	my ($name, $answers, $pattern, @options) = @_;
	my ($status, $out, $err, $seconds) = against($answers, [ 'max_retries=2', 'request_timeout_ms=1000', @options ], 'list');
	my $said = $status ? $err : $out =~ s/\t.*//gr =~ s/\n/ /gr;
	like($said, $pattern, $name);
	return ($err, $seconds);
}

sub gets
{
	my ($name, $answers, $pattern, @options) = @_;
	my ($status, $out, $err, $seconds) = against($answers, [ 'max_retries=2', 'request_timeout_ms=1000', @options ], 'get', 'k', 10, 5);
	like($status ? $err : "got $out, $err", $pattern, $name);
	return ($err, $seconds);
}

# --- listings ---

my $good = answer(200, page($done, qw(a b)));
lists('a page', [$good], qr/^a b $/);
lists('two pages', [ answer(200, page(more('t'), 'a')), answer(200, page($done, 'b')) ], qr/^a b $/);
lists('an empty page that goes on', [ answer(200, page(more('t'))), answer(200, page($done, 'b')) ], qr/^b $/);
my ($err) = lists('a page cut in the middle, then whole', [ answer(200, substr(page($done, 'a'), 0, 150)), $good ], qr/^a b $/);
like($err, qr/^list=2 .*retries=1 /m, 'counted as repeated');
lists('a page that is always cut', [ answer(200, substr(page($done, 'a'), 0, 150)) ], qr/^PROTOCOL \|.*bucket bucket.*\| s3:\/\/bucket\/in\/ \| 3$/m);
lists('a body shorter than announced', [ answer(200, page($done, 'a'), 'Content-Length: 5000') ], qr/^NETWORK \|.*cut short.*\| 3$/m);
lists('an empty body', [ answer(200, '') ], qr/^PROTOCOL \|/m);
lists('no XML', [ answer(200, '<html>welcome</html>') ], qr/^PROTOCOL \|/m);
lists('more, but not where', [ answer(200, page('<IsTruncated>true</IsTruncated>', 'a')) ], qr/^PROTOCOL \|.*does not say where/m);
lists('more, from where we are', [ answer(200, page(more('t'), 'a')), answer(200, page(more('t'), 'b')) ], qr/^PROTOCOL \|.*does not say where/m);
lists('neither complete nor not', [ answer(200, page('', 'a')) ], qr/^PROTOCOL \|.*complete/m);
lists('keys in disorder', [ answer(200, page($done, qw(b a))) ], qr/^PROTOCOL \|.*ascending/m);
lists('a key twice', [ answer(200, page($done, qw(a a))) ], qr/^PROTOCOL \|.*ascending/m);
lists('pages that overlap', [ answer(200, page(more('t'), 'a', 'b')), answer(200, page($done, 'b')) ], qr/^PROTOCOL \|.*ascending/m);
lists('a page before what was asked for', [$good], qr/^PROTOCOL \|.*ascending/m, 'start_after=a');
lists('keys elsewhere', [ answer(200, page($done, 'a') =~ s/in\/a/out/r) ], qr/^PROTOCOL \|.*prefix/m);
lists('a document type', [ answer(200, '<!DOCTYPE x [<!ENTITY a "b">]>' . page($done, 'a')) ], qr/^PROTOCOL \|/m);
lists('a size that is none', [ answer(200, page($done, 'a') =~ s/<Size>3/<Size>-3/r) ], qr/^PROTOCOL \|/m);
lists('a key that cannot be decoded', [ answer(200, page("<EncodingType>url</EncodingType>$done", 'a%2')) ], qr/^PROTOCOL \|.*decoded/m);
lists('keys that are encoded', [ answer(200, page("$done<EncodingType>url</EncodingType>", 'a%2Bb+c')) ], qr/^a\+b c $/);

# --- trouble that passes, and that does not ---

for my $trouble (error_answer(503, 'SlowDown'), error_answer(500, 'InternalError'), error_answer(400, 'RequestTimeout'), answer(429, ''),
	answer(502, 'bad gateway'), answer(504, ''), '', "HTTP/1.1 200 OK\r\nContent-Le", error_answer(409, 'OperationAborted'))
{
	my ($name) = $trouble =~ /^HTTP\/1.1 (\d+)/;
	($err) = lists('comes through ' . ($name // 'a reset'), [ $trouble, $trouble, $good ], qr/^a b $/);
	like($err, qr/retries=2 /, 'repeated twice');
}
lists('throttled to the end', [ error_answer(503, 'SlowDown') ], qr/^THROTTLED \|.*max_requests.*\| 3$/m);
lists('broken to the end', [ answer(500, '') ], qr/^SERVER \|.*500.*\| 3$/m);
my $seconds;
(undef, $seconds) = lists('a server that asks for patience', [ error_answer(503, 'SlowDown', 'Retry-After: 2'), $good ], qr/^a b $/);
cmp_ok($seconds, '>=', 2, 'gets it');
(undef, $seconds) = lists('a server that never answers', [$silence], qr/^TIMEOUT \|.*request_timeout.*\| 3$/m);
cmp_ok($seconds, '<', 15, 'is given up');
lists('a server that falls silent in the middle', [ answer(200, substr(page($done, 'a'), 0, 99) . $silence, 'Content-Length: 5000') ], qr/^TIMEOUT \|/m);
lists('a server that fell silent once', [ $silence, $good ], qr/^a b $/);
lists('headers without end', [ "HTTP/1.1 200 OK\r\n" . ("X-Long: " . 'x' x 1000 . "\r\n") x 100 . "\r\n" ], qr/^PROTOCOL \|.*headers/m);

# --- what cannot be helped is asked once ---

my %once = (
	'CREDENTIALS .*session_token' => error_answer(400, 'ExpiredToken'),
	'CREDENTIALS .*not valid' => error_answer(403, 'InvalidToken'),
	'CREDENTIALS .*know the access key' => error_answer(403, 'InvalidAccessKeyId'),
	'CREDENTIALS .*secret' => error_answer(403, 'SignatureDoesNotMatch'),
	'CREDENTIALS .*clock' => error_answer(403, 'RequestTimeTooSkewed'),
	'ACCESS_DENIED ' => error_answer(403, 'AccessDenied'),
	'NO_BUCKET ' => error_answer(404, 'NoSuchBucket'),
	"REGION .*'eu-north-1'" => error_answer(301, 'PermanentRedirect', 'x-amz-bucket-region: eu-north-1'),
	"REGION .*'eu-north-2'" => answer(400, '<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-2</Region></Error>'),
	"REGION .*'eu-north-3'" => answer(307, '', 'x-amz-bucket-region: eu-north-3', 'Location: http://127.0.0.1:1/'),
	'REGION .*s3.elsewhere.org' => answer(301, '<Error><Code>PermanentRedirect</Code><Endpoint>s3.elsewhere.org</Endpoint></Error>'),
	'PROTOCOL .*S3 service' => answer(404, '<html>not here</html>'),
	'INVALID_OPTION .*KeyTooLongError' => error_answer(400, 'KeyTooLongError'),
);
lists("once: $_", [ $once{$_} ], qr/^$_.*\| 1$/m) for sort keys %once;
lists('a code that is no word', [ error_answer(400, 'x y | z') ], qr/^PROTOCOL \|.*400/m);

# --- ranges ---

gets('a range', [ part('10-14/100', 'abcde') ], qr/^got abcde, length=5 size=100 etag=x/);
gets('a range of unknown whole', [ part('10-14/*', 'abcde') ], qr/^got abcde, length=5 size=-1/);
gets('the end of the object', [ part('10-12/13', 'abc') ], qr/^got abc, length=3 size=13/);
gets('behind the end', [ answer(416, 'x', 'Content-Range: bytes */7') ], qr/^got , length=0 size=7/);
gets('behind the end, untrue', [ answer(416, 'x', 'Content-Range: bytes */700') ], qr/^PROTOCOL \|.*within/m);
gets('a server that ignores ranges', [ answer(200, '0123456789abcdefghij') ], qr/^got abcde, length=5 size=20/);
gets('and has not so much', [ answer(200, '0123456789ab') ], qr/^got ab, length=2 size=12/);
gets('nor anything', [ answer(200, '0123') ], qr/^got , length=0 size=4/);
gets('and has far more', [ answer(200, '0123456789abcdefghij' x 100_000) ], qr/^got abcde, length=5 size=2000000/);
gets('another range', [ part('11-15/100', 'abcde') ], qr/^PROTOCOL \|.*11-15.*10-14.*s3:\/\/bucket\/in\/k \| 3$/m);
gets('a range that begins later', [ part('11-14/100', 'bcde') ], qr/^PROTOCOL \|/m);
gets('a longer range', [ part('10-20/100', 'abcdefghijk') ], qr/^PROTOCOL \|/m);
gets('a shorter range', [ part('10-12/100', 'abc') ], qr/^PROTOCOL \|/m);
gets('more bytes than announced', [ part('10-14/100', 'abcdefgh') ], qr/^PROTOCOL \|.*more/m);
gets('fewer bytes than announced', [ part('10-14/100', 'abc') ], qr/^PROTOCOL \|.*fewer/m);
gets('a range of nothing', [ answer(206, 'abcde') ], qr/^PROTOCOL \|.*which/m);
gets('a range behind the end of the object', [ part('10-14/12', 'abcde') ], qr/^PROTOCOL \|.*behind/m);
gets('a body cut short, then whole', [ part('10-14/100', 'abc', 'Content-Length: 5'), part('10-14/100', 'abcde') ], qr/^got abcde, length=5/);
gets('always cut short', [ part('10-14/100', 'abc', 'Content-Length: 5') ], qr/^NETWORK \|.*cut short.*s3:\/\/bucket\/in\/k \| 3$/m);
gets('silent in the middle', [ part('10-14/100', "abc$silence", 'Content-Length: 5') ], qr/^TIMEOUT \|/m);
gets('another object', [ error_answer(412, 'PreconditionFailed') ], qr/^CHANGED \|.*\| 1$/m, 'if_match=x');
gets('an archived object', [ error_answer(403, 'InvalidObjectState') ], qr/^ARCHIVED \|.*restore.*\| 1$/m);
gets('no object', [ error_answer(404, 'NoSuchKey') ], qr/^NOT_FOUND \|.*\| 1$/m);

# --- writing ---

sub puts
{
	my ($name, $answers, $pattern, @options) = @_;
	my ($status, $out, $err) = against($answers, [ 'max_retries=2', 'request_timeout_ms=1000', @options ], 'put', 'k');
	like($status ? $err : "put $out", $pattern, $name);
}

my $taken = error_answer(412, 'PreconditionFailed');
puts('a put', [ answer(200, '', 'ETag: "e"') ], qr/^put e$/m);
puts('an answer lost, our own object found', [ '', $taken, answer(200, '', 'ETag: "e"') ], qr/^put e$/m, 'if_none_match=1');
puts('an answer lost, another one found', [ '', $taken, answer(200, 'other', 'ETag: "e"') ], qr/^EXISTS \|/m, 'if_none_match=1');
puts('another one found at once', [$taken], qr/^EXISTS \|.*\| 1$/m, 'if_none_match=1');
puts('another writer at work', [ error_answer(409, 'ConditionalRequestConflict'), answer(200, '', 'ETag: "e"') ], qr/^put e$/m, 'if_none_match=1');

my ($status, $out) = against([ answer(200, '<Error><Code>InternalError</Code></Error>'), answer(200, ' <CopyObjectResult><ETag>"c"</ETag></CopyObjectResult>') ],
	[], 'copy', 'a', 'b');
is($out, "c\n", 'an error under status 200 is one');
($status, undef, $err) = against([ answer(200, '<Error><Code>AccessDenied</Code></Error>') ], [], 'copy', 'a', 'b');
like($err, qr/^ACCESS_DENIED \|.*\| 1$/m, 'and is told');
($status, undef, $err) = against([ answer(200, '') ], ['max_retries=1'], 'copy', 'a', 'b');
like($err, qr/^PROTOCOL \|/m, 'no answer under status 200 is no copy');

# --- keys that expire during a listing ---

{
	my $file = File::Temp::tempdir(CLEANUP => 1) . "/credentials";
	open my $credentials, '>', $file or die;
	print $credentials "[default]\naws_access_key_id = old\naws_secret_access_key = s\naws_session_token = t\n";
	close $credentials;
	local $ENV{AWS_SHARED_CREDENTIALS_FILE} = $file;
	my @ambient = ('credentials=profile', 'access_key_id=', 'secret_access_key=', 'request_timeout_ms=20000');
	my $expired = error_answer(400, 'ExpiredToken');

	($err) = lists('keys that expire are asked for again', [ answer(200, page(more('t'), 'a')), $pause . $expired, answer(200, page($done, 'b')) ],
		qr/^a b $/, @ambient);
	like($err, qr/^list=3 .*retries=1 /m, 'once');
	lists('keys that expire at once', [$expired], qr/^CREDENTIALS \|.*expired.*\| 1$/m, @ambient);
	lists('keys that expire again', [ answer(200, page(more('t'), 'a')), $pause . $expired, $expired ], qr/^CREDENTIALS \|.*\| 2$/m, @ambient);
	unlink $file;
}

# --- an interrupt ends every wait ---

my $tool = $ENV{STORE_TOOL} // "$FindBin::Bin/../../build/tools/store_tool";
for my $case ([ 'silence', $silence ], [ 'patience', error_answer(503, 'SlowDown', 'Retry-After: 60') ])
{
	local $ENV{STORE_TOOL} = File::Temp::tempdir(CLEANUP => 1) . "/interrupt.sh";
	open my $script, '>', $ENV{STORE_TOOL} or die;
	print $script "#!/bin/sh\nexec $tool -i 500 \"\$@\"\n";
	close $script;
	chmod 0755, $ENV{STORE_TOOL};
	my (undef, undef, $err, $seconds) = against([ $case->[1] ], [], 'list');
	like($err, qr/^INTERRUPTED \|/m, "interrupted in $case->[0]");
	cmp_ok($seconds, '<', 10, 'at once');
}

my (undef, undef, $refused) = against([ answer(200, '', 'Content-Length: 20000000', 'Content-Type: application/dicom', 'ETag: "x"'), error_answer(403, 'AccessDenied') ],
	['max_retries=0'], 'copy', 'k', 'parts', 6_000_000);
like($refused, qr/^ACCESS_DENIED/m, 'a copy in parts, refused');
my $judged = do { local $/; open my $file, '<', $judgements or die; <$file> };
is(join(' ', $judged =~ /^unsigned (.*)$/mg), '', 'no request says what it must sign without signing it');
for my $request (qr/PUT .*/, qr/POST .*uploads=?/)
{
	like($judged, qr/^$request\n(?:signed .*\n)*signed content-type\n/m, "the type of an object is signed: $request");
}

done_testing();
