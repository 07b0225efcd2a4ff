# What the tests under test/t share: a throw-away PostgreSQL with the extension, a throw-away S3 server, the
# fault-injecting proxy, and psql. Everything a test starts ends with it.
#
# scripts/test.sh says where things are: DICOM_TEST_TOP (the clone), DICOM_TEST_WORK (a directory to work in), DICOM_TEST_BIN
# (PostgreSQL's programs, the extension installed beside), DICOM_TEST_CORPUS (real files, may be empty).
package DicomTest;

use strict;
use warnings;

use Exporter 'import';
use Fcntl qw(:flock);
use File::Find qw(find);
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use S3Server;
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT = qw(
	cluster s3_server fault_proxy canned_server moved_clock set_clock
	top work_dir corpus run_command spawn_command stop_process read_text write_text wait_until
	put_directory make_files private_memory
);

my %children;     # pid => 1, of what must not outlive the test
my @directories;    # to be removed in the end
my $starter = $$;

sub top    { return $ENV{DICOM_TEST_TOP}  || die "run this through scripts/test.sh NAME\n"; }
sub work   { return $ENV{DICOM_TEST_WORK} || die "run this through scripts/test.sh NAME\n"; }
sub bin    { return $ENV{DICOM_TEST_BIN}  || die "run this through scripts/test.sh NAME\n"; }
sub corpus { return $ENV{DICOM_TEST_CORPUS}; }

# A directory of the test's own, removed in the end.
sub work_dir
{
	my $dir = File::Temp::tempdir('t.XXXXXX', DIR => work());

	push @directories, $dir;
	return $dir;
}

sub read_text
{
	my ($file) = @_;

	open my $handle, '<:raw', $file or return '';
	local $/ = undef;
	return scalar(<$handle>) // '';
}

sub write_text
{
	my ($file, $text) = @_;

	open my $handle, '>:raw', $file or die "$file: $!\n";
	print $handle $text;
	close $handle or die "$file: $!\n";
	return $file;
}

# A command in the background, its output in files; returns its pid.
sub spawn_command
{
	my ($out, $err, @command) = @_;
	my $pid = fork() // die "fork: $!\n";

	if ($pid == 0)
	{
		open STDIN,  '<', '/dev/null';
		open STDOUT, '>', $out;
		open STDERR, '>', $err;
		exec @command or POSIX::_exit(127);
	}
	$children{$pid} = 1;
	return $pid;
}

# Waits for a command's end; returns its exit code, or 128 + the signal that ended it.
sub wait_command
{
	my ($pid) = @_;

	waitpid $pid, 0;
	my $status = $?;
	delete $children{$pid};
	return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

# Runs a command; returns what it printed and its exit code.
sub run_command
{
	my @command = @_;
	my $dir     = File::Temp->newdir('run.XXXXXX', DIR => work());
	my $code    = wait_command(spawn_command("$dir/out", "$dir/err", @command));

	return (read_text("$dir/out"), read_text("$dir/err"), $code);
}

sub stop_process
{
	my ($pid, $signal) = @_;

	kill $signal || 'TERM', $pid;
	waitpid $pid, 0 if delete $children{$pid};
	return;
}

# KiB of memory that a process has for itself, what is shared not counted; 0 where it is gone.
sub private_memory
{
	my ($pid) = @_;
	my $status = read_text("/proc/$pid/status");
	my ($all) = $status =~ /^VmRSS:\s*(\d+)/m;
	my ($shared) = $status =~ /^RssShmem:\s*(\d+)/m;

	return defined $shared ? $all - $shared : 0;
}

# Looks every 20 ms whether something holds, at most that long. Returns what it last was.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $result;

	for (1 .. ($seconds || 30) * 50)
	{
		$result = $condition->() and return $result;
		sleep 0.02;
	}
	return $result;
}

