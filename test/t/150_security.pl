# Promise: nobody reads through this extension what they could not read without it: no file outside of the location, no credentials
# of the machine, no host that was not allowed; and no secret and no value of a patient shows up anywhere.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $secret = 'S3cretNobodyMaySee';
my $token  = 'T0kenNobodyMaySee';

# --- A directory with ways out of it

my $dir = work_dir();
my ($inside, $outside) = ("$dir/inside", "$dir/outside");
make_files('--count', 3, '--size', 0, '--layout', 'flat', $inside);
make_files('--count', 2, '--size', 0, '--layout', 'flat', '--seed', 2, $outside);
symlink "$outside/000000.dcm", "$inside/link_out.dcm";
symlink $outside, "$inside/directory_out";
symlink '../outside/000001.dcm', "$inside/relative_out.dcm";
symlink '000001.dcm', "$inside/link_in.dcm";
symlink '/etc/passwd', "$inside/passwd";
symlink "$dir/inside", "$dir/location_is_a_link";
mkdir "$inside/below";
symlink '..', "$inside/below/up";

my $cluster = cluster(conf => "log_statement = none\nlog_min_error_statement = panic\n",
	env => { AWS_ACCESS_KEY_ID => 'AKIDAMBIENT', AWS_SECRET_ACCESS_KEY => $secret, AWS_SESSION_TOKEN => $token });

# Only now: when it starts, the server itself would write its environment into so talkative a log.
$cluster->query('ALTER SYSTEM SET log_min_messages = debug5');
$cluster->query('SELECT pg_reload_conf()');
$cluster->make_server('disk', undef, "file://$inside/");
$cluster->query('CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER dicom_fdw TO alice;'
		. 'GRANT CREATE ON SCHEMA public TO alice, bob; GRANT CREATE ON DATABASE postgres TO alice');

is($cluster->query("SELECT string_agg(key, ',' ORDER BY key) FROM disk.files WHERE error IS NULL AND sop_instance_uid IS NOT NULL"),
	'000000.dcm,000001.dcm,000002.dcm,link_in.dcm', 'links within the location are followed, no others');
is($cluster->query("SELECT count(*) FROM disk.images WHERE sop_instance_uid LIKE '%.10.1234.2.%' OR sop_instance_uid LIKE '1.2.826.0.1.3680043.10.1234.2.%'"),
	0, 'no row comes from outside');
for my $key ('../outside/000000.dcm', 'link_out.dcm', 'relative_out.dcm', 'directory_out/000000.dcm', 'passwd', '/etc/passwd',
	'./../outside/000000.dcm', 'below/../../outside/000000.dcm', 'below/up/../../outside/000000.dcm', '//etc/passwd')
{
	my ($out, $err) = $cluster->psql("SELECT count(*) FROM dicom.elements('disk', '$key')");
	is($out || 0, 0, "elements of $key: none");
	($out, $err) = $cluster->psql("SELECT count(sop_instance_uid) FROM disk.files WHERE key = '$key'");
	is($out || 0, 0, "key = '$key': nothing is read");
}
for my $prefix ('../', '../outside/', 'directory_out/', '/')
{
	my ($out, $err) = $cluster->psql("SELECT count(*) FROM dicom.images('disk', '$prefix')");
	is($out || 0, 0, "prefix $prefix: no images");
}

# --- Files take the right to read files

