# Promise: whoever wants to know what became of a run is told, once and in order, soon after it is committed, and again later where that
# fails; no run waits for it; addresses and tokens stay secret; nothing is sent to where it must not be; nothing in it is of a patient.
use strict;
use warnings;

use DicomTest;
use HttpRecorder;
use JSON::PP;
use PipelineTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = cluster(conf => key_conf() . "log_statement = none\nlog_min_error_statement = panic\n");
my $dir     = work_dir();
my $server  = HttpRecorder->start($dir);
my $secret  = '0f8e9c2a-secret-11ee';
my ($out, $err);

$cluster->query(<<'END');
CREATE EXTENSION dicom_fdw;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT USAGE ON SCHEMA dicom TO PUBLIC;
INSERT INTO dicom.pipeline (name, owner, raw, stage, raw_schema, stage_schema, processed_schema, epoch)
	VALUES ('hospital', 'alice', 'raw', 'stage', 'r', 's', 'p', 1), ('clinic', 'bob', 'raw', 'stage', 'r2', 's2', 'p2', 1);
END

# A run with its steps, as dicom.run() notes it.
my $runs = 0;
sub run
{
	my ($status, %options) = @_;
	my $pipeline = $options{pipeline} || 'hospital';
	my $id = $cluster->query("INSERT INTO dicom.run_log (pipeline, status, step, reason, forced, pid, started_at, updated_at, ended_at, error)"
		. " VALUES ('$pipeline', '$status', 'stage', 'due', false, 1, now() - interval '10 s', now(), now(), 'invalid input syntax for type date: \"DOE^JOHN\"') RETURNING id");

	$cluster->query(<<"END");
INSERT INTO dicom.step_log (run, step, status, started_at, ended_at, seconds, total, done, failed, bytes, error_code, error) VALUES
	($id, 'copy', 'done', now() - interval '10 s', now(), 2.25, 12, 12, 0, 99, NULL, NULL),
	($id, 'stage', '$status', now() - interval '5 s', now(), 1.5, 3, 2, 1, 0, CASE WHEN '$status' = 'failed' THEN '22007' END, 'invalid input syntax for type date: "DOE^JOHN"');
END
	return $id;
}

sub waiting { return $cluster->query("SELECT count(*) FROM dicom.notifications WHERE state = 'waiting'") }
sub await { my ($count) = @_; return wait_until(sub { $server->requests >= $count }) }
sub paths { return join ' ', map { $_->{path} } $server->requests }

# --- Healthchecks

