# Promise: however a scan ends - its end, LIMIT, a rescan, an error, a caught error, a cancel - it leaves no descriptor open and no
# memory behind. Counted in one session by /proc/self/fd, the memory contexts, and the resident set.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $dir = work_dir();
make_files('--count', 60, '--size', 16, '--layout', 'flat', "$dir/files");
write_text("$dir/files/000030_bad.dcm", "this is no DICOM file\n" x 100);
my $s3 = s3_server();
my $cluster = cluster();

# Text of a script that does each of these things `times` times.
sub script
{
	my ($server, $times) = @_;
	my $loop = sub { my ($body, $n) = @_; return "DO \$do\$ DECLARE i int; r record; n bigint; BEGIN FOR i IN 1..@{[$n || $times]} LOOP $body END LOOP; END \$do\$;\n"; };

	return join '',
		$loop->("SELECT count(*) INTO n FROM $server.images; ASSERT n = 60;"),
		$loop->("SELECT filename INTO r FROM $server.images LIMIT 1;"),
		$loop->("SELECT key INTO r FROM $server.files OFFSET 7 LIMIT 1;"),
		$loop->("SELECT filename INTO r FROM $server.images WHERE filename = '000007.dcm';"),
		$loop->("SELECT count(*) INTO n FROM dicom.elements('$server', '000001.dcm'); ASSERT n > 100;"),
		$loop->("SELECT * INTO r FROM (SELECT dicom.images('$server', '')) s LIMIT 1;"),
		$loop->("FOR r IN SELECT * FROM $server.studies LOOP EXIT; END LOOP;"),
		# a caught error in the middle of a scan: one that dicom_fdw raises, and one that it does not
		$loop->("BEGIN PERFORM count(*) FROM $server.strict; EXCEPTION WHEN OTHERS THEN END;"),
		$loop->("BEGIN PERFORM 1 / (filename < '000005.dcm')::int FROM $server.images; EXCEPTION WHEN division_by_zero THEN END;"),
		# rescans: the inner side of nested loops, with and without a parameter
		"SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off;\n",
		$loop->("SELECT count(*) INTO n FROM generate_series(1, 3) g, LATERAL (SELECT * FROM $server.images WHERE filename = lpad(g::text, 6, '0') || '.dcm' OFFSET 0) i; ASSERT n = 3;"),
		$loop->("SELECT count(*) INTO n FROM generate_series(1, 3) g CROSS JOIN LATERAL (SELECT g, filename FROM $server.images OFFSET 0) i; ASSERT n = 180;"),
		$loop->("SELECT count(*) INTO n FROM generate_series(1, 5) g WHERE EXISTS (SELECT FROM $server.images i WHERE i.filename > g::text); ASSERT n >= 0;"),
		"RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_material; RESET enable_memoize;\n",
		# cursors: closed early, and left open by a transaction that is rolled back, and by a subtransaction
		"BEGIN; DECLARE c CURSOR FOR SELECT * FROM $server.images; FETCH 3 FROM c; CLOSE c; COMMIT;\n" x 3,
		"BEGIN; DECLARE c CURSOR FOR SELECT * FROM $server.images; FETCH 3 FROM c; ROLLBACK;\n" x 3,
		"BEGIN; SAVEPOINT s; DECLARE c CURSOR FOR SELECT * FROM $server.images; FETCH 3 FROM c; ROLLBACK TO s; DECLARE d CURSOR FOR SELECT * FROM $server.files; FETCH 3 FROM d; COMMIT;\n" x 3,
		# a statement timeout in the middle
		"SET statement_timeout = '5ms';\nSELECT count(*) FROM $server.images a, $server.images b, generate_series(1, 100000);\nRESET statement_timeout;\n" x 3;
}

# Where memory stands: descriptors, kB resident that are no file's (those the kernel takes back when it likes), bytes of memory contexts.
my $state = <<'END';
SELECT 'state', (SELECT count(*) FROM pg_ls_dir('/proc/self/fd')),
	(regexp_match(pg_read_file('/proc/self/status'), 'RssAnon:\s+(\d+)'))[1]::int,
	(SELECT sum(total_bytes) FROM pg_backend_memory_contexts);
END

sub holds
{
	my ($name, $server, $location) = @_;

	$cluster->make_server($name, $server, $location);
	$cluster->query("CREATE FOREIGN TABLE $name.strict (filename text, rows int) SERVER $name OPTIONS (entity 'images', on_error 'error')");
	my ($out, $err) = $cluster->psql(
		"SET client_min_messages = error;\n" . script($name, 3) . script($name, 3) . $state . script($name, 10) . $state . script($name, 10) . $state, go_on => 1);
	my @states = map { [ split /\|/ ] } grep { /^state\|/ } split /\n/, $out;

	$err =~ s/^.*57014: canceling statement due to statement timeout.*\n(LOCATION:.*\n)?//mg;
	is($err, '', "$name: everything went as it should");
	is(scalar @states, 3, "$name: the session lived") or return;
	is($states[2][1], $states[0][1], "$name: no descriptor is left open");
	cmp_ok($states[2][3] - $states[1][3], '<=', 65536, "$name: memory contexts do not grow");
	cmp_ok($states[2][2] - $states[1][2], '<=', 2048, "$name: nor does the process, by more than 2 MB");
	diag("measured: $name: descriptors, kB resident, bytes in contexts: " . join '; ', map { "@$_[1..3]" } @states);
	return;
}

holds('disk', undef, "file://$dir/files/");
SKIP:
{
	skip 'no radosgw here', 5 unless $s3;
	put_directory($s3, 'release', "$dir/files");
	holds('bucket', $s3, 's3://release/');
}
done_testing();
