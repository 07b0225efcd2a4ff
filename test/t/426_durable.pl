# Promise: what a committed row says to be in a directory, a copy or a picture, is on the disk before that row is, and what it says to be deleted is gone from it:
# by one flush for each transaction, not one for each file.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf() . "fsync = on\nwal_sync_method = fdatasync\n");

mkdir "$dir/provider" or die;
for my $number (1 .. 12)
{
	write_image(sprintf('%s/provider/%02d.dcm', $dir, $number), study => int($number / 6), series => int($number / 3), image => $number, day => sprintf('202001%02d', 1 + $number / 6), patient => 'P');
}
$cluster->query('CREATE EXTENSION dicom_fdw');
$cluster->query(<<"END");
SELECT dicom.create_pipeline('hospital', provider => 'file://$dir/provider', raw => 'file://$dir/raw', stage => 'file://$dir/stage', options => '{"batch_objects": 5}')
END

# Does a run while strace watches its process and those that it starts; what they did to files, in order. Nothing where that is not possible.
my $runs = 0;
sub trace_run
{
	my $trace = "$dir/trace" . $runs++;
	my $holder = $cluster->start_psql("SET application_name = 'holder'; SELECT pg_advisory_lock(1), pg_sleep(600)", go_on => 1);
	my $pid_of = sub { my ($name, $wait) = @_; return wait_until(sub { $cluster->query("SELECT pid FROM pg_stat_activity WHERE application_name = '$name' AND wait_event = '$wait'") }) };

	$pid_of->('holder', 'PgSleep') or die;
	my $run = $cluster->start_psql("SET application_name = 'run'; SELECT pg_advisory_lock(1); CALL dicom.run('hospital')");
	my $pid = $pid_of->('run', 'advisory') or die;
	my $strace = spawn_command("$trace.out", "$trace.err", 'strace', '-f', '-y', '-e', 'trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,linkat,unlinkat', '-o', $trace, '-p', $pid);
	my $attached = wait_until(sub { read_text("$trace.err") =~ /attached/ || !kill 0, $strace }, 10) && read_text("$trace.err") =~ /attached/;
	$cluster->query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
	$cluster->finish_psql($holder);
	my (undef, $err, $code) = $cluster->finish_psql($run);
	is($err . $code, '0', 'a run that is watched');
	stop_process($strace, 'INT');
	return $attached ? grep { !/ENOENT|EEXIST|resumed/ } split /\n/, read_text($trace) : ();
}

# Turns what was done into a word: written, deleted (an object), flush, commit, sync (of one file).
sub word
{
	my ($line) = @_;

	return 'written' if $line =~ m{^\d+ +(?:rename\w*\(.*"\.dicom_fdw-|linkat\(.*"(?:/proc/self/fd/\d+)?", .*\.jpg")};
	return 'deleted' if $line =~ /^\d+ +unlinkat\(.*\.jpg"/;
	return 'flush'   if $line =~ /^\d+ +syncfs\(/;
	return 'commit'  if $line =~ /^\d+ +fdatasync\(.*pg_wal/;
	return 'sync'    if $line =~ /^\d+ +f(data)?sync\(\d+<\Q$dir\E\/(raw|stage)/;
	return;
}

# What was written or deleted and committed without a flush between.
sub unflushed
{
	my ($words) = @_;

	return $words =~ /((?:written|deleted) (?!(?:(?!commit)\w+ )*flush )(?:\w+ )*?commit)/ ? $1 : '';
}

# The words themselves.
is(unflushed('commit written written flush commit deleted flush commit '), '', 'a flush behind what was written');
isnt(unflushed('commit written flush written commit '), '', 'none behind some of it');

SKIP:
{
	my $words = join '', map { "$_ " } grep { defined } map { word($_) } trace_run();
	skip 'strace is not installed, or may not watch', 9 if $words eq '';
	is(() = $words =~ /written/g, 24, 'copies and pictures are written');
	is(unflushed($words), '', 'and flushed before they are committed') or diag($words);
	unlike($words, qr/\bsync\b/, 'not one by one');
	cmp_ok(() = $words =~ /flush/g, '<=', 8, 'but in batches');
	unlink glob "$dir/raw/0*.dcm" or die;
	$words = join '', map { "$_ " } grep { defined } map { word($_) } trace_run();
	is(() = $words =~ /deleted/g, 9, 'pictures of files that are gone are deleted');
	is(unflushed($words), '', 'which is flushed before it is committed, too') or diag($words);
	$cluster->query("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()");
	write_image("$dir/provider/13.dcm", study => 9, series => 9, image => 13, day => '20200109', patient => 'P');
	$words = join '', map { "$_ " } grep { defined } map { word($_) } trace_run();
	like($words =~ s/ $//r, qr/^written written$/, 'with fsync = off nothing waits for the disk') or diag($words);
}

done_testing();
