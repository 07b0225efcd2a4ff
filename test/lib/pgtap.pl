# Runs one file of pgTAP tests in a database of its own; what it prints is TAP.
use strict;
use warnings;

use DicomTest;

my ($file) = @ARGV;
my $cluster = cluster();
$cluster->query('CREATE SCHEMA tap; CREATE EXTENSION pgtap SCHEMA tap; CREATE EXTENSION dicom_fdw');
my ($out, $err, $code) = $cluster->psql(read_text($file), psql => [ '-v', 'top=' . top() ]);
print "$out\n";
print map { "# $_\n" } split /\n/, $err;
exit $code;
