# Promise: tables that users' queries make are refreshed day by day, and no day more, as soon as what they are made from is; views and
# materialized views come along; a check stops a day, which keeps its old rows; what cannot be a layer is refused with a reason and a hint.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());
mkdir "$dir/raw" or die;

sub put
{
	my ($file, %change) = @_;

	return write_image("$dir/raw/$file", study => 1, series => 1, image => $file, day => '20200101', patient => 'P1', %change);
}

put(1);
put(2, image => 2, '00080060' => [ 'CS', 'MR' ], series => 2);
put(3, day => '20200102', study => 2, series => 3);
put(4, day => undef, study => 3, series => 4);
put(5, day => '20200103', study => 4, series => 5, patient => 'P2');
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
SELECT dicom.create_pipeline('hospital', raw => '$dir/raw', stage => '$dir/stage');
CREATE SCHEMA mine;
END

# --- What is refused

sub refused
{
	my ($arguments, $state, $message, $hint, $what) = @_;
	my ($out, $err, $code) = $cluster->psql("SELECT dicom.create_layer($arguments)");

	isnt($code, 0, "$what is refused");
	like($err, qr/ERROR:  $state: .*$message/, "... with a reason");
	like($err, qr/HINT:  .*$hint/, '... and a hint');
	return;
}

refused("'mine.a', 'SELECT 1 AS one, current_date AS study_date', ARRAY['one']", '42P17', 'reads no layer', 'dicom_stage\.images', 'a query over nothing');
refused("'mine.a', 'SELECT * FROM dicom_stage.images'", '22004', 'needs a key', 'key =>', 'a layer without a key');
refused("'mine.a', 'SELECT * FROM dicom_stage.images', ARRAY['nothing']", '42703', 'no column of this name', 'It gives', 'a key that the query does not give');
refused("'mine.a', 'SELECT sop_instance_uid FROM dicom_stage.images', ARRAY['sop_instance_uid']", '42703', 'no column of this name', 'It gives', 'a query without a day');
refused("'mine.a', 'SELECT sop_instance_uid, content_date AS study_date FROM dicom_stage.images', ARRAY['sop_instance_uid']", '42P10', 'not the day of any layer', 'day column',
	'a day that no parent has');
refused("'mine.a', 'SELECT sop_instance_uid, date_trunc(''month'', study_date)::date AS month FROM dicom_stage.images', ARRAY['sop_instance_uid'], 'month'", '42P10',
	'not the day of any layer', 'day column', 'a day that is computed');
refused("'mine.a', 'SELECT sop_instance_uid, study_date AS deid_day FROM dicom_stage.images', ARRAY['sop_instance_uid'], 'deid_day'", '42939', 'own', 'other names',
	'a column with a name of the layer');
refused("'a', 'SELECT * FROM dicom_stage.images', ARRAY['sop_instance_uid']", '42602', 'needs a schema', 'instance', 'a name without a schema');
refused("'mine.b'", '42P01', 'no view', 'query', 'a view that is not there');
refused("'dicom_processed.images', 'SELECT * FROM dicom_stage.images', ARRAY['sop_instance_uid']", '42P07', 'exists', 'drop_layer', 'a layer that is there');
my ($out, $err) = $cluster->psql("SELECT dicom.create_layer('mine.a', 'SELECT sop_instance_uid, study_date FROM dicom_stage.imagse', ARRAY['sop_instance_uid'])");
like($err, qr/ERROR:  42P01: .*imagse/, 'a typing error in the query is the query\'s error');
is($cluster->query("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'mine%'"), '0', 'and nothing of it stays');

# --- Tables, refreshed by day

$cluster->query(<<'END');
SET search_path = mine, dicom_stage;
SELECT dicom.create_layer('mine.daily', $$
	SELECT i.study_date, s.modality, count(*) AS images, count(DISTINCT i.patient_key) AS patients
	FROM images i JOIN series s USING (series_key)
	GROUP BY i.study_date, s.modality;
$$, key => ARRAY['study_date', 'modality'], comment => 'images a day');
CREATE VIEW named AS SELECT study_date AS on_day, modality AS kind, images FROM daily;
SELECT dicom.create_layer('mine.monthly', 'SELECT n.on_day, sum(n.images) AS images FROM mine.named n GROUP BY n.on_day', ARRAY['on_day'], 'on_day');
SELECT dicom.create_layer('mine.sexes', 'SELECT i.sop_instance_uid, i.study_date, p.patient_sex FROM dicom_stage.images i JOIN dicom_stage.patients p USING (patient_key)',
	ARRAY['sop_instance_uid']);
