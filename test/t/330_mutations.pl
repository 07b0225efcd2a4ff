# Promise: whatever stands in a file, dicompress lives, no file holds it up for more than the time it gives a decoder, and every file is
# accounted for: pictures, or a reason. Real and made files are cut at every 1 KiB, and changed at random, and go through one run.
#
#	DICOM_MUTATIONS		how many random changes (3000)
#	DICOM_CUTS			of how many cuts one is tried (1: all; 40)
#	DICOM_SEED			of the random numbers
#	DICOM_KEEP_CRASHES	a directory for files over which a decoder died
use strict;
use warnings;

use DicomTest;
use File::Copy qw(copy);
use IO::Handle;
use IPC::Open2;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

my $mutations = $ENV{DICOM_MUTATIONS} // 3000;
my $cuts = $ENV{DICOM_CUTS} // 40;
my $seed = $ENV{DICOM_SEED} // 7;
my $outstanding = 256;    # files that may be on their way
my $largest = 150_000;    # bytes of a file to change
my $dir = work_dir();
my $json = JSON::PP->new;

srand $seed;

# --- what is changed

sub seeds
{
	my ($out, $err, $code) = run_command('/usr/bin/python3', '-B', top() . '/test/image/make_variants.py', "$dir/made", top() . '/build/tools/dicom_frame');
	my @files = glob "$dir/made/*.dcm";

	diag("no made files: $err") if $code != 0;
	push @files, grep { !/\.(jsonl|tsv|md)$/ } glob corpus() . '/*' if corpus();
	return @files;
}

sub pick { my ($below) = @_; return int rand $below; }

# One change: bits, bytes, a range lost, doubled, or taken from elsewhere. Most of them lie in the last part, where pixels are.
sub change
{
	my ($bytes, $other) = @_;
	my $length = length $$bytes;
	my $place = rand() < 0.7 ? int($length * sqrt rand) : pick(1 + $length);
	my $size = 1 + pick(rand() < 0.8 ? 8 : 2000);
	my $way = pick(7);

	return if $length < 2;
	$place = $length - 1 if $place >= $length;
	$size = $length - $place if $place + $size > $length;
	if    ($way == 0) { vec($$bytes, $place, 8) ^= 1 << pick(8); }
	elsif ($way == 1) { vec($$bytes, $place, 8) = (0, 0xFF, 0x7F, 0x80, 1, 0xFE)[ pick(6) ]; }
	elsif ($way == 2) { substr($$bytes, $place, $size) = join '', map { chr pick(256) } 1 .. $size; }
	elsif ($way == 3) { substr($$bytes, $place, $size) = ''; }
	elsif ($way == 4) { substr($$bytes, $place, 0) = substr $$bytes, $place, $size; }
	elsif ($way == 5) { substr($$bytes, $place, $size) = substr $$other, pick(1 + length $$other), $size; }
	else              { substr($$bytes, $place, $size) = chr(pick(2) * 255) x $size; }
	return;
}

# --- one run over all of them

my ($sent, $finished, $number, %waiting, %outcome, @old) = (0, 0, 0);
my ($to, $from);
my $pid = open2($from, $to, "$ENV{DICOM_TEST_BIN}/dicompress", '--output', "$dir/out", '--state', 'none', '--key', '{name}/{frame}.jpg', '-');
my ($last_word, $longest_silence, $buffer) = (time, 0, '');

# Takes what the program has said; waits for at least one line.
sub take_lines
{
	my $got = sysread $from, $buffer, 65536, length $buffer;

	return 0 unless $got;
	my $silence = time - $last_word;
	$longest_silence = $silence if $silence > $longest_silence;
	$last_word = time;
	while ($buffer =~ s/^(.*)\n//)
	{
		my $line = eval { $json->decode($1) } or do { $outcome{'no JSON'}++; next; };
		my $source = $line->{source};

		$outcome{ $line->{error_code} // 'picture' }++;
		if (($line->{error_code} // '') eq 'decoder')
		{
			diag("$line->{error}: $source");
			copy($source, $ENV{DICOM_KEEP_CRASHES}) if $ENV{DICOM_KEEP_CRASHES};
		}
		unlink "$dir/out/$line->{key}" if $line->{key};
		next unless delete $waiting{$source};
		$finished++;
		push @old, $source;
		unlink shift @old if @old > $outstanding;
	}
	return 1;
}

sub send_file
{
	my ($bytes) = @_;
	my $file = write_text("$dir/" . $number++, $bytes);

	$waiting{$file} = 1;
	$sent++;
	print $to "$file\n";
	$to->flush;
	while (keys %waiting >= $outstanding)
	{
		take_lines() or die "dicompress ended\n";
	}
	return;
}

my @files = seeds();
my $tried = 0;
$last_word = time;
for my $file (@files)
{
	for (my $length = 0; $length < -s $file; $length += 1024)
	{
		send_file(substr read_text($file), 0, $length) if $tried++ % $cuts == 0;
	}
}
diag("counted: $sent cuts of " . scalar(@files) . ' files');
my @small = grep { -s $_ <= $largest && -s $_ > 0 } @files;
my ($bytes, $other) = ('', '');
for (1 .. $mutations)
{
	$other = $bytes;
	$bytes = read_text($small[ pick(scalar @small) ]);
	my $changed = $bytes;
	change(\$changed, \$other) for 1 .. 1 + pick(4);
	send_file($changed);
}
close $to;
1 while take_lines();
waitpid $pid, 0;
is($? & 127, 0, 'dicompress has lived through it');
ok($? >> 8 <= 1, 'and some pictures came out');
is($finished, $sent, 'every file is accounted for');
is(join(' ', sort keys %waiting), '', 'there is none of which nothing was said');
is($outcome{'no JSON'} // 0, 0, 'all it said was JSON');
is($outcome{protocol} // 0, 0, 'and its children kept to the protocol');
diag('counted: ' . join ', ', map { "$_ $outcome{$_}" } sort keys %outcome);
diag(sprintf 'measured: longest silence %.1f s', $longest_silence);
done_testing();
