# The measurements of bench/cold.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;

my ($count, $repetitions) = @ARGV;
my ($latency, $requests, $first) = (50, 64, 128 * 1024);    # ms; of a scan; bytes, as the reader's first range
my @attributes = (
	[ sop_instance_uid => '0008,0018' ], [ series_instance_uid => '0020,000e' ], [ study_instance_uid => '0020,000d' ],
	[ study_date => '0008,0020' ], [ modality => '0008,0060' ], [ patient_id => '0010,0020' ],
	[ instance_number => '0020,0013' ], [ rows => '0028,0010' ], [ image_position_patient => '0020,0032' ],
	[ window_center => '0028,1050' ]);
my $columns = join ', ', 'filename', map { $_->[0] } @attributes;
my $cluster = cluster(conf => "log_statement = none\n");
my $s3 = s3_server() or do { print "No S3 server here: not measured.\n"; exit };
my $files = work_dir();

make_files('--count', $count, '--size', 256, '--layout', 'flat', $files);
put_directory($s3, 'bench', $files);
my $proxy = fault_proxy($s3);
$proxy->set("latency $latency");
$cluster->make_server('bucket', $proxy->server, 's3://bench/', max_requests => $requests);
$cluster->query("CREATE FOREIGN TABLE bucket.texts (filename text COLLATE \"C\", " . join(', ', map { "$_->[0] text" } @attributes)
	. ") SERVER bucket OPTIONS (entity 'images')");

sub boto3
{
	my ($threads, $bytes) = @_;
	local @ENV{qw(AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_EC2_METADATA_DISABLED NO_PROXY)} = (@$s3{qw(access_key_id secret_access_key)}, 'true', '*');

	return time_peer('/usr/bin/python3', '-B', top() . '/bench/peers/boto3_scan.py', $proxy->server->{endpoint}, 'bench', $threads, $bytes, map { $_->[1] } @attributes);
}

my @readers = (
	[ 'dicom_fdw', $repetitions, sub { return time_query($cluster, "COPY (SELECT $columns FROM bucket.texts) TO STDOUT") } ],
	[ 'boto3 + pydicom, 64 threads, the first 128 KiB', $repetitions, sub { return boto3(64, $first) } ],
	[ 'boto3 + pydicom, 64 threads, whole objects', $repetitions, sub { return boto3(64, 0) } ],
	[ 'boto3 + pydicom, 1 thread, the first 128 KiB', 1, sub { return boto3(1, $first) } ],
	[ 'boto3 + pydicom, 1 thread, whole objects', 1, sub { return boto3(1, 0) } ],
);
my (@seconds, %digests);
for my $round (1 .. $repetitions)
{
	for my $i (0 .. $#readers)
	{
		my ($name, $rounds, $read) = @{ $readers[$i] };
		next if $round > $rounds;
		my ($time, $digest) = $read->();

		$digests{$digest}{$name} = 1;
		push @{ $seconds[$i] }, $time;
	}
}
die "the readers do not agree:\n" . join('', map { join(', ', sort keys %$_) . "\n" } values %digests) if keys %digests != 1;

print heading("bench/cold.sh $count $repetitions", $cluster);
print "$count objects of 256 x 256 pixels in radosgw, behind a proxy with $latency ms of latency a request; nothing is known of them, each reader lists them first. dicom_fdw has $requests requests in flight. "
	. "What takes minutes is measured once, the rest $repetitions times; all readers gave the same values.\n\n";
print "| reader | seconds (median) | objects/s | ratio |\n|---|---:|---:|---:|\n";
printf "| %s | %.2f | %.0f | %.2f |\n", $readers[$_][0], median(@{ $seconds[$_] }), $count / median(@{ $seconds[$_] }), median(@{ $seconds[$_] }) / median(@{ $seconds[0] }) for 0 .. $#readers;
