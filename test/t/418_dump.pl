# Promise: a dump holds pipelines with all that they have made: after a restore the tables, days, failures, layers, checks and rules are there, and are
# read as before; the next run reads the files anew, for the catalog is in no dump, and changes no row and no picture; what has changed since the
# dump is refreshed; a dump holds no key, and no value of the catalog.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());
my $bin     = DicomTest::bin();
my @address = ('-h', $cluster->{dir}, '-p', $cluster->{port}, '-U', 'postgres');

sub put
{
	my ($file, %change) = @_;

	return write_image("$dir/raw/$file", study => 1, series => 1, image => $file, day => '20200101', patient => 'Zyxwvutova', '00100010' => [ 'PN', 'Quirina^Egberta' ], %change);
}

put($_) for 1 .. 3;
put($_, study => 2, series => 2, day => '20200215', patient => 'P2') for 4 .. 6;
put(7, study => 3, series => 3, day => undef, patient => 'P3');
put('copy', image => 1);
put('screen', image => 20, '00080060' => [ 'CS', 'US' ]);
write_text("$dir/raw/broken", 'this is no DICOM file' x 20);
$cluster->query('CREATE ROLE engineer LOGIN SUPERUSER; CREATE ROLE reader LOGIN; CREATE DATABASE "from" OWNER engineer');
$cluster->query(<<"SQL", db => 'from', user => 'engineer');
CREATE EXTENSION dicom_fdw;
SELECT dicom.create_pipeline('hospital', raw => '$dir/raw', stage => '$dir/stage', partition_by => 'month', options => '{"export": "processed", "quality": 80}');
CREATE SCHEMA mine;
SELECT dicom.create_layer('mine.daily', 'SELECT study_date, count(*) AS images FROM dicom_processed.images GROUP BY 1', ARRAY['study_date']);
SELECT dicom.create_layer('mine.monthly', 'SELECT d.study_date, d.images FROM mine.daily d', ARRAY['study_date']);
CREATE MATERIALIZED VIEW mine.total AS SELECT 1 AS one, sum(images) AS images FROM mine.daily;
CREATE UNIQUE INDEX ON mine.total (one);
SELECT dicom.create_layer('mine.total');
SELECT dicom.add_check('mine.daily', 'many', 'SELECT 1 FROM mine.daily WHERE study_date = \$1 AND images > 100', 'warn');
UPDATE dicom.anonymization_mapping SET target_function = 'remove' WHERE profile = 'research' AND table_name = 'series' AND column_name = 'modality';
CALL dicom.run('hospital');
SELECT dicom.rotate_epoch('hospital');
CALL dicom.run('hospital');
SELECT dicom.create_pipeline('copying', provider => '$dir/raw', raw => '$dir/copies', stage => '$dir/others', raw_schema => 'c_raw', stage_schema => 'c_stage', processed_schema => 'c_processed');
CALL dicom.run('copying');
GRANT USAGE ON SCHEMA dicom_processed TO reader;
GRANT SELECT ON dicom_processed.images TO reader;
SQL

# All of a database that a pipeline is, and has made.
my $everything = <<'SQL';
SELECT 'pipeline', name, owner, provider, raw, stage, epoch, next_epoch, old_epochs, paused, options, rules FROM dicom.pipeline ORDER BY 2;
SELECT 'layer', pipeline, name, kind, key, day_column, query, place FROM dicom.layer ORDER BY pipeline, name;
SELECT 'parent', * FROM dicom.layer_parent ORDER BY 3, 4;
SELECT 'check', pipeline, layer, name, severity, query FROM dicom.layer_check;
SELECT 'day', pipeline, layer, day, state, epoch, row_count FROM dicom.days ORDER BY pipeline, layer, day;
SELECT 'failure', pipeline, step, object_key, layer, day, reason, error_code, message, count, resolved IS NULL FROM dicom.failures ORDER BY 2, 3, 4, 5, 6;
SELECT 'run', run, status, reason FROM dicom.runs ORDER BY run;
SELECT 'export', count(*), sum(bytes) FROM dicom.export_file;
SELECT 'epoch', epoch, key_id FROM dicom.epoch ORDER BY 2;
SELECT 'daily', * FROM mine.daily ORDER BY 2;
SELECT 'total', * FROM mine.total;
SQL

# As pipeline_state() has it, of another database.
sub state_of
{
	my ($db, @of) = @_;

	return pipeline_state(bless({ %$cluster, db => $db }, 'PipelineTestAt'), @of ? @of : 'hospital');
}
{
	package PipelineTestAt;
	our @ISA = ('DicomTest::Cluster');
	sub psql { my ($self, $sql, %options) = @_; return $self->SUPER::psql($sql, db => $self->{db}, %options) }
}

