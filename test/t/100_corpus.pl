# Promise: real files read as DCMTK and pydicom read them. 45 attributes of every file of a corpus, with known values, come out of
# a foreign table of texts as they are, from a directory and from S3 alike; and `files` has one row per file, whatever is in it.
use strict;
use warnings;

use DicomTest;
use JSON::PP;
use Test::More;

plan skip_all => 'no ../shared/corpus' unless corpus();

# Where the corpus itself says that its truth is wrong.
my %doubtful = (
	'fo-dicom__charset__chrGB2312.dcm' => qr/^PatientName$/,
	'fo-dicom__GH179A.dcm'             => qr/./,
	'fo-dicom__GH1301.dcm'             => qr/^PatientSex$/,
);

my @truth = map { decode_json($_) } grep { /\S/ } split /\n/, read_text(corpus() . '/TRUTH.jsonl');
my @keywords = sort keys %{ $truth[0]{tags} };
my @files    = grep { -f } glob corpus() . '/*';
my $cluster  = cluster();

$cluster->make_server('disk', undef, 'file://' . corpus() . '/');

sub text_table
{
	my ($server) = @_;

	return "CREATE FOREIGN TABLE $server.texts (filename text, "
		. join(', ', map { lc . ' text' } @keywords)
		. ") SERVER $server OPTIONS (entity 'images');";
}

# What the table says of each file, as decoded rows by name.
sub rows_of
{
	my ($server) = @_;

	$cluster->query(text_table($server));
	my $json = $cluster->query("SET client_encoding = 'UTF8'; SELECT row_to_json(t) FROM $server.texts t;");
	return map { $_->{filename} => $_ } map { decode_json($_) } split /\n/, $json;
}

sub shown { my ($value) = @_; return defined $value ? "'$value'" : 'NULL'; }

# Files: one row each
is($cluster->query('SELECT count(*), count(DISTINCT key) FROM disk.files'),
	@files . '|' . @files, 'files has one row for each file of the directory');
is($cluster->query('SELECT sum(size) FROM disk.files'), eval { my $sum = 0; $sum += -s for @files; $sum }, 'with its size');
is($cluster->query('SELECT count(*) FROM disk.files WHERE error IS NULL AND sop_instance_uid IS NULL AND transfer_syntax_uid IS NULL AND header_bytes IS NULL'),
	0, 'a file that could not be read says why');

# Values
my %rows = rows_of('disk');
my ($equal, $known) = (0, 0);
my @unequal;
for my $file (@truth)
{
	my $row = $rows{ $file->{file} };
	for my $keyword (@keywords)
	{
		my ($want, $got) = ($file->{tags}{$keyword}, $row ? $row->{ lc $keyword } : '(no row)');
		if (shown($want) eq shown($got)) { $equal++; }
		elsif ($doubtful{ $file->{file} } && $keyword =~ $doubtful{ $file->{file} }) { $known++; }
		else                             { push @unequal, "$file->{file} $keyword: got " . shown($got) . ', want ' . shown($want); }
	}
}
binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);
is(scalar @unequal, 0, @keywords . ' attributes of ' . @truth . ' files have their known values');
diag($_) for @unequal;
diag("counted: $equal values equal, " . @unequal . " unequal, $known where the truth is known to be wrong");

# The same bytes give the same rows from S3
SKIP:
{
	my $s3 = s3_server() or skip 'no radosgw here', 3;

	put_directory($s3, 'corpus', corpus());
	$cluster->make_server('bucket', $s3, 's3://corpus/');
	$cluster->query(text_table('bucket'));
	is($cluster->query('SELECT count(*) FROM (TABLE disk.texts EXCEPT TABLE bucket.texts) d'), 0, 'S3 gives every row that the directory gives');
	is($cluster->query('SELECT count(*) FROM (TABLE bucket.texts EXCEPT TABLE disk.texts) d'), 0, 'and no other');
	is($cluster->query('SELECT count(*) FROM disk.files d JOIN bucket.files b USING (key, size)'
			. ' WHERE (d.error IS NULL) = (b.error IS NULL) AND d.warnings IS NOT DISTINCT FROM b.warnings AND d.header_bytes IS NOT DISTINCT FROM b.header_bytes'),
		scalar @files, 'and the same errors, warnings and lengths of headers');
}

done_testing();
