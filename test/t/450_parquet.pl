# Promise: what dicom.export_parquet() writes is read by two independent engines, DuckDB and hyparquet, with every value equal to
# the database's: all types, NULLs, empty lists, text beyond ASCII, extreme dates and numbers. DICOM_PARQUET_ROWS says how
# many generated rows are compared besides.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $engines = work() . '/engines';
my ($out, $err, $code) = run_command('bash', top() . '/test/parquet/engines.sh', $engines);
plan skip_all => "the engines cannot be had from npm's registry: $err" if $code;

my $cluster = cluster(conf => "timezone = 'UTC'\n");
my $dir     = work_dir();
mkdir "$dir/lake" or die;
chmod 0777, "$dir/lake";
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
CREATE SERVER lake FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/lake/');
END

sub work { return $ENV{DICOM_TEST_WORK} }

# --- how a value is said in the truth, by its type

my %said = (
	date        => [ 'integer', sub { "($_[0] - date '1970-01-01')::text" } ],
	time        => [ 'integer', sub { "(extract(epoch FROM $_[0]) * 1000000)::bigint::text" } ],
	timestamp   => [ 'integer', sub { "(extract(epoch FROM $_[0]) * 1000000)::bigint::text" } ],
	timestamptz => [ 'integer', sub { "(extract(epoch FROM $_[0]) * 1000000)::bigint::text" } ],
	float4      => [ 'real',    sub { "$_[0]::float8::text" } ],
	float8      => [ 'real',    sub { "$_[0]::text" } ],
	numeric     => [ 'decimal', sub { "$_[0]::text" } ],
	bytea       => [ 'bytes',   sub { "encode($_[0], 'hex')" } ],
	bool        => [ 'boolean', sub { $_[0] } ],
	json        => [ 'json',    sub { "$_[0]::text" } ],
	jsonb       => [ 'json',    sub { "$_[0]::text" } ],
	int2        => [ 'integer', sub { "$_[0]::text" } ],
	int4        => [ 'integer', sub { "$_[0]::text" } ],
	int8        => [ 'integer', sub { "$_[0]::text" } ],
	oid         => [ 'integer', sub { "$_[0]::text" } ],
);