my ($out, $err, $code) = $cluster->psql("CREATE SERVER hers FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$inside/')", user => 'alice');
like($err, qr/42501.*location/, 'a role without pg_read_server_files makes no server over files');
like($err, qr/HINT:.*pg_read_server_files/, 'and is told which right it takes');
$cluster->query("CREATE SERVER hers FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/')", user => 'alice');
(undef, $err) = $cluster->psql("ALTER SERVER hers OPTIONS (SET location 'file://$inside/')", user => 'alice');
like($err, qr/42501/, 'nor does she change one into that');
(undef, $err) = $cluster->psql("ALTER SERVER hers OPTIONS (ADD tls_ca '/etc/passwd')", user => 'alice');
like($err, qr/42501/, 'nor name another file of the server');
(undef, $err) = $cluster->psql("SELECT * FROM dicom.elements('disk', '000000.dcm')", user => 'alice');
like($err, qr/42501/, 'a function takes USAGE on the server');
(undef, $err) = $cluster->psql('SELECT * FROM disk.images', user => 'alice');
like($err, qr/42501/, 'a table takes SELECT');
$cluster->query('GRANT USAGE ON SCHEMA disk TO alice; GRANT SELECT ON disk.images TO alice');
is($cluster->query('SELECT count(*) FROM disk.images', user => 'alice'), 4, 'which is all it takes for a table that somebody else made');
$cluster->query("CREATE SERVER given FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$inside/'); ALTER SERVER given OWNER TO alice");
(undef, $err) = $cluster->psql("SELECT * FROM dicom.images('given', '')", user => 'alice');
like($err, qr/42501/, 'a server over files that came into her hands reads nothing');
(undef, $err) = $cluster->psql("SELECT * FROM dicom.images('given', '')");
like($err, qr/42501/, 'not even for a superuser');

# --- Credentials of the machine

SKIP:
{
	my $s3 = s3_server() or skip 'no radosgw here', 16;
	my $ambient = cluster(env => { AWS_ACCESS_KEY_ID => $s3->{access_key_id}, AWS_SECRET_ACCESS_KEY => $s3->{secret_access_key} });
	my $server = "location 's3://private/', endpoint '$s3->{endpoint}'";

	put_directory($s3, 'private', $inside);
	$ambient->query(<<"END");
CREATE EXTENSION dicom_fdw;
CREATE ROLE alice LOGIN;
CREATE ROLE carol LOGIN;
GRANT CREATE ON SCHEMA public TO alice, carol;
GRANT USAGE ON FOREIGN DATA WRAPPER dicom_fdw TO alice, carol;
GRANT USAGE ON SCHEMA dicom TO alice, carol;
CREATE SERVER scans FOREIGN DATA WRAPPER dicom_fdw OPTIONS ($server);
CREATE SERVER env FOREIGN DATA WRAPPER dicom_fdw OPTIONS ($server, credentials 'environment');
GRANT USAGE ON FOREIGN SERVER scans, env TO alice, carol;
ALTER ROLE alice SET dicom_fdw.allowed_endpoints = '127.0.0.1';
END
	is($ambient->query("SELECT count(*) FROM dicom.images('scans', '') WHERE NOT filename ~ 'out|passwd|below'"), 4, 'a superuser without a mapping uses the environment');
	is($ambient->query("SELECT count(*) > 0 FROM dicom.images('env', '')"), 't', 'also when told to');
	(undef, $err, $code) = $ambient->psql("SELECT count(*) FROM dicom.images('scans', '')", user => 'alice');
	isnt($code, 0, 'another role does not');
	like($err, qr/ERROR:  (42501|28\w+|HV\w+): /, 'but fails as somebody without keys');
	(undef, $err, $code) = $ambient->psql("SELECT count(*) FROM dicom.images('env', '')", user => 'alice');
	isnt($code, 0, 'nor when the server says so');
	like($err, qr/HINT: /, 'and is told what to do');
	for my $set ("SET dicom_fdw.ambient_roles = 'alice'", "LOAD 'dicom_fdw'; SET dicom_fdw.ambient_roles = 'alice'",
		"SELECT set_config('dicom_fdw.ambient_roles', 'alice', false)")
	{
		($out) = $ambient->psql("$set; SELECT 'rows ' || count(*) FROM dicom.images('scans', '')", user => 'alice', go_on => 1);
		unlike($out, qr/rows/, "she cannot allow it to herself: $set");
	}
	$ambient->query("ALTER ROLE alice SET dicom_fdw.ambient_roles = 'alice'");
	is($ambient->query("SELECT count(*) > 0 FROM dicom.images('scans', '')", user => 'alice'), 't', 'a superuser can');
	(undef, $err, $code) = $ambient->psql("SELECT count(*) FROM dicom.images('scans', '')", user => 'carol');
	isnt($code, 0, 'for her alone');

	# A view reads with its owner's mapping
	$ambient->query("CREATE FOREIGN TABLE images (filename text) SERVER scans OPTIONS (entity 'images'); GRANT SELECT ON images TO alice, carol;"
			. "CREATE USER MAPPING FOR carol SERVER scans OPTIONS (access_key_id '$s3->{access_key_id}', secret_access_key '$s3->{secret_access_key}');"
			. 'CREATE ROLE dave LOGIN');
	$ambient->query('CREATE VIEW of_carol AS SELECT * FROM images; GRANT SELECT ON of_carol TO dave', user => 'carol');
	is($ambient->query('SELECT count(*) > 0 FROM of_carol', user => 'dave'), 't', 'a view reads with the mapping of its owner');
	(undef, $err, $code) = $ambient->psql('SELECT count(*) FROM images', user => 'dave');
	like($err, qr/42501/, 'who reads it has no other access');
	$ambient->query('ALTER SERVER scans OWNER TO carol');
	(undef, $err, $code) = $ambient->psql("SELECT count(*) FROM dicom.images('scans', '')", user => 'alice');
	isnt($code, 0, 'the machine lends no credentials to a server of an ordinary user');

	# An endpoint that its owner may not name is refused at use as well
	(undef, $err, $code) = $ambient->psql("SELECT count(*) FROM dicom.images('scans', '')", user => 'carol');
	like($err, qr/42501.*endpoint/i, 'nor is an endpoint allowed that came with a change of owner');
	is($ambient->query("SET client_min_messages = error; SELECT dicom.file_error('') IS NULL \\g /dev/null\nSHOW dicom_fdw.allowed_endpoints", user => 'carol'), '*.amazonaws.com,*.amazonaws.com.cn', 'the default allows AWS');
}

