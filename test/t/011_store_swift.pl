# The S3 store against a second, independent server, for what the first one lets pass: signatures, order of pages, ranges, regions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::MD5 qw(md5_hex);
use S3Server;
use Test::More;

my $server = S3Server->start('swift');
plan skip_all => $server->skipped if $server->skipped;

$server->bucket('raw');
my @raw = ('location=s3://raw/in');

sub store { return $server->store(@_) }

my @keys = ('a b', 'a+b', '100%', '%41', "\xc3\xbc/\xc3\xb6", 'x//y', '/lead', 'q?a=b&c', q{quo'te"}, 'e#f', '~t*(!)', '<&>', 'z:@=,;$');
for my $key (@keys)
{
	my ($status, undef, $err) = $server->store_with_input("data of $key", \@raw, 'put', $key);
	is($status, 0, "put $key") or diag $err;
	is((store(\@raw, 'get', $key))[1], "data of $key", "get $key");
}
my (undef, $out, $err) = store([ @raw, 'page_size=4' ], 'list');
is_deeply([ map { my ($key) = split /\t/; $key =~ s/%(..)/chr hex $1/ge; $key } split /\n/, $out ], [ sort @keys ], 'every key is listed, page by page');
like($err, qr/^list=4 /m, 'with one request a page');
is((store([ @raw, 'start_after=a b', 'limit=2' ], 'list'))[1] =~ s/\t.*//gr, "a+b\ne#f\n", 'behind a key');

is((store(\@raw, 'get', 'a b', 2, 3))[1], 'ta ', 'a range');
is((store(\@raw, 'get', 'a b', 500, 3))[1], '', 'nothing behind the end');
like((store([ @raw, 'if_match=other' ], 'get', 'a b'))[2], qr/^CHANGED \|/, 'another object than expected');
like((store(\@raw, 'get', 'nothing'))[2], qr/^NOT_FOUND \|/, 'no object');
like((store(['location=s3://nobucket'], 'list'))[2], qr/^NO_BUCKET \|/, 'no bucket');
like((store([ @raw, 'region=eu-west-1' ], 'list'))[2], qr/^REGION \|.*set option region to 'us-east-1'/, 'another region, and which');
like((store([ @raw, 'secret_access_key=wrong' ], 'list'))[2], qr/^CREDENTIALS \|.*secret/, 'a wrong secret');
is((store(\@raw, 'copy', 'a+b', 'a copy'))[1], md5_hex('data of a+b') . "\n", 'a copy');
is((store(\@raw, 'delete', 'a copy', 'a copy'))[0], 0, 'what is not there counts as deleted');
my $big = 'some text' x 2_000_000;
like(($server->store_with_input($big, \@raw, 'upload', 'parts'))[1], qr/-3$/, 'an upload in parts');
is(md5_hex((store(\@raw, 'get', 'parts'))[1]), md5_hex($big), 'comes back');

done_testing();
