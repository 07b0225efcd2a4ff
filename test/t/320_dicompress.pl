# Promise: dicompress makes a picture of every frame it is asked for, in directories and buckets, says so in JSON, and passes over what is
# done already. What cannot be done is told, source by source, and by the exit status.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use DicomFile;
use DicomTest;
use Encode ();
use File::Find qw(find);
use JSON::PP ();
use Test::More;

my $dir = work_dir();
my $program = "$ENV{DICOM_TEST_BIN}/dicompress";
my $number = 0;

# Runs the program; returns its lines, parsed, what it complained about, and its status. `input` goes to standard input.
sub compress
{
	my ($options, @arguments) = @_;
	my @command = ($program, @arguments);

	if (defined $options->{input})
	{
		my $file = write_text("$dir/input" . $number++, $options->{input});
		@command = ('sh', '-c', 'exec "$@" <' . $file, 'sh', @command);
	}
	my ($out, $err, $code) = run_command(@command);
	my @lines = map { JSON::PP->new->decode(Encode::decode('UTF-8', $_)) } split /\n/, $out;

	return (\@lines, $err, $code);
}

sub pictures { my ($lines) = @_; return grep { $_->{key} && !$_->{skipped} } @$lines; }
sub skipped  { my ($lines) = @_; return grep { $_->{skipped} } @$lines; }
sub errors   { my ($lines) = @_; return grep { exists $_->{error} } @$lines; }
sub codes    { my ($lines) = @_; return join ' ', sort map { $_->{error_code} } errors($lines); }

# What lies below a directory, without what the program keeps for itself.
sub files_in
{
	my ($below) = @_;
	my @files;

	find({ wanted => sub { push @files, substr $_, 1 + length $below if -f && !m{/\.dicompress/} }, no_chdir => 1 }, $below) if -d $below;
	@files = sort @files;
	return @files;
}

# Sides of a JPEG, from its frame header.
sub sides
{
	my ($file) = @_;
	my $bytes = read_text($file);
	my $place = 2;

	$bytes =~ /^\xFF\xD8/ && $bytes =~ /\xFF\xD9\0?\z/ or return 'no JPEG';
	while (substr($bytes, $place, 2) =~ /^\xFF([^\xC0-\xC2\xD9])/)
	{
		$place += 2 + unpack 'n', substr $bytes, $place + 2, 2;
	}
	my ($height, $width) = unpack 'x5nn', substr $bytes, $place, 9;
	return "${width}x$height";
}

# The elements of an image of 16 bits, of so many columns, rows and frames. Its values rise from 0 to 255 with the column.
sub image
{
	my ($uid, $columns, $rows, $frames, @more) = @_;
	my %elements = map { ($_->[0] => element(@$_)) } (
		[ '00080018', 'UI', $uid ], [ '00080020', 'DA', '20210912' ], [ '00080060', 'CS', 'CT' ], [ '0020000D', 'UI', '1.2.3' ],
		[ '0020000E', 'UI', '1.2.3.4' ], [ '00280002', 'US', pack 'v', 1 ], [ '00280004', 'CS', 'MONOCHROME2' ],
		[ '00280008', 'IS', $frames ], [ '00280010', 'US', pack 'v', $rows ], [ '00280011', 'US', pack 'v', $columns ],
		[ '00280100', 'US', pack 'v', 16 ], [ '00280101', 'US', pack 'v', 16 ], [ '00280102', 'US', pack 'v', 15 ],
		[ '00280103', 'US', pack 'v', 0 ], [ '00281050', 'DS', '128' ], [ '00281051', 'DS', '256' ], @more);
	my $row = pack 'v*', map { int($_ * 255 / ($columns - 1 || 1)) } 0 .. $columns - 1;

	return ((map { $elements{$_} } sort keys %elements), element('7FE00010', 'OW', $row x ($rows * $frames)));
}

sub write_image { my ($file, @image) = @_; return write_dicom($file, image(@image)); }

# --- pictures of a directory

