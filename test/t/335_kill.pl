# Promise: after kill -9 of dicompress, or of its children, at whatever moment, no half-written picture stands under its final name, and the next
# run makes the target complete.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use DicomTest;
use File::Find qw(find);
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my $dir = work_dir();
my $program = "$ENV{DICOM_TEST_BIN}/dicompress";
my $count = 300;
my @common = ('--key', '{study_date:%Y/%m/%d}/{sop_instance_uid}.jpg', '--jobs', 2);

srand($ENV{DICOM_SEED} // 11);
make_files('--count', $count, '--size', 64, "$dir/in");

sub start
{
	my ($name, @arguments) = @_;

	unlink "$dir/$name.out";
	return spawn_command("$dir/$name.out", "$dir/$name.err", $program, @arguments);
}

sub lines
{
	my ($name) = @_;

	return map { JSON::PP->new->decode($_) } read_text("$dir/$name.out") =~ /^(.*)\n/mg;
}

sub pictures_in
{
	my ($below) = @_;
	my %pictures;

	find({ wanted => sub { $pictures{ substr $_, 1 + length $below } = $_ if -f && /\.jpg$/ }, no_chdir => 1 }, $below) if -d $below;
	return %pictures;
}

# Pictures that do not end as a JPEG does.
sub broken
{
	my %pictures = @_;

	return join ' ', grep { read_text($pictures{$_}) !~ /^\xFF\xD8.*\xFF\xD9\z/s } sort keys %pictures;
}

sub finish_killed
{
	my ($pid) = @_;

	waitpid $pid, 0;
	return $? & 127;
}

# Starts it with sources that are told by and by: it cannot end before the handle is closed.
sub start_fed
{
	my ($name, @arguments) = @_;

	unlink "$dir/$name.out";
	my $pid = open my $in, '|-', 'sh', '-c', 'exec "$@" >"$0.out" 2>"$0.err"', "$dir/$name", $program, @arguments, '-' or die "$program: $!";
	$in->autoflush(1);
	return ($pid, $in);
}

# --- dicompress itself

my $out = "$dir/out";
my @sources;
find({ wanted => sub { push @sources, $_ if -f }, no_chdir => 1 }, "$dir/in");
@sources = sort @sources;
my ($killed, $broken) = (0, '');
local $SIG{PIPE} = 'IGNORE';
for my $try (1 .. 12)
{
	my ($pid, $in) = start_fed('killed', '--output', $out, @common);

	print $in map { "$_\n" } @sources[ 0 .. rand @sources ];
	sleep rand 0.2;
	kill 'KILL', $pid;
	close $in;
	$killed++ if ($? & 127) == 9;
	$broken ||= broken(pictures_in($out));
}
is($killed, 12, 'dicompress was killed');
is($broken, '', 'no picture is half-written, at any time');
my ($printed, $complaint, $code) = run_command($program, '--output', $out, @common, "$dir/in/");
my %pictures = pictures_in($out);
is($code, 0, 'the next run succeeds');
is(scalar keys %pictures, $count, 'and the target is complete');
my @said = map { JSON::PP->new->decode($_) } split /\n/, $printed;
is(scalar @said, $count, 'a line for each');
is(scalar(grep { sha256_hex(read_text("$out/$_->{key}")) ne $_->{sha256} } @said), 0, 'that says what is there');
($printed) = run_command($program, '--output', $out, @common, "$dir/in/");
is(scalar(grep { /skipped/ } split /\n/, $printed), $count, 'and then all is done');

# --- its children

my ($pid, $in) = start_fed('children', '--output', "$dir/children", @common, '--overwrite');
my $deaths = 0;
for my $number (0 .. $#sources)
{
	print $in "$sources[$number]\n";
	next if $number % 10;
	sleep rand 0.03;
	my @now = split ' ', read_text("/proc/$pid/task/$pid/children");
	$deaths += kill 'KILL', $now[ rand @now ] if @now && $deaths < 20;
}
close $in;
ok($deaths > 0, 'children were killed');
my %told = map { $_->{source} => 1 } lines('children');
is(scalar keys %told, $count, 'every file is accounted for');
is(join(' ', grep { $_->{error_code} ne 'decoder' } grep { $_->{error} } lines('children')), '', 'what failed did by the decoder');
is(broken(pictures_in("$dir/children")), '', 'no picture is half-written');
($printed, $complaint, $code) = run_command($program, '--output', "$dir/children", @common, "$dir/in/");
is("$code " . scalar keys %{ { pictures_in("$dir/children") } }, "0 $count", 'the next run makes it complete');

# --- a bucket

SKIP:
{
	my $s3 = s3_server();
	skip 'no radosgw here', 3 unless $s3;
	local $ENV{AWS_ACCESS_KEY_ID} = $s3->{access_key_id};
	local $ENV{AWS_SECRET_ACCESS_KEY} = $s3->{secret_access_key};
	my @options = ('--endpoint', $s3->{endpoint}, '--credentials', 'environment', '--output', 's3://target/p/', @common);
	$s3->bucket('target');
	for my $try (1 .. 4)
	{
		my $pid = start('bucket', @options, "$dir/in/");

		sleep 0.1 + rand 0.5;
		kill 'KILL', $pid;
		finish_killed($pid);
	}
	($printed, $complaint, $code) = run_command($program, @options, "$dir/in/");
	is($code, 0, 'a bucket: the next run succeeds') or diag($complaint);
	my %keys = map { $_->{key} => $_ } map { JSON::PP->new->decode($_) } split /\n/, $printed;
	is(scalar keys %keys, $count, 'and names every picture');
	is(scalar(grep { sha256_hex($s3->request('GET', "/target/p/$_")) ne $keys{$_}{sha256} } keys %keys), 0, 'which are there, whole');
}
done_testing();
