# Small DICOM files from a list of elements, for tests that need to know every byte.
package DicomFile;

use strict;
use warnings;

use Encode ();
use Exporter 'import';
use File::Basename qw(dirname);
use File::Path qw(make_path);

our @EXPORT = qw(element sequence dicom_file write_dicom);

my %long = map { $_ => 1 } qw(OB OD OF OL OV OW SQ SV UC UN UR UT UV);

# One element in explicit VR little endian: PS3.5 section 7.1.2. Texts are encoded as UTF-8 and padded.
sub element
{
	my ($tag, $vr, $value) = @_;

	$value = Encode::encode('UTF-8', $value) if utf8::is_utf8($value);
	$value .= $vr =~ /^(UI|OB|UN)$/ ? "\0" : ' ' if length($value) % 2;
	return pack('vv', hex(substr $tag, 0, 4), hex(substr $tag, 4, 4)) . $vr
		. ($long{$vr} ? pack('vV', 0, length $value) : pack('v', length $value)) . $value;
}

# A sequence of items, each a string of elements.
sub sequence
{
	my ($tag, @items) = @_;

	return element($tag, 'SQ', join '', map { pack('vvV', 0xFFFE, 0xE000, length) . $_ } @items);
}

# A file of PS3.10 section 7.1 around elements in the order given.
sub dicom_file
{
	my (@elements) = @_;
	my $meta = element('00020010', 'UI', '1.2.840.10008.1.2.1');

	return "\0" x 128 . 'DICM' . element('00020000', 'UL', pack 'V', length $meta) . $meta . join '', @elements;
}

sub write_dicom
{
	my ($file, @elements) = @_;

	make_path(dirname($file));
	open my $handle, '>:raw', $file or die "$file: $!\n";
	print $handle dicom_file(@elements);
	close $handle or die "$file: $!\n";
	return $file;
}

1;