# --- Endpoints

for my $endpoint ('http://127.0.0.1:1', 'https://s3.example.com', 'https://amazonaws.com.example.com', 'https://evilamazonaws.com')
{
	(undef, $err) = $cluster->psql("CREATE SERVER e FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://b/', endpoint '$endpoint')", user => 'alice');
	like($err, qr/42501.*endpoint/, "an ordinary user does not name $endpoint");
	like($err, qr/HINT:.*allowed_endpoints/, 'and learns of the setting');
}
$cluster->query("CREATE SERVER aws FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://b/', endpoint 'https://s3.eu-west-1.amazonaws.com')", user => 'alice');
pass('but AWS is allowed');
(undef, $err) = $cluster->psql("SET dicom_fdw.allowed_endpoints = '127.0.0.1'; CREATE SERVER mine FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://b/', endpoint 'http://127.0.0.1:1')",
	user => 'alice', go_on => 1);
like($err, qr/42501.*endpoint/, 'and nobody adds to the list for themselves');

my $number = 0;
for my $endpoint ('http://169.254.169.254', 'http://169.254.170.2:80/x', 'http://2852039166', 'http://0xa9fea9fe', 'http://0251.0376.0251.0376',
	'http://169.254.43518', 'http://[fe80::1]', 'http://[::ffff:169.254.169.254]', 'http://[::ffff:a9fe:a9fe]', 'http://[fd00:ec2::254]', 'http://metadata.google.internal',
	'http://169.254.169.254.')
{
	my $name = 'meta' . ++$number;
	(undef, $err, $code) = $cluster->psql(<<"END");
CREATE SERVER $name FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://bucket/', endpoint '$endpoint', max_retries '0', request_timeout '2s');
SELECT * FROM dicom.files('$name', '');
END
	isnt($code, 0, "not even a superuser reaches $endpoint");
	like($err, qr/ERROR:  (42501|HV\w+|22023): .*(link-local|metadata|refused|endpoint|forbidden)/i, 'it is refused, not tried');
}

# --- Secrets

my $nobody = canned_server("HTTP/1.1 403 Forbidden\r\nContent-Length: 101\r\nConnection: close\r\n\r\n"
		. sprintf '%-101s', '<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>');
