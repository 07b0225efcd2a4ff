# Promise: each table has one row per thing, from the first file in key order that knows it; types hold what fits, and what
# does not is NULL, counted and said; a bad file costs its own rows and nothing else.
use strict;
use warnings;
use utf8;

use DicomFile;
use DicomTest;
use Test::More;

my $dir = work_dir();
my $uid = '1.2.826.0.1.3680043.9';

# What most files have; later elements of one tag replace earlier ones.
sub instance
{
	my ($file, %change) = @_;
	my %elements = (
		'00080005' => [ 'CS', 'ISO_IR 192' ],
		'00080018' => [ 'UI', "$uid.$file" =~ tr/a-z\//1-9/r =~ s/[^0-9.]//gr ],
		'00080020' => [ 'DA', '20040826' ],
		'00080060' => [ 'CS', 'CT' ],
		'00080070' => [ 'LO', 'ACME' ],
		'00100010' => [ 'PN', 'Doe^Jane' ],
		'00100020' => [ 'LO', 'P1' ],
		'00181000' => [ 'LO', 'S-1' ],
		'0020000D' => [ 'UI', "$uid.1" ],
		'0020000E' => [ 'UI', "$uid.1.1" ],
		%change);

	write_dicom("$dir/$file", map { element($_, @{ $elements{$_} }) } grep { $elements{$_} } sort keys %elements);
	return;
}

instance('a/1.dcm', '00081030' => [ 'LO', 'first' ]);
instance('a/2.dcm', '00081030' => [ 'LO', 'second' ], '00100010' => [ 'PN', 'Other^Name' ]);
instance('b/1.dcm', '0020000E' => [ 'UI', "$uid.1.2" ], '00080060' => [ 'CS', 'MR' ], '00181000' => [ 'LO', 'S-1' ],
	'00080070' => [ 'LO', 'OTHER' ]);
# The same number of another institution is another patient; no number at all is known by the rest.
instance('c/1.dcm', '00100021' => [ 'LO', 'HOSPITAL B' ], '0020000D' => [ 'UI', "$uid.2" ], '0020000E' => [ 'UI', "$uid.2.1" ]);
instance('c/2.dcm', '00100020' => undef, '00100030' => [ 'DA', '19700101' ], '0020000D' => [ 'UI', "$uid.3" ]);
instance('c/3.dcm', '00100020' => [ 'LO', '' ], '00100030' => [ 'DA', '19700102' ], '0020000D' => [ 'UI', "$uid.3" ]);
# Nothing but an instance: no patient, no device, no study.
write_dicom("$dir/d/1.dcm", element('00080018', 'UI', "$uid.9.9"));
# Values that fit no column, and some that just do.
instance('e/1.dcm', '00080020' => [ 'DA', '20041345' ], '00280010' => [ 'US', pack('v', 65535) ], '00201041' => [ 'DS', 'left' ],
	'00280030' => [ 'DS', '0.5\\abc' ], '00200013' => [ 'IS', '99999999999' ], '00180081' => [ 'DS', '1\\2' ],
	'00080008' => [ 'CS', 'ORIGINAL\\\\AXIAL' ], '00180050' => [ 'DS', '' ], '00080032' => [ 'TM', '101112.345' ],
	'00080022' => [ 'DA', '2004.08.26' ]);
write_text("$dir/f/no.dcm", "this is no DICOM file\n") if mkdir "$dir/f";
write_text("$dir/f/empty.dcm", '');

my $cluster = cluster();
$cluster->make_server('raw', undef, "file://$dir/");
my $quiet = 'SET client_min_messages = error;';

# Which rows
is($cluster->query("$quiet SELECT count(*), count(error) FROM raw.files"), '10|2', 'files: one row per object, bad ones with their reason');
is($cluster->query("$quiet SELECT count(*) FROM raw.images"), '8', 'images: one row per readable object');
is($cluster->query("$quiet SELECT string_agg(study_description, ',' ORDER BY filename), count(*) FROM raw.studies"), 'first|3',
	'studies: the first key wins');
is($cluster->query("$quiet SELECT count(*), string_agg(modality, ',' ORDER BY filename) FROM raw.series"), '4|CT,MR,CT,CT',
	'series: one row per uid and study');
is($cluster->query("$quiet SELECT count(*), count(DISTINCT manufacturer) FROM raw.devices"), '2|2',
	'devices: a serial number is unique within its maker');
is($cluster->query("$quiet SELECT string_agg(concat_ws('/', issuer_of_patient_id, patient_id, patient_birth_date), ' ' ORDER BY filename) FROM raw.patients"),
	'P1 HOSPITAL B/P1 1970-01-01 /1970-01-02', 'patients: by issuer and id, else by what else is known');
is($cluster->query("$quiet SELECT DISTINCT filename FROM raw.patients WHERE patient_id = 'P1' AND issuer_of_patient_id IS NULL"),
	'a/1.dcm', 'filename is that of the file that gave the row');
like($cluster->query("$quiet EXPLAIN (ANALYZE) SELECT count(*) FROM raw.studies"), qr/Without Key: 1\b/, 'a file without a study is counted');

# In work_mem that is far too small, rows go through temporary files, and are the same
my $many = work_dir();
make_files('--count', 4000, '--size', 0, '--images-per-series', 1, '--series-per-study', 1, $many);
$cluster->make_server('many', undef, "file://$many/");
my $digest = 'SELECT count(*), md5(string_agg(s::text, chr(10) ORDER BY study_instance_uid)) FROM many.studies s';
my $whole = $cluster->query($digest);
like($whole, qr/^4000\|/, 'as many studies as were made');
is($cluster->query("SET work_mem = '64kB'; $digest"), $whole, 'rows that do not fit into work_mem are the same rows');
like($cluster->query("SET work_mem = '64kB'; EXPLAIN (ANALYZE) SELECT * FROM many.studies"), qr/Rows Spilled: \d+/, 'which did spill');

# Values
my $row = $cluster->query("$quiet SELECT study_date, rows, slice_location, pixel_spacing, instance_number, echo_time, image_type,
	slice_thickness, acquisition_time, acquisition_date FROM raw.images WHERE filename = 'e/1.dcm'");
is($row, '|65535||{0.5,NULL}|99999999999||{ORIGINAL,"",AXIAL}||10:11:12.345|2004-08-26', 'what does not fit is NULL, what fits is exact');
my ($out, $err) = $cluster->psql("SELECT study_date FROM raw.images WHERE filename = 'e/1.dcm'");
like($err, qr/did not fit/, 'and it is said');
is($cluster->query("$quiet SELECT value FROM raw.elements WHERE key = 'e/1.dcm' AND keyword = 'StudyDate'"), '20041345', 'the text is in elements');
like($cluster->query("$quiet SELECT warnings FROM raw.files WHERE key = 'e/1.dcm'"), qr/StudyDate is no DA.*20041345/, 'and in the warnings of the file');
$cluster->query("CREATE FOREIGN TABLE strict (study_date date, key text) SERVER raw OPTIONS (entity 'images', on_bad_value 'error')");
($out, $err) = $cluster->psql("SELECT * FROM strict WHERE key = 'e/1.dcm'");
like($err, qr/does not fit column "study_date".*e\/1\.dcm/s, 'on_bad_value error names column and object');
unlike($err, qr/20041345/, 'but not the value');
$cluster->query(<<'END');
CREATE FOREIGN TABLE types (
	key text, a varchar(4) OPTIONS (tag 'Manufacturer'), b varchar(3) OPTIONS (tag 'Manufacturer'), c smallint OPTIONS (tag 'Rows'),
	d numeric(4,1) OPTIONS (tag 'EchoTime'), e text[] OPTIONS (tag 'PixelSpacing'), f bytea OPTIONS (tag 'Manufacturer'),
	g timestamptz OPTIONS (tag 'StudyDate'), h timestamp OPTIONS (tag 'AcquisitionDate'), i real OPTIONS (tag 'Rows')
) SERVER raw OPTIONS (entity 'images');
END
is($cluster->query("$quiet SET timezone = 'UTC'; SELECT * FROM types WHERE key = 'e/1.dcm'"),
	'e/1.dcm|ACME||||{0.5,abc}|\x41434d45||2004-08-26 00:00:00|65535', 'every type takes what it can hold');

# Bad files
($out, $err) = $cluster->psql('SELECT count(*) FROM raw.images');
like($err, qr/WARNING:.*2 files.*f\/empty\.dcm/s, 'one warning with a count and the first key');
is(() = $err =~ /WARNING/g, 1, 'and not one per file');
$cluster->query("CREATE FOREIGN TABLE picky (key text) SERVER raw OPTIONS (entity 'images', on_error 'error');
	CREATE FOREIGN TABLE patient (key text) SERVER raw OPTIONS (entity 'images', reject_limit '2')");
($out, $err) = $cluster->psql('SELECT count(*) FROM picky');
like($err, qr/ERROR:.*f\/empty\.dcm/s, 'on_error error stops at the first one, by name');
($out, $err) = $cluster->psql('SELECT count(*) FROM patient');
like($err, qr/ERROR:.*reject_limit/s, 'reject_limit stops at its limit');
is($cluster->query("$quiet SELECT count(*) FROM dicom.files('raw', 'f/') WHERE error IS NOT NULL"), '2', 'reasons can be queried by function too');

# Order, LIMIT and pushed-down filters
unlike($cluster->query("SET max_parallel_workers_per_gather = 0; EXPLAIN SELECT * FROM raw.files ORDER BY key"), qr/Sort/, 'ORDER BY key needs no sort');
is($cluster->query("$quiet SELECT string_agg(key, ' ') FROM (SELECT key FROM raw.files ORDER BY key LIMIT 3) s"), 'a/1.dcm a/2.dcm b/1.dcm', 'keys come in byte order');
like($cluster->query("$quiet EXPLAIN (ANALYZE) SELECT * FROM raw.images WHERE filename ~ '^[ab]/1'"), qr/Objects Pruned: 8.*Objects Opened: 2\b/s,
	'a filter on keys alone is decided before a file is opened');
like($cluster->query("$quiet EXPLAIN (ANALYZE) SELECT * FROM dicom.images('raw', 'a/1.dcm')"), qr/rows=1\b/, 'a key is one file');

# Functions need USAGE on the server
$cluster->query('CREATE ROLE outsider; GRANT USAGE ON SCHEMA dicom TO outsider');
($out, $err) = $cluster->psql("SET ROLE outsider; SELECT count(*) FROM dicom.patients('raw')");
like($err, qr/permission denied for foreign server raw/, 'a role without USAGE is refused');
($out, $err) = $cluster->psql("SELECT count(*) FROM dicom.patients('filse')");
like($err, qr/server "filse" does not exist/, 'an unknown server is named');

# ANALYZE
$cluster->query("$quiet ANALYZE raw.images; ANALYZE many.studies");
is($cluster->query("SELECT reltuples FROM pg_class WHERE oid = 'raw.images'::regclass"), '8', 'ANALYZE counts rows');
is($cluster->query("SELECT reltuples FROM pg_class WHERE oid = 'many.studies'::regclass"), '4000', 'of a de-duplicated table too');

done_testing();