my $in = "$dir/in";
my $out = "$dir/out";
make_files('--count', 6, '--size', 64, '--layout', 'flat', $in);
write_image("$in/many.dcm", '1.2.3.4.9', 40, 30, 5);
my ($lines, $err, $code) = compress({}, '--output', $out, "$in/");
is($code, 0, 'all sources gave their pictures');
is($err, '', 'and nothing was complained about');
is(scalar pictures($lines), 11, 'a line for each frame');
is(scalar files_in($out), 11, 'and a file');
is_deeply([ sort map { $_->{key} } pictures($lines) ], [ files_in($out) ], 'the keys are those of the files');
is(join(' ', grep { sha256_hex(read_text("$out/$_->{key}")) ne $_->{sha256} } pictures($lines)), '', 'the digests are right');
is(join(' ', grep { -s "$out/$_->{key}" != $_->{bytes} } pictures($lines)), '', 'the lengths are right');
is(join(' ', grep { sides("$out/$_->{key}") ne "$_->{width}x$_->{height}" } pictures($lines)), '', 'the sides are right');
is_deeply([ map { $_->{frame} } sort { $a->{frame} <=> $b->{frame} } grep { $_->{source} eq "$in/many.dcm" } @$lines ], [ 1 .. 5 ], 'frames are counted from 1');
ok(-f "$out/1.2.3.4/1.2.3.4.9/5.jpg", 'keys are made of the series, the image and the frame');
is(scalar(grep { !defined $_->{milliseconds} } pictures($lines)), 0, 'each says what it took');

# The picture of a frame as the same code makes it outside of the program, built by another compiler.
sub differ_from_tool
{
	my ($below, @pictures) = @_;

	return join ' ', map { $_->{source} } grep {
		(run_command(top() . '/build/tools/dicom_picture', '-j', '-n', $_->{frame}, $_->{source}))[0] ne read_text("$below/$_->{key}") } @pictures;
}

# Of all 16-bit values, some of them padding; one by a window, one by a table of the VOI, which goes before its window.
my @grey = map { my $seed = $_; pack 'v*', map { ($_ * $seed) % 65536 } 1 .. 96 * 70 } 977, 40503;
my @large = ([ '00280010', 'US', pack 'v', 70 ], [ '00280011', 'US', pack 'v', 96 ], [ '00280120', 'US', pack 'v', 40000 ], [ '00281050', 'DS', '30000' ], [ '00281051', 'DS', '41000' ]);
my $table = element('00283002', 'US', pack 'v3', 256, 20000, 16) . element('00283006', 'OW', pack 'v*', map { 65535 - 256 * $_ } 0 .. 255);
my %values = (
	window => [ '1.2.3.4.20', $grey[0], @large ],
	table => [ '1.2.3.4.21', $grey[1], @large, [ '00283010', 'SQ', pack('vvV', 0xFFFE, 0xE000, length $table) . $table ] ]);
for my $name (sort keys %values)
{
	my ($uid, $pixels, @more) = @{ $values{$name} };
	my @elements = image($uid, 96, 70, 1, @more);

	$elements[-1] = element('7FE00010', 'OW', $pixels);
	write_dicom("$dir/values/$name.dcm", @elements);
}
($lines) = compress({}, '--output', "$dir/same", "$dir/values/", "$in/");
is(scalar pictures($lines), 13, 'pictures of many values');
is(differ_from_tool("$dir/same", pictures($lines)), '', 'pictures are what the library makes of the files');

# --- a second run

my %before = map { $_ => (stat "$out/$_")[9] . '/' . (stat "$out/$_")[1] } files_in($out);
my $first = { map { ("$_->{source} $_->{frame}" => $_) } @$lines };
($lines, $err, $code) = compress({}, '--output', $out, "$in/");
is($code, 0, 'a second run succeeds');
is(scalar skipped($lines), 11, 'and skips all');
is_deeply({ map { $_ => (stat "$out/$_")[9] . '/' . (stat "$out/$_")[1] } files_in($out) }, \%before, 'no picture was touched');
is(scalar(grep { my $made = $first->{"$_->{source} $_->{frame}"}; $made->{sha256} ne $_->{sha256} || $made->{key} ne $_->{key} || $made->{width} != $_->{width} } @$lines),
	0, 'what is said of a picture that was skipped is what was said when it was made');

