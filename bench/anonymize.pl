# The measurements of bench/anonymize.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench qw(median heading);
use DicomTest;
use POSIX ();

my ($count, $repetitions) = @ARGV;
my $dir = work_dir();
my $key = join '', map { sprintf '%02x', $_ } 0 .. 31;

write_text("$dir/keys", "1 $key\n");
chmod 0600, "$dir/keys" or die "$!\n";
my $cluster = cluster(conf => "shared_buffers = 512MB\nlog_statement = none\njit = off\nmax_parallel_workers_per_gather = 0\ndicom_fdw.key_file = '$dir/keys'\n");
$cluster->query('CREATE EXTENSION dicom_fdw; CREATE EXTENSION pgcrypto');

# Seconds that a query keeps its process busy, its rows made and thrown away; the second of two in a session. What else the machine does
# is not counted, as /proc has the nanoseconds that a process had a processor; where it has not, the time that went by is taken.
sub time_query
{
	my ($query) = @_;
	my $explain = "EXPLAIN (ANALYZE, TIMING off, COSTS off) $query;\n";

	if (-r '/proc/self/schedstat')
	{
		my $busy = "SELECT 'busy', pg_read_file('/proc/self/schedstat');\n";
		my ($before, $after) = $cluster->query("$explain$busy$explain$busy") =~ /^busy\|(\d+)/mg;

		return ($after - $before) / 1e9;
	}
	my ($first, $second) = $cluster->query($explain x 2) =~ /^Execution Time: ([\d.]+) ms/mg;
	return $second / 1000;
}

# One round after the other, so that what else the machine does hits all of them.
sub measure
{
	my (@queries) = @_;
	my @seconds;

	for (1 .. $repetitions)
	{
		push @{ $seconds[$_] }, time_query($queries[$_][1]) for 0 .. $#queries;
	}
	return map { [ $queries[$_][0], median(@{ $seconds[$_] }) ] } 0 .. $#queries;
}

sub table
{
	my ($first, $rows, @measured) = @_;
	my $base = $measured[0][1];

	print "| $first | seconds of a core (median of $repetitions) | rows/s | rate |\n|---|---:|---:|---:|\n";
	printf "| %s | %.3f | %.0f | %.2f |\n", $_->[0], $_->[1], $rows / $_->[1], $base / $_->[1] for @measured;
	print "\n";
	return;
}

print heading("bench/anonymize.sh $count $repetitions", $cluster);

# --- Values

$cluster->query(<<"END");
CREATE TABLE ids AS
SELECT 'PAT-' || lpad(i::text, 10, '0') AS id, '1.2.840.113619.2.55.3.604688119.' || i AS uid, date '2000-01-01' + i % 9000 AS day
FROM generate_series(1, $count) i;
VACUUM ANALYZE ids;
END
my $frames = join ' || ', map { "'V'::bytea || int4send(octet_length($_)) || convert_to($_, 'UTF8')" } "'dicom_fdw.deid.v1'::text", "'full_hash'::text", "'patient_id'::text", 'id';
my $wrong = $cluster->query("SELECT count(*) FROM (SELECT * FROM ids LIMIT 1000) i WHERE dicom.full_hash(id, 'patient_id') <> encode(hmac($frames, '\\x$key'::bytea, 'sha256'), 'hex')");
die "$wrong pseudonyms are not what pgcrypto makes\n" if $wrong;
my $hmac = "encode(hmac(id, 'abcdefghijklmnopqrstuvwxyz012345', 'sha256'), 'hex')";
print "$count values; a rate of 2.00 is twice as many rows a second as pgcrypto.\n\n";
table('function', $count, measure(
	[ "pgcrypto: encode(hmac(id, key, 'sha256'), 'hex')", "SELECT $hmac FROM ids" ],
	[ "dicom.full_hash(id, 'patient_id')",                "SELECT dicom.full_hash(id, 'patient_id') FROM ids" ],
	[ "dicom.short_id(id, 'patient_id')",                 "SELECT dicom.short_id(id, 'patient_id') FROM ids" ],
	[ "dicom.surrogate_key('patient', id, uid)",          "SELECT dicom.surrogate_key('patient', id, uid) FROM ids" ],
	[ 'dicom.uid_remap(uid)',                             'SELECT dicom.uid_remap(uid) FROM ids' ],
	[ 'dicom.date_shift(day, id)',                        'SELECT dicom.date_shift(day, id) FROM ids' ],
	[ "dicom.anonymize(id, 'full_hash', ...)",            q[SELECT dicom.anonymize(id, 'full_hash', '{"domain": "patient_id"}') FROM ids] ],
	[ 'the column alone',                                 'SELECT id FROM ids' ]));

