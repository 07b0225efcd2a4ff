# Promise: what the catalog answers is what the files would have answered; it is asked only for what has not changed; and where
# it is fresh by a table's own measure, a query makes no request at all.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use Test::More;

my $dir = work_dir();
make_files('--count', 300, '--size', 0, '--days', 5, $dir);
write_text("$dir/no.dcm", "this is no DICOM file\n");
write_dicom("$dir/day.dcm", element('00080018', 'UI', '1.2.3'), element('00080020', 'DA', '20991231'),
	element('00100010', 'PN', 'Doe^Jane'), element('00100020', 'LO', ''), element('00420011', 'OB', 'x' x 20000));

my $cluster = cluster();
$cluster->make_server('raw', undef, "file://$dir/");
$cluster->query("CREATE SCHEMA fresh; IMPORT FOREIGN SCHEMA dicom FROM SERVER raw INTO fresh OPTIONS (freshness '1h')");
my $quiet    = 'SET client_min_messages = error;';
my @entities = qw(patients devices studies series images files elements);

sub digest
{
	my ($table) = @_;

	return $cluster->query("$quiet SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM $table t");
}

sub plan_of
{
	my ($query) = @_;

	return $cluster->query("$quiet EXPLAIN (ANALYZE, TIMING off, SUMMARY off, COSTS off) $query");
}

my %before = map { $_ => digest("raw.$_") } @entities;
unlike(plan_of('SELECT * FROM raw.images'), qr/From Catalog/, 'without a sync there is no catalog');
like(plan_of('SELECT * FROM fresh.images'), qr/Objects Listed: 302\b/, 'and nothing fresh');

$cluster->query("$quiet SELECT dicom.sync('raw')");
for my $entity (@entities)
{
	is(digest("raw.$entity"), $before{$entity}, "$entity: the catalog gives the rows that the files gave");
	is(digest("fresh.$entity"), $before{$entity}, "$entity: without a listing, too");
}
my $plan = plan_of('SELECT sop_instance_uid, study_date FROM raw.images');
like($plan, qr/Objects Listed: 302.*From Catalog: 301.*LIST Requests: [1-9]/s, 'a listing says which objects are unchanged');
$plan = plan_of('SELECT sop_instance_uid, rows FROM fresh.images WHERE rows IS NOT NULL');
like($plan, qr/Objects Listed: 0\b.*LIST Requests: 0\b/s, 'a fresh catalog needs no listing');
$plan = plan_of('SELECT count(*) FROM fresh.files');
like($plan, qr/LIST Requests: 0\b.*GET Requests: 0\b.*Bytes Read: 0\b/s, 'nor a read');

