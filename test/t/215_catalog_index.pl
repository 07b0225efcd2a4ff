# Promise: where the catalog alone answers, whatever index it takes for whatever conditions, the rows are those that the files
# would have given, in key order; what the catalog cannot tell is read; and an index leaves out what it can.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use Test::More;

srand 20040826;
sub pick { return $_[ rand @_ ]; }

my $dir = work_dir();
my @days = map { sprintf '2021%02d%02d', 1 + int($_ / 20), 1 + $_ % 20 } 0 .. 59;
my $long = 'L' x 600;

for my $i (0 .. 2499)
{
	my $study = int rand 300;
	my @elements = (element('00080018', 'UI', "1.2.9." . ($i % 2300)));

	push @elements, element('00080020', 'DA', $i % 97 == 0 ? '2021' : $days[ $study % @days ]) if $i % 50;
	push @elements, element('00080060', 'CS', pick(('CT') x 20, ('MR') x 8, 'US', '')) if $i % 40;
	push @elements, element('00100020', 'LO', $i % 400 == 7 ? $long : 'P' . ($study % 90)) if $i % 70;
	push @elements, element('0020000D', 'UI', "1.2.3.$study"), element('0020000E', 'UI', "1.2.3.$study." . int rand 3), element('00200013', 'IS', $i);
	write_dicom("$dir/" . pick(qw(a b c)) . "/$i.dcm", @elements);
}
write_text("$dir/a/bad$_.dcm", 'this is no DICOM file') for 1 .. 5;
write_text("$dir/b/cut$_.dcm", substr read_text((glob "$dir/b/*.dcm")[$_]), 0, 250) for 1 .. 5;

my $cluster = cluster();
my $columns = 'sop_instance_uid text, series_instance_uid text, study_instance_uid text, study_date date, modality text, patient_id text, filename text COLLATE "C", size bigint';
$cluster->make_server('disk', undef, "file://$dir/");
$cluster->query(<<"END");
SET client_min_messages = error;
CREATE FOREIGN TABLE listed ($columns, instance_number int) SERVER disk OPTIONS (entity 'images');
CREATE TABLE copy AS TABLE listed;
SELECT dicom.sync('disk');
CREATE FOREIGN TABLE known ($columns, instance_number int) SERVER disk OPTIONS (entity 'images', freshness '1h');
ANALYZE copy;
END

# Rows of which the catalog knows nothing, as after a failure, or something of an earlier version.
$cluster->query(<<'END');
UPDATE dicom.object SET state = 'failed', etag = '', study_date = '-infinity', modality = NULL, patient_id = NULL, study_instance_uid = NULL,
	series_instance_uid = NULL, sop_instance_uid = NULL, header = NULL WHERE key LIKE '%/10_1.dcm';
UPDATE dicom.object SET state = 'failed', study_date = '1999-01-01', modality = 'XX', patient_id = 'nobody' WHERE key LIKE '%/11_1.dcm';
END

sub some_of { my ($what, $range, $format) = @_; return sprintf $format, int rand $range; }

my %some = (
	study_date => sub { return pick("'" . pick(@days) . "'", "'1999-01-01'", 'NULL', "'-infinity'", "'infinity'"); },
	modality => sub { return pick("'CT'", "'MR'", "'US'", "'US'", "''", "'XX'", 'NULL'); },
	patient_id => sub { return pick("'" . some_of('', 95, 'P%d') . "'", "'$long'", 'NULL', "''"); },
	study_instance_uid => sub { return "'" . some_of('', 310, '1.2.3.%d') . "'"; },
	series_instance_uid => sub { return "'" . some_of('', 310, '1.2.3.%d') . '.' . int(rand 3) . "'"; },
	sop_instance_uid => sub { return "'" . some_of('', 2400, '1.2.9.%d') . "'"; },
);

sub one_condition
{
	my $column = pick(sort keys %some);
	my $type = $column eq 'study_date' ? 'date' : 'text';
	my $value = $some{$column};

	return pick(
		sub { "$column = " . $value->() },
		sub { "$column IN (" . join(', ', map { $value->() } 0 .. rand 5) . ')' },
		sub { "$column = ANY (ARRAY[" . join(', ', map { $value->() } 0 .. rand 5) . "]::${type}[])" },
		sub { "$column = (SELECT " . $value->() . "::$type)" },
		sub { $column eq 'study_date' ? "study_date BETWEEN '" . pick(@days) . "' AND '" . pick(@days) . "'::date + 5" : "$column = " . $value->() . '::varchar' },
		sub { $column eq 'study_date' ? 'study_date ' . pick('<', '<=', '>', '>=', '<>') . ' ' . $value->() : "$column LIKE " . $value->() . " || '%'" },
		sub { pick("$column IS NULL", "filename LIKE 'b/1%'", "filename > 'b/2'", "filename < 'a/3'", 'size > 400', "filename IN ('a/1.dcm', 'b/101.dcm', 'c/5.dcm')", "instance_number > 2000") },
	)->();
}

my @conditions = map { join ' AND ', map { one_condition() } 0 .. rand 3 } 1 .. 600;