write_image("$in/many.dcm", '1.2.3.4.9', 20, 30, 5);
unlink "$out/" . $first->{"$in/000001.dcm 1"}{key} or die;
write_text("$out/" . $first->{"$in/000002.dcm 1"}{key}, 'short');
($lines, $err, $code) = compress({}, '--output', $out, "$in/");
is_deeply([ sort map { $_->{source} } pictures($lines) ], [ "$in/000001.dcm", "$in/000002.dcm", ("$in/many.dcm") x 5 ],
	'a changed source, a lost picture and a short one are made again');
is(sides("$out/1.2.3.4/1.2.3.4.9/3.jpg"), '20x30', 'from what the source is now');
($lines) = compress({}, '--output', $out, '--quality', 50, "$in/000003.dcm");
is(scalar pictures($lines), 1, 'so are those of other options');
($lines) = compress({}, '--output', $out, '--quality', 50, "$in/000003.dcm");
is(scalar skipped($lines), 1, 'once');
($lines) = compress({}, '--output', $out, '--quality', 50, '--overwrite', "$in/000003.dcm");
is(scalar pictures($lines), 1, '--overwrite makes them anyway');
($lines) = compress({}, '--output', "$dir/none", '--state', 'none', "$in/000003.dcm") for 1 .. 2;
is(scalar pictures($lines), 1, '--state none keeps no notes');
ok(!-e "$dir/none/.dicompress", 'of whatever kind');
($lines) = compress({}, '--output', "$dir/apart", '--state', "$dir/state", "$in/000003.dcm") for 1 .. 2;
is(scalar skipped($lines), 1, '--state keeps them somewhere else');
ok(!-e "$dir/apart/.dicompress", 'and not beside the pictures');

# A line of the ledger that was cut short spoils no other.
open my $ledger, '>>', "$out/.dicompress/notes.jsonl" or die;
print $ledger "\n{\"source\": \"" . 'ab' x 20;
close $ledger;
($lines) = compress({}, '--output', $out, "$in/000004.dcm");
is(scalar skipped($lines), 1, 'notes are read past a line that was cut short');
write_image("$in/new.dcm", '1.2.3.4.10', 8, 8, 1);
compress({}, '--output', $out, "$in/new.dcm");
($lines) = compress({}, '--output', $out, "$in/new.dcm");
is(scalar skipped($lines), 1, 'and written behind it');

# --- names

my $names = "$dir/names";
write_image("$names/plain.dcm", '1.2.3.4.20', 8, 8, 2, [ '00100010', 'PN', 'Doe^John' ], [ '00200013', 'IS', '7 ' ]);
write_image("$names/evil.dcm", '1.2.3.4.21', 8, 8, 1, [ '00100010', 'PN', "../../..\\x/\x01y" ], [ '00200013', 'IS', '8' ]);
write_image("$names/dots.dcm", '1.2.3.4.22', 8, 8, 1, [ '00100010', 'PN', '..' ]);
write_image("$names/utf8.dcm", '1.2.3.4.23', 8, 8, 1, [ '00080005', 'CS', 'ISO_IR 192' ], [ '00100010', 'PN', "M\x{fc}ller^\x{4e09}" ]);
write_image("$names/kanji.dcm", '1.2.3.4.24', 8, 8, 1, [ '00080005', 'CS', '\\ISO 2022 IR 87' ], [ '00100010', 'PN', "Yamada^Tarou=\e\$B;3ED\e(B^\e\$BB\@O:\e(B" ]);
my $template = '{patient_name}/{StudyDate:%Y/%m/%d}/{instance_number}_{frame:04}_{name}{{}}.jpg';
($lines, $err, $code) = compress({}, '--output', "$dir/named", '--key', $template, "$names/");
is($code, 0, 'keys of any attribute');
my %key_of = map { ($_->{source} =~ m{([^/]+)\.dcm$} ? $1 : '') . " $_->{frame}" => $_->{key} } @$lines;
is($key_of{'plain 2'}, 'Doe^John/2021/09/12/7_0002_plain{}.jpg', 'attributes by column and keyword, dates, frames with zeros, braces');
is($key_of{'evil 1'}, '_._.._.._x__y/2021/09/12/8_0001_evil{}.jpg', 'no value leads out of its part of the key');
is($key_of{'dots 1'}, '_./2021/09/12/unknown_0001_dots{}.jpg', 'nor is one just dots; what is missing is unknown');
is($key_of{'utf8 1'}, "M\x{fc}ller^\x{4e09}/2021/09/12/unknown_0001_utf8{}.jpg", 'keys are UTF-8');
is($key_of{'kanji 1'}, "Yamada^Tarou=\x{5c71}\x{7530}^\x{592a}\x{90ce}/2021/09/12/unknown_0001_kanji{}.jpg", 'whatever the character set of the file');
is(scalar files_in("$dir/named"), 6, 'and all are there');
ok(!-e "$dir/x", 'nothing is elsewhere');

