# Promise: dicom.compress_objects() makes pictures of what it is given, through a program that is fed no secret where others could see it,
# has nothing of the backend's, and is gone when the backend is, or does not want it any more; whatever the program does, there is a row
# for every object, or an error that says what to do.
use strict;
use warnings;

use DicomTest;
use DicomFile;
use Digest::SHA qw(sha256_hex);
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = cluster();
my $dir     = work_dir();
my ($out, $err);

plan skip_all => 'dicompress is not built' unless -x DicomTest::bin() . '/dicompress';

make_files('--count', 30, '--size', 64, '--layout', 'flat', "$dir/raw");
write_dicom("$dir/raw/no_pixels.dcm", element('00080018', 'UI', '1.2.3'), element('00100010', 'PN', 'Doe^John'));
write_text("$dir/raw/nonsense.dcm", 'no DICOM at all' x 100);
write_dicom("$dir/raw/frames.dcm", element('00080018', 'UI', '1.2.4'), element('00280002', 'US', pack 'v', 1), element('00280004', 'CS', 'MONOCHROME2'),
	element('00280008', 'IS', '3'), (map { element($_->[0], 'US', pack 'v', $_->[1]) } ['00280010', 16], ['00280011', 16], ['00280100', 8], ['00280101', 8], ['00280102', 7], ['00280103', 0]),
	element('7FE00010', 'OW', join '', map { chr } 0 .. 255, 0 .. 255, 0 .. 255));
mkdir "$dir/stage";
$cluster->make_server('raw', undef, "file://$dir/raw/");
$cluster->make_server('stage', undef, "file://$dir/stage/");
$cluster->query('CREATE ROLE bob LOGIN; GRANT USAGE ON SCHEMA dicom TO bob');

# SQL that compresses the objects that a condition names.
sub compress
{
	my ($where, $options, %more) = @_;
	my $columns = $more{columns} || '*';
	my $target  = $more{target} || 'stage';
	my $source  = $more{source} || 'raw';

	return "SELECT $columns FROM (SELECT array_agg(key ORDER BY key) AS keys, array_agg('p/' || md5(key) || '/{frame}.jpg' ORDER BY key) AS templates FROM $source.files WHERE $where) k, "
		. "dicom.compress_objects('$source', '$target', keys, templates, '" . ($options || '{}') . "') ORDER BY source_key, frame";
}

# --- Pictures

my @rows = map { [ split /\|/ ] } split /\n/, $cluster->query(compress("key LIKE '0000%'", undef, columns => 'source_key, frame, key, bytes, width, height, sha256, milliseconds > 0, error, jpeg IS NULL'));
is(scalar(@rows), 30, 'there is a row for each picture');
my $right = 0;
for my $row (@rows)
{
	my $picture = read_text("$dir/stage/$row->[2]");
	$right++ if length $picture == $row->[3] && sha256_hex($picture) eq $row->[6] && $picture =~ /^\xff\xd8.*\xff\xd9$/s && "@$row[1, 4, 5, 7, 9]" eq '1 64 64 t t' && $row->[8] eq '';
}
is($right, 30, 'which tells its name, length, size and digest');
is($cluster->query(compress("key IN ('frames.dcm', 'no_pixels.dcm', 'nonsense.dcm')", undef, columns => 'source_key, frame, error_code, error')),
	"frames.dcm|1||\nframes.dcm|2||\nframes.dcm|3||\nno_pixels.dcm||02000|no pixel data\nnonsense.dcm||22P03|not a DICOM file: no known element at its start" =~ s/not a.*$//r . ($cluster->query(compress("key = 'nonsense.dcm'", undef, columns => 'error'))),
	'a row for each frame; and for each object that has none, why');
is($cluster->query(compress("key = 'frames.dcm'", '{"inline_limit": 100000, "quality": 50, "jobs": 1, "window": "pixels"}', columns => 'frame, length(jpeg) = bytes, encode(sha256(jpeg), $$hex$$) = sha256')),
	"1|t|t\n2|t|t\n3|t|t", 'pictures can come along');
