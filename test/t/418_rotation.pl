# Promise: after dicom.rotate_epoch() and a run every pseudonym, day and name of a picture is another one, everything that belonged together still
# does, failures are the same, nothing of the old key is left; a rotation that is cut short in the middle, while files change, shows the old
# key's rows until it is complete; in the end all is as a pipeline makes it that has never known another key.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());

sub put
{
	my ($file, %change) = @_;

	return write_image("$dir/raw/$file", study => 1, series => 1, image => $file, day => '20200101', patient => 'P1', '00080050' => [ 'SH', 'ACC 1' ], '00200052' => [ 'UI', '1.2.826.0.1.3680043.9.7777.5.1' ], %change);
}

put($_, series => 1 + $_ % 2) for 1 .. 4;
put($_, study => 2, series => 3, day => '20200215', patient => 'P2', '00181000' => [ 'LO', 'S-2' ], '00101000' => [ 'LO', 'P1' ]) for 5 .. 7;
put($_, study => 3, series => 4, day => undef, patient => 'P3') for 8 .. 9;
put('copy', image => 1, series => 2);
put('again', image => 5, study => 2, series => 3, day => '20200301', patient => 'P2');
put('screen', image => 20, '00080060' => [ 'CS', 'US' ]);
put('short', image => 21, pixels => 'X');
put('nobody', image => undef);
write_text("$dir/raw/broken", 'this is no DICOM file' x 20);

sub create
{
	my ($name, $stage) = @_;

	$cluster->query(<<"SQL");
SELECT dicom.create_pipeline('$name', raw => 'files', stage => '$stage', stage_schema => '${name}_stage', processed_schema => '${name}_processed', partition_by => 'month', options => '{"batch_objects": 3}');
CREATE SCHEMA $name;
SELECT dicom.create_layer('$name.daily', 'SELECT study_date, count(*) AS images FROM ${name}_processed.images GROUP BY 1', ARRAY['study_date']);
CREATE MATERIALIZED VIEW $name.latest AS SELECT max(study_date) AS day, sum(images) AS images FROM $name.daily;
CREATE UNIQUE INDEX ON $name.latest (day);
SELECT dicom.create_layer('$name.latest');
SQL
	return;
}

# Everything that a pipeline shows.
sub state_of
{
	my ($name, $stage) = @_;

	return pipeline_state($cluster, $name, stage => "${name}_stage", processed => "${name}_processed") . $cluster->query("SELECT * FROM $name.daily ORDER BY 1; SELECT * FROM $name.latest") . "\n" . stage_files($stage);
}

# Pseudonyms, days and names of pictures, by column.
sub pseudonyms
{
	my ($name) = @_;
	my %values;

	for my $line (split /\n/, $cluster->query(<<"SQL"))
SELECT DISTINCT t.name || '.' || v.key || '|' || v.value
FROM (
	SELECT 'patients', to_jsonb(t) FROM ${name}_stage.patients t UNION ALL SELECT 'devices', to_jsonb(t) FROM ${name}_stage.devices t
	UNION ALL SELECT 'studies', to_jsonb(t) FROM ${name}_stage.studies t UNION ALL SELECT 'series', to_jsonb(t) FROM ${name}_stage.series t
	UNION ALL SELECT 'images', to_jsonb(t) FROM ${name}_stage.images t UNION ALL SELECT 'compressed_images', to_jsonb(t) FROM ${name}_stage.compressed_images t
	UNION ALL SELECT 'patient_ids', to_jsonb(t) FROM ${name}_stage.patient_ids t UNION ALL SELECT 'latest', to_jsonb(t) FROM $name.latest t
) t (name, value), jsonb_each_text(t.value) v
WHERE v.key <> 'sha256' AND (v.value ~ '^(2\\.25\\.\\d+|[0-9a-f]{64}|DEID-.*|\\d{4}-\\d\\d-\\d\\d)\$' OR v.value ~ '^compressed_images/')
SQL
	{
		my ($column, $value) = split /\|/, $line;
		$values{$column}{$value} = 1;
	}
	return \%values;
}

# What does not depend on the key: how much there is of each thing, and how much belongs to it.
sub shape
{
	my ($name) = @_;

	return $cluster->query(<<"SQL");
SELECT p.patient_sex, (SELECT count(*) FROM ${name}_stage.studies s WHERE s.patient_key = p.patient_key),
	(SELECT count(*) FROM ${name}_stage.studies s JOIN ${name}_stage.series r USING (study_instance_uid) JOIN ${name}_stage.images i USING (series_key) WHERE s.patient_key = p.patient_key),
	(SELECT count(DISTINCT r.device_key) FROM ${name}_stage.studies s JOIN ${name}_stage.series r USING (study_instance_uid) JOIN ${name}_stage.devices USING (device_key) WHERE s.patient_key = p.patient_key),
	(SELECT sum(c.bytes) FROM ${name}_processed.images i JOIN ${name}_stage.compressed_images c USING (sop_instance_uid) WHERE i.patient_key = p.patient_key),
	(SELECT count(DISTINCT k.patient_key) FROM ${name}_stage.patient_ids k WHERE k.person_key = (SELECT x.person_key FROM ${name}_stage.patient_ids x WHERE x.patient_key = p.patient_key LIMIT 1)),
	p.last_seen - p.first_seen
FROM ${name}_processed.patients p
ORDER BY 1, 2, 3, 4, 5, 6, 7
SQL
}