sub saying
{
	my ($column, $type) = @_;
	my $is_list = $type =~ s/^_//;
	my ($kind, $expression) = @{ $said{$type} // [ 'text', sub { "CASE WHEN $_[0] IS NOT NULL THEN format('%s', $_[0]) END" } ] };

	return ($kind, $expression->($column)) unless $is_list;
	my $element = $expression->('u.x');
	return ("$kind\[]",
		"CASE WHEN $column IS NOT NULL THEN coalesce((SELECT json_agg($element ORDER BY u.o) FROM unnest($column) WITH ORDINALITY u(x, o)), '[]') END");
}

# Exports a query that gives its rows in a fixed order, and compares the file in both engines.
sub compare
{
	my ($query, $name, $options) = @_;
	my $written = $cluster->query("SELECT rows FROM dicom.export_parquet(\$q\$$query\$q\$, 'lake', '$name.parquet', '" . ($options // '{}') . "')");
	$cluster->query("DROP VIEW IF EXISTS compared; CREATE VIEW compared AS $query");
	my @columns = map { [ split /\t/ ] } split /\n/, $cluster->query(<<'END');
SELECT quote_ident(attname) || E'\t' || CASE WHEN t.typtype = 'd' THEN b.typname ELSE t.typname END
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
WHERE attrelid = 'compared'::regclass AND attnum > 0 ORDER BY attnum
END
	my @said = map { [ saying($_->[0], $_->[1]) ] } @columns;
	my $truth = $cluster->query('SELECT json_build_array(' . join(', ', map { $_->[1] } @said) . ') FROM compared');
	write_text("$dir/truth", length $truth ? "$truth\n" : '');
	run_command('chmod', 'a+r', "$dir/lake/$name.parquet");
	for my $engine (qw(duckdb hyparquet))
	{
		my ($out, $err, $code) = run_command('node', '--max-old-space-size=4000', "$engines/compare.mjs", $engine, "$dir/lake/$name.parquet", "$dir/truth", map { $_->[0] } @said);
		my ($rows) = $out =~ /^(\d+) rows/m;
		ok($code == 0 && defined $rows && $rows == $written, "$name: $engine reads what the database has") or diag($out, $err);
		diag("counted: $engine, $name: $1") if $out =~ /^(\d+ rows.*)/m;
	}
	return;
}

# --- every type, at its ends

$cluster->query(<<'END');
CREATE TYPE colour AS ENUM ('red', 'grün');
CREATE DOMAIN amount AS numeric(9, 3) CHECK (VALUE > -1000);
CREATE TABLE types
(
	id int4, flag bool, small int2, large int8, o oid, single float4, real float8, "größe" numeric(12, 2), huge numeric(38, 10),
	whole numeric(20, 0), loose numeric, a amount, day date, clock time, moment timestamp, instant timestamptz, name text, short varchar(10),
	padded char(5), n name, c colour, raw bytea, j json, jb jsonb, u uuid, net inet, span interval, study_uid text,
	names text[], numbers float8[], days date[], flags bool[], nothing int4, money numeric(10, 2)[], raws bytea[], ids uuid[], docs jsonb[]
);
INSERT INTO types (id) VALUES (1);
INSERT INTO types VALUES
(2, true, -32768, -9223372036854775808, 0, '-Infinity', 'Infinity', -9999999999.99, -9999999999999999999999999999.9999999999,
	-99999999999999999999, -12345678901234567890123456789.5, -999.999, '4713-01-01 BC', '00:00', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', '', '', '', '',
	'red', '', '{}', '[]', '00000000-0000-0000-0000-000000000000', '::1', '-178000000 years', '1.2',
	'{}', '{}', '{}', '{}', NULL, '{}', '{}', '{}', '{}'),
(3, false, 32767, 9223372036854775807, 4294967295, 'NaN', 'NaN', 9999999999.99, 9999999999999999999999999999.9999999999,
	99999999999999999999, 0.00000000000000000001, 999999.999, '5874897-12-31', '24:00:00', '294246-12-31 23:59:59.999999', '294246-12-31 23:59:59.999999+00', E'Grüße, 世界 🩻 "quoted" \\ \n\t', 'ÄÖÜäöüß', 'ab', 'name',
	'grün', '\x00ff00', '{"a": [1, 2, {"b": null}]}', '{"ä": "\"x\""}', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '10.0.0.0/8', '1 mon 2 days 03:04:05.6', '2.25.340282366920938463463374607431768211455',
	ARRAY['', NULL, 'ü', '世界', E'a\nb'], ARRAY[NULL, 1.5, '-0', 'Infinity', 5e-324], ARRAY[date '1970-01-01', NULL, '1969-12-31'], ARRAY[true, NULL, false], NULL, ARRAY[1.25, NULL, -0.01], ARRAY['\x'::bytea, '\xdeadbeef', NULL], ARRAY[md5('a')::uuid, NULL], ARRAY['{"a": 1}'::jsonb, NULL, '2']),
(4, NULL, 0, 0, 1, 1.17549435e-38, 2.2250738585072014e-308, 0, 0, 0, 0, 0, '1970-01-01', '23:59:59.999999', '1969-12-31 23:59:59.999999', '2000-02-29 12:00:00+05:30', repeat('long ü ', 200000), 'x', 'abcde', repeat('n', 63),
	NULL, decode(repeat('00ff', 300000), 'hex'), '"x"', 'null', gen_random_uuid(), '192.168.1.1', '0', '',
	array_fill('v'::text, ARRAY[5000]), array_fill(0.1::float8, ARRAY[5000]), ARRAY[NULL::date], ARRAY[NULL::bool], NULL, ARRAY[NULL::numeric], ARRAY[NULL::bytea], ARRAY[NULL::uuid], ARRAY[NULL::jsonb]);
END
compare("SELECT * FROM types ORDER BY id", $_, qq({"compression": "$_"})) for qw(zstd snappy none);
compare("SELECT * FROM types ORDER BY id", 'small_groups', '{"row_group_rows": 1}');
compare("SELECT * FROM types WHERE id > 4", 'empty');
is($cluster->query("SELECT as_text FROM dicom.export_parquet('SELECT * FROM types', 'lake', 'again.parquet')"), '{loose,net,span}', 'columns that become text are named');

# --- many rows

my $many = $ENV{DICOM_PARQUET_ROWS} // 20000;
$cluster->query(<<"END");
CREATE TABLE many AS
SELECT i AS id, CASE WHEN i % 11 > 0 THEN (hashint8(i) / 7)::int4 END AS noisy, i / 1000 AS slow, hashint8(i)::int8 * i AS large,
	random() AS real, (hashint8(i) / 100.0)::numeric(14, 2) AS amount, date '2000-01-01' + (i / 500)::int AS study_date,
	timestamptz '2001-01-01' + i * interval '17.123457 s' AS at, '2.25.' || i::text || repeat('7', (i % 20)::int) AS sop_instance_uid,
	'series ' || i / 100 AS series, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'CT' END AS modality, i % 2 = 0 AS even,
	CASE WHEN i % 5 > 0 THEN array_fill((i % 13)::text, ARRAY[(i % 4)::int]) END AS parts, md5(i::text)::uuid AS id2
FROM generate_series(1::int8, $many) i;
END
compare('SELECT * FROM many ORDER BY id', 'many');
compare('SELECT * FROM many ORDER BY id', 'many_small', '{"row_group_rows": 3000, "compression": "snappy"}');

# --- numbers of every length

$cluster->query(<<'END');
CREATE TABLE numbers AS
SELECT i AS id, n::numeric(18, 0) AS whole, (n / 10)::numeric(18, 1) AS one, (n / 100)::numeric(18, 2) AS two, (n / 1000)::numeric(18, 3) AS three, (n / 10000)::numeric(18, 4) AS four,
	(n / 1000000000)::numeric(18, 9) AS half, (n / 100000000000000000)::numeric(18, 17) AS small, (n * 1000003)::numeric(25, 0) AS long, (n * 10000000000::numeric / 7)::numeric(38, 10) AS longest
FROM (SELECT i, (CASE WHEN i % 2 = 0 THEN -1 ELSE 1 END * trunc(10 ^ (i % 18)::numeric) + CASE i % 5 WHEN 0 THEN 0 WHEN 1 THEN -1 WHEN 2 THEN hashint4(i) ELSE i END) AS n FROM generate_series(1, 2000) i) x;
END
compare('SELECT * FROM numbers ORDER BY id', 'numbers');

# --- real files

SKIP:
{
	skip 'no ../shared/corpus', 6 unless corpus();
	$cluster->make_server('real', undef, 'file://' . corpus() . '/');
	compare("SELECT * FROM real.$_ ORDER BY filename", $_) for qw(images studies patients);
}

# --- infinities are DuckDB's own

sub duckdb
{
	my ($out, $err, $code) = run_command('node', "$engines/duckdb.mjs", @_);

	diag($err) if $code;
	chomp $out;
	return $out;
}

$cluster->query("SELECT dicom.export_parquet('SELECT date ''infinity'' AS a, date ''-infinity'' AS b, timestamp ''infinity'' AS c, timestamptz ''-infinity'' AS d', 'lake', 'infinite.parquet')");
run_command('chmod', '-R', 'a+rX', "$dir/lake");
is(duckdb("SELECT a::VARCHAR, b::VARCHAR, c::VARCHAR, d::VARCHAR FROM '$dir/lake/infinite.parquet'"), '["infinity","-infinity","infinity","-infinity"]', 'infinity is infinity');

# --- what engines can leave out

$cluster->query(q{SELECT dicom.export_parquet('SELECT *, study_date AS day FROM many ORDER BY id', 'lake', 'parted/', '{"partition_by": ["day"]}')});
run_command('chmod', '-R', 'a+rX', "$dir/lake");
my $from = "read_parquet('$dir/lake/parted/**/*.parquet', hive_partitioning = true)";
my $explained = duckdb("EXPLAIN ANALYZE SELECT count(*), min(noisy) FROM $from WHERE day = DATE '2000-01-03'");
my ($read, $all) = $explained =~ m{Scanning Files: (\d+)/([\d,]+)};
ok(defined $read && $read == 1 && $all =~ tr{,}{}dr > 20, "DuckDB opens one of $all folders") or diag($explained);
is(duckdb("SELECT count(*) FROM $from"), qq(["$many"]), 'all folders together are all rows');
is(duckdb("SELECT count(*) FROM parquet_metadata('$dir/lake/many_small.parquet') WHERE path_in_schema = 'id' AND stats_min_value IS NOT NULL AND stats_max_value IS NOT NULL"),
	'["' . int(($many + 2999) / 3000) . '"]', 'each row group has bounds');
is(duckdb("SELECT bool_and(bloom_filter_excludes) FROM parquet_bloom_probe('$dir/lake/many_small.parquet', 'sop_instance_uid', '2.25.nobody')"), '[true]', 'a bloom filter knows what is not there');
is(duckdb("SELECT bool_or(NOT bloom_filter_excludes) FROM parquet_bloom_probe('$dir/lake/many_small.parquet', 'sop_instance_uid', '2.25.7' || repeat('7', 7))"), '[true]', 'and what is');
is(duckdb("SELECT count(*) FROM '$dir/lake/many_small.parquet' WHERE id BETWEEN 3500 AND 3509"), '["10"]', 'a range of ids is found through the bounds');

done_testing();
