# Promise: one SELECT shows a picture, of a file at hand or of an object; a picture is made in a process of its own, so that neither a bad file nor a
# killed decoder costs more than an error, and a cancelled query leaves nothing running.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = cluster();
my $dir     = work_dir();
my $files   = "$dir/files";
make_files('--count', 12, '--size', 64, '--days', 2, '--layout', 'flat', $files);
$cluster->make_server('disk', undef, "file://$files/");

# Width and height of a JPEG given in hexadecimal, from its start of frame.
sub size_of
{
	my ($hex) = @_;
	my $bytes = pack 'H*', $hex;
	my $place = 2;

	return '' if substr($bytes, 0, 2) ne "\xFF\xD8";
	while ($place + 9 < length $bytes)
	{
		my ($kind, $length) = unpack 'x C n', substr $bytes, $place, 4;

		return join 'x', reverse unpack 'n2', substr $bytes, $place + 5, 4 if $kind >= 0xC0 && $kind <= 0xC2;
		$place += 2 + $length;
	}
	return '';
}

sub children { return scalar grep { read_text("/proc/$_/cmdline") =~ /^dicompress-decoder\0/ } map { m{/proc/(\d+)$} ? $1 : () } glob '/proc/[0-9]*' }

my $before = children();
my $key    = '000003.dcm';

is(size_of($cluster->query("SELECT encode(dicom.render('disk', '$key'), 'hex')")), '64x64', 'a picture of an object');
is($cluster->query("SELECT dicom.render('disk', '$key') = dicom.render(pg_read_binary_file('$files/$key'))"), 't', 'is that of the file at hand');
is(size_of($cluster->query("SELECT encode(dicom.render('disk', '$key', max_size => 16, quality => 50), 'hex')")), '16x16', 'scaled');
is($cluster->query("SELECT dicom.render('disk', '$key', window_level => '10,20') <> dicom.render('disk', '$key', window_level => 'pixels')"), 't', 'a window makes a difference');

# A table that inverts, and a window of all values: the table is what is shown, unless the window is asked for.
my $table = element('00283002', 'US', pack 'v3', 256, 0, 8) . element('00283006', 'OW', pack 'v*', reverse 0 .. 255);
write_dicom("$dir/table.dcm", element('00080018', 'UI', '1.2.3'), element('00280002', 'US', pack 'v', 1), element('00280004', 'CS', 'MONOCHROME2'),
	map({ element($_->[0], 'US', pack 'v', $_->[1]) } [ '00280010', 16 ], [ '00280011', 16 ], [ '00280100', 16 ], [ '00280101', 8 ], [ '00280102', 7 ], [ '00280103', 0 ]),
	element('00281050', 'DS', '128'), element('00281051', 'DS', '256'), sequence('00283010', $table), element('7FE00010', 'OW', pack 'v*', 0 .. 255));
my $shown = "dicom.render(pg_read_binary_file('$dir/table.dcm')";
is($cluster->query("SELECT $shown) = $shown, window_level => 'file'), $shown) = $shown, window_level => 'file:1'), $shown, window_level => 'file:1') = $shown, window_level => '128,256')"),
	't|f|t', 'a table of the VOI goes before a window that is not asked for');
is($cluster->query("SELECT frame, width, height, jpeg = dicom.render('disk', '$key'), error FROM dicom.frames('disk', '$key')"), '1|64|64|t|', 'frames of an object');
is($cluster->query("SELECT count(*), count(f.jpeg), count(DISTINCT f.jpeg) > 1 FROM dicom.images('disk') i, LATERAL dicom.frames('disk', i.filename) f"), '12|12|t', 'of many');
is(size_of($cluster->query("SELECT encode(dicom.contact_sheet('disk', '', 5, 32), 'hex')")), join('x', 5 * 34 - 2, 3 * 34 - 2), 'a contact sheet');
is($cluster->query("SELECT dicom.contact_sheet('disk', ARRAY[]::text[])"), '', 'of nothing');
is($cluster->query("SELECT dicom.render(NULL::bytea), dicom.render('disk', NULL), (SELECT count(*) FROM dicom.frames(NULL::bytea))"), '||0', 'NULL gives NULL');
is(children(), $before, 'no decoder is left');

# --- errors

