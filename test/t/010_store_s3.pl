# The S3 store against a real server that verifies signatures: keys of every kind, paging, ranges, conditions, parts, copies,
# classes, styles of URL, TLS, temporary keys, and errors that say what to do.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::MD5 qw(md5_hex);
use S3Server;
use Test::More;

my $tls = File::Temp::tempdir(CLEANUP => 1);

sub make_certificate
{
	my ($name, $names) = @_;
	system("openssl req -x509 -newkey rsa:2048 -nodes -keyout $tls/$name.key -out $tls/$name.pem -days 2 -subj /CN=$name "
		. "-addext subjectAltName=$names 2>$tls/openssl.out") == 0 or die;
	system("cat $tls/$name.key $tls/$name.pem >$tls/$name.both");
}

make_certificate('localhost', 'DNS:localhost,DNS:raw.localhost,IP:127.0.0.1');
make_certificate('stranger', 'DNS:localhost');

my $server = S3Server->start('radosgw', RGW_TLS_PEM => "$tls/localhost.both");
plan skip_all => $server->skipped if $server->skipped;

$server->bucket($_) for qw(raw other);
my @raw = ('location=s3://raw/in');
my $https = 'https://localhost:' . ($server->port + 2);

sub store { return $server->store(@_) }
sub put { my ($key, $bytes, @options) = @_; return $server->store_with_input($bytes, [@raw, @options], 'put', $key) }

sub fails_with
{
	my ($code, $pattern, $name, $options, @command) = @_;
	my ($status, $out, $err) = store($options, @command);
	is($status, 1, "$name: fails");
	like($err, qr/^$code \|.*$pattern/m, "$name: $code");
	unlike($err . $out, qr/\Q$server->{secret_access_key}\E/, "$name: tells no secret");
}

# --- keys ---

