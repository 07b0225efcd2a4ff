# Promise: the grants that docs/anonymize.md names are enough for who decides about rules and for who derives data, and no more than enough;
# a file of rules takes the right to read files; what is noted stays.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use Test::More;

my $dir = work_dir();
my $keys = write_text("$dir/keys", "# made for a test\n7 " . 'ab' x 32 . "\n");
chmod 0600, $keys;
write_dicom("$dir/raw/1.dcm", element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.2'), element('00080018', 'UI', '1.2.3.4'), element('00080020', 'DA', '20200229'), element('00100010', 'PN', 'Zyxwv^Anna'),
	element('00100020', 'LO', 'PAT-0042'), element('00100040', 'CS', 'F'), element('0020000D', 'UI', '1.2.3'), element('0020000E', 'UI', '1.2.3.1'));

my $cluster = cluster(conf => "dicom_fdw.key_file = '$keys'\n");
$cluster->make_server('raw', undef, "file://$dir/raw/");
my ($grants) = read_text(top() . '/docs/anonymize.md') =~ /^## Who may what.*?```sql\n(.*?)```/ms;
ok($grants, 'the documentation has the grants');
$cluster->query("CREATE ROLE privacy_officer LOGIN; CREATE ROLE deriver LOGIN; CREATE ROLE analyst LOGIN; $grants");
$cluster->query('GRANT USAGE ON SCHEMA dicom TO deriver; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dicom TO deriver;'
	. 'GRANT SELECT ON dicom.anonymization_profile, dicom.anonymization_mapping, dicom.profile_attribute, dicom.anonymization_mapping_version, dicom.deid_audit, dicom.epoch TO deriver;'
	. 'CREATE SCHEMA stage; GRANT CREATE, USAGE ON SCHEMA stage TO deriver; GRANT USAGE ON SCHEMA raw, stage TO deriver, privacy_officer, analyst;'
	. 'GRANT SELECT ON ALL TABLES IN SCHEMA raw TO deriver; GRANT USAGE ON FOREIGN SERVER raw TO deriver');

sub may
{
	my ($user, $promise, $sql, $expected) = @_;
	my ($out, $err, $code) = $cluster->psql("SET client_min_messages = error; $sql", user => $user);

	is($code, 0, "$user: $promise") or diag($err);
	is($out, $expected, "$user: with what it says") if defined $expected;
	return;
}

sub may_not
{
	my ($user, $promise, $sql) = @_;
	my ($out, $err) = $cluster->psql("SET client_min_messages = error; $sql", user => $user);

	like($err, qr/ERROR:  (42501|55000)/, "$user: $promise is refused");
	unlike("$out$err", qr/Zyxwv|PAT-0042/, "$user: and shows nothing");
	return;
}

my $csv = "E'schema_name,table_name,column_name,target_function\\nraw,patients,patient_id,full_hash\\nraw,patients,patient_sex,\\n'";

may('privacy_officer', 'loads rules', "SELECT dicom.load_mapping($csv, 'hers')", '2');
may('privacy_officer', 'has a profile of her own', "SELECT dicom.copy_profile('research', 'copy')", '186');
may('privacy_officer', 'changes them', "UPDATE dicom.anonymization_mapping SET quasi_identifier = true WHERE profile = 'hers' AND column_name = 'patient_sex'");
may('privacy_officer', 'sees who changed them', "SELECT string_agg(version || created_by, ',' ORDER BY version) FROM dicom.anonymization_mapping_version WHERE profile = 'hers'", '1privacy_officer,2privacy_officer');
may('privacy_officer', 'has them looked at', "SELECT count(*) FROM dicom.validate_mapping('hers') WHERE severity = 'warning'", '1');
may('privacy_officer', 'compares them', "SELECT count(*) FROM dicom.compare_profile('raw.patients', 'basic', 'hers')", '27');
may('privacy_officer', 'reads the query', "SELECT dicom.anonymized_query('raw.patients', 'hers')",
	"SELECT\n\tdicom.full_hash(r.patient_id, 'patient_id') AS patient_id,\n\tr.patient_sex AS patient_sex\nFROM raw.patients AS r");
