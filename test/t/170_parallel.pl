# Promise: a scan that a leader and its workers share gives each row once, whoever reads it; what was counted, and what went
# wrong, is told once and in total; several stores under one Append are waited for at the same time.
use strict;
use warnings;

use DicomTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = work_dir();
make_files('--count', 2300, '--size', 0, '--days', 20, '--layout', 'days', $dir);

# Shared memory as files of the data directory, where the test can see what is left of it.
my $cluster = cluster(conf => "max_parallel_workers = 8\ndynamic_shared_memory_type = mmap\n");
$cluster->make_server('local', undef, "file://$dir/");
my $segments = () = glob "$cluster->{dir}/data/pg_dynshmem/*";

# Settings under which every scan that can be is parallel, with so many workers.
sub workers
{
	my ($count) = @_;

	return <<"END";
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = $count;
END
}

sub plan_of
{
	my ($query, $settings) = @_;

	return $cluster->query("$settings EXPLAIN (COSTS OFF) $query");
}

# The same answer from the leader alone, and with one and four workers; and that those plans are parallel.
sub same_rows
{
	my ($promise, $query, $expected) = @_;
	my $alone = $cluster->query(workers(0) . $query);

	is($alone, $expected, "$promise: what is expected") if defined $expected;
	like($alone, qr/\|-?\w+$/, "$promise: rows") unless defined $expected;
	unlike(plan_of($query, workers(0)), qr/Gather/, "$promise: alone without workers");
	for my $count (1, 4)
	{
		like(plan_of($query, workers($count)), qr/Parallel Foreign Scan/, "$promise: a parallel plan, $count workers at most");
		is($cluster->query(workers($count) . $query), $alone, "$promise: the same rows with $count workers");
		is($cluster->query(workers($count) . 'SET parallel_leader_participation = off;' . $query), $alone,
			"$promise: the same rows with $count workers that the leader does not help");
	}
	is($cluster->query(workers(4) . 'SET max_parallel_workers = 0;' . $query), $alone, "$promise: the same rows where no worker comes");
	return $alone;
}

my $of_images = q{count(*), count(DISTINCT sop_instance_uid), md5(string_agg(filename || sop_instance_uid || rows, ',' ORDER BY filename))};
my $of_files = q{count(*), md5(string_agg(key || size || sop_instance_uid || transfer_syntax_uid || header_bytes, ',' ORDER BY key))};
my $of_elements = q{count(*), count(DISTINCT key), sum(hashtext(key || path || coalesce(value, '')))};

# --- Same rows

sub tables
{
	my ($kind, $schema) = @_;

	same_rows("$kind: images", "SELECT $of_images FROM $schema.images");
	same_rows("$kind: files", "SELECT $of_files FROM $schema.files");
	same_rows("$kind: elements", "SELECT $of_elements FROM $schema.elements WHERE keyword LIKE 'S%UID'");
	my $day = $cluster->query("SELECT min(left(filename, 16)) FROM $schema.images WHERE filename > 'inbox/2020/01/01'");
	same_rows("$kind: a prefix", "SELECT $of_images FROM $schema.images WHERE filename LIKE '$day%'");
	my $keys = $cluster->query("SELECT string_agg(quote_literal(key), ',') FROM (SELECT key FROM $schema.files WHERE key LIKE '%7.dcm' LIMIT 50) x");
	same_rows("$kind: keys", "SELECT $of_images FROM $schema.images WHERE filename IN ($keys, 'inbox/none', 'none')");
	same_rows("$kind: keys behind one", "SELECT $of_images FROM $schema.images WHERE filename > '$day'");
	my $border = $cluster->query("SELECT key FROM $schema.files ORDER BY key OFFSET 2000 LIMIT 1");
	same_rows("$kind: exactly two pages", "SELECT $of_images FROM $schema.images WHERE filename < '$border'");
	same_rows("$kind: no key", "SELECT $of_images FROM $schema.images WHERE filename LIKE 'nothing%'", '0|0|');
	same_rows("$kind: a filter of the listing", "SELECT $of_images FROM $schema.images WHERE right(filename, 5) = '3.dcm'");
	same_rows("$kind: a filter of the header", "SELECT $of_images FROM $schema.images WHERE instance_number % 7 = 3");
	return;
}