my @keys = ('a b', 'a+b', '100%', '%41', "\xc3\xbc/\xc3\xb6", 'x//y', '../up', './d', 'a/../b', '/lead', 'q?a=b&c', q{quo'te"}, 'e#f',
	'~t*(!)', '<&>', 'z:@=,;$', 'back\\slash', "new\nline", "tab\tx", 'k' x 1021);

for my $key (@keys)
{
	my ($status, undef, $err) = put($key, "data of $key");
	is($status, 0, 'put ' . substr($key, 0, 20)) or diag $err;
	my ($got_status, $got) = store(\@raw, 'get', $key);
	is($got, "data of $key", 'get ' . substr($key, 0, 20));
}

{
	my (undef, $out) = store(\@raw, 'list');
	my @listed = map { my ($key) = split /\t/; $key =~ s/%(..)/chr hex $1/ge; $key } split /\n/, $out;
	is_deeply(\@listed, [ sort @keys ], 'every key is listed, in the order of its bytes');
}
fails_with('INVALID_OPTION', 'longer than 1024', 'a key that is too long', \@raw, 'head', 'k' x 1022);

# --- paging ---

my @many = ('location=s3://raw/many');
store(\@many, 'fill', 'k', 3000, 10);
$server->store_with_input('', [@many], 'put', $_) for 'k00700/', 'k01000x/';
{
	my ($status, $out, $err) = store(\@many, 'list');
	is_deeply([ map { (split /\t/)[0] } split /\n/, $out ], [ map { sprintf 'k%05d', $_ } 0 .. 2999 ],
		'3,000 keys, folder markers left out');
	like($err, qr/listed=3000\b/, 'are counted');
	like($err, qr/^list=4 .*retries=0/m, 'with one request a page');
}

sub listed
{
	my (@options) = @_;
	my ($status, $out, $err) = store([@many, @options], 'list');
	my ($requests) = $err =~ /^list=(\d+)/m;
	return join ' ', scalar(split /\n/, $out), ($out =~ /^(\w+)/)[0] // '-', ($out =~ /^(\w+).*\n\z/m)[0] // '-', $requests;
}

is(listed('start_after=k00500', 'end_before=k00800', 'page_size=200'), '299 k00501 k00799 2', 'between two keys');
is(listed('prefix=k012'), '100 k01200 k01299 1', 'below a prefix');
is(listed('prefix=k012', 'start_after=k01250'), '49 k01251 k01299 1', 'below a prefix, behind a key');
is(listed('limit=20', 'page_size=7'), '20 k00000 k00019 3', 'up to a limit, and no page too many');
is(listed('limit=5'), '5 k00000 k00004 1', 'a limit within a page');
is(listed('limit=3', 'page_size=2', 'start_after=k00699'), '3 k00700 k00702 2', 'a limit, a folder marker in between');
is(listed('prefix=nothing'), '0 - - 1', 'nothing at all');
is(listed('start_after=z'), '0 - - 1', 'behind the last key');

# --- ranges ---

my $bytes = join '', map { chr int rand 256 } 1 .. 200_000;
put('ranged', $bytes);
my $etag = md5_hex($bytes);
for my $range ([0, 1], [0, 200_000], [0, 300_000], [5, 10], [199_999, 1], [199_990, 100], [100_000, 65_536])
{
	my ($status, $out, $err) = store(\@raw, 'get', 'ranged', @$range);
	is(md5_hex($out), md5_hex(substr $bytes, $range->[0], $range->[1]), "bytes from $range->[0], $range->[1] of them");
	like($err, qr/size=200000 etag=$etag class=STANDARD modified=\d{16}$/m, 'with the description of the whole');
}
for my $behind (200_000, 1_000_000, 2**40)
{
	my ($status, $out) = store(\@raw, 'get', 'ranged', $behind, 10);
	is("$status$out", '0', "nothing comes from offset $behind");
}
put('empty', '');
is((store(\@raw, 'get', 'empty', 0, 10))[1], '', 'an empty object is empty');

# --- conditions ---

is((store([@raw, "if_match=$etag"], 'get', 'ranged', 0, 3))[1], substr($bytes, 0, 3), 'a read of the expected object');
fails_with('CHANGED', 'etag', 'a read of another one', [@raw, 'if_match=other'], 'get', 'ranged');
is((put('ranged', $bytes, "if_match=$etag"))[1], "$etag\n", 'a put over the expected object');
is((put('ranged', 'x', 'if_match=other'))[0], 1, 'a put over another one fails');
like((put('ranged', 'x', 'if_none_match=1'))[2], qr/^EXISTS \|/, 'a put where there must be none');
is((put('new', 'x', 'if_none_match=1'))[0], 0, 'a put where there is none');
is((store(\@raw, 'head', 'ranged'))[1] =~ s/\t\d+\tSTANDARD\n//r, "ranged\t200000\t$etag", 'nothing was overwritten');

# --- parts ---

my $big = $bytes x 101;
for my $command ('put', 'upload')
{
	my ($status, $out, $err) = $server->store_with_input($big, \@raw, $command, $command);
	like($out, qr/^[0-9a-f]{32}-3$/, "$command in three parts");
	like($err, qr/put=3 other=2 /, 'each counted');
	is(md5_hex((store(\@raw, 'get', $command))[1]), md5_hex($big), 'comes back');
}
is(($server->store_with_input($big, [@raw, 'if_none_match=1'], 'upload', 'put'))[0], 1, 'parts over an object that must not be there');
$server->store_with_input($big, \@raw, 'upload', 'given-up', 'give-up');
like((store(\@raw, 'head', 'given-up'))[2], qr/^NOT_FOUND/, 'an upload that was given up shows nothing');
unlike($server->request('GET', '/raw', query => { uploads => '' }), qr/<Upload>/, 'and leaves no parts behind');
is(($server->store_with_input('short', \@raw, 'upload', 'short'))[1], md5_hex('short') . "\n", 'a short upload is one request');

# --- copies, classes, deletes ---

is((store(\@raw, 'copy', 'ranged', 'to here+there'))[1], "$etag\n", 'a copy');
is(md5_hex((store(\@raw, 'get', 'to here+there'))[1]), $etag, 'comes back');
is((store([@raw, 'target=s3://other/from raw'], 'copy', 'a+b', "\xc3\xbc"))[0], 0, 'a copy to another bucket');
is((store(['location=s3://other/from raw'], 'get', "\xc3\xbc"))[1], 'data of a+b', 'comes back');
fails_with('CHANGED', 'etag', 'a copy of another object than expected', [@raw, 'if_match=other'], 'copy', 'ranged', 'no');
fails_with('NOT_FOUND', 'does not exist', 'a copy of nothing', \@raw, 'copy', 'nothing', 'no');
like((store(\@raw, 'copy', 'put', 'in parts', 6_000_000))[1], qr/-4$/, 'a copy in parts');
is(md5_hex((store(\@raw, 'get', 'in parts'))[1]), md5_hex($big), 'comes back');
is((store(\@raw, 'class', 'ranged', 'STANDARD_IA'))[0], 0, 'another storage class');
like((store(\@raw, 'head', 'ranged'))[1], qr/^ranged\t200000\t$etag\t\d+\tSTANDARD_IA$/, 'is seen');
like((store([@raw, 'prefix=ranged'], 'list'))[1], qr/\tSTANDARD_IA$/, 'is listed');
like((put('cold', 'x', 'storage_class=GLACIER'))[2], qr/put=1/, 'a put to a class');
like((store(\@raw, 'head', 'cold'))[1], qr/\tGLACIER$/, 'is seen');
is((store(\@raw, 'delete', 'ranged', 'ranged', 'never there'))[0], 0, 'what is not there counts as deleted');
fails_with('NOT_FOUND', 'does not exist', 'what was deleted', \@raw, 'get', 'ranged');

# --- URLs and TLS ---

my $local = 'http://localhost:' . $server->port;
like((store(['location=s3://raw/in', "endpoint=$local", 'url_style=virtual'], 'get', 'a b'))[1], qr/^data/, 'the bucket in the host name');
fails_with('INVALID_OPTION', 'url_style', 'an address has no subdomains', [@raw, 'url_style=virtual'], 'list');
like((store([@raw, "endpoint=$https", "tls_ca=$tls/localhost.pem"], 'get', 'a b'))[1], qr/^data/, 'TLS with an authority of its own');
like((store([@raw, "endpoint=$https", "tls_ca=$tls/localhost.pem", 'url_style=virtual'], 'get', 'a b'))[1], qr/^data/, 'and the bucket in the host name');
fails_with('TLS', 'tls_ca', 'TLS that nobody vouches for', [@raw, "endpoint=$https"], 'list');
fails_with('TLS', 'tls_ca', 'TLS that somebody else vouches for', [@raw, "endpoint=$https", "tls_ca=$tls/stranger.pem"], 'list');
fails_with('TLS', 'PEM', 'a file without certificates', [@raw, "endpoint=$https", "tls_ca=$0"], 'list');
fails_with('TLS', 'tls_ca', 'a file that is not there', [@raw, "endpoint=$https", 'tls_ca=/nowhere'], 'list');
fails_with('TLS', 'name the host', 'a certificate for another name',
	['location=s3://other', "endpoint=$https", "tls_ca=$tls/localhost.pem", 'url_style=virtual'], 'list');
fails_with('NETWORK', 'check option endpoint', 'a server that is not up', [@raw, 'endpoint=http://127.0.0.1:1', 'max_retries=1'], 'list');
fails_with('NETWORK', 'name resolution', 'a name that is none', [@raw, 'endpoint=http://nowhere.invalid', 'max_retries=1'], 'list');
fails_with('ENDPOINT_REFUSED', '', 'a metadata service', [@raw, 'endpoint=http://169.254.169.254'], 'list');
fails_with('ENDPOINT_REFUSED', 'allowed', 'an endpoint outside the list', [@raw, 'restrict_endpoints=1', 'allowed_endpoints=s3.example.org'], 'list');

# --- who may ---

fails_with('CREDENTIALS', 'secret_access_key', 'a wrong secret', [@raw, 'secret_access_key=wrong'], 'list');
fails_with('CREDENTIALS', 'access_key_id', 'an unknown key', [@raw, 'access_key_id=nobody'], 'list');
fails_with('NO_BUCKET', 'option location', 'a bucket that is not there', ['location=s3://nobucket'], 'list');
fails_with('ACCESS_DENIED', '', 'nobody', [ @raw, 'credentials=anonymous', 'access_key_id=', 'secret_access_key=' ], 'list');
$server->bucket('public', headers => { 'x-amz-acl' => 'public-read' });
$server->request('PUT', '/public/open', body => 'for all', headers => { 'x-amz-acl' => 'public-read' });
my @anonymous = ('location=s3://public', 'credentials=anonymous', 'access_key_id=', 'secret_access_key=');
like((store(\@anonymous, 'list'))[1], qr/^open\t7\t/, 'a public bucket is listed by anybody');
is((store(\@anonymous, 'get', 'open'))[1], 'for all', 'and read');
fails_with('ACCESS_DENIED', '', 'but not written', \@anonymous, 'put', 'closed');

undef $server;

# --- temporary keys ---

$server = S3Server->start('radosgw', RGW_STS => 'true');
$server->bucket('raw');
my $answer = $server->request('POST', '/', service => 'sts', type => 'application/x-www-form-urlencoded',
	body => 'Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A%3Arole%2Freader&RoleSessionName=test&DurationSeconds=900');
my %keys = $answer =~ m{<(AccessKeyId|SecretAccessKey|SessionToken)>(.*?)</}g;
my @temporary = (@raw, "access_key_id=$keys{AccessKeyId}", "secret_access_key=$keys{SecretAccessKey}", "session_token=$keys{SessionToken}");
is(($server->store_with_input('hello', \@temporary, 'put', 'a b'))[0], 0, 'temporary keys put');
is((store(\@temporary, 'get', 'a b'))[1], 'hello', 'and get');
like((store(\@temporary, 'list'))[1], qr/^a b\t5\t/, 'and list');
my ($status, undef, $err) = store([ @temporary, 'session_token=' . substr $keys{SessionToken}, 0, 40 ], 'list');
like($err, qr/^(CREDENTIALS|ACCESS_DENIED) \|/, 'half a token is refused');
unlike($err, qr/\Q@{[ substr $keys{SessionToken}, 0, 20 ]}\E/, 'and not told');

done_testing();