# Conditions on what the catalog knows
my ($day) = $cluster->query('SELECT min(study_date) FROM raw.images');
my $of_day = $cluster->query("SELECT count(*) FROM raw.images WHERE study_date = '$day'");
like(plan_of("SELECT * FROM fresh.images WHERE study_date = '$day'"), qr/From Catalog: $of_day\b/, 'a day reads only the rows of that day');
unlike(plan_of("SELECT * FROM fresh.images WHERE study_date = '$day'"), qr/Pruned/, 'found by index');
like(plan_of("SELECT * FROM raw.images WHERE study_date = '$day'"), qr/Pruned: /, 'after a listing, other days are passed over');
for my $where ("study_date = '$day'", "study_date > '$day'", "study_date IN ('$day', '2099-12-31')", "study_date BETWEEN '$day' AND date '$day' + 1",
	"modality = 'CT'", "modality IN ('CT', 'MR')", "sop_instance_uid = '1.2.3'", "study_date IS NULL", "study_date = '-infinity'", "modality = ''",
	"study_instance_uid = (SELECT max(study_instance_uid) FROM truth)", "study_date = NULL",
	"filename = 'day.dcm' AND study_date = '2099-12-31'", "filename LIKE 'd%' AND study_date >= '2099-01-01'")
{
	$cluster->query('CREATE TABLE IF NOT EXISTS truth AS
		SELECT i.*, (SELECT max(modality) FROM raw.series s WHERE s.series_instance_uid = i.series_instance_uid) AS modality FROM raw.images i');
	$cluster->query('CREATE FOREIGN TABLE IF NOT EXISTS listed (sop_instance_uid text, study_instance_uid text, study_date date, modality text, filename text COLLATE "C")
		SERVER raw OPTIONS (entity \'images\')');
	$cluster->query('CREATE FOREIGN TABLE IF NOT EXISTS known (sop_instance_uid text, study_instance_uid text, study_date date, modality text, filename text COLLATE "C")
		SERVER raw OPTIONS (entity \'images\', freshness \'1h\')');
	my $want = $cluster->query("SELECT count(*), md5(string_agg(sop_instance_uid, ',' ORDER BY sop_instance_uid)) FROM truth WHERE $where");
	is($cluster->query("$quiet SELECT count(*), md5(string_agg(sop_instance_uid, ',' ORDER BY sop_instance_uid)) FROM $_ WHERE $where"), $want, "$_: $where")
		for qw(listed known);
}

# What changed is read; what was long is read where it is asked for
write_dicom("$dir/day.dcm", element('00080018', 'UI', '1.2.3'), element('00080020', 'DA', '20981231'), element('00100010', 'PN', 'Roe^Jane'));
is($cluster->query("$quiet SELECT study_date FROM raw.images WHERE filename = 'day.dcm'"), '2098-12-31', 'a rewritten file is read again');
is($cluster->query("$quiet SELECT count(*) FROM raw.images WHERE study_date = '2099-12-31'"), '0', 'and no condition sees what it was');
is($cluster->query("$quiet SELECT study_date FROM fresh.images WHERE sop_instance_uid = '1.2.3'"), '2099-12-31',
	'freshness is what it says: as old as the last sync');
unlink "$dir/day.dcm";
is($cluster->query("$quiet SELECT count(*) FROM raw.images WHERE sop_instance_uid = '1.2.3'"), '0', 'a deleted file is gone');
write_dicom("$dir/long.dcm", element('00080018', 'UI', '1.2.4'), element('00420011', 'OB', 'y' x 20000));
$cluster->query("$quiet SELECT dicom.sync('raw')");
$cluster->query("CREATE FOREIGN TABLE document (filename text, document bytea OPTIONS (tag 'EncapsulatedDocument')) SERVER raw OPTIONS (entity 'images', freshness '1h')");
is($cluster->query("$quiet SELECT length(document) FROM document WHERE filename = 'long.dcm'"), '20000', 'a value that the catalog left out comes from the file');

# Reading never writes
is($cluster->query("$quiet BEGIN READ ONLY; SELECT count(*) FROM fresh.images; COMMIT"), '301', 'a read-only transaction');
my ($out, $err) = $cluster->psql("SELECT count(*) FROM fresh.elements; SELECT 1/0 FROM fresh.images; ", go_on => 1);
like($err, qr/division by zero/, 'an error in the middle of a scan');
unlike($err, qr/leak|not closed/, 'leaves nothing open');
($out, $err) = $cluster->psql('SELECT key FROM fresh.files LIMIT 1; BEGIN; DECLARE c CURSOR FOR SELECT * FROM fresh.images; FETCH 2 FROM c; SAVEPOINT s; FETCH 3 FROM c;
	ROLLBACK TO s; FETCH 1 FROM c; COMMIT');
unlike($err, qr/WARNING:.*(leak|snapshot|buffer)/i, 'nor does a LIMIT, or a cursor across savepoints');
is($cluster->query("$quiet SELECT count(*) FROM (VALUES ('no.dcm'), ('nothing'), ('long.dcm')) v(k), LATERAL (SELECT * FROM fresh.files f WHERE f.key = v.k) x"),
	'2', 'keys from a join');
$cluster->query("ALTER SERVER raw OPTIONS (SET location 'file://$dir/../')");
unlike(plan_of('SELECT * FROM fresh.files LIMIT 1'), qr/From Catalog/, 'the catalog of another place is not this server\'s');

done_testing();
