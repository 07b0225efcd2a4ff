# The measurements of bench/scan.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;
use Time::HiRes qw(time);

my ($count, $repetitions) = @ARGV;
my @attributes = (
	[ sop_instance_uid => '0008,0018' ], [ series_instance_uid => '0020,000e' ], [ study_instance_uid => '0020,000d' ],
	[ study_date => '0008,0020' ], [ modality => '0008,0060' ], [ patient_id => '0010,0020' ],
	[ instance_number => '0020,0013' ], [ rows => '0028,0010' ], [ image_position_patient => '0020,0032' ],
	[ window_center => '0028,1050' ]);
my $columns = join ', ', 'filename', map { $_->[0] } @attributes;
my $work = $ENV{DICOM_TEST_WORK};
my $files = "$work/files-$count";
my $cluster = cluster(conf => "shared_buffers = 128MB\nlog_statement = none\n");

sub text_table
{
	my ($server) = @_;

	return "CREATE FOREIGN TABLE $server.texts (filename text COLLATE \"C\", "
		. join(', ', map { "$_->[0] text" } @attributes) . ") SERVER $server OPTIONS (entity 'images')";
}

sub table
{
	my ($first, @rows) = @_;
	my $base = $rows[0][1];

	print "| $first | seconds (median of $repetitions) | files/s | ratio |\n|---|---:|---:|---:|\n";
	printf "| %s | %.3f | %.0f | %.2f |\n", $_->[0], $_->[1], $count / $_->[1], $_->[1] / $base for @rows;
	print "\n";
	return;
}

print heading("bench/scan.sh $count $repetitions", $cluster);

# --- From a directory

make_files('--count', $count, $files) unless -d $files;
$cluster->make_server('disk', undef, "file://$files/");
$cluster->query(text_table('disk'));

my @tags = map { $_->[1] } @attributes;
my %readers = (
	'dicom_fdw, text columns' => sub { return time_query($cluster, "COPY (SELECT $columns FROM disk.texts) TO STDOUT"); },
	'DCMTK (loadFileUntilTag)' => sub { return time_peer("$work/dcmtk_scan", $files, @tags); },
	'pydicom (stop_before_pixels, specific_tags)' => sub { return time_peer('/usr/bin/python3', '-B', top() . '/bench/peers/pydicom_scan.py', $files, @tags); },
);
my @order = sort keys %readers;
@order = (grep({ /dicom_fdw/ } @order), grep { !/dicom_fdw/ } @order);
my (%seconds, %digests);
for my $round (0 .. $repetitions)
{
	for my $reader (@order)
	{
		my ($time, $digest) = $readers{$reader}->();
		$digests{$digest}{$reader} = 1;
		push @{ $seconds{$reader} }, $time if $round > 0;    # the first one fills caches
	}
}
die "the readers do not agree:\n" . join('', map { "$_: " . join(', ', sort keys %{ $digests{$_} }) . "\n" } sort keys %digests) if keys %digests != 1;

# The standard table has typed columns; modality and the patient's id are not among them.
my $typed_columns = $columns =~ s/modality, patient_id/photometric_interpretation, slice_location/r;
my @typed = map { (time_query($cluster, "COPY (SELECT $typed_columns FROM disk.images) TO STDOUT"))[0] } 0 .. $repetitions;
print "$count files of 512 x 512 pixels in the page cache, ten attributes of each; all readers gave the same values.\n\n";
table('directory', (map { [ $_, median(@{ $seconds{$_} }) ] } @order), [ 'dicom_fdw, the standard images table (typed columns)', median(@typed[ 1 .. $#typed ]) ]);

# --- From S3

my $s3 = s3_server();
if (!$s3)
{
	print "No S3 server here: not measured.\n";
	exit;
}
my $small = work_dir();
my ($latency, $requests) = (0.050, 64);
make_files('--count', $count, '--size', 16, '--layout', 'flat', $small);
put_directory($s3, 'bench', $small);
my $proxy = fault_proxy($s3);
$cluster->make_server('bucket', $proxy->server, 's3://bench/', max_requests => $requests);
$cluster->query(text_table('bucket'));
my $expected = (time_peer("$work/dcmtk_scan", $small, @tags))[1];
my $fetch = write_text("$work/curl.conf", join "\n", map { "url = \"$proxy->{server}{endpoint}/bench/$_\"\noutput = /dev/null" } map { s{.*/}{}r } glob "$small/*.dcm");
my (@plain, @slow, @listing, @curl);

# The same objects through the same proxy with curl, as many at a time, nothing done with them.
sub time_curl
{
	my $start = time;
	my (undef, $err, $code) = run_command('curl', '-s', '-S', '-f', '--noproxy', '*', '-Z',
		'--parallel-immediate', '--parallel-max', $requests, '-r', '0-131071', '-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD', '--aws-sigv4', 'aws:amz:us-east-1:s3', '--user', "$s3->{access_key_id}:$s3->{secret_access_key}", '-K', $fetch);

	die "curl: $err\n" if $code != 0;
	return time - $start;
}

for my $round (0 .. $repetitions)
{
	my $digest;

	$proxy->set('');
	push @plain, (time_query($cluster, "COPY (SELECT $columns FROM bucket.texts) TO STDOUT"))[0];
	$proxy->set("latency " . $latency * 1000);
	push @listing, (time_query($cluster, 'SELECT count(*) FROM bucket.files'))[0];
	(my $time, $digest) = time_query($cluster, "COPY (SELECT $columns FROM bucket.texts) TO STDOUT");
	push @slow, $time;
	push @curl, time_curl();
	die "S3 gave other values\n" if $digest ne $expected;
}
my $least = $count / $requests * $latency + median(@listing[ 1 .. $#listing ]);
print "$count files in S3 (radosgw behind a proxy, on the same machine), ", $latency * 1000, " ms of latency a request, $requests requests at a "
	. "time in each process of a scan; dicom_fdw may use several, which is how it can be below the least of one. The least it can take is $count / $requests x ", $latency * 1000, " ms, and the listing. curl fetches the same objects and does nothing with them.\n\n";
table('S3', [ 'the least', $least ], [ 'dicom_fdw', median(@slow[ 1 .. $#slow ]) ], [ 'curl --parallel, without the listing', median(@curl[ 1 .. $#curl ]) ],
	[ 'dicom_fdw, no latency', median(@plain[ 1 .. $#plain ]) ]);