# Puts every file of a directory into a bucket, which is made if need be; keys are a prefix and the path below the directory.
sub put_directory
{
	my ($s3, $bucket, $dir, $prefix) = @_;
	my @files;

	find({ wanted => sub { push @files, substr $_, 1 + length $dir if -f }, no_chdir => 1 }, $dir);
	$s3->bucket($bucket) unless $s3->{has_bucket}{$bucket}++;
	my @writers;
	for my $share (0 .. 3)
	{
		push @writers, fork() // die "fork: $!\n";
		put_share($s3, $bucket, $dir, $prefix // '', @files[ grep { $_ % 4 == $share } 0 .. $#files ]) if $writers[-1] == 0;
	}
	for (@writers)
	{
		waitpid $_, 0;
		die "cannot put $dir into $bucket\n" if $?;
	}
	return scalar @files;
}

# In a process of its own, which ends with it.
sub put_share
{
	my ($s3, $bucket, $dir, $prefix, @files) = @_;

	eval { $s3->request('PUT', "/$bucket/$prefix$_", body => read_text("$dir/$_")) for @files; 1 } or warn $@;
	POSIX::_exit($@ ? 1 : 0);
}

# DICOM files as bench/make_files.py makes them.
sub make_files
{
	my @arguments = @_;
	my ($out, $err, $code) = run_command('python3', '-B', top() . '/bench/make_files.py', @arguments);

	$code == 0 or die "make_files: $err\n";
	return $out;
}

# The environment of a cluster whose clock is wrong by as many seconds as set_clock() has last said of this file, none at first.
sub moved_clock
{
	my ($file) = @_;

	write_text($file, pack 'q', 0);
	return { LD_PRELOAD => top() . '/build/tools/clock.so', DICOM_TEST_CLOCK => $file };
}

# Programs have the file mapped: it is never made anew.
sub set_clock
{
	my ($file, $seconds) = @_;

	open my $handle, '+<:raw', $file or die "$file: $!\n";
	syswrite $handle, pack 'q', $seconds;
	close $handle or die "$file: $!\n";
	return;
}

sub cluster     { return DicomTest::Cluster->new(@_); }
sub fault_proxy { return DicomTest::Proxy->new(@_); }

# Starts an S3 server, 'radosgw' or 'swift'; undef where its packages are missing.
sub s3_server
{
	my ($kind) = (@_, 'radosgw');
	my $server = S3Server->start($kind);

	return $server->skipped ? undef : $server;
}

# An HTTP server that gives this answer to everything. Returns its endpoint.
sub canned_server
{
	my ($answer) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die "listen: $!\n";
	my $pid = fork() // die "fork: $!\n";

	if ($pid == 0)
	{
		$SIG{PIPE} = 'IGNORE';
		while (my $client = $listener->accept)
		{
			local $/ = "\r\n\r\n";
			my $request = <$client>;
			print $client $answer if defined $request;
			close $client;
		}
		POSIX::_exit(0);
	}
	$children{$pid} = 1;
	return 'http://127.0.0.1:' . $listener->sockport;
}

END
{
	if ($$ == $starter)
	{
		my $status = $?;

		$_->stop for @DicomTest::Cluster::running;
		kill 'TERM', keys %children if %children;
		remove_tree(@directories, { safe => 0 }) if @directories && !$ENV{DICOM_TEST_KEEP};
		$? = $status;
	}
}

# --- The proxy between PostgreSQL and an S3 server: test/faults

package DicomTest::Proxy;

use Time::HiRes qw(sleep);

# Starts one in front of a server.
sub new
{
	my ($class, $s3) = @_;
	my $dir = DicomTest::work_dir();
	my $port = S3Server::free_ports();
	my ($upstream) = $s3->{endpoint} =~ /:(\d+)/;
	my $self = bless { control => "$dir/control", log => "$dir/log", seen => 0, server => { %$s3, endpoint => "http://127.0.0.1:$port" } }, $class;

	$self->set('');
	DicomTest::spawn_command("$dir/out", "$dir/err", DicomTest::top() . '/build/tools/fault_proxy', $port, $upstream, $self->{control}, $self->{log});
	DicomTest::wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) })
		or die 'fault_proxy did not start: ' . DicomTest::read_text("$dir/err");
	return $self;
}

