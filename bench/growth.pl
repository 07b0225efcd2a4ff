# The measurements of bench/growth.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;

my @sizes = @ARGV;
my $per_day = 250;
my $rounds = 9;
my $cluster = cluster(conf => "shared_buffers = 1GB\nmax_wal_size = 4GB\nlog_statement = none\nautovacuum = off\n");

sub sync
{
	my ($server) = @_;
	my ($out, $memory) = $cluster->watch_memory("SELECT seconds FROM dicom.sync('$server')", sub { return $cluster->sync_worker });

	return ($out, $memory, $cluster->query("SELECT opened FROM dicom.sync_progress WHERE server = '$server'"));
}

# The value of a line of EXPLAIN ANALYZE.
sub explained
{
	my ($query, $label) = @_;
	my ($value) = $cluster->query("EXPLAIN (ANALYZE, TIMING off, SUMMARY off) $query") =~ /$label: (\d+)/;

	return $value // 0;
}

# The syncs of one size; what is asked of it later.
sub prepare
{
	my ($size) = @_;
	my $server = "n$size";
	my $files = "$ENV{DICOM_TEST_WORK}/growth-files-$size";
	my %result = (size => $size);

	make_files('--count', $size, '--size', 0, '--days', int($size / $per_day) || 1, '--images-per-series', 25, '--series-per-study', 2, '--layout', 'days', $files) unless -d $files;
	$cluster->make_server($server, undef, "file://$files/", freshness => '1d');
	($result{first}, $result{sync_memory}, my $first) = sync($server);
	($result{second}, undef, my $second) = sync($server);
	my ($touched) = glob "$files/inbox/*/*/*/*.dcm";
	utime undef, undef, $touched;
	($result{touched}, undef, $result{opened}) = sync($server);
	die "$size: opened $first, $second and $result{opened}\n" if "$first $second" ne "$size 0";
	my ($day, $uid) = split /\|/, $cluster->query("SELECT study_date, min(sop_instance_uid) FROM $server.images GROUP BY 1 HAVING count(*) = $per_day ORDER BY 1 LIMIT 1");
	$result{of_day} = "SELECT count(instance_number) FROM $server.images WHERE study_date = '$day'";
	$result{of_uid} = "SELECT instance_number FROM $server.images WHERE sop_instance_uid = '$uid'";
	$result{of_all} = "SELECT count(instance_number), count(rows) FROM $server.images";
	(undef, $result{scan_memory}) = $cluster->watch_memory(<<"END");
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SELECT count(*), max(length(t::text)) FROM $server.images t;
SELECT count(*) FROM $server.patients;
SELECT count(*) FROM $server.elements WHERE value = 'x';
END
	return \%result;
}

my @results = map { prepare($_) } @sizes;
$cluster->query('VACUUM ANALYZE dicom.object');

# The sizes take turns, so that what the machine does besides meets them all.
for my $round (1 .. $rounds)
{
	for my $result (@results)
	{
		push @{ $result->{seconds_of_day} }, (time_statements($cluster, $result->{of_day}, 21))[0];
		push @{ $result->{seconds_of_uid} }, (time_statements($cluster, $result->{of_uid}, 21))[0];
		push @{ $result->{seconds_of_all} }, (time_statements($cluster, $result->{of_all}, 1))[0] if $round <= 3;
	}
}

print heading("bench/growth.sh @sizes", $cluster);
print "Local files without pixels, $per_day to a day; what is queried comes from the catalog alone. Memory is the most that was seen of a process' own (what is shared not counted): "
	. "of the worker of the first sync, and of a backend that goes through all images with all columns, all patients, and all elements, without JIT.\n\n";
print "| objects | first sync, s | second, s | one file touched, s | opened then | one day, ms | rows read for it | one instance, ms | all images, s | sync, MiB | scan, MiB |\n"
	. '|' . '---:|' x 11 . "\n";
printf "| %d | %.2f | %.2f | %.2f | %d | %.2f | %d | %.2f | %.2f | %.0f | %.0f |\n", @$_{qw(size first second touched opened)}, 1000 * median(@{ $_->{seconds_of_day} }),
	explained($_->{of_day}, 'Catalog Rows Read'), 1000 * median(@{ $_->{seconds_of_uid} }), median(@{ $_->{seconds_of_all} }), map { $_ / 1024 } @$_{qw(sync_memory scan_memory)}
	for @results;
printf "\nOne day takes %.2f times as long of %d objects as of %d.\n", median(@{ $results[-1]{seconds_of_day} }) / median(@{ $results[-2]{seconds_of_day} }), @sizes[ -1, -2 ] if @sizes > 1;
