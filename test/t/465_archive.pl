# Promise: raw files of finished days move to another storage class when they are old enough, and nothing else happens: no day becomes stale, no
# file is read again, no picture made anew. What is archived is answered from the catalog; a scan that has to read it says so and goes on.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $s3 = s3_server();
plan skip_all => 'no radosgw here' if !$s3;
my $cluster = cluster(conf => key_conf());
my $dir     = work_dir();
my $stage   = work_dir();

for my $i (1 .. 6)
{
	write_image("$dir/f$i", study => 1 + $i % 2, series => 1 + $i % 2, image => $i, day => $i % 2 ? '20200101' : '20200102', patient => 'P1');
}
put_directory($s3, 'raw', $dir);
my $proxy = fault_proxy($s3);
$cluster->make_server('files', $proxy->server, 's3://raw/', max_retries => 1);
$cluster->query(qq{SELECT dicom.create_pipeline('p', raw => 'files', stage => '$stage', options => '{"export": "processed", "archive_class": "STANDARD_IA"}')});
run_pipeline($cluster, 'p');
is($cluster->query("SELECT storage_class, count(*) FROM files.files GROUP BY 1"), 'STANDARD|6', 'without archive_after nothing moves');
my $state    = pipeline_state($cluster, 'p');
my $pictures = stage_files($stage);

$cluster->query(q{SELECT dicom.alter_pipeline('p', '{"archive_after": "1 hour"}')});
run_pipeline($cluster, 'p');
is($cluster->query("SELECT DISTINCT storage_class FROM dicom.object"), 'STANDARD', 'nor does what is too young');

# A day that is not finished does not move.
$cluster->query(q{SELECT dicom.alter_pipeline('p', '{"archive_after": "0"}')});
$cluster->query("UPDATE dicom.layer_day SET state = 'failed', next_attempt = now() + interval '1 hour' WHERE layer = 'dicom_stage' AND day = '2020-01-02'");
run_pipeline($cluster, 'p');
is($cluster->query("SELECT study_date, storage_class, count(*) FROM dicom.object GROUP BY 1, 2 ORDER BY 1"), "2020-01-01|STANDARD_IA|3\n2020-01-02|STANDARD|3", 'finished days move, the others stay');
$cluster->query("UPDATE dicom.layer_day SET state = 'fresh', next_attempt = NULL WHERE state = 'failed'");
my $etags = $cluster->query('SELECT key, etag FROM dicom.object ORDER BY key');
run_pipeline($cluster, 'p');
is($cluster->query("SELECT storage_class, count(*) FROM files.files GROUP BY 1"), 'STANDARD_IA|6', 'then all have moved');
is($cluster->query("SELECT updated, failed FROM dicom.run_steps WHERE step = 'archive' ORDER BY run DESC LIMIT 1"), '3|0', 'dicom.run_steps counts them');

