# Promise: a role that is no superuser, with the grants that docs/pipeline.md names, makes, runs, changes and drops its pipelines, and nothing of it is
# done with more rights than it has; another role sees none of them, can neither run nor change one, nor read what identifies patients, nor
# rows other than those that it was granted; a member of the owner can do what the owner can.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());
my ($grants) = read_text(top() . '/docs/pipeline.md') =~ /^## Who may make one.*?```sql\n(.*?)```/ms;
ok($grants, 'the documentation has the grants');
$grants =~ s/DATABASE imaging/DATABASE postgres/;
$cluster->query(<<"SQL");
CREATE EXTENSION dicom_fdw;
CREATE ROLE engineer LOGIN;
CREATE ROLE colleague LOGIN IN ROLE engineer;
CREATE ROLE other LOGIN;
CREATE ROLE reader LOGIN;
$grants
@{[ $grants =~ s/engineer/other/gr ]}
SQL

sub may
{
	my ($user, $promise, $sql, $expected) = @_;
	my ($out, $err, $code) = $cluster->psql($sql, user => $user);

	is("$err$code", '0', "$user: $promise");
	is($out, $expected, "$user: ... $expected") if defined $expected;
	return;
}

sub may_not
{
	my ($user, $promise, $sql, $error) = @_;
	my ($out, $err) = $cluster->psql($sql, user => $user);

	like($err, qr/ERROR:  $error/, "$user: $promise is refused");
	is($out, '', "$user: and gives nothing");
	return;
}

sub last_run { return $cluster->query("SELECT concat_ws(' ', status, error) FROM dicom.runs WHERE pipeline = 'hospital' ORDER BY run DESC LIMIT 1") }

write_image("$dir/provider/$_", study => $_ % 2, series => $_ % 2, image => $_, day => '2020010' . (1 + $_ % 2), patient => "Zyxwvutova $_") for 1 .. 4;
write_image("$dir/provider/screen", study => 1, series => 1, image => 9, day => '20200102', patient => 'Zyxwvutova 1', '00080060' => [ 'CS', 'US' ]);

# --- The owner

may('engineer', 'makes a pipeline', "SELECT dicom.create_pipeline('hospital', provider => '$dir/provider', raw => '$dir/raw', stage => '$dir/stage', partition_by => 'month', options => '{\"export\": \"stage, processed\"}')");
may('engineer', 'runs it', "CALL dicom.run('hospital')");
is(last_run(), 'done', 'with success');
may('engineer', 'sees what it has made', 'SELECT count(*), sum(pictures) FROM dicom_processed.images', '5|4');
may('engineer', 'and what failed', "SELECT step, reason, object_key FROM dicom.failures WHERE resolved IS NULL", 'compress|quarantined|screen');
may('engineer', 'makes layers and checks', <<'SQL');
CREATE SCHEMA mine;
SELECT dicom.create_layer('mine.daily', 'SELECT study_date, count(*) AS images FROM dicom_processed.images GROUP BY 1', ARRAY['study_date']);
SELECT dicom.add_check('mine.daily', 'few', 'SELECT 1 FROM mine.daily WHERE study_date = $1 AND images > 100');
CALL dicom.run('hospital');
SQL
may('engineer', 'which have rows', 'SELECT sum(images) FROM mine.daily', '5');
may('engineer', 'changes it', q{SELECT dicom.alter_pipeline('hospital', '{"quality": 50}'); CALL dicom.run('hospital')});
may('engineer', 'asks for days', "SELECT dicom.backfill('hospital', '2020-01-01', '2020-01-02'), dicom.restate('hospital', ARRAY['2020-01-01'::date]), dicom.retry_failed('hospital')", '2|1|0');
may('engineer', 'rotates the key', "SELECT dicom.rotate_epoch('hospital'); CALL dicom.run('hospital')", '2');
is(last_run(), 'done', 'with success');
may('engineer', 'and sees that all is fresh', "SELECT count(*) > 10, bool_and(state = 'fresh'), min(epoch) FROM dicom.days", 't|t|2');
is($cluster->query(<<'SQL'), 'engineer', 'all that was made is its own');
SELECT string_agg(DISTINCT o::regrole::text, ',')
FROM (
	SELECT relowner FROM pg_class WHERE relnamespace::regnamespace::text ~ '^(dicom_|mine|theirs)' UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname ~ '^(dicom_|mine|theirs)' UNION ALL SELECT srvowner FROM pg_foreign_server
) x (o)
SQL
is($cluster->query("SELECT DISTINCT applied_by FROM dicom.deid_audit"), 'engineer', 'the audit knows who it was');