$cluster->query('SET client_min_messages = error; ANALYZE local.images, local.files, local.elements');
tables('directory', 'local');

# Several ranges, each listed by itself
$cluster->query(<<'END');
CREATE FOREIGN TABLE local_days (sop_instance_uid text, rows int, study_date date, filename text COLLATE "C")
	SERVER local OPTIONS (entity 'images', key_format 'inbox/{study_date:%Y/%m/%d}/');
END
my ($first_day, $last_day) = split /\|/, $cluster->query('SELECT min(study_date), max(study_date) FROM local_days');
same_rows('directory: days', "SELECT $of_images FROM local_days WHERE study_date BETWEEN '$first_day' AND '$last_day'");


# Rows that pass through the leader, more than fit between it and the workers: nobody who waits for a listing waits for those
same_rows('directory: every row through the leader',
	'SELECT count(*), count(DISTINCT key), sum(hashtext(value)) FROM (SELECT key, path, value FROM local.elements OFFSET 0) x');

# --- What is told of it

# EXPLAIN ANALYZE's counters of the foreign scan.
sub counters
{
	my ($query, $settings) = @_;
	my $text = $cluster->query("SET client_min_messages = error; $settings EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $query");
	my %counters = $text =~ /^\s*((?:Objects|LIST|GET|Bytes|Bad|Workers)[\w ]*): (\d+)/mg;

	return \%counters;
}

my $alone = counters("SELECT $of_images FROM local.images", workers(0));
my $together = counters("SELECT $of_images FROM local.images", workers(4));
is($together->{'Workers Launched'}, 4, 'EXPLAIN ANALYZE: four workers');
is($together->{$_}, $alone->{$_}, "EXPLAIN ANALYZE: $_ in total") for 'Objects Listed', 'Objects Opened', 'GET Requests', 'Bytes Read';
is(counters("SELECT sop_instance_uid FROM local.images WHERE right(filename, 5) = '3.dcm'", workers(4))->{'Objects Pruned'}, 2070,
	'EXPLAIN ANALYZE: objects pruned in total');

my $bad = work_dir();
make_files('--count', 60, '--size', 0, '--layout', 'flat', $bad);
write_text(sprintf('%s/0000%02d.dcm', $bad, $_), "no DICOM\n") for 11 .. 20;
$cluster->make_server('bad', undef, "file://$bad/");
for my $count (0, 1, 4)
{
	my ($out, $err) = $cluster->psql(workers($count) . 'SELECT count(rows) FROM bad.images');
	is($out, 50, "bad files, $count workers: the other rows");
	is(scalar(() = $err =~ /WARNING/g), 1, "bad files, $count workers: one warning");
	like($err, qr/10 files could not be read.*The first is "000011\.dcm"/s, "bad files, $count workers: which counts them all and names the first");
	is(counters('SELECT count(rows) FROM bad.images', workers($count))->{'Objects Skipped'}, 10, "bad files, $count workers: EXPLAIN counts them");
	$cluster->query('CREATE FOREIGN TABLE limited (filename text, rows int) SERVER bad OPTIONS (entity \'images\', reject_limit \'10\')') if $count == 0;
	($out, $err) = $cluster->psql(workers($count) . 'SELECT count(rows) FROM limited');
	like($err, qr/ERROR:  22P03: reject_limit of "limited" is reached: 10 bad files/, "reject_limit, $count workers: of all together");
	is(scalar(() = $err =~ /ERROR/g), 1, "reject_limit, $count workers: said once");
	is($cluster->query(workers($count) . 'ALTER FOREIGN TABLE limited OPTIONS (SET reject_limit \'11\'); SET client_min_messages = error; SELECT count(rows) FROM limited;'
		. 'ALTER FOREIGN TABLE limited OPTIONS (SET reject_limit \'10\')'), 50, "reject_limit, $count workers: not reached");
}
$cluster->query('CREATE FOREIGN TABLE strict (filename text, rows int) SERVER bad OPTIONS (entity \'images\', on_error \'error\')');
my ($out, $err) = $cluster->psql(workers(4) . 'SELECT count(rows) FROM strict; SELECT \'on\';', go_on => 1);
like($err, qr/ERROR:  22P03: /, 'an error of a worker is the query\'s');
is($out, 'on', 'and the session goes on');