for my $bad ('', '/x', '{', '}', 'a}b', '{}', '{no_such_attribute}', '{frame:x}', '{frame:12}', '{study_date:%s}', '.dicompress/{frame}', "a\tb")
{
	($lines, $err, $code) = compress({}, '--output', "$dir/bad", '--key', $bad, "$in/000003.dcm");
	is("$code $err" =~ /^2 dicompress: ./ ? 'refused' : "$code $err", 'refused', "not a key: '$bad'");
}
($lines, $err, $code) = compress({}, '--output', "$dir/bad", '--key', 'a/{name}/../{frame}', "$in/000003.dcm");
is("$code " . codes($lines), '2 limit', 'a key that would lead upwards is refused');

# Two sources, and two frames, with one key.
write_image("$dir/twice/a.dcm", '1.2.3.4.30', 8, 8, 1);
write_image("$dir/twice/b.dcm", '1.2.3.4.30', 9, 9, 1);
($lines, $err, $code) = compress({}, '--output', "$dir/taken", '--jobs', 1, "$dir/twice/");
is("$code " . codes($lines), '1 duplicate', 'a second source of the same key is told');
is(sides("$dir/taken/1.2.3.4/1.2.3.4.30/1.jpg"), '8x8', 'and takes the place of no other');
($lines, $err, $code) = compress({}, '--output', "$dir/taken", '--jobs', 1, "$dir/twice/");
is("$code " . codes($lines), '1 duplicate', 'nor where the first one was made before');
is(sides("$dir/taken/1.2.3.4/1.2.3.4.30/1.jpg"), '8x8', 'and is skipped');
($lines, $err, $code) = compress({}, '--output', "$dir/taken2", '--key', '{name}.jpg', "$in/many.dcm");
is("$code " . codes($lines), '1 duplicate duplicate duplicate duplicate', 'a key without the frame does for one frame');

# --- what cannot be done

my $bad = "$dir/bad_files";
write_text("$bad/no_dicom.txt", "this is no DICOM file\n" x 100) if mkdir $bad;
write_text("$bad/empty.dcm", '');
write_dicom("$bad/no_pixels.dcm", element('00080018', 'UI', '1.2.3'), element('00100010', 'PN', 'Doe^John'));
write_text("$bad/short.dcm", substr(dicom_file(image('1.2.3.4.40', 64, 64, 4)), 0, 20000));
write_text("$bad/shorter.dcm", substr(dicom_file(image('1.2.3.4.41', 64, 64, 1)), 0, 300));
($lines, $err, $code) = compress({}, '--output', "$dir/bad_out", "$bad/", "$bad/missing.dcm");
my %error_of = map { ($_->{source} =~ m{([^/]+)$} ? $1 : '') . ($_->{frame} ? " $_->{frame}" : '') => $_->{error_code} } errors($lines);
is($code, 1, 'status 1: some sources gave no pictures');
is($error_of{'no_dicom.txt'}, 'not_dicom', 'a file of another kind');
is($error_of{'empty.dcm'}, 'not_dicom', 'an empty one');
is($error_of{'no_pixels.dcm'}, 'no_pixel_data', 'one without pixel data');
is($error_of{'shorter.dcm'}, 'malformed', 'one that ends in its header');
is($error_of{'missing.dcm'}, 'not_found', 'one that is not there');
is(join(' ', map { $_->{frame} } sort { $a->{frame} <=> $b->{frame} } grep { $_->{source} =~ /short\.dcm/ } pictures($lines)), '1 2', 'the whole frames of a file that is cut');
is($error_of{'short.dcm 3'}, 'malformed', 'and an error for the others');
is(scalar(grep { $_->{source} =~ /short/ } skipped((compress({}, '--output', "$dir/bad_out", "$bad/"))[0])), 0, 'which is therefore not done');
($lines, $err, $code) = compress({}, '--output', "$dir/bad_out", "$bad/no_dicom.txt");
is($code, 2, 'status 2: none gave any');
unlike(join(' ', map { JSON::PP->new->encode($_) } @$lines), qr/Doe/, 'no value of a patient is told');

