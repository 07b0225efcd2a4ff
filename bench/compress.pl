# The measurements of bench/compress.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;
use File::Path qw(remove_tree);
use File::Temp ();
use JSON::PP   ();
use Time::HiRes qw(time);

use constant { SIZE => 512, QUALITY => 90, PIXELS => 64, PYTHON_FILES => 500, DCMTK_FILES => 100, COMPARED => 16, LEAST_PSNR => 40 };

my ($count, $repetitions) = @ARGV;
my $processors = () = read_text('/proc/cpuinfo') =~ /^processor/mg;
my $work       = work_dir();
my $python     = top() . '/bench/peers/opencv_jpeg.py';
my $fast       = -w '/dev/shm' ? File::Temp->newdir('dicom_fdw-bench.XXXXXX', DIR => '/dev/shm') : undef;
my ($files, @files);    # those in memory, or else on disk

# Runs a command; its seconds, those of all processors for it, and what it wrote to standard output and error.
sub run
{
	my @command = @_;
	my $dir     = File::Temp->newdir('run.XXXXXX', DIR => $work);
	my $start   = time;
	my @before  = times;
	my $code    = DicomTest::wait_command(spawn_command("$dir/out", "$dir/err", @command));
	my $seconds = time - $start;
	my @after   = times;
	my $err     = read_text("$dir/err");

	die "@command: exit status $code\n$err" if $code != 0;
	return ($seconds, $after[2] + $after[3] - $before[2] - $before[3], read_text("$dir/out"), $err);
}

sub empty
{
	my ($directory) = @_;

	remove_tree($directory);
	mkdir $directory or die "$directory: $!";
	return $directory;
}

# Reads the files of a disk once more: systems that reclaim memory early take them back out of the page cache.
sub warm { return run('bash', '-c', 'cat "$1"/* >/dev/null', 'bash', $_[0]); }

# --- the ways: each returns how many pictures, the seconds, those of processors, and for the first files the picture

sub dicompress
{
	my ($from, $directory) = @_;

	warm($from);
	my ($seconds, $cpu, $out) = run(DicomTest::bin() . '/dicompress', '--key', '{series_instance_uid}/{sop_instance_uid}.jpg',
		'--output', empty($directory), "$from/");
	my %made = map { my $line = JSON::PP::decode_json($_); ($line->{source} => $line) } split /\n/, $out;

	return ($count, $seconds, $cpu, [ map { "$directory/$made{ s{^\Q$files\E/}{$from/}r }{key}" } @files[ 0 .. COMPARED - 1 ] ], \%made);
}

sub turbo
{
	my @options = @_;
	my (undef, $cpu, $out) = run("$ENV{DICOM_TEST_WORK}/turbo_limit", @options, "$work/pixels", SIZE, SIZE, $count, QUALITY, $processors);
	my ($rate, $bytes) = $out =~ /^([\d.]+) pictures per second, (\d+) bytes/ or die $out;

	return ($count, $count / $rate, $cpu, undef, $bytes);
}

sub opencv
{
	my $most = $count < PYTHON_FILES ? $count : PYTHON_FILES;
	my $out  = empty("$work/python");
	my (undef, $cpu, undef, $err) = run('/usr/bin/python3', '-B', $python, 'jpeg', $out, QUALITY, @files[ 0 .. $most - 1 ]);

	return ($most, $err, $cpu, [ map { "$out/$_.jpg" } 0 .. COMPARED - 1 ]);
}

sub dcmtk
{
	my $most = $count < DCMTK_FILES ? $count : DCMTK_FILES;
	my $out  = empty("$work/dcmtk");
	my ($seconds, $cpu) = run('bash', '-c', 'out=$1; shift; i=0; for file; do dcmj2pnm -q +Wi 1 +oj +Jq ' . QUALITY
			. ' "$file" "$out/$i.jpg" || exit; i=$((i + 1)); done', 'bash', $out, @files[ 0 .. $most - 1 ]);

	return ($most, $seconds, $cpu, [ map { "$out/$_.jpg" } 0 .. COMPARED - 1 ]);
}

# --- one set