$proxy->forget;
run_pipeline($cluster, 'p');
is(join(',', map { $_->{is_list} ? 'LIST' : "$_->{method} $_->{target}" } $proxy->requests), 'LIST', 'the next run finds nothing to do: one LIST');
is($cluster->query("SELECT count(*) FROM dicom.days WHERE state <> 'fresh'"), 0, 'no day has become stale');
is(pipeline_state($cluster, 'p'), $state, 'the tables are as they were');
is(stage_files($stage), $pictures, 'and so are pictures and Parquet files');
is($cluster->query("SELECT o.key = f.key AND o.etag = f.etag AND o.storage_class = f.storage_class AND o.last_modified = f.last_modified FROM dicom.object o JOIN files.files f USING (key)
	GROUP BY 1"), 't', 'the catalog has what the store has');

# --- many at a time

my $answers = sub { return scalar grep { $_->{method} eq 'PUT' && $_->{status} == 200 } $proxy->requests };
my $keys = $cluster->query("SELECT array_agg(key ORDER BY key) FROM dicom.object");
$proxy->forget;
$proxy->set('silent /raw/f1');
my $moving = $cluster->start_psql("SET statement_timeout = '20s'; SELECT * FROM dicom.set_storage_class('files', '$keys', 'STANDARD')", go_on => 1);
ok(wait_until(sub { $answers->() == 5 }, 15), 'one that is not answered does not hold up the others');
$proxy->set('');
$cluster->psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SET statement_timeout%'");
like(($cluster->finish_psql($moving))[1], qr/57014/, 'a cancel ends all');
run_pipeline($cluster, 'p');
is($cluster->query("SELECT updated, failed FROM dicom.run_steps WHERE step = 'archive' ORDER BY run DESC LIMIT 1"), '5|0', 'the next run finds what has moved without the catalog, and moves it again');
is($cluster->query("SELECT storage_class, count(*) FROM dicom.object GROUP BY 1"), 'STANDARD_IA|6', 'so that all are where they belong');
is($cluster->query("SELECT count(*) FROM dicom.days WHERE state <> 'fresh'"), 0, 'and no day is stale');

# --- one that has another etag after the copy

my $parts = $cluster->query("SELECT source_etag FROM dicom_stage_private.images WHERE source_key = 'f1'");
$cluster->query(qq{SELECT dicom.rename_versions(p, '[{"key": "f1", "day": "2020-01-01", "old_etag": "$parts", "etag": "other-2"}]') FROM dicom.pipeline p});
is($cluster->query("SELECT source_etag FROM dicom_stage_private.images WHERE source_key = 'f1' UNION SELECT source_etag FROM dicom_stage_private.picture_objects WHERE source_key = 'f1'"),
	'other-2', 'a new etag is noted wherever the old one was');
$cluster->query(qq{SELECT dicom.rename_versions(p, '[{"key": "f1", "day": "2020-01-01", "old_etag": "other-2", "etag": "$parts"}]') FROM dicom.pipeline p});

# --- by hand; objects that are not what the catalog knows

$s3->request('PUT', '/raw/f2', body => 'changed');
is($cluster->query("SELECT key, etag IS NOT NULL, error_code FROM dicom.set_storage_class('files', '{f1,f2,nowhere}', 'GLACIER')"), "f1|t|\nf2|f|40001\nnowhere|f|58P01",
	'an object that was replaced since the catalog saw it is left alone');
is($cluster->query("SELECT storage_class FROM dicom.object WHERE key = 'f1'"), 'GLACIER', 'the catalog knows of the others');
write_image("$dir/f2", study => 1, series => 1, image => 2, day => '20200102', patient => 'P1');
$s3->request('PUT', '/raw/f2', body => read_text("$dir/f2"));
my ($out, $err) = $cluster->psql("SELECT * FROM dicom.set_storage_class('p_stage', '{a}', 'GLACIER')");
like($err, qr/HV024.*directory has no storage classes.*HINT/s, 'a directory has no storage classes');
run_pipeline($cluster, 'p');
is($cluster->query("SELECT key FROM dicom.object WHERE storage_class = 'GLACIER'"), 'f1', 'what is colder already does not move to a warmer class');
$cluster->query('CREATE ROLE bob; GRANT USAGE ON SCHEMA dicom TO bob');
for my $call ("dicom.set_storage_class('files', '{f1}', 'GLACIER')", "dicom.restore_objects('files', '{f1}', 1)", "dicom.archivable('files', '{2020-01-01}', now(), '{STANDARD}', '', 5)")
{
	($out, $err) = $cluster->psql("SET ROLE bob; SELECT * FROM $call");
	like($err, qr/42501/, "$call needs USAGE on the server");
}

# --- scans

$cluster->query(q{SELECT dicom.alter_pipeline('p', '{"archive_class": "GLACIER"}')});
run_pipeline($cluster, 'p');
is($cluster->query("SELECT storage_class, count(*) FROM dicom.object GROUP BY 1"), 'GLACIER|6', 'what is in a warmer class moves on');

$proxy->set('status /raw/f 403 0 InvalidObjectState');
$proxy->forget;
is($cluster->query('SELECT count(*), min(study_date) FROM files.images'), '6|2020-01-01', 'attributes of archived files come from the catalog');
is(scalar(grep { $_->{is_read} } $proxy->requests), 0, 'without asking for the files');
$cluster->make_server('plain', $proxy->server, 's3://raw/', max_retries => 0);
($out, $err) = $cluster->psql('SELECT count(*), count(rows) FROM plain.images');
is($out, '0|0', 'without a catalog a scan passes over them');
like($err, qr/WARNING.*6 files could not be read.*HINT/s, 'and says so');
is($cluster->query('SELECT DISTINCT error FROM plain.files'), 'the object is archived', 'and why');
is($cluster->query('SELECT count(*) FROM plain.files'), 6, 'a list of files needs none of them');
$cluster->query("SELECT dicom.restate('p', ARRAY['2020-01-01'::date])");
($out, $err) = $cluster->psql("CALL dicom.run('p')");
is($cluster->query("SELECT status FROM dicom.runs ORDER BY run DESC LIMIT 1") . $err, 'done', 'a run that meets them goes on');
is($cluster->query("SELECT count(*) FROM files.images"), 6, 'and loses none');
$proxy->set('');
$cluster->query("SELECT dicom.retry_failed('p')");
run_pipeline($cluster, 'p');
is(pipeline_state($cluster, 'p'), $state, 'when they can be read again all is as it was');

# --- a store that does not hand out what is archived

my $body    = '<?xml version="1.0"?><Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the object\'s storage class</Message></Error>';
my $archive = canned_server("HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body");
$cluster->make_server('vault', { %$s3, endpoint => $archive }, 's3://raw/', max_retries => 0);
($out, $err) = $cluster->psql("SELECT * FROM dicom.restore_objects('vault', '{f1}', 3)");
is($out, 'f1|55000|the object is archived', 'why an object cannot be restored is said') or diag($err);
my $ok = canned_server("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
$cluster->make_server('patient', { %$s3, endpoint => $ok }, 's3://raw/', max_retries => 0);
is($cluster->query("SELECT * FROM dicom.restore_objects('patient', '{f1,f2}', 3, 'Bulk')"), "f1||\nf2||", 'objects are asked back');
my $again = '<?xml version="1.0"?><Error><Code>RestoreAlreadyInProgress</Code><Message>x</Message></Error>';
my $busy = canned_server("HTTP/1.1 409 Conflict\r\nContent-Type: application/xml\r\nContent-Length: " . length($again) . "\r\nConnection: close\r\n\r\n$again");
$cluster->make_server('busy', { %$s3, endpoint => $busy }, 's3://raw/', max_retries => 0);
is($cluster->query("SELECT * FROM dicom.restore_objects('busy', '{f1}', 3)"), 'f1||', 'asking again does no harm');
($out, $err) = $cluster->psql("SELECT * FROM dicom.restore_objects('busy', '{f1}', 0)");
like($err, qr/22023/, 'for a day at least');
($out, $err) = $cluster->psql("SELECT * FROM dicom.restore_objects('busy', '{f1}', 1, 'Soon')");
like($err, qr/22023.*Expedited/s, 'in one of three ways');
done_testing();