# A query of a layer is run with the rights of the owner.
$cluster->query('CREATE TABLE secret AS SELECT 1 AS one');
may('engineer', 'makes a layer over what it may not read', "SELECT dicom.create_layer('mine.spy', 'SELECT i.study_date, s.one FROM dicom_processed.images i, public.secret s', ARRAY['one']); CALL dicom.run('hospital')");
is(last_run(), 'failed processed: permission denied for table secret', 'which cannot be refreshed');
$cluster->query("CALL dicom.run('hospital')");
is($cluster->query('SELECT count(*) FROM mine.spy'), '0', 'and is empty, also where a superuser runs the pipeline');
may('engineer', 'drops it', "SELECT dicom.drop_layer('mine.spy')");
may_not('engineer', 'a pipeline in a schema of somebody else', "SELECT dicom.create_pipeline('second', raw => 'hospital_raw', stage => '$dir/second', stage_schema => 'pg_catalog')", '(42501|42P07|42939)');

# --- Somebody who may have pipelines, but does not own this one

my @calls = ("dicom.pause('hospital')", "dicom.resume('hospital')", "dicom.alter_pipeline('hospital', '{}')", "dicom.backfill('hospital', '2020-01-01', '2020-01-02')", "dicom.restate('hospital', ARRAY['2020-01-01'::date])",
	"dicom.retry_failed('hospital')", "dicom.rotate_epoch('hospital')", "dicom.wake('hospital')", "dicom.drop_pipeline('hospital', true)", "dicom.own_pipeline('hospital')",
	"dicom.stage_days('hospital', 2, ARRAY['2020-01-01'::date])", "dicom.merge_pictures('hospital', 2, ARRAY['2020-01-01'::date])", "dicom.drop_export('hospital')");
for my $call (@calls)
{
	my ($out, $err) = $cluster->psql("SELECT $call", user => 'other');

	like($err, qr/ERROR:  42704: (there is no pipeline|pipeline .* does not exist)/, "other: $call finds no pipeline") or diag("$out $err");
}
may('other', 'sees no lineage', "SELECT dicom.lineage_mermaid('hospital')", 'flowchart LR');
may_not('other', 'a run', "CALL dicom.run('hospital')", '42704');
may_not('other', 'a notification of it', "SELECT dicom.add_notification('hospital', 'slack_webhook', 'https://hooks.slack.com/services/x')", '42704');
may_not('other', 'a layer of it', "CREATE SCHEMA others; SELECT dicom.create_layer('others.images', 'SELECT * FROM dicom_processed.images', ARRAY['sop_instance_uid'])", '42501');
may_not('other', 'to drop a layer', "SELECT dicom.drop_layer('mine.daily')", '(42501|42704|42P01)');
may_not('other', 'a check', "SELECT dicom.add_check('mine.daily', 'stop', 'SELECT 1')", '(42501|42704|42P01)');
may_not('other', 'a pipeline of the same name', "SELECT dicom.create_pipeline('hospital', raw => '$dir/raw', stage => '$dir/other')", '(23505|42710)');
may_not('other', 'a pipeline over a server that it may not use', "SELECT dicom.create_pipeline('theirs', raw => 'hospital_raw', stage => '$dir/other')", '42501');
may_not('other', 'a pipeline in schemas that are not its own', "SELECT dicom.create_pipeline('theirs', raw => '$dir/raw', stage => '$dir/other')", '(42501|23505|42P07)');
for my $relation ('dicom_raw.patients', 'dicom_stage_private.images', 'dicom_stage_private.raw_files', 'dicom_processed_private.images', 'dicom_stage.images', 'dicom_processed.images', 'dicom.object', 'dicom.stale_day', 'dicom.copied', 'mine.daily')
{
	may_not('other', "reading $relation", "SELECT * FROM $relation", '42501');
}
for my $relation (qw(pipeline layer layer_parent layer_check stage_column layer_day run_log step_log failure runs run_steps days failures copies notifications))
{
	may('other', "sees nothing in dicom.$relation", "SELECT count(*) FROM dicom.$relation", '0');
}
may('other', 'nor what is due', 'SELECT count(*) FROM dicom.due()', '0');
may('other', 'changes nothing', 'WITH d AS (DELETE FROM dicom.layer_day RETURNING 1) SELECT count(*) FROM d; WITH u AS (UPDATE dicom.pipeline SET paused = true RETURNING 1) SELECT count(*) FROM u', "0\n0");
may_not('other', 'making up a day', "INSERT INTO dicom.layer_day (pipeline, layer, epoch, day, state) VALUES ('hospital', 'dicom_stage', 2, '2020-01-01', 'stale')", '42501');
may_not('other', 'making up a pipeline of another role', "INSERT INTO dicom.pipeline (name, owner, raw, stage, raw_schema, stage_schema, processed_schema, epoch) VALUES ('trojan', 'engineer', 'r', 's', 'a', 'b', 'c', 1)", '42501');

