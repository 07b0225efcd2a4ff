# Promise: rules survive a dump and a restore: what a user changed or took out stays so, what nobody touched is what the extension brings.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $cluster = cluster();
my $dir = work_dir();

$cluster->query('CREATE DATABASE "from"');
$cluster->query(<<'END', db => 'from');
SET client_min_messages = error;
CREATE EXTENSION dicom_fdw;
CREATE SCHEMA dicom_raw;
CREATE TABLE dicom_raw.patients OF dicom.patients_row;
-- one rule changed, one taken out, one added
UPDATE dicom.anonymization_mapping SET target_function = 'remove' WHERE profile = 'research' AND table_name = 'patients' AND column_name = 'patient_sex';
DELETE FROM dicom.anonymization_mapping WHERE profile = 'research' AND table_name = 'patients' AND column_name = 'smoking_status';
INSERT INTO dicom.anonymization_mapping (profile, schema_name, table_name, column_name, target_function, params) VALUES ('research', 'own', 't', 'c', 'date_truncate', '{"unit": "year"}');
UPDATE dicom.profile_attribute SET rule = 'remove' WHERE profile = 'safe_harbor' AND keyword = 'PatientAge';
SELECT dicom.copy_profile('basic', 'mine', 'my own');
SELECT dicom.load_mapping(E'schema_name,table_name,column_name,target_function\nraw,patients,patient_id,anon_text\n', 'plain');
SELECT dicom.record_application('dicom_raw.patients', 'plain', rows => 7, purpose => 'before the dump');
END

my $state = <<'END';
SELECT 'profile', p.profile, p.origin, p.version, p.mapping_hash, p.attributes_hash, p.judged_by, p.description, p.params FROM dicom.anonymization_profile p ORDER BY p.profile;
SELECT 'mapping', m.* FROM dicom.anonymization_mapping m ORDER BY profile COLLATE "C", schema_name, table_name, column_name;
SELECT 'attribute', a.* FROM dicom.profile_attribute a ORDER BY profile COLLATE "C", tag;
SELECT 'version', v.profile, v.version, v.created_by, v.content_hash, md5(v.mapping::text || v.attributes) FROM dicom.anonymization_mapping_version v ORDER BY 2, 3;
SELECT 'audit', a.* FROM dicom.deid_audit a ORDER BY id;
END
my $before = $cluster->query($state, db => 'from');
my $query = $cluster->query("SELECT dicom.anonymized_query('dicom_raw.patients')", db => 'from');

for my $format ('plain', 'custom')
{
	my $bin = DicomTest::bin();
	my $to = "to_$format";
	my @address = ('-h', $cluster->{dir}, '-p', $cluster->{port}, '-U', 'postgres');
	my (undef, $err, $code) = run_command("$bin/pg_dump", @address, '-F', substr($format, 0, 1), '-f', "$dir/$format", 'from');
	is($code, 0, "$format: dumped") or diag($err);

	$cluster->query("CREATE DATABASE $to");
	(undef, $err, $code) = $format eq 'plain'
		? run_command("$bin/psql", @address, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $to, '-f', "$dir/$format")
		: run_command("$bin/pg_restore", @address, '-e', '-d', $to, "$dir/$format");
	is($code, 0, "$format: restored") or diag($err);
	is($cluster->query($state, db => $to), $before, "$format: rules, versions and audit are what they were");
	is($cluster->query("SELECT dicom.anonymized_query('dicom_raw.patients')", db => $to), $query, "$format: so is what they do");
	is($cluster->query("SELECT dicom.record_application('dicom_raw.patients', 'plain')", db => $to) > 1, 1, "$format: the audit goes on");
	$cluster->query("UPDATE dicom.anonymization_mapping SET reason = 'after' WHERE profile = 'plain'", db => $to);
	is($cluster->query("SELECT max(version) FROM dicom.anonymization_mapping_version WHERE profile = 'plain'", db => $to), '2', "$format: so do the versions");
}

ok(read_text("$dir/plain") =~ /my own/, "a profile of one's own is in a dump");
ok(read_text("$dir/plain") !~ /seed_compat/, 'one that nobody touched is not');

# A profile cannot be taken for restored by chance.
my ($out, $err, $code) = $cluster->psql("INSERT INTO dicom.anonymization_profile (profile) VALUES ('basic')", db => 'from');
like($err, qr/ERROR:  23505/, 'a profile of a name that there is, is refused');

done_testing();