for my $usage ([], [ '--output', "$dir/x" ], ["$in/"], [ '--output', "$dir/x", '--quality', 0, "$in/" ], [ '--output', "$dir/x", '--window', 'x', "$in/" ],
	[ '--output', "$dir/x", '--frames', '3-1', "$in/" ], [ '--output', "$dir/x", '--no-such-option', "$in/" ], [ '--output', "$dir/x", '--jobs' ],
	[ '--output', 'ftp://x/', "$in/" ], [ '--output', "$in/000003.dcm/x", "$in/" ])
{
	($lines, $err, $code) = compress({}, @$usage);
	is("$code " . scalar(@$lines) . ($err =~ /^dicompress: ./ ? ' told' : $err), '2 0 told', "usage: @$usage[0 .. ($#$usage > 3 ? 3 : $#$usage)]");
}
($lines, $err, $code) = compress({}, '--output', "$dir/x", "$dir/nowhere/");
is("$code " . codes($lines), '2 no_bucket', 'a directory that is not there');

# Pictures are made where they will lie, if that may be: here only a directory below is open.
mkdir $_ or die for "$dir/sealed", "$dir/sealed/open";
chmod 0555, "$dir/sealed" or die;
($lines, $err, $code) = compress({}, '--output', "$dir/sealed", '--state', 'none', '--key', 'open/{sop_instance_uid}.{frame}.jpg', "$in/");
is_deeply([ $code, scalar(pictures($lines)) ], [ 0, scalar(files_in("$dir/sealed/open")) ], 'only a directory below the output may be written to');
is(scalar(grep { sha256_hex(read_text("$dir/sealed/$_->{key}")) ne $_->{sha256} } pictures($lines)), 0, 'and the pictures are what is said');
chmod 0755, "$dir/sealed" or die;
opendir my $sealed, "$dir/sealed" or die;
is(join(' ', sort grep { !/^\.\.?$/ } readdir $sealed), 'open', 'nothing is left beside');
closedir $sealed;

# As many files may be open as jobs need; where there are fewer than are of use, all is done all the same.
sub limited { my ($limit, @arguments) = @_; return run_command('sh', '-c', 'ulimit -n $0 && exec "$@"', $limit, $program, '--jobs', 2, @arguments); }
my ($said, $complaint, $status) = limited(88, '--output', "$dir/limited", "$in/");
is_deeply([ $status, scalar(files_in("$dir/limited")) ], [ 0, scalar(files_in("$dir/sealed/open")) ], 'the least of open files will do');
(undef, $complaint, $status) = limited(87, '--output', "$dir/limited", "$in/");
like("$status $complaint", qr/^2 .*2 jobs need 88 open files, and 87 are allowed.*ulimit/s, 'fewer are refused');

# --- lists of sources

my $list = join '', map { "$in/00000$_.dcm\r\n" } 0 .. 2;
($lines, $err, $code) = compress({ input => $list }, '--output', "$dir/listed", '-');
is(scalar pictures($lines) . " $code", '3 0', 'sources by standard input');
($lines, $err, $code) = compress({}, '--output', "$dir/listed", '--files-from', write_text("$dir/list", "\n$list$in/000003.dcm"), "$in/000004.dcm");
is(scalar pictures($lines) . ' ' . scalar skipped($lines), '2 3', 'and by a file, with others');
my $json = JSON::PP->new->canonical;
($lines, $err, $code) = compress({ input => join "\n",
	$json->encode({ source => "$in/many.dcm", frames => '2,4-', key => 'mine/{frame:3}.jpg' }),
	$json->encode({ source => "$in/000005.dcm" }), '{"source": 7}', '{broken', $json->encode({ source => "$in/000005.dcm", frames => 'x' }),
	'x' x 100000, "$in/000004.dcm" }, '--output', "$dir/listed", '-');
