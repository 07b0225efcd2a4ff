# The measurements of bench/layers.sh, which sets up what this needs. Prints Markdown.
use strict;
use warnings;

use Bench;
use DicomTest;
use PipelineTest qw(key_conf);

my ($count, $repetitions) = @ARGV;
my ($per_day, $large_day) = (10, 1000);
my $work = $ENV{DICOM_TEST_WORK};
my $cluster = cluster(conf => key_conf() . "fsync = on\nshared_buffers = 512MB\nmax_wal_size = 4GB\nlog_statement = none\n");

# --- Two pipelines, each in a database of its own: over many days and over few, with the same large day of one study

sub make_days
{
	my ($files, $images) = @_;

	return if -d $files;
	make_files('--count', $images, '--size', 0, '--days', $images / $per_day, '--images-per-series', $per_day / 2, '--layout', 'days', "$files.new");
	make_files('--count', $large_day, '--seed', 2, '--size', 0, '--days', 1, '--images-per-series', $large_day / 2, '--layout', 'flat', "$files.new/large");
	rename "$files.new", $files or die "$files: $!\n";
	return;
}

sub make_pipeline
{
	my ($name, $files) = @_;
	my %pipeline = (name => $name, files => $files);

	$cluster->query("CREATE DATABASE $name");
	$cluster->query(<<"END", db => $name);
CREATE EXTENSION dicom_fdw;
CREATE SERVER raw FOREIGN DATA WRAPPER dicom_fdw OPTIONS (location 'file://$files/');
SELECT dicom.create_pipeline('bench', raw => 'raw', stage => 'file://@{[work_dir()]}/');
END
	my $first = run(\%pipeline);
	$pipeline{first} = $first->{seconds};
	$pipeline{images} = $first->{listed};
	return \%pipeline;
}

# A run: its seconds, those of its steps, what it listed and opened, and the most days that it refreshed of a table.
sub run
{
	my ($pipeline) = @_;
	my %of = (db => $pipeline->{name});
	my ($milliseconds) = $cluster->query("\\timing on\nCALL dicom.run('bench')", %of) =~ /^Time: ([\d.]+) ms/m or die "no time\n";
	my ($status, $listed, $opened, $days) = split /\|/, $cluster->query(<<'END', %of);
SELECT r.status, p.listed, p.opened, (SELECT max(days) FROM (
	SELECT count(*) AS days FROM dicom.layer_day d WHERE d.refreshed_at >= r.started AND d.epoch = 1 GROUP BY d.layer) t)
FROM dicom.runs r, dicom.sync_progress p
ORDER BY r.run DESC
LIMIT 1
END
	die "the run ended as $status: " . $cluster->query('SELECT error FROM dicom.runs ORDER BY run DESC LIMIT 1', %of) . "\n" if $status ne 'done';
	my %steps = map { split /\|/ } split /\n/, $cluster->query('SELECT step, seconds FROM dicom.run_steps WHERE run = (SELECT max(run) FROM dicom.runs)', %of);
	return { seconds => $milliseconds / 1000, listed => $listed, opened => $opened, days => $days, steps => \%steps };
}

# The reconstruction diameter of one image becomes another.
sub change_file
{
	my ($pipeline, $diameter) = @_;
	my $file = sprintf '%s/large/%06d.dcm', $pipeline->{files}, $large_day / 2;
	my $bytes = read_text($file);

	$bytes =~ s/(\x18\x00\x00\x11DS\x04\x00)\d{3}/$1$diameter/ or die "$file has no reconstruction diameter\n";
	write_text("$file.new", $bytes);
	rename "$file.new", $file or die "$file: $!\n";
	return;
}

sub changed_run
{
	my ($pipeline, $diameter) = @_;

	change_file($pipeline, $diameter);
	my $run = run($pipeline);
	die "opened $run->{opened} files\n" if $run->{opened} != 1;
	die "refreshed $run->{days} days\n" if $run->{days} != 1;
	my $changed = $cluster->query("SELECT count(*) FROM dicom_processed.images WHERE reconstruction_diameter = $diameter", db => $pipeline->{name});
	die "$changed images have changed\n" if $changed != 1;
	return $run;
}

# --- The merge of a day

