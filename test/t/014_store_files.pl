# A directory as a store, where the kernel or the disk does less than usual: a copy is whole, or there is none.
use strict;
use warnings;
use DicomTest;
use Test::More;

my $dir  = work_dir();
my $tool = "$ENV{DICOM_TEST_TOP}/build/tools/store_tool";
my $data = join '', map { chr int rand 256 } 1 .. 700_000;

mkdir "$dir/$_" for qw(from to);
write_text("$dir/from/object", $data);

# Copies the object while strace lets system calls end as is said; the status, what was said, and what lies in the target.
sub copy
{
	my @injected = map { ('-e', "inject=$_") } @_;
	my @command  = ($tool, '-o', "location=file://$dir/from/", '-o', "target=file://$dir/to/", 'copy', 'object', 'copied');

	unlink grep { -f } glob "$dir/to/{,.}*";
	my ($out, $err, $status) = run_command('strace', '-o', "$dir/trace", '-e', 'trace=copy_file_range,read,write,pwrite64', @injected, @command);
	my @there = map { substr $_, length "$dir/to/" } grep { -f } glob "$dir/to/{,.}*";
	return { status => $status, said => $out . $err, there => "@there", right => -e "$dir/to/copied" && read_text("$dir/to/copied") eq $data, trace => read_text("$dir/trace") };
}

my $copied = eval { copy() };
plan skip_all => 'nothing can be traced here' unless $copied && $copied->{trace} =~ /copy_file_range\(/;
is("$copied->{status} $copied->{there}", '0 copied', 'the kernel copies');
ok($copied->{right}, 'every byte');

for my $reason (qw(EXDEV EINVAL ENOSYS EOPNOTSUPP EPERM))
{
	$copied = copy("copy_file_range:error=$reason");
	is("$copied->{status} $copied->{there}", '0 copied', "$reason: the program does");
	ok($copied->{right}, 'every byte');
}
$copied = copy('copy_file_range:error=EXDEV:when=2+');
ok($copied->{right}, 'or what the kernel has left');
$copied = copy('copy_file_range:error=EXDEV', 'write:error=EINTR:when=1');
ok($copied->{right}, 'interrupted or not') or diag($copied->{said});

for my $case ([ 'a copy that is too short', qr/^CHANGED \|.*object/, 'copy_file_range:retval=0' ],
	[ 'a full disk', qr/^FULL \|.*make room/, 'copy_file_range:error=ENOSPC' ],
	[ 'a full disk while the program copies', qr/^FULL \|.*make room.*to\/copied/, 'copy_file_range:error=EXDEV', 'write:error=ENOSPC:when=1' ],
	[ 'a disk that cannot be read', qr/^IO \|/, 'copy_file_range:error=EIO' ])
{
	my ($name, $pattern, @injected) = @$case;

	$copied = copy(@injected);
	isnt($copied->{status}, 0, "$name: there is an error");
	like($copied->{said}, $pattern, "$name: it says why");
	is($copied->{there}, '', "$name: nothing is left");
}

# Somebody goes on writing the object, as soon as the copy has been begun.
my $writer = spawn_command("$dir/out", "$dir/err", 'sh', '-c', "until ls $dir/to/.dicom_fdw-*; do sleep 0.01; done; printf more >>$dir/from/object");
$copied = copy('copy_file_range:delay_enter=3000000:when=1');
waitpid $writer, 0;
like($copied->{said}, qr/^CHANGED \|.*object/, 'an object that grows meanwhile is another one');
is($copied->{there}, '', 'nothing is left');
is(join(' ', $copied->{trace} =~ /^copy_file_range\(.* = (\d+)/mg), length $data, 'and no more of it was copied than it had');

done_testing();