is_deeply([ sort map { $_->{key} } grep { $_->{source} =~ /many/ } pictures($lines) ], [ map { "mine/00$_.jpg" } 2, 4, 5 ], 'with frames and keys of their own');
is(codes($lines), 'invalid_option invalid_option invalid_option limit', 'what is no source is told');
is(scalar skipped($lines) . scalar(grep { /listed/ } map { $_->{key} } pictures($lines)), '10', 'and the rest goes on');
is($code, 1, 'with status 1');
($lines, $err, $code) = compress({}, '--output', "$dir/framed", '--frames', '9-', "$in/many.dcm");
is("$code " . join(' ', map { $_->{error} } errors($lines)), '2 none of the frames is there: the object has 5', 'frames that are not there');

# A directory as it is named, and names that are not UTF-8.
write_image("$dir/odd/caf\xe9.dcm", '1.2.3.4.50', 8, 8, 1);
symlink "$dir/odd", "$dir/link" or die;
($lines, $err, $code) = compress({}, '--output', "$dir/odd_out", "$dir/link");
is(scalar pictures($lines) . " $code", '1 0', 'a directory by a link, and a file name that is not UTF-8');
($lines, $err, $code) = compress({}, '--output', "$dir/odd_out", "$dir/odd/caf\xe9.dcm");
is(scalar skipped($lines) . " $code", '1 0', 'that is the same source by its own name');

# --- the pictures

write_image("$dir/wide/a.dcm", '1.2.3.4.60', 300, 100, 1);
($lines) = compress({}, '--output', "$dir/wide_out", '--max-size', 30, "$dir/wide/a.dcm");
is(sides("$dir/wide_out/$lines->[0]{key}"), '30x10', '--max-size scales the longer side');
is("$lines->[0]{width}x$lines->[0]{height}", '30x10', 'and says so');
for my $window ('100,50', 'pixels', 'file:1')
{
	($lines, $err, $code) = compress({}, '--output', "$dir/wide_out", '--window', $window, '--subsampling', '444', '--quality', 95, "$dir/wide/a.dcm");
	is($code . scalar pictures($lines), '01', "--window $window");
}

# --- many

make_files('--count', 400, '--size', 16, "$dir/many");
($lines, $err, $code) = compress({}, '--output', "$dir/many_out", '--jobs', 3, "$dir/many/");
is(scalar pictures($lines) . " $code", '400 0', 'many files, several processes');
is(scalar files_in("$dir/many_out"), 400, 'all there');
is(scalar(grep { /dicom_fdw-/ } files_in("$dir/many_out")), 0, 'and nothing half-written');

# --- an event

my $event = { source => "file://$in", target => "$dir/event_out", files => [ '000000.dcm', 'many.dcm', 'missing.dcm' ], quality => 80, frames => '1-2', key => '{name}-{frame}.jpg' };
($lines, $err, $code) = compress({ input => $json->encode($event) }, '--event');
is("$code $lines->[0]{compressed} $lines->[0]{failed} $lines->[0]{skipped}", '0 2 1 0', 'an event is answered with numbers');
is_deeply([ sort map { $_->{key} } @{ $lines->[0]{frames} } ], [ '000000-1.jpg', 'many-1.jpg', 'many-2.jpg' ], 'its frames');
is_deeply([ map { "$_->{source} $_->{error_code}" } @{ $lines->[0]{errors} } ], ["file://$in/missing.dcm not_found"], 'and errors');
($lines) = compress({ input => $json->encode($event) }, '--event');
is("$lines->[0]{compressed} $lines->[0]{failed} $lines->[0]{skipped}", '0 1 2', 'once');
delete $event->{files};
($lines) = compress({ input => $json->encode($event) }, '--event');
is("$lines->[0]{compressed} $lines->[0]{failed} $lines->[0]{skipped}", '6 0 2', 'without files all that is there is meant');
($lines, $err, $code) = compress({ input => '{"source": "/x", "target": "/y", "qality": 3}' }, '--event');
is("$code " . ($err =~ /qality/ ? 'told' : $err), '2 told', 'a member that nobody knows is refused');