# What a condition finds in the order in which it comes, against the copy's in key order.
sub compare
{
	my ($name, $settings, $order, @rest) = @_;
	my $script = "SET client_min_messages = error; $settings;\n";
	my $number = 0;

	for my $condition (@conditions)
	{
		my $extra = $number % 3 ? '' : ', count(instance_number)';
		$script .= "SELECT " . $number++ . ", (SELECT (count(*), md5(string_agg(filename || coalesce(sop_instance_uid, '-') || size, ','$order))$extra)::text FROM known WHERE $condition)"
			. ", (SELECT (count(*), md5(string_agg(filename || coalesce(sop_instance_uid, '-') || size, ',' ORDER BY filename))$extra)::text FROM copy WHERE $condition);\n";
	}
	my ($out, $err) = $cluster->psql($script, go_on => 1);
	my @lines = split /\n/, $out;
	my @different = grep { my ($n, $got, $want) = split /\|/; $got ne $want } @lines;

	is(scalar @lines, scalar @conditions, "$name: every condition was answered") or diag($err);
	is(scalar @different, 0, "$name: with the rows of the files");
	diag("$_: " . $conditions[ (split /\|/)[0] ]) for @different[ 0 .. ($#different < 9 ? $#different : 9) ];
	cmp_ok(scalar(grep { (split /\|/)[1] !~ /^\(0/ } @lines), '>', 150, "$name: many of which were not empty");
	return;
}

compare('in key order', 'SET max_parallel_workers_per_gather = 0', '');
compare('with little memory', 'SET max_parallel_workers_per_gather = 0; SET work_mem = 64', '');
compare('in parallel', 'SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET cpu_tuple_cost = 1', ' ORDER BY filename');

# Without rows that cannot be told, an index reads what it finds and no more.
$cluster->query("SET client_min_messages = error; UPDATE dicom.object SET etag = 'x' WHERE state = 'failed'; UPDATE dicom.object SET next_attempt = NULL, state = 'ok', etag = 'x' WHERE state = 'failed'; SELECT dicom.sync('disk')");
is($cluster->query("SELECT count(*) FROM dicom.object WHERE state = 'failed'"), 0, 'everything can be told again');
$cluster->query("UPDATE dicom.object SET values_cut = false, patient_id = 'L' WHERE values_cut");

sub plan_of
{
	my ($query, $settings) = @_;

	return $cluster->query('SET client_min_messages = error; SET max_parallel_workers_per_gather = 0;' . ($settings // '') . " EXPLAIN (ANALYZE, TIMING off, SUMMARY off, COSTS off) $query");
}

sub reads
{
	my ($condition, $index, $promise) = @_;
	my $rows = $cluster->query("SELECT count(*) FROM dicom.object WHERE " . $condition);
	my $plan = plan_of("SELECT instance_number FROM known WHERE $condition");

	like($plan, qr/Catalog Index: \Q$index\E\b.*Catalog Rows Read: (\d+)/s, "$promise: $index");
	$plan =~ /Catalog Rows Read: (\d+)/;
	my $read = $1 // -1;
	# A row that an index has chosen is looked at twice: for its key, and for itself. One more may say that the range has ended.
	my $most = $index eq 'object_day' && $condition !~ /BETWEEN|IN/ ? $rows : 2 * $rows;
	cmp_ok($read, '<=', $most, "$promise: its rows only");
	cmp_ok($rows, '>', 0, "$promise: there are some");
	return;
}

my ($uid, $series, $sop, $patient) = split /\|/, $cluster->query("SELECT study_instance_uid, series_instance_uid, sop_instance_uid, patient_id FROM copy WHERE patient_id = 'P7' AND study_date IS NOT NULL LIMIT 1");
reads("study_date = '2021-02-03'", 'object_day', 'a day');
reads("study_date IN ('2021-02-03', '2021-03-04')", 'object_day', 'days');
reads("study_date BETWEEN '2021-02-03' AND '2021-02-07'", 'object_day', 'a range of days');
reads("study_instance_uid = '$uid'", 'object_study', 'a study');
reads("study_instance_uid IN ('$uid', '1.2.3.17', '1.2.3.18')", 'object_study', 'studies');
reads("series_instance_uid = '$series'", 'object_series', 'a series');
reads("sop_instance_uid = '$sop'", 'object_sop_instance', 'an instance');
reads("patient_id = '$patient'", 'object_patient', 'a patient');
reads("modality = 'US'", 'object_modality', 'a rare modality');
like(plan_of("SELECT instance_number FROM known WHERE modality = 'CT'"), qr/Catalog Index: object_pkey/, 'a common one is not worth its index');
like(plan_of("SELECT instance_number FROM known WHERE modality = 'CT' AND sop_instance_uid = '$sop' AND study_date > '2021-01-01'"), qr/Catalog Index: object_sop_instance/,
	'of several the most selective');
like(plan_of("SELECT instance_number FROM known WHERE modality = 'CT' AND study_date = '2021-02-03'"), qr/Catalog Index: object_day/, 'a day among others');
like(plan_of("SELECT count(*) FROM known WHERE modality = NULL::text"), qr/(Catalog Rows Read: 0|One-Time Filter: false)/, 'what nothing can satisfy reads nothing');
like(plan_of("SELECT k.filename FROM (VALUES ('$uid'), ('1.2.3.18'), (NULL), ('none')) v(u) JOIN known k ON k.study_instance_uid = v.u", 'SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;'),
	qr/Foreign Scan on known.*loops=4\).*Catalog Index: object_study/s, 'the inner side of a join, value by value');

done_testing();