sub written
{
	my ($db) = @_;

	wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE datname = '$db'") eq '0' });
	return $cluster->query("SELECT coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_upd), 0), coalesce(sum(n_tup_del), 0) FROM pg_stat_user_tables
		WHERE schemaname ~ '^(dicom|mine).*_private\$' AND relname !~ '^(picture_)'", db => $db);
}

# Of copies, which are made again, another etag.
my @copying = ('copying', stage => 'c_stage', processed => 'c_processed');
sub without_etags { return $_[0] =~ s/,[0-9a-f]+-[0-9a-f]+-[0-9a-f]{16},/,etag,/gr }

my ($shown, $state, $copied, $files) = ($cluster->query($everything, db => 'from'), state_of('from'), without_etags(state_of('from', @copying)), stage_files("$dir/stage") . stage_files("$dir/others") . stage_files("$dir/copies"));
like($shown, qr/^day\|.*^failure\|.*^export\|[1-9].*^epoch\|2/ms, 'there is something to dump');

for my $format ('plain', 'custom')
{
	my $to = "to_$format";
	my (undef, $err, $code) = run_command("$bin/pg_dump", @address, '-F', substr($format, 0, 1), '-f', "$dir/$format", 'from');
	is("$code$err", '0', "$format: dumped");
	$cluster->query("CREATE DATABASE $to");
	(undef, $err, $code) = $format eq 'plain'
		? run_command("$bin/psql", @address, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $to, '-f', "$dir/$format")
		: run_command("$bin/pg_restore", @address, '-e', '-d', $to, "$dir/$format");
	is("$code$err", '0', "$format: restored");
	is(difference($shown, $cluster->query($everything, db => $to)), '', "$format: the pipeline is what it was");
	is(difference($state, state_of($to)), '', "$format: so is all that it has made");
	is($cluster->query('SELECT count(*) FROM dicom_processed.images', db => $to, user => 'reader'), $cluster->query('SELECT count(*) FROM dicom_processed.images', db => 'from'), "$format: who could read it reads it");
	is($cluster->query('SELECT count(*) FROM dicom.object', db => $to), '0', "$format: the catalog is empty");

	# The next run
	my $before = written($to);
	my $last_run = $cluster->query('SELECT max(run) FROM dicom.runs', db => $to);
	$cluster->query("CALL dicom.run('hospital')", db => $to, user => 'engineer');
	is($cluster->query("SELECT status, error FROM dicom.runs WHERE run > $last_run", db => $to), 'done|', "$format: the next run goes on");
	is($cluster->query("SELECT inserted FROM dicom.run_steps WHERE run > $last_run AND step = 'sync'", db => $to), '10', "$format: it reads all files anew");
	is(written($to), $before, "$format: and changes no row");
	is(difference($state, state_of($to)), '', "$format: all is as it was");
	$cluster->query("CALL dicom.run('copying')", db => $to, user => 'engineer');
	is($cluster->query("SELECT inserted FROM dicom.run_steps WHERE run = (SELECT max(run) FROM dicom.runs) AND step = 'copy'", db => $to), '10', "$format: another pipeline copies all files again");
	is(difference($copied, without_etags(state_of($to, @copying))), '', "$format: all is as it was");
	is(difference($files, stage_files("$dir/stage") . stage_files("$dir/others") . stage_files("$dir/copies")), '', "$format: no picture, no exported file and no copy is another one");
	is($cluster->query("SELECT count(*) FROM dicom.days WHERE state <> 'fresh'", db => $to), '0', "$format: every day is fresh");
	$cluster->query("CALL dicom.run('hospital')", db => $to, user => 'engineer');
	is($cluster->query("SELECT string_agg(step || ' ' || done, ', ' ORDER BY step) FROM dicom.run_steps WHERE run = (SELECT max(run) FROM dicom.runs) AND step IN ('stage', 'processed', 'export', 'compress')", db => $to),
		'compress 0, export 0, processed 0, stage 0', "$format: the one after that has nothing to do");
}

my $dump = read_text("$dir/plain");
like($dump, qr/dicom_stage_private/, 'a dump has the tables');
unlike($dump, qr/\Q$_\E/, 'and no key') for map { /^\d+ (\w+)$/ } split /\n/, read_text(key_file());
unlike($dump, qr/Quirina|Zyxwvutova/, 'and no value of a patient');

# --- What changed after the dump

put(2, '00280030' => [ 'DS', '0.5\\0.5' ]);
put(8, study => 2, series => 2, day => '20200216', patient => 'P2');
unlink "$dir/raw/7";
$cluster->query($_) for 'DROP DATABASE to_plain', 'CREATE DATABASE to_plain';
my (undef, $err, $code) = run_command("$bin/psql", @address, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'to_plain', '-f', "$dir/plain");
is("$code$err", '0', 'a dump of yesterday is restored');
$cluster->query("CALL dicom.run('hospital')", db => 'to_plain', user => 'engineer');
$cluster->query("CALL dicom.run('hospital')", db => 'from', user => 'engineer');
is(difference(state_of('from'), state_of('to_plain')), '', 'one run later it is what the database is that has been there all the time');
is($cluster->query('SELECT count(*) FROM dicom_processed.images', db => 'to_plain'), '8', 'with what has come, and without what has gone');

# --- Another key

write_text("$dir/other", "2 " . 'ab' x 32 . "\n");
chmod 0600, "$dir/other";
$cluster->query("ALTER SYSTEM SET dicom_fdw.key_file = '$dir/other'");
$cluster->query('SELECT pg_reload_conf()');
wait_until(sub { $cluster->query('SHOW dicom_fdw.key_file') eq "$dir/other" });
put(3, '00280030' => [ 'DS', '0.5\\0.5' ]);
$cluster->psql("CALL dicom.run('hospital')", db => 'to_plain', user => 'engineer');
like($cluster->query('SELECT error FROM dicom.runs ORDER BY run DESC LIMIT 1', db => 'to_plain'), qr/the key of epoch 2 is not the one that was used before/, 'where the key is another one, a run says so');
my $rows = 'SELECT md5(string_agg(t::text, \',\' ORDER BY t::text)) FROM dicom_processed.images t';
is($cluster->query($rows, db => 'to_plain'), $cluster->query($rows, db => 'from'), 'and changes nothing');

done_testing();