is($cluster->query(compress("key = 'frames.dcm'", '{"inline_limit": 10}', columns => 'count(jpeg)') =~ s/ ORDER BY source_key, frame$//r), 0, 'unless they are too long');
is($cluster->query("SELECT count(*) FROM dicom.compress_objects('raw', 'stage', '{}', '{}')"), 0, 'nothing comes of nothing');
is($cluster->query("SELECT source_key, frame, error_code FROM dicom.compress_objects('raw', 'stage', '{gone.dcm,a/}', ARRAY['x/{frame}.jpg', 'y/{frame}.jpg']) ORDER BY 1"),
	"a/||22023\ngone.dcm||58P01", 'objects that are not there, or cannot be, have a row');
is($cluster->query("SELECT count(*) FROM dicom.compress_objects('raw', 'stage', '{000001.dcm,000002.dcm}', '{same.jpg,same.jpg}') WHERE error IS NOT NULL"), 1, 'two pictures of one name are a failure of the second');

# --- Arguments and rights

for my $case (
	[ "'raw', 'stage', '{a,b}', '{x}'", '2202E' ],
	[ "'raw', 'stage', '{a,a}', '{x,y}'", '22023.*twice' ],
	[ "'raw', 'stage', '{a,NULL}', '{x,y}'", '22004' ],
	[ "'raw', 'stage', '{a}', '{x}', '[1]'", '22023' ],
	[ "'raw', 'stage', '{a}', '{x}', '{\"qualty\": 3}'", '22023.*HINT:.*quality' ],
	[ "'raw', 'stage', '{a}', '{x}', '{\"quality\": [3]}'", '22023' ],
	[ "'raw', 'stage', '{a}', '{x}', '{\"inline_limit\": \"much\"}'", '22023' ],
	[ "'raw', 'stage', '{a}', '{x}', '{\"quality\": 300}'", '38000.*DETAIL:.*quality' ],
	[ "'raw', 'stage', '{a}', '{x}', '{\"window\": \"; touch /tmp/x\"}'", '38000.*DETAIL:.*window' ],
	[ "'raw', 'nowhere', '{a}', '{x}'", '42704' ])
{
	my ($arguments, $expected) = @$case;
	($out, $err) = $cluster->psql("SELECT * FROM dicom.compress_objects($arguments)");
	like($err, qr/ERROR:  $expected/s, "refused: $arguments");
}
($out, $err) = $cluster->psql("SELECT * FROM dicom.compress_objects('raw', 'stage', '{000001.dcm}', '{x.jpg}')", user => 'bob');
like($err, qr/42501.*raw/, 'who has no USAGE gets nothing');
$cluster->query('GRANT USAGE ON FOREIGN SERVER raw, stage TO bob');
($out, $err) = $cluster->psql("SELECT * FROM dicom.compress_objects('raw', 'stage', '{000001.dcm}', '{x.jpg}')", user => 'bob');
like($err, qr/42501.*write files/, 'or may not write files');
($out, $err) = $cluster->psql("BEGIN READ ONLY; SELECT * FROM dicom.compress_objects('raw', 'stage', '{000001.dcm}', '{x.jpg}')");
like($err, qr/25006/, 'a read-only transaction makes none');
($out, $err) = $cluster->psql("SELECT dicom.wake_worker(); SET dicom_fdw.dicompress_path = '/bin/true'", user => 'bob');
like($err, qr/42501/, 'not everybody chooses the program');
($out, $err) = $cluster->psql("SET dicom_fdw.dicompress_path = '/nowhere/dicompress'; SELECT * FROM dicom.compress_objects('raw', 'stage', '{000001.dcm}', '{x.jpg}')");
like($err, qr/58P01: the program dicompress cannot be executed.*nowhere.*HINT:.*dicompress_path/s, 'a program that is not there is an error that says what to do');

# --- A program that behaves badly

sub program
{
	my ($text) = @_;

	write_text("$dir/program", "#!/usr/bin/perl\n\$| = 1;\n$text");
	chmod 0755, "$dir/program";
	return "SET dicom_fdw.dicompress_path = '$dir/program'; ";
}

# What it sees
my $program = program(<<"END");
open my \$see, '>', '$dir/seen' or die;
print \$see "arguments \@ARGV\\n", map { "environment \$_\\n" } sort keys %ENV;
for my \$fd (glob '/proc/self/fd/*') { my \$what = readlink \$fd; print \$see "descriptor \$fd \$what\\n" if defined \$what && \$what !~ m{/proc|$dir} }
open my \$secret, '<&=', 3 or die;
print \$see 'secret ', <\$secret>, "\\n";
print \$see 'input ', \$_ while <STDIN>;
print \$see 'group ', getpgrp() == \$\$ ? 'own' : 'other', "\\n";
close \$see;
exit 2;
END
$cluster->query(<<"END");
CREATE SERVER bucket FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://b/x', endpoint 'http://127.0.0.1:1', region 'eu-west-1', max_requests '7', request_timeout '3s', max_retries '2');
CREATE USER MAPPING FOR PUBLIC SERVER bucket OPTIONS (access_key_id 'AKIAKEY', secret_access_key 'very"secret\\\\');
END
($out, $err) = $cluster->psql($program . "SELECT * FROM dicom.compress_objects('bucket', 'stage', ARRAY['a\"b.dcm', 'c\x{c3}\x{bc}.dcm'], ARRAY['x/{frame}.jpg', 'y'], '{\"jobs\": 3, \"window\": \"-5,10\"}')");
like($err, qr/ERROR:  38000: dicompress ended with status 2, and made no picture/, 'a program that does nothing is an error');
my $seen = read_text("$dir/seen");
like($seen, qr{^arguments --stores=fd:3 --state=none --progress=never --output=file://\Q$dir\E/stage/ --jobs=3 --window=-5,10 -$}m, 'it is given options as arguments');
unlike($seen =~ s/^secret .*$//mr, qr/AKIAKEY|very/, 'and no secret there, nor in its environment');
like($seen, qr{^secret \[\{"allow_ambient": true, "restrict_endpoints": false, "location": "s3://b/x/", "endpoint": "http://127\.0\.0\.1:1", "region": "eu-west-1".*"access_key_id": "AKIAKEY", "secret_access_key": "very\\"secret\\\\\\\\".*"max_requests": 7, "max_retries": 2, "request_timeout_ms": 3000\},\{.*"location": "file://\Q$dir\E/stage/"}m, 'but in a descriptor of its own');
like($seen, qr{^input \{"source": "s3://b/x/a\\"b\.dcm", "key": "x/\{frame\}\.jpg"\}\ninput \{"source": "s3://b/x/c\x{c3}\x{bc}\.dcm", "key": "y"\}$}m, 'and objects on standard input');
my @descriptors = $seen =~ m{^descriptor /proc/self/fd/(\d+) (\w+)}mg;
is("@descriptors", '0 pipe 1 pipe 2 pipe 3 pipe', 'it has no other descriptors');
unlike($seen, qr/^environment PG/m, 'and nothing of the server in its environment');
like($seen, qr/^group own$/m, 'it leads a group of its own');

# What it says
my $line = '{"source": "file://' . "$dir/raw" . '/000001.dcm", "frame": 1, "key": "k", "bytes": 5, "width": 1, "height": 1, "sha256": "' . 'a' x 64 . '", "milliseconds": 1.5}';
my $two = "SELECT source_key, frame, error_code, error FROM dicom.compress_objects('raw', 'stage', '{000001.dcm,000002.dcm}', '{x,y}') ORDER BY 1";
for my $case (
	[ 'print "nonsense\n"', qr/ERROR:  08P01: dicompress says what makes no sense.*HINT/s, 'no JSON' ],
	[ 'print "[]\n"', qr/08P01/, 'another kind of JSON' ],
	[ 'print "{\"source\": \"file:///etc/passwd\", \"error\": \"x\", \"error_code\": \"y\"}\n"', qr/08P01/, 'an object that it was not given' ],
	[ "print '$line' =~ s/\"bytes\": 5/\"bytes\": -5/r, qq{\\n}", qr/08P01/, 'a length below zero' ],
	[ "print '$line' =~ s/\"frame\": 1/\"frame\": 99999999999/r, qq{\\n}", qr/08P01/, 'a frame of a great number' ],
	[ "print '$line' =~ s/aaa/aZa/r, qq{\\n}", qr/08P01/, 'a digest that is none' ],
	[ 'print "x" x 100000; sleep 100', qr/08P01.*longer than/s, 'a line without end' ],
	[ 'print STDERR "dicompress: it cannot be\n", "dicompress: object: Doe^John\n", "z" x 100000; exit 2', qr/38000: dicompress ended with status 2.*DETAIL:  dicompress: it cannot be\nz{1000}/s, 'a complaint that is too long' ])
{
	my ($text, $expected, $name) = @$case;
	($out, $err) = $cluster->psql(program($text) . $two);
	like($err, $expected, "what it says is not believed: $name");
	unlike($err, qr/Doe\^John/, 'names of objects are not repeated');
}
is($cluster->query(program("print '$line', qq{\\n}; print '$line' =~ s/\"frame\".*/\"error\": \"cannot\", \"error_code\": \"malformed\"}/sr =~ s/000001/000002/r, qq{\\n}; exit 1") . $two),
	"000001.dcm|1||\n000002.dcm||22P03|cannot", 'what makes sense is');
is($cluster->query(program("print '$line', qq{\\n}; exit 0") . $two),
	"000001.dcm||58000|dicompress ended with status 0 before it was done\n000002.dcm||58000|dicompress ended with status 0 before it was done",
	'where it ends before all is said, nothing of what it said counts: of an object with frames, some may be missing');
is($cluster->query(program("print '$line', qq{\\n}; kill 9, \$\$") . $two),
	"000001.dcm||58000|dicompress was killed by signal 9 before it was done\n000002.dcm||58000|dicompress was killed by signal 9 before it was done", 'where it is killed likewise');
is($cluster->query(program('kill 11, $$') . $two) =~ s/\n.*//sr, '000001.dcm||58000|dicompress was killed by signal 11 before it was done', 'before it has said anything, too');
is($cluster->query(program("close STDIN; print STDERR 'x' x 1000000; print '$line', qq{\\n}, '$line' =~ s/000001/000002/r, qq{\\n};") . $two), "000001.dcm|1||\n000002.dcm|1||", 'one that reads nothing and complains much does not hang');

# --- Gone with whoever started it

# Processes whose command line, its words separated by blanks, begins so.
sub processes_of
{
	my ($command) = @_;

	return grep { index(read_text("/proc/$_/cmdline") =~ tr/\0/ /r, $command) == 0 } map { m{(\d+)$} } glob '/proc/[0-9]*';
}
sub processes { return join ' ', processes_of("/usr/bin/perl $dir/program") }
sub parent_of { return (split / /, read_text("/proc/$_[0]/stat") =~ s/^.*\) //r)[1] }

$program = program("\$SIG{TERM} = 'IGNORE'; if (!fork) { sleep 1000 } print STDERR 'x'; sleep 1000");
for my $case ([ 'a cancel', "SELECT pg_cancel_backend(%d)", qr/57014/ ], [ 'the end of the session', "SELECT pg_terminate_backend(%d)", qr/57P01/ ], [ 'kill -9 of the backend', undef, qr/./ ])
{
	my ($name, $statement, $expected) = @$case;
	my $session = $cluster->start_psql("SET application_name = 'victim'; $program$two", go_on => 1);
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' AND query LIKE '%compress_objects%' AND state = 'active'") });
	ok(wait_until(sub { processes() =~ / / }), 'the program runs, and has a child');
	my $begin = time;
	if ($statement)
	{
		$cluster->query(sprintf $statement, $pid);
	}
	else
	{
		kill 'KILL', $pid;
	}
	($out, $err) = $cluster->finish_psql($session);
	like($err, $expected, "$name ends it");
	cmp_ok(time - $begin, '<', 30, 'at once');
	if ($statement)
	{
		ok(wait_until(sub { processes() eq '' }, 30), 'program and child are gone');
	}
	else
	{
		ok(wait_until(sub { processes() !~ / / }, 30), 'the program is gone');
		kill 'KILL', split / /, processes(); # its own child, which it should have looked after
	}
	wait_until(sub { ($cluster->psql('SELECT 1'))[0] eq '1' });
}
($out, $err) = $cluster->psql("SET statement_timeout = '500ms'; $program$two");
like($err, qr/57014/, 'a statement timeout ends it');
ok(wait_until(sub { processes() eq '' }, 30), 'and the program');
my $handler = $cluster->start_psql("SET statement_timeout = '500ms'; $program DO \$x\$ BEGIN PERFORM dicom.compress_objects('raw', 'stage', '{000001.dcm}', '{x}'); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(60); END \$x\$", go_on => 1);
ok(wait_until(sub { processes() =~ / / }), 'in a block with an exception handler');
ok(wait_until(sub { processes() eq '' }, 30), 'it is gone before the handler is done');
$cluster->query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%EXCEPTION WHEN query_canceled%' AND pid <> pg_backend_pid()");
$cluster->finish_psql($handler);

# --- kill -9 of the real one, at random: afterwards all is there

my $full = $cluster->query(compress("key LIKE '0000%'", undef, columns => "count(*), count(error), md5(string_agg(sha256, ',' ORDER BY source_key))") =~ s/ ORDER BY source_key, frame$//r);
for my $round (1 .. 3)
{
	my $session = $cluster->start_psql("SET application_name = 'kill it'; SELECT count(*), count(error) FROM (" . compress("key LIKE '0000%'") . ") x");
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'kill it'") });
	sleep rand 0.2;
	kill 'KILL', grep { (parent_of($_) // 0) == $pid } processes_of('dicompress --stores=fd:3');
	($out, $err) = $cluster->finish_psql($session);
	like($out . $err, qr/^30\|(0|30)$/m, 'after kill -9 of dicompress every object has its row');
}
is($cluster->query(compress("key LIKE '0000%'", undef, columns => "count(*), count(error), md5(string_agg(sha256, ',' ORDER BY source_key))") =~ s/ ORDER BY source_key, frame$//r), $full, 'and done once more, its picture');

# --- Real files

SKIP:
{
	skip 'no ../shared/corpus', 3 unless corpus();
	$cluster->make_server('corpus', undef, 'file://' . corpus() . '/');
	$cluster->query("CREATE TABLE corpus_rows AS " . compress("key LIKE '%.dcm'", '{"jobs": 2}', source => 'corpus'));
	my ($files, $accounted) = split /\|/, $cluster->query("SELECT (SELECT count(*) FROM corpus.files WHERE key LIKE '%.dcm'), (SELECT count(DISTINCT source_key) FROM corpus_rows)");
	is($accounted, $files, 'every real file has a row');
	is($cluster->query("SELECT count(*) FROM corpus_rows WHERE (error IS NULL) = (key IS NULL) OR (error IS NULL) <> (error_code IS NULL)"), 0, 'which is a picture or a reason');
	cmp_ok($cluster->query("SELECT count(DISTINCT source_key) FROM corpus_rows WHERE error IS NULL"), '>', $files / 2, 'most have pictures');
	diag('counted: ' . $cluster->query("SELECT count(*) || ' pictures of ' || count(DISTINCT source_key) || ' files' FROM corpus_rows WHERE error IS NULL"));
}

# --- S3

SKIP:
{
	my $s3 = s3_server() or skip 'no radosgw here', 3;
	put_directory($s3, 'images', "$dir/raw");
	$s3->bucket('pictures');
	$cluster->make_server('images', $s3, 's3://images/');
	$cluster->make_server('pictures', $s3, 's3://pictures/stage/');
	is($cluster->query(compress("key LIKE '0000%'", '{"inline_limit": 1000000}', source => 'images', target => 'pictures', columns => "count(*), count(error), count(jpeg), md5(string_agg(sha256, ',' ORDER BY source_key))") =~ s/ ORDER BY source_key, frame$//r),
		$full =~ s/^30\|0/30|0|30/r, 'from a bucket to a bucket the same pictures come');
	is($cluster->query("SELECT count(*) FROM pictures.files WHERE key LIKE 'p/%/1.jpg'"), 30, 'where they belong');
	is($cluster->query('SELECT count(*) FROM pictures.files'), 30, 'and nothing else');
}

my $log = $cluster->server_log =~ s/^.*(statement|STATEMENT): .*$//mgr;
unlike($log, qr/AKIAKEY|very"secret/, 'no secret is in the log');
unlike($log, qr/terminated by signal (?!9\b)|PANIC|TRAP/, 'and no process of the server died by itself');

done_testing();
