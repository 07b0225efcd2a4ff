# Promise: a pipeline writes its tables as Parquet, a file per day: what DuckDB reads there is what the database has, after every run and whatever
# changed. A file is written when its rows have changed and not otherwise. Columns do not go, and raw data go nowhere, unless allowed.
use strict;
use warnings;

use DicomTest;
use JSON::PP;
use PipelineTest;
use Test::More;

my $engines = DicomTest::work() . '/engines';
my ($engine_out, $engine_err, $no_engine) = run_command('bash', top() . '/test/parquet/engines.sh', $engines);
diag("DuckDB cannot be had: $engine_err") if $no_engine;

my $cluster = cluster(conf => key_conf() . "timezone = 'UTC'\n");
my $dir     = work_dir();
my $stage   = work_dir();
my $cold    = work_dir();
my $image   = 0;

sub image
{
	my ($file, %value) = @_;

	write_image("$dir/$file", study => 1, series => 1, image => ++$image, patient => 'P1', %value);
	return;
}

sub manifest { return decode_json(read_text("$stage/$_[0]/_manifest.json")); }

sub files { return join "\n", map { s{^\Q$stage\E/}{}r } sort split /\n/, (run_command('find', "$stage/$_[0]", '-name', '*.parquet'))[0]; }

sub duckdb
{
	my ($out, $err, $code) = run_command('node', "$engines/duckdb.mjs", @_);

	diag($err) if $code;
	chomp $out;
	return $out;
}

