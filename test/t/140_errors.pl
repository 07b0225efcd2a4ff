# Promise: what is wrong with the store is said in words of its own, with what to do about it; never as a bad file, never as no rows.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $s3 = s3_server() or plan skip_all => 'no radosgw here';
my $dir = work_dir();
make_files('--count', 5, '--size', 0, '--layout', 'flat', $dir);
put_directory($s3, 'errors', $dir);

my $cluster = cluster();
my $number  = 0;
my %seen;

# A server with these options, queried, fails with this message. There is a hint, unless no_hint says that there is nothing to do.
sub fails
{
	my ($promise, $server, $location, $message, %options) = @_;
	my $name = 'wrong' . ++$number;
	my $table = delete $options{table} || 'images';
	my $no_hint = delete $options{no_hint};

	$cluster->make_server($name, $server, $location, %options);
	my ($out, $err, $code) = $cluster->psql("SELECT count(*) FROM $name.$table;");
	isnt($code, 0, "$promise: an error, not no rows");
	like($err, $message, "$promise: said in its own words");
	like($err, qr/^HINT:  \S/m, "$promise: with a hint") unless $no_hint;
	unlike($err, qr/ERROR:  XX000/, "$promise: with an SQLSTATE");
	unlike($err, qr/skipped|not a DICOM/i, "$promise: no file is blamed");
	unlike($err, qr/\Q$s3->{secret_access_key}\E|Signature=/, "$promise: no secret is told");
	my ($line) = $err =~ /ERROR:  \w+: (.*)/;
	ok(!$seen{ $line // '' }++, "$promise: not the words of another error");
	diag("$promise: $err") if $ENV{DICOM_TEST_SHOW};
	return;
}

my $far = S3Server::free_ports();
my %wrong_secret = (%$s3, secret_access_key => 'not the secret');
my %unknown_key  = (%$s3, access_key_id => 'AKIDDOESNOTEXIST');

$cluster->make_server('good', $s3, 's3://errors/');

fails('wrong secret', \%wrong_secret, 's3://errors/', qr/ERROR:  \w+: .*(secret|signature)/i, max_retries => 1);
fails('unknown key', \%unknown_key, 's3://errors/', qr/ERROR:  \w+: .*key/i, max_retries => 1);
fails('missing bucket', $s3, 's3://no-such-bucket/', qr/ERROR:  \w+: .*bucket/i);
fails('nobody listens', { %$s3, endpoint => "http://127.0.0.1:$far" }, 's3://errors/', qr/ERROR:  \w+: .*(connect|refused)/i, max_retries => 1);
fails('host that does not exist', { %$s3, endpoint => 'http://nowhere.invalid' }, 's3://errors/', qr/ERROR:  \w+: .*resolve/i, max_retries => 1);
fails('TLS spoken to what does not', { %$s3, endpoint => $s3->{endpoint} =~ s/^http:/https:/r }, 's3://errors/', qr/ERROR:  \w+: .*(TLS|SSL)/i, max_retries => 1);
fails('missing directory', undef, 'file:///nowhere/at/all/', qr/ERROR:  \w+: .*director/i, no_hint => 1);

# What a server answers that knows regions and tokens better than radosgw does: canned answers.
sub answers
{
	my ($status, $code, $more) = @_;
	my $body = "<?xml version=\"1.0\"?><Error><Code>$code</Code><Message>told by the store</Message>$more->{xml}</Error>";

	return canned_server("HTTP/1.1 $status Because\r\nContent-Type: application/xml\r\n$more->{headers}Content-Length: "
			. length($body) . "\r\nConnection: close\r\n\r\n$body");
}
my %none = (xml => '', headers => '');
fails('expired token', { %$s3, endpoint => answers(400, 'ExpiredToken', \%none) }, 's3://errors/', qr/ERROR:  \w+: .*expired/i);
fails('wrong region', { %$s3, endpoint => answers(301, 'PermanentRedirect', { xml => '', headers => "x-amz-bucket-region: eu-central-1\r\n" }) },
	's3://errors/', qr/ERROR:  \w+: .*region/i);
fails('not allowed', { %$s3, endpoint => answers(403, 'AccessDenied', \%none) }, 's3://errors/', qr/ERROR:  \w+: .*(denies|not allowed)/i);
fails('slow down', { %$s3, endpoint => answers(503, 'SlowDown', \%none) }, 's3://errors/', qr/ERROR:  \w+: .*(slow|thrott|busy|too many)/i, max_retries => 2);
fails('the store is broken', { %$s3, endpoint => answers(500, 'InternalError', \%none) }, 's3://errors/', qr/ERROR:  \w+: .*internal error/i, max_retries => 2, no_hint => 1);
fails('the clock is wrong', { %$s3, endpoint => answers(403, 'RequestTimeTooSkewed', \%none) }, 's3://errors/', qr/ERROR:  \w+: .*(clock|time)/i);

# The region that the store names is the one the hint names.
my ($out, $err) = $cluster->psql('SELECT count(*) FROM wrong9.images');
like($err, qr/HINT:.*eu-central-1/, 'wrong region: the hint names the right one');

# Answers that are no S3: a listing that is not XML, or ends early, is not the truth
fails('an answer that is no XML', { %$s3, endpoint => canned_server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello") },
	's3://errors/', qr/ERROR:  \w+: /, table => 'files', max_retries => 0, no_hint => 1);
fails('a listing cut short', { %$s3, endpoint => canned_server("HTTP/1.1 200 OK\r\nContent-Length: 60\r\nConnection: close\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated>") },
	's3://errors/', qr/ERROR:  \w+: /, table => 'files', max_retries => 0, no_hint => 1);

# Errors when objects are made, not when they are used
for my $case (
	[ 'misspelt option', "CREATE SERVER x FOREIGN DATA WRAPPER dicom_fdw OPTIONS (locaton 's3://b/')", qr/HINT:.*location/ ],
	[ 'missing location', 'CREATE SERVER x FOREIGN DATA WRAPPER dicom_fdw', qr/location.*required|required.*location/s ],
	[ 'secret in a server', "CREATE SERVER x FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://b/', secret_access_key 'hush')", qr/HINT:.*user mapping/ ],
	[ 'unknown scheme', "CREATE SERVER x FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'ftp://b/')", qr/s3:\/\// ],
	[ 'unknown entity', "CREATE FOREIGN TABLE x (a text) SERVER good OPTIONS (entity 'image')", qr/HINT:.*images/ ],
	[ 'unknown attribute', "CREATE FOREIGN TABLE x (patient_nam text) SERVER good OPTIONS (entity 'images'); SELECT * FROM x", qr/HINT:.*patient_?name/i ],
	[ 'unknown tag', "CREATE FOREIGN TABLE y (a text OPTIONS (tag 'PatientNam')) SERVER good OPTIONS (entity 'images')", qr/HINT:.*PatientName/ ])
{
	my ($promise, $statement, $hint) = @$case;
	($out, $err, my $code) = $cluster->psql($statement);
	isnt($code, 0, "$promise is refused");
	like($err, $hint, "$promise: what to write instead");
}

is($cluster->query('SELECT count(*) FROM good.images'), 5, 'and where everything is right there are rows');
done_testing();