my $ping = $cluster->query("SELECT dicom.add_notification('hospital', 'healthchecks', '$server->{url}/ping/$secret/')");
my $run = run('done');
is($cluster->query("SELECT dicom.notify('hospital', 'start', $run)"), 1, 'a start is queued');
ok(await(1), 'and sent, without anybody waiting for it');
is($cluster->query("SELECT dicom.notify('hospital', 'success', $run)"), 1, 'so is a success');
ok(await(2), 'which is sent as well');
$run = run('failed');
is($cluster->query("SELECT dicom.notify('hospital', 'failure', $run)"), 1, 'and a failure');
ok(await(3), 'likewise');
my ($start, $success, $failure) = $server->requests;
my $uuid = qr/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
like("$start->{method} $start->{path}", qr{^POST /ping/$secret/start\?rid=$uuid$}, 'a start is a ping of /start');
like($success->{path}, qr{^/ping/$secret\?rid=$uuid$}, 'a success one of the address itself');
like($failure->{path}, qr{^/ping/$secret/fail\?rid=$uuid$}, 'a failure one of /fail');
is($success->{path} =~ s/.*=//r, $start->{path} =~ s/.*=//r, 'start and success of a run belong together');
like($failure->{body}, qr/^Pipeline hospital of database postgres: run \d+ failed\ncopy: done, 12 done, 2\.3 s\nstage: failed, 2 done, 1 failed \(SQLSTATE 22007\), 1\.5 s\nSee dicom\.runs/,
	'with what the run has done');
unlike(join('', map { "$_->{body}$_->{path}" } $server->requests), qr/DOE/, 'but no message of an error');
$cluster->query("UPDATE dicom.notification_target SET url = '$server->{url}/x?create=1'");
$server->forget;
$cluster->query("SELECT dicom.notify('hospital', 'failure', $run)");
await(1);
like(($server->requests)[0]{path}, qr{^/x/fail\?create=1&rid=$uuid$}, 'an address with a query keeps it');
$cluster->query("SELECT dicom.drop_notification($ping)");

# --- Slack

$server->answer('/api' => '200 {"ok":true,"ts":"1"}');
$server->forget;
my $hook = $cluster->query("SELECT dicom.add_notification('hospital', 'slack_webhook', '$server->{url}/services/$secret')");
my $api = $cluster->query("SELECT dicom.add_notification('hospital', 'slack_api', '$server->{url}/api/chat.postMessage', 'xoxb-$secret', '#alerts')");
$cluster->query('DELETE FROM dicom.run_log');
$run = run('done');
is($cluster->query("SELECT dicom.notify('hospital', 'start', $run) + dicom.notify('hospital', 'success', $run)"), 0, 'people are not told of what goes well');
$run = run('failed');
is($cluster->query("SELECT dicom.notify('hospital', 'failure', $run)"), 2, 'of a failure they are');
ok(await(2), 'through both ways');
my %by_path = map { $_->{path} => $_ } $server->requests;
my $posted = $by_path{"/services/$secret"};
like(decode_json($posted->{body})->{text}, qr/^Pipeline hospital of database postgres: run $run failed\ncopy: done/, 'the webhook is given a text');
is(join(',', sort keys %{ decode_json($posted->{body}) }), 'text', 'and nothing else');
$posted = $by_path{'/api/chat.postMessage'};
is(decode_json($posted->{body})->{channel}, '#alerts', 'chat.postMessage the channel as well');
is("$posted->{authorization} $posted->{type}", "Bearer xoxb-$secret application/json; charset=utf-8", 'and the token');
is($cluster->query("SELECT dicom.notify('hospital', 'failure', " . run('failed') . ')'), 0, 'of the same failure again they are not told');
is($cluster->query("SELECT dicom.notify('hospital', 'success', " . run('done') . ')'), 2, 'but of the recovery');
ok(await(4), 'it is sent');
like(decode_json(($server->requests)[-1]{body})->{text}, qr/done, the one before had failed/, 'and says so');
is($cluster->query("SELECT dicom.notify('hospital', 'success', " . run('done') . ')'), 0, 'once');
is($cluster->query("SELECT dicom.notify('hospital', 'failure', " . run('failed') . ')'), 2, 'the next failure is news');
await(6);

# Days that a check has stopped
$cluster->query(<<'END');
INSERT INTO dicom.layer (pipeline, name, kind, schema_name, table_name) VALUES ('hospital', 'p.<images>', 'table', 'p', 'images');
INSERT INTO dicom.layer_day (pipeline, layer, epoch, day, state) VALUES ('hospital', 'p.<images>', 1, '2004-08-26', 'stopped'), ('hospital', 'p.<images>', 1, '2004-08-27', 'stopped');
END
$server->forget;
is($cluster->query("SELECT dicom.notify('hospital', 'stopped_day', $run)"), 2, 'a day that a check has stopped is told');
await(2);
my $text = decode_json(($server->requests)[0]{body})->{text};
like($text, qr/a check has stopped days.*\np\.&lt;images&gt;: 2 days stopped/s, 'with its layer, in the way that Slack wants it written');
unlike($text, qr/2004/, 'and without the day');
is($cluster->query("SELECT dicom.notify('hospital', 'stopped_day', $run)"), 0, 'once');
$server->forget;
is($cluster->query("SELECT dicom.test_notification($hook)"), 1, 'a target can be tried out');
await(1);
like(decode_json(($server->requests)[0]{body})->{text}, qr/this is a test/, 'with a test');
is(scalar($server->requests), 1, 'of that one alone');

# --- Transactions

$server->forget;
$cluster->query("BEGIN; SELECT dicom.test_notification($hook); ROLLBACK");
$cluster->query("BEGIN; SELECT dicom.test_notification($hook); SELECT pg_sleep(0.5); COMMIT");
await(1);
sleep 0.3;
is(scalar($server->requests), 1, 'what is rolled back is not sent, what is committed is');
is(waiting(), 0, 'nothing waits');

# --- Failures: again later, in order, without anybody waiting

$cluster->query("SELECT dicom.drop_notification($_)") for $hook, $api;
my $bad = $cluster->query("SELECT dicom.add_notification('hospital', 'healthchecks', '$server->{url}/bad/$secret')");
my $other = $cluster->query("SELECT dicom.add_notification('clinic', 'healthchecks', '$server->{url}/good/$secret')");
$server->answer('/bad' => '500');
$server->forget;
$run = run('done');
sub states { return $cluster->query("SELECT string_agg(event || ' ' || state || ' ' || attempts, ', ' ORDER BY id) FROM dicom.notifications WHERE host = '$server->{url}' AND queued > now() - interval '1 h' AND target = $bad") }
$cluster->query("SELECT dicom.notify('hospital', 'start', $run)");
ok(wait_until(sub { states() eq 'start waiting 1' }), 'what is not taken is kept') or diag(states());
$cluster->query("SELECT dicom.notify('hospital', 'failure', $run)");
ok(wait_until(sub { states() eq 'start abandoned 1, failure waiting 1' }), 'a start is of no interest any more when something has followed') or diag(states());
$cluster->query("SELECT dicom.notify('hospital', 'success', $run)");
$cluster->query("SELECT dicom.notify('clinic', 'start', NULL)");
ok(wait_until(sub { paths() =~ /good/ }), 'other targets do not wait');
sleep 0.5;
is(states(), 'start abandoned 1, failure waiting 1, success waiting 0', 'but what comes after it at the same one does');
is($cluster->query("SELECT error, next_attempt > now() + interval '20 s' FROM dicom.notifications WHERE attempts = 1 AND state = 'waiting'"),
	'the server answers with HTTP status 500|t', 'it is kept with the reason and a time');
my $so_far = $server->requests;
$cluster->query('SELECT * FROM dicom.send_notifications()');
is(scalar($server->requests), $so_far, 'before which it is not tried');
$cluster->query('UPDATE dicom.notification SET next_attempt = now() WHERE sent_at IS NULL');
$server->answer();
$server->forget;
is($cluster->query('SELECT * FROM dicom.send_notifications()'), '2|0', 'then all is sent');
like(paths(), qr{^/bad/$secret/fail\S+ /bad/$secret\?\S+$}, 'in its order');
is(waiting(), 0, 'and nothing waits');

$server->answer('/bad' => '404');
$cluster->query("SELECT dicom.notify('hospital', 'failure', " . run('failed') . ')');
wait_until(sub { $cluster->query("SELECT count(*) FROM dicom.notifications WHERE attempts = 1 AND state = 'waiting'") == 1 });
for (1 .. 6)
{
	$cluster->query('UPDATE dicom.notification SET next_attempt = now() WHERE sent_at IS NULL');
	$cluster->query('SELECT * FROM dicom.send_notifications()');
}
is($cluster->query("SELECT state, attempts FROM dicom.notifications WHERE error LIKE '%404%'"), 'abandoned|5', 'what is refused is given up soon');

$cluster->query("SELECT dicom.drop_notification($other)");
$api = $cluster->query("SELECT dicom.add_notification('hospital', 'slack_api', '$server->{url}/api', 'xoxb-$secret', '#nowhere')");
$server->answer('/api' => '200 {"ok":false,"error":"channel_not_found"}', '/bad' => '500');
$cluster->query("SELECT dicom.test_notification($api)");
ok(wait_until(sub { $cluster->query("SELECT error FROM dicom.notifications WHERE target = $api") eq 'the server did not take it: channel_not_found' }), 'an answer of Slack that says no is no success');
$cluster->query("SELECT dicom.drop_notification($api)");

# A server that hangs
$server->answer('/bad' => 'hang');
$run = run('failed');
my $begin = time;
$cluster->query("SELECT dicom.notify('hospital', 'failure', $run)");
cmp_ok(time - $begin, '<', 8, 'a server that hangs keeps nobody waiting');
ok(wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom_fdw notifications'") == 1 }), 'but a process of its own');
my $while = $cluster->query("INSERT INTO dicom.notification_target (pipeline, kind, owner, url, events) VALUES ('clinic', 'healthchecks', 'postgres', '$server->{url}/good/2', '{start}') RETURNING id");
$server->forget;
$cluster->query("SELECT dicom.notify('clinic', 'start', NULL)");
ok(await(1), 'nor other targets');
ok(wait_until(sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dicom_fdw notifications'") == 0 }, 20), 'and that gives up in time');
like($cluster->query("SELECT error FROM dicom.notifications WHERE state = 'waiting' AND event = 'failure'"), qr/silent|within/, 'with the reason');
$cluster->query("UPDATE dicom.notification SET next_attempt = now() WHERE sent_at IS NULL");
my $session = $cluster->start_psql("SET application_name = 'cancel me'; SELECT * FROM dicom.send_notifications()");
my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'cancel me' AND query LIKE '%send_notifications%' AND state = 'active'") });
sleep 0.5;
$begin = time;
$cluster->query("SELECT pg_cancel_backend($pid)");
($out, $err) = $cluster->finish_psql($session);
like($err, qr/57014/, 'waiting for it can be cancelled');
cmp_ok(time - $begin, '<', 8, 'at once');
$cluster->query('DELETE FROM dicom.notification_target');

# --- Where to, and who

my %refused = (
	'http://169.254.169.254/latest/meta-data' => qr/42501/,
	'https://[fe80::1]/x' => qr/42501/,
	'ftp://example.org/' => qr/42501/,
	"https://example.org/\\nX: y" => qr/42501/,
	'https://user:pass@hc-ping.com/x' => qr/42501/,
	'nonsense' => qr/42501/,
);
for my $url (sort keys %refused)
{
	($out, $err) = $cluster->psql("SELECT dicom.add_notification('hospital', 'healthchecks', E'$url')");
	like($err, $refused{$url}, "not even a superuser sends to $url");
}
($out, $err) = $cluster->psql("SELECT dicom.add_notification('hospital', 'healthchecks', '$server->{url}/x')", user => 'alice');
like($err, qr/42501: notifications may not be sent to http:\/\/127\.0\.0\.1.*HINT:.*allowed_notification_hosts/s, 'an ordinary user not to any host');
unlike($err, qr{/x}, 'and the error does not repeat the address');
($out, $err) = $cluster->psql("SELECT dicom.add_notification('hospital', 'healthchecks', 'http://hc-ping.com/$secret')", user => 'alice');
like($err, qr/42501/, 'nor to an allowed one in the clear');
my $own = $cluster->query("SELECT dicom.add_notification('hospital', 'healthchecks', 'https://hc-ping.com/$secret')", user => 'alice');
ok($own, 'but to an allowed one');
$cluster->query("SELECT dicom.drop_notification($own)", user => 'alice');
$cluster->query("LOAD 'dicom_fdw'; ALTER SYSTEM SET dicom_fdw.allowed_notification_hosts = 'hc-ping.com,http://127.0.0.1:$server->{port}'; SELECT pg_reload_conf()");
sleep 0.5;
$own = $cluster->query("SELECT dicom.add_notification('hospital', 'healthchecks', '$server->{url}/mine/$secret')", user => 'alice');
$server->answer();
$server->forget;
is($cluster->query("SELECT dicom.notify('hospital', 'failure', $run)", user => 'alice'), 1, 'and to what the setting allows');
ok(await(1), 'it arrives');
$cluster->query("LOAD 'dicom_fdw'; ALTER SYSTEM RESET dicom_fdw.allowed_notification_hosts; SELECT pg_reload_conf()");
sleep 0.5;
$cluster->query("SELECT dicom.notify('hospital', 'failure', $run)", user => 'alice');
ok(wait_until(sub { $cluster->query("SELECT error FROM dicom.notifications WHERE state = 'waiting'") =~ /may not be sent/ }), 'what is not allowed any more is not sent');
is(scalar($server->requests), 1, 'to anybody');

is($cluster->query("SELECT count(*) FROM dicom.notification_target", user => 'bob'), 0, 'nobody else sees the address');
is($cluster->query("SELECT count(*) FROM dicom.notifications", user => 'bob'), 0, 'or what was sent');
($out, $err) = $cluster->psql("SELECT dicom.notify('hospital', 'failure', $run)", user => 'bob');
like($err, qr/ERROR:/, 'or says anything in the name of another\'s pipeline');
($out, $err) = $cluster->psql("SELECT dicom.queue_notification('hospital', 'failure', 1, '{}', $own)", user => 'bob');
like($err, qr/42704/, 'in whatever way');
($out, $err) = $cluster->psql("SELECT dicom.drop_notification($own)", user => 'bob');
like($err, qr/42704/, 'or takes it away');
($out, $err) = $cluster->psql("INSERT INTO dicom.notification_target (pipeline, kind, owner, url, events) VALUES ('clinic', 'healthchecks', 'postgres', 'http://10.0.0.1/', '{start}')", user => 'bob');
like($err, qr/42501/, 'or makes a superuser answer for his own');
($out, $err) = $cluster->psql("SELECT * FROM dicom.notification", user => 'alice');
like($err, qr/42501/, 'the queue is the extension\'s');
($out, $err) = $cluster->psql("SELECT dicom.add_notification('clinic', 'healthchecks', 'https://hc-ping.com/x')", user => 'alice');
like($err, qr/42704/, 'and pipelines of others cannot be listened to');

my %wrong = ("'sms', 'x'" => '22023', "'healthchecks'" => '22023', "'slack_webhook', 'https://hooks.slack.com/x', 'token'" => '22023',
	"'slack_api', token => 'x'" => '22023', "'slack_api', token => E'x\\ny', channel => 'c'" => '22023', "'healthchecks', 'https://hc-ping.com/x', events => '{party}'" => '22023');
for my $arguments (sort keys %wrong)
{
	($out, $err) = $cluster->psql("SELECT dicom.add_notification('hospital', $arguments)");
	like($err, qr/$wrong{$arguments}/, "refused: $arguments");
}

# --- A pipeline that runs: what it tells by itself

mkdir "$dir/$_" for qw(provider raw stage);
write_image("$dir/provider/1.dcm", study => 1, series => 1, image => 1, day => '20200101', patient => 'Doe^Patient');
$server->answer();
$server->forget;
$cluster->query('DELETE FROM dicom.notification_target; DELETE FROM dicom.pipeline');
$cluster->query(<<"END");
SELECT dicom.create_pipeline('real', provider => 'file://$dir/provider/', raw => 'file://$dir/raw/', stage => 'file://$dir/stage/');
SELECT dicom.add_notification('real', 'healthchecks', '$server->{url}/ping');
SELECT dicom.add_notification('real', 'slack_webhook', '$server->{url}/hook');
END
sub told { my %seen; return join ' ', grep { !$seen{$_}++ } map { $_->{path} =~ s/\?.*//r } $server->requests }
$cluster->query("CALL dicom.run('real')");
ok(wait_until(sub { told() eq '/ping/start /ping' }), 'a run tells of its start and its success') or diag(told());
$server->forget;
rename "$dir/provider", "$dir/elsewhere";
$cluster->query("CALL dicom.run('real')");
ok(wait_until(sub { join(' ', sort split / /, told()) eq '/hook /ping/fail /ping/start' }), 'one that fails of its failure, people too') or diag(told());
my ($fail) = grep { $_->{path} =~ /fail/ } $server->requests;
like($fail->{body}, qr/run \d+ failed\n.*^copy: failed.*SQLSTATE 58P01/ms, 'with the step and its SQLSTATE');
$server->forget;
rename "$dir/elsewhere", "$dir/provider";
$cluster->query("CALL dicom.run('real')");
ok(wait_until(sub { join(' ', sort split / /, told()) eq '/hook /ping /ping/start' }), 'and of the recovery') or diag(told());
unlike(join('', map { $_->{body} } $server->requests), qr/Doe|2020|1\.dcm/, 'without anything of the patient');

# --- Secrets

my $log = $cluster->server_log;
unlike($log, qr/\Q$secret\E/, 'no address or token is in the log');
unlike($cluster->query('SELECT string_agg(n::text, E\'\n\') FROM dicom.notifications n'), qr/\Q$secret\E/, 'nor in what can be read of the queue');
unlike($log, qr/DOE\^JOHN/, 'nor anything of a patient');
unlike($log, qr/terminated by signal|PANIC|TRAP/, 'no process died');

done_testing();