# Every exported table of a schema, as DuckDB reads it, against the database.
sub compare
{
	my ($promise) = @_;

	for my $table (qw(stage/patients stage/devices stage/studies stage/series stage/images stage/compressed_images processed/patients processed/studies processed/series processed/images))
	{
		my $relation = 'dicom_' . ($table =~ s{/}{.}r);
		my $count    = $cluster->query("SELECT count(*) FROM $relation");
		my $columns  = $cluster->query("SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '$relation'::regclass AND attnum > 0
			AND atttypid IN ('text'::regtype, 'integer'::regtype, 'bigint'::regtype, 'date'::regtype, 'boolean'::regtype)");
		my $truth = $cluster->query("SELECT json_build_array($columns) FROM $relation ORDER BY 1::text COLLATE \"C\"");
		next if $no_engine;
		my $read = $count ? duckdb("SELECT to_json([" . join(', ', map { "$_\::VARCHAR" } split /, /, $columns) . "])::VARCHAR AS j FROM read_parquet('$stage/$table/**/*.parquet', hive_partitioning = true, union_by_name = true)") : '';
		my @read = map { decode_json($_)->[0] } split /\n/, $read;
		my $flat = sub { join "\n", sort map { join '|', map { defined $_ ? (JSON::PP::is_bool($_) ? ($_ ? 'true' : 'false') : $_) : '' } @{ JSON::PP->new->decode($_) } } @_ };
		is($flat->(@read), $flat->(split /\n/, $truth), "$promise: $table");
		is(manifest($table)->{rows}, $count, "$promise: the manifest of $table counts its rows") if $count;
	}
	return;
}

image('a1', day => '20200101');
image('a2', day => '20200101');
image('b1', day => '20200102', study => 2, series => 2, patient => 'P2');
image('c1', day => '20200203', study => 3, series => 3);
image('u1', study => 4, series => 4);
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/');
CREATE SERVER cold FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$cold/');
SELECT dicom.create_pipeline('lake', raw => 'files', stage => '$stage', options => '{"export": "stage, processed"}');
END
run_pipeline($cluster, 'lake');
compare('at first');
my @days = split /\n/, files('stage/images');
is(scalar @days, 4, 'a file for each day');
is(scalar(grep { m{^stage/images/year=\d{4}/month=\d\d/day=\d\d/data\.parquet$} } @days), 3, 'in folders of year, month and day');
is(scalar(grep { m{^stage/images/year=__HIVE_DEFAULT_PARTITION__/month=__HIVE_DEFAULT_PARTITION__/day=__HIVE_DEFAULT_PARTITION__/data\.parquet$} } @days), 1, 'and one for the unknown day');
is(manifest('stage/images')->{partitions}, 4, 'the manifest names them');
is($cluster->query("SELECT state, count(*) FROM dicom.days WHERE layer = 'parquet dicom_stage.images' GROUP BY state"), 'fresh|4', 'dicom.days has them');
is($cluster->query("SELECT kind, target LIKE 'server %' FROM dicom.lineage WHERE source = 'dicom_processed.images'"), 'export|t', 'and dicom.lineage');

# --- nothing new: nothing written

my $before = stage_files($stage);
my %inode  = map { $_ => (stat "$stage/$_")[1] } @days;
$cluster->query("SELECT dicom.backfill('lake', '-infinity', 'infinity')");
run_pipeline($cluster, 'lake');
is(stage_files($stage), $before, 'days computed again with the same rows: the same files');
is(join(',', map { (stat "$stage/$_")[1] == $inode{$_} ? 'kept' : 'written' } @days), join(',', ('kept') x @days), 'and none written again');

# --- a changed day, a new one, one that vanishes

image('a3', day => '20200101');
image('d1', day => '20200304', study => 5, series => 5);
unlink "$dir/b1";
run_pipeline($cluster, 'lake');
compare('after changes');
is(scalar(split /\n/, files('stage/images')), 4, 'a day without images has no file');
is(scalar(grep { $inode{$_} && -e "$stage/$_" && (stat _)[1] != $inode{$_} } @days), 1, 'the changed day has another file, and only that one');
is($cluster->query("SELECT count(*) FROM dicom.export_file WHERE gone"), 0, 'nothing is left to be deleted');
my ($done) = $cluster->query("SELECT inserted > 0, updated > 0, deleted > 0, bytes > 0 FROM dicom.run_steps WHERE step = 'export' ORDER BY run DESC LIMIT 1");
is($done, 't|t|t|t', 'dicom.run_steps counts files');

# --- schemas

$cluster->query(<<'END');
SELECT dicom.create_layer('dicom_processed.small', 'SELECT sop_instance_uid, study_date, instance_number, 1::smallint AS n, ''x''::text AS t FROM dicom_stage.images', ARRAY['sop_instance_uid']);
END
run_pipeline($cluster, 'lake');
is($cluster->query("SELECT version, jsonb_array_length(columns) FROM dicom.schemas WHERE table_name = 'dicom_processed.small'"), '1|5', 'a new table is exported, its columns are noted');
sub small
{
	my ($columns) = @_;
	$cluster->query("SELECT dicom.drop_layer('dicom_processed.small'); SELECT dicom.create_layer('dicom_processed.small', 'SELECT sop_instance_uid, study_date, $columns FROM dicom_stage.images', ARRAY['sop_instance_uid'])");
	return;
}
small("instance_number, 1::bigint AS n, ''x''::text AS t, true AS b");
run_pipeline($cluster, 'lake');
is($cluster->query("SELECT max(version) FROM dicom.schemas WHERE table_name = 'dicom_processed.small'"), 2, 'a wider type and one column more are another version');
is($cluster->query("SELECT count(*), min(schema_version) FROM dicom.export_file WHERE table_name = 'dicom_processed.small'"), '4|2', 'of all files');
small("instance_number, 1::smallint AS n, true AS b");
like(run_pipeline($cluster, 'lake', may_fail => 1), qr/^failed export: readers .* column "n" was bigint and is smallint, column "t" is gone$/, 'a narrower type and a lost column are refused');
is($cluster->query("SELECT DISTINCT state, error_code FROM dicom.days WHERE layer = 'parquet dicom_processed.small'"), 'failed|42804', 'the days have failed');
is($cluster->query("SELECT count(*) FROM dicom.failures WHERE step = 'export' AND resolved IS NULL"), 4, 'dicom.failures has them');
is($cluster->query("SELECT DISTINCT schema_version FROM dicom.export_file WHERE table_name = 'dicom_processed.small'"), 2, 'the files are as they were');
$cluster->query(qq{SELECT dicom.alter_pipeline('lake', '{"export_allow_schema_change": true}'); SELECT dicom.retry_failed('lake')});
run_pipeline($cluster, 'lake');
is($cluster->query("SELECT DISTINCT schema_version FROM dicom.export_file WHERE table_name = 'dicom_processed.small'"), 3, 'unless allowed');
is($cluster->query("SELECT count(*) FROM dicom.failures WHERE step = 'export' AND resolved IS NULL"), 0, 'then nothing fails');

# --- raw

my ($out, $err) = $cluster->psql(q{SELECT dicom.alter_pipeline('lake', '{"export": "raw", "export_raw_to": "cold"}')});
like($err, qr/55000.*not marked for identified data.*HINT:.*identified/s, 'raw goes to no server that is not marked');
($out, $err) = $cluster->psql(q{SELECT dicom.alter_pipeline('lake', '{"export": "everything"}')});
like($err, qr/22023/, 'only what there is can be exported');
$cluster->query(q{SELECT dicom.alter_pipeline('lake', '{"export": "stage, processed, raw"}')});
like(run_pipeline($cluster, 'lake', may_fail => 1), qr/failed export: it is not said where raw/, 'nor does it go anywhere without being told where');
$cluster->query(q{ALTER SERVER cold OPTIONS (ADD identified 'true'); SELECT dicom.alter_pipeline('lake', '{"export_raw_to": "cold"}')});
run_pipeline($cluster, 'lake');
is((run_command('find', $cold, '-path', '*/raw/images/year=2020/month=01/day=01/data.parquet'))[0], "$cold/raw/images/year=2020/month=01/day=01/data.parquet\n", 'raw by the days of the files');
is($cluster->query("SELECT count(*) FROM dicom.read_parquet('cold', 'raw/images/year=2020/month=01/day=01/data.parquet') AS r (patient_id text, study_date date)"), 3, 'with their rows');
image('a4', day => '20200101');
run_pipeline($cluster, 'lake');
is($cluster->query("SELECT count(*) FROM dicom.read_parquet('cold', 'raw/images/year=2020/month=01/day=01/data.parquet') AS r (study_date date)"), 4, 'and those that come');
$cluster->query(q{ALTER SERVER cold OPTIONS (SET identified 'false')});
like(run_pipeline($cluster, 'lake', may_fail => 1), qr/not marked for identified data/, 'until the mark is taken off');
$cluster->query(q{SELECT dicom.alter_pipeline('lake', '{"export": "stage, processed"}')});

# --- other folders

($out, $err) = $cluster->psql(q{SELECT dicom.alter_pipeline('lake', '{"export_partition": "month"}')});
like($err, qr/55000.*stay where they are.*drop_export/s, 'files do not move by themselves');
cmp_ok($cluster->query(q{SELECT dicom.drop_export('lake')}), '>', 20, 'they are deleted on demand');
is(files('.'), '', 'all of them');
for my $bad ('year', 'a=b', 'x={day}', 'x={year}{day}', '../x={year}', 'x={year}/', 'x={decade}{year}')
{
	($out, $err) = $cluster->psql(qq{SELECT dicom.alter_pipeline('lake', '{"export_partition": "$bad"}')});
	like($err, qr/22023/, "'$bad' is no template");
}
$cluster->query(q{SELECT dicom.alter_pipeline('lake', '{"export_partition": "date={year}_{month}"}')});
run_pipeline($cluster, 'lake');
compare('by month');
like(files('stage/images'), qr{^stage/images/date=\d{4}_\d\d/data\.parquet$}m, 'folders of a template');

$cluster->query(q{SELECT dicom.drop_layer('dicom_processed.small')});
run_pipeline($cluster, 'lake');
like(files('processed/small'), qr/parquet/, 'files of a table that is dropped stay');
$cluster->query(q{SELECT dicom.drop_export('lake', 'dicom_processed.small')});
is(files('processed/small'), '', 'until they are deleted');
like(files('processed/images'), qr/parquet/, 'alone');

# --- another key

my $epoch = $cluster->query(q{SELECT dicom.rotate_epoch('lake')});
run_pipeline($cluster, 'lake') for 1 .. 2;
is($cluster->query("SELECT epoch FROM dicom.pipeline WHERE name = 'lake'"), $epoch, 'the key has changed');
compare('under another key');
is($cluster->query('SELECT DISTINCT epoch FROM dicom.export_file'), $epoch, 'no file of the old one is left');
is(manifest('stage/images')->{epoch}, $epoch, 'as the manifest says');

# --- two pipelines do not share a folder

($out, $err) = $cluster->psql(q{SELECT dicom.create_pipeline('other', raw => 'files', stage => 'lake_stage', stage_schema => 'o_stage', processed_schema => 'o_processed', options => '{"export": "stage"}')});
like(run_pipeline($cluster, 'other', may_fail => 1), qr/failed export: folder "stage\/\w+" of server "lake_stage" holds the tables of another pipeline/, 'a second pipeline does not write into the folders of the first');
done_testing();