# --- buckets

SKIP:
{
	my $s3 = s3_server();
	skip 'no radosgw here', 30 unless $s3;
	my @options = ('--endpoint', $s3->{endpoint}, '--credentials', 'environment', '--region', 'us-east-1');
	local $ENV{AWS_ACCESS_KEY_ID} = $s3->{access_key_id};
	local $ENV{AWS_SECRET_ACCESS_KEY} = $s3->{secret_access_key};
	my $get = sub { my ($key) = @_; return $s3->request('GET', "/target/$key"); };

	put_directory($s3, 'source', $in, 'scans/');
	$s3->bucket('target');
	($lines, $err, $code) = compress({}, @options, '--output', 's3://target/pictures/', 's3://source/scans/');
	is(scalar pictures($lines) . " $code", '12 0', 'from a bucket to a bucket') or diag(explain($lines), $err);
	is(scalar(grep { sha256_hex($get->("pictures/$_->{key}")) ne $_->{sha256} } pictures($lines)), 0, 'the pictures are there');
	($lines, $err, $code) = compress({}, @options, '--output', 's3://target/pictures/', 's3://source/scans/');
	is(scalar skipped($lines) . " $code", '12 0', 'once');
	$s3->request('PUT', '/source/scans/many.dcm', body => dicom_file(image('1.2.3.4.9', 16, 30, 5)));
	$s3->request('DELETE', '/target/pictures/' . (grep { $_->{source} =~ /000001/ } @$lines)[0]{key});
	my @sources = map { "s3://source/scans/$_" } qw(many.dcm 000000.dcm 000001.dcm missing.dcm);
	($lines, $err, $code) = compress({}, @options, '--output', 's3://target/pictures/', @sources);
	is_deeply([ sort map { $_->{source} } pictures($lines) ], [ $sources[2], ($sources[0]) x 5 ], 'a changed object, and one whose picture is lost, are made again, by name as well');
	is(codes($lines), 'not_found', 'and a missing one is told');
	($lines, $err, $code) = compress({}, @options, '--output', "$dir/from_s3", 's3://source/scans/');
	is(scalar pictures($lines) . " $code", '12 0', 'from a bucket to a directory');
	($lines, $err, $code) = compress({}, @options, '--output', 's3://target/copied', "$in/");
	is(scalar pictures($lines) . " $code", '12 0', 'from a directory to a bucket');
	($lines, $err, $code) = compress({}, @options, '--output', 's3://target/copied', '--state', "$dir/s3_state", "$in/000000.dcm") for 1 .. 2;
	is(scalar skipped($lines) . " $code", '1 0', 'with notes in a directory');

	# An object that is too large to be fetched whole is read by ranges: frames side by side, few of many, and a compressed one.
	my $large = dicom_file(image('1.2.3.4.70', 1024, 1024, 12));
	$s3->request('PUT', '/source/large/large.dcm', body => $large);
	($lines, $err, $code) = compress({}, @options, '--output', "$dir/large_s3", 's3://source/large/');
	is(scalar pictures($lines) . " $code", '12 0', 'a large object, by listing');
	($lines, $err, $code) = compress({}, @options, '--output', "$dir/large_s3", '--frames', '1,7,12', '--overwrite', 's3://source/large/large.dcm');
	is(scalar pictures($lines) . " $code", '3 0', 'by name, and some of its frames');
	write_text("$dir/large/large.dcm", $large) if mkdir "$dir/large";
	compress({}, '--output', "$dir/large_file", "$dir/large/");
	is(scalar(grep { read_text("$dir/large_file/$_") ne read_text("$dir/large_s3/$_") } files_in("$dir/large_file")), 0, 'gives the pictures that the file gives');
	is(scalar files_in("$dir/large_s3"), 12, 'all of them');

	# Secrets come by a descriptor, and nothing else can be reached then.
	my $stores = $json->encode([
		{ location => 's3://source/scans/', map({ $_ => $s3->{$_} } qw(endpoint access_key_id secret_access_key)) },
		{ location => "file://$dir/confined/" } ]);
	write_text("$dir/stores", $stores);
	mkdir "$dir/confined" or die;
	symlink "$in", "$dir/confined/outside" or die;
	my @confined = ('sh', '-c', 'exec 7<' . "$dir/stores" . '; exec "$@"', 'sh', $program, '--stores', 'fd:7', '--output', "file://$dir/confined/pictures/");
	local $ENV{AWS_ACCESS_KEY_ID} = 'nobody';
	my ($printed, $complaint, $status) = run_command(@confined, 's3://source/scans/000000.dcm', 's3://source/large/large.dcm', "file://$dir/confined/outside/000001.dcm", "file://$in/000001.dcm");
	my @said = map { JSON::PP->new->decode($_) } split /\n/, $printed;
	is(scalar pictures(\@said) . " $status", '1 1', 'stores by a descriptor') or diag($printed, $complaint);
	is(codes(\@said), 'access_denied access_denied access_denied', 'and no others, nor what a link leads to');
	is(scalar files_in("$dir/confined/pictures"), 1, 'what is made lies where it should');
	write_text("$dir/stores", '[{"location": "s3://x/", "secret_access_kye": "hush"}]');
	($printed, $complaint, $status) = run_command(@confined, 's3://x/y');
	is($status . ($complaint =~ /secret_access_kye/ && $complaint !~ /hush/ ? ' told' : $complaint), '2 told', 'a mistake in the list is told without its value');

	local $ENV{AWS_ACCESS_KEY_ID} = $s3->{access_key_id};
	($lines, $err, $code) = compress({}, @options, '--output', 's3://nosuch/x/', "$in/000000.dcm");
	is("$code $#$lines" . ($err =~ /^dicompress: / ? ' told' : $err), '2 -1 told', 'a bucket that is not there is noticed before anything is done');
	($lines, $err, $code) = compress({ input => $json->encode({ source_bucket => 'source', source_prefix => 'scans', target_bucket => 'target', target_prefix => 'event',
		files => [ '000000.dcm', 'many.dcm' ], endpoint => $s3->{endpoint} }) }, '--event');
	is("$code $lines->[0]{compressed}", '0 2', 'an event about buckets');
}

