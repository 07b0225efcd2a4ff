# Promise: 100,000 objects cost no more memory than a few; of them a sync opens what has changed, and a query reads the rows of its day.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use Test::More;

my ($days, $per_day) = (400, 250);
my $count = $days * $per_day;
my $limit = (64 + 4) * 1024;    # KiB: 64 MiB and work_mem
my $dir = work_dir();
my $long = element('00420010', 'ST', 'a report of some length, ' x 100) . element('00420011', 'OB', "\1\2\3\4" x 400);

for my $day (0 .. $days - 1)
{
	my $date = sprintf '%04d%02d%02d', 2000 + int($day / 336), 1 + int($day / 28) % 12, 1 + $day % 28;
	my $common = element('00080020', 'DA', $date) . element('00080060', 'CS', $day % 3 ? 'CT' : 'MR');
	my $study = element('0020000D', 'UI', "1.2.3.$day") . element('0020000E', 'UI', "1.2.3.$day.1");

	write_dicom("$dir/$date/$_.dcm", element('00080018', 'UI', "1.2.3.$day.1.$_") . $common . element('00100010', 'PN', "N$day^$_") . element('00100020', 'LO', "P$day.$_") . $study . $long)
		for 1 .. $per_day;
}
my $cluster = cluster(conf => "work_mem = 4MB\nshared_buffers = 128MB\nlog_statement = none\njit = off\n");
$cluster->make_server('plain', undef, "file://$dir/");
$cluster->make_server('disk', undef, "file://$dir/");
$cluster->query("CREATE SCHEMA fresh; IMPORT FOREIGN SCHEMA dicom FROM SERVER disk INTO fresh OPTIONS (freshness '1d')");

sub sync { return $cluster->watch_memory("SELECT listed, new, changed, vanished, failed FROM dicom.sync('disk')", sub { return $cluster->sync_worker }); }

my %most = (sync => 0, scan => 0);

sub is_small
{
	my ($kind, $memory, $promise) = @_;

	$most{$kind} = $memory if $memory > $most{$kind};
	cmp_ok($memory, '>', 0, "$promise: its memory was seen");
	return cmp_ok($memory, '<', $limit, "$promise: at most 64 MiB and work_mem");
}

my ($out, $memory) = sync();
is($out, "$count|$count|0|0|0", 'the first sync reads everything');
is_small('sync', $memory, 'the worker of a first sync');
($out, $memory) = sync();
is($out, "$count|0|0|0|0", 'the second one finds nothing new');
is($cluster->query('SELECT opened, written FROM dicom.sync_state'), '0|0', 'and opens nothing');
is_small('sync', $memory, 'the worker of a second sync');
utime undef, undef, "$dir/20000215/100.dcm";
($out) = sync();
is($out, "$count|0|1|0|0", 'one after a file was touched finds that');
is($cluster->query('SELECT opened, written FROM dicom.sync_state'), '1|1', 'and opens exactly one');
is($cluster->query("SELECT count(*), count(DISTINCT key) FROM dicom.object"), "$count|$count", 'nothing is doubled');

my $plan = $cluster->query("EXPLAIN (ANALYZE, TIMING off, SUMMARY off) SELECT * FROM fresh.images WHERE study_date = '2000-02-15'");
like($plan, qr/rows=$per_day(?:\.00)? .*Catalog Index: object_day.*Catalog Rows Read: $per_day\b.*Objects Listed: 0\b.*Objects Opened: 0\b/s, 'the query of a day reads its rows only');
unlike($plan, qr/Objects Pruned/, 'and passes over none');

# The tables of each schema go through other code: files alone, a listing beside the catalog, the catalog alone.
for my $table (qw(plain.images plain.elements disk.images fresh.images fresh.patients fresh.files fresh.elements))
{
	my $what = $table =~ /elements/ ? 'path, value' : $table =~ /files/ ? 'key, sop_instance_uid, error' : '*';
	my $rows = $table =~ /elements/ ? 11 * $count : $count;

	($out, $memory) = $cluster->watch_memory("SET max_parallel_workers_per_gather = 0; SELECT count(*), max(length(t::text)) > 20 FROM (SELECT $what FROM $table) t");
	is($out, "$rows|t", "$table: all rows");
	is_small('scan', $memory, $table);
}
($out, $memory) = $cluster->watch_memory("SELECT count(*), count(image_comments) FROM fresh.images");
is($out, "$count|0", 'in parallel: all rows');
is_small('scan', $memory, 'the leader of a parallel scan');
($out, $memory) = $cluster->watch_memory("SELECT count(*) FROM fresh.images WHERE study_date > '2000-01-05'");
is_small('scan', $memory, 'a condition that leaves most');
($out, $memory) = $cluster->watch_memory("SELECT count(*) FROM fresh.images WHERE study_date BETWEEN '2000-01-05' AND '2000-06-01'");
is_small('scan', $memory, 'a condition that leaves a good deal');
note sprintf 'measured: the most memory of a sync %.1f MiB, of a scan %.1f MiB', $most{sync} / 1024, $most{scan} / 1024;
done_testing();