# All must have done the same: the limit gives as many bytes, the others the same pictures.
sub check
{
	my ($made, $results) = @_;
	my $bytes = 0;
	my %least;

	die "not every file has given a picture\n" if keys %$made != $count;
	$bytes += $_->{bytes} / $count for values %$made;
	die "our pictures have $bytes bytes, those of the limit $_->[4]\n"
		for grep { defined $_->[4] && !ref $_->[4] && abs($_->[4] / $bytes - 1) > 0.01 } values %$results;
	for my $way (grep { $results->{$_}[3] } keys %$results)
	{
		my @pairs = map { ($results->{ours}[3][$_], $results->{$way}[3][$_]) } 0 .. COMPARED - 1;

		$least{$way} = (run('/usr/bin/python3', '-B', $python, 'psnr', @pairs))[2] + 0;
		die "the pictures of $way are not ours: $least{$way} dB\n" if $least{$way} < LEAST_PSNR;
	}
	return ($bytes, \%least);
}

sub measure
{
	my ($ways, $order) = @_;
	my (%rates, %costs, %results);

	for my $round (0 .. $repetitions)
	{
		for my $way (@$order)
		{
			my @result = $ways->{$way}->();

			$results{$way} = \@result;
			next if $round == 0;    # it fills caches
			push @{ $rates{$way} }, $result[0] / $result[1];
			push @{ $costs{$way} }, 1000 * $result[2] / $result[0];
		}
		# What is written meanwhile, all the same whose it is.
		system 'sync';
	}
	return (\%rates, \%costs, \%results);
}

sub measure_set
{
	my ($kind) = @_;
	my %names = (
		limit => "libjpeg-turbo alone, $processors threads",
		raw   => 'the same by raw data, which few programs use',
		ours  => 'dicompress' . ($fast ? ', from tmpfs to tmpfs' : ''),
		disk  => 'dicompress, from page cache to disk',
		opencv => 'pydicom, numpy, OpenCV, one process',
		dcmtk  => 'dcmj2pnm, a process for each file');
	my %ways = (
		limit => sub { turbo() },
		raw   => sub { turbo('-r') },
		ours  => sub { dicompress($files, ($fast // $work) . '/ours') },
		disk  => sub { dicompress("$work/$kind", "$work/ours") },
		opencv => \&opencv,
		dcmtk  => \&dcmtk);
	my @order = grep { $fast || $_ ne 'disk' } qw(limit raw ours disk opencv dcmtk);

	$files = ($fast // $work) . "/$kind";
	run('/usr/bin/python3', '-B', top() . '/bench/make_images.py', '--count', $count, '--kind', $kind, $files);
	@files = map { sprintf '%s/%06d.dcm', $files, $_ } 0 .. $count - 1;
	run('cp', '-r', $files, "$work/$kind") if $fast;
	run('/usr/bin/python3', '-B', $python, 'pixels', "$work/pixels", @files[ 0 .. ($count < PIXELS ? $count : PIXELS) - 1 ]);
	system 'sync';

	my ($rates, $costs, $results) = measure(\%ways, \@order);
	my ($bytes, $least) = check($results->{ours}[4], $results);
	my %rate = map { $_ => median(@{ $rates->{$_} }) } @order;
	my %cost = map { $_ => median(@{ $costs->{$_} }) } @order;

	printf "%s: %.0f bytes a picture; those of OpenCV are ours to %.0f dB (99: the same), those of dcmj2pnm to %.0f dB.\n\n",
		ucfirst $kind, $bytes, $least->{opencv}, $least->{dcmtk};
	print "| $kind | pictures/s (median of $repetitions) | of the limit | times Python | processor ms each | of the limit |\n|---|---:|---:|---:|---:|---:|\n";
	printf "| %s | %.0f | %.2f | %.1f | %.2f | %.2f |\n", $names{$_}, $rate{$_}, $rate{$_} / $rate{limit}, $rate{$_} / $rate{opencv}, $cost{$_}, $cost{limit} / $cost{$_}
		for @order;
	print "\n";
	remove_tree($files, "$work/$kind", "$work/ours");
	return;
}

die "at least " . COMPARED . " files\n" if $count < COMPARED;
print heading("bench/compress.sh $count $repetitions");
printf "%d different files of %d x %d pixels of 16 bits, to JPEG of quality %d by the window of the file. Of them Python "
	. "had the first %d, dcmj2pnm the first %d. dicompress reads, decodes, writes, computes SHA-256 of every picture and notes what is done; the "
	. "limit has %d pictures of 8 bits in memory and throws away what it makes. On a machine that has other things to do, the time of processors tells more than "
	. "pictures a second do.\n\n", $count, SIZE, SIZE, QUALITY,
	$count < PYTHON_FILES ? $count : PYTHON_FILES, $count < DCMTK_FILES ? $count : DCMTK_FILES, $count < PIXELS ? $count : PIXELS;
measure_set($_) for qw(smooth noisy);