# --- where a file that has no name is not given one by its descriptor

SKIP:
{
	my @traced = ('strace', '-o', "$dir/trace", '-e', 'trace=linkat', '-e', 'inject=linkat:error=ENOENT:when=1', $program, '--output', "$dir/by_path", '--state', 'none', "$in/");
	my (undef, undef, $status) = run_command(@traced);
	my $trace = read_text("$dir/trace");

	skip 'nothing can be traced here', 2 unless $trace =~ /linkat\(/;
	is("$status " . scalar files_in("$dir/by_path"), '0 12', 'it is given one by its path');
	is(join(' ', map { /"",/ ? 'descriptor' : m{"/proc/self/fd/} ? 'path' : $_ } $trace =~ /linkat\((.*)/g), join(' ', 'descriptor', ('path') x 8), 'at once, from the second on');
}

# --- real files

SKIP:
{
	skip 'no ../shared/corpus here', 5 unless corpus();
	my @files = sort grep { !m{/(TRUTH|MANIFEST|CROSSCHECK|LICENSES|README)\.\w+$} } glob corpus() . '/*';
	($lines, $err, $code) = compress({}, '--output', "$dir/corpus", '--key', '{name}/{frame}.jpg', @files);
	my %said = map { $_->{source} => 1 } @$lines;
	is(scalar(grep { !$said{$_} } @files), 0, 'of every real file there are pictures or a reason');
	is(scalar(grep { !length $_->{error} } errors($lines)), 0, 'each reason is given');
	is(scalar(grep { $_->{error_code} eq 'decoder' } errors($lines)), 0, 'no decoder dies');
	is(scalar(grep { sides("$dir/corpus/$_->{key}") ne "$_->{width}x$_->{height}" } pictures($lines)), 0, 'each picture is a JPEG of its size');
	is(differ_from_tool("$dir/corpus", grep { $_->{frame} == 1 } pictures($lines)), '', 'and the one that the library makes of the file');
	diag(sprintf 'counted: %d files, %d pictures, %d errors', scalar @files, scalar pictures($lines), scalar errors($lines));
}
done_testing();
