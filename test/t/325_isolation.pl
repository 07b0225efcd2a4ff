# Promise: decoders run in processes that can do nothing but decode; what becomes of one, killed or hanging, costs the file that it
# was at, after a second try, and no other.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use File::Copy qw(copy);
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my $dir = work_dir();
my $program = "$ENV{DICOM_TEST_BIN}/dicompress";

# --- two programs

my %links = map { $_ => (run_command('ldd', "$program$_"))[0] } '', '-decoder';
unlike($links{''}, qr/lib(?:dcm|charls|openjp|jxl|jpeg)/, 'what reaches stores has no decoder in it');
unlike($links{-decoder}, qr/lib(?:curl|ssl|expat|nss_)/, 'what decodes has no network in it');
like($links{-decoder}, qr/$_/, "but $_") for qw(libdcmdata libopenjp2);
for my $arguments ([], ['1000000000'], ['--help'], [ '1000000000', 'writes' ])
{
	my (undef, $err, $code) = run_command("$program-decoder", @$arguments);
	is("$code $err", "2 dicompress-decoder is started by dicompress and by PostgreSQL\n", "it does nothing by hand: @$arguments");
}
mkdir "$dir/alone" or die;
copy($program, "$dir/alone/dicompress") or die;
chmod 0755, "$dir/alone/dicompress" or die;
my (undef, $alone, $alone_code) = run_command("$dir/alone/dicompress", '--output', "$dir/alone/out", "$dir/alone");
like("$alone_code $alone", qr{^2 dicompress: cannot start the program that decodes pixels: No such.*\n.*hint: is it installed as \Q$dir\E/alone/dicompress-decoder\?}, 'nothing is begun without it');

# --- the sandbox

my %outcome = (
	nothing => 'done', some_memory => 'done',
	open => 'refused', create => 'refused', limits => 'refused', memory => 'no memory',
	write_file => 'SIGXFSZ', abort => 'SIGABRT', map { $_ => 'SIGSYS' }
		qw(socket connect fork exec kill signal_parent ptrace unlink executable make_executable clone));
