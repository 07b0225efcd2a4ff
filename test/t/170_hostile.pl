# Promise: no file, however it was made, holds a backend: reading it takes time in proportion to its size, and a statement timeout
# ends it in any case.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use Test::More;

my $dir = work_dir();
my $n   = 100_000;
my %bodies = (
	nuls             => element('00204000', 'UT', "\0" x (4 * $n) . 'xy'),
	blanks           => element('00204000', 'UT', ' ' x (4 * $n) . "\0y"),
	values           => element('00081048', 'UT', 'a^b=c\\' x $n . '1'),
	same_tag         => element('00100010', 'PN', 'a') x $n,
	same_private     => element('00090010', 'LO', 'ACME') . element('00091010', 'LO', '') x $n,
	creators         => join('', (element('00090010', 'LO', 'ACME'), element('00091010', 'LO', 'x')) x $n),
	no_creator       => join('', map { element(sprintf('%04X%04X', 9 + 2 * int($_ / 60000), 0x1000 + $_ % 60000), 'CS', '') } 1 .. $n),
	items            => sequence('00400275', (element('00400007', 'LO', 'x')) x $n),
	private_in_items => sequence('00400275', (element('00090010', 'LO', 'ACME') . element('00091010', 'LO', 'x')) x $n),
	empty_items      => sequence('00400275', ('') x $n),
	groups           => join('', map { element(sprintf('%04X0000', 2 * $_ + 0x20), 'UL', "\0\0\0\0") } 1 .. 30000),
);
write_dicom("$dir/$_.dcm", element('00080018', 'UI', '1.2.3'), $bodies{$_}, element('7FDF0010', 'LO', 'x')) for keys %bodies;

my $cluster = cluster();
$cluster->make_server('disk', undef, "file://$dir/");
$cluster->query(<<'END');
CREATE FOREIGN TABLE texts (
	filename text, image_comments text, physicians_of_record text[], patient_name text, last text OPTIONS (tag '(7FDF,0010)'),
	private text OPTIONS (tag '(0009,"ACME",10)'), nested text OPTIONS (tag 'RequestAttributesSequence[99999].ScheduledProcedureStepDescription')
) SERVER disk OPTIONS (entity 'images');
END

# Seconds by the server's clock; -1 where the session is gone.
sub seconds_of
{
	my ($query) = @_;
	my ($out, $err) = $cluster->psql(<<"END", go_on => 1);
SET client_min_messages = error;
SET statement_timeout = '4s';
SELECT 'from ' || extract(epoch FROM clock_timestamp());
$query;
SELECT 'to ' || extract(epoch FROM clock_timestamp());
END
	my ($from) = $out =~ /^from (\S+)/m;
	my ($to) = $out =~ /^to (\S+)/m;
	return (defined $to ? $to - $from : -1, $err);
}

for my $name (sort keys %bodies)
{
	my %queries = (
		columns  => "SELECT count(image_comments), count(physicians_of_record), count(patient_name), count(private), count(nested), count(last) FROM texts WHERE filename = '$name.dcm'",
		elements => "SELECT count(*) FROM dicom.elements('disk', '$name.dcm')",
		files    => "SELECT count(error), count(warnings) FROM disk.files WHERE key = '$name.dcm'",
		json     => "SELECT count(dicom.dataset(pg_read_binary_file('$dir/$name.dcm')))",
		value    => "SELECT count(dicom.value(pg_read_binary_file('$dir/$name.dcm'), '(0009,\"ACME\",10)'))",
	);

	for my $kind (sort keys %queries)
	{
		my ($seconds, $err) = seconds_of($queries{$kind});

		ok($seconds >= 0 && $seconds < 5, sprintf '%s by %s: done or cancelled, after %.1f s', $name, $kind, $seconds);
		unlike($err, qr/ERROR:  (?!57014)/, "$name by $kind: without another error");
		ok($seconds < 4, "$name by $kind: done") unless $kind eq 'elements' && $name =~ /creator|private/;
	}
}
unlike($cluster->server_log, qr/terminated by signal|PANIC/, 'and no backend has died');
done_testing();