# --- Rows of images

my $rows = $count < 4000 ? $count : int($count / 4);
my %values = (
	'text' => q['VALUE'], 'text[]' => q[ARRAY['ORIGINAL', 'PRIMARY']], 'date' => q[date '2020-02-29'], 'time without time zone' => q[time '14:30:15.123'],
	'timestamp without time zone' => q[timestamp '2020-02-29 14:30'], 'double precision' => '1.25', 'double precision[]' => 'ARRAY[1.25, -3, 0.5]', 'real' => '1.5', 'real[]' => 'ARRAY[1.5]',
	'bigint' => '7', 'bigint[]' => 'ARRAY[7, 8]', 'integer' => '512', 'integer[]' => 'ARRAY[0, 512]', 'jsonb' => q['[{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}]'::jsonb], 'bytea' => q['\x00'::bytea]);
my @columns = map { [ split /\|/ ] } split /\n/, $cluster->query(<<'END');
SELECT a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a WHERE a.attrelid = 'dicom.images_row'::regclass ORDER BY a.attnum
END
my $width = @columns;
my $list = join ', ', map {
	my ($name, $type) = @$_;
	my $value = $name =~ /uid$/ ? "'1.2.840.113619.2.55.$name.' || i" =~ s/[a-z]\w*_uid/1/r : $name eq 'patient_id' ? "'PAT-' || i / 100" : $values{$type} // die "no value of type $type\n";
	"($value)::$type"
} @columns;
$cluster->query("CREATE SCHEMA dicom_raw; CREATE TABLE dicom_raw.images OF dicom.images_row; INSERT INTO dicom_raw.images SELECT $list FROM generate_series(1, $rows) i; VACUUM ANALYZE dicom_raw.images");
my %query = map { $_ => $cluster->query("SELECT dicom.anonymized_query('dicom_raw.images', '$_')") } qw(research basic safe_harbor);
my %kept  = map { $_ => scalar(() = $query{$_} =~ /^\t.* AS \S+,?$/mg) } keys %query;
my $columns = join ', ', map { qq{"$_->[0]"} } @columns;
print "$rows rows of images of $width columns, none NULL.\n\n";
table('rows', $rows, measure(
	[ 'the columns as they are', "SELECT $columns FROM dicom_raw.images" ],
	map { [ "anonymized_query(), $_: $kept{$_} columns", $query{$_} ] } qw(research basic safe_harbor)));

# --- One by one

my $few = $rows < 2000 ? $rows : 2000;
$cluster->query(<<"END");
CREATE TABLE datasets AS
SELECT (SELECT jsonb_object_agg(k, v) FROM (
	SELECT lpad(upper(to_hex(x'00180000'::integer + 16 * n)), 8, '0') AS k, '{"vr": "DS", "Value": [1.5]}'::jsonb AS v FROM generate_series(1, 20) n
	UNION ALL VALUES ('00100020', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array('PAT-' || i))), ('00100010', '{"vr": "PN", "Value": [{"Alphabetic": "DOE^JANE"}]}'),
		('0020000D', '{"vr": "UI", "Value": ["1.2.3"]}'), ('00080020', '{"vr": "DA", "Value": ["20200229"]}'), ('00081030', '{"vr": "LO", "Value": ["CT thorax"]}'),
		('00081140', '{"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3.4"]}}]}')) e) AS dataset
FROM generate_series(1, $few) i;
END
print "$few rows one by one, and as many data sets of 26 elements.\n\n";
table('one by one', $few, measure(
	[ 'anonymized_query(), research', "$query{research} LIMIT $few" ],
	[ 'dicom.anonymize_row()',     "SELECT dicom.anonymize_row('dicom_raw.images', i) FROM dicom_raw.images i LIMIT $few" ],
	[ 'dicom.anonymize_dataset()', "SELECT dicom.anonymize_dataset(dataset, 'research') FROM datasets" ]));