write_text("$files/bad.dcm", 'no DICOM at all' x 100);
like(($cluster->psql("SELECT dicom.render('disk', '$key', 2)"))[1], qr/^ERROR:  \w+: none of the frames is there.*DETAIL:  Object: file:\S+\Q$key\E/s, 'a frame that is not there');
like(($cluster->psql("SELECT dicom.render('disk', 'none.dcm')"))[1], qr/ERROR:  58P01/, 'an object that is not there');
like(($cluster->psql("SELECT dicom.render('disk', 'bad.dcm')"))[1], qr/ERROR:  22P03.*bad\.dcm/s, 'no DICOM');
like(($cluster->psql("SELECT dicom.render('disk', '$key', 0)"))[1], qr/ERROR:  22023.*"frame"/s, 'frames are counted from 1');
like(($cluster->psql("SELECT dicom.render('disk', '$key', window_level => 'narrow')"))[1], qr/ERROR:  22023.*CENTER,WIDTH/s, 'no such window');
my ($out, $err) = $cluster->psql("SELECT length(dicom.contact_sheet('disk', ARRAY['$key', 'bad.dcm', 'none.dcm'])) > 100");
is($out, 't', 'a sheet does without what gives no picture');
like($err, qr/WARNING:  01000: 2 of 3 objects gave no picture/, 'and says so');
is($cluster->query("SET dicom_fdw.dicompress_path = ''; SELECT count(*) FROM dicom.frames('disk', '$key')"), '1', 'the program is found beside the server');
like(($cluster->psql("SET dicom_fdw.dicompress_path = '/nowhere'; SELECT dicom.render('disk', '$key')"))[1], qr/ERROR:  58P01.*HINT:  .*dicompress_path/s, 'or is said to be missing');

# --- rights

$cluster->query('CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA dicom TO reader');
like(($cluster->psql("SELECT dicom.render('disk', '$key')", user => 'reader'))[1], qr/42501.*server/, 'not without USAGE on the server');
like(($cluster->psql("SELECT dicom.file_error('x'); SET dicom_fdw.dicompress_path = '/bin/sh'", user => 'reader'))[1], qr/42501/, 'nor does everybody choose the program');

# --- a decoder that is killed, a query that is cancelled

sub decoder_of
{
	my ($backend) = @_;

	return (grep { read_text("/proc/$_/stat") =~ /^\d+ \(.*\) \S+ $backend / } map { m{/proc/(\d+)$} ? $1 : () } glob '/proc/[0-9]*')[0];
}

my $many = "SELECT count(f.jpeg) FROM generate_series(1, 100000) g, LATERAL dicom.frames('disk', '$key', quality => 1 + g % 100) f";
for my $what (qw(cancel kill))
{
	my $session = $cluster->start_psql("SET application_name = '$what'; $many; SELECT 'still here', count(*) FROM dicom.frames('disk', '$key')", go_on => 1);
	my $backend = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = '$what' AND query ~ 'frames' AND state = 'active'") });
	my $child = wait_until(sub { decoder_of($backend) });
	ok($child, 'a decoder is at work');
	$what eq 'cancel' ? $cluster->query("SELECT pg_cancel_backend($backend)") : kill 'KILL', $child;
	my ($out, $err) = $cluster->finish_psql($session);
	like($err, $what eq 'cancel' ? qr/ERROR:  57014/ : qr/ERROR:  \w+: .*SIGKILL/, "$what: an error");
	is($out, 'still here|1', 'and the session goes on');
	ok(wait_until(sub { children() == $before }, 10), 'no decoder is left');
}

# --- S3

my $s3 = s3_server();
SKIP:
{
	skip 'no S3 server', 2 unless $s3;
	put_directory($s3, 'pictures', $files);
	$cluster->make_server('bucket', $s3, 's3://pictures/');
	is($cluster->query("SELECT dicom.render('bucket', '$key') = dicom.render('disk', '$key')"), 't', 'an object of a bucket gives the same picture');
	is(size_of($cluster->query("SELECT encode(dicom.contact_sheet('bucket', '', 6, 20), 'hex')")), join('x', 6 * 22 - 2, 2 * 22 - 2), 'and a sheet');
}

# --- real files: pictures, or a reason

SKIP:
{
	skip 'no ../shared/corpus', 2 unless corpus();
	$cluster->make_server('real', undef, 'file://' . corpus() . '/');
	$cluster->query("CREATE TABLE result (key text, frames bigint, failed bigint, error text)");
	my ($out, $err) = $cluster->psql(<<'SQL');
SET client_min_messages = error;
DO $$
DECLARE
	k text;
BEGIN
	FOR k IN SELECT key FROM dicom.files('real') WHERE size < 20000000 LOOP
		BEGIN
			INSERT INTO result SELECT k, count(f.jpeg), count(f.error) FROM dicom.frames('real', k, max_size => 64) f;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO result VALUES (k, 0, 0, SQLERRM);
		END;
	END LOOP;
END
$$;
SQL
	is($err, '', 'all files are looked at');
	is($cluster->query("SELECT count(*) FROM result WHERE frames = 0 AND failed = 0 AND error IS NULL"), '0', 'each gives pictures or a reason');
	diag('counted: ' . $cluster->query("SELECT format('%s files with pictures, %s pictures, %s files without', count(*) FILTER (WHERE frames > 0), sum(frames), count(*) FILTER (WHERE frames = 0)) FROM result"));
}

done_testing();
