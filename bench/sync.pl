# The measurements of bench/sync.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;
use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use POSIX qw(strftime);

my ($objects, $count, $repetitions) = @ARGV;
my $work = $ENV{DICOM_TEST_WORK};
my $in_flight = 64;
my $range = 128 * 1024;    # as the reader's first one
my $cluster = cluster(conf => "shared_buffers = 128MB\nmax_wal_size = 4GB\nlog_statement = none\n");

# The URL of an object, signed for an hour.
sub presign
{
	my ($s3, $path) = @_;
	my $date = strftime('%Y%m%dT%H%M%SZ', gmtime);
	my $day = substr $date, 0, 8;
	my ($host) = $s3->{endpoint} =~ m{//(.*)};
	my $scope = "$day/$s3->{region}/s3/aws4_request";
	my %query = ('X-Amz-Algorithm' => 'AWS4-HMAC-SHA256', 'X-Amz-Credential' => "$s3->{access_key_id}/$scope" =~ s{/}{%2F}gr,
		'X-Amz-Date' => $date, 'X-Amz-Expires' => 3600, 'X-Amz-SignedHeaders' => 'host');
	my $query = join '&', map { "$_=$query{$_}" } sort keys %query;
	my $canonical = join "\n", 'GET', $path, $query, "host:$host", '', 'host', 'UNSIGNED-PAYLOAD';
	my $signing = "AWS4$s3->{secret_access_key}";

	$signing = hmac_sha256($_, $signing) for $day, $s3->{region}, 's3', 'aws4_request';
	return "$s3->{endpoint}$path?$query&X-Amz-Signature="
		. hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $date, $scope, sha256_hex($canonical)), $signing);
}

print heading("bench/sync.sh $objects $count $repetitions", $cluster);

# --- S3

if (my $s3 = s3_server())
{
	my $dir = work_dir();
	make_files('--count', $objects, '--size', 16, '--layout', 'flat', $dir);
	put_directory($s3, 'bench', $dir);
	$cluster->make_server('bucket', $s3, 's3://bench/', max_requests => $in_flight);
	my $urls = write_text("$work/urls", join '', map { presign($s3, sprintf '/bench/%06d.dcm', $_) . "\n" } 0 .. $objects - 1);
	my (@peer, @ours, @again);
	for my $round (0 .. $repetitions)
	{
		my ($out, $err, $code) = run_command("$work/curl_multi", $urls, $in_flight, $range);
		die "curl_multi: only $out of $objects\n" if $out < 0.99 * $objects;
		$cluster->query('TRUNCATE dicom.object, dicom.stale_day');
		my ($requests, $seconds) = split /\|/, $cluster->query("SELECT requests, seconds FROM dicom.sync('bucket')");
		my $listing = $cluster->query("SELECT seconds FROM dicom.sync('bucket')");
		next if $round == 0;
		push @again, $listing;
		push @peer, $out / $err;
		push @ours, $requests / $seconds;
	}
	my ($peer, $ours) = (median(@peer), median(@ours));
	print "$objects objects in radosgw, $in_flight requests in flight.\n\n";
	print "| S3 | requests/s (median of $repetitions) | ratio |\n|---|---:|---:|\n";
	printf "| a bare curl_multi loop, ranges thrown away | %.0f | 1.00 |\n", $peer;
	printf "| dicom.sync(): listed, read, parsed, written and committed | %.0f | %.2f |\n\n", $ours, $ours / $peer;
	printf "The same sync again, when nothing has changed, which is to say its listing: %.2f s, of %.2f s.\n\n", median(@again), $objects / $ours;
}
else
{
	print "No S3 server here: not measured.\n\n";
}

# --- A large directory

# A sync: its row, and the most memory of its own that its worker had, in MiB.
sub watch_sync
{
	my ($row, $memory) = $cluster->watch_memory("SELECT listed, new, changed, vanished, failed, requests, seconds FROM dicom.sync('disk')", sub { return $cluster->sync_worker });

	return (split(/\|/, $row), $memory / 1024);
}

my $files = "$work/sync-files-$count";
make_files('--count', $count, '--size', 0, '--days', 365, '--layout', 'days', $files) if !-d $files;
$cluster->make_server('disk', undef, "file://$files/");
print "$count local files without pixels.\n\n| directory | seconds | new | changed | opened | memory of the worker, MiB |\n|---|---:|---:|---:|---:|---:|\n";
my @cases = ([ 'everything is new', sub { } ], [ 'nothing has changed', sub { } ],
	[ 'one file was touched', sub { my ($first) = glob "$files/inbox/*/*/*/*.dcm"; utime undef, undef, $first; } ]);
for my $case (@cases)
{
	$case->[1]->();
	my ($listed, $new, $changed, $vanished, $failed, $requests, $seconds, $memory) = watch_sync();
	my $opened = $cluster->query("SELECT opened FROM dicom.sync_progress WHERE server = 'disk'");
	die "listed $listed of $count\n" if $listed != $count;
	printf "| %s | %.2f | %d | %d | %d | %.0f |\n", $case->[0], $seconds, $new, $changed, $opened, $memory;
}
my $size = $cluster->query("SELECT pg_size_pretty(pg_table_size('dicom.object')) || ' and ' || pg_size_pretty(pg_indexes_size('dicom.object')) || ' of indexes'");
my ($rows) = $cluster->query("\\timing on\nCREATE TABLE peer (LIKE dicom.object INCLUDING ALL);\nINSERT INTO peer SELECT * FROM dicom.object;") =~ /Time: \S+ ms.*?Time: ([\d.]+) ms/s;
printf "\nThe catalog is %s. To insert its rows into an empty copy of the table takes %.2f s.\n", $size, ($rows // 0) / 1000;
