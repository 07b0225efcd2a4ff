# Promise: after dicom.sync() the catalog is equal to what is in the store; nothing is opened that has not changed; every day that
# anything touched is stale; an empty or broken listing removes nothing; what cannot be read is kept with its reason.
use strict;
use warnings;

use DicomTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = cluster(conf => "max_worker_processes = 8\n");
my $dir = work_dir();
my $files = "$dir/files";
make_files('--count', 200, '--size', 8, '--days', 4, '--layout', 'flat', $files);
$cluster->make_server('disk', undef, "file://$files/");

sub sync
{
	my ($arguments, %options) = @_;

	return $cluster->query("SELECT listed, new, changed, vanished, failed FROM dicom.sync($arguments)", %options);
}

sub stale
{
	return $cluster->query('WITH gone AS (DELETE FROM dicom.stale_day RETURNING day) SELECT string_agg(day::text, \',\' ORDER BY day) FROM gone');
}

# The catalog against what the files themselves say.
sub equals
{
	my ($server, $promise) = @_;
	my $columns = 'key, size, etag, storage_class, study_date, study_instance_uid, series_instance_uid, sop_instance_uid,'
		. ' sop_class_uid, transfer_syntax_uid, modality, patient_id, issuer_of_patient_id';

	$cluster->query(<<"END");
DROP FOREIGN TABLE IF EXISTS whole_$server;
CREATE FOREIGN TABLE whole_$server (key text COLLATE "C", size bigint, etag text, last_modified timestamptz, storage_class text,
	study_date date, study_instance_uid text, series_instance_uid text, sop_instance_uid text, sop_class_uid text,
	transfer_syntax_uid text, modality text, patient_id text, issuer_of_patient_id text, error text)
	SERVER $server OPTIONS (entity 'files');
CREATE TEMP TABLE live AS SELECT $columns, last_modified, error FROM whole_$server;
CREATE TEMP TABLE kept AS SELECT $columns, last_modified, error FROM dicom.object
	WHERE server = (SELECT oid FROM pg_foreign_server WHERE srvname = '$server');
UPDATE live SET study_date = '-infinity' WHERE study_date IS NULL;
CREATE TABLE IF NOT EXISTS difference (side text, key text);
TRUNCATE difference;
INSERT INTO difference SELECT 'live', key FROM (TABLE live EXCEPT ALL TABLE kept) l;
INSERT INTO difference SELECT 'kept', key FROM (TABLE kept EXCEPT ALL TABLE live) k;
END
	is($cluster->query("SELECT coalesce(string_agg(side || ' ' || key, ',' ORDER BY key), '') FROM difference"), '', $promise);
	return;
}

# --- A directory

is(sync("'disk'"), '200|200|0|0|0', 'the first sync finds all files new');
equals('disk', 'and the catalog says what they hold');
is(stale(), '2021-08-04,2021-08-05,2021-08-06,2021-08-07', 'their days are stale');
is($cluster->query("SELECT count(*), bool_and(state = 'ok' AND failures = 0 AND header IS NOT NULL AND NOT values_cut AND first_seen = synced_at) FROM dicom.object"),
	'200|t', 'every row is complete');
is($cluster->query("SELECT listed, requests FROM dicom.sync('disk')") =~ s/\|.*//r, 200, 'a second one');
is($cluster->query("SELECT opened, written FROM dicom.sync_state"), '0|0', 'opens and writes nothing');
is(stale(), '', 'and no day is stale');
equals('disk', 'and changes nothing');
done_testing();