$cluster->query('CREATE FOREIGN TABLE unfit (filename text, manufacturer int OPTIONS (tag \'Manufacturer\')) SERVER bad OPTIONS (entity \'images\')');
($out, $err) = $cluster->psql(workers(4) . 'SELECT count(manufacturer) FROM unfit');
is(scalar(() = $err =~ /NOTICE/g), 1, 'values that do not fit: one notice');
like($err, qr/50 values did not fit.*"000000\.dcm"/s, 'values that do not fit: which counts them all and names the first');

# --- LIMIT, rescans

like(plan_of('SELECT sop_instance_uid FROM local.images LIMIT 5', workers(4)), qr/Limit.*Gather.*Parallel Foreign Scan/s, 'LIMIT: a parallel plan');
is($cluster->query(workers(4) . 'SELECT count(*) FROM (SELECT sop_instance_uid FROM local.images LIMIT 5) x'), 5, 'LIMIT 5');
cmp_ok(counters('SELECT sop_instance_uid FROM local.images LIMIT 5', workers(4))->{'Objects Opened'}, '<', 2300, 'LIMIT: the workers do not read on');
is($cluster->query(workers(4) . 'SELECT count(*) FROM (SELECT sop_instance_uid FROM local.images WHERE rows >= 0 OFFSET 2295) x'), 5, 'OFFSET');

my $nested = 'SELECT n, count(*), count(DISTINCT i.sop_instance_uid) FROM generate_series(1, 3) n LEFT JOIN (SELECT sop_instance_uid FROM bad.images OFFSET 0) i ON true GROUP BY n ORDER BY n';
my $no_material = 'SET enable_material = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET client_min_messages = error;';
my $plain = $cluster->query(workers(0) . $nested);
like(plan_of($nested, workers(4) . $no_material), qr/Nested Loop Left Join.*Gather.*Parallel Foreign Scan/s, 'rescans: a Gather inside a nested loop');
is($cluster->query(workers(4) . $no_material . $nested), $plain, 'rescans: the same rows each time');
$nested = 'SELECT sum((SELECT count(*) FROM (SELECT rows FROM bad.images WHERE rows + n >= 0 LIMIT 7) x)) FROM generate_series(1, 4) n';
is($cluster->query(workers(4) . $no_material . $nested), 28, 'rescans: with a LIMIT that ends each early');
is($cluster->query(workers(4) . $no_material . 'SELECT sum((SELECT count(rows) FROM bad.images WHERE columns + n >= 0)) FROM generate_series(1, 3) n'),
	150, 'rescans: of a whole query with a parameter');
my $forced = $cluster->query('SHOW server_version_num') >= 160000 ? 'debug_parallel_query' : 'force_parallel_mode';
is($cluster->query(workers(4) . "SET $forced = on; SET client_min_messages = error; SELECT count(*), count(DISTINCT patient_id) FROM bad.studies"),
	$cluster->query('SET client_min_messages = error; SELECT count(*), count(DISTINCT patient_id) FROM bad.studies'), 'a de-duplicated table in one worker');
is($cluster->query(workers(4) . "SELECT count(*) FROM local.images a JOIN local.files b ON a.filename = b.key AND a.sop_instance_uid = b.sop_instance_uid"), 2300,
	'two shared scans in one plan');

# --- Files that the catalog alone knows: no listing, and each object once

