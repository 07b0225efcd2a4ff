# HttpRecorder: an HTTP server that writes down what it is sent, and answers as it is told.
#
#	my $server = HttpRecorder->start($directory);
#	$server->answer('/fail' => '500', '/hang' => 'hang', '/slack' => '200 {"ok":true}');	# the rest: 200 OK
#	$_->{method}, $_->{path}, $_->{headers}{authorization}, $_->{body} for $server->requests;
package HttpRecorder;

use strict;
use warnings;

use DicomTest;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep);

sub start
{
	my ($class, $dir) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die "listen: $!\n";
	my $self = bless { log => "$dir/requests", rules => "$dir/rules", port => $listener->sockport, owner => $$ }, $class;

	$self->{url} = "http://127.0.0.1:$self->{port}";
	write_text($self->{log}, '');
	$self->answer();
	$self->{pid} = fork() // die "fork: $!\n";
	return $self if $self->{pid};
	$SIG{CHLD} = 'IGNORE';
	$SIG{PIPE} = 'IGNORE';
	while (1)
	{
		my $client = $listener->accept or next;
		my $pid = fork() // next;

		if ($pid == 0)
		{
			eval { $self->serve($client) };
			POSIX::_exit(0);
		}
		close $client;
	}
}

# One request of one connection, in a process of its own, so that one that hangs keeps nobody else waiting.
sub serve
{
	my ($self, $client) = @_;
	my $head = '';

	while ($head !~ /\r\n\r\n/)
	{
		sysread $client, $head, 1, length $head or return;
	}
	my ($first, @lines) = split /\r\n/, $head;
	my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1, $2) : () } @lines;
	my $body = '';
	while (length $body < ($headers{'content-length'} // 0))
	{
		sysread $client, $body, 65536, length $body or return;
	}
	my ($method, $path) = split / /, $first;
	open my $log, '>>', $self->{log} or return;
	syswrite $log, join("\t", $method, $path, $headers{authorization} // '', $headers{'content-type'} // '', unpack 'H*', $body) . "\n";
	close $log;
	my $answer = $self->answer_to($path);
	if ($answer eq 'hang')
	{
		sleep 60;
		return;
	}
	my ($status, $text) = split / /, $answer, 2;
	$text //= 'ok';
	syswrite $client, "HTTP/1.1 $status X\r\nContent-Length: " . length($text) . "\r\nConnection: close\r\n\r\n$text";
	return;
}

sub answer_to
{
	my ($self, $path) = @_;

	for my $rule (split /\n/, read_text($self->{rules}))
	{
		my ($part, $answer) = split /\t/, $rule, 2;
		return $answer if index($path, $part) >= 0;
	}
	return '200';
}

# From now on: requests whose path contains a text get an answer: 'hang', or a status and a body.
sub answer
{
	my ($self, @rules) = @_;
	my $text = '';

	while (my ($part, $answer) = splice @rules, 0, 2)
	{
		$text .= "$part\t$answer\n";
	}
	write_text("$self->{rules}.new", $text);
	rename "$self->{rules}.new", $self->{rules} or die "$!\n";
	return;
}

# What has come so far.
sub requests
{
	my ($self) = @_;

	return map {
		my ($method, $path, $authorization, $type, $body) = split /\t/, $_, -1;
		{ method => $method, path => $path, authorization => $authorization, type => $type, body => pack 'H*', $body };
	} split /\n/, read_text($self->{log});
}

sub forget { my ($self) = @_; write_text($self->{log}, ''); return }

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);

	if ($self->{pid} && $self->{owner} == $$)
	{
		kill 'KILL', $self->{pid};
		waitpid $self->{pid}, 0;
	}
	return;
}

1;
