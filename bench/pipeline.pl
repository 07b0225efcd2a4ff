# The measurements of bench/pipeline.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;
use IO::Socket::INET;
use PipelineTest qw(key_conf);
use S3Server;

my ($images, $small, $repetitions) = @ARGV;
my @connections = (1, 4, 8);
my $work = work_dir();
my $runs = 0;

# As a server is run that is to keep what it has.
my $cluster = cluster(conf => key_conf() . "fsync = on\nshared_buffers = 512MB\nmax_wal_size = 4GB\nlog_statement = none\n");

# A directory of its own for a run; what was written before is on disk. Nothing is removed before the end: where ext4 has just removed files it is
# slow to make new ones.
sub new_place
{
	my $place = "$work/run" . ++$runs;

	mkdir $_ or die "$_: $!\n" for $place, map { "$place/$_" } @_;
	run_command('sync');
	return $place;
}

# --- A pipeline

# From an empty database to the rows and pictures of a directory: the seconds of the run, and those of its steps.
sub run_pipeline
{
	my ($files, $count) = @_;
	my $place = new_place('raw', 'stage');
	my %of = (db => "run$runs");

	$cluster->query("CREATE DATABASE $of{db}");
	$cluster->query(<<"END", %of);
CREATE EXTENSION dicom_fdw;
CREATE SERVER arrived FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$files/');
CREATE SERVER raw FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$place/raw/');
SELECT dicom.create_pipeline('bench', provider => 'arrived', raw => 'raw', stage => 'file://$place/stage/');
END
	my ($milliseconds) = $cluster->query("\\timing on\nCALL dicom.run('bench')", %of) =~ /^Time: ([\d.]+) ms/m or die "no time\n";
	my $made = $cluster->query("SELECT count(*) FILTER (WHERE pictures = 1) FROM dicom_processed.images", %of);
	die "$made of $count images are processed: " . $cluster->query('SELECT status, error FROM dicom.runs', %of) . "\n" if $made != $count;
	my %steps = map { split /\|/ } split /\n/, $cluster->query('SELECT step, seconds FROM dicom.run_steps', %of);
	return ($milliseconds / 1000, \%steps);
}

# --- Orthanc

# As the package configures it, but for the places and ports.
sub write_configuration
{
	my ($place, $port) = @_;
	my $text = read_text('/etc/orthanc/orthanc.json') || die "/etc/orthanc/orthanc.json cannot be read\n";
	my %own = (StorageDirectory => "\"$place/storage\"", IndexDirectory => "\"$place/storage\"", HttpPort => $port, DicomPort => $port + 1);

	for my $name (sort keys %own)
	{
		$text =~ s/^(\s*"$name"\s*:\s*)[^,]*,/$1$own{$name},/m or die "$name is not in Orthanc's configuration\n";
	}
	return write_text("$place/orthanc.json", $text);
}

sub start_orthanc
{
	my ($place) = @_;
	my $port = S3Server::free_ports();
	my $pid = spawn_command("$place/out", "$place/err", '/usr/sbin/Orthanc', write_configuration($place, $port));

	wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }) or die 'Orthanc did not start: ' . read_text("$place/err");
	return ($pid, $port);
}

# To an empty Orthanc: the seconds until it has answered for the last file.
sub run_orthanc
{
	my ($files, $count, $connections) = @_;
	my $place = new_place('storage');
	my ($pid, $port) = start_orthanc($place);
	my ($out, $err, $code) = run_command('/usr/bin/python3', '-B', top() . '/bench/peers/orthanc_upload.py', $port, $connections, $files);
	my ($seconds) = $err =~ /^([\d.]+)$/m;

	die "Orthanc has $out of $count instances: $err\n" if $code != 0 || $out != $count;
	stop_process($pid);
	return $seconds;
}

# --- The comparison

sub compare
{
	my ($what, $files, $count) = @_;
	my (@ours, %orthanc, %steps);

	for my $round (1 .. $repetitions)
	{
		my ($seconds, $steps) = run_pipeline($files, $count);
		push @ours, $seconds;
		push @{ $steps{$_} }, $steps->{$_} for keys %$steps;
		push @{ $orthanc{$_} }, run_orthanc($files, $count, $_) for @connections;
	}
	my ($best) = sort { median(@{ $orthanc{$a} }) <=> median(@{ $orthanc{$b} }) } @connections;
	my $peer = median(@{ $orthanc{$best} });
	print "| $what | seconds (median of $repetitions) | instances/s | ratio |\n|---|---:|---:|---:|\n";
	printf "| Orthanc, %s | %.2f | %.0f | %.2f |\n", $_ == 1 ? 'one connection' : "$_ connections", median(@{ $orthanc{$_} }), $count / median(@{ $orthanc{$_} }),
		$peer / median(@{ $orthanc{$_} }) for @connections;
	printf "| a pipeline, from the provider's files to rows and pictures | %.2f | %.0f | %.2f |\n\n", median(@ours), $count / median(@ours), $peer / median(@ours);
	my @order = grep { median(@{ $steps{$_} }) >= 0.005 } sort { median(@{ $steps{$b} }) <=> median(@{ $steps{$a} }) } keys %steps;
	print 'Seconds by step: ', join(', ', map { sprintf '%s %.2f', $_, median(@{ $steps{$_} }) } @order), ".\n\n";
	return;
}

my ($version) = join('', (run_command('/usr/sbin/Orthanc', '--version'))[ 0, 1 ]) =~ /Orthanc (\d\S*)/ or die "Orthanc does not tell its version\n";
my @kinds = (
	[ "$images images of 512 x 512 pixels", "$work/images", $images, 'make_images.py', '--kind', 'noisy' ],
	[ "$small images of 64 x 64 pixels", "$work/small", $small, 'make_files.py', '--size', 64, '--layout', 'flat' ]);
print heading("bench/pipeline.sh $images $small $repetitions", $cluster);
print "Generated CT images of 16 bits, in one directory, in the page cache; all is written to one disk.\n\n"
	. "- Orthanc $version, as Debian configures it, parses each file, stores it uncompressed with its MD5 (fsync, `SyncStorageArea`), and has it in its index in SQLite (WAL, synchronous NORMAL: "
	. "no fsync for each). It makes no pictures.\n"
	. "- A pipeline, one session on an empty database, copies each file, reads its header into the catalog, de-identifies it into the rows of stage, makes its picture (JPEG of quality 90) "
	. "and the rows of the processed schema. Files and pictures of a batch are flushed to the disk (syncfs) before its rows are committed, with fsync.\n\n"
	. "The ratio is that of rates, Orthanc's best being 1.\n\n";
for my $kind (@kinds)
{
	my ($what, $files, $count, $program, @arguments) = @$kind;
	my ($out, $err, $code) = run_command('/usr/bin/python3', '-B', top() . "/bench/$program", '--count', $count, @arguments, $files);

	die "$program: $err\n" if $code != 0;
	compare($what, $files, $count);
}
