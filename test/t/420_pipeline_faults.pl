# Promise: a provider that is gone, a stage or a raw store that cannot be written, a disk that is full, a file that kills the decoder every time:
# a run ends, the rest is done, it is said what failed and what to do, and the next run goes on; in the end everything is as if nothing had been.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use PipelineTest;
use Test::More;
use Time::HiRes qw(sleep);

# Small disks need mounts: where the machine allows it, the test begins anew in namespaces of its own.
if (!$ENV{DICOM_TEST_SMALL_DISKS})
{
	my $disks  = work_dir();
	my $script = 'for d in raw stage; do mkdir -p "$1/$d" && mount -t tmpfs -o size=4m tmpfs "$1/$d" || exit; done
		export DICOM_TEST_SMALL_DISKS="$1"; exec unshare -U --map-user="$2" --map-group="$3" "$4" "$5"';
	my @command = ('unshare', '-rm', 'sh', '-c', $script, 'sh', $disks, $>, $) + 0);

	if ((run_command(@command, 'true', ''))[2] == 0)
	{
		my $status = system @command, $^X, $0;
		exit($status >> 8 || $status & 127);
	}
}

my $dir      = work_dir();
my $provider = "$dir/provider";
my $cluster  = cluster(conf => key_conf());

# Twenty images of four days, each of four frames, which do not compress well.
srand 7;
mkdir $provider or die;
for my $number (1 .. 20)
{
	write_image(sprintf('%s/%02d.dcm', $provider, $number), study => int($number / 6), series => int($number / 3), image => $number,
		day => sprintf('202001%02d', 1 + $number / 6), patient => 'MRN-4711-' . int($number / 12), '00100010' => [ 'PN', 'SMITH^Ann^of' ],
		'00280008' => [ 'IS', 4 ], (map { $_ => [ 'US', pack 'v', 64 ] } qw(00280010 00280011)), pixels => join '', map { chr rand 256 } 1 .. 4 * 64 * 64);
}
$cluster->query('CREATE EXTENSION dicom_fdw');

sub make_pipeline
{
	my ($name, %place) = @_;

	$cluster->query(sprintf "SELECT dicom.create_pipeline('%s', provider => 'file://%s', raw => 'file://%s', stage => 'file://%s', raw_schema => '%1\$s_raw',
		stage_schema => '%1\$s_stage', processed_schema => '%1\$s_processed', options => '{\"batch_objects\": 10, \"jobs\": 1}')",
		$name, $provider, $place{raw} // "$dir/$name/raw", $place{stage} // "$dir/$name/stage");
	return;
}

# Copies of one file are different versions of it.
sub state_of
{
	my ($name) = @_;

	return pipeline_state($cluster, $name, stage => "${name}_stage", processed => "${name}_processed") =~ s/\b${name}_(stage|processed)\b/$1/gr
		=~ s/,[0-9a-f]+-[0-9a-f]+-[0-9a-f]{14,},/,etag,/gr;
}