my %ends = (10 => 'done', 11 => 'refused', 12 => 'no memory', 13 => 'failed', 128 + 31 => 'SIGSYS', 128 + 25 => 'SIGXFSZ', 128 + 6 => 'SIGABRT');
write_text("$dir/file", '');
for my $thing (sort keys %outcome)
{
	my (undef, undef, $code) = run_command('sh', '-c', 'exec "$0" "$1" <>"$2"', top() . '/build/tools/sandbox_tool', $thing, "$dir/file");
	is($ends{$code} // $code, $outcome{$thing}, "sandbox: $thing: $outcome{$thing}");
}

# --- a run whose children are in the test's hands

# A file of so many frames, 1024 x 1024 of 16 bits, all zero: sparse.
sub write_large
{
	my ($file, $uid, $frames) = @_;
	my $length = $frames * 2 * 1024 * 1024;

	write_dicom($file, element('00080018', 'UI', $uid), element('0020000E', 'UI', '1.2.3'), element('00280002', 'US', pack 'v', 1),
		element('00280004', 'CS', 'MONOCHROME2'), element('00280008', 'IS', $frames), element('00280010', 'US', pack 'v', 1024),
		element('00280011', 'US', pack 'v', 1024), element('00280100', 'US', pack 'v', 16), element('00280101', 'US', pack 'v', 16),
		element('00280102', 'US', pack 'v', 15), element('00280103', 'US', pack 'v', 0), pack('vva2vV', 0x7FE0, 0x0010, 'OW', 0, $length));
	truncate $file, $length + -s $file or die;
	return $file;
}

sub children
{
	my ($pid) = @_;

	return split ' ', read_text("/proc/$pid/task/$pid/children");
}

# What was said so far.
sub lines
{
	my ($run) = @_;

	return map { JSON::PP->new->decode($_) } read_text($run->{out}) =~ /^(.*)\n/mg;
}

sub start
{
	my ($name, @arguments) = @_;
	my $run = { out => "$dir/$name.out", err => "$dir/$name.err" };

	$run->{pid} = spawn_command($run->{out}, $run->{err}, $program, '--output', "$dir/$name", '--key', '{name}/{frame}.jpg', '--jobs', 1, @arguments);
	return $run;
}

sub finish
{
	my ($run) = @_;

	waitpid $run->{pid}, 0;
	return $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
}

# Waits until a run has made so many pictures of the large file.
sub await
{
	my ($run, $count) = @_;

	return wait_until(sub { $count <= grep { $_->{source} =~ /large/ } lines($run) }, 60);
}

sub wrong
{
	my ($run, $frames) = @_;
	my %times;

	$times{ $_->{frame} }++ for grep { $_->{source} =~ /large/ && $_->{key} } lines($run);
	return join ' ', grep { ($times{$_} // 0) != 1 } 1 .. $frames;
}

my $frames = 400;
make_files('--count', 4, '--size', 16, '--layout', 'flat', "$dir/small");
my $large = write_large("$dir/large.dcm", '1.2.3.9', $frames);
my @sources = ((map { "$dir/small/00000$_.dcm" } 0, 1), $large, map { "$dir/small/00000$_.dcm" } 2, 3);
my $small = sub { my ($run) = @_; return scalar grep { $_->{source} =~ /small/ && $_->{key} } lines($run); };

local $ENV{AWS_SECRET_ACCESS_KEY} = 'hush';
my $run = start('once', @sources);
ok(await($run, 10), 'a run is under way');
my ($child) = children($run->{pid});
my $status = read_text("/proc/$child/status");
like($status, qr/^Seccomp:\s+2$/m, 'its child has a filter of system calls');
like($status, qr/^NoNewPrivs:\s+1$/m, 'gains no privileges');
like(read_text("/proc/$child/limits"), qr/^Max core file size\s+0\s+0/m, 'leaves no core');
unlike(read_text("/proc/$child/environ"), qr/hush/, 'knows no secrets');
unlike(read_text("/proc/$child/cmdline"), qr/hush/, 'by whatever way');
my @descriptors = map { readlink $_ } glob "/proc/$child/fd/*";
is(scalar(grep { !/^socket:|^\/dev\/null$|large\.dcm$|small/ } @descriptors), 0, 'and has a socket, the object it works on, and nothing else') or diag("@descriptors");
kill 'SEGV', $child;
is(finish($run), 0, 'a child that dies once does no harm');
is(wrong($run, $frames), '', 'every frame is made, once');
is($small->($run), 4, 'and so are the other files');

$run = start('twice', @sources);
my $died = 0;
for my $try (1, 2)
{
	await($run, $died + 10);
	my ($now) = children($run->{pid});
	kill 'SEGV', $now;
	wait_until(sub { !grep { $_ == $now } children($run->{pid}) });
	$died = grep { $_->{source} =~ /large/ } lines($run);
}
is(finish($run), 1, 'one that dies twice over a file');
is_deeply([ map { "$_->{error}; $_->{error_code}" } grep { $_->{error} } lines($run) ], ['decoder killed by SIGSEGV; decoder'], 'costs that file, and its signal is told');
is($small->($run), 4, 'and no other');
$run = start('twice', @sources);
is(finish($run), 0, 'the next run makes what is missing');
is(wrong($run, $frames), '', 'all of that file');

$run = start('hang', '--timeout', 1, @sources);
for my $try (1, 2)
{
	await($run, $try == 1 ? 10 : $died + 10);
	my ($now) = children($run->{pid});
	kill 'STOP', $now;
	wait_until(sub { !grep { $_ == $now } children($run->{pid}) });
	$died = grep { $_->{source} =~ /large/ } lines($run);
}
is(finish($run), 1, 'one that hangs');
is_deeply([ map { "$_->{error}; $_->{error_code}; $_->{hint}" } grep { $_->{error} } lines($run) ],
	['decoder made no progress; decoder; it was given 1 s'], 'is stopped after a while');
is($small->($run), 4, 'and the rest goes on');

$run = start('orphan', @sources);
await($run, 5);
($child) = children($run->{pid});
kill 'KILL', $run->{pid};
finish($run);
ok(wait_until(sub { !kill 0, $child }), 'a child does not outlive its parent');

# --- memory

# Samples, 900,000,000 bytes of them: without a window all of 16 bits must be looked at first, those of 8 bits need not be there at once.
sub write_huge
{
	my ($file, $rows, $bits) = @_;

	write_dicom($file, element('00080018', 'UI', "1.2.3.10.$bits"), element('0020000E', 'UI', '1.2.3'), element('00280002', 'US', pack 'v', 1),
		element('00280004', 'CS', 'MONOCHROME2'), element('00280010', 'US', pack 'v', $rows), element('00280011', 'US', pack 'v', 30000),
		element('00280100', 'US', pack 'v', $bits), element('00280101', 'US', pack 'v', $bits), element('00280102', 'US', pack 'v', $bits - 1),
		element('00280103', 'US', pack 'v', 0), pack('vva2vV', 0x7FE0, 0x0010, 'OW', 0, 900000000));
	truncate $file, 900000000 + -s $file or die;
	return $file;
}

$run = start('huge', '--memory', '512MB', write_huge("$dir/huge.dcm", 15000, 16), write_huge("$dir/wide.dcm", 30000, 8), "$dir/small/000000.dcm");
is(finish($run), 1, 'a frame that does not fit into the memory of a child');
is_deeply([ map { [ $_->{source}, $_->{error_code} ] } grep { $_->{error} } lines($run) ], [ [ "$dir/huge.dcm", 'memory' ] ], 'is told');
is_deeply([ map { [ @$_{qw(width height)} ] } grep { $_->{source} eq "$dir/wide.dcm" && !$_->{error} } lines($run) ], [ [ 30000, 30000 ] ],
	'one that is read piece by piece does');
is($small->($run), 1, 'and the rest goes on');
done_testing();