may('privacy_officer', 'sees which keys there are', 'SELECT epoch, active, present FROM dicom.key_status()', '7|t|t');
may_not('privacy_officer', 'reading raw tables', 'SELECT * FROM raw.patients');
may_not('privacy_officer', 'reading them through the proof', "SELECT * FROM dicom.coverage('raw.patients', 'hers')");
may_not('privacy_officer', 'a file of the server', "SELECT dicom.load_mapping_file('$dir/mapping.csv', 'hers')");
may_not('privacy_officer', 'writing history', "UPDATE dicom.anonymization_mapping_version SET created_by = 'nobody'");
may_not('privacy_officer', 'taking back a note', 'DELETE FROM dicom.deid_audit');

may('deriver', 'derives', "SELECT dicom.anonymized_query('raw.patients', 'hers') AS q \\gset\nCREATE TABLE stage.patients AS :q; SELECT patient_id = dicom.full_hash('PAT-0042', 'patient_id') FROM stage.patients", 't');
may('deriver', 'proves', "SELECT count(*) FROM dicom.scan_residual('stage.patients', 'raw.patients', 'hers')", '0');
may('deriver', 'notes it', "SELECT dicom.record_application('raw.patients', 'hers', rows => 1) > 0", 't');
may('deriver', 'and reads the notes', 'SELECT applied_by, profile, mapping_version, epoch, rows FROM dicom.deid_audit', 'deriver|hers|2|7|1');
may_not('deriver', 'changing rules', "UPDATE dicom.anonymization_mapping SET target_function = '' WHERE profile = 'hers'");
may_not('deriver', 'loading rules', "SELECT dicom.load_mapping($csv, 'hers')");
$cluster->query('GRANT SELECT ON stage.patients TO analyst', user => 'deriver');
may('analyst', 'reads what was derived', 'SELECT count(*), max(length(patient_id)) FROM stage.patients', '1|64');
may_not('analyst', 'deriving', "SELECT dicom.anonymized_query('raw.patients')");
may_not('analyst', 'reading rules', 'SELECT * FROM dicom.anonymization_mapping');
may_not('analyst', 'reading notes', 'SELECT * FROM dicom.deid_audit');

# A file
write_text("$dir/mapping.csv", "schema_name, table_name, column_name, target_function, target_type, reason\r\nraw, patients, patient_id, short_id, varchar(21), \"two\r\nlines\"\r\n");
is($cluster->query("SET client_min_messages = error; SELECT dicom.load_mapping_file('$dir/mapping.csv', 'hers')"), '1', 'a file of rules is read');
is($cluster->query("SELECT target_type, replace(reason, E'\\n', '/') FROM dicom.anonymization_mapping WHERE profile = 'hers'"), 'varchar(21)|two/lines', 'as it stands there');
$cluster->query('GRANT pg_read_server_files TO privacy_officer; GRANT TEMPORARY ON DATABASE postgres TO privacy_officer');
may('privacy_officer', 'with the right to read files, reads one', "SELECT dicom.load_mapping_file('$dir/mapping.csv', 'hers')", '1');

# No key: an error, never another one.
$cluster->query("ALTER SYSTEM SET dicom_fdw.key_file = '$dir/missing'");
$cluster->query('SELECT pg_reload_conf()');
ok(wait_until(sub { my ($out, $err) = $cluster->psql("SELECT dicom.anonymized_query('raw.patients') AS q \\gset\n:q"); return $err =~ /ERROR/ && $out eq '' }), 'without a key nothing comes out');
my ($out) = $cluster->psql("SELECT count(*) FROM dicom.anonymized_columns('raw.patients')");
is($out, '10', 'though it can be read what would');

done_testing();