# --- Who reads

$cluster->query('GRANT USAGE ON SCHEMA dicom_stage, dicom_processed TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA dicom_stage, dicom_processed TO reader', user => 'engineer');
may('reader', 'with USAGE and SELECT on views and nothing in schema dicom, reads them', 'SELECT (SELECT count(*) FROM dicom_stage.images), (SELECT count(*) FROM dicom_processed.images), (SELECT count(*) FROM dicom_stage.patient_ids)', '5|5|4');
may_not('reader', 'what is behind them', 'SELECT * FROM dicom_stage_private.images', '42501');
my ($out, $err) = $cluster->psql('SELECT * FROM dicom_stage_private.images WHERE source_key = 1/0', user => 'reader');
unlike($err, qr/Zyxwvutova/, 'reader: no error says who anybody is');

# --- A member of the owner; the end

write_image("$dir/provider/5", study => 5, series => 5, image => 5, day => '20200105', patient => 'Zyxwvutova 5');
may('colleague', 'who is a member of the owner, runs it', "CALL dicom.run('hospital')");
is(last_run(), 'done', 'with success');
may('colleague', 'and sees it', 'SELECT count(*) FROM dicom_processed.images', '6');
may('colleague', 'makes a layer', "CREATE SCHEMA theirs AUTHORIZATION engineer; SELECT dicom.create_layer('theirs.patients', 'SELECT study_date, count(DISTINCT patient_key) AS patients FROM dicom_processed.images GROUP BY 1', ARRAY['study_date'])");
is($cluster->query("SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text ~ '^(dicom_|mine|theirs)' AND relowner <> 'engineer'::regrole"), '0', 'what it made is still the owner\'s');
may('engineer', 'goes on with it', "CALL dicom.run('hospital'); SELECT sum(patients) FROM theirs.patients", '5');
is(last_run(), 'done', 'with success');
may_not('engineer', 'dropping a pipeline that has rows', "SELECT dicom.drop_pipeline('hospital')", '2BP01');
may('engineer', 'drops it with what it holds', "SELECT dicom.drop_pipeline('hospital', true); SELECT count(*) FROM dicom.pipeline", "\n0");
is($cluster->query("SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text ~ '^(dicom_(stage|processed)|mine|theirs)'"), '0', 'nothing of its tables is left');
cmp_ok(scalar(split /\n/, stage_files("$dir/raw")), '==', 6, 'files stay');

done_testing();
