# Promise: conditions change what is listed, never what is found. A thousand random conditions on keys and on the columns of a
# key_format find the same rows in the foreign table as in a copy of it.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $dir = work_dir();
make_files('--count', 400, '--size', 0, '--days', 16, '--images-per-series', 5, '--layout', 'days', "$dir/files");

# Names that sort and match in odd ways; all of them are on days of their own folder.
my $sample = read_text((glob "$dir/files/inbox/2021/08/04/*.dcm")[0]);
write_text("$dir/files/inbox/2021/08/04/$_.dcm", $sample) for 'a_b', 'a%b', 'a\\b', 'A b', "\xc3\xa4\xc3\xb6", 'zz', '0', '~', "\xf0\x9f\xa9\xbb", "a'b";

my $cluster = cluster();
$cluster->make_server('disk', undef, "file://$dir/files/");
$cluster->query(<<'END');
CREATE FOREIGN TABLE by_day (
	sop_instance_uid text, study_date date, modality text, filename text COLLATE "C"
) SERVER disk OPTIONS (entity 'images', key_format 'inbox/{study_date:%Y/%m/%d}/');
CREATE FOREIGN TABLE by_day_part (
	sop_instance_uid text, study_date date, modality text, filename text COLLATE "C"
) SERVER disk OPTIONS (entity 'images', prefix 'inbox/', key_format 'inbox/{study_date:%Y/%m}/');
CREATE FOREIGN TABLE by_key (
	sop_instance_uid text, study_date date, modality text, filename text
) SERVER disk OPTIONS (entity 'images', prefix 'inbox/2021/08/');
CREATE TABLE copy_by_day AS TABLE by_day;
CREATE TABLE copy_by_day_part AS TABLE by_day_part;
CREATE TABLE copy_by_key AS TABLE by_key;
END
my @keys = split /\n/, $cluster->query('SELECT filename FROM copy_by_day ORDER BY filename COLLATE "C"');
my @dates = split /\n/, $cluster->query('SELECT DISTINCT study_date FROM copy_by_day ORDER BY 1');

srand 20210804;
sub pick { return $_[ rand @_ ]; }
sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }

# A key that is there, nearly there, or a piece of one.
sub some_text
{
	my $key = pick(@keys);

	return pick($key, $key, $key, substr($key, 0, rand length $key), "$key~", 'inbox', '', 'inbox/2021/08/1', 'z', "\x01");
}

sub some_pattern
{
	my $text = some_text();

	$text =~ s/([\\%_])/rand() < 0.7 ? "\\$1" : $1/ge;
	substr $text, rand(1 + length $text), 1, pick('%', '_', '%%', '\\\\', '') if rand() < 0.7 && $text !~ /[\\\x80-\xff]/;
	return $text =~ /(^|[^\\])(\\\\)*\\$/ ? "$text\\" : $text . pick('', '%', '%', '_');
}

sub some_date
{
	return pick("'" . pick(@dates) . "'::date", "'" . pick(@dates) . "'::date + " . int(rand 40) . " - 20", "'2021-08-01'::date", "'infinity'::date", "'-infinity'::date", 'NULL::date',
		"date_trunc('month', '" . pick(@dates) . "'::timestamp)::date", "'0044-03-15 BC'::date");
}

sub comparison { return pick('=', '=', '<', '<=', '>', '>=', '<>'); }

sub condition
{
	my ($depth) = @_;
	my $choice = rand;

	return '(' . condition($depth - 1) . pick(' AND ', ' AND ', ' OR ') . condition($depth - 1) . ')' if $depth > 0 && $choice < 0.45;
	return 'NOT (' . condition($depth - 1) . ')' if $depth > 0 && $choice < 0.52;
	return pick(
		sub { 'filename ' . comparison() . ' ' . quoted(some_text()) },
		sub { quoted(some_text()) . ' ' . comparison() . ' filename' },
		sub { 'filename ' . pick('LIKE', 'LIKE', 'NOT LIKE', 'ILIKE') . ' ' . quoted(some_pattern()) },
		sub { 'filename ^@ ' . quoted(some_text()) },
		sub { 'filename ' . pick('IN', 'NOT IN') . ' (' . join(', ', map { quoted(some_text()) } 0 .. rand 4) . ')' },
		sub { 'filename = ANY (ARRAY[' . join(', ', map { pick(quoted(some_text()), 'NULL') } 0 .. rand 3) . ']::text[])' },
		sub { 'filename BETWEEN ' . quoted(some_text()) . ' AND ' . quoted(some_text()) },
		sub { 'filename COLLATE "C" > ' . quoted(some_text()) },
		sub { 'study_date ' . comparison() . ' ' . some_date() },
		sub { some_date() . ' ' . comparison() . ' study_date' },
		sub { 'study_date BETWEEN ' . some_date() . ' AND ' . some_date() },
		sub { 'study_date IN (' . join(', ', map { some_date() } 0 .. rand 4) . ')' },
		sub { 'study_date = ANY (ARRAY[' . join(', ', map { some_date() } 0 .. rand 3) . '])' },
		sub { pick('study_date IS NULL', 'filename IS NOT NULL', "modality = 'CT'", "sop_instance_uid LIKE '%1'") },
		sub { "study_date >= '" . pick(@dates) . "'::timestamp" },
		sub { 'filename = (SELECT ' . quoted(some_text()) . ')' },
	)->();
}

my @conditions = map { condition(3) } 1 .. 1000;
for my $table (qw(by_day by_day_part by_key))
{
	my $script = "SET client_min_messages = error;\n";
	my $number = 0;

	for my $condition (@conditions)
	{
		$script .= "SELECT '" . $number++ . "', (SELECT count(*) || coalesce(md5(string_agg(filename, ',' ORDER BY filename COLLATE \"C\")), '') FROM $table WHERE $condition),"
			. " (SELECT count(*) || coalesce(md5(string_agg(filename, ',' ORDER BY filename COLLATE \"C\")), '') FROM copy_$table WHERE $condition);\n";
	}
	my ($out, $err) = $cluster->psql($script, go_on => 1);
	my @lines = split /\n/, $out;
	my @different = grep { my ($n, $got, $want) = split /\|/; $got ne $want } @lines;
	is(scalar @lines, 1000, "$table: every condition was answered") or diag($err);
	is(scalar @different, 0, "$table: with the same rows as a copy");
	diag("$_: " . $conditions[ (split /\|/)[0] ]) for @different[ 0 .. ($#different < 9 ? $#different : 9) ];
	my $found = grep { (split /\|/)[1] !~ /^0/ } @lines;
	cmp_ok($found, '>', 300, "$table: many of which were not empty");
}
done_testing();
