# S3Server: starts an S3 server of test/servers in a fresh directory, on free ports, and ends it with the test.
#
#	my $server = S3Server->start('radosgw', RGW_STS => 'true');	# undef where its packages are missing
#	$server->bucket('raw');
#	my ($status, $out, $err) = $server->store(['location=s3://raw/'], 'list');
#
# store() runs build/tools/store_tool with the server's endpoint and keys; an option given later overrides them.
package S3Server;

use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Open3;
use POSIX qw(strftime);
use Symbol qw(gensym);

my $top = abs_path(dirname(__FILE__) . '/../..');

# The first of five ports in a row that nobody listens on, below those that outgoing connections are given.
sub free_ports
{
	for my $attempt (1 .. 200)
	{
		# Tests that run side by side may have set rand() to the same seed.
		my $port = 10000 + 5 * ((int(rand(4500)) + 613 * $$ + $attempt) % 4500);
		my @sockets = map {
			IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port + $_, Listen => 1, ReuseAddr => 1)
		} 0 .. 4;
		return $port if 5 == grep { defined } @sockets;
	}
	die "no free ports\n";
}

sub start
{
	my ($class, $kind, %environment) = @_;
	my $directory = tempdir("s3-$kind-XXXXXX", TMPDIR => 1);
	my $port = free_ports();
	my $self = bless { directory => $directory, port => $port, owner => $$, region => 'us-east-1' }, $class;

	local %ENV = (%ENV, %environment);
	my $said = `$top/test/servers/$kind.sh $directory/data $port 2>&1`;
	my $status = $? >> 8;
	$self->{skipped} = $said if $status == 77;
	return $self if $status == 77;
	die "$kind did not start: $said" if $status != 0;
	$self->{$1} = $2 while $said =~ /^(\w+)=(.*)$/mg;
	return $self;
}

# Why there is no server; undef where there is one.
sub skipped { return $_[0]{skipped} }
sub endpoint { return $_[0]{endpoint} }
sub port { return $_[0]{port} }

sub encode
{
	my ($text, $keep) = @_;
	utf8::encode($text) if utf8::is_utf8($text);
	$text =~ s/([^A-Za-z0-9\-._~$keep])/sprintf '%%%02X', ord $1/ge;
	return $text;
}

# A signed request of the server's own keys, or of others; dies unless it succeeds. Returns the body.
sub request
{
	my ($self, $method, $path, %rest) = @_;
	my ($key, $secret) = @$self{qw(access_key_id secret_access_key)};
	my $service = $rest{service} // 's3';
	my $body = $rest{body} // '';
	my $query = join '&', map { encode($_, '') . '=' . encode($rest{query}{$_}, '') } sort keys %{ $rest{query} // {} };
	my $date = strftime('%Y%m%dT%H%M%SZ', gmtime);
	my $day = substr $date, 0, 8;
	my ($host) = $self->{endpoint} =~ m{//(.*)};
	my %headers = ('content-type' => $rest{type} // 'application/octet-stream', 'x-amz-date' => $date, 'x-amz-content-sha256' => sha256_hex($body), %{ $rest{headers} // {} });
	my %signed = (%headers, host => $host);
	my $names = join ';', sort keys %signed;
	my $canonical = join "\n", $method, encode($path, '/'), $query, (map { "$_:$signed{$_}" } sort keys %signed), '',
		$names, sha256_hex($body);
	my $scope = "$day/$self->{region}/$service/aws4_request";
	my $signing = "AWS4$secret";

	$signing = hmac_sha256($_, $signing) for $day, $self->{region}, $service, 'aws4_request';
	$headers{authorization} = "AWS4-HMAC-SHA256 Credential=$key/$scope, SignedHeaders=$names, Signature="
		. hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $date, $scope, sha256_hex($canonical)), $signing);

	my $url = $self->{endpoint} . encode($path, '/') . ($query ne '' ? "?$query" : '');
	my $answer = HTTP::Tiny->new(proxy => undef, http_proxy => undef, https_proxy => undef)
		->request($method, $url, { headers => \%headers, content => $body });

	die "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $answer->{content};
}

sub bucket
{
	my ($self, $name, %rest) = @_;
	$self->request('PUT', "/$name", %rest);
	return $name;
}

# Exit status, standard output, standard error of the tool; the bytes of $input go in.
sub store_with_input
{
	my ($self, $input, $options, @command) = @_;
	my @options = ("endpoint=$self->{endpoint}", map { "$_=$self->{$_}" } grep { $self->{$_} } qw(access_key_id secret_access_key));
	my $file = "$self->{directory}/input";
	my ($out, $err) = ('', '');

	open my $handle, '>:raw', $file or die;
	print $handle $input;
	close $handle;
	open my $stdin, '<:raw', $file or die;
	my $errors = gensym;
	my $tool = $ENV{STORE_TOOL} // "$top/build/tools/store_tool";
	my $pid = open3('<&' . fileno($stdin), my $stdout, $errors, $tool, '-s', map({ ('-o', $_) } @options, @$options), @command);
	binmode $stdout;
	# Standard error is short: it fits into its pipe while standard output is read to its end.
	{ local $/; $out = <$stdout> // ''; $err = <$errors> // ''; }
	waitpid $pid, 0;
	return ($? >> 8 || $? & 127, $out, $err);
}

sub store
{
	my ($self, @rest) = @_;
	return $self->store_with_input('', @rest);
}

sub stop
{
	my ($self) = @_;
	for my $file (glob "$self->{directory}/data/*.pid")
	{
		open my $handle, '<', $file or next;
		my $pid = <$handle>;
		kill '-KILL', $pid + 0 if $pid; # each leads a group: some have workers
	}
	remove_tree($self->{directory});
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	$self->stop if $self->{owner} == $$;
}

1;
