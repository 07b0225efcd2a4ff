# Promise: a header costs one request, seldom two, and few bytes however large the file; what the listing knows costs no
# request at all.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $s3 = s3_server() or plan skip_all => 'no radosgw here';
my $proxy   = fault_proxy($s3);
my $cluster = cluster();

# How many reads a query made, and how many bytes of bodies they brought.
sub cost_of
{
	my ($query) = @_;

	$proxy->forget;
	my $result = $cluster->query($query);
	my @reads = grep { $_->{is_read} } $proxy->requests;
	my $bytes = 0;
	$bytes += $_->{bytes} for @reads;
	return ($result, scalar @reads, $bytes);
}

# Files of usual size
my $usual = work_dir();
make_files('--count', 400, '--size', 128, $usual);
put_directory($s3, 'usual', $usual);
$cluster->make_server('usual', $proxy->server, 's3://usual/');
my ($result, $reads, $bytes) = cost_of('SELECT count(*) FROM usual.files');
is($result, 400, 'files are counted');
is($reads, 0, 'without opening one');
($result, $reads, $bytes) = cost_of('SELECT count(DISTINCT sop_instance_uid), count(DISTINCT study_instance_uid) FROM usual.images');
is($result, '400|8', 'every header is read');
cmp_ok($reads / 400, '<=', 1.1, 'with at most 1.1 requests a file');
diag("measured: $reads reads for 400 headers, $bytes bytes");
($result, $reads, $bytes) = cost_of('SELECT count(*) FROM usual.images');
is($result, 400, 'images are counted, which takes their headers');
cmp_ok($reads / 400, '<=', 1.1, 'at one request each');

# One query, one reading of each file, whatever it asks for
($result, $reads, $bytes) = cost_of('SELECT count(error), count(warnings), count(header_bytes), count(sop_class_uid) FROM usual.files');
cmp_ok($reads / 400, '<=', 1.1, 'errors, warnings and attributes come from the same requests');
($result, $reads, $bytes) = cost_of("SELECT count(*) > 40000 FROM usual.elements");
is($result, 't', 'all elements of all files');
cmp_ok($reads / 400, '<=', 1.1, 'come from the same requests too');

# Large files
my $large = work_dir();
make_files('--count', 12, '--size', 2048, $large);
my $total = 0;
$total += -s for glob "$large/*/*/*/*.dcm";
put_directory($s3, 'large', $large);
$cluster->make_server('large', $proxy->server, 's3://large/');
cmp_ok($total / 12, '>=', 8 << 20, 'files of 8 MiB and more');
($result, $reads, $bytes) = cost_of('SELECT count(DISTINCT sop_instance_uid) FROM large.images');
is($result, 12, 'are read');
cmp_ok($bytes, '<', 0.02 * $total, 'by less than 2 % of their bytes');
diag(sprintf 'measured: %d of %d bytes (%.2f %%) in %d reads', $bytes, $total, 100 * $bytes / $total, $reads);

# Real files
SKIP:
{
	skip 'no ../shared/corpus', 2 unless corpus();
	put_directory($s3, 'corpus', corpus());
	$cluster->make_server('real', $proxy->server, 's3://corpus/');
	($result, $reads, $bytes) = cost_of('SELECT count(*) FROM real.images');
	my $opened = grep { -f } glob corpus() . '/*';
	cmp_ok($reads / $opened, '<=', 1.1, 'real files: at most 1.1 requests each on average');
	diag("measured: $reads reads for $opened real files, $bytes bytes");
	($result, $reads) = cost_of('SELECT count(error) FROM real.files');
	cmp_ok($reads / $opened, '<=', 1.1, 'to the end of their headers too');
}

done_testing();