# The S3 server as it is reached through here.
sub server { my ($self) = @_; return $self->{server}; }

# The faults to make from now on: lines as test/faults/rules.h describes them.
sub set
{
	my ($self, @rules) = @_;

	DicomTest::write_text("$self->{control}.new", join '', map { "$_\n" } @rules);
	rename "$self->{control}.new", $self->{control} or die "$!\n";
	return;
}

# What was asked since forget(): a hash per request. A request is logged when its answer has ended, so the last may be late.
sub requests
{
	my ($self) = @_;

	sleep 0.1;
	return map {
		my %request;
		@request{qw(method target range status bytes fault)} = split /\t/;
		$request{is_list} = $request{target} =~ /list-type=2/;
		$request{is_read} = $request{method} eq 'GET' && !$request{is_list};
		\%request
	} split /\n/, substr DicomTest::read_text($self->{log}), $self->{seen};
}

sub forget
{
	my ($self) = @_;

	sleep 0.1;
	$self->{seen} = -s $self->{log} || 0;
	return;
}

# --- PostgreSQL

package DicomTest::Cluster;

use Fcntl qw(:flock);

our @running;

# Copies a data directory that was initialised once, and starts a server on it. `conf` is added to postgresql.conf, `env` to
# the server's environment.
sub new
{
	my ($class, %options) = @_;
	my $dir  = DicomTest::work_dir();
	my $self = bless { dir => $dir, port => 5432, log => "$dir/server.log", env => $options{env} || {} }, $class;

	system('cp', '-a', template(), "$dir/data") == 0 or die "cannot copy the data directory\n";
	open my $conf, '>>', "$dir/data/postgresql.conf" or die "$!\n";
	print $conf <<"END", $options{conf} // '';
listen_addresses = ''
port = $self->{port}
unix_socket_directories = '$dir'
fsync = off
max_connections = 20
shared_buffers = 32MB
log_statement = all
lc_messages = 'C'
END
	close $conf;
	$self->start;
	return $self;
}

