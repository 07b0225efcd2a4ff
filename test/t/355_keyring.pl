# Promise: keys come from a file that only the server may read, or from a command, and from nowhere else; without the right key there is an
# error and never another result; and neither a key nor a value shows up in settings, messages, plans, statistics or the server's log.
use strict;
use warnings;

use DicomTest;
use POSIX ();
use Test::More;

my $dir = work_dir();
my %hex = map {
	my $first = $_ * 32;
	$_ + 1 => join '', map { sprintf '%02x', $first + $_ } 0 .. 31
} 0 .. 3;
my ($k1, $k2, $k3, $k4) = @hex{ 1 .. 4 };
my $file    = "$dir/keys";
my $planted = 'PLANTED^NAME';
my $hash    = "SELECT dicom.full_hash('PAT-0042', 'patient_id')";
my %hashes  = (
	1 => 'a5a68292aedc0166856acf8e5b615415235792be896ce41ed16e37f8033a9048',
	2 => 'e13f33fa2655a393812ce58605edca0627ba93f3a567aad0bd3da1989b8fcfa3');

sub write_keys
{
	my ($text, $mode) = @_;

	unlink $file;
	write_text($file, $text);
	chmod $mode // 0600, $file or die "$!\n";
	return;
}

sub key_line { my ($epoch, $key) = @_; return "$epoch $hex{$key // $epoch}\n"; }

my $has_statements = -f `"@{[DicomTest::bin()]}/pg_config" --sharedir` =~ s/\n//r . '/extension/pg_stat_statements.control';
my $cluster = cluster(conf => "log_statement = none\nlog_min_error_statement = panic\n"
		. ($has_statements ? "shared_preload_libraries = 'pg_stat_statements, dicom_fdw'\n" : "shared_preload_libraries = 'dicom_fdw'\n"));
$cluster->query('ALTER SYSTEM SET log_min_messages = debug5; CREATE EXTENSION dicom_fdw; CREATE ROLE analyst LOGIN; CREATE ROLE officer LOGIN'
		. ($has_statements ? '; CREATE EXTENSION pg_stat_statements' : ''));
$cluster->query('GRANT USAGE ON SCHEMA dicom TO analyst, officer; GRANT EXECUTE ON FUNCTION dicom.full_hash(text, text, integer), dicom.key_status(), dicom.new_epoch() TO officer');