$cluster->query(<<"END");
SET client_min_messages = error;
CREATE SERVER known FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/', freshness '1d');
CREATE SERVER known_bad FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$bad/', freshness '1d');
CREATE SCHEMA known; CREATE SCHEMA known_bad;
IMPORT FOREIGN SCHEMA dicom FROM SERVER known INTO known;
IMPORT FOREIGN SCHEMA dicom FROM SERVER known_bad INTO known_bad;
SELECT dicom.sync('known'), dicom.sync('known_bad');
END
tables('catalog', 'known');
is($cluster->query("SELECT $of_images FROM known.images"), $cluster->query("SELECT $of_images FROM local.images"), 'catalog: the rows of the files');
same_rows('catalog: a day', "SELECT $of_images FROM known.images WHERE study_date = '$first_day'");
same_rows('catalog: some days', "SELECT $of_images FROM known.images WHERE study_date BETWEEN '$first_day' AND date '$first_day' + 3");
same_rows('catalog: two prefixes', "SELECT $of_images FROM known.images WHERE filename LIKE ANY (ARRAY['inbox/2021/08/1%', 'inbox/2021/08/2%'])");
$together = counters("SELECT $of_images FROM known.images", workers(4));
is(join(' ', map { $_ // '-' } @$together{'Workers Launched', 'Objects From Catalog', 'Objects Listed', 'Objects Opened', 'LIST Requests', 'GET Requests'}), '4 2300 0 0 0 0',
	'catalog: EXPLAIN ANALYZE has one total');
is($cluster->query(workers(4) . 'SELECT count(*) FROM (SELECT rows FROM known.images LIMIT 5) x'), 5, 'catalog: LIMIT');
cmp_ok(counters('SELECT rows FROM known.images LIMIT 5', workers(4))->{'Objects From Catalog'}, '<', 2300, 'catalog: the workers do not read on');
$nested = 'SELECT n, count(*), count(DISTINCT i.rows) FROM generate_series(1, 3) n LEFT JOIN (SELECT rows FROM known_bad.images OFFSET 0) i ON true GROUP BY n ORDER BY n';
$plain = $cluster->query(workers(0) . 'SET client_min_messages = error;' . $nested);
like(plan_of($nested, workers(4) . $no_material), qr/Nested Loop Left Join.*Gather.*Parallel Foreign Scan/s, 'catalog: a Gather inside a nested loop');
is($cluster->query(workers(4) . $no_material . $nested), $plain, 'catalog: the same rows each time');
is($cluster->query(workers(4) . $no_material . 'SELECT sum((SELECT count(*) FROM (SELECT rows FROM known_bad.images WHERE rows + n >= 0 LIMIT 7) x)) FROM generate_series(1, 4) n'), 28,
	'catalog: rescans with a LIMIT that ends each early');
($out, $err) = $cluster->psql(workers(4) . 'SELECT count(rows) FROM known_bad.images');
is($out, 50, 'catalog: bad files');
like($err, qr/WARNING.*10 files could not be read.*The first is "000011\.dcm"/s, 'catalog: are told of as ever');

# --- A bucket

my $s3 = s3_server();
SKIP:
{
	skip 'no radosgw here', 1 unless $s3;
	put_directory($s3, 'parallel', $dir);
	my $proxy = fault_proxy($s3);
	$cluster->make_server('remote', $proxy->server, 's3://parallel/', request_timeout => '60s');
	tables('bucket', 'remote');
	$cluster->query(<<'END');
CREATE FOREIGN TABLE remote_days (sop_instance_uid text, rows int, study_date date, filename text COLLATE "C")
	SERVER remote OPTIONS (entity 'images', key_format 'inbox/{study_date:%Y/%m/%d}/');
END
	same_rows('bucket: days', "SELECT $of_images FROM remote_days WHERE study_date BETWEEN '$first_day' AND '$last_day'",
		$cluster->query("SELECT $of_images FROM local_days"));

	# What was asked of the store
	$proxy->forget;
	$cluster->query(workers(4) . "SELECT $of_images FROM remote.images");
	my @requests = $proxy->requests;
	my %reads;
	$reads{ $_->{target} }++ for grep { $_->{is_read} } @requests;
	is(scalar(grep { $_->{is_list} } @requests), 3, 'bucket: all participants together list it once');
	is(scalar(keys %reads), 2300, 'bucket: every object is read');
	is(scalar(grep { $_ > 1 } values %reads), 0, 'bucket: and none of them twice');
	$proxy->forget;
	$cluster->query(workers(4) . "SELECT $of_images FROM remote_days WHERE study_date BETWEEN '$first_day' AND '$last_day'");
	my $days = $cluster->query("SELECT count(DISTINCT study_date) FROM local_days");
	cmp_ok(scalar(grep { $_->{is_list} } $proxy->requests), '<=', $days + 3, "bucket: $days days are listed once");
	my $remote = counters("SELECT $of_images FROM remote.images", workers(4));
	is($remote->{'Objects Listed'}, 2300, 'bucket: EXPLAIN ANALYZE: objects listed in total');
	is($remote->{'LIST Requests'}, 3, 'bucket: EXPLAIN ANALYZE: listings in total');
	is($remote->{'GET Requests'}, 2300, 'bucket: EXPLAIN ANALYZE: reads in total');

	# Rights: of the view's owner, in the workers as well
	$cluster->query(<<"END");
CREATE ROLE owner LOGIN;
CREATE ROLE guest LOGIN;
CREATE SERVER guarded FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 's3://parallel/', endpoint '@{[$proxy->server->{endpoint}]}', credentials 'mapping');
CREATE USER MAPPING FOR owner SERVER guarded OPTIONS (access_key_id '$s3->{access_key_id}', secret_access_key '$s3->{secret_access_key}');
CREATE FOREIGN TABLE guarded (filename text, rows int) SERVER guarded OPTIONS (entity 'images');
GRANT SELECT ON guarded TO owner, guest;
CREATE VIEW shown AS SELECT * FROM guarded;
ALTER VIEW shown OWNER TO owner;
GRANT SELECT ON shown TO guest;
END
	is($cluster->query(workers(4) . 'SET parallel_leader_participation = off; SELECT count(rows) FROM shown', user => 'guest'), 2300, 'bucket: through a view with its owner\'s keys');
	($out, $err) = $cluster->psql(workers(4) . 'SET parallel_leader_participation = off; SELECT count(rows) FROM guarded', user => 'guest');
	like($err, qr/ERROR:  (42501|28000): /, 'bucket: and not with one\'s own, of which there are none');

	# What is slow enough to be shared evenly
	put_directory($s3, 'slow', $bad);
	$cluster->make_server('slow', $proxy->server, 's3://slow/', max_requests => 8);
	$cluster->query('CREATE FOREIGN TABLE slow_limited (filename text, rows int) SERVER slow OPTIONS (entity \'images\', reject_limit \'10\')');
	$proxy->set('latency 50');
	($out, $err) = $cluster->psql(workers(4) . 'SET parallel_leader_participation = off; SELECT count(rows) FROM slow_limited');
	like($err, qr/ERROR:  22P03: reject_limit/, 'bucket: reject_limit is reached by all together');
	$proxy->forget;
	# A worker's row is handed over when there are many, or at its end: the leader's own first row is what ends this.
	is($cluster->query(workers(4) . 'SELECT count(*) FROM (SELECT 1 FROM remote.images WHERE sop_instance_uid IS NOT NULL LIMIT 1) x'), 1,
		'bucket: LIMIT with a filter');
	cmp_ok(scalar(grep { $_->{is_read} } $proxy->requests), '<', 1500, 'bucket: and when it is reached, no worker reads on');
	$proxy->set('');

	# Faults
	$proxy->set('status list-type 503 2 SlowDown', 'reset /000017 100 2', 'truncate list-type 500 1');
	is($cluster->query(workers(4) . 'SELECT count(rows) FROM remote.images'), 2300, 'bucket: what a retry helps costs no row');
	$proxy->set('status list-type 403 0 AccessDenied');
	($out, $err) = $cluster->psql(workers(4) . 'SELECT count(rows) FROM remote.images', go_on => 1);
	like($err, qr/ERROR:  42501: /, 'bucket: a listing that fails is an error');
	is(scalar(() = $err =~ /ERROR/g), 1, 'bucket: said once');
	$proxy->set('status /001234.dcm 403 0 AccessDenied');
	($out, $err) = $cluster->psql(workers(4) . 'SELECT count(rows) FROM remote.images', go_on => 1);
	like($err, qr/ERROR:  42501: .*001234\.dcm/s, 'bucket: so is a read, whoever did it');

	# Interrupts
	for my $case ([ 'a silent listing', 'silent list-type' ], [ 'silent headers', 'silent /00000' ])
	{
		my ($name, @rules) = @$case;
		my $seconds;

		($seconds, $err) = cancel_after($proxy, 'SELECT count(rows) FROM remote.images', @rules);
		cmp_ok($seconds, '<=', 10, "a cancel on $name waits for nothing");
		like($err, qr/57014/, "a cancel on $name: it says so");
		diag(sprintf 'measured: a cancel on %s: %d ms', $name, $seconds * 1000);
	}
	is($cluster->query(workers(4) . 'SELECT count(rows) FROM remote.images'), 2300, 'after all of this, the same rows');
}

# Cancels a running query; returns the seconds until its session goes on, and what it said.
sub cancel_after
{
	my ($proxy, $query, @rules) = @_;

	$proxy->set(@rules);
	my $session = $cluster->start_psql(workers(4) . <<"END", go_on => 1);
SELECT /* to be cancelled */ * FROM ($query) x;
SELECT 'back ' || extract(epoch FROM clock_timestamp());
END
	my $pid = wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE query LIKE '%to be cancelled%' AND state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()") });
	sleep 0.5;
	my $cancelled = $cluster->query("SELECT extract(epoch FROM clock_timestamp()) FROM pg_cancel_backend($pid)");
	my ($said, $error) = $cluster->finish_psql($session);
	my ($back) = $said =~ /back (\S+)/;
	$proxy->set('');
	return ($back - $cancelled, $error);
}

# --- Several stores under one Append

SKIP:
{
	skip 'no radosgw here', 1 unless $s3;
	my $proxy = fault_proxy($s3);
	my $union = join ' UNION ALL ', map { "SELECT filename, sop_instance_uid, rows, instance_number, tableoid::regclass::text AS origin FROM $_.images" } qw(one two three);
	my $seed = 0;
	my $rows = q{count(*), md5(string_agg(origin || filename || sop_instance_uid || rows, ',' ORDER BY origin, filename))};

	for my $name (qw(one two three))
	{
		my $files = work_dir();
		make_files('--count', 80, '--seed', ++$seed, '--size', 0, '--layout', 'flat', $files);
		put_directory($s3, $name, $files);
		$cluster->make_server($name, $proxy->server, "s3://$name/", request_timeout => '60s', max_requests => 8);
		$cluster->query("ANALYZE $name.images");
	}
	my $serial = $cluster->query("SET enable_async_append = off; SELECT $rows FROM ($union) x");
	like($serial, qr/^240\|\w/, 'append: 240 rows one after the other');
	like(plan_of("SELECT $rows FROM ($union) x", ''), qr/(Async Foreign Scan.*){3}/s, 'append: three asynchronous scans');
	is($cluster->query("SELECT $rows FROM ($union) x"), $serial, 'append: the same rows');

	$proxy->set('latency 50');
	for my $case ([ 'off', 0 ], [ 'on', 1 ])
	{
		my ($setting, $overlap) = @$case;
		my (%first, %last);

		$proxy->forget;
		is($cluster->query("SET enable_async_append = $setting; SELECT $rows FROM ($union) x"), $serial, "append, $setting, slow stores: the same rows");
		my @requests = $proxy->requests;
		for my $i (0 .. $#requests)
		{
			my ($bucket) = $requests[$i]{target} =~ m{^/(\w+)};
			$first{$bucket} //= $i;
			$last{$bucket} = $i;
		}
		my ($begun) = sort { $b <=> $a } values %first;
		my ($ended) = sort { $a <=> $b } values %last;
		is($begun < $ended ? 1 : 0, $overlap, "append, $setting: " . ($overlap ? 'all stores are asked before the first has ended' : 'one store after the other'));
		is(scalar(@requests), 243, "append, $setting: no request too many");
	}
	$proxy->set('latency 20');

	is($cluster->query("SELECT count(*) FROM (SELECT * FROM ($union) x LIMIT 7) y"), 7, 'append: LIMIT');
	is($cluster->query("SELECT count(*) FROM ($union) x WHERE instance_number % 2 = 0"),
		$cluster->query("SET enable_async_append = off; SELECT count(*) FROM ($union) x WHERE instance_number % 2 = 0"), 'append: a filter');
	is($cluster->query("SELECT count(*) FROM ($union) x WHERE filename = '000003.dcm'"), 3, 'append: exact keys');
	is($cluster->query("SELECT count(*), count(DISTINCT sop_instance_uid) FROM (SELECT sop_instance_uid FROM one.series JOIN one.images USING (series_instance_uid) UNION ALL SELECT sop_instance_uid FROM two.images) x"),
		'160|160', 'append: a join beside a scan');
	is($cluster->query('SELECT count(*) FROM (SELECT patient_id FROM one.patients UNION ALL SELECT patient_id FROM two.patients) x'),
		$cluster->query('SET enable_async_append = off; SELECT count(*) FROM (SELECT patient_id FROM one.patients UNION ALL SELECT patient_id FROM two.patients) x'),
		'append: de-duplicated tables');
	is($cluster->query("SELECT count(*) FROM (SELECT key FROM one.elements UNION ALL SELECT key FROM two.elements) x"),
		$cluster->query("SET enable_async_append = off; SELECT count(*) FROM (SELECT key FROM one.elements UNION ALL SELECT key FROM two.elements) x"), 'append: elements');
	is($cluster->query('SELECT count(*) FROM (SELECT key FROM one.files UNION ALL SELECT key FROM two.files) x'), 160, 'append: listings');
	like(plan_of('SELECT sop_instance_uid FROM one.images UNION ALL SELECT sop_instance_uid FROM bad.images', workers(0)),
		qr/^(?!.*Async Foreign Scan.*Async).*Async Foreign Scan.*Foreign Scan/s, 'append: a directory is not waited for');
	is($cluster->query('SET client_min_messages = error; SELECT count(*) FROM (SELECT sop_instance_uid FROM one.images UNION ALL SELECT sop_instance_uid FROM bad.images) x'),
		130, 'append: a bucket beside a directory');
	like(plan_of("SELECT $rows FROM ($union) x", workers(2)), qr/Gather.*Append.*Parallel Foreign Scan/s, 'append: with workers they are shared instead');
	is($cluster->query(workers(2) . "SELECT $rows FROM ($union) x"), $serial, 'append: with the same rows');

	# Rescans
	my $rescan = "SELECT n, $rows FROM generate_series(1, 3) n CROSS JOIN LATERAL (SELECT * FROM ($union) x WHERE filename = lpad(n::text, 6, '0') || '.dcm' OR instance_number = n) y GROUP BY n ORDER BY n";
	is($cluster->query("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; $rescan"),
		$cluster->query("SET enable_async_append = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; $rescan"), 'append: rescans');
	$rescan = "SELECT sum((SELECT count(*) FROM (SELECT 1 FROM ($union) x WHERE rows + n >= 0 LIMIT 11) y)) FROM generate_series(1, 3) n";
	is($cluster->query($rescan), 33, 'append: rescans that end early');
	is($cluster->query("BEGIN; DECLARE c CURSOR FOR $union; MOVE 5 FROM c; MOVE 500 FROM c; CLOSE c; COMMIT; SELECT 'on'"), 'on', 'append: a cursor');

	# Faults: a back-off is no event of a descriptor
	$proxy->set('status /two/ 503 4 SlowDown', 'reset /three/ 10 2');
	is($cluster->query("SELECT $rows FROM ($union) x"), $serial, 'append: what a retry helps');
	$proxy->set('status /two/000007 403 0 AccessDenied');
	($out, $err) = $cluster->psql("SELECT $rows FROM ($union) x; SELECT 'on'", go_on => 1);
	like($err, qr/ERROR:  42501: .*two\/000007/s, 'append: an error in one of them');
	is($out, 'on', 'append: and the session goes on');
	$proxy->set('status /two* 503 0 SlowDown');
	$cluster->query("ALTER SERVER three OPTIONS (SET request_timeout '500ms', ADD max_retries '1')");
	$proxy->set('silent /three/000009');
	($out, $err) = $cluster->psql("SELECT $rows FROM ($union) x", go_on => 1);
	like($err, qr/ERROR:  08006: .*three\/000009/s, 'append: a store that is silent for longer than its timeout');
	my $seconds;
	($seconds, $err) = cancel_after($proxy, "SELECT $rows FROM ($union) x", 'silent /two', 'silent /one');
	cmp_ok($seconds, '<=', 10, 'append: a cancel waits for nothing');
	diag(sprintf 'measured: append: a cancel: %d ms', $seconds * 1000);

	# Nothing is left open
	my $open = "SELECT count(*) FROM pg_ls_dir('/proc/self/fd')";
	my @counts = split /\n/, $cluster->query(join ';', ("SELECT $rows FROM ($union) x", $open) x 4);
	is($counts[7], $counts[3], 'append: no descriptor is left open');
}

# --- What is left

my $left = wait_until(sub { my @files = glob "$cluster->{dir}/data/pg_dynshmem/*"; @files == $segments });
ok($left, 'no shared memory is left');
unlike($cluster->server_log, qr/terminated by signal|PANIC|leak|server process .* was terminated/, 'no process has died, and nothing leaked');

done_testing();
