# The measurements of bench/catalog.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;

my ($count, $repetitions) = @ARGV;
my $files = "$ENV{DICOM_TEST_WORK}/catalog-files-$count";
my $cluster = cluster(conf => "shared_buffers = 1GB\nmax_wal_size = 4GB\nlog_statement = none\n");

print heading("bench/catalog.sh $count $repetitions", $cluster);
make_files('--count', $count, '--size', 0, '--days', $count < 36500 ? int($count / 100) || 1 : 365, '--layout', 'days', $files) unless -d $files;

# The same files twice: one server has a catalog, the other has none.
my $values = 'study_date date, study_instance_uid text, series_instance_uid text, sop_instance_uid text, modality text, filename text COLLATE "C", size bigint';
$cluster->make_server('files', undef, "file://$files/");
$cluster->make_server('catalog', undef, "file://$files/", freshness => '1d');
$cluster->query(<<"END");
SELECT dicom.sync('catalog');
CREATE FOREIGN TABLE catalog.rows ($values) SERVER catalog OPTIONS (entity 'images');
CREATE SCHEMA ordinary;
CREATE TABLE ordinary.rows AS SELECT * FROM catalog.rows;
CREATE INDEX ON ordinary.rows (study_date);
ANALYZE catalog.rows, catalog.images, files.images;
END
$cluster->query('VACUUM ANALYZE');

my $columns = 'filename, sop_instance_uid, series_instance_uid, study_instance_uid, study_date, instance_number, rows, image_position_patient, window_center, photometric_interpretation';

# Peers take turns, so that what the machine does besides meets them all.
sub compare
{
	my ($query, @peers) = @_;
	my (@seconds, %digests);

	for my $round (0 .. $repetitions)
	{
		for my $i (0 .. $#peers)
		{
			my ($name, $schema, $settings) = @{ $peers[$i] };
			my ($time, $digest) = time_query($cluster, ($settings ? "\\timing off\n$settings;\n\\timing on\n" : '') . $query =~ s/SCHEMA/$schema/gr);

			$digests{$digest} = $name;
			push @{ $seconds[$i] }, $time if $round > 0;    # the first one fills caches
		}
	}
	die "they do not agree: $query\n" if keys %digests != 1;
	return map { median(@$_) } @seconds;
}

# --- Headers

my $alone = 'SET max_parallel_workers_per_gather = 0';
my @peers = ([ 'the files in the page cache, one process', 'files', $alone ], [ 'the catalog, one process', 'catalog', $alone ],
	[ 'the files in the page cache, as planned', 'files' ], [ 'the catalog, as planned', 'catalog' ]);
my @seconds = compare("COPY (SELECT $columns FROM SCHEMA.images) TO STDOUT", @peers);

print "Ten columns of images, of $count files without pixels: from their headers.\n\n| ten columns | seconds (median of $repetitions) | files/s | ratio |\n|---|---:|---:|---:|\n";
printf "| %s | %.3f | %.0f | %.2f |\n", $peers[$_][0], $seconds[$_], $count / $seconds[$_], $seconds[$_] / $seconds[ $_ < 2 ? 0 : 2 ] for 0 .. $#peers;

# --- Values

my ($day, $later, $uid) = split /\|/, $cluster->query('SELECT study_date, study_date + 30, min(sop_instance_uid) FROM ordinary.rows GROUP BY 1, 2 ORDER BY 1 OFFSET 3 LIMIT 1');
my @queries = (
	[ 'counts, sums and extremes of all', 'SELECT count(*), sum(size), min(study_date), max(filename), max(sop_instance_uid) FROM SCHEMA.rows', 5 ],
	[ 'by day and modality', 'SELECT study_date, modality, count(*), sum(size) FROM SCHEMA.rows GROUP BY 1, 2', 5 ],
	[ 'studies by modality', 'SELECT modality, count(DISTINCT study_instance_uid), count(DISTINCT series_instance_uid) FROM SCHEMA.rows GROUP BY 1', 1 ],
	[ 'all rows, in the order of keys', 'SELECT * FROM SCHEMA.rows ORDER BY filename', 1 ],
	[ 'one day', "SELECT filename, size, modality, sop_instance_uid FROM SCHEMA.rows WHERE study_date = '$day'", 50 ],
	[ 'a month', "SELECT study_date, count(*), sum(size) FROM SCHEMA.rows WHERE study_date BETWEEN '$day' AND '$later' GROUP BY 1", 50 ],
	[ 'one instance, of which the table has no index', "SELECT * FROM SCHEMA.rows WHERE sop_instance_uid = '$uid'", 20 ],
);

print "\nColumns of the catalog itself (day, uids, modality, key, size), against an ordinary table of the same rows with an index on the day.\n\n| query | ordinary table, ms | catalog, ms | ratio |\n|---|---:|---:|---:|\n";
for (@queries)
{
	my ($name, $query, $times) = @$_;
	my (%seconds, %digests);

	for my $round (1 .. $repetitions)
	{
		for my $schema (qw(ordinary catalog))
		{
			my ($time, $digest) = time_statements($cluster, $query =~ s/SCHEMA/$schema/gr, $times);

			push @{ $seconds{$schema} }, $time;
			$digests{$digest} = 1;
		}
	}
	die "they do not agree: $query\n" if keys %digests != 1;
	my ($ordinary, $catalog) = map { 1000 * median(@{ $seconds{$_} }) } qw(ordinary catalog);
	printf "| %s | %.2f | %.2f | %.2f |\n", $name, $ordinary, $catalog, $catalog / $ordinary;
}
