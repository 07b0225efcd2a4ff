# Promise: however large a file is, the process that decodes it holds one frame of it and not much more; and what JPEG cannot hold is
# told, or scaled.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep);

my $dir = work_dir();
my $program = "$ENV{DICOM_TEST_BIN}/dicompress";
my $allowance = 64;    # MiB beyond a frame

# Grey samples, all zero: sparse. Returns the bytes of a frame.
sub write_sparse
{
	my ($file, $columns, $rows, $bits, $frames) = @_;
	my $frame = $columns * $rows * $bits / 8;
	my $length = $frame * $frames;

	write_dicom($file, element('00080018', 'UI', '1.2.3.' . length $file), element('0020000E', 'UI', '1.2.3'), element('00280002', 'US', pack 'v', 1),
		element('00280004', 'CS', 'MONOCHROME2'), element('00280008', 'IS', $frames), element('00280010', 'US', pack 'v', $rows),
		element('00280011', 'US', pack 'v', $columns), element('00280100', 'US', pack 'v', $bits), element('00280101', 'US', pack 'v', $bits),
		element('00280102', 'US', pack 'v', $bits - 1), element('00280103', 'US', pack 'v', 0),
		pack('vva2vV', 0x7FE0, 0x0010, 'OW', 0, $length > 0xFFFFFFFE ? die "too long\n" : $length));
	truncate $file, $length + -s $file or die "$file: $!\n";
	return $frame;
}

# Runs the program; returns its lines, its status, and the most that a child held, in MiB.
sub compress
{
	my ($name, @arguments) = @_;
	my $pid = spawn_command("$dir/$name.out", "$dir/$name.err", $program, '--output', "$dir/$name", '--key', '{name}/{frame}.jpg', '--jobs', 1, '--timeout', 60, @arguments);
	my ($most, $parent) = (0, 0);

	until (waitpid($pid, 1) == $pid)
	{
		for my $process (split ' ', read_text("/proc/$pid/task/$pid/children"))
		{
			$most = $1 / 1024 if read_text("/proc/$process/status") =~ /^VmHWM:\s+(\d+)/m && $1 / 1024 > $most;
		}
		$parent = $1 / 1024 if read_text("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;
		sleep 0.01;
	}
	my $status = $? >> 8;
	my @lines = map { JSON::PP->new->decode($_) } split /\n/, read_text("$dir/$name.out");
	diag(sprintf 'measured: %s: %.0f MiB in a child, %.0f MiB in its parent', $name, $most, $parent);
	return (\@lines, $status, $most, $parent);
}

my $MiB = 1024 * 1024;

# Just below 4 GiB, the most that an element of known length can hold: 511 frames of 8 MiB, of which a few are made.
my $frame = write_sparse("$dir/frames.dcm", 2048, 2048, 16, 511);
my ($lines, $status, $most, $parent) = compress('frames', '--frames', '1-20,500-', "$dir/frames.dcm");
is($status, 0, 'a file of 4 GB');
is(scalar @$lines, 32, 'gives the frames asked for');
cmp_ok($most, '<', $frame / $MiB + $allowance, 'in the memory of one frame');
cmp_ok($parent, '<', $allowance, 'and next to none in the program');

$frame = write_sparse("$dir/giga.dcm", 32768, 32768, 8, 1);
($lines, $status, $most) = compress('giga', '--max-size', 1000, "$dir/giga.dcm");
is("$status $lines->[0]{width}x$lines->[0]{height}", '0 1000x1000', 'a frame of a gigapixel, scaled');
cmp_ok($most, '<', $frame / $MiB + $allowance, 'in its memory');

write_sparse("$dir/long.dcm", 65535, 4, 8, 1);
($lines, $status) = compress('long', "$dir/long.dcm");
is("$status $lines->[0]{error_code}", '2 limit', 'a side that is longer than a JPEG may be');
like($lines->[0]{hint}, qr/max-size/, 'what helps is told');
($lines, $status) = compress('long', '--max-size', 65500, "$dir/long.dcm");
is("$status $lines->[0]{width}", '0 65500', 'and does');

SKIP:
{
	my $s3 = s3_server();
	skip 'no radosgw here', 3 unless $s3;
	local $ENV{AWS_ACCESS_KEY_ID} = $s3->{access_key_id};
	local $ENV{AWS_SECRET_ACCESS_KEY} = $s3->{secret_access_key};
	$s3->bucket('source');
	$frame = write_sparse("$dir/s3.dcm", 2048, 2048, 16, 12);
	$s3->request('PUT', '/source/s3.dcm', body => read_text("$dir/s3.dcm"));
	($lines, $status, $most, $parent) = compress('s3', '--endpoint', $s3->{endpoint}, '--credentials', 'environment', 's3://source/s3.dcm');
	is("$status " . @$lines, '0 12', 'a large object of a bucket');
	cmp_ok($most, '<', $frame / $MiB + $allowance, 'in the memory of one frame');
	cmp_ok($parent, '<', 2 * $allowance, 'and some pieces in the program');
}
done_testing();
