# Promise: whatever happens to the files, and in whatever order, the tables and the pictures are those that a pipeline makes which has never seen
# anything else: late files, rewritten files, files that went, studies whose day or patient changed, one image in two files of two days.
use strict;
use warnings;

use DicomTest;
use PipelineTest;
use Test::More;

my $seed = $ENV{DICOM_TEST_SEED} // 20240826;
srand $seed;
note("DICOM_TEST_SEED=$seed");

my $dir     = work_dir();
my $cluster = cluster(conf => key_conf());
my @days    = ('20200101', '20200102', '20200103', '20200201', undef, 'no day');
my @keys    = map { ("a/$_", "b/$_") } 1 .. 9;

sub pick { return $_[ rand @_ ]; }

sub random_file
{
	my ($key) = @_;

	mkdir "$dir/" . substr $key, 0, 1 if $key =~ m{/};
	return write_text("$dir/$key", pick('', 'this is no DICOM file', 'x' x 200)) if rand() < 0.05;
	write_image("$dir/$key",
		study => pick(1 .. 4), series => pick(1 .. 5, 1, 2, undef), image => pick(1 .. 9, 1 .. 3, undef), day => pick(@days),
		patient => pick('P1', 'P2', 'P2', 'P3', '', undef), pixels => pick("\x00\x40\x80\xFF", "\x01\x02\x03\x04"),
		'00081030' => [ 'LO', pick('chest', 'head', 'abdomen') ], '00080060' => [ 'CS', pick('CT', 'CT', 'MR', 'US') ],
		'00101000' => pick(undef, undef, [ 'LO', 'P1\\Q7' ], [ 'LO', 'Q7' ]), '00101030' => [ 'DS', pick(60, 70, 80) ],
		'00100021' => pick(undef, undef, undef, [ 'LO', 'B' ]), '00100030' => pick(undef, [ 'DA', '19600101' ], [ 'DA', '19600102' ]),
		'00181000' => pick([ 'LO', 'S-1' ], [ 'LO', 'S-2' ], undef), '00181020' => [ 'LO', pick('1.0', '2.0') ],
		'00080080' => [ 'LO', pick('one', 'two') ]);
	return;
}

sub change_something
{
	my $key = pick(@keys);

	if (rand() < 0.25)
	{
		unlink "$dir/$key";
	}
	elsif (rand() < 0.2 && -f "$dir/$key")
	{
		my $to = pick(@keys);
		mkdir "$dir/" . substr $to, 0, 1;
		rename "$dir/$key", "$dir/$to";
	}
	else
	{
		random_file($key);
	}
	return;
}

my $stage = work_dir();
my $other = work_dir();
random_file($_) for @keys[ 0 .. 5 ];
random_file('z');
$cluster->query(<<"END");
CREATE EXTENSION dicom_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$dir/');
SELECT dicom.create_pipeline('kept', raw => 'files', stage => '$stage', options => '{"batch_objects": 5}');
END
my $rounds = $ENV{DICOM_TEST_ROUNDS} // 8;
my $same   = 0;
for my $round (1 .. $rounds)
{
	change_something() for 1 .. 1 + rand 4;
	run_pipeline($cluster, 'kept');
	my $partition = pick('none', 'month', 'day');
	$cluster->query("SELECT dicom.create_pipeline('anew', raw => 'files', stage => '$other/$round', stage_schema => 'anew_stage', processed_schema => 'anew_processed',
		partition_by => '$partition')");
	run_pipeline($cluster, 'anew');
	my $kept = pipeline_state($cluster, 'kept') . stage_files($stage);
	my $anew = pipeline_state($cluster, 'anew', stage => 'anew_stage', processed => 'anew_processed') . stage_files("$other/$round");
	note("round $round: " . (() = $kept =~ /\n/g) . " lines, " . (() = $kept =~ /^private.images_other/mg) . " lost, " . (() = $kept =~ /jpg/g) . " pictures named") if $ENV{DICOM_TEST_VERBOSE};
	if ($kept eq $anew)
	{
		$same++;
	}
	else
	{
		is($kept, $anew, "round $round");
		last;
	}
	$cluster->query("SELECT dicom.drop_pipeline('anew', drop_data => true); DROP SERVER anew_stage CASCADE");
}
is($same, $rounds, 'after each of many rounds of changes, what is kept is what is made anew');
my $before = $cluster->query('SELECT count(*) FROM dicom_stage.images');
cmp_ok($before, '>', 3, 'there were images to compare');
like($cluster->server_log, qr/dicom\.run/, 'statements are in the log');
unlike($cluster->server_log, qr/\bQ7\b|19600101/, 'values of patients are not');

done_testing();