sub digests { return join "\n", sort map { s/^\S+ //r } split /\n/, stage_files($_[0]) }

$cluster->query("CREATE EXTENSION dicom_fdw; CREATE SERVER files FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/raw/')");
create('kept', "$dir/kept");
run_pipeline($cluster, 'kept');
my ($old, $old_shape, $old_failures, $old_digests) = (pseudonyms('kept'), shape('kept'), open_failures($cluster, 'kept'), digests("$dir/kept"));
my %old_files = map { s/ .*//r => 1 } split /\n/, stage_files("$dir/kept");
cmp_ok(scalar keys %$old, '>', 15, 'there are pseudonyms in many columns');
cmp_ok(scalar keys %old_files, '>=', 9, 'and pictures');
like($old_failures, qr/quarantined.*undecodable.*stage\|conflict.*stage\|duplicate.*incomplete.*unreadable/s, 'and things that fail, for many reasons');

# --- From one key to the next

is($cluster->query("SELECT dicom.rotate_epoch('kept')"), '2', 'a rotation begins');
my ($out, $err) = $cluster->psql("SELECT dicom.rotate_epoch('kept')");
like($err, qr/ERROR:  55006: .*on its way to epoch 2.*HINT/s, 'one at a time');
is($cluster->query('SELECT reason FROM dicom.due()'), 'asked for', 'the worker is to go on with it');
is_deeply(pseudonyms('kept'), $old, 'nothing has changed so far');
run_pipeline($cluster, 'kept');
my $new = pseudonyms('kept');
is_deeply([ sort keys %$new ], [ sort keys %$old ], 'afterwards the same columns have pseudonyms');
is(join(' ', grep { my $column = $_; grep { $old->{$column}{$_} } keys %{ $new->{$column} } } sort keys %$new), '', 'and in each every one is another');
is(shape('kept'), $old_shape, 'all that belonged together does');
is(open_failures($cluster, 'kept'), $old_failures, 'what failed fails');
is(digests("$dir/kept"), $old_digests, 'the pictures are the same');
is(join(' ', grep { $old_files{$_} } map { s/ .*//r } split /\n/, stage_files("$dir/kept")), '', 'under other names');
is($cluster->query(<<'SQL'), '0|0|0|0|0|0', 'nothing of the old key is left');
SELECT (SELECT count(*) FROM kept_stage_private.images WHERE deid_epoch <> 2), (SELECT count(*) FROM kept_stage_private.patients_of_day WHERE deid_epoch <> 2),
	(SELECT count(*) FROM kept_stage_private.picture_objects WHERE deid_epoch <> 2), (SELECT count(*) FROM kept_stage_private.picture_garbage),
	(SELECT count(*) FROM dicom.layer_day WHERE pipeline = 'kept' AND epoch <> 2), (SELECT cardinality(old_epochs) + coalesce(next_epoch, 0) FROM dicom.pipeline WHERE name = 'kept')
SQL
create('anew', "$dir/anew");
run_pipeline($cluster, 'anew');
is(difference(state_of('anew', "$dir/anew") =~ s/anew_/kept_/gr, state_of('kept', "$dir/kept")), '', 'all is as under a key that has always been');
$cluster->query("DROP MATERIALIZED VIEW anew.latest; SELECT dicom.drop_pipeline('anew', drop_data => true); DROP SCHEMA anew CASCADE; DROP SERVER anew_stage CASCADE");

# --- Cut short, while files change

$old = pseudonyms('kept');
$old_shape = shape('kept');
$cluster->query("SELECT dicom.rotate_epoch('kept')");
# The pictures of the new key are not written before this lock is given back.
my $blocker = $cluster->start_psql(<<'SQL');
BEGIN;
LOCK TABLE kept_stage_private.picture_frames IN SHARE MODE;
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'cancelled') LOOP PERFORM pg_sleep(0.02); END LOOP; END $$;
SQL
wait_until(sub { $cluster->query("SELECT count(*) FROM pg_locks WHERE relation = 'kept_stage_private.picture_frames'::regclass AND mode = 'ShareLock'") eq '1' });
my $session = $cluster->start_psql("CALL dicom.run('kept')");
my $waiting = wait_until(sub { $cluster->query("SELECT pid FROM pg_locks WHERE relation = 'kept_stage_private.picture_frames'::regclass AND NOT granted") });
ok($waiting, 'a rotation is in the middle of its work');
cmp_ok($cluster->query('SELECT count(*) FROM kept_stage_private.images WHERE deid_epoch = 3'), '>', 5, 'with rows under the next key');
$cluster->query("SELECT pg_terminate_backend($waiting)");
$cluster->finish_psql($session);
$cluster->query('CREATE TABLE cancelled ()');
$cluster->finish_psql($blocker);
is_deeply(pseudonyms('kept'), $old, 'readers see those of the old one');
is(shape('kept'), $old_shape, 'and all that belongs together');
put(30, study => 2, series => 3, day => '20200215', patient => 'P2');
put(6, study => 2, series => 3, day => '20200215', patient => 'P2', pixels => "\x01\x02\x03\x04");
unlink "$dir/raw/3";
put('broken', image => 40, study => 4, series => 6, day => '20200401', patient => 'P4');
run_pipeline($cluster, 'kept');
is($cluster->query("SELECT epoch, next_epoch IS NULL, old_epochs = '{}' FROM dicom.pipeline"), '3|t|t', 'the next run comes to the end of it');
create('anew', "$dir/anew3");
run_pipeline($cluster, 'anew');
is(difference(state_of('anew', "$dir/anew3") =~ s/anew_/kept_/gr, state_of('kept', "$dir/kept")), '', 'and knows what has changed meanwhile');

# --- The end of the keys

($out, $err) = $cluster->psql("SELECT dicom.rotate_epoch('kept')");
like($err, qr/ERROR:  \w+: .*epoch/, 'without a further key there is no rotation');
is($cluster->query("SELECT next_epoch IS NULL FROM dicom.pipeline WHERE name = 'kept'"), 't', 'and none has begun');
is(run_pipeline($cluster, 'kept'), 'done', 'runs go on');

done_testing();