# Three merges of the day after one image of it was changed: seconds, and bytes of WAL, of each.
sub time_merges
{
	my ($pipeline, @statements) = @_;
	my $day = $cluster->query('SELECT deid_day FROM dicom_processed_private.images GROUP BY 1 ORDER BY count(*) DESC LIMIT 1', db => $pipeline->{name});
	my @setup = ("CREATE TABLE peer AS SELECT * FROM dicom_processed_private.images_query; CREATE UNIQUE INDEX ON peer (sop_instance_uid); CREATE INDEX ON peer (study_date)",
		'CREATE MATERIALIZED VIEW peer_view AS SELECT * FROM dicom_processed_private.images_query; CREATE UNIQUE INDEX ON peer_view (sop_instance_uid)',
		'ANALYZE peer; ANALYZE peer_view; LOAD \'dicom_fdw\'');
	my $change = "UPDATE dicom_stage_private.images SET reconstruction_diameter = coalesce(reconstruction_diameter, 0) + 1 WHERE sop_instance_uid = (SELECT min(sop_instance_uid) FROM dicom_stage_private.images WHERE deid_day = '$day')";
	my @merges = ("SELECT inserted, updated, deleted FROM dicom.refresh_layer_days('bench', 'dicom_processed.images', 1, ARRAY['$day'::date])",
		"DO 'BEGIN DELETE FROM peer WHERE study_date = ''$day''; INSERT INTO peer SELECT * FROM dicom_processed_private.images_query WHERE study_date = ''$day''; END'",
		'REFRESH MATERIALIZED VIEW CONCURRENTLY peer_view');
	my $rounds = join '', map { "\\timing off\n$change;\n" . join('', map { "SELECT pg_current_wal_insert_lsn() AS lsn \\gset\n\\timing on\n$_;\n\\timing off\nSELECT 'WAL: ' || pg_current_wal_insert_lsn() - :'lsn';\n" } @merges) }
		0 .. $repetitions;
	my $out = $cluster->query(join('', map { "$_;\n" } @setup) . $rounds, db => $pipeline->{name});
	my (@times, @wal, $number);

	push @{ $times[ $number++ % 3 ] }, $1 / 1000 while $out =~ /^Time: ([\d.]+) ms/mg;
	$number = 0;
	push @{ $wal[ $number++ % 3 ] }, $1 while $out =~ /^WAL: (\d+)/mg;
	die "no times: $out\n" if $number != 3 * ($repetitions + 1);
	die "what was merged is not one image: $out\n" if 1 + $repetitions != (() = $out =~ /^0\|1\|0$/mg);
	my $different = $cluster->query(<<'END', db => $pipeline->{name});
SELECT count(*) FROM (
	(TABLE dicom_processed.images EXCEPT TABLE peer) UNION ALL (TABLE peer EXCEPT TABLE dicom_processed.images)
	UNION ALL (TABLE peer EXCEPT TABLE peer_view) UNION ALL (TABLE peer_view EXCEPT TABLE peer)) x
END
	die "$different rows are not the same in all three\n" if $different != 0;
	my $images = $cluster->query("SELECT count(*) FROM peer WHERE study_date = '$day'", db => $pipeline->{name});
	return ($images, map { my ($first, @others) = @$_; median(@others) } @times, @wal);
}

# --- All of it

my $many_files = "$work/layers-files-$count";
my $few_files = work_dir() . '/files';
make_days($many_files, $count);
make_days($few_files, 10 * $per_day);
my $many = make_pipeline('many', $many_files);
my $few = make_pipeline('few', $few_files);
my (@many, @few);
for my $round (0 .. $repetitions)
{
	my @runs = map { changed_run($_, 200 + $round) } $many, $few;
	next if $round == 0;
	push @many, $runs[0];
	push @few, $runs[1];
}
my ($images, @merges) = time_merges($many);
my @wal = splice @merges, 3;

print heading("bench/layers.sh $count $repetitions", $cluster);
printf "%d files without pixels, one of which has changed, of a day of %d images: the table `images` of the processed schema.\n\n", $many->{images}, $images;
print "| the day gets into the table | ms (median of $repetitions) | ratio | WAL, KiB |\n|---|---:|---:|---:|\n";
my @ways = ('as the pipeline merges it: what differs is written', 'DELETE, INSERT … SELECT of the day', 'REFRESH MATERIALIZED VIEW CONCURRENTLY, of all days');
printf "| %s | %.1f | %.2f | %.0f |\n", $ways[$_], 1000 * $merges[$_], $merges[$_] / $merges[0], $wal[$_] / 1024 for 0 .. 2;

# Of runs, the median of what a sub says.
sub of_runs
{
	my ($what, $runs) = @_;

	return median(map { $what->($_) } @$runs);
}

my @parts = ([ 'the day in all tables: stage, compress, processed', sub { my ($run) = @_; return $run->{steps}{stage} + $run->{steps}{compress} + $run->{steps}{processed} } ],
	(map { my $step = $_; [ "step $step", sub { return $_[0]{steps}{$step} } ] } qw(prepare sync stage compress processed clean)), [ 'the whole run', sub { return $_[0]{seconds} } ]);
printf "\nThe run over them, and one over %d files of ten days and that day. Each listed all files, opened one, and refreshed one day of every table; the first run, with everything new, took %.0f s.\n\n",
	$few->{images}, $many->{first};
printf "| seconds (median of %d) | %d other days | 10 other days | ratio |\n|---|---:|---:|---:|\n", $repetitions, $count / $per_day;
for my $part (@parts)
{
	my ($with_many, $with_few) = map { of_runs($part->[1], $_) } \@many, \@few;
	printf "| %s | %.3f | %.3f | %.2f |\n", $part->[0], $with_many, $with_few, $with_many / $with_few;
}
