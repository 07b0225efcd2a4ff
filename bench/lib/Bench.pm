# What the benchmarks share: times of statements, medians, and the machine that they were measured on.
package Bench;

use strict;
use warnings;

use Digest::MD5;
use DicomTest;
use Exporter 'import';
use POSIX ();

our @EXPORT = qw(median digest heading time_query time_statements time_peer);

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ]; }

# Of lines in any order.
sub digest
{
	my ($text) = @_;

	return Digest::MD5::md5_hex(join "\n", sort split /\n/, $text);
}

# The command, the day, the machine, and the server, where there is a cluster.
sub heading
{
	my ($command, $cluster) = @_;
	my ($cpu) = read_text('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)$/m;
	my $cores = () = read_text('/proc/cpuinfo') =~ /^processor/mg;
	my ($kb) = read_text('/proc/meminfo') =~ /MemTotal:\s*(\d+)/;
	my ($load) = read_text('/proc/loadavg') =~ /^(\S+)/;
	my ($system) = read_text('/etc/os-release') =~ /^PRETTY_NAME="(.*)"/m;

	return sprintf "`%s`, %s, %s, %d cores (load %s), %.0f GiB, %s%s\n\n", $command, POSIX::strftime('%Y-%m-%d', gmtime),
		$cpu // 'unknown processor', $cores, $load, $kb / 1048576, $system // 'Linux',
		$cluster ? $cluster->query("SELECT ', PostgreSQL ' || current_setting('server_version')") : '';
}

# Seconds that psql measured for a statement, and the digest of what it printed. As with the peers, loading the library and what
# it links is not counted.
sub time_query
{
	my ($cluster, $query) = @_;
	my $out = $cluster->query("LOAD 'dicom_fdw';\n\\timing on\n$query;\n");

	$out =~ s/^Time: ([\d.]+) ms.*\n?//m or die "no time: $out\n";
	return ($1 / 1000, digest($out));
}

# The median time of a statement that is executed several times in one session, after a first one that is not counted, and
# the digest of what it printed. `before` is executed in front.
sub time_statements
{
	my ($cluster, $query, $repetitions, $before) = @_;
	my $out = $cluster->query(($before ? "$before;\n" : '') . "LOAD 'dicom_fdw';\n\\o /dev/null\n$query;\n\\timing on\n" . "$query;\n" x $repetitions . "\\timing off\n\\o\n$query;\n");
	my @times;

	push @times, $1 / 1000 while $out =~ s/^Time: ([\d.]+) ms.*\n?//m;
	die "no times: $out\n" if @times != $repetitions;
	return (median(@times), digest($out));
}

# Seconds that a peer says on standard error it took, its start not counted, and the digest of what it printed.
sub time_peer
{
	my @command = @_;
	my ($out, $err, $code) = run_command(@command);
	my ($seconds) = $err =~ /^([\d.]+)$/m;

	die "@command: $err\n" if $code != 0 || !defined $seconds;
	return ($seconds, digest($out));
}

1;
