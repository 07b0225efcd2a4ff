# Promise: one call sets a pipeline up, one call runs it; after that every file is accounted for, a second run writes nothing, and what changes in the
# provider is what changes in the tables, for its day alone.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $dir = work_dir();
write_text("$dir/keys", '1 ' . join('', map { sprintf '%02x', $_ } 0 .. 31) . "\n");
chmod 0600, "$dir/keys";
my $cluster = cluster(conf => "dicom_fdw.key_file = '$dir/keys'\nmax_worker_processes = 16\n");
mkdir "$dir/$_" or die for qw(arrived raw stage);
make_files('--count', 60, '--size', 32, '--days', 5, '--layout', 'flat', "$dir/arrived");
$cluster->query('CREATE EXTENSION dicom_fdw');
$cluster->query("CREATE SERVER $_ FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/$_/')") for qw(arrived raw);
$cluster->query("SELECT dicom.create_pipeline('hospital', provider => 'arrived', raw => 'raw', stage => 'file://$dir/stage/')");

sub run { return $cluster->query('CALL dicom.run(\'hospital\')') }

# Rows written so far into the tables that readers see rows of.
sub written
{
	return $cluster->query(<<'END');
SELECT pg_stat_clear_snapshot();
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables WHERE schemaname = 'dicom_stage_private' OR schemaname = 'dicom_processed_private'
END
}

sub pictures { my ($out) = run_command('find', "$dir/stage", '-name', '*.jpg'); return scalar(() = $out =~ /\n/g) }

run();
is($cluster->query('SELECT status, error FROM dicom.runs'), 'done|', 'a run is done');
is($cluster->query('SELECT count(*), count(DISTINCT sop_instance_uid), sum(pictures) FROM dicom_processed.images'), '60|60|60', 'every image is there, with its picture');
is($cluster->query("SELECT bool_and(purpose = 'pipeline hospital' AND epoch = 1 AND profile = 'research'), sum(rows) >= 60 FROM dicom.deid_audit"), 't|t', 'the audit has it');
is(pictures(), 60, 'which lies in the stage directory');
is($cluster->query("SELECT count(*) FROM dicom.failures"), '0', 'nothing failed');
is($cluster->query("SELECT count(*) FROM dicom.days WHERE state <> 'fresh'"), '0', 'every day is fresh');
is($cluster->query(<<'END'), '0', 'every image has its series, study and patient');
SELECT count(*) FROM dicom_processed.images i
LEFT JOIN dicom_processed.series s ON s.series_instance_uid = i.series_instance_uid
LEFT JOIN dicom_processed.studies t ON t.study_instance_uid = i.study_instance_uid
LEFT JOIN dicom_processed.patients p ON p.patient_key = i.patient_key
WHERE s.series_instance_uid IS NULL OR t.study_instance_uid IS NULL OR p.patient_key IS NULL
END
is($cluster->query('SELECT count(*) FROM dicom_raw.images r JOIN dicom_processed.images i ON i.sop_instance_uid = r.sop_instance_uid'), '0', 'under other names than in the files');

# --- nothing new

my $before = written();
run();
is(written(), $before, 'a run with nothing new writes no row');
is($cluster->query("SELECT sum(requests) FROM dicom.run_steps s WHERE run = (SELECT max(run) FROM dicom.runs) AND step = 'sync'") > 0 ? 1 : 0, 1, 'though it has looked');

# --- one file less, one more, one changed

my $other = work_dir();
make_files('--count', 61, '--size', 32, '--days', 5, '--layout', 'flat', $other);
my ($new) = (glob "$other/*")[60];
system('cp', $new, "$dir/arrived/") == 0 or die;
run();
is($cluster->query('SELECT count(*) FROM dicom_processed.images'), '61', 'a late file is one more image');
is($cluster->query("SELECT done FROM dicom.run_steps WHERE run = (SELECT max(run) FROM dicom.runs) AND step = 'stage'"), '1', 'of one day');
unlink glob "$dir/raw/000007*" or die;
run();
is($cluster->query('SELECT count(*), sum(pictures) FROM dicom_processed.images'), '60|60', 'a file that has vanished from raw is an image less');
is(pictures(), 60, 'and a picture');

# --- a broken file

write_text("$dir/raw/broken.dcm", 'no DICOM at all ' x 100);
run();
is($cluster->query("SELECT count(*), min(reason) FROM dicom.failures WHERE resolved IS NULL"), '1|unreadable', 'a file that cannot be read is a failure with its reason');
unlink "$dir/raw/broken.dcm";
run();
is($cluster->query("SELECT count(*) FROM dicom.failures WHERE resolved IS NULL"), '0', 'until it is gone');

# --- real files: each is a row, or has a reason

SKIP:
{
	skip 'no ../shared/corpus', 4 unless corpus();
	$cluster->query("CREATE SERVER real FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://@{[corpus()]}/')");
	mkdir "$dir/real_stage" or die;
	$cluster->query("SELECT dicom.create_pipeline('real', raw => 'real', stage => 'file://$dir/real_stage/', raw_schema => 'real_raw', stage_schema => 'real_stage', processed_schema => 'real')");
	$cluster->query("CALL dicom.run('real')");
	is($cluster->query("SELECT status, error FROM dicom.runs WHERE pipeline = 'real'"), 'done|', 'a run over real files is done');
	is($cluster->query(<<'END'), '0', 'each file is a row of stage, or a failure');
SELECT count(*) FROM dicom.object o
WHERE o.server = (SELECT oid FROM pg_foreign_server WHERE srvname = 'real')
	AND NOT EXISTS (SELECT FROM real_stage_private.images i WHERE i.source_key = o.key)
	AND NOT EXISTS (SELECT FROM dicom.failure f WHERE f.pipeline = 'real' AND f.object_key = o.key)
END
	is($cluster->query(<<'END'), '0', 'each image of stage has pictures, or a reason why not, or no pixel data');
SELECT count(*) FROM real_stage_private.images i
WHERE NOT EXISTS (SELECT FROM real_stage.compressed_images c WHERE c.sop_instance_uid = i.sop_instance_uid)
	AND NOT EXISTS (SELECT FROM dicom.failure f WHERE f.pipeline = 'real' AND f.object_key = i.source_key)
	AND NOT EXISTS (SELECT FROM real_stage_private.picture_objects o WHERE o.source_key = i.source_key AND o.state = 'none')
END
	my ($identified) = split /\n/, $cluster->query("SELECT count(*) FROM dicom.scan_residual('real.patients', 'real_raw.patients') WHERE source_column IN ('patient_name', 'patient_id')");
	is($identified, '0', 'no name and no id of a patient is in what readers see');
	diag('counted: ' . $cluster->query("SELECT format('%s images, %s pictures, %s failures', (SELECT count(*) FROM real.images), (SELECT sum(pictures) FROM real.images), (SELECT count(*) FROM dicom.failures WHERE pipeline = 'real'))"));
}

done_testing();