$cluster->query(<<"END");
CREATE SERVER quiet FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://quiet/', endpoint '$nobody', max_retries '1');
CREATE USER MAPPING FOR PUBLIC SERVER quiet OPTIONS (access_key_id 'AKIDQUIET', secret_access_key '$secret', session_token '$token');
CREATE FOREIGN TABLE quiet_images (filename text, patient_birth_date date) SERVER quiet OPTIONS (entity 'images');
GRANT USAGE ON FOREIGN SERVER quiet TO alice;
END
my $told = join "\n", map { my ($o, $e) = $cluster->psql("SET client_min_messages = debug5; SET log_error_verbosity = verbose; $_", go_on => 1); "$o\n$e" }
	'SELECT * FROM quiet_images', 'EXPLAIN (VERBOSE, SETTINGS) SELECT * FROM quiet_images', 'EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM quiet_images',
	"SELECT * FROM dicom.images('quiet', '')", 'ANALYZE quiet_images', 'SELECT srvname, srvoptions FROM pg_foreign_server',
	"SELECT * FROM information_schema.foreign_server_options; SELECT * FROM information_schema.foreign_table_options",
	'SELECT * FROM pg_stat_activity; SELECT * FROM pg_stats; SELECT * FROM pg_settings';
$told .= join "\n", map { my ($o, $e) = $cluster->psql($_, user => 'alice', go_on => 1); "$o\n$e" }
	'SELECT * FROM pg_user_mappings', 'SELECT * FROM information_schema.user_mapping_options', "SELECT * FROM dicom.images('quiet', '')",
	'SELECT umoptions FROM pg_user_mapping';
unlike($told, qr/\Q$secret\E/, 'no result, message or plan holds the secret key');
unlike($told, qr/\Q$token\E/, 'nor the session token');
unlike($told, qr/Signature=|X-Amz-Signature/i, 'nor a signature');
my $log = $cluster->server_log;
is_deeply([ grep { /\Q$secret\E|\Q$token\E|Signature=|Authorization:/i } split /\n/, $log ], [], 'nor does the log, at its most talkative');

# --- Values of patients

my $file = read_text("$inside/000002.dcm");
$file =~ s/(\x10\x00\x30\x00DA\x08\x00)\d{8}/${1}^SECRET^/ or die;
write_text("$inside/000002.dcm", $file);
$cluster->query(<<'END');
CREATE FOREIGN TABLE strict (filename text, patient_birth_date date) SERVER disk OPTIONS (entity 'images', on_bad_value 'error');
CREATE FOREIGN TABLE lenient (filename text, patient_birth_date date) SERVER disk OPTIONS (entity 'images');
END
(undef, $err, $code) = $cluster->psql("SELECT * FROM strict WHERE filename LIKE '00000%'");
isnt($code, 0, 'a value that is no date is an error where the table says so');
like($err, qr/000002\.dcm/, 'which names the file');
unlike($err, qr/SECRET/, 'and not the value');
($out, $err, $code) = $cluster->psql("SET client_min_messages = debug5; SELECT * FROM lenient WHERE filename LIKE '000002%'");
is($out, '000002.dcm|', 'elsewhere it is NULL');
unlike($err, qr/SECRET/, 'and silent');
unlike($cluster->server_log, qr/SECRET\^/, 'nor does the log');

# --- Keys, which may name people

write_text("$inside/DOE-JANE.dcm", substr($file, 0, 200));
($out, $err, $code) = $cluster->psql("SET client_min_messages = notice; SELECT * FROM lenient WHERE filename >= 'D'");
like($err, qr/The first is "DOE-JANE\.dcm"/, 'a WARNING names a bad file');
(undef, $err, $code) = $cluster->psql("ALTER FOREIGN TABLE strict OPTIONS (ADD on_error 'error'); SET log_statement = none; SELECT * FROM strict WHERE filename >= 'D'");
like($err, qr/Object: .*DOE-JANE\.dcm/, 'so does an error');
unlike($cluster->server_log, qr/DOE-JANE/, 'the log does not');

done_testing();