CREATE MATERIALIZED VIEW total AS SELECT 1 AS one, sum(images) AS images FROM monthly;
CREATE UNIQUE INDEX ON total (one);
SELECT dicom.create_layer('mine.total');
END
is($cluster->query("SELECT layer, parent, gives_day FROM dicom.layer_parent WHERE layer LIKE 'mine.%' ORDER BY 1, 2"), <<'END' =~ s/\n$//r, 'parents are read from the queries, through views');
mine.daily|dicom_stage.images|t
mine.daily|dicom_stage.series|f
mine.monthly|mine.daily|t
mine.sexes|dicom_stage.images|t
mine.sexes|dicom_stage.patients|f
mine.total|mine.monthly|f
END
run_pipeline($cluster, 'hospital');
is($cluster->query('SELECT images, count(*) FROM mine.daily GROUP BY 1 ORDER BY 1'), '1|5', 'a layer has its rows');
is($cluster->query('SELECT count(*) FROM mine.daily WHERE study_date IS NULL'), '1', 'those of the unknown day too');
is($cluster->query('SELECT images FROM mine.total'), '5', 'and the materialized view over it');
is($cluster->query("SELECT count(*) FROM dicom.days WHERE layer = 'mine.daily' AND state = 'fresh'"), $cluster->query('SELECT count(DISTINCT coalesce(study_date, \'-infinity\')) FROM mine.daily'),
	'dicom.days has a row per day');
is($cluster->query("SELECT obj_description('mine.daily'::regclass), count(*) FROM pg_index WHERE indrelid = 'mine_private.daily'::regclass AND indisprimary"), 'images a day|1',
	'it is commented and has a primary key');

# One more image of one day.
my $before = $cluster->query("SELECT day, refreshed FROM dicom.days WHERE layer = 'mine.daily' ORDER BY 1");
put(6, day => '20200102', study => 2, series => 3);
run_pipeline($cluster, 'hospital');
my $after = $cluster->query("SELECT day, refreshed FROM dicom.days WHERE layer = 'mine.daily' ORDER BY 1");
my %before = map { split /\|/ } split /\n/, $before;
my %after = map { split /\|/ } split /\n/, $after;
is((grep { $before{$_} ne $after{$_} } keys %after), 1, 'one more file refreshes one day');
is($cluster->query("SELECT sum(images) FROM mine.daily"), '6', 'which has it');
is($cluster->query('SELECT images FROM mine.total'), '6', 'and so has what is made from it');
is($cluster->query("SELECT inserted, updated, deleted, row_count FROM dicom.days d WHERE layer = 'mine.daily' ORDER BY refreshed DESC LIMIT 1"), '0|1|0|1', 'the day says what was written');

# A patient changes: every day that one was seen on follows, for a layer that reads it.
put(5, day => '20200103', study => 4, series => 5, patient => 'P2', '00100040' => [ 'CS', 'F' ]);
put(7, day => '20200107', study => 7, series => 7, patient => 'P2', '00100040' => [ 'CS', 'M' ]);
run_pipeline($cluster, 'hospital');
is($cluster->query("SELECT patient_sex, count(*) FROM mine.sexes WHERE patient_sex IS NOT NULL GROUP BY 1"), 'M|2', 'a patient\'s row is as on the last day, on all days of the layer');
unlink "$dir/raw/7";
run_pipeline($cluster, 'hospital');
is($cluster->query("SELECT patient_sex, count(*) FROM mine.sexes WHERE patient_sex IS NOT NULL GROUP BY 1"), 'F|1', 'also when that day goes');

# A change that a layer does not show.
$cluster->query("SELECT dicom.backfill('hospital', '2020-01-01', '2020-01-01')");
my $written = $cluster->query("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname IN ('mine_private', 'dicom_processed_private', 'dicom_stage_private')");
run_pipeline($cluster, 'hospital');
wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") eq '1' });
is($cluster->query("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname IN ('mine_private', 'dicom_processed_private', 'dicom_stage_private')"),
	$written, 'a day that is computed anew and is the same is not written');

# --- Keys that are none, and moves

$cluster->query(q{SELECT dicom.create_layer('mine.wrong', 'SELECT modality, i.study_date FROM dicom_stage.images i JOIN dicom_stage.series USING (series_key)', ARRAY['modality'])});
is(run_pipeline($cluster, 'hospital', may_fail => 1) =~ /^failed processed: /, 1, 'a key that is not one makes the step fail');
cmp_ok($cluster->query("SELECT count(*) FROM dicom.days WHERE layer = 'mine.wrong' AND state = 'failed' AND error_code = '23505'"), '>', 0, 'and its days, which say so');
is($cluster->query("SELECT count(*) FROM dicom.days WHERE layer <> 'mine.wrong' AND state <> 'fresh'"), '0', 'the others are well');
$cluster->query("SELECT dicom.drop_layer('mine.wrong')");
put(1, day => '20200111');
run_pipeline($cluster, 'hospital');
is($cluster->query('SELECT sum(images) FROM mine.daily'), '6', 'an image that moves to another day is there once');
is(run_pipeline($cluster, 'hospital'), 'done', 'and all is well again');

# --- Checks

$cluster->query(<<'END');
SELECT dicom.add_check('dicom_processed.images', 'no ultrasound', $$SELECT i.study_date FROM dicom_processed.images i JOIN dicom_stage.series s USING (series_key) WHERE s.modality = 'US'$$);
SELECT dicom.add_check('mine.daily', 'few', 'SELECT * FROM mine.daily WHERE images > 1', 'warn');
SELECT dicom.add_check('dicom_stage.images', 'square', 'SELECT 1 FROM dicom_stage.images WHERE rows <> columns AND study_date IS NOT DISTINCT FROM $1');
END
($out, $err) = $cluster->psql("SELECT dicom.add_check('mine.daily', 'bad', 'SELECT * FROM daily')");
like($err, qr/ERROR:  42P01.*HINT:  Write schemas out/s, 'names in a check need their schemas');
($out, $err) = $cluster->psql("SELECT dicom.add_check('mine.named', 'bad', 'SELECT 1')");
like($err, qr/ERROR:  42P01.*no layer/s, 'a check needs a layer');
put(8, day => '20200108', study => 8, series => 8);
put(11, day => '20200102', study => 2, series => 3);
put(9, day => '20200108', study => 8, series => 9, '00080060' => [ 'CS', 'US' ]);
put(10, day => '20200110', study => 10, series => 10, '00280011' => [ 'US', pack 'v', 1 ]);
is(run_pipeline($cluster, 'hospital', may_fail => 1) =~ /^failed .*check/, 1, 'a check that stops a day makes the run fail');
is($cluster->query("SELECT layer, error_code FROM dicom.days WHERE state = 'stopped' ORDER BY 1"), "dicom_processed.images|DC001\ndicom_stage|DC001", 'the days are shown as stopped');
is($cluster->query("SELECT reason, count(*) FROM dicom.failures WHERE resolved IS NULL AND object_key IS NULL GROUP BY 1"), 'stopped|2', 'and are among the failures');
is($cluster->query("SELECT (SELECT count(*) FROM dicom_stage.images), (SELECT count(*) FROM dicom_processed.images)"), '9|7', 'they keep the rows they had');
is($cluster->query("SELECT warnings FROM dicom.days WHERE layer = 'mine.daily' AND warnings IS NOT NULL LIMIT 1"), '{"check \"few\" found 1 rows"}', 'a check that warns is noted with the day');
put(9, day => '20200108', study => 8, series => 9);
put(10, day => '20200110', study => 10, series => 10);
run_pipeline($cluster, 'hospital');
is($cluster->query("SELECT (SELECT count(*) FROM dicom_stage.images), (SELECT count(*) FROM dicom_processed.images)"), '10|10', 'when the files are right, the days are');
is($cluster->query("SELECT count(*) FROM dicom.failures WHERE resolved IS NULL AND object_key IS NULL"), '0', 'and the failures are resolved');
is($cluster->query("SELECT count(*) FROM dicom.days WHERE state <> 'fresh'"), '0', 'nothing else waits');

# --- Circles, and the end

($out, $err) = $cluster->psql(<<'END');
CREATE VIEW mine.circle AS SELECT on_day, images FROM mine.monthly;
SELECT dicom.create_layer('mine.circle', day_column => 'on_day');
SELECT dicom.create_layer('mine.last', 'SELECT on_day, images FROM mine.circle', ARRAY['on_day'], 'on_day');
CREATE OR REPLACE VIEW mine.circle AS SELECT on_day, images FROM mine.last;
SELECT dicom.refresh_lineage('hospital');
END
like($err, qr/ERROR:  42P19: .*circle\nDETAIL:  Layers: mine\.circle, mine\.last\n/, 'layers that read each other are told by name');
$cluster->query("CREATE OR REPLACE VIEW mine.circle AS SELECT on_day, images FROM mine.monthly");
run_pipeline($cluster, 'hospital');
is($cluster->query('SELECT sum(images) FROM mine.last'), '10', 'days pass through a view that is a layer');
($out, $err) = $cluster->psql("SELECT dicom.drop_layer('mine.daily')");
like($err, qr/ERROR:  2BP01.*DETAIL:  Layers: mine\.monthly.*HINT/s, 'a layer that others are made from is not dropped');
$cluster->query("SELECT dicom.drop_layer('mine.last'); SELECT dicom.drop_layer('mine.circle')");
is($cluster->query("SELECT to_regclass('mine.last') IS NULL, to_regclass('mine.circle') IS NOT NULL"), 't|t', 'a table goes, a view stays');
my $mermaid = $cluster->query("SELECT dicom.lineage_mermaid('hospital')");
like($mermaid, qr/^flowchart LR$/m, 'lineage as Mermaid');
like($mermaid, qr/\["mine\.total"\]/, 'knows the layers');
like($cluster->query("SELECT dicom.lineage_dot('hospital')"), qr/"dicom_stage\.images" -> "mine\.daily" \[label = "processed"\];/, 'and as DOT');
is($cluster->query("SELECT count(*) > 20, bool_and(value IS NOT NULL) FROM dicom.metrics"), 't|t', 'there are metrics');
like($cluster->query('SELECT dicom.metrics_text()'), qr/^dicom_days\{layer="mine\.daily",pipeline="hospital",state="fresh"\} \d+$/m, 'as Prometheus reads them');

done_testing();