# Its status and error, and those of the steps that failed: step, SQLSTATE, detail and hint.
sub last_run
{
	my ($name) = @_;

	return $cluster->query("SELECT status, error FROM dicom.runs WHERE pipeline = '$name' ORDER BY run DESC LIMIT 1") . "\n"
		. $cluster->query("SELECT step, error_code, detail, hint FROM dicom.run_steps WHERE run = (SELECT max(run) FROM dicom.runs WHERE pipeline = '$name')
			AND status <> 'done' ORDER BY started");
}

# A run that meets a fault: it ends, and says so.
sub fails
{
	my ($name, $expected, $what) = @_;
	my ($out, $err, $code) = $cluster->psql("SET statement_timeout = '120s'; CALL dicom.run('$name')");

	is("$out$err$code", '0', "$what: the run ends");
	like(last_run($name), $expected, "$what: and says what failed");
	return;
}

# After the repair.
sub recovers
{
	my ($name, $what, %place) = @_;
	my ($raw, $stage) = ($place{raw} // "$dir/$name/raw", $place{stage} // "$dir/$name/stage");

	$cluster->query("SELECT dicom.retry_failed('$name')");
	run_pipeline($cluster, $name);
	is(difference(state_of('calm'), state_of($name)), '', "$what: after the repair the next run makes the rest");
	is(difference(stage_files("$dir/calm/stage"), stage_files($stage)), '', "$what: every picture, and none besides");
	is(system('diff', '-r', $provider, $raw), 0, "$what: every file is copied, whole");
	return;
}

# What is there under a final name is right.
sub nothing_half
{
	my ($stage, $what) = @_;
	my %right = map { $_ => 1 } split /\n/, stage_files("$dir/calm/stage");

	is(join("\n", grep { !$right{$_} } split /\n/, stage_files($stage)), '', "$what: nothing is there by halves, nor left over");
	return;
}

sub count_of { my ($table) = @_; return $cluster->query("SELECT count(*) FROM $table") }

make_pipeline('calm');
run_pipeline($cluster, 'calm');
is(count_of('calm_processed.images') . '|' . count_of('calm_stage.compressed_images'), '20|80', 'a pipeline that nobody disturbs');

# --- The provider is gone; a file has come to raw by another way

mkdir "$dir/late" or die;
rename "$provider/$_", "$dir/late/$_" or die for qw(01.dcm 20.dcm);
make_pipeline('orphan');
run_pipeline($cluster, 'orphan');
rename $provider, "$provider.gone" or die;
system('cp', "$dir/late/20.dcm", "$dir/orphan/raw/") == 0 or die;
fails('orphan', qr/^failed\|copy: directory ".*provider\/" does not exist\ncopy\|58P01\|/, 'no provider');
is(count_of('orphan_processed.images'), 19, 'no provider: what is in raw is worked on');
rename "$provider.gone", $provider or die;
chmod 0, $provider or die;
fails('orphan', qr/^failed\|copy: .*Permission denied\ncopy\|42501\|/, 'a provider that cannot be listed');
chmod 0755, $provider or die;
rename "$dir/late/$_", "$provider/$_" or die for qw(01.dcm 20.dcm);
recovers('orphan', 'no provider');

# --- Stores that may not be written

make_pipeline('sealed');
chmod 0555, "$dir/sealed/raw" or die;
fails('sealed', qr/^failed\|copy: cannot write object: Permission denied\ncopy\|42501\|Object: file:.*sealed\/raw\//, 'raw is read-only');
is(count_of("dicom.copies WHERE target = 'sealed_raw'"), 0, 'raw is read-only: nothing counts as copied');
chmod 0755, "$dir/sealed/raw" or die;
chmod 0555, "$dir/sealed/stage" or die;
fails('sealed', qr/^failed\|compress: frame 1: cannot write object: Permission denied\ncompress\|42501\|.*dicom\.failures/, 'stage is read-only');
is(count_of('sealed_stage.images') . '|' . count_of('sealed_processed.studies') . '|' . count_of('sealed_stage.compressed_images'), '20|4|0',
	'stage is read-only: rows that need no picture are there');
like($cluster->query("SELECT count(*) > 0, bool_and(reason = 'unreachable' AND error_code = '42501' AND next_attempt < now() + interval '2 min')
	FROM dicom.failures WHERE pipeline = 'sealed' AND resolved IS NULL"), qr/^t\|t$/, 'stage is read-only: objects say why, and when they are tried again');
is($cluster->query("SELECT reason FROM dicom.due() WHERE pipeline = 'sealed'"), '', 'stage is read-only: no run begins at once');
is($cluster->query("UPDATE dicom.pipeline SET next_attempt = now() WHERE name = 'sealed'; SELECT reason FROM dicom.due() WHERE pipeline = 'sealed'"), 'failed before',
	'stage is read-only: but soon');
chmod 0755, "$dir/sealed/stage" or die;
recovers('sealed', 'read-only stores');

make_pipeline('lost');
rename "$dir/lost/stage", "$dir/lost/gone" or die;
fails('lost', qr/^failed\|compress: dicompress ended with status 2, and made no picture\ncompress\|38000\|.*stage.*does not exist/, 'no stage');
is(count_of('lost_stage.images'), 20, 'no stage: rows that need no picture are there');
rename "$dir/lost/gone", "$dir/lost/stage" or die;
recovers('lost', 'no stage');

# --- Full disks

# Leaves so many bytes; what fills them is none of the objects' business.
sub fill
{
	my ($disk, $left) = @_;
	my (undef, $free) = split /\n/, (run_command('df', '-B1', '--output=avail', $disk))[0];

	return write_text("$disk/filler", '.' x ($free - $left));
}

SKIP:
{
	skip 'a tmpfs cannot be mounted in a namespace of user and mounts', 17 unless $ENV{DICOM_TEST_SMALL_DISKS};
	my %disk = map { $_ => "$ENV{DICOM_TEST_SMALL_DISKS}/$_" } qw(raw stage);

	# A picture takes a page or two: some of the four frames of an image find room, others do not.
	my $filler = fill($disk{stage}, 110_000);
	make_pipeline('full', stage => $disk{stage});
	fails('full', qr/^failed\|compress: .*No space left on device.*\ncompress\|53100\|.*dicom\.failures/, 'the disk of stage is full');
	unlink $filler or die;
	nothing_half($disk{stage}, 'the disk of stage is full');
	cmp_ok(count_of("full_stage_private.picture_objects WHERE state = 'done' AND next_attempt IS NOT NULL"), '>', 0, 'the disk of stage is full: an image has some of its frames');
	my $shown = $cluster->query("SELECT key || ' ' || sha256 FROM full_stage.compressed_images");
	cmp_ok(() = $shown =~ /\.jpg /g, '>', 0, 'the disk of stage is full: what found room is shown');
	unlike(difference(stage_files($disk{stage}), $shown), qr/^\+/m, 'the disk of stage is full: and nothing that did not');
	recovers('full', 'the disk of stage is full', stage => $disk{stage});

	$filler = fill($disk{raw}, 120_000);
	make_pipeline('tight', raw => $disk{raw});
	fails('tight', qr/^failed\|copy: .*No space left on device\ncopy\|53100\|.*\|Make room/, 'the disk of raw is full');
	unlink $filler or die;
	unlike((run_command('diff', '-r', $provider, $disk{raw}))[0], qr/^(?!Only in \Q$provider\E)/m, 'the disk of raw is full: no file is there by halves');
	my $there = () = glob "$disk{raw}/*.dcm";
	ok($there > 0 && $there < 20, 'the disk of raw is full: some files found room');
	is(count_of('tight_processed.images'), $there, 'the disk of raw is full: and are worked on');
	recovers('tight', 'the disk of raw is full', raw => $disk{raw});
}

# --- A file that kills the decoder every time

# An image of many frames of 1024 x 1024, all zero: run lengths make it small, and its pictures take their time.
sub write_poison
{
	my ($file, $frames) = @_;
	my $frame = pack('V16', 1, 64, (0) x 14) . "\x81\x00" x (1024 * 1024 / 128);
	my $bytes = read_text(write_image($file, study => 3, series => 6, image => 99, day => '20200104', patient => 'MRN-4711-1',
		'00280008' => [ 'IS', $frames ], map { $_ => [ 'US', pack 'v', 1024 ] } qw(00280010 00280011)));

	$bytes =~ s/1\.2\.840\.10008\.1\.2\.1\0/1.2.840.10008.1.2.5\0/ or die;
	$bytes =~ s/\xE0\x7F\x10\x00OB.*//s or die;
	return write_text($file, $bytes . pack('vva2vV', 0x7FE0, 0x10, 'OB', 0, 0xFFFFFFFF) . pack('vvV', 0xFFFE, 0xE000, 0)
			. (pack('vvV', 0xFFFE, 0xE000, length $frame) . $frame) x $frames . pack 'vvV', 0xFFFE, 0xE0DD, 0);
}

sub parent_of { return read_text("/proc/$_[0]/stat") =~ /^.*\) \S (\d+)/s ? $1 : 0 }

# Decoders are children of dicompress, a child of a backend of this server.
sub decoders
{
	my ($postmaster) = read_text("$cluster->{dir}/data/postmaster.pid") =~ /^(\d+)/;

	return grep { parent_of(parent_of(parent_of($_))) == $postmaster } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# In a process of its own: whenever a picture of the poisoned file has come, which alone has a fifth one, its decoder dies.
sub poison
{
	my ($stage) = @_;
	my $pid = fork() // die "fork: $!\n";
	my $seen = '';

	return $pid if $pid;
	for (;;)
	{
		my ($folder) = map { s/[^\/]*$//r } glob "$stage/compressed_images/*/*/*/*/*/5.jpg";
		my $now = $folder ? join ' ', map { (stat $_)[1] // '' } glob "$folder*.jpg" : '';
		kill 'SEGV', decoders() if $now ne $seen;
		$seen = $now;
		sleep 0.002;
	}
}

write_poison("$provider/00 poison.dcm", 250);
make_pipeline('poisoned');
my $poisoner = poison("$dir/poisoned/stage");
for my $count (1 .. 2)
{
	$cluster->query("SELECT dicom.retry_failed('poisoned')");
	run_pipeline($cluster, 'poisoned');
	is($cluster->query("SELECT object_key, step, reason, error_code, count, message, next_attempt BETWEEN now() AND now() + interval '3 min'
		FROM dicom.failures WHERE pipeline = 'poisoned' AND resolved IS NULL"), "00 poison.dcm|compress|undecodable|38000|$count|decoder killed by SIGSEGV|t",
		"a poisoned file is the only failure, run $count");
	is(count_of("poisoned_stage.compressed_images WHERE frame <= 4 AND sop_instance_uid IN (SELECT sop_instance_uid FROM calm_stage.images)"), 80,
		"a poisoned file: the others have their pictures, run $count");
	is(count_of("dicom.days WHERE pipeline = 'poisoned' AND state <> 'fresh'"), 0, "a poisoned file: every day is fresh, run $count");
}
kill 'KILL', $poisoner;
waitpid $poisoner, 0;
run_pipeline($cluster, 'calm');
recovers('poisoned', 'a poisoned file');

# --- In the end

my $said = $cluster->query("SELECT concat_ws(' ', error, detail, hint) FROM dicom.run_steps UNION ALL SELECT message FROM dicom.failures UNION ALL SELECT error FROM dicom.runs");
my $log  = $cluster->server_log;
is(join(' ', grep { index($said, $_) >= 0 || index($log, $_) >= 0 } qw(SMITH Ann^of MRN-4711)), '', 'no message and no line of the log has a value of a patient');
is((run_command('find', $dir, '-name', '.dicom_fdw-*'))[0], '', 'no temporary file is left');
unlike($log, qr/terminated by signal|PANIC|TRAP/, 'no process died by itself');

done_testing();