sub template
{
	my $template = DicomTest::work() . '/template';

	open my $lock, '>', "$template.lock" or die "$!\n";
	flock $lock, LOCK_EX;
	my $version = `"@{[DicomTest::bin()]}/postgres" --version`;
	return $template if DicomTest::read_text("$template/made_by") eq $version;
	File::Path::remove_tree($template);
	my ($out, $err, $code) = DicomTest::run_command(DicomTest::bin() . '/initdb',
		'-D', $template, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync');
	die "initdb: $err\n" if $code != 0;
	DicomTest::write_text("$template/made_by", $version);
	return $template;
}

sub start
{
	my ($self) = @_;
	local %ENV = (%ENV, %{ $self->{env} });
	my ($out, $err, $code) = DicomTest::run_command(DicomTest::bin() . '/pg_ctl', '-D', "$self->{dir}/data",
		'-s', '-w', '-l', $self->{log}, 'start');

	die "pg_ctl start: $err" . DicomTest::read_text($self->{log}) if $code != 0;
	push @running, $self;
	return;
}

sub stop
{
	my ($self, $mode) = @_;

	@running = grep { $_ != $self } @running;
	DicomTest::run_command(DicomTest::bin() . '/pg_ctl', '-D', "$self->{dir}/data", '-s', '-m', $mode || 'immediate', '-w', 'stop');
	return;
}

sub server_log { my ($self) = @_; return DicomTest::read_text($self->{log}); }

# Starts psql on a script. Options: user, db, go_on (past errors), psql (more of its arguments).
sub start_psql
{
	my ($self, $sql, %options) = @_;
	my $dir    = File::Temp::tempdir('psql.XXXXXX', DIR => $self->{dir});
	my $script = DicomTest::write_text("$dir/script.sql", $sql);
	my $pid    = DicomTest::spawn_command("$dir/out", "$dir/err",
		DicomTest::bin() . '/psql', '-XAtq', '-h', $self->{dir}, '-p', $self->{port},
		'-U', $options{user} || 'postgres', '-d', $options{db} || 'postgres',
		'-v', 'ON_ERROR_STOP=' . ($options{go_on} ? 0 : 1), '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never',
		@{ $options{psql} || [] }, '-f', $script);

	return { pid => $pid, dir => $dir };
}

sub finish_psql
{
	my ($self, $session) = @_;
	my $code = DicomTest::wait_command($session->{pid});
	my ($out, $err) = map { DicomTest::read_text("$session->{dir}/$_") } qw(out err);

	chomp $out;
	$err =~ s/^psql:\S+: //mg;
	return ($out, $err, $code);
}

# The process of the worker of dicom.sync(), if there is one.
sub sync_worker
{
	my ($self) = @_;
	my ($postmaster) = DicomTest::read_text("$self->{dir}/data/postmaster.pid") =~ /^(\d+)/;

	for my $pid (map { m{/(\d+)/} } glob '/proc/[0-9]*/cmdline')
	{
		return $pid if DicomTest::read_text("/proc/$pid/cmdline") =~ /dicom sync/ && DicomTest::read_text("/proc/$pid/status") =~ /^PPid:\s*$postmaster$/m;
	}
	return;
}

# Runs SQL that may take a while, and samples the private memory of its backend, or of what find() returns; returns what came out and the
# most that was seen, in KiB.
sub watch_memory
{
	my ($self, $sql, $find) = @_;
	my $session = $self->start_psql("SELECT pg_backend_pid();\n$sql");
	my ($ended, $pid, $most) = (0, undef, 0);

	$find //= sub { return (DicomTest::read_text("$session->{dir}/out") =~ /^(\d+)\n/)[0] };
	until ($ended)
	{
		$pid ||= $find->();
		my $now = $pid ? DicomTest::private_memory($pid) : 0;
		$most = $now if $now > $most;
		Time::HiRes::sleep(0.01);
		$ended = waitpid($session->{pid}, POSIX::WNOHANG()) != 0;
	}
	delete $children{ $session->{pid} };
	my $out = DicomTest::read_text("$session->{dir}/out") =~ s/^.*\n//r;
	die DicomTest::read_text("$session->{dir}/err") . "\nin: $sql\n" if $? != 0;
	chomp $out;
	return ($out, $most);
}

# Runs SQL; returns what came out, what it complained about (SQLSTATE included), and psql's exit code.
sub psql
{
	my ($self, $sql, %options) = @_;

	return $self->finish_psql($self->start_psql($sql, %options));
}

# Runs SQL that must succeed; returns what came out.
sub query
{
	my ($self, $sql, %options) = @_;
	my ($out, $err, $code) = $self->psql($sql, %options);

	die "$err\nin: $sql\n" if $code != 0;
	return $out;
}

# The extension, a server over S3 or a directory, and the standard tables in a schema of the server's name.
sub make_server
{
	my ($self, $name, $s3, $location, %options) = @_;
	my $list = join '', map { ", $_ " . quote($options{$_}) } sort keys %options;

	$list = ", endpoint " . quote($s3->{endpoint}) . $list if $s3;
	$self->query(<<"END");
CREATE EXTENSION IF NOT EXISTS dicom_fdw;
CREATE SERVER $name FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location @{[quote($location)]}$list);
CREATE SCHEMA $name;
END
	$self->query(<<"END") if $s3;
CREATE USER MAPPING FOR PUBLIC SERVER $name
	OPTIONS (access_key_id @{[quote($s3->{access_key_id})]}, secret_access_key @{[quote($s3->{secret_access_key})]});
END
	$self->query("IMPORT FOREIGN SCHEMA dicom FROM SERVER $name INTO $name;");
	return;
}

sub quote
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

1;
