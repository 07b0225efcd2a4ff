# What the tests of pipelines share: keys, small images, and what a pipeline has made, as text that can be compared.
package PipelineTest;

use strict;
use warnings;

use DicomFile;
use DicomTest;
use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Path qw(make_path);

our @EXPORT = qw(key_file key_conf write_image stage_files pipeline_state run_pipeline open_failures difference);

my $nursery;
my $uid = '1.2.826.0.1.3680043.9.7777';

# A file with keys of two epochs, as the server's user may own it.
sub key_file
{
	my $dir  = work_dir();
	my $file = write_text("$dir/keys", join '', map { "$_ " . sha256_hex("key $_") . "\n" } 1, 2, 3);

	chmod 0600, $file or die "$!\n";
	return $file;
}

sub key_conf { return "dicom_fdw.key_file = '" . key_file() . "'\nmax_worker_processes = 16\n"; }

# An image of 2 by 2 pixels. Names: study, series, image (numbers of a UID, undef: no such element), day, patient, and any other element by its tag.
sub write_image
{
	my ($file, %value) = @_;
	my %elements = (
		'00080005' => [ 'CS', 'ISO_IR 192' ],
		'00080016' => [ 'UI', '1.2.840.10008.5.1.4.1.1.2' ],
		'00080060' => [ 'CS', 'CT' ],
		'00080070' => [ 'LO', 'ACME' ],
		'00181000' => [ 'LO', 'S-1' ],
		'00280002' => [ 'US', pack 'v', 1 ],
		'00280004' => [ 'CS', 'MONOCHROME2' ],
		'00280010' => [ 'US', pack 'v', 2 ],
		'00280011' => [ 'US', pack 'v', 2 ],
		'00280100' => [ 'US', pack 'v', 8 ],
		'00280101' => [ 'US', pack 'v', 8 ],
		'00280102' => [ 'US', pack 'v', 7 ],
		'00280103' => [ 'US', pack 'v', 0 ],
		'7FE00010' => [ 'OB', $value{pixels} // "\x00\x40\x80\xFF" ]);

	$elements{'00080018'} = [ 'UI', "$uid.3.$value{image}" ]  if defined $value{image};
	$elements{'0020000D'} = [ 'UI', "$uid.1.$value{study}" ]  if defined $value{study};
	$elements{'0020000E'} = [ 'UI', "$uid.2.$value{series}" ] if defined $value{series};
	$elements{'00080020'} = [ 'DA', $value{day} ]             if defined $value{day};
	$elements{'00100020'} = [ 'LO', $value{patient} ]         if defined $value{patient};
	for my $tag (grep { /^[0-9A-F]{8}$/ } keys %value)
	{
		$elements{$tag} = $value{$tag};
		delete $elements{$tag} unless $value{$tag};
	}
	# Whole at once, and written where nobody lists: half of it would be an object, too.
	$nursery //= work_dir();
	my $new = "$nursery/image.dcm";
	write_dicom($new, map { element($_, @{ $elements{$_} }) } sort keys %elements);
	make_path(dirname($file));
	rename $new, $file or die "$file: $!\n";
	return $file;
}

# The files below a directory, as "path digest".
sub stage_files
{
	my ($dir) = @_;
	my @files;

	find({ wanted => sub { push @files, substr($_, 1 + length $dir) . ' ' . sha256_hex(read_text($_)) if -f }, no_chdir => 1 }, $dir) if -d $dir;
	return join '', map { "$_\n" } sort @files;
}

# What fails at present.
sub open_failures
{
	my ($cluster, $name) = @_;

	return $cluster->query("SELECT step, reason, object_key, layer, day FROM dicom.failures WHERE pipeline = '$name' AND resolved IS NULL
		ORDER BY step, reason, object_key COLLATE \"C\", layer, day");
}

# All that a pipeline has made in its tables. Options: stage, processed (schemas), pictures (true where they are compared too).
sub pipeline_state
{
	my ($cluster, $name, %options) = @_;
	my ($stage, $processed) = ($options{stage} // 'dicom_stage', $options{processed} // 'dicom_processed');
	my @parts;

	for my $schema ($stage, $processed)
	{
		for my $table (qw(patients devices studies series images), $schema eq $stage ? qw(patient_ids compressed_images) : ())
		{
			my $rows = $cluster->query("SELECT t::text FROM $schema.$table t ORDER BY t::text COLLATE \"C\"");
			push @parts, map { ($schema eq $stage ? 'stage' : 'processed') . ".$table $_" } split /\n/, $rows;
		}
	}
	for my $table (qw(patients_of_day devices_of_day studies_other series_other images_other))
	{
		my $rows = $cluster->query("SELECT t::text FROM ${stage}_private.$table t ORDER BY t::text COLLATE \"C\"");
		push @parts, map { "private.$table $_" } split /\n/, $rows;
	}
	push @parts, map { s/\Q$stage\E/stage/gr } split /\n/, open_failures($cluster, $name);
	push @parts, map { "not fresh: $_" } split /\n/, $cluster->query(
		"SELECT layer, day, state, error FROM dicom.days WHERE pipeline = '$name' AND state <> 'fresh' ORDER BY 1, 2");
	return join '', map { "$_\n" } @parts;
}

# What lines two texts do not have in common.
sub difference
{
	my ($wanted, $found) = @_;
	my %wanted = map { $_ => 1 } split /\n/, $wanted;
	my %found  = map { $_ => 1 } split /\n/, $found;

	return join "\n", (map { "- $_" } grep { !$found{$_} } sort keys %wanted), (map { "+ $_" } grep { !$wanted{$_} } sort keys %found);
}

# Runs it; dies where it says anything.
sub run_pipeline
{
	my ($cluster, $name, %options) = @_;
	my ($out, $err, $code) = $cluster->psql("CALL dicom.run('$name')");

	die "run of $name: $err\n" if $code != 0 || $err ne '';
	my $error = $cluster->query("SELECT status || coalesce(' ' || error, '') FROM dicom.runs WHERE pipeline = '$name' ORDER BY run DESC LIMIT 1");
	die "run of $name: $error\n" if $error ne 'done' && !$options{may_fail};
	return $error;
}

1;