# A setting for all sessions to come; the file or the command, never both.
sub configure
{
	my (%settings) = @_;

	for my $name (qw(key_file key_command))
	{
		my $value = defined $settings{$name} ? DicomTest::Cluster::quote($settings{$name}) : undef;
		$cluster->query(defined $value ? "ALTER SYSTEM SET dicom_fdw.$name = $value" : "ALTER SYSTEM RESET dicom_fdw.$name");
	}
	$cluster->query('SELECT pg_reload_conf()');
	wait_until(sub {
		$cluster->query("SELECT current_setting('dicom_fdw.key_file') || current_setting('dicom_fdw.key_command')") eq ($settings{key_file} // '') . ($settings{key_command} // '')
	}) or die "the settings do not come through\n";
	return;
}

sub fails
{
	my ($pattern, $what, $sql, %options) = @_;
	my ($out, $err, $code) = $cluster->psql($sql // $hash, %options);

	isnt($code, 0, "$what: an error");
	is($out, '', "$what: and no result");
	like($err, $pattern, "$what: which says why");
	unlike($err, qr/$k1|$k2|PAT-0042|[0-9a-f]{40}/, "$what: and nothing else");
	return;
}

# --- No key

fails(qr/55000: there is no key.*HINT:.*dicom_fdw\.key_file/s, 'nothing is set');
fails(qr/55000: there is no key/, 'not even for NULL', "SELECT dicom.$_")
	for "full_hash(NULL, 'd')", "short_id('', 'd')", "surrogate_key('d', NULL)", 'uid_remap(NULL)', "uid_remap('1.2.840.10008.1.2')", "date_shift(NULL::date, 'x')",
	"date_shift('20200101', NULL)", "anonymize(NULL, 'uid_remap')", "anonymize_dataset('{}')", "anonymize_dataset(NULL)", 'active_epoch()', 'new_epoch()', 'record_epoch()';
is($cluster->query("SELECT dicom.anonymize('x', 'anon_text'), dicom.legacy_full_hash('x', 's') <> ''"), 'ANON_TEXT|t', 'what needs none works');

# --- The file

write_keys("# keys\n\n" . key_line(1) . "2\t$k2  # the next\n");
configure(key_file => $file);
is($cluster->query($hash), $hashes{1}, 'the first epoch of the file is active');
is($cluster->query($hash, user => 'officer'), $hashes{1}, 'for whoever may call the function');
my ($out, $err) = $cluster->psql($hash, user => 'analyst');
like($err, qr/42501/, 'and for nobody else');

for my $mode (0640, 0604, 0610, 0601, 0660)
{
	write_keys(key_line(1), $mode);
	fails(qr/F0000.*group or others/s, sprintf('mode %04o', $mode));
}
write_keys(key_line(1), 0400);
is($cluster->query($hash), $hashes{1}, 'mode 0400 will do');
unlink $file;
fails(qr/F0000.*No such file/s, 'a file that is missing');
mkdir $file;
fails(qr/F0000.*not a regular file/s, 'a directory');
rmdir $file;
POSIX::mkfifo($file, 0600);
fails(qr/F0000.*not a regular file/s, 'a pipe');
write_keys(('# ' . 'x' x 98 . "\n") x 200 . key_line(1));
fails(qr/F0000.*longer than/s, 'a file that is too long');

write_text("$dir/elsewhere", key_line(1));
chmod 0600, "$dir/elsewhere";
unlink $file;
symlink "$dir/elsewhere", $file;
is($cluster->query($hash), $hashes{1}, 'a link leads to the file');
unlink $file;
my $data = "$cluster->{dir}/data";
write_text("$data/keys", key_line(1));
chmod 0600, "$data/keys";
symlink "$data/keys", $file;
fails(qr/F0000.*inside of the data directory/s, 'a link into the data directory');
configure(key_file => "$data/keys");
fails(qr/F0000.*inside of the data directory/s, 'a file in the data directory');
configure(key_file => "$data/../data/global/../keys");
fails(qr/F0000.*inside of the data directory/s, 'by a detour');
symlink $data, "$dir/way";
configure(key_file => "$dir/way/keys");
fails(qr/F0000.*inside of the data directory/s, 'through a linked directory');
configure(key_file => 'keys');
fails(qr/F0000.*not absolute/s, 'a path that is not absolute');
unlink "$data/keys";
configure(key_file => $file);

# Each line is read strictly; the message has its number and nothing of it.
my %wrong = (
	'no epoch'            => "$k1\n",
	'no number'           => "one $k1\n",
	'negative'            => "-1 $k1\n",
	'too large'           => "2147483648 $k1\n",
	'no blank'            => "1$k1\n",
	'a comma'             => "1,$k1\n",
	'too short'           => '1 ' . substr($k1, 1) . "\n",
	'too long'            => "1 ${k1}0\n",
	'not hex'             => '1 ' . substr($k1, 1) . "g\n",
	'two keys'            => "1 $k1 $k2\n",
	'a second epoch 7'    => "7 $k2\n",
	'the key of another'  => "9 $k3\n",
	'a NUL'               => "1 ${k1}\0\n",
);
for my $what (sort keys %wrong)
{
	write_keys("# a comment\n7 $k3\n$wrong{$what}");
	fails(qr/F0000.*line 3: /s, $what);
}
write_keys("# nothing\n\n");
fails(qr/F0000.*holds no key/s, 'only comments');
write_keys("1 $k1");
is($cluster->query($hash), $hashes{1}, 'the last line may end without a line feed');
write_keys('1 ' . uc($k1) . "\r\n");
is($cluster->query($hash), $hashes{1}, 'capitals and carriage returns are read');

# What messages say of the server's files is not for everybody.
write_keys(key_line(1), 0644);
(undef, $err) = $cluster->psql($hash, user => 'officer');
like($err, qr/F0000: the keys for de-identification cannot be read/, 'an ordinary role is told that the keys cannot be read');
unlike($err, qr/\Q$dir\E/, 'but not where they are');
like($cluster->server_log, qr/may be used by its group or others/, 'the log has it');

# --- A session sees a file that has changed, with its next statement

write_keys(key_line(1) . key_line(2));
is($cluster->query(<<"END"), join("\n", $hashes{1}, $hashes{2}, $hashes{1}), 'a file that is exchanged is read again');
$hash;
\\! (umask 077; echo '2 $k2' >$file.new; mv $file.new $file)
$hash;
\\! (umask 077; echo '1 $k1' >$file.new; mv $file.new $file)
$hash;
END
($out, $err) = $cluster->psql(<<"END", go_on => 1);
$hash;
\\! chmod 644 $file
$hash;
END
is($out, $hashes{1}, 'so is one whose mode has changed');
like($err, qr/group or others/, 'and refused');
($out, $err) = $cluster->psql(<<"END", go_on => 1);
\\! chmod 600 $file
$hash;
\\! rm $file
$hash;
END
is($out, $hashes{1}, 'a file that is gone');
like($err, qr/No such file/, 'leaves no key behind');

# --- Epochs

write_keys(key_line(1) . key_line(2));
is($cluster->query('SELECT epoch, key_id, active, present, unchanged FROM dicom.key_status()', user => 'officer'),
	"1|1ddd3d72f5f12466|t|t|\n2|50eef0717925a5df|f|t|", 'the status shows ids');
is($cluster->query('SELECT count(*) FROM dicom.epoch'), 0, 'to look records nothing');
is($cluster->query('SELECT dicom.record_epoch(); SELECT dicom.record_epoch()'), "1\n1", 'the first epoch is recorded, once');
write_keys(key_line(1, 3) . key_line(2));
fails(qr/55000: the key of epoch 1 is not the one that was used before/, 'a key that was exchanged');
is($cluster->query("SELECT dicom.full_hash('PAT-0042', 'patient_id', 2)"), $hashes{2}, 'others can be used');
is($cluster->query('SELECT epoch, active, present, unchanged FROM dicom.key_status()'), "1|t|t|f\n2|f|t|", 'the status says so');
fails(qr/55000: the key of epoch 1/, 'nor is there a new epoch then', 'SELECT dicom.new_epoch()');
write_keys(key_line(2));
fails(qr/55000: the key of epoch 1 is not there/, 'a key that is missing');
is($cluster->query('SELECT epoch, active, present, unchanged FROM dicom.key_status()'), "1|t|f|\n2|f|t|", 'the status says that too');
write_keys(key_line(2) . key_line(1));
is($cluster->query($hash), $hashes{1}, 'the order of lines does not count any more');
fails(qr/42501/, 'who may not', 'SELECT dicom.new_epoch()', user => 'analyst');
is($cluster->query('SELECT dicom.new_epoch()', user => 'officer'), 2, 'who may brings the next epoch into use');
is($cluster->query($hash), $hashes{2}, 'for every session');
fails(qr/55000: there is no key of an epoch after 2.*HINT:.*3, a blank/s, 'no further key', 'SELECT dicom.new_epoch()');
write_keys(key_line(1) . key_line(2) . key_line(3));
$cluster->query('BEGIN; SELECT dicom.new_epoch(); ROLLBACK');
is($cluster->query($hash), $hashes{2}, 'what is rolled back has not been');
write_keys(key_line(1, 3) . key_line(2) . key_line(7, 1));
fails(qr/55000: the key of epoch 7 has been used before/, 'an old key under a new number', 'SELECT dicom.new_epoch()');
write_keys(key_line(1) . key_line(2));
is($cluster->query("SELECT activated_by FROM dicom.epoch WHERE epoch = 2"), 'officer', 'who did it is recorded');

# A session that is in the middle of a statement stays with its epoch; the next one has the other.
my $session = $cluster->start_psql(<<"END");
SET search_path = dicom;
SELECT count(DISTINCT h) FROM (SELECT CASE WHEN i = 1 THEN pg_advisory_lock(42)::text END, dicom.full_hash('PAT-0042', 'patient_id') AS h FROM generate_series(1, 2000) i OFFSET 0) s;
$hash;
END
($out) = $cluster->finish_psql($session);
is($out, "1\n$hashes{2}", 'one statement, one epoch');

# --- The command

unlink $file;
write_text("$dir/vault", key_line(1) . key_line(2));
my $runs = "$dir/runs";
configure(key_command => "echo x >>$runs; echo noise >&2; cat $dir/vault");
is($cluster->query("$hash; $hash"), "$hashes{2}\n$hashes{2}", 'the command gives the keys');
is(read_text($runs), "x\n", 'it runs once in a session');
configure(key_command => 'exit 3');
fails(qr/38000: the command of dicom_fdw\.key_command failed/, 'a command that fails');
configure(key_command => "cat $dir/vault; exit 1");
fails(qr/38000: the command of dicom_fdw\.key_command failed/, 'even if it printed keys');
configure(key_command => 'kill -9 $$');
fails(qr/38000/, 'a command that dies');
configure(key_command => 'yes');
fails(qr/54000: the command of dicom_fdw\.key_command printed too much/, 'a command that does not stop to print');
configure(key_command => "echo '1 $k1 x'");
fails(qr/F0000.*key_command, line 1: /s, 'a command that prints something else');
configure(key_command => 'exec sleep 9753');
($out, $err) = $cluster->psql("SET statement_timeout = '300ms'; $hash");
like($err, qr/57014/, 'a command that hangs is cancelled');
is($cluster->query("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'full_hash' AND pid <> pg_backend_pid()"), 0, 'and holds nobody up');
configure(key_command => 'sleep 9753 >/dev/null & sleep 9753');
($out, $err) = $cluster->psql("SET statement_timeout = '300ms'; $hash");
like($err, qr/57014/, 'with what it has started');
($out) = run_command('sh', '-c', 'cat /proc/[0-9]*/cmdline');
unlike($out, qr/sleep\0009753/, 'of which nothing is left');
configure(key_command => "cat $dir/vault", key_file => "$dir/vault");
fails(qr/F0000.*Both/s, 'a file and a command');

# --- Parallel workers read the keys for themselves

write_keys(key_line(1) . key_line(2));
configure(key_file => $file);
$cluster->query('CREATE TABLE big AS SELECT i::text AS id FROM generate_series(1, 20000) i; ANALYZE big');
my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;';
like($cluster->query("$parallel EXPLAIN (ANALYZE, VERBOSE, TIMING off) SELECT count(DISTINCT dicom.full_hash(id, 'patient_id')) FROM (SELECT id FROM big WHERE dicom.full_hash(id, 'd') <> '' OFFSET 0) b"),
	qr/Workers Launched: [12]/, 'workers take part');
is($cluster->query("$parallel SELECT count(*) FROM big WHERE dicom.full_hash(id, 'patient_id') = encode(sha256('x'), 'hex') OR dicom.full_hash(id, 'patient_id') = dicom.full_hash(id, 'patient_id', 2)"),
	20000, 'with the same keys');

# --- Nothing shows

my $table = 'CREATE TABLE IF NOT EXISTS patient (name text); TRUNCATE patient; INSERT INTO patient SELECT concat($$PLANTED$$, chr(94), $$NAME$$)';
$cluster->query($table);
for my $user ('analyst', 'officer')
{
	is($cluster->query("SELECT count(*) FROM pg_settings WHERE name ~ 'dicom_fdw.key'", user => $user), 0, "pg_settings shows $user nothing");
	for my $setting ('key_file', 'key_command')
	{
		(undef, $err) = $cluster->psql("SHOW dicom_fdw.$setting", user => $user);
		like($err, qr/42501/, "nor does SHOW $setting");
		(undef, $err) = $cluster->psql("SET dicom_fdw.$setting = '/tmp/other'", user => $user);
		like($err, qr/42501/, 'and nobody sets it');
	}
}
like($cluster->query("SELECT string_agg(setting, ' ') FROM pg_settings WHERE name ~ 'dicom_fdw.key'"), qr/\Q$file\E/, 'a superuser sees where the keys are');
my $plan = $cluster->query("EXPLAIN (ANALYZE, VERBOSE) SELECT dicom.full_hash(name, 'patient_name'), dicom.short_id(name, 'd'), dicom.uid_remap(name), dicom.anonymize(name, 'full_hash', '{\"domain\": \"d\"}') FROM patient");
like($plan, qr/full_hash/, 'there is a plan');
unlike($plan, qr/$k1|$k2|\Q$planted\E|\Q$file\E/, 'with no key and no value in it');

# Whatever goes wrong with a value, the value is not told.
my %bad = (
	"dicom.date_shift(name, 'x')"                                          => 'a date that is none',
	"dicom.generalize_age(name)"                                           => 'an age that is none',
	"dicom.generalize_zip3(name)"                                          => 'a ZIP code that is none',
	"dicom.anonymize(name, 'generalize_number', '{\"step\": 5}')"          => 'a number that is none',
	"dicom.anonymize(name, 'no_rule')"                                     => 'no rule',
	"dicom.full_hash(name, '')"                                            => 'no domain',
	"dicom.full_hash(name, 'd', 99)"                                       => 'no epoch',
	"dicom.anonymize_dataset(jsonb_build_array(name))"                     => 'no data set',
	"dicom.anonymize_dataset(jsonb_build_object('00100010', name))"        => 'no element',
	"dicom.anonymize_dataset('{}', 'no_profile')"                          => 'no profile',
	"dicom.anonymize_row('patient', p)"                                    => 'no mapping',
	"dicom.clean_text(name, ARRAY[name], 'x')"                             => 'no such words',
);
for my $expression (sort keys %bad)
{
	(undef, $err) = $cluster->psql("SELECT $expression FROM patient p");
	unlike($err, qr/\Q$planted\E/, "$bad{$expression}: the message has nothing of the value");
}
my $log = $cluster->server_log;
like($log, qr/DEBUG/, 'the log is talkative');
unlike($log, qr/\Q$planted\E/, 'and has no value');
unlike($log, qr/$_/i, 'nor a key') for $k2, $k4;
my @lines = grep { /$k1/i && !/key_command/ } split /\n/, $log;
is("@lines", '', 'key 1 only where a setting\'s text held it');
SKIP:
{
	skip 'pg_stat_statements is not installed', 2 unless $has_statements;
	is($cluster->query("SELECT count(*) > 0 FROM pg_stat_statements WHERE query ~ 'full_hash'"), 't', 'pg_stat_statements knows the statements');
	is($cluster->query("SELECT count(*) FROM pg_stat_statements WHERE query ~ '$k1|$k2' AND query !~ 'key_command|pg_stat_statements'"), 0, 'and no key');
}

# --- The memory that holds keys is left out of core files, and wiped

SKIP:
{
	skip 'no /proc/PID/smaps here', 2 unless -r '/proc/self/smaps';
	my $smaps = $cluster->query("$hash; SELECT set_config('x.pid', pg_backend_pid()::text, false) IS NULL; \\! true\nCOPY (SELECT 1) TO PROGRAM 'cat /proc/\$PPID/smaps >$dir/smaps'; SELECT 1");
	my @regions = split /^(?=[0-9a-f]+-[0-9a-f]+ )/m, read_text("$dir/smaps");
	my @marked  = grep { /^VmFlags:.*\bdd\b/m && /^VmFlags:.*\bdc\b/m } @regions;
	cmp_ok(scalar @marked, '>=', 1, 'pages are marked not to be dumped, nor to be copied to children');
	SKIP:
	{
		skip 'memory may not be locked here', 1 unless `sh -c 'ulimit -l'` =~ /unlimited|^[1-9][0-9]{2,}/;
		cmp_ok(scalar(grep { /^VmFlags:.*\blo\b/m } @marked), '>=', 1, 'and locked');
	}
}
done_testing();
