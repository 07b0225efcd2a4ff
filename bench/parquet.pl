# The measurements of bench/parquet.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;

my ($rows, $repetitions) = @ARGV;
my $work    = $ENV{DICOM_TEST_WORK};
my $dir     = work_dir();
my $cluster = cluster(conf => "shared_buffers = 1GB\nmax_wal_size = 4GB\nlog_statement = none\n");

mkdir "$dir/lake" or die;
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
CREATE SERVER lake FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/lake/');
CREATE TABLE t AS
SELECT i AS id, CASE WHEN i % 11 > 0 THEN (hashint8(i) / 7)::int4 END AS noisy, i / 1000 AS slow, hashint8(i)::int8 * i AS large,
	random() AS real, (hashint8(i) / 100.0)::numeric(14, 2) AS amount, date '2000-01-01' + (i / 500)::int AS study_date,
	timestamptz '2001-01-01' + i * interval '17.123457 s' AS at, '2.25.' || i::text || repeat('7', (i % 20)::int) AS sop_instance_uid,
	'series ' || i / 100 AS series, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'CT' END AS modality, i % 2 = 0 AS even,
	CASE WHEN i % 5 > 0 THEN array_fill((i % 13)::text, ARRAY[(i % 4)::int]) END AS parts, md5(i::text)::uuid AS id2
FROM generate_series(1::int8, $rows) i;
VACUUM ANALYZE t;
END

# Exports all rows into a file of that name; the seconds.
sub export
{
	my ($file, $options) = @_;

	return $cluster->query(<<"END") =~ s/.*\n//sr;
SELECT clock_timestamp() AS start \\gset
SELECT rows FROM dicom.export_parquet('SELECT * FROM t', 'lake', '$file.parquet', '{"overwrite": true$options}');
SELECT extract(epoch FROM clock_timestamp() - :'start'::timestamptz);
END
}

sub duckdb
{
	my ($threads) = @_;
	my ($out, $err, $code) = run_command('node', "$work/engines/duckdb_copy.mjs", "$dir/lake/ours.parquet", "$dir/theirs.parquet", $threads, 2);

	die $err if $code;
	return (split /\n/, $out)[-1];
}

my (%seconds, %size);
for my $round (0 .. $repetitions)
{
	my %now = (ours => export('ours', ''), alone => export('alone', ', "threads": 1'), plain => export('plain', ', "bloom_filters": []'), two => duckdb(2), one => duckdb(1));

	%size = (ours => -s "$dir/lake/ours.parquet", plain => -s "$dir/lake/plain.parquet", two => -s "$dir/theirs.parquet");
	push @{ $seconds{$_} }, $now{$_} for $round ? keys %now : ();
}
my $copy = median(map {
	$cluster->query(<<'END') =~ s/.*\n//sr } 1 .. $repetitions);
SELECT clock_timestamp() AS start \gset
COPY t TO '/dev/null' (FORMAT binary);
SELECT extract(epoch FROM clock_timestamp() - :'start'::timestamptz);
END
my %median = map { $_ => median(@{ $seconds{$_} }) } keys %seconds;

print heading("bench/parquet.sh $rows $repetitions", $cluster);
print "$rows rows of 14 columns, zstd. DuckDB has them in memory, column by column; we read them from a table, row by row, as `COPY` does, and wait until the file is on disk.\n\n";
print "| writer | seconds (median of $repetitions) | time | bytes | size |\n|---|---:|---:|---:|---:|\n";
printf "| DuckDB, two threads | %.3f | 1.00 | %d | 1.00 |\n", $median{two}, $size{two};
printf "| DuckDB, one thread | %.3f | %.2f | | |\n", $median{one}, $median{one} / $median{two};
printf "| dicom.export_parquet(), one thread, with bloom filters | %.3f | %.2f | | |\n", $median{alone}, $median{alone} / $median{two};
printf "| dicom.export_parquet(), two threads, with bloom filters | %.3f | %.2f | %d | %.2f |\n", $median{ours}, $median{ours} / $median{two}, $size{ours}, $size{ours} / $size{two};
printf "| dicom.export_parquet(), two threads | %.3f | %.2f | %d | %.2f |\n", $median{plain}, $median{plain} / $median{two}, $size{plain}, $size{plain} / $size{two};
printf "| COPY to /dev/null in binary, which writes nothing | %.3f | %.2f | | |\n", $copy, $copy / $median{two};
