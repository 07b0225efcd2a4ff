# Promise: every form of pixel data that DICOM has gives the samples that were put in, or a reason. Variants are made with real
# encoders (DCMTK, OpenJPEG, libjxl) from known pixels; real files have known first frames. What is compressed with loss has to be
# within 50 dB of what another decoder makes of it.
use strict;
use warnings;

use DicomFile;
use DicomTest;
use JSON::PP;
use Test::More;

my $tool = top() . '/build/tools/dicom_frame';
my $dir  = work_dir();

# What the tool says of a file: a line for each frame, or for the file.
sub decode
{
	my (@arguments) = @_;

	open my $out, '-|', $tool, @arguments or die "$tool: $!\n";
	my @lines = map { decode_json($_) } <$out>;
	close $out;
	return $? & 127 || $? >> 8 > 1 ? { error => 'dicom_frame ended with ' . $? } : @lines;
}

sub samples
{
	my ($file, $frame, $bytes) = @_;

	open my $out, '-|:raw', $tool, '-r', '-n', $frame, $file or die "$tool: $!\n";
	local $/ = undef;
	return unpack($bytes == 1 ? 'C*' : 'v*', scalar(<$out>) // '');
}

# Peak signal to noise ratio in dB; 999 where two frames are equal, 0 where they cannot be compared.
sub psnr
{
	my ($bits, $got, $want) = @_;
	my $sum = 0;

	return 0 unless @$got && @$got == @$want;
	$sum += ($got->[$_] - $want->[$_])**2 for 0 .. $#$got;
	return $sum ? 10 * log((2**$bits - 1)**2 * @$got / $sum) / log(10) : 999;
}

# Why a frame is not what it should be; nothing where it is.
sub fault
{
	my ($variant, $number, $got) = @_;
	my $want = $variant->{frames}[$number];

	return $got->{error} // 'other samples' if $want && ($got->{sha256} // '') ne $want;
	return 'photometric interpretation ' . ($got->{photometric} // '-')
		if $variant->{photometric} && ($got->{photometric} // '') ne $variant->{photometric};
	return if $want;
	return ($got->{error} // 'no error') =~ /\Q$variant->{error}\E/ ? undef : $got->{error} // 'no error' if $variant->{error};
	return $got->{error} if $got->{error};
	my @got  = samples($variant->{file}, $number + 1, $got->{sample_bytes});
	my @want = $variant->{samples} ? unpack('C*', read_text($variant->{samples}))
		: samples($variant->{reference}, $number + 1, $got->{sample_bytes});
	my $psnr = psnr($got->{bits_stored}, \@got, \@want);
	return $psnr < 50 ? sprintf('%.1f dB', $psnr) : undef;
}

sub faults
{
	my ($variant) = @_;
	my @got       = decode('-a', $variant->{file});
	my $frames    = $variant->{frames};

	if (!@$frames)
	{
		return @got == 1 && ($got[0]{error} // '') =~ /\Q$variant->{error}\E/ ? () : "no error '$variant->{error}', but "
			. encode_json(\@got);
	}
	return @got . ' frames, not ' . @$frames . ': ' . encode_json($got[0]) if @got != @$frames;
	return map { my $fault = fault($variant, $_, $got[$_]); $fault ? 'frame ' . ($_ + 1) . ": $fault" : () } 0 .. $#got;
}

# Variants, in groups by the first word of their names
system('/usr/bin/python3', '-B', top() . '/test/image/make_variants.py', $dir, $tool) == 0 or BAIL_OUT('no variants');
my %groups;
for my $variant (map { decode_json($_) } split /\n/, read_text("$dir/variants.jsonl"))
{
	my ($group) = $variant->{name} =~ /^([^_]+)/;
	push @{ $groups{$group} }, $variant;
}
my $count = 0;
for my $group (sort keys %groups)
{
	my @faults = map { my $variant = $_; map { "$variant->{name}: $_" } faults($variant) } @{ $groups{$group} };
	is(join("\n", @faults), '', "$group: " . @{ $groups{$group} } . ' variants');
	$count += @{ $groups{$group} };
}
cmp_ok($count, '>', 200, "$count variants were made");

# Files of 4 GB and frames of a gigapixel, with holes for pixels
sub large_file
{
	my ($name, $length, %describe) = @_;
	my $body = join '', map { element(@$_) }
		['00280002', 'US', pack('v', 1)], ['00280004', 'CS', 'MONOCHROME2'], ['00280008', 'IS', $describe{frames}],
		['00280010', 'US', pack('v', $describe{rows})], ['00280011', 'US', pack('v', $describe{columns})],
		['00280100', 'US', pack('v', $describe{bits})], ['00280101', 'US', pack('v', $describe{bits})];

	write_text("$dir/$name", dicom_file($body) . pack('vv', 0x7FE0, 0x0010) . 'OW' . pack('vV', 0, $length));
	truncate "$dir/$name", (-s "$dir/$name") + $length or die "$name: $!\n";
	return "$dir/$name";
}

sub peak_is_bounded
{
	my ($what, $file, $frame, $bytes) = @_;
	my ($got) = decode('-n', $frame, $file);

	is($got->{error} // $got->{bytes}, $bytes, "$what is decoded");
	cmp_ok(($got->{peak_kib} // 1e9) * 1024, '<', $bytes + 64 * 1024 * 1024, 'in no more memory than the frame and 64 MiB');
	return;
}

my $file = large_file('many', 8191 * 524288, rows => 512, columns => 512, bits => 16, frames => 8191);
peak_is_bounded('the last frame of 4 GB', $file, 8191, 524288);
SKIP:
{
	my ($available) = read_text('/proc/meminfo') =~ /MemAvailable: +(\d+)/;
	skip 'less than 3 GB of memory', 4 if !$available || $available < 3 * 1024 * 1024;
	peak_is_bounded('a gigapixel', large_file('one', 2**30, rows => 32768, columns => 32768, bits => 8, frames => 1), 1, 2**30);
	peak_is_bounded('a gigapixel of bits', large_file('bits', 2**27, rows => 32768, columns => 32768, bits => 1, frames => 1), 1, 2**30);
}
unlink glob "$dir/*";

# What another decoder makes of a real file's first frame, as the samples of a native file; nothing where none can.
sub second_opinion
{
	my ($file, $syntax, $bytes) = @_;
	my @command = $syntax =~ /\.4\.5[01]$/ ? ('dcmdjpeg', '+cn') : $syntax =~ /\.4\.81$/ ? ('dcmdjpls') : return;

	unlink "$dir/second";
	system("@command '$file' '$dir/second' >/dev/null 2>&1");
	return -s "$dir/second" ? samples("$dir/second", 1, $bytes) : ();
}

# Where the known frame is wrong: a fragment that is not compressed, of which GDCM gives memory that it did not fill.
my %corrected = ('fo-dicom__genFile.dcm' => '73d9ab228b33a0a1ed8d0a6d5e186ca4e0a3fdabf318d672f7d907217cb4d8f7');

SKIP:
{
	skip 'no ../shared/corpus', 3 unless corpus();
	my (@wrong, @silent, %reasons, $equal, $near, $lossy, $worst);

	($equal, $near, $lossy, $worst) = (0, 0, 0, 999);
	for my $truth (map { decode_json($_) } grep { /\S/ } split /\n/, read_text(corpus() . '/TRUTH.jsonl'))
	{
		my $file   = corpus() . "/$truth->{file}";
		my ($got)  = decode($file);
		my $syntax = $truth->{transfer_syntax_uid};
		my $known  = $truth->{first_frame} ? $truth->{first_frame}{sha256} : undef;
		$known = $corrected{ $truth->{file} } // $known;
		my $same   = $known && ($got->{sha256} // '') eq $known;
		my $psnr;

		if ($got->{sha256} && (my @second = second_opinion($file, $syntax, $got->{sample_bytes})))
		{
			my @first = samples($file, 1, $got->{sample_bytes});
			$psnr = psnr($got->{bits_stored}, \@first, [ @second[ 0 .. $#first ] ]);
			$worst = $psnr if $psnr < $worst;
			$lossy++;
		}
		if    ($same)                                    { $equal++; }
		elsif ($known && defined $psnr && $psnr >= 50)   { $near++; }
		elsif ($known)                                   { push @wrong, "$truth->{file}: " . ($got->{error} // 'other samples'); }
		elsif ($got->{error})                            { $reasons{ $got->{error} }++; }
		elsif (!$got->{sha256})                          { push @silent, $truth->{file}; }
	}
	is(join("\n", @wrong),  '', 'the first frames of real files are what they are known to be');
	is(join("\n", @silent), '', 'a file gives a frame or a reason');
	cmp_ok($worst, '>=', 50, 'lossy frames are within 50 dB of what DCMTK makes of them');
	diag("counted: $equal first frames equal, $near within 50 dB of DCMTK, " . @wrong . " wrong; $lossy lossy compared, worst "
			. ($worst == 999 ? 'equal' : sprintf '%.1f dB', $worst));
	diag("counted: $reasons{$_} without frame: $_") for sort keys %reasons;
}

done_testing();
